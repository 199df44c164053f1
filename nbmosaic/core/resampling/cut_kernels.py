"""Compiled kernel that cuts output pixels, as parallelograms on the frame, along the frame's pixels.

The area of a polygon where x < a and y < b is the integral of min(x, a) d min(y, b) round its outline: limiting both coordinates maps the rest of
the polygon onto lines, which have no area. An output pixel that reaches at most one pixel beyond the one that holds its centre is crossed by
two lines x = a0, a1 and two lines y = b0, b1; the areas below and left of these give its overlaps with all 3 x 3 pixels by differences. Along an
edge the integrals are polynomials of the distances, without a case to tell, so the compiler does 4 to 8 output pixels at once: 8 ns for the
nine overlaps, where cutting one polygon after the other takes 90 to 150.

Edges along an axis would divide by zero. They are turned by 1e-8 pixel, which changes an overlap by less than 1e-8; rounding (1e-16 divided by
twice the turn) changes it as much. Overlaps below 3e-8 count as none, and the middle pixel gets what the others leave, so frames that
lie exactly on the grid come out as they were.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nbmosaic._types import Float32Array, FloatArray

__all__ = ["cut_area"]

ByteArray = NDArray[np.uint8]

LANES = 64  # output pixels done together: their buffers stay in the first-level cache
U0, U1, U2, U3 = (np.uint64(k) for k in range(4))
NAN = np.float32(np.nan)
ONE = np.float32(1)
FAST = {"contract", "nsz", "nnan", "ninf"}  # what the numbers allow that become overlaps: all finite


@njit(nogil=True, error_model="numpy", fastmath=FAST, inline="always")
def _beyond(x: float) -> float:
    return max(0.0, x)


@njit(nogil=True, error_model="numpy", fastmath=FAST, inline="always")
def _turned(d: float) -> float:
    return d if abs(d) > 1e-8 else 1e-8


@njit(nogil=True, error_model="numpy", fastmath=FAST, inline="always")
def _seen(w: float) -> float:
    return w if w > 3e-8 else 0.0


@njit(nogil=True, error_model="numpy", fastmath=FAST, inline="always")
def _edge(
    x1: float, y1: float, x2: float, y2: float, slope: float, half: float, a0: float, a1: float, b0: float, b1: float
) -> tuple[float, float, float, float, float, float, float, float]:  # fmt: skip
    """Integrals along an edge of min(x, a0) dy and min(x, a1) dy; of x, min(x, a0) and min(x, a1) by d min(y, b1); and of the same by d min(y, b0).

    ``slope`` is dx / dy, ``half`` is 1 / (2 slope).
    """
    v1, v2 = min(y1, b1), min(y2, b1)
    l1, l2 = min(y1, b0), min(y2, b0)
    xv1, xv2 = x1 + slope * (v1 - y1), x1 + slope * (v2 - y1)
    xl1, xl2 = x1 + slope * (l1 - y1), x1 + slope * (l2 - y1)
    whole = 0.5 * (x1 + x2) * (y2 - y1)
    upper = 0.5 * (xv1 + xv2) * (v2 - v1)
    lower = 0.5 * (xl1 + xl2) * (l2 - l1)
    p, q = _beyond(x1 - a0), _beyond(x2 - a0)
    whole0 = whole - half * (q - p) * (q + p)
    p, q = _beyond(x1 - a1), _beyond(x2 - a1)
    whole1 = whole - half * (q - p) * (q + p)
    p, q = _beyond(xv1 - a0), _beyond(xv2 - a0)
    upper0 = upper - half * (q - p) * (q + p)
    p, q = _beyond(xv1 - a1), _beyond(xv2 - a1)
    upper1 = upper - half * (q - p) * (q + p)
    p, q = _beyond(xl1 - a0), _beyond(xl2 - a0)
    lower0 = lower - half * (q - p) * (q + p)
    p, q = _beyond(xl1 - a1), _beyond(xl2 - a1)
    lower1 = lower - half * (q - p) * (q + p)
    return whole0, whole1, upper, upper0, upper1, lower, lower0, lower1


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def _overlaps(buf: FloatArray) -> None:
    """Overlaps of `LANES` output pixels with 3 x 3 frame pixels, as fractions.

    ``buf`` holds, `LANES` numbers each: the place of the centre in its frame pixel (x, y from 0 to 1) and the sides of the output pixel
    (px, py, qx, qy); the nine overlaps, row by row, go behind these.
    """
    n = LANES
    for i in range(n):
        px, py, qx, qy = _turned(buf[2 * n + i]), _turned(buf[3 * n + i]), _turned(buf[4 * n + i]), _turned(buf[5 * n + i])
        a0, b0 = -buf[i], -buf[n + i]
        a1, b1 = a0 + 1.0, b0 + 1.0
        scale = 1.0 / (px * qy - py * qx)
        sp, sq = px / py, qx / qy
        hp, hq = 0.5 * py / px, 0.5 * qy / qx
        ax, ay, bx, by = 0.5 * (px + qx), 0.5 * (py + qy), 0.5 * (px - qx), 0.5 * (py - qy)
        c0, c1, c2, c3, c4, c5, c6, c7 = _edge(-ax, -ay, bx, by, sp, hp, a0, a1, b0, b1)
        d0, d1, d2, d3, d4, d5, d6, d7 = _edge(bx, by, ax, ay, sq, hq, a0, a1, b0, b1)
        e0, e1, e2, e3, e4, e5, e6, e7 = _edge(ax, ay, -bx, -by, sp, hp, a0, a1, b0, b1)
        f0, f1, f2, f3, f4, f5, f6, f7 = _edge(-bx, -by, -ax, -ay, sq, hq, a0, a1, b0, b1)
        whole0, whole1 = (c0 + d0 + e0 + f0) * scale, (c1 + d1 + e1 + f1) * scale
        upper, upper0, upper1 = (c2 + d2 + e2 + f2) * scale, (c3 + d3 + e3 + f3) * scale, (c4 + d4 + e4 + f4) * scale
        lower, lower0, lower1 = (c5 + d5 + e5 + f5) * scale, (c6 + d6 + e6 + f6) * scale, (c7 + d7 + e7 + f7) * scale
        w0, w1, w2 = _seen(lower0), _seen(lower1 - lower0), _seen(lower - lower1)
        w3, w5 = _seen(upper0 - lower0), _seen(upper - upper1 - lower + lower1)
        w6, w7, w8 = _seen(whole0 - upper0), _seen(whole1 - whole0 - upper1 + upper0), _seen(1.0 - upper - whole1 + upper1)
        buf[6 * n + i] = w0
        buf[7 * n + i] = w1
        buf[8 * n + i] = w2
        buf[9 * n + i] = w3
        buf[10 * n + i] = _seen(1.0 - (w0 + w1 + w2 + w3) - (w5 + w6 + w7 + w8))
        buf[11 * n + i] = w5
        buf[12 * n + i] = w6
        buf[13 * n + i] = w7
        buf[14 * n + i] = w8


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _place(maps: FloatArray, r: int, start: int, scale: float, pad: int, ny: int, nx: int, stride: int, buf: FloatArray, first: FloatArray) -> int:  # fmt: skip
    """Fill the first six entries of ``buf`` for columns from ``start``, and the address of the first of the 3 x 3 pixels; count those that touch the frame."""
    n, top = LANES, maps.shape[2] - 1
    for k in range(6):
        for i in range(n):
            buf[k * n + i] = maps[r, k, top]
        for power in range(top - 1, -1, -1):
            c = maps[r, k, power]
            for i in range(n):
                buf[k * n + i] = buf[k * n + i] * ((start + i) * scale - 1.0) + c
    touching = 0
    for i in range(n):
        x, y = buf[i] + 0.5, buf[n + i] + 0.5
        column, row = math.floor(x), math.floor(y)
        buf[i] = x - column
        buf[n + i] = y - row
        # what is farther out than one pixel sees only the frame's margin, wherever it is
        inside_x, inside_y = min(max(column, -2.0), nx + 1.0), min(max(row, -2.0), ny + 1.0)
        first[i] = (inside_y + (pad - 1)) * stride + (inside_x + (pad - 1))
        touching += 1 if (abs(column - 0.5 * (nx - 1)) <= 0.5 * (nx + 1)) and (abs(row - 0.5 * (ny - 1)) <= 0.5 * (ny + 1)) else 0
    return touching


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def cut_area(
    img: Float32Array, good: ByteArray, solid: ByteArray, pad: int, squared: int, minimum: float, area: Float32Array,
    maps: FloatArray, scale: float, n: int, out: Float32Array, y0: int, x0: int,
) -> None:  # fmt: skip
    """Resample a block by the overlaps of its pixels, as parallelograms, with the frame's.

    ``img`` and ``good`` are padded by at least 3 and 0 where bad and outside; ``solid`` is 1 where all 3 x 3 pixels around are good. ``maps``
    (rows, 6, degree + 1) are coefficients in t = scale * column - 1 of u, v and the sides du/dx, dv/dx, du/dy, dv/dy. With ``squared`` the
    overlaps are squared, which propagates a variance. ``out`` receives the mean and ``area`` the overlap with good pixels; where that is
    less than ``minimum`` they are blank.
    """
    ny, nx = img.shape[0] - 2 * pad, img.shape[1] - 2 * pad
    flat, usable, whole, res, cover = img.ravel(), good.ravel(), solid.ravel(), out.ravel(), area.ravel()
    stride, width = img.shape[1], out.shape[1]
    down = np.uint64(stride)
    buf, first = np.empty(15 * LANES), np.empty(LANES)
    for r in range(maps.shape[0]):
        for start in range(0, n, LANES):
            to = np.uint64((y0 + r) * width + x0 + start)
            count = min(LANES, n - start)
            if not _place(maps, r, start, scale, pad, ny, nx, stride, buf, first):
                for i in range(count):
                    res[to + np.uint64(i)] = NAN
                    cover[to + np.uint64(i)] = 0
                continue
            _overlaps(buf)
            for i in range(count):
                q = np.uint64(first[i])
                q1 = q + down
                q2 = q1 + down
                at = to + np.uint64(i)
                w0, w1, w2 = buf[6 * LANES + i], buf[7 * LANES + i], buf[8 * LANES + i]
                w3, w4, w5 = buf[9 * LANES + i], buf[10 * LANES + i], buf[11 * LANES + i]
                w6, w7, w8 = buf[12 * LANES + i], buf[13 * LANES + i], buf[14 * LANES + i]
                covered = 1.0
                if not whole[q1 + U1]:
                    upper = w0 * usable[q] + w1 * usable[q + U1] + w2 * usable[q + U2]
                    middle = w3 * usable[q1] + w4 * usable[q1 + U1] + w5 * usable[q1 + U2]
                    covered = upper + middle + (w6 * usable[q2] + w7 * usable[q2 + U1] + w8 * usable[q2 + U2])
                    if not covered >= minimum:
                        res[at] = NAN
                        cover[at] = 0
                        continue
                if squared:
                    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w0 * w0, w1 * w1, w2 * w2, w3 * w3, w4 * w4, w5 * w5, w6 * w6, w7 * w7, w8 * w8
                upper = w0 * flat[q] + w1 * flat[q + U1] + w2 * flat[q + U2]
                middle = w3 * flat[q1] + w4 * flat[q1 + U1] + w5 * flat[q1 + U2]
                total = upper + middle + (w6 * flat[q2] + w7 * flat[q2 + U1] + w8 * flat[q2 + U2])
                res[at] = np.float32(total / (covered * covered if squared else covered))
                cover[at] = min(np.float32(covered), ONE)
