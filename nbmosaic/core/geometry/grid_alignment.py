"""How far two pixel grids are from each other on the sky, steps of a grid, and grids moved by parts of a pixel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.sky import SkyPixels, frame_change
from nbmosaic.core.geometry.systems import ICRS, unit_vectors
from nbmosaic.errors import InputError, WcsError

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["grid_distance_arcsec", "moved_wcs", "pixel_steps_arcsec", "sky_jacobian"]

_DEG = math.pi / 180.0


def _vectors(wcs: WCS, x: FloatArray, y: FloatArray) -> FloatArray:
    """Unit vectors (ICRS) of pixel positions, shape (3, n)."""
    sky = SkyPixels(wcs)
    lon, lat = sky.to_sky(x, y)
    change = frame_change(sky.system, ICRS)
    if change is not None:
        lon, lat = change(lon, lat)
    return unit_vectors(np.ravel(lon), np.ravel(lat))


def grid_distance_arcsec(one: WCS, other: WCS, shape: tuple[int, int]) -> float:
    """Largest distance on the sky between equal pixels of two grids, over the corners, the middles of the sides and the centre.

    Parameters
    ----------
    one, other : astropy.wcs.WCS
        The grids.
    shape : tuple of int
        ``(ny, nx)`` of both.

    Returns
    -------
    float
        arcsec; infinite where one of them sees no sky.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> one = WCS(naxis=2)
    >>> one.wcs.ctype, one.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-1 / 3600, 1 / 3600]
    >>> other = moved_wcs(one, 0.25, 0.0)
    >>> round(grid_distance_arcsec(one, other, (10, 10)), 6)
    0.25
    """
    ny, nx = shape
    y, x = (axis.ravel() for axis in np.meshgrid([0.0, 0.5 * (ny - 1), ny - 1.0], [0.0, 0.5 * (nx - 1), nx - 1.0], indexing="ij"))
    chord = np.sqrt(((_vectors(one, x, y) - _vectors(other, x, y)) ** 2).sum(axis=0))
    distance = 2.0 * np.arcsin(np.minimum(0.5 * chord, 1.0)) / _DEG * 3600.0
    return float(distance.max()) if np.isfinite(distance).all() else math.inf


def sky_jacobian(wcs: WCS, shape: tuple[int, int]) -> FloatArray:
    """What a step of one pixel at the centre of an image is on the sky.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Its WCS.
    shape : tuple of int
        ``(ny, nx)``.

    Returns
    -------
    ndarray, shape (2, 2)
        Arcsec, true angles: ``[[east of dx, east of dy], [north of dx, north of dy]]`` in ICRS.

    Raises
    ------
    WcsError
        The centre of the image is off the sky.

    Notes
    -----
    imphot turns offsets into right ascension as a difference of coordinates, too large by 1 / cos(dec) for an angle, and maps errors as if they were
    offsets: with this matrix J, offsets are J d, and their covariance J C J^T.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [-0.2 / 3600, 0.2 / 3600], [50, 60]
    >>> (sky_jacobian(wcs, (1, 1)).round(6) + 0.0).tolist()
    [[-0.2, 0.0], [0.0, 0.2]]
    """
    y0, x0 = 0.5 * (shape[0] - 1), 0.5 * (shape[1] - 1)
    h = 0.5
    x, y = np.array([x0, x0 - h, x0 + h, x0, x0]), np.array([y0, y0, y0, y0 - h, y0 + h])
    v = _vectors(wcs, x, y)
    if not np.isfinite(v).all():
        raise WcsError("the centre of the image is off its sky", hint="check its WCS")
    lon, z = math.atan2(v[1, 0], v[0, 0]), float(v[2, 0])
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array([-z * math.cos(lon), -z * math.sin(lon), math.sqrt(max(0.0, 1.0 - z * z))])
    steps = np.stack([v[:, 2] - v[:, 1], v[:, 4] - v[:, 3]], axis=1) / (2.0 * h)
    matrix: FloatArray = np.stack([east, north]) @ steps / _DEG * 3600.0
    matrix[np.abs(matrix) < 1e-9 * np.abs(matrix).max()] = 0.0
    return matrix


def pixel_steps_arcsec(wcs: WCS, shape: tuple[int, int]) -> tuple[float, float]:
    """Sides ``(dy, dx)`` of the pixel at the centre of an image, arcsec.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.25 / 3600, 0.2 / 3600]
    >>> [round(step, 6) for step in pixel_steps_arcsec(wcs, (10, 10))]
    [0.2, 0.25]
    """
    matrix = sky_jacobian(wcs, shape)
    return math.hypot(matrix[0, 1], matrix[1, 1]), math.hypot(matrix[0, 0], matrix[1, 0])


def moved_wcs(wcs: WCS, dx: float, dy: float) -> WCS:
    """Copy of a WCS whose sky is moved over the pixels: what was at pixel p is at p + (dx, dy).

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Not changed.
    dx, dy : float
        Pixels, added to CRPIX (also to that of SIP terms, which move along).

    Raises
    ------
    InputError
        The WCS has lookup tables of distortion.
    """
    if wcs.cpdis1 or wcs.cpdis2 or wcs.det2im1 or wcs.det2im2:
        raise InputError("a WCS with tables of distortion cannot be moved by its CRPIX", hint="correct the position by resampling")
    moved = wcs.deepcopy()
    moved.wcs.crpix = wcs.wcs.crpix + np.array([dx, dy])
    if wcs.sip is not None:
        moved.sip = type(wcs.sip)(wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, np.asarray(wcs.sip.crpix) + np.array([dx, dy]))
    moved.wcs.set()
    return moved
