"""The Moffat transform against a numerical Hankel transform, its limits and derivatives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, special

from nbmosaic.core.psf.fourier_window import fourier_grid, reference_response, resampling_window
from nbmosaic.core.psf.moffat import MoffatTable, moffat_core_radius, moffat_profile, moffat_transfer, moffat_transfer_derivatives
from nbmosaic.errors import InputError

K = np.linspace(0.0, 5.0, 301)


def hankel(k: float, fwhm: float, beta: float) -> float:
    """Slow twin: integral of 2 pi r J0(2 pi k r) profile(r), by parts between the zeros of J0."""
    zeros = np.concatenate([[0.0], special.jn_zeros(0, 400) / (2 * np.pi * k)])
    total = [
        integrate.quad(lambda r: 2 * np.pi * r * special.j0(2 * np.pi * k * r) * moffat_profile(r * r, fwhm, beta), a, b, epsabs=1e-13)[0]
        for a, b in itertools.pairwise(zeros)
    ]
    sums = np.cumsum(total)
    return 0.5 * (sums[-1] + sums[-2])


@pytest.mark.parametrize(("fwhm", "beta"), [(0.6, 2.8), (0.4, 1.5), (1.2, 5.0), (0.085, 1.6), (0.7, 40.0)])
def test_closed_form_is_the_transform_of_the_profile(fwhm: float, beta: float) -> None:
    for k in (0.3, 1.0, 2.0):
        assert moffat_transfer(np.array([k]), fwhm=fwhm, beta=beta)[0] == pytest.approx(hankel(k, fwhm, beta), abs=2e-6)


@pytest.mark.parametrize("beta", [1.05, 1.5, 2.0, 2.5, 6.0, 30.0, 31.5, 500.0, 1e6])
def test_derivatives_are_those_of_finite_differences(beta: float) -> None:
    for fwhm in (0.02, 0.6, 2.0):
        value, by_fwhm, by_beta = moffat_transfer_derivatives(K, fwhm=fwhm, beta=beta)
        h = 1e-5 * fwhm
        slope = (moffat_transfer(K, fwhm=fwhm + h, beta=beta) - moffat_transfer(K, fwhm=fwhm - h, beta=beta)) / (2 * h)
        assert np.abs(by_fwhm - slope).max() < 2e-7 * max(1.0, np.abs(slope).max())
        h = 1e-3 * (beta - 1.0)
        ends = [moffat_transfer(K, fwhm=fwhm, beta=beta + j * h) for j in (-2, -1, 1, 2)]
        slope = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
        assert np.abs(by_beta - slope).max() < 1e-4 * np.abs(slope).max() + 1e-10 / h
        assert value[0] == pytest.approx(1.0, abs=1e-9)
        assert np.all(np.diff(value) <= 1e-14)


def test_both_formulas_meet() -> None:
    below, above = (moffat_transfer(K, fwhm=0.6, beta=b) for b in (31.0 - 1e-9, 31.0 + 1e-9))
    assert np.abs(below - above).max() < 2e-8


def test_gaussian_limit() -> None:
    sigma2 = 0.7**2 / (8 * np.log(2.0))
    gauss = np.exp(-2 * np.pi**2 * K**2 * sigma2)
    assert np.abs(moffat_transfer(K, fwhm=0.7, beta=1e6) - gauss).max() < 1e-6
    assert np.abs(moffat_transfer(K, fwhm=0.7, beta=1e3) - gauss).max() > 1e-4


def test_tiny_width_is_no_blur() -> None:
    assert np.abs(moffat_transfer(K, fwhm=1e-4, beta=2.8) - 1.0).max() < 1e-5


def test_profile_has_half_its_peak_at_half_its_width_and_unit_flux() -> None:
    assert moffat_profile(np.array([0.35**2]), 0.7, 2.3)[0] == pytest.approx(0.5 * moffat_profile(np.array([0.0]), 0.7, 2.3)[0])
    flux = integrate.quad(lambda r: 2 * np.pi * r * moffat_profile(r * r, 0.7, 2.3), 0, np.inf)[0]
    assert flux == pytest.approx(1.0, rel=1e-8)
    assert moffat_core_radius(0.7, 1.0) == pytest.approx(0.35)


@pytest.mark.parametrize("beta", [1.5, 2.0, 2.8, 30.0, 1e5])
def test_table_is_the_function(beta: float) -> None:
    k = np.random.default_rng(3).uniform(0.005, 2.5, 5000)  # the lowest frequency of a field of 200 arcsec
    k[:2] = 0.0, 2.5
    for fwhm in (0.05, 0.6, 1.6):
        table = MoffatTable(k)
        exact = moffat_transfer_derivatives(k, fwhm=fwhm, beta=beta)
        found = table.at(fwhm, beta)
        for dense, truth, limit in zip(found, exact, (6e-5, 6e-5, 5e-4), strict=True):
            assert np.abs(table.look_up(dense) - truth).max() < limit
        assert np.allclose(table.transform_at(fwhm, beta), found.transform, rtol=0.0, atol=1e-14)


@pytest.mark.parametrize(("fwhm", "beta"), [(0.0, 2.5), (-1.0, 2.5), (np.nan, 2.5), (0.6, 1.0), (0.6, 0.5), (0.6, np.inf)])
def test_impossible_profiles_are_refused(fwhm: float, beta: float) -> None:
    with pytest.raises(InputError, match="Moffat"):
        moffat_transfer(K, fwhm=fwhm, beta=beta)


def test_response_of_the_reference() -> None:
    grid = fourier_grid((64, 48), (0.2, 0.2))
    assert grid.k.shape == (64, 25)
    assert grid.f[0, -1] == pytest.approx(1.0)
    assert grid.f[32, 0] == pytest.approx(1.0)
    window = 0.42 + 0.5 * np.cos(np.pi * grid.f) + 0.08 * np.cos(2 * np.pi * grid.f)
    window[grid.f >= 1.0] = 0.0
    assert np.abs(resampling_window(grid.f) - window).max() < 1e-12
    expected = window * moffat_transfer(grid.k, fwhm=0.085, beta=1.6)
    assert np.abs(reference_response(grid.k, grid.f, hst_fwhm=0.085, hst_beta=1.6) - expected).max() < 5e-5
    assert np.array_equal(reference_response(grid.k, grid.f, hst_fwhm=0.0, hst_beta=1.6), resampling_window(grid.f))


def test_grid_of_oblong_pixels() -> None:
    grid = fourier_grid((16, 16), (0.1, 0.2))
    assert grid.f[8, 0] == pytest.approx(1.0)
    assert grid.f[0, 8] == pytest.approx(1.0)
    assert grid.k[8, 0] == pytest.approx(5.0)
