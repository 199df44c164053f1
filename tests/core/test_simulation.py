"""The simulated sky is what it says it is: its truth is the oracle of many other tests."""

from __future__ import annotations

import time

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from nbmosaic.core.geometry.simulated import HEADER_KINDS, header_cards, sky_offsets, sky_positions, tangent_offsets
from nbmosaic.core.simulation import Detector, SkyModel, brightness, expose, make_sky
from nbmosaic.errors import ConfigError, FormatError
from nbmosaic.pipeline.simulation.frames import simulate, simulate_frames

CENTER = (83.82, -5.39)


def lone_star(flux: float, *, beta: float, x: float = 0.0, y: float = 0.0) -> SkyModel:
    none = np.zeros((0, 7))
    return SkyModel(
        center=CENTER,
        extent_arcsec=(200.0, 200.0),
        scale_arcsec=1.0,
        fwhm_arcsec=2.7,
        beta=beta,
        stars=np.array([[x, y, flux]]),
        galaxies=none,
        clouds=none[:, :6],
        modes=np.zeros((2, 0, 4)),
    )


@pytest.mark.parametrize(("beta", "tolerance"), [(np.inf, 1e-6), (3.0, 5e-4)])
def test_star_has_its_flux_and_width(beta, tolerance):
    eta, xi = np.mgrid[-90:91, -90:91].astype(float)
    image = brightness(lone_star(2e4, beta=beta, x=0.3, y=-0.2), xi, eta)
    assert image.sum() == pytest.approx(2e4, rel=tolerance)  # the wings of a Moffat star end where they fall below the floor
    peak = brightness(lone_star(2e4, beta=beta), np.array(0.0), np.array(0.0))
    half = brightness(lone_star(2e4, beta=beta), np.array(2.7 / 2), np.array(0.0))
    assert float(half / peak) == pytest.approx(0.5, abs=1e-12)


def test_blocks_do_not_change_the_sum():
    """Twin: every source at every point, no blocks, no reach."""
    sky = make_sky(np.random.default_rng(5), center=CENTER, extent_arcsec=(150.0, 110.0), n_galaxies=6)
    eta, xi = np.mgrid[-55:55, -75:75].astype(float)
    slow = np.zeros(xi.shape)
    core = sky.fwhm_arcsec / (2 * np.sqrt(2 ** (1 / sky.beta) - 1))
    for x, y, flux in sky.stars:
        slow += flux * (sky.beta - 1) / (np.pi * core**2) * (1 + ((xi - x) ** 2 + (eta - y) ** 2) / core**2) ** -sky.beta
    soft = (sky.fwhm_arcsec / (2 * np.sqrt(2 * np.log(2)))) ** 2
    for x, y, peak, radius, ratio, angle, exponent in sky.galaxies:
        u = (xi - x) * np.cos(angle) + (eta - y) * np.sin(angle)
        v = ((eta - y) * np.cos(angle) - (xi - x) * np.sin(angle)) / ratio
        slow += peak * np.exp(-((np.sqrt(u**2 + v**2 + soft) / radius) ** (1 / exponent)))
    envelope = np.zeros(xi.shape)
    for x, y, peak, sigma, ratio, angle in sky.clouds:
        u = (xi - x) * np.cos(angle) + (eta - y) * np.sin(angle)
        v = ((eta - y) * np.cos(angle) - (xi - x) * np.sin(angle)) / ratio
        envelope += peak * np.exp(-(u**2 + v**2) / (2 * sigma**2))
    gas, web = (sum(a * np.cos(kx * xi + ky * eta + p) for kx, ky, p, a in modes) for modes in sky.modes)
    slow += envelope * np.exp(sky.turbulence * gas - sky.turbulence**2 / 2)
    slow += sky.filament_peak * envelope**0.8 * np.exp(-(web**2) / (2 * sky.filament_width**2)) / (1 + np.exp(-2 * gas))
    n_sources = len(sky.stars) + len(sky.galaxies)
    np.testing.assert_allclose(brightness(sky, xi, eta), slow, rtol=0, atol=1e-4 * n_sources)
    np.testing.assert_array_equal(brightness(sky, xi, eta)[40:50, 30:60], brightness(sky, xi[40:50, 30:60], eta[40:50, 30:60]))


def test_brightness_of_points_and_of_nothing():
    sky = lone_star(100.0, beta=np.inf)
    assert brightness(sky, np.array([]), np.array([])).shape == (0,)
    values = brightness(sky, np.array([[0.0, np.nan, 50.0]]), 0.0)
    assert values.shape == (1, 3)
    assert values[0, 0] > 10
    assert values[0, 1] == values[0, 2] == 0


def test_random_fields_have_unit_variance():
    sky = make_sky(np.random.default_rng(2), center=CENTER, extent_arcsec=(900.0, 900.0))
    for modes in sky.modes:
        assert np.sum(modes[:, 3] ** 2) / 2 == pytest.approx(1)
        assert (2 * np.pi / np.hypot(modes[:, 0], modes[:, 1])).min() >= 24


