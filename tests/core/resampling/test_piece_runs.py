"""Kernels over runs of pixels: a slow twin, long and short runs, and bits that do not depend on where a run or a block begins."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map
from nbmosaic.core.resampling import piece_runs
from nbmosaic.core.resampling.piece_maps import open_window
from nbmosaic.core.resampling.piece_sampler import PieceSampler
from nbmosaic.core.resampling.piece_taps import tap_polynomials, tap_weights
from nbmosaic.core.resampling.segments import Segment, map_segments, read_only
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.types import PixelBox
from nbmosaic.types.camera import Interpolant

SHAPE = (60, 600)
MAPS = {"shift": (0.0, 1.0), "camera": (0.05, 1.0), "turned": (20.0, 1.0), "shrunk": (0.05, 1.3), "both": (45.0, 1.5)}


def turned(rotation: float, scale: float) -> Segment:
    """Map of a turned and distorted piece, whose positions reach beyond its edges."""
    y, x = np.meshgrid(np.linspace(0, SHAPE[0] - 1, 12), np.linspace(0, SHAPE[1] - 1, 12), indexing="ij")
    x, y = x.ravel(), y.ravel()
    cos, sin = scale * np.cos(np.radians(rotation)), scale * np.sin(np.radians(rotation))
    u = SHAPE[1] / 2 + cos * (x - 300) - sin * (y - 30) + 1e-8 * (x - 300) ** 3 + 0.37
    v = SHAPE[0] / 2 + sin * (x - 300) + cos * (y - 30) + 0.21
    fitted = fit_surface_map(np.stack([x, y], axis=1), np.stack([u, v], axis=1))
    (segment,) = map_segments(pixel_map(fitted, PixelBox(0, SHAPE[0], 0, SHAPE[1])))
    return segment


def sampler(name: str) -> PieceSampler:
    return PieceSampler(Interpolant.parse(name), SHAPE, "nearest", Workspace())


def image(kernel: PieceSampler, seed: int) -> np.ndarray:
    plane = kernel.empty("image")
    plane[...] = np.random.default_rng(seed).normal(1000, 200, plane.shape)
    return read_only(plane.copy(), np.float32)


def window(kernel: PieceSampler) -> np.ndarray:
    _, _, (before, after, centred) = kernel.arguments()
    return read_only(open_window(SHAPE, kernel.pad, before, after, centred=centred, within=PixelBox(2, 58, 3, 590)), np.float64)


def twin(kernel: PieceSampler, plane: np.ndarray, segment: Segment) -> np.ndarray:
    """The same sums in float64, for every fifth row and seventh column, from the definition of the weights."""
    u, v = segment.positions(np.arange(0, SHAPE[0], 5), np.arange(0, SHAPE[1], 7))
    out = np.full(u.shape, np.nan)
    for (j, i), x in np.ndenumerate(u):
        y = v[j, i]
        if not (2.5 <= x < 589.5 and 1.5 <= y < 57.5):
            continue
        column, row = int(np.floor(x)), int(np.floor(y))
        wx, wy = (tap_weights(kernel.interpolant, np.array([place % 1.0]))[0] for place in (x, y))
        before = len(wx) // 2 - 1
        top, left = row - before + kernel.pad, column - before + kernel.pad
        out[j, i] = wy @ plane[top : top + len(wy), left : left + len(wx)].astype(float) @ wx
    return out


@pytest.mark.parametrize("name", ["poly3", "poly5", "spline3"])
def test_polynomials_are_the_weights(name: str) -> None:
    phase = np.linspace(0, 1, 101)
    interpolant = Interpolant.parse(name)
    terms = tap_polynomials(interpolant).astype(float)
    found = np.vander(phase - 0.5, terms.shape[1], increasing=True) @ terms.T
    np.testing.assert_allclose(found, tap_weights(interpolant, phase), atol=1.5e-7)


@pytest.mark.parametrize("where", MAPS)
@pytest.mark.parametrize("name", ["poly3", "poly5", "spline3"])
def test_agrees_with_a_slow_twin(name: str, where: str) -> None:
    kernel, segment = sampler(name), turned(*MAPS[where])
    compiled, tables, _ = kernel.arguments()
    plane, out = image(kernel, 1), np.zeros(SHAPE, np.float32)
    compiled(plane, *tables, *segment.arguments(window(kernel), out))
    expected, out = twin(kernel, plane, segment), out[::5, ::7]
    # pixels within rounding of the box's edges may fall on either side
    both = np.isfinite(out) & np.isfinite(expected)
    assert both.sum() > 60
    assert (np.isfinite(out) != np.isfinite(expected)).sum() <= 2
    np.testing.assert_allclose(out[both], expected[both], atol=2e-3, rtol=0)


@pytest.mark.parametrize("where", MAPS)
@pytest.mark.parametrize("name", ["poly3", "poly5", "spline3", "good"])
def test_bits_do_not_depend_on_blocks(name: str, where: str) -> None:
    kernel, segment = sampler("spline3" if name == "good" else name), turned(*MAPS[where])
    compiled, tables, _ = kernel.arguments()
    images: tuple = (image(kernel, 2),)
    if name == "good":
        share = read_only(np.clip(image(kernel, 3) / 1000, 0.3, 1).astype(np.float32), np.float32)
        compiled, images = piece_runs.runs4_good, (images[0], share, 0.5)
    whole, parts = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    limits = window(kernel)
    compiled(*images, *tables, *segment.arguments(limits, whole))
    for top, bottom in ((0, 7), (7, 60)):
        for left, right in ((0, 1), (1, 38), (38, 257), (257, 431), (431, 600)):
            compiled(*images, *tables, *segment.arguments(limits, parts, PixelBox(top, bottom, left, right)))
    np.testing.assert_array_equal(whole.view(np.uint32), parts.view(np.uint32))


def test_share_of_good_pixels() -> None:
    kernel, segment = sampler("spline3"), turned(*MAPS["camera"])
    compiled, tables, _ = kernel.arguments()
    plane, share = image(kernel, 4), read_only(np.clip(image(kernel, 5) / 1000, 0.3, 1).astype(np.float32), np.float32)
    found, value, good = (np.zeros(SHAPE, np.float32) for _ in range(3))
    limits = window(kernel)
    piece_runs.runs4_good(plane, share, 0.9, *tables, *segment.arguments(limits, found))
    compiled(plane, *tables, *segment.arguments(limits, value))
    compiled(share, *tables, *segment.arguments(limits, good))
    expected = np.where(good >= np.float32(0.9), value / good, np.nan)
    assert 0.2 < np.isnan(found).mean() < 0.9
    np.testing.assert_array_equal(found, expected)
