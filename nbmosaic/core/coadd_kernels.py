"""Compiled coadd of one band of rows (see `nbmosaic.core.coadd`).

The inputs of a band are any number of windows of any width, so they come as a table of addresses, strides and offsets instead of a list of arrays (numba
would have to unpack every array of a list on each call). The caller holds the arrays while a kernel runs. One row is combined at a time, in tiles of
columns that fit the first-level cache, so that no accumulator as large as the band exists. Every sum over frames runs in the order of the table, in
float64 and without reordering: the result does not depend on bands, tiles or the machine's vector length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic

from nbmosaic._types import Float32Array, FloatArray, IntArray
from nbmosaic.core.median_noise import median_variance

__all__ = [
    "AREA",
    "CLIPPED",
    "DATA",
    "FIRST",
    "HEIGHT",
    "LANE",
    "MAXIMUM",
    "MEDIAN",
    "MINIMUM",
    "N_COLUMNS",
    "ROW",
    "VARIANCE",
    "WEIGHT",
    "WIDTH",
    "XMIN",
    "mean_band",
    "order_band",
    "pick_band",
]

DATA, AREA, WEIGHT, VARIANCE, ROW, HEIGHT, XMIN, WIDTH, N_COLUMNS = 0, 2, 4, 6, 8, 9, 10, 11, 12
"""Columns of the input table: address and row stride (bytes) of each plane (address 0: none), then the place of the window in the band."""
MEDIAN, CLIPPED, FIRST, MINIMUM, MAXIMUM = 0, 1, 2, 3, 4
_TILE = 2048  # columns combined at once: four float64 accumulators of 16 KB
LANE = 256
"""Columns sorted at once: with 64 frames 64 KB of values, near the processor; with fewer columns the slices cost more than the sorting (64: 2.5 times)."""
_LIMIT = np.float32(3.4e38)


@intrinsic
def _pointer(_typingctx: Any, address: Any) -> Any:
    """A float32 pointer from an integer address."""
    signature = types.CPointer(types.float32)(address)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return signature, codegen


@njit(nogil=True, error_model="numpy")
def _weights(table: IntArray, k: int, row: int, i0: int, n: int, plane: int, w: FloatArray) -> None:
    """The chosen plane of input `k` over ``n`` columns from `i0`, inverted for variances; 0 where it must not be used."""
    values = carray(_pointer(table[k, plane] + row * table[k, plane + 1] + 4 * i0), n)
    for i in range(n):
        v = np.float64(values[i])
        ok = (v > 0) & (v <= _LIMIT)
        w[i] = (1.0 / v if plane == VARIANCE else v) if ok else 0.0


@njit(nogil=True, error_model="numpy")
def _add_row(
    data: Float32Array, level: float, slope: float, x: int, w: FloatArray, low: FloatArray, high: FloatArray, clip: int,
    num: FloatArray, den: FloatArray, count: IntArray, used: FloatArray,
) -> None:  # fmt: skip
    """Add one input's row to the sums; `used` becomes 1 where the value was taken."""
    if clip:
        for i in range(data.size):
            v = np.float64(data[i]) - (level + slope * np.float64(x + i))
            ok = (abs(data[i]) <= _LIMIT) & (w[i] > 0) & (v >= low[i]) & (v <= high[i])
            used[i] = 1.0 if ok else 0.0
            num[i] += w[i] * v if ok else 0.0
            den[i] += w[i] if ok else 0.0
            count[i] += np.int32(1) if ok else np.int32(0)
    else:
        for i in range(data.size):
            v = np.float64(data[i]) - (level + slope * np.float64(x + i))
            ok = (abs(data[i]) <= _LIMIT) & (w[i] > 0)
            used[i] = 1.0 if ok else 0.0
            num[i] += w[i] * v if ok else 0.0
            den[i] += w[i] if ok else 0.0
            count[i] += np.int32(1) if ok else np.int32(0)


@njit(nogil=True, error_model="numpy")
def _add_plain(data: Float32Array, level: float, slope: float, x: int, num: FloatArray, count: IntArray) -> None:
    """Add one input's row with weight 1 and area 1 (the common case: 0.4 ns a pixel)."""
    for i in range(data.size):
        v = np.float64(data[i]) - (level + slope * np.float64(x + i))
        ok = abs(data[i]) <= _LIMIT
        num[i] += v if ok else 0.0
        count[i] += np.int32(1) if ok else np.int32(0)


