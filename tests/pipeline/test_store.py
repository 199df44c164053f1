"""Projected frames in memory and in files."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest

from nbmosaic.errors import FormatError
from nbmosaic.pipeline.caching.units import UnitFolder
from nbmosaic.pipeline.store import FrameStore, ScratchFolder, write_frame
from nbmosaic.types import PixelBox, ProjectedFrame, ProjectedInfo

PLANES = ("data", "area", "weight", "variance")


def make(index, rng, planes=PLANES, shape=(20, 30)):
    box = PixelBox(-3, -3 + shape[0], 7, 7 + shape[1])
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name in planes}
    info = ProjectedInfo(index=index, name=f"f{index}", box=box, n_good=5, planes=planes, noise_gain=0.5, map_error_pix=1e-5)
    return info, ProjectedFrame(box=box, **arrays)


@pytest.fixture
def frames():
    rng = np.random.default_rng(2)
    return [make(4, rng), make(1, rng, ("data",)), make(9, rng, ("data", "variance"))]


@pytest.mark.parametrize("budget", [0, 8000, 10**9])
def test_files_equal_memory(frames, tmp_path, budget):
    store = FrameStore(tmp_path, budget=budget)
    for info, frame in frames:
        store.keep(info, frame)
    in_files = {0: 3, 8000: 1, 10**9: 0}[budget]
    assert len(list(tmp_path.rglob("*.f32"))) == in_files
    assert store.indices() == [1, 4, 9]
    for info, frame in frames:
        got = store.frame(info)
        assert got.noise_gain == 0.5
        for name in PLANES:
            whole = getattr(frame, name)
            if whole is None:
                assert getattr(got, name) is None
                continue
            np.testing.assert_array_equal(getattr(got, name), whole)
            for box in (info.box, PixelBox(0, 5, 8, 36), PixelBox(2, 3, 9, 12), PixelBox(16, 17, 36, 37)):
                np.testing.assert_array_equal(store.read(info.index, name, box), whole[box.slices(info.box)])


def test_the_store_keeps_copies(frames, tmp_path):
    info, frame = frames[0]
    store = FrameStore(tmp_path, budget=10**9)
    store.keep(info, frame)
    before = frame.data.copy()
    frame.data[:] = 0
    np.testing.assert_array_equal(store.read(info.index, "data", info.box), before)


def test_shared_with_another_process(frames, tmp_path):
    store = FrameStore(tmp_path, budget=8000)
    for info, frame in frames:
        store.keep(info, frame)
    store.share()
    other = pickle.loads(pickle.dumps(store))
    for info, frame in frames:
        np.testing.assert_array_equal(other.frame(info).data, frame.data)
        np.testing.assert_array_equal(store.frame(info).data, frame.data)
    del other
    gc.collect()
    assert len(list(tmp_path.rglob("*.f32"))) == 3, "the other does not own the files"
    store.share()
    del store
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_discarded(frames, tmp_path):
    store = FrameStore(tmp_path, budget=0)
    store.keep(*frames[0])
    store.discard()
    assert list(tmp_path.iterdir()) == []
    assert store.indices() == []
    store.keep(*frames[1])
    np.testing.assert_array_equal(store.frame(frames[1][0]).data, frames[1][1].data)


@pytest.mark.parametrize("box", [PixelBox(-3, 17, 7, 37), PixelBox(15, 16, 9, 12)])
def test_a_file_that_is_cut_or_gone(frames, tmp_path, box):
    info, frame = frames[1]
    store = FrameStore(tmp_path, budget=0)
    store.keep(info, frame)
    (path,) = tmp_path.rglob("*.f32")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FormatError, match="too short") as caught:
        store.read(info.index, "data", box)
    assert str(path) in str(caught.value)
    path.unlink()
    with pytest.raises(FormatError, match="gone"):
        store.read(info.index, "data", box)


def test_folders_that_cannot_be_used(frames, tmp_path):
    with pytest.raises(FormatError, match="scratch folder in"):
        ScratchFolder(tmp_path / "missing")
    with pytest.raises(FormatError, match="cannot write scratch file"):
        write_frame(tmp_path / "missing", 3, frames[0][1])
    assert write_frame(tmp_path, 3, frames[2][1]) == ("data", "variance")
    assert [path.name for path in tmp_path.iterdir()] == ["frame-000003.f32"]


def test_a_frame_that_is_finished_after_the_end_is_kept_for_later(frames, tmp_path):
    units = UnitFolder(tmp_path / "units", budget=10**9)
    store = FrameStore(tmp_path, budget=0, units=units)
    info, frame = frames[0]
    store.assign({info.index: units.path("k")})
    store.discard()
    store.keep(info, frame)
    found = units.find({4: "k"}, {4: "f4"})[4]
    assert (found.box, found.n_good, found.planes, found.noise_gain) == (info.box, 5, PLANES, 0.5)
    again = FrameStore(tmp_path, budget=0, units=units)
    again.assign({4: units.path("k")})
    again.know(found)
    np.testing.assert_array_equal(again.frame(found).variance, frame.variance)
    units.trim(0)
    assert units.files(), "a store uses it"
    del again
    gc.collect()
    units.trim(0)
    assert not units.files()
    assert not list(tmp_path.glob("nbmosaic-*")), "no scratch folder was made"
