"""Region files of DS9, lines of them, and objects of the ``regions`` package.

The text is cut into regions here, so that a mistake is named by line and column; the ``regions`` package reads coordinates and sizes.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import FormatError, InputError, NbmosaicWarning
from nbmosaic.io.fits_scan import os_error
from nbmosaic.types.regions import Region, RegionList

if TYPE_CHECKING:
    from nbmosaic._types import PathLike

__all__ = ["read_regions"]

_SYSTEMS = {
    "fk5": "fk5",
    "j2000": "fk5",
    "fk4": "fk4",
    "b1950": "fk4",
    "icrs": "icrs",
    "galactic": "galactic",
    "ecliptic": "ecliptic",
    "image": "image",
    "physical": "physical",
}
_OTHER_SYSTEMS = frozenset({"linear", "amplifier", "detector", "tile", "wcs", *(f"wcs{c}" for c in "0abcdefghijklmnopqrstuvwxyz")})
_AREAS = {"circle": (3, 3), "ellipse": (5, 0), "box": (5, 0), "annulus": (4, 0), "polygon": (6, 0)}
_NO_AREA = frozenset({"point", "line", "text", "vector", "ruler", "compass", "projection", "segment"})
_OTHER_AREAS = frozenset({"panda", "epanda", "bpanda", "pie", "sector", "composite"})
_WORD = re.compile(r"\s*([+-]?)\s*([A-Za-z][A-Za-z0-9]*)")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LENGTH = re.compile(rf"({_NUMBER})([\"'drpi]?)\Z")
_SEXAGESIMAL = re.compile(r"[+-]?\d+(?::\d+(?:\.\d*)?){1,2}\Z|[+-]?\d+[hd]\d+m(?:\d+(?:\.\d*)?s)?\Z")
_INCLUDE = re.compile(r"\binclude\s*=\s*([01])\b")
_DEGREES = {"d": 1.0, "'": 1.0 / 60.0, '"': 1.0 / 3600.0, "r": 57.29577951308232}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Text of one region or system, and where it begins (1-based)."""

    text: str
    line: int
    column: int
    name: str
    is_file: bool

    def error(self, what: str, *, offset: int = 0, hint: str | None = None) -> FormatError | InputError:
        column = self.column + offset
        where = f"{self.name}, line {self.line}, column {column}"
        kind = FormatError if self.is_file else InputError
        return kind(f"{where}: {what}", hint=hint, line=self.line, column=column, text=self.text)


def read_regions(source: Any) -> RegionList:
    """Read regions.

    Parameters
    ----------
    source : str, path, iterable of str, regions.Region, regions.Regions, RegionList or None
        File name; text with a region in it; lines of a file; objects of the ``regions`` package; None or an empty text: no regions. Shapes
        are circle, ellipse, box, annulus (also of ellipses and boxes, and with several radii) and polygon; systems fk5 (j2000), fk4 (b1950),
        icrs, galactic, ecliptic, image and physical (the default, as in DS9). ``-`` before a shape, or ``include=0``, excludes it. One line may
        hold several parts, separated by semicolons.

    Returns
    -------
    RegionList
        Pixel positions are 0-based.

    Warns
    -----
    NbmosaicWarning
        Parts that mark no area (point, line, text, ...) are left out, and named.

    Raises
    ------
    FormatError, InputError
        A file, or lines, that cannot be read: with line and column. A shape or a system that cannot become a mask is named.

    Notes
    -----
    imphot reads circle, ellipse and box only, passes in silence over every other shape and over words in capitals, takes ``+circle`` for
    nothing, and masks nothing for systems other than fk5 and physical. Its other rules hold here too: blanks may stand for the colons of
    sexagesimal numbers, sizes without a unit are degrees on the sky, and pixels in image and physical. Sizes in arcsec of a region given in
    pixels are angles here (imphot takes the degrees for pixels).

    Examples
    --------
    >>> for region in read_regions(["fk5", '-circle(3:32:38.4, -27:46:48, 5")']):
    ...     print(region)
    exclude fk5 circle  x: 53.160000  y: -27.780000  size: 0.00138889 deg
    """
    if isinstance(source, RegionList):
        return source
    if source is None or (isinstance(source, str) and not source.strip()):
        return RegionList()
    if _is_region(source) or type(source).__name__ == "Regions":
        return _of_objects([source] if _is_region(source) else list(source))
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        inline = isinstance(source, str) and ("(" in text or "\n" in text) and not _is_file(text)
        return _of_lines(text.splitlines(), "the regions", is_file=False) if inline else _of_file(text)
    if not hasattr(source, "__iter__"):
        raise InputError(f"regions are {type(source).__name__}", hint="give a file name, lines of a region file, or regions.Regions")
    items = list(source)
    if items and all(_is_region(item) for item in items):
        return _of_objects(items)
    if not all(isinstance(item, str) for item in items):
        raise InputError("the lines of regions are not all text", hint="give a file name, lines of a region file, or regions.Regions")
    return _of_lines([line for item in items for line in item.splitlines() or [""]], "the regions", is_file=False)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _is_region(item: Any) -> bool:
    return type(item).__name__.endswith(("SkyRegion", "PixelRegion")) and hasattr(item, "meta")


