"""Stage files of the mscimage golden set: geotran of one piece by a database of geomap (IRAF 2.17-4, mscred 5.05)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from nbmosaic.core.geometry.fitted_map import pixel_map
from nbmosaic.core.geometry.pixmap import PixelMap
from nbmosaic.io.geomap_database import read_geomap_database
from nbmosaic.types import PixelBox

__all__ = ["BOX", "SECTION", "piece_map", "piece_pixels", "stage_image"]

TRIM = 8
SECTION = PixelBox(8, 248, 8, 120)
BOX = PixelBox(1, 249, 4, 122)  # columns 5 to 122 and lines 2 to 249, counted from 1


@lru_cache(maxsize=2)
def piece_pixels(folder: Path, *, trimmed: bool = False) -> np.ndarray:
    """Piece 1, whole or without its rim."""
    data = np.asarray(fits.getdata(folder / "obja.fits.gz", "im1"), np.float32)
    return np.ascontiguousarray(data[SECTION.slices()]) if trimmed else data


def piece_map(folder: Path, *, function: str = "chebyshev", trimmed: bool = False, sample: float = 10.0) -> PixelMap:
    """Map of piece 1 as geotran evaluated it: at points about 10 pixels apart, linear in between."""
    (fitted,) = read_geomap_database(folder / "stage" / f"db1_{function}.txt").values()
    fitted = fitted.with_origin(0)
    if not trimmed:  # the database counts pixels of the section
        fitted = replace(fitted, linear=fitted.linear + np.array([[TRIM, 0, 0], [TRIM, 0, 0]]))
    return pixel_map(fitted, BOX, sample=sample)


def stage_image(folder: Path, tag: str) -> np.ndarray:
    """What geotran made; some are cut to the first columns and lines."""
    return np.asarray(fits.getdata(folder / "stage" / f"gt_{tag}.fits.gz"), float)
