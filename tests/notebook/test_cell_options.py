"""Options of the first line and the lesser magics, on toy stages: what is asked of the pipeline, and what comes back."""

from __future__ import annotations

import asyncio
import sys
import threading
import types

import pytest
from IPython.utils.capture import capture_output
from support import toy_cell
from support.shell import new_shell

import nbmosaic
from nbmosaic.errors import CellError, FormatError, InputError, MissingDependencyError, MosaicCancelled, NbmosaicError
from nbmosaic.notebook.detached import DetachedRun, StoppableProgress
from nbmosaic.notebook.how import CacheChoice
from nbmosaic.notebook.panels.base import Panel
from nbmosaic.notebook.registry import Registry
from nbmosaic.pipeline.execution import NoProgress

CELL = "images a.fits b.fits\nheader\nproject --method nearest\noverlaps as pairs\nbackground\ncoadd"


def fit_image_photometry(reference: str, *images: str, fix_beta: float | None = None, on_error: str = "raise") -> toy_cell.Planes:
    """Fit images."""
    return toy_cell.Planes((reference, *images), {"fix_beta": fix_beta, "on_error": on_error})


class Waits:
    """A stage that waits until it is let go."""

    def __init__(self):
        self.begun, self.go_on = threading.Event(), threading.Event()


@pytest.fixture
def shell():
    with new_shell() as shell:
        nbmosaic.load_ipython_extension(shell)
        backend = toy_cell.ToyBackend()
        backend.registry = Registry([*toy_cell.STAGES, fit_image_photometry])
        magics_of(shell)._backend = backend
        toy_cell.CALLS.clear()
        yield shell
        nbmosaic.unload_ipython_extension(shell)


def magics_of(shell):
    return shell.magics_manager.registry["MosaicMagics"]


def how_of(shell):
    return magics_of(shell)._backend.how


def run(shell, source):
    with capture_output():
        return shell.run_cell(source).raise_error().value


def fail(shell, source):
    with capture_output() as captured:
        result = shell.run_cell(source).result
    assert not result.success
    return result.error_in_exec or result.error_before_exec, captured.stdout.rstrip("\n").split("\n")


def test_cells_are_cached_unless_told_otherwise(shell):
    run(shell, f"%%mosaic m\n{CELL}")
    assert how_of(shell).cache == CacheChoice()
    run(shell, f"%%mosaic m --no-cache\n{CELL}")
    assert how_of(shell).cache is None
    run(shell, "%config MosaicMagics.cache = False\n%config MosaicMagics.cache_dir = '/x'\n%config MosaicMagics.cache_mb = 7")
    run(shell, f"%%mosaic m\n{CELL}")
    assert how_of(shell).cache is None
    run(shell, f"%%mosaic m --cache\n{CELL}")
    assert how_of(shell).cache == CacheChoice(folder="/x", memory_mb=7)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ("", set()),
        ("--fresh", {0, 1, 2, 3, 4, 5}),
        ("--fresh project", {2}),
        ("--fresh project,pairs", {2, 3}),
        ("--from background", {4, 5}),
        ("--from pairs", {3, 4, 5}),
        ("--fresh images --from coadd", {0, 5}),
        ("--no-fresh", set()),
    ],
)
def test_what_runs_in_any_case(shell, options, numbers):
    run(shell, f"%%mosaic m {options}\n{CELL}")
    assert how_of(shell).fresh == numbers


def test_a_cell_goes_on_with_an_earlier_run(shell):
    first = run(shell, f"%%mosaic m\n{CELL}")
    second = run(shell, "%%mosaic n --from m\nbackground --no-slope\ncoadd")
    assert how_of(shell).base is first
    assert toy_cell.CALLS[-2][1][0] is first["overlaps"]
    assert second["project"] is first["project"]
    run(shell, "%%mosaic d --detach\nimages a")
    shell.user_ns["d"].result(10)
    run(shell, "%%mosaic n --from d\nheader")
    assert toy_cell.CALLS[-1][1][0] is shell.user_ns["d"]["images"]


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("m --fresh projct", "--fresh: 'projct' is no stage of this cell", "did you mean project?"),
        ("m --from projct", "--from: 'projct' is no stage of this cell, nor a run", "did you mean project?"),
        ("m --from xyz", "--from: 'xyz' is no stage of this cell, nor a run", "its stages are images"),
        ("m --detach --plan", "--plan and --detach exclude each other", "keep one"),
        ("m --detatch", "%%mosaic has no option --detatch", "did you mean --detach?"),
        ("m --detach=3", "--detach cannot be '3'", None),
        ("m --cahce", "%%mosaic has no option --cahce", "did you mean --cache?"),
    ],
)
def test_mistakes_point_at_the_option(shell, line, message, hint):
    error, lines = fail(shell, f"%%mosaic {line}\n{CELL}")
    assert isinstance(error, CellError)
    assert len(lines) <= 4
    assert lines[0].startswith(f"CellError: {message}")
    assert lines[1] == f"  line 1: %%mosaic {line}"
    if hint is not None:
        assert hint in lines[-1]
    assert toy_cell.CALLS == []


