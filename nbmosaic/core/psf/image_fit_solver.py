"""Least squares of an image fit: scale and background eliminated, Gauss-Newton steps with an analytic Jacobian, bounds kept exactly.

The model is ``scale * basis(x) + bg * level`` with ``x`` the parameters that enter nonlinearly: ``dx, dy, fwhm, 1 / beta``. At every x the best scale and bg
are found in closed form (variable projection: Golub & Pereyra 1973), with their bounds as a quadratic programme of two unknowns. ``1 / beta`` is used because
the profile is smooth in it through 0, the Gaussian, where chi square is flat in beta.

A Jacobian costs twice a model. It is kept while the steps are small: the steps then are those of the chord method, whose fixed point differs from the
minimum by about ``n sigma * |dJ| / |J|`` after a move of n sigma. It is renewed once x has moved by more than 0.3 standard deviations since it was made, unless
that product is below 0.003 sigma.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.psf.small_products import dot, rows_by_rows, rows_by_vector

__all__ = ["FitProblem", "LinearBounds", "Solution", "solve_image_fit"]

_STALE = 0.1
"""Predicted decrease of chi square (units of the noise), summed since the Jacobian was made, from which it is renewed: 0.3 sigma."""
_CHORD = 0.003
"""Product of the move in standard deviations and the relative change of the Jacobian up to which it is kept even so."""
_TOLERANCE = 1e-6
"""Predicted decrease at which the fit has ended: 0.001 sigma."""


class FitProblem(Protocol):
    """What is fitted: vectors of weighted data, all real and of one length."""

    @property
    def data(self) -> FloatArray:
        """Weighted data."""
        ...

    @property
    def level(self) -> FloatArray:
        """Weighted response to a constant background of 1."""
        ...

    def basis(self, x: FloatArray) -> FloatArray:
        """Weighted model of unit scale without background."""
        ...

    def derivatives(self, x: FloatArray, wanted: Sequence[int]) -> Sequence[NDArray[np.floating]]:
        """Derivatives of `basis` with respect to the parameters numbered in `wanted`."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LinearBounds:
    """Bounds of scale and bg; equal bounds fix the parameter."""

    low: tuple[float, float]
    high: tuple[float, float]

    @property
    def free(self) -> tuple[bool, bool]:
        """Whether scale and bg vary at all."""
        return self.low[0] < self.high[0], self.low[1] < self.high[1]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Solution:
    """Minimum of an image fit.

    Attributes
    ----------
    linear : tuple of float
        scale, bg.
    x : ndarray
        Nonlinear parameters.
    residual : ndarray
        Weighted data minus model.
    rows : tuple of int
        Parameters of the Jacobian: 0 scale, 1 bg, 2 + i for x[i]; all that vary.
    jacobian : ndarray, shape (n_rows, n_data)
        Derivatives of the weighted model.
    at_bound : tuple of int
        Parameters (numbered as in `rows`) that vary but ended at a bound.
    evaluations : int
        Models computed, Jacobians not counted.
    converged : bool
    """

    linear: tuple[float, float]
    x: FloatArray
    residual: FloatArray
    rows: tuple[int, ...]
    jacobian: Float32Array
    at_bound: tuple[int, ...]
    evaluations: int
    converged: bool

    @property
    def chisqr(self) -> float:
        """Sum of squared weighted residuals."""
        return dot(self.residual, self.residual)


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """A model at one x, with the best linear parameters."""

    x: FloatArray
    basis: FloatArray
    linear: tuple[float, float]
    clamped: tuple[bool, bool]
    residual: FloatArray
    chisqr: float


def solve_image_fit(
    problem: FitProblem, start: FloatArray, low: FloatArray, high: FloatArray, linear: LinearBounds, *, max_evaluations: int = 200
) -> Solution:
    """Minimise chi square within bounds.

    Parameters
    ----------
    problem : FitProblem
    start, low, high : ndarray
        Start and bounds of the nonlinear parameters; equal bounds fix a parameter.
    linear : LinearBounds
        Bounds of scale and bg.
    max_evaluations : int
        Models after which the fit gives up (``converged`` is then False).

    Returns
    -------
    Solution
    """
    return _Minimiser(problem, low, high, linear, max_evaluations).run(np.clip(start, low, high))


