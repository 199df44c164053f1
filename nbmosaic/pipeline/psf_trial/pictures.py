"""Pictures of a trial: quick ones while values change, and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray
from nbmosaic.pipeline.quicklook import Picture
from nbmosaic.pipeline.recipe import choose
from nbmosaic.views.labels import plain_label

if TYPE_CHECKING:
    from nbmosaic.pipeline.psf_trial.trial import PsfTrial

__all__ = ["trial_picture"]

MAX_SIZE = 480
"""Pixels of the longer side of a quick picture: larger images are averaged over blocks."""
SIGMAS = 5.0


def trial_picture(trial: PsfTrial, kind: str) -> Picture:
    """Draw a trial.

    Parameters
    ----------
    trial : PsfTrial
        The trial.
    kind : {"image", "model", "residual", "profile", "all"}
        What to draw; all: a figure with axes, that of the fit where the trial stands at its values.

    Returns
    -------
    Picture
    """
    choose(kind, ("image", "model", "residual", "profile", "all"), option="kind")
    if kind == "all":
        return _figure(trial)
    return _profile(trial) if kind == "profile" else _plane(trial, kind)


def _plane(trial: PsfTrial, kind: str) -> Picture:
    from nbmosaic.views.look import DIVERGING_MAP, IMAGE_MAP, Stretch
    from nbmosaic.views.preview import block_mean
    from nbmosaic.views.quick_picture import quick_png

    ny, nx = trial.image.shape
    circle: tuple[float, float, float] | None = None
    values: AnyArray
    if kind == "residual":
        values = np.where(trial.good, trial.residual / trial.sigma, np.nan)
        facts = trial.facts
        words = (
            f"residual in units of sigma, from -5 (blue) to 5 (red): chi squared per pixel {facts.redchi:.4g}, largest {facts.worst:.3g}"
        )
    else:
        values = trial.image if kind == "image" else trial.model
        words = f"{plain_label(trial.names[0], 40)}, {nx} x {ny} pixels" if kind == "image" else f"model: {trial.words}"
    small, factor = block_mean(values, MAX_SIZE)
    if kind == "image" and trial.star is not None:
        x, y = trial.pixel(trial.star)
        radius = trial.star.radius / float(np.sqrt(np.prod(trial.result.step_arcsec)))
        circle = ((x + 0.5) / factor - 0.5, (y + 0.5) / factor - 0.5, radius / factor)
        words += f"; the star at x {x:.1f}, y {y:.1f} is circled"
    stretch = Stretch("linear", -SIGMAS, SIGMAS) if kind == "residual" else trial.stretch
    return Picture(quick_png(small, stretch=stretch, colour_map=DIVERGING_MAP if kind == "residual" else IMAGE_MAP, circle=circle), words)


def _profile(trial: PsfTrial) -> Picture:
    from nbmosaic.views.look import SERIES
    from nbmosaic.views.quick_plot import QuickSeries, quick_plot

    profile = trial.profile
    low, high = (float(np.nanpercentile(profile.image, q)) for q in (0, 100)) if len(profile.image) else (0.0, 1.0)
    margin = 0.08 * (high - low)
    png = quick_plot(
        [
            QuickSeries(profile.radius, profile.image, SERIES[0], "image"),
            QuickSeries(profile.radius, profile.model, SERIES[1], "model"),
            QuickSeries(profile.curve_radius, profile.curve, "#222222", "PSF", "dashes"),
        ],
        x_label="radius [arcsec]",
        y_label=plain_label(f"above background [{trial.unit}]" if trial.unit else "above background", 50),
        x_limits=(0.0, float(profile.curve_radius[-1])),
        y_limits=(low - margin, high + margin),
        size=(440, 320),
    )
    y, x = profile.centre
    which = "star" if trial.star is not None else "brightest source"
    return Picture(png, f"profile of the {which} at x {x:.0f}, y {y:.0f}: image, model, and PSF of fwhm {trial.fwhm:.3f} arcsec")


def _figure(trial: PsfTrial) -> Picture:
    """The fit where the trial stands at its values; else image, model and residual with axes, and the profile."""
    from nbmosaic.pipeline.photometry.html import draw_image_fit, draw_star_fit, remembered_picture
    from nbmosaic.pipeline.photometry.products import StarPhotometry

    fit = trial.last_fit
    if fit is not None and trial.is_fitted:
        draw: Any = draw_star_fit if isinstance(fit, StarPhotometry) else draw_image_fit
        return Picture(*remembered_picture(fit, lambda: draw(fit)))
    from nbmosaic.core.psf.fit_pictures import residual_spectrum
    from nbmosaic.views.figures import figure_png
    from nbmosaic.views.psf_figures import plot_image_fit

    result = trial.result
    return Picture(figure_png(plot_image_fit(result, trial.profile, residual_spectrum(result)), 640), trial.words)
