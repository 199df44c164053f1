"""mAdd against the golden mosaics, the real Montage and a slow twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.montage import MontageRun, read_template

from nbmosaic.compat.montage import mAdd, mImgtbl

TEMPLATE = (
    "NAXIS1 = 30\nNAXIS2 = 20\nCTYPE1 = 'RA---TAN'\nCTYPE2 = 'DEC--TAN'\nCRVAL1 = 10.0\nCRVAL2 = 5.0\n"
    "CRPIX1 = 15.0\nCRPIX2 = 10.0\nCDELT1 = -0.001\nCDELT2 = 0.001\n"
)
AREA = np.radians(0.001) ** 2


@pytest.mark.peer
@pytest.mark.parametrize("shrink", [False, True])
def test_mean_is_montages(montage_chain: MontageRun, tmp_path: Path, shrink: bool) -> None:
    run = montage_chain.folder
    answer = mAdd(run / "corrected", run / "corrected.tbl", run / "template.hdr", tmp_path / "m.fits", haveAreas=True, shrink=shrink)
    assert answer["status"] == "0"
    assert set(answer) == {"status", "time"}
    ours, area = fits.getdata(tmp_path / "m.fits"), fits.getdata(tmp_path / "m_area.fits")
    theirs, header = montage_chain.mosaic, read_template(run / "template.hdr")
    own = fits.getheader(tmp_path / "m.fits")
    x0, y0 = (int(header[f"CRPIX{i}"] - own[f"CRPIX{i}"]) for i in (1, 2))
    assert (x0 > 0) == shrink
    where = (slice(y0, y0 + ours.shape[0]), slice(x0, x0 + ours.shape[1]))
    assert np.isfinite(ours).sum() == np.isfinite(theirs).sum()
    np.testing.assert_allclose(ours, theirs[where], atol=1e-10)
    np.testing.assert_allclose(area, montage_chain.area[where], atol=1e-20)


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """Five frames with holes and partial pixels; stacks of their values and areas on the template."""
    rng = np.random.default_rng(8)
    (tmp_path / "t.hdr").write_text(TEMPLATE)
    (tmp_path / "in").mkdir()
    values, areas = np.full((5, 20, 30), np.nan), np.zeros((5, 20, 30))
    for k in range(5):
        x0, y0 = int(rng.integers(0, 14)), int(rng.integers(0, 8))
        data, area = rng.normal(0, 1, (12, 15)), AREA * rng.uniform(0.2, 1.0, (12, 15))
        data[rng.random(data.shape) < 0.1] = np.nan
        area[~np.isfinite(data)] = 0
        header = fits.Header()
        header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=5.0, CDELT1=-0.001, CDELT2=0.001)
        header["CRPIX1"], header["CRPIX2"] = 15.0 - x0, 10.0 - y0
        fits.PrimaryHDU(data, header).writeto(tmp_path / f"in/f{k}.fits")
        fits.PrimaryHDU(area, header).writeto(tmp_path / f"in/f{k}_area.fits")
        values[k, y0 : y0 + 12, x0 : x0 + 15], areas[k, y0 : y0 + 12, x0 : x0 + 15] = data, area
    mImgtbl(tmp_path / "in", tmp_path / "i.tbl")
    return tmp_path, values, areas


def slow(values: np.ndarray, areas: np.ndarray, coadd: int) -> np.ndarray:
    out = np.full(values.shape[1:], np.nan)
    for j, i in np.ndindex(out.shape):
        v, a = values[:, j, i], areas[:, j, i]
        good = np.isfinite(v) & (a > (0.5 * AREA if coadd == 1 else 0))
        if good.any():
            out[j, i] = [np.average(v[good], weights=a[good]), np.median(v[good]), good.sum(), v[good].sum()][coadd]
    return out


@pytest.mark.parametrize("coadd", range(4))
def test_all_ways_are_the_slow_twins(frames, coadd: int) -> None:
    folder, values, areas = frames
    assert mAdd(folder / "in", folder / "i.tbl", folder / "t.hdr", folder / "m.fits", haveAreas=True, coadd=coadd)["status"] == "0"
    np.testing.assert_allclose(fits.getdata(folder / "m.fits"), slow(values, areas, coadd), atol=1e-12)
    got = fits.getdata(folder / "m_area.fits")
    assert ((got > 0) == np.isfinite(fits.getdata(folder / "m.fits"))).all()


def test_without_areas_every_value_counts_fully(frames) -> None:
    folder, values, _ = frames
    mAdd(folder / "in", folder / "i.tbl", folder / "t.hdr", folder / "m.fits")
    with np.errstate(invalid="ignore"):
        n = np.isfinite(values).sum(axis=0)
        mean = np.where(n > 0, np.nansum(values, axis=0) / np.maximum(n, 1), np.nan)
    np.testing.assert_allclose(fits.getdata(folder / "m.fits"), mean, atol=1e-12)
    assert (fits.getdata(folder / "m_area.fits") == n).all()


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda d: mAdd(d / "in", d / "nope.tbl", d / "t.hdr", d / "o.fits"), "Invalid image metadata file"),
        (lambda d: mAdd(d / "in", d / "t.hdr", d / "t.hdr", d / "o.fits"), "t.hdr"),
        (lambda d: mAdd(d / "no", d / "i.tbl", d / "t.hdr", d / "o.fits"), "no/f"),
        (lambda d: mAdd(d / "in", d / "i.tbl", d / "nope.hdr", d / "o.fits"), "nope.hdr"),
        (lambda d: mAdd(d / "in", d / "i.tbl", d / "far.hdr", d / "o.fits"), "CRVAL1 does not match template"),
        (lambda d: mAdd(d / "in", d / "i.tbl", d / "t.hdr", d / "no/o.fits"), "no/o.fits"),
        (lambda d: mAdd(d / "in", d / "i.tbl", d / "t.hdr", d / "o.fits", coadd=9), "coadd is 9"),
        (lambda d: mAdd("x" * 3000, d / "i.tbl", d / "t.hdr", d / "o.fits"), "xxx"),
        (lambda d: mAdd(d / "in", d / "mixed.tbl", d / "t.hdr", d / "o.fits"), "not in same pixel space"),
        (lambda d: mAdd(d / "in", None, d / "t.hdr", d / "o.fits"), "tblfile"),
    ],
)
def test_bad_calls(frames, call, names: str) -> None:
    folder = frames[0]
    (folder / "far.hdr").write_text(TEMPLATE.replace("CRVAL1 = 10.0", "CRVAL1 = 100.0"))
    text = (folder / "i.tbl").read_text()
    (folder / "mixed.tbl").write_text(text.replace("10.0000000", "10.1000000", 1) if "10.0000000" in text else text)
    answer = call(folder)
    assert answer["status"] == "1"
    assert names in answer["msg"].decode()
    assert not (folder / "o.fits").exists()
