"""Figures: what they return, their units, odd inputs, the user's settings, size and speed."""

from __future__ import annotations

import io
import subprocess
import sys
import time

import matplotlib as mpl
import numpy as np
import pytest
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from nbmosaic.types import Footprint, PixelBox
from nbmosaic.views.background_figures import plane_map, plot_overlap_network, plot_plane_errors, plot_planes, plot_residuals
from nbmosaic.views.figures import figure_png
from nbmosaic.views.look import BLANK_COLOUR, Stretch, blank_aware, robust_stretch, symmetric_limit, with_unit
from nbmosaic.views.mosaic_figures import image_png, plot_before_after, plot_coverage, plot_footprints, plot_image
from nbmosaic.views.overlap_figures import plot_overlap
from nbmosaic.views.preview import block_mean
from nbmosaic.views.space_figures import plot_plane_3d

BOXES = np.array([[0, 60, 0, 60], [0, 60, 40, 100], [40, 100, -5, 60]])
EVIL = "<script>$a_b$\n\x1b \\frac \u6e2c"


def tan(shape=(100, 100), ctype=("RA---TAN", "DEC--TAN"), crval=(0.0, -30.0), scale=1e-3) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = list(ctype)
    wcs.wcs.crval = list(crval)
    wcs.wcs.crpix = [shape[1] / 2, shape[0] / 2]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.wcs.set()
    return wcs


ORIGIN = (50.0, 40.0)
LEVELS, ERRORS = np.array([1.0, -2.0, 5.0]), np.array([0.1, 0.2, 0.3])


def planes(m=3) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(m, 3)) * [1e-2, 1e-2, 1.0]


def noise(shape=(80, 100)) -> np.ndarray:
    return np.random.default_rng(2).normal(10, 1, shape).astype(np.float32)


def every_figure(unit="DN"):
    """Each function once, as (name, call)."""
    x, net = noise(), (np.array([[0, 1], [0, 2]]), np.array([1.0, -2.0]))
    return {
        "image": lambda: plot_image(x, unit=unit, title="t"),
        "sky": lambda: plot_image(x, tan(x.shape), unit=unit),
        "coverage": lambda: plot_coverage(np.round(np.abs(x)), tan(x.shape)),
        "pair": lambda: plot_before_after(x, x, tan(x.shape), unit=unit),
        "wide pair": lambda: plot_before_after(x[:20], x[:20], unit=unit),
        "footprints": lambda: plot_footprints(BOXES, shape=(100, 100)),
        "network": lambda: plot_overlap_network(BOXES, *net, excluded=np.array([False, True]), unit=unit),
        "planes": lambda: plot_planes(planes(), BOXES, unit=unit),
        "levels": lambda: plot_plane_errors(LEVELS, ERRORS, component=np.array([0, 0, 1]), unit=unit),
        "named levels": lambda: plot_plane_errors(LEVELS, ERRORS, names=["a", "b", "c"], unit=unit),
        "space": lambda: plot_plane_3d(planes(), BOXES, unit=unit),
        "overlap": lambda: plot_overlap(x, np.full(x.shape, 10.0), np.abs(x - 10) < 2, unit=unit),
        "residuals": lambda: plot_residuals([1, -2.0], [0.1, 0.0], unit=unit),
    }


def first(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("name", every_figure())
def test_figures_return_axes_and_look_the_same_under_any_style(name):
    draw = every_figure()[name]
    axes = draw()
    assert all(isinstance(a, Axes) for a in (axes if isinstance(axes, tuple) else (axes,)))
    settings = dict(mpl.rcParams)
    plain = figure_png(first(draw()), 300)
    assert dict(mpl.rcParams) == settings, "the user's settings changed"
    dark = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), "white")
    dark |= {"figure.facecolor": "black", "axes.facecolor": "black", "legend.facecolor": "black", "savefig.facecolor": "black"}
    with mpl.rc_context({**dark, "font.size": 20.0, "axes.grid": True, "xtick.minor.visible": True}):
        assert figure_png(first(draw()), 300) == plain, "a dark style sheet changes the picture"
    corner = Image.open(io.BytesIO(plain)).convert("RGB").getpixel((0, 0))
    assert corner == (255, 255, 255)


@pytest.mark.parametrize("name", [n for n in every_figure() if n not in {"coverage", "footprints"}])
def test_units_stand_on_the_axes_or_colour_bar(name):
    axes = first(every_figure("MJy/sr")[name]())
    root = axes.get_figure(root=True)
    every = [a for parent in root.get_axes() for a in (parent, *parent.child_axes)]
    labels = [text for a in every for text in (a.get_xlabel(), a.get_ylabel(), getattr(a, "get_zlabel", str)())]
    assert any("[MJy/sr]" in text for text in labels)
    for a in every:
        if hasattr(a, "coords"):
            assert "(ICRS)" in a.coords[0].get_axislabel()


