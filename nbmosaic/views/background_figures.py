"""Pictures of the background model: network of overlaps, map of the planes, levels with their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray, IntArray
from nbmosaic.types.matching import BackgroundModel
from nbmosaic.views.axes import new_axes, new_figure
from nbmosaic.views.figures import DIVERGING_MAP, SERIES, add_colour_bar, blank_aware, house_style, legend_above, symmetric_limit, with_unit
from nbmosaic.views.labels import place_labels, plain_label, short_names
from nbmosaic.views.numbers import count_text, number_text

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.axes import Axes

__all__ = ["frame_levels", "plane_map", "plot_overlap_network", "plot_plane_3d", "plot_plane_errors", "plot_planes"]

MAX_OUTLINES = 400
MAX_LABELS = 60
MAP_SIZE = 700


@house_style
def plot_overlap_network(
    boxes: IntArray,
    plus: IntArray,
    minus: IntArray,
    residuals: FloatArray,
    *,
    excluded: BoolArray | None = None,
    names: Sequence[str] | None = None,
    wcs: WCS | None = None,
    ax: Axes | None = None,
    unit: str = "",
    title: str = "",
) -> Axes:
    """Draw frames as boxes at their places and overlaps as lines between them, coloured by the difference that is left.

    Parameters
    ----------
    boxes : ndarray of int, shape (m, 4)
        ``ymin, ymax, xmin, xmax`` of every frame on the mosaic grid (half-open, 0-based).
    plus, minus : ndarray of int, shape (n,)
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
    title : str
        Title; default: numbers of frames and overlaps.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    centres = np.column_stack([corners[:, 2:].sum(axis=1), corners[:, :2].sum(axis=1)]) / 2 - 0.5
    out = np.zeros(len(plus), bool) if excluded is None else np.asarray(excluded, bool)
    sizes = np.abs(np.asarray(residuals, np.float64))
    fresh = ax is None
    if ax is None:
        ax = _grid_axes(corners, wcs)
    _draw_boxes(ax, corners)
    ends = np.stack([centres[np.asarray(plus, np.int64)], centres[np.asarray(minus, np.int64)]], axis=1)
    drawn = _draw_links(ax, ends, sizes, out)
    ax.plot(centres[:, 0], centres[:, 1], "o", color="#222222", markersize=4 if len(corners) <= MAX_LABELS else 2, zorder=4)
    if len(corners) <= MAX_LABELS:
        texts = short_names(names) if names is not None else [str(i) for i in range(len(corners))]
        place_labels(ax, centres, texts, offset=1.3)
    text = f"{count_text(len(corners), 'frame')}, {count_text(len(plus), 'overlap')}"
    ax.set_title(with_unit(title or text + (f", {int(out.sum())} excluded (dashed)" if out.any() else ""), None))
    if drawn is not None:
        add_colour_bar(drawn, ax, with_unit("|difference left|", unit), beside=fresh)
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


def plane_map(model: BackgroundModel, boxes: IntArray, max_size: int = MAP_SIZE) -> tuple[FloatArray, tuple[float, float, float, float]]:
    """Evaluate every frame's plane over its box, on a coarse picture of the mosaic grid.

    Parameters
    ----------
    model : BackgroundModel
        The planes, m rows.
    boxes : ndarray of int, shape (m, 4)
        Boxes of the same frames, row by row.
    max_size : int
        Longest side of the picture.

    Returns
    -------
    image : ndarray of float64
        Plane of the last frame that covers each place; NaN where there is none.
    extent : tuple of float
        Left, right, bottom and top edge of the picture in grid pixels.
    """
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not len(corners):
        return np.full((1, 1), np.nan), (-0.5, 0.5, -0.5, 0.5)
    ymin, xmin = corners[:, 0].min(), corners[:, 2].min()
    ny, nx = corners[:, 1].max() - ymin, corners[:, 3].max() - xmin
    step = max(1.0, max(ny, nx) / max_size)
    image = np.full((math.ceil(ny / step), math.ceil(nx / step)), np.nan)
    x = xmin - 0.5 + (np.arange(image.shape[1]) + 0.5) * step
    y = ymin - 0.5 + (np.arange(image.shape[0]) + 0.5) * step
    for (a, b, c), (y0, y1, x0, x1) in zip(model.planes, corners, strict=True):
        rows, columns = (y >= y0 - 0.5) & (y < y1 - 0.5), (x >= x0 - 0.5) & (x < x1 - 0.5)
        values = c + a * (x[columns] - model.origin[0]) + b * (y[rows, None] - model.origin[1])
        image[np.ix_(rows, columns)] = values
    extent = (xmin - 0.5, xmin - 0.5 + step * image.shape[1], ymin - 0.5, ymin - 0.5 + step * image.shape[0])
    return image, extent


