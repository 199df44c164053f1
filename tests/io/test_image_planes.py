"""Images and cubes from files, objects and the real mpdaf; written back and read by mpdaf."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
from astropy.wcs import WCS
from support.shared import shared_path

from nbmosaic.errors import FormatError, InputError, ShapeError, WcsError
from nbmosaic.io.cube_planes import is_cube, read_sky_cube
from nbmosaic.io.image_planes import read_sky_image, write_sky_image
from nbmosaic.types.sky_image import SkyImage

GOLDEN = "golden/imphot/inputs"


def grid(naxis=2):
    wcs = WCS(naxis=naxis)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", "AWAV"][:naxis]
    wcs.wcs.crval = [53.16, -27.78, 4750e-10][:naxis]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600, 1.25e-10][:naxis]
    wcs.wcs.crpix = [4.5, 3.5, 1.0][:naxis]
    wcs.wcs.cunit = ["deg", "deg", "m"][:naxis]
    return wcs


def data_of(rng, shape=(6, 8)):
    data = rng.normal(5, 2, shape)
    data[1, 2] = np.nan
    return data


def hdus_of(data, *, names=("DATA", "STAT", "DQ"), header=None):
    cards = grid(data.ndim).to_header()
    mask = np.zeros(data.shape, np.uint8)
    mask[..., 3, 4] = 2
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = "udf"
    primary.header["FILTER"] = "F606W"
    planes = [
        fits.ImageHDU(data.astype("f8"), cards, name=names[0]),
        fits.ImageHDU(np.full(data.shape, 1e-40), cards, name=names[1]),
        fits.ImageHDU(mask, cards, name=names[2]),
    ]
    planes[0].header["BUNIT"] = "erg/s/cm2/Angstrom"
    planes[0].header.update(header or {})
    return fits.HDUList([primary, *planes])


def test_files_of_data_stat_and_dq(tmp_path, rng):
    data = data_of(rng)
    hdus_of(data).writeto(tmp_path / "a.fits")
    image = read_sky_image(tmp_path / "a.fits")
    assert np.array_equal(image.data, data, equal_nan=True)
    assert np.argwhere(image.mask).tolist() == [[1, 2], [3, 4]]  # the NaN is not in DQ (imphot's defect D9)
    assert (image.variance == 1e-40).all()  # float32 would hold three digits of it
    assert (image.name, image.unit, image.value("FILTER"), image.primary["OBJECT"]) == ("a", "erg/s/cm2/Angstrom", "F606W", "udf")
    assert image.filename == str(tmp_path / "a.fits")
    assert "CRVAL1" not in image.cards
    assert not read_sky_image(tmp_path / "a.fits", mask=None).mask[3, 4]
    assert not read_sky_image(tmp_path / "a.fits", mask_bits=1).mask[3, 4]
    assert read_sky_image(tmp_path / "a.fits", variance=None).variance is None
    assert read_sky_image(image) is image
    assert read_sky_image(tmp_path / "a.fits[STAT]").data[0, 0] == 1e-40


def test_other_names_of_the_planes(tmp_path, rng):
    data = data_of(rng)
    hdus = hdus_of(data, names=("SCI", "ERR", "FLAGS"))
    hdus["ERR"].data[:] = 3.0
    hdus.writeto(tmp_path / "a.fits")
    image = read_sky_image(tmp_path / "a.fits")
    assert image.variance is None
    assert np.argwhere(image.mask).tolist() == [[1, 2]]
    assert (read_sky_image(tmp_path / "a.fits", variance="ERR", mask="FLAGS").variance == 9.0).all()
    assert read_sky_image(tmp_path / "a.fits", mask="FLAGS").mask[3, 4]
    assert (read_sky_image(tmp_path / "a.fits", variance="ivar:ERR").variance == 1 / 3).all()
    assert (read_sky_image(tmp_path / "a.fits", variance=np.full(data.shape, 7.0)).variance == 7.0).all()
    with pytest.raises(FormatError, match="has no such extension"):
        read_sky_image(tmp_path / "a.fits", variance="NOISE")
    with pytest.raises(ShapeError):
        read_sky_image(tmp_path / "a.fits", variance=np.ones((2, 2)))
    bad = np.full(data.shape, 4.0)
    bad[0, 0], bad[0, 1] = -1.0, np.inf
    assert np.isnan(read_sky_image(tmp_path / "a.fits", variance=bad).variance).sum() == 2


def test_plain_files_integers_and_packed_ones(tmp_path):
    numbers = np.arange(48, dtype=np.int16).reshape(6, 8)
    hdu = fits.PrimaryHDU(numbers, grid().to_header())
    hdu.header["BLANK"] = 5
    hdu.header["BUNIT"] = "DN"
    hdu.writeto(tmp_path / "plain.fits.gz")
    image = read_sky_image(str(tmp_path / "plain.fits.gz"))
    assert np.isnan(image.data[0, 5])
    assert np.argwhere(image.mask).tolist() == [[0, 5]]
    assert image.data[5, 7] == 47.0
    assert (image.name, image.unit, image.variance) == ("plain", "DN", None)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(numbers.astype("f4"), grid().to_header(), compression_type="GZIP_2")]).writeto(
        tmp_path / "t.fits"
    )
    assert np.array_equal(read_sky_image(tmp_path / "t.fits").data, numbers)


def test_what_is_no_image(tmp_path, rng):
    with pytest.raises(FormatError, match="no such file"):
        read_sky_image(tmp_path / "nofile.fits")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(FormatError, match="holds no image"):
        read_sky_image(tmp_path / "empty.fits")
    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "nowcs.fits")
    with pytest.raises(WcsError, match="no celestial WCS"):
        read_sky_image(tmp_path / "nowcs.fits")
    hdus_of(data_of(rng, (4, 6, 8))).writeto(tmp_path / "cube.fits")
    with pytest.raises(ShapeError, match="axes 8x6x4, expected an image; read it as a cube"):
        read_sky_image(tmp_path / "cube.fits")
    with pytest.raises(FormatError, match="has no image 'NONE'; its images are DATA, STAT, DQ"):
        read_sky_image(f"{tmp_path}/cube.fits[NONE]")
    with pytest.raises(InputError):
        read_sky_image(3.0)
    with pytest.raises(ShapeError):
        SkyImage(data=np.ones((2, 2)), mask=np.zeros((2, 3), bool), wcs=None)


def test_objects_are_copied(rng):
    data = data_of(rng)
    before = data.copy()
    image = read_sky_image((data, grid()), name="mine")
    image.data[:] = 0
    image.mask[:] = True
    assert np.array_equal(data, before, equal_nan=True)
    assert image.name == "mine"
    masked = np.ma.array(data, mask=data > 5)
    assert np.array_equal(read_sky_image((masked, grid())).mask, ~(data <= 5))
    mask = np.zeros(data.shape, bool)
    mask[0, 0] = True
    for uncertainty, expected in ((StdDevUncertainty(np.full(data.shape, 3.0)), 9.0), (InverseVariance(np.full(data.shape, 4.0)), 0.25)):
        found = read_sky_image(CCDData(data, wcs=grid(), unit="electron / s", mask=mask, uncertainty=uncertainty, meta={}))
        assert (found.variance == expected).all()
        assert found.unit == "electron / s"
        assert np.argwhere(found.mask).tolist() == [[0, 0], [1, 2]]
    found = read_sky_image(hdus_of(data))
    assert (found.variance[0, 0], found.mask[3, 4], found.value("FILTER")) == (1e-40, True, "F606W")


@pytest.mark.peer
@pytest.mark.parametrize("name", ["dev1", "hst", "hst30_cutout", "extramask"])
def test_images_of_mpdaf(name):
    """mpdaf 3.6: an Image is read as its file is."""
    path = str(shared_path(f"{GOLDEN}/{name}.fits.gz"))
    theirs = pytest.importorskip("mpdaf.obj").Image(path)
    one, two = read_sky_image(theirs), read_sky_image(path)
    assert np.array_equal(one.data, two.data)
    assert np.array_equal(one.mask, two.mask)
    assert (one.variance is None) == (two.variance is None)
    if one.variance is not None:
        assert np.array_equal(one.variance[~one.mask], two.variance[~two.mask])
    assert dict(one.primary) == dict(two.primary)
    assert (one.name, one.filename) == (name, path)
    assert u.Unit(one.unit) == u.Unit(two.unit) == theirs.unit
    assert np.allclose(one.wcs.all_pix2world(10, 20, 0), two.wcs.all_pix2world(10, 20, 0), atol=1e-12)


@pytest.mark.peer
@pytest.mark.parametrize("mask", ["dq", "nan"])
def test_mpdaf_reads_what_is_written(tmp_path, mask):
    """mpdaf 3.6 reads DATA, STAT and DQ, unit, headers and WCS."""
    obj = pytest.importorskip("mpdaf.obj")
    image = read_sky_image(str(shared_path(f"{GOLDEN}/dev1.fits.gz")))
    path = write_sky_image(tmp_path / "out.fits", image, mask=mask, cards=[("ORIGIN", "test")], history=["corrected"])
    theirs = obj.Image(str(path))
    assert np.array_equal(theirs.mask, image.mask)
    assert np.array_equal(theirs.data.data[~image.mask], image.data[~image.mask])
    assert np.array_equal(theirs.var.data[~image.mask], image.variance[~image.mask])
    assert theirs.unit == u.Unit("1e-20 erg / (Angstrom s cm2)")
    assert (theirs.primary_header["OBJECT"], theirs.primary_header["ORIGIN"]) == ("dev1", "test")
    assert theirs.get_step(unit=u.arcsec) == pytest.approx([0.2, 0.2])
    back = read_sky_image(path)
    assert np.array_equal(back.mask, image.mask)
    assert "corrected" in str(fits.getheader(path)["HISTORY"])
    with pytest.raises(FormatError, match="exists"):
        write_sky_image(path, image)


def test_writing_keeps_what_single_precision_cannot_hold(tmp_path, rng):
    image = SkyImage(
        data=1e-18 * data_of(rng), mask=np.zeros((6, 8), bool), wcs=grid(), variance=np.full((6, 8), 3e-40), unit="erg/s/cm2/Angstrom"
    )
    path = write_sky_image(tmp_path / "a.fits.gz", image)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA", "STAT", "DQ"]
        assert (hdus["DATA"].data.dtype.itemsize, hdus["STAT"].data.dtype.itemsize) == (4, 8)
    assert read_sky_image(path).variance[0, 0] == 3e-40
    with fits.open(write_sky_image(tmp_path / "b.fits", image.changed(variance=None), mask="none")) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA"]
    for option in ({"mask": "both"}, {"dtype": "i2"}):
        with pytest.raises(InputError, match="is unknown"):
            write_sky_image(tmp_path / "c.fits", image, **option)
    assert not (tmp_path / "c.fits").exists()


def test_cubes_of_files(tmp_path, rng):
    data = rng.normal(size=(5, 6, 8))
    data[2, 1, 1] = np.nan
    hdus_of(data, header={"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0, "CDELT3": 1.25}).writeto(tmp_path / "c.fits")
    cube = read_sky_cube(tmp_path / "c.fits")
    assert (cube.shape, cube.wave_unit, cube.has_variance, cube.name) == ((5, 6, 8), "Angstrom", True, "c")
    assert cube.edges == pytest.approx(4750 + 1.25 * (np.arange(6) - 0.5), rel=1e-12)
    assert cube.wavelengths[0] == pytest.approx(4750)
    part = cube.planes(1, 4)
    assert np.array_equal(part.data, data[1:4], equal_nan=True)
    assert part.mask.sum() == 4
    assert (part.variance == 1e-40).all()
    part.data[:] = 0
    assert np.array_equal(cube.planes(2, 3).data, data[2:3], equal_nan=True)
    assert isinstance(cube.source.data.stored, np.memmap)  # nothing of it is in memory before it is asked for
    plane = cube.plane(2)
    assert plane.mask[1, 1]
    assert plane.mask[3, 4]
    assert plane.wcs.wcs.crval[0] == pytest.approx(53.16)
    assert read_sky_cube(cube) is cube
    with pytest.raises(ShapeError, match="5 planes"):
        cube.planes(3, 6)
    hdus_of(data_of(rng)).writeto(tmp_path / "image.fits")
    with pytest.raises(ShapeError, match="expected a cube"):
        read_sky_cube(tmp_path / "image.fits")


def test_integer_cubes_and_axes_without_wavelengths(tmp_path):
    numbers = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    hdu = fits.PrimaryHDU(numbers, grid().to_header())
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 10.0, 7
    for key in ("CTYPE3", "CUNIT3", "CRVAL3"):
        hdu.header.remove(key, ignore_missing=True)
    hdu.data = None
    raw = fits.PrimaryHDU(numbers, hdu.header)
    raw.header["BLANK"] = 7
    raw.writeto(tmp_path / "i.fits")
    with fits.open(tmp_path / "i.fits", mode="update", do_not_scale_image_data=True) as opened:
        opened[0].header["BSCALE"], opened[0].header["BZERO"] = 0.5, 10.0
    cube = read_sky_cube(tmp_path / "i.fits")
    assert (cube.wave_unit, cube.edges[0]) == ("pixel", -0.5)
    assert cube.planes(1, 2).data[0] == pytest.approx(numbers[1] * 0.5 + 10)
    assert np.isnan(cube.planes(0, 1).data[0, 0, 7])


def test_logarithmic_and_falling_axes(tmp_path, rng):
    data = rng.normal(size=(5, 6, 8))
    hdus = hdus_of(data, header={"CTYPE3": "WAVE-LOG", "CUNIT3": "nm", "CRVAL3": 475.0, "CDELT3": 1.0})
    hdus.writeto(tmp_path / "log.fits")
    cube = read_sky_cube(tmp_path / "log.fits")
    assert cube.edges == pytest.approx(475 * np.exp((np.arange(6) - 0.5) / 475.0), rel=1e-9)
    hdus["DATA"].header["CDELT3"] = -1.0
    hdus.writeto(tmp_path / "falling.fits")
    with pytest.raises(WcsError, match="do not increase"):
        read_sky_cube(tmp_path / "falling.fits")
    hdus["DATA"].header["CUNIT3"] = "kg"
    hdus.writeto(tmp_path / "kg.fits")
    with pytest.raises(WcsError, match="spectral axis"):
        read_sky_cube(tmp_path / "kg.fits")


@pytest.mark.peer
def test_cubes_of_mpdaf():
    """mpdaf 3.6: a Cube is read as its file is (which mpdaf wrote with CTYPE3 = LINEAR)."""
    path = str(shared_path(f"{GOLDEN}/cube.fits.gz"))
    theirs = pytest.importorskip("mpdaf.obj").Cube(path)
    one, two = read_sky_cube(theirs), read_sky_cube(path)
    assert is_cube(theirs)
    assert one.edges == pytest.approx(two.edges, rel=1e-12)
    assert (one.wave_unit, one.name, one.shape) == (two.wave_unit, two.name, two.shape) == ("Angstrom", "cube", (200, 60, 60))
    a, b = one.planes(40, 60), two.planes(40, 60)
    assert np.array_equal(a.data, b.data)
    assert np.array_equal(a.mask, b.mask)
    assert np.array_equal(a.variance, b.variance)
    before = theirs.data.sum()
    a.data[:] = 0
    assert theirs.data.sum() == before


def test_arrays_with_a_wcs_of_three_axes(rng):
    data = rng.normal(size=(5, 6, 8))
    cube = read_sky_cube((np.ma.array(data, mask=data > 2), grid(3)))
    assert cube.edges[:2] == pytest.approx([4749.375e-10, 4750.625e-10])
    assert cube.wave_unit == "m"
    assert np.array_equal(cube.planes().mask, data > 2)
    assert is_cube((data, grid(3)))
    assert not is_cube((data[0], grid()))
    with pytest.raises(WcsError):
        read_sky_cube((data, grid()))
    with pytest.raises(InputError, match="is int"):
        read_sky_cube(3)
