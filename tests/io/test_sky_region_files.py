"""Region files: every shape, system, unit and form; imphot's dialect; mistakes by line and column."""

from __future__ import annotations

import contextlib
import gzip
import json
import re

import pytest
from support.shared import shared_path

from nbmosaic.errors import FormatError, InputError, NbmosaicWarning
from nbmosaic.io.sky_region_files import read_regions
from nbmosaic.types.regions import Region, RegionList


def one(*lines):
    found = read_regions(list(lines))
    assert len(found) == 1
    return found[0]


def test_shapes_and_their_sizes():
    assert one("fk5; circle(53.1, -27.7, 36d)").sizes == (36.0,)
    ellipse = one("icrs; ellipse(10, 20, 4', 3', 30)")
    assert ellipse.sizes == pytest.approx((4 / 60, 3 / 60))
    assert (ellipse.kind, ellipse.angle, ellipse.system) == ("ellipse", 30.0, "icrs")
    box = one("galactic; box(1, 2, 0.5, 0.25, 12)")
    assert (box.kind, box.sizes, box.centre, box.system) == ("box", (0.5, 0.25), (1.0, 2.0), "galactic")
    assert one('b1950; annulus(1, 2, 10", 20")').sizes == pytest.approx((10 / 3600, 20 / 3600))
    assert [region.sizes for region in read_regions("image; annulus(5, 5, 1, 2, 4)")] == [(1.0, 2.0), (2.0, 4.0)]
    ring = one("image; box(5, 5, 2, 3, 4, 6, 10)")
    assert (ring.kind, ring.sizes, ring.angle) == ("box annulus", (2.0, 3.0, 4.0, 6.0), 10.0)
    ring = one("image; ellipse(5, 5, 2, 3, 4, 6, 10)")
    assert (ring.kind, ring.sizes, ring.angle) == ("ellipse annulus", (2.0, 3.0, 4.0, 6.0), 10.0)
    polygon = one("image; polygon(1, 1, 4, 1, 4, 5)")
    assert polygon.vertices == ((0.0, 0.0), (3.0, 0.0), (3.0, 4.0))


@pytest.mark.parametrize(
    "position",
    [
        "3:32:38.4, -27:46:48",
        "3h32m38.4s, -27d46m48s",
        "53.16, -27.78",
        "53.16d, -27.78d",
        "3 32 38.4, -27 46 48",
        "0.92781703r, -0.48485246r",
    ],
)
def test_positions(position):
    assert one("fk5", f'circle({position}, 5")').centre == pytest.approx((53.16, -27.78), abs=1e-6)


def test_degrees_for_sexagesimal_longitudes_of_other_systems():
    assert one('galactic; circle(10:30:00, 5:00:00, 1")').centre == pytest.approx((10.5, 5.0))


def test_which_are_excluded():
    lines = ["circle(1,2,3)", "-circle(1,2,3)", "+circle(1,2,3)", "circle(1,2,3) # include=0", "- circle(1,2,3) # color=red"]
    assert [region.exclude for region in read_regions(lines)] == [False, True, False, True, True]
    assert [region.exclude for region in read_regions(["global include=0", "circle(1,2,3)", "+circle(1,2,3)"])] == [True, False]


def test_systems_run_on_and_semicolons_separate():
    lines = [
        "# Region file format: DS9 version 4.1",
        "global color=green dashlist=8 3",
        "circle(1,2,3)",
        "FK5",
        'CIRCLE(1,2,3") # text={a;b} font="x;y"; image',
        "circle(4 5 6)",
        "box 4 5 6 7 8",
    ]
    assert [(r.system, r.line) for r in read_regions(lines)] == [("physical", 3), ("fk5", 5), ("image", 6), ("image", 7)]


