"""A bound cell, run: the recipe goes to the pipeline, what comes back goes to the user's names, also when it failed half-way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbmosaic.errors import MosaicCancelled, NbmosaicError, StepError
from nbmosaic.notebook.binding import Backend, BoundStep
from nbmosaic.pipeline.execution import Progress
from nbmosaic.pipeline.recipe import Recipe

__all__ = ["point", "run_steps"]


def run_steps(
    steps: Sequence[BoundStep],
    backend: Backend,
    *,
    name: str | None,
    jobs: int,
    progress: Progress,
    publish: Callable[[Any], None],
) -> Any:
    """Run the steps of a cell.

    Parameters
    ----------
    steps : sequence of BoundStep
        The steps.
    backend : Backend
        Carries them out.
    name : str, optional
        Name of the run.
    jobs : int
        Threads; 0: as many as the work is worth, at most all processors; negative: all but that many.
    progress : Progress
        Told of every unit.
    publish : callable
        Gets the run, complete or as far as it came before an error.

    Returns
    -------
    Run

    Raises
    ------
    NbmosaicError
        Whatever stopped the run, with the line of the cell; `MosaicCancelled` if it was the user.
    """
    close = getattr(progress, "close", None)
    try:
        run = backend.run(Recipe(steps=tuple(steps), name=name), jobs=jobs, progress=progress)
    except (Exception, KeyboardInterrupt) as error:
        ours = _ours(error, steps, progress, name)
        partial = ours.context.pop("run", None)
        if partial is not None:
            publish(partial)
        if close is not None:
            close("stopped")
        if ours is error:
            raise
        raise ours from error
    if close is not None:
        close()
    publish(run)
    return run


def point(error: NbmosaicError, steps: Sequence[BoundStep]) -> None:
    """Let an error that knows its line point at the stage."""
    place = next((step.place for step in steps if step.line == error.context.get("line")), None)
    if place is not None and error.context.get("text"):
        error.context.setdefault("column", place.column)


def _ours(error: BaseException, steps: Sequence[BoundStep], progress: Progress, name: str | None) -> NbmosaicError:
    """The error as one of ours, with the line of the cell."""
    if isinstance(error, KeyboardInterrupt | MosaicCancelled):
        return _cancelled(error, steps, progress, name)
    if isinstance(error, NbmosaicError):
        point(error, steps)
        return error
    state = getattr(progress, "state", None)
    where = f"{state.stage} failed" if state is not None and state.stage else "the run failed"
    return StepError(f"{where}: {type(error).__name__}: {error}", hint="%tb shows all of it")  # a defect: the backend names the step


def _cancelled(error: BaseException, steps: Sequence[BoundStep], progress: Progress, name: str | None) -> MosaicCancelled:
    context = dict(error.context) if isinstance(error, NbmosaicError) else {}
    state = getattr(progress, "state", None)
    step = next((s for s in steps if s.line == context.get("line")), None)
    stage = step.stage if step is not None else (state.stage if state is not None else "")
    step = step or next((s for s in steps if s.stage == stage), None)
    count = f", {state.done}/{state.total}" if state is not None and state.stage == stage and state.total else ""
    where = f" in line {step.line} ({stage}{count})" if step is not None else ""
    kept = f"finished stages are kept in {name}" if name else "give the cell a name (%%mosaic NAME) to keep finished stages"
    context.pop("column", None)
    return MosaicCancelled(f"stopped{where}", hint=kept, **context)
