"""A small version of the mosaic whose background planes can be changed without reading a pixel again.

A frame's plane is linear in position, so the mean of a block of corrected pixels follows from four sums over the block: the number of pixels,
their values, and their positions. The sums are made once; a new set of planes then costs a few operations a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import Float32Array, FloatArray, IntArray
from nbmosaic.types.box import PixelBox

__all__ = ["PreviewSums", "preview_mosaic", "preview_sums"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PreviewSums:
    """Sums over the blocks of a coarse lattice, one row for each frame and block that it covers.

    Attributes
    ----------
    box : PixelBox
        Grid pixels that the preview shows.
    step : int
        Side of a block in grid pixels.
    block : ndarray of int64, shape (n,)
        Flat index of the block in an image of `shape`.
    frame : ndarray of int64, shape (n,)
        Index of the frame.
    count, total, sum_x, sum_y : ndarray of float64, shape (n,)
        Sums over the finite pixels of 1, the value, and the 0-based grid position.
    """

    box: PixelBox
    step: int
    block: IntArray
    frame: IntArray
    count: FloatArray
    total: FloatArray
    sum_x: FloatArray
    sum_y: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the preview."""
        ny, nx = self.box.shape
        return -(-ny // self.step), -(-nx // self.step)


def preview_sums(frames: Iterable[tuple[int, PixelBox, Float32Array]], box: PixelBox, *, max_size: int = 400) -> PreviewSums:
    """Sum projected frames over blocks of the grid.

    Parameters
    ----------
    frames : iterable of (int, PixelBox, ndarray)
        Index, box and pixels (NaN: none) of each frame; they are read one at a time.
    box : PixelBox
        Grid pixels to show.
    max_size : int
        Longest side of the preview.

    Returns
    -------
    PreviewSums
        The sums.

    Examples
    --------
    >>> sums = preview_sums([(0, PixelBox(0, 2, 0, 4), np.ones((2, 4), np.float32))], PixelBox(0, 2, 0, 4), max_size=2)
    >>> sums.step, sums.total.tolist()
    (2, [4.0, 4.0])
    """
    step = max(1, math.ceil(max(*box.shape, 1) / max_size))
    width = -(-box.shape[1] // step)
    parts = [
        _block_sums(index, data[seen.slices(own)], seen, box, step, width)
        for index, own, data in frames
        if not (seen := own.intersection(box)).empty
    ]
    if not parts:
        empty = np.zeros(0)
        none = np.zeros(0, np.int64)
        return PreviewSums(box=box, step=step, block=none, frame=none, count=empty, total=empty, sum_x=empty, sum_y=empty)
    block, frame, count, total, sum_x, sum_y = (np.concatenate([part[i] for part in parts]) for i in range(6))
    return PreviewSums(
        box=box,
        step=step,
        block=block.astype(np.int64),
        frame=frame.astype(np.int64),
        count=count,
        total=total,
        sum_x=sum_x,
        sum_y=sum_y,
    )


def _block_sums(index: int, data: Float32Array, seen: PixelBox, box: PixelBox, step: int, width: int) -> tuple[FloatArray, ...]:
    """Sums of one frame: flat block, frame, count, total, sum of x, sum of y."""
    rows = (np.arange(seen.ymin, seen.ymax) - box.ymin) // step
    columns = (np.arange(seen.xmin, seen.xmax) - box.xmin) // step
    starts_y, starts_x = np.flatnonzero(np.diff(rows, prepend=-1)), np.flatnonzero(np.diff(columns, prepend=-1))
    good = np.isfinite(data)
    x: FloatArray = np.arange(seen.xmin, seen.xmax, dtype=float)
    y: FloatArray = np.arange(seen.ymin, seen.ymax, dtype=float)

    def blocks(values: FloatArray) -> FloatArray:
        summed: FloatArray = np.add.reduceat(np.add.reduceat(values, starts_y, axis=0), starts_x, axis=1)
        return summed

    count = blocks(good.astype(float))
    total = blocks(np.where(good, data, 0.0).astype(float))
    sum_x, sum_y = blocks(good * x), blocks(good * y[:, None])
    flat = (rows[starts_y][:, None] * width + columns[starts_x]).astype(float)
    kept = count > 0
    return flat[kept], np.full(int(kept.sum()), float(index)), count[kept], total[kept], sum_x[kept], sum_y[kept]


def preview_mosaic(sums: PreviewSums, planes: FloatArray, frames: IntArray, origin: tuple[float, float]) -> Float32Array:
    """Mean of the frames less their planes, block by block.

    Parameters
    ----------
    sums : PreviewSums
        The sums.
    planes : ndarray, shape (m, 3)
        ``a, b, c`` of ``c + a (x - x0) + b (y - y0)``.
    frames : ndarray of int, shape (m,)
        Indices of the frames of `planes`, ascending. A frame without a plane is not corrected.
    origin : tuple of float
        ``x0, y0`` in 0-based grid pixels.

    Returns
    -------
    ndarray of float32, shape of `sums`
        NaN where no frame has a pixel. Equal to the block means of the mosaic whose every frame pixel counts the same.

    Examples
    --------
    >>> sums = preview_sums([(0, PixelBox(0, 2, 0, 2), np.full((2, 2), 5, np.float32))], PixelBox(0, 2, 0, 2), max_size=1)
    >>> preview_mosaic(sums, np.array([[0.0, 0.0, 2.0]]), np.array([0]), (0.0, 0.0)).tolist()
    [[3.0]]
    """
    ny, nx = sums.shape
    row = np.minimum(np.searchsorted(frames, sums.frame), max(len(frames) - 1, 0))
    known = frames[row] == sums.frame if len(frames) else np.zeros(len(sums.frame), bool)
    a, b, c = (np.where(known, planes[row, i], 0.0) if len(frames) else np.zeros(len(sums.frame)) for i in range(3))
    x0, y0 = origin
    corrected = sums.total - a * (sums.sum_x - x0 * sums.count) - b * (sums.sum_y - y0 * sums.count) - c * sums.count
    total = np.bincount(sums.block, weights=corrected, minlength=ny * nx)
    count = np.bincount(sums.block, weights=sums.count, minlength=ny * nx)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
    return mean.reshape(ny, nx).astype(np.float32)
