"""Fitted maps in the text databases of IRAF's geomap.

A record begins with ``begin NAME``; lines of a keyword and a value follow, then ``surface1`` (the linear part) and ``surface2`` (the distortion), each
with the number of rows below it, in two columns for x and y: kind of function, orders in x and y, cross terms, limits, coefficients with x
running fastest. Coordinates count pixel centres from 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.errors import FormatError, InputError, TableFormatError
from nbmosaic.io.fits_scan import os_error
from nbmosaic.io.iraf_surfaces import iraf_surface
from nbmosaic.io.output import replacing
from nbmosaic.types.camera import FITTED_FUNCTIONS, MAP_GEOMETRIES, FittedMap

if TYPE_CHECKING:
    from nbmosaic._types import PathLike

__all__ = ["read_geomap_database", "write_geomap_database"]

_TERMS = ("none", "full", "half")  # by IRAF's codes 0, 1, 2
_LARGEST_FILE = 50_000_000
_HEAD = 8  # numbers before the coefficients of a surface


def read_geomap_database(path: PathLike) -> dict[str, FittedMap]:
    """Read all records of a database.

    Parameters
    ----------
    path : path
        Text file that geomap or `write_geomap_database` wrote.

    Returns
    -------
    dict of str to FittedMap
        In the order of the file; of records of the same name the last one. Origin 1.

    Raises
    ------
    FormatError
        The file cannot be read.
    TableFormatError
        It holds no record, or one that is not complete; ``context`` has ``path`` and ``line``.

    Examples
    --------
    >>> read_geomap_database("no such file.db")
    Traceback (most recent call last):
    ...
    nbmosaic.errors.FormatError: cannot read no such file.db: no such file or directory
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as err:
        raise os_error("read", name, err) from err
    if len(raw) > _LARGEST_FILE:
        raise FormatError(f"{name} is larger than {_LARGEST_FILE} bytes, too large for a geomap database", path=name)
    records: dict[str, FittedMap] = {}
    lines = list(enumerate(raw.decode("latin-1").splitlines(), 1))
    starts = [k for k, (_, text) in enumerate(lines) if text.split()[:1] == ["begin"]]
    if not starts:
        raise TableFormatError(f"{name} holds no geomap record", hint="records start with a line 'begin NAME'", path=name, line=1)
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        record = _Record(name, lines[start:stop])
        records[record.name] = record.fitted()
    return records


