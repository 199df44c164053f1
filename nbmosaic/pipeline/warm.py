"""Compile the kernels ahead of their first use."""

from __future__ import annotations

import time

__all__ = ["warm_up"]


def warm_up() -> float:
    """Compile every kernel with the signatures that runs use, into numba's cache; returns the seconds taken.

    A first run compiles what it needs by itself (half a minute); images and Binder call this when they are built.
    """
    from nbmosaic.core.camera_canvas import warmup as warm_canvas
    from nbmosaic.core.camera_combine import warmup as warm_camera
    from nbmosaic.core.coadd import warmup as warm_coadd
    from nbmosaic.core.matching.planes import warmup as warm_planes
    from nbmosaic.core.resampling.pieces import warmup as warm_pieces
    from nbmosaic.core.resampling.resample import warmup as warm_resampling

    began = time.perf_counter()
    warm_resampling()
    warm_pieces()
    warm_camera()
    warm_canvas()
    warm_planes()
    warm_coadd()
    _warm_montage()
    return time.perf_counter() - began


def _warm_montage() -> None:
    """Compile the kernels that repeat Montage's own steps."""
    import numpy as np

    from nbmosaic.core.matching.montage_fit import difference, fit_plane
    from nbmosaic.core.matching.relaxation import box_moments, relax_background
    from nbmosaic.core.montage_coadd import BandAdder
    from nbmosaic.types import PixelBox

    image = np.add.outer(np.arange(8.0), np.arange(8.0) ** 2)
    difference(image, image + 1.0)
    fit_plane(image, (1.0, 1.0))
    boxes = box_moments(*(np.full(1, value) for value in (4.0, 4.0, 8.0, 8.0, 0.0)))
    relax_background(np.zeros(1, np.int64), np.ones(1, np.int64), np.ones((1, 3)), boxes, 2, iterations=2)
    box = PixelBox.of_shape(image.shape)
    for method in ("mean", "median"):
        adder = BandAdder(box, method)
        adder.add(box, image)
        adder.finish()