@pytest.mark.parametrize("kind", HEADER_KINDS)
def test_headers_put_the_frame_where_asked(kind):
    """All kinds: centre, scale, parity and position angle of the y axis, through astropy."""
    rotation = 0.0 if kind == "cdelt" else 20.0
    cards = header_cards(kind, (101, 121), center=CENTER, scale_arcsec=1.5, rotation=rotation)
    wcs = WCS(cards)
    middle, up, right = (wcs.pixel_to_world(x, y).icrs for x, y in ((60, 50), (60, 51), (61, 50)))
    assert middle.separation(SkyCoord(*CENTER, unit="deg")).arcsec < 0.03
    tolerance = 0.02 if kind in ("sip", "tpv") else 1e-5  # the distortion is small but not zero one pixel from the centre
    assert middle.separation(up).arcsec == pytest.approx(1.5, rel=tolerance)
    assert middle.position_angle(up).deg % 360 == pytest.approx(rotation, abs=1 if tolerance > 1e-3 else 1e-2)
    assert (middle.position_angle(right).deg - rotation) % 360 == pytest.approx(270, abs=1 if tolerance > 1e-3 else 1e-2)


def test_distorted_headers_are_distorted():
    for kind in ("sip", "tpv"):
        plain, bent = (WCS(header_cards(k, (200, 200), center=CENTER, scale_arcsec=1.0, rotation=5.0)) for k in ("cd", kind))
        corner = plain.pixel_to_world(199, 0).separation(bent.pixel_to_world(199, 0)).arcsec
        assert 0.5 < corner < 4


@pytest.mark.parametrize("frame", ["galactic", "fk5", "fk4", "icrs", "barycentricmeanecliptic"])
def test_tangent_offsets_agree_with_astropy(frame):
    place = SkyCoord(*CENTER, unit="deg").transform_to(frame)
    lon, lat = place.spherical.lon.deg, place.spherical.lat.deg
    names = {"galactic": "GLON GLAT", "barycentricmeanecliptic": "ELON ELAT"}.get(frame, "RA-- DEC-").split()
    cards = {"CTYPE1": f"{names[0]}-TAN", "CTYPE2": f"{names[1]}-TAN", "CRVAL1": lon, "CRVAL2": lat, "CRPIX1": 8.0, "CRPIX2": 3.0}
    cards |= {"CDELT1": -0.01, "CDELT2": 0.01}
    cards |= {"fk5": {"EQUINOX": 2000.0, "RADESYS": "FK5"}, "fk4": {"EQUINOX": 1950.0, "RADESYS": "FK4"}}.get(frame, {"RADESYS": "ICRS"})
    wcs = WCS(cards)
    if frame == "barycentricmeanecliptic":
        x, y = np.meshgrid(np.arange(12), np.arange(5))
        lon, lat = wcs.all_pix2world(x, y, 0)
        sky = SkyCoord(lon, lat, unit="deg", frame=frame).icrs
    else:
        sky = wcs.pixel_to_world(*np.meshgrid(np.arange(12), np.arange(5))).icrs
    offsets = sky.transform_to(SkyCoord(*CENTER, unit="deg").skyoffset_frame()).cartesian.xyz.value
    xi, eta = tangent_offsets(wcs, (5, 12), CENTER)
    np.testing.assert_allclose(xi, np.degrees(offsets[1] / offsets[0]) * 3600, rtol=0, atol=1e-4)
    np.testing.assert_allclose(eta, np.degrees(offsets[2] / offsets[0]) * 3600, rtol=0, atol=1e-4)


def test_offsets_and_positions_are_inverse():
    rng = np.random.default_rng(3)
    for center in ((0.001, 89.5), (359.9, -30.0), CENTER):
        xi, eta = rng.uniform(-4000, 4000, (2, 50))
        again = sky_offsets(*sky_positions(xi, eta, center), center)
        np.testing.assert_allclose(again, (xi, eta), rtol=0, atol=1e-7)
    assert np.isnan(sky_offsets(np.array([180.0]), np.array([0.0]), (0.0, 0.0))[0]).all()


def test_truth_on_any_grid_is_the_same_sky():
    """A frame without noise and plane is the truth on its own grid, whatever its header kind; and `sky` agrees."""
    clean = Detector(noise=0.0, cosmic_rays=0, bad_columns=0)
    field = simulate(n_frames=8, size=48, kinds=HEADER_KINDS, background=0, background_step=0, background_slope=0, detector=clean)
    assert {f.kind for f in field.frames} == set(HEADER_KINDS)
    for frame in field.frames:
        truth = field.truth_on(frame.wcs, frame.data.shape)
        np.testing.assert_array_equal(frame.data, truth.astype(np.float32))
        place = frame.wcs.pixel_to_world(*np.meshgrid(np.arange(48), np.arange(48))).icrs
        np.testing.assert_allclose(field.sky(place.ra.deg, place.dec.deg), truth, rtol=1e-6, atol=1e-6)


