import time

import numpy as np
import pytest
from support.toy_mosaic import dense_planes, grid_boxes, toy_mosaic, toy_overlaps, window

from nbmosaic.core.matching.background import overlap_residuals, solution_flags, solve_background
from nbmosaic.core.matching.coverage import coverage_cells
from nbmosaic.core.matching.pairs import find_pairs
from nbmosaic.core.matching.planes import planes_from_boxes
from nbmosaic.errors import InputError
from nbmosaic.types.matching import OverlapFlag, OverlapPlanes


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(1)
    boxes = grid_boxes(4, 4, 30, 22, rng, jitter=2) + 300  # far from the origin of the grid
    return toy_mosaic(boxes, rng)


def solve(toy, planes, **options):
    return solve_background(planes, len(toy.frames), boxes=toy.boxes, **options)


@pytest.mark.parametrize("slope", [True, False])
def test_equals_least_squares_over_every_pixel(toy, slope):
    planes = toy_overlaps(toy)
    model = solve(toy, planes, slope=slope)
    dense = dense_planes(toy, np.stack([planes.plus, planes.minus], axis=1), slope=slope)
    scale = np.abs(dense).max(axis=0)
    np.testing.assert_allclose(model.planes / np.where(scale > 0, scale, 1), dense / np.where(scale > 0, scale, 1), rtol=0, atol=1e-10)
    assert np.abs(model.planes.sum(axis=0) / scale.max()).max() < 1e-12
    assert model.slope is slope
    assert "sum of the planes" in model.gauge


def test_equals_least_squares_over_the_pixels_kept(toy):
    rng = np.random.default_rng(2)
    spoiled = toy_mosaic(toy.boxes, rng, planes=toy.planes)
    for frame in spoiled.frames:
        frame[rng.random(frame.shape) < 0.03] += 300
    planes = toy_overlaps(spoiled, sigma=3.0, max_iterations=40)
    assert not planes.flag.any()
    boxes = spoiled.pixel_boxes
    keep = []
    for i, j, level, sx, sy, xm, ym, rms, n in zip(
        planes.plus,
        planes.minus,
        planes.level,
        planes.slope_x,
        planes.slope_y,
        planes.xmean,
        planes.ymean,
        planes.rms,
        planes.n_pixels,
        strict=True,
    ):
        box = boxes[i].intersection(boxes[j])
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
        d = window(spoiled, i, box).astype(float) - window(spoiled, j, box).astype(float)
        keep.append(np.abs(d - (level + sx * (x - xm) + sy * (y - ym))) <= 3 * rms)
        assert keep[-1].sum() == n
    assert planes.n_pixels.sum() < 0.99 * planes.n_valid.sum()
    given = planes.n_valid / planes.n_pixels  # clipped pixels give their weight to those of their overlap that were kept
    for weighting, weights in (
        ("pixels", given),
        ("noise", given * (planes.n_pixels @ planes.noise_power / planes.n_pixels.sum()) / planes.noise_power),
    ):
        model = solve(spoiled, planes, weighting=weighting)
        dense = dense_planes(spoiled, np.stack([planes.plus, planes.minus], axis=1), keep=keep, weights=weights)
        assert (np.abs(model.planes - dense) / np.abs(dense).max(axis=0)).max() < 1e-10
        np.testing.assert_allclose(model.weight, weights)


def test_origin_moves_the_constant_only(toy):
    planes = toy_overlaps(toy)
    one, two = solve(toy, planes), solve(toy, planes, origin=(310.5, -20.25))
    np.testing.assert_array_equal(one.planes[:, :2], two.planes[:, :2])
    np.testing.assert_allclose(two.planes[:, 2], one.planes @ [310.5, -20.25, 1.0], rtol=1e-12, atol=1e-11)


