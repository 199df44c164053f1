"""The small mosaic whose planes can be changed, against the pixels themselves."""

from __future__ import annotations

import numpy as np

from nbmosaic.core.preview_sums import preview_mosaic, preview_sums
from nbmosaic.types import PixelBox

GRID = PixelBox(0, 37, 0, 53)
BOXES = (PixelBox(-4, 20, -3, 30), PixelBox(10, 41, 5, 28), PixelBox(3, 30, 20, 60))
ORIGIN = (4.5, -2.0)


def frames(rng: np.random.Generator) -> list[tuple[int, PixelBox, np.ndarray]]:
    made = []
    for index, box in zip((2, 5, 9), BOXES, strict=True):
        data = rng.normal(100.0, 5.0, box.shape).astype(np.float32)
        data[rng.random(box.shape) < 0.2] = np.nan
        made.append((index, box, data))
    return made


def twin(pixels: list[tuple[int, PixelBox, np.ndarray]], planes: dict[int, np.ndarray], step: int) -> np.ndarray:
    """Every pixel of every frame less its plane, put into its block."""
    blocks: dict[tuple[int, int], list[float]] = {}
    for index, box, data in pixels:
        a, b, c = planes.get(index, np.zeros(3))
        for (j, i), value in np.ndenumerate(data):
            y, x = j + box.ymin, i + box.xmin
            if np.isfinite(value) and 0 <= y < GRID.ymax and 0 <= x < GRID.xmax:
                blocks.setdefault((y // step, x // step), []).append(value - (a * (x - ORIGIN[0]) + b * (y - ORIGIN[1]) + c))
    image = np.full((-(-GRID.ymax // step), -(-GRID.xmax // step)), np.nan)
    for place, values in blocks.items():
        image[place] = np.mean(values)
    return image


def test_planes_are_subtracted_as_from_every_pixel() -> None:
    rng = np.random.default_rng(3)
    pixels = frames(rng)
    planes = {index: rng.normal(0.0, (0.1, 0.1, 5.0)) for index in (2, 9)}  # frame 5 has none: it is not corrected
    for max_size in (400, 20, 7, 1):
        sums = preview_sums(pixels, GRID, max_size=max_size)
        small = preview_mosaic(sums, np.array([planes[2], planes[9]]), np.array([2, 9]), ORIGIN)
        np.testing.assert_allclose(small, twin(pixels, planes, sums.step), rtol=2e-6)


def test_no_frames_and_no_planes() -> None:
    empty = preview_sums([], GRID, max_size=10)
    assert np.isnan(preview_mosaic(empty, np.zeros((0, 3)), np.zeros(0, np.int64), ORIGIN)).all()
    pixels = frames(np.random.default_rng(4))
    plain = preview_mosaic(preview_sums(pixels, GRID, max_size=9), np.zeros((0, 3)), np.zeros(0, np.int64), ORIGIN)
    np.testing.assert_allclose(plain, twin(pixels, {}, 6), rtol=2e-6)


def test_a_frame_beyond_the_grid_adds_nothing() -> None:
    far = (0, PixelBox(100, 110, 0, 10), np.ones((10, 10), np.float32))
    assert not len(preview_sums([far], GRID).block)
