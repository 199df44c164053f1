"""Noise of a median."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["median_variance"]

# n times the variance of the median of n Gaussian values of variance 1 (mean of the two middle ones for even n), integrated over the
# densities of the order statistics, n = 0..32; large n tend to pi / 2
_TABLE = np.array([
    0.0, 1.0, 1.0, 1.3460, 1.1929, 1.4342, 1.2888, 1.4731, 1.3462, 1.4949, 1.3846, 1.5088, 1.4122, 1.5184, 1.4332, 1.5254, 1.4499,
    1.5308, 1.4636, 1.5350, 1.4751, 1.5385, 1.4851, 1.5413, 1.4939, 1.5437, 1.5018, 1.5457, 1.5091, 1.5474, 1.5158, 1.5489, 1.5221,
])  # fmt: skip


@njit(nogil=True, error_model="numpy")
def median_variance(n: int) -> float:
    """Variance of the median of `n` Gaussian values over that of their mean.

    The first term of the expansion in 1/n serves beyond 32 values (0.43/n for odd, 0.99/n for even n: 1e-3 at 33).
    """
    if n <= 32:
        return _TABLE[n]
    return 0.5 * np.pi * (1.0 - (0.43 if n % 2 == 1 else 0.99) / n)
