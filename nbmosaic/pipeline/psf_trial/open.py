"""Begin of a trial: from two images, or from a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbmosaic.errors import ConfigError
from nbmosaic.pipeline.photometry.inputs import star_position
from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry, ImagePhotometry, Photometry, StarPhotometry
from nbmosaic.pipeline.psf_trial.setting import FITS, Area, TrialSetting, fit_option_names, values_of
from nbmosaic.pipeline.psf_trial.trial import PsfTrial
from nbmosaic.pipeline.recipe import choose
from nbmosaic.types.photometry import PARAMETER_NAMES

__all__ = ["try_psf"]


def try_psf(reference: Any, image: Any = None, **options: Any) -> PsfTrial:
    """Take the fit of an image into the hand.

    Parameters
    ----------
    reference : image, ImagePhotometry, StarPhotometry or ImageAndStarPhotometry
        The reference as `nbmosaic.fit_image_photometry` takes it; or a fit, with which everything begins.
    image : image, optional
        The image; nothing with a fit.
    **options
        Options of the fits. ``fix_...`` fix parameters, ``star`` and ``notstar`` choose a star.

    Returns
    -------
    PsfTrial
        With the values of the fit; else FWHM, beta and offset from the spectra of the two, scale and background by least squares.

    Raises
    ------
    ConfigError, InputError
        Unknown options, images that do not fit together.

    Examples
    --------
    >>> trial = try_psf("hst.fits", "muse.fits")  # doctest: +SKIP
    >>> trial.change(fwhm=0.7).with_best_scale().facts.redchi  # doctest: +SKIP
    """
    fit, star = None, None
    if isinstance(reference, ImageAndStarPhotometry):
        reference, star = reference.image, reference.star.star
    how = "image"
    if isinstance(reference, Photometry):
        if image is not None or options:
            raise ConfigError("a fit is given, and an image or options too", hint="give the fit alone, and change the trial")
        if not isinstance(reference, ImagePhotometry | StarPhotometry):
            raise ConfigError(f"{type(reference).__name__} cannot be tried")
        fit, request = reference, reference.request
        reference, image, options = request.reference, fit.held or request.image, dict(request.options)
        kind = request.kind
        how = next(name for name, found in FITS.items() if found == (kind, fit.result.method))
    elif image is None:
        raise ConfigError("there is no image", hint="give the reference and the image")
    trial = _new_trial(reference, image, options, how, {} if fit is None else values_of(fit), star)
    if fit is None:
        return trial
    if isinstance(fit, ImagePhotometry) and trial.shared.setting.image.variance is not None:
        trial.shared.factor = fit.result.noise_factor
    shared = trial.shared
    shared.image = fit.request.image
    return replace(trial, last_fit=fit)


def _new_trial(reference: Any, image: Any, options: dict[str, Any], how: str, values: Mapping[str, float], star: Any) -> PsfTrial:
    """A trial with values, or with a start of its own where there are none."""
    start = {name: options.pop(f"init_{name}") for name in ("dx", "dy") if options.get(f"init_{name}") is not None}
    start |= dict(options.pop("start", None) or {})
    method = options.pop("method", None)
    if method is not None and method not in (FITS[how][1], "window"):
        choose(method, ("whitened", "imphot"), option="method")
        how = "image, imphot" if method == "imphot" else "image"
    fixed = {name: options.pop(f"fix_{name}") for name in PARAMETER_NAMES if options.get(f"fix_{name}") is not None}
    known = fit_option_names("image") | fit_option_names("star")
    only, without, radius = options.pop("star", None), options.pop("notstar", None), options.pop("radius", None)
    word = options.get("regions")
    if only is not None and isinstance(word, str) and word.strip().lower() == "notstar":
        only, without = None, only
    if isinstance(word, str) and word.strip().lower() in {"star", "notstar"}:
        options.pop("regions")
    kept = {name: value for name, value in options.items() if name in known and value is not None}
    others = {name for name, value in options.items() if name not in known and value is not None}
    if others:
        raise ConfigError(f"{min(others)} is no option of a fit", hint=f"options are {', '.join(sorted(known))}")
    begin = {**start, **fixed, **values}
    shared = TrialSetting(reference, image, kept, begin)
    filled = {"scale": 1.0, "bg": 0.0} | shared.start | begin
    trial = PsfTrial(**filled, fixed=frozenset(fixed), options=kept, shared=shared)
    place = next((one for one in (only, without, star) if one is not None), None)
    if place is not None:
        trial = trial.change(star=star_position(place, radius=radius))
    area: Area = "star" if only is not None and FITS[how][0] == "image" else "notstar" if without is not None else "everywhere"
    trial = trial.change(area=area, how=how)
    if not values and {"scale", "bg"} - set(fixed):
        trial = trial.with_best_scale()
    shared.use_scatter(trial.residual, trial.good)
    return replace(trial)  # without what was kept under another noise
