"""Light at frequencies that the regridded reference does not have: what bright points add to an image beyond Nyquist's frequency.

The window of the resampling ends at Nyquist's frequency, and the model fades out before it. An image has a little more: for a star of fwhm 3.3 pixels and
beta 2.8 the transfer function is 0.001 there, and what lies beyond is folded back by the pixels. Where a star tells the seeing, that makes fwhm too small by an
angle that does not depend on its flux, and is largest for a star in the centre of a pixel. Without noise, a star of flux 1230 and a noise of 0.15 a pixel:

=============  ==========================  ========================
fwhm, pixels   error without this, arcsec  with it
=============  ==========================  ========================
3.26           -0.00022 (0.22 sigma)       0.00000 (0.001 sigma)
2.6            -0.0023 (3.6 sigma)         0.00002 (0.03 sigma)
2.25           -0.0070 (14 sigma)          0.00008 (0.15 sigma)
1.9            -0.019 (47 sigma)           0.00006 (0.15 sigma)
=============  ==========================  ========================

A quarter of it comes from the frequencies where the model fades out, the rest is folded.

The spectrum of a point is flat, so what is known of it tells what is not. Of every bright peak the amplitude is taken in two rings of frequency; a Gaussian
through them (flat for a star, falling for all that is resolved) is continued beyond, times the transfer function, and folded as the pixels fold it. The fit
is then corrected for that light by Newton steps. It takes 1 to 6 ms of an image of 320 x 320 pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import FloatArray, IntArray
from nbmosaic.core.psf.image_fit_plane import PlaneProblem, faded_part
from nbmosaic.core.psf.moffat import moffat_core_radius, moffat_transfer

__all__ = ["Point", "bright_points", "light_beyond"]

_RINGS = ((0.60, 0.15), (0.76, 0.14))
"""Centre and half width of the two rings, in units of Nyquist's frequency: the model is complete up to 0.9."""
_FAINTEST = 0.3
"""Peak of the missing light in standard deviations of a pixel below which a source is let be: a star of 0.9 moves fwhm by 0.06 standard errors."""
_MOST = 30
"""Sources looked at: each costs 0.3 ms."""
_HALF = 16
"""Half size of the stamp of a source, pixels."""
_LAST = 2.5
"""Frequency up to which light is folded, in units of Nyquist's."""


class Point(NamedTuple):
    """A bright source of the reference: place in pixels of the extended frame, and the amplitudes in the two rings."""

    y: float
    x: float
    near: float
    far: float


def bright_points(problem: PlaneProblem, x: FloatArray, scale: float, noise: float) -> tuple[Point, ...]:
    """Sources which have light beyond the frequencies of the model that would be seen.

    Parameters
    ----------
    problem : PlaneProblem
    x : ndarray
        Nonlinear parameters ``dx, dy, fwhm, 1 / beta``, arcsec.
    scale : float
    noise : float
        Standard deviation of the weighted residuals.

    Returns
    -------
    tuple of Point
    """
    peak = float(_Transfer(x, _step(problem)).stamp(0.0, 0.0, 1.0, 1.0).max())
    if not (scale > 0.0 and peak > 0.0 and noise > 0.0):
        return ()
    faintest = _FAINTEST * noise / peak
    places = _bright_peaks(problem, x, scale, faintest)
    if not len(places):
        return ()
    rings, (sy, sx), found = _ring_spectra(problem), _origin(problem, x), []
    for y, x0 in places.tolist():
        least = faintest / (scale * float(problem.weight[y, x0]))
        point = _measured(problem, rings, (y + sy, x0 + sx), least)
        if point is not None:
            found.append(point)
    return tuple(found)


def light_beyond(problem: PlaneProblem, points: Sequence[Point], x: FloatArray, scale: float) -> FloatArray:
    """Light of points at frequencies beyond those of the model.

    Parameters
    ----------
    problem : PlaneProblem
    points : sequence of Point
    x : ndarray
        As in `bright_points`.
    scale : float

    Returns
    -------
    ndarray, shape (ny, nx)
        To be added to the model; 0 but within 16 pixels of the points.
    """
    out = np.zeros(problem.shape)
    transfer, (sy, sx) = _Transfer(x, _step(problem)), _origin(problem, x)
    for point in points:
        y, x0 = point.y - sy, point.x - sx
        _add_stamp(out, (y, x0), scale * transfer.stamp(y % 1.0, x0 % 1.0, point.near, point.far))
    return out


