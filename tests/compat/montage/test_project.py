"""mProject, mProjectPP, mProjectQL and mProjExec against Montage's own frames, their options, and bad calls."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.montage import MontageRun, read_ipac
from support.shared import shared_path

from nbmosaic.compat.montage import mImgtbl, mProject, mProjectPP, mProjectQL, mProjExec

AREA = np.radians(0.000277778) ** 2
ELSEWHERE = ("gal-tan", "fk4")  # Montage puts these frames 0.4 arcsec off


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Golden raw frames, unpacked, with the template and an image table."""
    folder = tmp_path_factory.mktemp("raw")
    golden = shared_path("golden/montage")
    (folder / "in").mkdir()
    for file in (golden / "raw").glob("*.gz"):
        (folder / "in" / file.name.removesuffix(".gz")).write_bytes(gzip.decompress(file.read_bytes()))
    (folder / "t.hdr").write_bytes((golden / "mosaic.hdr").read_bytes())
    mImgtbl(folder / "in", folder / "i.tbl")
    return folder


def aligned(a: Path, b: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two images on the pixels of both (a sliver at the edge may make one of them a row larger)."""
    first, second = fits.getdata(a), fits.getdata(b)
    x, y = (int(fits.getheader(a)[f"CRPIX{i}"] - fits.getheader(b)[f"CRPIX{i}"]) for i in (1, 2))
    assert abs(x) <= 1
    assert abs(y) <= 1
    assert max(abs(m - n) for m, n in zip(first.shape, second.shape, strict=True)) <= 2
    first, second = first[max(0, y) :, max(0, x) :], second[max(0, -y) :, max(0, -x) :]
    ny, nx = (min(m, n) for m, n in zip(first.shape, second.shape, strict=True))
    return first[:ny, :nx], second[:ny, :nx]


def rms(a: Path, b: Path) -> float:
    difference = np.subtract(*aligned(a, b))
    return float(np.sqrt(np.nanmean(difference**2)))


@pytest.fixture(scope="module")
def exact(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exact")
    assert mProjExec(raw / "in", raw / "i.tbl", raw / "t.hdr", folder, exact=True) == {
        "status": "0",
        "count": 12,
        "failed": 0,
        "nooverlap": 0,
    }
    return folder


def test_golden_frames(exact: Path) -> None:
    golden = shared_path("golden/montage")
    for file in sorted((golden / "proj_pp").glob("*.fits.gz")):
        assert rms(exact / file.name.removesuffix(".gz"), file) < (1e-4 if "area" not in file.name else 1e-6 * AREA), file
    for file in sorted((golden / "proj_full").glob("*.fits.gz")):
        if "area" not in file.name and not any(kind in file.name for kind in ELSEWHERE):  # Montage's spherical polygons lose digits
            assert rms(exact / file.name.removesuffix(".gz"), file) < 5e-3, file


@pytest.mark.peer
def test_live_plane_to_plane(montage_chain: MontageRun, raw: Path, exact: Path, tmp_path: Path) -> None:
    assert mProjExec(raw / "in", raw / "i.tbl", raw / "t.hdr", tmp_path)["failed"] == 0
    for name in montage_chain.names:
        if any(kind in name for kind in ELSEWHERE):
            continue
        theirs = montage_chain.folder / "projected" / f"hdu0_{name}"
        assert rms(exact / f"hdu0_{name}", theirs) < 1e-4
        assert rms(tmp_path / f"hdu0_{name}", theirs) < 1e-4
        area = theirs.with_name(theirs.stem + "_area.fits")
        assert np.nanmax(np.abs(np.subtract(*aligned(exact / area.name, area)))) < 1e-5 * AREA


def test_nearest_is_golden(raw: Path, tmp_path: Path) -> None:
    golden = shared_path("golden/montage/mosaic/v60_ql_one_hdu0_raw_007_crota.fits.gz")
    assert mProjectQL(raw / "in/raw_007_crota.fits", tmp_path / "q.fits", raw / "t.hdr")["status"] == "0"
    ours, theirs = aligned(tmp_path / "q.fits", golden)
    assert (ours == theirs)[np.isfinite(theirs)].all()
    assert not (tmp_path / "q_area.fits").exists()
    assert mProjectQL(raw / "in/raw_007_crota.fits", tmp_path / "l.fits", raw / "t.hdr", interp=1, noAreas=False)["status"] == "0"
    area = fits.getdata(tmp_path / "l_area.fits")
    assert set(np.unique(area)) == {0.0, 1.0}
    assert ((area > 0) == np.isfinite(fits.getdata(tmp_path / "l.fits"))).all()


class TestOptions:
    def project(self, raw: Path, tmp_path: Path, **options) -> tuple[np.ndarray, np.ndarray, fits.Header]:
        answer = mProject(raw / "in/raw_000_crota.fits", tmp_path / "o.fits", raw / "t.hdr", **options)
        assert answer["status"] == "0", answer
        return fits.getdata(tmp_path / "o.fits"), fits.getdata(tmp_path / "o_area.fits") / AREA, fits.getheader(tmp_path / "o.fits")

    def test_areas_are_those_of_the_input(self, raw: Path, tmp_path: Path) -> None:
        size = 256**2
        for options, expected in [({}, 1.0), ({"borderstr": 10}, 236**2 / size), ({"fixedWeight": 2.5}, 2.5), ({"drizzle": 0.5}, 0.25)]:
            _, area, _ = self.project(raw, tmp_path, **options)
            assert area.sum() == pytest.approx(expected * size, rel=1e-4), options

    def test_whole_template_and_flux_scale(self, raw: Path, tmp_path: Path) -> None:
        plain, _, cropped = self.project(raw, tmp_path)
        data, area, header = self.project(raw, tmp_path, fullRegion=True, fluxScale=2.0)
        assert data.shape == area.shape == (717, 921)
        assert (header["CRPIX1"], header["CRPIX2"]) == (461, 359)
        x, y = int(461 - cropped["CRPIX1"]), int(359 - cropped["CRPIX2"])
        np.testing.assert_allclose(data[y : y + plain.shape[0], x : x + plain.shape[1]], 2 * plain, rtol=1e-6)
        assert (np.isfinite(data) == (area > 0)).all()

    def test_energy_is_kept(self, raw: Path, tmp_path: Path) -> None:
        data, _, _ = self.project(raw, tmp_path, energyMode=True)
        assert np.nansum(data) == pytest.approx(np.nansum(fits.getdata(raw / "in/raw_000_crota.fits"), dtype=float), rel=1e-5)

    def test_weights(self, raw: Path, tmp_path: Path) -> None:
        header = fits.getheader(raw / "in/raw_000_crota.fits")
        weight = np.where(np.arange(256) < 100, 0.5, 0.1)[:, None] * np.ones(256)
        fits.PrimaryHDU(weight, header).writeto(tmp_path / "w.fits")
        _, area, _ = self.project(raw, tmp_path, weight_file=tmp_path / "w.fits", threshold=0.2)
        assert area.sum() == pytest.approx(0.5 * 100 * 256, rel=1e-4)
        data, area, _ = self.project(raw, tmp_path, weight_file=tmp_path / "w.fits")
        plain, _, _ = self.project(raw, tmp_path)
        assert area.sum() == pytest.approx(256 * (50 + 15.6), rel=1e-4)
        assert np.nanmedian(np.abs(data - plain)) < 1e-3  # equal weights leave the mean alone

    def test_polygon(self, raw: Path, tmp_path: Path) -> None:
        _, area, _ = self.project(raw, tmp_path, borderstr="10.5,10.5,60.5,10.5,60.5,30.5,10.5,30.5")
        assert area.sum() == pytest.approx(50 * 20, rel=1e-4)

    def test_expand(self, raw: Path, tmp_path: Path) -> None:
        small = (raw / "t.hdr").read_text().replace("NAXIS1  = 921", "NAXIS1  = 100")
        (tmp_path / "small.hdr").write_text(small)
        frame = raw / "in/raw_000_crota.fits"
        outside = mProjectPP(frame, tmp_path / "o.fits", tmp_path / "small.hdr")
        inside = mProjectPP(frame, tmp_path / "o.fits", tmp_path / "small.hdr", expand=True)
        assert inside["status"] == "0"
        assert outside["status"] == "1" or fits.getdata(tmp_path / "o.fits").shape[1] > 250

    def test_alternate_headers(self, raw: Path, tmp_path: Path) -> None:
        frame, other = raw / "in/raw_000_crota.fits", raw / "in/raw_002_crota.fits"
        mProjectPP(frame, tmp_path / "a.fits", raw / "t.hdr", altin=other)
        mProjectPP(other, tmp_path / "b.fits", raw / "t.hdr")
        a, b = (fits.getheader(tmp_path / name) for name in ("a.fits", "b.fits"))
        assert (a["CRPIX1"], a["CRPIX2"]) == (b["CRPIX1"], b["CRPIX2"])


def test_batch(raw: Path, tmp_path: Path) -> None:
    table = (raw / "i.tbl").read_text().splitlines()
    columns = [line for line in table if line.startswith("|")]
    rows = [line for line in table if "raw_00" in line][:3]
    rows[1] = rows[1].replace("raw_00", "gone_0")
    head = [f"{columns[0]}scale |", f"{columns[1]}real  |"]
    (tmp_path / "i.tbl").write_text("\n".join([*head, *(f"{row.ljust(len(columns[0]))}  2.0 " for row in rows)]) + "\n")
    options = {"quickMode": True, "scaleCol": "scale", "stats": tmp_path / "s.tbl"}
    answer = mProjExec(raw / "in", tmp_path / "i.tbl", raw / "t.hdr", tmp_path, **options)
    assert (answer["status"], answer["count"], answer["failed"], answer["nooverlap"]) == ("1", 3, 1, 0)
    assert b"gone" in answer["msg"]
    stats = read_ipac(tmp_path / "s.tbl")
    assert [str(value) for value in stats.stat[1:]].count("ERROR") == 1
    name = rows[0].split()[-1]
    plain = mProjectQL(raw / "in" / name, tmp_path / "plain.fits", raw / "t.hdr")
    assert plain["status"] == "0"
    np.testing.assert_allclose(fits.getdata(tmp_path / f"hdu0_{name}"), 2 * fits.getdata(tmp_path / "plain.fits"))
    assert (tmp_path / f"hdu0_{name.removesuffix('.fits')}_area.fits").exists()
    assert mProjExec(raw / "in", tmp_path / "i.tbl", raw / "t.hdr", tmp_path, quickMode=True, restart=2)["count"] == 1


def test_far_template_is_no_failure_but_no_success(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "far.hdr").write_text((raw / "t.hdr").read_text().replace("275.19", "75.19"))
    answer = mProjExec(raw / "in", raw / "i.tbl", tmp_path / "far.hdr", tmp_path)
    assert (answer["status"], answer["count"], answer["failed"], answer["nooverlap"]) == ("0", 12, 0, 12)
    assert mProject(raw / "in/raw_000_crota.fits", tmp_path / "o.fits", tmp_path / "far.hdr")["msg"] == b"No overlap"


FRAME = "in/raw_000_crota.fits"


@pytest.mark.parametrize("function", [mProject, mProjectPP, mProjectQL])
@pytest.mark.parametrize(
    ("arguments", "options", "names"),
    [
        (("nope.fits", "o.fits", "t.hdr"), {}, "nope.fits"),
        (("t.hdr", "o.fits", "t.hdr"), {}, "t.hdr"),
        ((FRAME, "o.fits", "nope.hdr"), {}, "nope.hdr"),
        ((FRAME, "o.fits", "bad.hdr"), {}, "bad.hdr"),
        ((FRAME, "no/o.fits", "t.hdr"), {}, "no/o.fits"),
        ((FRAME, "o.fits", "t.hdr"), {"borderstr": "abc"}, "Border value string (abc)"),
        ((FRAME, "o.fits", "t.hdr"), {"hdu": 3}, "HDU 3"),
        ((FRAME, "o.fits", "t.hdr"), {"weight_file": "nope.fits"}, "Weight file nope.fits"),
        ((FRAME, "o.fits", "t.hdr"), {"fixedWeight": -1.0}, "fixedWeight"),
        (("nan.fits", "o.fits", "t.hdr"), {}, "All pixels are blank"),
        (("nowcs.fits", "o.fits", "t.hdr"), {}, "nowcs.fits"),
        (("cut.fits", "o.fits", "t.hdr"), {}, "truncated"),
    ],
)
def test_bad_calls(raw: Path, monkeypatch: pytest.MonkeyPatch, function, arguments, options, names: str) -> None:
    monkeypatch.chdir(raw)
    header = fits.getheader(FRAME)
    fits.PrimaryHDU(np.full((256, 256), np.nan, "f4"), header).writeto("nan.fits", overwrite=True)
    fits.PrimaryHDU(np.ones((9, 9))).writeto("nowcs.fits", overwrite=True)
    Path("cut.fits").write_bytes(Path(FRAME).read_bytes()[:20000])
    Path("bad.hdr").write_text("this is no header\n")
    answer = function(*arguments, **options)
    assert answer["status"] == "1"
    assert names in answer["msg"].decode()
    assert not Path("o.fits").exists()


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda d: mProjExec(d / "in", d / "nope.tbl", d / "t.hdr"), "does not exist"),
        (lambda d: mProjExec(d / "in", d / "t.hdr", d / "t.hdr"), "t.hdr"),
        (lambda d: mProjExec(d / "in", d / "i.tbl", d / "t.hdr", d / "no"), "Output directory ("),
        (lambda d: mProjExec(d / "in", d / "i.tbl", d / "nope.hdr", d), "Template file "),
        (lambda d: mProjExec(d / "in", d / "i.tbl", d / "t.hdr", d, scaleCol="flux"), "flux"),
        (lambda d: mProjExec(d / "in", d / "i.tbl", d / "t.hdr", d, restart=99), "restart"),
        (lambda d: mProjExec(d / "in", d / "i.tbl", d / "t.hdr", d, drizzle=2.0), "drizzle"),
        (lambda d: mProjectQL(d / FRAME, d / "o.fits", d / "t.hdr", interp=5), "interp"),
    ],
)
def test_bad_batches(raw: Path, call, names: str) -> None:
    answer = call(raw)
    assert answer["status"] == "1"
    assert names in answer["msg"].decode()


def test_all_failed_is_an_error(raw: Path, tmp_path: Path) -> None:
    answer = mProjExec(tmp_path, raw / "i.tbl", raw / "t.hdr", tmp_path)
    assert (answer["status"], answer["count"], answer["failed"]) == ("1", 12, 12)


def test_extension_and_carriage_returns(raw: Path, tmp_path: Path) -> None:
    with fits.open(raw / FRAME) as hdus:
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(hdus[0].data, hdus[0].header)]).writeto(tmp_path / "mef.fits")
    (tmp_path / "crlf.hdr").write_bytes((raw / "t.hdr").read_bytes().replace(b"\n", b"\r\n"))
    for function in (mProject, mProjectPP, mProjectQL):
        assert function(tmp_path / "mef.fits", tmp_path / "o.fits", tmp_path / "crlf.hdr", hdu=1)["status"] == "0"


@pytest.mark.parametrize("projection", ["ZEA", "CEA", "TAN", "SIN"])
def test_other_projections_fall_in_place(tmp_path: Path, projection: str) -> None:
    """Montage gives ZEA frames half the size and drops CEA frames."""
    header = fits.Header()
    header.update(CTYPE1=f"RA---{projection}", CTYPE2=f"DEC--{projection}", CRVAL1=40.0, CRVAL2=0.0 if projection == "CEA" else 3.0)
    header.update(CRPIX1=60.5, CRPIX2=60.5, CDELT1=-0.002, CDELT2=0.002)
    if projection == "CEA":
        header["CRPIX2"] = 60.5 - 1500
    template = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 40.0, "CRVAL2": 3.0, "CRPIX1": 50.5, "CRPIX2": 50.5}
    text = "NAXIS1 = 100\nNAXIS2 = 100\nCDELT1 = -0.0015\nCDELT2 = 0.0015\n"
    (tmp_path / "t.hdr").write_text(text + "".join(f"{key} = {value!r}\n" for key, value in template.items()))
    y, x = np.mgrid[:120, :120]
    sky = WCS(header).pixel_to_world(x, y)
    data = 100 + 500 * (sky.ra.deg - 40) + 300 * (sky.dec.deg - 3)
    fits.PrimaryHDU(data.astype("f4"), header).writeto(tmp_path / "f.fits")
    (tmp_path / "i.tbl").write_text("| fname  |\n| char   |\n f.fits  \n")
    (tmp_path / "o").mkdir()
    for exact in (True, False):
        assert mProjExec(tmp_path, tmp_path / "i.tbl", tmp_path / "t.hdr", tmp_path / "o", exact=exact)["status"] == "0"
        got = fits.getdata(tmp_path / "o/f.fits")
        place = WCS(fits.getheader(tmp_path / "o/f.fits")).pixel_to_world(*np.meshgrid(np.arange(got.shape[1]), np.arange(got.shape[0])))
        expected = 100 + 500 * (place.ra.deg - 40) + 300 * (place.dec.deg - 3)
        wrong = (got - expected)[5:-5, 5:-5]  # 1 a pixel: overlaps weigh whole pixels, so single values are off by a fraction of that
        assert np.nanmax(np.abs(wrong)) < 0.5
        assert abs(np.nanmean(wrong)) < 0.01
        assert np.isfinite(got).mean() > 0.95


@pytest.mark.parametrize("change", [{"RADESYS": "ICRS"}, {"RADESYS": "FK5", "EQUINOX": 2000.0}, {"RADECSYS": "FK5"}, {}])
def test_icrs_is_fk5(change: dict, raw: Path, tmp_path: Path) -> None:
    """mMakeHdr names no system, which means FK5; ICRS frames must not move by the 0.02 arcsec between the two, for Montage does not know them apart."""
    with fits.open(raw / "in/raw_000_crota.fits") as hdus:
        for key in ("RADESYS", "RADECSYS", "EQUINOX"):
            hdus[0].header.remove(key, ignore_missing=True)
        hdus[0].header.update(change)
        hdus.writeto(tmp_path / "i.fits")
    before = (tmp_path / "i.fits").read_bytes()
    for template in ("EQUINOX = 2000", "RADESYS = 'ICRS'", "RADESYS = 'FK5'"):
        (tmp_path / "t.hdr").write_text((raw / "t.hdr").read_text().replace("EQUINOX = 2000", template))
        assert mProject(tmp_path / "i.fits", tmp_path / "o.fits", tmp_path / "t.hdr")["status"] == "0"
        assert rms(tmp_path / "o.fits", shared_path("golden/montage/proj_pp/hdu0_raw_000_crota.fits.gz")) < 1e-4
        assert fits.getheader(tmp_path / "o.fits")["RADESYS"] == ("ICRS" if "ICRS" in template else "FK5")  # the template's, spelt out
    assert (tmp_path / "i.fits").read_bytes() == before
