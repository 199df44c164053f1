"""Fits as lmfit shows them: the numbers are ours, the report, table and copies work."""

from __future__ import annotations

import copy
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.star_pairs import star_pair

from nbmosaic.core.psf.lmfit_result import lmfit_parameters, lmfit_result
from nbmosaic.core.psf.star_fit import fit_star
from nbmosaic.errors import MissingDependencyError
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ImageFitResult, ParameterSpec, StarFitResult

lmfit = pytest.importorskip("lmfit")


@pytest.fixture(scope="module")
def fit() -> StarFitResult:
    reference, image = star_pair()
    rng = np.random.default_rng(1)
    noisy = replace(image, data=image.data + 0.15 * rng.normal(size=image.shape), variance=np.full(image.shape, 0.0225))
    return fit_star(reference, noisy, centre=(30.0, 30.0), radius_arcsec=3.0, parameters={"dy": ParameterSpec.at(-0.03)})


@pytest.fixture(scope="module")
def image_fit() -> ImageFitResult:
    rng = np.random.default_rng(2)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T
    covariance[3] = covariance[:, 3] = 0
    parameters = {
        name: Estimate(value=float(i + 1), stderr=float(np.sqrt(covariance[i, i])), fixed=name == "dy")
        for i, name in enumerate(PARAMETER_NAMES)
    }
    data, model = rng.normal(size=(2, 20, 30))
    sigma = np.full((20, 30), 0.5)
    good = rng.random((20, 30)) < 0.9
    return ImageFitResult(
        method="whitened", parameters=parameters, covariance=covariance, chisqr=float((((data - model) / 0.5)[good] ** 2).sum()), redchi=1.0,
        n_data=int(good.sum()), n_free=5, n_evaluations=7, noise_factor=1.0, rms_error=1.4, image=data, model=model, residual=data - model,
        good=good, sigma=sigma, message="converged",
    )  # fmt: skip


@pytest.mark.parametrize("part", ["comparison", "image", "reference"])
def test_numbers_are_those_of_the_fit(fit: StarFitResult, part: str) -> None:
    some = {"comparison": fit, "image": fit.image, "reference": fit.reference}[part]
    result = lmfit_result(some)
    names = list(some.parameters) if part != "comparison" else list(PARAMETER_NAMES)
    assert list(result.params) == names
    for name in names:
        estimate = some[name]
        assert result.params[name].value == estimate.value
        assert result.params[name].stderr == estimate.stderr
        assert result.params[name].vary is not estimate.fixed
    assert result.var_names == [name for name in names if not some[name].fixed]
    np.testing.assert_allclose(np.sqrt(np.diag(result.covar)), [some[name].stderr for name in result.var_names])
    for i, first in enumerate(result.var_names):
        for j, second in enumerate(result.var_names):
            if i != j:
                expected = result.covar[i, j] / np.sqrt(result.covar[i, i] * result.covar[j, j])
                assert result.params[first].correl[second] == pytest.approx(expected)
    assert result.nvarys == len(result.var_names)
    assert result.errorbars
    assert result.success


def test_statistics(fit: StarFitResult) -> None:
    result = lmfit_result(fit)
    assert result.ndata == fit.image.n_data + fit.reference.n_data
    # flux, bg, x, y of each, fwhm and beta, less the fixed dy
    assert result.nfree == result.ndata - 9
    assert result.chisqr == pytest.approx(fit.image.chisqr + fit.reference.chisqr)
    assert result.chisqr == pytest.approx(np.sum(result.residual**2))
    assert result.redchi == pytest.approx(result.chisqr / result.nfree)
    assert result.nfev == fit.n_evaluations
    level = result.ndata * np.log(result.chisqr / result.ndata)
    assert result.aic == pytest.approx(level + 2 * result.nvarys)
    assert result.bic == pytest.approx(level + np.log(result.ndata) * result.nvarys)


def test_image_fit(image_fit: ImageFitResult) -> None:
    result = lmfit_result(image_fit)
    assert result.chisqr == pytest.approx(np.sum(result.residual**2))
    assert result.var_names == ["scale", "bg", "dx", "fwhm", "beta"]
    assert result.method == "nbmosaic whitened"
    assert "fwhm:" in lmfit.fit_report(result)
    without = lmfit_result(replace(image_fit, sigma=None, rms_error=float(np.sqrt(np.mean(image_fit.residual[image_fit.good] ** 2)))))
    assert np.sum(without.residual**2) == pytest.approx(image_fit.n_data)


def test_report_and_table(fit: StarFitResult) -> None:
    result = lmfit_result(fit, specs={"fwhm": ParameterSpec(value=0.5, min=0.0)})
    report = lmfit.fit_report(result)
    assert "# fitting method   = nbmosaic window" in report
    assert "(init = 0.5)" in report
    assert "(fixed)" in report
    assert "C(scale, beta)" in report or "C(fwhm, beta)" in report
    html = result._repr_html_()
    assert "<h2>Fit Result</h2>" in html
    assert "chi-square" in html
    assert "fwhm" in result.params._repr_html_()
    assert result.params["fwhm"].min == 0.0


def test_parameters_can_be_copied_and_used_again(fit: StarFitResult) -> None:
    parameters = lmfit_parameters(fit)
    for twin in (copy.deepcopy(parameters), pickle.loads(pickle.dumps(parameters))):
        assert twin["fwhm"].value == fit["fwhm"].value
        assert twin["fwhm"].stderr == fit["fwhm"].stderr
    parameters["fwhm"].set(value=0.9)
    assert parameters.valuesdict()["fwhm"] == 0.9


def test_bounds_do_not_move_a_value(fit: StarFitResult) -> None:
    parameters = lmfit_parameters(fit, specs={"dy": ParameterSpec(value=-0.03, vary=False, min=0.0)})
    assert parameters["dy"].value == -0.03


def test_unconstrained_parameters_have_no_error() -> None:
    frames = star_pair(flux=0.0)
    fit = fit_star(*frames, centre=(30.0, 30.0), radius_arcsec=3.0)
    result = lmfit_result(fit)
    assert not result.errorbars
    assert result.params["fwhm"].stderr is None
    assert "fwhm not constrained" in result.message
    assert "uncertainties could not be estimated" in lmfit.fit_report(result)


def test_without_lmfit(fit: StarFitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmfit", None)
    with pytest.raises(MissingDependencyError, match="pip install lmfit"):
        lmfit_result(fit)
