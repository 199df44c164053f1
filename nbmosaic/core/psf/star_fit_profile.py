"""Profiles of a star with their derivatives: Moffat (round or elliptical), and the reference's window profile from a table."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import j0

from nbmosaic._types import FloatArray
from nbmosaic.core.psf.fourier_window import reference_response

__all__ = ["MoffatShape", "StarShape", "WindowShape", "window_profile"]

_LN2 = math.log(2.0)
_NODES = (-math.sqrt(0.15), 0.0, math.sqrt(0.15))
_WEIGHTS = (5 / 18, 8 / 18, 5 / 18)


class StarShape(Protocol):
    """A profile of unit flux as a function of a few shape parameters; ``x0`` and ``y0`` come first."""

    @property
    def area(self) -> float:
        """Area of a pixel, arcsec squared."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shape parameters."""
        ...

    def evaluate(self, shape: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Flux per pixel and its derivatives, shape (n_parameters, n_pixels), at positions in arcsec."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MoffatShape:
    """Moffat profile; parameters ``x0, y0, ln(fwhm), 1 / beta`` and, for an ellipse, ``g1, g2``.

    In ``v = 1 / beta`` the profile is smooth at 0, where it is a Gaussian, so that a fit may come near it without trouble.
    An ellipse has the unimodular form ``exp(-G)``, ``G = [[g1, g2], [g2, -g1]]``: the geometric mean of its axes is the FWHM, the ratio of minor to
    major axis ``exp(-|g|)``, the angle of the major axis ``atan2(g2, g1) / 2``.

    Attributes
    ----------
    area : float
        Area of a pixel, arcsec squared.
    elliptical : bool
        Whether ``g1, g2`` are parameters.
    pixel : tuple of float, optional
        ``(dy, dx)`` arcsec: the profile is averaged over pixels of this size (3 x 3 Gauss-Legendre points). None: taken at their centres.
    """

    area: float
    elliptical: bool = False
    pixel: tuple[float, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shape parameters."""
        return ("x0", "y0", "ln_fwhm", "v", "g1", "g2") if self.elliptical else ("x0", "y0", "ln_fwhm", "v")

    def evaluate(self, shape: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Flux per pixel of a star of unit flux, and its derivatives."""
        if self.pixel is None:
            return self._at_points(shape, x, y)
        total, slopes = np.zeros(x.size), np.zeros((len(self.names), x.size))
        for node_y, weight_y in zip(_NODES, _WEIGHTS, strict=True):
            for node_x, weight_x in zip(_NODES, _WEIGHTS, strict=True):
                value, slope = self._at_points(shape, x + node_x * self.pixel[1], y + node_y * self.pixel[0])
                total += weight_x * weight_y * value
                slopes += weight_x * weight_y * slope
        return total, slopes

    def _at_points(self, shape: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        dx, dy = x - shape[0], y - shape[1]
        v = float(shape[3])
        grown = math.expm1(v * _LN2)  # 2**(1/beta) - 1
        growth = _LN2 * (1 + grown) / grown  # its logarithmic derivative
        inverse_a2 = 4 * grown * math.exp(-2 * float(shape[2]))
        if self.elliptical:
            form, along_x, along_y, by_g1, by_g2 = _elliptical_form(dx, dy, float(shape[4]), float(shape[5]))
        else:
            form, along_x, along_y = dx * dx + dy * dy, dx, dy
        w = inverse_a2 * form
        log_u = np.log1p(w)
        value = (self.area * (1 - v) / v * inverse_a2 / math.pi) * np.exp(log_u * (-1 / v))
        slopes = np.empty((len(shape), x.size))
        steep = value / (v * (1 + w))
        np.multiply(steep, (2 * inverse_a2) * along_x, out=slopes[0])
        np.multiply(steep, (2 * inverse_a2) * along_y, out=slopes[1])
        steep_w = steep * w
        slopes[2] = 2 * steep_w - 2 * value
        slopes[3] = value * (log_u / v**2 + (growth - 1 / v - 1 / (1 - v))) - growth * steep_w
        if self.elliptical:
            slopes[4] = -inverse_a2 * steep * by_g1
            slopes[5] = -inverse_a2 * steep * by_g2
        return value, slopes


def _elliptical_form(
    dx: FloatArray, dy: FloatArray, g1: float, g2: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Quadratic form of exp(-G), half its gradient in the position, and its derivatives in g1 and g2."""
    h = math.hypot(g1, g2)
    cosh = math.cosh(h)
    if h > 1e-4:
        ratio = math.sinh(h) / h
        bend = (cosh - ratio) / h**2  # (d ratio / dh) / h
    else:
        ratio, bend = 1 + h * h / 6, 1 / 3 + h * h / 30
    round_, plus, cross = dx * dx + dy * dy, dx * dx - dy * dy, 2 * dx * dy
    turned = g1 * plus + g2 * cross
    form = cosh * round_ - ratio * turned
    along_x = (cosh - ratio * g1) * dx - ratio * g2 * dy
    along_y = (cosh + ratio * g1) * dy - ratio * g2 * dx
    by_g1 = g1 * (ratio * round_ - bend * turned) - ratio * plus
    by_g2 = g2 * (ratio * round_ - bend * turned) - ratio * cross
    return form, along_x, along_y, by_g1, by_g2


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowShape:
    """Radial profile from a spline: a point source as the resampled reference shows it; parameters ``x0, y0``.

    Attributes
    ----------
    area : float
        Area of a pixel, arcsec squared.
    profile, slope : callable
        Surface brightness of unit flux and its derivative, against radius in arcsec.
    """

    area: float
    profile: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]

    @classmethod
    def of_reference(cls, fwhm: float, beta: float, *, step: float, reach: float) -> WindowShape:
        """The profile of `window_profile`, per pixel of the grid."""
        profile, slope = window_profile(fwhm, beta, step, reach)
        return cls(area=step * step, profile=profile, slope=slope)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shape parameters."""
        return ("x0", "y0")

    def evaluate(self, shape: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Flux per pixel of a star of unit flux, and its derivatives."""
        dx, dy = x - shape[0], y - shape[1]
        r = np.hypot(dx, dy)
        value = self.area * self.profile(r)
        steep = -self.area * self.slope(r) / np.maximum(r, 1e-12)
        return value, np.stack([steep * dx, steep * dy])


@functools.lru_cache(maxsize=16)
def window_profile(fwhm: float, beta: float, step: float, reach: float) -> tuple[CubicSpline, CubicSpline]:
    """Radial profile of a point source in the reference after mpdaf's resampling, and its slope.

    Parameters
    ----------
    fwhm, beta : float
        Moffat profile of the reference before resampling (arcsec).
    step : float
        Pixel of the grid that it was resampled to, arcsec.
    reach : float
        Largest radius, arcsec.

    Returns
    -------
    profile, slope : scipy.interpolate.CubicSpline
        Surface brightness of unit flux per arcsec squared, and its derivative.

    Notes
    -----
    ``W(r) = 2 pi int_0^q B(k / q) P(k) J0(2 pi k r) k dk`` with ``q = 1 / (2 step)``, B the window and P the transfer function of the Moffat. The
    substitution ``k = q u^2`` makes the integrand smooth at 0, where P has a cusp (for beta 1.6, ``1 - c k^1.2``) that makes the far wings.
    """
    nyquist = 0.5 / step
    n_nodes = 48 + int(4 * reach * nyquist)
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    u = 0.5 * (nodes + 1)
    k = nyquist * u * u
    amplitude = reference_response(k, u * u, hst_fwhm=fwhm, hst_beta=beta) * k * (nyquist * u) * weights
    # 0.15 pixel: the spline is right to 2e-5 of the peak
    radius = np.linspace(0.0, reach, 2 + int(reach / (0.15 * step)))
    values = 2 * math.pi * (j0(2 * math.pi * radius[:, None] * k) @ amplitude)
    spline = CubicSpline(radius, values, bc_type="not-a-knot")
    return spline, spline.derivative()
