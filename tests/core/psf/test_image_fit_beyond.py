"""Light of bright points beyond Nyquist's frequency, against what a simulated image has and the model has not."""

from __future__ import annotations

import numpy as np
import pytest
from support.psf_sky import PsfField, Seeing, SkyImages

from nbmosaic.core.psf.image_fit_beyond import bright_points, light_beyond
from nbmosaic.core.psf.image_fit_plane import PlaneProblem, reference_spectrum


def problem_of(images: SkyImages) -> PlaneProblem:
    reference = images.reference()
    spectrum = reference_spectrum(
        reference.data,
        reference.good,
        offset=(0, 0),
        shape=reference.data.shape,
        step_arcsec=(0.2, 0.2),
        margin_arcsec=2.0,
        hst_fwhm=0.085,
        hst_beta=1.6,
    )
    return PlaneProblem(spectrum, reference.data, np.full(reference.data.shape, 1 / 0.15))


@pytest.mark.parametrize("fwhm", [0.45, 0.65])
def test_it_is_what_the_model_lacks_of_stars(fwhm: float) -> None:
    seeing = Seeing(scale=0.9, bg=0.0, dx=0.27, dy=-0.13, fwhm=fwhm, beta=2.6)
    images = SkyImages(PsfField(n=96, density=0.0, stars=((0.4, 0.55, 900.0), (0.75, 0.2, 400.0)), seeing=seeing))
    problem = problem_of(images)
    x = np.array([seeing.dx, seeing.dy, seeing.fwhm, 1 / seeing.beta])
    lacking = images.clean_image() - seeing.scale * problem.model(x)
    points = bright_points(problem, x, seeing.scale, 1.0)
    assert sorted(round(p.far, 0) for p in points) == [400.0, 900.0]
    found = light_beyond(problem, points, x, seeing.scale)
    # wings of the ringing beyond the stamps and the edge of the frame are left
    assert np.abs(lacking - found).max() < 0.03 * np.abs(lacking).max()
    assert np.sum((lacking - found) ** 2) < 0.02 * np.sum(lacking**2)


def test_what_is_resolved_or_faint_has_none() -> None:
    faint = SkyImages(PsfField(n=96, density=0.0, stars=((0.4, 0.55, 20.0),)))
    x = np.array([0.0, 0.0, 0.65, 0.35])
    assert bright_points(problem_of(faint), x, 1.0, 1.0) == ()
    assert bright_points(problem_of(faint), x, 0.0, 1.0) == ()
    galaxies = SkyImages(PsfField(seed=2, n=96, density=0.05, brightest=100.0))
    assert bright_points(problem_of(galaxies), x, 1.0, 1.0) == ()
