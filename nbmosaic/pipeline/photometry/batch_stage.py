"""The stage that fits many images, for a cell line: `%psf batch`."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import Any, Literal

from nbmosaic.errors import ConfigError, FormatError
from nbmosaic.pipeline.execution import Progress, available_cpus
from nbmosaic.pipeline.photometry.batch_product import PhotometryBatch
from nbmosaic.pipeline.recipe import choose

__all__ = ["fit_photometry_batch"]

IMAGES_PER_WORKER = 32
"""Images that are worth one more worker process: starting one takes 1.2 s of a processor, an image of 320 x 320 pixels 0.045 s with reading."""


def fit_photometry_batch(
    reference: str | Any,
    *images: str | Any,
    method: Literal["image", "star", "both"] = "image",
    estimator: Literal["whitened", "window", "imphot"] | None = None,
    star: tuple[float, float, float] | Any | None = None,
    radius: float | None = None,
    regions: str | Any | None = None,
    notstar: tuple[float, float, float] | Any | None = None,
    fix_scale: float | None = None,
    fix_bg: float | None = None,
    fix_dx: float | None = None,
    fix_dy: float | None = None,
    fix_fwhm: float | None = None,
    fix_beta: float | None = None,
    min_scale: float = 0.0,
    segment: bool = False,
    extramask: str | Any | None = None,
    hst_fwhm: float = 0.085,
    hst_beta: float = 1.6,
    margin: float = 2.0,
    taper: int = 9,
    noise: Literal["auto", "variance", "residuals"] = "auto",
    exclude_misfits: bool = False,
    any_unit: bool = False,
    on_error: Literal["raise", "stop", "skip"] = "raise",
    jobs: int = 0,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> PhotometryBatch:
    """Fit many images against one reference; one row a file.

    Parameters
    ----------
    reference : str or image
        The reference on the grid of the images.
    *images : str or image
        Files, patterns, folders, images.
    method : {"image", "star", "both"}
        Which fits.
    estimator : {"whitened", "window", "imphot"}, optional
        Estimator of the fits: imphot's, or the default one.
    star : tuple of float or SkyCoord, optional
        Right ascension and declination in degrees, radius in arcsec; needed for star fits.
    radius : float, optional
        Radius in arcsec where `star` has none.
    regions, notstar, min_scale, segment, margin, taper, exclude_misfits
        Options of image fits, see `fit_image_photometry`.
    fix_scale, fix_bg, fix_dx, fix_dy, fix_fwhm, fix_beta : float, optional
        Values of parameters that are not fitted.
    extramask, hst_fwhm, hst_beta, noise, any_unit
        Options of all fits, see `fit_image_photometry`.
    on_error : {"raise", "skip"}
        An image that fails ends the batch (stop means the same), or is a row with its reason.
    jobs : int
        Worker processes; 0: as many as the work is worth, negative: all processors but that many.
    executor : concurrent.futures.Executor, optional
        Runs the fits instead.
    progress : Progress, optional
        Told of every finished image.

    Returns
    -------
    PhotometryBatch
        ``.table`` has one row a file, ``.failures`` the files that failed and why, ``.plot()`` draws FWHM against file.

    Raises
    ------
    ConfigError
        No image; an option that the chosen fits do not have.
    NbmosaicError
        What an image fails with, unless it is skipped.

    Examples
    --------
    >>> nights = fit_photometry_batch("hst.fits", "muse/udf*.fits", fix_beta=2.8, on_error="skip")  # doctest: +SKIP
    """
    given = {key: value for key, value in locals().items() if key not in _HOW}
    from nbmosaic.pipeline.photometry import batch as photometry_batch

    choose(method, ("image", "star", "both"), option="method")
    if estimator is not None:
        choose(estimator, ("whitened", "window", "imphot"), option="estimator")
    files = [file for item in images for file in _files(item, skip=on_error == "skip")]
    if not files:
        raise ConfigError("there is no image to fit", hint="give files or patterns after the reference")
    kind = {
        "image": photometry_batch.FitImagePhotometryMP,
        "star": photometry_batch.FitStarPhotometryMP,
        "both": photometry_batch.FitImageAndStarPhotometryMP,
    }[method]
    workers = min(available_cpus(), math.ceil(len(files) / IMAGES_PER_WORKER)) if jobs == 0 else jobs
    iterator = kind(
        reference,
        files,
        _options(method, given),
        workers,
        executor=executor if len(files) > 1 else None,
        on_error="skip" if on_error == "skip" else "raise",
        progress=progress,
    )
    with iterator:
        for _ in iterator:
            pass
        return iterator.batch


def _files(item: Any, *, skip: bool) -> list[Any]:
    """Files of a name, pattern or folder; one that is missing is passed on where failures are rows of the table."""
    from nbmosaic.io.paths import expand_inputs

    try:
        return expand_inputs(item)
    except FormatError:
        if skip and isinstance(item, str):
            return [item]
        raise


_HOW = frozenset({"reference", "images", "method", "on_error", "jobs", "executor", "progress"})
_DEFAULTS = {"min_scale": 0.0, "segment": False, "margin": 2.0, "taper": 9, "exclude_misfits": False}
_ONLY = {
    "star": ("regions", "notstar", "min_scale", "segment", "margin", "taper", "exclude_misfits"),
    "image": ("radius",),
    "both": ("notstar",),
}
"""Options that fits of a kind do not have."""


def _options(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the fits; one that they do not have is refused where it was given."""
    estimator = given.pop("estimator", None)
    for name in _ONLY[method]:
        if given.pop(name) != _DEFAULTS.get(name):
            raise ConfigError(f"{name} is no option of method={method!r}", hint="leave it out", option=name)
    if method != "image" and given["star"] is None:
        raise ConfigError(f"method={method!r} needs a star", hint="star=(ra, dec, radius): degrees, degrees, arcsec", option="star")
    names = {"image": {"method": "whitened"}, "star": {"method": "window"}, "both": {"image_method": "whitened", "star_method": "window"}}[
        method
    ]
    if estimator is not None:
        wrong = [one for one in names.values() if estimator not in ("imphot", *names.values())]
        if wrong:
            raise ConfigError(f"{estimator} is no estimator of method={method!r}", hint=f"choose imphot or {wrong[0]}", option="estimator")
        given |= dict.fromkeys(names, "imphot") if estimator == "imphot" else {}
    return given