def test_pyplot_stays_out():
    code = (
        "import sys, tests_figures as t\n"
        "from nbmosaic.views.figures import figure_png\n"
        "for name, draw in t.every_figure().items(): figure_png(t.first(draw())) if name in {'sky', 'space'} else draw()\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    loader = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('tests_figures', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['tests_figures'] = module; spec.loader.exec_module(module)\n"
    )
    out = subprocess.run([sys.executable, "-c", loader + code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_importing_the_views_imports_nothing_heavy():
    modules = (
        "html text report rows preview look axes figures mosaic_figures background_figures overlap_figures space_figures alt_text labels"
    )
    code = (
        f"import sys, importlib\nfor m in {modules.split()!r}: importlib.import_module('nbmosaic.views.' + m)\n"
        "print(sorted({'matplotlib', 'pandas', 'astropy', 'scipy', 'numba', 'IPython', 'PIL'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0, -1e30])
@pytest.mark.parametrize("stretch", ["asinh", "linear", "zscale"])
def test_constant_and_blank_images(value, stretch):
    image = np.full((7, 9), value, np.float32)
    assert Image.open(io.BytesIO(image_png(image, unit="DN", stretch=stretch, width=200))).width == 200
    assert all(isinstance(a, Axes) for a in plot_before_after(image, image, stretch=stretch))
    plot_coverage(image)


def test_blank_pixels_have_their_own_colour():
    image = np.tile(np.linspace(0, 1, 40), (40, 1))
    image[:10] = np.nan
    axes = plot_image(image, colour_bar=False)
    rgb = np.asarray(Image.open(io.BytesIO(figure_png(axes))).convert("RGB")).reshape(-1, 3)
    blank = [int(BLANK_COLOUR[i : i + 2], 16) for i in (1, 3, 5)]
    assert 0.1 < (rgb == blank).all(axis=1).mean() < 0.3
    for name in ("inferno", "viridis", "RdBu_r"):
        colours = blank_aware(name)(np.linspace(0, 1, 160))[:, :3]
        assert np.abs(colours - np.array(blank) / 255).max(axis=1).min() > 0.04, f"blank looks like a value of {name}"


def test_data_coordinates_stay_grid_pixels_when_the_image_is_shrunk():
    image = np.zeros((1000, 1500), np.float32)
    image[600:610, 900:910] = 100
    axes = plot_image(image, tan(image.shape), max_size=150, stretch="linear")
    assert axes.get_xlim() == (-0.5, 1499.5)
    shown = axes.images[0]
    left, right, bottom, top = shown.get_extent()
    y, x = np.unravel_index(np.nanargmax(shown.get_array()), shown.get_array().shape)
    ny, nx = shown.get_array().shape
    assert 900 <= left + (x + 0.5) * (right - left) / nx <= 910
    assert 600 <= bottom + (y + 0.5) * (top - bottom) / ny <= 610


@pytest.mark.parametrize(
    ("ctype", "crval", "scale"),
    [
        (("GLON-AIT", "GLAT-AIT"), (0, 0), 3.6),
        (("RA---CAR", "DEC--CAR"), (0, 0), 3.6),
        (("RA---TAN", "DEC--TAN"), (0, 90), 0.01),
        (("DEC--TAN", "RA---TAN"), (10, 0), 1e-3),
        (("ELON-SIN", "ELAT-SIN"), (359.99, 5), 1e-3),
    ],
)
def test_every_kind_of_sky_is_drawn(ctype, crval, scale):
    wcs = tan((60, 100), ctype, crval, scale)
    figure_png(plot_image(noise((60, 100)), wcs))
    figure_png(plot_before_after(noise((60, 100)), noise((60, 100)), wcs)[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 2), (2, 2)])
def test_narrow_images_are_stretched_and_say_so(shape):
    axes = plot_image(noise(shape), tan(shape), title="strip")
    size = Image.open(io.BytesIO(figure_png(axes))).size
    assert size[0] == 900
    assert size[1] < 1200
    assert ("not to scale" in axes.get_title()) == (max(shape) > 1000)


def test_png_is_small_and_close_to_the_true_colours():
    axes = plot_image(noise((700, 700)), tan((700, 700)), unit="DN")
    png = figure_png(axes, 2000)
    small = Image.open(io.BytesIO(png))
    assert small.width == 900
    assert small.mode == "P"
    assert len(png) < 450_000
    figure = axes.get_figure(root=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="raw", dpi=900 / figure.get_figwidth(), facecolor="white")
    true = np.frombuffer(buffer.getvalue(), np.uint8).reshape(small.height, small.width, 4)[..., :3].astype(int)
    off = np.abs(np.asarray(small.convert("RGB")).astype(int) - true)
    assert off.mean() < 2
    assert off.max() < 64


def test_png_leaves_the_figure_as_it_was_and_puts_transparent_ones_on_white():
    figure = Figure(figsize=(2, 1), dpi=50, facecolor="none")
    canvas = figure.canvas
    assert Image.open(io.BytesIO(figure_png(figure))).convert("RGB").getpixel((3, 3)) == (255, 255, 255)
    assert figure.dpi == 50
    assert figure.canvas is canvas


def test_caller_axes_and_style_are_used():
    figure = Figure()
    axes = figure.subplots(1, 2)
    x = noise()
    assert plot_image(x, ax=axes[0], unit="DN") is axes[0]
    assert plot_planes(planes(), BOXES, ax=axes[1]) is axes[1]
    for draw in (
        lambda ax: plot_coverage(np.abs(x), ax=ax),
        lambda ax: plot_footprints(BOXES, ax=ax),
        lambda ax: plot_overlap_network(BOXES, np.array([[0, 1]]), np.array([1.0]), ax=ax),
        lambda ax: plot_plane_errors(LEVELS, ax=ax),
        lambda ax: plot_residuals([1.0], [0.1], ax=ax),
    ):
        one = Figure().subplots()
        assert draw(one) is one
    ours = Figure(figsize=(6, 4))
    assert plot_before_after(x, x, figure=ours)[0].figure is ours
    assert plot_overlap(x, x, figure=ours)[0].figure is ours
    figure_png(figure)


def test_labels_from_files_are_plain_text():
    names = [EVIL, EVIL + "2", EVIL + "3"]
    x = noise()
    draws = [
        plot_image(x, title=EVIL, unit=EVIL),
        plot_footprints(BOXES, names),
        plot_overlap_network(BOXES, np.array([[0, 1]]), np.array([1.0]), names=names, title=EVIL, unit=EVIL),
        plot_planes(planes(), BOXES, names=names, unit=EVIL),
        plot_plane_errors(LEVELS, ERRORS, names=names, unit=EVIL),
        plot_plane_3d(planes(), BOXES, names=names, unit=EVIL),
        plot_residuals([1.0, 2.0], [0.1, 0.2], names=names[:2], unit=EVIL),
        plot_before_after(x, x, titles=(EVIL, EVIL), unit=EVIL)[0],
        plot_coverage(x, title=EVIL, unit=EVIL),
        plot_overlap(x, x * 0 + 10, names=(EVIL, "b"), unit=EVIL)[0],
    ]
    for axes in draws:
        figure_png(axes)  # a formula in a label would raise here


# ---------------------------------------------------------------- previews and stretches


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (100, 3), (64, 64), (65, 130), (1, 500)])
@pytest.mark.parametrize("max_size", [1, 5, 16, 64])
@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "i2", "u1"])
def test_block_mean_equals_the_obvious_loop(shape, max_size, dtype):
    rng = np.random.default_rng(1)
    data = rng.integers(0, 100, shape).astype(dtype)
    if data.dtype.kind == "f":
        data[rng.random(shape) < 0.2] = np.nan
        data[rng.random(shape) < 0.05] = np.inf
    before = data.copy()
    small, factor = block_mean(data, max_size)
    np.testing.assert_array_equal(data, before)
    assert max(small.shape) <= max_size
    if factor > 16:
        return  # sampled: tested below
    for i in range(small.shape[0]):
        for j in range(small.shape[1]):
            block = data[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor].astype(float)
            good = block[np.isfinite(block)]
            if good.size:
                assert small[i, j] == pytest.approx(good.mean(), rel=1e-5)
            else:
                assert np.isnan(small[i, j])


