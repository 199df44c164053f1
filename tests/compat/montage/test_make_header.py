"""mMakeHdr: the box of random frames, real image tables, cubes and tables of tables, against MontagePy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.montage_calls import call_montage
from support.shared import shared_path

from nbmosaic.compat.montage import mMakeHdr
from nbmosaic.core.geometry.montage_grid import common_axis

WCS = ["ctype1", "ctype2", "naxis1", "naxis2", "crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2", "crota2"]
CORNERS = [f"{key}{i}" for i in range(1, 5) for key in ("ra", "dec")]


SYSTEM = ("csys = equ", "equinox = 2000")
"""Keywords without which Montage takes the system of positions from memory that it has not set, see `TestSystems`."""


def write_table(path: Path, names: list[str], rows: list[list], keywords: Sequence[str] = SYSTEM) -> None:
    lines = [*(f"\\{keyword}" for keyword in keywords), "|" + "|".join(f"{name:>20}" for name in names) + "|"]
    path.write_text(
        "\n".join([*lines, *(" " + " ".join(f"{v if isinstance(v, str) else repr(v):>20}" for v in row) + " " for row in rows), ""])
    )


def random_frames(rng: np.random.Generator) -> list[list]:
    """Rows of an image table with the corners of rectangles at random, of some size and turn, about one place."""
    ra, dec = rng.uniform(0, 360), math.asin(rng.uniform(-0.95, 0.95))
    size, spread = rng.choice([0.05, 0.15, 1.0]), rng.choice([0.0, 0.05, 0.3, 2.0])
    common, rows = rng.uniform(0, 3), []
    for _ in range(int(rng.integers(1, 9))):
        turn = common if rng.random() < 0.5 else rng.uniform(0, 2 * math.pi)
        (x, y), (w, h) = rng.uniform(-spread, spread, 2), size * rng.uniform(0.5, 1, 2)
        corners: list[float] = []
        for sx, sy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
            xi = math.radians(sx * w * math.cos(turn) - sy * h * math.sin(turn) + x)
            eta = math.radians(sx * w * math.sin(turn) + sy * h * math.cos(turn) + y)
            below = math.cos(dec) - eta * math.sin(dec)
            lat = math.atan2(math.sin(dec) + eta * math.cos(dec), math.hypot(xi, below))
            corners += [round((math.degrees(math.atan2(xi, below)) + ra) % 360, 8), round(math.degrees(lat), 8)]
        rows.append(["RA---TAN", "DEC--TAN", 100, 100, corners[0], corners[1], 50.5, 50.5, -0.0003, 0.0003, 0.0, *corners])
    return rows


@pytest.mark.peer
@pytest.mark.parametrize("n", [9, pytest.param(60, marks=pytest.mark.slow)])
def test_random_frames(n: int, tmp_path: Path) -> None:
    """Equatorial templates are Montage's to the last digit, but for the length in latitude that it compares with the longitude."""
    rng = np.random.default_rng(42)
    choices = [{}, {}, {"northAligned": 1}, {"pixelScale": 0.0005}, {"pad": 7.0}, {"pad": 5.0, "isPercentage": True}]
    cases = [choices[k % len(choices)] for k in range(n)]
    for k in range(len(cases)):
        write_table(tmp_path / f"t{k}.tbl", WCS + CORNERS, random_frames(rng))
    theirs = call_montage(tmp_path, [("mMakeHdr", (f"t{k}.tbl", f"m{k}.hdr"), options) for k, options in enumerate(cases)])
    same = 0
    for k, (options, answer) in enumerate(zip(cases, theirs, strict=True)):
        ours = mMakeHdr(tmp_path / f"t{k}.tbl", tmp_path / "o.hdr", **options)
        for key in ("naxis1", "clon", "clat", "posang", "lonsize"):
            assert ours[key] == pytest.approx(answer[key], abs=2e-9), (k, options, key)
        assert ours["naxis2"] - answer["naxis2"] in {-2, 0, 2}
        texts = [(tmp_path / name).read_text().splitlines() for name in ("o.hdr", f"m{k}.hdr")]
        changed = {a.split("=")[0].strip() for a, b in zip(*texts, strict=True) if a != b}
        assert changed <= {"NAXIS2", "CRPIX2"}
        assert bool(changed) == (ours["naxis2"] != answer["naxis2"])
        if changed:  # tall fields get the two rows that Montage leaves out; padded wide ones are spared two
            assert (ours["naxis2"] > answer["naxis2"]) == (ours["naxis2"] > ours["naxis1"])
        same += not changed
    assert same > n / 3


