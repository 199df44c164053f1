"""The stages: one function each, values in, values out; a cell line and a line magic are generated from these signatures.

Options that only say how to run (`jobs`, `executor`, `max_memory`, `scratch`, `progress`) never change a bit of the result.
"""

from __future__ import annotations

from nbmosaic.pipeline.camera.stage import mscimage
from nbmosaic.pipeline.frame_stages import header, images, project
from nbmosaic.pipeline.image_stages import coadd, cutout, read, save, show, shrink
from nbmosaic.pipeline.match_stages import background, correct, overlaps
from nbmosaic.pipeline.photometry.bandpass import bandpass
from nbmosaic.pipeline.photometry.batch_stage import fit_photometry_batch
from nbmosaic.pipeline.photometry.fitting import fit_image_and_star_photometry, fit_image_photometry, fit_star_photometry
from nbmosaic.pipeline.photometry.regridding import regrid
from nbmosaic.pipeline.photometry.wavelength import fit_cube_psf

__all__ = [
    "STAGES",
    "background",
    "bandpass",
    "coadd",
    "correct",
    "cutout",
    "fit_cube_psf",
    "fit_image_and_star_photometry",
    "fit_image_photometry",
    "fit_photometry_batch",
    "fit_star_photometry",
    "header",
    "images",
    "mscimage",
    "overlaps",
    "project",
    "read",
    "regrid",
    "save",
    "show",
    "shrink",
]

STAGES = (
    images,
    mscimage,
    header,
    project,
    overlaps,
    background,
    correct,
    coadd,
    cutout,
    shrink,
    regrid,
    bandpass,
    fit_image_photometry,
    fit_star_photometry,
    fit_image_and_star_photometry,
    fit_photometry_batch,
    fit_cube_psf,
    read,
    save,
    show,
)
"""All stages, in the order of work."""
