import time

import numpy as np
import pytest

from nbmosaic.core.matching import pairs as pairs_module
from nbmosaic.core.matching.pairs import find_pairs
from nbmosaic.errors import ShapeError


def all_pairs(boxes):
    found = []
    for i, (a0, a1, b0, b1) in enumerate(boxes.tolist()):
        for j, (c0, c1, d0, d1) in enumerate(boxes[i + 1 :].tolist(), i + 1):
            if min(a1, c1) > max(a0, c0) and min(b1, d1) > max(b0, d0):
                found.append((i, j))
    return np.array(found, np.int64).reshape(-1, 2)


@pytest.mark.parametrize("chunk", [7, 10**6])
@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_those_of_all_against_all(monkeypatch, seed, chunk):
    monkeypatch.setattr(pairs_module, "_CHUNK", chunk)
    rng = np.random.default_rng(seed)
    n = 120
    low = rng.integers(-400, 400, (n, 2))
    size = rng.integers(0, [10, 60, 60, 300, 60, 900][seed], (n, 2))  # empty boxes, and sizes that differ by orders of magnitude
    size[0] = 1500
    boxes = np.stack([low[:, 0], low[:, 0] + size[:, 0], low[:, 1], low[:, 1] + size[:, 1]], axis=1)
    assert np.array_equal(find_pairs(boxes), all_pairs(boxes))


def test_touching_boxes_share_no_pixel():
    assert len(find_pairs(np.array([[0, 10, 0, 10], [0, 10, 10, 20], [10, 20, 0, 10]]))) == 0


def test_nothing_and_one_box():
    assert find_pairs(np.zeros((0, 4), int)).shape == (0, 2)
    assert find_pairs(np.array([[0, 1, 0, 1]])).shape == (0, 2)
    with pytest.raises(ShapeError, match="expected"):
        find_pairs(np.zeros((3, 2), int))


@pytest.mark.benchmark
def test_a_hundred_thousand_boxes_take_a_second():
    y, x = (v.ravel() * 900 for v in np.mgrid[:316, :316])
    boxes = np.stack([y, y + 1000, x, x + 1000], axis=1)
    start = time.process_time()
    pairs = find_pairs(boxes)
    assert time.process_time() - start < 2.0
    assert len(pairs) == 2 * 316 * 315 + 2 * 315 * 315
