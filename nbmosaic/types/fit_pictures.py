"""What pictures of an image fit show beside the images."""

from __future__ import annotations

from typing import NamedTuple

from nbmosaic._types import FloatArray

__all__ = ["RadialProfile", "ResidualSpectrum"]


class RadialProfile(NamedTuple):
    """One source against radius.

    Attributes
    ----------
    centre : tuple of float
        ``(y, x)`` in pixels of the frame that was given to the fit.
    radius, image, model : ndarray, shape (n,)
        Distance of the pixels (arcsec), values of image and model above the fitted background.
    curve_radius, curve : ndarray, shape (m,)
        The fitted PSF, as high at its peak as the model.
    """

    centre: tuple[float, float]
    radius: FloatArray
    image: FloatArray
    model: FloatArray
    curve_radius: FloatArray
    curve: FloatArray


class ResidualSpectrum(NamedTuple):
    """Power of image and residual against spatial frequency.

    Attributes
    ----------
    frequency : ndarray, shape (n,)
        Cycles per arcsec, middle of rings.
    image, residual : ndarray, shape (n,)
        Mean power of the images divided by the standard deviation of the noise: 1 for white noise of that level.
    """

    frequency: FloatArray
    image: FloatArray
    residual: FloatArray
