"""CPU time and memory of `mscimage`, the face and the stage, on 8 detectors of 2048 x 4096 pixels with masks, a whole process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.peers import use_memory

pytestmark = [pytest.mark.benchmark]

CODE = """
import json, resource, sys
from nbmosaic.compat.mscred import mscimage
source, target, interpolant = json.loads(sys.argv[1])
mscimage(source, target, interpolant=interpolant)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""
STAGE = """
import json, resource, sys
import nbmosaic
nbmosaic.mscimage(json.loads(sys.argv[1])[0])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""
STAGE_SECONDS, STAGE_MEMORY_MB = 3.2, 400
"""spline3 by the exact map, bad pixels excluded: a second plane, that of the good pixels, goes through the kernel."""
LIMITS = {"linear": 1.8, "poly5": 2.6, "spline3": 2.4, "sinc31": 8.0, "drizzle": 5.0}
MEMORY_MB = 400


def write_camera(folder: Path, *, n: int = 8, nx: int = 2048, ny: int = 4096) -> Path:
    """Exposure of 8 detectors in two rows, 0.27 arcsec a pixel, with a cubic distortion in SIP terms; masks beside it."""
    rng = np.random.default_rng(11)
    hdus, masks = [fits.PrimaryHDU()], [fits.PrimaryHDU()]
    scale = 0.27 / 3600
    for k in range(n):
        column, row = k % (n // 2), k // (n // 2)
        x0, y0 = (column - n / 4) * (nx + 60), (row - 1) * (ny + 90)
        angle = np.radians(rng.normal(0, 0.05))
        cards = {
            "CTYPE1": "RA---TAN-SIP",
            "CTYPE2": "DEC--TAN-SIP",
            "CRVAL1": 150.1,
            "CRVAL2": 2.2,
            "CRPIX1": -x0 + 0.37,
            "CRPIX2": -y0 + 0.81,
            "CD1_1": -scale * np.cos(angle),
            "CD1_2": scale * np.sin(angle),
            "CD2_1": scale * np.sin(angle),
            "CD2_2": scale * np.cos(angle),
            "A_ORDER": 3,
            "B_ORDER": 3,
            "A_3_0": 2e-12,
            "A_1_2": 2e-12,
            "B_0_3": 2e-12,
            "B_2_1": 2e-12,
            "GAIN": 2.5,
            "RDNOISE": 5.0,
            "BPM": f"camera_bpm.fits[ccd{k + 1}]",
        }
        hdus.append(fits.ImageHDU(rng.normal(1000, 20, (ny, nx)).astype(np.int16), fits.Header(cards), name=f"ccd{k + 1}"))
        bad = np.zeros((ny, nx), np.uint8)
        bad[:, rng.integers(0, nx, 4)] = 1
        bad[rng.integers(0, ny, 20000), rng.integers(0, nx, 20000)] = 1
        masks.append(fits.ImageHDU(bad, name=f"ccd{k + 1}"))
    fits.HDUList(hdus).writeto(folder / "camera.fits")
    fits.HDUList(masks).writeto(folder / "camera_bpm.fits")
    return folder / "camera.fits"


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("camera")
    use_memory(folder)
    return write_camera(folder)


def run(source: Path, interpolant: str, code: str = CODE) -> tuple[float, float]:
    """Least CPU seconds of five processes after one that compiles, and the largest memory.

    Memory is in use: pages that the host of a virtual machine gives out anew cost ten times as much (0.6 s a process).
    """
    target = source.with_name("out.fits")
    command = [sys.executable, "-c", code, json.dumps([str(source), str(target), interpolant])]
    one_core, found = os.environ | {"OPENBLAS_NUM_THREADS": "1"}, []
    for _ in range(6):
        for name in ("out.fits", "out_bpm.fits"):
            source.with_name(name).unlink(missing_ok=True)
        found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=280, env=one_core).stdout))
    return min(seconds for seconds, _ in found[1:]), max(memory for _, memory in found[1:])


@pytest.mark.parametrize("interpolant", LIMITS)
def test_eight_detectors(camera: Path, interpolant: str) -> None:
    seconds, memory = run(camera, interpolant)
    print(f"{interpolant}: {seconds:.2f} s CPU, {memory:.0f} MB")
    assert seconds <= LIMITS[interpolant]
    assert memory <= MEMORY_MB


def test_stage(camera: Path) -> None:
    seconds, memory = run(camera, "", STAGE)
    print(f"stage: {seconds:.2f} s CPU, {memory:.0f} MB")
    assert seconds <= STAGE_SECONDS
    assert memory <= STAGE_MEMORY_MB
