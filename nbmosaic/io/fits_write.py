"""Write mosaics to FITS in row bands, and small images and tables in one go."""

from __future__ import annotations

import gzip
import shutil
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

import numpy as np

from nbmosaic.errors import FormatError, InputError, ShapeError
from nbmosaic.io.cards import BLOCK
from nbmosaic.io.headers import Card, header_bytes, header_lines, wcs_values
from nbmosaic.io.output import replacing, write_error
from nbmosaic.io.table_hdu import table_hdu

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from astropy.wcs import WCS
    from numpy.typing import DTypeLike
    from pandas import DataFrame

    from nbmosaic._types import AnyArray, PathLike
    from nbmosaic.types import MosaicGrid

__all__ = ["MosaicWriter", "write_image"]

_SWAP_PIXELS = 1 << 18  # 1 MB of float32: the byte-swapped copy stays in the second-level cache (0.17 ns/px)
_BITPIX = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}
_DEFAULT_TYPES = {"data": "f4", "area": "f4", "nframes": "i2", "mask": "u1", "variance": "f4", "weight": "f4"}
_EXTNAMES = {"area": "AREA", "nframes": "NFRAMES", "mask": "MASK", "variance": "VARIANCE", "weight": "WEIGHT"}
_BLANKS = {"data": np.nan, "variance": np.nan}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plane:
    """Where one image of the file lies."""

    name: str
    code: str
    header: int
    header_size: int
    data: int
    size: int


