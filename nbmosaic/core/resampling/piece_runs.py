"""Compiled kernels of the interpolants whose weights are polynomials, over runs of pixels that read neighbouring pixels.

The maps of pieces are nearly shifts: along an output row the first taps of most pixels lie one beside the other, for a hundred pixels and more. Over
such a run all reads are contiguous and the compiler makes whole registers of pixels: 5 ns a pixel for 6 x 6 taps, 3.5 for 4 x 4, where kernels that
gather pixel by pixel take 17 and 8. Runs of one or two pixels (maps that turn by 20 degrees and more, or change the scale) take about as long as
these. Bilinear interpolation gains nothing: it waits for memory. Weights are polynomials in the phase less a half, evaluated for a chunk of columns
at a time; with 256 columns they stay in the first-level cache.
Every pixel is summed in the same order whatever the run, and nothing is reassociated, so its bits do not depend on blocks, runs or chunks.

The frame and the arguments are those of `nbmosaic.core.resampling.kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.resampling.kernels import HALF, NAN, U0, U1, U2, U3, U4, U5, _addresses, _blank_outside

__all__ = ["SHARED", "runs4", "runs4_good", "runs6"]

SHARED = "6bccc11a4cba01be"  # see `nbmosaic.core.resampling.piece_kernels`

Int32Array = NDArray[np.int32]

CHUNK = 256
K1, K2, K3, K4, K5, K6, K7, K8, K9, K10, K11 = (np.uint64(CHUNK * k) for k in range(1, 12))  # where the weights of each tap begin


@njit(nogil=True, error_model="numpy")
def _run_end(idx: Int32Array, c: np.uint64, a: np.uint64, last: np.uint64) -> np.uint64:
    """First column of a chunk behind `a` (not beyond `last`) whose address does not follow that of the column before; the chunk begins at `c`."""
    shift = idx[c + a] - np.int32(a)
    b = a + U1
    while b < last and idx[c + b] - np.int32(b) == shift:
        b += U1
    return b


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _cubics(phase: Float32Array, c: np.uint64, m: np.uint64, terms: Float32Array, w: Float32Array, base: np.uint64) -> None:
    """Weights of the taps of `m` columns from column `c` on; polynomials of the third degree."""
    for k in range(terms.shape[0]):
        a0, a1, a2, a3 = terms[k, 0], terms[k, 1], terms[k, 2], terms[k, 3]
        o = base + np.uint64(k * CHUNK)
        for i in range(U0, m):
            t = phase[c + i] - HALF
            w[o + i] = ((a3 * t + a2) * t + a1) * t + a0


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _quintics(phase: Float32Array, c: np.uint64, m: np.uint64, terms: Float32Array, w: Float32Array, base: np.uint64) -> None:
    """The same of the fifth degree."""
    for k in range(terms.shape[0]):
        a0, a1, a2, a3, a4, a5 = terms[k, 0], terms[k, 1], terms[k, 2], terms[k, 3], terms[k, 4], terms[k, 5]
        o = base + np.uint64(k * CHUNK)
        for i in range(U0, m):
            t = phase[c + i] - HALF
            w[o + i] = ((((a5 * t + a4) * t + a3) * t + a2) * t + a1) * t + a0


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _row4(flat: Float32Array, q: np.uint64, w: Float32Array, i: np.uint64) -> np.float32:
    """Sum of 4 taps of one row for column `i` of a chunk."""
    return w[i] * flat[q] + w[i + K1] * flat[q + U1] + w[i + K2] * flat[q + U2] + w[i + K3] * flat[q + U3]


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _sum4(
    flat: Float32Array, q: np.uint64, down: np.uint64, w: Float32Array, first: np.uint64, last: np.uint64, out: Float32Array, start: np.uint64
) -> None:  # fmt: skip
    """Sums of 4 x 4 taps for columns `first` to `last` of a chunk into ``out[start + column]``; `q` is the address of column 0's first tap."""
    q0, q1, q2, q3 = q, q + down, q + U2 * down, q + U3 * down
    for i in range(first, last):
        total = w[i + K4] * _row4(flat, q0 + i, w, i)
        total += w[i + K5] * _row4(flat, q1 + i, w, i)
        total += w[i + K6] * _row4(flat, q2 + i, w, i)
        total += w[i + K7] * _row4(flat, q3 + i, w, i)
        out[start + i] = total


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _row6(flat: Float32Array, q: np.uint64, w: Float32Array, i: np.uint64) -> np.float32:
    """Sum of 6 taps of one row for column `i` of a chunk."""
    left = w[i] * flat[q] + w[i + K1] * flat[q + U1] + w[i + K2] * flat[q + U2]
    return left + w[i + K3] * flat[q + U3] + w[i + K4] * flat[q + U4] + w[i + K5] * flat[q + U5]


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _sum6(
    flat: Float32Array, q: np.uint64, down: np.uint64, w: Float32Array, first: np.uint64, last: np.uint64, out: Float32Array, start: np.uint64
) -> None:  # fmt: skip
    """Sums of 6 x 6 taps for columns `first` to `last` of a chunk into ``out[start + column]``; `q` is the address of column 0's first tap."""
    q0, q1, q2, q3, q4, q5 = q, q + down, q + U2 * down, q + U3 * down, q + U4 * down, q + U5 * down
    for i in range(first, last):
        total = w[i + K6] * _row6(flat, q0 + i, w, i)
        total += w[i + K7] * _row6(flat, q1 + i, w, i)
        total += w[i + K8] * _row6(flat, q2 + i, w, i)
        total += w[i + K9] * _row6(flat, q3 + i, w, i)
        total += w[i + K10] * _row6(flat, q4 + i, w, i)
        total += w[i + K11] * _row6(flat, q5 + i, w, i)
        out[start + i] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def runs4(
    img: Float32Array, terms: Float32Array, before: int,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Separable kernel of 4 x 4 taps, whose weights are polynomials: `terms` (4, 4)."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    down = np.uint64(stride)
    back = (down + U1) * np.uint64(before)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    w = np.empty(8 * CHUNK, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for c in range(lo, hi, np.uint64(CHUNK)):
            m = min(np.uint64(CHUNK), hi - c)
            _cubics(fu, c, m, terms, w, U0)
            _cubics(fv, c, m, terms, w, K4)
            a = U0
            while a < m:
                b = _run_end(idx, c, a, m)
                _sum4(flat, np.uint64(np.uint32(idx[c + a])) - back - a, down, w, a, b, res, start + c)
                a = b
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def runs4_good(
    img: Float32Array, part: Float32Array, minimum: float, terms: Float32Array, before: int,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """`runs4` of two images at once, the second the share of good pixels, by which the first is divided; NaN where it is below `minimum`."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    down = np.uint64(stride)
    back = (down + U1) * np.uint64(before)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    share, good = part.ravel(), np.empty(CHUNK, np.float32)
    least = np.float32(minimum)
    w = np.empty(8 * CHUNK, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for c in range(lo, hi, np.uint64(CHUNK)):
            m = min(np.uint64(CHUNK), hi - c)
            _cubics(fu, c, m, terms, w, U0)
            _cubics(fv, c, m, terms, w, K4)
            a = U0
            while a < m:
                b = _run_end(idx, c, a, m)
                q = np.uint64(np.uint32(idx[c + a])) - back - a
                _sum4(flat, q, down, w, a, b, res, start + c)
                _sum4(share, q, down, w, a, b, good, U0)
                a = b
            for i in range(U0, m):
                value = res[start + c + i] / good[i]
                res[start + c + i] = value if good[i] >= least else NAN
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def runs6(
    img: Float32Array, terms: Float32Array, before: int,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Separable kernel of 6 x 6 taps, whose weights are polynomials: `terms` (6, 6)."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    down = np.uint64(stride)
    back = (down + U1) * np.uint64(before)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    w = np.empty(12 * CHUNK, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for c in range(lo, hi, np.uint64(CHUNK)):
            m = min(np.uint64(CHUNK), hi - c)
            _quintics(fu, c, m, terms, w, U0)
            _quintics(fv, c, m, terms, w, K6)
            a = U0
            while a < m:
                b = _run_end(idx, c, a, m)
                _sum6(flat, np.uint64(np.uint32(idx[c + a])) - back - a, down, w, a, b, res, start + c)
                a = b
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)
