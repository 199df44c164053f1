"""Start of an image fit: offset from the peak of the cross-correlation, seeing and scale from the ratio of the spectra in rings."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.psf.fourier_window import FourierGrid, fourier_grid
from nbmosaic.core.psf.moffat import moffat_transfer
from nbmosaic.types.photometry import ParameterSpec

__all__ = ["SEARCH_ARCSEC", "FitStart", "find_start"]

SEARCH_ARCSEC = 5.0
"""Offsets are looked for this far from a start value that was given; without one, everywhere."""
_BETAS = (1.7, 2.3, 3.2, 6.0)
_RINGS = 24


class FitStart(NamedTuple):
    """First guess: arcsec, and the scale."""

    dx: float
    dy: float
    fwhm: float
    beta: float
    scale: float


def find_start(
    sharp: NDArray[np.complexfloating],
    image: NDArray[np.complexfloating],
    grid: FourierGrid,
    step_arcsec: tuple[float, float],
    parameters: Mapping[str, ParameterSpec],
) -> FitStart:
    """First guess of the parameters that enter nonlinearly.

    Parameters
    ----------
    sharp : ndarray of complex
        Transform of the reference, median subtracted, 0 in pixels that are bad in either image.
    image : ndarray of complex
        Transform of the image, likewise, times the response of the reference.
    grid : FourierGrid
        Their frequencies.
    step_arcsec : tuple of float
        ``(dy, dx)``.
    parameters : mapping of str to ParameterSpec
        Fixed values and bounds are kept; start values of fwhm and beta are taken as they are.

    Returns
    -------
    FitStart
    """
    cross = np.conj(sharp) * image
    dx, dy = _offset(cross, grid, step_arcsec, parameters)
    turned = cross * np.exp(2j * np.pi * dx * grid.kx).astype(np.complex64)
    turned *= np.exp(2j * np.pi * dy * grid.ky).astype(np.complex64)[:, None]
    k, ratio, power = _rings(turned.real, sharp.real**2 + sharp.imag**2, grid, step_arcsec)
    fwhm, beta, scale = _seeing(k, ratio, power, parameters["fwhm"], parameters["beta"])
    return FitStart(dx, dy, fwhm, beta, scale)


def _value(spec: ParameterSpec, otherwise: float) -> float:
    """The value given, or another within the bounds."""
    return float(np.clip(otherwise, spec.min, spec.max)) if spec.value is None else spec.value


def _offset(
    cross: NDArray[np.complexfloating], grid: FourierGrid, step_arcsec: tuple[float, float], parameters: Mapping[str, ParameterSpec]
) -> tuple[float, float]:
    """Peak of the cross-correlation among the lags allowed, to a fraction of a pixel by parabolas; dx, dy in arcsec."""
    from scipy import fft

    correlation = fft.irfft2((cross * _matched_filter(grid.shape, step_arcsec)).astype(np.complex64), s=grid.shape)
    allowed = []
    for n, step, name in zip(grid.shape, step_arcsec, ("dy", "dx"), strict=True):
        lag = ((np.arange(n) + n // 2) % n - n // 2) * step
        allowed.append(_allowed_lags(lag, step, parameters[name]))
    masked = np.where(allowed[0][:, None] & allowed[1], correlation, -np.inf)
    y, x = np.unravel_index(int(np.argmax(masked)), grid.shape)
    found = {}
    for name, n, step, i, line in (
        ("dy", grid.shape[0], step_arcsec[0], int(y), correlation[:, x]),
        ("dx", grid.shape[1], step_arcsec[1], int(x), correlation[y]),
    ):
        spec = parameters[name]
        peak = (i + n // 2) % n - n // 2 + _vertex(float(line[i - 1]), float(line[i]), float(line[(i + 1) % n]))
        found[name] = _value(spec, 0.0) if not spec.vary else float(np.clip(peak * step, spec.min, spec.max))
    return found["dx"], found["dy"]


@functools.lru_cache(maxsize=4)
def _matched_filter(shape: tuple[int, int], step_arcsec: tuple[float, float]) -> Float32Array:
    """For a seeing of 0.7 arcsec; scales above 10 arcsec are left to the background."""
    k2 = fourier_grid(shape, step_arcsec).k ** 2
    out: Float32Array = (np.exp(-((math.pi * 0.7) ** 2) / (4.0 * math.log(2.0)) * k2) * -np.expm1(-100.0 * k2)).astype(np.float32)
    out.flags.writeable = False
    return out


@functools.lru_cache(maxsize=4)
def _ring_index(shape: tuple[int, int], step_arcsec: tuple[float, float]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Frequencies up to 0.7 Nyquist (flat index), and the ring of each."""
    f = fourier_grid(shape, step_arcsec).f.ravel()
    inside = np.flatnonzero((f < 0.7) & (f > 0.0))
    ring = (f[inside] * (_RINGS / 0.7)).astype(np.intp)
    for array in (inside, ring):
        array.flags.writeable = False
    return inside, ring


