"""One star in an image and in its reference: seeing, flux scale, background and offset, with errors that can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.core.psf.covariance import measure_noise
from nbmosaic.core.psf.fourier_window import fourier_grid, resampling_window
from nbmosaic.core.psf.star_fit_joint import JointSolution, StarNoise, joint_parameters, solve_joint
from nbmosaic.core.psf.star_fit_pixels import StarPixels, StarStart, first_guess, star_pixels
from nbmosaic.core.psf.star_fit_profile import MoffatShape, StarShape, WindowShape
from nbmosaic.core.psf.star_fit_report import build_result
from nbmosaic.core.psf.star_fit_solver import StarSolution, StarSystem, solve_star
from nbmosaic.errors import ConfigError, ShapeError
from nbmosaic.types.photometry import FitFrame, ParameterSpec, StarFitResult, complete_parameters

__all__ = ["fit_star"]

StarMethod = Literal["window", "imphot"]
NoiseRule = Literal["auto", "given", "fitted"]
_LARGEST_V = 0.99
"""1/beta of a profile whose flux is still finite: beta = 1.0101."""
_FREE = ParameterSpec()


def fit_star(
    reference: FitFrame,
    image: FitFrame,
    *,
    centre: tuple[float, float],
    radius_arcsec: float,
    parameters: Mapping[str, ParameterSpec] | None = None,
    method: StarMethod = "window",
    elliptical: bool = False,
    integrate: bool = False,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    noise: NoiseRule = "auto",
) -> StarFitResult:
    """Fit one star in an image and in the reference, and compare the two.

    Parameters
    ----------
    reference, image : FitFrame
        Both on one grid. Masked pixels, values that are not finite and variances that are not positive are left out.
    centre : tuple of float
        ``(y, x)`` of the star, 0-based pixels.
    radius_arcsec : float
        Pixels whose centres are nearer than this are fitted.
    parameters : mapping of str to ParameterSpec, optional
        Of ``scale, bg, dx, dy, fwhm, beta`` those that are fixed, bounded or started; the others are free. Start values of `scale` and `bg`
        are not needed: the model is linear in them.
    method : {"window", "imphot"}
        ``"window"``: the star in the reference is a point source seen through the reference's known PSF and the window of its resampling (see
        Notes), the star in the image is a Moffat. ``"imphot"``: two independent Moffat profiles and equal weights, as the program imphot fits
        them; its fluxes are biased (see Notes).
    elliptical : bool
        Whether Moffat profiles may be elliptical.
    integrate : bool
        Whether Moffat profiles are averaged over the pixels. If not, the fwhm is that of the effective profile, pixel response included.
    hst_fwhm, hst_beta : float
        Moffat PSF of the reference before it was resampled, for ``method="window"``.
    noise : {"auto", "given", "fitted"}
        Whether the variance is taken as it is, or scaled so that the reduced chi squared is 1; ``"auto"`` scales where that value is more than
        3 standard deviations from 1, and says so. Without a variance the noise level is always fitted. Unless it is ``"given"``, the standard errors
        also allow for correlation of neighbouring pixels of the image, where the residuals show it.

    Returns
    -------
    StarFitResult

    Raises
    ------
    InputError
        The star is outside the image.
    SingularFitError
        Too few usable pixels.
    ShapeError, ConfigError
        The frames are on different grids, or an option has no meaning.

    Notes
    -----
    A space image that was brought to a coarse grid shows a point source as ``W = IFT[B P]`` (see `nbmosaic.core.psf.fourier_window`), which has the
    core of the window and the wings of P. No Moffat has both: the best one misses the flux beyond the radius, and the scale comes out 4 to 8 % too
    large on bright stars. This is the bias of imphot's star fits. With W itself the bias is gone. The scale then rests on `hst_fwhm` and `hst_beta`:
    on a star of the Hubble Deep Field South an fwhm of 0.060, 0.085 and 0.120 gives 0.146, 0.137 and 0.126; ``result.reference.rms_error`` was 2.3
    and 2.8 times larger with the first and the last than with the default.
    In ``method="window"`` ``bg`` is the image's background less `scale` times that of the reference, as in the image fit; in ``method="imphot"``
    their difference. The noise of the reference is taken to be correlated as its window makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.core.psf.moffat import moffat_profile
    >>> from nbmosaic.core.psf.star_fit_profile import window_profile
    >>> y, x = np.indices((41, 41)) * 0.2 - 4.0
    >>> sharp = 0.04 * window_profile(0.085, 1.6, 0.2, 6.0)[0](np.hypot(x, y))
    >>> blurred = 0.04 * moffat_profile((x - 0.1) ** 2 + y**2, 0.6, 2.5)
    >>> frames = [FitFrame(data=d, mask=np.zeros(d.shape, bool)) for d in (100 * sharp, 95 * blurred + 0.5)]
    >>> found = fit_star(*frames, centre=(20.0, 20.0), radius_arcsec=3.0)
    >>> [round(found[name].value, 3) for name in ("scale", "bg", "dx", "fwhm", "beta")]
    [0.95, 0.5, 0.1, 0.6, 2.5]
    """
    specs = complete_parameters(parameters)
    _check(reference, image, radius_arcsec, method, noise, hst_fwhm, hst_beta)
    least = 8 + 2 * elliptical
    pixels = [star_pixels(frame, centre=centre, radius_arcsec=radius_arcsec, least=least) for frame in (image, reference)]
    step = image.step_arcsec
    moffat = MoffatShape(area=step[0] * step[1], elliptical=elliptical, pixel=step if integrate else None)
    shape: StarShape = moffat
    if method == "window":
        shape = WindowShape.of_reference(hst_fwhm, hst_beta, step=math.sqrt(moffat.area), reach=2.5 * radius_arcsec)
    by_variance = method == "window"
    reference_system = _system(pixels[1], shape, {}, radius_arcsec, by_variance=by_variance)
    starts = [first_guess(some, radius_arcsec) for some in pixels]
    reference_fit = _best(reference_system, starts[1], {}, radius_arcsec)
    image_system = _system(pixels[0], moffat, specs, radius_arcsec, by_variance=by_variance)
    start = _moved(starts[0], specs, reference_fit.theta)
    image_fit = _best(image_system, start, specs, radius_arcsec)
    systems, noises, levels = [image_system, reference_system], [], []
    for i, (system, fit) in enumerate(((image_system, image_fit), (reference_system, reference_fit))):
        power = _window_power(pixels[i], radius_arcsec) if i == 1 and method == "window" else None
        measured = i == 0 and noise != "given"
        systems[i], noise_model, level = _levelled(system, fit, pixels[i], noise, power, measured=measured)
        noises.append(noise_model)
        levels.append(level)
    fits = (
        (systems[0], replace(image_fit, chisqr=float(systems[0].weight @ image_fit.residual**2)), noises[0]),
        (systems[1], replace(reference_fit, chisqr=float(systems[1].weight @ reference_fit.residual**2)), noises[1]),
    )
    joint, free, at_bound = _compare(fits, specs, scaled_background=method == "window")
    return build_result(
        method=method,
        joint=joint,
        free=free,
        at_bound=at_bound,
        systems=(systems[0], systems[1]),
        noises=(noises[0], noises[1]),
        levels=(levels[0], levels[1]),
        pixels=(pixels[0], pixels[1]),
        frames=(image, reference),
        first_evaluations=(image_fit.n_evaluations, reference_fit.n_evaluations),
        singles_converged=image_fit.converged and reference_fit.converged,
        reference_psf=(hst_fwhm, hst_beta),
        centre=(float(centre[0]), float(centre[1])),
        radius_arcsec=float(radius_arcsec),
    )


def _check(reference: FitFrame, image: FitFrame, radius_arcsec: float, method: str, noise: str, hst_fwhm: float, hst_beta: float) -> None:
    """Refuse frames on different grids and options without meaning."""
    if reference.shape != image.shape:
        raise ShapeError(f"the image has {image.shape} pixels and the reference {reference.shape}", hint="bring them to one grid first")
    if not np.allclose(reference.step_arcsec, image.step_arcsec, rtol=1e-4, atol=0):
        raise ShapeError(f"pixels of {image.step_arcsec} and of {reference.step_arcsec} arcsec", hint="bring both images to one grid first")
    if not (radius_arcsec > 0 and math.isfinite(radius_arcsec)):
        raise ConfigError(f"the radius around the star is {radius_arcsec} arcsec", hint="give a positive number")
    for label, value, known in (("method", method, ("window", "imphot")), ("noise", noise, ("auto", "given", "fitted"))):
        if value not in known:
            raise ConfigError(f"{label}={value!r} is not known", hint=f"use one of {', '.join(known)}")
    if method != "window":
        return
    if not (hst_fwhm >= 0 and hst_beta > 1 and math.isfinite(hst_fwhm + hst_beta)):
        raise ConfigError(f"the reference's PSF has fwhm {hst_fwhm} and beta {hst_beta}", hint="fwhm must not be negative, beta above 1")
    dy, dx = image.step_arcsec
    if abs(dy / dx - 1) > 0.01:
        raise ConfigError(f"pixels of {dy:g} x {dx:g} arcsec are not square: the window profile is not round", hint='use method="imphot"')


def _system(
    pixels: StarPixels, shape: StarShape, specs: Mapping[str, ParameterSpec], radius_arcsec: float, *, by_variance: bool
) -> StarSystem:
    """The least-squares problem of one star."""
    n = len(shape.names)
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    lower[:2], upper[:2] = -2 * radius_arcsec, 2 * radius_arcsec
    free = np.ones(n, bool)
    if n > 2:
        fwhm, beta = specs.get("fwhm", _FREE), specs.get("beta", ParameterSpec(min=1.0, max=1e6))
        lower[2] = math.log(max(fwhm.min, 0.2 * min(pixels.step)))
        upper[2] = math.log(max(min(fwhm.max, 4 * radius_arcsec), 1.001 * math.exp(lower[2])))
        lower[3], upper[3] = 1 / min(beta.max, 1e6), min(1 / max(beta.min, 1.0), _LARGEST_V)
        free[2], free[3] = fwhm.vary, beta.vary
        lower[4:], upper[4:] = -1.5, 1.5
    weight = np.ones(pixels.values.size)
    if pixels.variance is not None:
        weight = 1 / pixels.variance if by_variance else weight / float(np.median(pixels.variance))
    return StarSystem(shape=shape, x=pixels.x, y=pixels.y, values=pixels.values, weight=weight, lower=lower, upper=upper, free=free)


def _moved(start: StarStart, specs: Mapping[str, ParameterSpec], reference: FloatArray) -> StarStart:
    """The start at the offset that was asked for."""
    dx, dy = specs["dx"].value, specs["dy"].value
    return replace(start, x=start.x if dx is None else reference[0] + dx, y=start.y if dy is None else reference[1] + dy)


def _best(system: StarSystem, start: StarStart, specs: Mapping[str, ParameterSpec], radius_arcsec: float) -> StarSolution:
    """The best of the minima from several starts; one start where that one ends well."""
    n = len(system.lower)
    fwhm, beta = specs.get("fwhm", _FREE).value, specs.get("beta", _FREE).value
    found: StarSolution | None = None
    count = 0
    for factor, x, y in ((1.0, start.x, start.y), (0.6, 0.0, 0.0), (1.8, start.x, start.y)):
        first = np.zeros(n + 2)
        first[:2] = x, y
        if n > 2:
            first[2] = math.log(factor * start.fwhm if fwhm is None else fwhm)
            first[3] = 1 / 3 if beta is None else 1 / beta
        new = solve_star(system, first)
        count += new.n_evaluations
        if found is None or new.chisqr < found.chisqr * (1 - 1e-9):
            found = new
        if _is_sound(system, found, radius_arcsec):
            break
    assert found is not None
    return replace(found, n_evaluations=count)


def _is_sound(system: StarSystem, fit: StarSolution, radius_arcsec: float) -> bool:
    """Whether a fit ended, found a star (positive flux, inside the radius), and has its width off the bounds."""
    n = len(system.lower)
    inside = math.hypot(fit.theta[0], fit.theta[1]) < radius_arcsec and fit.theta[n] > 0
    width = n == 2 or not system.free[2] or bool(system.lower[2] < fit.theta[2] < system.upper[2])
    return fit.converged and inside and width


def _levelled(
    system: StarSystem, fit: StarSolution, pixels: StarPixels, rule: NoiseRule, power: FloatArray | None, *, measured: bool
) -> tuple[StarSystem, StarNoise, tuple[float, bool]]:
    """Weights and variances at the noise level that holds; the reduced chi squared by the variance given, and whether it was used as a factor."""
    n_free = max(fit.residual.size - int(system.free.sum()) - 2, 1)
    given = np.ones(fit.residual.size) if pixels.variance is None else pixels.variance
    redchi = float(np.sum(fit.residual**2 / given)) / n_free
    wrong = abs(redchi - 1) > 3 * math.sqrt(2 / n_free)
    scaled = pixels.variance is None or rule == "fitted" or (rule == "auto" and wrong)
    # an exact fit leaves rounding: a floor keeps the weights finite
    level = max(redchi, 1e-20 * float(np.mean(pixels.values**2 / given)), 1e-300) if scaled else 1.0
    rows, columns = pixels.rows - pixels.rows.min(), pixels.columns - pixels.columns.min()
    noise = StarNoise(
        variance=given * level,
        power=power,
        rows=rows,
        columns=columns,
        correlation=_correlation(fit.residual / np.sqrt(given * level), rows, columns) if measured else None,
    )
    return replace(system, weight=system.weight / level), noise, (redchi, scaled)


def _correlation(residual: FloatArray, rows: IntArray, columns: IntArray) -> FloatArray | None:
    """Correlation of neighbouring pixels in residuals of unit variance, where it is significant."""
    good = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), bool)
    good[rows, columns] = True
    grid = np.zeros(good.shape)
    grid[rows, columns] = residual
    found = measure_noise(grid, good)
    return found.correlation if found.coloured else None


def _window_power(pixels: StarPixels, radius_arcsec: float) -> FloatArray:
    """Power spectrum, mean 1, of white noise that went through the resampling window; on a grid twice the size of the disc."""
    size = 2 * (int(2 * radius_arcsec / min(pixels.step)) + 2)
    n = 1 << (size - 1).bit_length() if size <= 256 else size
    half = resampling_window(fourier_grid((n, n), pixels.step).f) ** 2
    power = np.concatenate([half, np.zeros((n, n - half.shape[1]))], axis=1)
    mirror = np.arange(half.shape[1], n)
    power[:, mirror] = half[:, n - mirror]  # the window is even in each axis
    out: FloatArray = power / power.mean()
    return out


def _compare(
    fits: tuple[tuple[StarSystem, StarSolution, StarNoise], tuple[StarSystem, StarSolution, StarNoise]],
    specs: Mapping[str, ParameterSpec],
    *,
    scaled_background: bool,
) -> tuple[JointSolution, BoolArray, BoolArray]:
    """Comparison of the two stars with the fixed parameters in place and the bounds kept; which are free, and which of the first six are at a bound."""
    names = ("scale", "bg", "dx", "dy")
    start = joint_parameters(fits[0][1].theta, fits[1][1].theta, scaled_background=scaled_background)
    n_image = len(fits[0][1].theta)
    free = np.ones(len(start), bool)
    free[4:n_image] = fits[0][0].free[2:]
    held = np.zeros(len(start), bool)
    for i, name in enumerate(names):
        value = specs[name].value
        if not specs[name].vary and value is not None:
            free[i], start[i] = False, value
    while True:
        moving = free & ~held
        joint = solve_joint(*fits, start=start, free=moving, constrained=not moving[:4].all(), scaled_background=scaled_background)
        broken = [i for i, name in enumerate(names) if moving[i] and not specs[name].min <= joint.parameters[i] <= specs[name].max]
        if not broken:
            break
        for i in broken:
            held[i] = True
            start[i] = np.clip(joint.parameters[i], specs[names[i]].min, specs[names[i]].max)
    if held.any():  # errors as if it were free: a bound is no measurement
        full = solve_joint(
            (fits[0][0], joint.image, fits[0][2]),
            (fits[1][0], joint.reference, fits[1][2]),
            start=joint.parameters,
            free=free,
            constrained=False,
            scaled_background=scaled_background,
        )
        joint = replace(full, n_evaluations=joint.n_evaluations, image=joint.image, reference=joint.reference)
    system = fits[0][0]
    shape = joint.parameters[4:n_image]
    margin = 1e-9 * (1 + np.abs(shape))
    held[4:n_image] = free[4:n_image] & ((shape <= system.lower[2:] + margin) | (shape >= system.upper[2:] - margin))
    return joint, free, held
