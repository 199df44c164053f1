"""Figures of photometric fits: units, words, odd results, the user's axes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from nbmosaic.types.fit_pictures import RadialProfile, ResidualSpectrum
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ImageFitResult, MisfitSource, ProfileFit, StarFitResult
from nbmosaic.types.wavelength_psf import WavelengthPsf
from nbmosaic.views.figures import figure_png
from nbmosaic.views.psf_alt_text import alt_text_batch, alt_text_image_fit, alt_text_star_fit, alt_text_wavelength_psf, estimate_text
from nbmosaic.views.psf_figures import plot_covariance, plot_fwhm_by_file, plot_image_fit, plot_star_fit, plot_wavelength_psf
from nbmosaic.views.psf_panels import (
    plot_ellipse,
    plot_fit_panel,
    plot_source_profile,
    plot_spectrum,
    plot_star_profile,
    plot_star_residual,
)

UNIT = "1e-20 erg"
VALUES = {"scale": 0.95, "bg": 0.05, "dx": 0.07, "dy": -0.05, "fwhm": 0.6, "beta": 2.8}
COVARIANCE = np.diag([1e-4, 1e-6, 1e-6, 1e-6, 4e-6, 1e-2])


def image_result(shape=(40, 50), **changes) -> ImageFitResult:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: shape[0], : shape[1]]
    model = 9.0 * np.exp(-((x - 22.0) ** 2 + (y - 18.0) ** 2) / 8.0)
    residual = rng.normal(0.0, 0.2, shape)
    good = np.ones(shape, bool)
    good[:3] = False
    estimates = {n: Estimate(value=v, stderr=float(np.sqrt(s))) for (n, v), s in zip(VALUES.items(), np.diag(COVARIANCE), strict=True)}
    result = ImageFitResult(
        method="whitened",
        parameters=estimates,
        covariance=COVARIANCE,
        chisqr=1.0,
        redchi=1.0,
        n_data=10,
        n_free=6,
        n_evaluations=3,
        noise_factor=1.0,
        rms_error=0.2,
        image=model + residual,
        model=model,
        residual=residual,
        good=good,
        sigma=np.full(shape, 0.2),
        origin=(5, 7),
        name="night",
        reference_name="hst",
        unit=UNIT,
    )
    return replace(result, **changes)


def profile_of(result) -> RadialProfile:
    radius = np.linspace(0, 2, 30)
    return RadialProfile((18.0, 22.0), radius, np.exp(-radius), np.exp(-radius), radius, np.exp(-radius))


SPECTRUM = ResidualSpectrum(np.linspace(0.1, 2.5, 20), np.linspace(50, 1, 20), np.ones(20))


def star_result(**changes) -> StarFitResult:
    radius = np.linspace(0, 2, 60)
    curve = 10 * np.exp(-(radius**2))
    rng = np.random.default_rng(1)
    names = ("flux", "bg", "dx", "dy", "fwhm", "beta")
    profile = ProfileFit(
        parameters={n: Estimate(value=1.5, stderr=0.1) for n in names},
        names=names,
        covariance=np.eye(6) * 0.01,
        chisqr=60.0,
        redchi=1.0,
        n_data=60,
        n_free=6,
        n_evaluations=4,
        noise_factor=1.0,
        rms_error=0.1,
        radius=radius,
        pixels=curve + rng.normal(0, 0.1, 60),
        model=curve,
        sigma=np.full(60, 0.1),
        curve_radius=radius,
        curve=curve,
    )
    result = StarFitResult(
        method="window",
        parameters=image_result().parameters,
        covariance=COVARIANCE,
        image=profile,
        reference=replace(profile, saturated=True),
        joint_names=(),
        joint_covariance=np.zeros((0, 0)),
        centre=(10.0, 10.0),
        radius_arcsec=2.0,
        unit=UNIT,
        name="night",
        reference_name="hst",
    )
    return replace(result, **changes)


def psf_of(n=8) -> WavelengthPsf:
    at = np.linspace(5000, 9000, n)
    used = np.ones(n, bool)
    used[1] = False
    fwhm = np.full(n, 0.6)
    fwhm[1] = np.nan
    zero = np.array([0.0, 0.6])
    return WavelengthPsf(
        fwhm_coefficients=zero,
        beta_coefficients=np.array([2.8]),
        covariance=np.eye(3) * 1e-5,
        reference_range=(5000.0, 9000.0),
        wavelength=at,
        fwhm=fwhm,
        beta=np.full(n, 2.8),
        fwhm_stderr=np.full(n, 0.01),
        beta_stderr=np.full(n, 0.1),
        used=used,
        chisqr=7.0,
        redchi=1.0,
        n_data=14,
        n_free=3,
        noise_factor=1.0,
    )


def labels(axes):
    return [axes.get_xlabel(), axes.get_ylabel()]


def test_an_image_fit_has_six_panels_with_units():
    panels = plot_image_fit(image_result(), profile_of(None), SPECTRUM)
    assert len(panels) == 6
    assert [panel.get_title() for panel in panels[:3]] == ["image", "model", "residual / sigma"]
    assert [labels(panel) for panel in panels[:3]] == [["x [pix]", "y [pix]"]] * 3
    assert labels(panels[3]) == ["radius [arcsec]", f"above background [{UNIT}]"]
    assert labels(panels[4]) == ["spatial frequency [1/arcsec]", "power [noise = 1]"]
    assert labels(panels[5]) == ["fwhm [arcsec]", "beta"]
    # pixels of the frame that was given, not of the part that was used; pixels that took no part are blank
    assert panels[0].images[0].get_extent() == [6.5, 56.5, 4.5, 44.5]
    assert panels[0].images[0].get_array().mask[:3].all()
    assert panels[2].images[0].get_clim() == (-5.0, 5.0)
    assert np.asarray(panels[2].images[0].get_array())[10, 10] == pytest.approx(image_result().residual[10, 10] / 0.2)
    bars = [axes.get_ylabel() for axes in panels[0].figure.axes if axes not in panels]
    assert bars == [f"[{UNIT}]", f"[{UNIT}]", "[sigma]"]
    title = panels[0].figure.get_suptitle()
    assert "night against hst" in title
    assert "fwhm 0.6000 +- 0.0020 arcsec" in title


def test_without_sigma_the_residual_keeps_its_unit():
    axes = plot_fit_panel(image_result(sigma=None))
    assert axes.get_title() == "residual"
    assert axes.images[0].get_clim()[1] == pytest.approx(5 * 0.2, rel=0.1)


@pytest.mark.parametrize("free", [("fwhm", "scale"), ("scale",), ()])
def test_fixed_parameters_have_no_errors_to_draw(free):
    parameters = {
        name: one if name in free else Estimate(value=one.value, stderr=0.0, fixed=True) for name, one in image_result().parameters.items()
    }
    keep = np.array([name in free for name in PARAMETER_NAMES])
    result = image_result(parameters=parameters, covariance=np.where(np.outer(keep, keep), COVARIANCE, 0.0))
    last = plot_image_fit(result, profile_of(None), SPECTRUM)[5]
    if len(free) == 2:
        assert set(labels(last)) == {"fwhm [arcsec]", "scale"}
    else:
        assert "fewer than two" in last.texts[0].get_text()
    assert figure_png(last, 300)[:4] == b"\x89PNG"


def test_sources_left_out_are_circled():
    source = MisfitSource(
        y=18.0,
        x=22.0,
        kind="moved",
        peak_sigma=9.0,
        flux_ratio=1.0,
        shift_arcsec=(0.1, 0.0),
        shift_sigma=8.0,
        n_pixels=9,
        radius_arcsec=1.0,
    )
    panels = plot_image_fit(image_result(), profile_of(None), SPECTRUM, sources=[source])
    assert [len(panel.patches) for panel in panels[:3]] == [1, 0, 1]
    assert panels[0].patches[0].width == pytest.approx(10.0)
    assert panels[0].texts[0].get_text() == "1 moved"


def test_a_star_fit_has_profiles_and_residuals():
    panels = plot_star_fit(star_result())
    assert [panel.get_title() for panel in panels[:2]] == ["night", "hst"]
    assert panels[0].get_ylabel() == f"pixel value [{UNIT}]"
    assert [labels(panel) for panel in panels[2:]] == [["radius [arcsec]", "residual [sigma]"]] * 2
    assert "core looks saturated" in panels[1].texts[0].get_text()
    assert "saturated" not in panels[0].texts[0].get_text()
    shown = panels[2].lines[-1].get_ydata()
    assert shown == pytest.approx(star_result().image.residual / 0.1)


def test_ellipses_hold_what_they_say():
    rng = np.random.default_rng(2)
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    axes = plot_ellipse((1.0, 2.0), covariance, names=("a", "b"), units=("arcsec", ""))
    points = rng.multivariate_normal([1.0, 2.0], covariance, 20_000)
    from matplotlib.path import Path

    for line, part in zip(axes.lines[:2], (0.683, 0.954), strict=True):
        inside = Path(np.column_stack(line.get_data())).contains_points(points)
        assert inside.mean() == pytest.approx(part, abs=0.01)
    assert labels(axes) == ["a [arcsec]", "b"]


def test_covariance_of_all_parameters():
    names = list(PARAMETER_NAMES)
    panels = plot_covariance(list(VALUES.values()), COVARIANCE, names=names, units=["", UNIT, "arcsec", "arcsec", "arcsec", ""])
    assert len(panels) == 15
    assert "arcsec" in panels[-1].get_xlabel()
    assert len(plot_covariance([1.0], np.eye(1), names=["a"])) == 1


def test_fwhm_by_file():
    values = [
        Estimate(value=0.6, stderr=0.01),
        Estimate(value=0.7, stderr=np.inf, flag="not constrained"),
        Estimate(value=0.8, stderr=0.02),
    ]
    axes = plot_fwhm_by_file(["n_1.fits", "n_2.fits", "n_3.fits"], [("image", values), ("stars", values)], failed=["n_4.fits"])
    assert labels(axes) == ["file", "fwhm [arcsec]"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3", "4"]
    assert set(axes.get_legend_handles_labels()[1]) == {"image fit", "image fit, flagged", "star fit", "star fit, flagged", "failed"}
    assert plot_fwhm_by_file([], [], failed=["a"]) is not None
    assert plot_fwhm_by_file([], []) is not None
    many = [f"f_{i:03d}" for i in range(200)]
    crowd = plot_fwhm_by_file(many, [("image", [values[0]] * 200)])
    assert len(crowd.get_xticks()) <= 40


def test_wavelength():
    top, bottom = plot_wavelength_psf(psf_of())
    assert top.get_ylabel() == "fwhm [arcsec]"
    assert labels(bottom) == ["wavelength [angstrom]", "beta"]
    assert figure_png((top, bottom), 400)[:4] == b"\x89PNG"


def test_the_users_axes_are_used():
    figure = Figure()
    axes = figure.add_subplot()
    result, star = image_result(), star_result()
    drawn = [
        plot_fit_panel(result, "image", ax=axes),
        plot_source_profile(profile_of(result), fwhm=0.6, ax=axes),
        plot_ellipse((0.0, 0.0), np.eye(2), names=("a", "b"), ax=axes),
        plot_star_profile(star.image, ax=axes),
        plot_star_residual(star.image, ax=axes),
        plot_fwhm_by_file(["a"], [("image", [Estimate(value=1.0, stderr=0.1)])], ax=axes),
        plot_spectrum(SPECTRUM, ax=axes),
    ]
    assert all(one is axes for one in drawn)
    mine = Figure()
    for panels in (
        plot_image_fit(result, profile_of(result), SPECTRUM, figure=mine),
        plot_star_fit(star, figure=mine),
        plot_covariance([1.0, 2.0], np.eye(2), names=["a", "b"], figure=mine),
        plot_wavelength_psf(psf_of(), figure=mine),
    ):
        assert all(panel.figure is mine for panel in panels)


def test_text_from_files_is_no_formula():
    evil = "<b>$\\frac{a$_\n\x1b"
    figure_png(plot_image_fit(image_result(name=evil, reference_name=evil, unit=evil), profile_of(None), SPECTRUM), 300)
    figure_png(plot_star_fit(star_result(name=evil, reference_name=evil, unit=evil)), 300)
    figure_png(plot_fwhm_by_file([evil], [("image", [Estimate(value=1.0, stderr=0.1)])], failed=[evil]), 300)


def test_words():
    words = alt_text_image_fit(image_result())
    assert words.startswith("image fit of night, 50 x 40 px, 1850 of them used: fwhm 0.6000 +- 0.0020 arcsec")
    assert "% of the residuals beyond 3 sigma" in words
    assert alt_text_image_fit(image_result(sigma=None))
    assert "night: 60 pixels, rms 0.1 1e-20 erg" in alt_text_star_fit(star_result())
    assert alt_text_batch([]) == "no fits"
    assert "8 bands, 7 of them used, with polynomials of degree 1 and 0" in alt_text_wavelength_psf(psf_of())


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (0.618252, 0.002012, "0.6183 +- 0.0020"),
        (432.7, 12.3, "433 +- 12"),
        (1234567.0, 4321.0, "1234567 +- 4321"),
        (1.5e-17, 2e-19, "1.5e-17 +- 2e-19"),
        (0.7, np.inf, "0.7 +- inf"),
        (np.nan, 0.1, "nan +- 0.1"),
    ],
)
def test_numbers_with_errors(value, stderr, text):
    assert estimate_text(Estimate(value=value, stderr=stderr)) == text
    assert estimate_text(Estimate(value=value, stderr=stderr, flag="at bound")).endswith("[at bound]")
