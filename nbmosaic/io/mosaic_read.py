"""Planes of a mosaic file, mapped into memory rather than read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmosaic.errors import FormatError

if TYPE_CHECKING:
    from nbmosaic._types import AnyArray, PathLike

__all__ = ["open_mosaic"]

_NAMES = {"AREA": "area", "NFRAMES": "nframes", "VARIANCE": "variance"}


def open_mosaic(path: PathLike) -> dict[str, AnyArray]:
    """Planes of a file that `nbmosaic.io.fits_write.MosaicWriter` wrote.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of ndarray
        ``"data"`` and those of ``"area"``, ``"nframes"``, ``"variance"`` that the file holds; mapped where the file is not packed, so that a
        mosaic larger than memory can be opened.

    Raises
    ------
    FormatError
        The file cannot be read.
    """
    from astropy.io import fits

    try:
        with fits.open(path, memmap=True) as hdus:
            planes = {"data": hdus[0].data}
            planes |= {_NAMES[hdu.name]: hdu.data for hdu in hdus[1:] if hdu.name in _NAMES}
    except OSError as error:
        raise FormatError(f"cannot read the mosaic {path}: {error}", hint="was it moved or removed?", path=str(path)) from error
    return planes
