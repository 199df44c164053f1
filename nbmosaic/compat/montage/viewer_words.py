"""The words of mViewer's command string to the description of a picture."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbmosaic.core.stretch import parse_limit
from nbmosaic.errors import InputError
from nbmosaic.io.headers import plain_text
from nbmosaic.pipeline.picture_marks import parse_colour, parse_size, parse_symbol
from nbmosaic.types.picture import (
    CatalogOverlay,
    Channel,
    GridOverlay,
    LabelOverlay,
    MarkOverlay,
    OutlineOverlay,
    Overlay,
    Pen,
    PictureSpec,
    Symbol,
    SystemName,
)

__all__ = ["COLOURS", "COLUMNS", "USAGE", "Wanted", "from_words", "parse_stretch", "parse_system", "split_words"]

USAGE = (
    "[-d] [-nowcs] [-noflip] [-t(rue-color) power] [-ct color-table] [-grid csys [epoch]] -gray in.fits minrange maxrange "
    "[logpower/gaussian] -red red.fits rminrange rmaxrange [rlogpower/gaussian] -green green.fits gminrange gmaxrange "
    "[glogpower/gaussian] -blue blue.fits bminrange bmaxrange [blogpower/gaussian] -out out.png"
)
COLOURS = ("red", "green", "blue")
COLUMNS = ("color", "size", "shape", "label")


@dataclass(slots=True)
class Wanted:
    """What has been read so far. Settings hold for what follows them, as in Montage.

    Attributes
    ----------
    output, kind : str
        Output file and format, if the words name one.
    """

    output: str = ""
    kind: str = ""
    system: SystemName = ("fk5", 2000.0)
    pen: Pen = field(default_factory=Pen)
    symbol: Symbol = field(default_factory=Symbol)
    columns: dict[str, str] = field(default_factory=dict)
    scale: tuple[str, float, Any] = ("", 1.0, "flux")
    tone: dict[str, float] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    picture: PictureSpec = field(default_factory=lambda: PictureSpec(channels=()))
    overlays: list[Overlay] = field(default_factory=list)

    def spec(self) -> PictureSpec:
        """Finish the description.

        Raises
        ------
        InputError
            No image, or only some of the three colours.
        """
        names = [name for name in COLOURS if name in self.channels]
        if not names and "gray" not in self.channels:
            raise InputError("Grayscale/pseudocolor mode but no gray image given")
        if names and len(names) < 3:
            missing = next(name for name in COLOURS if name not in names)
            raise InputError(f"Color mode but no {missing} image given")
        channels = []
        for name in names or ["gray"]:
            own = [self.tone.get(name[0] + what if names else what, self.tone.get(what, 0.0)) for what in ("brightness", "contrast")]
            channels.append(replace(self.channels[name], brightness=own[0], contrast=own[1]))
        return replace(self.picture, channels=tuple(channels), overlays=tuple(self.overlays))

    def set(self, name: str, text: str) -> None:
        """Set one of the settings that hold for the whole picture, or for all that follows."""
        _SETTINGS[name](self, text)

    def add_catalog(self, path: str) -> None:
        """Add the symbols of a table with the settings that hold now."""
        column, value, kind = self.scale
        more = {f"{'colour' if name == 'color' else name}_column": column for name, column in self.columns.items()}
        self.overlays.append(
            CatalogOverlay(
                path=path,
                system=self.system,
                symbol=self.symbol,
                scale_column=column,
                scale_value=value,
                scale_kind=kind,
                pen=self.pen,
                **more,
            )
        )

    def add_outlines(self, path: str) -> None:
        """Add the outlines of an image table."""
        self.overlays.append(OutlineOverlay(path=path, colour_column=self.columns.get("color", ""), pen=self.pen))

    def add_place(self, lon: str, lat: str, text: str | None = None) -> None:
        """Add a mark, or a label if there is a text."""
        in_pixels = lon.endswith("p") or lat.endswith("p")
        x, y = (_number(word.removesuffix("p") if in_pixels else word, "Position") for word in (lon, lat))
        if text is None:
            self.overlays.append(MarkOverlay(lon=x, lat=y, in_pixels=in_pixels, system=self.system, symbol=self.symbol, pen=self.pen))
        else:
            self.overlays.append(LabelOverlay(lon=x, lat=y, text=text, in_pixels=in_pixels, system=self.system, pen=self.pen))

    def set_scale(self, words: Sequence[str]) -> None:
        """Column that sizes follow, its reference value, and how."""
        kind = words[2][:3].lower() if len(words) > 2 else "flux"
        self.scale = (words[0], _number(words[1], "Scale value") if len(words) > 1 else 1.0, kind if kind in {"mag", "log"} else "flux")


def _number(text: str, what: str, low: float = -math.inf, high: float = math.inf, rule: str = "a number") -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"{what} ({plain_text(text)[:40]}) must be {rule}")
    return value


def _whole(text: str, what: str, low: int, high: int) -> int:
    value = int(text) if re.fullmatch(r"[+-]?\d{1,9}", text) else low - 1
    if not low <= value <= high:
        raise InputError(f"{what} must be a number between {low} and {high}")
    return value


def _in_picture(name: str, convert: Callable[[str], Any]) -> Callable[[Wanted, str], None]:
    def apply(wanted: Wanted, text: str) -> None:
        wanted.picture = replace(wanted.picture, **{name: convert(text)})

    return apply


def _in_pen(name: str, convert: Callable[[str], Any]) -> Callable[[Wanted, str], None]:
    def apply(wanted: Wanted, text: str) -> None:
        wanted.pen = replace(wanted.pen, **{name: convert(text)})

    return apply


def _in_tone(name: str) -> Callable[[Wanted, str], None]:
    def apply(wanted: Wanted, text: str) -> None:
        wanted.tone[name] = _number(text, f"{name.capitalize()} parameter", -255.0, 255.0, "a number between -255 and 255")

    return apply


def _positive(what: str) -> Callable[[str], float]:
    return lambda text: _number(text, what, 1e-6, 1e4, "a number greater than zero")


def _fraction(what: str) -> Callable[[str], float]:
    return lambda text: _number(text, what, 0.0, 1.0, "a number between zero and one")


_SETTINGS: dict[str, Callable[[Wanted, str], None]] = {
    "color": _in_pen("colour", parse_colour),
    "fontscale": _in_pen("font_scale", _positive("Font scale parameter")),
    "linewidth": _in_pen("width", _positive("Line width parameter")),
    "alpha": _in_pen("alpha", _fraction("Opacity (alpha)")),
    "imgalpha": _in_picture("alpha", _fraction("Image opacity (alpha)")),
    "tzero": _in_picture("transparent_blank", lambda text: bool(_whole(text, "Tzero parameter", -1000, 1000))),
    "saturate": _in_picture("blank_level", lambda text: round(min(max(_number(text, "Saturation value"), 0.0), 255.0))),
    "t": _in_picture("true_color", lambda text: _number(text, "Color enhancement parameter", 1.0, 4.0, "a number between 1. and 4.")),
    "ct": _in_picture("colour_table", lambda text: _whole(text, "Color table index", 0, 12)),
    **{name: _in_tone(name) for what in ("brightness", "contrast") for name in (what, *(colour[0] + what for colour in COLOURS))},
}


def parse_system(words: Sequence[str]) -> tuple[SystemName, int]:
    """Celestial system from ``eq``, ``ec``, ``ga`` (more letters may follow) and perhaps ``j2000`` or ``b1950``; with the words it took.

    Raises
    ------
    InputError
        No such system.
    """
    name = words[0][:2].lower()
    if name not in {"eq", "ec", "ga"}:
        raise InputError(f"Invalid coordinate system {words[0][:40]!r}: use eq, ec or ga")
    old, year, used = words[0].lower() in {"equb", "eclb"}, 0.0, 1
    if len(words) > 1:
        epoch = re.fullmatch(r"([jJbB])(\d{4}(?:\.\d{1,6})?)", words[1])
        if epoch:
            old, year, used = epoch[1] in "bB", float(epoch[2]), 2
    year = year or (1950.0 if old else 2000.0)
    if name == "ga":
        return ("galactic", 0.0), used
    if name == "ec":
        return ("ecliptic", year), used
    return ("fk4" if old else "fk5", year), used


def split_words(text: str) -> list[str]:
    """Split at spaces; double quotes hold words together.

    Examples
    --------
    >>> split_words('-label 10p 20p "two words"')
    ['-label', '10p', '20p', 'two words']
    """
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"?|([^\s"]+)', text) if quoted or plain]


def parse_stretch(words: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Stretch from the words behind the limits, and how many of them it took."""
    word = words[0] if words else ""
    if word.startswith("g"):
        return {"kind": "gaussian-log" if len(word) > 1 and word[-1] in "gl" else "gaussian"}, 1
    if word.startswith("a"):
        if len(words) > 1 and _is_limit(words[1]):
            return {"kind": "asinh", "beta": words[1]}, 2
        return {"kind": "asinh"}, 1
    powers = {"log": 1, "loglog": 2}
    if word.startswith("lin") or word in powers:
        return {"power": powers.get(word, 0)}, 1
    if re.fullmatch(r"\d{1,2}", word):
        return {"power": int(word)}, 1
    return {}, 0


