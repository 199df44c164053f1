"""Every call that MontagePy was seen to answer with an error, a crash, or a wrong "all well": ours answer with an error that names it, or work.

MontagePy's own answers were recorded one process a call (2.3.0). Where it answers with an error, its words are kept unless the text below is better;
``OK`` marks the calls that have to work.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import nbmosaic.compat.montage as face

OK = ""
RAW = "raw/raw_000.fits"
LONG = "x" * 3000
CARDS = (
    "SIMPLE = T\nBITPIX = -64\nNAXIS = 2\nNAXIS1 = 60\nNAXIS2 = 50\nCTYPE1 = 'RA---TAN'\nCTYPE2 = 'DEC--TAN'\nEQUINOX = 2000\n"
    "CRVAL1 = 275.2\nCRVAL2 = -16.2\nCRPIX1 = 30.5\nCRPIX2 = 25.5\nCDELT1 = -0.0005\nCDELT2 = 0.0005\nEND\n"
)


def frame(path: Path, crpix: tuple[float, float], level: float, projection: str = "TAN", crval: float = -16.2) -> None:
    """A small frame with a gradient."""
    header = fits.Header()
    header.update(CTYPE1=f"RA---{projection}", CTYPE2=f"DEC--{projection}", CRVAL1=275.2, CRVAL2=crval, EQUINOX=2000.0)
    header.update(CRPIX1=crpix[0], CRPIX2=crpix[1], CDELT1=-0.0005, CDELT2=0.0005)
    y, x = np.mgrid[:30, :32]
    fits.PrimaryHDU((level + 0.1 * x + 0.2 * y + np.sin(x * y)).astype("f4"), header).writeto(path)


def templates(home: Path) -> None:
    """The templates of the calls, by name."""
    lines = CARDS.splitlines()
    texts = {
        "mosaic": CARDS,
        "bad": "this is no header\n",
        "nowcs": "\n".join(line for line in lines if not line.startswith("CTYPE")),
        "far": CARDS.replace("275.2", "75.2"),
        "lower": CARDS.lower().replace("ra---tan", "RA---TAN").replace("dec--tan", "DEC--TAN"),
        "noend": CARDS.removesuffix("END\n"),
        "crlf": CARDS.replace("\n", "\r\n"),
        "cr": CARDS.replace("\n", "\r"),
        "oneline": "".join(f"{line:<80}" for line in lines),
        "pad80": "\n".join(f"{line:<80}" for line in lines) + "\n",
        "noeq": CARDS.replace("EQUINOX = 2000\n", ""),
        "huge": CARDS.replace("NAXIS1 = 60", "NAXIS1 = 60000").replace("NAXIS2 = 50", "NAXIS2 = 50000"),
    }
    for name, text in texts.items():
        (home / f"{name}.hdr").write_bytes(text.encode())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames, their projections, tables and corrections, and every kind of file that is not what it should be."""
    home = tmp_path_factory.mktemp("calls")
    for name in ("raw", "proj", "empty", "mixed", "out"):
        (home / name).mkdir()
    templates(home)
    for k, crpix in enumerate(((22.0, 20.0), (6.0, 19.0), (21.0, 6.0))):
        frame(home / f"raw/raw_{k:03d}.fits", crpix, 100.0 + 10 * k)
    (home / "garbage.fits").write_bytes(b"not a FITS file at all" * 300)
    (home / "empty.fits").write_bytes(b"")
    (home / "trunc.fits").write_bytes((home / RAW).read_bytes()[:5000])
    with fits.open(home / RAW) as hdus:
        data, header = hdus[0].data, hdus[0].header
        fits.PrimaryHDU(np.full_like(data, np.nan), header).writeto(home / "allnan.fits")
        fits.PrimaryHDU(np.zeros((10, 10))).writeto(home / "nowcs.fits")
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header)]).writeto(home / "ext.fits")
    (home / "empty.tbl").write_bytes(b"")
    (home / "badcols.tbl").write_text("| one | two |\n| int | int |\n   1     2  \n")
    (home / "notable.tbl").write_text("nothing of a table\n")
    with contextlib.chdir(home):
        chain = [
            face.mImgtbl("raw", "rimages.tbl"),
            face.mProjExec("raw", "rimages.tbl", "mosaic.hdr", projdir="proj"),
            face.mImgtbl("proj", "pimages.tbl"),
            face.mOverlaps("pimages.tbl", "diffs.tbl"),
            face.mDiffFitExec("proj", "diffs.tbl", "mosaic.hdr", "empty", "fits.tbl"),
            face.mBgModel("pimages.tbl", "fits.tbl", "corr.tbl"),
        ]
    assert [answer["status"] for answer in chain] == ["0"] * len(chain), chain
    return home


