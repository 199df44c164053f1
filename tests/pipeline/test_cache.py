"""What is kept between runs, and when it is not good any more."""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.errors import DisconnectedMosaicWarning, FormatError, MosaicCancelled
from nbmosaic.pipeline.caching.cache import RunCache, as_cache, session_cache
from nbmosaic.pipeline.caching.keys import ProductKeys, Unkeyable, array_sum, digest
from nbmosaic.pipeline.execution import Execution, NoProgress
from nbmosaic.pipeline.mosaic import mosaic_recipe
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.run import run_recipe
from nbmosaic.pipeline.simulation.frames import simulate_frames

STAGES = ["images", "header", "project", "overlaps", "background", "correct", "coadd"]
JOBS = {"jobs": 1}


@pytest.fixture
def raw(clean_field, tmp_path):
    """Frames that a test may change."""
    return Path(shutil.copytree(clean_field.folder, tmp_path / "raw"))


@pytest.fixture
def cache(tmp_path):
    return RunCache(tmp_path / "cache", memory=10**9, disk=10**9)


def carry_out(recipe, cache, *, fresh=(), **options):
    return run_recipe(recipe, execution=Execution(**(JOBS | options)), cache=cache, fresh=fresh)


def states(run):
    return {record.step.stage: record.state for record in run.log}


def ran(run):
    return [record.step.stage for record in run.log if record.state == "ran"]


def with_options(recipe, stage, **options):
    return replace(recipe, steps=tuple(replace(step, options=options) if step.stage == stage else step for step in recipe.steps))


def test_nothing_runs_again(raw, cache):
    recipe = mosaic_recipe(str(raw), method="bilinear")
    first, second = (carry_out(recipe, cache) for _ in range(2))
    assert states(first) == dict.fromkeys(STAGES, "ran")
    assert states(second) == dict.fromkeys(STAGES, "cached")
    np.testing.assert_array_equal(first.mosaic.data, second.mosaic.data)
    assert [r.n_out for r in first.log] == [r.n_out for r in second.log]
    assert "cached" in repr(second)


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("header", {"pad_pix": 3}),
        ("project", {"method": "bilinear"}),
        ("overlaps", {"sigma": 4.0}),
        ("background", {"slope": False}),
        ("coadd", {"combine": "median"}),
    ],
)
def test_a_changed_option_runs_its_stage_and_those_after_it(raw, cache, stage, options):
    recipe = mosaic_recipe(str(raw), method="nearest")
    carry_out(recipe, cache)
    changed = with_options(recipe, stage, **options)
    run = carry_out(changed, cache)
    assert ran(run) == STAGES[STAGES.index(stage) :]
    alone = run_recipe(changed, execution=Execution(jobs=1))
    np.testing.assert_array_equal(run.mosaic.data, alone.mosaic.data)
    assert ran(carry_out(recipe, cache)) == [], "the first results are still there"


def test_what_says_only_how_to_run_is_not_in_the_key(raw, cache, tmp_path):
    recipe = mosaic_recipe(str(raw), method="nearest")
    carry_out(recipe, cache)
    steps = [replace(step, line=n, text=f"{step.stage} # a comment", name=f"n{n}") for n, step in enumerate(recipe.steps)]
    steps[2] = replace(steps[2], options=dict(steps[2].options) | {"jobs": 2, "max_memory": "50MB"})
    assert ran(carry_out(Recipe(steps=tuple(steps)), cache, jobs=2, max_memory=10**8, scratch=tmp_path)) == []


def test_a_default_that_is_written_out_is_the_same(raw, cache):
    recipe = mosaic_recipe(str(raw), method="nearest")
    carry_out(recipe, cache)
    assert ran(carry_out(with_options(recipe, "coadd", combine="mean", kappa=3.0), cache)) == []


def test_a_changed_file_runs_what_depends_on_it_and_nothing_else(raw, cache, tmp_path):
    other = shutil.copytree(raw, tmp_path / "other")
    steps = []
    for folder in (raw, other):
        part = mosaic_recipe(str(folder), method="nearest").steps
        steps += [replace(step, text=str(folder)) for step in part]
    recipe = Recipe(steps=tuple(steps))
    first = carry_out(recipe, cache)
    path = sorted(raw.glob("*.fits"))[1]
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[20:30, 20:30] += 1000.0
    run = carry_out(recipe, cache)
    assert [r.state for r in run.log] == ["ran"] * 7 + ["cached"] * 7
    assert "5 of 6 frames kept" in run.log[2].key, "five frames are as they were"
    assert first.log[2].key == run.log[2].key.partition(", 5 of 6")[0]
    alone = run_recipe(mosaic_recipe(str(raw), method="nearest"), execution=Execution(jobs=1))
    np.testing.assert_array_equal(carry_out(Recipe(steps=tuple(steps[:7])), cache).mosaic.data, alone.mosaic.data)


