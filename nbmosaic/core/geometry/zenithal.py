"""Zenithal projections about any centre: where the outlines of frames fall, and the best centre and angle for a box round them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import FloatArray

__all__ = ["ZENITHAL", "Pose", "enclosing_cone", "least_area", "project", "recentred", "upright"]

ZENITHAL = ("TAN", "SIN", "STG", "ARC", "ZEA")
"""Projections of this module."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Centre (radians) and rotation (radians, as CROTA2) of a zenithal grid."""

    lon: float
    lat: float
    rotation: float

    def axes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Unit vectors to the centre, to the east of it and to the north of it."""
        a, d = self.lon, self.lat
        centre = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
        east = np.array([-math.sin(a), math.cos(a), 0.0])
        return centre, east, np.cross(centre, east)

    def moved(self, centre: FloatArray, *, keep_angle: bool) -> Pose:
        """The pose at another centre, with the same angle to north, or else with the same direction on the sky."""
        lon = math.atan2(centre[1], centre[0])
        lat = math.atan2(centre[2], math.hypot(centre[0], centre[1]))
        if keep_angle:
            return Pose(lon, lat, self.rotation)
        _, east, north = self.axes()
        up = -math.sin(self.rotation) * east + math.cos(self.rotation) * north
        _, east, north = Pose(lon, lat, 0.0).axes()
        return Pose(lon, lat, math.atan2(-float(up @ east), float(up @ north)))


def enclosing_cone(points: FloatArray) -> tuple[FloatArray, float]:
    """Axis and half-angle (degrees) of a narrow cone round unit vectors, shape (3, n).

    By steps towards the farthest point that get shorter (Badoiu and Clarkson 2003).
    """
    axis = points.mean(axis=1)
    if math.hypot(*axis) < 1e-6:
        return points[:, 0], 180.0
    axis /= math.hypot(*axis)
    best, best_cos = axis, float((axis @ points).min())
    for k in range(1, 100):
        axis = axis + (points[:, int((axis @ points).argmin())] - axis) / (k + 1.0)
        length = math.hypot(*axis)
        if length < 1e-6:
            break
        cosine = float((axis @ points).min()) / length
        if cosine > best_cos:
            best, best_cos = axis / length, cosine
    return best, math.degrees(math.acos(max(-1.0, min(1.0, best_cos))))


def project(points: FloatArray, pose: Pose, projection: str) -> FloatArray:
    """Project unit vectors of shape (3, ...) to the grid plane (x to the right, y up, radians), shape (2, ...).

    Radii of the projections: Calabretta and Greisen 2002, A&A 395, 1077, section 5.1.
    """
    centre, east, north = pose.axes()
    c, e, n = (np.tensordot(axis, points, 1) for axis in (centre, east, north))
    factor = _radius_over_sine(c, projection)
    e, n = e * factor, n * factor
    cos, sin = math.cos(pose.rotation), math.sin(pose.rotation)
    return np.stack([-(cos * e + sin * n), cos * n - sin * e])


def _radius_over_sine(c: FloatArray, projection: str) -> FloatArray:
    """Radius in the plane over the sine of the angle from the centre, whose cosine is `c`."""
    if projection == "TAN":
        return 1.0 / np.maximum(c, 1e-3)
    if projection == "SIN":
        return np.ones_like(c)
    if projection == "STG":
        return 2.0 / np.maximum(1.0 + c, 1e-6)
    if projection == "ZEA":
        return np.sqrt(2.0 / np.maximum(1.0 + c, 1e-12))
    angle = np.arccos(np.clip(c, -1.0, 1.0))
    return 1.0 / np.maximum(np.sinc(angle / math.pi), 1e-12)


def _unproject(x: float, y: float, pose: Pose, projection: str) -> FloatArray:
    """Unit vector of a point of the grid plane."""
    r = math.hypot(x, y)
    angle = {
        "TAN": math.atan(r),
        "SIN": math.asin(min(r, 1.0)),
        "STG": 2.0 * math.atan(r / 2.0),
        "ZEA": 2.0 * math.asin(min(r / 2.0, 1.0)),
    }.get(projection, r)
    centre, east, north = pose.axes()
    if r == 0.0:
        return centre
    cos, sin = math.cos(pose.rotation), math.sin(pose.rotation)
    e, n = (-cos * x - sin * y) / r, (cos * y - sin * x) / r
    out: FloatArray = math.cos(angle) * centre + math.sin(angle) * (e * east + n * north)
    return out


def _limits(edges: FloatArray, pose: Pose, projection: str) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest x and y of the edges in the grid plane, with room for what bulges between the points."""
    plane = project(edges, pose, projection)
    bulge = np.abs(np.diff(plane, 2, axis=-1)) / 4.0  # twice the sagitta of a parabola
    inner = plane[..., 1:-1]
    axes = tuple(range(1, plane.ndim))
    low = np.minimum(plane.min(axis=axes), (inner - bulge).min(axis=axes))
    high = np.maximum(plane.max(axis=axes), (inner + bulge).max(axis=axes))
    return low, high


def recentred(edges: FloatArray, pose: Pose, projection: str, *, keep_angle: bool) -> tuple[Pose, FloatArray]:
    """Move the centre to the middle of the frames, and give the size of the box round them in radians.

    Moving the reference point changes the projection a little, so this is repeated; beside a pole, where it need not settle because north
    turns
    quickly, the smallest box met is taken.
    """
    best, best_size = pose, np.array([np.inf, np.inf])
    for _ in range(40):
        low, high = _limits(edges, pose, projection)
        size = 2.0 * np.maximum(-low, high)
        if size.prod() < best_size.prod():
            best, best_size = pose, size
        middle = (low + high) / 2.0
        if np.abs(middle).max() < 1e-7 * (high - low).max():
            break
        pose = pose.moved(_unproject(float(middle[0]), float(middle[1]), pose, projection), keep_angle=keep_angle)
    return best, best_size


def least_area(edges: FloatArray, pose: Pose, projection: str) -> Pose:
    """Turn the pose so that the rectangle round the frames has the least area: one side lies along an edge of the convex hull."""
    from scipy.spatial import ConvexHull

    for _ in range(2):  # the second time about the middle of the first rectangle
        plane = project(edges, pose, projection).reshape(2, -1)
        hull = plane[:, ConvexHull(plane.T).vertices]
        side = np.roll(hull, -1, axis=1) - hull
        angles = np.unique(np.round(np.arctan2(side[1], side[0]) % (math.pi / 2.0), 9))
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        x, y = cos * hull[0] + sin * hull[1], cos * hull[1] - sin * hull[0]
        best = int((np.ptp(x, axis=1) * np.ptp(y, axis=1)).argmin())
        middle_x, middle_y = (x[best].min() + x[best].max()) / 2.0, (y[best].min() + y[best].max()) / 2.0
        c, s = float(cos[best, 0]), float(sin[best, 0])
        centre = _unproject(float(c * middle_x - s * middle_y), float(s * middle_x + c * middle_y), pose, projection)
        pose = Pose(pose.lon, pose.lat, pose.rotation - math.atan2(s, c)).moved(centre, keep_angle=False)
    return pose


def upright(pose: Pose, size: FloatArray) -> tuple[Pose, FloatArray]:
    """Bring the rotation to -45 to 45 degrees, swapping the sides where it turns by a right angle."""
    turns = round(pose.rotation / (math.pi / 2.0))
    return Pose(pose.lon, pose.lat, pose.rotation - turns * math.pi / 2.0), size[::-1] if turns % 2 else size
