"""Compiled loops of Montage's coadds (see `nbmosaic.core.montage_coadd`)."""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import FloatArray

__all__ = ["add_rows", "median_rows"]

_HUGE = 1e300
_MEAN, _COUNT = 0, 2


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(
    values: FloatArray, areas: FloatArray, weighted: int, mode: int, y: int, x: int, total: FloatArray, covered: FloatArray
) -> None:
    """Add values to `total` (times area for the mean, as 1 for the count) and areas to `covered`, from row `y`, column `x` on."""
    ny, nx = values.shape
    for j in range(ny):
        out, cover, row = total[y + j, x : x + nx], covered[y + j, x : x + nx], values[j]
        for i in range(nx):
            a = areas[j, i] if weighted else 1.0
            v = row[i]
            ok = (abs(v) <= _HUGE) & (a > 0.0)
            value = v * a if mode == _MEAN else (1.0 if mode == _COUNT else v)
            out[i] += value if ok else 0.0
            cover[i] += a if ok else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def median_rows(values: FloatArray, areas: FloatArray, image: FloatArray, area: FloatArray) -> None:
    """Median over the first axis of the finite values, and sum of their areas; pixels without value are left as they are."""
    n = values.shape[0]
    work = np.empty(n)
    for j in range(values.shape[1]):
        for i in range(values.shape[2]):
            m, total = 0, 0.0
            for k in range(n):
                v = values[k, j, i]
                if not abs(v) <= _HUGE:
                    continue
                q = m
                while q > 0 and work[q - 1] > v:
                    work[q] = work[q - 1]
                    q -= 1
                work[q] = v
                m += 1
                total += areas[k, j, i]
            if m > 0:
                image[j, i] = 0.5 * (work[(m - 1) // 2] + work[m // 2])
                area[j, i] = total
