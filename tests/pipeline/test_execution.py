"""Budgets, processors, the line of tasks, names of options."""

from __future__ import annotations

import concurrent.futures
import io
import pathlib
import threading
from contextlib import closing

import pytest

from nbmosaic.errors import ConfigError, FormatError, StepError
from nbmosaic.pipeline import execution
from nbmosaic.pipeline.execution import DEFAULT_MEMORY, Execution, available_cpus, describe_executor, memory_limit, parse_memory, run_tasks
from nbmosaic.pipeline.recipe import accepts, choose, did_you_mean
from nbmosaic.pipeline.worker_marks import Mark, PoolWatch, unfinished


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, DEFAULT_MEMORY),
        (5_000_000, 5_000_000),
        (2e9, 2_000_000_000),
        ("500MB", 500_000_000),
        ("500 mb", 500_000_000),
        ("1.5 GB", 1_500_000_000),
        ("2GiB", 2_000_000_000),
        ("1t", 10**12),
        ("3000000", 3_000_000),
        ("4000k", 4_000_000),
    ],
)
def test_memory(text, wanted):
    assert parse_memory(text) == wanted


@pytest.mark.parametrize("text", ["", "lots", "-5MB", "5 PB", "1..5GB", "0.9MB", 100, float("nan"), float("inf"), ".", -1e9, "1e9", "MB"])
def test_memory_that_makes_no_sense(text):
    with pytest.raises(ConfigError, match="max_memory"):
        parse_memory(text)


def fake_files(monkeypatch, files):
    def read_text(self, **_):
        if str(self) in files:
            return files[str(self)]
        raise FileNotFoundError(self)

    monkeypatch.setattr(pathlib.Path, "read_text", read_text)


@pytest.mark.parametrize(("quota", "wanted"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("900000 100000", 8)])
def test_processors(monkeypatch, quota, wanted):
    monkeypatch.setattr(execution.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    fake_files(monkeypatch, {"/sys/fs/cgroup/cpu.max": quota + "\n"})
    assert available_cpus() == wanted
    fake_files(monkeypatch, {})
    assert available_cpus() == 8


def test_memory_of_the_machine(monkeypatch):
    fake_files(monkeypatch, {"/sys/fs/cgroup/memory.max": "123456789\n"})
    assert memory_limit() == 123456789
    fake_files(monkeypatch, {"/sys/fs/cgroup/memory.max": "max\n"})
    assert memory_limit() > 123456789


def test_threads(monkeypatch):
    monkeypatch.setattr(execution, "available_cpus", lambda: 6)
    assert [Execution(jobs=jobs).n_threads for jobs in (0, 1, 3, -1, -5, -99)] == [6, 1, 3, 5, 1, 1]
    assert Execution().in_process
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert Execution(executor=pool).in_process
        assert Execution(executor=pool).n_workers == 2
    assert describe_executor(None) == "threads of this process"
    assert describe_executor(pool) == "ThreadPoolExecutor"


def test_results_come_in_order_and_few_are_ahead():
    begun = []

    def work(number):
        begun.append(number)
        return number**2

    results = run_tasks(work, range(100), execution=Execution(jobs=3), stage="s", names=[str(k) for k in range(100)])
    assert next(results) == 0
    assert len(begun) <= 5
    with closing(results):
        assert next(results) == 1
    assert len(begun) <= 6, "closing begins nothing more"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nbmosaic")]
    assert list(run_tasks(work, range(7), execution=Execution(jobs=1), stage="s", names="abcdefg")) == [k**2 for k in range(7)]
    assert list(run_tasks(work, [], execution=Execution(jobs=3), stage="s", names=[])) == []


@pytest.mark.parametrize("jobs", [1, 4])
def test_errors_of_tasks(jobs):
    def work(number):
        if number == 2:
            raise [FormatError("cannot read c"), MemoryError(), KeyError("x")][which]
        return number

    for which, (kind, text) in enumerate(  # noqa: B007 - used by the function above
        [(FormatError, "cannot read c"), (StepError, "s: out of memory on c"), (StepError, "s failed on c: KeyError: 'x'")]
    ):
        with pytest.raises(kind) as caught:
            list(run_tasks(work, range(5), execution=Execution(jobs=jobs), stage="s", names="abcde"))
        assert caught.value.message == text


def test_marks(tmp_path):
    with Mark(tmp_path, "project", 3):
        assert unfinished(tmp_path, "project", "abcd", set()) == ["d"]
        assert unfinished(tmp_path, "overlaps", "abcd", set()) == []
    assert list(tmp_path.iterdir()) == []
    Mark(tmp_path, "project", 1).path.write_text("11\n")
    Mark(tmp_path, "project", 2).path.write_text("12\n")
    assert unfinished(tmp_path, "project", "abcd", set()) == ["b", "c"]
    assert unfinished(tmp_path, "project", "abcd", {12}) == ["c"]
    assert unfinished(tmp_path, "project", "abcd", {99}) == ["b", "c"]
    Mark(tmp_path, "project", 1).path.write_text("11\n15\n16\n")
    assert unfinished(tmp_path, "project", "abcd", set()) == ["b"], "begun again and again"
    with Mark(tmp_path / "gone", "project", 1):
        pass
    assert PoolWatch(object()).dead() == set()


def test_names():
    assert did_you_mean("splin", ("spline", "nearest")) == "did you mean 'spline'?"
    assert did_you_mean("xyz", ("spline", "nearest")) == ""
    assert choose("spline", ("spline", "nearest"), option="method") == "spline"
    with pytest.raises(ConfigError) as caught:
        choose("splin", ("spline", "nearest"), option="method")
    assert str(caught.value) == "method cannot be 'splin'; did you mean 'spline'?"
    with pytest.raises(ConfigError, match="choose one of spline, nearest"):
        choose("xyz", ("spline", "nearest"), option="method")
    assert accepts(io.StringIO.write, "s") or accepts(choose, "option")
    assert not accepts(choose, "nothing")


def test_threads_are_what_the_work_is_worth(monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    from nbmosaic.pipeline import execution

    monkeypatch.setattr(execution, "available_cpus", lambda: 4)
    assert [Execution().for_pixels(n).n_threads for n in (0, 1, 10**8, 10**8 + 1, 10**9)] == [1, 1, 1, 2, 4]
    assert Execution(jobs=3).for_pixels(1).n_threads == 3
    assert Execution(jobs=-1).for_pixels(1).n_threads == 3
    with ThreadPoolExecutor(2) as pool:
        chosen = Execution(executor=pool)
        assert chosen.for_pixels(1) is chosen
