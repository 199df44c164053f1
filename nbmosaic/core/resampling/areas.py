"""Resampling by area: overlaps of output pixels, as parallelograms on the frame, with frame pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.resampling.points import Planes, Source, blank_planes, source_planes
from nbmosaic.core.resampling.segments import Segment, covers, read_only
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels

__all__ = ["MINIMUM_OVERLAP", "AreaRun", "mean_squared_overlap", "project_areas"]

MINIMUM_OVERLAP = 1e-3
"""Output pixels of which less is covered are blank: the phases of the tables are no finer."""

_CORNER_TOLERANCE_PIX = 0.02
"""How far a corner of an output pixel may be from where the table has it.

Opposite corners move against each other, so the effect on a value is of second order, about tolerance / 6 times the second derivative of the
image: below 0.02 where the method's own error is 0.8. Positions are always those of the map. Four times finer would mean 16 times the
tables, and frames with common distortion would take three times as long.
"""

_PHASES = {1: 128, 2: 96, 3: 64, 4: 48}  # of a table that reaches so many pixels: each takes below 1 MB, the size of the second-level cache
_SMALLEST_TABLE = 16384  # output pixels: below, cutting polygons (100 ns each) takes as long as making a table (1 ms)
_MESH = 9
_STRIP = 64  # rows done together where numpy works on whole rows


def project_areas(pixels: FramePixels, segments: Sequence[Segment], shape: tuple[int, int], workspace: Workspace) -> Planes:
    """Resample a frame by the overlaps of its pixels with output pixels, which are parallelograms on the frame.

    Where the derivative of the map is nearly constant over a block of the output, a table of overlaps does; elsewhere every pixel is cut.

    Parameters
    ----------
    pixels : FramePixels
        The frame.
    segments : sequence of Segment
        Its pixel map, over an output image of `shape`.
    shape : tuple of int
        ``(ny, nx)`` of the output image.
    workspace : Workspace
        Where all buffers are taken from.

    Returns
    -------
    Planes
        Views into the workspace, with an area plane.
    """
    source = source_planes(pixels)
    if source.copy_count(0, np.empty((0, 0), np.float32)) == source.data.size:
        return blank_planes(shape, source, workspace)
    blocks = [(segment, *part) for segment in segments for part in _blocks(segment, PixelBox.of_shape(segment.box.shape))]
    reach = max((_reach(jacobian) for _, _, jacobian in blocks if jacobian is not None), default=1)
    run = AreaRun(source, shape, reach, workspace)
    if not covers(segments, shape):
        run.clear()
    for segment, block, jacobian in blocks:
        if jacobian is None:
            run.directly(segment, block)
        else:
            run.by_table(segment, block, jacobian)
    if run.planes.weight is not None:
        np.nan_to_num(run.planes.weight, copy=False)
    return run.planes


def mean_squared_overlap(jacobian: FloatArray, positions: FloatArray) -> float:
    """Mean sum of the squared fractions in which output pixels at some positions ``(x, y)`` are shared among frame pixels."""
    reach = _reach(jacobian)
    if reach not in _PHASES:
        # Much larger than frame pixels. Exact for a square of side s along the axes: (1 - 1 / (3 s)) / s in each.
        side = np.sqrt(abs(np.linalg.det(jacobian)))
        return float(((1 - 1 / (3 * side)) / side) ** 2)
    phases = 16
    table = _table(jacobian, phases, reach, Workspace())
    squares = (table.astype(float) ** 2).sum(axis=2)
    x, y = (np.rint((p + 0.5 - np.floor(p + 0.5)) * phases).astype(np.int64) for p in positions)
    return float(squares[y, x].mean())


def _half_widths(jacobian: FloatArray) -> FloatArray:
    """Half the width of an output pixel in x and y, in frame pixels."""
    half: FloatArray = 0.5 * np.abs(jacobian).sum(axis=1)
    return half


def _reach(jacobian: FloatArray) -> int:
    """How many pixels around the one that holds its centre an output pixel may touch."""
    return max(1, int(np.ceil(_half_widths(jacobian).max())))


def _blocks(segment: Segment, block: PixelBox) -> Iterator[tuple[PixelBox, FloatArray | None]]:
    """Cut a segment in blocks with one shape of output pixels each: its 2 x 2 derivative, or None where pixels are to be done one by one."""
    if block.size < _SMALLEST_TABLE:
        yield block, None
        return
    rows = np.unique(np.linspace(block.ymin, block.ymax - 1, _MESH).astype(np.int64))
    columns = np.unique(np.linspace(block.xmin, block.xmax - 1, _MESH).astype(np.int64))
    found = segment.derivatives(rows, columns).reshape(2, 2, -1)
    low, high = found.min(axis=2), found.max(axis=2)
    middle: FloatArray = 0.5 * (low + high)
    if _half_widths(high - low).max() <= 2 * _CORNER_TOLERANCE_PIX:
        yield block, middle if _reach(middle) in _PHASES and np.linalg.det(middle) != 0 else None
        return
    ny, nx = block.shape
    if ny >= nx:
        cut = block.ymin + ny // 2
        halves = PixelBox(block.ymin, cut, block.xmin, block.xmax), PixelBox(cut, block.ymax, block.xmin, block.xmax)
    else:
        cut = block.xmin + nx // 2
        halves = PixelBox(block.ymin, block.ymax, block.xmin, cut), PixelBox(block.ymin, block.ymax, cut, block.xmax)
    for half in halves:
        yield from _blocks(segment, half)


def _table(jacobian: FloatArray, phases: int, reach: int, workspace: Workspace) -> Float32Array:
    """Table of overlaps over phases, see `nbmosaic.core.resampling.overlap_area.phase_table`."""
    from nbmosaic.core.resampling.overlap_area import phase_table

    taps = 2 * reach + 1
    side = (taps + 1) * phases + 1
    table: Float32Array = workspace.array("table", (phases + 1, phases + 1, taps * taps), np.float32)
    phase_table(read_only(jacobian, np.float64), phases, taps, table, workspace.array("sums", (side, side), np.float64))
    return table


class AreaRun:
    """One frame on its way through the area kernels."""

    def __init__(self, source: Source, shape: tuple[int, int], reach: int, workspace: Workspace) -> None:
        from nbmosaic.core.resampling import fill

        self.workspace = workspace
        self.pad = 2 * reach + 1
        self.frame_shape = source.data.shape
        self.good = self._padded("good", np.uint8)
        fill.mark_good(*source.tests, self.pad, self.good)
        self.solid = self._padded("solid", np.uint8)
        fill.mark_solid(self.good, reach, self._padded("rows", np.uint8), self.solid)
        self.area: Float32Array = workspace.array("area", shape, np.float32)
        self.planes = Planes(data=workspace.array("data", shape, np.float32), area=self.area)
        self.jobs = [self._job("image", source.data, self.planes.data, 0)]
        if source.weight.size:
            self.planes.weight = workspace.array("weight", shape, np.float32)
            self.jobs.append(self._job("weights", source.weight, self.planes.weight, 0))
        if source.variance.size:
            self.planes.variance = workspace.array("variance", shape, np.float32)
            self.jobs.append(self._job("variances", source.variance, self.planes.variance, 1))

    def _padded(self, name: str, dtype: type[Any]) -> Any:
        ny, nx = self.frame_shape
        return self.workspace.array(name, (ny + 2 * self.pad, nx + 2 * self.pad), dtype)

    def _job(self, name: str, values: Float32Array, out: Float32Array, squared: int) -> tuple[Float32Array, Float32Array, int]:
        """Padded copy of a plane with 0 outside and at bad pixels, where its result goes, and whether weights are to be squared."""
        from nbmosaic.core.resampling import fill

        image = self._padded(name, np.float32)
        inner = slice(self.pad, -self.pad)
        image[inner, inner] = values
        fill.zero_bad(image, self.good)
        return read_only(image, np.float32), out, squared

    def clear(self) -> None:
        """Blank all planes, for maps that leave pixels out."""
        self.area.fill(0)
        for _, out, _ in self.jobs:
            out.fill(np.nan)

    def by_table(self, segment: Segment, block: PixelBox, jacobian: FloatArray) -> None:
        """Resample a block by a table of overlaps."""
        from nbmosaic.core.resampling.kernels import phase_area

        reach = _reach(jacobian)
        table = read_only(_table(jacobian, _PHASES[reach], reach, self.workspace), np.float32)
        window = read_only(self._window(jacobian), np.float64)
        good, solid = read_only(self.good, np.uint8), read_only(self.solid, np.uint8)
        for image, out, squared in self.jobs:
            last = segment.arguments(window, out, block)
            phase_area(image, good, solid, table, reach, squared, MINIMUM_OVERLAP, self.area, *last)

    def _window(self, jacobian: FloatArray) -> FloatArray:
        """Window (see `nbmosaic.core.resampling.kernels.WINDOW`) of all output pixels that touch the frame."""
        (ny, nx), pad = self.frame_shape, self.pad
        half_x, half_y = _half_widths(jacobian)
        x = [pad - half_x, np.nextafter(pad + nx + half_x, 0.0)]
        y = [pad - half_y, np.nextafter(pad + ny + half_y, 0.0)]
        return np.array([pad + 0.5, pad + 0.5, *x, *y, *x, *y, np.floor(x[1]), np.floor(y[1])])

    def directly(self, segment: Segment, block: PixelBox) -> None:
        """Resample a block by cutting every output pixel."""
        from nbmosaic.core.resampling.overlap_area import direct_area

        columns = np.arange(block.xmin, block.xmax)
        good = read_only(self.good, np.uint8)
        for start in range(block.ymin, block.ymax, _STRIP):
            rows = np.arange(start, min(start + _STRIP, block.ymax))
            u, v = (read_only(position, np.float64) for position in segment.positions(rows, columns))
            derivatives = read_only(segment.derivatives(rows, columns), np.float64)
            where = (segment.box.ymin + start, segment.box.xmin + block.xmin)
            for image, out, squared in self.jobs:
                direct_area(image, good, self.pad, u, v, derivatives, squared, MINIMUM_OVERLAP, out, self.area, *where)
