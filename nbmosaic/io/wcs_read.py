"""The celestial WCS of an image, from its header cards."""

from __future__ import annotations

import math
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic.errors import WcsError
from nbmosaic.io.iraf_wcs import is_iraf_projection, standard_cards
from nbmosaic.io.plate_solution import has_plate_solution, plate_cards, without_plate_cards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.wcs import WCS

    from nbmosaic.io.cards import CardList

__all__ = ["celestial_axes", "has_plate_constants", "quiet_wcs", "read_wcs", "sip_type", "wcs_from_cards"]

_LONGITUDE = re.compile(r"(?:RA-|.LON|[A-Z]{2}LN)-")
_SIP_READY = re.compile(r"[A-Z0-9-]{4}-(?!TPV|TNX|ZPX|TAB)[A-Z]{3}")  # projections without a distortion of their own
_LATITUDE = re.compile(r"(?:DEC-|.LAT|[A-Z]{2}LT)-")


@contextmanager
def quiet_wcs() -> Iterator[None]:
    """Hide astropy's remarks on repaired dates and units: they concern no pixel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def celestial_axes(cards: CardList) -> tuple[int, int] | None:
    """1-based header axes of longitude and latitude, or None where the header has no celestial pair of axes.

    Examples
    --------
    >>> from nbmosaic.io.cards import CardList, card_text
    >>> celestial_axes(CardList((card_text("CTYPE1", "DEC--TAN") + card_text("CTYPE2", "RA---TAN")).encode()))
    (2, 1)
    """
    longitude = latitude = 0
    for axis in range(1, 10):
        ctype = cards.text(f"CTYPE{axis}").upper()
        if not longitude and _LONGITUDE.match(ctype):
            longitude = axis
        elif not latitude and _LATITUDE.match(ctype):
            latitude = axis
    return (longitude, latitude) if longitude and latitude else None


def has_plate_constants(cards: CardList) -> bool:
    """Whether the header describes a digitised photographic plate by its plate solution (AMDXn) and has no CTYPE."""
    return "AMDX1" in cards and "PLTRAH" in cards and "CTYPE1" not in cards


def read_wcs(cards: CardList, naxis: tuple[int, ...], *, where: str, path: str | None = None) -> tuple[WCS, tuple[int, int]]:
    """Celestial WCS of two axes in header order, and which header axes they are.

    Parameters
    ----------
    cards : CardList
        Header of the image.
    naxis : tuple of int
        Axis lengths in header order. Axes other than the celestial pair must have length 1.
    where : str
        File and HDU, for messages.
    path : str, optional
        File that holds the distortion tables (``CPDIS``, ``-TAB``), if the header speaks of any.

    Raises
    ------
    WcsError
        No celestial axes, or axes that astropy cannot set up.

    Examples
    --------
    >>> from nbmosaic.io.fits_scan import scan_fits  # doctest: +SKIP
    >>> hdu = scan_fits("frame.fits")[0]  # doctest: +SKIP
    >>> wcs, axes = read_wcs(hdu.cards, hdu.naxis, where="frame.fits")  # doctest: +SKIP
    """
    axes = celestial_axes(cards)
    if axes is None and not has_plate_constants(cards):
        ctypes = ", ".join(repr(cards.text(f"CTYPE{i}")) for i in range(1, max(len(naxis), 2) + 1) if f"CTYPE{i}" in cards)
        raise WcsError(f"{where} has no celestial WCS ({f'CTYPE is {ctypes}' if ctypes else 'no CTYPE1 and CTYPE2 in its header'})")
    pair = (1, 2) if axes is None else (min(axes), max(axes))
    first = cards.text(f"CTYPE{pair[0]}").upper()
    changed: dict[str, str] = {}
    if cards.has_prefix(b"A_ORDER"):  # astropy applies SIP terms whatever CTYPE says, but talks about it on the terminal
        changed = {f"CTYPE{i}": sip_type(cards.text(f"CTYPE{i}")) for i in pair}
        changed = {key: ctype for key, ctype in changed.items() if ctype != cards.text(key)}
    iraf = any(is_iraf_projection(cards.text(f"CTYPE{axis}")) for axis in range(1, 10))
    text = cards.wcs_cards(naxis, changed=changed, plate_constants=iraf)
    tables = path if cards.has_prefix(b"CPDIS", b"D2IMDIS", b"D2IMEXT", b"CQDIS") or "-TAB" in first else None
    n_wcs = max([cards.integer("WCSAXES", 0), len(naxis)] + [axis for axis in range(3, 10) if f"CTYPE{axis}" in cards])
    chosen = None if n_wcs == 2 and pair == (1, 2) else pair
    text = plate_cards(text, where) if pair == (1, 2) and has_plate_solution(text) else without_plate_cards(text)
    if iraf:
        text = standard_cards(text, lambda plain: wcs_from_cards(plain, axes=chosen, where=where), where)
    wcs = wcs_from_cards(text, axes=chosen, where=where, tables=tables)
    if not wcs.has_celestial:
        raise WcsError(f"{where} has no celestial WCS (CTYPE is {', '.join(map(repr, wcs.wcs.ctype))})")
    wcs.pixel_shape = (naxis[pair[0] - 1], naxis[pair[1] - 1]) if pair[1] <= len(naxis) else None
    return wcs, pair


def sip_type(ctype: str) -> str:
    """Axis type of a header with SIP terms, with the ending that says so.

    Examples
    --------
    >>> sip_type("RA---TAN"), sip_type("RA---TPV")
    ('RA---TAN-SIP', 'RA---TPV')
    """
    return f"{ctype}-SIP" if _SIP_READY.fullmatch(ctype) else ctype


def wcs_from_cards(text: str, *, axes: tuple[int, int] | None = None, where: str, tables: str | None = None) -> WCS:
    """Build the WCS of a header text of 80-column cards.

    Parameters
    ----------
    text : str
        Cards without END.
    axes : tuple of int, optional
        1-based axes to keep of a header with more (or other) axes; by default the first two (a stray CRPIX3 is enough to make a third).
    where : str
        File and HDU, for messages.
    tables : str, optional
        File with the extensions that the header's distortion tables live in.

    Raises
    ------
    WcsError
        Singular, contradictory, or a projection that wcslib does not know.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    header = fits.Header.fromstring(text)
    try:
        with quiet_wcs():
            if tables is not None:
                with fits.open(tables) as hdus:
                    wcs = WCS(header, fobj=hdus, naxis=None if axes is None else list(axes))
            else:
                wcs = WCS(header, naxis=None if axes is None else list(axes))
                if wcs.naxis > 2:
                    wcs = WCS(header, naxis=[1, 2])
    except (ValueError, KeyError, AttributeError, MemoryError, OSError) as err:
        reason = " ".join(str(err).split())
        raise WcsError(f"{where} has a WCS that cannot be used: {reason}", hint="mend its header") from err
    if wcs.naxis == 2 and _is_singular(wcs):
        raise WcsError(f"{where} has a WCS that cannot be used: its CD, PC or CDELT matrix is singular", hint="mend its header")
    return wcs


def _is_singular(wcs: WCS) -> bool:
    """Whether the linear matrix maps the plane onto a line (wcslib finds only the rows and columns of zeros)."""
    matrix = wcs.wcs.cd if wcs.wcs.has_cd() else wcs.wcs.cdelt[:, np.newaxis] * wcs.wcs.get_pc()
    (a, b), (c, d) = matrix.tolist()
    size = math.hypot(a, c) * math.hypot(b, d)
    return not abs(a * d - b * c) > 1e-9 * size
