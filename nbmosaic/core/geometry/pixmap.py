"""Pixel maps: polynomials that say where the pixels of one image lie on another.

A map is fitted once a frame and read by the kernels a row at a time, so that no WCS is evaluated per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import chebyshev

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.geometry.boxes import frame_box
from nbmosaic.core.geometry.map_patch import MapPatch, PixelMap
from nbmosaic.core.geometry.sky import celestial_transform
from nbmosaic.errors import InputError
from nbmosaic.types.box import PixelBox

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["MapPatch", "PixelMap", "fit_map", "fit_pixel_map", "frame_box"]

PointMap = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

_DEGREES = ((3, 5, 7), (9, 12))  # tried in this order; each group is cut from one interpolation, of its highest degree
_TABLE_SIDE = 32  # boxes at most this large are tabled exactly: about as many points as two fits would ask for
_MARGIN_PIX = 8.0  # patches further than this from the target are dropped; the widest kernel reaches 4 pixels
_SAFETY = 0.4  # the check points may miss the largest error by a factor of 1.7 (all-sky maps); a quarter in ordinary ones
_MESH = 9  # uniform check points a side, corners included
_DENSE = 41  # points a side of the mesh for boxes where the map is undefined or wild beside the target
_RANDOM = 40  # further check points
_INVERSE_MESH = 65
_CHUNK = 64  # boxes evaluated in one call of the exact map: 15 000 points, a few MB


@lru_cache(maxsize=8)
def _nodes(degree: int) -> tuple[FloatArray, FloatArray]:
    """Chebyshev points of the first kind, and the matrix that turns values there into coefficients."""
    n = degree + 1
    t = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    inverse = chebyshev.chebvander(t, degree).T * (2.0 / n)  # discrete orthogonality
    inverse[0] /= 2.0
    return t, np.asarray(inverse, float)


@lru_cache(maxsize=8)
def _checks(degree: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Check points ``tx, ty`` (a uniform mesh that holds edges and corners, then random points) and the Chebyshev polynomials there."""
    mesh = np.linspace(-1.0, 1.0, _MESH)
    scattered = np.random.default_rng(20240229).uniform(-1.0, 1.0, (2, _RANDOM))
    ty = np.concatenate([np.repeat(mesh, _MESH), scattered[0]])
    tx = np.concatenate([np.tile(mesh, _MESH), scattered[1]])
    return tx, ty, chebyshev.chebvander(tx, degree), chebyshev.chebvander(ty, degree)


def fit_pixel_map(
    source: WCS,
    target: WCS,
    box: PixelBox,
    target_shape: tuple[int, int],
    *,
    tolerance_pix: float = 1e-4,
    offset: float = 0.0,
    source_shape: tuple[int, int] | None = None,
) -> PixelMap:
    """Fit the map from the pixels of one WCS to those of another.

    Parameters
    ----------
    source, target : astropy.wcs.WCS
        Two celestial axes each.
    box : PixelBox
        Lattice points of the source to map.
    target_shape : tuple of int
        ``(ny, nx)`` of the target; what lies outside of it by more than some pixels need not be right.
    tolerance_pix : float
        Largest error allowed, in target pixels.
    offset : float
        0 to map pixel centres, -0.5 to map pixel corners.
    source_shape : tuple of int, optional
        ``(ny, nx)`` of the source, see `nbmosaic.core.geometry.sky.SkyPixels`.

    Returns
    -------
    PixelMap
        Polynomials and, along seams and the limits of the sky, small exact tables.

    Raises
    ------
    WcsError
        If a WCS is not celestial, or their systems cannot be changed into each other.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> grid, frame = WCS(naxis=2), WCS(naxis=2)
    >>> grid.wcs.ctype, grid.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.001, 0.001]
    >>> frame.wcs.ctype, frame.wcs.cdelt = ["RA---SIN", "DEC--SIN"], [-0.001, 0.001]
    >>> found = fit_pixel_map(grid, frame, PixelBox(0, 500, 0, 500), (500, 500))
    >>> len(found.patches), found.error_pix < 1e-4
    (1, True)
    """
    exact = celestial_transform(source, target, source_shape=source_shape, target_shape=target_shape)

    def inverse() -> PointMap:
        return celestial_transform(target, source, source_shape=target_shape, target_shape=source_shape)

    return fit_map(exact, box, target_shape, tolerance_pix=tolerance_pix, offset=offset, inverse=inverse)


