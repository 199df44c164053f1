"""imphot's fitting functions."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.compat.imphot.ds9regions import region_list
from nbmosaic.compat.imphot.errors import UserError, imphot_errors
from nbmosaic.compat.imphot.outputs import Outputs
from nbmosaic.compat.imphot.values import FittedImagePhotometry, FittedStarPhotometry
from nbmosaic.errors import NbmosaicWarning
from nbmosaic.pipeline.photometry import fitting as photometry
from nbmosaic.pipeline.photometry.inputs import picklable, read_image, star_position

if TYPE_CHECKING:
    from nbmosaic.types.sky_image import SkyImage

__all__ = [
    "fit_image_and_star_photometry",
    "fit_image_photometry",
    "fit_star_photometry",
    "image_options",
    "make_pair_outputs",
    "pair_options",
    "star_options",
]

_OUTPUTS = ("save", "apply", "resample", "display", "nowait", "hardcopy", "title", "fig")
_METHODS = {"imphot": ("imphot", "imphot"), "whitened": ("whitened", "window"), "window": ("whitened", "window")}
"""Estimators of image fit and star fit, by what is given as method: imphot's, or ours under the name of either."""


def fit_image_photometry(
    hst: Any,
    muse: Any,
    regions: Any = None,
    fix_scale: float | None = None,
    fix_bg: float | None = None,
    fix_dx: float | None = None,
    fix_dy: float | None = None,
    fix_fwhm: float | None = None,
    fix_beta: float | None = None,
    min_scale: float = 0,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    margin: float = 2.0,
    segment: bool = False,
    display: bool = False,
    nowait: bool = False,
    hardcopy: str | None = None,
    title: str | None = None,
    star: Any = None,
    save: bool = False,
    fig: Any = None,
    taper: int = 9,
    apply: bool = False,
    resample: bool = False,
    extramask: Any = None,
    init_dx: float | None = None,
    init_dy: float | None = None,
    *,
    method: str = "imphot",
) -> FittedImagePhotometry:
    """PSF, flux scale, background and offset of a MUSE image against an HST image on its grid.

    Parameters
    ----------
    hst, muse : image
        File names, mpdaf Images, or what else holds one image.
    regions : str, iterable of str or None
        DS9 region file or its lines; ``"star"``, ``"notstar"``: inside or outside of `star`; None, ``"none"``, ``""``: everywhere.
    fix_scale, fix_bg, fix_dx, fix_dy, fix_fwhm, fix_beta : float, optional
        Values of parameters that are not fitted.
    min_scale : float
        Least flux scale.
    hst_fwhm, hst_beta : float
        PSF of the HST image before it was resampled.
    margin : float
        Margin about the images while they are transformed, arcsec.
    segment : bool
        Leave out areas where the HST image has no source.
    display, nowait, hardcopy, title, fig
        See `nbmosaic.compat.imphot.outputs.Outputs`.
    star : (float, float, float), optional
        Right ascension and declination in degrees, radius in arcsec. Only this circle is fitted, whatever `regions` say (but ``"notstar"``).
    save : bool
        Write what was compared.
    taper : int
        Width in pixels over which the edges of masks are softened.
    apply, resample : bool
        Write a corrected image, by its header or resampled.
    extramask : str, image or array, optional
        Pixels to leave out: not zero.
    init_dx, init_dy : float, optional
        First guess of the offset, arcsec.
    method : {"imphot", "whitened"}
        imphot's estimator, so that values compare with it, with honest errors; or ours, whose scatter is smaller and whose bias is less.

    Returns
    -------
    FittedImagePhotometry

    Raises
    ------
    UserError
        What was given cannot be used; see `nbmosaic.compat.imphot.errors`.

    Examples
    --------
    >>> fit = fit_image_photometry("hst.fits", "muse.fits", fix_beta=2.8)  # doctest: +SKIP
    >>> print(fit.summary())  # doctest: +SKIP
    """
    given = {key: value for key, value in locals().items() if key not in {"hst", "muse"}}
    options, outputs = image_options(**given)
    images = (_read(hst, "HST"), _read(muse, "MUSE"))
    with imphot_errors():
        found = photometry.fit_image_photometry(*images, **options)
    fit = FittedImagePhotometry.of(found)
    outputs.make(found)
    return fit


