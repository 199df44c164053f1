"""Pictures of the background model: network of overlaps, map of the planes, levels with their errors, differences left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray, IntArray
from nbmosaic.types.box import PixelBox
from nbmosaic.views.axes import new_axes, new_figure
from nbmosaic.views.labels import place_labels, plain_label, short_names
from nbmosaic.views.look import DIVERGING_MAP, SERIES, add_colour_bar, blank_aware, house_style, legend_above, symmetric_limit, with_unit
from nbmosaic.views.numbers import count_text, number_text

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.axes import Axes

__all__ = ["Boxes", "box_corners", "plane_map", "plot_overlap_network", "plot_plane_errors", "plot_planes", "plot_residuals"]

MAX_OUTLINES = 400
MAX_LABELS = 60
MAP_SIZE = 700
MAX_NAMED = 40
MAX_DUMBBELLS = 40

Boxes = Sequence[PixelBox] | IntArray


def box_corners(boxes: Boxes) -> FloatArray:
    """Boxes as an array of ``ymin, ymax, xmin, xmax``."""
    rows = boxes if isinstance(boxes, np.ndarray) else [(b.ymin, b.ymax, b.xmin, b.xmax) if isinstance(b, PixelBox) else b for b in boxes]
    return np.asarray(rows, np.float64).reshape(-1, 4)


@house_style
def plot_overlap_network(
    boxes: Boxes,
    pairs: IntArray,
    residuals: FloatArray,
    *,
    excluded: BoolArray | None = None,
    names: Sequence[str] | None = None,
    wcs: WCS | None = None,
    ax: Axes | None = None,
    unit: str = "",
    label: str = "|difference left|",
    title: str = "",
) -> Axes:
    """Draw frames as boxes at their places and overlaps as lines between them, coloured by the difference that is left.

    Parameters
    ----------
    boxes : sequence of PixelBox, or ndarray of int, shape (m, 4)
        Place of every frame on the mosaic grid (``ymin, ymax, xmin, xmax``; half-open, 0-based).
    pairs : ndarray of int, shape (n, 2)
        Rows of `boxes` of the two frames of each overlap.
    residuals : ndarray, shape (n,)
        Difference left in each overlap; its size is drawn, larger ones as thicker lines.
    excluded : ndarray of bool, shape (n,), optional
        Overlaps not used by the solution, drawn dashed.
    names : sequence of str, optional
        Names of the frames (default: their numbers).
    wcs : astropy.wcs.WCS, optional
        Grid of the mosaic.
    ax : matplotlib.axes.Axes, optional
        Where to draw, in grid pixels; default: a new figure.
    unit : str
        Unit of the residuals.
    label : str
        What is drawn (before a solution exists, the differences themselves may be).
    title : str
        Title; default: numbers of frames and overlaps.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    corners = box_corners(boxes)
    links = np.asarray(pairs, np.int64).reshape(-1, 2)
    centres = np.column_stack([corners[:, 2:].sum(axis=1), corners[:, :2].sum(axis=1)]) / 2 - 0.5
    out = np.zeros(len(links), bool) if excluded is None else np.asarray(excluded, bool)
    sizes = np.abs(np.asarray(residuals, np.float64))
    fresh = ax is None
    if ax is None:
        ax = _grid_axes(corners, wcs)
    _draw_boxes(ax, corners)
    ends = centres[links]
    drawn = _draw_links(ax, ends, sizes, out)
    ax.plot(centres[:, 0], centres[:, 1], "o", color="#222222", markersize=4 if len(corners) <= MAX_LABELS else 2, zorder=4)
    if len(corners) <= MAX_LABELS:
        texts = short_names(names) if names is not None else [str(i) for i in range(len(corners))]
        place_labels(ax, centres, texts, offset=1.3)
    text = f"{count_text(len(corners), 'frame')}, {count_text(len(links), 'overlap')}"
    ax.set_title(with_unit(title or text + (f", {int(out.sum())} excluded (dashed)" if out.any() else ""), None))
    if drawn is not None:
        add_colour_bar(drawn, ax, with_unit(label, unit), beside=fresh)
    return ax


def _draw_links(ax: Any, ends: FloatArray, sizes: FloatArray, excluded: BoolArray) -> Any:
    """Draw the overlaps, the largest on top; None if there is none to colour."""
    import matplotlib as mpl
    from matplotlib.collections import LineCollection
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    if excluded.any():
        ax.add_collection(
            LineCollection(list(ends[excluded]), colors="#777777", linestyles=(0, (2, 2)), linewidths=1.3, zorder=2), autolim=False
        )
    rows = np.flatnonzero(~excluded & np.isfinite(sizes))
    if not len(rows):
        return None
    rows = rows[np.argsort(sizes[rows], kind="stable")]
    values = sizes[rows]
    top, middle = float(values[-1]) or 1.0, float(np.median(values))
    # One bad pair among good ones: on a linear scale all the others would look the same.
    norm = LogNorm(middle / 10, top) if 0 < middle < top / 30 else Normalize(0.0, top)
    # The pale end of the map is cut off: it is lost on white.
    colours = ListedColormap(mpl.colormaps["plasma"](np.linspace(0.0, 0.86, 160)))
    scale = 1.0 if len(rows) <= 500 else 0.5
    widths = scale * (1.0 + 3.0 * np.clip(np.ma.filled(norm(values), 0.0), 0, 1))
    lines = LineCollection(list(ends[rows]), array=values, cmap=colours, norm=norm, linewidths=widths, zorder=3, capstyle="round")
    ax.add_collection(lines, autolim=False)
    return lines


