"""Whole runs against the truth and against slow, obvious twins."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.core.geometry.grid import crop_grid
from nbmosaic.core.simulation import Detector
from nbmosaic.errors import DisconnectedMosaicWarning
from nbmosaic.pipeline.products import Grid
from nbmosaic.pipeline.simulation.frames import simulate_frames
from nbmosaic.types import PixelBox


def tan(shape, *, crval=(10.0, 20.0), shift=(0.0, 0.0), scale=1.0, turn=0.0):
    """WCS of a frame that is shifted (pixels of 1 arcsec) and turned (degrees)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = crval
    c, s = np.cos(np.radians(turn)) * scale / 3600, np.sin(np.radians(turn)) * scale / 3600
    wcs.wcs.cd = [[-c, s], [s, c]]
    middle = np.array([(shape[1] + 1) / 2, (shape[0] + 1) / 2])
    wcs.wcs.crpix = middle - np.asarray(shift) / scale
    wcs.wcs.set()
    wcs.array_shape = shape
    return wcs


def on_grid(product, name="data"):
    """All frames of a product on the whole grid, NaN outside."""
    grid = product.projected.grid if hasattr(product, "projected") else product.grid
    infos = product.projected.infos if hasattr(product, "projected") else product.infos
    stack = np.full((len(infos), *grid.shape), np.nan)
    for k, info in enumerate(infos):
        frame = product.frame(info.index)
        part = frame.box.intersection(grid.box)
        stack[k][part.slices()] = getattr(frame, name)[part.slices(frame.box)]
    return stack


# --- coadding --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["mean", "median", "sum", "min", "max", "first", "count"])
def test_every_way_to_combine(done, combine):
    stack = on_grid(done["correct"])
    count = np.isfinite(stack).sum(axis=0)
    mosaic = nbmosaic.coadd(done["correct"], combine=combine, weight="none")
    some = count > 0
    first = np.take_along_axis(stack, np.isfinite(stack).argmax(axis=0)[None], axis=0)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        want = {
            "mean": np.nanmean(stack, axis=0),
            "median": np.nanmedian(stack, axis=0),
            "sum": np.nansum(stack, axis=0),
            "min": np.nanmin(stack, axis=0),
            "max": np.nanmax(stack, axis=0),
            "first": first,
            "count": count.astype(float),
        }[combine]
    assert count.max() >= 4
    np.testing.assert_array_equal(mosaic.count, count)
    np.testing.assert_array_equal(mosaic.area == 0, ~some)
    np.testing.assert_array_equal(mosaic.mask, ~some)
    np.testing.assert_allclose(mosaic.data[some], want[some], rtol=2e-6, atol=1e-4)
    if combine != "count":
        assert np.isnan(mosaic.data[~some]).all()


def test_the_mean_is_weighted_by_area(done):
    stack, area = on_grid(done["correct"]), on_grid(done["project"], "area")
    area = np.where(np.isfinite(stack), area, 0.0)
    total = area.sum(axis=0)
    some = total > 0
    assert ((area > 0) & (area < 1)).any()
    np.testing.assert_allclose(done.mosaic.area, total, rtol=1e-6)
    want = np.nansum(stack * area, axis=0)[some] / total[some]
    np.testing.assert_allclose(done.mosaic.data[some], want, rtol=2e-6, atol=1e-4)


def test_clipping_removes_cosmic_rays(field, done):
    clipped = nbmosaic.coadd(done["correct"], combine="clipped", kappa=4.0)
    truth = field.truth_on(clipped.wcs, clipped.shape)
    deep = (done.mosaic.count >= 3) & np.isfinite(truth)
    level = np.nanmedian(done.mosaic.data - truth)
    with_rays, without = (np.abs(m.data - truth - level)[deep] for m in (done.mosaic, clipped))
    assert (with_rays > 40).sum() > 10
    assert (without > 40).sum() < 0.2 * (with_rays > 40).sum()


def test_weights_area_and_masks(tmp_path):
    """Planes from extensions of the files, against numpy."""
    rng = np.random.default_rng(3)
    for k in range(3):
        shape = (50, 60)
        header = tan(shape, shift=(8 * k, 5 * k)).to_header()
        data = rng.normal(50, 3, shape).astype(np.float32)
        flags = np.zeros(shape, np.int16)
        flags[10:14, 20:30] = 4  # bad
        flags[30:34, 20:30] = 1  # harmless
        data[10:14, 20:30] = 1e6
        weight = rng.uniform(0.5, 2, shape).astype(np.float32)
        planes = [fits.ImageHDU(flags, header, name="FLAGS"), fits.ImageHDU(weight, header, name="WHT")]
        fits.HDUList([fits.PrimaryHDU(data, header), *planes]).writeto(tmp_path / f"f{k}.fits")
    frames = nbmosaic.images(tmp_path, hdu=0, mask="FLAGS", mask_bits=4, weights="WHT")
    assert len(frames) == 3
    grid = nbmosaic.header(frames)
    for method in ("nearest", "bilinear", "area"):
        projected = nbmosaic.project(frames, grid, method=method)
        plain = nbmosaic.coadd(projected)
        assert np.nanmax(plain.data) < 100
        stack, weight = on_grid(projected), on_grid(projected, "weight")
        total = np.nansum(np.where(np.isfinite(stack), weight, np.nan), axis=0)
        want = np.nansum(stack * weight, axis=0) / np.where(total > 0, total, np.nan)
        mosaic = nbmosaic.coadd(projected, weight="weight")
        good = np.isfinite(want)
        np.testing.assert_allclose(mosaic.data[good], want[good], rtol=2e-6)
        assert np.isnan(mosaic.data[~good]).all()


