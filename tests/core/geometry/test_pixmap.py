import numpy as np
import pytest
from numpy.polynomial import chebyshev
from support.shared import shared_path
from support.wcs_cases import astropy_map, centre_in, header_wcs, on_image, plain_wcs, sip_wcs, tpv_wcs

from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap, fit_map, fit_pixel_map, frame_box
from nbmosaic.core.geometry.sky import celestial_transform
from nbmosaic.errors import InputError, WcsError
from nbmosaic.types import PixelBox

TOLERANCE = 1e-4
GRID = (700, 800)
FRAME = (400, 450)
SKY = (300, 600)


def grid(projection="TAN", centre=(150.0, 32.0), system="icrs", scale=0.001):
    return plain_wcs(projection, centre, scale, GRID, system=system)


ORDINARY = {
    "tan": (grid(), plain_wcs("TAN", (150.05, 32.1), 0.001, FRAME, rotation=20)),
    "sip": (grid(), sip_wcs((150.0, 32.0), 0.001, FRAME, rotation=35, strength=4.0)),
    "tpv": (grid(), tpv_wcs((150.05, 32.1), 0.001, FRAME)),
    "tan-pv": (grid(), tpv_wcs((150.05, 32.1), 0.001, FRAME, ctype="TAN")),
    "sin": (grid("SIN"), plain_wcs("SIN", (150.05, 32.1), 0.001, FRAME, rotation=70)),
    "car": (grid("CAR", (150.0, 0.0)), plain_wcs("TAN", (150.05, 0.1), 0.001, FRAME, rotation=20)),
    "zea": (grid("ZEA"), plain_wcs("TAN", (150.05, 32.1), 0.001, FRAME, rotation=20)),
    "galactic": (grid("TAN", centre_in("galactic", 150.0, 32.0), "galactic"), plain_wcs("TAN", (150.0, 32.1), 0.001, FRAME, rotation=20)),
    "fk4": (grid("TAN", centre_in("fk4", 150.0, 32.0), "fk4"), plain_wcs("TAN", (150.0, 32.1), 0.001, FRAME, rotation=20)),
    "ecliptic": (grid("TAN", centre_in("ecliptic", 150.0, 32.0), "ecliptic"), sip_wcs((150.0, 32.0), 0.001, FRAME, strength=2.0)),
    "ra-0": (grid("TAN", (0.02, 10.0)), plain_wcs("TAN", (359.95, 10.05), 0.001, FRAME, rotation=20)),
    "pole": (grid("TAN", (30.0, 89.95)), sip_wcs((200.0, 89.98), 0.001, FRAME)),
    "south-pole": (grid("SIN", (0.0, -90.0)), plain_wcs("TAN", (10.0, -89.9), 0.001, FRAME, rotation=200)),
    "fine-frame": (grid(scale=0.02), plain_wcs("TAN", (150.1, 32.2), 0.0004, (4000, 4500), rotation=20)),
    "coarse-frame": (grid(), plain_wcs("TAN", (150.1, 32.2), 0.05, (9, 11), rotation=20)),
    "latitude-first": (grid(), plain_wcs("TAN", (150.05, 32.1), 0.001, FRAME, rotation=20, latitude_first=True)),
}

