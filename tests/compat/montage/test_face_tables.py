"""mImgtbl, mOverlaps, mCoverageCheck: against golden tables, MontagePy run now, slow twins and bad calls."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from support.montage import read_ipac
from support.montage_calls import call_montage
from support.shared import shared_path

from nbmosaic.compat.montage.tables import mCoverageCheck, mImgtbl, mOverlaps
from nbmosaic.core.geometry.sky_regions import box_corners, hull, inside, oriented, overlapping_pairs, polygon_distance, sky_vectors
from nbmosaic.errors import InputError

FOREIGN = ("003_gal", "006_fk4")
DIGITS = {"crpix": 5e-6, "crval": 5e-8, "cdelt": 5e-15, "crota": 5e-8}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden") / "raw"
    folder.mkdir()
    for packed in shared_path("golden/montage/raw").glob("*.fits.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


@pytest.fixture
def folder(tmp_path, raw):
    with fits.open(raw / "raw_000_crota.fits") as hdus:
        data, header = hdus[0].data[:40, :60], hdus[0].header
    header["BAND"], header["FILTER"] = "J", 3
    (tmp_path / "d" / "sub").mkdir(parents=True)
    mirrored = header.copy()
    mirrored["CDELT1"] *= -1
    for name, head in (
        ("b.fits", header),
        ("a_flip.fits", mirrored),
        ("x_area.fits", header),
        ("sub/c.fits.gz", header),
        ("e.fit", header),
    ):
        fits.writeto(tmp_path / "d" / name, data, head)
    fits.writeto(tmp_path / "d" / "cube.fits", np.zeros((4, 40, 60), np.float32), header)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header)]).writeto(tmp_path / "d" / "ext.fits")
    fits.writeto(tmp_path / "d" / "nowcs.fits", np.zeros((10, 10)))
    (tmp_path / "d" / "garbage.fits").write_text("hello" * 1000)
    (tmp_path / "d" / "empty.fits").touch()
    (tmp_path / "fields.txt").write_text("BAND char 8\nEXPTIME double 12\nFILTER int 6\nNOPE char 9\n")
    (tmp_path / "list.tbl").write_text("| fname        |\n| char         |\n  b.fits        \n  sub/c.fits.gz   \n")
    (tmp_path / "badcols.tbl").write_text("| one | two |\n| int | int |\n   1     2  \n")
    return tmp_path


def rows(path):
    return {
        line.rsplit(maxsplit=2)[-1] + line.rsplit(maxsplit=2)[-2]: line for line in path.read_text().splitlines() if line[:1] not in "|\\"
    }


def heads(path):
    return [line for line in path.read_text().splitlines() if line.startswith("|")]


def without_centre(line):
    """A row without its number and the centre, where Montage is half a pixel off."""
    return line[64:].rstrip()


VARIANTS = [
    {},
    {"recursiveMode": True},
    {"processAreaFiles": True},
    {"noGZIP": True, "recursiveMode": True},
    {"showCorners": False},
    {"haveCubes": False},
    {"fieldListFile": "fields.txt"},
    {"imgListFile": "list.tbl"},
    {"showbad": True},
]


@pytest.mark.peer
def test_image_tables_as_montage(folder, monkeypatch):
    monkeypatch.chdir(folder)
    theirs = call_montage(folder, [("mImgtbl", ("d", f"m{i}.tbl"), options) for i, options in enumerate(VARIANTS)])
    for i, options in enumerate(VARIANTS):
        ours = mImgtbl("d", f"o{i}.tbl", **options)
        assert ours["count"] == theirs[i]["count"]
        assert ours == theirs[i] or i > 0, options  # Montage's other counters go on from one call to the next
        assert heads(folder / f"o{i}.tbl") == heads(folder / f"m{i}.tbl")
        ours, montage = rows(folder / f"o{i}.tbl"), rows(folder / f"m{i}.tbl")
        assert ours.keys() == montage.keys()
        for name, line in ours.items():
            assert without_centre(line) == without_centre(montage[name]), (options, name)
        assert list(read_ipac(folder / f"o{i}.tbl")["cntr"]) == list(range(len(ours)))


def test_golden_image_table(raw, tmp_path):
    """Equal to print precision; centres by half a pixel, frames of other systems by Montage's 0.4 arcsec."""
    assert mImgtbl(raw, tmp_path / "r.tbl") == {"status": "0", "count": 12, "badfits": 0, "badwcs": 0}
    ours = read_ipac(tmp_path / "r.tbl").set_index("fname")
    golden = read_ipac(shared_path("golden/montage/tables/montagepy_2.3.0/rimages.tbl")).set_index("fname")
    assert list(ours.index) == sorted(golden.index)
    golden = golden.loc[ours.index]
    foreign = np.array([any(f in name for f in FOREIGN) for name in ours.index])
    for column in golden.columns:
        if column in {"cntr", "cra", "cdec"}:
            continue
        if not pd.api.types.is_numeric_dtype(golden[column]):
            assert list(ours[column]) == list(golden[column]), column
            continue
        place = column.startswith(("ra", "dec"))
        limit = np.where(foreign, 5e-4, 1.01e-7 if column not in {"ra", "dec"} else 2.2e-4) if place else DIGITS.get(column[:5], 0) * 2.02
        difference = np.abs(ours[column] - golden[column]).fillna(0)
        assert (difference <= limit).all(), column


