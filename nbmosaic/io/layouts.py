"""Column widths and number formats of Montage's tables, as MontagePy 2.3.0 prints them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.io.headers import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

__all__ = ["LAYOUTS", "montage_text"]


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: heading and type as they stand between the bars, and the printf format of a value.

    A `width` of 0 means that the column is as wide as its longest text. Optional columns are printed blank where the table has none, or, if
    `dropped`, left out.
    """

    name: str
    head: str
    kind: str
    format: str
    width: int
    optional: bool = False
    dropped: bool = False


def _columns(
    specs: Sequence[tuple[str, str, str, str, int]], optional: Sequence[str] = (), dropped: Sequence[str] = ()
) -> tuple[_Column, ...]:
    return tuple(_Column(*spec, optional=spec[0] in optional or spec[0] in dropped, dropped=spec[0] in dropped) for spec in specs)


_CUBE = tuple(f"{key}{axis}" for axis in (3, 4) for key in ("naxis", "crval", "cdelt", "crpix"))
_CORNERS = tuple(f"{key}{i}" for i in range(1, 5) for key in ("ra", "dec"))

_IMAGES = _columns(
    [
        ("cntr", " cntr ", " int  ", "%d", 6),
        ("ra", "      ra     ", "     double  ", "%.7f", 13),
        ("dec", "     dec     ", "     double  ", "%.7f", 13),
        ("cra", "      cra     ", "      char    ", "%s", 14),
        ("cdec", "     cdec     ", "     char     ", "%s", 14),
        ("naxis1", "naxis1", " int  ", "%d", 6),
        ("naxis2", "naxis2", " int  ", "%d", 6),
        ("ctype1", " ctype1 ", "  char  ", "%s", 8),
        ("ctype2", " ctype2 ", "  char  ", "%s", 8),
        ("crpix1", "     crpix1    ", "     double    ", "%.5f", 15),
        ("crpix2", "     crpix2    ", "     double    ", "%.5f", 15),
        ("crval1", "    crval1   ", "    double   ", "%.7f", 13),
        ("crval2", "    crval2   ", "    double   ", "%.7f", 13),
        ("cdelt1", "       cdelt1      ", "      double       ", "%.10e", 19),
        ("cdelt2", "       cdelt2      ", "      double       ", "%.10e", 19),
        ("crota2", "   crota2    ", "   double    ", "%.7f", 13),
        ("equinox", "equinox ", " double ", "%.2f", 8),
        ("naxis", " naxis", "   int", "%d", 6),
        *(
            spec
            for axis in (3, 4)
            for spec in (
                (f"naxis{axis}", f"naxis{axis}", "   int", "%d", 6),
                (f"crval{axis}", f"{f'crval{axis}':>22}", f"{'double':>22}", "%.7f", 22),
                (f"cdelt{axis}", f"{f'cdelt{axis}':>22}", f"{'double':>22}", "%.10e", 22),
                (f"crpix{axis}", f"{f'crpix{axis}':>22}", f"{'double':>22}", "%.5f", 22),
            )
        ),
        *(
            spec
            for i in range(1, 5)
            for spec in (
                (f"ra{i}", f"      ra{i}    ", "     double  ", "%.7f", 13),
                (f"dec{i}", f"     dec{i}    ", "     double  ", "%.7f", 13),
            )
        ),
        ("size", "    size    ", "    int     ", "%d", 12),
        ("hdu", " hdu  ", " int  ", "%d", 6),
        ("fname", " fname", " char", "%s", 0),
    ],
    optional=_CUBE,
    dropped=_CORNERS,
)

# Montage writes its image table by two pieces of code: the one without corners sets some headings differently.
_PLAIN_HEADS = {"cdelt1": "      cdelt1       "}
_PLAIN_KINDS = {
    "ra": "    double   ",
    "dec": "    double   ",
    "cdec": "    char      ",
    "cdelt1": "       double      ",
    "cdelt2": "       double      ",
    "size": "     int    ",
}

_FITS = _columns(
    [
        ("plus", "   plus  ", "", "%d", 9),
        ("minus", "  minus  ", "", "%d", 9),
        ("a", "         a      ", "", "%.5e", 16),
        ("b", "        b       ", "", "%.5e", 16),
        ("c", "        c       ", "", "%.5e", 16),
        ("crpix1", "    crpix1    ", "", "%.2f", 14),
        ("crpix2", "    crpix2    ", "", "%.2f", 14),
        ("xmin", "   xmin   ", "", "%d", 10),
        ("xmax", "   xmax   ", "", "%d", 10),
        ("ymin", "   ymin   ", "", "%d", 10),
        ("ymax", "   ymax   ", "", "%d", 10),
        ("xcenter", "   xcenter   ", "", "%.2f", 13),
        ("ycenter", "   ycenter   ", "", "%.2f", 13),
        ("npixel", "    npixel   ", "", "%.0f", 13),
        ("rms", "      rms       ", "", "%.5e", 16),
        ("boxx", "      boxx      ", "", "%.1f", 16),
        ("boxy", "      boxy      ", "", "%.1f", 16),
        ("boxwidth", "    boxwidth    ", "", "%.1f", 16),
        ("boxheight", "   boxheight    ", "", "%.1f", 16),
        ("boxang", "     boxang     ", "", "%.1f", 16),
    ]
)

