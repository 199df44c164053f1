from __future__ import annotations

import errno
import threading

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from nbmosaic.errors import FormatError, InputError, ShapeError
from nbmosaic.io.fits_write import MosaicWriter, write_image
from nbmosaic.io.headers import header_lines, plain_text
from nbmosaic.io.table_hdu import table_hdu
from nbmosaic.io.templates import parse_template, read_template

TEXT = """NAXIS1 = 133
NAXIS2 = 101
CTYPE1 = 'RA---TAN'
CTYPE2 = 'DEC--TAN'
CRVAL1 = 83.63310000000001
CRVAL2 = -5.3911
CRPIX1 = 66.5
CRPIX2 = 50.5
CD1_1 = -0.0002777777777777778
CD1_2 = 1.1e-5
CD2_1 = 0.0
CD2_2 = 0.0002777777777777778
RADESYS = 'ICRS'"""


@pytest.fixture
def grid():
    return parse_template(TEXT)


@pytest.fixture
def image(rng, grid):
    data = rng.standard_normal(grid.shape).astype(np.float32)
    data[0, :5] = np.nan
    return data


def verified(path):
    hdus = fits.open(path, memmap=False)
    hdus.verify("exception")
    for hdu in hdus:
        assert hdu.data is not None  # read while the file is open
    hdus.close()
    return hdus


def test_bands_in_any_order(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    count = (np.arange(image.size).reshape(image.shape) % 300).astype(np.int64)
    with MosaicWriter(path, grid, planes=("area", "nframes", "variance"), unit="MJy/sr") as writer:
        for first in (50, 0, 90, 30, 80):
            last = {50: 80, 0: 30, 90: 101, 30: 50, 80: 90}[first]
            rows = slice(first, last)
            writer.write_rows(
                first, image[rows], area=image[rows].astype(np.float64) ** 2, nframes=count[rows], variance=np.abs(image[rows])
            )
        assert not path.exists()
    hdus = verified(path)
    assert [h.name for h in hdus] == ["PRIMARY", "AREA", "NFRAMES", "VARIANCE"]
    np.testing.assert_array_equal(hdus[0].data, image)
    np.testing.assert_array_equal(hdus["AREA"].data, (image.astype(np.float64) ** 2).astype(np.float32))
    np.testing.assert_array_equal(hdus["NFRAMES"].data, count)
    np.testing.assert_array_equal(hdus["VARIANCE"].data, np.abs(image))
    assert hdus[0].header["BUNIT"] == "MJy/sr"
    assert hdus["VARIANCE"].header["BUNIT"] == "(MJy/sr)**2"
    assert path.stat().st_size % 2880 == 0


def test_wcs_is_exact_in_every_image(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid, planes=("area",)) as writer:
        writer.write_rows(0, image, area=image)
    hdus = verified(path)
    for hdu in hdus:
        wcs = WCS(hdu.header)
        np.testing.assert_array_equal(wcs.wcs.cd, grid.wcs.wcs.cd)
        np.testing.assert_array_equal(wcs.wcs.crval, grid.wcs.wcs.crval)
        assert wcs.wcs.radesys == "ICRS"
    assert read_template(path).shape == grid.shape


def test_types(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid, planes=("area", "nframes"), dtypes={"data": "f8", "area": np.uint8, "nframes": "u1"}) as writer:
        writer.write_rows(0, image, area=np.ones(grid.shape), nframes=np.full(grid.shape, 255))
    hdus = verified(path)
    assert [h.header["BITPIX"] for h in hdus] == [-64, 8, 8]
    assert (hdus[2].data == 255).all()
    for options in ({"planes": ("sky",)}, {"planes": ("area", "area")}, {"dtypes": {"data": "u2"}}):
        with pytest.raises(InputError, match="plane"):
            MosaicWriter(tmp_path / "x.fits", grid, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["m.fits"]


def test_rows_never_written_are_blank(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid, planes=("area", "variance")) as writer:
        writer.write_rows(20, image[20:30], area=np.ones((10, 133)))
    hdus = verified(path)
    assert np.isnan(hdus[0].data[:20]).all()
    assert np.isnan(hdus[0].data[30:]).all()
    assert hdus["AREA"].data.sum() == 1330
    assert np.isnan(hdus["VARIANCE"].data).all()


def test_header_text_is_safe(tmp_path, grid, image):
    nasty = ["café\nnoir\t\x00", "END" + " " * 77, "'" * 150, "x" * 500, "", "& CONTINUE 'a'"]
    cards = [(f"TEXT{i}", text) for i, text in enumerate(nasty)] + [("NUMBER", np.float32(0.1)), ("COUNT", np.int64(5)), ("FLAG", True)]
    cards += [("BAD", float("nan")), ("NOTHING", None), ("LIST", [1, 2]), ("WITHCOMM", 2.5, "[s] a très long comment " * 9)]
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid, cards=cards, history=nasty) as writer:
        writer.write_rows(0, image)
        writer.finish(cards=[("STEP1", 0.25, "[s] time of a step")], history=["the end"])
    header = verified(path)[0].header
    for i, text in enumerate(nasty):
        assert header[f"TEXT{i}"].rstrip() == plain_text(text).rstrip()
    assert header["COUNT"] == 5
    assert header["FLAG"] is True
    assert header["BAD"] == "nan"
    assert header["STEP1"] == 0.25
    assert header["NUMBER"] == pytest.approx(0.1)
    assert "the end" in list(header["HISTORY"])
    assert header["NAXIS1"] == 133


def test_more_cards_at_the_end_than_room(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid) as writer:
        writer.write_rows(0, image)
        writer.finish(history=[f"line {i}" for i in range(500)])
    hdus = verified(path)
    np.testing.assert_array_equal(hdus[0].data, image)
    lines = list(hdus[0].header["HISTORY"])
    assert lines[0] == "line 0"
    dropped = int(lines[-1].split()[0])
    assert lines[-1].endswith("more cards had no room")
    assert dropped + len(lines) - 1 == 500


def test_tables_at_the_end(tmp_path, grid, image):
    planes = pd.DataFrame(
        {
            "id": [1, 2, 3],
            "a": [0.5, np.nan, 1e-300],
            "name": ["f 1", "", "é"],
            "ok": [True, False, True],
            "n": pd.array([1, None, 2**40], dtype="Int64"),
            "small": np.array([1, 2, 3], np.int8),
            "f": np.array([1, 2, 3], np.float32),
        }
    )
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid) as writer:
        writer.write_rows(0, image)
        writer.finish(tables={"PLANES": planes, "EMPTY": planes.iloc[:0]})
    hdus = verified(path)
    assert [h.name for h in hdus] == ["PRIMARY", "PLANES", "EMPTY"]
    table = hdus["PLANES"].data
    assert table["id"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table["a"], planes.a)
    assert table["name"].tolist() == ["f 1", "", "\\xe9"]
    assert table["ok"].tolist() == [True, False, True]
    assert table["n"][2] == 2**40
    assert hdus["PLANES"].header["TNULL5"] == table["n"][1]
    assert len(hdus["EMPTY"].data) == 0
    assert len(table_hdu("X", planes)) % 2880 == 0


