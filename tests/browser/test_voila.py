"""The page of panels that Voila makes: no code, everything works."""

from __future__ import annotations

import re

import pytest
from support.readable import unreadable

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PANELS = ("overlaps", "background", "frames", "viewer")
FOREIGN = re.compile(r"https://cdn\.jsdelivr\.net/npm/@fortawesome/|/voila/api/shutdown/")
"""Voila's own template asks for a font of icons there, and does without it; and when a page is left, Voila refuses its own request to end the kernel."""
ECHOES = ("net::ERR_NAME_NOT_RESOLVED", "status of 403 (Forbidden)")
"""What the console says of these two, without the address."""


def own(problems):
    """Problems that are ours."""
    foreign = [problem for problem in problems if FOREIGN.search(problem)]
    echoes = [problem for problem in problems if problem.startswith("console: Failed to load resource") and problem.endswith(ECHOES)]
    assert len(echoes) <= len(foreign), "something else was asked for in vain"
    return [problem for problem in problems if problem not in foreign and problem not in echoes]


@pytest.fixture(scope="module")
def page(visit, voila):
    """The page when all panels are there."""
    from playwright.sync_api import expect

    visit.page.goto(voila)
    for kind in PANELS:
        expect(visit.page.locator(f".nbm-panel-{kind} img").first).to_be_visible()
    return visit


def panel(page, kind):
    return page.page.locator(f".nbm-panel-{kind}")


def test_there_is_no_code(page):
    from playwright.sync_api import expect

    expect(page.page.get_by_role("heading", name="A mosaic to steer")).to_be_visible()
    assert page.page.locator(".jp-InputArea-editor:visible, .jp-CodeMirrorEditor:visible").count() == 0
    assert "load_ext" not in page.page.locator("body").inner_text()
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert "Traceback" not in page.page.locator("body").inner_text()


def test_every_panel_is_there_once(page):
    for kind in PANELS:
        assert panel(page, kind).count() == 1, kind


def test_the_planted_frame_is_found_and_left_out(page):
    from playwright.sync_api import expect

    box = panel(page, "overlaps")
    facts, pair, mosaic = (box.locator(f".widget-html.nbm-{name}") for name in ("facts", "pair", "mosaic"))
    expect(facts).to_contain_text("20 of 20")
    for count, name in enumerate(("3-7", "4-7", "5-7"), start=1):
        shown, seen = pair.locator("img").get_attribute("src"), mosaic.locator("img").get_attribute("src")
        label = box.locator("option").filter(has_text=f"{name}:").inner_text()
        box.locator("select").select_option(label=label)
        expect(pair.locator("img")).not_to_have_attribute("src", shown)
        box.get_by_role("button", name="used").click()
        expect(facts).to_contain_text(f"{20 - count} of 20")
        expect(mosaic.locator("img")).to_have_count(1)
        expect(mosaic.locator("img")).not_to_have_attribute("src", seen)
    expect(facts).to_contain_text(re.compile(r"after\s*median\s0\.00\d+, largest\s0\.0\d+\sDN"))
    box.locator("select").focus()
    shown = pair.locator("img").get_attribute("src")
    page.page.keyboard.press("ArrowUp")
    expect(pair.locator("img")).not_to_have_attribute("src", shown)


def test_the_other_panels_answer(page):
    from playwright.sync_api import expect

    panel(page, "background").get_by_label("planes", exact=True).first.uncheck()
    panel(page, "background").locator("summary").click()
    expect(panel(page, "background").locator(".widget-html.nbm-facts")).to_contain_text("background --no-slope")
    panel(page, "frames").get_by_role("button", name="coverage").click()
    expect(panel(page, "frames").locator("img")).to_have_attribute("alt", re.compile("coverage"))
    panel(page, "viewer").get_by_label("stretch", exact=True).select_option("log")
    expect(panel(page, "viewer").locator(".nbm-view img")).to_have_attribute("alt", re.compile("log from"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes(page, voila, theme):
    from playwright.sync_api import expect

    page.page.goto(f"{voila}/?theme={theme}")
    for kind in PANELS:
        expect(panel(page, kind).locator("img").first).to_be_visible()
    page.page.screenshot(path=page.pictures / f"voila-{theme}.png", full_page=True)
    for kind in PANELS:
        assert unreadable(panel(page, kind)) == [], kind


def test_the_page_had_no_problems(page):
    """Last, so that it sees all of them."""
    assert own(page.problems) == []
