"""mCoverageCheck: the images of a table that touch a region of the sky."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import FormatError, InputError

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from pandas import DataFrame

    from nbmosaic._types import BoolArray, FloatArray, PathLike

__all__ = ["mCoverageCheck"]

_POINTS, _BOX, _CIRCLE, _POINT, _HEADER, _CUTOUT = range(6)
_CORNERS = [f"{key}{i}" for i in range(1, 5) for key in ("ra", "dec")]
_WCS_COLUMNS = ("ctype1", "ctype2", "crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2", "crota2", "naxis1", "naxis2")


@montage_call
def mCoverageCheck(
    infile: PathLike,
    outfile: PathLike,
    mode: int = 0,
    hdrfile: PathLike = "",
    narray: int = 0,
    array: Any = 0,
    path: PathLike = "",
    xoff: float = 0.0,
    yoff: float = 0.0,
    debug: int = 0,
) -> Answer:
    """Choose the rows of an image table whose images touch a region.

    Parameters
    ----------
    infile, outfile : path
        Image table (with corners, or with the WCS columns), and the table to write: the same lines, only those of the images that touch the region.
    mode : int
        0 the convex polygon round three or more positions; 1 a box (``ra, dec, width[, height[, rotation]]``); 2 a circle (``ra, dec[, radius]``); 3 a point
        (``ra, dec``); 4 the pixels of a header template; 5 a cutout: as a box, with the rows changed to the part of the image inside it.
    hdrfile : path
        Header template (mode 4).
    narray : int
        How many numbers of `array` to use; 0: all.
    array : sequence of float
        See `mode`; degrees (J2000).
    path : path
        Folder of the images (mode 5): their own headers are used, and not the columns of the table, which hold no distortions.
    xoff, yoff : float
        Pixels to take off from positions on the template (mode 4).
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status`` and ``count``.

    Notes
    -----
    Differs from Montage: regions end at the outer edges of pixels (Montage's boxes are a thousandth too wide, images without corner columns half a pixel), the
    nearest point of an image to a circle is exact, a template that lies inside an image is found, and cut rows keep the digits of the table.
    """
    del debug
    name = path_text(infile, "infile")
    if mode not in range(6):
        raise InputError(f"mode {mode!r}: expected 0 (points), 1 (box), 2 (circle), 3 (point), 4 (header) or 5 (cutout)")
    if not Path(name).is_file():
        raise FormatError(f"Input table file ({name}) does not exist", path=name)
    numbers = _numbers(array, int(narray), mode)
    table, lines = _read(name)
    images = _Images.of(table, name)
    if mode == _HEADER:
        from nbmosaic.core.geometry.montage_cuts import images_on_grid
        from nbmosaic.io.templates import read_template

        grid = read_template(path_text(hdrfile, "hdrfile"))
        hit = images_on_grid(images.quads, grid, (float(xoff), float(yoff)))
    else:
        region = _region(mode, numbers)
        hit = region.touches(images.quads)
    body = [lines.rows[k] for k in np.flatnonzero(hit)]
    if mode == _CUTOUT:
        cut = [_cut_row(lines, table, k, region.corners, path_text(path, "path")) for k in np.flatnonzero(hit).tolist()]
        body = [line for line in cut if line is not None]
    text = "\n".join([*lines.head, *body, ""])
    out = path_text(outfile, "outfile")
    from nbmosaic.io.output import replacing

    try:
        with replacing(out, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except FormatError as error:
        raise FormatError(f"Cannot create output file ({out}): {error.message}", path=out) from error
    return {"count": len(body)}


def _numbers(array: Any, narray: int, mode: int) -> list[float]:
    values = [] if mode == _HEADER else [float(v) for v in np.atleast_1d(np.asarray(array, float)).ravel()]
    if narray > len(values) and mode != _HEADER:
        raise InputError(f"narray is {narray}, but array has {len(values)} numbers")
    values = values[:narray] if narray > 0 else values
    if not all(math.isfinite(v) for v in values):
        raise InputError("array holds numbers that are not finite")
    if mode == _POINTS and (len(values) < 6 or len(values) % 2):
        raise InputError(f"Too few vertices for region (must be at least three): array has {len(values)} numbers")
    if mode in {_BOX, _CUTOUT} and len(values) < 3:
        raise InputError(f"Too few arguments for box or cutout (must at least have center and size): array has {len(values)} numbers")
    if mode == _CIRCLE and len(values) < 2:
        raise InputError(f"Too few arguments (must at least have coordinates): array has {len(values)} numbers")
    if mode == _POINT and len(values) < 2:
        raise InputError(f"Too few arguments for point (must have coordinates): array has {len(values)} numbers")
    return values


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """A polygon, or a circle (of radius 0: a point)."""

    corners: FloatArray
    radius: float | None = None

    def touches(self, quads: FloatArray) -> BoolArray:
        from nbmosaic.core.geometry.sky_regions import polygon_distance, polygons_touch

        if self.radius is not None:
            return np.asarray(polygon_distance(quads, self.corners[0]) <= self.radius)
        return polygons_touch(quads, np.broadcast_to(self.corners, (len(quads), *self.corners.shape)))


def _region(mode: int, numbers: list[float]) -> _Region:
    from nbmosaic.core.geometry.sky_regions import box_corners, hull, oriented, sky_vectors

    if mode == _POINTS:
        return _Region(hull(sky_vectors(np.array(numbers[::2]), np.array(numbers[1::2]))))
    if mode in {_CIRCLE, _POINT}:
        radius = max(numbers[2], 0.0) if mode == _CIRCLE and len(numbers) > 2 else 0.0
        return _Region(sky_vectors(np.array(numbers[:1]), np.array(numbers[1:2])), radius)
    height = numbers[3] if len(numbers) > 3 else numbers[2]
    return _Region(oriented(box_corners(numbers[0], numbers[1], numbers[2], height, numbers[4] if len(numbers) > 4 else 0.0)))


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of a table as they stand in its file."""

    head: list[str]
    rows: list[str]
    bars: list[int]
    names: list[str]


def _read(name: str) -> tuple[DataFrame, _Lines]:
    from nbmosaic.io.tables import parse_table

    try:
        text = Path(name).read_bytes().decode("utf-8", "replace")
        table = parse_table(text, name)
    except OSError as error:
        raise FormatError(f"Error opening table {name}: {error}", path=name) from error
    head, rows = [], []
    for line in text.splitlines():
        if line.startswith(("\\", "|")):
            head.append(line)
        elif line.strip():
            rows.append(line)
    first = next(line for line in head if line.startswith("|"))
    bars = [i for i, c in enumerate(first) if c == "|"]
    if len(rows) != len(table):
        raise FormatError(f"{name}: {len(rows)} rows, but {len(table)} could be read", path=name)
    for new, old in (("naxis1", "ns"), ("naxis2", "nl"), ("fname", "file")):
        if new not in table.columns and old in table.columns:
            table[new] = table[old]
    return table, _Lines(head, rows, bars, [str(c) for c in table.columns])


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """Outlines of the images of a table."""

    quads: FloatArray

    @classmethod
    def of(cls, table: DataFrame, name: str) -> _Images:
        """Corners of the table, or those of its WCS columns; NaN where a row has none (it touches nothing)."""
        from nbmosaic.core.geometry.j2000 import j2000_centre_and_corners
        from nbmosaic.core.geometry.sky_regions import oriented, sky_vectors
        from nbmosaic.io.image_table import row_wcs

        if all(column in table.columns for column in _CORNERS):
            lon = table[_CORNERS[::2]].to_numpy(float)
            lat = table[_CORNERS[1::2]].to_numpy(float)
        elif all(column in table.columns for column in _WCS_COLUMNS):
            rows = enumerate(table.to_dict("records"), 1)
            corners = [j2000_centre_and_corners(row_wcs(row, f"row {k}"), (int(row["naxis2"]), int(row["naxis1"])))[1] for k, row in rows]
            lon, lat = np.moveaxis(np.array(corners).reshape(-1, 4, 2), 2, 0)
        else:
            missing = [column for column in _WCS_COLUMNS if column not in table.columns]
            raise InputError(
                f"Need either WCS or corner columns. {name} has no {', '.join(missing)}, and not all of ra1, dec1 to ra4, dec4"
            )
        return cls(oriented(sky_vectors(lon, lat)))


def _cut_row(lines: _Lines, table: DataFrame, k: int, region: FloatArray, folder: str) -> str | None:
    """Row of the part of an image inside a box; None where no whole pixel is."""
    from nbmosaic.core.geometry.montage_cuts import region_on_frame
    from nbmosaic.io.frame_table import sexagesimal

    row = table.iloc[k].to_dict()
    if "fname" not in row:
        raise InputError("CUTOUT mode needs a valid 'fname' or 'file' column")
    wcs = _frame_wcs(row, k, folder)
    part = region_on_frame(wcs, (int(row["naxis2"]), int(row["naxis1"])), region)
    if part is None:
        return None
    (ny, nx), (column, line), (ra, dec) = part.shape, part.first, part.sky.T.tolist()
    cra, cdec = sexagesimal(ra[4], dec[4])
    changed = {"naxis1": f"{nx}", "naxis2": f"{ny}", "ns": f"{nx}", "nl": f"{ny}"}
    changed |= {"crpix1": f"{float(row['crpix1']) - column + 1:.5f}", "crpix2": f"{float(row['crpix2']) - line + 1:.5f}"}
    changed |= {"ra": f"{ra[4]:.7f}", "dec": f"{dec[4]:.7f}", "cra": cra, "cdec": cdec}
    changed |= {f"ra{i + 1}": f"{ra[i]:.7f}" for i in range(4)} | {f"dec{i + 1}": f"{dec[i]:.7f}" for i in range(4)}
    return _changed_line(lines, lines.rows[k], changed)


def _frame_wcs(row: dict[Any, Any], k: int, folder: str) -> WCS:
    """WCS of an image: its own, where the folder is known, or that of its row."""
    from nbmosaic.io.image_hdu import read_image_hdu
    from nbmosaic.io.image_table import row_wcs

    if not folder:
        missing = [column for column in _WCS_COLUMNS if column not in row]
        if missing:
            raise InputError(f"CUTOUT mode needs the WCS columns {', '.join(missing)}, or the folder of the images")
        return row_wcs(row, f"row {k + 1}")
    name = str(Path(folder) / str(row["fname"]))
    try:
        return read_image_hdu(name, int(row.get("hdu", 0))).wcs()
    except FormatError as error:
        raise FormatError(f"Image file {name} missing or invalid FITS: {error.message}", path=name) from error


def _changed_line(lines: _Lines, line: str, changed: dict[str, str]) -> str:
    """A row with other texts in some columns, right-justified as Montage writes it."""
    bars = [*lines.bars, len(line)][: len(lines.names) + 1]
    parts = []
    for i, name in enumerate(lines.names):
        text = changed.get(name, line[bars[i] : bars[i + 1]].strip() if i + 1 < len(lines.names) else line[bars[i] :].strip())
        parts.append(f"{text:>{bars[i + 1] - bars[i] - 1}}")
    return " " + " ".join(parts) + " "