def test_block_mean_of_large_blocks_samples_evenly():
    y, x = np.mgrid[:2000, :1900]
    small, factor = block_mean((x + 1000.0 * y).astype(np.float64), 40)
    assert factor == 50
    expected = np.add.outer(1000.0 * (np.arange(40) * 50 + 24.5), np.arange(38) * 50 + 24.5)
    np.testing.assert_allclose(small, expected, atol=1000 * 3.0)


def test_block_mean_refuses_what_it_cannot_shrink():
    for bad in (np.zeros((0, 4)), np.zeros(4), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="cannot be drawn"):
            block_mean(bad)


def test_large_values_do_not_overflow():
    small, _ = block_mean(np.full((40, 40), 3e38, np.float32), 4)
    np.testing.assert_allclose(small, 3e38, rtol=1e-6)


@pytest.mark.benchmark
def test_block_mean_is_fast():
    data = np.random.default_rng(0).normal(size=(4000, 4000)).astype(np.float32)
    data[:, :800] = np.nan
    block_mean(data)
    spent = []
    for _ in range(3):  # the least of three: other processes only ever add
        start = time.process_time()
        block_mean(data)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.08  # 16 Mpx; 10 000^2 px in half a second would be 80 ms. It takes about 20 ms.


def test_stretch_goes_there_and_back_and_ticks_lie_inside():
    values = np.concatenate([np.random.default_rng(0).normal(50, 1, 100_000), np.geomspace(60, 5e4, 500)]).reshape(300, 335)
    stretch = robust_stretch(values)
    x = np.linspace(stretch.vmin, stretch.vmax, 50)
    np.testing.assert_allclose(stretch.inverse(stretch.forward(x)), x, rtol=1e-9)
    assert (np.diff(stretch.forward(x)) > 0).all()
    ticks = stretch.ticks(6)
    assert 4 <= len(ticks) <= 6
    assert stretch.vmin <= ticks.min() < ticks.max() <= stretch.vmax
    assert all(len(f"{t:.7g}") <= 6 for t in ticks), "round numbers"
    zscale = robust_stretch(values, kind="zscale")
    assert zscale.vmax < 70
    assert zscale.kind == "linear"
    assert robust_stretch(values, limits=(1, 2)).vmax == 2
    assert robust_stretch().vmin < robust_stretch().vmax
    assert Stretch("linear", 0, 1).ticks() is None
    with pytest.raises(ValueError, match="use asinh"):
        robust_stretch(values, kind="log")


