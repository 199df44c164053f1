"""The batch panel: a batch that runs, fails in part, is stopped, is finished."""

from __future__ import annotations

import threading
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from support.psf_files import PsfFiles, field_wcs
from support.shell import new_shell

from nbmosaic.errors import ConfigError
from nbmosaic.io.image_planes import write_sky_image
from nbmosaic.notebook.detached import DetachedRun
from nbmosaic.notebook.panels import open_panel
from nbmosaic.notebook.panels.batch import BatchPanel
from nbmosaic.pipeline.photometry.batch import FitImagePhotometryMP
from nbmosaic.pipeline.photometry.watch import BatchWatch, watch_batch
from nbmosaic.types.sky_image import SkyImage

EVIL = "<script>alert(1)<'&>.fits"  # no slash: it is a file name


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    files = PsfFiles.write(folder)
    flat = SkyImage(data=np.ones((80, 80)), mask=np.zeros((80, 80), bool), wcs=field_wcs(), name="flat")
    write_sky_image(folder / EVIL, flat)
    return files


@pytest.fixture
def images(files):
    return [*files.images[:2], str(files.folder / EVIL), files.images[2]]


@pytest.fixture
def batch(files, images):
    return FitImagePhotometryMP(files.path("wide"), images, nworker=1)


def button(panel):
    return panel._cancel


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_an_iterator_runs_while_the_panel_is_open(batch, files):
    with open_panel(batch) as panel:
        assert isinstance(panel, BatchPanel)
        assert panel.wait(60)
        state = panel.state
        assert (state.n_done, state.total, state.running, state.cancelled) == (4, 4, False, False)
        assert len(panel.value.fits) == 3
        assert "is constant" in panel._table.value  # the reason
        assert panel._table.value.count("night_") >= 3
        assert panel._plot.value.count("<img") == 1
        assert "fwhm of 3 files by image fits" in panel._plot.value
        assert (panel._bar.value, panel._bar.max) == (4, 4)
        assert button(panel).disabled
        assert [label for label, _ in panel._list.options][2].endswith(": failed")
        panel.select(2)
        assert "is constant" in panel._one.value
        panel.select(3)
        assert "fwhm" in panel._one.value
        wait_for(lambda: (thread := panel._thread) is None or not thread.is_alive(), 5)


def test_cancel_stops_at_once_and_keeps_what_is_done(files, images):
    many = FitImagePhotometryMP(files.path("wide"), images * 200, nworker=1)
    with open_panel(many) as panel:
        wait_for(lambda: panel.state.n_done >= 3)
        wait_for(lambda: panel._bar.value >= 3)  # the panel's own thread has looked
        begun = time.monotonic()
        button(panel).click()
        assert panel.wait(5)
        assert time.monotonic() - begun < 2.0
        state = panel.state
        assert state.cancelled
        assert 3 <= state.n_done < state.total == 800
        assert state.line.startswith("stopped: image fits of ")
        assert not panel.cancel()
        assert len(panel.value) == state.n_done
        assert button(panel).disabled


def test_worker_processes_end_with_the_panel(files, images):
    before = set(active_children())
    panel = open_panel(FitImagePhotometryMP(files.path("wide"), images * 50, nworker=2))
    wait_for(lambda: set(active_children()) - before)
    panel.close()
    assert panel._watch.wait(5)
    assert not set(active_children()) - before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nbmosaic batch")]


def test_an_image_that_raises_does_not_end_the_batch(files, images):
    watch = watch_batch(FitImagePhotometryMP(files.path("wide"), images, nworker=1, on_error="raise"))
    assert watch.wait(60)
    assert (len(watch.batch.fits), len(watch.batch.failures)) == (3, 1)
    assert watch.state.error == ""
    assert not watch.cancel()


def test_a_finished_batch_and_an_empty_one(files, images, checked_panel):
    skipping = FitImagePhotometryMP(files.path("ref"), images, nworker=1, on_error="skip")
    assert len(list(skipping)) == 4
    finished = skipping.batch
    with open_panel(finished) as panel:
        assert panel.value is finished
        assert panel._thread is None
        assert not panel.state.running
    checked_panel(lambda: open_panel(finished), "<script>")
    checked_panel(lambda: open_panel(type(finished)(())), "<script>")


def test_a_detached_batch_is_watched_by_its_handle(files):
    with new_shell() as shell:
        shell.run_cell("%load_ext nbmosaic").raise_error()
        pattern = files.folder / "night_*.fits"
        line = f"%psf batch {files.path('wide')} {pattern} --jobs 1 --detach as nights"
        handle = shell.run_cell(line).raise_error().value
        assert isinstance(handle, DetachedRun)
        with open_panel(handle) as panel:
            assert panel.wait(60)
            assert len(panel.value.fits) == 3
            assert panel.state.line.startswith("image fits of 3 images")
            assert not panel.state.error
        with open_panel(handle.result()) as panel:
            assert len(panel.value) == 3


def test_a_detached_batch_is_stopped_and_shows_what_is_done(files):
    pictures = [*files.images] * 150
    with new_shell() as shell:
        shell.run_cell("%load_ext nbmosaic").raise_error()
        shell.user_ns["pictures"] = pictures
        handle = shell.run_cell(f"%psf batch {files.path('wide')} {{pictures}} --jobs 1 --detach as nights").raise_error().value
        panel = open_panel(handle)
        wait_for(lambda: panel.state.n_done >= 2)
        button(panel).click()
        assert panel.wait(10)
        assert 2 <= len(panel.value) < 450
        assert panel.state.cancelled
        panel.close()


def test_closing_leaves_a_detached_batch_alone(files):
    ended = threading.Event()

    class Handle:
        cancelled = False

        def done(self):
            return ended.is_set()

        def cancel(self):
            self.cancelled = True
            return True

        def result(self, timeout=None):
            if not ended.wait(timeout):
                raise TimeoutError
            raise ConfigError("the reference is <script>")

    handle = Handle()
    panel = BatchPanel(watch_batch(handle))
    panel.close()
    assert not handle.cancelled
    again = BatchPanel(BatchWatch(handle))
    ended.set()
    assert again.wait(5)
    assert again.state.error == "the reference is <script>"
    assert "the reference is &lt;script&gt;" in again._line.value
    again.close()


def test_what_is_no_batch_is_refused():
    with pytest.raises(ConfigError, match="is no batch of fits"):
        BatchWatch(Path("night.fits"))
