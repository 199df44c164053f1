"""Pixel maps of pieces: corners of output pixels, positions beyond the image, and the windows of the kernels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import chebyshev

from nbmosaic._types import AnyArray, FloatArray, IntArray
from nbmosaic.core.resampling.segments import Segment, map_segments, read_only, stretched
from nbmosaic.types.box import PixelBox

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["BOUNDARIES", "boundary_sources", "corner_segments", "open_window", "segments_within"]

BOUNDARIES = ("constant", "nearest", "reflect", "wrap")
_MESH = 33
_STRIP = 64  # rows of positions that exist at a time: 1 MB each for 2048 columns
_ANYWHERE = 1e30


def boundary_sources(n: int, pad: int, boundary: str) -> IntArray:
    """For each pixel of a padded axis the pixel of the axis that it is a copy of; -1 for the constant."""
    k = np.arange(-pad, n + pad)
    if boundary == "constant":
        return np.where((k >= 0) & (k < n), k, -1)
    if boundary == "nearest":
        return np.clip(k, 0, n - 1)
    if boundary == "wrap":
        return np.asarray(k % n)
    return np.rint(_folded(k.astype(float), n, boundary)).astype(np.int64)


def _folded(position: FloatArray, n: int, boundary: str) -> FloatArray:
    """Positions taken back to the image as the boundary rule has it: reflected at the outermost centres, or with the period of the image."""
    if boundary == "wrap":
        return np.asarray(np.mod(position + 0.5, n) - 0.5)
    period = max(2 * (n - 1), 1)
    around = np.mod(position, period)
    return np.asarray(np.minimum(around, period - around) if n > 1 else np.zeros_like(position))


def open_window(shape: tuple[int, int], pad: int, before: int, after: int, *, centred: bool, within: PixelBox | None = None) -> FloatArray:
    """Window (see `nbmosaic.core.resampling.kernels.WINDOW`) in which every position is valid, or every one on the pixels of a box.

    Positions so far out that taps would leave the padded image are taken to the last place where they do not. `shape` is that of the image
    without its padding, `before` and `after` are the taps before and after the pixel at the position.
    """
    ny, nx = shape
    shift = pad + (0.5 if centred else 0.0)
    last_x, last_y = nx + 2 * pad - 1 - after, ny + 2 * pad - 1 - after
    everywhere = [-_ANYWHERE, _ANYWHERE, -_ANYWHERE, _ANYWHERE]
    if within is not None:
        everywhere = [*_span(within.xmin, within.xmax, shift), *_span(within.ymin, within.ymax, shift)]
    middle = 0.5 if centred else 0.0  # where a centred kernel has its pixel's centre
    clamp = [before + middle, last_x + middle, before + middle, last_y + middle]
    return np.array([shift, shift, *everywhere, *clamp, last_x, last_y], float)


def _span(first: int, stop: int, shift: float) -> tuple[float, float]:
    """Positions from the outer edge of one pixel to just before that of another."""
    return first - 0.5 + shift, float(np.nextafter(stop - 0.5 + shift, -np.inf))


def segments_within(segments: Sequence[Segment], shape: tuple[int, int], boundary: str, margin: float) -> Iterator[Segment]:
    """Segments whose positions lie on the image or within `margin` of it.

    Beyond that the constant and the nearest pixel do not change any more, so those rules need nothing. For the others, positions are
    tabled and folded back.
    """
    for segment in segments:
        if boundary in ("constant", "nearest") or not _leaves(segment, shape, margin):
            yield segment
            continue
        ny, nx = segment.box.shape
        for start in range(0, ny, _STRIP):
            stop = min(start + _STRIP, ny)
            u, v = segment.positions(np.arange(start, stop), np.arange(nx))
            with np.errstate(invalid="ignore"):
                far_x, far_y = _beyond(u, shape[1], margin), _beyond(v, shape[0], margin)
            u[far_x], v[far_y] = _folded(u[far_x], shape[1], boundary), _folded(v[far_y], shape[0], boundary)
            box = segment.box
            part = PixelBox(box.ymin + start, box.ymin + stop, box.xmin, box.xmax)
            yield replace(segment, box=part, pu=read_only(u, np.float64), pv=read_only(v, np.float64), table=1)


def _beyond(position: FloatArray, n: int, margin: float) -> AnyArray:
    return (position < -margin) | (position > n - 1 + margin)


def _leaves(segment: Segment, shape: tuple[int, int], margin: float) -> bool:
    """Whether positions of a segment may lie further out than `margin`, by a mesh with two pixels for what it misses."""
    rows = np.unique(np.linspace(0, segment.box.shape[0] - 1, _MESH).astype(np.int64))
    columns = np.unique(np.linspace(0, segment.box.shape[1] - 1, _MESH).astype(np.int64))
    u, v = segment.positions(rows, columns)
    with np.errstate(invalid="ignore"):
        return bool(_beyond(u, shape[1], margin - 2).any() or _beyond(v, shape[0], margin - 2).any())


def corner_segments(forward: PixelMap) -> Iterator[Segment]:
    """Segments of the corners of output pixels: one row and one column more than the pixels of each segment of a map of centres."""
    for segment in map_segments(forward):
        if segment.table == 2:
            yield from _sampled_corners(segment)
        else:
            yield _table_corners(segment) if segment.table else _polynomial_corners(forward, segment)


def _sampled_corners(segment: Segment) -> Iterator[Segment]:
    """Corners of a sampled map, in strips; no further out than the samples, so that the outermost pixels are half as large, as in IRAF."""
    patch = segment.patch
    assert patch.cu is not None
    assert patch.cv is not None
    ny, nx = segment.box.shape
    columns, rows = (np.clip(np.arange(n + 1) - 0.5, 0, n - 1) for n in (nx, ny))
    samples = [stretched(patch.samples(c).T, columns, nx).T for c in (patch.cu, patch.cv)]
    for start in range(0, ny, _STRIP):
        stop = min(start + _STRIP, ny)
        pu, pv = (read_only(stretched(values, rows[start : stop + 1], ny), np.float64) for values in samples)
        box = segment.box
        yield replace(segment, box=PixelBox(box.ymin + start, box.ymin + stop, box.xmin, box.xmax), pu=pu, pv=pv, table=1)


def _polynomial_corners(forward: PixelMap, segment: Segment) -> Segment:
    """The polynomials rewritten for the lattice of corners."""
    patch = segment.patch
    assert patch.cu is not None
    assert patch.cv is not None
    t = chebyshev.chebpts1(patch.degree + 1)
    inverse = np.linalg.inv(chebyshev.chebvander(t, patch.degree))
    ny, nx = patch.box.shape
    t_y, t_x = (2 * ((t + 1) / 2 * n - 0.5) / (n - 1) - 1 for n in (ny, nx))
    rows, columns = chebyshev.chebvander(t_y, patch.degree), chebyshev.chebvander(t_x, patch.degree)
    cu, cv = (inverse @ rows @ c @ columns.T @ inverse.T for c in (patch.cu, patch.cv))
    corners = PixelBox(patch.box.ymin, patch.box.ymax + 1, patch.box.xmin, patch.box.xmax + 1)
    moved = replace(patch, box=corners, cu=cu, cv=cv)
    pu, pv = forward.power_rows(moved)
    return replace(segment, patch=moved, pu=read_only(pu, np.float64), pv=read_only(pv, np.float64), scale=2.0 / nx)


def _table_corners(segment: Segment) -> Segment:
    """Corners as the means of what the derivatives at the pixels around say."""
    ny, nx = segment.box.shape
    u_x, u_y, v_x, v_y = segment.derivatives(np.arange(ny), np.arange(nx))
    found = []
    for centre, along_x, along_y in ((segment.pu, u_x, u_y), (segment.pv, v_x, v_y)):
        guesses = np.full((4, ny + 1, nx + 1), np.nan)
        for k, (dy, dx) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            guesses[k, dy : dy + ny, dx : dx + nx] = centre + (dx - 0.5) * along_x + (dy - 0.5) * along_y
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # corners that no pixel knows stay NaN
            found.append(read_only(np.nanmean(guesses, axis=0), np.float64))
    return replace(segment, pu=found[0], pv=found[1])
