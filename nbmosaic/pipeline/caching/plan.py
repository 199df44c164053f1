"""What a recipe would do, from the headers alone: which stages are cached, how large their results are, how much memory they need."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from nbmosaic.errors import NbmosaicError
from nbmosaic.pipeline.caching.cache import RunCache, size_of
from nbmosaic.pipeline.caching.keys import Unkeyable
from nbmosaic.pipeline.execution import Execution, available_cpus, memory_limit, parse_memory
from nbmosaic.pipeline.products import Frames, Grid, Product
from nbmosaic.pipeline.progress import memory_used
from nbmosaic.pipeline.projecting import KEPT_FRACTION, projection_plan
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.registry import stage_spec
from nbmosaic.pipeline.run import Run, check_flow, inputs_of, run_recipe
from nbmosaic.pipeline.signatures import StageSpec

__all__ = ["Plan", "PlannedStage", "plan_recipe"]

HEADER_STAGES = ("images", "header")
"""Stages that read headers and no pixels: a plan runs them to know the sizes."""
PYTHON = 85_000_000
"""Bytes of Python and the packages that a plan loads, where the system does not tell."""
KERNELS = 115_000_000
"""Bytes of the compiler and the kernels, which are loaded when the first frame is projected."""
PLANES_AT_WORK = 4
"""float32 planes of a frame that a thread holds while it projects one: measured, 16 frames of 2048 x 2048 peak at 366 MB, planned are 378."""
PAIRS_AT_WORK = 8
"""float32 planes of the region that two frames share while they are compared."""


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """What a step would do.

    Attributes
    ----------
    step : Step
        The step.
    state : str
        ``cached``, ``to run``, or how many frames are to run.
    gives : str
        The result in words, where it is known.
    size : int, optional
        Bytes of the result.
    peak : int, optional
        Bytes of memory that the process would use at most.
    note : str
        Why the step is never cached, if it is not.
    """

    step: Step
    state: str
    gives: str = ""
    size: int | None = None
    peak: int | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a recipe would do.

    Attributes
    ----------
    stages : tuple of PlannedStage
        The steps.
    notes : tuple of str
        What is worth saying of the whole.
    """

    stages: tuple[PlannedStage, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _NotMade:
    """Stands for a product that would be made; an expression that looks into it fails, so that no older product of its name is taken."""

    key: str


@dataclass
class _Known:
    """What is known of the products of the steps before, without running them."""

    cache: RunCache
    execution: Execution
    fresh: set[int]
    made: list[tuple[StageSpec, Product | str]] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, _NotMade] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)
    boxes: list[Any] = field(default_factory=list)
    stored: int = 0
    grid: Grid | None = None

    def latest(self, wanted: tuple[type, ...]) -> Product | str | None:
        """The latest product of one of the classes, or the key of one that is not made yet."""
        for spec, product in reversed(self.made):
            if isinstance(product, Product):
                if isinstance(product, wanted):
                    return product
            elif any(isinstance(cls, type) and issubclass(cls, wanted) for cls in spec.flows):
                return product
        return None


def plan_recipe(
    recipe: Recipe, *, execution: Execution, cache: RunCache | None = None, fresh: Collection[int] = (), base: Run | None = None
) -> Plan:
    """Say what a recipe would do; only headers are read.

    Parameters
    ----------
    recipe : Recipe
        The steps.
    execution : Execution
        How they would run.
    cache : RunCache, optional
        What may be there already.
    fresh : collection of int
        Numbers of the steps that would run in any case.
    base : Run, optional
        A run whose products are already there.

    Raises
    ------
    NbmosaicError
        A file is missing or cannot be used, or a step lacks an input.
    """
    check_flow(recipe, base=base)
    known = _Known(cache=cache if cache is not None else RunCache(memory=0), execution=execution, fresh=set(fresh))
    if base is not None:
        known.made = [(stage_spec(name), product) for name, product in base.products.items()]
        known.named = dict(base.named)
    leading = tuple(takewhile(lambda step: step.stage in HEADER_STAGES, recipe.steps)) if base is None else ()
    states = [_state_before(step, number, known) for number, step in enumerate(leading)] if cache is not None else []
    done = run_recipe(Recipe(steps=leading), execution=Execution(jobs=execution.jobs), cache=cache) if leading else None
    stages = [_headers(step, done, states[number] if states else "to run", known) for number, step in enumerate(leading) if done]
    for number, step in enumerate(recipe.steps[len(leading) :], len(leading)):
        stages.append(_planned(number, step, known, cached=cache is not None))
    return Plan(stages=tuple(stages), notes=_notes(done, cache, execution))


def _state_before(step: Step, number: int, known: _Known) -> str:
    """Whether a header stage is cached, before the plan itself runs it."""
    if number in known.fresh or number > 0:
        return "to run" if number in known.fresh else "as the line before"
    try:
        return "cached" if known.cache.peek(known.cache.key(step.resolve({}), stage_spec(step.stage), {})) else "to run"
    except (Unkeyable, NbmosaicError):
        return "to run"


