"""The header stage: a template from a file, or the smallest grid round the frames."""

from __future__ import annotations

from pathlib import Path

from nbmosaic.errors import ConfigError
from nbmosaic.pipeline.products import Frames
from nbmosaic.pipeline.recipe import choose
from nbmosaic.types import MosaicGrid

__all__ = ["grid_of_frames", "grid_of_template"]

SYSTEMS = ("icrs", "fk5", "fk4", "galactic", "ecliptic")


def grid_of_template(path: str) -> MosaicGrid:
    """Grid of a header template, or of the first image of a FITS file."""
    from nbmosaic.io.templates import read_template

    if str(path).lower().endswith((".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fits.fz")):
        from nbmosaic.io.sources import frame_infos

        infos, _ = frame_infos([path])
        return MosaicGrid(infos[0].wcs, infos[0].shape)
    return read_template(Path(path))


def grid_of_frames(
    frames: Frames,
    *,
    system: str,
    scale: float | None,
    north_up: bool,
    rotation: float | None,
    pad: float,
    pad_pix: int,
    max_size: int | None,
    projection: str,
) -> MosaicGrid:
    """Smallest grid round the frames.

    Raises
    ------
    ConfigError
        An option makes no sense.
    """
    from nbmosaic.core.geometry.grid import fit_grid

    choose(system, SYSTEMS, option="system")
    if scale is not None and not 0 < scale < 3600 * 90:
        raise ConfigError(f"scale cannot be {scale!r}", hint="it is the pixel scale in arcsec", option="scale")
    if not 0 <= pad < 10:
        raise ConfigError(f"pad cannot be {pad!r}", hint="it is a fraction of the larger axis, such as 0.02", option="pad")
    if pad_pix < 0:
        raise ConfigError(f"pad_pix cannot be {pad_pix!r}", hint="it is a number of pixels, 0 or more", option="pad_pix")
    if max_size is not None and max_size < 1:
        raise ConfigError(f"max_size cannot be {max_size!r}", hint="it is a number of pixels, 1 or more", option="max_size")
    shapes = [(info.wcs, info.shape) for info in frames.infos]

    def fit(margin: int) -> MosaicGrid:
        return fit_grid(
            shapes,
            system=system,
            scale_arcsec=scale,
            north_up=north_up,
            rotation=rotation,
            pad_pix=margin,
            max_size=max_size,
            projection=projection,
        )

    grid = fit(pad_pix)
    return fit(pad_pix + round(pad * max(grid.shape))) if pad else grid
