"""Stars to choose from, in simulated fields of which everything is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.psf_sky import FIELDS, PsfField, SkyImages

from nbmosaic.core.psf.star_candidates import find_star_candidates
from nbmosaic.errors import ShapeError

FIELD = PsfField(seed=21, n=120, density=0.08, brightest=600.0, stars=((0.3, 0.62, 120.0), (0.7, 0.31, 450.0), (0.513, 0.82, 60.0)))


@pytest.fixture(scope="module")
def sky():
    return SkyImages(FIELD)


def near(one, position, reach=0.3):
    return np.hypot(one.y - position[0], one.x - position[1]) < reach


def test_all_stars_are_found_brightest_first(sky):
    found = find_star_candidates(sky.reference(seed=1), sky.image(seed=2))
    order = [1, 0, 2]
    stars = [next(one for one in found if near(one, sky.star_positions[number])) for number in order]
    assert [found.index(star) for star in stars] == sorted(found.index(star) for star in stars)
    for star, number in zip(stars, order, strict=True):
        y, x = sky.star_positions[number]
        assert (star.y, star.x) == pytest.approx((y, x), abs=0.05)
        assert star.compactness == pytest.approx(1.0, abs=0.03)
        # a Moffat of beta 1.6 has 5 % of its light beyond the circle
        assert star.flux == pytest.approx(0.96 * FIELD.stars[number][2], rel=0.05)
    assert list(found) == sorted(found, key=lambda one: -one.flux)


def test_a_star_is_recognised_wherever_it_lies_in_its_pixel():
    shifts = np.linspace(0.0, 0.8, 5)  # steps of the fine grid: 0.2 pixels
    places = tuple((0.2 + 0.15 * k + shift / 200, 0.5 + shift / 200, 300.0) for k, shift in enumerate(shifts))
    sky = SkyImages(replace(FIELD, n=200, density=0.0, stars=places))
    found = find_star_candidates(sky.reference(), sky.image(seed=1))
    assert len(found) == 5
    assert np.ptp([one.compactness for one in found]) < 0.02


def test_galaxies_are_no_stars():
    sky = SkyImages(FIELDS["galaxies"])
    found = find_star_candidates(sky.reference(seed=1), sky.image(seed=2))
    assert len(found) <= 2  # of some thirty bright enough


def test_stars_with_bad_pixels_or_at_the_edge_are_left_out(sky):
    reference, image = sky.reference(seed=1), sky.image(seed=2)
    y, x = (int(value) for value in sky.star_positions[1])
    image.mask[y + 3, x] = True
    assert not [one for one in find_star_candidates(reference, image) if near(one, (y, x), 1.0)]
    everything = replace(image, mask=np.ones_like(image.mask))
    assert find_star_candidates(reference, everything) == ()
    assert len(find_star_candidates(reference, sky.image(seed=2), count=1)) == 1


def test_a_star_must_be_on_the_image_too(sky):
    empty = replace(
        sky.image(seed=2), data=np.random.default_rng(5).normal(0.0, 0.15, (FIELD.n, FIELD.n)), mask=np.zeros((FIELD.n,) * 2, bool)
    )
    assert find_star_candidates(sky.reference(seed=1), empty) == ()


def test_shapes_must_agree(sky):
    with pytest.raises(ShapeError, match="the part on the pixels"):
        find_star_candidates(sky.reference(margin=5), sky.image())


def test_inputs_are_not_changed(sky):
    reference, image = sky.reference(seed=1), sky.image(seed=2)
    before = reference.data.copy(), image.data.copy()
    find_star_candidates(reference, image)
    np.testing.assert_array_equal(reference.data, before[0])
    np.testing.assert_array_equal(image.data, before[1])
