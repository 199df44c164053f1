"""A Moffat profile whose FWHM and beta are polynomials of wavelength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbmosaic._types import BoolArray, FloatArray

__all__ = ["WavelengthPsf"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WavelengthPsf:
    """FWHM and beta against wavelength, with errors.

    Attributes
    ----------
    fwhm_coefficients, beta_coefficients : ndarray of float
        Highest power first, in ``l = (wavelength - first) / (last - first) - 1 / 2`` with `reference_range` ``(first, last)``: mpdaf's convention.
    covariance : ndarray of float, shape (n, n)
        Of the coefficients of FWHM, then of beta.
    reference_range : tuple of float
        Wavelengths that the coefficients refer to, angstrom.
    wavelength, fwhm, beta, fwhm_stderr, beta_stderr : ndarray of float, shape (n_bands,)
        The estimates that were fitted; standard errors are 0 where a value was fixed.
    used : ndarray of bool, shape (n_bands,)
        Bands that took part.
    chisqr, redchi : float
        Sum over the bands of squared distances in units of their covariance, and the same per degree of freedom.
    n_data, n_free : int
        Numbers of fitted values and of free coefficients.
    noise_factor : float
        The errors are this many times what the errors of the bands give.
    notes : tuple of str
        What the reader must know.
    """

    fwhm_coefficients: FloatArray
    beta_coefficients: FloatArray
    covariance: FloatArray
    reference_range: tuple[float, float]
    wavelength: FloatArray
    fwhm: FloatArray
    beta: FloatArray
    fwhm_stderr: FloatArray
    beta_stderr: FloatArray
    used: BoolArray
    chisqr: float
    redchi: float
    n_data: int
    n_free: int
    noise_factor: float
    notes: tuple[str, ...] = ()

    def scaled(self, wavelength: FloatArray | float) -> FloatArray:
        """The variable of the polynomials."""
        first, last = self.reference_range
        return (np.asarray(wavelength, np.float64) - first) / (last - first) - 0.5

    def fwhm_at(self, wavelength: FloatArray | float) -> FloatArray:
        """FWHM (arcsec) at wavelengths in angstrom."""
        out: FloatArray = np.asarray(np.polyval(self.fwhm_coefficients, self.scaled(wavelength)), np.float64)
        return out

    def beta_at(self, wavelength: FloatArray | float) -> FloatArray:
        """Beta at wavelengths in angstrom."""
        out: FloatArray = np.asarray(np.polyval(self.beta_coefficients, self.scaled(wavelength)), np.float64)
        return out

    def fwhm_stderr_at(self, wavelength: FloatArray | float) -> FloatArray:
        """Standard error of the fitted FWHM."""
        n = len(self.fwhm_coefficients)
        return _stderr(self.covariance[:n, :n], self.scaled(wavelength))

    def beta_stderr_at(self, wavelength: FloatArray | float) -> FloatArray:
        """Standard error of the fitted beta."""
        n = len(self.fwhm_coefficients)
        return _stderr(self.covariance[n:, n:], self.scaled(wavelength))


def _stderr(covariance: FloatArray, scaled: FloatArray) -> FloatArray:
    powers = scaled[..., None] ** np.arange(len(covariance))[::-1]
    variance = np.einsum("...i,ij,...j->...", powers, covariance, powers)
    out: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return out
