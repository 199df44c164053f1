"""How work is spread: executors, jobs, memory budget, progress.

The contract is `concurrent.futures.Executor`: none given means this process (threads, because the kernels release the interpreter lock); a
process pool or ``dask.distributed.Client.get_executor()`` runs the same functions elsewhere. No result depends on the choice.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nbmosaic._types import PathLike
from nbmosaic.errors import ConfigError, NbmosaicError, StepError

__all__ = ["Execution", "NoProgress", "Progress", "available_cpus", "describe_executor", "memory_limit", "parse_memory", "run_tasks"]

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_MEMORY = 192_000_000
"""Bytes of pixel data held at once unless asked otherwise: with about 200 MB for Python and the libraries, 16 frames of 2048 x 2048 peak
below 450 MB."""

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
        match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?)i?b?\s*", value.lower())
        if match is None:
            raise ConfigError(f"max_memory cannot be {value!r}", hint="write bytes, or a number with a unit such as 500MB or 2GB")
        number = float(match[1]) * _UNITS[match[2]]
    if not number >= 1e6:
        raise ConfigError(f"max_memory {value!r} is less than 1 MB", hint="write bytes, or a number with a unit such as 500MB or 2GB")
    return int(number)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How the stages of one run are executed.

    Attributes
    ----------
    executor : concurrent.futures.Executor, optional
        Runs projections and overlap fits; None: threads of this process.
    jobs : int
        Number of threads of this process; 0: all processors, negative: leave that many free.
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
    died: Callable[[], Sequence[str]] = lambda: (),
) -> Iterator[R]:
    """Results of ``function(task)`` in the order of `tasks`, computed ahead by a bounded number.

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
    died : callable
        Names of the frames that were being worked on when a worker process died.

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
    pending: deque[tuple[Future[R], str]] = deque()
    ahead = 2 * execution.n_workers if own is None else execution.n_threads + 1
    queue = iter(zip(tasks, names, strict=True))
    try:
        for task, name in queue:
            pending.append((_submit(pool, function, task, stage=stage, name=name, died=died), name))
            if len(pending) >= ahead:
                yield _result(*pending.popleft(), stage=stage, died=died)
        while pending:
            yield _result(*pending.popleft(), stage=stage, died=died)
    finally:
        for future, _ in pending:
            future.cancel()
        if own is not None:
            own.shutdown(wait=True, cancel_futures=True)


def _submit(pool: Executor, function: Callable[[T], R], task: T, *, stage: str, name: str, died: Callable[[], Sequence[str]]) -> Future[R]:
    try:
        return pool.submit(function, task)
    except BrokenExecutor as error:
        raise _worker_died(stage, died() or [name]) from error


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
        raise StepError(f"{stage} failed on {name}: {type(error).__name__}: {error}", step=stage, frame=name) from error


def _result(future: Future[R], name: str, *, stage: str, died: Callable[[], Sequence[str]]) -> R:
    try:
        return _call(lambda waiting: waiting.result(), future, stage, name)
    except StepError as error:
        cause = error.__cause__
        if isinstance(cause, BrokenExecutor):
            raise _worker_died(stage, died() or [name]) from cause
        if type(cause).__name__ == "KilledWorker":  # dask's own class; dask is not a dependency
            raise _worker_died(stage, [name]) from cause
        raise


def _worker_died(stage: str, frames: Sequence[str]) -> StepError:
    what = ", ".join(frames[:3]) + (f" and {len(frames) - 3} more" if len(frames) > 3 else "")
    return StepError(
        f"{stage}: a worker process died while it worked on {what}",
        hint="it was killed or ran out of memory: lower the number of workers, or run without an executor",
        step=stage,
        frame=frames[0],
    )


def describe_executor(executor: Any) -> str:
    """Short text for provenance."""
    return "threads of this process" if executor is None else type(executor).__name__