def _of_file(path: PathLike) -> RegionList:
    name = str(Path(path).expanduser())
    try:
        text = Path(name).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as err:
        raise os_error("read region file", name, err) from err
    except ValueError as err:
        raise FormatError(f"cannot read region file {name!r}: {err}", path=name) from err
    if "\0" in text:
        raise FormatError(f"{name} is not a region file: it holds zero bytes", path=name)
    return _of_lines(text.splitlines(), name, is_file=True)


def _of_lines(lines: list[str], name: str, *, is_file: bool) -> RegionList:
    system, globally = "physical", True
    found: list[Region] = []
    ignored: list[str] = []
    for number, line in enumerate(lines, 1):
        for piece in _pieces(line, number, name, is_file=is_file):
            match = _WORD.match(piece.text)
            if match is None:
                raise piece.error(f"{piece.text.strip()[:40]!r} is no region", hint="a region is written like circle(x, y, radius)")
            word = match.group(2).lower()
            if word == "global":
                included = _INCLUDE.search(piece.text)
                globally = globally if included is None else included.group(1) == "1"
            elif word in _SYSTEMS or word in _OTHER_SYSTEMS:
                system = word
                rest = piece.text[match.end() :].partition("#")[0].strip()
                if rest:
                    raise piece.error(f"{rest[:40]!r} follows the system {word}", offset=match.end(), hint="separate them by a semicolon")
            elif word in _NO_AREA:
                ignored.append(f"{word} (line {number})")
            else:
                found += _region(piece, match, system, globally=globally)
    if ignored:
        shown = ", ".join(ignored[:5]) + (f" and {len(ignored) - 5} more" if len(ignored) > 5 else "")
        warnings.warn(f"{name}: left out, for it marks no area: {shown}", NbmosaicWarning, stacklevel=4)
    return RegionList(regions=tuple(found), ignored=tuple(ignored), name=name)


def _pieces(line: str, number: int, name: str, *, is_file: bool) -> Iterator[_Piece]:
    """Parts of a line between semicolons (not those in braces or quotes of a comment), without comment lines and empty parts."""
    if line.lstrip().startswith("#"):
        return
    start, closing, comment = 0, "", False
    for i, char in enumerate([*line, ";"]):
        at_end = i == len(line)
        if closing and not at_end:
            closing = "" if char == closing else closing
        elif comment and char in "{'\"":
            closing = "}" if char == "{" else char
        elif char == "#":
            comment = True
        elif char == ";" or at_end:
            text = line[start:i]
            blanks = len(text) - len(text.lstrip())
            if text.strip() and not text.lstrip().startswith("#"):
                yield _Piece(text=text.strip(), line=number, column=start + blanks + 1, name=name, is_file=is_file)
            start, comment = i + 1, False


