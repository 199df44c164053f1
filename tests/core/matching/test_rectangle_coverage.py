"""Regions shared by three frames, from rectangles and from pixels."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.matching.coverage import coverage_cells
from nbmosaic.core.matching.pairs import find_pairs
from nbmosaic.core.matching.planes import fit_overlap, stack_fits
from nbmosaic.core.matching.rectangle_coverage import cells_of_rectangles
from nbmosaic.types import PixelBox


def frames_of(boxes, angle):
    """Turned rectangles ``(x, y, width, height)`` as NaN-framed images on one grid of 400 x 400."""
    rows, columns = np.indices((400, 400))
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    images = []
    for x, y, width, height in boxes:
        u, v = c * (columns - x) + s * (rows - y), c * (rows - y) - s * (columns - x)
        images.append(np.where((np.abs(u) <= width / 2) & (np.abs(v) <= height / 2), 1.0, np.nan).astype(np.float32))
    return images


@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_regions_of_turned_frames(angle):
    places = [(120, 120, 150, 140), (220, 130, 150, 140), (170, 220, 160, 130), (320, 320, 60, 60)]
    images = frames_of(places, angle)
    whole = PixelBox(0, 400, 0, 400)
    noise = np.random.default_rng(1).normal(size=(4, 400, 400)).astype(np.float32)
    fits = [
        fit_overlap(images[i] + noise[i], images[j] + noise[j], whole, plus_index=i, minus_index=j)
        for i, j in find_pairs(np.array([[0, 400, 0, 400]] * 4))
    ]
    planes = stack_fits([fit for fit in fits if fit.n_valid > 0])
    got = cells_of_rectangles(planes, 4)
    want = coverage_cells([np.isfinite(image) for image in images], [whole] * 4, 1)
    assert got.members[0] == want.members[0] == (0, 1, 2)
    np.testing.assert_allclose(got.moments[0, 0], want.moments[0, 0], rtol=0.1)
    np.testing.assert_allclose(got.moments[0, 1:3], want.moments[0, 1:3], atol=2.0)
    np.testing.assert_allclose(got.moments[0, [3, 5]], want.moments[0, [3, 5]], rtol=0.2)


def test_few_overlaps_share_nothing():
    images = frames_of([(100, 100, 50, 50), (130, 100, 50, 50)], 0.0)
    planes = stack_fits([fit_overlap(*images, PixelBox(0, 400, 0, 400), plus_index=0, minus_index=1)])
    assert cells_of_rectangles(planes, 2).members == ()
    assert cells_of_rectangles(stack_fits([]), 0).members == ()
