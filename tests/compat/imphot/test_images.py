"""Images of the same sky through imphot's functions: its records, and mpdaf's objects in and out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units

from nbmosaic.compat import imphot
from nbmosaic.errors import NbmosaicWarning
from nbmosaic.io.image_planes import read_sky_image


@pytest.fixture
def mpdaf():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("mpdaf.obj")


@pytest.fixture
def cutout(golden):
    """The HST cutout of 30 mas, and the part of dev1 that imphot brought it to."""
    image = golden.image("dev1")
    y0, y1, x0, x1 = golden.results["regrid"]["target_slice"]
    part = (slice(y0, y1), slice(x0, x1))
    return golden.image("hst30_cutout"), image.changed(
        data=image.data[part], mask=image.mask[part], variance=image.variance[part], wcs=image.wcs.slice(part)
    )


def test_filters(golden):
    for name, record in golden.results["filters"].items():
        found = imphot.HstFilterInfo(name.lower())
        assert {key: getattr(found, key) for key in record} == record
    with pytest.raises(imphot.UserError) as caught:
        imphot.HstFilterInfo("F999W")
    assert str(caught.value) == golden.results["err/filter"]["message"]
    hst = golden.image("hst30_cutout")
    assert imphot.HstFilterInfo(golden.path("hst30_cutout")).filter_name == imphot.HstFilterInfo(hst).filter_name == "F775W"
    with pytest.raises(imphot.UserError) as caught:
        imphot.HstFilterInfo(hst.changed(primary={}, cards={}))
    assert str(caught.value) == "Missing FILTER keyword in HST image header"
    # the header goes before the table (imphot takes the table of ACS for every camera)
    other = imphot.HstFilterInfo(hst.changed(primary={"FILTER": "F606W", "PHOTFLAM": 1.9e-18, "PHOTPLAM": 5999.0}))
    assert (other.photflam, other.photplam, other.source) == (1.9e-18, 5999.0, "header")


def test_grids(golden):
    """The records, and a rotation of 2 degrees, which imphot lets pass (D14)."""
    hst = golden.image("hst")
    for offset, aligned in golden.results["grids"].items():
        moved = hst.changed(wcs=hst.wcs.deepcopy())
        moved.wcs.wcs.crpix[0] += float(offset)
        assert imphot.image_grids_aligned(hst, moved) is aligned
    assert imphot.image_grids_aligned(hst, moved, tolerance=0.1)
    c, s = np.cos(np.radians(2)), np.sin(np.radians(2))
    turned = hst.changed(wcs=hst.wcs.deepcopy())
    turned.wcs.wcs.pc = turned.wcs.wcs.pc @ np.array([[c, -s], [s, c]])
    assert not imphot.image_grids_aligned(hst, turned)


def test_regrid_and_rescale(golden, cutout):
    hst, target = cutout
    before = hst.data.copy()
    made = imphot.regrid_hst_like_muse(hst, target)  # inplace=True changes mpdaf's images only
    assert np.array_equal(hst.data, before)
    with np.load(golden.folder / "regrid_cutout.npz") as record:
        inner = (slice(8, -8), slice(8, -8))
        assert np.abs((made.data - record["data"])[inner]).max() < 6e-4
        assert np.array_equal(made.mask, record["mask"])
    assert imphot.image_grids_aligned(made, target)
    scaled = imphot.rescale_hst_like_muse(made, target)
    record = golden.results["rescale"]
    assert np.median(scaled.data / made.data) == pytest.approx(record["ratio"])
    assert units.Unit(scaled.unit) == units.Unit(record["unit"])
    with pytest.raises(imphot.UserError, match="no unit"):
        imphot.rescale_hst_like_muse(made, target.changed(unit=""))


@pytest.mark.parametrize("inplace", [True, False])
def test_mpdaf_images_come_back_as_mpdaf_images(golden, cutout, mpdaf, inplace):
    """mpdaf 3.6: the values of the plain functions, in the object itself or in a copy; what is written can be read."""
    hst, target = cutout
    image = mpdaf.Image(golden.path("hst30_cutout"))
    y0, y1, x0, x1 = golden.results["regrid"]["target_slice"]
    muse = mpdaf.Image(golden.path("dev1"))[y0:y1, x0:x1]
    before = image.data.copy()
    made = imphot.regrid_hst_like_muse(image, muse, inplace=inplace)
    assert (made is image) is inplace
    wanted = imphot.regrid_hst_like_muse(hst, target)
    assert isinstance(made, mpdaf.Image)
    assert made.shape == muse.shape == (70, 70)
    assert np.array_equal(made.data.filled(np.nan), np.where(wanted.mask, np.nan, wanted.data))
    assert made.wcs.isEqual(muse.wcs)
    assert imphot.image_grids_aligned(made, muse)
    scaled = imphot.rescale_hst_like_muse(made, muse, inplace=inplace)
    assert (scaled is made) is inplace
    assert scaled.unit == muse.unit
    assert scaled.primary_header["FILTER"] == "F775W"
    if not inplace:
        assert np.array_equal(image.data, before)
        assert image.unit != muse.unit
        assert np.ma.median(scaled.data / made.data) == pytest.approx(golden.results["rescale"]["ratio"])


def test_mpdaf_images_written_and_read(golden, mpdaf, tmp_path):
    muse = mpdaf.Image(golden.path("dev1"))
    fit = imphot.fit_image_photometry(mpdaf.Image(golden.path("hst")), muse, fix_beta=2.8)
    assert fit.name == "dev1"
    assert fit.summary() == imphot.fit_image_photometry(golden.path("hst"), golden.path("dev1"), fix_beta=2.8).summary()
    done = imphot.apply_corrections(muse, fit)
    assert done is not muse
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done.write(str(tmp_path / "a.fits"), savemask="dq")
    back = read_sky_image(str(tmp_path / "a.fits"))
    assert back.wcs.wcs.crpix[0] == pytest.approx(160.5 + fit.dx.value / 0.2)
    assert np.allclose(back.data[~back.mask], done.data.compressed(), rtol=1e-6)
    extra = imphot.fit_image_photometry(mpdaf.Image(golden.path("hst")), muse, extramask=mpdaf.Image(golden.path("extramask")))
    theirs = golden.second["dev1/image/extramask_image"]["params"]
    assert all(
        abs(getattr(extra, name).value - theirs[name]["value"]) < 0.1 * getattr(extra, name).stdev for name in ("fwhm", "scale", "dx", "bg")
    )


def test_mpdaf_cubes_give_grid_unit_and_planes(golden, mpdaf):
    cube = mpdaf.Cube(golden.path("cube"))
    hst = mpdaf.Image(golden.path("hst30_cutout"))
    assert imphot.HstFilterInfo(hst).filter_name == "F775W"
    made = imphot.regrid_hst_like_muse(hst, cube, inplace=False)
    assert made.shape == cube.shape[1:]
    assert imphot.rescale_hst_like_muse(made, cube).unit == cube.unit
    some = imphot.bandpass_image(cube, [9.5, 11.5], [1.0, 1.0], unit_wave=None)  # planes 10 and 11
    both = cube[10:12].data.mean(axis=0)
    assert np.allclose(some.data.filled(0), both.filled(0), rtol=1e-9)


class Fit:
    """The fitted values of a record."""

    def __init__(self, record):
        for name, one in record["params"].items():
            setattr(self, name, imphot.FittedValue(value=one["value"], stdev=one["stdev"], fixed=one["fixed"]))


@pytest.mark.parametrize("name", ["dev1", "dev2"])
def test_corrections_by_header(golden, name):
    """imphot's pixels and CRPIX to the last digit."""
    fit = Fit(golden.results[f"{name}/image/exclude_stars"])
    image = golden.image(name)
    for case, options in (("crpix", {}), ("scaleonly", {"corrections": "scale"})):
        record = golden.results[f"{name}/apply/{case}"]
        done = imphot.apply_corrections(image, fit, **options)
        assert list(done.wcs.wcs.crpix) == pytest.approx(record["crpix"], abs=1e-6)
        assert np.count_nonzero(done.mask) == record["nmask"]
        assert done.data[~done.mask].sum() == pytest.approx(record["sum"], rel=1e-6)
        assert done.variance[~done.mask].sum() == pytest.approx(record["var_sum"], rel=1e-6)
        for y, x, value, variance in record["sample"]:
            assert (done.data[y, x], done.variance[y, x]) == pytest.approx((value, variance), rel=1e-9)
    assert np.array_equal(image.wcs.wcs.crpix, [160.5, 160.5])