def fit_star_photometry(
    hst: Any,
    muse: Any,
    star: Any,
    fix_fwhm: float | None = None,
    fix_beta: float | None = None,
    display: bool = False,
    nowait: bool = False,
    hardcopy: str | None = None,
    title: str | None = None,
    fig: Any = None,
    apply: bool = False,
    resample: bool = False,
    *,
    method: str = "imphot",
) -> FittedStarPhotometry:
    """PSF, flux scale, background and offset of a MUSE image, from one star in it and in an HST image on its grid.

    Parameters
    ----------
    hst, muse : image
        File names, mpdaf Images, or what else holds one image.
    star : (float, float, float)
        Right ascension and declination in degrees, radius in arcsec.
    fix_fwhm, fix_beta : float, optional
        Values for the star in the MUSE image that are not fitted.
    display, nowait, hardcopy, title, fig
        See `nbmosaic.compat.imphot.outputs.Outputs`.
    apply, resample : bool
        Write a corrected image, by its header or resampled.
    method : {"imphot", "window"}
        Two independent Moffat profiles as in imphot, whose scale is 4 to 8 % too large on bright stars; or ours, which is not.

    Returns
    -------
    FittedStarPhotometry

    Raises
    ------
    UserError
        What was given cannot be used.
    """
    given = {key: value for key, value in locals().items() if key not in {"hst", "muse"}}
    options, outputs = star_options(**given)
    images = (_read(hst, "HST"), _read(muse, "MUSE"))
    with imphot_errors():
        found = photometry.fit_star_photometry(*images, **options)
    fit = FittedStarPhotometry.of(found)
    outputs.make(found)
    return fit


def fit_image_and_star_photometry(
    hst: Any,
    muse: Any,
    star: Any,
    regions: Any = "star",
    fix_scale: float | None = None,
    fix_bg: float | None = None,
    fix_dx: float | None = None,
    fix_dy: float | None = None,
    fix_fwhm: float | None = None,
    fix_beta: float | None = None,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    margin: float = 2.0,
    segment: bool = False,
    display: bool = False,
    nowait: bool = False,
    hardcopy: str | None = None,
    title: str | None = None,
    save: bool = False,
    fig: Any = None,
    *,
    min_scale: float = 0,
    taper: int = 9,
    apply: bool = False,
    resample: bool = False,
    extramask: Any = None,
    init_dx: float | None = None,
    init_dy: float | None = None,
    method: str = "imphot",
) -> tuple[FittedImagePhotometry, FittedStarPhotometry]:
    """Both fits of one image, to check one against the other.

    Parameters
    ----------
    hst, muse : image
        File names, mpdaf Images, or what else holds one image.
    star : (float, float, float)
        Right ascension and declination in degrees, radius in arcsec: what the star fit takes.
    regions : str, iterable of str or None
        Regions of the image fit; ``"star"``: the pixels of the star fit, ``"notstar"``: all others.
    fix_scale, fix_bg, fix_dx, fix_dy : float, optional
        Values of parameters that the image fit does not fit.
    fix_fwhm, fix_beta : float, optional
        Values that neither fits.
    hst_fwhm, hst_beta, margin, segment, min_scale, taper, init_dx, init_dy
        As for `fit_image_photometry`, for the image fit.
    extramask : str, image or array, optional
        Pixels that neither fits.
    display, nowait, hardcopy, title, fig
        See `nbmosaic.compat.imphot.outputs.Outputs`; for both fits.
    save : bool
        Write what the image fit compared.
    apply, resample : bool
        Write the image corrected by the image fit.
    method : {"imphot", "whitened"}
        imphot's estimators, or ours.

    Returns
    -------
    tuple
        `FittedImagePhotometry`, `FittedStarPhotometry`.

    Raises
    ------
    UserError
        What was given cannot be used.
    """
    given = {key: value for key, value in locals().items() if key not in {"hst", "muse"}}
    options, outputs = pair_options(**given)
    images = (_read(hst, "HST"), _read(muse, "MUSE"))
    with imphot_errors():
        found = photometry.fit_image_and_star_photometry(*images, **options)
    fits = (FittedImagePhotometry.of(found.image), FittedStarPhotometry.of(found.star))
    make_pair_outputs(outputs, found)
    return fits


