"""Stop and Cancel in JupyterLab, for each way in which work is spread: by the Stop button, by ``cancel()`` of a detached run, by a button."""

from __future__ import annotations

import json
import re
import time

import pytest
from support.psf_files import PsfFiles

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NAME = "stop.ipynb"
METHODS = ("threads", "fork", "forkserver", "spawn")
LONG = "images many\nheader --scale 0.2\nproject --method exact"  # some 100 ms a frame
CELLS = (
    '%load_ext nbmosaic\nimport multiprocessing, os, nbmosaic\nnbmosaic.simulate_frames("many", n_frames=20, size=400, seed=3);',
    f"%%mosaic m --jobs 2 --fresh --no-cache\n{LONG}",
    f"%%mosaic d --jobs 2 --fresh --no-cache --detach\n{LONG}",
    "d.cancel()",
    "await d",
)
SETUP, RUN, DETACHED, CANCEL, AWAIT = range(len(CELLS))

# Below the kernel, but for what multiprocessing itself starts and ends with it.
CHILDREN = """
def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += file.read().split()
    return found
def words(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()
def workers():
    return [w for one in children(os.getpid()) for w in ([one] if "resource_tracker" not in words(one) and "forkserver import main" not in words(one)
        else children(one))]
"""


def notebook(*sources):
    cells = [
        {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [], "source": s}
        for i, s in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def page(visit):
    from playwright.sync_api import expect

    (visit.lab.folder / NAME).write_text(json.dumps(notebook(*CELLS)))
    visit.open(NAME)
    expect(visit.page.locator(".jp-CodeCell")).to_have_count(len(CELLS))
    run(visit, SETUP)
    idle(visit)
    silently(visit, CHILDREN)
    return visit


def silently(visit, code):
    """Run code in the kernel without a cell; returns what it prints."""
    return visit.page.evaluate(
        """async code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            for (;;) {
                let text = "";
                const future = kernel.requestExecute({code, store_history: false});
                future.onIOPub = message => { if (message.header.msg_type === "stream") text += message.content.text };
                const {content} = await future.done;
                if (content.status === "ok") return text.trim();
                if (content.status === "error") throw Error(JSON.stringify(content));
            }  // aborted: it stood in the queue behind a cell that raised an error
        }""",
        code,
    )


def cell(visit, number):
    return visit.page.locator(".jp-CodeCell").nth(number)


def output(visit, number):
    return cell(visit, number).locator(".jp-OutputArea-output")


def run(visit, number):
    """Press Shift-Enter in a cell."""
    cell(visit, number).locator(".jp-InputArea-editor").click()
    visit.page.keyboard.press("Control+Enter")


def idle(visit):
    from playwright.sync_api import expect

    expect(visit.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")


def use(visit, method):
    silently(visit, f"%config MosaicMagics.start_method = {method!r}")


def under_way(visit, number):
    from playwright.sync_api import expect

    expect(output(visit, number).first).to_contain_text(re.compile(r"project [3-9]/20"))


def gone(visit):
    assert silently(visit, "print(workers())") == "[]", "worker processes are left"


@pytest.mark.parametrize("method", METHODS)
def test_the_stop_button(page, method):
    from playwright.sync_api import expect

    use(page, method)
    run(page, RUN)
    under_way(page, RUN)
    began = time.monotonic()
    page.page.get_by_role("button", name="Interrupt the kernel").click()
    expect(output(page, RUN).last).to_contain_text(re.compile(r"MosaicCancelled: stopped in line 4 \(project, \d+/20\)"))
    idle(page)
    assert time.monotonic() - began < 5  # the page included, on a busy machine
    assert output(page, RUN).last.get_attribute("data-mime-type") == "application/vnd.jupyter.stderr"
    gone(page)
    assert silently(page, "print(list(m))") == "['images', 'header']"


@pytest.mark.parametrize("method", METHODS)
def test_a_detached_run_is_cancelled(page, method):
    from playwright.sync_api import expect

    use(page, method)
    run(page, DETACHED)
    under_way(page, DETACHED)
    idle(page)  # the kernel is free meanwhile
    assert (silently(page, "print(len(workers()))") != "0") == (method != "threads")
    run(page, CANCEL)
    run(page, AWAIT)
    expect(output(page, AWAIT)).to_contain_text("MosaicCancelled: stopped in line 4 (project, ")
    expect(output(page, CANCEL)).to_contain_text("True")
    gone(page)


@pytest.mark.parametrize("method", METHODS[1:])
def test_the_cancel_button_of_a_batch(page, method):
    from playwright.sync_api import expect

    folder = page.lab.folder / f"psf_{method}"
    folder.mkdir()
    PsfFiles.write(folder)
    source = (
        f'images = sorted(str(p) for p in __import__("pathlib").Path({folder.name!r}).glob("night_*.fits")) * 400\n'
        "from nbmosaic.notebook.panels import open_panel\n"
        f"batch = open_panel(nbmosaic.FitImagePhotometryMP('{folder.name}/wide.fits', images, nworker=2, start_method={method!r}))\nbatch"
    )
    page.page.evaluate("source => window.jupyterapp.shell.currentWidget.content.widgets.at(-1).model.sharedModel.setSource(source)", source)
    run(page, AWAIT)
    line = page.page.locator(".nbm-panel-batch .widget-html.nbm-line")
    expect(line).to_contain_text(re.compile(r"fit [1-9]\d*/"))
    page.page.locator(".nbm-panel-batch").get_by_role("button", name=re.compile(r"(^|\W)Cancel$")).click()
    expect(line).to_contain_text("stopped: image fits of", timeout=5000)
    assert silently(page, "batch.value; print(batch.state.running)") == "False"
    gone(page)


def test_nothing_went_wrong_on_the_page(page):
    assert page.problems == []
