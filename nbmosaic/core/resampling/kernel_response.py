"""What an interpolant does to stars and to noise, measured by sending an impulse, noise or a star through the resampler itself.

An impulse that is resampled at many sub-pixel shifts draws the kernel h(d), the weight of an input pixel at distance d. From it follow, along one axis,

* the transfer function ``H(f) = <sum h(d) cos(2 pi f d)>``: what is left of the amplitude of a wave of f cycles per pixel. The ideal is 1 below half a cycle
  per pixel and 0 above, where waves come back as others (aliases);
* the covariance of output pixels k apart, for white noise of variance 1 in and equal pixel sizes: ``C(k) = <sum_j w_j w_(j - k)>`` with the weights w of one
  phase. Products of the two axes hold for images.

``<>`` is the mean over the sub-pixel phases, which all occur alike when an image is turned or distorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.resampling.pieces import resample_piece
from nbmosaic.errors import InputError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import Interpolant
from nbmosaic.types.frame import FramePixels

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["KernelResponse", "correlation", "kernel_response", "resample_turned", "shift_star"]

_REACH = 24  # pixels: the spline's kernel falls by 0.27 a pixel, to 1e-13 there
_ROWS = 9  # an impulse that is long in y; the rows are all alike
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KernelResponse:
    """What an interpolant does along one axis.

    Attributes
    ----------
    interpolant : Interpolant
        The kernel.
    distance, weight : ndarray, shape (n,)
        Distances in pixels, rising, and the weights of an input pixel there.
    weight_sum : tuple of float
        Smallest and largest sum of the weights over the sub-pixel phases.
    frequency, transfer : ndarray, shape (m,)
        Cycles per pixel, and what is left of the amplitude.
    covariance : ndarray, shape (lags,)
        Covariance of output pixels 0, 1, 2, ... apart, for white noise of variance 1.
    """

    interpolant: Interpolant
    distance: FloatArray
    weight: FloatArray
    weight_sum: tuple[float, float]
    frequency: FloatArray
    transfer: FloatArray
    covariance: FloatArray

    @property
    def correlation(self) -> FloatArray:
        """Correlation of output pixels 0, 1, 2, ... apart along an axis."""
        return self.covariance / self.covariance[0]

    @property
    def noise(self) -> float:
        """Standard deviation of a pixel of the resampled image over that of an input pixel."""
        return float(self.covariance[0])

    @property
    def noise_gain(self) -> float:
        """Variance of a pixel of the resampled image over the sum of its covariances with all pixels.

        The variance of a sum over many pixels is the sum of their variances divided by this: see `nbmosaic.core.resampling.noise`.
        """
        total = 2 * self.covariance[1:].sum() + self.covariance[0]
        return float((self.covariance[0] / total) ** 2)


def kernel_response(interpolant: Interpolant | str, *, phases: int = 64, frequencies: FloatArray | None = None) -> KernelResponse:
    """Measure an interpolant by resampling an impulse.

    Parameters
    ----------
    interpolant : Interpolant or str
        The kernel.
    phases : int
        Sub-pixel shifts, spread evenly over a pixel.
    frequencies : ndarray, optional
        Cycles per pixel; default: 0 to 2.

    Returns
    -------
    KernelResponse

    Examples
    --------
    >>> found = kernel_response("linear")
    >>> round(found.noise, 3), [round(float(v), 3) for v in found.correlation[:3]]
    (0.667, [1.0, 0.25, 0.0])
    """
    kernel = Interpolant.parse(interpolant) if isinstance(interpolant, str) else interpolant
    if phases < 1:
        raise InputError(f"cannot measure a kernel at {phases} phases", hint="use 1 or more")
    reach = max(_REACH, kernel.taps)
    columns = 2 * reach + 1
    image = np.zeros((_ROWS, columns), np.float32)
    image[:, reach] = 1.0
    shifts = (np.arange(phases) + 0.5) / phases - 0.5
    weights = np.stack([_resampled(image, kernel, _shift_map(image.shape, shift, 0.0))[_ROWS // 2] for shift in shifts]).astype(float)
    distance = np.arange(columns)[None, :] + shifts[:, None] - reach
    order = np.argsort(distance, axis=None)
    frequency = np.linspace(0.0, 2.0, 201) if frequencies is None else np.asarray(frequencies, float)
    flat_distance, flat_weight = distance.ravel()[order], weights.ravel()[order]
    sums = weights.sum(axis=1)
    return KernelResponse(
        interpolant=kernel,
        distance=flat_distance,
        weight=flat_weight,
        weight_sum=(float(sums.min()), float(sums.max())),
        frequency=frequency,
        transfer=np.cos(2 * np.pi * frequency[:, None] * flat_distance) @ flat_weight / phases,
        covariance=np.array([(weights[:, k:] * weights[:, : columns - k]).sum() for k in range(columns)]) / phases,
    )


def _resampled(image: Float32Array, kernel: Interpolant, forward: PixelMap) -> Float32Array:
    return resample_piece(FramePixels(data=image), forward, interpolant=kernel, boundary="nearest", with_area=False).data


def _shift_map(shape: tuple[int, int], dx: float, dy: float) -> PixelMap:
    """Output pixel (x, y) is input pixel (x + dx, y + dy)."""
    return _linear_map(shape, np.array([[dx, 1.0, 0.0], [dy, 0.0, 1.0]]))


def _linear_map(shape: tuple[int, int], coefficients: FloatArray) -> PixelMap:
    """Map with the coefficients of 1, x, y of the input's x and y."""
    from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map

    ny, nx = shape
    corners = np.array([[0.0, 0], [nx - 1.0, 0], [0, ny - 1.0], [nx - 1.0, ny - 1.0]])
    inside = np.column_stack([np.ones(4), corners]) @ coefficients.T
    return pixel_map(
        fit_surface_map(corners, inside, function="polynomial", xxorder=2, xyorder=2, yxorder=2, yyorder=2), PixelBox(0, ny, 0, nx)
    )


