"""Loading of what resampling needs."""

from __future__ import annotations

import gc
from functools import lru_cache

import numpy as np

__all__ = ["load_kernels"]


@lru_cache(maxsize=1)
def load_kernels() -> None:
    """Import numba and the coordinates, and make numba ready, with the garbage collector paused; once a process.

    A million objects are made that all stay. The collector would look through them again and again as they become more: 0.15 s of 1.0, and twice more
    as its young and middle generations: another 0.15 s. So they join the oldest generation at once, which is what freezing and unfreezing does.

    Examples
    --------
    >>> load_kernels()
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        import astropy.wcs  # noqa: F401 - loaded, not used

        from nbmosaic.core.camera_combine import n_values

        n_values(np.zeros((1, 1), np.float32))
    finally:
        if not gc.get_freeze_count():  # what somebody else froze stays frozen
            gc.freeze()
            gc.unfreeze()
        if collecting:
            gc.enable()
