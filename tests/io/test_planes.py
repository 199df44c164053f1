from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from support.fits_files import noise_image, tan_header, write_frame

from nbmosaic.errors import FormatError, InputError, ShapeError
from nbmosaic.io.planes import flag_bits
from nbmosaic.io.sources import frame_infos


@pytest.fixture
def frame(tmp_path, rng):
    return write_frame(tmp_path / "n1_ooi.fits", noise_image(rng))


def loaded(path, **options):
    return frame_infos(path, **options)[0][0].source.load()


def test_no_planes(frame):
    pixels = loaded(frame)
    assert pixels.mask is None
    assert pixels.weight is None
    assert pixels.variance is None


def test_extension_of_the_same_file_and_version(tmp_path, rng):
    hdus = [fits.PrimaryHDU()]
    for version in (1, 2):
        for name in ("SCI", "ERR", "DQ"):
            hdus.append(fits.ImageHDU(np.full((12, 17), 1.0 + version, np.float32), tan_header(), name=name, ver=version))
    path = tmp_path / "m.fits"
    fits.HDUList(hdus).writeto(path)
    frames, _ = frame_infos(path, variance="ERR", mask="dq")
    second = frames[1].source.load()
    assert (second.variance == 9.0).all()  # of version 2, and a sigma: squared
    assert second.mask.all()
    assert (loaded(path, weight=2, hdu=1).weight == 2.0).all()
    named, _ = frame_infos(path, hdu="SCI", variance="ERR")  # a name stands for both versions
    assert [frame.meta["hdu"] for frame in named] == [1, 4]
    assert [frame.source.load().variance[0, 0] for frame in named] == [4.0, 9.0]


def test_plane_behind_the_chosen_hdu(tmp_path, rng):
    image = fits.ImageHDU(noise_image(rng), tan_header(), name="SCI")
    weight = fits.ImageHDU(np.full((12, 17), 3.0, np.float32), name="WHT")
    fits.HDUList([fits.PrimaryHDU(), image, weight]).writeto(tmp_path / "m.fits")
    assert (loaded(tmp_path / "m.fits", hdu=1, weight=2).weight == 3.0).all()
    assert (loaded(tmp_path / "m.fits", hdu="SCI", weight="WHT").weight == 3.0).all()


def test_file_patterns(tmp_path, frame):
    weight = np.full((12, 17), 0.5, np.float32)
    write_frame(tmp_path / "n1_ooi_w.fits", weight, fits.Header())
    write_frame(tmp_path / "n1_oow.fits", weight * 2, fits.Header())
    (tmp_path / "w").mkdir()
    write_frame(tmp_path / "w" / "n1_ooi.fits", weight * 3, fits.Header())
    assert (loaded(frame, weight="{stem}_w.fits").weight == 0.5).all()  # beside the frame
    assert (loaded(frame, weight="ooi->oow").weight == 1.0).all()
    assert (loaded(frame, weight=str(tmp_path / "w" / "{name}")).weight == 1.5).all()
    assert (loaded(frame, weight=lambda path: path.replace("ooi", "oow")).weight == 1.0).all()
    assert (loaded(frame, weight=[tmp_path / "n1_oow.fits"]).weight == 1.0).all()


def test_braces_are_not_evaluated(frame):
    with pytest.raises(FormatError, match=r"\{stem\.__class__\}"):
        frame_infos(frame, weight="{stem.__class__}.fits")


def test_file_of_several_planes_by_extension_name(tmp_path, rng):
    names = ("S6", "S7")
    science = [fits.ImageHDU(noise_image(rng), tan_header(), name=n) for n in names]
    masks = [fits.ImageHDU(np.full((12, 17), i, np.uint8), name=n) for i, n in enumerate(names)]
    fits.HDUList([fits.PrimaryHDU(), *science]).writeto(tmp_path / "e.fits")
    fits.HDUList([fits.PrimaryHDU(), *masks[::-1]]).writeto(tmp_path / "e_bpm.fits")
    frames, _ = frame_infos(tmp_path / "e.fits", mask="{stem}_bpm.fits")
    assert [f.source.load().mask.any() for f in frames] == [False, True]
    frames, _ = frame_infos(tmp_path / "e.fits", mask=str(tmp_path / "e_bpm.fits[1]"))
    assert [f.source.load().mask.any() for f in frames] == [True, True]


