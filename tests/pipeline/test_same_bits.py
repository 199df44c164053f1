"""How a run is executed changes no bit of its result."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing

import numpy as np
import pandas as pd
import pytest

import nbmosaic
from nbmosaic.pipeline import coadding
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.store import FrameStore


def assert_same(one, two):
    """Every number of two runs is equal to the bit."""
    for name in ("data", "area", "count"):
        np.testing.assert_array_equal(getattr(one.mosaic, name), getattr(two.mosaic, name), err_msg=name)
    assert (one.mosaic.variance_plane is None) == (two.mosaic.variance_plane is None)
    np.testing.assert_array_equal(one.mosaic.variance, two.mosaic.variance)
    for stage in ("images", "project", "overlaps", "background"):
        pd.testing.assert_frame_equal(one.table(stage), two.table(stage), check_exact=True)
    pd.testing.assert_frame_equal(one.residuals(), two.residuals(), check_exact=True)


@pytest.fixture(scope="module", params=["spline", "area"])
def method(request):
    return request.param


@pytest.fixture(scope="module")
def alone(field, method):
    """In this process, one thread, everything in memory."""
    return nbmosaic.mosaic(field.folder, method=method, jobs=1, max_memory="1GB")


def test_threads(field, method, alone):
    assert_same(nbmosaic.mosaic(field.folder, method=method, jobs=4), alone)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert_same(nbmosaic.mosaic(field.folder, method=method, executor=pool), alone)


def test_a_small_budget_spills_to_files(field, method, alone, tmp_path):
    small = nbmosaic.mosaic(field.folder, method=method, max_memory="1MB", scratch=tmp_path, jobs=2)
    assert_same(small, alone)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert 1 <= len([path for path in files if path.suffix == ".f32"]) < 6, "some frames in files, some in memory"
    assert len([path for path in files if path.suffix == ".fits"]) == 1, "the mosaic, too"
    none = nbmosaic.mosaic(field.folder, method=method, max_memory=1_000_000, scratch=tmp_path, output=tmp_path / "m.fits")
    assert_same(none, alone)
    assert none.mosaic.path == str(tmp_path / "m.fits")


def test_files_hold_the_same_frames(alone, tmp_path):
    projected = alone["project"]
    store = FrameStore(tmp_path, budget=0)
    for info in projected.infos:
        store.keep(info, projected.frame(info.index))
    assert len(list(tmp_path.glob("nbmosaic-*/*.f32"))) == len(projected)
    files = dataclasses.replace(projected, store=store)
    again = nbmosaic.coadd(nbmosaic.correct(files, nbmosaic.background(nbmosaic.overlaps(files))))
    np.testing.assert_array_equal(again.data, alone.mosaic.data)


@pytest.mark.parametrize("rows", [8, 13, 128])
@pytest.mark.parametrize("combine", ["mean", "median", "clipped"])
def test_the_height_of_the_bands(alone, monkeypatch, rows, combine):
    want = nbmosaic.coadd(alone["correct"], combine=combine)
    cut = coadding._bands

    def bands(infos, grid, execution):
        (box, *_) = cut(infos, grid, Execution(jobs=1, max_memory=10**9))
        ny, nx = grid.shape
        return [type(box)(y, min(y + rows, ny), 0, nx) for y in range(0, ny, rows)]

    monkeypatch.setattr(coadding, "_bands", bands)
    got = nbmosaic.coadd(alone["correct"], combine=combine, jobs=3)
    for name in ("data", "area", "count"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_the_order_of_the_frames(field, method, alone):
    order = np.random.default_rng(4).permutation(len(field.paths))
    assert (order != np.arange(len(order))).any()
    template = alone["header"]
    frames = nbmosaic.images([field.paths[k] for k in order])
    projected = nbmosaic.project(frames, template, method=method)
    pairs = nbmosaic.overlaps(projected)
    planes = nbmosaic.background(pairs)
    mosaic = nbmosaic.coadd(nbmosaic.correct(projected, planes))
    np.testing.assert_array_equal(mosaic.data, alone.mosaic.data)
    np.testing.assert_array_equal(mosaic.area, alone.mosaic.area)
    columns = ["a", "b", "c", "a_err", "b_err", "c_err", "level", "level_err", "component"]
    got, want = (table.set_index("name")[columns] for table in (planes.table, alone.table("background")))
    pd.testing.assert_frame_equal(got.sort_index(), want.sort_index(), check_exact=True)
    want = {(row.plus_name, row.minus_name): (row.a, row.b, row.c, row.npixel, row.rms) for row in alone.table("overlaps").itertuples()}
    for row in pairs.table.itertuples():
        key, sign = (row.plus_name, row.minus_name), 1.0
        if key not in want:
            key, sign = key[::-1], -1.0
        assert (sign * row.a, sign * row.b, sign * row.c, row.npixel, row.rms) == want.pop(key)
    assert not want


def test_the_grid_does_not_depend_on_the_order(field, alone):
    grid = nbmosaic.header(nbmosaic.images(list(reversed(field.paths))))
    assert grid.text == alone["header"].text


def test_process_pool_from_a_fork_server(field, pool, done):
    assert_same(nbmosaic.mosaic(field.folder, executor=pool), done)
    projected = nbmosaic.project(done["images"], done["header"])  # in memory here, then the pool has to see it
    pairs = nbmosaic.overlaps(projected, executor=pool)
    pd.testing.assert_frame_equal(pairs.table, done.table("overlaps"), check_exact=True)


def test_process_pool_of_spawned_workers(field, done):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert_same(nbmosaic.mosaic(field.folder, executor=pool), done)


@pytest.mark.filterwarnings("ignore")
def test_dask(field, done, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert_same(nbmosaic.mosaic(field.folder, executor=client.get_executor()), done)
