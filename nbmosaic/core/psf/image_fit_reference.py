"""What the noise of the reference does to an image fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, Float32Array, FloatArray
from nbmosaic.core.psf.fourier_window import resampling_window
from nbmosaic.core.psf.image_fit_plane import PlaneProblem

__all__ = ["half_plane_mean", "reference_noise_pull", "reference_noise_scores", "reference_noise_variance"]


def half_plane_mean(half: FloatArray, nx: int) -> float:
    """Mean over the whole plane of a quantity given in the half plane of a real transform.

    Parameters
    ----------
    half : ndarray, shape (ny, nx // 2 + 1)
    nx : int
        Width of the image.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> half_plane_mean(np.ones((4, 3)), 4)
    1.0
    """
    total = 2.0 * half.sum() - half[:, 0].sum()
    if nx % 2 == 0:
        total -= half[:, -1].sum()
    return float(total / (half.shape[0] * nx))


def reference_noise_variance(problem: PlaneProblem, x: FloatArray, scale: float, variance: FloatArray) -> FloatArray:
    """Variance that the noise of the reference has in the model of each pixel.

    Parameters
    ----------
    problem : PlaneProblem
    x : ndarray
        Nonlinear parameters.
    scale : float
    variance : ndarray, shape (ny, nx)
        Variance of the pixels of the reference, after the window, on the frame of the image.

    Returns
    -------
    ndarray, shape (ny, nx)

    Notes
    -----
    The noise is white before the window B, so its power is ``v B^2 / <B^2>`` per frequency; the model multiplies it by ``scale^2 (M / (B P))^2``.
    """
    spectrum = problem.spectrum
    nx = spectrum.grid.shape[1]
    window = resampling_window(spectrum.grid.f)
    kernel = spectrum.table.look_up(problem.transform(x)) * spectrum.inverse * window
    out: FloatArray = variance * (scale**2 * half_plane_mean(kernel**2, nx) / half_plane_mean(window**2, nx))
    return out


def reference_noise_pull(problem: PlaneProblem, x: FloatArray, scale: float, variance: FloatArray, rows: Sequence[int]) -> FloatArray:
    """What the noise of the reference does to the normal equations on average, to be added to them.

    Parameters
    ----------
    problem : PlaneProblem
    x, scale, variance
        As in `reference_noise_variance`.
    rows : sequence of int
        Parameters wanted: 0 scale, 1 bg, 2 dx, 3 dy, 4 fwhm, 5 1 / beta.

    Returns
    -------
    ndarray, shape (len(rows),)

    Notes
    -----
    A noisy regressor is attenuated: chi square expects ``R = sum w^2 Var(model)`` more than without that noise, and less of it for a broader PSF and a
    smaller scale, so the minimum is pulled there (errors in variables; Nakamura 1990, Biometrika 77, 127: the corrected score). The minimum of chi square
    less R is not, and half the gradient of R is returned.
    """
    spectrum = problem.spectrum
    nx = spectrum.grid.shape[1]
    window = resampling_window(spectrum.grid.f)
    tables, look_up = spectrum.table.at(float(x[2]), 1.0 / float(x[3])), spectrum.table.look_up
    common = (spectrum.inverse * window) ** 2
    size = float((problem.weight**2 * variance).sum()) / half_plane_mean(window**2, nx)
    transform = look_up(tables.transform)
    gains = {
        0: lambda: scale * transform**2,
        4: lambda: scale**2 * transform * look_up(tables.by_fwhm),
        5: lambda: scale**2 * transform * look_up(tables.by_beta * (-1.0 / x[3] ** 2)),
    }
    return np.array([size * half_plane_mean(common * gains[row](), nx) if row in gains else 0.0 for row in rows])


def reference_noise_scores(
    problem: PlaneProblem, x: FloatArray, scale: float, jacobian: Float32Array, variance: FloatArray, used: BoolArray
) -> Float32Array:
    """Response of ``J' (model)`` to unit white noise in each pixel of the reference before the window, times its standard deviation.

    Parameters
    ----------
    problem : PlaneProblem
    x, scale
        As in `reference_noise_variance`.
    jacobian : ndarray, shape (n, n_data)
        Of the weighted model.
    variance : ndarray, shape (ny, nx)
        As in `reference_noise_variance`.
    used : ndarray of bool, shape (ny, nx)
        Pixels of the image that take part.

    Returns
    -------
    ndarray, shape (n, my * mx)
        Rows R such that ``R R'`` is what the reference adds to the middle of the sandwich.
    """
    from scipy import fft

    spectrum, shape = problem.spectrum, problem.spectrum.grid.shape
    window = resampling_window(spectrum.grid.f)
    along_y, along_x = problem.moved(x)
    kernel: NDArray[np.complex64] = (
        np.conj(along_y * along_x) * (spectrum.table.look_up(problem.transform(x)) * spectrum.inverse * window)
    ).astype(np.complex64)
    (y, x0), (ny, nx) = spectrum.first, problem.shape
    typical = float(np.median(variance[used]))
    sigma = np.full(shape, np.sqrt(typical), np.float32)
    sigma[y : y + ny, x0 : x0 + nx] = np.sqrt(variance)
    sigma *= np.float32(scale / np.sqrt(half_plane_mean(window**2, shape[1])))
    rows = []
    for row in jacobian:
        frame = np.zeros(shape, np.float32)
        frame[y : y + ny, x0 : x0 + nx] = row.reshape(ny, nx) * problem.weight32
        rows.append((fft.irfft2(fft.rfft2(frame) * kernel, s=shape) * sigma).ravel())
    return np.stack(rows) if rows else np.zeros((0, sigma.size), np.float32)
