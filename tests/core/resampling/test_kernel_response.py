"""What an impulse, noise and a star tell of the interpolants: analytic facts, and agreement with the tables that the resampler has."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map
from nbmosaic.core.resampling.kernel_response import correlation, kernel_response, resample_turned, shift_star
from nbmosaic.core.resampling.piece_noise import kernel_transform, piece_noise_gain
from nbmosaic.core.resampling.taps import kernel_response as spline_response
from nbmosaic.errors import InputError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import Interpolant

KERNELS = ("nearest", "linear", "poly3", "poly5", "spline3", "sinc", "sinc17", "lsinc", "drizzle", "drizzle[0.5]")


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel(name: str) -> None:
    found = kernel_response(name)
    assert found.weight_sum == pytest.approx((1.0, 1.0), abs=1e-6)
    assert found.transfer[0] == pytest.approx(1.0, abs=1e-6)
    assert found.covariance[0] + 2 * found.covariance[1:].sum() == pytest.approx(1.0, abs=1e-5)
    assert np.abs(found.transfer[found.frequency < 0.4]).max() < 1.02
    whole = kernel_response(name, frequencies=np.array([1.0, 2.0])).transfer
    assert np.abs(whole).max() < 3e-3  # weights that sum to 1 at every phase fold nothing of a flat sky into waves


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("nearest", lambda d: (d < 0.5) * 1.0),
        ("linear", lambda d: np.maximum(1 - d, 0)),
        ("drizzle", lambda d: np.maximum(1 - d, 0)),
        ("poly3", lambda d: np.where(d < 1, (1 - d * d) * (2 - d) / 2, np.where(d < 2, (1 - d) * (2 - d) * (3 - d) / 6, 0))),
    ],
)
def test_kernels_by_formula(name: str, weight) -> None:
    found = kernel_response(name)
    np.testing.assert_allclose(found.weight, weight(np.abs(found.distance)), atol=2e-6)


def test_linear_by_formula() -> None:
    found = kernel_response("linear")
    np.testing.assert_allclose(found.transfer, np.sinc(found.frequency) ** 2, atol=2e-4)  # a mean over 64 phases, not an integral
    assert found.noise == pytest.approx(2 / 3, abs=1e-4)
    assert found.correlation[1] == pytest.approx(1 / 4, abs=2e-4)
    assert np.abs(found.correlation[2:]).max() < 1e-6
    assert found.noise_gain == pytest.approx(4 / 9, abs=2e-4)


def test_spline_rings_by_its_pole() -> None:
    found = kernel_response("spline3")
    at = [float(np.abs(found.weight[np.abs(found.distance - (k + 0.5)) < 0.01]).max()) for k in (3, 4, 5)]
    assert at[1] / at[0] == pytest.approx(2 - np.sqrt(3), rel=0.01)
    assert at[2] / at[1] == pytest.approx(2 - np.sqrt(3), rel=0.01)
    np.testing.assert_allclose(found.transfer, spline_response("spline", found.frequency), atol=1e-4)


@pytest.mark.parametrize("name", ["poly3", "poly5", "sinc", "sinc17"])
def test_transfer_is_that_of_the_tables(name: str) -> None:
    kernel = Interpolant.parse(name)
    found = kernel_response(kernel)
    np.testing.assert_allclose(found.transfer, kernel_transform(kernel, found.frequency), atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "poly3", "poly5", "spline3", "sinc"])
def test_noise_gain_is_the_one_that_errors_use(name: str) -> None:
    points = np.random.default_rng(2).uniform(0, 300, (30, 2))
    turn = np.radians(2.0)
    turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + 5.0
    forward = pixel_map(fit_surface_map(points, turned, limits=(0, 300, 0, 300), geometry="rotate"), PixelBox(0, 300, 0, 300))
    kernel = Interpolant.parse(name)
    assert kernel_response(kernel).noise_gain == pytest.approx(piece_noise_gain(kernel, forward), rel=0.02)


@pytest.mark.parametrize("name", ["nearest", "linear", "poly5", "spline3", "sinc17"])
def test_real_noise_has_that_scatter_and_correlation(name: str) -> None:
    noise = np.random.default_rng(3).normal(size=(360, 360)).astype(np.float32)
    turned = resample_turned(noise, name, degrees=3.0)
    found = kernel_response(name)
    assert turned.std() == pytest.approx(found.noise, abs=0.015)
    np.testing.assert_allclose(correlation(turned, 5), found.correlation[:5], atol=0.02)


def test_stars_suffer_in_the_known_order() -> None:
    worst = {}
    for name in ("nearest", "linear", "poly3", "poly5", "spline3", "sinc"):
        found, truth = shift_star(name, fwhm=2.2)
        assert found.sum() == pytest.approx(1.0, abs=1e-4)
        worst[name] = float(np.abs(found - truth).max() / truth.max())
    assert list(worst.values()) == sorted(worst.values(), reverse=True)
    assert worst["linear"] > 0.2
    assert worst["sinc"] < 0.03
    fine, truth = shift_star("poly5", fwhm=2.5, shift=(0.0, 0.0))
    np.testing.assert_allclose(fine, truth, atol=1e-7)  # a kernel at whole pixels copies


def test_linear_star_by_hand() -> None:
    found, _ = shift_star("linear", fwhm=2.5, shift=(0.25, 0.0))
    sigma = 2.5 / np.sqrt(8 * np.log(2))
    y, x = np.mgrid[-33:34, -33:34]
    seen = np.exp(-0.5 * ((y - 0.25) ** 2 + x**2) / sigma**2) / (2 * np.pi * sigma**2)
    np.testing.assert_allclose(found, 0.75 * seen[1:-1, 1:-1] + 0.25 * seen[2:, 1:-1], atol=1e-7)


def test_bad_numbers() -> None:
    with pytest.raises(InputError, match="0 phases"):
        kernel_response("linear", phases=0)
    with pytest.raises(InputError, match="nothing is left"):
        resample_turned(np.ones((30, 30), np.float32), "linear")
    with pytest.raises(InputError, match="star of width 0"):
        shift_star("linear", fwhm=0)
