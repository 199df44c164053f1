"""Pictures for panels: an image as a PNG in milliseconds, without axes, where a figure takes a quarter of a second."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from nbmosaic._types import AnyArray
from nbmosaic.views.look import BLANK_COLOUR, IMAGE_MAP, Stretch, robust_stretch

__all__ = ["level_picture", "palette_png", "palette_rgba", "quick_png", "rgba_png", "three_colour_rgba"]

_STEPS = 253  # colours of the map; the others are left for the cross-hair and for pixels without data
_BLACK, _WHITE, _BLANK = 253, 254, 255
_ARM, _GAP = 18, 5  # of the cross-hair, pixels
_SMALLEST = 320  # small images are enlarged by whole factors until their longer side is at least this


def quick_png(
    image: AnyArray,
    *,
    stretch: Stretch | None = None,
    colour_map: str = IMAGE_MAP,
    smallest: int = _SMALLEST,
    circle: tuple[float, float, float] | None = None,
) -> bytes:
    """Draw an image, first row at the bottom.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Values; NaN where there is none, which gets a colour of its own.
    stretch : Stretch, optional
        How values become colours; default: chosen from the image.
    colour_map : str
        Name of a matplotlib colour map.
    smallest : int
        Smaller images are enlarged by a whole factor to about this size.
    circle : tuple of float, optional
        Column, row and radius of a circle, in pixels of the image.

    Returns
    -------
    bytes
        PNG with a palette.

    Examples
    --------
    >>> quick_png(np.eye(4))[1:4]
    b'PNG'
    """
    stretch = robust_stretch(image) if stretch is None else stretch
    low, high = (float(value) for value in stretch.forward(np.array([stretch.vmin, stretch.vmax])))
    with np.errstate(invalid="ignore"):
        level = (stretch.forward(np.asarray(image, np.float32)) - low) * (_STEPS / (high - low))
    index = np.where(np.isfinite(level), np.clip(level, 0, _STEPS - 1), _BLANK).astype(np.uint8)[::-1]
    factor = max(1, smallest // max(index.shape))
    if factor > 1:
        index = index.repeat(factor, axis=0).repeat(factor, axis=1)
    if circle is not None:
        x, y, radius = (value * factor for value in circle)
        shift = 0.5 * (factor - 1)  # of the middle of the first pixel
        _draw_circle(index, x + shift, len(index) - factor - y + shift, radius)
    return palette_png(index, colour_map)


def level_picture(levels: AnyArray, *, cross: tuple[float, float] | None = None) -> AnyArray:
    """Palette indices of grey levels, with a cross-hair.

    Parameters
    ----------
    levels : ndarray, shape (ny, nx)
        0 to 255, first row at the bottom; NaN where there is no data.
    cross : tuple of float, optional
        Column and row (from the bottom) of a cross-hair, in pixels of the picture.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        First row on top; see `palette_png`.
    """
    with np.errstate(invalid="ignore"):
        index = np.where(np.isfinite(levels), np.clip(levels * (_STEPS / 256.0), 0, _STEPS - 1), _BLANK).astype(np.uint8)[::-1]
    if cross is not None:
        _draw_cross(index, cross)
    return index


def palette_png(index: AnyArray, colour_map: str = IMAGE_MAP) -> bytes:
    """Encode a picture of `level_picture`."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(index), "P")
    picture.putpalette(_palette(colour_map).tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def palette_rgba(index: AnyArray, colour_map: str = IMAGE_MAP) -> AnyArray:
    """Colours of a picture of `level_picture`, shape (ny, nx, 4), opaque."""
    table = np.full((256, 4), 255, np.uint8)
    table[:, :3] = _palette(colour_map)
    return table[index]


def three_colour_rgba(levels: AnyArray, *, cross: tuple[float, float] | None = None) -> AnyArray:
    """Colours of grey levels of three channels.

    Parameters
    ----------
    levels : ndarray, shape (ny, nx, 3)
        0 to 255, first row at the bottom; NaN where a channel has no data, which counts as 0 unless all three have none.
    cross : tuple of float, optional
        See `level_picture`.

    Returns
    -------
    ndarray of uint8, shape (ny, nx, 4)
        First row on top, opaque.
    """
    from matplotlib.colors import to_rgb

    blank = np.isnan(levels).all(axis=-1)
    picture = np.full((*levels.shape[:2], 4), 255, np.uint8)
    picture[..., :3] = np.nan_to_num(np.clip(levels, 0.0, 255.0))
    picture[blank, :3] = np.rint(255 * np.array(to_rgb(BLANK_COLOUR)))
    picture = picture[::-1]
    if cross is not None:
        marks = np.full(picture.shape[:2], _BLANK, np.uint8)
        _draw_cross(marks, cross)
        picture[marks == _WHITE, :3] = 255
        picture[marks == _BLACK, :3] = 0
    return picture


def rgba_png(picture: AnyArray) -> bytes:
    """Encode an opaque picture in true colour, quickly."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture[..., :3])).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _draw_cross(index: AnyArray, cross: tuple[float, float]) -> None:
    """White lines with black edges that leave the pixel in the middle free."""
    ny = len(index)
    column, row = math.floor(cross[0] + 0.5), ny - 1 - math.floor(cross[1] + 0.5)
    for half, colour in ((1, _BLACK), (0, _WHITE)):
        for near, far in ((-_ARM, -_GAP), (_GAP, _ARM)):
            _fill(index, row - half, row + half, column + near - half, column + far + half, colour)
            _fill(index, row + near - half, row + far + half, column - half, column + half, colour)


def _draw_circle(index: AnyArray, column: float, row: float, radius: float) -> None:
    """White circle with black edges."""
    ny, nx = index.shape
    away = np.abs(np.hypot(np.arange(ny)[:, None] - row, np.arange(nx) - column) - radius)
    index[away <= 1.7] = _BLACK
    index[away <= 0.7] = _WHITE


def _fill(index: AnyArray, top: int, bottom: int, left: int, right: int, colour: int) -> None:
    """Colour a box of whole pixels, ends included, as far as it is on the picture."""
    index[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = colour


def _palette(name: str) -> Any:
    import matplotlib as mpl
    from matplotlib.colors import to_rgb

    colours = mpl.colormaps[name](np.linspace(0.0, 1.0, _STEPS))[:, :3]
    return np.rint(255 * np.vstack([colours, [(0, 0, 0), (1, 1, 1), to_rgb(BLANK_COLOUR)]])).astype(np.uint8)