def test_files_that_cannot_be_read_are_named(folder):
    assert mImgtbl(folder / "d", folder / "o.tbl", showinfo=True) == {"status": "0", "count": 5, "badfits": 2, "badwcs": 2}
    notes = [line for line in (folder / "o.tbl").read_text().splitlines() if line.startswith("\\ ")]
    assert [note.split(":")[0] for note in notes] == ["\\ empty.fits", "\\ garbage.fits", "\\ ext.fits[0]", "\\ nowcs.fits[0]"]


def test_links_in_a_circle(folder):
    (folder / "d" / "sub" / "loop").symlink_to(folder / "d")
    assert mImgtbl(folder / "d", folder / "o.tbl", recursiveMode=True)["count"] == 6


@pytest.fixture(scope="module")
def image_table(raw):
    mImgtbl(raw, raw.parent / "r.tbl")
    mImgtbl(raw, raw.parent / "plain.tbl", showCorners=False)
    return raw.parent / "r.tbl"


@pytest.mark.peer
def test_overlaps_as_montage(image_table):
    folder = image_table.parent
    calls = [("mOverlaps", ("r.tbl", "m0.tbl"), {}), ("mOverlaps", ("r.tbl", "m1.tbl"), {"quickmode": True})]
    theirs = call_montage(folder, calls)
    for i, (_, names, options) in enumerate(calls):
        assert mOverlaps(folder / names[0], folder / f"o{i}.tbl", **options) == theirs[i]
        assert (folder / f"o{i}.tbl").read_text() == (folder / f"m{i}.tbl").read_text()


@pytest.mark.parametrize("name", ["pimages_full", "pimages_pp"])
def test_golden_overlaps(tmp_path, name):
    tables = shared_path("golden/montage/tables/montagepy_2.3.0")
    assert mOverlaps(tables / f"{name}.tbl", tmp_path / "o.tbl")["status"] == "0"
    assert (tmp_path / "o.tbl").read_text() == (tables / f"diffs_{name[8:]}.tbl").read_text()


