"""Values, derivatives and the inverse of fitted maps, and their conversion for the kernels."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev, legendre, polynomial

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.errors import AlgorithmError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import FittedMap

__all__ = ["basis_arguments", "basis_functions", "basis_value", "derivatives", "evaluate", "invert", "pixel_map"]

_SMALLEST_KERNEL_DEGREE = 3  # lower polynomials are padded to the one degree that the kernels have unrolled
_NEWTON_STEPS = 30
_NEWTON_TOLERANCE_PIX = 1e-9

_VANDER = {"chebyshev": chebyshev.chebvander, "legendre": legendre.legvander, "polynomial": polynomial.polyvander}
_VALUE = {"chebyshev": chebyshev.chebval2d, "legendre": legendre.legval2d, "polynomial": polynomial.polyval2d}
_SLOPE = {"chebyshev": chebyshev.chebder, "legendre": legendre.legder, "polynomial": polynomial.polyder}


def basis_functions(function: str, argument: FloatArray, degree: int) -> FloatArray:
    """Basis functions 0 to `degree` at arguments, in the last axis."""
    return np.asarray(_VANDER[function](argument, degree), float)


def basis_value(function: str, t: FloatArray, s: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Sum of ``coefficients[j, i]`` times basis function j of t and i of s."""
    return np.asarray(_VALUE[function](t, s, coefficients), float)


