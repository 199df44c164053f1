"""What an HST image says of its filter, and the factor from its unit to that of another image."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nbmosaic.errors import InputError, NbmosaicError
from nbmosaic.io.wcs_read import quiet_wcs
from nbmosaic.types.sky_image import SkyImage

__all__ = ["HST_FILTERS", "HstFilter", "flux_factor", "hst_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HstFilter:
    """Photometric calibration of one filter.

    Attributes
    ----------
    name : str
        ``"F606W"``; empty where the header has none.
    abmag_zero : float
        AB magnitude of 1 electron/s.
    photflam : float
        Flux density of 1 electron/s, erg/s/cm2/Angstrom.
    photplam : float
        Pivot wavelength, Angstrom.
    photbw : float
        Width of the band, Angstrom; NaN where it is not known.
    source : str
        ``"header"`` or ``"table"``: where `photflam` comes from.
    """

    name: str
    abmag_zero: float
    photflam: float
    photplam: float
    photbw: float
    source: str


def _table(rows: tuple[tuple[str, float, float, float, float], ...]) -> Mapping[str, HstFilter]:
    keys = ("abmag_zero", "photplam", "photflam", "photbw")
    return MappingProxyType({row[0]: HstFilter(name=row[0], source="table", **dict(zip(keys, row[1:], strict=True))) for row in rows})


HST_FILTERS = _table(
    (
        ("F435W", 25.68, 4328.2, 3.11e-19, 298.2),
        ("F475W", 26.06, 4746.9, 1.82e-19, 420.2),
        ("F555W", 25.72, 5361.0, 1.96e-19, 360.1),
        ("F606W", 26.51, 5921.1, 7.73e-20, 672.3),
        ("F625W", 25.91, 6311.4, 1.18e-19, 415.4),
        ("F775W", 25.69, 7692.4, 9.74e-20, 434.4),
        ("F814W", 25.94, 8057.0, 7.05e-20, 652.0),
        ("F850LP", 24.87, 9033.1, 1.50e-19, 525.7),
    )
)
"""Filters of ACS/WFC: AB zero points of the XDF, and band passes, as imphot has them."""

_AB_KEYS = ("ABMAG", "ABZPT", "PHOTABZP")
_PER_SECOND = frozenset(
    {"", "electrons/s", "electron/s", "electrons/sec", "e-/s", "e/s", "counts/s", "count/s", "counts/sec", "cps", "dn/s", "adu/s", "ct/s"}
)
_WHOLE_EXPOSURE = frozenset({"electrons", "electron", "e-", "counts", "count", "dn", "adu", "ct"})


def hst_filter(what: SkyImage | str | Mapping[str, Any]) -> HstFilter:
    """Calibration of an HST image or filter.

    Parameters
    ----------
    what : SkyImage, mapping or str
        Image, header values, or name of a filter.

    Returns
    -------
    HstFilter
        PHOTFLAM, PHOTPLAM, PHOTBW and the AB zero point (ABMAG) of the header where it has them, the rest of the table `HST_FILTERS`. The
        filter is FILTER, else FILTER1 unless it is clear (CLEAR1L, ...), else FILTER2, FILTNAM1 and FILTNAM2 likewise.

    Raises
    ------
    InputError
        No filter keyword, or a filter that is not in the table, and a header that does not say enough by itself; numbers that make no sense.

    Notes
    -----
    ``abmag_zero = -2.5 log10(photflam) - 5 log10(photplam) - 2.408``. imphot takes its table whatever the header says, also for images of other
    cameras: for a WFPC2 image in F606W that is wrong by a factor of 25.

    Examples
    --------
    >>> hst_filter("f775w").photflam
    9.74e-20
    """
    if isinstance(what, str):
        return _of_table(what.strip().upper(), "")
    image = isinstance(what, SkyImage)
    values: Mapping[str, Any] = {**what.cards, **what.primary} if isinstance(what, SkyImage) else what
    where = (what.name if isinstance(what, SkyImage) and image else "") or "HST image"
    name = _filter_name(values)
    flam, plam, width = (_number(values, key, where) for key in ("PHOTFLAM", "PHOTPLAM", "PHOTBW"))
    zero = next((found for key in _AB_KEYS if (found := _number(values, key, where, positive=False)) is not None), None)
    known = HST_FILTERS.get(name)
    if plam is None and known is not None:
        plam = known.photplam
    if flam is None and zero is not None and plam is not None:
        flam = 10.0 ** (-0.4 * (zero + 2.408)) / plam**2
    if flam is None:
        if not name:
            raise InputError("Missing FILTER keyword in HST image header", hint=f"{where} has no PHOTFLAM and PHOTPLAM either")
        return _of_table(name, where)
    if zero is None:
        zero = math.nan if plam is None else -2.5 * math.log10(flam) - 5.0 * math.log10(plam) - 2.408
    if width is None:
        width = math.nan if known is None else known.photbw
    return HstFilter(name=name, abmag_zero=zero, photflam=flam, photplam=math.nan if plam is None else plam, photbw=width, source="header")


def _of_table(name: str, where: str) -> HstFilter:
    if name not in HST_FILTERS:
        raise InputError(
            f"Unrecognized filter ({name[:20]}) in HST image header" if where else f"Unrecognized filter ({name[:20]})",
            hint=f"known are {', '.join(HST_FILTERS)}; or give PHOTFLAM and PHOTPLAM in the header",
        )
    return HST_FILTERS[name]


def _filter_name(values: Mapping[str, Any]) -> str:
    """First filter that is not clear; drizzled images name both wheels in one card (``F606W;CLEAR2L``), WFPC2 has numbers in FILTER1 and FILTER2."""
    for key in ("FILTER", "FILTER1", "FILTER2", "FILTNAM1", "FILTNAM2"):
        value = values.get(key)
        for name in re.split(r"[;,+\s]+", value.strip().upper()) if isinstance(value, str) else ():
            if name and not name.startswith("CLEAR"):
                return name
    return ""


def _number(values: Mapping[str, Any], key: str, where: str, *, positive: bool = True) -> float | None:
    """Number of a card; None where it is missing or 0 (as pipelines write it where they do not know)."""
    value = values.get(key)
    if value is None or isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return None
    if not math.isfinite(value) or (positive and value < 0):
        raise InputError(f"{where} has {key} = {value:g}", hint="mend its header")
    return float(value)


def flux_factor(hst: SkyImage, unit: str, *, info: HstFilter | None = None) -> float:
    """Factor that turns the pixels of an HST image into the unit of another image.

    Parameters
    ----------
    hst : SkyImage
        In electrons per second (also where it has no unit), in electrons of an exposure of EXPTIME seconds, or in a flux density already.
    unit : str
        Unit of the other image, a flux density per wavelength (``"1e-20 erg / (Angstrom s cm2)"``).
    info : HstFilter, optional
        Calibration, by default that of its header (`hst_filter`).

    Raises
    ------
    InputError
        A unit that cannot be compared: it is named.

    Examples
    --------
    >>> import numpy as np
    >>> image = SkyImage(data=np.zeros((1, 1)), mask=np.zeros((1, 1), bool), wcs=None, primary={"FILTER": "F775W"})
    >>> round(flux_factor(image, "1e-20 erg / (Angstrom s cm2)"), 6)
    9.74
    """
    from astropy import units

    density = units.Unit("erg / (Angstrom s cm2)")
    target = _unit(unit, "the other image")
    if not target.is_equivalent(density):
        raise InputError(
            f"the other image is in {unit or 'no unit'}, expected a flux density like 1e-20 erg / (Angstrom s cm2)", hint="set BUNIT"
        )
    own = hst.unit.strip().lower().replace(" ", "")
    where = hst.name or "HST image"
    per_second = 1.0
    if own in _WHOLE_EXPOSURE:
        seconds = _number({"EXPTIME": hst.value("EXPTIME")}, "EXPTIME", where)
        if seconds is None:
            raise InputError(f"{where} is in {hst.unit} and has no EXPTIME", hint="divide it by its exposure time")
        per_second = 1.0 / seconds
    elif own not in _PER_SECOND:
        given = _unit(hst.unit, where)
        if given.is_equivalent(density):
            return float(given.to(target))
        rate = next((one for one in (units.electron / units.s, units.count / units.s, units.one) if given.is_equivalent(one)), None)
        if rate is None:
            raise InputError(f"{where} is in {hst.unit}, expected electrons/s or a flux density", hint="set BUNIT")
        per_second = float(given.to(rate))
    return (hst_filter(hst) if info is None else info).photflam * per_second * float(density.to(target))


def _unit(text: str, where: str) -> Any:
    from astropy import units

    try:
        with quiet_wcs():  # MUSE writes 10**(-20)*erg/s/cm**2/Angstrom, whose two slashes astropy remarks upon
            return units.Unit(text)
    except (ValueError, TypeError, NbmosaicError) as err:
        raise InputError(
            f"{where} has the unit {text[:40]!r}, which cannot be read", hint="set BUNIT, as in 1e-20 erg / (Angstrom s cm2)"
        ) from err
