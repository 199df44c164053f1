"""Bad input in a cell: one clear message that names the culprit and the line, no traceback, nothing lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from astropy.io import fits
from IPython.utils.capture import capture_output
from support.bad_sources import KillingSource, with_source
from support.shell import new_shell

import nbmosaic
from nbmosaic.errors import FormatError


@pytest.fixture(scope="module")
def shell():
    with new_shell() as shell:
        nbmosaic.load_ipython_extension(shell)
        yield shell
        nbmosaic.unload_ipython_extension(shell)


REST = "header\nproject --method bilinear\noverlaps\nbackground\ncorrect\ncoadd"


@pytest.fixture
def cell(shell, tmp_path, monkeypatch):
    """Run a cell in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    shell.user_ns.pop("m", None)

    def run(*lines):
        source = "%%mosaic m\n" + "\n".join(lines)
        with capture_output() as captured:
            result = shell.run_cell(source).result
        return result, [line for line in captured.stdout.rstrip("\n").split("\n") if line], captured.stderr

    return run


@pytest.fixture
def fails(cell):
    """Run a cell that fails as it should; gives the text."""

    def run(*lines, names=(), line=None):
        result, shown, stderr = cell(*lines)
        assert not result.success
        text = "\n".join(shown)
        assert 1 <= len(shown) <= 4, text
        assert "Traceback" not in text + stderr
        assert shown[0].split(":")[0] == type(result.error_in_exec).__name__
        for name in [names] if isinstance(names, str) else names:
            assert name in text
        if line is not None:
            assert f"line {line}: " in text, text
        return text

    return run


@pytest.fixture
def frames(tmp_path):
    """Write frames ``f0.fits``, ...: 40 x 50 pixels in a row with 15 pixels of overlap; gives their data and headers."""

    def write(n=3, step=35):
        rng = np.random.default_rng(5)
        made = []
        for k in range(n):
            header = fits.Header()
            header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "BUNIT": "MJy/sr", "EXPTIME": 30.0})
            header.update({"CRPIX1": 25.5 - k * step, "CRPIX2": 20.5, "CDELT1": -1 / 3600, "CDELT2": 1 / 3600, "RADESYS": "ICRS"})
            data = rng.normal(100 + 10 * k, 1, (40, 50)).astype(np.float32)
            fits.PrimaryHDU(data, header).writeto(tmp_path / f"f{k}.fits")
            made.append((data, header))
        return made

    return write


def rewrite(path, data, header, **cards):
    header = fits.Header(header, copy=True)
    header.update(cards)
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)


# --- files -----------------------------------------------------------------------------------------------------------------------------


def test_no_file_matches(fails, frames):
    frames()
    fails("images *.fit", REST, names=["no file matches *.fit"], line=2)
    fails("images f9.fits", REST, names=["f9.fits", "did you mean"], line=2)
    fails("images nowhere/*.fits", REST, names="nowhere", line=2)


def test_not_fits(fails, frames, tmp_path):
    frames()
    (tmp_path / "f1.fits").write_text("this is a shopping list")
    fails("images f*.fits", REST, names="f1.fits", line=2)


def test_truncated(fails, frames, tmp_path):
    frames()
    path = tmp_path / "f1.fits"
    path.write_bytes(path.read_bytes()[:6000])
    fails("images f*.fits", REST, names="f1.fits", line=2)


def test_cut_after_it_was_listed(fails, frames, shell, tmp_path):
    frames()
    shell.user_ns["listed"] = nbmosaic.images(tmp_path)
    path = tmp_path / "f1.fits"
    path.write_bytes(path.read_bytes()[:6000])
    fails("header {listed}", "project {listed}", "coadd", names="f1.fits", line=3)


def test_no_celestial_wcs(fails, cell, frames, tmp_path):
    (data, header), *_ = frames()
    for key in ("CTYPE1", "CTYPE2"):
        del header[key]
    rewrite(tmp_path / "f1.fits", data, header)
    fails("images f*.fits", REST, names="f1.fits", line=2)
    result, _, _ = cell("images f*.fits --on-error skip", REST)
    assert result.success
    run = result.result
    assert len(run["images"]) == 2
    assert any("f1.fits" in text for text in run.warnings)
    assert "f1.fits" in repr(run)


