"""What pictures of fits show beside the images: spectra that are 1 for white noise, profiles of the brightest source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nbmosaic.core.psf.fit_pictures import plane_spectrum, residual_spectrum, source_profile
from nbmosaic.core.psf.moffat import moffat_profile
from nbmosaic.types.photometry import Estimate, ImageFitResult


def fit_of(residual, *, model=None, good=None, sigma=0.2, step=(0.2, 0.2), bg=0.5, method="whitened") -> ImageFitResult:
    shape = residual.shape
    model = np.full(shape, bg) if model is None else model
    values = {"scale": 1.0, "bg": bg, "dx": 0.0, "dy": 0.0, "fwhm": 0.7, "beta": 2.8}
    return ImageFitResult(
        method=method,
        parameters={name: Estimate(value=value, stderr=0.1) for name, value in values.items()},
        covariance=np.eye(6),
        chisqr=1.0,
        redchi=1.0,
        n_data=1,
        n_free=6,
        n_evaluations=1,
        noise_factor=1.0,
        rms_error=0.2,
        image=model + residual,
        model=model,
        residual=residual,
        good=np.ones(shape, bool) if good is None else good,
        sigma=None if sigma is None else np.full(shape, sigma),
        step_arcsec=step,
        origin=(3, 4),
    )


@pytest.mark.parametrize(("shape", "masked"), [((128, 160), False), ((131, 97), True)])
def test_white_noise_has_power_1_at_every_frequency(shape, masked):
    rng = np.random.default_rng(1)
    good = np.ones(shape, bool)
    if masked:
        good[:40, :50] = False
    spectra = []
    for _ in range(20):
        fit = fit_of(rng.normal(0.0, 0.2, shape), good=good)
        spectra.append(residual_spectrum(fit))
        assert spectra[-1].image == pytest.approx(spectra[-1].residual)  # nothing but background and noise
    mean = np.mean([one.residual for one in spectra], axis=0)
    assert mean == pytest.approx(np.ones(mean.size), abs=0.25)
    assert mean.mean() == pytest.approx(1.0, abs=0.02)
    assert spectra[0].frequency[-1] < 2.5


def test_the_noise_is_taken_from_the_residuals_where_it_is_not_known():
    rng = np.random.default_rng(2)
    found = residual_spectrum(fit_of(rng.normal(0.0, 7.0, (96, 96)), sigma=None))
    assert found.residual.mean() == pytest.approx(1.0, abs=0.1)


def test_a_wave_shows_at_its_frequency():
    x = np.mgrid[:100, :100][1]
    wave = np.sin(2 * np.pi * 1.5 * 0.2 * x)
    found = residual_spectrum(fit_of(wave))
    assert found.frequency[np.argmax(found.residual)] == pytest.approx(1.5, abs=0.06)


def test_profile_of_a_star_is_the_psf():
    y, x = np.mgrid[:60, :70]
    radius2 = ((y - 31.3) ** 2 + (x - 40.2) ** 2) * 0.04
    model = 0.5 + 3.0 * moffat_profile(radius2, 0.7, 2.8)
    fit = fit_of(np.zeros(model.shape), model=model)
    found = source_profile(fit)
    assert found.centre == pytest.approx((34.3, 44.2), abs=0.1)  # in pixels of the frame that was given
    expected = 3.0 * moffat_profile(found.radius**2, 0.7, 2.8)
    assert found.model == pytest.approx(expected, abs=0.12 * expected.max())
    assert found.curve == pytest.approx(3.0 * moffat_profile(found.curve_radius**2, 0.7, 2.8), rel=0.1)
    assert found.radius.max() <= 2.8


def test_the_edge_and_masked_pixels_are_no_centre():
    model = np.full((60, 60), 0.5)
    model[0, 30], model[20, 20], model[40, 40] = 50.0, 40.0, 30.0
    good = np.ones(model.shape, bool)
    good[20, 20] = False
    found = source_profile(fit_of(np.zeros(model.shape), model=model, good=good))
    assert found.centre == (43.0, 44.0)
    tiny = fit_of(np.zeros((3, 3)), model=np.full((3, 3), 1.0))
    assert source_profile(tiny).radius.size == 9
    with pytest.raises(Exception, match="no pixel"):
        source_profile(replace(tiny, good=np.zeros((3, 3), bool)))


def test_plane_spectrum_is_the_transform():
    rng = np.random.default_rng(5)
    image, good = rng.normal(size=(6, 7)), np.ones((6, 7), bool)
    good[1, 2] = False
    found = plane_spectrum(image, good, (8, 16), level=0.3)
    filled = np.zeros((8, 16))
    filled[:6, :7] = np.where(good, image - 0.3, 0.0)
    for ky in range(-4, 4):
        for kx in (-8, 0, 3):
            y, x = np.mgrid[:8, :16]
            slow = abs((filled * np.exp(-2j * np.pi * (ky * y / 8 + kx * x / 16))).sum())
            assert found[4 + ky, 8 + kx] == pytest.approx(slow, abs=1e-12)