@njit(nogil=True, error_model="numpy")
def _add_by_area(
    data: Float32Array, covered: Float32Array, level: float, slope: float, x: int, num: FloatArray, den: FloatArray, count: IntArray
) -> None:
    """Add one input's row with its area as weight (the default, in one pass: 0.5 ns a pixel)."""
    for i in range(data.size):
        v = np.float64(data[i]) - (level + slope * np.float64(x + i))
        a = np.float64(covered[i])
        ok = (abs(data[i]) <= _LIMIT) & (a > 0)
        num[i] += a * v if ok else 0.0
        den[i] += a if ok else 0.0
        count[i] += np.int32(1) if ok else np.int32(0)


@njit(nogil=True, error_model="numpy")
def _add_side(
    table: IntArray, k: int, row: int, i0: int, w: FloatArray, used: FloatArray, area: FloatArray, spread: FloatArray, variance: int
) -> None:
    """Add area and variance of the values taken."""
    n = used.size
    if table[k, AREA] != 0:
        values = carray(_pointer(table[k, AREA] + row * table[k, AREA + 1] + 4 * i0), n)
        for i in range(n):
            area[i] += np.float64(values[i]) if used[i] > 0 else 0.0
    else:
        for i in range(n):
            area[i] += used[i]
    if variance:
        values = carray(_pointer(table[k, VARIANCE] + row * table[k, VARIANCE + 1] + 4 * i0), n)
        for i in range(n):
            spread[i] += w[i] * w[i] * np.float64(values[i]) if used[i] > 0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def mean_band(
    table: IntArray, plane: FloatArray, y0: int, x0: int, weighting: int, total: int, want_area: int,
    image: Float32Array, area: Float32Array, count: IntArray, variance: Float32Array,
) -> None:  # fmt: skip
    """Weighted mean or sum of a band.

    Parameters
    ----------
    table : ndarray of int64, shape (k, N_COLUMNS)
        The inputs.
    plane : ndarray of float64, shape (k, 4)
        ``a, b, c`` about pixel (0, 0) of the grid, to subtract, and the noise (not used here).
    y0, x0 : int
        Grid row and column of the first pixel of the band.
    weighting : int
        Column of the plane that gives the weight, -1 for none.
    total : int
        1: sum instead of mean.
    want_area : int
        1 if any input has an area plane.
    image, area, variance : ndarray of float32, shape (ny, nx)
        Filled. A variance of shape (1, 1) is not wanted.
    count : ndarray of int32, shape (ny, nx)
        Filled.
    """
    ny, nx = image.shape
    with_variance = 1 if variance.shape[0] == ny and variance.shape[1] == nx else 0
    plain = weighting < 0 and not want_area and not with_variance
    by_area = weighting == AREA and not with_variance  # then the area of the result is the sum of the weights
    num, den, cover, spread = np.empty(_TILE), np.empty(_TILE), np.empty(_TILE), np.empty(_TILE)
    w, used = np.ones(_TILE), np.empty(_TILE)
    active = np.empty(table.shape[0], np.int64)
    for row in range(ny):
        n_active = 0
        for k in range(table.shape[0]):
            if table[k, ROW] <= row < table[k, ROW] + table[k, HEIGHT]:
                active[n_active] = k
                n_active += 1
        for start in range(0, nx, _TILE):
            n = min(_TILE, nx - start)
            num[:n] = 0.0
            den[:n] = 0.0
            if not (plain or by_area):
                cover[:n] = 0.0
                spread[:n] = 0.0
            c = count[row, start : start + n]
            c[:] = 0
            for q in range(n_active):
                k = active[q]
                left, right = max(start, table[k, XMIN]), min(start + n, table[k, XMIN] + table[k, WIDTH])
                m = right - left
                if m <= 0:
                    continue
                i0, t0, line = left - table[k, XMIN], left - start, row - table[k, ROW]
                data = carray(_pointer(table[k, DATA] + line * table[k, DATA + 1] + 4 * i0), m)
                level, slope = plane[k, 2] + plane[k, 1] * (y0 + row), plane[k, 0]
                if plain:
                    _add_plain(data, level, slope, x0 + left, num[t0 : t0 + m], c[t0 : t0 + m])
                    continue
                if by_area and table[k, AREA] != 0:
                    covered = carray(_pointer(table[k, AREA] + line * table[k, AREA + 1] + 4 * i0), m)
                    _add_by_area(data, covered, level, slope, x0 + left, num[t0 : t0 + m], den[t0 : t0 + m], c[t0 : t0 + m])
                    continue
                if weighting >= 0 and table[k, weighting] != 0:
                    _weights(table, k, line, i0, m, weighting, w)
                else:
                    w[:m] = 1.0
                _add_row(
                    data, level, slope, x0 + left, w, w, w, 0, num[t0 : t0 + m], den[t0 : t0 + m], c[t0 : t0 + m], used[:m]
                )  # fmt: skip
                if not by_area:
                    _add_side(table, k, line, i0, w, used[:m], cover[t0 : t0 + m], spread[t0 : t0 + m], with_variance)
            if plain:
                den[:n] = c
            _finish(
                num[:n],
                den[:n],
                den[:n] if plain or by_area else cover[:n],
                c,
                total,
                image[row, start : start + n],
                area[row, start : start + n],
            )
            if with_variance:
                v = variance[row, start : start + n]
                for i in range(n):
                    scale = 1.0 if total else den[i] * den[i]
                    v[i] = spread[i] / scale if c[i] > 0 else np.nan


