"""The batch panel: a batch of fits while it runs, what failed and why, and how to stop it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from nbmosaic.notebook.panels.base import Panel, button, html_box, show_picture
from nbmosaic.pipeline.photometry.batch_product import PhotometryBatch
from nbmosaic.pipeline.photometry.watch import BatchState, BatchWatch
from nbmosaic.views.html import error_html, fragment, note_html

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["BatchPanel"]

INTERVAL = 0.4
"""Seconds between two looks at a running batch."""
ROWS = 20
"""Rows of the live table: the last ones."""


class BatchPanel(Panel):
    """Progress, table, failures with their reasons, FWHM against file, and a button that stops the batch.

    The batch runs in a thread, and a thread of the panel looks at it now and then, so everything works while the kernel is idle. Closing the panel
    stops a batch that the panel runs itself (that of an iterator), and leaves one that has a handle of its own.

    Parameters
    ----------
    watch : BatchWatch
        See `nbmosaic.pipeline.photometry.watch.watch_batch`.

    Examples
    --------
    >>> panel = BatchPanel(watch_batch(FitImagePhotometryMP("hst.fits", files)))  # doctest: +SKIP
    >>> panel.cancel()  # doctest: +SKIP
    >>> panel.value.table  # doctest: +SKIP
    """

    kind: ClassVar[str] = "batch"

    def __init__(self, watch: BatchWatch) -> None:
        self._watch = watch
        self._seen = -1
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # the panel's thread and its buttons both draw
        super().__init__()
        self._refresh()
        if self._watch.running:
            self._thread = threading.Thread(target=self._follow, name="nbmosaic batch panel", daemon=True)
            self._thread.start()

    @property
    def value(self) -> PhotometryBatch:
        """The results so far."""
        return self._watch.batch

    @property
    def state(self) -> BatchState:
        """How far the batch is."""
        return self._watch.state

    def cancel(self) -> bool:
        """Stop the batch; what is done is kept. Returns False if it had ended already."""
        stopped = self._watch.cancel()
        self._refresh()
        return stopped

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the batch; returns whether it has come."""
        ended = self._watch.wait(timeout)
        self._refresh()
        return ended

    def select(self, number: int) -> None:
        """Show one of the results."""
        self._list.value = number

    def close(self) -> None:
        """Take the panel off the page; a batch that it runs itself is stopped."""
        self._ended.set()
        if self._watch.own:
            self._watch.cancel()
        with self._lock:
            super().close()
        if self._thread is not None:
            self._thread.join(5.0)

    # Widgets

    def _build(self) -> ipywidgets.Widget:
        import ipywidgets

        self._line, self._table = html_box("nbm-line"), html_box("nbm-table")
        self._plot, self._one = html_box("nbm-plot"), html_box("nbm-one")
        self._bar = ipywidgets.IntProgress(
            value=0, min=0, max=1, description="done", tooltip="images that are done", style={"description_width": "initial"}
        )
        self._cancel = button(
            "Cancel", "stop the batch; fits that are done are kept", self.guarded(lambda _: self._on_cancel()), icon="stop"
        )
        self._list = ipywidgets.Select(
            options=(),
            rows=12,
            description="files",
            tooltip="arrow keys go from file to file",
            layout=ipywidgets.Layout(width="26em"),
            style={"description_width": "initial"},
        )
        self._selected = self.guarded(lambda _: self._show_one())
        self._list.observe(self._selected, "value")
        wrap = ipywidgets.Layout(flex_flow="row wrap", grid_gap="8px")
        top = ipywidgets.HBox([self._bar, self._cancel, self._line], layout=wrap)
        middle = ipywidgets.HBox([self._list, self._plot], layout=wrap)
        return ipywidgets.VBox([top, middle, self._one, self._table])

    def _on_cancel(self) -> None:
        if not self.cancel():
            self.say("the batch had ended already")

    def _follow(self) -> None:
        """Look at the batch until it ends (or the panel does)."""
        look = self.guarded(self._refresh)
        while not self._ended.wait(INTERVAL):
            going = self._watch.running
            look()
            if not going:
                return

    def _refresh(self) -> None:
        with self._lock:
            if self._closed:
                return
            state = self._watch.state
            self._bar.max, self._bar.value = max(state.total, 1), state.n_done
            self._cancel.disabled = not state.running
            shown = error_html(state.error) if state.error else None
            self._line.value = str(fragment(note_html(state.line), shown))
            key = state.n_done if state.running else -2  # the end is drawn in any case
            if key != self._seen:
                self._seen = key
                self._show_results(state.batch)

    def _show_results(self, batch: PhotometryBatch) -> None:
        labels = self._watch.labels()
        chosen = self._list.value
        self._list.unobserve(self._selected, "value")
        self._list.options = labels
        self._list.value = chosen if chosen is not None and chosen < len(labels) else (0 if labels else None)
        self._list.observe(self._selected, "value")
        if chosen is None and labels:
            self._show_one()
        self._table.value = self._watch.table_html(ROWS)
        if len(batch):
            picture = self._watch.quick_picture()
            show_picture(self._plot, picture.png, picture.alt)

    def _show_one(self) -> None:
        """The numbers of one file, or why it failed."""
        number = self._list.value
        self._one.value = "" if number is None else self._watch.result_html(number)

    def _static(self) -> Picture:
        return self._watch.picture()

    def _words(self) -> str:
        return self._watch.state.line