def _headers(step: Step, done: Run, state: str, known: _Known) -> PlannedStage:
    product = done[step.name] if step.name else done[step.stage]
    known.made.append((stage_spec(step.stage), product))
    if step.name:
        known.named[step.name] = product
    if state == "as the line before":
        state = "to run" if known.renewed else "cached"
    if state == "to run":
        known.renewed.add(known.cache.keys.key(product))
    if isinstance(product, Grid):
        known.grid = product
    return PlannedStage(step=step, state=state, gives=product.title, size=size_of(product) or None)


def _planned(number: int, step: Step, known: _Known, *, cached: bool) -> PlannedStage:
    """Plan a step that reads pixels or products."""
    stage = stage_spec(step.stage)
    key, note = "", ""
    inputs: Mapping[str, Any] = {}
    try:
        step = step.resolve(known.named | known.waiting)
        inputs = {name: value.key if isinstance(value, _NotMade) else value for name, value in inputs_of(step, stage, known.latest).items()}
        key = known.cache.key(step, stage, inputs)
    except Unkeyable as error:
        note = f"never cached: {error} cannot be told apart from others"
    except NbmosaicError:
        if not known.waiting:
            raise
        note = f"depends on {', '.join(sorted(known.waiting))}"
    anew = number in known.fresh or any(_key(value, known) in known.renewed for value in inputs.values())
    entry = known.cache.peek(key) if key and cached and not anew else None
    if entry is not None:
        product = entry.product
        known.made.append((stage, product))
        if step.name:
            known.named[step.name] = product
            known.waiting.pop(step.name, None)
        if isinstance(product, Grid):
            known.grid = product
        if step.stage == "project":
            known.boxes = [info.box for info in product.infos]  # type: ignore[attr-defined]
            known.stored = entry.size
        return PlannedStage(step=step, state="cached", gives=product.title, size=entry.size or None)
    known.renewed.add(key) if anew and key else None
    known.made.append((stage, key or f"unknown {number}"))
    if step.name:
        known.waiting[step.name] = _NotMade(key or f"unknown {number}")
    return _estimated(step, inputs, known, note=note, fresh=anew)


def _key(value: Any, known: _Known) -> str:
    return value if isinstance(value, str) else known.cache.keys.key(value) if isinstance(value, Product) else ""


def _estimated(step: Step, inputs: Mapping[str, Any], known: _Known, *, note: str, fresh: bool) -> PlannedStage:
    """Sizes of a step that would run, as far as headers tell them."""
    limit = parse_memory(step.options.get("max_memory") or known.execution.max_memory)
    base = (memory_used() or PYTHON) + (0 if "numba" in sys.modules else KERNELS)
    state, gives, size, work = "to run", "", None, 0
    if step.stage == "project":
        frames = next((value for value in inputs.values() if isinstance(value, Frames)), None)
        grid = next((value for value in inputs.values() if isinstance(value, Grid)), None)
        if frames is not None and grid is not None:
            use = known.cache.use_of_units(step, fresh=fresh)
            plan = projection_plan(frames, grid.grid, options=step.options, units=None if use is None or fresh else use.units)
            known.boxes, known.grid = plan.boxes, grid
            size = 4 * plan.n_planes * sum(box.size for box in plan.boxes)
            known.stored = min(size, int(KEPT_FRACTION * limit))
            threads = known.execution.for_pixels(plan.n_pixels).n_threads
            work = known.stored + threads * PLANES_AT_WORK * 4 * max((box.size for box in plan.boxes), default=0)
            gives = f"{len(plan.boxes)} frames"
            if plan.n_known:
                state = f"{len(plan.boxes) - plan.n_known} of {len(plan.boxes)} frames to run"
    elif step.stage == "overlaps" and known.boxes:
        pairs, largest = _pairs(known.boxes)
        gives, size, work = f"about {pairs} pairs", 300 * pairs, known.stored + PAIRS_AT_WORK * 4 * largest
    elif step.stage == "coadd" and known.grid is not None:
        ny, nx = known.grid.shape
        size = ny * nx * 5
        in_memory = size <= limit and step.options.get("output") is None
        gives, work = f"mosaic of {nx} x {ny} pixels", known.stored + limit // 2 + (size if in_memory else 0)
    return PlannedStage(step=step, state=state, gives=gives, size=size, peak=base + work if work else None, note=note)


def _pairs(boxes: Sequence[Any]) -> tuple[int, int]:
    """Number of pairs of overlapping boxes, and pixels of the largest region that two share."""
    from nbmosaic.core.matching.pairs import find_pairs

    rows = np.array([(box.ymin, box.ymax, box.xmin, box.xmax) for box in boxes], np.int64).reshape(-1, 4)
    pairs = find_pairs(rows)
    largest = max((boxes[i].intersection(boxes[j]).size for i, j in pairs), default=0)
    return len(pairs), largest


def _notes(done: Run | None, cache: RunCache | None, execution: Execution) -> tuple[str, ...]:
    notes = [f"warning: {text}" for text in (done.warnings if done is not None else ())]
    notes.append(f"at most {execution.max_memory / 1e6:.0f} MB of frames are held at once (option --max-memory of a stage)")
    notes.append(f"{available_cpus()} processors and {memory_limit() / 1e9:.1f} GB of memory may be used")
    if cache is not None:
        notes.append(f"the cache holds {len(cache)} products in {cache.size / 1e6:.0f} of {cache.memory / 1e6:.0f} MB")
    return tuple(notes)
