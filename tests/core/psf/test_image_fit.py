"""Image fits: what they do with bounds, offsets, masks, noise of another level, and input that cannot be fitted."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy import ndimage, optimize
from support.psf_sky import PsfField, Seeing, SkyImages

from nbmosaic.core.psf.image_fit import fit_image
from nbmosaic.core.psf.image_fit_plane import PlaneProblem, _all_known_near, reference_spectrum
from nbmosaic.core.psf.image_fit_solver import LinearBounds, _bounded_pair, solve_image_fit
from nbmosaic.core.psf.image_fit_spectrum import SpectrumProblem, flux_outside, shifted
from nbmosaic.errors import AlgorithmError, ConfigError, InputError, ShapeError
from nbmosaic.types.photometry import PARAMETER_NAMES, FitFrame, ImageFitResult, ParameterSpec

FIELD = PsfField(seed=21, n=96, stars=((0.4, 0.55, 600.0), (0.75, 0.2, 200.0)), margin=24)
METHODS = ("whitened", "imphot")
# imphot's form is biased by sources that its taper or its masks cut, and this field is small: its values are held by the goldens, here only roughly
LIMIT = {"whitened": 4.0, "imphot": 60.0}


@lru_cache(maxsize=2)
def sky(field: PsfField = FIELD) -> tuple[SkyImages, FitFrame, FitFrame]:
    images = SkyImages(field)
    return images, images.reference(1), images.image(2)


def pull(fit: ImageFitResult, name: str, seeing: Seeing = FIELD.seeing) -> float:
    return (fit[name].value - getattr(seeing, name)) / fit[name].stderr


def problems() -> list[PlaneProblem | SpectrumProblem]:
    _, reference, image = sky()
    spectrum = reference_spectrum(
        reference.data,
        reference.good,
        offset=(0, 0),
        shape=(96, 96),
        step_arcsec=(0.2, 0.2),
        margin_arcsec=2.0,
        hst_fwhm=0.085,
        hst_beta=1.6,
    )
    good = np.ones((96, 96), bool)
    good[10:20, 30:45] = False
    return [
        PlaneProblem(spectrum, image.data, good / 0.15),
        SpectrumProblem(reference.data, image.data, good, step_arcsec=(0.2, 0.2), margin_arcsec=2.0, taper=9, hst_fwhm=0.085, hst_beta=1.6),
    ]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("inverse_beta", [0.02, 0.36, 0.6])
def test_derivatives_of_the_model(which: int, inverse_beta: float) -> None:
    problem = problems()[which]
    x = np.array([0.11, -0.07, 0.65, inverse_beta])
    for i, derivative in enumerate(problem.derivatives(x, range(4))):
        h = np.zeros(4)
        h[i] = 1e-4
        slope = (problem.basis(x + h) - problem.basis(x - h)) / 2e-4
        assert np.abs(derivative - slope).max() < 3e-4 * np.abs(slope).max()


def test_minimum_is_that_of_a_slow_twin() -> None:
    """scipy's least_squares on all six parameters, numerical derivatives."""
    problem = problems()[0]
    inf = np.inf
    ours = solve_image_fit(
        problem,
        np.array([0.0, 0.0, 0.5, 0.3]),
        np.array([-inf, -inf, 0.01, 1e-3]),
        np.array([inf, inf, inf, 0.9]),
        LinearBounds(low=(0.0, -inf), high=(inf, inf)),
    )
    twin = optimize.least_squares(
        lambda p: p[0] * problem.basis(p[2:]) + p[1] * problem.level - problem.data,
        [0.8, 0.0, 0.0, 0.0, 0.5, 0.3],
        x_scale="jac",
        ftol=1e-14,
        xtol=1e-12,
    )
    sigma = np.sqrt(np.diag(np.linalg.inv(twin.jac.T @ twin.jac)))
    assert ours.converged
    assert np.all(np.abs(np.array([*ours.linear, *ours.x]) - twin.x) < 0.01 * sigma)
    assert ours.chisqr == pytest.approx(2.0 * twin.cost, rel=1e-8)


