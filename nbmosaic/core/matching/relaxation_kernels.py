"""Compiled loop of Montage's background relaxation (see `nbmosaic.core.matching.relaxation`)."""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import Float32Array, FloatArray, IntArray

__all__ = ["eliminate", "relax"]

_ZERO = np.float32(0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def eliminate(sums: FloatArray, steps: Float32Array, rows: IntArray) -> None:
    """Gauss-Jordan elimination of the 3 x 3 matrices of all images in single precision, with full pivoting, kept as steps to apply to right-hand sides.

    Parameters
    ----------
    sums : ndarray of float64, shape (m, 6)
        xx, xy, x, yy, y, 1 of each image.
    steps : ndarray of float32, shape (m, 12)
        Filled: for each of 3 pivots its inverse, and the factors of the three rows (that of the pivot's row is not used).
    rows : ndarray of int64, shape (m, 6)
        Filled: for each pivot its row and column; row -1 where the matrix is singular.
    """
    a = np.empty((3, 3), np.float32)
    taken = np.empty(3, np.int64)
    for k in range(sums.shape[0]):
        s = sums[k]
        a[0, 0], a[0, 1], a[0, 2] = s[0], s[1], s[2]
        a[1, 0], a[1, 1], a[1, 2] = s[1], s[3], s[4]
        a[2, 0], a[2, 1], a[2, 2] = s[2], s[4], s[5]
        taken[:] = 0
        for step in range(3):
            big, row, column = _ZERO, -1, -1
            for j in range(3):
                if taken[j]:
                    continue
                for i in range(3):
                    if not taken[i] and abs(a[j, i]) >= big:
                        big, row, column = abs(a[j, i]), j, i
            rows[k, 2 * step], rows[k, 2 * step + 1] = row, column
            if row < 0 or not big > 0:
                rows[k, 0] = -1
                break
            taken[column] = 1
            if row != column:
                for i in range(3):
                    a[row, i], a[column, i] = a[column, i], a[row, i]
            inverse = np.float32(1.0) / a[column, column]
            steps[k, 4 * step] = inverse
            a[column, column] = np.float32(1.0)
            for i in range(3):
                a[column, i] *= inverse
            for j in range(3):
                if j == column:
                    continue
                factor = a[j, column]
                steps[k, 4 * step + 1 + j] = factor
                a[j, column] = _ZERO
                for i in range(3):
                    a[j, i] -= a[column, i] * factor


@njit(cache=True, nogil=True, error_model="numpy")
def relax(
    plus: IntArray, minus: IntArray, moments: FloatArray, planes: FloatArray, sums: FloatArray, steps: Float32Array, rows: IntArray,
    level_iterations: int, iterations: int, result: FloatArray,
) -> None:  # fmt: skip
    """Damped Jacobi iterations.

    Parameters
    ----------
    plus, minus : ndarray of int64, shape (n,)
        Images of each overlap.
    moments : ndarray of float64, shape (n, 6)
        xx, xy, x, yy, y, 1 of each overlap.
    planes : ndarray of float64, shape (n, 3)
        a, b, c of each overlap; holds what is left of them at the end.
    sums : ndarray of float64, shape (m, 6)
        Moments of each image.
    steps, rows
        Of `eliminate`.
    level_iterations, iterations : int
        The first ones change levels only.
    result : ndarray of float64, shape (m, 3)
        Filled with the corrections a, b, c.
    """
    m, n = result.shape[0], plus.size
    change, right = np.zeros((m, 3)), np.zeros((m, 3))
    others = planes.copy()  # Montage keeps each overlap once for either image, and rounds the two differently
    b = np.empty(3, np.float32)
    result[:] = 0.0
    for it in range(iterations):
        right[:] = 0.0
        for k in range(n):
            p, q = plus[k], minus[k]
            s, d, e = moments[k], planes[k], others[k]
            d[2] = d[2] - change[p, 2] + change[q, 2]
            e[2] = e[2] + change[q, 2] - change[p, 2]
            if it >= level_iterations:
                d[0] = d[0] - change[p, 0] + change[q, 0]
                d[1] = d[1] - change[p, 1] + change[q, 1]
                e[0] = e[0] + change[q, 0] - change[p, 0]
                e[1] = e[1] + change[q, 1] - change[p, 1]
                right[p, 0] += s[0] * d[0] + s[1] * d[1] + s[2] * d[2]
                right[p, 1] += s[1] * d[0] + s[3] * d[1] + s[4] * d[2]
                right[q, 0] -= s[0] * e[0] + s[1] * e[1] + s[2] * e[2]
                right[q, 1] -= s[1] * e[0] + s[3] * e[1] + s[4] * e[2]
            right[p, 2] += s[2] * d[0] + s[4] * d[1] + s[5] * d[2]
            right[q, 2] -= s[2] * e[0] + s[4] * e[1] + s[5] * e[2]
        if it < level_iterations:
            for k in range(m):
                step = 0.5 * np.float64(np.float32(right[k, 2] / sums[k, 5])) if sums[k, 5] > 0 else 0.0
                change[k, 2] = step
                result[k, 2] += step
            continue
        for k in range(m):
            if rows[k, 0] < 0:
                change[k, 2] = 0.5 * right[k, 2] / sums[k, 5] if sums[k, 5] > 0 else 0.0
                result[k, 2] += change[k, 2]
                continue
            b[0], b[1], b[2] = right[k, 0], right[k, 1], right[k, 2]
            for step in range(3):
                row, column = rows[k, 2 * step], rows[k, 2 * step + 1]
                b[row], b[column] = b[column], b[row]
                b[column] *= steps[k, 4 * step]
                value = b[column]
                for j in range(3):
                    if j != column:
                        b[j] -= value * steps[k, 4 * step + 1 + j]
            for j in range(3):
                change[k, j] = 0.5 * np.float64(b[j])
                result[k, j] += change[k, j]
