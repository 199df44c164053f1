"""Runs: a recipe carried out step by step, with what each step made, how long it took, and what it warned of."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sized
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import (
    CellError,
    ConfigError,
    HeaderTemplateError,
    MosaicCancelled,
    NbmosaicError,
    NbmosaicWarning,
    StepError,
    TableFormatError,
)
from nbmosaic.pipeline.caching.steps import StepMemory, StepResult
from nbmosaic.pipeline.code import python_code
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.notes import RunNotes, noted
from nbmosaic.pipeline.outputs import check_outputs, check_sources_kept
from nbmosaic.pipeline.products import Background, Corrected, Frames, Mosaic, Product, Projected
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.registry import RUN_OPTIONS, product_classes, stage_spec
from nbmosaic.pipeline.signatures import StageSpec
from nbmosaic.pipeline.thread_warnings import recorded

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.caching.cache import RunCache

__all__ = ["Run", "StepRecord", "check_flow", "inputs_of", "run_recipe"]


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What became of a step.

    Attributes
    ----------
    step : Step
        The step.
    state : str
        ``ran``, ``cached``, ``failed`` or ``not run``.
    n_in, n_out : int, optional
        Number of items of the main input and of the product.
    key : str
        The number that sums the product up.
    seconds : float
        Wall time.
    error : str
        What stopped it, if it failed.
    """

    step: Step
    state: str = "not run"
    n_in: int | None = None
    n_out: int | None = None
    key: str = ""
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Run(Mapping[str, Product]):
    """A mosaic run: a mapping from stage (or bound name) to product.

    Attributes
    ----------
    recipe : Recipe
        What was asked for.
    log : tuple of StepRecord
        What became of every step.
    products : mapping
        Stage name to product; of a stage that ran twice, the later one.
    named : mapping
        Products bound with ``as NAME``.
    caught : tuple of NbmosaicWarning
        What the steps warned of.
    """

    recipe: Recipe
    log: tuple[StepRecord, ...]
    products: Mapping[str, Product]
    named: Mapping[str, Product] = field(default_factory=lambda: MappingProxyType({}))
    caught: tuple[NbmosaicWarning, ...] = ()

    def __getitem__(self, key: str) -> Product:
        if key in self.products:
            return self.products[key]
        if key in self.named:
            return self.named[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.products)

    def __len__(self) -> int:
        return len(self.products)

    def _ipython_key_completions_(self) -> list[str]:
        return [*self.products, *self.named]

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.recipe.name or "run"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Texts of what the steps warned of."""
        return tuple(map(str, self.caught))

    @property
    def mosaic(self) -> Mosaic:
        """The last mosaic.

        Raises
        ------
        ConfigError
            The run made none.
        """
        found = self.latest((Mosaic,))
        if found is None:
            raise ConfigError(f"{self.name} made no mosaic", hint="add a line `coadd` to the cell")
        return found  # type: ignore[return-value]

    def latest(self, wanted: tuple[type, ...]) -> Product | None:
        """The latest product of one of the wanted classes, or None."""
        for product in reversed(list(self.products.values())):
            if isinstance(product, wanted):
                return product
        return None

    def table(self, stage: str) -> pd.DataFrame:
        """DataFrame of a stage."""
        if stage not in self and stage in {"image", "frames"}:
            stage = "images"
        try:
            return self[stage].table
        except KeyError:
            from nbmosaic.pipeline.recipe import did_you_mean

            known = [*self.products, *self.named]
            raise ConfigError(
                f"{self.name} has no stage {stage!r}", hint=did_you_mean(stage, known) or f"it has {', '.join(known)}"
            ) from None

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Quicklook of the mosaic with sky coordinates; returns Axes."""
        return self.mosaic.plot(ax=ax, **options)

    def panel(self, kind: str | None = None) -> Any:
        """A panel of this run: ``overlaps``, ``background``, ``frames`` or ``viewer``; default: the one that suits best."""
        import nbmosaic  # panels are widgets, of a layer above: they are reached as a user would

        return nbmosaic.panel(self, kind=kind)

    def residuals(self) -> pd.DataFrame:
        """Difference of every overlap before and after correction."""
        background = self.latest((Background,))
        if not isinstance(background, Background):
            raise ConfigError(f"{self.name} has no background model", hint="add a line `background` to the cell")
        return background.residuals

    def save(self, path: str, *, overwrite: bool = False) -> Run:
        """Write the mosaic to a FITS file."""
        from nbmosaic.pipeline.files import save_product

        save_product(self.mosaic, str(path), overwrite=overwrite)
        return self

    def to_python(self) -> str:
        """The run as Python code, stage by stage."""
        return python_code(self.recipe)

    def __repr__(self) -> str:
        from nbmosaic.pipeline.quicklook import run_text

        try:
            return run_text(self)
        except Exception as error:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            return f"<Run {self.name}: {type(error).__name__}: {error}>"

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.quicklook import run_html

        try:
            return run_html(self)
        except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            from nbmosaic.pipeline.quicklook import preformatted

            return preformatted(repr(self))


