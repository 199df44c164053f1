"""A match that is steered gives what the stages give with the same options."""

from __future__ import annotations

import numpy as np
import pytest

import nbmosaic
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.run import run_recipe
from nbmosaic.pipeline.simulation.frames import simulate_frames
from nbmosaic.pipeline.steering import Steering, steer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steered")
    simulate_frames(folder, n_frames=6, size=64, seed=5, overlap=0.3)
    return nbmosaic.mosaic(str(folder), method="bilinear", jobs=1)


@pytest.fixture
def steering(run):
    return steer(run)


def same(one, other):
    np.testing.assert_array_equal(one.model.planes, other.model.planes)
    np.testing.assert_array_equal(one.model.weight, other.model.weight)


def test_it_begins_with_the_match_of_the_run(run, steering):
    same(steering.background, run["background"])
    assert steering.code() == "background"
    assert not steering.excluded


OPTIONS = [
    {"slope": False},
    {"weighting": "noise", "reference": 2},
    {"reference": [1, 3], "slope_prior": 0.3},
    {"robust": True},
    {"exclude": ["0-1"], "slope": False},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_it_takes_the_options_of_the_run(run, options):
    again = run_recipe(Recipe(steps=(Step(stage="background", options=options),)), execution=Execution(jobs=1), base=run)
    same(steer(again).background, again["background"])


def test_a_change_is_the_stage_with_that_option(run, steering):
    overlaps = run["overlaps"]
    for options in ({"slope": False}, {"weighting": "noise"}, {"reference": (2,)}, {"slope_prior": 0.2}, {"robust": True}):
        same(steering.change(**options).background, nbmosaic.background(overlaps, **options))
    assert steering.slope  # the old one is as it was


def test_excluding_is_the_option_exclude(run, steering):
    out = steering.exclude(0, 2)
    pairs = [steering.pairs[row] for row in (0, 2)]
    same(out.background, nbmosaic.background(run["overlaps"], exclude=pairs))
    assert out.facts.n_used == steering.facts.n_used - 2
    same(out.include(0).include(2).quick, steering.quick)
    assert "--exclude {}-{},{}-{}".format(*pairs[0], *pairs[1]) in out.code()


def test_the_code_is_what_a_cell_needs(run, steering):
    changed = steering.change(slope=False, weighting="noise", reference=(1,), slope_prior=0.25, robust=True).exclude(1)
    i, j = steering.pairs[1]
    assert changed.code() == f"background --no-slope --weighting noise --reference 1 --slope-prior 0.25 --robust --exclude {i}-{j}"


def test_the_preview_is_the_mosaic_in_small(run, steering):
    """Frames of the preview count alike in every block; the mosaic weighs by area, so borders of frames differ a little."""
    small = steering.preview
    assert steering._shared.sums().step == 1
    mosaic = run.mosaic.data
    assert small.shape == mosaic.shape
    both = np.isfinite(small) & np.isfinite(mosaic)
    assert both.mean() > 0.5
    assert np.median(np.abs(small - mosaic)[both]) < 1e-3
    seams = np.abs(steering.uncorrected_preview - small)[both]
    assert np.median(seams) > 1.0


def test_one_stretch_for_all(steering):
    first = steering.preview_stretch
    assert steering.exclude(1).preview_stretch is first


def test_facts(run, steering):
    facts = steering.facts
    planes, model = run["overlaps"].planes, run["background"].model
    used = model.weight > 0
    assert (facts.n_pairs, facts.n_used, facts.n_groups) == (len(used), used.sum(), model.n_components)
    assert facts.before_max == np.abs(planes.level[used]).max()
    assert facts.after_median == pytest.approx(np.median(np.abs(model.residual_level[used])), rel=1e-6)
    assert abs(steering.quick.model.residual_level[steering.worst_row]) == np.nanmax(np.abs(model.residual_level[used]))


def test_excluding_everything_leaves_groups(steering):
    alone = steering.exclude(*range(len(steering.overlaps)))
    assert alone.facts.n_used == 0
    assert alone.facts.n_groups == 6
    assert alone.facts.after_max == 0.0
    np.testing.assert_array_equal(alone.preview, steering.uncorrected_preview)


def test_corrected_goes_into_coadd(steering):
    flat = steering.change(slope=False)
    mosaic = nbmosaic.coadd(flat.corrected)
    assert mosaic.n_frames == 6


def test_mistakes(run, steering):
    with pytest.raises(ConfigError, match="colour cannot be steered"):
        steering.change(colour="red")
    for action in (steering.exclude, steering.include, steering.pair_picture, steering.is_fitted):
        with pytest.raises(InputError, match="there is no overlap 999"):
            action(999)
        with pytest.raises(InputError, match="there is no overlap -1"):
            action(-1)
    with pytest.raises(ConfigError, match="stage overlaps"):
        steer(projected=run["project"])
    with pytest.raises(ConfigError, match="stage project"):
        steer(overlaps=run["overlaps"])
    with pytest.raises(ConfigError, match="slope_prior"):
        steering.change(slope_prior=-2.0).solved()
    assert Steering.prior_of(" ") is None
    assert Steering.prior_of("1e-3") == 1e-3
    with pytest.raises(ConfigError, match="slope prior cannot be 'much'"):
        Steering.prior_of("much")


def test_labels(steering):
    out = steering.exclude(1)
    labels = out.pair_labels()
    assert [row for _, row in labels] == list(range(len(out.overlaps)))
    assert labels[1][0].endswith("left out")
    assert labels[0][0] == f"0-1: {out.overlaps.planes.level[0]:.4g} DN"
    assert len(out.frame_labels()) == 6
