"""Celestial reference systems of WCSs, and changes from one to another."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import WcsError

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = [
    "CelestialSystem",
    "celestial_system",
    "frame_change",
    "lonlat",
    "prepared",
    "same_celestial_frame",
    "system_of",
    "unit_vectors",
]

PointMap = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

_DEG = math.pi / 180.0


class CelestialSystem(NamedTuple):
    """Celestial reference system of a WCS.

    Attributes
    ----------
    name : str
        ``"icrs"``, ``"fk5"``, ``"fk4"``, ``"fk4-no-e"``, ``"galactic"``, ``"supergalactic"``, ``"ecliptic"``; for other axes their CTYPE
        prefix
        in capitals.
    equinox : float
        Year of the equinox (Besselian for FK4, Julian for FK5 and ecliptic); 0 where the system has none.
    """

    name: str
    equinox: float


ICRS = CelestialSystem("icrs", 0.0)


def celestial_system(wcs: WCS) -> CelestialSystem:
    """Find the reference system of a WCS, with the defaults of the FITS standard.

    CTYPE decides first (a galactic header with a stray RADESYS stays galactic). For RA and DEC, RADESYS decides, and where it is missing
    the
    equinox does: none means ICRS, before 1984 FK4, else FK5. An equinox of 0, which old headers give as EPOCH, means 1950.

    Raises
    ------
    WcsError
        If the WCS does not have exactly two axes, longitude and latitude.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = ["GLON-CAR", "GLAT-CAR"]
    >>> celestial_system(wcs)
    CelestialSystem(name='galactic', equinox=0.0)
    """
    return system_of(prepared(wcs))


def same_celestial_frame(a: WCS, b: WCS) -> bool:
    """Whether the world coordinates of `a` and `b` mean the same, so that none has to be changed."""
    return celestial_system(a) == celestial_system(b)


def prepared(wcs: WCS) -> Any:
    """Return the wcslib part of a WCS, set up.

    Raises
    ------
    WcsError
        If it cannot be used or is not two celestial axes.
    """
    prm = wcs.wcs
    if prm.naxis != 2:
        raise WcsError(f"a WCS of {prm.naxis} axes is not a celestial image", hint="use its two celestial axes (wcs.celestial)")
    try:
        prm.set()
    except Exception as error:
        raise WcsError(f"the WCS cannot be used: {_first_line(error)}", hint="check CTYPE, CUNIT and the CD or PC matrix") from error
    if prm.lng < 0 or prm.lat < 0:
        raise WcsError(
            f"no celestial axes in CTYPE {', '.join(map(str, prm.ctype))}", hint="the frame needs a longitude and a latitude axis"
        )
    return prm


def _first_line(error: Exception) -> str:
    """Shortest useful text of an error of wcslib, which speaks of its own source lines first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def system_of(prm: Any) -> CelestialSystem:
    """Find the reference system of a set-up wcslib struct."""
    axis = str(prm.lngtyp).strip("- ")
    equinox = float(prm.equinox)
    missing = not math.isfinite(equinox)
    if axis == "GLON":
        return CelestialSystem("galactic", 0.0)
    if axis == "SLON":
        return CelestialSystem("supergalactic", 0.0)
    if axis == "ELON":
        return CelestialSystem("ecliptic", 2000.0 if missing else equinox)
    if axis != "RA":
        return CelestialSystem(axis, 0.0)
    radesys = str(prm.radesys).strip().upper()
    if not radesys:
        radesys = "ICRS" if missing else "FK4" if equinox < 1984.0 else "FK5"
    if radesys in ("FK4", "FK4-NO-E"):
        return CelestialSystem(radesys.lower(), 1950.0 if missing or equinox == 0.0 else equinox)
    if radesys == "FK5":
        return CelestialSystem("fk5", 2000.0 if missing else equinox)
    return CelestialSystem("icrs", 0.0)


