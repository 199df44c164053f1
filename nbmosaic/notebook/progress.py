"""Progress in a notebook: one line that is updated in place, with a bar in HTML and a form in plain text; no widgets."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from nbmosaic.pipeline.execution import NoProgress, Progress
from nbmosaic.pipeline.progress import ProgressState, TextProgress
from nbmosaic.views.markup import escape

__all__ = ["NotebookProgress", "make_progress"]

Publish = Callable[[dict[str, str], str, bool], None]


def _publish(data: dict[str, str], display_id: str, update: bool) -> None:  # noqa: FBT001 - private, one caller
    from IPython.display import display, update_display

    (update_display if update else display)(data, raw=True, display_id=display_id)


class NotebookProgress:
    """One line under the cell; every stage of a run writes over it.

    Parameters
    ----------
    publish : callable, optional
        Gets the data by mime type, the display's id, and whether it is an update; default: IPython's display.
    state : ProgressState, optional
        Counter, for tests.
    """

    def __init__(self, *, publish: Publish = _publish, state: ProgressState | None = None) -> None:
        self.state = ProgressState() if state is None else state
        self._publish = publish
        self._id = f"nbmosaic-{uuid.uuid4().hex}"
        self._begun = False

    def begin(self) -> None:
        """Open the line in the cell that runs now."""
        with self.state.lock:
            self._draw("begins", bar=False)

    def start(self, stage: str, total: int) -> None:
        """Begin a stage with `total` units."""
        with self.state.lock:
            self.state.begin(stage, total)
            if self.state.due():
                self._draw(self.state.line, bar=True)

    def advance(self, n: int = 1) -> None:
        """Count `n` more units."""
        with self.state.lock:
            self.state.done += n
            if self.state.due():
                self._draw(self.state.line, bar=True)

    def finish(self, summary: str) -> None:
        """End the stage."""
        with self.state.lock:
            self._draw(self.state.summary(summary), bar=False)

    def close(self, summary: str = "") -> None:
        """End the run: leave its summary in the line, if there is a line."""
        with self.state.lock:
            if self._begun:
                self._draw(summary, bar=False)

    def _draw(self, text: str, *, bar: bool) -> None:
        state = self.state
        picture = ""
        if bar and state.total > 0:
            label = escape(f"{state.stage}: {state.done} of {state.total}")
            picture = f'<progress value="{min(state.done, state.total)}" max="{state.total}" aria-label="{label}"></progress> '
        style = "color:var(--jp-content-font-color1,inherit);font-size:var(--jp-content-font-size1,14px)"
        html = f'<div class="nbm-progress" style="{style}">{picture}<span>{escape(text)}</span></div>'
        self._publish({"text/html": html, "text/plain": text}, self._id, self._begun)
        self._begun = True


def make_progress(kind: str, shell: Any) -> Progress:
    """Progress of a kind.

    Parameters
    ----------
    kind : {"auto", "text", "off"}
        ``auto`` draws in a notebook, writes one line in a terminal, and says nothing elsewhere; ``text`` writes the line in any case.
    shell : InteractiveShell
        Where the cell runs.
    """
    if kind == "off":
        return NoProgress()
    if kind == "text":
        return TextProgress(live=True)
    return NotebookProgress() if hasattr(shell, "kernel") else TextProgress()
