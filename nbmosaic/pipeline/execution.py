"""How work is spread: executors, jobs, memory budget, progress.

The contract is `concurrent.futures.Executor`: none given means this process (threads, because the kernels release the interpreter lock); a
process pool or ``dask.distributed.Client.get_executor()`` runs the same functions elsewhere. No result depends on the choice.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nbmosaic._types import PathLike
from nbmosaic.errors import ConfigError, NbmosaicError, StepError
from nbmosaic.pipeline.worker_marks import Mark, PoolWatch, forget, unfinished
from nbmosaic.pipeline.worker_pool import WorkerPool

__all__ = [
    "Execution",
    "NoProgress",
    "Progress",
    "available_cpus",
    "describe_executor",
    "memory_limit",
    "parse_memory",
    "run_tasks",
    "stage_execution",
]

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_MEMORY = 192_000_000
"""Bytes of pixel data held at once unless asked otherwise: with about 200 MB for Python and the libraries, 16 frames of 2048 x 2048 peak
below 450 MB."""

PIXELS_PER_THREAD = 100_000_000
"""Work that is worth one more thread. 16 frames of 2048 x 2048 (67 million pixels) take as long with two threads as with one, because reading,
writing and starting up are most of it, but 10 % more processor time and 40 MB more memory."""

WAIT_SECONDS = 30.0
"""Longest wait for the tasks that another process is in the middle of when a run is stopped; a frame takes a second or so."""

STOP_SECONDS = 0.3
"""Longest wait for the threads of this process when the user stops a run: what they are in the middle of is finished, and kept, behind his back."""

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


class Progress(Protocol):
    """Receives the progress of a stage."""

    def start(self, stage: str, total: int) -> None:
        """A stage with `total` units begins."""

    def advance(self, n: int = 1) -> None:
        """`n` more units are done."""

    def finish(self, summary: str) -> None:
        """The stage ended."""


class NoProgress:
    """Progress that says nothing."""

    def start(self, stage: str, total: int) -> None:
        """Do nothing."""

    def advance(self, n: int = 1) -> None:
        """Do nothing."""

    def finish(self, summary: str) -> None:
        """Do nothing."""


def available_cpus() -> int:
    """Processors that this process may use (affinity and cgroup quota)."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            n = min(n, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2: the affinity stands
    return max(1, n)


