"""From our images to mpdaf's, for those who gave one; mpdaf is never needed otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    from nbmosaic.pipeline.photometry.regridding import ReducedImage

__all__ = ["answer", "band_answer", "is_mpdaf"]


def is_mpdaf(item: Any) -> bool:
    """Whether `item` is an Image or Cube of mpdaf, or of a class made from them."""
    return any(kind.__module__.partition(".")[0] == "mpdaf" for kind in type(item).__mro__)


def answer(item: Any, made: ReducedImage, *, inplace: bool) -> Any:
    """Give back what was made of an image in the kind in which it came.

    Parameters
    ----------
    item : object
        What was given.
    made : ReducedImage
        What was made of it.
    inplace : bool
        Whether an mpdaf Image is to hold the result itself; a file or an array in memory is never changed.

    Returns
    -------
    mpdaf.obj.Image or ReducedImage
        An mpdaf Image for an mpdaf Image; for anything else (a file name, ``CCDData``, ...) our own product with ``.data``, ``.mask``,
        ``.variance``, ``.wcs``, ``.unit`` and ``.save(path)``.
    """
    if not is_mpdaf(item):
        return made
    out = item if inplace else item.copy()
    _put(made.image, out)
    return out


def band_answer(cube: Any, made: ReducedImage) -> Any:
    """The image of a cube: an mpdaf Image for an mpdaf Cube, our product for anything else."""
    if not is_mpdaf(cube):
        return made
    from importlib import import_module

    image = made.image
    data = np.ma.MaskedArray(image.data, mask=image.mask)
    variance = False if image.variance is None else image.variance
    return import_module("mpdaf.obj").Image.new_from_obj(cube, data=data, var=variance)


def _put(image: SkyImage, out: Any) -> None:
    """Put pixels, grid and unit into an mpdaf Image, whatever shape it had."""
    from astropy import units

    # its public setters refuse another shape, and add masked pixels instead of setting them; the first of the three decides the shape
    for key, plane in (("_data", image.data), ("_mask", image.mask), ("_var", image.variance)):
        setattr(out, key, plane)
    wcs = out.wcs.copy()
    wcs.wcs = image.wcs.deepcopy()
    wcs.naxis2, wcs.naxis1 = image.shape
    out.wcs = wcs
    if image.unit and image.unit != str(out.unit):
        out.unit = units.Unit(image.unit)
