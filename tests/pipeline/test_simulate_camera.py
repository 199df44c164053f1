"""Simulated mosaic exposures are what they say they are: headers, pixels, masks and truth agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.camera import centroid

import nbmosaic
from nbmosaic.core.geometry.simulated import sky_positions
from nbmosaic.core.geometry.simulated_camera import camera_offsets, make_camera
from nbmosaic.core.geometry.sky import pixel_to_icrs
from nbmosaic.core.simulation import Detector, SkyModel
from nbmosaic.errors import ConfigError, FormatError
from nbmosaic.io.exposure import open_exposure
from nbmosaic.pipeline.simulation.exposures import simulate_exposures

CLEAN = Detector(noise=0.0, cosmic_rays=0, bad_columns=0, bad_as="mask")
SMALL = {"n_exposures": 1, "detectors": (2, 2), "size": (90, 80)}


def star_field(n: int = 36, fwhm: float = 3.0) -> SkyModel:
    """Gaussian stars on a jittered lattice, none blended."""
    rng = np.random.default_rng(4)
    side = round(np.sqrt(n))
    y, x = np.divmod(np.arange(n), side)
    xy = (np.stack([x, y], axis=1) - (side - 1) / 2 + rng.uniform(-0.2, 0.2, (n, 2))) * 14.0
    none = np.zeros((0, 7))
    return SkyModel(
        center=(83.82, -5.39),
        extent_arcsec=(90.0, 90.0),
        scale_arcsec=0.5,
        fwhm_arcsec=0.5 * fwhm,
        beta=np.inf,
        stars=np.column_stack([xy, rng.uniform(1e4, 5e4, n)]),
        galaxies=none,
        clouds=none[:, :6],
        modes=np.zeros((2, 0, 4)),
    )


@pytest.mark.parametrize("kind", ["tpv", "sip", "tnx"])
def test_headers_say_where_the_pixels_are(kind: str, tmp_path: Path) -> None:
    night = simulate_exposures(tmp_path, kind=kind, seed=3, **SMALL)
    pieces = open_exposure(str(night.paths[0])).pieces
    assert [piece.extname for piece in pieces] == ["CCD1", "CCD2", "CCD3", "CCD4"]
    y, x = np.mgrid[0:90:11, 0:80:13]
    for number, piece in enumerate(pieces):
        ra, dec = pixel_to_icrs(piece.info.wcs, x.astype(float), y.astype(float))
        xi, eta = camera_offsets(night.camera, number)
        true = sky_positions(xi[y, x], eta[y, x], night.exposures[0].pointing)
        assert np.abs(np.stack([ra, dec]) - true).max() * 3600 < 1e-7


def test_stars_are_where_header_and_truth_say(tmp_path: Path) -> None:
    sky = star_field()
    night = simulate_exposures(tmp_path, sky=sky, detector=CLEAN, background_step=0.0, background_slope=0.0, **SMALL)
    stars, seen = night.stars, 0
    for number, piece in enumerate(open_exposure(str(night.paths[0])).pieces):
        image = fits.getdata(night.paths[0], number + 1).astype(float)
        x, y = piece.info.wcs.all_world2pix(stars["ra"], stars["dec"], 0)
        for sx, sy, flux in zip(x, y, stars["flux"], strict=True):
            if not (12 <= sx < 68 and 12 <= sy < 78):
                continue
            found = centroid(image, sx, sy, sigma=3.0 / 2.3548, level=200.0)
            assert np.hypot(found[0] - sx, found[1] - sy) < 2e-3
            cut = image[round(sy) - 9 : round(sy) + 10, round(sx) - 9 : round(sx) + 10] - 200.0
            # surface brightness: a pixel covers more sky off the axis, by up to 1 + 4 x distortion, and holds what the nominal pixel would
            assert 0.94 < cut.sum() / flux < 1.001
            seen += 1
    assert seen >= 15


def test_mosaic_of_it_is_the_truth(tmp_path: Path) -> None:
    night = simulate_exposures(tmp_path, sky=star_field(fwhm=3.5), detector=CLEAN, background_step=0, background_slope=0, **SMALL)
    image = nbmosaic.mscimage(night.paths[0], interpolant="sinc", trim=15)
    truth = night.truth_on(image.wcs, image.shape) + 200.0
    good = image.mask == 0
    assert good.mean() > 0.25
    assert np.abs(image.data - truth)[good].max() < 2e-3 * truth.max()


def test_noise_levels_and_bad_columns(tmp_path: Path) -> None:
    none = star_field(0)
    detector = Detector(noise=4.0, cosmic_rays=2, bad_columns=2, bad_as="mask")
    night = simulate_exposures(
        tmp_path,
        sky=none,
        detector=detector,
        n_exposures=2,
        detectors=(1, 2),
        size=(120, 110),
        piece_step=20.0,
        background_slope=12.0,
        variance=True,
    )
    truth = night.table
    for exposure in range(2):
        pieces = open_exposure(str(night.paths[exposure]), variance="variance/{stem}.fits").pieces
        for number, piece in enumerate(pieces):
            pixels = piece.info.source.load()
            np.testing.assert_array_equal(pixels.mask, night.bad[number])
            assert pixels.mask.any()
            assert (pixels.data[pixels.mask] == 6e4).all()
            good = ~pixels.mask & ~night.exposures[exposure].cosmic_rays[number]
            xi, eta = camera_offsets(night.camera, number)
            row = truth.iloc[exposure]
            expected = row["level"] + night.piece_levels[number] + (row["slope_y"] * eta - row["slope_x"] * xi) / 0.5
            left = (pixels.data - expected)[good]
            assert abs(left.mean()) < 5 * 4.0 / np.sqrt(left.size)
            assert left.std() == pytest.approx(4.0, rel=0.03)
            np.testing.assert_allclose(pixels.variance, 16.0)
    assert truth["level"].nunique() == 2


def test_poisson_noise_is_in_the_variance(tmp_path: Path) -> None:
    detector = Detector(noise=1.0, gain=0.5, cosmic_rays=0, bad_columns=0, bad_as="mask")
    simulate_exposures(tmp_path, sky=star_field(0), detector=detector, n_exposures=1, detectors=(1, 1), size=(150, 150), variance=True)
    image = fits.getdata(tmp_path / "exposure_0.fits", 1)
    variance = fits.getdata(tmp_path / "variance" / "exposure_0.fits", 1)
    assert variance.mean() == pytest.approx(1.0 + np.mean(image) / 0.5, rel=0.02)
    assert image.std() ** 2 == pytest.approx(variance.mean(), rel=0.1)


def test_same_seed_same_files(tmp_path: Path) -> None:
    for name in "ab":
        simulate_exposures(tmp_path / name, seed=5, **SMALL)
    one, two = ((tmp_path / name / "exposure_0.fits").read_bytes() for name in "ab")
    assert one == two


def test_bad_numbers(tmp_path: Path) -> None:
    for options, words in (({"n_exposures": 0}, "0 exposures"), ({"kind": "tan"}, "'tan'"), ({"size": (4, 9)}, "8 x 8")):
        with pytest.raises(ConfigError, match=words):
            simulate_exposures(tmp_path, **options)
    simulate_exposures(tmp_path / "once", **SMALL)
    with pytest.raises(FormatError, match="overwrite"):
        simulate_exposures(tmp_path / "once", **SMALL)
    with pytest.raises(ConfigError):
        make_camera(np.random.default_rng(1), detectors=(0, 2))
