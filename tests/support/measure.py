"""One measure for everybody: how well frames agree after correction, and how far a mosaic is from the truth on large scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nbmosaic.types import PixelBox

__all__ = ["LargeScale", "large_scale_residual", "overlap_statistics"]

GriddedFrames = Mapping[str, tuple[PixelBox, np.ndarray]]


def overlap_statistics(frames: GriddedFrames, *, min_pixels: int = 50, trim: int = 2) -> pd.DataFrame:
    """Differences of all overlapping pairs of frames on one grid.

    Parameters
    ----------
    frames : mapping
        Name to ``(box, data)``: the box on the common grid and the pixels, NaN where there are none.
    min_pixels : int
        Overlaps with fewer common pixels are left out.
    trim : int
        Pixels next to a blank one, this far, are left out: at the edge of a frame the kernels differ, not the backgrounds.

    Returns
    -------
    DataFrame
        One row a pair (names in alphabetic order): ``plus, minus, n, level`` (mean difference, clipped at 3 sigma about the median),
        ``median`` (of the difference), ``pixel`` (median absolute difference of a pixel), ``scatter`` (deviation of the pixels kept).
    """
    trimmed = {name: (box, _trim(np.asarray(data, np.float64), trim)) for name, (box, data) in sorted(frames.items())}
    names = list(trimmed)
    rows = []
    for i, plus in enumerate(names):
        for minus in names[i + 1 :]:
            box = trimmed[plus][0].intersection(trimmed[minus][0])
            if box.empty:
                continue
            one, two = (trimmed[n][1][box.slices(trimmed[n][0])] for n in (plus, minus))
            difference = (one - two)[np.isfinite(one) & np.isfinite(two)]
            if difference.size >= min_pixels:
                kept = _clip(difference)
                rows.append((plus, minus, difference.size, kept.mean(), np.median(difference), np.median(np.abs(difference)), kept.std()))
    return pd.DataFrame(rows, columns=["plus", "minus", "n", "level", "median", "pixel", "scatter"])


def _trim(data: np.ndarray, n: int) -> np.ndarray:
    """Blank the pixels that have a blank pixel, or the end of the array, within `n` pixels on a row or column."""
    blank = np.pad(~np.isfinite(data), n, constant_values=True)
    grown = blank.copy()
    for axis in (0, 1):
        for step in range(-n, n + 1):
            grown |= np.roll(blank, step, axis)
    inner = grown[n : n + data.shape[0], n : n + data.shape[1]]
    return np.where(inner, np.nan, data)


def _clip(values: np.ndarray) -> np.ndarray:
    """Values within 3 standard deviations (from the median absolute deviation) of the median."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return values[np.abs(values - middle) <= 3 * spread] if spread > 0 else values


@dataclass(frozen=True)
class LargeScale:
    """Residual of a mosaic on large scales: rms and largest value over the blocks, number of blocks."""

    rms: float
    max: float
    n_blocks: int


def large_scale_residual(
    mosaic: np.ndarray, truth: np.ndarray, *, block: int = 32, faint: float = 0.5, min_fraction: float = 0.3, area: np.ndarray | None = None
) -> LargeScale:
    """Compare a mosaic with the noise-free sky in blocks of pixels, one global plane removed.

    Parameters
    ----------
    mosaic, truth : ndarray, shape (ny, nx)
        The mosaic (NaN where empty) and the noise-free sky on the same grid.
    block : int
        Side of the blocks.
    faint : float
        Only pixels of the faintest part of the sky count (quantile of the truth over the covered pixels): stars would measure the
        resampling, not the background.
    min_fraction : float
        A block needs at least this part of its pixels.
    area : ndarray, optional
        Pixels with an area below 0.99 are left out.

    Returns
    -------
    LargeScale
        About the blocks' mean residuals.
    """
    good = np.isfinite(mosaic)
    if area is not None:
        good &= area >= 0.99
    good &= truth <= np.quantile(truth[good], faint)
    residual = np.where(good, mosaic - truth, 0.0)
    ny, nx = (n // block for n in mosaic.shape)

    def sums(image: np.ndarray) -> np.ndarray:
        return image[: ny * block, : nx * block].reshape(ny, block, nx, block).sum(axis=(1, 3))

    count = sums(good.astype(float))
    used = count >= min_fraction * block**2
    level = sums(residual)[used] / count[used]
    rows, columns = np.indices(mosaic.shape)
    y, x = (sums(np.where(good, index, 0))[used] / count[used] for index in (rows, columns))
    design = np.column_stack([np.ones(level.size), x / block, y / block])
    weight = np.sqrt(count[used])
    plane = np.linalg.lstsq(design * weight[:, None], level * weight, rcond=None)[0]
    rest = level - design @ plane
    return LargeScale(float(np.sqrt(np.mean(rest**2))), float(np.abs(rest).max()), int(level.size))
