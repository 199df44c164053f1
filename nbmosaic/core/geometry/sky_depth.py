"""How many frames see each place of a coarse grid, from their coordinates alone: no pixel is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import BoolArray
from nbmosaic.core.geometry.sky import celestial_transform
from nbmosaic.types.frame import MosaicGrid

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["frame_on_grid"]


def frame_on_grid(grid: MosaicGrid, wcs: WCS, shape: tuple[int, int]) -> BoolArray:
    """Whether the centre of each pixel of a grid lies on a frame.

    Parameters
    ----------
    grid : MosaicGrid
        The grid, coarse enough that every pixel of it may be asked for.
    wcs : astropy.wcs.WCS
        Coordinates of the frame.
    shape : tuple of int
        ``(ny, nx)`` of the frame.

    Returns
    -------
    ndarray of bool, shape of the grid
        True within the outer edges of the frame's pixels.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [-0.01, 0.01], [1, 1]
    >>> frame_on_grid(MosaicGrid(wcs, (1, 4)), wcs, (1, 2)).tolist()
    [[True, True, False, False]]
    """
    y, x = np.indices(grid.shape, dtype=float)
    u, v = celestial_transform(grid.wcs, wcs, source_shape=grid.shape, target_shape=shape)(x.ravel(), y.ravel())
    ny, nx = shape
    with np.errstate(invalid="ignore"):
        on: BoolArray = (u >= -0.5) & (u < nx - 0.5) & (v >= -0.5) & (v < ny - 0.5)
    return on.reshape(grid.shape)
