"""Plain-text forms, numbers, names and alt texts."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest

from nbmosaic.types import BackgroundModel
from nbmosaic.views import alt_text
from nbmosaic.views.labels import short_names
from nbmosaic.views.numbers import column_texts, duration_text, elide, is_missing, is_number, number_text, size_text
from nbmosaic.views.rows import STATES, StageRow
from nbmosaic.views.text import facts_text, run_text, table_text


def test_run_has_a_line_a_stage_with_its_state():
    rows = [StageRow(stage=f"stage{i}", state=s, inputs="2 a", outputs="1 b", key="k", seconds=i) for i, s in enumerate(STATES)]
    lines = run_text("m", rows).splitlines()
    assert len(lines) == 1 + len(rows)
    for row, line in zip(rows, lines[1:], strict=True):
        assert row.stage in line
        assert [s for s in STATES if f" {s} " in line] == [row.state]
    assert len({line.index("2 a") for line in lines[1:]}) == 1, "columns line up"


def test_headline_says_where_it_stopped():
    ok = StageRow(stage="images", state="ran", seconds=1.0)
    assert run_text("m", [ok, StageRow(stage="project", state="failed", detail="boom")]).startswith("Run m: stopped at project")
    assert run_text("m", [ok, StageRow(stage="project")]).startswith("Run m: 1 of 2 stages done")
    assert run_text("", [ok]).startswith("Run: 1 stage in 1.00 s")
    assert run_text("", []).startswith("Run: 0 stages")


def test_run_text_fits_a_screen():
    rows = [StageRow(stage=f"s{i}", state="ran", key="x" * 300) for i in range(9)]
    text = run_text("m", rows, warnings=[f"warning {i} " + "y" * 300 for i in range(50)], error="no")
    assert len(text.splitlines()) < 24
    assert max(map(len, text.splitlines()[1:10])) <= 110
    assert "50 warnings" in text
    assert "47 more" in text
    assert "error: no" in text


def test_control_characters_cannot_break_the_lines():
    text = run_text("m", [StageRow(stage="a", state="ran", inputs="x\ny", key="\x1b[31mred")])
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text


def test_table_text_limits_rows_columns_and_says_so():
    text = table_text([[i, "x" * 40, "y" * 40, "z" * 40] for i in range(30)], ["n", "a", "b", "c"], title="t", limit=5, max_width=100)
    assert text.splitlines()[0] == "t"
    assert "25 more rows, 1 more column" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "(no rows)" in table_text([], ["a"])
    assert table_text([], []) == "\n(no rows)" or table_text([], []).endswith("(no rows)")


def test_facts_leave_out_what_is_not_there():
    assert facts_text({"a": None, "b": "", "c": 0}) == "c: 0"
    assert facts_text({}) == ""
    assert facts_text({"rms": 0.15}) == "rms: 0.15"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (np.float32("nan"), "–"), (np.int64(3), "3"), (1e-9, "1e-09"), (-math.inf, "\N{MINUS SIGN}∞"), (True, "True"), ("a", "a")],
)  # fmt: skip
def test_number_text(value, text):
    assert number_text(value) == text


def test_numbers_are_told_from_other_things():
    assert is_number(1)
    assert is_number(np.float32(1))
    assert not is_number(True)
    assert not is_number(np.True_)
    assert not is_number("1")
    assert not is_missing(np.int64(0))
    assert not is_missing(dt.date(2020, 1, 1))


def test_columns_have_the_same_number_of_decimals():
    texts = column_texts([123.4, 0.001, -5.0, None, math.inf])
    assert texts == ["123.400", "0.001", "-5.000", "–", "∞"]
    assert column_texts([1e-9, 0.0, 2.5e-7]) == ["1.000e-09", "0", "2.500e-07"]
    assert column_texts([1, 20]) == ["1", "20"]
    assert column_texts([0.0, 0.0]) == ["0", "0"]
    assert column_texts([1.5, "x"]) == ["1.5", "x"]
    assert column_texts([]) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.0, "0 ms"), (0.0996, "0.10 s"), (9.996, "10.0 s"), (99.96, "1 min 40 s"), (7260, "2 h 1 min")]
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_sizes():
    assert [size_text(n) for n in (0, 999, 1000, 999_600, 5e13)] == ["0 B", "999 B", "1 kB", "1 MB", "50 TB"]


def test_elided_text_has_the_width_asked_for():
    for width in (5, 12, 48):
        assert len(elide("x" * 100, width)) == width
    assert elide("abc", 3) == "abc"


def test_short_names_stay_different_and_never_empty():
    assert short_names(["a/f_1.fits", "b/f_1.fits"]) == ["a", "b"]
    assert short_names(["f.fits", "f_2.fits"]) == ["f.fits", "f_2.fits"]
    assert short_names(["x", "x"]) == ["x", "x"]
    assert short_names([]) == []
    names = [f"night/2mass-j{i:04d}.fits.gz" for i in range(120)]
    assert short_names(names) == [f"{i:04d}" for i in range(120)]


def test_alt_texts_come_from_the_data():
    assert alt_text.alt_text_mosaic((640, 812), 1, 0.0) == "mosaic 812 x 640 px, 1 frame, 0 % blank"
    assert "less than 1 %" in alt_text.alt_text_mosaic((2, 2), 1, 0.001)
    assert "more than 99 %" in alt_text.alt_text_mosaic((2, 2), 1, 0.999)
    text = alt_text.alt_text_mosaic((2, 3), centre=(83.8, -5.4), limits=(1.0, 200.0), unit="DN", what="frame")
    assert text == "frame 3 x 2 px, centre 83.8000, -5.4000 deg, colours from 1 to 200 DN"
    assert "no pixel covered" in alt_text.alt_text_coverage(np.full((2, 2), np.nan))
    assert alt_text.alt_text_residuals([], []) == "differences over 0 overlaps"
    assert "3 of them excluded" in alt_text.alt_text_network(5, np.full(4, np.nan), n_excluded=3)


def test_alt_text_of_a_background_names_the_groups():
    model = BackgroundModel(
        frames=np.arange(2), planes=np.array([[0.0, 0, 1.5], [0, 0, -2.5]]), origin=(0, 0), stderr=None, covariance=None,
        component=np.array([0, 1]), residual_level=np.zeros(0), residual_rms=np.zeros(0), weight=np.zeros(0), gauge="", slope=False,
    )  # fmt: skip
    text = alt_text.alt_text_background(model, unit="DN")
    assert text == "background levels of 2 frames, from -2.5 to 1.5 DN at the origin, 2 groups without overlap between them"
