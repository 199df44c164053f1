"""Images in double precision: mapped where the file allows it, read and scaled otherwise, written in strips.

Montage keeps projected images as BITPIX -64, and its tables print more digits than float32 holds. Uncompressed files of that type are mapped, so that a
window of an image costs the reading of that window only.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from nbmosaic.errors import FormatError, ShapeError
from nbmosaic.io.cards import CardList
from nbmosaic.io.fits_scan import FitsHdu, open_fits, scan_fits
from nbmosaic.io.headers import Card, header_bytes, header_lines
from nbmosaic.io.output import replacing

if TYPE_CHECKING:
    from nbmosaic._types import AnyArray, Float32Array, FloatArray, PathLike

__all__ = ["Image64", "Writer64", "area_name", "open_image64", "read_image32", "write_image64", "writing_image64"]

_STRIP = 1 << 17  # pixels: the byte-swapped copy (1 MB) stays in the second-level cache
_ENDINGS = (".fits.gz", ".fit.gz", ".fits", ".fit", ".FITS", ".FIT")
_HEAD: tuple[Card, ...] = (("EXTEND", True),)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Image64:
    """A two-dimensional image.

    Attributes
    ----------
    path : str
        File name.
    hdu : int
        0-based HDU.
    cards : CardList
        Header.
    stored : ndarray, shape (ny, nx)
        Pixels as float64, perhaps in the byte order of the file; do not write.
    naxis : tuple of int
        Axis lengths in header order.
    """

    path: str
    hdu: int
    cards: CardList
    stored: AnyArray
    naxis: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return cast("tuple[int, int]", self.stored.shape)

    def pixels(self) -> FloatArray:
        """All pixels in native byte order."""
        return self.stored.astype(np.float64)

    def window(self, where: tuple[slice, slice], out: FloatArray | None = None) -> FloatArray:
        """Copy of a part of the image in native byte order.

        Parameters
        ----------
        where : tuple of slice
            Rows and columns inside the image.
        out : ndarray of float64, 1-D, optional
            Buffer with room for the part; the result is then a view of it.
        """
        part = self.stored[where]
        if out is None or out.size < part.size:
            return part.astype(np.float64)
        view = out[: part.size].reshape(part.shape)
        np.copyto(view, part)
        return view


def area_name(path: str) -> str:
    """Name of the area file that belongs to an image.

    Examples
    --------
    >>> area_name("projected/hdu0_a.fits")
    'projected/hdu0_a_area.fits'
    """
    for ending in _ENDINGS:
        if path.endswith(ending):
            return f"{path[: -len(ending)]}_area{ending}"
    return f"{path}_area.fits"


def open_image64(path: str, hdu: int = 0) -> Image64:
    """Open one HDU of a FITS file as an image in double precision; blank pixels of integer images become NaN.

    Parameters
    ----------
    path : str
        File name.
    hdu : int
        0-based HDU. If the primary HDU holds no image, the first HDU that does is taken for 0.

    Raises
    ------
    FormatError
        The file is missing, damaged, cut, or has no such HDU.
    ShapeError
        The HDU holds no two-dimensional image.

    Examples
    --------
    >>> open_image64("hdu0_frame.fits").shape  # doctest: +SKIP
    (266, 265)
    """
    chosen = _choose(path, hdu)
    return Image64(path=path, hdu=chosen.index, cards=chosen.cards, stored=_stored(path, chosen), naxis=chosen.naxis)


def read_image32(path: str, hdu: int = 0, *, out: Float32Array | None = None, scale: float = 1.0) -> Image64:
    """Read an image in single precision, NaN where it is blank or infinite.

    Parameters
    ----------
    path : str
        File name.
    hdu : int
        See `open_image64`.
    out : ndarray of float32, 1-D, optional
        Buffer to read into, if it is large enough.
    scale : float
        Factor on the values.

    Returns
    -------
    Image64
        With ``stored`` as float32.

    Raises
    ------
    FormatError, ShapeError
        See `open_image64`.
    """
    from nbmosaic.io.fits_read import fits_image

    chosen = _choose(path, hdu)
    image = fits_image(path, chosen, label=f"{path} HDU {chosen.index}")
    size = image.shape[0] * image.shape[1]
    buffer = None if out is None or out.size < size else out[:size].reshape(image.shape)
    stored = image.read(buffer, scale=scale)
    return Image64(path=path, hdu=chosen.index, cards=chosen.cards, stored=stored, naxis=chosen.naxis)


def _choose(path: str, hdu: int) -> FitsHdu:
    """The HDU of that number, or the first image where 0 holds none."""
    found = scan_fits(path, last=hdu or None)
    if hdu >= len(found) or hdu < 0:
        raise FormatError(f"{path} has {len(found)} HDUs, there is no HDU {hdu}", path=path)
    chosen = found[hdu]
    if hdu == 0 and not chosen.is_image:
        chosen = next((one for one in found if one.is_image), chosen)
    naxis = chosen.naxis
    if not chosen.is_image or any(n > 1 for n in naxis[2:]) or 0 in naxis:
        lengths = "x".join(map(str, naxis)) or "none"
        raise ShapeError(f"{path} HDU {chosen.index} holds no two-dimensional image (axes {lengths})", path=path, hdu=chosen.index)
    return chosen


def _stored(path: str, hdu: FitsHdu) -> AnyArray:
    shape = (hdu.naxis[1], hdu.naxis[0])
    if hdu.kind == "compressed":
        from nbmosaic.io.fits_read import fits_image

        return fits_image(path, hdu, label=path).read().astype(np.float64)
    code = f">{'f' if hdu.bitpix < 0 else 'i' if hdu.bitpix > 8 else 'u'}{abs(hdu.bitpix) // 8}"
    scale, zero = hdu.cards.number("BSCALE", 1.0), hdu.cards.number("BZERO", 0.0)
    with open_fits(path) as stream:
        if hdu.bitpix == -64 and scale == 1.0 and zero == 0.0 and not isinstance(stream, gzip.GzipFile):
            return np.memmap(path, dtype=code, mode="r", offset=hdu.offset, shape=shape)
        stream.seek(hdu.offset)
        raw = np.frombuffer(_read(stream, path, shape[0] * shape[1] * abs(hdu.bitpix) // 8), code).reshape(shape)
    values = raw.astype(np.float64)
    if scale != 1.0 or zero != 0.0:
        values = values * scale + zero
    blank = hdu.cards.get("BLANK")
    if hdu.bitpix > 0 and isinstance(blank, int) and not isinstance(blank, bool):
        values[raw == blank] = np.nan
    return values


def _read(stream: Any, path: str, size: int) -> bytes:
    parts, left = [], size
    while left:
        part = stream.read(min(left, 1 << 26))
        if not part:
            raise FormatError(f"{path} is truncated: its pixels end early", hint="copy or download it again", path=path)
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


class Writer64:
    """Rows of a BITPIX -64 image, written one after the other."""

    def __init__(self, stream: IO[bytes], shape: tuple[int, int], cards: Iterable[Card]) -> None:
        self.shape = shape
        self.rows = 0
        self._stream = stream
        head: list[Card] = [("SIMPLE", True), ("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", shape[1]), ("NAXIS2", shape[0])]
        self._swapped = np.empty(0, ">f8")
        self._put(header_bytes(header_lines([*head, *_HEAD, *cards])))

    def write(self, rows: AnyArray) -> None:
        """Append rows (ny, nx) of numbers.

        Raises
        ------
        ShapeError
            They do not fit the image.
        """
        ny, nx = self.shape
        if rows.ndim != 2 or rows.shape[1] != nx or self.rows + len(rows) > ny:
            raise ShapeError(f"{rows.shape} pixels after {self.rows} rows of an image of {ny} x {nx}")
        step = max(1, _STRIP // max(nx, 1))
        if self._swapped.size < step * nx:
            self._swapped = np.empty(step * nx, ">f8")  # kept: fresh memory for each strip costs more than the swap
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            swapped = self._swapped[: part.size]
            np.copyto(swapped.reshape(part.shape), part)
            self._put(memoryview(swapped.view(np.uint8).data))
        self.rows += len(rows)

    def _put(self, view: memoryview | bytes) -> None:
        done = 0
        while done < len(view):  # a raw write may take only a part, and says so only by its return value
            done += self._stream.write(view[done:])

    def finish(self) -> None:
        """Fill the last block."""
        ny, nx = self.shape
        if self.rows != ny:
            raise ShapeError(f"{self.rows} rows of an image of {ny} rows were written")
        self._put(bytes(-ny * nx * 8 % 2880))


@contextmanager
def writing_image64(path: PathLike, shape: tuple[int, int], cards: Iterable[Card]) -> Iterator[Writer64]:
    """Write an image in strips; it appears under its name when it is complete. An existing file is replaced.

    Parameters
    ----------
    path : path
        File name; ``.gz`` is packed.
    shape : tuple of int
        ``(ny, nx)``.
    cards : iterable
        Keywords after the structure.

    Raises
    ------
    FormatError
        See `nbmosaic.io.output.replacing`.
    """
    needed = shape[0] * shape[1] * 8 + 5760
    with replacing(path, overwrite=True, needed=needed) as temporary:
        packed = str(path).endswith(".gz")
        with gzip.open(temporary, "wb", compresslevel=1) if packed else Path(temporary).open("wb", buffering=0) as stream:
            writer = Writer64(cast("IO[bytes]", stream), shape, cards)
            yield writer
            writer.finish()


def write_image64(path: PathLike, data: AnyArray, cards: Iterable[Card]) -> None:
    """Write a whole image as BITPIX -64.

    Examples
    --------
    >>> write_image64("flat.fits", np.ones((3, 4)), [("BUNIT", "DN")])  # doctest: +SKIP
    """
    with writing_image64(path, (data.shape[0], data.shape[1]), cards) as writer:
        writer.write(data)
