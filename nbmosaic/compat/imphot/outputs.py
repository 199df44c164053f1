"""Files and pictures that imphot's fits make besides their result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.imphot.errors import UserError, imphot_errors
from nbmosaic.pipeline.photometry.files import file_prefix
from nbmosaic.pipeline.photometry.products import ImagePhotometry

if TYPE_CHECKING:
    from nbmosaic.pipeline.photometry.products import Photometry

__all__ = ["Outputs"]

_DPI = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What is made of a fit.

    Attributes
    ----------
    save : bool
        Files of what was compared (image fits).
    apply, resample : bool
        A corrected image ``<name>_aligned.fits``, by its header or by resampling.
    display, nowait : bool
        A figure on the screen, and whether to go on while it is there.
    hardcopy : str or None
        Ending of a file for the figure: ``<name>_image_fit.<ending>`` or ``<name>_star_fit.<ending>``; none, empty: no file.
    title : str or None
        Title of the figure; None, none: the image and the fitted values, empty: none.
    fig : matplotlib.figure.Figure or None
        Where to draw.

    Files that exist are replaced, as imphot does.
    """

    save: bool = False
    apply: bool = False
    resample: bool = False
    display: bool = False
    nowait: bool = False
    hardcopy: str | None = None
    title: str | None = None
    fig: Any = None

    @property
    def ending(self) -> str:
        """Ending of the file for the figure, or nothing."""
        text = (self.hardcopy or "").strip()
        return "" if text.lower() == "none" else text.removeprefix(".")

    @property
    def needs_arrays(self) -> bool:
        """Whether what was compared is needed, and not only the numbers."""
        return self.save or self.display or bool(self.ending)

    def check(self) -> None:
        """Raise `UserError` where something cannot be made, before any work is done."""
        if self.ending:
            from matplotlib.backend_bases import FigureCanvasBase

            known = FigureCanvasBase.get_supported_filetypes()
            if self.ending.lower() not in known:
                raise UserError(f"matplotlib cannot write {self.ending!r} files", hint=f"hardcopy is one of {', '.join(sorted(known))}")

    def make(self, fit: Photometry) -> None:
        """Make all of it."""
        with imphot_errors():
            begin = file_prefix(fit)
            if self.save and isinstance(fit, ImagePhotometry):
                fit.save(begin, overwrite=True)
            if self.apply:
                fit.apply(f"{begin}_aligned.fits", resample=self.resample, overwrite=True)
            if self.display or self.ending:
                self._draw(fit, begin)

    def _draw(self, fit: Any, begin: str) -> None:
        from nbmosaic.io.output import replacing

        kind = "image" if isinstance(fit, ImagePhotometry) else "star"
        figure = self.fig
        if figure is None:
            figure = _screen(f"{kind} fit", keep=not self.nowait) if self.display else None
        axes = fit.plot(figure=figure)
        figure = next(iter(axes)).figure if figure is None else figure
        default = self.title is None or self.title.lower() == "none"
        figure.suptitle(f"MUSE image: {fit.name}\n{figure.get_suptitle()}".rstrip() if default else self.title)
        if self.ending:
            with replacing(f"{begin}_{kind}_fit.{self.ending}", overwrite=True) as path:
                figure.savefig(path, dpi=_DPI, format=self.ending.lower())
        if self.display:
            from matplotlib import pyplot as plt

            plt.show(block=not self.nowait)


def _screen(name: str, *, keep: bool) -> Any:
    """A new figure on the screen, or the one of the last fit."""
    from matplotlib import pyplot as plt

    return plt.figure(figsize=(12, 7)) if keep else plt.figure(f"imphot {name}", figsize=(12, 7), clear=True)
