"""The PSF of a cube against wavelength: bands, polynomials, keywords, files."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits
from support.psf_files import FIELD, UNIT, field_wcs, sky_image, star_place
from support.psf_sky import Seeing, SkyImages

import nbmosaic
from nbmosaic.errors import AlgorithmError, ConfigError, FormatError, InputError, NoOverlapError
from nbmosaic.io.cube_planes import read_sky_cube
from nbmosaic.io.header_copy import copy_with_cards
from nbmosaic.pipeline.photometry.batch_product import FailedPhotometry
from nbmosaic.pipeline.photometry.wavelength import cube_bands

N_PLANES = 12


def fwhm_of(wavelength):
    return 0.62 - 3e-5 * (wavelength - 7000.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A cube whose FWHM falls with wavelength, with its variance, and the reference."""
    folder = tmp_path_factory.mktemp("cube")
    sky = SkyImages(FIELD)
    at = 4800.0 + 375.0 * np.arange(N_PLANES)
    rng = np.random.default_rng(4)
    planes = np.stack([sky.clean_image(Seeing(fwhm=fwhm_of(wavelength))) for wavelength in at])
    planes += rng.normal(0.0, 0.15, planes.shape)
    header = field_wcs().to_header()
    header.update(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=at[0], CDELT3=375.0, CRPIX3=1.0, BUNIT=UNIT)
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = "simulated"
    primary.header["FSFMODE"] = (0, "an old one")
    stat = np.full(planes.shape, 0.15**2, np.float32)
    hdus = [primary, fits.ImageHDU(planes.astype(np.float32), header, name="DATA"), fits.ImageHDU(stat, header, name="STAT")]
    fits.HDUList(hdus).writeto(folder / "cube.fits")
    return folder, sky_image(sky.reference(seed=1), name="ref")


@pytest.fixture(scope="module")
def found(scene):
    folder, reference = scene
    return nbmosaic.fit_cube_psf(reference, str(folder / "cube.fits"), bands=N_PLANES, fwhm_order=1, beta_order=0)


def test_the_polynomials_are_those_of_the_simulation(found):
    at = np.array([5000.0, 7000.0, 9000.0])
    errors = found.psf.fwhm_stderr_at(at)
    assert (np.abs(found.fwhm_at(at) - fwhm_of(at)) < 4 * errors).all()
    assert (errors < 0.004).all()
    assert abs(found.beta_at(7000.0) - 2.8) < 4 * found.psf.beta_stderr_at(7000.0)
    assert list(found.table["used"]) == [True] * N_PLANES
    assert found.table["wavelength"].to_numpy() == pytest.approx(4800.0 + 375.0 * np.arange(N_PLANES))
    assert found.failures == ()
    assert "PSF of cube from 12 of 12 bands" in repr(found)
    assert "<img" in found._repr_html_()


def test_keywords_go_into_a_copy(found, scene, tmp_path):
    folder, _ = scene
    target = tmp_path / "copy.fits"
    found.save_header(target)
    source, copy = folder / "cube.fits", target
    header = fits.getheader(copy)
    assert header["FSFMODE"] == 2
    assert header["OBJECT"] == "simulated"
    assert header["FSF00F00"] == found.psf.fwhm_coefficients[0]
    assert [card.keyword for card in header.cards].count("FSFMODE") == 1
    with fits.open(source) as one, fits.open(copy) as other:
        assert [hdu.name for hdu in one] == [hdu.name for hdu in other]
        assert np.array_equal(one["STAT"].data, other["STAT"].data)
        assert np.array_equal(one["DATA"].data, other["DATA"].data)
    assert fits.getheader(source)["FSFMODE"] == 0
    with pytest.raises(FormatError, match="exists"):
        found.save_header(target)
    with pytest.raises(FormatError, match="is the file that is read"):
        found.save_header(source, overwrite=True)
    text = tmp_path / "cards.txt"
    found.save_header(text)
    assert text.read_text().splitlines()[0].startswith("FSFMODE =")
    assert fits.Header.fromtextfile(text)["FSF00FNC"] == 2


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_mpdaf_reads_the_keywords(found, tmp_path):
    fsf = pytest.importorskip("mpdaf.MUSE.fsf")
    cube = pytest.importorskip("mpdaf.obj").Cube
    found.save_header(tmp_path / "copy.fits")
    model = fsf.FSFModel.read(cube(str(tmp_path / "copy.fits")))
    for wavelength in (5000.0, 8000.0):
        assert model.get_fwhm(wavelength) == pytest.approx(float(found.fwhm_at(wavelength)))
        assert model.get_beta(wavelength) == pytest.approx(float(found.beta_at(wavelength)))