def test_frames_hold_sky_plane_noise_and_defects():
    field = simulate(n_frames=4, size=(120, 100), seed=7, detector=Detector(noise=3.0, cosmic_rays=6, bad_columns=2))
    for frame in field.frames:
        assert frame.data.shape == (120, 100)
        assert frame.data.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(frame.data), frame.bad)
        assert frame.cosmic_rays.any()
        rest = frame.data - field.truth_on(frame.wcs, frame.data.shape) - frame.background()
        clean = rest[~(frame.bad | frame.cosmic_rays)]
        assert clean.mean() == pytest.approx(0, abs=5 * 3 / np.sqrt(clean.size))
        assert clean.std() == pytest.approx(3.0, rel=0.04)
        assert rest[frame.cosmic_rays & ~frame.bad].min() > 60
    assert len(field.table) == 4
    level, slope_x, slope_y = field.table.loc[1, ["level", "slope_x", "slope_y"]]
    assert field.frames[1].background()[0, 0] == pytest.approx(level - slope_x * 49.5 - slope_y * 59.5)


def test_poisson_noise_grows_with_the_light():
    rng = np.random.default_rng(11)
    detector = Detector(noise=1.0, gain=2.0, cosmic_rays=0, bad_columns=0)
    for level in (0.0, 400.0):
        data = expose(np.zeros((300, 300)), (level, 0.0, 0.0), detector, rng).data
        assert data.mean() == pytest.approx(level, abs=0.3)
        assert data.var() == pytest.approx(1 + level / 2, rel=0.03)


def test_same_seed_same_frames():
    one, two, other = (simulate(n_frames=3, size=40, seed=s) for s in (4, 4, 5))
    for a, b, c in zip(one.frames, two.frames, other.frames, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        assert not np.array_equal(a.data, c.data)


def test_neighbours_overlap_and_the_field_is_covered():
    field = simulate(n_frames=12, size=60, seed=2, kinds=("crota", "galactic", "sin"))
    width, height = field.model.extent_arcsec
    counts = np.zeros((int(height), int(width)), int)
    eta, xi = np.indices(counts.shape) - (np.array(counts.shape)[:, None, None] - 1) / 2
    ra, dec = sky_positions(xi, eta, field.model.center)
    sky = SkyCoord(ra, dec, unit="deg")
    for frame in field.frames:
        x, y = frame.wcs.world_to_pixel(sky)
        counts += (x > -0.5) & (x < 59.5) & (y > -0.5) & (y < 59.5)
    inner = counts[20:-20, 20:-20]
    assert (inner > 0).mean() > 0.99
    assert (inner > 1).mean() > 0.2


def test_files_hold_the_frames(tmp_path):
    detector = Detector(bad_as="mask", bad_columns=2)
    field = simulate_frames(tmp_path / "new", n_frames=3, size=40, kinds=("sip", "tpv", "pc"), detector=detector)
    assert [p.parent for p in field.paths] == [tmp_path / "new"] * 3
    for path, frame in zip(field.paths, field.frames, strict=True):
        with fits.open(path) as hdus:
            np.testing.assert_array_equal(hdus[0].data, frame.data)
            assert hdus[0].header["BUNIT"] == "DN"
            read = WCS(hdus[0].header)
        assert read.pixel_to_world(3, 7).separation(frame.wcs.pixel_to_world(3, 7)).arcsec < 1e-6
        np.testing.assert_array_equal(fits.getdata(tmp_path / "new" / "masks" / path.name).astype(bool), frame.bad)
        assert np.isfinite(frame.data).all()
        assert frame.data[frame.bad].min() == 6e4
    with pytest.raises(FormatError, match="cannot write simulated frames"):
        simulate_frames(tmp_path / "new", n_frames=3, size=40, kinds=("sip", "tpv", "pc"), detector=detector)


@pytest.mark.parametrize(
    "options",
    [{"n_frames": 0}, {"size": 4}, {"overlap": 1.0}, {"kinds": ()}, {"kinds": ("zenith",)}],
    ids=lambda o: next(iter(o)),
)
def test_wrong_options_are_named(options):
    with pytest.raises(ConfigError, match=r"simulate|zenith"):
        simulate(**{"n_frames": 1, "size": 32} | options)


def test_wrong_detector_and_stars_are_named():
    with pytest.raises(ConfigError, match="bad_as"):
        Detector(bad_as="zero")
    with pytest.raises(ConfigError, match="gain"):
        Detector(gain=0.0)
    with pytest.raises(ConfigError, match="beta"):
        make_sky(np.random.default_rng(1), center=CENTER, extent_arcsec=(50.0, 50.0), beta=1.0)


@pytest.mark.benchmark
def test_twelve_frames_take_no_time():
    simulate(n_frames=1, size=32)
    start = time.process_time()
    simulate(n_frames=12, size=256)
    assert time.process_time() - start < 4  # 0.6 s on an idle core of 2026: this only catches a loop over pixels