def _region(piece: _Piece, match: re.Match[str], system: str, *, globally: bool) -> list[Region]:
    """Regions of one shape (several where an annulus has more than two radii)."""
    word = match.group(2).lower()
    if word in _OTHER_AREAS:
        raise piece.error(f"regions of kind {word} are not supported", hint=f"use {', '.join(_AREAS)}")
    if word not in _AREAS:
        raise piece.error(f"{word!r} is no shape and no coordinate system", hint=f"shapes are {', '.join(_AREAS)}")
    if system in _OTHER_SYSTEMS:
        raise piece.error(f"the coordinate system {system} is not supported", hint=f"use {', '.join(_SYSTEMS)}")
    body, _, comment = piece.text[match.end() :].partition("#")
    fields = _fields(piece, body, match.end())
    least, most = _AREAS[word]
    if len(fields) < least or (most and len(fields) > most) or (word in {"ellipse", "box"} and len(fields) % 2 == 0):
        raise piece.error(f"{word} has {len(fields)} numbers", offset=match.start(2), hint=f"expected {_expected(word)}")
    if word == "polygon" and len(fields) % 2:
        raise piece.error(f"polygon has {len(fields)} numbers", offset=match.start(2), hint="expected pairs of coordinates")
    texts, angular = _numbers(piece, word, _SYSTEMS[system], fields)
    included = _INCLUDE.search(comment)
    include = globally if included is None else included.group(1) == "1"
    if match.group(1) and included is None:
        include = match.group(1) == "+"
    try:
        objects = _parsed(word, "image" if system == "physical" else system, texts)
        return [_of_object(one, system=_SYSTEMS[system], exclude=not include, angular=angular, piece=piece) for one in objects]
    except (InputError, ValueError) as err:
        raise piece.error(getattr(err, "message", "") or " ".join(str(err).split()) or "unreadable region") from err


def _expected(word: str) -> str:
    return {
        "circle": "circle(x, y, radius)",
        "ellipse": "ellipse(x, y, radius, radius, angle)",
        "box": "box(x, y, width, height, angle)",
        "annulus": "annulus(x, y, inner radius, outer radius)",
        "polygon": "polygon(x1, y1, x2, y2, x3, y3, ...)",
    }[word]


def _fields(piece: _Piece, body: str, start: int) -> list[tuple[str, int]]:
    """Numbers of a shape and their offsets in the text of the piece; blanks inside a field become colons."""
    inner = body.rstrip(" \t|")
    opening = len(inner) - len(inner.lstrip())
    offset = start + opening
    inner = inner[opening:]
    if inner.startswith("("):
        if not inner.endswith(")"):
            raise piece.error("a closing parenthesis is missing", offset=start + len(body.rstrip()))
        inner, offset = inner[1:-1], offset + 1
    if "(" in inner or ")" in inner:
        raise piece.error("a parenthesis too many", offset=offset + min(i for i in (inner.find("("), inner.find(")")) if i >= 0))
    pattern = r"[^,]+|(?<=,)(?=,|\Z)" if "," in inner else r"\S+"
    fields = []
    for match in re.finditer(pattern, inner):
        text = match.group()
        blanks = len(text) - len(text.lstrip())
        if not text.strip():
            raise piece.error("a number is missing", offset=offset + match.start())
        fields.append((re.sub(r"\s+", ":", text.strip()), offset + match.start() + blanks))
    return fields


def _numbers(piece: _Piece, word: str, system: str, fields: list[tuple[str, int]]) -> tuple[list[str], bool]:
    """Check every number of a shape; give them as the ``regions`` package takes them, and whether the sizes are angles."""
    pixels = system in {"image", "physical"}
    own = system[0] if pixels else ""
    n_position = len(fields) if word == "polygon" else 2
    last_angle = word in {"ellipse", "box"}
    texts, kinds = [], set()
    for i, (text, offset) in enumerate(fields):
        match = _LENGTH.match(text)
        if i < n_position:
            good = (match is not None and match.group(2) in ({"", own} if pixels else {"", "d", "r"})) or (
                not pixels and _SEXAGESIMAL.match(text) is not None
            )
            if not good:
                raise piece.error(f"{text!r} is no coordinate of the system {system}", offset=offset)
            texts.append(match.group(1) if pixels and match is not None else text)
        elif last_angle and i == len(fields) - 1:
            if match is None or match.group(2) not in {"", "d", "r"}:
                raise piece.error(f"{text!r} is no angle", offset=offset)
            texts.append(text)
        else:
            unit = "" if match is None else match.group(2)
            if match is None or unit not in ({"", own, *_DEGREES} if pixels else {"", *_DEGREES}):
                raise piece.error(f"{text!r} is no size of the system {system}", offset=offset, hint="sizes end in nothing, \", ' or d")
            if float(match.group(1)) < 0:
                raise piece.error(f"the size {text} is negative", offset=offset)
            angular = not pixels or unit in _DEGREES
            kinds.add(angular)
            texts.append(repr(float(match.group(1)) * _DEGREES[unit]) if pixels and angular else match.group(1) if pixels else text)
    if len(kinds) > 1:
        raise piece.error(f"{word} mixes sizes in pixels and in angles", offset=fields[2][1])
    return texts, kinds != {False} and not (word == "polygon" and pixels)


