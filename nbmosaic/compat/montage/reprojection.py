"""Reprojection of one file with Montage's options."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.compat.montage.files import open_image, read_grid
from nbmosaic.errors import InputError

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic._types import BoolArray, Float32Array
    from nbmosaic.compat.montage.files import Template
    from nbmosaic.core.resampling.workspace import Workspace

__all__ = ["Options", "project_file"]

_FRAME = 1 << 22  # pixels of the buffer for frames: 2048 x 2048; memory that is not touched costs nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options that the programs share."""

    method: str
    hdu: int = 0
    weight_file: str = ""
    fixed_weight: float = 1.0
    threshold: float = 0.0
    border: str = ""
    drizzle: float = 1.0
    flux_scale: float = 1.0
    energy: bool = False
    expand: bool = False
    full_region: bool = False
    altin: str = ""
    areas: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.drizzle <= 1:
            raise InputError(f"drizzle is {self.drizzle}, expected a number above 0 and up to 1 (side of the pixel that is dropped)")
        if not (self.fixed_weight > 0 and math.isfinite(self.fixed_weight)):
            raise InputError(f"fixedWeight is {self.fixed_weight}, expected a positive number")
        if not math.isfinite(self.flux_scale):
            raise InputError(f"fluxScale is {self.flux_scale}, expected a number")


def _border_mask(text: str, shape: tuple[int, int]) -> BoolArray | None:
    """Mask of a border string: a width, or the vertices of a polygon to keep (1-based pixels)."""
    from nbmosaic.core.resampling.frame_borders import edge_mask, polygon_mask

    words = text.replace(",", " ").split()
    if not words:
        return None
    wrong = InputError(f"Border value string ({text[:200]}) cannot be interpreted as an integer or a set of polygon vertices")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise wrong from None
    if not all(map(math.isfinite, numbers)):
        raise wrong
    if len(numbers) == 1 and numbers[0] == int(numbers[0]) and numbers[0] >= 0:
        return edge_mask(shape, int(numbers[0])) if numbers[0] else None
    if len(numbers) < 6 or len(numbers) % 2:
        raise wrong
    return polygon_mask(shape, [(x - 1, y - 1) for x, y in zip(numbers[::2], numbers[1::2], strict=True)])


def _load(source: str, options: Options, workspace: Workspace) -> tuple[Float32Array, WCS]:
    """Pixels and WCS of the input."""
    from nbmosaic.io.float64 import read_image32
    from nbmosaic.io.wcs_read import read_wcs

    # the buffer is made for the usual frame of a batch: a larger frame gets fresh memory
    buffer = workspace.array("input", (_FRAME,), "f4")
    image = open_image(source, options.hdu, read=partial(read_image32, out=buffer, scale=options.flux_scale))
    if options.altin:
        return image.stored, read_grid(options.altin).grid.wcs
    return image.stored, read_wcs(image.cards, image.naxis, where=f"{source} HDU {image.hdu}", path=source)[0]


def _fk5_for_icrs(wcs: WCS) -> WCS:
    """The WCS with ICRS called FK5 of J2000, as Montage takes it: its templates name no system, and 0.02 arcsec lie between the two."""
    from nbmosaic.core.geometry.systems import ICRS, celestial_system

    if celestial_system(wcs) != ICRS:
        return wcs
    renamed = wcs.deepcopy()
    renamed.wcs.radesys, renamed.wcs.equinox = "FK5", 2000.0
    renamed.wcs.set()
    return renamed


def project_file(source: str, output: str, template: Template, options: Options, workspace: Workspace) -> None:
    """Reproject one file."""
    from nbmosaic.io.output import check_output
    from nbmosaic.pipeline.reprojecting import reproject_image

    check_output(output, overwrite=True)
    data, wcs = _load(source, options, workspace)
    weight = None
    if options.weight_file:
        weights = open_image(options.weight_file, what="Weight")
        if weights.shape != data.shape:
            raise InputError(f"Weight file {options.weight_file} has {weights.shape} pixels, the image {data.shape}")
        weight = weights.stored.astype(np.float32)
        weight[~(weight >= options.threshold)] = 0.0
    result = reproject_image(
        data,
        _fk5_for_icrs(wcs),
        replace(template.grid, wcs=_fk5_for_icrs(template.grid.wcs)),
        method=options.method,
        mask=_border_mask(options.border, (data.shape[0], data.shape[1])),
        weight=weight,
        drizzle=options.drizzle,
        energy=options.energy,
        expand=options.expand,
        workspace=workspace,
    )
    _write(result, output, template, options)


def _write(result: Any, output: str, template: Template, options: Options) -> None:
    """Write image and area, on the whole template if that is wanted."""
    from nbmosaic.io.float64 import area_name, writing_image64

    scale = options.fixed_weight * (_pixel_area(template) if options.method in {"exact", "area"} else 1.0)
    box = result.box.union(template.grid.box) if options.full_region else result.box
    cards = template.cards(box)
    planes = [(output, result.data, np.nan, 1.0)]
    if options.areas:
        planes.append((area_name(output), result.area, 0.0, scale))
    for name, values, blank, factor in planes:
        with writing_image64(name, box.shape, cards) as writer:
            for start in range(box.ymin, box.ymax, 64):
                stop = min(start + 64, box.ymax)
                if box == result.box:
                    writer.write(values[start - box.ymin : stop - box.ymin] * factor)
                    continue
                rows = np.full((stop - start, box.shape[1]), blank)
                inner = range(max(start, result.box.ymin), min(stop, result.box.ymax))
                if inner:
                    part = values[inner[0] - result.box.ymin : inner[-1] + 1 - result.box.ymin] * factor
                    x0 = result.box.xmin - box.xmin
                    rows[inner[0] - start : inner[-1] + 1 - start, x0 : x0 + part.shape[1]] = part
                writer.write(rows)


def _pixel_area(template: Template) -> float:
    """Nominal area of a pixel of the template in steradians."""
    prm = template.grid.wcs.wcs
    matrix = prm.cd if prm.has_cd() else prm.cdelt[:, np.newaxis] * prm.get_pc()
    return abs(float(np.linalg.det(np.radians(matrix))))
