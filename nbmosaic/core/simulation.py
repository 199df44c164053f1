"""A simulated patch of sky as an analytic function of position, and what a camera makes of it.

The surface brightness is a closed formula of the tangent-plane offsets ``(xi, eta)`` about a centre (arcsec, `xi` to the east, `eta` to
the north): stars with one point-spread function, galaxies, and a nebula of soft clouds and filaments. It can therefore be evaluated on
any grid, and a mosaic can be compared with the truth pixel by pixel. Pixels hold the value at the pixel centre (no integration over the
pixel): with the default width of 2.7 pixels the point-spread function is well sampled, and the comparison of two grids needs no model
of the pixel's response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nbmosaic._types import BoolArray, Float32Array, FloatArray, IntArray
from nbmosaic.errors import ConfigError

__all__ = ["Detector", "Exposure", "SkyModel", "brightness", "expose", "make_sky"]

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
FLOOR = 1e-4
"""Surface brightness below which a star or galaxy is not followed any more: 1/20 000 of the default noise."""
BLOCK = 32
"""Side of the pixel blocks in which compact sources are summed: small, so that few far pixels are visited; large enough for numpy."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SkyModel:
    """Components of the simulated sky; offsets and sizes in arcsec, fluxes in units of the surface brightness times one nominal pixel.

    Attributes
    ----------
    center : tuple of float
        ICRS right ascension and declination (degrees) of the tangent point.
    extent_arcsec : tuple of float
        Width (xi) and height (eta) of the field that the components fill.
    scale_arcsec : float
        Side of the nominal pixel: surface brightness is flux per this pixel.
    fwhm_arcsec, beta : float
        Full width at half maximum of the stars; Moffat exponent, infinite for a Gaussian.
    stars : ndarray, shape (n, 3)
        ``xi, eta, flux``.
    galaxies : ndarray, shape (n, 7)
        ``xi, eta, peak, radius, axis ratio, angle (radians), exponent``: ``peak * exp(-(r / radius) ** (1 / exponent))``, the core
        softened by the seeing.
    clouds : ndarray, shape (n, 6)
        ``xi, eta, peak, sigma, axis ratio, angle``: Gaussians that the turbulence modulates.
    modes : ndarray, shape (2, n, 4)
        Plane waves ``kx, ky (radians per arcsec), phase, amplitude`` of two random fields of unit variance: the turbulence, and the
        one whose zeros are the filaments.
    turbulence, filament_peak, filament_width : float
        Standard deviation of the logarithm of the clouds; brightness of the filaments relative to the clouds; their width in the
        second field.
    """

    center: tuple[float, float]
    extent_arcsec: tuple[float, float]
    scale_arcsec: float
    fwhm_arcsec: float
    beta: float
    stars: FloatArray
    galaxies: FloatArray
    clouds: FloatArray
    modes: FloatArray
    turbulence: float = 0.75
    filament_peak: float = 1.5
    filament_width: float = 0.14


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """What the camera adds to the sky.

    Attributes
    ----------
    noise : float
        Standard deviation of the Gaussian noise (read noise and sky).
    gain : float, optional
        Electrons per unit: adds Poisson noise of the sky and background. None: Gaussian noise only.
    cosmic_rays : int
        Tracks per frame.
    bad_columns : int
        Dead columns per frame.
    bad_as : {"nan", "mask"}
        Bad columns are NaN, or hold a wrong value and are True in the mask.
    """

    noise: float = 2.0
    gain: float | None = None
    cosmic_rays: int = 4
    bad_columns: int = 1
    bad_as: Literal["nan", "mask"] = "nan"

    def __post_init__(self) -> None:
        if self.bad_as not in ("nan", "mask"):
            raise ConfigError(f"bad_as={self.bad_as!r} is not known", hint="choose nan or mask")
        if not self.noise >= 0 or (self.gain is not None and not self.gain > 0):
            raise ConfigError(
                f"noise={self.noise} must not be negative and gain={self.gain} must be positive", hint="use gain=None for no Poisson noise"
            )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Exposure:
    """Pixels of one simulated frame, with masks of what was put in.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        Sky, background plane, noise and defects.
    cosmic_rays, bad : ndarray of bool, shape (ny, nx)
        Pixels hit by a cosmic ray; pixels of bad columns.
    """

    data: Float32Array
    cosmic_rays: BoolArray
    bad: BoolArray


