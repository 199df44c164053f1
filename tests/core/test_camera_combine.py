"""Pieces put together, against the rules written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.camera_combine import PieceBand, PieceCombiner, hull_limits, mask_bits, mask_codes
from nbmosaic.errors import ConfigError
from nbmosaic.types import PixelBox


def random_pieces(rng: np.random.Generator, band: PixelBox, n: int) -> list[PieceBand]:
    pieces = []
    for _ in range(n):
        y, x = np.sort(rng.integers(band.ymin, band.ymax + 1, 2)), np.sort(rng.integers(band.xmin, band.xmax + 1, 2))
        box = PixelBox(int(y[0]), int(y[1]), int(x[0]), int(x[1]))
        if box.empty:
            continue
        data = rng.normal(100, 10, box.shape).astype(np.float32)
        data[rng.random(box.shape) < 0.2] = np.nan
        flags = np.where(rng.random(box.shape) < 0.3, rng.integers(1, 4, box.shape), 0).astype(np.uint8)
        pieces.append(PieceBand(box=box, data=data, flags=flags, variance=rng.uniform(1, 2, box.shape).astype(np.float32)))
    return pieces


def slow(band: PixelBox, pieces: list[PieceBand], limits: np.ndarray, rule: str, blank: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data, mask, noise = np.full(band.shape, blank), np.zeros(band.shape, int), np.full(band.shape, np.nan)
    for y in range(band.shape[0]):
        for x in range(band.shape[1]):
            seen, lost = [], 0
            for piece in pieces:
                j, i = y + band.ymin - piece.box.ymin, x + band.xmin - piece.box.xmin
                if 0 <= j < piece.box.shape[0] and 0 <= i < piece.box.shape[1]:
                    value, flag = float(piece.data[j, i]), int(piece.flags[j, i])
                    if np.isnan(value):
                        lost |= flag
                    else:
                        seen.append((value, flag, float(piece.variance[j, i])))
            clean = [one for one in seen if one[1] == 0]
            used = clean if rule == "clean" and clean else seen
            if used:
                data[y, x] = np.mean([one[0] for one in used])
                noise[y, x] = sum(one[2] for one in used) / len(used) ** 2
                mask[y, x] = 0 if clean else lost | int(np.bitwise_or.reduce([one[1] for one in used]))
            else:
                mask[y, x] = (lost & 1) | (4 if limits[y, 0] <= x < limits[y, 1] else 8)
    return data, mask, noise


@pytest.mark.parametrize("rule", ["clean", "mean"])
@pytest.mark.parametrize("blank", [np.nan, -7.0])
def test_against_the_rules(rule: str, blank: float) -> None:
    rng = np.random.default_rng(3)
    combiner = PieceCombiner(12, 15, rule=rule, blank=blank, variance=True)
    for height in (12, 7, 1):
        band = PixelBox(-3, -3 + height, 5, 20)
        pieces = random_pieces(rng, band, 5)
        limits = np.sort(rng.integers(0, 16, (height, 2)), axis=1)
        got = combiner.combine(band, pieces, limits)
        data, mask, noise = slow(band, pieces, limits, rule, blank)
        np.testing.assert_allclose(got.data, data, rtol=1e-6)
        np.testing.assert_array_equal(got.mask, mask)
        np.testing.assert_allclose(got.variance, noise, rtol=1e-6)
        assert got.n_good == np.count_nonzero(np.isfinite(noise))


def test_last_wins() -> None:
    rng = np.random.default_rng(4)
    band = PixelBox(0, 6, 0, 8)
    one = PieceBand(box=PixelBox(0, 4, 0, 5), data=rng.random((4, 5), np.float32), flags=np.full((4, 5), 12000, np.uint16))
    two = PieceBand(box=PixelBox(2, 6, 3, 8), data=rng.random((4, 5), np.float32), flags=np.full((4, 5), 7, np.uint16))
    got = PieceCombiner(6, 8, rule="last", blank=3.0).combine(band, [one, two], np.zeros((6, 2), np.int64))
    np.testing.assert_array_equal(got.data[2:, 3:], two.data)
    np.testing.assert_array_equal(got.data[:2, :5], one.data[:2])
    assert got.data[0, 7] == 3.0
    assert (got.mask[0, 7], got.mask[0, 0], got.mask[3, 4]) == (10000, 12000, 7)
    with pytest.raises(ConfigError, match="cannot be combined by 'sum'"):
        PieceCombiner(1, 1, rule="sum")


def test_codes_and_bits() -> None:
    values = np.array([[0, 1, 5000, 10009, 10010, 20019, 20020, 31000]], np.uint16)
    data = np.arange(8, dtype=np.float32)[None]
    codes = mask_codes(values, data, blank=np.nan)
    expected = np.where(values < 1, 0, (values / 10010 + 1).astype(int))
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(np.isnan(data), expected == 2)
    zones, spread = np.array([[0, 10000, 10000, 0]], np.uint16), np.array([[0, 3, 0, 1]], np.uint16)
    assert mask_bits(zones, spread, (1, 4)).tolist() == [[0, 3, 2, 1]]
    assert mask_bits(None, None, (1, 4)).tolist() == [[0, 0, 0, 0]]


def test_hull() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-5, 25, 40), rng.uniform(-4, 12, 40)
    box = PixelBox(-6, 15, -8, 30)
    limits = hull_limits([(x, y), (np.array([np.nan]), np.array([0.0]))], box)
    from scipy.spatial import ConvexHull

    hull = ConvexHull(np.stack([x, y], axis=1))
    rows, columns = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
    inside = (np.einsum("ij,jkl->ikl", hull.equations[:, :2], np.stack([columns, rows])) + hull.equations[:, 2, None, None] <= 1e-9).all(
        axis=0
    )
    index = np.arange(box.shape[1])
    np.testing.assert_array_equal((index >= limits[:, :1]) & (index < limits[:, 1:]), inside)
