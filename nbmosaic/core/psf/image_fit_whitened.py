"""The default estimator: pixels of the image, weighted by their variance, against the convolved reference."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.psf.covariance import coloured_middle, measure_noise, sandwich, white_middle
from nbmosaic.core.psf.image_fit_assemble import Errors, estimates, noise_scale
from nbmosaic.core.psf.image_fit_beyond import bright_points, light_beyond
from nbmosaic.core.psf.image_fit_map import linear_map_step, map_estimates
from nbmosaic.core.psf.image_fit_plane import PlaneProblem, reach_mask, unknown_light
from nbmosaic.core.psf.image_fit_reference import reference_noise_pull, reference_noise_scores, reference_noise_variance
from nbmosaic.core.psf.image_fit_setting import FitSetting
from nbmosaic.core.psf.image_fit_solver import Solution, solve_image_fit
from nbmosaic.core.psf.image_fit_spectrum import shifted
from nbmosaic.core.psf.small_products import rows_by_vector
from nbmosaic.errors import AlgorithmError
from nbmosaic.types.photometry import Estimate, ImageFitResult

__all__ = ["fit_whitened"]

_REACH = 1.6
"""Pixels nearer than this many fwhm to sky that the reference does not know are left out; wings from farther off are left to `unknown_light`."""
_SHARPEST = 2.25
"""Pixels that fwhm must have: without noise, offsets of a bright star are wrong by 1.5 standard errors (0.5 mas) at 2.25 and by 4 at 2.0."""
_PASSES, _SETTLED = 5, 0.05
"""Steps with the light beyond Nyquist's frequency, and the step in standard errors that is not taken any more."""
_FEWEST = 20
"""Pixels below which nothing is fitted."""


class _Weights(NamedTuple):
    """Weights of the pixels, and what they were made for."""

    problem: PlaneProblem
    own: FloatArray
    """Variance of the noise of the image by the variance that the weights stand for."""
    reference: FloatArray | None
    """Variance of the pixels of the reference on the frame of the image."""
    shift: tuple[int, int]
    fwhm: float


def fit_whitened(setting: FitSetting) -> ImageFitResult:
    """Fit in the image plane.

    Parameters
    ----------
    setting : FitSetting

    Returns
    -------
    ImageFitResult

    Raises
    ------
    AlgorithmError
        Too few pixels are left.
    """
    start = setting.start
    x, scale = np.array([start.dx, start.dy, start.fwhm, 1.0 / start.beta]), start.scale
    bounds, evaluations = setting.bounds, 0
    x = np.clip(x, bounds.low, bounds.high)
    for _ in range(3):
        weights = _weights(setting, x, scale)
        solution = solve_image_fit(weights.problem, x, bounds.low, bounds.high, bounds.linear)
        evaluations += solution.evaluations
        x, scale = solution.x, solution.linear[0]
        # the weights know where the sky falls and how far it spreads: made anew where the start was off
        if _whole_pixels(setting, x) == weights.shift and 0.8 < x[2] / weights.fwhm < 1.25:
            break
    if weights.reference is not None:
        solution = _unpulled(setting, weights, solution)
    solution, beyond = _completed(setting, weights, solution)
    return _result(setting, weights, solution, evaluations, beyond)


def _unpulled(setting: FitSetting, weights: _Weights, solution: Solution) -> Solution:
    """The solution without the pull of the reference's noise: one Newton step, as the pull is a small part of a standard error."""
    if weights.reference is None or not solution.rows:
        return solution
    pull = reference_noise_pull(weights.problem, solution.x, solution.linear[0], weights.reference, solution.rows)
    return _stepped(setting, solution, pull)[0]


def _completed(setting: FitSetting, weights: _Weights, solution: Solution) -> tuple[Solution, FloatArray | None]:
    """The solution with the light beyond Nyquist's frequency, and that light: Newton steps, as it depends on the seeing."""
    problem, light = weights.problem, None
    noise = math.sqrt(solution.chisqr / max(int(np.count_nonzero(problem.weight)), 1))
    points = bright_points(problem, solution.x, solution.linear[0], noise)
    for _ in range(_PASSES if points else 0):
        new = light_beyond(problem, points, solution.x, solution.linear[0])
        missing = ((new if light is None else new - light) * problem.weight).ravel()
        light, before = new, solution
        pull = -rows_by_vector(solution.jacobian, missing)
        solution, decrease = _stepped(setting, replace(solution, residual=solution.residual - missing), pull)
        # the light changes by 15 times what fwhm changes by, and the next step with it
        if 15.0 * abs(solution.x[2] / before.x[2] - 1.0) * math.sqrt(max(decrease, 0.0)) < _SETTLED * noise:
            break
    return solution, light


def _stepped(setting: FitSetting, solution: Solution, pull: FloatArray) -> tuple[Solution, float]:
    """The solution where the gradient is less by `pull`, within bounds, and the square of the step in units of the weighted noise."""
    moving = [i for i, row in enumerate(solution.rows) if row not in solution.at_bound]
    if not moving:
        return solution, 0.0
    step = np.zeros(len(solution.rows))
    step[moving] = np.linalg.lstsq(white_middle(solution.jacobian)[np.ix_(moving, moving)], pull[moving], rcond=1e-10)[0]
    values = np.array([*solution.linear, *solution.x])
    values[list(solution.rows)] += step
    linear = setting.bounds.linear
    values[:2] = np.clip(values[:2], linear.low, linear.high)
    x = np.clip(values[2:], setting.bounds.low, setting.bounds.high)
    residual = solution.residual - np.einsum("i,ij->j", step.astype(np.float32), solution.jacobian)  # no threads
    return replace(solution, linear=(float(values[0]), float(values[1])), x=x, residual=residual), float(step @ pull)


