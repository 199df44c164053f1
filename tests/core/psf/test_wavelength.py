"""FWHM and beta against wavelength: recovery, honest errors, choice of degree, and the keywords that mpdaf reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from support.star_pairs import star_pair

from nbmosaic.core.psf.star_fit import fit_star
from nbmosaic.core.psf.wavelength import band_estimates, fit_wavelength_psf, fsf_cards
from nbmosaic.errors import ConfigError, ShapeError, SingularFitError
from nbmosaic.types.photometry import ParameterSpec

WAVELENGTH = np.linspace(4800.0, 9300.0, 24)
SCALED = (WAVELENGTH - 5000) / 4000 - 0.5
FWHM, BETA = [0.03, -0.12, 0.7], [-0.3, 2.6]
# standard errors as star fits give them: FWHM 1 %, beta 5 %, correlated by 0.75
EACH = np.array([[0.007**2, 0.75 * 0.007 * 0.13], [0.75 * 0.007 * 0.13, 0.13**2]])


def bands(rng: np.random.Generator, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates that are Gaussian in FWHM and 1/beta, with the errors that a fit would quote for them."""
    truth = np.polyval(BETA, SCALED)
    moved = scale * rng.multivariate_normal([0, 0], EACH, size=24)
    beta = 1 / (1 / truth - moved[:, 1] / truth**2)
    stretch = np.stack([np.ones(24), (beta / truth) ** 2], axis=1)
    return np.polyval(FWHM, SCALED) + moved[:, 0], beta, EACH * stretch[:, :, None] * stretch[:, None, :]


def test_exact_bands_give_the_polynomials() -> None:
    psf = fit_wavelength_psf(WAVELENGTH, *bands(np.random.default_rng(0), 0.0))
    np.testing.assert_allclose(psf.fwhm_coefficients, FWHM, atol=1e-9)
    np.testing.assert_allclose(psf.beta_coefficients, BETA, atol=1e-9)
    assert psf.chisqr < 1e-12
    assert psf.n_free == 5
    np.testing.assert_allclose(psf.fwhm_at(WAVELENGTH), np.polyval(FWHM, SCALED))
    np.testing.assert_allclose(psf.beta_at(7000.0), 2.6)


def test_pulls_are_one() -> None:
    rng = np.random.default_rng(1)
    pulls, at_blue, redchi = [], [], []
    for _ in range(250):
        psf = fit_wavelength_psf(WAVELENGTH, *bands(rng), errors="given")
        found = np.concatenate([psf.fwhm_coefficients, psf.beta_coefficients])
        pulls.append((found - [*FWHM, *BETA]) / np.sqrt(np.diag(psf.covariance)))
        truth = np.polyval(FWHM, (5000 - 5000) / 4000 - 0.5), np.polyval(BETA, -0.5)
        at_blue.append([(psf.fwhm_at(5e3) - truth[0]) / psf.fwhm_stderr_at(5e3), (psf.beta_at(5e3) - truth[1]) / psf.beta_stderr_at(5e3)])
        redchi.append(psf.redchi)
    for pull in (np.array(pulls), np.array(at_blue)):
        np.testing.assert_allclose(np.sqrt(np.mean(pull**2, axis=0)), 1, atol=0.13)
        assert np.abs(pull.mean(axis=0)).max() < 0.2
    assert np.mean(redchi) == pytest.approx(1, abs=0.05)


def test_real_star_fits_are_not_biased_in_beta() -> None:
    # bands of a faint star: weighting by the errors as they are quoted pulls beta down, by more than one standard error for 24 bands
    rng = np.random.default_rng(2)
    pairs = [star_pair(flux=120.0, fwhm=float(f), beta=2.6) for f in np.polyval(FWHM, SCALED[::2])]
    ours, plain = [], []
    for _ in range(20):
        fits_ = []
        for reference, image in pairs:
            noisy = replace(image, data=image.data + 0.15 * rng.normal(size=image.shape), variance=np.full(image.shape, 0.0225))
            fits_.append(fit_star(reference, noisy, centre=(30.0, 30.0), radius_arcsec=3.0))
        fwhm, beta, covariance = band_estimates(fits_)
        psf = fit_wavelength_psf(WAVELENGTH[::2], fwhm, beta, covariance, beta_order=0)
        ours.append((psf.beta_coefficients[0] - 2.6) / psf.beta_stderr_at(7e3))
        weight = 1 / covariance[:, 1, 1]
        plain.append((weight @ beta / weight.sum() - 2.6) * np.sqrt(weight.sum()))
    assert abs(np.mean(ours)) < 0.5
    assert np.mean(plain) < -0.6


def test_joint_fit_uses_the_correlation() -> None:
    fwhm, beta, covariance = bands(np.random.default_rng(3))
    joint = fit_wavelength_psf(WAVELENGTH, fwhm, beta, covariance)
    alone = fit_wavelength_psf(WAVELENGTH, fwhm, beta, covariance * np.eye(2))
    # beta of the lower degree is the same (its columns are a part of those of FWHM); FWHM learns from it
    assert not np.allclose(joint.fwhm_coefficients, alone.fwhm_coefficients, rtol=1e-3)
    np.testing.assert_allclose(joint.beta_coefficients, alone.beta_coefficients, rtol=1e-3)
    assert joint.covariance[0, 0] < 0.7 * alone.covariance[0, 0]
    assert joint.covariance[2, 4] > 0
    assert abs(alone.covariance[2, 4]) < 1e-12


