"""Magics in a shell: what a user types, what he gets, and what he sees of his mistakes."""

import re

import pytest
from IPython.utils.capture import capture_output
from support import toy_cell
from support.shell import new_shell

import nbmosaic
from nbmosaic.errors import CellError, FormatError, MosaicCancelled, NbmosaicWarning, StepError
from nbmosaic.notebook.help import CodePage, HelpPage, InfoTable, StageTable
from nbmosaic.notebook.plan_page import PlanPage

CELL = "images a.fits b.fits\nheader\nproject --method nearest\noverlaps as pairs\nbackground\ncoadd"


@pytest.fixture
def shell():
    with new_shell() as shell:
        nbmosaic.load_ipython_extension(shell)
        shell.magics_manager.registry["MosaicMagics"]._backend = toy_cell.ToyBackend()
        toy_cell.CALLS.clear()
        yield shell
        nbmosaic.unload_ipython_extension(shell)


def backend_of(shell):
    return shell.magics_manager.registry["MosaicMagics"]._backend


def run(shell, source):
    """Value of a cell."""
    with capture_output():
        return shell.run_cell(source).raise_error().value


def fail(shell, source):
    """Error of a cell, and the lines that were shown."""
    with capture_output() as captured:
        result = shell.run_cell(source).result
    assert not result.success
    return result.error_in_exec or result.error_before_exec, captured.stdout.rstrip("\n").split("\n")


def test_a_cell_binds_and_returns_its_run(shell):
    value = run(shell, f"%%mosaic m17 --jobs 3\n{CELL}")
    assert value is shell.user_ns["m17"]
    assert list(value) == ["images", "header", "project", "overlaps", "background", "coadd"]
    assert shell.user_ns["pairs"] is value["overlaps"]
    assert value.jobs == 3
    assert [name for name, _, _ in toy_cell.CALLS] == list(value)
    assert backend_of(shell).recipe.name == "m17"


def test_a_cell_without_a_name_returns_its_run(shell):
    value = run(shell, "%%mosaic\nimages a")
    assert list(value) == ["images"]


@pytest.mark.parametrize(("head", "tail"), [("", ";"), ("--show none", "")])
def test_the_display_can_be_hushed(shell, head, tail):
    assert run(shell, f"%%mosaic m {head}\nimages a{tail}") is None
    assert list(shell.user_ns["m"]) == ["images"]


def test_every_product_can_be_shown(shell):
    with capture_output() as captured:
        value = shell.run_cell("%%mosaic m --show stages\nimages a\nheader").raise_error().value
    assert value is shell.user_ns["m"]
    assert len(captured.outputs) == 2


def test_configuration_gives_defaults(shell):
    run(shell, "%config MosaicMagics.jobs = -1")
    run(shell, "%config MosaicMagics.figure_width = 5")
    run(shell, "%%mosaic m --on-error skip\nimages a\nshow\nshow --width 3")
    assert shell.user_ns["m"].jobs == -1
    assert [kwargs["width"] for name, _, kwargs in toy_cell.CALLS if name == "show"] == [5, 3]
    assert toy_cell.CALLS[0][2]["on_error"] == "skip"


def test_line_magics_run_one_stage(shell):
    assert isinstance(run(shell, "%mosaic images a b as f"), toy_cell.Frames)
    run(shell, "g = %mosaic header {f} --scale 2")
    assert shell.user_ns["g"].args[0] is shell.user_ns["f"]
    assert run(shell, "%mosaic images a;") is None
    run(shell, "quiet = %mosaic images a;")
    assert isinstance(shell.user_ns["quiet"], toy_cell.Frames)


def test_line_magics_see_the_variables_of_a_function(shell):
    shell.run_cell(
        "def make(name):\n    keep = ['x']\n    return get_ipython().run_line_magic('mosaic', 'images {name} {[n for n in keep if n in keep]}')"
    )
    assert run(shell, "make('inner.fits')").args == ("inner.fits", ["x"])


def test_variables_are_not_expanded_by_ipython(shell):
    shell.user_ns["x"] = [1, 2]
    run(shell, "%mosaic images $x {x} {{x}}")
    assert toy_cell.CALLS[0][1] == ("$x", [1, 2], "{x}")


