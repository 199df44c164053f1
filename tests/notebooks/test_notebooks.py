"""The tutorials: committed clean, and they run from top to bottom, offline, quickly and in little memory."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_SECONDS = 60.0
MAX_MEGABYTES = 700.0
MEASURE = "import resource, sys; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == 'darwin' else 1e3))"


def read(path: Path) -> Any:
    import nbformat  # two seconds, which every worker would pay when it collects the tests

    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def test_there_are_notebooks():
    numbered = [path.name[:2] for path in NOTEBOOKS if path.name[0].isdigit()]
    assert sorted(set(numbered)) == [f"{n:02d}" for n in range(len(set(numbered)))], "tutorials are numbered from 00 without a gap"


def test_links_between_notebooks_lead_somewhere():
    for path in NOTEBOOKS:
        for cell in read(path).cells:
            if cell.cell_type == "markdown":
                for target in re.findall(r"\]\(([^)#:]+\.ipynb)\)", cell.source):
                    assert (FOLDER / target).is_file(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_valid_and_stripped(path):
    import nbformat

    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5), "cells have ids from format 4.5 on"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert set(cell.metadata) <= {"tags"}
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_tells_how_to_begin(path):
    notebook = read(path)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    before_code = "".join(cell.source for cell in notebook.cells[: notebook.cells.index(code_cells(notebook)[0])])
    assert "Run > Run All" in before_code
    setup = code_cells(notebook)[0].source
    assert "%load_ext nbmosaic" in setup
    assert "tempfile.TemporaryDirectory" in setup
    text = json.dumps(notebook)
    assert "http://" not in text
    assert "pip install" not in text


def pictures(notebook: Any) -> list[tuple[str, str]]:
    """Alt text of every PNG among the outputs, and the HTML beside it."""
    found = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                found.append((output.metadata.get("image/png", {}).get("alt", ""), data.get("text/html", "")))
            elif "<img " in data.get("text/html", ""):
                found.append((data["text/html"].split(' alt="', 1)[1].split('"', 1)[0], data["text/html"]))
    return found


@pytest.mark.notebook
@pytest.mark.timeout(280)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_notebook_runs(path, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    copy = tmp_path / path.name
    shutil.copy(path, copy)
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(MEASURE))
    began = time.perf_counter()
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    seconds = time.perf_counter() - began
    megabytes = float(notebook.cells[-1].outputs[0].text)
    print(f"\n{path.name}: {seconds:.1f} s, {megabytes:.0f} MB")
    assert seconds < MAX_SECONDS
    assert megabytes < MAX_MEGABYTES
    for cell in code_cells(notebook):
        kinds = [output.output_type for output in cell.outputs]
        if "raises-exception" in tags(cell):
            (error,) = cell.outputs
            assert error.output_type == "error"
            assert len(error.traceback) <= 4, "a mistake takes four lines at most"
        else:
            assert "error" not in kinds, cell.source
        noise = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stderr"]
        assert not noise, f"{cell.source}\n{noise}"
    drawn = pictures(notebook)
    assert drawn
    assert all(alt.strip() for alt, _ in drawn)
    assert [item.name for item in tmp_path.iterdir()] == [path.name], "notebooks work in a temporary folder of their own"
