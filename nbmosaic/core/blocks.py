"""Block averages of an image."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import AnyArray, Float32Array

__all__ = ["block_mean", "block_sum"]


def block_sum(values: AnyArray, factor: int) -> AnyArray:
    """Sum over blocks of `factor` x `factor` pixels; rows and columns that do not fill a block are left out.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        Values; NaN count as 0.
    factor : int
        Side of a block.

    Returns
    -------
    ndarray of float64, shape (ny // factor, nx // factor)
        Sums.
    """
    ny, nx = values.shape[0] // factor, values.shape[1] // factor
    result = np.zeros((ny, nx))
    for row in range(ny):  # a band at a time: no copy of the whole image
        band = np.asarray(values[row * factor : (row + 1) * factor, : nx * factor], dtype=float)
        result[row] = np.nan_to_num(band, nan=0.0).reshape(factor, nx, factor).sum(axis=(0, 2))
    return result


def block_mean(data: Float32Array, weight: AnyArray, factor: int) -> Float32Array:
    """Weighted mean over blocks of `factor` x `factor` pixels, NaN where a block has no weight.

    Equal to Montage's mShrink for whole factors and equal weights: the mean of the pixels that are not NaN.
    """
    ny, nx = data.shape[0] // factor, data.shape[1] // factor
    result = np.full((ny, nx), np.nan, np.float32)
    for row in range(ny):
        rows = slice(row * factor, (row + 1) * factor)
        values = np.asarray(data[rows, : nx * factor], dtype=float)
        weights = np.where(np.isfinite(values), np.asarray(weight[rows, : nx * factor], dtype=float), 0.0)
        total = weights.reshape(factor, nx, factor).sum(axis=(0, 2))
        summed = (np.nan_to_num(values, nan=0.0) * weights).reshape(factor, nx, factor).sum(axis=(0, 2))
        np.divide(summed, total, out=result[row], where=total > 0, casting="unsafe")
    return result
