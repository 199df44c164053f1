"""The overlaps panel: look at pairs, leave bad ones out, and watch what that does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nbmosaic.notebook.panels.base import Panel, button, html_box, show_picture
from nbmosaic.notebook.panels.match_facts import match_facts
from nbmosaic.pipeline.steering import Steering
from nbmosaic.views.html import fragment, note_html
from nbmosaic.views.quick_picture import quick_png

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd

    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["OverlapsPanel"]

PAIR_WIDTH = 8  # inches of the picture of a pair


class OverlapsPanel(Panel):
    """Pairs of frames: difference, fitted plane, residual; in or out of the match.

    Parameters
    ----------
    steering : Steering
        The match (see `nbmosaic.pipeline.steering.steer`).

    Examples
    --------
    >>> panel = OverlapsPanel(steer(run))  # doctest: +SKIP
    >>> panel.exclude(3)  # doctest: +SKIP
    >>> panel.value.background.table  # doctest: +SKIP
    """

    kind: ClassVar[str] = "overlaps"

    def __init__(self, steering: Steering) -> None:
        self._first = steering
        self._steering = steering
        super().__init__()
        self._refresh()
        self._show_pair()

    @property
    def value(self) -> Steering:
        """The match as it is steered now."""
        return self._steering

    @property
    def row(self) -> int:
        """Row of the pair that is shown."""
        return int(self._list.value)

    @property
    def table(self) -> pd.DataFrame:
        """The overlaps with their differences before and after, and whether they are used."""
        return self._steering.table

    def select(self, row: int) -> None:
        """Show a pair."""
        self._list.value = self._first.checked_row(row)

    def exclude(self, *rows: int) -> None:
        """Leave pairs out of the match."""
        self._steer(self._steering.exclude(*rows))

    def include(self, *rows: int) -> None:
        """Take pairs into the match again."""
        self._steer(self._steering.include(*rows))

    def reset(self) -> None:
        """Back to the match as it was when the panel was opened."""
        self._steer(self._first)

    def _build(self) -> ipywidgets.Widget:
        import ipywidgets

        labels = self._steering.pair_labels()
        self._list = ipywidgets.Select(
            options=labels,
            rows=max(6, min(16, len(labels))),  # a long list is scrolled, a short one takes no more room than it needs
            description="pair",
            tooltip="arrow keys go from pair to pair",
            layout=ipywidgets.Layout(width="24em"),
            style={"description_width": "initial"},
        )
        self._used = ipywidgets.ToggleButton(
            value=True, description="used", tooltip="leave this pair out of the match, or take it in again", icon="check"
        )
        self._used.add_class("nbm-used")
        self._pair, self._facts, self._mosaic = html_box("nbm-pair"), html_box("nbm-facts"), html_box("nbm-mosaic")
        self._selected = self.guarded(self._on_select)
        self._list.observe(self._selected, "value")
        self._used.observe(self.guarded(self._on_used), "value")
        buttons = [
            self._used,
            button("worst pair", "show the pair with the largest remaining difference", self.guarded(self._on_worst)),
            button("reset", "the match as it was at first", self.guarded(lambda _: self.reset()), icon="undo"),
        ]
        left = ipywidgets.VBox([self._list, ipywidgets.HBox(buttons), self._facts], layout=ipywidgets.Layout(flex="0 0 30em"))
        return ipywidgets.VBox([ipywidgets.HBox([left, self._mosaic]), self._pair])

    def _on_select(self, _: Any) -> None:
        self._show_pair()

    def _on_used(self, change: Any) -> None:
        row = self.row
        if bool(change["new"]) == (row in self._steering.excluded):
            (self.include if change["new"] else self.exclude)(row)

    def _on_worst(self, _: Any) -> None:
        self.select(self._steering.worst_row)

    def _steer(self, steering: Steering) -> None:
        self._steering = steering.solved()
        self._refresh()

    def _refresh(self) -> None:
        """Draw what depends on the match; the picture of the pair does not."""
        row = self._list.value
        labels = self._steering.pair_labels()
        if labels != self._list.options:
            self._list.unobserve(self._selected, "value")  # new labels select the first pair for a moment: it need not be drawn
            self._list.options = labels
            self._list.value = row
            self._list.observe(self._selected, "value")
        self._sync_toggle()
        self._facts.value = match_facts(self._steering)
        show_picture(self._mosaic, quick_png(self._steering.preview, stretch=self._steering.preview_stretch), self._steering.preview_words)

    def _sync_toggle(self) -> None:
        used = self.row not in self._steering.excluded
        self._used.value = used
        self._used.description = "used" if used else "left out"
        self._used.icon = "check" if used else "times"

    def _show_pair(self) -> None:
        self._sync_toggle()
        if not self._steering.is_fitted(self.row):
            self._pair.value = str(fragment(note_html(f"{self._list.label}: no plane was fitted, so there is nothing to draw")))
            return
        picture = self._steering.pair_picture(self.row, width=PAIR_WIDTH)
        show_picture(self._pair, picture.png, picture.alt)

    def _static(self) -> Picture:
        return self._steering.picture()
