"""Cells that run the real pipeline on a few simulated frames."""

import numpy as np
import pytest
from astropy.io import fits  # here, not inside a test: astropy cannot be imported for the first time after a shell has gone
from IPython.utils.capture import capture_output
from support.shell import new_shell

import nbmosaic

CELL = """%%mosaic m
images raw
header
project --method bilinear
overlaps as pairs
background {pairs.table[pairs.table.npixel > 100]} --no-slope as planes
correct
coadd
show planes
save m.fits
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nbmosaic.simulate_frames("raw", n_frames=3, size=96, seed=2)
    with new_shell() as shell:
        nbmosaic.load_ipython_extension(shell)
        shell.magics_manager.registry["MosaicMagics"].cache_dir = str(tmp_path / "cache")
        yield shell
        nbmosaic.unload_ipython_extension(shell)


def run(shell, source):
    with capture_output():
        return shell.run_cell(source).raise_error().value


def fail(shell, source):
    with capture_output() as captured:
        result = shell.run_cell(source).result
    assert not result.success
    return captured.stdout.rstrip("\n").split("\n")


def test_a_cell_its_code_and_python_give_the_same_mosaic(shell, tmp_path):
    value = run(shell, CELL)
    assert isinstance(value, nbmosaic.Run)
    assert shell.user_ns["planes"] is value["background"]
    written = fits.getdata(tmp_path / "m.fits")  # save after show saves the mosaic, not the picture
    np.testing.assert_array_equal(written, value.mosaic.data)
    code = value.to_python()
    assert "pairs.table[pairs.table.npixel > 100]" in code
    names: dict = {}
    exec(code.replace("'m.fits'", "'n.fits'"), names)
    np.testing.assert_array_equal(names["mosaic"].data, value.mosaic.data)


def test_missing_files_and_existing_output_are_found_before_anything_runs(shell, tmp_path):
    lines = fail(shell, "%%mosaic m\nimages raw/*.fit")
    assert lines[0].startswith("FormatError: no file matches raw/*.fit")
    assert lines[1] == "  line 2: images raw/*.fit"
    (tmp_path / "m.fits").write_text("mine")
    lines = fail(shell, CELL)
    assert "m.fits" in lines[0]
    assert lines[1] == "  line 10: save m.fits"
    assert (tmp_path / "m.fits").read_text() == "mine"


def test_a_failed_stage_keeps_the_stages_before(shell):
    lines = fail(shell, "%%mosaic m\nimages raw\nheader\nproject --method bilinear\ncoadd --max-memory lots")
    assert lines[1].startswith("  line 5: coadd")
    assert list(shell.user_ns["m"]) == ["images", "header", "project"]
    assert "failed" in repr(shell.user_ns["m"])


def test_a_plan_knows_the_sizes_from_the_headers(shell):
    page = run(shell, "%%mosaic m --plan\nimages raw\nheader\nproject")
    assert "3 frames" in repr(page)
    assert "grid of" in repr(page)
    assert fail(shell, "%%mosaic m --plan\nimages nothing*.fits\nheader")[1] == "  line 2: images nothing*.fits"


def test_late_values_that_fail_are_short(shell):
    lines = fail(shell, "%%mosaic m\nimages raw as f\nheader --scale {f.nothing}")
    assert lines == [
        "CellError: {f.nothing} failed: AttributeError: 'Frames' object has no attribute 'nothing'",
        "  line 3: header --scale {f.nothing}",
        "                         ^",
    ]


def states(run):
    return [record.state for record in run.log]


def test_a_cell_runs_what_has_changed(shell, tmp_path):
    cell = CELL.replace("save m.fits\n", "")
    assert states(run(shell, cell)) == ["ran"] * 8
    assert states(run(shell, cell.replace("coadd", "coadd     # a comment") + "\n# more")) == ["cached"] * 8
    assert states(run(shell, cell.replace("%%mosaic m", "%%mosaic other --jobs 1 --progress off"))) == ["cached"] * 8
    assert states(run(shell, cell.replace("npixel > 100", "npixel > 101"))) == ["cached"] * 8, "the same rows"
    assert states(run(shell, cell.replace("--no-slope", "--slope"))) == ["cached"] * 4 + ["ran"] * 4
    assert states(run(shell, cell)) == ["cached"] * 8
    assert states(run(shell, cell.replace("%%mosaic m", "%%mosaic m --from correct"))) == ["cached"] * 5 + ["ran"] * 3
    page = run(shell, cell.replace("%%mosaic m", "%%mosaic m --plan").replace("bilinear", "nearest"))
    assert [row[2] for row in page.rows()] == ["cached"] * 2 + ["to run"] * 6
    page = run(shell, cell.replace("%%mosaic m", "%%mosaic m --plan"))
    assert [row[2] for row in page.rows()] == ["cached"] * 8
    for path in tmp_path.glob("raw/*_cd.fits"):
        path.touch()
    # the table is the same, and so is what is made of nothing else
    assert states(run(shell, cell)) == ["ran"] * 4 + ["cached"] + ["ran"] * 2 + ["cached"]
    assert "2 of 3 frames kept" in shell.user_ns["m"].log[2].key
    assert states(run(shell, cell.replace("%%mosaic m", "%%mosaic m --no-cache"))) == ["ran"] * 8
    assert "cached" in repr(run(shell, cell))


def test_a_detached_cell_gives_the_same(shell):
    cell = CELL.replace("save m.fits\n", "")
    handle = run(shell, cell.replace("%%mosaic m", "%%mosaic m --detach --no-cache"))
    value = handle.result(60)
    np.testing.assert_array_equal(value.mosaic.data, run(shell, cell).mosaic.data)
    assert handle.mosaic is value.mosaic
