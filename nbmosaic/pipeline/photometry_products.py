"""What the photometric fits return: parameters with errors and flags, tables, summaries, pictures, corrected images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.pipeline.product import Product
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ImageFitResult, MisfitSource, ParameterSpec, StarFitResult
from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    import pandas as pd
    from lmfit.minimizer import MinimizerResult

    from nbmosaic._types import PathLike
    from nbmosaic.pipeline.regridding import ReducedImage

__all__ = ["FitRequest", "ImageAndStarPhotometry", "ImagePhotometry", "Photometry", "StarPhotometry"]

_EMPTY = np.zeros((0, 0))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitRequest:
    """What a fit was asked for, so that it can be done again.

    Attributes
    ----------
    kind : {"image", "star"}
        Which fit.
    reference, image : object
        As given: file names, or images in memory.
    options : mapping
        Options of the fit.
    """

    kind: Literal["image", "star"]
    reference: Any
    image: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> Photometry:
        """Do the fit."""
        from nbmosaic.pipeline.photometry import fit_image_photometry, fit_star_photometry

        function = fit_image_photometry if self.kind == "image" else fit_star_photometry
        fit: Photometry = function(self.reference, self.image, **self.options)
        return fit


@dataclass(frozen=True, eq=False, repr=False)
class Photometry(Product):
    """What image fits and star fits have in common.

    Attributes
    ----------
    result : ImageFitResult or StarFitResult
        The fit itself, with covariance and arrays.
    specs : mapping of str to ParameterSpec
        How each parameter entered the fit.
    dra, ddec : Estimate
        The offset as true angles on the sky, arcsec towards east and north: image minus reference.
    request : FitRequest
        What was asked for.
    held : SkyImage, optional
        The image as it was read; None: it is read again when it is needed.
    """

    row_column: ClassVar[str] = "parameter"
    word: ClassVar[str] = ""
    error: ClassVar[None] = None
    """There was none: results of a batch that failed have theirs here."""

    result: ImageFitResult | StarFitResult
    specs: Mapping[str, ParameterSpec]
    dra: Estimate
    ddec: Estimate
    request: FitRequest
    held: SkyImage | None = None

    @property
    def scale(self) -> Estimate:
        """Flux of the image per flux of the reference."""
        return self.result["scale"]

    @property
    def bg(self) -> Estimate:
        """Background of the image less that of the scaled reference, unit of the image."""
        return self.result["bg"]

    @property
    def dx(self) -> Estimate:
        """Offset along x, arcsec: features of the image minus those of the reference, towards larger pixel index."""
        return self.result["dx"]

    @property
    def dy(self) -> Estimate:
        """Offset along y, arcsec."""
        return self.result["dy"]

    @property
    def fwhm(self) -> Estimate:
        """Full width at half maximum of the Moffat PSF, arcsec."""
        return self.result["fwhm"]

    @property
    def beta(self) -> Estimate:
        """Exponent of the Moffat PSF."""
        return self.result["beta"]

    @property
    def name(self) -> str:
        """Name of the image: its file name without folder and ending."""
        return self.result.name

    @property
    def rms_error(self) -> float:
        """Root mean square of the residual pixels, unit of the image."""
        return self.result.rms_error

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return self.result.notes

    @property
    def converged(self) -> bool:
        """Whether the fit ended by its own criterion."""
        return self.result.converged

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """All parameters by name, in the order of the table."""
        parts = {name: self.result[name] for name in PARAMETER_NAMES}
        return MappingProxyType(
            {name: parts[name] for name in ("scale", "bg", "dx", "dy")}
            | {"dra": self.dra, "ddec": self.ddec}
            | {name: parts[name] for name in ("fwhm", "beta")}
        )

    @property
    def units(self) -> Mapping[str, str]:
        """Units of the parameters; `scale` and `beta` have none."""
        return MappingProxyType({"bg": self.result.unit} | dict.fromkeys(("dx", "dy", "dra", "ddec", "fwhm"), "arcsec"))

    @property
    def flags(self) -> Mapping[str, str]:
        """Flags of the parameters that have one: at a bound, not constrained, not converged."""
        return MappingProxyType({name: one.flag for name, one in self.estimates.items() if one.flag})

    @property
    def title(self) -> str:
        """Image, reference, FWHM and flags."""
        end = "" if self.converged else ", NOT CONVERGED"
        flagged = ", ".join(f"{name} {flag}" for name, flag in self.flags.items())
        against = f" against {self.result.reference_name}" if self.result.reference_name else ""
        return f"{self.word} fit of {self.name or 'an image'}{against}: fwhm {self.fwhm} arcsec{f', {flagged}' if flagged else ''}{end}"

    @property
    def key_number(self) -> str:
        """FWHM with its error."""
        return f"fwhm {self.fwhm.value:.4f} +- {self.fwhm.stderr:.4f} arcsec"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a parameter: value, standard error, unit, fixed, flag."""
        import pandas as pd

        rows = [
            {
                "parameter": name,
                "value": one.value,
                "stderr": one.stderr,
                "unit": self.units.get(name, ""),
                "fixed": one.fixed,
                "flag": one.flag,
            }
            for name, one in self.estimates.items()
        ]
        return pd.DataFrame(rows)

    @cached_property
    def lmfit(self) -> MinimizerResult:
        """The fit as `lmfit.minimizer.MinimizerResult`, with parameters, correlations, report and HTML table."""
        from nbmosaic.core.psf.lmfit_result import lmfit_result

        return lmfit_result(self.result, specs=self.specs)

    @property
    def report(self) -> str:
        """A report of the fit in several lines, as lmfit writes it, and the notes."""
        from lmfit import fit_report

        lines = [f"Report of HST {self.word} photometry fit of MUSE observation {self.name}", fit_report(self.lmfit)]
        return "\n".join([*lines, *(f"[[Note]] {note}" for note in self.notes)])

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix, shape (6, 6), in the order scale, bg, dx, dy, fwhm, beta."""
        return self.result.correlation

    def summary(self, header: bool = True) -> str:  # noqa: FBT001, FBT002 - imphot's signature
        """Results in one line, as imphot writes them.

        Parameters
        ----------
        header : bool
            Whether three lines of headings go before.

        Returns
        -------
        str
            Without a newline at the end.
        """
        from nbmosaic.pipeline.photometry_tables import summary_text

        return summary_text(self, header=header)

    @cached_property
    def image(self) -> SkyImage:
        """The image that was fitted, read again where it is not held."""
        from nbmosaic.pipeline.photometry_inputs import read_image

        return read_image(self.request.image) if self.held is None else self.held

    def apply(
        self,
        path: PathLike | None = None,
        *,
        corrections: str | None = "xy,scale,zero",
        resample: bool = False,
        method: str = "spline",
        overwrite: bool = False,
    ) -> ReducedImage:
        """Correct the image for the fitted offset, flux scale and background.

        Parameters
        ----------
        path : path, optional
            Also write the corrected image to this FITS file.
        corrections : str or None
            Words separated by commas: ``xy``, ``scale``, ``zero``.
        resample : bool
            Move the pixels on the grid of the image; else its CRPIX is changed and no pixel is touched.
        method : {"spline", "lanczos3", "bilinear", "nearest"}
            Interpolation where it is resampled.
        overwrite : bool
            Whether the file may exist.

        Returns
        -------
        ReducedImage
            ``(data - bg) / scale`` at corrected positions; the image itself is not changed.
        """
        from nbmosaic.pipeline.photometry_files import corrected_image

        return corrected_image(self, path, corrections=corrections, resample=resample, method=method, overwrite=overwrite)

    def __str__(self) -> str:
        return self.report

    def plot_covariance(self, *, figure: Any = None) -> Any:
        """Draw the covariance of every two fitted parameters as ellipses; returns the axes."""
        from nbmosaic.views.psf_figures import plot_covariance

        names = [name for name in self.result.free_names if np.isfinite(self.result[name].stderr)]
        rows = [PARAMETER_NAMES.index(name) for name in names]
        return plot_covariance(
            [self.result[name].value for name in names],
            self.result.covariance[np.ix_(rows, rows)],
            names=names,
            units=[self.units.get(name, "") for name in names],
            figure=figure,
        )

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.photometry_html import fit_html

        return fit_html(self)


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
        from nbmosaic.pipeline.photometry_tables import misfit_table

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
        from nbmosaic.pipeline.photometry_html import draw_image_fit

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
        from nbmosaic.pipeline.photometry_files import save_fit

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
        from nbmosaic.pipeline.photometry_tables import profile_table

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
        from nbmosaic.pipeline.photometry_html import draw_star_fit

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
        return f"image and star fit of {self.image.name or 'an image'}: fwhm {self.image.fwhm} and {self.star.fwhm} arcsec"

    @property
    def key_number(self) -> str:
        """Both FWHM."""
        return f"fwhm {self.image.fwhm.value:.4f} and {self.star.fwhm.value:.4f} arcsec"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a parameter: both fits, and their difference in units of its standard error, the fits taken as independent."""
        from nbmosaic.pipeline.photometry_tables import comparison_table

        return comparison_table(self.image, self.star)

    def summary(self, header: bool = True) -> str:  # noqa: FBT001, FBT002 - imphot's signature
        """Both lines of imphot's summary."""
        return f"{self.image.summary(header)}\n{self.star.summary(False)}"

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.photometry_html import pair_html

        return pair_html(self)
