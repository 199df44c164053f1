"""Stages on frames: list them, find the grid that holds them, project them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Literal

from nbmosaic.errors import ConfigError, InputError, SkippedFrameWarning, UnitMismatchWarning
from nbmosaic.pipeline.camera.product import MosaicExposure
from nbmosaic.pipeline.choices import Conserve, Method, System
from nbmosaic.pipeline.execution import Progress, stage_execution
from nbmosaic.pipeline.products import Frames, Grid, Projected
from nbmosaic.pipeline.recipe import choose

__all__ = ["header", "images", "project"]


def images(
    *paths: Any,
    hdu: int | str | list[int | str] | None = None,
    weights: Any = None,
    variance: Any = None,
    mask: Any = None,
    mask_bits: int | list[int] | None = None,
    flux_scale: float | str | list[float] | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> Frames:
    """Table of frames from FITS files, globs, folders, extensions, HDUs, CCDData or (array, wcs).

    Only headers are read. Frames keep the order in which they are given; globs and folders are sorted by name.

    Parameters
    ----------
    *paths
        File names, patterns, folders, ``HDUList``, image HDUs, ``CCDData``/``NDData``, ``(array, wcs)``, products of `mscimage`, or lists of these.
    hdu : int, str or list of these, optional
        Which HDUs of a file (a name stands for all of that name); default: all images with a celestial WCS that are not weight, variance or mask planes.
    weights : str or list, optional
        Weight planes: name or number of an extension, a file name with ``{stem}`` in it, a list of files, or arrays.
    variance : str or list, optional
        Variance planes, given as `weights`.
    mask : str or list, optional
        Mask planes (non-zero is bad), given as `weights`.
    mask_bits : int or list of int, optional
        Bits of an integer mask that mean bad; default: all.
    flux_scale : float, str or list of float, optional
        Factor on the data: a number, a header keyword (``FLXSCALE``), a zero point and its target (``MAGZP:25``), or a number for each frame.
    on_error : {"stop", "skip"}
        Whether an unreadable file stops the stage or is left out with a warning.

    Returns
    -------
    Frames
        The frames; `Frames.table` has the columns of Montage's image table.

    Raises
    ------
    FormatError
        A file is missing or not FITS.
    WcsError
        A frame has no celestial coordinates.
    """
    from nbmosaic.io.sources import frame_infos

    made = [info for item in paths if isinstance(item, MosaicExposure) for info in item.frames.infos]
    given = tuple(item for item in paths if not isinstance(item, MosaicExposure))
    if made and not given:
        return Frames(tuple(made))
    infos, skipped = frame_infos(
        given,
        hdu=hdu,
        weight=weights,
        variance=variance,
        mask=mask,
        mask_bits=mask_bits,
        flux_scale=flux_scale,
        on_error="skip" if choose(on_error, ("stop", "skip"), option="on_error") == "skip" else "raise",
    )
    if not infos:
        raise InputError(
            "no frame is left to work on", hint="every input was left out: see the warnings, or run images with on_error='stop'"
        )
    left_out = tuple((item.name, item.reason) for item in skipped)
    _warn_skipped("images", [pair for pair, item in zip(left_out, skipped, strict=True) if not item.expected])
    frames = Frames((*made, *infos), left_out)
    _warn_units(frames)
    return frames


def _warn_skipped(stage: str, skipped: Sequence[tuple[str, str]]) -> None:
    if skipped:
        what = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3]) + (
            f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        )
        warnings.warn(f"{stage} left out {len(skipped)} frame{'s' * (len(skipped) != 1)}: {what}", SkippedFrameWarning, stacklevel=3)


def _warn_units(frames: Frames) -> None:
    units = sorted({str(info.meta.get("unit") or "none") for info in frames.infos})
    if len(units) > 1:
        warnings.warn(
            f"frames have different units ({', '.join(units)}): scale them with flux_scale before they are added",
            UnitMismatchWarning,
            stacklevel=3,
        )
    times = sorted({float(info.meta["exptime"]) for info in frames.infos if info.meta.get("exptime")})
    counts = any(word in unit.lower() for unit in units for word in ("adu", "count", "electron", "dn", "none"))
    if len(times) > 1 and times[-1] > 1.01 * times[0] and counts and all(info.flux_scale == 1.0 for info in frames.infos):
        warnings.warn(
            f"exposure times differ ({times[0]:g} to {times[-1]:g} s) and the unit may be counts: give flux_scale if the frames are not per second",
            UnitMismatchWarning,
            stacklevel=3,
        )


def header(
    frames: MosaicExposure | Frames | None = None,
    template: str | None = None,
    *,
    system: System = "icrs",
    scale: float | None = None,
    north_up: bool = True,
    rotation: float | None = None,
    pad: float = 0.0,
    pad_pix: int = 0,
    max_size: int | None = None,
    projection: str = "TAN",
) -> Grid:
    """Smallest output grid that holds the frames, or a given template.

    Parameters
    ----------
    frames : MosaicExposure or Frames
        The frames; not needed with a template.
    template : str, optional
        Header template file (Montage's text form, or a FITS file) that is used as it is.
    system : {"icrs", "fk5", "fk4", "galactic", "ecliptic"}
        Coordinate system of the grid.
    scale : float, optional
        Pixel scale in arcsec; default: the median of the frames' scales.
    north_up : bool
        North up (the pole of `system`), or the rotation with the smallest area.
    rotation : float, optional
        Rotation of the grid in degrees, in the sense of CROTA2 and of Montage: the y axis lies at position angle (east of north) minus `rotation`.
        Overrides `north_up`.
    pad : float
        Empty margin on every side, as a fraction of the larger axis.
    pad_pix : int
        Empty margin on every side in pixels.
    max_size : int, optional
        Largest number of pixels along an axis; the scale is coarsened to fit.
    projection : str
        Projection code (``TAN``, ``SIN``, ``CAR``, ...).

    Returns
    -------
    Grid
        The grid of the mosaic.
    """
    from nbmosaic.pipeline.grids import grid_of_frames, grid_of_template

    if template is not None:
        made = {"system": system != "icrs", "scale": scale is not None, "north_up": not north_up, "rotation": rotation is not None}
        made |= {"pad": pad != 0, "pad_pix": pad_pix != 0, "max_size": max_size is not None, "projection": projection != "TAN"}
        if any(made.values()):
            idle = ", ".join(name for name, given in made.items() if given)
            raise ConfigError(f"{idle} cannot be used with a template", hint="the template fixes the grid: leave one of them out")
        return Grid(grid_of_template(template))
    if frames is None:
        raise ConfigError("header needs frames or a template", hint="add a line `images ...` before it, or give a template file")
    return Grid(
        grid_of_frames(
            frames.frames if isinstance(frames, MosaicExposure) else frames,
            system=system,
            scale=scale,
            north_up=north_up,
            rotation=rotation,
            pad=pad,
            pad_pix=pad_pix,
            max_size=max_size,
            projection=projection,
        )
    )


def project(
    frames: MosaicExposure | Frames,
    header: Grid,
    *,
    method: Method = "spline",
    conserve: Conserve = "surface_brightness",
    jobs: int = 0,
    executor: Executor | None = None,
    max_memory: float | str | None = None,
    scratch: str | None = None,
    progress: Progress | None = None,
) -> Projected:
    """Resample the frames onto the grid.

    Frames are projected whole, also where the grid cuts them: the background match needs all of their overlaps. A frame that does not touch the
    grid is left out with a warning.

    Parameters
    ----------
    frames : MosaicExposure or Frames
        The frames.
    header : Grid
        The grid.
    method : {"spline", "bilinear", "lanczos3", "area", "exact", "nearest"}
        Kernel: cubic B-spline with prefilter, linear, Lanczos, pixel overlap by phase table, pixel overlap by polygons, nearest pixel.
    conserve : {"surface_brightness", "flux"}
        Whether pixel values keep the surface brightness or the flux per pixel.
    jobs : int
        Threads; 0: as many as the work is worth, at most all processors; negative: all processors but that many.
    executor : concurrent.futures.Executor, optional
        Runs the projections elsewhere (process pool, dask); results are the same to the bit.
    max_memory : float or str, optional
        Pixel data held at once, bytes or a text such as 500MB.
    scratch : str, optional
        Folder for scratch files.
    progress : Progress, optional
        Told of every finished frame.

    Returns
    -------
    Projected
        The projected frames.
    """
    from nbmosaic.pipeline.projecting import project_frames

    choose(method, Method.__args__, option="method")  # type: ignore[attr-defined]
    choose(conserve, Conserve.__args__, option="conserve")  # type: ignore[attr-defined]
    projected = project_frames(
        frames.frames if isinstance(frames, MosaicExposure) else frames,
        header.grid,
        method=method,
        conserve=conserve,
        execution=stage_execution(jobs, executor, max_memory, scratch, progress),
    )
    _warn_skipped("project", projected.skipped)
    return projected
