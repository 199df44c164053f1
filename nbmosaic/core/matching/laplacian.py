"""The normal equations of background matching: a block graph Laplacian over the frames, in canonical order, and its factorisation.

Inside, frames are numbered by their rank among the caller's `keys`, pairs are turned so that the lower rank comes first and sorted. Every sum is then
taken in the same order whatever the order of the table, and results agree to the bit.

Each frame has its own basis ``(1, (x - cx) / h, (y - cy) / h)`` about the centre of its box, with half its longer side h: all unknowns have the
unit of the data and similar size, which keeps the equations well conditioned wherever the frame lies on the grid. A pair has its plane and its moments
about the mean position of its pixels, where level and slopes are independent; a 3 x 3 transfer matrix T carries a frame's basis there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.types.matching import OverlapFlag, OverlapPlanes

__all__ = ["Factor", "FrameBasis", "PairSystem", "connected_components", "laplacian_blocks", "pair_system", "rank_frames", "sum_over_pairs"]

_DENSE = 400
"""Unknowns up to which a dense solution is used: 10 ms, while importing scipy.sparse.linalg costs 0.3 s."""
_FLOOR = 1e-8
"""Smallest variance of an overlap's pixels across its thin direction, in units of (half frame side)^2: 0.01 px^2 for 2000-pixel frames. Thinner
overlaps (a single row) say nothing about that slope; the floor asks, very weakly, for equal slopes there."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FrameBasis:
    """Centres and half sizes of the frames, canonical order.

    Attributes
    ----------
    cx, cy, half : ndarray of float64, shape (m,)
        Centre (grid pixels) and half of the longer side of each frame's box.
    """

    cx: FloatArray
    cy: FloatArray
    half: FloatArray

    @classmethod
    def of_boxes(cls, boxes: IntArray) -> FrameBasis:
        """Basis of boxes ``ymin, ymax, xmin, xmax``."""
        y0, y1, x0, x1 = np.asarray(boxes, float).reshape(-1, 4).T
        return cls(cx=(x0 + x1 - 1) / 2, cy=(y0 + y1 - 1) / 2, half=np.maximum(np.maximum(x1 - x0, y1 - y0) / 2, 1.0))

    def transfer(self, frame: IntArray, x: FloatArray, y: FloatArray, n_terms: int) -> FloatArray:
        """Matrices (..., k, k) that turn a frame's coefficients into (value at x, y; slope in x; slope in y)."""
        out = np.zeros((*np.shape(frame), n_terms, n_terms))
        out[..., 0, 0] = 1.0
        if n_terms == 3:
            half = self.half[frame]
            out[..., 0, 1] = (x - self.cx[frame]) / half
            out[..., 0, 2] = (y - self.cy[frame]) / half
            out[..., 1, 1] = out[..., 2, 2] = 1.0 / half
        return out


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PairSystem:
    """All pairs in canonical order; arrays have one row a pair.

    Attributes
    ----------
    i, j : ndarray of int64
        Canonical frame numbers, ``i < j``.
    row : ndarray of int64
        Row of the overlap table.
    d : ndarray of float64, shape (n, k)
        Plane of i - j at the mean position: level, slopes (k = 3), or the level alone (k = 1).
    moments : ndarray of float64, shape (n, k, k)
        Second moments of ``(1, x - xmean, y - ymean)``, with the floor on thin directions.
    t_i, t_j : ndarray of float64, shape (n, k, k)
        Transfer matrices.
    used : ndarray of bool
        Pairs that take part in the solution.
    n_pixels, n_valid, noise_power : ndarray of float64
        Of the overlap table.
    weak : ndarray of int64, shape (w,)
        Pairs (positions here) with a thin direction.
    floor : ndarray of float64, shape (w, k, k)
        The part of their moments that is the floor.
    """

    i: IntArray
    j: IntArray
    row: IntArray
    d: FloatArray
    moments: FloatArray
    t_i: FloatArray
    t_j: FloatArray
    used: BoolArray
    n_pixels: FloatArray
    n_valid: FloatArray
    noise_power: FloatArray
    weak: IntArray
    floor: FloatArray

    @property
    def n_terms(self) -> int:
        """Unknowns per frame: 3 or 1."""
        return self.d.shape[1]


def rank_frames(n_frames: int, keys: Sequence[Any] | None) -> IntArray:
    """Canonical number of each frame: its rank among the keys (ties keep the order given)."""
    order = np.arange(n_frames) if keys is None else np.array(sorted(range(n_frames), key=keys.__getitem__), dtype=np.int64)
    rank = np.empty(n_frames, np.int64)
    rank[order] = np.arange(n_frames)
    return rank


