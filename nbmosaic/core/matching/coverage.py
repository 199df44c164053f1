"""Which set of frames covers which part of the mosaic, sampled on a coarse lattice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray, IntArray
from nbmosaic.errors import ShapeError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.matching import CoverageCells

__all__ = ["coverage_cells"]

_BAND_SAMPLES = 4_000_000
"""Lattice samples that are looked at together: about 100 MB of work space."""


def coverage_cells(masks: Sequence[BoolArray], boxes: Sequence[PixelBox], step: int) -> CoverageCells:
    """Regions that three or more frames cover, one for each exact set of frames.

    Every sample of the common lattice gets the number of its frames and the sum of their random 64-bit keys, modulo 2^64: equal sets have equal sums, and
    different sets equal sums with a chance of 1e-19 each. So no lattice times frames cube exists, and members are looked up once for each region. Rows of the
    lattice are taken in bands.

    Parameters
    ----------
    masks : sequence of ndarray of bool
        Validity of each frame (True: valid) at the pixels whose grid row and column are multiples of `step`.
    boxes : sequence of PixelBox
        Boxes of the masks on the lattice (in units of `step`).
    step : int
        Grid pixels between samples.

    Returns
    -------
    CoverageCells
        Members and moments in grid pixels; each sample stands for ``step**2`` pixels around it. Regions much smaller than that may be missed.

    Raises
    ------
    ShapeError
        If a mask does not have the shape of its box.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.types.box import PixelBox
    >>> cells = coverage_cells([np.ones((4, 4), bool)] * 3, [PixelBox(0, 4, k, k + 4) for k in range(3)], 8)
    >>> cells.members, cells.moments[0, :3].tolist()
    (((0, 1, 2),), [512.0, 20.0, 12.0])
    """
    frames = [f for f in range(len(boxes)) if not boxes[f].empty]
    for f in frames:
        if masks[f].shape != boxes[f].shape:
            raise ShapeError(f"mask {f} has shape {masks[f].shape}, its box {boxes[f].shape}")
    if len(frames) < 3:
        return CoverageCells()
    keys = _frame_keys(len(boxes))
    x0, x1 = min(boxes[f].xmin for f in frames), max(boxes[f].xmax for f in frames)
    y0, y1 = min(boxes[f].ymin for f in frames), max(boxes[f].ymax for f in frames)
    rows = max(1, _BAND_SAMPLES // (x1 - x0))
    sums: dict[int, FloatArray] = {}
    members: dict[int, tuple[int, ...]] = {}
    frames.sort(key=lambda f: boxes[f].ymin)
    for low, here in _frames_of_bands(frames, boxes, y0, rows):
        # only as wide as its frames: two fields far apart on one grid would make a lattice of a billion samples
        left, right = min(boxes[f].xmin for f in here), max(boxes[f].xmax for f in here)
        _add_band(PixelBox(low, min(low + rows, y1), left, right), here, masks, boxes, keys, sums, members, (x0, y0))
    order = sorted(sums, key=lambda h: members[h])
    moments = np.array([_moments(sums[h], step, (x0, y0)) for h in order]).reshape(len(order), 6)
    return CoverageCells(members=tuple(members[h] for h in order), moments=moments)


def _frames_of_bands(frames: Sequence[int], boxes: Sequence[PixelBox], y0: int, rows: int) -> list[tuple[int, list[int]]]:
    """First row and frames of every band of `rows` rows from `y0` that three frames or more reach into."""
    bands: dict[int, list[int]] = {}
    for f in frames:
        for number in range((boxes[f].ymin - y0) // rows, (boxes[f].ymax - 1 - y0) // rows + 1):
            bands.setdefault(number, []).append(f)
    return [(y0 + number * rows, here) for number, here in sorted(bands.items()) if len(here) > 2]


def _frame_keys(n: int) -> AnyArray:
    """A 64-bit key per frame (splitmix64 of the index: the same in every run)."""
    with np.errstate(over="ignore"):
        z = (np.arange(n, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _add_band(
    band: PixelBox,
    frames: list[int],
    masks: Sequence[BoolArray],
    boxes: Sequence[PixelBox],
    keys: AnyArray,
    sums: dict[int, FloatArray],
    members: dict[int, tuple[int, ...]],
    corner: tuple[int, int],
) -> None:
    """Add the samples of one band to the sums of their regions, and resolve the members of new regions."""
    depth = np.zeros(band.shape, np.int32)
    total = np.zeros(band.shape, np.uint64)
    for f in frames:
        part = boxes[f].intersection(band)
        valid = masks[f][part.slices(boxes[f])]
        depth[part.slices(band)] += valid
        total[part.slices(band)] += valid * keys[f]
    y, x = np.nonzero(depth >= 3)
    if not len(y):
        return
    hashes, first, number = np.unique(total[y, x], return_index=True, return_inverse=True)
    fx, fy = (x + (band.xmin - corner[0])).astype(float), (y + (band.ymin - corner[1])).astype(float)
    columns = [np.bincount(number, weights=w) for w in (np.ones(len(y)), fx, fy, fx * fx, fx * fy, fy * fy)]
    new = [q for q, h in enumerate(hashes.tolist()) if h not in sums]
    py, px = y[first[new]] + band.ymin, x[first[new]] + band.xmin
    found = _members_at(py, px, frames, masks, boxes)
    for q, group in zip(new, found, strict=True):
        members[int(hashes[q])] = group
    for q, h in enumerate(hashes.tolist()):
        add = np.array([column[q] for column in columns])
        sums[h] = sums[h] + add if h in sums else add


def _members_at(
    y: IntArray, x: IntArray, frames: list[int], masks: Sequence[BoolArray], boxes: Sequence[PixelBox]
) -> list[tuple[int, ...]]:
    """Frames that are valid at each of the lattice positions."""
    found: list[list[int]] = [[] for _ in range(len(y))]
    for f in sorted(frames):
        box = boxes[f]
        inside = np.flatnonzero((y >= box.ymin) & (y < box.ymax) & (x >= box.xmin) & (x < box.xmax))
        for q in inside[masks[f][y[inside] - box.ymin, x[inside] - box.xmin]].tolist():
            found[q].append(f)
    return [tuple(group) for group in found]


def _moments(s: FloatArray, step: int, corner: tuple[int, int]) -> FloatArray:
    """``n, xmean, ymean, sxx, sxy, syy`` in grid pixels, with the spread of the pixels inside a lattice cell."""
    n, sx, sy, sxx, sxy, syy = s
    xm, ym = sx / n, sy / n
    inside = n * step**2 * (step**2 - 1) / 12
    scale = float(step) ** 4  # step^2 pixels a sample, and coordinates squared
    return np.array(
        [
            n * step**2,
            (xm + corner[0]) * step,
            (ym + corner[1]) * step,
            (sxx - sx * xm) * scale + inside,
            (sxy - sx * ym) * scale,
            (syy - sy * ym) * scale + inside,
        ]
    )