def test_linear_parameters_within_bounds_are_those_of_a_fine_search() -> None:
    rng = np.random.default_rng(7)
    grid = np.linspace(-1.0, 1.0, 401)
    for _ in range(60):
        a = rng.normal(size=(2, 5))
        matrix, target = a @ a.T, rng.normal(size=2) * 2.0
        low, high = np.sort(rng.choice(grid, (2, 2)), axis=0)
        (s, b), clamped = _bounded_pair(matrix, target, LinearBounds(low=tuple(low), high=tuple(high)))
        mesh = np.stack(np.meshgrid(grid[(grid >= low[0]) & (grid <= high[0])], grid[(grid >= low[1]) & (grid <= high[1])], indexing="ij"))
        cost = np.einsum("iab,ij,jab->ab", mesh, matrix, mesh) - 2.0 * np.tensordot(target, mesh, 1)
        here = np.array([s, b])
        assert here @ matrix @ here - 2.0 * target @ here <= cost.min() + 1e-9
        assert low[0] - 1e-12 <= s <= high[0] + 1e-12
        assert low[1] - 1e-12 <= b <= high[1] + 1e-12
        assert clamped[0] == (s in (low[0], high[0]))


@pytest.mark.parametrize("method", METHODS)
def test_truth_is_found(method: str) -> None:
    _, reference, image = sky()
    before = reference.data.copy(), image.data.copy()
    fit = fit_image(reference, image, method=method)
    assert fit.converged
    assert fit.noise_factor == 1.0
    assert all(abs(pull(fit, name)) < LIMIT[method] for name in PARAMETER_NAMES)
    assert np.allclose(np.sqrt(np.diag(fit.covariance)), [fit[name].stderr for name in PARAMETER_NAMES])
    assert np.all(np.linalg.eigvalsh(fit.correlation) > 0.0)
    assert np.array_equal(before[0], reference.data)
    assert np.array_equal(before[1], image.data, equal_nan=True)
    assert np.allclose(fit.residual, fit.image - fit.model, equal_nan=True)
    assert fit.image.shape == fit.good.shape == fit.sigma.shape
    ratio = (fit.residual / fit.sigma)[fit.good & (fit.sigma > 0.0)]
    assert 1.4826 * np.median(np.abs(ratio)) == pytest.approx(1.0, abs=0.05 if method == "whitened" else 0.4)
    if method == "whitened":
        assert fit.redchi == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / fit.n_data))


@pytest.mark.parametrize("method", METHODS)
def test_offsets_of_many_pixels_need_no_help(method: str) -> None:
    images, reference, _ = sky()
    seeing = replace(FIELD.seeing, dx=2.33, dy=-1.71)
    fit = fit_image(reference, images.image(3, seeing=seeing), method=method)
    assert abs(pull(fit, "dx", seeing)) < LIMIT[method]
    assert abs(pull(fit, "dy", seeing)) < LIMIT[method]
    assert fit.n_evaluations < 25


def test_whitened_pixels_beyond_the_moved_reference_are_left_out() -> None:
    images, reference, _ = sky()
    fit = fit_image(reference, images.image(3, seeing=replace(FIELD.seeing, dx=2.0, dy=0.0)))
    assert not fit.good[:, :14].any()
    assert fit.good[20:-20, 20:-8].all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fixed", [("beta",), ("scale", "bg"), ("dx", "dy"), ("fwhm", "beta"), PARAMETER_NAMES])
def test_fixed_parameters_stay(method: str, fixed: tuple[str, ...]) -> None:
    _, reference, image = sky()
    given = {name: ParameterSpec.at(getattr(FIELD.seeing, name)) for name in fixed}
    fit = fit_image(reference, image, method=method, parameters=given)
    free = fit_image(reference, image, method=method)
    for i, name in enumerate(PARAMETER_NAMES):
        if name in fixed:
            assert fit[name].fixed
            assert fit[name].value == pytest.approx(getattr(FIELD.seeing, name), rel=1e-14)
            assert fit[name].stderr == 0.0
            assert not fit.covariance[i].any()
        else:
            assert abs(pull(fit, name)) < LIMIT[method]
            assert fit[name].stderr <= 1.03 * free[name].stderr
    assert fit.n_free == 6 - len(fixed)


