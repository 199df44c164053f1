"""imphot's estimator, with standard errors from the noise of the pixels."""

from __future__ import annotations

import math

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.psf.covariance import measure_noise, white_middle
from nbmosaic.core.psf.image_fit_assemble import Errors, estimates, noise_scale
from nbmosaic.core.psf.image_fit_setting import FitSetting
from nbmosaic.core.psf.image_fit_solver import LinearBounds, Solution, solve_image_fit
from nbmosaic.core.psf.image_fit_spectrum import SpectrumProblem, shifted
from nbmosaic.errors import AlgorithmError, InputError
from nbmosaic.types.photometry import ImageFitResult

__all__ = ["fit_imphot"]


def fit_imphot(setting: FitSetting) -> ImageFitResult:
    """Fit in the half plane of frequencies, as imphot does.

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
    InputError
        A start offset larger than the image.

    Notes
    -----
    imphot starts with the reference moved by the start offset in whole pixels, and fits again from what it found where that is a pixel or more away, up to
    twice. So it is done here, because the pixels that are masked depend on it. But each fit starts from the peak of the cross-correlation.
    """
    start, bounds, step = setting.start, setting.bounds, (setting.step[1], setting.step[0])
    x = np.clip(np.array([start.dx, start.dy, start.fwhm, 1.0 / start.beta]), bounds.low, bounds.high)
    first = [setting.parameters[name].value or 0.0 for name in ("dx", "dy")]
    if any(abs(math.floor(v / s + 0.5)) > n for v, s, n in zip(first, step, setting.image.shape[::-1], strict=True)):
        raise InputError(
            f"the initial offsets ({first[0]:g}, {first[1]:g}) arcsec are larger than the image", hint="give arcsec, not pixels"
        )
    evaluations, place = 0, first
    for _ in range(3):
        shift = _whole_pixels(place, step)
        moved = np.array([shift[1] * step[0], shift[0] * step[1], 0.0, 0.0])
        problem = _problem(setting, shift)
        linear = bounds.linear
        # the image is fitted less its median
        offset = LinearBounds(low=(linear.low[0], linear.low[1] - problem.median), high=(linear.high[0], linear.high[1] - problem.median))
        solution = solve_image_fit(problem, x - moved, bounds.low - moved, bounds.high - moved, offset)
        evaluations += solution.evaluations
        found = solution.x + moved
        if all(abs(found[i] - place[i]) < step[i] for i in (0, 1)):
            break
        # masks that have not been moved can spoil the first fit altogether; the cross-correlation is then the better guide
        spoiled = any(abs(found[i] - x[i]) > step[i] for i in (0, 1))
        place = [float(v) for v in ((start.dx, start.dy) if spoiled else found[:2])]
        x = x if spoiled else found
    return _result(setting, problem, solution, moved, evaluations)


def _whole_pixels(place: list[float], step: tuple[float, float]) -> tuple[int, int]:
    """``(y, x)`` of an offset ``dx, dy``, rounded."""
    # a half pixel goes down: steps read from headers come out a little too large in imphot, as a recorded fit with dx fixed at half a pixel shows
    return math.floor(place[1] / step[1] + 0.5 - 1e-6), math.floor(place[0] / step[0] + 0.5 - 1e-6)


def _problem(setting: FitSetting, shift: tuple[int, int]) -> SpectrumProblem:
    reference = setting.reference
    good = setting.reference_part(reference.good, 0.0) > 0.0
    good &= ~setting.sky_mask
    good = shifted(good, shift, fill=False) & setting.usable
    data = np.where(reference.good, reference.data, 0.0)
    problem = SpectrumProblem(
        shifted(setting.reference_part(data, 0.0), shift, fill=0.0),
        setting.image.data,
        good,
        step_arcsec=setting.step,
        margin_arcsec=setting.margin_arcsec,
        taper=setting.taper,
        hst_fwhm=setting.hst_psf[0],
        hst_beta=setting.hst_psf[1],
    )
    if not problem.taper.any():
        raise AlgorithmError(
            f"{np.count_nonzero(good)} pixels are left to compare, none of them further than the taper from a masked one",
            hint="check masks and overlap, or use a smaller taper",
        )
    return problem


def _result(setting: FitSetting, problem: SpectrumProblem, solution: Solution, moved: FloatArray, evaluations: int) -> ImageFitResult:
    scale, level = solution.linear
    image = problem.image_of(problem.data)
    residual = problem.image_of(solution.residual)
    variance = np.where(problem.good, setting.variance[problem.box], 0.0)
    sigma = np.sqrt(problem.smoothed_variance(variance))
    deep = problem.taper > 0.5
    if not deep.any():
        deep = problem.taper > 0.0
    measured = measure_noise(np.where(deep, residual / np.where(deep, sigma, 1.0), 0.0), deep)
    # the blurred residuals are correlated by construction: only their level is used
    measured = measured._replace(coloured=False, factor_error=2.5 * measured.factor_error)
    factor, _, notes = noise_scale(measured, setting.noise, has_variance=setting.image.variance is not None)
    scores = problem.scores(solution.jacobian)
    middle = white_middle(scores.reshape(len(scores), variance.size), variance.ravel()) * factor**2
    errors = Errors(normal=white_middle(solution.jacobian), middle=middle)
    solution_bg = (scale, level + problem.median)
    found, covariance, flags = estimates(
        solution, errors, setting.parameters, linear=solution_bg, offset=(float(moved[0]), float(moved[1]))
    )
    free = len(solution.rows)
    return ImageFitResult(
        method="imphot",
        parameters=found,
        covariance=covariance,
        chisqr=solution.chisqr,
        redchi=solution.chisqr / max(problem.n_half_plane - free, 1),
        n_data=problem.n_half_plane,
        n_free=free,
        n_evaluations=evaluations,
        noise_factor=factor,
        rms_error=float(np.sqrt(np.mean(residual[problem.good] ** 2))),
        image=image,
        model=image - residual,
        residual=residual,
        good=problem.good,
        sigma=sigma * factor,
        origin=(problem.box[0].start, problem.box[1].start),
        step_arcsec=setting.step,
        converged=solution.converged,
        message=f"converged after {evaluations} models" if solution.converged else f"not converged after {evaluations} models",
        notes=(*setting.notes, *notes, *flags),
        name=setting.image.name,
        reference_name=setting.reference.name,
        unit=setting.image.unit,
    )