def _step(problem: PlaneProblem) -> tuple[float, float]:
    """``(dy, dx)`` arcsec."""
    grid = problem.spectrum.grid
    return 0.5 / abs(float(grid.ky[grid.shape[0] // 2])), 0.5 / float(grid.kx[-1])


def _origin(problem: PlaneProblem, x: FloatArray) -> tuple[float, float]:
    """Place on the extended frame of the sky that falls on pixel (0, 0) of the image."""
    dy, dx = _step(problem)
    return problem.spectrum.first[0] - float(x[1]) / dy, problem.spectrum.first[1] - float(x[0]) / dx


def _bright_peaks(problem: PlaneProblem, x: FloatArray, scale: float, faintest: float) -> IntArray:
    """Local maxima of the model which could be points of more than `faintest` (flux by the noise of a pixel), the brightest first; shape (n, 2)."""
    model = problem.model(x) - problem.spectrum.level
    dy, dx = _step(problem)
    height = (
        dy * dx * (1.0 / float(x[3]) - 1.0) / (np.pi * moffat_core_radius(float(x[2]), 1.0 / float(x[3])) ** 2)
    )  # peak of a point of unit flux
    signal = model * (scale * problem.weight)
    inner = signal[1:-1, 1:-1]
    y, x0 = np.nonzero(inner > 0.8 * faintest * height)  # between pixels a peak is lower than in the centre of one
    y, x0 = y + 1, x0 + 1
    highest = np.ones(len(y), bool)
    for up in (-1, 0, 1):
        for right in (-1, 0, 1):
            highest &= model[y, x0] >= model[y + up, x0 + right]
    y, x0 = y[highest], x0[highest]
    order = np.argsort(-signal[y, x0], kind="stable")[:_MOST]
    return np.stack([y[order], x0[order]], axis=1)


def _ring_spectra(problem: PlaneProblem) -> tuple[NDArray[np.complexfloating], ...]:
    """Sharp spectrum in the two rings and in both, normalised: the sum over the whole plane of a point of unit flux is 1, and 2 in both."""
    weights = _ring_weights(problem.spectrum.grid.shape)
    near, far = (problem.spectrum.sharp32 * w.astype(np.float32) for w in weights)
    return near, far, near + far


@functools.lru_cache(maxsize=4)
def _ring_weights(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    from scipy import fft

    f = 2.0 * np.hypot(fft.rfftfreq(shape[1]), fft.fftfreq(shape[0])[:, None])
    twice = np.full(f.shape[1], 2.0)  # a column stands for two, but for the first and the last
    twice[0] = twice[-1] = 1.0
    out = []
    for centre, half in _RINGS:
        ring = np.where(abs(f - centre) < half, np.cos(0.5 * np.pi * (f - centre) / half) ** 2, 0.0) * twice
        ring /= ring.sum()
        ring.flags.writeable = False
        out.append(ring)
    return out[0], out[1]


def _measured(
    problem: PlaneProblem, rings: tuple[NDArray[np.complexfloating], ...], start: tuple[float, float], least: float
) -> Point | None:
    """Amplitudes of a point near `start` of the extended frame, at the place where those of both rings together are largest; None below `least`."""
    ny, nx = problem.spectrum.grid.shape
    wy, wx = 2.0 * np.pi * np.fft.fftfreq(ny), 2.0 * np.pi * np.fft.rfftfreq(nx)
    y, x = start
    if _amplitude(rings[1], wy * y, wx * x) < 0.3 * least:  # half a pixel off, 0.4 of the amplitude is left
        return None
    for _ in range(4):
        along_y, along_x = _waves(wy * y), _waves(wx * x)
        # row by row: a product of matrices would start threads (see `small_products`); vecdot conjugates its first vector
        columns = np.stack([along_x, 1j * wx * along_x, -(wx**2) * along_x]).astype(np.complex64).conj()
        summed = np.vecdot(columns[:, None], rings[2])
        moments = (np.stack([along_y, 1j * wy * along_y, -(wy**2) * along_y]) @ summed.T).real
        if max(moments[2, 0], moments[0, 2]) >= 0.0:
            return None
        move = np.clip([-moments[1, 0] / moments[2, 0], -moments[0, 1] / moments[0, 2]], -0.5, 0.5)
        y, x = y + float(move[0]), x + float(move[1])
        if np.abs(move).max() < 0.1:  # what is left is of its third power
            break
    if max(abs(y - start[0]), abs(x - start[1])) > 1.5:
        return None
    near, far = (_amplitude(ring, wy * y, wx * x) for ring in rings[:2])
    return Point(y, x, near, min(far, near)) if far > least and near > 0.0 else None


def _amplitude(ring: NDArray[np.complexfloating], along_y: NDArray[np.floating], along_x: NDArray[np.floating]) -> float:
    """Sum of a spectrum over the whole plane, turned by phases along both axes."""
    return float((_waves(along_y) @ np.vecdot(_waves(-along_x).astype(np.complex64), ring)).real)


def _waves(phase: NDArray[np.floating]) -> NDArray[np.complex128]:
    out: NDArray[np.complex128] = np.exp(1j * phase.astype(np.float64))
    return out


class _Transfer:
    """What a point adds beyond the model's frequencies, on a stamp.

    Parameters
    ----------
    x : ndarray
        Nonlinear parameters, arcsec.
    step : tuple of float
        ``(dy, dx)``, arcsec.
    """

    def __init__(self, x: FloatArray, step: tuple[float, float]) -> None:
        nodes = np.linspace(0.85, _LAST, 40)
        finest = 0.5 / min(step)  # f is 1 at Nyquist's frequency along x; see fourier_grid
        logs = np.log(np.maximum(moffat_transfer(nodes * finest, fwhm=float(x[2]), beta=1.0 / float(x[3])), 1e-300))
        f, self._wave = _folded(_HALF)
        self._f2 = f * f
        self._spectrum: FloatArray = np.where(f < _LAST, np.exp(np.interp(f, nodes, logs)), 0.0) * (1.0 - faded_part(f))

    def stamp(self, dy: float, dx: float, near: float, far: float) -> FloatArray:
        """Light of a point at pixel (16 + dy, 16 + dx), whose amplitudes in the two rings are given; shape (32, 32)."""
        from scipy import fft

        n = 2 * _HALF
        (a, _), (b, _) = _RINGS
        slope = np.log(max(far, 1e-3 * near) / near) / (b * b - a * a) if far < near else 0.0
        amplitude = far * np.exp(slope * (self._f2 - b * b))
        (wy, wx) = self._wave
        phase = np.exp(-1j * wy * (_HALF + dy))[:, None] * np.exp(-1j * wx * (_HALF + dx))
        folded = (self._spectrum * amplitude * phase).reshape(3, n, 3, n).sum(axis=(0, 2))
        out: FloatArray = fft.ifft2(folded).real
        return out


@functools.lru_cache(maxsize=2)
def _folded(half: int) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
    """Frequencies of a stamp and of those folded on them, by Nyquist's, and in radians a pixel along both axes."""
    n = 2 * half
    waves = 2.0 * np.pi * (np.arange(-1, 2)[:, None] + np.fft.fftfreq(n)).ravel()
    f = np.hypot(waves, waves[:, None]) / np.pi
    f.flags.writeable = waves.flags.writeable = False
    return f, (waves, waves)


def _add_stamp(image: FloatArray, centre: tuple[float, float], stamp: FloatArray) -> None:
    """Add a stamp whose pixel (16, 16) lies on the whole part of the centre; in place."""
    y0, x0 = int(np.floor(centre[0])) - _HALF, int(np.floor(centre[1])) - _HALF
    (ny, nx), n = image.shape, len(stamp)
    y1, y2, x1, x2 = max(y0, 0), min(y0 + n, ny), max(x0, 0), min(x0 + n, nx)
    if y1 < y2 and x1 < x2:
        image[y1:y2, x1:x2] += stamp[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0]
