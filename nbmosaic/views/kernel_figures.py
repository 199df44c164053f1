"""Pictures of interpolants: the kernels, what they leave of waves, how they correlate noise, what they do to a star."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.views.axes import new_figure
from nbmosaic.views.labels import plain_label
from nbmosaic.views.look import DIVERGING_MAP, SERIES, add_colour_bar, blank_aware, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_kernels", "plot_noise_correlation", "plot_star_errors", "plot_transfer"]

Curves = Mapping[str, tuple[FloatArray, FloatArray]]
"""Name to x and y."""

DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 2)))
MARKERS = "os^Dv*"
REFERENCE = "#888888"


def _draw(ax: Any, curves: Curves) -> None:
    """Curves told apart by colour and by dashes."""
    for k, (name, (x, y)) in enumerate(curves.items()):
        ax.plot(x, y, color=SERIES[k % len(SERIES)], linestyle=DASHES[k % len(DASHES)], label=plain_label(name))
    ax.legend(loc="best", framealpha=0.85)


@house_style
def plot_kernels(curves: Curves, *, reach: float = 6.0, ax: Axes | None = None) -> Axes:
    """Draw kernels: the weight of an input pixel against its distance from the output pixel.

    Parameters
    ----------
    curves : mapping of str to tuple of ndarray
        Name to distances in pixels and weights.
    reach : float
        Largest distance shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> d = np.linspace(-2, 2, 41)
    >>> plot_kernels({"linear": (d, np.maximum(1 - abs(d), 0))}).get_ylabel()
    'weight'
    """
    ax = new_figure(7.5, 3.6).add_subplot() if ax is None else ax
    ax.axhline(0.0, color=REFERENCE, linewidth=0.6)
    _draw(ax, curves)
    ax.set(xlabel="distance [pix]", ylabel="weight", xlim=(-reach, reach))
    return ax


@house_style
def plot_transfer(curves: Curves, *, star: tuple[str, FloatArray, FloatArray] | None = None, ax: Axes | None = None) -> Axes:
    """Draw transfer functions: what is left of the amplitude of a wave against its frequency.

    Parameters
    ----------
    curves : mapping of str to tuple of ndarray
        Name to frequencies in cycles per pixel and amplitudes.
    star : tuple, optional
        Name, frequencies and amplitudes of a star, drawn as an area: what there is to be kept.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> f = np.linspace(0, 1, 11)
    >>> plot_transfer({"linear": (f, np.sinc(f) ** 2)}).get_xlabel()
    'frequency [cycles per pixel]'
    """
    ax = new_figure(7.5, 3.6).add_subplot() if ax is None else ax
    if star is not None:
        name, frequency, amplitude = star
        ax.fill_between(frequency, 0, amplitude, color=REFERENCE, alpha=0.25, linewidth=0, label=plain_label(name))
    ax.plot([0, 0.5, 0.5, 1.0], [1, 1, 0, 0], color=REFERENCE, linewidth=0.8, label="ideal")
    _draw(ax, curves)
    ax.set(xlabel="frequency [cycles per pixel]", ylabel="amplitude left", xlim=(0, 1), ylim=(-0.08, 1.08))
    return ax


@house_style
def plot_noise_correlation(
    expected: Mapping[str, FloatArray], measured: Mapping[str, FloatArray] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the correlation of the noise of resampled pixels against their distance.

    Parameters
    ----------
    expected : mapping of str to ndarray
        Name to the correlation of pixels 0, 1, 2, ... apart, drawn as lines.
    measured : mapping of str to ndarray, optional
        The same, measured in an image, drawn as points.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> plot_noise_correlation({"linear": np.array([1, 0.25, 0])}).get_ylabel()
    'correlation'
    """
    ax = new_figure(7.5, 3.6).add_subplot() if ax is None else ax
    ax.axhline(0.0, color=REFERENCE, linewidth=0.6)
    _draw(ax, {name: (np.arange(1.0, len(values)), values[1:]) for name, values in expected.items()})
    for k, (name, values) in enumerate((measured or {}).items()):
        colour = SERIES[list(expected).index(name) % len(SERIES)] if name in expected else SERIES[k % len(SERIES)]
        ax.plot(np.arange(1, len(values)), values[1:], MARKERS[k % len(MARKERS)], color=colour, markersize=5)
    longest = max((len(values) for values in expected.values()), default=2)
    ax.set(xlabel="pixels apart", ylabel="correlation", xticks=range(1, longest))
    return ax


@house_style
def plot_star_errors(errors: Mapping[str, AnyArray], *, limit: float = 10.0, figure: Figure | None = None) -> tuple[Axes, ...]:
    """Draw what kernels do to a star: resampled less true, a panel a kernel, all with the same colours.

    Parameters
    ----------
    errors : mapping of str to ndarray, shape (ny, nx)
        Name to the error, in percent of the star's peak.
    limit : float
        Last colour, percent.
    figure : matplotlib.figure.Figure, optional
        Where to draw; default: a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> len(plot_star_errors({"linear": np.eye(3), "poly3": np.eye(3)}))
    2
    """
    n = len(errors)
    if not n:
        raise ValueError("no star is given")
    figure = new_figure(7.5, 1.0 + 6.0 / max(n, 3)) if figure is None else figure
    panels = tuple(np.atleast_1d(figure.subplots(1, n, sharey=True)))
    for axes, (name, image) in zip(panels, errors.items(), strict=True):
        half_y, half_x = (side / 2 for side in image.shape)
        shown = axes.imshow(
            image,
            origin="lower",
            extent=(-half_x, half_x, -half_y, half_y),
            cmap=blank_aware(DIVERGING_MAP),
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
        axes.set(title=f"{plain_label(name)}\n{np.abs(image).max():.1f} %", xlabel="x [pix]")
    panels[0].set_ylabel("y [pix]")
    add_colour_bar(shown, list(panels), "error [% of the peak]", beside=False)
    return panels
