"""The command ``nbmosaic``."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import nbmosaic
from nbmosaic.cli import main
from nbmosaic.pipeline.mosaic import mosaic_parameters
from nbmosaic.pipeline.simulation.frames import simulate_frames


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return simulate_frames(tmp_path_factory.mktemp("frames"), n_frames=3, size=64, seed=4, overlap=0.4)


@pytest.fixture
def files(field):
    return [str(path) for path in field.paths]


def refused(words, capsys):
    """What is said of wrong usage."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def failed(words, capsys):
    """What is said of wrong input."""
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nbmosaic: ")
    assert said.err.count("\n") == 1
    return said.err


def test_a_mosaic(files, tmp_path, capsys):
    target = tmp_path / "m.fits"
    assert main(["mosaic", *files, "--output", str(target)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"wrote {target}" in said.out
    for stage in ("images", "header", "project", "overlaps", "background", "correct", "coadd"):
        assert re.search(rf"{stage}\s+ran", said.out)
    with fits.open(target) as hdus:
        np.testing.assert_array_equal(hdus[0].data, nbmosaic.mosaic(files).mosaic.data)


def test_options_as_in_the_cell(files, field, tmp_path, capsys):
    target, template = tmp_path / "m.fits", tmp_path / "t.hdr"
    nbmosaic.save(nbmosaic.header(nbmosaic.images(files), scale=1.3), template)
    words = ["--template", str(template), "--method", "bilinear", "--no-slope", "--reference", "1,2", "--exclude=0-1"]
    words += ["--sigma", "2.5", "--combine", "median", "--max-memory", "100MB", "--jobs", "-1", "--min-pixels=20", "--hdu", "0", "-q"]
    assert main(["mosaic", str(field.folder), "-o", str(target), *words]) == 0
    assert capsys.readouterr() == ("", "")
    run = nbmosaic.mosaic(
        files,
        template=str(template),
        method="bilinear",
        slope=False,
        reference=(1, 2),
        exclude=("0-1",),
        sigma=2.5,
        combine="median",
        min_pixels=20,
        hdu=0,
    )
    np.testing.assert_array_equal(fits.getdata(target), run.mosaic.data)


def test_an_existing_file(files, tmp_path, capsys):
    target = tmp_path / "m.fits"
    target.write_bytes(b"the work of a week")
    said = failed(["mosaic", *files, "--output", str(target)], capsys)
    assert said == f"nbmosaic: {target} exists; choose another name, or overwrite=True (--overwrite in a cell or the shell)\n"
    assert target.read_bytes() == b"the work of a week"
    assert main(["mosaic", *files, "--output", str(target), "--overwrite", "--quiet"]) == 0
    assert fits.getdata(target).ndim == 2


def test_errors_are_one_line(files, tmp_path, capsys):
    target = str(tmp_path / "m.fits")
    assert "no such file" in failed(["mosaic", str(tmp_path / "x.fits"), "-o", target], capsys)
    assert "no file matches" in failed(["mosaic", str(tmp_path / "*.fits"), "-o", target], capsys)
    assert "make it first" in failed(["mosaic", *files, "-o", str(tmp_path / "no" / "m.fits")], capsys)
    (tmp_path / "list.fits").write_text("milk, eggs")
    assert "list.fits" in failed(["mosaic", str(tmp_path / "list.fits"), "-o", target], capsys)
    assert "also one of the frames" in failed(["mosaic", *files, "-o", files[0], "--overwrite"], capsys)
    assert not Path(target).exists()


def test_warnings_are_one_line(files, tmp_path, capsys):
    with fits.open(files[0]) as hdus:
        fits.PrimaryHDU(np.full_like(hdus[0].data, np.nan), hdus[0].header).writeto(tmp_path / "blank.fits")
    assert main(["mosaic", *files, str(tmp_path / "blank.fits"), "-o", str(tmp_path / "m.fits"), "-q"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"nbmosaic: warning: project left out 1 frame: .*blank\.fits: no valid pixel\n", said.err)


def test_wrong_usage(files, capsys):
    assert "did you mean --method?" in refused(["mosaic", *files, "-o", "m.fits", "--methd", "spline"], capsys)
    assert "expects one of nearest" in refused(["mosaic", *files, "-o", "m.fits", "--method", "cubic"], capsys)
    assert "a number" in refused(["mosaic", *files, "-o", "m.fits", "--scale", "one"], capsys)
    assert "--output" in refused(["mosaic", *files], capsys)
    assert "'mosaic', 'mscimage', 'demo', 'warmup'" in refused(["mosiac"], capsys)
    assert "--see" in refused(["demo", "--see", "4"], capsys)
    assert "elsewhere was not expected" in refused(["demo", "elsewhere"], capsys)
    assert main([]) == 2
    assert "usage: nbmosaic" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["mosaic"], ["demo"], ["warmup"]])
def test_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    options = text.split("\noptions:\n")[1].split("\n\n")[0]
    entries = re.split(r"\n(?=  -)", "\n" + options)
    bare = [entry for entry in entries if entry.strip() and not re.search(r"(\n\s{10,}|\s{2,})[A-Za-z]", entry.strip("\n")[3:])]
    assert bare == [], "options without help"
    if command == ["mosaic"]:
        for parameter in mosaic_parameters():
            if parameter.name not in {"paths", "executor", "progress"}:
                assert parameter.flag in options
        assert "One of nearest, bilinear, spline" in " ".join(options.split())


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"nbmosaic {nbmosaic.__version__}\n"


@pytest.mark.slow
def test_demo(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["demo", "--folder", "X", "--seed", "2"]) == 0
    said = capsys.readouterr()
    assert re.search(r"\rproject \d/9", said.err), "it says how far it is: the first use takes half a minute"
    for name in re.findall(r"X\S*\.(?:fits|png|html)", said.out):
        assert (tmp_path / name).is_file(), name
    assert fits.getdata(tmp_path / "X" / "mosaic.fits").ndim == 2
    without, matched = map(float, re.search(r"([\d.]+) DN rms without matching, ([\d.]+) DN with", said.out).groups())
    assert matched < 0.1 * without


def test_stopped(files, tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nbmosaic.io.sources.FitsSource.load", stop)
    assert main(["mosaic", *files, "-o", str(tmp_path / "m.fits")]) == 130
    assert capsys.readouterr().err == "nbmosaic: stopped\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")
def test_a_real_interrupt(files, tmp_path):
    """The whole command as a process of its own, interrupted while it reads the second frame."""
    script = """
        import os, signal, sys, time
        from nbmosaic.cli import main
        from nbmosaic.io.sources import FitsSource
        load = FitsSource.load
        def slow(self, *args):
            if "frame_001" in self.image.path:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)
            return load(self, *args)
        FitsSource.load = slow
        sys.exit(main(["mosaic", *sys.argv[1:]]))
    """
    words = [*files, "--output", str(tmp_path / "m.fits"), "--jobs", "2", "--scratch", str(tmp_path), "--method", "nearest"]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "nbmosaic: stopped\n"
    assert list(tmp_path.iterdir()) == []
