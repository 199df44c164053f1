"""Fits by hand: models, chi squared, stars, the fit, code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import fft
from support.psf_files import FIELD, PsfFiles, sky_image, star_place
from support.psf_sky import Seeing

import nbmosaic
from nbmosaic.core.psf.fourier_window import fourier_grid, reference_response
from nbmosaic.core.psf.moffat import moffat_transfer
from nbmosaic.errors import AlgorithmError, ConfigError, InputError
from nbmosaic.pipeline.psf_trial.open import try_psf
from nbmosaic.pipeline.psf_trial.ranges import trial_ranges
from nbmosaic.pipeline.psf_trial.trial import PsfTrial

TRUTH = {"scale": 0.95, "bg": 0.05, "dx": 0.07, "dy": -0.05, "fwhm": 0.6, "beta": 2.8}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return PsfFiles.write(tmp_path_factory.mktemp("psf"))


@pytest.fixture(scope="module")
def trial(files) -> PsfTrial:
    return try_psf(files.path("wide"), files.images[0])


@pytest.fixture(scope="module")
def fitted(trial) -> PsfTrial:
    return trial.run_fit()


def test_it_begins_near_the_truth(trial):
    assert trial.fwhm == pytest.approx(TRUTH["fwhm"], abs=0.05)
    assert (trial.dx, trial.dy) == pytest.approx((TRUTH["dx"], TRUTH["dy"]), abs=0.02)
    assert trial.facts.redchi == pytest.approx(1.0, abs=0.1)
    assert trial.last_fit is None
    assert not trial.is_fitted


def test_the_model_is_the_truth_where_the_values_are(files):
    sky = files.sky
    clean = sky_image(sky.image(clean=sky.clean_image(Seeing(**TRUTH))), name="clean")
    trial = try_psf(sky_image(sky.reference(margin=15), margin=15), clean).change(**TRUTH)
    peak = float(np.nanmax(trial.image))
    inner = trial.residual[12:-12, 12:-12]
    assert float(np.abs(inner).max()) < 1e-3 * peak
    assert float(np.median(np.abs(inner))) < 1e-4 * peak
    assert trial.change(fwhm=0.65).facts.chisqr > 100 * trial.facts.chisqr
    wrong = trial.change(dx=TRUTH["dx"] + 0.2)
    np.testing.assert_allclose(wrong.model[12:-12, 13:-12], trial.model[12:-12, 12:-13], atol=5e-3 * peak)  # 0.2 arcsec are a pixel


def test_the_model_against_a_plain_transform(files):
    """All frequencies by the closed form, the reference continued by nothing: the same far from the edges."""
    reference = files.sky.reference(seed=1)
    trial = try_psf(sky_image(reference), files.images[0]).change(**TRUTH)
    grid = fourier_grid(reference.data.shape, (0.2, 0.2))
    used = grid.f < 0.9
    response = reference_response(grid.k, grid.f, hst_fwhm=0.085, hst_beta=1.6)
    transfer = np.where(used, moffat_transfer(grid.k, fwhm=0.6, beta=2.8) / np.where(used, response, 1.0), 0.0)
    turn = np.exp(-2j * np.pi * (grid.kx * TRUTH["dx"] + grid.ky[:, None] * TRUTH["dy"]))
    twin = 0.95 * fft.irfft2(fft.rfft2(reference.data) * transfer * turn, s=reference.data.shape) + 0.05
    inner = np.s_[15:-15, 15:-15]
    np.testing.assert_allclose(trial.model[inner], twin[inner], atol=0.01 * float(twin.max()))


def test_values_of_the_fit_give_its_model(fitted):
    result = fitted.last_fit.result
    assert fitted.is_fitted
    # the fit leaves sources out that have less than 0.3 sigma beyond Nyquist's frequency
    difference = np.abs(fitted.model - result.model) / fitted.sigma
    assert float(difference.max()) < 0.3
    assert float(np.median(difference)) < 1e-3
    assert fitted.facts.rms == pytest.approx(result.rms_error, rel=0.02)  # pixels differ a little
    assert not fitted.change(fwhm=0.7).is_fitted
    assert fitted.change(fwhm=0.7).last_fit is fitted.last_fit


def test_chi_squared_is_that_of_the_same_pixels_for_all_values(fitted):
    other = fitted.change(dx=fitted.dx + 0.5, fwhm=1.2)
    assert other.facts.n_pixels == fitted.facts.n_pixels
    used = fitted.good
    slow = sum(float(r / s) ** 2 for r, s in zip(fitted.residual[used], fitted.sigma[used], strict=True))
    assert fitted.facts.chisqr == pytest.approx(slow)
    assert other.facts.chisqr > fitted.facts.chisqr


def test_best_scale_is_the_minimum(trial):
    best = trial.change(scale=0.3, bg=1.0, fwhm=0.8).with_best_scale()
    for step in ({"scale": best.scale + 1e-3}, {"scale": best.scale - 1e-3}, {"bg": best.bg + 1e-3}, {"bg": best.bg - 1e-3}):
        assert best.change(**step).facts.chisqr > best.facts.chisqr
    kept = trial.change(scale=0.5).fix("scale").with_best_scale()
    assert kept.scale == 0.5
    assert kept.bg != trial.bg
    with pytest.raises(ConfigError, match="scale and bg are fixed"):
        kept.fix("bg").with_best_scale()


def test_a_trial_stays_as_it_is(trial):
    before = trial.values, trial.model.copy()
    trial.change(fwhm=1.0).model[:] = 0.0
    trial.run_fit()
    assert trial.values == before[0]
    np.testing.assert_array_equal(trial.model, before[1])


def test_fixed_parameters_stay_in_the_fit(trial):
    done = trial.change(beta=2.5).fix("beta", "bg").run_fit()
    assert done.beta == 2.5
    assert done.bg == trial.bg
    assert done.last_fit.beta.fixed
    assert done.free("beta").fixed == {"bg"}
    assert done.free("beta", "bg").run_fit(from_here=True).fwhm == pytest.approx(trial.run_fit().fwhm, abs=1e-3)


@pytest.mark.parametrize("how", ["image", "image, imphot", "star", "star, imphot"])
def test_every_fit_gives_values_that_describe_the_image(trial, how):
    done = trial.pick(0).change(how=how).run_fit()
    assert done.last_fit.result.method in {"whitened", "imphot", "window"}
    assert done.fwhm == pytest.approx(0.6, abs=0.02)
    # imphot's scale of a star is some percent too large, which its background cannot mend
    assert done.facts.redchi == pytest.approx(1.0, abs=0.15) if how != "star, imphot" else done.facts.redchi < 20
    assert done.good.sum() == (314 if "star" in how else trial.good.sum()) or "star" in how


def test_a_trial_of_a_fit_begins_with_it(files):
    fit = nbmosaic.fit_image_photometry(files.path("wide"), files.images[1], fix_beta=2.9, notstar=star_place(1))
    trial = try_psf(fit)
    assert trial.is_fitted
    assert trial.fixed == {"beta"}
    assert trial.area == "notstar"
    assert trial.star.radius == 2.0
    assert trial.run_fit().values == pytest.approx(trial.values, rel=1e-6)
    slim = try_psf(fit.without_pictures())
    np.testing.assert_allclose(slim.model, trial.model)


def test_stars_are_picked_in_four_ways(trial):
    assert len(trial.candidates) == 2
    assert trial.candidate_labels()[0][0].startswith("1: x ")
    first = trial.pick(0)
    assert first.picked == 0
    ra, dec, _ = star_place()
    assert (first.star.ra, first.star.dec) == pytest.approx((ra, dec), abs=3e-6)
    assert trial.pick(f"{ra} {dec}", radius=1.5).star.radius == 1.5
    assert trial.pick((ra, dec, 3.0)).star.radius == 3.0
    y, x = trial.candidates[1].y, trial.candidates[1].x
    at = trial.pick_at((x + 1.5) / FIELD.n, 1.0 - (y - 0.5) / FIELD.n)
    assert at.picked == 1
    away = trial.pick_at(0.5, 0.25)
    assert away.picked is None
    assert trial.pixel(away.star) == pytest.approx((39.5, 59.5), abs=0.01)
    assert first.pick_next().picked == 1
    assert first.pick_next(-1).picked == 1
    assert trial.pick_next().picked == 0


def test_what_is_wrong_is_said(trial, files):
    for call, words in [
        (lambda: trial.change(fwhm=-1), "fwhm is given as -1"),
        (lambda: trial.change(beta=0.9), "beta is given as 0.9"),
        (lambda: trial.change(dx=np.nan), "the value of a parameter is nan"),
        (lambda: trial.change(seeing=1), "seeing cannot be changed"),
        (lambda: trial.fix("fwmh"), "fwmh"),
        (lambda: trial.change(how="galaxy"), "galaxy"),
        (lambda: trial.change(area="star"), "needs a star"),
        (lambda: trial.change(how="star"), "needs a star"),
        (lambda: try_psf(files.path("ref")), "there is no image"),
        (lambda: try_psf(files.path("ref"), files.images[0], marign=3), "marign is no option"),
    ]:
        with pytest.raises(ConfigError, match=words):
            call()
    with pytest.raises(InputError, match="not on the image"):
        trial.pick((10.0, 10.0, 2.0))
    with pytest.raises(InputError, match="there is no candidate 7"):
        trial.pick(7)
    with pytest.raises(AlgorithmError, match="no pixel is left"):
        _ = trial.pick(trial.position(40, 40), radius=60).change(area="notstar").good


def test_a_typo_of_a_fixed_parameter_is_not_passed_over(files):
    with pytest.raises(ConfigError, match="fix_fwmh is no option"):
        try_psf(files.path("ref"), files.images[0], fix_fwmh=1.0)


def test_begin_and_method_are_taken_from_the_options(files):
    trial = try_psf(files.path("ref"), files.images[0], init_dx=0.4, start={"fwhm": 0.9}, method="imphot", fix_scale=0.9)
    assert (trial.dx, trial.fwhm, trial.scale, trial.how) == (0.4, 0.9, 0.9, "image, imphot")
    with pytest.raises(ConfigError, match="method"):
        try_psf(files.path("ref"), files.images[0], method="whitend")


def test_without_variance_the_scatter_stands_for_it(files):
    image = sky_image(replace(files.sky.image(seed=10), variance=None), name="plain")
    trial = try_psf(files.path("ref"), image)
    assert float(np.median(trial.sigma)) == pytest.approx(FIELD.sigma, rel=0.05)
    assert trial.facts.redchi == pytest.approx(1.0, abs=0.15)


def test_code_and_line_do_the_same(trial, files, monkeypatch):
    kept = trial.change(beta=2.75).fix("beta").pick(0).change(area="notstar")
    names = {}
    exec(kept.code(), names)
    assert names["fit"].fwhm.value == pytest.approx(kept.run_fit().fwhm, rel=1e-9)
    from support.shell import new_shell

    with new_shell() as shell:
        shell.run_cell("%load_ext nbmosaic").raise_error()
        shell.run_cell(kept.line()).raise_error()
        assert shell.user_ns["fit"].fwhm.value == pytest.approx(names["fit"].fwhm.value, rel=1e-9)
    assert "fix_beta=2.75" in kept.code()
    memory = try_psf(sky_image(files.sky.reference(seed=1)), sky_image(files.sky.image(seed=10)))
    assert memory.line() == "fit = %psf image {reference} {image}"
    assert "fit_image_photometry(reference, image)" in memory.code()


def test_a_name_with_blanks_is_one_word_of_the_line(trial, files):
    place = Path(files.images[0])
    spaced = place.with_name("a b {c}.fits")
    spaced.write_bytes(place.read_bytes())
    assert try_psf(files.path("ref"), str(spaced)).line().endswith('a b {{c}}.fits"')


def test_pictures_and_words(fitted):
    for kind in ("image", "model", "residual", "profile", "all"):
        picture = fitted.picture(kind)
        assert picture.png[:4] == b"\x89PNG"
        assert picture.alt
    assert fitted.picture("residual").png != fitted.change(fwhm=0.8).picture("residual").png
    assert fitted.picture("image").png == fitted.change(fwhm=0.8).picture("image").png
    assert fitted.picture("image").png != fitted.pick(0).picture("image").png
    assert "fit of night_1 against wide: fwhm 0." in fitted.words
    assert "trial of night_1" in fitted.change(fwhm=0.8).words
    assert "night_1" in fitted._repr_html_()
    with pytest.raises(ConfigError, match="kind"):
        fitted.picture("phase")


@pytest.mark.parametrize("values", [{}, {"beta": 40.0}, {"fwhm": 0.05, "scale": -0.3}, {"dx": 3.21, "dy": -7.6}])
def test_ranges_hold_the_values(trial, values):
    moved = trial.change(**values)
    for name, one in trial_ranges(trial).items():
        value = getattr(moved, name)
        ends = one.holding(value)
        assert ends.low <= value <= ends.high
        assert ends.holding(one.low) == ends
        assert 200 < (one.high - one.low) / one.step < 2000
        assert one.same(value, value + 1e-9)
        assert not one.same(value, value + one.step)