def _allowed_lags(lag: NDArray[np.floating], step: float, spec: ParameterSpec) -> NDArray[np.bool_]:
    """Lags within the bounds, and near the value where one was given; at least the nearest one."""
    reach = 0.5 * step if not spec.vary else SEARCH_ARCSEC
    out: NDArray[np.bool_] = (lag >= spec.min) & (lag <= spec.max)
    if spec.value is not None:
        out &= np.abs(lag - spec.value) <= reach
    if not out.any():
        centre = _value(spec, 0.0)
        out[np.argmin(np.abs(lag - centre))] = True
    return out


def _vertex(left: float, middle: float, right: float) -> float:
    """Maximum of the parabola through three points a pixel apart."""
    curvature = left - 2.0 * middle + right
    return 0.0 if curvature >= 0.0 else float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5))


def _rings(
    cross: NDArray[np.floating], power: NDArray[np.floating], grid: FourierGrid, step_arcsec: tuple[float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean frequency, ratio of spectra, and power of the reference in rings of frequency up to 0.7 Nyquist."""
    inside, ring = _ring_index(grid.shape, step_arcsec)
    weight = power.ravel()[inside]
    total = np.bincount(ring, weight, minlength=_RINGS)
    good = total > 0.0
    k = np.bincount(ring, weight * grid.k.ravel()[inside], minlength=_RINGS)[good] / total[good]
    return k, np.bincount(ring, cross.ravel()[inside], minlength=_RINGS)[good] / total[good], total[good].astype(np.float64)


def _seeing(k: FloatArray, ratio: FloatArray, power: FloatArray, fwhm: ParameterSpec, beta: ParameterSpec) -> tuple[float, float, float]:
    """Seeing, beta and scale that describe the ratio of the spectra best, fwhm within 3 %."""
    if not len(k):
        return _value(fwhm, 0.6), _value(beta, 2.8), 0.0
    given = fwhm.value is not None
    widths = np.full(1, fwhm.value) if given else np.clip(np.geomspace(0.1, 4.0, 25), max(fwhm.min, 1e-3), fwhm.max)
    first = _value(beta, 2.8)
    best = _best_of(widths, [first], k, ratio, power)
    if not given or beta.value is None:
        near = widths if given else np.clip(best[0] * np.geomspace(0.86, 1.16, 5), max(fwhm.min, 1e-3), fwhm.max)
        betas = [first] if beta.value is not None else [float(np.clip(b, beta.min, beta.max)) for b in _BETAS]
        best = _best_of(near, betas, k, ratio, power)
    return best


def _best_of(widths: FloatArray, betas: list[float], k: FloatArray, ratio: FloatArray, power: FloatArray) -> tuple[float, float, float]:
    """That pair of some fwhm and some beta which describes the ratio of spectra best, with its scale."""
    # the transform depends on fwhm times k alone, so one call does all widths of one beta
    model = np.concatenate([moffat_transfer(widths[:, None] * k, fwhm=1.0, beta=max(b, 1.01)) for b in betas])
    projection, norm = (model * power) @ ratio, (model * model) @ power
    best = int(np.argmax(np.where(projection > 0.0, projection**2 / norm, 0.0)))
    beta, width = divmod(best, len(widths))
    return float(widths[width]), betas[beta], float(max(projection[best], 0.0) / norm[best])
