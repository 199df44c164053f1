"""The frames panel by its methods and its widgets."""

from __future__ import annotations

import pytest

from nbmosaic.errors import InputError
from nbmosaic.notebook.panels import open_panel
from nbmosaic.notebook.panels.frames import FramesPanel
from nbmosaic.pipeline.frame_choice import choose_frames


@pytest.fixture
def panel(matched):
    with open_panel(matched["images"]) as made:
        assert isinstance(made, FramesPanel)
        yield made


def test_what_holds_for_every_panel(matched, checked_panel):
    checked_panel(lambda: FramesPanel(choose_frames(matched["images"])))


def test_by_method(panel):
    picture = panel._picture.value
    panel.leave_out(1, 3)
    assert panel._list.value == (0, 2, 4)
    assert len(panel.value.frames) == 3
    assert panel._picture.value != picture
    assert "3 of 5" in panel._facts.value
    panel.take_in(1, 3)
    assert panel._picture.value == picture
    with pytest.raises(InputError, match="there is no frame 7"):
        panel.leave_out(7)


def test_by_widget(panel, told):
    panel._list.value = (1, 2)
    assert panel.value.left_out == {0, 3, 4}
    panel.show("coverage")
    coverage = panel._picture.value
    panel._list.value = (2,)
    assert panel._picture.value != coverage
    assert told(panel) == ""
    panel._list.value = ()
    assert told(panel) == ""
    assert "0 of 5" in panel._facts.value
    panel.take_in(*range(5))
    assert panel._list.value == tuple(range(5))