class _Record:
    """One record: its keywords, and the rows of its surfaces."""

    def __init__(self, path: str, lines: list[tuple[int, str]]) -> None:
        self.path = path
        self.line, first = lines[0]
        self.name = first.split(None, 1)[1].strip() if len(first.split()) > 1 else ""
        self.words: dict[str, str] = {}
        self.surfaces: dict[str, FloatArray] = {}
        position = 1
        while position < len(lines):
            number, text = lines[position]
            position += 1
            words = text.split()
            if not words or words[0].startswith("#"):
                continue
            self.words[words[0]] = words[1] if len(words) > 1 else ""
            if words[0] in ("surface1", "surface2"):
                count = self._count(words, number)
                self.surfaces[words[0]] = self._rows(lines[position : position + count], count, number)
                position += count

    def _error(self, problem: str, line: int) -> TableFormatError:
        return TableFormatError(f"{self.path}, line {line}: {problem}", path=self.path, line=line)

    def _count(self, words: list[str], line: int) -> int:
        if len(words) != 2 or not words[1].isdecimal():
            raise self._error(f"{words[0]} needs the number of its rows", line)
        return int(words[1])

    def _rows(self, lines: list[tuple[int, str]], count: int, start: int) -> FloatArray:
        """Rows of two numbers."""
        rows = []
        for number, text in lines:
            try:
                row = [float(word.replace("D", "E").replace("d", "e")) for word in text.split()]
            except ValueError:
                row = []
            if len(row) != 2 or not all(math.isfinite(v) for v in row):
                raise self._error("a row of a surface needs two numbers", number)
            rows.append(row)
        if len(rows) != count:
            raise self._error(f"a surface of {count} rows has only {len(rows)}", start)
        return np.array(rows, float).reshape(count, 2)

    def _number(self, key: str) -> float:
        """Number of a keyword, 0 where it is not given or INDEF."""
        text = self.words.get(key, "INDEF")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        return value if math.isfinite(value) else 0.0

    def fitted(self) -> FittedMap:
        """The map of the record."""
        geometry, function = self.words.get("geometry", "general"), self.words.get("function", "polynomial")
        if geometry not in MAP_GEOMETRIES or function not in FITTED_FUNCTIONS:
            raise self._error(f"the record {self.name!r} has the unknown geometry {geometry!r} or function {function!r}", self.line)
        first = self.surfaces.get("surface1")
        if first is None or len(first) < _HEAD:
            raise self._error(f"the record {self.name!r} has no surface1", self.line)
        second = self.surfaces.get("surface2")
        if second is not None and len(second) and not np.array_equal(second[4:_HEAD], first[4:_HEAD]):
            raise self._error(f"the surfaces of the record {self.name!r} have different limits", self.line)
        linear = np.zeros((2, 3))
        for axis in range(2):
            c = self._coefficients(first[:, axis], function, "surface1")
            if max(c.shape) > 2 or (c.shape == (2, 2) and c[1, 1] != 0):
                raise self._error(f"surface1 of the record {self.name!r} is not linear", self.line)
            linear[axis, 0] = c[0, 0]
            linear[axis, 1] = c[1, 0] if c.shape[0] > 1 else 0.0
            linear[axis, 2] = c[0, 1] if c.shape[1] > 1 else 0.0
        surfaces: list[FloatArray | None] = [None, None]
        terms = ["half", "half"]
        for axis in range(2):
            if second is not None and len(second) >= _HEAD and second[_HEAD:, axis].any():
                surfaces[axis] = np.ascontiguousarray(self._coefficients(second[:, axis], function, "surface2").T)
                terms[axis] = _TERMS[round(second[3, axis])]
        x0, x1, y0, y1 = (float(value) for value in first[4:_HEAD, 0])
        return FittedMap(
            geometry=geometry,
            function=function,
            limits=(x0, x1, y0, y1),
            linear=linear,
            distortion_x=surfaces[0],
            distortion_y=surfaces[1],
            terms_x=terms[0],
            terms_y=terms[1],
            rms_x=self._number("xrms"),
            rms_y=self._number("yrms"),
            mean_out=(self._number("xrefmean"), self._number("yrefmean")),
            mean_in=(self._number("xmean"), self._number("ymean")),
            origin=1,
        )

    def _coefficients(self, numbers: FloatArray, function: str, what: str) -> FloatArray:
        """Coefficients ``[i, j]`` of one column."""
        try:
            surface = iraf_surface(numbers.tolist(), what)
        except InputError as err:
            raise self._error(f"record {self.name!r}: {err}", self.line) from None
        if FITTED_FUNCTIONS[surface.function - 1] != function:
            raise self._error(f"{what} of the record {self.name!r} is not of the function {function!r}", self.line)
        return surface.coefficients


def write_geomap_database(path: PathLike, maps: Mapping[str, FittedMap], *, overwrite: bool = False) -> None:
    """Write maps as records of a database that geotran and `read_geomap_database` read.

    Parameters
    ----------
    path : path
        The file.
    maps : mapping of str to FittedMap
        The records by name. Maps of another origin are rewritten to 1.
    overwrite : bool
        Whether the file may exist.

    Raises
    ------
    FormatError
        The file cannot be written.
    InputError
        No maps, or a name that a record cannot have.

    Notes
    -----
    Numbers are written with all their digits: what is read back is the same to the bit. Shifts, scales and rotations describe the linear part, and
    shifts are its values at (0, 0); those that geomap itself writes for the geometry ``xyscale`` are not, and its angles are right to 3e-8 only.
    """
    if not maps:
        raise InputError("no maps to write")
    for name in maps:
        if not name or name != name.strip() or not name.isprintable():
            raise InputError(f"a record cannot have the name {name!r}")
    text = "".join(_record_text(name, fitted.with_origin(1)) for name, fitted in maps.items())
    with replacing(path, overwrite=overwrite, needed=len(text)) as partial:
        partial.write_text(text, encoding="utf-8")


