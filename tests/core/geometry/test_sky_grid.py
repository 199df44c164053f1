"""Grid lines and outlines of regions in pixels, against the WCS itself and against the masks that fits use."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from matplotlib.path import Path

from nbmosaic.core.geometry.region_outlines import region_outlines
from nbmosaic.core.geometry.sky import CelestialSystem, SkyPixels
from nbmosaic.core.geometry.sky_grid import round_step, sky_grid_lines
from nbmosaic.core.psf.masks import region_pixels
from nbmosaic.errors import InputError
from nbmosaic.types.regions import Region

SHAPE = (300, 400)


def tangent(lon, lat, *, scale=10.0, turn=20.0, prefix=("RA---", "DEC--"), projection="TAN"):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [prefix[0] + projection, prefix[1] + projection]
    wcs.wcs.crval, wcs.wcs.crpix = [lon, lat], [200.0, 150.0]
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.cd = np.array([[-c, s], [s, c]]) * scale / 3600.0
    return wcs


WCSS = {
    "plain": tangent(83.8, -5.4),
    "zero meridian": tangent(0.1, 40.0),
    "pole": tangent(120.0, 89.9),
    "galactic": tangent(359.9, 0.2, prefix=("GLON-", "GLAT-")),
    "latitude first": None,
    "all sky": tangent(10.0, 5.0, scale=3240.0, turn=0.0, projection="AIT"),
}
WCSS["latitude first"] = WCSS["plain"].deepcopy()
WCSS["latitude first"].wcs.ctype = ["DEC--TAN", "RA---TAN"]
WCSS["latitude first"].wcs.crval = [-5.4, 83.8]


@pytest.mark.parametrize("name", WCSS)
@pytest.mark.parametrize("system", [CelestialSystem("icrs", 0.0), CelestialSystem("galactic", 0.0)])
def test_lines_are_where_the_sky_is(name, system):
    wcs = WCSS[name]
    view = (-0.5, 399.5, -0.5, 299.5)
    lines = sky_grid_lines(SkyPixels(wcs, SHAPE), system, view, lines=5)
    assert {line.kind for line in lines} == {"lon", "lat"}
    for line in lines:
        points = line.points[np.isfinite(line.points).all(axis=1)]
        sky = wcs.pixel_to_world(*points.T)
        sky = sky.icrs if system.name == "icrs" else sky.galactic
        lon, lat = (sky.ra.deg, sky.dec.deg) if system.name == "icrs" else (sky.l.deg, sky.b.deg)
        off_pole = np.abs(lat) < 89.999
        away = (lon - line.value + 180.0) % 360.0 - 180.0 if line.kind == "lon" else lat - line.value
        # FK5 (J2000) is what a header without RADESYS may mean; the two systems agree to 1e-5 degrees.
        assert np.abs(np.where(off_pole, away * (np.cos(np.radians(lat)) if line.kind == "lon" else 1.0), 0.0)).max() < 2e-5
        assert abs(line.value / line.step - round(line.value / line.step)) < 1e-6


@pytest.mark.parametrize("name", WCSS)
def test_no_line_is_missing(name):
    """Wherever the longitude or latitude passes a multiple of the step between two pixels of the view there is a line, and vice versa."""
    wcs = WCSS[name]
    sky = SkyPixels(wcs, SHAPE)
    lines = sky_grid_lines(sky, sky.system, (-0.5, 399.5, -0.5, 299.5), lines=5)
    x, y = np.meshgrid(np.arange(400.0), np.arange(300.0))
    lat = sky.to_sky(x, y)[1]
    for kind, values in (("lat", lat),):
        step = next(line.step for line in lines if line.kind == kind)
        low, high = np.nanmin(values), np.nanmax(values)
        wanted = {round(v, 9) for v in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step if abs(v) < 90}
        found = {round(line.value, 9) for line in lines if line.kind == kind}
        assert wanted <= found
    lon = {line.value for line in lines if line.kind == "lon"}
    assert len(lon) == len([line for line in lines if line.kind == "lon"])  # none twice, at 0 and at 360 either
    if name in {"pole", "all sky"}:
        assert len(lon) == round(360.0 / next(line.step for line in lines if line.kind == "lon"))


def test_a_view_beside_the_sky_has_no_lines():
    sky = SkyPixels(WCSS["all sky"], SHAPE)
    assert sky_grid_lines(sky, sky.system, (3000.0, 3100.0, 3000.0, 3100.0)) == ()


@pytest.mark.parametrize("span", [400.0, 90.0, 7.0, 1.0, 0.02, 1e-4, 3e-7])
@pytest.mark.parametrize("hours", [True, False])
def test_steps_are_round(span, hours):
    step = round_step(span, 5, hours=hours)
    assert span / step <= 5.0 + 1e-9 or step == 90.0
    unit = 15.0 if hours else 1.0
    number = 3600.0 * step / unit
    assert span / step >= 5 / 3 - 1e-9 or number < 1e-4 or span > 100  # neighbours differ by 2.5 at most, 3 for hours
    if number >= 1:
        assert number == pytest.approx(round(number))


REGIONS = {
    "circle": Region(kind="circle", system="fk5", centre=(83.75, -5.35), sizes=(0.12,)),
    "ellipse": Region(kind="ellipse", system="icrs", centre=(83.8, -5.4), sizes=(0.2, 0.08), angle=35.0),
    "box": Region(kind="box", system="fk5", centre=(83.85, -5.45), sizes=(0.3, 0.15), angle=-20.0),
    "polygon": Region(kind="polygon", system="fk5", centre=(83.7, -5.5), vertices=((83.7, -5.5), (83.9, -5.45), (83.8, -5.2))),
    "pixels": Region(kind="ellipse", system="image", centre=(210.0, 140.0), sizes=(40.0, 15.0), angle=70.0, angular=False),
    "pixels, arcsec": Region(kind="circle", system="image", centre=(100.0, 100.0), sizes=(0.1,)),
}


@pytest.mark.parametrize("name", REGIONS)
def test_outlines_enclose_the_pixels_of_the_mask(name):
    region, wcs = REGIONS[name], WCSS["plain"]
    (outline,) = region_outlines(region, wcs, SHAPE)
    np.testing.assert_allclose(outline[0], outline[-1], atol=1e-6)
    box, inside = region_pixels(region, wcs, SHAPE)
    mask = np.zeros(SHAPE, bool)
    mask[box.slices()] = inside
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    drawn = Path(outline).contains_points(np.column_stack([x.ravel(), y.ravel()])).reshape(SHAPE)
    assert mask.sum() > 500
    # Straight pieces between points 5 degrees apart cut 0.1 % of the radius off.
    assert (mask != drawn).sum() <= 0.004 * mask.sum() + 6


def test_rings_have_two_outlines():
    ring = Region(kind="annulus", system="fk5", centre=(83.8, -5.4), sizes=(0.05, 0.1))
    inner, outer = region_outlines(ring, WCSS["plain"], SHAPE)
    centre = SkyCoord(83.8, -5.4, unit="deg", frame="fk5")
    for outline, radius in ((inner, 0.05), (outer, 0.1)):
        away = WCSS["plain"].pixel_to_world(*outline.T).separation(centre).deg
        np.testing.assert_allclose(away, radius, rtol=3e-4)


def test_sky_regions_need_coordinates():
    with pytest.raises(InputError, match="needs an image with coordinates"):
        region_outlines(REGIONS["circle"], None)
    with pytest.raises(InputError, match="needs an image with coordinates"):
        region_outlines(REGIONS["pixels, arcsec"], None)
    assert len(region_outlines(REGIONS["pixels"], None)) == 1
