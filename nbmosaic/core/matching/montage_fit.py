"""Montage's own differences and plane fits, rule by rule.

Montage's tables are only reproduced by doing what Montage does, so these functions follow it where nbmosaic's own `overlaps` stage does better:

Difference (mDiff)
    Both images lie on one grid. Their common rectangle is clipped to the template with an exclusive end, so the last row and column of the template are
    never used. A pixel counts where both values are finite, both areas positive, and the sum of the areas is within a third of its usual value (mean area
    of the first image over its own pixels, plus mean area of the second over the common ones). The difference is weighted by area,
    ``2 (v1 a1 - v2 a2) / (a1 + a2)``.

Plane (mFitplane)
    20 iterations of clipping at 2 standard deviations, started from all pixels: stars enter the first plane. Each iteration fits the pixels within
    2 rms of the previous plane, then takes the rms of the pixels within 2 (previous) rms of the new one. For Gaussian noise of standard deviation
    s the rms tends to 0.73 s. Positions are 0-based pixels minus 1-based CRPIX.

Box
    Smallest rectangle around the first and last pixel of each row, between pixel centres; outliers count.

The native stage starts from a median, clips at 3 sigma, corrects the rms for the clipping and measures what the plane's errors are; these numbers have none of
that. The one deviation: where the data are a plane to rounding errors, the iteration stops. Montage clips the rounding errors, is left with two pixels, and
returns a plane that is wrong (0.9 instead of 0.1 for a ramp of 8 x 8 pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.errors import InputError
from nbmosaic.types.box import PixelBox

__all__ = ["AREA_CUT", "ITERATIONS", "Difference", "PlaneFit", "common_rectangle", "difference", "fit_plane", "subtract_plane"]

AREA_CUT = 0.333
"""Largest relative deviation of the summed areas from their mean."""
ITERATIONS = 20
"""Iterations of the plane fit."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Difference:
    """Difference of two images on their common pixels.

    Attributes
    ----------
    data : ndarray of float64, shape (ny, nx)
        Difference, NaN where not kept; cropped to the kept pixels.
    area : ndarray of float64 or None
        Sum of the areas, 0 where not kept.
    offset : tuple of int
        ``(y, x)`` of the first pixel in the windows.
    pixel_range : tuple of float
        Smallest and largest value times area of both images.
    difference_range : tuple of float
        Smallest and largest absolute difference.
    """

    data: FloatArray
    area: FloatArray | None
    offset: tuple[int, int]
    pixel_range: tuple[float, float]
    difference_range: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneFit:
    """Plane ``a x + b y + c`` of an image and its bounding box, in x = 0-based column - CRPIX1, y = 0-based row - CRPIX2.

    Attributes
    ----------
    a, b, c : float
        Slopes (unit per pixel) and level at the reference pixel.
    rms : float
        Of the clipped residuals: 0.73 of the standard deviation for Gaussian noise.
    npixel : int
        Pixels in the last rms.
    xmin, xmax, ymin, ymax, xcenter, ycenter : float
        Extent and mean position of the pixels of the last fit.
    boxx, boxy, boxwidth, boxheight, boxang : float
        Smallest rectangle around all pixels: centre, sides (pixels) and angle (degrees).
    """

    a: float
    b: float
    c: float
    rms: float
    npixel: int
    xmin: float
    xmax: float
    ymin: float
    ymax: float
    xcenter: float
    ycenter: float
    boxx: float
    boxy: float
    boxwidth: float
    boxheight: float
    boxang: float


def common_rectangle(first: PixelBox, second: PixelBox, template: tuple[int, int]) -> PixelBox:
    """Pixels of the template that mDiff compares.

    Parameters
    ----------
    first, second : PixelBox
        Pixels of the images on the template.
    template : tuple of int
        Shape ``(ny, nx)`` of the template.

    Returns
    -------
    PixelBox
        Empty where the images do not overlap.

    Examples
    --------
    >>> common_rectangle(PixelBox(0, 9, 0, 9), PixelBox(2, 12, -3, 12), (10, 10))
    PixelBox(ymin=2, ymax=9, xmin=0, xmax=9)
    """
    return first.intersection(second).intersection(PixelBox(0, template[0] - 1, 0, template[1] - 1))


def difference(
    plus: FloatArray,
    minus: FloatArray,
    *,
    plus_area: FloatArray | None = None,
    minus_area: FloatArray | None = None,
    factor: float = 1.0,
    want_area: bool = True,
    out: FloatArray | None = None,
) -> Difference | None:
    """Area-weighted difference of two images over the same pixels, by mDiff's rules.

    Parameters
    ----------
    plus, minus : ndarray of float64, shape (ny, nx)
        Windows of the images.
    plus_area, minus_area : ndarray of float64, shape (ny, nx), optional
        Their areas, both or none.
    factor : float
        Factor on `minus`.
    want_area : bool
        Whether to return the summed areas.
    out : ndarray of float64, shape (ny, nx), optional
        Buffer for the difference; the result is then a view of it.

    Returns
    -------
    Difference or None
        None if no pixel is kept.

    Raises
    ------
    InputError
        Only one area is given.

    Examples
    --------
    >>> import numpy as np
    >>> difference(np.array([[3.0, 4.0]]), np.array([[1.0, np.nan]])).data
    array([[2.]])
    """
    from nbmosaic.core.matching import montage_kernels as kernels

    if (plus_area is None) != (minus_area is None):
        raise InputError("the areas of both images are needed, or none")
    areas = int(plus_area is not None)
    none = np.ones((1, 1))
    planes = [none if p is None else np.ascontiguousarray(p, float) for p in (plus, plus_area, minus, minus_area)]
    shape = planes[0].shape
    if 0 in shape:
        return None
    mean = kernels.area_means(*planes, areas)
    if not mean > 0:
        return None
    data = np.empty(shape) if out is None else out
    area = np.empty(shape if want_area else (1, 1))
    box, limits = np.empty(4, np.int64), np.empty(4)
    kernels.subtract(*planes, areas, float(factor), mean, AREA_CUT, data, area, box, limits)
    ymin, ymax, xmin, xmax = (int(v) for v in box)
    if ymax <= ymin:
        return None
    where = (slice(ymin, ymax), slice(xmin, xmax))
    low, high, small, large = (float(v) for v in limits)
    return Difference(
        data=data[where],
        area=area[where] if want_area else None,
        offset=(ymin, xmin),
        pixel_range=(low, high),
        difference_range=(small, large),
    )


