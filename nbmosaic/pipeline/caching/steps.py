"""What a run asks of the cache, step by step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import NbmosaicWarning
from nbmosaic.pipeline.product import Product

if TYPE_CHECKING:
    from nbmosaic.pipeline.caching.cache import RunCache
    from nbmosaic.pipeline.caching.units import UnitUse
    from nbmosaic.pipeline.recipe import Step
    from nbmosaic.pipeline.signatures import StageSpec

__all__ = ["StepMemory", "StepResult"]


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step gave.

    Attributes
    ----------
    product : Product
        What it made.
    n_in : int, optional
        Items of its main input.
    said : mapping of str to NbmosaicWarning
        What it warned of.
    state : {"ran", "cached"}
        Whether it ran.
    note : str
        What to say beside the number that sums the product up.
    """

    product: Product
    n_in: int | None = None
    said: Mapping[str, NbmosaicWarning] = field(default_factory=dict)
    state: str = "ran"
    note: str = ""


class StepMemory:
    """The cache as the steps of one run use it.

    Parameters
    ----------
    cache : RunCache
        The cache.
    fresh : collection of int
        Numbers of the steps that run in any case.
    """

    def __init__(self, cache: RunCache, fresh: Collection[int]) -> None:
        self._cache = cache
        self._fresh = set(fresh)
        self._renewed: dict[int, Product] = {}

    def key(self, number: int, step: Step, stage: StageSpec, inputs: Mapping[str, Any]) -> str | None:
        """Key of a step; None if it cannot have one."""
        from nbmosaic.pipeline.caching.keys import Unkeyable

        try:
            key = self._cache.key(step, stage, inputs)
        except Unkeyable:
            return None
        if any(id(value) in self._renewed for value in inputs.values()):
            self._fresh.add(number)
        return key

    def find(self, number: int, key: str | None) -> StepResult | None:
        """What a step made before, unless it is to run in any case."""
        entry = None if key is None or number in self._fresh else self._cache.find(key)
        if entry is None:
            return None
        return StepResult(product=self._cache.product(entry), n_in=entry.n_in, said=entry.said, state="cached")

    def units(self, number: int, step: Step) -> UnitUse | None:
        """What the project stage does with the frames on disk."""
        return self._cache.use_of_units(step, fresh=number in self._fresh)

    def keep(self, number: int, key: str | None, step: Step, done: StepResult, units: UnitUse | None, seconds: float) -> StepResult:
        """Keep what a step made."""
        from dataclasses import replace

        from nbmosaic.pipeline.caching.cache import CacheEntry

        if number in self._fresh:
            self._renewed[id(done.product)] = done.product
        if key is not None:
            entry = CacheEntry(stage=step.stage, product=done.product, said=done.said, n_in=done.n_in, seconds=seconds)
            self._cache.keep(key, entry, step)
        if units is None or not units.reused:
            return done
        if units.reused == units.total:
            return replace(done, state="cached")
        return replace(done, note=f"{units.reused} of {units.total} frames kept from before")
