"""Exposures resampled: pieces placed, resampled and put together, on one tangent plane."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import EmptyMosaicError, InputError, NbmosaicError, PrecisionWarning, SkippedFrameWarning
from nbmosaic.pipeline.camera.canvas import Canvas, PlanesDifferError, can_merge
from nbmosaic.pipeline.camera.combining import CombineOptions, RowSummary, combine_pieces
from nbmosaic.pipeline.camera.pieces import PieceBuffers, PieceOptions, PlacedPiece, place_piece, resample_one
from nbmosaic.pipeline.camera.product import ExposureRecord, ExposureSource, MosaicExposure, PieceRecord
from nbmosaic.pipeline.camera.store import PieceStore
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.products import Frames
from nbmosaic.types import FrameInfo, MosaicGrid, PixelBox, ProjectedInfo

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.io.exposure import Exposure
    from nbmosaic.io.headers import Card

__all__ = ["HIDDEN", "KEPT_FRACTION", "exposure_cards", "outline_limits", "place_exposure", "project_exposures", "resample_pieces"]

KEPT_FRACTION = 0.2
"""Part of the memory budget for resampled pieces that stay in memory; another such part is for the exposures, the rest for buffers."""
HIDDEN = {"exclude": 0, "interpolate": 1, "flag": 1}
"""Bits of the mask whose pixels the stages that follow do not see: those that bad pixels have a part in."""
FAR_DEGREES = 6.0
"""Distance from the tangent point beyond which a warning is given: pixels are stretched by more than 1 per cent there."""
NOTHING_ON_GRID = "outside of the output grid"
NO_VALID_PIXEL = "no valid pixel"


def place_exposure(
    exposure: Exposure, grid: WCS, options: PieceOptions, *, within: PixelBox | None = None
) -> tuple[list[PlacedPiece], list[tuple[str, str]]]:
    """Place the pieces of an exposure; those that do not touch `within` are named with the reason."""
    placed: list[PlacedPiece] = []
    skipped: list[tuple[str, str]] = []
    for piece in exposure.pieces:
        found = place_piece(piece, grid, options, within=within)
        if found is None:
            skipped.append((piece.info.name, NOTHING_ON_GRID))
        else:
            placed.append(found)
    _warn_far(exposure, placed, grid)
    return placed, skipped


def _warn_far(exposure: Exposure, placed: Sequence[PlacedPiece], grid: WCS) -> None:
    """Say that an exposure lies so far from the tangent point that its pixels are stretched: the reference may be a wrong one."""
    from nbmosaic.core.geometry.exposure_grid import tangent_angle

    if not placed or not str(grid.wcs.ctype[0]).endswith("TAN"):
        return
    angle = max(tangent_angle(grid, *one.outline) for one in placed)
    if angle > FAR_DEGREES:
        stretch = 100.0 * (1.0 / math.cos(math.radians(angle)) ** 2 - 1.0)
        warnings.warn(
            f"{exposure.name} lies {angle:.0f} degrees from the tangent point of the output, which stretches its pixels by {stretch:.0f} per cent: "
            "check the reference",
            PrecisionWarning,
            stacklevel=5,
        )


def resample_pieces(
    placed: Sequence[PlacedPiece],
    options: PieceOptions,
    store: PieceStore | Canvas,
    buffers: PieceBuffers,
    *,
    first_index: int = 0,
    tell: Callable[[PlacedPiece], None] | None = None,
) -> list[ProjectedInfo]:
    """Resample pieces into a store, or an image, one after the other."""
    from nbmosaic.core.matching.apply import sample_validity
    from nbmosaic.core.noise import pixel_noise

    infos: list[ProjectedInfo] = []
    for number, one in enumerate(placed):
        if tell is not None:
            tell(one)
        done = resample_one(one, options, buffers)
        frame = done.frame
        coarse, coarse_box = sample_validity(frame.data, frame.box, 8)
        info = ProjectedInfo(
            index=first_index + number,
            name=one.piece.info.name,
            box=frame.box,
            n_good=done.n_good,
            planes=tuple(name for name in ("data", "weight", "variance") if getattr(frame, name) is not None),
            map_error_pix=one.error_pix,
            noise_gain=frame.noise_gain,
            noise=pixel_noise(frame.data),
            coarse=coarse,
            coarse_box=coarse_box,
        )
        store.keep_piece(info, frame, done.mask)
        infos.append(info)
    return infos


def outline_limits(placed: Sequence[PlacedPiece], box: PixelBox) -> Any:
    """Columns inside the outline of an exposure, see `nbmosaic.core.camera_combine.hull_limits`."""
    from nbmosaic.core.camera_combine import hull_limits

    return hull_limits([one.outline for one in placed], box)


def exposure_cards(exposure: Exposure, n_pieces: int) -> list[Card]:
    """Keywords made from all pieces."""
    from nbmosaic.io.exposure_write import mean_card

    if not exposure.mosaic:
        return []
    headers = [piece.cards for piece in exposure.pieces]
    made = [*mean_card(headers, "GAIN"), *mean_card(headers, "RDNOISE")]
    return [*made, ("NCOMBINE", n_pieces, "number of pieces")]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Job:
    """One exposure with its pieces on the common grid."""

    exposure: Exposure
    placed: list[PlacedPiece]
    skipped: list[tuple[str, str]]
    box: PixelBox


def project_exposures(
    exposures: Sequence[Exposure],
    plane: WCS,
    *,
    options: PieceOptions,
    matching: str,
    within: MosaicGrid | None,
    execution: Execution,
    left_out: Sequence[tuple[str, str]] = (),
    skip_failed: bool = False,
) -> MosaicExposure:
    """Resample exposures onto one tangent plane.

    Parameters
    ----------
    exposures : sequence of Exposure
        The exposures.
    plane : astropy.wcs.WCS
        The tangent plane.
    options : PieceOptions
        How pieces are resampled.
    matching : str
        ``none``, ``level`` or ``gain``.
    within : MosaicGrid, optional
        Grid to use as it is; `plane` is then its WCS.
    execution : Execution
        Memory, scratch folder, progress.
    left_out : sequence of (str, str)
        Exposures that were left out before, and why.
    skip_failed : bool
        Leave out exposures that cannot be placed, with a warning.

    Raises
    ------
    EmptyMosaicError
        No piece puts a valid pixel on the grid.
    """
    fixed = None if within is None else within.box
    jobs, beside = _place_all(exposures, plane, options, fixed, skip_failed=skip_failed)
    grid = MosaicGrid(plane, within.shape) if within is not None else _common_grid(plane, jobs)
    if within is None:  # the maps have to count pixels of the grid, whose first pixel was not known before
        jobs, _ = _place_all([job.exposure for job in jobs], grid.wcs, options, None, skip_failed=False)
    parent, budget = execution.scratch_folder(), int(KEPT_FRACTION * execution.max_memory)
    store = PieceStore(parent, budget=budget, hidden=HIDDEN[options.bad])
    store.rests_on(file for job in jobs for file in job.exposure.files)
    buffers = PieceBuffers()
    execution.progress.start("mscimage", sum(len(job.placed) for job in jobs))
    try:
        maker = _Maker(store, options, execution, buffers)
        if matching == "none":
            for index, job in enumerate(jobs):
                maker.make(index, job)
        else:
            maker.make_matched(jobs, grid, matching)
    except BaseException:
        store.discard()
        raise
    execution.progress.finish(f"{len(maker.infos)} exposures")
    if not any(info.n_good for info in maker.infos):
        raise EmptyMosaicError("no piece puts a valid pixel on the output grid", hint="look at the masks and at the reference")
    frames = Frames(tuple(_frame_info(job, info, grid, store) for job, info in zip(jobs, maker.infos, strict=True)))
    return MosaicExposure(
        frames=frames,
        grid=grid,
        infos=tuple(info for info in maker.infos if info.n_good),
        store=store,
        method=str(options.interpolant),
        conserve="flux" if options.fluxconserve else "surface_brightness",
        coarse_step=maker.step,
        skipped=(*left_out, *beside, *((info.name, NO_VALID_PIXEL) for info in maker.infos if not info.n_good)),
        records=tuple(maker.records),
        pieces=tuple(maker.pieces),
    )


def _place_all(
    exposures: Sequence[Exposure], plane: WCS, options: PieceOptions, fixed: PixelBox | None, *, skip_failed: bool
) -> tuple[list[_Job], list[tuple[str, str]]]:
    jobs: list[_Job] = []
    left_out: list[tuple[str, str]] = []
    for exposure in exposures:
        try:
            placed, skipped = place_exposure(exposure, plane, options, within=fixed)
        except NbmosaicError as error:
            if not skip_failed:
                raise
            left_out.append((exposure.name, str(error)))
            continue
        if not placed:
            left_out.append((exposure.name, NOTHING_ON_GRID))
            continue
        box = placed[0].box
        for one in placed[1:]:
            box = box.union(one.box)
        jobs.append(_Job(exposure=exposure, placed=placed, skipped=skipped, box=box))
    if not jobs and any(reason != NOTHING_ON_GRID for _, reason in left_out):
        raise InputError(f"no exposure can be used; the first, {left_out[0][0]}: {left_out[0][1]}")
    if not jobs:
        raise EmptyMosaicError(
            f"none of the {len(exposures)} exposures falls on the output grid", hint="choose a reference or template that overlaps them"
        )
    for name, reason in left_out:
        warnings.warn(f"mscimage left out {name}: {reason}", SkippedFrameWarning, stacklevel=4)
    return jobs, left_out


def _common_grid(plane: WCS, jobs: Sequence[_Job]) -> MosaicGrid:
    from nbmosaic.core.geometry.grid import crop_grid

    box = jobs[0].box
    for job in jobs[1:]:
        box = box.union(job.box)
    return crop_grid(MosaicGrid(plane, box.shape), box)


def _frame_info(job: _Job, info: ProjectedInfo, grid: MosaicGrid, store: PieceStore) -> FrameInfo:
    from nbmosaic.core.geometry.grid import crop_grid

    first = job.exposure.pieces[0].info.meta
    meta = {
        "file": first.get("file", ""),
        "hdu": 0,
        "extname": "",
        "size": first.get("size", 0),
        "mtime_ns": first.get("mtime_ns", 0),
        "naxis": 2,
        "in_memory": bool(first.get("in_memory", False)),
        "unit": first.get("unit", ""),
        "exptime": first.get("exptime", math.nan),
        "equinox": first.get("equinox", math.nan),
    }
    source = ExposureSource(store, info)
    return FrameInfo(name=job.exposure.name, shape=info.box.shape, wcs=crop_grid(grid, info.box).wcs, source=source, meta=meta)


class _Maker:
    """Makes one exposure after the other, and keeps the books."""

    def __init__(self, store: PieceStore, options: PieceOptions, execution: Execution, buffers: PieceBuffers) -> None:
        self.infos: list[ProjectedInfo] = []
        self.records: list[ExposureRecord] = []
        self.pieces: list[PieceRecord] = []
        self.step = 8
        self._store, self._options, self._execution, self._buffers = store, options, execution, buffers

    def _piece_store(self) -> PieceStore:
        budget = int(KEPT_FRACTION * self._execution.max_memory)
        return PieceStore(self._execution.scratch_folder(), budget=budget, hidden=HIDDEN[self._options.bad])

    def _resample(self, job: _Job, pieces: PieceStore | Canvas, first_index: int = 0) -> list[ProjectedInfo]:
        return resample_pieces(
            job.placed,
            self._options,
            pieces,
            self._buffers,
            first_index=first_index,
            tell=lambda _: self._execution.progress.advance(),
        )

    def make(self, index: int, job: _Job) -> None:
        """Make one exposure of its own: its pieces are merged as they come, where they may be."""
        if can_merge([one.box for one in job.placed]):
            try:
                self._merge(index, job)
            except PlanesDifferError:
                pass  # rare: the planes that all pieces have are known at the end only
            else:
                return
        pieces = self._piece_store()
        try:
            infos = self._resample(job, pieces)
            self._combine(index, job, infos, pieces, CombineOptions())
        finally:
            pieces.discard()

    def _merge(self, index: int, job: _Job) -> None:
        canvas = self._store.canvas(index, job.box)
        summary = RowSummary(job.box, step=self.step, hidden=HIDDEN[self._options.bad])
        try:
            infos = self._resample(job, canvas)
            for row, rows, filled, masks in canvas.finish(outline_limits(job.placed, job.box)):
                summary.add(row, rows.data, rows.state, known=(filled, masks))
        finally:
            canvas.close()
        records = [_piece_record(index, one, own, canvas.n_bad[own.index]) for one, own in zip(job.placed, infos, strict=True)]
        self._note(index, job, infos, canvas.planes, summary, records)

    def make_matched(self, jobs: Sequence[_Job], grid: MosaicGrid, matching: str) -> None:
        """Make all exposures with the levels or gains of their pieces matched."""
        from nbmosaic.pipeline.camera.matching import match_pieces

        pieces = self._piece_store()
        try:
            infos: list[list[ProjectedInfo]] = []
            for job in jobs:
                infos.append(self._resample(job, pieces, sum(map(len, infos))))
            matched = match_pieces([job.exposure for job in jobs], infos, pieces, grid, matching, self._execution)
            for index, (job, own) in enumerate(zip(jobs, infos, strict=True)):
                self._combine(index, job, own, pieces, CombineOptions(levels=matched.levels, factors=matched.factors))
            self.pieces = [matched.noted(record, place) for place, record in enumerate(self.pieces)]
        finally:
            pieces.discard()

    def _combine(self, index: int, job: _Job, infos: list[ProjectedInfo], pieces: PieceStore, combining: CombineOptions) -> None:
        planes = tuple(name for name in ("data", "weight", "variance") if all(name in info.planes for info in infos))
        summary = RowSummary(job.box, step=self.step, hidden=HIDDEN[self._options.bad])
        writer = self._store.row_writer(index, job.box, planes, np.dtype(np.uint8))
        try:
            combine_pieces(
                infos,
                pieces,
                job.box,
                outline_limits(job.placed, job.box),
                [writer],
                options=replace(combining, planes=planes),
                summary=summary,
            )
        finally:
            writer.close()
        records = [_piece_record(index, one, own, _count_bad(own, pieces)) for one, own in zip(job.placed, infos, strict=True)]
        self._note(index, job, infos, planes, summary, records)

    def _note(
        self,
        index: int,
        job: _Job,
        infos: list[ProjectedInfo],
        planes: tuple[str, ...],
        summary: RowSummary,
        records: list[PieceRecord],
    ) -> None:
        """Enter a finished exposure into the books."""
        from nbmosaic.io.exposure_write import copied_lines

        error = max(one.error_pix for one in job.placed)
        good = sum(info.n_good for info in infos)  # S0 is the same for all pieces: the exposure's gain is the mean over its pixels
        gain = sum(info.noise_gain * info.n_good for info in infos) / good if good else 1.0
        info = summary.info(index, job.exposure.name, planes, map_error_pix=error, noise_gain=gain)
        self._store.know(info)
        self.infos.append(info)
        exposure = job.exposure
        lines = copied_lines([exposure.pieces[0].cards, exposure.primary], mosaic=exposure.mosaic, drop=("GAIN", "RDNOISE"))
        if not exposure.mosaic:
            lines = copied_lines([exposure.pieces[0].cards], mosaic=False)
        self.records.append(
            ExposureRecord(
                name=exposure.name,
                lines=tuple(lines),
                cards=tuple(exposure_cards(exposure, len(job.placed))),
                bits=summary.bits,
                skipped=tuple(job.skipped),
            )
        )
        self.pieces += records


def _count_bad(info: ProjectedInfo, store: PieceStore) -> int:
    """Values of a piece that rest on bad pixels."""
    data = store.read_all(info.index, "data", info.box)
    return 0 if data is None else int(np.count_nonzero(np.isfinite(data) & ((store.read_mask(info.index, info.box) & 1) != 0)))


def _piece_record(exposure: int, placed: PlacedPiece, info: ProjectedInfo, n_bad: int) -> PieceRecord:
    fitted = placed.fitted
    return PieceRecord(
        exposure=exposure,
        name=info.name,
        extname=placed.piece.extname,
        box=info.box,
        n_good=info.n_good,
        n_bad=n_bad,
        map="exact" if fitted is None else f"{fitted.geometry} {fitted.function}",
        map_error_pix=placed.error_pix,
        map_rms_pix=placed.rms_pix,
        fit_rms_x=math.nan if fitted is None else fitted.rms_x,
        fit_rms_y=math.nan if fitted is None else fitted.rms_y,
        n_points=0 if fitted is None else fitted.n_points,
        noise=info.noise,
    )
