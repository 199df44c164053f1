"""Images of the same sky: a reference on another image's grid, and the product that such images are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nbmosaic.errors import ConfigError, InputError, ShapeError
from nbmosaic.pipeline.product import Product
from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

    from nbmosaic._types import BoolArray, FloatArray, PathLike

__all__ = ["ReducedImage", "regrid", "template_grid"]

PICTURE_WIDTH = 480


@dataclass(frozen=True, eq=False, repr=False)
class ReducedImage(Product):
    """An image made from others: regridded, through a filter, corrected.

    Attributes
    ----------
    image : SkyImage
        Pixels, mask, variance and WCS.
    made : str
        How it was made, in one line.
    notes : tuple of str
        What the reader must know.
    """

    row_column: ClassVar[str] = "quantity"

    image: SkyImage
    made: str
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> FloatArray:
        """Pixel values, shape (ny, nx); what masked pixels hold has no meaning."""
        return self.image.data

    @property
    def mask(self) -> BoolArray:
        """True where a pixel is bad."""
        return self.image.mask

    @property
    def variance(self) -> FloatArray | None:
        """Variance of the pixels (unit squared), or None."""
        return self.image.variance

    @property
    def wcs(self) -> WCS:
        """WCS of the image."""
        return self.image.wcs

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.image.shape

    @property
    def unit(self) -> str:
        """Unit of the data."""
        return self.image.unit

    @property
    def name(self) -> str:
        """Name of the image."""
        return self.image.name

    @property
    def title(self) -> str:
        """Size, and how it was made."""
        ny, nx = self.shape
        return f"image of {nx} x {ny} pixels: {self.made}"

    @property
    def key_number(self) -> str:
        """Size in pixels."""
        return f"{self.shape[1]} x {self.shape[0]} px"

    @cached_property
    def table(self) -> pd.DataFrame:
        """A few numbers of the image, one a row."""
        import pandas as pd

        from nbmosaic.core.geometry.grid_alignment import pixel_steps_arcsec

        good = ~self.mask
        step = pixel_steps_arcsec(self.wcs, self.shape)
        rows: list[tuple[str, Any, str]] = [
            ("columns", self.shape[1], "pix"),
            ("rows", self.shape[0], "pix"),
            ("step in x", round(step[1], 6), "arcsec"),
            ("step in y", round(step[0], 6), "arcsec"),
            ("good pixels", int(np.count_nonzero(good)), ""),
        ]
        if good.any():
            rows.append(("median", float(np.median(self.data[good])), self.unit))
        if self.variance is not None and good.any():
            rows.append(("median standard deviation", float(np.sqrt(np.nanmedian(self.variance[good]))), self.unit))
        return pd.DataFrame(rows, columns=["quantity", "value", "unit"], dtype=object)  # counts stay whole

    def pictures(self) -> Mapping[str, Callable[[], tuple[Any, str]]]:
        """The image."""
        from nbmosaic.pipeline.photometry.html import draw_image

        return {"image": lambda: draw_image(self)}

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Picture with sky coordinates; returns Axes."""
        from nbmosaic.views.mosaic_figures import plot_image

        return plot_image(self.image.filled(), self.wcs, unit=self.unit, ax=ax, **options)

    def save(self, path: PathLike, *, mask: str = "dq", dtype: str = "f4", overwrite: bool = False) -> ReducedImage:
        """Write the image as mpdaf and the MUSE pipeline do: DATA, STAT and DQ.

        Parameters
        ----------
        path : path
            FITS file.
        mask : {"dq", "nan", "none"}
            How the mask is stored, see `nbmosaic.io.image_planes.write_sky_image`.
        dtype : {"f4", "f8"}
            Precision.
        overwrite : bool
            Whether the file may exist.

        Returns
        -------
        ReducedImage
            The same product.
        """
        from nbmosaic.io.image_planes import write_sky_image

        write_sky_image(path, self.image, mask=mask, dtype=dtype, history=[f"nbmosaic: {self.made}", *self.notes], overwrite=overwrite)
        return self

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.photometry.html import image_html

        return image_html(self)


