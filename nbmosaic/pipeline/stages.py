"""The stages: one function each, values in, values out; a cell line and a line magic are generated from these signatures.

Options that only say how to run (`jobs`, `executor`, `max_memory`, `scratch`, `progress`) never change a bit of the result.
"""

from __future__ import annotations

from nbmosaic.pipeline.camera import mscimage
from nbmosaic.pipeline.frame_stages import header, images, project
from nbmosaic.pipeline.image_stages import coadd, cutout, read, save, show, shrink
from nbmosaic.pipeline.match_stages import background, correct, overlaps

__all__ = [
    "STAGES",
    "background",
    "coadd",
    "correct",
    "cutout",
    "header",
    "images",
    "mscimage",
    "overlaps",
    "project",
    "read",
    "save",
    "show",
    "shrink",
]

STAGES = (images, mscimage, header, project, overlaps, background, correct, coadd, cutout, shrink, read, save, show)
"""All stages, in the order of work."""