class _Books:
    """What a run has made so far."""

    def __init__(self, recipe: Recipe, base: Run | None) -> None:
        self.recipe = recipe
        self.records = [StepRecord(step=step) for step in recipe.steps]
        self.order: list[Product] = list(base.products.values()) if base else []
        self.products: dict[str, Product] = dict(base.products) if base else {}
        self.named: dict[str, Product] = dict(base.named) if base else {}
        self.caught: dict[str, NbmosaicWarning] = {}

    def latest(self, wanted: tuple[type, ...]) -> Product | None:
        return next((product for product in reversed(self.order) if isinstance(product, wanted)), None)

    def add(self, step: Step, product: Product) -> None:
        if stage_spec(step.stage).flows:  # what was shown or saved is no new product
            self.order.append(product)
        self.products.pop(step.stage, None)  # a stage that runs again moves to the end
        self.products[step.stage] = product
        if step.name:
            self.named[step.name] = product

    def done(self, number: int, result: StepResult, seconds: float) -> None:
        """Note a step that is done."""
        step, product = self.recipe.steps[number], result.product
        self.add(step, product)
        self.caught |= {text: result.said[text] for text in result.said if text not in self.caught}
        n_out = len(product) if isinstance(product, Sized) else None
        key = ", ".join(filter(None, [product.key_number, result.note]))
        self.records[number] = StepRecord(step=step, state=result.state, n_in=result.n_in, n_out=n_out, key=key, seconds=seconds)

    def run(self) -> Run:
        caught = tuple(self.caught.values())
        return Run(self.recipe, tuple(self.records), MappingProxyType(self.products), MappingProxyType(self.named), caught)

    def failed(self, number: int, began: float, error: NbmosaicError, text: str) -> NbmosaicError:
        """Note a failed step; the error gets the place in the cell and the run so far."""
        step = self.recipe.steps[number]
        self.records[number] = replace(self.records[number], state="failed", seconds=time.perf_counter() - began, error=text)
        if step.line is not None and isinstance(error, HeaderTemplateError | TableFormatError):
            # these have the line of their file, which is not the line of the cell
            error.context |= {f"file_{key}": error.context.pop(key) for key in ("line", "text", "column") if key in error.context}
        error.context.setdefault("line", step.line)
        error.context.setdefault("text", step.text)
        error.context.setdefault("stage", step.stage)
        error.context["run"] = self.run()
        return error


def run_recipe(
    recipe: Recipe,
    *,
    execution: Execution,
    base: Run | None = None,
    cache: RunCache | None = None,
    fresh: Collection[int] = (),
) -> Run:
    """Carry out a recipe.

    Parameters
    ----------
    recipe : Recipe
        The steps.
    execution : Execution
        How to run them; a step's own options go before it.
    base : Run, optional
        A run whose products are already there.
    cache : RunCache, optional
        Keeps what the steps make, and gives what they made before.
    fresh : collection of int
        Numbers of the steps that run in any case, and with them every step that uses what they make.

    Returns
    -------
    Run
        Products, log and warnings.

    Raises
    ------
    NbmosaicError
        The first error; its ``context["run"]`` holds the run as far as it came, ``context["line"]`` and ``context["text"]`` the line of the cell.
    """
    check_flow(recipe, base=base)
    check_outputs(recipe)
    books = _Books(recipe, base)
    memory = None if cache is None else StepMemory(cache, fresh)
    code = python_code(recipe)
    for number, step in enumerate(recipe.steps):
        began = time.perf_counter()
        try:
            notes = RunNotes(code=code, times=[(r.step.stage, r.seconds) for r in books.records[:number]])
            done = _run_step(number, books, execution, memory, notes)
            if isinstance(done.product, Frames):
                check_sources_kept(recipe, done.product)
        except KeyboardInterrupt:
            where = f"line {step.line} " if step.line else ""
            cancelled = MosaicCancelled(f"stopped in {where}({step.stage})", hint="finished stages are kept in the run")
            raise books.failed(number, began, cancelled, "stopped by the user") from None
        except NbmosaicError as error:
            raise books.failed(number, began, error, str(error))  # noqa: B904 - it is the same exception
        except Exception as error:  # a defect, or something that the user's own object raised
            text = " ".join(f"{type(error).__name__}: {error}".split())
            failure = StepError(f"{step.stage} failed: {text}", hint="the traceback tells where", step=step.stage)
            raise books.failed(number, began, failure, text) from error
        books.done(number, done, time.perf_counter() - began)
    return books.run()


