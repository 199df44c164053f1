"""imphot's form of the fit: tapered images, transformed, compared without weights in the half plane of frequencies.

With w the tapered mask, B P the response of the reference and m0 the median of the good pixels of the image, imphot minimises the sum over the half plane of

    | B P FT[w (image - m0)] - (bg - m0) FT[w] - scale FT[w reference] M exp(-2 pi i k.d) |^2

so the image is blurred by the response of the reference, and nothing is divided. The mask is applied to the reference before it is moved (moved whole
pixels come first). The objective is kept as it is, so that values compare with published ones, including

* the two last rows and columns that imphot's crop loses;
* the half plane whose edge columns count as much as those that stand for two frequencies;
* M, the transform of samples in the padded box: they alias for fwhm below 2.5 pixels, and the flux of the wings outside the box is lost.

The same loss in the PSF of the reference (beta 1.6: much of it is in the wings) makes the scale larger by 2.4e-4 in a box of 102 arcsec, by 0.5 % around a
single star. Its transform is sampled as there for small boxes; for large ones the closed form is divided by the flux inside, which is the same to 0.003
standard errors. Frequencies beyond Nyquist's circle, where the window and the data are 0, are left out.

50 recorded fits of imphot (009225c) are met within 0.014 honest standard errors, the median of the worst parameter within 0.0003.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, Float32Array, FloatArray, IntArray
from nbmosaic.core.psf.fourier_window import fourier_grid, reference_response, resampling_window
from nbmosaic.core.psf.moffat import moffat_core_radius
from nbmosaic.core.psf.taper import taper_weights

__all__ = ["SpectrumProblem", "flux_outside", "shifted", "used_box"]

_FINE_LIMIT = 128
"""Largest padded size at which the PSF of the reference is sampled eight times finer, as imphot always does: at 512 that transform alone costs 0.2 s."""
_GAUSS = np.polynomial.legendre.leggauss(8)
_Array = TypeVar("_Array", BoolArray, FloatArray)


def shifted(array: _Array, shift: tuple[int, int], *, fill: float) -> _Array:
    """An array moved by whole pixels; vacated pixels are filled.

    Parameters
    ----------
    array : ndarray, shape (ny, nx)
    shift : tuple of int
        ``(y, x)``.
    fill : float

    Returns
    -------
    ndarray, shape (ny, nx)

    Examples
    --------
    >>> import numpy as np
    >>> shifted(np.array([[1, 2, 3]]), (0, 1), fill=0).tolist()
    [[0, 1, 2]]
    """
    out = np.full_like(array, fill)
    to, of = [], []
    for n, s in zip(array.shape, shift, strict=True):
        to.append(slice(max(s, 0), max(n + min(s, 0), 0)))
        of.append(slice(max(-s, 0), max(n - max(s, 0), 0)))
    if abs(shift[0]) < array.shape[0] and abs(shift[1]) < array.shape[1]:
        out[to[0], to[1]] = array[of[0], of[1]]
    return out


def used_box(good: BoolArray) -> tuple[slice, slice]:
    """Rows and columns that hold a good pixel, without the last two (imphot's crop)."""
    rows, columns = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) - 1), slice(int(columns[0]), int(columns[-1]) - 1)


def flux_outside(fwhm: float, beta: float, half: tuple[float, float]) -> float:
    """Part of the flux of a Moffat beyond a centred box.

    Parameters
    ----------
    fwhm, beta : float
    half : tuple of float
        Half sizes of the box, in the unit of `fwhm`.

    Returns
    -------
    float

    Notes
    -----
    ``(1 + r^2 / a^2)^(1 - beta)`` lies beyond radius r; the mean over the angles in which the box has the radii ``h / cos(angle)``.

    Examples
    --------
    >>> round(flux_outside(0.6, 2.5, (3.2, 3.2)), 5)
    0.00331
    """
    a2 = moffat_core_radius(fwhm, beta) ** 2
    total = 0.0
    for h, other in (half, half[::-1]):
        edge = math.atan2(other, h)  # angle of the corner seen from the middle of this side
        angle = 0.5 * edge * (_GAUSS[0] + 1.0)
        total += 0.5 * edge * float(_GAUSS[1] @ (1.0 + (h / np.cos(angle)) ** 2 / a2) ** (1.0 - beta))
    return total * 2.0 / math.pi


