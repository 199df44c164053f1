"""Parts of images as Montage cuts and lists them: whole pixels, counted from 1, rounded by its rules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.geometry.j2000 import j2000_to_pixel, pixel_to_j2000
from nbmosaic.core.geometry.sky_regions import crossings, inside, oriented, sky_vectors

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.types import MosaicGrid

__all__ = ["PixelRange", "RegionOnFrame", "centred_range", "content_range", "images_on_grid", "listed_range", "region_on_frame"]

_EDGE = 17  # points along each side of an image
_GRID = 33  # points along each side of a template


class PixelRange(NamedTuple):
    """First and last column and row, counted from 1; both belong to the part."""

    x0: int
    x1: int
    y0: int
    y1: int

    def within(self, shape: tuple[int, int]) -> PixelRange | None:
        """The part of it on an image of shape ``(ny, nx)``; None where it lies off the image."""
        ny, nx = shape
        if self.x1 < 1 or self.y1 < 1 or self.x0 > nx or self.y0 > ny:
            return None
        return PixelRange(max(self.x0, 1), min(self.x1, nx), max(self.y0, 1), min(self.y1, ny))


def centred_range(x: float, y: float, xsize: float, ysize: float) -> PixelRange:
    """Pixels of a box about a position, by the rule of mSubimage.

    Parameters
    ----------
    x, y : float
        Centre, pixels from 1.
    xsize, ysize : float
        Sides in pixels.

    Returns
    -------
    PixelRange
        From the truncated lower edge on, as many columns as the side truncated, and one more.

    Examples
    --------
    >>> centred_range(10.0, 20.0, 4.0, 5.0)
    PixelRange(x0=8, x1=13, y0=17, y1=23)
    """
    x0, y0 = int(x - xsize / 2.0), int(y - ysize / 2.0)
    return PixelRange(x0, x0 + math.floor(xsize + 1.0), y0, y0 + math.floor(ysize + 1.0))


def listed_range(x: float, y: float, xsize: float, ysize: float) -> PixelRange:
    """Pixels of a box from its first one, by the rule of mSubimage: truncated there, and rounded at the far end.

    Examples
    --------
    >>> listed_range(3.0, 4.0, 5.0, 6.6)
    PixelRange(x0=3, x1=8, y0=4, y1=11)
    """
    return PixelRange(int(x), int(x + xsize + 0.5), int(y), int(y + ysize + 0.5))


def content_range(good: BoolArray) -> PixelRange | None:
    """Smallest box that holds all good pixels; None where there are none.

    Examples
    --------
    >>> content_range(np.array([[False, False, False], [False, True, True]]))
    PixelRange(x0=2, x1=3, y0=2, y1=2)
    """
    rows, columns = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
    if not len(rows):
        return None
    return PixelRange(int(columns[0]) + 1, int(columns[-1]) + 1, int(rows[0]) + 1, int(rows[-1]) + 1)


class RegionOnFrame(NamedTuple):
    """The part of a frame inside a region of the sky, as mCoverageCheck lists it.

    Attributes
    ----------
    first : tuple of int
        ``(column, row)`` that becomes the first one, counted from 1.
    shape : tuple of int
        ``(ny, nx)``.
    sky : ndarray, shape (5, 2)
        J2000 degrees of the corners (lower left, lower right, upper right, upper left) and of the centre.
    """

    first: tuple[int, int]
    shape: tuple[int, int]
    sky: FloatArray


def region_on_frame(wcs: WCS, shape: tuple[int, int], region: FloatArray) -> RegionOnFrame | None:
    """Find the pixels of a frame that a convex region covers.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        The frame.
    shape : tuple of int
        ``(ny, nx)`` of it.
    region : ndarray, shape (n, 3)
        Corners of the region in order, unit vectors in J2000.

    Returns
    -------
    RegionOnFrame or None
        From the truncated lower edge of the common polygon to its truncated upper edge, on the frame; None where no whole pixel is.
    """
    ny, nx = shape
    px, py = np.array([-0.5, -0.5, nx - 0.5, nx - 0.5]), np.array([-0.5, ny - 0.5, ny - 0.5, -0.5])
    quad = oriented(sky_vectors(*pixel_to_j2000(wcs, px, py, shape)))
    cross, place = crossings(region, quad)
    points = np.concatenate([region[inside(quad, region)], quad[inside(region, quad)], place[cross]])
    if not len(points):
        return None
    lon, lat = np.degrees(np.arctan2(points[:, 1], points[:, 0])), np.degrees(np.arcsin(np.clip(points[:, 2], -1, 1)))
    x, y = (v + 1.0 for v in j2000_to_pixel(wcs, lon, lat, shape))
    x0, x1, y0, y1 = float(x.min()), float(x.max()), float(y.min()), float(y.max())
    if not all(math.isfinite(v) for v in (x0, x1, y0, y1)):
        return None
    first = min(max(int(x0), 1), nx), min(max(int(y0), 1), ny)
    size = min(int(y1 + 1.0), ny) - first[1], min(int(x1 + 1.0), nx) - first[0]
    if min(size) <= 0:
        return None
    corner_x, corner_y = np.array([x0, x1, x1, x0, (x0 + x1) / 2]) - 1.0, np.array([y0, y0, y1, y1, (y0 + y1) / 2]) - 1.0
    return RegionOnFrame(first, size, np.stack(pixel_to_j2000(wcs, corner_x, corner_y, shape), axis=1))


def images_on_grid(quads: FloatArray, grid: MosaicGrid, offset: tuple[float, float] = (0.0, 0.0)) -> BoolArray:
    """Whether images have a point on a grid, or the grid one on them.

    Parameters
    ----------
    quads : ndarray, shape (n, 4, 3)
        Corners of the images in order, unit vectors in J2000.
    grid : MosaicGrid
        The grid.
    offset : tuple of float
        Pixel ``(x, y)`` of the grid that counts as its first.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    ny, nx = grid.shape
    t = np.linspace(0.0, 1.0, _EDGE)[:-1]
    edges = quads[:, :, None, :] * (1 - t)[:, None] + np.roll(quads, -1, axis=1)[:, :, None, :] * t[:, None]
    points = np.concatenate([edges.reshape(len(quads), -1, 3), quads.mean(axis=1, keepdims=True)], axis=1)
    lon, lat = (
        np.degrees(np.arctan2(points[..., 1], points[..., 0])),
        np.degrees(np.arctan2(points[..., 2], np.hypot(points[..., 0], points[..., 1]))),
    )
    x, y = j2000_to_pixel(grid.wcs, lon, lat, grid.shape)
    x, y = x - offset[0], y - offset[1]
    hit = ((x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)).any(axis=1)
    yy, xx = np.meshgrid(np.linspace(-0.5, ny - 0.5, _GRID) + offset[1], np.linspace(-0.5, nx - 0.5, _GRID) + offset[0], indexing="ij")
    lattice = sky_vectors(*pixel_to_j2000(grid.wcs, xx.ravel(), yy.ravel(), grid.shape))
    lattice = lattice[np.isfinite(lattice).all(axis=1)]
    return np.asarray(hit | inside(quads, np.broadcast_to(lattice, (len(quads), *lattice.shape))).any(axis=1))
