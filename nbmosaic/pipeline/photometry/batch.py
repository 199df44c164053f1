"""Many images against one reference: iterators over fits that run in worker processes."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from nbmosaic.errors import ConfigError, NbmosaicError, StepError
from nbmosaic.pipeline.execution import NoProgress, Progress, available_cpus
from nbmosaic.pipeline.photometry.batch_product import FailedPhotometry, PhotometryBatch, with_request
from nbmosaic.pipeline.photometry.worker import BatchKind, BatchTask, Outcome, fit_one
from nbmosaic.pipeline.recipe import choose
from nbmosaic.pipeline.worker_pool import StartMethod, WorkerPool

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FitImageAndStarPhotometryMP", "FitImagePhotometryMP", "FitStarPhotometryMP", "PhotometryIterator", "worker_count"]

Order = Literal["input", "completed"]
OnError = Literal["raise", "skip"]


def worker_count(nworker: int, njob: int) -> int:
    """Number of workers: `nworker`; 0: all processors; ``-n``: all but n, at least 1; never more than there are jobs.

    Examples
    --------
    >>> worker_count(3, 2), worker_count(-1000, 5)
    (2, 1)
    """
    cpus = available_cpus()
    wanted = nworker if nworker > 0 else max(cpus + nworker, 1)
    return max(1, min(wanted, njob))


class PhotometryIterator(Iterator[Any]):
    """Base of the three iterators.

    Parameters
    ----------
    reference : str or image
        The reference, as `nbmosaic.fit_image_photometry` takes it; each worker reads it once.
    images : sequence of str or image
        The images.
    kwargs : mapping, optional
        Options of the fit.
    nworker : int
        Worker processes; 0: one for each processor; ``-n``: all processors but n. 1: the fits run in this process.
    executor : concurrent.futures.Executor, optional
        Runs the fits instead: a pool of threads or processes, ``dask.distributed.Client.get_executor()``.
    order : {"input", "completed"}
        Results in the order of the images, or as they are done.
    on_error : {"raise", "skip"}
        An image that fails raises its error when its turn comes (later images can still be had by going on), or gives a `FailedPhotometry`.
    start_method : {"forkserver", "spawn", "fork"}, optional
        How workers are started; default: forkserver where there is one. Both of the first are safe in notebooks.
    pictures : bool
        Keep the arrays for pictures (3 MB a fit of 320 x 320 pixels). Without them a picture is drawn by fitting that image again.
    progress : Progress, optional
        Told of every finished image.

    Notes
    -----
    Results can be had by ``for``, ``next(it)`` and ``it.next()``. Within ``with`` the workers are ended at its end, whatever happens; without it
    they are ended with the last image, by `close`, and by Ctrl-C, which ends them at once and leaves no process behind.
    A worker that dies (killed, out of memory) costs no other image: those that it may have been at are tried again one by one.
    `results`, `batch` and `close` may be called from another thread than that which goes through the results; it then ends after `close`.
    """

    kind: ClassVar[BatchKind]

    def __init__(
        self,
        reference: Any,
        images: Iterable[Any],
        kwargs: Mapping[str, Any] | None = None,
        nworker: int = 0,
        *,
        executor: Executor | None = None,
        order: Order = "input",
        on_error: OnError = "raise",
        start_method: StartMethod | None = None,
        pictures: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.order = choose(order, ("input", "completed"), option="order")
        self.on_error = choose(on_error, ("raise", "skip"), option="on_error")
        if start_method is not None:
            choose(start_method, ("forkserver", "spawn", "fork"), option="start_method")
        if isinstance(images, str | os.PathLike):
            raise ConfigError("images is one file name", hint="give a list of file names")
        self._reference, self._images = reference, list(images)
        self._options = dict(kwargs or {})
        _check_options(self.kind, self._options)
        self._executor, self._start_method = executor, start_method
        self._pictures = pictures
        self._progress: Progress = NoProgress() if progress is None else progress
        self.nworker = worker_count(nworker, self.njob)
        self._own: WorkerPool | None = None
        self._inline = executor is None and self.nworker == 1
        self._waiting = deque(range(self.njob))
        self._running: dict[Future[Outcome], int] = {}
        self._careful: set[int] = set()  # tried alone, because a worker died while they were under way
        self._done: dict[int, Any] = {}
        self._ready: deque[int] = deque()
        self._given = 0
        self._begun = self._closed = False
        self._lock = threading.RLock()  # `results` and `close` are also called while another thread waits for the next image

    @property
    def njob(self) -> int:
        """Number of images."""
        return len(self._images)

    def __len__(self) -> int:
        return self.njob

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._given == self.njob or self._closed:
            self.close()
            raise StopIteration
        try:
            number = self._next_number()
        except BaseException:  # Ctrl-C too: no worker stays behind
            self.close()
            raise
        self._given += 1
        if self._given == self.njob:
            self.close()
        result = self._done[number]
        if isinstance(result, FailedPhotometry) and self.on_error == "raise":
            raise result.error
        return result

    def next(self) -> Any:
        """Give the next result; StopIteration after the last."""
        return next(self)

    def close(self) -> None:
        """End the workers; what is done stays in `results`."""
        self._closed = True
        with self._lock:
            self._collect()
            for future in self._running:
                future.cancel()
            self._running.clear()
            if self._own is not None:
                self._own.stop()
                self._own = None
            if self._begun:
                self._begun = False
                self._progress.finish(self.batch.title)

    @property
    def results(self) -> tuple[Any, ...]:
        """Everything that is done so far, in the order of the images, failures too: also after an error was raised."""
        with self._lock:
            self._collect()
            return tuple(self._done[number] for number in sorted(self._done))

    @property
    def batch(self) -> PhotometryBatch:
        """The results so far as one product: table, plot of FWHM against file, failures."""
        return PhotometryBatch(self.results, self.kind, self.njob)

    @property
    def table(self) -> pd.DataFrame:
        """One row a file of the results so far."""
        return self.batch.table

    def __repr__(self) -> str:
        return repr(self.batch)

    def _repr_html_(self) -> str:
        return self.batch._repr_html_()

    def _next_number(self) -> int:
        """Number of the next image whose result is due; waits for it."""
        if not self._begun:
            self._begun = True
            if (watch := getattr(self._progress, "watch", None)) is not None:
                watch(self)  # whoever follows the progress may look at the results so far
            self._progress.start("fit", self.njob)
        while True:
            if self.order == "input":
                if self._given in self._done:
                    return self._given
            elif self._ready:
                return self._ready.popleft()
            if self._closed:  # by another thread
                raise StopIteration
            if self._inline:
                number = self._waiting.popleft()
                self._finish(number, fit_one(self._task(number)))
                continue
            with self._lock:
                running = [] if self._closed else self._feed()
            wait(running, return_when=FIRST_COMPLETED)
            with self._lock:
                self._collect()

    def _task(self, number: int) -> BatchTask:
        reference, image = self._reference, self._images[number]
        in_process = self._inline or isinstance(self._executor, ThreadPoolExecutor)
        if not in_process:
            reference, image = _sendable(reference, "reference"), _sendable(image, "image")
        elif isinstance(reference, os.PathLike):
            reference = os.fspath(reference)
        return BatchTask(
            kind=self.kind, reference=reference, image=image, options=self._options, name=self._name(number), slim=not self._pictures
        )

    def _name(self, number: int) -> str:
        item = self._images[number]
        return os.fspath(item) if isinstance(item, str | os.PathLike) else str(getattr(item, "filename", None) or f"image {number + 1}")

    def _pool(self) -> Executor:
        if self._executor is not None:
            return self._executor
        if self._own is None:
            import multiprocessing

            known = multiprocessing.get_all_start_methods()
            method: StartMethod = self._start_method or ("forkserver" if "forkserver" in known else "spawn")
            self._own = WorkerPool(self.nworker, method, blas_threads=1, with_main=_of_main(self._options))
        return self._own

    def _feed(self) -> list[Future[Outcome]]:
        """Keep the workers busy, with a task each in reserve; while suspects are tried, one at a time. Returns what is under way."""
        workers = self.nworker if self._executor is None else int(getattr(self._executor, "_max_workers", None) or 2 * self.nworker)
        while self._waiting:
            alone = self._waiting[0] in self._careful or any(number in self._careful for number in self._running.values())
            if len(self._running) >= (1 if alone else 2 * workers):
                break
            number = self._waiting.popleft()
            try:
                task = self._task(number)
            except NbmosaicError as error:
                self._finish(number, Outcome(error=error))
                continue
            try:
                future = self._pool().submit(fit_one, task)
            except BrokenExecutor:
                self._waiting.appendleft(number)
                self._revive()
                continue
            self._running[future] = number
        return list(self._running)

    def _collect(self) -> None:
        """Take in what is done."""
        broken = False
        for future in [one for one in self._running if one.done()]:
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                self._finish(self._running.pop(future), future.result())
            elif _worker_died(error):
                broken = True
            else:
                number = self._running.pop(future)
                text = " ".join(f"{type(error).__name__}: {error}".split())
                self._finish(number, Outcome(error=StepError(f"the fit of {self._name(number)} failed: {text}", step="fit")))
        if broken and not self._closed:
            self._revive()

    def _revive(self) -> None:
        """A worker died, and all that was under way is lost: a new pool, and the lost ones again, one by one. One that is lost alone is the cause."""
        lost = sorted(self._running.values())
        self._running.clear()
        if self._own is not None:
            self._own.stop()
            self._own = None
        guilty = len(lost) == 1 and (lost[0] in self._careful or self._executor is not None)
        if guilty or self._executor is not None:
            for number in lost:
                name = self._name(number)
                hint = "it was killed or ran out of memory: lower the number of workers"
                self._finish(number, Outcome(error=StepError(f"a worker process died while it worked on {name}", hint=hint, frame=name)))
            if self._executor is not None and not lost:
                raise StepError("the executor is broken", hint="its workers died: make a new one", step="fit")
            return
        self._careful |= set(lost)
        self._waiting.extendleft(reversed(lost))

    def _finish(self, number: int, outcome: Outcome) -> None:
        image = self._images[number]
        with self._lock:
            if outcome.error is not None:
                self._done[number] = FailedPhotometry(self._name(number), outcome.error, self.kind, outcome.seconds)
            else:
                self._done[number] = with_request(outcome.fit, self._reference, image)
            self._ready.append(number)
        self._progress.advance()


def _worker_died(error: BaseException) -> bool:
    # KilledWorker is a class of dask, which is not a dependency
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


def _sendable(item: Any, role: str) -> Any:
    """A file name as text, anything else as plain arrays that another process can be given."""
    if isinstance(item, str | os.PathLike):
        return os.fspath(item)
    from nbmosaic.pipeline.photometry.inputs import picklable, read_image

    return picklable(read_image(item, role=role))


def _of_main(options: Mapping[str, Any]) -> bool:
    """Whether options hold objects whose class is defined in the script that the user runs."""
    import pickle

    try:
        return b"__main__" in pickle.dumps(options)
    except Exception as error:  # whatever the classes of the user raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"the options cannot be sent to other processes: {text}", hint="use nworker=1") from error


def _check_options(kind: BatchKind, options: Mapping[str, Any]) -> None:
    """Refuse unknown options before any work is done."""
    import inspect

    from nbmosaic.pipeline.photometry import fitting as photometry
    from nbmosaic.pipeline.recipe import did_you_mean

    functions: dict[str, Callable[..., Any]] = {
        "image": photometry.fit_image_photometry,
        "star": photometry.fit_star_photometry,
        "both": photometry.fit_image_and_star_photometry,
    }
    function = functions[kind]
    parameters = inspect.signature(function).parameters
    known: Sequence[str] = [name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise ConfigError(f"{function.__name__} has no option {name!r}", hint=did_you_mean(name, known) or f"it has {', '.join(known)}")
    missing = [name for name in known if parameters[name].default is inspect.Parameter.empty and name not in options]
    if missing:
        raise ConfigError(f"{function.__name__} needs {missing[0]}", hint=f"give it in kwargs: dict({missing[0]}=...)")


class FitImagePhotometryMP(PhotometryIterator):
    """`nbmosaic.fit_image_photometry` of many images, in worker processes; see `PhotometryIterator`.

    Examples
    --------
    >>> with FitImagePhotometryMP("hst.fits", files, kwargs={"fix_beta": 2.8}, nworker=-1) as fits:  # doctest: +SKIP
    ...     for fit in fits:
    ...         print(fit.summary(header=False))
    """

    kind = "image"


class FitStarPhotometryMP(PhotometryIterator):
    """`nbmosaic.fit_star_photometry` of many images, in worker processes; `kwargs` holds ``star``; see `PhotometryIterator`."""

    kind = "star"


class FitImageAndStarPhotometryMP(PhotometryIterator):
    """`nbmosaic.fit_image_and_star_photometry` of many images, in worker processes; each result is a pair; see `PhotometryIterator`."""

    kind = "both"
