"""Corrections of regular grids, on which Montage's single-precision sums lie half-way between two numbers, line by line."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.montage_calls import call_montage

from nbmosaic.compat.montage import mBgModel
from nbmosaic.io.layouts import montage_text

COLUMNS = "plus minus a b c crpix1 crpix2 xmin xmax ymin ymax xcenter ycenter npixel rms boxx boxy boxwidth boxheight boxang"


def write_grid(folder: Path, n: int, angle: float) -> None:
    """Tables of n x n images of 512 pixels, each with its 8 neighbours, whose boxes are turned."""
    rng = np.random.default_rng(1)
    size, pitch, rows = 512, 430, []
    for k, (dy, dx) in itertools.product(range(n * n), ((0, 1), (1, -1), (1, 0), (1, 1))):
        y, x = k // n + dy, k % n + dx
        if not (0 <= x < n and 0 <= y < n):
            continue
        width, height = size - pitch * abs(dx), size - pitch * dy
        cx, cy = (k % n + dx / 2) * pitch + size / 2, (k // n + dy / 2) * pitch + size / 2
        plane = rng.normal(0, [0.007, 0.007, 40])
        rows.append((k, y * n + x, *plane, 0, 0, 0, 1, 0, 1, cx, cy, width * height, 2.0, cx, cy, width, height, angle))
    (folder / "f.tbl").write_text(montage_text(pd.DataFrame(rows, columns=COLUMNS.split()), "fits"))
    head = "| cntr | fname      |naxis1|naxis2|     crpix1    |     crpix2    |\n| int  | char       | int  | int  |     double    |     double    |\n"
    body = (f" {k:6d} f{k:05d}.fits    {size}    {size} {0.0:15.5f} {0.0:15.5f} \n" for k in range(n * n))
    (folder / "i.tbl").write_text(head + "".join(body))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("n", "angle", "counts", "share"),
    [(20, 0.0, [24, 100], 0.0), pytest.param(60, 0.0, [24, 36, 60, 100], 0.0, marks=pytest.mark.slow), (20, 33.3, [1], 0.02)],
)
def test_as_montage(n: int, angle: float, counts: list[int], share: float, tmp_path: Path) -> None:
    """Every line where boxes lie along the axes; where they are turned, sums that are no whole numbers any more may fall to the other side."""
    write_grid(tmp_path, n, angle)
    calls = [("mBgModel", ("i.tbl", "f.tbl", f"{count}.tbl"), {"niteration": count}) for count in counts]
    assert all(answer["status"] == "0" for answer in call_montage(tmp_path, calls))
    for count in counts:
        assert mBgModel(tmp_path / "i.tbl", tmp_path / "f.tbl", tmp_path / "o.tbl", niteration=count) == {"status": "0"}
        ours, theirs = ((tmp_path / name).read_text().splitlines() for name in ("o.tbl", f"{count}.tbl"))
        assert len(ours) == len(theirs) == n * n + 1
        assert sum(a != b for a, b in zip(ours, theirs, strict=True)) <= share * n * n
