"""The picture of the viewer: by a small widget of our own that follows the pointer, or as a plain picture where that cannot run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nbmosaic.notebook.panels.base import html_box, show_picture

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["HELP", "ViewerPicture"]

HELP = (
    "Click: cross-hair. Drag: move. Wheel (after a click): zoom. Double click: centre and zoom in. Keys: arrows move the cross-hair, "
    "Shift and arrows the image, + and - zoom, 0 the whole image, 1 its own pixels, c centre on the cross-hair, b next image."
)


class ViewerPicture:
    """A picture that tells where it is clicked.

    The plain picture is shown until the browser says that it runs the script of the other one. Where anywidget is missing, in the kernel or in
    the front end, it stays, and buttons and fields do everything.

    Parameters
    ----------
    on_event : callable
        Gets what a person did: a mapping with ``kind`` and positions as parts of the picture.
    help_text : str
        What mouse and keys do.
    """

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None], help_text: str = HELP) -> None:
        import ipywidgets

        self._plain = html_box("nbm-plain-view")
        self._live = _live_picture(help_text)
        self._last: tuple[bytes, str] = (b"", "")
        children: list[Any] = [self._plain]
        if self._live is not None:
            children.insert(0, self._live)
            self._live.observe(self._on_ready, "ready")
            self._live.on_msg(lambda _widget, content, _buffers: self._answer(on_event, content))
        self.widget: ipywidgets.VBox = ipywidgets.VBox(children)

    @property
    def live(self) -> bool:
        """Whether a browser runs the script."""
        return self._live is not None and bool(self._live.ready)

    def show(self, png: bytes, alt: str) -> None:
        """Show a picture in place of the one before."""
        self._last = (png, alt)
        if self._live is not None:
            with self._live.hold_sync():
                self._live.png, self._live.alt = png, alt
        if not self.live:
            show_picture(self._plain, png, alt)

    def _on_ready(self, _: Any) -> None:
        self._plain.layout.display = "none" if self.live else None
        if self.live:
            self._plain.value = ""
        else:
            show_picture(self._plain, *self._last)

    def _answer(self, on_event: Callable[[Mapping[str, Any]], None], content: Any) -> None:
        """Handle a message, then say so: the browser sends no further moves before."""
        try:
            if isinstance(content, Mapping):
                on_event(content)
        finally:
            if self._live is not None:
                self._live.send({"kind": "answered"})


def _live_picture(help_text: str) -> Any:
    """The widget of our own; None where anywidget is not installed."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None
    from nbmosaic.notebook.panels.viewer_script import SCRIPT, STYLE

    class LivePicture(anywidget.AnyWidget):
        """Shows a picture and tells where the pointer is."""

        _esm = SCRIPT
        _css = STYLE
        png = traitlets.Bytes().tag(sync=True)
        alt = traitlets.Unicode().tag(sync=True)
        help = traitlets.Unicode(HELP).tag(sync=True)
        ready = traitlets.Bool(False).tag(sync=True)

    return LivePicture(help=help_text)
