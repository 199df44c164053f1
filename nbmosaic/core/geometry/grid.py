"""The grid of a mosaic: the smallest box of pixels that holds all frames."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.boxes import frame_extent
from nbmosaic.core.geometry.sky import SkyPixels, pixel_scale_arcsec
from nbmosaic.core.geometry.systems import CelestialSystem, frame_change, lonlat, unit_vectors
from nbmosaic.core.geometry.zenithal import Placed, Pose, enclosing_cone, least_area, recentred, upright
from nbmosaic.errors import InputError, WcsError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import MosaicGrid

if TYPE_CHECKING:
    from astropy.wcs import WCS


__all__ = ["PROJECTIONS", "SYSTEMS", "crop_grid", "fit_grid"]

Frames = Sequence[tuple["WCS", tuple[int, int]]]

SYSTEMS: dict[str, CelestialSystem] = {
    "icrs": CelestialSystem("icrs", 0.0),
    "fk5": CelestialSystem("fk5", 2000.0),
    "fk4": CelestialSystem("fk4", 1950.0),
    "galactic": CelestialSystem("galactic", 0.0),
    "ecliptic": CelestialSystem("ecliptic", 2000.0),
}
"""Celestial systems of a grid: FK5 of equinox J2000, FK4 of B1950, ecliptic of J2000."""

_WIDEST = {"TAN": 60.0, "SIN": 80.0, "STG": 150.0, "ARC": 179.0, "ZEA": 179.0}
"""Largest angle from the centre, in degrees; a gnomonic map stretches areas eightfold at 60 degrees."""

_SKY_SIZE = {"CAR": (360.0, 180.0), "AIT": (4.0 * math.sqrt(2.0) * 180.0 / math.pi, 2.0 * math.sqrt(2.0) * 180.0 / math.pi)}
"""Width and height of the whole sky in degrees."""

PROJECTIONS = (*_WIDEST, *_SKY_SIZE)
"""Projections that a grid can have."""

_EDGE = 13  # points an edge, ends included: the bulge between them is 1/144 of that of the edge, and half a second difference covers it
_ROUNDING_PIX = 1e-4  # a box wider than a whole number of pixels by less than this does not get another pixel
_POLE = 90.0 - 1e-8  # a reference point exactly at a pole would change the default of LONPOLE, which templates leave out
_DEG = math.pi / 180.0
_ARCSEC = _DEG / 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """What all grids need to know."""

    system: str
    projection: str
    scale: float
    pad: int
    max_size: int | None

    def sized(self, width: float, height: float) -> tuple[_Layout, tuple[int, int]]:
        """Shape ``(ny, nx)`` of a grid of a width and height in arcsec, and the layout with its final scale."""
        scale = self.scale
        if self.max_size is not None and max(width, height) / scale > self.max_size - 2 * self.pad:
            scale = max(width, height) / (self.max_size - 2 * self.pad)
        nx, ny = (max(1, math.ceil(side / scale - _ROUNDING_PIX)) + 2 * self.pad for side in (width, height))
        return replace(self, scale=scale), (ny, nx)


def fit_grid(
    frames: Frames,
    *,
    system: str = "icrs",
    scale_arcsec: float | None = None,
    north_up: bool = True,
    rotation: float | None = None,
    pad_pix: int = 0,
    max_size: int | None = None,
    projection: str = "TAN",
) -> MosaicGrid:
    """Fit the smallest grid round frames.

    The frames are held to the outer edges of their pixels, bulging edges included, with less than one pixel to spare on either axis.

    Parameters
    ----------
    frames : sequence of (WCS, (ny, nx))
        At least one.
    system : {"icrs", "fk5", "fk4", "galactic", "ecliptic"}
        Celestial system of the grid.
    scale_arcsec : float, optional
        Side of a pixel. Default: the median of the frames' scales. (The smallest, which mMakeHdr takes, lets a single odd frame, or a
        cylindrical one with oblong pixels, blow up the whole mosaic; the median does not care.)
    north_up : bool
        Rows run along the latitude of the centre. False: the grid is rotated to the rectangle of least area (by rotating calipers over the
        convex hull, as mMakeHdr).
    rotation : float, optional
        Rotation in degrees, as CROTA2; overrides `north_up`.
    pad_pix : int
        Pixels added on every side.
    max_size : int, optional
        Largest length of an axis in pixels; the scale is made coarser to keep it.
    projection : str
        TAN, SIN, STG, ARC or ZEA, about the best centre; CAR or AIT, with their reference point on the equator. Where the frames spread too
        far for the projection (60 degrees from the centre for TAN, 80 for SIN) the grid is that of the whole sky in AIT (or CAR where that
        was asked for), centred on longitude 0 and north up.

    Returns
    -------
    MosaicGrid
        CRPIX is ``(NAXIS + 1) / 2``, but for partial CAR and AIT grids, which keep their reference point on the equator, and for frames that
        lie at a pole so that no centre with north up is in their middle.

    Raises
    ------
    InputError
        If there is no frame or an option makes no sense.
    WcsError
        If a WCS is not celestial, or its system cannot be changed into that of the grid.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [-0.001, 0.001], [50.5, 25.5]
    >>> fit_grid([(wcs, (50, 100))]).shape
    (50, 100)
    """
    if not frames:
        raise InputError("no frames to fit a grid to", hint="give at least one")
    _check_options(system=system, scale=scale_arcsec, pad=pad_pix, max_size=max_size, projection=projection)
    scale = float(np.median([pixel_scale_arcsec(wcs) for wcs, _ in frames])) if scale_arcsec is None else float(scale_arcsec)
    if not (math.isfinite(scale) and scale > 0):
        raise WcsError("the frames have no usable pixel scale", hint="give the scale of the grid")
    edges = _edges(frames, SYSTEMS[system])
    whole = bool(np.isfinite(edges).all())
    centre, radius = enclosing_cone(edges[:, :, :, [0, _EDGE // 2]].reshape(3, -1)) if whole else (np.array([1.0, 0.0, 0.0]), 180.0)
    layout = _Layout(system=system, projection=projection, scale=scale, pad=pad_pix, max_size=max_size)
    if projection in _SKY_SIZE:
        return _equatorial(frames, layout, centre, rotation) if radius < 90.0 else _all_sky(layout, rotation)
    if radius > _WIDEST[projection]:
        return _all_sky(replace(layout, projection="AIT"), rotation)
    pose = Pose(0.0, 0.0, 0.0 if rotation is None else math.radians(rotation)).moved(centre, keep_angle=True)
    if rotation is None and not north_up:
        return _zenithal(layout, upright(recentred(edges, least_area(edges, pose, projection), projection, keep_angle=False)))
    return _zenithal(layout, recentred(edges, pose, projection, keep_angle=True))


def _check_options(*, system: str, scale: float | None, pad: int, max_size: int | None, projection: str) -> None:
    """Raise InputError for options that make no sense."""
    if system not in SYSTEMS:
        raise InputError(f"no celestial system {system!r}", hint=f"use {', '.join(SYSTEMS)}")
    if projection not in PROJECTIONS:
        raise InputError(f"no grid in projection {projection!r}", hint=f"use {', '.join(PROJECTIONS)}")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise InputError(f"the pixel scale must be positive, not {scale}", hint="give it in arcsec")
    if pad < 0:
        raise InputError(f"the padding must not be negative, not {pad}", hint="give it in pixels")
    if max_size is not None and max_size < 2 * pad + 1:
        raise InputError(f"a largest size of {max_size} pixels leaves nothing inside a padding of {pad}", hint="allow more or pad less")


def _edges(frames: Frames, system: CelestialSystem) -> FloatArray:
    """Unit vectors, in `system`, of points along the outer edges of all frames and one diagonal: shape (3, frames, 5, points).

    The diagonal tells a frame that holds most of the sky from one that holds the little that is left.
    """
    t = np.linspace(0.0, 1.0, _EDGE)
    low, one = np.zeros(_EDGE), np.ones(_EDGE)
    tx, ty = np.stack([t, one, 1.0 - t, low, t]), np.stack([low, t, one, 1.0 - t, t])
    out = np.empty((3, len(frames), 5, _EDGE))
    groups: dict[CelestialSystem, tuple[list[int], list[FloatArray], list[FloatArray]]] = {}
    for k, (wcs, (ny, nx)) in enumerate(frames):
        sky = SkyPixels(wcs, (ny, nx))
        lon, lat = sky.to_sky(tx * nx - 0.5, ty * ny - 0.5)
        rows, lons, lats = groups.setdefault(sky.system, ([], [], []))
        rows.append(k)
        lons.append(lon)
        lats.append(lat)
    for source, (rows, lons, lats) in groups.items():  # all frames of one system at once: astropy.coordinates costs a millisecond a call
        lon, lat = np.stack(lons), np.stack(lats)
        change = frame_change(source, system)
        if change is not None:
            lon, lat = change(lon, lat)
        out[:, rows] = unit_vectors(lon.ravel(), lat.ravel()).reshape(3, *lon.shape)
    return out


def _zenithal(layout: _Layout, placed: Placed) -> MosaicGrid:
    """Grid about the centre of a pose."""
    pose, size, middle = placed
    layout, shape = layout.sized(float(size[0]) / _ARCSEC, float(size[1]) / _ARCSEC)
    lon, lat = math.degrees(pose.lon) % 360.0, max(-_POLE, min(_POLE, math.degrees(pose.lat)))
    x, y = _middle(shape)
    crpix = (x - float(middle[0]) / _ARCSEC / layout.scale, y - float(middle[1]) / _ARCSEC / layout.scale)
    return MosaicGrid(_wcs(layout, (lon, lat), crpix, rotation_deg=math.degrees(pose.rotation), shape=shape), shape)


def _middle(shape: tuple[int, int]) -> tuple[float, float]:
    """CRPIX at the middle of a shape."""
    return (shape[1] + 1) / 2.0, (shape[0] + 1) / 2.0


def _all_sky(layout: _Layout, rotation: float | None) -> MosaicGrid:
    """Grid of the whole sky."""
    _refuse_rotation(layout.projection, rotation)
    width, height = _SKY_SIZE[layout.projection]
    layout, shape = layout.sized(3600.0 * width, 3600.0 * height)
    return MosaicGrid(_wcs(layout, (0.0, 0.0), _middle(shape), shape=shape), shape)


def _equatorial(frames: Frames, layout: _Layout, centre: FloatArray, rotation: float | None) -> MosaicGrid:
    """Part of a CAR or AIT map round the frames, with its reference point on the equator."""
    _refuse_rotation(layout.projection, rotation)
    lon = float(lonlat(centre[:, None])[0][0])
    trial = _wcs(layout, (lon, 0.0), (1.0, 1.0))
    limits = np.array([extent for wcs, shape in frames if (extent := frame_extent(trial, wcs, shape)) is not None])
    width, height = (side * 3600.0 / layout.scale for side in _SKY_SIZE[layout.projection])
    y0, y1 = max(limits[:, 0].min(), -height / 2.0), min(limits[:, 1].max(), height / 2.0)
    x0, x1 = max(limits[:, 2].min(), -width / 2.0), min(limits[:, 3].max(), width / 2.0)
    final, shape = layout.sized((x1 - x0) * layout.scale, (y1 - y0) * layout.scale)
    ratio = layout.scale / final.scale
    x, y = _middle(shape)
    return MosaicGrid(_wcs(final, (lon, 0.0), (x - (x0 + x1) / 2.0 * ratio, y - (y0 + y1) / 2.0 * ratio), shape=shape), shape)


def _refuse_rotation(projection: str, rotation: float | None) -> None:
    if rotation:
        raise InputError(f"a {projection} grid cannot be rotated by {rotation} degrees", hint="leave out the rotation")


def _wcs(
    layout: _Layout,
    crval: tuple[float, float],
    crpix: tuple[float, float],
    *,
    rotation_deg: float = 0.0,
    shape: tuple[int, int] | None = None,
) -> WCS:
    """Plain WCS of a grid."""
    from astropy.wcs import WCS

    system, step = layout.system, layout.scale / 3600.0
    wcs = WCS(naxis=2)
    prm = wcs.wcs
    lon, lat = {"galactic": ("GLON", "GLAT"), "ecliptic": ("ELON", "ELAT")}.get(system, ("RA--", "DEC-"))
    prm.ctype = [f"{lon}-{layout.projection}", f"{lat}-{layout.projection}"]
    prm.cunit = ["deg", "deg"]
    prm.crval, prm.crpix = crval, crpix
    prm.cdelt = [-step, step]
    if rotation_deg:
        cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
        prm.pc = [[cos, sin], [-sin, cos]]
    if system in ("icrs", "fk5", "fk4"):
        prm.radesys = system.upper()
    if SYSTEMS[system].equinox:
        prm.equinox = SYSTEMS[system].equinox
    prm.set()
    if shape is not None:
        wcs.pixel_shape = (shape[1], shape[0])
    return wcs


def crop_grid(grid: MosaicGrid, box: PixelBox) -> MosaicGrid:
    """Cut a box out of a grid, or extend the grid to it: the same pixels, counted from the first of the box.

    Parameters
    ----------
    grid : MosaicGrid
    box : PixelBox
        In pixels of `grid`; may reach beyond it.

    Returns
    -------
    MosaicGrid
        CRPIX (and the reference pixel of SIP) moved by whole pixels.

    Raises
    ------
    InputError
        If the box is empty.
    WcsError
        If the grid has distortion tables, which are tied to its own pixels.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10.5, 20.5]
    >>> part = crop_grid(MosaicGrid(wcs, (40, 20)), PixelBox(5, 15, -2, 8))
    >>> part.shape, [float(v) for v in part.wcs.wcs.crpix]
    ((10, 10), [12.5, 15.5])
    """
    if box.empty:
        raise InputError(f"an empty box cannot be cut out of a grid: {box}", hint="choose at least one pixel")
    wcs = copy.deepcopy(grid.wcs)
    if wcs.cpdis1 or wcs.cpdis2 or wcs.det2im1 or wcs.det2im2:
        raise WcsError("a grid with distortion tables cannot be cut", hint="use a grid without them")
    shift = np.array([box.xmin, box.ymin], float)
    wcs.wcs.crpix = wcs.wcs.crpix - shift
    if wcs.sip is not None:
        from astropy.wcs import Sip

        wcs.sip = Sip(wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, wcs.sip.crpix - shift)
    wcs.wcs.set()
    wcs.pixel_shape = (box.shape[1], box.shape[0])
    return MosaicGrid(wcs, box.shape)
