"""A figure that shows itself in a notebook, with its description."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic._types import PathLike
from nbmosaic.views.figures import has_house_style, house_settings
from nbmosaic.views.png import MAX_WIDTH, figure_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Picture"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Figure with alt text. A notebook shows it once, as a PNG; no plotting library has to be set up for that.

    Attributes
    ----------
    axes : matplotlib.axes.Axes or tuple of them
        The axes, to add to or change.
    alt : str
        What the picture shows, in words.
    width : int
        Width in pixels when shown.
    """

    axes: Axes | tuple[Axes, ...]
    alt: str
    width: int = MAX_WIDTH

    @property
    def figure(self) -> Figure:
        """The figure of the axes."""
        first: Any = self.axes[0] if isinstance(self.axes, tuple) else self.axes
        root: Figure = first.get_figure(root=True)
        return root

    def png(self) -> bytes:
        """Render the figure as it is now."""
        return figure_png(self.figure, self.width)

    def save(self, path: PathLike, **options: Any) -> None:
        """Write the figure to a file (type by its ending); `options` go to ``Figure.savefig``."""
        with house_settings() if has_house_style(self.figure) else contextlib.nullcontext():
            self.figure.savefig(os.fspath(path), **{"facecolor": self.figure.get_facecolor(), **options})

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG002 - IPython's signature
        import base64

        data = {"text/plain": repr(self), "image/png": base64.b64encode(self.png()).decode("ascii")}
        return data, {"image/png": {"alt": self.alt}}
