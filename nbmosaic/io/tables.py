"""Tables of frames, overlaps and corrections: IPAC text (Montage's own layouts, or lossless), CSV and ECSV."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from nbmosaic.errors import InputError, TableFormatError
from nbmosaic.io.fits_scan import os_error
from nbmosaic.io.headers import plain_text
from nbmosaic.io.layouts import LAYOUTS, montage_text
from nbmosaic.io.output import replacing

if TYPE_CHECKING:
    from typing import Literal

    from pandas import DataFrame

    from nbmosaic._types import AnyArray, PathLike

__all__ = ["format_table", "parse_table", "read_table", "write_table"]

_KINDS = {
    "int": "int",
    "i": "int",
    "long": "int",
    "l": "int",
    "double": "float",
    "d": "float",
    "real": "float",
    "r": "float",
    "float": "float",
    "f": "float",
    "char": "text",
    "c": "text",
    "date": "text",
}
_KEYWORD = re.compile(r"\\\s*(?:\w+\s+)?([A-Za-z_]\w*)\s*=\s*(.*)\Z")
_NULLS = {"", "null", "NULL", "Null"}


def _fail(where: str, line: int | None, problem: str, hint: str | None = None) -> NoReturn:
    place = where if line is None else f"{where}, line {line}"
    raise TableFormatError(f"{place}: {problem}", hint=hint, path=where, line=line)


def read_table(path: PathLike) -> DataFrame:
    """Read a table: IPAC text as Montage writes it, or ``.csv`` and ``.ecsv`` by the ending of the name.

    Parameters
    ----------
    path : path
        File name.

    Returns
    -------
    DataFrame
        Columns of int64, float64 (blank: NaN), Int64 (whole numbers with blanks) and text; keywords of an IPAC table in ``attrs``.

    Raises
    ------
    TableFormatError
        The file cannot be read; the message names file, line, column, and what was expected.

    Examples
    --------
    >>> read_table("fits.tbl").columns[:3].tolist()  # doctest: +SKIP
    ['plus', 'minus', 'a']
    """
    name = str(Path(path).expanduser())
    try:
        raw = Path(name).read_bytes()
    except OSError as err:
        raise TableFormatError(os_error("open", name, err).message, path=name) from err
    lower = name.lower()
    if lower.endswith((".csv", ".ecsv")):
        return _read_csv(name, ecsv=lower.endswith(".ecsv"))
    return parse_table(raw.decode("utf-8", "replace"), name)


def _read_csv(name: str, *, ecsv: bool) -> DataFrame:
    try:
        if ecsv:
            from astropy.table import Table

            return Table.read(name, format="ascii.ecsv").to_pandas()
        import pandas as pd

        return pd.read_csv(name)
    except Exception as err:  # pandas and astropy raise errors of many kinds
        reason = " ".join(str(err).split())
        raise TableFormatError(f"{name}: {reason}", hint="expected a comma-separated table with column names", path=name) from err


def parse_table(text: str, where: str = "table") -> DataFrame:
    r"""Read an IPAC table: keyword lines (``\``), a line of column names between bars, perhaps types, units and nulls, then rows.

    Parameters
    ----------
    text : str
        The table.
    where : str
        Its file name, for messages.

    Raises
    ------
    TableFormatError
        No line of column names, or a row that does not fit it.

    Examples
    --------
    >>> parse_table("| id |   a  |\n   1    0.5 \n").a.tolist()
    [0.5]
    """
    import pandas as pd

    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    attrs: dict[str, Any] = {}
    bars: list[int] = []
    heads: list[list[str]] = []
    rows: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("\\"):
            match = _KEYWORD.match(line.rstrip())
            if match:
                attrs[match[1]] = match[2].strip().strip("'\"")
        elif line.startswith("|"):
            if rows:
                _fail(where, number, "a line of column names among the rows")
            if not heads:
                bars = [i for i, c in enumerate(line) if c == "|"]
            heads.append([part.strip() for part in line.strip().strip("|").split("|")])
        elif line.strip():
            if not heads:
                _fail(where, number, "expected column names between bars, as in | plus | minus | a |")
            rows.append((number, line))
    if not heads:
        _fail(where, None, "no column names", "expected an IPAC table, which has them between bars")
    names = heads[0]
    _check_names(names, where)
    if len(bars) == len(names):  # the last bar may be missing
        bars.append(10**9)
    types = heads[1] if len(heads) > 1 and len(heads[1]) == len(names) else [""] * len(names)
    null = set(heads[3]) | _NULLS if len(heads) > 3 else _NULLS
    cells: list[AnyArray] | list[list[str]] = _aligned_cells([line for _, line in rows], bars) or _cells(rows, bars, names, where)
    frame = pd.DataFrame({name: _column(cells[i], types[i], null, rows, (where, name)) for i, name in enumerate(names)})
    frame.attrs.update(attrs)
    return frame


def _check_names(names: list[str], where: str) -> None:
    for i, name in enumerate(names):
        if not name or name in names[:i]:
            _fail(where, None, f"column {i + 1} has {'no name' if not name else f'the name {name!r} of another'}")


def _aligned_cells(lines: list[str], bars: list[int]) -> list[AnyArray] | None:
    """Stripped bytes by column of rows that all keep to the bars, in plain ASCII; None for other rows. Twenty times faster than `_cells`."""
    text = "".join(lines)
    if not (text and text.isascii()) or "\0" in text:
        return None
    width = max(bars[-2] + 1, *map(len, lines))
    if width * len(lines) > 1_000_000 + 4 * len(text):  # a few long lines would make a table of blanks
        return None
    table = np.array(lines, f"S{width}").view(np.uint8).reshape(len(lines), width)
    table[table == 0] = ord(" ")  # beyond the ends of the lines
    tab = table == ord("\t")
    if ((table < ord(" ")) & ~tab).any() or not (tab | (table == ord(" ")))[:, bars[:-1]].all():
        return None
    ends = [*bars[1:-1], width]  # the last column may be longer than its heading
    parts = [np.ascontiguousarray(table[:, first:end]).view(f"S{end - first}").ravel() for first, end in zip(bars[:-1], ends, strict=True)]
    return [np.char.strip(part) for part in parts]


def _column(cells: AnyArray | list[str], declared: str, null: set[str], rows: list[tuple[int, str]], place: tuple[str, str]) -> Any:
    """Column of a table: numbers without blanks all at once, what else there is cell by cell."""
    if isinstance(cells, list):
        return _typed(cells, declared, null, rows, place)
    kind = _KINDS.get(declared.lower().strip(), "")
    if kind != "text" and not any((cells == word.encode()).any() for word in null if word.isascii()):
        for number in (np.int64, np.float64) if kind != "float" else (np.float64,):
            try:
                return cells.astype(number)
            except (ValueError, OverflowError):
                continue
    return _typed([cell.decode() for cell in cells.tolist()], declared, null, rows, place)


def _cells(rows: list[tuple[int, str]], bars: list[int], names: list[str], where: str) -> list[list[str]]:
    """Texts by column: between the bars, or word by word where a number has outgrown its column."""
    n = len(names)
    table: list[list[str]] = []
    for number, line in rows:
        if all(bar >= len(line) or line[bar] in " \t" for bar in bars[:-1]):
            cells = [line[bars[i] : bars[i + 1]].strip() for i in range(n - 1)]
            cells.append(line[bars[n - 1] :].strip())  # the last column may be longer than its heading
        else:
            cells = line.split()
            if len(cells) != n:
                _fail(where, number, f"{len(cells)} values for {n} columns, not in line with the bars of the heading")
        table.append(cells)
    return [[cells[i] for cells in table] for i in range(n)]


def _typed(cells: list[str], declared: str, null: set[str], rows: list[tuple[int, str]], place: tuple[str, str]) -> Any:
    """Column of the declared type, or of the narrowest of int, float and text that holds all cells."""
    import pandas as pd

    kind = _KINDS.get(declared.lower().strip(), "")
    blank = [cell in null for cell in cells]
    if kind == "text":
        return pd.Series(["" if gone else cell for cell, gone in zip(cells, blank, strict=True)], dtype=object)
    try:
        if kind == "int" and not cells:
            return np.zeros(0, np.int64)
        if kind in {"int", ""} and not all(blank):
            values = [0 if gone else int(cell) for cell, gone in zip(cells, blank, strict=True)]
            if any(blank):
                return pd.array([pd.NA if gone else value for value, gone in zip(values, blank, strict=True)], dtype="Int64")
            return np.array(values, np.int64)
    except (ValueError, OverflowError):
        pass
    if kind == "int" and all(blank) and cells:
        return pd.array([pd.NA] * len(cells), dtype="Int64")
    try:
        return np.array([math.nan if gone else float(cell) for cell, gone in zip(cells, blank, strict=True)], np.float64)
    except ValueError:
        if not kind:
            return pd.Series(["" if gone else cell for cell, gone in zip(cells, blank, strict=True)], dtype=object)
    where, name = place
    for cell, (number, _) in zip(cells, rows, strict=True):
        if cell not in null and not _is_number(cell):
            _fail(where, number, f"column {name} holds {cell!r}, expected a number")
    raise AssertionError(name)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def format_table(table: DataFrame, *, layout: Literal["full", "montage"] = "full") -> str:
    r"""Text of an IPAC table.

    Parameters
    ----------
    table : DataFrame
        Numbers and text.
    layout : {"full", "montage"}
        ``"full"``: every digit, all columns. ``"montage"``: widths, digits and order of Montage's own table (image table, fits table, corrections,
        diffs; told by the columns), whose columns must be there; others are left out. It is lossy: c of a plane has five decimals.

    Raises
    ------
    InputError
        ``layout="montage"`` for a table with the columns of none of Montage's.

    Examples
    --------
    >>> import pandas as pd
    >>> print(format_table(pd.DataFrame({"id": [0], "a": [0.1], "b": [0.0], "c": [2.5]}), layout="montage"))
    |   id   |      a       |      b       |      c       |
            0    1.00000e-01    0.00000e+00    2.50000e+00
    <BLANKLINE>
    """
    if layout not in {"full", "montage"}:
        raise InputError(f"layout {layout!r}: expected 'full' or 'montage'")
    if layout == "montage":
        for kind, columns in LAYOUTS.items():
            if all(column.name in table.columns for column in columns if not column.optional):
                return montage_text(table, kind)
        raise InputError(f"a table with columns {', '.join(map(str, table.columns[:8]))} is none of Montage's", hint="use layout='full'")
    heads: list[str] = []
    types: list[str] = []
    rows: list[list[str]] = []
    for column in table.columns:
        name = plain_text(column).replace("|", "_")
        kind, cells = _full_column(table[column])
        width = max([len(name), len(kind), *map(len, cells)])
        heads.append(f" {name:>{width}} ")
        types.append(f" {kind:>{width}} ")
        rows.append([f"  {cell:>{width}} " if kind != "char" else f"  {cell:<{width}} " for cell in cells])
    keywords = [f"\\{plain_text(key)} = {plain_text(value)}" for key, value in table.attrs.items()]
    body = ["".join(parts).rstrip() for parts in zip(*rows, strict=True)] if rows else []
    return "\n".join([*keywords, f"|{'|'.join(heads)}|", f"|{'|'.join(types)}|", *body, ""])


def _full_column(column: Any) -> tuple[str, list[str]]:
    """IPAC type and texts with every digit."""
    missing = column.isna().to_numpy()
    kind = str(column.dtype)
    if kind == "bool" or kind.lower().startswith(("int", "uint")):
        return "int", ["null" if gone else str(int(value)) for value, gone in zip(column, missing, strict=True)]
    if kind.startswith("float"):
        return "double", ["null" if gone else repr(float(value)) for value, gone in zip(column, missing, strict=True)]
    return "char", [
        "null" if gone or value == "" else plain_text(value).replace("|", "/") for value, gone in zip(column, missing, strict=True)
    ]


def write_table(path: PathLike, table: DataFrame, *, layout: Literal["full", "montage"] = "full", overwrite: bool = False) -> None:
    """Write a table: IPAC text, or ``.csv`` and ``.ecsv`` by the ending of the name.

    Parameters
    ----------
    path : path
        File name.
    table : DataFrame
        Numbers and text.
    layout : {"full", "montage"}
        See `format_table`; for IPAC text only.
    overwrite : bool
        Whether the file may exist.

    Raises
    ------
    FormatError
        See `nbmosaic.io.output.check_output`.

    Examples
    --------
    >>> write_table("fits.tbl", overlaps, layout="montage")  # doctest: +SKIP
    """
    suffix = Path(path).suffix.lower()
    if suffix in {".csv", ".ecsv"} and layout != "full":
        raise InputError(f"layout {layout!r} is for IPAC tables, {path} is {suffix}")
    with replacing(path, overwrite=overwrite) as temporary:
        if suffix == ".csv":
            table.to_csv(temporary, index=False)
        elif suffix == ".ecsv":
            from astropy.table import Table

            Table.from_pandas(table).write(temporary, format="ascii.ecsv")
        else:
            temporary.write_text(format_table(table, layout=layout), encoding="ascii", newline="\n")