def test_a_new_or_removed_file_is_seen(raw, cache):
    recipe = mosaic_recipe(f"{raw}/*.fits", method="nearest")
    carry_out(recipe, cache)
    max(raw.glob("*.fits")).unlink()
    run = carry_out(recipe, cache)
    assert len(run["images"]) == 5
    assert ran(run) == STAGES


def test_a_changed_mask_is_seen(raw, cache):
    for path in raw.glob("*.fits"):
        data = fits.getdata(path)
        fits.writeto(path.with_suffix(".msk"), (data > 1e9).astype(np.uint8))
    recipe = mosaic_recipe(f"{raw}/*.fits", method="nearest", mask=f"{raw}/{{stem}}.msk")
    first = carry_out(recipe, cache)
    assert ran(carry_out(recipe, cache)) == []
    path = min(raw.glob("*.msk"))
    bad = fits.getdata(path)
    bad[:20] = 1
    fits.writeto(path, bad, overwrite=True)
    run = carry_out(recipe, cache)
    assert ran(run) == STAGES
    assert (run["project"].table.nvalid != first["project"].table.nvalid).sum() == 1


def test_a_changed_template_is_seen(raw, cache, tmp_path):
    template = tmp_path / "m.hdr"
    grid = carry_out(mosaic_recipe(str(raw), method="nearest"), cache)["header"]
    template.write_text(grid.text)
    recipe = mosaic_recipe(str(raw), method="nearest", template=str(template))
    carry_out(recipe, cache)
    assert ran(carry_out(recipe, cache)) == []
    template.write_text(grid.text + "COMMENT longer\n")
    run = carry_out(recipe, cache)
    assert [name for name in STAGES if name not in ran(run)] == ["images", "project"], "the same grid: all projected frames are on disk"


def test_values_changed_in_place_are_not_given_again(raw, cache):
    recipe = mosaic_recipe(str(raw), method="nearest")
    first = carry_out(recipe, cache)
    right = first.mosaic.data.copy()
    first.mosaic.data[5, 5] = 7.0
    del first["overlaps"].table["rms"]
    second = carry_out(recipe, cache)
    assert ran(second) == ["coadd"]
    np.testing.assert_array_equal(second.mosaic.data, right)
    assert "rms" in second["overlaps"].table


def test_a_mosaic_in_a_file_is_mapped_anew(cache, tmp_path, field):
    recipe = mosaic_recipe(str(field.folder), method="nearest")
    first = carry_out(recipe, cache, max_memory=1_000_000, scratch=tmp_path)
    right = np.array(first.mosaic.data)
    assert first.mosaic.owner is not None, "it is too large for the memory"
    first._repr_html_()
    picture = first.mosaic.__dict__["_drawn"][1]
    assert carry_out(recipe, cache, max_memory=1_000_000, scratch=tmp_path).mosaic.__dict__["_drawn"][1] is picture, "it is not drawn again"
    first.mosaic.data[:] = 0
    second = carry_out(recipe, cache, max_memory=1_000_000, scratch=tmp_path)
    assert ran(second) == []
    np.testing.assert_array_equal(second.mosaic.data, right)


def test_fresh_stages_run_and_what_comes_of_them(raw, cache):
    recipe = mosaic_recipe(str(raw), method="nearest")
    first = carry_out(recipe, cache)
    run = carry_out(recipe, cache, fresh={2})
    assert ran(run) == STAGES[2:], "all frames are projected again, and all that follows"
    assert run["project"].store is not first["project"].store
    assert ran(carry_out(recipe, cache, fresh=range(7))) == STAGES
    assert ran(carry_out(recipe, cache)) == []


