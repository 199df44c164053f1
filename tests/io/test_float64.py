"""Images in double precision: every stored type, packed files, windows, strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nbmosaic.errors import FormatError, ShapeError
from nbmosaic.io.float64 import area_name, open_image64, read_image32, write_image64, writing_image64


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("ending", [".fits", ".fits.gz"])
def test_every_type(tmp_path: Path, dtype: str, ending: str) -> None:
    data = (np.arange(35).reshape(5, 7) * 3).astype(dtype)
    path = tmp_path / f"a{ending}"
    fits.PrimaryHDU(data).writeto(path)
    image = open_image64(str(path))
    assert image.shape == (5, 7)
    np.testing.assert_array_equal(image.pixels(), data)
    np.testing.assert_array_equal(image.window((slice(1, 4), slice(2, 6)), np.empty(50)), data[1:4, 2:6])
    np.testing.assert_array_equal(image.window((slice(1, 4), slice(2, 6)), np.empty(3)), data[1:4, 2:6])
    assert isinstance(image.stored, np.memmap) == (dtype == "f8" and ending == ".fits")
    np.testing.assert_array_equal(read_image32(str(path), out=np.empty(99, np.float32), scale=2.0).stored, 2.0 * data)


def test_scaled_and_blank_integers(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.array([[1, 2], [-99, 4]], "i2"))
    hdu.header.update(BSCALE=0.5, BZERO=10.0, BLANK=-99)
    hdu.writeto(tmp_path / "a.fits", output_verify="silentfix")
    expected = fits.getdata(tmp_path / "a.fits").astype(float)
    np.testing.assert_array_equal(open_image64(str(tmp_path / "a.fits")).pixels(), expected)
    assert np.isnan(expected[1, 0])


def test_choice_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "m.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((2, 3))), fits.ImageHDU(np.ones((1, 4, 5)))]).writeto(path)
    assert open_image64(str(path)).hdu == open_image64(str(path), 1).hdu == 1
    assert open_image64(str(path), 2).naxis == (5, 4, 1)
    for hdu in (3, -1):
        with pytest.raises(FormatError):
            open_image64(str(path), hdu)
    fits.PrimaryHDU(np.ones((2, 3, 4))).writeto(tmp_path / "cube.fits")
    with pytest.raises(ShapeError):
        open_image64(str(tmp_path / "cube.fits"))


@pytest.mark.parametrize("name", ["o.fits", "o.fits.gz"])
def test_written_strips_are_read_by_astropy(tmp_path: Path, name: str) -> None:
    data = np.random.default_rng(0).normal(size=(40, 30))
    data[3, 4] = np.nan
    with writing_image64(tmp_path / name, data.shape, [("CRVAL1", 1.25), ("OBJECT", "it's")]) as writer:
        for row in range(0, 40, 7):
            writer.write(data[row : row + 7])
    with fits.open(tmp_path / name) as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus[0].data, data)
        assert (hdus[0].header["BITPIX"], hdus[0].header["OBJECT"]) == (-64, "it's")
    write_image64(tmp_path / name, data[:2], [])
    assert fits.getdata(tmp_path / name).shape == (2, 30)


def test_unfinished_images_do_not_appear(tmp_path: Path) -> None:
    with pytest.raises(ShapeError), writing_image64(tmp_path / "o.fits", (3, 3), []) as writer:
        writer.write(np.ones((2, 3)))
    with pytest.raises(ShapeError), writing_image64(tmp_path / "o.fits", (3, 3), []) as writer:
        writer.write(np.ones((4, 3)))
    assert not list(tmp_path.iterdir())


def test_area_names() -> None:
    assert [area_name(n) for n in ("a.fits", "d/a.fit", "a.fits.gz", "a")] == [
        "a_area.fits",
        "d/a_area.fit",
        "a_area.fits.gz",
        "a_area.fits",
    ]
