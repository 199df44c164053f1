"""Area-weighted averages of an image on coarser or finer pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import InputError

__all__ = ["shrink_factor", "shrink_image"]

_ROUNDING = 1e-9  # 256 / 2.56 is 99.99999999999999 in binary


def shrink_factor(shape: tuple[int, int], factor: float, *, fixed_size: bool = False) -> float:
    """Check a factor, or find the one that brings the longer axis to a wanted number of pixels.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    factor : float
        Input pixels in the side of an output pixel (below 1: the image is blown up); with `fixed_size`, the wanted length of the longer axis.

    Raises
    ------
    InputError
        The factor is not positive, or leaves no pixel.

    Examples
    --------
    >>> shrink_factor((100, 400), 50, fixed_size=True)
    8.0
    """
    if not math.isfinite(factor) or factor <= 0 or (fixed_size and factor < 1):
        what = "Requested image size" if fixed_size else "Shrink factor"
        raise InputError(f"{what} must be positive, not {factor:g}")
    if fixed_size:
        factor = max(shape) / int(factor)
    if factor > min(shape):
        raise InputError(f"Trying to shrink image to smaller than one pixel: factor {factor:g} for {shape[1]} x {shape[0]} pixels")
    return float(factor)


def shrink_image(values: FloatArray, factor: float) -> FloatArray:
    """Mean over squares of `factor` x `factor` input pixels, each pixel weighted by the part of it inside the square; NaN do not count.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        Pixels.
    factor : float
        Any positive number; whole factors give means of blocks, 1/2 gives four equal pixels for each.

    Returns
    -------
    ndarray, shape (floor(ny / factor), floor(nx / factor))
        NaN where a square holds no finite pixel.

    Examples
    --------
    >>> shrink_image(np.array([[1.0, 2.0, 6.0], [1.0, 2.0, 6.0]]), 2)
    array([[1.5]])
    """
    rows, columns = (_weights(n, factor) for n in values.shape)
    good = np.isfinite(values)
    total: FloatArray = (columns @ (rows @ np.where(good, values, 0.0)).T).T
    area: FloatArray = (columns @ (rows @ good.astype(np.float64)).T).T
    out = np.full(total.shape, np.nan)
    np.divide(total, area, out=out, where=area > _ROUNDING)
    return out


def _weights(length: int, factor: float) -> Any:
    """Sparse matrix of the lengths of input pixels inside output pixels."""
    from scipy.sparse import csr_array

    n_out = math.floor(length / factor + _ROUNDING)
    begin = np.arange(n_out) * factor
    end = np.minimum(begin + factor, length)
    first = np.floor(begin + _ROUNDING).astype(np.int64)
    reach = math.ceil(factor) + 1
    index = first[:, None] + np.arange(reach)
    weight = np.minimum(index + 1.0, end[:, None]) - np.maximum(index, begin[:, None])
    inside = (weight > _ROUNDING) & (index < length)
    row = np.broadcast_to(np.arange(n_out)[:, None], index.shape)
    return csr_array((weight[inside], (row[inside], index[inside])), shape=(n_out, length))
