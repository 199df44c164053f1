"""imphot's functions for images of the same sky: regrid, rescale, compare, correct, and see through a filter."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from nbmosaic._types import AnyArray
from nbmosaic.compat.imphot.errors import UserError, imphot_errors
from nbmosaic.compat.imphot.mpdaf_images import answer, band_answer
from nbmosaic.core.psf import alignment
from nbmosaic.core.psf.regridding import rescaled
from nbmosaic.io.hst_filter import HST_FILTERS, flux_factor, hst_filter
from nbmosaic.pipeline.photometry.bandpass import bandpass
from nbmosaic.pipeline.photometry.inputs import read_image
from nbmosaic.pipeline.photometry.regridding import ReducedImage, regrid, template_grid

__all__ = [
    "HstFilterInfo",
    "apply_corrections",
    "bandpass_image",
    "image_grids_aligned",
    "regrid_hst_like_muse",
    "rescale_hst_like_muse",
]


class HstFilterInfo:
    """Filter of an HST image.

    Parameters
    ----------
    hst : image or str
        The image, its file, or the name of a filter.

    Attributes
    ----------
    filter_name : str
        ``"F606W"``.
    abmag_zero : float
        AB magnitude of 1 electron/s.
    photflam : float
        Flux density of 1 electron/s, erg/s/cm2/Angstrom.
    photplam : float
        Pivot wavelength, Angstrom.
    photbw : float
        Width of the band, Angstrom.
    source : str
        ``"header"`` or ``"table"``: where `photflam` comes from. imphot takes its table of ACS filters whatever the header says.

    Raises
    ------
    UserError
        No filter in the header, or one that is not known.

    Examples
    --------
    >>> HstFilterInfo("F775W").photflam
    9.74e-20
    """

    def __init__(self, hst: Any) -> None:
        with imphot_errors():
            name = hst.strip().upper() if isinstance(hst, str) else ""
            is_file = isinstance(hst, os.PathLike) or (name not in HST_FILTERS and isinstance(hst, str) and Path(hst).is_file())
            found = hst_filter(hst if isinstance(hst, str) and not is_file else read_image(hst, role="hst"))
        self.filter_name = found.name
        self.abmag_zero = found.abmag_zero
        self.photflam = found.photflam
        self.photplam = found.photplam
        self.photbw = found.photbw
        self.source = found.source

    def __repr__(self) -> str:
        return f"HstFilterInfo({self.filter_name!r}, photflam={self.photflam:.4g} from {self.source})"


def rescale_hst_like_muse(hst: Any, muse: Any, inplace: bool = True) -> Any:
    """Turn the pixels of an HST image into the unit of a MUSE image or cube.

    Parameters
    ----------
    hst : image
        The HST image, electrons/s (or a flux density already).
    muse : image or cube
        What has the unit.
    inplace : bool
        Whether an mpdaf Image is changed itself.

    Returns
    -------
    mpdaf.obj.Image or ReducedImage
        See `nbmosaic.compat.imphot.mpdaf_images.answer`.
    """
    with imphot_errors():
        image = read_image(hst, role="hst")
        _, _, unit, _ = template_grid(muse)
        factor = flux_factor(image, unit)
        made = ReducedImage(rescaled(image, factor, unit), f"{image.name} multiplied by {factor:.6g} to the unit {unit}")
    return answer(hst, made, inplace=inplace)


def regrid_hst_like_muse(hst: Any, muse: Any, inplace: bool = True) -> Any:
    """Bring an HST image to the grid of a MUSE image or cube; flux is conserved.

    Parameters
    ----------
    hst : image
        The HST image.
    muse : image or cube
        What has the grid.
    inplace : bool
        Whether an mpdaf Image is changed itself.

    Returns
    -------
    mpdaf.obj.Image or ReducedImage
        See `nbmosaic.compat.imphot.mpdaf_images.answer`. The window is that of mpdaf's ``align_with_image``; rotated grids are read with one
        interpolation and not two.
    """
    with imphot_errors():
        made = regrid(hst, muse)
    return answer(hst, made, inplace=inplace)


def image_grids_aligned(im1: Any, im2: Any, tolerance: float = 0.01) -> bool:
    """Whether two images sample the same places of the sky.

    Parameters
    ----------
    im1, im2 : image
        The images.
    tolerance : float
        Largest distance of equal pixels, arcsec, over the whole image. imphot allows a rotation of nearly 3 degrees (defect D14).

    Examples
    --------
    >>> image_grids_aligned("hst.fits", "muse.fits")  # doctest: +SKIP
    True
    """
    with imphot_errors():
        one, other = read_image(im1), read_image(im2)
    return alignment.grids_aligned(one.wcs, one.shape, other.wcs, other.shape, tolerance=tolerance)


def apply_corrections(im: Any, imfit: Any, corrections: str | None = "xy,scale,zero", resample: bool = False, inplace: bool = False) -> Any:
    """Correct an image for what a fit found.

    Parameters
    ----------
    im : image
        The image.
    imfit : FittedPhotometry
        The fit.
    corrections : str or None
        Words separated by commas: ``xy`` (or ``x,y``), ``scale``, ``zero``. Another word is an error.
    resample : bool
        Move the pixels and keep the grid; else CRPIX is changed and no pixel touched.
    inplace : bool
        Whether an mpdaf Image is changed itself.

    Returns
    -------
    mpdaf.obj.Image or ReducedImage
        See `nbmosaic.compat.imphot.mpdaf_images.answer`. Resampling is by an interpolating cubic spline: unlike imphot's it does not blur (D15),
        and pixels that come from beyond the edge are masked. An image without variance is no error (D16).
    """
    with imphot_errors():
        image = alignment.apply_corrections(
            read_image(im, role="muse"),
            dx=imfit.dx.value,
            dy=imfit.dy.value,
            scale=imfit.scale.value,
            bg=imfit.bg.value,
            corrections=corrections,
            resample=resample,
        )
    return answer(im, ReducedImage(image, f"{image.name} corrected for {corrections or 'nothing'}"), inplace=inplace)


def bandpass_image(
    cube: Any,
    wavelengths: AnyArray,
    sensitivities: AnyArray,
    unit_wave: Any = "Angstrom",
    interpolation: str = "linear",
    truncation_warning: bool = True,
    nprocess: int = 0,
) -> Any:
    """Image of a cube through a filter curve.

    Parameters
    ----------
    cube : cube
        An mpdaf Cube, or a file.
    wavelengths, sensitivities : array_like
        The curve.
    unit_wave : astropy.units.Unit, str or None
        Unit of the wavelengths; None: plane numbers.
    interpolation : {"linear", "cubic"}
        Of the curve between its samples.
    truncation_warning : bool
        Warn where more than half a per cent of the curve lies beyond the cube.
    nprocess : int
        As in imphot: 0, a number, or ``-n``. The answer does not depend on it, and neither does the speed: all planes are summed in this process,
        which takes less time than sending them to another.

    Returns
    -------
    mpdaf.obj.Image or ReducedImage
        The first for an mpdaf Cube.

    Raises
    ------
    UserError
        A curve that is not two arrays of equal length, or does not overlap the cube.
    """
    if isinstance(nprocess, bool) or not isinstance(nprocess, int):
        raise UserError(f"nprocess cannot be {nprocess!r}", hint="give a whole number")
    with imphot_errors(), warnings.catch_warnings():
        if not truncation_warning:
            warnings.filterwarnings("ignore", message=r".*beyond the edges of the cube")
        made = bandpass(cube, (wavelengths, sensitivities), unit=unit_wave, interpolation=interpolation)  # type: ignore[arg-type]
    return band_answer(cube, made)