def test_residuals_are_those_of_the_corrected_pixels(toy):
    planes = toy_overlaps(toy)
    model = solve(toy, planes, exclude=[3])
    boxes = toy.pixel_boxes
    for k in (0, 3, 7):
        i, j = planes.plus[k], planes.minus[k]
        box = boxes[i].intersection(boxes[j])
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax].astype(float)
        a, b, c = model.planes[i] - model.planes[j]
        left = planes.level[k] + planes.slope_x[k] * (x - planes.xmean[k]) + planes.slope_y[k] * (y - planes.ymean[k]) - (a * x + b * y + c)
        assert model.residual_rms[k] == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-9)
        assert model.residual_level[k] == pytest.approx(left.mean(), abs=1e-9)
    before = overlap_residuals(planes, np.zeros((16, 3)), (0.0, 0.0))[1]
    assert model.residual_rms.max() < 0.05 * np.median(before)


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("side", [4, 13])  # dense and sparse solution
def test_order_of_frames_and_pairs_does_not_change_a_bit(side, robust):
    rng = np.random.default_rng(3)
    toy = toy_mosaic(grid_boxes(side, side, 24, 16, rng, jitter=2), rng)
    planes = toy_overlaps(toy)
    m = side * side
    names = [f"frame {k:03d}" for k in rng.permutation(m)]
    masks = [np.ones(b.shape, bool) for b in toy.pixel_boxes]
    cells = coverage_cells(masks, toy.pixel_boxes, 1) if side == 4 else None
    options = {"slope_prior": 0.1, "weighting": "noise", "robust": robust, "errors": side == 4, "reference": [2], "keys": names}
    one = solve(toy, planes, cells=cells, **options)
    order = rng.permutation(m)
    rank = np.argsort(order)
    mixed = planes.take(rng.permutation(len(planes)))
    swap = rng.random(len(mixed)) < 0.5
    sign = np.where(swap, -1.0, 1.0)
    plus, minus = rank[mixed.plus], rank[mixed.minus]
    mixed = mixed.replace(
        plus=np.where(swap, minus, plus),
        minus=np.where(swap, plus, minus),
        level=mixed.level * sign,
        slope_x=mixed.slope_x * sign,
        slope_y=mixed.slope_y * sign,
    )
    cells = coverage_cells([masks[k] for k in order], [toy.pixel_boxes[k] for k in order], 1) if side == 4 else None
    options |= {"reference": [int(rank[2])], "keys": [names[k] for k in order]}
    two = solve_background(mixed, m, boxes=toy.boxes[order], cells=cells, **options)
    assert np.array_equal(two.planes, one.planes[order])
    assert np.array_equal(np.sort(two.residual_rms), np.sort(one.residual_rms))
    assert np.array_equal(two.component, one.component[order])
    assert two.gauge == one.gauge
    if side == 4:
        assert np.array_equal(two.covariance, one.covariance[order])


def test_references_keep_their_background(toy):
    planes = toy_overlaps(toy)
    model = solve(toy, planes, reference=[5, 6], errors=True)
    assert np.array_equal(model.planes[[5, 6]], np.zeros((2, 3)))
    assert np.array_equal(model.stderr[[5, 6]], np.zeros((2, 3)))
    assert model.stderr[[0, 1, 2]].min() > 0
    assert "frame 5, frame 6" in model.gauge
    one = solve(toy, planes, reference=[5])
    free = solve(toy, planes)
    np.testing.assert_allclose(one.planes, free.planes - free.planes[5], atol=1e-9)


def test_gauge_of_the_frame_in_the_middle(toy):
    planes = toy_overlaps(toy)
    model, mean = solve(toy, planes, gauge="frame", errors=True), solve(toy, planes)
    (zero,) = np.flatnonzero((model.planes == 0).all(axis=1))
    assert zero in (5, 6, 9, 10)
    np.testing.assert_allclose(model.planes, mean.planes - mean.planes[zero], atol=1e-9)
    np.testing.assert_allclose(model.stderr[zero], 0, atol=1e-12)
    assert f"frame {zero}" in model.gauge