def fit_map(
    exact: PointMap,
    box: PixelBox,
    target_shape: tuple[int, int],
    *,
    tolerance_pix: float = 1e-4,
    offset: float = 0.0,
    inverse: Callable[[], PointMap] | None = None,
) -> PixelMap:
    """Fit polynomials to an exact map over a box of lattice points.

    Tensor-product Chebyshev interpolation, degree 3, 5, 7, 9, 12; a box where none agrees with `exact` at the check points (a mesh with
    edges
    and corners, and seeded random points) is halved along its longer axis or both; boxes of at most 32 x 32 become tables of exact values.
    Boxes that see nothing of the target are dropped on the way. All boxes of one size are evaluated together.

    Parameters
    ----------
    exact : callable
        ``(x, y) -> (u, v)``, NaN where undefined.
    box, target_shape, tolerance_pix, offset
        As for `fit_pixel_map`.
    inverse : callable, optional
        Gives the inverse of `exact` when called; asked for only when a box has to be split. Without it a target much smaller than a box may
        be overlooked.

    Returns
    -------
    PixelMap
    """
    if not tolerance_pix > 0:
        raise InputError(f"tolerance_pix must be positive, not {tolerance_pix}")
    if box.empty or 0 in target_shape:
        return PixelMap(box=box, offset=offset, patches=(), error_pix=0.0)
    fit = _Fit(exact, target_shape, tolerance_pix, offset)
    patches: list[MapPatch] = []
    error = 0.0
    boxes = [box]
    hits: FloatArray | None = None
    while boxes:
        large, remaining = [], []
        for b in boxes:
            ny, nx = b.shape
            if min(ny, nx) < 2 or max(ny, nx) <= _TABLE_SIDE:
                patches.extend(fit.table(b))
            else:
                large.append(b)
        for k in range(0, len(large), _CHUNK):
            done, failed, worst = fit.fit(large[k : k + _CHUNK])
            patches.extend(done)
            remaining.extend(failed)
            error = max(error, worst)
        if remaining and hits is None:
            hits = _inverse_hits(inverse, target_shape, offset)
        boxes = [child for b, seen in remaining for child in _split(b) if seen or _is_hit(b, hits)]
    return PixelMap(box=box, offset=offset, patches=tuple(patches), error_pix=error)


def _inverse_hits(inverse: Callable[[], PointMap] | None, target_shape: tuple[int, int], offset: float) -> FloatArray:
    """Lattice positions ``x, y`` (shape (2, n)) of a mesh over the target."""
    if inverse is None:
        return np.empty((2, 0))
    ny, nx = target_shape
    y, x = np.meshgrid(np.linspace(-0.5, ny - 0.5, _INVERSE_MESH), np.linspace(-0.5, nx - 0.5, _INVERSE_MESH), indexing="ij")
    found = np.stack(inverse()(x.ravel(), y.ravel())) - offset
    return found[:, np.isfinite(found).all(axis=0)]


def _is_hit(box: PixelBox, hits: FloatArray | None) -> bool:
    """Whether a point of the target lies in a box."""
    if hits is None:
        return False
    x, y = hits
    return bool(((x > box.xmin - 1) & (x < box.xmax) & (y > box.ymin - 1) & (y < box.ymax)).any())


