"""What is drawn over a view: a coordinate grid and regions, in pixels of the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.region_outlines import region_outlines
from nbmosaic.core.geometry.sky import CelestialSystem, SkyPixels, frame_change
from nbmosaic.core.geometry.sky_grid import GridLine, sky_grid_lines
from nbmosaic.errors import InputError
from nbmosaic.io.locations import parse_location
from nbmosaic.views.sky_labels import angle_label
from nbmosaic.views.sky_picture import DrawnLine, DrawnText, Mark

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.types.picture import Colour
    from nbmosaic.types.regions import RegionList

__all__ = ["GRIDS", "ViewWindow", "grid_marks", "is_equatorial", "pixel_of_location", "region_marks"]

GRIDS = {
    "own": None,
    "icrs": CelestialSystem("icrs", 0.0),
    "fk5": CelestialSystem("fk5", 2000.0),
    "galactic": CelestialSystem("galactic", 0.0),
    "ecliptic": CelestialSystem("ecliptic", 2000.0),
}
"""Systems of grids; ``own`` is that of the image."""

_SYSTEM_WORDS = {"EQUJ": "fk5", "EQUB": "fk4", "ECLJ": "ecliptic", "ECLB": "ecliptic", "GAL": "galactic", "SGAL": "supergalactic"}
_WHITE: Colour = (1.0, 1.0, 1.0)
_BLACK: Colour = (0.0, 0.0, 0.0)
_INCLUDED: Colour = (0.337, 0.706, 0.914)  # Okabe and Ito's sky blue and orange
_EXCLUDED: Colour = (0.902, 0.624, 0.0)
_LETTER = 0.75  # of the labels, in units of 14 pixels
_LETTER_WIDTH, _LINE_HEIGHT = 6.5, 14.0  # pixels of a label
_SPACING = 130.0  # pixels between lines, about


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewWindow:
    """Where a picture lies on the image.

    Attributes
    ----------
    left, bottom : float
        Its edges in pixels of the image (0-based, centres at integers).
    step : float
        Pixels of the image in a pixel of the picture.
    shape : tuple of int
        ``(ny, nx)`` of the picture.
    """

    left: float
    bottom: float
    step: float
    shape: tuple[int, int]

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """``xmin, xmax, ymin, ymax`` in pixels of the image."""
        ny, nx = self.shape
        return self.left, self.left + nx * self.step, self.bottom, self.bottom + ny * self.step

    def on_picture(self, points: FloatArray) -> FloatArray:
        """Pixels of the image as columns and rows (from the bottom) of the picture."""
        placed: FloatArray = (points - (self.left, self.bottom)) / self.step - 0.5
        return placed


def is_equatorial(system: CelestialSystem) -> bool:
    """Whether longitudes are right ascensions, which are written in hours."""
    return system.name in {"icrs", "fk5", "fk4", "fk4-no-e"}


def pixel_of_location(text: str, wcs: WCS, image_shape: tuple[int, int]) -> tuple[float, float]:
    """Pixel (x, y; 0-based) of a position that was typed.

    Right ascension and declination of J2000, and those without a system, are taken as those of the image where it is in ICRS or FK5 of J2000:
    the two differ by 0.02 arcsec, and what the image says of a position must lead back to it.

    Raises
    ------
    InputError
        It is no position, or not on the image.
    """
    lon, lat, name, equinox = parse_location(text)
    system = CelestialSystem(_SYSTEM_WORDS[name], 0.0 if name in {"GAL", "SGAL"} else equinox)
    sky = SkyPixels(wcs, image_shape)
    a, d = np.array([lon]), np.array([lat])
    own = name == "EQUJ" and equinox == 2000.0 and sky.system in (GRIDS["icrs"], GRIDS["fk5"])
    change = None if own else frame_change(system, sky.system)
    x, y = (float(value[0]) for value in sky.to_pixel(*((a, d) if change is None else change(a, d))))
    ny, nx = image_shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        raise InputError(f"{text!r} is not on the image")
    return x, y


def grid_marks(wcs: WCS, image_shape: tuple[int, int], grid: str, window: ViewWindow) -> list[Mark]:
    """Lines and labels of a coordinate grid.

    Parameters
    ----------
    wcs, image_shape
        Coordinates and shape of the image.
    grid : str
        One of `GRIDS`.
    window : ViewWindow
        The picture.
    """
    sky = SkyPixels(wcs, image_shape)
    system = GRIDS[grid] or sky.system
    hours = is_equatorial(system)
    lines = max(2, round(max(window.shape) / _SPACING))
    marks: list[Mark] = []
    labels: list[Mark] = []
    taken: list[tuple[float, float, float]] = []
    for line in sky_grid_lines(sky, system, window.limits, lines=lines, hours=hours):
        points = window.on_picture(line.points)
        marks += _outlined(points, _WHITE, alpha=0.6, width=1.0)
        text = angle_label(line.value, line.step, hours=hours and line.kind == "lon", signed=line.kind == "lat")
        label = _label(line, points, text, window.shape, taken)
        labels += [] if label is None else [label]
    return marks + labels


def _outlined(points: FloatArray, colour: Colour, *, alpha: float, width: float) -> list[Mark]:
    """A light line on a darker, wider one: seen on every background."""
    return [
        DrawnLine(points=points, colour=_BLACK, width=width + 2.0, alpha=0.35 * alpha),
        DrawnLine(points=points, colour=colour, width=width, alpha=alpha),
    ]


def _label(
    line: GridLine, points: FloatArray, text: str, shape: tuple[int, int], taken: list[tuple[float, float, float]]
) -> DrawnText | None:
    """Label of a line near where it enters: meridians from below, parallels from the left; none where it would hide another."""
    ny, nx = shape
    half = 0.5 * _LETTER_WIDTH * len(text) + 2.0
    finer = _finer(points)
    with np.errstate(invalid="ignore"):
        inside = finer[(finer[:, 0] >= 0) & (finer[:, 0] <= nx) & (finer[:, 1] >= 0) & (finer[:, 1] <= ny)]
    if not len(inside):
        return None
    x, y = inside[np.argmin(inside[:, 1 if line.kind == "lon" else 0])]
    x, y = float(np.clip(x, half, nx - half)), float(np.clip(y, 0.7 * _LINE_HEIGHT, ny - 0.7 * _LINE_HEIGHT))
    if any(abs(x - u) < half + other and abs(y - v) < _LINE_HEIGHT for u, v, other in taken):
        return None
    taken.append((x, y, half))
    return DrawnText(x=x, y=y, text=text, colour=_WHITE, scale=_LETTER, halo=_BLACK)


def _finer(points: FloatArray, parts: int = 8) -> FloatArray:
    """Points of a line and between them."""
    t = np.linspace(0.0, 1.0, parts, endpoint=False)[:, None, None]
    between: FloatArray = (points[None, :-1] * (1 - t) + points[None, 1:] * t).reshape(-1, 2)
    return between


def region_marks(regions: RegionList, wcs: WCS | None, image_shape: tuple[int, int], window: ViewWindow) -> Iterator[Mark]:
    """Outlines of regions; those that exclude have a bar across.

    Parameters
    ----------
    regions : RegionList
        Regions.
    wcs, image_shape
        Coordinates (None: there are none) and shape of the image.
    window : ViewWindow
        The picture.

    Raises
    ------
    InputError
        A region on the sky, and no coordinates.
    """
    for region in regions:
        colour = _EXCLUDED if region.exclude else _INCLUDED
        for outline in region_outlines(region, wcs, image_shape):
            points = window.on_picture(outline)
            yield from _outlined(points, colour, alpha=1.0, width=1.6)
        if region.exclude:
            n = len(points) - 1
            yield from _outlined(points[[n // 8, (n // 8 + n // 2) % n]], colour, alpha=1.0, width=1.6)