@pytest.mark.parametrize("method", ["bilinear", "spline"])
def test_variance_against_noise(method):
    """Squares of pure noise over the propagated variance are 1 on average: for pixels between centres as for those upon them."""
    rng = np.random.default_rng(8)
    shape = (80, 90)
    places = [tan(shape), tan(shape, shift=(17.3, 9.6), turn=4), tan(shape, shift=(-12.4, 3.1), turn=-7, scale=1.1)]
    sigmas = [rng.uniform(0.5, 2, shape) for _ in places]
    grid = nbmosaic.header(nbmosaic.images(*[(np.zeros(shape), wcs) for wcs in places]))
    total, variance = 0.0, None
    for _ in range(20):
        pictures = [
            CCDData(rng.normal(0, sigma).astype(np.float32), unit="adu", wcs=wcs, uncertainty=StdDevUncertainty(sigma))
            for sigma, wcs in zip(sigmas, places, strict=True)
        ]
        run_frames = nbmosaic.images(*pictures)
        mosaic = nbmosaic.coadd(nbmosaic.project(run_frames, grid, method=method, jobs=1), weight="none", jobs=1)
        total, variance = total + np.asarray(mosaic.data, float) ** 2, mosaic.variance
    ratio = total / 20 / variance
    good = np.isfinite(ratio)
    assert good.sum() > 8000
    low = good & (variance < np.nanmedian(variance))
    assert abs(ratio[good].mean() - 1) < 0.03
    assert abs(ratio[low].mean() - 1) < 0.05
    assert abs(ratio[good & ~low].mean() - 1) < 0.05
    assert np.nanpercentile(variance, 90) > 2 * np.nanpercentile(variance, 10), "the variance does vary"


@pytest.mark.parametrize(
    ("method", "tolerance"), [("area", 1e-5), ("exact", 1e-6), ("spline", 2e-4), ("lanczos3", 2e-4), ("bilinear", 2e-4)]
)
def test_flux(method, tolerance):
    shape = (90, 100)
    y, x = np.indices(shape)
    data = np.zeros(shape)
    rng = np.random.default_rng(6)
    for cx, cy, flux in rng.uniform([25, 25, 1e3], [75, 65, 1e5], (12, 3)):
        data += flux * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 2.0**2))
    frames = nbmosaic.images((data, tan(shape, turn=11)))
    grid = nbmosaic.header(frames, scale=0.8)
    total = np.asarray(data, np.float32).sum(dtype=float)
    flux = nbmosaic.coadd(nbmosaic.project(frames, grid, method=method, conserve="flux"))
    assert abs(np.nansum(flux.data, dtype=float) / total - 1) < tolerance
    brightness = nbmosaic.coadd(nbmosaic.project(frames, grid, method=method))
    assert abs(np.nansum(brightness.data, dtype=float) * 0.8**2 / total - 1) < tolerance + 2e-7


# --- matching --------------------------------------------------------------------------------------------------------------------------


