"""Pictures of photometric fits in words, built from the data that they show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nbmosaic.types.photometry import Estimate, ImageFitResult, ProfileFit, StarFitResult
from nbmosaic.types.wavelength_psf import WavelengthPsf
from nbmosaic.views.numbers import count_text, number_text

__all__ = ["alt_text_batch", "alt_text_image_fit", "alt_text_star_fit", "alt_text_wavelength_psf", "estimate_parts", "estimate_text"]


def estimate_text(one: Estimate) -> str:
    """Write a value with as many digits as its standard error has two of, and its flag.

    Examples
    --------
    >>> estimate_text(Estimate(value=0.618252, stderr=0.002012)), estimate_text(Estimate(value=2.8, stderr=0.0, fixed=True))
    ('0.6183 +- 0.0020', '2.8 (fixed)')
    """
    value, error = estimate_parts(one)
    text = f"{value} (fixed)" if one.fixed else f"{value} +- {error}"
    return f"{text} [{one.flag}]" if one.flag else text


def estimate_parts(one: Estimate) -> tuple[str, str]:
    """Value and standard error of an estimate as texts of the same decimal places; no error where the value was fixed.

    Examples
    --------
    >>> estimate_parts(Estimate(value=0.618252, stderr=0.002012))
    ('0.6183', '0.0020')
    """
    if one.fixed:
        return f"{one.value:.6g}", ""
    if not (math.isfinite(one.stderr) and one.stderr > 0 and math.isfinite(one.value)):
        return f"{one.value:.4g}", f"{one.stderr:.2g}"
    if one.stderr < 10.0**-9 or abs(one.value) >= 1e7:  # fluxes in erg
        return f"{one.value:.5g}", f"{one.stderr:.2g}"
    places = min(max(1 - math.floor(math.log10(one.stderr)), 0), 10)
    return f"{one.value:.{places}f}", f"{one.stderr:.{places}f}"


def _parameters(result: ImageFitResult | StarFitResult) -> str:
    units = {"fwhm": " arcsec"}
    return ", ".join(f"{name} {estimate_text(result[name])}{units.get(name, '')}" for name in ("fwhm", "beta", "scale"))


def alt_text_image_fit(result: ImageFitResult) -> str:
    """Describe the six panels of an image fit.

    Returns
    -------
    str
        One line.
    """
    ny, nx = result.image.shape
    used = int(np.count_nonzero(result.good))
    head = f"image fit of {result.name or 'an image'}, {nx} x {ny} px, {used} of them used: {_parameters(result)}"
    if result.sigma is None or not used:
        return f"{head}; image, model, residual, profile of the brightest source, residual spectrum, errors"
    scaled = np.abs(result.residual[result.good] / result.sigma[result.good])
    scaled = scaled[np.isfinite(scaled)]
    if not scaled.size:
        return head
    beyond = 100 * float(np.mean(scaled > 3))
    return (
        f"{head}; image, model and residual, {beyond:.1f} % of the residuals beyond 3 sigma, the largest {number_text(float(scaled.max()), 2)}; "
        "profile of the brightest source, residual spectrum, errors"
    )


def alt_text_star_fit(result: StarFitResult) -> str:
    """Describe the profiles of a star in image and reference."""

    def part(name: str, profile: ProfileFit) -> str:
        return f"{name}: {count_text(profile.n_data, 'pixel')}, rms {number_text(profile.rms_error, 3)} {result.unit}".rstrip()

    profiles = f"{part(result.name or 'image', result.image)}; {part(result.reference_name or 'reference', result.reference)}"
    return f"star fit: {_parameters(result)}; profiles and residuals of {profiles}"


def alt_text_batch(series: Sequence[tuple[str, Sequence[Estimate]]], failed: Sequence[str] = ()) -> str:
    """Describe FWHM against file.

    Examples
    --------
    >>> alt_text_batch([("image", [Estimate(value=0.6, stderr=0.01), Estimate(value=0.8, stderr=0.01)])], ["c"])
    'fwhm of 2 files by image fits: from 0.6 to 0.8 arcsec, median 0.7; 1 file failed'
    """
    parts = []
    for kind, values in series:
        fwhm = np.array([one.value for one in values])
        fwhm = fwhm[np.isfinite(fwhm)]
        head = f"fwhm of {count_text(len(values), 'file')} by {kind} fits"
        low, high, middle = (number_text(float(f(fwhm)), 3) for f in (np.min, np.max, np.median)) if fwhm.size else ("", "", "")
        parts.append(f"{head}: from {low} to {high} arcsec, median {middle}" if fwhm.size else head)
    if failed:
        parts.append(f"{count_text(len(failed), 'file')} failed")
    return "; ".join(parts) or "no fits"


def alt_text_wavelength_psf(psf: WavelengthPsf) -> str:
    """Describe FWHM and beta against wavelength."""
    first, last = psf.reference_range
    used = int(np.count_nonzero(psf.used))
    ends = [float(psf.fwhm_at(wavelength)) for wavelength in (first, last)]
    return (
        f"fwhm and beta of {count_text(len(psf.used), 'band')}, {used} of them used, with polynomials of degree "
        f"{len(psf.fwhm_coefficients) - 1} and {len(psf.beta_coefficients) - 1}: fwhm {ends[0]:.3f} arcsec at {first:g} angstrom, "
        f"{ends[1]:.3f} at {last:g}"
    )