@pytest.mark.parametrize(("name", "taller"), [("2mass_steps", 2), ("2mass_m42", 0), ("2mass_m42_small", 0)])
def test_templates_of_real_sets(name: str, taller: int, tmp_path: Path) -> None:
    """Montage 6.0's own templates; that of the steps, a tall field turned by 20 degrees, is a pixel too short."""
    folder = shared_path(f"data/{name}/montage_ref")
    assert mMakeHdr(folder / "rimages.tbl", tmp_path / "o.hdr")["status"] == "0"
    ours, golden = (path.read_text().splitlines() for path in (tmp_path / "o.hdr", folder / "template.hdr"))
    changed = {
        a.split("=")[0].strip(): (float(a.split("=")[1]), float(b.split("=")[1])) for a, b in zip(ours, golden, strict=True) if a != b
    }
    assert set(changed) == ({"NAXIS2", "CRPIX2"} if taller else set())
    for key, (a, b) in changed.items():
        assert a - b == (taller if key == "NAXIS2" else taller / 2)


def cube_rows(third: list[list], fourth: list[list] | None = None) -> tuple[list[str], list[list]]:
    names = [*WCS, "naxis", "naxis3", "crval3", "cdelt3", "crpix3"] + (["naxis4", "crval4", "cdelt4", "crpix4"] if fourth else [])
    rows = []
    for k, (ra, dec) in enumerate([(10.0, 20.0), (10.05, 20.02)]):
        rows.append(["RA---TAN", "DEC--TAN", 100, 120, ra, dec, 50.5, 60.5, -0.001, 0.001, 0.0, *third[k], *(fourth[k] if fourth else [])])
    return names, rows


CUBES = {
    "same": ([[3, 7, 100.0, 2.0, 1.0]] * 2, None, (7, 1.0)),
    "shifted": ([[3, 7, 100.0, 2.0, 3.0], [3, 7, 100.0, 2.0, -2.0]], None, (12, 3.0)),
    "fraction": ([[3, 7, 100.0, 2.0, 1.0], [3, 7, 100.0, 2.0, 1.4]], None, (7, 1.4)),
    "longer": ([[3, 7, 100.0, 2.0, 1.0], [3, 9, 100.0, 2.0, 1.0]], None, (9, 1.0)),
    "other value": ([[3, 7, 100.0, 2.0, 1.0], [3, 7, 104.0, 2.0, 1.0]], None, None),
    "other step": ([[3, 7, 100.0, 2.0, 1.0], [3, 7, 100.0, 2.5, 1.0]], None, None),
    "an image": ([[3, 7, 100.0, 2.0, 1.0], [2, "", "", "", ""]], None, None),
    "four axes": ([[4, 7, 100.0, 2.0, 1.0]] * 2, [[2, 5.0, 1.0, 1.0]] * 2, (7, 1.0)),
    "three of four": ([[3, 7, 100.0, 2.0, 1.0]] * 2, [["", "", "", ""]] * 2, (7, 1.0)),
}


@pytest.mark.parametrize("name", CUBES)
def test_cubes(name: str, tmp_path: Path) -> None:
    third, fourth, expected = CUBES[name]
    write_table(tmp_path / "c.tbl", *cube_rows(third, fourth))
    answer = mMakeHdr(tmp_path / "c.tbl", tmp_path / "o.hdr")
    cards = dict(line.split("=") for line in (tmp_path / "o.hdr").read_text().splitlines()[:-1])
    cards = {key.strip(): value.strip() for key, value in cards.items()}
    assert answer["ncube"] == sum(row[0] > 2 for row in third)
    if expected is None:
        assert cards["NAXIS"] == "2"
        assert not any(key.endswith("3") for key in cards)
        return
    assert (int(cards["NAXIS3"]), float(cards["CRPIX3"]), float(cards["CRVAL3"]), float(cards["CDELT3"])) == (*expected, 100.0, 2.0)
    assert cards["NAXIS"] == ("4" if name == "four axes" else "3")
    assert ("NAXIS4" in cards) == (name == "four axes")


@pytest.mark.peer
def test_cubes_and_tables_of_tables_as_montage(tmp_path: Path) -> None:
    for k, (third, fourth, _) in enumerate(CUBES.values()):
        write_table(tmp_path / f"c{k}.tbl", *cube_rows(third, fourth))
    write_table(tmp_path / "far.tbl", ["ra", "dec"], [[10.3, 20.1], [10.2, 19.8], [10.0, 20.0]])
    lists = {"two": ["c0.tbl", "c3.tbl"], "mixed": ["far.tbl", "c0.tbl"], "lost": ["far.tbl", "nothing.tbl"]}
    for name, members in lists.items():
        write_table(tmp_path / f"{name}.tbl", ["table"], [[member] for member in members])
    names = [*(f"c{k}" for k in range(len(CUBES))), *lists]
    theirs = call_montage(tmp_path, [("mMakeHdr", (f"{name}.tbl", f"{name}.hdr"), {}) for name in names])
    for name, answer in zip(names, theirs, strict=True):
        ours = mMakeHdr(tmp_path / f"{name}.tbl", tmp_path / "o.hdr")
        assert ours["status"] == answer["status"]
        if name == "lost":
            assert b"Invalid image metadata file: " in ours["msg"]
            assert b"nothing.tbl" in ours["msg"]
            continue
        assert (ours["count"], ours["ncube"]) == (answer["count"], answer["ncube"])
        texts = [(tmp_path / file).read_text().splitlines() for file in ("o.hdr", f"{name}.hdr")]
        assert [a for a, b in zip(*texts, strict=True) if a != b and a.split("=")[0].strip() not in {"NAXIS2", "CRPIX2"}] == []


