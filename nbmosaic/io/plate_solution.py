"""Plate solutions of digitised photographic plates (DSS), rewritten as TAN with the same polynomials in SIP terms.

Astropy reads these headers, but cannot write what it has read (its text of the distortion holds uninitialised bytes), so a template would not survive a
round trip.
"""

from __future__ import annotations

import re

import numpy as np

from nbmosaic.errors import WcsError
from nbmosaic.io.cards import CARD, CardList, card_text

__all__ = ["has_plate_solution", "plate_cards", "without_plate_cards"]

_REPLACED = re.compile(
    r"(?:CTYPE[12]|CRVAL[12]|CRPIX[12]|CDELT[12]|CROTA[12]|CUNIT[12]|(?:CD|PC)(?:[12]_[12]|\d{6})|PV[12]_\d+|LONPOLE|LATPOLE"
    r"|PLTRA[HMS]|PLTDEC(?:SN|D|M|S)|AMD[XY]\d+|PPO\d+|CNPIX\d|PLTSCALE|[XY]PIXELSZ|(?:A|B|AP|BP)_(?:ORDER|DMAX|\d_\d))\Z"
)
_NEEDED = (
    "PLTRAH",
    "PLTRAM",
    "PLTRAS",
    "PLTDECD",
    "PLTDECM",
    "PLTDECS",
    "PPO3",
    "PPO6",
    "CNPIX1",
    "CNPIX2",
    "XPIXELSZ",
    "YPIXELSZ",
    "AMDX1",
    "AMDY1",
)


def has_plate_solution(text: str) -> bool:
    """Whether a header text of 80-column cards describes a plate."""
    return "AMDX1  " in text and "PLTRAH " in text


_PLATE = re.compile(r"(?:PLTRA[HMS]|PLTDEC(?:SN|D|M|S)|AMD[XY]\d+|PPO\d+|CNPIX\d+|PLTSCALE|[XY]PIXELSZ)\Z")


def without_plate_cards(text: str) -> str:
    """Header text without the cards of plates, which crash astropy's parser where their values are no numbers."""
    lines = [text[i : i + CARD] for i in range(0, len(text), CARD)]
    return "".join(line for line in lines if not _PLATE.match(line[:8].rstrip()))


def _polynomial(numbers: list[float]) -> dict[tuple[int, int], float]:
    """Coefficients of ``x**i y**j`` (mm) of one coordinate; the other one has x and y exchanged.

    a1 x + a2 y + a3 + a4 x2 + a5 xy + a6 y2 + a7 (x2 + y2) + a8 x3 + a9 x2 y + a10 x y2 + a11 y3 + a12 x (x2 + y2) + a13 x (x2 + y2)2, in arcsec.
    """
    a = dict(enumerate(numbers, 1))
    return {
        (1, 0): a[1],
        (0, 1): a[2],
        (0, 0): a[3],
        (2, 0): a[4] + a[7],
        (1, 1): a[5],
        (0, 2): a[6] + a[7],
        (3, 0): a[8] + a[12],
        (2, 1): a[9],
        (1, 2): a[10] + a[12],
        (0, 3): a[11],
        (5, 0): a[13],
        (3, 2): 2.0 * a[13],
        (1, 4): a[13],
    }


def plate_cards(text: str, where: str) -> str:
    """Rewrite the header of a plate.

    Parameters
    ----------
    text : str
        80-column cards.
    where : str
        File, for messages.

    Returns
    -------
    str
        Cards with TAN-SIP about the centre of the plate; the map is the same to the last digits.

    Raises
    ------
    WcsError
        A card is missing, or the solution is singular.
    """
    cards = CardList(text.encode("ascii", "replace"))
    missing = [key for key in _NEEDED if key not in cards]
    if missing:
        raise WcsError(f"{where}: the plate solution has no {missing[0]} card", hint="mend its header")
    value = {key: cards.number(key, 0.0) for key in _NEEDED}
    px, py = value["XPIXELSZ"] / 1000.0, value["YPIXELSZ"] / 1000.0
    if px == 0.0 or py == 0.0:
        raise WcsError(f"{where}: XPIXELSZ and YPIXELSZ of the plate are not both positive", hint="mend its header")
    lon = 15.0 * (value["PLTRAH"] + value["PLTRAM"] / 60.0 + value["PLTRAS"] / 3600.0)
    lat = value["PLTDECD"] + value["PLTDECM"] / 60.0 + value["PLTDECS"] / 3600.0
    lat = -lat if cards.text("PLTDECSN").startswith("-") else lat
    xi = _polynomial([cards.number(f"AMDX{k}", 0.0) for k in range(1, 14)])
    eta = {(i, j): c for (j, i), c in _polynomial([cards.number(f"AMDY{k}", 0.0) for k in range(1, 14)]).items()}
    degree = 5
    plane = np.zeros((2, degree + 1, degree + 1))
    for k, terms in enumerate((xi, eta)):
        for (i, j), c in terms.items():
            plane[k, i, j] = c / 3600.0 * (-px) ** i * py**j
    cd = np.array([[plane[0, 1, 0], plane[0, 0, 1]], [plane[1, 1, 0], plane[1, 0, 1]]])
    if not abs(float(np.linalg.det(cd))) > 0:
        raise WcsError(f"{where}: the plate solution is singular", hint="mend its header")
    sip = np.einsum("kl,lij->kij", np.linalg.inv(cd), plane)
    sip[0, 1, 0] = sip[0, 0, 1] = sip[1, 1, 0] = sip[1, 0, 1] = 0.0
    crpix = (value["PPO3"] / value["XPIXELSZ"] - value["CNPIX1"] + 0.5, value["PPO6"] / value["YPIXELSZ"] - value["CNPIX2"] + 0.5)
    lines = [text[i : i + CARD] for i in range(0, len(text), CARD)]
    out = [line for line in lines if not _REPLACED.match(line[:8].rstrip())]
    out += [card_text("CTYPE1", "RA---TAN-SIP"), card_text("CTYPE2", "DEC--TAN-SIP"), card_text("CRVAL1", lon), card_text("CRVAL2", lat)]
    out += [card_text("CRPIX1", crpix[0]), card_text("CRPIX2", crpix[1])]
    out += [card_text(f"CD{i + 1}_{j + 1}", float(cd[i, j])) for i in range(2) for j in range(2)]
    if "EQUINOX" not in cards:
        out.append(card_text("EQUINOX", 2000.0))
    for name, matrix in zip("AB", sip, strict=True):
        out.append(card_text(f"{name}_ORDER", degree))
        out += [card_text(f"{name}_{p}_{q}", float(matrix[p, q])) for p, q in zip(*np.nonzero(matrix), strict=True)]
    return "".join(out)
