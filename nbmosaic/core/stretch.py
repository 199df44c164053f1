"""How pixel values become grey levels: statistics, limits and the stretches that Montage's viewer names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.errors import InputError

__all__ = ["Limit", "Statistics", "StretchKind", "StretchRange", "grey_levels", "parse_limit", "preserve_colour", "stretch_range"]

StretchKind = Literal["power", "asinh", "gaussian", "gaussian-log", "exponent"]
_TOP = 255.0  # highest grey level

_NUMBER = r"\d*\.?\d+(?:[eE][+-]?\d+)?|\d+\.(?:[eE][+-]?\d+)?"
_LIMIT = re.compile(
    rf"\s*(?:(?P<word>min|max|med)[a-z]*|(?P<number>[+-]?\s*(?:{_NUMBER}))\s*(?P<unit>[%sS]?))\s*(?P<extra>[+-]\s*(?:{_NUMBER}))?\s*"
)
_WORDS = {"min": 0.0, "med": 50.0, "max": 100.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a stretch as it is written: ``-2s``, ``99.5%``, ``max``, ``12.5``, ``med+3``.

    Attributes
    ----------
    number : float
        Value, percentile, or number of sigmas about the median.
    kind : {"value", "percent", "sigma"}
        What `number` is.
    extra : float
        Added to the data value.
    """

    number: float
    kind: Literal["value", "percent", "sigma"]
    extra: float = 0.0


