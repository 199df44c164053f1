"""How a cell runs: what its first line and the configuration say, in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nbmosaic.pipeline.execution import Progress
    from nbmosaic.pipeline.worker_pool import WorkerPool

__all__ = ["CacheChoice", "How", "StartChoice"]

StartChoice = Literal["threads", "fork", "forkserver", "spawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheChoice:
    """Which cache a cell uses.

    Attributes
    ----------
    folder : str
        Folder for projected frames; empty: one in the system's temporary folder.
    memory_mb, disk_mb : int
        Budgets in MB; 0: the default.
    """

    folder: str = ""
    memory_mb: int = 0
    disk_mb: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a cell runs; no result depends on it.

    Attributes
    ----------
    progress : Progress
        Told of every unit.
    jobs : int
        Threads or processes; 0: as many as the work is worth, at most all processors; negative: all but that many.
    start_method : {"threads", "fork", "forkserver", "spawn"}
        Whether work is spread over threads, or over processes started in this way.
    max_memory : str
        Pixel data held at once; empty: the default.
    scratch : str
        Folder for scratch files; empty: the system's temporary folder.
    cache : CacheChoice, optional
        None: every stage runs.
    fresh : frozenset of int
        Numbers of the steps that run in any case.
    base : Run, optional
        A run whose products are already there.
    with_pool : callable, optional
        Gets the worker processes, so that another thread can end them.
    """

    progress: Progress
    jobs: int = 0
    start_method: StartChoice = "threads"
    max_memory: str = ""
    scratch: str = ""
    cache: CacheChoice | None = field(default_factory=CacheChoice)
    fresh: frozenset[int] = frozenset()
    base: Any = None
    with_pool: Callable[[WorkerPool], None] | None = None
