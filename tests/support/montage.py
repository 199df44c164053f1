"""The real Montage (MontagePy) run on a set of frames, for tests that compare with it.

MontagePy prints, keeps globals and can crash the interpreter: the chain runs in a process of its own, with a time limit.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from nbmosaic.types import PixelBox

__all__ = ["MontageRun", "read_ipac", "read_template", "run_montage"]

DRIVER = """
import json, sys
from MontagePy import main
with open(sys.argv[2], "w") as answers:
    for name, args, kwargs in json.load(open(sys.argv[1])):
        answer = getattr(main, name)(*args, **kwargs)
        answer = {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in answer.items()}
        answers.write(json.dumps([name, answer]) + "\\n")
        answers.flush()
        if answer["status"] != "0":
            sys.exit(3)
"""


@dataclass(frozen=True)
class MontageRun:
    """What the chain made.

    Attributes
    ----------
    folder : Path
        Everything that was written.
    images, projected, fits, corrections : DataFrame
        Tables of the raw images, the projected images, the overlaps' planes and the corrections, in Montage's columns; `fits` also has the
        names of the frames as ``plus_name`` and ``minus_name``, `corrections` as ``name``.
    names : list of str
        File names of the projected frames without ``hdu0_``, in the order of Montage's numbers.
    mosaic, area : ndarray
        The background-matched mosaic (NaN where empty) and its area, on the whole template.
    """

    folder: Path
    images: pd.DataFrame
    projected: pd.DataFrame
    fits: pd.DataFrame
    corrections: pd.DataFrame
    names: list[str]
    mosaic: np.ndarray
    area: np.ndarray

    def frames(self, *, corrected: bool = True, min_area: float = 0.99) -> dict[str, tuple[PixelBox, np.ndarray]]:
        """Boxes on the template's grid and pixels of the frames, by name; pixels with less than `min_area` of the nominal area are NaN."""
        template = read_template(self.folder / "template.hdr")
        out = {}
        for name in self.names:
            path = self.folder / ("corrected" if corrected else "projected") / f"hdu0_{name}"
            header = fits.getheader(path)
            data = fits.getdata(path).astype(np.float64)
            area = fits.getdata(path.with_name(path.stem + "_area.fits"))
            nominal = abs(np.radians(header["CDELT1"]) * np.radians(header["CDELT2"]))
            x0, y0 = (round(template[f"CRPIX{i}"] - header[f"CRPIX{i}"]) for i in (1, 2))
            data[~(area >= min_area * nominal)] = np.nan
            out[name] = (PixelBox(y0, y0 + data.shape[0], x0, x0 + data.shape[1]), data)
        return out


def run_montage(files: Iterable[Path], template: Path | str, folder: Path, *, exact: bool = False, timeout: float = 280) -> MontageRun:
    """Project, match and add `files` on the grid of `template` with MontagePy; skips the test if it is not installed.

    Parameters
    ----------
    files : iterable of Path
        FITS files; ``.gz`` ones are unpacked, so that Montage does not write compressed frames.
    template : Path or str
        Header template, a file or its text.
    folder : Path
        Where everything goes.
    exact : bool
        mProject (spherical polygons) for every frame, instead of mProjectPP where the projections allow it.
    timeout : float
        Seconds.
    """
    if importlib.util.find_spec("MontagePy") is None:
        pytest.skip("MontagePy is not installed")
    for name in ("raw", "projected", "differences", "corrected"):
        (folder / name).mkdir(parents=True)
    for file in files:
        with fits.open(file) as hdus:
            fits.PrimaryHDU(hdus[0].data, hdus[0].header).writeto(
                folder / "raw" / Path(file).name.removesuffix(".gz"), output_verify="silentfix"
            )
    text = template.read_text() if isinstance(template, Path) else template
    (folder / "template.hdr").write_text(text)
    grid = "template.hdr"
    calls = [
        ("mImgtbl", ["raw", "raw.tbl"], {}),
        ("mProjExec", ["raw", "raw.tbl", grid], {"projdir": "projected", "exact": exact}),
        ("mImgtbl", ["projected", "projected.tbl"], {}),
        ("mOverlaps", ["projected.tbl", "diffs.tbl"], {}),
        ("mDiffFitExec", ["projected", "diffs.tbl", grid, "differences", "fits.tbl"], {}),
        ("mBgModel", ["projected.tbl", "fits.tbl", "corrections.tbl"], {}),
        ("mBgExec", ["projected", "projected.tbl", "corrections.tbl", "corrected"], {}),
        ("mImgtbl", ["corrected", "corrected.tbl"], {}),
        ("mAdd", ["corrected", "corrected.tbl", grid, "mosaic.fits"], {"haveAreas": True}),
    ]
    (folder / "calls.json").write_text(json.dumps(calls))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, "calls.json", "answers.jsonl"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    if done.returncode or len(answers) != len(calls):
        raise RuntimeError(f"MontagePy stopped with code {done.returncode} after {answers[-1:]}: {done.stderr[-300:]}")
    return _collect(folder)


def _collect(folder: Path) -> MontageRun:
    images, projected, planes, corrections = (read_ipac(folder / f"{n}.tbl") for n in ("raw", "projected", "fits", "corrections"))
    names = [Path(str(f)).name.removeprefix("hdu0_") for f in projected.sort_values("cntr")["fname"]]
    planes["plus_name"], planes["minus_name"] = ([names[k] for k in planes[c]] for c in ("plus", "minus"))
    corrections["name"] = [names[k] for k in corrections["id"]]
    area = fits.getdata(folder / "mosaic_area.fits").astype(np.float64)
    mosaic = np.where(area > 0, fits.getdata(folder / "mosaic.fits").astype(np.float64), np.nan)
    return MontageRun(folder, images, projected, planes, corrections, names, mosaic, area)


def read_ipac(path: Path) -> pd.DataFrame:
    """Read an IPAC table, with or without its type rows."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("\\")]
    head = lines[0]
    edges = [i for i, c in enumerate(head) if c == "|"]
    spans = list(itertools.pairwise(edges))
    rows = [[line[a : b + 1].strip() for a, b in spans] for line in lines if not line.startswith("|")]
    table = pd.DataFrame(rows, columns=[head[a + 1 : b].strip() for a, b in spans])
    for name in table.columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if (numbers.notna() | table[name].str.lower().isin(["nan", "-nan", "null"])).all():
            table[name] = numbers
    return table


def read_template(path: Path) -> fits.Header:
    """Header of a template file."""
    return fits.Header([fits.Card.fromstring(line.ljust(80)) for line in path.read_text().splitlines() if line.strip() not in ("", "END")])
