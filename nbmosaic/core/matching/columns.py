"""Columns of tables in Montage's conventions, from planes on the mosaic grid.

Montage counts ``x = i - CRPIX1`` with `i` the 0-based pixel index and CRPIX1 the 1-based reference pixel; the same ``x`` is used for overlap planes
and for corrections, so the origin of its planes is the 0-based pixel (CRPIX1, CRPIX2) of the template.
"""

from __future__ import annotations

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.types import OverlapPlanes

__all__ = ["overlap_columns", "plane_covariance"]


def plane_covariance(planes: OverlapPlanes) -> FloatArray:
    """Covariance of ``level, slope_x, slope_y`` of each overlap plane, shape (n, 3, 3).

    ``noise_power * inverse(moments)``: the moments are sums over the pixels kept, the noise power is that of the residuals at zero
    frequency, because neighbouring pixels of resampled frames are correlated. Infinite where the pixels do not constrain the slopes.
    """
    covariance = np.full((len(planes), 3, 3), np.inf)
    determinant = planes.sxx * planes.syy - planes.sxy**2
    # slopes of a strip one pixel wide: the determinant is rounding error of the product
    good = (planes.n_pixels > 0) & (determinant > 1e-12 * np.maximum(planes.sxx * planes.syy, 1e-300))
    level = planes.n_pixels > 0
    covariance[level, 0, 0] = planes.noise_power[level] / planes.n_pixels[level]
    covariance[good, 0, 1:] = covariance[good, 1:, 0] = 0.0
    scale = planes.noise_power[good] / determinant[good]
    covariance[good, 1, 1] = scale * planes.syy[good]
    covariance[good, 2, 2] = scale * planes.sxx[good]
    covariance[good, 1, 2] = covariance[good, 2, 1] = -scale * planes.sxy[good]
    return covariance


def overlap_columns(planes: OverlapPlanes, *, origin: tuple[float, float]) -> dict[str, AnyArray]:
    """Columns of Montage's fits table, in its order, then ours.

    Parameters
    ----------
    planes : OverlapPlanes
        Planes in 0-based pixels of the mosaic grid.
    origin : tuple of float
        ``(CRPIX1, CRPIX2)`` of the template.

    Returns
    -------
    dict of ndarray
        Column name to values.
    """
    x0, y0 = origin
    a, b = planes.slope_x, planes.slope_y
    dx, dy = planes.xmean - x0, planes.ymean - y0
    covariance = plane_covariance(planes)
    at_origin = np.stack([np.ones_like(dx), -dx, -dy], axis=1)
    with np.errstate(invalid="ignore"):
        c_variance = np.einsum("ki,kij,kj->k", at_origin, covariance, at_origin)
    c_variance = np.where(np.isfinite(c_variance), np.maximum(c_variance, 0.0), np.inf)
    ymin, ymax, xmin, xmax = planes.box.T.astype(float)
    rectangle = planes.rectangle
    return {
        "plus": planes.plus,
        "minus": planes.minus,
        "a": a,
        "b": b,
        "c": planes.level - a * dx - b * dy,
        "crpix1": x0 - xmin,
        "crpix2": y0 - ymin,
        "xmin": xmin - x0,
        "xmax": xmax - 1 - x0,
        "ymin": ymin - y0,
        "ymax": ymax - 1 - y0,
        "xcenter": dx,
        "ycenter": dy,
        "npixel": planes.n_pixels,
        "rms": planes.rms,
        "boxx": rectangle[:, 0] - x0,
        "boxy": rectangle[:, 1] - y0,
        "boxwidth": rectangle[:, 2],
        "boxheight": rectangle[:, 3],
        "boxang": rectangle[:, 4],
        "a_err": np.sqrt(covariance[:, 1, 1]),
        "b_err": np.sqrt(covariance[:, 2, 2]),
        "c_err": np.sqrt(c_variance),
        "level": planes.level,
        "level_err": np.sqrt(covariance[:, 0, 0]),
        "nvalid": planes.n_valid,
        "nclipped": planes.n_valid - planes.n_pixels,
        "flag": planes.flag,
    }