def test_packed_files_are_copied_too(tmp_path):
    source = tmp_path / "a.fits.gz"
    fits.PrimaryHDU(np.arange(12.0).reshape(3, 4)).writeto(source)
    copy_with_cards(source, tmp_path / "b.fits", {"NEW": (1.5, "a number")})
    copy_with_cards(source, tmp_path / "c.fits.gz", {"NEW": (1.5, "a number")})
    assert fits.getdata(tmp_path / "b.fits")[2, 3] == 11.0
    assert fits.getheader(tmp_path / "c.fits.gz")["NEW"] == 1.5
    with gzip.open(tmp_path / "c.fits.gz") as stream:
        assert stream.read() == (tmp_path / "b.fits").read_bytes()


def test_bands_by_their_limits_and_by_stars(scene):
    folder, reference = scene
    cube = str(folder / "cube.fits")
    found = nbmosaic.fit_cube_psf(
        reference, cube, bands=[(4700, 5600), (5600, 7100), (7100, 9000)], method="star", star=star_place(), fix_beta=2.8, fwhm_order=1
    )
    assert len(found) == 3
    assert [list(row) for row in found.planes] == [[0, 3], [3, 7], [7, 12]]
    assert found.beta_at(6000.0) == pytest.approx(2.8)
    assert abs(found.fwhm_at(7000.0) - 0.62) < 0.02


def test_band_limits(scene):
    cube = read_sky_cube(str(scene[0] / "cube.fits"))
    middle, planes = cube_bands(cube, 5)
    assert planes[0, 0] == 0
    assert planes[-1, 1] == N_PLANES
    assert (planes[1:, 0] == planes[:-1, 1]).all()
    middle, planes = cube_bands(cube, 2, wavelengths=(5000.0, 6500.0))
    assert planes.tolist() == [[1, 3], [3, 5]]
    assert middle == pytest.approx([5362.5, 6112.5])
    with pytest.raises(ConfigError, match="13 bands of 12 planes"):
        cube_bands(cube, 13)
    with pytest.raises(NoOverlapError, match="no plane from 100 to 200"):
        cube_bands(cube, [(100.0, 200.0)])
    with pytest.raises(ConfigError, match="a band is 5"):
        cube_bands(cube, [5])
    with pytest.raises(ConfigError, match="for a number of bands"):
        cube_bands(cube, [(5000.0, 6000.0)], wavelengths=(1.0, 2.0))


def test_a_band_that_fails_is_a_row(scene, tmp_path):
    folder, reference = scene
    with fits.open(folder / "cube.fits") as hdus:
        hdus["DATA"].data[4] = np.nan
        hdus.writeto(tmp_path / "holed.fits")
    found = nbmosaic.fit_cube_psf(reference, str(tmp_path / "holed.fits"), bands=N_PLANES, fix_beta=2.8, fwhm_order=1)
    assert isinstance(found.results[4], FailedPhotometry)
    row = found.table.iloc[4]
    assert "masked" in row["error"]
    assert not row["used"]
    assert any("left out" in note for note in found.notes)
    assert "masked" in repr(found.failures[0])
    with fits.open(folder / "cube.fits") as hdus:
        hdus["DATA"].data[:] = np.nan
        hdus.writeto(tmp_path / "empty.fits")
    with pytest.raises(AlgorithmError, match="masked"):
        nbmosaic.fit_cube_psf(reference, str(tmp_path / "empty.fits"), bands=2)


def test_options_that_a_kind_of_fit_does_not_have(scene):
    folder, reference = scene
    cube = str(folder / "cube.fits")
    with pytest.raises(ConfigError, match="needs a star"):
        nbmosaic.fit_cube_psf(reference, cube, method="star")
    with pytest.raises(ConfigError, match="segment is no option"):
        nbmosaic.fit_cube_psf(reference, cube, method="star", star=star_place(), segment=True)
    with pytest.raises(ConfigError, match="method cannot be"):
        nbmosaic.fit_cube_psf(reference, cube, method="both")


def test_a_cube_in_memory_has_no_copy(scene, tmp_path):
    _, reference = scene
    from astropy.wcs import WCS

    with fits.open(scene[0] / "cube.fits") as hdus:
        data, header = hdus["DATA"].data.astype(float), hdus["DATA"].header.copy()
    found = nbmosaic.fit_cube_psf(reference, (data, WCS(header)), bands=3, any_unit=True, fwhm_order=0, beta_order=0)
    with pytest.raises(InputError, match="not in a file"):
        found.save_header(tmp_path / "a.fits")
    found.save_header(tmp_path / "a.hdr")
