"""Parts of a frame that are kept or left out before it is resampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbmosaic._types import BoolArray, Float32Array, FloatArray
from nbmosaic.errors import InputError
from nbmosaic.types.box import PixelBox

__all__ = ["edge_mask", "polygon_mask", "spread_pixels"]


def edge_mask(shape: tuple[int, int], width: int) -> BoolArray:
    """True for the pixels within `width` of an edge.

    Examples
    --------
    >>> edge_mask((3, 3), 1).sum()
    np.int64(8)
    """
    mask = np.ones(shape, bool)
    mask[width : max(shape[0] - width, width), width : max(shape[1] - width, width)] = False
    return mask


def polygon_mask(shape: tuple[int, int], vertices: Sequence[tuple[float, float]]) -> BoolArray:
    """True for the pixels whose centre is outside of a polygon.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    vertices : sequence of tuple
        Vertices ``(x, y)`` in 0-based pixels, at least 3; centres are told by the even-odd rule.

    Raises
    ------
    InputError
        Fewer than 3 vertices.

    Examples
    --------
    >>> (~polygon_mask((4, 4), [(-0.5, -0.5), (1.5, -0.5), (1.5, 3.5), (-0.5, 3.5)])).sum(axis=1).tolist()
    [2, 2, 2, 2]
    """
    if len(vertices) < 3:
        raise InputError(f"a polygon needs 3 vertices, not {len(vertices)}")
    inside = np.zeros(shape, bool)
    columns = np.arange(shape[1], dtype=float)
    points: FloatArray = np.array(vertices, float)
    for row in range(shape[0]):
        for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if (y1 > row) != (y2 > row):
                inside[row] ^= columns < x1 + (row - y1) * (x2 - x1) / (y2 - y1)
    return ~inside


def spread_pixels(
    data: Float32Array, mask: BoolArray, shrink: float, box: PixelBox
) -> tuple[Float32Array, BoolArray, FloatArray, FloatArray]:
    """A frame of shrunken pixels with gaps between them, for drizzling.

    Parameters
    ----------
    data, mask : ndarray, shape (ny, nx)
        The frame; True is bad.
    shrink : float
        Side of a shrunken pixel in pixels, above 0 and below 1.
    box : PixelBox
        Pixels of the frame to take.

    Returns
    -------
    data, mask : ndarray, shape (2 my - 1, 2 mx - 1)
        Pixels and, masked, the gaps.
    y, x : ndarray of float64, shape (2 my,), (2 mx,)
        Rows and columns of the corners in pixels of the frame.

    Examples
    --------
    >>> import numpy as np
    >>> spread = spread_pixels(np.ones((1, 2), np.float32), np.zeros((1, 2), bool), 0.5, PixelBox(0, 1, 0, 2))
    >>> spread[1].tolist(), spread[3].tolist()
    ([[False, True, False]], [-0.25, 0.25, 0.75, 1.25])
    """
    if not 0 < shrink < 1:
        raise InputError(f"shrink is {shrink}, expected a number between 0 and 1")
    ny, nx = box.shape
    wide = np.zeros((2 * ny - 1, 2 * nx - 1), np.float32)
    bad = np.ones(wide.shape, bool)
    wide[::2, ::2], bad[::2, ::2] = data[box.slices()], mask[box.slices()]
    y, x = (
        (np.arange(first, first + n)[:, np.newaxis] + np.array([-0.5, 0.5]) * shrink).ravel()
        for first, n in ((box.ymin, ny), (box.xmin, nx))
    )
    return wide, bad, y, x
