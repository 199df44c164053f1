"""Where a cell begins: which of its stages run though they are cached, and which earlier run it goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbmosaic.errors import CellError
from nbmosaic.notebook.cellspec import CellSpec, OptionWord
from nbmosaic.notebook.cellwords import Place
from nbmosaic.notebook.detached import DetachedRun
from nbmosaic.notebook.registry import Registry
from nbmosaic.pipeline.signatures import closest
from nbmosaic.pipeline.values import ProductClass

__all__ = ["Beginning", "beginning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where a cell begins.

    Attributes
    ----------
    fresh : frozenset of int
        Numbers of the stages that run in any case.
    base : Run, optional
        A run whose products are already there.
    made : tuple of type
        Classes of these products.
    """

    fresh: frozenset[int] = frozenset()
    base: Any = None
    made: tuple[ProductClass, ...] = ()


def beginning(options: Mapping[str, Any], spec: CellSpec, names: Mapping[str, Any], registry: Registry) -> Beginning:
    """Read ``--fresh`` and ``--from``.

    Raises
    ------
    CellError
        No such stage in the cell, and no such run.
    """
    stages = [line.stage for line in spec.stages]
    fresh = options.get("fresh", False)
    numbers: set[int] = set(range(len(stages))) if fresh is True else set()
    if isinstance(fresh, str):
        for name in filter(None, (part.strip() for part in fresh.split(","))):
            found = _numbers(name, spec)
            if not found:
                raise _unknown("--fresh", name, stages, _place(spec, "fresh"))
            numbers |= found
    start = options.get("from")
    if start is None:
        return Beginning(fresh=frozenset(numbers))
    if found := _numbers(start, spec):
        return Beginning(fresh=frozenset(numbers | set(range(min(found), len(stages)))))
    base: Any = names.get(start)
    if isinstance(base, DetachedRun):
        base = base.result()
    if base is None or not hasattr(base, "products") or not hasattr(base, "named"):
        raise _unknown(
            "--from",
            start,
            [*stages, *(name for name, value in names.items() if hasattr(value, "products") and not name.startswith("_"))],
            _place(spec, "from"),
        )
    made = [cls for name in base.products if name in registry for cls in registry[name].flows]
    return Beginning(fresh=frozenset(numbers), base=base, made=tuple(made))


def _numbers(name: str, spec: CellSpec) -> set[int]:
    """Numbers of the lines of a stage, or of the line that is bound to a name."""
    return {number for number, line in enumerate(spec.stages) if name in {line.stage, line.name}}


def _place(spec: CellSpec, option: str) -> Place:
    return next((token.place for token in spec.options if isinstance(token, OptionWord) and token.name == option), spec.place)


def _unknown(option: str, name: str, known: list[str], place: Place) -> CellError:
    near = closest(name, known)
    what = "stage of this cell, nor a run" if option == "--from" else "stage of this cell"
    hint = f"did you mean {near}?" if near else f"its stages are {', '.join(dict.fromkeys(known))}"
    return place.error(f"{option}: {name!r} is no {what}", hint=hint)
