"""The teaching lab: checks say "not yet" until the answers are there, and "well done" to the solutions; they never fail."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
TASKS, SOLUTIONS = FOLDER / "08-teaching-lab.ipynb", FOLDER / "08-teaching-lab-solutions.ipynb"
CHECK = re.compile(r'^\s*check\(\s*"(\w+)",', re.MULTILINE)


def read(path):
    import nbformat  # two seconds, which every worker would pay when it collects the tests

    return nbformat.read(path, as_version=4)


def questions(notebook):
    return [CHECK.search(cell.source)[1] for cell in notebook.cells if cell.cell_type == "code" and CHECK.search(cell.source)]


def run(path, folder, change=lambda notebook: None):
    """Question to what its check said."""
    from nbclient import NotebookClient

    shutil.copy(path, folder)
    notebook = read(path)
    change(notebook)
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    text = "".join(output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    return dict(re.findall(r"^(\d\w?): (well done|not yet)", text, re.MULTILINE))


def test_the_same_questions_and_checks():
    tasks, solutions = read(TASKS), read(SOLUTIONS)
    assert len(questions(tasks)) == 13
    assert questions(tasks) == questions(solutions)
    checks = [[cell.source for cell in notebook.cells if CHECK.search(cell.source)] for notebook in (tasks, solutions)]
    assert checks[0] == checks[1]


def test_every_question_has_a_hint_that_is_folded():
    asked = [cell.source for cell in read(TASKS).cells if "**Question" in cell.source and "**Question 8" not in cell.source]
    assert len(asked) == 12
    for source in asked:
        assert "<details><summary>Hint</summary>" in source
        assert "</details>" in source


@pytest.mark.notebook
@pytest.mark.timeout(280)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(("path", "said"), [(TASKS, "not yet"), (SOLUTIONS, "well done")], ids=["tasks", "solutions"])
def test_checks(path, said, tmp_path):
    answers = run(path, tmp_path)
    assert answers == dict.fromkeys(questions(read(path)), said)


@pytest.mark.notebook
@pytest.mark.timeout(280)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_wrong_answers_of_any_kind_are_not_yet_right(tmp_path):
    def change(notebook):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = re.sub(r"^(\w+) = None$", r'\1 = "a word"', cell.source, flags=re.MULTILINE)
                cell.source = re.sub(r"^n_pairs = .*$", "", cell.source, flags=re.MULTILINE)  # no answer at all

    assert set(run(TASKS, tmp_path, change).values()) == {"not yet"}
