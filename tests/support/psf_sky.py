"""Small simulated fields for point spread function fits: one sky, a sharp reference and blurred images of it, all truth known.

The sky is galaxies (Sersic) and stars on a fine grid that extends beyond the field on all sides, so that galaxies are cut by the edge of the frame as in life.
The step of the fine grid is a fifth of that of the image: sampling the convolved, windowed sky at every fifth pixel is exact, no interpolation takes part.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from nbmosaic.core.psf.fourier_window import fourier_grid, resampling_window
from nbmosaic.core.psf.moffat import MoffatTable
from nbmosaic.types.photometry import FitFrame

__all__ = ["FIELDS", "PsfField", "Seeing", "SkyImages"]

STEP = 0.2
FINE = 5


@dataclass(frozen=True, kw_only=True)
class Seeing:
    """What the image does to the sky."""

    scale: float = 0.95
    bg: float = 0.05
    dx: float = 0.07
    dy: float = -0.05
    fwhm: float = 0.62
    beta: float = 2.8
    rotation_deg: float = 0.0
    pixel_scale_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PsfField:
    """What is on the sky and how well it is seen; fluxes are in units of the image, per pixel of 0.2 arcsec."""

    seed: int = 1
    n: int = 160
    margin: int = 30  # image pixels of sky beyond the field
    density: float = 0.1  # galaxies per square arcsec
    faintest: float = 0.5  # flux of the faintest galaxy
    brightest: float = 2000.0
    slope: float = 0.7  # N(> flux) goes as flux**-slope
    stars: tuple[tuple[float, float, float], ...] = ()  # x, y in units of the field, flux
    sigma: float = 0.15
    reference_sigma: float = 0.02  # white noise of the reference before the window, per image pixel
    edge: int = 0  # masked rim of the image, pixels
    holes: tuple[tuple[float, float, float], ...] = ()  # x, y in units of the field, radius in pixels
    seeing: Seeing = field(default_factory=Seeing)


FIELDS = {
    "rich": PsfField(seed=3, n=200, stars=((0.3, 0.62, 450.0), (0.7, 0.3, 120.0)), edge=4),
    "sparse": PsfField(seed=5, n=200, density=0.015, brightest=300.0, stars=((0.55, 0.4, 450.0),), edge=2, holes=((0.2, 0.8, 14.0),)),
    "faint": PsfField(
        seed=7,
        n=200,
        sigma=0.6,
        stars=((0.6, 0.7, 900.0),),
        holes=((0.3, 0.6, 18.0), (0.7, 0.25, 9.0)),
        edge=6,
        seeing=Seeing(dx=0.1, dy=0.12, beta=3.2),
    ),
    "galaxies": PsfField(seed=11, n=280),
}
"""A rich field with masked edges; a sparse one with a hole; one of low signal with holes and edges; one without stars."""


class SkyImages:
    """The sky of a field, and images of it."""

    def __init__(self, config: PsfField) -> None:
        self.config = config
        size = (config.n + 2 * config.margin) * FINE
        size = fft.next_fast_len(size, real=True)
        self._fine = STEP / FINE
        self._grid = fourier_grid((size, size), (self._fine, self._fine))
        self._table = MoffatTable(np.minimum(self._grid.k, 6.0))
        self._first = config.margin * FINE
        rng = np.random.default_rng(config.seed)
        sky = _galaxies(config, size, self._fine, rng)
        self.star_positions = []
        for x, y, flux in config.stars:
            ix, iy = (self._first + round(v * config.n * FINE) for v in (x, y))
            sky[iy, ix] += flux
            self.star_positions.append(((iy - self._first) / FINE, (ix - self._first) / FINE))
        self._sky = fft.rfft2(sky * FINE**2)  # per pixel of the image
        self._window = resampling_window(self._grid.k * (2 * STEP))

    def _moffat(self, fwhm: float, beta: float) -> np.ndarray:
        """Transform of a Moffat, 0 beyond 6 cycles per arcsec (nothing that matters here is sharper)."""
        return np.where(self._grid.k < 6.0, self._table.look_up(self._table.transform_at(fwhm, beta)), 0.0)

    def _sample(self, spectrum: np.ndarray, margin: int) -> np.ndarray:
        image = fft.irfft2(spectrum, s=self._grid.shape)
        first, n = self._first - margin * FINE, self.config.n + 2 * margin
        return image[first::FINE, first::FINE][:n, :n].copy()

    def clean_reference(self, margin: int = 0) -> np.ndarray:
        """The reference without noise, on the grid of the image and `margin` pixels beyond it."""
        return self._sample(self._sky * self._moffat(0.085, 1.6) * self._window, margin)

    def reference(self, seed: int | None = None, margin: int = 0, variance: bool = False) -> FitFrame:
        """The reference; with noise where a seed is given. Its variance is that of a pixel, after the window."""
        data = self.clean_reference(margin)
        plane = None
        window = resampling_window(fourier_grid(data.shape, (STEP, STEP)).f)
        if seed is not None:
            noise = np.random.default_rng(seed).normal(0.0, self.config.reference_sigma, data.shape)
            data += fft.irfft2(fft.rfft2(noise) * window, s=data.shape)
        if variance:
            plane = np.full(data.shape, self.config.reference_sigma**2 * _mean_square(window, data.shape[1]))
        return FitFrame(data=data, mask=np.zeros(data.shape, bool), variance=plane, step_arcsec=(STEP, STEP), name="reference")

    def clean_image(self, seeing: Seeing | None = None) -> np.ndarray:
        """The image without noise."""
        s = self.config.seeing if seeing is None else seeing
        phase = np.exp(-2j * np.pi * (self._grid.kx * s.dx + self._grid.ky[:, None] * s.dy))
        spectrum = self._sky * self._moffat(s.fwhm, s.beta) * phase
        if s.rotation_deg == 0.0 and s.pixel_scale_factor == 1.0:
            return s.scale * self._sample(spectrum, 0) + s.bg
        return s.scale * self._turned(spectrum, s) + s.bg

    def _turned(self, spectrum: np.ndarray, s: Seeing) -> np.ndarray:
        """Sampled where the centre of the field is kept, and everything else turned and stretched about it: image offset = factor * R(angle) * sky offset."""
        from scipy import ndimage

        fine = fft.irfft2(spectrum, s=self._grid.shape)
        n = self.config.n
        y, x = np.mgrid[:n, :n] - (n - 1) / 2
        x, y = x - s.dx / STEP, y - s.dy / STEP  # turned about the moved centre
        c, q = np.cos(np.deg2rad(s.rotation_deg)) / s.pixel_scale_factor, np.sin(np.deg2rad(s.rotation_deg)) / s.pixel_scale_factor
        u, v = c * x + q * y, -q * x + c * y
        centre = self._first + FINE * (n - 1) / 2
        return ndimage.map_coordinates(fine, [centre + FINE * v + s.dy / self._fine, centre + FINE * u + s.dx / self._fine], order=5)

    def mask(self, star_radius: float = 0.0) -> np.ndarray:
        """Mask of the image: rim and holes; with a radius in pixels, the stars too."""
        n = self.config.n
        y, x = np.mgrid[:n, :n]
        bad = np.minimum(np.minimum(x, n - 1 - x), np.minimum(y, n - 1 - y)) < self.config.edge
        for hx, hy, r in self.config.holes:
            bad |= (x - hx * n) ** 2 + (y - hy * n) ** 2 < r * r
        if star_radius:
            bad |= self.star_mask(star_radius)
        return bad

    def star_mask(self, radius: float) -> np.ndarray:
        """Discs around the stars, on the grid of the reference."""
        n = self.config.n
        y, x = np.mgrid[:n, :n]
        bad = np.zeros((n, n), bool)
        for sy, sx in self.star_positions:
            bad |= (x - sx) ** 2 + (y - sy) ** 2 < radius * radius
        return bad

    def image(
        self, seed: int | None = None, *, clean: np.ndarray | None = None, star_radius: float = 0.0, seeing: Seeing | None = None
    ) -> FitFrame:
        """The image; with noise where a seed is given."""
        data = self.clean_image(seeing) if clean is None else clean.copy()
        if seed is not None:
            data += np.random.default_rng(seed).normal(0.0, self.config.sigma, data.shape)
        bad = self.mask(star_radius)
        data[bad] = np.nan
        return FitFrame(data=data, mask=bad, variance=np.full(data.shape, self.config.sigma**2), step_arcsec=(STEP, STEP), name="image")


def _mean_square(half: np.ndarray, nx: int) -> float:
    """Mean square over the full plane of a filter given on the half plane."""
    weight = np.full(half.shape[1], 2.0)
    weight[0] = 1.0
    if nx % 2 == 0:
        weight[-1] = 1.0
    return float((half**2 * weight).sum() / (half.shape[0] * nx))


def _galaxies(config: PsfField, size: int, step: float, rng: np.random.Generator) -> np.ndarray:
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
