"""Compiled prefilter of the cubic B-spline: from samples to coefficients.

The spline that passes through samples s has coefficients c with (c[i-1] + 4 c[i] + c[i+1]) / 6 = s[i]. They come from two recursions with
the pole z = sqrt(3) - 2, first forward, then backward, in each axis (Unser 1999, IEEE Signal Processing Magazine 16, 22, box 2). Beyond the
image the samples are reflected through the outermost ones, s[-k] = 2 s[0] - s[k]. The coefficients then have the same symmetry, so c[0] = s[0]
and c[n-1] = s[n-1]: this is the natural spline, which is straight at its ends. With the usual mirror image, flat at its ends, the outermost
interval of a star field is wrong enough to raise the rms error of a whole mosaic by a tenth.
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
BLOCK = 16  # rows done together: 64 bytes, one vector register


@njit(nogil=True, error_model="numpy", fastmath=True)
def _filter_lines(a: Float32Array) -> None:
    """Filter along the first axis in place; `a` (n, any number of lines)."""
    n, m = a.shape
    if n <= HORIZON:
        _filter_short(a)
        return
    start = np.empty(m, np.float32)
    # sum of z**k * s[-k], where s[-k] = 2 s[0] - s[k]; the sum of z**k over k > 0 is z / (1 - z)
    for x in range(m):
        start[x] = (np.float32(1) + np.float32(2) * POLE / (np.float32(1) - POLE)) * a[0, x]
    p = np.float32(1)
    for k in range(1, HORIZON):
        p *= POLE
        for x in range(m):
            start[x] -= p * a[k, x]
    for x in range(m):
        a[0, x] = start[x] * GAIN
    for y in range(1, n - 1):
        r = a[y]
        q = a[y - 1]
        for x in range(m):
            r[x] = GAIN * r[x] + POLE * q[x]
    for y in range(n - 2, -1, -1):
        r = a[y]
        q = a[y + 1]
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def prefilter(img: Float32Array, pad: int) -> None:
    """Turn the samples of a padded image into spline coefficients, in place; the padding is not touched."""
    ny, nx = img.shape[0] - 2 * pad, img.shape[1] - 2 * pad
    a = img[pad : pad + ny, pad : pad + nx]
    _filter_lines(a)
    # rows through a transposed block, so that the recursion runs over vectors here, too
    block = np.empty((nx, BLOCK), np.float32)
    for y0 in range(0, ny, BLOCK):
        m = min(BLOCK, ny - y0)
        if m < BLOCK:
            block[:] = 0
        for b in range(m):
            row = a[y0 + b]
            for x in range(nx):
                block[x, b] = row[x]
        _filter_lines(block)
        for b in range(m):
            row = a[y0 + b]
            for x in range(nx):
                row[x] = block[x, b]


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
