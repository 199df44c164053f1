"""Overlays of a picture: positions on the sky to lines and texts in pixels of the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.sky import CelestialSystem, SkyPixels, celestial_system, frame_change, pixel_scale_arcsec
from nbmosaic.errors import FormatError, InputError
from nbmosaic.types.picture import (
    CatalogOverlay,
    Colour,
    GridOverlay,
    LabelOverlay,
    MarkOverlay,
    OutlineOverlay,
    Overlay,
    Pen,
    Symbol,
    SystemName,
)
from nbmosaic.views.sky_picture import DrawnGrid, DrawnLine, DrawnText, Mark

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from pandas import DataFrame

__all__ = ["parse_colour", "parse_size", "parse_symbol", "picture_marks"]

_COLOURS: dict[str, Colour] = {
    "black": (0.0, 0.0, 0.0),
    "white": (1.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
    "cyan": (0.0, 1.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "gray": (128 / 255, 128 / 255, 128 / 255),
    "grey": (128 / 255, 128 / 255, 128 / 255),
}
# Beginning of the name (as many letters as Montage looks at), corners, rotation, kind, sides drawn.
_SHAPES: tuple[tuple[str, int, float, Any, int], ...] = (
    ("tri", 3, 120.0, "polygon", 0),
    ("box", 4, 45.0, "polygon", 0),
    ("squ", 4, 45.0, "polygon", 0),
    ("dia", 4, 0.0, "polygon", 0),
    ("pen", 5, 72.0, "polygon", 0),
    ("hex", 6, 60.0, "polygon", 0),
    ("sep", 7, 360.0 / 7.0, "polygon", 0),
    ("oct", 8, 45.0, "polygon", 0),
    ("plu", 4, 0.0, "skeletal", 0),
    ("el", 4, 135.0, "polygon", 2),
    ("cir", 128, 0.0, "polygon", 0),
    ("com", 4, 0.0, "compass", 0),
)
_KINDS: tuple[tuple[str, str, Any], ...] = (("p", "0", "polygon"), ("st", "1", "starred"), ("sk", "2", "skeletal"), ("co", "3", "compass"))
_UNITS: dict[str, Any] = {"s": "arcsec", "m": "arcmin", "d": "deg", "p": "pix"}
_FRACTION = 0.0025  # of the longer side of the image: Montage's height of a character
_EDGE_POINTS = 24  # of one side of an outline: great circles are curved on the picture


def parse_colour(text: str) -> Colour:
    """Colour of a name (Montage's ten, then matplotlib's) or of six hexadecimal digits, with or without ``#``.

    Raises
    ------
    InputError
        It is neither.

    Examples
    --------
    >>> parse_colour("Red"), parse_colour("0000ff")
    ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    """
    name = text.strip().lower()
    if name in _COLOURS:
        return _COLOURS[name]
    digits = name.removeprefix("#")
    if len(digits) == 6 and all(c in "0123456789abcdef" for c in digits):
        red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        return red, green, blue
    from matplotlib.colors import CSS4_COLORS, to_rgb

    if name in CSS4_COLORS:
        red, green, blue = map(float, to_rgb(name))
        return red, green, blue
    raise InputError(f"Invalid color specification {text[:40]!r}")


def parse_size(text: str) -> tuple[float, Literal["fraction", "arcsec", "arcmin", "deg", "pix"]]:
    """Size of a symbol with its unit letter: ``20s`` arcsec, ``2m`` arcmin, ``0.1d`` degrees, ``8p`` pixels, ``1.5`` a fraction of the image.

    Raises
    ------
    InputError
        It is no size.
    """
    word = text.strip()
    unit: Any = _UNITS.get(word[-1:], "fraction")
    try:
        size = float(word[:-1] if unit != "fraction" else word)
    except ValueError:
        raise InputError(f"Invalid symbol size {text[:40]!r}") from None
    if not (math.isfinite(size) and size >= 0.0):
        raise InputError(f"Invalid symbol size {text[:40]!r}")
    return size, unit


def parse_symbol(words: list[str], base: Symbol) -> tuple[Symbol, int]:
    """Shape of a symbol from words: a name (``box``, ``circle``), or kind, number of corners, rotation (``starred 5 36``).

    Parameters
    ----------
    words : list of str
        At least one.
    base : Symbol
        Where the size comes from, and the number of corners if none is given.

    Returns
    -------
    tuple
        The symbol, and how many words it took.

    Raises
    ------
    InputError
        No such symbol, fewer than 3 corners, or an angle that is no number.
    """
    first = words[0].strip().lower()
    for start, points, rotation, kind, edges in _SHAPES:
        if first.startswith(start):
            return replace(base, kind=kind, points=points, rotation=rotation, edges=edges), 1
    named = [kind for start, number, kind in _KINDS if first == number or (first.isalpha() and first.startswith(start))]
    if not named:
        raise InputError(f"Invalid symbol type {words[0][:40]!r}")
    symbol, used = replace(base, kind=named[0], rotation=0.0, edges=0), 1
    if len(words) > 1:
        if not (words[1].isascii() and words[1].isdecimal() and 3 <= int(words[1][:9]) <= 10_000):
            raise InputError("Invalid vertex count for symbol (must be an integer >= 3)")
        symbol, used = replace(symbol, points=int(words[1])), 2
    if len(words) > 2:
        try:
            symbol, used = replace(symbol, rotation=float(words[2])), 3
        except ValueError:
            raise InputError("Invalid rotation angle for symbol (must be number)") from None
        if not math.isfinite(symbol.rotation):
            raise InputError("Invalid rotation angle for symbol (must be number)")
    return symbol, used


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """The image that is drawn on: its coordinates, if it has any."""

    shape: tuple[int, int]
    wcs: WCS | None
    scale_deg: float

    def pixels(self, system: SystemName, lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
        """0-based pixel positions; NaN where there is none."""
        if self.wcs is None:
            raise InputError("positions on the sky need an image with coordinates", hint="give them in pixels (100p 200p)")
        change = frame_change(CelestialSystem(*system), celestial_system(self.wcs))
        if change is not None:
            lon, lat = change(lon, lat)
        return SkyPixels(self.wcs, self.shape).to_pixel(lon, lat)

    def north(self, system: SystemName, lon: FloatArray, lat: FloatArray) -> FloatArray:
        """Unit vectors (n, 2) to the north in pixels."""
        step = np.where(lat > 0.0, -1e-4, 1e-4)
        x0, y0 = self.pixels(system, lon, lat)
        x1, y1 = self.pixels(system, lon, lat + step)
        vectors = np.column_stack([x1 - x0, y1 - y0]) * np.sign(step)[:, np.newaxis]
        length = np.hypot(vectors[:, 0], vectors[:, 1])
        unit: FloatArray = np.divide(
            vectors, length[:, np.newaxis], out=np.tile([0.0, 1.0], (len(lon), 1)), where=length[:, np.newaxis] > 0
        )
        return unit

    def mirrored(self) -> bool:
        """Whether east is to the right of north when y runs upwards."""
        return self.wcs is not None and float(np.linalg.det(self.wcs.pixel_scale_matrix)) > 0

    def radius(self, size: float, unit: str) -> float:
        """Radius in pixels."""
        if unit == "pix":
            return size
        if unit == "fraction":
            return size * _FRACTION * max(self.shape)
        return size / {"arcsec": 3600.0, "arcmin": 60.0, "deg": 1.0}[unit] / self.scale_deg


def picture_marks(overlays: tuple[Overlay, ...], shape: tuple[int, int], wcs: WCS | None) -> list[Mark]:
    """Turn overlays into lines, texts and grids in pixels of the image.

    Parameters
    ----------
    overlays : tuple of Overlay
        What to draw.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    wcs : astropy.wcs.WCS, optional
        Its coordinates.

    Raises
    ------
    InputError
        A column is missing, a colour or size is none, or the image has no coordinates where they are needed.
    FormatError
        A table cannot be read.
    """
    canvas = _Canvas(shape, wcs, pixel_scale_arcsec(wcs) / 3600.0 if wcs is not None else 1.0)
    drawers: dict[type, Callable[[_Canvas, Any], Iterator[Mark]]] = {
        GridOverlay: _grid,
        CatalogOverlay: _catalog,
        OutlineOverlay: _outlines,
        MarkOverlay: _mark,
        LabelOverlay: _label,
    }
    return [mark for overlay in overlays for mark in drawers[type(overlay)](canvas, overlay)]


def _grid(canvas: _Canvas, grid: GridOverlay) -> Iterator[Mark]:
    if canvas.wcs is None:
        raise InputError("a coordinate grid needs an image with coordinates")
    pen = grid.pen
    yield DrawnGrid(system=grid.system, colour=pen.colour, width=pen.width, alpha=pen.alpha, scale=pen.font_scale)


def _place(canvas: _Canvas, one: MarkOverlay | LabelOverlay) -> tuple[float, float, FloatArray]:
    """Pixel position and direction of north."""
    if one.in_pixels:
        return one.lon - 1.0, one.lat - 1.0, np.array([0.0, 1.0])
    lon, lat = np.array([one.lon]), np.array([one.lat])
    x, y = canvas.pixels(one.system, lon, lat)
    return float(x[0]), float(y[0]), canvas.north(one.system, lon, lat)[0]


def _label(canvas: _Canvas, label: LabelOverlay) -> Iterator[Mark]:
    x, y, _ = _place(canvas, label)
    yield from _text(x, y, label.text, label.pen, label.pen.colour)


def _text(x: float, y: float, text: str, pen: Pen, colour: Colour) -> Iterator[Mark]:
    if math.isfinite(x) and math.isfinite(y) and text.strip():
        yield DrawnText(x=x, y=y, text=text, colour=colour, scale=pen.font_scale, alpha=pen.alpha)


def _mark(canvas: _Canvas, mark: MarkOverlay) -> Iterator[Mark]:
    x, y, north = _place(canvas, mark)
    yield from _symbol(canvas, mark.symbol, (x, y), north, canvas.radius(mark.symbol.size, mark.symbol.unit), mark.pen, mark.pen.colour)


def _symbol(
    canvas: _Canvas, symbol: Symbol, centre: tuple[float, float], north: FloatArray, radius: float, pen: Pen, colour: Colour
) -> Iterator[Mark]:
    """Lines of one symbol. Corners are counted from north through east."""
    if not (all(map(math.isfinite, centre)) and math.isfinite(radius) and symbol.size > 0.0):
        return
    radius = max(radius, 0.1 * _FRACTION * max(canvas.shape))
    east = np.array([north[1], -north[0]]) if canvas.mirrored() else np.array([-north[1], north[0]])
    n = symbol.points

    def corner(angle: FloatArray, length: FloatArray | float) -> FloatArray:
        points: FloatArray = np.asarray(centre) + (np.outer(np.cos(angle) * length, north) + np.outer(np.sin(angle) * length, east))
        return points

    turn = np.radians(symbol.rotation)
    angles = turn + 2.0 * np.pi * np.arange(n + 1) / n
    if symbol.kind == "polygon":
        points = corner(angles, radius)[: symbol.edges + 1 if symbol.edges else None]
    elif symbol.kind == "starred":
        both = turn + np.pi * np.arange(2 * n + 1) / n
        points = corner(both, radius * np.where(np.arange(2 * n + 1) % 2, 0.5, 1.0))
    elif symbol.kind == "skeletal":
        spokes = corner(angles[:-1], radius)
        points = np.full((3 * n, 2), np.nan)
        points[0::3], points[1::3] = centre, spokes
    else:
        # Arrows of two thirds of the radius, their heads a tenth of it, and the letters beyond.
        tips = [[0.0, 0.0], [2 / 3, 0.0], [0.57, 0.05], [2 / 3, 0.0], [0.57, -0.05], [np.nan, np.nan]]
        arrow = np.array(tips + [[b, a] for a, b in tips]) * radius
        points = np.asarray(centre) + arrow @ np.stack([north, east])
        for text, (up, left) in (("N", (0.85, 0.0)), ("E", (0.0, 0.85))):
            x, y = np.asarray(centre) + radius * (up * north + left * east)
            yield from _text(float(x), float(y), text, pen, colour)
    yield DrawnLine(points=points, colour=colour, width=pen.width, alpha=pen.alpha)


def _table(path: str) -> DataFrame:
    from nbmosaic.io.tables import read_table

    try:
        return read_table(path)
    except FormatError as err:
        raise FormatError(f"Invalid table file [{path}]: {err.message}", path=path) from err


def _column(table: DataFrame, name: str, what: str, path: str) -> Any:
    if name not in table.columns:
        raise InputError(f"Cannot find {what} column [{name}] in table [{path}]")
    return table[name]


def _numbers(table: DataFrame, names: tuple[str, ...]) -> list[FloatArray] | None:
    if not all(name in table.columns for name in names):
        return None
    import pandas as pd

    return [pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64, na_value=np.nan) for name in names]


def _catalog(canvas: _Canvas, catalog: CatalogOverlay) -> Iterator[Mark]:
    table = _table(catalog.path)
    places = _numbers(table, ("ra", "dec")) or _numbers(table, ("lon", "lat")) or _numbers(table, ("ra2000", "dec2000"))
    if places is None:
        raise InputError(f"Cannot find 'ra' and 'dec' (or 'lon','lat') in table [{catalog.path}]")
    named = {"flux/mag": catalog.scale_column, "color": catalog.colour_column, "label": catalog.label_column}
    named |= {"symbol size": catalog.size_column, "symbol shape": catalog.shape_column}
    columns = {what: _column(table, name, what, catalog.path) for what, name in named.items() if name}
    lon, lat = places
    if not len(lon):
        return
    x, y = canvas.pixels(catalog.system, lon, lat)
    north = canvas.north(catalog.system, lon, lat)
    ny, nx = canvas.shape
    sizes = _numbers(table, (catalog.scale_column,)) if catalog.scale_column else None
    for i in np.flatnonzero((x > -nx) & (x < 2 * nx) & (y > -ny) & (y < 2 * ny)):
        cells = {what: "" if _is_blank(column.iloc[i]) else str(column.iloc[i]) for what, column in columns.items()}
        symbol, colour = _row_style(catalog, cells, f"row {i + 1} of table [{catalog.path}]")
        factor = 1.0 if sizes is None else _scaled(catalog, float(sizes[0][i]))
        if math.isfinite(factor):
            radius = canvas.radius(symbol.size * max(factor, 0.0), symbol.unit)
            yield from _symbol(canvas, symbol, (float(x[i]), float(y[i])), north[i], radius, catalog.pen, colour)
        if "label" in cells:
            yield from _text(float(x[i]), float(y[i]), cells["label"], catalog.pen, colour)


def _is_blank(value: Any) -> bool:
    return value is None or str(value).strip() in {"", "<NA>", "nan", "None", "null"}


def _row_style(catalog: CatalogOverlay, cells: dict[str, str], where: str) -> tuple[Symbol, Colour]:
    """Symbol and colour of a row; blank cells leave those of the whole catalogue."""
    symbol, colour = catalog.symbol, catalog.pen.colour
    try:
        if cells.get("color"):
            colour = parse_colour(cells["color"])
        if cells.get("symbol shape"):
            symbol, _ = parse_symbol(cells["symbol shape"].split(), symbol)
        if cells.get("symbol size"):
            size, unit = parse_size(cells["symbol size"])
            symbol = replace(symbol, size=size, unit=unit)
    except InputError as err:
        raise InputError(f"{err.message} in {where}") from None
    return symbol, colour


def _scaled(catalog: CatalogOverlay, value: float) -> float:
    """Factor on the size of a symbol; NaN where the value is missing or has no logarithm."""
    if catalog.scale_kind == "mag":
        return catalog.scale_value - value + 1.0
    ratio = value / catalog.scale_value if catalog.scale_value else math.nan
    if catalog.scale_kind == "log":
        return math.log10(10.0 * ratio) if ratio > 0.0 else math.nan
    return ratio


def _outlines(canvas: _Canvas, outlines: OutlineOverlay) -> Iterator[Mark]:
    table = _table(outlines.path)
    colours = _column(table, outlines.colour_column, "color", outlines.path) if outlines.colour_column else None
    corners = _numbers(table, tuple(f"{axis}{i}" for i in (1, 2, 3, 4) for axis in ("ra", "dec")))
    system: SystemName = ("fk5", 2000.0)
    if corners is None:
        corners, system = _corners_of_wcs(table, outlines.path), ("icrs", 0.0)
    for i in range(len(table)):
        lon, lat = _great_circles(np.array([c[i] for c in corners[0::2]]), np.array([c[i] for c in corners[1::2]]))
        if not np.isfinite(lon).all():
            continue
        x, y = canvas.pixels(system, lon, lat)
        points = np.column_stack([x, y])
        # A side that leaves the projection and comes back on the other side would cross the picture.
        jump = np.hypot(*np.diff(points, axis=0).T) > max(canvas.shape) * 4
        points[1:][jump] = np.nan
        colour = outlines.pen.colour
        if colours is not None and not _is_blank(colours.iloc[i]):
            colour = parse_colour(str(colours.iloc[i]))
        yield DrawnLine(points=points, colour=colour, width=outlines.pen.width, alpha=outlines.pen.alpha)


def _great_circles(lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Closed polygon of four corners with points along the great circles between them."""
    from nbmosaic.core.geometry.systems import lonlat, unit_vectors

    v = unit_vectors(np.append(lon, lon[0]), np.append(lat, lat[0]))
    t = np.linspace(0.0, 1.0, _EDGE_POINTS, endpoint=False)
    sides = [np.outer(v[:, k], 1 - t) + np.outer(v[:, k + 1], t) for k in range(4)]
    return lonlat(np.concatenate([*sides, v[:, 4:]], axis=1))


