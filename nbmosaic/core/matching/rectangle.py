"""Smallest rectangle around a set of pixels, from the first and last pixel of each row (Montage's box)."""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import FloatArray, IntArray

__all__ = ["minimum_rectangle"]


@njit(nogil=True, error_model="numpy")
def _hull(first: IntArray, last: IntArray, hx: FloatArray, hy: FloatArray) -> int:
    """Convex hull of the row ends into `hx`, `hy`: left side upwards, then right side downwards; returns the number of vertices."""
    n = 0
    for j in range(first.size):
        if first[j] >= last[j]:
            continue
        x, y = float(first[j]), float(j)
        while n > 1 and (hx[n - 1] - hx[n - 2]) * (y - hy[n - 2]) >= (x - hx[n - 2]) * (hy[n - 1] - hy[n - 2]):
            n -= 1
        hx[n], hy[n] = x, y
        n += 1
    left = n
    for j in range(first.size - 1, -1, -1):
        if first[j] >= last[j]:
            continue
        x, y = float(last[j]), float(j)
        while n > left + 1 and (hx[n - 1] - hx[n - 2]) * (y - hy[n - 2]) >= (x - hx[n - 2]) * (hy[n - 1] - hy[n - 2]):
            n -= 1
        hx[n], hy[n] = x, y
        n += 1
    return n


@njit(nogil=True, error_model="numpy")
def _upright(first: IntArray, last: IntArray, out: FloatArray) -> None:
    """Upright box with half a pixel of margin, for sets that have no hull."""
    x0, x1, y0, y1 = 1e300, -1e300, 1e300, -1e300
    for j in range(first.size):
        if first[j] <= last[j]:
            x0, x1 = min(x0, float(first[j])), max(x1, float(last[j]))
            y0, y1 = min(y0, float(j)), max(y1, float(j))
    out[0], out[1] = (x0 + x1) / 2, (y0 + y1) / 2
    out[2], out[3], out[4] = x1 - x0 + 1, y1 - y0 + 1, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def minimum_rectangle(first: IntArray, last: IntArray, out: FloatArray) -> None:
    """Smallest rectangle that has a side on an edge of the convex hull of the row ends.

    As Montage's mFitplane: rows with a single pixel do not count, extents run between pixel centres, and where fewer than two rows are left the box
    is upright with margins of half a pixel. A smallest rectangle always has a side on a hull edge (Freeman & Shapira 1975, CACM 18, 409).

    Parameters
    ----------
    first, last : ndarray of int64, shape (ny,)
        First and last valid column of each row; ``first > last`` where a row has none.
    out : ndarray of float64, shape (5,)
        Filled with centre x, centre y, width (along the edge), height (across), angle of the edge in degrees.
    """
    n = first.size
    hx, hy = np.empty(2 * n + 2), np.empty(2 * n + 2)
    h = _hull(first, last, hx, hy)
    best = np.inf
    if h < 3:
        _upright(first, last, out)
        return
    for k in range(h):
        ex, ey = hx[(k + 1) % h] - hx[k], hy[(k + 1) % h] - hy[k]
        length = np.sqrt(ex * ex + ey * ey)
        if length == 0.0:
            continue
        ex, ey = ex / length, ey / length
        u0, u1, v0, v1 = np.inf, -np.inf, np.inf, -np.inf
        for q in range(h):
            u, v = hx[q] * ex + hy[q] * ey, hy[q] * ex - hx[q] * ey
            u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
        if (u1 - u0) * (v1 - v0) < best - 1e-9:
            best = (u1 - u0) * (v1 - v0)
            u, v = (u0 + u1) / 2, (v0 + v1) / 2
            out[0], out[1] = u * ex - v * ey, u * ey + v * ex
            out[2], out[3], out[4] = u1 - u0, v1 - v0, np.degrees(np.arctan2(ey, ex))
