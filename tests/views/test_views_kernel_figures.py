"""Figures of interpolants, masks and map errors: what they return and show."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbmosaic.views.exposure_figures import plot_map_errors, plot_mask_bits
from nbmosaic.views.figures import figure_png
from nbmosaic.views.kernel_figures import plot_kernels, plot_noise_correlation, plot_star_errors, plot_transfer

X = np.linspace(-3, 3, 31)
CURVES = {f"kernel {k}": (X, np.exp(-(X**2) / (k + 1))) for k in range(6)}
EVIL = "<script>$a_b$\n"


@pytest.mark.parametrize("draw", [plot_kernels, plot_transfer])
def test_curves_differ_in_colour_and_dashes(draw) -> None:
    ax = draw(CURVES)
    assert isinstance(ax, Axes)
    lines = [line for line in ax.get_lines() if str(line.get_label()).startswith("kernel")]
    assert len(lines) == 6
    assert len({(line.get_color(), str(line.get_linestyle())) for line in lines}) == 6
    np.testing.assert_array_equal(lines[2].get_ydata(), CURVES["kernel 2"][1])
    assert figure_png(ax).startswith(b"\x89PNG")


def test_given_axes_are_used() -> None:
    for draw, data in ((plot_kernels, CURVES), (plot_transfer, CURVES), (plot_noise_correlation, {"a": np.array([1, 0.2, 0.1])})):
        own = Figure().add_subplot()
        assert draw(data, ax=own) is own
    own = Figure().add_subplot()
    assert plot_mask_bits(np.zeros((4, 5), np.uint8), ax=own) is own
    assert plot_map_errors(["a"], {"b": np.array([1e-3])}, ax=own) is own


def test_star_is_an_area_and_ideal_is_a_line() -> None:
    ax = plot_transfer(CURVES, star=("star", X, np.abs(X)))
    assert len(ax.collections) == 1
    assert {text.get_text() for text in ax.get_legend().get_texts()} >= {"star", "ideal"}


def test_measured_points_have_the_colour_of_their_line() -> None:
    ax = plot_noise_correlation({"a": np.array([1, 0.2, 0.1]), "b": np.array([1, 0.1, 0.0])}, {"b": np.array([1, 0.11, 0.01])})
    lines = {line.get_label(): line for line in ax.get_lines()}
    points = ax.get_lines()[-1]
    assert points.get_color() == lines["b"].get_color()
    assert points.get_ydata().tolist() == [0.11, 0.01]
    assert lines["a"].get_xdata().tolist() == [1, 2]


def test_star_errors_share_colours() -> None:
    panels = plot_star_errors({"linear": np.full((9, 9), -7.0), EVIL: np.eye(9)}, limit=8.0)
    assert [axes.images[0].get_clim() for axes in panels] == [(-8.0, 8.0)] * 2
    assert "7.0 %" in panels[0].get_title()
    assert figure_png(panels[0]).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no star"):
        plot_star_errors({})


def test_mask_keeps_single_columns_when_it_is_thinned() -> None:
    mask = np.zeros((3000, 2000), np.uint8)
    mask[:, 1001] = 1
    mask[:40] = 4 | 1
    mask[-40:] = 8
    ax = plot_mask_bits(mask)
    image = np.asarray(ax.images[0].get_array())
    assert max(image.shape) <= 900
    assert (image[100:-100] == 4).any(axis=1).all()
    assert set(np.unique(image)) == {0, 1, 4}
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[1] == "outside 1.3 %"
    assert len(texts) == 4


def test_map_errors_by_piece() -> None:
    ax = plot_map_errors(["CCD1", EVIL], {"exact": np.array([1e-6, 2e-6]), "cubic": np.array([1e-2, 2e-2])})
    assert ax.get_yscale() == "log"
    assert len(ax.get_lines()) == 2
    assert figure_png(ax).startswith(b"\x89PNG")