def test_warnings_are_given_again(cache, tmp_path):
    for number, ra in enumerate((10.0, 20.0)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [ra, 0], [-1, 1], [3, 3]
        fits.writeto(tmp_path / f"f{number}.fits", np.ones((5, 5), np.float32), wcs.to_header())
    recipe = mosaic_recipe(str(tmp_path / "f*.fits"), method="nearest")
    for _ in range(2):
        run = carry_out(recipe, cache)
        assert [type(warning) for warning in run.caught] == [DisconnectedMosaicWarning]
    assert ran(run) == []


def test_outputs_are_written_again_when_they_are_gone_or_changed(raw, cache, tmp_path):
    steps = (
        *mosaic_recipe(str(raw), method="nearest").steps,
        Step(stage="save", words=(str(tmp_path / "m.fits"),), options={"overwrite": True}),
    )
    recipe = Recipe(steps=steps)
    carry_out(recipe, cache)
    assert ran(carry_out(recipe, cache)) == []
    (tmp_path / "m.fits").unlink()
    assert ran(carry_out(recipe, cache)) == ["save"]
    (tmp_path / "m.fits").write_bytes(b"other")
    assert ran(carry_out(recipe, cache)) == ["save"]
    assert fits.getdata(tmp_path / "m.fits").ndim == 2


def test_products_of_earlier_cells_and_tables_are_known(raw, cache):
    recipe = mosaic_recipe(str(raw), method="nearest")
    run = carry_out(recipe, cache)

    def later(**inputs):
        step = Step(stage="background", options={"slope": False}, inputs=inputs)
        return ran(carry_out(Recipe(steps=(step,)), cache))

    table = run["overlaps"].table
    assert later(overlaps=run["overlaps"]) == ["background"]
    assert later(overlaps=carry_out(recipe, cache)["overlaps"]) == [], "another object, the same values"
    assert later(overlaps=table) == ["background"]
    assert later(overlaps=table.copy()) == []
    assert later(overlaps=table[table.npixel > table.npixel.min()]) == ["background"]
    plain = nbmosaic.overlaps(run["project"])
    assert later(overlaps=plain) == ["background"]
    assert later(overlaps=plain) == []


def test_images_in_memory(clean_field, cache):
    frames = []
    for path in sorted(Path(clean_field.folder).glob("*.fits"))[:2]:
        data, header = fits.getdata(path, header=True)
        frames.append((np.array(data), WCS(header)))
    recipe = mosaic_recipe(frames, method="nearest", match=False)
    carry_out(recipe, cache)
    assert ran(carry_out(recipe, cache)) == []
    frames[1][0][3, 4] += 1.0
    assert ran(carry_out(recipe, cache)) == ["images", "header", "project", "coadd"]
    images = [CCDData(data, wcs=wcs, unit="adu") for data, wcs in frames]
    recipe = mosaic_recipe(images, method="nearest", match=False)
    carry_out(recipe, cache)
    assert ran(carry_out(recipe, cache)) == []
    images[0].mask = frames[0][0] > 1e9
    assert ran(carry_out(recipe, cache))[0] == "images"


def test_a_value_without_a_key_is_never_cached(raw, cache):
    class Strange(dict):
        """Tells nothing of itself."""

        cards = ()

    step = Step(stage="images", words=(str(raw),), options={"weights": Strange()})
    key_error = pytest.raises(Unkeyable, match="weights")
    from nbmosaic.pipeline.registry import stage_spec

    with key_error:
        cache.key(step, stage_spec("images"), {})


def test_the_least_recently_used_goes_first(raw, tmp_path):
    recipe = mosaic_recipe(str(raw), method="nearest")
    probe = RunCache(tmp_path / "a", memory=10**9)
    size = carry_out(recipe, probe).mosaic and probe.size
    cache = RunCache(tmp_path / "b", memory=size + 1000)
    carry_out(recipe, cache)
    carry_out(with_options(recipe, "coadd", combine="median"), cache)
    assert cache.size <= cache.memory
    assert "coadd" not in ran(carry_out(with_options(recipe, "coadd", combine="median"), cache))[:-1]
    tiny = RunCache(tmp_path / "c", memory=0)
    carry_out(recipe, tiny)
    run = carry_out(recipe, tiny)
    assert "coadd" in ran(run)
    assert states(run)["project"] == "cached", "from the frames on disk"


def test_the_table_and_clearing(raw, cache):
    carry_out(mosaic_recipe(str(raw), method="nearest"), cache)
    run = carry_out(mosaic_recipe(str(raw), method="nearest"), cache)
    table = cache.table
    assert set(table.stage) == {*STAGES, "(disk)"}
    assert table.set_index("stage").hits["coadd"] == 1
    assert table.disk_mb.max() > 0
    assert cache.clear("coadd") == 1
    assert cache.clear() == 6
    assert len(cache.units.files()) == 6, "frames that a product uses stay"
    del run
    import gc

    gc.collect()
    cache.clear()
    assert cache.units.files() == []


class StopAt(NoProgress):
    """The user presses stop at a unit of a stage."""

    def __init__(self, stage, unit):
        self.wanted, self.unit, self.stage, self.seen = stage, unit, "", 0

    def start(self, stage, total):
        self.stage = stage

    def advance(self, n=1):
        self.seen += n * (self.stage == self.wanted)
        if self.seen == self.unit:
            raise KeyboardInterrupt


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_stopped_projection_goes_on_with_the_same_bits(raw, cache, tmp_path, jobs):
    recipe = mosaic_recipe(str(raw))
    with pytest.raises(MosaicCancelled):
        run_recipe(recipe, execution=Execution(jobs=jobs, progress=StopAt("project", 4)), cache=cache)
    kept = len(cache.units.files())
    assert 4 <= kept <= 6
    for other in (cache, RunCache(tmp_path / "cache", memory=10**9)):
        run = carry_out(recipe, other)
        if other is cache:
            assert f"{kept} of 6 frames kept" in run.log[2].key or kept == 6
    alone = nbmosaic.mosaic(str(raw), jobs=1)
    for name in ("data", "area", "count", "variance"):
        np.testing.assert_array_equal(getattr(run.mosaic, name), getattr(alone.mosaic, name))
    pd.testing.assert_frame_equal(run.table("overlaps"), alone.table("overlaps"))
    pd.testing.assert_frame_equal(run.table("project"), alone.table("project"))


def test_worker_processes_keep_frames_too(raw, cache, pool):
    recipe = mosaic_recipe(str(raw))
    run = carry_out(recipe, cache, executor=pool)
    assert len(cache.units.files()) == 6
    alone = nbmosaic.mosaic(str(raw), jobs=1)
    np.testing.assert_array_equal(run.mosaic.data, alone.mosaic.data)


def test_mosaic_takes_a_cache(raw, tmp_path):
    options = {"method": "nearest", "jobs": 1}
    first = nbmosaic.mosaic(str(raw), cache=str(tmp_path / "c"), **options)
    assert ran(nbmosaic.mosaic(str(raw), cache=str(tmp_path / "c"), **options)) == []
    assert ran(nbmosaic.mosaic(str(raw), **options)) == STAGES, "off unless it is asked for"
    empty = RunCache(tmp_path / "d")
    assert ran(nbmosaic.mosaic(str(raw), cache=empty, **options)) == STAGES
    assert len(empty) == 7
    assert list((tmp_path / "c").glob("session-*/*.unit"))
    assert first.mosaic.data.ndim == 2
    assert as_cache(True) is session_cache()
    assert as_cache(None) is None


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "c"
    folder.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(FormatError, match="another user"):
        RunCache(folder).units.path("x")


def test_digests():
    keys = ProductKeys()
    values = [
        None,
        True,
        1,
        1.0,
        "1",
        b"1",
        (1,),
        ("1",),
        (1, 2),
        ((1,), 2),
        {"a": 1},
        np.arange(3),
        np.arange(3.0),
        np.ma.masked_equal([1, 2], 1),
    ]
    values += [
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"b": [1, 2]}),
        pd.DataFrame({"a": [1, 3]}),
        fits.Header({"A": 1}),
        fits.Header({"A": 2}),
    ]
    values += [fits.PrimaryHDU(np.ones((2, 2))), fits.HDUList([fits.PrimaryHDU()]), WCS(naxis=2), ["ab", "c"], ["a", "bc"]]
    assert len({digest(value, products=keys) for value in values}) == len(values)
    assert digest([1, "a"]) == digest((1, "a"))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    for value in (object(), len, np.array([object()]), pd.DataFrame({"a": [[1]]})):
        with pytest.raises(Unkeyable):
            digest(value)