def make_sky(
    rng: np.random.Generator,
    *,
    center: tuple[float, float],
    extent_arcsec: tuple[float, float],
    scale_arcsec: float = 1.0,
    fwhm_arcsec: float | None = None,
    beta: float = 3.0,
    star_density: float = 1 / 600,
    faintest: float = 60.0,
    n_galaxies: int = 25,
    nebula_peak: float = 90.0,
) -> SkyModel:
    """Draw the components of a field.

    Star fluxes follow ``N(> f) ~ f ** -1.1`` from `faintest` on, cut at 3e5; a fifteenth of the stars form a cluster in the nebula.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness: the same state gives the same sky.
    center : tuple of float
        ICRS right ascension and declination (degrees).
    extent_arcsec : tuple of float
        Width and height of the field.
    scale_arcsec : float
        Side of the nominal pixel.
    fwhm_arcsec : float, optional
        Width of the stars; 2.7 nominal pixels by default.
    beta : float
        Moffat exponent; ``numpy.inf`` gives Gaussian stars.
    star_density : float
        Stars per nominal pixel.
    faintest : float
        Smallest flux.
    n_galaxies : int
        Number of galaxies.
    nebula_peak : float
        Peak surface brightness of the brightest cloud before turbulence; 0 for no nebula.

    Returns
    -------
    SkyModel
        The components.

    Examples
    --------
    >>> sky = make_sky(np.random.default_rng(1), center=(10.0, 20.0), extent_arcsec=(300.0, 200.0))
    >>> sky.stars.shape
    (100, 3)
    """
    if not beta > 1:
        raise ConfigError(f"beta={beta} gives stars of infinite flux", hint="use beta > 1, or numpy.inf for a Gaussian")
    width, height = extent_arcsec
    half = np.array([width, height]) / 2
    n = max(1, round(width * height / scale_arcsec**2 * star_density))
    heart = rng.uniform(-0.15, 0.15, 2) * 2 * half
    xy = rng.uniform(-1, 1, (n, 2)) * half
    n_cluster = n // 15
    xy[:n_cluster] = heart + rng.normal(0, 0.05 * min(width, height), (n_cluster, 2))
    flux = np.minimum(faintest * (1 - rng.random(n)) ** (-1 / 1.1), 3e5)
    g = n_galaxies
    galaxies = np.column_stack(
        [
            rng.uniform(-1, 1, (g, 2)) * half,
            rng.lognormal(3.4, 0.7, g),
            rng.uniform(1.5, 6, g) * scale_arcsec,
            rng.uniform(0.3, 1, g),
            rng.uniform(0, np.pi, g),
            rng.choice([1.0, 1.0, 1.4], g),
        ]
    )
    return SkyModel(
        center=center,
        extent_arcsec=extent_arcsec,
        scale_arcsec=scale_arcsec,
        fwhm_arcsec=2.7 * scale_arcsec if fwhm_arcsec is None else fwhm_arcsec,
        beta=beta,
        stars=np.column_stack([xy, flux]),
        galaxies=galaxies,
        clouds=_make_clouds(rng, heart, half, nebula_peak),
        modes=np.stack([_make_modes(rng, max(width, height), scale_arcsec) for _ in range(2)]),
    )


def _make_clouds(rng: np.random.Generator, heart: FloatArray, half: FloatArray, peak: float) -> FloatArray:
    """One bright core at `heart` and ever fainter, wider clouds around it."""
    n = 9 if peak > 0 else 0
    rank = np.arange(n)
    spread = np.minimum(0.12 * rank, 0.6)[:, None]
    return np.column_stack(
        [
            heart + rng.normal(0, 1, (n, 2)) * spread * half,
            peak * 0.72**rank,
            (0.10 + 0.035 * rank) * 2 * half.min(),
            rng.uniform(0.45, 1, n),
            rng.uniform(0, np.pi, n),
        ]
    )


def _make_modes(rng: np.random.Generator, size: float, scale: float, n: int = 28) -> FloatArray:
    """Plane waves of a random field of unit variance whose amplitude grows with the wavelength.

    Wavelengths run from half the field down to 24 nominal pixels: shorter ones would not be resolved by twice coarser grids.
    """
    longest = max(size / 2, 48 * scale)
    length = np.geomspace(longest, max(24 * scale, longest / 16), n)
    angle = rng.uniform(0, 2 * np.pi, n)
    amplitude = length**0.65
    amplitude *= np.sqrt(2 / np.sum(amplitude**2))
    k = 2 * np.pi / length
    return np.column_stack([k * np.cos(angle), k * np.sin(angle), rng.uniform(0, 2 * np.pi, n), amplitude])


