import numpy as np
import pytest

from nbmosaic.core.matching.planes import fit_overlap, planes_from_boxes, stack_fits, truncated_variance
from nbmosaic.errors import InputError, ShapeError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.matching import OverlapFlag


def slow_fit(d, valid, sigma, plane, rms, passes, *, slope=True):
    """The obvious twin: least squares over the pixels within sigma of the last plane, from a given start."""
    y, x = np.mgrid[: d.shape[0], : d.shape[1]].astype(float)
    for _ in range(passes):
        fit = plane[0] + plane[1] * x + plane[2] * y
        keep = valid & (np.abs(d - fit) <= sigma * rms)
        design = np.stack([np.ones(keep.sum()), x[keep], y[keep]][: 3 if slope else 1], axis=1)
        solution = np.linalg.lstsq(design, d[keep], rcond=None)[0]
        plane = np.zeros(3)
        plane[: len(solution)] = solution
        left = d[keep] - design @ solution
        rms = np.sqrt(left @ left / (keep.sum() - design.shape[1]) / truncated_variance(sigma))
    return plane, rms, keep


def make_pair(rng, shape=(90, 130), noise=2.0, outliers=0.02, gap=True):
    y, x = np.mgrid[: shape[0], : shape[1]]
    sky = 200 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 300)
    plus = (sky + 12 + 0.03 * x - 0.05 * y + rng.normal(0, noise, shape)).astype(np.float32)
    minus = (sky - 3 + 0.01 * x + rng.normal(0, noise, shape)).astype(np.float32)
    hit = rng.random(shape) < outliers
    plus[hit] += 400
    if gap:
        plus[x + 2 * y < 60] = np.nan
        minus[x > 120] = np.nan
        minus[10, 50] = np.inf
    return plus, minus


@pytest.mark.parametrize("slope", [True, False])
def test_clipped_fit_is_a_fixed_point_of_the_obvious_one(slope):
    plus, minus = make_pair(np.random.default_rng(3))
    box = PixelBox(100, 190, -40, 90)
    fit = fit_overlap(plus, minus, box, slope=slope, max_iterations=30)
    assert fit.flag == OverlapFlag.OK
    with np.errstate(invalid="ignore"):
        d = plus.astype(float) - minus.astype(float)
    valid = np.isfinite(d)
    here = np.array([fit.level - fit.slope_x * (fit.xmean + 40) - fit.slope_y * (fit.ymean - 100), fit.slope_x, fit.slope_y])
    plane, rms, keep = slow_fit(np.where(valid, d, 0), valid, 3.0, here, fit.rms, 3, slope=slope)
    assert keep.sum() == fit.n_pixels
    assert valid.sum() == fit.n_valid
    np.testing.assert_allclose(plane, here, rtol=0, atol=1e-11)
    np.testing.assert_allclose(rms, fit.rms, rtol=1e-11)
    y, x = np.nonzero(keep)
    y, x = y + 100.0, x - 40.0
    moments = [x.mean(), y.mean(), ((x - x.mean()) ** 2).sum(), ((x - x.mean()) * (y - y.mean())).sum(), ((y - y.mean()) ** 2).sum()]
    np.testing.assert_allclose([fit.xmean, fit.ymean, fit.sxx, fit.sxy, fit.syy], moments, rtol=1e-12)
    assert fit.box == (y.min(), y.max() + 1, x.min(), x.max() + 1)


def test_without_clipping_every_pixel_counts():
    plus, minus = make_pair(np.random.default_rng(4), gap=False)
    fit = fit_overlap(plus, minus, PixelBox(0, 90, 0, 130), sigma=None)
    y, x = np.mgrid[:90, :130].astype(float)
    design = np.stack([np.ones(x.size), x.ravel() - fit.xmean, y.ravel() - fit.ymean], axis=1)
    d = plus.astype(float) - minus.astype(float)
    np.testing.assert_allclose(
        np.linalg.lstsq(design, d.ravel(), rcond=None)[0], [fit.level, fit.slope_x, fit.slope_y], rtol=1e-12, atol=1e-14
    )
    assert fit.n_pixels == fit.n_valid == d.size


