"""The measures, workloads and timings that other tests rest on."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.measure import large_scale_residual, overlap_statistics
from support.montage import read_ipac
from support.peers import time_command
from support.workload import SIGMA, make_workload

from nbmosaic.types import PixelBox


def test_overlap_statistics_see_a_step_and_no_edge():
    rng = np.random.default_rng(1)
    sky = rng.normal(0, 1, (60, 80))
    one, two, far = PixelBox(0, 60, 0, 50), PixelBox(5, 55, 30, 80), PixelBox(100, 120, 0, 20)
    data = sky[two.slices()] + 0.5 + rng.normal(0, 1e-3, two.shape)
    data[10:12, 3] += 1e4  # an outlier, as a cosmic ray would be
    data[:, 0] += 1e4  # a bad edge: trimmed
    table = overlap_statistics({"b": (two, data), "a": (one, sky[one.slices()]), "c": (far, np.zeros(far.shape))})
    assert [tuple(row) for row in table[["plus", "minus"]].to_numpy()] == [("a", "b")]
    row = table.iloc[0]
    assert row["n"] == (50 - 4) * (20 - 4)
    assert row["level"] == pytest.approx(-0.5, abs=2e-4)
    assert row["median"] == pytest.approx(-0.5, abs=2e-4)
    assert row["pixel"] == pytest.approx(0.5, abs=2e-4)
    assert row["scatter"] == pytest.approx(1e-3, rel=0.1)


def test_large_scale_residual_forgives_a_plane_and_sees_a_step():
    rng = np.random.default_rng(2)
    truth = rng.gamma(2, 5, (320, 320))
    y, x = np.indices(truth.shape)
    mosaic = truth + 30 + 0.01 * x - 0.02 * y
    mosaic[:40] = np.nan
    assert large_scale_residual(mosaic, truth).max < 1e-9
    mosaic[:, 160:] += 2.0
    stepped = large_scale_residual(mosaic, truth)
    assert 0.2 < stepped.rms < 1.0
    bright = truth > np.quantile(truth, 0.6)
    mosaic[:, 160:] -= 2.0
    mosaic[bright] += 50  # what happens to stars does not count
    assert large_scale_residual(mosaic, truth).max < 1e-9


def test_workload_frames_show_the_truth_of_the_grid(tmp_path):
    """A frame's noise-free pixels next to pixel centres of the grid agree with the truth there, and the noisy ones add plane and noise."""
    work = make_workload(tmp_path, side=2, size=200, clean=True, truth=True, star_density=1e-3)
    assert len(work.frames) == 4
    assert work.frame_pixels == 4 * 200**2
    truth, grid = fits.getdata(work.truth), WCS(work.header)
    assert truth.max() > 200
    for clean, noisy, plane in zip(work.clean, work.frames, work.planes, strict=True):
        data, header = fits.getdata(clean, header=True)
        y, x = (c.ravel().astype(float) for c in np.indices(data.shape))
        u, v = grid.wcs_world2pix(*WCS(header).wcs_pix2world(x, y, 0), 0)
        near = np.hypot(u - np.rint(u), v - np.rint(v)) < 0.03
        difference = data.ravel()[near] - truth[np.rint(v[near]).astype(int), np.rint(u[near]).astype(int)]
        slope = 10**4 / (2 * np.pi * SIGMA**2) * 0.61 / SIGMA  # steepest gradient of the brightest star
        assert near.sum() > 50
        assert np.abs(difference).max() < 0.03 * slope
        assert np.median(np.abs(difference)) < 0.02
        rest = fits.getdata(noisy) - data - plane[0] - plane[1] * (np.arange(200) - 99.5) - plane[2] * (np.arange(200)[:, None] - 99.5)
        assert rest.mean() == pytest.approx(0, abs=0.15)
        assert rest.std() == pytest.approx(work.noise, rel=0.02)


@pytest.mark.slow
def test_timing_is_that_of_the_command_alone(tmp_path):
    ballast = np.ones(60_000_000)  # 480 MB in this process: must not be charged to the child
    timing = time_command([sys.executable, "-S", "-c", "sum(range(3_000_000))"], cwd=tmp_path)
    assert ballast[-1] == 1
    assert 0.005 < timing.cpu < 5
    assert 3 < timing.rss_mb < 100
    child = "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', 'b = bytearray(200_000_000); b[::4096] = b[::4096]'])"
    assert time_command([sys.executable, "-S", "-c", child], cwd=tmp_path).rss_mb > 190
    with pytest.raises(RuntimeError, match=r"code 3.*last words"):
        time_command([sys.executable, "-c", "import sys; print('last words'); sys.exit(3)"], cwd=tmp_path)


def test_ipac_tables_without_type_rows(tmp_path):
    path = tmp_path / "t.tbl"
    path.write_text("\\comment\n| id |   a   | name |\n   1  1.5e-2  x     \n   2    nan  \n")
    table = read_ipac(path)
    assert list(table["id"]) == [1, 2]
    assert table["a"][0] == 0.015
    assert list(table["name"]) == ["x", ""]
