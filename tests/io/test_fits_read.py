from __future__ import annotations

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits
from support.fits_files import noise_image, tan_header, write_frame

from nbmosaic.errors import FormatError, ShapeError
from nbmosaic.io.fits_read import fits_image
from nbmosaic.io.fits_scan import scan_fits
from nbmosaic.io.sources import frame_infos


def image_of(path, hdu=0, **options):
    return fits_image(str(path), scan_fits(str(path))[hdu], label=str(path), **options)


def twin(path, hdu=0):
    """The obvious way: astropy's scaled data, blanks and infinities as NaN."""
    with fits.open(path) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = np.array(hdus[hdu].data, np.float64)
        with np.errstate(over="ignore"):
            data = data.astype(np.float32)
    data[~np.isfinite(data)] = np.nan
    return data


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8", "u2", "u4"])
def test_every_type_agrees_with_astropy(tmp_path, rng, dtype):
    data = noise_image(rng, (301, 517), dtype)  # two strips, the second not full
    if dtype in {"i2", "i4", "i8"}:
        data[3, 4] = np.iinfo(dtype).min + 1
    path = write_frame(tmp_path / "a.fits", data)
    read = image_of(path).read()
    assert read.dtype == np.float32
    assert read.dtype.isnative
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, data.astype(np.float64).astype(np.float32))
    np.testing.assert_array_equal(read, twin(path))


def test_unsigned_64_keeps_small_numbers(tmp_path):
    data = np.array([[0, 5, 2**53, 2**63 + 2**40]], np.uint64)
    path = write_frame(tmp_path / "a.fits", data)
    np.testing.assert_array_equal(image_of(path).read(), data.astype(np.float32))


@pytest.mark.parametrize("bitpix", [8, 16, 32, 64])
def test_bscale_bzero_blank(tmp_path, rng, bitpix):
    stored = rng.integers(0, 100, (40, 30)).astype(f">{'u' if bitpix == 8 else 'i'}{bitpix // 8}")
    header = tan_header(stored.shape)
    hdu = fits.PrimaryHDU(stored, header)
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.25, -7.5, 42
    path = tmp_path / "a.fits"
    raw = hdu.header.tostring().encode() + stored.tobytes()
    path.write_bytes(raw + b"\0" * (-len(raw) % 2880))
    read = image_of(path).read()
    expected = stored.astype(np.float64) * 0.25 - 7.5
    expected[stored == 42] = np.nan
    np.testing.assert_array_equal(read, expected.astype(np.float32))
    assert np.isnan(read).any()


def test_blank_of_a_float_image_is_ignored(tmp_path):
    hdu = fits.PrimaryHDU(np.full((3, 4), 5.0, np.float32), tan_header((3, 4)))
    path = tmp_path / "a.fits"
    header = hdu.header.copy()
    header["BLANK"] = 5
    data = np.full((3, 4), 5.0, ">f4").tobytes()
    path.write_bytes(header.tostring().encode() + data.ljust(2880, b"\0"))
    assert np.isfinite(image_of(path).read()).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_infinite_and_too_large(tmp_path, dtype):
    data = np.array([[1.0, np.nan, np.inf, -np.inf, 1e300 if dtype == np.float64 else 1.0]], dtype)
    path = write_frame(tmp_path / "a.fits", data)
    np.testing.assert_array_equal(np.isnan(image_of(path).read())[0], [False, True, True, True, dtype == np.float64])


def test_scaled_float(tmp_path):
    path = tmp_path / "a.fits"
    header = fits.PrimaryHDU(np.zeros((2, 3), np.float32), tan_header((2, 3))).header
    header["BSCALE"], header["BZERO"] = 2.0, 1.0
    path.write_bytes(header.tostring().encode() + np.arange(6, dtype=">f4").tobytes().ljust(2880, b"\0"))
    np.testing.assert_array_equal(image_of(path).read().ravel(), np.arange(6) * 2 + 1)


def test_flux_scale_multiplies(tmp_path, rng):
    for dtype in ("i2", "f4", "f8", "u2"):
        data = noise_image(rng, dtype=dtype)
        path = write_frame(tmp_path / "a.fits", data)
        np.testing.assert_allclose(image_of(path).read(scale=1.7), data * 1.7, rtol=1e-6)


def test_reusable_buffer(tmp_path, rng):
    data = noise_image(rng)
    image = image_of(write_frame(tmp_path / "a.fits", data))
    buffer = np.empty(data.shape, np.float32)
    assert image.read(buffer) is buffer
    np.testing.assert_array_equal(buffer, data)
    with pytest.raises(ShapeError, match=r"float32 \(5, 5\), expected C-contiguous float32 \(12, 17\)"):
        image.read(np.empty((5, 5), np.float32))


