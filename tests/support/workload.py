"""Workloads for benchmarks: a square of overlapping, slightly rotated frames of an analytic sky, with their truth, of any size.

The sky is a function of the position on the mosaic grid, in mosaic pixels: a smooth part and Gaussian stars. Every frame is written with
its own background plane and noise (``frame_000.fits``) and, if wanted, without both (``clean_000.fits``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

__all__ = ["Workload", "make_workload"]

ARCSEC = 1 / 3600
SIGMA = 1.3
"""Width of the stars in pixels: FWHM 3.06, well sampled but steep."""
REACH = 10
"""Half side of the window of a star: its profile has fallen to 1e-13 of the peak."""


@dataclass(frozen=True)
class Workload:
    """Files of a workload.

    Attributes
    ----------
    folder : Path
        Where they are.
    frames, clean : list of Path
        Noisy frames with backgrounds; the same without (empty if not asked for).
    template : Path
        Header template of the mosaic.
    header : Header
        The same as a FITS header.
    truth : Path or None
        Noise-free sky on the mosaic grid.
    planes : ndarray, shape (n, 3)
        Background of each frame: level at its centre, slopes per pixel.
    noise : float
        Standard deviation.
    """

    folder: Path
    frames: list[Path]
    clean: list[Path]
    template: Path
    header: fits.Header
    truth: Path | None
    planes: np.ndarray
    noise: float

    @property
    def frame_pixels(self) -> int:
        """Pixels of all frames."""
        header = fits.getheader(self.frames[0])
        return len(self.frames) * header["NAXIS1"] * header["NAXIS2"]


@dataclass(frozen=True)
class _Sky:
    stars: np.ndarray  # x, y, flux in mosaic pixels, sorted by y
    size: int

    def smooth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Waves, and one soft cloud in the middle."""
        unit = self.size / 8
        cloud = np.exp(-(((x - 0.41 * self.size) / (0.7 * unit)) ** 2) - ((y - 0.47 * self.size) / (0.5 * unit)) ** 2)
        return 25 + 20 * np.sin(2 * np.pi * x / 900) * np.cos(2 * np.pi * y / 1300) + 60 * cloud

    def add_stars(self, image: np.ndarray, x: np.ndarray, y: np.ndarray, place: tuple[np.ndarray, np.ndarray], stars: np.ndarray) -> None:
        """Add stars to an image whose pixels lie at mosaic positions `x`, `y`; `place` is where each star falls on it."""
        for (sx, sy, flux), column, row in zip(stars, *(np.rint(p).astype(int) for p in place), strict=True):
            rows = slice(max(row - REACH, 0), max(row + REACH + 1, 0))
            columns = slice(max(column - REACH, 0), max(column + REACH + 1, 0))
            r2 = (x[rows, columns] - sx) ** 2 + (y[rows, columns] - sy) ** 2
            image[rows, columns] += flux / (2 * np.pi * SIGMA**2) * np.exp(r2 * (-0.5 / SIGMA**2))


