"""The coadd stage: the mosaic is made in bands of rows, read from the store, and written to arrays or straight to a file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nbmosaic._types import Float32Array
from nbmosaic.pipeline.execution import Execution, run_tasks
from nbmosaic.pipeline.products import Corrected, Projected
from nbmosaic.types import MosaicGrid, PixelBox, ProjectedInfo

if TYPE_CHECKING:
    from nbmosaic.core.coadd import Band, BandInput, Coadder
    from nbmosaic.io.fits_write import MosaicWriter
    from nbmosaic.types import BackgroundModel

__all__ = [
    "WITHOUT_VARIANCE",
    "ArraySink",
    "CoaddOptions",
    "FileSink",
    "Sink",
    "coadd_frames",
    "has_fractional_area",
    "has_variance",
    "variance_of_noise",
]

WITHOUT_VARIANCE = frozenset({"min", "max", "count"})
"""Combinations whose variance is not defined."""


@dataclass(frozen=True, kw_only=True)
class CoaddOptions:
    """How the values of a pixel are combined.

    Attributes
    ----------
    combine : str
        ``mean``, ``median``, ``clipped``, ``sum``, ``min``, ``max``, ``first`` or ``count``.
    weighting : str
        ``none``, ``area``, ``weight`` or ``variance``; None: what suits `combine`.
    kappa : float
        Clipping limit of ``clipped``, in standard deviations.
    """

    combine: str = "mean"
    weighting: str | None = None
    kappa: float = 3.0


class Sink(Protocol):
    """Takes the bands of a mosaic."""

    def write(self, y0: int, band: Band) -> None:
        """Rows from `y0`; the arrays of the band are reused by the caller afterwards."""


class ArraySink:
    """A mosaic in memory."""

    def __init__(self, shape: tuple[int, int], *, variance: bool, whole_area: bool, count_dtype: np.dtype[Any]) -> None:
        self.data = np.empty(shape, np.float32)
        self.count = np.empty(shape, count_dtype)
        self.area = self.count if whole_area else np.empty(shape, np.float32)
        self.variance = np.empty(shape, np.float32) if variance else None

    def write(self, y0: int, band: Band) -> None:
        """Copy a band into place."""
        rows = slice(y0, y0 + len(band.image))
        self.data[rows] = band.image
        self.count[rows] = band.count
        if self.area is not self.count:
            self.area[rows] = band.area
        if self.variance is not None and band.variance is not None:
            self.variance[rows] = band.variance


class FileSink:
    """A mosaic that is written to a file as it grows."""

    def __init__(self, writer: MosaicWriter, *, whole_area: bool) -> None:
        self._writer = writer
        self._whole_area = whole_area

    def write(self, y0: int, band: Band) -> None:
        """Write a band; where the coverage is a whole number it is the number of frames, and is not written twice."""
        if self._whole_area:
            self._writer.write_rows(y0, band.image, area=band.count, variance=band.variance)
        else:
            self._writer.write_rows(y0, band.image, area=band.area, nframes=band.count, variance=band.variance)


def frames_in_order(projected: Projected, *, combine: str) -> list[ProjectedInfo]:
    """Frames in the order in which they are added: by name, so that the order of the input changes no bit; ``first`` keeps the order given."""
    if combine == "first":
        return list(projected.infos)
    return sorted(projected.infos, key=lambda info: (info.name, info.box))


def has_variance(projected: Projected, options: CoaddOptions) -> bool:
    """Whether the mosaic gets a variance: every frame carries one, and the way to combine has one."""
    return options.combine not in WITHOUT_VARIANCE and all("variance" in info.planes for info in projected.infos)


def has_fractional_area(projected: Projected) -> bool:
    """Whether some frame has pixels that are covered in part."""
    return any("area" in info.planes for info in projected.infos)


class _VarianceSink:
    """The variance of a mosaic in memory, and nothing else."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.variance = np.empty(shape, np.float32)

    def write(self, y0: int, band: Band) -> None:
        """Copy a band into place."""
        assert band.variance is not None
        self.variance[y0 : y0 + len(band.variance)] = band.variance


def variance_of_noise(source: Projected | Corrected, *, options: CoaddOptions, execution: Execution) -> Float32Array:
    """Variance of the mosaic from the measured noise of the frames (`ProjectedInfo.noise`), the same for all pixels of a frame."""
    grid = (source.projected if isinstance(source, Corrected) else source).grid
    sink = _VarianceSink(grid.shape)
    coadd_frames(source, grid, sink, options=options, execution=execution, from_noise=True)
    return sink.variance


