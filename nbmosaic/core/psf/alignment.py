"""Whether two images lie on one grid, and images corrected for a fitted offset, scale and background."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.geometry.grid_alignment import grid_distance_arcsec, moved_wcs, pixel_steps_arcsec
from nbmosaic.core.geometry.sky import icrs_to_pixel, pixel_to_icrs
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["ALIGNED_ARCSEC", "apply_corrections", "correction_words", "grids_aligned", "shift_image", "whole_pixel_offset"]

ALIGNED_ARCSEC = 0.01
"""Largest distance on the sky between equal pixels of aligned grids."""

_WORDS = ("xy", "scale", "zero")
_MAX_BAD = 0.1  # of the weight of a resampled pixel that may fall on bad ones, as imphot has it


def grids_aligned(
    one: WCS, one_shape: tuple[int, int], other: WCS, other_shape: tuple[int, int], *, tolerance: float = ALIGNED_ARCSEC
) -> bool:
    """Whether two images sample the same sky pixel by pixel.

    Parameters
    ----------
    one, other : astropy.wcs.WCS
        Their WCSs.
    one_shape, other_shape : tuple of int
        ``(ny, nx)``.
    tolerance : float
        Largest distance in arcsec.

    Notes
    -----
    imphot compares the centre, and the CD matrices to `tolerance` *per pixel*: at 0.2 arcsec a rotation of nearly 3 degrees passes, which moves the
    corners of a MUSE field by 2 arcsec.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.2 / 3600, 0.2 / 3600]
    >>> grids_aligned(wcs, (9, 9), moved_wcs(wcs, 0.04, 0.0), (9, 9)), grids_aligned(wcs, (9, 9), moved_wcs(wcs, 0.06, 0.0), (9, 9))
    (True, False)
    """
    return one_shape == other_shape and grid_distance_arcsec(one, other, one_shape) <= tolerance


def whole_pixel_offset(wcs: WCS, image: WCS, image_shape: tuple[int, int], *, tolerance: float = ALIGNED_ARCSEC) -> tuple[int, int] | None:
    """Pixel of one grid on which pixel (0, 0) of another one lies, where the two differ by whole pixels only.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Grid of the reference.
    image, image_shape
        Grid of the image.
    tolerance : float
        Largest distance in arcsec between the pixels, over the whole image.

    Returns
    -------
    tuple of int or None
        ``(y, x)``; None where the grids do not differ by whole pixels.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.2 / 3600, 0.2 / 3600]
    >>> whole_pixel_offset(moved_wcs(wcs, 3.0, 5.0), wcs, (9, 9)), whole_pixel_offset(moved_wcs(wcs, 0.3, 0.0), wcs, (9, 9))
    ((5, 3), None)
    """
    middle = (0.5 * (image_shape[0] - 1), 0.5 * (image_shape[1] - 1))
    lon, lat = pixel_to_icrs(image, np.array([middle[1]]), np.array([middle[0]]))
    x, y = icrs_to_pixel(wcs, lon, lat)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or max(abs(float(x[0])), abs(float(y[0]))) > 1e6:
        return None
    oy, ox = round(float(y[0]) - middle[0]), round(float(x[0]) - middle[1])
    moved = moved_wcs(wcs, -ox, -oy) if oy or ox else wcs  # a WCS with tables of distortion can stay, not move
    near = grid_distance_arcsec(moved, image, image_shape) <= tolerance
    return (oy, ox) if near else None


def correction_words(corrections: str | None) -> frozenset[str]:
    """Corrections that a text asks for.

    Parameters
    ----------
    corrections : str or None
        Words separated by commas: ``xy`` (or ``x`` and ``y``), ``scale``, ``zero``. None and an empty text: nothing.

    Raises
    ------
    ConfigError
        Another word (imphot passes over it, so that its own documented ``"x,y,scale,zero"`` corrects no position), or ``x`` without ``y``.

    Examples
    --------
    >>> sorted(correction_words("xy, zero"))
    ['xy', 'zero']
    """
    words = {word.strip().lower() for word in (corrections or "").split(",")} - {""}
    if words >= {"x", "y"}:
        words = (words - {"x", "y"}) | {"xy"}
    unknown = sorted(words - set(_WORDS))
    if unknown:
        raise ConfigError(f"there is no correction {unknown[0]!r}", hint=f"the corrections are {', '.join(_WORDS)}")
    return frozenset(words)


def apply_corrections(
    image: SkyImage,
    *,
    dx: float,
    dy: float,
    scale: float,
    bg: float,
    corrections: str | None = "xy,scale,zero",
    resample: bool = False,
    method: str = "spline",
) -> SkyImage:
    """Correct an image for fitted errors.

    Parameters
    ----------
    image : SkyImage
        The image; not changed.
    dx, dy : float
        Offsets of the image against the reference, arcsec along its axes: features of the reference had to be moved by them.
    scale, bg : float
        Flux of the image over that of the reference, and its background.
    corrections : str or None
        See `correction_words`.
    resample : bool
        Move the pixels on the grid of the image; else its CRPIX is changed and no pixel is touched.
    method : str
        Interpolation of the resampling, see `shift_image`.

    Returns
    -------
    SkyImage
        ``(data - bg) / scale`` with the variance over ``scale**2``, where all corrections are asked for.

    Raises
    ------
    InputError
        Values that are not finite, a scale of 0, or an offset that moves the whole image away.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.2 / 3600, 0.2 / 3600]
    >>> image = SkyImage(data=np.full((2, 2), 5.0), mask=np.zeros((2, 2), bool), wcs=wcs)
    >>> done = apply_corrections(image, dx=0.1, dy=0.0, scale=2.0, bg=1.0)
    >>> done.data[0, 0], round(done.wcs.wcs.crpix[0], 6)
    (np.float64(2.0), np.float64(0.5))
    """
    words = correction_words(corrections)
    for name, value, word in (("dx", dx, "xy"), ("dy", dy, "xy"), ("scale", scale, "scale"), ("bg", bg, "zero")):
        if word in words and (not math.isfinite(value) or (name == "scale" and value == 0)):
            raise InputError(f"an image cannot be corrected for {name} = {value}", hint="look at the fit")
    out = image
    if "xy" in words:
        step_y, step_x = pixel_steps_arcsec(image.wcs, image.shape)
        px, py = dx / step_x, dy / step_y
        out = shift_image(image, px, py, method=method) if resample else image.changed(wcs=moved_wcs(image.wcs, px, py))
    data, variance = out.data, out.variance
    if "zero" in words:
        data = data - bg
    if "scale" in words:
        data = data / scale
        variance = None if variance is None else variance / scale**2
    return out.changed(data=data.copy() if data is image.data else data, variance=variance)


def shift_image(image: SkyImage, dx: float, dy: float, *, method: str = "spline") -> SkyImage:
    """Move an image over its pixels: the value at p becomes what was at p + (dx, dy).

    Parameters
    ----------
    image : SkyImage
        The image; not changed.
    dx, dy : float
        Pixels, whole ones or parts.
    method : str
        ``"spline"`` (interpolating cubic spline), ``"lanczos3"``, ``"bilinear"`` or ``"nearest"``.

    Returns
    -------
    SkyImage
        On the same grid. Masked: pixels that come from beyond the outermost pixel centres, and those with more than a tenth of their bilinear weight on
        bad pixels. The variance is that of single pixels, by the squared weights.

    Raises
    ------
    InputError
        No good pixel stays on the grid.

    Notes
    -----
    imphot reads a quadratic B-spline off the *samples* instead of its coefficients, so that it smooths, scales no variance for that, and gives pixels
    that come from outside the value 0 without masking them.

    Examples
    --------
    >>> row = SkyImage(data=np.arange(4.0)[None, :].repeat(3, 0), mask=np.zeros((3, 4), bool), wcs=None)
    >>> shift_image(row, 0.5, 0.0, method="bilinear").data[0, :3].tolist()
    [0.5, 1.5, 2.5]
    """
    from nbmosaic.core.resampling.resample import resample_frame
    from nbmosaic.types.frame import FramePixels

    ny, nx = image.shape
    if min(ny, nx) < 2:
        raise InputError(f"{image.name or 'the image'} of {ny} x {nx} pixels cannot be resampled", hint="correct its header instead")
    good = ~image.mask
    if not good.any() or abs(dx) >= nx or abs(dy) >= ny:
        raise InputError(f"no good pixel of {image.name or 'the image'} is left on its grid after a shift by {dx:.2f}, {dy:.2f} pixels")
    level, unit = _centre_and_spread(image.data[good])
    data = np.where(good, (image.data - level) / unit, np.nan).astype(np.float32)
    variance = None if image.variance is None else _plain_variance(image.variance / unit**2, image.mask)
    pixels = FramePixels(data=data, mask=image.mask.copy(), variance=variance)
    frame = resample_frame(pixels, _shift_map(image.shape, dx, dy), method=method)
    mask = ~np.isfinite(frame.data)
    if frame.area is not None:
        mask |= frame.area < 1.0 - _MAX_BAD
    if mask.all():
        raise InputError(f"no good pixel of {image.name or 'the image'} is left on its grid after a shift by {dx:.2f}, {dy:.2f} pixels")
    moved = np.where(mask, 0.0, frame.data.astype(np.float64) * unit + level)
    spread = None
    if frame.variance is not None:
        spread = np.where(mask, 0.0, frame.variance.astype(np.float64) * unit**2)
        spread[(frame.variance >= _UNKNOWN * 1e-6) & ~mask] = np.nan
    return image.changed(data=moved, mask=mask, variance=spread)


_UNKNOWN = 1e30  # stands for a variance that is not known, so that it spreads to the pixels that draw on it and does not mask them


def _plain_variance(variance: FloatArray, mask: BoolArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.where(mask, 0.0, np.where(np.isfinite(variance) & (variance >= 0), np.minimum(variance, 1e20), _UNKNOWN)).astype(np.float32)


def _centre_and_spread(values: FloatArray) -> tuple[float, float]:
    """Median, and a power of two near the spread: single precision then loses nothing, whatever the unit of the image."""
    level = float(np.median(values))
    spread = float(np.sqrt(np.mean((values - level) ** 2)))
    return level, 2.0 ** round(math.log2(spread)) if spread > 0 and math.isfinite(spread) else 1.0


def _shift_map(shape: tuple[int, int], dx: float, dy: float) -> PixelMap:
    from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap

    box = PixelBox.of_shape(shape)
    y, x = np.mgrid[0.0 : shape[0], 0.0 : shape[1]]
    return PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, table_u=x + dx, table_v=y + dy),), error_pix=0.0)
