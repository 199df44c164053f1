"""Clipped plane fit of the difference of two frames in one compiled call (see `nbmosaic.core.matching.planes`).

One dispatched kernel, `fit_pair`: loading a compiled function from the cache costs 20 to 70 ms, so its parts are not dispatched on their own.
Windows come as flat arrays with a row stride, because a window of a larger array is not contiguous and numba would not vectorise its rows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import Float32Array, FloatArray, IntArray
from nbmosaic.core.matching.rectangle import minimum_rectangle

__all__ = [
    "BLOCK",
    "DEGENERATE",
    "FEW_PIXELS",
    "NOT_CONVERGED",
    "N_RESULT",
    "R_BLOCKS",
    "R_BLOCK_PIXELS",
    "R_BLOCK_POWER",
    "R_BOX",
    "R_FLAG",
    "R_LEVEL",
    "R_MOMENTS",
    "R_N",
    "R_PASSES",
    "R_RECTANGLE",
    "R_RMS",
    "R_SLOPE",
    "R_VALID",
    "fit_pair",
]

BLOCK = 32
"""Side of the blocks whose sums measure the noise power at zero frequency."""
FEW_PIXELS, NOT_CONVERGED, DEGENERATE = 1, 4, 8
R_VALID, R_N, R_LEVEL, R_SLOPE, R_MOMENTS, R_RMS = 0, 1, 2, 3, 5, 10
R_BLOCK_POWER, R_BLOCKS, R_BLOCK_PIXELS, R_BOX, R_RECTANGLE, R_FLAG, R_PASSES = 11, 12, 13, 14, 18, 23, 24
N_RESULT = 25
"""Layout of the result: slope has 2 values, moments 5 (xmean, ymean, sxx, sxy, syy), box 4, rectangle 5; the rest one each."""

_HUGE = 1e300
_SAMPLE = 2048
"""Pixels of the regular subsample that starts the clipping: sigma to 3 %, for 0.1 ms."""
_THIN = 0.01
"""Variance (pixel squared) across the pixels kept below which they lie on a line: a row has 0, two full rows 0.25."""


@njit(nogil=True, error_model="numpy")
def _row_spans(
    p: Float32Array, sp: int, m: Float32Array, sm: int, pa: Float32Array, spa: int, ma: Float32Array, sma: int,
    area_min: float, nx: int, first: IntArray, last: IntArray,
) -> int:  # fmt: skip
    """First and last valid column of each row; returns the number of valid pixels."""
    total = 0
    for j in range(first.size):
        pr, mr = p[j * sp : j * sp + nx], m[j * sm : j * sm + nx]
        lo, hi, n = np.int32(nx), np.int32(-1), np.int32(0)
        if area_min >= 0:
            par, mar = pa[j * spa : j * spa + nx], ma[j * sma : j * sma + nx]
            for i in range(nx):
                d = np.float64(pr[i]) - np.float64(mr[i])
                ok = (abs(d) <= _HUGE) & (par[i] > area_min) & (mar[i] > area_min)
                n += np.int32(ok)
                lo = min(lo, np.int32(i) if ok else np.int32(nx))
                hi = max(hi, np.int32(i) if ok else np.int32(-1))
        else:
            for i in range(nx):
                ok = abs(np.float64(pr[i]) - np.float64(mr[i])) <= _HUGE
                n += np.int32(ok)
                lo = min(lo, np.int32(i) if ok else np.int32(nx))
                hi = max(hi, np.int32(i) if ok else np.int32(-1))
        first[j], last[j] = lo, hi
        total += int(n)
    return total


@njit(nogil=True, error_model="numpy", fastmath={"nsz"})
def _residual(p: float, m: float, base: float, gx: float, x: float) -> float:
    """Difference minus plane.

    It has fast-math flags of its own, or it would inherit its callers': reassociated, as p - (m + plane), swapped frames would not give the exact negative.
    """
    return (np.float64(p) - np.float64(m)) - (base + gx * x)


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _moment_pass(
    p: Float32Array, sp: int, m: Float32Array, sm: int, pa: Float32Array, spa: int, ma: Float32Array, sma: int,
    area_min: float, first: IntArray, last: IntArray, xc: float, yc: float, plane: FloatArray, limit: float, out: FloatArray,
) -> None:  # fmt: skip
    """Sums over the pixels within `limit` of `plane`: n, x, y, xx, xy, yy (exact, integers), r, rx, ry, rr of the residuals."""
    out[:] = 0.0
    level, gx, gy = plane[0], plane[1], plane[2]
    for j in range(first.size):
        i0, nx = first[j], last[j] - first[j] + 1
        if nx <= 0:
            continue
        pr, mr = p[j * sp + i0 : j * sp + i0 + nx], m[j * sm + i0 : j * sm + i0 + nx]
        y, x0 = j - yc, i0 - xc
        base = level + gy * y
        n = sx = sxx = sr = srx = srr = 0.0
        if area_min >= 0:
            par, mar = pa[j * spa + i0 : j * spa + i0 + nx], ma[j * sma + i0 : j * sma + i0 + nx]
            for i in range(nx):
                x = x0 + i
                r = _residual(pr[i], mr[i], base, gx, x)
                ok = (abs(r) <= limit) & (par[i] > area_min) & (mar[i] > area_min)
                k, t = (1.0 if ok else 0.0), (r if ok else 0.0)
                n += k
                sx += k * x
                sxx += k * x * x
                sr += t
                srx += t * x
                srr += t * t
        else:
            for i in range(nx):
                x = x0 + i
                r = _residual(pr[i], mr[i], base, gx, x)
                ok = abs(r) <= limit
                k, t = (1.0 if ok else 0.0), (r if ok else 0.0)
                n += k
                sx += k * x
                sxx += k * x * x
                sr += t
                srx += t * x
                srr += t * t
        out[0] += n
        out[1] += sx
        out[2] += n * y
        out[3] += sxx
        out[4] += sx * y
        out[5] += n * y * y
        out[6] += sr
        out[7] += srx
        out[8] += sr * y
        out[9] += srr


@njit(nogil=True, error_model="numpy")
def _flush_blocks(total: FloatArray, count: FloatArray, box: FloatArray, out: FloatArray) -> None:
    """Add a finished row of blocks to the block power and to the box of the pixels kept, and clear it."""
    nx = total.size
    for b in range(0, nx, BLOCK):
        s = n = 0.0
        for i in range(b, min(b + BLOCK, nx)):
            s += total[i]
            n += count[i]
            if count[i] > 0:
                box[2], box[3] = min(box[2], float(i)), max(box[3], i + 1.0)
        if n >= BLOCK * BLOCK / 2:
            out[0] += s * s / n
            out[1] += 1
            out[2] += n
    total[:] = 0.0
    count[:] = 0.0


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _block_pass(
    p: Float32Array, sp: int, m: Float32Array, sm: int, pa: Float32Array, spa: int, ma: Float32Array, sma: int,
    area_min: float, first: IntArray, last: IntArray, xc: float, yc: float, old: FloatArray, new: FloatArray, limit: float, nx: int,
    box: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Block sums of the residuals from `new` of the pixels within `limit` of `old` (the pixels kept), and their box."""
    total, count = np.zeros(nx), np.zeros(nx)
    out[:] = 0.0
    box[0], box[1], box[2], box[3] = first.size, 0.0, nx, 0.0
    for j in range(first.size):
        i0, n = first[j], last[j] - first[j] + 1
        if j % BLOCK == 0 and j > 0:
            _flush_blocks(total, count, box, out)
        if n <= 0:
            continue
        pr, mr = p[j * sp + i0 : j * sp + i0 + n], m[j * sm + i0 : j * sm + i0 + n]
        tr, cr = total[i0 : i0 + n], count[i0 : i0 + n]
        y, x0 = j - yc, i0 - xc
        base, shift = old[0] + old[2] * y, new[0] - old[0] + (new[2] - old[2]) * y
        gx, dx = old[1], new[1] - old[1]
        kept = 0.0
        if area_min >= 0:
            par, mar = pa[j * spa + i0 : j * spa + i0 + n], ma[j * sma + i0 : j * sma + i0 + n]
            for i in range(n):
                x = x0 + i
                r = _residual(pr[i], mr[i], base, gx, x)
                ok = (abs(r) <= limit) & (par[i] > area_min) & (mar[i] > area_min)
                k = 1.0 if ok else 0.0
                tr[i] += (r - (shift + dx * x)) if ok else 0.0
                cr[i] += k
                kept += k
        else:
            for i in range(n):
                x = x0 + i
                r = _residual(pr[i], mr[i], base, gx, x)
                ok = abs(r) <= limit
                k = 1.0 if ok else 0.0
                tr[i] += (r - (shift + dx * x)) if ok else 0.0
                cr[i] += k
                kept += k
        if kept > 0:
            box[0], box[1] = min(box[0], float(j)), j + 1.0
    _flush_blocks(total, count, box, out)