def basis_arguments(
    function: str, limits: tuple[float, float, float, float], x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Arguments of the basis functions at positions."""
    if function == "polynomial":
        return x, y
    x0, x1, y0, y1 = limits
    return (2 * x - (x0 + x1)) / (x1 - x0), (2 * y - (y0 + y1)) / (y1 - y0)


def _total(fitted: FittedMap) -> tuple[FloatArray, FloatArray]:
    """Coefficients ``[j, i]`` of the whole map of x and y."""
    totals = []
    for linear, surface in zip(fitted.linear, (fitted.distortion_x, fitted.distortion_y), strict=True):
        shape = (2, 2) if surface is None else (max(2, surface.shape[0]), max(2, surface.shape[1]))
        out = np.zeros(shape)
        if surface is not None:
            out[: surface.shape[0], : surface.shape[1]] = surface
        out[0, 0] += linear[0]
        out[0, 1] += linear[1]
        out[1, 0] += linear[2]
        totals.append(out)
    return totals[0], totals[1]


def evaluate(fitted: FittedMap, y: AnyArray, x: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Input positions ``(v, u)`` (row, column) of output positions, all counted from 0 whatever the map's own origin is.

    Parameters
    ----------
    fitted : FittedMap
        The map.
    y, x : ndarray
        Output positions in pixels, of any one shape.

    Returns
    -------
    v, u : ndarray of float64
    """
    x, y = np.broadcast_arrays(np.asarray(x, np.float64) + fitted.origin, np.asarray(y, np.float64) + fitted.origin)
    s, t = basis_arguments(fitted.function, fitted.limits, x, y)
    cu, cv = _total(fitted)
    function = fitted.function
    return np.asarray(basis_value(function, t, s, cv) - fitted.origin), np.asarray(basis_value(function, t, s, cu) - fitted.origin)


def derivatives(fitted: FittedMap, y: AnyArray, x: AnyArray) -> FloatArray:
    """Derivatives ``du/dx, du/dy, dv/dx, dv/dy`` at output positions, shape (4, ...).

    Parameters
    ----------
    fitted : FittedMap
        The map.
    y, x : ndarray
        Output positions in pixels, counted from 0.
    """
    x, y = np.broadcast_arrays(np.asarray(x, np.float64) + fitted.origin, np.asarray(y, np.float64) + fitted.origin)
    s, t = basis_arguments(fitted.function, fitted.limits, x, y)
    x0, x1, y0, y1 = fitted.limits
    per_x, per_y = (1.0, 1.0) if fitted.function == "polynomial" else (2 / (x1 - x0), 2 / (y1 - y0))
    value, slope = _VALUE[fitted.function], _SLOPE[fitted.function]
    return np.stack(
        [part for c in _total(fitted) for part in (value(t, s, slope(c, axis=1)) * per_x, value(t, s, slope(c, axis=0)) * per_y)]
    )


def invert(fitted: FittedMap, v: AnyArray, u: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Output positions ``(y, x)`` of input positions, by Newton's iteration from the inverse of the linear part.

    Parameters
    ----------
    fitted : FittedMap
        The map.
    v, u : ndarray
        Input positions (row, column) in pixels, counted from 0.

    Returns
    -------
    y, x : ndarray of float64
        NaN where the iteration does not settle to 1e-9 pixels of the input.

    Raises
    ------
    AlgorithmError
        The linear part has no inverse.
    """
    v, u = np.broadcast_arrays(np.asarray(v, np.float64), np.asarray(u, np.float64))
    x0, x1, y0, y1 = fitted.limits
    middle = np.array([(y0 + y1) / 2 - fitted.origin, (x0 + x1) / 2 - fitted.origin])
    jacobian = derivatives(fitted, middle[0], middle[1]).reshape(2, 2)
    if not abs(np.linalg.det(jacobian)) > 0:
        raise AlgorithmError("the fitted map has no inverse: its linear part is singular")
    start_v, start_u = evaluate(fitted, middle[0], middle[1])
    step = np.linalg.solve(jacobian, np.stack([u - start_u, v - start_v]).reshape(2, -1)).reshape(2, *v.shape)
    x, y = middle[1] + step[0], middle[0] + step[1]
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_STEPS):
            found_v, found_u = evaluate(fitted, y, x)
            off_u, off_v = u - found_u, v - found_v
            u_x, u_y, v_x, v_y = derivatives(fitted, y, x)
            determinant = u_x * v_y - u_y * v_x
            x = x + (v_y * off_u - u_y * off_v) / determinant
            y = y + (u_x * off_v - v_x * off_u) / determinant
            if not (np.hypot(off_u, off_v) > _NEWTON_TOLERANCE_PIX).any():
                break
        found_v, found_u = evaluate(fitted, y, x)
        settled = np.hypot(u - found_u, v - found_v) <= _NEWTON_TOLERANCE_PIX
    return np.where(settled, y, np.nan), np.where(settled, x, np.nan)


def pixel_map(fitted: FittedMap, box: PixelBox, offset: float = 0.0, *, sample: float = 1.0) -> PixelMap:
    """The fitted map as the pixel map that the kernels read: the same polynomials, rewritten for a box of output pixels.

    Parameters
    ----------
    fitted : FittedMap
        The map.
    box : PixelBox
        Lattice points of the output, counted from 0.
    offset : float
        0 for pixel centres, -0.5 for pixel corners.
    sample : float
        Above 1, the map is evaluated at points about so many pixels apart, ``int(n / sample)`` (2 at least) from the first to the last pixel, and
        interpolated bilinearly, as IRAF's geotran does (its ``xsample``, by default 10) to save time. Here it saves nothing: it is there to get
        its numbers, which differ by up to 0.005 pixels on strongly distorted small images.

    Returns
    -------
    PixelMap
        One patch, whose values differ from those of `evaluate` by rounding only (unless `sample` is above 1).
    """
    if box.empty:
        return PixelMap(box=box, offset=offset, patches=(), error_pix=0.0)
    if min(box.shape) < 2:  # one row or column spans no interval for polynomials
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax] + offset
        v, u = evaluate(fitted, y, x)
        return PixelMap(box=box, offset=offset, patches=(MapPatch(box=box, table_u=u, table_v=v),), error_pix=0.0)
    degree = max(_SMALLEST_KERNEL_DEGREE, *(n - 1 for c in _total(fitted) for n in c.shape))
    t = chebyshev.chebpts1(degree + 1)
    inverse = np.linalg.inv(chebyshev.chebvander(t, degree))
    ny, nx = box.shape
    y = box.ymin + offset + (t + 1) * (ny - 1) / 2
    x = box.xmin + offset + (t + 1) * (nx - 1) / 2
    v, u = evaluate(fitted, y[:, None], x[None, :])
    sampling = (max(2, int(ny / sample)), max(2, int(nx / sample))) if sample > 1 else None
    patch = MapPatch(box=box, cu=inverse @ u @ inverse.T, cv=inverse @ v @ inverse.T, sampling=sampling)
    return PixelMap(box=box, offset=offset, patches=(patch,), error_pix=0.0)
