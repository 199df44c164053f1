"""Speed of the whole command, FITS to FITS, against other programs on the same frames in the same test.

Run with ``pytest -m benchmark tests/benchmarks -s``. Everything is CPU seconds (user and system) of whole processes, the best of several
runs, kernels compiled before: wall times of a busy machine mean nothing. The workload is 16 frames of 2048 x 2048 pixels onto a grid of
about 8040 x 8040.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.peers import Timing, montage_chain, swarp_coadd, time_command
from support.workload import Workload, make_workload

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3000)]

REPEAT = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark")
    yield path
    shutil.rmtree(path, ignore_errors=True)  # 2 GB and more


@pytest.fixture(scope="module")
def w1(folder) -> Workload:
    return make_workload(folder / "w1", side=4, size=2048, clean=True, truth=True)


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Compile all kernels once, outside the measured time."""
    time_command([*command(), "warmup"], log=Path("/dev/null"))


def command() -> list[str]:
    return [sys.executable, "-m", "nbmosaic"]


def ours(
    frames: list[Path], output: Path, *options: str, template: Path | None = None, name: str = "nbmosaic", repeat: int = REPEAT
) -> Timing:
    grid = () if template is None else ("--template", str(template))
    words = [*command(), "mosaic", *frames, "--output", output, "--overwrite", "--quiet", *grid, *options]
    return time_command(words, name=name, cwd=output.parent, repeat=repeat)


def error_against_truth(image: Path, truth: Path) -> tuple[float, float, float]:
    """Rms, largest and relative total error over the covered pixels."""
    data, sky = fits.getdata(image).astype(np.float64), fits.getdata(truth)
    good = np.isfinite(data)
    difference = (data - sky)[good]
    return float(np.sqrt(np.mean(difference**2))), float(np.abs(difference).max()), float(difference.sum() / sky[good].sum(dtype=float))


def show(title: str, rows: list[tuple[Timing, int | None]], against: dict[str, float]) -> None:
    """Print one table: CPU seconds, per frame pixel, memory, ratios to the peers."""
    print(f"\n{title}\n{'':44s} {'CPU s':>7s} {'user':>6s} {'sys':>6s} {'ns/px':>7s} {'MB':>6s}", *(f"{n + ' /':>12s}" for n in against))
    for timing, pixels in rows:
        ratios = (f"{cpu / timing.cpu:11.1f}x" for cpu in against.values())
        per_pixel = "" if pixels is None else f"{timing.cpu / pixels * 1e9:.1f}"
        cost = f"{timing.cpu:7.2f} {timing.user:6.2f} {timing.system:6.2f} {per_pixel:>7s} {timing.rss_mb:6.0f}"
        print(f"{timing.name:44s} {cost}", *ratios)


def test_w1_against_montage_and_swarp(w1, folder):
    """Background-matched bilinear and spline; Montage's matched chain; SWarp's Lanczos coadd, which matches nothing."""
    pixels = w1.frame_pixels
    grid = w1.template
    bilinear = ours(w1.frames, folder / "bilinear.fits", "--method", "bilinear", template=grid, name="nbmosaic bilinear, matched")
    spline = ours(w1.frames, folder / "spline.fits", template=grid, name="nbmosaic spline, matched")
    montage = montage_chain(w1.frames, grid, folder / "montage")["total"]
    shutil.rmtree(folder / "montage")
    swarp = swarp_coadd(w1.frames, w1.header, folder / "swarp", repeat=2)
    shutil.rmtree(folder / "swarp")
    show(
        "W1: 16 frames of 2048 x 2048",
        [(t, pixels) for t in (bilinear, spline, montage, swarp)],
        {"Montage": montage.cpu, "SWarp": swarp.cpu},
    )
    limits = {
        "CPU s bilinear, at most 2.0": bilinear.cpu <= 2.0,
        "CPU s spline, at most 2.6": spline.cpu <= 2.6,
        "Montage / bilinear, at least 12": montage.cpu >= 12 * bilinear.cpu,
        "SWarp / spline, at least 3.5": swarp.cpu >= 3.5 * spline.cpu,
        "MB, at most 450": max(bilinear.rss_mb, spline.rss_mb) <= 450,
    }
    assert [text for text, kept in limits.items() if not kept] == []
    for image in ("bilinear.fits", "spline.fits"):  # fast and wrong would not count
        data, sky = fits.getdata(folder / image).astype(np.float64), fits.getdata(w1.truth)
        good = np.isfinite(data)
        y, x = (c[::97] for c in np.nonzero(good))
        design = np.column_stack([np.ones(x.size), x, y])
        rest = (data - sky)[y, x]
        rest -= design @ np.linalg.lstsq(design, rest, rcond=None)[0]
        assert np.median(np.abs(rest)) < 5


@pytest.mark.parametrize(("method", "limit"), [("spline", 0.052), ("lanczos3", 0.09), ("bilinear", 0.80), ("area", 0.80)])
def test_w1_errors_against_the_noise_free_sky(w1, folder, method, limit):
    output = folder / f"clean_{method}.fits"
    timing = ours(
        w1.clean, output, "--method", method, "--no-match", template=w1.template, name=f"nbmosaic {method}, not matched", repeat=1
    )
    rms, largest, flux = error_against_truth(output, w1.truth)
    show(f"noise-free: rms error {rms:.4f}, largest {largest:.2f}, flux {flux:.1e}", [(timing, w1.frame_pixels)], {})
    assert rms <= limit
    assert abs(flux) < 1e-6


def test_cost_per_frame_pixel_is_flat(folder):
    """16 and 256 frames of 1024 x 1024: the same cost per frame pixel within 15 %, start of the program taken off both."""
    tiny = make_workload(folder / "tiny", side=1, size=64)
    start = ours(tiny.frames, folder / "tiny.fits", name="start of the program")
    rows, cost = [], {}
    for side in (4, 16):
        work = make_workload(folder / f"side_{side}", side=side, size=1024)
        timing = ours(work.frames, folder / "flat.fits", template=work.template, name=f"nbmosaic spline, {side * side} frames")
        rows.append((timing, work.frame_pixels))
        cost[side] = (timing.cpu - start.cpu) / work.frame_pixels * 1e9
        shutil.rmtree(folder / f"side_{side}")
    show(f"Growth: {cost[4]:.1f} and {cost[16]:.1f} ns per frame pixel without the start", [(start, None), *rows], {})
    assert rows[1][0].cpu / rows[1][1] <= 1.15 * rows[0][0].cpu / rows[0][1]
    assert cost[16] <= 1.15 * cost[4]
