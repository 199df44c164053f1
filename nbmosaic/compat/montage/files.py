"""Files of the Montage face: images, templates and tables, with Montage's messages for what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import FormatError, InputError, NbmosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

    from nbmosaic.io.float64 import Image64
    from nbmosaic.io.headers import Card
    from nbmosaic.types import MosaicGrid, PixelBox

__all__ = [
    "GridImage",
    "Template",
    "file_exists",
    "need_columns",
    "need_folder",
    "need_number",
    "need_table",
    "open_grid_image",
    "open_image",
    "read_grid",
]


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A header template: its grid, CRPIX, and the cards of an image on it."""

    grid: MosaicGrid
    crpix: tuple[float, float]

    def cards(self, box: PixelBox | None = None) -> list[Card]:
        """WCS cards of an image that covers `box` of the template (all of it by default)."""
        from nbmosaic.io.headers import wcs_values

        x0, y0 = (0, 0) if box is None else (box.xmin, box.ymin)
        shifted = {"CRPIX1": self.crpix[0] - x0, "CRPIX2": self.crpix[1] - y0}
        return [(key, shifted.get(key, value)) for key, value in wcs_values(self.grid.wcs)]


@dataclass(frozen=True, slots=True, eq=False)
class GridImage:
    """An image that lies on a template: the image, its area (None without), its pixels on the template."""

    image: Image64
    area: Image64 | None
    box: PixelBox


def read_grid(path: str) -> Template:
    """Read a header template.

    Raises
    ------
    InputError
        There is no such file, or it is no template (with the reason).
    """
    from nbmosaic.io.templates import read_template

    if not file_exists(path):
        raise InputError(f"File {path[:400]} not found.")
    grid = read_template(path)
    return Template(grid, (float(grid.wcs.wcs.crpix[0]), float(grid.wcs.wcs.crpix[1])))


def file_exists(path: str) -> bool:
    """Whether there is a file of that name; False for a name that no file can have."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def open_image(path: str, hdu: int = 0, *, what: str = "Image", read: Callable[..., Image64] | None = None) -> Image64:
    """Open an image in double precision (or by another function that takes name and HDU).

    Raises
    ------
    InputError
        With Montage's words, and the reason where there is more to say.
    """
    from nbmosaic.io.float64 import open_image64

    if not file_exists(path):
        raise InputError(f"{what} file {path[:400]} missing or invalid FITS")
    try:
        return (read or open_image64)(path, hdu)
    except NbmosaicError as error:
        raise InputError(f"{what} file {path[:400]} missing or invalid FITS: {error}") from error


def open_grid_image(path: str, template: Template, *, areas: bool) -> GridImage:
    """Open an image on the grid of a template, and its area."""
    from nbmosaic.io.float64 import area_name
    from nbmosaic.types import PixelBox

    image = open_image(path)
    area = open_image(area_name(path), what="Area") if areas else None
    if area is not None and area.shape != image.shape:
        raise InputError(f"Area file {area.path} has {area.shape} pixels, its image {image.shape}")
    for key in ("CRPIX1", "CRPIX2"):
        if key not in image.cards:
            raise InputError(f"No {key} keyword in FITS header of {path}")
    # rounded, not cut off as in Montage: 192.962 - 142.962 is 49.999..., and the image would lie a pixel off
    x0, y0 = (round(template.crpix[i] - image.cards.number(f"CRPIX{i + 1}", 0.0)) for i in (0, 1))
    return GridImage(image, area, PixelBox.of_shape(image.shape).shift(y0, x0))


def need_table(path: str, message: str) -> DataFrame:
    """Read a table.

    Raises
    ------
    InputError
        `message`, with the reason, where it cannot be read.
    """
    from nbmosaic.io.tables import read_table

    if not file_exists(path):
        raise InputError(message)
    try:
        return read_table(path)
    except FormatError as error:
        raise InputError(f"{message} ({error})") from error


def need_columns(table: DataFrame, names: Sequence[str | tuple[str, ...]], message: str) -> list[Any]:
    """Columns of a table by name (or by the first of several names that it has).

    Raises
    ------
    InputError
        `message` and the names that are missing.
    """
    found, missing = [], []
    for name in names:
        choices = (name,) if isinstance(name, str) else name
        hit = next((one for one in choices if one in table.columns), None)
        if hit is None:
            missing.append(" or ".join(choices))
        else:
            found.append(table[hit])
    if missing:
        raise InputError(f"{message} (missing: {' '.join(missing)})")
    return found


def need_folder(path: str, message: str) -> str:
    """Check that a folder is there.

    Raises
    ------
    InputError
        `message` where it is not.
    """
    try:
        there = Path(path).is_dir()
    except (OSError, ValueError):
        there = False
    if not there:
        raise InputError(message)
    return path


def need_number(value: Any, name: str) -> float:
    """Turn an argument into a number.

    Raises
    ------
    InputError
        It is none, or not finite.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} is {str(value)[:100]!r}, expected a number")
    return number