def _is_limit(text: str) -> bool:
    try:
        parse_limit(text)
    except InputError:
        return False
    return True


def from_words(words: Sequence[str]) -> Wanted:
    """Read the words of a command.

    Parameters
    ----------
    words : sequence of str
        As behind ``mViewer`` on a command line.

    Returns
    -------
    Wanted
        What they say.

    Raises
    ------
    InputError
        An unknown word, too few of them, or a value that cannot be used.

    Examples
    --------
    >>> from_words(["-ct", "1", "-gray", "mosaic.fits", "-2s", "max", "gaussian-log"]).spec().channels[0].kind
    'gaussian-log'
    """
    wanted = Wanted()
    if len(words) < 2:
        raise InputError(f"Parameters: {USAGE}")
    i = 0
    while i < len(words):
        word = words[i]
        if not word.startswith("-"):
            raise InputError(f"Invalid directive: {plain_text(word)[:60]}")
        i += 1 + _directive(wanted, word[1:], words[i + 1 :])
    return wanted


def _directive(wanted: Wanted, name: str, rest: Sequence[str]) -> int:
    """Carry out one directive; return how many of the words behind it were its own."""
    if name in {"d", "nowcs", "noflip"}:
        picture = wanted.picture
        wanted.picture = replace(picture, use_wcs=picture.use_wcs and name != "nowcs", flip=picture.flip and name != "noflip")
        return 0
    needs = {"label": 3, "mark": 2, **dict.fromkeys(("gray", "grey", *COLOURS), 3)}.get(name, 1)
    if name not in _KNOWN:
        raise InputError(f"Invalid directive: -{plain_text(name)[:60]}")
    if len(rest) < needs:
        raise InputError(f"Too few arguments following -{name} flag")
    if name in _SETTINGS:
        wanted.set(name, rest[0])
    elif name in {"gray", "grey", *COLOURS}:
        stretch, used = parse_stretch(rest[3:])
        wanted.channels["gray" if name == "grey" else name] = Channel(path=rest[0], low=rest[1], high=rest[2], **stretch)
        return 3 + used
    elif name in {"label", "mark"}:
        wanted.add_place(*rest[:needs])
    elif name.endswith("col"):
        return _column_directive(wanted, name[:-3], _values(rest))
    elif name in {"csys", "grid"}:
        system, used = parse_system(rest)
        if name == "grid":
            wanted.overlays.append(GridOverlay(system=system, pen=wanted.pen))
        else:
            wanted.system = system
        return used
    elif name == "symbol":
        return _symbol_directive(wanted, _values(rest))
    elif name == "catalog":
        values = _values(rest[1:])[:3]
        if values:
            wanted.set_scale(values)
        wanted.add_catalog(rest[0])
        return 1 + len(values)
    elif name == "imginfo":
        wanted.add_outlines(rest[0])
    else:
        wanted.output, wanted.kind = rest[0], "jpeg" if name == "jpeg" else "png"
    return needs


