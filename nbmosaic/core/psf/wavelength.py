"""FWHM and beta as smooth functions of wavelength, from the fits of many bands; and the keywords in which MUSE keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import ConfigError, ShapeError, SingularFitError
from nbmosaic.types.photometry import ImageFitResult, StarFitResult
from nbmosaic.types.wavelength_psf import WavelengthPsf

__all__ = ["band_estimates", "fit_wavelength_psf", "fsf_cards"]

Order = int | Literal["auto"]


def band_estimates(results: Sequence[ImageFitResult | StarFitResult]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """FWHM, beta and their covariance from fits of many bands.

    Parameters
    ----------
    results : sequence of ImageFitResult or StarFitResult
        One a band.

    Returns
    -------
    fwhm, beta : ndarray of float, shape (n,)
        NaN for a band whose FWHM or beta is flagged (at a bound, not constrained) or that did not converge: `fit_wavelength_psf` leaves it out.
    covariance : ndarray of float, shape (n, 2, 2)
        0 where a parameter was fixed.
    """
    values = np.full((len(results), 2), np.nan)
    covariance = np.zeros((len(results), 2, 2))
    for i, result in enumerate(results):
        if result.converged and not (result["fwhm"].flag or result["beta"].flag):
            values[i] = result["fwhm"].value, result["beta"].value
        covariance[i] = result.covariance[4:6, 4:6]
    return values[:, 0], values[:, 1], covariance


@dataclass(frozen=True, slots=True, eq=False)
class _Bands:
    """The bands that take part: scaled wavelength, values, covariance, and which of FWHM and beta are measured."""

    x: FloatArray
    fwhm: FloatArray
    beta: FloatArray
    covariance: FloatArray
    beta_free: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    coefficients: FloatArray
    covariance: FloatArray
    chisqr: float
    n_data: int


def fit_wavelength_psf(
    wavelength: FloatArray,
    fwhm: FloatArray,
    beta: FloatArray,
    covariance: FloatArray,
    *,
    fwhm_order: Order = 2,
    beta_order: Order = 1,
    max_order: int = 4,
    reference_range: tuple[float, float] = (5000.0, 9000.0),
    errors: Literal["auto", "given"] = "auto",
) -> WavelengthPsf:
    """Fit polynomials of wavelength to the FWHM and beta of many bands, both at once.

    Parameters
    ----------
    wavelength : ndarray of float, shape (n,)
        Of the bands, angstrom.
    fwhm, beta : ndarray of float, shape (n,)
        Estimates of the bands (arcsec; exponent). Bands with a value that is not finite are left out.
    covariance : ndarray of float, shape (n, 2, 2)
        Covariance of the two in each band. All zero in beta: beta was fixed (at one value), and FWHM alone is fitted.
    fwhm_order, beta_order : int or "auto"
        Degree of the polynomials. ``"auto"``: that of the smallest Bayesian information criterion, up to `max_order`.
    max_order : int
        Largest degree that is tried.
    reference_range : tuple of float
        Wavelengths that the coefficients refer to (mpdaf's ``lbrange``).
    errors : {"auto", "given"}
        ``"auto"``: where chi squared is more than 3 standard deviations too large the errors grow by the root of the reduced chi squared.

    Returns
    -------
    WavelengthPsf

    Raises
    ------
    ShapeError, ConfigError, SingularFitError
        Arrays do not match; an option has no meaning; fewer bands than coefficients.

    Notes
    -----
    Generalised least squares. FWHM and beta of a band are correlated (by 0.7 to 0.8), and both polynomials are fitted together with that covariance, so
    the result is that of one fit to all bands with the coefficients as parameters, as far as each band is linear in them. Errors are
    closer to Gaussian in ``1 / beta`` than in beta (an overestimated beta claims a large error, which would pull the mean down): distances are
    taken in ``1 / beta`` and the errors at the fitted value, by iteration.

    Examples
    --------
    >>> import numpy as np
    >>> wavelength = np.linspace(4800.0, 9200.0, 12)
    >>> each = np.tile(np.diag([0.01**2, 0.1**2]), (12, 1, 1))
    >>> psf = fit_wavelength_psf(wavelength, 0.8 - 3e-5 * (wavelength - 5000), np.full(12, 2.5), each, fwhm_order=1, beta_order=0)
    >>> psf.fwhm_coefficients.round(4), psf.beta_coefficients.round(4), psf.fwhm_at(7000.0).round(4)
    (array([-0.12,  0.74]), array([2.5]), np.float64(0.74))
    """
    wavelength, fwhm, beta, covariance = (np.asarray(a, np.float64) for a in (wavelength, fwhm, beta, covariance))
    _check(wavelength, fwhm, beta, covariance, reference_range, errors)
    finite = np.isfinite(wavelength) & np.isfinite(fwhm) & np.isfinite(beta) & np.isfinite(covariance).all(axis=(1, 2))
    beta_free = bool((covariance[finite, 1, 1] > 0).any())
    minor = np.linalg.det(np.where(finite[:, None, None], covariance, 0.0)) if beta_free else covariance[:, 0, 0]
    used = finite & (minor > 0)
    first, last = reference_range
    bands = _Bands((wavelength[used] - first) / (last - first) - 0.5, fwhm[used], beta[used], covariance[used], beta_free)
    if not beta_free and bands.beta.size and np.ptp(bands.beta) > 1e-9 * abs(bands.beta[0]):
        raise ConfigError("beta was fixed at different values in different bands", hint="fit it, or fix it at one value")
    n_fwhm, n_beta = _orders(bands, fwhm_order, beta_order, max_order)
    solution = _solve(bands, n_fwhm, n_beta)
    n_free = n_fwhm + 1 + (n_beta + 1 if beta_free else 0)
    freedom = max(solution.n_data - n_free, 1)
    redchi = solution.chisqr / freedom
    factor = math.sqrt(redchi) if errors == "auto" and redchi > 1 + 3 * math.sqrt(2 / freedom) else 1.0
    notes = [f"{np.count_nonzero(~used)} of {used.size} bands without a usable estimate were left out"] if not used.all() else []
    if factor > 1:
        notes.append(f"bands scatter more than their errors: reduced chi squared {redchi:.3g}, errors are {factor:.3g} times larger")
    if not beta_free:
        notes.append(f"beta was fixed at {bands.beta[0]:.4g}")
    return WavelengthPsf(
        fwhm_coefficients=solution.coefficients[: n_fwhm + 1],
        beta_coefficients=solution.coefficients[n_fwhm + 1 :],
        covariance=solution.covariance * factor**2,
        reference_range=(float(first), float(last)),
        wavelength=wavelength,
        fwhm=fwhm,
        beta=beta,
        fwhm_stderr=np.sqrt(covariance[:, 0, 0]),
        beta_stderr=np.sqrt(covariance[:, 1, 1]),
        used=used,
        chisqr=solution.chisqr,
        redchi=redchi,
        n_data=solution.n_data,
        n_free=n_free,
        noise_factor=factor,
        notes=tuple(notes),
    )


def _check(
    wavelength: FloatArray, fwhm: FloatArray, beta: FloatArray, covariance: FloatArray, reference_range: tuple[float, float], errors: str
) -> None:
    n = wavelength.size
    if wavelength.shape != (n,) or fwhm.shape != (n,) or beta.shape != (n,) or covariance.shape != (n, 2, 2):
        shapes = ", ".join(str(a.shape) for a in (wavelength, fwhm, beta, covariance))
        raise ShapeError(f"wavelength, fwhm, beta and covariance have the shapes {shapes}", hint="give n, n, n and (n, 2, 2)")
    if not reference_range[1] > reference_range[0]:
        raise ConfigError(f"the reference range is {reference_range}", hint="give two wavelengths, the smaller one first")
    if errors not in ("auto", "given"):
        raise ConfigError(f"errors={errors!r} is not known", hint="use auto or given")


def _orders(bands: _Bands, fwhm_order: Order, beta_order: Order, max_order: int) -> tuple[int, int]:
    """Degrees of the two polynomials, chosen by the Bayesian information criterion where they are not given."""
    n = bands.x.size
    tried = [range(max_order + 1) if order == "auto" else (order,) for order in (fwhm_order, beta_order)]
    if not bands.beta_free:
        tried[1] = (0,)
    for order in (*tried[0], *tried[1]):
        if not (isinstance(order, int) and 0 <= order <= 98):
            raise ConfigError(f"the degree of a polynomial is {order!r}", hint="give a whole number from 0, or 'auto'")
    if n <= max(min(tried[0]), min(tried[1])) or not n:
        raise SingularFitError(f"{n} usable bands are too few for the polynomials", hint="use lower degrees or more bands")
    pairs = [(p, q) for p in tried[0] for q in tried[1] if p < n and q < n]
    if len(pairs) == 1:
        return pairs[0]
    full = _solve(bands, *pairs[-1])
    # the scatter that the richest model leaves is noise for the choice
    spare = full.n_data - sum(pairs[-1]) - 2
    level = max(1.0, full.chisqr / spare) if spare > 0 else 1.0
    return min(pairs, key=lambda pair: _solve(bands, *pair).chisqr / level + (sum(pair) + 2) * math.log(full.n_data))


def _solve(bands: _Bands, p: int, q: int) -> _Solution:
    """Generalised least squares with distances in 1/beta; coefficients of FWHM, then of beta, highest power first."""
    to_fwhm, to_beta = np.vander(bands.x, p + 1), np.vander(bands.x, q + 1)
    if not bands.beta_free:
        precision = 1 / bands.covariance[:, 0, 0]
        covariance = np.zeros((p + 2, p + 2))
        covariance[:-1, :-1] = np.linalg.inv((to_fwhm.T * precision) @ to_fwhm)
        found = covariance[:-1, :-1] @ (to_fwhm.T @ (precision * bands.fwhm))
        chisqr = float(precision @ (bands.fwhm - to_fwhm @ found) ** 2)
        return _Solution(np.append(found, bands.beta[0]), covariance, chisqr, bands.x.size)
    design = np.zeros((bands.x.size, 2, p + q + 2))
    design[:, 0, : p + 1], design[:, 1, p + 1 :] = to_fwhm, to_beta
    coefficients = np.zeros(p + q + 2)
    coefficients[p + 1 :] = _level(float(np.median(bands.beta)), q)
    for _ in range(50):
        beta = np.maximum(to_beta @ coefficients[p + 1 :], 1.01)
        stretch = np.ones((bands.x.size, 2))
        stretch[:, 1] = (beta / bands.beta) ** 2
        weight = np.linalg.inv(bands.covariance * stretch[:, :, None] * stretch[:, None, :])
        # beta^2 (1/beta_fit - 1/beta_band), the distance in 1/beta as one of beta
        apart = np.stack([bands.fwhm - to_fwhm @ coefficients[: p + 1], beta - beta**2 / bands.beta], axis=1)
        apart[:, 1] += beta - to_beta @ coefficients[p + 1 :]
        normal = np.einsum("nij,nik,nkl->jl", design, weight, design)
        step = np.linalg.solve(normal, np.einsum("nij,nik,nk->j", design, weight, apart))
        coefficients += step
        if np.abs(step).max() < 1e-10 * np.abs(coefficients).max():
            break
    chisqr = float(np.einsum("ni,nij,nj->", apart, weight, apart))
    return _Solution(coefficients, np.linalg.inv(normal), chisqr, 2 * bands.x.size)


def _level(value: float, order: int) -> FloatArray:
    """Coefficients of a constant."""
    out = np.zeros(order + 1)
    out[-1] = value
    return out


def fsf_cards(psf: WavelengthPsf, *, field: int = 0) -> dict[str, tuple[int | float | str, str]]:
    """Header cards of a MUSE field spread function, as mpdaf's ``MoffatModel2`` reads them.

    Parameters
    ----------
    psf : WavelengthPsf
        The fitted polynomials.
    field : int
        Number of the field in a mosaic of several, 0 to 99.

    Returns
    -------
    dict of str to (value, comment)
        ``FSFMODE`` (2: round Moffat, FWHM and beta polynomials), ``FSFLB1``, ``FSFLB2``, and for field 00 ``FSF00FNC`` (number of coefficients of
        FWHM, arcsec), ``FSF00F00`` ..., ``FSF00BNC``, ``FSF00B00`` ....

    Examples
    --------
    >>> import numpy as np
    >>> each = np.tile(np.eye(2), (3, 1, 1))
    >>> psf = fit_wavelength_psf(np.array([5e3, 7e3, 9e3]), np.full(3, 0.7), np.full(3, 2.5), each, fwhm_order=0, beta_order=0)
    >>> cards = fsf_cards(psf)
    >>> cards["FSF00FNC"][0], round(cards["FSF00F00"][0], 6)
    (1, 0.7)
    """
    if not 0 <= field <= 99:
        raise ConfigError(f"the field number is {field}", hint="give 0 to 99")
    start = f"FSF{field:02d}"
    cards: dict[str, tuple[int | float | str, str]] = {
        "FSFMODE": (2, "Round Moffat, FWHM and beta polynomials"),
        "FSFLB1": (float(psf.reference_range[0]), "[Angstrom] first reference wavelength"),
        "FSFLB2": (float(psf.reference_range[1]), "[Angstrom] last reference wavelength"),
    }
    for letter, label, coefficients in (("F", "FWHM (arcsec)", psf.fwhm_coefficients), ("B", "beta", psf.beta_coefficients)):
        cards[f"{start}{letter}NC"] = (len(coefficients), f"Number of coefficients of {label}")
        for k, value in enumerate(coefficients):
            cards[f"{start}{letter}{k:02d}"] = (float(value), f"Coefficient of l^{len(coefficients) - 1 - k} of {label}")
    return cards
