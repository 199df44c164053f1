"""Masks of regions against a slow test of every pixel, against mpdaf's (which imphot uses), and on hard grids."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from scipy import ndimage
from support.shared import shared_path

from nbmosaic.core.psf.masks import PhysicalPixels, extra_mask, mask_without_sources, region_mask, region_pixels, star_region
from nbmosaic.errors import InputError, ShapeError
from nbmosaic.types.regions import Region, RegionList

SHAPE = (90, 110)
_CENTRE = SkyCoord(53.1595, -27.7812, unit="deg", frame="icrs").galactic
GALACTIC = (_CENTRE.l.deg, _CENTRE.b.deg)


def grid(rotation=0.0, step=0.2, mirrored=False, crval=(53.16, -27.78), ctype=("RA---TAN", "DEC--TAN"), radesys="ICRS"):
    wcs = WCS(naxis=2)
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = list(ctype), list(crval), [55.3, 44.2]
    wcs.wcs.cd = step / 3600 * np.array([[c, -s], [s, c]]) @ np.diag([1.0 if mirrored else -1.0, 1.0])
    if ctype[0].startswith("RA"):
        wcs.wcs.radesys = radesys
    return wcs


def region(kind, sizes=(), *, system="icrs", centre=(53.1595, -27.7812), **options):
    return Region(kind=kind, system=system, centre=centre, sizes=sizes, **options)


def full(one, wcs, shape=SHAPE, **options):
    box, inside = region_pixels(one, wcs, shape, **options)
    out = np.zeros(shape, bool)
    out[box.slices()] = inside
    return out


def twin(one, wcs, shape=SHAPE):
    """Every pixel by astropy's separation and position angle."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels = SkyCoord(*wcs.all_pix2world(x.ravel(), y.ravel(), 0), unit="deg", frame=wcs.wcs.radesys.lower() or "galactic")
    centre = SkyCoord(*one.centre, unit="deg", frame=one.system)
    r = centre.separation(pixels.transform_to(centre.frame)).rad
    pa = centre.position_angle(pixels.transform_to(centre.frame)).rad  # from north to east
    t = np.radians(one.sizes)
    if one.kind == "circle":
        return (r < t[0]).reshape(shape)
    if one.kind == "annulus":
        return ((r >= t[0]) & (r < t[1])).reshape(shape)
    phi = np.pi / 2 + pa - np.radians(one.angle)  # from the shape's own first axis, which is west at angle 0
    p, q = np.tan(r) * np.cos(phi), np.tan(r) * np.sin(phi)
    tests = {
        "ellipse": lambda a, b: (p / a) ** 2 + (q / b) ** 2 < 1,
        "box": lambda a, b: (np.abs(p) < a / 2) & (np.abs(q) < b / 2),
    }
    test = tests[one.kind.split()[0]]
    out = test(*t[-2:])
    return (out & ~test(*t[:2]) if len(t) == 4 else out).reshape(shape)


@pytest.mark.parametrize("rotation", [0.0, 37.0, 200.0])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    "one",
    [
        region("circle", (4 / 3600,)),
        region("annulus", (2 / 3600, 5 / 3600)),
        region("ellipse", (6 / 3600, 3 / 3600), angle=25.0),
        region("box", (9 / 3600, 4 / 3600), angle=-40.0),
        region("box annulus", (3 / 3600, 2 / 3600, 9 / 3600, 6 / 3600), angle=10.0),
        region("ellipse annulus", (2 / 3600, 1 / 3600, 6 / 3600, 3 / 3600), angle=10.0),
        region("box", (9 / 3600, 4 / 3600), angle=15.0, system="galactic", centre=GALACTIC),
    ],
    ids=lambda one: f"{one.system} {one.kind}",
)
def test_shapes_on_the_sky(one, rotation, mirrored):
    wcs = grid(rotation, mirrored=mirrored)
    expected = twin(one, wcs)
    assert 100 < expected.sum() < expected.size / 2
    assert np.array_equal(full(one, wcs), expected)


def test_a_polygon_equals_the_box_of_its_corners():
    wcs = grid(20.0)
    box = region("box", (9 / 3600, 4 / 3600))
    d, a = np.radians(2 / 3600), np.radians(4.5 / 3600)
    dec0 = np.radians(box.centre[1])
    corners = []
    for x, y in ((-a, -d), (a, -d), (a, d), (-a, d)):
        x, y = np.tan(x), np.tan(y)  # offsets in the plane, to the east and north
        depth = np.cos(dec0) - y * np.sin(dec0)
        corners.append(
            (box.centre[0] + np.degrees(np.arctan2(x, depth)), np.degrees(np.arctan2(np.sin(dec0) + y * np.cos(dec0), np.hypot(depth, x))))
        )
    polygon = region("polygon", centre=corners[0], vertices=tuple(corners))
    assert np.array_equal(full(polygon, wcs), full(box, wcs))
    assert full(box, wcs).sum() == pytest.approx(9 * 4 / 0.04, rel=0.02)


