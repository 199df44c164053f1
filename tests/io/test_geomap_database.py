"""Databases of geomap: those of IRAF 2.17-4 are read, and what is written is read back to the bit."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest

from nbmosaic.core.geometry.fitted_map import evaluate, fit_surface_map
from nbmosaic.errors import FormatError, InputError, TableFormatError
from nbmosaic.io.geomap_database import read_geomap_database, write_geomap_database
from nbmosaic.types.camera import FittedMap
from tests.support.shared import shared_path


def assert_same(a: FittedMap, b: FittedMap) -> None:
    """Every attribute equal to the bit."""
    for field in fields(FittedMap):
        one, two = getattr(a, field.name), getattr(b, field.name)
        assert np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two, field.name


def words_of(path) -> dict[str, str]:
    words = path.read_text().split()
    return dict(pairwise(words))


def test_databases_of_iraf_survive_the_round_trip(tmp_path) -> None:
    folder = shared_path("golden/mscimage")
    files = [*folder.glob("geomap/*.db"), *folder.glob("stage/db*.txt")]
    assert len(files) > 40
    for path in files:
        maps = read_geomap_database(path)
        ours = tmp_path / "ours.db"
        write_geomap_database(ours, maps, overwrite=True)
        again = read_geomap_database(ours)
        assert list(again) == list(maps)
        for name, found in maps.items():
            assert_same(found, again[name])


def test_what_describes_the_linear_part_is_iraf_s(tmp_path) -> None:
    # angles are off in the ninth digit in IRAF, whose factor from radians to degrees is single precision
    path = shared_path("golden/mscimage/geomap") / "gm_che_o53.db"
    ours = tmp_path / "ours.db"
    write_geomap_database(ours, read_geomap_database(path))
    for key in ("xshift", "yshift", "xmag", "ymag", "xrotation", "yrotation", "xrms", "xrefmean", "ymean"):
        assert float(words_of(ours)[key]) == pytest.approx(float(words_of(path)[key]), rel=1e-10, abs=2e-8 if "rot" in key else 1e-10), key


def test_shift_of_a_map_of_scales_is_its_value_at_zero(tmp_path) -> None:
    # geomap writes 8.46 and -307.17, which no reading of its own coefficients gives: they are 10.50 and 2.37 at (0, 0)
    path = shared_path("golden/mscimage/geomap") / "gm_che_xyscale.db"
    maps = read_geomap_database(path)
    write_geomap_database(tmp_path / "ours.db", maps)
    v, u = evaluate(maps["gm.txt"], -1.0, -1.0)
    for key, value in (("xshift", u + 1), ("yshift", v + 1)):
        assert float(words_of(tmp_path / "ours.db")[key]) == pytest.approx(float(value), rel=1e-10)
        assert abs(float(words_of(path)[key]) - value) > 2


@pytest.mark.parametrize("function", ["chebyshev", "legendre", "polynomial"])
@pytest.mark.parametrize("orders", [(4, 4, "half", 2, 2, "half"), (2, 2, "half", 3, 5, "none"), (3, 2, "full", 2, 4, "full")])
def test_maps_of_arrays_are_written_for_pixel_one(tmp_path, function: str, orders) -> None:
    rng = np.random.default_rng(3)
    out = rng.uniform(0, 200, (80, 2))
    xx, xy, xt, yx, yy, yt = orders
    found = fit_surface_map(
        out, out + np.sin(out[:, ::-1] / 90), function=function, xxorder=xx, xyorder=xy, xxterms=xt, yxorder=yx, yyorder=yy, yxterms=yt
    )
    write_geomap_database(tmp_path / "two.db", {"a b": found, "c": found})
    maps = read_geomap_database(tmp_path / "two.db")
    assert list(maps) == ["a b", "c"]
    assert maps["c"].origin == 1
    y, x = rng.uniform(0, 200, (2, 30))
    for one, other in zip(evaluate(maps["c"], y, x), evaluate(found, y, x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert maps["c"].terms_y == (yt if max(yx, yy) > 2 or yt == "full" else "half")


def test_last_record_of_a_name_counts(tmp_path) -> None:
    source = shared_path("golden/mscimage/geomap")
    both = tmp_path / "both.db"
    both.write_text((source / "gm_che_o2.db").read_text() + (source / "gm_leg_o53.db").read_text())
    assert read_geomap_database(both)["gm.txt"].function == "legendre"


GOOD = """# time
begin\tx
\tgeometry\tgeneral
\tfunction\tchebyshev
\tsurface1\t11
1. 1.
2. 2.
2. 2.
0. 0.
1. 1.
9. 9.
1. 1.
9. 9.
5. 5.
4. 0.
0. 4.
\tsurface2\t0
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("begin\tx", "start\tx", "no geomap record"),
        ("function\tchebyshev", "function\tspline3", "unknown geometry"),
        ("function\tchebyshev", "function\tlegendre", "not of the function"),
        ("surface1\t11", "surface1\t12", "two numbers"),
        ("surface1\t11", "surface1\t7", "no surface1"),
        ("surface1\t11", "surface1", "number of its rows"),
        ("surface1\t11", "surface1\t10", "fewer than its orders"),
        ("4. 0.", "4. x", "line 15"),
        ("4. 0.", "4. nan", "two numbers"),
        ("2. 2.\n2. 2.", "3. 2.\n2. 2.", "fewer|not linear"),
        ("9. 9.\n1. 1.\n9. 9.", "1. 9.\n1. 1.\n9. 9.", "limits"),
        ("\tsurface2\t0\n", "\tsurface2\t3\n1. 1.\n", "3 rows has only 1"),
    ],
)
def test_damaged_records_are_one_clear_line(tmp_path, old: str, new: str, words: str) -> None:
    path = tmp_path / "bad.db"
    assert old in GOOD
    path.write_text(GOOD)
    assert read_geomap_database(path)["x"].linear.tolist() == [[5, 4, 0], [5, 0, 4]]
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(TableFormatError, match=words) as caught:
        read_geomap_database(path)
    assert "\n" not in str(caught.value)
    assert caught.value.context["path"] == str(path)


def test_writing_refuses(tmp_path) -> None:
    found = FittedMap(geometry="shift", function="chebyshev", limits=(0, 1, 0, 1), linear=np.eye(2, 3))
    path = tmp_path / "m.db"
    write_geomap_database(path, {"m": found})
    with pytest.raises(FormatError, match="exists"):
        write_geomap_database(path, {"m": found})
    for name in ("", " m", "a\nbegin b"):
        with pytest.raises(InputError, match="name"):
            write_geomap_database(path, {name: found}, overwrite=True)
    with pytest.raises(InputError, match="no maps"):
        write_geomap_database(path, {}, overwrite=True)
