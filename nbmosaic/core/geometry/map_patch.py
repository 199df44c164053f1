"""Pixel maps as values: patches of polynomials or tables over boxes of lattice points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.errors import InputError
from nbmosaic.types.box import PixelBox

__all__ = ["MapPatch", "PixelMap"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MapPatch:
    """Part of a pixel map: a pair of Chebyshev polynomials, or a table.

    Attributes
    ----------
    box : PixelBox
        Lattice points that the patch is for.
    cu, cv : ndarray of float64, shape (deg + 1, deg + 1), optional
        Coefficients ``[iy, ix]`` of the target's x (``cu``) and y (``cv``) in Chebyshev polynomials of ``ty`` and ``tx``, which run from -1
        at the first row or column of `box` to +1 at the last.
    table_u, table_v : ndarray of float64, shape of `box`, optional
        The exact values instead, NaN where there is none.
    sampling : tuple of int, optional
        Numbers of points in y and x, at least 2, at equal distances from the first to the last row and column of `box`: the map is the bilinear
        interpolation between the values of the polynomials there.
    """

    box: PixelBox
    cu: FloatArray | None = None
    cv: FloatArray | None = None
    table_u: FloatArray | None = None
    table_v: FloatArray | None = None
    sampling: tuple[int, int] | None = None

    def samples(self, c: FloatArray) -> FloatArray:
        """Values of the polynomial `c` (`cu`, `cv`, or another of their degree at most) at the points of `sampling`."""
        assert self.sampling is not None
        rows, columns = (chebyshev.chebvander(np.linspace(-1.0, 1.0, n), k - 1) for n, k in zip(self.sampling, c.shape, strict=True))
        return np.asarray(rows @ c @ columns.T, float)

    @property
    def degree(self) -> int:
        """Degree of the polynomials; -1 for a table."""
        return -1 if self.cu is None else len(self.cu) - 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PixelMap:
    """Where the lattice points of a source image lie on a target image.

    Lattice point ``(j, i)`` stands for the source position ``y = j + offset, x = i + offset``: pixel centres with offset 0, pixel corners
    with -0.5. Points in no patch see nothing of the target.

    Attributes
    ----------
    box : PixelBox
        Lattice points of the map.
    offset : float
        See above.
    patches : tuple of MapPatch
        Disjoint, inside `box`.
    error_pix : float
        Largest difference from the exact map at the check points, in target pixels.
    """

    box: PixelBox
    offset: float
    patches: tuple[MapPatch, ...]
    error_pix: float

    def evaluate(self, y: IntArray, x: IntArray) -> tuple[FloatArray, FloatArray]:
        """Target positions ``(v, u)`` (row, column) of lattice points, NaN in no patch. Plain and slow: for tables and tests.

        Parameters
        ----------
        y, x : ndarray of int64
            Lattice indices, any one shape.
        """
        y, x = np.broadcast_arrays(np.asarray(y, np.int64), np.asarray(x, np.int64))
        u: FloatArray = np.full(y.shape, np.nan)
        v: FloatArray = np.full(y.shape, np.nan)
        for patch in self.patches:
            box = patch.box
            inside = (y >= box.ymin) & (y < box.ymax) & (x >= box.xmin) & (x < box.xmax)
            if not inside.any():
                continue
            if patch.table_u is not None and patch.table_v is not None:
                u[inside] = patch.table_u[y[inside] - box.ymin, x[inside] - box.xmin]
                v[inside] = patch.table_v[y[inside] - box.ymin, x[inside] - box.xmin]
            elif patch.cu is not None and patch.cv is not None:
                ty = 2.0 * (y[inside] - box.ymin) / (box.ymax - 1 - box.ymin) - 1.0
                tx = 2.0 * (x[inside] - box.xmin) / (box.xmax - 1 - box.xmin) - 1.0
                if patch.sampling is None:
                    u[inside] = chebyshev.chebval2d(ty, tx, patch.cu)
                    v[inside] = chebyshev.chebval2d(ty, tx, patch.cv)
                else:
                    u[inside] = _between(patch.samples(patch.cu), ty, tx)
                    v[inside] = _between(patch.samples(patch.cv), ty, tx)
        return v, u

    @staticmethod
    def power_rows(patch: MapPatch) -> tuple[FloatArray, FloatArray]:
        """Coefficients of every row of a polynomial patch in powers of ``tx``, as the kernels take them.

        Returns
        -------
        pu, pv : ndarray of float64, shape (rows, degree + 1), C-contiguous
            Row ``r`` of the patch has ``u(tx) = sum_k pu[r, k] * tx**k``.

        Raises
        ------
        InputError
            If the patch is a table.
        """
        if patch.cu is None or patch.cv is None:
            raise InputError("a patch that is a table has no polynomial rows", hint="use its table_u and table_v")
        degree = patch.degree
        rows = chebyshev.chebvander(np.linspace(-1.0, 1.0, patch.box.shape[0]), degree)
        powers = _power_matrix(degree)
        return np.ascontiguousarray(rows @ (patch.cu @ powers)), np.ascontiguousarray(rows @ (patch.cv @ powers))


def _between(samples: FloatArray, ty: FloatArray, tx: FloatArray) -> FloatArray:
    """Bilinear interpolation between samples at equal distances over -1...1."""
    my, mx = samples.shape
    j, i = (np.clip(((t + 1) / 2 * (n - 1)).astype(np.int64), 0, n - 2) for t, n in ((ty, my), (tx, mx)))
    g, f = (ty + 1) / 2 * (my - 1) - j, (tx + 1) / 2 * (mx - 1) - i
    lower = (1 - f) * samples[j, i] + f * samples[j, i + 1]
    upper = (1 - f) * samples[j + 1, i] + f * samples[j + 1, i + 1]
    return np.asarray((1 - g) * lower + g * upper, float)


@lru_cache(maxsize=16)
def _power_matrix(degree: int) -> FloatArray:
    """Matrix whose row k holds the power-basis coefficients of the Chebyshev polynomial of degree k."""
    out = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        out[k, : k + 1] = chebyshev.cheb2poly([0.0] * k + [1.0])
    out.flags.writeable = False
    return out