_CORRECTIONS = _columns(
    [
        ("id", "   id   ", "", "%d", 8),
        ("a", "      a       ", "", "%.5e", 14),
        ("b", "      b       ", "", "%.5e", 14),
        ("c", "      c       ", "", "%.5e", 14),
    ]
)

_DIFFS = _columns(
    [
        ("cntr1", " cntr1 ", " int   ", "%d", 7),
        ("cntr2", " cntr2 ", " int   ", "%d", 7),
        ("plus", "plus ", "char ", "%s", 0),
        ("minus", "minus ", "char ", "%s", 0),
        ("diff", "         diff             ", "         char             ", "%s", 0),
    ]
)

LAYOUTS: dict[str, tuple[_Column, ...]] = {"images": _IMAGES, "fits": _FITS, "diffs": _DIFFS, "corrections": _CORRECTIONS}


def _cell(value: Any, column: _Column) -> str:
    """Text of one value; blank where it is missing."""
    if column.format == "%s":
        return plain_text("" if value is None or value != value else value)  # noqa: PLR0124 - true for every kind of missing value
    number = math.nan if value is None or str(value) == "<NA>" else float(value)
    if column.format == "%d":
        return str(int(number)) if math.isfinite(number) else ""
    return "" if math.isnan(number) and column.optional else column.format % number


def _extra_column(table: DataFrame, name: str, kind: str, width: int) -> _Column:
    """Column of a header keyword, wide enough for its longest text."""
    width = max([width, len(name), len(kind), *(len(plain_text(v)) for v in table[name])])
    return _Column(name, f"{name:>{width}}", f"{kind:>{width}}", "%s", width)


def montage_text(table: DataFrame, kind: str, *, extra: Sequence[tuple[str, str, int]] = (), notes: Sequence[str] = ()) -> str:
    r"""Text of one of Montage's tables, equal to Montage's own to the byte.

    Parameters
    ----------
    table : DataFrame
        Has the columns of `kind` (the image table may lack the corners; those of cubes are blank where they are missing).
    kind : {"images", "fits", "corrections", "diffs"}
        Which table.
    extra : sequence of (name, type, width), optional
        Further columns of an image table, which stand behind ``equinox``; the table holds them as text.
    notes : sequence of str, optional
        Comment lines of an image table.

    Examples
    --------
    >>> import pandas as pd
    >>> montage_text(pd.DataFrame({"id": [0], "a": [0.0], "b": [0.0], "c": [1.0]}), "corrections").splitlines()[1]
    '        0    0.00000e+00    0.00000e+00    1.00000e+00'
    """
    flat = kind == "images" and "naxis" not in table.columns  # what mImgtbl writes where it is told that there are no cubes
    columns = [
        c for c in LAYOUTS[kind] if (not c.dropped or c.name in table.columns) and not (flat and (c.name == "naxis" or c.name in _CUBE))
    ]
    if extra:
        place = [c.name for c in columns].index("equinox") + 1
        columns[place:place] = [_extra_column(table, *one) for one in extra]
    texts = [[_cell(v, c) for v in table[c.name]] if c.name in table.columns else [""] * len(table) for c in columns]
    if kind == "diffs":
        return _diffs_text(columns, texts)
    plain = kind == "images" and "ra1" not in table.columns
    heads, types, cells = [], [], []
    for column, column_texts in zip(columns, texts, strict=True):
        last = column.width == 0
        width = column.width or max([len(column.head), *map(len, column_texts)])
        head, declared = column.head, column.kind
        if plain:
            head, declared = _PLAIN_HEADS.get(column.name, head), _PLAIN_KINDS.get(column.name, declared)
        heads.append(head.ljust(width) if last else head)
        types.append(declared.ljust(width) if last else declared)
        left = any(column.name == name and declared.strip() == "char" for name, _, _ in extra)
        cells.append([f" {text:<{width}} " if last else f" {text:<{width}}" if left else f" {text:>{width}}" for text in column_texts])
    lines = ["\\datatype = fitshdr", *(f"\\ {plain_text(note)}" for note in notes)] if kind == "images" else []
    lines.append(f"|{'|'.join(heads)}|")
    if kind == "images":
        lines.append(f"|{'|'.join(types)}|")
    end = " " if kind == "fits" else ""
    lines += ["".join(parts) + end for parts in zip(*cells, strict=True)]
    return "\n".join([*lines, ""])


def _diffs_text(columns: Sequence[_Column], texts: list[list[str]]) -> str:
    """Table of overlapping pairs, whose name columns are as wide as the longest name."""
    width = max([4, *map(len, texts[2]), *map(len, texts[3])])
    heads, types = [], []
    for column in columns:
        named = column.name in {"plus", "minus"}
        heads.append(f"{column.head:>{width + 1}}" if named else column.head)
        types.append(f"{column.kind:>{width + 1}}" if named else column.kind)
    lines = [f"|{'|'.join(heads)}|", f"|{'|'.join(types)}|"]
    for one, two, plus, minus, diff in zip(*texts, strict=True):
        lines.append(f" {one:>7} {two:>7} {plus:>{width}}  {minus:>{width}}  {diff}")
    return "\n".join([*lines, ""])
