"""The stage `mscimage`: simulated exposures with a known sky, masks, noise, levels, lists, and what follows it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.camera import aperture, centroid, expose, make_sky
from support.shared import shared_path

import nbmosaic
from nbmosaic.errors import ConfigError, EmptyMosaicError, FormatError, InputError, SkippedFrameWarning
from nbmosaic.pipeline.camera.stage import mscimage
from nbmosaic.pipeline.frame_stages import header

CENTRE = (150.1, 22.3)


def measured(product, sky, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets in x and y from the true positions, and fluxes over the true ones, of the stars that are whole."""
    x, y = product.wcs.all_world2pix(sky.ra, sky.dec, 0)
    found = []
    for sx, sy, flux in zip(x, y, sky.flux, strict=True):
        i, j = round(float(sx)), round(float(sy))
        if not (14 <= i < product.shape[1] - 14 and 14 <= j < product.shape[0] - 14):
            continue
        if product.mask[j - 13 : j + 14, i - 13 : i + 14].any():
            continue
        cx, cy = centroid(product.data, sx, sy, sigma=sky.sigma, level=level)
        found.append((cx - sx, cy - sy, aperture(product.data, sx, sy, radius=9.0, level=level) / flux))
    assert len(found) >= 12
    return tuple(np.array(found).T)


SLOW = [pytest.param(name, kind, marks=pytest.mark.slow) for name in ("sinc17", "poly5", "lsinc31[200]") for kind in ("exact", "general")]


@pytest.mark.parametrize(("interpolant", "geometry"), [("spline3", "exact"), ("sinc", "exact"), ("spline3", "general"), *SLOW])
def test_stars_are_where_they_are(interpolant: str, geometry: str, tmp_path: Path) -> None:
    sky = make_sky(CENTRE)
    product = mscimage(expose(tmp_path / "a.fits", sky, CENTRE), interpolant=interpolant, geometry=geometry, trim=4)
    dx, dy, ratio = measured(product, sky, 100.0)
    assert np.abs(np.concatenate([dx, dy])).max() < 0.005
    area = 1.0  # surface brightness: the flux changes with the area of the pixels, which is within 1 per cent of that of the plane
    assert np.abs(ratio / area - 1).max() < 0.02
    assert product.table["map_error_pix"].max() < (1e-4 if geometry == "exact" else 5e-3)


def test_flux_is_conserved(tmp_path: Path) -> None:
    sky = make_sky(CENTRE)
    product = mscimage(expose(tmp_path / "a.fits", sky, CENTRE, level=0.0), fluxconserve=True, trim=4)
    _, _, ratio = measured(product, sky, 0.0)
    assert np.abs(ratio - 1).max() < 1e-3


