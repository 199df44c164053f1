"""Compiled kernels that average an image over quadrilaterals, exactly: IRAF's drizzle.

An output pixel is the quadrilateral of its four mapped corners, the image a surface of constant brightness over each pixel. The mean over the
quadrilateral is an integral over its outline, by Green's theorem: with S(x, y) the integral of the image over all y below, in one column,

    integral over the quadrilateral = - (sum over its edges, counter-clockwise, of the integral of S dx).

S is linear in y inside a pixel, so an edge is cut where it leaves a pixel and each part counts with S at its middle. Neighbours share edges: a
pixel costs two, where cutting it against every input pixel costs nine times four. The running sums of a strip of output rows are kept in
float64, so that differences of them lose nothing.

Pixels are counted here from their edges: pixel i reaches from i to i + 1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.resampling.kernels import _positions
from nbmosaic.core.resampling.overlap_area import _overlap

__all__ = ["SHARED", "quad_means"]

SHARED = "4a19899b29d3478e"  # see `nbmosaic.core.resampling.piece_kernels`
Shape = tuple[int, int, int, int]  # width of the image; first row and column of the sums, and their width
STRIP = 32  # output rows whose running sums are made together: about 1 MB of corners
NAN = np.float32(np.nan)
CONSTANT, NEAREST, REFLECT, WRAP = range(4)


@njit(nogil=True, error_model="numpy", inline="always")
def _below(img: Float32Array, sums: FloatArray, p: int, q: int, height: float) -> float:
    """S at `height` above the lower edge of a pixel, which is element `p` of the image and `q` of the sums."""
    return sums[np.uint64(q)] + height * img[np.uint64(p)]


@njit(nogil=True, error_model="numpy")
def _column(img: Float32Array, sums: FloatArray, shape: Shape, i: int, xa: float, ya: float, xb: float, yb: float) -> float:
    """Integral of S dx over an edge inside the column `i`."""
    stride, j0, i0, width = shape
    ja, jb = int(ya), int(yb)
    p, q = ja * stride + i, (ja - j0) * width + i - i0
    if ja == jb:
        return (xb - xa) * _below(img, sums, p, q, 0.5 * (ya + yb) - ja)
    slope = (xb - xa) / (yb - ya)
    if jb == ja + 1:
        lower = (jb - ya) * _below(img, sums, p, q, 0.5 * (ya + jb) - ja)
        upper = (yb - jb) * _below(img, sums, p + stride, q + width, 0.5 * (yb - jb))
        return (lower + upper) * slope
    step = 1 if jb > ja else -1
    total = 0.0
    y = ya
    while ja != jb:
        end = float(ja + 1) if step > 0 else float(ja)
        total += (end - y) * _below(img, sums, p, q, 0.5 * (y + end) - ja)
        y = end
        ja += step
        p += step * stride
        q += step * width
    total += (yb - y) * _below(img, sums, p, q, 0.5 * (y + yb) - jb)
    return total * slope


@njit(nogil=True, error_model="numpy")
def _edge(img: Float32Array, sums: FloatArray, shape: Shape, xa: float, ya: float, xb: float, yb: float) -> float:
    """Integral of S dx over an edge."""
    ia, ib = int(xa), int(xb)
    if ia == ib:
        return _column(img, sums, shape, ia, xa, ya, xb, yb)
    slope = (yb - ya) / (xb - xa)
    step = 1 if ib > ia else -1
    total = 0.0
    x, y = xa, ya
    while ia != ib:
        end = float(ia + 1) if step > 0 else float(ia)
        to = ya + slope * (end - xa)
        total += _column(img, sums, shape, ia, x, y, end, to)
        x, y = end, to
        ia += step
    return total + _column(img, sums, shape, ib, x, y, xb, yb)


@njit(nogil=True, error_model="numpy")
def _running_sums(img: Float32Array, j0: int, j1: int, i0: int, i1: int) -> FloatArray:
    """Sums of each column over the rows from `j0`, for the columns ``i0 <= i < i1``."""
    sums = np.empty((j1 - j0 + 1, i1 - i0))
    sums[0] = 0.0
    for j in range(j1 - j0):
        for i in range(i1 - i0):
            sums[j + 1, i] = sums[j, i] + img[j0 + j, i0 + i]
    return sums


@njit(nogil=True, error_model="numpy")
def _folded(value: float, low: float, n: int, mode: int) -> float:
    """Position of the centre of an output pixel, taken back to the image (pixels ``low`` to ``low + n``) as the boundary rule has it."""
    if mode == WRAP:
        return low + (value - low) % n
    if mode == REFLECT and n > 1:
        around = (value - low - 0.5) % (2 * n - 2)
        return low + 0.5 + min(around, 2 * n - 2 - around)
    return value


@njit(nogil=True, error_model="numpy")
def _direct(
    img: Float32Array, ax: float, ay: float, bx: float, by: float, cx: float, cy: float, dx: float, dy: float,
    pixfrac: float, squared: int,
) -> tuple[float, float]:  # fmt: skip
    """Sum of overlap (squared) times value, and of overlap, over the pixels shrunk to `pixfrac`, for one quadrilateral inside the image."""
    ny, nx = img.shape
    total, norm = 0.0, 0.0
    lift = 0.5 - 0.5 / pixfrac
    for j in range(max(0, math.floor(min(ay, by, cy, dy))), min(ny, math.floor(max(ay, by, cy, dy)) + 1)):
        y1, y2 = (ay - j) / pixfrac + lift, (by - j) / pixfrac + lift
        y3, y4 = (cy - j) / pixfrac + lift, (dy - j) / pixfrac + lift
        for i in range(max(0, math.floor(min(ax, bx, cx, dx))), min(nx, math.floor(max(ax, bx, cx, dx)) + 1)):
            x1, x2 = (ax - i) / pixfrac + lift, (bx - i) / pixfrac + lift
            x3, x4 = (cx - i) / pixfrac + lift, (dx - i) / pixfrac + lift
            w = _overlap(x1, y1, x2, y2, x3, y3, x4, y4)
            norm += w
            total += (w * w if squared else w) * img[j, i]
    return total, norm


@njit(nogil=True, error_model="numpy")
def _moved(
    img: Float32Array,
    x: FloatArray,
    y: FloatArray,
    x2: FloatArray,
    y2: FloatArray,
    i: int,
    pad: int,
    mode: int,
    pixfrac: float,
    squared: int,
) -> float:
    """Mean over the quadrilateral `i` between two rows of corners, taken inside the padded image first where it lies beyond it."""
    ny, nx = img.shape
    ax, bx, cx, dx = x[i], x[i + 1], x2[i + 1], x2[i]
    ay, by, cy, dy = y[i], y[i + 1], y2[i + 1], y2[i]
    mx, my = 0.25 * (ax + bx + cx + dx), 0.25 * (ay + by + cy + dy)
    if not (abs(mx) < 1e15 and abs(my) < 1e15):
        return np.nan
    reach_x, reach_y = max(ax, bx, cx, dx) - mx, max(ay, by, cy, dy) - my
    back_x, back_y = mx - min(ax, bx, cx, dx), my - min(ay, by, cy, dy)
    to_x, to_y = mx, my
    if mx - back_x < 0 or mx + reach_x > nx:
        to_x = _folded(mx, pad, nx - 2 * pad, mode)
        to_x = max(min(to_x, nx - reach_x), back_x)
    if my - back_y < 0 or my + reach_y > ny:
        to_y = _folded(my, pad, ny - 2 * pad, mode)
        to_y = max(min(to_y, ny - reach_y), back_y)
    sx, sy = to_x - mx, to_y - my
    total, norm = _direct(img, ax + sx, ay + sy, bx + sx, by + sy, cx + sx, cy + sy, dx + sx, dy + sy, pixfrac, squared)
    if norm <= 0:
        return 0.0
    return total / (norm * norm if squared else norm)


@njit(cache=True, nogil=True, error_model="numpy")
def quad_means(
    img: Float32Array, pad: int, mode: int, pixfrac: float, squared: int,
    pu: FloatArray, pv: FloatArray, table: int, scale: float, out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Means of a padded image over the output pixels between rows of corners.

    ``pu, pv, table, scale`` : map of the corners, one row and one column more than pixels. With ``squared``, or a ``pixfrac`` below 1,
    each pixel is cut by itself. Quadrilaterals that reach beyond the padded image are moved inside as the boundary rule ``mode`` has it, except
    that they are not mirrored. Those with corners at NaN give NaN, those of no area 0.
    """
    ny, nx = img.shape
    rows = pu.shape[0] - 1
    n = (pu.shape[1] if table else round(2.0 / scale) + 1) - 1
    cx, cy = np.empty((STRIP + 1, n + 1)), np.empty((STRIP + 1, n + 1))
    below, above, side = np.empty(n), np.empty(n), np.empty(n + 1)
    shared = pixfrac == 1.0 and not squared
    x_limit, y_limit = float(nx), float(ny)
    for r0 in range(0, rows, STRIP):
        count = min(STRIP, rows - r0)
        x_low, x_high, y_low, y_high = np.inf, -np.inf, np.inf, -np.inf
        for k in range(count + 1):
            _positions(pu, pv, r0 + k, table, 0, scale, n + 1, cx[k], cy[k])
            for i in range(n + 1):
                cx[k, i] += pad + 0.5
                cy[k, i] += pad + 0.5
                if 0 <= cx[k, i] < nx and 0 <= cy[k, i] < ny:
                    x_low, x_high = min(x_low, cx[k, i]), max(x_high, cx[k, i])
                    y_low, y_high = min(y_low, cy[k, i]), max(y_high, cy[k, i])
        if not shared or x_low > x_high:
            for k in range(count):
                for i in range(n):
                    out[y0 + r0 + k, x0 + i] = _moved(img, cx[k], cy[k], cx[k + 1], cy[k + 1], i, pad, mode, pixfrac, squared)
            continue
        j0, i0 = int(y_low), int(x_low)
        sums = _running_sums(img, j0, int(y_high) + 1, i0, int(x_high) + 1)
        flat, running, shape = img.ravel(), sums.ravel(), (nx, j0, i0, sums.shape[1])
        _row_edges(flat, running, shape, cx[0], cy[0], x_limit, y_limit, below)
        for k in range(count):
            xa, ya, xb, yb = cx[k], cy[k], cx[k + 1], cy[k + 1]
            _row_edges(flat, running, shape, xb, yb, x_limit, y_limit, above)
            for i in range(n + 1):
                side[i] = _inner_edge(flat, running, shape, xa[i], ya[i], xb[i], yb[i], x_limit, y_limit)
            for i in range(n):
                total = below[i] + side[i + 1] - above[i] - side[i]
                area = 0.5 * ((xb[i + 1] - xa[i]) * (yb[i] - ya[i + 1]) - (xb[i] - xa[i + 1]) * (yb[i + 1] - ya[i]))
                if math.isfinite(total) and area != 0:
                    out[y0 + r0 + k, x0 + i] = -total / area
                else:
                    out[y0 + r0 + k, x0 + i] = _moved(img, xa, ya, xb, yb, i, pad, mode, pixfrac, squared)
            below[:] = above


