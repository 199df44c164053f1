"""Background planes evaluated and subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import BoolArray, Float32Array, FloatArray, IntArray
from nbmosaic.core.matching.planes import FULL_AREA
from nbmosaic.types import BackgroundModel, OverlapPlanes, PixelBox

__all__ = [
    "OverlapImages",
    "centre_levels",
    "frame_depth",
    "overlap_images",
    "plane_coefficients",
    "sample_validity",
    "subtract_plane",
]


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


def frame_depth(masks: Sequence[BoolArray], boxes: Sequence[PixelBox], box: PixelBox) -> IntArray:
    """Number of frames that are valid at each sample of a lattice.

    Parameters
    ----------
    masks : sequence of ndarray of bool
        Validity of the frames on the lattice, as from `sample_validity`.
    boxes : sequence of PixelBox
        Boxes of the masks, in lattice units.
    box : PixelBox
        Samples wanted, in lattice units.

    Returns
    -------
    ndarray of int64, shape of `box`
        Numbers of frames.

    Examples
    --------
    >>> frame_depth([np.ones((1, 2), bool)] * 2, [PixelBox(0, 1, 0, 2), PixelBox(0, 1, 1, 3)], PixelBox(0, 1, 0, 3)).tolist()
    [[1, 2, 1]]
    """
    depth = np.zeros(box.shape, np.int64)
    for mask, own in zip(masks, boxes, strict=True):
        part = own.intersection(box)
        if not part.empty:
            depth[part.slices(box)] += mask[part.slices(own)]
    return depth


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OverlapImages:
    """What the plane fit of an overlap saw.

    Attributes
    ----------
    difference : ndarray of float64, shape (ny, nx)
        Frame `plus` minus frame `minus` at the pixels that the fit took; NaN elsewhere.
    plane : ndarray of float64, shape (ny, nx)
        The fitted plane.
    kept : ndarray of bool, shape (ny, nx)
        Pixels that the clipping kept.
    """

    difference: FloatArray
    plane: FloatArray
    kept: BoolArray


def overlap_images(
    plus: Float32Array,
    minus: Float32Array,
    box: PixelBox,
    planes: OverlapPlanes,
    row: int,
    *,
    plus_area: Float32Array | None = None,
    minus_area: Float32Array | None = None,
) -> OverlapImages:
    """Difference of two frames over their overlap, the plane fitted to it, and the pixels kept.

    The clipping keeps what is nearest to the plane, so the pixels kept are known from their number.

    Parameters
    ----------
    plus, minus : ndarray of float32, shape (ny, nx)
        The two frames over `box`.
    box : PixelBox
        Pixels of the mosaic grid that the windows cover.
    planes : OverlapPlanes
        The fits.
    row : int
        Row of the pair in `planes`.
    plus_area, minus_area : ndarray of float32, shape (ny, nx), optional
        Coverage of the pixels.

    Returns
    -------
    OverlapImages
        The images.

    Examples
    --------
    >>> from nbmosaic.core.matching.planes import fit_overlap, stack_fits
    >>> x = np.arange(40, dtype=np.float32) + np.zeros((20, 1), np.float32)
    >>> box = PixelBox(0, 20, 0, 40)
    >>> shown = overlap_images(x, 0.5 * x, box, stack_fits([fit_overlap(x, 0.5 * x, box)]), 0)
    >>> bool(np.allclose(shown.difference, shown.plane)), int(shown.kept.sum())
    (True, 800)
    """
    difference = np.asarray(plus, float) - np.asarray(minus, float)
    x: FloatArray = np.arange(box.xmin, box.xmax, dtype=float) - planes.xmean[row]
    y: FloatArray = np.arange(box.ymin, box.ymax, dtype=float) - planes.ymean[row]
    plane = planes.level[row] + planes.slope_x[row] * x[None, :] + planes.slope_y[row] * y[:, None]
    away = np.abs(difference - plane)
    valid = np.isfinite(away)
    full = valid.copy()
    for area in (plus_area, minus_area):
        if area is not None:
            full &= area > FULL_AREA
    if full.sum() == planes.n_valid[row]:  # else the fit took the partly covered pixels, too: there were too few others
        valid = full
    n = int(min(planes.n_pixels[row], valid.sum()))
    limit = np.partition(away[valid], n - 1)[n - 1] if n else -1.0
    return OverlapImages(difference=np.where(valid, difference, np.nan), plane=plane, kept=valid & (away <= limit))


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
