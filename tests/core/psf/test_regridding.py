"""Regridding against a plain sum over all source pixels, known sources, Monte Carlo noise, and mpdaf's result."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from scipy import special
from support.shared import shared_path

from nbmosaic.core.geometry.sky import celestial_transform
from nbmosaic.core.psf import regridding
from nbmosaic.core.psf.fourier_window import resampling_window
from nbmosaic.core.psf.regridding import regrid, regrid_image, rescaled
from nbmosaic.errors import InputError, NoOverlapError, ShapeError
from nbmosaic.io.image_planes import read_sky_image
from nbmosaic.types.sky_image import SkyImage


def grid(step, shape, rotation=0.0, mirrored=False, off=(0.0, 0.0)):
    wcs = WCS(naxis=2)
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [53.16, -27.78]
    wcs.wcs.crpix = [(shape[1] + 1) / 2 + off[0], (shape[0] + 1) / 2 + off[1]]
    wcs.wcs.cd = step / 3600 * np.array([[c, -s], [s, c]]) @ np.diag([1.0 if mirrored else -1.0, 1.0])
    return wcs


def kernel_table(reach=70.0):
    """Response of the window at distances in target pixels: Hankel transform by the trapezoidal rule."""
    f = np.linspace(0, 1, 2001)
    r = np.linspace(0, reach, 3501)
    wave = f * resampling_window(f)
    table = np.concatenate([np.trapezoid(wave * special.j0(np.pi * np.outer(part, f)), f, axis=1) for part in np.array_split(r, 14)])
    return r, np.pi / 2 * table


def stars(wcs, shape, seed=3, n=25, sigma=0.06, margin=0.0, total=40.0):
    """Gaussian sources (sigma in arcsec) at random places of the sky, flux per pixel; returns the image and where they are."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(margin, shape[1] - 1 - margin, n), rng.uniform(margin, shape[0] - 1 - margin, n)
    flux = rng.uniform(0.2, 1, n) * total / n
    step = 3600 * np.sqrt(abs(np.linalg.det(wcs.wcs.cd)))
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for x0, y0, f in zip(x, y, flux, strict=True):
        image += f * (step / sigma) ** 2 / (2 * np.pi) * np.exp(-0.5 * ((xx - x0) ** 2 + (yy - y0) ** 2) * (step / sigma) ** 2)
    return image


FINE, COARSE = (300, 320), (44, 46)


@pytest.fixture(scope="module")
def table():
    return kernel_table()


@pytest.mark.parametrize(("rotation", "mirrored"), [(0.0, False), (33.0, False), (-110.0, True)])
def test_every_pixel_is_the_sum_of_the_window(table, rotation, mirrored):
    """A slow twin: the response of the window at the distance of each source pixel, in pixels of the grid."""
    source, target = grid(0.03, FINE), grid(0.2, COARSE, rotation, mirrored, off=(0.3, -0.2))
    image = stars(source, FINE) + 0.01
    found = regrid(image, np.zeros(FINE, bool), source, target, COARSE)
    to_source = celestial_transform(target, source)
    yy, xx = np.mgrid[: FINE[0], : FINE[1]]
    rng = np.random.default_rng(1)
    where = np.argwhere(~found.mask & (found.missing < 1e-3))
    assert len(where) > 300
    for y, x in where[rng.integers(0, len(where), 12)]:
        u, v = to_source(np.array([x * 1.0]), np.array([y * 1.0]))
        weights = np.interp(np.hypot(yy - v[0], xx - u[0]) * 0.15, *table, right=0.0)
        expected = (weights * image).sum() / weights.sum() * found.area_ratio
        assert found.data[y, x] == pytest.approx(expected, abs=3e-5)
        assert found.missing[y, x] == pytest.approx(max(0.0, 1 - weights.sum() / found.area_ratio), abs=2e-4)


@pytest.mark.parametrize("rotation", [0.0, 27.0])
def test_flux_is_conserved_and_surface_brightness_kept(rotation):
    source, target = grid(0.03, FINE), grid(0.2, COARSE, rotation)
    image = stars(source, FINE, margin=110)
    mask = np.zeros(FINE, bool)
    found = regrid(image, mask, source, target, COARSE)
    assert found.data[~found.mask].sum() == pytest.approx(image.sum(), rel=1e-3)
    assert found.area_ratio == pytest.approx((0.2 / 0.03) ** 2, rel=1e-6)
    flat = regrid(np.full(FINE, 5.0), mask, source, target, COARSE, flux=False)
    assert flat.data[~flat.mask] == pytest.approx(np.full((~flat.mask).sum(), 5.0), rel=1e-12)
    per_pixel = regrid(np.full(FINE, 5.0), mask, source, target, COARSE)
    assert per_pixel.data[~per_pixel.mask] == pytest.approx(np.full((~per_pixel.mask).sum(), 5.0 * found.area_ratio), rel=1e-6)


