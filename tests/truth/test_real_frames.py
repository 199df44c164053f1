"""Real 2MASS frames through a ``%%mosaic`` cell, against MontagePy run on the same frames and grid in the same test."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.measure import overlap_statistics
from support.montage import run_montage
from support.shared import shared_path
from support.shell import new_shell

SETS = ("2mass_steps", *(pytest.param(name, marks=pytest.mark.slow) for name in ("2mass_m42_small", "2mass_m42")))
CELL = """%%mosaic field
images   {{folder}}/*.fits.gz
header   {{folder}}/montage_ref/template.hdr
project  --method {method}
overlaps as pairs
background as planes
correct
coadd
"""


def stem(name: str) -> str:
    return Path(name).name.split(".fits")[0]


@pytest.fixture(scope="module", params=SETS)
def case(request, tmp_path_factory) -> SimpleNamespace:
    """Both programs on one set: Montage's run, our runs with two kernels out of cells of one shell."""
    folder = shared_path(f"data/{request.param}")
    files = sorted(folder.glob("*.fits.gz"))
    montage = run_montage(files, folder / "montage_ref/template.hdr", tmp_path_factory.mktemp("montage") / "run")
    runs = {}
    with new_shell() as shell:
        shell.user_ns["folder"] = folder
        shell.run_cell("%load_ext nbmosaic").raise_error()
        for method in ("spline", "bilinear"):
            shell.run_cell(CELL.format(method=method)).raise_error()
            runs[method] = shell.user_ns["field"]
            assert shell.user_ns["pairs"] is runs[method]["overlaps"]
            assert shell.user_ns["planes"] is runs[method]["background"]
    return SimpleNamespace(name=request.param, files=files, montage=montage, runs=runs)


def our_frames(run) -> dict:
    """Corrected frames on the grid; pixels whose footprint is not wholly covered are left out, as for Montage."""
    out = {}
    for info in run["correct"].projected.infos:
        frame = run["correct"].frame(info.index)
        data = np.array(frame.data, np.float64)
        if frame.area is not None:
            data[frame.area < 0.99] = np.nan
        out[stem(info.name)] = (frame.box, data)
    return out


def used_pairs(run) -> set[frozenset[str]]:
    table = run["background"].residuals
    table = table[table["weight"] > 0]
    return {frozenset((stem(a), stem(b))) for a, b in zip(table["plus_name"], table["minus_name"], strict=True)}


def test_every_overlap_of_montage_is_used(case):
    theirs = {frozenset((stem(a), stem(b))) for a, b in zip(case.montage.fits["plus_name"], case.montage.fits["minus_name"], strict=True)}
    assert len(theirs) >= 13
    for run in case.runs.values():
        assert theirs <= used_pairs(run)


@pytest.mark.peer
@pytest.mark.parametrize("method", ["spline", "bilinear"])
def test_overlaps_agree_as_well_as_those_of_montage(case, method):
    ours = overlap_statistics(our_frames(case.runs[method]))
    theirs = overlap_statistics({stem(name): frame for name, frame in case.montage.frames().items()})
    both = ours.merge(theirs, on=["plus", "minus"], suffixes=("", "_montage"))
    assert len(both) == len(theirs)
    for column in ("level", "median"):
        assert both[column].abs().median() <= both[f"{column}_montage"].abs().median()
        assert both[column].abs().max() <= both[f"{column}_montage"].abs().max()


def test_matching_removes_the_steps(case):
    """Before: steps of several DN (tens in the set of four nights). After: below the noise of a pixel."""
    run = case.runs["spline"]
    before = run["background"].residuals["before"].abs()
    after = overlap_statistics(our_frames(run))["level"].abs()
    assert before.max() > 5
    assert after.max() < 0.1 * before.max()
    assert after.median() < 0.05 * before.median()


def test_mosaic_covers_what_montage_covers(case):
    """Same grid, same sky, one common plane apart: blank where Montage is blank, but for the rim."""
    mosaic = case.runs["bilinear"].mosaic
    assert mosaic.data.shape == case.montage.mosaic.shape
    ours, theirs = np.isfinite(mosaic.data), np.isfinite(case.montage.mosaic)
    assert (ours != theirs).mean() < 0.01
    both = ours & theirs & (mosaic.area > 0.99)
    y, x = np.nonzero(both)
    thin = slice(None, None, max(1, y.size // 20000))
    y, x = y[thin], x[thin]
    difference = mosaic.data[y, x] - case.montage.mosaic[y, x]
    design = np.column_stack([np.ones(y.size), x, y])
    keep = np.ones(y.size, bool)
    for _ in range(5):
        rest = difference - design @ np.linalg.lstsq(design[keep], difference[keep], rcond=None)[0]
        keep = np.abs(rest) < 3 * 1.4826 * np.median(np.abs(rest))
    assert np.median(np.abs(rest)) < 0.5  # the kernels' noise, and two solutions of frames whose skies are not quite planes


def test_pictures_of_the_run_are_there(case):
    run = case.runs["spline"]
    html = run._repr_html_()
    assert "<table" in html
    assert 'alt="' in html
    assert "coadd" in repr(run)
