"""Labels in crowded figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.views.numbers import elide

__all__ = ["place_labels", "plain_label", "short_names"]

# Where a label may go, in heights of a line from its point, best first.
OFFSETS = ((0, 0), (0, 1.2), (0, -1.2), (0, 2.4), (0, -2.4), (3, 1.2), (-3, 1.2), (3, -1.2), (-3, -1.2), (0, 3.6), (0, -3.6))
FONT_SIZE = 7.5


def plain_label(text: str, width: int = 26) -> str:
    r"""Make text that matplotlib draws as it stands (a dollar sign starts no formula), its middle cut out if it is long.

    Examples
    --------
    >>> print(plain_label("cost in $"))
    cost in \$
    """
    return elide("".join(c if c.isprintable() else " " for c in text), width).replace("$", r"\$")


def short_names(names: Sequence[str], width: int = 16) -> list[str]:
    """Names without folders and without the start and end that all have in common, cut at digits' and words' edges.

    Examples
    --------
    >>> short_names(["raw/f_01.fits", "raw/f_02.fits", "raw/f_12.fits"])
    ['01', '02', '12']
    >>> short_names(["only.fits"])
    ['only.fits']
    """
    texts = [str(n) for n in names]
    bases = [t.replace("\\", "/").rsplit("/", 1)[-1] or t for t in texts]
    if len(set(bases)) == len(set(texts)):
        texts = bases
    if len(set(texts)) > 1:
        start = _common_start(texts)
        end = _common_start([t[::-1] for t in texts])[::-1]
        # Digits that belong to the part that differs stay with it: f_01, f_02 give 01 and 02, not 1 and 2.
        start = start.rstrip("0123456789")
        end = end.lstrip("0123456789")
        cut = [t[len(start) : len(t) - len(end)] for t in texts]
        if all(cut):
            texts = cut
    return [elide(t, width) for t in texts]


def _common_start(texts: Sequence[str]) -> str:
    """Characters with which all texts begin."""
    first, last = min(texts), max(texts)
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:n]


def place_labels(ax: Any, points: FloatArray, texts: Sequence[str], colours: Sequence[str] | str = "#222222", offset: float = 0.0) -> int:
    """Write labels at points; one that would cover another is moved, or left out where there is no room.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes whose limits are set.
    points : ndarray, shape (n, 2)
        Positions x, y in data coordinates.
    texts : sequence of str
        Labels.
    colours : sequence of str or str
        Their colours.
    offset : float
        Height above the points at which the labels should stand, in lines.

    Returns
    -------
    int
        Number of labels written.
    """
    ax.apply_aspect()
    scale = 72.0 / ax.get_figure(root=True).dpi
    pixels = ax.transData.transform(np.asarray(points, np.float64).reshape(-1, 2)) * scale
    bounds = ax.get_window_extent().bounds
    left, bottom, right, top = (b * scale for b in (bounds[0], bounds[1], bounds[0] + bounds[2], bounds[1] + bounds[3]))
    taken: list[tuple[float, float, float, float]] = []
    for i, text in enumerate(texts):
        if not np.isfinite(pixels[i]).all():
            continue
        label = plain_label(str(text))
        # Half width and half height of the text in points; 0.6 em is the mean width of a character of the default font.
        half_w, half_h = 0.3 * FONT_SIZE * len(label) + 1, 0.6 * FONT_SIZE
        for dx, dy in OFFSETS:
            x, y = pixels[i, 0] + dx * FONT_SIZE, pixels[i, 1] + (dy + offset) * FONT_SIZE
            box = (x - half_w, y - half_h, x + half_w, y + half_h)
            inside = box[0] >= left and box[1] >= bottom and box[2] <= right and box[3] <= top
            if inside and not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken):
                taken.append(box)
                colour = colours if isinstance(colours, str) else colours[i]
                ax.annotate(
                    label, points[i], (dx * FONT_SIZE, (dy + offset) * FONT_SIZE), textcoords="offset points", ha="center", va="center",
                    fontsize=FONT_SIZE, color=colour, annotation_clip=True,
                    bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "edgecolor": "none"})  # fmt: skip
                break
    return len(taken)
