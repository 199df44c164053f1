"""Least squares for one star's profile: flux and background eliminated, the shape by Levenberg-Marquardt with an analytic Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.core.psf.star_fit_profile import StarShape

__all__ = ["StarSolution", "StarSystem", "evaluate_star", "solve_star"]

_TRUST = np.array([0.5, 0.5, 0.7, 0.35, 1.0, 1.0])
"""Longest step: half an FWHM in position, a factor of 2 in FWHM, 0.35 in 1/beta, 1 in each part of the ellipticity."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StarSystem:
    """Pixels, their weights and the profile that is fitted to them.

    Attributes
    ----------
    shape : StarShape
        The profile.
    x, y, values : ndarray of float, shape (n,)
        Positions (arcsec) and pixel values.
    weight : ndarray of float, shape (n,)
        Weight of each squared residual.
    lower, upper : ndarray of float, shape (n_shape,)
        Bounds of the shape parameters.
    free : ndarray of bool, shape (n_shape,)
        Which of them are fitted.
    """

    shape: StarShape
    x: FloatArray
    y: FloatArray
    values: FloatArray
    weight: FloatArray
    lower: FloatArray
    upper: FloatArray
    free: BoolArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StarSolution:
    """State of a fit at one set of parameters ``(shape..., flux, bg)``.

    Attributes
    ----------
    theta : ndarray of float, shape (n_shape + 2,)
        Shape parameters, flux, background.
    model, residual : ndarray of float, shape (n,)
        Fitted values; pixel values minus model.
    jacobian : ndarray of float, shape (n_shape + 2, n)
        Derivatives of the model.
    chisqr : float
        Weighted sum of squared residuals.
    n_evaluations : int
        Evaluations of the profile so far.
    converged : bool
        Whether the last step was below the tolerance.
    """

    theta: FloatArray
    model: FloatArray
    residual: FloatArray
    jacobian: FloatArray
    chisqr: float
    n_evaluations: int
    converged: bool


def evaluate_star(system: StarSystem, theta: FloatArray, *, eliminate: bool, n_evaluations: int) -> StarSolution:
    """The model at `theta`; with `eliminate`, flux and background are replaced by their best values for that shape."""
    n = len(theta) - 2
    value, slopes = system.shape.evaluate(theta[:n], system.x, system.y)
    theta = theta.copy()
    if eliminate:
        theta[n:] = _linear_solution(value, system.values, system.weight)
    flux, background = theta[n], theta[n + 1]
    jacobian = np.empty((n + 2, value.size))
    np.multiply(slopes, flux, out=jacobian[:n])
    jacobian[n] = value
    jacobian[n + 1] = 1.0
    model = flux * value + background
    residual = system.values - model
    return StarSolution(
        theta=theta,
        model=model,
        residual=residual,
        jacobian=jacobian,
        chisqr=float(system.weight @ residual**2),
        n_evaluations=n_evaluations,
        converged=False,
    )


