"""mDiff, mFitplane and their batches: golden tables, the real Montage, and bad calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.montage import MontageRun, read_ipac
from support.shared import shared_path

from nbmosaic.compat.montage import mDiff, mDiffExec, mDiffFitExec, mFitExec, mFitplane

KEYS = ("status a b c crpix1 crpix2 xmin xmax ymin ymax xcenter ycenter npixel rms boxx boxy boxwidth boxheight boxang").split()  # noqa: SIM905 - as Montage answers
BOX = ["boxwidth", "boxheight", "boxang"]


def equal_in_print(ours: Path, theirs: Path) -> None:
    """Byte for byte, but for our comments: which of several equal rectangles is named included."""
    lines = [[line.rstrip() for line in path.read_text().splitlines()[1:] if line[:1] not in "\\|"] for path in (ours, theirs)]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(("name", "options"), [("fits", {}), ("fits_level", {"levelOnly": True}), ("fits_noareas", {"noAreas": True})])
def test_golden_tables(golden_projected: Path, tmp_path: Path, name: str, options: dict) -> None:
    golden = shared_path("golden/montage")
    tables = golden / "tables/montagepy_2.3.0"
    out = tmp_path / "fits.tbl"
    answer = mDiffFitExec(golden_projected, tables / "diffs_full.tbl", golden / "mosaic.hdr", tmp_path / "unused", out, **options)
    assert answer == {"status": "0", "count": 29, "diff_failed": 0, "fit_failed": 0, "warning": 0}
    ours, theirs = read_ipac(out), read_ipac(tables / f"{name}_full.tbl")
    assert (ours[["plus", "minus"]] == theirs[["plus", "minus"]]).all(axis=None)
    # the table was made from double precision: bounds of the golden set's own check with its float32 copies
    a, c = (ours.a - theirs.a).abs(), (ours.c - theirs.c).abs()
    assert a.median() < 2e-6
    assert c.median() < 1e-3
    assert a.max() < 1e-3
    assert c.max() < 0.02
    assert (ours.npixel - theirs.npixel).abs().max() <= 15
    assert np.allclose(ours[["crpix1", "crpix2", "boxx", "boxy", *BOX]], theirs[["crpix1", "crpix2", "boxx", "boxy", *BOX]], atol=0.11)


@pytest.mark.peer
class TestLive:
    def test_table_is_montages(self, montage_chain: MontageRun, tmp_path: Path) -> None:
        run = montage_chain.folder
        mDiffFitExec(run / "projected", run / "diffs.tbl", run / "template.hdr", tmp_path, tmp_path / "fits.tbl")
        equal_in_print(tmp_path / "fits.tbl", run / "fits.tbl")

    def test_file_by_file_gives_the_same(self, montage_chain: MontageRun, tmp_path: Path) -> None:
        run = montage_chain.folder
        done = mDiffExec(run / "projected", run / "diffs.tbl", run / "template.hdr", tmp_path)
        fitted = mFitExec(run / "diffs.tbl", tmp_path / "fits.tbl", tmp_path)
        failed = len(read_ipac(run / "diffs.tbl")) - len(montage_chain.fits)
        assert done["failed"] == failed
        assert fitted["missing"] == failed
        assert fitted["failed"] == 0
        equal_in_print(tmp_path / "fits.tbl", run / "fits.tbl")

    def test_kept_differences(self, montage_chain: MontageRun, tmp_path: Path) -> None:
        run = montage_chain.folder
        mDiffFitExec(run / "projected", run / "diffs.tbl", run / "template.hdr", tmp_path, tmp_path / "fits.tbl", keepAll=True)
        row = montage_chain.fits.iloc[0]
        file = tmp_path / f"diff.{row.plus:06d}.{row.minus:06d}.fits"
        assert fits.getheader(file)["BITPIX"] == -64
        assert file.with_name(file.stem + "_area.fits").exists()
        answer = mFitplane(file)
        assert answer["a"] == pytest.approx(row.a, rel=1e-5)
        assert answer["npixel"] == row.npixel
        assert list(answer) == KEYS


def write_frame(path: Path, data: np.ndarray, crpix: tuple[float, float] = (5.0, 5.0), *, area: bool = True) -> Path:
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=5.0, CDELT1=-0.001, CDELT2=0.001)
    header["CRPIX1"], header["CRPIX2"] = crpix
    fits.PrimaryHDU(data, header).writeto(path)
    if area:
        fits.PrimaryHDU(np.where(np.isfinite(data), 1.0, 0.0), header).writeto(path.with_name(path.stem + "_area.fits"))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Two frames that overlap, a template, and a diffs table with a third frame that is not there."""
    rng = np.random.default_rng(3)
    write_frame(tmp_path / "a.fits", rng.normal(10, 1, (40, 40)))
    write_frame(tmp_path / "b.fits", rng.normal(4, 1, (40, 40)), (-15.0, 5.0))
    (tmp_path / "t.hdr").write_text(
        "NAXIS1 = 80\nNAXIS2 = 60\nCTYPE1 = 'RA---TAN'\nCTYPE2 = 'DEC--TAN'\nCRVAL1 = 10.0\nCRVAL2 = 5.0\n"
        "CRPIX1 = 5.0\nCRPIX2 = 5.0\nCDELT1 = -0.001\nCDELT2 = 0.001\n"
    )
    (tmp_path / "d.tbl").write_text(
        "| cntr1 | cntr2 |   plus  |  minus  |   diff     |\n| int   | int   |   char  |   char  |   char     |\n"
        "       0       1    a.fits    b.fits    ab.fits   \n       0       2    a.fits    c.fits    ac.fits   \n"
    )
    return tmp_path


