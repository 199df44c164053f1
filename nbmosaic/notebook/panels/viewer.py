"""The viewer panel: an image of any size, its stretch and colours, values and positions under the pointer, blink and three colours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from nbmosaic.errors import InputError
from nbmosaic.notebook.panels.base import Panel, button, html_box
from nbmosaic.notebook.panels.viewer_controls import ViewerControls, viewer_controls
from nbmosaic.notebook.panels.viewer_picture import ViewerPicture
from nbmosaic.pipeline.viewing.viewer import View
from nbmosaic.views.html import details_html, fragment, note_html

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.quicklook import Picture
    from nbmosaic.pipeline.viewing.text import Reading

__all__ = ["ViewerPanel"]

MOVE = 0.25  # of the picture for a press of an arrow button
ARROWS = {"ArrowLeft": (-1, 0), "ArrowRight": (1, 0), "ArrowUp": (0, 1), "ArrowDown": (0, -1)}
WHEEL = 1.25


class ViewerPanel(Panel):
    """An image with everything that helps to look at it.

    Parameters
    ----------
    view : View
        What to show (see `nbmosaic.pipeline.viewing.viewer.open_view`).

    Examples
    --------
    >>> panel = ViewerPanel(open_view(run))  # doctest: +SKIP
    >>> panel.change(stretch="log", low="med", high="max")  # doctest: +SKIP
    >>> panel.read(120, 85).text  # doctest: +SKIP
    """

    kind: ClassVar[str] = "viewer"

    def __init__(self, view: View) -> None:
        self._view = view
        self._still = False
        super().__init__()
        self._refresh()

    @property
    def value(self) -> View:
        """The view as it is now; `View.picture` and `View.reading` work without the panel."""
        return self._view

    def change(self, **options: Any) -> None:
        """Change options, as `View.change` does."""
        self._look(self._view.change(**options))

    def set_limits(self, kind: str) -> None:
        """Take limits of another kind: ``percentile``, ``zscale``, ``sigma``, ``extremes`` or ``value``."""
        self._look(self._view.with_limits(kind))

    def show(self, image: int | str) -> None:
        """Show an image by its number or name."""
        names = self._view.names
        if isinstance(image, str) and image not in names:
            raise InputError(f"there is no image {image!r}", hint=f"the images are {', '.join(names[:6])}")
        self.change(shown=names.index(image) if isinstance(image, str) else image, colours=None)

    def show_colours(self, red: int, green: int, blue: int) -> None:
        """Show three images in red, green and blue."""
        self.change(colours=(red, green, blue))

    def next_image(self) -> None:
        """Show the next of the images that blink."""
        numbers = self._controls.blink.value
        if len(numbers) < 2:
            raise InputError("a blink needs two images", hint="select two or more in the list")
        now = numbers.index(self._view.shown) if self._view.shown in numbers else -1
        self.show(numbers[(now + 1) % len(numbers)])

    def blink(self, *images: int) -> None:
        """Choose the images that blink; the button with the triangle starts it."""
        for image in images:
            self._view.change(shown=image)  # an image that is not there is told
        self._controls.blink.value = images

    def fit(self) -> None:
        """Show the whole image."""
        self._look(self._view.fit())

    def zoom_in(self) -> None:
        """Twice as large, about the cross-hair if it is on the picture."""
        self._look(self._view.zoom_in())

    def zoom_out(self) -> None:
        """Half as large."""
        self._look(self._view.zoom_out())

    def move_by(self, right: float, up: float) -> None:
        """Look further right or up by a part of the picture."""
        self._look(self._view.move_by(right, up))

    def go_to(self, text: str) -> None:
        """Go to a position on the sky, as `View.go_to` does."""
        self._look(self._view.go_to(text))

    def read(self, x: int, y: int) -> Reading:
        """Put the cross-hair on a pixel; returns what is there."""
        self._look(self._view.with_cursor(x, y))
        return self._view.reading()

    def draw_regions(self, source: Any) -> None:
        """Draw the regions of a file or of lines; nothing draws none."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            view = self._view.with_regions(source)
        self._look(view)
        self.say("; ".join(str(warning.message) for warning in caught))

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the picture to a PNG file."""
        self.say(f"{self._view.save(path, overwrite=overwrite)} is written")

    # Widgets

    def _build(self) -> ipywidgets.Widget:
        import ipywidgets

        self._acted = self.guarded(self._on_event)
        self._picture = ViewerPicture(self._on_message)
        self._reading, self._code = html_box("nbm-reading"), html_box("nbm-code")
        self._controls = controls = viewer_controls(self._view)
        self._watch(controls)
        options, row = controls.options, ipywidgets.HBox
        colours = [options["stretch"], controls.limits, row([options["low"], options["high"]]), row([options["bend"], options["exponent"]])]
        colours += [options["colour_map"], options["lines"]]
        centre = self._button("centre", "put the cross-hair in the middle", self._centre)
        saving = row([controls.file, self._button("save picture", "write the picture to the file", self._save)])
        places = [row([controls.x, controls.y, centre]), controls.place, controls.regions, saving, controls.overwrite]
        groups = [ipywidgets.VBox(colours), ipywidgets.VBox(places)]
        if len(self._view.names) > 1:
            groups.append(self._several())
        moves = row(self._moves(), layout=ipywidgets.Layout(flex_flow="row wrap"))
        left = ipywidgets.VBox([self._picture.widget, self._reading, moves, self._code])
        return row([left, *groups], layout=ipywidgets.Layout(flex_flow="row wrap", grid_gap="0.5em 1.5em"))

    def _moves(self) -> list[ipywidgets.Button]:
        """Buttons that move and scale."""
        return [
            self._button("+", "zoom in", self.zoom_in),
            self._button("\N{MINUS SIGN}", "zoom out", self.zoom_out),
            self._button("fit", "the whole image", self.fit),
            self._button("1:1", "one pixel of the picture for one of the image", lambda: self._look(self._view.at_scale(1.0))),
            self._button("\N{LEFTWARDS ARROW}", "look further left", lambda: self.move_by(-MOVE, 0)),
            self._button("\N{UPWARDS ARROW}", "look further up", lambda: self.move_by(0, MOVE)),
            self._button("\N{DOWNWARDS ARROW}", "look further down", lambda: self.move_by(0, -MOVE)),
            self._button("\N{RIGHTWARDS ARROW}", "look further right", lambda: self.move_by(MOVE, 0)),
        ]

    def _several(self) -> ipywidgets.Widget:
        """What there is for several images."""
        import ipywidgets

        controls = self._controls
        step = self._button("next", "show the next of the images that blink", self.next_image)
        blink = [controls.options["shown"], controls.blink, ipywidgets.HBox([controls.play, step])]
        return ipywidgets.VBox([*blink, controls.in_colour, *controls.channels])

    def _button(self, text: str, help_text: str, action: Callable[[], None]) -> ipywidgets.Button:
        return button(text, help_text, self.guarded(lambda _: action()))

    def _watch(self, controls: ViewerControls) -> None:
        """Answer to changes of the fields."""

        def on(widget: ipywidgets.Widget, action: Callable[[Any], object]) -> None:
            guarded = self.guarded(lambda change: _run(action, change["new"]))
            widget.observe(lambda change: None if self._still else guarded(change), "value")

        for name, widget in controls.options.items():
            on(widget, lambda value, name=name: self.change(**({name: value} | ({"colours": None} if name == "shown" else {}))))  # type: ignore[misc]
        on(controls.limits, lambda kind: self._refresh() if kind == "mixed" else self.set_limits(kind))
        on(controls.x, lambda _: self.read(controls.x.value, controls.y.value))
        on(controls.y, lambda _: self.read(controls.x.value, controls.y.value))
        on(controls.place, lambda text: self.go_to(text) if text.strip() else None)
        on(controls.regions, self.draw_regions)
        on(controls.play, lambda _: self.next_image())
        for widget in (controls.in_colour, *controls.channels):
            on(widget, lambda _: self._on_colour())

    def _on_colour(self) -> None:
        controls = self._controls
        red, green, blue = (channel.value for channel in controls.channels)
        self.change(colours=(red, green, blue) if controls.in_colour.value else None)

    def _on_message(self, event: Mapping[str, Any]) -> None:
        """What the browser tells: where the pointer is, which leaves an error on its line, or what a person did."""
        if event.get("kind") == "hover":
            self._read_out(self._view.reading(*self._view.place(*_point(event))))
        elif event.get("kind") == "leave":
            self._read_out(None)
        else:
            self._acted(event)

    def _on_event(self, event: Mapping[str, Any]) -> None:
        """What a person did on the picture."""
        kind = event.get("kind")
        if kind == "key":
            self._on_key(str(event.get("key")), shift=bool(event.get("shift")))
            return
        right, down = _point(event)
        view = self._view
        if kind == "drag":
            self._look(view.move_by(-right, down))
            return
        x, y = view.place(right, down)
        if kind == "click":
            self._look(view.with_cursor(x, y))
        elif kind == "double":
            self._look(view.move_to(x, y).with_cursor(x, y).zoom_in())
        elif kind == "wheel":
            self._look(view.zoom_by(WHEEL ** max(-10, min(10, int(event.get("steps", 0)))), (x, y)))

    def _on_key(self, key: str, *, shift: bool) -> None:
        if key in ARROWS:
            right, up = ARROWS[key]
            self._look(self._view.move_by(MOVE * right, MOVE * up) if shift else self._view.nudge(right, up))
            return
        actions: dict[str, Callable[[], None]] = {
            "+": self.zoom_in,
            "=": self.zoom_in,
            "-": self.zoom_out,
            "0": self.fit,
            "1": lambda: self._look(self._view.at_scale(1.0)),
            "c": self._centre,
            "Enter": self._centre,
            "b": self.next_image,
        }
        if key in actions:
            actions[key]()

    def _centre(self) -> None:
        self._look(self._view.move_to(*(self._view.cursor or self._view.centre)))

    def _save(self) -> None:
        controls = self._controls
        self.save(controls.file.value.strip() or controls.file.placeholder, overwrite=controls.overwrite.value)

    def _look(self, view: View) -> None:
        before = self._view
        self._view = view
        try:
            self._refresh()
        except Exception:
            self._view = before  # a view that cannot be drawn is not kept
            self._sync()
            raise

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """While fields are set to what the view is, they change nothing."""
        before, self._still = self._still, True
        try:
            yield
        finally:
            self._still = before

    def _sync(self) -> None:
        view, controls = self._view, self._controls
        with self._quiet():
            for name, widget in controls.options.items():
                widget.value = getattr(view, name)
            controls.limits.value = view.limits_kind
            controls.options["bend"].disabled = view.stretch != "asinh"
            controls.options["exponent"].disabled = view.stretch != "power"
            controls.options["colour_map"].disabled = view.colours is not None
            controls.in_colour.value = view.colours is not None
            for channel, number in zip(controls.channels, view.colours or (), strict=False):
                channel.value = number
            controls.x.value, controls.y.value = view.pixel

    def _refresh(self) -> None:
        picture = self._static()
        self._picture.show(picture.png, picture.alt)
        self._sync()
        self._read_out(None)
        self._code.value = str(fragment(details_html("as Python", self._view.code())))

    def _read_out(self, reading: Reading | None) -> None:
        shown = self._view.reading() if reading is None else reading
        self._reading.value = str(fragment(note_html(shown.text)))

    def _static(self) -> Picture:
        return self._view.picture()


def _run(action: Callable[[Any], object], value: Any) -> None:
    action(value)


def _point(event: Mapping[str, Any]) -> tuple[float, float]:
    """Place on the picture, as parts of its width and height."""
    return float(event.get("right", 0.5)), float(event.get("down", 0.5))
