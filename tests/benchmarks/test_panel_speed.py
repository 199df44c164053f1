"""Panels answer while a person watches: CPU seconds of this process, the best of several, on the sizes that were promised.

Run with ``pytest -m benchmark tests/benchmarks/test_panel_speed.py -s``.
"""

from __future__ import annotations

import resource

import numpy as np
import pytest
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.notebook.panels import open_panel
from nbmosaic.pipeline.simulation.frames import simulate_frames
from nbmosaic.pipeline.viewing.stretch import STRETCHES
from nbmosaic.pipeline.viewing.viewer import open_view

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def best(actions) -> float:
    """Least CPU time of actions of one kind, none of them done before."""
    times = []
    for action in actions:
        began = cpu()
        action()
        times.append(cpu() - began)
    return min(times)


@pytest.fixture(scope="module")
def large():
    """A viewer on 10 000 x 10 000 pixels with blank parts."""
    rng = np.random.default_rng(1)
    data = rng.standard_normal((10_000, 10_000), dtype=np.float32)
    data[:200] = np.nan
    data[::97, ::89] = np.nan
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [275.2, -16.1], [5000.0, 5000.0]
    wcs.wcs.cdelt = [-1 / 3600, 1 / 3600]
    view = open_view(data, wcs=wcs)
    began = cpu()
    with open_panel(view) as panel:
        print(f"\n{'open':32s} {1e3 * (cpu() - began):7.1f} ms")
        yield panel


def report(what: str, seconds: float, limit: float) -> None:
    print(f"{what:32s} {1e3 * seconds:7.1f} ms (at most {1e3 * limit:.0f})")
    assert seconds < limit, what


@pytest.mark.parametrize("grid", ["none", "own"])
def test_a_stretch_change(large, grid):
    large.change(lines=grid, cursor=(4000.0, 4000.0))
    for stretch in STRETCHES:
        changes = [lambda low=low, stretch=stretch: large.change(stretch=stretch, low=low) for low in ("0.1%", "0.2%", "0.4%")]
        report(f"{stretch}, grid {grid}", best(changes), 0.15)
    report(f"zscale, grid {grid}", best([lambda: large.set_limits("zscale")]), 0.15)


def test_zoom_and_pan(large):
    large.change(lines="none")
    large.fit()
    for step in range(6):
        report(f"zoom in {step}", best([large.zoom_in]), 0.15)
        report(f"pan {step}", best([lambda: large.move_by(0.05, 0.05), lambda: large.move_by(0.05, 0.05)]), 0.15)
    large.fit()


def test_the_pointer(large):
    moves = [lambda right=right: large._on_message({"kind": "hover", "right": right, "down": 0.5}) for right in (0.1, 0.2, 0.3)]
    report("value and position", best(moves), 0.01)


def test_excluding_a_pair_of_a_thousand_frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thousand")
    simulate_frames(folder, n_frames=1000, size=48, seed=4, overlap=0.3)
    run = nbmosaic.mosaic(str(folder), method="bilinear", jobs=1)
    with open_panel(run) as panel:
        pairs = len(panel.value.overlaps)
        assert pairs > 3000
        rows = [row for row in range(100, 106) if panel.value.is_fitted(row)]
        seconds = best([lambda row=row: panel.exclude(row) for row in rows])
        assert panel.value.excluded == set(rows)
        report(f"exclude one of {pairs} pairs", seconds, 0.1)
