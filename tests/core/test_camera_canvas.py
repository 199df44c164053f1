"""Pieces merged one by one against the combination of all at once."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.camera_canvas import CanvasRows, finish_rows, merge_piece
from nbmosaic.core.camera_combine import PieceBand, PieceCombiner
from nbmosaic.types.box import PixelBox


@pytest.mark.parametrize("rule", ["clean", "mean"])
def test_merging_is_combining(rule: str) -> None:
    rng = np.random.default_rng(4)
    band = PixelBox(0, 40, 0, 60)
    canvas = CanvasRows(
        data=np.zeros(band.shape, np.float32),
        state=np.zeros(band.shape, np.uint8),
        variance=np.zeros(band.shape, np.float32),
        weight=np.zeros(band.shape, np.float32),
    )
    pieces, weights = [], np.zeros(band.shape)
    for y0, y1, x0, x1 in ((0, 25, 0, 30), (3, 40, 20, 45), (10, 35, 5, 50), (0, 40, 28, 31)):
        box = PixelBox(y0, y1, x0, x1)
        data = rng.normal(100, 5, box.shape).astype(np.float32)
        data[rng.random(box.shape) < 0.1] = np.nan
        flags = rng.choice(4, box.shape, p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
        noise, weight = (rng.uniform(1, 2, box.shape).astype(np.float32) for _ in range(2))
        pieces.append(PieceBand(box=box, data=data, flags=flags, variance=noise))
        rows = CanvasRows(**{name: getattr(canvas, name)[y0:y1] for name in ("data", "state", "variance", "weight")})
        found = merge_piece(rows, x0, data, flags, variance=noise, weight=weight, prefer_clean=rule == "clean")
        assert found == (np.isfinite(data).sum(), (np.isfinite(data) & (flags & 1 != 0)).sum())
        weights[y0:y1, x0:x1] += np.where(np.isfinite(data), weight, 0)
    limits = np.tile(np.array([[2, 55]]), (40, 1))
    want = PieceCombiner(40, 60, rule=rule, variance=True).combine(band, pieces, limits)
    filled, counts = finish_rows(canvas, limits)
    assert filled == want.n_good
    assert counts == {int(m): int((want.mask == m).sum()) for m in np.unique(want.mask) if m}
    np.testing.assert_array_equal(canvas.state, want.mask)
    np.testing.assert_allclose(canvas.data, want.data, rtol=3e-7)
    assert want.variance is not None
    np.testing.assert_allclose(canvas.variance, want.variance, rtol=1e-6)
    np.testing.assert_allclose(canvas.weight, weights, rtol=1e-6)
