"""Interpolants and boundaries against geotran of IRAF 2.17-4, stage by stage (piece 1 of the simulated exposure, stars of peak 14000)."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from nbmosaic.core.resampling.pieces import resample_mask, resample_piece
from nbmosaic.types import PixelBox
from nbmosaic.types.camera import Interpolant
from nbmosaic.types.frame import FramePixels
from tests.support.iraf_stages import SECTION, piece_map, piece_pixels, stage_image
from tests.support.shared import shared_path


@pytest.fixture
def folder():
    return shared_path("golden/mscimage")


def difference(ours: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """Absolute difference without the outermost output pixels, which geotran makes of half a pixel where it drizzles."""
    return np.abs(ours[: golden.shape[0], : golden.shape[1]] - golden)[1:-1, 1:-1]


def assert_close(d: np.ndarray, ties: int = 0) -> None:
    """Within float32 noise of IRAF's arithmetic; `ties` pixels may have any value (a position between two table entries)."""
    assert np.median(d) < 3e-4
    assert np.count_nonzero(d > 0.5) <= ties
    assert np.percentile(d, 99.9) < 0.06


@pytest.mark.parametrize(
    ("tag", "name", "sample"),
    [
        ("nearest", "nearest", 10),
        ("linear", "linear", 10),
        ("poly3", "poly3", 10),
        ("poly5", "poly5", 10),
        ("spline3", "spline3", 10),
        ("sinc", "sinc", 10),
        ("sinc7", "sinc7", 10),
        ("lsinc", "lsinc", 10),
        ("lsinc7_10", "lsinc7[10]", 10),
        ("drizzle", "drizzle", 10),
        ("drizzle_p3", "drizzle[0.3]", 10),
        ("linear_xs1", "linear", 1),
        ("spline3_xs1", "spline3", 1),
        ("drizzle_xs1", "drizzle", 1),
    ],
)
def test_interpolants(folder, tag: str, name: str, sample: float) -> None:
    pixels = FramePixels(data=piece_pixels(folder))
    kernel = Interpolant.parse(name)
    ours = resample_piece(
        pixels, piece_map(folder, sample=sample), interpolant=kernel, boundary="constant", constant=-100.0, section=SECTION
    )
    assert_close(difference(ours.data, stage_image(folder, tag)), ties=20 if kernel.kind in ("nearest", "lsinc") else 0)


@pytest.mark.parametrize(("tag", "sample"), [("flux_xs1", 1), ("flux_xs10", 10)])
def test_flux(folder, tag: str, sample: float) -> None:
    pixels = FramePixels(data=piece_pixels(folder))
    kernel = Interpolant.parse("linear")
    forward = piece_map(folder, sample=sample)
    ours = resample_piece(pixels, forward, interpolant=kernel, boundary="constant", constant=-100.0, fluxconserve=True)
    assert_close(difference(ours.data, stage_image(folder, tag)))


@pytest.mark.parametrize(("tag", "function"), [("leg", "legendre"), ("pol", "polynomial")])
def test_functions(folder, tag: str, function: str) -> None:
    pixels = FramePixels(data=piece_pixels(folder))
    forward = piece_map(folder, function=function)
    ours = resample_piece(pixels, forward, interpolant=Interpolant.parse("linear"), boundary="constant", constant=-100.0)
    assert_close(difference(ours.data, stage_image(folder, tag)))


