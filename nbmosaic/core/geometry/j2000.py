"""Positions in J2000 coordinates as Montage has them: ICRS and FK5 of J2000 are one system."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.geometry.sky import SkyPixels
from nbmosaic.core.geometry.systems import CelestialSystem, PointMap, frame_change

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["J2000", "j2000_centre_and_corners", "j2000_to_pixel", "north_angle", "off_sky", "pixel_to_j2000", "system_change"]

J2000 = CelestialSystem("fk5", 2000.0)
"""FK5 of equinox and epoch J2000."""

_SAME = {CelestialSystem("icrs", 0.0), J2000}


def system_change(source: CelestialSystem, target: CelestialSystem) -> PointMap | None:
    """`frame_change` with ICRS and FK5 of J2000 taken as one (they differ by up to 0.03 arcsec); None where nothing changes."""
    source, target = (J2000 if system in _SAME else system for system in (source, target))
    return frame_change(source, target)


def pixel_to_j2000(wcs: WCS, x: FloatArray, y: FloatArray, shape: tuple[int, int] | None = None) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination in degrees at 0-based pixel positions; NaN off the sky."""
    sky = SkyPixels(wcs, shape)
    lon, lat = sky.to_sky(x, y)
    change = system_change(sky.system, J2000)
    return (lon, lat) if change is None else change(lon, lat)


def j2000_to_pixel(wcs: WCS, ra: FloatArray, dec: FloatArray, shape: tuple[int, int] | None = None) -> tuple[FloatArray, FloatArray]:
    """0-based pixel positions of right ascensions and declinations in degrees; NaN where the WCS does not see them."""
    sky = SkyPixels(wcs, shape)
    change = system_change(J2000, sky.system)
    return sky.to_pixel(ra, dec) if change is None else sky.to_pixel(*change(ra, dec))


def j2000_centre_and_corners(wcs: WCS, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Centre of a frame and the outer corners of its corner pixels, as `nbmosaic.core.geometry.sky.centre_and_corners` but in J2000.

    Returns
    -------
    centre : ndarray, shape (2,)
        Degrees.
    corners : ndarray, shape (4, 2)
        First column and row, first column and last row, last column and row, last column and first row; the second and fourth change places for mirrored
        frames, so that the order on the sky is always the same (clockwise, with east to the left).
    """
    ny, nx = shape
    x = np.array([-0.5, -0.5, nx - 0.5, nx - 0.5, (nx - 1) / 2.0])
    y = np.array([-0.5, ny - 0.5, ny - 0.5, -0.5, (ny - 1) / 2.0])
    points = np.stack(pixel_to_j2000(wcs, x, y, shape), axis=1)
    matrix = np.diag(wcs.wcs.get_cdelt()) @ wcs.wcs.get_pc()
    if float(np.linalg.det(matrix)) * (1.0 if wcs.wcs.lng < wcs.wcs.lat else -1.0) > 0:
        points[[1, 3]] = points[[3, 1]]
    return points[4], points[:4]


def north_angle(ra: FloatArray, dec: FloatArray) -> float:
    """Angle in degrees, positive to the west, of the way from a first position to a second (degrees, shape (2,)) against north; NaN if they are the same."""
    east = math.radians(float(ra[0] - ra[1])) * math.cos(math.radians(float(dec[1])))
    length = math.hypot(east, math.radians(float(dec[1] - dec[0])))
    return math.degrees(math.asin(max(-1.0, min(1.0, east / length)))) if length else math.nan


def off_sky(wcs: WCS, shape: tuple[int, int]) -> BoolArray:
    """Pixels whose centre is on no part of the sky: the way to the sky and back does not lead to where it began (to 0.01 pixels)."""
    sky = SkyPixels(wcs, shape)
    outside = np.ones(shape, bool)
    columns = np.arange(shape[1], dtype=np.float64)
    for row in range(shape[0]):
        x, y = sky.to_pixel(*sky.to_sky(columns, np.full(len(columns), float(row))))
        outside[row] = ~((np.abs(x - columns) <= 0.01) & (np.abs(y - row) <= 0.01))
    return outside
