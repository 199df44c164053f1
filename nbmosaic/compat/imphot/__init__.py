"""imphot by its own names: functions, classes, exceptions and scripts as its documentation has them.

>>> from nbmosaic.compat import imphot
>>> imphot.FittedValue(value=0.62, stdev=0.01).stderr
0.01

Each name is loaded when it is first used. Images are file names, mpdaf Images and Cubes, or what else holds an image; a function that returns an image returns
an mpdaf Image for an mpdaf object, and else our own product (``.data``, ``.mask``, ``.variance``, ``.wcs``, ``.save(path)``), so that mpdaf is not needed.
``method="imphot"`` (the default) has imphot's objective, so that values compare; ``method="whitened"`` is our own estimator. Every result holds the fit as
nbmosaic returns it as ``.product``.

What differs from imphot on purpose (the numbers are those of the issue list in its reference):

====  ==============================================================================================================================================
D1    ``for fit in FitImagePhotometryMP(...)`` works; so do ``next(it)``, ``it.next()``, an empty list, and use without ``with``.
D2    Star fits can be drawn.
D3    ``extramask`` may be an array.
D4    Unreadable files and regions are `UserError`; a curve that overruns the cube warns and does not break; ``make_wideband_image --quiet`` works.
D5    ``method="whitened"`` fits all rows and columns; ``method="imphot"`` leaves out the last two of each as imphot does, for its values to compare.
D6    The circle about a star has all its digits.
D7    ``dra`` is an angle on the sky (times cos dec); the stdev of ``dra`` and ``ddec`` is positive and right under rotation.
D8    Images without a file name can be fitted; their files begin with ``muse``.
D9    Pixels that are not finite are masked, also where there is a mask.
D10   Masked pixels are left out of star fits.
D11   The test whether a star is inside the image does not confuse its axes.
D12   ``segment`` uses a flat structure: its answer does not depend on the unit.
D13   ``fit_image_and_star_photometry``, and so ``fit_photometry --star``, takes every option of the image fit.
D14   Grids are compared over the whole image: a rotation is seen.
D15   ``resample=True`` does not blur, and masks what comes from beyond the edge. Corrections that do not exist are errors.
D16   Images without variance can be corrected.
D17   Sizes in arcsec of regions in pixels are angles.
D18   All systems and shapes of regions work (annulus, polygon, icrs, galactic, image, ...); what is not supported is named.
E     ``stdev`` is an honest standard error, about five times that of imphot's image fits; ``.flag`` tells of bounds and of what is not constrained.
      ``muse_rchi`` and ``hst_rchi`` are by the noise, not by a constant weight.
S     Star fits do not end with NaN, and start from the star; ``method="window"`` has no bias in scale. A free beta stays above 1.
W     ``star`` alone restricts the image fit, as documented (imphot's function passes over it); with regions as well, a warning says that they are not used.
more  ``HstFilterInfo`` takes header values first. Images of different units are an error. One bad file costs no other file of a batch or of the script.
====  ==============================================================================================================================================
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmosaic.compat.imphot import ds9regions
    from nbmosaic.compat.imphot.arguments import FIT_IMAGE, FIT_STAR, ImphotArgumentParser, extract_function_args
    from nbmosaic.compat.imphot.batch import FitImageAndStarPhotometryMP, FitImagePhotometryMP, FitStarPhotometryMP
    from nbmosaic.compat.imphot.errors import UserError, WorkerError
    from nbmosaic.compat.imphot.fits import fit_image_and_star_photometry, fit_image_photometry, fit_star_photometry
    from nbmosaic.compat.imphot.images import (
        HstFilterInfo,
        apply_corrections,
        bandpass_image,
        image_grids_aligned,
        regrid_hst_like_muse,
        rescale_hst_like_muse,
    )
    from nbmosaic.compat.imphot.mains import fit_photometry_main, make_wideband_image_main, regrid_hst_to_muse_main
    from nbmosaic.compat.imphot.values import FittedImagePhotometry, FittedPhotometry, FittedStarPhotometry, FittedValue

_GROUPS = {
    "arguments": ("FIT_IMAGE", "FIT_STAR", "ImphotArgumentParser", "extract_function_args"),
    "batch": ("FitImageAndStarPhotometryMP", "FitImagePhotometryMP", "FitStarPhotometryMP"),
    "errors": ("UserError", "WorkerError"),
    "fits": ("fit_image_and_star_photometry", "fit_image_photometry", "fit_star_photometry"),
    "images": (
        "HstFilterInfo",
        "apply_corrections",
        "bandpass_image",
        "image_grids_aligned",
        "regrid_hst_like_muse",
        "rescale_hst_like_muse",
    ),
    "mains": ("fit_photometry_main", "make_wideband_image_main", "regrid_hst_to_muse_main"),
    "values": ("FittedImagePhotometry", "FittedPhotometry", "FittedStarPhotometry", "FittedValue"),
}
_HOME = {name: f"nbmosaic.compat.imphot.{module}" for module, names in _GROUPS.items() for name in names}

__all__ = [
    "FIT_IMAGE",
    "FIT_STAR",
    "FitImageAndStarPhotometryMP",
    "FitImagePhotometryMP",
    "FitStarPhotometryMP",
    "FittedImagePhotometry",
    "FittedPhotometry",
    "FittedStarPhotometry",
    "FittedValue",
    "HstFilterInfo",
    "ImphotArgumentParser",
    "UserError",
    "WorkerError",
    "apply_corrections",
    "bandpass_image",
    "ds9regions",
    "extract_function_args",
    "fit_image_and_star_photometry",
    "fit_image_photometry",
    "fit_photometry_main",
    "fit_star_photometry",
    "image_grids_aligned",
    "make_wideband_image_main",
    "regrid_hst_like_muse",
    "regrid_hst_to_muse_main",
    "rescale_hst_like_muse",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name == "ds9regions":
        return importlib.import_module("nbmosaic.compat.imphot.ds9regions")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return list(__all__)
