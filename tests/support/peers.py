"""Whole commands timed as processes, and the same mosaic made by other programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from astropy.io import fits

__all__ = ["Timing", "montage_chain", "needs_program", "swarp_coadd", "time_command", "use_memory"]

# A forked child has the memory of its parent until it execs, and the peak stays in its account: so a small process starts the command.
LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
pid = os.fork()
if pid == 0:
    output = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    finally:
        os._exit(127)
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - start
print(json.dumps([usage.ru_utime, usage.ru_stime, wall, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]))
"""


@dataclass(frozen=True)
class Timing:
    """Cost of a command or of several in a row.

    Attributes
    ----------
    name : str
        What was run.
    user, system, wall : float
        Seconds; user and system of the process and of all the children that it waited for.
    rss_mb : float
        Largest resident memory of any one of these processes, in MB.
    """

    name: str
    user: float
    system: float
    wall: float
    rss_mb: float

    @property
    def cpu(self) -> float:
        """User and system seconds."""
        return self.user + self.system

    def __add__(self, other: Timing) -> Timing:
        return Timing(self.name, self.user + other.user, self.system + other.system, self.wall + other.wall, max(self.rss_mb, other.rss_mb))


def time_command(
    command: Sequence[str | Path],
    *,
    name: str = "",
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    repeat: int = 1,
    timeout: float = 1200,
    log: Path | None = None,
) -> Timing:
    """Run a command and account for the whole process; the run with the least CPU of `repeat` counts.

    Raises
    ------
    RuntimeError
        If the command fails; the message ends with its last words.
    """
    words = [str(w) for w in command]
    best: Timing | None = None
    for _ in range(repeat):
        target = log or (cwd or Path.cwd()) / "command.log"
        done = subprocess.run(
            [sys.executable, "-S", "-E", "-c", LAUNCHER, str(target), *words],
            cwd=cwd,
            env={**os.environ, **ONE_THREAD, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
        user, system, wall, rss, code = json.loads(done.stdout)
        if code:
            raise RuntimeError(f"{' '.join(words[:6])} ... ended with code {code}: {target.read_text(errors='replace')[-600:]}")
        timing = Timing(name or words[0], user, system, wall, rss)
        best = timing if best is None or timing.cpu < best.cpu else best
    if best is None:
        raise ValueError("repeat must be at least 1")
    return best


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""CPU seconds are compared: threads of a linear-algebra library that spin would count."""


def needs_program(*names: str) -> None:
    """Skip the test if a program is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"program not installed: {', '.join(missing)}")


def montage_chain(frames: Sequence[Path], template: Path, folder: Path) -> dict[str, Timing]:
    """Background-matched mosaic by Montage's commands (mProjectPP); the answer has one timing a step and their sum as ``"total"``."""
    needs_program("mImgtbl", "mProjExec", "mOverlaps", "mDiffFitExec", "mBgModel", "mBgExec", "mAdd")
    for name in ("raw", "projected", "differences", "corrected"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for frame in frames:
        link = folder / "raw" / frame.name
        if not link.exists():
            link.symlink_to(frame)
    grid = str(template)
    steps = [
        ("mImgtbl", "raw", "raw.tbl"),
        ("mProjExec", "-p", "raw", "raw.tbl", grid, "projected", "stats.tbl"),
        ("mImgtbl", "projected", "projected.tbl"),
        ("mOverlaps", "projected.tbl", "diffs.tbl"),
        ("mDiffFitExec", "-p", "projected", "diffs.tbl", grid, "differences", "fits.tbl"),
        ("mBgModel", "projected.tbl", "fits.tbl", "corrections.tbl"),
        ("mBgExec", "-p", "projected", "projected.tbl", "corrections.tbl", "corrected"),
        ("mImgtbl", "corrected", "corrected.tbl"),
        ("mAdd", "-a", "mean", "-p", "corrected", "corrected.tbl", grid, "mosaic.fits"),
    ]
    timings: dict[str, Timing] = {}
    for number, step in enumerate(steps):
        timings[f"{number + 1} {step[0]}"] = time_command(step, name=step[0], cwd=folder)
    total = sum(list(timings.values())[1:], next(iter(timings.values())))
    return {**timings, "total": Timing("Montage, background matched", total.user, total.system, total.wall, total.rss_mb)}


def swarp_coadd(frames: Sequence[Path], grid: fits.Header, folder: Path, *, kernel: str = "LANCZOS3", repeat: int = 1) -> Timing:
    """Mean of the frames by SWarp on the same grid, without any matching; the image is ``folder / "coadd.fits"``."""
    needs_program("SWarp")
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    head = fits.Header()
    for key in ("NAXIS1", "NAXIS2", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
        head[key] = grid[key]
    head.update({"CD1_1": grid["CDELT1"], "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": grid["CDELT2"], "EQUINOX": 2000.0, "RADESYS": "ICRS"})
    (folder / "coadd.head").write_text(head.tostring(sep="\n", endcard=True, padding=False) + "\n")
    options = {
        "IMAGEOUT_NAME": "coadd.fits",
        "WEIGHTOUT_NAME": "coadd.weight.fits",
        "RESAMPLING_TYPE": kernel,
        "COMBINE_TYPE": "AVERAGE",
        "SUBTRACT_BACK": "N",
        "NTHREADS": "1",
        "RESAMPLE_DIR": "scratch",
        "VMEM_DIR": "scratch",
        "FSCALASTRO_TYPE": "NONE",
        "CELESTIAL_TYPE": "NATIVE",
        "BLANK_BADPIXELS": "Y",
        "VERBOSE_TYPE": "QUIET",
        "WRITE_XML": "N",
        "MEM_MAX": "2048",
        "VMEM_MAX": "4096",
        "COMBINE_BUFSIZE": "1024",
    }
    words = [word for key, value in options.items() for word in (f"-{key}", value)]
    return time_command(["SWarp", *frames, *words], name=f"SWarp {kernel}, not matched", cwd=folder, repeat=repeat)


def use_memory(folder: Path) -> None:
    """Fill the free memory with the pages of a file that holds nothing: the system takes them back when a program asks for memory."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    buffer = bytearray(1 << 24)
    with open(folder / "holes", "w+b", buffering=0) as stream:
        stream.truncate(free)
        while stream.readinto(buffer):
            pass