def test_pixels_are_counted_from_zero_and_may_have_angles_as_sizes():
    circle = one("image; circle(10i, 20, 5i)")
    assert (circle.centre, circle.sizes, circle.angular) == ((9.0, 19.0), (5.0,), False)
    # imphot takes the degrees of a region in pixels for pixels (its defect D17)
    circle = one('physical; circle(10, 20, 5")')
    assert (circle.centre, circle.angular) == ((9.0, 19.0), True)
    assert circle.sizes == pytest.approx((5 / 3600,))


def test_imphots_own_list():
    """Against imphot 009225c, Ds9Regions: what it reads is read alike; what it passes over in silence is read, or named."""
    lines = json.loads(gzip.decompress(shared_path("golden/imphot/golden.json.gz").read_bytes()))["results"]["ds9/all"]
    with pytest.warns(NbmosaicWarning, match=r"left out, for it marks no area: text \(line 17\)"):
        found = read_regions(lines["lines"])
    mine = iter(found)
    for theirs in lines["parsed"]:
        region = next(r for r in mine if (r.kind, r.system) == (theirs["shape"], theirs["system"]))
        first = 1.0 if region.in_pixels else 0.0  # imphot keeps the 1-based numbers
        assert region.centre == pytest.approx((theirs["x"] - first, theirs["y"] - first), abs=1e-12)
        assert region.exclude == theirs["exclude"]
        sizes = [theirs["radius"]] if "radius" in theirs else [theirs["width"], theirs["height"]]
        assert region.sizes == pytest.approx(sizes)
        assert region.angle == theirs.get("pa", 0.0)
    beyond = [r.line for r in found if r.kind in {"polygon", "annulus"} or r.line in {13, 15}]
    assert beyond == [8, 13, 15, 18]  # polygon, +circle, CIRCLE and annulus


@pytest.mark.parametrize(
    ("line", "column", "what"),
    [
        ("fk5; circle(1,2)", 6, "circle has 2 numbers"),
        ("fk5; circle(a,2,3)", 13, "'a' is no coordinate"),
        ("fk5; circle(1,2,3,4)", 6, "circle has 4 numbers"),
        ("box(1,2,3,4)", 1, "box has 4 numbers"),
        ("fk5; circle(1,2,3p)", 17, "'3p' is no size"),
        ("circle(1,2,3", 13, "closing parenthesis"),
        ("circle(1,(2,3)", 10, "parenthesis too many"),
        ("circle(1,,3)", 10, "number is missing"),
        ("image; circle(1:2,2,3)", 15, "'1:2' is no coordinate"),
        ("circle(1,2,-3)", 12, "negative"),
        ('image; box(1,2,3,4",5)', 16, "mixes"),
        ("polygon(1,2,3,4,5,6,7)", 1, "polygon has 7"),
        ("fk5; panda(1,2,0,360,4,1,5,1)", 6, "kind panda are not supported"),
        ("fk5; banana(1,2)", 6, "no shape and no coordinate system"),
        ("linear; circle(1,2,3)", 9, "system linear is not supported"),
        ("fk5; circle(1,99,3)", 6, "atitude"),
        ("fk5 circle(1,2,3)", 4, "follows the system fk5"),
        ("fk5; (1,2,3)", 6, "is no region"),
        ("fk5; ellipse(1,2,3,4,5x)", 22, "no angle"),
        ("fk5; circle(1,2,1e999)", 6, "has the sizes (inf,)"),
    ],
)
def test_mistakes_are_named_by_line_and_column(tmp_path, line, column, what):
    with pytest.raises(InputError, match=re.escape(what)) as caught:
        read_regions(["# comment", line])
    assert (caught.value.context["line"], caught.value.context["column"]) == (2, column)
    assert f"line 2, column {column}: " in str(caught.value)
    path = tmp_path / "a.reg"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(FormatError, match=re.escape(f"{path}, line 2, column {column}: ")):
        read_regions(path)


def test_parts_without_area_are_named():
    with pytest.warns(NbmosaicWarning, match=r"point \(line 1\), line \(line 2\)"):
        found = read_regions(["point(1,2)", "line(1,2,3,4)", "circle(1,2,3)"])
    assert (len(found), found.ignored) == (1, ("point (line 1)", "line (line 2)"))