@pytest.mark.parametrize(
    "case",
    [
        ("STAT", "", "STAT", 4.0),
        ("ERR", "", "ERR", 16.0),
        ("SIGMA", "", "SIGMA", 16.0),
        ("IVAR", "", "IVAR", 0.25),
        ("STAT", "RMSE", "STAT", 16.0),
        ("ERR", "MSE", "ERR", 4.0),
        ("X", "", "sigma:X", 16.0),
        ("ERR", "", "variance:ERR", 4.0),
        ("X", "", "ivar:X", 0.25),
    ],
)
def test_uncertainties_become_variances(tmp_path, rng, case):
    name, hduclas3, spec, expected = case
    header = tan_header(HDUCLAS3=hduclas3)
    plane = fits.ImageHDU(np.full((12, 17), 4.0, np.float32), header, name=name)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(noise_image(rng), tan_header(), name="SCI"), plane]).writeto(tmp_path / "m.fits")
    pixels = loaded(tmp_path / "m.fits", hdu="SCI", variance=spec)
    np.testing.assert_allclose(pixels.variance, expected)


def test_useless_uncertainties_become_nan(frame):
    sigma = np.array([[1.0, 0.0, -1.0, np.nan, np.inf]] * 12, np.float32)
    sigma = np.tile(sigma, (1, 4))[:, :17]
    from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
    from astropy.wcs import WCS

    data = np.ones((12, 17))
    with_sigma = CCDData(data, unit="adu", wcs=WCS(tan_header()), uncertainty=StdDevUncertainty(sigma))
    np.testing.assert_array_equal(loaded(with_sigma).variance[0, :5], [1.0, 0.0, np.nan, np.nan, np.nan])
    with_inverse = CCDData(data, unit="adu", wcs=WCS(tan_header()), uncertainty=InverseVariance(sigma))
    np.testing.assert_array_equal(loaded(with_inverse).variance[0, :5], [1.0, np.nan, np.nan, np.nan, np.nan])


def test_planes_follow_the_flux_scale(frame):
    plane = np.full((12, 17), 2.0)
    pixels = loaded(frame, weight=plane, variance=plane, flux_scale=10.0)
    np.testing.assert_allclose(pixels.variance, 200.0)
    np.testing.assert_allclose(pixels.weight, 0.02, rtol=1e-6)


def test_nan_weight_means_not_used(frame):
    plane = np.full((12, 17), 2.0)
    plane[0, 0] = np.nan
    assert loaded(frame, weight=plane).weight[0, 0] == 0


def test_mask_bits(tmp_path, frame):
    flags = np.zeros((12, 17), np.int32)
    flags[0, :4] = [1, 2, 4, 6]
    write_frame(tmp_path / "dq.fits", flags, fits.Header())
    for mask in (tmp_path / "dq.fits", flags):
        assert loaded(frame, mask=mask).mask[0, :5].tolist() == [True, True, True, True, False]
        assert loaded(frame, mask=mask, mask_bits=2).mask[0, :5].tolist() == [False, True, False, True, False]
        assert loaded(frame, mask=mask, mask_bits=[1, 2]).mask[0, :5].tolist() == [True, True, False, True, False]
    assert flag_bits([4, 1, 4]) == 5


@pytest.mark.parametrize("bits", [0, -1, [], [1, 0], True, [1.5]])
def test_bad_mask_bits(frame, bits):
    with pytest.raises(InputError, match="mask_bits"):
        frame_infos(frame, mask=np.zeros((12, 17), int), mask_bits=bits)


def test_shape_mismatch_gives_both_shapes_and_names(tmp_path, frame):
    write_frame(tmp_path / "w.fits", np.zeros((10, 17), np.float32), fits.Header())
    with pytest.raises(ShapeError, match=r"weight .*w\.fits\[0\] is \(10, 17\), its frame .*n1_ooi\.fits is \(12, 17\)"):
        frame_infos(frame, weight=tmp_path / "w.fits")
    with pytest.raises(ShapeError, match=r"mask array is \(3, 3\)"):
        frame_infos(frame, mask=np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("WHT", r"has no such extension \(it has none with a name\)"),
        (3, r"weight HDU 3: .* has no image there \(HDUs 0 to 0\)"),
        ("{stem}_x.fits", r"weight file n1_ooi_x\.fits of frame .* does not exist"),
        ("oox->oow", "'oox' is not in the file name"),
        (["a.fits", "b.fits"], "weight has 2 entries for 1 inputs"),
    ],
)
def test_missing_planes(frame, spec, message):
    with pytest.raises((FormatError, InputError), match=message):
        frame_infos(frame, weight=spec)


def test_file_with_no_plane_for_the_frame(tmp_path, frame):
    planes = [fits.ImageHDU(np.zeros((12, 17)), name=n) for n in ("A", "B")]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "w.fits")
    with pytest.raises(FormatError, match=r"has no image HDU for frame .*; name one, as in file\.fits\[2\]"):
        frame_infos(frame, weight=tmp_path / "w.fits")
