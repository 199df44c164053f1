"""One image with its whole header: read as stored, written again with some cards changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError, ShapeError
from nbmosaic.io.cards import BLOCK, CARD, CardList, card_text
from nbmosaic.io.fits_scan import FitsHdu, open_fits, scan_fits
from nbmosaic.io.headers import header_bytes
from nbmosaic.io.output import replacing
from nbmosaic.io.wcs_read import read_wcs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.wcs import WCS

    from nbmosaic._types import AnyArray, FloatArray, PathLike

__all__ = ["ImageHdu", "read_image_hdu", "write_image_hdu"]

_STRUCTURE = re.compile(
    r"(?:SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTEND|END|CHECKSUM|DATASUM|WCSAXES|GROUPS"
    r"|(?:CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA)[3-9]|(?:CD|PC)(?:[3-9]_\d|\d_[3-9])|PV[3-9]_\d+)\s*\Z"
)
_SCALING = {"BSCALE", "BZERO", "BLANK"}
_BITPIX = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ImageHdu:
    """A plane of an image HDU.

    Attributes
    ----------
    path : str
        File name.
    index : int
        0-based HDU.
    cards : CardList
        Its header.
    naxis : tuple of int
        Axis lengths in header order.
    stored : ndarray, shape (ny, nx)
        Stored numbers of the plane in native byte order.
    """

    path: str
    index: int
    cards: CardList
    naxis: tuple[int, ...]
    stored: AnyArray

    def values(self) -> FloatArray:
        """Pixels as float64: BSCALE and BZERO applied, BLANK as NaN."""
        values: FloatArray = self.stored.astype(np.float64)
        scale, zero = self.cards.number("BSCALE", 1.0), self.cards.number("BZERO", 0.0)
        if (scale, zero) != (1.0, 0.0):
            values = values * scale + zero
        blank = self.cards.get("BLANK")
        if isinstance(blank, int) and self.stored.dtype.kind in "iu":
            values[self.stored == blank] = np.nan
        return values

    def wcs(self) -> WCS:
        """Celestial WCS of the plane.

        Raises
        ------
        WcsError
            The header has none.
        """
        return read_wcs(self.cards, self.naxis, where=self.path, path=self.path)[0]


def read_image_hdu(path: PathLike, hdu: int | None = 0, *, plane3: int = 1, plane4: int = 1) -> ImageHdu:
    """Read one plane of an image as it is stored.

    Parameters
    ----------
    path : path
        File name.
    hdu : int, optional
        0-based HDU; None takes the first that holds an image.
    plane3, plane4 : int
        1-based index on the third and fourth axis of a cube.

    Raises
    ------
    FormatError
        No such file or HDU, not FITS, truncated, no image in the HDU.
    ShapeError
        The cube has no such plane.

    Examples
    --------
    >>> read_image_hdu("frame.fits").values().mean()  # doctest: +SKIP
    """
    name = str(path)
    hdus = scan_fits(name, last=hdu)
    if hdu is None:
        found = next((h for h in hdus if h.is_image), None)
        if found is None:
            raise FormatError(f"{name} holds no image", path=name)
    elif not 0 <= hdu < len(hdus):
        raise FormatError(f"tried to move past end of file: {name} has no HDU {hdu}", hint=f"it has {len(hdus)}", path=name, hdu=hdu)
    else:
        found = hdus[hdu]
        if not found.is_image:
            raise FormatError(f"no NAXIS1 and NAXIS2 keywords: HDU {hdu} of {name} holds no image", path=name, hdu=hdu)
    if 0 in found.naxis:
        raise ShapeError(f"HDU {found.index} of {name} has no pixels", path=name, hdu=found.index)
    number = _plane_number(found.naxis, (plane3, plane4), name)
    if found.kind == "compressed":
        return _unpacked(name, found, number)
    shape = (found.naxis[1], found.naxis[0])
    code = f">{'f' if found.bitpix < 0 else 'i' if found.bitpix > 8 else 'u'}{abs(found.bitpix) // 8}"
    size = shape[0] * shape[1] * abs(found.bitpix) // 8
    with open_fits(name) as stream:
        stream.seek(found.offset + number * size)
        block = bytearray()
        while len(block) < size:
            part = stream.read(size - len(block))
            if not part:
                raise FormatError(f"error reading from FITS file: {name} is truncated", hint="copy or download it again", path=name)
            block += part
    stored = np.frombuffer(block, code).reshape(shape).astype(np.dtype(code).newbyteorder("="))
    return ImageHdu(path=name, index=found.index, cards=found.cards, naxis=found.naxis, stored=stored)


def _plane_number(naxis: tuple[int, ...], planes: tuple[int, int], name: str) -> int:
    """How many planes lie before the one wanted."""
    number, step = 0, 1
    for axis, (length, plane) in enumerate(zip(naxis[2:4], planes, strict=False), 3):
        if not 1 <= plane <= length:
            raise ShapeError(f"{name} has {length} planes on axis {axis}, not plane {plane}", path=name)
        number += (plane - 1) * step
        step *= length
    return number


def _unpacked(name: str, hdu: FitsHdu, number: int) -> ImageHdu:
    """Plane of a tile-compressed image, and the header that the image had before it was compressed."""
    import warnings

    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(name, memmap=False, do_not_scale_image_data=True) as hdus:
                cards = "".join(
                    line.ljust(CARD) for line in hdus[hdu.index].header.tostring(sep="\n", endcard=False, padding=False).split("\n")
                )
                data = np.asarray(hdus[hdu.index].data)
    except Exception as err:  # damaged tiles surface as errors of many kinds
        raise FormatError(f"cannot unpack {name}: {' '.join(str(err).split())}", hint="copy or download it again", path=name) from err
    stored = data.reshape(-1, hdu.naxis[1], hdu.naxis[0])[number]
    stored = np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))
    return ImageHdu(path=name, index=hdu.index, cards=CardList(cards.encode("ascii", "replace")), naxis=hdu.naxis, stored=stored)


def write_image_hdu(path: PathLike, image: ImageHdu, data: AnyArray, changes: Mapping[str, Any] | None = None) -> None:
    """Write an array as the primary image of a new file, with the header of another image.

    Parameters
    ----------
    path : path
        File to write; an older one is replaced.
    image : ImageHdu
        Its cards are copied, but for those that describe the structure, further axes and checksums.
    data : ndarray, shape (ny, nx)
        Pixels. Where their type is not that of ``image.stored``, BSCALE, BZERO and BLANK are dropped.
    changes : mapping, optional
        Values of cards that are to be changed (in their place) or added.

    Raises
    ------
    FormatError
        The file cannot be written.

    Examples
    --------
    >>> image = read_image_hdu("frame.fits")  # doctest: +SKIP
    >>> write_image_hdu("part.fits", image, image.stored[:10, :10])  # doctest: +SKIP
    """
    code = data.dtype.str[1:]
    stored = np.ascontiguousarray(data, f">{code}")
    waiting = dict(changes or {})
    lines = [
        *("SIMPLE  =                    T".ljust(CARD), card_text("BITPIX", _BITPIX[code]), card_text("NAXIS", 2)),
        *(card_text("NAXIS1", data.shape[1]), card_text("NAXIS2", data.shape[0])),
    ]
    same = data.dtype == image.stored.dtype
    for line in image.cards.lines():
        key = line[:8].rstrip()
        if _STRUCTURE.match(line[:8]) or (not same and key in _SCALING):
            continue
        lines.append(_changed(line, waiting.pop(key)) if key in waiting and line[8:9] == "=" else line)
    lines += [card_text(key, value) for key, value in waiting.items()]
    with replacing(path, overwrite=True, needed=stored.nbytes) as temporary, temporary.open("wb") as stream:
        stream.write(header_bytes(lines))
        stream.write(memoryview(stored.view(np.uint8).reshape(-1).data))
        stream.write(b"\0" * (-stored.nbytes % BLOCK))


def _changed(line: str, value: Any) -> str:
    """Card with another value and the same comment."""
    comment = re.match(r".{10}(?:'(?:[^']|'')*'|[^/']*)(/.*)?\Z", line)
    text = card_text(line[:8].rstrip(), value)
    return f"{text.rstrip()} {comment[1]}"[:CARD].ljust(CARD) if comment and comment[1] else text
