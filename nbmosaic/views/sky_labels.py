"""Positions on the sky as text: as many digits as mean something."""

from __future__ import annotations

import math

__all__ = ["angle_label", "position_text"]

_UNITS = {True: ("h", "m", "s"), False: ("°", "'", '"')}


def angle_label(value: float, step: float, *, hours: bool = False, signed: bool = False) -> str:
    """Angle in units of 60, as far as a step makes it necessary.

    Parameters
    ----------
    value : float
        Degrees.
    step : float
        Degrees that the text must resolve.
    hours : bool
        Write hours, minutes and seconds of time.
    signed : bool
        Write a sign before positive values.

    Returns
    -------
    str
        Empty for values that are not finite.

    Examples
    --------
    >>> angle_label(275.25, 0.25, hours=True), angle_label(-16.0, 0.5, signed=True)
    ('18h21m', "-16°00'")
    """
    if not (math.isfinite(value) and step > 0):
        return ""
    unit = 15.0 if hours else 1.0
    seconds = 3600.0 * step / unit
    digits = 0 if seconds >= 1 - 1e-9 else min(6, math.ceil(-math.log10(seconds) - 1e-9))
    parts = 1 if _whole(seconds / 3600.0) else 2 if _whole(seconds / 60.0) else 3
    size = 3600.0 / 60.0 ** (parts - 1) * 10.0**-digits  # of the last digit, seconds
    count = round(abs(value) / unit * 3600.0 / size)
    if hours:
        count %= round(24 * 3600 / size)
    minus = value < 0 and count > 0
    sign = "-" if minus else "+" if signed else ""
    numbers: list[str] = []
    rest, scale, places = count, 10**digits, digits
    for _ in range(parts - 1):
        rest, last = divmod(rest, 60 * scale)
        numbers.insert(0, f"{last / scale:0{places + 3 if places else 2}.{places}f}")
        scale, places = 1, 0
    first = f"{rest:02d}" if hours else str(rest)
    return sign + "".join(f"{number}{name}" for number, name in zip([first, *numbers], _UNITS[hours], strict=False))


def _whole(number: float) -> bool:
    return number >= 1 - 1e-9 and abs(number - round(number)) < 1e-9


def position_text(lon: float, lat: float, *, equatorial: bool, resolution: float) -> str:
    r"""A position in sexagesimal form and in degrees; in degrees alone where it is not equatorial.

    Parameters
    ----------
    lon, lat : float
        Degrees.
    equatorial : bool
        Whether they are right ascension and declination.
    resolution : float
        Arcsec that the text must resolve.

    Examples
    --------
    >>> position_text(275.1657051, -16.1146105, equatorial=True, resolution=0.5)
    '18h20m39.77s -16°06\'52.6" (275.16571, -16.11461)'
    """
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return "off the sky"
    digits = min(9, max(2, math.ceil(1 - math.log10(max(resolution, 1e-6) / 3600.0))))
    plain = f"{lon:.{digits}f}, {lat:+.{digits}f}"
    if not equatorial:
        return plain
    fine = 10.0 ** math.floor(math.log10(max(resolution, 1e-6))) / 3600.0
    return f"{angle_label(lon, fine * 1.5, hours=True)} {angle_label(lat, fine, signed=True)} ({plain})"
