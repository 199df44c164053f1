"""A run that goes on while other cells run, and the handle by which it is watched and stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import InputError, MosaicCancelled, NbmosaicError
from nbmosaic.notebook.help import Page
from nbmosaic.notebook.short_errors import short_lines
from nbmosaic.pipeline.progress import ProgressState
from nbmosaic.views.markup import Markup, escape

if TYPE_CHECKING:
    from nbmosaic.pipeline.execution import Progress
    from nbmosaic.pipeline.worker_pool import WorkerPool

__all__ = ["DetachedRun", "StoppableProgress"]


class StoppableProgress:
    """Progress that stops its run at the next unit once it is told to.

    Parameters
    ----------
    inner : Progress
        What shows the progress.
    """

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self.stopped = threading.Event()
        self.state: ProgressState = getattr(inner, "state", None) or ProgressState()
        self._counts = self.state is not getattr(inner, "state", None)
        self.watched: Any = None

    def watch(self, batch: Any) -> None:
        """Remember the batch that runs: its results so far can be looked at."""
        self.watched = batch

    def show(self) -> None:
        """Open the line of progress now, in the cell that runs now: from another thread it would appear wherever the user is by then."""
        begin = getattr(self._inner, "begin", None)
        if begin is not None:
            begin()

    def start(self, stage: str, total: int) -> None:
        """Begin a stage with `total` units."""
        self._check()
        if self._counts:
            self.state.begin(stage, total)
        self._inner.start(stage, total)

    def advance(self, n: int = 1) -> None:
        """Count `n` more units."""
        if self._counts:
            self.state.done += n
        self._inner.advance(n)
        self._check()

    def finish(self, summary: str) -> None:
        """End the stage."""
        self._inner.finish(summary)
        self._check()

    def close(self, summary: str = "") -> None:
        """End the run."""
        close = getattr(self._inner, "close", None)
        if close is not None:
            close(summary)

    def _check(self) -> None:
        if self.stopped.is_set():
            raise KeyboardInterrupt  # the run ends as if the user had pressed Stop in its cell


class DetachedRun(Page):
    """Handle of a run that goes on while other cells run.

    When it is done it stands for its result: ``handle["overlaps"]``, ``handle.mosaic``.

    Parameters
    ----------
    work : callable
        Makes the run; gets a function that it tells of its worker processes.
    progress : StoppableProgress
        Progress of the run.
    name : str
        Name of the run, for messages.
    shorten : callable
        Gets an error before it is raised, to make it short.
    """

    def __init__(
        self,
        work: Callable[[Callable[[WorkerPool], None]], Any],
        *,
        progress: StoppableProgress,
        name: str,
        shorten: Callable[[NbmosaicError], None] = lambda _: None,
    ) -> None:
        self._work = work
        self._shorten = shorten
        self._progress = progress
        self._name = name
        self._future: Future[Any] = Future()
        self._pools: list[WorkerPool] = []
        self._thread = threading.Thread(target=self._go, name=f"nbmosaic {name}", daemon=True)
        self._thread.start()

    def _go(self) -> None:
        self._future.set_running_or_notify_cancel()
        try:
            self._future.set_result(self._work(self._pools.append))
        except BaseException as error:  # noqa: BLE001 - it is given to whoever asks for the result
            self._future.set_exception(error)

    def cancel(self) -> bool:
        """Stop the run: worker processes end at once, threads after the frame that they are at. Finished work is kept.

        Returns
        -------
        bool
            False if it was done already.
        """
        if self.done():
            return False
        self._progress.stopped.set()
        for pool in self._pools:
            pool.stop()
        return True

    def cancelled(self) -> bool:
        """Whether it was stopped."""
        return self.done() and isinstance(self._future.exception(), MosaicCancelled)

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._future.done()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the run and return it.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        NbmosaicError
            Whatever stopped the run.
        TimeoutError
            It was not done in time; it goes on.
        """
        try:
            return self._future.result(timeout)
        except FutureTimeoutError:
            if self.done():
                raise
            raise TimeoutError(f"{self._name} is still running: {self.status}") from None
        except NbmosaicError as error:
            self._shorten(error)
            raise

    async def _awaited(self) -> Any:
        try:
            # shielded: a cell that waits may be interrupted without stopping the run
            return await asyncio.shield(asyncio.wrap_future(self._future))
        except NbmosaicError as error:
            self._shorten(error)
            raise

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    @property
    def watched(self) -> Any:
        """The iterator of a batch of fits, whose `batch` holds the results so far; None: there is none."""
        return self._progress.watched

    @property
    def status(self) -> str:
        """One line: how far it is, or how it ended."""
        if not self.done():
            line = self._progress.state.line if self._progress.state.stage else "begins"
            return f"{'stopping' if self._progress.stopped.is_set() else 'running'}: {line}"
        error = self._future.exception()
        if error is None:
            return "done"
        return "; ".join(short_lines(error)[:1]) if isinstance(error, NbmosaicError) else f"failed: {type(error).__name__}: {error}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if not self.done():
            raise AttributeError(f"{self._name} is still running, and has no {name} yet: wait with {self._name}.result()")
        if not self._succeeded():
            raise AttributeError(f"{self._name} has no {name}: {self.status}")
        return getattr(self._future.result(), name)

    def __dir__(self) -> list[str]:
        own = [name for name in object.__dir__(self) if not name.startswith("_")]
        return own + ([name for name in dir(self._future.result()) if not name.startswith("_")] if self._succeeded() else [])

    def __getitem__(self, key: str) -> Any:
        return self._finished()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._finished())

    def __len__(self) -> int:
        return len(self._finished())

    def __bool__(self) -> bool:
        return True

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._future.result()) if self._succeeded() and hasattr(self._future.result(), "keys") else []

    def _finished(self) -> Any:
        if not self.done():
            raise InputError(
                f"{self._name} is still running", hint=f"wait with {self._name}.result(), or stop it with {self._name}.cancel()"
            )
        return self._future.result()

    def _succeeded(self) -> bool:
        return self.done() and self._future.exception() is None

    def text(self) -> str:
        """Plain text."""
        if self._succeeded():
            return repr(self._future.result())
        lines = [f"{self._name}: {self.status}"]
        return lines[0] if self.done() else f"{lines[0]}\n  {self._name}.cancel() stops it, await {self._name} waits for it"

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        state = self._progress.state
        bar = ""
        if not self.done() and state.total > 0:
            label = escape(f"{state.stage}: {state.done} of {state.total}")
            bar = f'<progress value="{min(state.done, state.total)}" max="{state.total}" aria-label="{label}"></progress> '
        first, *rest = self.text().split("\n")
        return Markup(f"<div>{bar}{escape(first)}</div>" + "".join(f"<div>{escape(line)}</div>" for line in rest))

    def _repr_html_(self) -> str:
        if self._succeeded() and hasattr(self._future.result(), "_repr_html_"):
            return str(self._future.result()._repr_html_())
        return super()._repr_html_()
