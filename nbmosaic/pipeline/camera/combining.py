"""The pieces of an exposure put together, in bands of rows that go straight to where the image lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, Float32Array, IntArray
from nbmosaic.pipeline.camera.store import PieceStore
from nbmosaic.types import PixelBox, ProjectedInfo

__all__ = ["CombineOptions", "ExposureRows", "RowSummary", "combine_pieces"]

_EMPTY = 12
"""Bits of masks of pixels without a value."""
BAND_PIXELS = 1 << 19
"""Pixels of a band: its accumulators (8 bytes a pixel) stay near the processor."""


@dataclass(frozen=True, kw_only=True)
class CombineOptions:
    """How pieces are put together.

    Attributes
    ----------
    rule : str
        See `nbmosaic.core.camera_combine`.
    blank : float
        Value of pixels without data.
    planes : tuple of str
        Planes of the exposure: ``data``, and those of ``variance`` and ``weight`` that all pieces have.
    factors, levels : mapping by index of a piece
        What the values of a piece are multiplied by, and what is subtracted first.
    """

    rule: str = "clean"
    blank: float = np.nan
    planes: tuple[str, ...] = ("data",)
    factors: Mapping[int, float] | None = None
    levels: Mapping[int, float] | None = None


def _numbers(mask: AnyArray) -> dict[int, int]:
    """Number of pixels with each mask."""
    counts = np.bincount(mask.ravel(), minlength=1)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value}


class ExposureRows(Protocol):
    """Takes the rows of an exposure."""

    def write(self, row: int, mask: AnyArray, **planes: Float32Array) -> None:
        """Rows from `row` on; the arrays are used again afterwards."""


class RowSummary:
    """What is known of an exposure from its rows: valid pixels, a lattice of validity, rows to measure the noise on, numbers of flags.

    Parameters
    ----------
    box : PixelBox
        Pixels of the exposure.
    step : int
        Step of the lattice.
    hidden : int
        Bits of the mask whose pixels do not count as valid.
    """

    def __init__(self, box: PixelBox, *, step: int, hidden: int) -> None:
        self.n_good = 0
        self.bits: dict[int, int] = {}
        self._box, self._step, self._hidden = box, step, hidden
        self._coarse: list[AnyArray] = []
        self._rows: list[Float32Array] = []
        self._every = max(1, box.shape[0] // 32)

    def add(self, row: int, data: Float32Array, mask: AnyArray, *, known: tuple[int, Mapping[int, int]] | None = None) -> None:
        """Look at rows from `row` on; `known` : number of values and numbers of masks, where these have been counted."""
        box, step = self._box, self._step
        filled, masks = known if known is not None else (int(np.count_nonzero(np.isfinite(data))), _numbers(mask))
        self.n_good += filled - sum(number for value, number in masks.items() if value & self._hidden and not value & _EMPTY)
        for bit in (1, 2, 4, 8):
            self.bits[bit] = self.bits.get(bit, 0) + sum(number for value, number in masks.items() if value & bit)
        first = -(-(box.ymin + row) // step) * step - (box.ymin + row)
        column = -(-box.xmin // step) * step - box.xmin
        self._coarse.append(self._seen(data, mask, (slice(first, None, step), slice(column, None, step)))[0])
        start = -(-row // self._every) * self._every - row
        good, values = self._seen(data, mask, (slice(start, None, self._every),))
        self._rows.append(np.where(good, values, np.float32(np.nan)))

    def _seen(self, data: Float32Array, mask: AnyArray, where: tuple[slice, ...]) -> tuple[BoolArray, Float32Array]:
        """Which values are valid, and the values, of some pixels."""
        values = data[where]
        return np.isfinite(values) & ((mask[where] & self._hidden) == 0), values

    def info(self, index: int, name: str, planes: tuple[str, ...], *, map_error_pix: float, noise_gain: float) -> ProjectedInfo:
        """What the stages that follow know of the exposure."""
        from nbmosaic.core.noise import pixel_noise

        box, step = self._box, self._step
        coarse = np.concatenate(self._coarse)
        ymin, xmin = -(-box.ymin // step), -(-box.xmin // step)
        return ProjectedInfo(
            index=index,
            name=name,
            box=box,
            n_good=self.n_good,
            planes=planes,
            map_error_pix=map_error_pix,
            noise_gain=noise_gain,
            noise=pixel_noise(np.concatenate(self._rows)),
            coarse=coarse,
            coarse_box=PixelBox(ymin, ymin + coarse.shape[0], xmin, xmin + coarse.shape[1]),
        )


def combine_pieces(
    infos: Sequence[ProjectedInfo],
    store: PieceStore,
    box: PixelBox,
    limits: IntArray,
    sinks: Sequence[ExposureRows],
    *,
    options: CombineOptions,
    summary: RowSummary | None = None,
) -> int:
    """Put pieces together.

    Parameters
    ----------
    infos : sequence of ProjectedInfo
        The pieces, in order.
    store : PieceStore
        Holds their planes and masks.
    box : PixelBox
        Pixels of the exposure.
    limits : ndarray of int64, shape (rows, 2)
        See `nbmosaic.core.camera_combine.hull_limits`.
    sinks : sequence of ExposureRows
        Take the rows.
    options : CombineOptions
        How.
    summary : RowSummary, optional
        Looks at the rows.

    Returns
    -------
    int
        Pixels with a value.
    """
    from nbmosaic.core.camera_combine import PieceBand, PieceCombiner

    ny, nx = box.shape
    rows = max(1, min(ny, BAND_PIXELS // max(1, nx)))
    with_variance, with_weight = "variance" in options.planes, "weight" in options.planes
    combiner = PieceCombiner(rows, nx, rule=options.rule, blank=options.blank, variance=with_variance)
    filled = 0
    for first in range(box.ymin, box.ymax, rows):
        band = PixelBox(first, min(first + rows, box.ymax), box.xmin, box.xmax)
        parts: list[PieceBand] = []
        weights = np.zeros(band.shape, np.float32) if with_weight else None
        for info in infos:
            own = info.box.intersection(band)
            if own.empty:
                continue
            data = store.read_all(info.index, "data", own)
            assert data is not None
            variance = store.read_all(info.index, "variance", own) if with_variance else None
            data, variance = _matched(data, variance, info.index, options)
            parts.append(PieceBand(box=own, data=data, flags=store.read_mask(info.index, own), variance=variance))
            if weights is not None and (weight := store.read_all(info.index, "weight", own)) is not None:
                weights[own.slices(band)] += np.where(np.isfinite(data), weight, 0)
        done = combiner.combine(band, parts, limits[first - box.ymin : band.ymax - box.ymin])
        filled += done.n_good
        planes = {"data": done.data}
        if done.variance is not None:
            planes["variance"] = done.variance
        if weights is not None:
            planes["weight"] = weights
        if summary is not None:
            summary.add(first - box.ymin, done.data, done.mask)
        for sink in sinks:
            sink.write(first - box.ymin, done.mask, **planes)
    return filled


def _matched(
    data: Float32Array, variance: Float32Array | None, index: int, options: CombineOptions
) -> tuple[Float32Array, Float32Array | None]:
    """Values of a piece after its level was subtracted, or its gain divided out."""
    level = (options.levels or {}).get(index, 0.0)
    factor = (options.factors or {}).get(index, 1.0)
    if level == 0.0 and factor == 1.0:
        return data, variance
    data = ((data - np.float32(level)) * np.float32(factor)).astype(np.float32)
    return data, None if variance is None else (variance * np.float32(factor**2)).astype(np.float32)
