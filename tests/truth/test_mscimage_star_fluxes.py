"""Fluxes of the stars of the semi-real exposures, star by star, in units of their noise.

A real mosaic was put through the geometry of two detectors, with sky, a gain difference of 2 % and noise. The truth is the aperture flux in the real
mosaic; the same aperture (5 arcsec, soft edge, median of 9 to 15 arcsec taken off) is put on the images that mscimage makes, and on the raw pixels of the
detectors. The gain of each detector is what the raw pixels say, which no kernel has touched. The noise is that of the raw pixels, (value / GAIN +
(RDNOISE / GAIN)**2) / 16, as they are means of 4 x 4 (measured: 0.245 of that of single pixels), propagated by mscimage and divided by its noise gain.
The noise of the real mosaic itself is in truth and image alike.
Found with 90 stars: pulls with an rms of 1.00 (spline3) and 1.06 (sinc), flux over raw flux 0.9999 and 1.0000.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.shared import shared_path

from nbmosaic import mscimage

pytestmark = pytest.mark.slow

HALF = 18
BINNED = 16


class Star(NamedTuple):
    """Fluxes of a star of one exposure: true, in the raw pixels, in the resampled image, and the error of this."""

    detector: str
    truth: float
    raw: float
    flux: float
    error: float


def aperture(part: np.ndarray, r: np.ndarray, scale: float, variance: np.ndarray | None = None) -> tuple[float, float]:
    """Flux in 5 arcsec above the median of 9 to 15, and its variance."""
    ring, weight = (r > 9) & (r < 15), np.clip((5 - r) / scale + 0.5, 0, 1)
    flux = float(np.nansum((part - np.nanmedian(part[ring])) * weight))
    if variance is None:
        return flux, np.nan
    # the median of a normal distribution has pi / 2 times the variance of its mean
    level = np.pi / 2 * np.nanmean(variance[ring]) / np.isfinite(variance[ring]).sum()
    return flux, float(np.nansum(weight**2 * variance) + level * weight.sum() ** 2)


def raw_flux(image: np.ndarray, wcs: WCS, bad: np.ndarray, sky: tuple[float, float]) -> float:
    """Flux in the pixels of a detector, with distances on the sky; NaN beside bad pixels and edges."""
    x, y = (float(value) for value in wcs.all_world2pix(*sky, 0))
    i, j = round(x), round(y)
    ny, nx = image.shape
    if not (HALF < i < nx - HALF and HALF < j < ny - HALF) or bad[j - 12 : j + 13, i - 12 : i + 13].any():
        return np.nan
    box = np.s_[j - HALF : j + HALF + 1, i - HALF : i + HALF + 1]
    rows, columns = np.mgrid[box]
    lon, lat = wcs.all_pix2world(columns, rows, 0)
    r = 3600 * np.hypot((lon - sky[0]) * np.cos(np.radians(lat)), lat - sky[1])
    return aperture(np.where(bad[box], np.nan, image[box]), r, 1.05)[0]


def exposure_stars(path: Path, truth: Any, variance: Path, interpolant: str) -> list[Star]:
    """Stars that are whole in an exposure."""
    with fits.open(path) as hdus, fits.open(path.with_name(path.name.replace(".fits", "_bpm.fits"))) as masks:
        chips = {hdu.name: (hdu.data.astype(float), WCS(hdu.header), masks[hdu.name].data != 0) for hdu in hdus[1:]}
        planes = [
            fits.ImageHDU(
                ((np.clip(hdu.data, 0, None) / hdu.header["GAIN"] + (hdu.header["RDNOISE"] / hdu.header["GAIN"]) ** 2) / BINNED).astype(
                    "f4"
                ),
                name=hdu.name,
            )
            for hdu in hdus[1:]
        ]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(variance)
    product = mscimage(str(path), interpolant=interpolant, fluxconserve=True, variance=str(variance))
    scale = 3600 * float(np.sqrt(abs(np.linalg.det(product.wcs.pixel_scale_matrix))))
    noise_gain = product.infos[0].noise_gain
    found = []
    for lon, lat, flux in zip(truth["ra"], truth["dec"], truth["flux_r5arcsec_dn"], strict=True):
        x, y = (float(value) for value in product.wcs.all_world2pix(lon, lat, 0))
        i, j = round(x), round(y)
        if not (20 <= i < product.shape[1] - 20 and 20 <= j < product.shape[0] - 20):
            continue
        box = np.s_[j - HALF : j + HALF + 1, i - HALF : i + HALF + 1]
        if product.mask[j - 12 : j + 13, i - 12 : i + 13].any():
            continue
        rows, columns = np.mgrid[box]
        measured, spread = aperture(product.data[box].astype(float), np.hypot(columns - x, rows - y) * scale, scale, product.variance[box])
        for name, chip in chips.items():
            raw = raw_flux(*chip, (lon, lat))
            if np.isfinite(raw):
                found.append(Star(name, flux, raw, measured, float(np.sqrt(spread / noise_gain))))
    return found


@pytest.mark.parametrize("interpolant", ["spline3", "sinc"])
def test_fluxes_are_within_the_noise_of_the_truth(tmp_path: Path, interpolant: str) -> None:
    folder = shared_path("data/mef_semireal")
    truth = np.genfromtxt(folder / "truth_stars.csv", delimiter=",", names=True)
    truth = truth[(truth["flux_r5arcsec_dn"] > 2000) & (truth["bg_scatter"] < 1)]
    stars = [
        star
        for number in range(1, 6)
        for star in exposure_stars(folder / f"m42a_{number}.fits.gz", truth, tmp_path / f"variance_{number}.fits", interpolant)
    ]
    true, raw, flux, error = (np.array([getattr(star, name) for star in stars]) for name in ("truth", "raw", "flux", "error"))
    pulls, same = [], []
    gains = {}
    for detector in ("S6", "S7"):
        own = np.array([star.detector == detector for star in stars])
        gains[detector] = np.sum(raw[own] * true[own] / error[own] ** 2) / np.sum(true[own] ** 2 / error[own] ** 2)
        pulls.append((flux[own] - gains[detector] * true[own]) / error[own])
        same.append((flux[own] - raw[own]) / error[own])
    pull, kept = np.concatenate(pulls), np.concatenate(same)
    assert len(pull) > 60
    assert abs(gains["S6"] / gains["S7"] - 0.98) < 0.005
    assert abs(np.median(pull)) < 0.3
    assert 0.85 < np.sqrt(np.mean(pull**2)) < 1.2
    assert np.abs(pull).max() < 4
    assert abs(np.median(flux / raw) - 1) < 0.001
    assert np.sqrt(np.mean(kept**2)) < 0.5
