"""Compiled prefilter of the cubic B-spline: from samples to coefficients.

The spline that passes through samples s has coefficients c with (c[i-1] + 4 c[i] + c[i+1]) / 6 = s[i]. With the pole z = sqrt(3) - 2 they come from two
recursions, first forward, then backward (Unser 1999, IEEE Signal Processing Magazine 16, 22, box 2), which is done along columns, where whole rows are
combined. Along a row the same filter is applied as a sum, c[i] = sqrt(3) sum over k of z**abs(k) s[i+k], to abs(k) = 12: a recursion would go pixel by
pixel, or over transposed blocks of rows, which made all of it take 2.4 times as long. Beyond the image the samples are reflected through the outermost
ones, s[-k] = 2 s[0] - s[k]. The coefficients then have the same symmetry, so c[0] = s[0] and c[n-1] = s[n-1]: this is the natural spline, which is
straight at its ends. With the usual mirror image, flat at its ends, the outermost interval of a star field is wrong enough to raise the rms error of a
whole mosaic by a tenth.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import AnyArray, Float32Array

__all__ = ["FEW", "prefilter", "prefilter_good"]

POLE = np.float32(np.sqrt(3.0) - 2.0)
GAIN = np.float32(6.0)
HORIZON = 16  # POLE**16 = 7e-10, below the precision of float32
REACH = 12  # POLE**13 * 3 = 1e-7: what a single sample adds to coefficients further away
SIDE, WIDTH = 2 * REACH + 1, 32  # rows of a stamp, and columns, of which those behind the first SIDE are 0: whole registers
FEW = 0.01  # part of bad pixels up to which `prefilter_good` is the faster way: it costs 150 ns for each, the filter 3 ns a pixel
H0, H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11, H12 = (np.float32(np.sqrt(3.0) * (np.sqrt(3.0) - 2.0) ** k) for k in range(REACH + 1))
U1, U2, U3, U4, U5, U6, U7, U8, U9, U10, U11, U12, U13, U14, U15, U16, U17, U18, U19, U20, U21, U22, U23, U24 = (
    np.uint64(k) for k in range(1, 2 * REACH + 1)
)


@njit(nogil=True, error_model="numpy", fastmath=True)
def _filter_row(row: Float32Array, e: Float32Array) -> None:
    """Filter a row of more than `HORIZON` pixels in place; `e` is scratch, longer by 2 `REACH`."""
    n, m = np.uint64(row.size), row.size
    for i in range(n):
        e[i + U12] = row[i]
    for k in range(1, REACH + 1):
        e[REACH - k] = np.float32(2) * row[0] - row[k]
        e[REACH + m - 1 + k] = np.float32(2) * row[m - 1] - row[m - 1 - k]
    for i in range(n):
        total = H12 * (e[i] + e[i + U24]) + H11 * (e[i + U1] + e[i + U23]) + H10 * (e[i + U2] + e[i + U22])
        total += H9 * (e[i + U3] + e[i + U21]) + H8 * (e[i + U4] + e[i + U20]) + H7 * (e[i + U5] + e[i + U19])
        total += H6 * (e[i + U6] + e[i + U18]) + H5 * (e[i + U7] + e[i + U17]) + H4 * (e[i + U8] + e[i + U16])
        total += H3 * (e[i + U9] + e[i + U15]) + H2 * (e[i + U10] + e[i + U14])
        row[i] = total + H1 * (e[i + U11] + e[i + U13]) + H0 * e[i + U12]


@njit(nogil=True, error_model="numpy", fastmath=True)
def _filter_both(img: Float32Array, pad: int) -> None:
    """Filter along both axes in place, inside a padding; more than `HORIZON` rows and columns. A row is done just before the columns reach it.

    Rows are cut out of whole rows: the compiler then knows that their pixels are contiguous.
    """
    last, m = img.shape[0] - pad - 1, img.shape[1] - 2 * pad
    e, start = np.empty(m + 2 * REACH, np.float32), np.empty(m, np.float32)
    for y in range(pad, pad + HORIZON):
        _filter_row(img[y][pad : pad + m], e)
    # sum of z**k * s[-k], where s[-k] = 2 s[0] - s[k]; the sum of z**k over k > 0 is z / (1 - z)
    first = img[pad][pad : pad + m]
    for x in range(m):
        start[x] = (np.float32(1) + np.float32(2) * POLE / (np.float32(1) - POLE)) * first[x]
    p = np.float32(1)
    for k in range(1, HORIZON):
        p *= POLE
        r = img[pad + k][pad : pad + m]
        for x in range(m):
            start[x] -= p * r[x]
    for x in range(m):
        first[x] = start[x] * GAIN
    for y in range(pad + 1, last):
        r, q = img[y][pad : pad + m], img[y - 1][pad : pad + m]
        if y >= pad + HORIZON:
            _filter_row(r, e)
        for x in range(m):
            r[x] = GAIN * r[x] + POLE * q[x]
    _filter_row(img[last][pad : pad + m], e)
    for y in range(last - 1, pad - 1, -1):
        r, q = img[y][pad : pad + m], img[y + 1][pad : pad + m]
        for x in range(m):
            r[x] = POLE * (q[x] - r[x])


@njit(nogil=True, error_model="numpy")
def _filter_short(a: Float32Array) -> None:
    """The same for few samples, by elimination: c[i-1] + 4 c[i] + c[i+1] = 6 s[i] between known ends."""
    n, m = a.shape
    pivot = np.empty(n, np.float32)
    pivot[0] = 0
    for y in range(1, n - 1):
        pivot[y] = np.float32(1) / (np.float32(4) - pivot[y - 1])
        for x in range(m):
            before = a[y - 1, x]  # for y = 1 the known end, then the right-hand side that has been eliminated
            a[y, x] = (GAIN * a[y, x] - before) * pivot[y]
    for y in range(n - 2, 0, -1):
        for x in range(m):
            a[y, x] -= pivot[y] * a[y + 1, x]


@njit(nogil=True, error_model="numpy", fastmath=True)
def _filter_narrow(a: Float32Array) -> None:
    """The same of an image of at most `HORIZON` rows."""
    n, m = a.shape
    _filter_short(a)
    if m > HORIZON:
        e = np.empty(m + 2 * REACH, np.float32)
        for y in range(n):
            _filter_row(a[y], e)
        return
    turned = np.ascontiguousarray(a.T)
    _filter_short(turned)
    a[:] = turned.T


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def prefilter(img: Float32Array, pad: int) -> None:
    """Turn the samples of a padded image into spline coefficients, in place; the padding is not touched."""
    ny, nx = img.shape[0] - 2 * pad, img.shape[1] - 2 * pad
    if ny > HORIZON and nx > HORIZON:
        _filter_both(img, pad)
        return
    a = img[pad : pad + ny, pad : pad + nx].copy()
    if ny > HORIZON:  # few columns: the same with the axes exchanged
        turned = np.ascontiguousarray(a.T)
        _filter_narrow(turned)
        a[:] = turned.T
    else:
        _filter_narrow(a)
    img[pad : pad + ny, pad : pad + nx] = a


@njit(cache=True, nogil=True, error_model="numpy")
def prefilter_good(good: AnyArray, out: Float32Array) -> None:
    """Coefficients of an image of 1 with 0 at a few pixels: 1 less ``3 POLE**(|dx| + |dy|)`` around each of these.

    Agrees with `prefilter` to 1e-6, but within some pixels of the outermost samples, where that has a spline with straight ends.
    """
    ny, nx = good.shape
    stamp = np.zeros((SIDE, WIDTH), np.float32)
    for dy in range(-REACH, REACH + 1):
        left = REACH - abs(dy)
        for dx in range(-left, left + 1):
            stamp[dy + REACH, dx + REACH] = np.float32(3.0) * POLE ** (abs(dx) + abs(dy))
    out[:] = np.float32(1)
    for y in range(ny):
        row = good[y]
        for x in range(nx):
            if row[x]:
                continue
            top, left = y - REACH, x - REACH
            if top >= 0 and top + SIDE <= ny and left >= 0 and left + WIDTH <= nx:
                for j in range(SIDE):
                    for i in range(WIDTH):
                        out[top + j, left + i] -= stamp[j, i]
                continue
            for j in range(max(0, top), min(ny, top + SIDE)):
                for i in range(max(0, left), min(nx, left + SIDE)):
                    out[j, i] -= stamp[j - top, i - left]
