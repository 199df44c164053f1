"""Positions on the sky written as text."""

from __future__ import annotations

import math
import re

from nbmosaic.errors import InputError

__all__ = ["parse_location", "system_word"]

_NUMBER = r"\d+\.?\d*|\.\d+"
_DECIMAL = re.compile(rf"\s*([+-]?(?:{_NUMBER}))d?\s*[,\s]\s*([+-]?(?:{_NUMBER}))d?\s*(?P<rest>.*)\Z", re.IGNORECASE)
_SEXAGESIMAL = re.compile(
    rf"\s*(\d+)[h:\s]\s*(\d+)[m:\s]\s*({_NUMBER})s?\s*[,\s]?\s*([+-]?)\s*(\d+)[d:\s°]\s*(\d+)[m:'\s]\s*({_NUMBER})[s\"]?\s*(?P<rest>.*)\Z",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"([jb]?)\s*(\d{4}(?:\.\d*)?)\Z", re.IGNORECASE)
_SYSTEMS = {"EQUJ": "EQUJ", "EQUB": "EQUB", "ECLJ": "ECLJ", "ECLB": "ECLB", "EQ": "EQUJ", "EQU": "EQUJ", "ECL": "ECLJ", "EC": "ECLJ"}


def system_word(text: str) -> str:
    """One of EQUJ, EQUB, ECLJ, ECLB, GAL, SGAL, from any way to write it.

    Raises
    ------
    InputError
        It is none of them.

    Examples
    --------
    >>> system_word("Galactic")
    'GAL'
    """
    word = text.strip().upper()
    if word in _SYSTEMS:
        return _SYSTEMS[word]
    for start, name in (
        ("SUPERGAL", "SGAL"),
        ("SGAL", "SGAL"),
        ("SG", "SGAL"),
        ("GA", "GAL"),
        ("EQUATORIAL", "EQUJ"),
        ("ECLIPTIC", "ECLJ"),
        ("J2000", "EQUJ"),
    ):
        if word.startswith(start):
            return name
    if word.startswith("B1950"):
        return "EQUB"
    raise InputError(f"Invalid system string.  Must be EQUJ|EQUB|ECLJ|ECLB|GAL|SGAL, not {text!r}")


def parse_location(text: str) -> tuple[float, float, str, float]:
    """Read a position: degrees, or hours and degrees with minutes and seconds; a system and an equinox may follow.

    Parameters
    ----------
    text : str
        As in ``275.196 -16.172``, ``18h20m47s -16d10m19s``, ``18:20:47 -16:10:19``, ``18 20 47.0 -16 10 19``, ``15.1 -0.7 gal``, ``274.5 -16.2 eq b1950``.

    Returns
    -------
    lon, lat : float
        Degrees.
    system : str
        As `system_word`; EQUJ where none is given.
    equinox : float
        2000 (B: 1950) where none is given.

    Raises
    ------
    InputError
        It is no position: names of objects would have to be looked up over a network.

    Examples
    --------
    >>> parse_location("18h20m48s -16d10m12s")
    (275.2, -16.17, 'EQUJ', 2000.0)
    """
    sexagesimal = _SEXAGESIMAL.match(text)
    if sexagesimal:
        h, m, s, sign, d, dm, ds = sexagesimal.groups()[:7]
        if float(m) >= 60 or float(s) >= 60 or float(dm) >= 60 or float(ds) >= 60:
            raise InputError(f"location {text!r}: minutes and seconds are below 60")
        lon = 15.0 * (int(h) + int(m) / 60.0 + float(s) / 3600.0)
        lat = (int(d) + int(dm) / 60.0 + float(ds) / 3600.0) * (-1.0 if sign == "-" else 1.0)
        lon, lat, rest = round(lon, 12), round(lat, 12), sexagesimal["rest"]
    else:
        decimal = _DECIMAL.match(text)
        if decimal is None:
            raise InputError(
                f"location {text!r} is no pair of coordinates",
                hint="names of objects would need a network: give degrees, as in '275.196 -16.172'",
            )
        lon, lat, rest = float(decimal[1]), float(decimal[2]), decimal["rest"]
    if not -360.0 <= lon <= 360.0 or not math.fabs(lat) <= 90.0:
        raise InputError(f"location {text!r}: expected a longitude up to 360 and a latitude up to 90 degrees")
    system, equinox = "EQUJ", 0.0
    for word in rest.split():
        epoch = _EPOCH.match(word)
        if epoch:
            equinox = float(epoch[2])
            if epoch[1].lower() == "b" and system in {"EQUJ", "ECLJ"}:
                system = system[:3] + "B"
        else:
            system = system_word(word)
    return lon % 360.0, lat, system, equinox or (1950.0 if system.endswith("B") else 2000.0)
