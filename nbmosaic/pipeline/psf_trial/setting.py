"""What all trials of one pair of images share: the transform of the reference, the pixels that are compared, the noise, stars, colours."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.errors import AlgorithmError
from nbmosaic.pipeline.photometry.inputs import Star, aligned_pair, combined_mask, fit_regions, read_image
from nbmosaic.types.photometry import PARAMETER_NAMES, complete_parameters

if TYPE_CHECKING:
    from nbmosaic.core.psf.image_fit_beyond import Point
    from nbmosaic.core.psf.image_fit_setting import FitSetting
    from nbmosaic.core.psf.star_candidates import StarCandidate
    from nbmosaic.pipeline.photometry.products import Photometry
    from nbmosaic.views.look import Stretch

__all__ = ["FITS", "Area", "TrialFacts", "TrialSetting", "fit_option_names", "values_of"]

Area = Literal["everywhere", "star", "notstar"]
FITS: Mapping[str, tuple[Literal["image", "star"], str]] = {
    "image": ("image", "whitened"),
    "image, imphot": ("image", "imphot"),
    "star": ("star", "window"),
    "star, imphot": ("star", "imphot"),
}
"""Kinds of fits by name: function and estimator."""
_REACH = 1.6  # fwhm from sky that the reference does not know, as in the fit


class TrialFacts(NamedTuple):
    """How well a trial describes the image.

    Attributes
    ----------
    n_pixels : int
        Pixels compared.
    chisqr : float
        Sum of the squared residuals in units of their standard deviation.
    redchi : float
        The same by the number of pixels.
    rms : float
        Root mean square of the residuals, in the unit of the image.
    worst : float
        Largest residual, in standard deviations.
    """

    n_pixels: int
    chisqr: float
    redchi: float
    rms: float
    worst: float


class TrialSetting:
    """Image and reference, prepared once.

    Parameters
    ----------
    reference, image : object
        As `nbmosaic.fit_image_photometry` takes them.
    options : mapping
        Options of that fit which say what is compared: regions, segment, extramask, hst_fwhm, hst_beta, margin, any_unit, regrid_reference.
    start : mapping
        Values to start with; parameters that it does not have are found from the spectra of the two.
    """

    def __init__(self, reference: Any, image: Any, options: Mapping[str, Any], start: Mapping[str, float]) -> None:
        from nbmosaic.core.psf.image_fit_plane import PlaneProblem
        from nbmosaic.core.psf.image_fit_setting import prepare_image_fit
        from nbmosaic.pipeline.photometry.inputs import fit_parameters

        self.reference, self.image = reference, image
        self.sky, self.target = read_image(reference, role="reference"), read_image(image)
        given = {name: options[name] for name in ("extramask", "any_unit", "regrid_reference") if name in options}
        self.pair = aligned_pair(self.sky, self.target, **given)
        self._regions, self._segment = options.get("regions"), bool(options.get("segment", False))
        self.hst_psf = (float(options.get("hst_fwhm", 0.085)), float(options.get("hst_beta", 1.6)))
        sky_mask, self.notes = self._mask(None, "everywhere")
        shape = {name: value for name, value in start.items() if name in {"dx", "dy", "fwhm", "beta"}}
        self.setting: FitSetting = prepare_image_fit(
            self.pair.reference_frame,
            self.pair.image_frame,
            parameters=complete_parameters(fit_parameters(shape)),
            sky_mask=sky_mask,
            offset=self.pair.offset,
            margin_arcsec=float(options.get("margin", 2.0)),
            taper=0,
            hst_psf=self.hst_psf,
            noise="auto",
        )
        self.problem = PlaneProblem(self.setting.spectrum, self.pair.image_frame.data, np.ones(self.pair.image.shape))
        self.factor = 1.0
        self._compared: tuple[tuple[Star | None, Area], BoolArray] | None = None

    def unscaled(self, x: FloatArray) -> FloatArray:
        """Model of unit scale without background, for ``dx, dy, fwhm, 1 / beta``; shape (ny, nx)."""
        from nbmosaic.core.psf.image_fit_beyond import light_beyond

        out: FloatArray = self.problem.model(x) + light_beyond(self.problem, self._points, x, 1.0)
        return out

    @cached_property
    def _points(self) -> tuple[Point, ...]:
        """The 30 brightest sources, however faint: where a source is, and what it has at the highest frequencies, does not depend on the values tried."""
        from nbmosaic.core.psf.image_fit_beyond import bright_points

        found = self.setting.start
        x = np.array([found.dx, found.dy, found.fwhm, 1.0 / found.beta])
        return bright_points(self.problem, x, 1.0, float(np.finfo(float).tiny))

    @property
    def start(self) -> dict[str, float]:
        """Values of dx, dy, fwhm and beta to start with."""
        found = self.setting.start
        return {"dx": found.dx, "dy": found.dy, "fwhm": found.fwhm, "beta": min(found.beta, 1e4)}

    def _mask(self, star: Star | None, area: Area) -> tuple[BoolArray | None, tuple[str, ...]]:
        place = None if star is None else tuple(star)
        regions = fit_regions(
            self._regions if self._regions not in ("star", "notstar") else None,
            place if area == "star" else None,
            place if area == "notstar" else None,
        )
        return combined_mask(self.pair, regions, segment=self._segment)

    def compared(self, star: Star | None, area: Area) -> BoolArray:
        """Pixels that are compared, the same for all values of the parameters, so that chi squared means the same for all.

        Parameters
        ----------
        star : Star, optional
            The star.
        area : {"everywhere", "star", "notstar"}
            Everywhere, only the circle about the star, or without it.

        Raises
        ------
        AlgorithmError
            No pixel is left.
        """
        key = (None if area == "everywhere" else star, area)
        if self._compared is None or self._compared[0] != key:
            mask, _ = self._mask(*key)
            used = self.setting.usable & ~self._far
            if mask is not None:
                from nbmosaic.core.psf.image_fit_spectrum import shifted

                used &= ~shifted(mask, self._shift, fill=False)
            if not used.any():
                raise AlgorithmError("no pixel is left to compare", hint="check the star, masks and regions")
            self._compared = (key, used)
        return self._compared[1]

    @property
    def _shift(self) -> tuple[int, int]:
        (dy, dx), start = self.setting.step, self.setting.start
        return math.floor(start.dy / dy + 0.5), math.floor(start.dx / dx + 0.5)

    @cached_property
    def _far(self) -> BoolArray:
        """Pixels near sky that the reference does not know."""
        from nbmosaic.core.psf.image_fit_plane import reach_mask

        fwhm = self.setting.start.fwhm
        reach = (math.ceil(_REACH * fwhm / self.setting.step[0]), math.ceil(_REACH * fwhm / self.setting.step[1]))
        return reach_mask(self.setting.spectrum, self.pair.image.shape, self._shift, reach)

    @cached_property
    def deviation(self) -> FloatArray:
        """Standard deviation of the pixels as their variance says; 1 where there is none."""
        out: FloatArray = np.sqrt(self.setting.variance)
        return out

    def use_scatter(self, residual: FloatArray, used: BoolArray) -> None:
        """Where no variance is given, take the scatter of a residual for the standard deviation of the pixels."""
        if self.setting.image.variance is None:
            values = residual[used]
            self.factor = 1.4826 * float(np.median(np.abs(values - np.median(values)))) or 1.0

    def star_mask(self, star: Star) -> BoolArray:
        """True in the circle about a star."""
        mask, _ = combined_mask(self.pair, fit_regions(None, star, None), segment=False)
        return np.ones(self.pair.image.shape, bool) if mask is None else ~mask

    @cached_property
    def candidates(self) -> tuple[StarCandidate, ...]:
        """Stars of the image, brightest first."""
        from nbmosaic.core.psf.star_candidates import find_star_candidates

        hst_fwhm, hst_beta = self.hst_psf
        return find_star_candidates(self.pair.reference_part, self.pair.image_frame, hst_fwhm=hst_fwhm, hst_beta=hst_beta)

    @cached_property
    def stretch(self) -> Stretch:
        """Colours of image and model."""
        from nbmosaic.views.look import robust_stretch

        data = self.pair.image_frame
        return robust_stretch(np.where(data.good, data.data, np.nan), percentiles=(0.5, 99.7))


@functools.lru_cache(maxsize=2)
def fit_option_names(kind: Literal["image", "star"]) -> frozenset[str]:
    """Options that a trial hands on to a fit: all but those that it has a place of its own for.

    Parameters
    ----------
    kind : {"image", "star"}
        Which fit.
    """
    from nbmosaic.pipeline.photometry import fitting as photometry

    function = photometry.fit_image_photometry if kind == "image" else photometry.fit_star_photometry
    names = {name for name, one in inspect.signature(function).parameters.items() if one.kind is one.KEYWORD_ONLY}
    own = {"method", "start", "star", "notstar", "radius"}
    return frozenset(name for name in names - own if not name.startswith(("fix_", "init_")))


def values_of(fit: Photometry) -> dict[str, float]:
    """Values of a fit, as a trial has them.

    Parameters
    ----------
    fit : Photometry
        A fit.
    """
    from nbmosaic.pipeline.photometry.products import StarPhotometry

    values = {name: fit.result[name].value for name in PARAMETER_NAMES}
    if isinstance(fit, StarPhotometry) and fit.result.method == "imphot":
        # there bg is the plain difference of the two backgrounds, here less scale times that of the reference
        values["bg"] = fit.result.image["bg"].value - values["scale"] * fit.result.reference["bg"].value
    return values