def test_frame_outside_the_template(cell, fails, frames, tmp_path):
    frames(4)
    nbmosaic.save(nbmosaic.header(nbmosaic.images([tmp_path / "f0.fits", tmp_path / "f1.fits"])), tmp_path / "two.hdr")
    lines = ["header two.hdr", *REST.split("\n")[1:]]
    result, _, _ = cell("images f*.fits", *lines)
    assert result.success
    run = result.result
    assert [info.name for info in run["project"].infos] == ["f0.fits", "f1.fits", "f2.fits"]
    assert [text for text in run.warnings if "f3.fits" in text and "outside" in text]
    fails("images f3.fits", *lines, names=["none of the 1 frames"], line=4)


def test_frame_without_a_valid_pixel(cell, fails, frames, tmp_path):
    made = frames()
    rewrite(tmp_path / "f1.fits", np.full((40, 50), np.nan, np.float32), made[1][1])
    result, _, _ = cell("images f*.fits", REST)
    assert result.success
    assert [text for text in result.result.warnings if "f1.fits" in text and "no valid pixel" in text]
    assert result.result.mosaic.n_frames == 2
    fails("images f1.fits", REST, names="no frame puts a valid pixel", line=4)


def test_units_and_exposure_times_that_differ(cell, frames, tmp_path):
    made = frames()
    rewrite(tmp_path / "f1.fits", *made[1], BUNIT="Jy")
    result, _, _ = cell("images f*.fits", REST)
    assert result.success
    assert [text for text in result.result.warnings if "different units (Jy, MJy/sr)" in text]
    assert result.result.mosaic.unit == ""
    for k, (data, header) in enumerate(made):
        rewrite(tmp_path / f"f{k}.fits", data, header, BUNIT="adu", EXPTIME=30.0 + 30 * (k == 2))
    result, _, _ = cell("images f*.fits", REST)
    assert [text for text in result.result.warnings if "exposure times differ (30 to 60 s)" in text]


def test_no_overlap_at_all(cell, frames):
    frames(3, step=60)
    result, _, _ = cell("images f*.fits", REST)
    assert result.success
    assert [text for text in result.result.warnings if "no two of the 3 frames share" in text]
    assert np.isfinite(result.result.mosaic.data).sum() > 5000


def test_groups_are_named(cell, frames, tmp_path):
    made = frames(4)
    for k in (2, 3):
        rewrite(tmp_path / f"f{k}.fits", *made[k], CRPIX2=-80.0)
    result, _, _ = cell("images f*.fits", REST)
    assert result.success
    (text,) = [text for text in result.result.warnings if "groups" in text]
    assert "[f0.fits, f1.fits], [f2.fits, f3.fits]" in text


# --- header templates ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (("NAXIS2", None), ["t.hdr", "NAXIS2"]),
        (("CTYPE1", None), ["t.hdr", "CTYPE1"]),
        (("CRPIX1", "CRPIX1  = 'twelve'"), ["t.hdr", "line ", "CRPIX1"]),
        (("CDELT1", "CDELT1  = 0.0.1"), ["t.hdr", "line ", "CDELT1"]),
    ],
)
def test_templates(fails, frames, tmp_path, change, names):
    frames()
    lines = nbmosaic.header(nbmosaic.images(tmp_path / "f0.fits")).text.splitlines()
    key, new = change
    number = next(k for k, line in enumerate(lines) if line.startswith(key))
    lines[number : number + 1] = [] if new is None else [new]
    (tmp_path / "t.hdr").write_text("\n".join(lines) + "\n")
    text = fails("images f*.fits", "header t.hdr", "project", "coadd", names=names, line=3)
    if new is not None:
        assert f"line {number + 1}" in text.split("\n")[0]


def test_no_template(fails, frames):
    frames()
    fails("images f*.fits", "header t.hdr", "project", "coadd", names="t.hdr", line=3)


# --- output ----------------------------------------------------------------------------------------------------------------------------


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("last", ["coadd --output m.fits", "coadd\nsave m.fits", "coadd\nsave m.png", "coadd\nsave {'m.fits'}"])
def test_existing_output(fails, cell, frames, shell, tmp_path, last):
    frames()
    name = "m.png" if "png" in last else "m.fits"
    (tmp_path / name).write_bytes(b"the work of a week")
    before = contents(tmp_path)
    fails("images f*.fits", "header", "project", *last.split("\n"), names=[name, "overwrite"], line=5 + last.count("\n"))
    assert contents(tmp_path) == before
    assert "m" not in shell.user_ns, "it was checked before any work"
    result, _, _ = cell("images f*.fits", "header", "project", *f"{last} --overwrite".split("\n"))
    assert result.success
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    assert [path for path in before if before[path] != after[path]] == [type(tmp_path)(name)]