@pytest.mark.parametrize("boundary", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("name", ["linear", "poly5", "spline3", "lsinc"])
def test_boundaries(folder, boundary: str, name: str) -> None:
    pixels = FramePixels(data=piece_pixels(folder, trimmed=True))
    forward = piece_map(folder, trimmed=True)
    ours = resample_piece(pixels, forward, interpolant=Interpolant.parse(name), boundary=boundary, constant=-100.0)
    golden = stage_image(folder, f"{boundary}_{name}")
    d = np.abs(ours.data[: golden.shape[0], : golden.shape[1]] - golden)
    assert_close(d, ties=20 if name == "lsinc" else 0)


def test_exact_map_is_better_than_the_sampled_one(folder) -> None:
    # geotran's 10-pixel sampling moves stars of this strongly distorted little piece by up to 0.005 px, which is 30 counts in their wings
    sampled, exact = (piece_map(folder, sample=sample) for sample in (10, 1))
    kernel = Interpolant.parse("spline3")
    pixels = FramePixels(data=piece_pixels(folder))
    golden = stage_image(folder, "spline3")
    as_iraf, right = (
        resample_piece(pixels, forward, interpolant=kernel, boundary="constant", constant=-100.0).data for forward in (sampled, exact)
    )
    assert np.abs(as_iraf - golden).max() < 0.1
    assert np.abs(right - golden).max() > 10
    assert np.abs(right - stage_image(folder, "spline3_xs1")).max() < 0.1


def test_trimmed_pixels_feed_the_kernel(folder) -> None:
    whole = FramePixels(data=piece_pixels(folder))
    kernel = Interpolant.parse("sinc")
    a = resample_piece(whole, piece_map(folder), interpolant=kernel, section=SECTION)
    b = resample_piece(FramePixels(data=piece_pixels(folder, trimmed=True)), piece_map(folder, trimmed=True), interpolant=kernel)
    inside = (
        resample_mask(np.zeros(whole.data.shape, bool), piece_map(folder), interpolant=Interpolant.parse("linear"), section=SECTION) == 0
    )
    assert np.abs(a.data - b.data)[inside].max() > 1
    np.testing.assert_allclose(a.area, b.area, atol=1e-5)


PIECE_AT = (1, 4)  # first row and column of piece 1 in the mosaic of the exposure


@pytest.mark.parametrize("name", ["linear", "nearest", "poly3", "poly5", "spline3", "sinc", "lsinc", "drizzle"])
def test_masks(folder, name: str) -> None:
    # the mosaic's mask where only piece 1 lies: 0 where its code is 0, else 1
    tag = "a_linear" if name == "linear" else f"a_m{name}"
    golden = fits.getdata(folder / f"{tag}_bpm.fits.gz")
    bad = fits.getdata(folder / "bpm_obja_im1.fits.gz") > 0
    forward = piece_map(folder)
    values = resample_mask(bad, forward, interpolant=Interpolant.parse(name), section=SECTION)
    codes = np.where(values == 0, 0, (values / 10010 + 1).astype(int))
    alone = resample_piece(FramePixels(data=bad.astype(np.float32)), forward, interpolant=Interpolant.parse("linear"), section=SECTION)
    window = PixelBox.of_shape(codes.shape).shift(*PIECE_AT).slices()
    theirs, inside = golden[window], alone.area == 1
    assert inside.sum() > 3000
    assert theirs[inside].sum() > 50
    assert np.count_nonzero((codes[inside] > 0) != (theirs[inside] > 0)) <= 3


@pytest.mark.parametrize(
    ("tag", "name"),
    [("sinc11", "sinc11"), ("lsinc15_20", "lsinc15[20]"), ("lsinc15_s25", "lsinc15[0.25]"), ("drizzle_p5", "drizzle[0.5]")],
)
def test_interpolants_in_the_mosaic(folder, tag: str, name: str) -> None:
    golden, header = fits.getdata(folder / f"a_{tag}.fits.gz", header=True)
    ours = resample_piece(FramePixels(data=piece_pixels(folder)), piece_map(folder), interpolant=Interpolant.parse(name), section=SECTION)
    full = np.full((header["FULLNY"], header["FULLNX"]), np.nan)
    height, width = ours.data.shape
    full[PIECE_AT[0] : PIECE_AT[0] + height, PIECE_AT[1] : PIECE_AT[1] + width] = np.where(ours.area == 1, ours.data, np.nan)
    window = full[header["CROPY0"] :, header["CROPX0"] :][: golden.shape[0], : golden.shape[1]]
    d = np.abs(window - golden)[np.isfinite(window)]
    assert d.size > 3000
    assert_close(d)
