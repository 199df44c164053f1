"""fit_map and transform: arrays, files, objects; geotran's numbers from its own files; WCS; errors."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, NDData, StdDevUncertainty
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.core.geometry.fitted_map import evaluate
from nbmosaic.errors import ConfigError, FormatError, InputError, NbmosaicWarning, ShapeError, SingularFitError, TableFormatError
from nbmosaic.io.geomap_database import read_geomap_database
from nbmosaic.types.camera import PieceFlag
from tests.support.iraf_stages import piece_pixels, stage_image
from tests.support.shared import shared_path

OUT = np.array([[0.0, 0], [39, 0], [0, 29], [39, 29], [20, 15]])


def tan_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (150.0, 2.0), (18.0, 12.0)
    wcs.wcs.cdelt = -1e-4, 1e-4
    return wcs


def linear_map(origin: int = 0):
    return nbmosaic.fit_map(
        (OUT + origin, OUT @ np.array([[0.9, 0.2], [-0.1, 1.1]]) + [3, -2] + origin),
        origin=origin, xxorder=2, xyorder=2, yxorder=2, yyorder=2,
    )  # fmt: skip


def image(shape=(34, 50)) -> np.ndarray:
    return np.random.default_rng(1).normal(100, 5, shape).astype(np.float32)


@pytest.mark.parametrize("name", ["linear", "poly5", "spline3", "sinc"])
def test_geotran_from_its_own_files(tmp_path, name: str) -> None:
    folder = shared_path("golden/mscimage")
    fits.writeto(tmp_path / "piece.fits", piece_pixels(folder, trimmed=True))
    tag = name if name == "sinc" else f"constant_{name}"
    golden = stage_image(folder, tag)
    found = nbmosaic.transform(
        tmp_path / "piece.fits", folder / "stage/db1_chebyshev.txt", interpolant=name, boundary="constant", constant=-100.0, sample=10
    )
    assert found.limits == (5, 122, 2, 249)
    d = np.abs(found.data[: golden.shape[0], : golden.shape[1]] - golden)
    inside = (found.mask & (PieceFlag.EDGE if name == "sinc" else 0))[: golden.shape[0], : golden.shape[1]] == 0
    assert np.median(d[inside]) < 1e-3
    assert d[inside].max() < 0.5


def test_points_from_files_and_arrays_give_the_same_map(tmp_path) -> None:
    folder = shared_path("golden/mscimage/geomap")
    table = np.loadtxt(folder / "gm.txt")
    options = {"limits": (1, 1024, -310, 710), "xxterms": "full", "yxterms": "full"}
    a = nbmosaic.fit_map(folder / "gm.txt", output=tmp_path / "out.db", record="night 1", **options)
    b = nbmosaic.fit_map(table, origin=1, **options)
    c = nbmosaic.fit_map((table[:, :2], table[:, 2:]), origin=1, **options)
    assert np.array_equal(a.distortion_x, b.distortion_x)
    assert np.array_equal(a.distortion_y, c.distortion_y)
    assert a.origin == 1
    assert np.array_equal(read_geomap_database(tmp_path / "out.db")["night 1"].distortion_x, a.distortion_x)
    (theirs,) = read_geomap_database(folder / "gm_che_full.db").values()
    np.testing.assert_allclose(a.distortion_x, theirs.distortion_x, rtol=1e-8)
    with pytest.raises(FormatError, match="exists"):
        nbmosaic.fit_map(folder / "gm.txt", output=tmp_path / "out.db")


@pytest.mark.parametrize("origin", [0, 1])
def test_wcs_of_a_linear_map(tmp_path, origin: int) -> None:
    wcs, fitted = tan_wcs(), linear_map(origin)
    path = tmp_path / "in.fits"
    fits.writeto(path, image(), wcs.to_header())
    found = nbmosaic.transform(path, fitted, limits=(4, 30, -3, 20))
    assert found.data.shape == (24, 27)
    y, x = np.mgrid[0:24, 0:27]
    v, u = evaluate(fitted, y - 3 - origin, x + 4 - origin)
    for one, other in zip(found.wcs.pixel_to_world_values(x, y), wcs.pixel_to_world_values(u, v), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)
    found.save(tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as hdus:
        assert np.array_equal(hdus[0].data, found.data)
        assert np.array_equal(hdus["MASK"].data, found.mask)
        np.testing.assert_allclose(WCS(hdus[0].header).wcs.crpix, found.wcs.wcs.crpix)
    with pytest.raises(FormatError, match="exists"):
        found.save(tmp_path / "out.fits")


def test_wcs_given_and_wcs_unknown() -> None:
    wcs = tan_wcs()
    found = nbmosaic.transform(image(), linear_map(), limits=(4, 30, -3, 20), wcs=wcs)
    np.testing.assert_allclose(found.wcs.wcs.crpix, [14.0, 15.0])
    assert nbmosaic.transform(image(), linear_map()).wcs is None
    assert wcs.wcs.crpix[0] == 18.0
    bent = nbmosaic.fit_map(np.random.default_rng(3).uniform(0, 30, (40, 4)) * [1, 1, 0, 0] + [0, 0, 5, 5])
    assert nbmosaic.transform((image(), wcs), bent).wcs is None


def test_wcs_that_cannot_be_used_is_named(tmp_path) -> None:
    header = tan_wcs().to_header()
    header["CDELT1"] = 0.0
    fits.writeto(tmp_path / "f.fits", image(), header)
    with pytest.warns(NbmosaicWarning, match=r"WCS of .*f\.fits is not used"):
        found = nbmosaic.transform(tmp_path / "f.fits", linear_map())
    assert found.wcs is None


def test_kinds_of_input_agree(tmp_path) -> None:
    data, bad = image(), np.zeros((34, 50), bool)
    bad[10, 12] = True
    sigma = np.full(data.shape, 2.0, np.float32)
    fitted = linear_map()
    plain = nbmosaic.transform(data, fitted, interpolant="poly3", mask=bad, variance=sigma**2)
    assert plain.variance is not None
    ccd = CCDData(data, unit="adu", mask=bad, uncertainty=StdDevUncertainty(sigma), wcs=tan_wcs())
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="one"), fits.ImageHDU(data + 1, name="two")]).writeto(tmp_path / "f.fits")
    for other in (
        nbmosaic.transform(ccd, fitted, interpolant="poly3"),
        nbmosaic.transform(f"{tmp_path}/f.fits", fitted, interpolant="poly3", mask=bad, variance=sigma**2),
        nbmosaic.transform(f"{tmp_path}/f.fits[one]", fitted, interpolant="poly3", mask=bad.astype(int) * 4, variance=sigma**2),
        nbmosaic.transform(NDData(data, mask=bad), fitted, interpolant="poly3", variance=sigma**2),
    ):
        assert np.array_equal(other.data, plain.data)
        assert np.array_equal(other.mask, plain.mask)
        np.testing.assert_allclose(other.variance, plain.variance)
    assert not np.array_equal(nbmosaic.transform(f"{tmp_path}/f.fits[two]", fitted, interpolant="poly3").data, plain.data)
    assert plain.mask.max() < 16
    assert (plain.mask & PieceFlag.BAD).any()
    assert (plain.mask & PieceFlag.OUTSIDE).any()


def test_product_shows_itself() -> None:
    found = nbmosaic.transform(image(), linear_map(), interpolant="sinc17")
    assert "sinc17" in repr(found)
    assert "sinc17" in found._repr_html_()
    assert found.table.loc[0, "nx"] == 40


def test_bad_calls(tmp_path) -> None:
    fitted = linear_map()
    (tmp_path / "points.txt").write_text("1 2 3 4\n# no\n1 2 3\n")
    (tmp_path / "text.db").write_text("nothing")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    cases = [
        (lambda: nbmosaic.transform(image(), fitted, interpolant="lanczos"), ConfigError, "interpolant"),
        (lambda: nbmosaic.transform(image(), fitted, record="a"), ConfigError, "record"),
        (lambda: nbmosaic.transform(image(), fitted, sample=0.5), ConfigError, "sample"),
        (lambda: nbmosaic.transform(image(), fitted, limits=(5, 4, 0, 3)), InputError, "no pixel"),
        (lambda: nbmosaic.transform(image(), fitted, limits=(0.5, 4, 0, 3)), ConfigError, "whole"),
        (lambda: nbmosaic.transform(image(), fitted, limits=(0, 10**6, 0, 10**6)), InputError, "too large"),
        (lambda: nbmosaic.transform(image(), fitted, mask=np.zeros((2, 2))), ShapeError, "mask"),
        (lambda: nbmosaic.transform(image()[0], fitted), ShapeError, "two axes"),
        (lambda: nbmosaic.transform(image() > 0, fitted), InputError, "type bool"),
        (lambda: nbmosaic.transform(tmp_path / "empty.fits", fitted), InputError, "no image"),
        (lambda: nbmosaic.transform(tmp_path / "none.fits", fitted), FormatError, "none.fits"),
        (lambda: nbmosaic.transform(NDData(image(), uncertainty=StdDevUncertainty(image())), fitted), InputError, "variance="),
        (lambda: nbmosaic.transform((image(), tan_wcs()), fitted, mask=image() > 0), InputError, "its own mask"),
        (lambda: nbmosaic.transform(image(), tmp_path / "text.db"), TableFormatError, "no geomap record"),
        (lambda: nbmosaic.fit_map(np.zeros((4, 3))), ShapeError, r"\(n, 4\)"),
        (lambda: nbmosaic.fit_map(tmp_path / "points.txt"), TableFormatError, "line 3"),
        (lambda: nbmosaic.fit_map(tmp_path / "none.txt"), FormatError, "none.txt"),
        (lambda: nbmosaic.fit_map((OUT, OUT)), SingularFitError, "too few"),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