def _run_step(number: int, books: _Books, execution: Execution, memory: StepMemory | None, notes: RunNotes) -> StepResult:
    """Carry out a step, or take what it made before."""
    step = books.recipe.steps[number].resolve(books.named)
    stage = stage_spec(step.stage)
    inputs = inputs_of(step, stage, books.latest)
    if memory is None:
        with noted(notes):
            return _call(step, stage, inputs, execution)
    key = memory.key(number, step, stage, inputs)
    if (found := memory.find(number, key)) is not None:
        return found
    units = memory.units(number, step)
    began = time.perf_counter()
    with noted(replace(notes, units=units)):
        done = _call(step, stage, inputs, execution)
    return memory.keep(number, key, step, done, units, time.perf_counter() - began)


def _call(step: Step, stage: StageSpec, inputs: dict[str, Any], execution: Execution) -> StepResult:
    """Call the function of a stage."""
    options = dict(step.options)
    takes = {parameter.name for parameter in stage.options}
    for name, value in _run_options(execution).items():
        if name in takes:
            options.setdefault(name, value)
    first = next(iter(inputs.values()), None)
    n_in = len(first) if isinstance(first, Sized) else None
    with recorded() as caught:
        if stage.many:
            product = stage.function(*inputs.values(), *step.words, **options)
        else:
            words = (parameter.name for parameter in stage.words)
            product = stage.function(**inputs, **dict(zip(words, step.words, strict=False)), **options)
    for warning in caught:
        if not issubclass(warning.category, NbmosaicWarning) and not _from_libraries(warning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    said = {str(warning.message): warning.message for warning in caught if isinstance(warning.message, NbmosaicWarning)}
    return StepResult(product=product, n_in=n_in, said=said)


def _from_libraries(warning: warnings.WarningMessage) -> bool:
    """Astropy mends many headers and says so each time; what matters of that is in our own warnings."""
    return warning.category.__module__.startswith("astropy")


def _run_options(execution: Execution) -> dict[str, Any]:
    values = {
        "jobs": execution.jobs,
        "executor": execution.executor,
        "max_memory": execution.max_memory,
        "scratch": execution.scratch,
        "progress": execution.progress,
    }
    return {name: values[name] for name in RUN_OPTIONS}


def inputs_of(step: Step, stage: StageSpec, latest: Callable[[tuple[type, ...]], Any]) -> dict[str, Any]:
    """Products that flow into a step: those given by hand, else the latest of the wanted classes."""
    inputs: dict[str, Any] = {}
    for parameter in stage.inputs:
        if parameter.name in step.inputs:
            inputs[parameter.name] = step.inputs[parameter.name]
        elif (found := latest(product_classes(parameter))) is not None:
            inputs[parameter.name] = found
        elif not parameter.required:
            inputs[parameter.name] = parameter.default
    return inputs


def made_by(wanted: tuple[type, ...]) -> str:
    """Name of the stage that makes one of these products, for messages."""
    makers = {"Frames": "images", "Grid": "header", "Projected": "project", "Corrected": "correct", "Product": "images"}
    return next((makers.get(cls.__name__, cls.__name__.lower()) for cls in reversed(wanted)), "images").replace("mosaic", "coadd")


def check_flow(recipe: Recipe, *, base: Run | None = None) -> None:
    """Check, before anything runs, that every step finds its inputs.

    Raises
    ------
    CellError
        A stage is unknown, or a product that it needs is not made before it.
    """
    made: list[type] = [type(product) for product in base.products.values()] if base else []
    for step in recipe.steps:
        stage = stage_spec(step.stage)
        for parameter in stage.inputs:
            wanted = product_classes(parameter)
            if parameter.name in step.inputs or not parameter.required or any(issubclass(cls, wanted) for cls in made):
                continue
            raise CellError(
                f"{step.stage} needs {' or '.join(cls.__name__ for cls in wanted)}",
                hint=f"add a line `{made_by(wanted)}` before it",
                line=step.line,
                text=step.text,
                column=0,
            )
        made += [cls for cls in stage.flows if isinstance(cls, type)]


def projected_of(run: Run) -> Projected | None:
    """The projected frames of a run, if it has some."""
    found = run.latest((Projected, Corrected))
    return found.projected if isinstance(found, Corrected) else found  # type: ignore[return-value]
