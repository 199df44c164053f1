"""The PSF panel and the batch panel in JupyterLab: sliders, fit, stars, cancel, by mouse and by keys, in both themes."""

from __future__ import annotations

import json
import re

import pytest
from support.psf_files import FIELD, PsfFiles
from support.readable import unreadable

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "psf.ipynb"
CELLS = (
    "%load_ext nbmosaic\nimport glob, nbmosaic\nfrom nbmosaic.notebook.panels import open_panel",
    'psf = open_panel(("psf/wide.fits", "psf/night_1.fits"), kind="psf")\npsf',
    (
        'images = sorted(glob.glob("psf/night_*.fits")) * 400 + ["psf/missing <b>.fits"]\n'
        "fits = nbmosaic.FitImagePhotometryMP('psf/wide.fits', images[::-1], nworker=2)\n"
        "batch = open_panel(fits)\nbatch"
    ),
    "psf.value.fwhm, psf.value.picked, sorted(psf.value.fixed), batch.state.running, len(batch.value)",
)
SETUP, PSF, BATCH, STATE = range(len(CELLS))


def notebook(*sources):
    cells = [
        {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [], "source": s}
        for i, s in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def panels(visit):
    """The page with the PSF panel on it."""
    from playwright.sync_api import expect

    folder = visit.lab.folder / "psf"
    folder.mkdir()
    PsfFiles.write(folder)
    (visit.lab.folder / NAME).write_text(json.dumps(notebook(*CELLS)))
    visit.open(NAME)
    expect(visit.page.locator(".jp-CodeCell")).to_have_count(len(CELLS))
    for _ in range(BATCH):
        visit.command("notebook:run-cell-and-select-next")
    expect(picture(visit, "psf", "nbm-profile")).to_be_visible()
    panel(visit, "psf").scroll_into_view_if_needed()
    return visit


def run(visit, number):
    """Run a cell; clicks on a panel have made its cell the current one."""
    visit.page.locator(".jp-CodeCell").nth(number).locator(".jp-InputArea-editor").click()
    visit.command("notebook:run-cell")


def panel(visit, kind):
    return visit.page.locator(f".nbm-panel-{kind}")


def picture(visit, kind, box):
    """The only picture in a box of a panel."""
    from playwright.sync_api import expect

    shown = panel(visit, kind).locator(f".widget-html.{box} img")
    expect(shown).to_have_count(1)
    return shown


def slider(visit, name):
    page = visit.page
    label = page.locator(".widget-label", has_text=re.compile(f"^{name}$"))
    return panel(visit, "psf").locator(".widget-slider", has=label)


def handle(visit, name):
    return slider(visit, name).locator(".noUi-handle")


def readout(visit, name):
    return slider(visit, name).locator(".widget-readout")


def press(visit, kind, name):
    found(visit, kind, name).click()


def found(visit, kind, name):
    """A button; what its icon is made of belongs to its name."""
    return panel(visit, kind).get_by_role("button", name=re.compile(rf"(^|\W){name}$"))


def replaced(shown, before):
    """Wait until a picture is another one."""
    from playwright.sync_api import expect

    expect(shown).not_to_have_attribute("src", before)
    expect(shown).to_have_count(1)
    expect(shown).to_have_js_property("complete", True)
    return shown.get_attribute("src")


def test_sliders_by_keys(panels):
    from playwright.sync_api import expect

    model, residual = picture(panels, "psf", "nbm-model"), picture(panels, "psf", "nbm-residual")
    before = model.get_attribute("src"), residual.get_attribute("src")
    value = float(readout(panels, "fwhm").inner_text())
    handle(panels, "fwhm").focus()
    for _ in range(4):
        panels.page.keyboard.press("ArrowRight")
    expect(readout(panels, "fwhm")).to_have_text(f"{value + 0.008:.3f}")
    replaced(model, before[0])
    replaced(residual, before[1])
    expect(model).to_have_attribute("alt", re.compile(f"fwhm {value + 0.008:.3f}"))
    assert panels.page.locator(".jp-CodeCell").count() == len(CELLS)


def test_a_slider_is_dragged(panels):
    from playwright.sync_api import expect

    residual = picture(panels, "psf", "nbm-residual")
    before = residual.get_attribute("src")
    box, mouse = handle(panels, "dx").bounding_box(), panels.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 40, box["y"] + box["height"] / 2, steps=12)
    halfway = replaced(residual, before)  # while the button is still down
    mouse.move(box["x"] + 80, box["y"] + box["height"] / 2, steps=12)
    replaced(residual, halfway)
    mouse.up()
    value = readout(panels, "dx").inner_text()
    expect(picture(panels, "psf", "nbm-model")).to_have_attribute("alt", re.compile(f"dx {value.replace(chr(8722), '-')}"))


def test_a_value_is_typed(panels):
    from playwright.sync_api import expect

    field = readout(panels, "beta")
    field.click()
    panels.page.keyboard.press("ControlOrMeta+A")
    panels.page.keyboard.type("2.5")
    panels.page.keyboard.press("Enter")
    expect(picture(panels, "psf", "nbm-model")).to_have_attribute("alt", re.compile("beta 2.500"))


