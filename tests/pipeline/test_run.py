"""Runs as users hold them: a mapping, tables, code that makes the same again."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.errors import CellError, ConfigError, DisconnectedMosaicWarning, NbmosaicWarning, SkippedFrameWarning, StepError
from nbmosaic.pipeline.execution import Execution
from nbmosaic.pipeline.mosaic import mosaic_parameters, mosaic_recipe
from nbmosaic.pipeline.products import Background, Corrected, Frames, Grid, Mosaic, Overlaps, Projected
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.run import run_recipe

STAGES = {
    "images": Frames,
    "header": Grid,
    "project": Projected,
    "overlaps": Overlaps,
    "background": Background,
    "correct": Corrected,
    "coadd": Mosaic,
}


def carry_out(*steps, **options):
    return run_recipe(Recipe(steps=steps), execution=Execution(jobs=1), **options)


def test_a_run_is_a_mapping(done):
    assert list(done) == list(STAGES)
    assert len(done) == 7
    assert {name: type(product) for name, product in done.items()} == STAGES
    assert "project" in done
    assert "cutout" not in done
    assert done.mosaic is done["coadd"]
    with pytest.raises(KeyError):
        done["projct"]
    assert [record.state for record in done.log] == ["ran"] * 7
    assert [(record.n_in, record.n_out) for record in done.log][2:5] == [(6, 6), (6, len(done["overlaps"])), (len(done["overlaps"]), 6)]


def test_texts(done):
    lines = repr(done).splitlines()
    for stage, line in zip(STAGES, lines[1:], strict=False):
        assert re.match(rf"\s+{stage}\s+ran\s", line)
    html = done._repr_html_()
    assert "<table" in html
    assert re.search(r"<img [^>]*alt=", html)


def test_tables(done):
    for stage in ("images", "overlaps", "background"):
        pd.testing.assert_frame_equal(done.table(stage), done[stage].table)
    with pytest.raises(ConfigError, match="did you mean 'overlaps'"):
        done.table("overlap")
    with pytest.raises(ConfigError, match="it has images, header"):
        done.table("xyz")


def test_residuals(done):
    table = done.residuals()
    assert len(table) == len(done["overlaps"])
    used = table[table.weight > 0]
    assert len(used) > 5
    assert used.after.abs().median() < 0.02 * used.before.abs().median()
    assert used.after.abs().max() < 0.6, "the noise is 2"
    planes = done.table("background").set_index("id")
    overlaps = done.table("overlaps")
    x, y = overlaps.xcenter, overlaps.ycenter
    model = [
        (planes.a[p] - planes.a[m]) * xx + (planes.b[p] - planes.b[m]) * yy + planes.c[p] - planes.c[m]
        for p, m, xx, yy in zip(overlaps.plus, overlaps.minus, x, y, strict=True)
    ]
    np.testing.assert_allclose(table.before - np.array(model), table.after, atol=1e-9)


def test_names_of_products(field):
    run = carry_out(
        Step(stage="images", words=tuple(map(str, field.paths[:2])), name="two"),
        Step(stage="header"),
        Step(stage="project", options={"method": "nearest"}),
        Step(stage="coadd", name="one"),
        Step(stage="coadd", options={"combine": "median"}, name="other"),
    )
    assert list(run) == ["images", "header", "project", "coadd"]
    assert run["two"] is run["images"]
    assert run.mosaic is run["other"]
    assert run["one"].combine == "mean"
    pd.testing.assert_frame_equal(run.table("two"), run.table("images"))
    assert "one" in run._ipython_key_completions_()
    with pytest.raises(ConfigError, match="no background model"):
        run.residuals()
    again = carry_out(Step(stage="shrink", words=(2,)), base=run)
    assert again.mosaic.shape == tuple(n // 2 for n in run.mosaic.shape)
    assert again["images"] is run["images"]
    with pytest.raises(ConfigError, match="made no mosaic"):
        carry_out(Step(stage="images", words=(str(field.paths[0]),))).mosaic


def test_what_is_missing_is_known_before_anything_runs(field):
    with pytest.raises(CellError, match="project needs Grid") as caught:
        carry_out(Step(stage="images", words=("no such file",)), Step(stage="project", line=3, text="project"))
    assert caught.value.context["line"] == 3
    with pytest.raises(ConfigError, match="did you mean 'project'"):
        carry_out(Step(stage="projct"))


def test_a_failed_step_is_in_the_log(field):
    with pytest.raises(ConfigError) as caught:
        carry_out(Step(stage="images", words=(str(field.folder),)), Step(stage="header", options={"pad": -1.0}), Step(stage="show"))
    run = caught.value.context["run"]
    assert [record.state for record in run.log] == ["ran", "failed", "not run"]
    assert list(run) == ["images"]
    text = repr(run)
    assert all(word in text for word in ("ran", "failed", "not run"))


def test_what_is_not_ours_becomes_ours(field, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("nbmosaic.pipeline.grids.grid_of_frames", broken)
    with pytest.raises(StepError, match="header failed: ZeroDivisionError: by zero") as caught:
        nbmosaic.mosaic(field.folder)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_warnings_keep_their_class(field, tmp_path):
    blank = tmp_path / "blank.fits"
    fits.PrimaryHDU(np.full_like(field.frames[0].data, np.nan), field.frames[0].header).writeto(blank)
    with pytest.warns(SkippedFrameWarning, match=r"project left out 1 frame: .*blank\.fits: no valid pixel") as caught:
        run = nbmosaic.mosaic([field.paths[0], field.paths[1], blank], method="nearest")
    assert [str(warning.message) for warning in caught] == list(run.warnings)
    assert caught[0].filename == __file__
    with pytest.warns(DisconnectedMosaicWarning):
        nbmosaic.mosaic([field.paths[0], field.paths[5]], method="nearest")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbmosaicWarning)
        nbmosaic.mosaic([field.paths[0], field.paths[5]], method="nearest")


def test_python_code_makes_the_same_mosaic(field, tmp_path):
    template = tmp_path / "t.hdr"
    nbmosaic.save(nbmosaic.header(nbmosaic.images(field.folder), scale=1.5), template)
    run = nbmosaic.mosaic(
        list(field.paths),
        template=str(template),
        method="bilinear",
        slope=False,
        sigma=2.5,
        min_pixels=np.int64(60),
        reference=(1,),
        combine="clipped",
        kappa=np.float64(4.0),
        jobs=2,
    )
    code = run.to_python()
    assert code.startswith("import nbmosaic\n")
    scope = {}
    exec(code, scope)
    (mosaic,) = [value for value in scope.values() if isinstance(value, Mosaic)]
    np.testing.assert_array_equal(mosaic.data, run.mosaic.data)
    assert "jobs" not in code, "how it runs changes nothing"


def test_the_recipe_holds_what_was_asked_for(field):
    recipe = mosaic_recipe("raw/*.fits", method="bilinear", kappa=3.0, slope=False, match=True)
    options = {step.stage: dict(step.options) for step in recipe.steps}
    assert options == {
        "images": {},
        "header": {},
        "project": {"method": "bilinear"},
        "overlaps": {"slope": False},
        "background": {"slope": False},
        "correct": {},
        "coadd": {},
    }
    assert [step.stage for step in mosaic_recipe("x", match=False).steps] == ["images", "header", "project", "coadd"]
    assert mosaic_recipe(["a", "b"]).steps[0].words == ("a", "b")
    array = np.zeros((4, 4))
    assert mosaic_recipe((array, WCS(naxis=2))).steps[0].words[0][0] is array


def test_every_option_has_help():
    assert not [parameter.name for parameter in mosaic_parameters() if not parameter.help.strip()]


def test_plot_and_save(done, tmp_path):
    axes = done.plot()
    assert axes.figure is not None
    assert done.save(tmp_path / "m.fits") is done
    with fits.open(tmp_path / "m.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, done.mosaic.data)
        assert "UNKNOWN" not in repr(hdus[0].header)
