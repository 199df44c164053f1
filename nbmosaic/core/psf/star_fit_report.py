"""From the solution of a star fit to its result: physical parameters, errors, notes, and what pictures need."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.psf.star_fit_joint import JointSolution, StarNoise
from nbmosaic.core.psf.star_fit_pixels import StarPixels
from nbmosaic.core.psf.star_fit_profile import MoffatShape
from nbmosaic.core.psf.star_fit_solver import StarSolution, StarSystem
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, FitFrame, ProfileFit, StarFitResult

__all__ = ["build_result"]

_PROFILE = ("dx", "dy", "fwhm", "beta", "axis_ratio", "angle")
_ORDER = ("flux", "bg", "dx", "dy", "fwhm", "beta", "axis_ratio", "angle")


def build_result(
    *,
    method: str,
    joint: JointSolution,
    free: BoolArray,
    at_bound: BoolArray,
    systems: tuple[StarSystem, StarSystem],
    noises: tuple[StarNoise, StarNoise],
    levels: tuple[tuple[float, bool], tuple[float, bool]],
    pixels: tuple[StarPixels, StarPixels],
    frames: tuple[FitFrame, FitFrame],
    first_evaluations: tuple[int, int],
    singles_converged: bool,
    reference_psf: tuple[float, float],
    centre: tuple[float, float],
    radius_arcsec: float,
) -> StarFitResult:
    """Everything that a star fit reports; the order in every pair is image, reference.

    Parameters
    ----------
    method, centre, radius_arcsec, frames, pixels
        As they went into the fit.
    joint, systems, noises : JointSolution, pairs of StarSystem and StarNoise
        The solution, and the problem with its final weights.
    free, at_bound : ndarray of bool
        Which joint parameters were fitted, and which ended at a bound.
    levels : pair of (float, bool)
        Reduced chi squared by the variance given, and whether the noise was scaled by it.
    first_evaluations, singles_converged
        Work and end of the two single fits.
    reference_psf : tuple of float
        FWHM and beta that the window profile was made from.

    Returns
    -------
    StarFitResult
    """
    solutions = (joint.image, joint.reference)
    n_image = len(joint.image.theta)
    slices = (slice(0, n_image), slice(n_image, n_image + len(joint.reference.theta)))
    profiles, blocks, names = [], [], []
    for i, (solution, part) in enumerate(zip(solutions, slices, strict=True)):
        profile, block = _profile_fit(
            solution,
            systems[i],
            noises[i],
            pixels[i],
            levels[i],
            joint.profile_covariance[part, part],
            first_evaluations[i] + (joint.n_evaluations if i == 0 else 0),
            reference_psf,
            radius_arcsec,
        )
        profiles.append(profile)
        blocks.append(block)
        names += [f"{('image', 'reference')[i]}_{name}" for name in profile.names]
    slope = np.zeros((len(blocks[0]) + len(blocks[1]), len(joint.profile_covariance)))
    slope[: len(blocks[0]), slices[0]] = blocks[0]
    slope[len(blocks[0]) :, slices[1]] = blocks[1]
    parameters, covariance = _comparison(joint, free, at_bound)
    converged = singles_converged and joint.image.converged and joint.reference.converged
    if not converged:
        unfinished = {name: replace(e, flag=e.flag or "not converged") for name, e in parameters.items() if not e.fixed}
        parameters = {**parameters, **unfinished}
    return StarFitResult(
        method=method,
        parameters=parameters,
        covariance=covariance,
        image=profiles[0],
        reference=profiles[1],
        joint_names=tuple(names),
        joint_covariance=_propagate(slope, joint.profile_covariance),
        centre=centre,
        radius_arcsec=radius_arcsec,
        step_arcsec=frames[0].step_arcsec,
        converged=converged,
        message="converged" if converged else "gave up: the minimum was not reached",
        notes=_notes(profiles, pixels, levels, frames) + _correlated(noises[0]),
        name=frames[0].name,
        reference_name=frames[1].name,
        unit=frames[0].unit,
    )


def _propagate(slope: FloatArray, covariance: FloatArray) -> FloatArray:
    """``slope C slope'``, with infinite variances carried to what depends on them."""
    lost = np.isinf(np.diag(covariance))
    finite = np.where(np.isfinite(covariance), covariance, 0.0)
    out: FloatArray = slope @ finite @ slope.T
    touched = (slope[:, lost] != 0).any(axis=1)
    out[touched, touched] = np.inf
    return out


def _comparison(joint: JointSolution, free: BoolArray, at_bound: BoolArray) -> tuple[dict[str, Estimate], FloatArray]:
    """The six parameters and their covariance in physical units."""
    p = joint.parameters
    fwhm, beta = math.exp(p[4]), 1 / p[5]
    values = (*p[:4], fwhm, beta)
    slope = np.zeros((6, len(p)))
    slope[range(6), range(6)] = 1, 1, 1, 1, fwhm, -(beta**2)
    covariance = _propagate(slope, joint.covariance)
    parameters = {}
    for i, name in enumerate(PARAMETER_NAMES):
        stderr = math.sqrt(max(covariance[i, i], 0.0))
        flag = ""
        if free[i]:
            flag = "not constrained" if math.isinf(stderr) else "at bound" if at_bound[i] else ""
        parameters[name] = Estimate(value=float(values[i]), stderr=stderr, fixed=not free[i], flag=flag)
    return parameters, covariance