@njit(nogil=True, error_model="numpy")
def _finish(
    num: FloatArray, den: FloatArray, cover: FloatArray, count: IntArray, total: int, image: Float32Array, area: Float32Array
) -> None:  # fmt: skip
    """Write a finished tile: NaN and area 0 where nothing was added."""
    # one plain loop a result: all of them in one keep the compiler from vectors and take three times as long
    if total:
        for i in range(num.size):
            value = num[i]
            image[i] = value if count[i] > 0 else np.nan
    else:
        for i in range(num.size):
            value = num[i] / den[i]
            image[i] = value if count[i] > 0 else np.nan
    for i in range(num.size):
        area[i] = cover[i]


@njit(cache=True, nogil=True, error_model="numpy")
def pick_band(
    table: IntArray, plane: FloatArray, y0: int, x0: int, combine: int,
    image: Float32Array, area: Float32Array, count: IntArray, variance: Float32Array,
) -> None:  # fmt: skip
    """First, smallest or largest value of a band; arguments as `mean_band`. Count and area are of all valid values, variance that of the first."""
    ny, nx = image.shape
    with_variance = variance.shape[0] == ny and variance.shape[1] == nx
    for row in range(ny):
        image[row] = np.nan
        area[row] = 0.0
        count[row] = 0
        if with_variance:
            variance[row] = np.nan
        for k in range(table.shape[0]):
            line = row - table[k, ROW]
            if line < 0 or line >= table[k, HEIGHT]:
                continue
            left, n = table[k, XMIN], table[k, WIDTH]
            data = carray(_pointer(table[k, DATA] + line * table[k, DATA + 1]), n)
            level, slope = plane[k, 2] + plane[k, 1] * (y0 + row), plane[k, 0]
            out, cover, c = image[row, left : left + n], area[row, left : left + n], count[row, left : left + n]
            spread = variance[row, left : left + n] if with_variance else out
            varied = carray(_pointer(table[k, VARIANCE] + line * table[k, VARIANCE + 1]), n) if with_variance else data
            covered = carray(_pointer(table[k, AREA] + line * table[k, AREA + 1]), n) if table[k, AREA] != 0 else data
            has_area = table[k, AREA] != 0
            for i in range(n):
                if abs(data[i]) <= _LIMIT:
                    v = np.float32(np.float64(data[i]) - (level + slope * np.float64(x0 + left + i)))
                    take = c[i] == 0 or (combine == MINIMUM and v < out[i]) or (combine == MAXIMUM and v > out[i])
                    if take:
                        out[i] = v
                        if with_variance:
                            spread[i] = varied[i]
                    c[i] += 1
                    cover[i] += covered[i] if has_area else np.float32(1)