def make_workload(
    folder: Path,
    *,
    side: int = 4,
    size: int = 2048,
    seed: int = 42,
    clean: bool = False,
    truth: bool = False,
    noise: float = 5.0,
    star_density: float = 3e-4,
) -> Workload:
    """Write ``side * side`` frames of `size` x `size` pixels, rotated by 2 to 8 degrees, with 8 % overlap.

    Parameters
    ----------
    folder : Path
        Where the files go; made if missing.
    side : int
        Frames along one side: 4 gives 16 frames, 16 gives 256.
    size : int
        Pixels along one side of a frame.
    seed : int
        The same seed gives the same files.
    clean, truth : bool
        Also write the noise-free twins of the frames; the noise-free sky on the mosaic grid.
    noise : float
        Standard deviation.
    star_density : float
        Stars per pixel of the mosaic.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    step = 0.92 * size
    total = int(step * (side - 1) + 1.17 * size)
    n_stars = int(star_density * total**2)
    stars = np.column_stack([rng.uniform(5, total - 5, (n_stars, 2)), 10 ** rng.uniform(1.5, 4, n_stars)])
    sky = _Sky(stars[np.argsort(stars[:, 1])], total)
    grid = fits.Header()
    grid.update({"NAXIS": 2, "NAXIS1": total, "NAXIS2": total, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 32.0})
    grid.update(
        {"CRPIX1": (total + 1) / 2, "CRPIX2": (total + 1) / 2, "CDELT1": -ARCSEC, "CDELT2": ARCSEC, "CROTA2": 0.0, "EQUINOX": 2000.0}
    )
    wcs = WCS(grid)
    template = folder / "mosaic.hdr"
    cards = [card for card in grid.tostring(sep="\n", endcard=False, padding=False).splitlines() if card.strip()]
    template.write_text("\n".join(["SIMPLE  =                    T", "BITPIX  =                  -32", *cards, "END"]) + "\n")
    frames, twins, planes = [], [], []
    for index in range(side * side):
        row, column = divmod(index, side)
        center = (total - 1) / 2 + (np.array([column, row]) - (side - 1) / 2) * step + rng.uniform(-15, 15, 2)
        turn = np.radians(rng.uniform(2, 8)) * (1 if (row + column) % 2 else -1)
        header = _frame_header(wcs, center, size, turn)
        image, x, y = _render(sky, WCS(header), wcs, size)
        plane = np.array([rng.uniform(50, 200), *(rng.uniform(-5, 5, 2) / size)])
        planes.append(plane)
        if clean:
            twins.append(folder / f"clean_{index:03d}.fits")
            fits.PrimaryHDU(image.astype(np.float32), header).writeto(twins[-1], overwrite=True)
        image += plane[0] + plane[1] * (x - (size - 1) / 2) + plane[2] * (y - (size - 1) / 2)
        noisy = image.astype(np.float32)
        noisy += np.float32(noise) * rng.standard_normal(noisy.shape, dtype=np.float32)
        frames.append(folder / f"frame_{index:03d}.fits")
        fits.PrimaryHDU(noisy, header).writeto(frames[-1], overwrite=True)
    path = folder / "truth.fits" if truth else None
    if path is not None:
        _write_truth(path, sky, grid)
    return Workload(folder, frames, twins, template, grid, path, np.array(planes), noise)


def _frame_header(wcs: WCS, center: np.ndarray, size: int, turn: float) -> fits.Header:
    ra, dec = (float(v) for v in wcs.wcs_pix2world(*center, 0))
    c, s = ARCSEC * np.cos(turn), ARCSEC * np.sin(turn)
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "EQUINOX": 2000.0})
    header.update({"CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2, "CD1_1": -c, "CD1_2": s, "CD2_1": s, "CD2_2": c})
    return header


def _render(sky: _Sky, frame: WCS, mosaic: WCS, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise-free frame, and its pixel indices as a row and a column.

    Positions come from a polynomial of degree 4 through exact ones, checked to 1e-6 pixel.
    """
    pixels = np.arange(size, dtype=float)
    unit = 2 * pixels / (size - 1) - 1
    nodes = np.cos(np.pi * (np.arange(7) + 0.5) / 7)
    at = (nodes + 1) / 2 * (size - 1)
    exact = _between(frame, mosaic, *np.meshgrid(at, at))
    basis = np.polynomial.chebyshev.chebvander(nodes, 4)
    inverse = np.linalg.pinv(basis)
    across = np.polynomial.chebyshev.chebvander(unit, 4)
    x, y = (across @ (inverse @ e @ inverse.T) @ across.T for e in exact)
    check = np.random.default_rng(0).integers(0, size, (2, 20))
    ex, ey = _between(frame, mosaic, check[1].astype(float), check[0].astype(float))
    if max(np.abs(x[tuple(check)] - ex).max(), np.abs(y[tuple(check)] - ey).max()) > 1e-6:
        raise AssertionError("the polynomial does not follow the map of the frame")
    image = sky.smooth(x, y)
    inside = (sky.stars[:, 0] > x.min() - REACH) & (sky.stars[:, 0] < x.max() + REACH)
    inside &= (sky.stars[:, 1] > y.min() - REACH) & (sky.stars[:, 1] < y.max() + REACH)
    near = sky.stars[inside]
    sky.add_stars(image, x, y, _between(mosaic, frame, near[:, 0], near[:, 1]), near)
    return image, pixels[None, :], pixels[:, None]


def _between(source: WCS, target: WCS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, v = target.wcs_world2pix(*source.wcs_pix2world(x.ravel(), y.ravel(), 0), 0)
    return u.reshape(x.shape), v.reshape(x.shape)


def _write_truth(path: Path, sky: _Sky, grid: fits.Header) -> None:
    """Noise-free sky on the mosaic grid, band by band."""
    total = sky.size
    header = grid.copy()
    image = np.empty((total, total), np.float32)
    x = np.arange(total, dtype=float)[None, :]
    for start in range(0, total, 256):
        stop = min(total, start + 256)
        rows = np.arange(start, stop, dtype=float)[:, None]
        band = sky.smooth(x, rows)
        first, last = np.searchsorted(sky.stars[:, 1], (start - REACH - 1, stop + REACH + 1))
        near = sky.stars[first:last]
        whole = np.broadcast_to(x, band.shape), np.broadcast_to(rows, band.shape)
        sky.add_stars(band, *whole, (near[:, 0], near[:, 1] - start), near)
        image[start:stop] = band
    for key in ("NAXIS", "NAXIS1", "NAXIS2"):
        del header[key]
    fits.PrimaryHDU(image, header).writeto(path, overwrite=True)