def test_output_that_cannot_be_written(fails, frames, shell, tmp_path):
    frames()
    before = contents(tmp_path)
    fails("images f*.fits", "header", "project", "coadd --output no/where/m.fits", names=["no/where", "make it first"], line=5)
    fails("images f*.fits", "header", "project", "coadd", "save no/where/m.fits", names=["no/where"], line=6)
    (tmp_path / "a.fits").mkdir()
    fails("images f*.fits", "header", "project", "coadd --output a.fits --overwrite", names=["a.fits", "folder"], line=5)
    assert "m" not in shell.user_ns
    fails("images f*.fits", "header", "project", "coadd", "save m.xyz", names=["m.xyz", ".fits"], line=6)
    fails("images f*.fits", "header", "save h.fits", names=["Grid", "h.fits"], line=4)
    assert contents(tmp_path) == before


def test_output_in_a_folder_that_is_read_only(fails, frames, tmp_path, monkeypatch):
    frames()
    (tmp_path / "closed").mkdir()
    access = os.access
    # root, who runs many containers, may write everywhere: the mode of a folder would not stop the test
    monkeypatch.setattr("os.access", lambda path, mode: "closed" not in str(path) and access(path, mode))
    fails("images f*.fits", "header", "project", "coadd --output closed/m.fits", names=["closed", "not writable"], line=5)


@pytest.mark.parametrize("last", ["coadd --output f1.fits --overwrite", "coadd\nsave ./f1.fits --overwrite"])
def test_output_that_is_one_of_the_frames(fails, frames, tmp_path, last):
    frames()
    before = contents(tmp_path)
    fails("images *.fits", "header", "project", *last.split("\n"), names=["f1.fits", "also one of the frames"], line=5 + last.count("\n"))
    assert contents(tmp_path) == before
    projected = nbmosaic.project(nbmosaic.images(tmp_path), nbmosaic.header(nbmosaic.images(tmp_path)))
    with pytest.raises(FormatError, match="also one of the frames"):
        nbmosaic.coadd(projected, output=str(tmp_path / "f1.fits"), overwrite=True)
    assert contents(tmp_path) == before


class FullDisk:
    """Stream that holds some bytes and then no more."""

    def __init__(self, stream, room):
        self.stream, self.room = stream, room

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.stream.write(data)

    def __getattr__(self, name):
        return getattr(self.stream, name)


@pytest.mark.parametrize("last", ["coadd --output m.fits --overwrite", "coadd\nsave m.fits --overwrite"])
def test_disk_full_while_the_mosaic_is_written(fails, frames, tmp_path, monkeypatch, last):
    from nbmosaic.io import fits_write

    frames()
    (tmp_path / "m.fits").write_bytes(b"the work of a week")
    before = contents(tmp_path)
    begin = fits_write.MosaicWriter.__init__

    def full(writer, *args, **kwargs):
        begin(writer, *args, **kwargs)
        writer._stream = FullDisk(writer._stream, 9000)

    monkeypatch.setattr(fits_write.MosaicWriter, "__init__", full)
    fails(
        "images f*.fits", "header", "project", *last.split("\n"), names=["m.fits", "no space left on the disk"], line=5 + last.count("\n")
    )
    assert contents(tmp_path) == before


def test_disk_full_for_scratch_files(fails, frames, shell, tmp_path, monkeypatch):
    frames(3)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = contents(tmp_path)
    monkeypatch.setattr("nbmosaic.pipeline.projecting.KEPT_FRACTION", 0.01)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("nbmosaic.pipeline.store.os.write", full)
    fails("images f*.fits", "header", "project --max-memory 1MB --scratch scratch", "coadd", names=["the disk is full", "scratch"], line=4)
    assert contents(tmp_path) == before
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are of POSIX")
def test_a_limit_of_the_file_size(frames, tmp_path):
    """The whole command under RLIMIT_FSIZE, as in a job with a quota."""
    frames()
    target = tmp_path / "m.fits"
    target.write_bytes(b"the work of a week")
    before = contents(tmp_path)
    script = """
        import resource, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from nbmosaic.cli import main
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        sys.exit(main(["mosaic", *sys.argv[1:]]))
    """
    files = [str(tmp_path / f"f{k}.fits") for k in range(3)]
    words = [*files, "--output", str(target), "--overwrite", "--method", "bilinear", "--jobs", "1"]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "m.fits" in done.stderr
    assert "file size limit" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == before


