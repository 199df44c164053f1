"""An image at several resolutions, so that any part of it can be shown at any scale without reading all of its pixels again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import AnyArray, Float32Array, IntArray
from nbmosaic.core.stretch import Statistics
from nbmosaic.errors import InputError

__all__ = ["Pyramid", "PyramidLevel", "make_pyramid"]

STEP = 4
"""Each level is coarser by this. A view then reads at most 16 pixels for each of its own; levels of 2 would cost 5 times the memory."""

_BAND_ROWS = 64 * STEP
_SAMPLE = 1_000_000
_SMALLEST = 256


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PyramidLevel:
    """Means of square blocks.

    Attributes
    ----------
    factor : int
        Side of a block in pixels of the image.
    mean : ndarray of float32
        Mean of the finite pixels of each block; NaN where there is none.
    weight : ndarray of float32
        Number of finite pixels of each block.
    """

    factor: int
    mean: Float32Array
    weight: Float32Array


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pyramid:
    """An image, its coarser levels, and its statistics.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        The image itself (not copied).
    levels : tuple of PyramidLevel
        Blocks of 4, 16, ... pixels.
    statistics : Statistics, optional
        Of the finite pixels on a regular lattice of at most a million, and the true extremes; None where no pixel is finite.
    """

    data: AnyArray
    levels: tuple[PyramidLevel, ...]
    statistics: Statistics | None

    def view(self, left: float, bottom: float, step: float, shape: tuple[int, int]) -> Float32Array:
        """Part of the image at some scale.

        Parameters
        ----------
        left, bottom : float
            Left and lower edge of the view in pixels (0-based, centres at integers).
        step : float
            Side of a pixel of the view in pixels of the image.
        shape : tuple of int
            ``(ny, nx)`` of the view.

        Returns
        -------
        ndarray of float32
            First row at the bottom. For steps up to 1 the pixel below the centre of each pixel of the view; beyond, the mean of the finite
            pixels, or blocks of at most `step` pixels, whose centres lie in it. NaN beyond the image.
        """
        if not (math.isfinite(left) and math.isfinite(bottom) and step > 0):
            raise InputError(f"a view needs finite edges and a positive step, not {left:g}, {bottom:g}, {step:g}")
        if step <= 1.0:
            return self._enlarged(left, bottom, step, shape)
        chosen = next((level for level in reversed(self.levels) if level.factor <= step), None)
        factor = 1 if chosen is None else chosen.factor
        source = self.data if chosen is None else chosen.mean
        rows, row_starts, row_places = _bins(source.shape[0], factor, bottom, step, shape[0])
        columns, column_starts, column_places = _bins(source.shape[1], factor, left, step, shape[1])
        out = np.full(shape, np.nan, np.float32)
        if not len(row_places) or not len(column_places):
            return out
        values = np.asarray(source[rows, columns], np.float32)
        good = np.isfinite(values)
        weight = good.astype(np.float32) if chosen is None else chosen.weight[rows, columns]
        values = values * weight if good.all() else np.where(good, values, np.float32(0.0)) * weight
        # At most 16 terms in each sum: float32 keeps them to 1e-6.
        total, count = (np.add.reduceat(np.add.reduceat(part, row_starts, axis=0), column_starts, axis=1) for part in (values, weight))
        with np.errstate(invalid="ignore"):
            out[row_places[:, None], column_places] = np.where(count > 0, total / count, np.nan)
        return out

    def _enlarged(self, left: float, bottom: float, step: float, shape: tuple[int, int]) -> Float32Array:
        out = np.full(shape, np.nan, np.float32)
        rows, columns = (np.floor(first + (np.arange(n) + 0.5) * step + 0.5) for first, n in zip((bottom, left), shape, strict=True))
        on_rows, on_columns = (
            np.flatnonzero((places >= 0) & (places < n)) for places, n in zip((rows, columns), self.data.shape, strict=True)
        )
        if len(on_rows) and len(on_columns):
            y, x = rows[on_rows].astype(np.int64), columns[on_columns].astype(np.int64)
            part = np.asarray(self.data[y[0] : y[-1] + 1, x[0] : x[-1] + 1], np.float32)
            out[on_rows[:, None], on_columns] = part[(y - y[0])[:, None], x - x[0]]
        out[~np.isfinite(out)] = np.nan
        return out


def _bins(length: int, factor: int, first: float, step: float, n: int) -> tuple[slice, IntArray, IntArray]:
    """Blocks whose centres lie in the view, where those of each pixel of the view begin among them, and which pixels these are."""
    centres = (np.arange(length) + 0.5) * factor - 0.5
    place = np.floor((centres - first) / step)
    low, high = np.searchsorted(place, [0, n])
    inside = place[low:high].astype(np.int64)
    starts = np.flatnonzero(np.diff(inside, prepend=-1))
    return slice(int(low), int(high)), starts, inside[starts]


def make_pyramid(data: AnyArray) -> Pyramid:
    """Reduce an image to coarser levels and sum up its values.

    The image is read once, in bands of rows, so a memory map is never held as a whole; the levels take an eighth of its memory.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Image of any real type and byte order; pixels that are not finite do not count. Not modified.

    Returns
    -------
    Pyramid
        The image with its levels.

    Raises
    ------
    InputError
        If `data` does not have two axes, or no pixel.

    Examples
    --------
    >>> pyramid = make_pyramid(np.arange(16.0).reshape(4, 4))
    >>> pyramid.view(-0.5, -0.5, 2.0, (2, 2)).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    if data.ndim != 2 or not data.size:
        raise InputError(f"an image of shape {data.shape} cannot be shown", hint="it needs two axes and at least one pixel")
    low, high = math.inf, -math.inf
    means, weights = [], []
    with np.errstate(all="ignore"):
        for y in range(0, data.shape[0], _BAND_ROWS):
            band = np.asarray(data[y : y + _BAND_ROWS])
            if band.dtype != np.float32:
                band = band.astype(np.float32)
            mean, weight, extremes = _reduced_band(band)
            means.append(mean)
            weights.append(weight)
            low, high = min(low, extremes[0]), max(high, extremes[1])
    levels = [PyramidLevel(factor=STEP, mean=np.concatenate(means), weight=np.concatenate(weights))]
    while max(levels[-1].mean.shape) > _SMALLEST:
        levels.append(_coarser(levels[-1]))
    return Pyramid(data=data, levels=tuple(levels), statistics=_statistics(data, low, high))


