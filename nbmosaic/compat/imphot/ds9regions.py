"""imphot's ``ds9regions``: DS9 region files as a sequence of regions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

from nbmosaic.compat.imphot.errors import UserError
from nbmosaic.errors import NbmosaicError
from nbmosaic.io.sky_region_files import read_regions
from nbmosaic.types.regions import Region, RegionList

__all__ = ["Ds9Box", "Ds9Circle", "Ds9Ellipse", "Ds9Region", "Ds9Regions", "region_list"]


class Ds9Region:
    """A region.

    Parameters
    ----------
    shape : str
        ``"circle"``, ``"ellipse"``, ``"box"``; imphot passes over the others, here they are ``"annulus"``, ``"polygon"`` and so on.
    exclude : bool
        Whether its pixels are left out.
    system : str
        Its coordinate system: ``"fk5"``, ``"icrs"``, ``"fk4"``, ``"galactic"``, ``"ecliptic"``, ``"image"``, ``"physical"``.
    x, y : float
        Its centre (of a polygon the first corner): degrees, or pixels counted from 1.
    """

    def __init__(self, shape: str, exclude: bool, system: str, x: float, y: float) -> None:
        self.shape, self.exclude, self.system, self.x, self.y = shape, exclude, system, x, y

    def __str__(self) -> str:
        what = "exclude" if self.exclude else "include"
        return f"{what} {self.system} {self.shape} x: {self.x:.6f}  y: {self.y:.6f}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Ds9Circle(Ds9Region):
    """A circle.

    Parameters
    ----------
    exclude, system, x, y
        See `Ds9Region`.
    radius : float
        Degrees; pixels where the system is one of pixels and the size has no unit.
    """

    def __init__(self, exclude: bool, system: str, x: float, y: float, radius: float) -> None:
        super().__init__("circle", exclude, system, x, y)
        self.radius = radius

    def __str__(self) -> str:
        return f"{super().__str__()}  r: {self.radius:g}"


class _Turned(Ds9Region):
    """A shape with two sizes and a position angle."""

    def __init__(self, shape: str, exclude: bool, system: str, x: float, y: float, width: float, height: float, pa: float) -> None:
        super().__init__(shape, exclude, system, x, y)
        self.width, self.height, self.pa = width, height, pa

    def __str__(self) -> str:
        return f"{super().__str__()}  w: {self.width:g}  h: {self.height:g}  PA: {self.pa:g}"


class Ds9Ellipse(_Turned):
    """An ellipse.

    Parameters
    ----------
    exclude, system, x, y
        See `Ds9Region`.
    width, height : float
        Its semi-axes as DS9 gives them, degrees.
    pa : float
        Position angle, degrees.
    """

    def __init__(self, exclude: bool, system: str, x: float, y: float, width: float, height: float, pa: float) -> None:
        super().__init__("ellipse", exclude, system, x, y, width, height, pa)


class Ds9Box(_Turned):
    """A rectangle.

    Parameters
    ----------
    exclude, system, x, y
        See `Ds9Region`.
    width, height : float
        Its full sizes, degrees.
    pa : float
        Position angle, degrees.
    """

    def __init__(self, exclude: bool, system: str, x: float, y: float, width: float, height: float, pa: float) -> None:
        super().__init__("box", exclude, system, x, y, width, height, pa)


class Ds9Regions:
    """The regions of a file, as an indexable sequence.

    Parameters
    ----------
    regions : str or iterable of str
        File name, or lines of a region file.

    Raises
    ------
    UserError
        The file cannot be read ("Region file error, ..."), or a line of it ("Region parsing error: ..." with line and column).

    Examples
    --------
    >>> for region in Ds9Regions(["fk5", '-circle(3:32:38.4, -27:46:48, 5")']):
    ...     print(region)
    exclude fk5 circle x: 53.160000  y: -27.780000  r: 0.00138889
    """

    def __init__(self, regions: Any) -> None:
        self.found = region_list(regions)
        self._items = tuple(_face(region) for region in self.found)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Ds9Region: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Ds9Region, ...]: ...
    def __getitem__(self, index: int | slice) -> Ds9Region | tuple[Ds9Region, ...]:
        return self._items[index]

    def __iter__(self) -> Iterator[Ds9Region]:
        return iter(self._items)


def region_list(regions: Any) -> RegionList:
    """Our own list of the regions, with imphot's words for what goes wrong.

    Parameters
    ----------
    regions : str, iterable of str, Ds9Regions, RegionList
        See `Ds9Regions`; also objects of the regions package.
    """
    if isinstance(regions, Ds9Regions):
        return regions.found
    try:
        return read_regions(regions)
    except NbmosaicError as error:
        cause = error.__cause__
        if isinstance(cause, OSError):
            raise UserError(f"Region file error, {cause}", hint=error.hint, **error.context) from error
        raise UserError(f"Region parsing error: {error.message}", hint=error.hint, **error.context) from error


def _face(region: Region) -> Ds9Region:
    """A region as imphot gives it; pixels are counted from 1."""
    x, y = region.centre
    if region.in_pixels:
        x, y = x + 1.0, y + 1.0
    place = (region.exclude, region.system, x, y)
    if region.kind == "circle":
        return Ds9Circle(*place, region.sizes[0])
    if region.kind in {"ellipse", "box"}:
        kind = Ds9Ellipse if region.kind == "ellipse" else Ds9Box
        return kind(*place, region.sizes[0], region.sizes[1], region.angle)
    return Ds9Region(region.kind, *place)
