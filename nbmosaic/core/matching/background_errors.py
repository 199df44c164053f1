"""Covariance of the background planes, with correlated pixels and shared frames.

Model
-----
After projection the noise of frame f has the power ``s_f`` at zero spatial frequency, per output pixel. Planes vary over hundreds of pixels, so for them
the noise is white with that power: the variance of a weighted sum ``sum u(x) n_f(x)`` over smooth u is ``s_f sum u(x)^2``. The difference over overlap k of
frames i, j then has the power ``s_i + s_j``, which is measured (`OverlapPlanes.noise_power`).

Gradient
--------
The solution is ``p = L^-1 r`` with ``r_f = sum_k +-w_k sum_x phi_f(x) d_k(x)`` over the pixels kept of the overlaps of f, phi_f the basis ``(1, x, y)`` of the
frame. Were overlaps independent, ``Cov(r)`` would be the Laplacian again, with the weights ``w_k^2 noise_power_k``. They are not: three frames over one
pixel give three differences of three values. At a pixel covered by the set C, let ``W_ij = w_ij f_ij`` with f the part of the overlap's pixels that the
clipping kept, and ``V`` its Laplacian matrix (row sums on the diagonal, -W elsewhere). Noise of frame f enters r through ``V[:, f]``, so

    Cov(r) there  =  sum_f s_f V[:, f] V[:, f]^T  (times phi phi^T),

which contains the independent part ``sum_{i<j} W_ij^2 (s_i + s_j) (e_i - e_j)(e_i - e_j)^T``. That part is replaced by the one from the exact moments and
measured powers of the overlaps; what is left are cross terms, which exist only where three or more frames overlap, and they are summed over the regions
of `CoverageCells`. The single powers ``s_f`` come from the measured sums by non-negative least squares; wherever cross terms exist three frames overlap
pairwise, and their powers are determined.

Clipping is part of the weights only through the pixels kept; its effect on the variance is in `noise_power`. Robust weights are taken as given.
A slope prior adds the scatter of the true slopes that it assumes. ``Cov(planes) = A Cov(r) A^T`` with ``A = P L^-1`` and P the projection on the gauge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.core.matching.laplacian import Factor, FrameBasis, PairSystem, laplacian_blocks, sum_over_pairs
from nbmosaic.types.matching import CoverageCells

if TYPE_CHECKING:
    from nbmosaic.core.matching.gauge import Gauge

__all__ = ["frame_noise", "plane_covariance"]

_DENSE_INVERSE = 9000
"""Unknowns up to which the inverse is formed (3000 frames, 650 MB); beyond, columns are solved in batches."""
_BATCH_BYTES = 128_000_000
"""Memory of a batch of columns."""
_CELL_ELEMENTS = 2_000_000
"""Matrix elements of regions that are handled together."""
_UNCONSTRAINED = 0.1
"""Part of a variance from the floor on thin overlaps (see `laplacian`) above which the value counts as not constrained."""
_NOISE_RIDGE = 1e-3
"""Pull of the single noise powers to half the mean of the sums, against directions that the sums leave open (a lone pair, a chain)."""


def plane_covariance(
    system: PairSystem,
    weight: FloatArray,
    factor: Factor,
    gauge: Gauge,
    basis: FrameBasis,
    origin: tuple[float, float],
    cells: CoverageCells,
    ridge: FloatArray | None,
    slope_prior: float | None,
) -> FloatArray:
    """Covariance of ``a, b, c`` of each frame, in the chosen gauge.

    Parameters
    ----------
    system : PairSystem
        Overlaps, canonical order.
    weight : ndarray of float64, shape (n,)
        Weights of the solution.
    factor : Factor
        Factorised normal equations.
    gauge, basis, origin
        As in the solution.
    cells : CoverageCells
        Regions covered by three or more frames, canonical numbers.
    ridge : ndarray of float64, shape (m, k), optional
        Diagonal of the prior.
    slope_prior : float, optional
        Its standard deviation.

    Returns
    -------
    ndarray of float64, shape (m, 3, 3)
        Infinite where the overlaps do not constrain a value, zero where it is fixed by definition.
    """
    n, k = factor.shape
    diagonal, off = laplacian_blocks(system, weight**2 * system.noise_power, n)
    if ridge is not None and slope_prior is not None:
        # error of a slope that the prior holds: ridge times the true slope, whose standard deviation in local units is slope_prior * h
        diagonal = diagonal + np.einsum("fk,kl->fkl", (ridge * slope_prior * basis.half[:, None]) ** 2, np.eye(k))
    f = np.arange(n)
    used = system.used
    rows, columns = [f, system.i[used], system.j[used]], [f, system.j[used], system.i[used]]
    blocks = [diagonal, off[used], off[used].transpose(0, 2, 1)]
    for r, c, block in _cross_terms(system, weight, basis, cells, n):
        rows.append(r)
        columns.append(c)
        blocks.append(block)
    noise = _block_matrix(factor, np.concatenate(rows), np.concatenate(columns), np.concatenate(blocks))
    local = _projected_blocks(factor, noise, gauge, basis)
    jacobian = np.zeros((n, 3, k))
    jacobian[:, 2, 0] = 1.0
    if k == 3:
        jacobian[:, 0, 1] = jacobian[:, 1, 2] = 1.0 / basis.half
        jacobian[:, 2, 1] = -(basis.cx - origin[0]) / basis.half
        jacobian[:, 2, 2] = -(basis.cy - origin[1]) / basis.half
    covariance = jacobian @ local @ jacobian.transpose(0, 2, 1)
    _mark_unconstrained(covariance, system, weight, factor, gauge, basis, jacobian)
    return covariance


def _mark_unconstrained(
    covariance: FloatArray, system: PairSystem, weight: FloatArray, factor: Factor, gauge: Gauge, basis: FrameBasis, jacobian: FloatArray
) -> None:
    """Make infinite what no overlap, or only the floor on thin overlaps, constrains."""
    n, k = factor.shape
    free = slice(0, 3) if k == 3 else slice(2, 3)
    if np.any(weight[system.weak] > 0):
        floor = np.zeros_like(system.moments)
        floor[system.weak] = system.floor
        part = PairSystem(**{name: getattr(system, name) for name in system.__slots__} | {"moments": floor})
        diagonal, off = laplacian_blocks(part, weight**2 * system.noise_power, n)
        f, used = np.arange(n), system.used
        matrix = _block_matrix(
            factor,
            np.concatenate([f, system.i[used], system.j[used]]),
            np.concatenate([f, system.j[used], system.i[used]]),
            np.concatenate([diagonal, off[used], off[used].transpose(0, 2, 1)]),
        )
        open_ = jacobian @ _projected_blocks(factor, matrix, gauge, basis) @ jacobian.transpose(0, 2, 1)
        lost = np.einsum("fii->fi", open_) > _UNCONSTRAINED * np.einsum("fii->fi", covariance)
        for q in range(3):
            covariance[lost[:, q], q, :] = covariance[lost[:, q], :, q] = np.inf
    size = np.bincount(gauge.component, minlength=len(gauge.x))
    held = np.bincount(gauge.component, weights=gauge.share, minlength=len(gauge.x)) == 0
    alone = (size[gauge.component] == 1) & ~held[gauge.component]
    covariance[alone, free, free] = np.inf


def frame_noise(system: PairSystem, n_frames: int) -> FloatArray:
    """Noise power of each frame from the powers of the differences: non-negative least squares of ``s_i + s_j = noise_power_ij``.

    Weighted by the pixels; directions that the sums leave open go to half the mean of the sums. Negative solutions are set to zero and the rest solved
    again until the conditions of Kuhn and Tucker hold (Lawson & Hanson 1974, chapter 23).

    Returns
    -------
    ndarray of float64, shape (n_frames,)
    """
    used = system.used
    i, j, power, w = system.i[used], system.j[used], system.noise_power[used], system.n_pixels[used]
    if not len(i):
        return np.ones(n_frames)
    half = float(w @ power / w.sum()) / 2
    w = w / w.mean()
    degree = sum_over_pairs(i, w, n_frames) + sum_over_pairs(j, w, n_frames)
    pull = _NOISE_RIDGE * np.where(degree > 0, degree, 1.0)
    right = sum_over_pairs(i, w * power, n_frames) + sum_over_pairs(j, w * power, n_frames) + pull * half
    diagonal = np.where(degree > 0, degree + pull, pull)
    zero = np.zeros(n_frames, bool)
    s = right
    for _ in range(20):
        factor = Factor(diagonal[:, None, None], i, j, w[:, None, None], zero[:, None])
        s = factor.solve(right[:, None])[:, 0]
        slack = right - diagonal * s - sum_over_pairs(i, w * s[j], n_frames) - sum_over_pairs(j, w * s[i], n_frames)
        negative, release = s < 0, zero & (slack > 1e-9 * half * diagonal)
        if not negative.any() and not release.any():
            break
        zero = (zero | negative) & ~(release & ~negative.any())
    return np.maximum(s, 0.0)


def _cross_terms(
    system: PairSystem, weight: FloatArray, basis: FrameBasis, cells: CoverageCells, n_frames: int
) -> list[tuple[IntArray, IntArray, FloatArray]]:
    """Blocks of Cov(r) that are there because overlaps share frames."""
    if not cells.members:
        return []
    used = np.flatnonzero(system.used)
    key = system.i[used] * n_frames + system.j[used]
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.where(system.n_valid > 0, np.minimum(system.n_pixels / system.n_valid, 1.0), 1.0)
    value = (weight * kept)[used]
    s = frame_noise(system, n_frames)
    size = np.array([len(group) for group in cells.members])
    out = []
    for c in np.unique(size).tolist():
        chosen = np.flatnonzero(size == c)
        members = np.array([cells.members[q] for q in chosen.tolist()], dtype=np.int64)
        chunk = max(1, _CELL_ELEMENTS // (c * c))
        for start in range(0, len(chosen), chunk):
            part = slice(start, start + chunk)
            out.append(_region_blocks(members[part], cells.moments[chosen[part]], key, value, s, basis, system.n_terms, n_frames))
    return out


def _region_blocks(
    members: IntArray, moments: FloatArray, key: IntArray, value: FloatArray, s: FloatArray, basis: FrameBasis, k: int, n_frames: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Cross blocks of regions with equally many members; `members` is (m, c)."""
    c = members.shape[1]
    low, high = np.minimum(members[:, :, None], members[:, None, :]), np.maximum(members[:, :, None], members[:, None, :])
    wanted = low * n_frames + high
    place = np.minimum(np.searchsorted(key, wanted), len(key) - 1) if len(key) else np.zeros_like(wanted)
    w = np.where(key[place] == wanted, value[place], 0.0) if len(key) else np.zeros(wanted.shape)
    eye = np.eye(c)
    v = w.sum(axis=2)[:, :, None] * eye - w
    s_f = s[members]
    own = w**2 * (s_f[:, :, None] + s_f[:, None, :])
    cross = (v * s_f[:, None, :]) @ v.transpose(0, 2, 1) - (own.sum(axis=2)[:, :, None] * eye - own)
    n, xm, ym, sxx, sxy, syy = moments.T
    second = np.zeros((len(members), k, k))
    second[:, 0, 0] = n
    if k == 3:
        second[:, 1, 1], second[:, 2, 2] = sxx, syy
        second[:, 1, 2] = second[:, 2, 1] = sxy
    t = basis.transfer(members, np.broadcast_to(xm[:, None], members.shape), np.broadcast_to(ym[:, None], members.shape), k)
    left = t.transpose(0, 1, 3, 2) @ second[:, None]
    blocks = cross[..., None, None] * (left[:, :, None] @ t[:, None, :])
    rows = np.broadcast_to(members[:, :, None], cross.shape).ravel()
    columns = np.broadcast_to(members[:, None, :], cross.shape).ravel()
    return rows, columns, blocks.reshape(-1, k, k)