def _profile_fit(
    solution: StarSolution,
    system: StarSystem,
    noise: StarNoise,
    pixels: StarPixels,
    level: tuple[float, bool],
    covariance: FloatArray,
    n_evaluations: int,
    reference_psf: tuple[float, float],
    radius_arcsec: float,
) -> tuple[ProfileFit, FloatArray]:
    """One star in physical parameters, and the derivatives of those with respect to the fitted ones."""
    theta, n = solution.theta, len(solution.theta)
    names, values, slope = _physical(theta, reference_psf)
    physical = _propagate(slope, covariance)
    lower, upper = np.concatenate([system.lower, [-np.inf] * 2]), np.concatenate([system.upper, [np.inf] * 2])
    margin = 1e-9 * (1 + np.abs(theta))
    bound = (theta <= lower + margin) | (theta >= upper - margin)
    fitted = np.concatenate([system.free, [True, True]])
    estimates = {}
    for i, name in enumerate(names):
        sources = slope[i] != 0
        fixed = not (sources & fitted).any()
        stderr = 0.0 if fixed else math.sqrt(max(physical[i, i], 0.0))
        flag = "" if fixed else "not constrained" if math.isinf(stderr) else "at bound" if (sources & bound & fitted).any() else ""
        estimates[name] = Estimate(value=float(values[i]), stderr=stderr, fixed=fixed, flag=flag)
    redchi, scaled = level
    n_free = int(fitted.sum())
    size = solution.residual.size
    curve_radius = np.linspace(0.0, radius_arcsec, 101)
    round_shape = MoffatShape(area=system.shape.area) if n > 4 else system.shape
    curve = round_shape.evaluate(theta[: 2 if n == 4 else 4], theta[0] + curve_radius, np.full(101, theta[1]))[0]
    fwhm = estimates["fwhm"].value if n > 4 else 2 * pixels.step[0]
    masked_core = bool((np.hypot(pixels.bad_x - theta[0], pixels.bad_y - theta[1]) < 0.5 * fwhm).any())
    in_pixels = pixels.variance is not None
    # a fixed scale or offset raises chi squared over that of the single fit, which set the noise level
    given = noise.variance if pixels.variance is None else pixels.variance
    chisqr = float(np.sum(solution.residual**2 / given))
    return (
        ProfileFit(
            parameters=estimates,
            names=names,
            covariance=physical,
            chisqr=chisqr,
            redchi=chisqr / max(size - n_free, 1),
            n_data=size,
            n_free=n_free,
            n_evaluations=n_evaluations,
            noise_factor=math.sqrt(redchi) if scaled and in_pixels else 1.0,
            rms_error=float(np.sqrt(np.mean(solution.residual**2))),
            radius=np.hypot(pixels.x - theta[0], pixels.y - theta[1]),
            pixels=pixels.values,
            model=solution.model,
            sigma=np.sqrt(noise.variance),
            curve_radius=curve_radius,
            curve=theta[-2] * curve + theta[-1],
            saturated=masked_core or pixels.n_flat > 0,
        ),
        slope,
    )


def _physical(theta: FloatArray, reference_psf: tuple[float, float]) -> tuple[tuple[str, ...], list[float], FloatArray]:
    """Names and values of the physical parameters of a profile, and their derivatives with respect to the fitted ones."""
    n = len(theta)
    names = _ORDER[: max(n, 6)]
    slope = np.zeros((len(names), n))
    slope[0, n - 2] = slope[1, n - 1] = slope[2, 0] = slope[3, 1] = 1.0
    values = [theta[-2], theta[-1], theta[0], theta[1]]
    if n == 4:
        return names, [*values, *reference_psf], slope
    fwhm, beta = math.exp(theta[2]), 1 / theta[3]
    slope[4, 2], slope[5, 3] = fwhm, -(beta**2)
    values += [fwhm, beta]
    if n > 6:
        g1, g2 = theta[4], theta[5]
        h = max(math.hypot(g1, g2), 1e-12)
        ratio = math.exp(-h)
        slope[6, 4:6] = -ratio * g1 / h, -ratio * g2 / h
        slope[7, 4:6] = np.degrees(0.5) * np.array([-g2, g1]) / h**2
        values += [ratio, math.degrees(0.5 * math.atan2(g2, g1))]
    return names, values, slope


def _notes(
    profiles: list[ProfileFit],
    pixels: tuple[StarPixels, StarPixels],
    levels: tuple[tuple[float, bool], tuple[float, bool]],
    frames: tuple[FitFrame, FitFrame],
) -> tuple[str, ...]:
    """What the reader of the numbers must know."""
    notes = []
    for label, profile, some, (redchi, scaled), frame in zip(("image", "reference"), profiles, pixels, levels, frames, strict=True):
        if frame.variance is None:
            notes.append(f"{label}: no variance, noise level taken from the residuals ({math.sqrt(redchi):.3g} a pixel)")
        elif scaled:
            notes.append(
                f"{label}: reduced chi squared {redchi:.3g} by the variance given; errors are {math.sqrt(redchi):.3g} times larger"
            )
        if some.n_masked or some.n_outside:
            notes.append(f"{label}: {some.n_masked} pixels of the disc are masked and {some.n_outside} outside; left out")
        if some.n_flat:
            notes.append(f"{label}: {some.n_flat} pixels share the highest value {some.values.max():.4g} or more; left out as saturated")
        elif profile.saturated:
            notes.append(f"{label}: masked pixels in the core; the profile rests on the wings")
        flux = profile["flux"]
        if not flux.value > 3 * flux.stderr:
            notes.append(f"{label}: no star found here (flux {flux.value:.4g} +- {flux.stderr:.2g})")
    return tuple(notes)


def _correlated(noise: StarNoise) -> tuple[str, ...]:
    """What is said where the residuals of the image are correlated."""
    if noise.correlation is None:
        return ()
    middle = noise.correlation.shape[0] // 2
    rho = 0.5 * float(noise.correlation[middle, middle + 1] + noise.correlation[middle + 1, middle])
    return (f"image: neighbouring pixels are correlated by {rho:.2f}; the errors allow for it",)
