"""The stages by name, with what their signatures say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from nbmosaic.errors import ConfigError
from nbmosaic.pipeline.recipe import did_you_mean
from nbmosaic.pipeline.signatures import Parameter, StageSpec

__all__ = ["RUN_OPTIONS", "product_classes", "stage_spec", "stage_specs"]

RUN_OPTIONS = ("jobs", "executor", "max_memory", "scratch", "progress")
"""Options that say how to run, not what to compute."""


@lru_cache(maxsize=1)
def stage_specs() -> Mapping[str, StageSpec]:
    """All stages by name, in the order of work."""
    from nbmosaic.pipeline.stages import STAGES

    return {function.__name__: StageSpec.from_function(function) for function in STAGES}


def stage_spec(name: str) -> StageSpec:
    """The stage of this name.

    Raises
    ------
    ConfigError
        There is none; with the nearest name.
    """
    known = stage_specs()
    if name not in known:
        raise ConfigError(f"there is no stage {name!r}", hint=did_you_mean(name, known) or f"stages: {', '.join(known)}")
    return known[name]


def product_classes(parameter: Parameter) -> tuple[type, ...]:
    """Product classes that an input takes."""
    return tuple(cls for cls in parameter.takes.classes if isinstance(cls, type))
