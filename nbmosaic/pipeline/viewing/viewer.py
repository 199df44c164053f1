"""A view of an image: stretch, colours, place, scale, grid, regions, and what lies under a pixel.

This is what the viewer panel drives and what a program can drive in the same way: every change gives a new `View`, the old one stays as it
was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.core.geometry.sky import SkyPixels
from nbmosaic.core.stretch import StretchRange
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.recipe import choose
from nbmosaic.pipeline.viewing.layers import LayeredGrid, LayerMemory, layers_of
from nbmosaic.pipeline.viewing.marks import GRIDS, ViewWindow
from nbmosaic.pipeline.viewing.stretch import LIMITS, STRETCHES, check_limit, kind_of_limit, view_levels, view_range
from nbmosaic.pipeline.viewing.text import Reading, reading_text, view_code, view_words
from nbmosaic.types.regions import RegionList

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic._types import PathLike
    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["COLOUR_MAPS", "View", "open_view"]

COLOUR_MAPS = ("inferno", "viridis", "cividis", "magma", "gray", "gray_r", "cubehelix", "RdBu_r")
"""Even steps in lightness, told apart with every kind of colour blindness; the last one diverges, for differences."""

_SMALLEST_ZOOM, _LARGEST_ZOOM = 1e-4, 64.0
_ZOOM_STEP = 2.0
_MARGIN_PIX = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """Images on one grid, and how they are shown.

    Attributes
    ----------
    grid : LayeredGrid
        The images.
    size : tuple of int
        ``(ny, nx)`` of the picture in pixels.
    centre : tuple of float
        ``(x, y)`` of the image, 0-based, in the middle of the picture.
    zoom : float
        Pixels of the picture for one of the image.
    shown : int
        Number of the image that is shown.
    colours : tuple of int, optional
        Numbers of the images in red, green and blue; None shows one image.
    stretch : str
        One of `STRETCHES`.
    low, high : str
        Limits: a number, ``0.3%``, ``-2s``, ``min``, ``max`` (see `nbmosaic.core.stretch.parse_limit`), or ``zscale``. They are worked out
        once from the first image, and hold for all, so that a blink compares; those of three colours from each of the three.
    bend : str
        Where the asinh turns from linear to logarithmic, as a limit.
    exponent : float
        Of the stretch ``power``.
    colour_map : str
        One of `COLOUR_MAPS`.
    lines : str
        Grid that is drawn: ``none``, or one of `nbmosaic.pipeline.viewing.marks.GRIDS`.
    regions : RegionList
        Regions that are drawn.
    cursor : tuple of float, optional
        ``(x, y)`` of the cross-hair on the image.
    """

    grid: LayeredGrid
    size: tuple[int, int] = (480, 640)
    centre: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    shown: int = 0
    colours: tuple[int, int, int] | None = None
    stretch: str = "asinh"
    low: str = "0.3%"
    high: str = "99.8%"
    bend: str = "2s"
    exponent: float = 0.5
    colour_map: str = "inferno"
    lines: str = "none"
    regions: RegionList = field(default_factory=RegionList)
    cursor: tuple[float, float] | None = None
    _memory: LayerMemory = field(repr=False)

    def __post_init__(self) -> None:
        choose(self.stretch, STRETCHES, option="stretch")
        choose(self.colour_map, COLOUR_MAPS, option="colour_map")
        choose(self.lines, ("none", *GRIDS), option="lines")
        for text, what in ((self.low, "lower limit"), (self.high, "upper limit"), (self.bend, "bend")):
            check_limit(text, what)
        if not 0.0 < self.exponent < math.inf:
            raise ConfigError(f"exponent cannot be {self.exponent:g}", hint="give a positive number, 0.5 for a square root")
        if self.lines != "none" and self.grid.wcs is None:
            raise ConfigError("a coordinate grid needs an image with coordinates", hint="give wcs=")
        for number in (self.shown, *(self.colours or ())):
            if not 0 <= number < len(self.grid.layers):
                raise InputError(f"there is no image {number}", hint=f"images are numbered 0 to {len(self.grid.layers) - 1}")
        if self.colours is not None and len(self.colours) != 3:
            raise ConfigError(f"colours names {len(self.colours)} images", hint="give three: red, green, blue")

    def change(self, **options: Any) -> View:
        """The same view with other options (see the attributes).

        Raises
        ------
        ConfigError, InputError
            There is no such option, or it cannot have this value.
        """
        known = sorted({f.name for f in fields(self)} - {"grid", "_memory"})
        if unknown := sorted(set(options) - set(known)):
            raise ConfigError(f"{unknown[0]} cannot be changed", hint=f"options are {', '.join(known)}")
        return replace(self, **options)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(layer.name for layer in self.grid.layers)

    @property
    def limits_kind(self) -> str:
        """Which of `LIMITS` the limits are; ``mixed`` if they differ in kind."""
        low, high = kind_of_limit(self.low), kind_of_limit(self.high)
        return low if low == high else "mixed"

    def with_limits(self, kind: str) -> View:
        """The view with limits of another kind, as `LIMITS` begins them."""
        low, high = LIMITS[choose(kind, LIMITS, option="limits")]
        if kind == "value":
            now = self.limits
            low, high = f"{now[0]:.6g}", f"{now[1]:.6g}"
        return self.change(low=low, high=high)

    def with_regions(self, source: Any) -> View:
        """The view with the regions of a file, of lines, or of objects of the ``regions`` package; nothing draws none.

        Raises
        ------
        FormatError, InputError
            They cannot be read, or are on the sky and the image has no coordinates.

        Warns
        -----
        NbmosaicWarning
            Parts that mark no area are left out.
        """
        from nbmosaic.io.sky_region_files import read_regions

        view = self.change(regions=read_regions(source))
        view.overlay()  # what cannot be drawn is told now, not when the picture is made
        return view

    # Place and scale

    @property
    def window(self) -> ViewWindow:
        """Where the picture lies on the image."""
        step = 1.0 / self.zoom
        ny, nx = self.size
        return ViewWindow(left=self.centre[0] - 0.5 * nx * step, bottom=self.centre[1] - 0.5 * ny * step, step=step, shape=self.size)

    def fit(self) -> View:
        """The whole image."""
        ny, nx = self.grid.shape
        zoom = min(self.size[0] / ny, self.size[1] / nx, _LARGEST_ZOOM)
        return self.change(zoom=zoom, centre=((nx - 1) / 2.0, (ny - 1) / 2.0))

    def zoom_by(self, factor: float, about: tuple[float, float] | None = None) -> View:
        """Enlarge by a factor; the position `about` (default: the centre) stays where it is on the picture."""
        if not 0.0 < factor < math.inf:
            raise InputError(f"cannot zoom by {factor:g}", hint="give a positive factor")
        fitted = min(self.size[0] / self.grid.shape[0], self.size[1] / self.grid.shape[1])
        zoom = min(max(self.zoom * factor, min(fitted, 1.0) / 4.0, _SMALLEST_ZOOM), _LARGEST_ZOOM)
        x, y = self.centre if about is None else about
        ratio = self.zoom / zoom
        return self.change(zoom=zoom).move_to(x + (self.centre[0] - x) * ratio, y + (self.centre[1] - y) * ratio)

    def zoom_in(self) -> View:
        """Twice as large, about the cursor if it is on the picture."""
        return self.zoom_by(_ZOOM_STEP, self.visible_cursor)

    def zoom_out(self) -> View:
        """Half as large."""
        return self.zoom_by(1.0 / _ZOOM_STEP, self.visible_cursor)

    @property
    def visible_cursor(self) -> tuple[float, float] | None:
        """The cursor, if it is on the picture."""
        if self.cursor is None:
            return None
        xmin, xmax, ymin, ymax = self.window.limits
        x, y = self.cursor
        return self.cursor if xmin <= x <= xmax and ymin <= y <= ymax else None

    def at_scale(self, zoom: float) -> View:
        """So many pixels of the picture for one of the image, about the centre."""
        return self.zoom_by(zoom / self.zoom)

    def move_to(self, x: float, y: float) -> View:
        """A position of the image (0-based pixels) in the middle; not beyond the edge of the image."""
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InputError(f"cannot move to {x:g}, {y:g}", hint="give pixels of the image")
        ny, nx = self.grid.shape
        return self.change(centre=(min(max(x, -_MARGIN_PIX), nx - _MARGIN_PIX), min(max(y, -_MARGIN_PIX), ny - _MARGIN_PIX)))

    def move_by(self, right: float, up: float) -> View:
        """Look further right or up by a part of the picture."""
        ny, nx = self.size
        return self.move_to(self.centre[0] + right * nx / self.zoom, self.centre[1] + up * ny / self.zoom)

    def go_to(self, text: str) -> View:
        """A position on the sky in the middle, with the cross-hair on it.

        Parameters
        ----------
        text : str
            Degrees or sexagesimal, perhaps with a system: ``275.196 -16.172``, ``18:20:47 -16:10:19``, ``15.1 -0.7 gal``.

        Raises
        ------
        InputError
            It is no position, the image has no coordinates, or does not reach there.
        """
        from nbmosaic.pipeline.viewing.marks import pixel_of_location

        if self.grid.wcs is None:
            raise InputError("the image has no coordinates", hint="give wcs=")
        x, y = pixel_of_location(text, self.grid.wcs, self.grid.shape)
        return self.move_to(x, y).with_cursor(x, y)

    @property
    def pixel(self) -> tuple[int, int]:
        """Column and row under the cross-hair, or in the middle where there is none."""
        x, y = self.cursor or self.with_cursor(*self.centre).cursor or self.centre
        return int(x), int(y)

    def with_cursor(self, x: float, y: float) -> View:
        """The cross-hair on the pixel at a position; the nearest pixel of the image if that is beyond its edge."""
        ny, nx = self.grid.shape
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InputError(f"there is no pixel {x:g}, {y:g}")
        return self.change(cursor=(float(min(max(math.floor(x + 0.5), 0), nx - 1)), float(min(max(math.floor(y + 0.5), 0), ny - 1))))

    def nudge(self, right: int, up: int) -> View:
        """The cross-hair moved by pixels of the picture, one of the image at least; it comes into the picture if it is not there."""
        step = max(1, round(self.window.step))
        x, y = self.cursor or self.centre
        moved = self.with_cursor(x + right * step, y + up * step)
        assert moved.cursor is not None
        return moved if moved.visible_cursor is not None else moved.move_to(*moved.cursor)

    def place(self, right: float, down: float) -> tuple[float, float]:
        """Position on the image of a point of the picture, given as parts of its width and height from its upper left corner."""
        window = self.window
        ny, nx = self.size
        return window.left + right * nx * window.step, window.bottom + (1.0 - down) * ny * window.step

    # What is there

    def reading(self, x: float | None = None, y: float | None = None) -> Reading:
        """What lies at a position of the image (default: the cursor, or the centre)."""
        if x is None or y is None:
            x, y = self.cursor or self.centre
        values = tuple((self.names[number], self._value(number, x, y)) for number in self.colours or (self.shown,))
        lon, lat = self._sky(x, y)
        unit = self.grid.layers[self.shown].unit
        text = reading_text(x, y, values, unit, (lon, lat), self.grid.wcs)
        return Reading(x=x, y=y, values=values, unit=unit, lon=lon, lat=lat, text=text)

    def _value(self, number: int, x: float, y: float) -> float:
        box = self.grid.layers[number].box
        column, row = math.floor(x + 0.5) - box.xmin, math.floor(y + 0.5) - box.ymin
        data = self._memory.pyramid(number).data
        return float(data[row, column]) if 0 <= row < data.shape[0] and 0 <= column < data.shape[1] else math.nan

    def _sky(self, x: float, y: float) -> tuple[float, float]:
        wcs = self.grid.wcs
        if wcs is None:
            return math.nan, math.nan
        sky = self._memory.once(("sky",), lambda: SkyPixels(wcs, self.grid.shape))
        lon, lat = sky.to_sky(np.array([x]), np.array([y]))
        return float(lon[0]), float(lat[0])

    # The picture

    @property
    def limits(self) -> tuple[float, float]:
        """Values of the first and the last colour (of red, where there are three)."""
        chosen = self._range(self.colours[0] if self.colours else 0)
        return chosen.low, chosen.high

    def _range(self, number: int) -> StretchRange:
        """The stretch with its limits from one of the images."""
        statistics = self._memory.pyramid(number).statistics
        if statistics is None:
            return StretchRange("power", 0.0, 1.0)
        key = (number, self.stretch, self.low, self.high, self.bend, self.exponent)
        return self._memory.once(
            ("range", *key), lambda: view_range(statistics, self.stretch, self.low, self.high, self.bend, self.exponent)
        )

    def levels(self, number: int, *, limits_of: int = 0) -> FloatArray:
        """Grey levels 0 to 255 of one of the images on the picture, first row at the bottom; NaN where there is no data."""
        window = self.window
        values = self._memory.reduced(number, window.left, window.bottom, window.step, window.shape)
        chosen = self._range(limits_of)
        return view_levels(values, chosen)

    def overlay(self) -> AnyArray | None:
        """Grid and regions as RGBA, first row on top; None if there are none."""
        if self.lines == "none" and not len(self.regions):
            return None
        key = ("overlay", self.size, self.centre, self.zoom, self.lines, self.regions)
        return self._memory.once(key, self._drawn_overlay)

    def _drawn_overlay(self) -> AnyArray:
        from nbmosaic.pipeline.viewing.marks import grid_marks, region_marks
        from nbmosaic.views.sky_picture import draw_over

        marks = list(region_marks(self.regions, self.grid.wcs, self.grid.shape, self.window))
        if self.lines != "none" and self.grid.wcs is not None:
            marks = [*grid_marks(self.grid.wcs, self.grid.shape, self.lines, self.window), *marks]
        return draw_over(np.zeros((*self.size, 4), np.uint8), marks)

    def png(self) -> bytes:
        """The picture as a PNG file."""
        from nbmosaic.views.quick_picture import level_picture, palette_png, palette_rgba, rgba_png, three_colour_rgba
        from nbmosaic.views.sky_picture import composite

        cross = None
        if self.cursor is not None:
            column, row = self.window.on_picture(np.array([self.cursor]))[0]
            cross = (float(column), float(row))
        over = self.overlay()
        if self.colours is not None:
            channels = [self.levels(number, limits_of=number) for number in self.colours]
            picture = three_colour_rgba(np.stack(channels, axis=-1), cross=cross)
            return rgba_png(picture if over is None else composite(picture, over))
        index = level_picture(self.levels(self.shown), cross=cross)
        if over is None:
            return palette_png(index, self.colour_map)
        return rgba_png(composite(palette_rgba(index, self.colour_map), over))

    @property
    def words(self) -> str:
        """The picture in words."""
        return view_words(self)

    def picture(self) -> Picture:
        """The picture with its words; shows itself in a notebook."""
        from nbmosaic.pipeline.quicklook import Picture

        return Picture(self.png(), self.words)

    def save(self, path: PathLike, *, overwrite: bool = False) -> str:
        """Write the picture to a PNG file; returns its name.

        Raises
        ------
        FormatError
            It exists, or cannot be written.
        """
        from nbmosaic.io.output import replacing

        with replacing(path, overwrite=overwrite) as part:
            part.write_bytes(self.png())
        return str(path)

    def code(self) -> str:
        """The options as a line of Python that gives the same view of a product."""
        return view_code(self)


def open_view(product: Any, *, wcs: WCS | None = None, size: tuple[int, int] = (480, 640)) -> View:
    """Look at a product: all of it, with a stretch that shows faint and bright parts together.

    Parameters
    ----------
    product : Run, Mosaic, Projected, Corrected, MosaicExposure, ndarray, sequence or mapping
        What to look at; several images are on one grid. Of a run: its mosaics, the mosaic before matching, the single frames.
    wcs : astropy.wcs.WCS, optional
        Coordinates of arrays.
    size : tuple of int
        ``(ny, nx)`` of the picture, 16 to 4000.

    Returns
    -------
    View
        Nothing is read before a picture or a value is asked for.

    Raises
    ------
    ConfigError, InputError, WcsError
        There is nothing to look at, images have different shapes, or `wcs` is not celestial.

    Examples
    --------
    >>> view = open_view(np.arange(12.0).reshape(3, 4)).change(stretch="linear", low="min", high="max")
    >>> view.reading(2, 1).values, view.limits
    ((('image', 6.0),), (0.0, 11.0))
    """
    if isinstance(product, View):
        return product
    if not all(16 <= n <= 4000 for n in size):
        raise InputError(f"a picture of {size[1]} x {size[0]} pixels cannot be shown", hint="give 16 to 4000 pixels for each side")
    grid = layers_of(product, wcs=wcs)
    if grid.wcs is not None:
        SkyPixels(grid.wcs, grid.shape)  # coordinates that are not on the sky are told now, not at the first reading
    return View(grid=grid, size=size, _memory=LayerMemory(grid.layers)).fit()