@pytest.mark.parametrize("suffix", ["gz", "fz"])
def test_packed_files(tmp_path, rng, suffix):
    data = noise_image(rng, (130, 1100), np.int16)
    path = tmp_path / f"a.fits.{suffix}"
    if suffix == "gz":
        write_frame(path, data)
        index = 0
    else:
        hdu = fits.CompImageHDU(data, tan_header(data.shape), compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
        index = 1
    np.testing.assert_array_equal(image_of(path, index).read(), data)
    frames, _ = frame_infos(path)
    assert frames[0].shape == data.shape
    assert frames[0].name == str(path)  # the only image of its file
    np.testing.assert_array_equal(frames[0].source.load().data, data)


def test_blank_of_a_compressed_image(tmp_path):
    data = np.arange(200, dtype=np.int16).reshape(10, 20)
    path = tmp_path / "a.fits.fz"
    hdu = fits.CompImageHDU(data, tan_header(data.shape))
    hdu.header["BLANK"] = 7
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    read = image_of(path, 1).read()
    np.testing.assert_array_equal(read, twin(path, 1))
    assert np.isnan(read).sum() == 1


def test_damaged_compressed_image(tmp_path, rng):
    path = tmp_path / "a.fits.fz"
    data = rng.integers(0, 30000, (100, 100)).astype(np.int16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, tan_header(data.shape), compression_type="GZIP_1")]).writeto(path)
    raw = bytearray(path.read_bytes())
    start = len(raw) - 12_000
    raw[start : start + 4000] = b"\xff" * 4000
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"cannot unpack .*a\.fits\.fz"):
        image_of(path, 1).read()


def test_degenerate_axes_are_dropped_and_cubes_refused(tmp_path, rng):
    data = noise_image(rng)
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(data[None, None], tan_header(CTYPE3="FREQ", CTYPE4="STOKES", CRVAL3=1.4e9)).writeto(path)
    np.testing.assert_array_equal(frame_infos(path)[0][0].source.load().data, data)
    fits.PrimaryHDU(np.zeros((3, 12, 17), np.float32), tan_header()).writeto(path, overwrite=True)
    with pytest.raises(ShapeError, match="axes 17x12x3, expected an image"):
        frame_infos(path)


def test_celestial_axes_one_and_three(tmp_path, rng):
    data = noise_image(rng)
    header = tan_header()
    header["CTYPE2"], header["CTYPE3"] = "FREQ", "DEC--TAN"
    header["CRVAL2"], header["CRVAL3"] = 1.4e9, -5.3911
    header["CRPIX2"], header["CRPIX3"] = 1.0, 6.0
    header["CDELT2"], header["CDELT3"] = 1e6, 1 / 3600
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(data[:, None, :], header).writeto(path)
    frame = frame_infos(path)[0][0]
    assert frame.shape == data.shape
    assert frame.wcs.wcs.ctype[1] == "DEC--TAN"
    np.testing.assert_array_equal(frame.source.load().data, data)


def test_file_without_pixels(tmp_path):
    header = tan_header()
    path = tmp_path / "a.fits"
    text = fits.PrimaryHDU(np.zeros((2, 2), np.float32), header).header
    text["NAXIS1"] = 0
    path.write_bytes(text.tostring().encode())
    with pytest.raises(ShapeError, match="has no pixels: its axes are 0x2"):
        frame_infos(path)


def test_changed_file_is_noticed(tmp_path, rng):
    path = write_frame(tmp_path / "a.fits", noise_image(rng))
    frame = frame_infos(path)[0][0]
    write_frame(path, noise_image(rng, (20, 20)))
    with pytest.raises(FormatError, match="was changed since its header was read"):
        frame.source.load()
    path.unlink()
    with pytest.raises(FormatError, match="cannot open"):
        frame.source.load()


def test_pixels_cut_after_listing(tmp_path, rng):
    path = write_frame(tmp_path / "a.fits", noise_image(rng, (200, 200)))
    image = image_of(path)
    path.write_bytes(path.read_bytes()[:-50_000])
    with pytest.raises(FormatError, match=r"pixels of .* end early"):
        image.read()
    packed = tmp_path / "b.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(FormatError, match="truncated"):
        scan_fits(str(packed))


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u2", "f4"])
def test_flags(tmp_path, dtype):
    data = np.array([[0, 1, 2, 3, 4, 8, 12, 128]], dtype)
    image = image_of(write_frame(tmp_path / "m.fits", data))
    np.testing.assert_array_equal(image.read_flags()[0], data[0] != 0)
    np.testing.assert_array_equal(image.read_flags(1 | 8)[0], (data[0].astype(int) & 9) != 0)


def test_flags_of_the_sign_bit_and_blanks(tmp_path):
    image = image_of(write_frame(tmp_path / "m.fits", np.array([[0, -32768, 1]], np.int16)))
    np.testing.assert_array_equal(image.read_flags(32768)[0], [False, True, False])
    path = write_frame(tmp_path / "b.fits", np.array([[0, 5, 7]], np.int16), BLANK=7)
    np.testing.assert_array_equal(image_of(path).read_flags(1 << 10)[0], [False, False, True])


def test_bits_of_a_fractional_mask_are_refused(tmp_path):
    image = image_of(write_frame(tmp_path / "m.fits", np.array([[0.0, 0.5]], np.float32)))
    assert image.read_flags().tolist() == [[False, True]]
    with pytest.raises(ShapeError, match="not whole"):
        image.read_flags(1)
