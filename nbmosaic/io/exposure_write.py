"""Headers of images made from mosaic exposures, and files of several images on grids of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic.errors import FormatError, ShapeError
from nbmosaic.io.cards import BLOCK, CARD
from nbmosaic.io.fits_write import MosaicWriter
from nbmosaic.io.headers import Card, header_bytes, header_lines, wcs_values
from nbmosaic.io.output import replacing, write_error

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from nbmosaic._types import AnyArray, PathLike
    from nbmosaic.io.cards import CardList
    from nbmosaic.types import MosaicGrid

__all__ = ["BoxWriter", "MefWriter", "copied_lines", "mean_card"]

_STRUCTURE = re.compile(
    r"(?:SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|EXTEND|EXTNAME|EXTVER|EXTLEVEL|INHERIT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|END"
    r"|Z(?:IMAGE|TABLE|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0|BLANK|HECKSUM|DATASUM|EXTEND|SIMPLE|TENSION|PCOUNT|GCOUNT|SCALE|ZERO)"
    r"|TFIELDS|TTYPE\d+|TFORM\d+|THEAP|NEXTEND|FILENAME)\Z"
)
_COORDINATES = re.compile(
    r"(?:WCSAXES|WCSDIM|WCSNAME|WCSASTRM|(?:CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|PROJP)\d+[A-Z]?|(?:CD|PC)\d+_\d+[A-Z]?|(?:PV|PS)\d+_\d+"
    r"|LONPOLE|LATPOLE|EQUINOX|EPOCH|RADESYS|RADECSYS|(?:A|B|AP|BP)_(?:ORDER|DMAX|\d_\d)|WAT\d_\d{3}|LTM\d_\d|LTV\d|WCSSOL"
    r"|(?:CPDIS|CQDIS|DP|DQ|CPERR|CQERR|D2IMDIS|D2IMERR|DVERR)\d*|D2IMEXT|AXISCORR)\Z"
)
_DETECTOR = re.compile(r"(?:DETSEC|CCDSEC|AMPSEC|IMAGEID|DATASEC|TRIMSEC|BIASSEC|IMCMB.{0,3}|PROCID.{0,2})\Z")
_SHARED = frozenset({"COMMENT", "HISTORY", "", "CONTINUE", "HIERARCH"})


def copied_lines(headers: Sequence[CardList | None], *, mosaic: bool, drop: Iterable[str] = ()) -> list[str]:
    """Cards of the headers of an exposure that hold for the image made of it.

    Parameters
    ----------
    headers : sequence of CardList
        Headers in order of precedence: that of a piece, then the primary header.
    mosaic : bool
        Whether pieces were put together: keywords that say where one detector lies (DETSEC, DATASEC, ...) are left out.
    drop : iterable of str
        Further keywords to leave out.

    Returns
    -------
    list of str
        Cards of 80 columns, without those of structure and coordinates.
    """
    unwanted = {"BPM", "NCOMBINE", *drop}
    lines: list[str] = []
    seen: set[str] = set()
    for number, cards in enumerate(header for header in headers if header is not None):
        new: set[str] = set()
        skip = False
        for line in cards.lines():
            key = line[:8].rstrip()
            if key == "CONTINUE" and skip:
                continue
            commentary = key in _SHARED
            skip = (commentary and number > 0 and key != "HIERARCH") or (not commentary and key in seen) or key in unwanted
            skip = skip or _STRUCTURE.match(key) is not None or _COORDINATES.match(key) is not None
            skip = skip or (mosaic and _DETECTOR.match(key) is not None)
            if skip or not line.strip():
                continue
            lines.append(line.ljust(CARD)[:CARD])
            new.add(key)
        seen |= new
    return lines


def mean_card(headers: Sequence[CardList], key: str) -> list[Card]:
    """Card with the mean of a number over headers; none where no header has it.

    Examples
    --------
    >>> from nbmosaic.io.cards import CardList, card_text
    >>> mean_card([CardList(card_text("GAIN", value).encode()) for value in (2.0, 3.0)], "GAIN")
    [('GAIN', 2.5, 'mean of the pieces')]
    """
    values = [value for value in (cards.number(key, float("nan")) for cards in headers) if np.isfinite(value)]
    return [(key, float(f"{np.mean(values):.12g}"), "mean of the pieces")] if values else []


class BoxWriter(MosaicWriter):
    """A mosaic that is written rectangle by rectangle, in one thread."""

    def fill(self, value: float) -> None:
        """Write one value to the whole image."""
        nx = self._grid.shape[1]
        rows = np.full((min(self._grid.shape[0], max(1, (1 << 18) // max(1, nx))), nx), value, f"{self._planes['data'].code}")
        for first in range(0, self._grid.shape[0], len(rows)):
            self.write_rows(first, rows[: self._grid.shape[0] - first])

    def write_box(self, first_row: int, first_column: int, data: AnyArray) -> None:
        """Write a rectangle; what is not written is 0, or as `fill` left it.

        Parameters
        ----------
        first_row, first_column : int
            Pixel of the image that the first of `data` belongs to.
        data : ndarray, shape (ny, nx)
            Values.

        Raises
        ------
        ShapeError
            The rectangle reaches beyond the image.
        """
        plane, (ny, nx) = self._planes["data"], self._grid.shape
        height, width = data.shape
        if first_row < 0 or first_column < 0 or first_row + height > ny or first_column + width > nx:
            raise ShapeError(
                f"a rectangle {data.shape} at row {first_row}, column {first_column} does not fit the image {self._grid.shape}"
            )
        item = int(plane.code[1:])
        step = max(1, (1 << 17) // max(1, width))
        for start in range(0, height, step):
            part = np.ascontiguousarray(data[start : start + step], f">{plane.code}")
            self._put_rows(part, plane.data + ((first_row + start) * nx + first_column) * item, nx * item)
        self._written["data"][:] = True

    def _put_rows(self, rows: AnyArray, position: int, stride: int) -> None:
        """Write rows that lie `stride` bytes apart: one call a row, which is most of the cost."""
        if self._stream is None:
            raise FormatError(f"{self._target} is closed", path=str(self._target))
        descriptor, view, length = self._stream.fileno(), memoryview(rows.reshape(-1).view(np.uint8).data), rows.shape[1] * rows.itemsize
        try:
            for start in range(0, len(view), length):
                done = os.pwrite(descriptor, view[start : start + length], position)
                if done != length:  # the disk is full, or a signal came: the plain way tells which
                    self._write_at(position + done, view[start + done : start + length])
                position += stride
        except OSError as error:
            self.abort()
            raise write_error(self._target, error, self.size) from error


class MefWriter:
    """Writes images one after the other as extensions of one file, which appears when the ``with`` block ends well.

    Parameters
    ----------
    path : path
        File to write.
    lines : sequence of str
        Cards of the primary header, of 80 columns.
    overwrite : bool
        Whether the file may exist.

    Raises
    ------
    FormatError
        The file exists or cannot be written.

    Examples
    --------
    >>> with MefWriter("pieces.fits", []) as writer:  # doctest: +SKIP
    ...     writer.add("im1", data, grid)
    """

    def __init__(self, path: PathLike, lines: Sequence[str], *, overwrite: bool = False) -> None:
        self._exit = ExitStack()
        self._path = path
        temporary: Path = self._exit.enter_context(replacing(path, overwrite=overwrite))
        try:
            self._stream: BinaryIO = self._exit.enter_context(temporary.open("wb"))
        except OSError as error:
            self._exit.close()
            raise write_error(path, error) from error
        self._write(header_bytes([*header_lines([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)]), *lines]))

    def add(self, name: str, data: AnyArray, grid: MosaicGrid, *, cards: Iterable[Card] = (), lines: Iterable[str] = ()) -> None:
        """Write one image.

        Parameters
        ----------
        name : str
            EXTNAME; may be empty.
        data : ndarray, shape (ny, nx)
            float32 or uint8.
        grid : MosaicGrid
            Its coordinates.
        cards : iterable
            Further keywords.
        lines : iterable of str
            Cards of 80 columns, to follow as they stand.
        """
        bitpix = {"f": -8, "u": 8, "i": 8}[data.dtype.kind] * data.dtype.itemsize
        head: list[Card] = [("XTENSION", "IMAGE"), ("BITPIX", bitpix), ("NAXIS", 2), ("NAXIS1", data.shape[1]), ("NAXIS2", data.shape[0])]
        head += [("PCOUNT", 0), ("GCOUNT", 1), *([("EXTNAME", name)] if name else [])]
        self._write(header_bytes([*header_lines([*head, *wcs_values(grid.wcs), *cards]), *lines]))
        rows = max(1, (1 << 18) // max(1, data.shape[1]))
        for first in range(0, data.shape[0], rows):
            self._write(data[first : first + rows].astype(data.dtype.newbyteorder(">")).tobytes())
        self._write(b"\0" * (-data.nbytes % BLOCK))

    def _write(self, block: bytes) -> None:
        try:
            self._stream.write(block)
        except OSError as error:
            raise write_error(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._exit.__exit__(kind, error, trace)