def brightness(sky: SkyModel, xi: FloatArray, eta: FloatArray) -> FloatArray:
    """Surface brightness of the noise-free sky.

    Parameters
    ----------
    sky : SkyModel
        The components.
    xi, eta : ndarray, shape (ny, nx) or any other
        Tangent-plane offsets in arcsec (east, north); NaN where the position is not on the near side of the sky. Neighbouring elements
        should be neighbours on the sky, as in an image: compact sources are summed block by block.

    Returns
    -------
    ndarray of float64
        Flux per nominal pixel, of the shape of `xi`; 0 where the position is NaN.

    Examples
    --------
    >>> sky = make_sky(np.random.default_rng(1), center=(10.0, 20.0), extent_arcsec=(300.0, 200.0))
    >>> xi, eta, flux = sky.stars[np.argmax(sky.stars[:, 2])]
    >>> bool(brightness(sky, xi, eta) > 0.05 * flux)
    True
    """
    x, y = (np.atleast_2d(np.asarray(a, np.float64)) for a in np.broadcast_arrays(xi, eta))
    shape = np.broadcast_shapes(np.shape(xi), np.shape(eta))
    seen = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(seen, x, 1e9), np.where(seen, y, 1e9)
    grid = x.shape if x.ndim == 2 else (x.shape[0], x.size // max(1, x.shape[0]))
    x, y = x.reshape(grid), y.reshape(grid)
    image = _nebula(sky, x, y)
    stars, galaxies = _star_profiles(sky), _galaxy_reach(sky)
    for y0 in range(0, grid[0], BLOCK):
        for x0 in range(0, grid[1], BLOCK):
            part = (slice(y0, y0 + BLOCK), slice(x0, x0 + BLOCK))
            bx, by = x[part].ravel(), y[part].ravel()
            total = _add_stars(sky, stars, bx, by) + _add_galaxies(sky, galaxies, bx, by)
            image[part] += total.reshape(image[part].shape)
    return np.where(seen, image.reshape(seen.shape), 0.0).reshape(shape)


def _touching(sources: FloatArray, reach: FloatArray, x: FloatArray, y: FloatArray) -> IntArray:
    """Find the sources whose reach comes into the bounding box of the points."""
    dx = np.maximum(np.maximum(x.min() - sources[:, 0], sources[:, 0] - x.max()), 0)
    dy = np.maximum(np.maximum(y.min() - sources[:, 1], sources[:, 1] - y.max()), 0)
    return np.flatnonzero(dx * dx + dy * dy <= reach * reach)


def _star_profiles(sky: SkyModel) -> tuple[FloatArray, FloatArray, float]:
    """Peak surface brightness of every star, the radius at which it has fallen to `FLOOR`, and the core radius of the profile (arcsec)."""
    flux = sky.stars[:, 2] * sky.scale_arcsec**2
    if np.isinf(sky.beta):
        core = sky.fwhm_arcsec / FWHM_PER_SIGMA
        peak = flux / (2 * np.pi * core**2)
        return peak, core * np.sqrt(2 * np.log(np.maximum(peak / FLOOR, 1.0))), core
    core = sky.fwhm_arcsec / (2 * np.sqrt(2 ** (1 / sky.beta) - 1))
    peak = flux * (sky.beta - 1) / (np.pi * core**2)
    return peak, core * np.sqrt(np.maximum(peak / FLOOR, 1.0) ** (1 / sky.beta) - 1), core


def _add_stars(sky: SkyModel, profiles: tuple[FloatArray, FloatArray, float], x: FloatArray, y: FloatArray) -> FloatArray:
    """Sum of the stars at the points."""
    peak, reach, core = profiles
    total = np.zeros(x.size)
    for k in _touching(sky.stars, reach, x, y):
        r2 = (x - sky.stars[k, 0]) ** 2 + (y - sky.stars[k, 1]) ** 2
        inside = np.flatnonzero(r2 < reach[k] ** 2)
        q = r2[inside] / core**2
        total[inside] += peak[k] * (np.exp(-0.5 * q) if np.isinf(sky.beta) else (1 + q) ** -sky.beta)
    return total


def _galaxy_reach(sky: SkyModel) -> FloatArray:
    """Radius (arcsec) at which each galaxy has fallen to `FLOOR`."""
    peak, radius, exponent = sky.galaxies[:, 2], sky.galaxies[:, 3], sky.galaxies[:, 6]
    return radius * np.log(np.maximum(peak / FLOOR, 1.0)) ** exponent


def _add_galaxies(sky: SkyModel, reach: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Sum of the galaxies at the points."""
    total = np.zeros(x.size)
    soft = (sky.fwhm_arcsec / FWHM_PER_SIGMA) ** 2  # seeing: without it the cusp of the profile would not be sampled
    for k in _touching(sky.galaxies, reach, x, y):
        gx, gy, peak, radius, ratio, angle, exponent = sky.galaxies[k]
        u, v = _turned(x - gx, y - gy, angle)
        r = np.sqrt(u * u + (v / ratio) ** 2 + soft) / radius
        inside = np.flatnonzero(r < reach[k] / radius)
        total[inside] += peak * np.exp(-(r[inside] ** (1 / exponent)))
    return total


def _turned(dx: FloatArray, dy: FloatArray, angle: float) -> tuple[FloatArray, FloatArray]:
    """Offsets along and across the direction `angle` (radians)."""
    c, s = np.cos(angle), np.sin(angle)
    return dx * c + dy * s, dy * c - dx * s


def _nebula(sky: SkyModel, x: FloatArray, y: FloatArray) -> FloatArray:
    """Clouds times lognormal turbulence, and filaments along the zeros of a second random field."""
    envelope = np.zeros(x.shape)
    if not len(sky.clouds):
        return envelope
    for cx, cy, peak, sigma, ratio, angle in sky.clouds:
        u, v = _turned(x - cx, y - cy, angle)
        envelope += peak * np.exp(-0.5 * (u * u + (v / ratio) ** 2) / sigma**2)
    gas, web = (_random_field(modes, x, y) for modes in sky.modes)
    clouds = envelope * np.exp(sky.turbulence * gas - 0.5 * sky.turbulence**2)
    filaments = sky.filament_peak * envelope**0.8 * np.exp(-0.5 * (web / sky.filament_width) ** 2) / (1 + np.exp(-2 * gas))
    return clouds + filaments


def _random_field(modes: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Sum of the plane waves."""
    field = np.zeros(x.shape)
    for kx, ky, phase, amplitude in modes:
        field += amplitude * np.cos(kx * x + ky * y + phase)
    return field


def expose(sky_image: FloatArray, plane: tuple[float, float, float], detector: Detector, rng: np.random.Generator) -> Exposure:
    """Make a frame of the noise-free sky: background plane, noise, cosmic rays, bad columns.

    Parameters
    ----------
    sky_image : ndarray, shape (ny, nx)
        Noise-free sky at the pixel centres.
    plane : tuple of float
        ``level, slope_x, slope_y``: background ``level + slope_x * (x - xc) + slope_y * (y - yc)``, 0-based pixels, ``xc = (nx - 1) / 2``.
    detector : Detector
        Noise and defects.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    Exposure
        Pixels and masks.

    Examples
    --------
    >>> frame = expose(np.zeros((8, 8)), (100.0, 0.0, 0.0), Detector(noise=0.0, cosmic_rays=0, bad_columns=0), np.random.default_rng(1))
    >>> float(frame.data.mean())
    100.0
    """
    ny, nx = sky_image.shape
    level, slope_x, slope_y = plane
    light = sky_image + level + slope_x * (np.arange(nx) - (nx - 1) / 2) + slope_y * (np.arange(ny)[:, None] - (ny - 1) / 2)
    data = light.copy()
    if detector.gain is not None:
        data = rng.poisson(np.maximum(light, 0) * detector.gain) / detector.gain + np.minimum(light, 0)
    data += rng.normal(0, detector.noise, data.shape)
    hit = np.zeros(data.shape, bool)
    for _ in range(detector.cosmic_rays):
        rows, columns, charge = _track(rng, data.shape)
        np.add.at(data, (rows, columns), charge)
        hit[rows, columns] = True
    bad = np.zeros(data.shape, bool)
    bad[:, rng.integers(0, nx, detector.bad_columns)] = True
    data[bad] = np.nan if detector.bad_as == "nan" else 6e4
    return Exposure(data=data.astype(np.float32), cosmic_rays=hit, bad=bad)


def _track(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[IntArray, IntArray, FloatArray]:
    """Pixels of a straight cosmic-ray track of a few pixels, and the charge in each."""
    length = 1 + rng.exponential(4)
    angle = rng.uniform(0, 2 * np.pi)
    step = np.arange(0, length, 0.7)
    rows = np.rint(rng.uniform(0, shape[0]) + step * np.sin(angle)).astype(np.int64)
    columns = np.rint(rng.uniform(0, shape[1]) + step * np.cos(angle)).astype(np.int64)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    charge = rng.uniform(150, 1500) * rng.uniform(0.6, 1.4, step.size)
    return rows[inside], columns[inside], charge[inside]
