"""Weight tables of the interpolants, with IRAF's numbers.

A table has a row for each of 1025 sub-pixel phases, and one more, so that a kernel can interpolate between a row and the next: linear
interpolation over 1/1024 pixel is right to 4e-7 of the weight's curvature, the precision of float32. ``lsinc`` is stepped instead: it uses the
nearest of its few rows.

The weights, with s the distance behind the first of the two pixels around a position, t = 1 - s:

``linear``, ``poly3``, ``poly5``
    Lagrange's polynomials through 2, 4, 6 pixels.
``spline3``
    The cubic B-spline's t**3, 1 + 3 t + 3 t**2 - 3 t**3, ..., over 6, on the coefficients of the natural spline.
``sinc``, ``lsinc``
    With d the distance from the nearest pixel and taps j = -h...h: (-1)**j T(j) / (d - j), T(j) = (1 - 0.49670 q + 0.03705 q**2)**2,
    q = (pi j / 2 h)**2, divided by their sum. The taper T (a cosine bell) depends on the tap j alone, not on d - j, as in IRAF. Here the weights are
    multiplied by d before the sum is taken, which removes the singularity at d = 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.resampling.taps import PHASES
from nbmosaic.types.camera import Interpolant

__all__ = ["TapTable", "tap_polynomials", "tap_table", "tap_weights"]

_TAPER = (0.49670, 0.03705)


class TapTable(NamedTuple):
    """Weights of a separable kernel.

    Attributes
    ----------
    weights : ndarray of float32, shape (phases + 2, 4 or a multiple of 8)
        Padded with 0 behind the taps.
    rows : int
        Number of taps.
    before : int
        How many of them lie before the pixel that the phase counts from.
    centred : bool
        Whether phases count from half a pixel before the nearest pixel (else from the pixel at or before the position).
    stepped : bool
        Whether the nearest row is to be used as it is.
    """

    weights: Float32Array
    rows: int
    before: int
    centred: bool
    stepped: bool


def tap_weights(interpolant: Interpolant, phase: FloatArray) -> FloatArray:
    """Weights of the taps at phases in 0...1, shape (phases, taps)."""
    s = np.asarray(phase, np.float64)[:, None]
    if interpolant.kind == "spline3":
        t = 1 - s
        return np.concatenate([t**3, 1 + t * (3 + t * (3 - 3 * t)), 1 + s * (3 + s * (3 - 3 * s)), s**3], axis=1) / 6
    if interpolant.kind in ("sinc", "lsinc"):
        return _sinc(interpolant.taps // 2, s - 0.5)
    return _lagrange(np.arange(interpolant.taps, dtype=np.float64) - (interpolant.taps // 2 - 1), s)


def _lagrange(nodes: FloatArray, s: FloatArray) -> FloatArray:
    factors = [np.prod([(s[:, 0] - b) / (a - b) for b in nodes if b != a], axis=0) for a in nodes]
    return np.stack(factors, axis=1)


def _sinc(half: int, d: FloatArray) -> FloatArray:
    j = np.arange(-half, half + 1)
    q = (np.pi * j / (2 * half)) ** 2
    taper = (1 - _TAPER[0] * q + _TAPER[1] * q * q) ** 2 * np.where(j % 2 == 0, 1.0, -1.0)
    weights: FloatArray = taper * np.where(j == 0, 1.0, d / np.where(j == 0, 1.0, d - j))
    return weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=8)
def tap_table(interpolant: Interpolant, *, squared: bool = False) -> TapTable:
    """Table of an interpolant that has taps (all but ``nearest`` and ``drizzle``).

    Parameters
    ----------
    interpolant : Interpolant
        The interpolant.
    squared : bool
        Whether to square the weights, which propagates a variance (not for ``spline3``, whose taps are no samples).
    """
    stepped = interpolant.kind == "lsinc"
    phases = interpolant.steps if stepped else PHASES
    phase = np.arange(phases + 1) / phases
    if interpolant.shift is not None:
        phase = np.full(phases + 1, interpolant.shift + 0.5)
    weights = tap_weights(interpolant, phase)
    taps = weights.shape[1]
    width = 4 if taps <= 4 else 8 * ((taps + 7) // 8)
    table = np.pad(weights**2 if squared else weights, ((0, 1), (0, width - taps)), mode="constant")
    table[-1] = table[-2]
    fixed = np.ascontiguousarray(table, np.float32)
    fixed.flags.writeable = False
    centred = interpolant.kind in ("sinc", "lsinc")
    return TapTable(fixed, taps, taps // 2 if centred else taps // 2 - 1, centred, stepped)


@lru_cache(maxsize=8)
def tap_polynomials(interpolant: Interpolant) -> Float32Array:
    """Weights of ``poly3``, ``poly5`` or ``spline3`` as polynomials in the phase less a half, which keeps rounding lowest.

    Returns
    -------
    ndarray of float32, shape (taps, degree + 1)
        Coefficients of rising powers. Read-only.
    """
    degree = 5 if interpolant.kind == "poly5" else 3
    phase = np.arange(degree + 1) / degree
    powers = np.vander(phase - 0.5, degree + 1, increasing=True)
    fixed = np.ascontiguousarray(np.linalg.solve(powers, tap_weights(interpolant, phase)).T, np.float32)
    fixed.flags.writeable = False
    return fixed
