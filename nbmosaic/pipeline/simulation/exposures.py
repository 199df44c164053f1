"""Simulated exposures of a mosaic camera on disk, with their truth: for the tutorial and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import BoolArray, Float32Array, FloatArray, PathLike
from nbmosaic.core.geometry.simulated_camera import Camera, camera_offsets, detector_cards, make_camera
from nbmosaic.core.simulation import Detector, SkyModel, brightness, expose, make_sky
from nbmosaic.errors import ConfigError, FormatError

if TYPE_CHECKING:
    import pandas as pd
    from astropy.io.fits import HDUList, Header
    from astropy.wcs import WCS

__all__ = ["ExposureSimulation", "SimulatedExposure", "simulate_exposures"]

MASKS, VARIANCES = "masks", "variance"
"""Subfolders of the masks and of the variance planes."""
BAD_MASK = f"{MASKS}/camera.fits"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SimulatedExposure:
    """What was put into one exposure.

    Attributes
    ----------
    name : str
        File name without folder.
    pointing : tuple of float
        ICRS position of the optical axis (degrees).
    plane : tuple of float
        Background ``level, slope_x, slope_y`` over the focal plane: the level on the optical axis, and the rise per pixel to the west and to the north.
    cosmic_rays : tuple of ndarray of bool
        Pixels hit, for each detector.
    """

    name: str
    pointing: tuple[float, float]
    plane: tuple[float, float, float]
    cosmic_rays: tuple[BoolArray, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExposureSimulation:
    """Simulated exposures and their truth.

    Attributes
    ----------
    folder : pathlib.Path
        Where the FITS files are.
    exposures : tuple of SimulatedExposure
        In the order of their names.
    camera : Camera
        The detectors and their distortion.
    model : SkyModel
        Components of the noise-free sky.
    detector : Detector
        Noise and defects.
    bad : tuple of ndarray of bool
        Pixels of bad columns, for each detector.
    piece_levels : ndarray, shape (n,)
        What each detector adds to every exposure (a bias that was not removed).
    """

    folder: Path
    exposures: tuple[SimulatedExposure, ...]
    camera: Camera
    model: SkyModel
    detector: Detector
    bad: tuple[BoolArray, ...]
    piece_levels: FloatArray

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files of the exposures."""
        return tuple(self.folder / exposure.name for exposure in self.exposures)

    @property
    def table(self) -> pd.DataFrame:
        """One row an exposure: name, pointing, the background that was put in, pixels hit by cosmic rays."""
        import pandas as pd

        rows = [
            {"name": one.name, "ra": one.pointing[0], "dec": one.pointing[1]}
            | dict(zip(("level", "slope_x", "slope_y"), one.plane, strict=True))
            | {"n_cosmic": sum(int(hit.sum()) for hit in one.cosmic_rays)}
            for one in self.exposures
        ]
        return pd.DataFrame(rows)

    @property
    def stars(self) -> pd.DataFrame:
        """One row a star: ``ra, dec`` (ICRS, degrees) and ``flux`` (the sum over pixels of the nominal scale)."""
        import pandas as pd

        from nbmosaic.core.geometry.simulated import sky_positions

        xi, eta, flux = self.model.stars.T
        ra, dec = sky_positions(xi, eta, self.model.center)
        return pd.DataFrame({"ra": ra, "dec": dec, "flux": flux})

    def truth_on(self, wcs: WCS, shape: tuple[int, int]) -> FloatArray:
        """Noise-free surface brightness at all pixel centres of a grid.

        Parameters
        ----------
        wcs : astropy.wcs.WCS
            Celestial, longitude first.
        shape : tuple of int
            ``(ny, nx)``.

        Returns
        -------
        ndarray of float64, shape (ny, nx)
            Flux per nominal pixel (not per pixel of the grid).
        """
        from nbmosaic.core.geometry.simulated import tangent_offsets

        return brightness(self.model, *tangent_offsets(wcs, shape, self.model.center))


