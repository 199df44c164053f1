"""The coadd stage, whole: where the mosaic goes (memory, scratch file, FITS file) and what it says of its making."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nbmosaic.errors import EmptyMosaicError
from nbmosaic.pipeline.coadding import ArraySink, CoaddOptions, FileSink, coadd_frames, has_fractional_area, has_variance
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.products import Corrected, Mosaic, Projected
from nbmosaic.pipeline.store import ScratchFolder

__all__ = ["assemble", "provenance", "provenance_cards", "provenance_lines"]


def assemble(frames: Corrected | Projected, *, options: CoaddOptions, output: str | None, overwrite: bool, execution: Execution) -> Mosaic:
    """Make the mosaic of projected frames.

    Raises
    ------
    EmptyMosaicError
        No pixel got a value.
    FormatError
        The output cannot be written.
    """
    projected = frames.projected if isinstance(frames, Corrected) else frames
    n_frames = len(projected.infos)
    dtypes = _dtypes(projected, n_frames)
    notes = provenance(frames, options)
    unit = _unit(projected)
    in_memory = output is None and _bytes(projected.grid.shape, dtypes, variance=has_variance(projected, options)) <= execution.max_memory
    if in_memory:
        sink = ArraySink(projected.grid.shape, variance=has_variance(projected, options), area_dtype=dtypes["area"], count_dtype=dtypes["count"])
        _check_filled(coadd_frames(frames, projected.grid, sink, options=options, execution=execution), n_frames)
        return Mosaic(
            data=sink.data,
            wcs=projected.grid.wcs,
            area=sink.area,
            count=sink.count,
            variance=sink.variance,
            unit=unit,
            n_frames=n_frames,
            combine=options.combine,
            provenance=notes,
        )
    scratch = None if output is not None else ScratchFolder(execution.scratch_folder())
    path = Path(output) if output is not None else scratch.path / "mosaic.fits"  # type: ignore[union-attr]
    return _into_file(
        frames, path, overwrite=overwrite, options=options, execution=execution, unit=unit, notes=notes, dtypes=dtypes, owner=scratch
    )


def _into_file(
    frames: Corrected | Projected,
    path: Path,
    *,
    overwrite: bool,
    options: CoaddOptions,
    execution: Execution,
    unit: str,
    notes: Mapping[str, Any],
    dtypes: Mapping[str, np.dtype[Any]],
    owner: ScratchFolder | None,
) -> Mosaic:
    from nbmosaic.io.fits_write import MosaicWriter
    from nbmosaic.io.mosaic_read import open_mosaic

    projected = frames.projected if isinstance(frames, Corrected) else frames
    planes = ("area", "nframes", "variance") if has_variance(projected, options) else ("area", "nframes")
    with MosaicWriter(
        path,
        projected.grid,
        planes=planes,
        dtypes={"area": dtypes["area"], "nframes": dtypes["count"]},
        unit=unit,
        cards=provenance_cards(notes),
        history=provenance_lines(notes),
        overwrite=overwrite,
    ) as writer:
        _check_filled(coadd_frames(frames, projected.grid, FileSink(writer), options=options, execution=execution), len(projected.infos))
    arrays = open_mosaic(path)
    return Mosaic(
        data=arrays["data"],
        wcs=projected.grid.wcs,
        area=arrays["area"],
        count=arrays["nframes"],
        variance=arrays.get("variance"),
        unit=unit,
        n_frames=len(projected.infos),
        combine=options.combine,
        path=str(path) if owner is None else None,
        provenance=notes,
        owner=owner,
    )


def _check_filled(filled: int, n_frames: int) -> None:
    if filled == 0:
        raise EmptyMosaicError(
            f"none of the {n_frames} frames puts a valid pixel on the template", hint="check the template's centre and size"
        )


def _dtypes(projected: Projected, n_frames: int) -> dict[str, np.dtype[Any]]:
    """Whole numbers where the coverage is a whole number: a quarter of the file."""
    count = np.dtype(np.uint8 if n_frames < 256 else np.int16 if n_frames < 32768 else np.int32)
    return {"count": count, "area": np.dtype(np.float32) if has_fractional_area(projected) else count}


def _bytes(shape: tuple[int, int], dtypes: Mapping[str, np.dtype[Any]], *, variance: bool) -> int:
    return shape[0] * shape[1] * (4 + 4 * variance + sum(dtype.itemsize for dtype in dtypes.values()))


def _unit(projected: Projected) -> str:
    units = {str(projected.frames.infos[info.index].meta.get("unit") or "") for info in projected.infos}
    return units.pop() if len(units) == 1 else ""


def provenance(frames: Corrected | Projected, options: CoaddOptions) -> Mapping[str, Any]:
    """What made the mosaic: versions, options, inputs with their keys."""
    from importlib.metadata import version

    projected = frames.projected if isinstance(frames, Corrected) else frames
    notes: dict[str, Any] = {
        "nbmosaic": version("nbmosaic"),
        "python": sys.version.split()[0],
        "method": projected.method,
        "conserve": projected.conserve,
        "combine": options.combine,
        "weight": options.weighting or "as suits the combination",
        "inputs": [(info.name, _key(projected, info.index)) for info in projected.infos],
        "left_out": [*projected.frames.skipped, *projected.skipped],
    }
    for package in ("numpy", "scipy", "astropy", "numba"):
        notes[package] = version(package)
    if isinstance(frames, Corrected):
        model = frames.background.model
        notes["background"] = ("planes" if model.slope else "levels") + f", {int((model.weight > 0).sum())} overlaps, {model.gauge}"
    return MappingProxyType(notes)


def provenance_cards(notes: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """Keywords of the mosaic's header."""
    return [
        ("CREATOR", f"nbmosaic {notes['nbmosaic']}", "program that made the mosaic"),
        ("METHOD", notes["method"], "resampling kernel"),
        ("CONSERVE", notes["conserve"], "what resampling conserves"),
        ("COMBINE", notes["combine"], "how frames were combined"),
        ("NCOMBINE", len(notes["inputs"]), "number of frames"),
    ]


def provenance_lines(notes: Mapping[str, Any]) -> list[str]:
    """HISTORY lines of the mosaic's header."""
    versions = ", ".join(f"{name} {notes[name]}" for name in ("python", "numpy", "scipy", "astropy", "numba"))
    lines = [f"made with {versions}", f"weight: {notes['weight']}", f"background: {notes.get('background', 'not matched')}"]
    lines += [f"input: {name} {key}" for name, key in notes["inputs"]]
    return lines + [f"left out: {name}: {reason}" for name, reason in notes["left_out"]]


def _key(projected: Projected, index: int) -> str:
    from nbmosaic.io.meta import content_key

    key = content_key(projected.frames.infos[index])
    return "in memory" if key is None else f"{key[1]} bytes, mtime {key[2]} ns"
