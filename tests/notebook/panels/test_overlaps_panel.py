"""The overlaps panel by its methods and its widgets."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.errors import InputError
from nbmosaic.notebook.panels import open_panel
from nbmosaic.notebook.panels.overlaps import OverlapsPanel
from nbmosaic.pipeline.steering import steer


@pytest.fixture
def panel(matched):
    with open_panel(matched) as made:
        assert isinstance(made, OverlapsPanel)
        yield made


def test_what_holds_for_every_panel(matched, checked_panel):
    checked_panel(lambda: OverlapsPanel(steer(matched)))


def test_excluding_changes_everything_at_once(panel):
    mosaic, facts, pair = panel._mosaic.value, panel._facts.value, panel._pair.value
    panel.select(2)
    assert panel._pair.value != pair
    pair = panel._pair.value
    panel.exclude(2)
    assert panel.value.excluded == {2}
    assert panel._mosaic.value != mosaic
    assert panel._facts.value != facts
    assert panel._pair.value == pair  # the pair itself is as it was
    assert panel.row == 2
    assert "left out" in panel._list.label
    assert not panel._used.value
    panel.include(2)
    assert (panel._mosaic.value, panel._facts.value) == (mosaic, facts)


def test_the_button_does_what_the_methods_do(panel):
    panel.select(1)
    panel._used.value = False
    assert panel.value.excluded == {1}
    panel.select(0)
    assert panel._used.value
    panel.select(1)
    assert not panel._used.value
    panel._used.value = True
    assert not panel.value.excluded
    panel.exclude(0, 1)
    panel.reset()
    assert not panel.value.excluded


def test_the_worst_pair(panel):
    panel._on_worst(None)
    residual = panel.value.quick.model.residual_level
    assert abs(residual[panel.row]) == np.nanmax(np.abs(residual))


def test_rows_that_are_not_there(panel, told):
    for action in (panel.select, panel.exclude, panel.include):
        with pytest.raises(InputError, match="there is no overlap 99"):
            action(99)
    assert told(panel) == ""
    assert not panel.value.excluded


def test_a_mistake_is_told_in_the_panel(panel, told):
    failing = panel.guarded(lambda: panel.exclude(99))
    failing()
    assert "there is no overlap 99" in told(panel)
    assert 'role="alert"' in told(panel)
    panel.guarded(lambda: 1 / 0)()
    assert "ZeroDivisionError" in told(panel)
    panel._on_worst(None)
    panel.guarded(lambda: None)()
    assert told(panel) == ""


def test_a_pair_without_a_fit_says_so(matched):
    overlaps = matched["overlaps"]
    planes = overlaps.planes
    few = planes.n_pixels.copy()
    few[0] = 0
    from dataclasses import replace

    steering = steer(projected=matched["project"], overlaps=replace(overlaps, planes=planes.replace(n_pixels=few)))
    with OverlapsPanel(steering) as panel:
        assert "no plane was fitted" in panel._pair.value
        panel.select(1)
        assert "<img" in panel._pair.value
        panel.select(0)
        assert "<img" not in panel._pair.value


def test_the_table(panel):
    panel.exclude(3)
    assert len(panel.table) == len(panel.value.overlaps)