@pytest.mark.parametrize(
    "interpolant",
    ["linear", "spline3", "sinc15", "drizzle", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nearest", "poly3", "poly5"))],
)
def test_variance_is_honest(interpolant: str, tmp_path: Path) -> None:
    sky = make_sky(CENTRE, n=0)
    path = expose(tmp_path / "a.fits", sky, CENTRE, noise=5.0, variance=True, shape=(260, 220))
    hdu = [f"im{k}" for k in range(1, 5)]
    product = mscimage(path, interpolant=interpolant, hdu=hdu, variance=[f"var{k}" for k in range(1, 5)], trim=16)
    good = product.mask == 0
    pull = (product.data[good] - 100.0) / np.sqrt(product.variance[good])
    assert 0.95 < pull.std() < 1.05
    assert abs(pull.mean()) < 0.05
    assert product.table["noise"].iloc[0] == pytest.approx(np.sqrt(product.variance[good].mean()), rel=0.1)


def test_right_ascension_zero(tmp_path: Path) -> None:
    sky = make_sky((0.001, -5.0))
    product = mscimage(expose(tmp_path / "a.fits", sky, (0.001, -5.0)), trim=4)
    assert (sky.ra > 300).sum() > 10
    assert (sky.ra < 60).sum() > 10
    dx, dy, _ = measured(product, sky, 100.0)
    assert np.abs(np.concatenate([dx, dy])).max() < 0.005
    assert max(product.shape) < 450


def test_mask_tells_bad_edge_gap_and_outside_apart(tmp_path: Path) -> None:
    sky = make_sky(CENTRE, n=0)
    path = expose(tmp_path / "a.fits", sky, CENTRE, bad=60)
    product = mscimage(path, trim=0)
    bits = {bit: (product.mask & bit) != 0 for bit in (1, 2, 4, 8)}
    assert all(flag.any() for flag in bits.values())
    blank = np.isnan(product.data)
    np.testing.assert_array_equal(blank & ~bits[1], (bits[4] | bits[8]) & ~bits[1])
    middle = product.mask[product.shape[0] // 2, product.shape[1] // 2]
    assert middle == 4
    assert product.mask[0, 0] & 8 or np.isfinite(product.data[0, 0])
    trimmed = mscimage(path, trim=8)
    assert not ((trimmed.mask & 2) != 0).any()  # the rim feeds the kernels
    # excluded bad pixels (20000 on a sky of 100) leave no trace
    assert np.nanmax(np.abs(product.data - 100.0)) < 1e-2


def test_bad_pixels_by_choice(tmp_path: Path) -> None:
    sky = make_sky(CENTRE, n=0)
    path = expose(tmp_path / "a.fits", sky, CENTRE, bad=60)
    filled, flagged = (mscimage(path, bad=choice, interpolant="sinc15") for choice in ("interpolate", "flag"))
    assert np.nanmax(np.abs(filled.data - 100.0)) < 1e-2
    assert np.nanmax(flagged.data) > 10000
    for product in (filled, flagged):  # values that bad pixels had a part in are there, but hidden from the stages that follow
        hidden = product.frame(0).data
        assert np.isnan(hidden[(product.mask & 1) != 0]).all()
        assert np.isfinite(product.data[(product.mask & 1) != 0]).any()


@pytest.mark.parametrize("interpolant", ["linear", "poly5", "spline3", "sinc15", "drizzle"])
def test_flag_marks_what_rings(interpolant: str, tmp_path: Path) -> None:
    """Bad pixels of 20000 on a sky of 100: what is unmarked holds less than 0.015 of that, as much as a column leaves of single weights below 0.01."""
    path = expose(tmp_path / "a.fits", make_sky(CENTRE, n=0), CENTRE, bad=60)
    flagged, excluded = (mscimage(path, bad=choice, interpolant=interpolant) for choice in ("flag", "exclude"))
    rest = np.isfinite(flagged.data) & ((flagged.mask & 1) == 0)
    assert np.abs(flagged.data[rest] - 100.0).max() < 0.015 * 19900
    narrow = np.isfinite(flagged.data) & ((excluded.mask & 1) == 0)  # the mask of the linear kernel alone
    assert (rest & ~narrow).sum() == 0
    if interpolant in {"poly5", "spline3", "sinc15"}:
        assert np.abs(flagged.data[narrow] - 100.0).max() > 1500
    assert rest.mean() > 0.5 * narrow.mean()


def test_pictures_of_image_and_mask(tmp_path: Path) -> None:
    path = expose(tmp_path / "a.fits", make_sky(CENTRE), CENTRE, bad=60)
    one = mscimage(path)
    assert nbmosaic.show(one)._repr_html_() == nbmosaic.show(one, kind="image")._repr_html_()
    mask = nbmosaic.show(one, kind="mask")
    assert 'alt="mask ' in mask._repr_html_()
    share = 100 * np.mean((one.mask & 1) != 0)
    assert f"bad {share:.1f} %" in mask._repr_html_()
    assert f"gap {100 * np.mean((one.mask & 4) != 0):.1f} %" in mask._repr_html_()
    two = mscimage(path, path)
    with pytest.raises(ConfigError, match="kind"):
        nbmosaic.show(two, kind="mask")
    assert "mask " in nbmosaic.show(two.exposure(1), kind="mask")._repr_html_()


def test_masks_may_be_compressed(tmp_path: Path) -> None:
    path = expose(tmp_path / "a.fits", make_sky(CENTRE), CENTRE, bad=60)
    plain = mscimage(path)
    with fits.open(tmp_path / "a_bpm.fits") as hdus:
        packed = [
            fits.PrimaryHDU(),
            *(fits.CompImageHDU(hdu.data.astype(np.int16), name=hdu.name, compression_type="PLIO_1") for hdu in hdus[1:]),
        ]
        fits.HDUList(packed).writeto(tmp_path / "packed.fits")
    (tmp_path / "a_bpm.fits").unlink()
    (tmp_path / "packed.fits").rename(tmp_path / "a_bpm.fits")
    product = mscimage(path)
    assert (product.mask & 1).any()
    np.testing.assert_array_equal(product.mask, plain.mask)
    np.testing.assert_array_equal(product.data, plain.data)


def test_integers_are_not_truncated(tmp_path: Path) -> None:
    sky = make_sky(CENTRE, n=0)
    product = mscimage(expose(tmp_path / "a.fits", sky, CENTRE, dtype=np.int16, noise=3.0), interpolant="linear")
    assert abs(np.nanmean(product.data) - 100.0) < 0.05
    assert np.mean(product.data[product.mask == 0] % 1 != 0) > 0.9


def test_dithers_stack_without_another_resampling(tmp_path: Path) -> None:
    sky = make_sky(CENTRE)
    offsets = [(0.0, 0.0), (0.004, 0.003), (-0.003, 0.005)]
    paths = []
    for k, (dx, dy) in enumerate(offsets):
        centre = (CENTRE[0] + dx, CENTRE[1] + dy)
        paths.append(expose(tmp_path / f"d{k}.fits", sky, centre, level=100.0 + 7.0 * k, noise=1.0, bad=40, seed=k))
    product = mscimage(*paths)
    assert len(product) == 3
    overlaps = nbmosaic.overlaps(product)
    model = nbmosaic.background(overlaps, slope=False)
    mosaic = nbmosaic.coadd(nbmosaic.correct(product, model))
    assert model.table["c"].diff().iloc[1:].to_numpy() == pytest.approx([7.0, 7.0], abs=0.1)
    assert np.nanmedian(mosaic.data) == pytest.approx(107.0, abs=0.3)
    one = product.exposure(1)
    y, x = one.box.ymin, one.box.xmin
    inside = one.data[50:60, 50:60] - 107.0 + np.nanmedian(mosaic.data)
    assert np.isfinite(mosaic.data[y + 50 : y + 60, x + 50 : x + 60]).all()
    assert inside.shape == (10, 10)
    again = nbmosaic.project(product, nbmosaic.header(product, scale=0.5))
    assert len(again) == 3
    assert len(nbmosaic.images(product, paths[0])) == 7


def test_levels_of_pieces_are_matched(tmp_path: Path) -> None:
    sky = make_sky(CENTRE, n=0)
    true = (0.0, 6.0, -4.0, 10.0)
    shift = 90 * 0.5 / 3600
    paths = [
        expose(tmp_path / f"d{k}.fits", sky, (CENTRE[0] + dx * shift, CENTRE[1] + dy * shift), levels=true, noise=1.0, seed=k)
        for k, (dx, dy) in enumerate([(0, 0), (1.3, 0.2), (0.2, 1.3), (1.2, 1.4)])
    ]
    product = mscimage(*paths, match="level")
    found = product.table["level"].to_numpy().reshape(4, 4)
    error = product.table["level_err"].to_numpy().reshape(4, 4)
    off = (found - found.mean()) - (np.array(true) - np.mean(true))
    assert np.abs(off).max() < 0.2
    assert (error > 0).all()
    assert np.nanstd(product.exposure(0).data) == pytest.approx(0.8, abs=0.25)
    gained = mscimage(*paths, match="gain").table["gain"].to_numpy().reshape(4, 4).mean(axis=0)
    assert gained / gained[0] == pytest.approx((100 + np.array(true)) / 100, rel=3e-3)


def test_given_grids(tmp_path: Path) -> None:
    sky = make_sky(CENTRE)
    path = expose(tmp_path / "a.fits", sky, CENTRE)
    first = mscimage(path)
    first.save(tmp_path / "mos.fits")
    with fits.open(tmp_path / "mos.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK"]
        assert hdus[0].header["CTYPE1"] == "RA---TAN"
        np.testing.assert_array_equal(hdus[1].data, first.mask)
    other = expose(tmp_path / "b.fits", sky, (CENTRE[0] + 0.002, CENTRE[1] - 0.001))
    moved = mscimage(other, reference=str(tmp_path / "mos.fits"))
    np.testing.assert_allclose(moved.wcs.wcs.crval, first.wcs.wcs.crval, rtol=0, atol=1e-12)
    shift = moved.wcs.wcs.crpix - first.wcs.wcs.crpix
    assert np.abs(shift - np.rint(shift)).max() < 1e-6
    same = mscimage(other, template=str(tmp_path / "mos.fits"))
    assert same.grid.shape == first.shape
    turned = mscimage(path, ra=150.0, dec=22.0, scale=0.6, rotation=30.0)
    assert turned.wcs.wcs.crval.tolist() == [150.0, 22.0]
    dx, dy, _ = measured(turned, type(sky)(sky.ra, sky.dec, sky.flux, sky.sigma * 0.5 / 0.6), 100.0)
    assert np.abs(np.concatenate([dx, dy])).max() < 0.005


@pytest.mark.parametrize("rotation", [30.0, -75.0])
def test_rotation_is_that_of_crota2(tmp_path: Path, rotation: float) -> None:
    path = expose(tmp_path / "a.fits", make_sky(CENTRE), CENTRE)
    for wcs in (mscimage(path, rotation=rotation).wcs, header(mscimage(path), rotation=rotation).wcs):
        x, y = wcs.wcs.crpix - 1
        low, high = wcs.pixel_to_world(x, y), wcs.pixel_to_world(x, y + 1)
        angle = low.position_angle(high).deg
        assert (angle + rotation + 180.0) % 360.0 == pytest.approx(180.0, abs=1e-4)


def test_bands_and_files_change_nothing(tmp_path: Path) -> None:
    sky = make_sky(CENTRE)
    path = expose(tmp_path / "a.fits", sky, CENTRE, bad=30, noise=2.0)
    one, two = mscimage(path), mscimage(path, max_memory="1MB", scratch=str(tmp_path))
    np.testing.assert_array_equal(one.data, two.data)
    np.testing.assert_array_equal(one.mask, two.mask)
    np.testing.assert_array_equal(one.frame(0).data, two.frame(0).data)


def test_cell_line(tmp_path: Path) -> None:
    from nbmosaic.pipeline.execution import Execution
    from nbmosaic.pipeline.recipe import Recipe, Step
    from nbmosaic.pipeline.run import run_recipe

    sky = make_sky(CENTRE)
    paths = [str(expose(tmp_path / f"{k}.fits", sky, (CENTRE[0] + 0.003 * k, CENTRE[1]), noise=1.0, seed=k)) for k in range(2)]
    steps = [Step(stage="mscimage", words=tuple(paths)), *(Step(stage=name) for name in ("overlaps", "background", "correct", "coadd"))]
    run = run_recipe(Recipe(steps=tuple(steps)), execution=Execution())
    assert list(run) == ["mscimage", "overlaps", "background", "correct", "coadd"]
    assert np.isfinite(run.mosaic.data).mean() > 0.85
    assert "2 exposures of 8 pieces" in repr(run["mscimage"])
    assert "<table" in run["mscimage"]._repr_html_()
    assert "<img" in nbmosaic.show(run["mscimage"].exposure(0))._repr_html_()


@pytest.mark.parametrize("interpolant", ["spline3", pytest.param("sinc", marks=pytest.mark.slow)])
def test_semi_real_stars(interpolant: str) -> None:
    """Stars of a real mosaic put through a DECam geometry and back: positions within 0.005 px; fluxes short of the 2 % gain of one detector."""
    folder = shared_path("data/mef_semireal")
    truth = np.genfromtxt(folder / "truth_stars.csv", delimiter=",", names=True)
    truth = truth[(truth["flux_r5arcsec_dn"] > 2000) & (truth["bg_scatter"] < 1)]
    offsets, ratios = [], []
    for number in range(1, 6):
        product = mscimage(str(folder / f"m42a_{number}.fits.gz"), interpolant=interpolant, fluxconserve=True)
        scale = 3600 * np.sqrt(abs(np.linalg.det(product.wcs.pixel_scale_matrix)))
        for sx, sy, flux in zip(*product.wcs.all_world2pix(truth["ra"], truth["dec"], 0), truth["flux_r5arcsec_dn"], strict=True):
            i, j = round(float(sx)), round(float(sy))
            if (
                not (20 <= i < product.shape[1] - 20 and 20 <= j < product.shape[0] - 20)
                or product.mask[j - 12 : j + 13, i - 12 : i + 13].any()
            ):
                continue
            y, x = np.mgrid[j - 18 : j + 19, i - 18 : i + 19]
            part, r = product.data[j - 18 : j + 19, i - 18 : i + 19], np.hypot(x - sx, y - sy) * scale
            level = float(np.nanmedian(part[(r > 9) & (r < 15)]))
            ratios.append(np.nansum((part - level) * np.clip((5 - r) / scale + 0.5, 0, 1)) / flux)
            cx, cy = centroid(product.data, sx, sy, sigma=1.3, level=level)
            if np.hypot(cx - sx, cy - sy) < 1:
                offsets.append((cx - sx, cy - sy))
    assert len(offsets) > 80
    assert np.abs(np.median(offsets, axis=0)).max() < 0.005
    assert np.median(np.abs(offsets)) < 0.01
    assert abs(np.median(ratios) - 0.99) < 0.01


class TestBadInput:
    """One clear line each."""

    def test_options(self, tmp_path: Path) -> None:
        path = expose(tmp_path / "a.fits", make_sky(CENTRE, n=0), CENTRE)
        for options, words in (
            ({"interpolant": "splin3"}, "did you mean spline3"),
            ({"trim": 80}, "trim 80 leaves nothing of a piece of 160 x 200"),
            ({"geometry": "general", "xxorder": 6, "nx": 4}, "too small for orders of 6 in x and 4 in y"),
            ({"nx": 12}, "nx cannot be used with geometry='exact'"),
            ({"constant": 3.0}, "boundary='constant'"),
            ({"bad": "forget"}, "bad cannot be"),
            ({"template": "x.hdr", "scale": 1.0}, "cannot be used with a template"),
        ):
            with pytest.raises((ConfigError, InputError, nbmosaic.NbmosaicError)) as caught:
                mscimage(path, **options)
            assert words in str(caught.value)
            assert "\n" not in str(caught.value)

    def test_files(self, tmp_path: Path) -> None:
        sky = make_sky(CENTRE, n=0)
        path = expose(tmp_path / "a.fits", sky, CENTRE, bad=5)
        (tmp_path / "a_bpm.fits").unlink()
        with pytest.raises(FormatError, match=r"mask a_bpm.fits\[im1\] of piece .*a.fits\[IM1\] does not exist"):
            mscimage(path)
        assert len(mscimage(path, bpm=False)) == 1
        fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(np.zeros((3, 4), np.uint8), name=f"im{k}") for k in range(1, 5))]).writeto(
            tmp_path / "a_bpm.fits"
        )
        with pytest.raises(InputError, match=r"is \(3, 4\), its frame .* is \(200, 160\)"):
            mscimage(path)
        fits.PrimaryHDU(np.ones((30, 30))).writeto(tmp_path / "nowcs.fits")
        with pytest.raises(InputError, match="no celestial WCS"):
            mscimage(tmp_path / "nowcs.fits")
        fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
        with pytest.raises(FormatError, match="holds no image"):
            mscimage(tmp_path / "empty.fits")

    def test_others_of_a_list_are_done(self, tmp_path: Path) -> None:
        path = expose(tmp_path / "a.fits", make_sky(CENTRE, n=0), CENTRE)
        fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
        with pytest.warns(SkippedFrameWarning, match=r"empty.fits holds no image"):
            product = mscimage(tmp_path / "empty.fits", path, on_error="skip")
        assert len(product) == 1

    def test_reference_far_away(self, tmp_path: Path) -> None:
        path = expose(tmp_path / "a.fits", make_sky(CENTRE, n=0), CENTRE)
        far = expose(tmp_path / "far.fits", make_sky(CENTRE, n=0), (CENTRE[0] + 170, -CENTRE[1]))
        with pytest.raises(InputError, match="does not see"):
            mscimage(path, reference=f"{far}[im1]")
        with pytest.raises(InputError, match="holds 4 images"):
            mscimage(path, reference=str(far))
        near = expose(tmp_path / "near.fits", make_sky(CENTRE, n=0), (CENTRE[0] + 1, CENTRE[1]))
        with pytest.raises(EmptyMosaicError, match="falls on the output grid"):
            mscimage(path, template=f"{near}[IM1]")

    def test_image_without_coordinates_is_named(self, tmp_path: Path) -> None:
        path = expose(tmp_path / "a.fits", make_sky(CENTRE, n=0), CENTRE)
        with fits.open(path, mode="append") as hdus:
            hdus.append(fits.ImageHDU(np.ones((20, 20), np.float32), name="guide"))
        with pytest.warns(SkippedFrameWarning, match=r"GUIDE\]: no celestial WCS"):
            assert len(mscimage(path).pieces) == 4
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mscimage(path, hdu=["im1", "im2", "im3", "im4"])


def test_other_processes_see_the_exposures(tmp_path: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor

    sky = make_sky(CENTRE)
    product = mscimage(expose(tmp_path / "a.fits", sky, CENTRE, bad=30, noise=2.0), bad="interpolate", scratch=str(tmp_path))
    data, mask = product.data.copy(), product.mask.copy()
    grid = nbmosaic.header(product)
    here = nbmosaic.project(product, grid, method="bilinear").frame(0).data.copy()
    with ProcessPoolExecutor(1) as executor:
        there = nbmosaic.project(product, grid, method="bilinear", executor=executor, scratch=str(tmp_path)).frame(0).data
    np.testing.assert_array_equal(here, there)
    again = product.exposure(0)
    np.testing.assert_array_equal(again.data, data)
    np.testing.assert_array_equal(again.mask, mask)