@njit(nogil=True, error_model="numpy")
def _select(a: FloatArray, n: int, k: int) -> float:
    """The k-th smallest of ``a[:n]`` (Hoare's quickselect; reorders `a`)."""
    lo, hi = 0, n - 1
    while lo < hi:
        pivot = a[(lo + hi) // 2]
        i, j = lo, hi
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if k <= j:
            hi = j
        elif k >= i:
            lo = i
        else:
            break
    return a[k]


@njit(nogil=True, error_model="numpy")
def _median(a: FloatArray, n: int) -> float:
    """Median of ``a[:n]``: for an even number the mean of the two middle values, so that it changes sign with the data."""
    upper = _select(a, n, n // 2)
    if n % 2:
        return upper
    lower = a[0]
    for i in range(1, n // 2):
        lower = max(lower, a[i])
    return 0.5 * (lower + upper)


@njit(nogil=True, error_model="numpy")
def _update_plane(s: FloatArray, slope: int, plane: FloatArray, moments: FloatArray) -> tuple[float, bool]:
    """Least-squares correction of `plane` from the sums of `_moment_pass`; returns the rms of the new residuals and whether the pixels lie on a line."""
    n = s[0]
    xm, ym, rm = s[1] / n, s[2] / n, s[6] / n
    cxx, cxy, cyy = s[3] - s[1] * xm, s[4] - s[1] * ym, s[5] - s[2] * ym
    crx, cry = s[7] - xm * s[6], s[8] - ym * s[6]
    moments[0], moments[1], moments[2], moments[3], moments[4] = xm, ym, cxx, cxy, cyy
    spread = np.sqrt((cxx - cyy) ** 2 + 4 * cxy * cxy)
    major = 0.5 * (cxx + cyy + spread)
    det = cxx * cyy - cxy * cxy
    thin = major <= 0 or det <= _THIN * n * major
    dx = dy = 0.0
    free = 1
    if slope:
        if not thin:
            dx, dy = (cyy * crx - cxy * cry) / det, (cxx * cry - cxy * crx) / det
            free = 3
        elif major > _THIN * n:
            angle = 0.5 * np.arctan2(2 * cxy, cxx - cyy)
            ux, uy = np.cos(angle), np.sin(angle)
            along = (ux * crx + uy * cry) / major
            dx, dy = along * ux, along * uy
            free = 2
    plane[0] += rm - dx * xm - dy * ym
    plane[1] += dx
    plane[2] += dy
    left = s[9] - n * rm * rm - dx * crx - dy * cry
    return np.sqrt(max(left, 0.0) / max(n - free, 1.0)), thin


@njit(nogil=True, error_model="numpy")
def _sample(
    p: Float32Array, sp: int, m: Float32Array, sm: int, pa: Float32Array, spa: int, ma: Float32Array, sma: int,
    area_min: float, first: IntArray, last: IntArray, n_valid: int, xc: float, yc: float,
) -> FloatArray:  # fmt: skip
    """A regular subsample of the differences: rows x, y, d. Each row is sampled from its own first pixel, so that no thin overlap is missed."""
    step = max(1, int(np.ceil(np.sqrt(n_valid / _SAMPLE))))
    room = 0
    for j in range(0, first.size, step):
        room += max(0, (last[j] - first[j]) // step + 1)
    xyd = np.empty((3, max(room, 1)))
    n = 0
    for j in range(0, first.size, step):
        for i in range(first[j], last[j] + 1, step):
            d = np.float64(p[j * sp + i]) - np.float64(m[j * sm + i])
            if not abs(d) <= _HUGE:
                continue
            if area_min >= 0 and not (pa[j * spa + i] > area_min and ma[j * sma + i] > area_min):
                continue
            xyd[0, n], xyd[1, n], xyd[2, n] = i - xc, j - yc, d
            n += 1
    return xyd[:, :n]


@njit(nogil=True, error_model="numpy")
def _robust_start(xyd: FloatArray, slope: int, plane: FloatArray) -> float:
    """Plane and sigma of the sample that stars, nebulae and cosmic rays do not pull: median and MAD, then planes of the points within 3 sigma."""
    n = xyd.shape[1]
    work, s, moments = np.empty(n), np.zeros(10), np.empty(5)
    plane[:] = 0.0
    work[:] = xyd[2]
    plane[0] = _median(work, n)
    sigma = 0.0
    for rounds in range(5):
        for q in range(n):
            work[q] = abs(xyd[2, q] - (plane[0] + plane[1] * xyd[0, q] + plane[2] * xyd[1, q]))
        sigma = 1.482602218505602 * _median(work, n)
        if sigma == 0.0 and rounds == 0:  # more than half of the differences are equal (quantised data): the MAD says nothing
            sigma = np.sqrt(np.mean(work * work))
        if rounds == 4 or sigma == 0.0:
            break
        s[:] = 0.0
        for q in range(n):
            x, y = xyd[0, q], xyd[1, q]
            r = xyd[2, q] - (plane[0] + plane[1] * x + plane[2] * y)
            if abs(r) <= 3 * sigma:
                s[0] += 1
                s[1] += x
                s[2] += y
                s[3] += x * x
                s[4] += x * y
                s[5] += y * y
                s[6] += r
                s[7] += r * x
                s[8] += r * y
                s[9] += r * r
        if s[0] < 3:
            break
        _update_plane(s, slope, plane, moments)
    return sigma


@njit(cache=True, nogil=True, error_model="numpy")
def fit_pair(
    p: Float32Array, sp: int, m: Float32Array, sm: int, pa: Float32Array, spa: int, ma: Float32Array, sma: int,
    shape: tuple[int, int], area_min: float, slope: int, clip: float, truncation: float, max_iterations: int, min_pixels: int,
    out: FloatArray,
) -> None:  # fmt: skip
    """Fit a plane to ``p - m`` with iterated clipping.

    Parameters
    ----------
    p, m, pa, ma : ndarray of float32, 1-D, read-only
        Windows and their areas, flat; rows begin at multiples of the strides `sp`, `sm`, `spa`, `sma`.
    shape : tuple of int
        Rows and columns of the windows.
    area_min : float
        Pixels count where both areas are larger; negative: no areas.
    slope : int
        1 plane, 0 level.
    clip, truncation : float
        Limit in standard deviations (infinite: none) and the variance of a unit Gaussian cut there.
    max_iterations, min_pixels : int
        Largest number of passes; fewer valid pixels are not fitted.
    out : ndarray of float64, shape (N_RESULT,)
        Result, positions relative to the first pixel of the window.
    """
    ny, nx = shape
    out[:] = np.nan
    out[R_N], out[R_FLAG], out[R_BLOCKS], out[R_PASSES] = 0.0, 0.0, 0.0, 0.0
    first, last = np.empty(ny, np.int64), np.empty(ny, np.int64)
    n_valid = _row_spans(p, sp, m, sm, pa, spa, ma, sma, area_min, nx, first, last)
    if area_min > 0 and n_valid < min_pixels:  # only partly covered pixels in common: better than nothing
        area_min = 0.0
        n_valid = _row_spans(p, sp, m, sm, pa, spa, ma, sma, area_min, nx, first, last)
    out[R_VALID] = n_valid
    if n_valid > 0:
        minimum_rectangle(first, last, 0.0, 0.0, out[R_RECTANGLE : R_RECTANGLE + 5])
    if n_valid < max(min_pixels, 1):
        out[R_FLAG] = FEW_PIXELS
        return
    xc, yc = float(nx // 2), float(ny // 2)  # whole numbers: sums of positions are exact
    plane, old, sums, seen, moments = np.zeros(3), np.zeros(3), np.zeros(10), np.zeros(6), np.zeros(5)
    sigma = _robust_start(_sample(p, sp, m, sm, pa, spa, ma, sma, area_min, first, last, n_valid, xc, yc), slope, plane)
    rms, thin, done, limit = 0.0, False, False, _HUGE
    passes = 0
    while passes < max_iterations and not done:
        old[:] = plane
        # the floor is round-off of the plane itself: identical frames have sigma 0
        limit = min(clip * sigma + 1e-13 * abs(plane[0]), _HUGE) if clip < np.inf else _HUGE
        _moment_pass(p, sp, m, sm, pa, spa, ma, sma, area_min, first, last, xc, yc, old, limit, sums)
        passes += 1
        if sums[0] < 1:
            out[R_FLAG] = FEW_PIXELS
            return
        rms, thin = _update_plane(sums, slope, plane, moments)
        rms /= np.sqrt(truncation)
        sigma = rms
        done = True
        for q in range(6):  # exact sums of positions: they are equal only if the same pixels were kept
            done = done and sums[q] == seen[q]
            seen[q] = sums[q]
    _block_pass(
        p, sp, m, sm, pa, spa, ma, sma, area_min, first, last, xc, yc, old, plane, limit, nx, out[R_BOX : R_BOX + 4], out[R_BLOCK_POWER : R_BOX]
    )  # fmt: skip
    out[R_N], out[R_RMS], out[R_PASSES] = sums[0], rms, passes
    out[R_LEVEL] = plane[0] + plane[1] * moments[0] + plane[2] * moments[1]
    out[R_SLOPE], out[R_SLOPE + 1] = plane[1], plane[2]
    out[R_MOMENTS : R_MOMENTS + 5] = moments
    out[R_MOMENTS] += xc
    out[R_MOMENTS + 1] += yc
    out[R_FLAG] = (0 if done else NOT_CONVERGED) + (DEGENERATE if thin else 0)
