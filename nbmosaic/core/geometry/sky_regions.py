"""Overlap of regions on the sky: convex polygons of great circles, circles, points."""

from __future__ import annotations

import math

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.core.geometry.systems import unit_vectors
from nbmosaic.errors import InputError

__all__ = [
    "box_corners",
    "crossings",
    "hull",
    "inside",
    "oriented",
    "overlapping_pairs",
    "polygon_distance",
    "polygons_touch",
    "sky_vectors",
]

_ROUNDING = 1e-15
"""Below this, a point is on a great circle: the rounding of a scalar product, 2e-10 arcsec."""


def sky_vectors(lon: FloatArray, lat: FloatArray) -> FloatArray:
    """Unit vectors of degrees, shape (..., 3)."""
    return np.moveaxis(unit_vectors(np.asarray(lon, float), np.asarray(lat, float)), 0, -1)


def _normals(polygons: FloatArray) -> FloatArray:
    """Normals of the sides, shape (..., k, 3)."""
    return np.cross(polygons, np.roll(polygons, -1, axis=-2))


def oriented(polygons: FloatArray) -> FloatArray:
    """Polygons with their corners in the order that puts the inside to the left (normals of the sides point inwards).

    Parameters
    ----------
    polygons : ndarray, shape (..., k, 3)
        Corners of convex polygons, either way round.
    """
    middle = polygons.mean(axis=-2)
    turn = np.einsum("...ki,...i->...k", _normals(polygons), middle).sum(axis=-1)
    return np.where((turn < 0)[..., None, None], polygons[..., ::-1, :], polygons)


def inside(polygons: FloatArray, points: FloatArray) -> BoolArray:
    """Whether points are inside (or on a side of) oriented convex polygons.

    Parameters
    ----------
    polygons : ndarray, shape (..., k, 3)
        Oriented.
    points : ndarray, shape (..., n, 3)
        Unit vectors.

    Returns
    -------
    ndarray of bool, shape (..., n)
    """
    result: BoolArray = (np.einsum("...ki,...ni->...nk", _normals(polygons), points) >= -_ROUNDING).all(axis=-1)
    return result


