"""The global background model: one plane per frame so that all overlaps agree.

Problem
-------
Frames of the same sky differ by their backgrounds. Where two frames overlap, their difference is the difference of two smooth functions plus noise,
whatever the sky is. With a plane ``P_f(x, y) = c_f + a_f (x - x0) + b_f (y - y0)`` per frame, background matching is the least-squares problem

    minimise  sum_k w_k  sum_{pixels of overlap k}  (d_k(x, y) - P_i(x, y) + P_j(x, y))^2 ,   overlap k = frames (i, j).

Moments are enough
------------------
Let ``D_k`` be the plane fitted to the pixels of overlap k, with the same pixels. The residuals of a least-squares plane are orthogonal to every plane, so
the inner sum is a constant plus ``q^T M_k q`` where q is the difference of the planes ``D_k - P_i + P_j`` and ``M_k`` the second moments of
``(1, x, y)`` over these pixels: number, sums, sums of squares. Hence plane and moments of each overlap are *sufficient statistics*, and the solution
below equals a dense least-squares solution over all pixels to round-off. (Montage minimises the same sum with the moments of a bounding box in place of
those of the pixels, by a fixed number of relaxation steps; here it is one factorisation.) The normal equations are a graph Laplacian with 3 x 3 blocks:
a frame is a node, an overlap an edge. They are sparse, and a direct factorisation of 30 000 unknowns takes a fraction of a second; iterative solvers suffer
from a condition number that grows with the fourth power of the number of frames along a side.

Gauge
-----
Adding one plane to all frames of a connected group changes no difference. That common plane must be fixed by choice, and each group has its own:
``"mean"`` makes the sum of the planes of a group zero, so the average background of its frames stays in the mosaic; ``"frame"`` gives the frame
nearest to the middle of the group the plane zero; reference frames, if given, keep their background exactly. The choice is stated in words in the model.

Why free slopes walk, and when a prior helps
--------------------------------------------
A tilt is measured against the neighbour only, across an overlap that is narrow in one direction. Its errors add up along the mosaic like a random walk,
and a level far away is the sum of tilts, a walk of a walk: over n x n frames its variance grows with a high power of n, though every overlap agrees to
the noise. This is the long, smooth error that the standard errors show and the residuals do not. If the frames are known to have slopes of a certain size
(a flat-field or scattered-light residual, in unit per pixel) then `slope_prior` says so: a Gaussian prior of that standard deviation on a and b,
weighed against the noise power of the overlaps. It holds the walk at the price of a bias where the true slopes are larger. It is off by default, because a
wrong prior is worse than an honest error; ``slope=False`` is its limit.

Errors
------
With the weights as given numbers the solution is linear, ``p = L^-1 r`` with ``r = sum_k w_k B_k^T M_k D_k``, so ``Cov(p) = L^-1 Cov(r) L^-1``; see
`nbmosaic.core.matching.background_errors` for ``Cov(r)``, which knows that resampling correlates pixels and that overlaps share frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray, IntArray
from nbmosaic.core.matching.gauge import Gauge
from nbmosaic.core.matching.laplacian import (
    Factor,
    FrameBasis,
    PairSystem,
    connected_components,
    laplacian_blocks,
    pair_system,
    rank_frames,
    sum_over_pairs,
)
from nbmosaic.errors import InputError
from nbmosaic.types.matching import BackgroundModel, CoverageCells, OverlapFlag, OverlapPlanes

__all__ = ["overlap_residuals", "solution_flags", "solve_background"]

_ROBUST_ROUNDS = (10, 5)
"""Most rounds with Huber's, then with Tukey's weights: the start must not be thrown by the overlaps that Tukey then rejects."""
_HUBER, _TUKEY = 2.0, 4.685
_MEDIAN_CHI = {1: 0.6744897501960817, 3: 0.8880642}
"""Median of ``sqrt(chi2_k / k)``."""
_LEAST_WEIGHT = 1e-3
"""Smallest factor that the robust weights give: an overlap with none could cut the mosaic in two."""


def solve_background(
    planes: OverlapPlanes,
    n_frames: int,
    *,
    boxes: IntArray,
    origin: tuple[float, float] = (0.0, 0.0),
    slope: bool = True,
    weighting: Literal["pixels", "noise"] = "pixels",
    reference: Sequence[int] = (),
    exclude: AnyArray | Sequence[int] | None = None,
    slope_prior: float | None = None,
    robust: bool = False,
    gauge: Literal["mean", "frame"] = "mean",
    errors: bool = False,
    cells: CoverageCells | None = None,
    keys: Sequence[Any] | None = None,
) -> BackgroundModel:
    """Solve for the background planes of all frames at once (see the head of this module for the equations).

    Parameters
    ----------
    planes : OverlapPlanes
        Plane fits of the overlaps. Rows flagged `OverlapFlag.FEW_PIXELS` or `OverlapFlag.EXCLUDED` are not used.
    n_frames : int
        Number of frames; frames without overlap get the plane 0.
    boxes : ndarray of int64, shape (n_frames, 4)
        ``ymin, ymax, xmin, xmax`` of the frames on the grid (they set the scale of the unknowns and the middle of each group).
    origin : tuple of float
        ``(x0, y0)`` of the planes in the result.
    slope : bool
        Planes (True) or levels only (``a = b = 0``, exact solution of that problem).
    weighting : {"pixels", "noise"}
        Every pixel alike, or by the inverse noise power of its overlap.
    reference : sequence of int
        Frames whose background is kept: their plane is exactly zero.
    exclude : array, optional
        Overlaps to leave out: a mask over the rows of `planes`, row numbers, or pairs of frames with shape (q, 2).
    slope_prior : float, optional
        Standard deviation of a Gaussian prior on a and b, in unit per pixel.
    robust : bool
        Reweight overlaps whose residual plane is large for its noise (iterated, Huber then Tukey), down to 1/1000. A frame that hangs on two or three
        overlaps cannot tell a bad one from the others.
    gauge : {"mean", "frame"}
        What is zero in each group without a reference frame: the sum of the planes, or the plane of the frame in its middle.
    errors : bool
        Compute standard errors.
    cells : CoverageCells, optional
        Regions covered by three or more frames; without them the errors take overlaps as independent.
    keys : sequence, optional
        A sortable key per frame (its name). Results are the same to the bit for every order of frames and of overlaps, if keys are unique.

    Returns
    -------
    BackgroundModel
        Planes to subtract.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.core.matching.planes import fit_overlap, stack_fits
    >>> from nbmosaic.types.box import PixelBox
    >>> left, right = np.full((20, 20), 7, np.float32), np.full((20, 20), 3, np.float32)
    >>> planes = stack_fits([fit_overlap(left[:, 10:], right[:, :10], PixelBox(0, 20, 10, 20))])
    >>> model = solve_background(planes, 2, boxes=np.array([[0, 20, 0, 20], [0, 20, 10, 30]]), slope=False)
    >>> model.planes[:, 2].tolist()
    [2.0, -2.0]
    """
    boxes = np.asarray(boxes, np.int64).reshape(-1, 4) if n_frames == 0 else np.asarray(boxes, np.int64)
    _check(planes, n_frames, boxes, weighting, reference, slope_prior, gauge, keys)
    rank = rank_frames(n_frames, keys)
    place = np.empty_like(rank)
    place[rank] = np.arange(n_frames)
    basis = FrameBasis.of_boxes(boxes[place])
    used = _used_rows(planes, exclude)
    system = pair_system(planes, rank, basis, used, slope=slope)
    component = connected_components(n_frames, system.i[system.used], system.j[system.used])
    held = np.zeros(n_frames, bool)
    held[rank[np.asarray(reference, np.int64)]] = True
    fixing = _fix_gauge(component, basis, held, gauge, slope=slope, prior=slope_prior is not None)
    base, mean_noise = _base_weights(system, weighting)
    ridge = _prior_blocks(fixing, basis, slope_prior, mean_noise, slope=slope)
    coefficients, factor, weight = _solve(system, base, ridge, fixing, robust=robust)
    coefficients = coefficients - _common(coefficients, fixing, basis)
    abc = _to_origin(coefficients, basis, origin)[rank]
    covariance = stderr = None
    if errors:
        from nbmosaic.core.matching.background_errors import plane_covariance

        covariance = plane_covariance(system, weight, factor, fixing, basis, origin, _canonical_cells(cells, rank), ridge, slope_prior)[
            rank
        ]
        with np.errstate(invalid="ignore"):
            stderr = np.sqrt(np.einsum("fii->fi", covariance))
    row_weight = np.zeros(len(planes))
    row_weight[system.row] = weight
    level, rms = overlap_residuals(planes, abc, origin)
    return BackgroundModel(
        frames=np.arange(n_frames),
        planes=abc,
        origin=(float(origin[0]), float(origin[1])),
        stderr=stderr,
        covariance=covariance,
        component=component[rank],
        residual_level=level,
        residual_rms=rms,
        weight=row_weight,
        gauge=_gauge_text(fixing, held, gauge, place, keys),
        slope=slope,
    )


def _check(
    planes: OverlapPlanes,
    n_frames: int,
    boxes: IntArray,
    weighting: str,
    reference: Sequence[int],
    slope_prior: float | None,
    gauge: str,
    keys: Sequence[Any] | None,
) -> None:
    """Refuse arguments that cannot be meant."""
    if boxes.shape != (n_frames, 4):
        raise InputError(f"boxes have shape {boxes.shape}, expected ({n_frames}, 4)")
    if len(planes) and (min(planes.plus.min(), planes.minus.min()) < 0 or max(planes.plus.max(), planes.minus.max()) >= n_frames):
        raise InputError(f"overlaps name frames outside 0..{n_frames - 1}")
    if np.any(planes.plus == planes.minus):
        raise InputError(f"overlap in row {int(np.flatnonzero(planes.plus == planes.minus)[0])} is of a frame with itself")
    if weighting not in ("pixels", "noise"):
        raise InputError(f"weighting is {weighting!r}, expected 'pixels' or 'noise'")
    if gauge not in ("mean", "frame"):
        raise InputError(f"gauge is {gauge!r}, expected 'mean' or 'frame'")
    if slope_prior is not None and not slope_prior > 0:
        raise InputError(f"slope_prior is {slope_prior}, expected a positive standard deviation in unit per pixel")
    for frame in reference:
        if not 0 <= frame < n_frames:
            raise InputError(f"reference frame {frame} is outside 0..{n_frames - 1}")
    if keys is not None and len(keys) != n_frames:
        raise InputError(f"{len(keys)} keys for {n_frames} frames")


def _used_rows(planes: OverlapPlanes, exclude: AnyArray | Sequence[int] | None) -> BoolArray:
    """Rows that take part in the solution."""
    bad = OverlapFlag.FEW_PIXELS | OverlapFlag.EXCLUDED
    used: BoolArray = ((planes.flag & int(bad)) == 0) & np.isfinite(planes.level) & (planes.n_pixels > 0)
    if exclude is None:
        return used
    chosen = np.asarray(exclude)
    if chosen.dtype == bool:
        if chosen.shape != used.shape:
            raise InputError(f"exclude is a mask of shape {chosen.shape}, expected {used.shape}")
        return used & ~chosen
    if chosen.ndim == 2 and chosen.shape[1] == 2:
        wanted = {frozenset(pair) for pair in chosen.tolist()}
        return used & np.array(
            [frozenset(pair) not in wanted for pair in zip(planes.plus.tolist(), planes.minus.tolist(), strict=True)], bool
        )
    rows = chosen.astype(np.int64).ravel()
    if len(rows) and (rows.min() < 0 or rows.max() >= len(planes)):
        raise InputError(f"exclude names rows outside 0..{len(planes) - 1}")
    used[rows] = False
    return used


def _fix_gauge(component: IntArray, basis: FrameBasis, held: BoolArray, gauge: str, *, slope: bool, prior: bool) -> Gauge:
    """Choose the unknowns that are held while solving, and the common plane that is taken off afterwards."""
    n = len(component)
    groups = int(component.max()) + 1 if n else 0
    size = np.bincount(component, minlength=groups)
    x = np.bincount(component, weights=basis.cx, minlength=groups) / size
    y = np.bincount(component, weights=basis.cy, minlength=groups) / size
    with_reference = np.bincount(component, weights=held, minlength=groups) > 0
    distance = np.hypot(basis.cx - x[component], basis.cy - y[component])
    order = np.lexsort((distance, component))
    middle = order[np.searchsorted(component[order], np.arange(groups))]
    fixed = np.zeros((n, 3 if slope else 1), bool)
    fixed[held] = True
    free_groups = np.flatnonzero(~with_reference)
    # a prior on slopes leaves only the common level free
    fixed[middle[free_groups], : 1 if prior else fixed.shape[1]] = True
    fixed[size[component] == 1] = True
    share = np.zeros(n)
    if gauge == "mean":
        share = np.where(with_reference[component], 0.0, 1.0 / size[component])
    else:
        share[middle[free_groups]] = 1.0
    return Gauge(component=component, fixed=fixed, share=share, x=x, y=y)


def _base_weights(system: PairSystem, weighting: str) -> tuple[FloatArray, float]:
    """Weight of every pair before reweighting, and the mean noise power that a weight of 1 stands for.

    Pixels that were clipped give their weight to those that were kept. Clipping takes 0.3 % where the noise is Gaussian, but up to 40 % where two frames
    share their noise (two cuts of one scan) and only the sharpest structures differ; such an overlap, the best one that there is, must not count less.
    """
    pixels = np.where(system.used, system.n_pixels, 0.0)
    mean = float(pixels @ system.noise_power / pixels.sum()) if pixels.sum() > 0 else 1.0
    clipped = np.divide(system.n_valid, system.n_pixels, out=np.ones(len(pixels)), where=system.n_pixels > 0)
    weight = np.where(system.used, np.maximum(clipped, 1.0), 0.0)
    return (weight * mean / system.noise_power if weighting == "noise" else weight), mean


def _prior_blocks(gauge: Gauge, basis: FrameBasis, slope_prior: float | None, mean_noise: float, *, slope: bool) -> FloatArray | None:
    """Diagonal of the prior on the local slopes ``h a`` and ``h b``, in units of the objective; None without a prior."""
    if slope_prior is None or not slope:
        return None
    ridge = np.zeros(gauge.fixed.shape)
    ridge[:, 1:] = (mean_noise / (slope_prior * basis.half) ** 2)[:, None]
    return ridge


def _solve(
    system: PairSystem, base: FloatArray, ridge: FloatArray | None, gauge: Gauge, *, robust: bool
) -> tuple[FloatArray, Factor, FloatArray]:
    """Coefficients in the local bases, the factorisation and the final weights."""
    weight = base
    coefficients, factor = _solve_once(system, weight, ridge, gauge)
    for round_ in range(sum(_ROBUST_ROUNDS) if robust and system.used.any() else 0):
        left = (
            system.d
            - np.einsum("nkl,nl->nk", system.t_i, coefficients[system.i])
            + np.einsum("nkl,nl->nk", system.t_j, coefficients[system.j])
        )
        chi = np.sqrt(np.einsum("nk,nkl,nl->n", left, system.moments, left) / system.noise_power / system.n_terms)
        # overlaps of real frames differ by more than noise: the typical one sets the scale
        chi /= max(1.0, float(np.median(chi[system.used])) / _MEDIAN_CHI[system.n_terms])
        if round_ < _ROBUST_ROUNDS[0]:
            factor_k = _HUBER / np.maximum(chi, _HUBER)
        else:
            factor_k = np.where(chi < _TUKEY, (1.0 - np.minimum(chi / _TUKEY, 1.0) ** 2) ** 2, 0.0)
        before, weight = weight, base * np.maximum(factor_k, _LEAST_WEIGHT)
        coefficients, factor = _solve_once(system, weight, ridge, gauge)
        if round_ >= _ROBUST_ROUNDS[0] and np.abs(weight - before).max() < 1e-3 * base.max():
            break
    return coefficients, factor, weight


def _solve_once(system: PairSystem, weight: FloatArray, ridge: FloatArray | None, gauge: Gauge) -> tuple[FloatArray, Factor]:
    """One weighted least-squares solution."""
    n = len(gauge.component)
    diagonal, off = laplacian_blocks(system, weight, n)
    if ridge is not None:
        diagonal = diagonal + np.einsum("fk,kl->fkl", ridge, np.eye(system.n_terms))
    used = system.used
    factor = Factor(diagonal, system.i[used], system.j[used], off[used], gauge.fixed)
    pull = np.einsum("nkl,nl->nk", system.moments, system.d) * weight[:, None]
    right = sum_over_pairs(system.i, np.einsum("nlk,nl->nk", system.t_i, pull), n)
    right = right - sum_over_pairs(system.j, np.einsum("nlk,nl->nk", system.t_j, pull), n)
    return factor.solve(right), factor


def _common(coefficients: FloatArray, gauge: Gauge, basis: FrameBasis) -> FloatArray:
    """The common plane of each frame's group, in the frame's own basis."""
    n, k = coefficients.shape
    x, y = gauge.x[gauge.component], gauge.y[gauge.component]
    there = np.einsum("fkl,fl->fk", basis.transfer(np.arange(n), x, y, k), coefficients) * gauge.share[:, None]
    total = sum_over_pairs(gauge.component, there, len(gauge.x))[gauge.component]
    if k == 1:
        return total
    level = total[:, 0] - total[:, 1] * (x - basis.cx) - total[:, 2] * (y - basis.cy)
    return np.stack([level, total[:, 1] * basis.half, total[:, 2] * basis.half], axis=1)


def _to_origin(coefficients: FloatArray, basis: FrameBasis, origin: tuple[float, float]) -> FloatArray:
    """``a, b, c`` about the origin."""
    out = np.zeros((len(coefficients), 3))
    if coefficients.shape[1] == 3:
        out[:, :2] = coefficients[:, 1:] / basis.half[:, None]
    out[:, 2] = coefficients[:, 0] - out[:, 0] * (basis.cx - origin[0]) - out[:, 1] * (basis.cy - origin[1])
    return out + 0.0  # no negative zeros in tables


def _canonical_cells(cells: CoverageCells | None, rank: IntArray) -> CoverageCells:
    """Regions with canonical frame numbers, in canonical order."""
    if cells is None or not cells.members:
        return CoverageCells()
    members = [tuple(sorted(rank[list(group)].tolist())) for group in cells.members]
    order = sorted(range(len(members)), key=lambda q: (len(members[q]), members[q]))
    return CoverageCells(members=tuple(members[q] for q in order), moments=cells.moments[order])


def overlap_residuals(planes: OverlapPlanes, abc: FloatArray, origin: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Level at the centre and rms over the pixels of what the planes leave of each overlap's difference.

    Parameters
    ----------
    planes : OverlapPlanes
        The overlaps (all rows, used or not).
    abc : ndarray of float64, shape (m, 3)
        Planes per frame about `origin`; zeros give the size of the differences before correction.
    origin : tuple of float
        ``(x0, y0)``.

    Returns
    -------
    tuple of ndarray
        ``residual_level, residual_rms``, NaN for overlaps that were not fitted.
    """
    delta = abc[planes.plus] - abc[planes.minus]
    x, y = planes.xmean - origin[0], planes.ymean - origin[1]
    level = planes.level - (delta[:, 2] + delta[:, 0] * x + delta[:, 1] * y)
    sx, sy = planes.slope_x - delta[:, 0], planes.slope_y - delta[:, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        tilt = (planes.sxx * sx**2 + 2 * planes.sxy * sx * sy + planes.syy * sy**2) / planes.n_pixels
    return level, np.sqrt(level**2 + np.maximum(tilt, 0.0))


def solution_flags(planes: OverlapPlanes, model: BackgroundModel) -> IntArray:
    """Flags of the overlaps with what the solution did to them.

    `OverlapFlag.EXCLUDED` where it was told not to use a fitted overlap, `OverlapFlag.DOWNWEIGHTED` where the robust solution gave it less than half
    of the weight that its pixels or its noise power would give.
    """
    few = (planes.flag & OverlapFlag.FEW_PIXELS) != 0
    flag = planes.flag | np.where((model.weight == 0) & ~few, int(OverlapFlag.EXCLUDED), 0)
    used = model.weight > 0
    # weights are w * (1 or mean noise / noise): either form is undone by the factor that is largest
    by_noise = model.weight * planes.noise_power
    plain = np.ones(len(planes), bool) if not used.any() else model.weight < 0.5 * model.weight[used].max()
    scaled = np.ones(len(planes), bool) if not used.any() else by_noise < 0.5 * np.nanmax(by_noise[used])
    return flag | np.where(used & plain & scaled, int(OverlapFlag.DOWNWEIGHTED), 0)


def _gauge_text(gauge: Gauge, held: BoolArray, choice: str, place: IntArray, keys: Sequence[Any] | None) -> str:
    """The gauge in words."""

    def names(frames: IntArray) -> str:
        text = [str(keys[place[f]]) if keys is not None else f"frame {place[f]}" for f in frames[:4]]
        return ", ".join(text) + (f" and {len(frames) - 4} more" if len(frames) > 4 else "")

    groups = len(gauge.x)
    parts = []
    if held.any():
        parts.append(f"the background of the reference ({names(np.flatnonzero(held))}) is kept: its plane is zero")
    size = np.bincount(gauge.component, minlength=groups)
    free = np.bincount(gauge.component, weights=gauge.share, minlength=groups) > 0
    if np.any(free & (size > 1)) or (not held.any()):
        where = "of the frames" if groups == 1 else "of the frames of each connected group"
        if held.any():
            where = "of the frames of each group without reference"
        if choice == "mean":
            parts.append(f"the sum of the planes {where} is zero: their mean background stays in the mosaic")
        else:
            middle = np.flatnonzero((gauge.share == 1.0) & (size[gauge.component] > 1))
            parts.append(
                f"the plane of the frame in the middle {where} is zero ({names(middle)})" if len(middle) else "no frame is changed"
            )
    return "; ".join(parts)