def test_exact_mode_finds_an_image_inside_another(tmp_path):
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CDELT1": -1e-3, "CDELT2": 1e-3})
    for name, n in (("large", 100), ("small", 10), ("far", 10)):
        header["CRPIX1"] = header["CRPIX2"] = (n + 1) / 2 + 200 * (name == "far")
        fits.writeto(tmp_path / f"{name}.fits", np.zeros((n, n), np.float32), header)
    assert mImgtbl(tmp_path, tmp_path / "i.tbl", showCorners=False)["count"] == 3
    for quick in (False, True):
        assert mOverlaps(tmp_path / "i.tbl", tmp_path / "o.tbl", quickmode=quick)["count"] == 1
        assert read_ipac(tmp_path / "o.tbl").iloc[0][["plus", "minus"]].tolist() == ["large.fits", "small.fits"]


def test_overlapping_pairs_against_a_raster():
    """Random rectangles on a plane tangent at a pole: two of them overlap if a fine raster of one has a point in the other."""
    rng = np.random.default_rng(11)
    quads = []
    for _ in range(40):
        x, y, w, h, a = *rng.uniform(-5, 5, 2), *rng.uniform(0.2, 2.5, 2), rng.uniform(0, math.pi)
        u, v = np.array([-w, w, w, -w]) / 2, np.array([-h, -h, h, h]) / 2
        px, py = np.radians(x + u * np.cos(a) - v * np.sin(a)), np.radians(y + u * np.sin(a) + v * np.cos(a))
        corner = np.stack([px, py, np.ones(4)], axis=1)
        quads.append(corner / np.sqrt((corner**2).sum(axis=1, keepdims=True)))
    quads = np.array(quads)
    found = {tuple(pair) for pair in overlapping_pairs(quads).tolist()}
    t = np.linspace(0, 1, 60)
    s, t = (m.ravel()[:, None] for m in np.meshgrid(t, t))
    turned = oriented(quads)
    raster = [(1 - s) * (1 - t) * q[0] + s * (1 - t) * q[1] + s * t * q[2] + (1 - s) * t * q[3] for q in quads]
    expected = {
        (i, j) for i in range(40) for j in range(i + 1, 40) if inside(turned[j], raster[i]).any() or inside(turned[i], raster[j]).any()
    }
    assert expected <= found
    assert len(found - expected) <= 2  # corners that cut in between the points of the raster
    assert len(found) > 20


def test_circles_against_points_of_the_images(image_table, tmp_path):
    table = read_ipac(image_table)
    t = np.linspace(0, 1, 120)
    s, t = (m.ravel()[:, None] for m in np.meshgrid(t, t))
    for ra, dec, radius in ((275.0, -16.23, 0.15), (275.19, -16.0, 0.1), (275.28, -16.23, 0.05), (275.19, -16.17, 0.003)):
        expected = []
        centre = sky_vectors(np.array(ra), np.array(dec))
        for _, row in table.iterrows():
            q = sky_vectors(np.array([row[f"ra{k}"] for k in range(1, 5)]), np.array([row[f"dec{k}"] for k in range(1, 5)]))
            points = (1 - s) * (1 - t) * q[0] + s * (1 - t) * q[1] + s * t * q[2] + (1 - s) * t * q[3]
            points /= np.sqrt((points**2).sum(axis=1, keepdims=True))
            distance = np.degrees(2 * np.arcsin(np.sqrt(((points - centre) ** 2).sum(axis=1)).min() / 2))
            assert abs(distance - radius) > 1e-3  # else the case decides nothing
            expected += [row["fname"]] if distance < radius else []
        assert mCoverageCheck(image_table, tmp_path / "o.tbl", mode=2, array=[ra, dec, radius])["count"] == len(expected)
        assert list(read_ipac(tmp_path / "o.tbl")["fname"]) == expected


def test_distance_to_a_polygon():
    square = oriented(box_corners(10.0, 60.0, 2.0, 2.0))
    for lon, lat, distance in ((10.0, 60.0, 0.0), (10.0, 63.0, 2.0), (10.0, 58.0, 1.0), (190.0, -60.0, 178.6)):
        assert polygon_distance(square, sky_vectors(np.array(lon), np.array(lat))) == pytest.approx(distance, abs=0.02)


