"""Fitted offsets as angles on the sky."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.geometry.grid_alignment import pixel_steps_arcsec, sky_jacobian
from nbmosaic.types.photometry import Estimate, ImageFitResult, StarFitResult

__all__ = ["offset_on_sky", "sky_offsets"]

_NEGLIGIBLE = 1e-3


def sky_offsets(result: ImageFitResult | StarFitResult, wcs: Any, shape: tuple[int, int]) -> tuple[Estimate, Estimate]:
    """Offset of a fit as true angles towards east and north, with errors from the covariance of dx and dy.

    Parameters
    ----------
    result : ImageFitResult or StarFitResult
        The fit.
    wcs : astropy.wcs.WCS
        WCS of the image.
    shape : tuple of int
        ``(ny, nx)``.

    Returns
    -------
    tuple of Estimate
        See `offset_on_sky`.
    """
    return offset_on_sky(result["dx"], result["dy"], result.covariance[2:4, 2:4], wcs, shape)


def offset_on_sky(dx: Estimate, dy: Estimate, covariance: FloatArray, wcs: Any, shape: tuple[int, int]) -> tuple[Estimate, Estimate]:
    """Offset along the axes of an image as true angles towards east and north.

    Parameters
    ----------
    dx, dy : Estimate
        Offset along x and y, arcsec.
    covariance : ndarray, shape (2, 2)
        Of dx and dy.
    wcs : astropy.wcs.WCS
        WCS of the image.
    shape : tuple of int
        ``(ny, nx)``.

    Returns
    -------
    tuple of Estimate
        ``dra`` (times cos dec) and ``ddec``, arcsec. Each is fixed where both dx and dy were, and carries the flags of what it is made of.

    Notes
    -----
    With J the sky angles of a step of an arcsec along x and y, the offset is ``J d`` and its covariance ``J C J'``. imphot leaves out cos(dec)
    in `dra`, and maps the standard errors as if they were offsets, so that they come out negative for images with east to the left.
    """
    step_y, step_x = pixel_steps_arcsec(wcs, shape)
    matrix = sky_jacobian(wcs, shape) / np.array([step_x, step_y])
    parts = (dx, dy)
    offset = matrix @ np.array([one.value for one in parts])
    out = []
    for full, value in zip(matrix, offset, strict=True):
        # the axes are turned by some 1e-5 where the centre is off the reference point: such a part says nothing of what is fixed or flagged
        row = np.where(np.abs(full) > _NEGLIGIBLE, full, 0.0)
        used = [one for one, part in zip(parts, row, strict=True) if part]
        spread = sum(row[i] * covariance[i, j] * row[j] for i in range(2) for j in range(2) if row[i] and row[j])
        flags = dict.fromkeys(one.flag for one in used if one.flag)
        out.append(
            Estimate(
                value=float(value),
                stderr=float(np.sqrt(max(spread, 0.0))),
                fixed=all(one.fixed for one in used),
                flag=", ".join(flags),
            )
        )
    return out[0], out[1]
