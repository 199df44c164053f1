"""Small images of one simulated field, and their reference, as files."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS
from support.psf_sky import PsfField, Seeing, SkyImages

from nbmosaic.io.image_planes import write_sky_image
from nbmosaic.types.sky_image import SkyImage

__all__ = ["FIELD", "UNIT", "KillOnce", "PsfFiles", "field_wcs", "sky_image", "star_place"]

UNIT = "1e-20 erg / (Angstrom s cm2)"
FIELD = PsfField(seed=9, n=80, margin=24, density=0.08, stars=((0.3, 0.62, 450.0), (0.75, 0.3, 120.0)), seeing=Seeing(dx=0.07, dy=-0.05))


def field_wcs(n: int = FIELD.n, margin: int = 0, *, rotation: float = 0.0, dec: float = -27.8) -> WCS:
    """WCS of a field, north up unless turned, east to the left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [53.16, dec]
    wcs.wcs.crpix = [n / 2 + margin, n / 2 + margin]
    c, s = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    wcs.wcs.cd = np.array([[-c, s], [s, c]]) * 0.2 / 3600
    wcs.wcs.set()
    return wcs


def sky_image(frame: Any, *, margin: int = 0, name: str = "", **wcs: float) -> SkyImage:
    """Frame of a simulated field as an image on the sky."""
    data = np.where(frame.mask, 0.0, frame.data)
    return SkyImage(
        data=data, mask=frame.mask, wcs=field_wcs(margin=margin, **wcs), variance=frame.variance, unit=UNIT, name=name or frame.name
    )


def star_place(which: int = 0, radius: float = 2.0) -> tuple[float, float, float]:
    """Right ascension, declination and radius of a star of the field."""
    x, y, _ = FIELD.stars[which]
    ra, dec = field_wcs().wcs_pix2world(round(x * FIELD.n * 5) / 5, round(y * FIELD.n * 5) / 5, 0)
    return float(ra), float(dec), radius


@dataclass(frozen=True)
class PsfFiles:
    """Where the files are, and the sky that they show."""

    folder: Path
    sky: SkyImages

    @classmethod
    def write(cls, folder: Path, n_images: int = 3) -> PsfFiles:
        """Reference, the same with 15 pixels more on each side, and some images of growing FWHM."""
        sky = SkyImages(FIELD)
        write_sky_image(folder / "ref.fits", sky_image(sky.reference(seed=1), name="ref"))
        write_sky_image(folder / "wide.fits", sky_image(sky.reference(seed=1, margin=15), margin=15, name="wide"))
        for i in range(n_images):
            seeing = Seeing(dx=0.07 + 0.1 * i, dy=-0.05, fwhm=0.6 + 0.05 * i)
            write_sky_image(folder / f"night_{i + 1}.fits", sky_image(sky.image(seed=10 + i, seeing=seeing)), dtype="f8")
        return cls(folder, sky)

    def path(self, name: str) -> str:
        """Path of a file."""
        return str(self.folder / f"{name}.fits")

    @property
    def images(self) -> list[str]:
        """Paths of the images."""
        return sorted(map(str, self.folder.glob("night_*.fits")))


@dataclass(frozen=True)
class KillOnce:
    """A mask that kills the process that reads it, the first time that it is not the one that made it."""

    owner: int
    flag: str
    shape: tuple[int, int]

    @property
    def data(self) -> Any:
        """Nothing masked."""
        if os.getpid() != self.owner and not Path(self.flag).exists():
            Path(self.flag).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros(self.shape)

    @property
    def wcs(self) -> WCS:
        """That of the field."""
        return field_wcs()
