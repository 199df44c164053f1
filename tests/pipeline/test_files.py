"""Products written to files and read again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.errors import FormatError, InputError
from nbmosaic.pipeline.products import Frames, Grid, Table

MONTAGE = (
    "plus minus a b c crpix1 crpix2 xmin xmax ymin ymax xcenter ycenter npixel rms boxx boxy boxwidth boxheight boxang".split()  # noqa: SIM905
)


def test_a_mosaic(done, tmp_path):
    path = tmp_path / "m.fits"
    assert nbmosaic.save(done.mosaic, path) is done.mosaic
    with fits.open(path) as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus[0].data, done.mosaic.data)
        np.testing.assert_array_equal(hdus["AREA"].data, done.mosaic.area)
        header = hdus[0].header
        assert header["BUNIT"] == "DN"
        assert header["METHOD"] == "spline"
        assert header["NCOMBINE"] == 6
        assert header["CREATOR"].startswith("nbmosaic ")
        history = "".join(header["HISTORY"])
        assert "frame_000_crota.fits" in history
        wcs = WCS(header)
    there = np.array([[0.0, 0], [300, 200], [10, 250]])
    np.testing.assert_allclose(wcs.wcs_pix2world(there, 0), done.mosaic.wcs.wcs_pix2world(there, 0), atol=1e-12)
    again = nbmosaic.read(path)
    assert isinstance(again, Frames)
    np.testing.assert_array_equal(again.infos[0].source.load().data, done.mosaic.data)


def test_written_while_it_is_made(done, tmp_path):
    path = tmp_path / "m.fits"
    mosaic = nbmosaic.coadd(done["correct"], output=str(path))
    assert mosaic.path == str(path)
    np.testing.assert_array_equal(mosaic.data, done.mosaic.data)
    np.testing.assert_array_equal(mosaic.area, done.mosaic.area)
    nbmosaic.save(mosaic, path, overwrite=True)  # onto the file that its arrays are mapped from
    np.testing.assert_array_equal(nbmosaic.read(path).infos[0].source.load().data, done.mosaic.data)
    with pytest.raises(FormatError, match="exists"):
        nbmosaic.save(mosaic, path)


def test_a_template(done, tmp_path):
    path = tmp_path / "m.hdr"
    nbmosaic.save(done["header"], path)
    again = nbmosaic.read(path)
    assert isinstance(again, Grid)
    assert again.shape == done["header"].shape
    assert again.text == done["header"].text == path.read_text()
    there = np.array([[0.0, 0], [300, 200]])
    np.testing.assert_allclose(again.wcs.wcs_pix2world(there, 0), done["header"].wcs.wcs_pix2world(there, 0), atol=1e-12)
    run = nbmosaic.project(done["images"], again)
    np.testing.assert_array_equal(run.frame(0).data, done["project"].frame(0).data)


def test_a_picture(done, tmp_path):
    nbmosaic.save(done.mosaic, tmp_path / "m.png")
    nbmosaic.save(nbmosaic.show(done["background"]), tmp_path / "b.png")
    for name in ("m.png", "b.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.png", "m.png"]


def text(value):
    """Text of a cell; files do not know blanks at the ends, nor nothing from missing."""
    return "" if pd.isna(value) else str(value).strip()


@pytest.mark.parametrize("ending", [".tbl", ".csv", ".ecsv"])
def test_tables(done, tmp_path, ending):
    for stage in ("images", "overlaps", "background"):
        path = tmp_path / f"{stage}{ending}"
        table = done.table(stage)
        nbmosaic.save(done[stage], path)
        again = nbmosaic.read(path)
        assert isinstance(again, Table)
        assert list(again.table.columns) == list(table.columns)
        numbers = table.select_dtypes("number").columns
        got, want = again.table[numbers].to_numpy(float), table[numbers].to_numpy(float)
        np.testing.assert_allclose(got, want, rtol=1e-14, atol=0, err_msg=str(path))
        for name in table.columns.difference(numbers):
            got, want = ([text(value) for value in column] for column in (again.table[name], table[name]))
            assert got == want, name


@pytest.mark.parametrize("slope", [True, False])
@pytest.mark.parametrize("ending", [".tbl", ".csv", ".ecsv"])
def test_a_fits_table_gives_the_same_background(done, tmp_path, ending, slope):
    pairs = nbmosaic.overlaps(done["project"], slope=slope)
    want = nbmosaic.background(pairs, slope=slope).table
    path = tmp_path / f"fits{ending}"
    nbmosaic.save(pairs, path)
    for given in (nbmosaic.read(path), nbmosaic.read(path).table, pairs.table):
        got = nbmosaic.background(given, slope=slope).table
        assert list(got.name) == list(want.name)
        np.testing.assert_allclose(got[["a", "b"]], want[["a", "b"]], atol=1e-12)
        np.testing.assert_allclose(got.c, want.c, atol=1e-9)
        # a table knows neither pixels nor whole frames: regions shared by three frames come from the rectangles of the overlaps
        names = ["a_err", "b_err", "c_err"] if slope else ["c_err"]
        np.testing.assert_allclose(got[names], want[names], rtol=0.1)


def test_a_slice_of_a_fits_table(done):
    table = done.table("overlaps")
    chosen = table[table.npixel > table.npixel.median() / 4]
    assert 5 <= len(chosen) <= len(table)
    one = nbmosaic.background(chosen.sample(frac=1.0, random_state=1))
    pairs = [(row.plus, row.minus) for row in table.drop(chosen.index).itertuples()]
    other = nbmosaic.background(done["overlaps"], exclude=pairs)
    difference = one.table.set_index("id")[["a", "b", "c"]] - other.table.set_index("id")[["a", "b", "c"]]
    np.testing.assert_allclose(difference, 0, atol=1e-8)


def test_a_bare_table_of_montage(done, tmp_path):
    """Only Montage's columns: the answer minimises the squares over its boxes, here once more by brute force."""
    path = tmp_path / "fits.tbl"
    table = done.table("overlaps")[MONTAGE]
    nbmosaic.save(Table(table, "memory"), path)
    model = nbmosaic.background(nbmosaic.read(path))
    planes = model.table.set_index("id")
    n = len(planes)
    rows, right = [], []
    for row in table.itertuples():
        turn = np.radians(row.boxang)
        nodes, weights = np.polynomial.legendre.leggauss(3)  # exact for squares of planes
        u, v = np.meshgrid(nodes * row.boxwidth / 2, nodes * row.boxheight / 2)
        x = row.boxx + u * np.cos(turn) - v * np.sin(turn)
        y = row.boxy + u * np.sin(turn) + v * np.cos(turn)
        design = np.zeros((x.size, 3 * n))
        for frame, sign in ((row.plus, 1), (row.minus, -1)):
            design[:, 3 * frame : 3 * frame + 3] = sign * np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
        weight = np.sqrt(row.boxwidth * row.boxheight * np.outer(weights, weights).ravel() / 4)
        rows.append(weight[:, None] * design)
        right.append(weight * (row.a * x + row.b * y + row.c).ravel())
    solved = np.linalg.lstsq(np.vstack(rows), np.concatenate(right), rcond=None)[0].reshape(n, 3)
    got = planes[["a", "b", "c"]].to_numpy()
    shift = got - solved  # a common plane is free
    np.testing.assert_allclose(shift - shift.mean(axis=0), 0, atol=1e-9)
    level = nbmosaic.background(nbmosaic.read(path), slope=False).table
    assert (level[["a", "b"]] == 0).all(axis=None)


def test_what_has_no_such_form(done, tmp_path):
    for product, name, text in [
        (done["header"], "x.fits", "Grid is not a mosaic"),
        (done.mosaic, "x.hdr", "Mosaic is not a grid"),
        (done.mosaic, "x.jpeg", "no known ending"),
    ]:
        with pytest.raises(InputError, match=text):
            nbmosaic.save(product, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_numbers():
    table = pd.DataFrame({name: [0.0, 1.0] for name in MONTAGE})
    table["plus"] = ["0", "x"]
    with pytest.raises(InputError, match="row 1, column plus"):
        nbmosaic.background(table)
    with pytest.raises(InputError, match="no column rms, boxx"):
        nbmosaic.background(table.drop(columns=["rms", "boxx"]))


def test_a_single_frame_has_wcs_shape_and_data(done):
    one = nbmosaic.read(done["images"].infos[0].meta["file"])
    assert one.data.shape == one.shape == one.infos[0].shape
    assert one.wcs is one.infos[0].wcs
    with pytest.raises(AttributeError, match="frames"):
        _ = done["images"].data
