"""Cutouts and block averages."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.errors import ConfigError, InputError


def with_matrix(mosaic):
    """The mosaic with a CD matrix of a rotated grid."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [83.8, -5.4], [300.25, 170.75]
    wcs.wcs.cd = np.array([[-0.9, 0.2], [0.2, 0.9]]) / 3600
    wcs.wcs.set()
    return dataclasses.replace(mosaic, wcs=wcs)


@pytest.fixture(params=["upright", "matrix"])
def mosaic(request, done):
    return done.mosaic if request.param == "upright" else with_matrix(done.mosaic)


def test_a_cutout(mosaic):
    x, y = 210.3, 120.8
    ra, dec = (float(v) for v in mosaic.wcs.wcs_pix2world(x, y, 0))
    part = nbmosaic.cutout(mosaic, ra, dec, 60.0, 40.0)
    scale = np.sqrt(abs(np.linalg.det(mosaic.wcs.pixel_scale_matrix))) * 3600
    assert abs(part.shape[1] * scale - 60) <= 1.5 * scale
    assert abs(part.shape[0] * scale - 40) <= 1.5 * scale
    px, py = part.wcs.wcs_world2pix(ra, dec, 0)
    assert abs(px - (part.shape[1] - 1) / 2) <= 1
    assert abs(py - (part.shape[0] - 1) / 2) <= 1
    dx, dy = round(x - float(px)), round(y - float(py))
    rows, columns = slice(dy, dy + part.shape[0]), slice(dx, dx + part.shape[1])
    for name in ("data", "area", "count"):
        np.testing.assert_array_equal(getattr(part, name), getattr(mosaic, name)[rows, columns])
    there = np.random.default_rng(1).uniform(0, 50, (20, 2))
    again = mosaic.wcs.wcs_world2pix(part.wcs.wcs_pix2world(there, 0), 0)
    np.testing.assert_allclose(again, there + np.array([dx, dy]), atol=1e-9)


def test_a_cutout_keeps_no_view(done):
    part = nbmosaic.cutout(done.mosaic, 83.82, -5.39, 30.0)
    assert not np.shares_memory(part.data, done.mosaic.data)


def test_a_cutout_at_the_edge(mosaic):
    ra, dec = (float(v) for v in mosaic.wcs.wcs_pix2world(2.0, 1.0, 0))
    part = nbmosaic.cutout(mosaic, ra, dec, 41 * 0.9)
    assert part.shape[0] < 25
    assert part.shape[1] < 25
    np.testing.assert_array_equal(part.data, mosaic.data[: part.shape[0], : part.shape[1]])
    ra, dec = (float(v) for v in mosaic.wcs.wcs_pix2world(-300.0, 1.0, 0))
    with pytest.raises(InputError, match="outside the mosaic"):
        nbmosaic.cutout(mosaic, ra, dec, 20.0)
    with pytest.raises(InputError, match="not on the mosaic's projection"):
        nbmosaic.cutout(mosaic, ra + 180.0, -dec, 20.0)
    with pytest.raises(ConfigError, match="larger than 0"):
        nbmosaic.cutout(mosaic, ra, dec, -1.0)


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_block_averages(mosaic, factor):
    small = nbmosaic.shrink(mosaic, factor)
    ny, nx = (n // factor for n in mosaic.shape)
    assert small.shape == (ny, nx)

    def blocks(image):
        cut = np.asarray(image[: ny * factor, : nx * factor], float)
        return cut.reshape(ny, factor, nx, factor).transpose(0, 2, 1, 3).reshape(ny, nx, -1)

    weight = blocks(mosaic.area)
    total = weight.sum(axis=2)
    with np.errstate(invalid="ignore"):
        want = np.nansum(blocks(mosaic.data) * weight, axis=2) / total
    np.testing.assert_allclose(small.data, want, rtol=1e-6)
    np.testing.assert_allclose(small.area, total / factor**2, rtol=1e-6)
    np.testing.assert_array_equal(small.area == 0, np.isnan(small.data))
    there = np.random.default_rng(1).uniform(0, 60, (20, 2))
    wide = mosaic.wcs.wcs_world2pix(small.wcs.wcs_pix2world(there, 0), 0)
    np.testing.assert_allclose(wide, there * factor + (factor - 1) / 2, atol=1e-9)


def test_block_averages_of_equal_coverage_are_plain_means(done):
    even = dataclasses.replace(done.mosaic, area=np.isfinite(done.mosaic.data).astype(np.uint8))
    small = nbmosaic.shrink(even, 4)
    ny, nx = small.shape
    stack = even.data[: 4 * ny, : 4 * nx].reshape(ny, 4, nx, 4).transpose(0, 2, 1, 3).reshape(ny, nx, 16)
    some = np.isfinite(stack).any(axis=2)
    np.testing.assert_allclose(small.data[some], np.nanmean(stack[some], axis=1, dtype=float), rtol=1e-6)
    assert np.isnan(small.data[~some]).all()


@pytest.mark.parametrize("factor", [1, 0, -2, 10_000])
def test_factors_that_make_no_sense(done, factor):
    with pytest.raises(ConfigError, match="factor"):
        nbmosaic.shrink(done.mosaic, factor)
