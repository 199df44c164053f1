"""Weights that fall to zero smoothly at masked pixels, so that a transform of masked images shows no edges."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import BoolArray, FloatArray

__all__ = ["taper_weights"]


def taper_weights(good: BoolArray, taper: int) -> FloatArray:
    """Tapered weights of the good pixels.

    Parameters
    ----------
    good : ndarray of bool, shape (ny, nx)
    taper : int
        Width of the taper in pixels, made odd (10 -> 11, 9 -> 9); below 2 the weights are 1 in good pixels.

    Returns
    -------
    ndarray, shape (ny, nx)
        1 where the nearest bad pixel (or the edge) is far, 0 in bad pixels.

    Notes
    -----
    imphot's: the good pixels are eroded by a square as wide as the taper, pixels beyond the edges counting as bad, and the result is convolved with the
    product of two Blackman windows of that width. The weight is 0 in the bad pixels and small beside them.

    Examples
    --------
    >>> import numpy as np
    >>> taper_weights(np.ones((1, 5), bool), 0).tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0]]
    >>> taper_weights(np.ones((9, 9), bool), 3)[4].round(2).tolist()
    [0.2, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.2]
    """
    from scipy import ndimage

    if taper < 2:
        return good.astype(np.float64)
    width = 2 * (taper // 2) + 1
    kernel = np.blackman(width + 2)[1:-1]
    kernel /= kernel.sum()
    out = good.astype(np.uint8)
    for axis in (0, 1):
        out = ndimage.minimum_filter1d(out, width, axis=axis, mode="constant", cval=0)
    smooth: FloatArray = out.astype(np.float64)
    for axis in (0, 1):
        smooth = ndimage.correlate1d(smooth, kernel, axis=axis, mode="constant")
    return smooth
