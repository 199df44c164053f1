from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip
from support.shared import shared_path
from support.wcs_cases import AXES, astropy_map, centre_in, header_wcs, plain_wcs, sip_wcs, tpv_wcs

from nbmosaic.core.geometry.sky import (
    SkyPixels,
    celestial_transform,
    centre_and_corners,
    frame_footprint,
    icrs_to_pixel,
    pixel_scale_arcsec,
    pixel_to_icrs,
)
from nbmosaic.core.geometry.systems import celestial_system, frame_change, same_celestial_frame
from nbmosaic.errors import WcsError

SHAPE = (180, 220)
CENTRES = {system: centre_in(system, 150.0, 32.0) for system in AXES}


def header(**cards):
    out = fits.Header()
    out["CTYPE1"], out["CTYPE2"] = "RA---TAN", "DEC--TAN"
    out["CRVAL1"], out["CRVAL2"], out["CDELT1"], out["CDELT2"] = 10.0, 20.0, -0.001, 0.001
    for key, value in cards.items():
        out[key] = value
    return out


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, ("icrs", 0.0)),
        ({"EQUINOX": 2000.0}, ("fk5", 2000.0)),
        ({"EQUINOX": 1950.0}, ("fk4", 1950.0)),
        ({"EPOCH": 1950.0}, ("fk4", 1950.0)),
        ({"EPOCH": 0.0}, ("fk4", 1950.0)),
        ({"RADESYS": "FK5"}, ("fk5", 2000.0)),
        ({"RADESYS": "FK5", "EQUINOX": 2015.5}, ("fk5", 2015.5)),
        ({"RADESYS": "FK4"}, ("fk4", 1950.0)),
        ({"RADESYS": "ICRS", "EQUINOX": 2000.0}, ("icrs", 0.0)),
        ({"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "RADESYS": "FK5", "EQUINOX": 2000.0}, ("galactic", 0.0)),
        ({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}, ("icrs", 0.0)),
        ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}, ("ecliptic", 2000.0)),
        ({"CTYPE1": "SLON-TAN", "CTYPE2": "SLAT-TAN"}, ("supergalactic", 0.0)),
    ],
)
def test_system_defaults(cards, expected):
    assert celestial_system(WCS(header(**cards), fix=False)) == expected


def test_same_frame():
    assert same_celestial_frame(WCS(header()), WCS(header(RADESYS="ICRS")))
    assert not same_celestial_frame(WCS(header()), WCS(header(EQUINOX=2000.0)))


@pytest.mark.parametrize("target_system", CENTRES)
@pytest.mark.parametrize("source_system", CENTRES)
def test_every_change_of_system_agrees_with_astropy(source_system, target_system):
    source = plain_wcs("TAN", CENTRES[source_system], 0.002, SHAPE, rotation=20, system=source_system)
    target = plain_wcs("SIN", CENTRES[target_system], 0.002, SHAPE, system=target_system)
    y, x = np.mgrid[-5:190:13, -5:230:13].astype(float)
    np.testing.assert_allclose(celestial_transform(source, target)(x, y), astropy_map(source, target, x, y), atol=2e-7)


@pytest.mark.parametrize("name", ["TAN", "SIN", "STG", "ARC", "ZEA", "CAR", "CEA", "MER", "AIT", "MOL", "SFL", "PAR", "HPX", "TSC"])
def test_projections_agree_with_astropy(name):
    source = plain_wcs("TAN", (40.0, 30.0), 0.05, SHAPE)
    centre = (40.0, 30.0) if name in ("TAN", "SIN", "STG", "ARC", "ZEA") else (30.0, 0.0)
    target = plain_wcs(name, centre, 0.05, SHAPE, rotation=10)
    y, x = np.mgrid[0:180:9, 0:220:9].astype(float)
    np.testing.assert_allclose(celestial_transform(source, target)(x, y), astropy_map(source, target, x, y), atol=1e-8)


@pytest.mark.parametrize(
    "frame",
    [
        sip_wcs((150.0, 32.0), 0.001, SHAPE, strength=3.0),
        sip_wcs((150.0, 32.0), 0.001, SHAPE, strength=12.0, seed=4),
        tpv_wcs((150.0, 32.0), 0.001, SHAPE),
        tpv_wcs((150.0, 32.0), 0.001, SHAPE, ctype="TAN"),
        plain_wcs("TAN", (150.0, 32.0), 0.001, SHAPE, latitude_first=True, rotation=40),
        sip_wcs((0.0, 89.99), 0.001, SHAPE),
    ],
    ids=["sip", "strong-sip", "tpv", "tan-pv", "latitude-first", "pole"],
)
def test_distorted_frames_lead_there_and_back(frame):
    y, x = np.mgrid[-0.5:180:7, -0.5:220:7]
    sky = SkyPixels(frame)
    lon, lat = sky.to_sky(x, y)
    expected = frame.all_pix2world(x.ravel(), y.ravel(), 0)
    np.testing.assert_array_equal(lon.ravel(), expected[frame.wcs.lng])
    u, v = sky.to_pixel(lon, lat)
    np.testing.assert_allclose(u, x, atol=2e-7)
    np.testing.assert_allclose(v, y, atol=2e-7)


