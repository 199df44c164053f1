"""What a run knows of itself while it runs: products carry it as provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbmosaic.pipeline.caching.units import UnitUse

__all__ = ["RunNotes", "current_notes", "current_units", "noted"]


@dataclass(frozen=True, kw_only=True)
class RunNotes:
    """Notes of the run that is going on.

    Attributes
    ----------
    code : str
        The recipe as Python code.
    times : sequence of (str, float)
        Stages that are done and the seconds they took.
    units : UnitUse, optional
        Projected frames that outlive the run, where it is cached.
    """

    code: str = ""
    times: Sequence[tuple[str, float]] = ()
    units: UnitUse | None = None


_NOTES: ContextVar[RunNotes | None] = ContextVar("nbmosaic_run_notes", default=None)


def current_notes() -> RunNotes:
    """Notes of the run that is going on; empty where a stage was called by itself."""
    return _NOTES.get() or RunNotes()


def current_units() -> UnitUse | None:
    """Projected frames that outlive the run; None where nothing is cached."""
    return current_notes().units


@contextmanager
def noted(notes: RunNotes) -> Iterator[None]:
    """Make these the notes of the run that is going on."""
    token = _NOTES.set(notes)
    try:
        yield
    finally:
        _NOTES.reset(token)
