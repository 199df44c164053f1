"""An interpolant over an image of some shape: how the image is padded, and which compiled kernel reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, Float32Array
from nbmosaic.core.resampling.piece_maps import BOUNDARIES, boundary_sources, corner_segments, open_window, segments_within
from nbmosaic.core.resampling.piece_taps import tap_polynomials, tap_table
from nbmosaic.core.resampling.segments import Segment, covers, map_segments, read_only
from nbmosaic.core.resampling.taps import squared_taps
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.errors import InputError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import Interpolant

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["PieceSampler", "checked_section"]

_SPLINE_MARGIN = 16  # a step at the edge rings into the spline by 0.27 a pixel: after 16 pixels 1e-9 of it is left


def checked_section(section: PixelBox | None, shape: tuple[int, int]) -> PixelBox:
    """The valid section of a piece: all of it by default."""
    whole = PixelBox.of_shape(shape)
    if section is None:
        return whole
    if section.empty or section.intersection(whole) != section:
        raise InputError(f"the section {section} is not inside the piece of shape {shape}", hint="trim less")
    return section


class PieceSampler:
    """An interpolant over an image of some shape: how it is padded and which compiled kernel reads it."""

    def __init__(self, interpolant: Interpolant, shape: tuple[int, int], boundary: str, workspace: Workspace) -> None:
        self.interpolant, self.shape, self.boundary, self.workspace = interpolant, shape, boundary, workspace
        kind = interpolant.kind
        width = 8 if kind in ("nearest", "linear", "drizzle") else max(8, tap_table(interpolant).weights.shape[1])
        self.ringing = _SPLINE_MARGIN if kind == "spline3" else 0
        self.pad = width + 1 + self.ringing
        self.rows = boundary_sources(shape[0], self.pad, boundary)
        self.columns = boundary_sources(shape[1], self.pad, boundary)

    def empty(self, name: str, dtype: type[Any] = np.float32) -> Any:
        """Padded buffer."""
        return self.workspace.array(name, (self.shape[0] + 2 * self.pad, self.shape[1] + 2 * self.pad), dtype)

    def inner(self, image: AnyArray) -> AnyArray:
        """The image without its padding."""
        return image[self.pad : -self.pad, self.pad : -self.pad]

    def close(self, image: AnyArray, constant: float) -> None:
        """Fill the padding as the boundary rule has it."""
        from nbmosaic.core.resampling.piece_kernels import fill_boundary

        fill_boundary(image, self.rows, self.columns, self.pad, constant)

    def arguments(self, *, squared: bool = False) -> tuple[Any, tuple[Any, ...], tuple[int, int, bool]]:
        """Compiled kernel, its tables, and the taps before and after a position and whether it is centred."""
        from nbmosaic.core.resampling import kernels, piece_kernels, piece_runs

        kind = self.interpolant.kind
        if kind == "nearest":
            return kernels.nearest, (), (0, 0, True)
        if kind == "linear" and not squared:
            return kernels.linear, (), (0, 1, False)
        if kind in ("linear", "spline3") and squared:
            table, rows = squared_taps("bilinear" if kind == "linear" else "spline")
            return kernels.taps8, (table, rows), (rows // 2 - 1, 8 - rows // 2, False)
        if kind in ("poly3", "poly5", "spline3") and not squared:
            terms = tap_polynomials(self.interpolant)
            half = len(terms) // 2
            return (piece_runs.runs4 if half == 2 else piece_runs.runs6), (terms, half - 1), (half - 1, half, False)
        taps = tap_table(self.interpolant, squared=squared)
        width = taps.weights.shape[1]
        reach = (taps.before, width - 1 - taps.before, taps.centred)
        if taps.centred:
            return piece_kernels.taps_many, (taps.weights, taps.rows, taps.before, int(taps.stepped)), reach
        if width == 4:
            return piece_kernels.taps4, (taps.weights, taps.before), reach
        return piece_kernels.taps8, (taps.weights, taps.rows, taps.before), reach

    def run(
        self, image: Float32Array, forward: PixelMap, out: Float32Array, *, squared: bool = False, within: PixelBox | None = None
    ) -> None:
        """Resample a padded image, which a spline turns into coefficients on the way; NaN beyond the pixels of `within`."""
        from nbmosaic.core.resampling.prefilter import prefilter

        if self.interpolant.kind == "drizzle":
            self._drizzle(image, forward, out, squared=squared)
            if within is not None:
                self._cut(forward, out, within)
            return
        if self.interpolant.kind == "spline3" and not squared:
            prefilter(image, 0)
        kernel, tables, (before, after, centred) = self.arguments(squared=squared)
        window = read_only(open_window(self.shape, self.pad, before, after, centred=centred, within=within), np.float64)
        fixed = read_only(image, np.float32)
        for segment in self._segments(forward, out, before, after, within):
            kernel(fixed, *tables, *segment.arguments(window, out))

    def run_good(
        self,
        image: Float32Array,
        part: Float32Array,
        forward: PixelMap,
        out: Float32Array,
        *,
        minimum: float,
        within: PixelBox | None = None,
    ) -> None:
        """Resample a padded image over the resampled plane of its good pixels, which is prefiltered, for kernels of four taps (see `has_good`)."""
        from nbmosaic.core.resampling.piece_runs import runs4_good
        from nbmosaic.core.resampling.prefilter import prefilter

        if self.interpolant.kind == "spline3":
            prefilter(image, 0)
        _, tables, (before, after, centred) = self.arguments()
        window = read_only(open_window(self.shape, self.pad, before, after, centred=centred, within=within), np.float64)
        fixed, share = read_only(image, np.float32), read_only(part, np.float32)
        for segment in self._segments(forward, out, before, after, within):
            runs4_good(fixed, share, minimum, *tables, *segment.arguments(window, out))

    @property
    def has_good(self) -> bool:
        """Whether `run_good` knows the kernel."""
        return self.interpolant.kind in ("poly3", "spline3")

    def _segments(self, forward: PixelMap, out: Float32Array, before: int, after: int, within: PixelBox | None) -> Sequence[Segment]:
        """Segments to do; `out` is NaN where there are none. Positions beyond `within` need not be taken back to the image."""
        segments = map_segments(forward)
        if not covers(segments, forward.box.shape):
            out.fill(np.nan)
        return segments if within is not None else self.segments(segments, before, after)

    def _cut(self, forward: PixelMap, out: Float32Array, within: PixelBox) -> None:
        """Set output pixels to NaN whose centre lies beyond the pixels of `within`."""
        from nbmosaic.core.resampling.piece_kernels import gather_codes

        beyond = np.zeros((self.shape[0] + 2 * self.pad, self.shape[1] + 2 * self.pad), np.uint8)
        inside = np.full(out.shape, 0, np.uint8)
        beyond += 1
        window = read_only(open_window(self.shape, self.pad, 0, 0, centred=True, within=within), np.float64)
        for segment in map_segments(forward):
            gather_codes(read_only(beyond, np.uint8), *segment.arguments(window, inside))
        out[inside == 0] = np.nan

    def segments(self, segments: Sequence[Segment], before: int, after: int) -> Sequence[Segment]:
        """Segments whose positions the padding is wide enough for."""
        return list(segments_within(segments, self.shape, self.boundary, self.pad - self.ringing - max(before, after) - 1))

    def _drizzle(self, image: Float32Array, forward: PixelMap, out: Float32Array, *, squared: bool) -> None:
        from nbmosaic.core.resampling.edge_sums import quad_means

        if not covers(map_segments(forward), forward.box.shape):
            out.fill(np.nan)
        fixed, mode = read_only(image, np.float32), BOUNDARIES.index(self.boundary)
        for s in corner_segments(forward):
            where = (s.box.ymin, s.box.xmin)
            quad_means(fixed, self.pad, mode, self.interpolant.pixfrac, int(squared), s.pu, s.pv, s.table, s.scale, out, *where)
        for s in map_segments(forward):
            if s.table == 1:  # corners are known from the pixels around, too
                out[s.box.slices()][np.isnan(s.pu) | np.isnan(s.pv)] = np.nan
