"""Functions on tables of images: list them, find overlaps, choose those of a region."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.compat.montage.coverage import mCoverageCheck
from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import FormatError, InputError, TableFormatError

if TYPE_CHECKING:
    from pandas import DataFrame

    from nbmosaic._types import IntArray, PathLike
    from nbmosaic.io.image_table import BadImage, ImageField, ImageList

__all__ = ["mCoverageCheck", "mImgtbl", "mOverlaps"]

_CORNERS = [f"{key}{i}" for i in range(1, 5) for key in ("ra", "dec")]
_WCS_COLUMNS = ("ctype1", "ctype2", "crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2", "crota2", "naxis1", "naxis2")


@montage_call
def mImgtbl(
    pathname: PathLike,
    tblname: PathLike,
    recursiveMode: bool = False,
    processAreaFiles: bool = False,
    haveCubes: bool = True,
    noGZIP: bool = False,
    showCorners: bool = True,
    showinfo: bool = False,
    showbad: bool = False,
    imgListFile: PathLike = "",
    fieldListFile: PathLike = "",
    debug: int = 0,
) -> Answer:
    """List the images of a folder.

    Parameters
    ----------
    pathname : path
        Folder.
    tblname : path
        Image table to write.
    recursiveMode : bool
        Also the folders in it.
    processAreaFiles : bool
        Also files with ``_area.`` in their names.
    haveCubes : bool
        Columns ``naxis`` and those of the third and fourth axis.
    noGZIP : bool
        Leave out ``.gz`` files.
    showCorners : bool
        Columns ``ra1 dec1`` to ``ra4 dec4``.
    showinfo : bool
        A comment line of the table for every HDU without a WCS, with the reason (files that cannot be read are named in any case).
    showbad : bool
        A row of zeros for every HDU without a WCS.
    imgListFile : path
        Table with a column ``fname``; its files are listed, not the folder's.
    fieldListFile : path
        Header keywords that become columns, one a line with type (char, int, double) and width.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status``, ``count`` (rows), ``badfits`` (files that are no FITS files) and ``badwcs`` (HDUs without a celestial WCS).

    Notes
    -----
    Differs from Montage: rows are sorted by name (Montage's order is that of the disk); ``ra dec`` are the centre of the frame (Montage's are half a pixel
    off); CRPIX is that of the header (Montage's goes through single precision: 0.0001 off at 2000); oblong or mirrored pixels given by a CD or PC matrix keep
    their scales and angle (Montage prints others); files that cannot be read are named in comment lines of the table; galactic and B1950 frames are up to
    0.4 arcsec away because Montage's change of systems is.
    """
    del debug
    from nbmosaic.io.image_table import fits_names, list_images, listed_names, read_fields
    from nbmosaic.io.layouts import montage_text

    folder = path_text(pathname, "pathname")
    field_file, list_file = path_text(fieldListFile, "fieldListFile"), path_text(imgListFile, "imgListFile")
    for name, what in ((field_file, "field list"), (list_file, "image list")):
        if name and not _exists(name):
            raise FormatError(f"Cannot open {what} file: {name}", path=name)
    if not _exists(folder):
        raise FormatError(f"Cannot access {folder}", path=folder)
    if not Path(folder).is_dir():
        raise FormatError(f"{folder} is not a directory", path=folder)
    fields = read_fields(field_file) if field_file else []
    names = (
        listed_names(list_file)
        if list_file
        else fits_names(folder, recursive=recursiveMode, area_files=processAreaFiles, packed=not noGZIP)
    )
    found = list_images(folder, names, fields)
    table = _image_table(found, fields, corners=showCorners, cubes=haveCubes)
    if showbad and found.bad_images:
        table = _with_bad_rows(table, found.bad_images, names)
    bad = [f"{one.name}: not listed: {one.reason}" for one in found.bad_files]
    bad += [f"{one.name}[{one.hdu}]: not listed: {one.reason}" for one in found.bad_images if showinfo]
    text = montage_text(table, "images", extra=[(one.key.lower(), one.kind, one.width) for one in fields], notes=bad)
    _write_text(tblname, text, "Can't open output table.")
    return {"count": len(table), "badfits": len(found.bad_files), "badwcs": len(found.bad_images)}


def _exists(name: str) -> bool:
    """Whether a path exists; no error for names that no system takes."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _write_text(path: Any, text: str, complaint: str) -> None:
    from nbmosaic.io.output import replacing

    name = path_text(path, "the output table")
    try:
        with replacing(name, overwrite=True) as temporary:
            temporary.write_text(text, encoding="ascii", errors="replace", newline="\n")
    except FormatError as error:
        raise FormatError(f"{complaint} {error.message}", path=name) from error


def _image_table(found: ImageList, fields: list[ImageField], *, corners: bool, cubes: bool) -> DataFrame:
    from nbmosaic.core.geometry.j2000 import j2000_centre_and_corners
    from nbmosaic.io.frame_table import frame_table

    places = [j2000_centre_and_corners(info.wcs, info.shape) for info in found.infos]
    centre = np.array([place[0] for place in places]).reshape(-1, 2)
    outline = np.array([place[1] for place in places]).reshape(-1, 4, 2)
    table = frame_table(found.infos, centres=centre, corners=outline)
    table["fname"] = [str(info.meta["file"]) for info in found.infos]
    for one in fields:
        table[one.key.lower()] = [texts[one.key] for texts in found.texts]
    if not corners:
        table = table.drop(columns=_CORNERS)
    return table if cubes else table.drop(columns=["naxis"])


def _with_bad_rows(table: DataFrame, bad: list[BadImage], names: list[str]) -> DataFrame:
    """Rows of zeros for HDUs without a WCS, at their place among the names."""
    import pandas as pd

    rows = []
    for one in bad:
        row: dict[str, Any] = {
            c: 0.0 for c in table.columns if c not in {"naxis3", "naxis4", "cra", "cdec", "ctype1", "ctype2", "unit", "name"}
        }
        row |= {key: math.nan for key in row if key[:5] in {"crval", "cdelt", "crpix"} and key[-1] in "34"}
        row |= {"cra": "00h 00m 00.00s", "cdec": "+00d 00m 00.0s", "ctype1": "", "ctype2": "", "fname": one.name}
        lengths = (*one.naxis, 0, 0)
        row |= {"naxis1": lengths[0], "naxis2": lengths[1], "size": one.size, "hdu": one.hdu}
        row |= {"naxis": len(one.naxis)} if "naxis" in table.columns else {}
        rows.append(row)
    both = pd.concat([table.astype(object), pd.DataFrame(rows, dtype=object)], ignore_index=True)
    order = {name: k for k, name in enumerate(names)}
    both = both.iloc[sorted(range(len(both)), key=lambda k: (order[both["fname"][k]], int(both["hdu"][k])))].reset_index(drop=True)
    both["cntr"] = range(len(both))
    return both


def _read_images(tblfile: Any) -> DataFrame:
    """Image table of a file, with Montage's word for one that is none."""
    from nbmosaic.io.tables import read_table

    name = path_text(tblfile, "tblfile")
    try:
        table = read_table(name)
    except (TableFormatError, ValueError) as error:
        raise FormatError(f"Invalid image metadata file: {name} ({error})", path=name) from error
    for new, old in (("naxis1", "ns"), ("naxis2", "nl"), ("fname", "file")):
        if new not in table.columns and old in table.columns:
            table[new] = table[old]
    return table


@montage_call
def mOverlaps(tblfile: PathLike, difftbl: PathLike, quickmode: bool = False, debug: int = 0) -> Answer:
    """Find the pairs of images that overlap.

    Parameters
    ----------
    tblfile : path
        Image table.
    difftbl : path
        Table of pairs to write: ``cntr1 cntr2 plus minus diff``.
    quickmode : bool
        Compare outlines of great circles between the corners. Where the table has the corner columns (as mImgtbl's has), this is done in any case. Without
        them and without `quickmode` the borders of the images are followed pixel by pixel.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status`` and ``count``.

    Notes
    -----
    Differs from Montage: an image that lies wholly inside another is found by the exact mode as well; two frames with the same outline always overlap
    (Montage leaves that to rounding); images without corners are compared with the frames of
    other systems (Montage's quick mode takes galactic coordinates for equatorial ones).
    """
    del debug
    import pandas as pd

    from nbmosaic.io.layouts import montage_text

    table = _read_images(tblfile)
    _check_overlap_columns(table, path_text(tblfile, "tblfile"))
    pairs = _pairs(table, exact=not quickmode)
    cntr = table["cntr"].to_numpy(np.int64) if "cntr" in table.columns else np.arange(len(table))
    names = [str(v) for v in table["fname"]]
    one, two = pairs[:, 0], pairs[:, 1]
    diffs = pd.DataFrame(
        {
            "cntr1": cntr[one],
            "cntr2": cntr[two],
            "plus": [names[k] for k in one],
            "minus": [names[k] for k in two],
            "diff": [f"diff.{cntr[i]:06d}.{cntr[j]:06d}.fits" for i, j in pairs],
        }
    )
    _write_text(difftbl, montage_text(diffs, "diffs"), f"Failed to open output {path_text(difftbl, 'difftbl')}:")
    return {"count": len(pairs)}


def _check_overlap_columns(table: DataFrame, name: str) -> None:
    from pandas.api.types import is_numeric_dtype

    corners = all(column in table.columns for column in _CORNERS)
    missing = [column for column in _WCS_COLUMNS if column not in table.columns]
    if not corners and missing:
        text = "Not enough information to determine coverages (CDELTs or CD matrix)"
        raise InputError(f"{text}: {name} has no column {', '.join(missing)}, and not all of ra1, dec1 to ra4, dec4")
    if "fname" not in table.columns:
        raise InputError(f"Need columns: fname (or file) in {name}")
    if corners and not all(is_numeric_dtype(table[column]) for column in _CORNERS):
        raise InputError(f"the corners in {name} are not all numbers")


def _pairs(table: DataFrame, *, exact: bool) -> IntArray:
    """Rows that overlap."""
    from nbmosaic.core.geometry.sky_regions import overlapping_pairs, sky_vectors

    if all(column in table.columns for column in _CORNERS):
        lon = table[[f"ra{i}" for i in range(1, 5)]].to_numpy(float)
        lat = table[[f"dec{i}" for i in range(1, 5)]].to_numpy(float)
        return overlapping_pairs(sky_vectors(lon, lat))
    from nbmosaic.core.geometry.frame_overlap import frames_overlap
    from nbmosaic.core.geometry.j2000 import j2000_centre_and_corners
    from nbmosaic.io.image_table import row_wcs

    rows = table.to_dict("records")
    shapes = [(int(row["naxis2"]), int(row["naxis1"])) for row in rows]
    frames = [row_wcs(row, f"row {k + 1}") for k, row in enumerate(rows)]
    corners = np.array([j2000_centre_and_corners(w, s)[1] for w, s in zip(frames, shapes, strict=True)]).reshape(-1, 4, 2)
    quads = sky_vectors(corners[..., 0], corners[..., 1])
    if not exact:
        return overlapping_pairs(quads)
    return frames_overlap(frames, shapes, quads)
