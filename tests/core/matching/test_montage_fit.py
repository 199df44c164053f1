"""Montage's differences and plane fits against slow twins, exact cases and degenerate images."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from nbmosaic.core.matching.montage_fit import common_rectangle, difference, fit_plane, subtract_plane
from nbmosaic.errors import InputError
from nbmosaic.types import PixelBox


def slow_fit(image: np.ndarray, crpix: tuple[float, float], *, level: bool, border: int = 0) -> dict[str, float]:
    """20 iterations of two passes over all pixels, as the rules are written."""
    ny, nx = image.shape
    y, x = np.mgrid[:ny, :nx].astype(float)
    x, y = x - crpix[0], y - crpix[1]
    inner = np.zeros(image.shape, bool)
    inner[border : ny - border, border : nx - border] = True
    good = np.isfinite(image) & inner
    z, x, y = image[good], x[good], y[good]
    plane, rms = np.zeros(3), 0.0
    for iteration in range(20):
        used = np.abs(z - (plane[0] * x + plane[1] * y + plane[2])) <= (2 * rms if rms > 0 else np.inf)
        columns = np.column_stack([0 * x, 0 * y, np.ones_like(x)] if level else [x, y, np.ones_like(x)])
        plane = np.linalg.lstsq(columns[used], z[used], rcond=None)[0]
        residual = np.abs(z - (plane[0] * x + plane[1] * y + plane[2]))
        kept = residual <= (2 * rms if iteration else np.inf)
        rms = float(np.sqrt(np.mean(residual[kept] ** 2)))
    values = [*plane, rms, kept.sum(), x[used].min(), x[used].max(), y[used].min(), y[used].max(), x[used].mean(), y[used].mean()]
    return dict(zip("a b c rms npixel xmin xmax ymin ymax xcenter ycenter".split(), values, strict=True))  # noqa: SIM905


@pytest.mark.parametrize("level", [False, True])
@pytest.mark.parametrize("border", [0, 4])
@pytest.mark.parametrize("seed", range(6))
def test_fit_is_the_slow_twin(seed: int, border: int, level: bool) -> None:
    rng = np.random.default_rng(seed)
    ny, nx = rng.integers(12, 90, 2)
    y, x = np.mgrid[:ny, :nx]
    image = rng.normal(0, 1.5, (ny, nx)) + rng.normal(0, 0.02) * x + rng.normal(0, 0.02) * y + 30 * rng.normal()
    image[rng.random(image.shape) < 0.03] += rng.exponential(500)
    image[(x - nx / 2) * np.cos(seed) + (y - ny / 2) * np.sin(seed) > 0.4 * min(nx, ny)] = np.nan
    image[rng.random(image.shape) < 0.05] = np.nan
    crpix = (float(rng.uniform(-3000, 3000)), float(rng.uniform(-3000, 3000)))
    fit, slow = fit_plane(image, crpix, level_only=level, border=border), slow_fit(image, crpix, level=level, border=border)
    assert fit is not None
    for key, value in slow.items():
        assert getattr(fit, key) == pytest.approx(value, rel=1e-7, abs=1e-7), key


def test_little_room_costs_only_time() -> None:
    image = np.random.default_rng(1).normal(size=(60, 70))
    assert astuple(fit_plane(image, (0.0, 0.0), scratch=np.empty((3, 5)))) == pytest.approx(
        astuple(fit_plane(image, (0.0, 0.0))), rel=1e-12
    )


def test_window_of_a_larger_image() -> None:
    image = np.random.default_rng(1).normal(size=(60, 70))
    window = image[10:50, 5:60]
    assert astuple(fit_plane(window, (0.0, 0.0))) == pytest.approx(astuple(fit_plane(window.copy(), (0.0, 0.0))), rel=1e-12)


def test_rms_of_gaussian_noise() -> None:
    fit = fit_plane(np.random.default_rng(5).normal(0, 3.0, (500, 500)), (0.0, 0.0))
    assert fit is not None
    assert fit.rms / 3.0 == pytest.approx(0.73, abs=0.02)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_exact_plane_comes_back(scale: float) -> None:
    y, x = np.mgrid[:40.0, :50.0]
    fit = fit_plane(scale * (0.1 * x - 0.3 * y + 7), (20.0, -10.0))
    assert fit is not None
    assert (fit.a, fit.b) == (pytest.approx(0.1 * scale, rel=1e-9), pytest.approx(-0.3 * scale, rel=1e-9))
    assert fit.npixel == 2000
    assert fit_plane(np.full((5, 5), 3.0), (0.0, 0.0)).c == pytest.approx(3.0)


def test_what_cannot_be_fitted() -> None:
    nan = np.full((9, 9), np.nan)
    line = nan.copy()
    line[4] = 1.0
    for image in (nan, line, line.T.copy()):
        assert fit_plane(image, (0.0, 0.0)) is None
    assert fit_plane(np.ones((9, 9)), (0.0, 0.0), border=5) is None
    assert fit_plane(line, (0.0, 0.0), level_only=True).c == 1.0
    assert fit_plane(np.ones((0, 4)), (0.0, 0.0)) is None


def test_box_of_a_rotated_frame() -> None:
    y, x = np.mgrid[:200.0, :200.0]
    t = np.radians(30)
    u, v = (x - 100) * np.cos(t) + (y - 100) * np.sin(t), (y - 100) * np.cos(t) - (x - 100) * np.sin(t)
    fit = fit_plane(np.where((abs(u) <= 60) & (abs(v) <= 30), 1.0 + 0 * x, np.nan), (1.0, 1.0), iterations=0)
    assert sorted([fit.boxwidth, fit.boxheight]) == [pytest.approx(60, abs=1.5), pytest.approx(120, abs=1.5)]
    assert fit.boxang % 90 == pytest.approx(30, abs=1.0)
    assert (fit.boxx, fit.boxy) == (pytest.approx(99, abs=1), pytest.approx(99, abs=1))
    assert (fit.a, fit.b, fit.c, fit.rms) == (0, 0, 0, 0)


def test_difference_is_the_slow_twin() -> None:
    rng = np.random.default_rng(2)
    plus, minus = rng.normal(50, 5, (2, 30, 40))
    a1, a2 = rng.choice([0.0, 0.3, 0.6, 1.0, 1.9], (2, 30, 40), p=[0.05, 0.05, 0.1, 0.75, 0.05])
    plus[rng.random(plus.shape) < 0.1] = np.nan
    minus[:, :3] = np.nan
    done = difference(plus, minus, plus_area=a1, minus_area=a2, factor=1.5)
    first = np.isfinite(plus) & (a1 > 0)
    both = first & np.isfinite(minus) & (a2 > 0)
    mean = a1[first].mean() + a2[both].mean()
    keep = both & (np.abs(a1 + a2 - mean) / mean <= 0.333)
    expected = np.where(keep, 2 * (plus * a1 - 1.5 * minus * a2) / np.where(keep, a1 + a2, 1), np.nan)
    y, x = done.offset
    assert x == 3
    np.testing.assert_allclose(done.data, expected[y : y + done.data.shape[0], x : x + done.data.shape[1]])
    assert np.isfinite(done.data).sum() == keep.sum()
    np.testing.assert_allclose(done.area[np.isfinite(done.data)], (a1 + a2)[keep])
    assert done.difference_range == (pytest.approx(np.nanmin(abs(expected))), pytest.approx(np.nanmax(abs(expected))))


def test_difference_of_nothing() -> None:
    nan = np.full((3, 4), np.nan)
    assert difference(nan, np.ones((3, 4))) is None
    assert difference(np.ones((0, 4)), np.ones((0, 4))) is None
    with pytest.raises(InputError):
        difference(nan, nan, plus_area=nan)


def test_rectangle_never_uses_the_last_row_and_column() -> None:
    whole = PixelBox(0, 10, 0, 10)
    assert common_rectangle(whole, whole, (10, 10)) == PixelBox(0, 9, 0, 9)
    assert common_rectangle(whole, PixelBox(20, 30, 0, 10), (40, 40)).empty


def test_subtracting_a_plane_row_by_row() -> None:
    rng = np.random.default_rng(4)
    image, area = rng.normal(size=(9, 8)), rng.uniform(0, 1, (9, 8))
    area[2, 3], image[5, 5] = 0.0, np.nan
    whole, covered = subtract_plane(image, area, (3.0, 4.0), (0.1, 0.2, 0.3))
    y, x = np.mgrid[:9, :8]
    good = np.isfinite(image) & (area > 0)
    np.testing.assert_allclose(whole[good], (image - (0.1 * (x - 3) + 0.2 * (y - 4) + 0.3))[good])
    assert np.isnan(whole[~good]).all()
    assert (covered == np.where(good, area, 0)).all()
    for row in range(9):
        part = subtract_plane(image[row : row + 1], None, (3.0, 4.0), (0.1, 0.2, 0.3), row)[0]
        np.testing.assert_array_equal(part[0][good[row]], whole[row][good[row]])
