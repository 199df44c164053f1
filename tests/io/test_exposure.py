"""Exposures by their headers, their masks, and the files made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.camera import expose, make_sky

from nbmosaic.errors import FormatError, InputError, ShapeError
from nbmosaic.io.cards import CardList
from nbmosaic.io.exposure import find_image, find_mask, open_exposure
from nbmosaic.io.exposure_write import BoxWriter, MefWriter, copied_lines, mean_card
from nbmosaic.types import MosaicGrid

CENTRE = (150.1, 22.3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return expose(tmp_path / "a.fits", make_sky(CENTRE, n=0), CENTRE, bad=20)


def grid(shape: tuple[int, int]) -> MosaicGrid:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.001, 0.001]
    return MosaicGrid(wcs, shape)


def test_pieces_with_masks(path: Path) -> None:
    exposure = open_exposure(path)
    assert exposure.mosaic
    assert [piece.extname for piece in exposure.pieces] == ["IM1", "IM2", "IM3", "IM4"]
    assert [piece.hdu for piece in exposure.pieces] == [1, 2, 3, 4]
    with fits.open(path.with_name("a_bpm.fits")) as hdus:
        for piece, hdu in zip(exposure.pieces, hdus[1:], strict=True):
            np.testing.assert_array_equal(piece.info.source.load().mask, hdu.data > 0)
    assert {Path(name).name for name, _ in exposure.files} == {"a.fits", "a_bpm.fits"}
    assert open_exposure(path, bpm=False).pieces[0].info.source.load().mask is None
    one = open_exposure(f"{path}[IM2]")
    assert len(one.pieces) == 1
    assert one.mosaic
    with fits.open(path) as hdus:
        assert len(open_exposure(hdus, bpm=False).pieces) == 4


def test_mask_bits_and_shapes(path: Path, tmp_path: Path) -> None:
    with fits.open(tmp_path / "a_bpm.fits", mode="update") as hdus:
        hdus[1].data[...] = np.arange(160) % 8
    flags = open_exposure(path, mask_bits=[2]).pieces[0].info.source.load().mask
    np.testing.assert_array_equal(flags[0], (np.arange(160) % 8 & 2) > 0)
    both = open_exposure(path, mask=[np.eye(200, 160, dtype=bool)] * 4, mask_bits=None).pieces[0].info.source.load().mask
    np.testing.assert_array_equal(both[1], (np.arange(160) % 8 > 0) | (np.arange(160) == 1))


def test_names(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_image("a") == "a.fits"
    assert find_image("a[im1]") == "a.fits[im1]"
    (tmp_path / "sub").mkdir()
    assert find_mask("a_bpm.fits[im1]", str(tmp_path), "p") == "a_bpm.fits[im1]"
    monkeypatch.chdir(tmp_path / "sub")
    assert find_mask("a_bpm", "..", "p") == "../a_bpm.fits"
    assert find_mask("a_bpm.pl", "..", "p") == "../a_bpm.fits"
    with pytest.raises(FormatError, match=r"mask b\.pl of piece p does not exist \(keyword BPM\)"):
        find_mask("b.pl", "..", "p")
    (tmp_path / "b.pl").write_bytes(b"")
    with pytest.raises(FormatError, match="IRAF pixel list"):
        find_mask("b.pl", "..", "p")
    with pytest.raises(FormatError, match="there is no image c"):
        find_image("c")
    with pytest.raises(InputError, match="listed twice"):
        open_exposure("../a.fits", hdu=["IM1", 1])


def test_headers_are_merged() -> None:
    piece = fits.Header([("OBJECT", "x"), ("DETSEC", "[1:2]"), ("CTYPE1", "RA---TNX"), ("WAT1_001", "w"), ("IMCMB001", "f"), ("GAIN", 2.0)])
    piece["BPM"], piece["LONG"] = "m.pl", "a" * 100
    piece.add_history("of the piece")
    primary = fits.Header([("OBJECT", "y"), ("EXPTIME", 3.0), ("NEXTEND", 4)])
    primary.add_history("of the file")
    cards = [CardList(header.tostring(endcard=False, padding=False).encode()) for header in (piece, primary)]
    found = fits.Header.fromstring("".join(copied_lines([*cards, None], mosaic=True, drop=["GAIN"])))
    assert set(found) == {"OBJECT", "LONG", "HISTORY", "EXPTIME"}
    assert (found["OBJECT"], found["EXPTIME"], found["LONG"]) == ("x", 3.0, "a" * 100)
    assert str(found["HISTORY"]) == "of the piece"
    assert "DETSEC" in fits.Header.fromstring("".join(copied_lines(cards, mosaic=False)))
    assert mean_card(cards, "GAIN") == [("GAIN", 2.0, "mean of the pieces")]
    assert mean_card(cards, "NONE") == []


@pytest.mark.parametrize("kind", ["f4", "u1", "i2"])
def test_rectangles(kind: str, tmp_path: Path) -> None:
    want = np.full((50, 70), 7).astype(kind)
    part = (np.arange(20 * 30).reshape(20, 30) % 200).astype(kind)
    with BoxWriter(tmp_path / "a.fits", grid((50, 70)), dtypes={"data": kind}) as writer:
        writer.fill(7)
        writer.write_box(5, 40, part)
        with pytest.raises(ShapeError, match="does not fit"):
            writer.write_box(40, 50, part)
    want[5:25, 40:] = part
    np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits"), want)
    with BoxWriter(tmp_path / "b.fits", grid((50, 70)), dtypes={"data": kind}) as writer:
        writer.write_box(5, 40, part)
    assert fits.getdata(tmp_path / "b.fits").sum(dtype=float) == part.sum(dtype=float)  # the rest is 0
    failed = BoxWriter(tmp_path / "c.fits", grid((50, 70)))
    failed.write_box(0, 0, part)
    failed.abort()
    assert not [name for name in tmp_path.iterdir() if name.name not in {"a.fits", "b.fits"}]


def test_extensions(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = {"ONE": rng.random((5, 7), np.float32), "TWO": rng.integers(0, 3, (9, 4)).astype(np.uint8)}
    with MefWriter(tmp_path / "m.fits", ["OBJECT  = 'x       '".ljust(80)]) as writer:
        for name, image in images.items():
            writer.add(name, image, grid(image.shape), cards=[("DETSEC", "[1:2]")])
    with fits.open(tmp_path / "m.fits") as hdus:
        hdus.verify("exception")
        assert hdus[0].header["OBJECT"] == "x"
        for name, image in images.items():
            np.testing.assert_array_equal(hdus[name].data, image)
            assert hdus[name].header["CTYPE1"] == "RA---TAN"
    with pytest.raises(FormatError, match="exists"):
        MefWriter(tmp_path / "m.fits", [])
