"""Tangent planes, reference pieces, meshes and boxes of mosaic exposures."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS
from support.camera import detector

from nbmosaic.core.geometry.exposure_grid import (
    corner_limits,
    grid_points,
    points_box,
    reference_piece,
    section_box,
    set_grid,
    sky_points,
    tangent_grid,
)
from nbmosaic.core.geometry.fitted_map import evaluate, fit_surface_map
from nbmosaic.core.geometry.sampled_map import sampled_area, sampled_map
from nbmosaic.core.geometry.sky import celestial_transform
from nbmosaic.errors import InputError, WcsError
from nbmosaic.types import PixelBox

CENTRE = (150.1, 22.3)


def piece(k: int) -> WCS:
    return WCS(detector(k, CENTRE, (200, 160)), relax=True)


@pytest.mark.parametrize("projection", ["TAN", "SIN", "ARC", "STG", "ZEA"])
def test_plane_keeps_the_linear_terms(projection: str) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = CENTRE, [3.25, 700.5], [-0.002, 0.003]
    wcs.wcs.pc = [[0.8, -0.6], [0.6, 0.8]]
    wcs.wcs.radesys, wcs.wcs.equinox = "FK5", 1990.0
    plain = tangent_grid(wcs, (100, 100))
    assert list(plain.wcs.ctype) == ["RA---TAN", "DEC--TAN"]
    assert (plain.wcs.radesys, plain.wcs.equinox) == ("FK5", 1990.0)
    np.testing.assert_allclose(plain.wcs.cd, np.diag([-0.002, 0.003]) @ [[0.8, -0.6], [0.6, 0.8]])
    np.testing.assert_array_equal(plain.wcs.crpix, [3.25, 700.5])


def test_latitude_first_and_other_poles() -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["DEC--TAN", "RA---TAN"], [22.3, 150.1], [5.0, 6.0]
    wcs.wcs.cdelt, wcs.wcs.lonpole = [0.001, -0.001], 150.0
    x, y = np.array([0.0, 40.0]), np.array([10.0, -30.0])
    found = celestial_transform(wcs, tangent_grid(wcs, (50, 50)))(x, y)
    np.testing.assert_allclose(found, (x, y), atol=1e-9)


def test_cylindrical_images_get_a_plane_at_their_centre() -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["GLON-CAR", "GLAT-CAR"], [30.0, 0.0], [-0.01, 0.01]
    wcs.wcs.crpix = [500.0, -900.0]
    plain = tangent_grid(wcs, (101, 201))
    assert plain.wcs.ctype[0] == "GLON-TAN"
    u, v = celestial_transform(wcs, plain, source_shape=(101, 201))(np.array([100.0, 100.5, 100.0]), np.array([50.0, 50.0, 50.5]))
    np.testing.assert_allclose([u, v], [[100.0, 100.5, 100.0], [50.0, 50.0, 50.5]], atol=1e-4)


def test_reference_piece() -> None:
    pieces = [(piece(k), (200, 160)) for k in range(4)]
    distances = []
    for wcs, (ny, nx) in pieces:
        x, y = wcs.all_world2pix(*CENTRE, 0)
        distances.append((x - np.clip(x, 0, nx - 1)) ** 2 + (y - np.clip(y, 0, ny - 1)) ** 2)
    assert reference_piece(pieces) == int(np.argmin(distances))
    assert reference_piece([pieces[0], pieces[0]]) == 0


@pytest.mark.parametrize("rotation", [0.0, 20.0, -135.0])
def test_centre_scale_and_rotation(rotation: float) -> None:
    plane = set_grid(tangent_grid(piece(0), (200, 160)), centre=(150.0, None), scale_arcsec=2.0, rotation=rotation)
    assert plane.wcs.crval.tolist() == [150.0, 22.3]
    assert plane.wcs.crpix.tolist() == [0.0, 0.0]
    r, s = np.radians(rotation), 2.0 / 3600
    np.testing.assert_allclose(plane.wcs.cd, s * np.array([[-np.cos(r), -np.sin(r)], [-np.sin(r), np.cos(r)]]), atol=1e-15)
    again = set_grid(plane)
    np.testing.assert_allclose(again.wcs.cd, plane.wcs.cd, atol=1e-15)
    with pytest.raises(InputError, match="must be positive"):
        set_grid(plane, scale_arcsec=-1.0)
    with pytest.raises(InputError, match="latitude of the centre cannot be 95"):
        set_grid(plane, centre=(0.0, 95.0))


def test_mesh_and_rounding() -> None:
    section = section_box((200, 160), 8)
    x, y = grid_points(section, 10, 20)
    assert (x.min(), x.max(), y.min(), y.max()) == (8, 151, 8, 191)
    plane = tangent_grid(piece(0), (200, 160))
    u, v = sky_points(piece(0), plane, x, y)
    exact = celestial_transform(piece(0), plane)(x, y)
    np.testing.assert_allclose((u, v), exact, atol=1e-8)
    rounded = sky_points(piece(0), plane, x, y, digits=(4, 3))
    off = np.hypot(rounded[0] - u, rounded[1] - v)
    assert 1e-4 < off.max() < 0.0015 / 0.5  # 0.75 mas in longitude and 0.5 mas in latitude, in pixels of 0.5 arcsec
    with pytest.raises(InputError, match="leaves nothing"):
        section_box((20, 40), 10)


def test_boxes() -> None:
    assert points_box(np.array([3.2, 10.0]), np.array([-4.5, 7.49])) == PixelBox(-6, 10, 2, 13)
    with pytest.raises(WcsError, match="does not see"):
        points_box(np.array([np.nan]), np.array([0.0]))
    plane = tangent_grid(piece(0), (200, 160))
    box = corner_limits([(piece(k), (200, 160)) for k in range(4)], plane)
    assert box.shape[0] == pytest.approx(2 * 200 + 16, abs=8)
    assert box.shape[1] == pytest.approx(2 * 160 + 12, abs=8)


def test_sampled_map() -> None:
    rng = np.random.default_rng(2)
    out = rng.uniform(0, 200, (300, 2))
    curved = out + 1e-5 * out**2 + 2e-7 * out[:, ::-1] ** 3
    fitted = fit_surface_map(out, curved, limits=(0, 199, 0, 199))
    box = PixelBox(0, 200, 0, 160)
    assert sampled_map(fitted, box, 10, tolerance_pix=1.0) is None
    found = sampled_map(fitted, box, 10)
    assert found is not None
    y, x = np.mgrid[0:200, 0:160]
    v, u = found.evaluate(y, x)
    exact_v, exact_u = evaluate(fitted, y.astype(float), x.astype(float))
    off = np.hypot(v - exact_v, u - exact_u)
    assert 2e-4 < off.max() < 6e-3
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_allclose(v[corners], exact_v[corners], atol=1e-9)
    area = sampled_area(fitted, box, 10)
    assert area is not None
    assert area[100, 80] == pytest.approx((u[100, 81] - u[100, 79]) * (v[101, 80] - v[99, 80]) / 4, rel=1e-2)
    assert sampled_area(fitted, PixelBox(0, 12, 0, 12), 10) is None