def test_difference_of_two_frames(pair: Path) -> None:
    answer = mDiff(pair / "a.fits", pair / "b.fits", pair / "o.fits", pair / "t.hdr", factor=2.0)
    assert answer["status"] == "0"
    assert set(answer) == {"status", "time", "min_pixel", "max_pixel", "min_diff", "max_diff"}
    a, b = (fits.getdata(pair / name) for name in ("a.fits", "b.fits"))
    got, header = fits.getdata(pair / "o.fits"), fits.getheader(pair / "o.fits")
    assert np.allclose(got, a[:, 20:] - 2 * b[:, :20])
    assert (header["CRPIX1"], header["CRPIX2"]) == (-15.0, 5.0)
    assert answer["min_diff"] == pytest.approx(np.abs(got).min())
    assert answer["max_diff"] == pytest.approx(np.abs(got).max())


def test_failed_members_are_named(pair: Path) -> None:
    answer = mDiffFitExec(pair, pair / "d.tbl", pair / "t.hdr", pair, pair / "f.tbl")
    assert (answer["status"], answer["count"], answer["diff_failed"], answer["fit_failed"]) == ("1", 2, 1, 0)
    assert answer["msg"].startswith(b"1 of 2 failed: a.fits - c.fits: Image file ")
    text = (pair / "f.tbl").read_text()
    assert text.startswith("\\ failed: a.fits - c.fits: Image file ")
    assert len(read_ipac(pair / "f.tbl")) == 1
    (pair / "out").mkdir()
    answer = mDiffExec(pair, pair / "d.tbl", pair / "t.hdr", pair / "out")
    assert (answer["status"], answer["count"], answer["failed"]) == ("1", 2, 1)
    assert b"a.fits - c.fits" in answer["msg"]
    assert (pair / "out/ab.fits").exists()
    (pair / "out/ac.fits").write_bytes(b"no FITS")
    answer = mFitExec(pair / "d.tbl", pair / "f.tbl", pair / "out")
    assert (answer["status"], answer["failed"], answer["missing"]) == ("1", 1, 0)
    assert (pair / "f.tbl").read_text().startswith("\\ failed: ac.fits: ")