def simulate_exposures(
    folder: PathLike,
    *,
    seed: int = 1,
    n_exposures: int = 5,
    detectors: tuple[int, int] = (2, 4),
    size: tuple[int, int] = (256, 128),
    gap: int = 12,
    kind: str = "tpv",
    center: tuple[float, float] = (83.82, -5.39),
    scale_arcsec: float = 0.5,
    distortion: float = 0.01,
    rotation: float = 0.3,
    dither_pix: float = 16.0,
    background: float = 200.0,
    background_step: float = 30.0,
    background_slope: float = 10.0,
    piece_step: float = 0.0,
    detector: Detector | None = None,
    sky: SkyModel | None = None,
    variance: bool = False,
    overwrite: bool = False,
) -> ExposureSimulation:
    """Simulate dithered exposures of a mosaic camera and write them as multi-extension FITS files.

    The detectors lie behind a lens with radial distortion, with gaps between them, each turned a little. Pixels are surface brightness (as after
    flat-fielding). Bad columns hold a wrong value, are the same in all exposures, and are named by the keyword BPM of each piece.

    Parameters
    ----------
    folder : path
        Where the files go; made if missing. The mask of the camera goes to its subfolder ``masks``, variance planes to ``variance``.
    seed : int
        The same seed gives the same files.
    n_exposures : int
        Number of exposures.
    detectors : tuple of int
        Rows and columns of detectors.
    size : tuple of int
        ``(ny, nx)`` of a detector.
    gap : int
        Pixels between neighbours.
    kind : {"tpv", "sip", "tnx"}
        How headers write the distortion; all three say the same.
    center : tuple of float
        ICRS centre of the field (degrees).
    scale_arcsec : float
        Pixel scale on the optical axis.
    distortion : float
        Shift of the corner of the field over its distance from the optical axis.
    rotation : float
        Largest rotation of a detector, degrees.
    dither_pix : float
        Step from exposure to exposure along both axes; 0 for none.
    background, background_step : float
        Mean level of the sky and its standard deviation from exposure to exposure.
    background_slope : float
        Standard deviation of the rise of the background from one edge of the field to the other.
    piece_step : float
        Standard deviation of what each detector adds to its level in every exposure.
    detector : Detector, optional
        Noise and defects of a detector; default: noise of 3, 3 cosmic rays, 1 bad column. Bad columns are always masked, never NaN.
    sky : SkyModel, optional
        The noise-free sky; drawn from the seed by default.
    variance : bool
        Write the variance of every pixel, too, as ``variance/NAME.fits``.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    ExposureSimulation
        File names and truth.

    Raises
    ------
    ConfigError
        A number or name out of range.
    FormatError
        A file exists or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     night = simulate_exposures(folder, n_exposures=2, detectors=(1, 2), size=(64, 48))
    ...     [path.name for path in night.paths]
    ['exposure_0.fits', 'exposure_1.fits']
    """
    if n_exposures < 1:
        raise ConfigError(f"cannot simulate {n_exposures} exposures", hint="use n_exposures >= 1")
    detector = Detector(noise=3.0, cosmic_rays=3, bad_columns=1, bad_as="mask") if detector is None else detector
    rng = np.random.default_rng([seed, 0])
    camera = make_camera(rng, detectors=detectors, shape=size, gap=gap, scale_arcsec=scale_arcsec, distortion=distortion, rotation=rotation)
    extent = np.array([detectors[1] * (size[1] + gap), detectors[0] * (size[0] + gap)]) + dither_pix * n_exposures
    if sky is None:
        across, up = (float(1.02 * value * scale_arcsec) for value in extent)
        sky = make_sky(rng, center=center, extent_arcsec=(across, up), scale_arcsec=scale_arcsec)
    bad = tuple(_bad_columns(rng, size, detector.bad_columns) for _ in range(len(camera)))
    slope = background_slope / extent
    plan = _Plan(kind=kind, camera=camera, sky=sky, detector=detector, bad=bad, levels=piece_step * rng.normal(size=len(camera)), seed=seed)
    target = Path(folder)
    exposures = []
    try:
        _write_masks(target, bad, overwrite=overwrite, variance=variance)
        for number in range(n_exposures):
            own = np.random.default_rng([seed, number + 1])
            place = (number - (n_exposures - 1) / 2 + own.uniform(-0.1, 0.1, 2)) * dither_pix * scale_arcsec
            level = float(background + background_step * own.normal())
            plane = (level, float(slope[0] * own.normal()), float(slope[1] * own.normal()))
            done, images, planes = plan.expose(f"exposure_{number}.fits", place, plane, own)
            images.writeto(target / done.name, overwrite=overwrite)
            if variance:
                planes.writeto(target / VARIANCES / done.name, overwrite=overwrite)
            exposures.append(done)
    except OSError as error:
        raise FormatError(
            f"cannot write simulated exposures to {target}: {error}", hint="choose another folder or overwrite=True"
        ) from error
    return ExposureSimulation(
        folder=target, exposures=tuple(exposures), camera=camera, model=sky, detector=detector, bad=bad, piece_levels=plan.levels
    )


