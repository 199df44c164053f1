"""Standard errors: the sandwich against simulated noise, white and coloured; singular fits are seen."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from nbmosaic.core.psf.covariance import coloured_middle, measure_noise, sandwich, white_middle
from nbmosaic.core.psf.taper import taper_weights


def test_white_sandwich_is_the_inverse_of_the_normal_matrix() -> None:
    jacobian = np.random.default_rng(1).normal(size=(3, 500))
    normal = white_middle(jacobian)
    covariance, constrained = sandwich(normal, normal)
    assert constrained.all()
    assert np.allclose(covariance, np.linalg.inv(normal), rtol=1e-10)


def test_sandwich_of_unequal_noise_is_that_of_simulated_fits() -> None:
    rng = np.random.default_rng(2)
    jacobian = rng.normal(size=(2, 300))
    variance = rng.uniform(0.2, 4.0, 300)
    covariance, _ = sandwich(white_middle(jacobian), white_middle(jacobian, variance))
    noise = rng.normal(size=(4000, 300)) * np.sqrt(variance)
    fits = noise @ jacobian.T @ np.linalg.inv(white_middle(jacobian))
    assert np.allclose(np.cov(fits.T), covariance, rtol=0.12, atol=0.05 * covariance[0, 0])


def test_coloured_noise_is_measured_and_allowed_for() -> None:
    rng = np.random.default_rng(3)
    shape, good = (96, 80), np.ones((96, 80), bool)
    good[20:40, 30:50] = False
    y, x = np.mgrid[: shape[0], : shape[1]]
    rows = np.stack([np.exp(-((x - 40) ** 2 + (y - 60) ** 2) / 18.0), good.astype(float)]) * good
    fits, predicted, white = [], [], []
    for _ in range(250):
        noise = ndimage.gaussian_filter(rng.normal(size=shape), 0.7, mode="wrap")
        noise /= noise.std()
        measured = measure_noise(np.where(good, noise, 0.0), good)
        assert measured.coloured
        normal = rows.reshape(2, -1) @ rows.reshape(2, -1).T
        fits.append(np.linalg.solve(normal, rows.reshape(2, -1) @ noise.ravel()))
        middle = coloured_middle(rows, measured.correlation) * measured.factor**2
        predicted.append(np.diag(sandwich(normal, middle)[0]))
        white.append(np.diag(sandwich(normal, normal)[0]))
    ratio = np.std(fits, axis=0) / np.sqrt(np.mean(predicted, axis=0))
    assert np.all(np.abs(ratio - 1.0) < 0.13), ratio
    assert np.all(np.std(fits, axis=0) / np.sqrt(np.mean(white, axis=0)) > 1.4)


def test_white_noise_is_not_called_coloured_and_outliers_do_not_count() -> None:
    rng = np.random.default_rng(4)
    noise, good = 1.3 * rng.normal(size=(120, 120)), np.ones((120, 120), bool)
    noise[50:60, 50:60] += 40.0
    measured = measure_noise(noise, good)
    assert not measured.coloured
    assert abs(measured.factor - 1.3) < 0.04
    assert measured.factor_error < 0.02


def test_what_the_data_do_not_constrain_is_said() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 400))
    jacobian = np.stack([a, b, 2.0 * b, np.zeros(400)])
    normal = white_middle(jacobian)
    covariance, constrained = sandwich(normal, normal)
    assert constrained.tolist() == [True, False, False, False]
    assert np.isclose(covariance[0, 0], 1.0 / (a @ a), rtol=0.02)
    assert np.isinf(covariance[1, 1])
    assert covariance[0, 1] == 0.0


def test_taper_is_that_of_a_slow_twin() -> None:
    good = np.random.default_rng(6).uniform(size=(40, 37)) > 0.004
    good[:, :3] = False
    for taper in (2, 5, 9, 10):
        width = 2 * (taper // 2) + 1
        h = width // 2
        padded = np.pad(good, h)
        eroded = np.array([[padded[y : y + width, x : x + width].all() for x in range(37)] for y in range(40)], float)
        kernel = np.outer(*[np.blackman(width + 2)[1:-1]] * 2)
        padded = np.pad(eroded, h)
        twin = np.array([[(padded[y : y + width, x : x + width] * kernel).sum() for x in range(37)] for y in range(40)]) / kernel.sum()
        weights = taper_weights(good, taper)
        assert np.allclose(weights, twin, atol=1e-12)
        assert not weights[~good].any()
    assert np.array_equal(taper_weights(good, 1), good)
