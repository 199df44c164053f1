"""Exact maps between pixels and the sky, and between the pixels of two celestial WCSs.

Everything here evaluates the full WCS at every point that is asked for. It is meant for some hundreds of points a frame; what the
resampling
kernels follow is a polynomial fitted to it (see `nbmosaic.core.geometry.pixmap`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, FloatArray, IntArray
from nbmosaic.core.geometry.systems import (
    ICRS,
    CelestialSystem,
    celestial_system,
    frame_change,
    prepared,
    same_celestial_frame,
    system_of,
    unit_vectors,
)
from nbmosaic.types.frame import Footprint

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = [
    "CelestialSystem",
    "SkyPixels",
    "celestial_system",
    "celestial_transform",
    "centre_and_corners",
    "frame_change",
    "frame_footprint",
    "icrs_to_pixel",
    "known_shape",
    "pixel_scale_arcsec",
    "pixel_to_icrs",
    "same_celestial_frame",
]

PointMap = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""Function of two coordinate arrays that gives two coordinate arrays."""

_CYLINDRICAL = frozenset({"CAR", "CEA", "MER", "CYP"})
_NEWTON_STEPS = 20
_NEWTON_STEP_PIX = 0.01  # of the difference quotient; a distortion is smooth over a hundredth of a pixel, and 1e3 px / 0.01 keeps 11 digits
_INVERSE_TOLERANCE_PIX = 1e-7
_DEG = math.pi / 180.0


def known_shape(wcs: WCS) -> tuple[int, int] | None:
    """``(ny, nx)`` that the WCS remembers from its header; None if it does not."""
    return None if wcs.pixel_shape is None else (int(wcs.pixel_shape[1]), int(wcs.pixel_shape[0]))


