"""Frozen values that pass between the layers; no algorithm, no file, no plot."""

from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import (
    Footprint,
    FrameInfo,
    FramePixels,
    FrameSource,
    MosaicGrid,
    ProjectedFrame,
    ProjectedInfo,
)
from nbmosaic.types.matching import BackgroundModel, CoverageCells, OverlapFlag, OverlapPlanes

__all__ = [
    "BackgroundModel",
    "CoverageCells",
    "Footprint",
    "FrameInfo",
    "FramePixels",
    "FrameSource",
    "MosaicGrid",
    "OverlapFlag",
    "OverlapPlanes",
    "PixelBox",
    "ProjectedFrame",
    "ProjectedInfo",
]