def resample_turned(image: Float32Array, interpolant: Interpolant | str, *, degrees: float = 1.0, margin: int = 20) -> Float32Array:
    """Turn an image about its middle, so that all sub-pixel phases occur.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        The image.
    interpolant : Interpolant or str
        The kernel.
    degrees : float
        Angle.
    margin : int
        Pixels left out at the edges of the result.

    Returns
    -------
    ndarray of float32, shape (ny - 2 margin, nx - 2 margin)

    Examples
    --------
    >>> resample_turned(np.ones((64, 64), np.float32), "poly3").shape
    (24, 24)
    """
    kernel = Interpolant.parse(interpolant) if isinstance(interpolant, str) else interpolant
    ny, nx = image.shape
    if margin < 1 or min(ny, nx) <= 2 * margin:
        raise InputError(f"nothing is left of an image of {nx} x {ny} pixels without a margin of {margin}", hint="use a larger image")
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = (nx - 1) / 2, (ny - 1) / 2
    forward = _linear_map((ny, nx), np.array([[x - cos * x + sin * y, cos, -sin], [y - sin * x - cos * y, sin, cos]]))
    return _resampled(image, kernel, forward)[margin:-margin, margin:-margin]


def correlation(image: Float32Array, lags: int = 6) -> FloatArray:
    """Correlation of pixels 0, 1, 2, ... apart along the rows of an image of noise.

    Examples
    --------
    >>> correlation(np.random.default_rng(1).normal(size=(200, 200)), 2).shape
    (2,)
    """
    values = np.asarray(image, float) - np.mean(image, dtype=float)
    nx = values.shape[1]
    found = np.array([np.mean(values[:, k:] * values[:, : nx - k]) for k in range(lags)])
    return found / found[0]


def shift_star(
    interpolant: Interpolant | str, *, fwhm: float, shift: tuple[float, float] = (0.5, 0.5), size: int = 65
) -> tuple[FloatArray, FloatArray]:
    """Resample an image of a star at a sub-pixel shift.

    Parameters
    ----------
    interpolant : Interpolant or str
        The kernel.
    fwhm : float
        Full width at half maximum of the star, a Gaussian with a flux of 1 sampled at the pixel centres, in pixels.
    shift : tuple of float
        ``(y, x)`` in pixels.
    size : int
        Side of the image, odd.

    Returns
    -------
    found, truth : ndarray, shape (size, size)
        The resampled star, and the star as it should be: in the middle.

    Examples
    --------
    >>> found, truth = shift_star("spline3", fwhm=3.0)
    >>> bool(abs(found - truth).max() < 0.05 * truth.max())
    True
    """
    kernel = Interpolant.parse(interpolant) if isinstance(interpolant, str) else interpolant
    if not fwhm > 0 or size < 3 or size % 2 == 0:
        raise InputError(f"cannot draw a star of width {fwhm} on {size} pixels", hint="use a positive width and an odd size")
    truth, seen = _gaussian(size, fwhm, (0.0, 0.0)), _gaussian(size, fwhm, shift)
    found = _resampled(seen.astype(np.float32), kernel, _shift_map((size, size), shift[1], shift[0]))
    return found.astype(float), truth


def _gaussian(size: int, fwhm: float, shift: tuple[float, float]) -> FloatArray:
    sigma = fwhm / FWHM_PER_SIGMA
    place = np.arange(size) - size // 2
    column, row = (np.exp(-0.5 * ((place - s) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)) for s in shift)
    image: FloatArray = column[:, None] * row
    return image
