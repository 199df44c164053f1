"""Which frames overlap: pairs of boxes that share a pixel."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import IntArray
from nbmosaic.errors import ShapeError

__all__ = ["find_pairs"]

_CHUNK = 4_000_000
"""Candidates that are tested at once: 32 MB for each of the index arrays."""


def find_pairs(boxes: IntArray) -> IntArray:
    """Pairs of boxes that intersect, by strips and a sweep along x.

    The rows are cut into strips as high as the mean box, every box is entered in the strips that it touches, and each strip is swept along x.
    A pair is reported by the one strip that holds its first common row, so no pair comes twice. The work grows with the number of boxes and of pairs.

    Parameters
    ----------
    boxes : ndarray of int64, shape (m, 4)
        ``ymin, ymax, xmin, xmax`` (half-open). Empty boxes intersect nothing.

    Returns
    -------
    ndarray of int64, shape (n, 2)
        Indices ``i < j``, sorted.

    Raises
    ------
    ShapeError
        If `boxes` is not (m, 4).

    Examples
    --------
    >>> import numpy as np
    >>> find_pairs(np.array([[0, 10, 0, 10], [5, 15, 5, 15], [20, 30, 0, 10], [9, 21, 0, 2]])).tolist()
    [[0, 1], [0, 3], [2, 3]]
    """
    boxes = np.asarray(boxes, dtype=np.int64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(f"boxes have shape {boxes.shape}, expected (m, 4)")
    ymin, ymax, xmin, xmax = boxes.T
    used = np.flatnonzero((ymax > ymin) & (xmax > xmin))
    if len(used) < 2:
        return np.zeros((0, 2), np.int64)
    low = ymin[used].min()
    height = max(1, int(np.ceil((ymax[used] - ymin[used]).mean())))
    first = (ymin[used] - low) // height
    number = (ymax[used] - 1 - low) // height - first + 1
    box = np.repeat(used, number)
    strip = np.repeat(first, number) + _ramp(number)
    # one sorted key for (strip, xmin): the boxes that begin before another ends follow it in a run
    left = xmin[box] - xmin[used].min()
    width = int(xmax[used].max() - xmin[used].min()) + 1
    key = strip * width + left
    order = np.lexsort((box, key))
    box, strip, key = box[order], strip[order], key[order]
    stop = np.searchsorted(key, strip * width + (xmax[box] - xmin[used].min()), side="left")
    run = stop - np.arange(len(box)) - 1
    parts = []
    edges = np.searchsorted(np.cumsum(run), np.arange(_CHUNK, int(run.sum()) + _CHUNK, _CHUNK))
    start = 0
    for edge in edges:
        end = max(start, min(int(edge) + 1, len(box)))
        i = np.repeat(np.arange(start, end), run[start:end])
        j = i + 1 + _ramp(run[start:end])
        a, b = box[i], box[j]
        common = (ymin[a] < ymax[b]) & (ymin[b] < ymax[a]) & ((np.maximum(ymin[a], ymin[b]) - low) // height == strip[i])
        parts.append(np.stack([np.minimum(a[common], b[common]), np.maximum(a[common], b[common])], axis=1))
        start = end
    pairs = np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _ramp(counts: IntArray) -> IntArray:
    """0, 1, ... restarting for each count."""
    total = int(counts.sum())
    return np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
