"""A recipe as Python code, stage by stage."""

from __future__ import annotations

import ast
import builtins
import keyword
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.registry import stage_spec
from nbmosaic.pipeline.signatures import Parameter, StageSpec

__all__ = ["python_code"]


@dataclass(frozen=True)
class _Line:
    """A step with its stage."""

    step: Step
    spec: StageSpec


def python_code(recipe: Recipe, *, package: str = "nbmosaic", spec_of: Callable[[Step], StageSpec] | None = None) -> str:
    """Python code that does what a recipe does.

    Parameters
    ----------
    recipe : Recipe
        The steps.
    package : str
        Module that holds the stages.
    spec_of : callable, optional
        Gives the stage of a step; default: the stage of its name.

    Returns
    -------
    str
        Code that runs where the expressions of the recipe have their names. Values without a literal form (arrays, tables) that did not come
        from an expression appear as a name that the caller has to provide.
    """
    lines = [_Line(step, spec_of(step) if spec_of is not None else stage_spec(step.stage)) for step in recipe.steps]
    names = _variables(lines, package)
    imports = {f"import {package}"}
    code = []
    for index, line in enumerate(lines):
        call = _call(lines, index, names, package, imports)
        code.append(f"{names[index]} = {call}" if line.step.name is not None or line.spec.flows else call)
    return "\n".join([*sorted(imports, reverse=True), "", *code]) + "\n"


def _producers(lines: Sequence[_Line], index: int) -> dict[str, int]:
    """Which earlier step makes each input that is not given by hand."""
    found: dict[str, int] = {}
    for parameter in lines[index].spec.inputs:
        if parameter.name in lines[index].step.inputs:
            continue
        makers = [k for k in range(index) if parameter.takes.holds(lines[k].spec.flows)]
        if makers:
            found[parameter.name] = makers[-1]
    return found


def _variables(lines: Sequence[_Line], package: str) -> list[str]:
    """One variable a step: its name, else the name of its product, unlike any name that the user's expressions use."""
    taken = {package, "Path", *keyword.kwlist, *dir(builtins)} | {line.step.name for line in lines if line.step.name is not None}
    for line in lines:
        for code in line.step.source.values():
            taken |= {node.id for node in ast.walk(ast.parse(code, mode="eval")) if isinstance(node, ast.Name)}
    names = []
    for line in lines:
        base = line.spec.returns[0].__name__.lower() if len(line.spec.returns) == 1 else f"from_{line.spec.name}"
        name, number = base, 2
        while line.step.name is None and name in taken:
            name, number = f"{base}_{number}", number + 1
        names.append(line.step.name or name)
        taken.add(names[-1])
    return names


def _call(lines: Sequence[_Line], index: int, names: Sequence[str], package: str, imports: set[str]) -> str:
    step, spec = lines[index].step, lines[index].spec
    producers = _producers(lines, index)
    arguments: list[str] = []
    by_name = False
    for parameter in spec.inputs:
        text = _input(step, parameter, names, producers, imports)
        if text is None and spec.many:
            text = "None"  # the words come behind it, so its place must be filled
        if text is None:
            by_name = True
        else:
            arguments.append(f"{parameter.name}={text}" if by_name else text)
    for number, value in enumerate(step.words):
        text = step.source.get(number) or _literal(value, imports)
        arguments.append(f"{spec.words[number].name}={text}" if by_name else text)
    arguments += [f"{name}={step.source.get(name) or _literal(value, imports)}" for name, value in step.options.items()]
    return f"{package}.{step.stage}({', '.join(arguments)})"


def _input(step: Step, parameter: Parameter, names: Sequence[str], producers: Mapping[str, int], imports: set[str]) -> str | None:
    if parameter.name in step.inputs:
        return step.source.get(parameter.name) or _literal(step.inputs[parameter.name], imports)
    return names[producers[parameter.name]] if parameter.name in producers else None


def _literal(value: Any, imports: set[str]) -> str:
    """Python code of a value."""
    if isinstance(value, Path):
        imports.add("from pathlib import Path")
        return f"Path({str(value)!r})"
    if hasattr(value, "dtype") and not getattr(value, "ndim", 1):  # a number of numpy: its repr needs numpy's names
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, tuple):
        inner = ", ".join(_literal(item, imports) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, imports) for item in value)}]"
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    name = type(value).__name__.lower()
    return name if name.isidentifier() and not keyword.iskeyword(name) else "value"