def test_a_template_that_cuts_frames_changes_nothing(done):
    box = PixelBox(90, 260, 150, 430)
    grid = Grid(crop_grid(done["header"].grid, box))
    assert all(not info.box.intersection(box).empty for info in done["project"].infos)
    assert any(info.box.intersection(box) != info.box for info in done["project"].infos)
    projected = nbmosaic.project(done["images"], grid)
    planes = nbmosaic.background(nbmosaic.overlaps(projected))
    columns = ["a", "b", "c", "a_err", "b_err", "c_err", "level"]
    np.testing.assert_allclose(planes.table[columns], done.table("background")[columns], rtol=1e-9, atol=1e-9)
    mosaic = nbmosaic.coadd(nbmosaic.correct(projected, planes))
    assert mosaic.shape == box.shape
    np.testing.assert_allclose(mosaic.data, done.mosaic.data[box.slices()], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(mosaic.count, done.mosaic.count[box.slices()])


def test_without_matching(field, done):
    run = nbmosaic.mosaic(field.folder, match=False)
    assert list(run) == ["images", "header", "project", "coadd"]
    np.testing.assert_array_equal(run.mosaic.data, nbmosaic.coadd(done["project"]).data)
    assert np.nanmax(np.abs(run.mosaic.data - done.mosaic.data)) > 10


def test_one_frame_alone(field):
    run = nbmosaic.mosaic(field.paths[3])
    assert run.warnings == ()
    assert (run.table("background")[["a", "b", "c"]] == 0).all(axis=None)
    assert len(run.table("overlaps")) == 0
    assert len(run.residuals()) == 0
    frame = run["project"].frame(0)
    part = frame.box.intersection(run["header"].grid.box)
    np.testing.assert_array_equal(run.mosaic.data[part.slices()], frame.data[part.slices(frame.box)])
    assert np.isfinite(frame.data).sum() == np.isfinite(run.mosaic.data).sum()
    assert "coadd" in repr(run)
    assert "<table" in run._repr_html_()


def test_two_groups(clean_field):
    """Frames 0, 3 and 2, 5 of two rows of three."""
    chosen = [clean_field.paths[k] for k in (0, 2, 3, 5)]
    with pytest.warns(DisconnectedMosaicWarning, match="fall into 2 groups") as caught:
        run = nbmosaic.mosaic(chosen)
    assert "frame_000" in str(caught[0].message)
    table = run.table("background")
    assert table.component.tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])
    for group in table.groupby("component"):
        np.testing.assert_allclose(group[1][["a", "b", "c"]].sum(), 0, atol=1e-10, err_msg="each group has its own zero")
    assert run.residuals().after.abs().max() < 0.1
    assert run.residuals().before.abs().max() > 10


def large_scale(run, field):
    """Root mean square of what is left of the mosaic when the truth and one plane are taken off, in noise of one frame."""
    mosaic = run.mosaic
    residual = mosaic.data - field.truth_on(mosaic.wcs, mosaic.shape)
    good = np.isfinite(residual)
    y, x = np.nonzero(good)
    design = np.column_stack([np.ones(len(x)), x, y])
    values = residual[good].astype(float)
    values -= design @ np.linalg.lstsq(design, values, rcond=None)[0]
    faint = np.abs(values) < 5  # the cores of stars measure the resampling
    assert faint.mean() > 0.98
    return float(values[faint].std())


@pytest.mark.parametrize(
    ("center", "options"),
    [
        ((83.82, -5.39), {}),
        ((0.003, 12.0), {}),
        ((359.998, -60.0), {"north_up": False}),
        ((47.0, 89.995), {}),
        ((200.0, -89.99), {"projection": "SIN"}),
        ((83.82, -5.39), {"system": "galactic"}),
        ((266.0, -28.0), {"system": "ecliptic", "scale": 1.2}),
        ((120.0, 40.0), {"system": "fk4", "rotation": 30.0}),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else f"{value[0]},{value[1]}",
)
def test_everywhere_on_the_sky(tmp_path, center, options):
    detector = Detector(noise=1.0, cosmic_rays=0, bad_columns=0)
    field = simulate_frames(tmp_path, n_frames=4, size=(90, 100), seed=2, overlap=0.3, center=center, detector=detector)
    run = nbmosaic.mosaic(tmp_path, **options)
    assert run.warnings == ()
    assert len(run["overlaps"]) == 6
    assert np.isfinite(run.mosaic.data).mean() > 0.35, "the grid is not much larger than the frames"
    assert max(run.mosaic.shape) < 420
    assert large_scale(run, field) < 1.1
    after, before = (run.residuals()[name].abs().max() for name in ("after", "before"))
    assert after < 0.1
    assert before > 10


# --- input -----------------------------------------------------------------------------------------------------------------------------


def test_images_in_memory_give_the_same_bits(field, done):
    grid, infos = done["header"], done["images"].infos
    hdus = [fits.PrimaryHDU(frame.data, frame.header) for frame in field.frames]
    pictures = [CCDData(frame.data, unit="adu", wcs=info.wcs) for frame, info in zip(field.frames, infos, strict=True)]
    pairs = [(frame.data.astype(">f8"), info.wcs) for frame, info in zip(field.frames, infos, strict=True)]
    for given in (hdus, pictures, pairs):
        before = [np.array(item.data if hasattr(item, "data") else item[0]) for item in given]
        projected = nbmosaic.project(nbmosaic.images(*given), grid)
        planes = nbmosaic.background(nbmosaic.overlaps(projected))
        np.testing.assert_array_equal(nbmosaic.coadd(nbmosaic.correct(projected, planes)).data, done.mosaic.data)
        for item, was in zip(given, before, strict=True):
            np.testing.assert_array_equal(item.data if hasattr(item, "data") else item[0], was)


def test_a_flux_scale(field, done):
    scaled = nbmosaic.mosaic([str(path) for path in field.paths], flux_scale=2.0)
    np.testing.assert_allclose(scaled.mosaic.data, 2 * done.mosaic.data, rtol=1e-4, atol=0.01)


def test_what_made_a_mosaic_is_written(done):
    notes = done.mosaic.provenance
    assert notes["method"] == "spline"
    assert len(notes["inputs"]) == 6
    assert notes["nbmosaic"] == nbmosaic.__version__
