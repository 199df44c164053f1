"""Compiled kernels for bad pixels: finding them, filling them, and blanking what has too little good input.

A pixel is bad if its value is not finite, its mask is set, its weight is not positive and finite, or its variance is not finite and at least
0. What a bad pixel holds never reaches a result: it is replaced before any kernel sees the image. For kernels that reach far (spline and
Lanczos) by a smooth filling, so that they do not ring round it; for sums over good pixels by 0.

The filling of a pixel is the mean of the nearest good pixel to its left, right, above and below, weighted by 1 / distance. It reproduces a
plane inside a hole exactly, meets the rim continuously, costs two passes and does not depend on the size of the holes. A pixel that sees no
good pixel in its row and column takes part in a second round, which sees the first round's fillings: that always ends it.

Planes that a frame does not have are passed as arrays of no elements. Floating-point planes are passed as their bits where only
finiteness matters, which the compiler vectorises.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, Float32Array

__all__ = ["blank", "copy_count", "extend_edges", "fill_bad", "mark_good", "mark_solid", "zero_bad"]

BitArray = NDArray[np.uint32]
ByteArray = NDArray[np.uint8]

EXPONENT = np.uint32(0x7F800000)
NAN = np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _row_good(bits: BitArray, mask: BoolArray, weight: Float32Array, variance: Float32Array, y: int, row: ByteArray) -> None:
    """Write 1 for the good pixels of row `y`, 0 for the others: one plain loop for each plane, which the compiler vectorises."""
    n = row.size
    b = bits[y]
    for x in range(n):
        row[x] = (b[x] & EXPONENT) != EXPONENT
    if mask.size > 0:
        m = mask[y]
        for x in range(n):
            row[x] &= not m[x]
    if weight.size > 0:
        w = weight[y]
        for x in range(n):
            row[x] &= (w[x] > 0) & (w[x] < np.inf)
    if variance.size > 0:
        v = variance[y]
        for x in range(n):
            row[x] &= (v[x] >= 0) & (v[x] < np.inf)


@njit(cache=True, nogil=True, error_model="numpy")
def copy_count(bits: BitArray, mask: BoolArray, weight: Float32Array, variance: Float32Array, pad: int, out: BitArray) -> int:
    """Copy an image (as bits) into the padded `out` (unless that has no elements) and count its bad pixels."""
    ny, nx = bits.shape
    good = np.empty(nx, np.uint8)
    n_good = 0
    for y in range(ny):
        if out.size > 0:
            out[pad + y, pad : pad + nx] = bits[y]
        _row_good(bits, mask, weight, variance, y, good)
        n = np.int32(0)
        for x in range(nx):
            n += np.int32(good[x])
        n_good += int(n)
    return ny * nx - n_good


@njit(cache=True, nogil=True, error_model="numpy")
def mark_good(bits: BitArray, mask: BoolArray, weight: Float32Array, variance: Float32Array, pad: int, good: ByteArray) -> None:
    """Padded plane that is 1 at good pixels, 0 at bad ones and outside the image."""
    ny, nx = bits.shape
    good[:pad] = 0
    good[pad + ny :] = 0
    for y in range(ny):
        row = good[pad + y]
        row[:pad] = 0
        row[pad + nx :] = 0
        _row_good(bits, mask, weight, variance, y, row[pad : pad + nx])


@njit(cache=True, nogil=True, error_model="numpy")
def mark_solid(good: ByteArray, reach: int, rows: ByteArray, solid: ByteArray) -> None:
    """Plane that is 1 where all pixels within `reach` (a square) are good; `rows` is scratch of the same shape."""
    ny, nx = good.shape
    m = nx - 2 * reach
    for y in range(ny):
        rows[y, :reach] = 0
        rows[y, nx - reach :] = 0
        r = rows[y, reach : nx - reach]
        r[:] = good[y, :m]
        for k in range(1, 2 * reach + 1):
            g = good[y, k : k + m]
            for x in range(m):
                r[x] &= g[x]
    solid[:reach] = 0
    solid[ny - reach :] = 0
    for y in range(reach, ny - reach):
        s = solid[y]
        s[:] = rows[y - reach]
        for k in range(1, 2 * reach + 1):
            r = rows[y - reach + k]
            for x in range(nx):
                s[x] &= r[x]


@njit(cache=True, nogil=True, error_model="numpy")
def zero_bad(img: Float32Array, good: ByteArray) -> None:
    """Set 0 where `good` is 0."""
    for y in range(img.shape[0]):
        for x in range(img.shape[1]):
            if not good[y, x]:
                img[y, x] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def fill_bad(img: Float32Array, good: ByteArray, pad: int, scratch: Float32Array) -> None:
    """Fill the bad pixels of a padded image in place (not the padding); `scratch` holds a number for each bad pixel.

    At least one pixel must be good. `good` is left as it was.
    """
    ny, nx = img.shape[0] - 2 * pad, img.shape[1] - 2 * pad
    img = img[pad : pad + ny, pad : pad + nx]
    state = good[pad : pad + ny, pad : pad + nx]
    for usable in range(1, 3):
        if _fill_round(img, state, usable, scratch) == 0:
            break
    for y in range(ny):
        for x in range(nx):
            if state[y, x] > 1:
                state[y, x] = 0


@njit(nogil=True, error_model="numpy")
def _fill_round(img: Float32Array, state: ByteArray, usable: int, scratch: Float32Array) -> int:
    """Fill from pixels in a state of 1 to `usable`; what is filled gets the state ``usable + 1``. Returns how many stay bad."""
    ny, nx = img.shape
    nearest = np.full(nx, -1)  # row of the nearest usable pixel above, then below
    n = 0
    for y in range(ny):
        left = -1
        for x in range(nx):
            if state[y, x]:
                continue
            if x > 0 and 1 <= state[y, x - 1] <= usable:
                left = x - 1
            if y > 0 and 1 <= state[y - 1, x] <= usable:
                nearest[x] = y - 1
            total = np.float32(0)
            norm = np.float32(0)
            if left >= 0:
                norm = np.float32(1.0 / (x - left))
                total = norm * img[y, left]
            if nearest[x] >= 0:
                w = np.float32(1.0 / (y - nearest[x]))
                norm += w
                total += w * img[nearest[x], x]
            img[y, x] = total
            scratch[n] = norm
            n += 1
    nearest[:] = -1
    remaining = 0
    for y in range(ny - 1, -1, -1):
        right = -1
        for x in range(nx - 1, -1, -1):
            if state[y, x]:
                continue
            if x < nx - 1 and 1 <= state[y, x + 1] <= usable:
                right = x + 1
            if y < ny - 1 and 1 <= state[y + 1, x] <= usable:
                nearest[x] = y + 1
            n -= 1
            total = img[y, x]
            norm = scratch[n]
            if right >= 0:
                w = np.float32(1.0 / (right - x))
                norm += w
                total += w * img[y, right]
            if nearest[x] >= 0:
                w = np.float32(1.0 / (nearest[x] - y))
                norm += w
                total += w * img[nearest[x], x]
            if norm > 0:
                img[y, x] = total / norm
                scratch[n] = -1
            else:
                scratch[n] = 1
                remaining += 1
    _advance(state, usable, scratch)
    return remaining


@njit(nogil=True, error_model="numpy")
def _advance(state: ByteArray, usable: int, scratch: Float32Array) -> None:
    """Give the pixels filled in this round their state."""
    n = 0
    for y in range(state.shape[0]):
        for x in range(state.shape[1]):
            if not state[y, x]:
                if scratch[n] < 0:
                    state[y, x] = usable + 1
                n += 1


@njit(cache=True, nogil=True, error_model="numpy")
def extend_edges(img: Float32Array, pad: int, odd: int) -> None:
    """Fill the padding of an image with its reflection at the outermost pixel centres.

    With `odd` the reflection is through the point, ``2 * edge - value``: it continues slopes, where the plain mirror image bends them flat
    and makes the outermost interval wrong by up to a quarter of a pixel's gradient. Variances are mirrored.
    """
    ny, nx = img.shape[0] - 2 * pad, img.shape[1] - 2 * pad
    left, right, top, bottom = pad, pad + nx - 1, pad, pad + ny - 1
    for y in range(top, bottom + 1):
        row = img[y]
        for k in range(1, pad + 1):  # in this order, so that an image narrower than the padding is reflected again and again
            row[right + k] = _reflected(row[right], row[right - k] if nx > 1 else row[right], odd)
            row[left - k] = _reflected(row[left], row[left + k], odd)
    for k in range(1, pad + 1):
        for x in range(img.shape[1]):
            img[bottom + k, x] = _reflected(img[bottom, x], img[bottom - k, x] if ny > 1 else img[bottom, x], odd)
            img[top - k, x] = _reflected(img[top, x], img[top + k, x], odd)


@njit(nogil=True, error_model="numpy")
def _reflected(edge: np.float32, value: np.float32, odd: int) -> np.float32:
    """Value on the other side of an edge."""
    return np.float32(2) * edge - value if odd else value


@njit(cache=True, nogil=True, error_model="numpy")
def blank(data: Float32Array, area: Float32Array, weight: Float32Array, variance: Float32Array, minimum: float, normalise: int) -> None:
    """Blank the pixels whose area is below `minimum`; with `normalise` divide data by area and variance by its square.

    Weights, which are always sums over good pixels only, are divided by the area in any case.
    """
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            a = area[y, x]
            if not a >= minimum:
                area[y, x] = 0
                data[y, x] = NAN
                if weight.size > 0:
                    weight[y, x] = 0
                if variance.size > 0:
                    variance[y, x] = NAN
            elif a != 1:
                if normalise:
                    data[y, x] /= a
                    if variance.size > 0:
                        variance[y, x] /= a * a
                if weight.size > 0:
                    weight[y, x] /= a
