"""Every tutorial in JupyterLab, run as a reader runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TUTORIALS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
HEIGHT = 16_000
"""Pixels of the tallest picture: Chromium draws no taller one."""


def wrong(notebook):
    """Outputs that a reader should not see: errors without the mark that they are wanted, and what goes to stderr."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", []):
                found.append(f"{''.join(cell['source'])}\n{output['ename']}: {output['evalue']}")
            if output["output_type"] == "stream" and output["name"] == "stderr":
                found.append(f"{''.join(cell['source'])}\n{''.join(output['text'])}")
    return found


def keep_picture(visit, name):
    """The whole notebook in one picture."""
    size = visit.page.viewport_size
    cells = visit.page.locator(".jp-Notebook .jp-Cell")
    cells.first.scroll_into_view_if_needed()
    top, last = cells.first.bounding_box(), cells.last.bounding_box()
    tall = int(last["y"] + last["height"] - top["y"]) + 200  # the rest of the page
    visit.page.set_viewport_size({"width": size["width"], "height": min(tall, HEIGHT)})
    cells.first.scroll_into_view_if_needed()
    visit.picture(name)
    visit.page.set_viewport_size(size)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial(visit, path):
    from playwright.sync_api import expect

    visit.problems.clear()
    shutil.copy(path, visit.lab.folder)
    visit.open(path.name)
    try:
        visit.run_all()
        saved = visit.saved(path.name)
        assert wrong(saved) == []
        code = [cell for cell in saved["cells"] if cell["cell_type"] == "code"]
        left = [index for index, cell in enumerate(saved["cells"]) if cell["cell_type"] == "code" and not cell["execution_count"]]
        assert not left, f"cells {left} of the saved file have no number"
        cells = visit.page.locator(".jp-CodeCell")
        expect(cells).to_have_count(len(code))
        for index, cell in enumerate(code):
            pictures = cells.nth(index).locator(".jp-OutputArea-output img")
            facts = pictures.evaluate_all("all => all.map(one => [one.src, one.alt, one.complete && one.naturalWidth > 0])")
            assert len({source for source, _, _ in facts}) == len(facts), f"a picture is there twice: {''.join(cell['source'])}"
            assert all(alt.strip() and drawn for _, alt, drawn in facts), facts
        assert visit.page.locator("progress").count() == 0
        for theme in ("Light", "Dark"):
            visit.theme(theme)
            keep_picture(visit, f"{path.stem}-{theme.lower()}")
        assert visit.problems == []
    finally:
        visit.theme("Light")
        visit.end_kernels()
