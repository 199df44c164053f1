"""FWHM and beta of a cube against wavelength, from fits of its bands against one reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.errors import ConfigError, InputError, NbmosaicError, NoOverlapError
from nbmosaic.pipeline.execution import NoProgress, Progress
from nbmosaic.pipeline.photometry.batch_product import FailedPhotometry
from nbmosaic.pipeline.photometry.products import ImagePhotometry
from nbmosaic.pipeline.photometry.wavelength_product import CubePsf
from nbmosaic.pipeline.recipe import choose
from nbmosaic.types.sky_image import SkyCube

__all__ = ["cube_bands", "fit_cube_psf"]

_FIT_OPTIONS = ("fix_beta", "fix_dx", "fix_dy", "extramask", "hst_fwhm", "hst_beta", "noise", "any_unit")
_IMAGE_OPTIONS = ("segment", "margin", "exclude_misfits")


def fit_cube_psf(
    reference: str | Any,
    cube: str | Any,
    *,
    bands: int | Sequence[tuple[float, float]] = 20,
    wavelengths: tuple[float, float] | None = None,
    method: Literal["image", "star"] = "image",
    star: tuple[float, float, float] | Any | None = None,
    regions: str | Any | None = None,
    notstar: tuple[float, float, float] | Any | None = None,
    segment: bool = False,
    extramask: str | Any | None = None,
    fix_beta: float | None = None,
    fix_dx: float | None = None,
    fix_dy: float | None = None,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    margin: float = 2.0,
    noise: Literal["auto", "variance", "residuals"] = "auto",
    exclude_misfits: bool = False,
    any_unit: bool = False,
    fwhm_order: int | Literal["auto"] = 2,
    beta_order: int | Literal["auto"] = 1,
    reference_range: tuple[float, float] = (5000.0, 9000.0),
    output: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CubePsf:
    """FWHM and beta of a spectral cube as smooth functions of wavelength, from a sharper image of the same sky.

    Parameters
    ----------
    reference : str or image
        The sharper image on the grid of the cube, see `fit_image_photometry`.
    cube : str or cube
        A file, an mpdaf Cube, ``(array, wcs)``. The planes of one band are read at a time.
    bands : int or sequence of (float, float)
        Number of bands of equally many planes, or their limits in angstrom (they may overlap and leave gaps).
    wavelengths : tuple of float, optional
        First and last wavelength that is used, angstrom; with a number of bands.
    method : {"image", "star"}
        Which fit each band gets.
    star : tuple of float or SkyCoord, optional
        Right ascension, declination (degrees) and radius (arcsec): needed for star fits; an image fit is restricted to it.
    regions, notstar, segment, margin, exclude_misfits
        Options of image fits, see `fit_image_photometry`.
    extramask, fix_beta, fix_dx, fix_dy, hst_fwhm, hst_beta, noise, any_unit
        Options of all fits.
    fwhm_order, beta_order : int or "auto"
        Degree of the polynomials; ``auto``: of the smallest Bayesian information criterion.
    reference_range : tuple of float
        Wavelengths that the coefficients refer to (FSFLB1 and FSFLB2).
    output : str, optional
        Also write the FSF keywords, see `CubePsf.save_header`.
    overwrite : bool
        Replace an existing file.
    progress : Progress, optional
        Told of every finished band.

    Returns
    -------
    CubePsf
        ``.table`` (one row a band), ``.psf``, ``.fwhm_at(wavelength)``, ``.cards``, ``.save_header(path)``, ``.plot()``.

    Raises
    ------
    InputError, AlgorithmError
        A cube without wavelengths, bands without planes; what the fits raise where all of them fail. A band that fails alone is a row with its reason.

    Notes
    -----
    A band is the mean of its planes with its variance. Its FWHM and beta, with their covariance, enter a joint polynomial fit: see
    `nbmosaic.core.psf.wavelength.fit_wavelength_psf`. mpdaf has a place for this, ``FSFModel.from_hstconv``, which is empty.

    Examples
    --------
    >>> psf = fit_cube_psf("hst_on_muse.fits", "DATACUBE_FINAL.fits", bands=40)  # doctest: +SKIP
    >>> psf.save_header("DATACUBE_FSF.fits")  # doctest: +SKIP
    """
    given = dict(locals())
    from nbmosaic.core.psf.bandpass import band_image, flat_band
    from nbmosaic.core.psf.wavelength import fit_wavelength_psf
    from nbmosaic.io.cube_planes import read_sky_cube
    from nbmosaic.io.output import check_output
    from nbmosaic.pipeline.photometry.bandpass import band_sky_image
    from nbmosaic.pipeline.photometry.inputs import read_image

    choose(method, ("image", "star"), option="method")
    fit, options = _fit_of(method, given)
    if output is not None:
        check_output(output, overwrite=overwrite)
    sky, planes = read_image(reference, role="reference"), read_sky_cube(cube)
    middle, limits = cube_bands(planes, bands, wavelengths=wavelengths)
    told = NoProgress() if progress is None else progress
    told.start("bands", len(middle))
    results: list[Any] = []
    for (first, last), wavelength in zip(limits, middle, strict=True):
        name = f"{planes.name} {wavelength:.1f} angstrom"
        try:
            image = band_sky_image(planes, band_image(planes, flat_band(int(first), int(last))), name=name)
            done = fit(sky, image, **options)
            small = done.without_pictures() if isinstance(done, ImagePhotometry) else replace(done, held=None)
            results.append(replace(small, request=replace(small.request, reference=reference, image=None)))
        except NbmosaicError as error:
            results.append(FailedPhotometry(name, error, method))
        told.advance()
    told.finish(f"{len(results)} bands")
    failed = [result for result in results if isinstance(result, FailedPhotometry)]
    if len(failed) == len(results):
        raise failed[0].error
    psf = fit_wavelength_psf(middle, *_estimates(results), fwhm_order=fwhm_order, beta_order=beta_order, reference_range=reference_range)
    out = CubePsf(psf, tuple(results), limits, planes.name, planes.filename)
    return out if output is None else out.save_header(output, overwrite=overwrite)


def _fit_of(method: str, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The function that fits a band, and its options; regions are read once."""
    from nbmosaic.pipeline.photometry.fitting import fit_image_photometry, fit_star_photometry
    from nbmosaic.pipeline.photometry.inputs import fit_regions, star_position

    options = {name: given[name] for name in _FIT_OPTIONS}
    if method == "image":
        options |= {name: given[name] for name in _IMAGE_OPTIONS}
        chosen = fit_regions(given["regions"], given["star"], given["notstar"])
        return fit_image_photometry, options | {"regions": chosen}
    for name, default in (("regions", None), ("notstar", None), ("segment", False), ("margin", 2.0), ("exclude_misfits", False)):
        if given[name] != default:
            raise ConfigError(f'{name} is no option of method="star"', hint="leave it out", option=name)
    if given["star"] is None:
        raise ConfigError('method="star" needs a star', hint="star=(ra, dec, radius): degrees, degrees, arcsec", option="star")
    return fit_star_photometry, options | {"star": tuple(star_position(given["star"]))}


