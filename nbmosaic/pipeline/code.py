"""A recipe as Python code."""

from __future__ import annotations

import keyword
from typing import Any

from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.registry import product_classes, stage_spec
from nbmosaic.pipeline.signatures import StageSpec

__all__ = ["python_code"]


def python_code(recipe: Recipe) -> str:
    """The recipe as stage functions called one after the other.

    Values that have no literal form (arrays, tables) appear as the names under which the caller has to provide them.
    """
    lines = ["import nbmosaic", ""]
    made: list[tuple[str, tuple[type, ...]]] = []
    for step in recipe.steps:
        stage = stage_spec(step.stage)
        variable = step.name or _variable(step.stage)
        arguments = [*_inputs(step, stage, made), *(_literal(word) for word in step.words), *_options(step)]
        lines.append(f"{variable} = nbmosaic.{step.stage}({', '.join(arguments)})")
        made.append((variable, tuple(cls for cls in stage.flows if isinstance(cls, type))))
    return "\n".join(lines) + "\n"


def _variable(stage: str) -> str:
    """A name that does not hide the function."""
    names = {
        "images": "frames",
        "header": "grid",
        "project": "projected",
        "overlaps": "pairs",
        "background": "planes",
        "correct": "corrected",
    }
    return names.get(stage, "mosaic" if stage in {"coadd", "cutout", "shrink"} else f"{stage}_result")


def _inputs(step: Step, stage: StageSpec, made: list[tuple[str, tuple[type, ...]]]) -> list[str]:
    arguments = []
    for parameter in stage.inputs:
        if parameter.name in step.inputs:
            arguments.append(_literal(step.inputs[parameter.name]))
            continue
        wanted = product_classes(parameter)
        variable = next((var for var, classes in reversed(made) if any(issubclass(cls, wanted) for cls in classes)), None)
        if variable is not None:
            arguments.append(variable)
        elif not parameter.required:
            arguments.append(repr(parameter.default))
    return arguments


def _options(step: Step) -> list[str]:
    return [f"{name}={_literal(value)}" for name, value in step.options.items()]


def _literal(value: Any) -> str:
    expression = getattr(value, "expression", None)  # a value that came from `{name}` in a cell
    if isinstance(expression, str):
        return expression
    if isinstance(value, str | int | float | bool | tuple | list | type(None)):
        return repr(value)
    name = type(value).__name__.lower()
    return name if name.isidentifier() and not keyword.iskeyword(name) else "value"
