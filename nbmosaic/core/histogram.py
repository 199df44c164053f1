"""Histogram of an image, limits given as values, percentiles or sigmas, and the lookup table of a Gaussian stretch, as Montage defines them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.core.stretch import Limit
from nbmosaic.errors import AlgorithmError

__all__ = ["BINS", "ImageHistogram", "image_histogram", "stretch_lookup"]

BINS = 200_000
"""Bins of a histogram; the last one is Montage's sentinel."""

_LARGEST_LEVEL = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class ImageHistogram:
    """Counts of an image in `BINS` bins.

    Attributes
    ----------
    minimum, maximum : float
        Of the finite pixels.
    n_pixels : int
        Finite pixels.
    counts : ndarray of int64, shape (BINS,)
        Pixels in each bin of width `delta` from `minimum` on; the largest value is in the last but one bin, the last bin is empty.
    cumulative : ndarray, shape (BINS,)
        Pixels below each bin.
    levels, gauss : ndarray, shape (BINS,)
        Lower edge of each bin, and the sigma below which a normal distribution has as many pixels as lie below its upper edge.
    median, sigma : float
        Percentile 50, and half the distance of percentiles 16 and 84.
    """

    minimum: float
    maximum: float
    n_pixels: int
    counts: IntArray
    cumulative: FloatArray
    levels: FloatArray
    gauss: FloatArray
    median: float = 0.0
    sigma: float = 0.0

    @property
    def delta(self) -> float:
        """Width of a bin."""
        return (self.maximum - self.minimum) / (BINS - 1)

    def value_at(self, percentile: float) -> float:
        """Value below which a percentile of the pixels lies, linear inside a bin."""
        if percentile <= 0:
            return self.minimum
        if percentile >= 100:
            return self.maximum
        fraction = 0.01 * percentile
        i = max(1, min(int(np.searchsorted(self.cumulative, int(self.n_pixels * fraction))), BINS - 1))
        low, high = self.cumulative[i - 1] / self.n_pixels, self.cumulative[i] / self.n_pixels
        part = 0.0 if high == low else (fraction - low) / (high - low)
        return float(self.minimum + (i - 1 + part) * self.delta)

    def percentile_of(self, value: float) -> float:
        """Percentile of the pixels that lie below a value."""
        if value <= self.minimum:
            return 0.0
        if value >= self.maximum:
            return 100.0
        position = (value - self.minimum) / self.delta
        i = min(int(position), BINS - 2)
        part = position - i
        return float(100.0 * (self.cumulative[i] * (1.0 - part) + self.cumulative[i + 1] * part) / self.n_pixels)

    def resolve(self, limit: Limit) -> float:
        """Value of a limit."""
        if limit.kind == "percent":
            return self.value_at(limit.number) + limit.extra
        if limit.kind == "sigma":
            return self.median + limit.number * self.sigma + limit.extra
        return limit.number + limit.extra


def image_histogram(values: FloatArray) -> ImageHistogram:
    """Count the finite pixels of an image in `BINS` bins between its smallest and largest value.

    Parameters
    ----------
    values : ndarray
        Any shape.

    Raises
    ------
    AlgorithmError
        No pixel is finite.

    Examples
    --------
    >>> histogram = image_histogram(np.arange(101.0))
    >>> histogram.minimum, histogram.maximum, round(histogram.median)
    (0.0, 100.0, 50)
    """
    from scipy.special import ndtri

    pixels = values[np.isfinite(values)]
    if not pixels.size:
        raise AlgorithmError("All pixels are blank: there is nothing to make a histogram of")
    low, high = float(pixels.min()), float(pixels.max())
    nbin = BINS - 1
    span = high - low
    index = np.zeros(pixels.size, np.int64) if span == 0 else np.floor(nbin * (pixels - low) / span).astype(np.int64)
    counts = np.bincount(np.clip(index, 0, nbin - 1), minlength=BINS)
    cumulative = np.concatenate([[0.0], np.cumsum(counts[:nbin], dtype=np.float64)])
    levels: FloatArray = low + span / nbin * np.arange(BINS, dtype=np.float64)
    gauss = np.empty(BINS)
    with np.errstate(divide="ignore"):
        gauss[:nbin] = np.clip(ndtri(np.minimum(cumulative[1:], pixels.size - 1) / pixels.size), -_LARGEST_LEVEL, _LARGEST_LEVEL)
    levels[-1], gauss[-1] = levels[-2] + 1.0, gauss[-2] + 1.0
    plain = ImageHistogram(low, high, int(pixels.size), counts, cumulative, levels, gauss)
    p16, p50, p84 = (plain.value_at(p) for p in (16.0, 50.0, 84.0))
    return ImageHistogram(low, high, plain.n_pixels, counts, cumulative, levels, gauss, p50, (p84 - p16) / 2.0)


def stretch_lookup(histogram: ImageHistogram, low: float, high: float, *, logarithmic: bool = False) -> FloatArray:
    """Data values of the 256 levels of a Gaussian stretch.

    The levels of grey are spread evenly (or logarithmically) over the sigmas that the limits have in the distribution of the pixels, so that the histogram of
    the picture is a Gaussian (or its logarithm).

    Parameters
    ----------
    histogram : ImageHistogram
        Of the image.
    low, high : float
        Limits of the display range.
    logarithmic : bool
        Gaussian-log.

    Returns
    -------
    ndarray, shape (256,)
        Lowest data value of each level.

    Examples
    --------
    >>> table = stretch_lookup(image_histogram(np.random.default_rng(1).normal(size=10000)), -3.0, 3.0)
    >>> bool((np.diff(table) >= 0).all())
    True
    """
    levels, gauss = histogram.levels, histogram.gauss
    inner = levels[: BINS - 2]
    top = BINS - 3  # where Montage's search ends

    def level_of(value: float, default: float) -> float:
        i = int(np.searchsorted(inner, value, side="right"))
        return float(gauss[i]) if i < len(inner) else default

    bottom, ceiling = level_of(low, float(gauss[0])), level_of(high, float(gauss[top]))
    j = np.arange(256.0)
    if logarithmic:
        wanted = ceiling - np.power(10.0, math.log10(max(ceiling - bottom, 1e-300)) / 255.0 * (256.0 - j))
    else:
        wanted = bottom + (ceiling - bottom) / 255.0 * j
    i = np.clip(np.searchsorted(gauss[: BINS - 2], wanted), 1, BINS - 2)
    g0, g1, d0, d1 = gauss[i - 1], gauss[i], levels[i - 1], levels[i]
    step = np.where(g1 == g0, 1.0, g1 - g0)
    table: FloatArray = np.where(g1 == g0, d0, d0 + (wanted - g0) * (d1 - d0) / step)
    return table
