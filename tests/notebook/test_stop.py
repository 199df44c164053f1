"""Stop and kill, in a real kernel: back at the prompt, no process left, finished work kept."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel

import nbmosaic

SIZE = 500
N_FRAMES = 16
CELL = "%%mosaic m --jobs 2\nimages {folder}\nheader --scale 0.3\nproject --method exact"  # some 60 ms a frame
IN_ANY_CASE = 5.0
QUIET = 1.0
"""Seconds until the prompt is back: on a machine that does other things as well, and on one that does not."""

METHODS = [
    ("threads", IN_ANY_CASE),
    ("fork", IN_ANY_CASE),
    *(pytest.param(method, QUIET, marks=pytest.mark.slow) for method in ("threads", "fork", "forkserver", "spawn")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames that take long enough to be stopped between."""
    return nbmosaic.simulate_frames(tmp_path_factory.mktemp("stop"), n_frames=N_FRAMES, size=SIZE, seed=3).folder


@pytest.fixture(scope="module")
def kernel(folder, tmp_path_factory):
    manager, client = start_new_kernel(kernel_name="python3")
    kernel = Kernel(manager, client)
    kernel.folder = tmp_path_factory.mktemp("cache")
    setup = f"""
        %load_ext nbmosaic
        folder = {str(folder)!r}
    """
    assert kernel.run(textwrap.dedent(setup).strip()) == ""
    yield kernel
    pids = children_of(kernel.pid)
    client.stop_channels()
    manager.shutdown_kernel(now=False)
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if alive(pid)], "nothing outlives the kernel"


class Kernel:
    """A kernel, as a front end sees it."""

    def __init__(self, manager, client):
        self.manager, self.client = manager, client
        self.pid = manager.provisioner.pid

    def run(self, code, *, until=None):
        """Run a cell; returns the name of its error, or nothing. With `until`, return as soon as such a text is shown."""
        # a kernel drops cells that reach it while it still tells of an error, unless they do not mind errors
        message = self.client.execute(code, stop_on_error=False)
        if until is not None:
            self.wait_for(until, message)
            return message
        return self.reply(message)

    def use_new_cache(self, name):
        """Results of other tests are still held by ``_`` and ``Out``, and their frames with them."""
        self.cache = self.folder / name
        assert self.run(f"%config MosaicMagics.cache_dir = {str(self.cache)!r}") == ""

    def wait_for(self, text, message):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                got = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            content = got["content"]
            if got["parent_header"].get("msg_id") == message and re.search(text, str(content.get("data", {}).get("text/plain", ""))):
                return
        raise AssertionError(f"{text} was not shown")

    def reply(self, message):
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"]["msg_id"] == message:
                self.content = reply["content"]
                return reply["content"].get("ename", "")

    def value(self, expression):
        message = self.client.execute("", user_expressions={"x": expression}, silent=False, stop_on_error=False)
        self.reply(message)
        return self.content["user_expressions"]["x"]["data"]["text/plain"]


def children_of(pid, *, top=True):
    """Processes below one, but those by which multiprocessing itself starts and cleans up, which end with the kernel."""
    try:
        direct = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return []
    helpers = [child for child in direct if top and any(word in command(child) for word in ("resource_tracker", "forkserver import main"))]
    below = [child for one in direct for child in children_of(one, top=False)]
    return [child for child in direct if child not in helpers] + below


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts processes by /proc")
@pytest.mark.parametrize(("method", "limit"), METHODS)
def test_stop_in_a_kernel(kernel, method, limit, record_property):
    kernel.use_new_cache(f"{method}-{limit}")
    assert kernel.run(f"%config MosaicMagics.start_method = {method!r}") == ""
    message = kernel.run(CELL, until="project [3-9]/16")
    workers = children_of(kernel.pid)
    assert (len(workers) >= 2) == (method != "threads")
    began = time.monotonic()
    kernel.manager.interrupt_kernel()
    assert kernel.reply(message) == "MosaicCancelled"
    seconds = time.monotonic() - began
    record_property("seconds", seconds)
    print(f"{method}: {seconds:.3f} s")
    assert seconds < limit
    assert "stopped in line 4 (project, " in kernel.content["evalue"]
    assert not [pid for pid in workers if alive(pid)]
    assert kernel.value("list(m)") == "['images', 'header']"
    assert len(list(kernel.cache.rglob("*.unit"))) >= 3
    assert kernel.run(CELL) == ""
    assert "frames kept" in kernel.value("m.log[2].key")


def test_completion_messages(kernel):
    code = "%%mosaic m\nproject --meth"
    kernel.reply(kernel.client.complete(code, len(code)))
    content = kernel.content
    assert content["matches"] == ["method"]
    assert code[: content["cursor_start"]].endswith("--")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts processes by /proc")
@pytest.mark.parametrize(("method", "limit"), METHODS)
def test_cancel_of_a_detached_run_in_a_kernel(kernel, method, limit):
    kernel.use_new_cache(f"cancel-{method}-{limit}")
    assert kernel.run(f"%config MosaicMagics.start_method = {method!r}") == ""
    kernel.run(CELL.replace("--jobs 2", "--jobs 2 --detach"), until="project [3-9]/16")
    workers = children_of(kernel.pid)
    assert (len(workers) >= 2) == (method != "threads")
    began = time.monotonic()
    assert kernel.run("m.cancel()") == ""
    assert kernel.run("await m") == "MosaicCancelled"
    assert time.monotonic() - began < 2 * limit, "two cells"
    assert kernel.value("m.cancelled()") == "True"
    assert not [pid for pid in workers if alive(pid)]


def test_detached_in_a_kernel(kernel):
    kernel.use_new_cache("detached")
    assert kernel.run("%config MosaicMagics.start_method = 'threads'") == ""
    assert kernel.run(CELL.replace("--jobs 2", "--jobs 2 --detach")) == ""
    assert kernel.value("m.done()") == "False", "the prompt is back while it runs"
    assert kernel.run("m.cancel()") == ""
    assert kernel.run("await m") == "MosaicCancelled"
    assert kernel.run(CELL.replace("--jobs 2", "--jobs 2 --detach")) == ""
    assert kernel.run("run = await m") == ""
    assert kernel.value("len(run['project']), m.done(), len(m['project'])") == "(16, True, 16)"


SCRIPT = """
import sys, os, signal
import numpy as np
import nbmosaic
from nbmosaic.pipeline.execution import NoProgress
class Die(NoProgress):
    seen = 0
    def start(self, stage, total):
        self.stage = stage
    def advance(self, n=1):
        self.seen += n * (self.stage == "project")
        if self.seen == 5 and sys.argv[3] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
run = nbmosaic.mosaic(sys.argv[1], method="nearest", jobs=1, cache=sys.argv[2], progress=Die())
np.savez(sys.argv[3], note=run.log[2].key, **{name: getattr(run.mosaic, name) for name in ("data", "area", "count", "variance")})
"""


def test_a_killed_process_goes_on_with_the_same_bits(folder, tmp_path):
    def go(last):
        # both in processes of their own: the key holds the state of the source files when the process began
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "c"), last], check=False, env=os.environ
        ).returncode

    assert go("die") == -signal.SIGKILL
    assert go(str(tmp_path / "m.npz")) == 0
    resumed = np.load(tmp_path / "m.npz")
    assert "5 of 16 frames kept" in str(resumed["note"])
    alone = nbmosaic.mosaic(str(folder), method="nearest", jobs=1)
    for name in ("data", "area", "count", "variance"):
        np.testing.assert_array_equal(resumed[name], getattr(alone.mosaic, name))
