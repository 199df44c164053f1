"""The HDUs of a FITS file, found by reading headers only (plain, ``.gz`` or tile-compressed)."""

from __future__ import annotations

import gzip
import os
import re
import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from nbmosaic.errors import FormatError
from nbmosaic.io.cards import BLOCK, CARD, CardList

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FitsHdu", "open_fits", "os_error", "scan_fits"]

_BITPIX = (8, 16, 32, 64, -32, -64)
_END = re.compile(rb"END {77}")
_SKIP = 1 << 20
_AGAIN = "copy or download it again"
_MAX_HEADER = 64 << 20  # 800 000 cards; no END before that means that this is no header


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitsHdu:
    """One HDU: its cards, and where its data lie.

    Attributes
    ----------
    index : int
        0-based number of the HDU.
    cards : CardList
        Its header.
    kind : str
        ``"image"``, ``"compressed"`` (tile-compressed image), ``"table"`` or ``"other"``.
    naxis : tuple of int
        Axis lengths of the image in header order, empty without data.
    bitpix : int
        Type of the stored pixels; of the uncompressed ones where they are tile-compressed.
    offset : int
        First byte of the data (in the unpacked stream of a ``.gz`` file).
    """

    index: int
    cards: CardList
    kind: str
    naxis: tuple[int, ...]
    bitpix: int
    offset: int

    @property
    def name(self) -> str:
        """EXTNAME, or an empty text."""
        return self.cards.text("EXTNAME")

    @property
    def version(self) -> int:
        """EXTVER (1 where it is missing)."""
        return self.cards.integer("EXTVER", 1)

    @property
    def is_image(self) -> bool:
        """Whether the HDU holds an image with at least two axes."""
        return self.kind in {"image", "compressed"} and len(self.naxis) >= 2


def os_error(action: str, path: str, error: OSError) -> FormatError:
    """One-line `FormatError` of an operating-system error."""
    reason = error.strerror or str(error) or type(error).__name__
    return FormatError(f"cannot {action} {path}: {reason[:1].lower()}{reason[1:]}", path=path)


@contextmanager
def open_fits(path: str) -> Iterator[BinaryIO]:
    """Open a FITS file for reading; a gzip file (known by its first bytes, not by its name) is unpacked on the fly.

    Raises
    ------
    FormatError
        The file is missing, unreadable, or its gzip stream is damaged or cut.
    """
    try:
        raw = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed below; the error of opening reads differently
    except OSError as err:
        raise os_error("open", path, err) from err
    with raw:
        try:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                    yield cast("BinaryIO", stream)
            else:
                yield cast("BinaryIO", raw)
        except EOFError as err:
            raise FormatError(f"{path} is truncated: its gzip stream ends early", hint=_AGAIN, path=path) from err
        except (gzip.BadGzipFile, zlib.error) as err:
            raise FormatError(f"{path} is damaged: {err}", hint=_AGAIN, path=path) from err
        except FormatError:
            raise
        except OSError as err:
            raise os_error("read", path, err) from err