def make_pair_outputs(outputs: Outputs, found: Any) -> None:
    """Make files and pictures of both fits; the corrected image is that of the image fit."""
    outputs.make(found.image)
    replace(outputs, save=False, apply=False).make(found.star)


def image_options(**given: Any) -> tuple[dict[str, Any], Outputs]:
    """Our options and outputs for imphot's arguments of an image fit; regions and masks are read, so that mistakes are found before any work."""
    outputs = _outputs(given)
    options = {key: value for key, value in given.items() if key not in _OUTPUTS}
    options["method"] = _method(given)[0]
    options |= _places(options.pop("regions", None), options.pop("star", None))
    options["extramask"] = _mask(options.get("extramask"))
    return options, outputs


def star_options(**given: Any) -> tuple[dict[str, Any], Outputs]:
    """Our options and outputs for imphot's arguments of a star fit."""
    outputs = _outputs(given)
    options = {key: value for key, value in given.items() if key not in _OUTPUTS}
    options["method"] = _method(given)[1]
    options["star"] = _star(given.get("star"))
    return options, outputs


def pair_options(**given: Any) -> tuple[dict[str, Any], Outputs]:
    """Our options and outputs for imphot's arguments of both fits."""
    outputs = _outputs(given)
    options = {key: value for key, value in given.items() if key not in {*_OUTPUTS, "method"}}
    options["image_method"], options["star_method"] = _method(given)
    options["star"] = _star(given.get("star"))
    word = _word(given.get("regions", "star"))
    options["regions"] = None if word == "none" else word or region_list(options.get("regions"))
    options["extramask"] = _mask(options.get("extramask"))
    return options, outputs


def _outputs(given: dict[str, Any]) -> Outputs:
    outputs = Outputs(**{key: given[key] for key in _OUTPUTS if key in given})
    outputs.check()
    return outputs


def _method(given: dict[str, Any]) -> tuple[str, str]:
    method = given.get("method", "imphot")
    if method not in _METHODS:
        raise UserError(f"method cannot be {method!r}", hint=f"choose one of {', '.join(_METHODS)}")
    return _METHODS[method]


def _star(star: Any) -> Any:
    if star is None:
        raise UserError("Missing argument: star=(ra,dec,radius)")
    with imphot_errors():
        return tuple(star_position(star))


def _word(regions: Any) -> str:
    """``"none"``, ``"star"``, ``"notstar"``, or nothing where real regions are given."""
    if regions is None or (isinstance(regions, str) and regions.strip().lower() in {"", "none"}):
        return "none"
    word = regions.strip().lower() if isinstance(regions, str) else ""
    return word if word in {"star", "notstar"} else ""


def _places(regions: Any, star: Any) -> dict[str, Any]:
    """What is fitted, and what is left out: a star that is given goes before regions, as imphot's documentation has it."""
    word = _word(regions)
    if star is not None:
        place = _star(star)
        if not word:
            warnings.warn("star is given: only its circle is fitted, and the regions are not used", NbmosaicWarning, stacklevel=4)
        return {"notstar": place} if word == "notstar" else {"star": place}
    return {} if word else {"regions": region_list(regions)}


def _mask(extramask: Any) -> Any:
    """A mask as our fits take it: an array, or an image that was read."""
    if extramask is None or isinstance(extramask, np.ndarray):
        return extramask
    if isinstance(extramask, str) and extramask.strip().lower() in {"", "none"}:
        return None
    is_file = isinstance(extramask, str | os.PathLike)
    with imphot_errors("Error reading mask file ({})" if is_file else ""):
        return picklable(read_image(extramask, role="extramask"))


def _read(item: Any, which: str) -> SkyImage:
    is_file = isinstance(item, str | os.PathLike)
    with imphot_errors(f"Error reading {which} file ({{}})" if is_file else ""):
        return read_image(item, role=which.lower())
