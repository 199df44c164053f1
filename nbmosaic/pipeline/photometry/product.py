"""What image fits and star fits have in common: parameters with errors and flags, tables, summaries, corrected images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.pipeline.product import Product
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ImageFitResult, ParameterSpec, StarFitResult
from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    import pandas as pd
    from lmfit.minimizer import MinimizerResult

    from nbmosaic._types import PathLike
    from nbmosaic.pipeline.photometry.regridding import ReducedImage

__all__ = ["FitRequest", "Photometry"]


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
        from nbmosaic.pipeline.photometry.fitting import fit_image_photometry, fit_star_photometry

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
            | {name: one for name, one in self.result.parameters.items() if name not in parts}  # rotation and plate scale, where fitted
        )

    @property
    def units(self) -> Mapping[str, str]:
        """Units of the parameters; `scale` and `beta` have none."""
        angles = dict.fromkeys(("dx", "dy", "dra", "ddec", "fwhm"), "arcsec")
        return MappingProxyType({"bg": self.result.unit, "rotation_deg": "deg"} | angles)

    @property
    def flags(self) -> Mapping[str, str]:
        """Flags of the parameters that have one: at a bound, not constrained, not converged."""
        return MappingProxyType({name: one.flag for name, one in self.estimates.items() if one.flag})

    @property
    def title(self) -> str:
        """Image, reference, FWHM and flags."""
        end = "" if self.converged else ", NOT CONVERGED"
        from nbmosaic.views.psf_alt_text import estimate_text

        flagged = ", ".join(f"{name} {flag}" for name, flag in self.flags.items() if name != "fwhm")
        against = f" against {self.result.reference_name}" if self.result.reference_name else ""
        return f"{self.word} fit of {self.name or 'an image'}{against}: fwhm {estimate_text(self.fwhm)} arcsec{f', {flagged}' if flagged else ''}{end}"

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
        from nbmosaic.pipeline.photometry.tables import summary_text

        return summary_text(self, header=header)

    @cached_property
    def image(self) -> SkyImage:
        """The image that was fitted, read again where it is not held."""
        from nbmosaic.pipeline.photometry.inputs import read_image

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
        from nbmosaic.pipeline.photometry.files import corrected_image

        return corrected_image(self, path, corrections=corrections, resample=resample, method=method, overwrite=overwrite)

    def __str__(self) -> str:
        return self.report

    def pictures(self) -> Mapping[str, Callable[[], tuple[Any, str]]]:
        """The fit, and the errors of every two parameters."""
        from nbmosaic.pipeline.photometry.html import draw_fit

        words = f"joint errors of the parameters of the {self.word} fit of {self.name or 'an image'}"
        return {"fit": lambda: draw_fit(self), "errors": lambda: (self.plot_covariance(), words)}

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

    def __repr__(self) -> str:
        from nbmosaic.pipeline.photometry.html import shown
        from nbmosaic.pipeline.quicklook import product_text

        try:
            return product_text(shown(self))
        except Exception as error:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            return f"<{type(self).__name__}: {type(error).__name__}: {error}>"

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.photometry.html import fit_html

        return fit_html(self)
