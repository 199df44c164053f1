"""Sky levels and gains of the pieces of dithered exposures, from their overlaps and the global background model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import Float32Array
from nbmosaic.errors import DisconnectedMosaicWarning, NoOverlapError
from nbmosaic.pipeline.camera.product import PieceRecord
from nbmosaic.pipeline.camera.store import PieceStore
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.products import Frames, Projected
from nbmosaic.types import MosaicGrid, PixelBox, ProjectedInfo

if TYPE_CHECKING:
    from nbmosaic.io.exposure import Exposure, Piece

__all__ = ["MatchedPieces", "match_pieces"]

MIN_PIXELS = 50
"""Overlaps with fewer valid pixels are not used, as in the stage `overlaps`."""


@dataclass(frozen=True, kw_only=True)
class MatchedPieces:
    """Levels to subtract and factors to apply, by the index of a piece, with standard errors."""

    levels: Mapping[int, float]
    factors: Mapping[int, float]
    errors: Mapping[int, float]

    def noted(self, record: PieceRecord, index: int) -> PieceRecord:
        """The record of a piece with its level or gain."""
        if index in self.levels:
            return replace(record, level=self.levels[index], level_err=self.errors[index])
        if index in self.factors:
            return replace(record, gain=1.0 / self.factors[index], gain_err=self.errors[index] / self.factors[index])
        return record


class _LogStore:
    """Logarithms of the pixels of a store: a gain is a level there."""

    def __init__(self, store: PieceStore) -> None:
        self._store = store

    def read(self, index: int, plane: str, box: PixelBox) -> Float32Array | None:
        found = self._store.read(index, plane, box)
        if plane != "data" or found is None:
            return found
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(found > 0, np.log(found), np.float32(np.nan)).astype(np.float32)


def match_pieces(
    exposures: Sequence[Exposure],
    infos: Sequence[Sequence[ProjectedInfo]],
    store: PieceStore,
    grid: MosaicGrid,
    matching: str,
    execution: Execution,
) -> MatchedPieces:
    """Solve for the levels (or gains) of all pieces at once.

    A level each makes the overlapping pieces of different exposures agree; the sum of the levels is zero. Gains are levels of the logarithm, which
    needs a sky that is positive and much larger than its noise; their product is 1.

    Raises
    ------
    NoOverlapError
        No two pieces overlap.
    """
    from nbmosaic.pipeline.matching import fit_overlaps, solve

    flat = [info for own in infos for info in own]
    frames = Frames(tuple(piece.info for exposure, own in zip(exposures, infos, strict=True) for piece in _named(exposure, own)))
    if matching == "gain":
        flat = [replace(info, noise=_log_noise(info, store)) for info in flat]
    projected = Projected(
        frames=frames,
        grid=grid,
        infos=tuple(flat),
        store=store if matching == "level" else _LogStore(store),  # type: ignore[arg-type] # reads are all that is asked of it
        method="",
        conserve="",
        coarse_step=8,
    )
    quiet = Execution(jobs=1, max_memory=execution.max_memory, scratch=execution.scratch)
    overlaps = fit_overlaps(projected, slope=False, sigma=3.0, max_iterations=10, min_pixels=MIN_PIXELS, execution=quiet)
    background = solve(overlaps, slope=False, weighting="pixels", reference=(), exclude=(), slope_prior=None, robust=False, errors=None)
    model = background.model
    if not (model.weight > 0).any():
        raise NoOverlapError("no two pieces overlap: nothing can be matched", hint="give dithered exposures, or leave out match")
    if model.n_components > 1:
        warnings.warn(
            f"the pieces fall into {model.n_components} groups that share no overlap, so their levels cannot be tied",
            DisconnectedMosaicWarning,
            stacklevel=2,
        )
    found = {int(index): float(model.planes[row, 2]) for row, index in enumerate(model.frames)}
    stderr = model.stderr
    errors = {int(index): math.nan if stderr is None else float(stderr[row, 2]) for row, index in enumerate(model.frames)}
    if matching == "level":
        return MatchedPieces(levels=found, factors={}, errors=errors)
    return MatchedPieces(levels={}, factors={index: math.exp(-value) for index, value in found.items()}, errors=errors)


def _named(exposure: Exposure, infos: Sequence[ProjectedInfo]) -> list[Piece]:
    """Pieces of an exposure in the order in which they were resampled."""
    by_name = {piece.info.name: piece for piece in exposure.pieces}
    return [by_name[info.name] for info in infos]


def _log_noise(info: ProjectedInfo, store: PieceStore) -> float:
    """Noise of the logarithm: that of the values over their median."""
    data = store.read(info.index, "data", info.box)
    sample = np.empty(0, np.float32) if data is None else data[::8, ::8]
    sample = sample[np.isfinite(sample)]
    level = float(np.median(sample)) if sample.size else 0.0
    return info.noise / level if level > 0 else 0.0
