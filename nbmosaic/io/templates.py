"""Header templates: the text form of an output grid, one FITS card a line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from nbmosaic.errors import FormatError, HeaderTemplateError, NbmosaicError, WcsError
from nbmosaic.io.cards import CardList, card_text, read_value
from nbmosaic.io.fits_scan import os_error, scan_fits
from nbmosaic.io.headers import wcs_values
from nbmosaic.io.iraf_wcs import is_iraf_projection, standard_cards
from nbmosaic.io.output import replacing
from nbmosaic.io.paths import is_fits_name, split_hdu
from nbmosaic.io.plate_solution import has_plate_solution, plate_cards, without_plate_cards
from nbmosaic.io.wcs_read import celestial_axes, read_wcs, sip_type, wcs_from_cards
from nbmosaic.types import MosaicGrid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.wcs import WCS

    from nbmosaic._types import PathLike

__all__ = ["format_template", "longitude_first", "parse_template", "read_template", "write_template"]

MAX_AXIS = 10_000_000  # the whole sky at 0.13 arcsec; a larger number is a slip of the pen
_MAX_VALUE = 1e12

_CARD = re.compile(r"([A-Za-z0-9_-]+)\s*=(.*)\Z", re.DOTALL)
_PLAIN_CARD = re.compile(r"(?:[A-Z0-9_-]{1,8}\s*=|END\s*\Z|COMMENT|HISTORY|\s{8})")
_IGNORED = re.compile(r"(?:COMMENT|HISTORY|HIERARCH|CONTINUE)(?:\s|\Z)|[#/]", re.IGNORECASE)
_NUMBER_KEY = re.compile(
    r"(?:CRVAL|CRPIX|CDELT|CROTA|PROJP)\d\Z|(?:CD|PC|PV)\d_\d+\Z|(?:CD|PC)\d{6}\Z|LONPOLE\Z|LATPOLE\Z|EPOCH\Z|(?:A|B|AP|BP)_(?:ORDER|\d_\d)\Z"
)
_COUNT_KEY = re.compile(r"(?:NAXIS\d?|WCSAXES)\Z")
_PLATE_KEY = re.compile(r"(?:PLTRA[HMS]|PLTDEC(?:SN|D|M|S)|(?:AMD[XY]|PPO|CNPIX)\d+|PLTSCALE|[XY]PIXELSZ)\Z")
_STRAY_KEY = re.compile(r"(?:CRVAL|CRPIX|CDELT|CROTA|CUNIT)[3-9]\Z|(?:CD|PC)(?:\d_[3-9]|[3-9]_\d)\Z")  # of axes that have no CTYPE
_WAT_KEY = re.compile(r"WAT\d_\d{3}\Z")
_QUOTED = re.compile(r"\s*'((?:[^']|'')*)'?")
_TEXT_KEY = re.compile(r"(?:CTYPE|CUNIT)\d\Z|RADE(?:C)?SYS\Z")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?\Z")
_EQUINOX = re.compile(r"([JjBb]?)\s*(\d+\.?\d*)\Z")
_SYSTEMS = {"ICRS", "FK5", "FK4", "FK4-NO-E", "GAPPT"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """Value of a card, and the line that it stands on."""

    value: Any
    line: int


def _fail(where: str, line: int | None, problem: str, hint: str | None = None) -> NoReturn:
    place = where if line is None else f"{where}, line {line}"
    raise HeaderTemplateError(f"{place}: {problem}", hint=hint, path=where, line=line)


def _split(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; long lines that are blocks of 80-column cards are taken apart."""
    number = 0
    for line in re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff").removeprefix("\u00ef\u00bb\u00bf")):
        pieces = [line[i : i + 80] for i in range(0, len(line), 80)] or [""]
        if len(pieces) > 1 and all(_PLAIN_CARD.match(piece) for piece in pieces[1:]):
            for piece in pieces:
                number += 1
                yield number, piece
        else:
            number += 1
            yield number, line