class SkyPixels:
    """Pixel positions of a WCS to its own longitude and latitude, and back; NaN where there is none.

    Holds a private copy of the WCS, because wcslib changes its struct while it computes and threads share the grid of a mosaic.
    The copy costs 0.02 ms.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Two celestial axes, in either order.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image (default: what the WCS knows of it). Needed only to choose among the repeats of a cylindrical projection
        whose pixels reach beyond +-180
        degrees
        of native longitude: positions are then given in the repeat nearest to the centre of the image.

    Attributes
    ----------
    system : CelestialSystem
        What longitude and latitude mean.

    Raises
    ------
    WcsError
        If the WCS does not have two celestial axes or cannot be inverted.
    """

    def __init__(self, wcs: WCS, shape: tuple[int, int] | None = None) -> None:
        prepared(wcs)
        self._wcs = copy.deepcopy(wcs)
        prm = self._wcs.wcs
        prm.set()
        self._prm = prm
        self._lng, self._lat = int(prm.lng), int(prm.lat)
        self.system = system_of(prm)
        self._distorted = bool(wcs.sip is not None or wcs.cpdis1 or wcs.cpdis2 or wcs.det2im1 or wcs.det2im2)
        self._verify = bool(len(prm.get_pv())) or not _linear(prm)
        self._period: FloatArray | None = None
        self._cylindrical = str(prm.ctype[self._lng])[-3:] in _CYLINDRICAL or str(prm.ctype[self._lng])[5:8] in _CYLINDRICAL
        if self._cylindrical:
            prm.bounds_check(False, True)  # else pixels beyond +-180 degrees of native longitude, usual in all-sky maps, would be blank
            shape = known_shape(wcs) if shape is None else shape
            if shape is not None:
                self._set_period(shape)

    def _set_period(self, shape: tuple[int, int]) -> None:
        """Find the step in pixels that leads to the same sky, and the centre that repeats are chosen about."""
        matrix = np.diag(self._prm.get_cdelt()) @ self._prm.get_pc()
        step = np.zeros(2)
        step[self._lng] = 360.0
        self._period = np.linalg.solve(matrix, step)
        self._centre = np.array([(shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0])

    def to_sky(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Longitude and latitude in degrees at 0-based pixel positions."""
        shape = np.broadcast_shapes(np.shape(x), np.shape(y))
        lon, lat = self._to_sky(_columns(x, y, shape))
        return lon.reshape(shape), lat.reshape(shape)

    def _to_sky(self, pix: FloatArray) -> tuple[FloatArray, FloatArray]:
        if not len(pix):
            return np.empty(0), np.empty(0)
        if self._distorted:
            pix = self._wcs.pix2foc(pix, 0)
        found = _quiet(self._prm.p2s, pix, "world", "theta")
        world, theta = found
        lon, lat = world[:, self._lng], world[:, self._lat]
        if self._cylindrical:
            beyond = np.abs(theta) > 90.0 + 1e-9
            if beyond.any():
                lon, lat = np.where(beyond, np.nan, lon), np.where(beyond, np.nan, lat)
        return lon, lat

    def to_pixel(self, lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
        """0-based pixel positions at a longitude and latitude in degrees."""
        shape = np.broadcast_shapes(np.shape(lon), np.shape(lat))
        pix = self._to_pixel(_columns(lon, lat, shape))
        return pix[:, 0].reshape(shape), pix[:, 1].reshape(shape)

    def _to_pixel(self, sky: FloatArray) -> FloatArray:
        if not len(sky):
            return np.empty((0, 2))
        world = sky if self._lng == 0 else np.ascontiguousarray(sky[:, ::-1])
        (pix,) = _quiet(self._prm.s2p, world, "pixcrd")
        if self._verify:
            self._check(pix, sky)
        if self._distorted:
            focal = pix
            pix = _newton(lambda p, rows: focal[rows] - self._wcs.pix2foc(p, 0), focal)
        if self._period is not None:
            d = self._period
            pix = pix + np.rint((self._centre - pix) @ d / (d @ d))[:, None] * d
        return pix

    def _check(self, pix: FloatArray, sky: FloatArray) -> None:
        """Mend, in place, what wcslib's own inversion by iteration gets wrong.

        Positions that do not lead back to where they came from are blanked. The iteration also fails at single points among good ones (a few in
        100 000 of a TPV frame); these are found again from the solution for a point beside them.
        """
        lon, lat = sky.T
        aim = unit_vectors(lon, lat)
        scale = pixel_scale_arcsec(self._wcs) / 3600.0
        back = _quiet(self._prm.p2s, pix, "world")[0]
        found = unit_vectors(back[:, self._lng], back[:, self._lat])
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(aim - found).max(axis=0) <= 1e-5 * scale * _DEG + 1e-14)
        wrong &= np.isfinite(sky).all(axis=1)
        if not wrong.any():
            return
        pix[wrong] = np.nan
        near = np.stack([lon[wrong], lat[wrong] - np.copysign(1.7 * scale, lat[wrong])], axis=1)
        start = _quiet(self._prm.s2p, near if self._lng == 0 else np.ascontiguousarray(near[:, ::-1]), "pixcrd")[0]
        a, d = lon[wrong] * _DEG, lat[wrong] * _DEG
        east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)])
        north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
        aim = aim[:, wrong]

        def residual(p: FloatArray, rows: IntArray) -> FloatArray:
            world = _quiet(self._prm.p2s, p, "world")[0]
            missing = (aim[:, rows] - unit_vectors(world[:, self._lng], world[:, self._lat])) / (scale * _DEG)
            missing[:, np.abs(missing).max(axis=0) > 1.0 / (scale * _DEG)] = np.nan  # else the antipode would do as well
            return np.stack([(east[:, rows] * missing).sum(axis=0), (north[:, rows] * missing).sum(axis=0)], axis=1)

        pix[wrong] = _newton(residual, start)


def _linear(prm: Any) -> bool:
    """Whether intermediate world coordinates are linear in the pixels.

    If not, wcslib holds a distortion (TPV, or TAN with PV, neither of which shows in its CTYPE and PV any more) and inverts it by iteration.
    """
    pix = prm.crpix + np.array([[0.0, 0.0], [1000.0, 0.0], [0.0, 1000.0], [-700.0, 300.0]])
    plane = prm.p2s(pix, 1)["imgcrd"]
    matrix = np.diag(prm.get_cdelt()) @ prm.get_pc()
    return bool(np.abs(plane - (pix - prm.crpix) @ matrix.T).max() <= 1e-6 * np.abs(matrix).max())


def _columns(a: FloatArray, b: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Two coordinate arrays as the columns of one contiguous array."""
    out = np.empty((math.prod(shape), 2))
    out[:, 0] = np.broadcast_to(np.asarray(a, float), shape).ravel()
    out[:, 1] = np.broadcast_to(np.asarray(b, float), shape).ravel()
    return out


def _quiet(function: Callable[..., dict[str, AnyArray]], points: FloatArray, *keys: str) -> tuple[FloatArray, ...]:
    """Call wcslib on points; where one point makes the whole call fail, find it by halving and give NaN for it alone."""
    from astropy.wcs import WcsError as WcslibError

    try:
        found = function(points, 0)
    except WcslibError:
        if len(points) == 1:
            return tuple(np.full((1, 2) if key in ("world", "pixcrd") else 1, np.nan) for key in keys)
        half = len(points) // 2
        first, second = _quiet(function, points[:half], *keys), _quiet(function, points[half:], *keys)
        return tuple(np.concatenate(pair) for pair in zip(first, second, strict=True))
    return tuple(found[key] for key in keys)


def _newton(residual: Callable[[FloatArray, IntArray], FloatArray], start: FloatArray) -> FloatArray:
    """Positions where `residual` vanishes, by Newton's method from `start`, shape (n, 2); NaN where it does not get below 1e-7 pixels.

    ``residual(positions, rows)`` gives what is missing, in pixels, for positions that belong to rows of `start`. The fixed-point iteration that
    is usual for SIP needs many steps, or diverges, where the distortion changes fast; Newton's method needs three or four.
    """
    pix = start.copy()
    todo = np.flatnonzero(np.isfinite(start).all(axis=1))
    done = np.zeros(len(start), bool)
    h = _NEWTON_STEP_PIX
    along_x, along_y = np.array([h, 0.0]), np.array([0.0, h])
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_STEPS):
            p, n = pix[todo], len(todo)
            if not n:
                break
            r = residual(np.concatenate([p, p + along_x, p + along_y]), np.tile(todo, 3))
            rx, ry = r[:n].T
            a, c = (r[:n] - r[n : 2 * n]).T / h
            b, d = (r[:n] - r[2 * n :]).T / h
            det = a * d - b * c
            step = np.stack([(d * rx - b * ry) / det, (a * ry - c * rx) / det], axis=1)
            size = np.abs(step).max(axis=1)
            closed = np.maximum(np.abs(rx), np.abs(ry)) < _INVERSE_TOLERANCE_PIX
            pix[todo] = p + step
            finished = closed & (size < _INVERSE_TOLERANCE_PIX)
            done[todo[finished]] = True
            todo = todo[~finished & np.isfinite(size)]
    pix[~done] = np.nan
    return pix


def celestial_transform(
    source: WCS, target: WCS, *, source_shape: tuple[int, int] | None = None, target_shape: tuple[int, int] | None = None
) -> PointMap:
    """Exact map of 0-based pixel positions of one WCS onto those of another.

    Parameters
    ----------
    source, target : astropy.wcs.WCS
        Two celestial axes each, in either order, with any projection and distortion that astropy reads.
    source_shape, target_shape : tuple of int, optional
        ``(ny, nx)`` of the images, see `SkyPixels`.

    Returns
    -------
    callable
        ``f(x, y) -> (u, v)``, arrays of any one shape. NaN where a position is off the sky of `source`, not seen by `target`, or where
        the distortion of `target` cannot be inverted (every inversion is checked by its round trip).

    Raises
    ------
    WcsError
        If a WCS is not celestial, or the systems differ and one is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> a = WCS(naxis=2)
    >>> a.wcs.ctype, a.wcs.cdelt, a.wcs.crpix = ["RA---TAN", "DEC--TAN"], [-0.01, 0.01], [1, 1]
    >>> b = a.deepcopy()
    >>> b.wcs.crpix = [11, 1]
    >>> u, v = celestial_transform(a, b)(np.array([5.0]), np.array([7.0]))
    >>> round(float(u[0]), 6), round(float(v[0]), 6)
    (15.0, 7.0)
    """
    one, two = SkyPixels(source, source_shape), SkyPixels(target, target_shape)
    change = frame_change(one.system, two.system)

    def transform(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        lon, lat = one.to_sky(x, y)
        if change is not None:
            lon, lat = change(lon, lat)
        return two.to_pixel(lon, lat)

    return transform


def pixel_to_icrs(wcs: WCS, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination (ICRS, degrees) at 0-based pixel positions; NaN off the sky."""
    sky = SkyPixels(wcs)
    lon, lat = sky.to_sky(x, y)
    change = frame_change(sky.system, ICRS)
    return (lon, lat) if change is None else change(lon, lat)


def icrs_to_pixel(wcs: WCS, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """0-based pixel positions of ICRS coordinates in degrees; NaN where the WCS does not see them."""
    sky = SkyPixels(wcs)
    change = frame_change(ICRS, sky.system)
    return sky.to_pixel(ra, dec) if change is None else sky.to_pixel(*change(ra, dec))


def pixel_scale_arcsec(wcs: WCS) -> float:
    """Side of a pixel in arcsec at the reference pixel, oblong pixels counting as square ones of the same area.

    Distortions that wcslib applies (TPV) count, SIP does not: it has no linear term.

    Raises
    ------
    WcsError
        If the WCS is not celestial.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---SIN", "DEC--SIN"], [-1 / 3600, 4 / 3600]
    >>> round(pixel_scale_arcsec(wcs), 9)
    2.0
    """
    prm = prepared(wcs)
    x, y = prm.crpix
    plane = prm.p2s(np.array([[x, y], [x + 1.0, y], [x, y + 1.0]]), 1)["imgcrd"]
    (a, b), (c, d) = plane[1] - plane[0], plane[2] - plane[0]
    if not math.isfinite(a * d - b * c):  # ZPN polynomials may not reach the reference pixel
        a, b, c, d = (np.diag(prm.get_cdelt()) @ prm.get_pc()).ravel()
    return 3600.0 * math.sqrt(abs(a * d - b * c))


def _perimeter(shape: tuple[int, int], per_edge: int) -> tuple[FloatArray, FloatArray]:
    """Points along the outer edge of an image, `per_edge` a side, each side starting at a corner, in Montage's order of corners."""
    ny, nx = shape
    t = np.arange(per_edge) / per_edge
    low, x1, y1 = -0.5, nx - 0.5, ny - 0.5
    x = np.concatenate([np.full(per_edge, low), low + nx * t, np.full(per_edge, x1), x1 - nx * t])
    y = np.concatenate([low + ny * t, np.full(per_edge, y1), y1 - ny * t, np.full(per_edge, low)])
    return x, y


def frame_footprint(wcs: WCS, shape: tuple[int, int], *, points_per_edge: int = 4) -> Footprint:
    """Outline of a frame on the sky along the outer edges of its pixels.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        WCS of the frame.
    shape : tuple of int
        ``(ny, nx)``.
    points_per_edge : int
        Vertices a side (1: the corners only). Four draw the curved edges of a 10 degree frame to a few hundredths of a degree.

    Returns
    -------
    Footprint
        ``4 * points_per_edge`` vertices in ICRS; NaN where the frame reaches beyond the sky.
    """
    lon, lat = pixel_to_icrs(wcs, *_perimeter(shape, points_per_edge))
    return Footprint(lon=lon, lat=lat)


def centre_and_corners(wcs: WCS, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Centre and outer corners of a frame in ICRS, as Montage's image table lists them.

    The centre is that of the frame, ``((nx - 1) / 2, (ny - 1) / 2)``, and the corners are the outer corners of the corner pixels. (mImgtbl
    gives
    a point half a pixel off for the centre, and in version 6.0 corners one pixel off.)

    Returns
    -------
    centre : ndarray, shape (2,)
        Longitude and latitude in degrees.
    corners : ndarray, shape (4, 2)
        In Montage's order: first column and row, first column and last row, last column and row, last column and first row.
    """
    ny, nx = shape
    x, y = _perimeter(shape, 1)
    points = np.stack(pixel_to_icrs(wcs, np.append(x, (nx - 1) / 2.0), np.append(y, (ny - 1) / 2.0)), axis=1)
    return points[4], points[:4]
