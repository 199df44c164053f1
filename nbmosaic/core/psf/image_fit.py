"""PSF, flux scale, background and offset of an image from a sharper image of the same sky: every galaxy helps to measure the seeing.

The model of an image is ``bg + scale * (sky (*) M)(x - d)`` with M a Moffat. The sky is known from a reference whose spectrum is ``B P S`` (the window B
of the resampling, the reference's own PSF P; see `nbmosaic.core.psf.fourier_window`). Two estimators are here.

*imphot's* (`image_fit_spectrum`) blurs the image by ``B P`` and compares tapered, masked images in Fourier space, without weights. Three things follow.
The residuals are correlated and their number is the padded half plane, so errors taken from their scatter are 3 to 8 times too small. High frequencies,
which tell the seeing, count ``(B P)^2`` times what their noise deserves. And the mask cuts the reference before it is blurred and moved, the image after,
which biases dx, dy and scale wherever a mask or the edge cuts a source. The objective is kept, for comparison; its errors here are propagated from the
noise of the pixels (a sandwich).

The *whitened* one, the default, divides the reference by ``B P`` instead: ``M / (B P)`` stays of order 1, because the seeing falls faster than the
window. The model is a model of the pixels. They are left out after the convolution, their noise is white, and weighted least squares is maximum
likelihood: no other unbiased estimator of these pixels scatters less. What it needs is care where the reference is not known:

* the reference is continued beyond its frame by its mirror image. Zeros cost 0.01 arcsec of fwhm with bright galaxies at the edge: a jump, divided by B,
  rings far in;
* pixels within 1.6 fwhm of unknown sky are left out, and the others lose weight where the mirrored part throws light on them, ``1 / (1 + (2 c /
  sigma)^2)``. Over 16 fields of 280 x 280 pixels with galaxies only, the bias without noise is 0.0001 arcsec in fwhm (0.0004 at most), 0.1 sigma in bg,
  less in the others (rms);
* with a reference that extends 2 arcsec beyond the image nothing is left out, and the bias is below 0.05 sigma;
* the model is used up to 0.9 Nyquist and faded out at 0.99 (`image_fit_plane` has the numbers);
* noise of the reference, where its variance is given, adds to the variance of a pixel, correlates pixels (which the covariance allows for), and pulls
  fwhm up by attenuation (0.09 sigma for galaxies only in these fields); that pull is taken out.

Light of bright points beyond Nyquist's frequency is added (`nbmosaic.core.psf.image_fit_beyond`): without it a star makes fwhm too small, by 0.0002 arcsec
where it is 3.3 pixels, by 0.007 where it is 2.25.

Noise of 200 realisations in image and reference, fields, seeds and limits written down before (`tests/truth/test_image_fit_criteria.py`: 300 x 300 pixels
of 0.2 arcsec, fwhm 0.65 to 0.67 arcsec, beta 2.8, masked edges and holes). A pull is (fit - truth) / standard error; its rms is known to 0.05, its mean to
0.07; the last column is the scatter of fwhm by that of imphot's form on the same images.

============  ===================================  ==================================  ====
field         rms pull: scale bg dx dy fwhm beta   mean pull
============  ===================================  ==================================  ====
rich          0.88 1.08 0.98 1.08 1.03 0.93        -0.04 0.06 -0.05 0.06 0.15 0.13     0.61
sparse        0.98 0.95 0.89 0.99 0.96 0.96        0.03 -0.03 0.04 0.07 -0.00 -0.03    0.67
low signal    0.94 0.99 0.96 0.97 0.92 0.95        0.06 -0.08 -0.05 -0.08 -0.09 -0.14  0.61
stars masked  0.95 1.09 1.02 1.02 0.92 0.92        -0.08 0.15 -0.07 -0.04 0.04 -0.01
galaxies      1.05 1.05 1.08 1.01 0.98 1.02        -0.03 0.02 0.11 -0.08 -0.02 -0.03
============  ===================================  ==================================  ====

With galaxies only fwhm is off by 0.0002 and 0.0000 arcsec on average. The gain over imphot's form is largest where compact sources tell the seeing, and where
the seeing is good: extended galaxies have little power at high frequencies, so all weights do nearly as well on them (0.73 in a field without stars, 0.8 in a
seeing of 0.9 arcsec, from the standard errors). No unbiased estimator of the same pixels can do better: the standard error of fwhm is the Cramer-Rao bound
within 1 % (tested in the sparse field).

The errors are those of noise. Where galaxies do not look alike in the two bands, the fit finds a PSF that makes up for it. In the public pair of the Hubble
Deep Field South (white light and F606W) faint galaxies and the outskirts of bright ones are bluer, and that makes beta of the image fit 4.6 +- 0.3 where a
star has 2.65 +- 0.14 (`tests/truth/test_real_pair.py`). Use bands that agree, or compact sources, or fix beta.

A variance plane is believed within 5 %. Where the median absolute residual says otherwise, or where neighbouring residuals are correlated, the errors are
those of the noise found, and a note says so: the public pair of images of the Hubble Deep Field South has a plane 25 times too large in standard
deviation.
"""

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
    linear_map: bool = False,
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
    linear_map : bool
        Fit rotation and plate scale too, to first order (see `nbmosaic.core.psf.image_fit_map`): the result then has the parameters ``rotation_deg`` and
        ``pixel_scale_factor``, which its covariance does not list. Only in the whitened form.

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
    if linear_map and method != "whitened":
        raise ConfigError("rotation and plate scale are fitted in the whitened form only", hint='use method="whitened"')
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
        linear_map=linear_map,
    )
    return fit_whitened(setting) if method == "whitened" else fit_imphot(setting)
