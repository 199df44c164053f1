"""Simulated frames on disk or in memory, with their truth: for the demo, the notebooks and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import BoolArray, Float32Array, FloatArray, PathLike
from nbmosaic.core.simulation import Detector, SkyModel, brightness, expose, make_sky
from nbmosaic.errors import ConfigError, FormatError

if TYPE_CHECKING:
    import pandas as pd
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["DEMO_KINDS", "SimulatedFrame", "Simulation", "simulate", "simulate_frames"]

DEMO_KINDS = ("crota", "cd", "sin", "pc", "galactic", "sip")
"""Header kinds that frames take in turn."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SimulatedFrame:
    """One frame and what was put into it.

    Attributes
    ----------
    name : str
        File name without folder.
    kind : str
        Header kind, see `nbmosaic.core.geometry.simulated.header_cards`.
    wcs : astropy.wcs.WCS
        World coordinates.
    header : astropy.io.fits.Header
        The whole header.
    data : ndarray of float32, shape (ny, nx)
        Pixels.
    plane : tuple of float
        Background ``level, slope_x, slope_y``, see `nbmosaic.core.simulation.expose`.
    noise : float
        Standard deviation of the Gaussian noise.
    cosmic_rays, bad : ndarray of bool, shape (ny, nx)
        Pixels hit by cosmic rays; pixels of bad columns.
    """

    name: str
    kind: str
    wcs: WCS
    header: Header
    data: Float32Array
    plane: tuple[float, float, float]
    noise: float
    cosmic_rays: BoolArray
    bad: BoolArray

    def background(self) -> FloatArray:
        """Evaluate the background plane over the frame, shape (ny, nx)."""
        ny, nx = self.data.shape
        level, slope_x, slope_y = self.plane
        return level + slope_x * (np.arange(nx) - (nx - 1) / 2) + slope_y * (np.arange(ny)[:, None] - (ny - 1) / 2)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Simulation:
    """Simulated frames and their truth.

    Attributes
    ----------
    frames : tuple of SimulatedFrame
        The frames in the order of their names.
    model : SkyModel
        Components of the noise-free sky.
    detector : Detector
        Noise and defects.
    folder : pathlib.Path, optional
        Where the FITS files are; None if they were not written.
    """

    frames: tuple[SimulatedFrame, ...]
    model: SkyModel
    detector: Detector
    folder: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files of the frames; empty if they were not written."""
        return () if self.folder is None else tuple(self.folder / frame.name for frame in self.frames)

    @property
    def table(self) -> pd.DataFrame:
        """One row a frame: name, kind, the plane that was put in, noise, pixels hit and bad."""
        import pandas as pd

        columns = ("level", "slope_x", "slope_y")
        rows = [
            {"name": f.name, "kind": f.kind, **dict(zip(columns, f.plane, strict=True)), "noise": f.noise}
            | {"n_cosmic": int(f.cosmic_rays.sum()), "n_bad": int(f.bad.sum())}
            for f in self.frames
        ]
        return pd.DataFrame(rows)

    def sky(self, ra: FloatArray, dec: FloatArray) -> FloatArray:
        """Noise-free surface brightness at ICRS positions.

        Parameters
        ----------
        ra, dec : ndarray
            Degrees.

        Returns
        -------
        ndarray of float64
            Flux per nominal pixel, of the shape of the positions.
        """
        from nbmosaic.core.geometry.simulated import sky_offsets

        return brightness(self.model, *sky_offsets(ra, dec, self.model.center))

    def truth_on(self, wcs: WCS, shape: tuple[int, int]) -> FloatArray:
        """Noise-free surface brightness at all pixel centres of a grid.

        Parameters
        ----------
        wcs : astropy.wcs.WCS
            Celestial, longitude first, ICRS, FK5, galactic or any other frame of astropy.
        shape : tuple of int
            ``(ny, nx)``.

        Returns
        -------
        ndarray of float64, shape (ny, nx)
            Flux per nominal pixel (not per pixel of the grid).
        """
        from nbmosaic.core.geometry.simulated import tangent_offsets

        return brightness(self.model, *tangent_offsets(wcs, shape, self.model.center))


def simulate(
    *,
    seed: int = 1,
    n_frames: int = 12,
    size: int | tuple[int, int] = 256,
    kinds: Sequence[str] = DEMO_KINDS,
    center: tuple[float, float] = (83.82, -5.39),
    scale_arcsec: float = 1.0,
    overlap: float = 0.2,
    dither_pix: float = 8.0,
    rotation: float = 3.0,
    background: float = 200.0,
    background_step: float = 40.0,
    background_slope: float = 8.0,
    detector: Detector | None = None,
    sky: SkyModel | None = None,
) -> Simulation:
    """Simulate overlapping frames of one field in memory.

    Frames lie on a nearly square grid, are shifted and turned a little, and each has a background plane of its own.

    Parameters
    ----------
    seed : int
        The same seed gives the same frames.
    n_frames : int
        Number of frames.
    size : int or tuple of int
        Side of the frames, or ``(ny, nx)``.
    kinds : sequence of str
        Header kinds, taken in turn.
    center : tuple of float
        ICRS centre of the field (degrees).
    scale_arcsec : float
        Pixel scale.
    overlap : float
        Part of a frame's side that the next frame shares, below 1.
    dither_pix : float
        Largest random shift of a frame, in pixels.
    rotation : float
        Largest random rotation, in degrees (header kind ``cdelt`` has none).
    background, background_step : float
        Mean level and its standard deviation from frame to frame.
    background_slope : float
        Standard deviation of the rise of the background from one edge of a frame to the other.
    detector : Detector, optional
        Noise and defects.
    sky : SkyModel, optional
        The noise-free sky; drawn from the seed by default.

    Returns
    -------
    Simulation
        Frames and truth.

    Raises
    ------
    ConfigError
        If a number is out of range or a header kind is not known.

    Examples
    --------
    >>> field = simulate(n_frames=2, size=64)
    >>> [frame.kind for frame in field.frames]
    ['crota', 'cd']
    """
    shape = (size, size) if isinstance(size, int) else (size[0], size[1])
    if n_frames < 1 or min(shape) < 8 or not 0 <= overlap < 1 or not kinds:
        raise ConfigError(
            f"cannot simulate n_frames={n_frames}, size={size}, overlap={overlap}", hint="use n_frames >= 1, size >= 8, 0 <= overlap < 1"
        )
    detector = Detector() if detector is None else detector
    columns = int(np.ceil(np.sqrt(n_frames * shape[0] / shape[1]))) if n_frames > 1 else 1
    rows = -(-n_frames // columns)
    pitch = np.array([shape[1], shape[0]]) * (1 - overlap)
    if sky is None:
        reach = 2 * dither_pix + np.hypot(*shape) * np.sin(np.radians(min(rotation, 45.0)))
        extent = ((columns - 1) * pitch[0] + shape[1] + reach, (rows - 1) * pitch[1] + shape[0] + reach)
        sky_rng = np.random.default_rng([seed, 0])
        extent_arcsec = (float(extent[0] * scale_arcsec), float(extent[1] * scale_arcsec))
        sky = make_sky(sky_rng, center=center, extent_arcsec=extent_arcsec, scale_arcsec=scale_arcsec)
    frames = []
    for index in range(n_frames):
        rng = np.random.default_rng([seed, index + 1])  # a frame does not depend on how many there are, but for its place
        row, column = divmod(index, columns)
        place = np.array([-(column - (columns - 1) / 2), row - (rows - 1) / 2]) * pitch + rng.uniform(-dither_pix, dither_pix, 2)
        plane = (
            float(background + background_step * rng.normal()),
            float(background_slope * rng.normal() / shape[1]),
            float(background_slope * rng.normal() / shape[0]),
        )
        turn = float(rng.uniform(-rotation, rotation))
        kind = kinds[index % len(kinds)]
        frames.append(
            _make_frame(
                name=f"frame_{index:03d}_{kind}.fits",
                kind=kind,
                shape=shape,
                offset_arcsec=place * scale_arcsec,
                rotation=turn,
                plane=plane,
                scale_arcsec=scale_arcsec,
                sky=sky,
                detector=detector,
                rng=rng,
                seed=seed,
            )
        )
    return Simulation(frames=tuple(frames), model=sky, detector=detector)


def _make_frame(
    *,
    name: str,
    kind: str,
    shape: tuple[int, int],
    offset_arcsec: FloatArray,
    rotation: float,
    plane: tuple[float, float, float],
    scale_arcsec: float,
    sky: SkyModel,
    detector: Detector,
    rng: np.random.Generator,
    seed: int,
) -> SimulatedFrame:
    """One frame at its place."""
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    from nbmosaic.core.geometry.simulated import header_cards, sky_positions, tangent_offsets

    ra, dec = (float(v) for v in sky_positions(offset_arcsec[0], offset_arcsec[1], sky.center))
    cards = header_cards(kind, shape, center=(ra, dec), scale_arcsec=scale_arcsec, rotation=rotation)
    header = Header()
    header.update({"OBJECT": "simulated field", "BUNIT": "DN", "EXPTIME": 60.0, "SEED": seed, **cards})
    wcs = WCS(header)
    exposure = expose(brightness(sky, *tangent_offsets(wcs, shape, sky.center)), plane, detector, rng)
    return SimulatedFrame(
        name=name,
        kind=kind,
        wcs=wcs,
        header=header,
        data=exposure.data,
        plane=plane,
        noise=detector.noise,
        cosmic_rays=exposure.cosmic_rays,
        bad=exposure.bad,
    )


def simulate_frames(folder: PathLike, *, overwrite: bool = False, **options: Any) -> Simulation:
    """Simulate overlapping frames and write them as FITS files.

    Parameters
    ----------
    folder : path
        Where the files go; made if missing. With ``Detector(bad_as="mask")`` the masks go to its subfolder ``masks``, under the same names.
    overwrite : bool
        Replace files that exist.
    **options
        As for `simulate`.

    Returns
    -------
    Simulation
        Frames, file names and truth.

    Raises
    ------
    ConfigError
        If an option is out of range.
    FormatError
        If a file exists or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     field = simulate_frames(folder, n_frames=2, size=64, seed=3)
    ...     [path.name for path in field.paths]
    ['frame_000_crota.fits', 'frame_001_cd.fits']
    """
    from dataclasses import replace

    from astropy.io import fits

    target = Path(folder)
    simulation = replace(simulate(**options), folder=target)
    masked = simulation.detector.bad_as == "mask"
    try:
        (target / "masks" if masked else target).mkdir(parents=True, exist_ok=True)
        for path, frame in zip(simulation.paths, simulation.frames, strict=True):
            fits.PrimaryHDU(frame.data, frame.header).writeto(path, overwrite=overwrite)
            if masked:
                fits.PrimaryHDU(frame.bad.astype(np.uint8)).writeto(target / "masks" / path.name, overwrite=overwrite)
    except OSError as error:
        raise FormatError(f"cannot write simulated frames to {target}: {error}", hint="choose another folder or overwrite=True") from error
    return simulation