def _read_header(stream: BinaryIO, path: str, index: int) -> tuple[CardList, int] | None:
    """Cards and length in bytes of the header at the current position; None where no further HDU begins."""
    block = _read_exactly(stream, BLOCK)
    if index == 0:
        if not block.startswith(b"SIMPLE  ="):
            what = "is empty" if not block else "is not a FITS file (it does not begin with SIMPLE)"
            raise FormatError(f"{path} {what}", path=path)
    elif not block.startswith(b"XTENSION="):
        return None
    parts = [block]
    size = len(block)
    while True:
        for match in _END.finditer(parts[-1]):
            if match.start() % CARD == 0:
                end = size - len(parts[-1]) + match.start()
                return CardList(b"".join(parts)[:end]), size
        block = _read_exactly(stream, BLOCK)
        if len(block) < BLOCK or size > _MAX_HEADER:
            tail = block.rstrip(b" \0")
            why = "the file ends inside it" if len(block) < BLOCK and size <= _MAX_HEADER else "no END card"
            if tail.endswith(b"END") and len(tail) % CARD == 3:  # last block not padded: harmless for a header without data
                return CardList(b"".join([*parts, tail[:-3]])), size + len(block)
            raise FormatError(f"{path} is truncated in the header of HDU {index}: {why}", hint=_AGAIN, path=path, hdu=index)
        parts.append(block)
        size += BLOCK


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the file (a raw read may give less than asked for)."""
    data = stream.read(size)
    while data is not None and 0 < len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data or b""


def _describe(cards: CardList, index: int, offset: int, path: str) -> tuple[FitsHdu, int]:
    """HDU of a header, and the length of its data in bytes."""
    bitpix = cards.integer("BITPIX", 0)
    n_axes = cards.integer("NAXIS", -1)
    if bitpix not in _BITPIX:
        raise FormatError(f"{path} HDU {index}: BITPIX is {cards.get('BITPIX')!r}, expected one of {_BITPIX}", path=path, hdu=index)
    lengths = [cards.integer(f"NAXIS{i}", -1) for i in range(1, n_axes + 1)] if 0 <= n_axes <= 999 else [-1]
    if any(n < 0 for n in lengths):
        bad = "NAXIS" if not 0 <= n_axes <= 999 else f"NAXIS{[n < 0 for n in lengths].index(True) + 1}"
        raise FormatError(f"{path} HDU {index}: {bad} is {cards.get(bad)!r}, expected a whole number", path=path, hdu=index)
    extension = cards.text("XTENSION") if index else "IMAGE"
    groups = cards.get("GROUPS") is True and bool(lengths) and lengths[0] == 0
    size = 1 if lengths else 0
    for n in lengths[1:] if groups else lengths:
        size *= n
    size = abs(bitpix) // 8 * cards.integer("GCOUNT", 1) * (max(cards.integer("PCOUNT", 0), 0) + size)
    kind, naxis = "other", tuple(lengths)
    if groups:
        kind = "other"
    elif extension in {"IMAGE", "IUEIMAGE"}:
        kind = "image"
    elif extension in {"BINTABLE", "A3DTABLE"} and cards.get("ZIMAGE") is True:
        kind, bitpix = "compressed", cards.integer("ZBITPIX", 0)
        naxis = tuple(max(cards.integer(f"ZNAXIS{i}", 0), 0) for i in range(1, cards.integer("ZNAXIS", 0) + 1))
    elif extension in {"TABLE", "BINTABLE", "A3DTABLE"}:
        kind = "table"
    return FitsHdu(index=index, cards=cards, kind=kind, naxis=naxis, bitpix=bitpix, offset=offset), size


def _unpacked_size(path: str, stream: BinaryIO) -> int:
    """Size in bytes of the FITS stream if it can be known without unpacking it, else -1.

    The last four bytes of a gzip file with one member (the usual case) are the unpacked size modulo 2**32. If that is where the first
    HDU ends, the file has no further HDU and nothing needs to be unpacked; any other number decides nothing (several members, trailing
    bytes).
    """
    if not isinstance(stream, gzip.GzipFile):
        return os.fstat(stream.fileno()).st_size
    with Path(path).open("rb") as raw:
        raw.seek(-4, os.SEEK_END)
        return int(struct.unpack("<I", raw.read(4))[0])


def _truncated(path: str, index: int, wanted: int, found: int) -> FormatError:
    return FormatError(
        f"{path} is truncated: HDU {index} should reach byte {wanted}, the file has {found}",
        hint=_AGAIN,
        path=path,
        hdu=index,
    )


def scan_fits(path: str, *, last: int | None = None) -> list[FitsHdu]:
    """List the HDUs of a file without reading pixels.

    Parameters
    ----------
    path : str
        File name.
    last : int, optional
        Stop after this HDU.

    Returns
    -------
    list of FitsHdu
        In file order.

    Raises
    ------
    FormatError
        Not FITS, damaged, or shorter than its headers say.

    Examples
    --------
    >>> [hdu.kind for hdu in scan_fits("frame.fits")]  # doctest: +SKIP
    ['image']
    """
    hdus: list[FitsHdu] = []
    with open_fits(path) as stream:
        packed = isinstance(stream, gzip.GzipFile)
        total = _unpacked_size(path, stream)
        position = 0
        while last is None or len(hdus) <= last:
            index = len(hdus)
            header = _read_header(stream, path, index)
            if header is None:
                break
            cards, length = header
            hdu, size = _describe(cards, index, position + length, path)
            hdus.append(hdu)
            end = hdu.offset + size
            padded = -(-end // BLOCK) * BLOCK
            if packed and total == padded % (1 << 32):
                break
            if packed:
                position = _skip(stream, hdu.offset, padded)
                total_now = position
            else:
                total_now = total
                position = padded
                stream.seek(padded)
            if total_now < end:  # a missing padding after the last HDU loses no pixel
                raise _truncated(path, index, end, total_now)
            if total_now < padded or (not packed and padded >= total):
                break
    return hdus


def _skip(stream: BinaryIO, start: int, padded: int) -> int:
    """Unpack and drop the bytes from `start` to `padded`; return the position reached."""
    position = start
    while position < padded:
        got = len(stream.read(min(_SKIP, padded - position)))
        if not got:
            break
        position += got
    return position
