"""Which frames overlap, followed pixel by pixel along their borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.core.geometry.j2000 import j2000_to_pixel, pixel_to_j2000
from nbmosaic.core.geometry.sky_regions import overlapping_pairs

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["frames_overlap"]

_GROWN = 1.05  # sides of frames bulge from the great circles between their corners by less than this


def frames_overlap(frames: Sequence[WCS], shapes: Sequence[tuple[int, int]], quads: FloatArray) -> IntArray:
    """Pairs of frames of which one has a border point on the other, or lies inside it.

    Parameters
    ----------
    frames : sequence of WCS
        Celestial.
    shapes : sequence of (ny, nx)
        Their sizes.
    quads : ndarray, shape (n, 4, 3)
        Unit vectors of their corners.

    Returns
    -------
    ndarray of int64, shape (m, 2)
        ``i < j``, sorted.
    """
    centre = quads.mean(axis=1, keepdims=True)
    grown = centre + _GROWN * (quads - centre)
    grown /= np.sqrt((grown**2).sum(axis=2, keepdims=True))
    borders: dict[int, tuple[FloatArray, FloatArray]] = {}
    kept = [
        pair for pair in overlapping_pairs(grown).tolist() if any(_reaches(frames, shapes, i, j, borders) for i, j in (pair, pair[::-1]))
    ]
    return np.array(kept, np.int64).reshape(-1, 2)


def _reaches(
    frames: Sequence[WCS], shapes: Sequence[tuple[int, int]], i: int, j: int, borders: dict[int, tuple[FloatArray, FloatArray]]
) -> bool:
    """Whether a border point of frame `i` is on frame `j`."""
    if i not in borders:
        ny, nx = shapes[i]
        columns, rows = np.arange(nx + 1) - 0.5, np.arange(ny + 1) - 0.5
        x = np.concatenate([columns, columns, np.full(ny + 1, -0.5), np.full(ny + 1, nx - 0.5)])
        y = np.concatenate([np.full(nx + 1, -0.5), np.full(nx + 1, ny - 0.5), rows, rows])
        borders[i] = pixel_to_j2000(frames[i], x, y, shapes[i])
    ny, nx = shapes[j]
    x, y = j2000_to_pixel(frames[j], *borders[i], shapes[j])
    return bool(((x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)).any())