@pytest.mark.parametrize("method", METHODS)
def test_bounds_hold_and_are_flagged(method: str) -> None:
    _, reference, image = sky()
    bounds = {
        "scale": ParameterSpec(min=1.1),
        "bg": ParameterSpec(max=-0.2),
        "dx": ParameterSpec(min=0.2, max=0.4),
        "fwhm": ParameterSpec(max=0.5),
        "beta": ParameterSpec(min=4.0, max=8.0),
    }
    for name, spec in bounds.items():
        fit = fit_image(reference, image, method=method, parameters={name: spec})
        assert fit[name].value == pytest.approx(spec.min if name in {"scale", "dx", "beta"} else spec.max, rel=1e-9)
        assert "at bound" in fit[name].flag
        assert any(note.startswith(f"{name}: at bound") for note in fit.notes)
        assert not any(fit[other].flag for other in PARAMETER_NAMES if other != name)
    inside = fit_image(reference, image, method=method, parameters={"beta": ParameterSpec(value=3.0, min=1.5, max=6.0)})
    free = fit_image(reference, image, method=method)
    assert inside["beta"].value == pytest.approx(free["beta"].value, rel=2e-3)
    assert not inside["beta"].flag


def test_a_gaussian_has_a_beta_that_is_not_constrained_from_above() -> None:
    images, reference, _ = sky()
    fit = fit_image(reference, images.image(5, seeing=replace(FIELD.seeing, beta=1e4)))
    assert fit.converged
    assert fit["beta"].value > 5.0
    assert "not constrained" in fit["beta"].flag or fit["beta"].stderr > 0.1 * fit["beta"].value
    assert abs(pull(fit, "fwhm")) < 4.0


@pytest.mark.parametrize("method", METHODS)
def test_noise_alone_constrains_nothing(method: str) -> None:
    _, reference, image = sky()
    noise = replace(image, data=np.random.default_rng(3).normal(0.0, 0.15, image.shape))
    fit = fit_image(reference, noise, method=method)
    assert all("not constrained" in fit[name].flag for name in ("dx", "dy", "fwhm", "beta") if "bound" not in fit[name].flag)
    assert np.isinf(fit["dx"].stderr)
    assert abs(fit["bg"].value) < 5.0 * fit["bg"].stderr


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_variance_plane_is_seen(method: str) -> None:
    _, reference, image = sky()
    right = fit_image(reference, image, method=method)
    wrong = fit_image(reference, replace(image, variance=image.variance / 9.0), method=method)
    rel = 0.06 if method == "whitened" else 0.2  # what is not fitted well counts too
    assert wrong.noise_factor == pytest.approx(3.0, rel=rel)
    assert wrong["fwhm"].stderr == pytest.approx(right["fwhm"].stderr, rel=rel)
    assert any("times that of the variance plane" in note for note in wrong.notes)
    kept = fit_image(reference, replace(image, variance=image.variance / 9.0), method=method, noise="variance")
    assert kept.noise_factor == 1.0
    assert kept["fwhm"].stderr == pytest.approx(
        right["fwhm"].stderr / 3.0, rel=0.1
    )  # unknown light weighs more where the noise is thought small
    none = fit_image(reference, replace(image, variance=None), method=method)
    assert none.noise_factor == pytest.approx(0.15, rel=rel)
    assert none["fwhm"].stderr == pytest.approx(right["fwhm"].stderr, rel=rel)
    assert any("no variance was given" in note for note in none.notes)


def test_correlated_noise_is_seen() -> None:
    images, reference, image = sky()
    noise = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=image.shape), 0.6, mode="wrap")
    noise *= 0.15 / noise.std()
    fit = fit_image(reference, replace(image, data=images.clean_image() + noise))
    assert any("correlated" in note for note in fit.notes)
    assert fit["bg"].stderr > 1.5 * fit_image(reference, image)["bg"].stderr


def test_background_of_the_reference_goes_into_that_of_the_image() -> None:
    _, reference, image = sky()
    plain = fit_image(reference, image)
    lifted = fit_image(replace(reference, data=reference.data + 3.0), image)
    assert lifted["bg"].value + 3.0 * lifted["scale"].value == pytest.approx(plain["bg"].value, abs=0.3 * plain["bg"].stderr)
    assert lifted["fwhm"].value == pytest.approx(plain["fwhm"].value, abs=0.3 * plain["fwhm"].stderr)


