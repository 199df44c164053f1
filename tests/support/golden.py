"""The noise-free sky and the true background planes of the Montage golden set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from astropy.wcs import WCS

from nbmosaic.core.geometry.simulated import tangent_offsets

__all__ = ["golden_sky"]


def golden_sky(folder: Path, wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Noise-free sky of the golden set at the pixel centres of a grid.

    Gaussian stars and clouds and exponential galaxies on the plane tangent at the centre of the set.
    """
    sky = json.loads((folder / "sky.json").read_text())
    xi, eta = tangent_offsets(wcs, shape, tuple(sky["center"]))
    image = np.zeros(shape)
    for x, y, peak, sigma in sky["nebula"]:
        image += peak * np.exp(-((xi - x) ** 2 + (eta - y) ** 2) / (2 * sigma**2))
    for x, y, peak, radius, ratio, angle in sky["galaxies"]:
        u = (xi - x) * np.cos(angle) + (eta - y) * np.sin(angle)
        v = ((eta - y) * np.cos(angle) - (xi - x) * np.sin(angle)) / ratio
        image += peak * np.exp(-np.hypot(u, v) / radius)
    sigma = sky["sigma_arcsec"]
    for x, y, flux in sky["stars"]:
        rows, columns = _window(xi, eta, x, y, 8 * sigma)
        if rows.stop > rows.start and columns.stop > columns.start:
            r2 = (xi[rows, columns] - x) ** 2 + (eta[rows, columns] - y) ** 2
            image[rows, columns] += flux * sky["scale"] ** 2 / (2 * np.pi * sigma**2) * np.exp(-r2 / (2 * sigma**2))
    return image


def _window(xi: np.ndarray, eta: np.ndarray, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Rows and columns around a position, by the linear map of the whole grid (grids of this set are nearly parallel tangent planes)."""
    ny, nx = xi.shape
    jacobian = np.array([[xi[0, -1] - xi[0, 0], xi[-1, 0] - xi[0, 0]], [eta[0, -1] - eta[0, 0], eta[-1, 0] - eta[0, 0]]])
    jacobian /= np.array([nx - 1, ny - 1])
    column, row = np.linalg.solve(jacobian, np.array([x - xi[0, 0], y - eta[0, 0]]))
    half = reach / np.sqrt(abs(np.linalg.det(jacobian))) + 2
    return (
        slice(max(0, int(row - half)), min(ny, int(row + half) + 2)),
        slice(max(0, int(column - half)), min(nx, int(column + half) + 2)),
    )
