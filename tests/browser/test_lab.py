"""A notebook in JupyterLab, run by its menu and looked at in a browser."""

from __future__ import annotations

import json

import pytest
from support.readable import contrast, unreadable

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "demo.ipynb"
SETUP, MOSAIC, TABLE, WRONG = range(4)
STAGES = ("images", "header", "project", "overlaps", "background", "correct", "coadd", "save")
CELLS = (
    '%load_ext nbmosaic\nimport nbmosaic\nsimulation = nbmosaic.simulate_frames("raw", n_frames=4, size=128, seed=3)',
    "%%mosaic demo\nimages raw\nheader\nproject\noverlaps as pairs\nbackground as planes\ncorrect\ncoadd\nsave demo.fits",
    "pairs.table",
    "%%mosaic wrong\nimages raw\nheader\nproject --methd bilinear",  # the last one: Run All stops at an error
)


def notebook(*sources):
    cells = [
        {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [], "source": s}
        for i, s in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


def test_contrast_of_known_colours():
    black, white, clear = "rgb(0, 0, 0)", "rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"
    assert contrast(black, 1, [clear, white]) == pytest.approx(21)
    assert contrast(black, 1, [clear, "rgb(17, 17, 17)", white]) < 1.2
    assert contrast("rgb(118, 118, 118)", 1, [white]) == pytest.approx(4.54, abs=0.01)  # the lightest grey that passes on white
    assert contrast(black, 0, [white]) == pytest.approx(1)


@pytest.fixture(scope="module")
def done(visit):
    """The page after Run All."""
    from playwright.sync_api import expect

    (visit.lab.folder / NAME).write_text(json.dumps(notebook(*CELLS)))
    visit.open(NAME)
    expect(visit.page.locator(".jp-CodeCell")).to_have_count(len(CELLS))
    visit.page.get_by_role("menuitem", name="Run", exact=True).click()
    visit.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(outputs(visit, WRONG)).to_contain_text("Error")
    expect(visit.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    expect(outputs(visit, MOSAIC).locator("img").first).to_have_js_property("complete", True)
    expect(outputs(visit, TABLE).locator("table").first).to_be_visible()
    return visit


def outputs(visit, cell):
    return visit.page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output")


def assert_readable(visit, place):
    for cell in (MOSAIC, TABLE, WRONG):
        for output in outputs(visit, cell).all():
            assert unreadable(output) == [], place


def test_the_run_is_a_table_of_stages_that_ran(done):
    rows = outputs(done, MOSAIC).locator("table.nbm-table tbody tr")
    found = [(row.locator("th").inner_text(), row.locator("td").first.inner_text()) for row in rows.all()]
    assert [stage for stage, _ in found] == list(STAGES)
    assert all(state.endswith(" ran") for _, state in found), found
    assert (done.lab.folder / "demo.fits").is_file()


def test_the_text_form_is_hidden_where_the_style_works(done):
    from playwright.sync_api import expect

    assert outputs(done, MOSAIC).locator(".nbm-fallback").count() == 1
    expect(outputs(done, MOSAIC).locator(".nbm-fallback")).to_be_hidden()


def test_the_quicklook_is_there_once_with_words(done):
    picture = outputs(done, MOSAIC).locator("img")
    assert picture.count() == 1
    assert len(picture.get_attribute("alt").strip()) > 20
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300
    box = picture.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(picture.evaluate("image => image.naturalWidth / image.naturalHeight"), rel=0.02)


def test_the_overlaps_are_a_dataframe(done):
    table = outputs(done, TABLE).locator("table.dataframe")
    assert table.count() == 1
    assert {"plus", "minus", "a", "b", "c"} <= set(table.locator("thead th").all_inner_texts())  # pandas leaves out columns in the middle
    assert table.locator("tbody tr").count() == 6  # four frames in a square: every one meets every other


def test_the_progress_line_ends_without_a_bar(done):
    assert done.page.locator("progress").count() == 0
    lines = outputs(done, MOSAIC).locator(".nbm-progress").all_inner_texts()
    assert len(lines) <= 1, lines
    assert not any(text.strip() for text in lines), lines
    assert outputs(done, WRONG).count() == 1  # a mistake is found before there is progress


def test_nothing_but_results_is_shown(done):
    assert outputs(done, SETUP).count() == 0
    for cell in (MOSAIC, TABLE):
        shown = outputs(done, cell).evaluate_all("all => all.map(one => one.dataset.mimeType)")
        assert set(shown) == {"text/html"}, shown  # no warnings (stderr), no text (stdout)


def test_a_typo_is_told_in_at_most_four_lines(done):
    lines = outputs(done, WRONG).inner_text().rstrip().splitlines()
    assert len(lines) <= 4, lines
    assert "Traceback" not in "\n".join(lines)
    source = next(line for line in lines if "line 4: " in line)
    caret = lines[lines.index(source) + 1]
    assert caret.strip() == "^"
    assert caret.index("^") == source.index("--methd")
    assert "did you mean --method" in lines[-1].lower()


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_text_can_be_read_in_both_themes(done, theme):
    from playwright.sync_api import expect

    try:
        done.command("apputils:change-theme", theme=f"JupyterLab {theme}")
        expect(done.page.locator("body")).to_have_attribute("data-jp-theme-light", str(theme == "Light").lower())
        outputs(done, MOSAIC).last.scroll_into_view_if_needed()
        done.picture(theme.lower())
        assert_readable(done, theme)
    finally:
        done.command("apputils:change-theme", theme="JupyterLab Light")


def test_a_notebook_that_is_not_trusted_shows_the_text_form(done):
    from playwright.sync_api import expect

    done.command("docmanager:save")
    changed = json.loads((done.lab.folder / NAME).read_text())
    assert changed["cells"][MOSAIC]["outputs"], "the notebook was not saved with its outputs"
    changed["cells"][SETUP]["source"] += "\n# not what was signed"  # as if it came from somebody else
    (done.lab.folder / "other.ipynb").write_text(json.dumps(changed))
    done.open("other.ipynb")
    text = outputs(done, MOSAIC).locator(".nbm-fallback")
    expect(text).to_be_visible()
    done.picture("untrusted")
    assert all(stage in text.inner_text() for stage in STAGES)
    expect(outputs(done, MOSAIC).locator(".nbm-body")).to_be_hidden()


def test_the_page_had_no_problems(done):
    """Last, so that it sees all of them."""
    assert done.problems == []
