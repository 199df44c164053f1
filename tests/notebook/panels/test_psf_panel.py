"""The PSF panel: sliders, boxes, stars and the fit, each by widget and by method."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pytest
from support.psf_files import FIELD, PsfFiles, sky_image, star_place

import nbmosaic
from nbmosaic.errors import ConfigError
from nbmosaic.notebook.panels import open_panel
from nbmosaic.notebook.panels.psf import PsfPanel
from nbmosaic.notebook.panels.psf_controls import NO_STAR, OTHER
from nbmosaic.pipeline.psf_trial.open import try_psf

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return PsfFiles.write(tmp_path_factory.mktemp("psf"), n_images=1)


@pytest.fixture(scope="module")
def trial(files):
    return try_psf(files.path("wide"), files.images[0])


@pytest.fixture
def panel(trial):
    with PsfPanel(trial) as panel:
        yield panel


def press(panel, name):
    """Click a button, as the front end does."""
    (found,) = [one for one in tree(panel.widget) if type(one).__name__ == "Button" and one.description == name]
    found.click()


def tree(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def pictures(panel):
    return {name: re.findall(r'src="([^"]+)"', box.value) for name, box in panel._boxes.items()}


def test_a_slider_moves_model_residual_and_profile(panel):
    before = pictures(panel)
    assert all(len(found) == 1 for found in before.values())
    panel._controls.sliders["fwhm"].value = 0.9
    assert panel.value.fwhm == 0.9
    after = pictures(panel)
    assert all(len(found) == 1 and found != before[name] for name, found in after.items())
    assert panel._facts.value.count("chi squared") == 1
    panel.set(fwhm=0.6, beta=30.0)
    assert panel._controls.sliders["fwhm"].value == 0.6
    assert panel._controls.sliders["beta"].value == panel._controls.sliders["beta"].max == 30.0  # the slider grew


def test_values_are_not_rounded_to_the_steps_of_the_sliders(panel):
    panel.set(fwhm=0.61234567, dx=0.0123456)
    panel._controls.sliders["dy"].value = 0.1
    assert (panel.value.fwhm, panel.value.dx, panel.value.dy) == (0.61234567, 0.0123456, 0.1)


def test_the_fit_by_button_and_by_method(panel):
    assert panel.last_fit is None
    panel._controls.fixed["beta"].value = True
    press(panel, "fit")
    fit = panel.last_fit
    assert fit.beta.fixed
    assert fit.beta.value == panel.value.beta
    assert panel._controls.sliders["fwhm"].value == fit.fwhm.value
    assert f"{fit.fwhm.value:.4f}" in panel._fitted.value  # table with errors
    assert panel._fitted.value.count("<img") == 1
    panel.free("beta")
    assert not panel._controls.fixed["beta"].value
    again = panel.fit(from_here=True)
    assert not again.beta.fixed
    assert again.fwhm.value == pytest.approx(0.6, abs=0.02)
    press(panel, "reset")
    assert panel.value.fwhm != again.fwhm.value
    assert panel.last_fit is again


def test_stars_by_list_position_and_click(panel):
    controls = panel._controls
    controls.stars.value = 1
    assert panel.value.picked == 1
    assert controls.ra.value == f"{panel.value.star.ra:.7f}"
    ra, dec, _ = star_place()
    controls.ra.value, controls.dec.value, controls.radius.value = f"{ra}", f"{dec}", 2.5
    press(panel, "take position")
    assert panel.value.picked == 0
    assert panel.value.star.radius == 2.5
    assert controls.stars.value == 0
    controls.radius.value = 1.2
    assert panel.value.star.radius == 1.2
    y, x = panel.value.candidates[1].y, panel.value.candidates[1].x
    panel._on_event({"kind": "click", "right": (x + 0.5) / FIELD.n, "down": 1 - (y + 0.5) / FIELD.n})
    assert controls.stars.value == 1
    panel._on_event({"kind": "key", "key": "ArrowDown"})
    assert controls.stars.value == 0
    panel._on_event({"kind": "click", "right": 0.5, "down": 0.5})
    assert controls.stars.value == OTHER
    assert "is circled" in panel._picture._last[1]
    panel._on_event({"kind": "hover", "right": 0.2, "down": 0.2})
    assert controls.stars.value == OTHER
    controls.stars.value = NO_STAR
    assert panel.value.star is None
    panel.pick(0)
    panel.no_star()
    assert panel.value.star is None


def test_a_fit_of_a_star_takes_the_brightest_if_none_is_chosen(panel):
    panel._controls.how.value = "star"
    assert panel.value.picked == 0
    assert panel._controls.area.disabled
    press(panel, "fit")
    assert panel.last_fit.word == "stars"
    panel._controls.how.value = "image"
    panel._controls.area.value = "notstar"
    assert panel.value.good.sum() < FIELD.n**2
    panel._controls.stars.value = NO_STAR
    assert (panel.value.area, panel.value.how) == ("everywhere", "image")


def test_errors_are_told_and_change_nothing(panel, told):
    before = panel.value
    press(panel, "take position")
    assert "a position needs RA and Dec" in told(panel)
    panel._controls.ra.value, panel._controls.dec.value = EVIL, "1"
    press(panel, "take position")
    assert 'role="alert"' in told(panel)
    assert EVIL not in told(panel)
    panel._controls.ra.value, panel._controls.dec.value = "10", "10"
    press(panel, "take position")
    assert "is not on the image" in told(panel)
    assert panel.value is before
    for name in ("scale", "bg"):
        panel._controls.fixed[name].value = True
    press(panel, "best scale")
    assert "scale and bg are fixed" in told(panel)
    panel._controls.fixed["bg"].value = False
    press(panel, "best scale")
    assert told(panel) == ""
    with pytest.raises(ConfigError):
        panel.set(fwhm=-1)
    assert panel._controls.sliders["fwhm"].value == panel.value.fwhm


def test_a_star_that_leaves_no_pixel_is_taken_back(panel, told):
    panel.pick(0)
    panel._controls.area.value = "notstar"
    before = panel.value
    panel._controls.radius.value = 60.0
    assert "no pixel is left" in told(panel)
    assert panel.value is before
    assert panel._controls.radius.value == before.star.radius


def test_code_follows(panel, files):
    panel.fix("beta")
    text = html.unescape(panel._texts.value)
    assert "nbmosaic.fit_image_photometry(" in text
    assert f"fix_beta={panel.value.beta!r}" in text
    assert f"fit = %psf image {files.path('wide')}" in text


def test_static_form_and_clean_end(checked_panel, files):
    evil = sky_image(replace(files.sky.image(seed=3), name=EVIL), name=EVIL)
    reference = sky_image(files.sky.reference(seed=1), name=f"{EVIL}ref")
    checked_panel(lambda: open_panel((reference, evil), kind="psf"), EVIL)

    def fitted():
        panel = open_panel((reference, evil))
        panel.fit()
        return panel

    checked_panel(fitted, EVIL)


def test_which_products_it_opens_on(files):
    fit = nbmosaic.fit_image_photometry(files.path("ref"), files.images[0])
    with open_panel(fit) as panel:
        assert isinstance(panel, PsfPanel)
        assert panel.value.is_fitted
        assert panel._fitted.value
    both = nbmosaic.fit_image_and_star_photometry(files.path("ref"), files.images[0], star=star_place())
    with open_panel(both) as panel:
        assert panel.value.picked == 0
    with open_panel(panel.value) as again:
        assert again.value is panel.value
    with open_panel((files.path("ref"), files.images[0])) as pair:
        assert pair.last_fit is None


def test_a_large_image_is_shown_reduced(files):
    data = np.zeros((700, 1300))
    data[::7, ::9] = 50.0
    image = sky_image(replace(files.sky.image(), data=data, mask=np.zeros(data.shape, bool), variance=np.ones(data.shape)))
    reference = sky_image(replace(files.sky.reference(), data=data, mask=np.zeros(data.shape, bool)))
    with PsfPanel(try_psf(reference, image)) as panel:
        assert max(len(value[0]) for value in pictures(panel).values()) < 1_000_000
