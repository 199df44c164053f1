"""The background panel by its methods and its widgets."""

from __future__ import annotations

import pytest

from nbmosaic.errors import ConfigError
from nbmosaic.notebook.panels import open_panel
from nbmosaic.notebook.panels.background import KINDS, BackgroundPanel
from nbmosaic.pipeline.steering import steer


@pytest.fixture
def panel(matched):
    with open_panel(matched, kind="background") as made:
        yield made


def test_what_holds_for_every_panel(matched, checked_panel):
    checked_panel(lambda: BackgroundPanel(steer(matched)))


def test_options_by_method(panel):
    after = panel._after.value
    panel.change(slope=False, weighting="noise", reference=(2,), slope_prior=0.5)
    assert (panel._slope.value, panel._weighting.value, panel._reference.value, panel._prior.value) == (False, "noise", (2,), "0.5")
    assert panel._after.value != after
    panel.reset()
    assert panel._after.value == after
    assert panel._slope.value
    with pytest.raises(ConfigError, match="colour cannot be steered"):
        panel.change(colour="red")


def test_options_by_widget(panel):
    before = panel._before.value
    panel._slope.value = False
    assert not panel.value.slope
    panel._reference.value = (1, 3)
    assert panel.value.reference == (1, 3)
    assert "--no-slope --reference 1,3" in panel.value.code()
    assert panel._before.value == before  # the mosaic without correction does not depend on the model
    planes = panel.value.quick.model.planes
    assert (planes[[1, 3]] == 0).all()


def test_mistakes_are_told_and_change_nothing(panel, told):
    steering = panel.value
    panel._prior.value = "<b>much"
    assert "&lt;b&gt;much" in told(panel)
    assert panel.value is steering
    panel._prior.value = "-1"
    assert "slope_prior cannot be -1" in told(panel)
    assert panel.value is steering
    panel._prior.value = ""
    assert told(panel) == ""


@pytest.mark.parametrize("kind", KINDS.values())
def test_pictures(panel, kind, told):
    panel.show(kind)
    assert "<img" in panel._picture.value
    assert told(panel) == ""