def test_line_magics_take_the_options_of_a_cell(shell):
    assert run(shell, "%mosaic images a --no-cache").args == ("a",)
    assert how_of(shell).cache is None
    assert run(shell, "%mosaic images a --fresh").args == ("a",)
    assert how_of(shell).fresh == {0}
    assert "images" in repr(run(shell, "%mosaic images a --plan"))
    assert len(toy_cell.CALLS) == 2
    handle = run(shell, "%mosaic images a --detach as f")
    assert shell.user_ns["f"] is handle
    assert handle.result(10).args == ("a",)
    error, _ = fail(shell, "%mosaic images a --show none")
    assert "images has no option --show" in error.message


def test_a_detached_run(shell, monkeypatch):
    waits = Waits()

    def slow(self, recipe, *, how):
        waits.begun.set()
        waits.go_on.wait(10)
        return plain(self, recipe, how=how)

    plain = toy_cell.ToyBackend.run
    monkeypatch.setattr(toy_cell.ToyBackend, "run", slow)
    handle = run(shell, f"%%mosaic m --detach\n{CELL}")
    assert handle is shell.user_ns["m"]
    assert waits.begun.wait(10)
    assert not handle.done()
    assert "m.cancel() stops it" in repr(handle)
    assert "running" in handle._repr_html_()
    with pytest.raises(TimeoutError, match="m is still running"):
        handle.result(0.01)
    with pytest.raises(InputError, match="still running"):
        handle["overlaps"]
    with pytest.raises(AttributeError, match="still running"):
        _ = handle.products
    assert "pairs" not in shell.user_ns
    waits.go_on.set()
    value = handle.result(10)
    assert isinstance(value, toy_cell.ToyRun)
    assert handle.done()
    assert not handle.cancelled()
    assert not handle.cancel(), "it is over"
    assert handle["overlaps"] is shell.user_ns["pairs"]
    assert handle.products is value.products
    assert "products" in dir(handle)
    assert list(handle) == list(value)
    assert len(handle) == 6

    async def wait():
        return await handle

    assert asyncio.run(wait()) is value


def test_a_detached_run_is_stopped(shell, monkeypatch):
    waits = Waits()

    def slow(self, recipe, *, how):
        how.progress.start("images", 3)
        how.progress.advance()
        waits.begun.set()
        waits.go_on.wait(10)
        how.progress.advance()
        raise AssertionError("the run goes on")

    monkeypatch.setattr(toy_cell.ToyBackend, "run", slow)
    handle = run(shell, "%%mosaic m --detach\nimages a")
    assert waits.begun.wait(10)
    assert handle.cancel()
    assert "stopping" in repr(handle)
    waits.go_on.set()
    with pytest.raises(MosaicCancelled, match=r"stopped in line 2 \(images, 2/3\)"):
        handle.result(10)
    assert handle.cancelled()
    assert "stopped" in repr(handle)
    with pytest.raises(AttributeError):
        _ = handle.products
    _, lines = fail(shell, "m.result()")
    assert len(lines) <= 4
    _, lines = fail(shell, "await m")
    assert lines[0].startswith("MosaicCancelled: stopped")


def test_a_detached_run_that_fails(shell):
    handle = run(shell, "%%mosaic m --detach\nimages a\nheader\nproject\ncoadd --fail ours")
    with pytest.raises(FormatError, match="cannot read"):
        handle.result(10)
    assert "<b>" not in handle._repr_html_()
    assert "FormatError" in repr(handle)


def test_progress_stops_only_when_told():
    progress = StoppableProgress(NoProgress())
    progress.start("x", 3)
    progress.advance(2)
    assert (progress.state.stage, progress.state.done, progress.state.total) == ("x", 2, 3)
    progress.stopped.set()
    for call in (lambda: progress.start("y", 1), progress.advance, lambda: progress.finish("")):
        with pytest.raises(KeyboardInterrupt):
            call()
    progress.close()


