"""Combine the resampled pieces of a mosaic exposure into one image and mask, a band of rows at a time.

Pieces lie on the grid of the output already. Where more than one has a value at a pixel (dithered pieces never do, but the rectangles of turned or
distorted ones may overlap by a few pixels) the rules are

============  ========================================================================================================================
``clean``     mean of the values without a flag; of the flagged ones where there is no other
``mean``      mean of all values
``last``      value and mask of the piece that comes last, its whole rectangle
============  ========================================================================================================================

Variances of a mean of n independent values are ``sum(var) / n**2``. The mask is 0 where at least one value without a flag was there, else the flags
of the values (`MASK_BITS`); pixels without a value are told apart by the outline of the exposure, the convex hull of its pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from nbmosaic.core.camera_combine_kernels import add_rows, bit_rows, code_rows, count_values, finish_rows, paste_rows
from nbmosaic.errors import ConfigError
from nbmosaic.types.box import PixelBox

__all__ = [
    "MASK_BITS",
    "RULES",
    "CombinedBand",
    "PieceBand",
    "PieceCombiner",
    "hull_limits",
    "mask_bits",
    "mask_codes",
    "n_values",
    "warmup",
]

MASK_BITS: Mapping[str, int] = MappingProxyType({"bad": 1, "edge": 2, "gap": 4, "outside": 8})
"""Bits of the mask of an exposure: the value rests on bad pixels, or on what was made up beyond the edge of a detector; there is no value in a gap
between the pieces, or outside of the exposure."""

RULES = ("clean", "mean", "last")

_NO_NOISE = np.zeros((1, 1), np.float32)
_NO_SPREAD = np.zeros((1, 1))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PieceBand:
    """Rows of one piece that fall on a band.

    Attributes
    ----------
    box : PixelBox
        Pixels of the grid that the arrays cover (inside the band).
    data : ndarray of float32
        Values, NaN where there is none.
    flags : ndarray of uint8 or uint16
        Bits of `MASK_BITS`; with the rule ``last`` any numbers.
    variance : ndarray of float32, optional
        Variances of the values.
    """

    box: PixelBox
    data: Float32Array
    flags: AnyArray
    variance: Float32Array | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CombinedBand:
    """A finished band; the arrays hold until the next one is made.

    Attributes
    ----------
    data : ndarray of float32
        Values; the blank value where there is none.
    mask : ndarray of uint8 or uint16
        See `MASK_BITS`.
    variance : ndarray of float32, optional
        Variances.
    n_good : int
        Pixels with a value.
    """

    data: Float32Array
    mask: AnyArray
    variance: Float32Array | None
    n_good: int


class PieceCombiner:
    """Makes one band after the other with the same buffers.

    Parameters
    ----------
    rows, columns : int
        Largest shape of a band.
    rule : str
        One of `RULES`.
    blank : float
        Value where there is none.
    variance : bool
        Whether pieces have variances.
    empty_mask : int
        Rule ``last``: the mask where there is no piece.

    Examples
    --------
    >>> piece = PieceBand(box=PixelBox(0, 1, 0, 2), data=np.array([[2, np.nan]], np.float32), flags=np.array([[0, 1]], np.uint8))
    >>> band = PieceCombiner(1, 3).combine(PixelBox(0, 1, 0, 3), [piece], np.array([[0, 2]]))
    >>> band.data.tolist(), band.mask.tolist()
    ([[2.0, nan, nan]], [[0, 5, 8]])
    """

    def __init__(
        self, rows: int, columns: int, *, rule: str = "clean", blank: float = np.nan, variance: bool = False, empty_mask: int = 10000
    ) -> None:
        if rule not in RULES:
            raise ConfigError(f"pieces cannot be combined by {rule!r}", hint=f"use {', '.join(RULES)}")
        self._rule, self._blank, self._variance, self._empty = rule, blank, variance, empty_mask
        shape = (rows, columns)
        self._data = np.empty(shape, np.float32)
        self._mask: AnyArray = np.empty(shape, np.uint16 if rule == "last" else np.uint8)
        if rule != "last":
            self._total, self._count = np.empty(shape), np.empty(shape, np.uint8)
            self._clean = np.empty(shape, bool)
        self._spread = np.empty(shape) if variance else _NO_SPREAD
        self._noise = np.empty(shape, np.float32) if variance else _NO_NOISE

    def combine(self, band: PixelBox, pieces: Sequence[PieceBand], limits: IntArray) -> CombinedBand:
        """Combine the pieces of one band.

        Parameters
        ----------
        band : PixelBox
            Pixels of the grid.
        pieces : sequence of PieceBand
            In order.
        limits : ndarray of int64, shape (rows, 2)
            First column inside the outline of the exposure, and the first beyond it, counted from the band's first column.

        Returns
        -------
        CombinedBand
        """
        ny, nx = band.shape
        data, mask = self._data[:ny, :nx], self._mask[:ny, :nx]
        if self._rule == "last":
            data.fill(self._blank)
            mask.fill(self._empty)
            for piece in pieces:
                here = piece.box.slices(band)
                paste_rows(piece.data, piece.flags, data[here], mask[here])
            return CombinedBand(data=data, mask=mask, variance=None, n_good=int(np.count_nonzero(mask != self._empty)))
        total, count, clean = self._total[:ny, :nx], self._count[:ny, :nx], self._clean[:ny, :nx]
        spread = self._spread[:ny, :nx] if self._variance else self._spread
        noise = self._noise[:ny, :nx] if self._variance else self._noise
        used: list[AnyArray] = [total, count, clean, mask, *([spread] if self._variance else [])]
        for array in used:
            array.fill(0)
        for piece in pieces:
            here = piece.box.slices(band)
            own = piece.variance if self._variance and piece.variance is not None else _NO_NOISE
            add_rows(
                piece.data,
                piece.flags,
                own,
                int(own is not _NO_NOISE),
                total[here],
                spread[here] if self._variance else _NO_SPREAD,
                count[here],
                clean[here],
                mask[here],
                int(self._rule == "clean"),
            )
        filled = finish_rows(total, spread, int(self._variance), count, clean, mask, limits, self._blank, data, noise)
        return CombinedBand(data=data, mask=mask, variance=noise if self._variance else None, n_good=int(filled))


def mask_codes(values: AnyArray, data: Float32Array, *, blank: float | None) -> AnyArray:
    """Turn an interpolated mask into IRAF's codes: 0 good, 1 touched by a bad pixel, 2 mostly out of bounds.

    Parameters
    ----------
    values : ndarray of uint16, shape (ny, nx)
        Interpolation of a mask of 10000 where pixels are bad and 20000 beyond the piece.
    data : ndarray of float32, shape (ny, nx)
        Values of the piece; `blank` is written where the code is 2.
    blank : float, optional
        See `data`; None leaves the values.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        A pixel is bad from a ten-thousandth of a bad pixel on (1 of 10000), and out of bounds from 10010 on.

    Notes
    -----
    The rule is ``int(value / 10010 + 1)``. Kernels that overshoot reach 20020 just beyond an edge, where the code is 3: such pixels are not blanked
    (their values come from the trimmed rim), but stay in the mask.

    Examples
    --------
    >>> mask_codes(np.array([[0, 1, 10000, 20000]], np.uint16), np.zeros((1, 4), np.float32), blank=None).tolist()
    [[0, 1, 1, 2]]
    """
    codes = np.empty(values.shape, np.uint8)
    code_rows(values, data, int(blank is not None), np.float32(0.0 if blank is None else blank), codes)
    return codes


def n_values(data: Float32Array) -> int:
    """Number of pixels with a value, without a copy of the image.

    Examples
    --------
    >>> n_values(np.array([[1, np.nan]], np.float32))
    1
    """
    return int(count_values(data))


def mask_bits(zones: AnyArray | None, spread: AnyArray | None, shape: tuple[int, int], out: AnyArray | None = None) -> AnyArray:
    """Bits of the mask of a piece (see `MASK_BITS`).

    Parameters
    ----------
    zones : ndarray of uint16, shape (ny, nx), optional
        10000 where the kernel reaches beyond the edge of the detector; 0 elsewhere, and where the pixel lies beyond the piece.
    spread : ndarray of uint16, shape (ny, nx), optional
        Interpolated mask of bad pixels: not 0 where they have a part in the pixel.
    shape : tuple of int
        ``(ny, nx)``.
    out : ndarray of uint8, optional
        Array to use.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
    """
    bits: AnyArray = np.empty(shape, np.uint8) if out is None else out
    bits.fill(0)
    for plane, bit in ((spread, MASK_BITS["bad"]), (zones, MASK_BITS["edge"])):
        if plane is not None:
            bit_rows(plane, bit, bits)
    return bits


def hull_limits(outlines: Sequence[tuple[FloatArray, FloatArray]], box: PixelBox) -> IntArray:
    """Columns inside the convex hull of outlines, for every row of a box.

    Parameters
    ----------
    outlines : sequence of (x, y)
        Positions on the grid.
    box : PixelBox
        Pixels of the grid.

    Returns
    -------
    ndarray of int64, shape (rows, 2)
        First column whose centre lies inside, and the first beyond, counted from the first column of `box`; equal for rows outside.

    Examples
    --------
    >>> hull_limits([(np.array([0.0, 3.0, 3.0]), np.array([0.0, 0.0, 3.0]))], PixelBox(0, 3, 0, 4)).tolist()
    [[0, 4], [1, 4], [2, 4]]
    """
    x = np.concatenate([np.ravel(outline[0]) for outline in outlines])
    y = np.concatenate([np.ravel(outline[1]) for outline in outlines])
    keep: BoolArray = np.isfinite(x) & np.isfinite(y)
    points = np.unique(np.stack([x[keep], y[keep]], axis=1), axis=0)
    rows = np.arange(box.ymin, box.ymax, dtype=float)
    low, high = np.full(rows.shape, np.inf), np.full(rows.shape, -np.inf)
    corners = _hull(points)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside = (rows >= min(y0, y1)) & (rows <= max(y0, y1))
        at = x0 + (rows[inside] - y0) * ((x1 - x0) / (y1 - y0)) if y0 != y1 else np.array([x0, x1])
        for edge in (at,) if y0 != y1 else at:
            low[inside], high[inside] = np.minimum(low[inside], edge), np.maximum(high[inside], edge)
    limits = np.zeros((len(rows), 2), np.int64)
    seen = low <= high
    limits[seen, 0] = np.ceil(low[seen] - 1e-9).astype(np.int64) - box.xmin
    limits[seen, 1] = np.floor(high[seen] + 1e-9).astype(np.int64) + 1 - box.xmin
    return np.clip(limits, 0, box.shape[1])


def _hull(points: FloatArray) -> FloatArray:
    """Corners of the convex hull of points sorted by x, then y (Andrew's monotone chain)."""
    if len(points) < 3:
        return points

    def chain(ordered: FloatArray) -> list[FloatArray]:
        found: list[FloatArray] = []
        for point in ordered:
            while len(found) > 1:
                (ax, ay), (bx, by) = found[-1] - found[-2], point - found[-1]
                if ax * by - ay * bx > 0:
                    break
                found.pop()
            found.append(point)
        return found[:-1]

    return np.array(chain(points) + chain(points[::-1]))


def warmup() -> None:
    """Compile every kernel.

    Examples
    --------
    >>> warmup()
    """
    box = PixelBox(0, 2, 0, 3)
    values, data = np.zeros(box.shape, np.uint16), np.zeros(box.shape, np.float32)
    limits = np.zeros((2, 2), np.int64)
    flags = mask_codes(values, data, blank=np.nan)
    for spread in (None, values):
        mask_bits(values, spread, box.shape)
    n_values(data)
    for variance in (None, data):
        piece = PieceBand(box=box, data=data, flags=flags, variance=variance)
        PieceCombiner(2, 3, variance=variance is not None).combine(box, [piece], limits)
    for codes in (flags, values):
        PieceCombiner(2, 3, rule="last").combine(box, [PieceBand(box=box, data=data, flags=codes)], limits)
