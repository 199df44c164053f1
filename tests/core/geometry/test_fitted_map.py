"""Fitted maps: geomap's coefficients (IRAF 2.17-4), exact conversion for the kernels, inverse, errors."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.geometry.fitted_map import derivatives, evaluate, fit_surface_map, invert, pixel_map
from nbmosaic.errors import ConfigError, InputError, ShapeError, SingularFitError
from nbmosaic.io.geomap_database import read_geomap_database
from nbmosaic.types import PixelBox
from tests.support.shared import shared_path

FUNCTIONS = {"che": "chebyshev", "leg": "legendre", "pol": "polynomial"}
LIMITS = (1.0, 1024.0, -310.0, 710.0)
OPTIONS = {
    "none": {"xxterms": "none", "yxterms": "none"},
    "half": {},
    "full": {"xxterms": "full", "yxterms": "full"},
    "rej": {"reject": 3.0, "maxiter": 3},
    "o2": {"xxorder": 2, "xyorder": 2, "yxorder": 2, "yyorder": 2},
    "o2full": {"xxorder": 2, "xyorder": 2, "yxorder": 2, "yyorder": 2, "xxterms": "full", "yxterms": "full"},
    "o53": {"xxorder": 5, "xyorder": 3, "yxorder": 3, "yyorder": 6},
}


def golden(name: str):
    """Points of the set and the map that geomap fitted to them."""
    folder = shared_path("golden/mscimage/geomap")
    points = np.loadtxt(folder / "gm.txt")
    (found,) = read_geomap_database(folder / f"gm_{name}.db").values()
    return points[:, :2], points[:, 2:], found


def close(ours, theirs, relative: float) -> bool:
    if theirs is None:
        return ours is None
    return np.abs(ours - theirs).max() <= relative * np.abs(theirs).max()


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("prefix", FUNCTIONS)
def test_coefficients_of_geomap(prefix: str, kind: str) -> None:
    out, into, theirs = golden(f"{prefix}_{kind}")
    ours = fit_surface_map(out, into, limits=LIMITS, function=FUNCTIONS[prefix], origin=1, **OPTIONS[kind])
    assert np.abs(ours.linear / theirs.linear - 1).max() < 1e-10
    for mine, its in ((ours.distortion_x, theirs.distortion_x), (ours.distortion_y, theirs.distortion_y)):
        assert close(mine, its, 1e-8)
        if (
            its is not None
        ):  # what is left of a constant and a slope after the linear fit, 1e-5 pixels, is known to the rounding of the data
            np.testing.assert_allclose(mine, its, rtol=1e-8, atol=0 if prefix == "pol" else 1e-12)
    assert ours.rms_x == pytest.approx(theirs.rms_x, rel=1e-10)
    assert ours.rms_y == pytest.approx(theirs.rms_y, rel=1e-10)
    assert ours.n_rejected == (7 if kind == "rej" else 0)


@pytest.mark.parametrize("geometry", ["shift", "xyscale"])
@pytest.mark.parametrize("rejecting", [False, True])
def test_geometries_without_rotation(geometry: str, rejecting: bool) -> None:
    out, into, theirs = golden(f"che_{geometry}{'_rej' * rejecting}")
    ours = fit_surface_map(out, into, limits=LIMITS, geometry=geometry, origin=1, **({"reject": 2.5, "maxiter": 5} if rejecting else {}))
    np.testing.assert_allclose(ours.linear, theirs.linear, rtol=1e-10, atol=1e-12)
    assert ours.rms_x == pytest.approx(theirs.rms_x, rel=1e-10)


@pytest.mark.parametrize("geometry", ["rotate", "rscale", "rxyscale"])
@pytest.mark.parametrize("rejecting", [False, True])
def test_geometries_with_rotation(geometry: str, rejecting: bool) -> None:
    # geomap takes the angle through degrees with a single-precision factor: it is off by 1.7e-7 rad, and its sum of squares larger than ours
    out, into, theirs = golden(f"che_{geometry}{'_rej' * rejecting}")
    ours = fit_surface_map(out, into, limits=LIMITS, geometry=geometry, origin=1, **({"reject": 2.5, "maxiter": 5} if rejecting else {}))
    assert np.abs(ours.linear - theirs.linear).max() < 2e-7 * 512
    assert np.abs(ours.linear - theirs.linear).max() > 1e-8
    used = np.ones(len(out), bool)
    used[list(ours.rejected)] = False

    def squares(found) -> float:
        v, u = evaluate(found, out[used, 1] - 1, out[used, 0] - 1)
        return float(((u + 1 - into[used, 0]) ** 2 + (v + 1 - into[used, 1]) ** 2).sum())

    assert squares(ours) < squares(theirs)
    assert squares(ours) == pytest.approx(squares(theirs), rel=1e-4)


def simulated(rng, n: int = 200):
    """Points of a map with a cubic distortion, rotated, mirrored in x."""
    out = rng.uniform([-20, 10], [480, 310], (n, 2))
    x, y = (out - [230, 160]).T / 250
    u = -247 * x + 12 * y + 3 * x * x * y + 0.7 * y**3 + 240
    v = 11 * x + 251 * y - 2 * x**3 + 0.3 * x * y + 150
    return out, np.stack([u, v], axis=1)


@pytest.mark.parametrize("function", FUNCTIONS.values())
@pytest.mark.parametrize("origin", [0, 1])
def test_values_derivatives_inverse_and_patches_agree(function: str, origin: int) -> None:
    out, into = simulated(np.random.default_rng(5))
    found = fit_surface_map(out + origin, into + origin, function=function, origin=origin)
    v, u = evaluate(found, out[:, 1], out[:, 0])
    np.testing.assert_allclose(np.stack([u, v], axis=1), into, atol=1e-8)
    y, x = invert(found, v, u)
    np.testing.assert_allclose(np.stack([x, y], axis=1), out, atol=1e-7)
    slopes = derivatives(found, out[:, 1], out[:, 0])
    step = 1e-4
    ahead, back = (evaluate(found, out[:, 1], out[:, 0] + s) for s in (step, -step))
    np.testing.assert_allclose(slopes[0], (ahead[1] - back[1]) / (2 * step), atol=1e-7)
    np.testing.assert_allclose(slopes[2], (ahead[0] - back[0]) / (2 * step), atol=1e-7)
    box = PixelBox(-30, 90, 13, 500)
    j, i = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
    for one, other in zip(pixel_map(found, box).evaluate(j, i), evaluate(found, j, i), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    for one, other in zip(evaluate(found.with_origin(1 - origin), j, i), evaluate(found, j, i), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_single_row_is_a_table_and_corners_lie_half_a_pixel_off() -> None:
    out, into = simulated(np.random.default_rng(6))
    found = fit_surface_map(out, into)
    row = pixel_map(found, PixelBox(4, 5, 0, 30))
    v, u = row.evaluate(np.full(30, 4), np.arange(30))
    np.testing.assert_allclose(u, evaluate(found, np.full(30, 4), np.arange(30))[1], atol=1e-12)
    corners = pixel_map(found, PixelBox(0, 9, 0, 9), -0.5)
    v, u = corners.evaluate(np.array(3), np.array(7))
    np.testing.assert_allclose([v, u], evaluate(found, 2.5, 6.5), atol=1e-9)
    assert pixel_map(found, PixelBox(0, 0, 0, 5)).patches == ()


def test_sampled_map_is_bilinear_between_exact_points() -> None:
    out, into = simulated(np.random.default_rng(7))
    found = fit_surface_map(out, into)
    box = PixelBox(0, 101, 0, 201)
    sampled = pixel_map(found, box, sample=10)
    assert sampled.patches[0].sampling == (10, 20)
    y, x = np.linspace(0, 100, 10), np.linspace(0, 200, 20)
    from scipy.interpolate import RegularGridInterpolator

    nodes = evaluate(found, y[:, None], x[None, :])
    j, i = np.mgrid[:101, :201]
    for ours, node in zip(sampled.evaluate(j, i), nodes, strict=True):
        np.testing.assert_allclose(ours, RegularGridInterpolator((y, x), node)((j, i)), atol=1e-9)


def test_rejection_finds_outliers_and_keeps_them_out() -> None:
    rng = np.random.default_rng(8)
    out, into = simulated(rng)
    into += rng.normal(0, 0.02, into.shape)
    wrong = [3, 77, 150]
    into[wrong] += [2, -1]
    found = fit_surface_map(out, into, reject=4.0, maxiter=5)
    assert set(wrong) <= set(found.rejected)
    assert found.n_rejected <= len(wrong) + 2
    assert found.rms_x == pytest.approx(0.02, rel=0.2)
    plain = fit_surface_map(out, into)
    assert plain.rms_x > 3 * found.rms_x


def test_points_beyond_the_limits_are_counted_as_not_used() -> None:
    out, into = simulated(np.random.default_rng(9))
    found = fit_surface_map(out, into, limits=(0.0, 400.0, 20.0, 300.0))
    beyond = (out[:, 0] < 0) | (out[:, 0] > 400) | (out[:, 1] < 20) | (out[:, 1] > 300)
    assert found.n_rejected == beyond.sum() > 0
    assert list(found.rejected) == np.flatnonzero(beyond).tolist()


@pytest.mark.parametrize("geometry", ["rotate", "rscale"])
def test_mirrored_points(geometry: str) -> None:
    rng = np.random.default_rng(10)
    out = rng.uniform(0, 100, (20, 2))
    mirrored = out @ np.array([[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]]) @ np.diag([-1, 1]) + 7
    found = fit_surface_map(out, mirrored, geometry=geometry)
    assert max(found.rms_x, found.rms_y) < 1e-10


@pytest.mark.parametrize("angle", [0.3, 1.7, -2.9, 3.1])
def test_rotation_after_scales(angle: float) -> None:
    out = np.random.default_rng(11).uniform(0, 100, (20, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = fit_surface_map(out, out * [1.1, 0.8] @ turn.T + 3, geometry="rxyscale")
    assert max(found.rms_x, found.rms_y) < 1e-10


LINE = np.column_stack([np.arange(30.0), 2 * np.arange(30.0)])
GRID = np.stack(np.meshgrid(np.arange(4.0), np.arange(8.0)), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize(
    ("points", "options", "error", "words"),
    [
        (GRID[:5], {}, SingularFitError, "too few"),
        (LINE, {}, SingularFitError, "undetermined"),
        (LINE * [1, 0], {}, SingularFitError, "line"),
        (GRID, {"xxorder": 6, "xyorder": 6, "xxterms": "full"}, SingularFitError, "too few"),
        (GRID, {"xxorder": 6, "xyorder": 2, "xxterms": "none"}, SingularFitError, "undetermined"),
        (np.where(GRID == 3, np.nan, GRID), {}, InputError, "not finite"),
        (GRID, {"function": "spline"}, ConfigError, "function"),
        (GRID, {"geometry": "affine"}, ConfigError, "geometry"),
        (GRID, {"xxterms": "some"}, ConfigError, "cross terms"),
        (GRID, {"xyorder": 1}, ConfigError, "order"),
        (GRID, {"reject": 3.0}, ConfigError, "maxiter"),
        (GRID, {"maxiter": 3}, ConfigError, "reject"),
        (GRID, {"origin": 2}, ConfigError, "first pixel"),
        (np.empty((0, 2)), {}, SingularFitError, "no points"),
        (LINE * [1, 0], {"geometry": "xyscale", "limits": (0, 30, -1, 1)}, SingularFitError, "scale"),
    ],
)
def test_bad_input_is_one_clear_line(points, options, error, words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        fit_surface_map(points, points, **options)
    assert "\n" not in str(caught.value)


def test_points_of_unequal_number() -> None:
    with pytest.raises(ShapeError, match="shape"):
        fit_surface_map(GRID, GRID[:-1])


def test_inverse_is_nan_where_there_is_none() -> None:
    out = np.stack(np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 6)), axis=-1).reshape(-1, 2)
    folded = np.column_stack([out[:, 0] - out[:, 0] ** 2, out[:, 1]])  # never above 0.25
    y, x = invert(fit_surface_map(out, folded), np.zeros(2), np.array([0.2, 5.0]))
    assert np.isfinite(x[0])
    assert np.isnan(x[1])
    assert np.isnan(y[1])
