"""The stages by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from nbmosaic.notebook.cellwords import Place
from nbmosaic.pipeline.signatures import StageSpec, closest
from nbmosaic.pipeline.values import ProductClass, ValueType

__all__ = ["Registry"]


class Registry(Mapping[str, StageSpec]):
    """Stages by name, in the order of work.

    Parameters
    ----------
    functions : iterable of callable
        The stage functions.
    """

    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        self._stages = {spec.name: spec for spec in map(StageSpec.from_function, functions)}

    def __getitem__(self, name: str) -> StageSpec:
        return self._stages[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    def find(self, name: str, place: Place) -> StageSpec:
        """Find the stage of this name.

        Raises
        ------
        CellError
            There is none; with the nearest name.
        """
        if name in self._stages:
            return self._stages[name]
        near = closest(name, self._stages)
        hint = f"did you mean {near}?  %mosaic lists the stages" if near else f"stages: {', '.join(self._stages)}"
        raise place.error(f"there is no stage {name!r}", hint=hint)

    def makers(self, wanted: ValueType) -> dict[ProductClass, str]:
        """Find the wanted classes that a stage makes, with the first such stage; turning a class into itself (cutout) does not count."""
        found: dict[ProductClass, str] = {}
        for cls in wanted.classes:
            for spec in self._stages.values():
                if spec.flows == (cls,) and not any(parameter.takes.holds(spec.flows) for parameter in spec.inputs):
                    found.setdefault(cls, spec.name)
        return found
