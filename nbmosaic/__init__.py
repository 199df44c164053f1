"""nbmosaic: background-matched mosaics of the sky in one notebook cell.

Nothing heavy is imported here: every public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmosaic.errors import NbmosaicError, NbmosaicWarning
    from nbmosaic.notebook.panels import open_panel as panel
    from nbmosaic.pipeline.mosaic import mosaic
    from nbmosaic.pipeline.photometry.bandpass import bandpass
    from nbmosaic.pipeline.photometry.batch import FitImageAndStarPhotometryMP, FitImagePhotometryMP, FitStarPhotometryMP
    from nbmosaic.pipeline.photometry.batch_stage import fit_photometry_batch
    from nbmosaic.pipeline.photometry.fitting import fit_image_and_star_photometry, fit_image_photometry, fit_star_photometry
    from nbmosaic.pipeline.photometry.regridding import regrid
    from nbmosaic.pipeline.photometry.wavelength import fit_cube_psf
    from nbmosaic.pipeline.run import Run
    from nbmosaic.pipeline.simulation.exposures import simulate_exposures
    from nbmosaic.pipeline.simulation.frames import simulate_frames
    from nbmosaic.pipeline.simulation.psf_field import simulate_psf_field
    from nbmosaic.pipeline.stages import (
        background,
        coadd,
        correct,
        cutout,
        header,
        images,
        mscimage,
        overlaps,
        project,
        read,
        save,
        show,
        shrink,
    )
    from nbmosaic.pipeline.transform import fit_map, transform

__version__ = "0.1.0"

_HOME = {
    "FitImageAndStarPhotometryMP": "nbmosaic.pipeline.photometry.batch",
    "FitImagePhotometryMP": "nbmosaic.pipeline.photometry.batch",
    "FitStarPhotometryMP": "nbmosaic.pipeline.photometry.batch",
    "NbmosaicError": "nbmosaic.errors",
    "NbmosaicWarning": "nbmosaic.errors",
    "Run": "nbmosaic.pipeline.run",
    "background": "nbmosaic.pipeline.stages",
    "bandpass": "nbmosaic.pipeline.photometry.bandpass",
    "coadd": "nbmosaic.pipeline.stages",
    "correct": "nbmosaic.pipeline.stages",
    "cutout": "nbmosaic.pipeline.stages",
    "fit_cube_psf": "nbmosaic.pipeline.photometry.wavelength",
    "fit_image_and_star_photometry": "nbmosaic.pipeline.photometry.fitting",
    "fit_image_photometry": "nbmosaic.pipeline.photometry.fitting",
    "fit_map": "nbmosaic.pipeline.transform",
    "fit_photometry_batch": "nbmosaic.pipeline.photometry.batch_stage",
    "fit_star_photometry": "nbmosaic.pipeline.photometry.fitting",
    "header": "nbmosaic.pipeline.stages",
    "images": "nbmosaic.pipeline.stages",
    "mosaic": "nbmosaic.pipeline.mosaic",
    "mscimage": "nbmosaic.pipeline.stages",
    "overlaps": "nbmosaic.pipeline.stages",
    "panel": "nbmosaic.notebook.panels:open_panel",
    "project": "nbmosaic.pipeline.stages",
    "read": "nbmosaic.pipeline.stages",
    "regrid": "nbmosaic.pipeline.photometry.regridding",
    "save": "nbmosaic.pipeline.stages",
    "show": "nbmosaic.pipeline.stages",
    "shrink": "nbmosaic.pipeline.stages",
    "simulate_exposures": "nbmosaic.pipeline.simulation.exposures",
    "simulate_frames": "nbmosaic.pipeline.simulation.frames",
    "simulate_psf_field": "nbmosaic.pipeline.simulation.psf_field",
    "transform": "nbmosaic.pipeline.transform",
}

__all__ = [
    "FitImageAndStarPhotometryMP",
    "FitImagePhotometryMP",
    "FitStarPhotometryMP",
    "NbmosaicError",
    "NbmosaicWarning",
    "Run",
    "background",
    "bandpass",
    "coadd",
    "correct",
    "cutout",
    "fit_cube_psf",
    "fit_image_and_star_photometry",
    "fit_image_photometry",
    "fit_map",
    "fit_photometry_batch",
    "fit_star_photometry",
    "header",
    "images",
    "mosaic",
    "mscimage",
    "overlaps",
    "panel",
    "project",
    "read",
    "regrid",
    "save",
    "show",
    "shrink",
    "simulate_exposures",
    "simulate_frames",
    "simulate_psf_field",
    "transform",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in _HOME:
        module, _, attribute = _HOME[name].partition(":")
        return getattr(importlib.import_module(module), attribute or name)
    raise AttributeError(f"module 'nbmosaic' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted({*__all__, "__version__", "load_ipython_extension", "unload_ipython_extension"})


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext nbmosaic``."""
    from nbmosaic.notebook.extension import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext nbmosaic``."""
    from nbmosaic.notebook.extension import unload

    unload(ipython)