def _estimates(results: Sequence[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """FWHM, beta and their covariance of every band; NaN where a fit failed."""
    from nbmosaic.core.psf.wavelength import band_estimates

    good = np.array([not isinstance(result, FailedPhotometry) for result in results])
    values = np.full((2, len(results)), np.nan)
    covariance = np.zeros((len(results), 2, 2))
    fwhm, beta, covariance[good] = band_estimates([one.result for one, fine in zip(results, good, strict=True) if fine])
    values[0, good], values[1, good] = fwhm, beta
    return values[0], values[1], covariance


def cube_bands(
    cube: SkyCube, bands: int | Sequence[tuple[float, float]], *, wavelengths: tuple[float, float] | None = None
) -> tuple[FloatArray, IntArray]:
    """Planes of each band.

    Parameters
    ----------
    cube : SkyCube
        The cube.
    bands : int or sequence of (float, float)
        As in `fit_cube_psf`.
    wavelengths : tuple of float, optional
        First and last wavelength, angstrom.

    Returns
    -------
    middle : ndarray of float, shape (n,)
        Mean wavelength of the planes of each band, angstrom.
    planes : ndarray of int, shape (n, 2)
        First plane, and the one after the last.

    Raises
    ------
    InputError, ConfigError, NoOverlapError
        A cube without wavelengths; no planes for a band.
    """
    from nbmosaic.io.filter_curve import wavelengths_in

    if cube.wave_unit == "pixel":
        raise InputError(f"{cube.name} has no wavelengths", hint="give its third axis a unit (CUNIT3)")
    at = wavelengths_in(cube.wavelengths, cube.wave_unit, "Angstrom")
    if isinstance(bands, int):
        first, last = (-np.inf, np.inf) if wavelengths is None else wavelengths
        inside = np.flatnonzero((at >= first) & (at <= last))
        if not 1 <= bands <= inside.size:
            raise ConfigError(f"{bands} bands of {inside.size} planes", hint="give a number from 1 to the number of planes", option="bands")
        edges = inside[0] + np.linspace(0, inside.size, bands + 1).round().astype(np.int64)
        limits = np.stack([edges[:-1], edges[1:]], axis=1)
    else:
        if wavelengths is not None:
            raise ConfigError("wavelengths is for a number of bands", hint="leave it out", option="wavelengths")
        pairs = [_pair(band) for band in bands]
        limits = np.array([[np.searchsorted(at, low), np.searchsorted(at, high, side="right")] for low, high in pairs], np.int64).reshape(
            -1, 2
        )
        for (low, high), (start, end) in zip(pairs, limits, strict=True):
            if start >= end:
                reach = f"it reaches from {at[0]:g} to {at[-1]:g} angstrom"
                raise NoOverlapError(f"{cube.name} has no plane from {low:g} to {high:g} angstrom", hint=reach)
        if not pairs:
            raise ConfigError("there are no bands", hint="give their number, or their limits in angstrom", option="bands")
    return np.array([at[start:end].mean() for start, end in limits]), limits


def _pair(band: Any) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in band)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a band is {band!r}", hint="give (first, last) in angstrom", option="bands") from error
    return low, high
