"""The plan of a cell as a page: what runs, what is cached, how large it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.notebook.binding import BoundStep
from nbmosaic.notebook.help import Page, wrapped
from nbmosaic.notebook.scope import Late
from nbmosaic.pipeline.signatures import Parameter
from nbmosaic.views.html import table_html
from nbmosaic.views.markup import Markup, escape, join
from nbmosaic.views.text import table_text

if TYPE_CHECKING:
    from nbmosaic.pipeline.caching.plan import Plan, PlannedStage

__all__ = ["PlanPage"]

COLUMNS = ["line", "stage", "state", "takes", "values", "gives", "size", "peak memory", "as"]


@dataclass(frozen=True, repr=False)
class PlanPage(Page):
    """What a cell would do.

    Attributes
    ----------
    steps : tuple of BoundStep
        The steps.
    plan : Plan
        Their states and sizes.
    """

    steps: tuple[BoundStep, ...]
    plan: Plan

    def rows(self) -> list[tuple[Any, ...]]:
        """Line, stage, state, inputs, values, result, size, memory, name."""
        return [_row(step, self.steps[:number], self.plan.stages[number]) for number, step in enumerate(self.steps)]

    @property
    def notes(self) -> list[str]:
        """What there is to say beside the table."""
        own = [f"line {stage.step.line} ({stage.step.stage}): {stage.note}" for stage in self.plan.stages if stage.note]
        return own + list(self.plan.notes)

    def text(self) -> str:
        """Plain text."""
        table = table_text(self.rows(), COLUMNS, title="Plan (nothing was run)", limit=None, max_width=200)
        return "\n".join([table, *self.notes])

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        # inputs and values may break: sizes and memory, for which one asks, would be out of sight on a narrow page
        rows = [(*row[:3], wrapped(row[3]), wrapped(row[4]), *row[5:]) for row in self.rows()]
        table = table_html(rows, COLUMNS, caption="Plan (nothing was run)", limit=None)
        return join(table, *(Markup(f"<div>{escape(note)}</div>") for note in self.notes))


def _row(step: BoundStep, before: Sequence[BoundStep], planned: PlannedStage) -> tuple[Any, ...]:
    inputs = [_where_from(parameter, step, before) for parameter in step.spec.inputs]
    values = [str(step.source.get(k) or w) for k, w in enumerate(step.words)]
    values += [f"{name}={step.source.get(name) or repr(value)}" for name, value in step.options.items()]
    gives = planned.gives or " or ".join(cls.__name__ for cls in step.spec.returns)
    sizes = ("" if planned.size is None else _bytes_text(planned.size), "" if planned.peak is None else _bytes_text(planned.peak))
    return (str(step.line), step.stage, planned.state, ", ".join(filter(None, inputs)), " ".join(values), gives, *sizes, step.name or "")


def _bytes_text(number: int) -> str:
    return f"{number / 1e3:.0f} kB" if number < 1e6 else f"{number / 1e6:.0f} MB" if number < 1e10 else f"{number / 1e9:.0f} GB"


def _where_from(parameter: Parameter, step: BoundStep, before: Sequence[BoundStep]) -> str:
    if parameter.name in step.inputs:
        given = step.inputs[parameter.name]
        return f"{{{step.source.get(parameter.name) or (given.word if isinstance(given, Late) else parameter.name)}}}"
    maker = next((earlier for earlier in reversed(before) if parameter.takes.holds(earlier.spec.flows)), None)
    return f"{parameter.name} of line {maker.line}" if maker is not None else ""