class _Minimiser:
    """State of one fit."""

    def __init__(self, problem: FitProblem, low: FloatArray, high: FloatArray, linear: LinearBounds, max_evaluations: int) -> None:
        self.problem, self.low, self.high, self.linear = problem, low, high, linear
        self.max_evaluations = max_evaluations
        self.varying = [i for i in range(len(low)) if low[i] < high[i]]
        self.evaluations = 0
        data, level = problem.data, problem.level
        self.level_level, self.level_data = dot(level, level), dot(level, data)

    def point(self, x: FloatArray) -> _Point:
        """Model and best linear parameters at x."""
        problem = self.problem
        basis = problem.basis(x)
        self.evaluations += 1
        moments = np.array([[dot(basis, basis), dot(basis, problem.level)], [0.0, self.level_level]])
        moments[1, 0] = moments[0, 1]
        linear, clamped = _bounded_pair(moments, np.array([dot(basis, problem.data), self.level_data]), self.linear)
        residual = problem.data - linear[0] * basis
        residual -= linear[1] * problem.level
        return _Point(x, basis, linear, clamped, residual, dot(residual, residual))

    def jacobian(self, at: _Point) -> Float32Array:
        """Rows scale, bg, and the varying nonlinear parameters, in single precision (the residual is not)."""
        out = np.empty((2 + len(self.varying), at.basis.size), np.float32)
        out[0], out[1] = at.basis, self.problem.level
        for row, derivative in zip(out[2:], self.problem.derivatives(at.x, self.varying), strict=True):
            np.multiply(derivative, at.linear[0], out=row, casting="unsafe")
        return out

    def open_rows(self, at: _Point, gradient: FloatArray) -> list[int]:
        """Rows of the Jacobian that may move: those at a bound, with chi square falling beyond it, may not."""
        rows = [i for i in (0, 1) if self.linear.free[i] and not at.clamped[i]]
        for row, i in enumerate(self.varying, start=2):
            outward = (at.x[i] <= self.low[i] and gradient[row] <= 0.0) or (at.x[i] >= self.high[i] and gradient[row] >= 0.0)
            if not outward:
                rows.append(row)
        return rows

    def run(self, start: FloatArray) -> Solution:
        """Steps until the predicted decrease is negligible."""
        here = self.point(start)
        jacobian, made, moved, fresh, damping, converged = self.jacobian(here), here.x, 0.0, True, 0.0, False
        normal = rows_by_rows(jacobian)
        unit = max(here.chisqr / here.residual.size, 1e-300)
        while self.evaluations < self.max_evaluations:
            gradient = rows_by_vector(jacobian, here.residual)
            rows = self.open_rows(here, gradient)
            step, decrease = _step(normal, gradient, rows, damping)
            unit = max(here.chisqr / here.residual.size, 1e-300)
            if decrease <= _TOLERANCE * unit and not _stale(moved / unit, made, here.x):
                converged = True
                break
            new = self.point(self.moved_to(here.x, step)) if decrease > _TOLERANCE * unit else here
            if new.chisqr > here.chisqr + 1e-12 * here.chisqr + 0.1 * _TOLERANCE * unit:
                if fresh:
                    damping = max(10.0 * damping, 1e-3)
                    if damping > 1e10:
                        break
                    continue
                moved = np.inf
            else:
                here, moved, fresh, damping = new, moved + decrease, False, 0.1 * damping if damping > 1e-6 else 0.0
            if _stale(moved / unit, made, here.x):
                jacobian, made, moved, fresh = self.jacobian(here), here.x, 0.0, True
                normal = rows_by_rows(jacobian)
        return self.solution(here, jacobian, converged)

    def moved_to(self, x: FloatArray, step: FloatArray) -> FloatArray:
        """Parameters after a step of all rows, within bounds; fwhm by no more than a factor of two, 1 / beta by no more than 0.3."""
        out = x.copy()
        for row, i in enumerate(self.varying, start=2):
            out[i] = x[i] + step[row]
        out[2] = np.clip(out[2], 0.5 * x[2], 2.0 * x[2])
        out[3] = np.clip(out[3], x[3] - 0.3, x[3] + 0.3)
        return np.clip(out, self.low, self.high)

    def solution(self, here: _Point, jacobian: Float32Array, converged: bool) -> Solution:  # noqa: FBT001
        """The end point, parameters numbered 0 scale, 1 bg, 2 + i."""
        numbers = [0, 1, *(2 + i for i in self.varying)]
        gradient = rows_by_vector(jacobian, here.residual)
        inner = self.open_rows(here, gradient)
        free = [i for i in (0, 1) if self.linear.free[i]] + list(range(2, len(numbers)))
        return Solution(
            linear=here.linear,
            x=here.x,
            residual=here.residual,
            rows=tuple(numbers[row] for row in free),
            jacobian=jacobian if len(free) == len(jacobian) else jacobian[free],
            at_bound=tuple(numbers[row] for row in free if row not in inner),
            evaluations=self.evaluations,
            converged=converged,
        )


