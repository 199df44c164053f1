"""Picture of one overlap in four panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray
from nbmosaic.types.box import PixelBox
from nbmosaic.views.axes import new_figure
from nbmosaic.views.labels import short_names
from nbmosaic.views.look import (
    CLIPPED_COLOUR,
    DIVERGING_MAP,
    SERIES,
    add_colour_bar,
    blank_aware,
    house_style,
    symmetric_limit,
    with_unit,
)
from nbmosaic.views.numbers import number_text
from nbmosaic.views.preview import block_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_overlap"]

PANEL_SIZE = 450
# Narrow strips along the frames' edges are stretched to a readable width.
STRETCH_BEYOND = 3.0


@house_style
def plot_overlap(
    difference: AnyArray,
    plane: AnyArray,
    kept: BoolArray | None = None,
    *,
    box: PixelBox | None = None,
    names: tuple[str, str] = ("plus", "minus"),
    unit: str = "",
    rms: float | None = None,
    figure: Figure | None = None,
) -> tuple[Axes, ...]:
    """Draw the difference of two frames, the plane fitted to it, what is left, and the histogram of what is left.

    Parameters
    ----------
    difference : ndarray, shape (ny, nx)
        Frame `plus` minus frame `minus` over the overlap; NaN where one of them has no data.
    plane : ndarray, shape (ny, nx)
        The fitted plane.
    kept : ndarray of bool, shape (ny, nx), optional
        Pixels that the clipping kept (default: all finite ones). The others are drawn in dark grey.
    box : PixelBox, optional
        Place of the overlap on the mosaic grid (default: its first pixel is at 0, 0).
    names : tuple of str
        Names of the two frames.
    unit : str
        Unit of the frames.
    rms : float, optional
        Standard deviation of the Gaussian drawn over the histogram (default: that of the pixels kept).
    figure : matplotlib.figure.Figure, optional
        Where to draw; default: a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        Axes of difference, plane, residual and histogram.
    """
    ny, nx = difference.shape
    valid = np.isfinite(difference)
    used = valid if kept is None else valid & kept
    residual = np.where(valid, difference - plane, np.nan)
    place = PixelBox.of_shape((ny, nx)) if box is None else box
    if figure is None:
        figure = new_figure(7.5, _height(ny / nx))
    panels = _panels(figure, ny / nx)
    stretched = not 1 / STRETCH_BEYOND <= ny / nx <= STRETCH_BEYOND
    level = float(np.median(plane[valid])) if valid.any() else 0.0
    wide = symmetric_limit(np.concatenate([(difference - level)[used], (plane - level)[valid]]), 99.0)
    narrow = symmetric_limit(residual[used], 99.0)
    shown = (
        ("difference", difference, (level - wide, level + wide), used),
        ("plane", np.where(valid, plane, np.nan), (level - wide, level + wide), None),
        ("difference \N{MINUS SIGN} plane", residual, (-narrow, narrow), used),
    )
    for axes, (title, image, limits, mask) in zip(panels, shown, strict=False):
        _panel(axes, image, limits, mask, place)
        axes.set_aspect("auto" if stretched else "equal")
        axes.set_title(title)
        add_colour_bar(axes.images[0], axes, with_unit("", unit).strip(), beside=False, proportions=_bar_style(ny / nx))
    _label_outer(panels, ny / nx)
    _histogram(panels[3], residual[used], residual[valid & ~used], rms, unit)
    note = " (not to scale)" if stretched else ""
    figure.suptitle(with_unit(" \N{MINUS SIGN} ".join(short_names(names, 30)) + note, None), fontsize=10)
    return panels


def _height(aspect: float) -> float:
    """Height in inches of the four panels."""
    if aspect > 2:
        return 5.0
    return 7.5 if aspect < 0.5 else 2 * (2.6 * aspect + 0.75) + 0.3


def _bar_style(aspect: float) -> tuple[float, float]:
    """Proportions of the colour bars of panels that are tall, wide or neither."""
    if aspect > 2:
        return 45.0, 0.15
    return (12.0, 0.03) if aspect < 0.5 else (25.0, 0.046)


def _label_outer(panels: tuple[Any, ...], aspect: float) -> None:
    """Keep the labels of the outer panels only, where the panels stand in one row or column."""
    if aspect > 2:
        for axes in panels[1:3]:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
    elif aspect < 0.5:
        for axes in panels[:2]:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)


def _panels(figure: Figure, aspect: float) -> tuple[Axes, ...]:
    """Four axes: tall overlaps side by side, wide ones below each other, others two by two."""
    layout: list[Any] = [["a", "b"], ["c", "h"]]
    ratios: dict[str, Any] = {}
    if aspect > 2:
        layout, ratios = [["a", "b", "c", "h"]], {"width_ratios": [1, 1, 1, 2.2]}
    elif aspect < 0.5:
        layout, ratios = [["a"], ["b"], ["c"], ["h"]], {"height_ratios": [1, 1, 1, 1.3]}
    axes = figure.subplot_mosaic(layout, **ratios)
    return tuple(axes[k] for k in "abch")


def _panel(ax: Any, image: AnyArray, limits: tuple[float, float], used: BoolArray | None, box: PixelBox) -> None:
    """One image of an overlap; pixels that were clipped are covered in dark grey."""
    from matplotlib.colors import ListedColormap

    small, factor = block_mean(image if used is None else np.where(used, image, np.nan), PANEL_SIZE)
    extent = (box.xmin - 0.5, box.xmin - 0.5 + small.shape[1] * factor, box.ymin - 0.5, box.ymin - 0.5 + small.shape[0] * factor)
    style: dict[str, Any] = {"origin": "lower", "extent": extent, "interpolation": "nearest", "aspect": "equal"}
    ax.imshow(small, cmap=blank_aware(DIVERGING_MAP), vmin=limits[0], vmax=limits[1], **style)
    if used is not None:
        clipped, _ = block_mean((np.isfinite(image) & ~used).astype(np.float32), PANEL_SIZE)
        # A block is shown as clipped if a quarter of it is: a single cosmic ray in a block of hundreds is no picture.
        dark = np.where(clipped >= (0.25 if factor > 1 else 0.5), 1.0, np.nan)
        ax.imshow(dark, cmap=ListedColormap([CLIPPED_COLOUR]), vmin=0, vmax=2, **style)
    ax.set_xlim(box.xmin - 0.5, box.xmin - 0.5 + image.shape[1])
    ax.set_ylim(box.ymin - 0.5, box.ymin - 0.5 + image.shape[0])
    ax.set_xlabel("x [pix]")
    ax.set_ylabel("y [pix]")
    ax.locator_params(axis="x", nbins=3 if image.shape[0] > 2 * image.shape[1] else 5)


def _histogram(ax: Any, kept: FloatArray, clipped: FloatArray, rms: float | None, unit: str) -> None:
    """Residuals kept and clipped, and the Gaussian of the rms."""
    sigma = rms if rms is not None else (float(np.std(kept)) if kept.size else 0.0)
    half = 5 * sigma if sigma > 0 else symmetric_limit(kept, 100)
    edges = np.linspace(-half, half, 61)
    ax.hist(kept, edges, color=SERIES[0], alpha=0.65, label=f"kept: {kept.size}")
    beyond = int((np.abs(clipped) > half).sum())
    if clipped.size:
        text = f"clipped: {clipped.size}" + (f" ({beyond} beyond)" if beyond else "")
        ax.hist(clipped, edges, histtype="step", color=CLIPPED_COLOUR, label=text)
    if sigma > 0 and kept.size:
        x = np.linspace(-half, half, 200)
        peak = kept.size * (edges[1] - edges[0]) / (sigma * np.sqrt(2 * np.pi))
        ax.plot(
            x, peak * np.exp(-0.5 * (x / sigma) ** 2), color=SERIES[1], linestyle="--", label=f"Gaussian of rms {number_text(sigma, 3)}"
        )
        ax.set_yscale("log")
        ax.set_ylim(0.5, 60 * max(peak, 1.0))
    ax.set_xlim(-half, half)
    ax.set_xlabel(with_unit("residual", unit))
    ax.set_ylabel("pixels")
    ax.legend(fontsize=7, loc="upper left", handlelength=1.2)
