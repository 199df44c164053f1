"""The pipeline as a cell sees it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any

from nbmosaic.notebook.registry import Registry
from nbmosaic.pipeline.execution import Execution, NoProgress, Progress
from nbmosaic.pipeline.recipe import Recipe

__all__ = ["PipelineBackend"]

HEADER_STAGES = ("images", "header")
"""Stages that read headers and no pixels: a plan runs them to know the sizes."""

BYTES_PER_PIXEL = 10
"""float32 image, float32 coverage, int16 number of frames."""


class PipelineBackend:
    """Stages of `nbmosaic.pipeline.stages`, carried out by `nbmosaic.pipeline.run`; nothing is imported before it is used."""

    @cached_property
    def registry(self) -> Registry:
        """The stages."""
        from nbmosaic.pipeline.stages import STAGES

        return Registry(STAGES)

    def run(self, recipe: Recipe, *, jobs: int, progress: Progress) -> Any:
        """Carry out a recipe and return its run."""
        from nbmosaic.pipeline.run import run_recipe

        return run_recipe(recipe, execution=Execution(jobs=jobs, progress=progress))

    def estimate(self, recipe: Recipe) -> Sequence[str]:
        """Give notes for a plan: sizes and memory, from the headers alone.

        Raises
        ------
        NbmosaicError
            A file is missing or cannot be used.
        """
        from nbmosaic.pipeline.execution import DEFAULT_MEMORY, available_cpus, memory_limit
        from nbmosaic.pipeline.products import Frames, Grid

        notes = []
        leading = tuple(takewhile(lambda step: step.stage in HEADER_STAGES, recipe.steps))
        run = self.run(Recipe(steps=leading), jobs=0, progress=NoProgress()) if leading else None
        for product in () if run is None else run.values():
            notes.append(f"{product.title}, {product.key_number}" if isinstance(product, Frames) else product.title)
            if isinstance(product, Grid):
                size = product.shape[0] * product.shape[1] * BYTES_PER_PIXEL
                notes.append(f"the mosaic takes {size / 1e6:.0f} MB (image, coverage, number of frames)")
        limit = memory_limit()
        notes.append(f"at most {DEFAULT_MEMORY / 1e6:.0f} MB of frames are held at once (option --max-memory of a stage)")
        notes.append(f"{available_cpus()} processors and {limit / 1e9:.1f} GB of memory may be used")
        return notes