def test_degree_is_chosen() -> None:
    chosen = [
        tuple(len(c) - 1 for c in (psf.fwhm_coefficients, psf.beta_coefficients))
        for psf in (
            fit_wavelength_psf(WAVELENGTH, *bands(np.random.default_rng(seed), 0.3), fwhm_order="auto", beta_order="auto", max_order=3)
            for seed in range(12)
        )
    ]
    assert np.mean([c == (2, 1) for c in chosen]) > 0.6
    assert all(c[0] >= 1 and c[1] >= 1 for c in chosen)


def test_scatter_beyond_the_errors_is_said() -> None:
    fwhm, beta, covariance = bands(np.random.default_rng(4), 3.0)
    psf = fit_wavelength_psf(WAVELENGTH, fwhm, beta, covariance)
    assert psf.noise_factor == pytest.approx(np.sqrt(psf.redchi))
    assert 2 < psf.noise_factor < 4
    assert any("scatter more" in note for note in psf.notes)
    given = fit_wavelength_psf(WAVELENGTH, fwhm, beta, covariance, errors="given")
    np.testing.assert_allclose(psf.covariance, given.covariance * psf.redchi)


def test_bands_without_an_estimate_are_left_out() -> None:
    fwhm, beta, covariance = bands(np.random.default_rng(5))
    fwhm[3], covariance[7] = np.nan, np.inf
    psf = fit_wavelength_psf(WAVELENGTH, fwhm, beta, covariance)
    keep = np.delete(np.arange(24), [3, 7])
    twin = fit_wavelength_psf(WAVELENGTH[keep], fwhm[keep], beta[keep], covariance[keep])
    np.testing.assert_allclose(psf.fwhm_coefficients, twin.fwhm_coefficients)
    assert psf.used.sum() == 22
    assert any("2 of 24 bands" in note for note in psf.notes)


def test_fixed_beta() -> None:
    reference, image = star_pair(beta=2.5)
    noisy = replace(image, data=image.data + 0.1 * np.random.default_rng(6).normal(size=image.shape))
    fit = fit_star(reference, noisy, centre=(30.0, 30.0), radius_arcsec=3.0, parameters={"beta": ParameterSpec.at(2.5)})
    fwhm, beta, covariance = band_estimates([fit] * 4)
    psf = fit_wavelength_psf(WAVELENGTH[:4], fwhm, beta, covariance, fwhm_order=0)
    assert psf.beta_coefficients.tolist() == [2.5]
    assert psf.beta_stderr_at(7e3) == 0
    assert psf.fwhm_coefficients[0] == pytest.approx(fit["fwhm"].value)
    assert psf.fwhm_stderr_at(7e3) == pytest.approx(fit["fwhm"].stderr / 2)
    with pytest.raises(ConfigError, match="different values"):
        fit_wavelength_psf(WAVELENGTH[:4], fwhm, beta + np.arange(4), covariance)


def test_flagged_bands_are_no_estimates() -> None:
    reference, image = star_pair()
    fit = fit_star(reference, image, centre=(30.0, 30.0), radius_arcsec=3.0, parameters={"beta": ParameterSpec(max=2.0)})
    assert np.isnan(band_estimates([fit])[0]).all()


@pytest.mark.peer
@pytest.mark.parametrize("field", [0, 7])
def test_mpdaf_reads_the_keywords(field: int) -> None:
    """mpdaf 3.6, MoffatModel2: what from_hstconv, a stub there, was to give."""
    fsf = pytest.importorskip("mpdaf.MUSE.fsf")
    psf = fit_wavelength_psf(WAVELENGTH, *bands(np.random.default_rng(7)))
    header = fits.Header([(key, *card) for key, card in fsf_cards(psf, field=field).items()])
    text = header.tostring()  # as a file holds it
    header = fits.Header.fromstring(text)
    assert fsf.find_model_cls(header) is fsf.MoffatModel2
    read = fsf.MoffatModel2.from_header(header, 0.2, field=field)
    np.testing.assert_allclose(read.get_fwhm(WAVELENGTH), psf.fwhm_at(WAVELENGTH), rtol=1e-14)
    np.testing.assert_allclose(read.get_beta(WAVELENGTH), psf.beta_at(WAVELENGTH), rtol=1e-14)
    written = read.to_header(field_idx=field)
    assert {key: written[key] for key in written} == {key: header[key] for key in header}


def test_refusals_say_why() -> None:
    fwhm, beta, covariance = bands(np.random.default_rng(8))
    with pytest.raises(ShapeError, match="shapes"):
        fit_wavelength_psf(WAVELENGTH, fwhm[:3], beta, covariance)
    with pytest.raises(SingularFitError, match="too few"):
        fit_wavelength_psf(WAVELENGTH[:2], fwhm[:2], beta[:2], covariance[:2])
    with pytest.raises(SingularFitError, match="0 usable"):
        fit_wavelength_psf(WAVELENGTH, fwhm * np.nan, beta, covariance)
    for wrong in ({"fwhm_order": -1}, {"beta_order": 1.5}, {"reference_range": (9e3, 5e3)}, {"errors": "no"}):
        with pytest.raises(ConfigError):
            fit_wavelength_psf(WAVELENGTH, fwhm, beta, covariance, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="field"):
        fsf_cards(fit_wavelength_psf(WAVELENGTH, fwhm, beta, covariance), field=100)
