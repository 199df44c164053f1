"""Compiled parts of Montage's differences and plane fits (see `nbmosaic.core.matching.montage_fit`).

The fit asks 40 times for sums over the pixels that lie within some limit of some plane. Planes and limits settle after a few iterations, so most pixels
are inside or outside for good. `_gather` sorts them once, about a reference plane: sums of the pixels that are certainly inside, and a list of the
uncertain ones; a question then costs a pass over the list alone (10 % of the pixels), with the same pixels in the answer as a pass over all of them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.core.matching.rectangle import minimum_rectangle

__all__ = ["N_RESULT", "area_means", "clip_fit", "level_rows", "subtract"]

N_RESULT = 16
"""Length of the result of `clip_fit`: a, b, c, rms, npixel, xmin, xmax, ymin, ymax, xcenter, ycenter, and the five of the box."""
_HUGE = 1e300
_LARGEST = np.finfo(np.float64).max
_SUMS = 10
_WIDEST = 0.25  # while limits change faster, a list (1.6 ns/px) serves no second question and two plain passes (0.3 ns/px each) are cheaper


@njit(cache=True, nogil=True, error_model="numpy")
def area_means(d1: FloatArray, a1: FloatArray, d2: FloatArray, a2: FloatArray, areas: int) -> float:
    """Sum of the mean areas of both images: of the first over its own good pixels, of the second over the pixels good in both (as Montage counts)."""
    s1 = s2 = 0.0
    n1 = n2 = 0.0
    for j in range(d1.shape[0]):
        for i in range(d1.shape[1]):
            w1 = a1[j, i] if areas else 1.0
            w2 = a2[j, i] if areas else 1.0
            first = (abs(d1[j, i]) <= _HUGE) & (w1 > 0.0)
            both = first & (abs(d2[j, i]) <= _HUGE) & (w2 > 0.0)
            s1 += w1 if first else 0.0
            n1 += 1.0 if first else 0.0
            s2 += w2 if both else 0.0
            n2 += 1.0 if both else 0.0
    return s1 / n1 + s2 / n2 if n2 > 0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def subtract(
    d1: FloatArray, a1: FloatArray, d2: FloatArray, a2: FloatArray, areas: int, factor: float, mean: float, cut: float,
    out: FloatArray, out_area: FloatArray, box: IntArray, limits: FloatArray,
) -> None:  # fmt: skip
    """Area-weighted difference of two windows.

    Parameters
    ----------
    d1, a1, d2, a2 : ndarray of float64, shape (ny, nx)
        Images and areas (areas of shape (1, 1) where `areas` is 0).
    factor : float
        On the second image.
    mean, cut : float
        Pixels are kept where the sum of the areas is within the fraction `cut` of `mean`.
    out, out_area : ndarray of float64, shape (ny, nx)
        Difference (NaN where not kept) and sum of areas; `out_area` of shape (1, 1) is not wanted.
    box : ndarray of int64, shape (4,)
        Filled with ymin, ymax, xmin, xmax (half-open) of the kept pixels; ``ymax <= ymin`` if there is none.
    limits : ndarray of float64, shape (4,)
        Filled with smallest and largest value times area, smallest and largest absolute difference.
    """
    ny, nx = d1.shape
    box[0], box[1], box[2], box[3] = ny, 0, nx, 0
    limits[0] = limits[2] = np.inf
    limits[1] = limits[3] = -np.inf
    wanted = out_area.shape[0] == ny and out_area.shape[1] == nx
    for j in range(ny):
        kept = 0
        row = out[j]
        for i in range(nx):
            w1 = a1[j, i] if areas else 1.0
            w2 = a2[j, i] if areas else 1.0
            v1, v2 = d1[j, i] * w1, d2[j, i] * factor * w2
            value = 2.0 * (v1 - v2) / (w1 + w2)
            ok = (w1 > 0.0) & (w2 > 0.0) & (abs(value) <= _HUGE) & (abs(w1 + w2 - mean) / mean <= cut)
            row[i] = value if ok else np.nan
            kept += 1 if ok else 0
            low, high = (v1, v2) if v1 < v2 else (v2, v1)
            size = abs(value)
            limits[0] = low if ok and low < limits[0] else limits[0]
            limits[1] = high if ok and high > limits[1] else limits[1]
            limits[2] = size if ok and size < limits[2] else limits[2]
            limits[3] = size if ok and size > limits[3] else limits[3]
        if wanted:
            for i in range(nx):
                out_area[j, i] = (a1[j, i] + a2[j, i] if areas else 2.0) if abs(row[i]) <= _HUGE else 0.0
        if kept:
            box[0], box[1] = min(box[0], j), j + 1
            i = 0
            while not abs(row[i]) <= _HUGE:
                i += 1
            box[2] = min(box[2], i)
            i = nx - 1
            while not abs(row[i]) <= _HUGE:
                i -= 1
            box[3] = max(box[3], i + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _spans(z: FloatArray, first: IntArray, last: IntArray) -> float:
    """First and last finite column of each row; returns the largest absolute value (-1 if there is none)."""
    largest = -1.0
    for j in range(z.shape[0]):
        row = z[j]
        lo, hi = 0, row.size - 1
        while lo <= hi and not abs(row[lo]) <= _HUGE:
            lo += 1
        while hi >= lo and not abs(row[hi]) <= _HUGE:
            hi -= 1
        if hi < lo:
            lo, hi = row.size, -1
        first[j], last[j] = lo, hi
        for i in range(lo, hi + 1, 7):  # a sample is enough: the value only tells what rounding errors are
            v = abs(row[i])
            largest = v if v <= _HUGE and v > largest else largest
    return largest


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _gather(
    z: FloatArray, edge: int, first: IntArray, last: IntArray, xc: float, yc: float, plane: FloatArray, low: float, high: float,
    sums: FloatArray, listed: FloatArray,
) -> int:  # fmt: skip
    """Sums over the pixels less than `low` from `plane`, and a list (u, v, residual) of those up to `high`; -1 where the list has no room."""
    sums[:] = 0.0
    room = listed.shape[1]
    count = 0
    gx, gy, level = plane[0], plane[1], plane[2]
    for j in range(edge, z.shape[0] - edge):
        start = max(edge, first[j])
        nx = min(z.shape[1] - edge, last[j] + 1) - start
        if nx <= 0:
            continue
        row = z[j, start : start + nx]
        v, u0 = j - yc, start - xc
        base = level + gy * v
        n = su = suu = sr = sur = srr = 0.0
        near = 0.0
        for i in range(nx):
            u = u0 + i
            r = row[i] - (base + gx * u)
            size = abs(r)
            inside = size < low
            k, t = (1.0 if inside else 0.0), (r if inside else 0.0)
            n += k
            su += k * u
            suu += k * u * u
            sr += t
            sur += t * u
            srr += t * t
            near += 1.0 if (size >= low) & (size <= high) else 0.0
        sums[0] += n
        sums[1] += su
        sums[2] += n * v
        sums[3] += suu
        sums[4] += su * v
        sums[5] += n * v * v
        sums[6] += sr
        sums[7] += sur
        sums[8] += sr * v
        sums[9] += srr
        if near > 0:
            if count + near >= room:
                return -1
            for i in range(nx):
                u = u0 + i
                r = row[i] - (base + gx * u)
                size = abs(r)
                listed[0, count], listed[1, count], listed[2, count] = u, v, r
                count += 1 if (size >= low) & (size <= high) else 0
    return count


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _add_listed(listed: FloatArray, count: int, shift: FloatArray, limit: float, sums: FloatArray) -> None:
    """Add the listed pixels that are within `limit` of a plane that differs by `shift` from the reference; residuals stay about the reference."""
    n = su = sv = suu = suv = svv = sr = sur = svr = srr = 0.0
    lu, lv, lr = listed[0], listed[1], listed[2]
    gx, gy, level = shift[0], shift[1], shift[2]
    for q in range(count):
        u, v, r = lu[q], lv[q], lr[q]
        inside = abs(r - (level + gx * u + gy * v)) <= limit
        k, t = (1.0 if inside else 0.0), (r if inside else 0.0)
        n += k
        su += k * u
        sv += k * v
        suu += k * u * u
        suv += k * u * v
        svv += k * v * v
        sr += t
        sur += t * u
        svr += t * v
        srr += t * t
    sums[0] += n
    sums[1] += su
    sums[2] += sv
    sums[3] += suu
    sums[4] += suv
    sums[5] += svv
    sums[6] += sr
    sums[7] += sur
    sums[8] += svr
    sums[9] += srr


@njit(cache=True, nogil=True, error_model="numpy")
def _ask(
    z: FloatArray, edge: int, first: IntArray, last: IntArray, xc: float, yc: float, half: FloatArray, plane: FloatArray, limit: float,
    width: float, state: FloatArray, sums: FloatArray, listed: FloatArray,
) -> None:  # fmt: skip
    """Sums over the pixels within `limit` of `plane`, residuals about the reference plane of `state`, which is renewed where it no longer serves.

    `state` holds the reference plane, the limits of the list, its length, and the sums of the pixels inside.
    """
    shift = plane - state[:3]
    drift = abs(shift[2]) + abs(shift[0]) * half[0] + abs(shift[1]) * half[1]
    if not (limit - drift >= state[3] and limit + drift <= state[4]):
        state[:3] = plane
        shift[:] = 0.0
        while True:
            if limit >= _HUGE:
                low, high = 2 * _HUGE, 1e308
            else:
                low, high = limit * (1 - width), limit * (1 + width)
            count = _gather(z, edge, first, last, xc, yc, plane, low, high, state[6 : 6 + _SUMS], listed)
            if count >= 0:
                break
            width = width * 0.5 if width > 1e-3 else 0.0
        state[3], state[4], state[5] = low, high, count
        if limit >= _HUGE:
            state[3], state[4] = -1.0, -1.0  # serves one question only
    sums[:] = state[6 : 6 + _SUMS]
    if state[5] > 0:
        _add_listed(listed, int(state[5]), shift, limit, sums)


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(s: FloatArray, level_only: int, out: FloatArray) -> bool:
    """Least-squares plane of the residuals from their sums; False where the pixels do not determine it."""
    n = s[0]
    if n <= 0:
        return False
    um, vm, rm = s[1] / n, s[2] / n, s[6] / n
    if level_only:
        out[0], out[1], out[2] = 0.0, 0.0, rm
        return True
    cuu, cuv, cvv = s[3] - s[1] * um, s[4] - s[1] * vm, s[5] - s[2] * vm
    cur, cvr = s[7] - um * s[6], s[8] - vm * s[6]
    det = cuu * cvv - cuv * cuv
    if not (cuu > 0 and cvv > 0 and det > 1e-12 * cuu * cvv):
        return False
    out[0], out[1] = (cvv * cur - cuv * cvr) / det, (cuu * cvr - cuv * cur) / det
    out[2] = rm - out[0] * um - out[1] * vm
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _square(s: FloatArray, p: FloatArray) -> float:
    """Sum of the squared residuals from a plane that differs by `p` from the reference."""
    linear = p[0] * s[7] + p[1] * s[8] + p[2] * s[6]
    own = p[0] * (p[0] * s[3] + 2 * p[1] * s[4] + 2 * p[2] * s[1]) + p[1] * (p[1] * s[5] + 2 * p[2] * s[2]) + p[2] * p[2] * s[0]
    return max(s[9] - 2 * linear + own, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _extent(z: FloatArray, edge: int, xc: float, yc: float, plane: FloatArray, limit: float, out: FloatArray) -> None:
    """Smallest and largest column and row of the pixels within `limit` of `plane`."""
    x0, x1, y0, y1 = z.shape[1], -1, -1, -1
    for j in range(edge, z.shape[0] - edge):
        base = plane[2] + plane[1] * (j - yc)
        any_here = False
        for i in range(edge, z.shape[1] - edge):
            if abs(z[j, i] - (base + plane[0] * (i - xc))) <= limit:
                any_here = True
                x0 = min(x0, i)
                break
        if not any_here:
            continue
        for i in range(z.shape[1] - edge - 1, x1, -1):
            if abs(z[j, i] - (base + plane[0] * (i - xc))) <= limit:
                x1 = i
                break
        y0 = j if y0 < 0 else y0
        y1 = j
    out[0], out[1], out[2], out[3] = x0, x1, y0, y1


@njit(cache=True, nogil=True, error_model="numpy")
def clip_fit(
    z: FloatArray,
    crpix: tuple[float, float],
    edge: int,
    level_only: int,
    iterations: int,
    first: IntArray,
    last: IntArray,
    listed: FloatArray,
    out: FloatArray,
) -> int:
    """Plane of an image by Montage's iterated clipping; positions are 0-based columns and rows, those of the box minus CRPIX.

    Parameters
    ----------
    z : ndarray of float64, shape (ny, nx)
        The image, NaN where blank.
    crpix : tuple of float
        Origin of the box, in columns and rows.
    edge : int
        Pixels left out of the fit (not of the box) on every side.
    level_only, iterations : int
        1: a mean instead of a plane; number of iterations (0: only the box, and the extent of all pixels).
    first, last : ndarray of int64, shape (ny,)
        Scratch.
    listed : ndarray of float64, shape (3, m)
        Scratch for uncertain pixels; too little room costs time only.
    out : ndarray of float64, shape (N_RESULT,)
        Filled; the plane is about column 0 and row 0.

    Returns
    -------
    int
        0: done, 1: no pixels or pixels on a line.
    """
    out[:] = np.nan
    ny, nx = z.shape
    largest = _spans(z, first, last)
    xc, yc = np.floor(0.5 * nx), np.floor(0.5 * ny)
    half = np.array([max(xc, nx - xc), max(yc, ny - yc)])
    if largest < 0:
        return 1
    minimum_rectangle(first, last, crpix[0], crpix[1], out[11:16])
    plane, new, old = np.zeros(3), np.zeros(3), np.zeros(3)
    s, state = np.zeros(_SUMS), np.zeros(6 + _SUMS)
    state[3] = state[4] = -1.0
    rms, last_limit, width, limit = 0.0, np.inf, 0.0, 1e308
    _ask(z, edge, first, last, xc, yc, half, plane, 1e308, 0.0, state, s, listed)
    for it in range(iterations):
        limit = 2 * rms if rms > 0 else 1e308
        if limit < _HUGE:
            width = max(1.5 * abs(last_limit / limit - 1), 0.01)
            width = 0.0 if width > _WIDEST else width
            last_limit = limit
        _ask(z, edge, first, last, xc, yc, half, plane, limit, width, state, s, listed)
        old[:] = plane
        if not _solve(s, level_only, new):
            return 1
        out[4], out[9], out[10] = s[0], s[1] / s[0] + xc, s[2] / s[0] + yc
        plane = state[:3] + new
        _ask(z, edge, first, last, xc, yc, half, plane, limit if it else 1e308, width, state, s, listed)
        shift = plane - state[:3]
        rms = np.sqrt(_square(s, shift) / s[0]) if s[0] > 0 else 0.0
        out[4] = s[0]
        if rms <= 1e-11 * largest:  # the plane is exact: clipping rounding errors would leave nothing to fit
            limit = 1e308
            break
    if iterations == 0:
        out[4], out[9], out[10] = s[0], s[1] / s[0] + xc, s[2] / s[0] + yc
    _extent(z, edge, xc, yc, old, limit, out[5:9])
    out[0], out[1], out[2] = plane[0], plane[1], plane[2] - plane[0] * xc - plane[1] * yc
    out[3] = rms
    return 0


@njit(cache=True, nogil=True, error_model="numpy")
def level_rows(
    image: FloatArray,
    area: FloatArray,
    areas: int,
    plane: tuple[float, float, float],
    cx: float,
    cy: float,
    out: FloatArray,
    covered: FloatArray,
) -> None:
    """Image without its plane, and area; NaN and 0 where there is no value or no area. The results may be the inputs themselves."""
    a, b, c = plane
    for j in range(image.shape[0]):
        level = b * (j - cy) + c
        for i in range(image.shape[1]):
            value = image[j, i] - (a * (i - cx) + level)
            w = area[j, i] if areas else 1.0
            ok = (abs(value) <= _LARGEST) & (w > 0.0)
            out[j, i] = value if ok else np.nan
            if areas:
                covered[j, i] = w if ok else 0.0
