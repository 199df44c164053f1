"""What the stages need and take, read from their signatures."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nbmosaic.errors import ConfigError
from nbmosaic.pipeline.products import Product
from nbmosaic.pipeline.recipe import did_you_mean

__all__ = ["StageSignature", "product_types", "stage_names", "stage_signature"]

RUN_OPTIONS = ("jobs", "executor", "max_memory", "scratch", "progress")
"""Options that say how to run, not what to compute."""


@dataclass(frozen=True)
class StageSignature:
    """One stage.

    Attributes
    ----------
    name : str
        Name.
    function : callable
        The stage function.
    inputs : mapping
        Parameter name to the product classes it takes.
    optional_inputs : frozenset of str
        Inputs that may be missing.
    words : tuple of str
        Names of the positional parameters that are not products.
    many_words : bool
        Whether the last of them takes any number of words.
    options : mapping of str to inspect.Parameter
        Keyword options.
    """

    name: str
    function: Callable[..., Any]
    inputs: Mapping[str, tuple[type, ...]]
    optional_inputs: frozenset[str]
    words: tuple[str, ...]
    many_words: bool
    options: Mapping[str, inspect.Parameter]


def product_types(annotation: Any) -> tuple[type, ...]:
    """Product classes in an annotation (``Frames | None`` gives ``(Frames,)``)."""
    members = typing.get_args(annotation) if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union else (annotation,)
    return tuple(member for member in members if isinstance(member, type) and issubclass(member, Product))


def signature_of(function: Callable[..., Any]) -> StageSignature:
    """Read the signature of a stage function."""
    hints = typing.get_type_hints(function)
    inputs: dict[str, tuple[type, ...]] = {}
    optional, words, options, many = set(), [], {}, False
    for name, parameter in inspect.signature(function).parameters.items():
        wanted = product_types(hints.get(name))
        if parameter.kind is parameter.KEYWORD_ONLY:
            options[name] = parameter.replace(annotation=hints.get(name, Any))
        elif wanted:
            inputs[name] = wanted
            if parameter.default is not parameter.empty:
                optional.add(name)
        else:
            words.append(name)
            many = many or parameter.kind is parameter.VAR_POSITIONAL
    return StageSignature(function.__name__, function, inputs, frozenset(optional), tuple(words), many, options)


@lru_cache(maxsize=1)
def _signatures() -> Mapping[str, StageSignature]:
    from nbmosaic.pipeline.stages import STAGES

    return {function.__name__: signature_of(function) for function in STAGES}


def stage_names() -> tuple[str, ...]:
    """Names of the stages, in the order of work."""
    return tuple(_signatures())


def stage_signature(name: str) -> StageSignature:
    """The stage of this name.

    Raises
    ------
    ConfigError
        There is none; with the nearest name.
    """
    known = _signatures()
    if name not in known:
        raise ConfigError(f"there is no stage {name!r}", hint=did_you_mean(name, known) or f"stages: {', '.join(known)}")
    return known[name]