def test_symmetric_limit_is_positive():
    assert symmetric_limit(np.zeros(3)) == 1
    assert symmetric_limit(np.full(3, np.nan)) == 1
    assert symmetric_limit(np.array([])) == 1
    assert symmetric_limit(np.array([-3.0, 1.0]), 100) == 3
    assert symmetric_limit(np.r_[np.zeros(1000), 5.0]) == 5
    assert with_unit("a", None) == "a"


# ---------------------------------------------------------------- background and overlaps


def test_plane_map_shows_the_planes_at_their_places():
    p, boxes = planes(2), [PixelBox(0, 50, 10, 40), PixelBox(100, 130, -20, 40)]
    image, (left, right, bottom, top) = plane_map(p, boxes, ORIGIN, 1000)
    assert (left, right, bottom, top) == (-20.5, 39.5, -0.5, 129.5)
    y, x = np.mgrid[0:130, -20:40]
    expected = np.full(image.shape, np.nan)
    for (a, b, c), box in zip(p, boxes, strict=True):
        inside = (y >= box.ymin) & (y < box.ymax) & (x >= box.xmin) & (x < box.xmax)
        expected[inside] = (c + a * (x - 50) + b * (y - 40))[inside]
    np.testing.assert_allclose(image, expected)
    assert max(plane_map(p, [PixelBox(0, 50_000, 0, 100), PixelBox(0, 9, 0, 9)], ORIGIN, 50)[0].shape) == 50
    assert np.isnan(plane_map(planes(0), [])[0]).all()


def test_a_level_far_from_zero_is_taken_off_and_named():
    p = np.array([[0.0, 0.0, 120.5], [0.0, 0.0, 119.5], [0.0, 0.0, 120.0]])
    axes = plot_planes(p, BOXES, unit="DN")
    assert axes.child_axes[0].get_ylabel().startswith("background minus 1")
    assert axes.get_title().startswith("background levels")
    low, high = axes.images[0].get_clim()
    assert low == -high
    assert high < 2


def test_levels_and_their_errors_are_drawn():
    errors = np.array([0.1, np.inf, 0.3])
    axes = plot_plane_errors(LEVELS, errors, unit="DN")
    drawn = np.concatenate([c[0].get_ydata() for c in axes.containers])
    np.testing.assert_allclose(np.sort(drawn), np.sort(LEVELS))
    bars = np.concatenate([np.ptp([s[:, 1] for s in c[2][0].get_segments()], axis=1) for c in axes.containers])
    np.testing.assert_allclose(np.sort(bars), [0.0, 0.2, 0.6], atol=1e-12)
    assert any("not constrained" in t.get_text() for t in axes.get_legend().get_texts())
    assert "not computed" in plot_plane_errors(LEVELS).get_title()
    assert "not computed" in plot_plane_errors(LEVELS, np.full(3, np.nan)).get_title()


