"""Quick plots: what is drawn where, and what cannot be drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nbmosaic.types.photometry import Estimate
from nbmosaic.views.quick_plot import QuickSeries, quick_plot
from nbmosaic.views.quick_psf import quick_fwhm_by_file

RED = "#ff0000"


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def red(png):
    """Places of red pixels, as parts of width and height of the picture."""
    image = pixels(png)
    y, x = np.nonzero((image[..., 0] > 200) & (image[..., 1] < 90) & (image[..., 2] < 90))
    return x / image.shape[1], 1 - y / image.shape[0]


def test_points_lie_where_their_values_are():
    where = []
    for x, y in ((0.25, 2.5), (0.75, 2.5), (0.25, 7.5)):
        one = QuickSeries(np.array([x, np.nan]), np.array([y, 1.0]), RED, style="circles")
        found = red(quick_plot([one], x_label="x", y_label="y", x_limits=(0, 1), y_limits=(0, 10), size=(400, 300)))
        assert found[0].size
        where.append((found[0].mean(), found[1].mean()))
    assert where[1][0] - where[0][0] == pytest.approx(0.5 * (400 - 82) / 400, abs=0.01)
    assert where[2][1] - where[0][1] == pytest.approx(0.5 * (300 - 58) / 300, abs=0.01)
    assert where[1][1] == pytest.approx(where[0][1], abs=0.01)


def test_what_is_beyond_the_axes_is_cut_off():
    line = QuickSeries(np.linspace(-50, 50, 5), np.linspace(-50, 50, 5), RED, style="line")
    x, y = red(quick_plot([line], x_label="x", y_label="y", x_limits=(0, 1), y_limits=(0, 1), size=(400, 300)))
    assert x.min() > 68 / 400
    assert y.min() > 44 / 300


@pytest.mark.parametrize("values", [np.zeros(0), np.array([np.nan]), np.array([3.0]), np.array([1e300, -1e300])])
def test_any_values_give_a_picture(values):
    one = QuickSeries(np.arange(len(values)), values, RED, "a $b$ <c>", "dashes", None)
    assert pixels(quick_plot([one], x_label="x", y_label="y", x_limits=(0, 0))).shape == (320, 440, 3)


def test_fwhm_by_file():
    good = [Estimate(value=0.6 + 0.01 * k, stderr=0.002, flag="at bound" if k == 3 else "") for k in range(5)]
    png, alt = quick_fwhm_by_file([f"night <{k}>" for k in range(5)], [("image", good)], ["broken"])
    assert pixels(png).shape == (300, 640, 3)
    assert alt == "fwhm of 5 files by image fits: from 0.6 to 0.64 arcsec, median 0.62; 1 file failed"
    assert quick_fwhm_by_file([], [])[0] != png
