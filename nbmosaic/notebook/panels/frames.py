"""The frames panel: where the frames lie, how deep they cover the sky, which take part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nbmosaic.notebook.panels.base import Panel, button, html_box, show_picture
from nbmosaic.pipeline.frame_choice import FrameChoice
from nbmosaic.views.html import details_html, facts_html, fragment

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["FramesPanel"]


class FramesPanel(Panel):
    """Footprints on the sky, the coverage map, and a list from which frames are taken out and in.

    Parameters
    ----------
    choice : FrameChoice
        See `nbmosaic.pipeline.frame_choice.choose_frames`.

    Examples
    --------
    >>> panel = FramesPanel(choose_frames(run["images"]))  # doctest: +SKIP
    >>> panel.leave_out(3)  # doctest: +SKIP
    >>> panel.value.frames  # doctest: +SKIP
    """

    kind: ClassVar[str] = "frames"

    def __init__(self, choice: FrameChoice) -> None:
        self._choice = choice
        super().__init__()
        self._refresh()

    @property
    def value(self) -> FrameChoice:
        """The choice as it is now; `FrameChoice.frames` is what the next stages take."""
        return self._choice

    def leave_out(self, *indices: int) -> None:
        """Take frames out."""
        self._choose(self._choice.leave_out(*indices))

    def take_in(self, *indices: int) -> None:
        """Take frames in again."""
        self._choose(self._choice.take_in(*indices))

    def show(self, kind: str) -> None:
        """Show ``footprints`` or ``coverage``."""
        self._kind.value = kind

    def _build(self) -> ipywidgets.Widget:
        import ipywidgets

        labels = self._choice.labels()
        self._list = ipywidgets.SelectMultiple(
            options=labels,
            value=self._choice.chosen,
            rows=max(6, min(16, len(labels))),  # a long list is scrolled, a short one takes no more room than it needs
            description="frames",
            tooltip="frames that take part; Ctrl or Shift with click or arrow keys changes the selection",
            layout=ipywidgets.Layout(width="26em"),
            style={"description_width": "initial"},
        )
        self._selected = self.guarded(self._on_select)
        self._list.observe(self._selected, "value")
        self._kind = ipywidgets.ToggleButtons(options=("footprints", "coverage"), tooltips=["outlines on the sky", "number of frames"])
        self._kind.observe(self.guarded(lambda _: self._draw()), "value")
        everything = button("all", "take all frames in", self.guarded(lambda _: self.take_in(*range(len(self._choice.all_frames)))))
        self._facts, self._picture = html_box("nbm-facts"), html_box("nbm-picture-box")
        left = ipywidgets.VBox([self._list, everything, self._facts], layout=ipywidgets.Layout(flex="0 0 27em"))
        # below the list where the page is narrow: letters of a picture that is shrunk are hard to read
        right = ipywidgets.VBox([self._kind, self._picture], layout=ipywidgets.Layout(flex="1 1 42em", min_width="0"))
        return ipywidgets.HBox([left, right], layout=ipywidgets.Layout(flex_flow="row wrap", grid_gap="0.5em"))

    def _on_select(self, change: Any) -> None:
        self._choose(self._choice.only(*change["new"]))

    def _choose(self, choice: FrameChoice) -> None:
        self._choice = choice
        if tuple(self._list.value) != choice.chosen:
            self._list.unobserve(self._selected, "value")
            self._list.value = choice.chosen
            self._list.observe(self._selected, "value")
        self._refresh()

    def _refresh(self) -> None:
        facts = {"frames that take part": f"{len(self._choice.chosen)} of {len(self._choice.all_frames)}"}
        self._facts.value = str(fragment(facts_html(facts), details_html("as a line of a cell", self._choice.code())))
        self._draw()

    def _draw(self) -> None:
        picture = self._static()
        show_picture(self._picture, picture.png, picture.alt)

    def _static(self) -> Picture:
        return self._choice.coverage() if self._kind.value == "coverage" else self._choice.footprints()