def _grid_axes(corners: FloatArray, wcs: WCS | None) -> Axes:
    """Axes in grid pixels around all boxes."""
    low, high = (corners[:, [2, 0]].min(axis=0), corners[:, [3, 1]].max(axis=0)) if len(corners) else (np.zeros(2), np.ones(2))
    pad = 0.03 * float(max(high - low))
    low, high = low - 0.5 - pad, high - 0.5 + pad
    ax: Any = new_axes((math.ceil(high[1] - low[1]), math.ceil(high[0] - low[0])), wcs)
    ax.set_aspect("equal")
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    if hasattr(ax, "coords"):
        ax.coords.grid(color="#888888", alpha=0.3, linewidth=0.5)
    return ax


def _draw_boxes(ax: Any, corners: FloatArray, colour: str = "#9aa5b1") -> None:
    """Outline the frames, if they are few enough to be told apart."""
    if not 0 < len(corners) <= MAX_OUTLINES:
        return
    from matplotlib.collections import LineCollection

    y0, y1, x0, x1 = (corners[:, i] - 0.5 for i in range(4))
    outline = np.stack([np.column_stack(p) for p in ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))], axis=1)
    ax.add_collection(LineCollection(list(outline), colors=colour, linewidths=0.8, zorder=1.5), autolim=False)


def plane_map(
    planes: FloatArray, boxes: Boxes, origin: tuple[float, float] = (0.0, 0.0), max_size: int = MAP_SIZE
) -> tuple[FloatArray, tuple[float, float, float, float]]:
    """Evaluate every frame's plane over its box, on a coarse picture of the mosaic grid.

    Parameters
    ----------
    planes : ndarray, shape (m, 3)
        ``a, b, c`` of ``c + a * (x - x0) + b * (y - y0)``.
    boxes : sequence of PixelBox, or ndarray of int, shape (m, 4)
        Boxes of the same frames.
    origin : tuple of float
        ``x0, y0``.
    max_size : int
        Longest side of the picture.

    Returns
    -------
    image : ndarray of float64
        Plane of the last frame that covers each place; NaN where there is none.
    extent : tuple of float
        Left, right, bottom and top edge of the picture in grid pixels.
    """
    corners = box_corners(boxes)
    if not len(corners):
        return np.full((1, 1), np.nan), (-0.5, 0.5, -0.5, 0.5)
    ymin, xmin = corners[:, 0].min(), corners[:, 2].min()
    ny, nx = corners[:, 1].max() - ymin, corners[:, 3].max() - xmin
    step = max(1.0, max(ny, nx) / max_size)
    image = np.full((math.ceil(ny / step), math.ceil(nx / step)), np.nan)
    x = xmin - 0.5 + (np.arange(image.shape[1]) + 0.5) * step
    y = ymin - 0.5 + (np.arange(image.shape[0]) + 0.5) * step
    for (a, b, c), (y0, y1, x0, x1) in zip(planes, corners, strict=True):
        rows, columns = (y >= y0 - 0.5) & (y < y1 - 0.5), (x >= x0 - 0.5) & (x < x1 - 0.5)
        image[np.ix_(rows, columns)] = c + a * (x[columns] - origin[0]) + b * (y[rows, None] - origin[1])
    extent = (xmin - 0.5, xmin - 0.5 + step * image.shape[1], ymin - 0.5, ymin - 0.5 + step * image.shape[0])
    return image, extent


