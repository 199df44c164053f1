"""The simulated field of the tutorials: what is put in comes out, in memory and from files."""

from __future__ import annotations

import numpy as np
import pytest

import nbmosaic
from nbmosaic.errors import ConfigError, FormatError
from nbmosaic.io.image_planes import read_sky_image
from nbmosaic.pipeline.simulation.psf_field import MovedStar, Seeing, simulate_psf_field

NAMES = ("scale", "bg", "dx", "dy", "fwhm", "beta")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    moved = [MovedStar(x=0.7, y=0.7, flux=300.0, dx=0.5, dy=0.0)]
    return simulate_psf_field(tmp_path_factory.mktemp("psf") / "new" / "field", nights=2, size=120, moved=moved)


def test_truth_is_found_again(written):
    for path, truth in zip(written.paths, written.seeing, strict=True):
        star = written.stars.iloc[-1]
        fit = nbmosaic.fit_image_photometry(
            str(written.reference_path), str(path), regions="notstar", notstar=(star["ra"], star["dec"], 3.0), noise="variance"
        )
        pulls = [(getattr(fit, name).value - getattr(truth, name)) / getattr(fit, name).stderr for name in NAMES]
        assert np.abs(pulls).max() < 4.0
        assert fit.result.redchi == pytest.approx(1.0, abs=0.05)


def test_a_star_that_moved_does_not_fit(written):
    fit = nbmosaic.fit_image_photometry(str(written.reference_path), str(written.paths[0]))
    star = written.stars.iloc[-1]
    assert any(np.hypot(one.x - star["x"], one.y - star["y"]) < 5.0 for one in fit.misfits)


def test_files_hold_what_is_in_memory(written):
    for path, image in zip((written.reference_path, *written.paths), (written.reference, *written.images), strict=True):
        read = read_sky_image(str(path))
        assert np.array_equal(read.mask, image.mask)
        assert np.allclose(read.data, image.data, rtol=1e-6, equal_nan=True)
        assert np.allclose(read.variance, image.variance, rtol=1e-6)
        assert (read.unit, read.name) == (image.unit, image.name)
    with pytest.raises(FormatError):
        simulate_psf_field(written.paths[0].parent, nights=1, size=64)


def test_the_same_seed_gives_the_same_field_and_a_night_is_its_own():
    one, two = simulate_psf_field(seed=4, nights=1, size=48), simulate_psf_field(seed=4, nights=3, size=48)
    assert np.array_equal(one.images[0].data, two.images[0].data, equal_nan=True)
    assert one.seeing[0] == two.seeing[0]
    assert not np.array_equal(one.reference.data, simulate_psf_field(seed=5, nights=1, size=48).reference.data)
    assert list(two.table["name"]) == ["night_0", "night_1", "night_2"]


@pytest.mark.parametrize(
    "options",
    [
        {"nights": 0},
        {"nights": [Seeing()], "names": ["a", "b"]},
        {"nights": 2, "names": ["a", "a"]},
        {"size": 8},
        {"edge": 100},
        {"noise": 0.0},
    ],
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        simulate_psf_field(**options)
