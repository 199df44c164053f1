"""A TAN-SIP WCS fitted to any other over the area of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.sky import SkyPixels
from nbmosaic.errors import AlgorithmError, WcsError

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["TanSip", "fit_tan_sip"]

_SAMPLES = 41
_CHECKS = 64
_LARGEST_DEGREE = 9
"""What the SIP convention allows (Shupe et al. 2005)."""

_WIDEST = math.cos(math.radians(80.0))


@dataclass(frozen=True, slots=True, eq=False)
class TanSip:
    """Fitted WCS.

    Attributes
    ----------
    lon, lat : float
        CRVAL in degrees, in the system of the fitted WCS.
    crpix : tuple of float
        Counted from 1.
    cd : ndarray, shape (2, 2)
        Degrees a pixel.
    forward, reverse : tuple of ndarray, shape (degree + 1, degree + 1)
        Coefficients of A and B, and of AP and BP, ``[p, q]`` for ``u**p v**q``.
    forward_error, reverse_error : tuple of float
        Largest error on each axis at check points between the fitted ones, in pixels.
    tries : tuple of int
        How many degrees were tried for the two.
    """

    lon: float
    lat: float
    crpix: tuple[float, float]
    cd: FloatArray
    forward: tuple[FloatArray, FloatArray]
    reverse: tuple[FloatArray, FloatArray]
    forward_error: tuple[float, float]
    reverse_error: tuple[float, float]
    tries: tuple[int, int]


def _lattice(shape: tuple[int, int], n: int, margin: float) -> tuple[FloatArray, FloatArray]:
    """Positions (0-based) over the outer edges of an image, closer together near the edges, where polynomials err most."""
    ny, nx = shape
    t = (1.0 - np.cos(np.linspace(0.0, math.pi, n))) / 2.0
    x, y = np.meshgrid(-0.5 + t * nx, -0.5 + t * ny)
    cx, cy = (nx - 1) / 2.0, (ny - 1) / 2.0
    return cx + (x.ravel() - cx) * (1.0 + margin), cy + (y.ravel() - cy) * (1.0 + margin)


def _tangent_plane(sky: SkyPixels, lon0: float, lat0: float, x: FloatArray, y: FloatArray) -> FloatArray:
    """Positions of pixels on the plane tangent at a point, degrees, shape (2, n).

    Raises
    ------
    WcsError
        A pixel is off the sky or too far from the point.
    """
    lon, lat = (np.radians(v) for v in sky.to_sky(x, y))
    a0, d0 = math.radians(lon0), math.radians(lat0)
    depth = math.sin(d0) * np.sin(lat) + math.cos(d0) * np.cos(lat) * np.cos(lon - a0)
    with np.errstate(invalid="ignore"):
        if not (depth > _WIDEST).all():
            raise WcsError("no TAN header can stand for this one: part of its area is off the sky or more than 80 degrees from its centre")
    xi = np.cos(lat) * np.sin(lon - a0) / depth
    eta = (math.cos(d0) * np.sin(lat) - math.sin(d0) * np.cos(lat) * np.cos(lon - a0)) / depth
    plane: FloatArray = np.degrees(np.stack([xi, eta]))
    return plane


def _terms(degree: int) -> list[tuple[int, int]]:
    return [(p, q) for p in range(degree + 1) for q in range(degree + 1 - p)]


def _fit(at: FloatArray, wanted: FloatArray, degree: int, scale: float) -> tuple[FloatArray, FloatArray]:
    """Coefficients, shape (degree + 1, degree + 1), of polynomials of two values, shape (2, n), at positions of shape (2, n)."""
    u, v = at / scale
    design = np.stack([u**p * v**q for p, q in _terms(degree)], axis=1)
    solution = np.linalg.lstsq(design, wanted.T, rcond=None)[0]
    out = np.zeros((2, degree + 1, degree + 1))
    for k, (p, q) in enumerate(_terms(degree)):
        out[:, p, q] = solution[k] / scale ** (p + q)
    return out[0], out[1]


def _evaluate(coefficients: tuple[FloatArray, FloatArray], at: FloatArray) -> FloatArray:
    from numpy.polynomial.polynomial import polyval2d

    return np.stack([polyval2d(at[0], at[1], c) for c in coefficients])


def _search(
    at: FloatArray, wanted: FloatArray, checks: tuple[FloatArray, FloatArray], degree: int, tolerance: float, tries: int, scale: float
) -> tuple[tuple[FloatArray, FloatArray], tuple[float, float], int]:
    """Polynomials of the lowest degree from `degree` on that reach the tolerance, or the best ones; their errors; how many were tried."""
    best: tuple[tuple[FloatArray, FloatArray], tuple[float, float], int] | None = None
    for count, d in enumerate(range(degree, _LARGEST_DEGREE + 1), 1):
        found = _fit(at, wanted, d, scale)
        errors = np.abs(_evaluate(found, checks[0]) - checks[1]).max(axis=1)
        if best is None or errors.max() < max(best[1]):
            best = (found, (float(errors[0]), float(errors[1])), count)
        if errors.max() <= tolerance or count >= tries:
            break
    assert best is not None
    return best


def fit_tan_sip(
    wcs: WCS, shape: tuple[int, int], *, degree: int = 5, tolerance: float = 0.01, tries: int = _LARGEST_DEGREE, margin: float = 0.0
) -> TanSip:
    """Fit a TAN projection with SIP polynomials to a WCS over an image, by least squares.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial, any projection and distortion.
    shape : tuple of int
        ``(ny, nx)``.
    degree : int
        Degree of the polynomials, 2 to 9; raised as long as the tolerance is not reached.
    tolerance : float
        Largest error in pixels.
    tries : int
        How many degrees may be tried.
    margin : float
        Part of the image's size that the fit reaches beyond its edges.

    Returns
    -------
    TanSip

    Raises
    ------
    WcsError
        Part of the image is off the sky or too far from its centre.
    AlgorithmError
        No degree reaches the tolerance.

    Notes
    -----
    SIP: intermediate pixels are ``u + A(u, v), v + B(u, v)`` with u, v counted from CRPIX; AP and BP lead back. The terms of degree 0 and 1, which the
    convention allows, take up what the linear matrix, fitted first, leaves over.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---CAR", "DEC--CAR"], [10.0, 0.0], [-0.01, 0.01]
    >>> max(fit_tan_sip(wcs, (300, 300)).forward_error) < 0.01
    True
    """
    degree = max(2, min(int(degree), _LARGEST_DEGREE))
    ny, nx = shape
    sky = SkyPixels(wcs, shape)
    cx, cy = (nx - 1) / 2.0, (ny - 1) / 2.0
    lon0, lat0 = (float(v[0]) for v in sky.to_sky(np.array([cx]), np.array([cy])))
    if not (math.isfinite(lon0) and math.isfinite(lat0)):
        raise WcsError("no TAN header can stand for this one: its centre is off the sky")
    x, y = _lattice(shape, _SAMPLES, margin)
    check_x, check_y = (np.concatenate(both) for both in zip(_lattice(shape, _CHECKS, margin), _lattice(shape, 2, margin), strict=True))
    pix = np.stack([x - cx, y - cy])
    check_pix = np.stack([check_x - cx, check_y - cy])
    plane, check_plane = (_tangent_plane(sky, lon0, lat0, *at) for at in ((x, y), (check_x, check_y)))
    scale = max(nx, ny) / 2.0
    linear = _fit(pix, plane, 3, scale)
    cd = np.array([[c[1, 0], c[0, 1]] for c in linear])
    if abs(float(np.linalg.det(cd))) < 1e-30:
        raise WcsError("no TAN header can stand for this one: its pixels have no area")
    inverse = np.linalg.inv(cd)
    focal, check_focal = inverse @ plane, inverse @ check_plane
    forward, forward_error, n1 = _search(pix, focal - pix, (check_pix, check_focal - check_pix), degree, tolerance, tries, scale)
    reverse, reverse_error, n2 = _search(focal, pix - focal, (check_focal, check_pix - check_focal), degree, tolerance, tries, scale)
    worst = max(*forward_error, *reverse_error)
    if not worst <= tolerance:
        raise AlgorithmError(
            f"no TAN-SIP header comes closer than {worst:.3g} pixels, {tolerance:g} are asked for", hint="allow more, or use an exact map"
        )
    return TanSip(lon0, lat0, (cx + 1.0, cy + 1.0), cd, forward, reverse, forward_error, reverse_error, (n1, n2))
