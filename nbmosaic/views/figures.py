"""Figures as small PNG pictures."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray
from nbmosaic.views.look import has_house_style, house_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MAX_WIDTH", "figure_png"]

MAX_WIDTH = 900
"""Widest picture in pixels: wider ones make notebooks heavy and no page shows them."""


def figure_png(figure: Figure | Axes | tuple[Axes, ...], width: int = MAX_WIDTH) -> bytes:
    """Render a figure as a small PNG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, Axes or tuple of Axes
        Figure, or axes whose figure is meant.
    width : int
        Width in pixels, at most 900. The height follows.

    Returns
    -------
    bytes
        PNG of 256 colours: less than half the size of a true-colour one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    first = figure[0] if isinstance(figure, tuple) else figure
    target: Any = first.get_figure(root=True) if hasattr(first, "transAxes") else first
    before = target.canvas
    canvas = FigureCanvasAgg(target)
    dpi = target.dpi
    try:
        target.dpi = min(width, MAX_WIDTH) / target.get_figwidth()
        with house_settings() if has_house_style(target) else contextlib.nullcontext(), warnings.catch_warnings():
            # A file name may hold letters that the font lacks; they become boxes, which tells more than a warning for each.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
    finally:
        target.dpi = dpi
        target.set_canvas(before)
    out = io.BytesIO()
    _reduced(Image.fromarray(_on_white(pixels))).save(out, "PNG", optimize=True)
    return out.getvalue()


def _reduced(picture: Any) -> Any:
    """Reduce a picture to 256 colours: the 192 most frequent ones exactly, and 64 spread over the others.

    The steps of a colour map are among the frequent ones, so smooth gradients get no bands; colours of text and lines are off by a few
    levels at most.
    """
    from PIL import Image

    packed = np.asarray(picture).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, counts = np.unique(packed, return_counts=True)
    frequent = np.sort(colours[np.argsort(-counts, kind="stable")[:192]])
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(frequent)] = np.stack([frequent >> 16, (frequent >> 8) & 255, frequent & 255], axis=1)
    palette[len(frequent) :] = palette[0]
    if len(colours) > len(frequent):
        rest = picture.quantize(64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette()[:192]
        palette[192 : 192 + len(rest) // 3] = np.reshape(rest, (-1, 3))
    book = Image.new("P", (1, 1))
    book.putpalette(palette.ravel().tolist())
    # Pillow's search for the nearest colour drops low bits, so colours that are in the palette are looked up here.
    nearest = np.asarray(picture.quantize(palette=book, dither=Image.Dither.NONE))
    place = np.minimum(np.searchsorted(frequent, packed), len(frequent) - 1)
    reduced = Image.fromarray(np.where(frequent[place] == packed, place, nearest).astype(np.uint8), "L")
    reduced.putpalette(palette.ravel().tolist())
    return reduced


def _on_white(rgba: AnyArray) -> AnyArray:
    """Lay an RGBA picture on white; users' figures may be transparent."""
    alpha = rgba[..., 3:4].astype(np.uint16)
    if (alpha == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    colour: AnyArray = (rgba[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha)) // 255
    return colour.astype(np.uint8)
