"""Calibration of HST images: the table of imphot, header values first, units; filter curves in text files."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
from astropy import units as u
from support.shared import shared_path

from nbmosaic.errors import FormatError, InputError
from nbmosaic.io.filter_curve import read_filter_curve, wavelengths_in
from nbmosaic.io.hst_filter import HST_FILTERS, flux_factor, hst_filter
from nbmosaic.io.image_planes import read_sky_image
from nbmosaic.types.sky_image import SkyImage

MUSE = "1e-20 erg / (Angstrom s cm2)"


def image(unit="", **cards):
    return SkyImage(data=np.zeros((1, 1)), mask=np.zeros((1, 1), bool), wcs=None, unit=unit, name="hst", primary=cards)


def test_golden_table():
    """imphot 009225c, HstFilterInfo(name) of its eight filters."""
    table = json.loads(gzip.decompress(shared_path("golden/imphot/golden.json.gz").read_bytes()))["results"]["filters"]
    assert set(table) == set(HST_FILTERS)
    for name, theirs in table.items():
        mine = hst_filter(name.lower())
        assert (mine.name, mine.abmag_zero, mine.photflam) == (theirs["filter_name"], theirs["abmag_zero"], theirs["photflam"])
        assert (mine.photplam, mine.photbw) == (theirs["photplam"], theirs["photbw"])
        assert mine.photflam == pytest.approx(10 ** (-mine.abmag_zero / 2.5 - 2 * math.log10(mine.photplam) - 0.9632), rel=0.005)


@pytest.mark.parametrize(
    ("cards", "name"),
    [
        ({"FILTER": "f606w "}, "F606W"),
        ({"FILTER1": "F814W", "FILTER2": "CLEAR2L"}, "F814W"),
        ({"FILTER1": "CLEAR1L", "FILTER2": "F435W"}, "F435W"),
        ({"FILTER": "CLEAR1L; F775W"}, "F775W"),
        ({"FILTER1": 28, "FILTNAM1": "F555W"}, "F555W"),
    ],
)
def test_names_of_filters(cards, name):
    assert hst_filter(image(**cards)).name == name
    assert hst_filter(cards).source == "table"


def test_header_values_come_first():
    # a WFPC2 image: imphot's table of ACS would be wrong by a factor of 25
    found = hst_filter(image(FILTNAM1="F606W", PHOTFLAM=1.89972e-18, PHOTPLAM=6001.294, PHOTBW=637.8062, PHOTZPT=-21.1))
    assert (found.photflam, found.photplam, found.photbw, found.source) == (1.89972e-18, 6001.294, 637.8062, "header")
    assert found.abmag_zero == pytest.approx(-2.5 * math.log10(1.89972e-18) - 5 * math.log10(6001.294) - 2.408)
    given = hst_filter(image(FILTER="F775W", ABMAG=25.67))
    assert given.abmag_zero == 25.67
    assert given.photflam == pytest.approx(9.74e-20 * 10 ** (0.4 * 0.02), rel=0.005)
    assert hst_filter(image(FILTER="F999W", PHOTFLAM=1e-19, PHOTPLAM=5000.0)).name == "F999W"
    assert math.isnan(hst_filter(image(PHOTFLAM=1e-19)).abmag_zero)
    assert hst_filter(image(FILTER="F775W", PHOTFLAM=0.0)).source == "table"


def test_the_real_header():
    found = hst_filter(read_sky_image(str(shared_path("data/muse_hst_hdfs/HST-HDFS.fits.gz"))))
    assert (found.name, found.photflam, found.source) == ("F606W", 1.89972e-18, "header")


def test_errors_of_imphot_in_its_words():
    with pytest.raises(InputError, match="Missing FILTER keyword in HST image header"):
        hst_filter(image())
    with pytest.raises(InputError, match=r"Unrecognized filter \(F999W\) in HST image header"):
        hst_filter(image(FILTER="F999W"))
    with pytest.raises(InputError, match=r"Unrecognized filter \(F999W\)"):
        hst_filter("F999W")
    with pytest.raises(InputError, match="PHOTFLAM = -1"):
        hst_filter(image(FILTER="F775W", PHOTFLAM=-1.0))


def test_golden_factor():
    """imphot 009225c, rescale_hst_like_muse of an F775W image: 9.74."""
    record = json.loads(gzip.decompress(shared_path("golden/imphot/golden.json.gz").read_bytes()))["results"]["rescale"]
    assert flux_factor(image(FILTER="F775W"), record["unit"]) == pytest.approx(record["ratio"], rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "exptime", "factor"),
    [
        ("", None, 9.74),
        ("ELECTRONS/S", None, 9.74),
        ("electron / s", None, 9.74),
        ("count/s", None, 9.74),
        ("ELECTRONS", 1000.0, 9.74e-3),
        ("1e-18 erg / (Angstrom s cm2)", None, 100.0),
        ("10**-20 erg Angstrom-1 s-1 cm-2", None, 1.0),
        ("1000 electron / s", None, 9740.0),
    ],
)
def test_units(unit, exptime, factor):
    cards = {"FILTER": "F775W"} | ({} if exptime is None else {"EXPTIME": exptime})
    found = flux_factor(image(unit, **cards), MUSE)
    assert found == pytest.approx(factor)


def test_units_that_cannot_be_compared():
    with pytest.raises(InputError, match="hst is in ELECTRONS and has no EXPTIME"):
        flux_factor(image("ELECTRONS", FILTER="F775W"), MUSE)
    with pytest.raises(InputError, match="hst is in Jy, expected electrons/s"):
        flux_factor(image("Jy", FILTER="F775W"), MUSE)
    with pytest.raises(InputError, match="the other image is in electron / s, expected a flux density"):
        flux_factor(image("", FILTER="F775W"), "electron / s")
    with pytest.raises(InputError, match="which cannot be read"):
        flux_factor(image("", FILTER="F775W"), "furlong per fortnight!")


def test_curves(tmp_path):
    path = tmp_path / "F606W.curve.dat"
    path.write_text("# header\nlambda, throughput\n4000, 0.1\n\n4100\t0.5 extra # half\n 4200 ; 0.25\n")
    curve = read_filter_curve(path)
    assert curve.wavelengths.tolist() == [4000.0, 4100.0, 4200.0]
    assert curve.sensitivities.tolist() == [0.1, 0.5, 0.25]
    assert curve.name == "F606W"
    golden = read_filter_curve(shared_path("golden/imphot/inputs/filter_inside.dat"))
    assert golden.wavelengths[[0, -1]].tolist() == [6850.0, 8605.0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1 2\n3 x\n", "line 2: expected a wavelength and a sensitivity, found '3 x'"),
        ("1 2\n3\n", "line 2: expected"),
        ("1 2\n2 nan\n", "line 2: '2 nan' is not finite"),
        ("1 2\n", "holds 1 samples"),
        ("", "holds 0 samples"),
        ("a b\nc d\n1 2\n", "line 2"),
    ],
)
def test_curves_that_cannot_be_read(tmp_path, text, what):
    path = tmp_path / "a.dat"
    path.write_text(text)
    with pytest.raises(FormatError, match=what):
        read_filter_curve(path)
    with pytest.raises(FormatError, match="cannot read filter curve"):
        read_filter_curve(tmp_path / "none.dat")


def test_units_of_wavelengths():
    assert wavelengths_in([606.0], "nm", "Angstrom") == pytest.approx([6060.0])
    assert wavelengths_in([0.606] * u.um, "nm", "Angstrom") == pytest.approx([6060.0])
    assert wavelengths_in([6060.0], u.angstrom, "m") == pytest.approx([6.06e-7])
    assert wavelengths_in([3.0, 4.0], None, "Angstrom").tolist() == [3.0, 4.0]
    with pytest.raises(InputError, match="the cube has no wavelengths"):
        wavelengths_in([3.0], "nm", "pixel")
    with pytest.raises(InputError, match="cannot be turned into"):
        wavelengths_in([3.0], "kg", "Angstrom")
