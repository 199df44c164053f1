"""FITS header text that is safe for any input: WCS cards with all digits, provenance as cards and history."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.io.cards import BLOCK, CARD, card_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from astropy.wcs import WCS

__all__ = ["Card", "header_bytes", "header_lines", "plain_text", "wcs_values"]

Card = tuple[str, Any] | tuple[str, Any, str]

_COMMENTS = {
    "CTYPE1": "axis 1",
    "CTYPE2": "axis 2",
    "CRVAL1": "[deg] longitude of the reference point",
    "CRVAL2": "[deg] latitude of the reference point",
    "CRPIX1": "reference pixel, first pixel centre is 1",
    "CRPIX2": "reference pixel, first pixel centre is 1",
    "RADESYS": "reference system",
    "EQUINOX": "[yr] equinox",
}

_ZENITHAL = {"TAN", "SIN", "ARC", "ZEA", "STG", "ZPN", "AZP", "SZP", "AIR", "NCP"}


def plain_text(value: Any) -> str:
    r"""Printable ASCII of any object: other characters as ``\xNN`` or ``\uNNNN``, line ends and tabs as blanks.

    Examples
    --------
    >>> plain_text("a\tb")
    'a b'
    """
    text = " ".join(str(value).split())
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text)


def _digits(value: float) -> float:
    return float(value) + 0.0  # turns -0.0 into 0.0


def wcs_values(wcs: WCS) -> list[tuple[str, Any]]:
    """Keywords of a two-axis WCS with every digit, in the form (CD, PC and CDELT, or CROTA2) that it has.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Two axes.

    Returns
    -------
    list of tuple
        ``(keyword, value)``: CTYPE, CRVAL, CRPIX, the linear matrix, CUNIT where it is not degrees, PV, LONPOLE, LATPOLE, RADESYS,
        EQUINOX, SIP.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs_values(WCS(naxis=2))[2:4]
    [('CRVAL1', 0.0), ('CRVAL2', 0.0)]
    """
    prm = wcs.wcs
    values: list[tuple[str, Any]] = [(f"CTYPE{i + 1}", str(prm.ctype[i])) for i in range(2)]
    values += [(f"CRVAL{i + 1}", float(prm.crval[i])) for i in range(2)]
    values += [(f"CRPIX{i + 1}", float(prm.crpix[i])) for i in range(2)]
    if prm.has_cd():
        values += [(f"CD{i + 1}_{j + 1}", _digits(prm.cd[i, j])) for i in range(2) for j in range(2)]
    else:
        values += [(f"CDELT{i + 1}", float(prm.cdelt[i])) for i in range(2)]
        if prm.has_crota():
            values += [(f"CROTA{i + 1}", float(prm.crota[i])) for i in range(2) if prm.crota[i] != 0.0 or i == 1]
        elif not np.array_equal(prm.get_pc(), np.eye(2)):
            pc = prm.get_pc()
            values += [(f"PC{i + 1}_{j + 1}", _digits(pc[i, j])) for i in range(2) for j in range(2)]
    values += [(f"CUNIT{i + 1}", str(prm.cunit[i])) for i in range(2) if str(prm.cunit[i]) not in {"deg", ""}]
    values += [(f"PV{i}_{m}", float(value)) for i, m, value in prm.get_pv()]
    distortion = _distortion_values(wcs)
    values = [(key, value) for key, value in values if key not in distortion] + [*distortion.items()]
    values += _pole_values(prm)
    if str(prm.radesys):
        values.append(("RADESYS", str(prm.radesys)))
    if math.isfinite(prm.equinox):
        values.append(("EQUINOX", float(prm.equinox)))
    return values + _sip_values(wcs)


def _distortion_values(wcs: WCS) -> dict[str, Any]:
    """CTYPE and coefficients of distortions that wcslib keeps inside (TPV and its like: it shows CTYPE as TAN); 13 digits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = wcs.to_header(relax=True)
    if header.get("CTYPE1") == str(wcs.wcs.ctype[0]) or str(header.get("CTYPE1", "")).endswith("-SIP"):
        return {}
    return {key: header[key] for key in header if key.startswith(("CTYPE", "PV", "CPDIS", "CQDIS", "DP", "DQ"))}