@njit(nogil=True, error_model="numpy")
def _inner_edge(
    img: Float32Array, sums: FloatArray, shape: Shape, xa: float, ya: float, xb: float, yb: float, x_limit: float, y_limit: float
) -> float:
    """Integral over an edge, NaN unless both its ends lie on the image. The usual edges, which leave one pixel for the next, are done here."""
    if not (0 <= xa < x_limit and 0 <= xb < x_limit and 0 <= ya < y_limit and 0 <= yb < y_limit):
        return np.nan
    ia, ib, ja, jb = int(xa), int(xb), int(ya), int(yb)
    if (ja == jb and abs(ib - ia) == 1) or (ia == ib and abs(jb - ja) == 1):
        stride, j0, i0, width = shape
        dx, dy = xb - xa, yb - ya
        part = (float(max(ia, ib)) - xa) / dx if ja == jb else (float(max(ja, jb)) - ya) / dy
        to = ya + part * dy
        one = _below(img, sums, ja * stride + ia, (ja - j0) * width + ia - i0, 0.5 * (ya + to) - ja)
        two = _below(img, sums, jb * stride + ib, (jb - j0) * width + ib - i0, 0.5 * (to + yb) - jb)
        return dx * (part * one + (1.0 - part) * two)
    return _edge(img, sums, shape, xa, ya, xb, yb)


@njit(nogil=True, error_model="numpy")
def _row_edges(
    img: Float32Array, sums: FloatArray, shape: Shape, x: FloatArray, y: FloatArray, x_limit: float, y_limit: float, out: FloatArray
) -> None:
    """Integrals over the edges between neighbouring corners of a row."""
    for i in range(out.size):
        out[i] = _inner_edge(img, sums, shape, x[i], y[i], x[i + 1], y[i + 1], x_limit, y_limit)
