"""Symbols, sizes and colours of overlays in pixels of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS

from nbmosaic.errors import InputError
from nbmosaic.pipeline.picture_marks import parse_colour, parse_size, parse_symbol, picture_marks
from nbmosaic.types.picture import CatalogOverlay, MarkOverlay, OutlineOverlay, Symbol
from nbmosaic.views.sky_picture import DrawnLine

SHAPE = (200, 400)


def grid(angle: float = 0.0, scale: float = 1 / 3600) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (80.0, 60.0), (200.5, 100.5), (-scale, scale)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.pc = [[c, -s], [s, c]]
    wcs.wcs.radesys, wcs.wcs.equinox = "FK5", 2000.0
    return wcs


def lines(overlay, wcs=None) -> list[DrawnLine]:
    return [mark for mark in picture_marks((overlay,), SHAPE, wcs or grid()) if isinstance(mark, DrawnLine)]


SIZES = [("pix", 7.0, 7.0), ("arcsec", 7.0, 7.0), ("arcmin", 0.5, 30.0), ("deg", 0.01, 36.0), ("fraction", 5.0, 5.0)]


@pytest.mark.parametrize(("unit", "size", "radius"), SIZES)
def test_sizes_in_all_units(unit: str, size: float, radius: float) -> None:
    (line,) = lines(MarkOverlay(lon=80.0, lat=60.0, symbol=Symbol(points=128, size=size, unit=unit)))
    # crpix 200.5 is at 199.5, 99.5 counted from 0
    distance = np.hypot(line.points[:, 0] - 199.5, line.points[:, 1] - 99.5)
    assert distance == pytest.approx(radius, rel=1e-3)


@pytest.mark.parametrize("angle", [0.0, 35.0, 180.0])
def test_first_corner_points_north(angle: float) -> None:
    wcs = grid(angle)
    (line,) = lines(MarkOverlay(lon=80.0, lat=60.0, symbol=Symbol(points=4, size=20, unit="pix")), wcs)
    lon, lat = wcs.wcs_pix2world(line.points, 0).T
    assert np.argmax(lat) in (0, 4)
    assert lon[1] > 80.0  # then east
    assert lat[0] - 60.0 == pytest.approx(20 / 3600, rel=1e-3)


def test_sizes_that_follow_a_column(tmp_path: Path) -> None:
    table = tmp_path / "stars.tbl"
    table.write_text(
        "|   ra    |  dec    |  mag   |\n  80.0      60.0      10.0    \n  80.0      60.0      12.0    \n  80.0      60.0      null    \n"
    )
    symbol = Symbol(points=4, size=10, unit="pix")

    def radii(kind: str, reference: float) -> list[float]:
        overlay = CatalogOverlay(path=str(table), symbol=symbol, scale_column="mag", scale_value=reference, scale_kind=kind)
        return [float(np.ptp(line.points[:, 1]) / 2) for line in lines(overlay)]

    assert radii("flux", 10.0) == pytest.approx([10.0, 12.0], rel=1e-6)
    assert radii("mag", 12.0) == pytest.approx([30.0, 10.0], rel=1e-6)
    assert radii("log", 10.0) == pytest.approx([10.0, 10.0 * np.log10(12.0)], rel=1e-6)


def test_outlines_without_corner_columns(tmp_path: Path) -> None:
    table = tmp_path / "images.tbl"
    head = ["ctype1", "ctype2", "naxis1", "naxis2", "crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2", "crota2"]
    row = ["RA---TAN", "DEC--TAN", "50", "30", "80.0", "60.0", "25.5", "15.5", "-2.777777778e-4", "2.777777778e-4", "0.0"]
    table.write_text("|" + "|".join(f"{h:>17}" for h in head) + "|\n " + " ".join(f"{v:>17}" for v in row) + "\n")
    (line,) = lines(OutlineOverlay(path=str(table)))
    low, high = line.points.min(axis=0), line.points.max(axis=0)
    # 50 x 30 pixels about pixel (199.5, 99.5): their outer edges
    assert low == pytest.approx([174.5, 84.5], abs=0.01)
    assert high == pytest.approx([224.5, 114.5], abs=0.01)


def test_words_of_colours_sizes_and_symbols() -> None:
    assert parse_colour("#FF8000") == (1.0, 128 / 255, 0.0)
    assert parse_colour("orange")[0] == 1.0
    assert parse_size("2.5m") == (2.5, "arcmin")
    assert parse_symbol(["starred", "5", "36"], Symbol())[0] == Symbol(kind="starred", points=5, rotation=36.0)
    assert parse_symbol(["elbow"], Symbol())[0].edges == 2
    for read, text in ((parse_colour, "zzz"), (parse_size, "s"), (parse_size, "-1p")):
        with pytest.raises(InputError):
            read(text)
    for words in (["polygon", "2"], ["x"], ["starred", "5", "nan"]):
        with pytest.raises(InputError):
            parse_symbol(words, Symbol())


def test_positions_off_the_sky_draw_nothing() -> None:
    assert lines(MarkOverlay(lon=260.0, lat=-60.0)) == []
