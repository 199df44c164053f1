"""The sliders, boxes, lists and fields of the PSF panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.pipeline.psf_trial.ranges import SliderRange, trial_ranges
from nbmosaic.pipeline.psf_trial.setting import FITS

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.psf_trial.trial import PsfTrial

__all__ = ["NO_STAR", "PsfControls", "psf_controls"]

NO_STAR, OTHER = -1, -2
AREAS = {"everywhere": "everywhere", "the star only": "star", "without the star": "notstar"}
_MEANING = {
    "fwhm": "full width at half maximum of the PSF, arcsec",
    "beta": "exponent of the Moffat profile: small ones have strong wings",
    "dx": "offset along x, arcsec: image minus reference",
    "dy": "offset along y, arcsec: image minus reference",
    "scale": "flux of the image per flux of the reference",
    "bg": "background of the image less that of the scaled reference",
}


@dataclass(frozen=True, kw_only=True)
class PsfControls:
    """The widgets that hold a value.

    Attributes
    ----------
    sliders, ranges, fixed : dict
        By parameter.
    how, area, stars, ra, dec, radius, from_here
        The others.
    """

    sliders: dict[str, ipywidgets.FloatSlider]
    ranges: dict[str, SliderRange]
    fixed: dict[str, ipywidgets.Checkbox]
    how: ipywidgets.Dropdown
    area: ipywidgets.Dropdown
    stars: ipywidgets.Select
    ra: ipywidgets.Text
    dec: ipywidgets.Text
    radius: ipywidgets.BoundedFloatText
    from_here: ipywidgets.Checkbox

    def show(self, trial: PsfTrial, *, place: bool = True) -> None:
        """Set everything to what a trial is; `place`: the position of the star too, which else may be one that a person is typing."""
        for name, slider in self.sliders.items():
            _set_slider(slider, self.ranges[name].holding(getattr(trial, name)), getattr(trial, name))
            self.fixed[name].value = name in trial.fixed
        self.how.value, self.area.value = trial.how, trial.area
        is_star_fit = FITS[trial.how][0] == "star"
        self.area.disabled = is_star_fit  # it takes the star alone
        self.stars.value = NO_STAR if trial.star is None else OTHER if trial.picked is None else trial.picked
        if trial.star is not None:
            if place:
                self.ra.value, self.dec.value = f"{trial.star.ra:.7f}", f"{trial.star.dec:.7f}"
            self.radius.value = trial.star.radius


def psf_controls(trial: PsfTrial) -> PsfControls:
    """Make the widgets.

    Parameters
    ----------
    trial : PsfTrial
        The trial with which the panel begins.
    """
    import ipywidgets

    sliders, fixed, ranges = {}, {}, trial_ranges(trial)
    for name, one in ranges.items():
        # every move is answered: the page sends the next value only after the answer to the last, and a model takes 0.03 s
        sliders[name] = ipywidgets.FloatSlider(
            min=one.low, max=one.high, step=one.step, readout_format=one.shown, continuous_update=True, **_named(name, _MEANING[name])
        )
        fixed[name] = ipywidgets.Checkbox(
            description=f"fix {name}",
            tooltip=f"the fit keeps {name} at this value",
            indent=False,
            layout=ipywidgets.Layout(width="6em"),
        )
    stars = (("none", NO_STAR), *trial.candidate_labels(), ("another place", OTHER))
    return PsfControls(
        sliders=sliders,
        ranges=ranges,
        fixed=fixed,
        how=ipywidgets.Dropdown(options=tuple(FITS), **_named("fit", "which fit: of the whole image or of one star; by which estimator")),
        area=ipywidgets.Dropdown(options=AREAS, **_named("where", "what an image fit compares")),
        stars=ipywidgets.Select(options=stars, rows=5, **_named("stars", "sources that look like stars, brightest first; arrow keys")),
        ra=_text("RA", "right ascension of a star: degrees or sexagesimal", "12.6em"),
        dec=_text("Dec", "declination of a star: degrees or sexagesimal", "12.6em"),
        radius=ipywidgets.BoundedFloatText(
            value=trial.star.radius if trial.star is not None else 2.0,
            min=0.2,
            max=60.0,
            step=0.1,
            **_named("radius", "of the circle about a star, arcsec", "10em"),
        ),
        from_here=ipywidgets.Checkbox(
            value=False, description="start at the sliders", tooltip="else the fit finds its own start", indent=False
        ),
    )


def _set_slider(slider: ipywidgets.FloatSlider, ends: SliderRange, value: float) -> None:
    """Set a slider; a value beyond its ends moves them."""
    slider.min, slider.max = min(slider.min, ends.low), max(slider.max, ends.high)
    slider.value = value


def _named(description: str, tooltip: str, width: str = "26em") -> dict[str, Any]:
    import ipywidgets

    style = {"description_width": "3.5em"}
    return {"description": description, "tooltip": tooltip, "style": style, "layout": ipywidgets.Layout(width=width)}


def _text(description: str, tooltip: str, width: str) -> ipywidgets.Text:
    import ipywidgets

    return ipywidgets.Text(continuous_update=False, **_named(description, tooltip, width))