def test_sums_see_every_change():
    rng = np.random.default_rng(4)
    data = rng.normal(size=(300, 301)).astype(np.float32)
    before = array_sum(data)
    assert array_sum(data.copy()) == before
    for change in (
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: -a,
        lambda a: a * 2,
        lambda a: np.roll(a, 1),
        lambda a: a.T.reshape(300, 301),
    ):
        assert array_sum(change(data)) != before
    for index in ((0, 0), (150, 7), (299, 300)):
        other = data.copy()
        other[index] = np.nextafter(other[index], np.float32(9))
        assert array_sum(other) != before


def test_runs_in_threads_keep_their_own_warnings(cache, tmp_path):
    from nbmosaic.pipeline.thread_warnings import recorded

    started, go_on, got = threading.Event(), threading.Event(), []

    def run():
        with recorded() as caught:
            warnings.warn("from the thread", UserWarning, stacklevel=1)
            started.set()
            go_on.wait(10)
        got.extend(str(warning.message) for warning in caught)

    with warnings.catch_warnings(record=True) as outside:
        warnings.simplefilter("always")
        thread = threading.Thread(target=run)
        before = warnings.showwarning
        thread.start()
        started.wait(10)
        warnings.warn("from the cell", UserWarning, stacklevel=1)
        go_on.set()
        thread.join()
        warnings.showwarning = before
    assert got == ["from the thread"]
    assert [str(warning.message) for warning in outside] in (["from the cell"], [])


