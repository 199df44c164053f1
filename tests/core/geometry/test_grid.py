import time

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.shared import shared_path
from support.wcs_cases import astropy_map, plain_wcs, quiet_wcs, sip_wcs

from nbmosaic.core.geometry.grid import PROJECTIONS, crop_grid, fit_grid
from nbmosaic.core.geometry.sky import pixel_scale_arcsec
from nbmosaic.core.geometry.systems import celestial_system
from nbmosaic.core.geometry.zenithal import Pose, project
from nbmosaic.errors import InputError, WcsError
from nbmosaic.types import MosaicGrid, PixelBox

SHAPE = (200, 300)
SYSTEMS = ("icrs", "fk5", "fk4", "galactic", "ecliptic")


def field(lon, lat, *, n=8, spread=0.4, scale=0.001, seed=0, rotation=None):
    """Frames strewn about a point, on a plane tangent there so that poles are nothing special."""
    rng = np.random.default_rng(seed)
    plane = plain_wcs("TAN", (lon, lat), 1.0, (1, 1))
    out = []
    for k in range(n):
        centre = [float(a) for a in plane.all_pix2world(*rng.uniform(-spread, spread, 2), 0)]
        angle = rng.uniform(0, 360) if rotation is None else rotation
        make = sip_wcs if k % 2 else plain_wcs
        args = (centre, scale, SHAPE) if make is sip_wcs else ("TAN", centre, scale, SHAPE)
        out.append((make(*args, rotation=angle), SHAPE))
    return out


