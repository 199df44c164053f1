"""Masks of frame edges and polygons, and shrunken pixels."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from nbmosaic.core.resampling.frame_borders import edge_mask, polygon_mask, spread_pixels
from nbmosaic.errors import InputError
from nbmosaic.types import PixelBox


def test_polygon_is_matplotlibs() -> None:
    vertices = [(3.3, 2.1), (40.2, 7.7), (25.4, 20.3), (33.1, 44.6), (8.2, 39.9)]
    y, x = np.mgrid[:50, :45]
    inside = Outline(vertices).contains_points(np.column_stack([x.ravel(), y.ravel()])).reshape(x.shape)
    assert (polygon_mask((50, 45), vertices) == ~inside).all()
    with pytest.raises(InputError):
        polygon_mask((5, 5), vertices[:2])


def test_edges() -> None:
    assert (~edge_mask((10, 12), 3)).sum() == 4 * 6
    assert edge_mask((4, 4), 9).all()
    assert not edge_mask((4, 4), 0).any()


def test_spread_pixels_keep_their_centres() -> None:
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    wide, bad, y, x = spread_pixels(data, data > 9, 0.4, PixelBox(1, 3, 0, 4))
    assert (wide[::2, ::2] == data[1:]).all()
    assert (bad[::2, ::2] == (data[1:] > 9)).all()
    assert bad[1::2].all()
    assert bad[:, 1::2].all()
    np.testing.assert_allclose((x[::2] + x[1::2]) / 2, np.arange(4))
    np.testing.assert_allclose((y[::2] + y[1::2]) / 2, [1, 2])
    np.testing.assert_allclose(x[1::2] - x[::2], 0.4)
    for side in (0.0, 1.0, 2.0):
        with pytest.raises(InputError):
            spread_pixels(data, data > 9, side, PixelBox(0, 3, 0, 4))
