"""A million command lines, picture commands and JSON texts: a call, or one of our errors, and none takes long."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from nbmosaic.compat.montage.command import parse_words
from nbmosaic.compat.montage.command_table import COMMANDS
from nbmosaic.compat.montage.viewer_json import from_json
from nbmosaic.compat.montage.viewer_words import from_words, split_words
from nbmosaic.errors import NbmosaicError

PROGRAMS = [name for name in COMMANDS if name not in {"mViewer", "mHistogram"}]
OPTIONS = [
    "-s",
    "-d",
    "-n",
    "-p",
    "-e",
    "-a",
    "-h",
    "-x",
    "-W",
    "-rc",
    "1",
    "-1",
    "1e5",
    "x.tbl",
    "-",
    "--",
    "nan",
    "1e999",
    "-circle",
    "-box",
    "-header",
    "min",
    "max",
    "10%",
    "asinh",
]
DIRECTIVES = [
    "-gray",
    "-red",
    "-green",
    "-blue",
    "-ct",
    "-grid",
    "-symbol",
    "-mark",
    "-label",
    "-catalog",
    "-imginfo",
    "-scalecol",
    "-colorcol",
    "-color",
    "-csys",
    "-alpha",
    "-t",
    "-d",
    "-out",
]
VALUES = [
    "-nowcs",
    "a.fits",
    "-2s",
    "max",
    "1%",
    "gaussian-log",
    "asinh",
    "10",
    "eq",
    "j2000",
    "b1950",
    "box",
    "starred",
    "5",
    "none",
    "3p",
    "nan",
    "1e999",
    "-",
    "red",
    "#ff00zz",
    "ga",
]
TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    '"gray_file"',
    '"fits_file"',
    '"overlays"',
    '"type"',
    '"grid"',
    '"mark"',
    '"lon"',
    "1",
    "1e999",
    "null",
    "NaN",
]


def junk(rng: random.Random) -> str:
    return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(1, 0x3000)))) for _ in range(rng.randrange(8)))


def words(rng: random.Random, known: list[str], most: int) -> list[str]:
    return [rng.choice(known) if rng.random() < 0.9 else junk(rng) for _ in range(rng.randrange(most))]


@pytest.mark.slow
def test_a_million_inputs() -> None:
    rng = random.Random(7)
    slowest = 0.0
    for k in range(1_000_000):
        began = time.perf_counter()
        with contextlib.suppress(NbmosaicError):
            if k % 5 < 2:
                parse_words(rng.choice(PROGRAMS), words(rng, OPTIONS, 9))
            elif k % 5 == 2:
                from_words(words(rng, DIRECTIVES + VALUES, 12)).spec()
            elif k % 5 == 3:
                from_words(split_words(" ".join(words(rng, DIRECTIVES + VALUES, 12)))).spec()
            else:
                from_json("".join(words(rng, TOKENS, 14))).spec()
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 2.0
