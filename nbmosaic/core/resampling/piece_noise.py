"""How the interpolants of pieces correlate the noise of neighbouring pixels (see `nbmosaic.core.resampling.noise`)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.resampling.noise import noise_gain
from nbmosaic.core.resampling.piece_taps import tap_weights
from nbmosaic.types.camera import Interpolant

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["kernel_transform", "piece_noise_gain"]

_SAME = {"nearest": "nearest", "linear": "bilinear", "spline3": "spline", "drizzle": "area"}
_PHASES = 64
_LIMIT = 6  # cycles per pixel beyond which the squared response of these kernels adds less than 1e-3


def _phases() -> FloatArray:
    return (np.arange(_PHASES) + 0.5) / _PHASES


def kernel_transform(interpolant: Interpolant, frequency: FloatArray) -> FloatArray:
    """Fourier transform of the kernel of ``poly3``, ``poly5``, ``sinc`` or ``lsinc`` along one axis, at frequencies in cycles per pixel.

    The kernel at distance x from an input pixel is the weight of that tap at the phase of x, so the transform is the mean over the phases of
    ``sum_k w_k cos(2 pi f (k - s))``.
    """
    phase = _phases()
    weights = tap_weights(interpolant, phase)
    centred = interpolant.kind in ("sinc", "lsinc")
    before = interpolant.taps // 2 if centred else interpolant.taps // 2 - 1
    place = phase[:, None] - (0.5 if centred else 0.0) - (np.arange(interpolant.taps) - before)[None, :]
    f = np.asarray(frequency, float)
    return np.asarray([(weights * np.cos(2 * np.pi * value * place)).sum() / _PHASES for value in f.ravel()]).reshape(f.shape)


@lru_cache(maxsize=16)
def _axis_gain(interpolant: Interpolant, scale: float) -> float:
    """Noise gain along one axis, with output pixels of `scale` input pixels."""
    squares = float((tap_weights(interpolant, _phases()) ** 2).sum(axis=1).mean())
    reach = min(200, int(np.ceil(_LIMIT * max(scale, 1.0))))
    response = kernel_transform(interpolant, np.arange(-reach, reach + 1) / scale)
    return squares * scale / float((response**2).sum())


def piece_noise_gain(interpolant: Interpolant, forward: PixelMap) -> float:
    """Noise gain C0 / S0 of a piece.

    Parameters
    ----------
    interpolant : Interpolant
        The kernel. For ``drizzle`` that of whole input pixels.
    forward : PixelMap
        From the pixels of the output to those of the piece.

    Returns
    -------
    float
        1 for white noise. For ``poly3``, ``poly5``, ``sinc`` and ``lsinc`` that of square pixels parallel to those of the piece, of the size in the
        middle of the map: pieces are resampled at nearly their own scale and angle.

    Examples
    --------
    >>> from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
    >>> from nbmosaic.types.box import PixelBox
    >>> box = PixelBox(0, 50, 0, 50)
    >>> y, x = np.mgrid[0.0:50, 0.0:50]
    >>> half = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, table_u=x + 0.01 * y, table_v=y + 0.01 * x),), error_pix=0.0)
    >>> 0.5 < piece_noise_gain(Interpolant.parse("poly3"), half) < piece_noise_gain(Interpolant.parse("sinc"), half) < 1
    True
    """
    if interpolant.kind in _SAME:
        return noise_gain(_SAME[interpolant.kind], forward)
    box = forward.box
    y, x = (box.ymin + box.ymax) // 2, (box.xmin + box.xmax) // 2
    v, u = forward.evaluate(np.array([y, y, min(y + 1, box.ymax - 1)]), np.array([x, min(x + 1, box.xmax - 1), x]))
    area = abs(float((u[1] - u[0]) * (v[2] - v[0]) - (u[2] - u[0]) * (v[1] - v[0])))
    scale = round(float(np.sqrt(area)), 3) if np.isfinite(area) and area > 0 else 1.0
    return _axis_gain(interpolant, max(scale, 1e-3)) ** 2
