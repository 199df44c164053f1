"""What pictures of an image fit show beside the images: radial profiles of a source, and spectra of what is left."""

from __future__ import annotations

import math

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.psf.moffat import moffat_profile
from nbmosaic.errors import ShapeError
from nbmosaic.types.fit_pictures import RadialProfile, ResidualSpectrum
from nbmosaic.types.photometry import ImageFitResult

__all__ = ["plane_spectrum", "residual_spectrum", "source_profile"]

_BINS = 48


def source_profile(result: ImageFitResult, *, reach_fwhm: float = 4.0) -> RadialProfile:
    """Profile of the brightest source of the model that has its surroundings in the image.

    Parameters
    ----------
    result : ImageFitResult
        A fit.
    reach_fwhm : float
        Largest radius in units of the fitted FWHM.

    Returns
    -------
    RadialProfile
    """
    model, good = result.model, result.good
    step_y, step_x = result.step_arcsec
    bg, fwhm, beta = (result[name].value for name in ("bg", "fwhm", "beta"))
    if result.method == "imphot":
        bg = 0.0  # its images have no background
    reach = reach_fwhm * max(fwhm, step_y, step_x)
    ny, nx = model.shape
    edge_y, edge_x = (min(math.ceil(fwhm / s), n // 4) for s, n in ((step_y, ny), (step_x, nx)))
    inner = np.zeros(model.shape, bool)
    inner[edge_y : ny - edge_y, edge_x : nx - edge_x] = True
    usable = good & inner & np.isfinite(model)
    if not usable.any():
        usable = good & np.isfinite(model)
    if not usable.any():
        raise ShapeError("no pixel of the fit is left to draw")
    row, column = divmod(int(np.argmax(np.where(usable, model, -np.inf))), nx)
    y0, x0 = _vertex(model, row, column)
    half_y, half_x = math.ceil(reach / step_y), math.ceil(reach / step_x)
    rows = np.arange(max(0, row - half_y), min(ny, row + half_y + 1))
    columns = np.arange(max(0, column - half_x), min(nx, column + half_x + 1))
    window = np.ix_(rows, columns)
    radius = np.hypot((rows[:, None] - y0) * step_y, (columns - x0) * step_x)
    near = good[window] & (radius <= reach) & np.isfinite(model[window])
    curve_radius = np.linspace(0.0, reach, 160)
    shape = moffat_profile(curve_radius**2, max(fwhm, 1e-3), max(beta, 1.001))
    peak = float(model[row, column]) - bg
    return RadialProfile(
        centre=(y0 + result.origin[0], x0 + result.origin[1]),
        radius=radius[near],
        image=result.image[window][near] - bg,
        model=model[window][near] - bg,
        curve_radius=curve_radius,
        curve=shape * (peak / float(shape[0])),
    )


def _vertex(model: FloatArray, row: int, column: int) -> tuple[float, float]:
    """Peak between the pixels, by parabolas along both axes."""

    def offset(left: float, middle: float, right: float) -> float:
        bend = left - 2.0 * middle + right
        return 0.5 * (left - right) / bend if math.isfinite(bend) and bend < 0.0 else 0.0

    ny, nx = model.shape
    dy = offset(*model[row - 1 : row + 2, column]) if 0 < row < ny - 1 else 0.0
    dx = offset(*model[row, column - 1 : column + 2]) if 0 < column < nx - 1 else 0.0
    return row + dy, column + dx


def residual_spectrum(result: ImageFitResult) -> ResidualSpectrum:
    """Power of image and residual in rings of spatial frequency, in units of the noise.

    Parameters
    ----------
    result : ImageFitResult
        A fit. Where it has no `sigma`, the scatter of the residuals stands for it.

    Returns
    -------
    ResidualSpectrum
    """
    from scipy import fft

    good = result.good & np.isfinite(result.residual)
    if result.sigma is None:
        spread = 1.4826 * float(np.median(np.abs(result.residual[good]))) if good.any() else 1.0
        sigma = np.full(good.shape, spread if spread > 0 else 1.0)
    else:
        sigma = result.sigma
        good &= np.isfinite(sigma) & (sigma > 0)
    count = max(int(np.count_nonzero(good)), 1)
    shape = tuple(int(fft.next_fast_len(n, real=True)) for n in good.shape)
    dy, dx = result.step_arcsec
    ky, kx = fft.fftfreq(shape[0], dy)[:, None], fft.rfftfreq(shape[1], dx)
    k = np.hypot(ky, kx)
    edges = np.linspace(0.0, 0.5 / max(dx, dy), _BINS + 1)
    ring = np.digitize(k.ravel(), edges) - 1
    inside = (ring >= 0) & (ring < _BINS)
    twice = np.where((kx == 0.0) | (kx == 0.5 / dx), 1.0, 2.0) * np.ones_like(k)  # a column of the half plane stands for two
    weight = np.bincount(ring[inside], twice.ravel()[inside], _BINS)
    power = []
    for values, level in ((result.image, _level(result)), (result.residual, 0.0)):
        safe = np.where(good, (values - level) / np.where(good, sigma, 1.0), 0.0)
        total = np.abs(fft.rfft2(safe, s=shape)) ** 2 * twice / count
        power.append(np.bincount(ring[inside], total.ravel()[inside], _BINS) / np.maximum(weight, 1.0))
    used = weight > 0
    middle = 0.5 * (edges[1:] + edges[:-1])
    return ResidualSpectrum(frequency=middle[used], image=power[0][used], residual=power[1][used])


def _level(result: ImageFitResult) -> float:
    return 0.0 if result.method == "imphot" else result["bg"].value


def plane_spectrum(image: FloatArray, good: BoolArray, shape: tuple[int, int], *, level: float = 0.0) -> FloatArray:
    """Modulus of the transform of an image, frequency 0 in the middle.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    good : ndarray of bool, shape (ny, nx)
        The others count as `level`.
    shape : tuple of int
        Shape of the transform: the image is padded with zeros.
    level : float
        Subtracted first.

    Returns
    -------
    ndarray of float, shape `shape`
        Frequency 0 at ``[shape[0] // 2, shape[1] // 2]``.
    """
    from scipy import fft

    filled = np.where(good & np.isfinite(image), image - level, 0.0)
    out: FloatArray = np.abs(fft.fftshift(fft.fft2(filled, s=shape)))
    return out