@njit(nogil=True, error_model="numpy")
def _sort_lanes(s: Float32Array, n: int) -> None:
    """Sort the first `n` rows of `s` down every column: Batcher's network, whose steps are vector minima and maxima (Knuth, TAOCP 3, 5.3.4)."""
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        a, b = s[i + j], s[i + j + k]
                        for x in range(LANE):
                            u, v = a[x], b[x]
                            a[x] = v if v < u else u  # noqa: FURB136 - numba's min looks for NaN: twice the time
                            b[x] = u if v < u else v  # noqa: FURB136 - as above
            k //= 2
        p *= 2


@njit(nogil=True, error_model="numpy")
def _gather(
    table: IntArray, plane: FloatArray, active: IntArray, n_active: int, row: int, start: int, n: int, y0: int, x0: int, weighting: int,
    s: Float32Array, number: IntArray,
) -> int:  # fmt: skip
    """Corrected values of the inputs over `n` columns, one input a row of `s`, infinity where there is none; returns the number of rows."""
    lines = 0
    number[:] = 0
    for q in range(n_active):
        k = active[q]
        left, right = max(start, table[k, XMIN]), min(start + n, table[k, XMIN] + table[k, WIDTH])
        m = right - left
        if m <= 0:
            continue
        i0, t0, line = left - table[k, XMIN], left - start, row - table[k, ROW]
        data = carray(_pointer(table[k, DATA] + line * table[k, DATA + 1] + 4 * i0), m)
        level, slope = plane[k, 2] + plane[k, 1] * (y0 + row), plane[k, 0]
        lane = s[lines]
        if m < LANE:
            lane[:] = np.inf
        values, c = lane[t0 : t0 + m], number[t0 : t0 + m]
        for i in range(m):
            v = np.float32(np.float64(data[i]) - (level + slope * np.float64(x0 + left + i)))
            ok = abs(data[i]) <= _LIMIT
            values[i] = v if ok else np.float32(np.inf)
            c[i] += np.int32(1) if ok else np.int32(0)
        if weighting >= 0 and table[k, weighting] != 0:  # what has no weight has no say in the median either
            weight = carray(_pointer(table[k, weighting] + line * table[k, weighting + 1] + 4 * i0), m)
            for i in range(m):
                if values[i] <= _LIMIT and not (weight[i] > 0 and weight[i] <= _LIMIT):
                    values[i] = np.inf
                    c[i] -= 1
        lines += 1
    return lines


