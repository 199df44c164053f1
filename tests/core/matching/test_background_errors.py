import numpy as np
import pytest
from support.toy_mosaic import grid_boxes, toy_mosaic, toy_overlaps

from nbmosaic.core.matching import background_errors
from nbmosaic.core.matching.background import solve_background
from nbmosaic.core.matching.background_errors import frame_noise
from nbmosaic.core.matching.coverage import coverage_cells
from nbmosaic.core.matching.laplacian import FrameBasis, pair_system, rank_frames
from nbmosaic.types.box import PixelBox

# two, three and four frames deep, frames of different noise
BOXES = np.array([[0, 40, 0, 40], [0, 40, 28, 68], [26, 66, 4, 44], [30, 70, 30, 70], [5, 45, 60, 100], [20, 60, 20, 60]])
NOISE = np.array([1.0, 2.0, 0.5, 1.0, 1.5, 3.0])


def cells_of(boxes):
    boxes = [PixelBox(*b) for b in boxes.tolist()]
    return coverage_cells([np.ones(b.shape, bool) for b in boxes], boxes, 1)


def exact_covariance(toy, planes, noise, *, slope=True):
    """Covariance of the mean-gauge planes from the derivative of the solution with respect to every pixel of every frame."""
    m, q = len(toy.frames), 3 if slope else 1
    gram = np.zeros((q * m, q * m))
    shape = (toy.boxes[:, 1].max(), toy.boxes[:, 3].max())
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    phi = np.stack([np.ones(xx.size), xx.ravel() / 50.0 - 1, yy.ravel() / 50.0 - 1][:q], axis=1)
    response = np.zeros((q * m, m, xx.size))
    for i, j in zip(planes.plus, planes.minus, strict=True):
        box = toy.pixel_boxes[i].intersection(toy.pixel_boxes[j])
        inside = np.zeros(shape, bool)
        inside[box.slices()] = True
        p = np.flatnonzero(inside)
        block = phi[p].T @ phi[p]
        si, sj = slice(q * i, q * i + q), slice(q * j, q * j + q)
        gram[si, si] += block
        gram[sj, sj] += block
        gram[si, sj] -= block
        gram[sj, si] -= block
        for s, sign in ((si, 1), (sj, -1)):
            response[s, i, p] += sign * phi[p].T
            response[s, j, p] -= sign * phi[p].T
    cov_r = np.einsum("afp,f,bfp->ab", response, noise**2, response)
    # pinv projects out the three common planes of the group about a fixed basis: the mean gauge
    inverse = np.linalg.pinv(gram, rcond=1e-12)
    cov = inverse @ cov_r @ inverse
    jac = np.zeros((3, q))
    jac[2, 0] = 1
    if slope:
        jac[0, 1] = jac[1, 2] = 1 / 50.0
        jac[2, 1] = jac[2, 2] = -1
    return np.array([jac @ cov[q * f : q * f + q, q * f : q * f + q] @ jac.T for f in range(m)])


@pytest.mark.parametrize("slope", [True, False])
def test_covariance_is_that_of_every_pixel(slope):
    rng = np.random.default_rng(1)
    toy = toy_mosaic(BOXES, rng, noise=NOISE)
    planes = toy_overlaps(toy, slope=slope)
    # the true powers, so that only the algebra is tested
    planes = planes.replace(noise_power=NOISE[planes.plus] ** 2 + NOISE[planes.minus] ** 2)
    model = solve_background(planes, 6, boxes=BOXES, errors=True, cells=cells_of(BOXES), slope=slope)
    exact = exact_covariance(toy, planes, NOISE, slope=slope)
    # the pull of single noise powers to their mean is 1e-3
    np.testing.assert_allclose(model.stderr, np.sqrt(np.einsum("fii->fi", exact)), rtol=2e-3)
    scale = np.sqrt(np.einsum("fi,fj->fij", model.stderr**2, model.stderr**2))
    assert (np.abs(model.covariance - exact)[scale > 0] / scale[scale > 0]).max() < 5e-3
    naive = solve_background(planes, 6, boxes=BOXES, errors=True, slope=slope).stderr
    assert np.abs(naive[:, 2] / model.stderr[:, 2] - 1).max() > 0.05  # shared frames matter here


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ({}, {}),
        ({"weighting": "noise"}, {"sigma": 3.0}),
        ({"reference": [5]}, {"sigma": 3.0}),
        ({"exclude": [1, 4]}, {}),
        ({"slope": False, "gauge": "frame"}, {"slope": False}),
    ],
)
def test_standard_errors_are_the_scatter(options, fit):
    rng = np.random.default_rng(2)
    cells = cells_of(BOXES)
    slope = options.get("slope", True)
    truth = rng.normal(0, [0.02, 0.02, 20], (6, 3)) * ([1, 1, 1] if slope else [0, 0, 1])
    pulls = []
    for _ in range(200):
        toy = toy_mosaic(BOXES, rng, noise=NOISE, planes=truth)
        model = solve_background(toy_overlaps(toy, **fit), 6, boxes=BOXES, errors=True, cells=cells, origin=(50.0, 35.0), **options)
        wanted = truth @ np.array([[1, 0, 50.0], [0, 1, 35.0], [0, 0, 1]])
        if "reference" in options:
            wanted = wanted - wanted[5]
        elif options.get("gauge") == "frame":
            wanted = wanted - wanted[np.flatnonzero(model.stderr[:, 2] < 1e-9)[0]]
        else:
            wanted = wanted - wanted.mean(axis=0)
        free = model.stderr > 1e-9
        pulls.append(((model.planes - wanted)[free] / model.stderr[free]).ravel())
    pulls = np.array(pulls)
    assert 0.9 < np.sqrt(np.mean(pulls**2)) < 1.1
    # each frame and parameter by itself: 200 realisations give 5 %, four sigma
    assert np.all(np.abs(np.sqrt(np.mean(pulls**2, axis=0)) - 1) < 0.22)
    assert np.abs(pulls.mean()) < 0.1


