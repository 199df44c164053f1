"""A fit by hand: values of the PSF, the offset, the scale and the background that are tried, and what the image looks like with them.

This is what the PSF panel drives and what a program can drive in the same way: every change gives a new `PsfTrial`, the old one stays as it was. What
is slow (reading, aligning, transforming) is done once and shared; a new model of 320 x 320 pixels takes a few hundredths of a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.photometry.inputs import Star, star_position
from nbmosaic.pipeline.photometry.products import ImagePhotometry, StarPhotometry
from nbmosaic.pipeline.psf_trial.setting import FITS, Area, TrialFacts, TrialSetting, fit_option_names, values_of
from nbmosaic.pipeline.recipe import choose
from nbmosaic.types.fit_pictures import RadialProfile
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ImageFitResult, ParameterSpec, complete_parameters

if TYPE_CHECKING:
    from nbmosaic.core.psf.star_candidates import StarCandidate
    from nbmosaic.pipeline.quicklook import Picture
    from nbmosaic.views.look import Stretch

__all__ = ["PsfTrial"]

DEFAULT_RADIUS = 2.0
"""Arcsec about a star."""
_SAME_STAR = 1.0  # arcsec: a click so near to a candidate means it


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PsfTrial:
    """Values that are tried, and what follows from them.

    Attributes
    ----------
    scale, bg, dx, dy, fwhm, beta : float
        As in `nbmosaic.fit_image_photometry`: offsets and FWHM in arcsec.
    fixed : frozenset of str
        Parameters that a fit keeps at their values.
    how : str
        Which fit, one of `FITS`.
    star : Star, optional
        Right ascension, declination, radius of the star.
    area : {"everywhere", "star", "notstar"}
        What an image fit compares; star fits take the star alone.
    options : mapping
        Further options of the fits.
    last_fit : ImagePhotometry or StarPhotometry, optional
        The last fit.
    shared : TrialSetting
        What all trials of these images share.
    """

    scale: float
    bg: float
    dx: float
    dy: float
    fwhm: float
    beta: float
    fixed: frozenset[str] = frozenset()
    how: str = "image"
    star: Star | None = None
    area: Area = "everywhere"
    options: Mapping[str, Any] = field(default_factory=dict)
    last_fit: ImagePhotometry | StarPhotometry | None = None
    shared: TrialSetting

    # Changes

    def change(self, **values: Any) -> PsfTrial:
        """The same with other values of parameters, or of `fixed`, `how`, `star`, `area`, `options`.

        Raises
        ------
        ConfigError
            An unknown name, or a value without meaning.
        """
        known = (*PARAMETER_NAMES, "fixed", "how", "star", "area", "options")
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"{unknown[0]} cannot be changed", hint=f"choose of {', '.join(known)}")
        numbers = {name: float(value) for name, value in values.items() if name in PARAMETER_NAMES}
        complete_parameters({name: ParameterSpec.at(value) for name, value in numbers.items()})  # says what is wrong with them
        if "how" in values:
            choose(values["how"], FITS, option="how")
        if "area" in values:
            choose(values["area"], ("everywhere", "star", "notstar"), option="area")
        if "fixed" in values:
            values["fixed"] = frozenset(self._names(values["fixed"]))
        if values.get("star") is not None:
            values["star"] = self._checked_star(star_position(values["star"]))
        trial = replace(self, **{**values, **numbers})
        if trial.star is None and (trial.area != "everywhere" or FITS[trial.how][0] == "star"):
            what = "this fit" if FITS[trial.how][0] == "star" else f"the area {trial.area!r}"
            raise ConfigError(f"{what} needs a star", hint="choose a star first")
        return trial

    def fix(self, *names: str) -> PsfTrial:
        """The same with these parameters fixed too."""
        return self.change(fixed=self.fixed | set(self._names(names)))

    def free(self, *names: str) -> PsfTrial:
        """The same with these parameters free again."""
        return self.change(fixed=self.fixed - set(self._names(names)))

    def pick(self, star: Any, *, radius: float | None = None) -> PsfTrial:
        """The same with another star.

        Parameters
        ----------
        star : int, tuple of float, SkyCoord, str
            Number of a candidate from 0; right ascension and declination in degrees, perhaps with a radius in arcsec; a text with a position in
            degrees or sexagesimal.
        radius : float, optional
            Arcsec; default: that of the star before, or 2.
        """
        size = radius if radius is not None else (self.star.radius if self.star is not None else DEFAULT_RADIUS)
        if isinstance(star, int):
            if not 0 <= star < len(self.candidates):
                raise InputError(f"there is no candidate {star}", hint=f"there are {len(self.candidates)}, numbered from 0")
            return self.change(star=(*self.position(*self.candidates[star][1::-1]), size))
        if isinstance(star, str):
            from nbmosaic.pipeline.viewing.marks import pixel_of_location

            x, y = pixel_of_location(star, self.shared.target.wcs, self.shared.target.shape)
            return self.change(star=(*self.position(x, y), size))
        place = star_position(star, radius=None if hasattr(star, "__len__") and len(star) == 3 else size)
        return self.change(star=place if radius is None else place._replace(radius=radius))

    def pick_at(self, right: float, down: float) -> PsfTrial:
        """The star at a place of the picture, as parts of its width and height from the upper left corner; the candidate there if there is one."""
        ny, nx = self.shared.target.shape
        x, y = right * nx - 0.5, (1.0 - down) * ny - 0.5
        step_y, step_x = self.shared.setting.step
        near = [math.hypot((one.y - y) * step_y, (one.x - x) * step_x) for one in self.candidates]
        if near and min(near) < _SAME_STAR:
            return self.pick(int(np.argmin(near)))
        return self.pick(self.position(x, y))

    def pick_next(self, step: int = 1) -> PsfTrial:
        """The next candidate of the list, or by ``step=-1`` the one before; after the last comes the first."""
        if not self.candidates:
            raise InputError("no star was found", hint="give a position")
        now = self.picked if self.picked is not None else (-1 if step > 0 else 0)
        return self.pick((now + step) % len(self.candidates))

    def with_fit(self, fit: ImagePhotometry | StarPhotometry | None) -> PsfTrial:
        """The same with another last fit; the values stay."""
        return replace(self, last_fit=fit)

    def _names(self, names: Iterable[str]) -> list[str]:
        return [choose(name, PARAMETER_NAMES, option="fixed") for name in names]

    def _checked_star(self, star: Star) -> Star:
        x, y = self.pixel(star)
        ny, nx = self.shared.target.shape
        if not (-0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5):
            raise InputError(
                f"the star at {star.ra:.6f}, {star.dec:+.6f} is not on the image", hint=f"x {x:.1f}, y {y:.1f} of {nx} x {ny} pixels"
            )
        return star

    # Stars

    @property
    def candidates(self) -> tuple[StarCandidate, ...]:
        """Stars of the image, brightest first (see `nbmosaic.core.psf.star_candidates`)."""
        return self.shared.candidates

    @property
    def picked(self) -> int | None:
        """Number of the candidate that the star is; None: it is another place, or there is no star."""
        if self.star is None:
            return None
        x, y = self.pixel(self.star)
        near = [number for number, one in enumerate(self.candidates) if math.hypot(one.x - x, one.y - y) < 0.1]
        return near[0] if near else None

    def candidate_labels(self) -> tuple[tuple[str, int], ...]:
        """A label and the number of every candidate, for lists."""
        return tuple(
            (f"{number + 1}: x {one.x:.1f}, y {one.y:.1f}, flux {one.flux:.4g}, compactness {one.compactness:.2f}", number)
            for number, one in enumerate(self.candidates)
        )

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Right ascension and declination (degrees) of a pixel."""
        from nbmosaic.core.geometry.sky import pixel_to_icrs

        ra, dec = pixel_to_icrs(self.shared.target.wcs, np.array([x]), np.array([y]))
        return round(float(ra[0]), 7), round(float(dec[0]), 7)  # 0.0004 arcsec

    def pixel(self, star: Star) -> tuple[float, float]:
        """Pixel (x, y) of a star."""
        from nbmosaic.core.geometry.sky import icrs_to_pixel

        x, y = icrs_to_pixel(self.shared.target.wcs, np.array([star.ra]), np.array([star.dec]))
        return float(x[0]), float(y[0])

    # What follows from the values

    @property
    def values(self) -> dict[str, float]:
        """The six values by name."""
        return {name: float(getattr(self, name)) for name in PARAMETER_NAMES}

    @property
    def unit(self) -> str:
        """Unit of the image."""
        return self.shared.target.unit

    @property
    def names(self) -> tuple[str, str]:
        """Names of image and reference."""
        return self.shared.target.name or "image", self.shared.sky.name or "reference"

    @property
    def stretch(self) -> Stretch:
        """Colours of image and model: the same for all values."""
        return self.shared.stretch

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found while the images were read."""
        return (*self.shared.pair.notes, *self.shared.notes, *self.shared.setting.notes)

    @property
    def good(self) -> BoolArray:
        """Pixels that are compared: the same for all values."""
        return self.shared.compared(self.star, "star" if FITS[self.how][0] == "star" else self.area)

    @cached_property
    def model(self) -> FloatArray:
        """The image as the reference and these values predict it, shape (ny, nx)."""
        return self.scale * self._unscaled + self.bg

    @property
    def _unscaled(self) -> FloatArray:
        return self.shared.unscaled(np.array([self.dx, self.dy, self.fwhm, 1.0 / self.beta]))

    @property
    def image(self) -> FloatArray:
        """The image; NaN where it is bad."""
        return np.where(self.shared.setting.usable, self.shared.pair.image_frame.data, np.nan)

    @cached_property
    def residual(self) -> FloatArray:
        """Image minus model."""
        return self.image - self.model

    @property
    def sigma(self) -> FloatArray:
        """Standard deviation of the pixels; where no variance is given, the scatter of the residuals of the first trial."""
        return self.shared.deviation * self.shared.factor

    @cached_property
    def facts(self) -> TrialFacts:
        """Chi squared and the like."""
        used = self.good
        residual = self.residual[used]
        scaled = residual / self.sigma[used]
        chisqr = float(scaled @ scaled)
        return TrialFacts(
            len(scaled), chisqr, chisqr / len(scaled), float(np.sqrt(np.mean(residual**2))), float(scaled[np.argmax(np.abs(scaled))])
        )

    def with_best_scale(self) -> PsfTrial:
        """The same with the scale and the background that fit best, by weighted least squares; what is fixed stays."""
        used = self.good
        weight = 1.0 / self.sigma[used]
        columns = {"scale": self._unscaled[used] * weight, "bg": weight}
        wanted = [name for name in columns if name not in self.fixed]
        if not wanted:
            raise ConfigError("scale and bg are fixed", hint="free one of them")
        target = self.image[used] * weight
        for name in columns.keys() - set(wanted):
            target = target - getattr(self, name) * columns[name]
        found = np.linalg.lstsq(np.stack([columns[name] for name in wanted], axis=1), target, rcond=None)[0]
        return self.change(**dict(zip(wanted, map(float, found), strict=True)))

    @property
    def result(self) -> ImageFitResult:
        """The trial in the form of a fit without errors: what the figures of `nbmosaic.views.psf_figures` take."""
        facts = self.facts
        return ImageFitResult(
            method="trial",
            parameters={name: Estimate(value=value, stderr=0.0, fixed=True) for name, value in self.values.items()},
            covariance=np.zeros((6, 6)),
            chisqr=facts.chisqr,
            redchi=facts.redchi,
            n_data=facts.n_pixels,
            n_free=0,
            n_evaluations=1,
            noise_factor=self.shared.factor,
            rms_error=facts.rms,
            image=self.image,
            model=self.model,
            residual=self.residual,
            good=self.good,
            sigma=self.sigma,
            step_arcsec=self.shared.setting.step,
            name=self.names[0],
            reference_name=self.names[1],
            unit=self.unit,
        )

    @property
    def profile(self) -> RadialProfile:
        """The star, or the brightest source, against radius, with the PSF of the trial."""
        from nbmosaic.core.psf.fit_pictures import source_profile

        result = self.result
        if self.star is not None and self.area != "notstar":
            near = self.good & self.shared.star_mask(self.star)
            if near.any():
                result = replace(result, good=near)
        return source_profile(result)

    # The fit

    def run_fit(self, *, from_here: bool = False) -> PsfTrial:
        """Fit, and take the values found.

        Parameters
        ----------
        from_here : bool
            Start at the values of the trial; else the fit finds its own start.

        Returns
        -------
        PsfTrial
            With the fit as `last_fit`.

        Raises
        ------
        NbmosaicError
            What the fit raises.
        """
        from nbmosaic.pipeline.photometry import fitting as photometry

        kind = FITS[self.how][0]
        function = photometry.fit_image_photometry if kind == "image" else photometry.fit_star_photometry
        options = self.fit_options(from_here=from_here)
        fit: Any = function(self.shared.sky, self.shared.target, **options)
        fit = replace(fit, request=replace(fit.request, reference=self.shared.reference, image=self.shared.image))
        return replace(self, last_fit=fit).change(**values_of(fit))

    def fit_options(self, *, from_here: bool = False) -> dict[str, Any]:
        """Options of the fit that `run_fit` does."""
        kind, method = FITS[self.how]
        names = fit_option_names(kind)
        options = {"method": method} | {name: value for name, value in self.options.items() if name in names}
        options |= {f"fix_{name}": value for name, value in self.values.items() if name in self.fixed}
        if kind == "star" or self.area != "everywhere":
            assert self.star is not None
            options["notstar" if kind == "image" and self.area == "notstar" else "star"] = tuple(self.star)
        if from_here:
            options["start"] = {name: value for name, value in self.values.items() if name not in self.fixed}
        return options

    @property
    def is_fitted(self) -> bool:
        """Whether the values are those of the last fit."""
        return self.last_fit is not None and values_of(self.last_fit) == self.values

    def code(self) -> str:
        """The fit as Python."""
        from nbmosaic.pipeline.psf_trial.text import trial_code

        return trial_code(self)

    def line(self) -> str:
        """The fit as a line magic."""
        from nbmosaic.pipeline.psf_trial.text import trial_line

        return trial_line(self)

    @property
    def asked(self) -> tuple[Any, Any]:
        """Reference and image as they were given."""
        return self.shared.reference, self.shared.image

    @property
    def words(self) -> str:
        """The trial in words."""
        from nbmosaic.pipeline.psf_trial.text import trial_words

        return trial_words(self)

    def picture(self, kind: str = "all") -> Picture:
        """A picture without axes, drawn in milliseconds: ``image``, ``model``, ``residual``, ``profile``, or ``all`` as a figure with axes."""
        from nbmosaic.pipeline.psf_trial.pictures import trial_picture

        return trial_picture(self, kind)

    def __repr__(self) -> str:
        return f"<PsfTrial: {self.words}>"

    def _repr_html_(self) -> str:
        return self.picture()._repr_html_()
