"""Noise of medians."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.median_noise import median_variance


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 15, 32, 33, 64])
def test_factor_is_the_scatter_of_medians(n: int) -> None:
    draws = np.random.default_rng(n).normal(size=(60_000, n))
    found = n * np.var(np.median(draws, axis=1))
    assert median_variance(n) == pytest.approx(found, rel=0.03)  # the scatter itself is known to 0.6 per cent


def test_large_samples_tend_to_half_pi() -> None:
    assert median_variance(100_001) == pytest.approx(np.pi / 2, rel=1e-5)
    values = np.array([median_variance(n) for n in range(3, 200, 2)])
    assert np.all(np.diff(values) > 0)