def _stale(moved: float, made: FloatArray, x: FloatArray) -> bool:
    """Whether a Jacobian made at one x no longer holds at another, a predicted decrease of chi square farther."""
    if moved <= _STALE or math.isinf(moved):
        return math.isinf(moved)
    change = 2.0 * float(np.abs(x[:3] - made[:3]).sum() / max(x[2], 1e-300)) + float(abs(x[3] - made[3]))
    return math.sqrt(moved) * change > _CHORD


def _step(normal: FloatArray, gradient: FloatArray, rows: list[int], damping: float) -> tuple[FloatArray, float]:
    """Damped step of the open rows, and the decrease of chi square that it predicts."""
    step = np.zeros(len(gradient))
    if not rows:
        return step, 0.0
    size = np.sqrt(np.diag(normal))[rows]
    size[size == 0.0] = 1.0
    matrix = normal[np.ix_(rows, rows)] / (size * size[:, None])
    nonlinear = np.array([row >= 2 for row in rows])
    matrix[np.diag_indices(len(rows))] += damping * nonlinear + 1e-12
    scaled = gradient[rows] / size
    found: FloatArray = np.linalg.solve(matrix, scaled)
    step[rows] = found / size
    return step, float(found @ scaled)


def _bounded_pair(moments: FloatArray, target: FloatArray, bounds: LinearBounds) -> tuple[tuple[float, float], tuple[bool, bool]]:
    """Minimum of ``v' M v - 2 t' v`` within a rectangle: the free minimum, or the best of the edges and corners."""
    low, high = np.array(bounds.low), np.array(bounds.high)
    best: tuple[float, tuple[float, float], tuple[bool, bool]] | None = None
    for held in ((None, None), *itertools.product((None, 0, 1), repeat=2)):
        if any(h is not None and not np.isfinite((low, high)[h][i]) for i, h in enumerate(held)):
            continue
        value = _held_minimum(moments, target, [None if h is None else float((low, high)[h][i]) for i, h in enumerate(held)])
        if np.any(value < low - 1e-12 * abs(low)) or np.any(value > high + 1e-12 * abs(high)):
            continue
        clamped = (held[0] is not None, held[1] is not None)
        cost = float(value @ moments @ value - 2.0 * target @ value)
        if best is None or cost < best[0]:
            best = (cost, (float(value[0]), float(value[1])), clamped)
            if held == (None, None):
                break
    assert best is not None  # a corner of the rectangle, or its unbounded side, is always feasible
    return best[1], best[2]


def _held_minimum(moments: FloatArray, target: FloatArray, held: list[float | None]) -> FloatArray:
    """Minimum over those of two unknowns that are not held."""
    scale, bg = held
    if scale is not None and bg is not None:
        return np.array([scale, bg])
    if scale is not None:
        return np.array([scale, _ratio(target[1] - moments[0, 1] * scale, moments[1, 1])])
    if bg is not None:
        return np.array([_ratio(target[0] - moments[0, 1] * bg, moments[0, 0]), bg])
    determinant = moments[0, 0] * moments[1, 1] - moments[0, 1] ** 2
    return np.array(
        [
            _ratio(target[0] * moments[1, 1] - target[1] * moments[0, 1], determinant),
            _ratio(target[1] * moments[0, 0] - target[0] * moments[0, 1], determinant),
        ]
    )


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below != 0.0 else 0.0
