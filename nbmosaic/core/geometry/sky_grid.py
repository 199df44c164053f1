"""Lines of equal longitude and latitude across part of an image, in pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.sky import SkyPixels, frame_change
from nbmosaic.core.geometry.systems import CelestialSystem

__all__ = ["GridLine", "round_step", "sky_grid_lines"]

_LATTICE = 25
_POINTS = 120
_MARGIN = 0.02  # of the range beyond its ends: lines are drawn across the edge of the view
_PARTS = (30.0, 20.0, 15.0, 10.0, 5.0, 2.0, 1.0)  # of minutes and seconds


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GridLine:
    """One line of a grid.

    Attributes
    ----------
    kind : {"lon", "lat"}
        What is constant on it.
    value, step : float
        Its longitude or latitude, and the distance of the lines, in degrees.
    points : ndarray, shape (n, 2)
        x, y in 0-based pixels; NaN interrupts it.
    """

    kind: Literal["lon", "lat"]
    value: float
    step: float
    points: FloatArray


def round_step(span: float, lines: int, *, hours: bool = False) -> float:
    """Round distance in degrees that puts about so many lines on a range.

    Parameters
    ----------
    span : float
        Range in degrees.
    lines : int
        Lines wanted at most.
    hours : bool
        Whether it is round in hours, minutes and seconds of time; else in degrees, minutes and seconds of arc.

    Examples
    --------
    >>> round_step(1.0, 5), round_step(1.0, 5, hours=True)
    (0.25, 0.25)
    """
    unit = 15.0 if hours else 1.0
    wanted = span / unit / lines
    whole = (6.0, 3.0, 2.0, 1.0) if hours else (90.0, 45.0, 30.0, 20.0, 15.0, 10.0, 5.0, 2.0, 1.0)
    steps = [*whole, *(p / 60.0 for p in _PARTS), *(p / 3600.0 for p in _PARTS)]
    steps += [part / 3600.0 / 10.0**power for power in range(1, 7) for part in (5.0, 2.0, 1.0)]
    return unit * next((step for step in reversed(steps) if step >= wanted), steps[0])


def sky_grid_lines(
    sky: SkyPixels, system: CelestialSystem, view: tuple[float, float, float, float], *, lines: int = 5, hours: bool = False
) -> tuple[GridLine, ...]:
    """Lines of a celestial grid that cross part of an image.

    Parameters
    ----------
    sky : SkyPixels
        Coordinates of the image.
    system : CelestialSystem
        System of the grid.
    view : tuple of float
        ``xmin, xmax, ymin, ymax`` in 0-based pixels.
    lines : int
        Lines of each kind, about.
    hours : bool
        Whether longitudes are round in hours.

    Returns
    -------
    tuple of GridLine
        Meridians, then parallels; none where no point of the view is on the sky.
    """
    to_own, to_image = frame_change(sky.system, system), frame_change(system, sky.system)
    xmin, xmax, ymin, ymax = view
    x, y = np.meshgrid(np.linspace(xmin, xmax, _LATTICE), np.linspace(ymin, ymax, _LATTICE))
    lon, lat = sky.to_sky(x, y)
    if to_own is not None:
        lon, lat = to_own(lon, lat)
    good = np.isfinite(lon) & np.isfinite(lat)
    if not good.any():
        return ()
    lon, lat = lon[good], lat[good]

    def pixels(lon: FloatArray, lat: FloatArray) -> FloatArray:
        if to_image is not None:
            lon, lat = to_image(lon, lat)
        points: FloatArray = np.column_stack(sky.to_pixel(lon, lat))
        return points

    west, span_lon, south, span_lat = _ranges(lon, lat, _poles(pixels, view))
    reach = max(xmax - xmin, ymax - ymin)
    step_lon, step_lat = round_step(span_lon, lines, hours=hours), round_step(span_lat, lines)
    along_lat = np.clip(np.linspace(south - _MARGIN * span_lat, south + (1 + _MARGIN) * span_lat, _POINTS), -90.0, 90.0)
    around = min(span_lon * (1 + 2 * _MARGIN), 360.0)
    along_lon = west + span_lon / 2.0 + np.linspace(-around / 2.0, around / 2.0, _POINTS)
    meridians = [
        GridLine(kind="lon", value=value % 360.0, step=step_lon, points=_cut(pixels(np.full(_POINTS, value % 360.0), along_lat), reach))
        for value in _multiples(west, span_lon, step_lon).tolist()
    ]
    parallels = [
        GridLine(kind="lat", value=value, step=step_lat, points=_cut(pixels(along_lon % 360.0, np.full(_POINTS, value)), reach))
        for value in _multiples(south, span_lat, step_lat).tolist()
        if abs(value) < 90.0
    ]
    return (*meridians, *parallels)


def _poles(pixels: Callable[[FloatArray, FloatArray], FloatArray], view: tuple[float, float, float, float]) -> list[float]:
    """Latitudes of the poles that lie in the view."""
    xmin, xmax, ymin, ymax = view
    poles = np.array([-90.0, 90.0])
    places = pixels(np.zeros(2), poles)
    return [float(pole) for pole, (x, y) in zip(poles, places, strict=True) if xmin <= x <= xmax and ymin <= y <= ymax]


def _ranges(lon: FloatArray, lat: FloatArray, poles: list[float]) -> tuple[float, float, float, float]:
    """First longitude and range, first latitude and range."""
    middle = np.degrees(np.arctan2(np.sin(np.radians(lon)).mean(), np.cos(np.radians(lon)).mean()))
    away = (lon - middle + 180.0) % 360.0 - 180.0
    west, east = float(away.min()), float(away.max())
    if poles or east - west > 300.0:
        west, east = -180.0, 180.0
    south, north = min([float(lat.min()), *poles]), max([float(lat.max()), *poles])
    return float(middle) + west, max(east - west, 1e-9), south, max(north - south, 1e-9)


def _multiples(first: float, span: float, step: float) -> FloatArray:
    """Multiples of a step in a range; of a full circle one of the two ends."""
    numbers = np.arange(np.ceil(first / step - 1e-9), np.floor((first + span) / step + 1e-9) + 1)
    values: FloatArray = numbers[: round(360.0 / step)] * step
    return values


def _cut(points: FloatArray, reach: float) -> FloatArray:
    """Interrupt a line where it leaves the projection on one side and comes back on the other."""
    jump = np.hypot(*np.diff(points, axis=0).T) > reach
    out = points.copy()
    out[1:][jump] = np.nan
    return out
