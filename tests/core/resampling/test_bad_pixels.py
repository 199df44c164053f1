"""What bad pixels hold is never seen, what they leave is right, and nothing rings round them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.maps import affine_map, frame_maps, positions, rotation
from support.twins import point_twin

from nbmosaic.core.resampling import fill
from nbmosaic.core.resampling.resample import METHODS, Workspace, resample_frame
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels

PLANES = ("data", "area", "weight", "variance")
SHAPE = (48, 56)


def planes(seed=5):
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 5, SHAPE).astype(np.float32)
    weight = rng.uniform(0.5, 2, SHAPE).astype(np.float32)
    variance = rng.uniform(20, 30, SHAPE).astype(np.float32)
    mask = rng.random(SHAPE) < 0.05
    mask[:, 20] = mask[30] = mask[:7, :9] = mask[12:25, 35:50] = True
    return data, mask, weight, variance


def resampled(method, *, workspace=None, **named):
    forward, backward = frame_maps((60, 66), SHAPE, rotation(11, 0.95), nudge=(0.2, 0.3))
    return resample_frame(FramePixels(**named), forward, method=method, backward=backward, workspace=workspace)


def same(a, b):
    for name in PLANES:
        one, other = getattr(a, name), getattr(b, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert np.array_equal(one, other, equal_nan=True), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("junk", [1e30, -3.0, np.nan, np.inf])
def test_values_of_bad_pixels_are_irrelevant(method, junk):
    data, mask, weight, variance = planes()
    reference = resampled(method, data=data, mask=mask, weight=weight, variance=variance)
    spoilt = [np.where(mask, np.float32(junk), plane) for plane in (data, weight, variance)]
    same(resampled(method, data=spoilt[0], mask=mask, weight=spoilt[1], variance=spoilt[2]), reference)


@pytest.mark.parametrize("method", METHODS)
def test_every_way_to_be_bad_is_the_same(method):
    data, mask, weight, variance = planes()
    reference = resampled(method, data=data, mask=mask, weight=weight, variance=variance)
    for k, value in ((0, np.nan), (0, np.inf), (0, -np.inf), (1, 0.0), (1, -1.0), (1, np.nan), (2, -1.0), (2, np.nan), (2, np.inf)):
        named = [data, weight, variance]
        named[k] = np.where(mask, np.float32(value), named[k])
        same(resampled(method, data=named[0], weight=named[1], variance=named[2]), reference)


@pytest.mark.parametrize("method", METHODS)
def test_blank_means_blank_in_every_plane(method):
    data, mask, weight, variance = planes()
    found = resampled(method, data=data, mask=mask, weight=weight, variance=variance)
    seen = np.isfinite(found.data)
    assert 0.3 < seen.mean() < 0.9
    assert np.array_equal(found.area > 0, seen)
    assert found.area.max() == pytest.approx(1, abs=1e-6)
    assert np.array_equal(found.weight > 0, seen)
    assert np.array_equal(np.isfinite(found.variance), seen)
    assert all(getattr(found, name).dtype == np.float32 for name in PLANES)


@pytest.mark.parametrize("method", METHODS)
def test_workspace_is_irrelevant(method):
    data, mask, weight, variance = planes()
    reference = resampled(method, data=data, mask=mask, weight=weight, variance=variance)
    workspace = Workspace()
    # leave larger and other results in all buffers first
    for other in METHODS:
        forward, backward = frame_maps((100, 90), (80, 70), rotation(-30), nudge=(0.2, 0.3))
        junk = np.random.default_rng(9).normal(-1e6, 1e6, (80, 70)).astype(np.float32)
        junk[20:30] = np.nan
        pixels = FramePixels(data=junk, weight=np.full_like(junk, 7), variance=np.full_like(junk, 1e9))
        resample_frame(pixels, forward, method=other, backward=backward, workspace=workspace)
    same(resampled(method, data=data, mask=mask, weight=weight, variance=variance, workspace=workspace), reference)
    plain = resampled(method, data=data)
    same(resampled(method, data=data, workspace=workspace), plain)


@pytest.mark.parametrize("method", METHODS)
def test_threads_give_the_same_bits(method):
    data, mask, weight, variance = planes()
    named = {"data": data, "mask": mask, "weight": weight, "variance": variance}
    reference = resampled(method, **named)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: resampled(method, workspace=Workspace(), **named), range(12)):
            same(found, reference)


@pytest.mark.parametrize("method", METHODS)
def test_a_frame_without_good_pixels_is_blank(method):
    data, _, weight, variance = planes()
    found = resampled(method, data=np.full_like(data, np.nan), weight=weight, variance=variance)
    assert np.isnan(found.data).all()
    assert np.isnan(found.variance).all()
    assert (found.weight == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_not_modified_and_may_be_read_only(method):
    named = dict(zip(("data", "mask", "weight", "variance"), planes(), strict=True))
    copies = {name: plane.copy() for name, plane in named.items()}
    reference = resampled(method, **named)
    for name, plane in named.items():
        assert np.array_equal(plane, copies[name])
        plane.flags.writeable = False
    same(resampled(method, **named), reference)


def test_bilinear_uses_good_pixels_only():
    data, mask, weight, variance = planes()
    forward, _ = frame_maps((60, 66), SHAPE, rotation(11, 0.95), nudge=(0.2, 0.3))
    found = resample_frame(FramePixels(data=data, mask=mask, weight=weight, variance=variance), forward, method="bilinear")
    value, spread = point_twin("bilinear", data, *positions(forward), variance=variance, good=~mask)
    assert np.array_equal(np.isfinite(found.data), np.isfinite(value))
    np.testing.assert_allclose(found.data, value, rtol=2e-6)
    np.testing.assert_allclose(found.variance, spread, rtol=3e-3)
    weights, _ = point_twin("bilinear", weight, *positions(forward), good=~mask)
    np.testing.assert_allclose(found.weight, np.nan_to_num(weights), rtol=2e-6)


@pytest.mark.parametrize("method", ["spline", "lanczos3"])
def test_area_is_the_bilinear_weight_of_good_pixels(method):
    data, mask, _, _ = planes()
    forward, _ = frame_maps((60, 66), SHAPE, rotation(11, 0.95), nudge=(0.2, 0.3))
    found = resample_frame(FramePixels(data=data, mask=mask), forward, method=method)
    fraction, _ = point_twin("bilinear", np.where(mask, 0.0, 1.0), *positions(forward))
    expected = np.where(fraction >= 0.5, fraction, 0)
    np.testing.assert_allclose(found.area, np.nan_to_num(expected), atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_no_ringing_round_a_hole_in_a_smooth_sky(method):
    # a saturated star on a slope: what is left must be the slope and the star's wings, without waves
    y, x = np.mgrid[0:80, 0:80]
    sky = 200 + 0.7 * x - 0.4 * y
    truth = sky + 3e4 * np.exp(-0.5 * ((x - 40.3) ** 2 + (y - 39.6) ** 2) / 2.5**2)
    data = truth.astype(np.float32)
    mask = truth > 2000
    data[mask] = 65535
    forward, backward = frame_maps((80, 80), (80, 80), np.eye(2), nudge=(0.5, 0.5))
    found = resample_frame(FramePixels(data=data, mask=mask), forward, method=method, backward=backward)
    u, v = positions(forward)
    expected = 200 + 0.7 * u - 0.4 * v + 3e4 * np.exp(-0.5 * ((u - 40.3) ** 2 + (v - 39.6) ** 2) / 2.5**2)
    whole = found.area > 0.999
    far = whole & (np.hypot(u - 40.3, v - 39.6) > 13)
    limit = {"nearest": 0.7, "lanczos3": 0.8}.get(method, 0.2)
    assert np.abs(found.data - expected)[far].max() < limit
    near = whole & (np.hypot(u - 40.3, v - 39.6) <= 13)
    assert found.data[near].min() > 150


def filled(image, good):
    pad = 2
    padded = np.pad(image.astype(np.float32), pad)
    plane = np.pad(good.astype(np.uint8), pad)
    before = plane.copy()
    fill.fill_bad(padded, plane, pad, np.empty(image.size, np.float32))
    assert np.array_equal(plane, before)
    return padded[pad:-pad, pad:-pad]


def test_filling_continues_a_plane():
    y, x = np.mgrid[0:40, 0:30]
    image = 5 + 2.0 * x - 3.0 * y
    good = np.ones(image.shape, bool)
    good[10:25, 8:20] = good[3, 4] = good[:, 26] = False
    result = filled(np.where(good, image, 1e30), good)
    np.testing.assert_allclose(result, image, atol=2e-4)


def test_filling_of_rows_columns_corners_and_almost_everything():
    image = np.full((25, 31), 7.0)
    for cut in ((slice(5, 8), slice(None)), (slice(None), slice(0, 3)), (slice(20, 25), slice(25, 31)), (slice(0, 24), slice(None))):
        good = np.ones(image.shape, bool)
        good[cut] = False
        good[:, 12] = False
        np.testing.assert_allclose(filled(np.where(good, image, 1e30), good), image, rtol=1e-6)
    good = np.zeros(image.shape, bool)
    good[3, 30] = True
    np.testing.assert_allclose(filled(np.where(good, image, -1e30), good), image, rtol=1e-6)


def test_filling_is_the_weighted_mean_of_the_four_nearest():
    image = np.arange(25.0).reshape(5, 5) ** 1.5
    good = np.ones((5, 5), bool)
    good[2, 1:4] = good[1:4, 2] = False
    result = filled(image, good)
    centre = (image[2, 0] + image[2, 4] + image[0, 2] + image[4, 2]) / 4
    assert result[2, 2] == pytest.approx(centre, rel=1e-6)
    beside = image[2, 0] / 1 + image[2, 4] / 3 + image[1, 1] + image[3, 1]
    assert result[2, 1] == pytest.approx(beside / (1 + 1 / 3 + 1 + 1), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_good_rows_between_bad_ones(method):
    data = np.random.default_rng(3).normal(50, 1, (20, 24)).astype(np.float32)
    data[::2] = np.nan
    forward = affine_map(PixelBox(0, 20, 0, 24), np.eye(2), (0, 0))
    _, backward = frame_maps((20, 24), (20, 24), np.eye(2))
    found = resample_frame(FramePixels(data=data), forward, method=method, backward=backward)
    np.testing.assert_allclose(found.data, data, rtol=1e-5)