def _read_entries(text: str, where: str) -> dict[str, _Entry]:
    """Cards of a template by keyword, with values of the right kind."""
    entries: dict[str, _Entry] = {}
    for number, raw in _split(text):
        line = raw.replace("\t", " ").strip()
        if line.upper() == "END":
            break
        if not line or _IGNORED.match(line):
            continue
        match = _CARD.match(line)
        if match is None and raw.startswith(" " * 8):  # a card without keyword is a comment
            continue
        if match is None:
            _fail(where, number, f"{_shown(line)} is no card, expected KEYWORD = value")
        key = match.group(1).upper()
        value = _value(key, match.group(2), where, number)
        if key in entries and entries[key].value != value:
            _fail(where, number, f"{key} is given twice, first on line {entries[key].line}")
        entries[key] = _Entry(value, number)
    return entries


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _value(key: str, text: str, where: str, line: int) -> Any:
    """Value of one card, checked by what its keyword needs."""
    value = read_value(f"{key:<8}={text}")
    if isinstance(value, str):
        value = value.strip()
    bare = text.partition("/")[0].strip()
    if _COUNT_KEY.match(key):
        number = _number(value, bare)
        if number is None or number != int(number) or not 0 < number <= MAX_AXIS:
            _fail(where, line, f"{key} is {_shown(bare)}, expected a whole number from 1 to {MAX_AXIS}")
        return int(number)
    if _NUMBER_KEY.match(key):
        number = _number(value, bare)
        if number is None or abs(number) > _MAX_VALUE:
            _fail(where, line, f"{key} is {_shown(bare)}, expected a number")
        if key.startswith("CDELT") and number == 0:
            _fail(where, line, f"{key} is {_shown(bare)}, expected degrees per pixel")
        return int(number) if key.endswith("_ORDER") else number
    if _TEXT_KEY.match(key):
        word = value if isinstance(value, str) else bare
        if (not word and not key.startswith("CUNIT")) or not word.isascii() or not word.isprintable():
            _fail(where, line, f"{key} is {_shown(bare)}, expected a text in quotes")
        return word.upper() if not key.startswith("CUNIT") else word
    if _WAT_KEY.match(key):
        quoted = _QUOTED.match(text)
        if quoted is None or not quoted[1].isascii() or not quoted[1].isprintable():
            _fail(where, line, f"{key} is {_shown(bare)}, expected a text in quotes")
        return quoted[1].replace("''", "'")
    if _PLATE_KEY.match(key):
        number, word = _number(value, bare), str(value if value is not None else bare).strip()
        if key == "PLTDECSN" and word in {"", "+", "-"}:
            return word
        if number is None or abs(number) > _MAX_VALUE:
            _fail(where, line, f"{key} is {_shown(bare)}, expected {'a sign' if key == 'PLTDECSN' else 'a number'}")
        return number
    if key == "EQUINOX":
        match = _EQUINOX.match(str(value if value is not None else bare).strip())
        if match is None or not 0 <= float(match.group(2)) < 10000:
            _fail(where, line, f"EQUINOX is {_shown(bare)}, expected a year")
        return (match.group(1).upper(), float(match.group(2)))
    return bare


