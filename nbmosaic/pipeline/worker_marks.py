"""Which frame a killed worker process was working on.

A process that is killed says nothing. Every task therefore leaves a mark (a small file with the numbers of the processes that began it) in
the scratch folder while it runs; the marks that are left when a pool breaks name the frames.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["Mark", "PoolWatch", "forget", "unfinished"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that is there as long as a task runs; the worker enters it as a context.

    Attributes
    ----------
    folder : pathlib.Path
        Scratch folder.
    stage : str
        Name of the stage.
    number : int
        Number of the task.
    """

    folder: Path
    stage: str
    number: int

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"started-{self.stage}-{self.number:06d}"

    def __enter__(self) -> Self:
        with suppress(OSError), self.path.open("ab") as stream:  # a folder that is gone is the task's own error
            stream.write(b"%d\n" % os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class PoolWatch:
    """Tells which workers of a process pool died by themselves.

    When one worker of a `ProcessPoolExecutor` dies, the pool ends all others with SIGTERM; only the exit codes tell them apart. The pool
    keeps no public record of its processes, so they are remembered from its attributes where it has them; other executors have none.

    Parameters
    ----------
    pool : Executor
        Any executor.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool: Any = pool
        self._processes: Any = {}

    def look(self) -> None:
        """Remember the processes that the pool has now."""
        self._processes = getattr(self._pool, "_processes", None) or self._processes

    def dead(self) -> set[int]:
        """Numbers of the processes that died by themselves, as far as it is known."""
        manager = getattr(self._pool, "_executor_manager_thread", None)
        if manager is not None:
            manager.join(5.0)  # it collects the exit codes; two readers would spoil them
        codes = {pid: process.exitcode for pid, process in dict(self._processes).items() if hasattr(process, "exitcode")}
        return {pid for pid, code in codes.items() if code not in (None, 0, -signal.SIGTERM)}


def forget(folder: Path, stage: str) -> None:
    """Remove the marks that killed workers of an earlier run of a stage left."""
    for path in folder.glob(f"started-{stage}-*"):
        path.unlink(missing_ok=True)


def unfinished(folder: Path, stage: str, names: Sequence[str], dead: set[int]) -> list[str]:
    """Names of the tasks that a killed worker held: those begun by a dead process if it is known, else those begun most often.

    A scheduler such as dask begins a task again when its worker died, so the one that kills its workers is begun most often.
    """
    found: list[tuple[int, bool, str]] = []
    for number, name in enumerate(names):
        with suppress(OSError, ValueError):
            pids = [int(line) for line in Mark(folder, stage, number).path.read_text(encoding="ascii").split()]
            found.append((len(pids), bool(dead.intersection(pids)), name))
    if any(by_dead for _, by_dead, _ in found):
        return [name for _, by_dead, name in found if by_dead]
    most = max((times for times, _, _ in found), default=0)
    return [name for times, _, name in found if times == most]
