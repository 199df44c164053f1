"""Pixels of one image HDU as native float32, read in strips."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nbmosaic.errors import FormatError, ShapeError
from nbmosaic.io.fits_scan import FitsHdu, open_fits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmosaic._types import AnyArray, BoolArray, Float32Array

__all__ = ["FitsImage", "fits_image", "to_float32"]

# 2**17 pixels (512 kB of float32) stay in the second-level cache between reading, byte swap and the search for infinities:
# 0.6 ns/px in all, against 1.0 ns/px for passes over the whole frame.
STRIP_PIXELS = 1 << 17

_AGAIN = "copy or download it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitsImage:
    """A two-dimensional image in a file, and how its numbers are stored.

    Attributes
    ----------
    path : str
        File name.
    hdu : int
        0-based HDU.
    label : str
        Name for messages.
    shape : tuple of int
        ``(ny, nx)``.
    bitpix, offset : int
        Stored type, and first byte of the data.
    bscale, bzero : float
        Value = stored * bscale + bzero.
    blank : int, optional
        Stored number of a blank pixel of an integer image.
    compressed : bool
        Tile-compressed.
    key : tuple of int
        Size and time of change of the file when its header was read.
    """

    path: str
    hdu: int
    label: str
    shape: tuple[int, int]
    bitpix: int
    offset: int
    bscale: float = 1.0
    bzero: float = 0.0
    blank: int | None = None
    compressed: bool = False
    key: tuple[int, int] = (-1, -1)

    def read(self, out: Float32Array | None = None, *, scale: float = 1.0) -> Float32Array:
        """Read the pixels as float32; blank, NaN and infinite pixels become NaN.

        Parameters
        ----------
        out : ndarray of float32, shape (ny, nx), optional
            C-contiguous buffer to fill (a fresh one costs up to 5 ns/px for the first touch of its memory).
        scale : float
            Factor on the values.

        Returns
        -------
        ndarray
            `out`, or a fresh array.

        Raises
        ------
        FormatError
            The file is gone, cut, damaged, or was changed since its header was read.
        ShapeError
            `out` does not fit.
        """
        result = _output(self.shape, out, self.label)
        if self.compressed:
            for first, strip in self._unpacked_strips():
                to_float32(strip, result[first : first + len(strip)], scale=scale)
            return result
        with open_fits(self.path) as stream:
            self._check_unchanged()
            stream.seek(self.offset)
            for strip, raw in _strips(stream, self, result):
                self._convert(raw, strip, scale)
        return result

    def read_flags(self, bits: int | None = None) -> BoolArray:
        """Read a mask plane: True where the stored number is not zero, or shares a bit with `bits`; blank and NaN count as bad."""
        bad = np.empty(self.shape, bool)
        if self.compressed:
            for first, part in self._unpacked_strips():
                _flags(part, bits, bad[first : first + len(part)], self.label)
            return bad
        with open_fits(self.path) as stream:
            self._check_unchanged()
            stream.seek(self.offset)
            for strip, raw in _strips(stream, self, bad):
                values = raw
                if self.bscale != 1.0 or self.bzero != 0.0:
                    values = raw.astype(np.float64) * self.bscale + self.bzero if self.bitpix < 0 else _scaled_integers(raw, self)
                _flags(values, bits, strip, self.label)
                if self.blank is not None and self.bitpix > 0:
                    np.logical_or(strip, raw == self.blank, out=strip)
        return bad

    def _convert(self, raw: AnyArray, strip: Float32Array, scale: float) -> None:
        """Turn stored numbers into values of `strip` (which `raw` may be)."""
        plain = self.bscale == 1.0 and self.bzero == 0.0
        if self.bitpix < 0:
            to_float32(raw if plain else raw * np.float64(self.bscale) + self.bzero, strip, scale=scale)
            return
        blank = None if self.blank is None else raw == self.blank
        if plain:
            to_float32(raw, strip, scale=scale)
        elif self.bitpix == 64:
            to_float32(_scaled_integers(raw, self), strip, scale=scale)
        else:
            values = np.multiply(raw, np.float64(self.bscale * scale))
            values += self.bzero * scale
            to_float32(values, strip)
        if blank is not None:
            strip[blank] = np.nan

    def _unpacked_strips(self) -> Iterator[tuple[int, AnyArray]]:
        """Rows of a tile-compressed image, scaled by astropy, with their first row."""
        import warnings

        from astropy.io import fits

        self._check_unchanged()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with fits.open(self.path, memmap=False) as hdus:
                    data = np.asarray(hdus[self.hdu].data)
        except Exception as err:  # damaged tiles surface as errors of many kinds from C and Python decoders
            raise FormatError(
                f"cannot unpack {self.label}: {' '.join(str(err).split())}", hint="copy or download it again", path=self.path
            ) from err
        image = data.reshape(self.shape)
        rows = max(1, STRIP_PIXELS // self.shape[1])
        for first in range(0, self.shape[0], rows):
            yield first, image[first : first + rows]

    def _check_unchanged(self) -> None:
        if self.key == (-1, -1):
            return
        status = Path(self.path).stat()
        if (status.st_size, status.st_mtime_ns) != self.key:
            raise FormatError(f"{self.path} was changed since its header was read", hint="list the frames again", path=self.path)


def _output(shape: tuple[int, int], out: Float32Array | None, label: str) -> Float32Array:
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ShapeError(f"the buffer for {label} is {out.dtype} {out.shape}, expected C-contiguous float32 {shape}")
    return out


def _strips(stream: BinaryIO, image: FitsImage, target: AnyArray) -> Iterator[tuple[Any, AnyArray]]:
    """Read an image in strips: rows of `target`, and their stored numbers in native byte order.

    Float32 images are read into `target` itself where it is float32, others into one small scratch array.
    """
    ny, nx = image.shape
    rows = max(1, min(ny, STRIP_PIXELS // nx))
    code = f"{'f' if image.bitpix < 0 else 'i' if image.bitpix > 8 else 'u'}{abs(image.bitpix) // 8}"
    in_place = image.bitpix == -32 and target.dtype == np.float32
    scratch = np.empty(0 if in_place else rows * nx, code)
    for first in range(0, ny, rows):
        part = target[first : first + rows]
        raw = part if in_place else scratch[: part.size].reshape(part.shape)
        _read_into(stream, raw, image)
        if sys.byteorder == "little" and raw.itemsize > 1:
            raw.byteswap(inplace=True)
        yield part, raw


def _read_into(stream: BinaryIO, array: AnyArray, image: FitsImage) -> None:
    view = memoryview(array.data).cast("B")
    done = 0
    while done < len(view):
        got = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise FormatError(
                f"{image.path} is truncated: the pixels of {image.label} end early", hint="copy or download it again", path=image.path
            )
        done += got


def _scaled_integers(raw: AnyArray, image: FitsImage) -> AnyArray:
    """Give stored integers with BZERO of the unsigned conventions, exact; others through float64."""
    if image.bscale == 1.0 and image.bitpix == 64 and image.bzero == 2.0**63:
        return raw.view(np.uint64) ^ np.uint64(1 << 63)
    if image.bscale == 1.0 and image.bzero == int(image.bzero) and abs(image.bzero) <= 2.0**31:
        return raw.astype(np.int64) + int(image.bzero)
    return raw.astype(np.float64) * image.bscale + image.bzero


def to_float32(values: AnyArray, out: Float32Array, *, scale: float = 1.0) -> None:
    """Write `values` (any type and byte order) times `scale` into `out`; infinite values become NaN.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        May be `out` itself.
    out : ndarray of float32, shape (ny, nx)
        Filled.
    scale : float
        Factor.

    Examples
    --------
    >>> out = np.empty((1, 2), np.float32)
    >>> to_float32(np.array([[1.0, np.inf]]), out)
    >>> out
    array([[ 1., nan]], dtype=float32)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if scale != 1.0:
            factor = np.float64(scale) if values.dtype.itemsize > 4 or values.dtype.kind != "f" else np.float32(scale)
            np.multiply(values, factor, out=out, casting="unsafe")
        elif values is not out:
            np.copyto(out, values, casting="unsafe")
    if values.dtype.kind == "f":
        infinite = np.isinf(out)
        if infinite.any():
            out[infinite] = np.nan


