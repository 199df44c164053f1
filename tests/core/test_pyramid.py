"""Views of an image at any scale, against a mean over the pixels themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nbmosaic.core.pyramid import STEP, make_pyramid
from nbmosaic.errors import InputError


def image(shape=(211, 173), *, blank=0.2, seed=5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.normal(100.0, 5.0, shape).astype(np.float32)
    data[rng.random(shape) < blank] = np.nan
    data[30:80, 20:90] = np.nan  # blocks of all levels without a pixel
    return data


def level(data: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and number of the finite pixels of blocks, one block at a time."""
    ny, nx = (-(-n // factor) for n in data.shape)
    mean, count = np.full((ny, nx), np.nan), np.zeros((ny, nx))
    for j in range(ny):
        for i in range(nx):
            block = data[j * factor : (j + 1) * factor, i * factor : (i + 1) * factor].astype(float)
            good = block[np.isfinite(block)]
            count[j, i] = good.size
            if good.size:
                mean[j, i] = good.mean()
    return mean, count


def twin(data: np.ndarray, left: float, bottom: float, step: float, shape: tuple[int, int]) -> np.ndarray:
    """Each block of the level that the view takes goes, with its pixels, to the pixel of the view that holds its centre."""
    factor = 1
    while factor * STEP <= step:
        factor *= STEP
    mean, count = level(data, factor)
    total, number = np.zeros(shape), np.zeros(shape)
    for (j, i), value in np.ndenumerate(mean):
        y, x = (j + 0.5) * factor - 0.5, (i + 0.5) * factor - 0.5
        row, column = math.floor((y - bottom) / step), math.floor((x - left) / step)
        if count[j, i] and 0 <= row < shape[0] and 0 <= column < shape[1]:
            total[row, column] += value * count[j, i]
            number[row, column] += count[j, i]
    with np.errstate(invalid="ignore"):
        return total / np.where(number > 0, number, np.nan)


@pytest.mark.parametrize("step", [1.3, 2.0, 3.9, 4.0, 4.7, 11.0])
@pytest.mark.parametrize(("left", "bottom"), [(-0.5, -0.5), (-40.2, 33.7)])
def test_reduced_views(step, left, bottom):
    data = image()
    shape = (17, 23)
    found = make_pyramid(data).view(left, bottom, step, shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, twin(data, left, bottom, step, shape), rtol=3e-6)


def test_levels_of_a_larger_image():
    data = image((600, 1100))
    pyramid = make_pyramid(data)
    assert [one.factor for one in pyramid.levels] == [4, 16]
    for one in pyramid.levels:
        mean, count = level(data, one.factor)
        np.testing.assert_array_equal(one.weight, count)
        np.testing.assert_allclose(one.mean, mean, rtol=3e-6)


@pytest.mark.parametrize("step", [1.0, 0.4, 0.125])
def test_enlarged_views_show_pixels(step):
    data = image((40, 50))
    left, bottom, shape = -3.1, 12.6, (60, 70)
    found = make_pyramid(data).view(left, bottom, step, shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            y, x = math.floor(bottom + (row + 0.5) * step + 0.5), math.floor(left + (column + 0.5) * step + 0.5)
            inside = 0 <= y < 40 and 0 <= x < 50
            np.testing.assert_equal(found[row, column], data[y, x] if inside else np.float32(np.nan))


def test_whole_blocks_are_their_mean():
    data = image(blank=0.0)
    data[:] = np.arange(data.size, dtype=np.float32).reshape(data.shape) % 97
    found = make_pyramid(data).view(-0.5, -0.5, 8.0, (26, 21))
    blocks = data[:208, :168].reshape(26, 8, 21, 8).mean(axis=(1, 3), dtype=float)
    np.testing.assert_allclose(found, blocks, rtol=1e-6)


@pytest.mark.parametrize("dtype", [">f4", ">i2", "u1", "f8", "bool"])
def test_any_real_type(dtype):
    data = (np.arange(6000).reshape(60, 100) % 2).astype(dtype)
    before = data.copy()
    pyramid = make_pyramid(data)
    np.testing.assert_allclose(pyramid.view(-0.5, -0.5, 5.0, (12, 20)), twin(data.astype("f4"), -0.5, -0.5, 5.0, (12, 20)), rtol=1e-6)
    np.testing.assert_array_equal(data, before)


def test_nothing_in_view_and_nothing_at_all():
    pyramid = make_pyramid(image())
    for left, bottom in ((5000.0, 0.0), (0.0, -5000.0)):
        for step in (0.5, 2.0, 20.0):
            assert np.isnan(pyramid.view(left, bottom, step, (16, 16))).all()
    blank = make_pyramid(np.full((20, 30), np.nan))
    assert blank.statistics is None
    assert np.isnan(blank.view(-0.5, -0.5, 2.0, (10, 15))).all()


def test_infinite_pixels_do_not_count():
    data = image((64, 64), blank=0.0)
    data[3, 3], data[40, 40] = np.inf, -np.inf
    pyramid = make_pyramid(data)
    assert np.isfinite(pyramid.levels[0].mean[0, 0])
    assert np.isnan(pyramid.view(-0.5, -0.5, 1.0, (64, 64))[3, 3])
    assert pyramid.statistics.maximum == data[np.isfinite(data)].max()


def test_statistics_know_the_extremes_of_all_pixels():
    rng = np.random.default_rng(1)
    data = rng.normal(0.0, 1.0, (1500, 1500)).astype(np.float32)
    data[1, 1], data[3, 5] = 1e4, -1e4  # not on a lattice of every second pixel
    statistics = make_pyramid(data).statistics
    assert statistics.ordered.size < data.size / 3
    assert (statistics.minimum, statistics.maximum) == (-1e4, 1e4)
    # The lattice has 562 500 pixels: percentiles 16 and 84 to 0.002 sigma.
    assert statistics.sigma == pytest.approx(1.0, abs=0.008)
    assert statistics.median == pytest.approx(0.0, abs=0.008)


def test_what_cannot_be_shown_is_told():
    with pytest.raises(InputError, match="cannot be shown"):
        make_pyramid(np.zeros(5))
    with pytest.raises(InputError, match="cannot be shown"):
        make_pyramid(np.zeros((0, 5)))
    with pytest.raises(InputError, match="positive step"):
        make_pyramid(np.zeros((5, 5))).view(0.0, 0.0, 0.0, (2, 2))