@pytest.mark.parametrize("m", [0, 1])
def test_one_frame_or_none(m):
    boxes = BOXES[:m]
    figure_png(plot_planes(planes(m), boxes))
    figure_png(plot_plane_errors(LEVELS[:m], ERRORS[:m]))
    figure_png(plot_plane_errors(LEVELS[:m], names=["a"] * m))
    figure_png(plot_plane_3d(planes(m), boxes))
    figure_png(plot_overlap_network(boxes, np.zeros((0, 2), int), np.zeros(0)))
    figure_png(plot_footprints(boxes))
    figure_png(plot_residuals([], []))


def test_many_groups_share_the_last_colour():
    axes = plot_plane_errors(np.arange(12.0), component=np.arange(12))
    assert [t.get_text() for t in axes.get_legend().get_texts()][-1] == "more groups"


def test_network_draws_every_overlap_and_marks_the_excluded():
    from matplotlib.collections import LineCollection

    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    axes = plot_overlap_network(BOXES, pairs, np.array([0.1, -5.0, np.nan]), excluded=np.array([False, False, True]))
    links = [c for c in axes.collections if isinstance(c, LineCollection)]
    coloured = next(c for c in links if c.get_array() is not None)
    np.testing.assert_allclose(coloured.get_array(), [0.1, 5.0])
    assert "1 excluded" in axes.get_title()
    assert sum(len(c.get_segments()) for c in links) == 3 + 2 + 1  # boxes, links, excluded


def test_residuals_are_sorted_and_medians_leave_out_the_excluded():
    axes = plot_residuals([1, -8, 4, np.nan], [0.5, 0.25, 0.0, 1], excluded=np.array([False, False, True, False]), unit="DN")
    texts = [t.get_text() for t in axes.get_legend().get_texts()]
    assert texts == ["before: median 4.5, largest 8 DN", "after: median 0.375, largest 0.5 DN"]
    assert axes.get_xscale() == "log"
    assert "3 overlaps" in axes.get_title()
    assert [t.get_text() for t in axes.get_yticklabels()] == ["1", "2", "0"]
    big = np.random.default_rng(0).normal(size=(2, 5000))
    figure_png(plot_residuals(big[0], big[1] / 100))


@pytest.mark.parametrize("shape", [(300, 12), (12, 300), (40, 40), (1, 1)])
def test_overlap_panels(shape):
    rng = np.random.default_rng(0)
    difference = rng.normal(1, 0.1, shape)
    if difference.size > 1:
        difference.ravel()[::7] = np.nan
    axes = plot_overlap(difference, np.ones(shape), difference < 1.2, box=PixelBox(5, 5 + shape[0], -3, -3 + shape[1]), unit="DN")
    assert len(axes) == 4
    assert axes[0].get_xlim() == (-3.5, -3.5 + shape[1])
    assert axes[0].get_ylim() == (4.5, 4.5 + shape[0])
    low, high = axes[2].images[0].get_clim()
    assert low == -high
    figure_png(axes[0])
    assert len(plot_overlap(np.full(shape, np.nan), np.ones(shape))) == 4


def test_footprints_on_the_sky_with_and_without_a_grid():
    lon, lat = np.array([359.95, 0.05, 0.05, 359.95]), np.array([-30.05, -30.05, -29.95, -29.95])
    outlines = [Footprint(lon=lon, lat=lat), Footprint(lon=lon + 0.03, lat=lat)]
    free = plot_footprints(outlines)
    x = free.lines[0].get_xdata()
    assert np.ptp(x) == pytest.approx(0.1 * np.cos(np.radians(30)), rel=1e-2), "no jump at longitude 0"
    assert free.get_xlim()[0] > free.get_xlim()[1], "east is left"
    wcs = tan((100, 100))
    on_grid = plot_footprints(outlines, ["a", "b"], wcs, shape=(100, 100))
    assert np.ptp(on_grid.lines[0].get_xdata()) == pytest.approx(100 * np.cos(np.radians(30)), rel=1e-2)
    galactic = plot_footprints(outlines, wcs=tan((100, 100), ("GLON-TAN", "GLAT-TAN"), (13.0, -78.3)))
    assert np.isfinite(galactic.lines[0].get_xdata()).all()
    figure_png(plot_footprints([Footprint(lon=np.array([np.nan]), lat=np.array([np.nan]))]))