class SampledMoffat:
    """Transform of a Moffat sampled at the centres of pixels and wrapped at the edges of its box, of unit flux within the box.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``, both even.
    step : tuple of float
        ``(dy, dx)``, size of a pixel.

    Notes
    -----
    The image is even along both axes, so a quarter of it and a cosine transform (type I) give all that is needed.
    """

    def __init__(self, shape: tuple[int, int], step: tuple[float, float]) -> None:
        y, x = (np.arange(n // 2 + 1) * s for n, s in zip(shape, step, strict=True))
        self._r2: FloatArray = (y * y)[:, None] + x * x

    def transform(self, fwhm: float, beta: float) -> FloatArray:
        """Transform at the frequencies 0 to Nyquist of both axes, shape (ny // 2 + 1, nx // 2 + 1)."""
        from scipy import fft

        out: FloatArray = fft.dctn(np.exp(-beta * np.log1p(self._r2 / moffat_core_radius(fwhm, beta) ** 2)), type=1, overwrite_x=True)
        out /= out[0, 0]
        return out

    def with_derivatives(self, fwhm: float, beta: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Transform, and its derivatives with respect to fwhm and beta."""
        from scipy import fft

        u = self._r2 / moffat_core_radius(fwhm, beta) ** 2
        log = np.log1p(u)
        profile = np.exp(-beta * log)
        slope = beta * profile * u / (1.0 + u)  # d profile / d ln a^2
        # a^2 = fwhm^2 / (4 (2^(1/beta) - 1))
        power = 2.0 ** (1.0 / beta)
        by_ln_a2 = power * math.log(2.0) / (beta**2 * (power - 1.0))
        value, by_fwhm, by_beta = (fft.dctn(a, type=1) for a in (profile, slope * (2.0 / fwhm), slope * by_ln_a2 - profile * log))
        flux = float(value[0, 0])
        value /= flux
        return value, (by_fwhm - value * by_fwhm[0, 0]) / flux, (by_beta - value * by_beta[0, 0]) / flux


class SpectrumProblem:
    """The half plane of frequencies (see `nbmosaic.core.psf.image_fit_solver.FitProblem`); offsets are those left after the whole pixels.

    Parameters
    ----------
    reference, image : ndarray, shape (ny, nx)
        The reference moved by whole pixels, and the image; any value in bad pixels.
    good : ndarray of bool, shape (ny, nx)
        Pixels that are good in both.
    step_arcsec : tuple of float
    margin_arcsec : float
        Zeros added at the high ends before the sizes go up to powers of two.
    taper : int
    hst_fwhm, hst_beta : float
    """

    def __init__(
        self,
        reference: FloatArray,
        image: FloatArray,
        good: BoolArray,
        *,
        step_arcsec: tuple[float, float],
        margin_arcsec: float,
        taper: int,
        hst_fwhm: float,
        hst_beta: float,
    ) -> None:
        from scipy import fft

        self.box = used_box(good)
        self.good = good[self.box]
        self.shape = self.good.shape
        self.median = float(np.median(image[self.box][self.good])) if self.good.any() else 0.0
        sizes = [n + math.ceil(margin_arcsec / step) for n, step in zip(self.shape, step_arcsec, strict=True)]
        self.padded = (_power_of_two(sizes[0]), _power_of_two(sizes[1]))
        self.taper = taper_weights(self.good, taper)
        grid = fourier_grid(self.padded, step_arcsec)
        self._select: IntArray = np.flatnonzero((grid.f < 1.0).ravel())
        nk = len(grid.kx)
        self._iy, self._ix = self._select // nk, self._select % nk
        self._kx, self._ky = grid.kx, grid.ky
        k = grid.k.ravel()[self._select]
        f = grid.f.ravel()[self._select]
        if max(self.padded) <= _FINE_LIMIT and hst_fwhm > 0.0:
            fine = SampledMoffat((8 * self.padded[0], 8 * self.padded[1]), (step_arcsec[0] / 8, step_arcsec[1] / 8))
            psf = fine.transform(hst_fwhm, hst_beta)[np.minimum(self._iy, self.padded[0] - self._iy), self._ix]
            self.response: FloatArray = resampling_window(f) * psf
        else:
            half = (0.5 * self.padded[0] * step_arcsec[0], 0.5 * self.padded[1] * step_arcsec[1])
            self.response = reference_response(k, f, hst_fwhm=hst_fwhm, hst_beta=hst_beta)
            self.response[1:] /= 1.0 - (flux_outside(hst_fwhm, hst_beta, half) if hst_fwhm > 0.0 else 0.0)
        self._iy2 = np.minimum(self._iy, self.padded[0] - self._iy)
        self._sampled = SampledMoffat(self.padded, step_arcsec)
        filled = [np.where(self.good, a, 0.0) * self.taper for a in (image[self.box] - self.median, reference[self.box])]
        transforms = [fft.rfft2(a, s=self.padded).ravel()[self._select] for a in (*filled, self.taper)]
        self._data = (transforms[0] * self.response).view(np.float64)
        self._reference = transforms[1]
        self._level = transforms[2].view(np.float64)

    @property
    def data(self) -> FloatArray:
        """Transform of the image, blurred; real and imaginary parts in turn."""
        return self._data

    @property
    def level(self) -> FloatArray:
        """Transform of the taper."""
        return self._level

    @property
    def n_half_plane(self) -> int:
        """Numbers in the half plane, as imphot counts data."""
        return 2 * self.padded[0] * (self.padded[1] // 2 + 1)

    def _moved(self, x: FloatArray) -> NDArray[np.complex128]:
        """The reference, moved."""
        along_x, along_y = np.exp(-2j * np.pi * x[0] * self._kx), np.exp(-2j * np.pi * x[1] * self._ky)
        out = self._reference * along_x[self._ix]
        out *= along_y[self._iy]
        return out

    def basis(self, x: FloatArray) -> FloatArray:
        """Model of unit scale without background."""
        out = self._moved(x)
        out *= self._sampled.transform(float(x[2]), 1.0 / float(x[3]))[self._iy2, self._ix]
        return out.view(np.float64)

    def derivatives(self, x: FloatArray, wanted: Sequence[int]) -> list[NDArray[np.floating]]:
        """Derivatives of `basis` with respect to dx, dy, fwhm, 1 / beta."""
        moved = self._moved(x)
        tables = self._sampled.with_derivatives(float(x[2]), 1.0 / float(x[3]))
        transform, by_fwhm, by_beta = (table[self._iy2, self._ix] for table in tables)
        plain = moved * transform if {0, 1} & set(wanted) else moved
        factors: dict[int, Callable[[], NDArray[np.complexfloating]]] = {
            0: lambda: plain * (-2j * np.pi * self._kx)[self._ix],
            1: lambda: plain * (-2j * np.pi * self._ky)[self._iy],
            2: lambda: moved * by_fwhm,
            3: lambda: moved * (by_beta * (-1.0 / x[3] ** 2)),
        }
        return [factors[i]().astype(np.complex64).view(np.float32) for i in wanted]

    def image_of(self, vector: FloatArray) -> FloatArray:
        """A vector of this problem as an image, cut to the box that is used."""
        return self._inverse(vector.view(np.complex128))

    def scores(self, jacobian: Float32Array) -> Float32Array:
        """Response of ``J' (data)`` to each pixel of the image, shape (n, ny, nx): what noise in a pixel does to the normal equations.

        The data are ``B P FT[w image]``, so the score of row j is w times the inverse transform of ``B P J_j`` summed over the half plane only.
        """
        scale = np.float32(self.padded[0] * self.padded[1])
        response = self.response.astype(np.float32)
        # irfft2 counts the inner columns twice, the half plane counts them once
        inner = (self._ix > 0) & (self._ix < (self.padded[1] + 1) // 2)
        response = np.where(inner, 0.5 * response, response).astype(np.float32)
        rows = [self._inverse(row.view(np.complex64) * response) * self.taper.astype(np.float32) * scale for row in jacobian]
        return np.stack(rows) if rows else np.zeros((0, *self.shape), np.float32)

    def smoothed_variance(self, variance: FloatArray) -> FloatArray:
        """Variance of the pixels of the blurred, tapered image, for a variance of the image's pixels that changes slowly."""
        half = np.zeros((self.padded[0], self.padded[1] // 2 + 1))
        half.ravel()[self._select] = self.response**2
        mean = (2.0 * half.sum() - half[:, 0].sum() - half[:, -1].sum()) / (self.padded[0] * self.padded[1])
        out: FloatArray = mean * variance * self.taper**2
        return out

    def _inverse(self, half: NDArray[np.complexfloating]) -> FloatArray:
        from scipy import fft

        full = np.zeros(self.padded[0] * (self.padded[1] // 2 + 1), half.dtype)
        full[self._select] = half
        out: FloatArray = fft.irfft2(full.reshape(self.padded[0], -1), s=self.padded)[: self.shape[0], : self.shape[1]]
        return out


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 1).bit_length()