def _block_matrix(factor: Factor, rows: IntArray, columns: IntArray, blocks: FloatArray) -> Any:
    """Sum of blocks as a matrix over the free unknowns: dense where the factor is dense, else sparse."""
    k = blocks.shape[1]
    number = np.full(factor.shape[0] * k, -1, np.int64)
    number[factor.free] = np.arange(factor.size)
    ids = number.reshape(-1, k)
    row = np.broadcast_to(ids[rows][:, :, None], blocks.shape).ravel()
    column = np.broadcast_to(ids[columns][:, None, :], blocks.shape).ravel()
    keep = (row >= 0) & (column >= 0)
    row, column, value, n = row[keep], column[keep], blocks.ravel()[keep], factor.size
    if isinstance(factor.matrix, np.ndarray):
        return np.bincount(row * n + column, weights=value, minlength=n * n).reshape(n, n)
    from scipy.sparse import coo_array

    return coo_array((value, (row.astype(np.int32), column.astype(np.int32))), shape=(n, n)).tocsr()


def _projected_blocks(factor: Factor, noise: Any, gauge: Gauge, basis: FrameBasis) -> FloatArray:
    """Diagonal blocks (m, k, k) of ``P L^-1 noise L^-1 P^T``."""
    m, k = factor.shape
    group, groups = gauge.component, len(gauge.x)
    if not factor.size:
        return np.zeros((m, k, k))
    # common plane at the middle of the group, as a linear function of the coefficients
    to_middle = basis.transfer(np.arange(m), gauge.x[group], gauge.y[group], k)
    right = (to_middle * gauge.share[:, None, None]).transpose(0, 2, 1).reshape(m * k, k)
    z = factor.solve_free(right[factor.free])
    noise_z = noise @ z
    owner = factor.free // k
    zz = sum_over_pairs(group[owner], z[:, :, None] * noise_z[:, None, :], groups)
    # a frame's coefficients of the common plane: the inverse transfer
    back = np.linalg.inv(to_middle)
    common = back @ zz[group] @ back.transpose(0, 2, 1)
    own, mixed = _inverse_blocks(factor, noise, noise_z)
    mixed = mixed @ back.transpose(0, 2, 1)
    out = own - mixed - mixed.transpose(0, 2, 1) + common
    return (out + out.transpose(0, 2, 1)) / 2


