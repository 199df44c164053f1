"""Lists, names, messages and bad calls of the face; what IRAF prints is in ``errors.txt`` of the golden set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.camera import expose, make_sky

import nbmosaic
from nbmosaic.cli import main
from nbmosaic.compat.mscred import mscimage
from nbmosaic.compat.mscred.lists import expand_list, image_target, mask_target
from nbmosaic.compat.mscred.reference import _sexagesimal
from nbmosaic.errors import ConfigError, EmptyMosaicError, FormatError, InputError, PrecisionWarning, SkippedFrameWarning

CENTRE = (150.1, 22.3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    expose(tmp_path / "obja.fits", make_sky(CENTRE, n=0), CENTRE, bad=5)
    return tmp_path


def test_lists(here: Path) -> None:
    Path("in.lis").write_text("obja\n# a comment\n\nobjb[im1]\n")
    assert expand_list("@in.lis", "input", files=True) == ["obja", "objb[im1]"]
    assert expand_list("mos//@in.lis", "output", files=False) == ["mosobja", "mosobjb[im1]"]
    assert expand_list("@in.lis//_m", "output", files=False) == ["obja_m", "objb[im1]_m"]
    assert expand_list(" a , b,", "input", files=True) == ["a", "b"]
    assert expand_list([Path("a"), "b,c"], "input", files=True) == ["a", "b,c"]
    assert expand_list("obj*a.fits", "input", files=True) == ["obja.fits"]
    with pytest.raises(FormatError, match=r"no file matches x\*"):
        expand_list("x*", "input", files=True)
    with pytest.raises(FormatError, match="cannot read the input list none"):
        expand_list("@none", "input", files=True)
    Path("loop.lis").write_text("@loop.lis\n")
    with pytest.raises(FormatError, match="name each other"):
        expand_list("@loop.lis", "input", files=True)
    assert (image_target("a.fit"), mask_target("a.fit")) == ("a.fit", "a_bpm{}.fits")


def test_verbose_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mscimage("obja", "x1", verbose=True)
    pieces = "".join(f"Resampling obja[IM{k}] ...\n" for k in range(1, 5))
    assert capsys.readouterr().out == f"WCS reference image is obja[IM3]\n{pieces}Creating image x1 ...\n"
    mscimage("obja", "x2", verbose="yes", wcssource="parameters", ra=10.0, scale=0.6, rotation=-3.5, dec=22.25)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["Output WCS parameters:", "    RA=10:00:00.00, DEC=22:15:00.0, SCALE=0.6 arcsec/pixel, ROTATION=-3.5 degrees"]
    mscimage("obja", "x3", verbose=True, version="old")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["Using `obja[IM3]' for the WCS reference", "Creating empty output mosaic x3 ...", "Mapping obja[IM1] to x3 ..."]
    mscimage("obja[im1]", "x4", verbose=True, reference="x1")
    assert capsys.readouterr().out.startswith("WCS reference image is x1\nResampling obja[im1]")
    assert mscimage("obja", "x5", version="old") == ["x5.fits"]
    assert not capsys.readouterr().out


def test_angles_as_text() -> None:
    assert _sexagesimal(-0.25, 1) == "-0:15:00.0"
    assert _sexagesimal(9.99999999, 2) == "10:00:00.00"


def test_files(here: Path) -> None:
    before = (here / "obja.fits").read_bytes()
    assert mscimage("obja", "a1") == ["a1.fits"]
    assert mscimage("obja.fits", "a2.fits", pixmask=False) == ["a2.fits"]
    assert {path.name for path in here.iterdir()} == {"obja.fits", "obja_bpm.fits", "a1.fits", "a1_bpm.fits", "a2.fits"}
    assert (here / "obja.fits").read_bytes() == before
    header = fits.getheader("a1.fits")
    assert header["BPM"] == "a1_bpm.fits"
    assert header["NCOMBINE"] == 4
    assert header["GAIN"] == 2.15
    assert fits.getdata("a1_bpm.fits").dtype == np.uint8
    assert set(np.unique(fits.getdata("a1_bpm.fits"))) == {0, 1}
    mscimage("a1", "again", reference="a1", ntrim=2)  # the output is an input, with its mask
    data, mask = fits.getdata("again.fits"), fits.getdata("again_bpm.fits")
    assert np.abs(data[mask == 0] - 100).max() < 2.5  # a bad pixel (20000) may have a ten-thousandth
    assert not list(here.glob(".*"))


def test_existing_files_are_left_alone(here: Path) -> None:
    mscimage("obja", "a1")
    before = Path("a1.fits").read_bytes()
    with pytest.raises(FormatError, match=r"a1\.fits exists"):
        mscimage("obja", "a1")
    with pytest.warns(SkippedFrameWarning, match=r"mscimage: a1 is not made: a1\.fits exists"):
        assert mscimage("obja,obja", "a1,a2") == ["a2.fits"]
    Path("a2.fits").unlink()
    with pytest.raises(FormatError, match=r"a2_bpm\.fits exists"):
        mscimage("obja", "a2")
    assert not Path("a2.fits").exists()
    assert Path("a1.fits").read_bytes() == before
    mscimage("obja", "a1", overwrite=True, interpolant="nearest")


def test_others_of_a_list_are_done(here: Path) -> None:
    expose(here / "objm.fits", make_sky(CENTRE, n=0), CENTRE, bad=3)
    (here / "objm_bpm.fits").unlink()
    fits.PrimaryHDU().writeto("empty.fits")
    fits.PrimaryHDU(np.ones((40, 50))).writeto("nowcs.fits")
    with pytest.warns(SkippedFrameWarning) as caught:
        assert mscimage("nosuch,objm,empty,nowcs,obja", "a,b,c,d,e") == ["e.fits"]
    lines = [str(warning.message) for warning in caught]
    assert len(lines) == 4
    reasons = ("no image nosuch", "mask objm_bpm.fits[im1] of piece objm.fits[IM1] does not exist", "holds no image", "no celestial")
    for line, words in zip(lines, reasons, strict=True):
        assert words in line
        assert "\n" not in line
    assert not [name for name in "abcd" if Path(f"{name}.fits").exists()]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interpolant": "cubic"}, "unknown interpolant 'cubic'"),
        ({"minterpolant": "line"}, "did you mean linear"),
        ({"boundary": "mirror"}, "boundary cannot be 'mirror'"),
        ({"format": "fits"}, "format cannot be 'fits'"),
        ({"xxorder": 1}, "xxorder cannot be 1"),
        ({"ntrim": -2}, "ntrim cannot be -2"),
        ({"ntrim": 80}, "trim 80 leaves nothing"),
        ({"ntrim": 3, "trim": 4}, "two names of one parameter"),
        ({"nx": 1}, "nx cannot be 1"),
        ({"nx": 3, "ny": 3}, "too small for orders of 4"),
        ({"interactive": True}, "interactive fits are not offered"),
        ({"ra": 10.0}, "set wcssource='parameters'"),
        ({"wcssource": "match"}, "needs a reference"),
        ({"reference": "noref"}, "there is no reference image noref"),
        ({"reference": "obja"}, "reference obja holds 4 images; choose one, as in obja[IM1]"),
        ({"version": "old", "format": "mef"}, "neither wcssource nor format"),
        ({"fluxconserve": "maybe"}, "fluxconserve cannot be 'maybe'"),
        ({"scale": -1, "wcssource": "parameters"}, "scale cannot be -1"),
    ],
)
def test_bad_parameters(options: dict, words: str, here: Path) -> None:
    with pytest.raises((ConfigError, InputError, FormatError)) as caught:
        mscimage("obja", "x", **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("x.fits").exists()


def test_lists_of_different_length(here: Path) -> None:
    with pytest.raises(InputError, match="2 inputs and 1 outputs"):
        mscimage("obja,obja", "x")
    assert mscimage("", "") == []


def test_reference_without_overlap(here: Path) -> None:
    expose(here / "far.fits", make_sky(CENTRE, n=0), (CENTRE[0] + 2, CENTRE[1]))
    mscimage("far", "far1", pixmask=False)
    with pytest.raises(EmptyMosaicError, match="no piece falls on the reference"):
        mscimage("obja", "x", wcssource="match", reference="far1")
    expose(here / "off.fits", make_sky(CENTRE, n=0), (CENTRE[0] + 30, CENTRE[1]))
    with pytest.warns(
        PrecisionWarning, match=r"obja.fits lies 28 degrees from the tangent point of the output, which stretches its pixels by 28 per cent"
    ):
        assert mscimage("obja", "x", reference="off[im1]", pixmask=False) == ["x.fits"]
    Path("x.fits").unlink()
    expose(here / "behind.fits", make_sky(CENTRE, n=0), (CENTRE[0] + 170, -CENTRE[1]))
    with pytest.raises(InputError, match="does not see"):
        mscimage("obja", "x", reference="behind[im1]")


def test_pixel_lists_are_named(here: Path) -> None:
    with fits.open("obja.fits", mode="update") as hdus:
        hdus[2].header["BPM"] = "special.pl"
    Path("special.pl").write_bytes(b"no FITS file")
    with pytest.raises(FormatError, match=r"IRAF pixel list, which is not read; convert it once, in IRAF: imcopy special.pl special.fits"):
        mscimage("obja", "x")
    fits.PrimaryHDU(np.zeros((200, 160), np.int16)).writeto("special.fits")
    assert mscimage("obja", "x") == ["x.fits"]


def test_right_ascension_zero(tmp_path: Path) -> None:
    """IRAF multiplies differences of 360 degrees by a pi/180 of single precision: pieces beyond RA 0 are off by 0.015 arcsec; ours are not."""
    centre = (0.0005, 32.0)
    sky = make_sky(centre)
    expose(tmp_path / "z.fits", sky, centre)
    mscimage(tmp_path / "z.fits", tmp_path / "zz", interpolant="spline3")
    exact = nbmosaic.mscimage(tmp_path / "z.fits", trim=8)
    ours = fits.getdata(tmp_path / "zz.fits")
    y, x = np.argwhere(exact.data > 0.5 * np.nanmax(exact.data))[0]
    wcs = fits.getheader(tmp_path / "zz.fits")
    dy, dx = (round(float(wcs[f"CRPIX{axis}"] - exact.wcs.wcs.crpix[axis - 1])) for axis in (2, 1))
    common = ours[dy + 30 : dy + 300, dx + 30 : dx + 300], exact.data[30:300, 30:300]
    off = np.abs(common[0] - common[1])[(common[0] != 0) & np.isfinite(common[1])]
    assert y > 0
    assert x > 0
    assert (
        off.max() < 12.0
    )  # the fit and the rounding of coordinates to 1.5 mas; a step of 0.015 arcsec (0.03 pixels) would be 100 beside a star
    assert np.percentile(off, 99) < 3.0


def test_command_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mscimage", "obja", "x", "--interpolant", "poly3", "--ntrim", "5", "--no-pixmask"]) == 0
    assert capsys.readouterr().out == "wrote x.fits\n"
    assert not Path("x_bpm.fits").exists()
    assert main(["mscimage", "obja", "y", "--wcssource", "parameters", "--dec", "22.301", "--verbose"]) == 0
    assert "Creating image y ..." in capsys.readouterr().out
    assert main(["mscimage", "obja", "x"]) == 1
    assert (
        capsys.readouterr().err == "nbmosaic: x.fits exists; choose another name, or overwrite=True (--overwrite in a cell or the shell)\n"
    )
    with pytest.raises(SystemExit):
        main(["mscimage", "obja"])
    with pytest.raises(SystemExit):
        main(["mscimage", "--help"])
    text = capsys.readouterr().out
    assert "--minterpolant" in text
    assert "Pixels cut from every side" in text
