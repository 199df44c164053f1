"""Whether planes explain the overlaps to the noise, and what their errors are worth if they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nbmosaic.types import BackgroundModel, OverlapPlanes

__all__ = ["enlarge_errors", "misfit_factor"]

_MEDIAN_CHI2 = {1: 0.454936, 3: 2.365974}
"""Median of chi-squared with 1 and 3 degrees of freedom."""
_CLEAR = 1.5
"""Below this the scatter of a median over a few overlaps can make the factor: over 20 overlaps it is known to 15 per cent."""


def misfit_factor(planes: OverlapPlanes, model: BackgroundModel) -> float:
    """How much larger than the noise the differences left over the overlaps are.

    For each overlap that was used, ``chi2 = n * rms^2 / noise_power`` of the plane that is left, with 3 degrees of freedom (1 for levels). The factor
    is the square root of the ratio of its median to the median of chi-squared: a median, so that a few wrong overlaps do not make it.

    Parameters
    ----------
    planes : OverlapPlanes
        The overlaps.
    model : BackgroundModel
        The solution, with residuals of the same rows.

    Returns
    -------
    float
        1 where noise explains all, and where that is not clear (below 1.5).
    """
    used = (model.weight > 0) & (planes.noise_power > 0) & np.isfinite(planes.noise_power)
    # with as many overlaps as the frames need to be tied (a tree) nothing is left over whatever the backgrounds are
    if used.sum() < len(model) + 1:
        return 1.0
    left = model.residual_rms[used] if model.slope else np.abs(model.residual_level[used])
    chi2 = planes.n_pixels[used] * left**2 / planes.noise_power[used]
    factor = float(np.sqrt(np.median(chi2) / _MEDIAN_CHI2[3 if model.slope else 1]))
    return factor if factor > _CLEAR else 1.0


def enlarge_errors(model: BackgroundModel, factor: float) -> BackgroundModel:
    """The model with its standard errors multiplied by `factor`, which it keeps as `BackgroundModel.misfit`."""
    return replace(
        model,
        misfit=factor,
        stderr=None if model.stderr is None else model.stderr * factor,
        covariance=None if model.covariance is None else model.covariance * factor**2,
    )
