"""From the minimum of an image fit to its result: names, standard errors, flags and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.psf.covariance import NoiseMeasure, sandwich
from nbmosaic.core.psf.image_fit_solver import LinearBounds, Solution
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ParameterSpec

__all__ = ["MIN_BETA", "Errors", "FitBounds", "estimates", "fit_bounds", "noise_scale"]

MIN_BETA = 1.01
"""Least beta of an image fit: the flux of a Moffat diverges at 1."""
_NAMES = PARAMETER_NAMES
_SMALLEST = 0.05
"""Least fwhm in units of the pixel: below, the transfer function is 1 at every frequency used."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitBounds:
    """Bounds of the nonlinear parameters ``dx, dy, fwhm, 1 / beta`` and of scale and bg; equal bounds fix a parameter."""

    low: FloatArray
    high: FloatArray
    linear: LinearBounds


def fit_bounds(parameters: Mapping[str, ParameterSpec], step: float) -> FitBounds:
    """Bounds in the fit's own variables.

    Parameters
    ----------
    parameters : mapping of str to ParameterSpec
        All six.
    step : float
        Size of a pixel, arcsec.

    Returns
    -------
    FitBounds
    """

    def pair(name: str) -> tuple[float, float]:
        spec = parameters[name]
        return (spec.min, spec.max) if spec.vary else (float(spec.value or 0.0), float(spec.value or 0.0))

    fwhm = pair("fwhm")
    if parameters["fwhm"].vary:
        fwhm = (max(fwhm[0], _SMALLEST * step), max(fwhm[1], 2.0 * _SMALLEST * step))
    beta = [max(b, MIN_BETA) for b in pair("beta")]
    ranges = [pair("dx"), pair("dy"), fwhm, (1.0 / beta[1], 1.0 / beta[0])]
    linear = [pair("scale"), pair("bg")]
    return FitBounds(
        low=np.array([r[0] for r in ranges]),
        high=np.array([r[1] for r in ranges]),
        linear=LinearBounds(low=(linear[0][0], linear[1][0]), high=(linear[0][1], linear[1][1])),
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Errors:
    """What the errors are made of.

    Attributes
    ----------
    normal, middle : ndarray, shape (n_rows, n_rows)
        ``J J'`` and ``J C J'`` of the rows of the solution (see `nbmosaic.core.psf.covariance`).
    notes : tuple of str
        What to say about the noise.
    """

    normal: FloatArray
    middle: FloatArray
    notes: tuple[str, ...] = field(default=())


def noise_scale(measured: NoiseMeasure, noise: str, *, has_variance: bool) -> tuple[float, bool, tuple[str, ...]]:
    """Factor of the noise, whether its correlation is used, and what to say.

    Parameters
    ----------
    measured : NoiseMeasure
    noise : {"auto", "variance", "residuals"}
        ``variance``: the variance plane as it is. ``residuals``: level and correlation as measured. ``auto``: as measured where the level differs from the
        plane's by more than 5 % (or 4 standard errors of the measurement, if that is more), or neighbouring pixels are correlated.
    has_variance : bool
        Whether there is a variance plane at all.

    Returns
    -------
    factor : float
    coloured : bool
    notes : tuple of str
    """
    if noise == "variance" and has_variance:
        return 1.0, False, ()
    off = abs(measured.factor - 1.0) > max(0.05, 4.0 * measured.factor_error)
    level = not has_variance or noise == "residuals" or off or measured.coloured
    if not level:
        return 1.0, False, ()
    notes = []
    if not has_variance:
        notes.append(f"no variance was given: the noise of a pixel, {measured.factor:.4g}, was measured in the residuals")
    elif abs(measured.factor - 1.0) > 0.005:
        notes.append(
            f"the noise of the residuals is {measured.factor:.3g} times that of the variance plane; the errors are those of the residuals"
        )
    if measured.coloured:
        nearest = measured.correlation.shape[0] // 2
        rho = 0.5 * (measured.correlation[nearest, nearest + 1] + measured.correlation[nearest + 1, nearest])
        notes.append(f"neighbouring pixels are correlated by {rho:.2f}; the errors allow for it")
    return measured.factor, measured.coloured, tuple(notes)


def estimates(
    solution: Solution,
    errors: Errors,
    parameters: Mapping[str, ParameterSpec],
    *,
    linear: tuple[float, float] | None = None,
    offset: tuple[float, float] = (0.0, 0.0),
) -> tuple[dict[str, Estimate], FloatArray, tuple[str, ...]]:
    """Estimates with standard errors, covariance in the order of the six parameters, and notes on what is special.

    Parameters
    ----------
    solution : Solution
    errors : Errors
    parameters : mapping of str to ParameterSpec
    linear : tuple of float, optional
        scale and bg, where they are not those of the solution.
    offset : tuple of float
        ``(dx, dy)`` added to the fitted offsets, arcsec.

    Returns
    -------
    parameters : dict of str to Estimate
    covariance : ndarray, shape (6, 6)
    notes : tuple of str

    Notes
    -----
    The errors of a parameter at a bound, and of the others beside it, are those of the fit without the bound: larger, if anything.
    """
    small, constrained = sandwich(errors.normal, errors.middle)
    beta = 1.0 / float(solution.x[3])
    values = (
        *(solution.linear if linear is None else linear),
        float(solution.x[0]) + offset[0],
        float(solution.x[1]) + offset[1],
        float(solution.x[2]),
        beta,
    )
    covariance = np.zeros((6, 6))
    slope = np.array([beta**2 if row == 5 else 1.0 for row in solution.rows])  # |d beta / d(1 / beta)|; its sign is set below
    sign = np.array([-1.0 if row == 5 else 1.0 for row in solution.rows])
    with np.errstate(invalid="ignore"):
        part = small * (slope * sign) * (slope * sign)[:, None]
    covariance[np.ix_(solution.rows, solution.rows)] = part
    flags = _flags(solution, covariance, dict(zip(solution.rows, constrained.tolist(), strict=True)), values)
    for i, flag in flags.items():
        if "not constrained" in flag:
            covariance[i] = covariance[:, i] = 0.0
            covariance[i, i] = np.inf
    out = {}
    for i, name in enumerate(_NAMES):
        error = float(np.sqrt(covariance[i, i])) if covariance[i, i] >= 0.0 else float("nan")
        out[name] = Estimate(value=values[i], stderr=error, fixed=not parameters[name].vary, flag=flags.get(i, ""))
    return out, covariance, tuple(f"{_NAMES[i]}: {flag}" for i, flag in flags.items())


def _flags(solution: Solution, covariance: FloatArray, constrained: Mapping[int, bool], values: tuple[float, ...]) -> dict[int, str]:
    """What is special about each parameter: empty for most."""
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    fwhm = values[4]
    scale_lost = not abs(values[0]) > 3.0 * sigma[0]  # nothing of the reference is seen: its blur and place cannot be known
    flags: dict[int, str] = {}
    for row in solution.rows:
        words = []
        if row in solution.at_bound:
            words.append("at bound")
        lost = not constrained[row] or (row >= 2 and scale_lost)
        lost |= row in {2, 3} and sigma[row] > fwhm
        # beta enters as 1 / beta: its error is that of 1 / beta, unusable where it exceeds what beta = 1 and a Gaussian differ by
        lost |= (row == 4 and sigma[row] > fwhm) or (row == 5 and sigma[row] / values[5] ** 2 > 0.5)
        if lost:
            words.append("not constrained")
        elif not solution.converged:
            words.append("not converged")
        if words:
            flags[row] = ", ".join(words)
    return flags
