"""Compile the kernels ahead of their first use."""

from __future__ import annotations

import time

__all__ = ["warm_up"]


def warm_up() -> float:
    """Compile every kernel with the signatures that runs use, into numba's cache; returns the seconds taken.

    A first run compiles what it needs by itself (half a minute); images and Binder call this when they are built.
    """
    from nbmosaic.core.coadd import warmup as warm_coadd
    from nbmosaic.core.matching.planes import warmup as warm_planes
    from nbmosaic.core.resampling.resample import warmup as warm_resampling

    began = time.perf_counter()
    warm_resampling()
    warm_planes()
    warm_coadd()
    return time.perf_counter() - began
