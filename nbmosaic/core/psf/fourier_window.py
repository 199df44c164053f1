"""What a reference image has been through before it is compared: its own point spread function and the window of the resampling.

A reference from space is brought to the coarser grid of the image by a low-pass window, so that it is not aliased. mpdaf, and our own regridding,
multiply its spectrum by Blackman's window of the radial frequency, ``B(f) = 0.42 + 0.5 cos(pi f) + 0.08 cos(2 pi f)`` with f = 1 at the Nyquist frequency
of the coarse grid and 0 beyond (Blackman & Tukey 1958). Its own PSF P is taken as a Moffat; for the drizzled ACS images of the Hubble Ultra Deep Field
fwhm 0.085 arcsec and beta 1.6 describe it. So the spectrum of the reference is ``B P S`` with S that of the sky, and an image of the same sky in a seeing M
is ``M / (B P)`` times it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.psf.moffat import MoffatTable, moffat_transfer

__all__ = ["FourierGrid", "fourier_grid", "reference_response", "resampling_window"]


def resampling_window(f: FloatArray) -> FloatArray:
    """Blackman's window of the radial frequency.

    Parameters
    ----------
    f : ndarray
        Frequency in units of the Nyquist frequency of the coarse grid; not negative.

    Returns
    -------
    ndarray
        1 at 0, 0 from 1 on.

    Examples
    --------
    >>> import numpy as np
    >>> resampling_window(np.array([0.0, 0.5, 1.0, 1.2])).round(4) + 0.0
    array([1.  , 0.34, 0.  , 0.  ])
    """
    f = np.asarray(f, np.float64)
    c = np.cos(np.pi * np.minimum(f, 1.0))
    out: FloatArray = 0.34 + c * (0.5 + 0.16 * c)  # cos(2 pi f) = 2 c^2 - 1
    return out


class FourierGrid(NamedTuple):
    """Frequencies of the half plane of a real transform.

    Attributes
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the image.
    kx, ky : ndarray
        Cycles per arcsec along x (``nx // 2 + 1`` values) and y (``ny`` values).
    k : ndarray, shape (ny, nx // 2 + 1)
        Modulus, cycles per arcsec.
    f : ndarray, shape (ny, nx // 2 + 1)
        Modulus in units of the Nyquist frequency, each axis by its own.
    """

    shape: tuple[int, int]
    kx: FloatArray
    ky: FloatArray
    k: FloatArray
    f: FloatArray


def fourier_grid(shape: tuple[int, int], step_arcsec: tuple[float, float]) -> FourierGrid:
    """Frequencies of the real transform of an image.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    step_arcsec : tuple of float
        ``(dy, dx)``.

    Returns
    -------
    FourierGrid

    Examples
    --------
    >>> fourier_grid((4, 6), (0.2, 0.2)).k.shape
    (4, 4)
    """
    from scipy import fft

    dy, dx = step_arcsec
    kx, ky = fft.rfftfreq(shape[1], dx), fft.fftfreq(shape[0], dy)
    k = np.sqrt(kx * kx + (ky * ky)[:, None])
    f = k * (2.0 * dx) if dx == dy else np.sqrt((2.0 * dx * kx) ** 2 + ((2.0 * dy * ky) ** 2)[:, None])
    return FourierGrid((int(shape[0]), int(shape[1])), kx, ky, k, f)


def reference_response(k: FloatArray, f: FloatArray, *, hst_fwhm: float, hst_beta: float) -> FloatArray:
    """Response ``B P`` of the reference: the resampling window times the transform of its PSF.

    Parameters
    ----------
    k : ndarray
        Frequencies, cycles per arcsec.
    f : ndarray
        The same in units of the Nyquist frequency of the grid.
    hst_fwhm, hst_beta : float
        PSF of the reference, arcsec; an fwhm of 0 means none (the reference is the sky itself, apart from the window).

    Returns
    -------
    ndarray
        Real, 1 at ``k = 0``.

    Examples
    --------
    >>> import numpy as np
    >>> reference_response(np.array([0.0, 1.25]), np.array([0.0, 0.5]), hst_fwhm=0.085, hst_beta=1.6).round(4)
    array([1.    , 0.2377])
    """
    if hst_fwhm == 0.0:
        return resampling_window(f)
    if k.size > 1000:  # a table costs 128 Bessel functions
        table = MoffatTable(k)
        return resampling_window(f) * table.look_up(table.transform_at(hst_fwhm, hst_beta))
    return resampling_window(f) * moffat_transfer(k, fwhm=hst_fwhm, beta=hst_beta)
