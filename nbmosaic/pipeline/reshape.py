"""The cutout and shrink stages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.products import Mosaic
from nbmosaic.types import MosaicGrid, PixelBox

__all__ = ["block_mean", "cut"]


def cut(mosaic: Mosaic, ra: float, dec: float, width_arcsec: float, height_arcsec: float) -> Mosaic:
    """Part of a mosaic round a position.

    Raises
    ------
    InputError
        The part has no pixel of the mosaic.
    """
    from nbmosaic.core.geometry.grid import crop_grid
    from nbmosaic.core.geometry.sky import pixel_scale_arcsec

    if not (width_arcsec > 0 and height_arcsec > 0):
        raise ConfigError(
            "the size of a cutout has to be larger than 0 arcsec", hint="give ra, dec, width and height: cutout 83.8 -5.4 600"
        )
    scale = pixel_scale_arcsec(mosaic.wcs)
    x, y = (float(value) for value in mosaic.wcs.wcs_world2pix(float(ra), float(dec), 0))
    if not (np.isfinite(x) and np.isfinite(y)):
        raise InputError(f"the position {ra}, {dec} is not on the mosaic's projection", hint="give ra and dec in degrees")
    half_x, half_y = 0.5 * width_arcsec / scale, 0.5 * height_arcsec / scale
    wanted = PixelBox(round(y - half_y), round(y + half_y) + 1, round(x - half_x), round(x + half_x) + 1)
    box = wanted.intersection(PixelBox.of_shape(mosaic.shape))
    if box.empty:
        raise InputError(f"the cutout at {ra}, {dec} lies outside the mosaic", hint="look at the mosaic's centre and size")
    part = box.slices()
    grid = crop_grid(MosaicGrid(mosaic.wcs, mosaic.shape), box)
    planes: dict[str, Any] = {name: np.array(getattr(mosaic, name)[part]) for name in ("data", "area", "count")}
    planes["variance_plane"] = None if mosaic.variance_plane is None else np.array(mosaic.variance_plane[part])
    if mosaic.estimate is not None:
        planes["estimate"] = lambda: mosaic.variance[part]
    return replace(mosaic, wcs=grid.wcs, path=None, owner=None, **planes)


def block_mean(mosaic: Mosaic, factor: int) -> Mosaic:
    """The mosaic with blocks of pixels averaged.

    Raises
    ------
    ConfigError
        The factor is less than 2 or larger than the mosaic.
    """
    from nbmosaic.core import blocks

    if factor < 2 or factor > min(mosaic.shape):
        raise ConfigError(f"factor cannot be {factor!r}", hint=f"it is a whole number from 2 to {min(mosaic.shape)}", option="factor")
    area = blocks.block_sum(mosaic.area, factor)
    variance = None
    if mosaic.variance_plane is not None:
        # variance of an area-weighted mean of independent pixels; neighbours of a resampled mosaic are not, so this is a lower bound
        spread = blocks.block_sum(np.asarray(mosaic.variance_plane, dtype=float) * np.square(np.asarray(mosaic.area, dtype=float)), factor)
        variance = np.divide(spread, np.square(area), out=np.full(area.shape, np.nan), where=area > 0).astype(np.float32)
    wcs = mosaic.wcs.deepcopy()
    wcs.wcs.crpix = (np.asarray(mosaic.wcs.wcs.crpix) - 0.5) / factor + 0.5
    if wcs.wcs.has_cd():
        wcs.wcs.cd = np.asarray(mosaic.wcs.wcs.cd) * factor
    else:
        wcs.wcs.cdelt = np.asarray(mosaic.wcs.wcs.cdelt) * factor
    wcs.wcs.set()
    ny, nx = area.shape
    wcs.array_shape = (ny, nx)
    return replace(
        mosaic,
        data=blocks.block_mean(mosaic.data, mosaic.area, factor),
        area=(area / factor**2).astype(np.float32),
        count=blocks.block_sum(mosaic.count, factor).astype(np.int32) // factor**2,
        variance_plane=variance,
        estimate=None,
        wcs=wcs,
        path=None,
        owner=None,
    )
