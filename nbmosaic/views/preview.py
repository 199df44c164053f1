"""Small versions of large images, for pictures."""

from __future__ import annotations

import math

import numpy as np

from nbmosaic._types import AnyArray, Float32Array

__all__ = ["block_mean"]

# Sides of the lattice of pixels read from a block. 16 x 16 pixels fix the mean of a block to a sixteenth of the noise of a pixel, which no
# picture can show; a 100 000^2 memory map then costs as much as a 14 400^2 one.
MAX_SAMPLES = 16


def block_mean(data: AnyArray, max_size: int = 900) -> tuple[Float32Array, int]:
    """Shrink an image by the mean of square blocks, without the pixels that are not finite.

    The image is read once, a row of blocks at a time, so a memory map is never held as a whole. Columns are summed first (one pass of
    vector additions); only columns whose sum is not finite are looked at again pixel by pixel. Blocks larger than 16 pixels are
    sampled on a regular lattice.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Image of any real type and byte order. Not modified.
    max_size : int
        Longest side of the result, in pixels.

    Returns
    -------
    small : ndarray of float32, shape (ceil(ny / factor), ceil(nx / factor))
        Block means; NaN where a block has no finite pixel. Blocks at the upper and right edge may be cut.
    factor : int
        Side of a block in pixels; 1 if the image was small enough (then `small` is a copy).

    Raises
    ------
    ValueError
        If `data` is not two-dimensional or empty.

    Examples
    --------
    >>> small, factor = block_mean(np.arange(16.0).reshape(4, 4), max_size=2)
    >>> factor, small.tolist()
    (2, [[2.5, 4.5], [10.5, 12.5]])
    """
    if data.ndim != 2 or not data.size:
        raise ValueError(f"image of shape {data.shape} cannot be drawn: it needs two axes and at least one pixel")
    ny, nx = data.shape
    factor = max(1, math.ceil(max(ny, nx) / max_size))
    if factor == 1:
        small = np.array(data, np.float32)
        small[~np.isfinite(small)] = np.nan
        return small, 1
    step = math.ceil(factor / MAX_SAMPLES)
    columns = np.concatenate([np.arange(x, min(x + factor, nx), step) for x in range(0, nx, factor)]) if step > 1 else np.arange(nx)
    starts = np.searchsorted(columns, np.arange(0, nx, factor))
    out = np.empty((math.ceil(ny / factor), len(starts)), np.float32)
    with np.errstate(all="ignore"):
        for i in range(len(out)):
            band = data[i * factor : (i + 1) * factor : step]
            out[i] = _band_mean(band[:, columns] if step > 1 else band, starts)
    return out, factor


def _band_mean(band: AnyArray, starts: AnyArray) -> AnyArray:
    """Means of one row of blocks that begin at the columns `starts`."""
    dtype = np.float32 if band.dtype.itemsize <= 4 and band.dtype.kind == "f" else np.float64
    total = np.add.reduce(band, axis=0, dtype=dtype).astype(np.float64)
    count = np.full(band.shape[1], float(len(band)))
    bad = np.flatnonzero(~np.isfinite(total))
    if len(bad):
        part = band if len(bad) == band.shape[1] else band[:, bad]
        good = np.isfinite(part)
        total[bad] = np.add.reduce(part, axis=0, dtype=np.float64, where=good)
        count[bad] = np.add.reduce(good, axis=0, dtype=np.float64)
    n = np.add.reduceat(count, starts)
    return np.where(n > 0, np.add.reduceat(total, starts) / n, np.nan)