def test_swapping_the_frames_changes_the_sign_only():
    plus, minus = make_pair(np.random.default_rng(5))
    box = PixelBox(0, 90, 0, 130)
    one, two = fit_overlap(plus, minus, box), fit_overlap(minus, plus, box)
    assert (two.level, two.slope_x, two.slope_y) == (-one.level, -one.slope_x, -one.slope_y)
    assert one[5:] == two[5:]


def test_windows_of_larger_arrays_and_other_layouts_give_the_same():
    rng = np.random.default_rng(6)
    plus, minus = make_pair(rng)
    box = PixelBox(0, 90, 0, 130)
    wanted = fit_overlap(plus, minus, box)
    large = np.full((200, 300), np.nan, np.float32)
    large[50:140, 60:190] = plus
    small = np.asfortranarray(minus.astype(np.float64))
    locked = large[50:140, 60:190]
    locked.flags.writeable = False
    assert fit_overlap(locked, small.astype(np.float32), box) == wanted
    assert fit_overlap(locked.astype(">f4"), minus, box) == wanted


@pytest.mark.parametrize("noise", [0.02, 1.0, 300.0])
def test_rms_and_noise_power_of_white_noise(noise):
    rng = np.random.default_rng(7)
    shape = (400, 500)
    plus, minus = (rng.normal(1000, noise, shape).astype(np.float32) for _ in range(2))
    fit = fit_overlap(plus, minus, PixelBox(0, 400, 0, 500))
    assert fit.rms == pytest.approx(noise * np.sqrt(2), rel=0.01)  # 3 sigma of 1 / sqrt(2 n) = 0.5 %
    assert fit.n_pixels / fit.n_valid == pytest.approx(0.9973, abs=5e-4)
    # variance of the clipped mean, in units of the noise: 1 / t, see the module
    assert fit.noise_power == pytest.approx(2 * noise**2 / truncated_variance(3.0), rel=0.3)


def test_noise_power_of_correlated_noise():
    rng = np.random.default_rng(8)
    measured, levels = [], []
    for _ in range(40):
        frames = []
        for _ in range(2):
            white = rng.normal(0, 1, (301, 301))
            frames.append(((white[1:, 1:] + white[:-1, 1:] + white[1:, :-1] + white[:-1, :-1]) / 4).astype(np.float32))
        fit = fit_overlap(*frames, PixelBox(0, 300, 0, 300), noise_gain=0.25)
        assert fit.rms == pytest.approx(np.sqrt(0.5), rel=0.05)
        measured.append(fit.noise_power)
        levels.append(fit.level)
        corner = PixelBox(0, 60, 0, 60)  # too small for blocks: from the gain
        small = fit_overlap(frames[0][:60, :60], frames[1][:60, :60], corner, noise_gain=0.25)
        assert small.noise_power == pytest.approx(2.0, rel=0.15)
    power = np.mean(measured)
    assert power == pytest.approx(2.0, rel=0.06)  # 90 blocks in 40 fields: 2.4 %
    assert np.std(levels) / np.sqrt(power / 300**2) == pytest.approx(1.0, abs=0.3)


def test_start_survives_a_nebula_that_does_not_cancel():
    rng = np.random.default_rng(9)
    plus, minus = make_pair(rng, gap=False, outliers=0.1)
    plus[:30, :60] += 60  # a fifth of the field
    fit = fit_overlap(plus, minus, PixelBox(0, 90, 0, 130))
    truth = 15 + 0.02 * fit.xmean - 0.05 * fit.ymean
    assert fit.level == pytest.approx(truth, abs=0.2)
    assert fit.slope_x == pytest.approx(0.02, abs=5e-3)
    assert fit.slope_y == pytest.approx(-0.05, abs=5e-3)