def fit_plane(
    image: FloatArray,
    crpix: tuple[float, float],
    *,
    level_only: bool = False,
    border: int = 0,
    iterations: int = ITERATIONS,
    scratch: FloatArray | None = None,
) -> PlaneFit | None:
    """Plane and bounding box of an image by mFitplane's rules.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Usually a difference; NaN where blank.
    crpix : tuple of float
        ``(CRPIX1, CRPIX2)``.
    level_only : bool
        A mean instead of a plane.
    border : int
        Pixels left out of the fit on every side (the box keeps them).
    iterations : int
        Of the clipping; 0 gives box and extent of all pixels, and a plane of zeros.
    scratch : ndarray of float64, shape (3, m), optional
        Memory for pixels near the clipping limit; a quarter of the pixels is plenty.

    Returns
    -------
    PlaneFit or None
        None where the pixels do not determine a plane.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[:8.0, :8.0]
    >>> fit = fit_plane(1 + 0.1 * x + 0.3 * y, (0.0, 0.0))
    >>> round(fit.a, 12), round(fit.b, 12), round(fit.c, 12), fit.npixel
    (0.1, 0.3, 1.0, 64)
    """
    from nbmosaic.core.matching import montage_kernels as kernels

    ny, nx = image.shape
    if 0 in image.shape or 2 * border >= min(ny, nx):
        return None
    if scratch is None:
        scratch = np.empty((3, image.size // 4 + 64))
    out = np.empty(kernels.N_RESULT)
    rows: tuple[IntArray, IntArray] = (np.empty(ny, np.int64), np.empty(ny, np.int64))
    data = image if image.dtype == np.float64 and image.dtype.isnative and image.strides[1] == 8 else np.array(image, float)
    cx, cy = float(crpix[0]), float(crpix[1])
    if kernels.clip_fit(_strided(data), (cx, cy), int(border), int(level_only), int(iterations), *rows, scratch, out):
        return None
    a, b, c, rms, n, x0, x1, y0, y1, xm, ym, bx, by, width, height, angle = (float(v) for v in out)
    return PlaneFit(
        a=a, b=b, c=c + a * cx + b * cy, rms=rms, npixel=int(n), xmin=x0 - cx, xmax=x1 - cx, ymin=y0 - cy, ymax=y1 - cy,
        xcenter=xm - cx, ycenter=ym - cy, boxx=bx, boxy=by, boxwidth=width, boxheight=height, boxang=angle,
    )  # fmt: skip


def _strided(data: FloatArray) -> FloatArray:
    """A view with the layout that the kernel was compiled for: rows anywhere, columns contiguous (one compiled version serves all windows)."""
    return np.lib.stride_tricks.as_strided(data, shape=data.shape, strides=data.strides, writeable=False)


def subtract_plane(
    image: FloatArray,
    area: FloatArray | None,
    crpix: tuple[float, float],
    plane: tuple[float, float, float],
    first_row: int = 0,
    *,
    in_place: bool = False,
) -> tuple[FloatArray, FloatArray | None]:
    """Rows of an image without its background, by mBackground's rules.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Rows of the image.
    area : ndarray of float64, shape (ny, nx), optional
        Their areas.
    crpix : tuple of float
        ``(CRPIX1, CRPIX2)``.
    plane : tuple of float
        ``a, b, c`` of the plane ``a x + b y + c`` in 0-based pixels minus 1-based CRPIX.
    first_row : int
        0-based row of the first row given.
    in_place : bool
        Put the results into `image` and `area`.

    Returns
    -------
    tuple of ndarray
        Image and area; NaN and 0 where the image is not finite or the area is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> subtract_plane(np.array([[5.0, 5.0]]), None, (0.0, 0.0), (1.0, 0.0, 2.0))[0]
    array([[3., 2.]])
    """
    from nbmosaic.core.matching import montage_kernels as kernels

    none = np.ones((1, 1))
    out, covered = (None if p is None else p if in_place else np.empty(p.shape) for p in (image, area))
    assert out is not None
    abc = (float(plane[0]), float(plane[1]), float(plane[2]))
    planes = (_strided(image), none if area is None else _strided(area))
    results = (out, none if covered is None else covered)
    kernels.level_rows(*planes, int(area is not None), abc, float(crpix[0]), float(crpix[1] - first_row), *results)
    return out, covered
