"""Small sets of simulated frames that no golden file knows: projection, rotation, scale, sky planes, stars and noise by a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

__all__ = ["SimulatedSet", "make_set", "template_lines"]

NOISE = 2.0


@dataclass(frozen=True)
class SimulatedSet:
    """Files of a set.

    Attributes
    ----------
    files : list of Path
        Frames (single precision).
    template : str
        Header template that holds all of them.
    """

    files: list[Path]
    template: str


def frame_header(
    kind: str, centre: tuple[float, float], shape: tuple[int, int], scale: float, turn: float, rng: np.random.Generator
) -> fits.Header:
    """Header of a frame: `kind` is a system and a projection, as in ``RA-TAN`` or ``GLON-CAR``; `scale` in degrees, `turn` in degrees."""
    axis, projection = kind.split("-")
    other = {"RA": "DEC", "GLON": "GLAT"}[axis]
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = f"{axis:-<4}-{projection}", f"{other:-<4}-{projection}"
    cylinder = projection in {"CAR", "CEA"}
    header["CRVAL1"], header["CRVAL2"] = round(centre[0], 6), 0.0 if cylinder else round(centre[1], 6)
    header["CRPIX1"], header["CRPIX2"] = ((n + 1) / 2 + round(float(rng.uniform(-9, 9)), 3) for n in shape[::-1])
    if rng.random() < 0.5:
        header["CDELT1"], header["CDELT2"], header["CROTA2"] = -scale, scale, turn
    else:
        c, s = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
        header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -c, -s, -s, c
    if axis == "RA":
        header["EQUINOX"] = 2000.0
    if cylinder:  # its reference is on the equator: the pixels of the frame lie far from it
        x, y = WCS(header).wcs_world2pix(*centre, 1)
        header["CRPIX1"] += (shape[1] + 1) / 2 - float(x)
        header["CRPIX2"] += (shape[0] + 1) / 2 - float(y)
    return header


def make_set(folder: Path, seed: int, kinds: tuple[str, ...], grid: str, *, frames: int = 5, size: int = 110) -> SimulatedSet:
    """Write a ring of overlapping frames.

    Parameters
    ----------
    folder : Path
        Where the frames go; made if missing.
    seed : int
        The same seed gives the same files.
    kinds : tuple of str
        Systems and projections of the frames in turn: ``RA-TAN``, ``RA-SIN``, ``GLON-CAR``, ...
    grid : str
        System and projection of the template.
    frames, size : int
        How many, and their pixels a side (10 % more or less).
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    scale = float(rng.uniform(1.0, 4.0)) / 3600
    place = SkyCoord(rng.uniform(0, 360), rng.uniform(-60, 60), unit="deg", frame="fk5")
    if any(k.endswith(("CAR", "CEA")) for k in (*kinds, grid)):  # near the galactic equator, where a cylinder is nearly square
        place = SkyCoord(rng.uniform(0, 360), rng.uniform(-2, 2), unit="deg", frame="galactic").fk5
    reach = 0.9 * size * scale
    stars = place.directional_offset_by(rng.uniform(0, 360, 150) * place.ra.unit, 1.6 * reach * np.sqrt(rng.random(150)) * place.ra.unit)
    flux = 10 ** rng.uniform(1.5, 3.3, len(stars))
    turn, files = float(rng.uniform(-180, 180)), []
    for k in range(frames):
        kind = kinds[k % len(kinds)]
        angle = 360 * k / frames + rng.uniform(-15, 15)
        centre = place.directional_offset_by(angle * place.ra.unit, (0.45 + 0.15 * rng.random()) * reach * place.ra.unit)
        centre = centre if kind.startswith("RA") else centre.galactic
        shape = tuple(int(v) for v in rng.integers(int(0.9 * size), int(1.1 * size), 2))
        lon, lat = (float(v) for v in (centre.spherical.lon.deg, centre.spherical.lat.deg))
        step = scale * float(rng.choice([1.0, 1.0, rng.uniform(0.85, 1.15)]))
        header = frame_header(kind, (lon, lat), shape, step, turn + float(rng.uniform(-12, 12)), rng)
        files.append(folder / f"frame_{seed}_{k}.fits")
        image = draw(header, shape, stars, flux, 1.3 * scale / step, rng)
        fits.PrimaryHDU(image.astype(np.float32), header).writeto(files[-1], overwrite=True)
    return SimulatedSet(files, template_text(grid, place, float(rng.uniform(0.85, 1.2)) * scale, float(rng.uniform(-40, 40)), reach, rng))


def draw(
    header: fits.Header, shape: tuple[int, int], stars: SkyCoord, flux: np.ndarray, sigma: float, rng: np.random.Generator
) -> np.ndarray:
    """Stars on a plane, with noise."""
    y, x = np.indices(shape, float)
    image = rng.uniform(50, 300) + rng.normal(0, 0.1) * (x - shape[1] / 2) + rng.normal(0, 0.1) * (y - shape[0] / 2)
    sky = stars if header["CTYPE1"].startswith("RA") else stars.galactic
    px, py = WCS(header).wcs_world2pix(sky.spherical.lon.deg, sky.spherical.lat.deg, 0)
    for one, sx, sy in zip(flux, px, py, strict=True):
        if -9 < sx < shape[1] + 9 and -9 < sy < shape[0] + 9:
            image += one * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / (2 * sigma**2))
    return image + rng.normal(0, NOISE, shape)


def template_text(grid: str, place: SkyCoord, scale: float, turn: float, reach: float, rng: np.random.Generator) -> str:
    """Template that holds a circle of 1.6 times `reach` degrees."""
    n = int(3.4 * reach / scale)
    centre = place if grid.startswith("RA") else place.galactic
    header = frame_header(grid, (float(centre.spherical.lon.deg), float(centre.spherical.lat.deg)), (n, n + 6), scale, turn, rng)
    for key in ("CRPIX1", "CRPIX2"):  # as mMakeHdr writes it, so that offsets are whole numbers without rounding
        header[key] = round(2 * header[key]) / 2
    return template_lines(header, n + 6, n)


def template_lines(header: fits.Header, nx: int, ny: int) -> str:
    """Text of a header template."""
    cards = {"SIMPLE": "T", "BITPIX": -64, "NAXIS": 2, "NAXIS1": nx, "NAXIS2": ny, **dict(header)}
    return "\n".join([*(f"{key:<8}= {value if value == 'T' else repr(value)}" for key, value in cards.items()), "END", ""])