def _inverse_blocks(factor: Factor, noise: Any, noise_z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Diagonal blocks of ``L^-1 noise L^-1``, and ``L^-1 noise_z``, by frame; zero for fixed unknowns."""
    m, k = factor.shape
    own, mixed = np.zeros((m, k, k)), np.zeros((m * k, k))
    mixed[factor.free] = factor.solve_free(noise_z)
    inverse = _inverse(factor) if factor.size <= _DENSE_INVERSE else None
    number = np.full(m * k, -1, np.int64)
    number[factor.free] = np.arange(factor.size)
    ids = number.reshape(m, k)
    free: BoolArray = ids >= 0
    frames = np.flatnonzero(free.any(axis=1))
    batch = max(1, _BATCH_BYTES // (16 * factor.size * k))
    for start in range(0, len(frames), batch):
        chosen = frames[start : start + batch]
        columns = ids[chosen].ravel()
        x = np.zeros((factor.size, len(columns)))
        ok = np.flatnonzero(columns >= 0)
        if inverse is not None:
            x[:, ok] = inverse[:, columns[ok]]
        else:
            x[columns[ok], ok] = 1.0
            x = factor.solve_free(x)
        y = (noise @ x).reshape(factor.size, len(chosen), k)
        own[chosen] = np.einsum("npk,npl->pkl", x.reshape(factor.size, len(chosen), k), y, optimize=False)
    return own, mixed.reshape(m, k, k)


def _inverse(factor: Factor) -> FloatArray:
    """Dense inverse of the normal matrix."""
    if isinstance(factor.matrix, np.ndarray):
        out: FloatArray = np.linalg.inv(factor.matrix)
        return out
    from scipy.linalg.lapack import dpotrf, dpotri

    full = factor.matrix.toarray(order="F")
    # scaled to a unit diagonal: levels and slopes of large and small overlaps differ by orders of magnitude
    scale = 1.0 / np.sqrt(full.diagonal())
    full *= scale[:, None]
    full *= scale[None, :]
    lower, _ = dpotrf(full, lower=1, overwrite_a=1)
    lower, _ = dpotri(lower, lower=1, overwrite_c=1)
    whole: FloatArray = np.tril(lower) + np.tril(lower, -1).T
    whole *= scale[:, None]
    whole *= scale[None, :]
    return whole
