"""Worker processes of a run that end at once when it is stopped, and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
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

    Examples
    --------
    >>> pool = WorkerPool(1, "spawn")
    >>> pool.stop()
    """

    def __init__(self, n_workers: int, method: StartMethod, *, blas_threads: int = 0) -> None:
        super().__init__(n_workers, mp_context=multiprocessing.get_context(method), initializer=_begin, initargs=(blas_threads,))

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
