"""Pictures for panels: an image as a PNG in milliseconds, without axes, where a figure takes a quarter of a second."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from nbmosaic._types import AnyArray
from nbmosaic.views.look import BLANK_COLOUR, IMAGE_MAP, Stretch, robust_stretch

__all__ = ["quick_png"]

_STEPS = 255  # colours of the map; the last one is left for pixels without data
_SMALLEST = 320  # small images are enlarged by whole factors until their longer side is at least this


def quick_png(image: AnyArray, *, stretch: Stretch | None = None, colour_map: str = IMAGE_MAP, smallest: int = _SMALLEST) -> bytes:
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

    Returns
    -------
    bytes
        PNG with a palette.

    Examples
    --------
    >>> quick_png(np.eye(4))[1:4]
    b'PNG'
    """
    from PIL import Image

    stretch = robust_stretch(image) if stretch is None else stretch
    low, high = (float(value) for value in stretch.forward(np.array([stretch.vmin, stretch.vmax])))
    with np.errstate(invalid="ignore"):
        level = (stretch.forward(np.asarray(image, np.float32)) - low) * (_STEPS / (high - low))
    index = np.where(np.isfinite(level), np.clip(level, 0, _STEPS - 1), _STEPS).astype(np.uint8)[::-1]
    factor = max(1, smallest // max(index.shape))
    if factor > 1:
        index = index.repeat(factor, axis=0).repeat(factor, axis=1)
    picture = Image.fromarray(np.ascontiguousarray(index), "P")
    picture.putpalette(_palette(colour_map).tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _palette(name: str) -> Any:
    import matplotlib as mpl
    from matplotlib.colors import to_rgb

    colours = mpl.colormaps[name](np.linspace(0.0, 1.0, _STEPS))[:, :3]
    return np.rint(255 * np.vstack([colours, [to_rgb(BLANK_COLOUR)]])).astype(np.uint8)
