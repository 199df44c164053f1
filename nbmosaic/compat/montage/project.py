"""Reprojection: mProject, mProjectPP, mProjectQL and the batch mProjExec."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbmosaic.compat.montage.batch import Batch, write_text
from nbmosaic.compat.montage.files import file_exists, need_columns, need_folder, need_number, need_table, read_grid
from nbmosaic.compat.montage.reprojection import Options, project_file
from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import InputError, NoOverlapError

__all__ = ["mProjExec", "mProject", "mProjectPP", "mProjectQL"]


def _run(input_file: Any, output_file: Any, template_file: Any, options: Options, altout: str = "") -> Answer:
    from nbmosaic.core.resampling.workspace import Workspace

    start = time.perf_counter()
    source, output = path_text(input_file, "input_file"), path_text(output_file, "output_file")
    template = read_grid(path_text(template_file, "template_file"))
    if altout:
        other = read_grid(altout)
        template = replace(template, grid=replace(template.grid, wcs=other.grid.wcs))
    project_file(source, output, template, options, Workspace())
    return {"time": time.perf_counter() - start}


@montage_call
def mProject(
    input_file: Any,
    output_file: Any,
    template_file: Any,
    hdu: int = 0,
    weight_file: Any = "",
    fixedWeight: float = 1.0,
    threshold: float = 0.0,
    borderstr: Any = "",
    drizzle: float = 1.0,
    fluxScale: float = 1.0,
    energyMode: bool = False,
    expand: bool = False,
    fullRegion: bool = False,
    debug: int = 0,
) -> Answer:
    """Reproject an image by the exact overlaps of its pixels with those of the template.

    Parameters
    ----------
    input_file, output_file, template_file : path
        Image, result (BITPIX -64, cropped to what is filled; its area in steradians goes to the ``_area`` file) and header template.
    hdu : int
        HDU of the image, from 0.
    weight_file : path
        Image of weights, one a pixel.
    fixedWeight : float
        Factor on the area.
    threshold : float
        Pixels with a smaller weight are not used.
    borderstr : str or int
        Pixels to leave out on every side, or ``x1,y1,x2,y2,...``: polygon (1-based pixels); pixels whose centre is inside are kept.
    drizzle : float
        Side of the part of each pixel that is dropped (0 to 1).
    fluxScale : float
        Factor on the values.
    energyMode : bool
        Values are energy per pixel: keep their sum instead of the surface brightness.
    expand : bool
        Keep what falls outside of the template.
    fullRegion : bool
        Write the whole template.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status`` and ``time`` (s), or ``msg``.

    Notes
    -----
    Differs from Montage: polygons are cut in a plane (a few 1e-4 of the values' spread from Montage's spherical ones, below 1e-4 DN from its mProjectPP),
    some 50 times faster; areas are never beyond the pixel (Montage has a few of twice the size); no outermost row or
    column is lost (in some frames Montage drops up to a quarter of a pixel of coverage there); input pixels that cross the edge of the template count (Montage
    drops them: where a template cuts through a frame, its outermost pixels lack area); any WCS of astropy, at its place (Montage is 0.4" off in galactic and
    B1950 frames); `drizzle` above 1 is refused. ICRS and FK5 are one system here, as in Montage.

    Examples
    --------
    >>> mProject("no.fits", "out.fits", "no.hdr")["msg"]
    b'File no.hdr not found.'
    """
    options = Options(
        method="exact",
        hdu=int(need_number(hdu, "hdu")),
        weight_file=path_text(weight_file, "weight_file"),
        fixed_weight=need_number(fixedWeight, "fixedWeight"),
        threshold=need_number(threshold, "threshold"),
        border=str(borderstr),
        drizzle=need_number(drizzle, "drizzle"),
        flux_scale=need_number(fluxScale, "fluxScale"),
        energy=bool(energyMode),
        expand=bool(expand),
        full_region=bool(fullRegion),
    )
    return _run(input_file, output_file, template_file, options)


@montage_call
def mProjectPP(
    input_file: Any,
    output_file: Any,
    template_file: Any,
    hdu: int = 0,
    weight_file: Any = "",
    fixedWeight: float = 1.0,
    threshold: float = 0.0,
    borderstr: Any = "",
    altin: Any = "",
    altout: Any = "",
    drizzle: float = 1.0,
    fluxScale: float = 1.0,
    energyMode: bool = False,
    expand: bool = False,
    fullRegion: bool = False,
    debug: int = 0,
) -> Answer:
    """Reproject an image by the overlaps of its pixels with those of the template, plane to plane.

    Parameters
    ----------
    input_file, output_file, template_file : path
        See `mProject`.
    altin, altout : path
        Header templates that stand in for the WCS of the image and of the template (Montage needs them for other projections than TAN, SIN, ZEA, STG, ARC).
    hdu, weight_file, fixedWeight, threshold, borderstr, drizzle, fluxScale, energyMode, expand, fullRegion, debug
        See `mProject`.

    Returns
    -------
    dict
        ``status`` and ``time`` (s), or ``msg``.

    Notes
    -----
    The same computation as `mProject`, below 1e-4 DN rms from Montage's mProjectPP on its golden frames (noise 2 DN, stars of 2000). Differs from Montage:
    any pair of projections works as it is (Montage's ZEA images are half the size, silently, its ARC images wrong by a fraction of a pixel, and the third order
    of its STG has the wrong sign); otherwise as `mProject`.

    Examples
    --------
    >>> mProjectPP("no.fits", "out.fits", "no.hdr")["msg"]
    b'File no.hdr not found.'
    """
    options = Options(
        method="exact",
        hdu=int(need_number(hdu, "hdu")),
        weight_file=path_text(weight_file, "weight_file"),
        fixed_weight=need_number(fixedWeight, "fixedWeight"),
        threshold=need_number(threshold, "threshold"),
        border=str(borderstr),
        drizzle=need_number(drizzle, "drizzle"),
        flux_scale=need_number(fluxScale, "fluxScale"),
        energy=bool(energyMode),
        expand=bool(expand),
        full_region=bool(fullRegion),
        altin=path_text(altin, "altin"),
    )
    return _run(input_file, output_file, template_file, options, path_text(altout, "altout"))


@montage_call
def mProjectQL(
    input_file: Any,
    output_file: Any,
    template_file: Any,
    hdu: int = 0,
    interp: int = 0,
    weight_file: Any = "",
    fixedWeight: float = 1.0,
    threshold: float = 0.0,
    borderstr: Any = "",
    fluxScale: float = 1.0,
    expand: bool = False,
    fullRegion: bool = False,
    noAreas: bool = True,
    debug: int = 0,
) -> Answer:
    """Reproject an image quickly, by its value at the centre of each output pixel.

    Parameters
    ----------
    input_file, output_file, template_file : path
        See `mProject`.
    interp : int
        0 nearest pixel, 1 Lanczos of order 3.
    noAreas : bool
        False: write an ``_area`` file of ones (0 where blank), times `fixedWeight`.
    hdu, weight_file, fixedWeight, threshold, borderstr, fluxScale, expand, fullRegion, debug
        See `mProject`.

    Returns
    -------
    dict
        ``status`` and ``time`` (s), or ``msg``.

    Notes
    -----
    Differs from Montage: `interp` 1 works (Montage's Lanczos has wild pixels); an image without a valid pixel is an error, as in `mProject`; blank pixels of
    the area file are 0 (Montage: NaN).

    Examples
    --------
    >>> mProjectQL("no.fits", "out.fits", "no.hdr")["msg"]
    b'File no.hdr not found.'
    """
    if interp not in {0, 1}:
        raise InputError(f"interp is {interp!r}, expected 0 (nearest) or 1 (Lanczos)")
    options = Options(
        method="lanczos3" if interp else "nearest",
        hdu=int(need_number(hdu, "hdu")),
        weight_file=path_text(weight_file, "weight_file"),
        fixed_weight=need_number(fixedWeight, "fixedWeight"),
        threshold=need_number(threshold, "threshold"),
        border=str(borderstr),
        flux_scale=need_number(fluxScale, "fluxScale"),
        expand=bool(expand),
        full_region=bool(fullRegion),
        areas=not noAreas,
    )
    return _run(input_file, output_file, template_file, options)


@montage_call
def mProjExec(
    path: Any,
    tblfile: Any,
    template: Any,
    projdir: Any = "./",
    quickMode: bool = False,
    exact: bool = False,
    wholeImages: bool = False,
    energyMode: bool = False,
    drizzle: float = 0.0,
    border: Any = "",
    scaleCol: str = "",
    weightCol: str = "",
    restart: int = 0,
    stats: Any = "",
    debug: int = 0,
) -> Answer:
    """Reproject all images of a table.

    Parameters
    ----------
    path : path
        Folder of the images.
    tblfile : path
        Their table (mImgtbl); with a column ``hdu`` the results are called ``hdu<k>_<name>``.
    template : path
        Header template.
    projdir : path
        Folder for the results (there already).
    quickMode : bool
        Nearest pixels (`mProjectQL`).
    exact : bool
        `mProject` instead of `mProjectPP`: here both compute the same.
    wholeImages : bool
        Keep what falls outside of the template.
    energyMode, drizzle, border
        See `mProject`; `drizzle` 0 means 1.
    scaleCol, weightCol : str
        Columns of the table with a factor on the values, and on the areas.
    restart : int
        Number of images to skip at the head of the table.
    stats : path
        Table to write: name, time (s), status and reason of each image.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status``, ``count``, ``failed``, ``nooverlap``; ``msg`` names what failed.

    Notes
    -----
    Differs from Montage: results do not depend on the order of the table; any projection works (Montage drops CEA and CAR images); no header files are left
    behind; failed images are named in ``msg`` and `stats`, and ``status`` is '1' where an image failed; the others are projected. Images beside the template
    do not fail.

    Examples
    --------
    >>> mProjExec(".", "no.tbl", "mosaic.hdr")["msg"]
    b'Image metadata file (no.tbl) does not exist'
    """
    from nbmosaic.core.resampling.workspace import Workspace

    table = path_text(tblfile, "tblfile")
    images = need_table(table, f"Image metadata file ({table}) does not exist")
    need_columns(images, ["fname", *(c for c in (scaleCol, weightCol) if c)], "Need column fname in input")
    where, folder, header = path_text(projdir, "projdir"), path_text(path, "path"), path_text(template, "template")
    need_folder(where, f"Output directory ({where}) does not exist")
    if not file_exists(header):
        raise InputError(f"Template file {header[:400]} not found.")
    if restart < 0 or (restart and restart >= len(images)):
        raise InputError(f"restart is {restart}, expected 0 to {len(images) - 1}")
    grid, batch, workspace, report, beside = read_grid(header), Batch(), Workspace(), [], 0
    side = need_number(drizzle, "drizzle") or 1.0
    base = Options(
        method="nearest" if quickMode else "exact",
        border=str(border),
        drizzle=1.0 if quickMode else side,
        energy=bool(energyMode),
        expand=bool(wholeImages),
    )
    rows = images.iloc[int(restart) :].to_dict("records")
    for row in rows:
        name, began, reason = str(row["fname"]), time.perf_counter(), ""
        hdu = int(row["hdu"]) if "hdu" in row else 0
        output = str(Path(where, f"hdu{hdu}_{Path(name).name}" if "hdu" in row else Path(name).name))
        try:
            with batch.member(name):
                factor, weight = (float(row[column]) if column else 1.0 for column in (scaleCol, weightCol))
                options = replace(base, hdu=hdu, flux_scale=factor, fixed_weight=weight)
                project_file(str(Path(folder, name)), output, grid, options, workspace)
        except NoOverlapError as error:
            beside, reason = beside + 1, str(error)
        reason = reason or batch.reason(name)
        report.append({"fname": name, "time": time.perf_counter() - began, "stat": "OK" if not reason else "ERROR", "msg": reason})
    if path_text(stats, "stats"):
        import pandas as pd

        from nbmosaic.io.tables import format_table

        write_text(path_text(stats, "stats"), format_table(pd.DataFrame(report, columns=["fname", "time", "stat", "msg"])))
    return batch.answer(count=len(rows), failed=batch.failed, nooverlap=beside)
