"""The image plane form of the fit: the reference, as sharp as it is, becomes a model of every pixel of the image.

``model = scale * IFT[H M exp(-2 pi i k.d) / (B P)] + bg`` with H the transform of the whole reference, no pixel of it masked. Pixels are left out after the
convolution, so the noise of what is compared is that of the image, pixel by pixel. The reasons and the measured numbers are in `nbmosaic.core.psf.image_fit`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, Float32Array, FloatArray
from nbmosaic.core.psf.fourier_window import FourierGrid, fourier_grid, reference_response
from nbmosaic.core.psf.moffat import MoffatTable
from nbmosaic.core.psf.same_arrays import SameArrays

__all__ = ["PlaneProblem", "ReferenceSpectrum", "faded_part", "reach_mask", "reference_spectrum", "unknown_light"]

_ROLL_OFF = (0.9, 0.99)
"""Frequencies (of Nyquist) between which the model is faded out; the window is 0.009 and 0.0001 there. Measured without noise: a sharp end at 0.85 rings
around bright stars (fwhm wrong by 0.007 arcsec with their discs masked); fading between 0.8 and 0.95 loses light of bright stars (fwhm -0.12 standard errors,
chi square of one golden image larger by 46); fading between 0.93 and 0.999 amplifies what the frame's edge does to the reference (bias three times larger)."""
_BORDER = 2.0
"""Weight of unknown light, see `unknown_light`."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReferenceSpectrum:
    """The reference, extended beyond its frame, transformed, and freed of its own response.

    Attributes
    ----------
    grid : FourierGrid
        Frequencies of the extended frame.
    first : tuple of int
        Pixel of the extended frame on which pixel (0, 0) of the image lies.
    sharp : ndarray of complex, shape (my, mx // 2 + 1)
        Transform of the reference divided by its response, faded out near Nyquist.
    sharp32 : ndarray of complex64
        The same in single precision, for derivatives.
    beyond : ndarray of complex
        The same of that part of the extended frame where the reference is not known (extended or filled).
    known : ndarray of bool, shape (my, mx)
        Where it is known.
    level : float
        Constant that was subtracted from the reference.
    table : MoffatTable
        Positions of the frequencies in a table of the transfer function.
    inverse : ndarray of float
        What the transform was multiplied by.
    response : ndarray of float
        Response ``B P`` of the reference.
    """

    grid: FourierGrid
    first: tuple[int, int]
    sharp: NDArray[np.complex128]
    sharp32: NDArray[np.complex64]
    beyond: NDArray[np.complexfloating]
    known: BoolArray
    level: float
    table: MoffatTable
    inverse: FloatArray
    response: FloatArray


def reference_spectrum(
    data: FloatArray,
    known: BoolArray,
    *,
    offset: tuple[int, int],
    shape: tuple[int, int],
    step_arcsec: tuple[float, float],
    margin_arcsec: float,
    hst_fwhm: float,
    hst_beta: float,
) -> ReferenceSpectrum:
    """Extend a reference beyond its frame, and transform it.

    Parameters
    ----------
    data, known : ndarray, shape (ry, rx)
        The reference, and where it is known.
    offset : tuple of int
        Pixel ``(y, x)`` of the reference on which pixel (0, 0) of the image lies.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    step_arcsec : tuple of float
        ``(dy, dx)``.
    margin_arcsec : float
        Least width of sky kept on each side of the image's frame.
    hst_fwhm, hst_beta : float
        PSF of the reference.

    Returns
    -------
    ReferenceSpectrum

    Notes
    -----
    Beyond its frame the reference is continued by its mirror image: what a galaxy cut by the edge has outside is like what it has inside, and no jump is left
    that the division by the window would amplify. The ends of the margin fade to 0, so that nothing jumps where the period closes either
    (fwhm wrong by 0.004 arcsec where it does). The last spectrum is kept, found again by the content of the arrays: the bands of a cube and the images of a
    batch have one reference.
    """
    oy, ox = offset
    ny, nx = shape
    dy, dx = step_arcsec
    psf = (float(hst_fwhm), float(hst_beta))
    return _spectrum_of(
        SameArrays.of(data, known), (int(oy), int(ox)), (int(ny), int(nx)), (float(dy), float(dx)), float(margin_arcsec), psf
    )


@functools.lru_cache(maxsize=1)
def _spectrum_of(
    reference: SameArrays,
    offset: tuple[int, int],
    shape: tuple[int, int],
    step_arcsec: tuple[float, float],
    margin_arcsec: float,
    psf: tuple[float, float],
) -> ReferenceSpectrum:
    """See `reference_spectrum`; its arrays are read only."""
    from scipy import fft

    data, known = reference.arrays()
    level = float(np.median(data[known][::7])) if known.any() else 0.0  # any level will do: it is added again
    inside = _without_holes(np.where(known, data - level, 0.0), known)
    size, first, pads, cut = _layout(data.shape, offset, shape, [int(np.ceil(margin_arcsec / step)) for step in step_arcsec])
    extended = np.pad(inside[cut], pads, mode="symmetric")
    sure = np.pad(known[cut], pads, mode="constant", constant_values=False)
    for axis in (0, 1):
        fade = np.expand_dims(_fade(size[axis], first[axis], size[axis] - first[axis] - shape[axis]), 1 - axis)
        extended *= fade
        sure &= fade == 1.0
    grid, table, response, inverse = _response(size, step_arcsec, *psf)
    sharp = fft.rfft2(extended) * inverse
    beyond = fft.rfft2(np.where(sure, 0.0, extended).astype(np.float32)) * inverse.astype(np.float32)
    sharp32 = sharp.astype(np.complex64)
    for array in (sharp, sharp32, beyond, sure):
        array.flags.writeable = False
    return ReferenceSpectrum(
        grid=grid,
        first=first,
        sharp=sharp,
        sharp32=sharp32,
        beyond=beyond,
        known=sure,
        level=level,
        table=table,
        inverse=inverse,
        response=response,
    )


class PlaneProblem:
    """Weighted pixels of the image against the convolved reference (see `nbmosaic.core.psf.image_fit_solver.FitProblem`).

    Parameters
    ----------
    spectrum : ReferenceSpectrum
    image : ndarray, shape (ny, nx)
    weight : ndarray, shape (ny, nx)
        1 / sigma of each pixel, 0 where it is left out.
    """

    def __init__(self, spectrum: ReferenceSpectrum, image: FloatArray, weight: FloatArray) -> None:
        self.spectrum = spectrum
        self.shape: tuple[int, int] = (image.shape[0], image.shape[1])
        self.weight = weight
        self.weight32: Float32Array = weight.astype(np.float32)
        self._data: FloatArray = (np.where(weight > 0.0, image, 0.0) * weight).ravel()
        self._last: tuple[float, float, FloatArray] | None = None
        self._model: tuple[FloatArray, FloatArray] | None = None
        self._turn_x, self._turn_y = -2j * np.pi * spectrum.grid.kx, -2j * np.pi * spectrum.grid.ky[:, None]

    @property
    def data(self) -> FloatArray:
        """Weighted pixels."""
        return self._data

    @property
    def level(self) -> FloatArray:
        """Response to a background of 1."""
        return self.weight.ravel()

    def transform(self, x: FloatArray) -> FloatArray:
        """Dense table of the transfer function; the last one is kept."""
        key = (float(x[2]), float(x[3]))
        if self._last is None or self._last[:2] != key:
            self._last = (*key, self.spectrum.table.transform_at(key[0], 1.0 / key[1]))
        return self._last[2]

    def moved(self, x: FloatArray) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Phase factors of a shift, along y (a column) and along x."""
        return np.exp(self._turn_y * x[1]), np.exp(self._turn_x * x[0])

    def convolved(self, x: FloatArray, spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
        """A sharp spectrum, moved and convolved, on the frame of the image; in the precision of the spectrum."""
        along_y, along_x = (a.astype(spectrum.dtype) for a in self.moved(x))
        product = spectrum * self.spectrum.table.look_up(self.transform(x)).astype(spectrum.real.dtype)
        product *= along_x
        product *= along_y
        return self.on_frame(product)

    def model(self, x: FloatArray) -> FloatArray:
        """The reference as the image would show it, of unit scale; the last one is kept."""
        if self._model is None or not np.array_equal(self._model[0], x):
            self._model = (x.copy(), self.convolved(x, self.spectrum.sharp).astype(np.float64, copy=False) + self.spectrum.level)
        return self._model[1]

    def on_frame(self, spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
        """Inverse transform, cut to the frame of the image; what is given is overwritten."""
        from scipy import fft

        (y, x), (ny, nx) = self.spectrum.first, self.shape
        # axis by axis: rows that are cut off are not transformed, and in double precision it takes half the time of irfft2
        rows = fft.ifft(spectrum, axis=0, overwrite_x=True)[y : y + ny]
        out: NDArray[np.floating] = fft.irfft(rows, n=self.spectrum.grid.shape[1], axis=1)[:, x : x + nx]
        return out

    def basis(self, x: FloatArray) -> FloatArray:
        """Weighted model of unit scale without background."""
        out: FloatArray = (self.model(x) * self.weight).ravel()
        return out

    def derivatives(self, x: FloatArray, wanted: Sequence[int]) -> list[NDArray[np.floating]]:
        """Derivatives of `basis` with respect to dx, dy, fwhm, 1 / beta; single precision halves their cost."""
        along_y, along_x = (a.astype(np.complex64) for a in self.moved(x))
        moved = self.spectrum.sharp32 * along_x
        moved *= along_y
        tables = self.spectrum.table.at(float(x[2]), 1.0 / float(x[3]))
        look_up = self.spectrum.table.look_up
        plain = moved * look_up(tables.transform).astype(np.float32) if {0, 1} & set(wanted) else moved
        factors = {
            0: lambda: plain * self._turn_x.astype(np.complex64),
            1: lambda: plain * self._turn_y.astype(np.complex64),
            2: lambda: moved * look_up(tables.by_fwhm).astype(np.float32),
            3: lambda: moved * look_up(tables.by_beta * (-1.0 / x[3] ** 2)).astype(np.float32),
        }
        return [(self.on_frame(factors[i]()) * self.weight32).ravel() for i in wanted]


def reach_mask(spectrum: ReferenceSpectrum, shape: tuple[int, int], shift: tuple[int, int], reach: tuple[int, int]) -> BoolArray:
    """Pixels of the image that lie within `reach` pixels of sky that the reference does not know.

    Parameters
    ----------
    spectrum : ReferenceSpectrum
    shape : tuple of int
        ``(ny, nx)`` of the image.
    shift : tuple of int
        ``(y, x)`` whole pixels by which the sky of the reference is moved.
    reach : tuple of int
        Half sizes ``(y, x)`` of the box around a pixel that must be known.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    known = _all_known_near(spectrum.known, reach)
    rows, columns = (np.arange(n) + f - s for n, f, s in zip(shape, spectrum.first, shift, strict=True))
    (my, mx) = known.shape
    out: BoolArray = ~known[np.ix_(np.clip(rows, 0, my - 1), np.clip(columns, 0, mx - 1))]
    out |= ((rows < 0) | (rows >= my))[:, None] | ((columns < 0) | (columns >= mx))
    return out


def _all_known_near(known: BoolArray, reach: tuple[int, int]) -> BoolArray:
    """Whether all of a box around a pixel is known; of a rectangle, what a reference without holes is, the two axes are enough."""
    from scipy import ndimage

    def shrunk(flags: BoolArray, half: int, axis: int) -> BoolArray:
        return ndimage.minimum_filter1d(flags.astype(np.uint8), 2 * half + 1, axis=axis, mode="nearest").astype(bool)

    rows, columns = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    if np.count_nonzero(known) == np.count_nonzero(rows) * np.count_nonzero(columns):
        return shrunk(rows, reach[0], 0)[:, None] & shrunk(columns, reach[1], 0)
    return shrunk(shrunk(known, reach[0], 0), reach[1], 1)


def unknown_light(problem: PlaneProblem, x: FloatArray, scale: float) -> FloatArray:
    """Factor by which the weights shrink where light comes from where the reference is not known.

    Parameters
    ----------
    problem : PlaneProblem
    x : ndarray
        Nonlinear parameters.
    scale : float

    Returns
    -------
    ndarray, shape (ny, nx)
        ``1 / (1 + (2 c / sigma)^2)`` with c the light that the mirrored part of the reference throws on the pixel: its error is of the order of c itself, and
        the same for all pixels near one cut galaxy, so such pixels must not only count as noisy but fade out.
    """
    light = _BORDER * scale * problem.convolved(x, problem.spectrum.beyond) * problem.weight32
    out: FloatArray = 1.0 / (1.0 + light.astype(np.float64) ** 2)
    return out


@functools.lru_cache(maxsize=4)
def _response(
    shape: tuple[int, int], step: tuple[float, float], hst_fwhm: float, hst_beta: float
) -> tuple[FourierGrid, MoffatTable, FloatArray, FloatArray]:
    """Frequencies, table, response of the reference and its inverse: the same for all images of a batch, and read only."""
    grid = fourier_grid(shape, step)
    response = reference_response(grid.k, grid.f, hst_fwhm=hst_fwhm, hst_beta=hst_beta)
    used = grid.f < _ROLL_OFF[1]
    inverse = np.where(used, faded_part(grid.f) / np.where(used, response, 1.0), 0.0)
    for array in (*grid[1:], response, inverse):
        array.flags.writeable = False
    return grid, MoffatTable(np.where(used, grid.k, 0.0)), response, inverse


def _layout(
    size: tuple[int, ...], offset: tuple[int, int], shape: tuple[int, int], margin: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int], list[tuple[int, int]], tuple[slice, slice]]:
    """Size of the extended frame, the image's first pixel in it, padding of the reference, and the part of the reference that lies in it."""
    total = [_even_fast(n + 2 * m) for n, m in zip(shape, margin, strict=True)]
    first = [(t - n) // 2 for t, n in zip(total, shape, strict=True)]
    pads, cut = [], []
    for t, f, o, r in zip(total, first, offset, size, strict=True):
        low, high = f - o, t - f + o - r  # pixels that the extended frame has beyond the reference
        pads.append((max(low, 0), max(high, 0)))
        cut.append(slice(max(-low, 0), r - max(-high, 0)))
    return (total[0], total[1]), (first[0], first[1]), pads, (cut[0], cut[1])


def _without_holes(data: FloatArray, known: BoolArray) -> FloatArray:
    """Unknown pixels filled by the mean of the known ones in a box of 3, 5 or 9 pixels, the smallest that holds one; farther from known sky they stay 0."""
    if known.all() or not known.any():
        return data
    out, width = data.copy(), 4
    values, weight = np.pad(np.where(known, data, 0.0), width), np.pad(known.astype(np.float64), width)
    y, x = np.nonzero(~known)
    for reach in (1, 2, 4):
        total, count = np.zeros(len(y)), np.zeros(len(y))
        for dy in range(width - reach, width + reach + 1):
            for dx in range(width - reach, width + reach + 1):
                total += values[y + dy, x + dx]
                count += weight[y + dy, x + dx]
        found = count > 0.0
        out[y[found], x[found]] = total[found] / count[found]
        y, x = y[~found], x[~found]
        if not len(y):
            break
    return out


def _fade(size: int, before: int, after: int) -> FloatArray:
    """1 but for the outer 4 pixels of the margins (half of a margin narrower than 8), where it falls to 0 as a squared sine."""
    out = np.ones(size)
    for width, part in ((before, out), (after, out[::-1])):
        n = min(width // 2, 4)
        if n:
            part[:n] = np.sin(0.5 * np.pi * (np.arange(n) + 0.5) / n) ** 2
    return out


def faded_part(f: FloatArray) -> FloatArray:
    """Part of the light that the model keeps at frequencies f (of Nyquist): 1 up to 0.9, 0 from 0.99 on, a squared cosine between."""
    low, high = _ROLL_OFF
    return np.cos(0.5 * np.pi * np.clip((f - low) / (high - low), 0.0, 1.0)) ** 2


def _even_fast(n: int) -> int:
    """Next even size that transforms fast."""
    from scipy import fft

    size = int(fft.next_fast_len(n, real=True))
    while size % 2:
        size = int(fft.next_fast_len(size + 1, real=True))
    return size
