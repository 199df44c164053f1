"""Batches of fits: order, errors, workers that die, Ctrl-C, other executors, tables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.psf_files import KillOnce, PsfFiles, star_place

import nbmosaic
from nbmosaic.errors import ConfigError, FormatError, NbmosaicError
from nbmosaic.pipeline.photometry.batch import FitImageAndStarPhotometryMP, FitImagePhotometryMP, FitStarPhotometryMP, worker_count
from nbmosaic.pipeline.photometry.inputs import read_image

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return PsfFiles.write(tmp_path_factory.mktemp("batch"), 4)


@pytest.fixture(scope="module")
def single(files):
    """FWHM of every image by single fits."""
    return [nbmosaic.fit_image_photometry(files.path("ref"), path).fwhm.value for path in files.images]


def children() -> set[int]:
    """Processes that this one has started and not waited for, those of its servers too."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == os.getpid() and words[0] != "Z":
            found.add(int(path.parent.name))
    return found


def test_two_workers_give_the_same_in_the_order_of_the_images(files, single):
    names = [*files.images[:2], str(files.folder / "missing.fits"), *files.images[2:]]
    with FitImagePhotometryMP(files.path("ref"), names, nworker=2, on_error="skip", start_method="forkserver") as fits:
        workers = fits.nworker
        results = list(fits)
        assert list(fits) == []
    assert workers == 2
    assert [one.name for one in results] == ["night_1", "night_2", "missing", "night_3", "night_4"]
    assert [one.fwhm.value for one in results if one.error is None] == pytest.approx(single, rel=1e-9)
    failed = results[2]
    assert isinstance(failed.error, FormatError)
    assert "missing.fits" in str(failed.error)
    assert "Traceback" in failed.error.context["traceback"]
    table = fits.table
    assert list(table["error"] != "") == [False, False, True, False, False]
    assert table["fwhm_err"].notna().sum() == 4
    assert results[0].request.image == files.images[0]


def test_next_results_and_errors_that_are_raised(files, single):
    names = [files.images[0], str(files.folder / "missing.fits"), files.images[1]]
    fits = FitImagePhotometryMP(files.path("ref"), names, nworker=1)
    assert fits.next().fwhm.value == single[0]
    with pytest.raises(FormatError, match="missing"):
        next(fits)
    assert [one.name for one in fits.results] == ["night_1", "missing"]  # nothing that was done is lost
    assert next(fits).fwhm.value == single[1]  # and the rest can still be had
    with pytest.raises(StopIteration):
        next(fits)


def test_as_completed_and_threads(files, single):
    with ThreadPoolExecutor(2) as pool, FitImagePhotometryMP(files.path("ref"), files.images, executor=pool, order="completed") as fits:
        found = {one.name: one.fwhm.value for one in fits}
    assert [found[name] for name in sorted(found)] == pytest.approx(single, rel=1e-9)
    reference, images = read_image(files.path("ref")), [read_image(path) for path in files.images[:2]]
    with ThreadPoolExecutor(2) as pool, FitImagePhotometryMP(reference, images, executor=pool) as fits:
        assert [one.fwhm.value for one in fits] == pytest.approx(single[:2], rel=1e-9)


def test_images_in_memory_are_sent_to_spawned_workers(files, single):
    before = children()
    reference, images = read_image(files.path("ref")), [read_image(path) for path in files.images[:2]]
    with FitImagePhotometryMP(reference, images, nworker=2, start_method="spawn") as fits:
        results = list(fits)
    assert [one.fwhm.value for one in results] == pytest.approx(single[:2], rel=1e-9)
    assert results[0].request.image is images[0]
    assert not results[0].has_pictures
    assert len(results[0].plot()) == 6  # fitted again
    time.sleep(0.1)
    assert len(children() - before) <= 1  # the tracker of resources stays, no worker


def test_a_worker_that_dies_costs_no_image(files, single, tmp_path):
    killer = KillOnce(owner=os.getpid(), flag=str(tmp_path / "killed"), shape=(80, 80))
    with FitImagePhotometryMP(files.path("ref"), files.images[:3], {"extramask": killer}, 2) as fits:
        assert [one.fwhm.value for one in fits] == pytest.approx(single[:3], rel=1e-9)
    assert (tmp_path / "killed").exists()


def test_an_empty_list_yields_nothing(files):
    for kind, options in ((FitImagePhotometryMP, {}), (FitStarPhotometryMP, {"star": star_place()})):
        with kind(files.path("ref"), [], options) as fits:
            assert list(fits) == []
        assert len(fits.table) == 0
        assert "0 images" in repr(fits)


def test_star_fits_and_both(files):
    options = {"star": star_place(), "fix_beta": 2.8}
    with FitStarPhotometryMP(files.path("ref"), files.images[:2], options, 1) as fits:
        stars = list(fits)
    with FitImageAndStarPhotometryMP(files.path("ref"), files.images[:2], options, 1) as fits:
        pairs = list(fits)
        table = fits.table
    assert [pair.star.fwhm.value for pair in pairs] == [one.fwhm.value for one in stars]
    assert list(table["star_fwhm"]) == [one.fwhm.value for one in stars]
    assert "beta" in table["fixed"][0]
    assert len(table) == 2


