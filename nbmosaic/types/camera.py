"""What resampling the pieces of a mosaic camera needs to know: interpolants and fitted maps."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, replace
from enum import IntFlag

import numpy as np

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.types.box import PixelBox

__all__ = ["FITTED_FUNCTIONS", "INTERPOLANTS", "MAP_GEOMETRIES", "FittedMap", "Interpolant", "PieceFlag", "ResampledPiece"]

INTERPOLANTS = ("nearest", "linear", "poly3", "poly5", "spline3", "sinc", "lsinc", "drizzle")
FITTED_FUNCTIONS = ("chebyshev", "legendre", "polynomial")
MAP_GEOMETRIES = ("shift", "xyscale", "rotate", "rscale", "rxyscale", "general")

_TAPS = {"nearest": 1, "linear": 2, "poly3": 4, "poly5": 6, "spline3": 4, "sinc": 31, "lsinc": 31, "drizzle": 0}
_LARGEST_SINC = 255
_STEPS = 20
_LARGEST_STEPS = 10000
_SMALLEST_PIXFRAC = 0.001
_TEXT = re.compile(r"([a-z]+[35]?)(\d*)(?:\[([^\[\]]*)\])?")
_SINC = re.compile(r"(l?sinc)(\d*)(?:\[([^\[\]]*)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpolant:
    """A kernel that makes output pixels from input pixels, with its parameters.

    Attributes
    ----------
    kind : str
        One of `INTERPOLANTS`.
    taps : int
        Input pixels a side that one output pixel is made of; odd for ``sinc`` and ``lsinc``; 0 for ``drizzle``, where the map decides.
    steps : int
        Positions in a pixel that ``lsinc`` has weights for (0 for the others).
    shift : float, optional
        ``lsinc`` alone: the one sub-pixel position whose weights are used for every pixel.
    pixfrac : float
        ``drizzle`` alone: side of an input pixel once shrunk, 0.001 to 1.

    Examples
    --------
    >>> Interpolant.parse("lsinc15[10]").steps, str(Interpolant.parse("sinc16")), Interpolant.parse("drizzle[0.5]").pixfrac
    (10, 'sinc15', 0.5)
    """

    kind: str
    taps: int
    steps: int = 0
    shift: float | None = None
    pixfrac: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Interpolant:
        """Read an interpolant as IRAF writes it: ``linear``, ``sinc17``, ``lsinc15[20]``, ``lsinc15[0.25]``, ``drizzle[0.5]``.

        Parameters
        ----------
        text : str
            Name with its parameters. An even number of taps of ``sinc`` becomes the odd one below. ``lsinc[v]`` takes ``v`` of at least 0.5
            as number of steps, of -0.5 to 0.5 as the fixed shift.

        Returns
        -------
        Interpolant

        Raises
        ------
        ConfigError
            An unknown name, or a parameter that the kernel does not take.
        """
        plain = text.strip().lower()
        match = _SINC.fullmatch(plain) or _TEXT.fullmatch(plain)
        if match is None:
            raise _unknown(text)
        kind, digits, argument = match.groups()
        if kind not in INTERPOLANTS:
            raise _unknown(text)
        if kind in ("sinc", "lsinc"):
            return _parse_sinc(text, kind, digits, argument)
        if digits:
            raise _unknown(text)
        if kind == "drizzle":
            return cls(kind=kind, taps=0, pixfrac=_pixfrac(text, argument))
        if argument is not None:
            raise ConfigError(f"the interpolant {kind} takes no parameter, not {text!r}", hint=f"write {kind}")
        return cls(kind=kind, taps=_TAPS[kind])

    def __str__(self) -> str:
        """The shortest text that `parse` turns into the same interpolant."""
        if self.kind in ("sinc", "lsinc"):
            argument = f"[{self.shift:g}]" if self.shift is not None else f"[{self.steps}]" if self.steps not in (0, _STEPS) else ""
            return f"{self.kind}{self.taps if self.taps != _TAPS[self.kind] else ''}{argument}"
        if self.kind == "drizzle" and self.pixfrac != 1.0:
            return f"drizzle[{self.pixfrac:g}]"
        return self.kind


def _unknown(text: str) -> ConfigError:
    near = difflib.get_close_matches(text.strip().lower(), INTERPOLANTS, 1, 0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    return ConfigError(
        f"unknown interpolant {text!r}", hint=f"{meant}known are {', '.join(INTERPOLANTS)} (sinc17, lsinc15[20], drizzle[0.5])"
    )


def _number(text: str, argument: str) -> float:
    try:
        value = float(argument)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"the parameter of the interpolant {text!r} is no number", hint="write lsinc15[20] or drizzle[0.5]")
    return value


def _parse_sinc(text: str, kind: str, digits: str, argument: str | None) -> Interpolant:
    taps = int(digits) if digits else _TAPS[kind]
    if not 3 <= taps <= _LARGEST_SINC:
        raise ConfigError(f"the interpolant {text!r} has {taps} taps", hint=f"use 3 to {_LARGEST_SINC}")
    taps = 2 * ((taps - 1) // 2) + 1
    if kind == "sinc":
        if argument is not None:
            raise ConfigError(f"the interpolant sinc takes no parameter in brackets, not {text!r}", hint="lsinc15[20] does")
        return Interpolant(kind=kind, taps=taps)
    value = _STEPS if argument is None else _number(text, argument)
    if not -0.5 <= value <= _LARGEST_STEPS:
        raise ConfigError(f"the parameter of the interpolant {text!r} is {value:g}", hint="use a shift of -0.5 to 0.5 or up to 10000 steps")
    if value < 0.5:
        return Interpolant(kind=kind, taps=taps, steps=1, shift=value)
    return Interpolant(kind=kind, taps=taps, steps=math.floor(value + 0.5))


def _pixfrac(text: str, argument: str | None) -> float:
    value = 1.0 if argument is None else _number(text, argument)
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"the pixel fraction of the interpolant {text!r} is {value:g}", hint="use 0 to 1")
    return max(value, _SMALLEST_PIXFRAC)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FittedMap:
    """A smooth map from output pixels to input pixels that was fitted to points: a linear part and, beyond it, a distortion.

    Coordinates ``(x, y)`` count pixel centres from `origin`, on both images alike: 0 for arrays, 1 for FITS and IRAF. The basis functions
    of ``chebyshev`` and ``legendre`` have arguments that run from -1 to 1 over `limits`; those of ``polynomial`` are powers of x and y.

    Attributes
    ----------
    geometry : str
        One of `MAP_GEOMETRIES`.
    function : str
        One of `FITTED_FUNCTIONS`.
    limits : tuple of float
        ``xmin, xmax, ymin, ymax``: range of the output coordinates.
    linear : ndarray of float64, shape (2, 3)
        Coefficients of 1, x, y (in the basis) of the input's x (first row) and y.
    distortion_x, distortion_y : ndarray of float64, shape (y order, x order), optional
        Coefficients ``[j, i]`` of the product of basis function j in y and i in x, added to the linear part; 0 for terms that were not fitted.
    terms_x, terms_y : str
        Which products were fitted: ``"none"`` (no cross terms), ``"half"`` (i + j below the larger order), ``"full"``.
    rms_x, rms_y : float
        Scatter of the points about the map, in input pixels: sqrt(sum of squares / (points used - 1)).
    n_points, n_rejected : int
        Points given, and those among them that were not used.
    mean_out, mean_in : tuple of float
        Mean ``(x, y)`` of all points.
    rejected : tuple of int
        Which points (counted from 0) were rejected.
    origin : int
        Coordinate of the centre of the first pixel.
    """

    geometry: str
    function: str
    limits: tuple[float, float, float, float]
    linear: FloatArray
    distortion_x: FloatArray | None = None
    distortion_y: FloatArray | None = None
    terms_x: str = "half"
    terms_y: str = "half"
    rms_x: float = 0.0
    rms_y: float = 0.0
    n_points: int = 0
    n_rejected: int = 0
    mean_out: tuple[float, float] = (0.0, 0.0)
    mean_in: tuple[float, float] = (0.0, 0.0)
    rejected: tuple[int, ...] = ()
    origin: int = 0

    def with_origin(self, origin: int) -> FittedMap:
        """The same map in coordinates that count pixel centres from another origin.

        Parameters
        ----------
        origin : int
            0 for arrays, 1 for FITS and IRAF.

        Returns
        -------
        FittedMap
            Limits and coefficients rewritten; exact but for rounding.
        """
        if origin not in (0, 1):
            raise InputError(f"the first pixel can be number 0 or 1, not {origin}")
        step = origin - self.origin
        if step == 0:
            return self
        linear = self.linear.copy()
        surfaces = (self.distortion_x, self.distortion_y)
        if self.function == "polynomial":
            linear[:, 0] -= step * (linear[:, 1] + linear[:, 2])
            surfaces = (_moved(self.distortion_x, step), _moved(self.distortion_y, step))
        linear[:, 0] += step
        x0, x1, y0, y1 = (value + step for value in self.limits)
        return replace(
            self,
            limits=(x0, x1, y0, y1),
            linear=linear,
            distortion_x=surfaces[0],
            distortion_y=surfaces[1],
            mean_out=(self.mean_out[0] + step, self.mean_out[1] + step),
            mean_in=(self.mean_in[0] + step, self.mean_in[1] + step),
            origin=origin,
        )


def _moved(coefficients: FloatArray | None, step: float) -> FloatArray | None:
    """Coefficients of powers of ``x + step`` and ``y + step`` for those of x and y."""
    if coefficients is None:
        return None
    rows, columns = (_binomials(n, -step) for n in coefficients.shape)
    return np.asarray(rows @ coefficients @ columns.T, float)


def _binomials(n: int, step: float) -> FloatArray:
    """Matrix whose column i holds the powers of ``(x + step)**i``."""
    out = np.zeros((n, n))
    for i in range(n):
        for k in range(i + 1):
            out[k, i] = math.comb(i, k) * step ** (i - k)
    return out


class PieceFlag(IntFlag):
    """What an output pixel of a piece was made of.

    ``BAD``: its kernel reaches a bad pixel. ``EDGE``: it reaches beyond the valid section. ``OUTSIDE``: its centre lies beyond the section, so it is
    extrapolated. ``NO_DATA``: the map sees nothing there.
    """

    BAD = 1
    EDGE = 2
    OUTSIDE = 4
    NO_DATA = 8


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ResampledPiece:
    """Pixels of a piece of a mosaic camera after resampling.

    Attributes
    ----------
    box : PixelBox
        Pixels covered, on the output grid.
    data : ndarray of float32
        Resampled values; beyond the piece what the boundary rule gives. NaN where the map is undefined and, where bad pixels are excluded,
        where they have more than half of the weight.
    area : ndarray of float32, optional
        Bilinear weight of the good pixels of the valid section, 0 to 1 (``nearest``: 0 or 1).
    weight : ndarray of float32, optional
        Bilinear mean of the weights of the good pixels of the section, 0 where there are none.
    variance : ndarray of float32, optional
        Variance of `data` for independent input pixels, by the squares of the weights that they have.
    """

    box: PixelBox
    data: Float32Array
    area: Float32Array | None = None
    weight: Float32Array | None = None
    variance: Float32Array | None = None
