"""Slow and obvious resampling: every output value written as weights times input values."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline


def axis_weights(method: str, position: np.ndarray, n: int) -> np.ndarray:
    """Weights of all `n` samples of an axis at some positions, shape (positions, n). Weights beyond the ends go to their reflections."""
    if n == 1:
        return np.ones((position.size, 1))
    position = np.clip(position, 0, n - 1)
    samples = np.arange(n)
    if method == "bilinear":
        return np.clip(1 - np.abs(position[:, None] - samples), 0, None)
    if method == "spline":
        return natural_spline(position, n)
    taps = np.arange(-2, 4)
    first = np.minimum(np.floor(position), n - 2)
    x = (position - first)[:, None] - taps
    w = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    w /= w.sum(axis=1, keepdims=True)
    weights = np.zeros((position.size, n))
    for k in range(6):
        for i, j in enumerate((first + taps[k]).astype(int)):
            add_reflected(weights[i], j, w[i, k])
    return weights


def add_reflected(row: np.ndarray, j: int, w: float) -> None:
    """Add weight `w` of the sample `j` of an axis that is reflected through its end points."""
    n = row.size
    if j < 0:
        row[0] += 2 * w
        add_reflected(row, -j, -w)
    elif j > n - 1:
        row[n - 1] += 2 * w
        add_reflected(row, 2 * (n - 1) - j, -w)
    else:
        row[j] += w


def natural_spline(position: np.ndarray, n: int) -> np.ndarray:
    """Weights of the samples in a natural cubic spline."""
    if n == 2:
        return axis_weights("bilinear", position, n)
    return CubicSpline(np.arange(n), np.eye(n), bc_type="natural")(position)


def point_twin(method: str, image, u, v, *, variance=None, good=None):
    """Value (and variance) at positions between the outermost pixel centres, NaN beyond.

    ``bilinear`` uses good pixels only and is blank where they have less than half the weight.
    """
    ny, nx = image.shape
    shape = u.shape
    u, v = u.ravel(), v.ravel()
    if method == "nearest":
        inside = (u >= -0.5) & (u < nx - 0.5) & (v >= -0.5) & (v < ny - 0.5)
        where = np.floor(np.where(inside, v, 0) + 0.5).astype(int), np.floor(np.where(inside, u, 0) + 0.5).astype(int)
        planes = [np.where(inside, plane[where], np.nan).reshape(shape) for plane in (image, image if variance is None else variance)]
        return planes[0], planes[1]
    limits = [(0, n - 1) if n > 1 else (-0.5, 0.5) for n in (nx, ny)]
    inside = (u >= limits[0][0] - 1e-3) & (u <= limits[0][1] + 1e-3) & (v >= limits[1][0] - 1e-3) & (v <= limits[1][1] + 1e-3)
    wx = axis_weights(method, np.where(inside, u, 0), nx)
    wy = axis_weights(method, np.where(inside, v, 0), ny)
    usable = np.ones((ny, nx)) if good is None else good.astype(float)
    norm = np.einsum("ki,ij,kj->k", wy, usable, wx, optimize=True)
    inside &= norm >= 0.5
    norm = np.where(inside, norm, 1)
    value = np.einsum("ki,ij,kj->k", wy, np.where(usable > 0, image, 0), wx, optimize=True) / norm
    spread = np.zeros((ny, nx)) if variance is None else variance
    squares = np.einsum("ki,ij,kj->k", wy**2, np.where(usable > 0, spread, 0), wx**2, optimize=True) / norm**2
    return np.where(inside, value, np.nan).reshape(shape), np.where(inside, squares, np.nan).reshape(shape)


def clip(polygon: list, inside, crossing) -> list:
    """Sutherland and Hodgman: the part of a polygon on one side of a line."""
    result = []
    for a, b in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        if inside(a):
            result.append(a)
        if inside(a) != inside(b):
            result.append(crossing(a, b))
    return result


def square_overlap(polygon: list, x: float, y: float) -> float:
    """Area of a convex polygon inside the unit square whose lower corner is (x, y)."""
    for axis, limit, sign in ((0, x, 1), (0, x + 1, -1), (1, y, 1), (1, y + 1, -1)):

        def inside(p, axis=axis, limit=limit, sign=sign):
            return sign * (p[axis] - limit) >= 0

        def crossing(a, b, axis=axis, limit=limit):
            t = (limit - a[axis]) / (b[axis] - a[axis])
            return (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))

        polygon = clip(polygon, inside, crossing)
        if not polygon:
            return 0.0
    px, py = np.array(polygon).T
    return 0.5 * abs(float(np.dot(px, np.roll(py, -1)) - np.dot(py, np.roll(px, -1))))


def area_twin(image, good, centre, matrix, variance=None):
    """Mean over the parallelogram with the given centre ``(u, v)`` on the frame, fraction of it covered by good pixels, and variance."""
    ny, nx = image.shape
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) @ np.asarray(matrix).T + np.add(centre, 0.5)
    polygon = [tuple(corner) for corner in corners]
    whole = abs(np.linalg.det(matrix))
    total = covered = squares = 0.0
    for j in range(max(0, int(np.floor(corners[:, 1].min()))), min(ny - 1, int(np.floor(corners[:, 1].max()))) + 1):
        for i in range(max(0, int(np.floor(corners[:, 0].min()))), min(nx - 1, int(np.floor(corners[:, 0].max()))) + 1):
            if good[j, i]:
                w = square_overlap(polygon, i, j) / whole
                covered += w
                total += w * image[j, i]
                squares += w * w * (0.0 if variance is None else variance[j, i])
    if covered == 0:
        return np.nan, 0.0, np.nan
    return total / covered, covered, squares / covered**2
