"""`%psf` lines on small files, and photometric stages in a cell."""

from __future__ import annotations

import pytest
from support.psf_files import PsfFiles, star_place

from nbmosaic.errors import CellError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return PsfFiles.write(tmp_path_factory.mktemp("cell"), 2)


@pytest.fixture
def shell(files, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.chdir(files.folder)
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "nbmosaic")
    shell.run_line_magic("config", "NbMosaicMagics.cache = False")
    yield shell
    shell.run_line_magic("unload_ext", "nbmosaic")
    InteractiveShell.clear_instance()


def run(shell, code):
    result = shell.run_cell(code)
    assert result.success, result.error_in_exec or result.error_before_exec
    return shell.user_ns


def test_image_fit(shell, capsys):
    names = run(shell, "fit = %psf image ref.fits night_1.fits --fix-beta 2.8 --margin 2 --segment\nprint(fit.summary())")
    fit = names["fit"]
    assert fit.beta.fixed
    assert abs(fit.fwhm.value - 0.6) < 5 * fit.fwhm.stderr
    assert "night_1  image" in capsys.readouterr().out


def test_star_fit(shell):
    ra, dec, radius = star_place()
    names = run(shell, f"%psf star ref.fits night_1.fits --star {ra:.7f},{dec:.7f},{radius} --fix-beta 2.8 as star;")
    assert abs(names["star"].fwhm.value - 0.6) < 5 * names["star"].fwhm.stderr


def test_batch(shell):
    names = run(shell, "%psf batch ref.fits night_*.fits none.fits --method image --fix-beta 2.8 --jobs 1 --on-error skip as nights")
    nights = names["nights"]
    assert list(nights.table["name"]) == ["night_1", "night_2", "none"]
    assert "none.fits" in nights.failures[0].title


def test_regridding_and_fits_in_a_cell(shell):
    names = run(shell, "grid = %psf regrid wide.fits night_1.fits --margin 2\nfit = %psf image {grid} night_1.fits --regions none")
    assert names["grid"].shape == (100, 100)
    assert abs(names["fit"].dx.value - 0.07) < 5 * names["fit"].dx.stderr


def test_help_lists_the_options(shell, capsys):
    run(shell, "print(repr(get_ipython().run_line_magic('psf', 'help image')))")
    text = capsys.readouterr().out
    assert "--fix-beta" in text
    assert "--exclude-misfits" in text


def test_mistakes_are_short(shell, capsys):
    result = shell.run_cell("%psf image ref.fits night_1.fits --fix-betas 2.8")
    assert isinstance(result.error_in_exec, CellError)
    assert "fix-beta" in str(result.error_in_exec)


def test_a_cell_that_regrids_shows_and_saves(shell, files, tmp_path):
    cell = f"%%mosaic seen\nregrid wide.fits night_1.fits\nsave {tmp_path}/on_grid.fits\nshow as picture\n"
    names = run(shell, cell)
    assert (tmp_path / "on_grid.fits").exists()
    assert "image wide 80 x 80 px" in names["picture"].alt
    names = run(shell, "%%mosaic fitted\nfit_image_photometry ref.fits night_1.fits\nshow --kind errors as picture\n")
    assert "joint errors" in names["picture"].alt
    names = run(shell, "%%mosaic fitted\nfit_photometry_batch ref.fits night_*.fits --jobs 1\nshow as picture\n")
    assert names["picture"].alt.startswith("fwhm of 2 files by image fits")
