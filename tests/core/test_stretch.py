"""Statistics, limits and stretches, against slow twins and by their invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from nbmosaic.core.stretch import Limit, Statistics, StretchRange, grey_levels, parse_limit, preserve_colour, stretch_range
from nbmosaic.errors import InputError

KINDS = [("power", 0), ("power", 1), ("power", 2), ("asinh", 0), ("gaussian", 0), ("gaussian-log", 0)]


def sky(n: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(5)
    image = rng.normal(100.0, 3.0, n).astype(np.float32)
    image[::97] += rng.exponential(200.0, image[::97].size).astype(np.float32)
    image[::53] = np.nan
    return image.reshape(100, -1)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("12.5", Limit(12.5, "value")),
        (" -3e2 ", Limit(-300.0, "value")),
        ("99.5%", Limit(99.5, "percent")),
        ("-2s", Limit(-2.0, "sigma")),
        ("1.5S", Limit(1.5, "sigma")),
        ("min", Limit(0.0, "percent")),
        ("maximum", Limit(100.0, "percent")),
        ("med+3", Limit(50.0, "percent", 3.0)),
        ("-2s+3", Limit(-2.0, "sigma", 3.0)),
        ("5 - 1", Limit(5.0, "value", -1.0)),
    ],
)
def test_limits_as_they_are_written(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["", "foo", "101%", "-1%", "1e999", "3q", "2s3", "nan", "--2", "1%%"])
def test_nonsense_is_no_limit(text: str) -> None:
    with pytest.raises(InputError, match=r"display min|percentile"):
        parse_limit(text, "display min")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_limit_or_our_error(text: str) -> None:
    try:
        limit = parse_limit(text)
    except InputError:
        return
    assert np.isfinite(limit.number)


def test_statistics_are_those_of_all_pixels() -> None:
    image = sky()
    s = Statistics.of(image)
    assert s.median == pytest.approx(float(np.nanmedian(image)), rel=1e-7)
    assert s.sigma == pytest.approx(float(np.diff(np.nanpercentile(image.astype(float), [16, 84]))[0]) / 2, rel=1e-6)
    assert (s.minimum, s.maximum) == (np.nanmin(image), np.nanmax(image))
    for percent in (0.0, 0.3, 50.0, 99.9, 100.0):
        assert s.percent_of(s.at_percent(percent)) == pytest.approx(percent, abs=1e-3)
    assert s.value_of(parse_limit("2s")) == pytest.approx(s.median + 2 * s.sigma)


@pytest.mark.parametrize(("kind", "power"), KINDS)
def test_stretches_rise_and_keep_their_limits(kind: str, power: int) -> None:
    image = sky()
    r = stretch_range(Statistics.of(image), parse_limit("-2s"), parse_limit("99.8%"), kind, power=power)
    line = np.linspace(r.low - 50.0, r.high + 50.0, 4001)
    levels = np.minimum(grey_levels(line, r), 255.0)
    assert (np.diff(levels) >= 0).all()
    # Montage's formula of gaussian-log starts 1/255 of the range (in powers) below the lower limit
    assert (levels[line < r.low] <= (1 if kind == "gaussian-log" else 0)).all()
    assert (levels[line > r.high + 1e-9] == 255).all()
    assert np.isnan(grey_levels(image, r)[np.isnan(image)]).all()


def test_levels_against_one_pixel_at_a_time() -> None:
    image = sky(2000)
    s = Statistics.of(image)
    r = stretch_range(s, parse_limit("1%"), parse_limit("99%"), "power", power=1)
    slow = [255 * np.log(9 * min(max((v - r.low) / (r.high - r.low), 0.0), 1.0) + 1) for v in image[np.isfinite(image)].astype(float)]
    assert grey_levels(image, r)[np.isfinite(image)] == pytest.approx(slow)
    r = stretch_range(s, parse_limit("1%"), parse_limit("99%"), "asinh", beta=parse_limit("10"))
    slow = [
        255 * np.arcsinh(10 * min(max((v - r.low) / (r.high - r.low), 0.0), 1.0)) / np.arcsinh(10.0)
        for v in image[np.isfinite(image)].astype(float)
    ]
    assert grey_levels(image, r)[np.isfinite(image)] == pytest.approx(slow)


def test_gaussian_makes_the_histogram_a_gaussian() -> None:
    image = np.random.default_rng(1).exponential(1.0, 200_000)  # far from a Gaussian before
    s = Statistics.of(image)
    r = stretch_range(s, parse_limit("min"), parse_limit("max"), "gaussian")
    levels = grey_levels(image, r)
    ends = norm.ppf([1 / image.size, 1 - 1 / image.size])
    z = (levels - 127.5) * np.diff(ends)[0] / 255.0
    for percent in (16.0, 50.0, 84.0, 97.5):
        assert np.percentile(z, percent) == pytest.approx(norm.ppf(percent / 100), abs=0.04)  # a grey level is 0.035 wide


def test_gaussian_log_follows_the_formula() -> None:
    image = sky()
    s = Statistics.of(image)
    r = stretch_range(s, parse_limit("-2s"), parse_limit("max"), "gaussian-log")
    assert r.table is not None
    assert (np.diff(r.table) >= 0).all()
    n = s.ordered.size
    low, high = norm.ppf([s.percent_of(r.low) / 100, 1 - 1 / n])
    j = 200
    expected = np.quantile(s.ordered.astype(float), norm.cdf(high - (high - low) ** ((256 - j) / 255)))
    assert r.table[j] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("kind", "power"), KINDS)
@pytest.mark.parametrize("image", [np.full((5, 5), 7.0), np.array([[3.0]]), np.array([[0.0, 1.0], [np.nan, np.inf]])])
def test_constant_and_tiny_images(kind: str, power: int, image: np.ndarray) -> None:
    s = Statistics.of(image)
    for low, high in (("min", "max"), ("-2s", "2s"), ("5%", "95%"), ("9", "1")):
        r = stretch_range(s, parse_limit(low), parse_limit(high), kind, power=power)
        levels = grey_levels(image, r)
        assert np.array_equal(np.isnan(levels), ~np.isfinite(image))
        assert np.nanmin(levels) >= 0.0
        assert not np.isinf(levels).any()


def test_an_empty_image_has_no_statistics() -> None:
    with pytest.raises(InputError, match="no non-blank pixels"):
        Statistics.of(np.full((3, 3), np.nan))


def test_asinh_turns_where_it_is_told() -> None:
    s = Statistics.of(np.arange(1001.0))
    r = stretch_range(s, parse_limit("0"), parse_limit("1000"), "asinh", beta=parse_limit("10%"))
    assert r.beta == pytest.approx(10.0)
    assert grey_levels(np.array([1000.0]), r)[0] == 255.0


def test_colour_is_kept() -> None:
    levels = np.array([[510.0, 255.0, 0.0], [100.0, 50.0, 25.0], [0.0, 0.0, 0.0]])
    kept = preserve_colour(levels, 1.0)
    assert kept.tolist() == [[255.0, 127.5, 0.0], [100.0, 50.0, 25.0], [0.0, 0.0, 0.0]]
    assert preserve_colour(levels, 2.0)[1].tolist() == [100.0, 25.0, 6.25]
    assert preserve_colour(levels, 0.0)[0].tolist() == [255.0, 255.0, 0.0]


def test_input_is_not_changed() -> None:
    image = sky(2000)
    before = image.copy()
    grey_levels(image, stretch_range(Statistics.of(image), parse_limit("min"), parse_limit("max"), "asinh"))
    assert np.array_equal(image, before, equal_nan=True)


def test_a_plain_range_needs_no_statistics() -> None:
    assert grey_levels(np.array([0.25], np.float32), StretchRange("power", 0.0, 1.0))[0] == 63.75


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.2])
def test_power_laws(exponent: float) -> None:
    image = sky()
    chosen = stretch_range(Statistics.of(image), parse_limit("1%"), parse_limit("99%"), "exponent", exponent=exponent)
    levels = grey_levels(image, chosen)
    x = np.clip((image.astype(float) - chosen.low) / (chosen.high - chosen.low), 0.0, 1.0)
    np.testing.assert_allclose(levels, 255.0 * x**exponent, rtol=1e-12)


@pytest.mark.parametrize("exponent", [0.0, -1.0, np.inf, np.nan])
def test_exponents_are_positive_numbers(exponent: float) -> None:
    with pytest.raises(InputError, match="exponent"):
        stretch_range(Statistics.of(sky()), parse_limit("min"), parse_limit("max"), "exponent", exponent=exponent)
