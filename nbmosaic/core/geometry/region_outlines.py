"""Outlines of regions in pixels of an image, for pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.sky import SkyPixels, frame_change, pixel_scale_arcsec
from nbmosaic.core.geometry.systems import CelestialSystem, lonlat, unit_vectors
from nbmosaic.errors import InputError
from nbmosaic.types.regions import Region

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["REGION_SYSTEMS", "region_outlines"]

REGION_SYSTEMS = {
    "icrs": CelestialSystem("icrs", 0.0),
    "fk5": CelestialSystem("fk5", 2000.0),
    "fk4": CelestialSystem("fk4", 1950.0),
    "galactic": CelestialSystem("galactic", 0.0),
    "ecliptic": CelestialSystem("ecliptic", 2000.0),
}
"""What the systems of region files mean."""

_POINTS = 73  # of a closed curve: 5 degrees apart
_SIDE = 12  # points of a straight side, which is curved on the picture
_DEG = math.pi / 180.0


def region_outlines(region: Region, wcs: WCS | None, shape: tuple[int, int] | None = None) -> tuple[FloatArray, ...]:
    """Closed curves round a region, one or two.

    Parameters
    ----------
    region : Region
        The region.
    wcs : astropy.wcs.WCS, optional
        Coordinates of the image; None if it has none.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image, see `SkyPixels`.

    Returns
    -------
    tuple of ndarray, each of shape (n, 2)
        x, y in 0-based pixels, the first point repeated at the end; NaN where the sky is not on the image. Shapes on the sky are those of
        `nbmosaic.core.psf.masks.region_pixels`: figures of the plane that touches the sphere at the centre, sides of polygons great circles.

    Raises
    ------
    InputError
        The region is on the sky, or sized in angles, and the image has no coordinates.
    """
    if wcs is None and (not region.in_pixels or (region.angular and region.sizes)):
        raise InputError(f"a region on the sky needs an image with coordinates: {region}", hint="give it in the system image")
    if region.in_pixels:
        factor = 3600.0 / pixel_scale_arcsec(wcs) if region.angular and region.sizes else 1.0
        if region.kind == "polygon":
            return (_closed(np.asarray(region.vertices, float)),)
        return tuple(curve * factor + region.centre for curve in _curves(region.kind, region.sizes, region.angle))
    assert wcs is not None
    sky = SkyPixels(wcs, shape)
    change = frame_change(REGION_SYSTEMS[region.system], sky.system)

    def pixels(vectors: FloatArray) -> FloatArray:
        lon, lat = lonlat(vectors)
        if change is not None:
            lon, lat = change(lon, lat)
        points: FloatArray = np.column_stack(sky.to_pixel(lon, lat))
        return points

    if region.kind == "polygon":
        corners = unit_vectors(*np.asarray(region.vertices, float).T)
        t = np.linspace(0.0, 1.0, _SIDE, endpoint=False)
        n = corners.shape[1]
        sides = [np.outer(corners[:, k], 1 - t) + np.outer(corners[:, (k + 1) % n], t) for k in range(n)]
        return (pixels(np.concatenate([*sides, corners[:, :1]], axis=1)),)
    sizes = tuple(size * _DEG for size in region.sizes)
    if region.kind in {"circle", "annulus"}:
        sizes = tuple(math.tan(min(size, 89.9 * _DEG)) for size in sizes)  # radii are angles on the sphere
    a, d = region.centre[0] * _DEG, region.centre[1] * _DEG
    centre = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
    west = np.array([math.sin(a), -math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    curves = _curves(region.kind, sizes, region.angle)
    return tuple(pixels(centre[:, None] + np.outer(west, curve[:, 0]) + np.outer(north, curve[:, 1])) for curve in curves)


def _closed(points: FloatArray) -> FloatArray:
    closed: FloatArray = np.concatenate([points, points[:1]])
    return closed


def _curves(kind: str, sizes: tuple[float, ...], angle: float) -> tuple[FloatArray, ...]:
    """Curves of a shape about (0, 0) in a plane."""
    if kind in {"circle", "annulus"}:
        return tuple(_ellipse(size, size) for size in sizes)
    pairs = [sizes[i : i + 2] for i in range(0, len(sizes), 2)]
    cos, sin = math.cos(angle * _DEG), math.sin(angle * _DEG)
    turn = np.array([[cos, sin], [-sin, cos]])
    plain = [_ellipse(*pair) if kind.startswith("ellipse") else _box(*pair) for pair in pairs]
    return tuple(curve @ turn for curve in plain)


def _ellipse(a: float, b: float) -> FloatArray:
    t = np.linspace(0.0, 2.0 * np.pi, _POINTS)
    curve: FloatArray = np.column_stack([a * np.cos(t), b * np.sin(t)])
    return curve


def _box(width: float, height: float) -> FloatArray:
    t = np.linspace(-0.5, 0.5, _SIDE, endpoint=False)
    half = np.full(_SIDE, 0.5)
    x, y = np.concatenate([t, half, -t, -half]), np.concatenate([-half, t, half, -t])
    return _closed(np.column_stack([x * width, y * height]))
