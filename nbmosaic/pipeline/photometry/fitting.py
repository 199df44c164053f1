"""Photometric fits of an image against a sharper reference of the same sky: whole images, single stars, both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.photometry.inputs import FitPair, aligned_pair, combined_mask, fit_parameters, fit_regions, star_position
from nbmosaic.pipeline.photometry.offsets import sky_offsets
from nbmosaic.pipeline.photometry.products import FitRequest, ImageAndStarPhotometry, ImagePhotometry, StarPhotometry
from nbmosaic.pipeline.recipe import choose
from nbmosaic.types.photometry import ImageFitResult

if TYPE_CHECKING:
    from nbmosaic._types import BoolArray

__all__ = ["fit_image_and_star_photometry", "fit_image_photometry", "fit_star_photometry"]

ImageMethod = Literal["whitened", "imphot"]
StarMethod = Literal["window", "imphot"]
Noise = Literal["auto", "variance", "residuals"]
_STAR_NOISE: Mapping[str, Literal["auto", "given", "fitted"]] = {"auto": "auto", "variance": "given", "residuals": "fitted"}


def fit_image_photometry(
    reference: str | Any,
    image: str | Any,
    *,
    method: ImageMethod = "whitened",
    fix_scale: float | None = None,
    fix_bg: float | None = None,
    fix_dx: float | None = None,
    fix_dy: float | None = None,
    fix_fwhm: float | None = None,
    fix_beta: float | None = None,
    init_dx: float | None = None,
    init_dy: float | None = None,
    min_scale: float = 0.0,
    start: Mapping[str, float] | None = None,
    bounds: Mapping[str, Any] | None = None,
    regions: str | Any | None = None,
    star: tuple[float, float, float] | Any | None = None,
    notstar: tuple[float, float, float] | Any | None = None,
    segment: bool = False,
    extramask: str | Any | None = None,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    margin: float = 2.0,
    taper: int = 9,
    noise: Noise = "auto",
    exclude_misfits: bool = False,
    misfit_sigma: float = 5.0,
    linear_map: bool = False,
    any_unit: bool = False,
    regrid_reference: bool = False,
) -> ImagePhotometry:
    """PSF, flux scale, background and offset of an image, from a sharper reference of the same sky.

    Parameters
    ----------
    reference : str or image
        The sharper image (HST) on the grid of the image: a file (plain FITS, or DATA, STAT and DQ), ``CCDData``, ``(array, wcs)``, an mpdaf Image,
        what `regrid` makes. Its grid may be shifted by whole pixels and extend beyond the image (`regrid` with ``margin``): the light of galaxies
        beyond the edge is then known.
    image : str or image
        The image (MUSE).
    method : {"whitened", "imphot"}
        The estimator: pixels weighted by their variance, or imphot's objective, with honest errors in both cases.
    fix_scale, fix_bg, fix_dx, fix_dy, fix_fwhm, fix_beta : float, optional
        Values of parameters that are not fitted (offsets and FWHM in arcsec).
    init_dx, init_dy : float, optional
        Start of the offset, arcsec; None: by cross-correlation, also of many pixels.
    min_scale : float
        Least flux scale.
    start : mapping, optional
        Start values by parameter.
    bounds : mapping, optional
        ``(min, max)`` by parameter, None where there is no bound.
    regions : str or iterable, optional
        DS9 region file, lines of one, or objects of the regions package: what is left out, or all that is fitted. ``star`` and ``notstar`` say
        what is done with the star.
    star : tuple of float or SkyCoord, optional
        Right ascension and declination in degrees, radius in arcsec: only this circle is fitted.
    notstar : tuple of float or SkyCoord, optional
        The same; this circle is left out.
    segment : bool
        Leave out areas where the reference has no source.
    extramask : str, array or image, optional
        Pixels of the image to leave out: not 0 in an array, an image or a file.
    hst_fwhm, hst_beta : float
        Moffat PSF of the reference before it was resampled, arcsec and exponent; 0 for none. The defaults are those of drizzled ACS images; take
        those of a star of the reference for another camera (WFPC2: 0.126 and 2.6).
    margin : float
        Margin about the images while they are transformed, arcsec.
    taper : int
        Width in pixels over which ``method="imphot"`` softens the edges of masks; the default method needs none.
    noise : {"auto", "variance", "residuals"}
        Errors from the variance of the image, from the residuals, or from the residuals only where they contradict the variance, which is said.
    exclude_misfits : bool
        Find sources that the reference does not predict (stars that moved, variables, saturated cores), leave them out, and fit again.
    misfit_sigma : float
        Least significance of such a source, in standard deviations.
    linear_map : bool
        Fit a small rotation and a small difference of plate scale, too: ``rotation_deg`` (from x to y) and ``pixel_scale_factor`` are then in the table.
    any_unit : bool
        Fit a reference of another unit as it is; the scale then holds the ratio of the units.
    regrid_reference : bool
        Bring the reference to the grid of the image first, with 5 arcsec of sky beyond it, and to its unit where an HST header tells how.

    Returns
    -------
    ImagePhotometry
        ``.scale .bg .dx .dy .dra .ddec .fwhm .beta`` (each with value, stderr, fixed, flag), ``.table``, ``.lmfit``, ``.summary()``, ``.plot()``,
        ``.apply()``, ``.save()``, ``.misfits``, ``.exclusion_mask``.

    Raises
    ------
    InputError
        Grids that are not aligned, units that differ, regions that cannot be read, options without meaning.
    AlgorithmError
        Everything is masked, one of the images is constant, or they do not overlap.

    Notes
    -----
    The model is ``bg + scale * (reference convolved with a Moffat, moved by dx, dy)``; see `nbmosaic.core.psf.image_fit.fit_image`. `dra` and
    `ddec` are true angles with the errors of a rotated covariance; imphot's `dra` is a difference of coordinates, 1 / cos(dec) too large.

    Errors know the noise, not that galaxies look different through another filter. In a pair of white light and F606W, where outskirts are bluer than cores,
    `beta` was 4.6 +- 0.3 from galaxies and 2.65 +- 0.14 from a star. Use a reference through the filter of the image (`bandpass`), or `fix_beta`.

    Examples
    --------
    >>> fit = fit_image_photometry("hst_F606W.fits", "muse_F606W.fits", regions="exclude.reg", fix_beta=2.8)  # doctest: +SKIP
    >>> fit.fwhm.value, fit.fwhm.stderr  # doctest: +SKIP
    (0.6193, 0.0017)
    """
    from nbmosaic.core.psf.image_fit import fit_image

    options = {key: value for key, value in locals().items() if key not in {"reference", "image", "fit_image"}}
    choose(method, ("whitened", "imphot"), option="method")
    choose(noise, ("auto", "variance", "residuals"), option="noise")
    fixed = {"scale": fix_scale, "bg": fix_bg, "dx": fix_dx, "dy": fix_dy, "fwhm": fix_fwhm, "beta": fix_beta}
    specs = _image_specs(fixed, min_scale, {"dx": init_dx, "dy": init_dy, **(start or {})}, bounds)
    chosen = fit_regions(regions, star, notstar)
    pair = aligned_pair(reference, image, extramask=extramask, any_unit=any_unit, regrid_reference=regrid_reference)
    sky_mask, notes = combined_mask(pair, chosen, segment=segment)

    def fit(left_out: BoolArray | None) -> ImageFitResult:
        frame = pair.image_frame
        return fit_image(
            pair.reference_frame,
            frame if left_out is None else replace(frame, mask=frame.mask | left_out),
            parameters=specs,
            method=method,
            sky_mask=sky_mask,
            reference_offset=pair.offset,
            margin_arcsec=margin,
            taper=taper,
            hst_fwhm=hst_fwhm,
            hst_beta=hst_beta,
            noise=noise,
            linear_map=linear_map,
        )

    request = FitRequest(kind="image", reference=reference, image=image, options=options)
    notes = (*pair.notes, *notes)
    if not exclude_misfits:
        return _image_product(fit(None), pair, specs, request, notes)
    from nbmosaic.core.psf.outliers import fit_without_misfits

    found = fit_without_misfits(fit, pair.image.shape, threshold=misfit_sigma)
    count = len(found.sources)
    notes = (*notes, f"{count} source{'s' * (count != 1)} that do{'es' * (count == 1)} not fit left out (exclude_misfits)")
    if not found.settled:
        notes = (*notes, "sources that do not fit remain: the search did not settle")
    return replace(_image_product(found.result, pair, specs, request, notes), excluded=found.sources, exclusion=found.mask)


def _image_specs(
    fixed: Mapping[str, float | None], min_scale: float, start: Mapping[str, float | None], bounds: Mapping[str, Any] | None
) -> dict[str, Any]:
    limits = dict(bounds or {})
    if min_scale and fixed["scale"] is None:
        if "scale" in limits:
            raise ConfigError("min_scale and a bound of scale are given", hint="give one of them")
        limits["scale"] = (min_scale, None)
    return fit_parameters(fixed, start=start, bounds=limits)


def _image_product(
    result: ImageFitResult, pair: FitPair, specs: Mapping[str, Any], request: FitRequest, notes: tuple[str, ...]
) -> ImagePhotometry:
    if notes:
        result = replace(result, notes=(*notes, *result.notes))
    dra, ddec = sky_offsets(result, pair.image.wcs, pair.image.shape)
    return ImagePhotometry(result=result, specs=specs, dra=dra, ddec=ddec, request=request, held=pair.image)


def fit_star_photometry(
    reference: str | Any,
    image: str | Any,
    *,
    star: tuple[float, float, float] | Any,
    radius: float | None = None,
    method: StarMethod = "window",
    fix_scale: float | None = None,
    fix_bg: float | None = None,
    fix_dx: float | None = None,
    fix_dy: float | None = None,
    fix_fwhm: float | None = None,
    fix_beta: float | None = None,
    start: Mapping[str, float] | None = None,
    bounds: Mapping[str, Any] | None = None,
    elliptical: bool = False,
    integrate: bool = False,
    extramask: str | Any | None = None,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    noise: Noise = "auto",
    any_unit: bool = False,
    regrid_reference: bool = False,
) -> StarPhotometry:
    """PSF, flux scale, background and offset of an image, from one star in it and in the reference.

    Parameters
    ----------
    reference, image : str or image
        As for `fit_image_photometry`.
    star : tuple of float or SkyCoord
        Right ascension and declination in degrees, radius in arcsec; or a SkyCoord, with `radius`.
    radius : float, optional
        Radius in arcsec where `star` has none.
    method : {"window", "imphot"}
        The star of the reference is a point seen through its PSF and the window of its resampling; or two independent Moffat profiles as in
        imphot, whose scale is 4 to 8 % too large on bright stars.
    fix_scale, fix_bg, fix_dx, fix_dy, fix_fwhm, fix_beta : float, optional
        Values of parameters that are not fitted. They hold for the image's profile and the comparison, never for the reference's own profile.
    start : mapping, optional
        Start values by parameter.
    bounds : mapping, optional
        ``(min, max)`` by parameter, None where there is no bound.
    elliptical : bool
        Whether the Moffat profile may be elliptical.
    integrate : bool
        Whether it is averaged over the pixels; if not, the FWHM is that of the effective profile.
    extramask : str, array or image, optional
        Pixels of the image to leave out.
    hst_fwhm, hst_beta : float
        Moffat PSF of the reference before it was resampled. The scale of ``method="window"`` rests on them: an fwhm of 0.060 or 0.120 in place of
        0.085 moves it by 7 or 8 %.
    noise : {"auto", "variance", "residuals"}
        Errors from the variance of the image, from the residuals, or from the residuals only where they contradict the variance, which is said.
    any_unit : bool
        Compare a reference of another unit as it is.
    regrid_reference : bool
        Bring the reference to the grid of the image first.

    Returns
    -------
    StarPhotometry
        As `ImagePhotometry`, with ``.profile_table`` and ``.lmfit_of("image")``. `bg` is the image's background less `scale` times that of the
        reference with ``method="window"``, as in image fits; the plain difference with ``method="imphot"``, as there.

    Raises
    ------
    InputError
        The star is outside of the image; grids, units and options as for `fit_image_photometry`.
    SingularFitError
        Too few usable pixels.

    Examples
    --------
    >>> fit = fit_star_photometry("hst.fits", "muse.fits", star=(53.1623, -27.7807, 2.0))  # doctest: +SKIP
    """
    from nbmosaic.core.geometry.sky import icrs_to_pixel
    from nbmosaic.core.psf.star_fit import fit_star

    options = {key: value for key, value in locals().items() if key not in {"reference", "image", "fit_star", "icrs_to_pixel"}}
    choose(method, ("window", "imphot"), option="method")
    choose(noise, tuple(_STAR_NOISE), option="noise")
    place = star_position(star, radius=radius)
    fixed = {"scale": fix_scale, "bg": fix_bg, "dx": fix_dx, "dy": fix_dy, "fwhm": fix_fwhm, "beta": fix_beta}
    specs = fit_parameters(fixed, start=start, bounds=bounds)
    pair = aligned_pair(reference, image, extramask=extramask, any_unit=any_unit, regrid_reference=regrid_reference)
    x, y = icrs_to_pixel(pair.image.wcs, np.array([place.ra]), np.array([place.dec]))
    ny, nx = pair.image.shape
    if not (-0.5 <= x[0] < nx - 0.5 and -0.5 <= y[0] < ny - 0.5):
        raise InputError(
            "The specified star position is not within the image.",
            hint=f"{place.ra:.6f}, {place.dec:+.6f} is at x {x[0]:.1f}, y {y[0]:.1f} of {pair.image.name or 'the image'} ({nx} x {ny} pixels)",
        )
    result = fit_star(
        pair.reference_part,
        pair.image_frame,
        centre=(float(y[0]), float(x[0])),
        radius_arcsec=place.radius,
        parameters=specs,
        method=method,
        elliptical=elliptical,
        integrate=integrate,
        hst_fwhm=hst_fwhm,
        hst_beta=hst_beta,
        noise=_STAR_NOISE[noise],
    )
    if pair.notes:
        result = replace(result, notes=(*pair.notes, *result.notes))
    dra, ddec = sky_offsets(result, pair.image.wcs, pair.image.shape)
    request = FitRequest(kind="star", reference=reference, image=image, options=options)
    return StarPhotometry(result=result, specs=specs, dra=dra, ddec=ddec, request=request, held=pair.image, star=(*place,))


def fit_image_and_star_photometry(
    reference: str | Any,
    image: str | Any,
    *,
    star: tuple[float, float, float] | Any,
    radius: float | None = None,
    regions: str | Any | None = None,
    image_method: ImageMethod = "whitened",
    star_method: StarMethod = "window",
    fix_scale: float | None = None,
    fix_bg: float | None = None,
    fix_dx: float | None = None,
    fix_dy: float | None = None,
    fix_fwhm: float | None = None,
    fix_beta: float | None = None,
    init_dx: float | None = None,
    init_dy: float | None = None,
    min_scale: float = 0.0,
    segment: bool = False,
    extramask: str | Any | None = None,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    margin: float = 2.0,
    taper: int = 9,
    noise: Noise = "auto",
    exclude_misfits: bool = False,
    elliptical: bool = False,
    integrate: bool = False,
    any_unit: bool = False,
    regrid_reference: bool = False,
) -> ImageAndStarPhotometry:
    """Fit the whole image, and one star in it, to check one against the other.

    Parameters
    ----------
    reference, image : str or image
        As for `fit_image_photometry`; both are read once.
    star, radius
        As for `fit_star_photometry`.
    regions : str or iterable, optional
        Regions of the image fit; ``star`` restricts it to the pixels of the star fit, ``notstar`` leaves them out.
    image_method : {"whitened", "imphot"}
        Estimator of the image fit.
    star_method : {"window", "imphot"}
        Estimator of the star fit.
    fix_scale, fix_bg, fix_dx, fix_dy : float, optional
        Fixed values of the image fit, as in imphot.
    fix_fwhm, fix_beta : float, optional
        Fixed values of both fits.
    init_dx, init_dy, min_scale, segment, margin, taper, exclude_misfits
        Options of the image fit.
    elliptical, integrate
        Options of the star fit.
    extramask, hst_fwhm, hst_beta, noise, any_unit, regrid_reference
        Options of both.

    Returns
    -------
    ImageAndStarPhotometry
        A tuple of `ImagePhotometry` and `StarPhotometry`; its table compares them.

    Raises
    ------
    InputError, AlgorithmError
        See the two fits.
    """
    from nbmosaic.pipeline.photometry.inputs import read_image

    both: dict[str, Any] = {
        "fix_fwhm": fix_fwhm,
        "fix_beta": fix_beta,
        "extramask": extramask,
        "hst_fwhm": hst_fwhm,
        "hst_beta": hst_beta,
        "noise": noise,
        "any_unit": any_unit,
        "regrid_reference": regrid_reference,
    }
    place = star_position(star, radius=radius)
    word = regions.strip().lower() if isinstance(regions, str) else ""
    held = (read_image(reference, role="reference"), read_image(image))
    whole = fit_image_photometry(
        *held,
        method=image_method,
        fix_scale=fix_scale,
        fix_bg=fix_bg,
        fix_dx=fix_dx,
        fix_dy=fix_dy,
        init_dx=init_dx,
        init_dy=init_dy,
        min_scale=min_scale,
        regions=regions,
        star=tuple(place) if word in {"star", "notstar"} else None,
        segment=segment,
        margin=margin,
        taper=taper,
        exclude_misfits=exclude_misfits,
        **both,
    )
    one = fit_star_photometry(*held, star=tuple(place), method=star_method, elliptical=elliptical, integrate=integrate, **both)
    named = [replace(fit, request=replace(fit.request, reference=reference, image=image)) for fit in (whole, one)]
    return ImageAndStarPhotometry(named)
