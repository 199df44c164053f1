"""Pictures of mosaic exposures: what their masks say, and how far a fitted map is off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.views.axes import fit_aspect, new_figure
from nbmosaic.views.labels import plain_label
from nbmosaic.views.look import SERIES, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MASK_NAMES", "alt_text_mask", "plot_map_errors", "plot_mask_bits"]

MASK_NAMES = {0: "good", 8: "outside", 4: "gap", 2: "edge", 1: "bad"}
"""Bits of the mask of a mosaic exposure. A dead pixel without a value is bad and a gap: it is drawn as bad."""

_COLOURS = ("#ffffff", "#a9b7c4", "#56b4e9", "#e69f00", "#d55e00")


def alt_text_mask(mask: AnyArray, *, names: Mapping[int, str] = MASK_NAMES) -> str:
    """Describe a mask of bits: its size, and the share of the pixels that have each bit.

    Examples
    --------
    >>> alt_text_mask(np.array([[0, 1], [4, 4]]))
    'mask 2 x 2 px: good 25.0 %, gap 50.0 %, bad 25.0 %'
    """
    values = np.asarray(mask)
    shares = {name: float(np.mean(values == 0 if bit == 0 else (values & bit) != 0)) for bit, name in names.items()}
    return f"mask {values.shape[1]} x {values.shape[0]} px: " + ", ".join(
        f"{name} {100 * share:.1f} %" for name, share in shares.items() if share
    )


@house_style
def plot_mask_bits(mask: AnyArray, *, names: Mapping[int, str] = MASK_NAMES, max_size: int = 900, ax: Axes | None = None) -> Axes:
    """Draw a mask of bits, a colour a bit, with the share of the pixels that have it in the legend.

    Parameters
    ----------
    mask : ndarray of int, shape (ny, nx)
        Sums of bits.
    names : mapping of int to str
        Bit to its meaning; 0 is a good pixel. Where several are set the last one of this mapping is drawn.
    max_size : int
        Longest side of the picture; larger masks are thinned, keeping what is set in any pixel of a block.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> [text.get_text() for text in plot_mask_bits(np.array([[0, 1], [4, 4]])).get_legend().get_texts()]
    ['good 25.0 %', 'gap 50.0 %', 'bad 25.0 %']
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    values = np.asarray(mask)
    small = _thinned(values, max_size)
    code, share = np.zeros(small.shape, np.uint8), {}
    for place, bit in enumerate(names):
        share[bit] = float(np.mean(values == 0 if bit == 0 else (values & bit) != 0))
        if bit:
            code[(small & bit) != 0] = place
    if ax is None:
        ax = new_figure(7.5, 5.6 * min(values.shape[0] / values.shape[1], 1.3) + 0.6).add_subplot()
    ny, nx = values.shape
    colours = [_COLOURS[k % len(_COLOURS)] for k in range(len(names))]
    ax.imshow(
        code,
        origin="lower",
        extent=(-0.5, nx - 0.5, -0.5, ny - 0.5),
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(names) - 0.5,
        interpolation="nearest",
    )
    fit_aspect(ax, (ny, nx))
    patches = [
        Patch(facecolor=colours[k], edgecolor="#444444", label=f"{plain_label(name)} {100 * share[bit]:.1f} %")
        for k, (bit, name) in enumerate(names.items())
        if share[bit] > 0
    ]
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    return ax


def _thinned(mask: AnyArray, max_size: int) -> AnyArray:
    """Blocks of the mask with all bits of their pixels."""
    step = max(1, -(-max(mask.shape) // max_size))
    if step == 1:
        return mask
    starts = [np.arange(0, side, step) for side in mask.shape]
    rows: AnyArray = np.bitwise_or.reduceat(mask, starts[0], axis=0)
    out: AnyArray = np.bitwise_or.reduceat(rows, starts[1], axis=1)
    return out


@house_style
def plot_map_errors(labels: Sequence[str], errors: Mapping[str, FloatArray], *, ax: Axes | None = None) -> Axes:
    """Draw the largest errors of the maps of all pieces for several choices, on a logarithmic scale.

    Parameters
    ----------
    labels : sequence of str
        Names of the pieces.
    errors : mapping of str to ndarray, shape (n,)
        Choice to the largest error of each piece, in pixels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> plot_map_errors(["A", "B"], {"order 3": np.array([0.1, 0.2])}).get_yscale()
    'log'
    """
    ax = new_figure(7.5, 3.4).add_subplot() if ax is None else ax
    for k, (name, values) in enumerate(errors.items()):
        ax.plot(range(len(values)), values, "os^Dv*"[k % 6], color=SERIES[k % len(SERIES)], label=plain_label(name))
    ax.set(yscale="log", ylabel="largest error of the map [pix]", xticks=range(len(labels)), xlabel="piece")
    ax.set_xticklabels([plain_label(label) for label in labels])
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    return ax
