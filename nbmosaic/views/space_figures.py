"""Background planes in space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.views.axes import new_figure
from nbmosaic.views.background_figures import Boxes, box_corners
from nbmosaic.views.labels import plain_label, short_names
from nbmosaic.views.look import SERIES, house_style, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_plane_3d"]


@house_style
def plot_plane_3d(
    planes: FloatArray,
    boxes: Boxes,
    rows: Sequence[int] | AnyArray | None = None,
    *,
    names: Sequence[str] | None = None,
    origin: tuple[float, float] = (0.0, 0.0),
    ax: Any = None,
    unit: str = "",
) -> Axes:
    """Draw the planes of a few frames in space.

    Parameters
    ----------
    planes : ndarray, shape (m, 3)
        ``a, b, c`` of ``c + a * (x - x0) + b * (y - y0)``.
    boxes : sequence of PixelBox, or ndarray of int, shape (m, 4)
        Place of the same frames on the mosaic grid.
    rows : sequence of int, optional
        Frames to draw; default: the first six.
    names : sequence of str, optional
        Names of all m frames.
    origin : tuple of float
        ``x0, y0`` in grid pixels.
    ax : mpl_toolkits.mplot3d.axes3d.Axes3D, optional
        Where to draw; default: a new figure.
    unit : str
        Unit of the frames.

    Returns
    -------
    matplotlib.axes.Axes
        Three-dimensional axes.
    """
    corners = box_corners(boxes)
    chosen = list(range(min(len(planes), 6))) if rows is None else [int(r) for r in rows]
    if ax is None:
        ax = new_figure(7.5, 5.6).add_subplot(projection="3d")
    texts = short_names(names) if names is not None else [str(i) for i in range(len(planes))]
    for k, row in enumerate(chosen):
        y0, y1, x0, x1 = corners[row] - 0.5
        x, y = np.meshgrid([x0, x1], [y0, y1])
        a, b, c = planes[row]
        colour = SERIES[k % len(SERIES)]
        z = c + a * (x - origin[0]) + b * (y - origin[1])
        ax.plot_surface(x, y, z, color=colour, alpha=0.45, edgecolor=colour, linewidth=0.8, shade=False)
        ax.text(x.mean(), y.mean(), z.mean(), plain_label(texts[row]), color="#222222", ha="center", fontsize=8)
    ax.set(xlabel="x [pix]", ylabel="y [pix]", zlabel=with_unit("background", unit))
    ax.set_box_aspect(None, zoom=0.88)
    return ax
