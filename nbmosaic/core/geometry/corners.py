"""Pixel corners of a frame on the grid of a mosaic, for exact overlap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.grid import crop_grid
from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap, fit_pixel_map
from nbmosaic.types import MosaicGrid, PixelBox

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["corner_map"]


def corner_map(frame: WCS, frame_shape: tuple[int, int], grid: MosaicGrid, box: PixelBox) -> PixelMap:
    """Map the pixel corners of a frame to the grid of a mosaic.

    Parameters
    ----------
    frame : astropy.wcs.WCS
        The frame.
    frame_shape : tuple of int
        ``(ny, nx)``.
    grid : MosaicGrid
        The grid of the mosaic.
    box : PixelBox
        Pixels of the grid that the frame covers; may reach beyond the template, which must not cut the frame.

    Returns
    -------
    PixelMap
        Lattice ``(0..ny, 0..nx)`` with offset -0.5; positions in pixels of `grid`.
    """
    ny, nx = frame_shape
    part = crop_grid(grid, box)
    corners = PixelBox(0, ny + 1, 0, nx + 1)
    fitted = fit_pixel_map(frame, part.wcs, corners, part.shape, offset=-0.5, source_shape=frame_shape)
    return replace(fitted, patches=tuple(_moved(patch, box.ymin, box.xmin) for patch in fitted.patches))


def _moved(patch: MapPatch, dy: int, dx: int) -> MapPatch:
    """The patch with its target positions moved by whole pixels."""
    if patch.cu is None or patch.cv is None:
        assert patch.table_u is not None
        assert patch.table_v is not None
        return replace(patch, table_u=patch.table_u + dx, table_v=patch.table_v + dy)
    return replace(patch, cu=_plus_constant(patch.cu, dx), cv=_plus_constant(patch.cv, dy))


def _plus_constant(coefficients: FloatArray, constant: float) -> FloatArray:
    moved = coefficients.copy()
    moved[0, 0] += constant
    return moved