ALL_SKY = {
    "car-seam": (plain_wcs("CAR", (0.0, 0.0), 0.6, SKY), SKY, plain_wcs("TAN", (180.0, 10.0), 0.05, (400, 400), rotation=20), (400, 400)),
    "car-pole": (plain_wcs("CAR", (0.0, 0.0), 0.6, SKY), SKY, plain_wcs("TAN", (30.0, 89.0), 0.1, (300, 300), rotation=20), (300, 300)),
    "car-frame-galactic": (
        plain_wcs("CAR", (0.0, 0.0), 0.6, SKY),
        SKY,
        plain_wcs("CAR", (0.0, 0.0), 1.0, (180, 360), system="galactic"),
        (180, 360),
    ),
    "ait-seam": (plain_wcs("AIT", (0.0, 0.0), 0.6, SKY), SKY, plain_wcs("TAN", (180.0, 10.0), 0.05, (400, 400), rotation=20), (400, 400)),
    "ait-pole": (plain_wcs("AIT", (0.0, 0.0), 0.6, SKY), SKY, plain_wcs("TAN", (30.0, 88.0), 0.1, (300, 300)), (300, 300)),
    "ait-frame-galactic": (
        plain_wcs("AIT", (0.0, 0.0), 0.6, SKY),
        SKY,
        plain_wcs("AIT", (0.0, 0.0), 1.0, (180, 360), system="galactic"),
        (180, 360),
    ),
    "zea-antipode": (plain_wcs("ZEA", (0.0, 90.0), 0.6, SKY), SKY, plain_wcs("TAN", (10.0, -89.0), 0.1, (200, 200)), (200, 200)),
    "tan-of-all-sky": (plain_wcs("TAN", (0.0, 0.0), 0.05, SKY), SKY, plain_wcs("CAR", (180.0, 0.0), 0.6, (300, 600)), (300, 600)),
    "tan-pole-of-car": (plain_wcs("TAN", (0.0, 90.0), 0.05, SKY), SKY, plain_wcs("CAR", (0.0, 0.0), 0.5, (360, 720)), (360, 720)),
}


def compare(found, source, target, shape, yx):
    """Check a map against astropy at lattice points, and return the largest error on the target."""
    y, x = yx
    with np.errstate(invalid="ignore"):
        u, v = astropy_map(source, target, x + found.offset, y + found.offset)
        inside = on_image(u, v, shape)
        fv, fu = found.evaluate(y, x)
        clearly_inside = (fu > -0.49) & (fu < shape[1] - 0.51) & (fv > -0.49) & (fv < shape[0] - 0.51)
    assert inside.any()
    assert np.isfinite(fu[inside]).all(), "part of the target is not mapped"
    assert not (clearly_inside & ~inside).any(), "the map puts on the target what is not there"
    return float(np.maximum(np.abs(fu - u), np.abs(fv - v))[inside].max())


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_maps_are_exact_everywhere(case):
    source, target = ORDINARY[case]
    shape = {"fine-frame": (4000, 4500), "coarse-frame": (9, 11)}.get(case, FRAME)
    box = frame_box(source, target, shape).intersection(PixelBox.of_shape(GRID))
    found = fit_pixel_map(source, target, box, shape)
    assert len(found.patches) == 1
    assert found.patches[0].degree <= 7
    y, x = np.mgrid[box.ymin : box.ymax : 3, box.xmin : box.xmax : 3]
    error = compare(found, source, target, shape, (y, x))
    assert error < TOLERANCE
    assert error < 2.5 * found.error_pix + 1e-6


@pytest.mark.parametrize("case", ALL_SKY)
def test_all_sky_maps_are_exact_everywhere(case):
    source, source_shape, target, shape = ALL_SKY[case]
    box = PixelBox.of_shape(source_shape)
    found = fit_pixel_map(source, target, box, shape, source_shape=source_shape)
    y, x = np.mgrid[0 : source_shape[0], 0 : source_shape[1]]
    assert compare(found, source, target, shape, (y, x)) < TOLERANCE
    assert found.error_pix < TOLERANCE
    taken = np.zeros(source_shape, int)
    for patch in found.patches:
        taken[patch.box.slices()] += 1
        if patch.degree < 0:
            assert max(patch.box.shape) <= 32
    assert taken.max() == 1, "patches overlap"


