"""The coadd stage, whole: where the mosaic goes (memory, scratch file, FITS file) and what it says of its making."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nbmosaic.errors import EmptyMosaicError
from nbmosaic.pipeline.coadding import ArraySink, CoaddOptions, coadd_frames, has_fractional_area, has_variance
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.products import Corrected, Mosaic, Projected
from nbmosaic.pipeline.store import ScratchFolder

__all__ = ["assemble", "provenance"]


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
    in_memory = output is None and _bytes(projected.grid.shape, dtypes, variance=has_variance(projected)) <= execution.max_memory
    if in_memory:
        sink = ArraySink(projected.grid.shape, variance=has_variance(projected), area_dtype=dtypes["area"], count_dtype=dtypes["count"])
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
    from nbmosaic.io.fits_write import MosaicWriter, open_mosaic

    projected = frames.projected if isinstance(frames, Corrected) else frames
    with MosaicWriter(
        path,
        projected.grid,
        unit=unit,
        area_dtype=dtypes["area"],
        count_dtype=dtypes["count"],
        variance=has_variance(projected),
        provenance=notes,
        overwrite=overwrite,
    ) as writer:
        _check_filled(coadd_frames(frames, projected.grid, writer, options=options, execution=execution), len(projected.infos))
    planes = open_mosaic(path)
    return Mosaic(
        data=planes["data"],
        wcs=projected.grid.wcs,
        area=planes["area"],
        count=planes["count"],
        variance=planes.get("variance"),
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
        "weight": options.weighting,
        "inputs": [(info.name, _key(projected, info.index)) for info in projected.infos],
        "left_out": [*projected.frames.skipped, *projected.skipped],
    }
    for package in ("numpy", "scipy", "astropy", "numba"):
        notes[package] = version(package)
    if isinstance(frames, Corrected):
        model = frames.background.model
        notes["background"] = ("planes" if model.slope else "levels") + f", {int((model.weight > 0).sum())} overlaps, {model.gauge}"
    return MappingProxyType(notes)


def _key(projected: Projected, index: int) -> str:
    from nbmosaic.io.hashes import content_key

    return str(content_key(projected.frames.infos[index]))