def test_hull_drops_inner_points():
    lon, lat = np.array([0.0, 2.0, 2.0, 0.0, 1.0, 0.4]), np.array([0.0, 0.0, 2.0, 2.0, 1.0, 1.7])
    corners = hull(sky_vectors(lon, lat))
    assert len(corners) == 4
    for bad in (corners[:2], sky_vectors(np.arange(4.0), np.zeros(4)), np.concatenate([np.eye(3), -np.eye(3)])):
        with pytest.raises(InputError):
            hull(bad)


REGIONS = [
    (0, [275.2, -16.2, 275.3, -16.2, 275.25, -16.1]),
    (0, [275.1, -16.2, 275.3, -16.2, 275.3, -16.1, 275.1, -16.1, 275.2, -16.15]),
    (1, [275.28, -16.23, 0.01, 0.01]),
    (1, [275.18, -16.17, 0.1, 0.01, 30.0]),
    (1, [275.18, -16.17, 0.05]),
    (2, [275.28, -16.23, 0.05]),
    (2, [275.0, -16.23, 0.15]),
    (3, [275.28, -16.23]),
    (3, [10.0, 20.0]),
    (4, []),
    (5, [275.28, -16.23, 0.01, 0.01]),
    (5, [275.20, -16.17, 0.1, 0.05]),
]


@pytest.mark.peer
def test_coverage_as_montage(image_table):
    folder = image_table.parent
    template = shared_path("golden/montage/mosaic.hdr").read_text()
    (folder / "part.hdr").write_text(template.replace("NAXIS1  = 921", "NAXIS1  = 300").replace("NAXIS2  = 717", "NAXIS2  = 200"))
    assert (folder / "part.hdr").read_text() != template
    calls = []
    for i, (mode, numbers) in enumerate(REGIONS):
        options = {"mode": mode, "narray": len(numbers), "array": numbers or [0.0], "hdrfile": "part.hdr" if mode == 4 else ""}
        calls.append(("mCoverageCheck", ("r.tbl", f"mc{i}.tbl"), options | ({"path": "raw"} if mode == 5 else {})))
    theirs = call_montage(folder, calls)
    for i, (mode, numbers) in enumerate(REGIONS):
        options = (
            dict(calls[i][2], path=folder / "raw") if mode == 5 else dict(calls[i][2], hdrfile=folder / "part.hdr" if mode == 4 else "")
        )
        answer = mCoverageCheck(folder / "r.tbl", folder / f"oc{i}.tbl", **options)
        ours, montage = folder / f"oc{i}.tbl", folder / f"mc{i}.tbl"
        if mode == 2:  # Montage asks only for the point of the circle that is nearest to the centre of the image
            assert set(montage.read_text().splitlines()) <= set(ours.read_text().splitlines())
            continue
        assert answer == theirs[i], (mode, numbers)
        if mode != 5:
            assert ours.read_text() == montage.read_text()
            continue
        a, b = read_ipac(ours), read_ipac(montage)
        assert list(a.columns) == list(b.columns)
        same = ~a["fname"].str.contains("|".join(FOREIGN))
        for column in ("cntr", "naxis1", "naxis2", "crpix1", "crpix2", "ra", "dec", "ra1", "dec1", "ra3", "dec3"):
            assert np.abs(a[column] - b[column])[same].max() <= (
                0.0051 if column.startswith("crpix") else 2e-6 if "naxis" not in column else 0
            ), column


def test_coverage_without_corners(image_table, tmp_path):
    folder = image_table.parent
    for mode, numbers in REGIONS:
        options = {"mode": mode, "array": numbers, "hdrfile": shared_path("golden/montage/mosaic.hdr") if mode == 4 else ""}
        counts = [mCoverageCheck(folder / name, tmp_path / "o.tbl", **options) for name in ("r.tbl", "plain.tbl")]
        assert counts[0] == counts[1]
        assert counts[0]["status"] == "0"