def test_rotation_and_plate_scale() -> None:
    images, reference, image = sky()
    seeing = replace(FIELD.seeing, rotation_deg=0.08, pixel_scale_factor=1.0012)
    clean = images.clean_image(seeing)
    pulls = []
    for seed in range(12):
        fit = fit_image(images.reference(seed), images.image(100 + seed, clean=clean), linear_map=True, noise="variance")
        pulls.append([pull(fit, name, seeing) for name in (*PARAMETER_NAMES, "rotation_deg", "pixel_scale_factor")])
        assert fit["rotation_deg"].value > 5.0 * fit["rotation_deg"].stderr
    pulls = np.array(pulls)
    assert np.all(np.abs(pulls.mean(axis=0)) < 1.1), pulls.mean(axis=0)
    assert np.all(np.sqrt((pulls**2).mean(axis=0)) < 1.7)
    plain, with_map = (fit_image(reference, images.image(200, clean=clean), noise="variance", linear_map=m) for m in (False, True))
    assert with_map.chisqr < plain.chisqr - 20.0
    assert with_map.n_free == plain.n_free + 2
    none = fit_image(reference, image, linear_map=True)
    assert abs(none["rotation_deg"].value) < 4.0 * none["rotation_deg"].stderr
    assert all(none[name].stderr >= 0.999 * fit_image(reference, image)[name].stderr for name in PARAMETER_NAMES)
    far = fit_image(reference, images.image(5, seeing=replace(FIELD.seeing, rotation_deg=1.0)), linear_map=True)
    assert any("regrid the reference" in note for note in far.notes)
    with pytest.raises(ConfigError, match="whitened form only"):
        fit_image(reference, image, method="imphot", linear_map=True)


def test_an_undersampled_image_is_said_to_be_one() -> None:
    images, reference, image = sky()
    sharp = fit_image(reference, images.image(4, seeing=replace(FIELD.seeing, fwhm=0.38)))
    assert any("below 2.25 pixels" in note for note in sharp.notes)
    assert abs(sharp["fwhm"].value - 0.38) < 0.01
    assert not fit_image(reference, image).notes


def test_masked_sky_moves_with_the_sky() -> None:
    images, reference, _ = sky()
    seeing = replace(FIELD.seeing, dx=1.0, dy=0.0)
    stars = images.star_mask(8.0)
    fit = fit_image(reference, images.image(6, seeing=seeing), sky_mask=stars)
    moved = shifted(stars, (0, 5), fill=False)
    assert not fit.good[moved].any()
    assert fit.good[20:-20, 20:-20][~moved[20:-20, 20:-20]].all()


def test_a_star_that_moved_is_taken_out_by_the_mask() -> None:
    images, reference, image = sky()
    other = SkyImages(replace(FIELD, stars=((0.42, 0.55, 600.0), (0.75, 0.2, 200.0))))
    moved = replace(image, data=other.clean_image() + np.random.default_rng(8).normal(0.0, 0.15, image.shape))
    assert abs(pull(fit_image(reference, moved), "dx")) > 20.0
    fit = fit_image(reference, moved, sky_mask=images.star_mask(15.0) | other.star_mask(15.0))
    assert all(abs(pull(fit, name)) < 4.0 for name in PARAMETER_NAMES)


def test_holes_of_the_reference_are_kept_away_from() -> None:
    _, reference, image = sky()
    data, mask = reference.data.copy(), reference.mask.copy()
    data[50:56, 36:42] = np.nan  # the core of the brighter star
    mask[50:56, 36:42] = True
    fit = fit_image(replace(reference, data=data, mask=mask), image)
    assert not fit.good[46:60, 32:46].any()
    assert all(abs(pull(fit, name)) < 4.0 for name in PARAMETER_NAMES)


