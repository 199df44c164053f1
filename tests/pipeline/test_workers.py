"""Workers that die, frames that cannot be loaded, users who press stop: one clear error, nothing hangs, nothing is left behind."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import gc
import multiprocessing
import os
import threading

import pytest
from support.bad_sources import FailingSource, KillingSource, KillingStore, StoppingSource, with_source

import nbmosaic
from nbmosaic.errors import MosaicCancelled, StepError
from nbmosaic.pipeline.execution import Execution, NoProgress
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.run import run_recipe

pytestmark = pytest.mark.timeout(90)


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("nbmosaic")]


def killed(frames, grid, pool, scratch):
    """Message of the error when frame 3 kills its worker."""
    with pytest.raises(StepError) as caught:
        nbmosaic.project(with_source(frames, 3, KillingSource(os.getpid())), grid, executor=pool, scratch=str(scratch))
    error = caught.value
    assert error.context["step"] == "project"
    assert error.context["frame"] == frames.names[3]
    assert "\n" not in str(error)
    others = [name for index, name in enumerate(frames.names) if index != 3 and name in str(error)]
    assert others == [], "innocent frames are named"
    return str(error)


@pytest.mark.parametrize("start", ["forkserver", "spawn"])
def test_a_killed_worker_of_a_process_pool(done, start, tmp_path):
    frames, grid = done["images"], done["header"]
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(start)) as pool:
        message = killed(frames, grid, pool, tmp_path)
        assert "a worker process died while it worked on" in message
        # the pool is broken for good: the next stage says so at once
        with pytest.raises(StepError, match="worker process died"):
            nbmosaic.project(frames, grid, executor=pool, scratch=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_killed_while_it_compares_a_pair(done, tmp_path):
    names = done["images"].names
    projected = nbmosaic.project(done["images"], done["header"], scratch=str(tmp_path))
    killing = dataclasses.replace(projected, store=KillingStore(projected.store, 5))
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool, pytest.raises(StepError) as caught:
        nbmosaic.overlaps(killing, executor=pool)
    assert str(caught.value).startswith("overlaps: a worker process died while it worked on ")
    assert names[5] in str(caught.value)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        again = nbmosaic.overlaps(projected, executor=pool)
    assert len(again) == len(done["overlaps"])
    assert list(tmp_path.rglob("started-*")) == [], "marks of the dead are gone"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_of_dask(done, tmp_path):
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path / "dask"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        message = killed(done["images"], done["header"], client.get_executor(), scratch)
        assert "a worker process died while it worked on" in message
        # the scheduler has started new workers: the same client goes on
        assert len(nbmosaic.project(done["images"], done["header"], executor=client.get_executor(), scratch=str(scratch))) == 6
        assert list(scratch.iterdir()) == []


def test_a_frame_that_cannot_be_loaded(done, pool, tmp_path):
    frames, grid = done["images"], done["header"]
    bad = with_source(frames, 2, FailingSource())
    for options in ({"jobs": 1}, {"jobs": 3}, {"executor": pool}):
        with pytest.raises(StepError) as caught:
            nbmosaic.project(bad, grid, scratch=str(tmp_path), max_memory="1MB", **options)
        assert caught.value.message == f"project failed on {frames.names[2]}: UnpicklableError: 3 of 7 blocks are bad"
        assert caught.value.context["frame"] == frames.names[2]
        assert list(tmp_path.iterdir()) == [], "scratch files are removed while the error is alive"
        assert our_threads() == []
    assert len(nbmosaic.project(frames, grid, executor=pool)) == 6, "the pool is still good"


def recipe(frames):
    names = ("header", "project", "overlaps", "background", "correct", "coadd")
    steps = [Step(stage=name, line=number + 2, text=name) for number, name in enumerate(names)]
    steps[0] = Step(stage="header", inputs={"frames": frames}, line=2, text="header")
    steps[1] = Step(stage="project", inputs={"frames": frames}, line=3, text="project")
    return Recipe(steps=tuple(steps), name="m")


@pytest.mark.parametrize("jobs", [1, 3])
def test_stopped_while_a_frame_is_loaded(done, tmp_path, jobs):
    bad = with_source(done["images"], 2, StoppingSource())
    execution = Execution(jobs=jobs, max_memory=1_000_000, scratch=tmp_path)
    check_stopped(stopped(recipe(bad), execution), tmp_path, "project")


class Presses(NoProgress):
    """Progress whose user presses stop at the second unit of a stage."""

    def __init__(self, stage):
        self.wanted, self.stage, self.units = stage, "", 0

    def start(self, stage, total):
        self.stage = stage

    def advance(self, n=1):
        self.units += self.stage == self.wanted
        if self.units == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["project", "overlaps", "coadd"])
def test_stopped_in_the_middle(done, tmp_path, stage):
    execution = Execution(jobs=3, max_memory=1_000_000, scratch=tmp_path, progress=Presses(stage))
    check_stopped(stopped(recipe(done["images"]), execution), tmp_path, stage)


def stopped(steps, execution):
    with pytest.raises(MosaicCancelled) as caught:
        run_recipe(steps, execution=execution)
    return caught.value


def check_stopped(error, scratch, stage):
    assert stage in str(error)
    run = error.context["run"]
    states = {record.step.stage: record.state for record in run.log}
    assert states[stage] == "failed"
    before = [record.step.stage for record in run.log][: list(states).index(stage)]
    assert list(run) == before
    assert all(states[name] == "ran" for name in before)
    assert set(states.values()) <= {"ran", "failed", "not run"}
    assert our_threads() == [], "threads are gone although the error is alive"
    kept = 1 if "project" in before else 0  # the projected frames of the partial run
    assert len(list(scratch.iterdir())) == kept
    del run
    error.context.clear()
    error.__traceback__ = error.__context__ = None
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_stopped_while_a_pool_works(done, pool, tmp_path):
    execution = Execution(executor=pool, scratch=tmp_path, progress=Presses("project"))
    with pytest.raises(MosaicCancelled) as caught:
        run_recipe(recipe(done["images"]), execution=execution)
    assert list(tmp_path.iterdir()) == []
    assert "run" in caught.value.context
    assert len(nbmosaic.project(done["images"], done["header"], executor=pool)) == 6
