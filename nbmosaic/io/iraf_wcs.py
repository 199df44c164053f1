"""TNX and ZPX headers of IRAF, rewritten as TAN and ZPN with the same distortion in SIP terms.

The WAT cards are read here and never by astropy, which refuses exponents in them, gets distortions wrong by as much as their size, and can abort the process.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from nbmosaic.errors import InputError, WcsError
from nbmosaic.io.cards import CARD, card_text
from nbmosaic.io.iraf_surfaces import IrafSurface, iraf_surface, sip_of_surfaces

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["is_iraf_projection", "standard_cards"]

_PROJECTIONS = {"TNX": "TAN", "ZPX": "ZPN"}
_WAT = re.compile(r"WAT(\d)_(\d{3})\Z")
_CARD = re.compile(r"WAT\d_\d{3}\s*=\s*'((?:[^']|'')*)'?")
_DROPPED = re.compile(r"(?:WAT\d_\d{3}|(?:A|B|AP|BP)_(?:ORDER|DMAX|\d_\d))\Z")
_LENGTH = 68  # characters of a full card, which count even where trailing blanks were cut off


def is_iraf_projection(ctype: str) -> bool:
    """Whether a CTYPE names a projection that only IRAF knows.

    Examples
    --------
    >>> is_iraf_projection("RA---TNX")
    True
    """
    return ctype.upper()[5:8] in _PROJECTIONS


def _wat_texts(lines: list[str]) -> dict[int, str]:
    """Text of the WAT cards of each axis, joined."""
    parts: dict[int, dict[int, str]] = {}
    for line in lines:
        key = _WAT.match(line[:8].rstrip())
        body = _CARD.match(line)
        if key and body:
            parts.setdefault(int(key[1]), {})[int(key[2])] = body[1].replace("''", "'")
    return {axis: _joined([numbered[k] for k in sorted(numbered)]) for axis, numbered in parts.items()}


def _joined(pieces: list[str]) -> str:
    """Text of pieces; where the cards are full, one that is a character short has lost a blank at its end."""
    full = any(len(piece) == _LENGTH for piece in pieces[:-1])
    return "".join(piece + " " if full and len(piece) == _LENGTH - 1 else piece for piece in pieces[:-1]) + "".join(pieces[-1:])


def _surface(text: str, name: str, where: str) -> IrafSurface | None:
    """Surface of an attribute such as ``lngcor = "3. 4. ..."``; None where there is none."""
    match = re.search(rf'\b{name}\s*=\s*"([^"]*)"?', text)
    if match is None or not match[1].strip():
        return None
    try:
        return iraf_surface([float(word) for word in match[1].split()], f"{where}: {name}")
    except (InputError, ValueError, OverflowError) as error:
        reason = error.message if isinstance(error, InputError) else f"{where}: {name} holds a word that is no number ({error})"
        raise WcsError(reason, hint="mend the WAT cards") from error


def standard_cards(text: str, build: Callable[[str], WCS], where: str) -> str:
    """Rewrite a header with a TNX or ZPX projection.

    Parameters
    ----------
    text : str
        80-column cards.
    build : callable
        Makes the two-axis WCS of a header text; used on the header without distortion, for its linear matrix.
    where : str
        File, for messages.

    Returns
    -------
    str
        Cards with TAN or ZPN, SIP terms instead of the surfaces and PV terms instead of ``projpN``. The map is the same to the last digits: surfaces are
        polynomials of the pixels, as SIP is.

    Raises
    ------
    WcsError
        WAT cards that cannot be read, or a surface of more than 9 degrees.
    """
    import numpy as np

    lines = [text[i : i + CARD] for i in range(0, len(text), CARD)]
    wat = _wat_texts(lines)
    kept = []
    for line in lines:
        key = line[:8].rstrip()
        if _DROPPED.match(key):
            continue
        ctype = re.match(r"CTYPE(\d)\s*=\s*'([A-Za-z-]{4}.)(TNX|ZPX)", line, re.IGNORECASE)
        kept.append(card_text(key, (ctype[2] + _PROJECTIONS[ctype[3].upper()]).upper()) if ctype else line)
    joined = " ".join(wat.values())
    latitude = next((int(line[5]) for line in kept if re.match(r"CTYPE\d\s*=\s*'(?:DEC-|.LAT)", line)), 2)
    if re.search(r"wtype\s*=\s*zpx", joined, re.IGNORECASE) or "ZPN" in "".join(kept):
        terms = dict(re.findall(r"\bprojp(\d+)\s*=\s*([-+.\deE]+)", joined))
        written = {line[:8].rstrip() for line in kept}
        kept += [card_text(f"PV{latitude}_{m}", float(v)) for m, v in terms.items() if f"PV{latitude}_{m}" not in written]
    surfaces = (_surface(joined, "lngcor", where), _surface(joined, "latcor", where))
    if surfaces == (None, None):
        return "".join(kept)
    prm = build("".join(kept)).wcs
    matrix = prm.cd if prm.has_cd() else np.diag(prm.get_cdelt()) @ prm.get_pc()
    try:
        sip = sip_of_surfaces(surfaces, np.asarray(matrix, float)[[prm.lng, prm.lat]])
    except InputError as error:
        raise WcsError(f"{where}: {error.message}", hint="mend the WAT cards") from error
    kept = [re.sub(r"-(TAN|ZPN)\s*'\s*", r"-\1-SIP'", line).ljust(CARD)[:CARD] if line.startswith("CTYPE") else line for line in kept]
    present = {line[:8].rstrip() for line in kept}
    kept += [card_text(f"CRPIX{key[5:]}", 0.0) for key in sorted(present) if key.startswith("CTYPE") and f"CRPIX{key[5:]}" not in present]
    for name, matrix_of in zip("AB", sip, strict=True):
        kept.append(card_text(f"{name}_ORDER", len(matrix_of) - 1))
        kept += [card_text(f"{name}_{p}_{q}", float(matrix_of[p, q])) for p, q in zip(*np.nonzero(matrix_of), strict=True)]
    return "".join(kept)