def _linear_solution(value: FloatArray, data: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Best flux and background for a profile; one that is flat over the pixels, or fits rounding alone, has flux 0."""
    total = float(weight.sum())
    mean_value, mean_data = float(weight @ value) / total, float(weight @ data) / total
    centred = value - mean_value
    weighted = weight * centred
    spread = float(weighted @ centred)
    scale = float(weight @ value**2)
    if not spread > 1e-14 * scale:
        return 0.0, mean_data
    flux = float(weighted @ data) / spread
    if flux * flux * spread < 1e-26 * float(weight @ data**2):
        return 0.0, mean_data
    return flux, mean_data - flux * mean_value


def solve_star(system: StarSystem, start: FloatArray, *, max_evaluations: int = 200, eliminate: bool = True) -> StarSolution:
    """Fit one star.

    Parameters
    ----------
    system : StarSystem
        Pixels, weights, profile, bounds.
    start : ndarray of float, shape (n_shape + 2,)
        Start values (flux and background are found, not started from).
    max_evaluations : int
        Where to give up; the state reached is returned with ``converged=False``.
    eliminate : bool
        Whether flux and background are fitted.

    Returns
    -------
    StarSolution
        Values at the minimum.

    Notes
    -----
    Variable projection: at each shape flux and background have their best values; steps come from the Gram matrix of the whole Jacobian, whose
    Schur complement is that of the projected problem. Parameters at a bound whose step points outwards are held for that step. It ends when the
    step promises less than 1e-7 of the mean squared residual (3e-4 standard errors), or when nothing changes any more.
    """
    n = len(start) - 2
    theta = np.clip(start[:n], system.lower, system.upper)
    theta = np.concatenate([np.where(system.free, theta, start[:n]), start[n:]])
    state = evaluate_star(system, theta, eliminate=eliminate, n_evaluations=1)
    damping, count = 1e-3, 1
    n_linear = 2 if eliminate else 0
    free = np.flatnonzero(np.concatenate([system.free, np.full(2, eliminate)]))
    floor = 1e-24 * float(system.weight @ system.values**2) + 1e-300
    while count < max_evaluations:
        weighted = state.jacobian[free] * system.weight
        gram, gradient = weighted @ state.jacobian[free].T, weighted @ state.residual
        used = _not_held(system, state.theta, free, gradient)
        improved = False
        while count < max_evaluations:
            step = _damped_step(gram[np.ix_(used, used)], gradient[used], damping, n_linear)
            promise = float(step @ gradient[used])
            proposal = _bounded(system, state.theta, free[used], step, n)
            new = evaluate_star(system, proposal, eliminate=eliminate, n_evaluations=count + 1)
            count += 1
            small = promise < 1e-7 * state.chisqr / len(system.values) or promise < floor
            if new.chisqr <= state.chisqr:
                improved = True
                break
            if small or damping > 1e10:
                break
            damping *= 10
        if not improved:
            return _ended(state, count, converged=True)
        gained = state.chisqr - new.chisqr
        state, damping = new, max(damping / 10, 1e-9)
        if (small and damping < 1) or gained < 1e-13 * state.chisqr:
            return _ended(state, count, converged=True)
    return _ended(state, count, converged=False)


def _ended(state: StarSolution, count: int, *, converged: bool) -> StarSolution:
    return StarSolution(
        theta=state.theta,
        model=state.model,
        residual=state.residual,
        jacobian=state.jacobian,
        chisqr=state.chisqr,
        n_evaluations=count,
        converged=converged,
    )


def _not_held(system: StarSystem, theta: FloatArray, free: IntArray, gradient: FloatArray) -> IntArray:
    """Indices into `free` of the parameters that may move: not those at a bound whose descent points outwards."""
    lower = np.concatenate([system.lower, [-np.inf, -np.inf]])[free]
    upper = np.concatenate([system.upper, [np.inf, np.inf]])[free]
    here = theta[free]
    held = ((here <= lower) & (gradient < 0)) | ((here >= upper) & (gradient > 0))
    return np.flatnonzero(~held)


def _damped_step(gram: FloatArray, gradient: FloatArray, damping: float, n_linear: int) -> FloatArray:
    """Levenberg-Marquardt step; the linear parameters (last) are not damped. A singular matrix is damped until it is not."""
    scale = np.sqrt(np.diag(gram))
    scale = np.where(scale > 0, scale, 1.0)
    unit = gram / (scale * scale[:, None])
    ridge = np.full(len(gradient), damping)
    if n_linear:
        ridge[-n_linear:] = 1e-14
    while True:
        try:
            step: FloatArray = np.linalg.solve(unit + np.diag(ridge), gradient / scale) / scale
        except np.linalg.LinAlgError:
            step = np.full(len(gradient), np.nan)
        if np.isfinite(step).all():
            return step
        ridge = np.maximum(10 * ridge, 1e-12)


def _bounded(system: StarSystem, theta: FloatArray, moved: IntArray, step: FloatArray, n: int) -> FloatArray:
    """`theta` after a step of the `moved` parameters, no longer than `_TRUST` and inside the bounds."""
    change = np.zeros(len(theta))
    change[moved] = step
    longest = _TRUST[:n].copy()
    if n > 2:
        longest[:2] *= np.exp(theta[2])
    out = theta + change
    out[:n] = np.clip(theta[:n] + np.clip(change[:n], -longest, longest), system.lower, system.upper)
    out[:n] = np.where(system.free, out[:n], theta[:n])
    return out
