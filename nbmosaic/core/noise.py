"""Noise of a frame, measured on its own pixels."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import Float32Array

__all__ = ["pixel_noise"]

_MAD = 1.482602218505602
_LAG = 6  # pixels: beyond the correlation that any of the kernels makes (spline coefficients fall by 0.27 a pixel)


def pixel_noise(data: Float32Array, *, rows: int = 32) -> float:
    """Standard deviation of the noise of a pixel, from differences of pixels a few pixels apart.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Image, NaN where there is none.
    rows : int
        Number of rows looked at, spread over the image.

    Returns
    -------
    float
        1.4826 times the median absolute difference, divided by sqrt(2); 0 where there are too few pixels. The sky's own gradients add
        little, stars are outliers of the median.

    Examples
    --------
    >>> noise = pixel_noise(np.random.default_rng(1).normal(0, 3, (200, 200)).astype(np.float32))
    >>> abs(noise - 3) < 0.15
    True
    """
    chosen = data[:: max(1, data.shape[0] // max(1, rows))]
    if chosen.shape[1] <= _LAG:
        return 0.0
    difference = chosen[:, _LAG:] - chosen[:, :-_LAG]
    good = difference[np.isfinite(difference)]
    if good.size < 30:
        return 0.0
    return float(_MAD * np.median(np.abs(good - np.median(good))) / np.sqrt(2.0))
