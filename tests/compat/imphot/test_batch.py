"""imphot's iterators: order, errors, workers, and what imphot's cannot (D1)."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from nbmosaic.compat import imphot

FILES = ("dev1", "dev2", "dev3", "dev4")


@pytest.fixture
def files(golden):
    return [golden.path(name) for name in FILES]


def test_results_in_the_order_of_the_files(golden, files):
    """``for``, ``next`` and ``next()``; the numbers of single fits."""
    options = {"fix_beta": 2.5}
    with imphot.FitImagePhotometryMP(golden.path("hst"), files, options, nworker=1) as images:
        assert len(images) == images.njob == 4
        got = [next(images), images.next(), *images]
    assert [fit.name for fit in got] == list(FILES)
    assert all(isinstance(fit, imphot.FittedImagePhotometry) for fit in got)
    for fit, file in zip(got[:2], files, strict=False):
        assert fit.summary() == imphot.fit_image_photometry(golden.path("hst"), file, **options).summary()
    with pytest.raises(StopIteration):
        next(images)
    assert list(images.table["name"]) == list(FILES)


@pytest.mark.parametrize("kind", ["star", "both"])
def test_stars_and_both(golden, files, kind):
    cls = imphot.FitStarPhotometryMP if kind == "star" else imphot.FitImageAndStarPhotometryMP
    options = {"star": golden.star(2), "fix_beta": 2.5}
    with ThreadPoolExecutor(2) as pool, cls(golden.path("hst"), files[:2], options, executor=pool) as fits:
        got = list(fits)
    single = imphot.fit_star_photometry(golden.path("hst"), files[1], **options)
    star = got[1] if kind == "star" else got[1][1]
    assert star.summary() == single.summary()
    if kind == "both":
        image = imphot.fit_image_photometry(golden.path("hst"), files[1], regions="star", **options)
        assert got[1][0].summary() == image.summary()
    with pytest.raises(imphot.UserError) as caught:
        cls(golden.path("hst"), files, {})
    assert str(caught.value) == golden.results["err/mp_nostar"]["message"]


def test_processes(golden, files):
    """Two workers; regions, masks and outputs of the arguments reach them."""
    options = {"fix_beta": 2.8, "regions": golden.path("exclude_stars.reg"), "extramask": golden.path("extramask")}
    with imphot.FitImagePhotometryMP(golden.path("hst"), files[:2], options, nworker=2) as images:
        assert images.nworker == 2
        got = [fit.summary() for fit in images]
    assert got[0] == imphot.fit_image_photometry(golden.path("hst"), files[0], **options).summary()
    assert len(got) == 2


def test_an_empty_list_yields_nothing(golden):
    with imphot.FitImagePhotometryMP(golden.path("hst"), []) as images:
        assert list(images) == []


def test_one_bad_file_is_its_own_error(golden, files):
    """imphot loses what is done and what is to come."""
    bad = [files[0], "nofile.fits", files[1]]
    with imphot.FitImagePhotometryMP(golden.path("hst"), bad, {"fix_beta": 2.5}, nworker=1) as images:
        assert next(images).name == "dev1"
        with pytest.raises(imphot.UserError) as caught:
            next(images)
        assert str(caught.value) == golden.second["mp/err/missing_muse"][1]
        assert [fit.name for fit in images.results] == ["dev1", "nofile"]
        assert next(images).name == "dev2"
    with imphot.FitImagePhotometryMP(golden.path("hst"), bad, {"fix_beta": 2.5}, nworker=1, on_error="skip") as images:
        got = list(images)
    assert [fit.name for fit in got] == ["dev1", "nofile", "dev2"]
    assert isinstance(got[1].error, imphot.UserError)
    assert [bool(error) for error in images.table["error"]] == [False, True, False]


def test_a_bad_reference_and_bad_arguments(golden, files):
    with imphot.FitImagePhotometryMP("nohst.fits", files[:1], nworker=1) as images, pytest.raises(imphot.UserError) as caught:
        next(images)
    assert str(caught.value) == golden.second["mp/err/missing_hst"][1]
    with pytest.raises(imphot.UserError) as caught:
        imphot.FitImagePhotometryMP(golden.path("hst"), files, {"fix_betta": 1})
    assert str(caught.value) == "fit_image_photometry() got an unexpected keyword argument 'fix_betta'"
    assert "fix_beta" in caught.value.hint
    for options, message in (({"nworker": 1, "on_error": "ignore"}, "on_error"), ({"order": "random"}, "order")):
        with pytest.raises(imphot.UserError, match=message):
            imphot.FitImagePhotometryMP(golden.path("hst"), files, {}, **options)
    with pytest.raises(imphot.UserError, match="Region file error"):
        imphot.FitImagePhotometryMP(golden.path("hst"), files, {"regions": "no.reg"})


def test_a_worker_that_breaks_is_a_worker_error(golden, files):
    """Not a mistake of the user: the message, then the lines of the traceback."""

    class Broken(ThreadPoolExecutor):
        def submit(self, function, task):
            return super().submit(divide)

    def divide():
        return 1 // 0

    with (
        Broken(1) as pool,
        imphot.FitImagePhotometryMP(golden.path("hst"), files[:1], executor=pool) as images,
        pytest.raises(imphot.WorkerError, match="ZeroDivisionError"),
    ):
        next(images)


def test_files_and_plots_of_a_batch(golden, tmp_path):
    paths = [golden.plain(name, tmp_path) for name in FILES[:2]]
    hst = shutil.copy(golden.path("hst"), tmp_path)
    options = {"fix_beta": 2.8, "apply": True, "save": True, "star": golden.star(0)}
    with imphot.FitImageAndStarPhotometryMP(hst, paths, options, nworker=1) as fits:
        assert len(list(fits)) == 2
    names = {one.name for one in tmp_path.iterdir()}
    for name in FILES[:2]:
        assert {
            f"{name}_{part}.fits" for part in ("aligned", "image", "hst_model", "residual", "fft", "hst_model_fft", "residual_fft")
        } <= names