def test_fk5_and_icrs_differ_by_what_they_do():
    one = region("circle", (4 / 3600,), system="fk5")
    moved = SkyCoord(*one.centre, unit="deg", frame="fk5").icrs
    same = region("circle", (4 / 3600,), centre=(moved.ra.deg, moved.dec.deg))
    assert np.array_equal(full(one, grid()), full(same, grid()))


def test_fk4_goes_through_precession():
    old = SkyCoord(53.1595, -27.7812, unit="deg", frame="icrs").fk4
    one = region("circle", (4 / 3600,), system="fk4", centre=(old.ra.deg, old.dec.deg))
    assert np.array_equal(full(one, grid()), full(region("circle", (4 / 3600,)), grid()))


def test_pixel_systems():
    square = region("box", (3.0, 1.0), system="image", centre=(10.0, 5.0), angular=False)
    assert np.argwhere(full(square, grid())).tolist() == [[5, 9], [5, 10], [5, 11]]
    turned = region("box", (3.0, 1.0), system="image", centre=(10.0, 5.0), angular=False, angle=90.0)
    assert np.argwhere(full(turned, grid())).tolist() == [[4, 10], [5, 10], [6, 10]]
    angles = region("circle", (1 / 3600,), system="physical", centre=(10.0, 5.0))  # 1 arcsec: 5 pixels
    pixels = region("circle", (5.0,), system="image", centre=(10.0, 5.0), angular=False)
    assert np.array_equal(full(angles, grid()), full(pixels, grid()))
    # a cutout that begins at pixel (30, 20) of its parent, and a copy binned by 2
    parent = region("circle", (4.0,), system="physical", centre=(40.0, 25.0), angular=False)
    cutout = full(parent, grid(), physical=PhysicalPixels.of_header({"LTV1": -30.0, "LTV2": -20, "LTM1_1": 1.0}))
    assert np.array_equal(cutout, full(region("circle", (4.0,), system="image", centre=(10.0, 5.0), angular=False), grid()))
    with pytest.raises(InputError, match="LTM1_1 is 0"):
        PhysicalPixels.of_header({"LTM1_1": 0.0})
    binned = full(parent, grid(), physical=PhysicalPixels(ltv=(0.25, 0.25), ltm=(0.5, 0.5)))
    assert np.array_equal(binned, full(region("circle", (2.0,), system="image", centre=(19.75, 12.25), angular=False), grid()))


def test_windows_lose_nothing_of_large_regions_and_odd_grids():
    wide = WCS(naxis=2)
    wide.wcs.ctype, wide.wcs.crval, wide.wcs.cdelt, wide.wcs.crpix = ["GLON-CAR", "GLAT-CAR"], [0, 0], [-4, 4], [45.5, 22.5]
    for one in (
        region("circle", (60.0,), system="galactic", centre=(20.0, 70.0)),
        region("circle", (12.0,), system="galactic", centre=(30.0, 60.0)),
        region("circle", (15.0,), system="icrs", centre=(30.0, 80.0)),
    ):
        assert np.array_equal(full(one, wide, (44, 90)), twin(one, wide, (44, 90)))
    far = region("circle", (1.0,), centre=(233.0, 27.0))
    assert region_pixels(far, grid(), SHAPE)[1].size == 0 or not full(far, grid()).any()
    with pytest.raises(InputError, match="hemisphere"):
        region_pixels(region("polygon", centre=(0.0, 0.0), vertices=((0.0, 0.0), (0.0, 10.0), (170.0, 0.0))), grid(), SHAPE)


def test_exclusion_wins_and_the_rest_lies_outside_the_union():
    a = region("circle", (10.0,), system="image", centre=(30.0, 30.0), angular=False)
    b = region("circle", (10.0,), system="image", centre=(60.0, 40.0), angular=False)
    hole = region("circle", (4.0,), system="image", centre=(30.0, 30.0), angular=False, exclude=True)
    away = region("circle", (4.0,), system="image", centre=(999.0, 30.0), angular=False, exclude=True)
    found = region_mask(RegionList(regions=(a, hole, b, away)), grid(), SHAPE)
    expected = full(hole, grid()) | ~(full(a, grid()) | full(b, grid()))
    assert np.array_equal(found.mask, expected)
    assert found.missed == (away,)
    assert (found.n_excluded, found.n_included) == (full(hole, grid()).sum(), (full(a, grid()) | full(b, grid())).sum())
    only = region_mask(RegionList(regions=(hole,)), grid(), SHAPE)
    assert np.array_equal(only.mask, full(hole, grid()))
    assert not region_mask(RegionList(), grid(), SHAPE).mask.any()


