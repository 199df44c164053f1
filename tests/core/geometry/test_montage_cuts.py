"""Parts of images by Montage's rules, against pixels tried one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.wcs import WCS

from nbmosaic.core.geometry.montage_cuts import (
    PixelRange,
    centred_range,
    content_range,
    images_on_grid,
    listed_range,
    region_on_frame,
)
from nbmosaic.core.geometry.sky_regions import box_corners, sky_vectors
from nbmosaic.types import MosaicGrid


def tan(shape: tuple[int, int], turn: float = 0.0, lon: float = 150.0, lat: float = 40.0) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [lon, lat]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    wcs.wcs.cd = 0.001 * np.array([[-c, s], [s, c]])
    wcs.wcs.radesys, wcs.wcs.equinox = "FK5", 2000.0
    wcs.wcs.set()
    return wcs


def covered(low: float, n: float, size: int) -> list[int]:
    """Pixels from 1 to `size` that come at or after the one whose number is `low` truncated, and less than `n` + 1 after it."""
    first = math.trunc(low)
    return [k for k in range(1, size + 1) if first <= k <= first + math.floor(n + 1)]


@pytest.mark.parametrize("seed", range(20))
def test_ranges_pixel_by_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ny, nx = 30, 40
    x, y, w, h = rng.uniform(-5, 45), rng.uniform(-5, 35), rng.uniform(0, 20), rng.uniform(0, 20)
    found = centred_range(x, y, w, h).within((ny, nx))
    columns, rows = covered(x - w / 2, w, nx), covered(y - h / 2, h, ny)
    assert (found is None) == (not columns or not rows)
    if found is not None:
        assert found == (columns[0], columns[-1], rows[0], rows[-1])
    listed = listed_range(x, y, w, h)
    assert listed == (math.trunc(x), math.trunc(x + w + 0.5), math.trunc(y), math.trunc(y + h + 0.5))


def test_range_at_the_edges() -> None:
    assert PixelRange(-3, 2, 5, 99).within((10, 8)) == (1, 2, 5, 10)
    assert PixelRange(-3, 0, 1, 5).within((10, 8)) is None
    assert PixelRange(9, 12, 1, 5).within((10, 8)) is None
    assert PixelRange(1, 8, 11, 12).within((10, 8)) is None


def test_content() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        good = rng.random((7, 9)) < 0.06
        found = content_range(good)
        assert (found is None) == (not good.any())
        if found is not None:
            y, x = np.nonzero(good)
            assert found == (x.min() + 1, x.max() + 1, y.min() + 1, y.max() + 1)


@pytest.mark.parametrize("turn", [0.0, 20.0, 170.0])
@pytest.mark.parametrize(
    ("dx", "dy", "w", "h"), [(0.0, 0.0, 0.02, 0.03), (0.02, 0.01, 0.03, 0.02), (0.0, 0.0, 1.0, 1.0), (0.3, 0.0, 0.1, 0.1)]
)
def test_region_on_frame_by_fine_points(turn: float, dx: float, dy: float, w: float, h: float) -> None:
    """The box of all points of a dense mesh of the frame that lie in the region."""
    shape = (50, 60)
    wcs = tan(shape, turn)
    region = box_corners(150.0 + dx / math.cos(math.radians(40.0)), 40.0 + dy, w, h)
    y, x = np.meshgrid(np.linspace(0.5, shape[0] + 0.5, 251), np.linspace(0.5, shape[1] + 0.5, 301), indexing="ij")
    points = sky_vectors(*wcs.all_pix2world(x.ravel(), y.ravel(), 1))
    normals = np.cross(region, np.roll(region, -1, axis=0))
    sides = points @ normals.T
    seen = ((sides >= 0).all(axis=1) | (sides <= 0).all(axis=1)) & (points @ region.mean(axis=0) > 0)
    found = region_on_frame(wcs, shape, region)
    if not seen.any():
        assert found is None
        return
    assert found is not None
    xs, ys = x.ravel()[seen], y.ravel()[seen]
    for axis, (values, n) in enumerate([(xs, shape[1]), (ys, shape[0])]):
        assert abs(found.first[axis] - min(max(values.min(), 1), n)) < 1.4
        assert abs(found.first[axis] + found.shape[1 - axis] - min(values.max() + 1, n)) < 1.4
    place = wcs.all_world2pix(found.sky, 1)
    expected = [(xs.min(), ys.min()), (xs.max(), ys.min()), (xs.max(), ys.max()), (xs.min(), ys.max())]
    np.testing.assert_allclose(place[:4], expected, atol=0.4)
    np.testing.assert_allclose(place[4], place[[0, 2]].mean(axis=0), atol=1e-6)


def test_images_on_a_grid() -> None:
    grid = MosaicGrid(wcs=tan((50, 60)), shape=(50, 60))
    scale = math.cos(math.radians(40.0))

    def image(dx: float, dy: float, w: float, h: float) -> np.ndarray:
        return box_corners(150.0 + dx / scale, 40.0 + dy, w, h)

    cases = [
        (image(0, 0, 0.01, 0.01), True),  # inside
        (image(0, 0, 1.0, 1.0), True),  # the grid inside the image
        (image(0.034, 0, 0.01, 0.01), True),  # over an edge
        (image(0.04, 0, 0.01, 0.01), False),
        (image(0, -0.2, 0.1, 0.1), False),
    ]
    found = images_on_grid(np.array([quad for quad, _ in cases]), grid)
    assert found.tolist() == [expected for _, expected in cases]
    # 30 columns farther: the edge lies at what was the middle
    assert images_on_grid(np.array([image(0.02, 0, 0.01, 0.01), image(-0.02, 0, 0.01, 0.01)]), grid, (30.0, 0.0)).tolist() == [False, True]
