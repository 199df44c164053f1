"""The coadd stage, whole: where the mosaic goes (memory, scratch file, FITS file) and what it says of its making."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nbmosaic._types import Float32Array
from nbmosaic.errors import EmptyMosaicError
from nbmosaic.pipeline.coadding import (
    WITHOUT_VARIANCE,
    ArraySink,
    CoaddOptions,
    FileSink,
    coadd_frames,
    has_fractional_area,
    has_variance,
    variance_of_noise,
)
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.notes import current_notes
from nbmosaic.pipeline.outputs import check_not_input
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
        The output cannot be written, or is one of the frames.
    """
    projected = frames.projected if isinstance(frames, Corrected) else frames
    if output is not None:
        check_not_input(output, projected.frames)
    n_frames = len(projected.infos)
    whole = not has_fractional_area(projected)
    count_dtype = _count_dtype(n_frames)
    notes = provenance(frames, options)
    unit = projected.unit
    with_variance = has_variance(projected, options)
    in_memory = (
        output is None and _bytes(projected.grid.shape, count_dtype, whole_area=whole, variance=with_variance) <= execution.max_memory
    )
    if in_memory:
        sink = ArraySink(projected.grid.shape, variance=with_variance, whole_area=whole, count_dtype=count_dtype)
        _check_filled(coadd_frames(frames, projected.grid, sink, options=options, execution=execution), n_frames)
        return Mosaic(
            data=sink.data,
            wcs=projected.grid.wcs,
            area=sink.area,
            count=sink.count,
            variance_plane=sink.variance,
            estimate=noise_estimate(frames, options, execution),
            unit=unit,
            n_frames=n_frames,
            combine=options.combine,
            provenance=notes,
        )
    scratch = None if output is not None else ScratchFolder(execution.scratch_folder())
    path = Path(output) if output is not None else scratch.path / "mosaic.fits"  # type: ignore[union-attr]
    try:
        return _into_file(
            frames,
            path,
            overwrite=overwrite,
            options=options,
            execution=execution,
            unit=unit,
            notes=notes,
            count_dtype=count_dtype,
            owner=scratch,
        )
    except BaseException:
        if scratch is not None:
            scratch.remove()  # the traceback would keep it alive
        raise


def _into_file(
    frames: Corrected | Projected,
    path: Path,
    *,
    overwrite: bool,
    options: CoaddOptions,
    execution: Execution,
    unit: str,
    notes: Mapping[str, Any],
    count_dtype: np.dtype[Any],
    owner: ScratchFolder | None,
) -> Mosaic:
    from nbmosaic.io.fits_write import MosaicWriter
    from nbmosaic.io.mosaic_read import open_mosaic

    projected = frames.projected if isinstance(frames, Corrected) else frames
    whole = not has_fractional_area(projected)
    planes = ["area"] if whole else ["area", "nframes"]
    planes += ["variance"] if has_variance(projected, options) else []
    with MosaicWriter(
        path,
        projected.grid,
        planes=planes,
        dtypes={"area": count_dtype if whole else np.dtype(np.float32), "nframes": count_dtype},
        unit=unit,
        cards=provenance_cards(notes),
        history=provenance_lines(notes),
        overwrite=overwrite,
        spare_cards=0,
    ) as writer:
        _check_filled(
            coadd_frames(frames, projected.grid, FileSink(writer, whole_area=whole), options=options, execution=execution),
            len(projected.infos),
        )
    arrays = open_mosaic(path)
    return Mosaic(
        data=arrays["data"],
        wcs=projected.grid.wcs,
        area=arrays["area"],
        count=arrays.get("nframes", arrays["area"]),
        variance_plane=arrays.get("variance"),
        estimate=noise_estimate(frames, options, execution),
        unit=unit,
        n_frames=len(projected.infos),
        combine=options.combine,
        path=str(path) if owner is None else None,
        provenance=notes,
        owner=owner,
    )


def noise_estimate(frames: Corrected | Projected, options: CoaddOptions, execution: Execution) -> Callable[[], Float32Array] | None:
    """What makes a variance from the measured noise of the frames; None where the combination has no variance."""
    if options.combine in WITHOUT_VARIANCE:
        return None
    quiet = Execution(jobs=execution.jobs, max_memory=execution.max_memory)
    return lambda: variance_of_noise(frames, options=options, execution=quiet)


def _check_filled(filled: int, n_frames: int) -> None:
    if filled == 0:
        raise EmptyMosaicError(
            f"none of the {n_frames} frames puts a valid pixel on the template", hint="check the template's centre and size"
        )


def _count_dtype(n_frames: int) -> np.dtype[Any]:
    """Smallest type that holds the number of frames: it is a plane of the file."""
    return np.dtype(np.uint8 if n_frames < 256 else np.int16 if n_frames < 32768 else np.int32)


def _bytes(shape: tuple[int, int], count_dtype: np.dtype[Any], *, whole_area: bool, variance: bool) -> int:
    return shape[0] * shape[1] * (4 + 4 * variance + count_dtype.itemsize + (0 if whole_area else 4))


def provenance(frames: Corrected | Projected, options: CoaddOptions) -> Mapping[str, Any]:
    """What made the mosaic: versions, options, inputs with their keys."""
    import astropy
    import numba
    import scipy

    from nbmosaic import __version__

    projected = frames.projected if isinstance(frames, Corrected) else frames
    notes: dict[str, Any] = {
        "nbmosaic": __version__,
        "python": sys.version.split()[0],
        "method": projected.method,
        "conserve": projected.conserve,
        "combine": options.combine,
        "weight": options.weighting or "as suits the combination",
        "inputs": [(info.name, _key(projected, info.index)) for info in projected.infos],
        "left_out": [*projected.frames.skipped, *projected.skipped],
    }
    # their own attributes: the metadata of installed packages takes 4 ms each to read
    notes |= {"numpy": np.__version__, "scipy": scipy.__version__, "astropy": astropy.__version__, "numba": numba.__version__}
    run = current_notes()
    notes["recipe"], notes["times"] = run.code, list(run.times)
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
    lines += [f"time: {stage} {seconds:.2f} s" for stage, seconds in notes["times"]]
    lines += [f"recipe: {line}" for line in notes["recipe"].splitlines() if line]
    lines += [f"input: {name} {key}" for name, key in notes["inputs"]]
    return lines + [f"left out: {name}: {reason}" for name, reason in notes["left_out"]]


def _key(projected: Projected, index: int) -> str:
    from nbmosaic.io.meta import content_key, sampled_hash

    key = content_key(projected.frames.infos[index])
    return "in memory" if key is None else f"{key[1]} bytes, sampled blake2b {sampled_hash(key[0])}"
