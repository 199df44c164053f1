"""The output grid of a mosaic exposure: which piece sets it, the plain tangent plane that it becomes, and where the pieces lie on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.sky import SkyPixels, celestial_transform
from nbmosaic.core.geometry.systems import frame_change, prepared
from nbmosaic.errors import InputError, WcsError
from nbmosaic.types.box import PixelBox

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = [
    "corner_limits",
    "grid_points",
    "points_box",
    "reference_piece",
    "section_box",
    "set_grid",
    "sky_points",
    "tangent_angle",
    "tangent_grid",
]

_ZENITHAL = frozenset({"TAN", "TPV", "TPD", "TNX", "ZPX", "ZPN", "SIN", "ARC", "STG", "ZEA", "AZP", "SZP", "AIR"})
"""Projections whose reference point is the tangent point."""


def tangent_grid(wcs: WCS, shape: tuple[int, int]) -> WCS:
    """Plain tangent plane of an image: its reference point and linear matrix, without distortion.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Two celestial axes, any projection.
    shape : tuple of int
        ``(ny, nx)`` of the image.

    Returns
    -------
    astropy.wcs.WCS
        TAN (no SIP, no PV), longitude first, in the same celestial system. Of a zenithal projection CRVAL, CRPIX and the matrix are kept; of another
        one the tangent point is the centre of the image, with the matrix that the projection has there.

    Raises
    ------
    WcsError
        If the WCS is not celestial, or undefined at the centre of the image.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.crpix = ["RA---SIN", "DEC--SIN"], [-0.01, 0.01], [7.25, 3.0]
    >>> plain = tangent_grid(wcs, (10, 10))
    >>> plain.wcs.ctype[0], [float(value) for value in plain.wcs.crpix]
    ('RA---TAN', [7.25, 3.0])
    """
    prm = prepared(wcs)
    lng, lat = int(prm.lng), int(prm.lat)
    if str(prm.ctype[lng])[5:8] in _ZENITHAL:
        matrix = (np.diag(prm.get_cdelt()) @ prm.get_pc())[[lng, lat]]
        crval, crpix = (float(prm.crval[lng]), float(prm.crval[lat])), (float(prm.crpix[0]), float(prm.crpix[1]))
        return _tangent_wcs(wcs, crval, crpix, matrix, lonpole=float(prm.lonpole))
    y, x = (shape[0] - 1) / 2.0, (shape[1] - 1) / 2.0
    lon, lat_deg = SkyPixels(wcs, shape).to_sky(np.array([x]), np.array([y]))
    if not np.isfinite(lon).all():
        raise WcsError("the WCS is undefined at the centre of the image", hint="give a reference image or a template")
    centre = (float(lon[0]), float(lat_deg[0]))
    unit = _tangent_wcs(wcs, centre, (1.0, 1.0), np.eye(2))
    u, v = celestial_transform(wcs, unit, source_shape=shape)(np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5]))
    matrix = np.array([[u[1] - u[0], u[3] - u[2]], [v[1] - v[0], v[3] - v[2]]])
    return _tangent_wcs(wcs, centre, (x + 1.0, y + 1.0), matrix)


def _tangent_wcs(like: WCS, crval: tuple[float, float], crpix: tuple[float, float], matrix: FloatArray, lonpole: float = 180.0) -> WCS:
    """TAN in the celestial system of another WCS."""
    from astropy.wcs import WCS

    prm = like.wcs
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"{str(prm.ctype[int(axis)])[:5]}TAN" for axis in (prm.lng, prm.lat)]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cd = crval, crpix, matrix
    if lonpole != 180.0 and math.isfinite(lonpole) and crval[1] < 90.0:
        wcs.wcs.lonpole = lonpole
    if str(prm.radesys):
        wcs.wcs.radesys = str(prm.radesys)
    if math.isfinite(prm.equinox):
        wcs.wcs.equinox = float(prm.equinox)
    wcs.wcs.set()
    return wcs


def reference_piece(pieces: Sequence[tuple[WCS, tuple[int, int]]]) -> int:
    """Number of the piece nearest to its own tangent point, in its own pixels; the first of several at the same distance.

    Parameters
    ----------
    pieces : sequence of (WCS, (ny, nx))
        At least one.

    Returns
    -------
    int
        Place in `pieces`.
    """
    best, nearest = math.inf, 0
    for number, (wcs, (ny, nx)) in enumerate(pieces):
        prm = prepared(wcs)
        lon, lat = np.array([prm.crval[int(prm.lng)]], float), np.array([prm.crval[int(prm.lat)]], float)
        x, y = (float(value[0]) for value in SkyPixels(wcs, (ny, nx)).to_pixel(lon, lat))
        if not (math.isfinite(x) and math.isfinite(y)):  # a distortion polynomial far from its piece: the linear terms alone
            x, y = float(prm.crpix[0]) - 1.0, float(prm.crpix[1]) - 1.0
        distance = (x - min(max(x, 0.0), nx - 1.0)) ** 2 + (y - min(max(y, 0.0), ny - 1.0)) ** 2
        if distance < best:
            best, nearest = distance, number
    return nearest


def set_grid(
    wcs: WCS, *, centre: tuple[float | None, float | None] = (None, None), scale_arcsec: float | None = None, rotation: float | None = None
) -> WCS:
    """Tangent plane with another centre, scale or rotation; what is not given is taken from `wcs`.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        A plane of `tangent_grid`.
    centre : tuple of float, optional
        Longitude and latitude of the tangent point in degrees.
    scale_arcsec : float, optional
        Side of a pixel.
    rotation : float, optional
        Rotation in degrees, as CROTA2: the columns run up to position angle minus `rotation`.

    Returns
    -------
    astropy.wcs.WCS
        Longitude grows to the left; the tangent point lies in the middle of a pixel (CRPIX is 0, to be moved by whole pixels).

    Raises
    ------
    InputError
        The scale is not positive.
    """
    cd = np.asarray(wcs.wcs.cd, float)
    scale = 3600.0 * math.sqrt(abs(cd[0, 1] * cd[1, 0]) + abs(cd[0, 0] * cd[1, 1])) if scale_arcsec is None else float(scale_arcsec)
    angle = math.degrees(math.atan2(-cd[0, 1], cd[1, 1])) if rotation is None else float(rotation)
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(angle)):
        raise InputError(f"the scale must be positive, not {scale}", hint="give it in arcsec per pixel")
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    lon = float(wcs.wcs.crval[0]) if centre[0] is None else centre[0] % 360.0
    lat = float(wcs.wcs.crval[1]) if centre[1] is None else centre[1]
    if not -90.0 <= lat <= 90.0:
        raise InputError(f"the latitude of the centre cannot be {lat}", hint="it lies between -90 and 90 degrees")
    return _tangent_wcs(wcs, (lon, lat), (0.0, 0.0), scale / 3600.0 * np.array([[-cos, -sin], [-sin, cos]]))


def tangent_angle(plane: WCS, x: FloatArray, y: FloatArray) -> float:
    """Largest angle in degrees between positions on a tangent plane and its tangent point.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [-1.0, 1.0], [1, 1]
    >>> round(tangent_angle(tangent_grid(wcs, (9, 9)), np.array([0.0, 57.29578]), np.array([0.0, 0.0])), 4)
    45.0
    """
    prm = plane.wcs
    matrix = np.diag(prm.get_cdelt()) @ prm.get_pc()
    offsets = matrix @ np.stack([x + 1.0 - prm.crpix[0], y + 1.0 - prm.crpix[1]])
    return math.degrees(math.atan(math.radians(float(np.nanmax(np.hypot(*offsets))))))


def section_box(shape: tuple[int, int], trim: int) -> PixelBox:
    """Pixels of an image that are left after `trim` rows and columns are cut from every side.

    Raises
    ------
    InputError
        Fewer than 2 rows or columns are left.

    Examples
    --------
    >>> section_box((100, 60), 8)
    PixelBox(ymin=8, ymax=92, xmin=8, xmax=52)
    """
    if trim < 0 or min(shape) - 2 * trim < 2:
        raise InputError(
            f"trim {trim} leaves nothing of a piece of {shape[1]} x {shape[0]} pixels", hint=f"use at most {(min(shape) - 2) // 2}"
        )
    return PixelBox(trim, shape[0] - trim, trim, shape[1] - trim)


def grid_points(section: PixelBox, nx: int, ny: int) -> tuple[FloatArray, FloatArray]:
    """Columns and rows of a mesh of `nx` by `ny` points over a section, corners included, x fastest; 0-based pixels of the image."""
    x = np.linspace(section.xmin, section.xmax - 1, nx)
    y = np.linspace(section.ymin, section.ymax - 1, ny)
    return np.tile(x, ny), np.repeat(y, nx)


def sky_points(
    wcs: WCS, grid: WCS, x: FloatArray, y: FloatArray, *, shape: tuple[int, int] | None = None, digits: tuple[int, int] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Positions on a grid of positions of an image.

    Parameters
    ----------
    wcs, grid : astropy.wcs.WCS
        Of the image and of the grid.
    x, y : ndarray
        0-based pixel positions.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image.
    digits : tuple of int, optional
        Decimals of a second of time and of a second of arc to which longitude and latitude are rounded on the way, as programs do that pass them
        on as text; None: not rounded.

    Returns
    -------
    u, v : ndarray
        0-based positions on the grid.
    """
    one, two = SkyPixels(wcs, shape), SkyPixels(grid)
    lon, lat = one.to_sky(x, y)
    if digits is not None:
        time, arc = 10.0 ** digits[0], 10.0 ** digits[1]
        lon, lat = np.rint(lon * (240.0 * time)) / (240.0 * time), np.rint(lat * (3600.0 * arc)) / (3600.0 * arc)
    change = frame_change(one.system, two.system)
    if change is not None:
        lon, lat = change(lon, lat)
    return two.to_pixel(lon, lat)