def pair_system(planes: OverlapPlanes, rank: IntArray, basis: FrameBasis, used: BoolArray, *, slope: bool) -> PairSystem:
    """Bring the overlap table into canonical order and orientation.

    Parameters
    ----------
    planes : OverlapPlanes
        The overlaps.
    rank : ndarray of int64
        Canonical number of each frame.
    basis : FrameBasis
        Bases, canonical order.
    used : ndarray of bool
        Rows of `planes` that take part.
    slope : bool
        Planes or levels.
    """
    first, second = rank[planes.plus], rank[planes.minus]
    sign = np.where(first < second, 1.0, -1.0)
    i, j = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((planes.level * sign, planes.n_pixels, j, i))
    p, sign, i, j = planes.take(order), sign[order], i[order], j[order]
    ok = used[order]
    k = 3 if slope else 1

    def clean(column: FloatArray) -> FloatArray:
        return np.where(ok & np.isfinite(column), column, 0.0)

    d = np.zeros((len(i), k))
    d[:, 0] = clean(p.level * sign)
    moments = np.zeros((len(i), k, k))
    moments[:, 0, 0] = clean(p.n_pixels)
    weak, floor = np.zeros(0, np.int64), np.zeros((0, k, k))
    if slope:
        d[:, 1], d[:, 2] = clean(p.slope_x * sign), clean(p.slope_y * sign)
        half = np.minimum(basis.half[i], basis.half[j])
        weak, floor = _second_moments(p, clean, half, moments)
    t_i, t_j = (basis.transfer(f, clean(p.xmean), clean(p.ymean), k) for f in (i, j))
    return PairSystem(
        i=i,
        j=j,
        row=order,
        d=d,
        moments=moments,
        t_i=t_i,
        t_j=t_j,
        used=ok,
        n_pixels=clean(p.n_pixels),
        n_valid=clean(np.where(p.flag & int(OverlapFlag.FROM_BOX), p.n_pixels, p.n_valid)),  # a box knows of no clipping
        noise_power=_usable_noise(p, ok),
        weak=weak,
        floor=floor,
    )


def _second_moments(p: OverlapPlanes, clean: Any, half: FloatArray, moments: FloatArray) -> tuple[IntArray, FloatArray]:
    """Fill the slope part of the moments; thin directions are raised to the floor. Returns the pairs that have one, and what was added."""
    sxx, sxy, syy, n = clean(p.sxx), clean(p.sxy), clean(p.syy), moments[:, 0, 0]
    floor = _FLOOR * n * half**2
    spread = np.hypot(sxx - syy, 2 * sxy)
    low = (sxx * syy - sxy**2) / np.maximum((sxx + syy + spread) / 2, 1e-300)
    degenerate = (p.flag & OverlapFlag.DEGENERATE) != 0
    weak = np.flatnonzero(((low < floor) | degenerate) & (n > 0))
    added = np.zeros((len(weak), 3, 3))
    if len(weak):
        before = np.stack([sxx[weak], sxy[weak], sxy[weak], syy[weak]], axis=-1).reshape(-1, 2, 2)
        value, vector = np.linalg.eigh(before)
        # a degenerate fit has no slope across its line: the floor replaces, not joins, what little moment there is
        value[:, 0] = np.where(degenerate[weak], 0.0, value[:, 0])
        raised = np.maximum(value, floor[weak, None])
        full = (vector * raised[:, None, :]) @ vector.transpose(0, 2, 1)
        added[:, 1:, 1:] = (vector * np.where(raised > value, raised, 0.0)[:, None, :]) @ vector.transpose(0, 2, 1)
        sxx[weak], sxy[weak], syy[weak] = full[:, 0, 0], full[:, 0, 1], full[:, 1, 1]
    moments[:, 1, 1], moments[:, 2, 2] = sxx, syy
    moments[:, 1, 2] = moments[:, 2, 1] = sxy
    return weak, added


def _usable_noise(p: OverlapPlanes, ok: BoolArray) -> FloatArray:
    """Noise power of every pair that is used; where it is not known, the pixel-weighted mean of the others (1 if none is)."""
    good = ok & np.isfinite(p.noise_power) & (p.noise_power > 0)
    weight = np.where(good, p.n_pixels, 0.0)
    mean = float(weight @ np.where(good, p.noise_power, 0.0) / weight.sum()) if weight.sum() > 0 else 1.0
    return np.where(good, p.noise_power, mean)


def connected_components(n_frames: int, i: IntArray, j: IntArray) -> IntArray:
    """Group number of each frame: 0 for the group with most frames, then by size; equal sizes by their lowest frame."""
    if len(i) > 2000:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components as label_graph

        label = label_graph(coo_array((np.ones(len(i)), (i, j)), shape=(n_frames, n_frames)), directed=False)[1]
    else:
        parent = list(range(n_frames))

        def root(f: int) -> int:
            while parent[f] != f:
                parent[f] = parent[parent[f]]
                f = parent[f]
            return f

        for a, b in zip(i.tolist(), j.tolist(), strict=True):
            ra, rb = root(a), root(b)
            parent[max(ra, rb)] = min(ra, rb)
        label = np.array([root(f) for f in range(n_frames)], dtype=np.int64)
    _, lowest, number, size = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(size), np.int64)
    place[np.lexsort((lowest, -size))] = np.arange(len(size))
    out: IntArray = place[number]
    return out


