"""Parameters of ``mscimage``: checked once, and turned into options of the pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import ConfigError

if TYPE_CHECKING:
    from nbmosaic.io.exposure import Exposure
    from nbmosaic.pipeline.camera.image import ImageOptions
    from nbmosaic.pipeline.camera.pieces import MapOptions
    from nbmosaic.pipeline.execution import Execution

__all__ = ["Parameters"]

_CHOICES = {
    "format": ("image", "mef"),
    "wcssource": ("image", "parameters", "match"),
    "boundary": ("nearest", "constant", "reflect", "wrap"),
    "fitgeometry": ("shift", "xyscale", "rotate", "rscale", "rxyscale", "general"),
    "function": ("chebyshev", "legendre", "polynomial"),
    "xxterms": ("none", "half", "full"),
    "yxterms": ("none", "half", "full"),
    "version": ("5.05", "old"),
}
_FLAGS = ("pixmask", "verbose", "fluxconserve", "interactive", "overwrite")
_NUMBERS = ("ra", "dec", "scale", "rotation", "blank", "constant")
_WHOLE = {"ntrim": 0, "nxblock": 1, "nyblock": 1, "nx": 2, "ny": 2, "xxorder": 2, "xyorder": 2, "yxorder": 2, "yyorder": 2}
_DIGITS = {"5.05": (4, 3), "old": (3, 2)}
"""Decimals of seconds of time and of arc with which each version passes coordinates on as text."""

_SAMPLING = 10
"""geotran evaluates maps at every tenth pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Parameters of one call, checked.

    Attributes
    ----------
    values : mapping
        By IRAF's names.
    """

    values: Mapping[str, Any]

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> Parameters:
        """Check the parameters of a call.

        Raises
        ------
        ConfigError
            One of them cannot be what it is, or has no effect beside the others.
        """
        values = {name: None if isinstance(value, str) and value.strip().upper() == "INDEF" else value for name, value in given.items()}
        if values["trim"] is not None:
            if values["ntrim"] not in (None, values["trim"]):
                raise ConfigError("ntrim and trim are two names of one parameter", hint="give one of them", option="trim")
            values["ntrim"] = values["trim"]
        for name, allowed in _CHOICES.items():
            if values[name] is not None or name != "boundary":
                values[name] = _choice(name, values[name], allowed)
        old = values["version"] == "old"
        defaults = {"ntrim": 7 if old else 8, "boundary": "reflect" if old else "constant"}
        values |= {name: value for name, value in defaults.items() if values[name] is None}
        for name in _FLAGS:
            values[name] = _flag(name, values[name])
        for name in _NUMBERS:
            values[name] = _number(name, values[name])
        for name, least in _WHOLE.items():
            values[name] = _whole(name, values[name], least)
        values["reference"] = str(values["reference"] or "").strip()
        _check_together(values)
        return cls(values=values)

    @property
    def old(self) -> bool:
        """Whether the older task is meant."""
        return bool(self.values["version"] == "old")

    @property
    def pixmask(self) -> bool:
        """Whether masks are written."""
        return bool(self.values["pixmask"])

    @property
    def overwrite(self) -> bool:
        """Whether files may be replaced."""
        return bool(self.values["overwrite"])

    @property
    def format(self) -> str:
        """``image`` or ``mef``."""
        return str(self.values["format"])

    @property
    def digits(self) -> tuple[int, int]:
        """Decimals of coordinates."""
        return _DIGITS[self.values["version"]]

    @property
    def execution(self) -> Execution:
        """How to run."""
        from nbmosaic.pipeline.execution import Execution

        return Execution(scratch=self.values["scratch"])

    def map_options(self) -> MapOptions:
        """The map of a piece."""
        from nbmosaic.pipeline.camera.pieces import MapOptions

        orders = {
            name: self.values[name] for name in ("xxorder", "xyorder", "xxterms", "yxorder", "yyorder", "yxterms", "nx", "ny", "function")
        }
        return MapOptions(
            geometry=self.values["fitgeometry"],
            digits=self.digits,
            whole_grid=self.values["wcssource"] == "match",
            sampling=_SAMPLING,
            **orders,
        )

    def image_options(self, exposure: Exposure, *, BPM: str) -> ImageOptions:
        """How an exposure becomes files.

        The new task puts pieces together by a mean over the values that the mask leaves, the old one pastes; of a single image there is nothing to put
        together, and its mask keeps IRAF's codes.
        """
        from nbmosaic.pipeline.camera.combining import CombineOptions
        from nbmosaic.pipeline.camera.image import ImageOptions
        from nbmosaic.pipeline.camera.pieces import PieceOptions
        from nbmosaic.types.camera import Interpolant

        values = self.values
        several = exposure.mosaic and self.format == "image"
        if self.old:
            form, rule = "values", "last"
        elif several:
            form, rule = ("blanked" if self.pixmask else "codes"), "mean"
        else:
            form, rule = "codes", "last"
        pieces = PieceOptions(
            interpolant=Interpolant.parse(values["interpolant"]),
            mask_interpolant=Interpolant.parse(values["minterpolant"]),
            boundary=values["boundary"],
            constant=values["constant"],
            trim=values["ntrim"],
            fluxconserve=values["fluxconserve"],
            bad="flag",
            form=form,
            map=self.map_options(),
        )
        return ImageOptions(
            pieces=pieces,
            combine=CombineOptions(rule=rule, blank=values["blank"]),
            layout=self.format,
            masks=self.pixmask,
            mask_name=BPM,
            plain_mask=several and not self.old,
            corners=self.old,
            one_header=self.old,
        )


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    from nbmosaic.pipeline.recipe import choose

    return choose(str(value), allowed, option=name)


def _flag(name: str, value: Any) -> bool:
    words = {"yes": True, "no": False, "y": True, "n": False, "+": True, "-": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    if value in (True, False):
        return bool(value)
    raise ConfigError(f"{name} cannot be {value!r}", hint="it is True or False", option=name)


def _number(name: str, value: Any) -> float | None:
    if value is None and name not in ("blank", "constant"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) and not (name == "blank" and isinstance(value, float)):
        raise ConfigError(f"{name} cannot be {value!r}", hint="it is a number", option=name)
    return number


def _whole(name: str, value: Any, least: int) -> int | None:
    if value is None and name in ("nxblock", "nyblock"):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < least:
        raise ConfigError(f"{name} cannot be {value!r}", hint=f"it is a whole number, {least} or more", option=name)
    return int(value)


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuse parameters that have no effect, or none together."""
    from nbmosaic.types.camera import Interpolant

    for name in ("interpolant", "minterpolant"):
        Interpolant.parse(str(values[name]))
    if values["interactive"]:
        raise ConfigError(
            "interactive fits are not offered", hint="look at the table of nbmosaic.mscimage, or at nbmosaic.fit_map", option="interactive"
        )
    source = values["wcssource"]
    given = [name for name in ("ra", "dec", "scale", "rotation") if values[name] is not None]
    if given and source != "parameters":
        raise ConfigError(
            f"{', '.join(given)} cannot be used with wcssource={source!r}", hint="set wcssource='parameters'", option=given[0]
        )
    if source == "match" and not values["reference"]:
        raise ConfigError("wcssource='match' needs a reference", hint="name the image to match", option="wcssource")
    if values["version"] == "old" and (source != "image" or values["format"] != "image"):
        raise ConfigError("the older task has neither wcssource nor format", hint="leave them out, or use version='5.05'", option="version")
    if values["scale"] is not None and not values["scale"] > 0:
        raise ConfigError(f"scale cannot be {values['scale']!r}", hint="it is in arcsec per pixel", option="scale")
