from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits
from support.fits_files import tan_header, write_frame

from nbmosaic.errors import FormatError
from nbmosaic.io.fits_scan import scan_fits


@pytest.fixture
def mef(tmp_path):
    """Empty primary, image, table, tile-compressed image."""
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
    image = fits.ImageHDU(np.zeros((700, 11), np.int16), tan_header(), name="SCI")
    packed = fits.CompImageHDU(np.arange(3000, dtype=np.int32).reshape(50, 60), tan_header(), name="PACKED")
    path = tmp_path / "mef.fits"
    fits.HDUList([fits.PrimaryHDU(), image, table, packed]).writeto(path)
    return path


def test_hdus_agree_with_astropy(mef):
    hdus = scan_fits(str(mef))
    assert [h.kind for h in hdus] == ["image", "image", "table", "compressed"]
    assert [h.is_image for h in hdus] == [False, True, False, True]
    assert hdus[3].naxis == (60, 50)
    assert hdus[3].bitpix == 32
    with fits.open(mef) as expected:
        assert [h.offset for h in hdus] == [h.fileinfo()["datLoc"] for h in expected]


def test_gzip_gives_the_same(mef, tmp_path):
    packed = tmp_path / "mef.fits.gz"
    packed.write_bytes(gzip.compress(mef.read_bytes()))
    one, two = scan_fits(str(mef)), scan_fits(str(packed))
    assert [(h.kind, h.naxis, h.offset) for h in one] == [(h.kind, h.naxis, h.offset) for h in two]


def test_single_image_gzip_is_not_unpacked(tmp_path, rng):
    path = tmp_path / "one.fits.gz"
    data = rng.integers(0, 2**31, (500, 500)).astype(np.int32)  # does not shrink: 1 MB of packed bytes
    fits.PrimaryHDU(data, tan_header(data.shape)).writeto(path)
    raw = bytearray(path.read_bytes())
    raw[-400_000:-100_000] = b"\0" * 300_000  # damage that unpacking would find
    path.write_bytes(raw)
    assert scan_fits(str(path))[0].naxis == (500, 500)


def test_gzip_of_two_members(mef, tmp_path):
    raw = mef.read_bytes()
    path = tmp_path / "two.fits.gz"
    path.write_bytes(gzip.compress(raw[:3000]) + gzip.compress(raw[3000:]))
    assert len(scan_fits(str(path))) == 4


def test_last_stops_early(mef):
    assert len(scan_fits(str(mef), last=1)) == 2


@pytest.mark.parametrize("packed", [False, True])
def test_truncated_is_found_without_pixels(tmp_path, packed):
    path = write_frame(tmp_path / "a.fits", np.zeros((100, 100), np.float32))
    raw = path.read_bytes()
    cut = raw[:-10_000]
    path.write_bytes(gzip.compress(cut) if packed else cut)
    with pytest.raises(FormatError, match=r"a\.fits is truncated: HDU 0 should reach byte 42880"):
        scan_fits(str(path))


def test_truncated_gzip_stream(tmp_path, rng):
    path = tmp_path / "a.fits.gz"
    write_frame(path, rng.standard_normal((100, 100)))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FormatError, match=r"is truncated: its gzip stream ends early"):
        scan_fits(str(path))


def test_missing_padding_is_harmless(tmp_path):
    path = write_frame(tmp_path / "a.fits", np.zeros((10, 10), np.float32))
    path.write_bytes(path.read_bytes()[: 2880 + 400])
    assert scan_fits(str(path))[0].naxis == (10, 10)


def test_junk_after_the_last_hdu_is_ignored(tmp_path):
    path = write_frame(tmp_path / "a.fits", np.zeros((10, 10), np.float32))
    path.write_bytes(path.read_bytes() + b"junk" * 1000)
    assert len(scan_fits(str(path))) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world" * 500, r"is not a FITS file"),
        (b"\x1f\x8b" + b"nonsense" * 9, "is damaged|cannot read|truncated"),
        (b"SIMPLE  =                    T".ljust(2880), "is truncated in the header of HDU 0"),
        (b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    7".ljust(80) + b"END".ljust(2720), "BITPIX is 7"),
        (
            b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =   8".ljust(80) + b"NAXIS   =   1".ljust(80) + b"END".ljust(2640),
            "NAXIS1 is None, expected a whole number",
        ),
    ],
)
def test_no_fits(tmp_path, content, message):
    path = tmp_path / "bad.fits"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        scan_fits(str(path))
    assert "bad.fits" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_folder(tmp_path):
    with pytest.raises(FormatError, match=r"cannot open .*no such file"):
        scan_fits(str(tmp_path / "none.fits"))
    with pytest.raises(FormatError, match="directory"):
        scan_fits(str(tmp_path))


def test_end_inside_a_value_is_no_end(tmp_path):
    header = tan_header()
    header["OBJECT"] = "END" + " " * 40 + "x"
    for i in range(80):
        header[f"KEY{i}"] = i
    path = write_frame(tmp_path / "a.fits", np.zeros((12, 17), np.float32), header)
    hdu = scan_fits(str(path))[0]
    assert hdu.cards.integer("KEY79", -1) == 79
    with fits.open(path) as expected:
        assert hdu.offset == expected[0].fileinfo()["datLoc"]