def test_excluded_overlaps_are_as_if_they_did_not_exist(toy):
    planes = toy_overlaps(toy)
    bad = [2, 11]
    spoiled = planes.replace(level=np.where(np.isin(np.arange(len(planes)), bad), 1e6, planes.level))
    clean = solve(toy, planes.take(np.delete(np.arange(len(planes)), bad)))
    mask = np.isin(np.arange(len(planes)), bad)
    pairs = np.stack([planes.minus[bad], planes.plus[bad]], axis=1)
    flagged = spoiled.replace(flag=np.where(mask, int(OverlapFlag.EXCLUDED), spoiled.flag))
    for model in (
        solve(toy, spoiled, exclude=bad),
        solve(toy, spoiled, exclude=mask),
        solve(toy, spoiled, exclude=pairs),
        solve(toy, flagged),
    ):
        assert np.array_equal(model.planes, clean.planes)
        assert np.array_equal(model.weight == 0, mask)
        assert model.residual_level[2] == pytest.approx(1e6, rel=1e-2)
    flags = solution_flags(spoiled, solve(toy, spoiled, exclude=bad))
    assert np.array_equal((flags & OverlapFlag.EXCLUDED) != 0, mask)


def test_groups_and_lonely_frames():
    rng = np.random.default_rng(4)
    left, right = grid_boxes(1, 3, 30, 22), grid_boxes(2, 2, 30, 22)
    right[:, 2:] += 500
    lonely = np.array([[2000, 2030, 0, 30]])
    toy = toy_mosaic(np.concatenate([left, lonely, right]), rng)
    planes = toy_overlaps(toy)
    model = solve(toy, planes, errors=True)
    assert model.component.tolist() == [1, 1, 1, 2, 0, 0, 0, 0]
    assert model.n_components == 3
    assert np.array_equal(model.planes[3], np.zeros(3))
    assert np.isinf(model.stderr[3]).all()
    assert np.isfinite(np.delete(model.stderr, 3, axis=0)).all()
    np.testing.assert_allclose(model.planes[:3].sum(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(model.planes[4:].sum(axis=0), 0, atol=1e-9)
    alone = toy_mosaic(right, rng, planes=toy.planes[4:])
    alone.frames[:] = toy.frames[4:]
    np.testing.assert_allclose(model.planes[4:], solve(alone, toy_overlaps(alone)).planes, atol=1e-9)
    held = solve(toy, planes, reference=[0])
    assert np.array_equal(held.planes[0], np.zeros(3))
    np.testing.assert_allclose(held.planes[4:].sum(axis=0), 0, atol=1e-9)
    assert "without reference" in held.gauge


def test_one_frame_and_no_frame():
    none = toy_overlaps(toy_mosaic(np.array([[0, 9, 0, 9]]), np.random.default_rng(5)))
    model = solve_background(none, 1, boxes=np.array([[0, 9, 0, 9]]), errors=True)
    assert model.planes.tolist() == [[0, 0, 0]]
    assert np.isinf(model.stderr).all()
    assert model.n_components == 1
    level = solve_background(none, 1, boxes=np.array([[0, 9, 0, 9]]), errors=True, slope=False)
    assert level.stderr.tolist() == [[0, 0, np.inf]]
    assert len(solve_background(none, 0, boxes=np.zeros((0, 4), int), errors=True)) == 0


def test_few_pixels_are_not_used(toy):
    planes = toy_overlaps(toy)
    nan = np.where(np.arange(len(planes)) == 4, np.nan, 1.0)
    bad = planes.replace(level=planes.level * nan, xmean=planes.xmean * nan, sxx=planes.sxx * nan, noise_power=planes.noise_power * nan)
    bad = bad.replace(flag=np.where(np.isnan(nan), int(OverlapFlag.FEW_PIXELS), 0), n_pixels=np.where(np.isnan(nan), 0.0, bad.n_pixels))
    model = solve(toy, bad, errors=True)
    assert np.array_equal(model.planes, solve(toy, planes, exclude=[4]).planes)
    assert np.isnan(model.residual_rms[4])
    assert (solution_flags(bad, model)[4] & OverlapFlag.EXCLUDED) == 0


def test_thin_overlap_neither_crashes_nor_explodes():
    rng = np.random.default_rng(6)
    boxes = np.array(
        [[0, 40, 0, 40], [0, 40, 30, 70], [39, 79, 10, 50], [39, 79, 40, 80]]
    )  # the lower two share one row with the upper two
    toy = toy_mosaic(boxes, rng, planes=rng.normal(0, [0.05, 0.05, 5], (4, 3)))
    planes = toy_overlaps(toy)
    assert ((planes.flag & OverlapFlag.DEGENERATE) != 0).sum() == 3
    model = solve(toy, planes, errors=True)
    assert np.abs(model.planes).max() < 100
    assert np.abs(model.residual_level).max() < 1.0
    truth = toy.planes - toy.planes.mean(axis=0)
    assert np.abs(model.planes[:, 0] - truth[:, 0]).max() < 0.2  # slopes along the row are constrained
    assert np.isinf(model.stderr[:, 1]).all()  # those across it are not
    assert np.isfinite(model.stderr[:, 0]).all()
    sane = solve(toy, planes, slope=False, errors=True)
    assert np.isfinite(sane.stderr).all()


def test_slope_prior_is_the_ridge_it_says(toy):
    planes = toy_overlaps(toy)
    sigma = 0.01
    model = solve(toy, planes, slope_prior=sigma)
    m = 16
    noise = planes.n_pixels @ planes.noise_power / planes.n_pixels.sum()
    boxes = toy.pixel_boxes
    rows, values = [], []
    x0, y0 = 350.0, 350.0
    for i, j in zip(planes.plus, planes.minus, strict=True):
        box = boxes[i].intersection(boxes[j])
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
        row = np.zeros((x.size, 3 * m))
        phi = np.stack([x.ravel() - x0, y.ravel() - y0, np.ones(x.size)], axis=1)
        row[:, 3 * i : 3 * i + 3], row[:, 3 * j : 3 * j + 3] = phi, -phi
        rows.append(row)
        values.append((window(toy, i, box).astype(float) - window(toy, j, box).astype(float)).ravel())
    prior = np.zeros((2 * m, 3 * m))
    for q in range(2 * m):
        prior[q, 3 * (q // 2) + q % 2] = np.sqrt(noise) / sigma
    design, right = np.concatenate([*rows, prior]), np.concatenate([*values, np.zeros(2 * m)])
    dense = np.linalg.lstsq(design, right, rcond=None)[0].reshape(m, 3)
    np.testing.assert_allclose(model.planes[:, :2], dense[:, :2], atol=1e-10)
    there = model.planes @ [x0, y0, 1.0]
    np.testing.assert_allclose(there - there.mean(), dense[:, 2] - dense[:, 2].mean(), atol=1e-8)
    assert np.abs(model.planes[:, 0]).max() < np.abs(solve(toy, planes).planes[:, 0]).max()
    level = solve(toy, planes, slope=False)
    np.testing.assert_allclose(solve(toy, planes, slope_prior=1e-9).planes, level.planes, atol=1e-4)
    np.testing.assert_allclose(solve(toy, planes, slope_prior=1e9).planes, solve(toy, planes).planes, atol=1e-8)


@pytest.mark.parametrize("weighting", ["pixels", "noise"])
def test_robust_solution_ignores_a_bad_overlap(weighting):
    rng = np.random.default_rng(7)
    toy = toy_mosaic(grid_boxes(6, 6, 30, 22, rng, jitter=2), rng)
    planes = toy_overlaps(toy)
    bad = np.zeros(len(planes), bool)
    for pair in ((7, 8), (16, 22), (27, 28)):  # frames inside, with eight overlaps each
        bad |= (planes.plus == pair[0]) & (planes.minus == pair[1])
    spoiled = planes.replace(level=planes.level + np.where(bad, 10.0, 0.0), slope_x=planes.slope_x + np.where(bad, 0.2, 0.0))
    truth = toy.planes - toy.planes.mean(axis=0)

    def error(model):
        return np.abs((model.planes - truth) @ [60.0, 60.0, 1.0]).max()

    plain, robust = solve(toy, spoiled, weighting=weighting), solve(toy, spoiled, weighting=weighting, robust=True)
    clean = error(solve(toy, planes, weighting=weighting))
    assert error(robust) < 1.3 * clean
    assert error(plain) > 2.5 * clean
    flags = solution_flags(spoiled, robust)
    assert np.array_equal((flags & OverlapFlag.DOWNWEIGHTED) != 0, bad)
    untouched = solve(toy, planes, weighting=weighting, robust=True)
    assert (solution_flags(planes, untouched) & OverlapFlag.DOWNWEIGHTED != 0).sum() <= 0.05 * len(planes)


def test_montage_boxes_minimise_montages_objective():
    rng = np.random.default_rng(8)
    n, m = 9, 6
    plus, minus = np.triu_indices(m, 1)
    chosen = np.sort(rng.permutation(len(plus))[:n])
    plus, minus = plus[chosen], minus[chosen]
    columns = {"a": rng.normal(0, 0.01, n), "b": rng.normal(0, 0.01, n), "c": rng.normal(0, 10, n)}
    columns |= {"boxx": rng.uniform(-500, 500, n), "boxy": rng.uniform(-500, 500, n), "boxang": rng.uniform(-90, 90, n)}
    columns |= {
        "boxwidth": rng.uniform(50, 300, n),
        "boxheight": rng.uniform(5, 100, n),
        "npixel": rng.uniform(100, 1e4, n),
        "rms": rng.uniform(1, 2, n),
    }
    planes = planes_from_boxes(plus=plus, minus=minus, **columns)
    model = solve_background(planes, m, boxes=np.tile([-600, 600, -600, 600], (m, 1)))
    t = np.deg2rad(columns["boxang"])
    w, h, bx, by = (columns[k] for k in ("boxwidth", "boxheight", "boxx", "boxy"))
    vxx, vyy, vxy = (w**2 * np.cos(t) ** 2 + h**2 * np.sin(t) ** 2) / 12, (w**2 * np.sin(t) ** 2 + h**2 * np.cos(t) ** 2) / 12, None
    vxy = (w**2 - h**2) * np.sin(t) * np.cos(t) / 12
    one = np.ones(n)
    matrix = (w * h)[:, None, None] * np.stack(
        [vxx + bx**2, vxy + bx * by, bx, vxy + bx * by, vyy + by**2, by, bx, by, one], axis=-1
    ).reshape(n, 3, 3)
    d = np.stack([columns["a"], columns["b"], columns["c"]], axis=1)

    def gradient(p):
        pull = np.einsum("nij,nj->ni", matrix, d - p[plus] + p[minus])
        out = np.zeros((m, 3))
        np.add.at(out, plus, pull)
        np.subtract.at(out, minus, pull)
        return out

    assert np.abs(gradient(model.planes)).max() < 1e-9 * np.abs(gradient(np.zeros((m, 3)))).max()


def test_frames_named_by_keys_in_the_gauge(toy):
    names = [f"night{k}.fits" for k in range(16)]
    assert "night3.fits" in solve(toy, toy_overlaps(toy), keys=names, reference=[3]).gauge


def test_bad_arguments_are_refused(toy):
    planes = toy_overlaps(toy)
    for options, words in (
        ({"weighting": "area"}, "weighting"),
        ({"gauge": "median"}, "gauge"),
        ({"slope_prior": 0.0}, "slope_prior"),
        ({"reference": [16]}, "reference frame 16"),
        ({"exclude": [999]}, "rows outside"),
        ({"exclude": np.ones(3, bool)}, "mask"),
        ({"keys": ["a"]}, "1 keys"),
    ):
        with pytest.raises(InputError, match=words):
            solve(toy, planes, **options)
    with pytest.raises(InputError, match="boxes"):
        solve_background(planes, 16, boxes=toy.boxes[:3])
    with pytest.raises(InputError, match=r"outside 0\.\.3"):
        solve_background(planes, 4, boxes=toy.boxes[:4])
    with pytest.raises(InputError, match="itself"):
        solve_background(planes.replace(minus=planes.plus), 16, boxes=toy.boxes)


def regular_survey(n, rng, side=1000, step=900):
    """Overlaps of n x n frames as a fit would give them, without making the pixels."""
    boxes = grid_boxes(n, n, side, step)
    truth = np.column_stack([rng.uniform(-5, 5, (n * n, 2)) / side, rng.uniform(-100, 100, n * n)])
    pairs = find_pairs(boxes)
    i, j = pairs.T
    low, high = np.maximum(boxes[i][:, ::2], boxes[j][:, ::2]), np.minimum(boxes[i][:, 1::2], boxes[j][:, 1::2])
    (hy, hx), (ym, xm) = (high - low).T, ((high + low - 1) / 2).T
    count = (hx * hy).astype(float)
    d = truth[i] - truth[j]
    k = len(i)
    planes = OverlapPlanes(
        plus=i, minus=j, level=d[:, 0] * xm + d[:, 1] * ym + d[:, 2] + rng.normal(0, 7 / np.sqrt(count)), slope_x=d[:, 0], slope_y=d[:, 1],
        n_pixels=count, n_valid=count, xmean=xm, ymean=ym, sxx=count * (hx**2 - 1) / 12, sxy=np.zeros(k), syy=count * (hy**2 - 1) / 12,
        rms=np.full(k, 7.0), noise_power=np.full(k, 49.0), box=np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1),
        rectangle=np.zeros((k, 5)), flag=np.zeros(k, np.int64),
    )  # fmt: skip
    return planes, boxes, truth


def seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


@pytest.mark.benchmark
def test_ten_thousand_frames_in_half_a_second():
    planes, boxes, _ = regular_survey(100, np.random.default_rng(9))
    assert len(planes) == 39402
    model = solve_background(planes, 10_000, boxes=boxes)
    assert model.residual_rms.max() < 0.5
    gradient = np.zeros((10_000,))
    np.add.at(gradient, planes.plus, planes.n_pixels * model.residual_level)
    np.subtract.at(gradient, planes.minus, planes.n_pixels * model.residual_level)
    assert np.abs(gradient).max() < 1e-7 * np.abs(planes.n_pixels * planes.level).max()
    assert min(seconds(lambda: solve_background(planes, 10_000, boxes=boxes)) for _ in range(2)) < 1.0  # 0.35 s on a quiet machine


@pytest.mark.benchmark
def test_excluding_a_pair_of_a_thousand_frames_is_live():
    planes, boxes, _ = regular_survey(32, np.random.default_rng(10))
    solve_background(planes, 1024, boxes=boxes)
    assert (
        min(seconds(lambda: solve_background(planes, 1024, boxes=boxes, exclude=[77])) for _ in range(3)) < 0.1
    )  # 0.03 s on a quiet machine


@pytest.mark.benchmark
def test_errors_of_a_thousand_frames():
    planes, boxes, _ = regular_survey(32, np.random.default_rng(11))
    assert seconds(lambda: solve_background(planes, 1024, boxes=boxes, errors=True)) < 3.0  # 1 s on a quiet machine