def sum_over_pairs(frame: IntArray, values: FloatArray, n_frames: int) -> FloatArray:
    """Sum of `values` (n, ...) over the pairs of each frame, in the order of the pairs."""
    flat = values.reshape(len(frame), math.prod(values.shape[1:]))
    out: FloatArray = np.stack([np.bincount(frame, weights=flat[:, q], minlength=n_frames) for q in range(flat.shape[1])], axis=1)
    return out.reshape(n_frames, *values.shape[1:])


def laplacian_blocks(system: PairSystem, weight: FloatArray, n_frames: int) -> tuple[FloatArray, FloatArray]:
    """Diagonal blocks (m, k, k) and pair blocks (n, k, k) of ``sum_k w_k (T_i p_i - T_j p_j)^T M_k (T_i p_i - T_j p_j)``."""
    wm = system.moments * weight[:, None, None]
    ti, tj = system.t_i.transpose(0, 2, 1), system.t_j.transpose(0, 2, 1)
    mi, mj = wm @ system.t_i, wm @ system.t_j
    diagonal = sum_over_pairs(system.i, ti @ mi, n_frames) + sum_over_pairs(system.j, tj @ mj, n_frames)
    return diagonal, -(ti @ mj)


def _elimination_order(n_frames: int, i: IntArray, j: IntArray) -> IntArray:
    """Frames in minimum-degree order of the graph of overlaps.

    The order is taken from the factorisation of a small matrix with one row a frame (scipy offers no other way to it): against minimum degree on the
    3 x 3 blocks this saves a quarter of the fill-in and 40 % of the time at 100 000 frames.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    m = np.arange(n_frames)
    degree = np.bincount(np.concatenate([i, j]), minlength=n_frames) + 1.0
    value = np.concatenate([degree, np.full(2 * len(i), -1.0)])
    rows, columns = np.concatenate([m, i, j]).astype(np.int32), np.concatenate([m, j, i]).astype(np.int32)
    graph = coo_array((value, (rows, columns)), shape=(n_frames, n_frames)).tocsc()
    order: IntArray = np.argsort(splu(graph, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}).perm_c)
    return order


class Factor:
    """Factorised block Laplacian without its fixed unknowns.

    Parameters
    ----------
    diagonal : ndarray of float64, shape (m, k, k)
        Diagonal blocks.
    i, j : ndarray of int64, shape (n,)
        Frames of the pair blocks.
    off : ndarray of float64, shape (n, k, k)
        Pair blocks (row i, column j).
    fixed : ndarray of bool, shape (m, k)
        Unknowns held at zero.
    """

    def __init__(self, diagonal: FloatArray, i: IntArray, j: IntArray, off: FloatArray, fixed: BoolArray) -> None:
        self.shape = fixed.shape
        dense = int((~fixed).sum()) <= _DENSE
        m = np.arange(fixed.shape[0])
        unknown = np.arange(fixed.size).reshape(fixed.shape)[m if dense else _elimination_order(len(m), i, j)].ravel()
        self.free = unknown[~fixed.ravel()[unknown]]
        number = np.full(fixed.size, -1, np.int64)
        number[self.free] = np.arange(len(self.free))
        k = fixed.shape[1]
        ids = number.reshape(fixed.shape)
        rows, columns, values = [], [], []
        for r, c, block in ((m, m, diagonal), (i, j, off), (j, i, off.transpose(0, 2, 1))):
            rows.append(np.broadcast_to(ids[r][:, :, None], (len(r), k, k)).ravel())
            columns.append(np.broadcast_to(ids[c][:, None, :], (len(c), k, k)).ravel())
            values.append(block.ravel())
        row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
        if len(self.free) < fixed.size:
            keep = (row >= 0) & (column >= 0)
            row, column, value = row[keep], column[keep], value[keep]
        n = len(self.free)
        self._lu: Any = None
        self.matrix: Any = None
        if dense:
            self.matrix = np.bincount(row * n + column, weights=value, minlength=n * n).reshape(n, n)
        else:
            from scipy.sparse import coo_array
            from scipy.sparse.linalg import splu

            self.matrix = coo_array((value, (row.astype(np.int32), column.astype(np.int32))), shape=(n, n)).tocsc()
            # positive definite and symmetric: no pivoting
            self._lu = splu(self.matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})

    @property
    def size(self) -> int:
        """Number of free unknowns."""
        return len(self.free)

    def solve_free(self, rhs: FloatArray) -> FloatArray:
        """Solve for the free unknowns; `rhs` is (size,) or (size, q)."""
        if not self.size:
            return np.zeros_like(rhs)
        solved: FloatArray = np.linalg.solve(self.matrix, rhs) if self._lu is None else self._lu.solve(np.ascontiguousarray(rhs))
        return solved

    def solve(self, rhs: FloatArray) -> FloatArray:
        """Solution (m, k) for the right-hand side (m, k), with one step of iterative refinement; fixed unknowns are zero."""
        g = rhs.ravel()[self.free]
        x = self.solve_free(g)
        if self.size:
            x = x + self.solve_free(g - self.matrix @ x)
        out = np.zeros(rhs.size)
        out[self.free] = x
        return out.reshape(self.shape)
