"""Text of a histogram file, as mHistogram writes it and mViewer reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbmosaic._types import FloatArray

__all__ = ["histogram_text"]

_NOTE = """# HISTOGRAM DATA
#
# First the kind of stretch: 0 power of the logarithm (with the power; 0 is linear), 1 gaussian, 2 gaussian-log, 3 asinh.
# Then the limits as they were given, as values, percentiles and sigmas, the smallest and largest pixel, median and sigma;
# limits of the histogram, width of a bin, number of pixels; the 256 data values at which the grey levels of a gaussian
# stretch begin (0 for other stretches); and the bins: number, lower edge, pixels in it, pixels below it, sigma level.
#
"""


def histogram_text(
    kind: str, limits: tuple[str, str], ranges: Mapping[str, tuple[float, float]], columns: Sequence[FloatArray], lookup: FloatArray
) -> str:
    """Text of a histogram.

    Parameters
    ----------
    kind : str
        What stands after ``Type``.
    limits : tuple of str
        As the user gave them.
    ranges : mapping
        ``Value``, ``Percentile``, ``Sigma``, ``Min/Max`` and ``Median/Sigma`` in this order.
    columns : sequence of ndarray, shape (n,)
        Lower edges, counts, cumulative counts and sigma levels of the bins.
    lookup : ndarray, shape (256,)
        Stretch.

    Examples
    --------
    >>> import numpy as np
    >>> ranges = {"Min/Max": (0.0, 2.0)}
    >>> text = histogram_text("0 0 (linear)", ("min", "max"), ranges, [np.arange(3.0)] * 4, np.zeros(256))
    >>> text.splitlines()[7]
    'Type 0 0 (linear)'
    """
    levels, counts, cumulative, gauss = columns
    low, high = ranges["Min/Max"]
    head = [f"Type {kind}", "", f"Ranges ({limits[0]} {limits[1]})", *(f"{name} {a:g} {b:g}" for name, (a, b) in ranges.items()), ""]
    head += [
        f"rmin {low:g}",
        f"rmax {high:g}",
        f"delta {(high - low) / (len(levels) - 1):g}",
        f"npix {int(counts.sum())}",
        "",
        "Stretch Lookup",
    ]
    head += [f"{i} {value:13.6e}" for i, value in enumerate(lookup)]
    head += ["", f"{len(levels)} Histogram Bins"]
    rows = zip(range(len(levels)), levels.tolist(), counts.tolist(), cumulative.tolist(), gauss.tolist(), strict=True)
    return _NOTE + "\n".join([*head, *("%d %13.6e %d %13.6e %13.6e" % row for row in rows), ""])  # noqa: UP031 - 200 000 rows: half the time of an f-string
