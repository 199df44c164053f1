"""Background planes evaluated and subtracted."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import BoolArray, Float32Array, FloatArray, IntArray
from nbmosaic.types import BackgroundModel, PixelBox

__all__ = ["centre_levels", "plane_coefficients", "sample_validity", "subtract_plane"]


def plane_coefficients(model: BackgroundModel, index: int) -> tuple[float, float, float]:
    """``a, b, c0`` of a frame's plane ``a * x + b * y + c0`` in 0-based grid pixels; zero for a frame that the model does not hold."""
    row = int(np.searchsorted(model.frames, index))
    if row >= len(model.frames) or model.frames[row] != index:
        return 0.0, 0.0, 0.0
    a, b, c = (float(value) for value in model.planes[row])
    x0, y0 = model.origin
    return a, b, c - a * x0 - b * y0


def subtract_plane(data: Float32Array, box: PixelBox, model: BackgroundModel, index: int) -> Float32Array:
    """`data` of a frame over `box` less its plane, as float32."""
    a, b, c = plane_coefficients(model, index)
    x: FloatArray = np.arange(box.xmin, box.xmax, dtype=float)
    y: FloatArray = np.arange(box.ymin, box.ymax, dtype=float)
    return (data - (c + b * y[:, None] + a * x[None, :])).astype(np.float32)


def sample_validity(data: Float32Array, box: PixelBox, step: int) -> tuple[BoolArray, PixelBox]:
    """Validity of a frame on the lattice of grid pixels whose row and column are multiples of `step`.

    Returns
    -------
    coarse : ndarray of bool
        Whether the lattice pixels are finite.
    coarse_box : PixelBox
        Box of `coarse` in lattice units.
    """
    ymin, xmin = -(-box.ymin // step), -(-box.xmin // step)
    ymax, xmax = -(-box.ymax // step), -(-box.xmax // step)
    coarse = np.isfinite(data[ymin * step - box.ymin :: step, xmin * step - box.xmin :: step])
    return coarse, PixelBox(ymin, ymax, xmin, xmax)


def centre_levels(model: BackgroundModel, boxes: IntArray) -> tuple[FloatArray, FloatArray | None]:
    """Value of each plane at the centre of its frame's box, and its standard error.

    Parameters
    ----------
    model : BackgroundModel
        The model, one row a frame.
    boxes : ndarray of int64, shape (m, 4)
        ``ymin, ymax, xmin, xmax`` of the frames.

    Returns
    -------
    level : ndarray of float64, shape (m,)
        Levels.
    stderr : ndarray of float64, shape (m,), or None
        Their standard errors, if the model has a covariance.
    """
    x = 0.5 * (boxes[:, 2] + boxes[:, 3] - 1) - model.origin[0]
    y = 0.5 * (boxes[:, 0] + boxes[:, 1] - 1) - model.origin[1]
    at = np.stack([x, y, np.ones_like(x)], axis=1)
    level = np.einsum("fk,fk->f", at, model.planes)
    if model.covariance is None:
        return level, None
    with np.errstate(invalid="ignore"):
        variance = np.einsum("fi,fij,fj->f", at, model.covariance, at)
    return level, np.sqrt(np.where(np.isfinite(variance), np.maximum(variance, 0.0), np.inf))
