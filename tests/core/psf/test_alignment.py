"""Grids compared on the sky, corrections by header and by resampling, imphot's corrected images."""

from __future__ import annotations

import gzip
import json
from functools import cache

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, Sip
from scipy import ndimage
from support.shared import shared_path

from nbmosaic.core.geometry.grid_alignment import grid_distance_arcsec, moved_wcs, pixel_steps_arcsec, sky_jacobian
from nbmosaic.core.psf.alignment import apply_corrections, correction_words, grids_aligned, shift_image
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.io.image_planes import read_sky_image
from nbmosaic.types.sky_image import SkyImage

SHAPE = (320, 320)


def grid(rotation=0.0, step=(0.2, 0.2), crval=(53.16, -27.78), frame="ICRS"):
    wcs = WCS(naxis=2)
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], list(crval), [160.5, 160.5]
    wcs.wcs.cd = np.array([[c, -s], [s, c]]) @ np.diag([-step[1] / 3600, step[0] / 3600])
    wcs.wcs.radesys = frame
    return wcs


@cache
def golden():
    return json.loads(gzip.decompress(shared_path("golden/imphot/golden.json.gz").read_bytes()))["results"]


def image_of(function, shape=(60, 70), **planes):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return SkyImage(data=function(x.astype(float), y.astype(float)), mask=planes.pop("mask", np.zeros(shape, bool)), wcs=grid(), **planes)


def test_golden_grids():
    """imphot 009225c, image_grids_aligned of an image with its CRPIX1 moved by 0 to 0.3 pixels."""
    wcs = read_sky_image(str(shared_path("golden/imphot/inputs/hst.fits.gz"))).wcs
    answers = {off: grids_aligned(wcs, SHAPE, moved_wcs(wcs, float(off), 0.0), SHAPE) for off in golden()["grids"]}
    assert answers == golden()["grids"]


def test_rotation_and_scale_are_seen():
    # imphot compares CD to 0.01 arcsec per pixel: a rotation of 2.8 degrees passes there, with corners off by 2.2 arcsec (its defect D14)
    wcs = grid()
    assert np.allclose(grid(2.8).wcs.cd, wcs.wcs.cd, atol=0.01 / 3600, rtol=1e-5)
    assert grid_distance_arcsec(wcs, grid(2.8), SHAPE) == pytest.approx(np.hypot(160, 160) * 0.2 * np.radians(2.8), rel=0.01)
    assert not grids_aligned(wcs, SHAPE, grid(2.8), SHAPE)
    assert not grids_aligned(wcs, SHAPE, grid(step=(0.2, 0.2001)), SHAPE)
    assert grids_aligned(wcs, SHAPE, grid(step=(0.2, 0.20001)), SHAPE)
    assert not grids_aligned(wcs, SHAPE, wcs, (320, 319))
    assert not grids_aligned(wcs, SHAPE, grid(crval=(233.0, 27.0)), SHAPE)


def test_frames_are_compared_on_the_sky():
    fk5 = SkyCoord(53.16, -27.78, unit="deg", frame="icrs").fk5
    same = grid(crval=(fk5.ra.deg, fk5.dec.deg), frame="FK5")
    same.wcs.equinox = 2000.0
    assert grid_distance_arcsec(grid(), same, SHAPE) < 1e-3
    apart = grid(frame="FK5")
    apart.wcs.equinox = 2000.0
    assert 0.01 < grid_distance_arcsec(grid(), apart, SHAPE) < 0.05  # what the same numbers in another frame are off by


def test_steps_and_directions():
    assert pixel_steps_arcsec(grid(step=(0.2, 0.25)), SHAPE) == pytest.approx((0.2, 0.25), rel=1e-6)
    wcs = grid(30.0)
    matrix = sky_jacobian(wcs, SHAPE)
    centre = SkyCoord(*wcs.all_pix2world(159.5, 159.5, 0), unit="deg")
    for dx, dy in ((1.0, 0.0), (0.0, 1.0), (0.7, -0.4)):
        there = SkyCoord(*wcs.all_pix2world(159.5 + dx, 159.5 + dy, 0), unit="deg")
        east, north = centre.spherical_offsets_to(there)
        assert matrix @ [dx, dy] == pytest.approx([east.arcsec, north.arcsec], abs=1e-6)


