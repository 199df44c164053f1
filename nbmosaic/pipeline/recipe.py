"""Recipes: what a run will do, as frozen values.

A cell, a call of `mosaic` and the command line all become the same `Recipe`; `nbmosaic.pipeline.run.run_recipe` runs it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nbmosaic.errors import ConfigError

__all__ = ["Recipe", "Step", "accepts", "choose", "did_you_mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage of a recipe.

    Attributes
    ----------
    stage : str
        Name of the stage (a function of `nbmosaic.pipeline.stages`).
    words : tuple
        Values for the stage's positional parameters that are not products (file names, coordinates, ...).
    options : mapping
        Keyword options that were given; the rest keep their defaults.
    inputs : mapping
        Products given by hand, by parameter name; the others are the latest products of the wanted type.
    name : str, optional
        Name under which the product is bound (``as NAME``).
    line : int, optional
        Line of the cell that the step came from.
    text : str
        Text of that line.
    source : mapping
        Python code of the values that were written as expressions, by parameter name (words: by their number).
    """

    stage: str
    words: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    inputs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    name: str | None = None
    line: int | None = None
    text: str = ""
    source: Mapping[str | int, str] = field(default_factory=lambda: MappingProxyType({}))

    def resolve(self, named: Mapping[str, Any]) -> Step:  # noqa: ARG002 - a step from a cell has values that wait for `named`
        """Give the step with all its values; `named` are the products bound so far with ``as NAME``."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Steps in order.

    Attributes
    ----------
    steps : tuple of Step
        What to do.
    name : str, optional
        Name of the run.
    """

    steps: tuple[Step, ...]
    name: str | None = None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` or an empty string."""
    near = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f"did you mean '{near[0]}'?" if near else ""


def choose(value: str, allowed: Iterable[str], *, option: str) -> str:
    """`value`, if it is one of `allowed`.

    Raises
    ------
    ConfigError
        Otherwise, with the nearest choice.
    """
    allowed = tuple(allowed)
    if value in allowed:
        return value
    hint = did_you_mean(str(value), allowed) or f"choose one of {', '.join(allowed)}"
    raise ConfigError(f"{option} cannot be {value!r}", hint=hint, option=option)


def accepts(function: Callable[..., Any], option: str) -> bool:
    """Whether `function` takes the keyword `option`."""
    return option in inspect.signature(function).parameters
