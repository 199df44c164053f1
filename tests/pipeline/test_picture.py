"""Pictures of mosaics in the stretch of mViewer."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

import nbmosaic
from nbmosaic.core.stretch import Statistics, grey_levels, parse_limit, stretch_range
from nbmosaic.pipeline.picture import equalised
from nbmosaic.pipeline.products import Mosaic
from nbmosaic.views.look import Stretch


def mosaic(data: np.ndarray) -> Mosaic:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (80.0, -5.0), (30.5, 20.5), (-0.001, 0.001)
    area = np.isfinite(data).astype(np.float32)
    return Mosaic(data.astype(np.float32), wcs, area, area.astype(int), unit="DN", n_frames=1)


def sky() -> np.ndarray:
    rng = np.random.default_rng(2)
    data = rng.normal(100.0, 3.0, (40, 60))
    data[::7, ::5] += rng.exponential(300.0, data[::7, ::5].shape)
    data[0, :9] = np.nan
    return data


def test_show_has_the_stretch_of_the_viewer() -> None:
    picture = nbmosaic.show(mosaic(sky()), kind="equalised")
    assert "histogram equalised" in picture.alt
    assert picture.png.startswith(b"\x89PNG")


def test_colours_are_the_grey_levels() -> None:
    data = sky()
    axes, _ = equalised(mosaic(data))
    shown = 255.0 * np.asarray(axes.images[0].norm(data.astype(np.float32)).filled(np.nan))
    levels = grey_levels(
        data.astype(np.float32),
        stretch_range(Statistics.of(data.astype(np.float32)), parse_limit("-2s"), parse_limit("max"), "gaussian-log"),
    )
    good = np.isfinite(data)
    # a level is named by its upper end, a colour lies between two ends
    assert np.abs(shown - levels)[good].max() <= 1.1


@pytest.mark.parametrize("data", [np.full((20, 30), 5.0), np.full((20, 30), np.nan), np.array([[1.0, 2.0], [2.0, 1.0]])])
def test_flat_and_empty_mosaics(data: np.ndarray) -> None:
    assert nbmosaic.show(mosaic(data), kind="equalised").png


def test_a_table_turns_round() -> None:
    stretch = Stretch("table", 1.0, 16.0, table=np.array([1.0, 2.0, 4.0, 16.0]))
    values = np.array([1.0, 3.0, 10.0, 16.0])
    assert stretch.inverse(stretch.forward(values)) == pytest.approx(values)
    ticks = stretch.ticks()
    assert ticks is not None
    assert ((ticks >= 1.0) & (ticks <= 16.0)).all()
