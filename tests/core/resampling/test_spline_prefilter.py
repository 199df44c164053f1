"""The spline prefilter against its definition, and the workspace."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map
from nbmosaic.core.resampling.pieces import resample_piece
from nbmosaic.core.resampling.prefilter import prefilter, prefilter_good
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import Interpolant
from nbmosaic.types.frame import FramePixels


def coefficients(image, pad=3):
    padded = np.pad(image.astype(np.float32), pad, constant_values=np.nan)
    prefilter(padded, pad)
    assert np.isnan(padded[:pad]).all()
    assert np.isnan(padded[:, -pad:]).all()
    return padded[pad:-pad, pad:-pad]


@pytest.mark.parametrize("shape", [(3, 3), (5, 40), (15, 16), (16, 17), (18, 33), (40, 50)])
def test_coefficients_are_those_of_the_natural_spline(shape):
    image = np.random.default_rng(1).normal(1000, 100, shape)
    expected = image
    for axis in (0, 1):
        expected = np.moveaxis(solve_natural(np.moveaxis(expected, axis, 0)), 0, axis)
    np.testing.assert_allclose(coefficients(image), expected, rtol=2e-6, atol=3e-4)


def solve_natural(samples):
    """Solve (c[i-1] + 4 c[i] + c[i+1]) / 6 = s[i] with c = s at the ends."""
    n = len(samples)
    matrix = np.zeros((n, n))
    for i in range(1, n - 1):
        matrix[i, i - 1 : i + 2] = np.array([1, 4, 1]) / 6
    matrix[0, 0] = matrix[-1, -1] = 1
    return np.linalg.solve(matrix, samples)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (20, 1), (2, 2)])
def test_one_or_two_samples_are_their_own_coefficients(shape):
    image = np.random.default_rng(1).normal(0, 1, shape)
    c = coefficients(image)
    for axis in (0, 1):
        if shape[axis] > 2:
            image = np.moveaxis(solve_natural(np.moveaxis(image, axis, 0)), 0, axis)
    np.testing.assert_allclose(c, image, rtol=1e-5, atol=1e-6)


def test_workspace_hands_out_again_and_grows():
    workspace = Workspace()
    first = workspace.array("a", (10, 10), np.float32)
    first[:] = 5
    again = workspace.array("a", (5, 5), np.float64)
    assert np.shares_memory(first, again)
    assert again.dtype == np.float64
    assert again.flags.c_contiguous
    assert not np.shares_memory(first, workspace.array("b", (3,), np.uint8))
    larger = workspace.array("a", (100, 100), np.float32)
    assert larger.shape == (100, 100)
    assert workspace.nbytes == 40000 + 3
    assert workspace.array("a", (0, 7), np.float32).shape == (0, 7)


def test_workspace_travels_empty():
    workspace = Workspace()
    workspace.array("a", (10, 10), np.float32)
    assert pickle.loads(pickle.dumps(workspace)).nbytes == 0


def test_coefficients_of_a_plane_with_few_holes() -> None:
    good = np.random.default_rng(8).random((120, 140)) > 0.01
    want = good.astype(np.float32)
    prefilter(want, 0)
    found = np.empty(good.shape, np.float32)
    prefilter_good(good.astype(np.uint8), found)
    inner = (slice(14, -14), slice(14, -14))
    np.testing.assert_allclose(found[inner], want[inner], rtol=0, atol=2e-6)


@pytest.mark.parametrize("few", [0.004, 0.05])
@pytest.mark.parametrize("boundary", ["nearest", "constant", "reflect"])
def test_one_pass_excludes_as_two_do(few: float, boundary: str) -> None:
    rng = np.random.default_rng(5)
    data, bad = rng.normal(100, 5, (90, 80)).astype(np.float32), rng.random((90, 80)) < few
    corners = np.array([[0.0, 0], [70, 0], [0, 80], [70, 80]])
    forward = pixel_map(fit_surface_map(corners, corners + np.array([3.3, 2.6]), geometry="shift"), PixelBox(0, 80, 0, 70))
    options = {"interpolant": Interpolant.parse("spline3"), "bad": "exclude", "boundary": boundary}
    one = resample_piece(FramePixels(data=data, mask=bad), forward, **options)
    two = resample_piece(FramePixels(data=data, mask=bad, variance=np.ones_like(data)), forward, **options)
    np.testing.assert_allclose(one.data, two.data, atol=1e-3)
    section = PixelBox(10, 60, 20, 70)
    cut = resample_piece(FramePixels(data=data, mask=bad), forward, section=section, cut=True, **options)
    y, x = np.mgrid[0:80, 0:70]
    inside = (y + 2.6 >= 9.5) & (y + 2.6 < 59.5) & (x + 3.3 >= 19.5) & (x + 3.3 < 69.5)
    np.testing.assert_array_equal(np.isfinite(cut.data), inside & np.isfinite(one.data))
    np.testing.assert_array_equal(cut.data[np.isfinite(cut.data)], one.data[np.isfinite(cut.data)])
