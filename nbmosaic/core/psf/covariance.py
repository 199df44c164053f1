"""Covariance of fitted parameters from the noise of the pixels.

An estimate that minimises ``|W (d - m(p))|^2`` has, to first order, ``dp = A^-1 J n`` with J the Jacobian of the weighted model (a row a parameter),
``A = J J'`` and n the weighted noise. So its covariance is the sandwich ``A^-1 (J C J') A^-1`` with C the covariance of the weighted noise. It is ``A^-1``
only where the noise is white and the weights are right. Served are independent pixels of any variance, and noise whose correlation was measured in the
residuals; noise of the reference is added by `nbmosaic.core.psf.image_fit_reference`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, Float32Array, FloatArray
from nbmosaic.core.psf.small_products import rows_by_rows

__all__ = ["NoiseMeasure", "coloured_middle", "measure_noise", "sandwich", "white_middle"]

_SINGULAR = 1e-9
"""Smallest eigenvalue of the scaled normal matrix that still counts as constrained: the rounding of single precision Jacobians is averaged far below it."""
_LAGS = 4
"""Lags up to which the correlation of neighbouring pixels is measured: resampling correlates pixels over its kernel, 3 to 4 pixels."""


class NoiseMeasure(NamedTuple):
    """Noise found in weighted residuals.

    Attributes
    ----------
    factor : float
        Their standard deviation by 1.4826 times the median absolute deviation: 1 where the variance plane is right, whatever a few bad sources do.
    factor_error : float
        Its standard error.
    correlation : ndarray, shape (2 * 4 + 1, 2 * 4 + 1)
        Autocorrelation at lags up to 4 pixels, 1 in the centre.
    coloured : bool
        Whether the correlation with the nearest neighbours is significant (5 standard errors, and more than 0.02).
    """

    factor: float
    factor_error: float
    correlation: FloatArray
    coloured: bool


def measure_noise(residual: FloatArray, good: BoolArray) -> NoiseMeasure:
    """Level and correlation of the noise in weighted residuals.

    Parameters
    ----------
    residual : ndarray, shape (ny, nx)
        Residuals by their standard deviations.
    good : ndarray of bool, shape (ny, nx)

    Returns
    -------
    NoiseMeasure
    """
    values = residual[good]
    count = max(int(values.size), 1)
    part = values[:: max(count // 30_000, 1)]  # 30 000 pixels tell the level to 0.7 %, and a median of all costs as much as a model
    factor = 1.4826 * float(np.median(np.abs(part)))  # about 0: the background is fitted
    error = 1.17 * factor / float(np.sqrt(max(part.size, 1)))
    # sources which do not fit must not pass for correlated noise
    kept = good & (np.abs(residual) < 4.0 * factor)
    plain = np.where(kept, residual, 0.0).astype(np.float32)
    nearest = [_neighbour_correlation(plain, kept), _neighbour_correlation(plain.T, kept.T)]
    coloured = max(nearest, key=abs)
    correlation = np.zeros((2 * _LAGS + 1, 2 * _LAGS + 1))
    correlation[_LAGS, _LAGS] = 1.0
    if abs(coloured) <= max(0.02, 5.0 / float(np.sqrt(count))):
        return NoiseMeasure(factor, error, correlation, coloured=False)
    return NoiseMeasure(factor, error, _autocorrelation(plain, kept), coloured=True)


def _neighbour_correlation(values: Float32Array, good: BoolArray) -> float:
    """Correlation of pixels that are neighbours along x."""
    variance = float(np.mean(values[good] ** 2)) if good.any() else 0.0
    pairs = int(np.count_nonzero(good[:, 1:] & good[:, :-1]))
    return float(np.sum(values[:, 1:] * values[:, :-1]) / (pairs * variance)) if pairs and variance > 0.0 else 0.0


def _autocorrelation(values: Float32Array, good: BoolArray) -> FloatArray:
    """Correlation at lags up to 4 pixels, by transforms: mean product of the pairs of good pixels."""
    from scipy import fft

    shape = tuple(int(fft.next_fast_len(n + _LAGS, real=True)) for n in values.shape)
    lag = np.arange(-_LAGS, _LAGS + 1)
    pair = [fft.irfft2(np.abs(fft.rfft2(a, s=shape)) ** 2, s=shape)[np.ix_(lag, lag)] for a in (values, good.astype(np.float32))]
    covariance = np.where(pair[1] > 0.5, pair[0] / np.maximum(pair[1], 1.0), 0.0).astype(np.float64)
    out: FloatArray = covariance / covariance[_LAGS, _LAGS]
    return out


def white_middle(jacobian: NDArray[np.floating], variance: FloatArray | None = None) -> FloatArray:
    """``J C J'`` of independent pixels.

    Parameters
    ----------
    jacobian : ndarray, shape (n, n_data)
    variance : ndarray, shape (n_data,), optional
        Variance of the weighted data; 1 where it is not given.

    Returns
    -------
    ndarray, shape (n, n)
    """
    return rows_by_rows(jacobian, weight=variance)


def coloured_middle(rows: NDArray[np.floating], correlation: FloatArray) -> FloatArray:
    """``J C J'`` of noise with the same correlation everywhere.

    Parameters
    ----------
    rows : ndarray, shape (n, ny, nx)
        Jacobian of the weighted model, 0 in pixels left out.
    correlation : ndarray, shape (2 m + 1, 2 m + 1)
        Correlation of the weighted noise at lags up to m; tapered here by a triangle to m + 1, so that its spectrum stays positive.

    Returns
    -------
    ndarray, shape (n, n)
    """
    from scipy import fft

    half = correlation.shape[0] // 2
    lag = np.arange(-half, half + 1)
    triangle = 1.0 - np.abs(lag) / (half + 1.0)
    tapered = correlation * np.outer(triangle, triangle) ** 0.25
    shape = tuple(int(fft.next_fast_len(n + half, real=True)) for n in rows.shape[1:])
    kernel = np.zeros(shape, np.float32)
    kernel[np.ix_(lag, lag)] = tapered
    spectrum = np.maximum(fft.rfft2(kernel).real, 0.0)
    if not len(rows):
        return np.zeros((0, 0))
    filtered = fft.irfft2(fft.rfft2(rows.astype(np.float32), s=shape) * spectrum, s=shape)[:, : rows.shape[1], : rows.shape[2]]
    flat = rows.reshape(len(rows), -1)
    out = rows_by_rows(filtered.reshape(len(rows), -1), flat)
    return 0.5 * (out + out.T)


def sandwich(normal: FloatArray, middle: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Covariance ``A^-1 S A^-1``, and which parameters the data constrain.

    Parameters
    ----------
    normal : ndarray, shape (n, n)
        ``A = J J'``.
    middle : ndarray, shape (n, n)
        ``S = J C J'``.

    Returns
    -------
    covariance : ndarray, shape (n, n)
        Infinite on the diagonal of parameters that are not constrained, 0 beside it.
    constrained : ndarray of bool, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> covariance, constrained = sandwich(np.diag([4.0, 0.0]), np.diag([4.0, 0.0]))
    >>> covariance[0, 0], constrained.tolist()
    (np.float64(0.25), [True, False])
    """
    size = np.sqrt(np.maximum(np.diag(normal), 0.0))
    alive = size > 0.0
    constrained = alive.copy()
    out = np.zeros(normal.shape)
    if alive.any():
        part = np.ix_(alive, alive)
        unit = 1.0 / size[alive]
        values, vectors = np.linalg.eigh(normal[part] * unit * unit[:, None])
        weak = values < _SINGULAR * values[-1]
        inverse = (vectors[:, ~weak] / values[~weak]) @ vectors[:, ~weak].T
        inverse = inverse * unit * unit[:, None]
        out[part] = inverse @ middle[part] @ inverse
        constrained[alive] = (vectors[:, weak] ** 2).sum(axis=1) < 0.05
    out[~constrained] = 0.0
    out[:, ~constrained] = 0.0
    out[~constrained, ~constrained] = np.inf
    return out, constrained
