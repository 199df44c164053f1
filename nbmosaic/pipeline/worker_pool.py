"""Worker processes of a run that end at once when it is stopped, and never outlive it."""

from __future__ import annotations

import copy
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Literal

__all__ = ["StartMethod", "WorkerPool"]

StartMethod = Literal["fork", "forkserver", "spawn"]

TERM_SECONDS = 0.3
"""Time to end by SIGTERM before SIGKILL: a worker has nothing to tidy up, files are moved into place when they are whole."""


class WorkerPool(ProcessPoolExecutor):
    """Processes started in one way.

    Stop in a notebook sends SIGINT to the whole process group; the workers ignore it and are ended by their parent, so that no half of the pool
    answers and the other half hangs. A worker whose parent was killed ends itself.

    Parameters
    ----------
    n_workers : int
        Number of processes.
    method : {"fork", "forkserver", "spawn"}
        How they are started.
    blas_threads : int
        Threads that linear algebra may use in each (a fork keeps what its parent had); 0: what the environment says.
    with_main : bool
        Whether fresh workers import the script that the user runs, which only tasks that hold objects of that script need. Without it a script needs no
        ``if __name__ == "__main__"``, and workers start sooner.

    Examples
    --------
    >>> pool = WorkerPool(1, "spawn")
    >>> pool.stop()
    """

    def __init__(self, n_workers: int, method: StartMethod, *, blas_threads: int = 0, with_main: bool = True) -> None:
        context = multiprocessing.get_context(method)
        if not with_main and method in _WITHOUT_MAIN:
            context = copy.copy(context)
            context.Process = _WITHOUT_MAIN[method]  # type: ignore[attr-defined]
        super().__init__(n_workers, mp_context=context, initializer=_begin, initargs=(blas_threads,))

    def stop(self) -> None:
        """End all processes now; what they were doing is lost, what they finished is kept."""
        processes = list((self._processes or {}).values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + TERM_SECONDS
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join(TERM_SECONDS)


_HIDING = threading.Lock()


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Make the main module look like that of a notebook, which workers do not import."""
    main = sys.modules["__main__"]
    with _HIDING:
        missing = object()
        spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", missing)
        try:
            main.__spec__ = None
            if path is not missing:
                del main.__file__
            yield
        finally:
            main.__spec__ = spec
            if path is not missing:
                main.__file__ = path  # type: ignore[assignment]


class _SpawnedWithoutMain(multiprocessing.get_context("spawn").Process):  # type: ignore[misc]
    def start(self) -> None:
        """Start, and do not tell the child of the main module."""
        with _main_hidden():
            super().start()


_WITHOUT_MAIN: dict[str, type[multiprocessing.process.BaseProcess]] = {"spawn": _SpawnedWithoutMain}
if "forkserver" in multiprocessing.get_all_start_methods():

    class _ServedWithoutMain(multiprocessing.get_context("forkserver").Process):  # type: ignore[misc]
        def start(self) -> None:
            """Start, and do not tell the child of the main module."""
            with _main_hidden():
                super().start()

    _WITHOUT_MAIN["forkserver"] = _ServedWithoutMain


def _begin(blas_threads: int = 0) -> None:
    """Prepare a worker: Stop is its parent's business, and it dies with its parent."""
    if blas_threads:
        # numpy reads these when it is first imported, which in a fresh worker is later than this
        os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), str(blas_threads)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked kernel may have its own idea of it
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
