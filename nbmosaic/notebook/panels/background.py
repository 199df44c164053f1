"""The background panel: the model's options, and what they do to corrections, residuals and the mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nbmosaic.notebook.panels.base import Panel, button, html_box, show_picture
from nbmosaic.notebook.panels.match_facts import match_facts
from nbmosaic.pipeline.steering import Steering
from nbmosaic.views.quick_picture import quick_png

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["BackgroundPanel"]

KINDS = {"network of overlaps": "network", "planes": "planes", "levels with errors": "errors", "differences before and after": "residuals"}
WIDTH = 8  # inches


class BackgroundPanel(Panel):
    """Level or slope, weights, prior, reference frames; network, planes, errors and residuals.

    Parameters
    ----------
    steering : Steering
        The match (see `nbmosaic.pipeline.steering.steer`).

    Examples
    --------
    >>> panel = BackgroundPanel(steer(run))  # doctest: +SKIP
    >>> panel.change(slope=False)  # doctest: +SKIP
    >>> panel.value.background.table  # doctest: +SKIP
    """

    kind: ClassVar[str] = "background"

    def __init__(self, steering: Steering) -> None:
        self._first = steering
        self._steering = steering
        super().__init__()
        self._refresh()

    @property
    def value(self) -> Steering:
        """The match as it is steered now."""
        return self._steering

    def change(self, **options: Any) -> None:
        """Change options of the model, as `Steering.change` does."""
        self._steering = self._steering.change(**options).solved()
        self._sync()
        self._refresh()

    def show(self, kind: str) -> None:
        """Show a picture: ``network``, ``planes``, ``errors`` or ``residuals``."""
        self._kind.value = kind

    def reset(self) -> None:
        """Back to the match as it was when the panel was opened."""
        self._steering = self._first
        self._sync()
        self._refresh()

    def _build(self) -> ipywidgets.Widget:
        import ipywidgets

        wide = {"description_width": "initial"}
        steering = self._steering
        self._slope = ipywidgets.Checkbox(value=steering.slope, description="planes", indent=False, tooltip="planes, or levels alone")
        self._robust = ipywidgets.Checkbox(
            value=steering.robust, description="robust", indent=False, tooltip="overlaps that disagree with the rest count less"
        )
        self._weighting = ipywidgets.Dropdown(
            options=("pixels", "noise"), value=steering.weighting, description="weights", style=wide, tooltip="what an overlap counts by"
        )
        self._prior = ipywidgets.Text(
            value=self._prior_text(),
            description="slope prior",
            placeholder="none",
            continuous_update=False,
            style=wide,
            tooltip="expected standard deviation of the slopes (unit per pixel); empty: none",
            layout=ipywidgets.Layout(width="14em"),
        )
        self._reference = ipywidgets.SelectMultiple(
            options=steering.frame_labels(),
            value=steering.reference,
            description="held at zero",
            rows=6,
            style=wide,
            tooltip="frames whose background is taken as right; Ctrl or Shift with the arrow keys selects several",
        )
        self._kind = ipywidgets.ToggleButtons(options=KINDS, value="network", tooltips=list(KINDS), style={"button_width": "auto"})
        self._picture, self._facts = html_box("nbm-picture-box"), html_box("nbm-facts")
        self._before, self._after = html_box("nbm-before"), html_box("nbm-after")
        self._controls = (self._slope, self._robust, self._weighting, self._prior, self._reference)
        self._changed = self.guarded(self._on_change)
        for control in self._controls:
            control.observe(self._changed, "value")
        self._kind.observe(self.guarded(lambda _: self._draw()), "value")
        reset = button("reset", "the match as it was at first", self.guarded(lambda _: self.reset()), icon="undo")
        left = ipywidgets.VBox([*self._controls, reset, self._facts], layout=ipywidgets.Layout(flex="0 0 24em"))
        pictures = ipywidgets.HBox([self._before, self._after])
        return ipywidgets.VBox([ipywidgets.HBox([left, pictures]), self._kind, self._picture])

    def _prior_text(self) -> str:
        return "" if self._steering.slope_prior is None else f"{self._steering.slope_prior:g}"

    def _sync(self) -> None:
        """Controls as the match has it, without an event for each."""
        steering = self._steering
        values = (steering.slope, steering.robust, steering.weighting, self._prior_text(), steering.reference)
        for control, value in zip(self._controls, values, strict=True):
            control.unobserve(self._changed, "value")
            control.value = value
            control.observe(self._changed, "value")

    def _on_change(self, _: Any) -> None:
        self._steering = self._steering.change(
            slope=self._slope.value,
            robust=self._robust.value,
            weighting=self._weighting.value,
            slope_prior=Steering.prior_of(self._prior.value),
            reference=tuple(self._reference.value),
        ).solved()
        self._refresh()

    def _refresh(self) -> None:
        steering = self._steering
        self._facts.value = match_facts(steering)
        stretch = steering.preview_stretch
        show_picture(self._before, quick_png(steering.uncorrected_preview, stretch=stretch), steering.uncorrected_words, "before")
        show_picture(self._after, quick_png(steering.preview, stretch=stretch), steering.preview_words, "after")
        self._draw()

    def _draw(self) -> None:
        picture = self._steering.picture(kind=self._kind.value, width=WIDTH)
        show_picture(self._picture, picture.png, picture.alt)

    def _static(self) -> Picture:
        return self._steering.picture(kind=self._kind.value, width=WIDTH)
