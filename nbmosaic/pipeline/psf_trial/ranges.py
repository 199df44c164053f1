"""Ranges of sliders for the values of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from nbmosaic.pipeline.psf_trial.trial import PsfTrial

__all__ = ["SliderRange", "trial_ranges"]

_OFFSET = 1.0  # arcsec to both sides


class SliderRange(NamedTuple):
    """Ends and step of a slider, and the format of its number.

    Examples
    --------
    >>> SliderRange(0.0, 2.0, 0.5, ".2f").holding(2.7).high
    2.7
    """

    low: float
    high: float
    step: float
    shown: str

    def holding(self, value: float) -> SliderRange:
        """The range, as much longer as is needed to hold a value."""
        return self._replace(low=min(self.low, value), high=max(self.high, value))

    def same(self, one: float, other: float) -> bool:
        """Whether two values are the same to a slider: the browser rounds a value to whole steps, and sends back what it has made of it."""
        return abs(one - other) <= 0.5 * self.step * (1.0 + 1e-6)


def trial_ranges(trial: PsfTrial) -> dict[str, SliderRange]:
    """Ranges about the values of a trial, by parameter.

    Parameters
    ----------
    trial : PsfTrial
        The trial with which a panel begins.

    Returns
    -------
    dict of str to SliderRange
        Hundreds of steps each: a step of the offset is 0.002 arcsec, about the error of a fit.
    """
    scale = abs(trial.scale) or 1.0
    used = trial.good
    sigma = float(np.median(trial.sigma[used]))
    level = 5.0 * sigma
    return {
        "fwhm": SliderRange(0.1, max(2.0, 3.0 * trial.fwhm), 0.002, ".3f"),
        "beta": SliderRange(1.02, 10.0, 0.02, ".2f"),
        "dx": SliderRange(round(trial.dx, 1) - _OFFSET, round(trial.dx, 1) + _OFFSET, 0.002, ".3f"),
        "dy": SliderRange(round(trial.dy, 1) - _OFFSET, round(trial.dy, 1) + _OFFSET, 0.002, ".3f"),
        "scale": SliderRange(0.0, 2.0 * scale, scale / 400.0, ".4g"),
        "bg": SliderRange(trial.bg - level, trial.bg + level, level / 400.0, ".4g"),
    }
