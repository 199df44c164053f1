"""The image that a filter makes of a spectral cube."""

from __future__ import annotations

import os
import warnings
from typing import Any, Literal

import numpy as np

from nbmosaic.errors import InputError, NbmosaicWarning
from nbmosaic.pipeline.photometry.regridding import ReducedImage
from nbmosaic.pipeline.recipe import choose
from nbmosaic.types.sky_image import SkyCube, SkyImage

__all__ = ["band_sky_image", "bandpass"]


def bandpass(
    cube: str | Any,
    curve: str | Any,
    *,
    unit: str | None = "Angstrom",
    interpolation: Literal["linear", "cubic"] = "linear",
    output: str | None = None,
    overwrite: bool = False,
) -> ReducedImage:
    """Image of a spectral cube through a filter curve.

    Parameters
    ----------
    cube : str or cube
        A file (plain FITS, or DATA, STAT and DQ), an mpdaf Cube, ``(array, wcs)`` with three axes. Some planes are read at a time.
    curve : str or pair of arrays
        A text file of wavelengths and sensitivities, or the two arrays; wavelengths may be a Quantity.
    unit : str or None
        Unit of the wavelengths of the curve; none: plane numbers of the cube, 0-based.
    interpolation : {"linear", "cubic"}
        Of the curve between its samples.
    output : str, optional
        Also write the image to this FITS file (DATA, STAT, DQ).
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    ReducedImage
        Weighted mean of the planes, with variance where the cube has one.

    Raises
    ------
    NoOverlapError
        The curve and the cube have no wavelength in common.
    InputError, FormatError
        A curve or a cube that cannot be read; units that do not fit.

    Warns
    -----
    NbmosaicWarning
        More than half a per cent of the curve lies beyond the cube.

    Notes
    -----
    Each plane has the integral of the curve over it as its weight, see `nbmosaic.core.psf.bandpass.band_weights`.

    Examples
    --------
    >>> bandpass("DATACUBE_FINAL.fits", "f606w.dat").save("muse_F606W.fits")  # doctest: +SKIP
    """
    from nbmosaic.core.psf.bandpass import band_image, band_weights
    from nbmosaic.io.cube_planes import read_sky_cube
    from nbmosaic.io.filter_curve import wavelengths_in
    from nbmosaic.io.output import check_output

    choose(interpolation, ("linear", "cubic"), option="interpolation")
    if output is not None:
        check_output(output, overwrite=overwrite)
    wavelengths, sensitivities, name = _curve(curve)
    planes = read_sky_cube(cube)
    in_cube = wavelengths_in(wavelengths, unit, planes.wave_unit)
    edges = planes.edges
    if unit is None and not hasattr(wavelengths, "unit"):
        edges = np.arange(planes.shape[0] + 1.0) - 0.5
    weights = band_weights(edges, in_cube, sensitivities, interpolation=interpolation)
    if weights.warning:
        warnings.warn(f"{planes.name}: {weights.warning}", NbmosaicWarning, stacklevel=2)
    image = band_sky_image(planes, band_image(planes, weights))
    notes = (f"planes {weights.first} to {weights.last - 1} of {planes.shape[0]}", *([weights.warning] if weights.warning else []))
    made = ReducedImage(image, f"{planes.name} through {name}", notes)
    return made if output is None else made.save(output, overwrite=overwrite)


def band_sky_image(cube: SkyCube, band: Any, *, name: str = "") -> SkyImage:
    """Image of some planes, with the WCS, unit and header of their cube.

    Parameters
    ----------
    cube : SkyCube
        The cube.
    band : BandImage
        Its planes together.
    name : str
        Name of the image (default: that of the cube).
    """
    return SkyImage(
        data=band.data,
        mask=band.mask,
        wcs=cube.wcs,
        variance=band.variance,
        unit=cube.unit,
        name=name or cube.name,
        primary=cube.primary,
        cards=cube.cards,
    )


def _curve(curve: Any) -> tuple[Any, Any, str]:
    """Wavelengths, sensitivities and name of a curve."""
    from nbmosaic.io.filter_curve import FilterCurve, read_filter_curve

    if isinstance(curve, str | os.PathLike):
        curve = read_filter_curve(curve)
    if isinstance(curve, FilterCurve):
        return curve.wavelengths, curve.sensitivities, curve.name or "a filter curve"
    if isinstance(curve, tuple | list) and len(curve) == 2:
        return curve[0], curve[1], "a filter curve"
    raise InputError(f"the filter curve is {type(curve).__name__}", hint="give a file of two columns, or (wavelengths, sensitivities)")
