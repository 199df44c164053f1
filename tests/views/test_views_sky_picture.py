"""Pictures pixel by pixel: what is not drawn on stays, text is text, colours are as documented."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.wcs import WCS
from PIL import Image

from nbmosaic.views.sky_picture import COLOUR_TABLES, DrawnGrid, DrawnLine, DrawnText, colour_table, draw_over, picture_bytes

RED = (1.0, 0.0, 0.0)


def canvas(ny: int = 40, nx: int = 60) -> np.ndarray:
    picture = np.random.default_rng(0).integers(0, 200, (ny, nx, 4)).astype(np.uint8)
    picture[..., 3] = 255
    return picture


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.argwhere((before != after).any(axis=-1))


def test_pixels_that_are_not_drawn_on_stay() -> None:
    before = canvas()
    copy = before.copy()
    after = draw_over(before, [DrawnLine(points=np.array([[10.0, 5.0], [10.0, 15.0]]), colour=RED)])
    assert np.array_equal(before, copy)
    places = changed(before, after)
    assert set(places[:, 1]) <= {9, 10, 11}
    assert places[:, 0].min() >= 39 - 16
    assert places[:, 0].max() <= 39 - 4
    assert draw_over(before, []) is before


@pytest.mark.parametrize(
    ("flip_x", "flip_y", "place"), [(False, True, (39 - 10, 20)), (True, True, (39 - 10, 59 - 20)), (False, False, (10, 20))]
)
def test_marks_turn_with_the_picture(flip_x: bool, flip_y: bool, place: tuple[int, int]) -> None:
    before = canvas()
    dot = DrawnLine(points=np.array([[18.0, 10.0], [22.0, 10.0]]), colour=RED)
    middle = changed(before, draw_over(before, [dot], flip_x=flip_x, flip_y=flip_y)).mean(axis=0)
    assert middle == pytest.approx(place, abs=0.6)


def test_half_transparent_lines_mix() -> None:
    before = np.zeros((21, 21, 4), np.uint8)
    before[..., 3] = 255
    after = draw_over(before, [DrawnLine(points=np.array([[0.0, 10.0], [20.0, 10.0]]), colour=(1.0, 1.0, 1.0), width=5.0, alpha=0.5)])
    assert after[10, 10].tolist() == [pytest.approx(128, abs=2)] * 3 + [255]


def test_text_is_no_formula() -> None:
    before = np.zeros((60, 200, 4), np.uint8)
    text = DrawnText(x=100.0, y=30.0, text=r"$\frac{", colour=(1.0, 1.0, 1.0))
    assert len(changed(before, draw_over(before, [text]))) > 50
    assert draw_over(before, [DrawnText(x=100.0, y=30.0, text="\n\t\x00", colour=RED)]).shape == before.shape


def test_grids_of_several_systems() -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (80.0, -5.0), (100.5, 75.5), (-0.001, 0.001)
    before = np.zeros((150, 200, 4), np.uint8)
    before[..., 3] = 255
    for system in (("fk5", 2000.0), ("fk4", 1950.0), ("galactic", 0.0), ("ecliptic", 2000.0)):
        after = draw_over(before, [DrawnGrid(system=system, colour=RED)], wcs=wcs)
        assert (after[..., 0] > 200).sum() > 300, system
        assert after[..., 1].max() == 0


def test_colour_tables() -> None:
    assert len(COLOUR_TABLES) == 13
    for number in range(13):
        table = colour_table(number)
        assert table.shape == (256, 3)
        assert not table.flags.writeable
    assert (colour_table(0) == np.arange(256)[:, np.newaxis]).all()
    assert colour_table(9)[255].tolist() == [0, 255, 0]
    light = [colour_table(number) @ np.array([0.2126, 0.7152, 0.0722]) for number in (2, 3, 11)]
    assert all((np.diff(one) > -1.5).all() for one in light), "from dark to light without steps back"


@pytest.mark.parametrize(
    ("channels", "mode"), [((7, 7, 7, 255), "L"), ((7, 7, 7, 100), "LA"), ((7, 8, 7, 255), "RGB"), ((7, 8, 7, 100), "RGBA")]
)
def test_png_is_no_richer_than_the_picture(channels: tuple[int, ...], mode: str) -> None:
    picture = np.full((5, 6, 4), channels, np.uint8)
    image = Image.open(io.BytesIO(picture_bytes(picture)))
    assert (image.mode, image.size) == (mode, (6, 5))
    assert np.array_equal(np.asarray(image.convert("RGBA")), picture)


def test_jpeg() -> None:
    image = Image.open(io.BytesIO(picture_bytes(np.full((8, 8, 4), 120, np.uint8), "jpeg")))
    assert image.format == "JPEG"
    assert abs(np.asarray(image).astype(int) - 120).max() <= 2
