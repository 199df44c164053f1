"""Nearest, bilinear, spline and Lanczos against slow twins, and their invariants."""

from __future__ import annotations

import numpy as np
import pytest
from support.maps import affine_map, frame_maps, positions, rotation
from support.twins import point_twin

from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.core.resampling.resample import resample_frame
from nbmosaic.core.resampling.taps import POINT_METHODS
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels

SMOOTH = ("bilinear", "spline", "lanczos3")
# error of the taps at 1024 phases: half a step times the gradient of an image with noise of 10 a pixel
TOLERANCE = {"nearest": 0, "bilinear": 2e-5, "spline": 0.04, "lanczos3": 0.04}


def image(shape=(37, 50), seed=1):
    return np.random.default_rng(seed).normal(100, 10, shape).astype(np.float32)


@pytest.mark.parametrize("method", POINT_METHODS)
@pytest.mark.parametrize("matrix", [rotation(7), rotation(-40, 0.6), rotation(181, 1.9), [[-1.003, 0.107], [0.211, 0.893]]])
def test_equals_the_twin(method, matrix):
    data = image()
    variance = np.random.default_rng(2).uniform(1, 4, data.shape).astype(np.float32)
    forward, _ = frame_maps((45, 61), data.shape, matrix, nudge=(0.3, -0.2))
    found = resample_frame(FramePixels(data=data, variance=variance), forward, method=method)
    value, spread = point_twin(method, data, *positions(forward), variance=variance)
    assert np.array_equal(np.isfinite(found.data), np.isfinite(value))
    np.testing.assert_allclose(found.data, value, atol=TOLERANCE[method] + 2e-5)
    assert found.area is None
    # the spline's variance knows 8 x 8 samples and mirrors the variance plane at the edges, where the twin folds the weights first
    interior = np.isfinite(value)
    if method in ("spline", "lanczos3"):
        u, v = positions(forward)
        interior &= (u > 4) & (u < data.shape[1] - 5) & (v > 4) & (v < data.shape[0] - 5)
    np.testing.assert_allclose(found.variance[interior], spread[interior], rtol=4e-3)


@pytest.mark.parametrize("method", POINT_METHODS)
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (2, 2), (2, 13), (3, 4), (5, 17), (17, 3), (16, 16), (18, 18)])
def test_small_frames(method, shape):
    data = image(shape, 3)
    forward, _ = frame_maps((shape[0] + 4, shape[1] + 4), shape, rotation(4, 0.9), nudge=(0.1, 0.15))
    found = resample_frame(FramePixels(data=data), forward, method=method)
    value, _ = point_twin(method, data, *positions(forward))
    assert np.array_equal(np.isfinite(found.data), np.isfinite(value))
    assert np.isfinite(value).any()
    np.testing.assert_allclose(found.data, value, atol=TOLERANCE[method] + 3e-5)


@pytest.mark.parametrize("method", POINT_METHODS)
def test_identity_gives_the_input(method):
    data = image()
    forward = affine_map(PixelBox.of_shape(data.shape), np.eye(2), (0, 0))
    found = resample_frame(FramePixels(data=data), forward, method=method)
    if method == "spline":
        np.testing.assert_allclose(found.data, data, rtol=1e-6)
    else:
        assert np.array_equal(found.data, data)
    assert found.noise_gain == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("method", SMOOTH)
def test_a_plane_stays_a_plane_up_to_the_edges(method):
    y, x = np.mgrid[0:40, 0:50]
    data = (3 + 0.5 * x - 0.25 * y).astype(np.float32)
    forward, _ = frame_maps((50, 60), data.shape, rotation(20), nudge=(0.4, 0.1))
    found = resample_frame(FramePixels(data=data), forward, method=method).data
    u, v = positions(forward)
    seen = np.isfinite(found)
    # Lanczos weights normalised to sum 1 reproduce a constant, a slope only to 2 per cent of a pixel
    np.testing.assert_allclose(found[seen], (3 + 0.5 * u - 0.25 * v)[seen], atol=0.02 if method == "lanczos3" else 6e-4)


@pytest.mark.parametrize("method", POINT_METHODS)
@pytest.mark.parametrize("level", [1.0, -12345.678, 3e7])
def test_a_constant_stays_constant(method, level):
    data = np.full((50, 40), level, np.float32)
    forward, _ = frame_maps((50, 60), data.shape, rotation(33, 1.1))
    found = resample_frame(FramePixels(data=data), forward, method=method).data
    assert np.nanmax(np.abs(found / np.float32(level) - 1)) <= 1.5e-6


