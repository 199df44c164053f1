"""Which pixels of a mosaic grid a frame covers, across seams, poles and the limits of the sky too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.geometry.sky import celestial_transform, known_shape, pixel_scale_arcsec
from nbmosaic.types.box import PixelBox

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Extent", "frame_box", "frame_extent"]

PointMap = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

_MESH = 17  # points a side over the frame: a bulge of 20 px over an edge is then known to 0.1 px
_OPEN = 0.2  # pixels that the coarse mesh may leave open; beyond it the edges are sampled more finely
_FINE = 513  # points an edge then
_CELLS = 32  # first cells a side of the search: an elliptic limit of the sky bulges by less than 1/16384 of the frame between their points
_LIMIT = 2.0**31  # positions near the horizon of a gnomonic grid have no bound; beyond this they are cut
_BEND = 0.5  # second over first difference that a smooth map stays below on either mesh; a seam gives about 1


class Extent(NamedTuple):
    """Range of pixel positions, in grid pixels."""

    ymin: float
    ymax: float
    xmin: float
    xmax: float


def frame_box(
    grid: WCS, frame: WCS, frame_shape: tuple[int, int], *, grid_shape: tuple[int, int] | None = None, within: PixelBox | None = None
) -> PixelBox | None:
    """Box of all grid pixels that a frame touches.

    Parameters
    ----------
    grid, frame : astropy.wcs.WCS
        Two celestial axes each.
    frame_shape : tuple of int
        ``(ny, nx)`` of the frame; it reaches to the outer edges of its pixels.
    grid_shape : tuple of int, optional
        ``(ny, nx)`` of the grid (default: what its WCS knows of it). It chooses among the repeats of a cylindrical grid that lies beyond
        +-180 degrees, and limits hard cases
        (see `within`).
    within : PixelBox, optional
        Limit of the box. Without one, the box of a frame that crosses a seam, a pole or the horizon of the grid's projection reaches
        beyond `grid_shape`
        by at most the diagonal of the frame or the larger side of the grid, whichever is less; without `grid_shape` it may be very large.

    Returns
    -------
    PixelBox or None
        The box, tight to a pixel or two for frames that the grid sees whole, looser across seams; it may reach beyond the grid. None where
        the grid sees nothing of the frame, or nothing inside `within`.

    Raises
    ------
    WcsError
        If a WCS is not celestial, or their systems cannot be changed into each other.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> grid = WCS(naxis=2)
    >>> grid.wcs.ctype, grid.wcs.cdelt, grid.wcs.crpix = ["RA---TAN", "DEC--TAN"], [-0.001, 0.001], [1, 1]
    >>> frame = grid.deepcopy()
    >>> frame.wcs.crpix = [-9.25, 1]
    >>> frame_box(grid, frame, (5, 8))
    PixelBox(ymin=-1, ymax=6, xmin=9, xmax=19)
    """
    grid_shape = known_shape(grid) if grid_shape is None else grid_shape
    found = _find_extent(grid, frame, frame_shape, grid_shape)
    if found is None:
        return None
    extent, whole = found
    if within is None and grid_shape is not None and not whole:
        diagonal = math.hypot(*frame_shape) * pixel_scale_arcsec(frame) / pixel_scale_arcsec(grid)
        within = PixelBox.of_shape(grid_shape).expand(math.ceil(min(diagonal, max(grid_shape))))
    box = PixelBox(math.floor(extent.ymin), math.ceil(extent.ymax) + 1, math.floor(extent.xmin), math.ceil(extent.xmax) + 1)
    if within is not None:
        box = box.intersection(within)
    return None if box.empty else box


def frame_extent(grid: WCS, frame: WCS, frame_shape: tuple[int, int], *, grid_shape: tuple[int, int] | None = None) -> Extent | None:
    """Smallest and largest grid position of the points of a frame; see `frame_box`. None where the grid sees nothing of it."""
    found = _find_extent(grid, frame, frame_shape, grid_shape)
    return None if found is None else found[0]


def _find_extent(grid: WCS, frame: WCS, shape: tuple[int, int], grid_shape: tuple[int, int] | None) -> tuple[Extent, bool] | None:
    """Extent of a frame on a grid, and whether the grid sees it as one smooth piece."""
    transform = celestial_transform(frame, grid, source_shape=shape, target_shape=grid_shape)
    ny, nx = shape
    if ny < 1 or nx < 1:
        return None
    y, x = np.meshgrid(np.linspace(-0.5, ny - 0.5, _MESH), np.linspace(-0.5, nx - 0.5, _MESH), indexing="ij")
    mesh = np.stack(transform(x, y))
    whole = bool(_smooth(mesh[None])[0])
    if whole:
        pad = _sagitta(mesh)
        if pad > _OPEN:
            mesh = _edges(transform, shape)
            whole = bool(np.isfinite(mesh).all())
            pad = float(np.abs(np.diff(mesh, 2, axis=2)).max()) / 4.0
    if not whole:
        # A seam is followed down to cells the size of a grid pixel, but not below a quarter of a frame pixel, where cells would become
        # many.
        finest = min(max(pixel_scale_arcsec(grid) / pixel_scale_arcsec(frame), 0.25), 4.0)
        extent = _search(transform, shape, finest)
        return None if extent is None else (extent, False)
    (xmin, ymin), (xmax, ymax) = mesh.min(axis=(1, 2)), mesh.max(axis=(1, 2))
    return Extent(float(ymin - pad), float(ymax + pad), float(xmin - pad), float(xmax + pad)), True


def _sagitta(mesh: FloatArray) -> float:
    """How far an edge may bulge beyond the points of a mesh: an eighth of the second difference for a parabola, doubled."""
    along_x = np.diff(mesh[:, [0, -1], :], 2, axis=2)
    along_y = np.diff(mesh[:, :, [0, -1]], 2, axis=1)
    return max(float(np.abs(along_x).max()), float(np.abs(along_y).max())) / 4.0


def _edges(transform: PointMap, shape: tuple[int, int]) -> FloatArray:
    """Finely sampled edges of a frame on the grid, shape (2, 4, points)."""
    ny, nx = shape
    tx, ty = np.linspace(-0.5, nx - 0.5, _FINE), np.linspace(-0.5, ny - 0.5, _FINE)
    low, x1, y1 = np.full(_FINE, -0.5), np.full(_FINE, nx - 0.5), np.full(_FINE, ny - 0.5)
    return np.stack(transform(np.stack([tx, tx, low, x1]), np.stack([low, y1, ty, ty])))


def _smooth(mesh: FloatArray) -> BoolArray:
    """Whether the map is defined, bends little and keeps its orientation over meshes of shape (n, 2, my, mx).

    A seam bends by as much as it steps, a pole or antipode inside turns the orientation of some mesh cells.
    """
    finite = np.isfinite(mesh).all(axis=(1, 2, 3))
    with np.errstate(invalid="ignore"):
        dx, dy = np.diff(mesh, axis=3), np.diff(mesh, axis=2)
        cross = dx[:, 0, :-1] * dy[:, 1, :, :-1] - dx[:, 1, :-1] * dy[:, 0, :, :-1]
        turned = (cross > 0).all(axis=(1, 2)) | (cross < 0).all(axis=(1, 2))
        good = np.asarray(finite & turned)
        for step, axis in ((dx, 3), (dy, 2)):
            size = np.hypot(step[:, 0], step[:, 1])
            bend = np.diff(step, axis=axis)
            first, second = (size[:, :, :-1], size[:, :, 1:]) if axis == 3 else (size[:, :-1], size[:, 1:])
            good = good & np.asarray((np.hypot(bend[:, 0], bend[:, 1]) <= _BEND * np.maximum(first, second)).all(axis=(1, 2)))
    return good


def _search(transform: PointMap, shape: tuple[int, int], finest: float) -> Extent | None:
    """Extent of a frame that the grid does not see as one smooth piece.

    Cells of the frame that map smoothly give their bounding box; others are quartered down to `finest` frame pixels, where every point seen
    counts with the reach of such a cell around it.
    """
    ny, nx = shape
    hy, hx = max(ny / _CELLS, min(finest, 1.0)), max(nx / _CELLS, min(finest, 1.0))
    y0, x0 = (a.ravel() - 0.5 for a in np.meshgrid(np.arange(0.0, ny, hy), np.arange(0.0, nx, hx), indexing="ij"))
    half = np.array([0.0, 0.5, 1.0])
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    while len(x0):
        x = np.broadcast_to(x0[:, None, None] + hx * half, (len(x0), 3, 3))
        y = np.broadcast_to(y0[:, None, None] + hy * half[:, None], (len(y0), 3, 3))
        mesh = np.stack(transform(x, y), axis=1)
        seen = np.asarray(np.isfinite(mesh).all(axis=1).reshape(len(mesh), -1).any(axis=1))
        smooth = _smooth(mesh)
        last = max(hx, hy) <= finest
        low, high = _grow(low, high, mesh[smooth], np.abs(_bends(mesh[smooth])) / 4.0)
        x0, y0, rest = x0[seen & ~smooth], y0[seen & ~smooth], mesh[seen & ~smooth]
        if last:
            inner_low, inner_high = _grow(low, high, rest, np.zeros((len(rest), 2)))
            pad = np.minimum(_reach(rest), inner_high - inner_low)  # next to a pole the reach has no bound
            low, high = _grow(low, high, rest, pad)
            break
        x0, y0, hx, hy = _quarter(x0, y0, hx, hy, finest)
    if not np.isfinite(low).all():
        return None
    low, high = np.clip(low, -_LIMIT, _LIMIT), np.clip(high, -_LIMIT, _LIMIT)
    return Extent(float(low[1]), float(high[1]), float(low[0]), float(high[0]))


def _grow(low: FloatArray, high: FloatArray, mesh: FloatArray, pad: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Extent grown by the positions of meshes, shape (n, 2, 3, 3), and a pad for each, shape (n, 2); NaN positions do not count."""
    if not len(mesh):
        return low, high
    unseen = ~np.isfinite(mesh)
    smallest = np.where(unseen, np.inf, mesh).min(axis=(2, 3)) - pad
    largest = np.where(unseen, -np.inf, mesh).max(axis=(2, 3)) + pad
    return np.minimum(low, smallest.min(axis=0)), np.maximum(high, largest.max(axis=0))


