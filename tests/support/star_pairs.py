"""A star as an image and its resampled reference see it, made in Fourier space: no code of the fits."""

from __future__ import annotations

import numpy as np
from scipy import fft, special

from nbmosaic.types.photometry import FitFrame

__all__ = ["TRUTH", "moffat_spectrum", "star_pair", "window_noise"]

TRUTH = {"scale": 0.95, "bg": 0.05, "dx": 0.05, "dy": -0.03, "fwhm": 0.62, "beta": 2.8}


def moffat_spectrum(k: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    """Transform of a Moffat of unit flux (moderate beta)."""
    a = 0.5 * fwhm / np.sqrt(2 ** (1 / beta) - 1)
    t = np.pi * a * np.maximum(k, 1e-9)
    return 2 * t ** (beta - 1) * special.kv(beta - 1, 2 * t) / special.gamma(beta - 1)


def _wave_numbers(n: int, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kx, ky = fft.rfftfreq(n, step), fft.fftfreq(n, step)[:, None]
    return kx, ky, np.hypot(kx, ky)


def star_pair(
    *,
    flux: float = 450.0,
    x: float = 0.07,
    y: float = -0.05,
    step: float = 0.2,
    size: int = 61,
    ratio: float = 1.0,
    angle: float = 0.0,
    pixel: bool = False,
    **parameters: float,
) -> tuple[FitFrame, FitFrame]:
    """Reference and image without noise; the star is (x, y) arcsec from the middle pixel of the reference.

    The image is made on a grid twice as fine and sampled at the pixel centres, so that it is not aliased. `ratio` and `angle` (radians) make its
    profile an ellipse of the same geometric mean FWHM; `pixel` averages it over the pixels.
    """
    p = TRUTH | parameters
    n = 256
    middle = (n // 2) * step
    kx, ky, k = _wave_numbers(n, step)
    f = np.minimum(2 * step * k, 1.0)
    window = 0.42 + 0.5 * np.cos(np.pi * f) + 0.08 * np.cos(2 * np.pi * f)
    moved = np.exp(-2j * np.pi * (kx * (middle + x) + ky * (middle + y)))
    sharp = fft.irfft2(window * moffat_spectrum(k, 0.085, 1.6) * moved, s=(n, n))
    kx, ky, k = _wave_numbers(2 * n, step / 2)
    moved = np.exp(-2j * np.pi * (kx * (middle + x + p["dx"]) + ky * (middle + y + p["dy"])))
    along, across = kx * np.cos(angle) + ky * np.sin(angle), -kx * np.sin(angle) + ky * np.cos(angle)
    stretched = np.hypot(along / np.sqrt(ratio), across * np.sqrt(ratio))
    spectrum = moffat_spectrum(stretched, p["fwhm"], p["beta"]) * moved
    if pixel:
        spectrum = spectrum * np.sinc(kx * step) * np.sinc(ky * step)
    blurred = 4 * fft.irfft2(spectrum, s=(2 * n, 2 * n))[::2, ::2]
    cut = np.s_[n // 2 - size // 2 : n // 2 + size // 2 + 1, n // 2 - size // 2 : n // 2 + size // 2 + 1]
    good = np.zeros((size, size), bool)
    return (
        FitFrame(data=flux * sharp[cut], mask=good, step_arcsec=(step, step), name="reference"),
        FitFrame(data=p["scale"] * flux * blurred[cut] + p["bg"], mask=good, step_arcsec=(step, step), name="image"),
    )


def window_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """White noise after the reference's resampling window, of standard deviation `sigma`."""
    f = np.minimum(2 * np.hypot(fft.rfftfreq(shape[1]), fft.fftfreq(shape[0])[:, None]), 1.0)
    window = 0.42 + 0.5 * np.cos(np.pi * f) + 0.08 * np.cos(2 * np.pi * f)
    noise = fft.irfft2(window * fft.rfft2(rng.normal(size=shape)), s=shape)
    return noise * sigma / np.sqrt(fft.irfft2(window**2, s=shape)[0, 0])
