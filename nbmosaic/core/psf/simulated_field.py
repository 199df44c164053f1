"""Simulated fields for fits of the point spread function: one sky, a sharp reference and blurred images of it, all truth known.

The sky is galaxies (Sersic) and stars on a fine grid that extends beyond the field on all sides, so that galaxies are cut by the edge of the frame as in life.
The step of the fine grid is a fifth of that of the image: sampling the convolved, windowed sky at every fifth pixel is exact, no interpolation takes part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.psf.fourier_window import fourier_grid, resampling_window
from nbmosaic.core.psf.image_fit_reference import half_plane_mean
from nbmosaic.core.psf.moffat import MoffatTable
from nbmosaic.errors import ConfigError
from nbmosaic.types.photometry import FitFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MovedStar", "PsfField", "Seeing", "SkyImages"]

STEP = 0.2
"""Pixel of the images, arcsec."""
FINE = 5
"""Pixels of the fine grid in one of the image."""
_SHARPEST = 6.0
"""Cycles per arcsec beyond which transforms are 0: nothing that matters here is sharper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing:
    """What an image does to the sky.

    Attributes
    ----------
    scale, bg : float
        Flux of the image by that of the reference; background.
    dx, dy : float
        Offset, arcsec.
    fwhm, beta : float
        Moffat PSF, arcsec and exponent.
    rotation_deg, pixel_scale_factor : float
        The image is turned and stretched about its centre by these.
    """

    scale: float = 0.95
    bg: float = 0.05
    dx: float = 0.07
    dy: float = -0.05
    fwhm: float = 0.62
    beta: float = 2.8
    rotation_deg: float = 0.0
    pixel_scale_factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedStar:
    """A star with a proper motion: the reference saw it elsewhere.

    Attributes
    ----------
    x, y : float
        Where the reference has it, in units of the field.
    flux : float
        Sum over pixels.
    dx, dy : float
        Where the images have it, less that, arcsec.
    """

    x: float
    y: float
    flux: float
    dx: float
    dy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PsfField:
    """What is on the sky, and how well it is seen; fluxes are in units of the image, summed over pixels.

    Attributes
    ----------
    seed : int
        Of the galaxies.
    n : int
        Side of the images, pixels of 0.2 arcsec.
    margin : int
        Pixels of sky beyond the field.
    density : float
        Galaxies per square arcsec.
    faintest, brightest, slope : float
        Number counts: ``N(> flux)`` goes as ``flux**-slope`` between the two.
    stars : tuple
        ``(x, y, flux)``, places in units of the field.
    moved : tuple of MovedStar
        Stars that moved between reference and images.
    sigma, reference_sigma : float
        Noise of a pixel of the images; that of the reference before the window.
    edge : int
        Masked rim of the images, pixels.
    holes : tuple
        Masked discs of the images: ``(x, y)`` in units of the field, radius in pixels.
    seeing : Seeing
        Of an image where none is given.
    """

    seed: int = 1
    n: int = 160
    margin: int = 30
    density: float = 0.1
    faintest: float = 0.5
    brightest: float = 2000.0
    slope: float = 0.7
    stars: tuple[tuple[float, float, float], ...] = ()
    moved: tuple[MovedStar, ...] = ()
    sigma: float = 0.15
    reference_sigma: float = 0.02
    edge: int = 0
    holes: tuple[tuple[float, float, float], ...] = ()
    seeing: Seeing = field(default_factory=Seeing)


