"""Regions of the sky or of an image, as region files describe them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nbmosaic.errors import InputError

__all__ = ["PIXEL_SYSTEMS", "REGION_KINDS", "Region", "RegionList"]

REGION_KINDS = ("circle", "ellipse", "box", "annulus", "ellipse annulus", "box annulus", "polygon")
"""Kinds of regions that can be turned into a mask."""

PIXEL_SYSTEMS = ("image", "physical")
"""Systems whose coordinates are pixels."""

_SIZES = {"circle": 1, "ellipse": 2, "box": 2, "annulus": 2, "ellipse annulus": 4, "box annulus": 4, "polygon": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One region.

    Attributes
    ----------
    kind : str
        One of `REGION_KINDS`.
    system : str
        ``"fk5"``, ``"icrs"``, ``"fk4"``, ``"galactic"``, ``"ecliptic"`` (coordinates in degrees), ``"image"`` or ``"physical"`` (pixels,
        0-based, centres at integers).
    exclude : bool
        Whether its pixels are left out (a leading ``-``).
    centre : tuple of float
        ``(x, y)``, or longitude and latitude; of the first vertex for a polygon.
    sizes : tuple of float
        Radius of a circle; semi-axes of an ellipse; full width and height of a box; inner and outer radius, or inner pair and outer pair, of
        an annulus.
    angle : float
        Degrees from the first axis towards the second: in pixels from +x to +y; on the sky from west to north, which is the same for an image
        with north up and east to the left.
    vertices : tuple of tuple
        Corners of a polygon.
    angular : bool
        Whether the sizes are angles (degrees) and not pixels.
    line, column : int
        Where it stood (1-based); 0 if it did not come from a text.
    """

    kind: str
    system: str
    exclude: bool = False
    centre: tuple[float, float]
    sizes: tuple[float, ...] = ()
    angle: float = 0.0
    vertices: tuple[tuple[float, float], ...] = ()
    angular: bool = True
    line: int = 0
    column: int = 0

    def __post_init__(self) -> None:
        if self.kind not in REGION_KINDS:
            raise InputError(f"there is no region of kind {self.kind!r}", hint=f"the kinds are {', '.join(REGION_KINDS)}")
        if len(self.sizes) != _SIZES[self.kind]:
            raise InputError(f"a region of kind {self.kind} has {len(self.sizes)} sizes, expected {_SIZES[self.kind]}")
        if not all(0 <= size < float("inf") for size in self.sizes):
            raise InputError(f"a region of kind {self.kind} has the sizes {self.sizes}", hint="they must be finite and not negative")
        if self.kind == "polygon" and len(self.vertices) < 3:
            raise InputError(f"a polygon has {len(self.vertices)} vertices", hint="it needs three at least")

    @property
    def in_pixels(self) -> bool:
        """Whether the position is given in pixels."""
        return self.system in PIXEL_SYSTEMS

    def __str__(self) -> str:
        what = "exclude" if self.exclude else "include"
        numbers = [f"x: {self.centre[0]:.6f}", f"y: {self.centre[1]:.6f}"] if self.kind != "polygon" else [f"{len(self.vertices)} vertices"]
        unit = " deg" if self.angular and self.sizes else ""
        sizes = [f"size: {', '.join(f'{size:g}' for size in self.sizes)}{unit}"] if self.sizes else []
        angle = [f"PA: {self.angle:g}"] if self.kind in {"ellipse", "box", "ellipse annulus", "box annulus"} else []
        return "  ".join([f"{what} {self.system} {self.kind}", *numbers, *sizes, *angle])


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionList:
    """Regions of one file.

    Attributes
    ----------
    regions : tuple of Region
        In file order.
    ignored : tuple of str
        What the file holds that marks no area (points, lines, texts), with its line: said to the user, never dropped in silence.
    name : str
        File name, or what stands for it in messages.
    """

    regions: tuple[Region, ...] = ()
    ignored: tuple[str, ...] = ()
    name: str = ""

    def __len__(self) -> int:
        return len(self.regions)

    def __getitem__(self, index: int) -> Region:
        return self.regions[index]

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)
