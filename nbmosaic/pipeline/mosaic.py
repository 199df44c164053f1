"""`mosaic`: all stages in one call."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from nbmosaic.errors import ConfigError
from nbmosaic.pipeline import stages
from nbmosaic.pipeline.caching.cache import RunCache, as_cache
from nbmosaic.pipeline.choices import Combine, Conserve, Method, System, Weight
from nbmosaic.pipeline.execution import Execution, NoProgress, Progress, parse_memory
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.registry import RUN_OPTIONS
from nbmosaic.pipeline.run import Run, run_recipe

if TYPE_CHECKING:
    from nbmosaic.pipeline.signatures import Parameter

__all__ = ["mosaic", "mosaic_parameters", "mosaic_recipe"]


def mosaic(
    paths: Any,
    *,
    hdu: int | str | list[int | str] | None = None,
    weights: Any = None,
    variance: Any = None,
    mask: Any = None,
    mask_bits: int | list[int] | None = None,
    flux_scale: float | str | list[float] | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    template: str | None = None,
    system: System = "icrs",
    scale: float | None = None,
    north_up: bool = True,
    rotation: float | None = None,
    pad: float = 0.0,
    pad_pix: int = 0,
    max_size: int | None = None,
    projection: str = "TAN",
    method: Method = "spline",
    conserve: Conserve = "surface_brightness",
    match: bool = True,
    slope: bool = True,
    sigma: float = 3.0,
    min_pixels: int = 50,
    weighting: Literal["pixels", "noise"] = "pixels",
    reference: Sequence[int | str] = (),
    exclude: Sequence[Any] = (),
    slope_prior: float | None = None,
    robust: bool = False,
    errors: bool | None = None,
    combine: Combine = "mean",
    weight: Weight | None = None,
    kappa: float = 3.0,
    output: str | None = None,
    overwrite: bool = False,
    jobs: int = 0,
    executor: Executor | None = None,
    max_memory: float | str | None = None,
    scratch: str | None = None,
    progress: Progress | None = None,
    cache: RunCache | str | bool | None = None,
) -> Run:
    """Background-matched mosaic of frames, in one call.

    Parameters
    ----------
    paths
        File names, patterns, folders, HDUs, ``CCDData``, ``(array, wcs)``, or a list of these.
    hdu, weights, variance, mask, mask_bits, flux_scale, on_error
        How frames are read: see `nbmosaic.images`.
    template, system, scale, north_up, rotation, pad, pad_pix, max_size, projection
        The grid: see `nbmosaic.header`.
    method, conserve
        The resampling: see `nbmosaic.project`.
    match : bool
        Match the backgrounds of the frames; False: only project and coadd.
    slope, sigma, min_pixels
        The plane fits of the overlaps: see `nbmosaic.overlaps`; ``slope=False`` fits levels only.
    weighting, reference, exclude, slope_prior, robust, errors
        The background model: see `nbmosaic.background`.
    combine, weight, kappa, output, overwrite
        The coadd: see `nbmosaic.coadd`.
    jobs, executor, max_memory, scratch, progress
        How to run: see `nbmosaic.project`. No result depends on them.
    cache : RunCache, str or bool, optional
        Where finished stages are kept and looked for: yes is the cache of this process, which cells use, too; a folder, one whose projected
        frames live there, so that a run that was killed goes on where it was; default: nothing is kept.

    Returns
    -------
    Run
        Mapping from stage to product; ``run.mosaic`` has the image.

    Examples
    --------
    >>> import nbmosaic
    >>> from nbmosaic.pipeline.simulation.frames import simulate_frames
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sky = simulate_frames(folder, n_frames=2, size=64, seed=1)
    ...     run = nbmosaic.mosaic(folder, method="bilinear")
    >>> run.mosaic.data.ndim
    2
    """
    options = {name: value for name, value in locals().items() if name not in {"paths", "cache", *RUN_OPTIONS}}
    run = run_recipe(
        mosaic_recipe(paths, **options),
        execution=Execution(
            jobs=jobs,
            executor=executor,
            max_memory=parse_memory(max_memory),
            scratch=scratch,
            progress=progress if progress is not None else NoProgress(),
        ),
        cache=as_cache(cache),
    )
    for warning in run.caught:
        warnings.warn(warning, stacklevel=2)
    return run


def mosaic_recipe(paths: Any, *, match: bool = True, name: str | None = None, **options: Any) -> Recipe:
    """The recipe of `mosaic` with these options; those left at their default do not appear in it."""
    items = tuple(paths) if isinstance(paths, list) else (paths,)
    wanted: list[Callable[..., Any]] = [stages.images, stages.header, stages.project]
    matching: list[Callable[..., Any]] = [stages.overlaps, stages.background, stages.correct]
    idle = [] if match else [option for function in matching for option in _changed(function, options) if option not in RUN_OPTIONS]
    if idle:
        raise ConfigError(
            f"{', '.join(dict.fromkeys(idle))} cannot be used with match=False", hint="they are options of the background match"
        )
    if match:
        wanted += matching
    wanted.append(stages.coadd)
    steps = []
    for function in wanted:
        chosen = _changed(function, options)
        # the template is a word of the header stage, not an option
        words = (
            items if function is stages.images else (options["template"],) if function is stages.header and options.get("template") else ()
        )
        steps.append(Step(stage=function.__name__, words=words, options=MappingProxyType(chosen)))
    return Recipe(steps=tuple(steps), name=name)


def _changed(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    parameters = {
        name: parameter for name, parameter in inspect.signature(function).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY
    }
    return {
        name: options[name] for name, parameter in parameters.items() if name in options and not _same(options[name], parameter.default)
    }


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float | bool | tuple) and type(value) is type(default) and value == default)


def mosaic_parameters() -> list[Parameter]:
    """Parameters of `mosaic` with the help that the stages give them."""
    from nbmosaic.pipeline.signatures import StageSpec

    own = [function for function in stages.STAGES if function is not stages.mscimage]  # which `mosaic` does not run
    helped = {parameter.name: parameter.help for function in own for parameter in StageSpec.from_function(function).options}
    words = {parameter.name: parameter.help for parameter in StageSpec.from_function(stages.header).words}
    spec = StageSpec.from_function(mosaic)
    return [
        replace(parameter, help=helped.get(parameter.name) or words.get(parameter.name) or parameter.help) for parameter in spec.options
    ]
