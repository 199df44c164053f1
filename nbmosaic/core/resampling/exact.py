"""Exact resampling: by polygons cut along pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.resampling.cutting import can_be_cut, project_cut
from nbmosaic.core.resampling.points import Planes, Source, blank_planes, source_planes
from nbmosaic.core.resampling.segments import Segment, map_segments, multiply_by_area, read_only
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["project_exact"]

_MINIMUM_OVERLAP = 1e-6  # smaller overlaps are the rounding of polygons that only touch
_STRIP = 64  # rows done together: the corners of 64 x 2048 pixels take 2 MB
_SPAN = 64.0  # pixels this many times larger than usual are taken to hold the seam of a projection
_MESH = 33


def project_exact(
    pixels: FramePixels, segments: Sequence[Segment], backward: PixelMap, box: PixelBox, *, flux: bool, workspace: Workspace
) -> Planes:
    """Resample a frame by the exact overlaps of its pixels with those of the grid.

    Where the map is smooth, the grid's pixels are cut as parallelograms on the frame (`nbmosaic.core.resampling.cutting`); else the frame's pixels
    as quadrilaterals on the grid. Where both can be had they agree to 1e-6 of the differences between pixels.

    Parameters
    ----------
    pixels : FramePixels
        The frame.
    segments : sequence of Segment
        Its pixel map, over the output pixels.
    backward : PixelMap
        Maps the corners of its pixels to the grid.
    box : PixelBox
        Output pixels.
    flux : bool
        Whether a frame pixel counts as flux rather than as surface brightness.
    workspace : Workspace
        Where all buffers are taken from.

    Returns
    -------
    Planes
        Views into the workspace, with an area plane.
    """
    source = source_planes(pixels)
    if box.empty or source.copy_count(0, np.empty((0, 0), np.float32)) == source.data.size:
        return blank_planes(box.shape, source, workspace)
    # corners given one by one are taken as they are: seams and gaps between pixels are in them alone
    if can_be_cut(segments) and all(patch.table_u is None for patch in backward.patches):
        planes = project_cut(source, segments, box.shape, _MINIMUM_OVERLAP, workspace)
        if flux:
            multiply_by_area(planes, segments)
        return planes
    return _project_polygons(source, backward, box, flux=flux, workspace=workspace)


def _project_polygons(source: Source, backward: PixelMap, box: PixelBox, *, flux: bool, workspace: Workspace) -> Planes:
    """Cut the frame's pixels, as quadrilaterals on the grid."""
    from nbmosaic.core.resampling import fill
    from nbmosaic.core.resampling.overlap_area import scatter_area

    lattice = _CornerLattice(backward, box)
    sense, limit = lattice.usual_pixel()
    if sense == 0:
        return blank_planes(box.shape, source, workspace)
    good = workspace.array("good", source.data.shape, np.uint8)
    fill.mark_good(*source.tests, 0, good)
    none: FloatArray = np.empty((0, 0))
    sums = [workspace.array("covered", box.shape, np.float64), workspace.array("total", box.shape, np.float64)]
    sums.append(workspace.array("weights", box.shape, np.float64) if source.weight.size else none)
    sums.append(workspace.array("variances", box.shape, np.float64) if source.variance.size else none)
    for plane in sums:
        plane.fill(0)
    planes = tuple(read_only(plane, plane.dtype.type) for plane in (source.data, good, source.weight, source.variance))
    for start in range(0, source.data.shape[0], _STRIP):
        u, v = lattice.corners(start, min(start + _STRIP, source.data.shape[0]) + 1)
        scatter_area(*planes, start, u, v, sense, limit, int(flux), *sums)
    return _normalised(sums, box.shape, workspace)


def _normalised(sums: Sequence[FloatArray], shape: tuple[int, int], workspace: Workspace) -> Planes:
    """Divide sums of overlap times value by the overlap."""
    covered, total, weights, variances = sums
    area = workspace.array("area", shape, np.float32)
    planes = Planes(data=workspace.array("data", shape, np.float32), area=area)
    if weights.size:
        planes.weight = workspace.array("weight", shape, np.float32)
    if variances.size:
        planes.variance = workspace.array("variance", shape, np.float32)
    for start in range(0, shape[0], _STRIP):
        rows = slice(start, start + _STRIP)
        seen = covered[rows] >= _MINIMUM_OVERLAP
        overlap = np.where(seen, covered[rows], np.nan)
        planes.data[rows] = total[rows] / overlap
        area[rows] = np.where(seen, np.minimum(overlap, 1.0), 0.0)
        if planes.weight is not None:
            planes.weight[rows] = np.where(seen, weights[rows] / overlap, 0.0)
        if planes.variance is not None:
            planes.variance[rows] = variances[rows] / overlap**2
    return planes


class _CornerLattice:
    """Corners of frame pixels in an output image whose pixel i reaches from i to i + 1."""

    def __init__(self, backward: PixelMap, box: PixelBox) -> None:
        self.segments = map_segments(backward)
        self.lattice = backward.box
        self.box = box

    def corners(self, start: int, stop: int) -> tuple[FloatArray, FloatArray]:
        """Corners of some rows of the lattice; NaN where the map is undefined."""
        shape = (stop - start, self.lattice.shape[1])
        u, v = np.full(shape, np.nan), np.full(shape, np.nan)
        for segment in self.segments:
            box = segment.box
            first, last = max(start, box.ymin), min(stop, box.ymax)
            if first < last:
                where = (slice(first - start, last - start), slice(box.xmin, box.xmax))
                u[where], v[where] = segment.positions(np.arange(first, last) - box.ymin, np.arange(box.shape[1]))
        u += 0.5 - self.box.xmin
        v += 0.5 - self.box.ymin
        return read_only(u, np.float64), read_only(v, np.float64)

    def usual_pixel(self) -> tuple[float, float]:
        """Which way round pixels go (+1, -1; 0 if none can be seen), and the largest width that is believed, both from a sample."""
        ny, nx = self.lattice.shape
        areas, widths = [], []
        for row in np.unique(np.linspace(0, ny - 2, _MESH).astype(np.int64)):
            u, v = self.corners(int(row), int(row) + 2)
            diagonals = u[1, 1:] - u[0, :-1], v[1, :-1] - v[0, 1:], u[1, :-1] - u[0, 1:], v[1, 1:] - v[0, :-1]
            areas.append(0.5 * (diagonals[0] * diagonals[1] - diagonals[2] * diagonals[3])[:: max(1, nx // _MESH)])
            widths.append(np.abs(diagonals).max(axis=0)[:: max(1, nx // _MESH)])
        seen = np.isfinite(np.concatenate(areas))
        if not seen.any():
            return 0.0, 0.0
        return float(np.sign(np.median(np.concatenate(areas)[seen]))), _SPAN * float(np.median(np.concatenate(widths)[seen]))
