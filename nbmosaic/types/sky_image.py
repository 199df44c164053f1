"""Images and spectral cubes on the sky, in double precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.errors import ShapeError

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["CubePlanes", "CubeSource", "SkyCube", "SkyImage"]


def _no_cards() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SkyImage:
    """One image.

    Attributes
    ----------
    data : ndarray of float64, shape (ny, nx)
        Pixel values as stored; what masked pixels hold has no meaning (it may be NaN).
    mask : ndarray of bool, shape (ny, nx)
        True where a pixel is bad. Every pixel that is not finite is bad.
    wcs : astropy.wcs.WCS
        Two celestial axes.
    variance : ndarray of float64, shape (ny, nx), optional
        Variance of the pixels (unit squared); NaN where it is not known.
    unit : str
        Unit of the data as its file or object gives it, or an empty text.
    name : str
        File name without folder and ending; ``"input 1"`` and so on for images in memory.
    filename : str
        Path of the file, or an empty text.
    primary, cards : mapping
        Values of the primary header and of the header of the image by keyword, without structure, WCS and comments.
    """

    data: FloatArray
    mask: BoolArray
    wcs: WCS
    variance: FloatArray | None = None
    unit: str = ""
    name: str = ""
    filename: str = ""
    primary: Mapping[str, Any] = field(default_factory=_no_cards)
    cards: Mapping[str, Any] = field(default_factory=_no_cards)

    def __post_init__(self) -> None:
        shape = self.data.shape
        for what, plane in (("mask", self.mask), ("variance", self.variance)):
            if plane is not None and plane.shape != shape:
                raise ShapeError(f"the {what} of {self.name or 'an image'} is {plane.shape}, its data are {shape}")

    def __reduce__(self) -> tuple[Any, ...]:
        # read-only views of mappings cannot be pickled
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return _unpacked, ({**values, "primary": dict(self.primary), "cards": dict(self.cards)},)

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return (self.data.shape[0], self.data.shape[1])

    @property
    def n_good(self) -> int:
        """Number of pixels that are not masked."""
        return int(self.mask.size - np.count_nonzero(self.mask))

    def value(self, key: str, default: Any = None) -> Any:
        """Give a header value: of the primary header first, then of the image's own.

        Examples
        --------
        >>> image = SkyImage(data=np.zeros((1, 1)), mask=np.zeros((1, 1), bool), wcs=None, primary={"FILTER": "F606W"})
        >>> image.value("FILTER")
        'F606W'
        """
        found = self.primary.get(key)
        return self.cards.get(key, default) if found is None else found

    def filled(self, value: float = np.nan) -> FloatArray:
        """Copy of the data with `value` in masked pixels."""
        return np.where(self.mask, value, self.data)

    def changed(self, **planes: Any) -> SkyImage:
        """Image with other values of some attributes."""
        return replace(self, **planes)


def _unpacked(values: Mapping[str, Any]) -> SkyImage:
    return SkyImage(**values)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CubePlanes:
    """Some planes of a cube.

    Attributes
    ----------
    data : ndarray of float64, shape (n, ny, nx)
        Values.
    mask : ndarray of bool, shape (n, ny, nx)
        True where a voxel is bad (so is every one that is not finite).
    variance : ndarray of float64, shape (n, ny, nx), optional
        Variance.
    """

    data: FloatArray
    mask: BoolArray
    variance: FloatArray | None = None


class CubeSource(Protocol):
    """Where the planes of a cube come from."""

    def read(self, first: int, last: int) -> CubePlanes:
        """Give the planes from `first` up to, not including, `last`, as arrays of their own."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SkyCube:
    """A spectral cube whose planes are read when they are asked for.

    Attributes
    ----------
    shape : tuple of int
        ``(nz, ny, nx)``.
    source : CubeSource
        Reads planes.
    wcs : astropy.wcs.WCS
        The two celestial axes.
    edges : ndarray of float64, shape (nz + 1,)
        Wavelengths at the edges of the planes, in `wave_unit`.
    wave_unit : str
        Unit of the wavelengths, as the file gives it (``"Angstrom"``); ``"pixel"`` where the cube has no spectral axis.
    has_variance : bool
        Whether the planes come with a variance.
    unit, name, filename, primary, cards
        As for `SkyImage`.
    """

    shape: tuple[int, int, int]
    source: CubeSource
    wcs: WCS
    edges: FloatArray
    wave_unit: str
    has_variance: bool = False
    unit: str = ""
    name: str = ""
    filename: str = ""
    primary: Mapping[str, Any] = field(default_factory=_no_cards)
    cards: Mapping[str, Any] = field(default_factory=_no_cards)

    def __post_init__(self) -> None:
        if len(self.edges) != self.shape[0] + 1:
            raise ShapeError(
                f"{len(self.edges)} edges for {self.shape[0]} planes of {self.name or 'a cube'}, expected one more than planes"
            )

    @property
    def wavelengths(self) -> FloatArray:
        """Wavelengths at the middle of the planes, shape (nz,)."""
        return np.asarray(0.5 * (self.edges[1:] + self.edges[:-1]))

    def planes(self, first: int = 0, last: int | None = None) -> CubePlanes:
        """Read planes from `first` up to, not including, `last` (default: all)."""
        nz = self.shape[0]
        last = nz if last is None else last
        if not 0 <= first < last <= nz:
            raise ShapeError(f"{self.name or 'the cube'} has {nz} planes, there are none from {first} to {last}")
        return self.source.read(first, last)

    def plane(self, number: int) -> SkyImage:
        """One plane as an image."""
        part = self.planes(number, number + 1)
        return SkyImage(
            data=part.data[0],
            mask=part.mask[0],
            wcs=self.wcs,
            variance=None if part.variance is None else part.variance[0],
            unit=self.unit,
            name=self.name,
            filename=self.filename,
            primary=self.primary,
            cards=self.cards,
        )
