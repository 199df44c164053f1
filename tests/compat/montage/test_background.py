"""mBgModel digit for digit, and the subtraction of its corrections."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.montage import MontageRun
from support.shared import shared_path

from nbmosaic.compat.montage import mBackground, mBgExec, mBgModel

FIT_COLUMNS = ("plus minus a b c crpix1 crpix2 xmin xmax ymin ymax xcenter ycenter npixel rms boxx boxy boxwidth boxheight boxang").split()  # noqa: SIM905 - as Montage prints them

GOLDEN = [
    ("corr", "fits", {}),
    ("corr_level", "fits", {"noslope": True}),
    ("corr_levelfits", "fits_level", {"noslope": True}),
    ("corr_all", "fits", {"useall": True}),
    ("corr_i100", "fits", {"niteration": 100}),
    ("corr_i200000", "fits", {"niteration": 200000}),
    ("corr_noareas", "fits_noareas", {}),
]


@pytest.mark.parametrize("kind", ["full", "pp"])
@pytest.mark.parametrize(("name", "planes", "options"), GOLDEN)
def test_golden_corrections_to_the_byte(tmp_path: Path, name: str, planes: str, options: dict, kind: str) -> None:
    tables = shared_path("golden/montage/tables/montagepy_2.3.0")
    out = tmp_path / "c.tbl"
    answer = mBgModel(tables / f"pimages_{kind}.tbl", tables / f"{planes}_{kind}.tbl", out, **options)
    assert answer == {"status": "0"}
    assert out.read_text() == (tables / f"{name}_{kind}.tbl").read_text()


@pytest.mark.peer
def test_other_iteration_counts_live(montage_chain: MontageRun, tmp_path: Path) -> None:
    run = montage_chain.folder
    counts = [1, 2, 37, 5001]
    code = (
        "import sys, json\nfrom MontagePy.main import mBgModel\n"
        "for n in json.loads(sys.argv[1]): mBgModel('projected.tbl', 'fits.tbl', f'{sys.argv[2]}/{n}.tbl', niteration=n)"
    )
    subprocess.run([sys.executable, "-c", code, json.dumps(counts), str(tmp_path)], cwd=run, check=True, timeout=120)
    for n in counts:
        assert mBgModel(run / "projected.tbl", run / "fits.tbl", tmp_path / "ours.tbl", niteration=n)["status"] == "0"
        assert (tmp_path / "ours.tbl").read_text() == (tmp_path / f"{n}.tbl").read_text(), n


@pytest.mark.peer
def test_corrected_frames_are_montages(montage_chain: MontageRun, tmp_path: Path) -> None:
    run = montage_chain.folder
    answer = mBgExec(run / "projected", run / "projected.tbl", run / "corrections.tbl", tmp_path)
    assert answer == {"status": "0", "count": 12, "nocorrection": 0, "failed": 0}
    files = sorted((run / "corrected").glob("*.fits"))
    assert len(files) == 24
    for file in files:
        np.testing.assert_allclose(fits.getdata(tmp_path / file.name), fits.getdata(file), rtol=0, atol=1e-9)
        ours, theirs = fits.getheader(tmp_path / file.name), fits.getheader(file)
        assert all(ours[key] == theirs[key] for key in theirs if key != "COMMENT")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    (tmp_path / "i.tbl").write_text(
        "| cntr | fname  | naxis1 | naxis2 | crpix1 | crpix2 |\n| int  | char   | int    | int    | double | double |\n"
        + "".join(f"   {i}    f{i}.fits   100      100      1.0      1.0   \n" for i in range(5))
    )
    head = FIT_COLUMNS
    rows = [
        (0, 1, 0, 0, 8.0, 1, 1, 0, 9, 0, 9, 5, 5, 100, 1.0, 5, 5, 10, 10, 0),
        (2, 3, 0, 0, 2.0, 1, 1, 0, 9, 0, 9, 5, 5, 100, 1.0, 5, 5, 10, 10, 0),
    ]
    (tmp_path / "f.tbl").write_text(
        "|" + "|".join(f"{h:>10}" for h in head) + "|\n" + "".join(" " + " ".join(f"{v:>10}" for v in row) + "\n" for row in rows)
    )
    return tmp_path


def test_groups_and_lonely_images_are_mentioned(tables: Path) -> None:
    answer = mBgModel(tables / "i.tbl", tables / "f.tbl", tables / "c.tbl")
    assert answer["status"] == "0"
    assert b"2 groups" in answer["msg"]
    assert b"1 of 5 images" in answer["msg"]
    assert [line.split()[3] for line in (tables / "c.tbl").read_text().splitlines()[1:]] == [
        "4.00000e+00", "-4.00000e+00", "1.00000e+00", "-1.00000e+00"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda d: mBgModel(d / "nope.tbl", d / "f.tbl", d / "o.tbl"), "Invalid image metadata file: "),
        (lambda d: mBgModel(d / "f.tbl", d / "f.tbl", d / "o.tbl"), "Need columns: cntr, fname"),
        (lambda d: mBgModel(d / "i.tbl", d / "nope.tbl", d / "o.tbl"), "Invalid background fit parameters file: "),
        (lambda d: mBgModel(d / "i.tbl", d / "i.tbl", d / "o.tbl"), "Need columns: plus minus a b c"),
        (lambda d: mBgModel(d / "i.tbl", d / "f.tbl", d / "no/o.tbl"), "no/o.tbl"),
        (lambda d: mBgModel(d / "i.tbl", d / "f.tbl", d / "o.tbl", niteration=-5), "niteration is -5"),
        (lambda d: mBgModel(d / "i.tbl", d / "f.tbl", d / "o.tbl", gap_dir="gaps"), "gap_dir"),
        (lambda d: mBackground(d / "nope.fits", d / "o.fits", 0, 0, 1), "nope.fits"),
        (lambda d: mBackground(d / "i.tbl", d / "o.fits", 0, 0, 1, noAreas=True), "i.tbl"),
        (lambda d: mBgExec(d, d / "nope.tbl", d / "c.tbl", d), "Invalid image metadata file: "),
        (lambda d: mBgExec(d, d / "i.tbl", d / "nope.tbl", d), "Invalid corrections file: "),
        (lambda d: mBgExec(d, d / "i.tbl", d / "c.tbl", d / "no"), "Cannot access "),
    ],
)
def test_bad_calls(tables: Path, call, names: str) -> None:
    (tables / "c.tbl").write_text("|  id  |  a   |  b   |  c   |\n     0   0.0    0.0    1.0\n")
    answer = call(tables)
    assert answer["status"] == "1"
    assert names in answer["msg"].decode()


def test_batch_without_files(tables: Path) -> None:
    (tables / "c.tbl").write_text("|  id  |  a   |  b   |  c   |\n     0   0.0    0.0    1.0\n")
    answer = mBgExec(tables, tables / "i.tbl", tables / "c.tbl", tables)
    assert (answer["status"], answer["count"], answer["nocorrection"], answer["failed"]) == ("1", 5, 4, 5)
    assert b"f0.fits" in answer["msg"]


def test_one_missing_image_is_said_and_the_others_are_done(tables: Path) -> None:
    (tables / "c.tbl").write_text("|  id  |  a   |  b   |  c   |\n     0   0.0    0.0    1.0\n")
    (tables / "out").mkdir()
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=1.0, CRVAL2=2.0, CRPIX1=1.0, CRPIX2=1.0, CDELT1=-0.1, CDELT2=0.1)
    for k in (0, 1, 2, 4):
        fits.PrimaryHDU(np.full((5, 6), 7.0), header).writeto(tables / f"f{k}.fits")
    answer = mBgExec(tables, tables / "i.tbl", tables / "c.tbl", tables / "out", noAreas=True)
    assert (answer["status"], answer["count"], answer["nocorrection"], answer["failed"]) == ("1", 5, 4, 1)
    assert answer["msg"].startswith(b"1 of 5 failed: f3.fits: Image file ")
    assert sorted(path.name for path in (tables / "out").iterdir()) == ["f0.fits", "f1.fits", "f2.fits", "f4.fits"]
    assert (fits.getdata(tables / "out/f0.fits") == 6.0).all()


def test_plane_is_about_crpix(tmp_path: Path) -> None:
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=1.0, CRVAL2=2.0, CRPIX1=3.0, CRPIX2=-2.0, CDELT1=-0.1, CDELT2=0.1)
    data = np.ones((4, 5))
    data[1, 2] = np.nan
    fits.PrimaryHDU(data, header).writeto(tmp_path / "a.fits")
    assert b"a_area.fits" in mBackground(tmp_path / "a.fits", tmp_path / "b.fits", 0, 0, 1)["msg"]
    assert mBackground(tmp_path / "a.fits", tmp_path / "b.fits", 0.5, 2.0, -1.0, noAreas=True)["status"] == "0"
    y, x = np.mgrid[:4, :5]
    np.testing.assert_allclose(fits.getdata(tmp_path / "b.fits"), data - (0.5 * (x - 3) + 2 * (y + 2) - 1))
