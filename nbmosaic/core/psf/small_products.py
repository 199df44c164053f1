"""Products of a few long rows, block by block, on one thread.

Linear algebra libraries share out products of more than some 10 000 numbers among threads. For the rows of an image fit (6 by 100 000) that costs more than it
gains: 100 bands of a cube took 17 s of CPU in place of 6, and two processes with a fit each ran at half the speed of one. And the rounding of a sum, so the
last bits of a fit, depended on the number of threads, which workers limit and a notebook does not. Blocks below the limits of OpenBLAS stay on one thread. They
stay in the cache, too: the product of rows with each other takes a third of the time. The blocks are added up in double precision.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import FloatArray

__all__ = ["dot", "rows_by_rows", "rows_by_vector"]

_LONGEST = 8192
"""Columns of a block: OpenBLAS starts threads for dot products of more than 10 000 numbers."""
_PRODUCTS = 200_000
"""Multiplications of a block of a matrix product: threads start at 262 144."""


def dot(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Dot product of two vectors.

    Parameters
    ----------
    left, right : ndarray, shape (n,)

    Returns
    -------
    float

    Examples
    --------
    >>> dot(np.ones(3), np.arange(3.0))
    3.0
    """
    return sum(float(left[i : i + _LONGEST] @ right[i : i + _LONGEST]) for i in range(0, len(left), _LONGEST))


def rows_by_vector(rows: NDArray[np.floating], vector: NDArray[np.floating]) -> FloatArray:
    """Dot product of each row with a vector, in the precision of the rows within a block.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n)
    vector : ndarray, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n_rows,)

    Examples
    --------
    >>> rows_by_vector(np.eye(2, 3), np.arange(3.0))
    array([0., 1.])
    """
    out = np.zeros(len(rows))
    for i in range(0, rows.shape[1], _LONGEST):
        out += np.vecdot(rows[:, i : i + _LONGEST], vector[i : i + _LONGEST].astype(rows.dtype, copy=False))
    return out


def rows_by_rows(
    rows: NDArray[np.floating], other: NDArray[np.floating] | None = None, *, weight: NDArray[np.floating] | None = None
) -> FloatArray:
    """``R W S'`` of some rows and others, in the precision of the rows within a block.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n)
    other : ndarray, shape (n_rows, n), optional
        As many others; the rows themselves where they are not given, and the product is then exactly symmetric.
    weight : ndarray, shape (n,), optional
        Diagonal of W; 1 where it is not given.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_rows)

    Examples
    --------
    >>> rows_by_rows(np.array([[1.0, 2.0], [0.0, 1.0]]), weight=np.array([1.0, 3.0]))
    array([[13.,  6.],
           [ 6.,  3.]])
    """
    out = np.zeros((len(rows), len(rows)))
    step = min(_LONGEST, max(_PRODUCTS // max(len(rows) ** 2, 1), 1))
    for i in range(0, rows.shape[1], step):
        part, right = rows[:, i : i + step], (rows if other is None else other)[:, i : i + step]
        # an array of its own: the product of an array with its own transpose goes another way, which takes three times as long for so few rows
        left = part.copy() if weight is None else part * weight[i : i + step].astype(rows.dtype, copy=False)
        out += left @ right.T
    return 0.5 * (out + out.T) if other is None else out
