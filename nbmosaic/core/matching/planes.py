"""Plane fits of the differences of overlapping frames.

The difference of two frames that see the same sky is the difference of their backgrounds, plus noise, plus what did not cancel: stars in different
seeing, cosmic rays, bad columns. So the plane is fitted with clipping: a start from the median and the MAD of a regular subsample, then least squares
over the pixels within `sigma` standard deviations of the last plane, until the pixels kept no longer change.

What is kept is not only the plane. Its moments (number, mean position, centred second moments of the pixels kept) make it a sufficient statistic: the
sum of squared residuals of any other plane over the same pixels is known from them. The global model (`nbmosaic.core.matching.background`) is
therefore exact without seeing a pixel again.

Two numbers describe the residuals. `rms` is their standard deviation, corrected for the clipping: Gaussian noise cut at k standard deviations keeps
the variance ``t = 1 - 2 k phi(k) / (2 Phi(k) - 1)``. `noise_power` is what errors need: resampling correlates neighbouring pixels, so the variance of a mean
over n pixels is not ``rms**2 / n`` but ``noise_power / n`` with the power at zero frequency. It is measured from the sums of the residuals in blocks of 32 x 32
pixels, or, in overlaps too small for that, taken from the rms and the known noise gain of the resampling. A clipped plane is an M-estimator with
``psi(r) = r`` inside the limits and 0 outside; its variance is ``S_psi / (E psi')**2`` with ``E psi' = P t`` (P the part kept), so the power of the clipped
residuals is divided by ``t**2``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nbmosaic._types import Float32Array, FloatArray, IntArray
from nbmosaic.errors import InputError, ShapeError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.matching import OverlapFlag, OverlapPlanes

__all__ = ["FULL_AREA", "OverlapFit", "fit_overlap", "planes_from_boxes", "stack_fits", "truncated_variance", "warmup"]

_MIN_BLOCKS = 60
"""Blocks needed to measure the noise power: its error is then ``sqrt(2 / 60)`` = 18 %, that of a standard error 9 %."""
FULL_AREA = 0.999
"""Area above which a pixel counts as fully covered (areas are float32 sums)."""
_MONTAGE_RMS = 0.7299
"""The rms of Montage's fits table over the true standard deviation of Gaussian noise: fixed point of ``q**2 = truncated_variance(2 q)``, its cut at 2 rms."""


class OverlapFit(NamedTuple):
    """Plane fit of one pair; the fields are the columns of `nbmosaic.types.matching.OverlapPlanes`."""

    plus: int
    minus: int
    level: float
    slope_x: float
    slope_y: float
    n_pixels: float
    n_valid: float
    xmean: float
    ymean: float
    sxx: float
    sxy: float
    syy: float
    rms: float
    noise_power: float
    box: tuple[int, int, int, int]
    rectangle: tuple[float, float, float, float, float]
    flag: int


def truncated_variance(k: float) -> float:
    """Variance of a unit Gaussian cut at ``-k`` and ``k``: ``1 - 2 k phi(k) / (2 Phi(k) - 1)``.

    Examples
    --------
    >>> round(truncated_variance(3.0), 5)
    0.97334
    """
    if k > 30:
        return 1.0
    return 1.0 - 2.0 * k * math.exp(-0.5 * k * k) / math.sqrt(2.0 * math.pi) / math.erf(k / math.sqrt(2.0))


