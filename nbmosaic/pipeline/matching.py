"""The overlaps and background stages: order of work; the formulas are in `nbmosaic.core.matching`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.execution import Execution, run_tasks
from nbmosaic.pipeline.products import Background, Overlaps, Projected
from nbmosaic.pipeline.store import FrameStore
from nbmosaic.types import CoverageCells, OverlapPlanes, PixelBox, ProjectedInfo

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.core.matching.planes import OverlapFit

__all__ = ["fit_overlaps", "overlaps_of_table", "solve"]


@dataclass(frozen=True, kw_only=True)
class PairTask:
    """One pair of projected frames to be compared."""

    plus: ProjectedInfo
    minus: ProjectedInfo
    store: FrameStore
    slope: bool
    sigma: float
    max_iterations: int
    min_pixels: int


def fit_overlaps(
    projected: Projected, *, slope: bool, sigma: float, max_iterations: int, min_pixels: int, execution: Execution
) -> Overlaps:
    """Fit the difference of every overlapping pair of projected frames."""
    from nbmosaic.core.matching.coverage import coverage_cells
    from nbmosaic.core.matching.pairs import find_pairs
    from nbmosaic.core.matching.planes import stack_fits

    infos = projected.infos
    execution = execution.for_pixels(sum(info.box.size for info in infos))
    if not execution.in_process:
        projected.store.share()
    boxes = np.array([_box_row(info.box) for info in infos], dtype=np.int64).reshape(-1, 4)
    tasks = [
        PairTask(
            plus=_light(infos[i]),
            minus=_light(infos[j]),
            store=projected.store,
            slope=slope,
            sigma=sigma,
            max_iterations=max_iterations,
            min_pixels=min_pixels,
        )
        for i, j in find_pairs(boxes)
    ]
    rows: list[OverlapFit] = []
    execution.progress.start("overlaps", len(tasks))
    results = run_tasks(
        pair_task,
        tasks,
        execution=execution,
        stage="overlaps",
        names=[f"{task.plus.name} and {task.minus.name}" for task in tasks],
        marks=None if execution.in_process else projected.store.folder,
    )
    with closing(results):
        for fit in results:
            execution.progress.advance()
            if fit.n_valid > 0:
                rows.append(fit)
    execution.progress.finish(f"{len(rows)} overlaps fitted")
    cells = coverage_cells([info.coarse for info in infos], [info.coarse_box for info in infos], projected.coarse_step)
    members = tuple(tuple(infos[row].index for row in rows) for rows in cells.members)
    crpix1, crpix2 = (float(value) for value in projected.grid.wcs.wcs.crpix[:2])
    return Overlaps(
        planes=stack_fits(rows),
        cells=replace(cells, members=members),
        names={info.index: info.name for info in infos},
        boxes={info.index: info.box for info in infos},
        origin=(crpix1, crpix2),
        unit=projected.unit,
    )


def _light(info: ProjectedInfo) -> ProjectedInfo:
    """The info without its coarse validity, which a pair does not need and a pickle would carry."""
    return ProjectedInfo(index=info.index, name=info.name, box=info.box, n_good=info.n_good, planes=info.planes, noise_gain=info.noise_gain)


def _box_row(box: PixelBox) -> tuple[int, int, int, int]:
    return box.ymin, box.ymax, box.xmin, box.xmax


def pair_task(task: PairTask) -> OverlapFit:
    """Fit one pair."""
    from nbmosaic.core.matching.planes import fit_overlap

    box = task.plus.box.intersection(task.minus.box)
    read = task.store.read
    plus, minus = read(task.plus.index, "data", box), read(task.minus.index, "data", box)
    assert plus is not None
    assert minus is not None
    return fit_overlap(
        plus,
        minus,
        box,
        plus_area=read(task.plus.index, "area", box),
        minus_area=read(task.minus.index, "area", box),
        slope=task.slope,
        sigma=task.sigma,
        max_iterations=task.max_iterations,
        min_pixels=task.min_pixels,
        noise_gain=0.5 * (task.plus.noise_gain + task.minus.noise_gain),
        plus_index=task.plus.index,
        minus_index=task.minus.index,
    )


ERRORS_UP_TO = 2000
"""Frames for which standard errors are computed unless it is said: they take 2 s for 1000."""


def overlaps_of_table(table: pd.DataFrame, *, errors: bool | None = None) -> Overlaps:
    """Overlaps from a fits table: with its pixel moments where it has them, else with the moments of Montage's boxes.

    Parameters
    ----------
    table : DataFrame
        Montage's columns; ours, if it has them.
    errors : bool, optional
        Whether standard errors will be asked for: they need the regions that three frames share, here from the rectangles of the overlaps.

    Raises
    ------
    InputError
        A column is missing or holds something that is not a number.
    """
    from nbmosaic.core.matching.rectangle_coverage import cells_of_rectangles
    from nbmosaic.pipeline.tables import planes_of_table

    planes, origin = planes_of_table(table)
    indices = np.unique(np.concatenate([planes.plus, planes.minus]))
    names = {int(index): str(index) for index in indices}
    for side in ("plus", "minus"):
        if f"{side}_name" in table.columns:
            names.update(zip((int(i) for i in table[side]), (str(n) for n in table[f"{side}_name"]), strict=True))
    cells = CoverageCells()
    if errors if errors is not None else len(indices) <= ERRORS_UP_TO:
        compact = planes.replace(plus=np.searchsorted(indices, planes.plus), minus=np.searchsorted(indices, planes.minus))
        cells = cells_of_rectangles(compact, len(indices))
        cells = replace(cells, members=tuple(tuple(int(indices[k]) for k in members) for members in cells.members))
    return Overlaps(planes=planes, cells=cells, names=names, boxes=_boxes_of_planes(planes), origin=origin)


def _boxes_of_planes(planes: OverlapPlanes) -> dict[int, PixelBox]:
    """Box of each frame as far as its overlaps tell."""
    members, place = np.unique(np.concatenate([planes.plus, planes.minus]), return_inverse=True)
    rows = np.tile(planes.box, (2, 1)).astype(np.int64)
    boxes = np.tile(np.array([1, -1, 1, -1]) * np.iinfo(np.int64).max, (len(members), 1))
    for column, widen in enumerate((np.minimum, np.maximum, np.minimum, np.maximum)):
        widen.at(boxes[:, column], place, rows[:, column])
    return {index: PixelBox(*row) for index, row in zip(members.tolist(), boxes.tolist(), strict=True)}


def solve(
    overlaps: Overlaps,
    *,
    slope: bool,
    weighting: Literal["pixels", "noise"],
    reference: Sequence[int | str],
    exclude: Sequence[Any],
    slope_prior: float | None,
    robust: bool,
    errors: bool | None,
) -> Background:
    """Solve the global background model."""
    from nbmosaic.core.matching.apply import centre_levels
    from nbmosaic.core.matching.background import solve_background
    from nbmosaic.core.matching.misfit import enlarge_errors, misfit_factor

    indices = np.array(sorted(overlaps.names), dtype=np.int64)
    boxes = np.array([_box_row(overlaps.boxes[int(index)]) for index in indices], dtype=np.int64).reshape(-1, 4)
    place = {int(index): row for row, index in enumerate(indices)}
    planes = overlaps.planes
    compact = planes.replace(
        plus=np.array([place[int(i)] for i in planes.plus], dtype=np.int64),
        minus=np.array([place[int(i)] for i in planes.minus], dtype=np.int64),
    )
    cells = CoverageCells(
        members=tuple(tuple(place[i] for i in members) for members in overlaps.cells.members), moments=overlaps.cells.moments
    )
    model = solve_background(
        compact,
        len(indices),
        boxes=boxes,
        origin=overlaps.origin,
        slope=slope,
        weighting=weighting,
        reference=tuple(place[i] for i in frame_indices(reference, overlaps.names, option="reference")),
        exclude=excluded_rows(exclude, overlaps),
        slope_prior=slope_prior,
        robust=robust,
        errors=errors if errors is not None else len(indices) <= ERRORS_UP_TO,
        cells=cells,
        keys=[overlaps.names[int(index)] for index in indices],
    )
    model = enlarge_errors(model, misfit_factor(compact, model))
    level, level_stderr = centre_levels(model, boxes)
    return Background(model=replace(model, frames=indices[model.frames], level=level, level_stderr=level_stderr), overlaps=overlaps)


def frame_indices(chosen: Sequence[int | str], names: Any, *, option: str) -> list[int]:
    """Indices of frames given by index or by (unique end of) name.

    Raises
    ------
    InputError
        There is no such frame, or the name fits several.
    """
    found = []
    for item in chosen:
        if isinstance(item, int | np.integer) or str(item).isdigit():
            if int(item) not in names:
                raise InputError(
                    f"{option}: there is no frame {item}", hint=f"frames are numbered {min(names)} to {max(names)}", option=option
                )
            found.append(int(item))
            continue
        fitting = [index for index, name in names.items() if name == item or name.endswith(str(item))]
        if len(fitting) != 1:
            what = "no frame" if not fitting else f"{len(fitting)} frames"
            raise InputError(f"{option}: {what} named {item!r}", hint="give the index or the full name of the frame", option=option)
        found.append(fitting[0])
    return found


def excluded_rows(pairs: Sequence[Any], overlaps: Overlaps) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mask of the overlaps to leave out, given as pairs of frames (``(0, 3)`` or ``"0-3"``).

    Raises
    ------
    ConfigError
        A pair cannot be read.
    InputError
        There is no such overlap.
    """
    excluded = np.zeros(len(overlaps.planes), bool)
    for pair in pairs:
        ends = pair.split("-") if isinstance(pair, str) else pair
        if isinstance(ends, int | float) or len(ends) != 2:
            raise ConfigError(f"exclude cannot be {pair!r}", hint="write pairs of frames such as 0-3", option="exclude")
        i, j = frame_indices([end if isinstance(end, int) else str(end).strip() for end in ends], overlaps.names, option="exclude")
        rows = ((overlaps.planes.plus == i) & (overlaps.planes.minus == j)) | ((overlaps.planes.plus == j) & (overlaps.planes.minus == i))
        if not rows.any():
            raise InputError(
                f"exclude: frames {i} and {j} do not overlap", hint="look at the table of the overlaps stage", option="exclude"
            )
        excluded |= rows
    return excluded