def test_offsets_on_the_sky_are_angles():
    """imphot gives the difference of right ascensions (its defect D7): larger by 1 / cos(dec)."""
    wcs = read_sky_image(str(shared_path("golden/imphot/inputs/dev2.fits.gz"))).wcs
    fit = {name: entry["value"] for name, entry in golden()["dev2/image/exclude_stars"]["params"].items()}
    east, north = sky_jacobian(wcs, SHAPE) @ [fit["dx"] / 0.2, fit["dy"] / 0.2]
    assert east == pytest.approx(fit["dra"] * np.cos(np.radians(27.78)), rel=1e-4)
    assert north == pytest.approx(fit["ddec"], rel=1e-4)


def test_moved_wcs_takes_its_distortion_along():
    wcs = grid()
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a = np.zeros((3, 3))
    a[2, 0] = 1e-5
    wcs.sip = Sip(a, a.T.copy(), None, None, [150.0, 140.0])
    moved = moved_wcs(wcs, 1.25, -0.5)
    assert np.allclose(moved.all_pix2world(101.25, 39.5, 0), wcs.all_pix2world(100.0, 40.0, 0), atol=1e-12)
    assert wcs.wcs.crpix.tolist() == [160.5, 160.5]
    assert wcs.sip.crpix.tolist() == [150.0, 140.0]


def test_words():
    assert correction_words("xy,scale,zero") == {"xy", "scale", "zero"}
    assert correction_words(" x, y ,scale,zero") == {"xy", "scale", "zero"}  # what imphot documents, and does not do
    assert correction_words(None) == correction_words("") == frozenset()
    for text in ("x,scale", "flux", "xy;scale"):
        with pytest.raises(ConfigError, match="there is no correction"):
            correction_words(text)


@pytest.mark.parametrize("name", ["dev1", "dev2"])
def test_golden_corrections_by_header(name):
    """imphot 009225c, apply_corrections with the exclude_stars fit: CRPIX, data, variance and mask."""
    image = read_sky_image(str(shared_path(f"golden/imphot/inputs/{name}.fits.gz")))
    fit = {
        key: entry["value"]
        for key, entry in golden()[f"{name}/image/exclude_stars"]["params"].items()
        if key in {"dx", "dy", "scale", "bg"}
    }
    done = apply_corrections(image, **fit)
    record = golden()[f"{name}/apply/crpix"]
    assert done.wcs.wcs.crpix == pytest.approx(record["crpix"], abs=1e-6)
    assert done.n_good == image.n_good == image.mask.size - record["nmask"]
    for y, x, value, variance in record["sample"]:
        assert (done.data[y, x], done.variance[y, x]) == pytest.approx((value, variance), rel=1e-9)
    only = apply_corrections(image, **fit, corrections="scale")
    for y, x, value, variance in golden()[f"{name}/apply/scaleonly"]["sample"]:
        assert (only.data[y, x], only.variance[y, x]) == pytest.approx((value, variance), rel=1e-9)
    assert only.wcs is image.wcs


@pytest.mark.parametrize("name", ["dev1", "dev2"])
def test_golden_corrections_by_resampling(name):
    """imphot's resampled image is this one smoothed by the quadratic B-spline (1/8, 3/4, 1/8): its missing prefilter (D15)."""
    image = read_sky_image(str(shared_path(f"golden/imphot/inputs/{name}.fits.gz")))
    fit = {
        key: entry["value"]
        for key, entry in golden()[f"{name}/image/exclude_stars"]["params"].items()
        if key in {"dx", "dy", "scale", "bg"}
    }
    done = apply_corrections(image, **fit, resample=True)
    with fits.open(shared_path(f"golden/imphot/{name}_corr_resample.fits.gz")) as hdus:
        theirs, their_mask = hdus["DATA"].data.astype(float), hdus["DQ"].data > 0
    inner = ~ndimage.binary_dilation(done.mask | their_mask, iterations=12)
    kernel = np.array([1, 6, 1]) / 8
    smooth = ndimage.convolve1d(ndimage.convolve1d(np.where(done.mask, 0, done.data), kernel, axis=0), kernel, axis=1)
    raw, blurred = np.std((done.data - theirs)[inner]), np.std((smooth - theirs)[inner])
    assert blurred < 0.25 * raw
    # what imphot leaves unmasked at the low edge came from outside of the image (dx, dy of dev2: -1.5 and 1.1 pixels)
    from_outside = ndimage.shift(image.mask.astype(float), (-fit["dy"] / 0.2, -fit["dx"] / 0.2), order=1, cval=1.0) > 0.11
    assert not (from_outside & ~done.mask).any()


