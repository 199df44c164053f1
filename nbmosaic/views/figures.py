"""What all figures share: their look, new axes, stretches, colour bars, PNG bytes.

matplotlib is imported inside functions, and pyplot nowhere: figures are plain objects that nobody else keeps, and the user's settings
stay as they are.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import numpy as np

from nbmosaic._types import AnyArray, FloatArray

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLANK_COLOUR",
    "CLIPPED_COLOUR",
    "DIVERGING_MAP",
    "IMAGE_MAP",
    "MAX_WIDTH",
    "RIGHT",
    "SERIES",
    "Stretch",
    "add_colour_bar",
    "blank_aware",
    "figure_png",
    "house_style",
    "new_axes",
    "new_figure",
    "new_pair",
    "robust_stretch",
    "symmetric_limit",
    "with_unit",
]

P = ParamSpec("P")
R = TypeVar("R")

MAX_WIDTH = 900
"""Widest picture in pixels: wider ones make notebooks heavy and no page shows them."""
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


def house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw with the house's look, unless the caller gives ``ax`` or ``figure``: then the caller's look holds.

    matplotlib's settings are global to the process while the function runs and restored when it ends.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("ax") is not None or kwargs.get("figure") is not None:
            return draw(*args, **kwargs)
        import matplotlib as mpl

        with mpl.rc_context(_HOUSE):
            return draw(*args, **kwargs)

    return drawn


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
    return min(max(shape[0] / max(shape[1], 1), 0.12), 1.3)


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
    if hasattr(axes, "coords"):
        coordinate = axes.coords["xy".index(which)]
        coordinate.set_auto_axislabel(False)
        coordinate.set_axislabel("")
        coordinate.set_ticklabel_visible(False)
    else:
        axes.set(**{f"{which}label": ""})
        axes.tick_params(**{"labelbottom" if which == "x" else "labelleft": False})


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


def with_unit(text: str, unit: str | None) -> str:
    """Label with its unit in brackets, if there is one; dollar signs are made harmless to matplotlib.

    Examples
    --------
    >>> with_unit("level", "DN"), with_unit("level", "")
    ('level [DN]', 'level')
    """
    label = f"{text} [{unit}]" if unit else text
    return label.replace("$", r"\$")


@dataclass(frozen=True, slots=True)
class Stretch:
    """How pixel values become colours.

    Attributes
    ----------
    kind : {"asinh", "linear"}
        ``asinh((v - middle) / width)``: linear near `middle`, logarithmic beyond some `width`; or linear.
    vmin, vmax : float
        Values of the first and the last colour.
    middle, width : float
        Parameters of the asinh.
    """

    kind: Literal["asinh", "linear"]
    vmin: float
    vmax: float
    middle: float = 0.0
    width: float = 1.0

    def forward(self, values: Any) -> Any:
        """Monotonic function of the values that is mapped linearly to colours."""
        if self.kind == "linear":
            return np.asarray(values)
        return np.arcsinh((np.asarray(values) - self.middle) / self.width)

    def inverse(self, values: Any) -> Any:
        """Inverse of `forward`."""
        if self.kind == "linear":
            return np.asarray(values)
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


def add_colour_bar(mappable: Any, ax: Any, label: str, *, ticks: Any = None, beside: bool = True, whole_numbers: bool = False) -> Any:
    """Add a colour bar with a label.

    Parameters
    ----------
    mappable : matplotlib.cm.ScalarMappable
        What it explains.
    ax : matplotlib.axes.Axes or sequence of them
        Axes it belongs to.
    label : str
        Label with unit.
    ticks : sequence of float, optional
        Values labelled.
    beside : bool
        Put it into the free margin right of the axes (our own figures), exactly as high as the picture; otherwise take room from the axes.
    whole_numbers : bool
        Whether ticks must be whole numbers.

    Returns
    -------
    matplotlib.colorbar.Colorbar
        The colour bar.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    if whole_numbers:
        ticks = MaxNLocator(integer=True)
    if beside:
        ax.apply_aspect()
        inches = ax.get_position().width * ax.figure.get_figwidth()
        bar = ax.figure.colorbar(mappable, cax=ax.inset_axes((1 + 0.1 / inches, 0.0, 0.18 / inches, 1.0)), ticks=ticks)
    else:
        figure = (ax[0] if isinstance(ax, Sequence) else ax).figure
        bar = figure.colorbar(mappable, ax=ax, ticks=ticks, fraction=0.046, pad=0.03, aspect=25)
    bar.set_label(label)
    if ticks is not None and not whole_numbers:
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.7g}".replace("-", "\N{MINUS SIGN}")))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    return bar


def figure_png(figure: Figure | Axes, width: int = MAX_WIDTH) -> bytes:
    """Render a figure as a small PNG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or Axes
        Figure, or axes whose figure is meant.
    width : int
        Width in pixels, at most 900. The height follows.

    Returns
    -------
    bytes
        PNG of 256 colours: a quarter of the size of a true-colour one; no colour is off by more than about 8 of 255.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    target: Any = figure.get_figure(root=True) if hasattr(figure, "transAxes") else figure
    before = target.canvas
    canvas = FigureCanvasAgg(target)
    dpi = target.dpi
    try:
        target.dpi = min(width, MAX_WIDTH) / target.get_figwidth()
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
    finally:
        target.dpi = dpi
        target.set_canvas(before)
    picture = Image.fromarray(_on_white(pixels)).quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def _on_white(rgba: AnyArray) -> AnyArray:
    """Lay an RGBA picture on white; users' figures may be transparent."""
    alpha = rgba[..., 3:4].astype(np.uint16)
    if (alpha == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    colour: AnyArray = (rgba[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha)) // 255
    return colour.astype(np.uint8)