BAD = [
    (lambda d: mImgtbl("/nonexistent", d / "o.tbl"), "Cannot access /nonexistent"),
    (lambda d: mImgtbl(d / "d", d / "no" / "o.tbl"), "Can't open output table."),
    (lambda d: mImgtbl(None, d / "o.tbl"), "pathname has to be a file name"),
    (lambda d: mImgtbl("x" * 3000, d / "o.tbl"), "Cannot access xxx"),
    (lambda d: mImgtbl(d / "d" / "b.fits", d / "o.tbl"), "is not a directory"),
    (lambda d: mImgtbl(d / "d", d / "o.tbl", imgListFile="nope"), "Cannot open image list file: nope"),
    (lambda d: mImgtbl(d / "d", d / "o.tbl", imgListFile=d / "badcols.tbl"), "has no column fname"),
    (lambda d: mImgtbl(d / "d", d / "o.tbl", fieldListFile="nope"), "Cannot open field list file: nope"),
    (lambda d: mImgtbl(d / "d", d / "o.tbl", fieldListFile=d / "badcols.tbl"), "badcols.tbl, line 3"),
    (lambda d: mOverlaps("nope.tbl", d / "o.tbl"), "Invalid image metadata file: nope.tbl"),
    (lambda d: mOverlaps(d / "d" / "garbage.fits", d / "o.tbl"), "Invalid image metadata file"),
    (lambda d: mOverlaps(d / "badcols.tbl", d / "o.tbl"), "Not enough information to determine coverages (CDELTs or CD matrix)"),
    (lambda d: mOverlaps(d / "good.tbl", d / "no" / "o.tbl"), "Failed to open output {d}/no/o.tbl"),
    (lambda d: mCoverageCheck(d / "nope.tbl", d / "o.tbl", mode=3, array=[1.0, 2.0]), "Input table file ({d}/nope.tbl) does not exist"),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=7), "mode 7"),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=3, array=[1.0]), "Too few arguments for point (must have coordinates)"),
    (
        lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=0, array=[1.0, 2.0]),
        "Too few vertices for region (must be at least three)",
    ),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=1, array=[1.0, 2.0, -1.0]), "X box size (-1) must be a positive number"),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=1, array=[1.0, 2.0]), "Too few arguments for box"),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=2, array=[math.nan, 2.0]), "not finite"),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=3, narray=4, array=[1.0, 2.0]), "narray is 4"),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=4, hdrfile="nope.hdr"), "nope.hdr"),
    (lambda d: mCoverageCheck(d / "badcols.tbl", d / "o.tbl", mode=3, array=[1.0, 2.0]), "Need either WCS or corner columns."),
    (lambda d: mCoverageCheck(d / "good.tbl", d / "no" / "o.tbl", mode=3, array=[1.0, 2.0]), "Cannot create output file ({d}/no/o.tbl)"),
    (
        lambda d: mCoverageCheck(d / "good.tbl", d / "o.tbl", mode=5, array=[275.31, -16.26, 0.01], path="/wrong"),
        "Image file /wrong/b.fits missing or invalid FITS",
    ),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_calls(folder, number):
    mImgtbl(folder / "d", folder / "good.tbl", imgListFile=folder / "list.tbl")
    call, text = BAD[number]
    answer = call(folder)
    assert answer["status"] == "1"
    assert text.format(d=folder) in answer["msg"].decode()
    assert not (folder / "o.tbl").exists()


def test_an_empty_folder(tmp_path):
    (tmp_path / "d").mkdir()
    assert mImgtbl(tmp_path / "d", tmp_path / "o.tbl") == {"status": "0", "count": 0, "badfits": 0, "badwcs": 0}
    assert mOverlaps(tmp_path / "o.tbl", tmp_path / "p.tbl") == {"status": "0", "count": 0}