def test_rotated_images_give_the_same_sky():
    target = grid(0.2, COARSE)
    sky = []
    for rotation in (0.0, 41.0):
        source = grid(0.03, FINE, rotation)
        u, v = celestial_transform(grid(0.03, FINE), source)(np.array([140.2, 170.7]), np.array([150.1, 131.3]))
        yy, xx = np.mgrid[: FINE[0], : FINE[1]]
        image = sum(np.exp(-0.5 * ((xx - a) ** 2 + (yy - b) ** 2) / 4) for a, b in zip(u, v, strict=True))
        found = regrid(image, np.zeros(FINE, bool), source, target, COARSE)
        sky.append(np.where(found.missing < 1e-3, found.data, np.nan))
    difference = np.abs(sky[0] - sky[1])
    assert np.nanmax(difference) < 1e-4 * np.nanmax(sky[0])


def test_blocks_leave_no_seams(monkeypatch):
    source, target = grid(0.03, FINE), grid(0.2, COARSE, 12.0)
    image = stars(source, FINE)
    mask = np.random.default_rng(0).uniform(size=FINE) < 0.002
    whole = regrid(image, mask, source, target, COARSE)
    monkeypatch.setattr(regridding, "_BLOCK", 15)
    parts = regrid(image, mask, source, target, COARSE)
    assert np.abs(whole.data - parts.data)[~whole.mask & ~parts.mask].max() < 3e-5 * whole.data.max()
    assert (whole.mask != parts.mask).sum() <= 2


def test_masked_pixels_enter_nothing_and_small_holes_are_bridged():
    source, target = grid(0.03, FINE), grid(0.2, COARSE)
    yy, xx = np.mgrid[: FINE[0], : FINE[1]]
    smooth = 3.0 + np.cos(xx / 60) * np.sin(yy / 50)
    clean = regrid(smooth, np.zeros(FINE, bool), source, target, COARSE)
    mask = np.zeros(FINE, bool)
    mask[150, 160] = mask[60, 77:79] = True  # a cosmic ray: 1 of 44 pixels
    mask[200:216, 100:116] = True  # a hole of 2.4 pixels of the grid
    broken = np.where(mask, 1e6, smooth)
    broken[150, 160] = np.nan
    before = broken.copy()
    found = regrid(broken, mask, source, target, COARSE)
    assert np.array_equal(broken, before, equal_nan=True)
    hole = np.argwhere(found.mask & ~clean.mask)
    assert 4 <= len(hole) <= 25
    assert np.abs(hole.mean(axis=0) - [(207.5 - 149.5) * 0.15 + 21.5, (107.5 - 159.5) * 0.15 + 22.5]).max() < 0.5
    good = ~found.mask
    assert np.abs(found.data[good] / clean.data[good] - 1).max() < 5e-3
    strict = regrid(broken, mask, source, target, COARSE, max_missing=0.0)
    assert strict.mask.sum() > found.mask.sum()


def test_edges_are_masked_where_too_much_is_missing():
    source, target = grid(0.03, FINE), grid(0.2, (80, 80))
    found = regrid(np.ones(FINE), np.zeros(FINE, bool), source, target, (80, 80), flux=False)
    to_source = celestial_transform(target, source)
    x, y = np.meshgrid(np.arange(80.0), np.arange(80.0))
    u, v = to_source(x, y)
    inside = (
        np.minimum(np.minimum(u + 0.5, FINE[1] - 0.5 - u), np.minimum(v + 0.5, FINE[0] - 0.5 - v)) * 0.15
    )  # pixels of the grid to the edge
    assert not found.mask[inside > 2.5].any()
    assert found.mask[inside < 1.0].all()
    assert found.data[~found.mask] == pytest.approx(1.0, rel=1e-9)


def test_variance_by_simulation():
    """Pulls of 1 with a variance that changes over the image, beside holes, and for a rotated grid."""
    source, target = grid(0.05, (220, 220)), grid(0.2, (44, 44), 21.0)
    rng = np.random.default_rng(5)
    yy, _ = np.mgrid[:220, :220]
    variance = 1.0 + yy / 60.0
    mask = rng.uniform(size=variance.shape) < 0.05
    pulls = []
    for _ in range(6):
        found = regrid(
            rng.normal(size=variance.shape) * np.sqrt(variance), mask, source, target, (44, 44), variance=variance, max_missing=0.2
        )
        good = ~found.mask
        pulls.append(found.data[good] / np.sqrt(found.variance[good]))
    pulls = np.concatenate(pulls)
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.02)
    top, bottom = found.variance[35:, 15:30], found.variance[:9, 15:30]
    assert np.median(top[top > 0]) > 2 * np.median(bottom[bottom > 0])
    unknown = np.where(yy > 110, np.nan, variance)
    found = regrid(np.zeros(variance.shape), mask, source, target, (44, 44), variance=unknown, max_missing=0.2)
    assert np.isnan(found.variance[~found.mask]).mean() == pytest.approx(0.57, abs=0.06)