class SkyImages:
    """The sky of a field, and images of it.

    Parameters
    ----------
    config : PsfField
        What is on the sky.

    Attributes
    ----------
    star_positions : list of tuple of float
        ``(y, x)`` of the stars that did not move, in pixels of the image at offset 0.

    Raises
    ------
    ConfigError
        A field too small.

    Examples
    --------
    >>> sky = SkyImages(PsfField(n=40, margin=10, stars=((0.5, 0.5, 100.0),)))
    >>> sky.star_positions, sky.image(seed=1).shape
    ([(20.0, 20.0)], (40, 40))
    """

    def __init__(self, config: PsfField) -> None:
        from scipy import fft

        if config.n < 16 or config.margin < 5:
            raise ConfigError(f"a field of {config.n} pixels with a margin of {config.margin} is too small", hint="use 16 and 5 or more")
        self.config = config
        size = int(fft.next_fast_len((config.n + 2 * config.margin) * FINE, real=True))
        self._fine = STEP / FINE
        self._grid = fourier_grid((size, size), (self._fine, self._fine))
        self._table = MoffatTable(np.minimum(self._grid.k, _SHARPEST))
        self._first = config.margin * FINE
        sky = _galaxies(config, size, self._fine, np.random.default_rng(config.seed))
        self.star_positions: list[tuple[float, float]] = []
        for x, y, flux in config.stars:
            iy, ix = self._place(y), self._place(x)
            sky[iy, ix] += flux
            self.star_positions.append(((iy - self._first) / FINE, (ix - self._first) / FINE))
        reference = sky.copy() if config.moved else sky
        for star in config.moved:
            iy, ix = self._place(star.y), self._place(star.x)
            reference[iy, ix] += star.flux
            sky[iy + round(star.dy / self._fine), ix + round(star.dx / self._fine)] += star.flux
        self._sky = fft.rfft2(sky * FINE**2)  # per pixel of the image
        self._reference = fft.rfft2(reference * FINE**2) if config.moved else self._sky
        self._window = resampling_window(self._grid.k * (2 * STEP))

    def _place(self, value: float) -> int:
        """Pixel of the fine grid."""
        return self._first + round(value * self.config.n * FINE)

    def _moffat(self, fwhm: float, beta: float) -> FloatArray:
        """Transform of a Moffat."""
        return np.where(self._grid.k < _SHARPEST, self._table.look_up(self._table.transform_at(fwhm, beta)), 0.0)

    def _sample(self, spectrum: NDArray[np.complex128], margin: int) -> FloatArray:
        from scipy import fft

        image = fft.irfft2(spectrum, s=self._grid.shape)
        first, n = self._first - margin * FINE, self.config.n + 2 * margin
        out: FloatArray = image[first::FINE, first::FINE][:n, :n].copy()
        return out

    def clean_reference(self, margin: int = 0) -> FloatArray:
        """Reference without noise, on the grid of the image and `margin` pixels beyond it: a PSF of 0.085 arcsec, beta 1.6, and Blackman's window."""
        return self._sample(self._reference * self._moffat(0.085, 1.6) * self._window, margin)

    def reference(self, seed: int | None = None, margin: int = 0, *, variance: bool = False) -> FitFrame:
        """Give the reference; with noise where a seed is given. Its variance is that of a pixel, after the window."""
        from scipy import fft

        data = self.clean_reference(margin)
        plane = None
        window = resampling_window(fourier_grid(data.shape, (STEP, STEP)).f)
        if seed is not None:
            noise = np.random.default_rng(seed).normal(0.0, self.config.reference_sigma, data.shape)
            data += fft.irfft2(fft.rfft2(noise) * window, s=data.shape)
        if variance:
            plane = np.full(data.shape, self.config.reference_sigma**2 * half_plane_mean(window**2, data.shape[1]))
        return FitFrame(data=data, mask=np.zeros(data.shape, bool), variance=plane, step_arcsec=(STEP, STEP), name="reference")

    def clean_image(self, seeing: Seeing | None = None) -> FloatArray:
        """Give an image without noise."""
        s = self.config.seeing if seeing is None else seeing
        phase = np.exp(-2j * np.pi * (self._grid.kx * s.dx + self._grid.ky[:, None] * s.dy))
        spectrum = self._sky * self._moffat(s.fwhm, s.beta) * phase
        if s.rotation_deg == 0.0 and s.pixel_scale_factor == 1.0:
            return s.scale * self._sample(spectrum, 0) + s.bg
        return s.scale * self._turned(spectrum, s) + s.bg

    def _turned(self, spectrum: NDArray[np.complex128], s: Seeing) -> FloatArray:
        """Sampled where the moved centre of the field is kept, and everything else turned and stretched about it."""
        from scipy import fft, ndimage

        fine = fft.irfft2(spectrum, s=self._grid.shape)
        n = self.config.n
        y, x = np.mgrid[:n, :n] - (n - 1) / 2
        x, y = x - s.dx / STEP, y - s.dy / STEP
        c, q = np.cos(np.deg2rad(s.rotation_deg)) / s.pixel_scale_factor, np.sin(np.deg2rad(s.rotation_deg)) / s.pixel_scale_factor
        u, v = c * x + q * y, -q * x + c * y
        centre = self._first + FINE * (n - 1) / 2
        places = [centre + FINE * v + s.dy / self._fine, centre + FINE * u + s.dx / self._fine]
        out: FloatArray = ndimage.map_coordinates(fine, places, order=5)
        return out

    def mask(self, star_radius: float = 0.0) -> BoolArray:
        """Mask of an image: rim and holes; with a radius in pixels, the stars too."""
        n = self.config.n
        y, x = np.mgrid[:n, :n]
        bad: BoolArray = np.minimum(np.minimum(x, n - 1 - x), np.minimum(y, n - 1 - y)) < self.config.edge
        for hx, hy, r in self.config.holes:
            bad |= (x - hx * n) ** 2 + (y - hy * n) ** 2 < r * r
        if star_radius:
            bad |= self.star_mask(star_radius)
        return bad

    def star_mask(self, radius: float) -> BoolArray:
        """Discs around the stars, on the grid of the image at offset 0."""
        n = self.config.n
        y, x = np.mgrid[:n, :n]
        bad = np.zeros((n, n), bool)
        for sy, sx in self.star_positions:
            bad |= (x - sx) ** 2 + (y - sy) ** 2 < radius * radius
        return bad

    def image(
        self, seed: int | None = None, *, clean: FloatArray | None = None, star_radius: float = 0.0, seeing: Seeing | None = None
    ) -> FitFrame:
        """Give an image; with noise where a seed is given. Masked pixels are NaN."""
        data = self.clean_image(seeing) if clean is None else clean.copy()
        if seed is not None:
            data += np.random.default_rng(seed).normal(0.0, self.config.sigma, data.shape)
        bad = self.mask(star_radius)
        data[bad] = np.nan
        return FitFrame(data=data, mask=bad, variance=np.full(data.shape, self.config.sigma**2), step_arcsec=(STEP, STEP), name="image")