def _split(box: PixelBox) -> list[PixelBox]:
    """Halve a box along both axes, or along the longer one alone where it is more than twice as long."""
    ny, nx = box.shape
    ys = [box.ymin, box.ymin + ny // 2, box.ymax] if 2 * ny >= nx else [box.ymin, box.ymax]
    xs = [box.xmin, box.xmin + nx // 2, box.xmax] if 2 * nx >= ny else [box.xmin, box.xmax]
    return [PixelBox(y0, y1, x0, x1) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]


def _patch(box: PixelBox, c: FloatArray, n: int) -> MapPatch:
    """Patch of the first n coefficients along each axis."""
    return MapPatch(box=box, cu=c[0, :n, :n].copy(), cv=c[1, :n, :n].copy())


class _Fit:
    """Fits of boxes to one exact map."""

    def __init__(self, exact: PointMap, target_shape: tuple[int, int], tolerance: float, offset: float) -> None:
        self.exact = exact
        self.shape = target_shape
        self.tolerance = tolerance * _SAFETY
        self.offset = offset

    def table(self, box: PixelBox) -> list[MapPatch]:
        """Tabulate the exact values over a small box; nothing if none of them is near the target."""
        ny, nx = box.shape
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax] + self.offset
        u, v = self.exact(x.ravel(), y.ravel())
        if not self._near(u, v, _MARGIN_PIX).any():
            return []
        return [MapPatch(box=box, table_u=u.reshape(ny, nx), table_v=v.reshape(ny, nx))]

    def _near(self, u: FloatArray, v: FloatArray, margin: float) -> BoolArray:
        """Which positions lie on the target or within `margin` pixels of it."""
        ny, nx = self.shape
        with np.errstate(invalid="ignore"):
            near: BoolArray = (u >= -0.5 - margin) & (u <= nx - 0.5 + margin) & (v >= -0.5 - margin) & (v <= ny - 0.5 + margin)
        return near

    def fit(self, boxes: list[PixelBox]) -> tuple[list[MapPatch], list[tuple[PixelBox, bool]], float]:
        """Fit boxes.

        Returns
        -------
        patches : list of MapPatch
        failed : list of (PixelBox, bool)
            Boxes to split, and whether they were seen to touch the target.
        error : float
            Largest error at check points near the target.
        """
        patches: list[MapPatch] = []
        failed: list[tuple[PixelBox, bool]] = []
        worst = 0.0
        checks: FloatArray | None = None
        pending = boxes
        for level, degrees in enumerate(_DEGREES):
            values, checks = self._sample(pending, degrees[-1], checks)
            again = []
            for k, box in enumerate(pending):
                found = self._try(box, values[k], checks[k], degrees)
                if found is not None:
                    if self._touches(self._mesh_of(found[0])):
                        patches.append(found[0])
                        worst = max(worst, found[1])
                elif level + 1 < len(_DEGREES) and np.isfinite(values[k]).all():
                    again.append(k)
                else:
                    failed.append((box, self._touches(checks[k])))
            pending, checks = [pending[k] for k in again], checks[again]
            if not pending:
                break
        return patches, failed, worst

    def _sample(self, boxes: list[PixelBox], degree: int, checks: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Exact map at the Chebyshev points, shape (boxes, 2, n, n), and (unless known) at the check points, shape (boxes, 2, checks)."""
        t, _ = _nodes(degree)
        n = degree + 1
        tx, ty = np.tile(t, n), np.repeat(t, n)
        if checks is None:
            cx, cy, _, _ = _checks(degree)
            tx, ty = np.concatenate([tx, cx]), np.concatenate([ty, cy])
        edges = np.array([(b.xmin, b.xmax - 1, b.ymin, b.ymax - 1) for b in boxes], float).T[:, :, None] + self.offset
        x = edges[0] + (edges[1] - edges[0]) * (tx + 1.0) / 2.0
        y = edges[2] + (edges[3] - edges[2]) * (ty + 1.0) / 2.0
        found = np.stack(self.exact(x.ravel(), y.ravel())).reshape(2, len(boxes), -1).transpose(1, 0, 2)
        nodes = found[:, :, : n * n].reshape(len(boxes), 2, n, n)
        return nodes, found[:, :, n * n :] if checks is None else checks

    def _try(self, box: PixelBox, values: FloatArray, check: FloatArray, degrees: tuple[int, ...]) -> tuple[MapPatch, float] | None:
        """Lowest degree that agrees at the check points, with its error; None if there is none."""
        if not np.isfinite(values).all():
            return None
        top = degrees[-1]
        _, to_coefficients = _nodes(top)
        _, _, vx, vy = _checks(top)
        c = to_coefficients @ values @ to_coefficients.T
        strict = bool(np.isfinite(check).all())
        near = self._near(check[0], check[1], _MARGIN_PIX)
        for degree in degrees:
            n = degree + 1
            fitted = np.einsum("ki,aij,kj->ak", vy[:, :n], c[:, :n, :n], vx[:, :n], optimize=True)
            off = np.abs(fitted - check).max(axis=0)
            if strict and off.max() <= self.tolerance:
                return _patch(box, c, n), float(off.max())
        # Outside of the target the exact map may be wild (a distortion polynomial far from its frame); there the fit need only stay outside.
        if near.sum() >= 16 and off[near].max() <= self.tolerance:
            patch = _patch(box, c, n)
            error = self._error_near(patch)
            if error <= self.tolerance:
                return patch, error
        return None

    def _error_near(self, patch: MapPatch) -> float:
        """Largest error near the target on a dense mesh; infinite if the patch puts on the target what does not belong there."""
        box, t = patch.box, np.linspace(-1.0, 1.0, _DENSE)
        x = box.xmin + self.offset + (box.shape[1] - 1) * (t + 1.0) / 2.0
        y = box.ymin + self.offset + (box.shape[0] - 1) * (t + 1.0) / 2.0
        u, v = self.exact(*(a.ravel() for a in np.meshgrid(x, y)))
        vander = chebyshev.chebvander(t, patch.degree)
        fu, fv = (np.asarray(vander @ c @ vander.T).ravel() for c in (patch.cu, patch.cv) if c is not None)
        near = self._near(u, v, _MARGIN_PIX)
        if self._near(fu[~near], fv[~near], 1.0).any():
            return math.inf
        return float(np.maximum(np.abs(fu - u), np.abs(fv - v))[near].max(initial=0.0))

    def _touches(self, check: FloatArray) -> bool:
        """Whether the mesh of check points may touch the target.

        A mesh cell counts if the bounding box of its corners, grown by its own size, meets the target, or if the map is undefined at some
        but
        not all of its corners.
        """
        mesh = check[:, : _MESH * _MESH].reshape(2, _MESH, _MESH)
        corners = np.stack([mesh[:, :-1, :-1], mesh[:, 1:, :-1], mesh[:, :-1, 1:], mesh[:, 1:, 1:]])
        finite = np.isfinite(corners).all(axis=1)
        if (finite.any(axis=0) & ~finite.all(axis=0)).any():
            return True
        with np.errstate(invalid="ignore"):
            low, high = corners.min(axis=0), corners.max(axis=0)
            reach = (high - low) + _MARGIN_PIX
            limit = np.array([self.shape[1], self.shape[0]], float)[:, None, None] - 0.5
            meets = (low - reach <= limit) & (high + reach >= -0.5)
        return bool(meets.all(axis=0).any())

    @staticmethod
    def _mesh_of(patch: MapPatch) -> FloatArray:
        """Positions that a fitted patch gives at the mesh of check points, shape (2, points)."""
        _, _, vx, vy = _checks(_DEGREES[-1][-1])
        n, m = patch.degree + 1, _MESH * _MESH
        return np.stack([np.einsum("ki,ij,kj->k", vy[:m, :n], c, vx[:m, :n], optimize=True) for c in (patch.cu, patch.cv) if c is not None])
