"""What the photometric fits return: fits of images, of stars, of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nbmosaic._types import BoolArray
from nbmosaic.pipeline.photometry.product import FitRequest, Photometry
from nbmosaic.pipeline.product import Product
from nbmosaic.types.photometry import ImageFitResult, MisfitSource, StarFitResult

if TYPE_CHECKING:
    import pandas as pd
    from lmfit.minimizer import MinimizerResult

    from nbmosaic._types import PathLike

__all__ = ["FitRequest", "ImageAndStarPhotometry", "ImagePhotometry", "Photometry", "StarPhotometry"]

_EMPTY = np.zeros((0, 0))


@dataclass(frozen=True, eq=False, repr=False)
class ImagePhotometry(Photometry):
    """Result of `nbmosaic.fit_image_photometry`.

    Attributes
    ----------
    excluded : tuple of MisfitSource
        Sources that were left out because they do not fit (``exclude_misfits``).
    exclusion : ndarray of bool, optional
        Their pixels.
    """

    word: ClassVar[str] = "image"

    result: ImageFitResult
    excluded: tuple[MisfitSource, ...] = ()
    exclusion: BoolArray | None = None

    @property
    def has_pictures(self) -> bool:
        """Whether the arrays for pictures are held; results of a batch leave them out."""
        return self.result.image.size > 0

    def complete(self) -> ImagePhotometry:
        """The same fit with arrays for pictures: done again where they were left out."""
        if self.has_pictures:
            return self
        return self._again

    @cached_property
    def _again(self) -> ImagePhotometry:
        done = self.request.run()
        assert isinstance(done, ImagePhotometry)
        return done

    def without_pictures(self) -> ImagePhotometry:
        """The same without arrays and image: a few kilobytes, for batches."""
        slim = replace(self.result, image=_EMPTY, model=_EMPTY, residual=_EMPTY, good=_EMPTY.astype(bool), sigma=None)
        return replace(self, result=slim, held=None)

    @cached_property
    def misfits(self) -> tuple[MisfitSource, ...]:
        """Sources that the fit does not predict: moved, brighter, fainter, saturated; with ``exclude_misfits`` those that were left out."""
        from nbmosaic.core.psf.outliers import find_misfits

        if self.excluded:
            return self.excluded
        return find_misfits(self.complete().result)

    @property
    def misfit_table(self) -> pd.DataFrame:
        """One row a source that does not fit."""
        from nbmosaic.pipeline.photometry.tables import misfit_table

        return misfit_table(self.misfits, self.image)

    @cached_property
    def exclusion_mask(self) -> BoolArray:
        """Mask of the image, True around the sources that do not fit: ready for `extramask`."""
        from nbmosaic.core.psf.outliers import exclusion_mask

        if self.exclusion is not None:
            return self.exclusion
        return exclusion_mask(self.misfits, self.image.shape, step_arcsec=self.result.step_arcsec)

    def plot(self, *, figure: Any = None) -> Any:
        """Draw image, model, residual in units of sigma, radial profile with the fitted PSF, residual spectrum, errors; returns the axes.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, optional
            Where to draw; default: a new figure.
        """
        from nbmosaic.pipeline.photometry.html import draw_image_fit

        return draw_image_fit(self, figure=figure)[0]

    def save(self, prefix: PathLike | None = None, *, overwrite: bool = False) -> tuple[str, ...]:
        """Write the compared images and their spectra, under imphot's names.

        Parameters
        ----------
        prefix : path, optional
            Begin of the file names; default: the file name of the image without its ending, ``muse`` for an image in memory.
        overwrite : bool
            Whether the files may exist.

        Returns
        -------
        tuple of str
            ``<prefix>_image.fits``, ``_hst_model.fits``, ``_residual.fits``, ``_fft.fits``, ``_hst_model_fft.fits``, ``_residual_fft.fits``.
        """
        from nbmosaic.pipeline.photometry.files import save_fit

        return save_fit(self, prefix, overwrite=overwrite)


@dataclass(frozen=True, eq=False, repr=False)
class StarPhotometry(Photometry):
    """Result of `nbmosaic.fit_star_photometry`.

    Attributes
    ----------
    star : tuple of float
        Right ascension, declination (degrees, ICRS) and radius (arcsec) as asked for.
    """

    word: ClassVar[str] = "stars"

    result: StarFitResult
    star: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def profile_table(self) -> pd.DataFrame:
        """One row a parameter of each profile: in the image, and in the reference."""
        from nbmosaic.pipeline.photometry.tables import profile_table

        return profile_table(self)

    def lmfit_of(self, which: Literal["image", "reference"]) -> MinimizerResult:
        """The profile of one of the two images as `lmfit.minimizer.MinimizerResult`."""
        from nbmosaic.core.psf.lmfit_result import lmfit_result

        return lmfit_result(self.result.image if which == "image" else self.result.reference)

    @property
    def report(self) -> str:
        """Reports of the two profiles and of their comparison, as lmfit writes them, and the notes."""
        from lmfit import fit_report

        parts = [f"Report of HST {self.word} photometry fit of MUSE observation {self.name}"]
        parts += ["(Fit to the star in the MUSE image)", fit_report(self.lmfit_of("image"))]
        parts += ["(Fit to the star in the HST image)", fit_report(self.lmfit_of("reference"))]
        parts += ["(Comparison of the two)", fit_report(self.lmfit)]
        return "\n".join([*parts, *(f"[[Note]] {note}" for note in self.notes)])

    def plot(self, *, figure: Any = None) -> Any:
        """Draw pixels, fitted profile and residuals of the star in both images; returns the axes.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, optional
            Where to draw; default: a new figure.
        """
        from nbmosaic.pipeline.photometry.html import draw_star_fit

        return draw_star_fit(self, figure=figure)[0]


class ImageAndStarPhotometry(Product, tuple[ImagePhotometry, StarPhotometry]):  # noqa: SLOT001 - its table is kept in __dict__
    """An image fit and a star fit of the same images: a tuple of the two that draws itself."""

    row_column: ClassVar[str] = "parameter"

    @property
    def image(self) -> ImagePhotometry:
        """The image fit."""
        return self[0]

    @property
    def star(self) -> StarPhotometry:
        """The star fit."""
        return self[1]

    @property
    def title(self) -> str:
        """Both FWHM."""
        from nbmosaic.views.psf_alt_text import estimate_text

        both = f"{estimate_text(self.image.fwhm)} and {estimate_text(self.star.fwhm)}"
        return f"image and star fit of {self.image.name or 'an image'}: fwhm {both} arcsec"

    @property
    def key_number(self) -> str:
        """Both FWHM."""
        return f"fwhm {self.image.fwhm.value:.4f} and {self.star.fwhm.value:.4f} arcsec"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a parameter: both fits, and their difference in units of its standard error, the fits taken as independent."""
        from nbmosaic.pipeline.photometry.tables import comparison_table

        return comparison_table(self.image, self.star)

    def summary(self, header: bool = True) -> str:  # noqa: FBT001, FBT002 - imphot's signature
        """Both lines of imphot's summary."""
        return f"{self.image.summary(header)}\n{self.star.summary(False)}"

    def __repr__(self) -> str:
        from nbmosaic.pipeline.photometry.html import shown
        from nbmosaic.pipeline.quicklook import product_text

        try:
            return product_text(shown(self))
        except Exception as error:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            return f"<{type(self).__name__}: {type(error).__name__}: {error}>"

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.photometry.html import pair_html

        return pair_html(self)