def _galaxies(config: PsfField, size: int, step: float, rng: np.random.Generator) -> FloatArray:
    """Sersic profiles at random places; sizes shrink with flux as in deep fields."""
    sky = np.zeros((size, size))
    count = int(config.density * (size * step) ** 2)
    u = rng.uniform(size=count)
    low, high = config.faintest**-config.slope, config.brightest**-config.slope
    flux = (high + u * (low - high)) ** (-1.0 / config.slope)
    for f in flux:
        x, y = rng.integers(10, size - 10, 2)
        radius = np.clip(0.45 * (f / 200.0) ** 0.175 * np.exp(rng.normal() * 0.3), 0.06, 1.6)
        index, ratio, angle = np.clip(rng.normal(1.3, 0.8), 0.5, 4.0), rng.uniform(0.3, 1.0), rng.uniform(0.0, np.pi)
        h = int(min(max(12, 8 * radius / step), 200))
        y0, y1, x0, x1 = max(0, y - h), min(size, y + h + 1), max(0, x - h), min(size, x + h + 1)
        yy, xx = np.mgrid[y0:y1, x0:x1]
        xx, yy = (xx - x) * step, (yy - y) * step
        a, b = np.cos(angle) * xx + np.sin(angle) * yy, (np.cos(angle) * yy - np.sin(angle) * xx) / ratio
        r = np.sqrt(a * a + b * b + (0.5 * step) ** 2) / radius
        p = np.exp(-(2 * index - 1 / 3 + 0.009876 / index) * (r ** (1 / index) - 1.0))
        sky[y0:y1, x0:x1] += f * p / p.sum()
    return sky