@njit(nogil=True, error_model="numpy")
def _lane_medians(s: Float32Array, lines: int, number: IntArray, middle: FloatArray) -> None:
    """Median of every column (float64: for an even number the mean of the two middle values)."""
    if lines > 1:
        _sort_lanes(s, lines)
    for x in range(LANE):
        m = number[x]
        middle[x] = 0.5 * (np.float64(s[(m - 1) // 2, x]) + np.float64(s[m // 2, x])) if m > 0 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def order_band(
    table: IntArray, plane: FloatArray, y0: int, x0: int, weighting: int, combine: int, kappa: float, correction: FloatArray,
    image: Float32Array, area: Float32Array, count: IntArray, variance: Float32Array, stack: Float32Array,
) -> None:  # fmt: skip
    """Median, or mean of the values near the median, of a band; arguments as `mean_band`.

    Parameters
    ----------
    plane : ndarray of float64, shape (k, 4)
        Its fourth column is the noise of the input.
    combine : int
        MEDIAN or CLIPPED.
    kappa : float
        Clipping limit in standard deviations.
    correction : ndarray of float64, shape (10,)
        Factor of the standard deviation from the MAD by number of values, the last entry for more.
    stack : ndarray of float32, shape (k, 256)
        Scratch memory.
    """
    ny, nx = image.shape
    with_variance = 1 if variance.shape[0] == ny and variance.shape[1] == nx else 0
    bare = combine == MEDIAN and not with_variance and not table[:, AREA].any()  # then the medians and their number are all there is
    active, number = np.empty(table.shape[0], np.int64), np.zeros(LANE, np.int32)
    middle, scale, low, high = np.empty(LANE), np.empty(LANE), np.empty(LANE), np.empty(LANE)
    num, den, cover, spread = np.empty(LANE), np.empty(LANE), np.empty(LANE), np.empty(LANE)
    w, used, c = np.ones(LANE), np.empty(LANE), np.zeros(LANE, np.int32)
    for row in range(ny):
        n_active = 0
        for k in range(table.shape[0]):
            if table[k, ROW] <= row < table[k, ROW] + table[k, HEIGHT]:
                active[n_active] = k
                n_active += 1
        for start in range(0, nx, LANE):
            n = min(LANE, nx - start)
            lines = _gather(table, plane, active, n_active, row, start, n, y0, x0, weighting, stack, number)
            if lines == 0:
                middle[:] = np.nan
            else:
                _lane_medians(stack, lines, number, middle)
            if combine == CLIPPED and lines > 2:
                for q in range(lines):
                    for x in range(LANE):
                        d = np.float32(abs(np.float64(stack[q, x]) - middle[x]))
                        stack[q, x] = d if d <= _LIMIT else np.float32(np.inf)
                _lane_medians(stack, lines, number, scale)
                for x in range(LANE):
                    scale[x] *= kappa * correction[min(number[x], correction.size - 1)]
            num[:], den[:], cover[:], spread[:], c[:] = 0.0, 0.0, 0.0, 0.0, 0
            if bare:
                c[:] = number
                cover[:] = number
            for q in range(0 if bare else n_active):
                k = active[q]
                left, right = max(start, table[k, XMIN]), min(start + n, table[k, XMIN] + table[k, WIDTH])
                m = right - left
                if m <= 0:
                    continue
                i0, t0, line = left - table[k, XMIN], left - start, row - table[k, ROW]
                data = carray(_pointer(table[k, DATA] + line * table[k, DATA + 1] + 4 * i0), m)
                if weighting >= 0 and table[k, weighting] != 0:
                    _weights(table, k, line, i0, m, weighting, w)
                else:
                    w[:m] = 1.0
                clip = 1 if combine == CLIPPED and lines > 2 else 0
                if clip:
                    _limits(table, k, line, i0, m, plane[k, 3], kappa, middle[t0:], scale[t0:], number[t0:], low, high)
                level, slope = plane[k, 2] + plane[k, 1] * (y0 + row), plane[k, 0]
                _add_row(
                    data, level, slope, x0 + left, w, low, high, clip, num[t0 : t0 + m], den[t0 : t0 + m], c[t0 : t0 + m], used[:m]
                )  # fmt: skip
                _add_side(table, k, line, i0, w, used[:m], cover[t0 : t0 + m], spread[t0 : t0 + m], with_variance)
            for i in range(n):
                value = middle[i] if combine == MEDIAN else num[i] / den[i]
                image[row, start + i] = value if c[i] > 0 else np.nan
                area[row, start + i] = cover[i]
                count[row, start + i] = c[i]
            if with_variance:
                for i in range(n):
                    f = median_variance(c[i]) if combine == MEDIAN else 1.0
                    variance[row, start + i] = f * spread[i] / (den[i] * den[i]) if c[i] > 0 else np.nan


@njit(nogil=True, error_model="numpy")
def _limits(
    table: IntArray, k: int, row: int, i0: int, n: int, noise: float, kappa: float, middle: FloatArray, scale: FloatArray, number: IntArray,
    low: FloatArray, high: FloatArray,
) -> None:  # fmt: skip
    """Limits of input `k`: kappa times its own noise or the scatter of the values, whichever is larger; none where there are fewer than 3 values."""
    if table[k, VARIANCE] != 0:
        values = carray(_pointer(table[k, VARIANCE] + row * table[k, VARIANCE + 1] + 4 * i0), n)
        for i in range(n):
            high[i] = kappa * np.sqrt(max(np.float64(values[i]), 0.0))
    else:
        high[:n] = kappa * noise
    for i in range(n):
        # the median is of float32 values: a value equal to it may differ from it by one rounding
        reach = max(high[i], scale[i]) + 1e-6 * abs(middle[i])
        if number[i] < 3:
            reach = np.inf
        low[i], high[i] = middle[i] - reach, middle[i] + reach
