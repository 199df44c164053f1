"""Pictures pixel by pixel: colour tables, what is drawn over the image, PNG and JPEG."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.types.picture import Colour, SystemName
from nbmosaic.views.look import house_settings
from nbmosaic.views.numbers import elide

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["COLOUR_TABLES", "DrawnGrid", "DrawnLine", "DrawnText", "Mark", "colour_table", "composite", "draw_over", "picture_bytes"]

COLOUR_TABLES = (
    "gray",
    "gray_r",
    "cubehelix",
    "viridis",
    "turbo",
    "turbo_r",
    "gnuplot2",
    "RdBu",
    "black to red",
    "black to green",
    "black to blue",
    "inferno",
    "magma_r",
)
"""Colour maps for Montage's numbers 0 to 12.

Grey, inverse grey and the single colours are Montage's own. Its rainbows (2 to 6, 11, 12) have steps in lightness where the data have none; in
their place stand maps that begin and end as they do (dark to light, light to dark, cold to hot) with even steps.
"""
_SINGLE = {"black to red": 0, "black to green": 1, "black to blue": 2}
_DPI = 100.0
_LETTER_PIX = 14.0


@functools.cache
def colour_table(number: int) -> AnyArray:
    """256 colours of a table.

    Parameters
    ----------
    number : int
        0 to 12, see `COLOUR_TABLES`.

    Returns
    -------
    ndarray of uint8, shape (256, 3)
        Read only.

    Examples
    --------
    >>> colour_table(1)[[0, 255]].tolist()
    [[255, 255, 255], [0, 0, 0]]
    """
    name = COLOUR_TABLES[number]
    ramp = np.arange(256, dtype=np.uint8)
    table = np.zeros((256, 3), np.uint8)
    if name in _SINGLE:
        table[:, _SINGLE[name]] = ramp
    elif name in {"gray", "gray_r"}:
        table[:] = (ramp if name == "gray" else ramp[::-1])[:, np.newaxis]
    else:
        import matplotlib as mpl

        table[:] = np.round(255.0 * np.asarray(mpl.colormaps[name](np.arange(256)))[:, :3])
    table.flags.writeable = False
    return table


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DrawnLine:
    """A line through points in image pixels (x, y; 0-based); NaN interrupts it."""

    points: FloatArray
    colour: Colour
    width: float = 1.0
    alpha: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnText:
    """Text centred at a point in image pixels (0-based), perhaps with an edge of another colour. Nothing in it is a formula."""

    x: float
    y: float
    text: str
    colour: Colour
    scale: float = 1.0
    alpha: float = 1.0
    halo: Colour | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnGrid:
    """A coordinate grid of a celestial system (name and equinox)."""

    system: SystemName
    colour: Colour
    width: float = 1.0
    alpha: float = 1.0
    scale: float = 1.0


Mark = DrawnLine | DrawnText | DrawnGrid


def draw_over(
    picture: AnyArray, marks: Sequence[Mark], *, wcs: WCS | None = None, flip_x: bool = False, flip_y: bool = True, font_file: str = ""
) -> AnyArray:
    """Draw over a picture without touching any pixel that is not drawn on.

    Parameters
    ----------
    picture : ndarray of uint8, shape (ny, nx, 4)
        RGBA, first row on top.
    marks : sequence of DrawnLine, DrawnText or DrawnGrid
        In image pixels, whatever way the picture is turned.
    wcs : astropy.wcs.WCS, optional
        Coordinates of the image; needed for grids.
    flip_x, flip_y : bool
        Whether x runs to the left, and y upwards.
    font_file : str
        TrueType file for text; default: the font of all figures.

    Returns
    -------
    ndarray of uint8, shape (ny, nx, 4)
        A new picture.
    """
    if not marks:
        return picture
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ny, nx = picture.shape[:2]
    with house_settings():
        figure = Figure(figsize=(nx / _DPI, ny / _DPI), dpi=_DPI)
        figure.patch.set_alpha(0.0)
        canvas = FigureCanvasAgg(figure)
        has_grid = wcs is not None and any(isinstance(mark, DrawnGrid) for mark in marks)
        axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0), projection=wcs) if has_grid else figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.patch.set_alpha(0.0)
        axes.set_xlim((nx - 0.5, -0.5) if flip_x else (-0.5, nx - 0.5))
        axes.set_ylim((-0.5, ny - 0.5) if flip_y else (ny - 0.5, -0.5))
        if has_grid:
            _draw_grids(axes, [mark for mark in marks if isinstance(mark, DrawnGrid)])
        else:
            axes.set_axis_off()
        for layer, mark in enumerate(marks):
            if isinstance(mark, DrawnLine):
                axes.plot(
                    *mark.points.T,
                    color=mark.colour,
                    linewidth=mark.width * 72.0 / _DPI,
                    alpha=mark.alpha,
                    zorder=10 + layer,
                    scalex=False,
                    snap=False,  # snapping moves a line through the middles of pixels by one pixel
                    scaley=False,
                )
            elif isinstance(mark, DrawnText):
                _draw_text(axes, mark, 10 + layer, font_file)
        canvas.draw()
        drawn = np.asarray(canvas.buffer_rgba())
    return composite(picture, drawn)


def _draw_text(axes: Any, mark: DrawnText, layer: int, font_file: str) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.patheffects import withStroke

    text = elide("".join(c if c.isprintable() else " " for c in mark.text), 120)
    font = FontProperties(fname=font_file or None, size=_LETTER_PIX * mark.scale * 72.0 / _DPI)
    axes.text(
        mark.x,
        mark.y,
        text,
        color=mark.colour,
        alpha=mark.alpha,
        fontproperties=font,
        ha="center",
        va="center",
        zorder=layer,
        clip_on=True,
        parse_math=False,
        path_effects=None if mark.halo is None else [withStroke(linewidth=2.0, foreground=mark.halo)],
    )


def _draw_grids(axes: Any, grids: Sequence[DrawnGrid]) -> None:
    """Grid lines with labels inside the picture: there is no margin around it."""
    for one in axes.coords:
        one.set_ticks_visible(False)
        one.set_ticklabel_visible(False)
        one.set_auto_axislabel(False)
        one.set_axislabel("")
    axes.coords.frame.set_linewidth(0.0)
    for i, grid in enumerate(grids):
        overlay = axes.get_coords_overlay(_frame(grid.system))
        overlay.grid(color=grid.colour, linewidth=grid.width * 72.0 / _DPI, alpha=grid.alpha, linestyle="-")
        for one, side in zip(overlay, ("b", "l") if i % 2 == 0 else ("t", "r"), strict=True):
            one.set_auto_axislabel(False)
            one.set_axislabel("")
            one.set_ticks(color=grid.colour)
            one.set_ticks_visible(False)
            one.set_ticklabel_position(side)
            if grid.system[0] in {"fk4", "fk5"} and one is overlay[0]:
                one.set_format_unit("hourangle")
            size = _LETTER_PIX * 0.8 * grid.scale * 72.0 / _DPI
            one.set_ticklabel(
                color=grid.colour, size=size, pad=-(1.6 if side in "bt" else 6.5) * size, exclude_overlapping=True, alpha=grid.alpha
            )


def _frame(system: SystemName) -> Any:
    """Frame of astropy for a system's name."""
    from astropy import coordinates
    from astropy.time import Time

    name, equinox = system
    if name == "galactic":
        return coordinates.Galactic()
    if name == "fk4":
        return coordinates.FK4(equinox=Time(equinox, format="byear"))
    if name == "ecliptic":
        return coordinates.BarycentricMeanEcliptic(equinox=Time(equinox, format="jyear"))
    return coordinates.FK5(equinox=Time(equinox or 2000.0, format="jyear"))