def test_a_finer_grid_is_not_filtered():
    source, target = grid(0.2, (60, 60)), grid(0.1, (100, 100), 10.0)
    yy, xx = np.mgrid[:60, :60]

    def sky(x, y):
        return np.cos(x / 7.0) * np.sin(y / 6.0)

    found = regrid(sky(xx, yy), np.zeros((60, 60), bool), source, target, (100, 100), flux=False, variance=np.ones((60, 60)))
    y, x = np.mgrid[:100, :100]
    u, v = celestial_transform(target, source)(x.astype(float), y.astype(float))
    inner = (np.minimum(u, 59 - u) > 6) & (np.minimum(v, 59 - v) > 6)
    assert np.abs(found.data - sky(u, v))[inner].max() < 2e-4
    assert found.variance[inner] == pytest.approx(1.0)
    # and the grid of the image itself changes nothing
    same = regrid(sky(xx, yy), np.zeros((60, 60), bool), source, source, (60, 60))
    assert np.abs(same.data - sky(xx, yy)).max() < 1e-8
    assert not same.mask.any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_grids_of_a_pixel_or_two(shape):
    source = grid(0.03, FINE)
    image = stars(source, FINE)
    whole = regrid(image, np.zeros(FINE, bool), source, grid(0.2, (21, 21), 15.0), (21, 21))
    target = grid(0.2, (21, 21), 15.0).slice((slice(10, 10 + shape[0]), slice(8, 8 + shape[1])))
    part = regrid(image, np.zeros(FINE, bool), source, target, shape)
    assert part.data == pytest.approx(whole.data[10 : 10 + shape[0], 8 : 8 + shape[1]], rel=1e-3, abs=1e-5)


def test_another_projection_and_system():
    """Onto galactic pixels, some of which look beyond the sky of the image."""
    source = grid(0.03, FINE)
    centre = SkyCoord(53.16, -27.78, unit="deg").galactic
    target = grid(0.2, COARSE)
    target.wcs.ctype, target.wcs.crval = ["GLON-SIN", "GLAT-SIN"], [centre.l.deg, centre.b.deg]
    image = stars(source, FINE, margin=110)
    found = regrid(image, np.zeros(FINE, bool), source, target, COARSE)
    assert found.data[~found.mask].sum() == pytest.approx(image.sum(), rel=1e-3)
    wide = WCS(naxis=2)
    wide.wcs.ctype, wide.wcs.cdelt, wide.wcs.crpix, wide.wcs.crval = ["RA---SIN", "DEC--SIN"], [-4, 4], [20.5, 20.5], [53, -27]
    sky = WCS(naxis=2)
    sky.wcs.ctype, sky.wcs.cdelt, sky.wcs.crpix, sky.wcs.crval = ["RA---TAN", "DEC--TAN"], [-2, 2], [30.5, 30.5], [53, -27]
    whole = regrid(np.ones((60, 60)), np.zeros((60, 60), bool), sky, wide, (40, 40), flux=False)
    assert np.isfinite(whole.data).all()
    assert whole.data[~whole.mask] == pytest.approx(1.0)
    assert whole.mask[0, 0]


def test_memory_is_bounded():
    shape = (1500, 1500)
    source, target = grid(0.03, shape), grid(0.2, (225, 225))
    image = np.zeros(shape)
    regrid(image[:50, :50], np.zeros((50, 50), bool), source, target, (225, 225))
    tracemalloc.start()
    regrid(image, np.zeros(shape, bool), source, target, (225, 225))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 220e6


def test_what_cannot_be_done():
    source, target = grid(0.03, FINE), grid(0.2, COARSE)
    away = target.deepcopy()
    away.wcs.crval = [100.0, 10.0]
    mask = np.zeros(FINE, bool)
    with pytest.raises(NoOverlapError, match="hst does not overlap the grid"):
        regrid(np.ones(FINE), mask, source, away, COARSE, name="hst")
    with pytest.raises(NoOverlapError, match="has no good pixel"):
        regrid(np.full(FINE, np.nan), mask, source, target, COARSE)
    with pytest.raises(ShapeError):
        regrid(np.ones(FINE), mask[1:], source, target, COARSE)
    with pytest.raises(InputError, match="max_missing"):
        regrid(np.ones(FINE), mask, source, target, COARSE, max_missing=1.5)


