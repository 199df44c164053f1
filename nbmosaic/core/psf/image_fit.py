"""PSF, flux scale, background and offset of an image from a sharper image of the same sky."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from nbmosaic._types import BoolArray
from nbmosaic.core.psf.image_fit_imphot import fit_imphot
from nbmosaic.core.psf.image_fit_setting import prepare_image_fit
from nbmosaic.core.psf.image_fit_whitened import fit_whitened
from nbmosaic.errors import ConfigError
from nbmosaic.types.photometry import FitFrame, ImageFitResult, ParameterSpec, complete_parameters

__all__ = ["fit_image"]


def fit_image(
    reference: FitFrame,
    image: FitFrame,
    *,
    parameters: Mapping[str, ParameterSpec] | None = None,
    method: Literal["whitened", "imphot"] = "whitened",
    sky_mask: BoolArray | None = None,
    reference_offset: tuple[int, int] = (0, 0),
    margin_arcsec: float = 2.0,
    taper: int = 9,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    noise: Literal["auto", "variance", "residuals"] = "auto",
) -> ImageFitResult:
    """Fit an image by a sharper image of the same sky, blurred, moved and scaled.

    Parameters
    ----------
    reference : FitFrame
        The sharper image, brought to the pixels of the image through Blackman's window. It may extend beyond the image.
        Its mask says where the sky is not known. Its variance, where given, is that of its pixels after the window.
    image : FitFrame
        The image. Masked pixels are left out.
    parameters : mapping of str to ParameterSpec, optional
        Which of scale, bg, dx, dy, fwhm and beta are fixed, bounded, or started somewhere; all are free otherwise.
    method : {"whitened", "imphot"}
        The estimator: pixels weighted by their variance, or imphot's objective.
    sky_mask : ndarray of bool, shape of the image, optional
        True on sky that is not to be compared (regions, a star that moved). It moves with the sky of the reference; the light of that sky
        still falls on its neighbours in the whitened form, while in imphot's the reference is cut there.
    reference_offset : tuple of int
        ``(y, x)``: pixel of the reference on which pixel (0, 0) of the image lies. With a reference that extends beyond the image by a few times fwhm the
        light of galaxies beyond the edge is known, and no rim is lost.
    margin_arcsec : float
        Sky kept, or zeros added, beyond the frame before the transform.
    taper : int
        Width in pixels over which imphot's form tapers the images at masked pixels; the whitened form needs none.
    hst_fwhm, hst_beta : float
        Moffat PSF of the reference, arcsec; 0 for a reference without blur.
    noise : {"auto", "variance", "residuals"}
        Where the standard errors come from, see `nbmosaic.core.psf.image_fit_assemble.noise_scale`.

    Returns
    -------
    ImageFitResult

    Raises
    ------
    ShapeError
        The frames do not fit on each other.
    AlgorithmError
        Everything is masked, or one of the images is constant.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.types.photometry import FitFrame
    >>> rng = np.random.default_rng(1)
    >>> sky = rng.normal(size=(64, 64)) ** 4
    >>> f = np.hypot(*np.meshgrid(np.fft.rfftfreq(64), np.fft.fftfreq(64)))
    >>> blurred = np.fft.irfft2(np.fft.rfft2(sky) * np.exp(-60.0 * f**2))
    >>> window = np.where(f < 0.5, 0.42 + 0.5 * np.cos(2 * np.pi * f) + 0.08 * np.cos(4 * np.pi * f), 0.0)
    >>> sharp = np.fft.irfft2(np.fft.rfft2(sky) * window)
    >>> noisy = 2.0 * blurred + rng.normal(0.0, 0.1, sky.shape)
    >>> mask = np.zeros(sky.shape, bool)
    >>> fit = fit_image(FitFrame(data=sharp, mask=mask), FitFrame(data=noisy, mask=mask), hst_fwhm=0.0)
    >>> abs(fit["scale"].value - 2.0) < 4 * fit["scale"].stderr
    True
    """
    if method not in {"whitened", "imphot"}:
        raise ConfigError(f"there is no method {method!r} of an image fit", hint="choose whitened or imphot")
    if noise not in {"auto", "variance", "residuals"}:
        raise ConfigError(f"noise is given as {noise!r}", hint="choose auto, variance or residuals")
    setting = prepare_image_fit(
        reference,
        image,
        parameters=complete_parameters(parameters),
        sky_mask=sky_mask,
        offset=reference_offset,
        margin_arcsec=margin_arcsec,
        taper=taper,
        hst_psf=(hst_fwhm, hst_beta),
        noise=noise,
    )
    return fit_whitened(setting) if method == "whitened" else fit_imphot(setting)