def parse_limit(text: str, what: str = "limit") -> Limit:
    """Read a limit: a number, ``%`` or ``s`` behind it, or ``min``, ``med``, ``max``; a signed number may follow and is added.

    Parameters
    ----------
    text : str
        The limit.
    what : str
        Name for messages.

    Raises
    ------
    InputError
        It is none of these, or a percentile outside 0 to 100.

    Examples
    --------
    >>> parse_limit("-2s"), parse_limit("max")
    (Limit(number=-2.0, kind='sigma', extra=0.0), Limit(number=100.0, kind='percent', extra=0.0))
    """
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise InputError(f"{text[:60]!r} is not a valid {what}", hint="give a number, a percentile (1%), sigmas (-2s), min, med or max")
    extra = float((found["extra"] or "0").replace(" ", ""))
    if found["word"]:
        return Limit(_WORDS[found["word"]], "percent", extra)
    number = float("".join(found["number"].split()))
    if not (np.isfinite(number) and np.isfinite(extra)):
        raise InputError(f"{text[:60]!r} is not a valid {what}: the number is too large")
    if found["unit"] == "%":
        if not 0.0 <= number <= 100.0:
            raise InputError(f"{text[:60]!r}: {'negative percentile' if number < 0 else 'percentile larger than 100'} in {what}")
        return Limit(number, "percent", extra)
    return Limit(number, "sigma" if found["unit"] else "value", extra)


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """All finite values of an image in order, and what follows from them.

    Exact percentiles: nothing is binned, so one bright star does not coarsen the sky (a histogram of 200 000 bins between the extremes has
    steps of 0.03 DN where the sky is 1 DN wide and a star 6000 DN high).

    Attributes
    ----------
    ordered : ndarray
        Finite values, ascending.
    median, sigma : float
        50th percentile, and half the distance of the 16th and the 84th: what a "sigma" of a limit means.
    """

    ordered: AnyArray
    median: float
    sigma: float

    @classmethod
    def of(cls, image: AnyArray) -> Statistics:
        """Sort the finite values of an image.

        Raises
        ------
        InputError
            There is none.
        """
        values = image[np.isfinite(image)]
        if not values.size:
            raise InputError("Image contains no non-blank pixels.")
        values.sort()
        low, median, high = (_at(values, p) for p in (16.0, 50.0, 84.0))
        return cls(values, median, 0.5 * (high - low))

    @property
    def minimum(self) -> float:
        """Smallest finite value."""
        return float(self.ordered[0])

    @property
    def maximum(self) -> float:
        """Largest finite value."""
        return float(self.ordered[-1])

    def at_percent(self, percent: float) -> float:
        """Value below which that part of the pixels lies, interpolated between neighbours."""
        return _at(self.ordered, percent)

    def percent_of(self, value: float) -> float:
        """Inverse of `at_percent`: 0 below all values, 100 above."""
        n = self.ordered.size
        if value <= self.minimum:
            return 0.0
        if value >= self.maximum:
            return 100.0
        first = int(np.searchsorted(self.ordered, value, side="left"))
        last = int(np.searchsorted(self.ordered, value, side="right"))
        if last > first:  # the middle of equal values
            return 100.0 * 0.5 * (first + last - 1) / (n - 1)
        below, above = float(self.ordered[first - 1]), float(self.ordered[first])
        return 100.0 * (first - 1 + (value - below) / (above - below)) / (n - 1)

    def sigmas_of(self, value: float) -> float:
        """Distance from the median in sigmas (NaN where sigma is 0 and the value is the median)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.float64(value - self.median) / self.sigma)

    def value_of(self, limit: Limit) -> float:
        """Data value that a limit means for this image."""
        if limit.kind == "value":
            return limit.number + limit.extra
        if limit.kind == "percent":
            return self.at_percent(limit.number) + limit.extra
        return self.median + limit.number * self.sigma + limit.extra

    def quantiles(self, parts: FloatArray) -> FloatArray:
        """Values at fractions 0 to 1 of the ordered list."""
        place = np.clip(parts, 0.0, 1.0) * (self.ordered.size - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, self.ordered.size - 1)
        a, b = self.ordered[low].astype(np.float64), self.ordered[high].astype(np.float64)
        values: FloatArray = a + (place - low) * (b - a)
        return values


def _at(ordered: AnyArray, percent: float) -> float:
    place = min(max(percent, 0.0), 100.0) / 100.0 * (ordered.size - 1)
    low = int(place)
    high = min(low + 1, ordered.size - 1)
    return float(ordered[low]) + (place - low) * (float(ordered[high]) - float(ordered[low]))


@dataclass(frozen=True, slots=True, eq=False)
class StretchRange:
    """A stretch with its limits in data values.

    Attributes
    ----------
    kind : {"power", "asinh", "gaussian", "gaussian-log", "exponent"}
        See `grey_levels`.
    low, high : float
        First and last value.
    power : int
        How often the logarithm is taken (``power``); 0 is linear.
    beta : float
        Bend of the asinh.
    exponent : float
        Of the power law (``exponent``).
    table : ndarray, optional
        256 ascending values, the upper ends of the grey levels (``gaussian``, ``gaussian-log``).
    """

    kind: StretchKind
    low: float
    high: float
    power: int = 0
    beta: float = 1.0
    exponent: float = 1.0
    table: FloatArray | None = None


def stretch_range(
    statistics: Statistics,
    low: Limit,
    high: Limit,
    kind: StretchKind = "power",
    *,
    power: int = 0,
    beta: Limit | None = None,
    exponent: float = 0.5,
) -> StretchRange:
    """Turn limits into data values, and prepare what the stretch needs to know of the whole image.

    Parameters
    ----------
    statistics : Statistics
        Of the whole image.
    low, high : Limit
        Limits of the stretch.
    kind : {"power", "asinh", "gaussian", "gaussian-log", "exponent"}
        See `grey_levels`.
    power : int
        How often the logarithm is taken, 0 to 10.
    beta : Limit, optional
        Bend of the asinh: a plain number is ``beta`` itself; a percentile or a number of sigmas is the data value at which it turns from
        linear to logarithmic. Default: two sigmas above the median.
    exponent : float
        Of the power law, positive: below 1 lifts the faint parts, above 1 the bright ones.

    Returns
    -------
    StretchRange
        Limits that are equal are moved one apart; limits in the wrong order draw the negative (``power``, ``asinh``, ``exponent``) or are
        exchanged (``gaussian``, ``gaussian-log``).

    Raises
    ------
    InputError
        The exponent is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> s = Statistics.of(np.arange(101.0))
    >>> stretch_range(s, parse_limit("10%"), parse_limit("max")).low
    10.0
    """
    first, last = statistics.value_of(low), statistics.value_of(high)
    if first == last:
        last = first + 1.0
    if kind == "power":
        return StretchRange("power", first, last, power=min(max(power, 0), 10))
    if kind == "exponent":
        if not 0.0 < exponent < np.inf:
            raise InputError(f"the exponent of a power law cannot be {exponent:g}", hint="give a positive number, 0.5 for a square root")
        return StretchRange("exponent", first, last, exponent=exponent)
    if kind == "asinh":
        return StretchRange("asinh", first, last, beta=_bend(statistics, beta or Limit(2.0, "sigma"), first, last))
    return StretchRange(
        kind, first, last, table=_gaussian_table(statistics, min(first, last), max(first, last), logarithmic=kind == "gaussian-log")
    )


def _bend(statistics: Statistics, beta: Limit, low: float, high: float) -> float:
    """Bend of an asinh: given, or the inverse of the relative height of the value at which it turns logarithmic."""
    if beta.kind == "value":
        return max(abs(beta.number + beta.extra), 1e-6)
    height = (statistics.value_of(beta) - low) / (high - low)
    # A turning point outside the limits leaves nothing to bend: straight line from above, and never more than 1e6 below.
    return 1.0 / min(max(height, 1e-6), 1e3)


def _gaussian_table(statistics: Statistics, low: float, high: float, *, logarithmic: bool) -> FloatArray:
    """Values that part the grey levels so that the histogram between the limits becomes a piece of a Gaussian.

    Level j ends at the value whose share of smaller pixels is Phi(z_j). Linear: z_j is spaced evenly from z(low) to z(high). Logarithmic:
    ``z_j = z(high) - (z(high) - z(low)) ** ((256 - j) / 255)``, Montage's formula; it falls for ranges below one sigma, which are spaced
    evenly here.
    """
    from scipy.special import ndtr, ndtri

    n = statistics.ordered.size
    edge = 1.0 / max(n, 2)
    parts = np.clip([statistics.percent_of(v) / 100.0 for v in (low, high)], edge, 1.0 - edge)
    z_low, z_high = ndtri(parts)
    if z_high <= z_low:  # hardly any pixels between the limits
        return np.linspace(low, high, 256)
    j = np.arange(256.0)
    reach = z_high - z_low
    z = z_high - reach ** ((256.0 - j) / 255.0) if logarithmic and reach > 1.0 else z_low + reach * j / 255.0
    return statistics.quantiles(ndtr(z))


def grey_levels(values: AnyArray, stretch: StretchRange) -> FloatArray:
    """Grey levels of pixel values, not yet rounded.

    Parameters
    ----------
    values : ndarray
        Pixels.
    stretch : StretchRange
        From `stretch_range`.

    Returns
    -------
    ndarray of float64
        With ``x = (v - low) / (high - low)`` cut to 0..1:

        * ``power``: ``255 x``, after ``x <- ln(9 x + 1)`` has been applied `power` times. It exceeds 255 from ``x = (e - 1) / 9 = 0.19`` on
          (Montage takes the natural logarithm); cut it there, or see `preserve_colour`;
        * ``asinh``: ``255 asinh(beta x) / asinh(beta)``;
        * ``exponent``: ``255 x ** exponent``;
        * ``gaussian``, ``gaussian-log``: the first of 256 levels whose end is not below the value.

        NaN where the value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> grey_levels(np.array([-1.0, 0.5, 2.0]), StretchRange("power", 0.0, 1.0)).tolist()
    [0.0, 127.5, 255.0]
    """
    blank = ~np.isfinite(values)
    levels: FloatArray
    if stretch.table is not None:
        levels = np.minimum(np.searchsorted(stretch.table, np.where(blank, 0.0, values), side="left"), 255).astype(np.float64)
    else:
        with np.errstate(invalid="ignore"):
            levels = np.clip((values.astype(np.float64) - stretch.low) / (stretch.high - stretch.low), 0.0, 1.0)
        if stretch.kind == "asinh":
            levels = np.arcsinh(stretch.beta * levels) / np.arcsinh(stretch.beta)
        elif stretch.kind == "exponent":
            levels = levels**stretch.exponent
        else:
            for _ in range(stretch.power):
                levels = np.log(9.0 * levels + 1.0)
        levels *= _TOP
    levels[blank] = np.nan
    return levels


def preserve_colour(levels: FloatArray, power: float) -> FloatArray:
    """Keep the hue of pixels that are too bright in a channel, and strengthen it.

    Parameters
    ----------
    levels : ndarray, shape (..., 3)
        Grey levels of the channels, which may exceed 255.
    power : float
        Exponent of the ratio to the brightest channel; 0 cuts each channel at 255 instead.

    Returns
    -------
    ndarray
        Levels 0 to 255: ``m' (l / m) ** power`` with the brightest channel m of the pixel and ``m' = min(m, 255)``.

    Examples
    --------
    >>> import numpy as np
    >>> preserve_colour(np.array([510.0, 255.0, 0.0]), 1.0).tolist()
    [255.0, 127.5, 0.0]
    """
    if power <= 0.0:
        return np.minimum(levels, _TOP)
    brightest = levels.max(axis=-1, keepdims=True)
    ratio = np.divide(levels, brightest, out=np.zeros_like(levels), where=brightest > 0.0)
    coloured: FloatArray = ratio**power * np.minimum(brightest, _TOP)
    return coloured