@pytest.fixture
def here(home: Path) -> Iterator[Path]:
    """The folder of the calls as working folder."""
    with contextlib.chdir(home):
        yield home


def ask(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Message of a call, which may not raise: "" for status '0'."""
    answer = getattr(face, name)(*args, **options)
    assert answer["status"] in {"0", "1"}
    if answer["status"] == "0":
        return OK
    message = answer["msg"]
    assert isinstance(message, bytes)
    assert message
    assert b"\n" not in message
    assert len(message) < 4000
    return message.decode()


# What is expected of (input, output, template, options): a part of the message, or OK. Where MontagePy says something else its answer stands beside.
PROJECT = [
    (("nope.fits", "o.fits", "mosaic.hdr"), {}, "nope.fits"),
    (("garbage.fits", "o.fits", "mosaic.hdr"), {}, "garbage.fits"),
    (("empty.fits", "o.fits", "mosaic.hdr"), {}, "empty.fits"),
    ((RAW, "o.fits", "nope.hdr"), {}, "File nope.hdr not found."),
    ((RAW, "o.fits", "bad.hdr"), {}, "bad.hdr, line 1"),  # "No BITPIX keyword in FITS header", of which file it does not say
    ((RAW, "o.fits", "nowcs.hdr"), {}, "nowcs.hdr: no CTYPE1 card"),
    (("nowcs.fits", "o.fits", "mosaic.hdr"), {}, "nowcs.fits"),
    ((RAW, "o.fits", "far.hdr"), {}, "No overlap"),
    (("trunc.fits", "o.fits", "mosaic.hdr"), {}, "trunc.fits"),  # mProject: an empty message
    (("allnan.fits", "o.fits", "mosaic.hdr"), {}, "All pixels are blank"),  # mProjectQL: all well
    (("ext.fits", "o.fits", "mosaic.hdr"), {}, OK),  # "No NAXIS1 keyword in FITS header": the first image of the file is meant
    (("ext.fits", "o.fits", "mosaic.hdr"), {"hdu": 1}, OK),  # mProject: an empty message
    ((RAW, "/no/dir/o.fits", "mosaic.hdr"), {}, "/no/dir/o.fits"),
    ((RAW, "o.fits", "mosaic.hdr"), {"borderstr": "abc"}, "Border value string (abc) cannot be interpreted"),
    ((RAW, "o.fits", "mosaic.hdr"), {"hdu": 3}, "there is no HDU 3"),
    ((RAW, "o.fits", "lower.hdr"), {}, OK),  # "No BITPIX keyword in FITS header"
    ((RAW, "o.fits", "noend.hdr"), {}, OK),
    ((RAW, "o.fits", "crlf.hdr"), {}, OK),  # "illegal SIMPLE keyword value"; mProjectQL crashes
    ((RAW, "o.fits", "cr.hdr"), {}, OK),  # "FITS header lines cannot be greater than 80 characters."
    ((RAW, "o.fits", "oneline.hdr"), {}, OK),  # the same
    ((RAW, "o.fits", "pad80.hdr"), {}, OK),
    ((RAW, "o.fits", "noeq.hdr"), {}, OK),
    ((RAW, "o.fits", "huge.hdr"), {}, OK),
    ((RAW, "o.fits", "mosaic.hdr"), {"weight_file": "nope.fits"}, "Weight file nope.fits missing or invalid FITS"),
]


@pytest.mark.parametrize("name", ["mProject", "mProjectPP", "mProjectQL"])
@pytest.mark.parametrize(("args", "options", "expected"), PROJECT)
def test_projections(here: Path, name: str, args: tuple[str, ...], options: dict[str, Any], expected: str) -> None:
    for file in here.glob("o*.fits"):
        file.unlink()
    message = ask(name, args, options)
    assert (message == OK) if expected == OK else (expected in message)
    assert (here / "o.fits").exists() == (expected == OK)


OTHERS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("mImgtbl", ("/nonexistent", "o.tbl"), {}, "Cannot access /nonexistent"),
    ("mImgtbl", ("empty", "o.tbl"), {}, OK),
    ("mImgtbl", (".", "o2.tbl"), {}, OK),
    ("mImgtbl", (".", "/no/such/o.tbl"), {}, "/no/such/o.tbl"),  # "Can't open output table."
    ("mImgtbl", (".", "o3.tbl"), {"showbad": True, "showinfo": True}, OK),
    ("mImgtbl", (None, "o.tbl"), {}, "pathname"),  # raises AttributeError
    ("mImgtbl", (LONG, "o.tbl"), {}, "xxx"),  # crashes
    ("mMakeHdr", ("nope.tbl", "o.hdr"), {}, "Invalid table file: nope.tbl"),
    ("mMakeHdr", ("empty.tbl", "o.hdr"), {}, "Invalid table file: empty.tbl"),
    ("mMakeHdr", ("badcols.tbl", "o.hdr"), {}, "Need columns: ctype1 ctype2 nl ns crval1"),
    ("mMakeHdr", ("notable.tbl", "o.hdr"), {}, "Invalid table file: notable.tbl"),
    ("mMakeHdr", ("rimages.tbl", "/no/o.hdr"), {}, "/no/o.hdr"),  # "Can't open output header file."
    ("mMakeHdr", ("rimages.tbl", "o.hdr"), {"csys": "FOO"}, "Invalid system string"),
    ("mProjExec", ("raw", "nope.tbl", "mosaic.hdr"), {"projdir": "out"}, "Image metadata file (nope.tbl) does not exist"),
    ("mProjExec", ("raw", "badcols.tbl", "mosaic.hdr"), {"projdir": "out"}, "Need column fname in input"),
    ("mProjExec", ("raw", "rimages.tbl", "mosaic.hdr"), {"projdir": "nodir"}, "Output directory (nodir) does not exist"),
    ("mProjExec", ("/wrong", "rimages.tbl", "mosaic.hdr"), {"projdir": "out"}, "3 of 3 failed: raw_000.fits: "),  # all well, failed: 3
    ("mProjExec", ("raw", "rimages.tbl", "nope.hdr"), {"projdir": "out"}, "Template file nope.hdr not found."),
    ("mOverlaps", ("nope.tbl", "o.tbl"), {}, "Invalid image metadata file: nope.tbl"),
    (
        "mOverlaps",
        ("badcols.tbl", "o.tbl"),
        {},
        "badcols.tbl has no column",
    ),  # "Not enough information to determine coverages (CDELTs or CD matrix)"
    ("mOverlaps", ("pimages.tbl", "/no/o.tbl"), {}, "/no/o.tbl"),
    ("mDiff", ("nope.fits", RAW, "o.fits", "mosaic.hdr"), {}, "nope.fits"),  # "Area file nope_area.fits missing"
    ("mDiff", ("garbage.fits", RAW, "o.fits", "mosaic.hdr"), {}, "garbage.fits"),
    ("mDiff", (RAW, RAW, "o.fits", "mosaic.hdr"), {}, "Area file raw/raw_000_area.fits missing or invalid FITS"),
    ("mDiff", (RAW, RAW, "o.fits", "nope.hdr"), {}, "File nope.hdr not found."),
    ("mDiff", (RAW, RAW, "o.fits", "mosaic.hdr"), {"noAreas": True}, OK),
    ("mFitplane", ("nope.fits",), {}, "Image file nope.fits missing or invalid FITS"),
    ("mFitplane", ("garbage.fits",), {}, "Image file garbage.fits missing or invalid FITS"),
    ("mFitplane", ("allnan.fits",), {}, "Singular Matrix-2"),
    ("mFitplane", ("allnan.fits",), {"levelOnly": True}, "allnan.fits has no valid pixels"),  # all well, with nan
    ("mFitplane", ("nowcs.fits",), {}, "No CRPIX1 keyword in FITS header of nowcs.fits"),  # all well, from uninitialised memory
    ("mFitplane", (RAW,), {"border": 200}, "Singular Matrix-2"),
    ("mFitplane", ("trunc.fits",), {}, "trunc.fits"),  # "error reading from FITS file"
    ("mFitplane", ("ext.fits",), {}, OK),  # crashes
    ("mFitplane", (LONG,), {}, "xxx"),
    ("mFitplane", (Path("nope.fits"),), {}, "nope.fits"),  # raises AttributeError
    ("mFitplane", (Path(RAW),), {}, OK),  # the same
    ("mDiffFitExec", ("out", "nope.tbl", "mosaic.hdr", "out", "o.tbl"), {}, "Invalid diffs metadata file: nope.tbl"),
    (
        "mDiffFitExec",
        ("wrong", "diffs.tbl", "mosaic.hdr", "out", "o.tbl"),
        {},
        "3 of 3 failed: hdu0_raw_000.fits - ",
    ),  # all well, an empty table
    ("mDiffFitExec", ("out", "badcols.tbl", "mosaic.hdr", "out", "o.tbl"), {}, "Need columns: cntr1 cntr2 plus minus diff"),
    ("mDiffFitExec", ("proj", "diffs.tbl", "nope.hdr", "out", "o.tbl"), {}, "File nope.hdr not found."),  # all well, an empty table
    ("mDiffFitExec", ("proj", "diffs.tbl", "mosaic.hdr", "nodir", "o.tbl"), {"keepAll": True}, "Cannot access nodir"),  # the same
    ("mDiffFitExec", ("proj", "diffs.tbl", "mosaic.hdr", "nodir", "o.tbl"), {}, OK),  # the same; nothing is written there
    ("mDiffFitExec", ("proj", "diffs.tbl", "mosaic.hdr", "out", "/no/o.tbl"), {}, "/no/o.tbl"),  # crashes
    ("mBgModel", ("nope.tbl", "fits.tbl", "o.tbl"), {}, "Invalid image metadata file: nope.tbl"),
    ("mBgModel", ("badcols.tbl", "fits.tbl", "o.tbl"), {}, "Need columns: cntr, fname, nl, ns, crpix1 and crpix2 in image info file."),
    ("mBgModel", ("pimages.tbl", "nope.tbl", "o.tbl"), {}, "Invalid background fit parameters file: nope.tbl"),
    ("mBgModel", ("pimages.tbl", "badcols.tbl", "o.tbl"), {}, "Need columns: plus minus a b c crpix1 crpix2 xmin xmax ymin ymax"),
    ("mBgModel", ("pimages.tbl", "fits.tbl", "/no/o.tbl"), {}, "/no/o.tbl"),
    ("mBgModel", ("pimages.tbl", "fits.tbl", "o.tbl"), {"niteration": -5}, "niteration is -5"),  # all well
    ("mBackground", ("nope.fits", "o.fits", 0, 0, 1), {}, "nope.fits"),
    ("mBackground", (RAW, "o.fits", 0, 0, 1), {}, "raw/raw_000_area.fits"),
    ("mBackground", ("garbage.fits", "o.fits", 0, 0, 1), {"noAreas": True}, "garbage.fits"),
    ("mBackground", (RAW, "o.fits", 0, 0, 1), {"noAreas": True}, OK),
    ("mBackground", (RAW, "/no/o.fits", 0, 0, 1), {"noAreas": True}, "/no/o.fits"),  # "couldn't create the named file"
    ("mBgExec", ("out", "nope.tbl", "corr.tbl", "out"), {}, "Invalid image metadata file: nope.tbl"),
    ("mBgExec", ("out", "pimages.tbl", "nope.tbl", "out"), {}, "Invalid corrections file: nope.tbl"),
    ("mBgExec", ("wrong", "pimages.tbl", "corr.tbl", "out"), {}, "3 of 3 failed: hdu0_raw_000.fits: "),  # all well, failed: 3
    ("mBgExec", ("proj", "pimages.tbl", "corr.tbl", "nodir"), {}, "Cannot access nodir"),
    ("mAdd", ("out", "nope.tbl", "mosaic.hdr", "o.fits"), {}, "Invalid image metadata file: nope.tbl"),
    ("mAdd", ("out", "badcols.tbl", "mosaic.hdr", "o.fits"), {}, "Need columns: cntr,fname, crpix1, crpix2, cdelt1, cdelt2"),
    ("mAdd", ("wrong", "pimages.tbl", "mosaic.hdr", "o.fits"), {}, "Image file wrong/hdu0_raw_000.fits missing or invalid FITS"),
    ("mAdd", ("proj", "pimages.tbl", "nope.hdr", "o.fits"), {}, "File nope.hdr not found."),
    ("mAdd", ("proj", "pimages.tbl", "far.hdr", "o.fits"), {}, "header CRVAL1 does not match template"),
    ("mAdd", ("mixed", "mixed.tbl", "mosaic.hdr", "o.fits"), {}, "not in same pixel space: crval1 of raw_00"),
    ("mAdd", ("proj", "pimages.tbl", "mosaic.hdr", "/no/o.fits"), {}, "/no/o.fits"),  # "couldn't create the named file"
    ("mAdd", ("proj", "pimages.tbl", "mosaic.hdr", "o.fits"), {"coadd": 3, "haveAreas": True}, OK),
    ("mAdd", (LONG, "pimages.tbl", "mosaic.hdr", "o.fits"), {}, "xxx"),  # crashes
    ("mShrink", ("nope.fits", "o.fits", 2.0), {}, "Image file nope.fits missing or invalid FITS"),
    ("mShrink", ("garbage.fits", "o.fits", 2.0), {}, "Image file garbage.fits missing or invalid FITS"),
    ("mShrink", (RAW, "o.fits", 0.0), {}, "Shrink factor must be positive"),
    ("mShrink", (RAW, "o.fits", -2.0), {}, "Shrink factor must be positive"),
    ("mShrink", (RAW, "o.fits", 0.5), {}, OK),
    ("mGetHdr", ("nope.fits", "o.hdr"), {}, "Image file (nope.fits) does not exist"),
    ("mGetHdr", ("garbage.fits", "o.hdr"), {}, "garbage.fits"),  # "1st key not SIMPLE or XTENSION"
    ("mTANHdr", ("nope.hdr", "o.hdr"), {}, "nope.hdr"),
    ("mExamine", ("nope.fits",), {}, "Cannot open FITS file nope.fits"),
    ("mSubimage", ("nope.fits", "o.fits", 0, 0, 1, 1), {}, "nope.fits"),
    ("mSubimage", (RAW, "o.fits", 0, 0, 1, 1), {}, "Region outside image"),
    ("mSubimage", (RAW, "o.fits", 275.196, -16.2, 1), {}, "ysize"),  # raises TypeError
    ("mViewer", ("-gray nope.fits 0 1 linear", "o.png"), {"mode": 2}, "nope.fits"),  # raises ModuleNotFoundError
    ("mViewer", ("{}", "o.png"), {"mode": 1}, "no gray image given"),  # the same
]


@pytest.mark.parametrize(("name", "args", "options", "expected"), OTHERS, ids=[f"{i}-{call[0]}" for i, call in enumerate(OTHERS)])
def test_others(here: Path, name: str, args: tuple[Any, ...], options: dict[str, Any], expected: str) -> None:
    (here / "mixed.tbl").write_text((here / "rimages.tbl").read_text().replace("275.2000000", "275.1000000", 1))
    for file in here.glob("o.*"):
        file.unlink()
    message = ask(name, args, options)
    assert (message == OK) if expected == OK else (expected in message)
    if expected != OK and "of 3 failed" not in expected:
        assert not list(here.glob("o.*"))


def test_the_network_is_not_asked() -> None:
    """mArchiveList and mArchiveGet are not among the functions: frames are local files."""
    assert not {"mArchiveList", "mArchiveGet", "mArchiveExec"} & set(face.__all__)


def test_path_of_3000_characters(here: Path) -> None:
    """MontagePy crashes on it, and on any other of that length."""
    deep = here / "/".join(["d" * 200] * 15)
    assert len(str(deep)) > 3000
    deep.mkdir(parents=True)
    shutil.copy(here / RAW, deep / "a.fits")
    assert face.mImgtbl(deep, deep / "i.tbl") == {"status": "0", "count": 1, "badfits": 0, "badwcs": 0}
    assert face.mProject(deep / "a.fits", deep / "p.fits", "mosaic.hdr")["status"] == "0"
    assert face.mFitplane(deep / "p.fits")["status"] == "0"
    (deep / "p").mkdir()
    shutil.move(deep / "p.fits", deep / "p/p.fits")
    shutil.move(deep / "p_area.fits", deep / "p/p_area.fits")
    assert face.mImgtbl(deep / "p", deep / "p.tbl")["count"] == 1
    assert face.mAdd(deep / "p", deep / "p.tbl", "mosaic.hdr", deep / "m.fits", haveAreas=True)["status"] == "0"


def test_mixed_frames_in_any_order(here: Path, tmp_path: Path) -> None:
    """MontagePy drops CEA frames, halves ZEA frames, and switches programs at the first odd one for all that follow."""
    (tmp_path / "in").mkdir()
    for k, projection in enumerate(("ZEA", "TAN", "CEA", "SIN")):
        crval, shift = (0.0, 16.2 / 0.0005 / 1.01) if projection == "CEA" else (-16.2, 0.0)
        frame(tmp_path / f"in/f{k}.fits", (22.0 - 4 * k, 20.0 + shift), 100.0, projection, crval)
    assert face.mImgtbl(tmp_path / "in", tmp_path / "i.tbl")["count"] == 4
    lines = (tmp_path / "i.tbl").read_text().splitlines()
    head, rows = [line for line in lines if line[0] in "|\\"], [line for line in lines if line[0] not in "|\\"]
    images = []
    for order in (rows, rows[::-1]):
        (tmp_path / "i.tbl").write_text("\n".join([*head, *order]) + "\n")
        out = tmp_path / f"o{len(images)}"
        out.mkdir()
        answer = face.mProjExec(tmp_path / "in", tmp_path / "i.tbl", here / "mosaic.hdr", out)
        assert answer["status"] == "0", answer
        assert (answer["count"], answer["failed"]) == (4, 0)
        images.append({path.name: fits.getdata(path) for path in sorted(out.glob("*.fits"))})
    assert images[0].keys() == images[1].keys()
    assert all(np.array_equal(images[0][name], images[1][name], equal_nan=True) for name in images[0])
    assert all(np.isfinite(image).sum() > 500 for image in images[0].values())
