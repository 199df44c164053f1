"""Compiled kernels of areas: overlaps of polygons with square pixels.

The area of a polygon inside the unit square is the sum over its edges, with sign, of the area under the edge inside the square: the integral
of y, limited to 0...1, over that part of the edge whose x lies in 0...1.

Table over phases. An output pixel is a parallelogram on the frame, and its overlap with a frame pixel depends only on where its centre lies
in the pixel below it. The table holds the overlaps with the K x K pixels around for P + 1 phases in each axis. Polygons are cut only along
the outline: space is divided in cells of 1 / P pixel, of which most lie wholly inside or outside; a pixel consists of P x P whole cells at
every phase, so that a summed-area table of the cells gives each entry by four look-ups. A table of 128 phases and 3 x 3 pixels takes below 1 ms,
thirty times less than cutting a polygon for each entry.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nbmosaic._types import Float32Array, FloatArray

__all__ = ["direct_area", "phase_table", "scatter_area"]

ByteArray = NDArray[np.uint8]

NAN = np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _integral(y: float) -> float:
    """Antiderivative of y limited to 0...1."""
    if y <= 0.0:
        return 0.0
    return 0.5 * y * y if y < 1.0 else y - 0.5


@njit(nogil=True, error_model="numpy")
def _under(x1: float, y1: float, x2: float, y2: float) -> float:
    """Area inside the unit square under an edge, negative where the edge runs to the left."""
    if (x1 <= 0.0 and x2 <= 0.0) or (x1 >= 1.0 and x2 >= 1.0) or (y1 <= 0.0 and y2 <= 0.0):
        return 0.0
    xa = min(max(x1, 0.0), 1.0)
    xb = min(max(x2, 0.0), 1.0)
    if y1 >= 1.0 and y2 >= 1.0:
        return xb - xa
    if xa == xb:
        return 0.0
    slope = (y2 - y1) / (x2 - x1)
    ya = y1 + slope * (xa - x1)
    yb = y1 + slope * (xb - x1)
    low, high = min(ya, yb), max(ya, yb)
    if low >= 0.0 and high <= 1.0:
        return (xb - xa) * 0.5 * (ya + yb)
    if high - low < 1e-8:  # the quotient below would lose its digits; this is right to 1e-8
        return (xb - xa) * min(max(0.5 * (ya + yb), 0.0), 1.0)
    return (xb - xa) * (_integral(high) - _integral(low)) / (high - low)


@njit(nogil=True, error_model="numpy")
def _overlap(ax: float, ay: float, bx: float, by: float, cx: float, cy: float, dx: float, dy: float) -> float:
    """Area of a quadrilateral inside the unit square, whichever way round it goes."""
    return abs(_under(ax, ay, bx, by) + _under(bx, by, cx, cy) + _under(cx, cy, dx, dy) + _under(dx, dy, ax, ay))


@njit(cache=True, nogil=True, error_model="numpy")
def phase_table(jacobian: FloatArray, phases: int, taps: int, table: Float32Array, sums: FloatArray) -> None:
    """Fill a table of overlaps.

    ``jacobian`` (2, 2) is the derivative of the frame position by the output position; ``table`` (phases + 1, phases + 1, taps**2) receives,
    for the centre's phases in y and x (from the lower edge of the pixel that holds it), the fractions of the output pixel in the pixels
    around it; ``sums`` is scratch of ((taps + 1) * phases + 1)**2.
    """
    a, b, c, d = jacobian[0, 0], jacobian[0, 1], jacobian[1, 0], jacobian[1, 1]
    determinant = a * d - b * c
    n = (taps + 1) * phases
    middle = 0.5 * n
    # corners in cells
    x1, y1 = 0.5 * phases * (a + b), 0.5 * phases * (c + d)
    x2, y2 = 0.5 * phases * (a - b), 0.5 * phases * (c - d)
    # a cell is inside if its middle is, by more than its half width, in the coordinates (p, q) of the output pixel
    half_p = 0.5 * (abs(d) + abs(b)) / abs(determinant)
    half_q = 0.5 * (abs(c) + abs(a)) / abs(determinant)
    limit = 0.5 * phases
    sums[0, : n + 1] = 0.0
    for j in range(n):
        y = j + 0.5 - middle
        row = 0.0
        sums[j + 1, 0] = 0.0
        for i in range(n):
            x = i + 0.5 - middle
            p = abs(d * x - b * y) / abs(determinant)
            q = abs(a * y - c * x) / abs(determinant)
            if p + half_p <= limit and q + half_q <= limit:
                row += 1.0
            elif p - half_p < limit and q - half_q < limit:
                sx, sy = i - middle, j - middle
                row += _overlap(x1 - sx, y1 - sy, x2 - sx, y2 - sy, -x1 - sx, -y1 - sy, -x2 - sx, -y2 - sy)
            sums[j + 1, i + 1] = sums[j, i + 1] + row
    scale = 1.0 / sums[n, n]
    for kv in range(phases + 1):
        for ku in range(phases + 1):
            for j in range(taps):
                y0 = (j + 1) * phases - kv
                for i in range(taps):
                    x0 = (i + 1) * phases - ku
                    inside = sums[y0 + phases, x0 + phases] - sums[y0, x0 + phases] - sums[y0 + phases, x0] + sums[y0, x0]
                    table[kv, ku, j * taps + i] = inside * scale


@njit(cache=True, nogil=True, error_model="numpy")
def direct_area(
    img: Float32Array, good: ByteArray, pad: int, u: FloatArray, v: FloatArray, jacobians: FloatArray, squared: int, minimum: float,
    out: Float32Array, area: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Area resampling of a block whose output pixels are parallelograms of different shapes, each cut by itself.

    ``img, good`` are padded, 0 where bad; ``u, v`` (rows, columns) are the centres on the frame, ``jacobians`` (4, rows, columns) du/dx, du/dy,
    dv/dx, dv/dy. With ``squared`` the weights are squared, which propagates a variance. See `phase_area` in `kernels` for the result.
    """
    ny, nx = img.shape[0] - 2 * pad, img.shape[1] - 2 * pad
    for r in range(u.shape[0]):
        for k in range(u.shape[1]):
            out[y0 + r, x0 + k] = NAN
            area[y0 + r, x0 + k] = 0
            a, b, c, d = jacobians[0, r, k], jacobians[1, r, k], jacobians[2, r, k], jacobians[3, r, k]
            whole = abs(a * d - b * c)
            x, y = u[r, k] + 0.5, v[r, k] + 0.5
            reach_x, reach_y = 0.5 * (abs(a) + abs(b)), 0.5 * (abs(c) + abs(d))
            inside = x + reach_x > 0 and x - reach_x < nx and y + reach_y > 0 and y - reach_y < ny
            if not (inside and whole > 0):  # so that NaN ends here
                continue
            x1, y1, x2, y2 = 0.5 * (a + b), 0.5 * (c + d), 0.5 * (a - b), 0.5 * (c - d)
            total, covered = 0.0, 0.0
            for j in range(max(0, math.floor(y - reach_y)), min(ny, math.floor(y + reach_y) + 1)):
                for i in range(max(0, math.floor(x - reach_x)), min(nx, math.floor(x + reach_x) + 1)):
                    if good[pad + j, pad + i]:
                        sx, sy = x - i, y - j
                        w = _overlap(sx + x1, sy + y1, sx + x2, sy + y2, sx - x1, sy - y1, sx - x2, sy - y2) / whole
                        covered += w
                        total += (w * w if squared else w) * img[pad + j, pad + i]
            if covered >= minimum:
                out[y0 + r, x0 + k] = total / (covered * covered if squared else covered)
                area[y0 + r, x0 + k] = min(covered, 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def scatter_area(
    data: Float32Array, good: ByteArray, weight: Float32Array, variance: Float32Array, first: int, u: FloatArray, v: FloatArray,
    sense: float, limit: float, flux: int,
    covered: FloatArray, total: FloatArray, weights: FloatArray, variances: FloatArray,
) -> None:  # fmt: skip
    """Add some rows of frame pixels, from the row `first`, to the output pixels that they overlap.

    ``u, v`` (rows + 1, columns + 1) are the pixels' corners in the output image, where pixel i reaches from i to i + 1. Pixels whose corners
    are not finite, go round against ``sense`` (the seam of a projection lies inside) or span more than ``limit`` are left out. With ``flux`` a
    pixel counts as flux: values are divided by its area.
    """
    ny, nx = covered.shape
    for j in range(u.shape[0] - 1):
        for i in range(data.shape[1]):
            if not good[first + j, i]:
                continue
            ax, ay, bx, by = u[j, i], v[j, i], u[j, i + 1], v[j, i + 1]
            cx, cy, dx, dy = u[j + 1, i + 1], v[j + 1, i + 1], u[j + 1, i], v[j + 1, i]
            own = 0.5 * ((cx - ax) * (dy - by) - (dx - bx) * (cy - ay)) * sense
            x_min, x_max = min(ax, bx, cx, dx), max(ax, bx, cx, dx)
            y_min, y_max = min(ay, by, cy, dy), max(ay, by, cy, dy)
            inside = x_max > 0 and x_min < nx and y_max > 0 and y_min < ny
            if not (own > 0 and inside and x_max - x_min <= limit and y_max - y_min <= limit):  # so that NaN ends here
                continue
            density = 1.0 / own if flux else 1.0
            value = data[first + j, i] * density
            for y in range(max(0, math.floor(y_min)), min(ny, math.floor(y_max) + 1)):
                for x in range(max(0, math.floor(x_min)), min(nx, math.floor(x_max) + 1)):
                    w = _overlap(ax - x, ay - y, bx - x, by - y, cx - x, cy - y, dx - x, dy - y)
                    covered[y, x] += w
                    total[y, x] += w * value
                    if weight.size > 0:
                        weights[y, x] += w * weight[first + j, i]
                    if variance.size > 0:
                        variances[y, x] += w * w * density * density * variance[first + j, i]