@pytest.mark.parametrize("method", POINT_METHODS)
def test_tables_give_the_same_bits_however_they_are_cut(method):
    data = image((60, 300))
    matrix, shift, box = rotation(3), (-5.0, 2.0), PixelBox(-3, 60, 4, 320)
    reference = resample_frame(FramePixels(data=data), affine_map(box, matrix, shift, table=True), method=method).data
    for cuts in ((5,), (36, 37, 300), (100, 200)):
        cut = resample_frame(FramePixels(data=data), affine_map(box, matrix, shift, table=True, cuts=cuts), method=method).data
        assert np.array_equal(cut, reference, equal_nan=True)
    smooth = resample_frame(FramePixels(data=data), affine_map(box, matrix, shift), method=method).data
    np.testing.assert_allclose(smooth, reference, atol=0.05 if method != "nearest" else 0)


@pytest.mark.parametrize("degree", [3, 5, 7, 12])
def test_maps_of_every_degree(degree):
    data = image((64, 64))
    box = PixelBox(0, 60, 0, 60)
    c = np.random.default_rng(degree).normal(0, 0.2, (2, degree + 1, degree + 1))
    c[:, 0, 0] = 31, 30
    c[0, 0, 1] = c[1, 1, 0] = 29
    forward = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, cu=c[0], cv=c[1]),), error_pix=0.0)
    u, v = positions(forward)
    found = resample_frame(FramePixels(data=data), forward, method="bilinear").data
    np.testing.assert_allclose(found, point_twin("bilinear", data, u, v)[0], atol=2e-5)


@pytest.mark.parametrize("method", POINT_METHODS)
def test_curved_edges_and_undefined_positions(method):
    # rows that leave the frame and come back, and a table with holes
    data = image((30, 80))
    box = PixelBox(0, 30, 0, 80)
    y, x = np.mgrid[0.0:30, 0.0:80]
    u, v = x + 0.25, y + 3 - 6 * ((x - 40) / 40) ** 2
    u[12:14, 20:60] = np.nan
    v[20, 3:70:2] = np.inf
    forward = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, table_u=u, table_v=v),), error_pix=0.0)
    found = resample_frame(FramePixels(data=data), forward, method=method).data
    with np.errstate(invalid="ignore"):
        value, _ = point_twin(method, data, u, v)
    assert np.array_equal(np.isfinite(found), np.isfinite(value))
    np.testing.assert_allclose(found, value, atol=TOLERANCE[method] + 2e-5)
    gaps = np.diff(np.isfinite(found).astype(int), axis=1)
    assert ((gaps == 1).sum(axis=1) > 1).any()  # the case is what it says


@pytest.mark.parametrize("method", POINT_METHODS)
def test_pixels_in_no_patch_are_blank(method):
    data = image((20, 20))
    box = PixelBox(0, 20, 0, 20)
    y, x = np.mgrid[0.0:20, 0.0:20]
    part = MapPatch(box=PixelBox(5, 12, 3, 9), table_u=x[5:12, 3:9], table_v=y[5:12, 3:9])
    forward = PixelMap(box=box, offset=0.0, patches=(part,), error_pix=0.0)
    pixels = FramePixels(data=data, weight=np.ones_like(data), variance=np.ones_like(data))
    found = resample_frame(pixels, forward, method=method)
    seen = np.zeros(data.shape, bool)
    seen[5:12, 3:9] = True
    assert np.array_equal(np.isfinite(found.data), seen)
    assert np.array_equal(found.weight, seen.astype(np.float32))
    assert np.array_equal(np.isfinite(found.variance), seen)


def test_edges_of_what_is_valid():
    data = image((5, 5))
    box = PixelBox(0, 1, 0, 6)
    u = np.array([[-0.5, -0.002, 0.0, 4.0, 4.002, 4.5 - 1e-9]])
    forward = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, table_u=u, table_v=np.full_like(u, 2)),), error_pix=0.0)
    expected = {"nearest": [1, 1, 1, 1, 1, 1], "bilinear": [0, 0, 1, 1, 0, 0], "spline": [0, 0, 1, 1, 0, 0], "lanczos3": [0, 0, 1, 1, 0, 0]}
    for method, valid in expected.items():
        found = resample_frame(FramePixels(data=data), forward, method=method).data
        assert np.isfinite(found[0]).astype(int).tolist() == valid
        assert found[0, 2] == pytest.approx(data[2, 0], rel=1e-6)
        assert found[0, 3] == pytest.approx(data[2, 4], rel=1e-6)