def _corners_of_wcs(table: DataFrame, path: str) -> list[FloatArray]:
    """ICRS corners from the WCS columns of an image table (one plain WCS for each row)."""
    from astropy.wcs import WCS

    from nbmosaic.core.geometry.sky import pixel_to_icrs

    needed = ("crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2", "crota2")
    sizes = _numbers(table, ("naxis1", "naxis2")) or _numbers(table, ("ns", "nl"))
    values = _numbers(table, needed)
    if sizes is None or values is None or not {"ctype1", "ctype2"} <= set(table.columns):
        raise InputError(f"Cannot find 'ra1', 'dec1', etc. corners or WCS columns in table [{path}]")
    equinox = (_numbers(table, ("equinox",)) or [np.full(len(table), 2000.0)])[0]
    rows = []
    for i in range(len(table)):
        wcs = WCS(naxis=2)
        numbers = dict(zip(needed, (float(v[i]) for v in values), strict=True))
        wcs.wcs.ctype = [str(table["ctype1"].iloc[i]), str(table["ctype2"].iloc[i])]
        for key in ("crval", "crpix", "cdelt"):
            setattr(wcs.wcs, key, [numbers[f"{key}1"], numbers[f"{key}2"]])
        wcs.wcs.crota = [0.0, numbers["crota2"]]
        wcs.wcs.equinox = equinox[i] if np.isfinite(equinox[i]) else 2000.0
        nx, ny = float(sizes[0][i]), float(sizes[1][i])
        lon, lat = pixel_to_icrs(wcs, np.array([-0.5, nx - 0.5, nx - 0.5, -0.5]), np.array([-0.5, -0.5, ny - 0.5, ny - 0.5]))
        rows.append(np.column_stack([lon, lat]).ravel())
    return list(np.array(rows).reshape(-1, 8).T)