class TestSystems:
    """Tables of bare positions (or corners) and the keywords that name their system.

    Montage keeps the keywords in two local texts that it never sets (they lie on the stack: filling the heap changes nothing). Without keywords it converts the
    positions from whatever is there: zeros in 32 new processes of one installation, which means J2000, but not in another installation; and after
    a table of 1950, the same bare table came out as of 1950, 0.66 degrees off, in the same process. What can be compared: tables with keywords, and what
    one table of a list leaves to the next. Image tables have no such keywords: their corners are taken in the same way.
    """

    PLACES = ((10.3, 20.1), (10.2, 19.8), (10.0, 20.0))

    def write(self, path: Path, *keywords: str, columns: Sequence[str] = ("ra", "dec")) -> None:
        write_table(path, list(columns), [list(place) for place in self.PLACES], keywords)

    @pytest.mark.peer
    def test_keywords_as_montage(self, tmp_path: Path) -> None:
        """To 0.6 arcsec, the error of Montage's changes of systems; J2000 to the last digit."""
        sets = [
            SYSTEM,
            ("csys = gal",),
            ("csys = ecl", "EQUINOX = J2000"),
            ("equinox = 1950", "csys = equ"),
            ("SYS = eq", "epoch = B1950"),
            ("csys = sgal",),
        ]
        for k, keywords in enumerate(sets):
            self.write(tmp_path / f"k{k}.tbl", *(() if any("sys" in w.lower() for w in keywords) else SYSTEM), *keywords)
        theirs = call_montage(tmp_path, [("mMakeHdr", (f"k{k}.tbl", "m.hdr"), {}) for k in range(len(sets))])
        for k, (keywords, answer) in enumerate(zip(sets, theirs, strict=True)):
            ours = mMakeHdr(tmp_path / f"k{k}.tbl", tmp_path / "o.hdr")
            limit = 0.6 / 3600 if k else 1e-11
            assert abs(ours["clat"] - answer["clat"]) < limit, keywords
            assert abs(ours["clon"] - answer["clon"]) * math.cos(math.radians(ours["clat"])) < limit, keywords
            assert ours["naxis1"] == answer["naxis1"]

    @pytest.mark.peer
    def test_keywords_of_another_table(self, tmp_path: Path) -> None:
        """The cause, where it can be seen in one call: in a table of tables Montage's texts keep what the table before has left there."""
        self.write(tmp_path / "old.tbl", "csys = equ", "equinox = 1950")
        self.write(tmp_path / "new.tbl", *SYSTEM)
        self.write(tmp_path / "bare.tbl")
        lists = {"heir": ("old", "bare"), "both": ("old", "old"), "each": ("old", "new")}
        for name, members in lists.items():
            write_table(tmp_path / f"{name}.tbl", ["table"], [[f"{member}.tbl"] for member in members])
        theirs = dict(zip(lists, call_montage(tmp_path, [("mMakeHdr", (f"{n}.tbl", "m.hdr"), {}) for n in lists]), strict=True))
        ours = {name: mMakeHdr(tmp_path / f"{name}.tbl", tmp_path / "o.hdr") for name in lists}
        assert theirs["heir"]["clon"] == theirs["both"]["clon"]
        assert abs(theirs["heir"]["clon"] - theirs["each"]["clon"]) > 0.1
        assert ours["heir"] == ours["each"]
        assert ours["each"]["clon"] == pytest.approx(theirs["each"]["clon"], abs=1e-4)

    def test_bare_positions_are_j2000(self, tmp_path: Path) -> None:
        self.write(tmp_path / "bare.tbl")
        self.write(tmp_path / "named.tbl", *SYSTEM)
        self.write(tmp_path / "lon.tbl", "sys = ICRS", columns=("lon", "lat"))
        self.write(tmp_path / "crval.tbl", columns=("crval1", "crval2"))
        answers = [mMakeHdr(tmp_path / f"{name}.tbl", tmp_path / "o.hdr") for name in ("bare", "named", "lon", "crval")]
        assert all(answer == answers[0] for answer in answers)
        assert (answers[0]["status"], answers[0]["count"]) == ("0", 3)

    @pytest.mark.parametrize(("keyword", "words"), [("csys = alien", "the system is 'alien'"), ("equinox = soon", "the equinox is 'soon'")])
    def test_bad_keywords(self, keyword: str, words: str, tmp_path: Path) -> None:
        self.write(tmp_path / "bad.tbl", keyword)
        answer = mMakeHdr(tmp_path / "bad.tbl", tmp_path / "o.hdr")
        assert answer["status"] == "1"
        assert words in answer["msg"].decode()
        assert not (tmp_path / "o.hdr").exists()


def test_common_axis_of_nothing() -> None:
    assert common_axis(*np.empty((4, 0))) is None
    assert common_axis(*np.array([[3.0, np.nan], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])) is None
    assert common_axis(*np.array([[0.0], [1.0], [1.0], [1.0]])) is None