def unit_vectors(lon: FloatArray, lat: FloatArray) -> FloatArray:
    """Turn degrees into unit vectors, shape (3, n)."""
    a, d = lon * _DEG, lat * _DEG
    c = np.cos(d)
    return np.stack([c * np.cos(a), c * np.sin(a), np.sin(d)])


def lonlat(v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Longitude in [0, 360) and latitude in degrees of vectors, shape (3, n)."""
    return np.arctan2(v[1], v[0]) / _DEG % 360.0, np.arctan2(v[2], np.hypot(v[0], v[1])) / _DEG


def frame_change(source: CelestialSystem, target: CelestialSystem) -> PointMap | None:
    """Map of longitude and latitude (degrees) from one system to another, by astropy.coordinates; None where they are the same.

    All but FK4 differ by a rotation, which is worked out once and kept as a matrix; FK4 has the elliptic terms of aberration and goes
    through
    astropy at every point. FK4 is taken at the epoch of its equinox, as astropy does.

    Raises
    ------
    WcsError
        If one of the systems is not known.
    """
    if source == target:
        return None
    if "fk4" in (source.name, target.name):
        return lambda lon, lat: _through_astropy(source, target, lon, lat)
    matrix = _rotation(source, target)

    def rotate(lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
        shape = np.shape(lon)
        v = unit_vectors(np.ravel(lon), np.ravel(lat))
        a, d = lonlat(matrix @ v)
        return a.reshape(shape), d.reshape(shape)

    return rotate


@lru_cache(maxsize=64)
def _rotation(source: CelestialSystem, target: CelestialSystem) -> FloatArray:
    """Matrix that turns unit vectors of `source` into those of `target`."""
    lon, lat = _through_astropy(source, target, np.array([0.0, 90.0, 0.0]), np.array([0.0, 0.0, 90.0]))
    matrix = unit_vectors(lon, lat)
    u, _, vt = np.linalg.svd(matrix)  # nearest orthogonal matrix: removes the rounding of the three angles
    rotation: FloatArray = u @ vt
    rotation.flags.writeable = False
    return rotation


def _through_astropy(source: CelestialSystem, target: CelestialSystem, lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Change the system of points by astropy.coordinates; NaN stay NaN."""
    from astropy.coordinates import UnitSphericalRepresentation
    from astropy.units import deg

    shape = np.shape(lon)
    lon, lat = np.ravel(lon), np.ravel(lat)
    good = np.isfinite(lon) & np.isfinite(lat)
    out_lon, out_lat = np.full(lon.shape, np.nan), np.full(lon.shape, np.nan)
    frame = _astropy_frame(source).realize_frame(UnitSphericalRepresentation(lon[good] * deg, lat[good] * deg))
    moved = frame.transform_to(_astropy_frame(target)).represent_as(UnitSphericalRepresentation)
    out_lon[good], out_lat[good] = moved.lon.to_value(deg), moved.lat.to_value(deg)
    return out_lon.reshape(shape), out_lat.reshape(shape)


@lru_cache(maxsize=64)
def _astropy_frame(system: CelestialSystem) -> Any:
    """Frame of astropy.coordinates without data."""
    from astropy import coordinates
    from astropy.time import Time

    name, equinox = system
    if name == "icrs":
        return coordinates.ICRS()
    if name == "galactic":
        return coordinates.Galactic()
    if name == "supergalactic":
        return coordinates.Supergalactic()
    if name == "fk5":
        return coordinates.FK5(equinox=Time(equinox, format="jyear"))
    if name == "fk4":
        return coordinates.FK4(equinox=Time(equinox, format="byear"))
    if name == "fk4-no-e":
        return coordinates.FK4NoETerms(equinox=Time(equinox, format="byear"))
    if name == "ecliptic":
        return coordinates.BarycentricMeanEcliptic(equinox=Time(equinox, format="jyear"))
    raise WcsError(f"no known way from the celestial system of CTYPE {name} to another", hint="use frames and a grid of the same system")