def coadd_frames(
    source: Projected | Corrected,
    grid: MosaicGrid,
    sink: Sink,
    *,
    options: CoaddOptions,
    execution: Execution,
    from_noise: bool = False,
) -> int:
    """Add the frames up, band by band; returns the number of pixels that got a value.

    With `from_noise` a frame without a variance plane gets a variance from its measured noise.
    """
    projected, model = (source.projected, source.background.model) if isinstance(source, Corrected) else (source, None)
    infos = frames_in_order(projected, combine=options.combine)
    execution = execution.for_pixels(sum(info.box.size for info in infos))
    bands = _bands(infos, grid, execution)
    maker = _BandMaker(projected, model, infos, bands[0].shape, options, from_noise=from_noise)
    filled = 0
    execution.progress.start("coadd", len(bands))
    local = Execution(jobs=execution.jobs, max_memory=execution.max_memory)  # bands are shared memory work: threads of this process
    names = [f"rows {band.ymin} to {band.ymax - 1}" for band in bands]
    results = run_tasks(maker.make, bands, execution=local, stage="coadd", names=names)
    with closing(results):
        for box, (band, coadder) in zip(bands, results, strict=True):
            sink.write(box.ymin, band)
            filled += int(np.count_nonzero(band.count))
            maker.give_back(coadder)
            execution.progress.advance()
    execution.progress.finish(f"{filled} pixels")
    return filled


def _bands(infos: Sequence[ProjectedInfo], grid: MosaicGrid, execution: Execution) -> list[PixelBox]:
    """Bands of rows such that what all threads hold at once stays in the memory budget."""
    ny, nx = grid.shape
    depth = _depth(infos, grid)
    planes = max(len(info.planes) for info in infos)
    # out: four float32 planes and two float64 accumulators; in: a copy of the rows of every frame on the band
    per_row = nx * (32 + 4 * planes * depth)
    rows = execution.max_memory // 2 // max(1, per_row * (execution.n_threads + 1))
    # beyond 128 rows nothing is gained and the buffers leave the cache; below 8 the calls cost more than the work
    rows = int(np.clip(rows, 8, 128))
    return [PixelBox(y, min(y + rows, ny), 0, nx) for y in range(0, ny, rows)]


def _depth(infos: Sequence[ProjectedInfo], grid: MosaicGrid) -> float:
    """Mean number of frames on a row, in units of the grid's width, at the fullest of a few rows."""
    ny, nx = grid.shape
    rows = np.linspace(0, ny - 1, 17)
    widths = [sum(info.box.intersection(grid.box).shape[1] for info in infos if info.box.ymin <= y < info.box.ymax) for y in rows]
    return max(widths) / nx


class _BandMaker:
    """Makes one band after the other with buffers that are used again."""

    def __init__(
        self,
        projected: Projected,
        model: BackgroundModel | None,
        infos: Sequence[ProjectedInfo],
        largest: tuple[int, int],
        options: CoaddOptions,
        *,
        from_noise: bool,
    ) -> None:
        self._projected, self._model, self._infos, self._largest, self._options = projected, model, infos, largest, options
        self._with_variance = from_noise or has_variance(projected, options)
        self._from_noise = from_noise
        self._free: list[Coadder] = []
        self._lock = threading.Lock()

    def make(self, box: PixelBox) -> tuple[Band, Coadder]:
        """Make one band, with the coadder whose buffers it lives in."""
        from nbmosaic.core.coadd import Coadder

        with self._lock:
            coadder = self._free.pop() if self._free else None
        if coadder is None:
            options = self._options
            coadder = Coadder(
                *self._largest, combine=options.combine, weighting=options.weighting, kappa=options.kappa, variance=self._with_variance
            )
        return coadder.combine_band(box, [part for info in self._infos if (part := self._part(info, box)) is not None]), coadder

    def give_back(self, coadder: Coadder) -> None:
        """The band was written; the buffers may be used again."""
        with self._lock:
            self._free.append(coadder)

    def _part(self, info: ProjectedInfo, band: PixelBox) -> BandInput | None:
        from nbmosaic.core.coadd import BandInput
        from nbmosaic.core.matching.apply import plane_coefficients

        box = info.box.intersection(band)
        if box.empty:
            return None
        read = self._projected.store.read
        data = read(info.index, "data", box)
        assert data is not None
        variance = None
        if self._from_noise and "variance" not in info.planes:
            variance = np.full(box.shape, info.noise**2, np.float32)
        elif self._with_variance or self._options.weighting == "variance":
            variance = read(info.index, "variance", box)
        return BandInput(
            box=box,
            data=data,
            area=read(info.index, "area", box),
            weight=read(info.index, "weight", box) if self._options.weighting == "weight" else None,
            variance=variance,
            plane=(0.0, 0.0, 0.0) if self._model is None else plane_coefficients(self._model, info.index),
            noise=info.noise,
        )
