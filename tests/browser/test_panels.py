"""Panels in JupyterLab: used by mouse and by keys, looked at in both themes."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "viewer.ipynb"
CELLS = (
    '%load_ext nbmosaic\nimport nbmosaic\nsimulation = nbmosaic.simulate_frames("sky", n_frames=4, size=128, seed=3, overwrite=True)',
    "%%mosaic demo\nimages sky\nheader\nproject\noverlaps\nbackground\ncorrect\ncoadd",
    'from nbmosaic.notebook.panels import open_panel\npanel = open_panel(demo, kind="viewer")\npanel',
)
SETUP, MOSAIC, PANEL = range(3)


def notebook(*sources):
    cells = [
        {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [], "source": s}
        for i, s in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def viewer(visit):
    """The page with the viewer on it."""
    from playwright.sync_api import expect

    (visit.lab.folder / NAME).write_text(json.dumps(notebook(*CELLS)))
    visit.open(NAME)
    expect(visit.page.locator(".jp-CodeCell")).to_have_count(len(CELLS))
    visit.page.get_by_role("menuitem", name="Run", exact=True).click()
    visit.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(picture(visit)).to_be_visible()
    expect(visit.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    panel(visit).scroll_into_view_if_needed()
    return visit


def panel(visit):
    return visit.page.locator(".nbm-panel-viewer")


def picture(visit):
    return panel(visit).locator(".nbm-view img")


def field(visit, name):
    return panel(visit).get_by_label(name, exact=True)


def words(visit, text):
    """Wait until the picture is described by this."""
    from playwright.sync_api import expect

    expect(picture(visit)).to_have_attribute("alt", re.compile(text))


def reading(visit):
    return panel(visit).locator(".nbm-reading .nbm-sub")


def place(visit, right, down):
    box = picture(visit).bounding_box()
    return box["x"] + right * box["width"], box["y"] + down * box["height"]


def press(visit, name):
    panel(visit).get_by_role("button", name=name, exact=True).click()


def test_there_is_one_picture(viewer):
    from playwright.sync_api import expect

    assert panel(viewer).count() == 1
    expect(panel(viewer).locator("img:visible")).to_have_count(1)
    assert picture(viewer).evaluate("image => [image.naturalWidth, image.naturalHeight]") == [640, 480]
    words(viewer, "^mosaic, ")


def test_the_pointer_is_followed(viewer):
    from playwright.sync_api import expect

    before = reading(viewer).inner_text()
    viewer.page.mouse.move(*place(viewer, 0.4, 0.4))
    expect(reading(viewer)).not_to_have_text(before)
    expect(reading(viewer)).to_contain_text(re.compile(r"x \d+\.\d, y \d+\.\d \| .* \| icrs \d\dh"))
    viewer.page.mouse.move(5, 5)
    expect(reading(viewer)).to_have_text(before)  # the cross-hair's again


def test_a_click_sets_the_cross_hair_and_keys_move_it(viewer):
    from playwright.sync_api import expect

    middle = field(viewer, "x").input_value()
    viewer.page.mouse.click(*place(viewer, 0.6, 0.5))
    expect(field(viewer, "x")).not_to_have_value(middle)
    x, y = (int(field(viewer, name).input_value()) for name in "xy")
    assert picture(viewer).locator("xpath=..").evaluate("box => document.activeElement === box")
    viewer.page.keyboard.press("ArrowRight")
    expect(field(viewer, "x")).to_have_value(str(x + 1))
    viewer.page.keyboard.press("ArrowUp")
    expect(field(viewer, "y")).to_have_value(str(y + 1))
    expect(reading(viewer)).to_contain_text(f"x {x + 1}.0, y {y + 1}.0")
    assert viewer.page.locator(".jp-CodeCell").count() == len(CELLS)  # JupyterLab took none of the keys for itself


def test_the_picture_is_moved_and_scaled_by_the_mouse(viewer):
    from playwright.sync_api import expect

    mouse = viewer.page.mouse
    mouse.move(*place(viewer, 0.5, 0.5))
    mouse.wheel(0, -100)
    words(viewer, r"rows [1-9]\d* to")
    before = picture(viewer).get_attribute("alt")
    mouse.move(*place(viewer, 0.5, 0.5))
    mouse.down()
    mouse.move(*place(viewer, 0.6, 0.55), steps=6)
    mouse.up()
    expect(picture(viewer)).not_to_have_attribute("alt", before)
    expect(picture(viewer)).not_to_have_attribute("style", re.compile("translate"))
    press(viewer, "fit")
    words(viewer, "rows 0 to")


def test_fields_work_without_the_mouse(viewer):
    from playwright.sync_api import expect

    field(viewer, "stretch").select_option("log")
    words(viewer, "log from")
    field(viewer, "limits").select_option("zscale")
    expect(field(viewer, "from")).to_have_value("zscale")
    field(viewer, "from").fill("nonsense")
    field(viewer, "from").press("Enter")
    expect(panel(viewer).get_by_role("alert")).to_contain_text("not a valid lower limit")
    field(viewer, "from").fill("-3s")
    field(viewer, "from").press("Enter")
    expect(panel(viewer).get_by_role("alert")).to_have_count(0)
    expect(field(viewer, "limits")).to_have_value("mixed")
    field(viewer, "grid").select_option("own system")
    words(viewer, "coordinate grid")


def test_blink_shows_one_image_after_the_other(viewer):
    press(viewer, "next")
    words(viewer, "^before matching, ")
    panel(viewer).locator(".jupyter-widget-play button, .widget-play button").first.click()
    words(viewer, "^mosaic, ")
    words(viewer, "^before matching, ")
    panel(viewer).locator(".jupyter-widget-play button, .widget-play button").first.click()


def test_three_colours(viewer):
    panel(viewer).get_by_text("three colours").click()
    words(viewer, "mosaic in red, before matching in green")
    panel(viewer).get_by_text("three colours").click()
    words(viewer, "colours inferno")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_both_themes(viewer, theme):
    from playwright.sync_api import expect

    try:
        viewer.command("apputils:change-theme", theme=f"JupyterLab {theme}")
        expect(viewer.page.locator("body")).to_have_attribute("data-jp-theme-light", str(theme == "Light").lower())
        expect(viewer.page.locator("#jupyterlab-splash")).to_have_count(0)
        panel(viewer).scroll_into_view_if_needed()
        viewer.picture(f"viewer-{theme.lower()}")
        expect(reading(viewer)).to_be_visible()
    finally:
        viewer.command("apputils:change-theme", theme="JupyterLab Light")


def test_the_page_had_no_problems(viewer):
    """Last, so that it sees all of them."""
    assert viewer.problems == []


def test_without_the_front_end_of_anywidget_the_plain_picture_stays(viewer):
    """After the check for problems: that the page cannot load it is one."""
    from playwright.sync_api import expect

    viewer.page.route("**/extensions/anywidget/**", lambda route: route.abort())
    try:
        viewer.open(NAME)
        viewer.page.get_by_role("menuitem", name="Run", exact=True).click()
        viewer.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        plain = panel(viewer).locator(".nbm-plain-view img")
        expect(plain).to_be_visible()
        expect(plain).to_have_attribute("alt", re.compile("asinh from"))
        field(viewer, "stretch").select_option("log")
        expect(plain).to_have_attribute("alt", re.compile("log from"))
        press(viewer, "+")
        expect(plain).to_have_attribute("alt", re.compile("scale 4"))
        viewer.picture("viewer-plain")
        assert picture(viewer).count() == 0
    finally:
        viewer.page.unroute("**/extensions/anywidget/**")