def test_options_are_checked_before_any_work(files):
    with pytest.raises(ConfigError, match="has no option 'fix_betas'; did you mean 'fix_beta'"):
        FitImagePhotometryMP(files.path("ref"), files.images, {"fix_betas": 2.8})
    with pytest.raises(ConfigError, match="needs star"):
        FitStarPhotometryMP(files.path("ref"), files.images)
    with pytest.raises(ConfigError, match="one file name"):
        FitImagePhotometryMP(files.path("ref"), files.images[0])
    for options in ({"order": "random"}, {"on_error": "ignore"}, {"start_method": "clone"}):
        with pytest.raises(ConfigError, match="cannot be"):
            FitImagePhotometryMP(files.path("ref"), files.images, **options)


def test_options_that_cannot_be_sent(files):
    with (
        pytest.raises(ConfigError, match="cannot be sent to other processes"),
        FitImagePhotometryMP(files.path("ref"), files.images, {"extramask": lambda: None}, 2) as fits,
    ):
        next(fits)


def test_numbers_of_workers(monkeypatch):
    monkeypatch.setattr("nbmosaic.pipeline.photometry.batch.available_cpus", lambda: 8)
    assert [worker_count(n, 100) for n in (0, 3, -1, -8, -20)] == [8, 3, 7, 1, 1]
    assert worker_count(0, 2) == 2


def test_an_empty_image_or_a_changed_reference(files, tmp_path):
    """A worker reads its reference once, and again when the file has changed."""
    copy = tmp_path / "ref.fits"
    copy.write_bytes(Path(files.path("ref")).read_bytes())
    before = next(FitImagePhotometryMP(str(copy), files.images[:1], nworker=1)).scale.value
    image = read_image(files.path("ref"))
    nbmosaic.regrid(image.changed(data=2 * image.data), image).save(copy, overwrite=True)
    os.utime(copy, ns=(1, 1))
    after = next(FitImagePhotometryMP(str(copy), files.images[:1], nworker=1)).scale.value
    assert after == pytest.approx(before / 2, rel=0.05)


def group(number: int) -> list[str]:
    """Processes of a process group, without those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        words = text.rpartition(")")[2].split()
        if int(words[2]) == number and words[0] != "Z":
            found.append(text.partition(" (")[0] + " " + Path(path.parent / "cmdline").read_text().replace("\0", " ")[:120])
    return found


SCRIPT = """
import sys, nbmosaic
reference, image = sys.argv[1:]  # no guard: workers do not import the script
with nbmosaic.FitImagePhotometryMP(reference, [image] * 100000, nworker=2) as fits:
    for number, fit in enumerate(fits):
        if number == 2:
            print("running", flush=True)
"""


def test_stop_ends_at_once_and_leaves_no_process(files, tmp_path):
    script = tmp_path / "batch.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), files.path("ref"), files.images[0]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "running"
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, errors = process.communicate(timeout=30)
        assert time.monotonic() - begun < 5
        assert "KeyboardInterrupt" in errors
        limit = time.monotonic() + 5
        while group(process.pid) and time.monotonic() < limit:  # the fork server ends when it sees that its parent is gone
            time.sleep(0.05)
        assert group(process.pid) == []
    finally:
        if process.poll() is None:
            process.kill()


# --- the stage and the product -----------------------------------------------------------------------------------------


def test_the_stage_takes_patterns(files, single):
    batch = nbmosaic.fit_photometry_batch(
        files.path("ref"), str(files.folder / "night_*.fits"), str(files.folder / "none.fits"), on_error="skip"
    )
    assert [fit.fwhm.value for fit in batch.fits] == pytest.approx(single, rel=1e-9)
    assert [failure.name for failure in batch.failures] == ["none"]
    assert len(batch) == 5
    assert batch["night_2"].fwhm.value == single[1]
    assert batch[0].name == "night_1"
    assert batch.summary().count("\n") == 6
    assert "1 failed" in batch.title
    html = batch._repr_html_()
    assert "no such file" in html
    assert "<img" in html
    assert batch.plot().get_ylabel() == "fwhm [arcsec]"
    with pytest.raises(NbmosaicError, match=r"none\.fits"):
        nbmosaic.fit_photometry_batch(files.path("ref"), str(files.folder / "none.fits"))
    with pytest.raises(ConfigError, match="there is no result of 'night_9'"):
        batch["night_9"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "stars"}, "did you mean 'star'"),
        ({"method": "star"}, "needs a star"),
        ({"method": "star", "star": (1, 2, 3), "segment": True}, "segment is no option"),
        ({"radius": 2.0}, "radius is no option"),
        ({"estimator": "window"}, "window is no estimator of method='image'"),
        ({"method": "star", "star": (1, 2, 3), "estimator": "whitened"}, "whitened is no estimator"),
    ],
)
def test_options_that_a_kind_of_fit_does_not_have(files, options, message):
    with pytest.raises(ConfigError, match=message):
        nbmosaic.fit_photometry_batch(files.path("ref"), *files.images, **options)


def test_an_estimator_for_all(files):
    batch = nbmosaic.fit_photometry_batch(
        files.path("ref"), *files.images[:1], estimator="imphot", fix_beta=2.8, method="both", star=star_place()
    )
    assert [one.result.method for one in batch[0]] == ["imphot", "imphot"]
    assert np.isfinite(batch.table["fwhm"]).all()


def test_flagged_values_are_said(files):
    fits = FitImagePhotometryMP(files.path("ref"), files.images[:1], {"bounds": {"fwhm": (0.2, 0.4)}}, 1)
    next(fits)
    assert fits.table["flags"][0] == "fwhm at bound"
    assert "at bound" in repr(fits)