def wave(x, y):
    return 3 + np.sin(x / 4.0 + 0.3) * np.cos(y / 5.0)


@pytest.mark.parametrize(("dx", "dy"), [(0.5, 0.25), (-1.3, 2.6), (3.0, -2.0)])
def test_resampling_does_not_blur(dx, dy):
    image = image_of(wave)
    done = shift_image(image, dx, dy)
    truth = image_of(lambda x, y: wave(x + dx, y + dy))
    y, x = np.mgrid[:60, :70]
    came = (x + dx >= 0) & (x + dx <= 69) & (y + dy >= 0) & (y + dy <= 59)
    assert np.array_equal(~done.mask, came)
    inner = ~ndimage.binary_dilation(~came, iterations=8, border_value=1)
    assert np.abs(done.data - truth.data)[inner].max() < 2e-4
    assert np.abs(image.data - image_of(wave).data).max() == 0


def test_bad_pixels_spread_no_further_than_they_must():
    mask = np.zeros((60, 70), bool)
    mask[30, 40] = True
    image = image_of(wave, mask=mask)
    image.data[30, 40] = np.nan
    assert np.argwhere(shift_image(image, 2.0, -1.0).mask[5:-5, 5:-5]).tolist() == [[26, 33]]
    near = shift_image(image, 0.05, 0.0).mask
    assert near[30, 40]
    assert near[1:-1, 1:-1].sum() == 1
    assert shift_image(image, 0.5, 0.5).mask[5:-5, 5:-5].sum() == 4


def test_variance_of_resampled_images():
    """Pulls of 1 for every sub-pixel phase; a variance that is not known spreads and does not mask."""
    rng = np.random.default_rng(8)
    variance = np.broadcast_to(np.linspace(1, 4, 200)[:, None] * 1e-40, (200, 200)).copy()  # squares of fluxes in erg/s/cm2/A
    for dx, dy in ((0.5, 0.5), (0.25, 0.0)):
        noise = SkyImage(
            data=rng.normal(size=(200, 200)) * np.sqrt(variance), mask=np.zeros((200, 200), bool), wcs=grid(), variance=variance
        )
        done = shift_image(noise, dx, dy)
        pulls = done.data[~done.mask] / np.sqrt(done.variance[~done.mask])
        assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.02)
    holes = variance.copy()
    holes[100, 100] = np.nan
    done = shift_image(noise.changed(variance=holes), 0.5, 0.0)
    assert np.isnan(done.variance[100, 98:102]).tolist() == [True, True, True, True]
    assert np.isfinite(done.data[100, 98:102]).all()
    assert not done.mask[100, 98:102].any()


def test_scale_zero_and_what_cannot_be_corrected():
    image = image_of(wave, variance=np.full((60, 70), 4.0))
    done = apply_corrections(image, dx=0.3, dy=0.1, scale=2.0, bg=1.0, corrections="zero, scale")
    assert np.allclose(done.data, (image.data - 1) / 2)
    assert np.allclose(done.variance, 1.0)
    nothing = apply_corrections(image, dx=np.nan, dy=0, scale=0, bg=0, corrections=None)
    assert np.array_equal(nothing.data, image.data)
    assert nothing.data is not image.data
    without = apply_corrections(image.changed(variance=None), dx=0.3, dy=0.1, scale=2.0, bg=1.0, resample=True)  # TypeError in imphot (D16)
    assert without.variance is None
    with pytest.raises(InputError, match="scale = 0"):
        apply_corrections(image, dx=0.0, dy=0.0, scale=0.0, bg=0.0)
    with pytest.raises(InputError, match="dx = nan"):
        apply_corrections(image, dx=np.nan, dy=0.0, scale=1.0, bg=0.0)
    with pytest.raises(InputError, match="no good pixel of the image is left"):
        apply_corrections(image, dx=100.0, dy=0.0, scale=1.0, bg=0.0, resample=True)
    with pytest.raises(InputError, match="of 1 x 5 pixels cannot be resampled"):
        shift_image(image_of(wave, (1, 5)), 0.1, 0.1)
    with pytest.raises(InputError, match="no good pixel"):
        shift_image(image.changed(mask=np.ones((60, 70), bool)), 0.1, 0.1)
