"""Stages that match backgrounds: overlaps, the global model, its subtraction."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Literal

from nbmosaic.errors import ConfigError, DisconnectedMosaicWarning, InputError
from nbmosaic.pipeline.execution import Progress, stage_execution
from nbmosaic.pipeline.products import Background, Corrected, Overlaps, Projected, Table

__all__ = ["background", "correct", "overlaps"]


def overlaps(
    projected: Projected,
    *,
    slope: bool = True,
    sigma: float = 3.0,
    max_iterations: int = 10,
    min_pixels: int = 50,
    jobs: int = 0,
    executor: Executor | None = None,
    max_memory: float | str | None = None,
    progress: Progress | None = None,
) -> Overlaps:
    """Difference and clipped plane fit of every overlapping pair.

    Parameters
    ----------
    projected : Projected
        The projected frames.
    slope : bool
        Fit planes; otherwise only levels.
    sigma : float
        Clipping limit in standard deviations.
    max_iterations : int
        Largest number of clipping iterations; it stops earlier when the pixels kept do not change.
    min_pixels : int
        Pairs with fewer valid pixels are listed but neither fitted nor used.
    jobs : int
        Threads; 0: as many as the work is worth, at most all processors; negative: all processors but that many.
    executor : concurrent.futures.Executor, optional
        Runs the fits elsewhere.
    max_memory : float or str, optional
        Pixel data held at once, bytes or a text such as 500MB.
    progress : Progress, optional
        Told of every finished pair.

    Returns
    -------
    Overlaps
        `Overlaps.table` has the columns of Montage's fits table, then standard errors, counts and flags.
    """
    from nbmosaic.pipeline.matching import fit_overlaps

    if not sigma > 1.0:
        raise ConfigError(f"sigma cannot be {sigma!r}", hint="it has to be larger than 1; 3 is usual", option="sigma")
    return fit_overlaps(
        projected,
        slope=slope,
        sigma=sigma,
        max_iterations=max_iterations,
        min_pixels=min_pixels,
        execution=stage_execution(jobs, executor, max_memory, None, progress),
    )


def background(
    overlaps: Overlaps | Table | Any,
    *,
    slope: bool = True,
    weighting: Literal["pixels", "noise"] = "pixels",
    reference: Sequence[int | str] = (),
    exclude: Sequence[Any] = (),
    slope_prior: float | None = None,
    robust: bool = False,
    errors: bool | None = None,
) -> Background:
    """Global background model: exact weighted least squares over every overlap pixel.

    Parameters
    ----------
    overlaps : Overlaps, Table or DataFrame
        The overlaps, a fits table read from a file, or a slice of either's DataFrame.
    slope : bool
        Fit a plane per frame; otherwise only a level.
    weighting : {"pixels", "noise"}
        Every pixel counts the same, or pixels of noisy overlaps count less.
    reference : sequence of int or str
        Frames whose background is taken as right (index or name): their planes are held at zero.
    exclude : sequence
        Overlaps to leave out, as pairs of frames: ``(0, 3)`` or ``0-3``.
    slope_prior : float, optional
        Standard deviation of the slopes that is expected before looking at the overlaps (unit per pixel); None: no prior.
    robust : bool
        Give overlaps that disagree with the rest less weight.
    errors : bool, optional
        Compute standard errors; None: for up to 2000 frames. From a table they are good to some per cent.

    Returns
    -------
    Background
        `Background.table` has ``id a b c``, then standard errors and groups.

    Warns
    -----
    DisconnectedMosaicWarning
        The frames fall into groups that share no overlap.
    """
    from nbmosaic.pipeline.matching import overlaps_of_table, solve

    if not isinstance(overlaps, Overlaps):
        overlaps = overlaps_of_table(overlaps.table if isinstance(overlaps, Table) else overlaps, errors=errors)
    references = [reference] if isinstance(reference, int | str) else list(reference)
    pairs = [exclude] if isinstance(exclude, str) else list(exclude)
    if slope_prior is not None and not slope_prior > 0:
        raise ConfigError(f"slope_prior cannot be {slope_prior!r}", hint="it is a standard deviation: larger than 0", option="slope_prior")
    model = solve(
        overlaps,
        slope=slope,
        weighting=weighting,
        reference=references,
        exclude=pairs,
        slope_prior=slope_prior,
        robust=robust,
        errors=errors,
    )
    _warn_groups(model)
    return model


def _warn_groups(background: Background) -> None:
    model = background.model
    if model.n_components < 2:
        return
    if not (model.weight > 0).any():
        warnings.warn(
            f"no two of the {len(model)} frames share enough valid pixels: nothing can be matched", DisconnectedMosaicWarning, stacklevel=3
        )
        return
    groups = []
    for number in range(min(model.n_components, 4)):
        members = [background.overlaps.names[int(i)] for i in model.frames[model.component == number]]
        groups.append(f"[{', '.join(members[:3])}{f' and {len(members) - 3} more' if len(members) > 3 else ''}]")
    more = f" and {model.n_components - 4} more groups" if model.n_components > 4 else ""
    warnings.warn(
        f"the frames fall into {model.n_components} groups that share no overlap, so their levels cannot be tied: {', '.join(groups)}{more}",
        DisconnectedMosaicWarning,
        stacklevel=3,
    )


def correct(projected: Projected, background: Background) -> Corrected:
    """Subtract the background planes from the projected frames.

    The planes are subtracted when pixels are read: no second copy of the frames is made.

    Parameters
    ----------
    projected : Projected
        The projected frames.
    background : Background
        The background model of the same frames.

    Returns
    -------
    Corrected
        The corrected frames.
    """
    known = {int(index) for index in background.model.frames}
    unknown = [info.name for info in projected.infos if info.index not in known]
    if unknown:
        raise InputError(
            f"the background model does not hold {len(unknown)} of the frames, first {unknown[0]}",
            hint="make it from the overlaps of the same projected frames",
        )
    return Corrected(projected, background)