def test_the_fit(panels):
    from playwright.sync_api import expect

    box = panel(panels, "psf")
    box.get_by_label("fix beta", exact=True).check()
    expect(picture(panels, "psf", "nbm-model")).to_have_attribute("alt", re.compile("fixed: beta"))
    press(panels, "psf", "fit")
    figure = picture(panels, "psf", "nbm-fit")
    expect(figure).to_be_visible()
    expect(picture(panels, "psf", "nbm-model")).to_have_attribute("alt", re.compile("model: fit of night_1 against wide.*beta 2.500"))
    # sliders know whole steps only; the value stays that of the fit, though the page sends back what it made of it
    fitted = re.search(r"fwhm (\d\.\d+)", picture(panels, "psf", "nbm-model").get_attribute("alt"))
    assert abs(float(readout(panels, "fwhm").inner_text()) - float(fitted[1])) < 0.0021
    first = figure.get_attribute("src")
    box.get_by_label("fix beta", exact=True).uncheck()
    press(panels, "psf", "fit")
    replaced(figure, first)


def test_stars_by_list_and_by_click(panels):
    from playwright.sync_api import expect

    box = panel(panels, "psf")
    stars = box.get_by_label("stars", exact=True)
    expect(stars.locator("option")).to_have_count(4)
    stars.focus()
    panels.page.keyboard.press("Home")
    panels.page.keyboard.press("ArrowDown")
    expect(box.get_by_label("RA", exact=True)).not_to_have_value("")
    image = box.locator("img:visible").first
    expect(image).to_have_attribute("alt", re.compile("circled"))
    first = box.get_by_label("RA", exact=True).input_value()
    area = image.bounding_box()
    x, y, _ = FIELD.stars[1]
    panels.page.mouse.click(area["x"] + x * area["width"], area["y"] + (1 - y) * area["height"])
    expect(box.get_by_label("RA", exact=True)).not_to_have_value(first)
    expect(stars.locator("option").nth(2)).to_have_js_property("selected", True)
    box.get_by_label("fit", exact=True).select_option("star")
    press(panels, "psf", "fit")
    expect(box.locator(".widget-html.nbm-fit")).to_contain_text("stars fit of night_1")
    panels.picture("psf_star_fit")


def test_what_is_wrong_is_told(panels):
    from playwright.sync_api import expect

    box = panel(panels, "psf")
    field = box.get_by_label("RA", exact=True)
    before = field.input_value()
    field.fill("<b>here</b>")
    field.press("Tab")
    press(panels, "psf", "take position")
    expect(box.get_by_role("alert")).to_contain_text("<b>here</b>")
    field.fill(before)
    field.press("Tab")
    press(panels, "psf", "take position")
    expect(box.get_by_role("alert")).to_have_count(0)
    box.get_by_text("as a line", exact=True).click()
    expect(box.locator(".widget-html.nbm-code")).to_contain_text("fit = %psf star psf/wide.fits psf/night_1.fits --star {(")


def test_the_panel_in_both_themes(panels):
    box = panel(panels, "psf")
    box.get_by_label("fit", exact=True).select_option("image")
    press(panels, "psf", "fit")
    picture(panels, "psf", "nbm-fit")
    for theme in ("Light", "Dark"):
        panels.theme(theme)
        panels.picture(f"psf_{theme.lower()}")
        assert not unreadable(box)
    panels.theme("Light")


def test_a_batch_is_cancelled_while_it_runs(panels):
    from playwright.sync_api import expect

    run(panels, BATCH)
    box = panel(panels, "batch")
    expect(box.locator(".widget-html.nbm-line")).to_contain_text(re.compile(r"fit [1-9]\d*/1201"))
    expect(panels.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")  # the kernel does nothing meanwhile
    box.scroll_into_view_if_needed()
    plot = picture(panels, "batch", "nbm-plot")
    before = plot.get_attribute("src")
    replaced(plot, before)
    panels.picture("batch_running")
    expect(box.locator(".widget-html.nbm-table")).to_contain_text("1 failed")
    expect(box.locator(".widget-html.nbm-table li")).to_contain_text("missing <b>")
    files = box.get_by_label("files", exact=True)
    files.focus()
    panels.page.keyboard.press("End")
    expect(box.locator(".widget-html.nbm-one")).to_contain_text("fwhm")
    cancel = found(panels, "batch", "Cancel")
    cancel.focus()
    panels.page.keyboard.press("Enter")
    expect(box.locator(".widget-html.nbm-line")).to_contain_text("stopped: image fits of", timeout=5000)
    expect(cancel).to_be_disabled()
    assert picture(panels, "batch", "nbm-plot").get_attribute("alt").endswith("1 file failed")


def test_the_batch_in_both_themes(panels):
    box = panel(panels, "batch")
    for theme in ("Light", "Dark"):
        panels.theme(theme)
        panels.picture(f"batch_{theme.lower()}")
        assert not [text for text in unreadable(box) if not text.startswith("'Cancel'")]  # it is disabled, and pale as all that is
    panels.theme("Light")


def test_the_panels_hold_what_was_done(panels):
    from playwright.sync_api import expect

    run(panels, STATE)
    output = panels.page.locator(".jp-CodeCell").nth(STATE).locator(".jp-OutputArea-output")
    expect(output).to_contain_text(re.compile(r"\(0\.(59|6)\d+, 1, \[\], False, \d+\)"))


def test_nothing_went_wrong_on_the_page(panels):
    assert panels.problems == []
