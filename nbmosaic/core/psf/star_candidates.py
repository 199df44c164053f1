"""Stars to choose from: point sources of the sharper of two images, brightest first.

The reference is so sharp that a star in it is its own response ``B P`` (see `nbmosaic.core.psf.fourier_window`), while the smallest galaxies are wider.
So the flux near the centre, as part of the flux of the source, is compared with that of a point.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.psf.fourier_window import fourier_grid, reference_response
from nbmosaic.errors import ShapeError
from nbmosaic.types.photometry import FitFrame

__all__ = ["StarCandidate", "find_star_candidates"]

_APERTURE, _RING = 5, 9
"""Radii in pixels of the circle that holds a source, and of the ring about it that tells the sky."""
_SIGMAS = 25.0
"""Least significance of the flux of a candidate: at 25 the compactness is known to 5 %."""
_IMAGE_SIGMAS = 10.0
"""The same in the image: fainter stars tell nothing of the seeing."""
_COMPACT = (0.82, 1.1)
"""Compactness of stars. In simulated fields that of stars is 0.997 to 1.002, that of half of the galaxies below 0.7; but the PSF of the reference may
be wider than was said (0.14 arcsec in place of 0.085: 0.85)."""


class StarCandidate(NamedTuple):
    """A source that looks like a star.

    Attributes
    ----------
    y, x : float
        Position, 0-based pixels of the image.
    flux : float
        In a circle of 5 pixels of the reference, above the sky next to it.
    compactness : float
        Part of it near the centre, in units of that of a point: about 1 for a star.
    """

    y: float
    x: float
    flux: float
    compactness: float


def find_star_candidates(
    reference: FitFrame, image: FitFrame, *, hst_fwhm: float = 0.085, hst_beta: float = 1.6, count: int = 40
) -> tuple[StarCandidate, ...]:
    """Find point sources that are on both images.

    Parameters
    ----------
    reference : FitFrame
        The sharper image, on the pixels of the image.
    image : FitFrame
        The image: sources with a bad pixel of it within 5 pixels are left out.
    hst_fwhm, hst_beta : float
        Moffat PSF of the reference before it was resampled, arcsec; 0 for none.
    count : int
        At most so many.

    Returns
    -------
    tuple of StarCandidate
        Brightest first; empty if there is none.

    Raises
    ------
    ShapeError
        The two are not on the same pixels.

    Examples
    --------
    >>> sky = np.zeros((41, 41))
    >>> sky[18, 23] = 50.0
    >>> frame = FitFrame(data=sky, mask=np.zeros(sky.shape, bool))
    >>> find_star_candidates(frame, frame)  # a single pixel is sharper than any star
    ()
    """
    from scipy import ndimage

    if reference.shape != image.shape:
        raise ShapeError(
            f"the reference has shape {reference.shape}, the image {image.shape}", hint="give the part on the pixels of the image"
        )
    good = reference.good & image.good
    if np.count_nonzero(good) < 10:
        return ()
    data = np.where(good, reference.data, 0.0)
    noise = _noise(reference.data[good])
    data = np.where(good, data - float(np.median(reference.data[good])), 0.0)
    seen = np.where(image.good, image.data, 0.0)
    image_noise = _noise(image.data[good])
    smooth = ndimage.gaussian_filter(data, 1.0)
    peak = (smooth == ndimage.maximum_filter(smooth, 2 * _APERTURE + 1)) & good & (smooth > 3.0 * noise)
    expected = _point_compactness(image.step_arcsec, hst_fwhm, hst_beta)
    found = []
    for y, x in zip(*np.nonzero(peak), strict=True):
        source = _measure(data, good, int(y), int(x), noise, expected)
        if source is None or not _COMPACT[0] <= source.compactness <= _COMPACT[1]:
            continue
        if _flux(seen, int(y), int(x)) > _IMAGE_SIGMAS * image_noise * math.sqrt(math.pi) * _APERTURE:
            found.append(source)
    return tuple(sorted(found, key=lambda one: -one.flux)[:count])


def _noise(values: FloatArray) -> float:
    """Scatter of the faint half of the pixels about their median: sources make the other half brighter."""
    middle = float(np.median(values))
    below = values[values <= middle]
    return 1.4826 * float(np.median(middle - below))


def _flux(data: FloatArray, row: int, column: int) -> float:
    """Flux in the circle about a pixel, above the ring about it."""
    part = data[row - _RING : row + _RING + 1, column - _RING : column + _RING + 1]
    radius = np.hypot(*np.mgrid[-_RING : _RING + 1, -_RING : _RING + 1])
    inside = radius <= _APERTURE
    return float(part[inside].sum() - np.median(part[radius > _APERTURE + 1]) * np.count_nonzero(inside))


def _measure(data: FloatArray, good: BoolArray, row: int, column: int, noise: float, expected: float) -> StarCandidate | None:
    """A source at a peak; None where it is cut, or too faint to tell what it is."""
    y0, y1, x0, x1 = row - _RING, row + _RING + 1, column - _RING, column + _RING + 1
    if y0 < 0 or x0 < 0 or y1 > data.shape[0] or x1 > data.shape[1]:
        return None
    part, usable = data[y0:y1, x0:x1], good[y0:y1, x0:x1]
    y, x = np.mgrid[-_RING : _RING + 1, -_RING : _RING + 1].astype(np.float64)
    cy = cx = 0.0
    ring = np.hypot(y, x) > _APERTURE + 1
    if not usable[~ring].all() or np.count_nonzero(usable & ring) < 30:
        return None
    above = part - float(np.median(part[usable & ring]))
    for _ in range(8):  # centroid under a Gaussian of 1.5 pixels that follows it
        weight = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 1.5**2)) * above
        total = float(weight.sum())
        if not total > 0.0:
            return None
        # what the window takes of a shift, it takes evenly: twice the step for a source as wide as the window
        step_y, step_x = float((weight * (y - cy)).sum()) / total, float((weight * (x - cx)).sum()) / total
        cy, cx = cy + step_y, cx + step_x
        if max(abs(cy), abs(cx)) > 1.5:
            return None
        if max(abs(step_y), abs(step_x)) < 1e-3:
            break
    flux = float(above[np.hypot(y - cy, x - cx) <= _APERTURE].sum())
    if flux < _SIGMAS * noise * math.sqrt(math.pi) * _APERTURE:
        return None
    near = float((above * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2.0)).sum())
    return StarCandidate(row + cy, column + cx, flux, near / flux / expected)


@functools.lru_cache(maxsize=4)
def _point_compactness(step_arcsec: tuple[float, float], hst_fwhm: float, hst_beta: float) -> float:
    """The same part for a point on an empty sky."""
    from scipy import fft

    n, middle = 64, 32
    grid = fourier_grid((n, n), step_arcsec)
    turn = np.exp(-2j * np.pi * middle * (grid.kx * step_arcsec[1] + grid.ky[:, None] * step_arcsec[0]))
    point = fft.irfft2(reference_response(grid.k, grid.f, hst_fwhm=hst_fwhm, hst_beta=hst_beta) * turn, s=(n, n))
    radius = np.hypot(*(np.mgrid[:n, :n] - middle))
    ring = (radius > _APERTURE + 1) & (radius <= _RING)
    above = point - float(np.median(point[ring]))
    return float((above * np.exp(-(radius**2) / 2.0)).sum() / above[radius <= _APERTURE].sum())
