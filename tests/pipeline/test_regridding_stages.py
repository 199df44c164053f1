"""Stages regrid and bandpass: what they take, their images, files and warnings."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.psf_files import UNIT, field_wcs
from support.shared import shared_path

import nbmosaic
from nbmosaic.errors import ConfigError, InputError, NbmosaicError, NbmosaicWarning, NoOverlapError
from nbmosaic.pipeline.photometry.inputs import read_image
from nbmosaic.pipeline.products import Frames
from nbmosaic.types.sky_image import SkyImage


def fine_wcs(n: int, factor: int = 4) -> WCS:
    """Grid of `factor` times smaller pixels about the same centre as `field_wcs(n // factor)`."""
    wcs = field_wcs(n // factor)
    fine = wcs.deepcopy()
    fine.wcs.cd = wcs.wcs.cd / factor
    fine.wcs.crpix = (wcs.wcs.crpix - 0.5) * factor + 0.5
    fine.wcs.set()
    return fine


@pytest.fixture(scope="module")
def fine():
    y, x = np.mgrid[:160, :160]
    data = 5.0 * np.exp(-((x - 90.0) ** 2 + (y - 70.0) ** 2) / (2 * 12.0**2)) + 0.01
    return SkyImage(
        data=data, mask=np.zeros(data.shape, bool), wcs=fine_wcs(160), unit="electrons/s", name="fine", primary={"FILTER": "F775W"}
    )


def test_flux_is_kept_and_the_grid_is_the_template(fine):
    template = (np.zeros((40, 40)), field_wcs(40))
    made = nbmosaic.regrid(fine, template)
    inner = (slice(8, -8), slice(8, -8))
    assert made.wcs.wcs.crpix == pytest.approx(template[1].wcs.crpix)
    assert made.data[inner].sum() == pytest.approx(fine.data[32:-32, 32:-32].sum(), rel=1e-3)
    brightness = nbmosaic.regrid(fine, template, flux=False)
    assert brightness.data[inner] == pytest.approx(made.data[inner] / 16, rel=1e-6)
    assert made.unit == "electrons/s"
    assert "fine on the grid of the template" in repr(made)


def test_margin_and_unit(fine):
    template = SkyImage(data=np.zeros((30, 30)), mask=np.zeros((30, 30), bool), wcs=field_wcs(30), unit=UNIT, name="muse")
    plain = nbmosaic.regrid(fine, template)
    wide = nbmosaic.regrid(fine, template, margin=0.9, rescale=True)
    assert wide.shape == (40, 40)
    assert wide.unit == UNIT
    assert wide.data[5:-5, 5:-5] == pytest.approx(9.74 * plain.data, rel=1e-6)
    assert any("9.74" in note for note in wide.notes)
    with pytest.raises(ConfigError, match="margin cannot be"):
        nbmosaic.regrid(fine, template, margin=-1)
    with pytest.raises(InputError, match="FILTER"):
        nbmosaic.regrid(fine.changed(primary={}), template, rescale=True)


def test_zeros_are_blank(fine):
    data = fine.data.copy()
    data[:, :40] = 0.0
    template = (np.zeros((40, 40)), field_wcs(40))
    made = nbmosaic.regrid(fine.changed(data=data), template)
    assert made.mask[:, :9].all()
    assert any("exactly 0" in note for note in made.notes)
    assert not nbmosaic.regrid(fine.changed(data=data), template, blank_zeros=False).mask[10, 5]


def test_templates_of_many_kinds(fine, tmp_path):
    wcs = field_wcs(40)
    header = wcs.to_header()
    image = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros((40, 40)), header).writeto(image)
    cube = tmp_path / "cube.fits"
    header3 = header.copy()
    header3.update(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=5000.0, CDELT3=1.25, CRPIX3=1.0)
    fits.PrimaryHDU(np.zeros((3, 40, 40), np.float32), header3).writeto(cube)
    text = tmp_path / "grid.hdr"
    lines = [card.image.rstrip() for card in fits.PrimaryHDU(np.zeros((40, 40)), header).header.cards if card.keyword]
    text.write_text("\n".join([*lines, "END", ""]))
    expected = nbmosaic.regrid(fine, (np.zeros((40, 40)), wcs)).data
    for template in (str(image), image, str(cube), str(text), nbmosaic.read(str(text)), nbmosaic.regrid(fine, str(image))):
        assert nbmosaic.regrid(fine, template).data == pytest.approx(expected, abs=1e-9)
    with pytest.raises(InputError, match="has no grid"):
        nbmosaic.regrid(fine, Frames(infos=()))


def test_output_files(fine, tmp_path):
    path = tmp_path / "out.fits"
    made = nbmosaic.regrid(fine, (np.zeros((40, 40)), field_wcs(40)), output=str(path))
    back = read_image(str(path))
    assert back.data == pytest.approx(made.data, rel=1e-6, abs=1e-6)
    assert back.unit == "electrons/s"
    assert back.value("FILTER") == "F775W"
    with pytest.raises(NbmosaicError, match="exists"):
        nbmosaic.regrid(fine, (np.zeros((40, 40)), field_wcs(40)), output=str(path))
    nbmosaic.regrid(fine, (np.zeros((40, 40)), field_wcs(40)), output=str(path), overwrite=True)


def test_images_draw_themselves(fine):
    made = nbmosaic.regrid(fine, (np.zeros((40, 40)), field_wcs(40)))
    html = made._repr_html_()
    assert "<img" in html
    assert "electrons/s" in html
    assert made.table.set_index("quantity").loc["columns", "value"] == 40


def test_a_reference_elsewhere(fine):
    away = field_wcs(40)
    away.wcs.crval = [10.0, 10.0]
    with pytest.raises(NoOverlapError, match="fine does not overlap"):
        nbmosaic.regrid(fine, (np.zeros((40, 40)), away))


def test_golden_regrid():
    """imphot 009225c with mpdaf 3.6 (regrid_hst_like_muse, rescale_hst_like_muse), 30 mas onto 0.2 arcsec: its linear steps blur by 0.1 to 0.5 %."""
    made = nbmosaic.regrid(
        str(shared_path("golden/imphot/inputs/hst30_cutout.fits.gz")), str(shared_path("golden/imphot/inputs/dev1.fits.gz")), rescale=True
    )
    reference = read_image(str(shared_path("golden/imphot/inputs/hst.fits.gz")))
    good = ~made.mask & ~reference.mask
    bright = good & (reference.data > 0.2 * np.nanmax(reference.data[good]))
    assert np.count_nonzero(bright) > 5
    assert made.data[bright] == pytest.approx(reference.data[bright], rel=0.03)


# --- band passes -------------------------------------------------------------------------------------------------------


def cube_of(values: np.ndarray) -> tuple[np.ndarray, WCS]:
    wcs = WCS(naxis=3)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", "AWAV"]
    wcs.wcs.crval, wcs.wcs.crpix = [53.0, -27.0, 5000e-10], [2, 2, 1]
    wcs.wcs.cdelt, wcs.wcs.cunit = [-5e-5, 5e-5, 10e-10], ["deg", "deg", "m"]
    wcs.wcs.set()
    return np.tile(values[:, None, None], (1, 4, 5)), wcs


def test_band_pass_of_a_cube(tmp_path):
    cube = cube_of(np.arange(20.0))
    made = nbmosaic.bandpass(cube, ([5045.0, 5055.0, 5065.0], [1.0, 1.0, 1.0]))
    assert made.data == pytest.approx(np.full((4, 5), 5.5))
    assert made.shape == (4, 5)
    path = tmp_path / "curve.dat"
    path.write_text("# a filter\n504.5 1\n506.5 1\n")
    assert nbmosaic.bandpass(cube, str(path), unit="nm").data == pytest.approx(made.data)
    assert "through curve" in nbmosaic.bandpass(cube, str(path), unit="nm").title
    assert nbmosaic.bandpass(cube, ([2.5, 4.5], [1.0, 1.0]), unit=None).data == pytest.approx(np.full((4, 5), 3.5))


def test_a_truncated_curve_warns():
    cube = cube_of(np.arange(20.0))
    with pytest.warns(NbmosaicWarning, match="of the integrated filter curve is beyond the edges"):
        made = nbmosaic.bandpass(cube, ([5150.0, 5250.0], [1.0, 1.0]))
    assert any("beyond the edges" in note for note in made.notes)
    with pytest.raises(NoOverlapError, match="does not overlap the wavelength coverage"):
        nbmosaic.bandpass(cube, ([8000.0, 9000.0], [1.0, 1.0]))
    with pytest.raises(InputError, match="filter curve is int"):
        nbmosaic.bandpass(cube, 5)


def test_golden_band_pass():
    folder = shared_path("golden/imphot")
    for kind in ("linear", "cubic"):
        made = nbmosaic.bandpass(str(folder / "inputs/cube.fits.gz"), str(folder / "inputs/filter_inside.dat"), interpolation=kind)
        golden = np.load(folder / f"bandpass_inside_{kind}.npz")
        assert np.array_equal(made.mask, golden["mask"])
        good = ~made.mask
        assert made.data[good] == pytest.approx(golden["data"][good], rel=1e-5, abs=1e-7)
        assert made.variance is not None
        assert made.variance[good] == pytest.approx(golden["var"][good], rel=1e-5)
