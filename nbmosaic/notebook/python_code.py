"""The Python code of a cell, stage by stage."""

from __future__ import annotations

import ast
import builtins
import keyword
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbmosaic.notebook.binding import BoundStep
from nbmosaic.notebook.scope import Late
from nbmosaic.pipeline.signatures import Parameter

__all__ = ["to_python"]


def to_python(steps: Sequence[BoundStep], *, package: str = "nbmosaic") -> str:
    """Python code that does what the steps do.

    Parameters
    ----------
    steps : sequence of BoundStep
        The steps of a cell.
    package : str
        Module that holds the stages.

    Returns
    -------
    str
        Code that runs in the namespace that the cell was bound in.
    """
    names = _variables(steps, package)
    imports = {f"import {package}"}
    lines = []
    for index, step in enumerate(steps):
        call = _call(steps, index, names, package, imports)
        lines.append(f"{names[index]} = {call}" if step.name is not None or step.spec.flows else call)
    return "\n".join([*sorted(imports, reverse=True), "", *lines]) + "\n"


def _producers(steps: Sequence[BoundStep], index: int) -> dict[str, int]:
    """Which earlier step makes each input that is not given by hand."""
    found: dict[str, int] = {}
    for parameter in steps[index].spec.inputs:
        if parameter.name in steps[index].inputs:
            continue
        makers = [k for k in range(index) if parameter.takes.holds(steps[k].spec.flows)]
        if makers:
            found[parameter.name] = makers[-1]
    return found


def _variables(steps: Sequence[BoundStep], package: str) -> list[str]:
    """One variable a step: its name, else the name of its product, unlike any name that the user's expressions use."""
    taken = {package, "Path", *keyword.kwlist, *dir(builtins)} | {step.name for step in steps if step.name is not None}
    for step in steps:
        for code in step.source.values():
            taken |= {node.id for node in ast.walk(ast.parse(code, mode="eval")) if isinstance(node, ast.Name)}
    names = []
    for step in steps:
        base = step.spec.returns[0].__name__.lower() if len(step.spec.returns) == 1 else f"from_{step.stage}"
        name, number = base, 2
        while step.name is None and name in taken:
            name, number = f"{base}_{number}", number + 1
        names.append(step.name or name)
        taken.add(names[-1])
    return names


def _call(steps: Sequence[BoundStep], index: int, names: Sequence[str], package: str, imports: set[str]) -> str:
    step = steps[index]
    producers = _producers(steps, index)
    arguments: list[str] = []
    by_name = False
    for parameter in step.spec.inputs:
        text = _input(step, parameter, names, producers, imports)
        if text is None and step.spec.many:
            text = "None"  # the words come behind it, so its place must be filled
        if text is None:
            by_name = True
        else:
            arguments.append(f"{parameter.name}={text}" if by_name else text)
    for number, value in enumerate(step.words):
        text = step.source.get(number) or _literal(value, imports)
        arguments.append(f"{step.spec.words[number].name}={text}" if by_name else text)
    arguments += [f"{name}={step.source.get(name) or _literal(value, imports)}" for name, value in step.options.items()]
    return f"{package}.{step.stage}({', '.join(arguments)})"


def _input(step: BoundStep, parameter: Parameter, names: Sequence[str], producers: Mapping[str, int], imports: set[str]) -> str | None:
    if parameter.name in step.inputs:
        return step.source.get(parameter.name) or _literal(step.inputs[parameter.name], imports)
    return names[producers[parameter.name]] if parameter.name in producers else None


def _literal(value: Any, imports: set[str]) -> str:
    """Python code of a value that was typed as text."""
    assert not isinstance(value, Late)
    if isinstance(value, Path):
        imports.add("from pathlib import Path")
        return f"Path({str(value)!r})"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, tuple):
        inner = ", ".join(_literal(item, imports) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, imports) for item in value)}]"
    return repr(value)
