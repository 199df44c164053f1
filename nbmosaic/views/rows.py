"""What a table of stages shows of each stage of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["STATES", "StageRow", "grouped_warnings"]

State = Literal["ran", "cached", "failed", "not run"]
STATES: tuple[State, ...] = ("ran", "cached", "failed", "not run")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage of a run, as the run's table shows it.

    Attributes
    ----------
    stage : str
        Name of the stage.
    state : {"ran", "cached", "failed", "not run"}
        What became of it.
    inputs, outputs : str
        What went in and came out, in words (``"16 frames"``, ``"42 pairs"``).
    key : str
        The number that tells most about the result (``"largest map error 3e-5 px"``).
    seconds : float, optional
        Time taken.
    detail : str
        Message of the error of a failed stage.
    """

    stage: str
    state: State = "not run"
    inputs: str = ""
    outputs: str = ""
    key: str = ""
    seconds: float | None = None
    detail: str = ""


def grouped_warnings(warnings: Iterable[object]) -> list[tuple[str, int]]:
    """Distinct messages with their counts, in the order of their first appearance.

    Parameters
    ----------
    warnings : iterable
        Messages, or warnings whose `str` is the message.

    Returns
    -------
    list of (str, int)
        Message and how often it was given.

    Examples
    --------
    >>> grouped_warnings(["a", "b", "a"])
    [('a', 2), ('b', 1)]
    """
    return list(Counter(str(w) for w in warnings).items())