# --- what is typed ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "names", "line"),
    [
        (["images f*.fits", "projct"], ["projct", "did you mean project?"], 3),
        (["images f*.fits --hdus 1"], ["--hdus", "did you mean --hdu?"], 2),
        (["images f*.fits", "header --system galctic"], ["galctic", "did you mean galactic?"], 3),
        (["images {fils}"], ["fils", "not defined"], 2),
        (["images f*.fits", "header --scale one"], ["--scale", "'one'", "a number"], 3),
        (["images f*.fits", "header --scale"], ["--scale needs a value"], 3),
        (["images f*.fits", "header", "project", "coadd", "cutout 10"], ["cutout needs DEC"], 6),
        (["images f*.fits", "project"], ["project needs", "header"], 3),
        (["coadd"], ["coadd needs"], 2),
        (["images f*.fits", "header --scale -1"], ["scale"], 3),
        (["images f*.fits", "header", "project --max-memory lots"], ["max_memory", "lots", "500MB"], 4),
        (["images f*.fits", "header", "project", "overlaps --sigma 0.5"], ["sigma", "0.5"], 5),
        (["images f*.fits", "header", "project", "overlaps", "background --reference 9"], ["reference", "9", "0 to 2"], 6),
        (["images f*.fits", "header", "project", "overlaps", "background --exclude 0-2"], ["0", "2", "do not overlap"], 6),
        (["images f*.fits", "header", "project", "overlaps", "background --exclude 02"], ["exclude", "02", "0-3"], 6),
        (["images f*.fits", "header", "project", "coadd --combine median --weight area"], ["median", "no weights"], 5),
        (["images f*.fits", "header", "project", "coadd --weight variance"], ["variance"], 5),
        (["images f*.fits", "header", "project", "coadd --combine clipped --kappa 0"], ["kappa"], 5),
        (["images f*.fits", "header", "project", "coadd", "shrink 1"], ["factor", "1"], 6),
        (["images f*.fits", "header", "project", "coadd", "cutout 200 -80 10"], ["200", "-80"], 6),
        (["images f*.fits", "header", "project", "coadd", "cutout 10 20 0"], ["larger than 0"], 6),
        (["images f*.fits --mask dq.fits"], ["dq.fits"], 2),
        (["images f*.fits --flux-scale MAGZP:25"], ["MAGZP", "f0.fits"], 2),
        (["images f*.fits", "header --projection XYZ"], ["XYZ"], 3),
        (["images f*.fits", "header", "show --kind piechart"], ["piechart"], 4),
        (["read fits.csv", "background"], ["fits.csv"], 2),
    ],
    ids=lambda value: value[-1].split("#")[0] if isinstance(value, list) else None,
)
def test_mistakes_in_lines(fails, frames, lines, names, line):
    frames()
    fails(*lines, names=names, line=line)


def test_a_table_that_is_no_fits_table(fails, frames, tmp_path):
    frames()
    (tmp_path / "t.csv").write_text("plus,minus,a\n0,1,2\n")
    fails("read t.csv", "background", names=["no column", "npixel"], line=3)
    (tmp_path / "t.tbl").write_text("| plus | minus |\n  0      x\n")
    fails("read t.tbl", "background", line=3)


def test_a_killed_worker(shell, fails, frames, tmp_path):
    import concurrent.futures
    import multiprocessing

    frames()
    listed = nbmosaic.images(tmp_path)
    shell.user_ns["listed"] = with_source(listed, 1, KillingSource(os.getpid()))
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
        shell.user_ns["pool"] = pool
        text = fails("header {listed}", "project {listed} --executor {pool}", "coadd", names=["worker process died", "f1.fits"], line=3)
    assert "f0.fits" not in text


def test_products_of_the_same_cell_by_name(cell, frames, shell):
    frames()
    result, shown, _ = cell(
        "images f*.fits as mine",
        "header {mine}",
        "project {mine}",
        "overlaps as pairs",
        "background {pairs.table[pairs.table.npixel > 10]}",
        "correct",
        "coadd",
    )
    assert result.success, shown
    scope = {"pairs": shell.user_ns["pairs"]}
    exec(shell.user_ns["m"].to_python(), scope)
    mosaics = [value for value in scope.values() if isinstance(value, nbmosaic.pipeline.products.Mosaic)]
    np.testing.assert_array_equal(mosaics[0].data, shell.user_ns["m"].mosaic.data)