def fit_overlap(
    plus: Float32Array,
    minus: Float32Array,
    box: PixelBox,
    *,
    plus_index: int = 0,
    minus_index: int = 1,
    plus_area: Float32Array | None = None,
    minus_area: Float32Array | None = None,
    slope: bool = True,
    sigma: float | None = 3.0,
    max_iterations: int = 10,
    min_pixels: int = 50,
    noise_gain: float = 1.0,
) -> OverlapFit:
    """Fit a plane (or a level) to `plus` - `minus` with iterated clipping.

    Parameters
    ----------
    plus, minus : ndarray of float32, shape (ny, nx)
        The two frames over `box` (views are fine); NaN where there is none.
    box : PixelBox
        Pixels of the mosaic grid that the windows cover.
    plus_index, minus_index : int
        Indices of the frames, passed on to the result.
    plus_area, minus_area : ndarray of float32, shape (ny, nx), optional
        Coverage of the pixels; only pixels with area > 0.999 in both count, unless fewer than `min_pixels` would be left.
    slope : bool
        Plane (True) or level only.
    sigma : float or None
        Clipping limit in standard deviations; None: no clipping.
    max_iterations : int
        Largest number of passes.
    min_pixels : int
        Pairs with fewer valid pixels are flagged `OverlapFlag.FEW_PIXELS` and not fitted.
    noise_gain : float
        ``C0 / S0`` of the resampling (variance of a pixel over noise power at zero frequency), mean of the two frames.

    Returns
    -------
    OverlapFit
        Plane at the mean position of the pixels kept, their moments, rms, noise power, boxes and flags. Swapping `plus` and `minus` changes the
        sign of the plane and nothing else, to the bit.

    Raises
    ------
    ShapeError
        If the windows do not have the shape of the box.
    InputError
        If an option is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.types.box import PixelBox
    >>> y, x = np.mgrid[:40, :30].astype(np.float32)
    >>> fit = fit_overlap(3 + 0.5 * x, 1 + 0.25 * y, PixelBox(100, 140, 200, 230))
    >>> round(fit.level, 6), round(fit.slope_x, 6), round(fit.slope_y, 6), fit.xmean, fit.ymean
    (4.375, 0.5, -0.25, 214.5, 119.5)
    """
    from nbmosaic.core.matching import plane_kernels as kernels

    if sigma is not None and not sigma > 0:
        raise InputError(f"sigma is {sigma}, expected a positive number or None (no clipping)")
    if max_iterations < 1 or min_pixels < 1 or not noise_gain > 0:
        raise InputError(f"max_iterations={max_iterations}, min_pixels={min_pixels}, noise_gain={noise_gain}: all must be positive")
    shape = box.shape
    use_area = plus_area is not None or minus_area is not None
    (p, sp), (m, sm) = _flat(plus, shape), _flat(minus, shape)
    # an area that is missing on one side only is 1 where the data are: the data themselves cannot say so, hence a constant row with stride 0
    ones = _ones(shape[1] if use_area else 1)
    pa, spa = (ones, 0) if plus_area is None else _flat(plus_area, shape)
    ma, sma = (ones, 0) if minus_area is None else _flat(minus_area, shape)
    clip = math.inf if sigma is None else float(sigma)
    truncation = truncated_variance(clip)
    out = np.empty(kernels.N_RESULT)
    area_min = FULL_AREA if use_area else -1.0
    kernels.fit_pair(
        p, sp, m, sm, pa, spa, ma, sma, shape, area_min, int(slope), clip, truncation, int(max_iterations), int(min_pixels), out
    )  # fmt: skip
    return _row(
        out, box, plus_index, minus_index, slope=slope, truncation=truncation, kept=math.erf(clip / math.sqrt(2.0)), gain=noise_gain
    )


