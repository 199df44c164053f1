"""One image onto one grid, with the options of programs that work file by file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, Float32Array
from nbmosaic.errors import NoOverlapError
from nbmosaic.types import FramePixels, MosaicGrid, PixelBox

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.core.geometry.pixmap import PixelMap
    from nbmosaic.core.resampling.workspace import Workspace
    from nbmosaic.types import ProjectedFrame

__all__ = ["Reprojected", "reproject_image"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reprojected:
    """An image on a grid.

    Attributes
    ----------
    box : PixelBox
        Its pixels on the grid, cropped to those that hold something.
    data, area : ndarray, shape (ny, nx)
        Values (NaN where there is none) and fraction of the pixel covered, times weight; they hold until the workspace is used again.
    """

    box: PixelBox
    data: AnyArray
    area: AnyArray


def reproject_image(
    data: Float32Array,
    wcs: WCS,
    grid: MosaicGrid,
    *,
    method: str,
    mask: BoolArray | None = None,
    weight: Float32Array | None = None,
    drizzle: float = 1.0,
    energy: bool = False,
    expand: bool = False,
    workspace: Workspace | None = None,
) -> Reprojected:
    """Resample one image.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        The image; NaN where there is none.
    wcs : astropy.wcs.WCS
        Its WCS.
    grid : MosaicGrid
        The grid.
    method : str
        See `nbmosaic.core.resampling.resample`.
    mask : ndarray of bool, optional
        True where a pixel is not used.
    weight : ndarray of float32, optional
        Weight of each pixel; those with 0 are not used.
    drizzle : float
        Side of the part of each pixel that is dropped on the grid (``exact`` only), above 0, at most 1.
    energy : bool
        Values are energy per pixel, not surface brightness: the sum over the image is kept.
    expand : bool
        Keep pixels outside of the grid.
    workspace : Workspace, optional
        Buffers to use.

    Raises
    ------
    NoOverlapError
        The image does not touch the grid, or no pixel of it is valid.
    """
    from nbmosaic.core.geometry.pixmap import fit_pixel_map, frame_box

    box = frame_box(grid.wcs, wcs, data.shape, grid_shape=grid.shape)
    if box is not None and not expand:
        box = box.intersection(grid.box)
    if box is None or box.empty:
        raise NoOverlapError("No overlap")
    forward = fit_pixel_map(grid.wcs, wcs, box, data.shape, source_shape=grid.shape)
    bad = np.zeros(data.shape, bool) if mask is None else mask.copy()
    if weight is not None:
        bad |= ~(weight > 0)
    plain = weight is None and mask is None and drizzle == 1.0
    conserve = "flux" if energy else "surface_brightness"
    task = _Task(wcs=wcs, grid=grid, forward=forward, method=method, conserve=conserve, drizzle=drizzle, workspace=workspace)
    if weight is None:
        frame = task.run(data, None if plain else bad)
        values, area = _planes(frame, method)
    else:  # mean of value times weight over mean of weight, both over the same area
        total, _ = _planes(task.run(data * weight, bad | ~np.isfinite(data)), method, copy=True)
        share, area = _planes(task.run(weight, bad | ~np.isfinite(data), conserve="surface_brightness"), method)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = total if energy else total / share
        area = area * np.where(np.isfinite(share), share, 0.0)
    if energy and method in {"exact", "area"}:
        values = values * (area if weight is None else np.where(area > 0, 1.0, np.nan))
    return _cropped(box, values, area)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """How one plane of pixels is resampled."""

    wcs: WCS
    grid: MosaicGrid
    forward: PixelMap
    method: str
    conserve: str
    drizzle: float
    workspace: Workspace | None

    def run(self, data: Float32Array, mask: BoolArray | None, *, conserve: str | None = None) -> ProjectedFrame:
        from nbmosaic.core.geometry.corners import corner_map
        from nbmosaic.core.resampling.resample import resample_frame

        backward = corner_map(self.wcs, data.shape, self.grid, self.forward.box) if self.method == "exact" and self.drizzle == 1.0 else None
        if self.drizzle != 1.0:
            data, mask, backward = self._spread(data, mask)
        pixels = FramePixels(data=data, mask=mask)
        options: dict[str, Any] = {"method": self.method, "conserve": conserve or self.conserve}
        return resample_frame(pixels, self.forward, backward=backward, workspace=self.workspace, **options)

    def _spread(self, data: Float32Array, mask: BoolArray | None) -> tuple[Float32Array, BoolArray, PixelMap]:
        """Shrunken pixels, with an exact table of where their corners lie on the grid (polynomials know no gaps)."""
        from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
        from nbmosaic.core.geometry.sky import celestial_transform
        from nbmosaic.core.resampling.frame_borders import spread_pixels

        bad = np.zeros(data.shape, bool) if mask is None else mask
        wide, gaps, y, x = spread_pixels(data, bad, self.drizzle, PixelBox.of_shape(data.shape))
        u, v = celestial_transform(self.wcs, self.grid.wcs)(*np.meshgrid(x, y))
        corners = PixelBox(0, y.size, 0, x.size)
        patch = MapPatch(box=corners, table_u=u, table_v=v)
        return wide, gaps, PixelMap(box=corners, offset=-0.5, patches=(patch,), error_pix=0.0)


def _planes(frame: ProjectedFrame, method: str, *, copy: bool = False) -> tuple[AnyArray, AnyArray]:
    """Values and area; views of the workspace unless copied."""
    values = frame.data.copy() if copy else frame.data
    if method in {"exact", "area"} and frame.area is not None:
        return values, frame.area.copy() if copy else frame.area
    return values, np.isfinite(values).astype(np.float32)


def _cropped(box: PixelBox, values: AnyArray, area: AnyArray) -> Reprojected:
    good = np.isfinite(values) & (area > 0)
    rows, columns = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
    if not rows.size:
        raise NoOverlapError("All pixels are blank. Check for overlap of output template with image file.")
    where = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    bad = ~good[where]
    values, area = values[where], area[where]
    values[bad], area[bad] = np.nan, 0.0  # our own arrays, or buffers of the workspace
    cut = PixelBox(box.ymin + int(rows[0]), box.ymin + int(rows[-1]) + 1, box.xmin + int(columns[0]), box.xmin + int(columns[-1]) + 1)
    return Reprojected(box=cut, data=values, area=area)