@house_style
def plot_planes(
    model: BackgroundModel,
    boxes: IntArray,
    *,
    names: Sequence[str] | None = None,
    wcs: WCS | None = None,
    ax: Axes | None = None,
    unit: str = "",
) -> Axes:
    """Draw the background of every frame in its box (what will be subtracted).

    If the levels are far from zero compared with their spread, their median is taken off, and the colour bar says so.

    Parameters
    ----------
    model : BackgroundModel
        The planes, m rows.
    boxes : ndarray of int, shape (m, 4)
        ``ymin, ymax, xmin, xmax`` of the same frames on the mosaic grid.
    names : sequence of str, optional
        Names of the frames (default: their numbers in the frame table).
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
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    image, extent = plane_map(model, boxes)
    seen = image[np.isfinite(image)]
    middle = float(np.median(seen)) if seen.size else 0.0
    spread = float(np.percentile(np.abs(seen - middle), 90)) if seen.size else 0.0
    off = middle if abs(middle) > 2 * spread and len(model) > 1 else 0.0
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
        place_labels(ax, centres, short_names(names) if names is not None else [str(i) for i in model.frames])
    ax.set_title(f"background {'planes' if model.slope else 'levels'} of {count_text(len(model), 'frame')}")
    label = "background" if off == 0.0 else f"background minus {number_text(off, 4)}"
    add_colour_bar(mappable, ax, with_unit(label, unit), beside=fresh)
    return ax


def frame_levels(model: BackgroundModel, boxes: IntArray) -> tuple[FloatArray, FloatArray | None]:
    """Background at the middle of every frame, with its standard error.

    The constant of a plane belongs to the common origin, perhaps far away from the frame; the middle of the frame is where the level means
    something. Its variance is ``J C J^T`` with ``J = (x - x0, y - y0, 1)``.

    Parameters
    ----------
    model : BackgroundModel
        The planes, m rows.
    boxes : ndarray of int, shape (m, 4)
        Boxes of the same frames.

    Returns
    -------
    levels : ndarray, shape (m,)
        Levels.
    errors : ndarray, shape (m,), or None
        Standard errors, infinite where the overlaps do not fix the level; None if the model has none.
    """
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    dx = corners[:, 2:].sum(axis=1) / 2 - 0.5 - model.origin[0]
    dy = corners[:, :2].sum(axis=1) / 2 - 0.5 - model.origin[1]
    jacobian = np.column_stack([dx, dy, np.ones(len(dx))])
    levels: FloatArray = np.einsum("ij,ij->i", jacobian, model.planes)
    if model.covariance is not None:
        with np.errstate(invalid="ignore"):
            variance = np.einsum("ij,ijk,ik->i", jacobian, model.covariance, jacobian)
            errors = np.sqrt(variance)
        return levels, np.where(np.isnan(errors), np.inf, errors)
    if model.stderr is not None and not model.slope:
        return levels, model.stderr[:, 2]
    return levels, None


@house_style
def plot_plane_errors(
    model: BackgroundModel, boxes: IntArray, *, names: Sequence[str] | None = None, ax: Axes | None = None, unit: str = ""
) -> Axes:
    """Draw the level of every frame at its middle with its standard error.

    Parameters
    ----------
    model : BackgroundModel
        The planes, m rows.
    boxes : ndarray of int, shape (m, 4)
        Boxes of the same frames.
    names : sequence of str, optional
        Names of the frames, written if there are at most 40.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.
    unit : str
        Unit of the frames.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    levels, errors = frame_levels(model, boxes)
    named = names is not None and len(model) <= 40
    place = np.arange(len(model)) if named else np.asarray(model.frames)
    if ax is None:
        ax = new_figure(7.5, 1.1 + 0.2 * len(model) if named else 3.6).add_subplot()
    shown = min(max(model.n_components, 1), len(SERIES))
    loose = np.zeros(len(model), bool) if errors is None else np.isinf(errors)
    bars = np.zeros(len(model)) if errors is None else np.where(loose, 0.0, errors)
    for group in range(shown):
        # Beyond the six colours the groups share the last one: many tiny groups need no legend of their own.
        last = group == len(SERIES) - 1
        mine = model.component >= group if last else model.component == group
        text = "more groups" if last else f"group {group + 1}"
        style = {"fmt": "os^Dv<"[group], "color": SERIES[group], "markersize": 4, "capsize": 2, "elinewidth": 1.0}
        _level_points(ax, mine & ~loose, place, levels, bars, named=named, style={**style, "label": text})
        _level_points(
            ax, mine & loose, place, levels, bars, named=named, style={**style, "label": f"{text}: not constrained", "mfc": "white"}
        )
    _label_levels(ax, short_names(names, 24) if named and names is not None else None, unit)
    note = "bars: standard errors" if errors is not None else "standard errors not computed"
    ax.set_title(f"background at the middle of each frame ({note})")
    if model.n_components > 1 or loose.any():
        legend_above(ax)
    return ax


