"""The stretches and limits that a view offers, in terms of those of `nbmosaic.core.stretch`."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.core.stretch import Limit, Statistics, StretchRange, grey_levels, parse_limit, stretch_range

__all__ = ["LIMITS", "STRETCHES", "check_limit", "kind_of_limit", "view_levels", "view_range"]

STRETCHES = ("asinh", "linear", "log", "power", "histogram", "histogram-log")
"""``histogram`` gives the levels equal shares of a Gaussian (Montage's ``gaussian``), ``histogram-log`` more of them to the brightest pixels."""

LIMITS = {
    "percentile": ("0.3%", "99.8%"),
    "zscale": ("zscale", "zscale"),
    "sigma": ("-2s", "8s"),
    "extremes": ("min", "max"),
    "value": ("", ""),
}
"""Ways to give limits, and what they begin with (``value``: the limits of the moment)."""

_TOP = 255.0
_ZSCALE_SAMPLE = 10_000


def check_limit(text: str, what: str) -> None:
    """Check a limit as it is written; ``zscale`` is one, except for the bend of an asinh.

    Raises
    ------
    InputError
        It is none.
    """
    if text != "zscale" or what == "bend":
        parse_limit(text, what)


def kind_of_limit(text: str) -> str:
    """Which of `LIMITS` a limit is.

    Examples
    --------
    >>> [kind_of_limit(text) for text in ("max", "2%", "-2s", "7", "zscale")]
    ['extremes', 'percentile', 'sigma', 'value', 'zscale']
    """
    if text == "zscale":
        return "zscale"
    limit = parse_limit(text)
    if limit.kind == "percent" and limit.number in {0.0, 100.0} and not limit.extra:
        return "extremes"
    return {"percent": "percentile", "sigma": "sigma", "value": "value"}[limit.kind]


def view_range(statistics: Statistics, stretch: str, low: str, high: str, bend: str, exponent: float) -> StretchRange:
    """A stretch of a view with its limits in data values.

    Parameters
    ----------
    statistics : Statistics
        Of the image.
    stretch, low, high, bend, exponent
        See `nbmosaic.pipeline.viewing.viewer.View`.
    """
    first, last = (
        Limit(_zscale(statistics)[end], "value") if text == "zscale" else parse_limit(text) for end, text in enumerate((low, high))
    )
    if stretch == "asinh":
        return stretch_range(statistics, first, last, "asinh", beta=parse_limit(bend, "bend"))
    if stretch == "power":
        return stretch_range(statistics, first, last, "exponent", exponent=exponent)
    if stretch.startswith("histogram"):
        return stretch_range(statistics, first, last, "gaussian-log" if stretch.endswith("log") else "gaussian")
    return stretch_range(statistics, first, last, "power", power=1 if stretch == "log" else 0)


def view_levels(values: AnyArray, chosen: StretchRange) -> FloatArray:
    """Grey levels 0 to 255 of values; NaN where there is none.

    The logarithm of `grey_levels` ends above 255 at the upper limit, as Montage's does; here it ends at 255, so that both limits mean what they
    say.
    """
    levels = grey_levels(values, chosen)
    if chosen.power:
        levels *= _TOP / grey_levels(np.array([chosen.high]), chosen)[0]
    return levels


def _zscale(statistics: Statistics) -> tuple[float, float]:
    """IRAF's zscale by astropy, of an even sample of the ordered values."""
    from astropy.visualization import ZScaleInterval

    sample = statistics.ordered[:: max(1, statistics.ordered.size // _ZSCALE_SAMPLE)]
    low, high = ZScaleInterval(n_samples=sample.size).get_limits(sample.astype(np.float64))
    return float(low), float(high)