class MosaicWriter:
    """Write a mosaic band by band into one FITS file; several threads may write.

    The file grows under a temporary name in the same folder and is moved to its place by `finish`; leaving a ``with`` block by an error
    removes it.

    Parameters
    ----------
    path : path
        File to write; with ``.gz`` it is packed at the end (needs room for both).
    grid : MosaicGrid
        Shape and WCS.
    planes : sequence of str
        Extensions beside the image, in order: ``"area"`` (AREA), ``"nframes"`` (NFRAMES), ``"mask"`` (MASK), ``"variance"`` (VARIANCE),
        ``"weight"`` (WEIGHT).
    dtypes : mapping, optional
        Stored types, by default float32, ``area`` float32 (uint8 where it is whole), ``nframes`` int16, ``mask`` uint8.
    unit : str
        BUNIT.
    cards, history : optional
        Keywords and HISTORY lines of the primary header that are known now; any text is made printable.
    lines : iterable of str
        Cards of 80 columns of another header, to follow as they stand.
    overwrite : bool
        Whether the file may exist.

    Raises
    ------
    FormatError
        Before anything is written: the file exists, its folder is missing or not writable, or the disk has too little room. Later: the
        disk is full.

    Examples
    --------
    >>> with MosaicWriter("mosaic.fits", grid, planes=("area",)) as writer:  # doctest: +SKIP
    ...     for first, data, area in bands:
    ...         writer.write_rows(first, data, area=area)
    ...     writer.finish(cards=[("NFRAMES", 16)])
    """

    def __init__(
        self,
        path: PathLike,
        grid: MosaicGrid,
        *,
        planes: Iterable[str] = (),
        dtypes: Mapping[str, DTypeLike] | None = None,
        unit: str = "",
        cards: Iterable[Card] = (),
        history: Iterable[Any] = (),
        lines: Iterable[str] = (),
        overwrite: bool = False,
        spare_cards: int = 72,
    ) -> None:
        self._grid = grid
        self._spare_blocks = -(-spare_cards // 36)
        self._primary_cards = list(cards)
        self._history = list(history)
        self._lines = list(lines)
        self._unit = unit
        self._planes = self._layout(("data", *planes), dtypes or {})
        last = list(self._planes.values())[-1]
        self.size = -(-(last.data + last.size) // BLOCK) * BLOCK
        self._written = {name: np.zeros(grid.shape[0], bool) for name in self._planes}
        self._scratch = {plane.code: np.empty(_SWAP_PIXELS, f">{plane.code}") for plane in self._planes.values()}
        self._lock = threading.Lock()
        self._exit = ExitStack()
        self._packed = str(path).endswith(".gz")
        self._temporary = self._exit.enter_context(replacing(path, overwrite=overwrite, needed=self.size))
        self._target = Path(path).expanduser()
        self._stream: BinaryIO | None = None
        try:
            self._stream = cast("BinaryIO", self._temporary.open("wb", buffering=0))
        except OSError as err:
            self._exit.close()
            raise write_error(self._target, err, self.size) from err

    def _layout(self, names: tuple[str, ...], dtypes: Mapping[str, DTypeLike]) -> dict[str, _Plane]:
        ny, nx = self._grid.shape
        layout: dict[str, _Plane] = {}
        position = 0
        for name in names:
            if name not in _DEFAULT_TYPES or name in layout:
                raise InputError(f"plane {name!r}: expected some of {', '.join(_EXTNAMES)}, each once")
            code = np.dtype(dtypes.get(name, _DEFAULT_TYPES[name])).str[1:]
            if code not in _BITPIX:
                raise InputError(f"plane {name!r} cannot be stored as {np.dtype(dtypes[name])}, expected {', '.join(_BITPIX)}")
            header_size = len(header_bytes(self._plane_lines(name, code, last=())))
            if name == "data":
                header_size += self._spare_blocks * BLOCK
            size = ny * nx * int(code[1:])
            layout[name] = _Plane(name=name, code=code, header=position, header_size=header_size, data=position + header_size, size=size)
            position += header_size + -(-size // BLOCK) * BLOCK
        return layout

    def _plane_lines(self, name: str, code: str, last: Iterable[str]) -> list[str]:
        """Header cards of one image."""
        cards: list[Card]
        if name == "data":
            cards = [*_structure(self._grid.shape, code), *_unit_card(self._unit), *wcs_values(self._grid.wcs), *self._primary_cards]
            return header_lines(cards, self._history) + self._lines + list(last)
        unit = f"({self._unit})**2" if name == "variance" and self._unit else ""
        named: Card = ("EXTNAME", _EXTNAMES[name])
        return header_lines([*_structure(self._grid.shape, code, extension="IMAGE"), named, *_unit_card(unit), *wcs_values(self._grid.wcs)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()

    @property
    def closed(self) -> bool:
        """Whether the file is finished or removed."""
        return self._stream is None

    def write_rows(
        self,
        first: int,
        data: AnyArray,
        *,
        area: AnyArray | None = None,
        nframes: AnyArray | None = None,
        mask: AnyArray | None = None,
        variance: AnyArray | None = None,
        weight: AnyArray | None = None,
    ) -> None:
        """Write whole rows, in any order.

        Parameters
        ----------
        first : int
            Row of the grid that the first row of the arrays belongs to.
        data, area, nframes, mask, variance, weight : ndarray, shape (n, nx)
            Values; those of planes that the file was not opened with must be left out.

        Raises
        ------
        ShapeError
            The rows do not fit the grid.
        FormatError
            The disk is full, or cannot be written.
        """
        given = {"data": data, "area": area, "nframes": nframes, "mask": mask, "variance": variance, "weight": weight}
        for name, rows in given.items():
            if rows is None:
                continue
            plane = self._planes.get(name)
            if plane is None:
                raise InputError(f"{self._target} was opened without the plane {name!r}")
            ny, nx = self._grid.shape
            if rows.ndim != 2 or rows.shape[1] != nx or not 0 <= first <= ny - rows.shape[0]:
                raise ShapeError(f"rows {first} to {first + rows.shape[0]} of {rows.shape} do not fit the grid {self._grid.shape}")
            with self._lock:
                self._put(plane, first, rows)

    def _put(self, plane: _Plane, first: int, rows: AnyArray) -> None:
        scratch = self._scratch[plane.code]
        nx = rows.shape[1]
        step = max(1, len(scratch) // max(nx, 1))
        if nx > len(scratch):
            scratch = self._scratch[plane.code] = np.empty(nx, scratch.dtype)
        item = scratch.itemsize
        for start in range(0, rows.shape[0], step):
            part = rows[start : start + step]
            swapped = scratch[: part.size]
            np.copyto(swapped.reshape(part.shape), part, casting="unsafe")
            self._write_at(plane.data + (first + start) * nx * item, memoryview(swapped.view(np.uint8).data))
        self._written[plane.name][first : first + rows.shape[0]] = True

    def _write_at(self, position: int, view: memoryview | bytes) -> None:
        if self._stream is None:
            raise FormatError(f"{self._target} is closed", path=str(self._target))
        try:
            self._stream.seek(position)
            done = 0
            while done < len(view):  # a raw write may take only a part, and says so only by its return value
                done += self._stream.write(view[done:])
        except OSError as err:
            self.abort()
            raise write_error(self._target, err, self.size) from err

    def finish(
        self,
        *,
        cards: Iterable[Card] = (),
        history: Iterable[Any] = (),
        tables: Mapping[str, DataFrame] | None = None,
    ) -> Path:
        """Write the headers, fill rows that were never written with blanks, add tables, and move the file into place.

        Parameters
        ----------
        cards, history : optional
            Keywords and HISTORY lines that are known only now; they come after the others (72 cards have room, a HISTORY card counts
            the rest).
        tables : mapping of DataFrame, optional
            Binary tables to add, by extension name.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        FormatError
            The disk is full, or cannot be written; nothing is left behind.
        """
        if self._stream is None:
            return self._target
        try:
            last = header_lines(cards, history)
            for plane in self._planes.values():
                self._fill(plane)
                lines = self._plane_lines(plane.name, plane.code, last)
                self._write_at(plane.header, header_bytes(lines, size=plane.header_size))
                self._write_at(plane.data + plane.size, b"\0" * (-plane.size % BLOCK))
            position = self.size
            for name, table in (tables or {}).items():
                block = table_hdu(name, table)
                self._write_at(position, block)
                position += len(block)
            self._stream.close()
            self._stream = None
            if self._packed:
                _pack(self._temporary, self._target, self.size)
        except BaseException:
            self.abort()
            raise
        self._exit.close()
        return self._target

    def _fill(self, plane: _Plane) -> None:
        """Write blanks where no row was written (all zero bytes are already right for the counts)."""
        ny, nx = self._grid.shape
        blank = _BLANKS.get(plane.name)
        missing = np.flatnonzero(~self._written[plane.name])
        if blank is not None and len(missing):
            row = np.full((1, nx), blank, np.float32)
            for y in missing:
                self._put(plane, int(y), row)
        elif len(missing) and missing[-1] == ny - 1:
            self._put(plane, ny - 1, np.zeros((1, nx), np.uint8))

    def abort(self) -> None:
        """Close and remove the temporary file; an older file of the same name stays as it was."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._exit.__exit__(_Abort, _Abort(), None)


class _Abort(Exception):  # noqa: N818 - never seen by anybody: tells the temporary name to go away
    """The file is given up."""


def _pack(temporary: Path, target: Path, needed: int) -> None:
    """Compress a finished file in place of itself."""
    packed = temporary.with_name(temporary.name + "z")
    try:
        with temporary.open("rb") as plain, gzip.open(packed, "wb", compresslevel=4) as stream:
            shutil.copyfileobj(plain, stream, 1 << 20)
        packed.replace(temporary)
    except OSError as err:
        raise write_error(target, err, needed) from err
    finally:
        packed.unlink(missing_ok=True)


def _structure(shape: tuple[int, int], code: str, *, extension: str = "") -> list[Card]:
    first: Card = ("XTENSION", extension) if extension else ("SIMPLE", True)
    cards: list[Card] = [first, ("BITPIX", _BITPIX[code]), ("NAXIS", 2), ("NAXIS1", shape[1]), ("NAXIS2", shape[0])]
    return [*cards, ("PCOUNT", 0), ("GCOUNT", 1)] if extension else [*cards, ("EXTEND", True)]


def _unit_card(unit: str) -> list[Card]:
    return [("BUNIT", unit)] if unit else []


def write_image(
    path: PathLike,
    data: AnyArray | None,
    wcs: WCS | None = None,
    *,
    unit: str = "",
    cards: Iterable[Card] = (),
    history: Iterable[Any] = (),
    extensions: Mapping[str, AnyArray] | None = None,
    extension_cards: Mapping[str, Iterable[Card]] | None = None,
    tables: Mapping[str, DataFrame] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one image, with others and tables as extensions.

    Parameters
    ----------
    path : path
        File to write (``.fits`` or ``.fits.gz``).
    data : ndarray, shape (ny, nx)
        float32, float64, or integers of 8 (unsigned), 16, 32 or 64 bits; bool is stored as 8 bits. None: the primary HDU holds no image.
    wcs : astropy.wcs.WCS, optional
        Two axes.
    unit : str
        BUNIT.
    cards, history : optional
        Keywords and HISTORY lines; any text is made printable.
    extensions : mapping of ndarray, optional
        Further images of the same WCS, by extension name.
    extension_cards : mapping, optional
        Keywords of extensions, by extension name.
    tables : mapping of DataFrame, optional
        Binary tables, by extension name.
    overwrite : bool
        Whether the file may exist.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FormatError
        See `nbmosaic.io.output.check_output`.

    Examples
    --------
    >>> write_image("sky.fits", np.zeros((4, 4), np.float32), unit="MJy/sr")  # doctest: +SKIP
    PosixPath('sky.fits')
    """
    keywords: list[Card] = [] if wcs is None else [*wcs_values(wcs)]
    if data is None:
        empty: list[Card] = [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)]
        blocks: list[list[bytes | memoryview]] = [[header_bytes(header_lines([*empty, *_unit_card(unit), *cards], history))]]
    else:
        blocks = [_image_block(data, [*_unit_card(unit), *keywords, *cards], history)]
    for name, image in (extensions or {}).items():
        own = [*(extension_cards or {}).get(name, ())]
        blocks.append(_image_block(image, [("EXTNAME", name), *keywords, *own], (), extension="IMAGE"))
    blocks += [[table_hdu(name, table)] for name, table in (tables or {}).items()]
    needed = sum(len(part) for block in blocks for part in block)
    with replacing(path, overwrite=overwrite, needed=needed) as temporary:
        with temporary.open("wb") as stream:
            for block in blocks:
                stream.writelines(block)
        if str(path).endswith(".gz"):
            _pack(temporary, Path(path), needed)
    return Path(path).expanduser()


def _image_block(data: AnyArray, cards: list[Card], history: Iterable[Any], *, extension: str = "") -> list[bytes | memoryview]:
    """Header, data and padding of one image."""
    image = np.asarray(data, np.uint8) if data.dtype == bool else np.asarray(data)
    code = image.dtype.str[1:]
    if image.ndim != 2 or code not in _BITPIX:
        raise ShapeError(f"an image of {image.dtype} {image.shape} cannot be written, expected (ny, nx) of {', '.join(_BITPIX)}")
    stored = np.ascontiguousarray(image, f">{code}")
    header = header_bytes(header_lines([*_structure((image.shape[0], image.shape[1]), code, extension=extension), *cards], history))
    return [header, memoryview(stored.view(np.uint8).reshape(-1).data), b"\0" * (-stored.nbytes % BLOCK)]
