"""Zenithal projections about any centre: where the outlines of frames fall, and the best centre and angle for a box round them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nbmosaic._types import FloatArray

__all__ = ["Placed", "Pose", "enclosing_cone", "least_area", "project", "recentred", "upright"]

_REPEATS = 20  # far from poles three or four are enough


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


class Placed(NamedTuple):
    """Box round frames on a plane.

    Attributes
    ----------
    pose : Pose
        Centre and angle of the plane.
    size : ndarray, shape (2,)
        Width and height in radians.
    middle : ndarray, shape (2,)
        Middle of the box on the plane in radians; zero where it could be brought to the centre.
    """

    pose: Pose
    size: FloatArray
    middle: FloatArray


def recentred(edges: FloatArray, pose: Pose, projection: str, *, keep_angle: bool) -> Placed:
    """Move the centre of the plane to the middle of the frames, and give the box round them.

    Moving the reference point changes the projection a little, so this is repeated. Beside a pole north turns so fast that repeating does not
    settle; Newton's method with shortened steps takes over there. Where a frame lies so at a pole that no centre is in the middle, the smallest
    box met is returned with its middle.
    """
    search = _Search(edges, pose, projection, keep_angle=keep_angle)
    shift = np.zeros(2)
    middle = search.middle(shift)
    for _ in range(_REPEATS):
        if search.settled:
            return search.best
        shift = shift + middle
        middle = search.middle(shift)
    shift = search.best_shift
    middle = search.middle(shift)
    for _ in range(_REPEATS):
        h = 1e-6 * float(search.best.size.max())
        columns = [(search.middle(shift + step) - middle) / h for step in (np.array([h, 0.0]), np.array([0.0, h]))]
        slope = np.stack(columns, axis=1)
        step = -middle if abs(float(np.linalg.det(slope))) < 1e-12 else np.linalg.solve(slope, middle)
        found = middle
        for _ in range(8):
            found = search.middle(shift - step)
            if search.settled:
                return search.best
            if np.abs(found).max() < np.abs(middle).max():
                break
            step = step / 2.0
        shift, middle = shift - step, found
    return search.best


class _Search:
    """Search for the centre; remembers the smallest box met, or the one in the middle."""

    def __init__(self, edges: FloatArray, start: Pose, projection: str, *, keep_angle: bool) -> None:
        self.edges, self.start, self.projection, self.keep_angle = edges, start, projection, keep_angle
        self.best = Placed(start, np.array([np.inf, np.inf]), np.zeros(2))
        self.best_shift = np.zeros(2)
        self.settled = False

    def middle(self, shift: FloatArray) -> FloatArray:
        """Where the middle of the frames lies in the plane whose centre is at `shift` in the plane of the start."""
        pose = self.start.moved(_unproject(float(shift[0]), float(shift[1]), self.start, self.projection), keep_angle=self.keep_angle)
        low, high = _limits(self.edges, pose, self.projection)
        middle, size = (low + high) / 2.0, high - low
        self.settled = bool(np.abs(middle).max() < 1e-7 * size.max())
        if self.settled:
            self.best = Placed(pose, 2.0 * np.maximum(-low, high), np.zeros(2))
        elif size.prod() < self.best.size.prod():
            self.best, self.best_shift = Placed(pose, size, middle), shift
        out: FloatArray = middle
        return out


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


def upright(placed: Placed) -> Placed:
    """Bring the rotation to -45 to 45 degrees, turning the box with it."""
    pose, size, middle = placed
    turns = round(pose.rotation / (math.pi / 2.0))
    cos, sin = math.cos(turns * math.pi / 2.0), math.sin(turns * math.pi / 2.0)
    turned = np.array([cos * middle[0] + sin * middle[1], cos * middle[1] - sin * middle[0]])
    return Placed(Pose(pose.lon, pose.lat, pose.rotation - turns * math.pi / 2.0), size[::-1] if turns % 2 else size, turned)
