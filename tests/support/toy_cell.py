"""Toy stages and a toy pipeline, so that the notebook layer is tested without files, pixels and kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbmosaic.errors import FormatError, MosaicCancelled, NbmosaicError, SkippedFrameWarning, StepError
from nbmosaic.notebook.registry import Registry
from nbmosaic.pipeline.caching.cache import RunCache
from nbmosaic.pipeline.caching.plan import Plan, PlannedStage

if TYPE_CHECKING:
    from nowhere import DataFrame

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []


@dataclass(frozen=True)
class ToyProduct:
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Frames(ToyProduct):
    pass


class Grid(ToyProduct):
    pass


class Projected(ToyProduct):
    pass


class Pairs(ToyProduct):
    @property
    def table(self) -> list[int]:
        return [1, 2, 3]


class Planes(ToyProduct):
    pass


class Image(ToyProduct):
    pass


def _record(name: str, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    CALLS.append((name, args, kwargs))
    return args, kwargs


def images(*paths: Any, hdu: int | str | None = 0, on_error: Literal["stop", "skip"] = "stop") -> Frames:
    """Find frames.

    A second paragraph with <b>markup</b>.

    Parameters
    ----------
    *paths
        Files & <folders>.
    hdu : int or str, optional
        Extension.
    on_error : {"stop", "skip"}
        What to do.
    """
    return Frames(*_record("images", *paths, hdu=hdu, on_error=on_error))


def header(
    frames: Frames | None = None, template: str | None = None, *, scale: float | None = None, pad: float = 0.0, north_up: bool = True
) -> Grid:
    """Make a grid."""
    return Grid(*_record("header", frames, template, scale=scale, pad=pad, north_up=north_up))


def project(
    frames: Frames,
    grid: Grid,
    *,
    method: Literal["nearest", "bilinear", "spline"] = "spline",
    order: int = 3,
    jobs: int = 0,
    prior: bool | float = False,
    box: tuple[int, int] | None = None,
    pairs: list[tuple[int, int]] | None = None,
    names: Sequence[str] = (),
    folder: Path | None = None,
    callback: Callable[[int], int] | None = None,
) -> Projected:
    """Resample."""
    return Projected(
        *_record(
            "project",
            frames,
            grid,
            method=method,
            order=order,
            jobs=jobs,
            prior=prior,
            box=box,
            pairs=pairs,
            names=names,
            folder=folder,
            callback=callback,
        )
    )


def overlaps(projected: Projected, *, min_pixels: int = 50) -> Pairs:
    """Compare pairs."""
    return Pairs(*_record("overlaps", projected, min_pixels=min_pixels))


def background(pairs: Pairs | DataFrame | Any, *, slope: bool = True, weight_by: Literal["pixels", "noise"] = "pixels") -> Planes:
    """Fit planes."""
    return Planes(*_record("background", pairs, slope=slope, weight_by=weight_by))


def coadd(
    projected: Projected, planes: Planes | None = None, *, combine: str = "mean", fail: str | None = None, warn: bool = False
) -> Image:
    """Add up."""
    args, kwargs = _record("coadd", projected, planes, combine=combine)
    if fail == "ours":
        raise FormatError("cannot read <b>a.fits</b>", hint="try another file")
    if fail == "theirs":
        raise ZeroDivisionError("division by zero")
    if fail == "stop":
        raise KeyboardInterrupt
    if warn:
        for number in range(3):
            warnings.warn(f"frame {number} left out", SkippedFrameWarning, stacklevel=1)
    return Image(args, kwargs)


def save(product: ToyProduct, path: str, *, overwrite: bool = False) -> ToyProduct:
    """Write."""
    _record("save", product, path, overwrite=overwrite)
    return product


def show(product: ToyProduct, *, kind: str | None = None, width: int = 8) -> ToyProduct:
    """Draw."""
    _record("show", product, kind=kind, width=width)
    return product


def cutout(image: Image, ra: float, dec: float, size: float | None = None) -> Image:
    """Cut."""
    return Image(*_record("cutout", image, ra, dec, size))


STAGES = (images, header, project, overlaps, background, coadd, cutout, save, show)


@dataclass
class ToyRun(Mapping[str, Any]):
    products: dict[str, Any] = field(default_factory=dict)
    named: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    jobs: int = 0

    def __getitem__(self, key: str) -> Any:
        return self.products[key]

    def __iter__(self) -> Any:
        return iter(self.products)

    def __len__(self) -> int:
        return len(self.products)


class ToyBackend:
    """Runs toy stages as the pipeline runs real ones."""

    def __init__(self) -> None:
        self.registry = Registry(STAGES)
        self.recipe: Any = None
        self.how: Any = None

    def run(self, recipe: Any, *, how: Any) -> ToyRun:
        self.recipe, self.how = recipe, how
        progress = how.progress
        run = ToyRun(jobs=how.jobs)
        if how.base is not None:
            run.products.update(how.base.products)
            run.named.update(how.base.named)
        made: list[Any] = list(run.products.values())
        for bound in recipe.steps:
            progress.start(bound.stage, 4)
            progress.advance(2)
            try:
                step = bound.resolve(run.named)
                args, kwargs = call_of(step, made)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    product = step.spec.function(*args, **kwargs)
            except (Exception, KeyboardInterrupt) as error:
                ours = _ours(error, bound.stage)
                ours.context.setdefault("line", bound.line)
                ours.context.setdefault("text", bound.text)
                ours.context["run"] = run
                raise ours from (error if ours is not error else error.__cause__)
            run.warnings += tuple(str(warning.message) for warning in caught)
            progress.finish("done")
            if step.spec.flows:
                made.append(product)
            run.products[step.stage] = product
            if step.name:
                run.named[step.name] = product
        return run

    def plan(self, recipe: Any, *, how: Any) -> Plan:
        self.how = how
        stages = tuple(PlannedStage(step=step, state="to run", note="<b>note</b>") for step in recipe.steps)
        return Plan(stages=stages, notes=(f"{len(recipe.steps)} stages <i>planned</i>",))

    def cache(self, choice: Any) -> RunCache:
        self.choice = choice
        return RunCache(choice.folder or None, memory=choice.memory_mb * 1_000_000 or 10**6)


def _ours(error: BaseException, stage: str) -> NbmosaicError:
    if isinstance(error, NbmosaicError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return MosaicCancelled(f"stopped in {stage}")
    return StepError(f"{stage} failed: {type(error).__name__}: {error}")


def call_of(step: Any, made: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of a resolved step: products by type, then words, then options."""
    args: list[Any] = []
    for parameter in step.spec.inputs:
        if parameter.name in step.inputs:
            args.append(step.inputs[parameter.name])
        else:
            args.append(next((product for product in reversed(made) if parameter.takes.is_instance(product)), None))
    return [*args, *step.words], dict(step.options)
