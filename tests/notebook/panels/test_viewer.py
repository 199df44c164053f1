"""The viewer panel by its methods, its fields, and what the browser tells it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy.wcs import WCS

from nbmosaic.errors import ConfigError, InputError
from nbmosaic.notebook.panels import open_panel, viewer_picture
from nbmosaic.notebook.panels.viewer import ViewerPanel
from nbmosaic.pipeline.viewing.viewer import open_view

EVIL = "<script>alert(1)</script>"
SHAPE = (90, 120)


def images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {name: rng.normal(100.0, 3.0, SHAPE).astype(np.float32) for name in ("one", "two", EVIL)}


def sky() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [83.8, -5.4], [61.0, 46.0], [-1 / 3600, 1 / 3600]
    return wcs


@pytest.fixture
def panel():
    with ViewerPanel(open_view(images(), wcs=sky(), size=(48, 64))) as made:
        yield made


def status(panel) -> str:
    return re.sub(r"<style>.*?</style>", "", panel._status.value, flags=re.DOTALL)


def send(panel, **event):
    """What the browser sends, by the way it takes."""
    panel._picture._live._handle_custom_msg(event, [])


def tree(widget):
    return [widget, *(below for child in getattr(widget, "children", ()) for below in tree(child))]


def test_methods_and_fields_agree(panel):
    controls = panel._controls
    panel.change(stretch="log", low="1%", colour_map="gray")
    assert controls.options["stretch"].value == "log"
    assert controls.options["low"].value == "1%"
    panel.set_limits("zscale")
    assert controls.options["high"].value == "zscale"
    assert controls.limits.value == "zscale"
    panel.show("two")
    assert controls.options["shown"].value == 1
    reading = panel.read(10, 20)
    assert (controls.x.value, controls.y.value) == (10, 20)
    assert reading.values == (("two", float(images()["two"][20, 10])),)
    panel.show_colours(2, 1, 0)
    assert controls.in_colour.value
    assert [channel.value for channel in controls.channels] == [2, 1, 0]
    assert controls.options["colour_map"].disabled


def test_fields_change_the_view(panel):
    controls = panel._controls
    controls.options["stretch"].value = "power"
    assert not controls.options["exponent"].disabled
    controls.options["exponent"].value = 2.0
    controls.options["lines"].value = "galactic"
    controls.options["high"].value = "max"
    controls.limits.value = "sigma"
    controls.x.value = 33
    controls.in_colour.value = True
    view = panel.value
    assert (view.stretch, view.exponent, view.lines) == ("power", 2.0, "galactic")
    assert (view.low, view.high, view.cursor[0], view.colours) == ("-2s", "8s", 33.0, (0, 1, 2))
    controls.place.value = "83.8 -5.4"
    assert panel.value.cursor == (60.0, 45.0)
    assert status(panel) == ""


def test_a_change_draws_once(panel, monkeypatch):
    drawn = []
    monkeypatch.setattr(panel._picture, "show", lambda png, alt: drawn.append(alt))
    panel._controls.options["stretch"].value = "log"
    panel._controls.limits.value = "zscale"
    panel._controls.y.value = 5
    panel.fit()
    assert len(drawn) == 4


def test_mistakes_are_told_and_change_nothing(panel):
    before = panel.value
    panel._controls.options["low"].value = "<b>lots"
    assert "&lt;b&gt;lots" in status(panel)
    assert "<b>lots" not in status(panel)
    assert panel.value is before
    panel._controls.regions.value = "no such file.reg"
    assert "no such file.reg" in status(panel)
    panel._controls.place.value = "nowhere"
    assert "nowhere" in status(panel)
    assert panel.value is before
    panel.fit()
    with pytest.raises(InputError, match="there is no image"):
        panel.show("four")
    with pytest.raises(InputError, match="not a valid"):
        panel.change(low="x")
    panel._controls.options["low"].value = "2%"
    assert status(panel) == ""


def test_regions_and_what_they_leave_out(panel, tmp_path):
    path = tmp_path / "some.reg"
    path.write_text('fk5\ncircle(83.8, -5.4, 10")\npoint(83.8, -5.4)\n')
    panel._controls.regions.value = str(path)
    assert len(panel.value.regions) == 1
    assert "point (line 3)" in status(panel)
    panel._controls.regions.value = ""
    assert not len(panel.value.regions)


def test_saving(panel, tmp_path):
    path = tmp_path / "seen.png"
    panel._controls.file.value = str(path)
    panel._save()
    assert path.read_bytes() == panel.value.png()
    acted = [widget for widget in tree(panel.widget) if getattr(widget, "description", "") == "save picture"]
    acted[0].click()
    assert "exists" in status(panel)
    panel._controls.overwrite.value = True
    acted[0].click()
    assert "is written" in status(panel)


def test_blink(panel):
    assert panel._controls.blink.value == (0, 1)
    seen = []
    for tick in range(1, 5):
        panel._controls.play.value = tick % 2
        seen.append(panel.value.shown)
    assert seen == [1, 0, 1, 0]
    panel.blink(2, 0, 1)
    panel.next_image()
    assert panel.value.shown == 1
    panel.blink(0)
    panel._controls.play.value = 1
    assert "needs two images" in status(panel)
    with pytest.raises(InputError):
        panel.blink(0, 9)


# What the browser tells


def test_the_pointer(panel):
    send(panel, kind="hover", right=0.25, down=0.5)
    x, y = panel.value.place(0.25, 0.5)
    assert f"x {x:.1f}, y {y:.1f}" in panel._reading.value
    assert panel.value.cursor is None
    send(panel, kind="click", right=0.25, down=0.5)
    assert panel.value.cursor == (np.floor(x + 0.5), np.floor(y + 0.5))
    send(panel, kind="hover", right=0.9, down=0.9)
    send(panel, kind="leave")
    assert f"x {panel.value.cursor[0]:.1f}" in panel._reading.value
    send(panel, kind="wheel", steps=2, right=0.25, down=0.5)
    assert panel.value.place(0.25, 0.5) == pytest.approx((x, y))
    before = panel.value.place(0.5, 0.5)
    send(panel, kind="drag", right=0.1, down=-0.2)  # the sky goes with the pointer
    assert panel.value.place(0.6, 0.3) == pytest.approx(before)
    send(panel, kind="double", right=0.5, down=0.5)
    assert panel.value.visible_cursor is not None


def test_an_error_stays_while_the_pointer_moves(panel):
    panel._controls.options["low"].value = "nonsense"
    assert "nonsense" in status(panel)
    send(panel, kind="hover", right=0.5, down=0.5)
    assert "nonsense" in status(panel)


@pytest.mark.parametrize(
    ("key", "shift", "moved"),
    [
        ("ArrowRight", False, lambda a, b: b.cursor == (a.cursor[0] + 2, a.cursor[1])),
        ("ArrowDown", False, lambda a, b: b.cursor == (a.cursor[0], a.cursor[1] - 2)),
        ("ArrowUp", True, lambda a, b: b.centre[1] > a.centre[1]),
        ("+", False, lambda a, b: b.zoom == 2 * a.zoom),
        ("-", False, lambda a, b: b.zoom == a.zoom / 2),
        ("1", False, lambda a, b: b.zoom == pytest.approx(1.0)),
        ("c", False, lambda a, b: b.centre == a.cursor),
        ("b", False, lambda a, b: b.shown == 1),
        ("q", False, lambda a, b: b is a),
    ],
)
def test_keys(panel, key, shift, moved):
    panel.read(50, 40)
    before = panel.value
    send(panel, kind="key", key=key, shift=shift)
    assert moved(before, panel.value)
    send(panel, kind="key", key="0", shift=False)
    assert panel.value.zoom == open_view(images(), size=(48, 64)).zoom


@pytest.mark.parametrize(
    "event", [{"kind": "click", "right": "<b>"}, {"kind": "drag", "right": None}, {"kind": "wheel", "steps": []}, {"x": 1}]
)
def test_messages_that_make_no_sense_do_no_harm(panel, event):
    before = panel.value.centre
    send(panel, **event)
    assert panel.value.centre == before


# The picture


def test_the_plain_picture_stays_until_the_browser_is_ready(panel):
    picture = panel._picture
    assert "<img" in picture._plain.value
    picture._live.ready = True
    assert picture._plain.value == ""
    assert picture._plain.layout.display == "none"
    panel.change(stretch="log")
    assert picture._plain.value == ""
    assert picture._live.png == panel.value.png()
    assert picture._live.alt == panel.value.words


def test_without_anywidget_there_is_a_plain_picture(monkeypatch):
    monkeypatch.setattr(viewer_picture, "_live_picture", lambda *_: None)
    with ViewerPanel(open_view(images())) as plain:
        first = plain._picture._plain.value
        assert "<img" in first
        plain.zoom_in()
        assert plain._picture._plain.value != first


def test_the_script_asks_nobody_else():
    from nbmosaic.notebook.panels.viewer_script import SCRIPT, STYLE

    assert not re.search(r"https?:|import\s|fetch\(|XMLHttp|eval\(|innerHTML", SCRIPT + STYLE)


def test_names_show_as_text(panel):
    panel.show(EVIL)
    panel.change(colours=(2, 2, 2))
    shown = "".join(widget.value for widget in tree(panel.widget) if type(widget).__name__ == "HTML")
    assert EVIL not in shown
    bundle, _ = panel._repr_mimebundle_()
    assert EVIL not in bundle["text/html"]
    assert EVIL in bundle["text/plain"]


def test_the_static_form(panel):
    bundle, _ = panel._repr_mimebundle_()
    assert bundle["image/png"] == panel.value.png()
    assert set(bundle) == {"text/plain", "text/html", "image/png"}  # no kernel, no live widget
    assert repr(panel).startswith("<ViewerPanel: one, 120 x 90 px")


def test_every_control_says_what_it_does(panel):
    for widget in tree(panel.widget):
        if hasattr(widget, "description") and type(widget).__name__ not in {"HTML", "Play"}:
            assert widget.description, widget
            assert widget.tooltip, widget
        if hasattr(widget, "continuous_update"):
            assert not widget.continuous_update


def test_closing_leaves_nothing():
    before = set(live_widgets())
    panel = ViewerPanel(open_view(images(), wcs=sky()))
    assert len(set(live_widgets()) - before) > 30
    panel.close()
    panel.close()
    left = [widget for key, widget in live_widgets().items() if key not in before]
    assert left == []
    assert "(closed)" in repr(panel)


def live_widgets():
    from ipywidgets.widgets import widget

    return dict(widget._instances)


def test_which_panel_opens_on_what():
    with open_panel(images()["one"]) as one:
        assert isinstance(one, ViewerPanel)
        assert one.value.names == ("image",)
    with open_panel(images()) as several:
        assert len(several.value.names) == 3
    with open_panel(open_view(images())) as given:
        assert isinstance(given, ViewerPanel)
    with pytest.raises(ConfigError, match="no panel for"):
        open_panel("mosaic.fits")
    with pytest.raises(ConfigError):
        open_panel(images(), kind="overlaps")


def test_the_fields_of_the_cross_hair_begin_in_the_middle(panel):
    assert (panel._controls.x.value, panel._controls.y.value) == (60, 45)
    panel._controls.x.value += 1  # an arrow key
    assert panel.value.cursor == (61.0, 45.0)