def _reduced_band(band: Float32Array) -> tuple[Float32Array, Float32Array, tuple[float, float]]:
    """Means and numbers of finite pixels of the blocks of a band, and its extremes."""
    lowest, highest = float(np.min(band)), float(np.max(band))  # NaN or infinite if any pixel is
    if math.isfinite(lowest) and math.isfinite(highest):
        weight = np.outer(*(np.minimum(STEP, n - np.arange(0, n, STEP)) for n in band.shape)).astype(np.float32)
        return _blocks(band) / weight, weight, (lowest, highest)
    good = np.isfinite(band)
    weight = _blocks(good.astype(np.float32))
    total = _blocks(np.where(good, band, np.float32(0.0)))
    mean = np.where(weight > 0, total / weight, np.float32(np.nan))
    if not good.any():
        return mean, weight, (math.inf, -math.inf)
    return mean, weight, (float(np.min(band, where=good, initial=math.inf)), float(np.max(band, where=good, initial=-math.inf)))


def _coarser(level: PyramidLevel) -> PyramidLevel:
    weight = _blocks(level.weight)
    total = _blocks(np.where(level.weight > 0, level.mean, np.float32(0.0)) * level.weight)
    with np.errstate(invalid="ignore"):
        mean = np.where(weight > 0, total / weight, np.float32(np.nan))
    return PyramidLevel(factor=level.factor * STEP, mean=mean, weight=weight)


def _blocks(values: Float32Array) -> Float32Array:
    """Sums over blocks of `STEP` x `STEP`, those at the edges cut."""
    ny, nx = (-(-n // STEP) * STEP for n in values.shape)
    if (ny, nx) != values.shape:
        values = np.pad(values, ((0, ny - values.shape[0]), (0, nx - values.shape[1])))
    rows = values.reshape(ny // STEP, STEP, nx)
    summed = rows[:, 0] + rows[:, 1] + rows[:, 2] + rows[:, 3]  # several times faster than a sum over an axis
    result: Float32Array = summed[:, 0::STEP] + summed[:, 1::STEP] + summed[:, 2::STEP] + summed[:, 3::STEP]
    return result


def _statistics(data: AnyArray, low: float, high: float) -> Statistics | None:
    """Statistics of a lattice of pixels; the extremes are those of all pixels, which a lattice may miss."""
    if low > high:
        return None
    step = max(1, math.ceil(math.sqrt(data.size / _SAMPLE)))
    sample = np.asarray(data[::step, ::step], np.float32).ravel()
    return Statistics.of(np.concatenate([[np.float32(low), np.float32(high)], sample]))
