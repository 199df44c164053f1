"""The project stage: pixel map, pixels, resampling, storage; one task a frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import EmptyMosaicError
from nbmosaic.pipeline.execution import Execution, run_tasks
from nbmosaic.pipeline.notes import current_units
from nbmosaic.pipeline.products import Frames, Projected
from nbmosaic.pipeline.store import FrameStore, write_frame, write_unit
from nbmosaic.types import FrameInfo, FrameSource, MosaicGrid, PixelBox, ProjectedFrame, ProjectedInfo

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap
    from nbmosaic.core.resampling.workspace import Workspace
    from nbmosaic.pipeline.caching.units import UnitFolder

__all__ = ["KEPT_FRACTION", "ProjectionPlan", "project_frames", "projection_plan"]

KEPT_FRACTION = 0.5
"""Part of the memory budget for projected frames that stay in memory; the rest is for buffers of the threads."""
LARGEST_GROWTH = 16
"""A frame is projected whole unless that makes this many times more pixels than the frame and the grid have."""
NO_OVERLAP_WITH_GRID = "outside the grid of the mosaic"
NO_VALID_PIXEL = "no valid pixel"


@dataclass(frozen=True, kw_only=True)
class ProjectTask:
    """Everything that a worker needs to project one frame.

    The pixel maps are fitted before and travel with the task: astropy pickles a WCS through header text, which is off by some 1e-5 mas, and
    the last bit of a result would depend on the executor.
    """

    index: int
    name: str
    source: FrameSource
    shape: tuple[int, int]
    forward: PixelMap
    backward: PixelMap | None
    method: str
    conserve: str
    coarse_step: int
    folder: Path | None
    file: Path | None


def project_frames(frames: Frames, grid: MosaicGrid, *, method: str, conserve: str, execution: Execution) -> Projected:
    """Project every frame that touches the grid.

    Raises
    ------
    EmptyMosaicError
        No frame touches the grid, or none has a valid pixel.
    """
    boxes, skipped = _frame_boxes(frames, grid)
    execution = execution.for_pixels(sum(info.shape[0] * info.shape[1] for info in frames.infos))
    if not boxes:
        raise EmptyMosaicError(
            f"none of the {len(frames)} frames falls on the grid of the mosaic",
            hint="check the template's centre, size and coordinate system",
        )
    use = current_units()
    store = FrameStore(
        execution.scratch_folder(), budget=int(KEPT_FRACTION * execution.max_memory), units=None if use is None else use.units
    )
    folder = None if execution.in_process else store.folder
    step = _coarse_step(list(boxes.values()))
    common = {"method": method, "conserve": conserve, "coarse_step": step, "folder": folder}
    known: dict[int, ProjectedInfo] = {}
    files: dict[int, Path] = {}
    if use is not None:
        keys = _unit_keys(frames, grid, boxes, common)
        files = {index: use.units.path(key) for index, key in keys.items()}
        store.assign(files)
        known = {} if use.fresh else use.units.find(keys, {index: frames.infos[index].name for index in keys})
        use.reused, use.total = len(known), len(boxes)
    tasks = [
        _task(index, frames.infos[index], grid, box, common | {"file": files.get(index)})
        for index, box in boxes.items()
        if index not in known
    ]
    try:
        infos = _run_projections(tasks, store, execution, skipped, known)
    except BaseException:
        store.discard()  # the traceback would keep its files and arrays alive
        if use is not None:
            use.units.leave_if_empty()
        raise
    return Projected(
        frames=frames,
        grid=grid,
        infos=tuple(infos),
        store=store,
        method=method,
        conserve=conserve,
        coarse_step=step,
        skipped=tuple(skipped),
    )


@dataclass(frozen=True, kw_only=True)
class ProjectionPlan:
    """What projecting would do: boxes on the grid, planes of a frame, pixels of all frames, and how many frames are on disk already."""

    boxes: list[PixelBox]
    n_planes: int
    n_pixels: int
    n_known: int


def projection_plan(frames: Frames, grid: MosaicGrid, *, options: Mapping[str, Any], units: UnitFolder | None) -> ProjectionPlan:
    """Say what projecting would do, without reading a pixel."""
    boxes, _ = _frame_boxes(frames, grid)
    method = options.get("method", "spline")
    common = {"method": method, "conserve": options.get("conserve", "surface_brightness"), "coarse_step": 1}
    n_known = 0
    if boxes and units is not None:
        common["coarse_step"] = _coarse_step(list(boxes.values()))
        n_known = sum(units.path(key).exists() for key in _unit_keys(frames, grid, boxes, common).values())
    planes = [getattr(frames.infos[index].source, "planes", None) for index in boxes]
    extra = max((sum(getattr(p, name, None) is not None for name in ("weight", "variance")) for p in planes), default=0)
    return ProjectionPlan(
        boxes=list(boxes.values()),
        n_planes=1 + extra + (method in {"area", "exact"}),
        n_pixels=sum(info.shape[0] * info.shape[1] for info in frames.infos),
        n_known=n_known,
    )


def _unit_keys(frames: Frames, grid: MosaicGrid, boxes: dict[int, PixelBox], common: dict[str, Any]) -> dict[int, str]:
    """Keys of projected frames: everything that can change a bit of one."""
    from nbmosaic.pipeline.caching.keys import Unkeyable, code_version, digest, frame_values

    try:
        shared = digest(code_version(), grid, common["method"], common["conserve"], common["coarse_step"])
        return {index: digest(shared, frame_values(frames.infos[index]), box) for index, box in boxes.items()}
    except Unkeyable:
        return {}


def _run_projections(
    tasks: Sequence[ProjectTask], store: FrameStore, execution: Execution, skipped: list[tuple[str, str]], known: dict[int, ProjectedInfo]
) -> list[ProjectedInfo]:
    """Project all but those that are known; frames without a valid pixel are added to `skipped`."""
    found = dict(known)
    execution.progress.start("project", len(tasks) + len(known))
    if known:
        execution.progress.advance(len(known))
    results = run_tasks(
        _task_function(execution, store),
        tasks,
        execution=execution,
        stage="project",
        names=[task.name for task in tasks],
        marks=None if execution.in_process else store.folder,
    )
    with closing(results):
        for info in results:
            execution.progress.advance()
            found[info.index] = info
    infos: list[ProjectedInfo] = []
    for index in sorted(found):
        info = found[index]
        if info.n_good == 0:
            skipped.append((info.name, NO_VALID_PIXEL))
            continue
        store.know(info)
        infos.append(info)
    execution.progress.finish(f"{len(infos)} frames projected")
    if not infos:
        raise EmptyMosaicError("no frame puts a valid pixel on the grid", hint="look at the masks and at BLANK in the headers")
    return infos


def _task(index: int, info: FrameInfo, grid: MosaicGrid, box: PixelBox, common: dict[str, Any]) -> ProjectTask:
    from nbmosaic.core.geometry.corners import corner_map
    from nbmosaic.core.geometry.pixmap import fit_pixel_map

    forward = fit_pixel_map(grid.wcs, info.wcs, box, info.shape, source_shape=grid.shape)
    backward = corner_map(info.wcs, info.shape, grid, box) if common["method"] == "exact" else None
    return ProjectTask(index=index, name=info.name, source=info.source, shape=info.shape, forward=forward, backward=backward, **common)


def _frame_boxes(frames: Frames, grid: MosaicGrid) -> tuple[dict[int, PixelBox], list[tuple[str, str]]]:
    from nbmosaic.core.geometry.pixmap import frame_box

    boxes: dict[int, PixelBox] = {}
    skipped: list[tuple[str, str]] = []
    for index, info in enumerate(frames.infos):
        box = frame_box(grid.wcs, info.wcs, info.shape, grid_shape=grid.shape)
        if box is not None and box.size > LARGEST_GROWTH * max(grid.box.size, info.shape[0] * info.shape[1]):
            # pixels so much larger than the grid's that the whole frame would not fit any disk: keep the grid and as much again around it
            box = frame_box(grid.wcs, info.wcs, info.shape, grid_shape=grid.shape, within=grid.box.expand(max(grid.shape)))
        if box is None or box.intersection(grid.box).empty:
            skipped.append((info.name, NO_OVERLAP_WITH_GRID))
        else:
            boxes[index] = box
    return boxes, skipped


def _coarse_step(boxes: Sequence[PixelBox]) -> int:
    # 64 samples along a typical frame: the moments of a region 10 % of the frame wide are then good to a few per cent
    side = float(np.median([np.sqrt(box.size) for box in boxes]))
    return int(np.clip(side // 64, 1, 16))


def _task_function(execution: Execution, store: FrameStore) -> Callable[[ProjectTask], ProjectedInfo]:
    if not execution.in_process:
        return project_into_folder
    buffers = threading.local()

    def run(task: ProjectTask) -> ProjectedInfo:
        if not hasattr(buffers, "workspace"):
            from nbmosaic.core.resampling.workspace import Workspace

            buffers.workspace = Workspace()
        info, frame = project_one(task, workspace=buffers.workspace)
        if info.n_good:
            store.keep(info, frame)
        elif task.file is not None:
            write_unit(task.file, info, frame)
        return info

    return run


def project_into_folder(task: ProjectTask) -> ProjectedInfo:
    """Project one frame in another process; its pixels go to the scratch folder."""
    assert task.folder is not None
    info, frame = project_one(task)
    if task.file is not None:
        write_unit(task.file, info, frame)
    elif info.n_good:
        write_frame(task.folder, task.index, frame)
    return info


def project_one(task: ProjectTask, *, workspace: Workspace | None = None) -> tuple[ProjectedInfo, ProjectedFrame]:
    """Project one frame; with a workspace its pixels hold until the workspace is used again."""
    from nbmosaic.core.matching.apply import sample_validity
    from nbmosaic.core.noise import pixel_noise
    from nbmosaic.core.resampling.resample import resample_frame

    pixels = task.source.load() if workspace is None else task.source.load(workspace.array("pixels", task.shape, "f4"))
    frame = resample_frame(pixels, task.forward, method=task.method, conserve=task.conserve, backward=task.backward, workspace=workspace)
    coarse, coarse_box = sample_validity(frame.data, frame.box, task.coarse_step)
    n_good = count_finite(frame)
    info = ProjectedInfo(
        index=task.index,
        name=task.name,
        box=frame.box,
        n_good=n_good,
        planes=_plane_names(frame),
        map_error_pix=frame.map_error_pix,
        noise_gain=frame.noise_gain,
        noise=pixel_noise(frame.data),
        coarse=coarse,
        coarse_box=coarse_box,
    )
    return info, frame


def count_finite(frame: ProjectedFrame) -> int:
    """Number of valid pixels, counted in strips of rows (no temporary array of the frame's size)."""
    return sum(int(np.count_nonzero(np.isfinite(frame.data[row : row + 64]))) for row in range(0, frame.data.shape[0], 64))


def _plane_names(frame: ProjectedFrame) -> tuple[str, ...]:
    return tuple(name for name in ("data", "area", "weight", "variance") if getattr(frame, name) is not None)
