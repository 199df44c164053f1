"""Pieces merged one by one into the image of an exposure, by the rules of `nbmosaic.core.camera_combine`, without keeping them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbmosaic._types import AnyArray, Float32Array, IntArray
from nbmosaic.core.camera_combine import MASK_BITS
from nbmosaic.core.camera_combine_kernels import finish_canvas, merge_rows

__all__ = ["DEEPEST", "CanvasRows", "finish_rows", "merge_piece", "warmup"]

DEEPEST = 31
"""Values that may be merged at one pixel."""

_NONE = np.zeros((1, 1), np.float32)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CanvasRows:
    """Whole rows of an unfinished image; 0 everywhere at first.

    Attributes
    ----------
    data : ndarray of float32
        Means of the values so far.
    state : ndarray of uint8
        What they are made of; the mask, once the rows are finished.
    variance, weight : ndarray of float32, optional
        Variances of the means, and sums of weights.
    """

    data: Float32Array
    state: AnyArray
    variance: Float32Array | None = None
    weight: Float32Array | None = None


def merge_piece(
    rows: CanvasRows,
    column: int,
    data: Float32Array,
    flags: AnyArray,
    *,
    variance: Float32Array | None = None,
    weight: Float32Array | None = None,
    prefer_clean: bool = True,
) -> tuple[int, int]:
    """Merge a piece into the rows that it covers.

    Parameters
    ----------
    rows : CanvasRows
        As many rows as the piece has; changed.
    column : int
        Column of `rows` that the first of the piece belongs to.
    data : ndarray of float32, shape (ny, nx)
        Values, NaN where there is none.
    flags : ndarray of uint8, shape (ny, nx)
        Bits ``bad`` and ``edge`` of `nbmosaic.core.camera_combine.MASK_BITS`.
    variance, weight : ndarray of float32, optional
        Its variances and weights.
    prefer_clean : bool
        Rule ``clean``, and not ``mean``.

    Returns
    -------
    tuple of int
        Values of the piece, and those among them that are flagged as bad.

    Examples
    --------
    >>> rows = CanvasRows(data=np.zeros((1, 3), np.float32), state=np.zeros((1, 3), np.uint8))
    >>> for value, flag in ((2.0, 1), (5.0, 0), (7.0, 0)):
    ...     _ = merge_piece(rows, 1, np.array([[value]], np.float32), np.array([[flag]], np.uint8))
    >>> finish_rows(rows, np.array([[0, 2]])), rows.data.tolist(), rows.state.tolist()
    ((1, {4: 1, 8: 1}), [[nan, 6.0, nan]], [[4, 0, 8]])
    """
    with_noise = rows.variance is not None and variance is not None
    noise, spread = (variance, rows.variance) if with_noise else (_NONE, _NONE)
    found = merge_rows(data, flags, noise, int(with_noise), column, rows.data, spread, rows.state, int(prefer_clean))
    if rows.weight is not None and weight is not None:
        rows.weight[:, column : column + data.shape[1]] += np.where(np.isfinite(data), weight, np.float32(0))
    return int(found[0]), int(found[1])


def finish_rows(rows: CanvasRows, limits: IntArray, *, blank: float = np.nan) -> tuple[int, dict[int, int]]:
    """Finish rows that all pieces were merged into.

    Parameters
    ----------
    rows : CanvasRows
        Changed: `state` becomes the mask, with the bits of `nbmosaic.core.camera_combine.MASK_BITS`.
    limits : ndarray of int64, shape (rows, 2)
        See `nbmosaic.core.camera_combine.hull_limits`.
    blank : float
        Value of pixels without one.

    Returns
    -------
    int
        Pixels with a value.
    dict of int to int
        Number of pixels with each mask but 0.
    """
    counts = np.zeros(2 * max(MASK_BITS.values()), np.int64)
    spread = _NONE if rows.variance is None else rows.variance
    filled = finish_canvas(rows.data, spread, int(rows.variance is not None), rows.state, limits, blank, counts)
    return int(filled), {int(mask): int(counts[mask]) for mask in np.flatnonzero(counts)}


def warmup() -> None:
    """Compile the kernels.

    Examples
    --------
    >>> warmup()
    """
    for variance in (None, np.ones((1, 2), np.float32)):
        rows = CanvasRows(data=np.zeros((1, 2), np.float32), state=np.zeros((1, 2), np.uint8), variance=variance)
        merge_piece(rows, 0, np.ones((1, 1), np.float32), np.zeros((1, 1), np.uint8), variance=variance)
        finish_rows(rows, np.zeros((1, 2), np.int64))
