"""What all figures share: their look, stretches, colour maps and colour bars.

matplotlib is imported inside functions, and pyplot nowhere: figures are plain objects that nobody else keeps, and the user's settings
stay as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.views.labels import plain_label

__all__ = [
    "BLANK_COLOUR",
    "CLIPPED_COLOUR",
    "DIVERGING_MAP",
    "IMAGE_MAP",
    "SERIES",
    "Stretch",
    "add_colour_bar",
    "blank_aware",
    "has_house_style",
    "house_settings",
    "house_style",
    "legend_above",
    "robust_stretch",
    "symmetric_limit",
    "with_unit",
]

P = ParamSpec("P")
R = TypeVar("R")

IMAGE_MAP = "inferno"
DIVERGING_MAP = "RdBu_r"
BLANK_COLOUR = "#a9b7c4"
"""Pixels without data: a light blue-grey, a colour in neither the image map (black-red-yellow) nor the white of the diverging map."""
CLIPPED_COLOUR = "#3b3b3b"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, told apart with every kind of colour blindness."""

# Text dark on opaque white, whatever the notebook's theme or the user's style sheet says: a transparent figure with dark text is
# unreadable on a dark page.
_HOUSE: dict[str, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#222222",
    "axes.titlecolor": "#222222",
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "axes.spines.top": True,
    "axes.spines.right": True,
    "font.size": 9.0,
    "font.family": ["sans-serif"],
    "legend.fontsize": 8.0,
    "legend.facecolor": "white",
    "legend.labelcolor": "#222222",
    "legend.framealpha": 0.85,
    "text.color": "#222222",
    "text.usetex": False,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "image.origin": "lower",
    "image.interpolation": "nearest",
    "lines.linewidth": 1.2,
}


_PREFIXES = (
    "axes",
    "errorbar",
    "figure.",
    "font.",
    "grid.",
    "hist",
    "image.",
    "legend.",
    "lines.",
    "mathtext.",
    "patch.",
    "text.",
    "xtick.",
    "ytick.",
)
_LABEL = "nbmosaic"


def house_settings() -> Any:
    """Set matplotlib's settings to the house's look inside a ``with``; outside they are the user's own again.

    The settings are global to the process while it lasts. Everything that the user's style sheet may have changed is at its default, so the
    same data give the same picture for everybody.
    """
    import matplotlib as mpl

    plain = {k: mpl.rcParamsDefault[k] for k in mpl.rcParamsDefault if k.startswith(_PREFIXES)}
    return mpl.rc_context({**plain, **_HOUSE})


def has_house_style(figure: Any) -> bool:
    """Whether a figure was made by a function with the house's look (and not by the user)."""
    return bool(figure.get_label() == _LABEL)


def house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw with the house's look, unless the caller gives ``ax`` or ``figure``: then the caller's look holds."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("ax") is not None or kwargs.get("figure") is not None:
            return draw(*args, **kwargs)
        with house_settings():
            result = draw(*args, **kwargs)
            _keep_style(result)
        return result

    return drawn


def _keep_style(result: Any) -> None:
    """Mark the figure, and write the tick colours into its axes: ticks are made when it is drawn, with the settings that hold then."""
    root = (result[0] if isinstance(result, tuple) else result).get_figure(root=True)
    root.set_label(_LABEL)
    for axes in root.get_axes() + [child for parent in root.get_axes() for child in parent.child_axes]:
        for side in "xy":
            style = {k: _HOUSE[f"{side}tick.{k}"] for k in ("color", "labelcolor", "labelsize")}
            if not hasattr(axes, "coords"):
                axes.tick_params(axis=side, which="both", **style)


