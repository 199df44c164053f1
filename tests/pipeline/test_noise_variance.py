"""The variance of a mosaic whose frames have no variance planes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

import nbmosaic


@pytest.fixture(scope="module")
def frames() -> list:
    """Four frames of noise, each shifted by half a frame and turned a little, with backgrounds of their own."""
    rng = np.random.default_rng(3)
    made = []
    for k in range(4):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [83.82, -5.39]
        c, s = np.cos(np.radians(2.0 * k)), np.sin(np.radians(2.0 * k))
        wcs.wcs.cd = np.array([[-c, s], [s, c]]) / 3600
        wcs.wcs.crpix = [100.3 - 64.2 * (k % 2), 100.1 - 63.8 * (k // 2)]
        made.append((rng.normal(50 * k, 4.0, (128, 128)).astype(np.float32), wcs))
    return made


@pytest.mark.parametrize("options", [{"method": "bilinear"}, {"method": "spline"}, {"method": "spline", "combine": "median"}], ids=str)
def test_it_is_the_scatter_of_the_mosaic(frames: list, options: dict) -> None:
    mosaic = nbmosaic.mosaic(frames, **options).mosaic
    assert mosaic.variance_plane is None
    assert mosaic.variance.shape == mosaic.data.shape
    np.testing.assert_array_equal(np.isnan(mosaic.variance), mosaic.mask)
    rows, columns = np.indices(mosaic.shape)
    for depth in (1, 2, 4):
        where = mosaic.count == depth
        design = np.stack([np.ones(where.sum()), columns[where], rows[where]], axis=1)
        values = mosaic.data[where].astype(float)
        values -= design @ np.linalg.lstsq(design, values, rcond=None)[0]  # the backgrounds of the frames stay in the mosaic as a plane
        assert np.mean(values**2) == pytest.approx(np.mean(mosaic.variance[where]), rel=0.12)


def test_a_cutout_has_it_too(frames: list) -> None:
    mosaic = nbmosaic.mosaic(frames, method="bilinear").mosaic
    part = nbmosaic.cutout(mosaic, 83.82, -5.39, 60.0)
    assert part.variance.shape == part.data.shape
    assert np.isfinite(part.variance[~part.mask]).all()


def test_extremes_have_none(frames: list) -> None:
    mosaic = nbmosaic.mosaic(frames, method="bilinear", combine="max").mosaic
    assert mosaic.variance.shape == mosaic.data.shape
    assert np.isnan(mosaic.variance).all()
