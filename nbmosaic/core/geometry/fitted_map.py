"""Smooth maps from one image to another, fitted to points: what IRAF's geomap does.

The geometries below ``general`` are linear maps with restrictions: a ``shift``; scales in x and y alone (``xyscale``); a rotation (``rotate``);
a rotation and one scale (``rscale``); a rotation after scales in x and y (``rxyscale``). ``general`` fits any linear map and then, where an
order is above 2 or all cross terms are asked for, a surface with its own constant and linear terms to what the linear map leaves. The map
is the sum of both, which is the least-squares surface itself; the two steps make the linear part the best linear map.

An order is a number of terms: order 4 has the powers 0 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from nbmosaic._types import AnyArray, BoolArray, FloatArray
from nbmosaic.core.geometry.fitted_map_values import basis_arguments, basis_functions, basis_value, derivatives, evaluate, invert, pixel_map
from nbmosaic.errors import ConfigError, InputError, ShapeError, SingularFitError
from nbmosaic.types.camera import FITTED_FUNCTIONS, MAP_GEOMETRIES, FittedMap

__all__ = ["derivatives", "evaluate", "fit_surface_map", "invert", "pixel_map"]

_TERMS = ("none", "half", "full")
_LARGEST_ORDER = 20
_SINGULAR = 1e-10  # ratio of singular values below which points say nothing of a term


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surface:
    """Terms of one of the two surfaces."""

    x_order: int
    y_order: int
    terms: str

    @property
    def beyond_linear(self) -> bool:
        return max(self.x_order, self.y_order) > 2 or self.terms == "full"

    def mask(self) -> BoolArray:
        """Which products ``[j, i]`` are fitted."""
        j, i = np.indices((self.y_order, self.x_order))
        if self.terms == "full":
            return np.ones(i.shape, bool)
        return np.asarray((i == 0) | (j == 0) if self.terms == "none" else i + j < max(self.x_order, self.y_order))


def fit_surface_map(
    out_xy: AnyArray,
    in_xy: AnyArray,
    *,
    limits: tuple[float, float, float, float] | None = None,
    geometry: str = "general",
    function: str = "chebyshev",
    xxorder: int = 4,
    xyorder: int = 4,
    xxterms: str = "half",
    yxorder: int = 4,
    yyorder: int = 4,
    yxterms: str = "half",
    reject: float | None = None,
    maxiter: int = 0,
    origin: int = 0,
) -> FittedMap:
    """Fit a map from output to input pixels by least squares.

    Parameters
    ----------
    out_xy, in_xy : ndarray, shape (n, 2)
        The same points ``(x, y)`` on the output and on the input image, in pixels counted from `origin`.
    limits : tuple of float, optional
        ``xmin, xmax, ymin, ymax`` of the output coordinates: range of the basis functions (default: that of the points). Points beyond are not used.
    geometry, function : str
        See `nbmosaic.types.camera.FittedMap`.
    xxorder, xyorder, yxorder, yyorder : int
        Number of terms in x and y of the map of x, and in x and y of the map of y; 2 or more.
    xxterms, yxterms : str
        Cross terms of the map of x and of y: ``"none"``, ``"half"``, ``"full"``.
    reject : float, optional
        Points that are off by more than so many times the rms in x or y are rejected, for good, and the fit is repeated.
    maxiter : int
        How often at most.
    origin : int
        Coordinate of the centre of the first pixel: 0 or 1.

    Returns
    -------
    FittedMap

    Raises
    ------
    ConfigError
        An unknown geometry, function or kind of terms, an order below 2, or a rejection without repetitions (or the reverse).
    ShapeError, InputError
        Points of unequal number, or points that are not finite.
    SingularFitError
        Too few points for the terms, or points that leave some undetermined (all on a line).

    Notes
    -----
    Coefficients agree with geomap's to 1e-8 of each, most to 1e-11, except for ``rotate``, ``rscale`` and ``rxyscale``, where geomap takes the
    angle through degrees with a single-precision factor and is off by 2e-7 radian; ours have the smaller sum of squares.

    The rms that decides on rejection, and is reported, is ``sqrt(sum r**2 / (n - 1))`` over the n points used, as in geomap: it does not
    count the parameters.

    Examples
    --------
    >>> out = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    >>> found = fit_surface_map(out, 2 * out + 1, xxorder=2, xyorder=2, yxorder=2, yyorder=2)
    >>> [float(round(c[0], 9)) for c in evaluate(found, np.array([3.0]), np.array([5.0]))]
    [7.0, 11.0]
    """
    surfaces = (
        _Surface(x_order=xxorder, y_order=xyorder, terms=xxterms),
        _Surface(x_order=yxorder, y_order=yyorder, terms=yxterms),
    )
    _check_options(geometry, function, surfaces, reject, maxiter, origin)
    points, targets = _points(out_xy, in_xy)
    if limits is None:
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        limits = (float(x0), float(x1), float(y0), float(y1))
    _check_limits(limits)
    fit = _Fit(points, targets, limits, geometry, function, surfaces)
    x, y = points.T
    used = (x >= limits[0]) & (x <= limits[1]) & (y >= limits[2]) & (y <= limits[3])
    coefficients = fit.solve(used)
    for _ in range(maxiter if reject is not None else 0):
        residual = np.abs(fit.residuals(coefficients))
        kept = used & (residual <= (reject or 0.0) * _rms(residual[used])).all(axis=1)
        if kept.sum() == used.sum():
            break
        used = kept
        coefficients = fit.solve(used)
    rms = _rms(fit.residuals(coefficients)[used])
    linear, distortion = fit.in_basis(coefficients)
    return FittedMap(
        geometry=geometry,
        function=function,
        limits=limits,
        linear=linear,
        distortion_x=distortion[0],
        distortion_y=distortion[1],
        terms_x=xxterms,
        terms_y=yxterms,
        rms_x=float(rms[0]),
        rms_y=float(rms[1]),
        n_points=len(points),
        n_rejected=int((~used).sum()),
        mean_out=(float(points[:, 0].mean()), float(points[:, 1].mean())),
        mean_in=(float(targets[:, 0].mean()), float(targets[:, 1].mean())),
        rejected=tuple(int(k) for k in np.flatnonzero(~used)),
        origin=origin,
    )


def _check_options(
    geometry: str, function: str, surfaces: tuple[_Surface, _Surface], reject: float | None, maxiter: int, origin: int
) -> None:
    for name, value, known in (("geometry", geometry, MAP_GEOMETRIES), ("function", function, FITTED_FUNCTIONS)):
        if value not in known:
            raise ConfigError(f"unknown {name} {value!r} of a fitted map", hint=f"use one of {', '.join(known)}")
    for surface in surfaces:
        if surface.terms not in _TERMS:
            raise ConfigError(f"cross terms cannot be {surface.terms!r}", hint=f"use one of {', '.join(_TERMS)}")
        for order in (surface.x_order, surface.y_order):
            if not 2 <= order <= _LARGEST_ORDER:
                raise ConfigError(f"an order of {order} of a fitted map", hint=f"use 2 (linear) to {_LARGEST_ORDER}; 4 is cubic")
    if reject is not None and not reject > 0:
        raise ConfigError(f"reject must be a positive number of standard deviations, not {reject}")
    if maxiter < 0 or (maxiter > 0) != (reject is not None):
        raise ConfigError(f"reject={reject} with maxiter={maxiter} rejects nothing", hint="give both, or neither")
    if origin not in (0, 1):
        raise ConfigError(f"the first pixel can be number 0 or 1, not {origin}")


def _check_limits(limits: tuple[float, float, float, float]) -> None:
    if not (np.isfinite(limits).all() and limits[1] > limits[0] and limits[3] > limits[2]):
        raise SingularFitError(
            f"a map cannot be fitted over x {limits[0]:g} to {limits[1]:g}, y {limits[2]:g} to {limits[3]:g}",
            hint="give points that are not all on a line",
        )


def _points(out_xy: AnyArray, in_xy: AnyArray) -> tuple[FloatArray, FloatArray]:
    points, targets = (np.asarray(p, np.float64) for p in (out_xy, in_xy))
    if points.ndim != 2 or points.shape[1] != 2 or points.shape != targets.shape:
        raise ShapeError(f"points must be two arrays of shape (n, 2), not {points.shape} and {targets.shape}")
    bad = ~(np.isfinite(points) & np.isfinite(targets)).all(axis=1)
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} of {len(points)} points are not finite, the first is number {int(np.argmax(bad)) + 1}", hint="leave them out"
        )
    if not len(points):
        raise SingularFitError("a map cannot be fitted to no points")
    return points, targets


def _rms(residuals: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt((residuals**2).sum(axis=0) / max(1, len(residuals) - 1)), float)


_Coefficients = tuple[FloatArray, list[FloatArray | None]]


class _Fit:
    """Points with their basis functions.

    Polynomials are fitted as Chebyshev polynomials over the limits, which spans the same functions and is well conditioned, and rewritten in
    powers of x and y at the end.
    """

    def __init__(
        self,
        points: FloatArray,
        targets: FloatArray,
        limits: tuple[float, float, float, float],
        geometry: str,
        function: str,
        surfaces: tuple[_Surface, _Surface],
    ) -> None:
        self.points, self.targets = points, targets
        self.limits, self.geometry, self.function, self.surfaces = limits, geometry, function, surfaces
        self.basis = "chebyshev" if function == "polynomial" else function
        self.argument_x, self.argument_y = basis_arguments(self.basis, limits, points[:, 0], points[:, 1])
        self.ones = np.column_stack([np.ones(len(points)), self.argument_x, self.argument_y])

    def solve(self, used: BoolArray) -> _Coefficients:
        """Fit the points in use: linear part and what lies beyond it, in the basis of the fit."""
        terms = [s.mask() for s in self.surfaces] if self.geometry == "general" else []
        needed = max([_linear_terms(self.geometry), *(int(m.sum()) for m, s in zip(terms, self.surfaces, strict=False) if s.beyond_linear)])
        if used.sum() < needed:
            raise SingularFitError(
                f"{int(used.sum())} points are too few to fit {needed} terms in each axis", hint="lower the orders, or give more points"
            )
        if self.geometry != "general":
            return self._in_argument(_restricted(self.geometry, self.points[used], self.targets[used])), [None, None]
        design = self.ones[used]
        linear = np.stack([_least_squares(design, self.targets[used, axis]) for axis in range(2)])
        rest = self.targets - self.ones @ linear.T
        return linear, [self._surface(s, m, rest[:, k], used) for k, (s, m) in enumerate(zip(self.surfaces, terms, strict=True))]

    def _surface(self, surface: _Surface, mask: BoolArray, rest: FloatArray, used: BoolArray) -> FloatArray | None:
        if not surface.beyond_linear:
            return None
        in_x = basis_functions(self.basis, self.argument_x[used], surface.x_order - 1)
        in_y = basis_functions(self.basis, self.argument_y[used], surface.y_order - 1)
        j, i = np.nonzero(mask)
        out = np.zeros(mask.shape)
        out[j, i] = _least_squares(in_y[:, j] * in_x[:, i], rest[used])
        return out

    def _in_argument(self, matrix: FloatArray) -> FloatArray:
        """A linear map of x and y in terms of the arguments of the basis."""
        x0, x1, y0, y1 = self.limits
        middle, half = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0]) / 2
        return np.column_stack([matrix[:, 0] + matrix[:, 1:] @ middle, matrix[:, 1:] * half])

    def residuals(self, coefficients: _Coefficients) -> FloatArray:
        """Target minus map at all points, shape (n, 2)."""
        linear, distortion = coefficients
        fitted = self.ones @ linear.T
        for axis, surface in enumerate(distortion):
            if surface is not None:
                fitted[:, axis] += basis_value(self.basis, self.argument_y, self.argument_x, surface)
        return np.asarray(self.targets - fitted)

    def in_basis(self, coefficients: _Coefficients) -> _Coefficients:
        """Coefficients in the basis that was asked for."""
        linear, distortion = coefficients
        if self.function != "polynomial":
            return coefficients
        x0, x1, y0, y1 = self.limits
        slope = linear[:, 1:] / (np.array([x1 - x0, y1 - y0]) / 2)
        powers = np.column_stack([linear[:, 0] - slope @ np.array([x0 + x1, y0 + y1]) / 2, slope])
        return powers, [None if c is None else _to_powers(c, self.limits) for c in distortion]


def _to_powers(c: FloatArray, limits: tuple[float, float, float, float]) -> FloatArray:
    """Coefficients of powers of x and y for those of Chebyshev polynomials over the limits."""

    def matrix(n: int, low: float, high: float) -> FloatArray:
        columns = [chebyshev.Chebyshev.basis(k, domain=[low, high]).convert(kind=np.polynomial.Polynomial).coef for k in range(n)]
        return np.stack([np.pad(column, (0, n - len(column))) for column in columns], axis=1)

    return np.asarray(matrix(c.shape[0], limits[2], limits[3]) @ c @ matrix(c.shape[1], limits[0], limits[1]).T)


def _least_squares(design: FloatArray, values: FloatArray) -> FloatArray:
    found, _, rank, _ = np.linalg.lstsq(design, values, rcond=_SINGULAR)
    if rank < design.shape[1]:
        raise SingularFitError(
            f"{len(design)} points leave {design.shape[1] - rank} of {design.shape[1]} terms of the map undetermined",
            hint="give points that are spread in x and y, not on a line or on fewer rows and columns than the order",
        )
    return np.asarray(found, float)


def _linear_terms(geometry: str) -> int:
    """How many points a linear map needs."""
    return {"shift": 1, "general": 3}.get(geometry, 2)


def _restricted(geometry: str, points: FloatArray, targets: FloatArray) -> FloatArray:
    """Least-squares linear map of a restricted geometry: rows (constant, x, y) for x and y."""
    mean_out, mean_in = points.mean(axis=0), targets.mean(axis=0)
    p, q = points - mean_out, targets - mean_in
    square = (p**2).sum(axis=0)
    cross = q.T @ p  # [input axis, output axis]
    spread = float(np.abs(p).max())
    if (geometry in ("xyscale", "rxyscale") and square.min() <= (_SINGULAR * spread) ** 2) or (geometry != "shift" and spread == 0):
        raise SingularFitError("the points leave the scale of an axis undetermined", hint="give points that are spread in x and y")
    if geometry == "shift":
        matrix = np.eye(2)
    elif geometry == "xyscale":
        matrix = np.diag(np.diag(cross) / square)
    elif geometry == "rxyscale":
        matrix = _rotation_of_scales(cross, square)
    else:
        matrix = _similarity(cross, square, scaled=geometry == "rscale")
    return np.column_stack([mean_in - matrix @ mean_out, matrix])


def _similarity(cross: FloatArray, square: FloatArray, *, scaled: bool) -> FloatArray:
    """Best rotation (with a scale), mirrored where the points are."""
    mirror = np.diag([1.0, -1.0 if np.linalg.det(cross) < 0 else 1.0])
    c = cross @ mirror
    cosine, sine = c[0, 0] + c[1, 1], c[1, 0] - c[0, 1]
    length = np.hypot(cosine, sine)
    if length == 0:
        raise SingularFitError("the points leave the rotation undetermined", hint="give points that are spread in x and y")
    size = length / square.sum() if scaled else 1.0
    rotation = np.array([[cosine, -sine], [sine, cosine]]) / length
    return np.asarray(size * rotation @ mirror)


def _rotation_of_scales(cross: FloatArray, square: FloatArray) -> FloatArray:
    """Best rotation after scales in x and y: the angle in closed form, since the cost is a sine of twice the angle."""
    xx, yy = square
    a, b, c, d = cross[0, 0], cross[1, 0], cross[0, 1], cross[1, 1]
    angle = 0.5 * np.arctan2(2 * (a * b / xx - c * d / yy), a * a / xx + d * d / yy - b * b / xx - c * c / yy)
    if np.cos(angle) * (a + abs(d)) + np.sin(angle) * b < 0:  # the same cost with the angle turned by 180 degrees
        angle += np.pi
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    scales = np.array([(cosine * a + sine * b) / xx, (cosine * d - sine * c) / yy])
    return np.asarray(rotation * scales)
