"""Smallest rectangle around a set of pixels, from the first and last pixel of each row (Montage's box)."""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import FloatArray, IntArray

__all__ = ["minimum_rectangle"]


@njit(nogil=True, error_model="numpy")
def _hull(first: IntArray, last: IntArray, x0: float, y0: float, hx: FloatArray, hy: FloatArray) -> int:
    """Convex hull of the row ends into `hx`, `hy`: left side upwards, then right side downwards; returns the number of vertices."""
    n = 0
    for j in range(first.size):
        if first[j] >= last[j]:
            continue
        x, y = first[j] - x0, j - y0
        while n > 1 and (hx[n - 1] - hx[n - 2]) * (y - hy[n - 2]) >= (x - hx[n - 2]) * (hy[n - 1] - hy[n - 2]):
            n -= 1
        hx[n], hy[n] = x, y
        n += 1
    left = n
    for j in range(first.size - 1, -1, -1):
        if first[j] >= last[j]:
            continue
        x, y = last[j] - x0, j - y0
        while n > left + 1 and (hx[n - 1] - hx[n - 2]) * (y - hy[n - 2]) >= (x - hx[n - 2]) * (hy[n - 1] - hy[n - 2]):
            n -= 1
        hx[n], hy[n] = x, y
        n += 1
    return n


@njit(nogil=True, error_model="numpy")
def _upright(first: IntArray, last: IntArray, x0: float, y0: float, out: FloatArray) -> None:
    """Upright box with half a pixel of margin, for sets that have no hull."""
    left, right, low, high = 1e300, -1e300, 1e300, -1e300
    for j in range(first.size):
        if first[j] <= last[j]:
            left, right = min(left, first[j] - x0), max(right, last[j] - x0)
            low, high = min(low, j - y0), max(high, j - y0)
    out[0], out[1] = (left + right) / 2, (low + high) / 2
    out[2], out[3], out[4] = right - left + 1, high - low + 1, 0.0


@njit(nogil=True, error_model="numpy")
def _sides(hx: FloatArray, hy: FloatArray, h: int, k: int, line: FloatArray) -> None:
    """The rectangle with a side on edge `k` of the hull, as ``a, b`` and the offsets of its sides.

    The edge is ``a x + b y + c1 = 0``, the side opposite ``a x + b y + c2 = 0``; across them ``b x - a y`` runs from ``c3`` to ``c4``.
    """
    m = (k + 1) % h
    a, b, c1 = hy[k] - hy[m], hx[m] - hx[k], hx[k] * hy[m] - hx[m] * hy[k]
    norm = np.sqrt(a * a + b * b)
    a, b, c1 = a / norm, b / norm, c1 / norm
    far, c2, c3, c4 = -1.0, 0.0, np.inf, -np.inf
    for q in range(h):
        distance = abs(a * hx[q] + b * hy[q] + c1)
        if distance > far:
            far, c2 = distance, -a * hx[q] - b * hy[q]
        along = b * hx[q] - a * hy[q]
        c3, c4 = min(c3, along), max(c4, along)
    line[0], line[1], line[2], line[3], line[4], line[5] = a, b, c1, c2, c3, c4


@njit(cache=True, nogil=True, error_model="numpy")
def minimum_rectangle(first: IntArray, last: IntArray, x0: float, y0: float, out: FloatArray) -> None:
    """Smallest rectangle that has a side on an edge of the convex hull of the row ends.

    As Montage's mFitplane: rows with a single pixel do not count, extents run between pixel centres, and where fewer than two rows are left the box
    is upright with margins of half a pixel. A smallest rectangle always has a side on a hull edge (Freeman & Shapira 1975, CACM 18, 409). Areas of the
    rectangles on two edges often tie (opposite edges, or all four), and centres lie half-way between two printed numbers: which one is taken
    is a matter of rounding, so the order of edges and of operations is Montage's.

    Parameters
    ----------
    first, last : ndarray of int64, shape (ny,)
        First and last valid column of each row; ``first > last`` where a row has none.
    x0, y0 : float
        Origin of the positions, in columns and rows.
    out : ndarray of float64, shape (5,)
        Filled with centre x, centre y, width (along the edge), height (across), angle of the edge in degrees.
    """
    n = first.size
    hx, hy, line = np.empty(2 * n + 2), np.empty(2 * n + 2), np.empty(6)
    h = _hull(first, last, x0, y0, hx, hy)
    best = np.inf
    if h < 3:
        _upright(first, last, x0, y0, out)
        return
    for k in range(h):
        _sides(hx, hy, h, k, line)
        a, b, c1, c2, c3, c4 = line
        width, height = abs(c3 - c4), abs(c1 - c2)
        if 0.0 < width * height < best:
            best = width * height
            out[0] = ((-a * c1 + b * c3) + (-a * c2 + b * c3) + (-a * c2 + b * c4) + (-a * c1 + b * c4)) / 4.0
            out[1] = ((-b * c1 - a * c3) + (-b * c2 - a * c3) + (-b * c2 - a * c4) + (-b * c1 - a * c4)) / 4.0
            out[2], out[3], out[4] = width, height, -(np.arctan2(a, b) * 45.0 / np.arctan(1.0))