def test_identical_and_quantised_frames():
    rng = np.random.default_rng(10)
    frame = rng.normal(0, 1, (50, 60)).astype(np.float32)
    fit = fit_overlap(frame, frame, PixelBox(0, 50, 0, 60))
    assert (fit.level, fit.slope_x, fit.slope_y, fit.rms, fit.n_pixels) == (0, 0, 0, 0, 3000)
    steps = np.round(rng.normal(0, 0.3, (50, 60))).astype(np.float32)  # nine in ten are 0: MAD 0
    fit = fit_overlap(steps + 100, np.zeros_like(steps), PixelBox(0, 50, 0, 60))
    assert fit.level == pytest.approx(100, abs=0.05)
    assert fit.n_pixels > 2000


def test_few_pixels_and_degenerate_geometry():
    box = PixelBox(0, 20, 0, 40)
    empty = np.full((20, 40), np.nan, np.float32)
    fit = fit_overlap(empty, empty, box)
    assert fit.flag == OverlapFlag.FEW_PIXELS
    assert fit.n_valid == fit.n_pixels == 0
    assert np.isnan(fit.level)
    x = np.arange(40)
    row = empty.copy()
    row[7] = 5 + 0.5 * x
    flat = np.zeros((20, 40), np.float32)
    fit = fit_overlap(row, flat, box, min_pixels=2)
    assert fit.flag == OverlapFlag.DEGENERATE
    assert fit.level == pytest.approx(5 + 0.5 * 19.5)
    assert (fit.slope_x, fit.slope_y) == pytest.approx((0.5, 0.0))
    assert fit_overlap(row, flat, box).flag == OverlapFlag.FEW_PIXELS  # 40 < 50
    two = empty.copy()
    two[3, 4], two[5, 6] = 1, 3
    fit = fit_overlap(two, flat, box, min_pixels=2)
    assert fit.flag == OverlapFlag.DEGENERATE
    assert fit.level == pytest.approx(2.0)
    assert fit.rectangle == pytest.approx((5, 4, 3, 3, 0))  # rows with one pixel have no ends: an upright box with margins


def test_partly_covered_pixels_do_not_count_unless_there_are_no_others():
    rng = np.random.default_rng(11)
    plus, minus = make_pair(rng, gap=False, outliers=0)
    box = PixelBox(0, 90, 0, 130)
    area = np.ones(plus.shape, np.float32)
    area[:, :40] = 0.5
    spoiled = plus.copy()
    spoiled[:, :40] += 3
    cut = fit_overlap(plus[:, 40:], minus[:, 40:], PixelBox(0, 90, 40, 130))
    for areas in ({"plus_area": area}, {"minus_area": area}, {"plus_area": area, "minus_area": area}):
        fit = fit_overlap(spoiled, minus, box, **areas)
        assert fit.n_valid == 90 * 90
        assert fit.n_pixels == cut.n_pixels
        assert fit.level == pytest.approx(cut.level, abs=1e-9)
        assert fit.box == cut.box
    fit = fit_overlap(plus, minus, box, plus_area=np.full(plus.shape, 0.5, np.float32))
    assert fit.n_valid == plus.size


def test_not_converged_is_said():
    plus, minus = make_pair(np.random.default_rng(12))
    assert fit_overlap(plus, minus, PixelBox(0, 90, 0, 130), max_iterations=1).flag == OverlapFlag.NOT_CONVERGED