def _bends(mesh: FloatArray) -> FloatArray:
    """Largest second difference of each mesh along either axis, shape (n, 2)."""
    x, y = np.abs(np.diff(mesh, 2, axis=3)), np.abs(np.diff(mesh, 2, axis=2))
    return np.maximum(x.max(axis=(2, 3)), y.max(axis=(2, 3)))


def _reach(mesh: FloatArray) -> FloatArray:
    """How far the map moves over a mesh of 3 x 3 points, shape (n, 2).

    The smallest step of the rows and of the columns counts, doubled, because a larger one may be a seam.
    """
    total = np.ones(mesh.shape[:2])
    for axis in (2, 3):
        step = np.abs(np.diff(mesh, axis=axis))
        smallest = np.where(np.isfinite(step), step, np.inf).min(axis=(2, 3))
        total += np.where(np.isfinite(smallest), 2.0 * smallest, 0.0)
    return total


def _quarter(x0: FloatArray, y0: FloatArray, hx: float, hy: float, finest: float) -> tuple[FloatArray, FloatArray, float, float]:
    """Halve cells along every axis on which they are larger than the finest cells."""
    if hx > finest:
        hx /= 2.0
        x0, y0 = np.concatenate([x0, x0 + hx]), np.concatenate([y0, y0])
    if hy > finest:
        hy /= 2.0
        x0, y0 = np.concatenate([x0, x0]), np.concatenate([y0, y0 + hy])
    return x0, y0, hx, hy
