from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, NDData, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.wcs import WCS
from support.fits_files import noise_image, tan_header, write_frame

from nbmosaic.errors import InputError, ShapeError, WcsError
from nbmosaic.io.meta import content_key
from nbmosaic.io.sources import frame_infos


def one(item, **options):
    frames, _ = frame_infos(item, **options)
    assert len(frames) == 1
    return frames[0]


@pytest.fixture
def data(rng):
    return noise_image(rng)


def test_array_and_wcs_or_header(data):
    for frame in (one((data, WCS(tan_header()))), one((data, tan_header(BUNIT="Jy", EXPTIME=3.0)))):
        np.testing.assert_array_equal(frame.source.load().data, data)
        assert frame.name == "input 0"
    assert frame.meta["unit"] == "Jy"
    assert frame.meta["exptime"] == 3.0


def test_inputs_are_never_modified(data):
    data[0, 0] = np.inf
    kept = data.copy()
    pixels = one((data, WCS(tan_header())), flux_scale=3.0).source.load()
    pixels.data[:] = 0
    np.testing.assert_array_equal(data, kept)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", "u1", "f2", bool])
def test_any_type_and_byte_order(data, dtype):
    array = data.astype(dtype)
    pixels = one((array, WCS(tan_header()))).source.load()
    assert pixels.data.dtype == np.float32
    np.testing.assert_array_equal(pixels.data, array.astype(np.float32))


def test_strided_array_into_a_buffer(data):
    array = np.asfortranarray(data)[::-1]
    buffer = np.empty(data.shape, np.float32)
    pixels = one((array, WCS(tan_header()))).source.load(buffer)
    assert pixels.data is buffer
    np.testing.assert_array_equal(buffer, data[::-1])


def test_masked_array(data):
    array = np.ma.masked_greater(data, 110)
    np.testing.assert_array_equal(one((array, WCS(tan_header()))).source.load().mask, data > 110)


def test_memory_map_is_read_in_strips(tmp_path, data):
    path = write_frame(tmp_path / "a.fits", data)
    with fits.open(path, memmap=True) as hdus:
        frame = one(hdus[0])
        assert not frame.source.data.dtype.isnative
        np.testing.assert_array_equal(frame.source.load().data, data)


def test_hdu_and_hdu_list(tmp_path, data):
    image = fits.ImageHDU(data, tan_header(BUNIT="MJy/sr"), name="SCI")
    flags = fits.ImageHDU((data > 110).astype(np.int16), tan_header(), name="DQ")
    sigma = fits.ImageHDU(np.full_like(data, 3), tan_header(), name="ERR")
    hdus = fits.HDUList([fits.PrimaryHDU(), image, flags, sigma])
    frames, skipped = frame_infos(hdus, mask="DQ", variance="ERR")
    assert len(frames) == 1
    assert len(skipped) == 2
    pixels = frames[0].source.load()
    np.testing.assert_array_equal(pixels.mask, data > 110)
    assert (pixels.variance == 9).all()
    assert frames[0].meta["unit"] == "MJy/sr"
    np.testing.assert_array_equal(one(image).source.load().data, data)
    assert one(hdus, hdu="ERR").name == "input 0[ERR]"
    with pytest.raises(InputError, match="has no HDU 'SKY'"):
        frame_infos(hdus, hdu="SKY")
    with pytest.raises(InputError, match="holds no image"):
        frame_infos(fits.PrimaryHDU())


def test_image_in_memory_has_no_content_key(tmp_path, data):
    path = write_frame(tmp_path / "a.fits", data)
    with fits.open(path) as hdus:
        hdus[0].data[0, 0] = 7  # differs from the file now
        frame = one(hdus)
        assert content_key(frame) is None
        assert frame.source.load().data[0, 0] == 7
    assert content_key(one(path))[0] == str(path)


def test_ccddata_brings_mask_and_uncertainty(data):
    image = CCDData(data, unit="adu", wcs=WCS(tan_header()), mask=data > 110, uncertainty=StdDevUncertainty(np.full(data.shape, 2.0)))
    frame = one(image)
    pixels = frame.source.load()
    np.testing.assert_array_equal(pixels.mask, data > 110)
    assert (pixels.variance == 4).all()
    assert frame.meta["unit"] == "adu"


def test_nddata(data):
    image = NDData(data, wcs=WCS(tan_header()), uncertainty=VarianceUncertainty(np.full(data.shape, 2.0)))
    assert (one(image).source.load().variance == 2).all()
    unknown = NDData(data, wcs=WCS(tan_header()), uncertainty=UnknownUncertainty(np.ones(data.shape)))
    with pytest.raises(InputError, match="uncertainty of type 'unknown'"):
        frame_infos(unknown)


def test_given_planes_come_before_those_of_the_object(data):
    image = CCDData(data, unit="adu", wcs=WCS(tan_header()), mask=data > 110)
    assert not one(image, mask=np.zeros(data.shape, bool)).source.load().mask.any()


class MpdafLike:
    """The attributes of an mpdaf image that matter: masked data, variance, a WCS object that holds astropy's."""

    class Wrapper:
        def __init__(self, wcs):
            self.wcs = wcs

    def __init__(self, data, variance=None):
        self.data = np.ma.masked_greater(data, 110)
        self.var = variance
        self.mask = self.data.mask
        self.wcs = self.Wrapper(WCS(tan_header()))
        self.unit = "1e-20 erg"
        self.data_header = tan_header(EXPTIME=3.0)
        self.filename = None


def test_mpdaf_image(data):
    variance = np.ma.masked_array(np.full(data.shape, 2.0), data > 110)
    frame = one(MpdafLike(data, variance))
    pixels = frame.source.load()
    np.testing.assert_array_equal(pixels.mask, data > 110)
    np.testing.assert_array_equal(np.isnan(pixels.variance), data > 110)
    assert frame.meta["unit"] == "1e-20 erg"
    assert frame.meta["exptime"] == 3.0


def test_degenerate_axes(data):
    header = tan_header(CTYPE3="FREQ", CRVAL3=1e9, WCSAXES=3)
    frame = one((data[None], WCS(header)))
    assert frame.shape == data.shape
    assert frame.wcs.naxis == 2


def test_latitude_first_keeps_its_axes(data):
    header = tan_header(CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=-5.3911, CRVAL2=83.6331)
    frame = one((data, WCS(header)))
    assert frame.shape == data.shape
    assert frame.wcs.wcs.lat == 0


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (3.5, InputError, "input 0 is float, expected a file name"),
        ((np.zeros((2, 2)), 3), InputError, "the second of a pair is int"),
        ((np.zeros((3, 2, 2)), WCS(tan_header())), ShapeError, r"shape \(3, 2, 2\), expected an image"),
        ((np.zeros((0, 2)), WCS(tan_header())), ShapeError, r"shape \(0, 2\)"),
        ((np.zeros(5), WCS(tan_header())), ShapeError, r"shape \(5,\)"),
        ((np.zeros((2, 2), complex), WCS(tan_header())), InputError, "array of complex128"),
        ((np.zeros((2, 2)), WCS(naxis=2)), WcsError, "no celestial WCS"),
        (NDData(np.zeros((2, 2))), WcsError, "NDData.* has no WCS"),
        (fits.HDUList([fits.PrimaryHDU()]), WcsError, "holds no image with a celestial WCS"),
    ],
)
def test_unusable_objects(item, error, message):
    with pytest.raises(error, match=message):
        frame_infos([item])
