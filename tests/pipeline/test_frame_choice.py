"""Frames taken out and in, and how deep they cover the sky."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

import nbmosaic
from nbmosaic.core.geometry.sky import celestial_transform
from nbmosaic.errors import InputError
from nbmosaic.pipeline.frame_choice import choose_frames
from nbmosaic.pipeline.simulation.frames import simulate_frames


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chosen frames")
    simulate_frames(folder, n_frames=5, size=48, seed=6, overlap=0.3)
    return nbmosaic.images(str(folder))


@pytest.fixture
def choice(frames):
    return choose_frames(frames)


def test_out_and_in(frames, choice):
    out = choice.leave_out(1, 3)
    assert out.chosen == (0, 2, 4)
    assert out.frames.infos == tuple(frames.infos[i] for i in (0, 2, 4))
    assert [name for name, why in out.frames.skipped if why == "left out by choice"] == [frames.names[1], frames.names[3]]
    assert out.take_in(3).chosen == (0, 2, 3, 4)
    assert out.only(1).chosen == (1,)
    assert choice.chosen == (0, 1, 2, 3, 4)
    assert list(out.table["chosen"]) == [True, False, True, False, True]
    assert len(out.labels()) == 5


def test_what_is_not_there(choice):
    for action in (choice.leave_out, choice.take_in, choice.only):
        with pytest.raises(InputError, match="there is no frame 5"):
            action(5)
    with pytest.raises(InputError, match="no frame is chosen"):
        _ = choice.leave_out(*range(5)).frames


def test_depth_counts_the_frames_that_hold_a_point(frames, choice):
    """Whether the centre of each pixel of the coarse grid lies in a frame, by the exact transformation; borders may go either way."""
    grid = choice.depth_grid
    x, y = np.meshgrid(np.arange(float(grid.shape[1])), np.arange(float(grid.shape[0])))
    inner, outer = np.zeros(grid.shape, int), np.zeros(grid.shape, int)
    for index in (0, 1, 4):
        info = frames.infos[index]
        u, v = celestial_transform(grid.wcs, info.wcs)(x, y)
        for depth, margin in ((inner, -1.5), (outer, 1.5)):  # pixels of the frame: about two of the grid
            with np.errstate(invalid="ignore"):
                depth += (u > -0.5 - margin) & (u < info.shape[1] - 0.5 + margin) & (v > -0.5 - margin) & (v < info.shape[0] - 0.5 + margin)
    depth = choice.leave_out(2, 3).depth
    assert (depth >= inner).all()
    assert (depth <= outer).all()
    assert (inner == outer).mean() > 0.7
    assert not choice.leave_out(*range(5)).depth.any()
    np.testing.assert_array_equal(choice.depth - choice.leave_out(2).depth, choice.only(2).depth)


def test_pictures(choice):
    assert "outlines of 5 frames" in choice.footprints().alt
    assert "2 left out (dashed)" in choice.leave_out(0, 1).footprints().alt
    assert choice.footprints().png != choice.leave_out(0).footprints().png
    assert "coverage map" in choice.coverage().alt


def test_the_code_names_the_chosen_files(frames, choice):
    words = shlex.split(choice.leave_out(0).code())
    assert words[0] == "images"
    assert len(words) == 5
    again = nbmosaic.images(*words[1:])
    assert again.names == tuple(info.name for info in choice.leave_out(0).frames.infos)
