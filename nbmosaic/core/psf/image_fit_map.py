"""Rotation and plate scale between image and reference, as two more parameters of an image fit.

A sky turned by an angle t (from x to y) and stretched by a factor 1 + m about the centre of the frame moves a source at (X, Y) from there by
``(m X - t Y, m Y + t X)``. To first order in that move the model gains ``t (X dB/ddy - Y dB/ddx) + m (X dB/ddx + Y dB/ddy)``, with the derivatives that dx
and dy have. One step of least squares with all parameters then gives t, m and what they do to the others. It is meant for what is left after regridding:
moves of up to a tenth of fwhm at the corners. A note says so where they are larger.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.core.psf.covariance import white_middle
from nbmosaic.core.psf.image_fit_plane import PlaneProblem
from nbmosaic.core.psf.image_fit_solver import Solution
from nbmosaic.core.psf.small_products import rows_by_vector
from nbmosaic.types.photometry import Estimate

__all__ = ["MAP_NAMES", "MapStep", "linear_map_step", "map_estimates"]

MAP_NAMES = ("rotation_deg", "pixel_scale_factor")
"""Names of the two parameters in a result: degrees from x to y, and size of the reference's sky in the image by its size in the reference."""
_FAR = 0.1
"""Move of a corner of the frame, in units of fwhm, above which the first order is not enough."""


class MapStep(NamedTuple):
    """A solution with the two terms.

    Attributes
    ----------
    solution : Solution
        All parameters and the residual after the step; its Jacobian has two more rows at the end.
    terms : ndarray, shape (2,)
        Rotation in radians, and plate scale less 1.
    moved : ndarray, shape (n_data,)
        What the terms add to the weighted model.
    corner : float
        Move of the corners of the frame, arcsec.
    """

    solution: Solution
    terms: FloatArray
    moved: FloatArray
    corner: float


def linear_map_step(
    problem: PlaneProblem, solution: Solution, step_arcsec: tuple[float, float], low: FloatArray, high: FloatArray
) -> MapStep:
    """One step of least squares with rotation and plate scale.

    Parameters
    ----------
    problem : PlaneProblem
    solution : Solution
        Without them.
    step_arcsec : tuple of float
        ``(dy, dx)``.
    low, high : ndarray
        Bounds of the nonlinear parameters.

    Returns
    -------
    MapStep
    """
    ny, nx = problem.shape
    y = ((np.arange(ny) - 0.5 * (ny - 1)) * step_arcsec[0]).astype(np.float32)[:, None]
    x = ((np.arange(nx) - 0.5 * (nx - 1)) * step_arcsec[1]).astype(np.float32)
    scale = np.float32(solution.linear[0])
    by_dx, by_dy = (scale * d.reshape(ny, nx) for d in problem.derivatives(solution.x, (0, 1)))
    rows: Float32Array = np.stack([(x * by_dy - y * by_dx).ravel(), (x * by_dx + y * by_dy).ravel()]).astype(np.float32)
    jacobian = np.concatenate([solution.jacobian, rows])
    gradient = rows_by_vector(jacobian, solution.residual)
    step = np.linalg.lstsq(white_middle(jacobian), gradient, rcond=1e-12)[0]
    values = np.array([*solution.linear, *solution.x])
    values[list(solution.rows)] += step[:-2]
    moved: FloatArray = np.einsum("i,ij->j", step[-2:], rows)
    after = replace(
        solution,
        linear=(float(values[0]), float(values[1])),
        x=np.clip(values[2:], low, high),
        residual=solution.residual - np.einsum("i,ij->j", step, jacobian),
        jacobian=jacobian,
    )
    corner = math.hypot(*step[-2:]) * math.hypot(float(x[-1]), float(y[-1, 0]))
    return MapStep(after, step[-2:].astype(np.float64), moved, corner)


def map_estimates(step: MapStep, covariance: FloatArray) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    """The two terms as estimates, and a note where the first order is not enough.

    Parameters
    ----------
    step : MapStep
    covariance : ndarray, shape (2, 2)
        Of rotation (radians) and plate scale.

    Returns
    -------
    estimates : dict of str to Estimate
    notes : tuple of str
    """
    degree = math.degrees(1.0)
    angle, stretch = (float(v) for v in step.terms)
    error = np.sqrt(np.diag(covariance))
    found = {
        "rotation_deg": Estimate(value=angle * degree, stderr=float(error[0]) * degree),
        "pixel_scale_factor": Estimate(value=1.0 + stretch, stderr=float(error[1])),
    }
    far = step.corner > _FAR * float(step.solution.x[2])
    note = f"the corners of the frame are {step.corner:.2g} arcsec off by rotation and plate scale: regrid the reference with them and fit again"
    return found, (note,) if far else ()
