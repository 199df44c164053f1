"""The pipeline as a cell sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbmosaic.notebook.how import CacheChoice, How
from nbmosaic.notebook.registry import Registry
from nbmosaic.pipeline.recipe import Recipe

if TYPE_CHECKING:
    from nbmosaic.pipeline.caching.cache import RunCache
    from nbmosaic.pipeline.caching.plan import Plan
    from nbmosaic.pipeline.execution import Execution

__all__ = ["PipelineBackend"]


class PipelineBackend:
    """Stages of `nbmosaic.pipeline.stages`, carried out by `nbmosaic.pipeline.run`; nothing is imported before it is used."""

    @cached_property
    def registry(self) -> Registry:
        """The stages."""
        from nbmosaic.pipeline.stages import STAGES

        return Registry(STAGES)

    def run(self, recipe: Recipe, *, how: How) -> Any:
        """Carry out a recipe and return its run."""
        from nbmosaic.pipeline.run import run_recipe

        with _execution(how) as execution:
            return run_recipe(recipe, execution=execution, base=how.base, cache=self._cache_of(how), fresh=how.fresh)

    def plan(self, recipe: Recipe, *, how: How) -> Plan:
        """Say what a recipe would do: what is cached, sizes and memory, from the headers alone.

        Raises
        ------
        NbmosaicError
            A file is missing or cannot be used.
        """
        from nbmosaic.pipeline.caching.plan import plan_recipe
        from nbmosaic.pipeline.execution import Execution, parse_memory

        execution = Execution(jobs=how.jobs, max_memory=parse_memory(how.max_memory or None), scratch=how.scratch or None)
        return plan_recipe(recipe, execution=execution, cache=self._cache_of(how), fresh=how.fresh, base=how.base)

    def cache(self, choice: CacheChoice) -> RunCache:
        """The cache that a configuration means, with its budgets."""
        from nbmosaic.pipeline.caching.cache import DISK_BUDGET, MEMORY_PART, as_cache
        from nbmosaic.pipeline.execution import memory_limit

        cache = as_cache(choice.folder or True)
        assert cache is not None
        cache.memory = choice.memory_mb * 1_000_000 or memory_limit() // MEMORY_PART
        cache.units.budget = choice.disk_mb * 1_000_000 or DISK_BUDGET
        cache.shrink(cache.memory)
        return cache

    def _cache_of(self, how: How) -> RunCache | None:
        return None if how.cache is None else self.cache(how.cache)


@contextmanager
def _execution(how: How) -> Iterator[Execution]:
    """How the stages are executed; worker processes live as long as the run and end with it, however it ends."""
    from nbmosaic.pipeline.execution import Execution, parse_memory

    execution = Execution(
        jobs=how.jobs, max_memory=parse_memory(how.max_memory or None), scratch=how.scratch or None, progress=how.progress
    )
    if how.start_method == "threads":
        yield execution
        return
    from dataclasses import replace

    from nbmosaic.pipeline.worker_pool import WorkerPool

    pool = WorkerPool(execution.n_threads, how.start_method)
    try:
        if how.with_pool is not None:
            how.with_pool(pool)
        yield replace(execution, executor=pool)
    finally:
        pool.stop()