def test_golden():
    """imphot 009225c, regrid_hst_like_muse (through mpdaf 3.6) of a 30 mas cutout onto 70 x 70 pixels of 0.2 arcsec.

    Its two linear interpolations lower peaks by 0.1 to 0.5 %, and zeros beyond its cut change the outermost pixels; twenty times less rms is left
    between this and the plain sum (`test_every_pixel_is_the_sum_of_the_window`).
    """
    image = read_sky_image(str(shared_path("golden/imphot/inputs/hst30_cutout.fits.gz")))
    muse = read_sky_image(str(shared_path("golden/imphot/inputs/dev1.fits.gz")))
    record = json.loads(gzip.decompress(shared_path("golden/imphot/golden.json.gz").read_bytes()))["results"]["regrid"]
    y0, y1, x0, x1 = record["target_slice"]
    found = regrid_image(image, muse.wcs.slice((slice(y0, y1), slice(x0, x1))), (y1 - y0, x1 - x0))
    with np.load(shared_path("golden/imphot/regrid_cutout.npz")) as golden:
        data, mask = golden["data"], golden["mask"]
    assert not found.mask.any()
    assert not mask.any()
    inner = (slice(8, -8), slice(8, -8))
    difference = (found.data - data)[inner]
    assert difference.std() < 2e-5  # noise of the image after regridding: 7e-4
    assert np.abs(difference).max() < 6e-4
    slope = np.polyfit(data[inner].ravel(), found.data[inner].ravel(), 1)[0]
    assert 1.0005 < slope < 1.002
    assert found.value("FILTER") == "F775W"
    assert found.data.sum() == pytest.approx(record["out_sum"], rel=0.01)


@pytest.mark.peer
def test_against_mpdaf_on_a_turned_grid(table):
    """mpdaf 3.6, Image.align_with_image: the same picture; of the two, this one is nearer to the plain sum at every one of the brightest pixels."""
    obj = pytest.importorskip("mpdaf.obj")
    source, target = grid(0.03, FINE), grid(0.2, COARSE, 20.0)
    image = stars(source, FINE, margin=40)
    centre = {"crval": (-27.78, 53.16), "deg": True}
    fine = obj.WCS(crpix=((FINE[0] + 1) / 2, (FINE[1] + 1) / 2), cdelt=(0.03 / 3600, -0.03 / 3600), shape=FINE, **centre)
    theirs = obj.Image(data=image, wcs=fine)
    turned = obj.Image(data=np.zeros(COARSE), wcs=obj.WCS(hdr=target.to_header(), shape=COARSE))
    aligned = theirs.align_with_image(turned, cutoff=0.0, flux=True)
    found = regrid(image, np.zeros(FINE, bool), source, target, COARSE)
    both = ~found.mask & ~aligned.mask & (found.missing < 1e-3)
    assert np.corrcoef(found.data[both], aligned.data.data[both])[0, 1] > 0.9999
    to_source = celestial_transform(target, source)
    yy, xx = np.mgrid[: FINE[0], : FINE[1]]
    for y, x in np.argwhere(both & (found.data > 0.5 * found.data[both].max()))[:10]:
        u, v = to_source(np.array([x * 1.0]), np.array([y * 1.0]))
        weights = np.interp(np.hypot(yy - v[0], xx - u[0]) * 0.15, *table, right=0.0)
        expected = (weights * image).sum() / weights.sum() * found.area_ratio
        assert abs(found.data[y, x] - expected) < 0.1 * abs(aligned.data.data[y, x] - expected)


def test_images_keep_what_they_are():
    source, target = grid(0.03, FINE), grid(0.2, COARSE)
    image = SkyImage(
        data=np.ones(FINE), mask=np.zeros(FINE, bool), wcs=source, variance=np.ones(FINE), unit="e-/s", name="a", primary={"FILTER": "X"}
    )
    found = regrid_image(image, target, COARSE)
    assert (found.unit, found.name, found.value("FILTER"), found.shape) == ("e-/s", "a", "X", COARSE)
    assert found.wcs is not target
    assert found.wcs.wcs.compare(target.wcs)
    factor = rescaled(found, 9.74, "1e-20 erg / (Angstrom s cm2)")
    assert factor.data[20, 20] == pytest.approx(9.74 * found.data[20, 20])
    assert factor.variance[20, 20] == pytest.approx(9.74**2 * found.variance[20, 20])
    assert factor.unit.startswith("1e-20")
    with pytest.raises(InputError, match="multiplied by nan"):
        rescaled(found, float("nan"), "")