def test_pairs_without_usable_overlap_are_no_fault(pair: Path) -> None:
    write_frame(pair / "c.fits", np.full((40, 40), np.nan))
    answer = mDiffFitExec(pair, pair / "d.tbl", pair / "t.hdr", pair, pair / "f.tbl")
    assert (answer["status"], answer["count"], answer["diff_failed"]) == ("0", 2, 1)
    assert answer["msg"] == b"1 of 2 have no usable overlap: a.fits - c.fits: All pixels are blank."
    assert (pair / "f.tbl").read_text().startswith("\\ no usable overlap: a.fits - c.fits: All pixels are blank.\n")
    (pair / "out").mkdir()
    assert mDiffExec(pair, pair / "d.tbl", pair / "t.hdr", pair / "out")["status"] == "0"
    answer = mFitExec(pair / "d.tbl", pair / "f.tbl", pair / "out")
    assert (answer["status"], answer["failed"], answer["missing"]) == ("0", 0, 1)
    assert b"ac.fits: no such file" in answer["msg"]
    for name in ("a", "b"):
        (pair / f"{name}.fits").unlink()
        write_frame(pair / f"{name}.fits", np.full((40, 40), np.nan), area=False)
    answer = mDiffFitExec(pair, pair / "d.tbl", pair / "t.hdr", pair, pair / "f.tbl")
    assert (answer["status"], answer["diff_failed"]) == ("1", 2)  # nothing was fitted


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda d: mDiff(d / "nope.fits", d / "a.fits", d / "o.fits", d / "t.hdr"), "nope.fits"),
        (lambda d: mDiff(d / "a.fits", d / "a.fits", d / "o.fits", d / "nope.hdr"), "nope.hdr"),
        (lambda d: mDiff(d / "t.hdr", d / "a.fits", d / "o.fits", d / "t.hdr"), "t.hdr"),
        (lambda d: mDiff(d / "a.fits", d / "b.fits", d / "no/o.fits", d / "t.hdr"), "no"),
        (lambda d: mDiffFitExec(d, d / "nope.tbl", d / "t.hdr", d, d / "o.tbl"), "nope.tbl"),
        (lambda d: mDiffFitExec(d, d / "t.hdr", d / "t.hdr", d, d / "o.tbl"), "t.hdr"),
        (lambda d: mDiffFitExec(d, d / "d.tbl", d / "nope.hdr", d, d / "o.tbl"), "nope.hdr"),
        (lambda d: mDiffFitExec(d, d / "d.tbl", d / "t.hdr", d, d / "no/o.tbl"), "no/o.tbl"),
        (lambda d: mDiffFitExec(d, d / "d.tbl", d / "t.hdr", d / "no", d / "o.tbl", keepAll=True), "no"),
        (lambda d: mDiffExec(d, d / "d.tbl", d / "t.hdr", d / "no"), "no"),
        (lambda d: mFitExec(d / "d.tbl", d / "o.tbl", d / "no"), "no"),
        (lambda d: mFitplane(d / "nope.fits"), "nope.fits"),
        (lambda d: mFitplane(d / "t.hdr"), "t.hdr"),
        (lambda d: mFitplane(d / ("x" * 3000)), "xxx"),
        (lambda d: mFitplane(d / "a.fits", border=200), "Singular"),
        (lambda d: mFitplane(d / "a.fits", border=-3), "border"),
        (lambda d: mFitplane(None), "input_file"),
    ],
)
def test_bad_calls(pair: Path, call, names: str) -> None:
    answer = call(pair)
    assert answer["status"] == "1"
    assert names in answer["msg"].decode()


def test_images_that_cannot_be_fitted(tmp_path: Path) -> None:
    blank = write_frame(tmp_path / "nan.fits", np.full((9, 9), np.nan))
    assert mFitplane(blank)["status"] == mFitplane(blank, levelOnly=True)["status"] == "1"
    line = write_frame(tmp_path / "line.fits", np.arange(3.0)[None])
    assert b"Too few" in mFitplane(line)["msg"]
    assert mFitplane(line, levelOnly=True)["c"] == pytest.approx(1.0)
    cut = tmp_path / "cut.fits"
    cut.write_bytes((write_frame(tmp_path / "whole.fits", np.ones((99, 99)))).read_bytes()[:9000])
    assert b"truncated" in mFitplane(cut)["msg"]
    fits.PrimaryHDU(np.ones((9, 9))).writeto(tmp_path / "nowcs.fits")
    assert b"CRPIX1" in mFitplane(tmp_path / "nowcs.fits")["msg"]


def test_extension_of_a_file(tmp_path: Path) -> None:
    frame = write_frame(tmp_path / "a.fits", np.ones((9, 9)), area=False)
    with fits.open(frame) as hdus:
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(hdus[0].data * 3, hdus[0].header)]).writeto(tmp_path / "mef.fits")
    assert mFitplane(tmp_path / "mef.fits")["c"] == pytest.approx(3.0)


def test_packed_and_integer_images(tmp_path: Path) -> None:
    values = np.arange(81.0).reshape(9, 9)
    for name, data in (("i.fits", values.astype("i2")), ("f.fits.gz", values.astype("f4"))):
        fit = mFitplane(write_frame(tmp_path / name, data, area=False))
        assert (fit["a"], fit["b"]) == (pytest.approx(1.0), pytest.approx(9.0))
