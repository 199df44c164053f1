"""A bound cell, run: the recipe goes to the pipeline, what comes back goes to the user's names, also when it failed half-way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbmosaic.errors import MosaicCancelled, NbmosaicError, StepError
from nbmosaic.notebook.binding import Backend, BoundStep
from nbmosaic.notebook.how import How
from nbmosaic.pipeline.execution import Progress
from nbmosaic.pipeline.recipe import Recipe

__all__ = ["point", "run_steps"]


def run_steps(steps: Sequence[BoundStep], backend: Backend, *, name: str | None, how: How, publish: Callable[[Any], None]) -> Any:
    """Run the steps of a cell.

    Parameters
    ----------
    steps : sequence of BoundStep
        The steps.
    backend : Backend
        Carries them out.
    name : str, optional
        Name of the run.
    how : How
        How to run them.
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
    progress = how.progress
    close = getattr(progress, "close", None)
    try:
        run = backend.run(Recipe(steps=tuple(steps), name=name), how=how)
    except (Exception, KeyboardInterrupt) as error:
        ours = _ours(error, steps, how)
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


def _ours(error: BaseException, steps: Sequence[BoundStep], how: How) -> NbmosaicError:
    """The error as one of ours, with the line of the cell."""
    stopped = getattr(how.progress, "stopped", None)
    if isinstance(error, KeyboardInterrupt | MosaicCancelled) or (stopped is not None and stopped.is_set()):
        return _cancelled(error, steps, how)
    if isinstance(error, NbmosaicError):
        point(error, steps)
        return error
    state = getattr(how.progress, "state", None)
    where = f"{state.stage} failed" if state is not None and state.stage else "the run failed"
    return StepError(f"{where}: {type(error).__name__}: {error}", hint="%tb shows all of it")  # a defect: the backend names the step


def _cancelled(error: BaseException, steps: Sequence[BoundStep], how: How) -> MosaicCancelled:
    context = dict(error.context) if isinstance(error, NbmosaicError) else {}
    where = _where(steps, context.get("line"), how.progress)
    kept = "finished stages and frames are kept: run the cell again to go on"
    context.pop("column", None)
    return MosaicCancelled(f"stopped{where}", hint=kept if how.cache is not None else "nothing is kept: --no-cache", **context)


def _where(steps: Sequence[BoundStep], line: Any, progress: Progress) -> str:
    state = getattr(progress, "state", None)
    step = next((s for s in steps if s.line == line), None)
    stage = step.stage if step is not None else (state.stage if state is not None else "")
    step = step or next((s for s in steps if s.stage == stage), None)
    count = f", {state.done}/{state.total}" if state is not None and state.stage == stage and state.total else ""
    return f" in line {step.line} ({stage}{count})" if step is not None else ""
