"""Montage's relaxation: a twin in double precision, what it conserves, and where it ends."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.matching.relaxation import box_moments, relax_background, used_overlaps
from nbmosaic.errors import InputError


def field(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Overlaps of n x n images with random planes: plus, minus, planes, moments."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, [0.01, 0.01, 20], (n * n, 3))
    plus, minus, boxes = [], [], []
    for k in range(n * n):
        for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
            y, x = k // n + dy, k % n + dx
            if 0 <= x < n and 0 <= y < n:
                plus.append(k)
                minus.append(y * n + x)
                boxes.append(
                    ((k % n + x + 1) * 40.0, (k // n + y + 1) * 40.0, 100.0 - 80 * abs(dx), 100.0 - 80 * abs(dy), rng.uniform(-5, 5))
                )
    p, q = np.array(plus), np.array(minus)
    planes = truth[p] - truth[q] + rng.normal(0, [1e-3, 1e-3, 0.3], (len(p), 3))
    return p, q, planes, box_moments(*np.array(boxes).T)


def full(moments: np.ndarray) -> np.ndarray:
    return moments[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)


def twin(p: np.ndarray, q: np.ndarray, planes: np.ndarray, moments: np.ndarray, iterations: int, *, slope: bool = True) -> np.ndarray:
    m, d, x = full(moments), planes.copy(), np.zeros((p.max() + q.max() + 1, 3))[: max(p.max(), q.max()) + 1]
    s = np.zeros((len(x), 3, 3))
    np.add.at(s, p, m)
    np.add.at(s, q, m)
    half = min(2500, iterations // 2) if slope else iterations
    for iteration in range(iterations):
        right = np.zeros((len(x), 3))
        np.add.at(right, p, np.einsum("kij,kj->ki", m, d))
        np.subtract.at(right, q, np.einsum("kij,kj->ki", m, d))
        step = np.zeros_like(right)
        if iteration < half:
            step[:, 2] = right[:, 2] / s[:, 2, 2] / 2
        else:
            step = np.linalg.solve(s, right[..., None])[..., 0] / 2
        x += step
        d += step[q] - step[p]
    return x


@pytest.mark.parametrize("slope", [True, False])
@pytest.mark.parametrize("iterations", [1, 2, 7, 300])
def test_twin_in_double_precision(iterations: int, slope: bool) -> None:
    p, q, planes, moments = field(4)
    ours = relax_background(p, q, planes, moments, 16, iterations=iterations, slope=slope)
    expected = twin(p, q, planes, moments, iterations, slope=slope)
    assert (np.abs(ours.planes - expected) <= 2e-5 * np.abs(expected).max(axis=0)).all()  # single precision inside
    np.testing.assert_allclose(ours.remaining, planes - ours.planes[p] + ours.planes[q])


def test_it_ends_at_the_least_squares_solution() -> None:
    p, q, planes, moments = field(3)
    ours = relax_background(p, q, planes, moments, 9, iterations=20000)
    m = full(moments)
    right = np.zeros((9, 3))
    np.add.at(right, p, np.einsum("kij,kj->ki", m, ours.remaining))
    np.subtract.at(right, q, np.einsum("kij,kj->ki", m, ours.remaining))
    start = np.zeros((9, 3))
    np.add.at(start, p, np.einsum("kij,kj->ki", m, planes))
    np.subtract.at(start, q, np.einsum("kij,kj->ki", m, planes))
    assert (np.abs(right) < 1e-6 * np.abs(start).max(axis=0)).all()  # the gradient is gone


def test_common_plane_is_conserved() -> None:
    p, q, planes, moments = field(3)
    level = relax_background(p, q, planes, moments, 9, iterations=500, slope=False)
    sums = np.zeros(9)
    np.add.at(sums, p, moments[:, 5])
    np.add.at(sums, q, moments[:, 5])
    assert abs((sums * level.planes[:, 2]).sum()) < 1e-4 * (sums * np.abs(level.planes[:, 2])).sum()
    assert (level.planes[:, :2] == 0).all()


def test_unused_overlaps_and_groups() -> None:
    p, q, planes, moments = field(2)
    one = (p == 0) & (q == 1)
    ours = relax_background(p, q, planes, moments, 6, use=one)
    assert ours.component[0] == ours.component[1] >= 0
    assert (ours.component[2:] == -1).all()
    assert (ours.planes[2:] == 0).all()
    assert (ours.remaining[~one] == 0).all()
    assert len(relax_background(p[:0], q[:0], planes[:0], moments[:0], 3).planes) == 3


def test_input_is_left_alone_and_checked() -> None:
    p, q, planes, moments = field(2)
    copies = planes.copy(), moments.copy()
    relax_background(p, q, planes, moments, 4, iterations=5)
    assert (planes == copies[0]).all()
    assert (moments == copies[1]).all()
    with pytest.raises(InputError):
        relax_background(p, q, planes, moments, 3)
    with pytest.raises(InputError):
        relax_background(p, q, planes, moments, 4, iterations=0)


def test_moments_are_those_of_pixels() -> None:
    y, x = np.mgrid[-100:100:0.25, -100:100:0.25] + 0.125
    t = np.radians(25)
    u, v = (x - 10) * np.cos(t) + (y + 7) * np.sin(t), (y + 7) * np.cos(t) - (x - 10) * np.sin(t)
    inside = (abs(u) <= 30) & (abs(v) <= 12)
    sums = [float(np.sum(f[inside]) / 16) for f in (x * x, x * y, x, y * y, y, np.ones_like(x))]
    got = box_moments(*(np.array([value]) for value in (10.0, -7.0, 60.0, 24.0, 25.0)))[0]
    np.testing.assert_allclose(got, sums, rtol=5e-3)


def test_small_overlaps_are_left_out() -> None:
    rms = np.array([1.0, 1.0, np.inf, np.nan])
    assert used_overlaps(np.array([9.0, 10.0, 50.0, 50.0]), rms, 10000.0).tolist() == [False, True, False, False]