def test_a_distortion_that_folds_gives_nan_never_a_wrong_value():
    wcs = plain_wcs("TAN", (10.0, 10.0), 0.001, (200, 200))
    a = np.zeros((4, 4))
    a[3, 0] = -4e-5  # x - 4e-5 x^3 turns round at 91 pixels and reaches no further than 61
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.sip = Sip(a, np.zeros((4, 4)), None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    flat = plain_wcs("TAN", (10.0, 10.0), 0.001, (200, 200))
    y, x = np.mgrid[-300:500:10, -300:500:10].astype(float)
    u, v = celestial_transform(flat, wcs)(x, y)
    found = np.isfinite(u)
    lost = np.abs(x - 99.5) < 58
    assert found[lost].mean() > 0.9
    back = celestial_transform(wcs, flat)(u[found], v[found])
    np.testing.assert_allclose(back, [x[found], y[found]], atol=1e-6)


def test_single_failures_of_the_iteration_in_wcslib_are_mended():
    wcs, shape = header_wcs(shared_path("data/headers/galsim__tpv_odd.hdr"))
    y, x = np.mgrid[0 : shape[0] : 3, 0 : shape[1] : 3].astype(float)
    sky = SkyPixels(wcs)
    u, v = sky.to_pixel(*sky.to_sky(x, y))
    np.testing.assert_allclose(u, x, atol=1e-6)
    np.testing.assert_allclose(v, y, atol=1e-6)


def test_undefined_positions_are_nan_and_shapes_are_kept():
    near = plain_wcs("TAN", (0.0, 0.0), 0.5, (100, 100))
    far = plain_wcs("TAN", (180.0, 0.0), 0.01, (100, 100))
    y, x = np.mgrid[0:100:25, 0:100:20].astype(float)
    u, v = celestial_transform(near, far)(x, y)
    assert u.shape == v.shape == x.shape
    assert np.isnan(u).all()
    u, v = celestial_transform(near, near)(np.array([np.nan, 3.0]), np.array([1.0, 4.0]))
    np.testing.assert_allclose([u[1], v[1]], [3.0, 4.0], atol=1e-9)
    assert np.isnan(u[0])
    assert np.isnan(v[0])
    assert celestial_transform(near, far)(np.empty((0, 3)), np.empty((0, 3)))[0].shape == (0, 3)
    assert np.isnan(celestial_transform(plain_wcs("AIT", (0.0, 0.0), 1.0, (180, 360)), near)(np.array([2.0]), np.array([2.0]))[0]).all()


def test_cylindrical_pixels_beyond_180_degrees():
    shape = (90, 360)
    wcs = plain_wcs("CAR", (0.0, 0.0), 1.0, shape, crpix=[1.0, 45.5])  # native longitude 0 to -359
    x, y = np.array([10.0, 179.0, 200.0, 340.0]), np.array([40.0, 50.0, 44.5, 10.0])
    sky = SkyPixels(wcs, shape)
    lon, lat = sky.to_sky(x, y)
    np.testing.assert_allclose(lon, (-x) % 360, atol=1e-9)
    np.testing.assert_allclose(lat, y - 44.5, atol=1e-9)
    np.testing.assert_allclose(sky.to_pixel(lon, lat), [x, y], atol=1e-9)
    assert np.isnan(sky.to_sky(np.array([5.0]), np.array([200.0]))[0]).all()  # beyond the pole


def test_threads_that_share_a_wcs_get_the_same_bits():
    grid = plain_wcs("TAN", (150.0, 32.0), 0.001, (3000, 3000), system="galactic")
    frames = [sip_wcs((150.0, 32.0), 0.001, SHAPE, seed=k) for k in range(16)]
    x = np.linspace(0, 200, 5000)

    def run(frame):
        return np.stack(celestial_transform(frame, grid)(x, x[::-1]))

    alone = [run(frame) for frame in frames]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(run, frames))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_inputs_are_left_alone():
    wcs = tpv_wcs((150.0, 32.0), 0.001, SHAPE)
    before = wcs.to_header(relax=True).tostring()
    car = plain_wcs("CAR", (0.0, 0.0), 1.0, (180, 500), crpix=[1.0, 90.5])
    celestial_transform(wcs, car, target_shape=(180, 500))(np.zeros(3), np.zeros(3))
    assert wcs.to_header(relax=True).tostring() == before
    assert np.isnan(car.all_pix2world(400.0, 90.0, 0)).any()  # astropy's own bounds check is still on