@pytest.mark.parametrize(
    "name",
    [
        "astropy__sip.hdr",
        "galsim__tpv_odd.hdr",
        "galsim__pole.hdr",
        "galsim__razero.hdr",
        "galsim__1904-66_ZPN.hdr",
        "astropy__1904-66_HPX.hdr",
        "lsst__lsst_hsc.hdr",
        "survey__decam_ood_ext1.hdr",
    ],
)
def test_real_headers(name):
    target, shape = header_wcs(shared_path(f"data/headers/{name}"))
    centre = target.all_pix2world(shape[1] / 2, shape[0] / 2, 0)
    scale = float(np.sqrt(abs(np.linalg.det(target.pixel_scale_matrix))))
    source = plain_wcs("TAN", [float(c) for c in centre], scale, shape, system="icrs")
    source.wcs.radesys = target.wcs.radesys
    if np.isfinite(target.wcs.equinox):
        source.wcs.equinox = target.wcs.equinox
    source.wcs.set()
    box = frame_box(source, target, shape)
    found = fit_pixel_map(source, target, box, shape)
    step = max(1, max(box.shape) // 150)
    y, x = np.mgrid[box.ymin : box.ymax : step, box.xmin : box.xmax : step]
    u, v = celestial_transform(source, target)(x.astype(float), y.astype(float))
    inside = on_image(u, v, shape)
    fv, fu = found.evaluate(y, x)
    assert np.maximum(np.abs(fu - u), np.abs(fv - v))[inside].max() < TOLERANCE


@pytest.mark.parametrize("case", ["tan", "sip", "tpv", "galactic"])
def test_backward_maps_of_pixel_corners(case):
    target, source = ORDINARY[case]
    box = PixelBox(0, FRAME[0] + 1, 0, FRAME[1] + 1)
    found = fit_pixel_map(source, target, box, GRID, offset=-0.5)
    y, x = np.mgrid[0 : box.ymax : 5, 0 : box.xmax : 5]
    assert compare(found, source, target, GRID, (y, x)) < TOLERANCE


def test_degree_rises_with_what_is_asked():
    source, target = ORDINARY["sip"]
    box = frame_box(source, target, FRAME)
    maps = [fit_pixel_map(source, target, box, FRAME, tolerance_pix=t) for t in (1.0, 1e-4, 1e-6, 1e-8)]
    degrees = [m.patches[0].degree for m in maps]
    assert degrees == sorted(degrees)
    assert degrees[0] < degrees[-1]
    assert all(m.error_pix <= t for m, t in zip(maps, (1.0, 1e-4, 1e-6, 1e-8), strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (1, 300), (300, 1), (2, 2), (5, 40)])
def test_tiny_frames(shape):
    source = grid()
    target = plain_wcs("TAN", (150.05, 32.1), 0.001, shape, rotation=30)
    box = frame_box(source, target, shape)
    found = fit_pixel_map(source, target, box, shape)
    y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
    assert compare(found, source, target, shape, (y, x)) < TOLERANCE


def test_boxes_of_one_row_or_column():
    source, target = ORDINARY["tan"]
    for box in (PixelBox(300, 301, 100, 700), PixelBox(100, 600, 400, 401), PixelBox(300, 302, 100, 700)):
        found = fit_pixel_map(source, target, box, FRAME)
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
        assert compare(found, source, target, FRAME, (y, x)) < TOLERANCE


def test_power_rows_are_the_polynomials():
    source, target = ORDINARY["sip"]
    box = frame_box(source, target, FRAME)
    found = fit_pixel_map(source, target, box, FRAME)
    (patch,) = found.patches
    pu, pv = found.power_rows(patch)
    ny, nx = patch.box.shape
    assert pu.shape == pv.shape == (ny, patch.degree + 1)
    assert pu.flags.c_contiguous
    assert pv.flags.c_contiguous
    t = 2.0 * np.arange(nx) / (nx - 1) - 1.0
    y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
    v, u = found.evaluate(y, x)
    powers = t[None, :] ** np.arange(patch.degree + 1)[:, None]
    np.testing.assert_allclose(pu @ powers, u, atol=1e-9)
    np.testing.assert_allclose(pv @ powers, v, atol=1e-9)


def test_power_rows_of_high_degree_lose_nothing():
    rng = np.random.default_rng(5)
    c = rng.normal(size=(13, 13)) / (1.0 + np.add.outer(np.arange(13), np.arange(13))) ** 2
    patch = MapPatch(box=PixelBox(0, 50, 0, 60), cu=1000 * c, cv=c)
    found = PixelMap(box=patch.box, offset=0.0, patches=(patch,), error_pix=0.0)
    pu, _ = found.power_rows(patch)
    t, s = np.linspace(-1, 1, 60), np.linspace(-1, 1, 50)
    expected = chebyshev.chebgrid2d(s, t, patch.cu)
    np.testing.assert_allclose(pu @ t[None, :] ** np.arange(13)[:, None], expected, atol=1e-9)


def test_power_rows_refuse_tables():
    patch = MapPatch(box=PixelBox(0, 1, 0, 1), table_u=np.zeros((1, 1)), table_v=np.zeros((1, 1)))
    with pytest.raises(InputError, match="table"):
        PixelMap.power_rows(patch)


def test_what_sees_nothing_is_dropped():
    source, target = ORDINARY["tan"]
    assert fit_pixel_map(source, target, PixelBox(5000, 5400, 5000, 5400), FRAME).patches == ()
    assert fit_pixel_map(source, target, PixelBox(5000, 5010, 5000, 5010), FRAME).patches == ()
    assert fit_pixel_map(source, target, PixelBox(5, 5, 0, 9), FRAME).patches == ()
    wide, wide_shape, small, shape = ALL_SKY["ait-seam"]
    found = fit_pixel_map(wide, small, PixelBox.of_shape(wide_shape), shape)
    assert sum(patch.box.size for patch in found.patches) < 0.1 * wide_shape[0] * wide_shape[1]


def test_small_target_in_a_large_box_is_found():
    big = (5000, 10000)
    source = plain_wcs("AIT", (0.0, 0.0), 0.032, big)
    target = plain_wcs("TAN", (179.9, 40.0), 0.032, (40, 40))
    found = fit_pixel_map(source, target, PixelBox.of_shape(big), (40, 40))
    box = frame_box(source, target, (40, 40), grid_shape=big)
    u, v = celestial_transform(target, source)(*(a.astype(float) for a in np.mgrid[0:40:3, 0:40:3]))
    y, x = np.rint(v).astype(int), np.rint(u).astype(int)
    fv, fu = found.evaluate(y, x)
    eu, ev = astropy_map(source, target, x.astype(float), y.astype(float))
    inside = on_image(eu, ev, (40, 40))
    assert inside.sum() > 100
    np.testing.assert_allclose([fu[inside], fv[inside]], [eu[inside], ev[inside]], atol=TOLERANCE)
    assert box is not None


def test_jumps_and_holes_end_in_tables():
    def exact(x, y):
        u = np.where(x < 333.3, x + 1e-5 * x**2, x - 500.0)
        return np.where(np.hypot(x - 100, y - 60) < 20, np.nan, u), y + 0.25

    found = fit_map(exact, PixelBox(0, 256, 0, 512), (256, 512))
    y, x = np.mgrid[0:256, 0:512]
    v, u = found.evaluate(y, x)
    eu, ev = exact(x.astype(float), y.astype(float))
    inside = on_image(eu, ev, (256, 512))
    np.testing.assert_allclose(u[inside], eu[inside], atol=TOLERANCE)
    np.testing.assert_allclose(v[inside], ev[inside], atol=TOLERANCE)
    assert not np.isfinite(u[np.hypot(x - 100, y - 60) < 20]).any()
    assert {patch.degree for patch in found.patches} >= {-1, 3}


def test_wild_distortion_beside_the_frame_does_not_matter():
    def exact(x, y):  # smooth on the target, undefined where a steep term takes over beyond it
        u = x - 200.0 + 1e-12 * (x - 256.0) ** 5
        return np.where(np.abs(x - 256) > 240, np.nan, u), y - 20.0

    found = fit_map(exact, PixelBox(0, 300, 0, 512), (200, 100))
    y, x = np.mgrid[0:300, 0:512]
    v, u = found.evaluate(y, x)
    eu, ev = exact(x.astype(float), y.astype(float))
    inside = on_image(eu, ev, (200, 100))
    np.testing.assert_allclose([u[inside], v[inside]], [eu[inside], ev[inside]], atol=TOLERANCE)
    assert len(found.patches) < 12


def test_the_same_map_every_time():
    source, target = ORDINARY["sip"]
    a, b = (fit_pixel_map(source, target, PixelBox.of_shape(GRID), FRAME) for _ in range(2))
    np.testing.assert_array_equal(a.patches[0].cu, b.patches[0].cu)
    assert a.error_pix == b.error_pix


def test_bad_arguments():
    source, target = ORDINARY["tan"]
    with pytest.raises(InputError, match="tolerance"):
        fit_pixel_map(source, target, PixelBox(0, 9, 0, 9), FRAME, tolerance_pix=0.0)
    target = target.deepcopy()
    target.wcs.ctype = ["LINEAR", "LINEAR"]
    with pytest.raises(WcsError):
        fit_pixel_map(source, target, PixelBox(0, 9, 0, 9), FRAME)
