"""How resampling correlates the noise of neighbouring pixels.

White noise of variance s2 per frame pixel becomes noise with the variance C0 = s2 * <sum of squared weights> per output pixel, averaged over the
sub-pixel phases that occur. A mean over many output pixels, though, has the noise power at zero frequency, S0 = sum of the covariances of
an output pixel with all others. With the kernel's Fourier transform H (1 at frequency 0), output pixels of J frame pixels each, and A the
derivative of the frame position by the output position,

    S0 = s2 / J * sum over whole k of |H(A^-T k)|^2,

by Poisson's summation. The term k = 0, s2 / J, is what area resampling has; the others are the noise that point sampling folds in: next to
nothing at equal scales, but the most of it where the grid is much coarser than the frame. The noise gain C0 / S0 turns the scatter of output
pixels into the error of their mean: the variance of the mean of n pixels is C0 / (n * gain).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.resampling.areas import mean_squared_overlap
from nbmosaic.core.resampling.segments import Segment, map_segments
from nbmosaic.core.resampling.taps import POINT_METHODS, kernel_response, sum_of_squares

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["noise_gain"]

_SAMPLES = 1024  # phases: the mean over them is good to about 0.5 %
_ALIASES = {"nearest": 32}  # cycles per pixel beyond which |H|^2 adds less than 1 %, else 8


def noise_gain(
    method: str, forward: PixelMap, frame_shape: tuple[int, ...] | None = None, *, segments: Sequence[Segment] | None = None
) -> float:
    """Noise gain C0 / S0 of resampling white noise by a pixel map.

    Parameters
    ----------
    method : str
        Resampling method.
    forward : PixelMap
        Maps the pixel centres of the grid to the frame.
    frame_shape : tuple of int, optional
        ``(ny, nx)`` of the frame; without it positions beyond the frame count, too.
    segments : sequence of Segment, optional
        The map as the kernels take it, if it is at hand.

    Returns
    -------
    float
        1 for white noise; 1.0 where the map sees nothing of the frame.
    """
    segments = map_segments(forward) if segments is None else segments
    if not segments:
        return 1.0
    positions, jacobian = _sample(forward, segments, frame_shape)
    scale = abs(float(np.linalg.det(jacobian)))
    if not (positions.size and np.isfinite(jacobian).all() and scale > 0):
        return 1.0
    if method not in POINT_METHODS:
        return mean_squared_overlap(jacobian, positions) * scale
    x, y = positions
    squares = sum_of_squares(method, x - np.floor(x)) * sum_of_squares(method, y - np.floor(y))
    return float(squares.mean()) * scale / _folded(method, jacobian)


def _sample(forward: PixelMap, segments: Sequence[Segment], frame_shape: tuple[int, ...] | None) -> tuple[FloatArray, FloatArray]:
    """Frame positions ``(x, y)`` of output pixels spread over the box, and the derivative of the map at the largest segment's middle."""
    largest = max(segments, key=lambda segment: segment.box.size)
    rng = np.random.default_rng(20240521)
    ny, nx = forward.box.shape
    rows = rng.integers(0, ny, _SAMPLES) + forward.box.ymin
    columns = rng.integers(0, nx, _SAMPLES) + forward.box.xmin
    v, u = forward.evaluate(rows, columns)
    seen = np.isfinite(u) & np.isfinite(v)
    if frame_shape is not None:
        with np.errstate(invalid="ignore"):
            seen &= (u >= 0) & (u <= frame_shape[1] - 1) & (v >= 0) & (v <= frame_shape[0] - 1)
    middle = np.array([largest.box.shape[0] // 2])
    derivatives = largest.derivatives(middle, np.arange(largest.box.shape[1]))[:, 0]
    finite = np.isfinite(derivatives).all(axis=0)
    jacobian = np.median(derivatives[:, finite], axis=1).reshape(2, 2) if finite.any() else np.full((2, 2), np.nan)
    return np.stack([u[seen], v[seen]]), jacobian


def _folded(method: str, jacobian: FloatArray) -> float:
    """Sum over whole frequencies of the output grid of the kernel's squared response."""
    limit = _ALIASES.get(method, 8)
    reach = min(200, int(np.ceil(limit * np.abs(jacobian).sum(axis=0).max())))
    k = np.arange(-reach, reach + 1, dtype=float)
    inverse = np.linalg.inv(jacobian)
    f_x = inverse[0, 0] * k[None, :] + inverse[1, 0] * k[:, None]
    f_y = inverse[0, 1] * k[None, :] + inverse[1, 1] * k[:, None]
    near = np.maximum(np.abs(f_x), np.abs(f_y)) <= limit
    return float(np.sum((kernel_response(method, f_x[near]) * kernel_response(method, f_y[near])) ** 2))