def _row(
    out: FloatArray, box: PixelBox, plus_index: int, minus_index: int, *, slope: bool, truncation: float, kept: float, gain: float
) -> OverlapFit:
    """Result of the kernel in grid pixels, with the noise power."""
    from nbmosaic.core.matching import plane_kernels as kernels

    r = out.tolist()
    n, rms = r[kernels.R_N], r[kernels.R_RMS]
    blocks = r[kernels.R_BLOCKS]
    if blocks >= _MIN_BLOCKS:
        lost = (3 if slope else 1) * r[kernels.R_BLOCK_PIXELS] / n  # degrees of freedom that the fit took from the blocks
        # a block sees lags up to its side only: first order in the width of the resampling kernel, from its gain per axis
        finite = (1.0 - (1.0 - math.sqrt(gain)) / kernels.BLOCK) ** 2
        power = r[kernels.R_BLOCK_POWER] / (blocks - lost) / truncation**2 / finite
    else:
        power = rms**2 * (kept * (1.0 / gain - 1.0) + 1.0 / truncation)
    flag = int(r[kernels.R_FLAG])
    failed = bool(flag & OverlapFlag.FEW_PIXELS)
    edge = r[kernels.R_BOX : kernels.R_BOX + 4]
    y0, y1, x0, x1 = (0, 0, 0, 0) if failed else (int(e) for e in edge)
    cx, cy, width, height, angle = r[kernels.R_RECTANGLE : kernels.R_RECTANGLE + 5]
    xm, ym, sxx, sxy, syy = r[kernels.R_MOMENTS : kernels.R_MOMENTS + 5]
    sx, sy = r[kernels.R_SLOPE : kernels.R_SLOPE + 2]
    return OverlapFit(
        plus=plus_index,
        minus=minus_index,
        level=r[kernels.R_LEVEL],
        slope_x=sx,
        slope_y=sy,
        n_pixels=n,
        n_valid=r[kernels.R_VALID],
        xmean=xm + box.xmin,
        ymean=ym + box.ymin,
        sxx=sxx,
        sxy=sxy,
        syy=syy,
        rms=rms,
        noise_power=power,
        box=(y0 + box.ymin, y1 + box.ymin, x0 + box.xmin, x1 + box.xmin),
        rectangle=(cx + box.xmin, cy + box.ymin, width, height, angle),
        flag=flag,
    )


def _flat(window: Float32Array, shape: tuple[int, int]) -> tuple[Float32Array, int]:
    """The memory of a window as a flat read-only array, and the distance of its rows; always one numba type, without a copy if rows are contiguous."""
    if window.shape != shape:
        raise ShapeError(f"window has shape {window.shape}, its box {shape}")
    if window.dtype != np.float32 or not window.dtype.isnative or window.strides[1] != 4 or window.strides[0] % 4 or window.strides[0] < 0:
        window = np.ascontiguousarray(window, dtype=np.float32)
    ny, nx = shape
    stride = window.strides[0] // 4 if ny > 1 else nx
    length = (ny - 1) * stride + nx if window.size else 0
    flat: Float32Array = np.lib.stride_tricks.as_strided(window, shape=(length,), strides=(4,), writeable=False)
    return flat, stride


def _ones(n: int) -> Float32Array:
    """Read-only row of ones."""
    ones = np.ones(n, np.float32)
    ones.flags.writeable = False
    return ones


def stack_fits(fits: Sequence[OverlapFit]) -> OverlapPlanes:
    """The fits as columns, in the order given."""
    index = ("plus", "minus", "flag")
    widths = {"box": 4, "rectangle": 5}
    columns: dict[str, Any] = {}
    for k, name in enumerate(OverlapFit._fields):
        dtype = np.int64 if name in index or name == "box" else np.float64
        column = np.array([fit[k] for fit in fits], dtype=dtype)
        columns[name] = column.reshape(len(fits), widths[name]) if name in widths else column
    return OverlapPlanes(**columns)