def points_box(u: FloatArray, v: FloatArray) -> PixelBox:
    """Pixels from the whole pixel nearest to 1.5 below the lowest position to that nearest to 1.5 above the highest.

    Halves are rounded away from zero, with 1 for the first pixel of the grid.

    Raises
    ------
    WcsError
        The grid does not see a position.
    """
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        raise WcsError("the output grid does not see all of a piece", hint="choose a reference nearer to the exposure")
    low_x, low_y = _nint(float(u.min()) + 1.0 - 1.5), _nint(float(v.min()) + 1.0 - 1.5)
    high_x, high_y = _nint(float(u.max()) + 1.0 + 1.5), _nint(float(v.max()) + 1.0 + 1.5)
    return PixelBox(low_y - 1, high_y, low_x - 1, high_x)


def _nint(value: float) -> int:
    """Nearest whole number, halves away from zero."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(0.5 - value)


def corner_limits(pieces: Sequence[tuple[WCS, tuple[int, int]]], grid: WCS) -> PixelBox:
    """Pixels of an output that is sized by four corners: those of all pieces with the extreme standard coordinates.

    This is the rule of the older mscimage. On a grid that is turned against the pieces other corners may lie outside of the box.
    """
    prm = grid.wcs
    plane = _tangent_wcs(grid, (float(prm.crval[0]), float(prm.crval[1])), (1.0, 1.0), np.eye(2), lonpole=float(prm.lonpole))
    xi: list[FloatArray] = []
    eta: list[FloatArray] = []
    u: list[FloatArray] = []
    v: list[FloatArray] = []
    for wcs, (ny, nx) in pieces:
        x, y = np.array([0.0, 0.0, nx - 1.0, nx - 1.0]), np.array([0.0, ny - 1.0, 0.0, ny - 1.0])
        a, b = celestial_transform(wcs, plane, source_shape=(ny, nx))(x, y)
        c, d = celestial_transform(wcs, grid, source_shape=(ny, nx))(x, y)
        for values, new in ((xi, a), (eta, b), (u, c), (v, d)):
            values.append(new)
    columns, rows = np.concatenate(u), np.concatenate(v)
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise WcsError("the output grid does not see all of a piece", hint="choose a reference nearer to the exposure")
    across, along = np.concatenate(xi), np.concatenate(eta)
    chosen = [int(np.argmin(across)), int(np.argmax(across)), int(np.argmin(along)), int(np.argmax(along))]
    columns, rows = columns[chosen] + 1.0, rows[chosen] + 1.0
    shift_x, shift_y = _nint(1.5 - float(columns.min())), _nint(1.5 - float(rows.min()))
    nx, ny = _nint(float(columns.max()) + shift_x + 0.5), _nint(float(rows.max()) + shift_y + 0.5)
    return PixelBox(-shift_y, ny - shift_y, -shift_x, nx - shift_x)
