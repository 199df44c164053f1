"""The panels of the match in JupyterLab: pairs left out, options changed, frames taken away, by mouse and by keys, in both themes."""

from __future__ import annotations

import json
import re

import pytest
from support.readable import unreadable

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "panels.ipynb"
OPEN = "from nbmosaic.notebook.panels import open_panel\n"
CELLS = (
    '%load_ext nbmosaic\nimport nbmosaic\nsimulation = nbmosaic.simulate_frames("panels", n_frames=4, size=128, seed=3)',
    "%%mosaic demo\nimages panels\nheader\nproject\noverlaps\nbackground\ncorrect\ncoadd",
    OPEN + 'overlaps = open_panel(demo, kind="overlaps")\noverlaps',
    OPEN + 'background = open_panel(demo, kind="background")\nbackground',
    OPEN + 'frames = open_panel(demo, kind="frames")\nframes',
    "sorted(overlaps.value.excluded), background.value.slope, frames.value.chosen",
    "%%mosaic typed\n",
)
SETUP, MOSAIC, OVERLAPS, BACKGROUND, FRAMES, STATE, TYPED = range(len(CELLS))


def notebook(*sources):
    cells = [
        {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [], "source": s}
        for i, s in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def panels(visit):
    """The page with the three panels on it."""
    from playwright.sync_api import expect

    (visit.lab.folder / NAME).write_text(json.dumps(notebook(*CELLS)))
    visit.open(NAME)
    expect(visit.page.locator(".jp-CodeCell")).to_have_count(len(CELLS))
    for _ in range(STATE):
        visit.command("notebook:run-cell-and-select-next")
    for kind in ("overlaps", "background", "frames"):
        expect(panel(visit, kind).locator("img").last).to_have_js_property("complete", True)
    yield visit
    visit.end_kernels()


def panel(visit, kind):
    return visit.page.locator(f".nbm-panel-{kind}")


def cell(visit, number):
    return visit.page.locator(".jp-CodeCell").nth(number)


def picture(visit, kind, box):
    """The only picture in a box of a panel."""
    from playwright.sync_api import expect

    found = panel(visit, kind).locator(f".{box} img")
    expect(found).to_have_count(1)
    return found


def click_row(listing, row, **how):
    """Click a row of a list that is not scrolled; options are no elements of the page of their own, so their place is computed."""
    size = listing.evaluate("list => list.clientHeight / list.size")
    listing.click(position={"x": 30, "y": (row + 0.5) * size}, **how)


def fact(visit, kind, text):
    from playwright.sync_api import expect

    expect(panel(visit, kind).locator(".widget-html.nbm-facts")).to_contain_text(text)


def press(visit, kind, name):
    panel(visit, kind).get_by_role("button", name=name).click()


def replaced(found, before):
    """Wait until a picture is another one."""
    from playwright.sync_api import expect

    expect(found).not_to_have_attribute("src", before)
    expect(found).to_have_count(1)
    expect(found).to_have_js_property("complete", True)
    return found.get_attribute("src")


def test_pairs_by_mouse_and_by_arrow_keys(panels):
    from playwright.sync_api import expect

    pairs = panel(panels, "overlaps").locator("select")
    expect(pairs.locator("option")).to_have_count(6)  # four frames in a square: every one meets every other
    shown = picture(panels, "overlaps", "nbm-pair")
    first = shown.get_attribute("src")
    click_row(pairs, 2)
    second = replaced(shown, first)
    pairs.focus()
    panels.page.keyboard.press("ArrowDown")
    replaced(shown, second)
    assert pairs.evaluate("list => list.selectedIndex") == 3
    panels.page.keyboard.press("Home")
    expect(shown).to_have_attribute("src", first)


def test_a_pair_left_out_changes_the_match_at_once(panels):
    from playwright.sync_api import expect

    mosaic, pair = picture(panels, "overlaps", "nbm-mosaic"), picture(panels, "overlaps", "nbm-pair")
    before, same = mosaic.get_attribute("src"), pair.get_attribute("src")
    press(panels, "overlaps", "used")
    fact(panels, "overlaps", "5 of 6")
    replaced(mosaic, before)
    expect(mosaic).to_have_attribute("alt", re.compile("5 of 6 overlaps used"))
    expect(pair).to_have_attribute("src", same)  # the difference itself is what it was
    expect(panel(panels, "overlaps").locator("option").first).to_contain_text("left out")
    panels.page.locator(".nbm-panel-overlaps summary").click()
    fact(panels, "overlaps", "background --exclude 0-1")
    press(panels, "overlaps", "left out")
    fact(panels, "overlaps", "6 of 6")
    expect(mosaic).to_have_attribute("src", before)  # to the bit


def test_the_overlaps_with_the_keyboard_alone(panels):
    from playwright.sync_api import expect

    pairs, used = panel(panels, "overlaps").locator("select"), panel(panels, "overlaps").locator(".nbm-used")
    pairs.focus()
    panels.page.keyboard.press("End")
    panels.page.keyboard.press("Tab")
    expect(used).to_be_focused()
    panels.page.keyboard.press("Space")
    fact(panels, "overlaps", "5 of 6")
    panels.page.keyboard.press("Tab")
    panels.page.keyboard.press("Enter")  # worst pair
    panels.page.keyboard.press("Tab")
    panels.page.keyboard.press("Enter")  # reset
    fact(panels, "overlaps", "6 of 6")
    assert panels.page.locator(".jp-CodeCell").count() == len(CELLS)  # JupyterLab took none of the keys for itself


def test_levels_or_planes(panels):
    box = panel(panels, "background")
    after, before = picture(panels, "background", "nbm-after"), picture(panels, "background", "nbm-before")
    first, raw = after.get_attribute("src"), before.get_attribute("src")
    box.get_by_label("planes", exact=True).first.uncheck()
    replaced(after, first)
    assert before.get_attribute("src") == raw
    box.locator("summary").click()
    fact(panels, "background", "background --no-slope")
    press(panels, "background", "reset")
    fact(panels, "background", re.compile("cell\\s*background$"))


def test_a_mistake_is_told_in_the_panel(panels):
    from playwright.sync_api import expect

    box = panel(panels, "background")
    prior = box.get_by_label("slope prior")
    prior.fill("steep")
    prior.press("Enter")
    expect(box.get_by_role("alert")).to_contain_text("slope prior cannot be 'steep'")
    prior.fill("0.01")
    prior.press("Enter")
    expect(box.get_by_role("alert")).to_have_count(0)
    fact(panels, "background", "--slope-prior 0.01")


def test_a_reference_frame_by_keys(panels):
    panel(panels, "background").get_by_label("held at zero").focus()
    panels.page.keyboard.press("Home")
    panels.page.keyboard.press("ArrowDown")
    fact(panels, "background", "--reference 1")
    press(panels, "background", "reset")
    fact(panels, "background", re.compile("cell\\s*background$"))


def test_kinds_of_pictures_of_the_background(panels):
    from playwright.sync_api import expect

    shown = picture(panels, "background", "nbm-picture-box")
    for name, words in (("planes", "plane"), ("levels with errors", "level"), ("differences before and after", "differences over")):
        before = shown.get_attribute("src")
        panel(panels, "background").get_by_role("button", name=name, exact=True).click()
        replaced(shown, before)
        expect(shown).to_have_attribute("alt", re.compile(words))
    press(panels, "background", "network of overlaps")
    expect(shown).to_have_attribute("alt", re.compile("network"))


def test_frames_taken_away(panels):
    from playwright.sync_api import expect

    shown = picture(panels, "frames", "nbm-picture-box")
    before = shown.get_attribute("src")
    click_row(panel(panels, "frames").locator("select"), 2, modifiers=["Control"])
    fact(panels, "frames", "3 of 4")
    replaced(shown, before)
    expect(shown).to_have_attribute("alt", re.compile(r"1 left out \(dashed\)"))
    press(panels, "frames", "coverage")
    expect(shown).to_have_attribute("alt", re.compile("coverage"))
    press(panels, "frames", "all")
    fact(panels, "frames", "4 of 4")
    press(panels, "frames", "footprints")
    expect(shown).to_have_attribute("src", before)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_both_themes(panels, theme):
    try:
        panels.theme(theme)
        for kind in ("overlaps", "background", "frames"):
            panel(panels, kind).scroll_into_view_if_needed()
            panel(panels, kind).screenshot(path=panels.pictures / f"{kind}-{theme.lower()}.png")
            assert unreadable(panel(panels, kind)) == []
    finally:
        panels.theme("Light")


def test_what_a_person_did_is_there_for_a_program(panels):
    from playwright.sync_api import expect

    click_row(panel(panels, "overlaps").locator("select"), 1)
    press(panels, "overlaps", "used")
    fact(panels, "overlaps", "5 of 6")
    cell(panels, STATE).click()
    panels.command("notebook:run-cell")
    expect(cell(panels, STATE).locator(".jp-OutputArea-output")).to_have_text("([1], True, (0, 1, 2, 3))")


def test_a_panel_run_again_is_there_once_and_new(panels):
    cell(panels, OVERLAPS).locator(".cm-content").click()
    panels.command("notebook:run-cell")
    fact(panels, "overlaps", "6 of 6")
    assert panel(panels, "overlaps").count() == 1
    picture(panels, "overlaps", "nbm-pair")


def test_a_saved_panel_is_a_picture_with_words(panels):
    saved = panels.saved(NAME)
    for number in (OVERLAPS, BACKGROUND, FRAMES):
        (output,) = saved["cells"][number]["outputs"]
        assert {"text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"} <= set(output["data"])
        assert len(output["data"]["image/png"]) > 1000
        assert "frames" in "".join(output["data"]["text/plain"])


def test_tab_completes_stages_options_and_choices(panels):
    from playwright.sync_api import expect

    place = cell(panels, TYPED)
    place.locator(".cm-line").last.click()
    keyboard, offered = panels.page.keyboard, panels.page.locator(".jp-Completer")
    for typed, wanted in (("proj", "project"), (" --meth", "--method"), (" bil", "bilinear")):
        keyboard.press("Control+End")
        keyboard.type(typed)
        keyboard.press("Tab")
        expect(offered.locator(".jp-Completer-match").get_by_text(re.compile(f"^{wanted.lstrip('-')}|^{wanted}")).first).to_be_visible()
        keyboard.press("Enter")
        expect(offered).not_to_be_visible()
        expect(place.locator(".cm-content")).to_contain_text(wanted)
    assert place.locator(".cm-content").inner_text().split("\n")[-1].strip() == "project --method bilinear"


def test_the_page_had_no_problems(panels):
    """Last, so that it sees all of them."""
    assert panels.problems == []
