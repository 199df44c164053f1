"""Pixel corners of a frame on the mosaic grid."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from nbmosaic.core.geometry.boxes import frame_box
from nbmosaic.core.geometry.corners import corner_map
from nbmosaic.types import MosaicGrid


def tan(crval: tuple[float, float], crpix: tuple[float, float], rotation: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = crval, crpix
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = np.array([[-c, s], [s, c]]) / 3600
    wcs.wcs.set()
    return wcs


@pytest.mark.parametrize("template", [(300, 300), (40, 30)], ids=["whole", "template that cuts the frame"])
def test_corners_agree_with_the_exact_coordinates_wherever_the_frame_is(template: tuple[int, int]) -> None:
    grid = MosaicGrid(tan((10.0, 41.0), (100.0, 90.0), 0.0), template)
    frame = tan((10.01, 41.01), (50.5, 60.5), 25.0)
    shape = (120, 100)
    box = frame_box(grid.wcs, frame, shape, grid_shape=template)
    found = corner_map(frame, shape, grid, box)
    y, x = np.mgrid[: shape[0] + 1, : shape[1] + 1]
    v, u = found.evaluate(y, x)
    expected = np.array(grid.wcs.wcs_world2pix(*frame.wcs_pix2world(x.ravel() - 0.5, y.ravel() - 0.5, 0), 0)).reshape(2, *y.shape)
    assert np.isfinite(u).all()
    assert max(np.abs(u - expected[0]).max(), np.abs(v - expected[1]).max()) < 1e-4
