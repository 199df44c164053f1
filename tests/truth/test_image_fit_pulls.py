"""Simulated truth of image fits: edges, margins, noise of the reference, imphot's form. What the default must show is in `test_image_fit_criteria`.

Fields of `support.psf_sky`: the reference and each image get new noise, the truth is the same. Low numbers of realisations get the limits that their own
noise allows: the rms of n pulls scatters by 1 / sqrt(2 n), their mean by 1 / sqrt(n).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from support.psf_sky import FIELDS, SkyImages

from nbmosaic.core.psf.image_fit import fit_image
from nbmosaic.types.photometry import PARAMETER_NAMES

FWHM = PARAMETER_NAMES.index("fwhm")


@lru_cache(maxsize=4)
def sky(name: str) -> tuple[SkyImages, np.ndarray]:
    images = SkyImages(FIELDS[name])
    return images, images.clean_image()


def simulate(name: str, method: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors of `count` fits, shape (2, count, 6), and the truth."""
    images, clean = sky(name)
    out = np.empty((2, count, 6))
    for i in range(count):
        fit = fit_image(images.reference(50_000 + i), images.image(1000 + i, clean=clean), method=method)
        assert fit.converged
        assert not any(fit[p].flag for p in PARAMETER_NAMES)
        out[:, i] = [fit[p].value for p in PARAMETER_NAMES], [fit[p].stderr for p in PARAMETER_NAMES]
    return out, np.array([getattr(FIELDS[name].seeing, p) for p in PARAMETER_NAMES])


def check_pulls(fits: np.ndarray, truth: np.ndarray, *, rms: tuple[float, float], bias: float) -> None:
    pulls = (fits[0] - truth) / fits[1]
    spread = np.sqrt((pulls**2).mean(axis=0))
    assert np.all((spread > rms[0]) & (spread < rms[1])), spread
    assert np.all(np.abs(pulls.mean(axis=0)) < bias), pulls.mean(axis=0)


def test_errors_of_imphots_form_are_honest() -> None:
    """Where imphot's own are 3 to 8 times too small. Its bias from masks that do not move with the sky stays (`test_..._masks...` of the goldens)."""
    fits, truth = simulate("rich", "imphot", 8)
    check_pulls(fits, truth, rms=(0.3, 1.9), bias=1.1)


def test_galaxies_cut_by_the_edge_of_the_reference_do_not_bias_the_seeing() -> None:
    """Without noise: what is left is the bias."""
    images, clean = sky("galaxies")
    truth = FIELDS["galaxies"].seeing
    fit = fit_image(images.reference(), images.image(clean=clean), noise="variance")
    assert abs(fit["fwhm"].value - truth.fwhm) < 0.0005
    for p in PARAMETER_NAMES:
        assert abs(fit[p].value - getattr(truth, p)) < 0.2 * fit[p].stderr, p


def test_a_reference_with_a_margin_keeps_the_rim_of_the_image() -> None:
    images, clean = sky("galaxies")
    truth = FIELDS["galaxies"].seeing
    image = images.image(clean=clean)
    without = fit_image(images.reference(), image, noise="variance")
    fit = fit_image(images.reference(margin=15), image, reference_offset=(15, 15), noise="variance")
    assert fit.good.all()
    assert not without.good.all()
    assert all(fit[p].stderr < without[p].stderr for p in PARAMETER_NAMES)
    for p in PARAMETER_NAMES:
        assert abs(fit[p].value - getattr(truth, p)) < 0.05 * fit[p].stderr, p


@pytest.mark.slow
def test_two_hundred_realisations_of_imphots_form() -> None:
    fits, truth = simulate("rich", "imphot", 200)
    check_pulls(fits, truth, rms=(0.85, 1.25), bias=0.4)


@pytest.mark.slow
def test_noise_of_the_reference_is_part_of_the_errors() -> None:
    """A reference ten times noisier than usual: its noise blurs the fit unless its variance is given."""
    images = SkyImages(replace(FIELDS["rich"], reference_sigma=0.2))
    clean = images.clean_image()
    truth = np.array([getattr(images.config.seeing, p) for p in PARAMETER_NAMES])
    pulls = {}
    for given in (True, False):
        rows = []
        for i in range(120):
            fit = fit_image(images.reference(i, variance=given), images.image(5000 + i, clean=clean), noise="variance")
            rows.append([(fit[p].value - t) / fit[p].stderr for p, t in zip(PARAMETER_NAMES, truth, strict=True)])
        pulls[given] = np.array(rows)
    assert np.all(np.abs(np.sqrt((pulls[True] ** 2).mean(axis=0)) - 1.0) < 0.2)
    assert abs(pulls[True].mean(axis=0)[FWHM]) < 0.3
    assert pulls[False].mean(axis=0)[FWHM] > 0.5
