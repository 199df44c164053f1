"""imphot's results: fitted values, and the photometry of an image by either method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nbmosaic.compat.imphot.errors import imphot_errors
from nbmosaic.pipeline.photometry.inputs import read_image
from nbmosaic.pipeline.photometry.offsets import offset_on_sky
from nbmosaic.pipeline.photometry.tables import summary_text
from nbmosaic.types.photometry import Estimate

if TYPE_CHECKING:
    from nbmosaic.pipeline.photometry.products import ImagePhotometry, Photometry, StarPhotometry

__all__ = ["FittedImagePhotometry", "FittedPhotometry", "FittedStarPhotometry", "FittedValue"]

_NAMES = ("scale", "bg", "dx", "dy", "fwhm", "beta")
_PROFILE = ("fwhm", "beta", "dx", "dy", "bg", "flux")


class FittedValue:
    """A number from a fit.

    Parameters
    ----------
    param : lmfit.Parameter, optional
        Where value, standard error and whether it was fixed are taken from.
    value : float, optional
        The value.
    stdev : float, optional
        Its standard error: 0 for a fixed value, infinite where the data do not constrain it.
    fixed : bool, optional
        Whether it was fixed.
    flag : str
        What is special about it: at a bound, not constrained, not converged.

    Attributes
    ----------
    value, stdev, fixed, flag
        As above.
    stderr : float
        The same as `stdev`.
    """

    def __init__(
        self, param: Any = None, value: float | None = None, stdev: float | None = None, fixed: bool | None = None, *, flag: str = ""
    ) -> None:
        if param is not None:
            fixed = not param.vary if fixed is None else fixed
            value = param.value if value is None else value
            stdev = param.stderr if stdev is None else stdev
        self.fixed = bool(fixed)
        self.value = math.nan if value is None else float(value)
        self.stdev = (0.0 if self.fixed else math.inf) if stdev is None else float(stdev)
        self.flag = flag

    @classmethod
    def of(cls, estimate: Estimate) -> FittedValue:
        """The same number from our own kind."""
        return cls(value=estimate.value, stdev=estimate.stderr, fixed=estimate.fixed, flag=estimate.flag)

    @property
    def stderr(self) -> float:
        """The standard error."""
        return self.stdev

    def __repr__(self) -> str:
        flag = f", flag={self.flag!r}" if self.flag else ""
        return f"FittedValue(value={self.value!r}, stdev={self.stdev!r}, fixed={self.fixed!r}{flag})"


class FittedPhotometry:
    """What both methods of fitting find.

    Parameters
    ----------
    method : str
        ``"image"`` or ``"stars"``.
    muse : image
        The image that was fitted: an mpdaf Image, a file name, or what else holds one image.
    fit_report : str
        Report of the fit in several lines.
    scale, bg, dx, dy, fwhm, beta : FittedValue
        The parameters.
    rms_error : float
        Root mean square of the residual pixels.
    correlation : float
        Of dx and dy; it counts in the errors of `dra` and `ddec`.

    Attributes
    ----------
    name : str
        Base name of the file, without ``.fits``.
    dra, ddec : FittedValue
        The offset as true angles towards east and north, arcsec.
    method, fit_report, scale, bg, dx, dy, fwhm, beta, rms_error
        As above.
    product : Photometry or None
        The fit as nbmosaic's own functions return it: ``.table``, ``.lmfit``, ``.plot()``, covariance, flags, notes.
    """

    def __init__(
        self,
        method: str,
        muse: Any,
        fit_report: str,
        scale: FittedValue,
        bg: FittedValue,
        dx: FittedValue,
        dy: FittedValue,
        fwhm: FittedValue,
        beta: FittedValue,
        rms_error: float,
        *,
        correlation: float = 0.0,
    ) -> None:
        with imphot_errors():
            image = read_image(muse, role="muse")
        self.name = image.name
        self.method = method
        self.fit_report = fit_report
        self.scale, self.bg, self.dx, self.dy, self.fwhm, self.beta = scale, bg, dx, dy, fwhm, beta
        self.rms_error = float(rms_error)
        self.product: Photometry | None = None
        parts = [Estimate(value=one.value, stderr=one.stdev, fixed=one.fixed, flag=one.flag) for one in (dx, dy)]
        shared = 0.0 if dx.fixed or dy.fixed else correlation * dx.stdev * dy.stdev
        covariance = np.array([[dx.stdev**2, shared], [shared, dy.stdev**2]])
        dra, ddec = offset_on_sky(parts[0], parts[1], covariance, image.wcs, image.shape)
        self.dra, self.ddec = FittedValue.of(dra), FittedValue.of(ddec)

    def summary(self, header: bool = True) -> str:
        """The results in one line.

        Parameters
        ----------
        header : bool
            Whether three lines of headings go before.

        Returns
        -------
        str
            imphot's text, without a newline at the end.
        """
        return summary_text(cast("Photometry", self), header=header)

    @property
    def word(self) -> str:
        """The method, under the name that our tables have for it."""
        return self.method

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know: noise level fitted, pixels left out, parameters not constrained."""
        return () if self.product is None else self.product.notes

    def __str__(self) -> str:
        return f"Report of HST {self.method} photometry fit of MUSE observation {self.name}\n{self.fit_report}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}: fwhm {self.fwhm.value:.4f} +- {self.fwhm.stdev:.4f} arcsec>"

    def _repr_html_(self) -> str | None:
        return None if self.product is None else self.product._repr_html_()