def memory_limit() -> int:
    """Bytes of memory that this process may use (machine and cgroup)."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            total = min(total, int(limit))
    except (OSError, ValueError):
        pass  # no cgroup v2: the machine's memory stands
    return total


def parse_memory(value: float | str | None) -> int:
    """Bytes from a number or a text such as ``"500MB"`` or ``"2 GB"``; None is the default budget.

    Examples
    --------
    >>> parse_memory("500MB")
    500000000
    """
    if value is None:
        return DEFAULT_MEMORY
    if isinstance(value, int | float):
        number = float(value)
    else:
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([kmgt]?)i?b?\s*", value.lower())
        if match is None:
            raise ConfigError(f"max_memory cannot be {value!r}", hint="write bytes, or a number with a unit such as 500MB or 2GB")
        number = float(match[1]) * _UNITS[match[2]]
    if not 1e6 <= number < math.inf:
        raise ConfigError(
            f"max_memory cannot be {value!r}: at least 1 MB", hint="write bytes, or a number with a unit such as 500MB or 2GB"
        )
    return int(number)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How the stages of one run are executed.

    Attributes
    ----------
    executor : concurrent.futures.Executor, optional
        Runs projections and overlap fits; None: threads of this process.
    jobs : int
        Number of threads of this process; 0: as many as the work is worth, negative: all processors but that many.
    max_memory : int
        Bytes of pixel data held at once; what does not fit lives in scratch files.
    scratch : path, optional
        Folder for scratch files (default: the system's temporary folder). Workers on other machines must see it.
    progress : Progress
        Told of every finished unit.
    """

    executor: Executor | None = None
    jobs: int = 0
    max_memory: int = DEFAULT_MEMORY
    scratch: PathLike | None = None
    progress: Progress = field(default_factory=NoProgress)

    @property
    def n_threads(self) -> int:
        """Threads of this process."""
        cpus = available_cpus()
        return self.jobs if self.jobs > 0 else max(1, cpus + self.jobs)

    def for_pixels(self, n_pixels: int) -> Execution:
        """The same with no more threads than so many pixels are worth, if the number of threads was left open."""
        if self.executor is not None or self.jobs != 0:
            return self
        return replace(self, jobs=min(self.n_threads, max(1, -(-n_pixels // PIXELS_PER_THREAD))))

    @property
    def in_process(self) -> bool:
        """Whether tasks share the memory of this process."""
        return self.executor is None or isinstance(self.executor, ThreadPoolExecutor)

    @property
    def n_workers(self) -> int:
        """Tasks that can run at the same time (a guess for executors that do not tell)."""
        if self.executor is None:
            return self.n_threads
        return int(getattr(self.executor, "_max_workers", None) or max(self.n_threads, 4))

    def scratch_folder(self) -> Path:
        """The folder in which scratch folders are made."""
        return Path(self.scratch) if self.scratch is not None else Path(tempfile.gettempdir())


def run_tasks(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    execution: Execution,
    stage: str,
    names: Sequence[str],
    marks: Path | None = None,
) -> Generator[R, None, None]:
    """Results of ``function(task)`` in the order of `tasks`, computed ahead by a bounded number.

    Close the iterator when it is not read to its end (`contextlib.closing`): what runs is then waited for, and nothing more is begun.

    Parameters
    ----------
    function : callable
        A module-level function of nbmosaic (so that any worker can import it).
    tasks : sequence
        Arguments.
    execution : Execution
        Where to run.
    stage : str
        Name of the stage, for messages.
    names : sequence of str
        Name of the frame or pair of each task, for messages.
    marks : path, optional
        Scratch folder that other processes see; needed where tasks run in other processes.

    Raises
    ------
    StepError
        A task raised something that is not ours, or its worker died; names the frame.
    """
    pool: Executor | None = execution.executor
    own: ThreadPoolExecutor | None = None
    if pool is None:
        if execution.n_threads == 1 or len(tasks) < 2:
            for task, name in zip(tasks, names, strict=True):
                yield _call(function, task, stage, name)
            return
        pool = own = ThreadPoolExecutor(min(execution.n_threads, len(tasks)), thread_name_prefix="nbmosaic")
    line = _Line(pool, stage, names, marks)
    ahead = 2 * execution.n_workers if own is None else execution.n_threads + 1
    patience = WAIT_SECONDS
    try:
        for number, task in enumerate(tasks):
            line.submit(function, task, number)
            if len(line.pending) >= ahead:
                yield line.result()
        while line.pending:
            yield line.result()
    except KeyboardInterrupt:
        patience = STOP_SECONDS
        raise
    finally:
        quiet = line.give_up(patience)
        if own is not None:
            own.shutdown(wait=quiet or patience == WAIT_SECONDS, cancel_futures=True)


class _Line:
    """Tasks that were handed to an executor, in order."""

    def __init__(self, pool: Executor, stage: str, names: Sequence[str], marks: Path | None) -> None:
        self.pool, self.stage, self.names, self.marks = pool, stage, names, marks
        self.watch = PoolWatch(pool)
        self.pending: deque[tuple[Future[Any], int]] = deque()
        if marks is not None:
            forget(marks, stage)

    def submit(self, function: Callable[[T], R], task: T, number: int) -> None:
        """Hand a task to the executor."""
        try:
            if self.marks is None:
                future: Future[Any] = self.pool.submit(function, task)
            else:
                future = self.pool.submit(_call_elsewhere, function, task, Mark(self.marks, self.stage, number), self.names[number])
        except BrokenExecutor as error:
            raise self.died(number) from error
        self.pending.append((future, number))
        self.watch.look()

    def result(self) -> Any:
        """Wait for the first task."""
        future, number = self.pending.popleft()
        try:
            return _call(lambda waiting: waiting.result(), future, self.stage, self.names[number])
        except StepError as error:
            cause = error.__cause__
            # KilledWorker is a class of dask, which is not a dependency
            if isinstance(cause, BrokenExecutor) or type(cause).__name__ == "KilledWorker":
                raise self.died(number) from cause
            raise

    def died(self, number: int) -> StepError:
        """Error for a worker process that died; `number` is the task that was waited for."""
        found = [] if self.marks is None else unfinished(self.marks, self.stage, self.names, self.watch.dead())
        if not found or self.names[number] in found:
            found = [self.names[number]]
        what = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        return StepError(
            f"{self.stage}: a worker process died while it worked on {what}",
            hint="it was killed or ran out of memory: lower the number of workers, or run without an executor",
            step=self.stage,
            frame=found[0],
        )

    def give_up(self, patience: float) -> bool:
        """Begin nothing more, and wait for what runs: it writes to the scratch folder, which may go away now. Our own workers are ended.

        Returns whether nothing runs any more.
        """
        running = [future for future, _ in self.pending if not future.cancel()]
        if running and isinstance(self.pool, WorkerPool):
            self.pool.stop()
            return True
        return not running or not wait(running, timeout=patience).not_done


def _call_elsewhere(function: Callable[[T], R], task: T, mark: Mark, name: str) -> R:
    """Run a task in another process; whatever it raises becomes one of our exceptions there, because others may not survive the way back."""
    with mark:
        return _call(function, task, mark.stage, name)


def _call(function: Callable[[T], R], task: T, stage: str, name: str) -> R:
    try:
        return function(task)
    except NbmosaicError:
        raise
    except MemoryError as error:
        raise StepError(
            f"{stage}: out of memory on {name}", hint="lower max_memory or jobs, or use a machine with more memory", step=stage, frame=name
        ) from error
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise StepError(f"{stage} failed on {name}: {text}", step=stage, frame=name) from error


def describe_executor(executor: Any) -> str:
    """Short text for provenance."""
    return "threads of this process" if executor is None else type(executor).__name__


def stage_execution(
    jobs: int = 0,
    executor: Executor | None = None,
    max_memory: float | str | None = None,
    scratch: PathLike | None = None,
    progress: Progress | None = None,
) -> Execution:
    """How a stage is executed, from the options that it takes."""
    return Execution(
        jobs=jobs,
        executor=executor,
        max_memory=parse_memory(max_memory),
        scratch=scratch,
        progress=progress if progress is not None else NoProgress(),
    )
