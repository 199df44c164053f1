"""Masks of pieces: the rule of 1/10000, and flags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nbmosaic.core.camera_combine import mask_codes
from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map
from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.core.resampling.pieces import piece_flags, resample_codes, resample_mask, resample_piece, touched_pixels
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.types import PixelBox
from nbmosaic.types.camera import Interpolant, PieceFlag
from nbmosaic.types.frame import FramePixels

SHAPE = (30, 36)
SECTION = PixelBox(3, 27, 4, 33)
NAMES = ["nearest", "linear", "poly3", "poly5", "spline3", "sinc7", "lsinc7[10]", "drizzle", "drizzle[0.5]"]


def turned(box: PixelBox, angle: float = 0.2) -> PixelMap:
    points = np.random.default_rng(1).uniform(0, 36, (20, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return pixel_map(fit_surface_map(points, (points - 17) @ turn.T * 1.02 + 16, geometry="rscale"), box)


def bad_pixels() -> np.ndarray:
    bad = np.random.default_rng(2).random(SHAPE) < 0.02
    bad[:, 21] = True
    return bad


@pytest.mark.parametrize("outside", [10000.0, 20000.0])
@pytest.mark.parametrize("name", NAMES)
def test_mask_is_the_image_of_the_section(name: str, outside: float) -> None:
    kernel, forward, bad = Interpolant.parse(name), turned(PixelBox(-4, 36, -4, 40)), bad_pixels()
    ours = resample_mask(bad, forward, interpolant=kernel, section=SECTION, outside=outside)
    plane = np.full(SHAPE, outside, np.float32)
    plane[SECTION.slices()] = bad[SECTION.slices()] * 10000.0
    slow = resample_piece(FramePixels(data=plane), forward, interpolant=kernel, boundary="constant", constant=outside).data
    assert ours.dtype == np.uint16
    assert np.abs(ours - np.trunc(np.abs(slow))).max() <= 1
    # code 0 only where bad pixels and the outside have less than 1/10000
    sure = np.abs(np.abs(slow) - 1) > 0.01
    assert ((ours == 0) == (np.abs(slow) < 1))[sure].all()


@pytest.mark.parametrize("blank", [None, -5.0, np.nan])
@pytest.mark.parametrize("name", ["nearest", "linear", "poly5", "spline3"])
def test_codes_in_one_pass(name: str, blank: float | None) -> None:
    kernel, bad = Interpolant.parse(name), bad_pixels()
    whole = turned(PixelBox(-4, 36, -4, 40))
    for forward in (whole, replace(whole, box=PixelBox(-6, 36, -4, 40))):  # the second leaves rows out
        data = np.random.default_rng(3).normal(0, 1, forward.box.shape).astype(np.float32)
        slow = data.copy()
        codes = mask_codes(resample_mask(bad, forward, interpolant=kernel, section=SECTION), slow, blank=blank)
        found = resample_codes(bad, forward, data, interpolant=kernel, section=SECTION, blank=blank)
        assert {0, 1, 2} <= set(np.unique(found).tolist())
        np.testing.assert_array_equal(found, codes)
        np.testing.assert_array_equal(data, slow)


@pytest.mark.parametrize("name", ["nearest", "linear", "poly3", "poly5", "spline3", "sinc7", "sinc", "drizzle"])
def test_every_bad_pixel_of_some_weight_is_found(name: str) -> None:
    """Against the true weight of single bad pixels, which the response of the data to them gives."""
    kernel, forward = Interpolant.parse(name), turned(PixelBox(0, 30, 0, 36))
    largest = np.zeros(forward.box.shape)
    bad = np.zeros(SHAPE, bool)
    for place in ((9, 12), (10, 13), (20, 30), (14, 20)):
        bad[place] = True
        single = np.zeros(SHAPE, np.float32)
        single[place] = 1
        weight = resample_piece(FramePixels(data=single), forward, interpolant=kernel, boundary="constant").data
        largest = np.maximum(largest, np.abs(np.nan_to_num(weight)))
    found = touched_pixels(bad, forward, interpolant=kernel)
    assert found[largest > 0.0102].all()
    assert not found[largest < 0.004].any()
    assert not touched_pixels(np.zeros(SHAPE, bool), forward, interpolant=kernel).any()


def test_weight_of_a_ten_thousandth_counts() -> None:
    bad = np.zeros(SHAPE, bool)
    bad[10, 10] = True
    corners = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])
    for shift, value in ((0.0, 0), (0.00005, 0), (0.0002, 2), (0.4, 4000), (1.0, 10000)):
        forward = pixel_map(fit_surface_map(corners, corners + np.array([shift, 0.0]), geometry="shift"), PixelBox(10, 11, 9, 11))
        found = resample_mask(bad, forward, interpolant=Interpolant.parse("linear"))[0, 0]
        assert abs(int(found) - value) <= 1
        assert (found > 0) == (value > 0)


def test_undefined_map_is_outside() -> None:
    x = np.full((2, 3), np.nan)
    patch = MapPatch(box=PixelBox(0, 2, 0, 3), table_u=x, table_v=x)
    forward = PixelMap(box=PixelBox(0, 3, 0, 3), offset=0.0, patches=(patch,), error_pix=0.0)
    for name in NAMES:
        found = resample_mask(np.zeros(SHAPE, bool), forward, interpolant=Interpolant.parse(name))
        assert (found == 20000).all(), name
        assert (piece_flags(np.zeros(SHAPE, bool), forward, interpolant=Interpolant.parse(name)) == PieceFlag.NO_DATA).all()


@pytest.mark.parametrize("name", ["nearest", "linear", "poly5", "sinc7"])
def test_flags_against_footprints(name: str) -> None:
    kernel, forward, bad = Interpolant.parse(name), turned(PixelBox(-6, 38, -6, 42)), bad_pixels()
    bad[5:, :] = False
    flags = piece_flags(bad, forward, interpolant=kernel, section=SECTION)
    v, u = forward.evaluate(*np.mgrid[-6:38, -6:42])
    inside = np.zeros(SHAPE, bool)
    inside[SECTION.slices()] = True
    half = (kernel.taps - 1) // 2
    for j, i in np.ndindex(flags.shape):
        if kernel.taps % 2:
            y0, x0 = int(np.floor(v[j, i] + 0.5)) - half, int(np.floor(u[j, i] + 0.5)) - half
        else:
            y0, x0 = int(np.floor(v[j, i])) - half, int(np.floor(u[j, i])) - half
        rows, columns = np.arange(y0, y0 + kernel.taps), np.arange(x0, x0 + kernel.taps)
        on = [(r, c) for r in rows for c in columns if 0 <= r < SHAPE[0] and 0 <= c < SHAPE[1] and inside[r, c]]
        expected = PieceFlag.BAD * any(bad[p] for p in on) + PieceFlag.EDGE * (len(on) < kernel.taps**2)
        near = int(np.floor(v[j, i] + 0.5)), int(np.floor(u[j, i] + 0.5))
        held = 0 <= near[0] < SHAPE[0] and 0 <= near[1] < SHAPE[1] and inside[near]
        assert flags[j, i] == expected + PieceFlag.OUTSIDE * (not held), (j, i)


def test_bad_calls() -> None:
    forward = turned(PixelBox(0, 4, 0, 4))
    with pytest.raises(ConfigError, match="mask"):
        resample_mask(np.zeros(SHAPE, bool), forward, interpolant=Interpolant.parse("linear"), outside=70000.0)
    with pytest.raises(InputError, match="trim less"):
        resample_mask(np.zeros(SHAPE, bool), forward, interpolant=Interpolant.parse("linear"), section=PixelBox(15, 15, 4, 33))
