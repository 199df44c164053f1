"""Tap tables of the point-sampled kernels, and what follows from them.

A table has a row for each of 1024 sub-pixel phases (and one for phase 1) and a column for each tap; rows sum to 1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nbmosaic._types import Float32Array, FloatArray

__all__ = ["PHASES", "POINT_METHODS", "interpolation_taps", "kernel_response", "squared_taps", "sum_of_squares"]

PHASES = 1024
POINT_METHODS = ("nearest", "bilinear", "spline", "lanczos3")
_POLE = np.sqrt(3.0) - 2.0


def _phases() -> FloatArray:
    return np.arange(PHASES + 1) / PHASES


def _pieces(f: FloatArray) -> FloatArray:
    """Cubic B-spline at distances 1 + f, f, 1 - f, 2 - f: the weights of the four coefficients around a position."""
    weights: FloatArray = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], axis=-1) / 6
    return weights


def _cardinal(f: FloatArray) -> FloatArray:
    """Weights of the 8 samples around a position in a cubic spline interpolation (prefilter included).

    Sample k has coefficient sqrt(3) * z**abs(i - k) at i, with z = sqrt(3) - 2. What lies beyond 8 samples has a weight below 0.007 and,
    squared, adds less than 1e-4 to a variance.
    """
    samples = np.arange(-3, 5)
    coefficients = np.arange(-1, 3)
    response = np.sqrt(3.0) * _POLE ** np.abs(coefficients[:, None] - samples[None, :])
    taps: FloatArray = _pieces(f) @ response
    return taps


def _lanczos(f: FloatArray) -> FloatArray:
    """Weights sinc(x) sinc(x / 3) of 6 samples, normalised to sum 1 (else a constant image would ripple by 1 %)."""
    x = f[:, None] - np.arange(-2, 4)[None, :]
    taps = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    weights: FloatArray = taps / taps.sum(axis=1, keepdims=True)
    return weights


def _samples(method: str) -> FloatArray:
    """Weights of the samples themselves at every phase, shape (PHASES + 1, even number)."""
    f = _phases()
    if method == "nearest":
        return np.stack([f <= 0.5, f > 0.5], axis=1).astype(float)
    if method == "bilinear":
        return np.stack([1 - f, f], axis=1)
    if method == "spline":
        return _cardinal(f)
    return _lanczos(f)


@lru_cache(maxsize=4)
def interpolation_taps(method: str) -> Float32Array:
    """Table that the kernel of `method` ("spline": 4 taps of coefficients, "lanczos3": 6 taps in rows of 8) reads."""
    if method == "spline":
        return _read_only(_pieces(_phases()))
    return _read_only(np.pad(_lanczos(_phases()), ((0, 0), (0, 2))))


@lru_cache(maxsize=4)
def squared_taps(method: str) -> tuple[Float32Array, int]:
    """Squared weights of the samples in rows of 8, and how many of them are used: what propagates a variance."""
    taps = _samples(method) ** 2
    return _read_only(np.pad(taps, ((0, 0), (0, 8 - taps.shape[1])))), taps.shape[1]


def sum_of_squares(method: str, phase: FloatArray) -> FloatArray:
    """Sum of the squared weights along one axis, at phases in [0, 1)."""
    return np.interp(phase, *_summed_squares(method))


@lru_cache(maxsize=4)
def _summed_squares(method: str) -> tuple[FloatArray, FloatArray]:
    return _phases(), (_samples(method) ** 2).sum(axis=1)


def kernel_response(method: str, frequency: FloatArray) -> FloatArray:
    """Fourier transform of the kernel along one axis; `frequency` in cycles per input pixel.

    Nearest, bilinear and cubic spline have sinc, sinc**2 and sinc**4 * 3 / (2 + cos(2 pi f)); Lanczos is summed from its table.
    """
    s = np.sinc(frequency)
    if method == "nearest":
        return np.asarray(s, float)
    if method == "bilinear":
        return np.asarray(s**2, float)
    if method == "spline":
        return np.asarray(3 * s**4 / (2 + np.cos(2 * np.pi * frequency)), float)
    mesh, response = _lanczos_response()
    return np.interp(np.abs(frequency), mesh, response)


@lru_cache(maxsize=1)
def _lanczos_response() -> tuple[FloatArray, FloatArray]:
    """Frequencies up to 8 cycles per pixel, and the transform of the Lanczos kernel there."""
    frequency = np.linspace(0.0, 8.0, 513)
    f = np.arange(64) / 64
    position = f[:, None] - np.arange(-2, 4)[None, :]
    wave = np.cos(2 * np.pi * frequency[:, None] * position.ravel()[None, :])
    return frequency, wave @ _lanczos(f).ravel() / 64


def _read_only(table: FloatArray) -> Float32Array:
    result = np.ascontiguousarray(table, np.float32)
    result.flags.writeable = False
    return result
