"""Propagated variance and noise gain, by resampling noise."""

from __future__ import annotations

import numpy as np
import pytest
from support.maps import affine_map, frame_maps, rotation

from nbmosaic.core.resampling.resample import METHODS, Workspace, noise_gain, resample_frame
from nbmosaic.core.resampling.taps import POINT_METHODS, kernel_response
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels


def stack(method, matrix, *, n, shape=(90, 90), out=(80, 80), scatter=None, mask=None, conserve="surface_brightness"):
    """Resampled noise of `n` frames, shape (n, ny, nx), and the last frame."""
    rng = np.random.default_rng(31)
    forward, backward = frame_maps(out, shape, matrix, nudge=(0.31, 0.17))
    workspace = Workspace()
    sigma = np.ones(shape) if scatter is None else scatter
    found = []
    for _ in range(n):
        data = (rng.standard_normal(shape) * sigma).astype(np.float32)
        pixels = FramePixels(data=data, variance=(sigma**2).astype(np.float32), mask=mask)
        frame = resample_frame(pixels, forward, method=method, backward=backward, workspace=workspace, conserve=conserve)
        found.append(frame.data.copy())
    return np.stack(found), frame


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("matrix", "conserve"), [(rotation(6), "surface_brightness"), (rotation(25, 1.7), "flux")])
def test_variance_is_that_of_the_noise(method, matrix, conserve):
    y, x = np.mgrid[0:90, 0:90]
    scatter = 2 + np.sin(x / 9.0) + 0.5 * np.cos(y / 7.0)
    mask = np.random.default_rng(3).random((90, 90)) < 0.02
    found, frame = stack(method, matrix, n=60, scatter=scatter, mask=mask, conserve=conserve)
    # whole pixels: beside bad ones the variance of filled pixels, which repeat their neighbours, is only roughly known
    whole = frame.area > 0.9999
    squares = (found**2 / frame.variance)[:, whole]
    error = np.sqrt(2 / squares.size) * 3  # neighbours are correlated
    assert squares.mean() == pytest.approx(1, abs=4 * error + 0.008)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("matrix", [rotation(5), rotation(20, 2.6), rotation(-15, 0.7)])
def test_gain_is_that_of_the_noise(method, matrix):
    found, frame = stack(method, matrix, n=80, shape=(90, 90) if abs(np.linalg.det(matrix)) < 2 else (220, 220))
    box = found[:, 12:68, 12:68].astype(float)
    assert np.isfinite(box).all()
    reach = 5
    inner = box[:, reach:-reach, reach:-reach]
    power = sum(
        np.mean(inner * box[:, reach + j : box.shape[1] - reach + j, reach + i : box.shape[2] - reach + i])
        for j in range(-reach, reach + 1)
        for i in range(-reach, reach + 1)
    )
    assert frame.noise_gain == pytest.approx(np.mean(inner**2) / power, rel=0.06)


@pytest.mark.parametrize("method", METHODS)
def test_gain_of_whole_and_half_pixel_shifts(method):
    box = PixelBox(0, 40, 0, 40)
    assert noise_gain(method, affine_map(box, np.eye(2), (3, -2))) == pytest.approx(1, abs=1e-3)
    half = noise_gain(method, affine_map(box, np.eye(2), (0.5, 0.5)))
    expected = {"nearest": 1, "bilinear": 1 / 4, "area": 1 / 4, "exact": 1 / 4}
    if method in expected:
        assert half == pytest.approx(expected[method], abs=1e-3)
    else:
        assert 0.4 < half < 0.9


def test_gain_where_the_grid_is_much_coarser():
    box = PixelBox(0, 40, 0, 40)
    coarse = affine_map(box, rotation(10, 9.3), (0.3, 0.2))
    assert noise_gain("bilinear", coarse) == pytest.approx(1, abs=0.05)
    assert noise_gain("nearest", coarse) == pytest.approx(1, abs=0.05)
    assert 0.85 < noise_gain("area", coarse) < 1


def test_gain_of_a_map_that_sees_nothing():
    assert noise_gain("spline", affine_map(PixelBox(0, 0, 0, 5), np.eye(2), (0, 0), table=True)) == 1
    far = affine_map(PixelBox(0, 9, 0, 9), np.eye(2), (1000, 0))
    assert noise_gain("spline", far, (20, 20)) == 1


@pytest.mark.parametrize("method", POINT_METHODS)
def test_response_is_one_at_zero_and_none_at_whole_frequencies(method):
    response = kernel_response(method, np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(response, [1, 0, 0], atol=0.003)
    assert kernel_response(method, np.array([-0.3])) == pytest.approx(kernel_response(method, np.array([0.3])))