def planes_from_boxes(
    *,
    plus: IntArray,
    minus: IntArray,
    a: FloatArray,
    b: FloatArray,
    c: FloatArray,
    boxx: FloatArray,
    boxy: FloatArray,
    boxwidth: FloatArray,
    boxheight: FloatArray,
    boxang: FloatArray,
    npixel: FloatArray,
    rms: FloatArray,
    bounds: IntArray | None = None,
    origin: tuple[float, float] = (0.0, 0.0),
) -> OverlapPlanes:
    """Planes with box moments from the columns of a bare Montage fits table.

    Solved with weights ``"pixels"``, they minimise Montage's own objective: the integral of the squared plane difference over the bounding box, so the
    moments are those of a rotated rectangle, ``A = w h``, ``Vxx = (w^2 cos^2 + h^2 sin^2) / 12`` and so on, about its centre.

    Parameters
    ----------
    plus, minus : ndarray of int64
        Frame indices (not the ids of the table).
    a, b, c : ndarray of float64
        Plane ``a x + b y + c`` in the coordinates of the table: 0-based pixel minus 1-based CRPIX of the template.
    boxx, boxy, boxwidth, boxheight, boxang : ndarray of float64
        Bounding boxes, degrees.
    npixel, rms : ndarray of float64
        Pixels and rms of the table. The rms is that of 2-sigma clipping repeated to its fixed point, 0.73 of the standard deviation; the noise power
        is corrected for that (the columns are kept as given), but knows nothing of correlated noise.
    bounds : ndarray of int64, shape (n, 4), optional
        ``ymin, ymax, xmin, xmax`` of the overlaps, half-open, in coordinates of the table; default: the boxes around the rectangles.
    origin : tuple of float
        ``(x0, y0)`` added to the coordinates of the table: with the default the result lives in them, with the template's CRPIX in 0-based grid pixels.

    Returns
    -------
    OverlapPlanes
        Flagged `OverlapFlag.FROM_BOX`; `n_pixels` is the box area, `n_valid` the number of the table.

    Examples
    --------
    >>> import numpy as np
    >>> row = dict(a=1e-3, b=0.0, c=5.0, boxx=10.0, boxy=0.0, boxwidth=12.0, boxheight=6.0, boxang=0.0, npixel=72.0, rms=1.0)
    >>> planes = planes_from_boxes(plus=np.array([0]), minus=np.array([1]), **{k: np.array([v]) for k, v in row.items()})
    >>> float(planes.level[0]), float(planes.sxx[0])
    (5.01, 864.0)
    """
    n = len(plus)
    theta = np.deg2rad(np.asarray(boxang, float))
    cos, sin = np.cos(theta), np.sin(theta)
    w, h = np.asarray(boxwidth, float), np.asarray(boxheight, float)
    area = w * h
    bx, by = np.asarray(boxx, float), np.asarray(boxy, float)
    x0, y0 = origin
    if bounds is None:
        dx, dy = (np.abs(w * cos) + np.abs(h * sin)) / 2, (np.abs(w * sin) + np.abs(h * cos)) / 2
        box = np.stack([np.floor(by - dy), np.ceil(by + dy) + 1, np.floor(bx - dx), np.ceil(bx + dx) + 1], axis=1)
    else:
        box = np.asarray(bounds, float)
    true_rms = np.asarray(rms, float) / _MONTAGE_RMS
    return OverlapPlanes(
        plus=np.asarray(plus, np.int64),
        minus=np.asarray(minus, np.int64),
        level=np.asarray(a, float) * bx + np.asarray(b, float) * by + np.asarray(c, float),
        slope_x=np.array(a, float),
        slope_y=np.array(b, float),
        n_pixels=area,
        n_valid=np.array(npixel, float),
        xmean=bx + x0,
        ymean=by + y0,
        sxx=area * (w**2 * cos**2 + h**2 * sin**2) / 12,
        sxy=area * (w**2 - h**2) * sin * cos / 12,
        syy=area * (w**2 * sin**2 + h**2 * cos**2) / 12,
        rms=np.array(rms, float),
        noise_power=true_rms**2,
        box=np.round(box + np.array([y0, y0, x0, x0])).astype(np.int64),
        rectangle=np.stack([bx + x0, by + y0, w, h, np.asarray(boxang, float)], axis=1),
        flag=np.full(n, int(OverlapFlag.FROM_BOX), np.int64),
    )


def warmup() -> None:
    """Compile the kernel with the types that `fit_overlap` really passes."""
    window = np.zeros((4, 4), np.float32)
    fit_overlap(window, window, PixelBox(0, 4, 0, 4), min_pixels=1)