def test_simulated_frames_change_the_key(cache, tmp_path):
    simulate_frames(tmp_path / "s", n_frames=2, size=48, seed=1)
    recipe = mosaic_recipe(str(tmp_path / "s"), method="nearest")
    carry_out(recipe, cache)
    shutil.rmtree(tmp_path / "s")
    simulate_frames(tmp_path / "s", n_frames=2, size=48, seed=2)
    assert ran(carry_out(recipe, cache)) == STAGES


def test_files_that_only_a_header_names_are_seen(raw, cache, tmp_path):
    exposure, mask = tmp_path / "e.fits", tmp_path / "bad.fits"
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for path in sorted(raw.glob("*_cd.fits"))[:1] or sorted(raw.glob("*.fits"))[:1]:
        data, header = fits.getdata(path, header=True)
        header["BPM"] = mask.name  # beside the exposure
        hdus.append(fits.ImageHDU(data, header))
    hdus.writeto(exposure)
    fits.writeto(mask, np.zeros(data.shape, np.int16))
    recipe = Recipe(steps=(Step(stage="mscimage", words=(str(exposure),)), Step(stage="coadd")))
    first = carry_out(recipe, cache)
    assert ran(carry_out(recipe, cache)) == []
    bad = np.zeros(data.shape, np.int16)
    bad[20:30, 20:30] = 1
    fits.writeto(mask, bad, overwrite=True)
    os.utime(mask, ns=(1, 2))
    for forget in (None, "mscimage"):
        if forget:
            cache.clear(forget)
        run = carry_out(recipe, cache)
        assert ran(run) == (["mscimage", "coadd"] if forget is None else ["mscimage"])
        assert int(run.mosaic.mask.sum()) > int(first.mosaic.mask.sum())


def test_a_full_disk_stops_no_run_that_fits_the_memory(raw, cache, monkeypatch):
    from nbmosaic.pipeline import store

    def full(*_):
        raise FormatError("cannot write scratch file x: the disk is full")

    monkeypatch.setattr(store, "write_unit", full)
    run = carry_out(mosaic_recipe(str(raw), method="nearest"), cache)
    assert ran(run) == STAGES
    assert len(run.warnings) == 6
    assert all("not kept for later runs: cannot write" in text for text in run.warnings)


def test_two_runs_at_once_share_a_cache(raw, cache):
    recipe = mosaic_recipe(str(raw), method="nearest")
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(carry_out(recipe, cache))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 4
    for run in runs:
        np.testing.assert_array_equal(run.mosaic.data, runs[0].mosaic.data)


def test_halves_and_old_frames_go(raw, cache):
    carry_out(mosaic_recipe(str(raw), method="nearest"), cache)
    cache.clear()
    import gc

    gc.collect()
    folder = cache.units.folder
    for name in ("a.unit", "b.unit", "a.unit.1-2.part", "b.unit.1-2.part"):
        (folder / name).write_bytes(b"x")
    for name in ("a.unit", "a.unit.1-2.part"):
        os.utime(folder / name, (1, 1))
    cache.units.trim()
    assert sorted(
        path.name for path in folder.iterdir() if path.suffix in {".unit", ".part"} and path.name[0] in "ab" and len(path.stem) < 12
    ) == [
        "b.unit",
        "b.unit.1-2.part",
    ]
    assert cache.units.find({0: "b"}, {0: "b"}) == {}, "it is no whole frame"


def test_products_that_are_tuples_can_be_kept(cache):
    from nbmosaic.pipeline.caching.cache import CacheEntry
    from nbmosaic.pipeline.product import Product

    class Pair(Product, tuple):  # noqa: SLOT001 - its key is kept in __dict__
        """As a fit of image and star is."""

    pair = Pair((1, 2))
    cache.keep("k", CacheEntry(stage="x", product=pair), Step(stage="x"))
    entry = cache.find("k")
    fresh = cache.product(entry)
    assert fresh is not pair
    assert fresh == (1, 2)
    assert cache.keys.key(fresh) == cache.keys.key(pair) == "k"
    assert cache.keys.key(Pair((1, 2))) != "k", "it is not known what made it"
