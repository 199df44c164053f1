"""Tab: what is offered where, in IPython and through the messages that JupyterLab sends."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter
from support import toy_cell
from support.shell import new_shell

import nbmosaic
from nbmosaic.notebook.completion import complete
from nbmosaic.notebook.registry import Registry

TOY = Registry(toy_cell.STAGES)
NAMES = {"frames": toy_cell.Frames(), "pairs": toy_cell.Pairs(), "number": 3, "_hidden": 1, "run": toy_cell.ToyRun()}
PSF = {"image": "project", "star": "coadd", "none": "not_there"}


def offered(text, names=NAMES):
    """Completions where the text has its cursor, marked by ``|``, and what they replace."""
    before, _, after = text.partition("|")
    line = before.count("\n")
    found = complete(before + after, line, len(before.split("\n")[-1]), registry=TOY, names=names, psf=PSF)
    return None if found is None else (list(found.texts), found.fragment)


@pytest.mark.parametrize(
    ("text", "texts", "fragment"),
    [
        ("%%mosaic m\npro|", ["project"], "pro"),
        ("%%mosaic m\nimages a\n  c|", ["coadd", "cutout"], "c"),
        ("%%mosaic m\nproject --m|", ["method"], "m"),
        ("%%mosaic m\nproject --method n|", ["nearest"], "n"),
        ("%%mosaic m\nproject --method=|", ["nearest", "bilinear", "spline"], ""),
        ("%%mosaic m\nproject --method |", ["nearest", "bilinear", "spline"], ""),
        ("%%mosaic m\nproject --order 3 \\\n  --meth|", ["method"], "meth"),
        ("%%mosaic m\nheader --no|", ["north-up", "no-north-up"], "no"),
        ("%%mosaic m\nheader --pad 1 --p|", [], "p"),
        ("%%mosaic m\nproject --prior |", ["yes", "no"], ""),
        ("%%mosaic m\nbackground {pa|", ["pairs"], "pa"),
        ("%%mosaic m\nbackground {pairs.ta|", ["table"], "ta"),
        ("%%mosaic m\noverlaps as po\nbackground p|", ["po", "pairs"], "p"),
        ("%%mosaic m\noverlaps as po\nbackground {p|", ["po", "pairs"], "p"),
        ("%%mosaic m --pl|", ["plan"], "pl"),
        ("%%mosaic m --show s|\nimages a", ["summary", "stages"], "s"),
        ("%%mosaic m --fresh |\nimages a\nproject", ["images", "project"], ""),
        ("%%mosaic m --fresh images,p|\nimages a\nproject", ["project"], "p"),
        ("%%mosaic m --from pro|\nimages a\nproject", ["project"], "pro"),
        ("%%mosaic m\noverlaps as |", [], ""),
        ("x = %mosaic hea|", ["header"], "hea"),
        ("%mosaic help pro|", ["project"], "pro"),
        ("%mosaic ca|", ["cache"], "ca"),
        ("%mosaic cache --|", ["clear"], ""),
        ("%mosaic project {frames} --det|", ["detach"], "det"),
        ("%mosaic project {fr|", ["frames"], "fr"),
        ("a = 1\n%psf |", ["image", "star", "help"], ""),
        ("fit = %psf image --meth|", ["method"], "meth"),
    ],
)
def test_what_is_offered(text, texts, fragment):
    assert offered(text) == (texts, fragment)


@pytest.mark.parametrize("text", ["x = fra|", "%%time\npro|", "%matplotlib in|", "print('%mosaic')|", "# %%mosaic\npro|"])
def test_other_cells_are_left_alone(text):
    assert offered(text) is None


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    for name in ("raw/f_1.fits", "raw/f_2.fits", "raw/a b.fits", "rx.hdr"):
        (tmp_path / name).write_text("")
    assert offered("%%mosaic m\nimages r|") == (["raw/", "rx.hdr"], "r")
    assert offered("%%mosaic m\nimages raw/f_|") == (["raw/f_1.fits", "raw/f_2.fits"], "raw/f_")
    assert offered("%%mosaic m\nimages raw/a|") == (['"raw/a b.fits"'], "raw/a")
    assert offered('%%mosaic m\nimages "raw/a b|') == (['"raw/a b.fits'], '"raw/a b')
    assert offered("%%mosaic m\nproject --folder r|") == (["raw/", "rx.hdr"], "r")
    assert offered("%%mosaic m\nimages raw/*|") == ([], "raw/*")
    assert offered("%%mosaic m\nproject --order r|") == ([], "")


@pytest.fixture
def shell():
    with new_shell() as shell:
        nbmosaic.load_ipython_extension(shell)
        yield shell
        nbmosaic.unload_ipython_extension(shell)


def test_ipython_asks_and_replaces(shell):
    text = "%%mosaic m\nproject --meth"
    with provisionalcompleter():
        found = list(shell.Completer.completions(text, len(text)))
    assert [one.text for one in found] == ["method"]
    assert text[: found[0].start] + found[0].text == "%%mosaic m\nproject --method"
    shell.run_cell("frame_list = [1]").raise_error()
    text = "%%mosaic m\nimages {frame_"
    with provisionalcompleter():
        assert [one.text for one in shell.Completer.completions(text, len(text))] == ["frame_list"]


def test_unloading_takes_the_matcher_away(shell):
    before = len(shell.Completer.custom_matchers)
    nbmosaic.unload_ipython_extension(shell)
    assert len(shell.Completer.custom_matchers) == before - 1
    nbmosaic.load_ipython_extension(shell)
