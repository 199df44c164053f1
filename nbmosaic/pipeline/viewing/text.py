"""Views in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from nbmosaic.core.geometry.sky import celestial_system, pixel_scale_arcsec
from nbmosaic.pipeline.viewing.marks import is_equatorial
from nbmosaic.views.numbers import number_text
from nbmosaic.views.sky_labels import position_text

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.pipeline.viewing.viewer import View

__all__ = ["Reading", "reading_text", "scale_text", "view_code", "view_words"]

_KEPT = frozenset({"grid", "_memory", "regions", "cursor", "size"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What lies at a position.

    Attributes
    ----------
    x, y : float
        Position in 0-based pixels of the image.
    values : tuple of (str, float)
        Name and value of each image that is shown, of the pixel at the position; NaN where it has none.
    unit : str
        Their unit.
    lon, lat : float
        Position on the sky in the system of the image, degrees; NaN without coordinates or off the sky.
    text : str
        All that in words.
    """

    x: float
    y: float
    values: tuple[tuple[str, float], ...]
    unit: str
    lon: float
    lat: float
    text: str


def reading_text(
    x: float, y: float, values: tuple[tuple[str, float], ...], unit: str, position: tuple[float, float], wcs: WCS | None
) -> str:
    """A reading in one line.

    Parameters
    ----------
    x, y : float
        Position in 0-based pixels.
    values : tuple of (str, float)
        Names and values.
    unit : str
        Their unit.
    position : tuple of float
        Longitude and latitude in degrees.
    wcs : astropy.wcs.WCS, optional
        What they mean.
    """
    shown = ", ".join(f"{name} {_value(value, unit)}" for name, value in values) if len(values) > 1 else _value(values[0][1], unit)
    parts = [f"x {x:.1f}, y {y:.1f}", shown]
    if wcs is not None:
        system = celestial_system(wcs)
        where = position_text(*position, equatorial=is_equatorial(system), resolution=pixel_scale_arcsec(wcs) / 10.0)
        parts.append(f"{system.name} {where}")
    return " | ".join(parts)


def _value(value: float, unit: str) -> str:
    return f"{number_text(value)} {unit}".rstrip() if math.isfinite(value) else "no data"


def scale_text(zoom: float) -> str:
    """Scale of a picture as people say it.

    Examples
    --------
    >>> scale_text(2.0), scale_text(0.125)
    ('2', '1/8')
    """
    return f"{zoom:.3g}" if zoom >= 1.0 else f"1/{1.0 / zoom:.3g}"


def view_words(view: View) -> str:
    """What a view shows, for those who cannot see it."""
    ny, nx = view.grid.shape
    names = view.names
    if view.colours is None:
        shown = names[view.shown]
    else:
        shown = ", ".join(f"{names[number]} in {colour}" for number, colour in zip(view.colours, ("red", "green", "blue"), strict=True))
    xmin, xmax, ymin, ymax = view.window.limits
    low, high = view.limits
    unit = view.grid.layers[view.shown].unit
    parts = [
        f"{shown}, {nx} x {ny} px",
        f"columns {max(0, math.ceil(xmin))} to {min(nx - 1, math.floor(xmax))}, rows {max(0, math.ceil(ymin))} to {min(ny - 1, math.floor(ymax))}",
        f"scale {scale_text(view.zoom)}",
        f"{view.stretch} from {number_text(low, 4)} to {number_text(high, 4)} {unit}".rstrip(),
    ]
    if view.colours is None:
        parts.append(f"colours {view.colour_map}")
    if view.lines != "none":
        parts.append("coordinate grid")
    if n := len(view.regions):
        parts.append(f"{n} region{'s' * (n != 1)}")
    return "; ".join(parts)


def view_code(view: View) -> str:
    """Options that differ from those of a new view, as a call."""
    new = {f.name: f.default for f in fields(view)}
    changed = {f.name: getattr(view, f.name) for f in fields(view) if f.name not in _KEPT}
    fitted = view.fit()
    if (fitted.zoom, fitted.centre) == (view.zoom, view.centre):
        changed = {name: value for name, value in changed.items() if name not in {"zoom", "centre"}}
    options = [f"{name}={value!r}" for name, value in changed.items() if value != new[name]]
    call = f"open_view(product).change({', '.join(options)})" if options else "open_view(product)"
    return call + (f".with_regions({view.regions.name!r})" if len(view.regions) else "")
