"""mGetHdr, mHdr, mMakeHdr, mTANHdr: against golden templates, MontagePy run now, round trips and bad calls."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.polynomial.polynomial import polyval2d
from support.montage import read_template
from support.montage_calls import call_montage
from support.shared import shared_path

from nbmosaic.compat.montage.headers import mGetHdr, mHdr, mMakeHdr, mTANHdr
from nbmosaic.core.geometry.montage_grid import montage_grid
from nbmosaic.core.geometry.sky_regions import box_corners, sky_vectors
from nbmosaic.core.geometry.tan_sip import fit_tan_sip
from nbmosaic.errors import AlgorithmError, InputError, WcsError
from nbmosaic.io.locations import parse_location
from nbmosaic.io.templates import parse_template
from nbmosaic.io.templates import read_template as read_grid

TABLE = "golden/montage/tables/montagepy_2.3.0/rimages.tbl"
GOLDEN = [
    ("mpy_makehdr_default", {}),
    ("mpy_makehdr_north", {"northAligned": 1}),
    ("mpy_makehdr_pix2", {"pixelScale": 2.0}),
    ("mpy_makehdr_max500", {"maxPixel": 500}),
    ("mpy_makehdr_pad10", {"pad": 10}),
    ("mpy_makehdr_pad10pct", {"pad": 10, "isPercentage": True}),
    ("mpy_makehdr_gal", {"csys": "GAL"}),
]


@pytest.fixture
def folder(tmp_path):
    packed = shared_path("golden/montage/raw") / "raw_000_crota.fits.gz"
    (tmp_path / "raw.fits").write_bytes(gzip.decompress(packed.read_bytes()))
    (tmp_path / "images.tbl").write_bytes(shared_path(TABLE).read_bytes())
    (tmp_path / "garbage.fits").write_text("hello" * 1000)
    (tmp_path / "badcols.tbl").write_text("| one | two |\n| int | int |\n   1     2  \n")
    (tmp_path / "notable.tbl").write_text("nothing of a table\n")
    (tmp_path / "empty.tbl").touch()
    (tmp_path / "bad.hdr").write_text("this is no header\n")
    (tmp_path / "car.hdr").write_text(template("CAR"))
    return tmp_path


def template(projection, n=(1500, 2000), step=0.001, crpix=(600.0, -8000.0), lat=0.0):
    return (
        f"SIMPLE = T\nNAXIS=2\nNAXIS1={n[1]}\nNAXIS2={n[0]}\nCTYPE1='RA---{projection}'\nCTYPE2='DEC--{projection}'\nCRVAL1=200.\nCRVAL2={lat}\n"
        f"CRPIX1={crpix[0]}\nCRPIX2={crpix[1]}\nCDELT1={-step}\nCDELT2={step}\nEQUINOX=2000.\n"
    )


def test_golden_header(folder):
    assert mGetHdr(folder / "raw.fits", folder / "o.hdr") == {"status": "0", "ncard": 17}
    golden = shared_path("golden/montage/tables/montagepy_2.3.0/gethdr_first.hdr")
    assert (folder / "o.hdr").read_text() == golden.read_text()
    assert mGetHdr(folder / "raw.fits", folder / "o.html", htmlMode=1)["ncard"] == 17
    assert (folder / "o.html").read_text().count("<pre") == 18
    assert mGetHdr(folder / "raw.fits", folder / "p.html", htmlMode=2)["status"] == "0"
    assert "<html" not in (folder / "p.html").read_text()


@pytest.mark.parametrize(("name", "options"), GOLDEN)
def test_golden_templates(folder, name, options):
    answer = mMakeHdr(folder / "images.tbl", folder / "o.hdr", **options)
    assert (answer["status"], answer["count"], answer["ncube"]) == ("0", 12, 0)
    ours, golden = read_template(folder / "o.hdr"), read_template(shared_path(f"golden/montage/templates/{name}.hdr"))
    assert list(ours) == list(golden)
    higher = {"mpy_makehdr_gal": 2, "mpy_makehdr_pad10": -2, "mpy_makehdr_pad10pct": -2}.get(
        name, 0
    )  # where Montage takes the wrong size for NAXIS2
    assert ours["NAXIS2"] - golden["NAXIS2"] == higher
    assert ours["CRPIX2"] - golden["CRPIX2"] == higher / 2
    places = 2e-4 if options.get("csys") else 1e-6
    for key in ("NAXIS1", "CRPIX1", "CDELT1", "CDELT2"):
        assert ours[key] == golden[key], key
    for key, limit in (("CRVAL1", places), ("CRVAL2", places), ("CROTA2", 2e-5 if options.get("csys") else 1e-7)):
        assert abs(ours[key] - golden[key]) <= limit, key
    assert answer["naxis1"] == ours["NAXIS1"]
    assert parse_template((folder / "o.hdr").read_text()).shape == (ours["NAXIS2"], ours["NAXIS1"])


@pytest.mark.peer
def test_templates_as_montage(folder):
    cases = [*GOLDEN, ("ecliptic", {"csys": "ECLJ"}), ("b1950", {"csys": "EQUB", "equinox": 1950.0}), ("words", {"csys": "galactic"})]
    # the keywords name the system of the corners, which Montage else takes from memory that it has not set
    (folder / "named.tbl").write_text("\\csys = equ\n\\equinox = 2000\n" + (folder / "images.tbl").read_text())
    theirs = call_montage(folder, [("mMakeHdr", ("named.tbl", f"{name}.hdr"), options) for name, options in cases])
    for (name, options), answer in zip(cases, theirs, strict=True):
        ours = mMakeHdr(folder / "images.tbl", folder / "o.hdr", **options)
        assert list(ours) == list(answer)
        limit = 3e-4 if options.get("csys") else 1e-6
        for key, value in answer.items():
            assert type(ours[key]) is type(value), key
            if key in {"naxis2", "latsize"} or key.startswith("lat") or (key.startswith("lon") and key[-1].isdecimal()):
                continue
            assert ours[key] == pytest.approx(value, abs=2e-3 if key == "posang" and limit > 1e-5 else limit), (name, key)


def test_template_from_wcs_columns_and_from_positions(folder):
    from nbmosaic.io.tables import format_table, read_table

    table = read_table(folder / "images.tbl")
    (folder / "wcs.tbl").write_text(format_table(table.drop(columns=[c for c in table if c[:2] == "ra" or c[:3] == "dec"])))
    one, two = mMakeHdr(folder / "images.tbl", folder / "a.hdr"), mMakeHdr(folder / "wcs.tbl", folder / "b.hdr")
    for key, value in one.items():
        assert two[key] == pytest.approx(value, abs=2e-3 if isinstance(value, float) else 2) if key != "status" else value == "0", key
    (folder / "sources.tbl").write_text(format_table(table[["ra", "dec"]]))
    three = mMakeHdr(folder / "sources.tbl", folder / "c.hdr", northAligned=1)
    assert three["status"] == "0"
    grid = read_grid(folder / "c.hdr")
    x, y = grid.wcs.all_world2pix(table["ra"], table["dec"], 0)
    assert x.min() > -0.6
    assert y.min() > -0.6
    assert x.max() < grid.shape[1] - 0.4
    assert y.max() < grid.shape[0] - 0.4


@pytest.mark.parametrize("place", [(10.0, 0.0), (0.0, 60.0), (200.0, -89.0), (123.0, 89.9)])
@pytest.mark.parametrize("north", [True, False])
@pytest.mark.parametrize("tall", [True, False])
def test_every_corner_is_on_the_template(place, north, tall):
    rng = np.random.default_rng(7)
    for _ in range(5):
        spread = (0.1, 0.7) if tall else (0.7, 0.1)
        middle = box_corners(*place, 2 * spread[0], 2 * spread[1], rng.uniform(0, 90))
        points = np.concatenate(
            [box_corners(*np.degrees([math.atan2(v[1], v[0]), math.asin(v[2])]), 0.2, 0.3, rng.uniform(0, 360)) for v in middle]
        )
        grid = montage_grid(points, 0.001, north_aligned=north)
        text = f"NAXIS1={grid.naxis[0]}\nNAXIS2={grid.naxis[1]}\nCTYPE1='RA---TAN'\nCTYPE2='DEC--TAN'\nCRVAL1={grid.lon!r}\nCRVAL2={grid.lat!r}\n"
        text += f"CRPIX1={grid.crpix[0]}\nCRPIX2={grid.crpix[1]}\nCDELT1=-0.001\nCDELT2=0.001\nCROTA2={grid.rotation!r}"
        wcs = parse_template(text).wcs
        lon, lat = np.degrees(np.arctan2(points[:, 1], points[:, 0])), np.degrees(np.arcsin(points[:, 2]))
        x, y = wcs.all_world2pix(lon, lat, 0)
        assert x.min() >= -0.501
        assert y.min() >= -0.501
        assert x.max() <= grid.naxis[0] - 0.499
        assert y.max() <= grid.naxis[1] - 0.499
        if not north:
            aligned = montage_grid(points, 0.001, north_aligned=True)
            assert np.prod(grid.naxis) <= np.prod(aligned.naxis) * 1.02


def test_whole_sky_becomes_an_aitoff_map():
    grid = montage_grid(sky_vectors(np.array([0.0, 90.0, 180.0, 270.0]), np.array([0.0, 80.0, -80.0, 0.0])), 0.5)
    assert (grid.projection, grid.naxis) == ("AIT", (720, 360))


@pytest.mark.parametrize("projection", ["CAR", "CEA", "ZEA", "SIN", "STG", "ARC", "MER", "SFL", "AIT", "TAN"])
def test_tan_header_lands_where_the_header_does(tmp_path, projection):
    lat = 35.0 if projection in {"ZEA", "SIN", "STG", "ARC", "TAN"} else 0.0
    (tmp_path / "in.hdr").write_text(template(projection, lat=lat, crpix=(600.0, 2000.0 if lat else -8000.0)))
    answer = mTANHdr(tmp_path / "in.hdr", tmp_path / "out.hdr")
    assert answer["status"] == "0"
    assert [type(v) for v in answer.values()] == [str, float, float, int, float, float, int]
    assert max(answer[k] for k in ("fwdxerr", "fwdyerr", "revxerr", "revyerr")) < 1e-4
    one, two = read_grid(tmp_path / "in.hdr"), WCS(fits.Header.fromtextfile(tmp_path / "out.hdr"))
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-0.5, 1999.5, 300), rng.uniform(-0.5, 1499.5, 300)
    lon, lat_ = one.wcs.all_pix2world(x, y, 0)
    a, b = two.all_pix2world(x, y, 0)
    away = np.hypot((a - lon + 180) % 360 - 180, 0) * np.cos(np.radians(b))
    assert np.hypot(away, b - lat_).max() < 1e-3 * 0.01  # a hundredth of a pixel
    focal = two.wcs.s2p(np.stack([lon, lat_], 1), 0)["pixcrd"] - (two.wcs.crpix - 1)
    back = focal + np.stack([polyval2d(*focal.T, c) for c in (two.sip.ap, two.sip.bp)], 1) + (two.wcs.crpix - 1)
    assert np.abs(back - np.stack([x, y], 1)).max() < 0.01


def test_tan_header_of_the_golden_template(tmp_path):
    source = shared_path("golden/montage/templates/makehdr_default.hdr")
    answer = mTANHdr(source, tmp_path / "o.hdr")
    assert max(answer[k] for k in ("fwdxerr", "fwdyerr", "revxerr", "revyerr")) < 1e-6
    ours, theirs = (read_grid(p).wcs for p in (tmp_path / "o.hdr", shared_path("golden/montage/templates/tanhdr_of_default.hdr")))
    x, y = np.meshgrid(np.linspace(0, 916, 9), np.linspace(0, 714, 9))
    difference = np.array(ours.all_pix2world(x, y, 0)) - np.array(theirs.all_pix2world(x, y, 0))
    assert np.abs(difference).max() * 3600 < 0.02  # Montage's own errors


def test_tan_header_of_a_distorted_frame():
    wcs = WCS(fits.Header({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 10.0, "CRVAL2": 80.0, "CRPIX1": 900.0, "CRPIX2": -100.0,
                           "CD1_1": -1e-4, "CD2_2": 1e-4, "A_ORDER": 3, "B_ORDER": 3, "A_3_0": 1e-9, "A_1_1": 1e-6, "B_0_2": -2e-6}))  # fmt: skip
    fit = fit_tan_sip(wcs, (1000, 1000))
    assert max(*fit.forward_error, *fit.reverse_error) < 1e-3


def test_tan_header_that_cannot_be(tmp_path):
    wide = parse_template(template("AIT", n=(180, 360), step=1.0, crpix=(180.5, 90.5)))
    with pytest.raises(WcsError, match="80 degrees"):
        fit_tan_sip(wide.wcs, wide.shape)
    broad = parse_template(template("CAR", n=(1000, 1000), step=0.06, crpix=(500.5, 500.5)))
    with pytest.raises(AlgorithmError, match="closer than"):
        fit_tan_sip(broad.wcs, broad.shape, tolerance=1e-7)


def test_headers_about_a_position(tmp_path):
    assert mHdr("275.196 -16.172", 0.25, 0.2, tmp_path / "a.hdr") == {"status": "0", "count": 16}
    header = read_template(tmp_path / "a.hdr")
    assert (header["NAXIS1"], header["NAXIS2"], header["CRPIX1"], header["CTYPE1"]) == (900, 720, 450.5, "RA---TAN")
    assert (header["CRVAL1"], header["CRVAL2"], header["CDELT2"]) == (275.196, -16.172, 0.000277778)
    assert mHdr("15.0 -0.7 gal", 0.25, 0.2, tmp_path / "b.hdr", csys="GAL", resolution=1.5, rotation=30.0, band2MASS="j")["count"] == 16
    header = read_template(tmp_path / "b.hdr")
    assert (header["CRVAL1"], header["CROTA2"], header["MAGZP"], header["NAXIS1"]) == (15.0, 30.0, 20.9044, 600)
    assert mHdr("15.0 -0.7 gal", 0.25, 0.2, tmp_path / "c.hdr")["status"] == "0"
    centre = read_grid(tmp_path / "c.hdr").wcs.wcs.crval
    from astropy.coordinates import SkyCoord

    expected = SkyCoord(15.0, -0.7, unit="deg", frame="galactic").fk5
    assert np.allclose(centre, [expected.ra.deg, expected.dec.deg], atol=1e-8)


@pytest.mark.parametrize(
    "text",
    [
        "275.2 -16.17",
        "275.2d -16.17d",
        "18h20m48s -16d10m12s",
        "18 20 48 -16 10 12",
        "18:20:48.0, -16:10:12.0",
        "275.2,-16.17 eq j2000",
        "-84.8 -16.17",
    ],
)
def test_positions(text):
    assert parse_location(text)[2:] == ("EQUJ", 2000.0)
    assert parse_location(text)[:2] == pytest.approx((275.2, -16.17), abs=1e-9)


@pytest.mark.parametrize("text", ["", "M17", "275.2", "275.2 95", "18h 70m 0s -16d 0m 0s", "275.2 -16.17 moon", "1e400 2", "NGC 1 2 3"])
def test_bad_positions(text):
    with pytest.raises(InputError):
        parse_location(text)


BAD = [
    (lambda d: mGetHdr("nope.fits", d / "o"), "Image file (nope.fits) does not exist"),
    (lambda d: mGetHdr(d / "garbage.fits", d / "o"), "1st key not SIMPLE or XTENSION"),
    (lambda d: mGetHdr(d / "raw.fits", d / "no" / "o"), "{d}/no/o"),
    (lambda d: mGetHdr(d / "raw.fits", d / "o", hdu=2), "tried to move past end of file"),
    (lambda d: mGetHdr(d / "raw.fits", d / "o", htmlMode=7), "htmlMode 7"),
    (lambda d: mGetHdr("x" * 5000, d / "o"), "does not exist"),
    (lambda d: mHdr("M17", 0.25, 0.2, d / "o"), "names of objects would need a network"),
    (lambda d: mHdr("1 2", -0.25, 0.2, d / "o"), "width must be positive"),
    (lambda d: mHdr("1 2", 0.25, 0.2, d / "o", resolution=0.0), "resolution must be positive"),
    (lambda d: mHdr("1 2", 0.25, 0.2, d / "o", csys="FOO"), "Invalid system string."),
    (lambda d: mHdr("1 2", 0.25, 0.2, d / "no" / "o"), "Can't open output header file."),
    (lambda d: mHdr("1 2", 360.0, 0.2, d / "o", resolution=1e-4), "pixels, more than"),
    (lambda d: mTANHdr(d / "nope.hdr", d / "o"), "Bad template: {d}/nope.hdr"),
    (lambda d: mTANHdr(d / "bad.hdr", d / "o"), "line 1"),
    (lambda d: mTANHdr(d / "car.hdr", d / "no" / "o"), "Cannot open output template file {d}/no/o"),
    (lambda d: mTANHdr(d / "car.hdr", d / "o", tolerance=-1.0), "tolerance must be positive"),
    (lambda d: mTANHdr(d / "car.hdr", d / "o", order=40), "order 40"),
    (lambda d: mTANHdr(d / "car.hdr", d / "o", tolerance=1e-14), "closer than"),
    (lambda d: mMakeHdr("nope.tbl", d / "o"), "Invalid table file: nope.tbl"),
    (lambda d: mMakeHdr(d / "empty.tbl", d / "o"), "Invalid table file: {d}/empty.tbl"),
    (lambda d: mMakeHdr(d / "notable.tbl", d / "o"), "Invalid table file: {d}/notable.tbl"),
    (lambda d: mMakeHdr(d / "badcols.tbl", d / "o"), "Need columns: ctype1 ctype2 nl ns crval1 crval2 crpix1 crpix2 cdelt1 cdelt2 crota2"),
    (lambda d: mMakeHdr(d / "images.tbl", d / "no" / "o"), "Can't open output header file."),
    (lambda d: mMakeHdr(d / "images.tbl", d / "o", csys="FOO"), "Invalid system string. Must be EQUJ|EQUB|ECLJ|ECLB|GAL|SGAL"),
    (lambda d: mMakeHdr(d / "images.tbl", d / "o", pixelScale=-1.0), "pixelScale must not be negative"),
    (lambda d: mMakeHdr(d / "images.tbl", d / "o", pixelScale=1e-12), "pixelScale is in degrees"),
    (lambda d: mMakeHdr(d / "images.tbl", d / "o", pad=math.nan), "pad must not be negative"),
    (lambda d: mMakeHdr(d / "images.tbl", d / "o", equinox=12.0), "equinox 12.0"),
    (lambda d: mMakeHdr(None, d / "o"), "tblfile has to be a file name"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_calls(folder, number):
    call, text = BAD[number]
    answer = call(folder)
    assert answer["status"] == "1"
    assert text.format(d=folder) in answer["msg"].decode()
    assert not (folder / "o").exists()
