"""The stages: one function each, values in, values out; a cell line and a line magic are generated from these signatures.

Options that only say how to run (`jobs`, `executor`, `max_memory`, `scratch`, `progress`) never change a bit of the result.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Literal

from nbmosaic.errors import (
    ConfigError,
    DisconnectedMosaicWarning,
    InputError,
    SkippedFrameWarning,
    UnitMismatchWarning,
)
from nbmosaic.pipeline.execution import Execution, NoProgress, Progress, parse_memory
from nbmosaic.pipeline.products import Background, Corrected, Frames, Grid, Mosaic, Overlaps, Product, Projected, Table
from nbmosaic.pipeline.recipe import choose

__all__ = [
    "STAGES",
    "background",
    "coadd",
    "correct",
    "cutout",
    "header",
    "images",
    "overlaps",
    "project",
    "read",
    "save",
    "show",
    "shrink",
]

Method = Literal["nearest", "bilinear", "spline", "lanczos3", "area", "exact"]
Conserve = Literal["surface_brightness", "flux"]
Combine = Literal["mean", "median", "clipped", "sum", "min", "max", "first", "count"]
Weight = Literal["none", "area", "weight", "variance"]
System = Literal["icrs", "fk5", "fk4", "galactic", "ecliptic"]


def _execution(
    jobs: int = 0,
    executor: Executor | None = None,
    max_memory: float | str | None = None,
    scratch: str | None = None,
    progress: Progress | None = None,
) -> Execution:
    return Execution(
        jobs=jobs,
        executor=executor,
        max_memory=parse_memory(max_memory),
        scratch=scratch,
        progress=progress if progress is not None else NoProgress(),
    )


def images(
    *paths: Any,
    hdu: int | str | list[int | str] | None = None,
    weights: Any = None,
    variance: Any = None,
    mask: Any = None,
    mask_bits: int | list[int] | None = None,
    flux_scale: float | str | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> Frames:
    """Table of frames from FITS files, globs, folders, extensions, HDUs, CCDData or (array, wcs).

    Only headers are read. Frames keep the order in which they are given; globs and folders are sorted by name.

    Parameters
    ----------
    *paths
        File names, patterns, folders, ``HDUList``, image HDUs, ``CCDData``/``NDData``, ``(array, wcs)``, or lists of these.
    hdu : int, str or list of these, optional
        Which HDUs of a file; default: all images with a celestial WCS that are not weight, variance or mask planes.
    weights : str or list, optional
        Weight planes: name or number of an extension, a file name with ``{stem}`` in it, a list of files, or arrays.
    variance : str or list, optional
        Variance planes, given as `weights`.
    mask : str or list, optional
        Mask planes (non-zero is bad), given as `weights`.
    mask_bits : int or list of int, optional
        Bits of an integer mask that mean bad; default: all.
    flux_scale : float or str, optional
        Factor on the data: a number, a header keyword (``FLXSCALE``), or a zero point and its target (``MAGZP:25``).
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

    infos, skipped = frame_infos(
        paths,
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
    frames = Frames(tuple(infos), left_out)
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
    frames: Frames | None = None,
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
    frames : Frames
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
        Position angle of the grid's y axis in degrees, east of north; overrides `north_up`.
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
        return Grid(grid_of_template(template))
    if frames is None:
        raise ConfigError("header needs frames or a template", hint="add a line `images ...` before it, or give a template file")
    return Grid(
        grid_of_frames(
            frames,
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
    frames: Frames,
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
    frames : Frames
        The frames.
    header : Grid
        The grid.
    method : {"spline", "bilinear", "lanczos3", "area", "exact", "nearest"}
        Kernel: cubic B-spline with prefilter, linear, Lanczos, pixel overlap by phase table, pixel overlap by polygons, nearest pixel.
    conserve : {"surface_brightness", "flux"}
        Whether pixel values keep the surface brightness or the flux per pixel.
    jobs : int
        Threads; 0: all processors, negative: leave that many free.
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
        frames, header.grid, method=method, conserve=conserve, execution=_execution(jobs, executor, max_memory, scratch, progress)
    )
    _warn_skipped("project", projected.skipped)
    return projected


def overlaps(
    projected: Projected,
    *,
    slope: bool = True,
    sigma: float = 3.0,
    max_iterations: int = 10,
    min_pixels: int = 50,
    jobs: int = 0,
    executor: Executor | None = None,
    max_memory: float | str | None = None,
    progress: Progress | None = None,
) -> Overlaps:
    """Difference and clipped plane fit of every overlapping pair.

    Parameters
    ----------
    projected : Projected
        The projected frames.
    slope : bool
        Fit planes; otherwise only levels.
    sigma : float
        Clipping limit in standard deviations.
    max_iterations : int
        Largest number of clipping iterations; it stops earlier when the pixels kept do not change.
    min_pixels : int
        Pairs with fewer valid pixels are listed but neither fitted nor used.
    jobs : int
        Threads; 0: all processors, negative: leave that many free.
    executor : concurrent.futures.Executor, optional
        Runs the fits elsewhere.
    max_memory : float or str, optional
        Pixel data held at once, bytes or a text such as 500MB.
    progress : Progress, optional
        Told of every finished pair.

    Returns
    -------
    Overlaps
        `Overlaps.table` has the columns of Montage's fits table, then standard errors, counts and flags.
    """
    from nbmosaic.pipeline.matching import fit_overlaps

    if not sigma > 1.0:
        raise ConfigError(f"sigma cannot be {sigma!r}", hint="it has to be larger than 1; 3 is usual", option="sigma")
    return fit_overlaps(
        projected,
        slope=slope,
        sigma=sigma,
        max_iterations=max_iterations,
        min_pixels=min_pixels,
        execution=_execution(jobs, executor, max_memory, None, progress),
    )


def background(
    overlaps: Overlaps | Table | Any,
    *,
    slope: bool = True,
    weighting: Literal["pixels", "noise"] = "pixels",
    reference: Sequence[int | str] = (),
    exclude: Sequence[Any] = (),
    slope_prior: float | None = None,
    robust: bool = False,
    errors: bool | None = None,
) -> Background:
    """Global background model: exact weighted least squares over every overlap pixel.

    Parameters
    ----------
    overlaps : Overlaps, Table or DataFrame
        The overlaps, a fits table read from a file, or a slice of either's DataFrame.
    slope : bool
        Fit a plane per frame; otherwise only a level.
    weighting : {"pixels", "noise"}
        Every pixel counts the same, or pixels of noisy overlaps count less.
    reference : sequence of int or str
        Frames whose background is taken as right (index or name): their planes are held at zero.
    exclude : sequence
        Overlaps to leave out, as pairs of frames: ``(0, 3)`` or ``0-3``.
    slope_prior : float, optional
        Standard deviation of the slopes that is expected before looking at the overlaps (unit per pixel); None: no prior.
    robust : bool
        Give overlaps that disagree with the rest less weight.
    errors : bool, optional
        Compute standard errors; None: for up to 2000 frames. From a table they are good to some per cent.

    Returns
    -------
    Background
        `Background.table` has ``id a b c``, then standard errors and groups.

    Warns
    -----
    DisconnectedMosaicWarning
        The frames fall into groups that share no overlap.
    """
    from nbmosaic.pipeline.matching import overlaps_of_table, solve

    if not isinstance(overlaps, Overlaps):
        overlaps = overlaps_of_table(overlaps.table if isinstance(overlaps, Table) else overlaps, errors=errors)
    references = [reference] if isinstance(reference, int | str) else list(reference)
    pairs = [exclude] if isinstance(exclude, str) else list(exclude)
    if slope_prior is not None and not slope_prior > 0:
        raise ConfigError(f"slope_prior cannot be {slope_prior!r}", hint="it is a standard deviation: larger than 0", option="slope_prior")
    model = solve(
        overlaps,
        slope=slope,
        weighting=weighting,
        reference=references,
        exclude=pairs,
        slope_prior=slope_prior,
        robust=robust,
        errors=errors,
    )
    _warn_groups(model)
    return model


def _warn_groups(background: Background) -> None:
    model = background.model
    if model.n_components < 2:
        return
    if not (model.weight > 0).any():
        warnings.warn(
            f"no two of the {len(model)} frames share enough valid pixels: nothing can be matched", DisconnectedMosaicWarning, stacklevel=3
        )
        return
    groups = []
    for number in range(min(model.n_components, 4)):
        members = [background.overlaps.names[int(i)] for i in model.frames[model.component == number]]
        groups.append(f"[{', '.join(members[:3])}{f' and {len(members) - 3} more' if len(members) > 3 else ''}]")
    more = f" and {model.n_components - 4} more groups" if model.n_components > 4 else ""
    warnings.warn(
        f"the frames fall into {model.n_components} groups that share no overlap, so their levels cannot be tied: {', '.join(groups)}{more}",
        DisconnectedMosaicWarning,
        stacklevel=3,
    )


def correct(projected: Projected, background: Background) -> Corrected:
    """Subtract the background planes from the projected frames.

    The planes are subtracted when pixels are read: no second copy of the frames is made.

    Parameters
    ----------
    projected : Projected
        The projected frames.
    background : Background
        The background model of the same frames.

    Returns
    -------
    Corrected
        The corrected frames.
    """
    known = {int(index) for index in background.model.frames}
    unknown = [info.name for info in projected.infos if info.index not in known]
    if unknown:
        raise InputError(
            f"the background model does not hold {len(unknown)} of the frames, first {unknown[0]}",
            hint="make it from the overlaps of the same projected frames",
        )
    return Corrected(projected, background)


def coadd(
    frames: Corrected | Projected,
    *,
    combine: Combine = "mean",
    weight: Weight | None = None,
    kappa: float = 3.0,
    output: str | None = None,
    overwrite: bool = False,
    jobs: int = 0,
    max_memory: float | str | None = None,
    scratch: str | None = None,
    progress: Progress | None = None,
) -> Mosaic:
    """Add the frames up to a mosaic, in bands of rows.

    Parameters
    ----------
    frames : Corrected or Projected
        The frames.
    combine : {"mean", "median", "clipped", "sum", "min", "max", "first", "count"}
        How the values of a pixel are combined; ``clipped`` is the mean of what lies within `kappa` standard deviations of the median.
    weight : {"area", "none", "weight", "variance"}, optional
        Weights of mean, clipped and sum: covered fraction of the pixel, none, weight planes, inverse variance; default: the covered fraction for
        mean and clipped, else none.
    kappa : float
        Clipping limit of ``clipped``.
    output : str, optional
        Write the mosaic straight to this FITS file.
    overwrite : bool
        Replace an existing file.
    jobs : int
        Threads; 0: all processors, negative: leave that many free.
    max_memory : float or str, optional
        Pixel data held at once, bytes or a text such as 500MB; a mosaic that is larger lives in a file.
    scratch : str, optional
        Folder for scratch files.
    progress : Progress, optional
        Told of every finished band.

    Returns
    -------
    Mosaic
        Image, coverage, number of frames and, if every frame has one, variance.
    """
    from nbmosaic.pipeline.assembly import assemble
    from nbmosaic.pipeline.coadding import CoaddOptions

    options = CoaddOptions(
        combine=choose(combine, Combine.__args__, option="combine"),  # type: ignore[attr-defined]
        weighting=None if weight is None else choose(weight, Weight.__args__, option="weight"),  # type: ignore[attr-defined]
        kappa=kappa,
    )
    return assemble(
        frames, options=options, output=output, overwrite=overwrite, execution=_execution(jobs, None, max_memory, scratch, progress)
    )


def cutout(mosaic: Mosaic, ra: float, dec: float, size_arcsec: float, height_arcsec: float | None = None) -> Mosaic:
    """Part of a mosaic round a position.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    ra, dec : float
        Centre in degrees, in the system of the mosaic.
    size_arcsec : float
        Width (and height) in arcsec.
    height_arcsec : float, optional
        Height in arcsec, if it differs.

    Returns
    -------
    Mosaic
        The part; pixels beyond the mosaic are not added.
    """
    from nbmosaic.pipeline.reshape import cut

    return cut(mosaic, ra, dec, size_arcsec, height_arcsec if height_arcsec is not None else size_arcsec)


def shrink(mosaic: Mosaic, factor: int) -> Mosaic:
    """Block average: every `factor` x `factor` pixels become one, weighted by their coverage.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    factor : int
        Block size, 2 or more.

    Returns
    -------
    Mosaic
        The smaller mosaic; the pixel scale is `factor` times larger.
    """
    from nbmosaic.pipeline.reshape import block_mean

    return block_mean(mosaic, factor)


def read(path: str) -> Frames | Grid | Table:
    """A table, a header template or a FITS image from a file.

    Parameters
    ----------
    path : str
        ``.tbl``, ``.csv``, ``.ecsv``: a table; ``.hdr``, ``.txt``: a header template; anything else: FITS.

    Returns
    -------
    Table, Grid or Frames
        A fits table is what `background` takes.
    """
    from nbmosaic.pipeline.files import read_file

    return read_file(path)


def save(product: Product, path: str, *, overwrite: bool = False) -> Product:
    """Write a product to a file.

    Parameters
    ----------
    product : Product
        A mosaic (``.fits``, or ``.png`` for its picture), a grid (``.hdr``), or anything with a table (``.tbl``, ``.csv``, ``.ecsv``).
    path : str
        The file.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Product
        The same product.
    """
    from nbmosaic.pipeline.files import save_product

    return save_product(product, path, overwrite=overwrite)


def show(product: Product, *, kind: str | None = None, width: int = 8) -> Product:
    """A picture of a product.

    Parameters
    ----------
    product : Product
        What to show.
    kind : str, optional
        Which picture; default: the one that suits the product. A mosaic has ``image`` and ``coverage``; a background ``planes``, ``network``,
        ``errors``, ``residuals`` and, of few frames, ``planes3d``; overlaps have ``network``; frames ``footprints``, and once they are projected
        ``coverage``, too.
    width : int
        Width of the figure in inches.

    Returns
    -------
    Picture
        Draws itself in a notebook; `Picture.save` writes a PNG.
    """
    from nbmosaic.pipeline.quicklook import picture

    return picture(product, kind=kind, width=width)


STAGES = (images, header, project, overlaps, background, correct, coadd, cutout, shrink, read, save, show)
"""All stages, in the order of work."""
