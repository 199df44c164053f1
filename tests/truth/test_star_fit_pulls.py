"""Star fits on simulated pairs: the bias in scale is gone and the standard errors are those of the scatter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from support.star_pairs import TRUTH, star_pair, window_noise

from nbmosaic.core.psf.star_fit import fit_star
from nbmosaic.types.photometry import ParameterSpec, StarFitResult


def realisations(n: int, flux: float, *, method: str = "window", **options: object) -> list[StarFitResult]:
    reference, image = star_pair(flux=flux)
    variance = 0.15**2 + 0.002 * np.maximum(image.data, 0)
    rng = np.random.default_rng(20)
    fits = []
    for _ in range(n):
        noisy = replace(image, data=image.data + rng.normal(size=image.shape) * np.sqrt(variance), variance=variance)
        blurred = replace(reference, data=reference.data + window_noise(rng, reference.shape, 0.05))
        fits.append(fit_star(blurred, noisy, centre=(30.0, 30.0), radius_arcsec=3.0, method=method, **options))  # type: ignore[arg-type]
    return fits


def pulls(fits: list[StarFitResult]) -> dict[str, np.ndarray]:
    names = [name for name in TRUTH if not fits[0][name].fixed]
    return {name: np.array([(fit[name].value - TRUTH[name]) / fit[name].stderr for fit in fits]) for name in names}


@pytest.mark.parametrize("flux", [450.0, *(pytest.param(flux, marks=pytest.mark.slow) for flux in (150.0, 4500.0))])
def test_pulls_are_one_and_scale_is_not_biased(flux: float) -> None:
    fits = realisations(200, flux)
    for name, pull in pulls(fits).items():
        # 200 realisations: 0.05 standard error of the rms, 0.07 of the mean
        assert 0.9 < np.sqrt(np.mean(pull**2)) < 1.1, name
        assert abs(pull.mean()) < 0.2, name
    assert np.mean([fit["scale"].value for fit in fits]) == pytest.approx(TRUTH["scale"], rel=0.005)


@pytest.mark.parametrize(
    "fixed",
    [
        ("scale",),
        ("fwhm", "beta"),
        *(pytest.param(names, marks=pytest.mark.slow) for names in (("dx", "dy"), ("bg", "beta"))),
    ],
)
def test_pulls_with_fixed_parameters(fixed: tuple[str, ...]) -> None:
    fits = realisations(100, 450.0, parameters={name: ParameterSpec.at(TRUTH[name]) for name in fixed})
    for name, pull in pulls(fits).items():
        assert 0.82 < np.sqrt(np.mean(pull**2)) < 1.18, name
        assert abs(pull.mean()) < 0.3, name


def test_pulls_with_correlated_noise() -> None:
    # drizzled cubes: neighbours correlated by 0.55, and a variance plane that knows nothing of it
    reference, image = star_pair(flux=450.0)
    rng = np.random.default_rng(21)
    fits, white = [], []
    for _ in range(120):
        noise = ndimage.gaussian_filter(rng.normal(size=image.shape), 0.65)
        noisy = replace(image, data=image.data + 0.15 * noise / noise.std(), variance=np.full(image.shape, 0.0225))
        fits.append(fit_star(reference, noisy, centre=(30.0, 30.0), radius_arcsec=3.0))
        white.append(fit_star(reference, noisy, centre=(30.0, 30.0), radius_arcsec=3.0, noise="given"))
    assert all(any("neighbouring pixels are correlated" in note for note in fit.notes) for fit in fits)
    for name, pull in pulls(fits).items():
        assert 0.8 < np.sqrt(np.mean(pull**2)) < 1.25, name
    assert np.sqrt(np.mean(pulls(white)["fwhm"] ** 2)) > 1.25


def test_independent_moffats_keep_the_bias_of_imphot() -> None:
    fits = realisations(40, 450.0, method="imphot")
    assert 0.04 < np.mean([fit["scale"].value for fit in fits]) / TRUTH["scale"] - 1 < 0.08
    for name in ("fwhm", "beta", "dx", "dy"):
        assert np.sqrt(np.mean(pulls(fits)[name] ** 2)) < 1.35, name
