"""Header cards as they stand in a file: split, found and read without building a full header object.

Thousands of frames are listed before a pixel is read. ``astropy.wcs.WCS`` of all cards of a typical frame (112 to 200 cards)
costs 4.6 ms, of the cards that describe the coordinates 0.9 ms, so the cards are picked here first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BLOCK", "CardList", "card_text", "read_value"]

BLOCK = 2880
CARD = 80

_QUOTED = re.compile(r"'((?:[^']|'')*)'?")
_INTEGER = re.compile(r"[+-]?\d+\Z")
_REAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?\Z")

# Keywords of FITS WCS papers I to IV, SIP, PROJPn (AIPS) and the plate solutions that wcslib translates. Dates and observatory
# positions are left out: they move no pixel on the sky and each costs a repair (and a warning) in astropy.
_WCS_KEY = re.compile(
    rb"(?:NAXIS\d*|WCSAXES|(?:CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|PROJP)\d+|(?:CD|PC)\d+_\d+|(?:CD|PC)\d{6}|(?:PV|PS)\d+_\d+"
    rb"|LONPOLE|LATPOLE|RESTFREQ|RESTFRQ|RESTWAV|VELREF|EQUINOX|EPOCH|RADESYS|RADECSYS|(?:A|B|AP|BP)_(?:ORDER|DMAX|\d_\d)"
    rb"|(?:CPDIS|CQDIS|DP|DQ|CPERR|CQERR|D2IMDIS|D2IMERR|DVERR)\d*.*|D2IMEXT|AXISCORR"
    rb"|PLTRA[HMS]|PLTDEC(?:SN|D|M|S)|(?:AMD[XY]|PPO|CNPIX)\d+|PLTSCALE|[XY]PIXELSZ)\Z"
)
_RECORD_KEY = re.compile(rb"D[PQ]\d+\Z")  # one keyword, many cards: DP1 = 'EXTVER: 1'
_WAT_KEY = re.compile(rb"WAT\d_\d{3}\Z")


def read_value(card: str) -> Any:
    """Value of one 80-column card: str, int, float, bool, or None (no value, or one that cannot be read).

    Examples
    --------
    >>> read_value("CRVAL1  =     1.5D2 / degrees")
    150.0
    """
    if card[8:9] != "=":
        return None
    body = card[9:].strip()
    if body.startswith("'"):
        match = _QUOTED.match(body)
        return match.group(1).replace("''", "'").rstrip() if match else None
    body = body.partition("/")[0].strip()
    if body in {"T", "F"}:
        return body == "T"
    if _INTEGER.match(body):
        return int(body)
    if _REAL.match(body):
        return float(body.replace("D", "E").replace("d", "e"))
    return None


def card_text(key: str, value: str | float) -> str:
    """One 80-column card of a number or short text; floats keep all their digits.

    Examples
    --------
    >>> card_text("CRPIX1", 0.5).rstrip()
    'CRPIX1  =                  0.5'
    """
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        body = f"'{quoted:<8}'"
    elif isinstance(value, bool):
        body = f"{'T' if value else 'F':>20}"
    elif isinstance(value, int):
        body = f"{value:>20}"
    else:
        body = f"{repr(float(value)).upper():>20}"
    return f"{key:<8}= {body}"[:CARD].ljust(CARD)


class CardList:
    """Cards of one header, with lazily read values.

    Parameters
    ----------
    block : bytes
        Header without its END card; a multiple of 80 bytes.
    """

    __slots__ = ("_cards", "_index")

    def __init__(self, block: bytes) -> None:
        self._cards = [block[i : i + CARD] for i in range(0, len(block), CARD)]
        index: dict[bytes, int] = {}
        for i, card in enumerate(self._cards):
            index.setdefault(card[:8].rstrip(), i)
        self._index = index

    def __len__(self) -> int:
        return len(self._cards)

    def __contains__(self, key: str) -> bool:
        return key.encode("ascii", "replace") in self._index

    def lines(self) -> list[str]:
        """All cards as text of 80 columns, other than printable ASCII characters as ``?``."""
        return ["".join(chr(c) if 32 <= c < 127 else "?" for c in card) for card in self._cards]

    def get(self, key: str, default: Any = None) -> Any:
        """Give the value of the first card `key`, or `default` where there is none."""
        i = self._index.get(key.encode("ascii", "replace"))
        if i is None:
            return default
        value = read_value(self._cards[i].decode("latin-1"))
        return default if value is None else value

    def number(self, key: str, default: float) -> float:
        """Give the number of card `key`; `default` where it is missing or not a number."""
        value = self.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

    def integer(self, key: str, default: int) -> int:
        """Give the whole number of card `key`; `default` where it is missing, -1 where it is not a whole number."""
        value = self.get(key, default)
        if isinstance(value, float) and value == int(value):
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else -1

    def text(self, key: str, default: str = "") -> str:
        """Give the text of card `key`, stripped; numbers are turned into text."""
        value = self.get(key, default)
        return str(value).strip()

    def has_prefix(self, *prefixes: bytes) -> bool:
        """Whether a keyword starts with one of `prefixes`."""
        return any(key.startswith(prefixes) for key in self._index)

    def wcs_cards(self, naxis: tuple[int, ...], *, changed: Mapping[str, str] | None = None, plate_constants: bool = False) -> str:
        """Cards that describe the coordinates, with ``NAXISn`` of the image (a tile-compressed image hides its own).

        Parameters
        ----------
        naxis : tuple of int
            Lengths of the image axes in header order.
        changed : mapping, optional
            Texts that replace the values of some cards.
        plate_constants : bool
            Keep the ``WATj_nnn`` cards, which only TNX and ZPX need and which break the parser in other headers.
        """
        head = [card_text("NAXIS", len(naxis))] + [card_text(f"NAXIS{i}", n) for i, n in enumerate(naxis, 1)]
        replaced = {} if changed is None else {key.encode(): card_text(key, value) for key, value in changed.items()}
        picked = []
        for i, card in enumerate(self._cards):
            key = card[:8].rstrip()
            wanted = _WCS_KEY.match(key) is not None or (plate_constants and _WAT_KEY.match(key) is not None)
            if not wanted or key.startswith(b"NAXIS") or (self._index[key] != i and not _RECORD_KEY.match(key)):
                continue
            picked.append(replaced[key] if key in replaced else card.decode("ascii", "replace").replace("\ufffd", "?"))
        return "".join(head + picked)