def _level_points(
    ax: Any, rows: BoolArray, place: AnyArray, levels: FloatArray, bars: FloatArray, *, named: bool, style: dict[str, Any]
) -> None:
    """Levels with error bars, across if the frames are written by name down the side."""
    if not rows.any():
        return
    if named:
        ax.errorbar(levels[rows], place[rows], xerr=bars[rows], **style)
    else:
        ax.errorbar(place[rows], levels[rows], yerr=bars[rows], **style)


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
def plot_plane_3d(
    model: BackgroundModel,
    boxes: IntArray,
    rows: Sequence[int] | AnyArray | None = None,
    *,
    names: Sequence[str] | None = None,
    ax: Any = None,
    unit: str = "",
) -> Axes:
    """Draw the planes of a few frames in space.

    Parameters
    ----------
    model : BackgroundModel
        The planes, m rows.
    boxes : ndarray of int, shape (m, 4)
        Boxes of the same frames.
    rows : sequence of int, optional
        Rows of the model to draw; default: the first six.
    names : sequence of str, optional
        Names of all m frames.
    ax : mpl_toolkits.mplot3d.axes3d.Axes3D, optional
        Where to draw; default: a new figure.
    unit : str
        Unit of the frames.

    Returns
    -------
    matplotlib.axes.Axes
        Three-dimensional axes.
    """
    chosen = list(range(min(len(model), 6))) if rows is None else [int(r) for r in rows]
    if ax is None:
        ax = new_figure(7.5, 5.6).add_subplot(projection="3d")
    texts = short_names(names) if names is not None else [str(i) for i in model.frames]
    for k, row in enumerate(chosen):
        y0, y1, x0, x1 = np.asarray(boxes, np.float64)[row] - 0.5
        x, y = np.meshgrid([x0, x1], [y0, y1])
        a, b, c = model.planes[row]
        colour = SERIES[k % len(SERIES)]
        z = c + a * (x - model.origin[0]) + b * (y - model.origin[1])
        ax.plot_surface(x, y, z, color=colour, alpha=0.45, edgecolor=colour, linewidth=0.8, shade=False)
        ax.text(x.mean(), y.mean(), z.mean(), plain_label(texts[row]), color="#222222", ha="center", fontsize=8)
    ax.set(xlabel="x [pix]", ylabel="y [pix]", zlabel=with_unit("background", unit))
    ax.set_box_aspect(None, zoom=0.88)
    return ax