def test_nothing_is_left_after_an_error(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    path.write_text("old")

    def fail():
        with MosaicWriter(path, grid, overwrite=True) as writer:
            writer.write_rows(0, image)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    writer = MosaicWriter(path, grid, overwrite=True)
    writer.abort()
    writer.abort()
    assert writer.closed
    with pytest.raises(FormatError, match="is closed"):
        writer.write_rows(0, image)
    assert [p.name for p in tmp_path.iterdir()] == ["m.fits"]


def test_checked_before_any_work(tmp_path, grid):
    (tmp_path / "m.fits").write_text("old")
    with pytest.raises(FormatError, match=r"m\.fits exists"):
        MosaicWriter(tmp_path / "m.fits", grid)
    with pytest.raises(FormatError, match="there is no folder"):
        MosaicWriter(tmp_path / "no" / "m.fits", grid)


class FullDisk:
    """A file that takes `room` bytes, then fails; a raw write may take a part only."""

    def __init__(self, stream, room):
        self.stream, self.room = stream, room

    def write(self, data):
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[: min(self.room, 1000)]
        self.room -= len(part)
        return self.stream.write(part)

    def __getattr__(self, name):
        return getattr(self.stream, name)


@pytest.mark.parametrize("room", [0, 3000, 54_000])
def test_full_disk(tmp_path, grid, image, room):
    path = tmp_path / "m.fits"

    def write():
        with MosaicWriter(path, grid) as writer:
            writer._stream = FullDisk(writer._stream, room)
            writer.write_rows(0, image)

    with pytest.raises(FormatError, match=r"cannot write .*m\.fits: no space left on the disk \(\d+\.\d kB needed\); free some space"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_partial_writes_are_continued(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid) as writer:
        writer._stream = FullDisk(writer._stream, 10**9)
        writer.write_rows(0, image)
    np.testing.assert_array_equal(verified(path)[0].data, image)


def test_real_size_limit(tmp_path, grid, image):
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "m.fits"
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, old[1]))
    try:
        with pytest.raises(FormatError, match="file size limit"), MosaicWriter(path, grid) as writer:
            writer.write_rows(0, image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert list(tmp_path.iterdir()) == []


def test_threads(tmp_path, grid, image):
    path = tmp_path / "m.fits"
    with MosaicWriter(path, grid, planes=("area",)) as writer:

        def work(first):
            for y in range(first, 101, 4):
                writer.write_rows(y, image[y : y + 1], area=image[y : y + 1])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    hdus = verified(path)
    np.testing.assert_array_equal(hdus[0].data, image)
    np.testing.assert_array_equal(hdus[1].data, image)


@pytest.mark.parametrize(("first", "shape"), [(95, (10, 133)), (-1, (2, 133)), (0, (2, 134)), (0, (133,))])
def test_rows_that_do_not_fit(tmp_path, grid, first, shape):
    with MosaicWriter(tmp_path / "m.fits", grid) as writer:
        with pytest.raises(ShapeError, match="do not fit the grid"):
            writer.write_rows(first, np.zeros(shape, np.float32))
        with pytest.raises(InputError, match="without the plane 'area'"):
            writer.write_rows(0, np.zeros((1, 133), np.float32), area=np.zeros((1, 133), np.float32))


def test_packed(tmp_path, grid, image):
    path = tmp_path / "m.fits.gz"
    with MosaicWriter(path, grid) as writer:
        writer.write_rows(0, image)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    np.testing.assert_array_equal(verified(path)[0].data, image)
    assert [p.name for p in tmp_path.iterdir()] == ["m.fits.gz"]


def test_wide_grid_beyond_the_scratch_buffer(tmp_path):
    wide = parse_template(TEXT.replace("NAXIS1 = 133", "NAXIS1 = 300001").replace("NAXIS2 = 101", "NAXIS2 = 2"))
    data = np.arange(600002, dtype=np.float32).reshape(2, -1)
    with MosaicWriter(tmp_path / "m.fits", wide) as writer:
        writer.write_rows(0, data)
    np.testing.assert_array_equal(verified(tmp_path / "m.fits")[0].data, data)


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "u1", "i2", "i4", "i8", bool])
def test_write_image(tmp_path, image, grid, dtype):
    data = np.nan_to_num(image * 50).astype(dtype) if np.dtype(dtype).kind != "u" else np.abs(np.nan_to_num(image * 50)).astype(dtype)
    path = write_image(
        tmp_path / "i.fits", data, grid.wcs, unit="Jy", history=["x"], extensions={"AREA": image}, tables={"T": pd.DataFrame({"a": [1]})}
    )
    hdus = verified(path)
    assert [h.name for h in hdus] == ["PRIMARY", "AREA", "T"]
    np.testing.assert_array_equal(hdus[0].data, data)
    np.testing.assert_array_equal(hdus[1].data, image)
    np.testing.assert_array_equal(WCS(hdus[1].header).wcs.cd, grid.wcs.wcs.cd)
    with pytest.raises(FormatError, match="exists"):
        write_image(path, data)


def test_write_image_without_wcs_and_packed(tmp_path, image):
    np.testing.assert_array_equal(verified(write_image(tmp_path / "i.fits.gz", image[:, ::2]))[0].data, image[:, ::2])
    with pytest.raises(ShapeError, match="cannot be written"):
        write_image(tmp_path / "j.fits", np.zeros((2, 2, 2)))
    with pytest.raises(ShapeError, match="complex"):
        write_image(tmp_path / "j.fits", np.zeros((2, 2), complex))


def test_header_lines_are_80_columns():
    for text in ("a'" * 100, "x" * 68, "x" * 69, "'" * 67 + "x" * 3, ""):
        lines = header_lines([("KEY", text)])
        assert all(len(line) == 80 for line in lines)
        header = fits.Header.fromstring("".join(lines))
        assert header["KEY"] == text
