"""Header template round images by the rules of mMakeHdr: minimum box, sizes and their rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import InputError

__all__ = ["MontageGrid", "PlaneAxis", "common_axis", "grid_corners", "montage_grid"]

_SPREAD = 1.0  # unit vectors that spread farther than this along any axis are given the whole sky
_SIDE = 1e-9  # radians: points nearer than this are one corner


@dataclass(frozen=True, slots=True)
class MontageGrid:
    """Template as mMakeHdr writes it.

    Attributes
    ----------
    naxis : tuple of int
        ``(nx, ny)``.
    projection : str
        TAN, or AIT for the whole sky.
    lon, lat, rotation : float
        CRVAL and CROTA2 in degrees.
    step : float
        Pixel in degrees.
    """

    naxis: tuple[int, int]
    projection: str
    lon: float
    lat: float
    rotation: float
    step: float

    @property
    def crpix(self) -> tuple[float, float]:
        """Reference pixel: the middle, counted from 1."""
        return (self.naxis[0] + 1) / 2.0, (self.naxis[1] + 1) / 2.0


class PlaneAxis(NamedTuple):
    """Third or fourth axis of a template: number of planes, and the value, place (from 1) and step as in a header."""

    naxis: int
    crval: float
    crpix: float
    cdelt: float


def common_axis(naxis: FloatArray, crval: FloatArray, crpix: FloatArray, cdelt: FloatArray) -> PlaneAxis | None:
    """Find the axis that holds all planes of some cubes, by the rule of mMakeHdr.

    Parameters
    ----------
    naxis, crval, crpix, cdelt : ndarray, shape (n,)
        The axis of each cube; NaN where it has none.

    Returns
    -------
    PlaneAxis or None
        From the first plane below CRVAL to the last above it; None unless all cubes have the axis, with one CRVAL and one CDELT.

    Examples
    --------
    >>> common_axis(np.array([7.0, 7.0]), np.array([100.0, 100.0]), np.array([3.0, -2.0]), np.array([2.0, 2.0]))
    PlaneAxis(naxis=12, crval=100.0, crpix=3.0, cdelt=2.0)
    """
    rows = np.stack([naxis, crval, crpix, cdelt])
    if not rows.size or not np.isfinite(rows).all() or (naxis < 1).any() or np.ptp(crval) or np.ptp(cdelt):
        return None
    first = float(crpix.max())
    return PlaneAxis(int(first + float((naxis - crpix).max())), float(crval[0]), first, float(cdelt[0]))


def _axes(centre: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors to the east and to the north of a direction."""
    lon = math.atan2(centre[1], centre[0])
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    return east, np.cross(centre, east)


def _plane(points: FloatArray, centre: FloatArray, angle: float) -> FloatArray:
    """Positions on the plane tangent at `centre`, shape (n, 2): x to the right (west at angle 0), rotated by CROTA2 = `angle` (radians)."""
    east, north = _axes(centre)
    scale = points @ centre
    xi, eta = points @ east / scale, points @ north / scale
    c, s = math.cos(angle), math.sin(angle)
    return np.stack([-(c * xi + s * eta), c * eta - s * xi], axis=1)


def _hull(points: FloatArray) -> FloatArray:
    """Corners of the convex hull on the sphere in order; the points themselves where they are too few or on one line."""
    from nbmosaic.core.geometry.sky_regions import hull

    try:
        return hull(points)
    except InputError:
        return np.unique(np.round(points, 12), axis=0)


def _unit(vector: FloatArray) -> FloatArray:
    length = math.sqrt(float(vector @ vector))
    return vector / length if length > 0 else vector