@pytest.mark.parametrize("method", METHODS)
def test_nan_that_no_mask_knows_is_left_out(method: str) -> None:
    _, reference, image = sky()
    data = image.data.copy()
    data[40:44, 60:70] = np.nan
    variance = image.variance.copy()
    variance[70, 70:73] = 0.0
    fit = fit_image(reference, replace(image, data=data, variance=variance), method=method)
    assert all(abs(pull(fit, name)) < LIMIT[method] for name in PARAMETER_NAMES)
    assert any(note.startswith("3 pixels without a positive variance") for note in fit.notes)


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_fitted_is_said_in_a_line(method: str) -> None:
    _, reference, image = sky()
    everything = np.ones(image.shape, bool)

    def refused(error: type[Exception], words: str, r: FitFrame = reference, i: FitFrame = image, **options: object) -> None:
        with pytest.raises(error, match=words) as caught:
            fit_image(r, i, method=method, **options)
        assert "\n" not in str(caught.value)

    refused(AlgorithmError, "every pixel of the image image is masked", i=replace(image, mask=everything))
    refused(AlgorithmError, "is masked", sky_mask=everything)
    refused(AlgorithmError, "every pixel of the reference is masked", r=replace(reference, mask=everything))
    refused(AlgorithmError, "is constant", i=replace(image, data=np.full(image.shape, 2.0)))
    refused(AlgorithmError, "reference is constant", r=replace(reference, data=np.zeros(image.shape)))
    refused(ShapeError, "does not cover", r=replace(reference, data=reference.data[:-2], mask=reference.mask[:-2]))
    refused(ShapeError, "does not cover", reference_offset=(1, 0))
    refused(ShapeError, "arcsec", r=replace(reference, step_arcsec=(0.03, 0.03)))
    refused(ShapeError, "sky mask", sky_mask=everything[:5])
    refused(ShapeError, "variance", i=replace(image, variance=np.ones((3, 3))))
    refused(ConfigError, "negative", margin_arcsec=-1.0)
    refused(ConfigError, "noise", noise="guess")
    few = everything.copy()
    few[40:44, 40:43] = False
    refused(AlgorithmError, "pixels are left to compare", i=replace(image, mask=few))


def test_other_refusals() -> None:
    _, reference, image = sky()
    with pytest.raises(ConfigError, match="no method"):
        fit_image(reference, image, method="best")
    with pytest.raises(InputError, match="larger than the image"):
        fit_image(reference, image, method="imphot", parameters={"dx": ParameterSpec(value=100.0)})


def test_flux_outside_of_a_box_is_that_of_a_sum() -> None:
    step, half = 0.02, (2.0, 3.0)
    y, x = ((np.arange(-h, h, step) + step / 2) for h in half)
    r2 = (y * y)[:, None] + x * x
    a2 = (0.3 / np.sqrt(2 ** (1 / 1.8) - 1)) ** 2
    inside = ((0.8 / np.pi / a2) * (1 + r2 / a2) ** -1.8).sum() * step**2
    assert flux_outside(0.6, 1.8, half) == pytest.approx(1.0 - inside, rel=1e-3)


def test_shifted_is_a_roll_without_wrap() -> None:
    a = np.arange(12.0).reshape(3, 4)
    for shift in ((0, 0), (1, -2), (-2, 3), (5, 0), (0, -9)):
        twin = np.full((3, 4), -1.0)
        for y in range(3):
            for x in range(4):
                if 0 <= y - shift[0] < 3 and 0 <= x - shift[1] < 4:
                    twin[y, x] = a[y - shift[0], x - shift[1]]
        assert np.array_equal(shifted(a, shift, fill=-1.0), twin)


def test_the_reach_of_a_rectangle_is_that_of_any_mask() -> None:
    """Sky known in a rectangle, with and without a hole, against the plain definition: every pixel of the box is known."""
    rng = np.random.default_rng(4)
    for hole in (False, True):
        known = np.zeros((30, 40), bool)
        known[3:27, 5:31] = True
        known[12:14, 20] = not hole
        found = _all_known_near(known, (2, 4))
        for y, x in rng.integers([0, 0], [30, 40], (200, 2)).tolist():
            assert found[y, x] == known[max(y - 2, 0) : y + 3, max(x - 4, 0) : x + 5].all()
