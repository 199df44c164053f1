"""Compiled kernels of the interpolants beyond those of `nbmosaic.core.resampling.kernels`, whose frame and arguments they share.

Tables of taps (see `nbmosaic.core.resampling.piece_taps`) are interpolated between phases: a star with a peak of 14000 then keeps its value to
0.01, where the nearest of 1024 phases is off by up to 3. ``rows`` and ``before`` : number of taps and how many of them lie before the pixel
at the position. ``stepped`` : the nearest phase is used as it is; of two equally near ones the earlier.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, Float32Array, FloatArray, IntArray
from nbmosaic.core.resampling.kernels import HALF, NAN, ONE, U0, U1, U2, U3, U4, U5, U6, U7, U8, _addresses, _blank_outside

__all__ = ["SHARED", "codes_linear", "fill_boundary", "gather_codes", "mask_linear", "taps4", "taps8", "taps_many"]

SHARED = "6bccc11a4cba01be"  # fingerprint of the functions of other files: where they change, this file must, or old compiled versions stay in use

ByteArray = NDArray[np.uint8]
ShortArray = NDArray[np.uint16]
Int32Array = NDArray[np.int32]


@njit(cache=True, nogil=True, error_model="numpy")
def fill_boundary(img: Float32Array, rows: IntArray, columns: IntArray, pad: int, constant: float) -> None:
    """Fill the padding of an image: padded row and column k are copies of rows[k] and columns[k] of the image, or `constant` where that is -1."""
    ny, nx = rows.size - 2 * pad, columns.size - 2 * pad
    for y in range(pad, pad + ny):
        row = img[y]
        for x in range(pad):
            row[x] = row[pad + columns[x]] if columns[x] >= 0 else constant
        for x in range(pad + nx, columns.size):
            row[x] = row[pad + columns[x]] if columns[x] >= 0 else constant
    for k in range(2 * pad):
        y = k if k < pad else ny + k
        if rows[y] >= 0:
            img[y] = img[pad + rows[y]]
        else:
            img[y] = constant


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def taps4(
    img: Float32Array, lut: Float32Array, before: int,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Separable kernel of up to 4 x 4 taps; `lut` (phases + 2, 4)."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    taps = lut.ravel()
    down = np.uint64(stride)
    back = (down + U1) * np.uint64(before)
    phases = np.float32(lut.shape[0] - 2)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i])) - back
            f, g = fu[i] * phases, fv[i] * phases
            kx, ky = np.int32(f), np.int32(g)
            f -= np.float32(kx)
            g -= np.float32(ky)
            lx, ly = np.uint64(np.uint32(kx)) * U4, np.uint64(np.uint32(ky)) * U4
            w = taps[ly] + g * (taps[ly + U4] - taps[ly])
            a0, a1, a2, a3 = w * flat[q], w * flat[q + U1], w * flat[q + U2], w * flat[q + U3]
            for j in range(1, 4):
                q += down
                m = ly + np.uint64(j)
                w = taps[m] + g * (taps[m + U4] - taps[m])
                a0 += w * flat[q]
                a1 += w * flat[q + U1]
                a2 += w * flat[q + U2]
                a3 += w * flat[q + U3]
            w0 = taps[lx] + f * (taps[lx + U4] - taps[lx])
            w1 = taps[lx + U1] + f * (taps[lx + U5] - taps[lx + U1])
            w2 = taps[lx + U2] + f * (taps[lx + U6] - taps[lx + U2])
            w3 = taps[lx + U3] + f * (taps[lx + U7] - taps[lx + U3])
            res[start + i] = (a0 * w0 + a2 * w2) + (a1 * w1 + a3 * w3)
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def taps8(
    img: Float32Array, lut: Float32Array, rows: int, before: int,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Separable kernel of up to 8 x 8 taps; `lut` (phases + 2, 8)."""
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    taps = lut.ravel()
    down = np.uint64(stride)
    back = (down + U1) * np.uint64(before)
    phases = np.float32(lut.shape[0] - 2)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i])) - back
            f, g = fu[i] * phases, fv[i] * phases
            kx, ky = np.int32(f), np.int32(g)
            f -= np.float32(kx)
            g -= np.float32(ky)
            lx, ly = np.uint64(np.uint32(kx)) * U8, np.uint64(np.uint32(ky)) * U8
            w = taps[ly] + g * (taps[ly + U8] - taps[ly])
            a0, a1, a2, a3 = w * flat[q], w * flat[q + U1], w * flat[q + U2], w * flat[q + U3]
            a4, a5, a6, a7 = w * flat[q + U4], w * flat[q + U5], w * flat[q + U6], w * flat[q + U7]
            for j in range(1, rows):
                q += down
                m = ly + np.uint64(j)
                w = taps[m] + g * (taps[m + U8] - taps[m])
                a0 += w * flat[q]
                a1 += w * flat[q + U1]
                a2 += w * flat[q + U2]
                a3 += w * flat[q + U3]
                a4 += w * flat[q + U4]
                a5 += w * flat[q + U5]
                a6 += w * flat[q + U6]
                a7 += w * flat[q + U7]
            m = lx + U8
            s0 = a0 * (taps[lx] + f * (taps[m] - taps[lx])) + a4 * (taps[lx + U4] + f * (taps[m + U4] - taps[lx + U4]))
            s1 = a1 * (taps[lx + U1] + f * (taps[m + U1] - taps[lx + U1])) + a5 * (taps[lx + U5] + f * (taps[m + U5] - taps[lx + U5]))
            s2 = a2 * (taps[lx + U2] + f * (taps[m + U2] - taps[lx + U2])) + a6 * (taps[lx + U6] + f * (taps[m + U6] - taps[lx + U6]))
            s3 = a3 * (taps[lx + U3] + f * (taps[m + U3] - taps[lx + U3])) + a7 * (taps[lx + U7] + f * (taps[m + U7] - taps[lx + U7]))
            res[start + i] = (s0 + s2) + (s1 + s3)
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def taps_many(
    img: Float32Array, lut: Float32Array, rows: int, before: int, stepped: int,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Separable kernel of any number of taps; `lut` (phases + 2, multiple of 8), which is also how many rows and columns are read.

    Eight rows are done together in one sum over the columns: it needs no memory, so the compiler makes it of whole registers (three times faster
    than one row after the other, which it leaves scalar).
    """
    flat, res = img.ravel(), out.ravel()
    stride, width = img.shape[1], out.shape[1]
    taps = lut.ravel()
    down = np.uint64(stride)
    back = (down + U1) * np.uint64(before)
    phases = np.float32(lut.shape[0] - 2)
    step = np.uint64(lut.shape[1])
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    wx, wy = np.empty(lut.shape[1], np.float32), np.empty(lut.shape[1], np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i])) - back
            if stepped:
                kx = np.int32(phases) - np.int32((ONE - fu[i]) * phases + HALF)
                ky = np.int32(phases) - np.int32((ONE - fv[i]) * phases + HALF)
                f, g = np.float32(0), np.float32(0)
            else:
                f, g = fu[i] * phases, fv[i] * phases
                kx, ky = np.int32(f), np.int32(g)
                f -= np.float32(kx)
                g -= np.float32(ky)
            lx, ly = np.uint64(np.uint32(kx)) * step, np.uint64(np.uint32(ky)) * step
            for m in range(U0, step):
                wy[m] = taps[ly + m] + g * (taps[ly + step + m] - taps[ly + m])
                wx[m] = taps[lx + m] + f * (taps[lx + step + m] - taps[lx + m])
            total = np.float32(0)
            for j in range(U0, np.uint64(rows), U8):
                w0, w1, w2, w3 = wy[j], wy[j + U1], wy[j + U2], wy[j + U3]
                w4, w5, w6, w7 = wy[j + U4], wy[j + U5], wy[j + U6], wy[j + U7]
                q1, q2, q3, q4 = q + down, q + U2 * down, q + U3 * down, q + U4 * down
                q5, q6, q7 = q + U5 * down, q + U6 * down, q + U7 * down
                part = np.float32(0)
                for m in range(U0, step):
                    upper = (w0 * flat[q + m] + w1 * flat[q1 + m]) + (w2 * flat[q2 + m] + w3 * flat[q3 + m])
                    lower = (w4 * flat[q4 + m] + w5 * flat[q5 + m]) + (w6 * flat[q6 + m] + w7 * flat[q7 + m])
                    part += wx[m] * (upper + lower)
                total += part
                q = q7 + down
            res[start + i] = total
        _blank_outside(res, start, lo, hi, n, full, ok, NAN)


@njit(cache=True, nogil=True, error_model="numpy")
def mask_linear(
    codes: ByteArray, high: float, outside: float,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: ShortArray, y0: int, x0: int,
) -> None:  # fmt: skip
    """Bilinear interpolation of a mask, cut to whole numbers: code 0 is 0, code 1 `high`, code 2 `outside`. Nearly all pixels see only code 0."""
    flat, res = codes.ravel(), out.ravel()
    stride, width = codes.shape[1], out.shape[1]
    down = np.uint64(stride)
    values = np.array([0.0, high, outside], np.float32)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    blank = np.uint16(outside)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            q = np.uint64(np.uint32(idx[i]))
            q2 = q + down
            c00, c01, c10, c11 = flat[q], flat[q + U1], flat[q2], flat[q2 + U1]
            if c00 | c01 | c10 | c11:
                f, g = fu[i], fv[i]
                upper = (ONE - f) * values[c00] + f * values[c01]
                lower = (ONE - f) * values[c10] + f * values[c11]
                res[start + i] = np.uint16(np.int32((ONE - g) * upper + g * lower))
            else:
                res[start + i] = np.uint16(0)
        for i in range(U0, lo):
            res[start + i] = blank
        for i in range(hi, np.uint64(n)):
            res[start + i] = blank
        if not full:
            _blank_codes(res, start, lo, hi, ok, blank)


@njit(cache=True, nogil=True, error_model="numpy")
def codes_linear(
    codes: ByteArray, data: Float32Array, blank_outside: int, blank: float,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: ByteArray, y0: int, x0: int,
) -> None:  # fmt: skip
    """`mask_linear` of 10000 and 20000, turned into the codes ``int(value / 10010 + 1)``; blanks the data where the code is 2, if asked."""
    flat, res, pixels = codes.ravel(), out.ravel(), data.ravel()
    stride, width = codes.shape[1], out.shape[1]
    down = np.uint64(stride)
    values = np.array([0.0, 10000.0, 20000.0], np.float32)
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    nothing = np.float32(blank)
    for r in range(pu.shape[0]):
        lo, hi, _ = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(U0, np.uint64(n)):
            if i < lo or i >= hi or not ok[i]:
                res[start + i] = np.uint8(2)
                if blank_outside:
                    pixels[start + i] = nothing
                continue
            q = np.uint64(np.uint32(idx[i]))
            q2 = q + down
            c00, c01, c10, c11 = flat[q], flat[q + U1], flat[q2], flat[q2 + U1]
            if c00 | c01 | c10 | c11:
                f, g = fu[i], fv[i]
                upper = (ONE - f) * values[c00] + f * values[c01]
                lower = (ONE - f) * values[c10] + f * values[c11]
                value = np.int32((ONE - g) * upper + g * lower)
                code = np.uint8(np.int32(value > 0) + np.int32(value >= 10010))
                res[start + i] = code
                if blank_outside and code == 2:
                    pixels[start + i] = nothing
            else:
                res[start + i] = np.uint8(0)


@njit(nogil=True, error_model="numpy")
def _blank_codes(out: ShortArray, start: np.uint64, lo: np.uint64, hi: np.uint64, ok: BoolArray, value: np.uint16) -> None:
    """Write `value` where the map is undefined."""
    for i in range(lo, hi):
        if not ok[i]:
            out[start + i] = value


@njit(cache=True, nogil=True, error_model="numpy")
def gather_codes(
    codes: ByteArray,
    pu: FloatArray, pv: FloatArray, table: int, first: int, n: int, scale: float, window: FloatArray,
    out: ByteArray, y0: int, x0: int,
) -> None:  # fmt: skip
    """Code of the pixel at or before each position; columns where the map is undefined are left as they are."""
    flat, res = codes.ravel(), out.ravel()
    stride, width = codes.shape[1], out.shape[1]
    x, y = np.empty(n), np.empty(n)
    idx, ok = np.empty(n, np.int32), np.empty(n, np.bool_)
    fu, fv = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(pu.shape[0]):
        lo, hi, full = _addresses(pu, pv, r, table, first, scale, n, window, stride, x, y, idx, fu, fv, ok)
        start = np.uint64((y0 + r) * width + x0)
        for i in range(lo, hi):
            if full or ok[i]:
                res[start + i] = flat[np.uint64(np.uint32(idx[i]))]
