"""Pixel maps in the form that the kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial import chebyshev

from nbmosaic._types import AnyArray, FloatArray, IntArray
from nbmosaic.types.box import PixelBox

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
    from nbmosaic.core.resampling.points import Planes

__all__ = ["Segment", "covers", "interpolation_window", "map_segments", "multiply_by_area", "nearest_window", "read_only", "stretched"]

_STRIP = 64  # rows done together where numpy works on whole rows: some 100 kB

EDGE_TOLERANCE_PIX = 1e-3
"""How far beyond the outermost pixel centres a position still counts as being on them.

Ten times the error of a pixel map: a frame that lies exactly on the grid must not lose its outermost rows to rounding.
"""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Segment:
    """One patch of a pixel map.

    Attributes
    ----------
    patch : MapPatch
        The patch.
    box : PixelBox
        Its pixels, relative to the first pixel of the output image.
    pu, pv : ndarray of float64
        Power-basis coefficients of each row, or, where `table` is 1, the positions themselves, or, where it is 2, positions at points at equal
        distances from the first to the last column, between which the map is linear. Read-only.
    table : int
        See `pu`.
    scale : float
        Step in t from column to column.
    """

    patch: MapPatch
    box: PixelBox
    pu: FloatArray
    pv: FloatArray
    table: int
    scale: float

    def arguments(self, window: FloatArray, out: AnyArray, block: PixelBox | None = None) -> tuple[Any, ...]:
        """Last arguments of a kernel that is to do the segment, or a block of it (pixels counted from the segment's first)."""
        if block is None:
            return (self.pu, self.pv, self.table, 0, self.box.shape[1], self.scale, window, out, self.box.ymin, self.box.xmin)
        pu, pv = self.pu[block.ymin : block.ymax], self.pv[block.ymin : block.ymax]
        where = (self.box.ymin + block.ymin, self.box.xmin + block.xmin)
        return (pu, pv, self.table, block.xmin, block.shape[1], self.scale, window, out, *where)

    def positions(self, rows: IntArray, columns: IntArray) -> tuple[FloatArray, FloatArray]:
        """Positions ``u, v`` on a mesh of rows and columns of the segment."""
        if self.table == 2:
            u, v = (stretched(p[rows].T, columns, self.box.shape[1]).T for p in (self.pu, self.pv))
            return u, v
        if self.table:
            where = np.ix_(rows, columns)
            return self.pu[where], self.pv[where]
        powers = np.vander(self.scale * columns - 1.0, self.pu.shape[1], increasing=True).T
        return self.pu[rows] @ powers, self.pv[rows] @ powers

    def derivatives(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """Derivatives ``du/dx, du/dy, dv/dx, dv/dy`` of the map on a mesh of rows and columns, shape (4, rows, columns); NaN where undefined.

        From the polynomials (where they are sampled, interpolated between their derivatives at the samples), or from differences of the
        table. A table of one row or column knows nothing across it: its derivative there is taken as the other one turned by 90 degrees.
        """
        ny, nx = self.box.shape
        if self.table == 1:
            u_x, u_y = _differences(self.pu)
            v_x, v_y = _differences(self.pv)
            if nx == 1:
                u_x, v_x = v_y, -u_y
            elif ny == 1:
                u_y, v_y = -v_x, u_x
            return np.stack([u_x, u_y, v_x, v_y])[:, rows[:, None], columns[None, :]]
        assert self.patch.cu is not None
        assert self.patch.cv is not None
        if self.patch.sampling is not None:
            t_y, t_x = (np.linspace(-1.0, 1.0, n) for n in self.patch.sampling)
            known = np.stack([*_gradient(self.patch.cu, t_y, t_x, ny, nx), *_gradient(self.patch.cv, t_y, t_x, ny, nx)])
            return np.stack([stretched(stretched(plane, rows, ny).T, columns, nx).T for plane in known])
        t_y = np.asarray(2.0 / (ny - 1) * rows - 1.0)
        t_x = np.asarray(2.0 / (nx - 1) * columns - 1.0)
        return np.stack([*_gradient(self.patch.cu, t_y, t_x, ny, nx), *_gradient(self.patch.cv, t_y, t_x, ny, nx)])


def map_segments(forward: PixelMap) -> list[Segment]:
    """Segments of a map, over an output image that covers the map's box."""
    found = []
    for patch in forward.patches:
        box = patch.box.shift(-forward.box.ymin, -forward.box.xmin)
        if box.empty:
            continue
        if patch.table_u is not None and patch.table_v is not None:
            pu, pv, table = patch.table_u, patch.table_v, 1
        elif patch.sampling is not None and patch.cu is not None and patch.cv is not None:
            pu, pv = (stretched(patch.samples(c), np.arange(box.shape[0]), box.shape[0]) for c in (patch.cu, patch.cv))
            table = 2
        else:
            pu, pv = forward.power_rows(patch)
            table = 0
        scale = 2.0 / max(1, box.shape[1] - 1)
        found.append(Segment(patch=patch, box=box, pu=read_only(pu, np.float64), pv=read_only(pv, np.float64), table=table, scale=scale))
    return found


def covers(segments: Sequence[Segment], shape: tuple[int, int]) -> bool:
    """Whether the segments, which are disjoint, leave no pixel of an image out."""
    return sum(segment.box.size for segment in segments) == shape[0] * shape[1]


def interpolation_window(shape: tuple[int, int], pad: int) -> FloatArray:
    """Window (see `nbmosaic.core.resampling.kernels.WINDOW`) of the interpolating kernels.

    Valid are positions between the centres of the outermost pixels: beyond them there is only one pixel to go by, and an interpolation that
    mirrors it is wrong by the gradient times the distance. An axis with a single pixel has no such interval; there it counts over its width.
    """
    ny, nx = shape
    return np.array(
        [pad, pad, *_interval(nx, pad), *_interval(ny, pad), pad, pad + nx - 1, pad, pad + ny - 1, pad + nx - 2, pad + ny - 2], float
    )


def _interval(n: int, pad: int) -> tuple[float, float]:
    reach = EDGE_TOLERANCE_PIX if n > 1 else 0.5
    return pad - reach, pad + n - 1 + reach


def nearest_window(shape: tuple[int, int], pad: int) -> FloatArray:
    """Window of the nearest-pixel kernel: valid is the whole area of the pixels, from edge to edge."""
    ny, nx = shape
    last_x, last_y = np.nextafter(pad + nx, 0.0), np.nextafter(pad + ny, 0.0)
    return np.array([pad + 0.5, pad + 0.5, pad, last_x, pad, last_y, pad, last_x, pad, last_y, pad + nx - 1, pad + ny - 1], float)


def read_only(array: AnyArray, dtype: type[Any]) -> Any:
    """Contiguous, aligned, read-only view (or copy where it must be): kernels get their inputs always so, for one compiled version each."""
    view = np.require(array, dtype, ("C", "A")).view()
    view.flags.writeable = False
    return view


def multiply_by_area(planes: Planes, segments: Sequence[Segment]) -> None:
    """Surface brightness to flux per output pixel."""
    for segment in segments:
        box = segment.box
        columns = np.arange(box.shape[1])
        for start in range(0, box.shape[0], _STRIP):
            rows = np.arange(start, min(start + _STRIP, box.shape[0]))
            u_x, u_y, v_x, v_y = segment.derivatives(rows, columns)
            area = np.abs(u_x * v_y - u_y * v_x).astype(np.float32)
            where = (slice(box.ymin + start, box.ymin + start + rows.size), slice(box.xmin, box.xmax))
            planes.data[where] *= area
            if planes.variance is not None:
                planes.variance[where] *= area * area


def stretched(samples: FloatArray, position: AnyArray, n: int) -> FloatArray:
    """Rows of samples at equal distances from row 0 to n - 1, interpolated linearly to other positions."""
    place = np.asarray(position, float) * ((len(samples) - 1) / max(1, n - 1))
    j = np.minimum(place.astype(np.int64), len(samples) - 2)
    f = (place - j)[:, None]
    return np.asarray((1.0 - f) * samples[j] + f * samples[j + 1])


def _differences(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Derivatives in x and y of a table: central differences, one-sided beside NaN and edges, NaN where there are no neighbours."""
    found = []
    for axis in (1, 0):
        lower, upper = [slice(None)] * 2, [slice(None)] * 2
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        before, after = np.full(table.shape, np.nan), np.full(table.shape, np.nan)
        with np.errstate(invalid="ignore"):
            before[tuple(upper)] = after[tuple(lower)] = np.diff(table, axis=axis)
            mean = 0.5 * (before + after)
        found.append(np.where(np.isfinite(mean), mean, np.where(np.isfinite(before), before, after)))
    return found[0], found[1]


def _gradient(c: FloatArray, t_y: FloatArray, t_x: FloatArray, ny: int, nx: int) -> tuple[FloatArray, FloatArray]:
    """Derivatives in x and y (per pixel) of a Chebyshev patch of `ny` by `nx` pixels on a mesh."""
    degree = len(c) - 1
    rows, columns = chebyshev.chebvander(t_y, degree), chebyshev.chebvander(t_x, degree)
    along_x = rows @ chebyshev.chebder(c, axis=1) @ columns[:, :-1].T * (2.0 / (nx - 1))
    along_y = rows[:, :-1] @ chebyshev.chebder(c, axis=0) @ columns.T * (2.0 / (ny - 1))
    return np.asarray(along_x, float), np.asarray(along_y, float)