def test_help_in_its_three_places(shell):
    table = run(shell, "%mosaic")
    assert isinstance(table, StageTable)
    assert "project" in repr(table)
    page = run(shell, "%mosaic help project")
    assert isinstance(page, HelpPage)
    assert "--method  nearest | bilinear | spline  (default spline)" in repr(page)
    with capture_output() as captured:
        last = shell.run_cell("%%mosaic\nimages a\nheader?\nproject?").raise_error().value
    assert last.spec.name == "project"
    assert len(captured.outputs) == 1
    assert toy_cell.CALLS == [], "a cell that asks for help runs nothing"
    assert run(shell, "%mosaic help mosaic").cell
    error, lines = fail(shell, "%mosaic help projct")
    assert isinstance(error, CellError)
    assert lines[2].index("^") == lines[1].index("projct")


def test_pinfo_shows_every_option(shell):
    text = shell.magics_manager.magics["cell"]["mosaic"].__doc__
    for option in ("--jobs", "--plan", "--code", "--show", "--progress", "--on-error"):
        assert option in text
    with capture_output() as captured:
        shell.run_cell("%mosaic?")
    assert "one stage a line" in captured.stdout


def test_a_plan_runs_nothing(shell):
    page = run(shell, f"%%mosaic m --plan\n{CELL}")
    assert isinstance(page, PlanPage)
    assert toy_cell.CALLS == []
    assert "m" not in shell.user_ns
    assert "6 stages <i>planned</i>" in repr(page)
    assert "<i>" not in page._repr_html_()
    assert "frames of line 2" in repr(page)


def test_code_is_returned_and_offered_as_the_next_cell(shell):
    offered = []
    shell.set_next_input = lambda text, replace=False: offered.append((text, replace))
    page = run(shell, f"%%mosaic m --code\n{CELL}")
    assert isinstance(page, CodePage)
    assert offered == [(str(page), False)]
    assert "projected = nbmosaic.project(frames, grid, method='nearest')" in str(page)
    assert toy_cell.CALLS == []


def test_info(shell):
    table = run(shell, "%nbmosaic")
    assert isinstance(table, InfoTable)
    assert table["numpy"].count(".") >= 1
    assert "may be used" in table["memory"]
    assert table["short_errors"] == "True"
    assert table["cache_dir"] == "(default)"
    with pytest.raises(KeyError):
        table["nothing"]


def test_mistakes_are_short(shell):
    error, lines = fail(shell, "%%mosaic m\nimages a\nheader\nproject --methd x")
    assert type(error) is CellError
    assert lines == [
        "CellError: project has no option --methd",
        "  line 4: project --methd x",
        "                  ^",
        "  did you mean --method? options: %mosaic help project",
    ]
    assert toy_cell.CALLS == []
    assert "m" not in shell.user_ns


@pytest.mark.parametrize(
    "source",
    [
        "%%mosaic m\nprojct",
        "%%mosaic m --jbos 3\nimages a",
        "%%mosaic 2m\nimages a",
        "%%mosaic class\nimages a",
        "%%mosaic m\nimages {nope}",
        "%%mosaic m\nimages 'a",
        "%%mosaic m\n# nothing",
        "%%mosaic m --plan --code\nimages a",
        "%mosaic projct",
        "%mosaic project",
        "%mosaic ;",
        "%mosaic help a b",
        "%%mosaic m\nimages a\nheader\nproject\ncoadd --fail ours",
        "%%mosaic m\nimages a\nheader\nproject\ncoadd --fail theirs",
        "%%mosaic m\nimages a\nheader\nproject\ncoadd --fail stop",
        "%%mosaic m\nimages a as f\nheader {f.nope}",
        "%%mosaic m\nimages " + "x" * 3000 + " --hd 3",
    ],
)
def test_every_failure_has_at_most_four_lines_and_a_place(shell, source):
    error, lines = fail(shell, source)
    assert len(lines) <= 4
    assert lines[0].startswith(f"{type(error).__name__}: ")
    assert max(map(len, lines)) < 200
    assert not any("Traceback" in line for line in lines)
    assert re.match(r"  line \d+: ", lines[1])
    carets = [line for line in lines if line.strip() == "^"]
    assert len(carets) <= 1