def template_grid(template: Any) -> tuple[WCS, tuple[int, int], str, str]:
    """WCS, shape, unit and name of what gives a grid: an image, a cube, a header template, a product with WCS and shape.

    Raises
    ------
    InputError
        It has no grid.
    """
    from nbmosaic.io.cube_planes import is_cube, read_sky_cube
    from nbmosaic.pipeline.photometry.inputs import read_image
    from nbmosaic.types.sky_image import SkyCube

    if isinstance(template, Product) and not hasattr(template, "data"):
        wcs, shape = getattr(template, "wcs", None), getattr(template, "shape", None)
        if wcs is None or shape is None:
            raise InputError(f"{type(template).__name__} has no grid", hint="give an image, a cube or a header template")
        return wcs, shape, "", "the template"
    if isinstance(template, str) and template.lower().endswith((".hdr", ".txt", ".head")):
        from nbmosaic.io.templates import read_template

        grid = read_template(template)
        return grid.wcs, grid.shape, "", "the template"
    found: SkyImage | SkyCube
    if is_cube(template):
        found = read_sky_cube(template)
    else:
        try:
            found = read_image(template, role="the template")
        except ShapeError:
            if not isinstance(template, str) and not hasattr(template, "__fspath__"):
                raise
            found = read_sky_cube(template)
    return found.wcs, (found.shape[-2], found.shape[-1]), found.unit, found.name


def regrid(
    reference: str | Any,
    template: str | Any,
    *,
    rescale: bool = False,
    margin: float = 0.0,
    flux: bool = True,
    blank_zeros: bool = True,
    max_missing: float = 0.05,
    output: str | None = None,
    overwrite: bool = False,
) -> ReducedImage:
    """Bring a reference image to another image's grid, anti-aliased.

    Parameters
    ----------
    reference : str or image
        The sharper image: a file (plain FITS, or DATA, STAT and DQ), ``CCDData``, ``(array, wcs)``, an mpdaf Image.
    template : str or image
        What gives the grid: an image, a cube, or a header template (``.hdr``).
    rescale : bool
        Turn the pixels of an HST image into the unit of the template (PHOTFLAM of the header first, then a table of filters).
    margin : float
        Sky beyond the edges of the template that is kept, arcsec: whole pixels of its grid. Fits take such a reference, and then know the light of
        galaxies beyond the edge.
    flux : bool
        Values are flux per pixel, and their sum is kept; otherwise surface brightness.
    blank_zeros : bool
        Pixels that are exactly 0 hold no data, as in drizzled images beyond the detector.
    max_missing : float
        Mask a pixel where a larger part of its weight falls on bad pixels.
    output : str, optional
        Also write the image to this FITS file (DATA, STAT, DQ).
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    ReducedImage
        ``.data``, ``.mask``, ``.variance``, ``.wcs``, ``.save(path)``.

    Raises
    ------
    InputError
        Not an image, a unit that cannot be compared, a filter that is not known.
    NoOverlapError
        The reference does not touch the grid.

    Notes
    -----
    See `nbmosaic.core.psf.regridding.regrid` for the window, and how it differs from mpdaf's ``align_with_image``.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> fine = WCS(naxis=2)
    >>> fine.wcs.ctype, fine.wcs.cdelt, fine.wcs.crpix = ["RA---TAN", "DEC--TAN"], [-5e-5, 5e-5], [40.5, 40.5]
    >>> coarse = fine.deepcopy()
    >>> coarse.wcs.cdelt, coarse.wcs.crpix = [-1e-4, 1e-4], [10.5, 10.5]
    >>> regrid((np.ones((80, 80)), fine), (np.zeros((20, 20)), coarse)).data[10, 10].round(4)
    np.float64(4.0)
    """
    from nbmosaic.core.geometry.grid_alignment import moved_wcs, pixel_steps_arcsec
    from nbmosaic.core.psf.regridding import regrid_image, rescaled
    from nbmosaic.io.hst_filter import flux_factor
    from nbmosaic.io.output import check_output
    from nbmosaic.pipeline.photometry.inputs import read_image

    if output is not None:
        check_output(output, overwrite=overwrite)
    if not margin >= 0:
        raise ConfigError(f"margin cannot be {margin!r}", hint="give arcsec, 0 or more", option="margin")
    image = read_image(reference, role="reference")
    wcs, shape, unit, name = template_grid(template)
    notes: list[str] = []
    if blank_zeros:
        empty = (image.data == 0) & ~image.mask
        if empty.any():
            notes.append(f"{np.count_nonzero(empty)} pixels of {image.name} are exactly 0 and were taken for blank")
            image = image.changed(mask=image.mask | empty)
    if margin:
        step = pixel_steps_arcsec(wcs, shape)
        my, mx = (int(np.ceil(margin / s - 1e-3)) for s in step)
        wcs, shape = moved_wcs(wcs, mx, my), (shape[0] + 2 * my, shape[1] + 2 * mx)
    factor = flux_factor(image, unit) if rescale else 1.0
    done = regrid_image(image, wcs, shape, flux=flux, max_missing=max_missing)
    if rescale:
        done = rescaled(done, factor, unit)
        notes.append(f"multiplied by {factor:.6g} to the unit {unit}")
    made = ReducedImage(done, f"{image.name} on the grid of {name}", tuple(notes))
    return made if output is None else made.save(output, overwrite=overwrite)
