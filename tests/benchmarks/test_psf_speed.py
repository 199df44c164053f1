"""CPU time of image fits, alone, over a cube and in batches, and the memory of one; star pairs are in `test_star_fit_speed`.

CPU seconds (user and system) of this process, best of several, warm. Two workers can only be compared by wall time: skipped where the machine is busy.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.psf_sky import PsfField, SkyImages
from support.shared import shared_path

import nbmosaic
from nbmosaic.core.psf.image_fit import fit_image
from nbmosaic.io.cube_planes import ArrayCube
from nbmosaic.io.image_planes import read_sky_image
from nbmosaic.pipeline.photometry.batch import FitImagePhotometryMP
from nbmosaic.pipeline.simulation.psf_field import simulate_psf_field
from nbmosaic.types.sky_image import SkyCube

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

ONE_FIT_S = 0.030
CUBE_S = 4.0
GAIN = 1.6
MEMORY_MB = 250.0
ONE_FIT = """
import resource, sys
from pathlib import Path
import nbmosaic
fit = nbmosaic.fit_image_photometry(sys.argv[1], sys.argv[2])
assert fit.converged
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
if Path("/proc/self/status").exists():  # ru_maxrss of Linux counts the process that this one was forked from
    peak = float(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3
print(peak)
"""


def best_cpu(call, repeat: int) -> float:
    spent = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


def recorded() -> dict[str, float]:
    """CPU seconds of the real imphot, recorded with its results."""
    with gzip.open(shared_path("golden/imphot") / "golden.json.gz", "rt") as file:
        return json.load(file)["cpu_s"]


@pytest.mark.parametrize("edge", [0, 4])
def test_an_image_of_320_pixels(edge: int) -> None:
    field = PsfField(seed=3, n=320, stars=((0.3, 0.62, 450.0), (0.7, 0.3, 120.0)), edge=edge)
    sky = SkyImages(field)
    reference, image = sky.reference(1), sky.image(2)
    spent = best_cpu(lambda: fit_image(reference, image), 30)
    print(f"\nimage fit: {1e3 * spent:.1f} ms")
    assert spent < ONE_FIT_S


def test_against_the_recorded_times_of_imphot() -> None:
    folder = shared_path("golden/imphot") / "inputs"
    held = [read_sky_image(str(folder / f"{name}.fits.gz")) for name in ("hst", "dev1")]
    theirs = recorded()
    for case, options in (("default", {}), ("beta2.5", {"fix_beta": 2.5}), ("segment", {"segment": True})):
        spent = best_cpu(lambda options=options: nbmosaic.fit_image_photometry(*held, **options), 10)
        ratio = theirs[f"dev1/image/{case}"] / spent
        print(
            f"\n{case}: {1e3 * spent:.1f} ms with checks and masks, imphot {1e3 * theirs[f'dev1/image/{case}']:.0f} ms, {ratio:.0f} times"
        )
        assert ratio > 10.0


def test_a_cube_of_3681_planes_in_100_bands() -> None:
    """Reading the planes (big-endian single precision, with variance), adding them up, and 100 fits. All planes are the same one in memory, of 24 MB for each
    band as anywhere; the file system has no part in it."""
    n = 3681
    sky = SkyImages(PsfField(seed=3, n=320, stars=((0.3, 0.62, 450.0),), sigma=0.4))
    frame, image = sky.reference(1), sky.image(2)
    grid = simulate_psf_field(nights=1, size=320, margin=0)
    data = np.broadcast_to(image.data.astype(">f4"), (n, 320, 320))
    # the noise is that of a band, so the variance of a plane is as many times larger as a band has planes
    variance = np.broadcast_to(np.full((320, 320), 0.16 * n / 100, ">f4"), (n, 320, 320))
    cube = SkyCube(
        shape=data.shape,
        source=ArrayCube(data=data, variance=variance),
        wcs=grid.images[0].wcs,
        edges=np.linspace(4750.0, 9350.0, n + 1),
        wave_unit="Angstrom",
        has_variance=True,
        name="cube",
    )
    reference = grid.reference.changed(data=frame.data, mask=frame.mask, variance=None, unit="")
    found = []
    spent = best_cpu(lambda: found.append(nbmosaic.fit_cube_psf(reference, cube, bands=100, beta_order=0, fwhm_order=0)), 3)
    print(f"\n3681 planes in 100 bands: {spent:.2f} s")
    assert not found[-1].failures
    assert spent < CUBE_S


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> tuple[str, list[str]]:
    """A reference, and 200 names of 4 images."""
    field = simulate_psf_field(tmp_path_factory.mktemp("batch"), nights=4, size=320, margin=0, reference_noise=0.0)
    return str(field.reference_path), [str(field.paths[k % 4]) for k in range(200)]


def test_what_is_not_done_by_workers_is_little(batch: tuple[str, list[str]]) -> None:
    """CPU of the process that waits, for each image: 2 % of a fit, so that it holds up no two workers, nor ten. Holds on a busy machine, too."""
    reference, images = batch
    alone = best_cpu(lambda: nbmosaic.fit_image_photometry(reference, images[0]), 10)
    with FitImagePhotometryMP(reference, images[:60], nworker=2) as fits:
        for _ in range(10):
            next(fits)
        start = time.process_time()
        for _ in range(40):
            next(fits)
        share = (time.process_time() - start) / 40 / alone
    print(f"\none fit {1e3 * alone:.0f} ms, {100 * share:.1f} % of that for each image in the waiting process")
    assert share < 0.1


def test_two_workers(batch: tuple[str, list[str]]) -> None:
    """200 images, once the workers have started: from the tenth result to the last, by wall time. Needs two processors that nothing else uses."""
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > (os.cpu_count() or 1) - 1.5:
        pytest.skip(f"wall times mean nothing here: load {busy:.1f} on {os.cpu_count()} processors")
    reference, images = batch

    def wall(nworker: int) -> float:
        with FitImagePhotometryMP(reference, images, nworker=nworker) as fits:
            for _ in range(10):
                next(fits)
            start = time.perf_counter()
            assert sum(1 for _ in fits) == len(images) - 10
            return time.perf_counter() - start

    gains = [wall(1) / wall(2) for _ in range(3)]
    print(f"\ntwo workers: {max(gains):.2f} times as fast as one")
    assert max(gains) >= GAIN


def test_memory_of_one_fit(tmp_path: Path) -> None:
    field = simulate_psf_field(tmp_path, nights=1, size=320)
    words = [sys.executable, "-c", ONE_FIT, str(field.reference_path), str(field.paths[0])]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    print(f"\none process, one fit: {float(done.stdout):.0f} MB")
    assert float(done.stdout) < MEMORY_MB