def _north_box(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centre and sizes (radians) of a box with north up.

    Its lower and upper sides are great circles through one pole on the equator, which is a right angle away from the point nearest to the equator (the
    southernmost one, unless all are south); the other sides are those through the two points that lie farthest east and west of it. The centre is where the
    diagonals meet.
    """
    south = points[int(points[:, 2].argmin() if points[:, 2].max() > 0 else points[:, 2].argmax())]
    pole = _unit(np.cross(np.array([0.0, 0.0, 1.0]), south))
    if not pole.any():
        pole = np.array([0.0, 1.0, 0.0])
    rows = np.cross(points, pole)
    rows /= np.sqrt((rows**2).sum(axis=1, keepdims=True))
    low = _unit(np.cross(south, pole))
    high = rows[int((rows @ low).argmin())]
    ends = [points[int((points @ pole).argmax())], points[int((points @ pole).argmin())]]
    sides = [_unit(np.cross(np.cross(end, pole), end)) for end in ends]

    def corner(row: FloatArray, side: FloatArray, end: FloatArray) -> FloatArray:
        place = _unit(np.cross(row, side))
        return -place if float(place @ end) < 0 else place

    c1, c2 = corner(low, sides[0], ends[0]), corner(high, sides[0], ends[0])
    c3, c4 = corner(high, sides[1], ends[1]), corner(low, sides[1], ends[1])
    centre = _unit(np.cross(np.cross(c1, c3), np.cross(c2, c4)))
    if not centre.any():  # all points on one line
        centre = _unit(points.mean(axis=0))
    centre = -centre if float(centre @ c1) < 0 else centre
    size: FloatArray = 2.0 * np.abs(_plane(points, centre, 0.0)).max(axis=0)
    return centre, size


def _along_edges(corners: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Centre, sizes and angle of the smallest of the boxes that lie along an edge of the hull.

    The centre is, along the edge, in the middle of the corners (as angles round the pole of the edge), and across it where the tangent plane sees as much on
    both sides.
    """
    best: tuple[float, FloatArray, FloatArray, float] | None = None
    following = np.roll(corners, -1, axis=0)
    for a, b in zip(corners, following, strict=True):
        normal = np.cross(a, b)
        length = math.sqrt(float(normal @ normal))
        if length < _SIDE:
            continue
        normal /= length
        start = _unit(a + b)
        ahead = np.cross(normal, start)
        position = np.arctan2(corners @ ahead, corners @ start)
        middle = (position.min() + position.max()) / 2.0
        foot = math.cos(middle) * start + math.sin(middle) * ahead
        direction = -math.sin(middle) * start + math.cos(middle) * ahead
        centre = _half_way(corners, foot, normal)
        east, north = _axes(centre)
        angle = -math.atan2(float(direction @ north), -float(direction @ east))
        if (
            direction @ east > 0
        ):  # the sign that mMakeHdr gives to edges that run eastward: such a box is turned the wrong way, and seldom the smallest
            angle = -angle
        size = 2.0 * np.abs(_plane(corners, centre, angle)).max(axis=0)
        if best is None or size.prod() < best[0]:
            best = (float(size.prod()), centre, size, angle)
    if best is None:
        return *_north_box(corners), 0.0
    return best[1], best[2], best[3]


def _half_way(corners: FloatArray, foot: FloatArray, normal: FloatArray) -> FloatArray:
    """Point above `foot`, towards the pole `normal` of the edge, from which the corners reach as far up as down on the tangent plane."""
    height = float(np.arcsin(np.clip(corners @ normal, -1.0, 1.0)).max()) / 2.0
    for _ in range(8):  # each step leaves the square of the size (radians) of the error before
        centre = math.cos(height) * foot + math.sin(height) * normal
        up = -math.sin(height) * foot + math.cos(height) * normal
        reach = corners @ up / (corners @ centre)
        height += math.atan((reach.min() + reach.max()) / 2.0)
    result: FloatArray = math.cos(height) * foot + math.sin(height) * normal
    return result


def _upright(size: FloatArray, angle: float) -> tuple[FloatArray, float]:
    """Sizes and angle (degrees, 0 to 360) with the angle brought to -45 to 45 by quarter turns, which exchange the sizes."""
    turns = round(math.degrees(angle) / 90.0)
    return (size[::-1] if turns % 2 else size), (math.degrees(angle) - 90.0 * turns) % 360.0


def montage_grid(
    points: FloatArray,
    step: float,
    *,
    north_aligned: bool = False,
    pad: float = 0.0,
    percent: bool = False,
    max_pixel: int = 0,
) -> MontageGrid:
    """Find the template round points of the sky as mMakeHdr does.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Unit vectors (corners of images, or sources) in the system of the template.
    step : float
        Pixel in degrees.
    north_aligned : bool
        The box lies along the meridian of its centre; else along the edge of the convex hull that gives the smallest box.
    pad : float
        Pixels added on every side; with `percent`, percents of the longer axis.
    percent : bool
        See `pad`.
    max_pixel : int
        Longest axis in pixels; where it is given, the step is the longer side divided by it.

    Returns
    -------
    MontageGrid
        ``NAXIS = int(size / step + 2 pad)``, and two more where that is less than the size. mMakeHdr compares both axes with the size in longitude, which
        leaves tall fields a pixel too short; here each axis is compared with its own size.

    Raises
    ------
    InputError
        No points, or a step that is not positive.

    Examples
    --------
    >>> from nbmosaic.core.geometry.sky_regions import box_corners
    >>> montage_grid(box_corners(10.0, 20.0, 0.1, 0.05), 0.001, north_aligned=True).naxis
    (102, 52)
    """
    if not len(points) or not np.isfinite(points).all():
        raise InputError("no positions to make a template of")
    if not (math.isfinite(step) and step > 0):
        raise InputError(f"the pixel scale must be positive, not {step:g} degrees")
    if (np.ptp(points, axis=0) > _SPREAD).any():
        nx, ny = max(1, int(360.0 / step)), max(1, int(180.0 / step))
        return MontageGrid((nx, ny), "AIT", 0.0, 0.0, 0.0, step)
    corners = _hull(points)
    centre, size, angle = (*_north_box(corners), 0.0) if north_aligned or len(corners) < 3 else _along_edges(corners)
    size, rotation = _upright(size, angle)
    lon = math.degrees(math.atan2(centre[1], centre[0])) % 360.0
    lat = math.degrees(math.asin(max(-1.0, min(1.0, float(centre[2])))))
    width, height = np.degrees(size).tolist()
    if max_pixel > 0:
        step = max(width, height) / max_pixel
    if not step > 0:
        raise InputError("the points are one point: a largest size in pixels says nothing", hint="give the pixel scale")
    extra = 2.0 * (pad / 100.0 * int(max(width, height) / step) if percent else pad)
    nx, ny = (_length(side, step, extra) for side in (width, height))
    return MontageGrid((nx, ny), "TAN", lon, lat, rotation, step)


def _length(side: float, step: float, extra: float) -> int:
    """Pixels of an axis: truncated, and two more where they do not cover the side."""
    n = int(side / step + extra + 1e-9)
    return max(1, n + 2 if n * step < side - 1e-9 * step else n)


def grid_corners(grid: MontageGrid) -> FloatArray:
    """Longitude and latitude in degrees of the corners as mMakeHdr lists them, shape (4, 2): lower left, lower right, upper right, upper left."""
    lon, lat = math.radians(grid.lon), math.radians(grid.lat)
    centre = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])
    east, north = _axes(centre)
    half = np.radians(grid.step) * np.array(grid.naxis) / 2.0
    x, y = half[0] * np.array([-1.0, 1.0, 1.0, -1.0]), half[1] * np.array([-1.0, -1.0, 1.0, 1.0])
    c, s = math.cos(math.radians(grid.rotation)), math.sin(math.radians(grid.rotation))
    xi, eta = -c * x - s * y, -s * x + c * y
    v = centre + xi[:, None] * east + eta[:, None] * north
    return np.stack([np.degrees(np.arctan2(v[:, 1], v[:, 0])) % 360.0, np.degrees(np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1])))], axis=1)
