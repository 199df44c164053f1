"""Point spread function, flux scale and offset of an image against a reference: what goes into a fit and what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.errors import ConfigError

__all__ = [
    "PARAMETER_NAMES",
    "Estimate",
    "FitFrame",
    "ImageFitResult",
    "MisfitSource",
    "ParameterSpec",
    "ProfileFit",
    "StarFitResult",
    "complete_parameters",
    "fit_correlation",
]

PARAMETER_NAMES = ("scale", "bg", "dx", "dy", "fwhm", "beta")
"""The six parameters, in the order of every covariance matrix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One fitted (or fixed) number.

    Attributes
    ----------
    value : float
        Best value.
    stderr : float
        Standard error: 0 where the value was fixed, infinite where the data do not constrain it.
    fixed : bool
        Whether the value was given, not fitted.
    flag : str
        Empty, or what is special: ``"at bound"`` (the standard error is that of the free parameter), ``"not constrained"``, ``"not converged"``.
    """

    value: float
    stderr: float
    fixed: bool = False
    flag: str = ""

    def __str__(self) -> str:
        text = f"{self.value:.6g} (fixed)" if self.fixed else f"{self.value:.6g} +- {self.stderr:.2g}"
        return f"{text} [{self.flag}]" if self.flag else text


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSpec:
    """How one parameter enters a fit.

    Attributes
    ----------
    value : float, optional
        Start value, or the value of a parameter that does not vary. None: the fit finds its own start.
    vary : bool
        Whether it is fitted. A parameter that does not vary needs a value.
    min, max : float
        Bounds of the fitted value.
    """

    value: float | None = None
    vary: bool = True
    min: float = -math.inf
    max: float = math.inf

    def __post_init__(self) -> None:
        if not self.min < self.max:
            raise ConfigError(f"a parameter has no room between its bounds {self.min:g} and {self.max:g}", hint="give min < max")
        if self.value is None:
            if not self.vary:
                raise ConfigError("a parameter is fixed, but at no value", hint="give its value")
        elif not math.isfinite(self.value):
            raise ConfigError(f"the value of a parameter is {self.value}", hint="give a finite number")
        elif self.vary and not self.min <= self.value <= self.max:
            raise ConfigError(f"the start value {self.value:g} is outside its bounds {self.min:g} to {self.max:g}", hint="start inside")

    @classmethod
    def at(cls, value: float) -> ParameterSpec:
        """A parameter fixed at `value`."""
        return cls(value=float(value), vary=False)


_DEFAULTS: Mapping[str, ParameterSpec] = MappingProxyType(
    {
        "scale": ParameterSpec(min=0.0),
        "bg": ParameterSpec(),
        "dx": ParameterSpec(),
        "dy": ParameterSpec(),
        "fwhm": ParameterSpec(min=0.0),
        "beta": ParameterSpec(min=1.0, max=1e6),
    }
)


def complete_parameters(given: Mapping[str, ParameterSpec] | None = None) -> dict[str, ParameterSpec]:
    """All six parameters: those given, and the defaults of the others (free; scale and fwhm not negative; beta above 1).

    Raises
    ------
    ConfigError
        A name that is no parameter, or a fixed fwhm or beta without meaning.

    Examples
    --------
    >>> complete_parameters({"beta": ParameterSpec.at(2.8)})["beta"].vary
    False
    """
    given = {} if given is None else given
    for name in given:
        if name not in PARAMETER_NAMES:
            raise ConfigError(f"there is no parameter {name!r}", hint=f"the parameters are {', '.join(PARAMETER_NAMES)}")
    out = {name: given.get(name, _DEFAULTS[name]) for name in PARAMETER_NAMES}
    for name, least in (("fwhm", 0.0), ("beta", 1.0)):
        value = out[name].value
        if value is not None and value <= least:
            raise ConfigError(f"{name} is given as {value:g}", hint=f"it must be greater than {least:g}")
    return out


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitFrame:
    """One image on the grid that image and reference share.

    Attributes
    ----------
    data : ndarray of float, shape (ny, nx)
        Pixel values (surface brightness times pixel area, of one unit for image and reference).
    mask : ndarray of bool, shape (ny, nx)
        True where a pixel is bad. Values that are not finite are bad too (see `good`).
    variance : ndarray of float, shape (ny, nx), optional
        Variance of the pixels, unit squared.
    step_arcsec : tuple of float
        ``(dy, dx)``, both positive: the size of a pixel.
    name, unit : str
        Shown in messages, tables and pictures.
    """

    data: FloatArray
    mask: BoolArray
    variance: FloatArray | None = None
    step_arcsec: tuple[float, float] = (0.2, 0.2)
    name: str = ""
    unit: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ny, nx = self.data.shape
        return ny, nx

    @property
    def good(self) -> BoolArray:
        """True where a pixel is neither masked nor not finite."""
        good: BoolArray = np.isfinite(self.data) & ~self.mask
        return good


def fit_correlation(covariance: FloatArray) -> FloatArray:
    """Correlation matrix of a covariance matrix; rows of fixed or unconstrained parameters are 0 off the diagonal."""
    diagonal = np.diag(covariance)
    usable = np.isfinite(diagonal) & (diagonal > 0)
    scale = np.where(usable, 1.0 / np.sqrt(np.where(usable, diagonal, 1.0)), 0.0)
    out: FloatArray = np.where(np.isfinite(covariance), covariance, 0.0) * scale * scale[:, None]
    np.fill_diagonal(out, 1.0)
    return out


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ImageFitResult:
    """Result of fitting a whole image by the reference, convolved, shifted and scaled.

    The model of the image is ``bg + scale * (reference convolved with a Moffat of fwhm, beta, moved by dx, dy)``.

    Attributes
    ----------
    method : str
        The estimator that was used.
    parameters : mapping of str to Estimate
        ``scale`` (image per reference), ``bg`` (unit of the image), ``dx``, ``dy`` (arcsec, towards larger pixel index: image minus reference),
        ``fwhm`` (arcsec), ``beta``.
    covariance : ndarray of float, shape (6, 6)
        In the order of `PARAMETER_NAMES`; rows and columns of fixed parameters are 0.
    chisqr, redchi : float
        Weighted sum of squared residuals, and the same per degree of freedom.
    n_data, n_free, n_evaluations : int
        Numbers of data, of free parameters, and of evaluations of the model.
    noise_factor : float
        The errors are those of noise this many times the given standard deviations; 1 where the variance plane was used as it is.
    rms_error : float
        Root mean square of the residual pixels (unit of the image).
    image, model, residual : ndarray of float, shape (ny, nx)
        What was compared, for pictures (``residual = image - model``).
    good : ndarray of bool, shape (ny, nx)
        Pixels that took part.
    sigma : ndarray of float, shape (ny, nx), optional
        Standard deviation of the pixels of `residual` (noise factor included), where it is known.
    origin : tuple of int
        ``(y, x)`` of the first pixel of these arrays in the frame that was given.
    step_arcsec : tuple of float
        ``(dy, dx)``.
    converged : bool
        Whether the fit ended by its own criterion.
    message : str
        How the fit ended, in one line.
    notes : tuple of str
        What the reader must know: noise level fitted, pixels left out, parameters not constrained.
    name, reference_name, unit : str
        Names of image and reference, unit of the image.
    """

    method: str
    parameters: Mapping[str, Estimate]
    covariance: FloatArray
    chisqr: float
    redchi: float
    n_data: int
    n_free: int
    n_evaluations: int
    noise_factor: float
    rms_error: float
    image: FloatArray
    model: FloatArray
    residual: FloatArray
    good: BoolArray
    sigma: FloatArray | None = None
    origin: tuple[int, int] = (0, 0)
    step_arcsec: tuple[float, float] = (0.2, 0.2)
    converged: bool = True
    message: str = ""
    notes: tuple[str, ...] = ()
    name: str = ""
    reference_name: str = ""
    unit: str = ""

    def __getitem__(self, name: str) -> Estimate:
        return self.parameters[name]

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix, shape (6, 6)."""
        return fit_correlation(self.covariance)

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the parameters that were fitted."""
        return tuple(name for name in PARAMETER_NAMES if not self.parameters[name].fixed)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProfileFit:
    """A star's profile in one of the two images, with the pixels that it was fitted to.

    Attributes
    ----------
    parameters : mapping of str to Estimate
        ``flux`` (sum over all pixels, unit of the image), ``bg``, ``dx``, ``dy`` (arcsec from the given position), ``fwhm`` (arcsec), ``beta``,
        and for an ellipse ``axis_ratio`` (minor by major axis) and ``angle`` (degrees from x to y).
    names : tuple of str
        Order of `covariance`.
    covariance : ndarray of float, shape (n, n)
        Rows and columns of fixed parameters are 0.
    chisqr, redchi : float
        Weighted sum of squared residuals, and the same per degree of freedom.
    n_data, n_free, n_evaluations : int
        Numbers of pixels, of free parameters, and of evaluations of the model.
    noise_factor : float
        As in `ImageFitResult`.
    rms_error : float
        Root mean square of the residual pixels.
    radius : ndarray of float, shape (n_data,)
        Distance of the pixels from the fitted centre, arcsec.
    pixels, model, sigma : ndarray of float, shape (n_data,)
        Values, fitted values, and standard deviations (noise factor included).
    curve_radius, curve : ndarray of float
        The fitted profile, background included, against radius (along the geometric mean axis for an ellipse).
    saturated : bool
        Whether the core looks saturated (flat or masked).
    """

    parameters: Mapping[str, Estimate]
    names: tuple[str, ...]
    covariance: FloatArray
    chisqr: float
    redchi: float
    n_data: int
    n_free: int
    n_evaluations: int
    noise_factor: float
    rms_error: float
    radius: FloatArray
    pixels: FloatArray
    model: FloatArray
    sigma: FloatArray
    curve_radius: FloatArray
    curve: FloatArray
    saturated: bool = False

    def __getitem__(self, name: str) -> Estimate:
        return self.parameters[name]

    @property
    def residual(self) -> FloatArray:
        """Pixels minus model."""
        return self.pixels - self.model

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix in the order of `names`."""
        return fit_correlation(self.covariance)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StarFitResult:
    """Result of fitting one star in an image and in the reference.

    Attributes
    ----------
    method : str
        ``"window"`` (one profile family for both images) or ``"imphot"`` (two independent Moffat profiles).
    parameters, covariance
        As in `ImageFitResult`: the comparison of the two stars.
    image, reference : ProfileFit
        The star in each image.
    joint_names : tuple of str
        Order of `joint_covariance`: ``image_flux`` ... then ``reference_flux`` ....
    joint_covariance : ndarray of float
        Covariance of all profile parameters of both images.
    centre : tuple of float
        ``(y, x)`` 0-based, the position given.
    radius_arcsec : float
        Radius of the pixels that were fitted.
    step_arcsec : tuple of float
        ``(dy, dx)``.
    converged, message, notes, name, reference_name, unit
        As in `ImageFitResult`.
    """

    method: str
    parameters: Mapping[str, Estimate]
    covariance: FloatArray
    image: ProfileFit
    reference: ProfileFit
    joint_names: tuple[str, ...]
    joint_covariance: FloatArray
    centre: tuple[float, float]
    radius_arcsec: float
    step_arcsec: tuple[float, float] = (0.2, 0.2)
    converged: bool = True
    message: str = ""
    notes: tuple[str, ...] = field(default=())
    name: str = ""
    reference_name: str = ""
    unit: str = ""

    def __getitem__(self, name: str) -> Estimate:
        return self.parameters[name]

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix of the six parameters."""
        return fit_correlation(self.covariance)

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the parameters that were fitted."""
        return tuple(name for name in PARAMETER_NAMES if not self.parameters[name].fixed)

    @property
    def rms_error(self) -> float:
        """Root mean square of the residual pixels of the star in the image (unit of the image)."""
        return self.image.rms_error

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the model, both images together."""
        return self.image.n_evaluations + self.reference.n_evaluations


@dataclass(frozen=True, slots=True, kw_only=True)
class MisfitSource:
    """A source of the image that the reference does not predict.

    Attributes
    ----------
    y, x : float
        Position, 0-based pixels of the frame that was given.
    kind : {"moved", "brighter", "fainter", "saturated"}
        What kind of misfit the residual shows.
    peak_sigma : float
        Largest residual, matched to the seeing, in units of its standard deviation (signed).
    flux_ratio : float
        Flux in the image by the flux that the model predicts.
    shift_arcsec : tuple of float
        ``(dy, dx)``: how far the source is from where the model has it.
    shift_sigma : float
        Length of that shift in units of its standard error.
    n_pixels : int
        Pixels of the misfit.
    radius_arcsec : float
        Radius that the exclusion mask takes out around it.
    """

    y: float
    x: float
    kind: Literal["moved", "brighter", "fainter", "saturated"]
    peak_sigma: float
    flux_ratio: float
    shift_arcsec: tuple[float, float]
    shift_sigma: float
    n_pixels: int
    radius_arcsec: float