def composite(below: AnyArray, above: AnyArray) -> AnyArray:
    """Lay one RGBA picture over another; where the upper one is clear the lower one stays bit for bit."""
    result = below.copy()
    drawn = above[..., 3] > 0
    upper, lower = above[drawn].astype(np.float64), below[drawn].astype(np.float64)
    a, b = upper[:, 3:] / 255.0, lower[:, 3:] / 255.0
    total = a + b * (1.0 - a)
    result[drawn, :3] = np.round((upper[:, :3] * a + lower[:, :3] * b * (1.0 - a)) / total)
    result[drawn, 3] = np.round(255.0 * total[:, 0])
    return result


def picture_bytes(picture: AnyArray, kind: Literal["png", "jpeg"] = "png") -> bytes:
    r"""Encode a picture.

    Parameters
    ----------
    picture : ndarray of uint8, shape (ny, nx, 4)
        RGBA, first row on top.
    kind : {"png", "jpeg"}
        PNG keeps every level (as grey where it is grey, without transparency where there is none); JPEG has quality 85 and no
        transparency.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> picture_bytes(np.full((2, 2, 4), 255, np.uint8))[:4]
    b'\x89PNG'
    """
    from PIL import Image

    out = io.BytesIO()
    colour = np.ascontiguousarray(picture[..., :3])
    if kind == "jpeg":
        Image.fromarray(colour).save(out, "JPEG", quality=85)
        return out.getvalue()
    opaque = bool((picture[..., 3] == 255).all())
    grey = bool((colour == colour[..., :1]).all())
    if opaque and grey:
        image = Image.fromarray(np.ascontiguousarray(colour[..., 0]))
    elif grey:
        image = Image.merge("LA", [Image.fromarray(np.ascontiguousarray(picture[..., i])) for i in (0, 3)])
    else:
        image = Image.fromarray(colour if opaque else np.ascontiguousarray(picture))
    image.save(out, "PNG")
    return out.getvalue()
