"""The golden outputs of IRAF's mscimage: what was run, and how an output compares."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

__all__ = ["Case", "Difference", "compare", "golden_cases"]

_ROW = re.compile(r"\| (\w+) \| (full|crop|hash|mef) \| (.*?) \| (.*?) ?\| `(mscimage|mscoimage) \((.*)\)` \| ?(.*?) ?\|\Z")
INTEGER = ("objc", "obj8", "objn")
"""Inputs of 16-bit integers, whose resampled pieces IRAF truncates."""


@dataclass(frozen=True)
class Case:
    """One call of the real task (mscred 5.05, or the older one as ``mscoimage``)."""

    name: str
    store: str
    source: str
    options: dict[str, Any]

    @property
    def integer(self) -> bool:
        return self.source in INTEGER


@dataclass(frozen=True)
class Difference:
    """Ours minus IRAF's."""

    median: float
    high: float
    largest: float
    corner_pix: float


def golden_cases(folder: Path) -> dict[str, Case]:
    """All single calls by the name of their output."""
    cases = {}
    for line in (folder / "README.md").read_text().splitlines():
        match = _ROW.match(line)
        if match is None:
            continue
        name, store, _, _, task, arguments, _ = match.groups()
        words = re.split(r', (?=\w+[=+-]|")', arguments)
        options: dict[str, Any] = {"version": "old"} if task == "mscoimage" else {}
        for word in words[2:]:
            key, _, value = word.partition("=")
            options |= {key: ast.literal_eval(value)} if value else {key[:-1]: key.endswith("+")}
        cases[name] = Case(name, store, words[0].strip('"'), options)
    return {name: case for name, case in cases.items() if "," not in case.source}


def compare(golden: Path, ours: Path, *, truncated: bool) -> tuple[Difference, np.ndarray, np.ndarray]:
    """Differences over the part that is stored, and that part of both images."""
    with fits.open(golden) as hdus:
        want, header = hdus[0].data.astype(float), hdus[0].header
    got, own = fits.getdata(ours).astype(float), fits.getheader(ours)
    shape = (header.get("FULLNY", want.shape[0]), header.get("FULLNX", want.shape[1]))
    assert got.shape == shape, f"{golden.name}: {got.shape} pixels, IRAF has {shape}"
    y, x = header.get("CROPY0", 0), header.get("CROPX0", 0)
    part = got[y : y + want.shape[0], x : x + want.shape[1]]
    off = np.abs((np.trunc(part) if truncated else part) - want)
    for key in list(header):
        if key.startswith("PV"):  # which IRAF leaves in the header though its pixels are TAN
            del header[key]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    for key in ("RADESYS", "EQUINOX", "RADECSYS"):  # IRAF drops them
        header.remove(key, ignore_missing=True)
        own.remove(key, ignore_missing=True)
    for key in [key for key in header if key.startswith("WAT")]:
        del header[key]
    corners = np.array([[1, 1], [shape[1], 1], [1, shape[0]], [shape[1], shape[0]]], float)
    theirs, mine = WCS(header), WCS(own)
    corner = np.abs(mine.wcs_world2pix(theirs.wcs_pix2world(corners, 1), 1) - corners).max()
    difference = Difference(float(np.median(off)), float(np.percentile(off, 99.9)), float(off.max()), float(corner))
    return difference, part, want