def _flags(values: AnyArray, bits: int | None, out: BoolArray, label: str) -> None:
    if bits is None or values.dtype.kind == "b":
        np.not_equal(values, 0, out=out)
        return
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
        whole = np.where(bad, 0, values)
        if (whole != np.trunc(whole)).any():
            raise ShapeError(f"mask bits were chosen, but {label} holds numbers that are not whole")
        out[...] = bad | ((whole.astype(np.int64) & bits) != 0)
        return
    chosen = np.array(bits & ((1 << values.dtype.itemsize * 8) - 1), f"u{values.dtype.itemsize}").astype(values.dtype.newbyteorder("="))
    np.not_equal(values & chosen, 0, out=out)


def fits_image(path: str, hdu: FitsHdu, *, label: str, axes: tuple[int, int] = (1, 2), key: tuple[int, int] = (-1, -1)) -> FitsImage:
    """Describe the pixels of an image HDU.

    Parameters
    ----------
    path : str
        File name.
    hdu : FitsHdu
        One of `nbmosaic.io.fits_scan.scan_fits`.
    label : str
        Name for messages.
    axes : tuple of int
        1-based header axes of the image, in rising order; all others must have length 1.
    key : tuple of int
        Size and time of change of the file.

    Raises
    ------
    FormatError
        BSCALE or BZERO is not a number.
    ShapeError
        Another axis is longer than 1, or one has length 0.

    Examples
    --------
    >>> from nbmosaic.io.fits_scan import scan_fits  # doctest: +SKIP
    >>> fits_image("frame.fits", scan_fits("frame.fits")[0], label="frame.fits").read()  # doctest: +SKIP
    """
    cards = hdu.cards
    lengths = "x".join(map(str, hdu.naxis))
    if 0 in hdu.naxis:
        raise ShapeError(f"{label} has no pixels: its axes are {lengths}", path=path, hdu=hdu.index)
    others = [n for i, n in enumerate(hdu.naxis, 1) if i not in axes and n > 1]
    if others or axes[1] > len(hdu.naxis):
        hint = "write the plane that you want as an image" if others else None
        raise ShapeError(
            f"{label} has axes {lengths}, expected an image in axes {axes[0]} and {axes[1]}", hint=hint, path=path, hdu=hdu.index
        )
    bscale, bzero = cards.number("BSCALE", 1.0), cards.number("BZERO", 0.0)
    if not (np.isfinite(bscale) and np.isfinite(bzero)):
        raise FormatError(f"{label}: BSCALE {bscale} and BZERO {bzero} are not both finite", path=path, hdu=hdu.index)
    blank = cards.get("ZBLANK" if hdu.kind == "compressed" and "BLANK" not in cards else "BLANK")
    return FitsImage(
        path=path,
        hdu=hdu.index,
        label=label,
        shape=(hdu.naxis[axes[1] - 1], hdu.naxis[axes[0] - 1]),
        bitpix=hdu.bitpix,
        offset=hdu.offset,
        bscale=bscale,
        bzero=bzero,
        blank=int(blank) if isinstance(blank, int) and not isinstance(blank, bool) else None,
        compressed=hdu.kind == "compressed",
        key=key,
    )