def with_unit(text: str, unit: str | None) -> str:
    """Label with its unit in brackets, if there is one; nothing in it is a formula to matplotlib.

    Examples
    --------
    >>> with_unit("level", "DN"), with_unit("level", "")
    ('level [DN]', 'level')
    """
    return plain_label(f"{text} [{unit}]" if unit else text, 120)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How pixel values become colours.

    Attributes
    ----------
    kind : {"asinh", "linear", "table"}
        ``asinh((v - middle) / width)``: linear near `middle`, logarithmic beyond some `width`; or linear; or by a table.
    vmin, vmax : float
        Values of the first and the last colour.
    middle, width : float
        Parameters of the asinh.
    table : ndarray, optional
        Rising values at equal distances of colour (``table``).
    """

    kind: Literal["asinh", "linear", "table"]
    vmin: float
    vmax: float
    middle: float = 0.0
    width: float = 1.0
    table: FloatArray | None = None

    def forward(self, values: Any) -> Any:
        """Monotonic function of the values that is mapped linearly to colours."""
        if self.kind == "linear":
            return np.asarray(values)
        if self.table is not None:
            return np.interp(values, self.table, np.arange(float(len(self.table))))
        return np.arcsinh((np.asarray(values) - self.middle) / self.width)

    def inverse(self, values: Any) -> Any:
        """Inverse of `forward`."""
        if self.kind == "linear":
            return np.asarray(values)
        if self.table is not None:
            return np.interp(values, np.arange(float(len(self.table))), self.table)
        return np.sinh(np.asarray(values)) * self.width + self.middle

    def norm(self) -> Any:
        """Make the matplotlib object for it."""
        from matplotlib.colors import FuncNorm, Normalize

        if self.kind == "linear":
            return Normalize(self.vmin, self.vmax)
        return FuncNorm((self.forward, self.inverse), vmin=self.vmin, vmax=self.vmax)

    def ticks(self, n: int = 6) -> FloatArray | None:
        """Round values at even distances of the colour bar; None leaves the choice to matplotlib (linear)."""
        if self.kind == "linear":
            return None
        low, high = self.forward(np.array([self.vmin, self.vmax]))
        ticks = []
        for t in np.linspace(low, high, n):
            near = self.inverse(np.array([t - 0.4 * (high - low) / n, t, t + 0.4 * (high - low) / n]))
            gap = max(float(near[2] - near[0]), 1e-300)
            # A power of ten below half the gap: rounding moves no tick onto its neighbour.
            step = 10.0 ** math.floor(math.log10(gap / 2)) * (5 if gap / 2 / 10.0 ** math.floor(math.log10(gap / 2)) >= 5 else 1)
            ticks.append(round(float(near[1]) / step) * step)
        values = np.unique(np.array(ticks))
        inside: FloatArray = values[(values >= self.vmin) & (values <= self.vmax)]
        return inside


def robust_stretch(
    *images: AnyArray, kind: str = "asinh", limits: tuple[float, float] | None = None, percentiles: tuple[float, float] = (0.3, 99.8)
) -> Stretch:
    """Choose a stretch that stars and bad pixels cannot spoil.

    Parameters
    ----------
    *images : ndarray
        Images that share the stretch; NaN and infinite pixels are left out.
    kind : {"asinh", "linear", "zscale"}
        ``"asinh"``: faint and bright parts together; ``"linear"``: between the percentiles; ``"zscale"``: linear, the sky only: from three
        robust standard deviations below the median to eight above.
    limits : tuple of float, optional
        First and last value; default: the percentiles.
    percentiles : tuple of float
        Percentiles of the limits.

    Returns
    -------
    Stretch
        Always with ``vmin < vmax``, also for constant images and for images without a valid pixel.

    Raises
    ------
    ValueError
        If `kind` is not one of the three.
    """
    if kind not in {"asinh", "linear", "zscale"}:
        raise ValueError(f"stretch {kind!r} is unknown: use asinh, linear or zscale")
    values = np.concatenate([_sample(image) for image in images]) if images else np.zeros(0)
    if limits is not None:
        low, high = map(float, limits)
    elif values.size:
        low, high = map(float, np.percentile(values, percentiles))
    else:
        low, high = 0.0, 1.0
    middle = float(np.median(values)) if values.size else 0.0
    sigma = 1.4826 * float(np.median(np.abs(values - middle))) if values.size else 0.0
    if kind == "zscale" and limits is None and sigma > 0:
        low, high = max(low, middle - 3 * sigma), min(high, middle + 8 * sigma)
    if not high > low:
        half = max(abs(middle) * 1e-3, 1e-6) if values.size else 0.5
        return Stretch("linear", low - half, low + half)
    if kind != "asinh":
        return Stretch("linear", low, high)
    # Two robust standard deviations of the (block-averaged) sky: noise stays in the linear part. Never less than 1/300 of the range,
    # or a flat sky would take all colours.
    return Stretch("asinh", low, high, middle, max(2 * sigma, (high - low) / 300))


def _sample(image: AnyArray, size: int = 300_000) -> FloatArray:
    """About `size` finite pixels at most, spread evenly: enough for percentiles."""
    step = max(1, math.isqrt(image.size // size)) if image.ndim == 2 else max(1, image.size // size)
    part = image[::step, ::step] if image.ndim == 2 else image[::step]
    values: FloatArray = np.asarray(part, np.float64).ravel()
    return values[np.isfinite(values)]


def symmetric_limit(values: AnyArray, percentile: float = 99.5) -> float:
    """Half range of a diverging scale about zero that holds nearly all values; 1 if there is none or all are zero."""
    sizes = np.abs(_sample(np.asarray(values, np.float64).ravel()))
    limit = float(np.percentile(sizes, percentile)) if sizes.size else 0.0
    if limit <= 0.0 and sizes.size:
        limit = float(sizes.max())
    return limit if limit > 0.0 else 1.0


def blank_aware(name: str, *, blank: str = BLANK_COLOUR) -> Any:
    """Colour map of that name in which pixels without data have a colour of their own.

    It has 160 steps, too fine to be seen; the other 96 of a 256 colour PNG are left for text and lines.
    """
    import matplotlib as mpl

    return mpl.colormaps[name].resampled(160).with_extremes(bad=blank)


def add_colour_bar(
    mappable: Any,
    ax: Any,
    label: str,
    *,
    ticks: Any = None,
    beside: bool = True,
    whole_numbers: bool = False,
    proportions: tuple[float, float] = (25.0, 0.046),
) -> Any:
    """Add a colour bar with a label.

    Parameters
    ----------
    mappable : matplotlib.cm.ScalarMappable
        What it explains.
    ax : matplotlib.axes.Axes or sequence of them
        Axes it belongs to.
    label : str
        Label with unit.
    ticks : sequence of float, or a function, optional
        Values labelled, or a function that gives them for a number of ticks that suits the height (`Stretch.ticks`).
    beside : bool
        Put it into the free margin right of the axes (our own figures), exactly as high as the picture; otherwise take room from the axes.
    whole_numbers : bool
        Whether ticks must be whole numbers.
    proportions : tuple of float
        Height over width of a bar that takes room from the axes, and share of their width that it takes.

    Returns
    -------
    matplotlib.colorbar.Colorbar
        The colour bar.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    place = ax[0] if isinstance(ax, Sequence) else ax
    place.apply_aspect()
    width, height = place.get_window_extent().size / place.get_figure(root=True).dpi
    if whole_numbers:
        ticks = MaxNLocator(integer=True)
    elif callable(ticks):
        ticks = ticks(6 if height > 2 else 3)
    if beside:
        bar = place.figure.colorbar(mappable, cax=place.inset_axes((1 + 0.1 / width, 0.0, 0.18 / width, 1.0)), ticks=ticks)
    else:
        bar = place.figure.colorbar(mappable, ax=ax, ticks=ticks, aspect=proportions[0], fraction=proportions[1], pad=0.03)
    bar.set_label(label.replace(" [", "\n[") if height < 1.7 else label)
    if ticks is not None and not whole_numbers:
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.7g}".replace("-", "\N{MINUS SIGN}")))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    return bar


def legend_above(ax: Any) -> None:
    """Put the legend in one line between title and axes, where it hides no point."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False, borderaxespad=0.1, handletextpad=0.3)
        ax.set_title(ax.get_title(), pad=20)
