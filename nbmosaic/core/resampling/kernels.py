"""Compiled kernels that gather: each output pixel from the input pixels around its position.

All kernels have the same frame. An output row is done in two phases. Phase one (`_addresses`) evaluates the pixel map of the row, which is a
polynomial in t (or a table), and turns it into the address of the first tap and the two sub-pixel phases; it has no branches and the
compiler vectorises it. Phase two gathers. Compared with one loop that does both this is 2 to 3 times faster.
Further points that the measurements decided:

* Rows are done whole: blocks of columns, which would keep the row's buffers in the fastest cache, cost more than they save.
* Addresses are unsigned: signed ones make numba add code for negative indices to every access.
* Every pixel of an output row is written once, NaN outside the frame, so nothing has to be cleared before.
* Positions are clamped before they become addresses, so no position, not even NaN, reads outside the image. Pixels that were clamped are
  set to NaN after the row has been done, if there are any between the first and the last valid one (curved frame edges).
* Taps come from tables of `1 + number of phases` rows. 1024 phases put the error below 0.0005 px.
* `fastmath` (20 to 30 % faster) is used where the values are known to be finite.

Functions called by kernels stay in this file: the cache of a kernel does not notice a change in another file. The exceptions are used by
`piece_kernels` and `edge_sums`, too, which hold a fingerprint of them that a test compares: it must change with them.

Arguments common to all kernels
-------------------------------
``img`` : padded image, C-contiguous. ``pu, pv`` : map of each row, power-basis coefficients in t = scale * (first + i) - 1, or, where
``table`` is 1, the positions themselves, where it is 2, positions at columns at equal distances, between which the map is linear.
``first, n, scale`` : columns of the patch that are done. ``window`` : see `WINDOW`.
``out, y0, x0`` : output image and where the first column of the first row goes.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, Float32Array, FloatArray

__all__ = ["WINDOW", "coverage", "linear", "nearest", "phase_area", "taps4", "taps8"]

ByteArray = NDArray[np.uint8]
Int32Array = NDArray[np.int32]

# What the entries of a window are: what is added to a position to make it a position in the padded image, then, in the padded image, the
# closed interval of valid positions in x and y, the positions that others are clamped to, and the last column and row a first tap may have.
WINDOW = (
    "shift_x",
    "shift_y",
    "valid_x0",
    "valid_x1",
    "valid_y0",
    "valid_y1",
    "clamp_x0",
    "clamp_x1",
    "clamp_y0",
    "clamp_y1",
    "last_x",
    "last_y",
)

U0, U1, U2, U3, U4, U5, U6, U7, U8 = (np.uint64(k) for k in range(9))
NAN = np.float32(np.nan)
HALF = np.float32(0.5)
ONE = np.float32(1)


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _positions(pu: FloatArray, pv: FloatArray, r: int, table: int, first: int, scale: float, n: int, x: FloatArray, y: FloatArray) -> None:
    """Positions of `n` columns of row `r` into `x` and `y`."""
    degree = pu.shape[1] - 1
    if table == 2:  # samples, linear in between
        steps = 0.5 * scale * degree
        for i in range(n):
            t = (first + i) * steps
            j = np.uint64(min(np.int32(t), np.int32(degree - 1)))
            t -= j
            x[i] = (1.0 - t) * pu[r, j] + t * pu[r, j + U1]
            y[i] = (1.0 - t) * pv[r, j] + t * pv[r, j + U1]
    elif table:
        for i in range(n):
            x[i] = pu[r, first + i]
            y[i] = pv[r, first + i]
    elif degree == 3:  # frames without distortion: the usual case
        a0, a1, a2, a3 = pu[r, 0], pu[r, 1], pu[r, 2], pu[r, 3]
        b0, b1, b2, b3 = pv[r, 0], pv[r, 1], pv[r, 2], pv[r, 3]
        for i in range(n):
            t = (first + i) * scale - 1.0
            x[i] = ((a3 * t + a2) * t + a1) * t + a0
            y[i] = ((b3 * t + b2) * t + b1) * t + b0
    else:
        for i in range(n):
            x[i] = pu[r, degree]
            y[i] = pv[r, degree]
        for k in range(degree - 1, -1, -1):
            a = pu[r, k]
            b = pv[r, k]
            for i in range(n):
                t = (first + i) * scale - 1.0
                x[i] = x[i] * t + a
                y[i] = y[i] * t + b


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _addresses(
    pu: FloatArray,
    pv: FloatArray,
    r: int,
    table: int,
    first: int,
    scale: float,
    n: int,
    window: FloatArray,
    stride: int,
    x: FloatArray,
    y: FloatArray,
    idx: Int32Array,
    fu: Float32Array,
    fv: Float32Array,
    ok: BoolArray,
) -> tuple[np.uint64, np.uint64, bool]:
    """Addresses and phases of `n` columns of row `r`; returns the slice of columns that holds all valid ones, and whether it holds only these."""
    _positions(pu, pv, r, table, first, scale, n, x, y)
    shift_x, shift_y = window[0], window[1]
    vx0, vx1, vy0, vy1 = window[2], window[3], window[4], window[5]
    cx0, cx1, cy0, cy1 = window[6], window[7], window[8], window[9]
    last_x, last_y = np.int32(window[10]), np.int32(window[11])
    step = np.int32(stride)
    count = np.int32(0)
    for i in range(n):
        u = x[i] + shift_x
        v = y[i] + shift_y
        good = (u >= vx0) & (u <= vx1) & (v >= vy0) & (v <= vy1)
        ok[i] = good
        count += np.int32(good)
        # written so that NaN ends at the lower bound
        u = u if u > cx0 else cx0  # noqa: FURB136 - max() does not promise what NaN gives
        u = u if u < cx1 else cx1  # noqa: FURB136 - as above
        v = v if v > cy0 else cy0  # noqa: FURB136 - as above
        v = v if v < cy1 else cy1  # noqa: FURB136 - as above
        iu = min(np.int32(u), last_x)
        iv = min(np.int32(v), last_y)
        idx[i] = iv * step + iu
        fu[i] = np.float32(u - iu)
        fv[i] = np.float32(v - iv)
    if count == 0:
        return U0, U0, True
    lo = 0
    while not ok[lo]:
        lo += 1
    hi = n
    while not ok[hi - 1]:
        hi -= 1
    return np.uint64(lo), np.uint64(hi), count == hi - lo


@njit(nogil=True, error_model="numpy")
def _blank_outside(
    out: Float32Array, start: np.uint64, lo: np.uint64, hi: np.uint64, n: int, full: int, ok: BoolArray, value: np.float32
) -> None:
    """Write `value` to the columns of a block that see nothing of the frame; the block begins at element `start` of `out`."""
    for i in range(U0, lo):
        out[start + i] = value
    for i in range(hi, np.uint64(n)):
        out[start + i] = value
    if not full:
        for i in range(lo, hi):
            if not ok[i]:
                out[start + i] = value


@njit(cache=True, nogil=True, error_model="numpy")
def nearest(
    img: Float32Array,
    pu: FloatArray,
    pv: FloatArray,
    table: int,
    first: int,
    n: int,
    scale: float,
    window: FloatArray,
    out: Float32Array,
    y0: int,
    x0: int,
) -> None:
    """Value of the pixel that holds the position (`window` shifts by half a pixel)."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            res[start + i] = flat[np.uint64(np.uint32(idx[i]))]
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def linear(
    img: Float32Array,
    pu: FloatArray,
    pv: FloatArray,
    table: int,
    first: int,
    n: int,
    scale: float,
    window: FloatArray,
    out: Float32Array,
    y0: int,
    x0: int,
) -> None:
    """Bilinear interpolation."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    down = np.uint64(stride)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i]))
            q2 = q + down
            f, g = fu[i], fv[i]
            # weights rather than differences: exact at f = 1, and not spoilt by a large neighbour of weight 0
            upper = (ONE - f) * flat[q] + f * flat[q + U1]
            lower = (ONE - f) * flat[q2] + f * flat[q2 + U1]
            res[start + i] = (ONE - g) * upper + g * lower
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def coverage(
    good: ByteArray,
    pu: FloatArray,
    pv: FloatArray,
    table: int,
    first: int,
    n: int,
    scale: float,
    window: FloatArray,
    out: Float32Array,
    y0: int,
    x0: int,
) -> None:
    """Bilinear weight of the good pixels (`good` is 1 or 0); 0 outside the frame."""
    flat, res = good.ravel(), out.ravel()
    stride, width = good.shape[1], out.shape[1]
    down = np.uint64(stride)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i]))
            q2 = q + down
            p00, p01, p10, p11 = flat[q], flat[q + U1], flat[q2], flat[q2 + U1]
            if p00 & p01 & p10 & p11:  # nearly always: exactly 1
                res[start + i] = ONE
            else:
                f, g = fu[i], fv[i]
                upper = (ONE - f) * np.float32(p00) + f * np.float32(p01)
                lower = (ONE - f) * np.float32(p10) + f * np.float32(p11)
                res[start + i] = (ONE - g) * upper + g * lower
        _blank_outside(res, start, lo, hi, n, full, ok, np.float32(0))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def taps4(
    img: Float32Array,
    lut: Float32Array,
    pu: FloatArray,
    pv: FloatArray,
    table: int,
    first: int,
    n: int,
    scale: float,
    window: FloatArray,
    out: Float32Array,
    y0: int,
    x0: int,
) -> None:
    """Separable kernel of 4 x 4 taps; `lut` (phases + 1, 4); the first tap lies one pixel before the position."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    taps = lut.ravel()
    down = np.uint64(stride)
    before = down + U1
    phases = np.float32(lut.shape[0] - 1)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i])) - before
            lx = np.uint64(np.uint32(np.int32(fu[i] * phases + HALF))) * U4
            ly = np.uint64(np.uint32(np.int32(fv[i] * phases + HALF))) * U4
            w = taps[ly]
            a0, a1, a2, a3 = w * flat[q], w * flat[q + U1], w * flat[q + U2], w * flat[q + U3]
            for j in range(1, 4):
                q += down
                w = taps[ly + np.uint64(j)]
                a0 += w * flat[q]
                a1 += w * flat[q + U1]
                a2 += w * flat[q + U2]
                a3 += w * flat[q + U3]
            res[start + i] = (a0 * taps[lx] + a2 * taps[lx + U2]) + (a1 * taps[lx + U1] + a3 * taps[lx + U3])
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def taps8(
    img: Float32Array,
    lut: Float32Array,
    rows: int,
    pu: FloatArray,
    pv: FloatArray,
    table: int,
    first: int,
    n: int,
    scale: float,
    window: FloatArray,
    out: Float32Array,
    y0: int,
    x0: int,
) -> None:
    """Separable kernel of up to 8 x 8 taps; `lut` (phases + 1, 8), of which the first `rows` are not zero.

    The first tap lies ``rows // 2 - 1`` pixels before the position. Rows of 8 values are loaded whatever `rows` is: the compiler keeps them
    in one register.
    """
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    taps = lut.ravel()
    down = np.uint64(stride)
    before = (down + U1) * np.uint64(rows // 2 - 1)
    phases = np.float32(lut.shape[0] - 1)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i])) - before
            lx = np.uint64(np.uint32(np.int32(fu[i] * phases + HALF))) * U8
            ly = np.uint64(np.uint32(np.int32(fv[i] * phases + HALF))) * U8
            w = taps[ly]
            a0, a1, a2, a3 = w * flat[q], w * flat[q + U1], w * flat[q + U2], w * flat[q + U3]
            a4, a5, a6, a7 = w * flat[q + U4], w * flat[q + U5], w * flat[q + U6], w * flat[q + U7]
            for j in range(1, rows):
                q += down
                w = taps[ly + np.uint64(j)]
                a0 += w * flat[q]
                a1 += w * flat[q + U1]
                a2 += w * flat[q + U2]
                a3 += w * flat[q + U3]
                a4 += w * flat[q + U4]
                a5 += w * flat[q + U5]
                a6 += w * flat[q + U6]
                a7 += w * flat[q + U7]
            even = (a0 * taps[lx] + a4 * taps[lx + U4]) + (a2 * taps[lx + U2] + a6 * taps[lx + U6])
            odd = (a1 * taps[lx + U1] + a5 * taps[lx + U5]) + (a3 * taps[lx + U3] + a7 * taps[lx + U7])
            res[start + i] = even + odd
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def phase_area(
    img: Float32Array,
    good: ByteArray,
    solid: ByteArray,
    lut: Float32Array,
    reach: int,
    squared: int,
    minimum: float,
    area: Float32Array,
    pu: FloatArray,
    pv: FloatArray,
    table: int,
    first: int,
    n: int,
    scale: float,
    window: FloatArray,
    out: Float32Array,
    y0: int,
    x0: int,
) -> None:
    """Weighted sum over the pixels that an output pixel overlaps, by a table of overlaps.

    ``lut`` (phases + 1, phases + 1, (2 reach + 1)**2), see `nbmosaic.core.resampling.overlap_area.phase_table`. ``img`` and ``good`` are 0 where
    bad and outside; ``solid`` is 1 where all taps around are good. Elsewhere the sum is divided by the overlap with good pixels (with
    ``squared``, where weights are squared, by its square), which is also what ``area`` receives; below ``minimum`` the pixel is blank.
    """
    flat, res, cover, whole, usable = img.ravel(), out.ravel(), area.ravel(), solid.ravel(), good.ravel()
    stride, width = img.shape[1], out.shape[1]
    down = np.uint64(stride)
    before = (down + U1) * np.uint64(reach)
    taps = np.uint64(2 * reach + 1)
    weights = lut.ravel()
    per_row = np.int32(lut.shape[1])
    per_phase = np.uint64(lut.shape[2])
    phases = np.float32(lut.shape[0] - 1)
    fast = reach == 1 and not squared
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i]))
            p = np.uint64(np.uint32(np.int32(fv[i] * phases + HALF) * per_row + np.int32(fu[i] * phases + HALF))) * per_phase
            all_good = whole[q]
            q -= before
            if fast and all_good:
                q1 = q + down
                q2 = q1 + down
                upper = weights[p] * flat[q] + weights[p + U1] * flat[q + U1] + weights[p + U2] * flat[q + U2]
                centre = weights[p + U3] * flat[q1] + weights[p + U4] * flat[q1 + U1] + weights[p + U5] * flat[q1 + U2]
                lower = weights[p + U6] * flat[q2] + weights[p + U7] * flat[q2 + U1] + weights[p + U8] * flat[q2 + U2]
                res[start + i] = upper + centre + lower
                cover[start + i] = ONE
                continue
            total = np.float32(0)
            covered = np.float32(0)
            for _ in range(U0, taps):
                for k in range(U0, taps):
                    w = weights[p + k]
                    covered += w * np.float32(usable[q + k])
                    total += (w * w if squared else w) * flat[q + k]
                p += taps
                q += down
            if all_good:
                covered = ONE
            if covered >= minimum:
                res[start + i] = total / (covered * covered if squared else covered)
                cover[start + i] = min(covered, ONE)
            else:
                res[start + i] = NAN
                cover[start + i] = 0
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)
        _blank_outside(cover, start, lo, hi, n, full, ok, np.float32(0))