def test_files_that_are_none(tmp_path):
    with pytest.raises(FormatError, match=r"cannot read region file .*nofile\.reg: no such file"):
        read_regions(str(tmp_path / "nofile.reg"))
    with pytest.raises(FormatError, match="cannot read region file"):
        read_regions(tmp_path)
    (tmp_path / "b.reg").write_bytes(b"SIMPLE\0\0")
    with pytest.raises(FormatError, match="zero bytes"):
        read_regions(tmp_path / "b.reg")
    with pytest.raises(InputError, match="regions are int"):
        read_regions(3)
    with pytest.raises(InputError, match="not all text"):
        read_regions([1, 2])


def test_nothing_and_files(tmp_path):
    assert len(read_regions(None)) == len(read_regions("")) == len(read_regions([])) == 0
    path = tmp_path / "(odd name)"
    path.write_bytes(b"\xef\xbb\xbffk5\r\ncircle(1,2,3)\r\n")
    assert read_regions(str(path))[0].system == "fk5"
    assert isinstance(read_regions(path), RegionList)


def test_objects_of_the_regions_package():
    regions = pytest.importorskip("regions")
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    where = SkyCoord(10 * u.deg, 20 * u.deg, frame="icrs")
    sky = regions.EllipseSkyRegion(where, 4 * u.arcmin, 2 * u.arcmin, 30 * u.deg)
    sky.meta["include"] = 0
    pixel = regions.PolygonPixelRegion(regions.PixCoord([1, 2, 2], [3, 3, 5]))
    first, second = read_regions(regions.Regions([sky, pixel]))
    assert (first.kind, first.exclude, first.system, first.angle) == ("ellipse", True, "icrs", 30.0)
    assert first.sizes == pytest.approx((2 / 60, 1 / 60))
    assert second.vertices == ((1.0, 3.0), (2.0, 3.0), (2.0, 5.0))
    assert second.system == "image"
    assert read_regions(pixel)[0].vertices == second.vertices
    with pytest.warns(NbmosaicWarning, match="PointSkyRegion"):
        assert len(read_regions([regions.PointSkyRegion(where)])) == 0
    with pytest.raises(InputError, match="is in the frame"):
        read_regions([regions.CircleSkyRegion(SkyCoord(1 * u.deg, 2 * u.deg, frame="supergalactic"), 1 * u.deg)])


def test_random_text_gives_regions_or_one_clear_error(rng):
    pieces = [
        "circle",
        "box",
        "fk5",
        ";",
        "(",
        ")",
        ",",
        " ",
        "1",
        "2.5",
        "-",
        "+",
        '"',
        "'",
        "#",
        "{",
        "}",
        "poly",
        "gon",
        ":",
        "h",
        "d",
        "e",
    ]
    n_errors = 0
    for _ in range(1500):
        text = "".join(rng.choice(pieces, rng.integers(1, 14)))
        error = None
        with contextlib.suppress(NbmosaicWarning):
            try:
                read_regions([text])
            except InputError as caught:
                error = caught
        if error is not None:
            n_errors += 1
            assert error.context["line"] == 1
            assert "\n" not in str(error)
    assert 500 < n_errors < 1500


def test_values_that_are_no_region():
    with pytest.raises(InputError, match="no region of kind"):
        Region(kind="star", system="fk5", centre=(1, 2))
    with pytest.raises(InputError, match="has 1 sizes"):
        Region(kind="box", system="fk5", centre=(1, 2), sizes=(1,))
    with pytest.raises(InputError, match="2 vertices"):
        Region(kind="polygon", system="fk5", centre=(1, 2), vertices=((1, 2), (3, 4)))
    assert str(one("-box(1,2,3,4,5)")) == "exclude physical box  x: 0.000000  y: 1.000000  size: 3, 4  PA: 5"