def test_prior_errors_hold_for_slopes_that_it_describes():
    rng = np.random.default_rng(3)
    sigma = 0.01
    cells = cells_of(BOXES)
    pulls = []
    for _ in range(300):
        truth = np.column_stack([rng.normal(0, sigma, (6, 2)), rng.normal(0, 10, 6)])
        model = solve_background(
            toy_overlaps(toy_mosaic(BOXES, rng, noise=NOISE, planes=truth)), 6, boxes=BOXES, errors=True, cells=cells, slope_prior=sigma
        )
        pulls.append((model.planes - (truth - truth.mean(axis=0))) / model.stderr)
    assert 0.9 < np.sqrt(np.mean(np.square(pulls))) < 1.1
    free = solve_background(toy_overlaps(toy_mosaic(BOXES, rng, noise=NOISE)), 6, boxes=BOXES, errors=True, cells=cells)
    assert np.all(model.stderr[:, :2] < free.stderr[:, :2])


def test_large_and_small_systems_agree(monkeypatch):
    rng = np.random.default_rng(4)
    boxes = grid_boxes(12, 12, 20, 14, rng, jitter=1)  # 432 unknowns: sparse
    planes = toy_overlaps(toy_mosaic(boxes, rng))
    cells = cells_of(boxes)
    inverse = solve_background(planes, 144, boxes=boxes, errors=True, cells=cells)
    monkeypatch.setattr(background_errors, "_DENSE_INVERSE", 0)
    monkeypatch.setattr(background_errors, "_BATCH_BYTES", 100_000)
    monkeypatch.setattr(background_errors, "_CELL_ELEMENTS", 100)
    batched = solve_background(planes, 144, boxes=boxes, errors=True, cells=cells)
    np.testing.assert_allclose(batched.covariance, inverse.covariance, rtol=1e-7, atol=1e-12)
    from nbmosaic.core.matching import laplacian

    monkeypatch.setattr(laplacian, "_DENSE", 1000)
    dense = solve_background(planes, 144, boxes=boxes, errors=True, cells=cells)
    np.testing.assert_allclose(dense.planes, batched.planes, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dense.covariance, inverse.covariance, rtol=1e-7, atol=1e-12)


def test_single_noise_powers_from_their_sums():
    rng = np.random.default_rng(5)
    boxes = grid_boxes(4, 4, 30, 20, rng, jitter=1)
    planes = toy_overlaps(toy_mosaic(boxes, rng))
    s = rng.uniform(0, 4, 16)
    s[3] = 0.0

    def solved(table, m):
        basis = FrameBasis.of_boxes(boxes[:m])
        return frame_noise(pair_system(table, rank_frames(m, None), basis, np.ones(len(table), bool), slope=True), m)

    exact = planes.replace(noise_power=s[planes.plus] + s[planes.minus])
    np.testing.assert_allclose(solved(exact, 16), s, atol=0.05)
    below = exact.replace(noise_power=np.maximum(exact.noise_power - np.where((planes.plus == 3) | (planes.minus == 3), 0.3, 0), 0.01))
    found = solved(below, 16)
    assert found.min() == 0.0
    assert found[3] == 0.0
    pair = exact.take(np.array([0]))
    i, j = pair.plus[0], pair.minus[0]
    assert solved(pair, 16)[[i, j]] == pytest.approx(exact.noise_power[0] / 2)  # nothing tells one from the other


def test_errors_of_a_thousand_frames():
    rng = np.random.default_rng(6)
    boxes = grid_boxes(32, 32, 20, 17)
    planes = toy_overlaps(toy_mosaic(boxes, rng))
    cells = coverage_cells([np.ones((20, 20), bool)] * 1024, [PixelBox(*b) for b in boxes.tolist()], 1)
    model = solve_background(planes, 1024, boxes=boxes, errors=True, cells=cells)
    assert np.isfinite(model.stderr).all()
    edge, middle = model.stderr[0, 2], model.stderr[528, 2]
    assert edge > middle > 0  # the walk: the corner is known worst