def _whole_pixels(setting: FitSetting, x: FloatArray) -> tuple[int, int]:
    return math.floor(float(x[1]) / setting.step[0] + 0.5), math.floor(float(x[0]) / setting.step[1] + 0.5)


def _weights(setting: FitSetting, x: FloatArray, scale: float) -> _Weights:
    """Weights for parameters near x."""
    spectrum, shape = setting.spectrum, setting.image.shape
    shift, fwhm = _whole_pixels(setting, x), float(x[2])
    reach = (math.ceil(_REACH * fwhm / setting.step[0]), math.ceil(_REACH * fwhm / setting.step[1]))
    used = setting.usable & ~reach_mask(spectrum, shape, shift, reach)
    if setting.sky_mask.any():
        used &= ~shifted(setting.sky_mask, shift, fill=False)
    if np.count_nonzero(used) < _FEWEST:
        raise AlgorithmError(
            f"{np.count_nonzero(used)} pixels are left to compare at an offset of ({x[0]:.2f}, {x[1]:.2f}) arcsec",
            hint="check masks and overlap",
        )
    plain = np.where(used, 1.0 / np.sqrt(setting.variance), 0.0)
    problem = PlaneProblem(spectrum, setting.image.data, plain)
    total, reference = setting.variance, None
    if setting.reference.variance is not None:
        reference = setting.reference_part(setting.reference.variance, np.nan)
        known = np.isfinite(reference) & (reference >= 0.0)
        reference = np.where(known, reference, np.median(reference[known]) if known.any() else 0.0)
        total = total + reference_noise_variance(problem, x, scale, reference)
    weight = np.where(used, unknown_light(problem, x, scale) / np.sqrt(total), 0.0)
    return _Weights(PlaneProblem(spectrum, setting.image.data, weight), setting.variance * weight**2, reference, shift, fwhm)


def _result(setting: FitSetting, weights: _Weights, solution: Solution, evaluations: int, beyond: FloatArray | None) -> ImageFitResult:
    problem, shape = weights.problem, setting.image.shape
    turned = linear_map_step(problem, solution, setting.step, setting.bounds.low, setting.bounds.high) if setting.linear_map else None
    solution = solution if turned is None else turned.solution
    used: BoolArray = problem.weight > 0.0
    jacobian = solution.jacobian
    # residuals in units of the noise of the image alone
    own = np.sqrt(np.where(used, weights.own, 1.0))
    residual = np.where(used, solution.residual.reshape(shape) / own, 0.0)
    measured = measure_noise(residual, used)
    factor, coloured, notes = noise_scale(measured, setting.noise, has_variance=setting.image.variance is not None)
    if coloured:
        middle = coloured_middle((jacobian * own.ravel().astype(np.float32)).reshape(len(jacobian), *shape), measured.correlation)
    else:
        middle = white_middle(jacobian, weights.own.ravel())
    middle = middle * factor**2
    if weights.reference is not None:
        rows = reference_noise_scores(problem, solution.x, solution.linear[0], jacobian, weights.reference, used)
        middle = middle + white_middle(rows)
    errors = Errors(normal=white_middle(jacobian), middle=middle)
    extra: dict[str, Estimate] = {}
    model = solution.linear[0] * problem.model(solution.x) + solution.linear[1]
    if beyond is not None:
        model += beyond
    if turned is not None:
        full, _ = sandwich(errors.normal, errors.middle)
        inner = np.linalg.pinv(full[:-2, :-2], hermitian=True).astype(np.float64)
        errors = Errors(normal=inner, middle=inner)
        extra, far = map_estimates(turned, full[-2:, -2:])
        notes = (*notes, *far)
        model = model + np.where(used, turned.moved.reshape(shape) / np.where(used, problem.weight, 1.0), 0.0)
    found, covariance, flags = estimates(solution, errors, setting.parameters)
    if min(float(solution.x[2]) / step for step in setting.step) < _SHARPEST:
        flags = (
            *flags,
            f"fwhm is below {_SHARPEST:g} pixels: the image has detail that the regridded reference has not; errors are too small",
        )
    data = np.where(setting.usable, setting.image.data, np.nan)
    count, free = int(np.count_nonzero(used)), len(jacobian)
    chisqr = float((residual**2).sum())
    return ImageFitResult(
        method="whitened",
        parameters={**found, **extra},
        covariance=covariance,
        chisqr=chisqr,
        redchi=chisqr / max(count - free, 1),
        n_data=count,
        n_free=free,
        n_evaluations=evaluations,
        noise_factor=factor,
        rms_error=float(np.sqrt(np.mean((data - model)[used] ** 2))),
        image=data,
        model=model,
        residual=data - model,
        good=used,
        sigma=np.sqrt(setting.variance) * factor,
        step_arcsec=setting.step,
        converged=solution.converged,
        message=f"converged after {evaluations} models" if solution.converged else f"not converged after {evaluations} models",
        notes=(*setting.notes, *notes, *flags),
        name=setting.image.name,
        reference_name=setting.reference.name,
        unit=setting.image.unit,
    )
