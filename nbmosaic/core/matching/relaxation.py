"""Montage's background relaxation, iteration by iteration.

mBgModel minimises ``sum_k (d_k - p_plus + p_minus)^T M_k (d_k - p_plus + p_minus)``, where d_k is the plane of overlap k and M_k the moments of its bounding
box: every square pixel of the box weighs the same, whatever its noise. It does so by a damped block Jacobi iteration, all images at once: half the
correction that would make one image fit its neighbours as they are. The number of iterations is fixed (10000) and there is no test of convergence, so the
answer is part of the recipe:

* the first ``min(2500, n / 2 if n < 5000)`` iterations change levels only, the others levels and slopes;
* level steps are rounded to single precision; matrices and right-hand sides of the 3 x 3 systems are, too, and are solved in it by Gauss-Jordan elimination
  with full pivoting (found by trying: of eight roundings this one gives every digit at every iteration);
* overlaps with fewer pixels than 0.001 of the mean image, or without a finite rms, are left out (2.3.0; 6.0 leaves out many more);
* the iteration conserves ``sum_i S_i p_i`` (S_i the moments of image i), which is what fixes the common plane.

Slow modes die away like ``(pi / n)^2`` per step for levels and ``(pi / n)^4`` for slopes in a mosaic of n x n images: at 100 x 100 the answer of
10000 iterations is off by several DN. `nbmosaic.core.matching.background` solves the same equations exactly, in a fraction of the time; this module exists
because tables of the two programs can then be compared digit for digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.errors import InputError

__all__ = ["DEFAULT_ITERATIONS", "Relaxed", "box_moments", "relax_background", "used_overlaps"]

DEFAULT_ITERATIONS = 10000
_LEVEL_ITERATIONS = 2500
_SMALL = 0.001  # of the mean image: Montage 2.3.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Relaxed:
    """Corrections as the relaxation leaves them.

    Attributes
    ----------
    planes : ndarray of float64, shape (m, 3)
        ``a, b, c`` of each image, to subtract.
    remaining : ndarray of float64, shape (n, 3)
        What is left of the plane of each overlap (0 where not used).
    component : ndarray of int64, shape (m,)
        Number of the connected group of each image; -1 for an image without used overlap.
    """

    planes: FloatArray
    remaining: FloatArray
    component: IntArray


def box_moments(boxx: FloatArray, boxy: FloatArray, width: FloatArray, height: FloatArray, angle: FloatArray) -> FloatArray:
    """Moments of rotated rectangles: exact integrals of x^2, x y, x, y^2, y, 1.

    Parameters
    ----------
    boxx, boxy : ndarray of float64, shape (n,)
        Centres (pixels).
    width, height, angle : ndarray of float64, shape (n,)
        Sides (pixels) and direction of the first (degrees).

    Returns
    -------
    ndarray of float64, shape (n, 6)
        Moments in the order above.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> box_moments(0 * one, 0 * one, 6 * one, 2 * one, 90 * one).round(9).tolist()
    [[4.0, 0.0, 0.0, 36.0, 0.0, 12.0]]
    """
    t = np.radians(angle)
    c, s, area = np.cos(t), np.sin(t), width * height
    # The last digit of Montage's tables hangs on the rounding: on regular grids half of the sums lie half-way between two numbers of single precision. So
    # moments are sums of areas and not the area times a sum, and the first ones are integrals between the sides of the box, turned back.
    x, y = boxx * c + boxy * s, boxy * c - boxx * s
    x1, x0, y1, y0 = x + width / 2, x - width / 2, y + height / 2, y - height / 2
    along, across = x1 * x1 - x0 * x0, y1 * y1 - y0 * y0
    first_x = c * (y1 - y0) * along / 2 - s * (x1 - x0) * across / 2
    first_y = s * (y1 - y0) * along / 2 + c * (x1 - x0) * across / 2
    along, across = width**3 * height / 12, height**3 * width / 12
    xx = along * c**2 + across * s**2 + area * boxx**2
    yy = along * s**2 + across * c**2 + area * boxy**2
    xy = (along - across) * s * c + area * boxx * boxy
    return np.stack([xx, xy, first_x, yy, first_y, area], axis=1)


def used_overlaps(npixel: FloatArray, rms: FloatArray, mean_image_area: float) -> BoolArray:
    """Overlaps that Montage 2.3.0 uses: at least 0.001 of the mean image, and a finite rms.

    Examples
    --------
    >>> import numpy as np
    >>> used_overlaps(np.array([5.0, 50.0, 50.0]), np.array([1.0, 1.0, np.nan]), 10000.0).tolist()
    [False, True, False]
    """
    return (npixel >= _SMALL * mean_image_area) & np.isfinite(rms)


def relax_background(
    plus: IntArray,
    minus: IntArray,
    planes: FloatArray,
    moments: FloatArray,
    n_images: int,
    *,
    use: BoolArray | None = None,
    iterations: int = DEFAULT_ITERATIONS,
    slope: bool = True,
) -> Relaxed:
    """Background corrections by Montage's relaxation.

    Parameters
    ----------
    plus, minus : ndarray of int64, shape (n,)
        Images of each overlap, 0 to ``n_images - 1``.
    planes : ndarray of float64, shape (n, 3)
        ``a, b, c`` of image `plus` minus image `minus`. Not modified.
    moments : ndarray of float64, shape (n, 6)
        See `box_moments`.
    n_images : int
        Number of images.
    use : ndarray of bool, shape (n,), optional
        Overlaps to use; all by default.
    iterations : int
        Number of iterations, above 0.
    slope : bool
        False: levels only, in all iterations.

    Raises
    ------
    InputError
        An index is out of range, or `iterations` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> m = box_moments(*(np.array([v]) for v in (0.0, 0.0, 10.0, 10.0, 0.0)))
    >>> relax_background(np.array([0]), np.array([1]), np.array([[0.0, 0.0, 8.0]]), m, 2).planes[:, 2].tolist()
    [4.0, -4.0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from nbmosaic.core.matching import relaxation_kernels as kernels

    if iterations < 1:
        raise InputError(f"iterations is {iterations}, expected 1 or more")
    if len(plus) and (min(plus.min(), minus.min()) < 0 or max(plus.max(), minus.max()) >= n_images):
        raise InputError(f"an overlap names an image beyond the {n_images} of the table")
    use = np.ones(len(plus), bool) if use is None else use
    p, q, weight = (np.ascontiguousarray(v[use]) for v in (plus.astype(np.int64), minus.astype(np.int64), moments.astype(float)))
    left = np.ascontiguousarray(planes[use], dtype=float).copy()
    sums = np.zeros((n_images, 6))
    np.add.at(sums, p, weight)
    np.add.at(sums, q, weight)
    steps, rows = np.zeros((n_images, 12), np.float32), np.zeros((n_images, 6), np.int64)
    kernels.eliminate(sums, steps, rows)
    half = _LEVEL_ITERATIONS if iterations >= 2 * _LEVEL_ITERATIONS else int(iterations / 2)
    result = np.empty((n_images, 3))
    kernels.relax(p, q, weight, left, sums, steps, rows, half if slope else iterations, iterations, result)
    remaining = np.zeros((len(plus), 3))
    remaining[use] = planes[use] - result[p] + result[q]
    _, group = connected_components(coo_array((np.ones(len(p)), (p, q)), shape=(n_images, n_images)), directed=False)
    component = np.where(sums[:, 5] > 0, group, -1).astype(np.int64)
    return Relaxed(planes=result, remaining=remaining, component=component)
