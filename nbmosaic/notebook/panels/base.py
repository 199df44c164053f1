"""What all panels share: a box of widgets, a line for errors, a static form for saved notebooks, and a clean end.

A panel holds no arithmetic. It turns what a person does into calls of an object of the pipeline that a program can call in the same way, and
draws what comes back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nbmosaic.errors import MissingDependencyError, NbmosaicError
from nbmosaic.notebook.panels.key_guard import key_guard
from nbmosaic.views.html import error_html, fragment, image_tag, note_html
from nbmosaic.views.markup import Markup, escape

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["Panel", "button", "html_box", "show_picture"]

VIEW = "application/vnd.jupyter.widget-view+json"


class Panel:
    """Base of the panels.

    Subclasses build their widgets in `_build`, keep their state in `value`, and give a static picture in `_static`.

    Attributes
    ----------
    widget : ipywidgets.Widget
        The panel, to be put into other boxes.
    """

    kind: ClassVar[str] = "panel"

    def __init__(self) -> None:
        try:
            import ipywidgets
        except ModuleNotFoundError as error:
            raise MissingDependencyError("panels need ipywidgets", hint="pip install ipywidgets") from error
        self._status = html_box("nbm-status")
        self._closed = False
        self.widget: ipywidgets.VBox = ipywidgets.VBox([self._build(), self._status, *key_guard()])
        self.widget.add_class("nbm-panel")
        self.widget.add_class(f"nbm-panel-{self.kind}")

    def _build(self) -> ipywidgets.Widget:
        raise NotImplementedError

    @property
    def value(self) -> Any:
        """What the panel stands for now; a program can use it without the panel."""
        raise NotImplementedError

    def _static(self) -> Picture:
        """Picture of the present state, for saved notebooks."""
        raise NotImplementedError

    def say(self, text: str = "") -> None:
        """Show a line below the panel."""
        self._status.value = str(fragment(note_html(text))) if text else ""

    def guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Wrap a callback: what goes wrong is shown in the panel, where a person sees it, and not lost in a log."""

        @functools.wraps(callback)
        def call(*arguments: Any) -> None:
            try:
                self._status.value = ""
                callback(*arguments)
            except NbmosaicError as error:
                self._status.value = str(fragment(error_html(str(error))))
            except Exception as error:  # noqa: BLE001 - ipywidgets would write it into a log that nobody reads
                self._status.value = str(fragment(error_html(f"{type(error).__name__}: {error}")))

        return call

    def close(self) -> None:
        """Take the panel off the page and free what it holds."""
        if self._closed:
            return
        self._closed = True
        for widget in _tree(self.widget):
            widget.unobserve_all()
            widget.close()
            for name in ("style", "layout"):  # widgets of their own
                part = getattr(widget, name, None)
                if part is not None:
                    part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' (closed)' if self._closed else ''}: {self._words()}>"

    def _words(self) -> str:
        try:
            return str(self._static().alt)
        except Exception as error:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            return f"{type(error).__name__}: {error}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live panel, and beside it text and a picture for where no widgets run (saved notebooks, exports, GitHub)."""
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        words: dict[str, Any] = {}
        try:
            picture = self._static()
            bundle |= {"text/html": str(fragment(image_tag(picture.png, picture.alt), fallback=picture.alt)), "image/png": picture.png}
            words["image/png"] = {"alt": picture.alt}
        except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            bundle["text/html"] = f"<pre>{escape(repr(self))}</pre>"
        if not self._closed and _has_front_end():
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        wanted = {name: data for name, data in bundle.items() if (not include or name in include) and name not in (exclude or ())}
        return wanted, {name: found for name, found in words.items() if name in wanted}


def _tree(widget: Any) -> list[Any]:
    """A widget and all below it, the deepest first."""
    below = [found for child in getattr(widget, "children", ()) for found in _tree(child)]
    return [*below, widget]


def _has_front_end() -> bool:
    """Whether a kernel serves this process; plain IPython and scripts get text."""
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


def html_box(name: str = "") -> ipywidgets.HTML:
    """Make an empty box for a fragment of HTML; `name` is a class by which pages and tests find it."""
    import ipywidgets

    box = ipywidgets.HTML()
    if name:
        box.add_class(name)
    return box


def show_picture(box: ipywidgets.HTML, png: bytes, alt: str, *below: Markup | str) -> None:
    """Put a picture with its words into a box, in place of what was there."""
    box.value = str(fragment(image_tag(png, alt), *below))


def button(text: str, help_text: str, callback: Callable[..., None], *, icon: str = "") -> ipywidgets.Button:
    """Make a button that says what it does."""
    import ipywidgets

    made = ipywidgets.Button(description=text, tooltip=help_text, icon=icon, layout=ipywidgets.Layout(width="auto"))
    made.on_click(callback)
    return made
