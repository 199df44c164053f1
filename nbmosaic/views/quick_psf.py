"""Pictures of batches of fits while they run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbmosaic.types.photometry import Estimate
from nbmosaic.views.labels import plain_label, short_names
from nbmosaic.views.look import CLIPPED_COLOUR, SERIES
from nbmosaic.views.psf_alt_text import alt_text_batch
from nbmosaic.views.quick_plot import QuickSeries, quick_plot

__all__ = ["quick_fwhm_by_file"]


def quick_fwhm_by_file(
    names: Sequence[str], series: Sequence[tuple[str, Sequence[Estimate]]], failed: Sequence[str] = ()
) -> tuple[bytes, str]:
    """Draw FWHM with standard errors against file, as `nbmosaic.views.psf_figures.plot_fwhm_by_file` does, but in milliseconds and in any thread.

    Parameters
    ----------
    names : sequence of str
        Names of the files.
    series : sequence of (str, sequence of Estimate)
        Kind of fit, and one FWHM a file. Values with a flag are drawn hollow.
    failed : sequence of str
        Files without a result: crosses at the bottom.

    Returns
    -------
    png : bytes
    alt : str
    """
    drawn: list[QuickSeries] = []
    for number, (kind, values) in enumerate(series):
        x = np.arange(len(values)) + 0.12 * (number - (len(series) - 1) / 2)
        value = np.array([one.value for one in values])
        error = np.array([one.stderr if np.isfinite(one.stderr) else 0.0 for one in values])
        flagged = np.array([bool(one.flag) for one in values], bool)
        colour = SERIES[number]
        drawn.append(QuickSeries(x[~flagged], value[~flagged], colour, f"{kind} fit", "circles", error[~flagged]))
        if flagged.any():
            drawn.append(QuickSeries(x[flagged], value[flagged], colour, f"{kind} fit, flagged", "rings", error[flagged]))
    low, high = _limits([one for _, values in series for one in values])
    if failed:
        at = np.arange(len(names), len(names) + len(failed), dtype=np.float64)
        drawn.append(QuickSeries(at, np.full(len(failed), low + 0.04 * (high - low)), CLIPPED_COLOUR, "failed", "crosses"))
    labels = [plain_label(text, 16) for text in short_names([*names, *failed])]
    png = quick_plot(
        drawn,
        x_label="file",
        y_label="fwhm [arcsec]",
        x_limits=(-0.6, max(len(labels), 1) - 0.4),
        y_limits=(low, high),
        size=(640, 300),
        x_texts=labels,
    )
    return png, alt_text_batch(series, failed)


def _limits(values: Sequence[Estimate]) -> tuple[float, float]:
    """Range of the values and their errors; errors of more than the whole range of the values do not count."""
    centre = np.array([one.value for one in values])
    centre = centre[np.isfinite(centre)]
    if not centre.size:
        return 0.0, 1.0
    low, high = float(centre.min()), float(centre.max())
    reach = max(high - low, 0.02 * abs(high))
    errors = [one.stderr for one in values if np.isfinite(one.stderr) and one.stderr < reach]
    margin = 0.08 * reach + (max(errors) if errors else 0.0)
    return low - margin, high + margin
