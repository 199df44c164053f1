"""Views: place and scale, stretches, readings, grid and regions, what is drawn and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.visualization import ZScaleInterval
from astropy.wcs import WCS
from PIL import Image

import nbmosaic
from nbmosaic.core.stretch import Statistics, grey_levels, parse_limit, stretch_range
from nbmosaic.errors import ConfigError, FormatError, InputError, NbmosaicWarning, WcsError
from nbmosaic.pipeline.viewing.stretch import STRETCHES
from nbmosaic.pipeline.viewing.viewer import COLOUR_MAPS, open_view
from nbmosaic.views.look import BLANK_COLOUR

SHAPE = (90, 120)


def sky() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [83.8, -5.4], [61.0, 46.0], [-1 / 3600, 1 / 3600]
    return wcs


def image(seed=1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.normal(100.0, 3.0, SHAPE).astype(np.float32)
    data[40:50, 60:70] += rng.exponential(500.0, (10, 10)).astype(np.float32)
    data[:10] = np.nan
    return data


@pytest.fixture
def view():
    return open_view({"one": image(1), "two": image(2), "three": image(3)}, wcs=sky(), size=(48, 64))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_new_view_shows_the_whole_image(view):
    xmin, xmax, ymin, ymax = view.window.limits
    assert (xmin, xmax) == pytest.approx((-0.5, 119.5))  # 120 columns on 64 pixels, 90 rows on 48: both just fit
    assert (ymin, ymax) == pytest.approx((-0.5, 89.5))
    assert pixels(view.png()).shape == (48, 64, 3)


def test_a_change_leaves_the_old_view(view):
    changed = view.change(stretch="log")
    assert (view.stretch, changed.stretch) == ("asinh", "log")
    assert view.png() != changed.png()


def test_zooming_keeps_what_is_under_the_pointer(view):
    for right, down in ((0.1, 0.2), (0.5, 0.5), (0.83, 0.4)):
        x, y = view.place(right, down)
        for factor in (2.0, 5.0, 1.3):
            near = view.zoom_by(factor, (x, y))
            assert near.zoom == pytest.approx(view.zoom * factor)
            assert near.place(right, down) == pytest.approx((x, y))


def test_moving(view):
    near = view.zoom_by(4.0)
    moved = near.move_by(0.25, -0.5)
    assert moved.centre == pytest.approx((near.centre[0] + 0.25 * 64 / near.zoom, near.centre[1] - 0.5 * 48 / near.zoom))
    assert view.move_by(-99, 99).centre == (-0.5, 89.5)  # no further than the edge
    assert near.move_to(5.0, 7.0).place(0.5, 0.5) == pytest.approx((5.0, 7.0))
    assert near.fit().centre == view.centre


def test_scale_has_ends(view):
    for _ in range(40):
        view = view.zoom_in()
    assert view.zoom == 64.0
    for _ in range(80):
        view = view.zoom_out()
    assert 0.01 < view.zoom < 0.2
    view.png()


def test_a_place_on_the_picture_is_the_pixel_drawn_there():
    data = image()
    view = open_view(data, size=(48, 64)).at_scale(8.0).move_to(65.3, 44.1).change(stretch="linear", low="min", high="max")
    levels = view.levels(0)
    shown = view._range(0)
    for row, column in ((0, 0), (47, 63), (20, 31)):
        x, y = view.place((column + 0.5) / 64, 1.0 - (row + 0.5) / 48)
        assert levels[row, column] == grey_levels(data[round(y), round(x)][None, None], shown)[0, 0]


def test_readings(view):
    data, wcs = image(1), sky()
    found = view.reading(62.4, 44.6)
    assert found.values == (("one", float(data[45, 62])),)
    lon, lat = wcs.wcs_pix2world([[62.4, 44.6]], 0)[0]
    assert (found.lon, found.lat) == pytest.approx((lon, lat), abs=1e-10)
    assert "x 62.4, y 44.6" in found.text
    assert "05h35m" in found.text
    assert "no data" in view.reading(5, 5).text
    assert "no data" in view.reading(-20, 500).text
    both = view.change(colours=(2, 0, 1)).reading(70, 20)
    assert [name for name, _ in both.values] == ["three", "one", "two"]
    assert [value for _, value in both.values] == [float(image(s)[20, 70]) for s in (3, 1, 2)]


def test_images_without_coordinates():
    view = open_view(image())
    found = view.reading(60, 45)
    assert np.isnan(found.lon)
    assert "icrs" not in found.text
    with pytest.raises(ConfigError, match="needs an image with coordinates"):
        view.change(lines="own")
    with pytest.raises(InputError, match="no coordinates"):
        view.go_to("83.8 -5.4")
    with pytest.raises(InputError, match="needs an image with coordinates"):
        view.with_regions('fk5; circle(83.8, -5.4, 5")')
    assert len(view.with_regions("image; circle(50, 50, 5)").regions) == 1


def test_coordinates_that_are_not_on_the_sky_are_refused_at_once():
    with pytest.raises(WcsError):
        open_view(image(), wcs=WCS(naxis=2))


@pytest.mark.parametrize("text", ["83.8 -5.4", "05:35:12 -05:24:00", "05h35m12s -5d24m00s"])
def test_going_to_a_position(view, text):
    there = view.zoom_by(4.0).go_to(text)
    assert there.cursor == (60.0, 45.0)
    assert there.centre == pytest.approx((60.0, 45.0), abs=1e-6)
    with pytest.raises(InputError, match="not on the image"):
        view.go_to("10 10")


def test_going_to_galactic_coordinates(view):
    from astropy.coordinates import SkyCoord

    place = SkyCoord(83.8, -5.4, unit="deg", frame="icrs").galactic
    assert view.go_to(f"{place.l.deg:.8f} {place.b.deg:.8f} gal").cursor == (60.0, 45.0)


def test_the_cross_hair_is_on_a_pixel_and_moves_by_pixels(view):
    set_ = view.with_cursor(10.4, 20.6)
    assert set_.cursor == (10.0, 21.0)
    assert view.with_cursor(-50, 1e9).cursor == (0.0, 89.0)
    assert set_.at_scale(4.0).nudge(1, -1).cursor == (11.0, 20.0)
    step = round(view.window.step)
    assert step == 2
    assert set_.nudge(1, 0).cursor == (12.0, 21.0)
    far = set_.at_scale(16.0).move_to(100.0, 80.0)
    assert far.visible_cursor is None
    assert far.nudge(0, 1).visible_cursor == (10.0, 22.0)  # it comes into the picture


# Stretches


def twin_levels(data, stretch, statistics, low, high):
    """By the functions of the stages, or by formulas written out."""
    first, last = (statistics.value_of(parse_limit(text)) for text in (low, high))
    x = np.clip((data.astype(float) - first) / (last - first), 0, 1)
    if stretch == "linear":
        return 255 * x
    if stretch == "log":
        return 255 * np.log(9 * x + 1) / np.log(10)
    if stretch == "power":
        return 255 * np.sqrt(x)
    kind = {"asinh": "asinh", "histogram": "gaussian", "histogram-log": "gaussian-log"}[stretch]
    return grey_levels(data, stretch_range(statistics, parse_limit(low), parse_limit(high), kind))


@pytest.mark.parametrize("stretch", STRETCHES)
def test_stretches_reach_from_the_first_to_the_last_colour(stretch):
    data = image()
    view = open_view(data, size=(90, 120)).change(stretch=stretch, low="1%", high="max")
    levels = view.levels(0)
    statistics = Statistics.of(np.concatenate([[np.nanmin(data), np.nanmax(data)], data.ravel()]))
    np.testing.assert_allclose(levels, twin_levels(data, stretch, statistics, "1%", "max"), atol=1e-4)
    assert np.nanmin(levels) == 0
    assert np.nanmax(levels) == pytest.approx(255)
    np.testing.assert_array_equal(np.isnan(levels), np.isnan(data))
    order = np.argsort(data[10:].ravel(), kind="stable")
    assert (np.diff(levels[10:].ravel()[order]) >= 0).all()


def test_limits(view):
    data = image(1)
    statistics = Statistics.of(np.concatenate([[np.nanmin(data), np.nanmax(data)], data.ravel()]))
    assert view.limits_kind == "percentile"
    assert view.limits == pytest.approx((statistics.at_percent(0.3), statistics.at_percent(99.8)))
    sigma = view.with_limits("sigma")
    assert sigma.limits_kind == "sigma"
    assert sigma.limits == pytest.approx((statistics.median - 2 * statistics.sigma, statistics.median + 8 * statistics.sigma))
    extremes = view.with_limits("extremes")
    assert extremes.limits == (np.nanmin(data), np.nanmax(data))
    value = sigma.with_limits("value")
    assert value.limits_kind == "value"
    assert value.limits == pytest.approx(sigma.limits, rel=1e-5)
    assert view.change(low="5", high="99%").limits_kind == "mixed"


def test_zscale_is_that_of_astropy():
    data = np.random.default_rng(3).normal(10.0, 2.0, (90, 120)).astype(np.float32)
    view = open_view(data).with_limits("zscale")
    assert view.limits == pytest.approx(ZScaleInterval(n_samples=data.size).get_limits(data), rel=0.02)
    assert view.limits_kind == "zscale"


def test_all_images_share_the_limits_of_the_first(view):
    assert view.change(shown=2).limits == view.limits
    ours = view.change(shown=1).levels(1)
    alone = open_view(image(2), wcs=sky(), size=(48, 64)).change(low=repr(view.limits[0]), high=repr(view.limits[1]), stretch="linear")
    np.testing.assert_allclose(view.change(stretch="linear").levels(1), alone.levels(0), atol=1e-3)
    assert ours.shape == (48, 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stretch": "lgo"}, "log"),
        ({"colour_map": "jet"}, "colour_map cannot be 'jet'"),
        ({"lines": "grid"}, "lines cannot be"),
        ({"low": "lots"}, "not a valid lower limit"),
        ({"high": "120%"}, "larger than 100 in upper limit"),
        ({"bend": "zscale"}, "not a valid bend"),
        ({"exponent": 0.0}, "exponent cannot be 0"),
        ({"shown": 3}, "there is no image 3"),
        ({"colours": (0, 1, 7)}, "there is no image 7"),
        ({"colours": (0, 1)}, "names 2 images"),
        ({"zoooom": 2}, "zoooom cannot be changed"),
    ],
)
def test_what_cannot_be_is_told(view, options, words):
    with pytest.raises((ConfigError, InputError), match=words):
        view.change(**options)


def test_blank_and_constant_images():
    blank = open_view(np.full(SHAPE, np.nan))
    blank_colour = tuple(int(BLANK_COLOUR[i : i + 2], 16) for i in (1, 3, 5))
    for stretch in STRETCHES:
        assert (pixels(blank.change(stretch=stretch).png()) == blank_colour).all()
        assert len(np.unique(pixels(open_view(np.ones(SHAPE)).change(stretch=stretch).png()).reshape(-1, 3), axis=0)) <= 2


# Pictures


def test_the_first_row_is_at_the_bottom():
    data = np.zeros((16, 16))
    data[0] = 1.0
    picture = pixels(open_view(data, size=(16, 16)).change(stretch="linear", low="0", high="1", colour_map="gray").png())
    assert (picture[-1] == 255).all()
    assert (picture[:-1] == 0).all()


@pytest.mark.parametrize("name", [name for name in COLOUR_MAPS if name != "RdBu_r"])  # which diverges
def test_lightness_rises_or_falls_all_along(name):
    ramp = np.linspace(0.0, 1.0, 250)[None].repeat(16, axis=0)
    picture = pixels(open_view(ramp, size=(16, 250)).change(stretch="linear", low="0", high="1", colour_map=name).png())
    linear = np.where(picture <= 10, picture / 255 / 12.92, ((picture / 255 + 0.055) / 1.055) ** 2.4)
    light = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])[0]
    assert (np.diff(light[::10]) > 0).all() or (np.diff(light[::10]) < 0).all()


def test_the_cross_hair_leaves_its_pixel_free():
    data = np.full((64, 64), 0.5)
    plain = open_view(data, size=(64, 64)).change(stretch="linear", low="0", high="1")
    picture = pixels(plain.change(cursor=(30.0, 20.0)).png())
    row, column = 63 - 20, 30
    changed = (picture != pixels(plain.png())).any(axis=-1)
    assert not changed[row - 3 : row + 4, column - 3 : column + 4].any()
    assert (picture[row, column + 8] == 255).all()
    assert (picture[row + 8, column] == 255).all()
    assert (picture[row + 8, column + 1] == 0).all()
    away = plain.change(cursor=(500.0, -700.0)).png()
    assert (pixels(away) == pixels(plain.png())).all()


def test_three_colours(view):
    flat = [np.full((16, 16), v) for v in (0.0, 0.5, 1.0)]
    three = open_view(flat, size=(16, 16)).change(stretch="linear", low="0", high="1", colours=(2, 0, 1))
    assert (pixels(three.png()) == (255, 0, 127)).all()
    picture = pixels(view.change(colours=(0, 1, 2)).png())
    blank_colour = tuple(int(BLANK_COLOUR[i : i + 2], 16) for i in (1, 3, 5))
    assert (picture[-2, 20:40] == blank_colour).all()
    assert "one in red, two in green, three in blue" in view.change(colours=(0, 1, 2)).words


def test_grid_and_regions_are_drawn_over(view):
    plain = pixels(view.png())
    lined = view.change(lines="own")
    assert (pixels(lined.png()) != plain).any()
    with pytest.warns(NbmosaicWarning, match="point"):
        marked = view.with_regions(["fk5", "point(83.8, -5.4)", 'circle(83.8, -5.4, 20")', '-box(83.805, -5.39, 10", 10", 0)'])
    assert len(marked.regions) == 2
    changed = (pixels(marked.png()) != plain).any(axis=-1)
    # The circle has a radius of 20 pixels of the image about (60, 45): its outline, not its middle.
    step = view.window.step
    row, column = 47 - round((45.0 - view.window.bottom) / step - 0.5), round((60.0 - view.window.left) / step - 0.5)
    assert changed[row, column + round(20 / step) - 1 : column + round(20 / step) + 2].any()
    assert not changed[row - 2 : row + 3, column - 2 : column + 3].any()
    assert not len(marked.with_regions("").regions)
    assert marked.with_regions("").png() == view.png()


def test_words_name_what_is_seen(view):
    words = view.change(lines="galactic", stretch="log").at_scale(2.0).words
    for part in ("one, 120 x 90 px", "columns 44 to 75", "rows 33 to 56", "scale 2", "log from", "colours inferno", "coordinate grid"):
        assert part in words


def test_saving(view, tmp_path):
    path = tmp_path / "view.png"
    assert view.save(path) == str(path)
    assert path.read_bytes() == view.png()
    with pytest.raises(FormatError, match="exists"):
        view.save(path)
    view.change(stretch="log").save(path, overwrite=True)
    assert path.read_bytes() == view.change(stretch="log").png()
    assert [file.name for file in tmp_path.iterdir()] == ["view.png"]


def test_the_code_gives_the_same_view(view):
    changed = view.zoom_by(3.0).change(stretch="power", exponent=0.7, low="med", colour_map="gray", shown=1)
    again = eval(changed.code(), {"open_view": lambda _: view, "product": None})
    assert again.png() == changed.png()
    assert view.code() == "open_view(product)"


# Products


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from nbmosaic.pipeline.simulation.frames import simulate_frames

    folder = tmp_path_factory.mktemp("sky")
    simulate_frames(folder, n_frames=4, size=64, seed=2)
    return nbmosaic.mosaic(str(folder), method="bilinear")


def test_a_run_has_its_mosaic_the_one_before_matching_and_the_frames(run):
    view = open_view(run)
    assert view.names[:2] == ("mosaic", "before matching")
    assert len(view.names) == 6
    assert view.reading(50, 50).values[0][1] == float(run.mosaic.data[50, 50])
    before = view.change(shown=1).reading(50, 50).values[0][1]
    assert before == float(nbmosaic.coadd(run["project"]).data[50, 50])
    corrected = run["correct"]
    for number, info in enumerate(corrected.projected.infos):
        frame = corrected.frame(info.index)
        y, x = (int(n) for n in np.argwhere(np.isfinite(frame.data))[100])
        reading = view.change(shown=number + 2).reading(x + info.box.xmin, y + info.box.ymin)
        assert reading.values[0][1] == float(frame.data[y, x])
    view.change(shown=3).png()


def test_products_alone(run):
    assert open_view(run.mosaic).names == ("mosaic",)
    assert len(open_view(run["project"]).names) == 4
    assert len(open_view([run.mosaic, run.mosaic, run.mosaic]).names) == 3
    view = open_view(run.mosaic)
    assert open_view(view) is view


@pytest.mark.parametrize(
    ("product", "words"),
    [
        ("file.fits", "str cannot be viewed"),
        ([], "nothing to view"),
        ({}, "nothing to view"),
        (np.zeros(5), "numbers on two axes"),
        (np.zeros((5, 5), complex), "numbers on two axes"),
        ([np.zeros((5, 5)), np.zeros((5, 6))], "images on one grid"),
    ],
)
def test_what_is_no_image(product, words):
    with pytest.raises((ConfigError, InputError), match=words):
        open_view(product)
    with pytest.raises(InputError, match="16 to 4000"):
        open_view(np.zeros((5, 5)), size=(2, 9000))


def test_inputs_are_not_modified():
    data = image()
    before = data.copy()
    view = open_view(data, wcs=sky()).change(lines="own", cursor=(5.0, 5.0))
    for stretch in STRETCHES:
        view.change(stretch=stretch).png()
    np.testing.assert_array_equal(data, before)