def test_corrections_by_resampling(golden):
    """D15: imphot's image is ours smoothed by its B-spline; ours keeps the noise, and masks what comes from outside."""
    fit = Fit(golden.results["dev1/image/exclude_stars"])
    image = golden.image("dev1")
    done = imphot.apply_corrections(image, fit, resample=True)
    theirs = read_sky_image(str(golden.folder / "dev1_corr_resample.fits.gz"))
    assert np.array_equal(done.wcs.wcs.crpix, [160.5, 160.5])
    sky = (slice(60, 110), slice(60, 110))  # a quiet corner: noise
    noise = [np.std(one[sky] - np.median(one[sky])) for one in (image.data / fit.scale.value, done.data, theirs.data)]
    assert noise[2] < 0.85 * noise[0]
    assert noise[1] > 0.85 * noise[0]
    assert np.corrcoef(done.data[~done.mask & ~theirs.mask], theirs.data[~done.mask & ~theirs.mask])[0, 1] > 0.97


def test_corrections_of_other_kinds(golden):
    fit = Fit(golden.results["dev1/image/exclude_stars"])
    plain = golden.image("dev1").changed(variance=None)
    done = imphot.apply_corrections(plain, fit)  # D16
    assert done.variance is None
    assert np.array_equal(done.data, imphot.apply_corrections(plain, fit, corrections=" x, y,scale ,zero").data)
    assert np.array_equal(imphot.apply_corrections(plain, fit, corrections=None).data, plain.data)
    with pytest.raises(imphot.UserError, match="no correction 'flux'"):
        imphot.apply_corrections(plain, fit, corrections="xy,flux")


