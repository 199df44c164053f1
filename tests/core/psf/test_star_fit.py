"""Star fits: exact recovery, a slow twin, invariants, what is fixed or bounded, and stars in trouble."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize
from support.star_pairs import TRUTH, star_pair

from nbmosaic.core.psf.star_fit import fit_star
from nbmosaic.core.psf.star_fit_profile import MoffatShape, WindowShape, window_profile
from nbmosaic.core.psf.star_fit_solver import StarSolution, StarSystem, solve_star
from nbmosaic.errors import ConfigError, InputError, ShapeError, SingularFitError
from nbmosaic.types.photometry import PARAMETER_NAMES, FitFrame, ParameterSpec

CENTRE = (30.0, 30.0)


def noisy(frame: FitFrame, sigma: float, seed: int = 0) -> FitFrame:
    noise = np.random.default_rng(seed).normal(size=frame.shape)
    return replace(frame, data=frame.data + sigma * noise, variance=np.full(frame.shape, sigma**2))


def values(fit: object) -> np.ndarray:
    return np.array([fit[name].value for name in PARAMETER_NAMES])  # type: ignore[index]


@pytest.fixture(scope="module")
def pair() -> tuple[FitFrame, FitFrame]:
    return star_pair()


@pytest.fixture(scope="module")
def noisy_pair(pair: tuple[FitFrame, FitFrame]) -> tuple[FitFrame, FitFrame]:
    return noisy(pair[0], 0.02, 1), noisy(pair[1], 0.15, 2)


@pytest.mark.parametrize("changed", [{}, {"fwhm": 0.9, "beta": 4.0}, {"fwhm": 0.45, "beta": 2.0}, {"dx": 1.1, "dy": -0.8}])
def test_star_without_noise_is_recovered(changed: dict[str, float]) -> None:
    fit = fit_star(*star_pair(**changed), centre=CENTRE, radius_arcsec=4.0)
    assert fit.converged
    for name, true in (TRUTH | changed).items():
        assert fit[name].value == pytest.approx(true, rel=1e-3, abs=3e-4), name
    assert fit.reference["flux"].value == pytest.approx(450, rel=1e-4)


def test_independent_moffats_are_biased_and_the_window_is_not(pair: tuple[FitFrame, FitFrame]) -> None:
    # imphot 2023-04 finds 4 to 8 % too much on bright stars; its tutorial leaves 6 % unexplained
    imphot = fit_star(*pair, centre=CENTRE, radius_arcsec=3.0, method="imphot")
    assert 0.04 < imphot["scale"].value / TRUTH["scale"] - 1 < 0.08
    ours = fit_star(*pair, centre=CENTRE, radius_arcsec=3.0)
    assert ours["scale"].value == pytest.approx(TRUTH["scale"], rel=5e-4)


def test_window_profile_is_the_transform_of_the_reference_response(pair: tuple[FitFrame, FitFrame]) -> None:
    profile, slope = window_profile(0.085, 1.6, 0.2, 8.0)
    y, x = (np.indices((61, 61)) - 30) * 0.2
    made = 450 * 0.04 * profile(np.hypot(x - 0.07, y + 0.05))
    assert np.abs(made - pair[0].data).max() < 1e-4 * pair[0].data.max()
    r = np.linspace(0.05, 7, 50)
    np.testing.assert_allclose(slope(r), (profile(r + 1e-5) - profile(r - 1e-5)) / 2e-5, atol=1e-4)


@pytest.mark.parametrize(
    "shape",
    [
        MoffatShape(area=0.04),
        MoffatShape(area=0.04, elliptical=True),
        MoffatShape(area=0.04, elliptical=True, pixel=(0.2, 0.25)),
        WindowShape.of_reference(0.085, 1.6, step=0.2, reach=8.0),
    ],
)
@pytest.mark.parametrize("v", [1e-6, 0.3, 0.9])
def test_derivatives(shape: MoffatShape | WindowShape, v: float) -> None:
    at = np.array([0.03, -0.05, np.log(0.7), v, 0.2, -0.1])[: len(shape.names)]
    x, y = np.random.default_rng(3).uniform(-2, 2, (2, 50))
    value, slopes = shape.evaluate(at, x, y)
    assert (value >= 0).all() or isinstance(shape, WindowShape)
    for i in range(len(at)):
        h = 2e-7 if i == 3 else 1e-5
        high, low = (shape.evaluate(at + s * h * np.eye(len(at))[i], x, y)[0] for s in (1, -1))
        np.testing.assert_allclose(slopes[i], (high - low) / (2 * h), atol=3e-5 * abs(slopes[i]).max(), rtol=1e-4)


def test_small_ellipticity_is_the_round_profile() -> None:
    x, y = np.random.default_rng(4).uniform(-2, 2, (2, 30))
    round_ = MoffatShape(area=1.0).evaluate(np.array([0, 0, -0.4, 0.3]), x, y)[0]
    nearly = MoffatShape(area=1.0, elliptical=True).evaluate(np.array([0, 0, -0.4, 0.3, 1e-9, 0.0]), x, y)[0]
    np.testing.assert_allclose(nearly, round_, rtol=1e-7)


def twin(frame: FitFrame, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Moffat by scipy with a numerical Jacobian: flux, bg, x, y, fwhm, beta and their covariance."""
    y, x = (np.indices(frame.shape) - 30) * 0.2
    inside = (np.hypot(x, y) < radius) & frame.good

    def residual(p: np.ndarray) -> np.ndarray:
        flux, bg, x0, y0, fwhm, beta = p
        a2 = fwhm**2 / 4 / (2 ** (1 / beta) - 1)
        model = bg + 0.04 * flux * (beta - 1) / (np.pi * a2) * (1 + ((x - x0) ** 2 + (y - y0) ** 2) / a2) ** -beta
        return ((frame.data - model) / np.sqrt(frame.variance))[inside]

    found = optimize.least_squares(
        residual, [400, 0, 0, 0, 0.7, 3], x_scale=[100, 0.1, 0.1, 0.1, 0.5, 2], xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    return found.x, np.linalg.inv(found.jac.T @ found.jac)


def test_image_profile_is_the_twins(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    fit = fit_star(*noisy_pair, centre=CENTRE, radius_arcsec=3.0, noise="given")
    value, covariance = twin(noisy_pair[1], 3.0)
    sigma = np.sqrt(np.diag(covariance))
    assert fit.image.names == ("flux", "bg", "dx", "dy", "fwhm", "beta")
    np.testing.assert_allclose((np.array([fit.image[name].value for name in fit.image.names]) - value) / sigma, 0, atol=2e-3)
    np.testing.assert_allclose(fit.image.covariance / np.outer(sigma, sigma), covariance / np.outer(sigma, sigma), atol=2e-3)


def test_comparison_is_the_propagated_profiles(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    fit = fit_star(*noisy_pair, centre=CENTRE, radius_arcsec=3.0)
    image, reference = fit.image, fit.reference
    ratio = image["flux"].value / reference["flux"].value
    assert fit["scale"].value == pytest.approx(ratio)
    relative = np.hypot(image["flux"].stderr / image["flux"].value, reference["flux"].stderr / reference["flux"].value)
    assert fit["scale"].stderr == pytest.approx(ratio * relative)
    assert fit["bg"].value == pytest.approx(image["bg"].value - ratio * reference["bg"].value)
    assert fit["dx"].value == pytest.approx(image["dx"].value - reference["dx"].value)
    assert fit["dx"].stderr == pytest.approx(np.hypot(image["dx"].stderr, reference["dx"].stderr))
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), [fit[name].stderr for name in PARAMETER_NAMES])
    assert len(fit.joint_names) == len(fit.joint_covariance) == 12


def test_units_positions_and_noise_scale_as_they_should(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    reference, image = noisy_pair
    fit = fit_star(reference, image, centre=CENTRE, radius_arcsec=3.0)
    ten = replace(image, data=10 * image.data, variance=100 * image.variance)
    other = fit_star(reference, ten, centre=CENTRE, radius_arcsec=3.0)
    np.testing.assert_allclose(values(other) / values(fit), [10, 10, 1, 1, 1, 1], rtol=2e-4)
    wide = [replace(f, data=np.pad(f.data, 5), mask=np.pad(f.mask, 5), variance=np.pad(f.variance, 5)) for f in noisy_pair]
    moved = fit_star(*wide, centre=(35.0, 35.0), radius_arcsec=3.0)
    np.testing.assert_allclose(values(moved), values(fit), rtol=1e-12)
    loud = fit_star(reference, replace(image, variance=9 * image.variance), centre=CENTRE, radius_arcsec=3.0, noise="given")
    assert loud["fwhm"].stderr == pytest.approx(3 * fit["fwhm"].stderr, rel=1e-3)
    swapped = fit_star(*(replace(f, data=f.data.T.copy()) for f in noisy_pair), centre=CENTRE, radius_arcsec=3.0)
    assert swapped["dx"].value == pytest.approx(fit["dy"].value, abs=1e-7)


def test_wrong_variance_is_found_and_said(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    reference, image = noisy_pair
    fit = fit_star(reference, image, centre=CENTRE, radius_arcsec=3.0)
    assert fit.image.noise_factor == 1.0
    wrong = replace(image, variance=image.variance / 16)
    mended = fit_star(reference, wrong, centre=CENTRE, radius_arcsec=3.0)
    assert mended.image.noise_factor == pytest.approx(4.0, rel=0.1)
    assert mended["fwhm"].stderr == pytest.approx(fit["fwhm"].stderr, rel=0.1)
    assert any("reduced chi squared" in note for note in mended.notes)
    believed = fit_star(reference, wrong, centre=CENTRE, radius_arcsec=3.0, noise="given")
    assert believed["fwhm"].stderr == pytest.approx(fit["fwhm"].stderr / 4, rel=0.01)
    none = fit_star(reference, replace(image, variance=None), centre=CENTRE, radius_arcsec=3.0)
    assert none["fwhm"].stderr == pytest.approx(fit["fwhm"].stderr, rel=0.1)
    assert any("no variance" in note for note in none.notes)


@pytest.mark.parametrize("name", PARAMETER_NAMES)
def test_fixed_parameter_stays_and_lowers_no_chi_squared(name: str, noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    free = fit_star(*noisy_pair, centre=CENTRE, radius_arcsec=3.0, noise="given")
    shifted = TRUTH[name] + 2 * free[name].stderr
    fit = fit_star(*noisy_pair, centre=CENTRE, radius_arcsec=3.0, noise="given", parameters={name: ParameterSpec.at(shifted)})
    assert fit.converged
    assert fit[name].fixed
    assert fit[name].value == shifted
    assert fit[name].stderr == 0
    i = PARAMETER_NAMES.index(name)
    assert not fit.covariance[i].any()
    # chi squared grows by the square of the distance in standard errors (the model is nearly linear over 2 of them)
    grown = fit.image.chisqr + fit.reference.chisqr - free.image.chisqr - free.reference.chisqr
    assert grown == pytest.approx(((free[name].value - shifted) / free[name].stderr) ** 2, rel=0.15, abs=0.05)
    # and the others move by what their covariance says
    for j, other in enumerate(PARAMETER_NAMES):
        if other != name:
            expected = free.covariance[j, i] / free.covariance[i, i] * (shifted - free[name].value)
            assert fit[other].value - free[other].value == pytest.approx(expected, abs=0.35 * free[other].stderr)
            assert fit[other].stderr <= free[other].stderr * 1.05


def test_everything_fixed(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    fit = fit_star(*noisy_pair, centre=CENTRE, radius_arcsec=3.0, parameters={k: ParameterSpec.at(v) for k, v in TRUTH.items()})
    assert values(fit).tolist() == list(TRUTH.values())
    assert not fit.covariance.any()
    assert fit.free_names == ()
    assert fit.reference["flux"].stderr > 0


def test_bounds_are_kept_and_flagged(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    fit = fit_star(*noisy_pair, centre=CENTRE, radius_arcsec=3.0, parameters={"scale": ParameterSpec(min=1.2)})
    assert fit["scale"].value == pytest.approx(1.2)
    assert fit["scale"].flag == "at bound"
    assert fit["scale"].stderr > 0
    assert not fit["scale"].fixed
    fit = fit_star(
        *noisy_pair, centre=CENTRE, radius_arcsec=3.0, parameters={"beta": ParameterSpec(max=2.0), "fwhm": ParameterSpec(min=0.3)}
    )
    assert fit["beta"].value == pytest.approx(2.0)
    assert fit["beta"].flag == "at bound"
    assert fit["fwhm"].flag == ""


def test_masked_pixels_are_left_out(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    # imphot sets them to 0 and keeps them
    reference, image = noisy_pair
    mask = np.zeros(image.shape, bool)
    mask[24:34, 33:38] = True
    spoilt = np.where(mask, 1e6, image.data)
    fit = fit_star(reference, replace(image, data=spoilt, mask=mask), centre=CENTRE, radius_arcsec=3.0)
    nan = fit_star(reference, replace(image, data=np.where(mask, np.nan, image.data)), centre=CENTRE, radius_arcsec=3.0)
    no_weight = replace(image, data=spoilt, variance=np.where(mask, -1.0, image.variance))
    bad_variance = fit_star(reference, no_weight, centre=CENTRE, radius_arcsec=3.0)
    assert values(fit).tolist() == values(nan).tolist() == values(bad_variance).tolist()
    full = fit_star(reference, image, centre=CENTRE, radius_arcsec=3.0)
    for name in PARAMETER_NAMES:
        assert abs(fit[name].value - full[name].value) < 2.5 * fit[name].stderr
        assert fit[name].stderr > full[name].stderr * 0.99
    assert any("50 pixels of the disc are masked" in note for note in fit.notes)


def test_star_near_the_edge(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    cut = [replace(f, data=f.data[28:, 20:], mask=f.mask[28:, 20:], variance=f.variance[28:, 20:]) for f in noisy_pair]
    fit = fit_star(*cut, centre=(2.0, 10.0), radius_arcsec=3.0)
    for name, true in TRUTH.items():
        assert abs(fit[name].value - true) < 4 * fit[name].stderr, name
    assert any("outside" in note for note in fit.notes)


@pytest.mark.parametrize("centre", [(-3.0, 30.0), (30.0, 61.0), (float("nan"), 30.0)])
def test_star_outside(pair: tuple[FitFrame, FitFrame], centre: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="outside image, which has 61 x 61 pixels"):
        fit_star(*pair, centre=centre, radius_arcsec=3.0)


def test_inside_test_is_by_its_own_axes() -> None:
    # imphot swaps the axes: a star in the right half of a wide image was refused
    reference, image = star_pair()
    wide = [replace(f, data=np.pad(f.data, ((0, 0), (40, 0))), mask=np.zeros((61, 101), bool)) for f in (reference, image)]
    assert fit_star(*wide, centre=(30.0, 70.0), radius_arcsec=3.0)["scale"].value == pytest.approx(0.95, rel=1e-3)


def test_everything_masked(pair: tuple[FitFrame, FitFrame]) -> None:
    with pytest.raises(SingularFitError, match="image: 0 usable pixels within 3 arcsec"):
        fit_star(pair[0], replace(pair[1], mask=np.ones((61, 61), bool)), centre=CENTRE, radius_arcsec=3.0)


def test_saturated_core(pair: tuple[FitFrame, FitFrame]) -> None:
    reference, image = noisy(pair[0], 0.02), noisy(pair[1], 0.15)
    clipped = replace(image, data=np.minimum(image.data, 15.0))
    fit = fit_star(reference, clipped, centre=CENTRE, radius_arcsec=3.0)
    assert fit.image.saturated
    assert not fit.reference.saturated
    assert any("share the highest value 15" in note or "saturated" in note for note in fit.notes)
    for name, true in TRUTH.items():  # the wings still hold the answer
        assert abs(fit[name].value - true) < 4 * fit[name].stderr, name
    mask = image.data > 15.0
    masked = fit_star(reference, replace(image, mask=mask), centre=CENTRE, radius_arcsec=3.0)
    assert masked.image.saturated
    assert any("masked pixels in the core" in note for note in masked.notes)


@pytest.mark.parametrize("method", ["window", "imphot"])
@pytest.mark.parametrize("seed", range(3))
def test_no_star_gives_no_nan(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [FitFrame(data=rng.normal(size=(41, 41)), mask=np.zeros((41, 41), bool)) for _ in range(2)]
    fit = fit_star(*frames, centre=(20.0, 20.0), radius_arcsec=3.0, method=method)  # type: ignore[arg-type]
    assert np.isfinite(values(fit)).all()
    assert any("no star found" in note for note in fit.notes)


def test_constant_images() -> None:
    frames = [FitFrame(data=np.full((41, 41), 3.0), mask=np.zeros((41, 41), bool)) for _ in range(2)]
    fit = fit_star(*frames, centre=(20.0, 20.0), radius_arcsec=3.0)
    assert np.isfinite(values(fit)).all()
    assert fit["fwhm"].flag == "not constrained"
    assert any("no star found" in note for note in fit.notes)


def test_giving_up_is_said(noisy_pair: tuple[FitFrame, FitFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(system: StarSystem, start: np.ndarray, **_: object) -> StarSolution:
        return solve_star(system, start, max_evaluations=2)

    monkeypatch.setattr("nbmosaic.core.psf.star_fit.solve_star", hasty)
    fit = fit_star(*noisy_pair, centre=CENTRE, radius_arcsec=3.0)
    assert not fit.converged
    assert "gave up" in fit.message
    assert {fit[name].flag for name in PARAMETER_NAMES} == {"not converged"}


def test_ellipse() -> None:
    reference, image = star_pair(ratio=0.8, angle=0.5)
    fit = fit_star(noisy(reference, 0.01), noisy(image, 0.05), centre=CENTRE, radius_arcsec=4.0, elliptical=True)
    for name, true in {"axis_ratio": 0.8, "angle": np.degrees(0.5), "fwhm": 0.62, "beta": 2.8}.items():
        estimate = fit.image[name]
        assert 0 < estimate.stderr < 0.1 * true
        assert abs(estimate.value - true) < 3.5 * estimate.stderr, name
    assert abs(fit["scale"].value - 0.95) < 3.5 * fit["scale"].stderr
    round_ = fit_star(noisy(reference, 0.01), noisy(image, 0.05), centre=CENTRE, radius_arcsec=4.0)
    assert round_.image.chisqr > fit.image.chisqr + 1000


def test_pixels_are_integrated_by_option() -> None:
    pair = star_pair(pixel=True)
    fit = fit_star(*pair, centre=CENTRE, radius_arcsec=4.0, integrate=True)
    for name, true in TRUTH.items():
        assert fit[name].value == pytest.approx(true, rel=2e-3, abs=5e-4), name
    effective = fit_star(*pair, centre=CENTRE, radius_arcsec=4.0)
    assert effective["fwhm"].value > 0.63


def test_start_far_away_and_neighbour_at_the_rim(noisy_pair: tuple[FitFrame, FitFrame]) -> None:
    reference, image = noisy_pair
    fit = fit_star(reference, image, centre=CENTRE, radius_arcsec=3.0)
    start = {"fwhm": ParameterSpec(value=2.5), "beta": ParameterSpec(value=40.0), "dx": ParameterSpec(value=0.8)}
    other = fit_star(reference, image, centre=CENTRE, radius_arcsec=3.0, parameters=start)
    np.testing.assert_allclose(values(other), values(fit), rtol=2e-4, atol=1e-6)
    displaced = fit_star(reference, image, centre=(33.0, 27.0), radius_arcsec=3.0)
    assert displaced["dx"].value == pytest.approx(fit["dx"].value, abs=2 * fit["dx"].stderr)


def test_inputs_are_not_changed_and_refusals_say_why(pair: tuple[FitFrame, FitFrame]) -> None:
    reference, image = pair
    before = image.data.copy(), reference.data.copy()
    fit_star(reference, image, centre=CENTRE, radius_arcsec=3.0)
    assert np.array_equal(image.data, before[0])
    assert np.array_equal(reference.data, before[1])
    with pytest.raises(ShapeError, match="one grid"):
        fit_star(reference, replace(image, data=image.data[1:], mask=image.mask[1:]), centre=CENTRE, radius_arcsec=3.0)
    with pytest.raises(ShapeError, match="arcsec"):
        fit_star(reference, replace(image, step_arcsec=(0.2, 0.3)), centre=CENTRE, radius_arcsec=3.0)
    with pytest.raises(ConfigError, match="not square"):
        fit_star(*(replace(f, step_arcsec=(0.2, 0.3)) for f in pair), centre=CENTRE, radius_arcsec=3.0)
    for wrong in (
        {"radius_arcsec": 0.0},
        {"method": "psf"},
        {"noise": "some"},
        {"hst_beta": 0.9},
        {"parameters": {"fwmh": ParameterSpec()}},
    ):
        with pytest.raises(ConfigError):
            fit_star(reference, image, **({"centre": CENTRE, "radius_arcsec": 3.0} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"value": None, "vary": False}, {"min": 2.0, "max": 1.0}, {"value": 5.0, "max": 1.0}, {"value": float("nan")}]
)
def test_parameter_without_meaning_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ParameterSpec(**wrong)  # type: ignore[arg-type]
