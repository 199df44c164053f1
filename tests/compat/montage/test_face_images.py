"""mSubimage, mShrink, mFixNaN, mExamine, mHistogram: against MontagePy run now, golden files, slow twins and bad calls."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.montage_calls import call_montage
from support.shared import shared_path

from nbmosaic.compat.montage.images import mExamine, mFixNaN, mHistogram, mShrink, mSubimage
from nbmosaic.core.histogram import BINS, image_histogram, stretch_lookup
from nbmosaic.core.shrinking import shrink_image
from nbmosaic.core.stretch import parse_limit
from nbmosaic.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("raw_000_crota", "raw_003_gal-tan-cd", "raw_005_cd", "raw_010_pc-tan", "raw_006_fk4-crota"):
        packed = shared_path("golden/montage/raw") / f"{name}.fits.gz"
        (tmp_path / f"{name[4:7]}.fits").write_bytes(gzip.decompress(packed.read_bytes()))
    header = fits.getheader(tmp_path / "000.fits")
    data = np.full((20, 30), np.nan)
    data[5:9, 10:14] = np.arange(16.0).reshape(4, 4)
    fits.writeto(tmp_path / "border.fits", data, header)
    fits.writeto(tmp_path / "allnan.fits", data * np.nan, header)
    fits.writeto(tmp_path / "flat.fits", np.full((20, 30), 3, np.float32), header)
    fits.writeto(tmp_path / "int.fits", np.arange(600, dtype=np.int16).reshape(20, 30), header)
    fits.writeto(tmp_path / "cube.fits", np.arange(2400.0).reshape(4, 20, 30), header)
    fits.writeto(tmp_path / "nowcs.fits", np.arange(100.0).reshape(10, 10))
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(fits.getdata(tmp_path / "000.fits"), header)]).writeto(tmp_path / "ext.fits")
    (tmp_path / "garbage.fits").write_text("hello" * 1000)
    (tmp_path / "empty.fits").touch()
    whole = (tmp_path / "000.fits").read_bytes()
    (tmp_path / "trunc.fits").write_bytes(whole[: len(whole) // 2])
    return tmp_path


def same_wcs(one, two, tolerance=1e-9):
    for key in ("CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "CRVAL1", "CRVAL2", "CROTA2", "CD1_1", "CD2_1"):
        assert one.get(key, 0) == pytest.approx(two.get(key, 0), rel=1e-9, abs=tolerance), key


CUTS = [
    ("000.fits", (275.28, -16.23, 0.01, 0.02), {}),
    ("000.fits", (275.28, -16.23, 0.5, 0.5), {}),
    ("000.fits", (275.3, -16.2, -0.013, 0.02), {}),
    ("000.fits", (10, 20, 50, 40), {"mode": 1}),
    ("000.fits", (10.7, 20.4, 1000, 0), {"mode": 1}),
    ("005.fits", (275.225, -16.17, 0.011, 0.012), {}),
    ("010.fits", (275.165, -16.114, 0.011, 0.012), {}),
    ("border.fits", (0, 0, 0, 0), {"mode": 3}),
    ("ext.fits", (2, 3, 5, 6), {"mode": 1, "hdu": 1}),
    ("cube.fits", (2, 3, 5, 6), {"mode": 1}),
    ("int.fits", (2, 3, 5, 6), {"mode": 1}),
]


@pytest.mark.peer
def test_subimage_as_montage(folder):
    calls = [("mSubimage", (name, f"m{i}.fits", *region), options) for i, (name, region, options) in enumerate(CUTS)]
    theirs = call_montage(folder, calls)
    for i, (name, region, options) in enumerate(CUTS):
        ours = mSubimage(folder / name, folder / f"o{i}.fits", *region, **options)
        assert ours == theirs[i], name
        with fits.open(folder / f"o{i}.fits") as a, fits.open(folder / f"m{i}.fits") as b:
            assert a[0].header["BITPIX"] == b[0].header["BITPIX"]
            assert np.array_equal(a[0].data, b[0].data.reshape(a[0].data.shape), equal_nan=a[0].data.dtype.kind == "f")
            same_wcs(a[0].header, b[0].header)


def test_subimage_where_montage_is_wrong(folder):
    assert mSubimage(folder / "000.fits", folder / "all.fits", 0, 0, 0, 0, mode=2) == {"status": "0", "content": b"normal"}
    assert fits.getheader(folder / "all.fits")["CRPIX1"] == 128.5
    assert mSubimage(folder / "flat.fits", folder / "f.fits", 1, 1, 5, 5, mode=1)["content"] == b"flat"
    assert mSubimage(folder / "allnan.fits", folder / "f.fits", 1, 1, 5, 5, mode=1)["content"] == b"blank"
    cut = mSubimage(folder / "003.fits", folder / "g.fits", 275.1088, -16.228, 0.01, 0.02)
    assert cut["status"] == "0"
    header = fits.getheader(folder / "g.fits")
    centre = WCS(header).pixel_to_world((header["NAXIS1"] - 1) / 2, (header["NAXIS2"] - 1) / 2).icrs
    assert abs(centre.ra.deg - 275.1088) * 3600 < 1.2
    assert abs(centre.dec.deg + 16.228) * 3600 < 1.2
    assert mSubimage(folder / "nowcs.fits", folder / "n.fits", 2, 3, 5, 6, mode=1, nowcs=True)["status"] == "0"


FACTORS = [(3.0, {}), (2.7, {}), (100.0, {"fixedSize": True}), (2.0, {"cdelt": 0.0005}), (1.0, {})]


@pytest.mark.peer
def test_shrink_as_montage(folder):
    theirs = call_montage(folder, [("mShrink", ("005.fits", f"m{i}.fits", f), o) for i, (f, o) in enumerate(FACTORS)])
    for i, (factor, options) in enumerate(FACTORS):
        ours = mShrink(folder / "005.fits", folder / f"o{i}.fits", factor, **options)
        assert ours["status"] == theirs[i]["status"] == "0"
        assert isinstance(ours["time"], float)
        with fits.open(folder / f"o{i}.fits") as a, fits.open(folder / f"m{i}.fits") as b:
            assert a[0].data.dtype == b[0].data.dtype
            assert a[0].data.shape == b[0].data.shape
            # Montage's last row is shifted; with fractional factors its ring of rows is one too short, and only the first row of the result is right
            rows = slice(0, -2) if a[0].data.shape[0] * factor in {256, 255} else slice(0, 1)
            np.testing.assert_allclose(a[0].data[rows], b[0].data[rows], rtol=3e-7)
            same_wcs(a[0].header, b[0].header, 1e-11)


def test_shrink_of_the_golden_mosaic(tmp_path):
    source = shared_path("golden/montage/mosaic/mpy_pp_mean.fits.gz")
    for name, factor, fixed in (("v60_shrink_3", 3, False), ("v60_shrink_fixed200", 200, True)):
        golden = fits.getdata(shared_path(f"golden/montage/mosaic/{name}.fits.gz"))
        assert mShrink(source, tmp_path / "s.fits", factor, fixedSize=fixed)["status"] == "0"
        ours = fits.getdata(tmp_path / "s.fits")
        assert abs(ours.shape[0] - golden.shape[0]) <= 2
        assert abs(ours.shape[1] - golden.shape[1]) <= 2


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 1.7, 2.0, 3.5, 7.0])
def test_shrink_by_hand(factor):
    rng = np.random.default_rng(3)
    image = rng.normal(size=(11, 17))
    image[rng.random(image.shape) < 0.1] = np.nan
    out = shrink_image(image, factor)
    assert out.shape == (int(11 / factor + 1e-9), int(17 / factor + 1e-9))
    for (y, x), value in np.ndenumerate(out):
        total = area = 0.0
        for j in range(11):
            for i in range(17):
                part = max(0.0, min(j + 1, (y + 1) * factor) - max(j, y * factor)) * max(
                    0.0, min(i + 1, (x + 1) * factor) - max(i, x * factor)
                )
                if np.isfinite(image[j, i]):
                    total, area = total + part * image[j, i], area + part
        assert abs(value - total / area) < 1e-12 if area > 1e-9 else np.isnan(value)


def test_shrink_keeps_distortions_in_place(tmp_path):
    header = fits.Header(
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 30.5, "CRPIX2": 25.5}
    )
    header.update({"CD1_1": -1e-3, "CD2_2": 1e-3, "A_ORDER": 3, "B_ORDER": 2, "A_2_0": 1e-4, "A_3_0": 1e-6, "B_1_1": 2e-4})
    fits.writeto(tmp_path / "sip.fits", np.ones((60, 80)), header)
    assert mShrink(tmp_path / "sip.fits", tmp_path / "s.fits", 4)["status"] == "0"
    small, large = WCS(fits.getheader(tmp_path / "s.fits")), WCS(header)
    x, y = np.array([2.0, 17.0]), np.array([1.0, 12.0])
    here, there = small.all_pix2world(x, y, 0), large.all_pix2world((x + 0.5) * 4 - 0.5, (y + 0.5) * 4 - 0.5, 0)
    np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


FIXES = [
    (0, 0.0, 1, [240.0], [1], [0.0], [0]),
    (0, 0.0, 1, [0.0], [0], [270.0], [1]),
    (0, 0.0, 2, [240.0, 300.0], [0, 1], [260.0, 0.0], [0, 0]),
    (1, -5.0, 1, [240.0], [0], [260.0], [0]),
    (1, -5.0, 0, [], [], [], []),
    (0, 0.0, 0, [], [], [], []),
]


@pytest.mark.peer
def test_fix_nan_as_montage(folder):
    theirs = call_montage(folder, [("mFixNaN", ("005.fits", f"m{i}.fits", *fix), {}) for i, fix in enumerate(FIXES)])
    for i, fix in enumerate(FIXES):
        ours = mFixNaN(folder / "005.fits", folder / f"o{i}.fits", *fix)
        assert ours == theirs[i]
        assert np.array_equal(fits.getdata(folder / f"o{i}.fits"), fits.getdata(folder / f"m{i}.fits"), equal_nan=True)
        assert fits.getheader(folder / f"o{i}.fits")["BITPIX"] == -64


def test_fix_nan_finds_what_is_no_sky(tmp_path):
    header = fits.Header(
        {
            "CTYPE1": "RA---AIT",
            "CTYPE2": "DEC--AIT",
            "CRVAL1": 0.0,
            "CRVAL2": 0.0,
            "CRPIX1": 40.5,
            "CRPIX2": 20.5,
            "CDELT1": -4.5,
            "CDELT2": 4.5,
        }
    )
    fits.writeto(tmp_path / "ait.fits", np.zeros((40, 80)), header)
    answer = mFixNaN(tmp_path / "ait.fits", tmp_path / "o.fits", 0, 0.0, 0, [], [], [], [], boundaries=True)
    data = fits.getdata(tmp_path / "o.fits")
    y, x = np.mgrid[:40, :80]
    outside = (((x - 39.5) * 4.5 / 162.06) ** 2 + ((y - 19.5) * 4.5 / 81.03) ** 2) > 1
    assert np.array_equal(np.isnan(data), outside)
    assert answer["boundaryCount"] == outside.sum()


LOOKS = [
    ("000.fits", {}),
    ("005.fits", {}),
    ("006.fits", {}),
    ("010.fits", {}),
    ("003.fits", {}),
    ("ext.fits", {"hdu": 1}),
    ("000.fits", {"areaMode": 1, "ra": 275.28, "dec": -16.23, "radius": 0.01}),
    ("000.fits", {"areaMode": 1, "ra": 100, "dec": 120, "radius": 5, "locinpix": True, "radinpix": True}),
    ("000.fits", {"areaMode": 2, "ra": 14, "dec": 182, "radius": 8, "locinpix": True, "radinpix": True}),
]
PLACES = ("rac", "decc", *(f"{k}{i}" for k in ("ra", "dec") for i in (1, 2, 3, 4, "ref", "min", "max")))


@pytest.mark.peer
def test_examine_as_montage(folder):
    theirs = call_montage(folder, [("mExamine", (name,), options) for name, options in LOOKS])
    for (name, options), answer in zip(LOOKS, theirs, strict=True):
        ours = mExamine(folder / name, **options)
        assert list(ours) == list(answer)
        for key, value in answer.items():
            assert type(ours[key]) is type(value), key
            if key in {
                "lonc",
                "latc",
                "totalflux",
                "naxis3",
                "naxis4",
            }:  # of an image of two axes Montage reads the last ones from foreign memory
                continue
            places = 3e-4 if name in {"003.fits", "006.fits"} else 2e-9
            tolerance = {"rotequ": 2e-2 if places > 1e-5 else 2e-4, "radius": 1e-12}.get(key, places if key in PLACES else 1e-9)
            if isinstance(value, float):
                assert ours[key] == pytest.approx(value, rel=1e-9, abs=tolerance), (name, key)
            else:
                assert ours[key] == value, (name, key)
        assert abs(ours["lonc"] - answer["lonc"]) < 4e-4


def test_examine_where_montage_is_wrong(folder):
    whole = mExamine(folder / "cube.fits", plane3=2)
    assert (whole["npixel"], whole["fluxmin"], whole["fluxmax"]) == (600, 600.0, 1199.0)
    image = fits.getdata(folder / "000.fits").astype(float)
    flux = mExamine(folder / "000.fits", areaMode=2, ra=12, dec=183, radius=9, locinpix=True, radinpix=True)["totalflux"]
    y, x = np.mgrid[:256, :256]
    near = np.hypot(x - 11, y - 182)
    level = np.median(image[(near > 8) & (near < 14)])
    assert flux == pytest.approx((image - level)[near <= 9 / math.sqrt(2)].sum(), rel=0.15)
    blank = mExamine(folder / "allnan.fits")
    assert (blank["npixel"], blank["nnull"]) == (0, 600)
    assert math.isnan(blank["fluxmax"])


@pytest.mark.parametrize("stretch", ["linear", "power", "log", "gaussian", "gaussian-log", "asinh"])
def test_histogram_file(folder, stretch):
    out = folder / "h.hist"
    answer = mHistogram(folder / "005.fits", out, "1%", "99.5%", stretch, betaString="2s")
    data = fits.getdata(folder / "005.fits").astype(float)
    good = data[np.isfinite(data)]
    assert answer["status"] == "0"
    assert (answer["datamin"], answer["datamax"]) == (good.min(), good.max())
    assert answer["minpercent"] == pytest.approx(1.0, abs=1e-6)
    assert (good < answer["maxval"]).mean() == pytest.approx(0.995, abs=2 / good.size)
    assert answer["maxsigma"] == pytest.approx(
        (answer["maxval"] - np.median(good)) / (np.diff(np.percentile(good, [16, 84]))[0] / 2), rel=1e-3
    )
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    assert lines[0].startswith("Type ")
    start = lines.index("Stretch Lookup")
    lookup = np.array([float(line.split()[1]) for line in lines[start + 1 : start + 257]])
    assert (lookup == 0).all() if stretch not in {"gaussian", "gaussian-log"} else (np.diff(lookup) >= 0).all()
    bins = np.loadtxt(lines[start + 259 :], max_rows=BINS)
    assert bins.shape == (BINS, 5)
    assert bins[:, 2].sum() == good.size
    assert f"npix {good.size}" in lines


def test_gaussian_stretch_makes_a_gaussian():
    rng = np.random.default_rng(5)
    values = rng.exponential(size=50_000)
    histogram = image_histogram(values)
    table = stretch_lookup(histogram, float(np.percentile(values, 1)), float(np.percentile(values, 99)))
    grey = np.searchsorted(table, values[(values > table[0]) & (values < table[-1])])
    centred = (grey - grey.mean()) / grey.std()
    assert abs((centred**3).mean()) < 0.1  # the exponential distribution itself: 2
    assert abs(histogram.percentile_of(histogram.value_at(37.0)) - 37.0) < 1e-6


@pytest.mark.parametrize(
    ("text", "kind", "number", "extra"),
    [
        ("1%", "percent", 1, 0),
        ("-2s", "sigma", -2, 0),
        ("min", "percent", 0, 0),
        ("max-5", "percent", 100, -5),
        (" +1.5e2 ", "value", 150, 0),
        ("med+3", "percent", 50, 3),
    ],
)
def test_limits(text, kind, number, extra):
    limit = parse_limit(text)
    assert (limit.kind, limit.number, limit.extra) == (kind, number, extra)


@pytest.mark.parametrize("text", ["", "abc", "101%", "-1%", "1x", "1%%", "nan", "1 2"])
def test_bad_limits(text):
    with pytest.raises(InputError, match="'"):
        parse_limit(text)


BAD = [
    (lambda d: mSubimage(d / "nope.fits", d / "o.fits", 0, 0, 1, 1), "File {d}/nope.fits not found."),
    (lambda d: mSubimage(d / "000.fits", d / "o.fits", 0, 0, 1, 1), "Region outside image."),
    (lambda d: mSubimage(d / "000.fits", d / "o.fits", 275.3, 60.0, 1, 1), "Region outside image."),
    (lambda d: mSubimage(d / "000.fits", d / "o.fits", 300, 300, 10, 10, mode=1), "Region outside image."),
    (lambda d: mSubimage(d / "000.fits", d / "o.fits", math.nan, 0, 1, 1), "not finite"),
    (lambda d: mSubimage(d / "allnan.fits", d / "o.fits", 0, 0, 0, 0, mode=3), "No pixels match area."),
    (lambda d: mSubimage(d / "nowcs.fits", d / "o.fits", 2, 3, 5, 6), "No CTYPE1 keyword in FITS header"),
    (lambda d: mSubimage(d / "ext.fits", d / "o.fits", 2, 3, 5, 6, mode=1, hdu=7), "tried to move past end of file"),
    (lambda d: mSubimage(d / "000.fits", d / "no" / "o.fits", 275.28, -16.23, 1, 1), "Can't create output file: {d}/no/o.fits"),
    (lambda d: mSubimage(d / "garbage.fits", d / "o.fits", 0, 0, 1, 1), "File ({d}/garbage.fits) is not a FITS image"),
    (lambda d: mSubimage(d / "000.fits", d / "o.fits", 0, 0, 1, 1, mode=9), "mode 9"),
    (lambda d: mShrink(d / "nope.fits", d / "o.fits", 2.0), "Image file {d}/nope.fits missing or invalid FITS"),
    (lambda d: mShrink(d / "garbage.fits", d / "o.fits", 2.0), "Image file {d}/garbage.fits missing or invalid FITS"),
    (lambda d: mShrink(d / "empty.fits", d / "o.fits", 2.0), "Image file {d}/empty.fits missing or invalid FITS"),
    (lambda d: mShrink(d / "000.fits", d / "o.fits", 0.0), "Shrink factor must be positive"),
    (lambda d: mShrink(d / "000.fits", d / "o.fits", -2.0), "Shrink factor must be positive"),
    (lambda d: mShrink(d / "000.fits", d / "o.fits", math.nan), "Shrink factor must be positive"),
    (lambda d: mShrink(d / "000.fits", d / "o.fits", -2.0, fixedSize=True), "Requested image size must be positive"),
    (lambda d: mShrink(d / "000.fits", d / "o.fits", 1000.0), "Trying to shrink image to smaller than one pixel"),
    (lambda d: mShrink(d / "000.fits", d / "no" / "o.fits", 2.0), "couldn't create the named file"),
    (lambda d: mShrink(d / "000.fits", d / "o.fits", 2.0, hdu=3), "tried to move past end of file"),
    (lambda d: mShrink(d / "trunc.fits", d / "o.fits", 2.0), "trunc.fits is truncated"),
    (lambda d: mFixNaN(d / "nope.fits", d / "o.fits", 0, 0.0, 0, [], [], [], []), "File {d}/nope.fits not found."),
    (lambda d: mFixNaN(d / "000.fits", d / "no" / "o.fits", 0, 0.0, 0, [], [], [], []), "couldn't create the named file"),
    (lambda d: mFixNaN(d / "000.fits", d / "o.fits", 0, 0.0, 3, [1.0], [1], [0], [0]), "minblank has 1 entries"),
    (lambda d: mExamine(d / "nope.fits"), "Cannot open FITS file {d}/nope.fits"),
    (lambda d: mExamine(d / "garbage.fits"), "Cannot open FITS file {d}/garbage.fits"),
    (lambda d: mExamine(d / "nowcs.fits"), "nowcs.fits has no celestial WCS"),
    (lambda d: mExamine(d / "ext.fits"), "HDU 0 of {d}/ext.fits holds no image"),
    (lambda d: mExamine(d / "ext.fits", hdu=4), "no HDU 4"),
    (lambda d: mExamine(d / "cube.fits", plane3=9), "not plane 9"),
    (lambda d: mExamine(d / "000.fits", areaMode=1, ra=1.0, dec=1.0), "Location off the image."),
    (lambda d: mExamine(d / "000.fits", areaMode=1, ra=275.28, dec=-16.23, radius=-1), "radius must be positive"),
    (lambda d: mHistogram(d / "nope.fits", d / "h", "0", "1", "linear"), "Image file {d}/nope.fits invalid FITS"),
    (lambda d: mHistogram(d / "000.fits", d / "h", "0", "1", "cubic"), "stretch 'cubic'"),
    (lambda d: mHistogram(d / "000.fits", d / "h", "zero", "1", "linear"), "'zero' is not a valid display min"),
    (lambda d: mHistogram(d / "000.fits", d / "h", "0", "1", "asinh", betaString="x"), "'x' is not a valid beta value"),
    (lambda d: mHistogram(d / "000.fits", d / "h", "0", "1", "linear", 20, 10, 5, 6), "Invalid pixel range."),
    (lambda d: mHistogram(d / "allnan.fits", d / "h", "0", "1", "linear"), "All pixels are blank"),
    (lambda d: mHistogram(d / "000.fits", d / "no" / "h", "0", "1", "linear"), "Cannot open output histogram file."),
    (lambda d: mShrink(None, d / "o.fits", 2.0), "the image has to be a file name"),
    (lambda d: mShrink("x" * 3000, d / "o.fits", 2.0), "x"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_calls(folder, number):
    call, text = BAD[number]
    before = {p.name for p in folder.iterdir()}
    answer = call(folder)
    assert answer["status"] == "1"
    assert isinstance(answer["msg"], bytes)
    assert text.format(d=folder) in answer["msg"].decode()
    assert {p.name for p in folder.iterdir()} == before  # nothing half-written is left behind


def test_bytes_and_text_names(folder):
    assert mShrink(str(folder / "000.fits").encode(), str(folder / "o.fits"), 2)["status"] == "0"
    assert Path(folder / "o.fits").exists()
