"""What a picture of the sky shows: images with their stretches, and what is drawn over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "CatalogOverlay",
    "Channel",
    "Colour",
    "GridOverlay",
    "LabelOverlay",
    "MarkOverlay",
    "OutlineOverlay",
    "Overlay",
    "Pen",
    "PictureSpec",
    "Symbol",
    "SymbolKind",
    "SystemName",
]

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""
SymbolKind = Literal["polygon", "starred", "skeletal", "compass"]
SystemName = tuple[str, float]
"""Celestial system as `nbmosaic.core.geometry.systems.CelestialSystem` names it, and its equinox (0 where it has none)."""
GREY: Colour = (0.5, 0.5, 0.5)
FK5: SystemName = ("fk5", 2000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """How something is drawn.

    Attributes
    ----------
    colour : tuple of float
        Red, green, blue, 0 to 1.
    width : float
        Width of lines in pixels.
    alpha : float
        Opacity, 0 to 1.
    font_scale : float
        Size of letters in units of 14 pixels.
    """

    colour: Colour = GREY
    width: float = 1.0
    alpha: float = 1.0
    font_scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """Shape and size of a symbol.

    Attributes
    ----------
    kind : {"polygon", "starred", "skeletal", "compass"}
        Outline, star, lines from the middle, or arrows to the north and east.
    points : int
        Number of corners.
    rotation : float
        Degrees from north to east of the first corner.
    edges : int
        Number of sides drawn; 0 for all.
    size : float
        Distance of the corners from the middle.
    unit : {"fraction", "arcsec", "arcmin", "deg", "pix"}
        Of `size`; a fraction is 0.0025 of the longer side of the image.
    """

    kind: SymbolKind = "polygon"
    points: int = 3
    rotation: float = 0.0
    edges: int = 0
    size: float = 0.5
    unit: Literal["fraction", "arcsec", "arcmin", "deg", "pix"] = "fraction"


@dataclass(frozen=True, slots=True, kw_only=True)
class GridOverlay:
    """Lines of equal longitude and latitude of a celestial system, with labels."""

    system: SystemName = FK5
    pen: Pen = field(default_factory=Pen)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogOverlay:
    """Symbols at the positions of a table (columns ``ra``, ``dec`` or ``lon``, ``lat``).

    Attributes
    ----------
    path : str
        The table.
    system : tuple
        Celestial system of its positions.
    symbol : Symbol
        Shape and size.
    scale_column : str
        Column that the sizes follow; empty: all equal.
    scale_value : float
        Value of that column for which the symbol has its nominal size.
    scale_kind : {"flux", "mag", "log"}
        Size in proportion, by ``reference - value + 1``, or by ``log10(10 value / reference)``.
    label_column, colour_column, size_column, shape_column : str
        Columns of labels, colours, sizes (as ``2.5s``) and shapes (as ``box``); empty: none.
    pen : Pen
        Colour and lines.
    """

    path: str
    system: SystemName = FK5
    symbol: Symbol = field(default_factory=Symbol)
    scale_column: str = ""
    scale_value: float = 1.0
    scale_kind: Literal["flux", "mag", "log"] = "flux"
    label_column: str = ""
    colour_column: str = ""
    size_column: str = ""
    shape_column: str = ""
    pen: Pen = field(default_factory=Pen)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineOverlay:
    """Outlines of the images of an image table (corners ``ra1`` to ``dec4``, or the columns of their WCS)."""

    path: str
    colour_column: str = ""
    pen: Pen = field(default_factory=Pen)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkOverlay:
    """One symbol at a position in degrees, or in pixels (1-based, as FITS counts)."""

    lon: float
    lat: float
    in_pixels: bool = False
    system: SystemName = FK5
    symbol: Symbol = field(default_factory=Symbol)
    pen: Pen = field(default_factory=Pen)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOverlay:
    """Text at a position in degrees, or in pixels (1-based, as FITS counts)."""

    lon: float
    lat: float
    text: str
    in_pixels: bool = False
    system: SystemName = FK5
    pen: Pen = field(default_factory=Pen)


Overlay = GridOverlay | CatalogOverlay | OutlineOverlay | MarkOverlay | LabelOverlay


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One image of a picture and its stretch.

    Attributes
    ----------
    path : str
        FITS file, perhaps with ``[hdu]`` behind its name.
    low, high : str
        Limits as they are written (``-2s``, ``99.5%``, ``max``, ``12.5``).
    kind : {"power", "asinh", "gaussian", "gaussian-log"}
        Stretch.
    power : int
        How often the logarithm is taken.
    beta : str
        Bend of the asinh, written as a limit.
    brightness, contrast : float
        -255 to 255.
    """

    path: str
    low: str
    high: str
    kind: Literal["power", "asinh", "gaussian", "gaussian-log"] = "power"
    power: int = 0
    beta: str = "2s"
    brightness: float = 0.0
    contrast: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSpec:
    """A whole picture.

    Attributes
    ----------
    channels : tuple of Channel
        One (grey or a colour table), or three (red, green, blue).
    colour_table : int
        0 to 12, for one channel.
    true_color : float
        Exponent that strengthens colours, 1 to 4; 0: off.
    blank_level : int
        Grey level of pixels without data, whatever the colour table.
    alpha : float
        Opacity of the image (PNG only).
    transparent_blank : bool
        Whether pixels at level 0 are transparent (PNG only).
    flip : bool
        Whether the picture is turned over so that north is up and east left.
    use_wcs : bool
        Whether the images need coordinates.
    overlays : tuple of Overlay
        Drawn in this order.
    """

    channels: tuple[Channel, ...]
    colour_table: int = 0
    true_color: float = 0.0
    blank_level: int = 0
    alpha: float = 1.0
    transparent_blank: bool = False
    flip: bool = True
    use_wcs: bool = True
    overlays: tuple[Overlay, ...] = ()