def _pole_values(prm: Any) -> list[tuple[str, Any]]:
    """LONPOLE and LATPOLE, left out where they are the defaults of a zenithal projection (for which LATPOLE says nothing)."""
    if str(prm.ctype[0])[5:8] in _ZENITHAL and prm.lonpole == (180.0 if prm.crval[max(prm.lat, 0)] < 90.0 else 0.0):
        return []
    return [(key, float(value)) for key, value in (("LONPOLE", prm.lonpole), ("LATPOLE", prm.latpole)) if math.isfinite(value)]


def _sip_values(wcs: WCS) -> list[tuple[str, Any]]:
    sip = getattr(wcs, "sip", None)
    if sip is None:
        return []
    values: list[tuple[str, Any]] = []
    for name in ("a", "b", "ap", "bp"):
        matrix = getattr(sip, name)
        if matrix is None:
            continue
        order = matrix.shape[0] - 1
        values.append((f"{name.upper()}_ORDER", order))
        terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i) if matrix[i, j] != 0.0]
        values += [(f"{name.upper()}_{i}_{j}", float(matrix[i, j])) for i, j in terms]
    return values


def _card(card: Card) -> list[str]:
    """Cards of one keyword; text that does not fit goes on in CONTINUE cards."""
    key, value = card[0].upper(), card[1]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    if isinstance(value, bool | int | float):
        text = card_text(key, value)
        comment = card[2] if len(card) > 2 else _COMMENTS.get(key, "")
        return [(f"{text.rstrip()} / {plain_text(comment)}" if comment else text)[:CARD].ljust(CARD)]
    quoted = plain_text("" if value is None else value).replace("'", "''")
    if len(quoted) <= 68:
        text = f"{key:<8}= '{quoted:<8}'"
        comment = card[2] if len(card) > 2 else _COMMENTS.get(key, "")
        return [(f"{text:<30} / {plain_text(comment)}" if comment else text)[:CARD].ljust(CARD)]
    lines = []
    start = f"{key:<8}= "
    while quoted:
        length = 67
        if quoted[:length].endswith("'") and (len(quoted[:length]) - len(quoted[:length].rstrip("'"))) % 2:
            length -= 1  # a doubled quote must not be torn apart
        part, quoted = quoted[:length], quoted[length:]
        lines.append(f"{start}'{part}{'&' if quoted else ''}'".ljust(CARD))
        start = "CONTINUE  "
    return lines


def header_lines(cards: Iterable[Card], history: Iterable[Any] = ()) -> list[str]:
    """Cards of keywords and of HISTORY lines (long ones over several cards), each of 80 columns.

    Examples
    --------
    >>> header_lines([("BUNIT", "MJy/sr")], ["made here"])[1].rstrip()
    'HISTORY made here'
    """
    lines = [line for card in cards for line in _card(card)]
    for item in history:
        text = plain_text(item)
        lines += [f"HISTORY {text[i : i + 72]}".ljust(CARD) for i in range(0, max(len(text), 1), 72)]
    return lines


def header_bytes(lines: Sequence[str], *, size: int | None = None) -> bytes:
    """Header of 80-column cards with END, filled with blank cards to `size` bytes (a whole number of blocks).

    Where the cards are too many for `size`, the last ones give way to one HISTORY card with their number.
    """
    if size is None:
        size = -(-(len(lines) + 1) * CARD // BLOCK) * BLOCK
    room = size // CARD - 1
    if len(lines) > room:
        dropped = len(lines) - room + 1
        lines = [*lines[: room - 1], f"HISTORY {dropped} more cards had no room".ljust(CARD)]
    return ("".join(lines).ljust(size - CARD) + "END".ljust(CARD)).encode("ascii")
