"""Errors where planes do not explain the overlaps."""

from __future__ import annotations

import numpy as np

from nbmosaic.core.matching.background import solve_background
from nbmosaic.core.matching.misfit import enlarge_errors, misfit_factor
from nbmosaic.core.matching.planes import fit_overlap, stack_fits
from nbmosaic.types import BackgroundModel, OverlapPlanes, PixelBox

SIDE, STEP, N = 60, 45, 4


def overlaps(curvature: float, seed: int) -> tuple[OverlapPlanes, np.ndarray]:
    """4 x 4 frames of white noise with a curved background each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    boxes = [PixelBox(j * STEP, j * STEP + SIDE, i * STEP, i * STEP + SIDE) for j in range(N) for i in range(N)]
    frames = [(rng.normal(0, 1, (SIDE, SIDE)) + curvature * rng.normal() * (x**2 + y**2)).astype(np.float32) for _ in boxes]
    fits = []
    for i, first in enumerate(boxes):
        for j in range(i + 1, len(boxes)):
            box = first.intersection(boxes[j])
            if not box.empty:
                parts = frames[i][box.slices(first)], frames[j][box.slices(boxes[j])]
                fits.append(fit_overlap(*parts, box, plus_index=i, minus_index=j))
    return stack_fits(fits), np.array([[b.ymin, b.ymax, b.xmin, b.xmax] for b in boxes])


def solved(curvature: float, seed: int, *, slope: bool = True) -> tuple[float, BackgroundModel]:
    planes, boxes = overlaps(curvature, seed)
    model = solve_background(planes, len(boxes), boxes=boxes, slope=slope, errors=True)
    return misfit_factor(planes, model), model


def test_noise_leaves_the_errors_alone() -> None:
    assert [solved(0.0, seed)[0] for seed in range(20)] == [1.0] * 20
    assert [solved(0.0, seed, slope=False)[0] for seed in range(20)] == [1.0] * 20


def test_curved_backgrounds_enlarge_them() -> None:
    small, large = solved(5.0, 1)[0], solved(50.0, 1)[0]
    assert 1.5 < small < large


def test_enlarged_model_says_so() -> None:
    factor, model = solved(20.0, 3)
    enlarged = enlarge_errors(model, factor)
    assert enlarged.misfit == factor
    np.testing.assert_allclose(enlarged.stderr, model.stderr * factor)
    np.testing.assert_allclose(enlarged.covariance, model.covariance * factor**2)
    np.testing.assert_array_equal(enlarged.planes, model.planes)


def test_a_tree_of_overlaps_cannot_tell() -> None:
    planes, boxes = overlaps(50.0, 2)
    chain = planes.take(np.flatnonzero(planes.minus == planes.plus + 1)[:3])
    model = solve_background(chain, 4, boxes=boxes[:4], errors=True)
    assert misfit_factor(chain, model) == 1.0