def _bad_columns(rng: np.random.Generator, shape: tuple[int, int], n: int) -> BoolArray:
    """Bad columns of a detector, some of them only up to the height where charge is blocked."""
    bad = np.zeros(shape, bool)
    for _ in range(n):
        bad[: int(rng.uniform(0.5, 1.5) * shape[0]), rng.integers(4, shape[1] - 4)] = True
    return bad


def _write_masks(target: Path, bad: tuple[BoolArray, ...], *, overwrite: bool, variance: bool) -> None:
    """Make the folders, and write the mask of the camera: one extension a detector, 1 where it is bad."""
    from astropy.io import fits

    for name in (MASKS, *([VARIANCES] if variance else [])):
        (target / name).mkdir(parents=True, exist_ok=True)
    hdus = [fits.ImageHDU(plane.astype(np.uint8), name=f"CCD{k + 1}") for k, plane in enumerate(bad)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(target / BAD_MASK, overwrite=overwrite)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Plan:
    """What all exposures share."""

    kind: str
    camera: Camera
    sky: SkyModel
    detector: Detector
    bad: tuple[BoolArray, ...]
    levels: FloatArray
    seed: int

    def expose(
        self, name: str, offset: FloatArray, plane: tuple[float, float, float], rng: np.random.Generator
    ) -> tuple[SimulatedExposure, HDUList, HDUList]:
        """One exposure, `offset` arcsec (east, north) from the centre of the sky: truth, images, variances."""
        from astropy.io import fits

        from nbmosaic.core.geometry.simulated import sky_positions

        ra, dec = (float(v) for v in sky_positions(offset[0], offset[1], self.sky.center))
        hits = []
        primary = {"OBJECT": "simulated field", "EXPTIME": 60.0, "SEED": self.seed}
        images, planes = fits.HDUList([fits.PrimaryHDU()]), fits.HDUList([fits.PrimaryHDU()])
        images[0].header.update(primary)
        for number in range(len(self.camera)):
            cards = detector_cards(self.camera, number, kind=self.kind, pointing=(ra, dec))
            header = self._header(number, cards)
            light = self._light(number, (ra, dec), plane)
            image, variance, hit = self._read_out(number, light, rng)
            images.append(fits.ImageHDU(image, header))
            planes.append(fits.ImageHDU(variance, name=f"CCD{number + 1}"))
            hits.append(hit)
        return SimulatedExposure(name=name, pointing=(ra, dec), plane=plane, cosmic_rays=tuple(hits)), images, planes

    def _header(self, number: int, cards: dict[str, str | float | int]) -> Header:
        from astropy.io.fits import Header

        header = Header()
        header.update({"EXTNAME": f"CCD{number + 1}", "BUNIT": "DN", **cards})
        if self.detector.bad_columns:
            header["BPM"] = f"{BAD_MASK}[CCD{number + 1}]"
        return header

    def _light(self, number: int, pointing: tuple[float, float], plane: tuple[float, float, float]) -> FloatArray:
        """Sky and background without noise."""
        from nbmosaic.core.geometry.simulated import sky_offsets, sky_positions

        xi, eta = camera_offsets(self.camera, number)
        image = brightness(self.sky, *sky_offsets(*sky_positions(xi, eta, pointing), self.sky.center))
        level, slope_x, slope_y = plane
        return image + level + self.levels[number] + (slope_y * eta - slope_x * xi) / self.camera.scale_arcsec

    def _read_out(self, number: int, light: FloatArray, rng: np.random.Generator) -> tuple[Float32Array, Float32Array, BoolArray]:
        """Image, variance and cosmic rays of one detector."""
        from dataclasses import replace

        seen = expose(light, (0.0, 0.0, 0.0), replace(self.detector, bad_columns=0), rng)
        image = seen.data
        image[self.bad[number]] = 6e4
        variance = np.full(light.shape, self.detector.noise**2)
        if self.detector.gain is not None:
            variance += np.maximum(light, 0) / self.detector.gain
        return image, variance.astype(np.float32), seen.cosmic_rays
