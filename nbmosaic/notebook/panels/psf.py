"""The PSF panel: image, model, residual and profile, moved by sliders or by the fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from nbmosaic.errors import InputError
from nbmosaic.notebook.panels.base import Panel, button, html_box, show_picture
from nbmosaic.notebook.panels.psf_controls import NO_STAR, psf_controls
from nbmosaic.notebook.panels.viewer_picture import ViewerPicture
from nbmosaic.pipeline.psf_trial.trial import PsfTrial
from nbmosaic.views.html import details_html, facts_html, fragment, note_html
from nbmosaic.views.numbers import number_text

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.photometry.products import ImagePhotometry, StarPhotometry
    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["PsfPanel"]

HELP = "Click: choose a star. Keys: right and down the next star of the list, left and up the one before."
STEPS = {"ArrowRight": 1, "ArrowDown": 1, "ArrowLeft": -1, "ArrowUp": -1}


class PsfPanel(Panel):
    """A fit by hand: what FWHM, beta, offset, scale and background do to the model, and the fit as a button.

    Parameters
    ----------
    trial : PsfTrial
        What to begin with (see `nbmosaic.pipeline.psf_trial.open.try_psf`).

    Examples
    --------
    >>> panel = PsfPanel(try_psf("hst.fits", "muse.fits"))  # doctest: +SKIP
    >>> panel.set(fwhm=0.7)  # doctest: +SKIP
    >>> panel.fix("beta")  # doctest: +SKIP
    >>> panel.fit().fwhm  # doctest: +SKIP
    """

    kind: ClassVar[str] = "psf"

    def __init__(self, trial: PsfTrial) -> None:
        self._first = self._trial = trial
        self._still = False
        self._drawn: Any = ...  # star that is circled in the image
        self._place: tuple[float, float] | None = None  # of the star, as the fields show it
        super().__init__()
        self._refresh()
        self._show_fit()

    @property
    def value(self) -> PsfTrial:
        """The trial as it is now; `PsfTrial.last_fit` is the last fit."""
        return self._trial

    @property
    def last_fit(self) -> ImagePhotometry | StarPhotometry | None:
        """The last fit; None: there was none."""
        return self._trial.last_fit

    def set(self, **values: Any) -> None:
        """Set parameters, or other options, as `PsfTrial.change` does."""
        self._take(self._trial.change(**values))

    def fix(self, *names: str) -> None:
        """Keep parameters at their values in the fit."""
        self._take(self._trial.fix(*names))

    def free(self, *names: str) -> None:
        """Fit parameters again."""
        self._take(self._trial.free(*names))

    def pick(self, star: Any, *, radius: float | None = None) -> None:
        """Choose a star, as `PsfTrial.pick` does."""
        self._take(self._trial.pick(star, radius=radius))

    def no_star(self) -> None:
        """Choose no star: the fit is one of the whole image."""
        self._take(self._trial.change(star=None, area="everywhere", how="image, imphot" if "imphot" in self._trial.how else "image"))

    def best_scale(self) -> None:
        """Scale and background by least squares."""
        self._take(self._trial.with_best_scale())

    def fit(self, *, from_here: bool | None = None) -> ImagePhotometry | StarPhotometry:
        """Fit, and take its values.

        Parameters
        ----------
        from_here : bool, optional
            Start at the values of the sliders; default: as the box says.

        Returns
        -------
        ImagePhotometry or StarPhotometry
        """
        here = self._controls.from_here.value if from_here is None else from_here
        self._take(self._trial.run_fit(from_here=bool(here)))
        self._show_fit()
        assert self.last_fit is not None
        return self.last_fit

    def reset(self) -> None:
        """Back to the values with which the panel was opened; the last fit stays."""
        self._take(self._first.with_fit(self.last_fit))

    # Widgets

    def _build(self) -> ipywidgets.Widget:
        import ipywidgets

        self._picture = ViewerPicture(self.guarded(self._on_event), HELP)
        self._boxes = {name: html_box(f"nbm-{name}") for name in ("model", "residual", "profile")}
        self._facts, self._texts, self._fitted = html_box("nbm-facts"), html_box("nbm-code"), html_box("nbm-fit")
        self._controls = controls = psf_controls(self._trial)
        self._watch()
        wrap = ipywidgets.Layout(flex_flow="row wrap", grid_gap="8px")
        names = self._trial.names
        titles = {"image": f"image {names[0]}", "model": f"model, from {names[1]}", "residual": "residual / sigma", "profile": "profile"}
        pictures = {"image": self._picture.widget} | self._boxes
        third = ipywidgets.Layout(flex="1 1 220px", max_width="480px", min_width="0")
        titled = [ipywidgets.VBox([_title(titles[name]), pictures[name]], layout=third) for name in ("image", "model", "residual")]
        self._picture.widget.layout.margin = "7px 2px 0"  # as the other two pictures have it, which are HTML
        units = dict.fromkeys(("fwhm", "dx", "dy"), "arcsec") | {"bg": self._trial.unit}
        level = ipywidgets.Layout(align_items="center")
        rows = [
            ipywidgets.HBox([one, controls.fixed[name], _title(units.get(name, ""))], layout=level)
            for name, one in controls.sliders.items()
        ]
        buttons = [
            self._button("fit", "fit the parameters that are not fixed", self.fit, icon="play"),
            self._button("best scale", "scale and background by least squares, the PSF as it is", self.best_scale),
            self._button("reset", "the values of the beginning", self.reset, icon="undo"),
        ]
        left = ipywidgets.VBox([*rows, ipywidgets.HBox([*buttons, controls.from_here], layout=wrap)])
        place = ipywidgets.HBox([controls.ra, controls.dec], layout=wrap)
        take = self._button("take position", "choose the star at right ascension and declination", self._on_place)
        star = [controls.stars, place, ipywidgets.HBox([controls.radius, take])]
        middle = ipywidgets.VBox([controls.how, controls.area, *star, self._facts])
        right = ipywidgets.VBox([_title(titles["profile"]), self._boxes["profile"]])
        below = ipywidgets.HBox([left, middle, right], layout=wrap)
        return ipywidgets.VBox([ipywidgets.HBox(titled, layout=wrap), below, self._texts, self._fitted])

    def _button(self, text: str, help_text: str, action: Callable[[], object], icon: str = "") -> ipywidgets.Button:
        def act(_: Any) -> None:
            action()

        return button(text, help_text, self.guarded(act), icon=icon)

    def _watch(self) -> None:
        """Answer to changes of the controls."""
        controls = self._controls

        def on(widget: ipywidgets.Widget, action: Callable[[Any], object]) -> None:
            def answer(change: Any) -> None:
                action(change["new"])

            guarded = self.guarded(answer)
            widget.observe(lambda change: None if self._still else guarded(change), "value")

        for name, slider in controls.sliders.items():
            on(slider, lambda value, name=name: self._on_slider(name, value))  # type: ignore[misc]
            on(controls.fixed[name], lambda fixed, name=name: (self.fix if fixed else self.free)(name))  # type: ignore[misc]
        on(controls.how, lambda how: self._choose(how=how))
        on(controls.area, lambda area: self._choose(area=area))
        on(controls.stars, self._on_star)
        on(controls.radius, lambda radius: self.pick(tuple(self._trial.star), radius=radius) if self._trial.star is not None else None)

    def _on_slider(self, name: str, value: float) -> None:
        if not self._controls.ranges[name].same(value, getattr(self._trial, name)):
            self.set(**{name: value})

    def _choose(self, **options: Any) -> None:
        """Another fit or area; one that needs a star takes the brightest where none is chosen."""
        trial = self._trial
        if (
            trial.star is None
            and trial.candidates
            and (options.get("area", "everywhere") != "everywhere" or "star" in options.get("how", ""))
        ):
            trial = trial.pick(0)
        self._take(trial.change(**options))

    def _on_star(self, number: int) -> None:
        if number == NO_STAR:
            self.no_star()
        elif number >= 0:
            self.pick(number)
        else:
            self._sync()  # another place is chosen by a click or by its position

    def _on_place(self) -> None:
        controls = self._controls
        if not (controls.ra.value.strip() and controls.dec.value.strip()):
            raise InputError("a position needs RA and Dec", hint="degrees, or 03:32:38.5 and -27:46:52")
        self.pick(f"{controls.ra.value} {controls.dec.value}", radius=controls.radius.value)

    def _on_event(self, event: Mapping[str, Any]) -> None:
        """What a person did on the image."""
        kind = event.get("kind")
        if kind in {"click", "double"}:
            self._take(self._trial.pick_at(float(event.get("right", 0.5)), float(event.get("down", 0.5))))
        elif kind == "key" and event.get("key") in STEPS and self._trial.candidates:
            self._take(self._trial.pick_next(STEPS[str(event["key"])]))

    def _take(self, trial: PsfTrial) -> None:
        before, self._trial = self._trial, trial
        try:
            self._refresh()
        except Exception:
            self._trial = before  # a trial that cannot be drawn is not kept
            self._sync()
            raise

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """While controls are set to what the trial is, they change nothing."""
        before, self._still = self._still, True
        try:
            yield
        finally:
            self._still = before

    def _sync(self) -> None:
        star = self._trial.star
        place = None if star is None else (star.ra, star.dec)
        with self._quiet():
            self._controls.show(self._trial, place=place != self._place)
        self._place = place

    def _refresh(self) -> None:
        trial = self._trial
        if self._drawn is ... or self._drawn != trial.star:
            picture = trial.picture("image")
            self._picture.show(picture.png, picture.alt)
            self._drawn = trial.star
        for name, box in self._boxes.items():
            picture = trial.picture(name)
            show_picture(box, picture.png, picture.alt)
        self._sync()
        facts = trial.facts
        rows = {
            "chi squared": f"{number_text(facts.redchi, 5)} per pixel, {facts.n_pixels} pixels",
            "rms": f"{number_text(facts.rms, 4)} {trial.unit}".rstrip(),
        }
        self._facts.value = str(fragment(facts_html(rows), *map(note_html, trial.notes)))
        self._texts.value = str(fragment(details_html("as Python", trial.code()), details_html("as a line", trial.line())))

    def _show_fit(self) -> None:
        fit = self.last_fit
        self._fitted.value = fit._repr_html_() if fit is not None else ""

    def _static(self) -> Picture:
        return self._trial.picture()

    def _words(self) -> str:
        return self._trial.words


def _title(text: str) -> ipywidgets.HTML:
    box = html_box("nbm-heading")
    box.value = str(fragment(note_html(text)))
    return box