_KNOWN = {
    *_SETTINGS,
    *COLOURS,
    *(f"{name}col" for name in (*COLUMNS, "scale")),
    "gray",
    "grey",
    "label",
    "mark",
    "csys",
    "grid",
    "symbol",
} | {
    "catalog",
    "imginfo",
    "out",
    "png",
    "jpeg",
}


def _values(words: Sequence[str]) -> list[str]:
    """Words up to the next directive."""
    end = next((i for i, word in enumerate(words) if word.startswith("-") and not _is_limit(word)), len(words))
    return list(words[:end])


def _column_directive(wanted: Wanted, what: str, values: list[str]) -> int:
    if not values:
        raise InputError(f"No {what} column given.")
    if what == "scale":
        wanted.set_scale(values[:3] if values[0] != "none" else [""])
        return min(len(values), 3) if values[0] != "none" else 1
    wanted.columns[what] = "" if values[0] == "none" else values[0]
    return 1


def _symbol_directive(wanted: Wanted, values: list[str]) -> int:
    if not values:
        raise InputError("Too few arguments following -symbol flag")
    if values[0] == "none":
        wanted.symbol = replace(Symbol(), size=0.0)
        return 1
    size, unit = parse_size(values[0])
    wanted.symbol = replace(wanted.symbol, kind="polygon", rotation=0.0, edges=0, size=size, unit=unit)
    if len(values) == 1:
        return 1
    wanted.symbol, used = parse_symbol(values[1:4], wanted.symbol)
    return 1 + used