def _parsed(word: str, system: str, texts: list[str]) -> list[Any]:
    """Objects of the ``regions`` package; its warnings are errors here, for it would leave the region out."""
    from regions import Regions

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = list(Regions.parse(f"{system}\n{word}({','.join(texts)})", format="ds9"))
        except Exception as err:  # the package lets through whatever its converters and astropy raise
            raise InputError(" ".join(str(err).split()) or f"{word} cannot be read") from err
    if not found:
        raise InputError(f"{word} cannot be read")
    return found


def _of_objects(items: list[Any]) -> RegionList:
    """Values of objects of the ``regions`` package."""
    found, ignored = [], []
    for number, item in enumerate(items, 1):
        name = type(item).__name__
        if name.startswith(("Point", "Line", "Text")):
            ignored.append(f"{name} (number {number})")
            continue
        if name.endswith("PixelRegion"):
            system = "image"
        else:
            position = item.vertices if hasattr(item, "vertices") else getattr(item, "center", None)
            frame = getattr(getattr(position, "frame", None), "name", "")
            system = {"barycentricmeanecliptic": "ecliptic"}.get(frame, frame)
            if system not in _SYSTEMS:
                raise InputError(f"region {number} ({name}) is in the frame {frame or 'None'}", hint=f"use {', '.join(_SYSTEMS)}")
        include = item.meta.get("include", True) not in (0, False, "-")
        found.append(_of_object(item, system=system, exclude=not include, angular=system != "image", piece=None))
    if ignored:
        warnings.warn(f"the regions: left out, for it marks no area: {', '.join(ignored)}", NbmosaicWarning, stacklevel=3)
    return RegionList(regions=tuple(found), ignored=tuple(ignored), name="the regions")


_KINDS: dict[str, tuple[str, tuple[str, ...], float]] = {
    "Circle": ("circle", ("radius",), 1.0),
    "Ellipse": ("ellipse", ("width", "height"), 0.5),
    "Rectangle": ("box", ("width", "height"), 1.0),
    "CircleAnnulus": ("annulus", ("inner_radius", "outer_radius"), 1.0),
    "EllipseAnnulus": ("ellipse annulus", ("inner_width", "inner_height", "outer_width", "outer_height"), 0.5),
    "RectangleAnnulus": ("box annulus", ("inner_width", "inner_height", "outer_width", "outer_height"), 1.0),
    "Polygon": ("polygon", (), 1.0),
    "RegularPolygon": ("polygon", (), 1.0),
}
"""Kind of each class of the ``regions`` package, its sizes, and their factor (DS9 gives semi-axes of ellipses, the package full ones)."""


def _of_object(item: Any, *, system: str, exclude: bool, angular: bool, piece: _Piece | None) -> Region:
    name = re.sub(r"(?:Sky|Pixel)Region\Z", "", type(item).__name__)
    if name not in _KINDS:
        raise InputError(f"regions of class {type(item).__name__} are not supported", hint=f"use {', '.join(_AREAS)}")
    kind, attributes, factor = _KINDS[name]
    position = item.vertices if kind == "polygon" else item.center
    if hasattr(position, "spherical"):
        x, y = position.spherical.lon.deg, position.spherical.lat.deg
    else:
        x, y = position.x, position.y
    vertices = tuple((float(a), float(b)) for a, b in zip(x, y, strict=True)) if kind == "polygon" else ()
    sizes = tuple(factor * _plain(getattr(item, attribute)) for attribute in attributes)
    return Region(
        kind=kind,
        system=system,
        exclude=exclude,
        centre=vertices[0] if vertices else (float(x), float(y)),
        sizes=sizes,
        angle=_plain(item.angle) if hasattr(item, "angle") and kind != "polygon" else 0.0,
        vertices=vertices,
        angular=angular,
        line=0 if piece is None else piece.line,
        column=0 if piece is None else piece.column,
    )


def _plain(value: Any) -> float:
    """Degrees of a quantity, or the number of pixels."""
    return float(value.to_value("deg")) if hasattr(value, "to_value") else float(value)
