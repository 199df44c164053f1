"""Distortion surfaces of IRAF's TNX and ZPX projections, as exact polynomials of the pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import InputError

__all__ = ["IrafSurface", "iraf_surface", "sip_of_surfaces"]

_CHEBYSHEV, _LEGENDRE, _POLYNOMIAL = 1, 2, 3
_NONE, _FULL, _HALF = 0, 1, 2
_LARGEST_DEGREE = 9  # of SIP
_LARGEST_ORDER = 20


@dataclass(frozen=True, slots=True, eq=False)
class IrafSurface:
    """A surface over the intermediate world coordinates.

    Attributes
    ----------
    function : int
        1 Chebyshev, 2 Legendre, 3 power polynomials.
    limits : tuple of float
        ``xmin, xmax, ymin, ymax`` in degrees, on which the arguments of 1 and 2 are scaled to -1..1.
    coefficients : ndarray, shape (n, m)
        Of the product of term i in x and term j in y.
    """

    function: int
    limits: tuple[float, float, float, float]
    coefficients: FloatArray

    def evaluate(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Value of the surface, by the recurrence of its basis."""
        from numpy.polynomial import chebyshev, legendre, polynomial

        if self.function == _POLYNOMIAL:
            return np.asarray(polynomial.polyval2d(x, y, self.coefficients))
        x0, x1, y0, y1 = self.limits
        u, v = (2.0 * x - x0 - x1) / (x1 - x0), (2.0 * y - y0 - y1) / (y1 - y0)
        return np.asarray((chebyshev.chebval2d if self.function == _CHEBYSHEV else legendre.legval2d)(u, v, self.coefficients))

    def powers(self) -> FloatArray:
        """Coefficients of ``x**i y**j``, shape (n, m)."""
        if self.function == _POLYNOMIAL:
            return self.coefficients
        x0, x1, y0, y1 = self.limits
        n, m = self.coefficients.shape
        return _basis(self.function, n, x0, x1) @ self.coefficients @ _basis(self.function, m, y0, y1).T


def _basis(function: int, n: int, low: float, high: float) -> FloatArray:
    """Matrix whose column i holds the powers of basis function i of the scaled argument."""
    from numpy.polynomial import chebyshev, legendre, polynomial

    argument = np.array([-(low + high), 2.0]) / (high - low)
    out = np.zeros((n, n))
    for i in range(n):
        own = (chebyshev.cheb2poly if function == _CHEBYSHEV else legendre.leg2poly)(np.eye(n)[i, : i + 1])
        total = np.zeros(1)
        for c in own[::-1]:
            total = polynomial.polyadd(polynomial.polymul(total, argument), [c])
        out[: len(total), i] = total
    return out


def iraf_surface(numbers: Sequence[float], what: str = "surface") -> IrafSurface:
    """Read a surface from the numbers of ``lngcor`` or ``latcor``.

    Parameters
    ----------
    numbers : sequence of float
        Function, orders in x and y, kind of cross terms (0 none, 1 full, 2 half), xmin, xmax, ymin, ymax, coefficients (x runs fastest).
    what : str
        Name for messages.

    Raises
    ------
    InputError
        Numbers that make no surface.

    Examples
    --------
    >>> iraf_surface([3, 2, 2, 0, -1, 1, -1, 1, 0.5, 2.0, 3.0]).coefficients.tolist()
    [[0.5, 3.0], [2.0, 0.0]]
    """
    values = [float(v) for v in numbers]
    if len(values) < 8 or not all(math.isfinite(v) for v in values):
        raise InputError(f"{what} has {len(values)} numbers, expected 8 and the coefficients")
    function, nx, ny, cross = (round(v) for v in values[:4])
    if function not in (_CHEBYSHEV, _LEGENDRE, _POLYNOMIAL) or cross not in (_NONE, _FULL, _HALF):
        raise InputError(f"{what}: function {function} with cross terms {cross}, expected 1 to 3 and 0 to 2")
    if not (1 <= nx <= _LARGEST_ORDER and 1 <= ny <= _LARGEST_ORDER):
        raise InputError(f"{what}: orders {nx} and {ny}, expected 1 to {_LARGEST_ORDER}")
    x0, x1, y0, y1 = values[4:8]
    if function != _POLYNOMIAL and not (x1 > x0 and y1 > y0):
        raise InputError(f"{what}: limits {x0:g} to {x1:g} and {y0:g} to {y1:g}")
    coefficients = np.zeros((nx, ny))
    rest = values[8:]
    position = 0
    largest = max(nx, ny)
    for j in range(ny):
        count = nx if cross == _FULL or j == 0 else 1 if cross == _NONE else max(0, min(nx, largest - j))
        if position + count > len(rest):
            raise InputError(f"{what} has {len(rest)} coefficients, fewer than its orders {nx} and {ny} need")
        coefficients[:count, j] = rest[position : position + count]
        position += count
    return IrafSurface(function, (x0, x1, y0, y1), coefficients)


def sip_of_surfaces(surfaces: tuple[IrafSurface | None, IrafSurface | None], cd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients A and B of SIP that stand for surfaces exactly.

    With ``(xi, eta) = CD (u, v)`` the projection is applied to ``(xi + S1(xi, eta), eta + S2(xi, eta)) = CD (u + A(u, v), v + B(u, v))``, so A and B are
    polynomials of the same degree.

    Parameters
    ----------
    surfaces : tuple
        Of the first and second intermediate world coordinate; None for no correction.
    cd : ndarray, shape (2, 2)
        Degrees a pixel.

    Returns
    -------
    tuple of ndarray, shape (degree + 1, degree + 1)

    Raises
    ------
    InputError
        The degree is above 9, which SIP does not know, or `cd` is singular.
    """
    powers = [np.zeros((1, 1)) if s is None else s.powers() for s in surfaces]
    degree = max(2, *(int(max([i + j for i, j in zip(*np.nonzero(p), strict=True)], default=0)) for p in powers))
    if degree > _LARGEST_DEGREE:
        raise InputError(f"a distortion surface of degree {degree} is beyond the {_LARGEST_DEGREE} that can be used")
    expanded = [_substituted(p, cd, degree) for p in powers]
    if not abs(np.linalg.det(cd)) > 0:
        raise InputError("the linear part of a distorted WCS maps the plane onto a line")
    inverse = np.linalg.inv(cd)
    return inverse[0, 0] * expanded[0] + inverse[0, 1] * expanded[1], inverse[1, 0] * expanded[0] + inverse[1, 1] * expanded[1]


def _substituted(powers: FloatArray, cd: FloatArray, degree: int) -> FloatArray:
    """Coefficients in u and v of a polynomial in ``cd @ (u, v)``."""
    out = np.zeros((degree + 1, degree + 1))
    for i, j in zip(*np.nonzero(powers), strict=True):
        for a in range(i + 1):
            for b in range(j + 1):
                factor = math.comb(int(i), a) * math.comb(int(j), b)
                term = cd[0, 0] ** a * cd[0, 1] ** (i - a) * cd[1, 0] ** b * cd[1, 1] ** (j - b)
                out[a + b, i + j - a - b] += powers[i, j] * factor * term
    return out