class FittedImagePhotometry(FittedPhotometry):
    """Result of `fit_image_photometry`.

    Parameters
    ----------
    muse : image
        The image that was fitted.
    results : lmfit.model.ModelResult or lmfit.minimizer.MinimizerResult
        The fit, with the parameters scale, bg, dx, dy, fwhm and beta.
    rms_error : float
        Root mean square of the residual pixels.

    Attributes
    ----------
    rchi : float
        Reduced chi squared of the fit.
    """

    def __init__(self, muse: Any, results: Any, rms_error: float) -> None:
        parameters = results.params
        values = {name: FittedValue(parameters[name]) for name in _NAMES}
        correlation = (parameters["dx"].correl or {}).get("dy", 0.0)
        super().__init__("image", muse, _report(results), **values, rms_error=rms_error, correlation=correlation)
        self.rchi = float(results.redchi)

    @classmethod
    def of(cls, product: ImagePhotometry) -> FittedImagePhotometry:
        """The fit as imphot returns it, from one of ours."""
        fit = cls.__new__(cls)
        _take(fit, "image", product, _report(product.lmfit))
        fit.rchi = float(product.lmfit.redchi)
        return fit


class FittedStarPhotometry(FittedPhotometry):
    """Result of `fit_star_photometry`.

    Parameters
    ----------
    muse : image
        The image that was fitted.
    muse_results, hst_results : lmfit.model.ModelResult or lmfit.minimizer.MinimizerResult
        The profiles in the image and in the reference, with the parameters flux, bg, dx, dy, fwhm and beta.
    rms_error : float
        Root mean square of the residual pixels of the star in the image.
    ra, dec : float
        Position about which the profiles were fitted, degrees.

    Attributes
    ----------
    ra, dec : float
        As above.
    muse_fwhm, muse_beta, muse_dx, muse_dy, muse_bg, muse_flux : FittedValue
        Profile of the star in the image.
    hst_fwhm, hst_beta, hst_dx, hst_dy, hst_bg, hst_flux : FittedValue
        Profile of the star in the reference.
    muse_rchi, hst_rchi : float
        Reduced chi squared of both.
    """

    muse_fwhm: FittedValue
    muse_beta: FittedValue
    muse_dx: FittedValue
    muse_dy: FittedValue
    muse_bg: FittedValue
    muse_flux: FittedValue
    hst_fwhm: FittedValue
    hst_beta: FittedValue
    hst_dx: FittedValue
    hst_dy: FittedValue
    hst_bg: FittedValue
    hst_flux: FittedValue

    def __init__(self, muse: Any, muse_results: Any, hst_results: Any, rms_error: float, ra: float, dec: float) -> None:
        image, reference = ({name: FittedValue(results.params[name]) for name in _PROFILE} for results in (muse_results, hst_results))
        report = _star_report(muse_results, hst_results)
        bg, dx, dy = (_difference(image[name], reference[name]) for name in ("bg", "dx", "dy"))
        scale = _ratio(image["flux"], reference["flux"])
        super().__init__("stars", muse, report, scale, bg, dx, dy, image["fwhm"], image["beta"], rms_error)
        self.ra, self.dec = float(ra), float(dec)
        self.muse_rchi, self.hst_rchi = float(muse_results.redchi), float(hst_results.redchi)
        _set_profiles(self, image, reference)

    @classmethod
    def of(cls, product: StarPhotometry) -> FittedStarPhotometry:
        """The fit as imphot returns it, from one of ours."""
        fit = cls.__new__(cls)
        results = (product.lmfit_of("image"), product.lmfit_of("reference"))
        _take(fit, "stars", product, _star_report(*results))
        fit.ra, fit.dec, _ = product.star
        fit.muse_rchi, fit.hst_rchi = (float(one.redchi) for one in results)
        image, reference = (
            {name: FittedValue.of(part[name]) for name in _PROFILE} for part in (product.result.image, product.result.reference)
        )
        _set_profiles(fit, image, reference)
        return fit


def _take(fit: FittedPhotometry, method: str, product: Photometry, report: str) -> None:
    """Take values, errors, flags and name of one of our own fits."""
    fit.method, fit.name, fit.rms_error, fit.product = method, product.name, product.rms_error, product
    fit.fit_report = "\n".join([report, *(f"[[Note]] {note}" for note in product.notes)])
    for name, estimate in product.estimates.items():
        setattr(fit, name, FittedValue.of(estimate))


def _set_profiles(fit: FittedStarPhotometry, image: dict[str, FittedValue], reference: dict[str, FittedValue]) -> None:
    for which, values in (("muse", image), ("hst", reference)):
        for name in _PROFILE:
            setattr(fit, f"{which}_{name}", values[name])


def _report(results: Any) -> str:
    """Report of lmfit, from either kind of its results."""
    from lmfit import fit_report

    return str(results.fit_report() if hasattr(results, "fit_report") else fit_report(results))


def _star_report(muse_results: Any, hst_results: Any) -> str:
    """Both reports under imphot's headings."""
    named = (("MUSE", muse_results), ("HST", hst_results))
    return "\n".join(f"The fit of the star in the {which} image:\n{_report(results)}" for which, results in named)


def _ratio(one: FittedValue, other: FittedValue) -> FittedValue:
    """Quotient of two independent values, as imphot's documentation defines the scale of a star fit."""
    stdev = math.hypot(one.stdev * other.value, one.value * other.stdev) / other.value**2 if other.value else math.inf
    return FittedValue(value=one.value / other.value if other.value else math.nan, stdev=stdev, fixed=one.fixed and other.fixed)


def _difference(one: FittedValue, other: FittedValue) -> FittedValue:
    return FittedValue(value=one.value - other.value, stdev=math.hypot(one.stdev, other.stdev), fixed=one.fixed and other.fixed)
