"""Pixels around a star: which take part, a first guess of the profile, and whether the core is saturated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.errors import InputError, SingularFitError
from nbmosaic.types.photometry import FitFrame

__all__ = ["StarPixels", "StarStart", "first_guess", "star_pixels"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StarPixels:
    """Usable pixels within the radius.

    Attributes
    ----------
    x, y : ndarray of float, shape (n,)
        Position relative to the star, arcsec.
    values : ndarray of float, shape (n,)
        Pixel values.
    variance : ndarray of float, shape (n,), optional
        Their variance.
    rows, columns : ndarray of int, shape (n,)
        Their indices in the frame.
    step : tuple of float
        ``(dy, dx)`` arcsec.
    n_masked, n_outside, n_flat : int
        Pixels of the disc that are masked, outside the frame, or left out as saturated (equal to the highest value).
    bad_x, bad_y : ndarray of float
        Positions of the masked and the saturated pixels, arcsec.
    """

    x: FloatArray
    y: FloatArray
    values: FloatArray
    variance: FloatArray | None
    rows: IntArray
    columns: IntArray
    step: tuple[float, float]
    n_masked: int
    n_outside: int
    n_flat: int
    bad_x: FloatArray
    bad_y: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StarStart:
    """First guess: position (arcsec), FWHM (arcsec), background and its noise."""

    x: float
    y: float
    fwhm: float
    background: float
    noise: float


def star_pixels(frame: FitFrame, *, centre: tuple[float, float], radius_arcsec: float, least: int) -> StarPixels:
    """Pixels whose centres are nearer to `centre` than the radius, without the bad ones.

    Pixels that share exactly the highest value (three or more) are a clipped core and are left out too.

    Raises
    ------
    InputError
        The position is not on the image.
    SingularFitError
        Fewer than `least` usable pixels.
    """
    ny, nx = frame.shape
    cy, cx = centre
    label = frame.name or "the image"
    if not (-0.5 <= cy < ny - 0.5 and -0.5 <= cx < nx - 0.5):
        raise InputError(
            f"the star at pixel (y={cy:.1f}, x={cx:.1f}) is outside {label}, which has {ny} x {nx} pixels", hint="check its position"
        )
    step_y, step_x = frame.step_arcsec
    reach_y, reach_x = radius_arcsec / step_y, radius_arcsec / step_x
    y0, y1 = math.ceil(cy - reach_y), math.floor(cy + reach_y) + 1
    x0, x1 = math.ceil(cx - reach_x), math.floor(cx + reach_x) + 1
    y = (np.arange(y0, y1, dtype=np.float64) - cy) * step_y
    x = (np.arange(x0, x1, dtype=np.float64) - cx) * step_x
    n_disc = np.count_nonzero(y[:, None] ** 2 + x * x < radius_arcsec**2)
    y, x = y[max(0, -y0) : ny - y0], x[max(0, -x0) : nx - x0]
    y0, x0 = max(0, y0), max(0, x0)
    window = np.s_[y0 : y0 + y.size, x0 : x0 + x.size]
    r2 = y[:, None] ** 2 + x * x
    disc = r2 < radius_arcsec**2
    data = frame.data[window]
    good = np.isfinite(data) & ~frame.mask[window] & disc
    if frame.variance is not None:
        with np.errstate(invalid="ignore"):
            good &= (frame.variance[window] > 0) & np.isfinite(frame.variance[window])
    n_inside, n_good = np.count_nonzero(disc), np.count_nonzero(good)
    flat = _clipped_core(data, good)
    if flat is not None:
        good &= ~flat
    bad_rows, bad_columns = (disc & ~good).nonzero()
    rows, columns = good.nonzero()
    if rows.size < least:
        raise SingularFitError(
            f"{label}: {rows.size} usable pixels within {radius_arcsec:g} arcsec of the star, {least} are needed",
            hint="the others are masked or outside; use a larger radius or another star",
        )
    return StarPixels(
        x=x[columns],
        y=y[rows],
        values=data[rows, columns].astype(np.float64),
        variance=None if frame.variance is None else frame.variance[window][rows, columns].astype(np.float64),
        rows=rows + y0,
        columns=columns + x0,
        step=(step_y, step_x),
        n_masked=int(n_inside - n_good),
        n_outside=int(n_disc - n_inside),
        n_flat=int(n_good - rows.size),
        bad_x=x[bad_columns],
        bad_y=y[bad_rows],
    )


def _clipped_core(data: FloatArray, good: BoolArray) -> BoolArray | None:
    """Pixels equal to the highest value, where they are three or more and the values differ at all; else None."""
    if not good.any():
        return None
    highest = data[good].max()
    flat: BoolArray = good & (data == highest)
    n_flat = np.count_nonzero(flat)
    if n_flat < 3 or n_flat > np.count_nonzero(good) // 3:
        return None
    return flat


def first_guess(pixels: StarPixels, radius_arcsec: float) -> StarStart:
    """Background from the outer ring, position from moments of the core above it, FWHM from the area above half the peak.

    The given position counts: pixels are weighted by ``(1 - r^2 / R^2)^2``, so that a neighbour at the rim does not draw the start to itself.
    """
    r2 = pixels.x**2 + pixels.y**2
    ring = r2 > (0.7 * radius_arcsec) ** 2
    outer = pixels.values[ring] if np.count_nonzero(ring) >= 8 else pixels.values
    background = float(np.median(outer))
    noise = 1.4826 * float(np.median(np.abs(outer - background)))
    above = pixels.values - background
    weight = np.maximum(1 - r2 / radius_arcsec**2, 0.0) ** 2
    best = int(np.argmax(above * weight))
    peak = float(above[best])
    x, y = float(pixels.x[best]), float(pixels.y[best])
    area = pixels.step[0] * pixels.step[1]
    if peak <= 0:  # no star: the position given, and a common seeing
        return StarStart(x=0.0, y=0.0, fwhm=min(0.6, radius_arcsec), background=background, noise=noise)
    near = (pixels.x - x) ** 2 + (pixels.y - y) ** 2 < (0.5 * radius_arcsec) ** 2
    floor = max(0.3 * peak, min(3 * noise, 0.8 * peak))
    core = near & (above > floor)
    total = above[core]
    mass = float(total.sum())
    x, y = float(pixels.x[core] @ total) / mass, float(pixels.y[core] @ total) / mass
    n_half = max(int(np.count_nonzero(near & (above > 0.5 * peak))), 1)
    fwhm = 2 * math.sqrt(n_half * area / math.pi)
    return StarStart(x=x, y=y, fwhm=float(np.clip(fwhm, math.sqrt(area), radius_arcsec)), background=background, noise=noise)