@house_style
def plot_planes(
    planes: FloatArray,
    boxes: Boxes,
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    names: Sequence[str] | None = None,
    wcs: WCS | None = None,
    ax: Axes | None = None,
    unit: str = "",
) -> Axes:
    """Draw the background of every frame in its box (what will be subtracted).

    If the levels are far from zero compared with their spread, their median is taken off, and the colour bar says so.

    Parameters
    ----------
    planes : ndarray, shape (m, 3)
        ``a, b, c`` of ``c + a * (x - x0) + b * (y - y0)``.
    boxes : sequence of PixelBox, or ndarray of int, shape (m, 4)
        Place of the same frames on the mosaic grid.
    origin : tuple of float
        ``x0, y0`` in grid pixels.
    names : sequence of str, optional
        Names of the frames (default: their numbers).
    wcs : astropy.wcs.WCS, optional
        Grid of the mosaic.
    ax : matplotlib.axes.Axes, optional
        Where to draw, in grid pixels; default: a new figure.
    unit : str
        Unit of the frames.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    corners = box_corners(boxes)
    image, extent = plane_map(planes, boxes, origin)
    seen = image[np.isfinite(image)]
    middle = float(np.median(seen)) if seen.size else 0.0
    spread = float(np.percentile(np.abs(seen - middle), 90)) if seen.size else 0.0
    off = middle if abs(middle) > 2 * spread and len(corners) > 1 else 0.0
    limit = symmetric_limit(image - off)
    fresh = ax is None
    if ax is None:
        ax = _grid_axes(corners, wcs)
    view = (ax.get_xlim(), ax.get_ylim())
    mappable = ax.imshow(
        image - off,
        origin="lower",
        extent=extent,
        cmap=blank_aware(DIVERGING_MAP),
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
        aspect="equal",
    )
    if fresh:
        ax.set_xlim(*view[0])
        ax.set_ylim(*view[1])
    _draw_boxes(ax, corners, "#444444")
    if len(corners) <= MAX_LABELS:
        centres = np.column_stack([corners[:, 2:].sum(axis=1), corners[:, :2].sum(axis=1)]) / 2 - 0.5
        place_labels(ax, centres, short_names(names) if names is not None else [str(i) for i in range(len(corners))])
    sloped = bool(np.any(np.asarray(planes)[:, :2])) if len(corners) else False
    ax.set_title(f"background {'planes' if sloped else 'levels'} of {count_text(len(corners), 'frame')}")
    label = "background" if off == 0.0 else f"background minus {number_text(off, 4)}"
    add_colour_bar(mappable, ax, with_unit(label, unit), beside=fresh)
    return ax


@house_style
def plot_plane_errors(
    levels: FloatArray,
    errors: FloatArray | None = None,
    *,
    names: Sequence[str] | None = None,
    component: IntArray | None = None,
    ax: Axes | None = None,
    unit: str = "",
) -> Axes:
    """Draw the level of every frame with its standard error.

    Parameters
    ----------
    levels : ndarray, shape (m,)
        Background at the middle of each frame. (The constant of a plane belongs to an origin that may be far away.)
    errors : ndarray, shape (m,), optional
        Standard errors; infinite where the overlaps do not fix the level, NaN where they were not computed.
    names : sequence of str, optional
        Names of the frames, written if there are at most 40.
    component : ndarray of int, shape (m,), optional
        Connected group of each frame, told apart by colour and marker.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.
    unit : str
        Unit of the frames.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    values = np.asarray(levels, np.float64)
    sigma = np.full(len(values), np.nan) if errors is None else np.asarray(errors, np.float64)
    groups = np.zeros(len(values), np.int64) if component is None else np.asarray(component, np.int64)
    named = names is not None and len(values) <= MAX_NAMED
    if ax is None:
        ax = new_figure(7.5, 1.1 + 0.2 * len(values) if named else 3.6).add_subplot()
    loose = np.isinf(sigma)
    bars = np.where(np.isfinite(sigma), sigma, 0.0)
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    for group in range(min(n_groups, len(SERIES))):
        # Beyond the six colours the groups share the last one: many tiny groups need no legend of their own.
        last = group == len(SERIES) - 1
        mine = groups >= group if last else groups == group
        text = "more groups" if last else f"group {group + 1}"
        style = {"fmt": "os^Dv<"[group], "color": SERIES[group], "markersize": 4, "capsize": 2, "elinewidth": 1.0}
        _level_points(ax, mine & ~loose, values, bars, named=named, style={**style, "label": text})
        _level_points(ax, mine & loose, values, bars, named=named, style={**style, "label": f"{text}: not constrained", "mfc": "white"})
    _label_levels(ax, short_names(names, 24) if named and names is not None else None, unit)
    known = "bars: standard errors" if np.isfinite(sigma).any() or loose.any() else "standard errors not computed"
    ax.set_title(f"background at the middle of each frame ({known})")
    if n_groups > 1 or loose.any():
        legend_above(ax)
    return ax


def _level_points(ax: Any, rows: BoolArray, levels: FloatArray, bars: FloatArray, *, named: bool, style: dict[str, Any]) -> None:
    """Levels with error bars, across if the frames are written by name down the side."""
    if not rows.any():
        return
    if named:
        ax.errorbar(levels[rows], np.flatnonzero(rows), xerr=bars[rows], **style)
    else:
        ax.errorbar(np.flatnonzero(rows), levels[rows], yerr=bars[rows], **style)


def _label_levels(ax: Any, names: Sequence[str] | None, unit: str) -> None:
    """Label the axes of a plot of levels, frames downwards if they have names, else rightwards."""
    label = with_unit("level", unit)
    if names is None:
        from matplotlib.ticker import MaxNLocator

        ax.set_xlabel("frame (row of the frame table)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylabel(label)
        ax.grid(axis="y", color="#cccccc", linewidth=0.5)
    else:
        ax.set_yticks(np.arange(len(names)), [plain_label(n) for n in names])
        ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
        ax.set_xlabel(label)
        ax.set_ylabel("frame")
        ax.grid(axis="x", color="#cccccc", linewidth=0.5)


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
