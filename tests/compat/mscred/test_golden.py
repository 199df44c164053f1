"""The face against what the real mscimage made (IRAF 2.17, mscred 5.05; the older task as mscoimage)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.mscimage_golden import Case, compare, golden_cases
from support.shared import shared_path

from nbmosaic.compat.mscred import mscimage

ROOT = Path(os.environ.get("NBMOSAIC_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "golden/mscimage"
CASES = golden_cases(ROOT) if ROOT.exists() else {}
IMAGES = [name for name, case in CASES.items() if case.store in {"full", "crop"}]
QUICK = {
    *(
        "a_linear",
        "a_nearest",
        "a_poly3",
        "a_poly5",
        "a_spline3",
        "a_sinc",
        "a_lsinc",
        "a_drizzle_p5",
        "a_nomask",
        "a_flux",
        "a_match",
        "a_parrot",
    ),
    *(
        "a_trim0",
        "a_ordmix",
        "a_rscale",
        "a_mlsinc",
        "b_ref",
        "c_linear",
        "n_nobpm",
        "t_tpv",
        "e_linear",
        "s_linear",
        "o_linear",
        "o_bwrap",
    ),
}
"""One of each kind; the others are slow tests."""
MEDIAN, HIGH, MASK, CORNER = 1e-3, 0.5, 5, 1e-3


@pytest.fixture(scope="module")
def folder() -> Path:
    return shared_path("golden/mscimage")


def make(case: Case, folder: Path, tmp_path: Path, **changes: object) -> Path:
    options = {**case.options, **changes}
    if "reference" in options:
        options["reference"] = str(folder / options["reference"])
    assert mscimage(str(folder / case.source), str(tmp_path / case.name), **options) == [str(tmp_path / f"{case.name}.fits")]
    return tmp_path / f"{case.name}.fits"


def masks_differ(case: Case, folder: Path, tmp_path: Path) -> int:
    want = fits.getdata(folder / f"{case.name}_bpm.fits.gz").astype(int)
    got = fits.getdata(tmp_path / f"{case.name}_bpm.fits").astype(int)
    assert got.shape == want.shape
    if (
        case.options.get("version") == "old"
    ):  # values up to 10000, cut to whole numbers from float32 on both sides: the last unit is a matter of rounding
        assert np.count_nonzero((got > 0) != (want > 0)) <= MASK
        return int(np.count_nonzero(np.abs(got - want) > 1))
    return int(np.count_nonzero(got != want))


def test_there_are_cases(folder: Path) -> None:
    assert folder.is_dir()
    assert len(CASES) > 65


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in IMAGES if name != "a_trim0_const"]
)
def test_image_and_mask(name: str, folder: Path, tmp_path: Path) -> None:
    case = CASES[name]
    made = make(case, folder, tmp_path)
    off, part, want = compare(folder / f"{name}.fits.gz", made, truncated=case.integer)
    assert off.median <= MEDIAN
    assert off.high <= HIGH
    assert off.corner_pix <= CORNER
    if case.integer:  # IRAF truncates the pieces: half a count is lost; ours are not
        bias = np.mean((part - want)[want != 0])
        assert 0.45 < bias < 0.55
    if (folder / f"{name}_bpm.fits.gz").exists():
        limit = 20 if name == "o_lsinc" else MASK  # weights at a twentieth of a pixel: rounding decides, 14 of 150 080 pixels differ
        assert masks_differ(case, folder, tmp_path) <= limit


def test_blank_is_honoured(folder: Path, tmp_path: Path) -> None:
    case = CASES["a_trim0_const"]
    made = make(case, folder, tmp_path)
    _, part, want = compare(folder / "a_trim0_const.fits.gz", made, truncated=False)
    gap = part == -7.0
    assert gap.sum() > 1000
    assert (want[gap] == 0.0).all()  # IRAF ignores the parameter
    assert np.abs(part - want)[~gap].max() < HIGH


@pytest.mark.parametrize("boundary", ["nearest", "reflect", "wrap", "constant"])
def test_boundary_is_honoured(boundary: str, folder: Path, tmp_path: Path) -> None:
    case = CASES[f"a_b{boundary}"]
    off, part, want = compare(folder / "a_trim0.fits.gz", make(case, folder, tmp_path), truncated=False)  # IRAF always takes the constant
    assert off.median <= MEDIAN
    changed = np.abs(part - want) > 20.0
    if boundary == "constant":
        assert not changed.any()
        return
    assert 100 < changed.sum() < 0.02 * part.size  # pixels along the edges, into which IRAF blends zeros
    assert np.median(part[changed]) > 450.0
    assert np.median(want[changed]) < 430.0


def test_extensions(folder: Path, tmp_path: Path) -> None:
    made = make(CASES["a_mef"], folder, tmp_path)
    with fits.open(made) as ours, fits.open(folder / "a_mef.fits.gz") as theirs:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in theirs]
        for one, two in zip(ours[1:], theirs[1:], strict=True):
            off = np.abs(one.data.astype(float) - two.data)
            assert np.median(off) <= MEDIAN
            assert np.percentile(off, 99.9) <= HIGH
            for key in ("DETSEC", "DTV1", "DTV2", "DTM1_1", "GAIN", "RDNOISE", "IMAGEID"):
                assert one.header[key] == two.header[key], key
            for key in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD2_2"):
                assert one.header[key] == pytest.approx(two.header[key], rel=1e-9)
            name = f"a_mef_bpm{one.name}.fits"
            assert one.header["BPM"] == name
            assert (fits.getdata(tmp_path / name) != fits.getdata(folder / f"{name}.gz")).sum() <= MASK


def test_list_loses_no_piece(folder: Path, tmp_path: Path) -> None:
    names = ["l_a", "l_b", "l_c"]
    mscimage([folder / source for source in ("obja", "objb", "objc")], [tmp_path / name for name in names], pixmask=False)
    off, _, _ = compare(folder / "l_b.fits.gz", tmp_path / "l_b.fits", truncated=False)
    assert off.median <= MEDIAN
    assert off.high <= HIGH
    want = fits.getheader(folder / "l_a.fits.gz") if (folder / "l_a.fits.gz").exists() else {"FULLNX": 266, "FULLNY": 521}
    assert fits.getdata(tmp_path / "l_a.fits").shape == (want["FULLNY"], want["FULLNX"])
    # IRAF's l_c has 2 of 4 pieces and is 121 pixels wide: a stale header in its cache
    assert fits.getheader(tmp_path / "l_c.fits")["NCOMBINE"] == 4
    assert fits.getdata(tmp_path / "l_c.fits").shape == (521, 266)
    crvals = {tuple(fits.getheader(tmp_path / f"{name}.fits")[f"CRVAL{i}"] for i in (1, 2)) for name in names}
    assert len(crvals) == 1


def test_header_of_tpv_input_is_plain(folder: Path, tmp_path: Path) -> None:
    header = fits.getheader(make(CASES["t_tpv"], folder, tmp_path))
    assert header["CTYPE1"] == "RA---TAN"
    assert not [key for key in header if key.startswith("PV")]
    theirs = fits.getheader(folder / "t_tpv.fits.gz")
    assert theirs["CTYPE1"] == "RA---TPV"
    assert theirs["PV1_7"] == 0.2


def test_header(folder: Path, tmp_path: Path) -> None:
    header = fits.getheader(make(CASES["a_linear"], folder, tmp_path))
    theirs = fits.getheader(folder / "a_linear.fits.gz")
    for key in ("OBJECT", "GAIN", "RDNOISE", "NCOMBINE", "LTM1_1", "LTM2_2"):
        assert header[key] == theirs[key], key
    assert header["BPM"] == "a_linear_bpm.fits"  # IRAF: a_linear_bpm, which names no file
    assert header["EXPTIME"] == 100.0  # IRAF loses the primary header
    assert (header["RADESYS"], header["EQUINOX"]) == ("FK5", 2000.0)  # and the system
    assert not {"DETSEC", "CCDSEC", "IMAGEID", "NEXTEND", "WAT1_001"} & set(header)
