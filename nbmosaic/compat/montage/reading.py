"""How functions on one image open it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.montage.status import path_text
from nbmosaic.errors import FormatError, WcsError
from nbmosaic.io.image_hdu import ImageHdu, read_image_hdu

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["image_wcs", "open_image"]


def open_image(path: Any, hdu: int | None, missing: str, invalid: str, planes: tuple[int, int] = (1, 1)) -> ImageHdu:
    """Image of a file; `missing` and `invalid` are what Montage says of files that are not there or no FITS, with ``{}`` for the name."""
    name = path_text(path, "the image")
    if not Path(name).exists():
        raise FormatError(missing.format(name), path=name)
    try:
        return read_image_hdu(name, hdu, plane3=planes[0], plane4=planes[1])
    except FormatError as error:
        if "is not a FITS file" in error.message or error.message.endswith(" is empty"):
            raise FormatError(invalid.format(name), path=name) from error
        raise


def image_wcs(image: ImageHdu) -> WCS:
    """WCS of an image, with Montage's word for a header without."""
    try:
        return image.wcs()
    except WcsError as error:
        missing = "CTYPE1" not in image.cards
        raise WcsError(f"No CTYPE1 keyword in FITS header: {image.path} has no celestial WCS" if missing else error.message) from error