def test_workers_of_a_detached_run_are_ended():
    class Pool:
        ended = False

        def stop(self):
            self.ended = True

    pool, go_on, known = Pool(), threading.Event(), threading.Event()

    def work(with_pool):
        with_pool(pool)
        known.set()
        go_on.wait(10)
        return 1

    handle = DetachedRun(work, progress=StoppableProgress(NoProgress()), name="m")
    assert known.wait(10)
    assert handle.cancel()
    assert pool.ended
    go_on.set()


def test_psf_has_short_names_for_stages(shell):
    fit = run(shell, "fit = %psf image hst.fits a.fits b.fits --fix-beta 2.8\nfit")
    assert fit.args == ("hst.fits", "a.fits", "b.fits")
    assert fit.kwargs["fix_beta"] == 2.8
    assert run(shell, "%psf fit_image_photometry a b").args == ("a", "b")
    assert "%psf image  Fit images." in repr(run(shell, "%psf"))
    assert "--fix-beta" in repr(run(shell, "%psf help image"))
    handle = run(shell, "%psf image h a --detach as nights")
    assert shell.user_ns["nights"] is handle
    assert handle.result(10).args == ("h", "a")
    error, lines = fail(shell, "%psf imgae a b")
    assert isinstance(error, CellError)
    assert lines[1:] == ["  line 1: %psf imgae a b", "               ^", "  did you mean image? %psf lists the fits"]
    error, lines = fail(shell, "%psf image h a --fix-bta 3")
    assert "did you mean --fix-beta?" in lines[-1]
    error, _ = fail(shell, "%psf project a")
    assert "%psf has no fit 'project'" in error.message
    magics_of(shell)._backend.registry = Registry(toy_cell.STAGES)
    error, _ = fail(shell, "%psf image a b")
    assert "has no PSF fits" in error.message
    assert "no PSF fits" in repr(run(shell, "%psf"))


def test_the_cache_is_shown_and_cleared(shell, tmp_path):
    run(shell, f"%config MosaicMagics.cache_dir = {str(tmp_path)!r}")
    page = run(shell, "%mosaic cache")
    assert magics_of(shell)._backend.choice == CacheChoice(folder=str(tmp_path))
    assert list(page.table.columns)[:3] == ["stage", "product", "memory_mb"]
    assert "0 products forgotten" in repr(run(shell, "%mosaic cache --clear"))
    assert "0 products forgotten" in repr(run(shell, "%mosaic cache --clear project"))
    for line in ("%mosaic cache --clar", "%mosaic cache project", "%mosaic cache --clear a b"):
        error, lines = fail(shell, line)
        assert "cache has no place for" in error.message
        assert len(lines) <= 4


class ToyPanel:
    def __init__(self, what, kind):
        self.what, self.kind, self.closed = what, kind, False

    def close(self):
        self.closed = True


def test_panels_are_opened_on_names_and_expressions(shell, monkeypatch):
    module = types.ModuleType("nbmosaic.notebook.panels")
    module.open_panel = lambda what, *, kind=None: ToyPanel(what, kind)
    monkeypatch.setitem(sys.modules, "nbmosaic.notebook.panels", module)
    shell.user_ns["pairs"] = product = toy_cell.Pairs()
    first = run(shell, "%mosaic panel pairs")
    assert first.what is product
    assert run(shell, "%mosaic panel {pairs}").what is product
    assert run(shell, "%mosaic panel pairs viewer").kind == "viewer"
    assert not first.closed
    assert not run(shell, "%mosaic panel pairs").closed
    assert first.closed  # the same line again leaves one panel
    for line, said in (
        ("%mosaic panel", "takes a name and a kind"),
        ("%mosaic panel a b c", "takes a name and a kind"),
        ("%mosaic panel pars", "there is no 'pars'"),
    ):
        error, lines = fail(shell, line)
        assert said in error.message
        assert len(lines) <= 4


def test_panels_without_ipywidgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(MissingDependencyError, match="pip install ipywidgets"):
        Panel()


def test_every_error_of_a_detached_cell_is_ours(shell):
    handle = run(shell, "%%mosaic m --detach\nimages a\nheader\nproject\ncoadd --fail theirs")
    with pytest.raises(NbmosaicError, match="ZeroDivisionError"):
        handle.result(10)
