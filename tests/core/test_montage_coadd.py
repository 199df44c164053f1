"""Bands of Montage's coadds: what they refuse, and that bands do not matter."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.montage_coadd import METHODS, BandAdder
from nbmosaic.errors import ConfigError, ShapeError
from nbmosaic.types import PixelBox


@pytest.mark.parametrize("method", METHODS)
def test_bands_of_any_height_give_the_same(method: str) -> None:
    rng = np.random.default_rng(0)
    whole, boxes = PixelBox(0, 12, 0, 15), [PixelBox(0, 9, 2, 13), PixelBox(3, 12, 0, 15), PixelBox(1, 8, 4, 15)]
    images = [
        (box, np.where(rng.random(box.shape) < 0.1, np.nan, rng.normal(size=box.shape)), rng.uniform(0, 1, box.shape)) for box in boxes
    ]

    def add(height: int) -> np.ndarray:
        parts = []
        for row in range(0, 12, height):
            band = PixelBox(row, row + height, 0, 15)
            adder = BandAdder(band, method)
            for box, values, areas in images:
                part = box.intersection(band)
                if not part.empty:
                    adder.add(part, values[part.slices(box)], areas[part.slices(box)])
            parts.append(np.stack(adder.finish()))
        return np.concatenate(parts, axis=1)

    np.testing.assert_array_equal(add(12), add(1))
    np.testing.assert_array_equal(add(12), add(4))
    image, area = add(12)
    assert whole.shape == image.shape
    assert ((area > 0) == np.isfinite(image)).all()


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError):
        BandAdder(PixelBox(0, 1, 0, 1), "mode")
    adder = BandAdder(PixelBox(0, 2, 0, 2))
    with pytest.raises(ShapeError):
        adder.add(PixelBox(0, 3, 0, 2), np.ones((3, 2)))
    with pytest.raises(ShapeError):
        adder.add(PixelBox(0, 1, 0, 2), np.ones((2, 2)))
    assert np.isnan(BandAdder(PixelBox(0, 2, 0, 2), "median").finish()[0]).all()
