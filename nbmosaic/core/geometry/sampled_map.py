"""Fitted maps that are evaluated on a coarse lattice and interpolated linearly between, as geotran does with its default ``xsample`` of 10."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.fitted_map import derivatives, evaluate, pixel_map
from nbmosaic.core.geometry.pixmap import PixelMap
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import FittedMap

__all__ = ["sampled_area", "sampled_map"]


def sampled_map(fitted: FittedMap, box: PixelBox, step: int, *, tolerance_pix: float = 2e-4) -> PixelMap | None:
    """Fitted map as it comes out of linear interpolation between samples.

    Parameters
    ----------
    fitted : FittedMap
        The map.
    box : PixelBox
        Pixels of the output.
    step : int
        The lattice has ``n // step`` points over n pixels, the ends included.
    tolerance_pix : float
        Difference from the map itself, in input pixels, that does not count.

    Returns
    -------
    PixelMap or None
        None where interpolation changes the map by less than `tolerance_pix` (an eighth of the second difference of the samples), or where the box is too
        small to be sampled: the map itself will do then, and is read faster.

    Examples
    --------
    >>> from nbmosaic.core.geometry.fitted_map import fit_surface_map
    >>> corners = np.array([[0.0, 0], [99, 0], [0, 99], [99, 99]])
    >>> sampled_map(fit_surface_map(corners, corners + 0.5, geometry="shift"), PixelBox(0, 100, 0, 100), 10) is None
    True
    """
    lattice = _lattice(box, step)
    if lattice is None:
        return None
    y, x = lattice
    if _bend(fitted, y, x) / 8.0 < tolerance_pix:
        return None
    return pixel_map(fitted, box, sample=step)


def sampled_area(fitted: FittedMap, box: PixelBox, step: int) -> FloatArray | None:
    """Area of output pixels in input pixels, interpolated linearly between the same samples; None where the box is too small to be sampled."""
    lattice = _lattice(box, step)
    if lattice is None:
        return None
    y, x = np.meshgrid(*lattice, indexing="ij")
    u_x, u_y, v_x, v_y = derivatives(fitted, y, x)
    return np.abs(_between(u_x * v_y - u_y * v_x, box))


def _bend(fitted: FittedMap, y: FloatArray, x: FloatArray) -> float:
    """Largest second difference of the map between samples, of up to 12 by 12 places with their ends: the maps are of low order."""
    largest = 0.0
    for values, others, across in ((x, y, True), (y, x, False)):
        if len(values) < 3:
            continue
        middle = values[np.unique(np.linspace(1, len(values) - 2, 12).astype(int))]
        step = values[1] - values[0]
        triple = np.stack([middle - step, middle, middle + step])
        along = others[np.unique(np.linspace(0, len(others) - 1, 12).astype(int))]
        for found in evaluate(fitted, along, triple[..., None]) if across else evaluate(fitted, triple[..., None], along):
            largest = max(largest, float(np.abs(found[0] - 2.0 * found[1] + found[2]).max()))
    return largest


def _lattice(box: PixelBox, step: int) -> tuple[FloatArray, FloatArray] | None:
    """Rows and columns of the samples."""
    sy, sx = box.shape[0] // step, box.shape[1] // step
    if sx < 2 or sy < 2:
        return None
    return np.linspace(box.ymin, box.ymax - 1, sy), np.linspace(box.xmin, box.xmax - 1, sx)


def _between(values: FloatArray, box: PixelBox) -> FloatArray:
    """Bilinear interpolation between samples that are spread over a box."""
    along, across = (np.linspace(0.0, n - 1.0, m) for n, m in zip(values.shape, box.shape, strict=True))
    row = np.minimum(along.astype(int), values.shape[0] - 2)
    part = (along - row)[:, None]
    rows = values[row] * (1.0 - part) + values[row + 1] * part
    column = np.minimum(across.astype(int), values.shape[1] - 2)
    part = across - column
    return np.asarray(rows[:, column] * (1.0 - part) + rows[:, column + 1] * part)