@pytest.mark.parametrize("angle", [0, 7, 33, 45, 71, 90])
def test_rectangle_of_a_rotated_frame(angle):
    y, x = np.mgrid[:160, :170].astype(float)
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    u, v = (x - 80) * c + (y - 75) * s, (y - 75) * c - (x - 80) * s
    inside = (np.abs(u) <= 55) & (np.abs(v) <= 30)
    frame = np.where(inside, 1.0, np.nan).astype(np.float32)
    fit = fit_overlap(frame, np.zeros_like(frame), PixelBox(10, 170, 20, 190))
    cx, cy, width, height, turned = fit.rectangle
    assert (cx, cy) == pytest.approx((100, 85), abs=0.7)
    assert sorted([width, height]) == pytest.approx([60, 110], abs=1.5)
    long_axis = turned if width > height else turned + 90
    assert abs((long_axis - angle + 90) % 180 - 90) < 1.5
    # every pixel is inside, and each side of the smallest rectangle touches one
    t = np.deg2rad(turned)
    p, q = np.nonzero(inside)[::-1]
    along = (p + 20 - cx) * np.cos(t) + (q + 10 - cy) * np.sin(t)
    across = (q + 10 - cy) * np.cos(t) - (p + 20 - cx) * np.sin(t)
    np.testing.assert_allclose([along.min(), along.max()], [-width / 2, width / 2], atol=1e-9)
    np.testing.assert_allclose([across.min(), across.max()], [-height / 2, height / 2], atol=1e-9)


def test_box_moments_are_those_of_the_pixels_of_the_rectangle():
    t = 20.0
    row = {"a": 0.01, "b": -0.02, "c": 3.0, "boxx": -40.0, "boxy": 25.0, "boxwidth": 300.0, "boxheight": 80.0, "boxang": t}
    columns = {k: np.array([v]) for k, v in (row | {"npixel": 24000.0, "rms": 1.0}).items()}
    planes = planes_from_boxes(plus=np.array([0]), minus=np.array([1]), origin=(500.5, 400.5), **columns)
    y, x = np.mgrid[0:900, 0:1000].astype(float)
    u = (x - 460.5) * np.cos(np.deg2rad(t)) + (y - 425.5) * np.sin(np.deg2rad(t))
    v = (y - 425.5) * np.cos(np.deg2rad(t)) - (x - 460.5) * np.sin(np.deg2rad(t))
    inside = (np.abs(u) < 150) & (np.abs(v) < 40)
    assert planes.n_pixels[0] == pytest.approx(inside.sum(), rel=2e-3)
    for name, value in {"sxx": (x - 460.5) ** 2, "sxy": (x - 460.5) * (y - 425.5), "syy": (y - 425.5) ** 2}.items():
        assert getattr(planes, name)[0] == pytest.approx(value[inside].sum(), rel=5e-3)
    assert planes.level[0] == pytest.approx(0.01 * -40 - 0.02 * 25 + 3)
    assert planes.flag[0] == OverlapFlag.FROM_BOX
    yy, xx = np.nonzero(inside)
    assert np.all(np.abs(planes.box[0] - [yy.min(), yy.max() + 1, xx.min(), xx.max() + 1]) <= 2)


def test_fits_stack_to_columns():
    plus, minus = make_pair(np.random.default_rng(13))
    fits = [fit_overlap(plus, minus, PixelBox(0, 90, 0, 130), plus_index=k, minus_index=9) for k in range(3)]
    planes = stack_fits(fits)
    assert planes.plus.tolist() == [0, 1, 2]
    assert planes.plus.dtype == planes.flag.dtype == planes.box.dtype == np.int64
    assert planes.level.tolist() == [fits[0].level] * 3
    assert planes.rectangle.shape == (3, 5)
    assert len(stack_fits([])) == 0
    assert stack_fits([]).box.shape == (0, 4)


def test_bad_arguments_are_refused():
    frame = np.zeros((5, 6), np.float32)
    with pytest.raises(ShapeError, match=r"\(5, 6\)"):
        fit_overlap(frame, frame, PixelBox(0, 6, 0, 6))
    for options in ({"sigma": 0.0}, {"max_iterations": 0}, {"noise_gain": 0.0}, {"min_pixels": 0}):
        with pytest.raises(InputError, match=next(iter(options))):
            fit_overlap(frame, frame, PixelBox(0, 5, 0, 6), **options)


def test_truncated_variance_against_numbers():
    rng = np.random.default_rng(14)
    z = rng.normal(size=2_000_000)
    for k in (1.0, 2.0, 3.0):
        assert truncated_variance(k) == pytest.approx(np.var(z[np.abs(z) < k]), rel=4e-3)
    assert truncated_variance(np.inf) == 1.0