def test_includes_that_hold_no_pixel_are_an_error():
    away = region("circle", (4.0,), system="image", centre=(999.0, 30.0), angular=False)
    with pytest.raises(InputError, match="the including region holds no pixel of the image"):
        region_mask(RegionList(regions=(away,)), grid(), SHAPE)


def test_a_circle_keeps_all_digits():
    one = star_region((53.157969, -27.769193, 3.0))
    assert one.centre == (53.157969, -27.769193)
    assert one.sizes[0] * 3600 == pytest.approx(3.0)
    for star, what in (
        ((1.0, 2.0), "three numbers"),
        (3.0, "three numbers"),
        ((1, 2, 0), "radius of the star is 0"),
        ((1, 99, 1), "degrees"),
    ):
        with pytest.raises(InputError, match=what):
            star_region(star)


@pytest.mark.peer
def test_against_the_masks_of_mpdaf():
    """mpdaf 3.6, through which imphot masks: the same ellipses and turned boxes; its circles and upright boxes lie on whole or half pixels."""
    image_class = pytest.importorskip("mpdaf.obj").Image
    image = image_class(str(shared_path("golden/imphot/inputs/dev1.fits.gz")))
    wcs = image.wcs.wcs

    def theirs(call):
        copied = image.copy()
        copied._mask = np.zeros(image.shape, bool)
        call(copied)
        return copied._mask

    ellipse = region("ellipse", (20 / 3600, 12 / 3600), angle=40.0, centre=(53.16, -27.78))
    expected = theirs(lambda m: m.mask_ellipse((-27.78, 53.16), (20 / 3600, 12 / 3600), 40, unit_radius=u.deg))
    assert np.array_equal(full(ellipse, wcs, image.shape), expected)
    box = region("box", (30 / 3600, 20 / 3600), angle=25.0, centre=(53.16, -27.78))
    expected = theirs(lambda m: m.mask_region((-27.78, 53.16), (15 / 3600, 10 / 3600), posangle=25, unit_radius=u.deg))
    assert np.array_equal(full(box, wcs, image.shape), expected)
    circle = region("circle", (3 / 3600,), centre=(53.163103, -27.776912))
    expected = theirs(lambda m: m.mask_region((-27.776912, 53.163103), 3 / 3600, unit_radius=u.deg))
    mine = full(circle, wcs, image.shape)
    assert not (expected & ~ndimage.binary_dilation(mine)).any()
    assert not (mine & ~ndimage.binary_dilation(expected)).any()
    assert abs(mine.sum() - np.pi * 15**2) < abs(expected.sum() - np.pi * 15**2)


def sources(rng, shape=(80, 90)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = rng.normal(0, 0.1, shape)
    for y0, x0 in ((20, 30), (55, 60), (60, 20)):
        image += 50 * np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / 18)
    return image


def test_areas_without_sources():
    image = sources(np.random.default_rng(4))
    mask = np.zeros(image.shape, bool)
    low = mask_without_sources(image, mask)
    for y0, x0 in ((20, 30), (55, 60), (60, 20)):
        assert not low[y0 - 4 : y0 + 5, x0 - 4 : x0 + 5].any()
    assert 0.1 < low.mean() < 0.5
    # imphot's answer changes with the unit of the image (its structuring element has heights): D12
    assert np.array_equal(mask_without_sources(1e-3 * image + 5, mask), low)
    blind = mask.copy()
    blind[:30] = True
    broken = np.where(blind, np.nan, image + 1000)
    assert mask_without_sources(broken, mask)[40:].mean() == pytest.approx(mask_without_sources(image, blind)[40:].mean(), abs=0.02)
    assert not mask_without_sources(image, ~mask).any()
    with pytest.raises(ShapeError):
        mask_without_sources(image, mask[1:])


def test_extra_masks():
    assert extra_mask(np.array([[0, 1, -2]]), (1, 3)).tolist() == [[False, True, True]]
    assert extra_mask(np.array([[0.0, np.nan]]), (1, 2)).tolist() == [[False, True]]
    assert extra_mask(np.ma.array([[0, 0]], mask=[[False, True]]), (1, 2)).tolist() == [[False, True]]
    with pytest.raises(ShapeError, match=r"the extra mask has the wrong dimensions: it is \(3, 3\), the image is \(1, 2\)"):
        extra_mask(np.zeros((3, 3)), (1, 2))
    with pytest.raises(InputError, match="expected numbers or bool"):
        extra_mask(np.array([["a"]]), (1, 1))
