"""Simulated nights of one field and a sharp reference of it, in memory or as files, with their truth: for the tutorials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import PathLike
from nbmosaic.core.psf.simulated_field import MovedStar, PsfField, Seeing, SkyImages
from nbmosaic.errors import ConfigError, FormatError
from nbmosaic.types.photometry import FitFrame
from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

__all__ = ["MovedStar", "PsfSimulation", "Seeing", "simulate_psf_field"]

UNIT = "10**(-20)*erg/s/cm**2/Angstrom"
"""Unit of images and reference: MUSE's."""
STARS = ((0.3, 0.62, 450.0), (0.7, 0.3, 120.0))
MOVED = (MovedStar(x=0.72, y=0.74, flux=260.0, dx=0.44, dy=-0.24),)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PsfSimulation:
    """A simulated field: reference, images and truth.

    Attributes
    ----------
    reference : SkyImage
        The sharp image on the grid of the images, a margin beyond them on all sides.
    images : tuple of SkyImage
        One a night.
    seeing : tuple of Seeing
        What was done to each: scale, bg, dx, dy, fwhm, beta.
    field : PsfField
        What is on the sky.
    reference_path, paths : pathlib.Path, tuple of pathlib.Path
        Their files; None and empty in memory.
    """

    reference: SkyImage
    images: tuple[SkyImage, ...]
    seeing: tuple[Seeing, ...]
    field: PsfField
    reference_path: Path | None = None
    paths: tuple[Path, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row an image: name and the truth of each parameter (arcsec, unit of the image)."""
        import pandas as pd

        names = ("scale", "bg", "dx", "dy", "fwhm", "beta")
        rows = [
            {"name": image.name} | {name: getattr(one, name) for name in names} for image, one in zip(self.images, self.seeing, strict=True)
        ]
        return pd.DataFrame(rows)

    @property
    def stars(self) -> pd.DataFrame:
        """One row a star: place (pixels of the images, ICRS degrees) and flux in the reference, and how far it has moved since (arcsec)."""
        import pandas as pd

        n = self.field.n
        rows = [(x, y, flux, 0.0, 0.0) for x, y, flux in self.field.stars] + [(m.x, m.y, m.flux, m.dx, m.dy) for m in self.field.moved]
        x, y, flux, dx, dy = np.array(rows, float).reshape(-1, 5).T
        ra, dec = self.images[0].wcs.all_pix2world(x * n, y * n, 0)
        return pd.DataFrame({"x": x * n, "y": y * n, "ra": ra, "dec": dec, "flux": flux, "moved_x": dx, "moved_y": dy})


def simulate_psf_field(
    folder: PathLike | None = None,
    *,
    seed: int = 1,
    nights: int | Sequence[Seeing] = 5,
    names: Sequence[str] | None = None,
    size: int = 200,
    margin: int = 20,
    density: float = 0.1,
    stars: Sequence[tuple[float, float, float]] = STARS,
    moved: Sequence[MovedStar] = (),
    noise: float = 0.15,
    reference_noise: float = 0.02,
    edge: int = 4,
    center: tuple[float, float] = (338.231, -60.564),
    overwrite: bool = False,
) -> PsfSimulation:
    """Simulate a field of galaxies and stars as a space telescope sees it, and as it is seen from the ground in several nights.

    The reference has been brought to the grid of the images: the sky, seen with a Moffat PSF of 0.085 arcsec and beta 1.6, through Blackman's
    window. An image is the sky seen with a Moffat PSF of its own, times a scale, moved, on a background. Pixels are 0.2 arcsec.

    Parameters
    ----------
    folder : path, optional
        Where ``reference.fits`` and a file for each night go (DATA, STAT and DQ); made if missing. None: nothing is written.
    seed : int
        The same seed gives the same images.
    nights : int or sequence of Seeing
        What each night does to the sky; a number: drawn from the seed, fwhm 0.5 to 0.9 arcsec.
    names : sequence of str, optional
        Names of the images; default ``night_0``, ``night_1``, ...
    size : int
        Side of the images, pixels.
    margin : int
        Pixels by which the reference extends beyond the images.
    density : float
        Galaxies per square arcsec.
    stars : sequence of tuple
        ``(x, y, flux)``; places in units of the field, sum over pixels.
    moved : sequence of MovedStar
        Stars that have moved since the reference was taken.
    noise, reference_noise : float
        Standard deviation of a pixel of the images, and of the reference before the window.
    edge : int
        Width of the masked rim of the images, pixels.
    center : tuple of float
        ICRS centre of the field (degrees).
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    PsfSimulation

    Raises
    ------
    ConfigError
        A number out of range, or names that do not fit the nights.
    FormatError
        A file exists or cannot be written.

    Examples
    --------
    >>> field = simulate_psf_field(nights=2, size=64)
    >>> [image.name for image in field.images], field.reference.shape
    (['night_0', 'night_1'], (104, 104))
    """
    seen = _drawn(seed, nights) if isinstance(nights, int) else tuple(nights)
    labels = tuple(names) if names is not None else tuple(f"night_{number}" for number in range(len(seen)))
    if not seen or len(set(labels)) != len(labels) or len(labels) != len(seen) or "reference" in labels:
        raise ConfigError(
            f"{len(seen)} nights have the names {', '.join(labels) or '(none)'}",
            hint="give one name a night, all different, none 'reference'",
        )
    if not (margin >= 0 and noise > 0 and reference_noise >= 0 and 0 <= 2 * edge < size):
        raise ConfigError(f"cannot simulate margin={margin}, noise={noise:g}, edge={edge}", hint="use 0 or more, and a noise above 0")
    config = PsfField(
        seed=seed,
        n=size,
        margin=margin + 15,  # sky that is seen, and 3 arcsec beyond it whose light falls in
        density=density,
        stars=tuple(stars),
        moved=tuple(moved),
        sigma=noise,
        reference_sigma=reference_noise,
        edge=edge,
    )
    sky = SkyImages(config)
    numbers = iter(np.random.default_rng([seed, 1]).integers(0, 2**31, len(seen) + 1).tolist())
    frame = sky.reference(next(numbers), margin, variance=reference_noise > 0)
    reference = _sky_image(frame, _wcs(size, margin, center), "reference")
    wcs = _wcs(size, 0, center)
    images = tuple(_sky_image(sky.image(next(numbers), seeing=one), wcs, name) for one, name in zip(seen, labels, strict=True))
    if folder is None:
        return PsfSimulation(reference=reference, images=images, seeing=seen, field=config)
    from nbmosaic.io.image_planes import write_sky_image

    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"cannot make the folder {target}: {error}", hint="choose another folder") from error
    paths = [write_sky_image(target / f"{image.name}.fits", image, overwrite=overwrite) for image in (reference, *images)]
    return PsfSimulation(reference=reference, images=images, seeing=seen, field=config, reference_path=paths[0], paths=tuple(paths[1:]))


def _drawn(seed: int, nights: int) -> tuple[Seeing, ...]:
    """Nights as they come; a night does not depend on how many there are."""
    out = []
    for number in range(nights):
        rng = np.random.default_rng([seed, 2, number])
        dx, dy = rng.normal(0.0, 0.15, 2)
        out.append(
            Seeing(
                scale=float(rng.uniform(0.85, 1.05)),
                bg=float(rng.normal(0.0, 0.05)),
                dx=float(dx),
                dy=float(dy),
                fwhm=float(rng.uniform(0.5, 0.9)),
                beta=float(rng.uniform(2.3, 3.5)),
            )
        )
    return tuple(out)


def _wcs(size: int, margin: int, center: tuple[float, float]) -> WCS:
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = center
    wcs.wcs.crpix = [0.5 * (size + 1) + margin] * 2
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    return wcs


def _sky_image(frame: FitFrame, wcs: WCS, name: str) -> SkyImage:
    return SkyImage(data=frame.data, mask=frame.mask, variance=frame.variance, wcs=wcs, unit=UNIT, name=name)