def crossings(one: FloatArray, two: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Where the sides of polygons cross.

    Parameters
    ----------
    one, two : ndarray, shapes (..., k, 3) and (..., m, 3)
        Corners.

    Returns
    -------
    cross : ndarray of bool, shape (..., k, m)
        Whether side i of `one` meets side j of `two`.
    place : ndarray, shape (..., k, m, 3)
        Unit vectors of the crossings (without meaning where there is none).
    """
    n1, n2 = _normals(one), _normals(two)
    b1, b2 = np.roll(one, -1, axis=-2), np.roll(two, -1, axis=-2)
    first = np.einsum("...ki,...mi->...km", n1, two) * np.einsum("...ki,...mi->...km", n1, b2)
    second = np.einsum("...mi,...ki->...km", n2, one) * np.einsum("...mi,...ki->...km", n2, b1)
    place = np.cross(n1[..., :, None, :], n2[..., None, :, :])
    to_one = np.einsum("...kmi,...ki->...km", place, one + b1)
    to_two = np.einsum("...kmi,...mi->...km", place, two + b2)
    length = np.sqrt((place**2).sum(axis=-1, keepdims=True))
    place = place * np.sign(to_one)[..., None] / np.where(length > 0, length, 1.0)
    return (first <= 0) & (second <= 0) & (to_one * to_two > 0), place


def polygons_touch(one: FloatArray, two: FloatArray) -> BoolArray:
    """Whether oriented convex polygons share a point: a corner of one is inside the other, or sides cross.

    Parameters
    ----------
    one, two : ndarray, shapes (..., k, 3) and (..., m, 3)

    Returns
    -------
    ndarray of bool, shape (...)
    """
    return np.asarray(inside(one, two).any(axis=-1) | inside(two, one).any(axis=-1) | crossings(one, two)[0].any(axis=(-1, -2)))


def overlapping_pairs(quads: FloatArray) -> IntArray:
    """Pairs of frames whose outlines share a point.

    Parameters
    ----------
    quads : ndarray, shape (n, k, 3)
        Corners, either way round.

    Returns
    -------
    ndarray of int64, shape (m, 2)
        ``i < j``, sorted.

    Examples
    --------
    >>> square = sky_vectors(np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    >>> beside = sky_vectors(np.array([2.0, 3.0, 3.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    >>> overlapping_pairs(np.stack([square, beside, square])).tolist()
    [[0, 2]]
    """
    from scipy.spatial import cKDTree

    if len(quads) < 2:
        return np.zeros((0, 2), np.int64)
    quads = oriented(quads)
    centre = quads.mean(axis=1)
    centre /= np.sqrt((centre**2).sum(axis=1, keepdims=True))
    radius = np.sqrt(((quads - centre[:, None]) ** 2).sum(axis=2)).max(axis=1)
    pairs = cKDTree(centre).query_pairs(2.0 * float(radius.max()) * (1 + 1e-9), output_type="ndarray").astype(np.int64)
    angle = 2.0 * np.arcsin(np.minimum(radius / 2.0, 1.0))
    apart = 2.0 * np.arcsin(np.minimum(np.sqrt(((centre[pairs[:, 0]] - centre[pairs[:, 1]]) ** 2).sum(axis=1)) / 2.0, 1.0))
    pairs = np.sort(pairs[apart <= (angle[pairs[:, 0]] + angle[pairs[:, 1]]) * (1 + 1e-9)], axis=1)
    kept = [np.zeros((0, 2), np.int64)]
    for first in range(0, len(pairs), 20_000):  # 20 MB of crossings at a time
        part = pairs[first : first + 20_000]
        kept.append(part[polygons_touch(quads[part[:, 0]], quads[part[:, 1]])])
    found = np.concatenate(kept)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def polygon_distance(polygons: FloatArray, point: FloatArray) -> FloatArray:
    """Angle in degrees from a point to oriented convex polygons; 0 inside.

    Parameters
    ----------
    polygons : ndarray, shape (..., k, 3)
        Oriented.
    point : ndarray, shape (3,)
        Unit vector.
    """
    ends = np.roll(polygons, -1, axis=-2)
    normal = _normals(polygons)
    length = np.sqrt((normal**2).sum(axis=-1))
    normal = normal / np.where(length > 0, length, 1.0)[..., None]
    height = np.clip(normal @ point, -1.0, 1.0)
    foot = point - height[..., None] * normal
    between = ((np.cross(polygons, foot) * normal).sum(-1) >= 0) & ((np.cross(foot, ends) * normal).sum(-1) >= 0)
    to_corner = np.arccos(np.clip(polygons @ point, -1.0, 1.0))
    angle = np.where(between, np.abs(np.arcsin(height)), to_corner).min(axis=-1)
    within = inside(polygons, np.broadcast_to(point, (*polygons.shape[:-2], 1, 3)))[..., 0]
    result: FloatArray = np.degrees(np.where(within, 0.0, angle))
    return result


def _tangent_axes(lon: float, lat: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    a, d = math.radians(lon), math.radians(lat)
    centre = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    return centre, east, np.cross(centre, east)


def box_corners(lon: float, lat: float, width: float, height: float, rotation: float = 0.0) -> FloatArray:
    """Corners of a box on the plane tangent at a position, shape (4, 3).

    Parameters
    ----------
    lon, lat : float
        Centre in degrees.
    width, height : float
        Sides on the tangent plane in degrees (arc lengths at its centre).
    rotation : float
        Degrees, from east to north.

    Raises
    ------
    InputError
        A side is not positive.
    """
    for name, size in (("X", width), ("Y", height)):
        if not (math.isfinite(size) and size > 0):
            raise InputError(f"{name} box size ({size:g}) must be a positive number")
    centre, east, north = _tangent_axes(lon, lat)
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    x = np.radians(width / 2.0) * np.array([-1.0, 1.0, 1.0, -1.0])
    y = np.radians(height / 2.0) * np.array([-1.0, -1.0, 1.0, 1.0])
    plane = centre + (c * x - s * y)[:, None] * east + (s * x + c * y)[:, None] * north
    corners: FloatArray = plane / np.sqrt((plane**2).sum(axis=1, keepdims=True))
    return corners


def hull(points: FloatArray) -> FloatArray:
    """Corners of the smallest convex polygon round points of one hemisphere, shape (k, 3), oriented.

    Raises
    ------
    InputError
        Fewer than three points, all on one great circle, or spread over more than a hemisphere.
    """
    from scipy.spatial import ConvexHull, QhullError

    if len(points) < 3:
        raise InputError("Too few vertices for region (must be at least three)")
    middle = points.mean(axis=0)
    length = math.sqrt(float(middle @ middle))
    if length < 1e-6 or float((points @ middle).min()) <= 1e-3 * length:
        raise InputError("Failed to find bounding polygon for set of points: they are spread over more than a hemisphere")
    middle /= length
    _, east, north = _tangent_axes(math.degrees(math.atan2(middle[1], middle[0])), math.degrees(math.asin(max(-1.0, min(1.0, middle[2])))))
    scale = points @ middle
    plane = np.stack([points @ east, points @ north], axis=1) / scale[:, None]
    try:
        corners = points[ConvexHull(plane).vertices]
    except QhullError as error:
        raise InputError("Failed to find bounding polygon for set of points: they lie on one line") from error
    return oriented(corners)