@pytest.mark.parametrize("curve", ["inside", "truncated"])
@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_band_passes(golden, mpdaf, curve, kind):
    wavelengths, sensitivities = np.loadtxt(golden.path(f"filter_{curve}.dat")).T
    options = {"interpolation": kind, "nprocess": 2, "truncation_warning": False}
    made = imphot.bandpass_image(golden.path("cube"), wavelengths, sensitivities, **options)
    with np.load(golden.folder / f"bandpass_{curve}_{kind}.npz") as record:
        assert np.array_equal(made.mask, record["mask"])
        good = ~made.mask
        # imphot integrates the curve numerically plane by plane
        assert np.allclose(made.data[good], record["data"][good], rtol=0, atol=2e-5)
        assert np.allclose(made.variance[good], record["var"][good], rtol=2e-4)
    theirs = imphot.bandpass_image(
        mpdaf.Cube(golden.path("cube")), wavelengths * units.Unit("Angstrom").to("nm"), sensitivities, units.nm, **options
    )
    assert isinstance(theirs, mpdaf.Image)
    assert np.allclose(theirs.data.filled(0), np.where(made.mask, 0, made.data), rtol=1e-9)
    assert np.allclose(theirs.var.filled(0), np.where(made.mask, 0, made.variance), rtol=1e-9)
    assert imphot.image_grids_aligned(theirs, made)


def test_band_passes_that_overrun_the_cube_warn(golden):
    """D4: scipy's trapz is gone, and imphot with it."""
    wavelengths, sensitivities = np.loadtxt(golden.path("filter_truncated.dat")).T
    with pytest.warns(NbmosaicWarning, match=r"2\d% of the integrated filter curve is beyond the edges of the cube"):
        imphot.bandpass_image(golden.path("cube"), wavelengths, sensitivities)


def test_band_passes_that_cannot_be(golden):
    cube = golden.path("cube")
    for arguments, message in (
        (([1.0, 2.0], [1.0]), "The wavelengths and sensititivies arguments should be 1D arrays of equal length"),
        (([1.0, 2.0], [1.0, 1.0]), "The filter curve does not overlap the wavelength coverage of the cube."),
    ):
        with pytest.raises(imphot.UserError) as caught:
            imphot.bandpass_image(cube, *arguments)
        assert str(caught.value) == message
    with pytest.raises(imphot.UserError, match="nprocess"):
        imphot.bandpass_image(cube, [6000.0, 7000.0], [1.0, 1.0], nprocess=1.5)
    with pytest.raises(imphot.UserError, match="interpolation"):
        imphot.bandpass_image(cube, [6000.0, 7000.0], [1.0, 1.0], interpolation="nearest")
