"""Pictures of overlaps: one in four panels, and all of them before and after correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray
from nbmosaic.types.box import PixelBox
from nbmosaic.views.axes import new_figure
from nbmosaic.views.figures import (
    CLIPPED_COLOUR,
    DIVERGING_MAP,
    SERIES,
    add_colour_bar,
    blank_aware,
    house_style,
    legend_above,
    symmetric_limit,
    with_unit,
)
from nbmosaic.views.labels import plain_label, short_names
from nbmosaic.views.numbers import number_text
from nbmosaic.views.preview import block_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_overlap", "plot_residuals"]

PANEL_SIZE = 450
# Narrow strips along the frames' edges are stretched to a readable width.
STRETCH_BEYOND = 3.0
MAX_DUMBBELLS = 40


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


@house_style
def plot_residuals(
    before: AnyArray,
    after: AnyArray,
    *,
    names: Sequence[str] | None = None,
    excluded: BoolArray | None = None,
    unit: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the difference over every overlap before and after correction, largest first, on a logarithmic axis.

    Parameters
    ----------
    before, after : ndarray, shape (n,)
        Level of the difference of each overlap; the sizes are drawn.
    names : sequence of str, optional
        Names of the overlaps, written if there are at most 40.
    excluded : ndarray of bool, shape (n,), optional
        Overlaps not used by the solution, drawn hollow and left out of the medians.
    unit : str
        Unit of the frames.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    b, a = np.abs(np.asarray(before, np.float64)), np.abs(np.asarray(after, np.float64))
    out = np.zeros(len(b), bool) if excluded is None else np.asarray(excluded, bool)
    good = np.isfinite(b) & np.isfinite(a)
    order = np.flatnonzero(good)[np.argsort(-b[good], kind="stable")]
    b, a, out = b[order], a[order], out[order]
    n = len(order)
    if ax is None:
        ax = new_figure(7.5, 1.5 + 0.18 * n if n <= MAX_DUMBBELLS else 5.0).add_subplot()
    sizes = np.concatenate([b, a])
    # A difference of exactly 0 has no place on a logarithmic axis: it is drawn below all others.
    floor = float(sizes[sizes > 0].min()) / 3 if (sizes > 0).any() else 1e-3
    rank = np.arange(n)
    if n <= MAX_DUMBBELLS:
        ax.hlines(rank, np.maximum(a, floor), np.maximum(b, floor), color="#bbbbbb", linewidth=1.5, zorder=1)
    marker = 5.0 if n <= MAX_DUMBBELLS else max(1.5, 5.0 * np.sqrt(MAX_DUMBBELLS / n))
    for values, text, colour, shape in ((b, "before", SERIES[1], "o"), (a, "after", SERIES[0], "D")):
        _series(ax, np.maximum(values, floor), values, out, text=text, colour=colour, shape=shape, size=marker, unit=unit)
    ax.set_xscale("log")
    ax.set_ylim(max(n, 1) - 0.5, -0.5)
    if names is not None and n <= MAX_DUMBBELLS:
        ax.set_yticks(rank, [plain_label(str(names[i])) for i in order])
    elif n <= MAX_DUMBBELLS:
        ax.set_yticks(rank, [str(i) for i in order])
    ax.set_ylabel("overlap" if n <= MAX_DUMBBELLS else "overlaps, largest difference first")
    ax.set_xlabel(with_unit("|difference|", unit))
    ax.grid(axis="x", color="#dddddd", linewidth=0.5)
    ax.set_axisbelow(True)
    ax.set_title(f"differences over {n} overlap{'' if n == 1 else 's'}" + ("; hollow: excluded" if out.any() else ""))
    legend_above(ax)
    if not n:
        ax.text(0.5, 0.5, "no overlap", transform=ax.transAxes, ha="center", va="center")
    return ax


def _series(
    ax: Any, drawn: FloatArray, values: FloatArray, excluded: BoolArray, *, text: str, colour: str, shape: str, size: float, unit: str
) -> None:
    """Points of one of the two series, and the median of those used."""
    rank = np.arange(len(values))
    used = ~excluded
    middle = float(np.median(values[used])) if used.any() else np.nan
    label = (
        f"{text}: median {number_text(middle, 3)}, largest {number_text(float(values[used].max()), 3)} {unit}".rstrip()
        if used.any()
        else text
    )
    if len(values):
        ax.plot(drawn[used], rank[used], shape, color=colour, markersize=size, label=with_unit(label, None), zorder=3)
    if excluded.any():
        ax.plot(drawn[excluded], rank[excluded], shape, color=colour, markersize=size, markerfacecolor="white", zorder=3)
    if middle > 0:
        ax.axvline(middle, color=colour, linestyle="--", linewidth=1.0, zorder=2)