def _record_text(name: str, fitted: FittedMap) -> str:
    linear = _linear_in_pixels(fitted)
    (a, b, c), (d, e, f) = linear
    degrees = 180.0 / math.pi
    values: list[tuple[str, float]] = [
        ("xshift", a),
        ("yshift", d),
        ("xmag", math.hypot(b, e)),
        ("ymag", math.hypot(c, f)),
        ("xrotation", math.atan2(-e, b) * degrees % 360.0),
        ("yrotation", math.atan2(c, f) * degrees % 360.0),
        ("xrms", fitted.rms_x),
        ("yrms", fitted.rms_y),
    ]
    means = zip(("xrefmean", "yrefmean", "xmean", "ymean"), (*fitted.mean_out, *fitted.mean_in), strict=True)
    lines = [f"begin\t{name}", *(f"\t{key}\t{value!r}" for key, value in means)]
    lines += [f"\tgeometry\t{fitted.geometry}", f"\tfunction\t{fitted.function}", *(f"\t{key}\t\t{value!r}" for key, value in values)]
    first = [_column(fitted, row.reshape(-1), 2, 2, "none") for row in fitted.linear]
    second = [
        [] if surface is None else _column(fitted, surface[_order(surface, terms)], surface.shape[1], surface.shape[0], terms)
        for surface, terms in ((fitted.distortion_x, fitted.terms_x), (fitted.distortion_y, fitted.terms_y))
    ]
    for key, columns in (("surface1", first), ("surface2", second)):
        rows = max(len(column) for column in columns)
        lines.append(f"\t{key}\t{rows}")
        # an axis without a distortion beside one that has it: a surface of one term, 0
        full = [column or _column(fitted, np.zeros(1), 1, 1, "none") if rows else [] for column in columns]
        full = [[*column, *([0.0] * (rows - len(column)))] for column in full]
        lines += [f"\t\t\t{x!r}\t{y!r}" for x, y in zip(*full, strict=True)]
    return "\n".join([*lines, "", ""])


def _order(surface: FloatArray, terms: str) -> tuple[IntArray, IntArray]:
    """Indices ``(j, i)`` of the terms in the order of the file."""
    j, i = (np.asarray(index, np.int64) for index in np.indices(surface.shape))
    used = {"none": (i == 0) | (j == 0), "half": i + j < max(surface.shape), "full": i >= 0}[terms]
    return j[used], i[used]


def _column(fitted: FittedMap, coefficients: FloatArray, x_order: int, y_order: int, terms: str) -> list[float]:
    code = FITTED_FUNCTIONS.index(fitted.function) + 1
    head = [code, x_order, y_order, _TERMS.index(terms), *fitted.limits]
    return [float(value) for value in (*head, *coefficients)]


def _linear_in_pixels(fitted: FittedMap) -> list[list[float]]:
    """Linear part as coefficients of 1, x, y."""
    if fitted.function == "polynomial":
        return [[float(v) for v in row] for row in fitted.linear]
    x0, x1, y0, y1 = fitted.limits
    out = []
    for constant, in_x, in_y in fitted.linear:
        b, c = 2 * in_x / (x1 - x0), 2 * in_y / (y1 - y0)
        out.append([float(constant - b * (x0 + x1) / 2 - c * (y0 + y1) / 2), float(b), float(c)])
    return out
