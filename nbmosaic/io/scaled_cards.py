"""Header cards of an image whose pixels change their size."""

from __future__ import annotations

import math
from typing import Any

from nbmosaic.io.cards import CardList

__all__ = ["scaled_cards"]

_PLATE_PIXELS = ("XPIXELSZ", "YPIXELSZ")


def scaled_cards(cards: CardList, factor: float, *, cdelt: float = 0.0) -> dict[str, Any]:
    """Cards that change where the pixels of an image become `factor` times larger.

    Parameters
    ----------
    cards : CardList
        Header of the image.
    factor : float
        New pixel over old pixel.
    cdelt : float
        Size of the new pixels in degrees, instead of CDELT times `factor`.

    Returns
    -------
    dict
        CRPIX becomes ``(CRPIX - 0.5) / factor + 0.5``; CDELT and CD are multiplied, as are the pixel sizes of photographic plates, whose offsets are divided;
        SIP coefficients of degree d are multiplied by ``factor**(d - 1)``.

    Examples
    --------
    >>> scaled_cards(CardList(card_text("CRPIX1", 10.5).encode()), 4.0)
    {'CRPIX1': 3.0}
    """
    changes: dict[str, Any] = {}
    for axis in (1, 2):
        if f"CRPIX{axis}" in cards:
            changes[f"CRPIX{axis}"] = (cards.number(f"CRPIX{axis}", 0.0) - 0.5) / factor + 0.5
        if f"CDELT{axis}" in cards:
            step = cards.number(f"CDELT{axis}", 1.0) * factor
            changes[f"CDELT{axis}"] = math.copysign(cdelt, step) if cdelt > 0 else step
        if f"CNPIX{axis}" in cards:
            changes[f"CNPIX{axis}"] = cards.number(f"CNPIX{axis}", 0.0) / factor
        for other in (1, 2):
            if f"CD{axis}_{other}" in cards:
                changes[f"CD{axis}_{other}"] = cards.number(f"CD{axis}_{other}", 0.0) * factor
    for key in _PLATE_PIXELS:
        if key in cards:
            changes[key] = cards.number(key, 0.0) * factor
    for name in ("A", "B", "AP", "BP"):  # u' = u / f: a term of degree d grows with f**(d-1)
        order = cards.integer(f"{name}_ORDER", 0)
        for p in range(order + 1):
            for q in range(order + 1 - p):
                if f"{name}_{p}_{q}" in cards:
                    changes[f"{name}_{p}_{q}"] = cards.number(f"{name}_{p}_{q}", 0.0) * factor ** (p + q - 1)
    return changes