def margins(grid, frames, points=301):
    """Pixels between the outer edges of the grid and those of the frames: left, right, bottom, top."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for wcs, (ny, nx) in frames:
        tx, ty = np.linspace(-0.5, nx - 0.5, points), np.linspace(-0.5, ny - 0.5, points)
        o = np.ones(points)
        x, y = np.concatenate([tx, tx, -0.5 * o, (nx - 0.5) * o]), np.concatenate([-0.5 * o, (ny - 0.5) * o, ty, ty])
        place = astropy_map(wcs, grid.wcs, x, y)
        assert np.isfinite(place).all()
        low, high = np.minimum(low, place.min(axis=1)), np.maximum(high, place.max(axis=1))
    size = np.array(grid.shape[::-1])
    return np.stack([low + 0.5, size - 0.5 - high], axis=1)


def rotation_of(wcs):
    pc = wcs.wcs.get_pc()
    return float(np.degrees(np.arctan2(-pc[1, 0], pc[0, 0])))


PLACES = [(150.0, 32.0), (0.0, 0.0), (359.9, 60.0), (10.0, 89.7), (200.0, -89.9), (0.0, 90.0)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "options",
    [{}, {"north_up": False}, {"rotation": 30.0}, {"system": "galactic"}, {"system": "fk4", "north_up": False}, {"projection": "ZEA"}],
    ids=str,
)
def test_grids_hold_their_frames_and_nothing_more(place, options):
    frames = field(*place)
    grid = fit_grid(frames, **options)
    left = margins(grid, frames)
    assert left.min() > -1e-3
    assert left.sum(axis=1).max() < 1.02
    ny, nx = grid.shape
    if abs(place[1]) < 89 or not options.get("north_up", True):
        np.testing.assert_allclose(grid.wcs.wcs.crpix, [(nx + 1) / 2, (ny + 1) / 2])
    assert abs(left[0, 0] - left[0, 1]) < 0.02
    assert abs(left[1, 0] - left[1, 1]) < 0.02
    assert celestial_system(grid.wcs).name == options.get("system", "icrs")
    if options.get("north_up", True):
        assert rotation_of(grid.wcs) == pytest.approx(options.get("rotation", 0.0), abs=1e-9)


@pytest.mark.parametrize("place", PLACES)
def test_least_area_is_no_more_than_that_of_any_angle(place):
    frames = field(*place, seed=3)
    best = fit_grid(frames, north_up=False)
    areas = [np.prod(fit_grid(frames, rotation=float(angle)).shape) for angle in range(-90, 90, 3)]
    rim = sum(best.shape)  # one pixel of rounding on either axis
    assert np.prod(best.shape) <= min(areas) + rim
    assert -45.0 <= rotation_of(best.wcs) <= 45.0


@pytest.mark.parametrize("angle", [0.0, 33.0, 80.0, 135.0, 200.0, 300.0])
def test_one_frame_gives_its_own_grid(angle):
    frame = plain_wcs("TAN", (10.0, 20.0), 0.001, SHAPE, rotation=angle)
    grid = fit_grid([(frame, SHAPE)], north_up=False)
    assert sorted(grid.shape) == sorted(SHAPE)
    turn = (rotation_of(grid.wcs) - angle) % 90.0
    assert min(turn, 90.0 - turn) < 1e-6
    np.testing.assert_allclose(grid.wcs.wcs.crval, [10.0, 20.0], atol=1e-7)


@pytest.mark.parametrize("system", SYSTEMS)
def test_systems(system):
    grid = fit_grid(field(150.0, 32.0, n=2), system=system)
    header = grid.wcs.to_header()
    assert header["CTYPE1"][:4] == {"galactic": "GLON", "ecliptic": "ELON"}.get(system, "RA--")
    assert header.get("EQUINOX") == {"fk4": 1950.0, "fk5": 2000.0, "ecliptic": 2000.0}.get(system)
    assert celestial_system(WCS(header)) == celestial_system(grid.wcs)
    ny, nx = grid.shape
    centre = astropy_map(plain_wcs("TAN", (150.0, 32.0), 0.001, (1, 1)), grid.wcs, np.zeros(1), np.zeros(1)).ravel()
    assert np.abs(centre - [nx / 2, ny / 2]).max() < 400  # the field is where it should be, not a frame system away


def test_the_scale_is_the_median_and_one_odd_frame_does_not_set_it():
    frames = field(150.0, 32.0)
    odd = (plain_wcs("TAN", (150.0, 32.0), 1e-5, (50, 50)), (50, 50))
    assert pixel_scale_arcsec(fit_grid([*frames, odd]).wcs) == pytest.approx(3.6, rel=1e-3)
    assert pixel_scale_arcsec(fit_grid(frames, scale_arcsec=5.0).wcs) == pytest.approx(5.0)


def test_padding_and_largest_size():
    frames = field(150.0, 32.0)
    plain, padded = fit_grid(frames), fit_grid(frames, pad_pix=7)
    assert padded.shape == (plain.shape[0] + 14, plain.shape[1] + 14)
    np.testing.assert_allclose(padded.wcs.wcs.crpix - plain.wcs.wcs.crpix, 7)
    small = fit_grid(frames, max_size=300, pad_pix=7)
    assert max(small.shape) == 300
    left = margins(small, frames)
    assert left.min() > 7 - 1e-3
    assert fit_grid(frames, max_size=10**6).shape == plain.shape


@pytest.mark.parametrize("projection", ["TAN", "CAR", "AIT"])
def test_frames_all_over_the_sky(projection):
    rng = np.random.default_rng(2)
    places = [(float(a), float(d)) for a, d in zip(rng.uniform(0, 360, 20), rng.uniform(-80, 80, 20), strict=True)]
    frames = [(plain_wcs("TAN", place, 0.05, (50, 60)), (50, 60)) for place in places]
    grid = fit_grid(frames, projection=projection, system="galactic")
    name = "CAR" if projection == "CAR" else "AIT"
    assert list(grid.wcs.wcs.ctype) == [f"GLON-{name}", f"GLAT-{name}"]
    assert grid.shape == ((3600, 7200) if name == "CAR" else (3242, 6483))
    ny, nx = grid.shape
    np.testing.assert_allclose(grid.wcs.wcs.crpix, [(nx + 1) / 2, (ny + 1) / 2])
    lon = np.array([0.0, 179.999, -179.999, 0.0, 0.0])
    lat = np.array([0.0, 0.0, 0.0, 90.0, -90.0])
    x, y = grid.wcs.all_world2pix(lon, lat, 0)
    assert (x > -0.51).all()
    assert (x < nx - 0.49).all()
    assert (y > -0.51).all()
    assert (y < ny - 0.49).all()
    assert y.max() > ny - 2
    assert x.max() > nx - 2


def test_an_all_sky_frame_and_one_that_wraps_most_of_it():
    for width in (360, 300):
        frame = plain_wcs("CAR", (0.0, 0.0), 1.0, (160, width))
        grid = fit_grid([(frame, (160, width))])
        assert grid.wcs.wcs.ctype[0] == "RA---AIT"
    aitoff = plain_wcs("AIT", (0.0, 0.0), 1.0, (170, 330))  # corners off the sky
    assert fit_grid([(aitoff, (170, 330))], projection="CAR").shape == (180, 360)


@pytest.mark.parametrize("place", PLACES[:3])
@pytest.mark.parametrize("projection", ["CAR", "AIT"])
def test_part_of_a_map_of_the_sky(projection, place):
    frames = field(*place)
    grid = fit_grid(frames, projection=projection)
    left = margins(grid, frames)
    assert left.min() > -1e-3
    assert left.sum(axis=1).max() < 1.5
    assert grid.wcs.wcs.crval[1] == 0.0


def test_part_of_a_cylindrical_map_round_the_pole():
    grid = fit_grid(field(10.0, 89.9, scale=0.01, spread=0.1), projection="CAR")
    assert grid.shape[1] == 36000
    assert grid.shape[0] < 500
    assert grid.wcs.all_pix2world(0, grid.shape[0] - 1, 0)[1] > 89.98


@pytest.mark.parametrize("projection", ["TAN", "SIN", "STG", "ARC", "ZEA"])
def test_own_projections_are_those_of_wcslib(projection):
    wcs = plain_wcs(projection, (70.0, -35.0), 0.1, (400, 500), rotation=50)
    y, x = np.mgrid[0:400:40, 0:500:40].astype(float)
    lon, lat = np.radians(wcs.all_pix2world(x.ravel(), y.ravel(), 0))
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    plane = np.degrees(project(vectors, Pose(*np.radians([70.0, -35.0, 50.0])), projection)) / 0.1
    np.testing.assert_allclose(plane, [x.ravel() - 249.5, y.ravel() - 199.5], atol=1e-8)


@pytest.mark.benchmark
def test_grids_of_many_frames_are_fast_enough_to_use():
    frames = field(100.0, 0.0, n=30, spread=3.0) * 30
    start = time.process_time()
    fit_grid(frames, north_up=False)
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize("name", ["2mass_m42_small", "2mass_steps"])
def test_real_frames(name):
    folder = shared_path(f"data/{name}")
    frames = []
    for path in sorted(folder.glob("*.fits.gz")):
        header = fits.getheader(path)
        if header.get("NAXIS") == 2:
            frames.append((quiet_wcs(header), (header["NAXIS2"], header["NAXIS1"])))
    assert len(frames) >= 8
    grid = fit_grid(frames, north_up=False, system="fk5")
    lines = (folder / "montage_ref" / "template.hdr").read_text().splitlines()
    card = {line.split("=")[0].strip(): line.split("=")[1].strip() for line in lines if "=" in line}
    montage = int(card["NAXIS1"]) * int(card["NAXIS2"])
    assert np.prod(grid.shape) <= 1.001 * montage  # the smallest box of mMakeHdr is no smaller


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"system": "horizon"}, "horizon"),
        ({"projection": "MER"}, "MER"),
        ({"scale_arcsec": 0.0}, "scale"),
        ({"scale_arcsec": float("nan")}, "scale"),
        ({"pad_pix": -1}, "padding"),
        ({"pad_pix": 10, "max_size": 20}, "20"),
        ({"projection": "CAR", "rotation": 10.0}, "rotated"),
    ],
)
def test_options_that_make_no_sense(options, text):
    with pytest.raises(InputError, match=text):
        fit_grid(field(150.0, 32.0, n=1), **options)


def test_no_frames_and_no_sky():
    with pytest.raises(InputError, match="no frames"):
        fit_grid([])
    with pytest.raises(WcsError):
        fit_grid([(WCS(naxis=2), (5, 5))])
    assert "TAN" in PROJECTIONS


def test_cropped_grids_have_the_same_pixels():
    for wcs in (plain_wcs("TAN", (10.0, 20.0), 0.01, SHAPE, rotation=12), sip_wcs((10.0, 20.0), 0.01, SHAPE)):
        grid = MosaicGrid(wcs, SHAPE)
        box = PixelBox(20, 70, -15, 290)
        part = crop_grid(grid, box)
        assert part.shape == (50, 305)
        assert part.wcs.pixel_shape == (305, 50)
        x, y = np.array([0.0, 100.0, 304.0]), np.array([0.0, 30.0, 49.0])
        np.testing.assert_allclose(part.wcs.all_pix2world(x, y, 0), wcs.all_pix2world(x - 15, y + 20, 0), rtol=0, atol=1e-12)
        assert grid.shape == SHAPE
        assert grid.wcs.wcs.crpix[0] == 150.5
    with pytest.raises(InputError, match="empty"):
        crop_grid(grid, PixelBox(5, 5, 0, 9))
