"""How photometric fits and images draw themselves in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nbmosaic.pipeline.product import Product
from nbmosaic.pipeline.quicklook import PICTURE_WIDTH, preformatted, product_html

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.photometry.batch_product import PhotometryBatch
    from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry, ImagePhotometry, Photometry, StarPhotometry
    from nbmosaic.pipeline.photometry.regridding import ReducedImage
    from nbmosaic.pipeline.photometry.wavelength_product import CubePsf
    from nbmosaic.types.photometry import Estimate

__all__ = [
    "batch_html",
    "cube_html",
    "draw_batch",
    "draw_cube",
    "draw_fit",
    "draw_image",
    "draw_image_fit",
    "draw_star_fit",
    "fit_html",
    "image_html",
    "pair_html",
    "remembered_picture",
    "shown",
]

FIT_WIDTH = 900
"""Pixels: six panels side by side need more than one image."""


def remembered_picture(product: Product, draw: Callable[[], tuple[Any, str]], *, width: int = FIT_WIDTH) -> tuple[bytes, str]:
    """PNG and words of a product, drawn once: a notebook shows it again and again, and its numbers do not change."""
    from nbmosaic.views.figures import figure_png

    memo: tuple[bytes, str] | None = product.__dict__.get("_drawn")
    if memo is None:
        axes, words = draw()
        memo = (figure_png(axes, width), words)
        product.__dict__["_drawn"] = memo  # where `cached_property` keeps its values, too
    return memo


def draw_image_fit(fit: ImagePhotometry, *, figure: Any = None) -> tuple[Any, str]:
    """Draw an image fit; returns the axes and what they show in words."""
    from nbmosaic.core.psf.fit_pictures import residual_spectrum, source_profile
    from nbmosaic.views.psf_alt_text import alt_text_image_fit
    from nbmosaic.views.psf_figures import plot_image_fit

    full = fit.complete()
    axes = plot_image_fit(full.result, source_profile(full.result), residual_spectrum(full.result), sources=fit.excluded, figure=figure)
    return axes, alt_text_image_fit(full.result)


def draw_star_fit(fit: StarPhotometry, *, figure: Any = None) -> tuple[Any, str]:
    """Draw a star fit; returns the axes and what they show in words."""
    from nbmosaic.views.psf_alt_text import alt_text_star_fit
    from nbmosaic.views.psf_figures import plot_star_fit

    return plot_star_fit(fit.result, figure=figure), alt_text_star_fit(fit.result)


def draw_fit(fit: Photometry) -> tuple[Any, str]:
    """Draw a fit of either kind; returns the axes and what they show in words."""
    from nbmosaic.pipeline.photometry.products import ImagePhotometry, StarPhotometry

    if isinstance(fit, ImagePhotometry):
        return draw_image_fit(fit)
    assert isinstance(fit, StarPhotometry)
    return draw_star_fit(fit)


def _notes(fit: Photometry) -> Any:
    from nbmosaic.views.html import error_html, facts_html, note_html
    from nbmosaic.views.markup import join

    result = fit.result
    facts = {
        "method": result.method,
        "rms of the residuals": f"{fit.rms_error:.4g} {result.unit}".rstrip(),
        "evaluations": result.n_evaluations,
    }
    flagged = [f"{name} is {flag}" for name, flag in fit.flags.items()]
    bad = error_html("the fit did not converge: " + result.message) if not fit.converged else None
    warned = error_html("look at: " + ", ".join(flagged)) if flagged else None
    return join(*(part for part in (bad, warned, facts_html(facts), *map(note_html, fit.notes)) if part))


@dataclass(frozen=True, eq=False, repr=False)
class Shown(Product):
    """A table of texts under the title of a product: numbers that differ in size cannot share their digits.

    Attributes
    ----------
    heading : str
        The title.
    frame : pandas.DataFrame
        The table.
    """

    row_column: ClassVar[str] = "parameter"

    heading: str
    frame: pd.DataFrame

    @property
    def title(self) -> str:
        """The title."""
        return self.heading

    @property
    def table(self) -> pd.DataFrame:
        """The table."""
        return self.frame


def shown(product: Photometry | ImageAndStarPhotometry) -> Shown:
    """A fit, or two of them, as it is shown."""
    from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry
    from nbmosaic.pipeline.photometry.tables import shown_comparison, shown_parameters

    if isinstance(product, ImageAndStarPhotometry):
        return Shown(product.title, shown_comparison(product.image, product.star))
    return Shown(product.title, shown_parameters(product))


def _misfit_note(fit: Photometry) -> str:
    """What is said of sources that do not fit, where they were not left out already."""
    from nbmosaic.pipeline.photometry.products import ImagePhotometry

    if not isinstance(fit, ImagePhotometry) or fit.excluded or fit.result.method == "imphot" or not fit.misfits:
        return ""
    n = len(fit.misfits)
    kinds = ", ".join(dict.fromkeys(source.kind for source in fit.misfits))
    return f"{n} source{'s' * (n != 1)} do{'es' * (n == 1)} not fit ({kinds}): see .misfit_table; exclude_misfits=True leaves them out"


def fit_html(fit: Photometry) -> str:
    """Table, flags, notes and picture of a fit."""
    from nbmosaic.views.html import image_tag, note_html
    from nbmosaic.views.markup import join

    try:
        picture = join(note_html(_misfit_note(fit)), image_tag(*remembered_picture(fit, lambda: draw_fit(fit))))
    except Exception as error:  # noqa: BLE001 - a repr must not raise, and the numbers are still good
        picture = note_html(f"no picture: {error}")
    return product_html(shown(fit), _notes(fit), picture)


def pair_html(pair: ImageAndStarPhotometry) -> str:
    """Comparison of two fits, and both of them."""
    from nbmosaic.views.html import details_html, image_tag

    try:
        parts = [
            details_html(f"{name} fit", _notes(fit), image_tag(*remembered_picture(fit, lambda fit=fit: draw_fit(fit))))  # type: ignore[misc]
            for name, fit in (("image", pair.image), ("star", pair.star))
        ]
        return product_html(shown(pair), *parts)
    except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
        return preformatted(repr(pair))


def draw_image(image: ReducedImage) -> tuple[Any, str]:
    """Draw an image; returns the axes and what they show in words."""
    from nbmosaic.views.alt_text import alt_text_mosaic

    blank = float(image.mask.mean()) if image.mask.size else 1.0
    return image.plot(), alt_text_mosaic(image.shape, blank_fraction=blank, what=f"image {image.name}".strip())


def image_html(image: ReducedImage) -> str:
    """Numbers, notes and picture of an image."""
    from nbmosaic.views.html import image_tag, note_html

    try:
        return product_html(
            image, *map(note_html, image.notes), image_tag(*remembered_picture(image, lambda: draw_image(image), width=480))
        )
    except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
        return preformatted(repr(image))


def batch_series(batch: PhotometryBatch) -> tuple[list[str], list[tuple[str, list[Estimate]]], list[str]]:
    """Names of the files, FWHM of them by kind of fit, and names of those that failed."""
    from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry

    rows = [(fit.image, fit.star) if isinstance(fit, ImageAndStarPhotometry) else (fit,) for fit in batch.fits]
    names = [row[0].name for row in rows]
    series = [(row[0].word, [one.fwhm for one in row]) for row in zip(*rows, strict=True)] if rows else []
    return names, series, [failure.name for failure in batch.failures]


def draw_batch(batch: PhotometryBatch, *, ax: Any = None) -> tuple[Any, str]:
    """Draw FWHM against file; returns the axes and what they show in words."""
    from nbmosaic.views.psf_alt_text import alt_text_batch
    from nbmosaic.views.psf_figures import plot_fwhm_by_file

    names, series, failed = batch_series(batch)
    return plot_fwhm_by_file(names, series, failed=failed, ax=ax), alt_text_batch(series, failed)


def batch_html(batch: PhotometryBatch) -> str:
    """Table, failures with their reasons, and FWHM against file."""
    from nbmosaic.views.html import details_html, image_tag
    from nbmosaic.views.markup import Markup, escape

    try:
        parts: list[Any] = []
        if batch.failures:
            items = "".join(f"<li>{escape(failure.title)}</li>" for failure in batch.failures)
            parts.append(details_html(f"{len(batch.failures)} failed", Markup(f"<ul>{items}</ul>"), open_=True))
        if batch.fits:
            parts.append(image_tag(*remembered_picture(batch, lambda: draw_batch(batch), width=PICTURE_WIDTH)))
        return product_html(batch, *parts)
    except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
        return preformatted(repr(batch))


def draw_cube(cube: CubePsf) -> tuple[Any, str]:
    """Draw FWHM and beta against wavelength; returns the axes and what they show in words."""
    from nbmosaic.views.psf_alt_text import alt_text_wavelength_psf

    return cube.plot(), alt_text_wavelength_psf(cube.psf)


def cube_html(cube: CubePsf) -> str:
    """Table, notes, and FWHM and beta against wavelength."""
    from nbmosaic.views.html import image_tag, note_html

    try:
        picture = image_tag(*remembered_picture(cube, lambda: draw_cube(cube), width=PICTURE_WIDTH))
        return product_html(cube, *map(note_html, cube.notes), picture)
    except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
        return preformatted(repr(cube))