def _number(value: Any, bare: str) -> float | None:
    """Finite number of a card, also where it stands in quotes."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    word = value if isinstance(value, str) else bare
    if not _NUMBER.match(word):
        return None
    number = float(word.upper().replace("D", "E"))
    return number if math.isfinite(number) else None


def _system(entries: dict[str, _Entry], where: str) -> dict[str, Any]:
    """RADESYS and EQUINOX from all the ways in which templates spell them."""
    system = entries.get("RADESYS", entries.get("RADECSYS"))
    equinox: tuple[str, float] | None = entries["EQUINOX"].value if "EQUINOX" in entries else None
    if equinox is None and "EPOCH" in entries:
        equinox = ("", entries["EPOCH"].value or 1950.0)
    cards: dict[str, Any] = {}
    if system is not None and system.value in _SYSTEMS:
        cards["RADESYS"] = system.value
    elif system is not None and entries["CTYPE1"].value.startswith(("RA-", "DEC-")):
        _fail(where, system.line, f"RADESYS is {system.value!r}, expected one of {', '.join(sorted(_SYSTEMS))}")
    elif equinox is not None and equinox[0]:
        cards["RADESYS"] = {"J": "FK5", "B": "FK4"}[equinox[0]]
    if equinox is not None:
        cards["EQUINOX"] = equinox[1]
    return cards


def parse_template(text: str, where: str = "header template") -> MosaicGrid:
    """Read a header template.

    Accepted beside Montage's own form: lower case, any line ends, one block of 80-column cards, longer lines, tabs, comments, no END; CD, PC and
    CDELT, CDELT and CROTA2; EQUINOX (also ``J2000``), EPOCH, RADESYS and RADECSYS; PROJPn; TNX and ZPX with their WAT cards; plate solutions of DSS; more than
    two axes; latitude on the first axis.
    Nothing in the text is evaluated.

    Parameters
    ----------
    text : str
        The template.
    where : str
        Its file name, for messages.

    Returns
    -------
    MosaicGrid
        Shape ``(ny, nx)`` of the two celestial header axes (x is the first of them) and their WCS, longitude first.

    Raises
    ------
    HeaderTemplateError
        A missing card (named), or one that cannot be read (with its line and what was expected).

    Examples
    --------
    >>> grid = parse_template('''NAXIS1 = 40
    ... NAXIS2 = 30
    ... CTYPE1 = 'RA---TAN'
    ... CTYPE2 = 'DEC--TAN'
    ... CRVAL1 = 83.6
    ... CRVAL2 = -5.4
    ... CRPIX1 = 20.5
    ... CRPIX2 = 15.5
    ... CDELT1 = -0.000277778
    ... CDELT2 = 0.000277778''')
    >>> grid.shape
    (30, 40)
    """
    entries = _read_entries(text, where)
    if {"AMDX1", "PLTRAH"} <= entries.keys():  # the solution of a photographic plate says all
        for key, value in (("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CDELT1", -1.0), ("CDELT2", 1.0)):
            entries.setdefault(key, _Entry(value, 0))
    for key in ("NAXIS1", "NAXIS2", "CTYPE1", "CTYPE2"):
        if key not in entries:
            _fail(where, None, f"no {key} card", "a header template needs NAXIS1, NAXIS2, CTYPE1, CTYPE2 and a scale")
    if "CDELT1" not in entries and not any(key.startswith("CD") and key[2:3].isdigit() for key in entries):
        _fail(where, None, "no CDELT1 card", "give CDELT1 and CDELT2, or CD1_1, CD1_2, CD2_1 and CD2_2")
    if "NAXIS" in entries and entries["NAXIS"].value < 2:
        _fail(where, entries["NAXIS"].line, f"NAXIS is {entries['NAXIS'].value}, expected 2")
    iraf = any(key.startswith("CTYPE") and is_iraf_projection(entry.value) for key, entry in entries.items())
    wanted = (
        _NUMBER_KEY,
        _TEXT_KEY,
        _PLATE_KEY,
        *([_WAT_KEY] if iraf else ()),
    )  # WAT cards are never shown to astropy: they can crash its parser
    texts = {key: card_text(key, entry.value) for key, entry in entries.items() if any(kind.match(key) for kind in wanted)}
    for key in ("EPOCH", "RADECSYS", "RADESYS"):
        texts.pop(key, None)
    if "A_ORDER" in entries:  # astropy uses the terms whatever CTYPE says, but talks about it on the terminal
        texts.update({key: card_text(key, sip_type(entries[key].value)) for key in ("CTYPE1", "CTYPE2")})
    texts.update({key: card_text(key, value) for key, value in _system(entries, where).items()})
    axes = celestial_axes(CardList("".join(texts.values()).encode("ascii")))
    if axes is None:
        ctypes = f"{entries['CTYPE1'].value!r} and {entries['CTYPE2'].value!r}"
        _fail(where, entries["CTYPE1"].line, f"CTYPE1 and CTYPE2 are {ctypes}, expected a celestial pair such as 'RA---TAN' and 'DEC--TAN'")
    pair = (min(axes), max(axes))
    for axis in pair:
        if f"NAXIS{axis}" not in entries:
            _fail(where, None, f"no NAXIS{axis} card")
        scale = entries.get(f"CDELT{axis}")
        if scale is not None and abs(scale.value) > 360:
            _fail(where, scale.line, f"CDELT{axis} is {scale.value:g}, expected degrees per pixel")
    n_axes = max(int(key[5:]) for key in entries if re.fullmatch(r"CTYPE\d", key))
    if n_axes == 2:
        texts = {key: text for key, text in texts.items() if not _STRAY_KEY.match(key)}
    head = card_text("WCSAXES", n_axes) if n_axes > 2 else ""
    chosen = None if n_axes == 2 else pair
    cards = head + "".join(texts.values())
    try:
        cards = plate_cards(cards, where) if pair == (1, 2) and has_plate_solution(cards) else without_plate_cards(cards)
        if iraf:
            cards = standard_cards(cards, lambda plain: wcs_from_cards(plain, axes=chosen, where=where), where)
        wcs = wcs_from_cards(cards, axes=chosen, where=where)
    except WcsError as err:
        raise HeaderTemplateError(err.message, hint="mend the header template", path=where) from err
    return _grid(wcs, (entries[f"NAXIS{pair[1]}"].value, entries[f"NAXIS{pair[0]}"].value), where)


def _grid(wcs: WCS, shape: tuple[int, int], where: str) -> MosaicGrid:
    if not wcs.has_celestial:
        _fail(where, None, f"CTYPE1 and CTYPE2 are {wcs.wcs.ctype[0]!r} and {wcs.wcs.ctype[1]!r}, expected a celestial pair")
    wcs = longitude_first(wcs)
    wcs.pixel_shape = (shape[1], shape[0])
    return MosaicGrid(wcs, shape)


def longitude_first(wcs: WCS) -> WCS:
    """Same map from pixels to the sky with longitude as first world axis; pixel axes stay as they are.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = ["DEC--TAN", "RA---TAN"]
    >>> wcs.wcs.crval = [-5.0, 83.0]
    >>> longitude_first(wcs).wcs.crval.tolist()
    [83.0, -5.0]
    """
    wcs.wcs.set()
    if wcs.wcs.lng < wcs.wcs.lat:
        return wcs
    matrix = wcs.wcs.cd if wcs.wcs.has_cd() else wcs.wcs.cdelt[:, np.newaxis] * wcs.wcs.get_pc()
    swapped: list[tuple[str, Any]] = []
    for key, value in wcs_values(wcs):
        if key.startswith(("CDELT", "CROTA", "PC", "CD")):
            continue
        match = re.fullmatch(r"(CTYPE|CRVAL|CUNIT|PV)([12])(.*)", key)
        swapped.append((f"{match[1]}{3 - int(match[2])}{match[3]}" if match else key, value))
    swapped += [(f"CD{i + 1}_{j + 1}", float(matrix[1 - i, j])) for i in range(2) for j in range(2)]
    result = wcs_from_cards("".join(card_text(key, value) for key, value in swapped), where="header template")
    result.pixel_shape = wcs.pixel_shape
    return result


def read_template(path: PathLike) -> MosaicGrid:
    """Read a header template file; of a FITS file (``name.fits`` or ``name.fits[hdu]``) the grid of its first celestial image.

    Parameters
    ----------
    path : path
        File name.

    Raises
    ------
    HeaderTemplateError
        See `parse_template`; the message holds the file name.

    Examples
    --------
    >>> read_template("mosaic.hdr").shape  # doctest: +SKIP
    (8040, 8040)
    """
    name = str(Path(path).expanduser())
    if is_fits_name(split_hdu(name)[0]):
        return _grid_of_image(name)
    try:
        text = Path(name).read_bytes().decode("latin-1")
    except OSError as err:
        raise HeaderTemplateError(os_error("open", name, err).message, path=name) from err
    return parse_template(text, name)


def _grid_of_image(name: str) -> MosaicGrid:
    path, wanted = split_hdu(name)
    try:
        images = [h for h in scan_fits(path) if h.is_image and (wanted is None or wanted in {h.index, h.name})]
        chosen = next((h for h in images if celestial_axes(h.cards)), None)
        if chosen is None:
            _fail(name, None, "no image with a celestial WCS in it")
        wcs, axes = read_wcs(chosen.cards, chosen.naxis, where=name, path=path)
    except FormatError as err:
        raise HeaderTemplateError(err.message, hint=err.hint, path=name) from err
    except NbmosaicError as err:
        raise HeaderTemplateError(err.message, hint=err.hint, path=name) from err
    return _grid(wcs, (chosen.naxis[axes[1] - 1], chosen.naxis[axes[0] - 1]), name)


def format_template(grid: MosaicGrid) -> str:
    r"""Text of a header template, with every digit: reading it again gives the same grid to the last bit.

    Examples
    --------
    >>> grid = parse_template("NAXIS1=4\nNAXIS2=3\nCTYPE1='RA---TAN'\nCTYPE2='DEC--TAN'\nCDELT1=-0.1\nCDELT2=0.1")
    >>> format_template(grid).splitlines()[3:6]
    ['NAXIS1  = 4', 'NAXIS2  = 3', "CTYPE1  = 'RA---TAN'"]
    """
    values: list[tuple[str, Any]] = [("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", grid.shape[1]), ("NAXIS2", grid.shape[0])]
    lines = []
    for key, value in [*values, *wcs_values(grid.wcs)]:
        text = "T" if value is True else f"'{value}'" if isinstance(value, str) else repr(value).upper()
        lines.append(f"{key:<8}= {text}")
    return "\n".join([*lines, "END", ""])


def write_template(path: PathLike, grid: MosaicGrid, *, overwrite: bool = False) -> None:
    """Write `format_template` of a grid to a file.

    Raises
    ------
    FormatError
        See `nbmosaic.io.output.check_output`.

    Examples
    --------
    >>> write_template("mosaic.hdr", grid)  # doctest: +SKIP
    """
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(format_template(grid), encoding="ascii", newline="\n")
