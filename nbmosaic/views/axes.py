"""New figures and axes, with sky coordinates where there are any."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RIGHT", "axes_at", "fit_aspect", "label_graticule", "new_axes", "new_figure", "new_pair"]


def new_figure(width: float = 7.5, height: float = 5.0) -> Figure:
    """Make a figure that pyplot does not know; size in inches (7.5 inches are 900 pixels at 120 dots per inch)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, min(max(height, 1.8), 14.0)), layout="constrained")


# Inches around a picture: left for latitudes like -05°10'30" and the axis label, right for the colour bar with its labels.
LEFT, RIGHT, BOTTOM, TOP = 0.95, 1.1, 0.55, 0.35


def new_axes(shape: tuple[int, int] | None = None, wcs: WCS | None = None, *, width: float = 7.5, right: float = RIGHT) -> Axes:
    """Make axes in a new figure, with sky coordinates if there is a WCS; the height suits the image.

    Margins are fixed in inches instead of fitted: a fitted layout draws everything twice and leaves colour bars outside.

    Parameters
    ----------
    shape : tuple of int, optional
        ``(ny, nx)`` of the image to be drawn; default: a plain plot.
    wcs : astropy.wcs.WCS, optional
        Celestial coordinates of the image.
    width : float
        Width of the figure in inches.
    right : float
        Inches right of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; ``.figure`` is the figure.
    """
    if shape is None:
        return new_figure(width).add_subplot()
    from matplotlib.figure import Figure

    across = width - LEFT - right
    up = across * _clipped_aspect(shape)
    figure = Figure(figsize=(width, up + BOTTOM + TOP))
    return axes_at(figure, (LEFT, BOTTOM, across, up), wcs)


def new_pair(shape: tuple[int, int], wcs: WCS | None = None, *, figure: Figure | None = None, width: float = 7.5) -> tuple[Axes, Axes]:
    """Make axes for two images of one shape: side by side, or one above the other if they are wide.

    The second of a pair side by side has no labels on its left, the first of a pair one above the other none below.
    """
    from matplotlib.figure import Figure

    aspect = _clipped_aspect(shape)
    wide = aspect < 0.55
    gap = 0.3
    if figure is not None:
        width, total = map(float, figure.get_size_inches())
    across = width - LEFT - RIGHT if wide else (width - LEFT - RIGHT - gap) / 2
    up = across * aspect
    if figure is None:
        figure = Figure(figsize=(width, 2 * up + gap + BOTTOM + 2 * TOP if wide else up + BOTTOM + TOP))
    elif wide:
        up = (total - gap - BOTTOM - 2 * TOP) / 2
    else:
        up = total - BOTTOM - TOP
    corners = ((LEFT, BOTTOM + up + gap + TOP), (LEFT, BOTTOM)) if wide else ((LEFT, BOTTOM), (LEFT + across + gap, BOTTOM))
    first, second = (axes_at(figure, (x, y, across, up), wcs) for x, y in corners)
    _drop_labels(first if wide else second, "x" if wide else "y")
    return first, second


def _clipped_aspect(shape: tuple[int, int]) -> float:
    """Height over width, within what a page can show."""
    return min(max(shape[0] / max(shape[1], 1), 0.16), 1.3)


def axes_at(figure: Figure, inches: tuple[float, float, float, float], wcs: WCS | None = None) -> Axes:
    """Add axes at a rectangle (left, bottom, width, height) in inches, with sky coordinates if there is a WCS."""
    wide, high = figure.get_size_inches()
    left, bottom, across, up = inches
    rectangle = (left / wide, bottom / high, across / wide, up / high)
    if wcs is None:
        axes = figure.add_axes(rectangle)
        axes.set_xlabel("x [pix]")
        axes.set_ylabel("y [pix]")
        return axes
    axes = figure.add_axes(rectangle, projection=wcs)
    _label_sky(axes, wcs)
    return axes


def _drop_labels(axes: Any, which: str) -> None:
    """Take the labels off the side on which a neighbour has the same ones."""
    if not hasattr(axes, "coords"):
        axes.set(**{f"{which}label": ""})
        axes.tick_params(**{"labelbottom" if which == "x" else "labelleft": False})
        return
    dropped, kept = (axes.coords[i] for i in ((0, 1) if which == "x" else (1, 0)))
    dropped.set_auto_axislabel(False)
    dropped.set_axislabel("")
    dropped.set_ticklabel_visible(False)
    # Without a place of its own the other coordinate may settle on the side that was just freed (near a pole).
    kept.set_ticklabel_position("l" if which == "x" else "b")
    kept.set_axislabel_position("l" if which == "x" else "b")


def fit_aspect(ax: Any, shape: tuple[int, int], limit: float = 6.25) -> bool:
    """Set square pixels, unless the image is a strip too narrow to be seen; then stretch it. Tell whether it was stretched."""
    ratio = shape[0] / max(shape[1], 1)
    shown = min(max(ratio, 1 / limit), limit)
    ax.set_aspect(shown / ratio)
    return shown != ratio


def label_graticule(ax: Any, wcs: WCS, shape: tuple[int, int]) -> None:
    """Write longitudes and latitudes into the picture of a whole sky, whose grid lines do not reach the edges of the axes."""
    ny, nx = shape
    corners = wcs.wcs_pix2world([[0, 0], [nx - 1, 0], [0, ny - 1], [nx - 1, ny - 1]], 0)
    if np.isfinite(corners).any():
        return
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    middle = wcs.wcs.crval[lng]
    for lon, b, text in [((middle + d) % 360, 0, f"{(middle + d) % 360:.0f}\N{DEGREE SIGN}") for d in (-120, -60, 60, 120)] + [
        (middle, b, f"{b:+d}\N{DEGREE SIGN}") for b in (-60, -30, 30, 60)
    ]:
        world = [0.0, 0.0]
        world[lng], world[lat] = lon, b
        x, y = wcs.wcs_world2pix([world], 0)[0]
        if np.isfinite([x, y]).all() and 0 <= x < nx and 0 <= y < ny:
            ax.text(
                x,
                y,
                text,
                color="white",
                fontsize=7,
                ha="center",
                va="center",
                bbox={"facecolor": "black", "alpha": 0.5, "pad": 1, "lw": 0},
            )


def _label_sky(axes: Any, wcs: WCS) -> None:
    """Label the sky axes with their names and the reference system (tick labels carry their own units)."""
    names = {"RA--": "Right ascension", "DEC-": "Declination", "GLON": "Galactic longitude", "GLAT": "Galactic latitude"}
    names |= {"ELON": "Ecliptic longitude", "ELAT": "Ecliptic latitude"}
    for i in range(2):
        kind = str(wcs.wcs.ctype[i])[:4]
        system = f" ({_system(wcs)})" if kind in {"RA--", "DEC-"} else ""
        coordinate = axes.coords[i]
        coordinate.set_axislabel(names.get(kind, kind or f"axis {i + 1}") + system)
        coordinate.set_ticklabel(exclude_overlapping=True)
    axes.coords.grid(color="white", alpha=0.35, linewidth=0.5, linestyle="-")


def _system(wcs: WCS) -> str:
    """Name the reference system, with its equinox where it has one."""
    name = wcs.wcs.radesys or "ICRS"
    equinox = wcs.wcs.equinox
    if not name.startswith("FK") or not math.isfinite(equinox):
        return name
    return f"{name}, {'B' if name.startswith('FK4') else 'J'}{equinox:g}"