def test_long_lines_are_cut_around_the_mistake(shell):
    _, lines = fail(shell, "%%mosaic m\nimages " + "x" * 3000 + " --hd 3")
    assert lines[1][lines[2].index("^") :].startswith("--hd 3")


def test_the_caret_stands_below_tabs(shell):
    _, lines = fail(shell, "%%mosaic m\nimages\ta\t--hd 3")
    column = lines[2].index("^")
    assert lines[1][column:].startswith("--hd 3")
    assert [i for i, char in enumerate(lines[2]) if char == "\t"] == [i for i, char in enumerate(lines[1]) if char == "\t"]


def test_tb_shows_all_and_short_errors_can_be_turned_off(shell):
    fail(shell, "%%mosaic m\nprojct")
    with capture_output() as captured:
        shell.run_cell("%tb")
    assert "Traceback" in captured.stdout
    assert "registry.py" in captured.stdout
    run(shell, "%config MosaicMagics.short_errors = False")
    _, lines = fail(shell, "%%mosaic m\nprojct")
    assert len(lines) > 10


def test_the_line_of_a_line_magic_is_that_of_its_cell(shell):
    _, lines = fail(shell, "a = 1\n\nb = %mosaic images x --hd 2\n")
    assert lines[1] == "  line 3: %mosaic images x --hd 2"
    assert lines[1][lines[2].index("^") :] == "--hd 2"


def test_a_run_that_fails_keeps_what_is_done(shell):
    error, lines = fail(shell, f"%%mosaic m\n{CELL} --fail ours")
    assert isinstance(error, FormatError)
    assert lines == ["FormatError: cannot read <b>a.fits</b>", "  line 7: coadd --fail ours", "          ^", "  try another file"]
    assert list(shell.user_ns["m"]) == ["images", "header", "project", "overlaps", "background"]
    assert shell.user_ns["pairs"] is shell.user_ns["m"]["overlaps"]
    assert "run" not in error.context


def test_errors_that_are_not_ours_are_short_too_and_keep_their_cause(shell):
    error, lines = fail(shell, f"%%mosaic m\n{CELL} --fail theirs")
    assert isinstance(error, StepError)
    assert lines[0] == "StepError: coadd failed: ZeroDivisionError: division by zero"
    assert lines[1] == "  line 7: coadd --fail theirs"
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_the_stop_button_is_one_line(shell):
    error, lines = fail(shell, f"%%mosaic m\n{CELL} --fail stop")
    assert isinstance(error, MosaicCancelled)
    assert lines[0] == "MosaicCancelled: stopped in line 7 (coadd, 2/4)"
    assert "m" in lines[-1]


def test_names_that_held_something_else(shell):
    shell.user_ns["m"] = "a text"
    shell.user_ns["f"] = toy_cell.Frames()
    with pytest.warns(NbmosaicWarning, match="the name m held a str; it is a ToyRun now"):
        run(shell, "%%mosaic m\nimages a as f")
    run(shell, "%%mosaic m\nimages a as f")  # a run again: no warning, and warnings are errors here


def test_warnings_of_stages_are_kept_on_the_run(shell):
    with capture_output() as captured:
        shell.run_cell("%%mosaic m\nimages a\nheader\nproject\ncoadd --warn").raise_error()
    assert captured.stderr == ""
    assert shell.user_ns["m"].warnings == ("frame 0 left out", "frame 1 left out", "frame 2 left out")


def test_warnings_of_a_line_magic_are_given(shell):
    shell.user_ns["p"] = toy_cell.Projected()
    with pytest.warns(NbmosaicWarning, match=r"frame \d left out") as caught:
        run(shell, "%mosaic coadd {p} --warn")
    assert len(caught) == 3


def test_expressions_come_from_the_users_namespace_only(shell):
    error, _ = fail(shell, "%%mosaic\nimages {self}")
    assert "'self' is not defined" in error.message
    shell.user_ns["later"] = 1
    run(shell, "%%mosaic\nimages {later} as later2\nheader {later2}")
    assert toy_cell.CALLS[-1][1][0] is shell.user_ns["later2"]
