"""Statistics of the pixels round a position, and the flux inside an aperture, as Montage's mExamine has them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.types import PixelBox

__all__ = ["RegionStats", "aperture_flux", "region_box", "region_stats"]

_STEPS = 1000
_SETTLED = 1e-3


@dataclass(frozen=True, slots=True)
class RegionStats:
    """Pixels of a region.

    Attributes
    ----------
    n_pixels, n_null : int
        Finite and blank pixels of the box.
    mean, rms : float
        Mean and standard deviation of the finite pixels of the box.
    reference, smallest, largest : tuple of (float, int, int)
        Value, row and column (0-based) of the pixel at the position, and of the smallest and largest pixel of the circle; NaN and -1 where there is none.
    """

    n_pixels: int
    n_null: int
    mean: float
    rms: float
    reference: tuple[float, int, int]
    smallest: tuple[float, int, int]
    largest: tuple[float, int, int]


def region_box(shape: tuple[int, int], x: float, y: float, radius: float) -> PixelBox:
    """Box of the pixels that reach `radius` + 1 from the pixel at ``(x, y)`` (0-based); clipped to the image."""
    ix, iy = math.floor(x + 0.5) + 1, math.floor(y + 0.5) + 1  # 1-based, as the truncation below wants it
    x0, x1, y0, y1 = (int(v) for v in (ix - radius - 1, ix + radius + 1, iy - radius - 1, iy + radius + 1))
    return PixelBox(max(y0, 1) - 1, min(y1, shape[0]), max(x0, 1) - 1, min(x1, shape[1]))


def region_stats(values: FloatArray, x: float, y: float, radius: float) -> RegionStats:
    """Statistics of the pixels round a position.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        Image.
    x, y : float
        Position in 0-based pixels.
    radius : float
        In pixels. Mean and rms are of the whole square round the circle, smallest and largest pixel are of the circle.

    Examples
    --------
    >>> region_stats(np.eye(5), 2.0, 2.0, 1.0).largest
    (1.0, 2, 2)
    """
    box = region_box((values.shape[0], values.shape[1]), x, y, radius)
    part = values[box.slices()]
    good = np.isfinite(part)
    n = int(good.sum())
    none = (math.nan, -1, -1)
    if not n:
        return RegionStats(0, int(part.size), math.nan, math.nan, none, none, none)
    pixels = part[good]
    yy, xx = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
    inside = good & (np.hypot(xx - x, yy - y) <= radius * (1 + 1e-9))
    iy, ix = math.floor(y + 0.5), math.floor(x + 0.5)

    def place(index: int) -> tuple[float, int, int]:
        row, column = divmod(index, part.shape[1])
        return float(part[row, column]), row + box.ymin, column + box.xmin

    at = (iy - box.ymin, ix - box.xmin)
    seen = 0 <= at[0] < part.shape[0] and 0 <= at[1] < part.shape[1] and bool(inside[at])
    return RegionStats(
        n_pixels=n,
        n_null=int(part.size) - n,
        mean=float(pixels.mean()),
        rms=float(pixels.std()),
        reference=(float(part[at]), iy, ix) if seen else none,
        smallest=place(int(np.where(inside, part, np.inf).argmin())) if inside.any() else none,
        largest=place(int(np.where(inside, part, -np.inf).argmax())) if inside.any() else none,
    )


def aperture_flux(values: FloatArray, row: int, column: int, radius: float) -> float:
    """Flux of a source above its surroundings.

    The pixels within `radius` of the source are sorted by their distance. The background is their mean, those farther than three sigma from it left out,
    repeated until it changes by less than a thousandth; the flux is the sum of the inner half of the pixels above that background.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
        Image.
    row, column : int
        Brightest pixel of the source.
    radius : float
        In pixels.

    Returns
    -------
    float
        NaN where no pixel is finite.

    Examples
    --------
    >>> image = np.zeros((21, 21))
    >>> image[10, 10] = 5.0
    >>> aperture_flux(image + 1.0, 10, 10, 8.0)
    5.0
    """
    box = region_box((values.shape[0], values.shape[1]), float(column), float(row), radius)
    part = values[box.slices()]
    yy, xx = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
    distance = np.hypot(xx - column, yy - row)
    inside = np.isfinite(part) & (distance <= radius)
    if not inside.any():
        return math.nan
    pixels = part[inside][np.argsort(distance[inside], kind="stable")]
    background, sigma = float(pixels.min()), float(np.ptp(pixels))
    for _ in range(_STEPS):
        kept = pixels[np.abs(pixels - background) <= 3.0 * sigma]
        if not kept.size:
            break
        old, background, sigma = background, float(kept.mean()), float(kept.std())
        if abs(background - old) < _SETTLED * abs(old):
            break
    return float((pixels[: len(pixels) // 2 + 1] - background).sum())
