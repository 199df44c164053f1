"""Simulated mosaic exposures with a known sky: Gaussian stars on detectors with distortion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

__all__ = ["Sky", "aperture", "centroid", "expose", "make_sky"]

SCALE = 0.5 / 3600


@dataclass(frozen=True)
class Sky:
    """Stars: positions in degrees and fluxes; Gaussians of `sigma` pixels."""

    ra: np.ndarray
    dec: np.ndarray
    flux: np.ndarray
    sigma: float = 1.6


def make_sky(centre: tuple[float, float], n: int = 60, seed: int = 5, width: float = 0.06) -> Sky:
    """Stars on a jittered lattice, so that none is blended."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n)))
    y, x = np.divmod(np.arange(side * side), side)
    dx, dy = (
        (x - (side - 1) / 2 + rng.uniform(-0.2, 0.2, side * side)) / side,
        (y - (side - 1) / 2 + rng.uniform(-0.2, 0.2, side * side)) / side,
    )
    ra = (centre[0] + dx * width / np.cos(np.radians(centre[1]))) % 360
    return Sky(ra, centre[1] + dy * width, rng.uniform(2e4, 8e4, side * side))


def detector(k: int, centre: tuple[float, float], shape: tuple[int, int], *, ctype: str = "SIP") -> fits.Header:
    """Header of detector k of a 2 by 2 camera with gaps."""
    ny, nx = shape
    x0, y0 = ((k % 2) - 1) * (nx + 12) + 6, (k // 2 - 1) * (ny + 16) + 8
    angle = np.radians((-0.3, 0.2, 0.1, -0.2)[k])
    cos, sin = SCALE * np.cos(angle), SCALE * np.sin(angle)
    cards = {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "CRVAL1": centre[0],
        "CRVAL2": centre[1],
        "CRPIX1": -x0 + 0.37,
        "CRPIX2": -y0 + 0.61,
    }
    cards |= {"CD1_1": -cos, "CD1_2": sin, "CD2_1": sin, "CD2_2": cos}
    if ctype == "SIP":
        cards |= {"A_ORDER": 3, "B_ORDER": 3, "A_3_0": 2e-8, "A_1_2": 2e-8, "B_0_3": 2e-8, "B_2_1": 2e-8, "A_1_1": 3e-6}
    else:
        cards |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    return fits.Header(cards)


def expose(
    path: Path,
    sky: Sky,
    centre: tuple[float, float],
    *,
    shape: tuple[int, int] = (200, 160),
    level: float = 100.0,
    levels: tuple[float, ...] = (0, 0, 0, 0),
    noise: float = 0.0,
    bad: int = 0,
    dtype: type = np.float32,
    variance: bool = False,
    seed: int = 1,
) -> Path:
    """Write an exposure of 4 detectors (im1 to im4), with masks in ``NAME_bpm.fits`` where there are bad pixels."""
    rng = np.random.default_rng(seed)
    hdus, masks = [fits.PrimaryHDU()], [fits.PrimaryHDU()]
    for k in range(4):
        header = detector(k, centre, shape)
        x, y = WCS(header, relax=True).all_world2pix(sky.ra, sky.dec, 0)
        image = np.full(shape, level + levels[k])
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        for sx, sy, flux in zip(x, y, sky.flux, strict=True):
            if -20 < sx < shape[1] + 20 and -20 < sy < shape[0] + 20:
                image += flux / (2 * np.pi * sky.sigma**2) * np.exp(-((columns - sx) ** 2 + (rows - sy) ** 2) / (2 * sky.sigma**2))
        if noise:
            image += rng.normal(0, noise, shape)
        flags = np.zeros(shape, np.uint8)
        if bad:
            flags[rng.integers(0, shape[0], bad), rng.integers(0, shape[1], bad)] = 1
            image[flags > 0] = 20000.0
            header["BPM"] = f"{path.stem}_bpm.fits[im{k + 1}]"
        header["GAIN"] = 2.0 + 0.1 * k
        hdus.append(fits.ImageHDU(image.astype(dtype) if dtype is np.float32 else np.rint(image).astype(dtype), header, name=f"im{k + 1}"))
        if variance:
            hdus.append(fits.ImageHDU(np.full(shape, noise**2, np.float32), header, name=f"var{k + 1}"))
        masks.append(fits.ImageHDU(flags, name=f"im{k + 1}"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    if bad:
        fits.HDUList(masks).writeto(path.with_name(f"{path.stem}_bpm.fits"), overwrite=True)
    return path


def centroid(image: np.ndarray, x: float, y: float, *, sigma: float, level: float) -> tuple[float, float]:
    """Position of a star by iterated Gaussian-weighted moments."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    cut = slice(max(0, int(y) - 12), int(y) + 13), slice(max(0, int(x) - 12), int(x) + 13)
    values, rows, columns = image[cut] - level, rows[cut], columns[cut]
    for _ in range(30):
        weight = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) * values
        dx, dy = (weight * (columns - x)).sum() / weight.sum(), (weight * (rows - y)).sum() / weight.sum()
        x, y = x + 2 * dx, y + 2 * dy
    return float(x), float(y)


def aperture(image: np.ndarray, x: float, y: float, *, radius: float, level: float) -> float:
    """Sum within a radius, whole pixels."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return float((image - level)[np.hypot(columns - x, rows - y) <= radius].sum())
