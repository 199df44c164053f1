"""Headers of simulated frames in the dialects that real ones use, and the place of every pixel on the simulated sky."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.sky import pixel_to_icrs
from nbmosaic.errors import ConfigError

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["HEADER_KINDS", "header_cards", "sky_offsets", "sky_positions", "tangent_offsets"]

ARCSEC = np.degrees(1) * 3600
"""Arcseconds in a radian."""
DISTORTION = 0.01
"""Distortion at the edge of a frame over half its side."""
Cards = dict[str, str | float | int]
_FK5: Cards = {"RADESYS": "FK5", "EQUINOX": 2000.0}


def header_cards(kind: str, shape: tuple[int, int], *, center: tuple[float, float], scale_arcsec: float, rotation: float) -> Cards:
    """WCS cards of a frame in one of the dialects of FITS.

    Parameters
    ----------
    kind : str
        One of `HEADER_KINDS`: ``cdelt`` (TAN without rotation), ``crota`` (CDELT and CROTA2), ``cd``, ``pc``, ``sin``, ``sip`` (distorted
        by one or two hundredths of the frame's half side), ``tpv`` (the same in PV terms), ``galactic``.
    shape : tuple of int
        ``(ny, nx)``.
    center : tuple of float
        ICRS position of the centre (degrees). The FK5 kinds write it as it is: the two systems differ by less than 0.03 arcsec.
    scale_arcsec : float
        Pixel scale.
    rotation : float
        Position angle of the y axis, degrees, from (equatorial) north through east.

    Returns
    -------
    dict
        Keyword to value.

    Raises
    ------
    ConfigError
        If `kind` is not known.

    Examples
    --------
    >>> header_cards("sin", (10, 10), center=(83.8, -5.4), scale_arcsec=1.0, rotation=0.0)["CTYPE1"]
    'RA---SIN'
    """
    if kind not in HEADER_KINDS:
        raise ConfigError(f"header kind {kind!r} is not known", hint="choose from " + ", ".join(HEADER_KINDS))
    ny, nx = shape
    cards: Cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": (nx + 1) / 2,
        "CRPIX2": (ny + 1) / 2,
        "CRVAL1": center[0],
        "CRVAL2": center[1],
        "CUNIT1": "deg",
        "CUNIT2": "deg",
    }
    cards.update(_WRITERS[kind](center, scale_arcsec / 3600, rotation, max(shape) / 2))
    return cards


def _cd(step: float, rotation: float) -> Cards:
    """CD matrix of pixels of `step` degrees with the y axis at position angle `rotation`."""
    c, s = step * np.cos(np.radians(rotation)), step * np.sin(np.radians(rotation))
    return {"CD1_1": -c, "CD1_2": s, "CD2_1": s, "CD2_2": c}


def _write_cdelt(_center: tuple[float, float], step: float, _rotation: float, _half: float) -> Cards:
    return {"CDELT1": -step, "CDELT2": step, "RADESYS": "ICRS"}


def _write_crota(_center: tuple[float, float], step: float, rotation: float, _half: float) -> Cards:
    return {"CDELT1": -step, "CDELT2": step, "CROTA2": -rotation, **_FK5}


def _write_cd(_center: tuple[float, float], step: float, rotation: float, _half: float) -> Cards:
    return {**_cd(step, rotation), "RADESYS": "ICRS"}


def _write_pc(_center: tuple[float, float], step: float, rotation: float, _half: float) -> Cards:
    c, s = float(np.cos(np.radians(rotation))), float(np.sin(np.radians(rotation)))
    return {"CDELT1": -step, "CDELT2": step, "PC1_1": c, "PC1_2": -s, "PC2_1": s, "PC2_2": c, "RADESYS": "ICRS"}


def _write_sin(_center: tuple[float, float], step: float, rotation: float, _half: float) -> Cards:
    return {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", **_cd(step, rotation), **_FK5}


def _write_sip(_center: tuple[float, float], step: float, rotation: float, half: float) -> Cards:
    terms = {
        "A_2_0": 1.1,
        "A_1_1": -0.7,
        "A_0_2": 0.4,
        "B_2_0": -0.5,
        "B_1_1": 0.9,
        "B_0_2": 0.6,
        "A_3_0": 0.5,
        "A_1_2": 0.5,
        "B_2_1": 0.5,
        "B_0_3": 0.5,
    }
    scaled = {k: v * DISTORTION * half / half ** (int(k[2]) + int(k[4])) for k, v in terms.items()}
    return {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 3,
        "B_ORDER": 3,
        **scaled,
        **_cd(step, rotation),
        "RADESYS": "ICRS",
    }


def _write_tpv(_center: tuple[float, float], step: float, rotation: float, half: float) -> Cards:
    edge = half * step  # TPV polynomials are in degrees about the tangent point
    square, cube = DISTORTION / edge, DISTORTION / edge**2
    terms = {"PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 1.1 * square, "PV1_5": -0.7 * square, "PV1_7": 0.5 * cube}
    terms |= {"PV2_0": 0.0, "PV2_1": 1.0, "PV2_4": 0.6 * square, "PV2_5": 0.9 * square, "PV2_7": 0.5 * cube}
    return {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", **terms, **_cd(step, rotation), "RADESYS": "ICRS"}


def _write_galactic(center: tuple[float, float], step: float, rotation: float, _half: float) -> Cards:
    from astropy.coordinates import SkyCoord

    place = SkyCoord(*center, unit="deg")
    pole = place.position_angle(SkyCoord(0, 90, unit="deg", frame="galactic").icrs).deg  # rotation is counted from equatorial north
    galactic = place.galactic
    cards: Cards = {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": float(galactic.l.deg), "CRVAL2": float(galactic.b.deg)}
    return {**cards, **_cd(step, rotation - float(pole))}


_WRITERS: dict[str, Callable[[tuple[float, float], float, float, float], Cards]] = {
    "cd": _write_cd,
    "cdelt": _write_cdelt,
    "crota": _write_crota,
    "galactic": _write_galactic,
    "pc": _write_pc,
    "sin": _write_sin,
    "sip": _write_sip,
    "tpv": _write_tpv,
}
HEADER_KINDS: tuple[str, ...] = tuple(_WRITERS)


def sky_offsets(ra: FloatArray, dec: FloatArray, center: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Tangent-plane offsets of ICRS positions.

    Parameters
    ----------
    ra, dec : ndarray
        Degrees.
    center : tuple of float
        Tangent point (degrees).

    Returns
    -------
    xi, eta : ndarray
        Arcsec to the east and to the north; NaN a quarter of the sky or more away.

    Examples
    --------
    >>> xi, eta = sky_offsets(np.array([10.0]), np.array([20.001]), (10.0, 20.0))
    >>> round(float(eta[0]), 6)
    3.6
    """
    ra0, dec0 = np.radians(center[0]), np.radians(center[1])
    lon, lat = np.radians(ra) - ra0, np.radians(dec)
    away = np.sin(dec0) * np.sin(lat) + np.cos(dec0) * np.cos(lat) * np.cos(lon)
    away = np.where(away > 1e-3, away, np.nan)
    north = np.cos(dec0) * np.sin(lat) - np.sin(dec0) * np.cos(lat) * np.cos(lon)
    return np.cos(lat) * np.sin(lon) / away * ARCSEC, north / away * ARCSEC


def sky_positions(xi: FloatArray, eta: FloatArray, center: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """ICRS positions of tangent-plane offsets: the inverse of `sky_offsets`.

    Parameters
    ----------
    xi, eta : ndarray
        Arcsec to the east and to the north.
    center : tuple of float
        Tangent point (degrees).

    Returns
    -------
    ra, dec : ndarray
        Degrees, right ascension in [0, 360).

    Examples
    --------
    >>> ra, dec = sky_positions(np.array([0.0]), np.array([3.6]), (10.0, 20.0))
    >>> round(float(dec[0]), 9)
    20.001
    """
    ra, dec = np.radians(center[0]), np.radians(center[1])
    x, y = np.asarray(xi) / ARCSEC, np.asarray(eta) / ARCSEC
    along = np.cos(dec) - y * np.sin(dec)
    lon = ra + np.arctan2(x, along)
    lat = np.arctan2(np.sin(dec) + y * np.cos(dec), np.hypot(x, along))
    return np.degrees(lon) % 360, np.degrees(lat)


def tangent_offsets(wcs: WCS, shape: tuple[int, int], center: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Tangent-plane offsets of all pixel centres of a grid, by the exact WCS.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial, longitude first.
    shape : tuple of int
        ``(ny, nx)``.
    center : tuple of float
        ICRS tangent point (degrees).

    Returns
    -------
    xi, eta : ndarray, shape (ny, nx)
        Arcsec to the east and to the north; NaN where there is no sky.
    """
    y, x = np.indices(shape, dtype=np.float64)
    return sky_offsets(*pixel_to_icrs(wcs, x, y), center)