@pytest.mark.parametrize("names", [("LINEAR", "LINEAR"), ("FREQ", "STOKES")])
def test_not_celestial(names):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = names
    with pytest.raises(WcsError, match="no celestial axes"):
        SkyPixels(wcs)


def test_three_axes_and_broken_matrices_are_named():
    with pytest.raises(WcsError, match="3 axes"):
        celestial_system(WCS(naxis=3))
    wcs = plain_wcs("TAN", (0.0, 0.0), 0.001, SHAPE)
    wcs.wcs.cd = np.zeros((2, 2))
    with pytest.raises(WcsError, match="cannot be used"):
        SkyPixels(wcs)


def test_unknown_systems_only_go_with_themselves():
    wcs = plain_wcs("CAR", (0.0, 0.0), 1.0, SHAPE)
    wcs.wcs.ctype = ["HLON-CAR", "HLAT-CAR"]
    wcs.wcs.radesys = ""
    wcs.wcs.set()
    u, _ = celestial_transform(wcs, wcs)(np.array([3.0]), np.array([4.0]))
    np.testing.assert_allclose(u, 3.0)
    with pytest.raises(WcsError, match="HLON"):
        celestial_transform(wcs, plain_wcs("CAR", (0.0, 0.0), 1.0, SHAPE))
    assert frame_change(celestial_system(wcs), celestial_system(wcs)) is None


def test_pixel_scale():
    assert pixel_scale_arcsec(plain_wcs("TAN", (1.0, 2.0), 0.001, SHAPE, rotation=33)) == pytest.approx(3.6)
    assert pixel_scale_arcsec(plain_wcs("CAR", (1.0, 0.0), 0.5, SHAPE, crpix=[-3000.0, 1.0])) == pytest.approx(1800.0)
    tpv = tpv_wcs((150.0, 32.0), 0.001, SHAPE)
    x, y = tpv.wcs.crpix - 1
    a = pixel_to_icrs(tpv, np.array([x, x + 1e-2, x]), np.array([y, y, y + 1e-2]))
    plane = np.stack([a[0] * np.cos(np.radians(a[1][0])), a[1]])
    area = np.abs(np.linalg.det((plane[:, 1:] - plane[:, :1]) / 1e-2))
    assert pixel_scale_arcsec(tpv) == pytest.approx(3600 * np.sqrt(area), rel=1e-4)


def test_icrs_helpers_agree_with_astropy():
    wcs = plain_wcs("TAN", CENTRES["galactic"], 0.001, SHAPE, system="galactic")
    icrs = plain_wcs("TAN", (150.0, 32.0), 0.001, SHAPE)
    x, y = np.array([0.0, 100.0, 219.0]), np.array([3.0, 90.0, 179.0])
    u, v = astropy_map(wcs, icrs, x, y)
    ra, dec = icrs.all_pix2world(u, v, 0)
    np.testing.assert_allclose(pixel_to_icrs(wcs, x, y), [ra, dec], atol=1e-9)
    np.testing.assert_allclose(icrs_to_pixel(wcs, ra, dec), [x, y], atol=1e-6)


def test_outline_of_a_frame():
    wcs = plain_wcs("TAN", (10.0, 80.0), 0.01, (40, 60), rotation=15)
    centre, corners = centre_and_corners(wcs, (40, 60))
    np.testing.assert_allclose(centre, [10.0, 80.0], atol=1e-10)
    expected = wcs.all_pix2world([[0.5, 0.5], [0.5, 40.5], [60.5, 40.5], [60.5, 0.5]], 1)  # Montage's order, FITS pixels
    np.testing.assert_allclose(corners, expected, atol=1e-10)
    footprint = frame_footprint(wcs, (40, 60), points_per_edge=5)
    assert footprint.lon.shape == footprint.lat.shape == (20,)
    np.testing.assert_allclose(np.stack([footprint.lon, footprint.lat], 1)[::5], corners, atol=1e-10)
    x, y = wcs.all_world2pix(footprint.lon, footprint.lat, 0)
    off_edge = np.minimum(np.minimum(abs(x + 0.5), abs(x - 59.5)), np.minimum(abs(y + 0.5), abs(y - 39.5)))
    assert off_edge.max() < 1e-8
