"""Templates and IPAC tables under random text: our own errors or a result that survives a round trip, nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbmosaic.core.geometry.sky import SkyPixels
from nbmosaic.errors import HeaderTemplateError, NbmosaicError, TableFormatError
from nbmosaic.io.image_table import read_fields
from nbmosaic.io.locations import parse_location
from nbmosaic.io.tables import _aligned_cells, _cells, format_table, parse_table
from nbmosaic.io.templates import format_template, parse_template

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
KEYS = st.sampled_from(
    [
        *("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"),
        *("CDELT1", "CDELT2", "CROTA2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC2_2", "PV2_1", "PROJP1", "EQUINOX"),
        *("EPOCH", "RADESYS", "RADECSYS", "LONPOLE", "A_ORDER", "A_2_0", "WAT1_001", "WAT2_001", "AMDX1", "PLTRAH", "PPO3", "CUNIT1"),
        *("END", "COMMENT"),
    ]
)
VALUES = st.one_of(
    st.integers(-10, 5000).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.sampled_from(
        [
            "'RA---TAN'",
            "'DEC--TAN'",
            "'GLON-CAR'",
            "'GLAT-CAR'",
            "'RA---TNX'",
            "'DEC--TNX'",
            "'RA---ZPN'",
            "T",
            "'FK5'",
            "'J2000'",
            "1.5D2",
            "'",
        ]
    ),
    st.just("'wtype=tnx axtype=ra lngcor = \"3 2 2 0 -1 1 -1 1 0 0 0\"'"),
    st.text(max_size=12),
)
LINE = st.one_of(st.builds("{} = {}".format, KEYS, VALUES), st.builds("{}={} / note".format, KEYS, VALUES), st.text(max_size=90))
GOOD = "NAXIS1 = 30\nNAXIS2 = 20\nCTYPE1 = 'RA---TAN'\nCTYPE2 = 'DEC--TAN'\nCDELT1 = -0.01\nCDELT2 = 0.01\n"


def outcome(function, text, kind=NbmosaicError):
    """What a parser makes of a text: its result, or the message of our own error; any other error fails the test."""
    try:
        return function(text), ""
    except kind as error:
        return None, str(error)


@QUICK
@given(st.lists(LINE, max_size=14), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_any_template_text(lines, end, complete):
    text = end.join(([line for line in GOOD.splitlines() if not lines or complete] if complete else []) + lines)
    grid, message = outcome(parse_template, text, HeaderTemplateError)
    if grid is None:
        assert "\n" not in message
        return
    again = parse_template(format_template(grid))
    assert again.shape == grid.shape


@QUICK
@given(
    st.sampled_from(["TAN", "SIN", "ZEA", "STG", "ARC", "CAR", "CEA", "AIT", "MER"]),
    st.tuples(st.integers(1, 100_000), st.integers(1, 100_000)),
    st.tuples(st.floats(0, 359.9), st.floats(-89, 89)),
    st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)),
    st.floats(1e-6, 1.0),
    st.floats(-360, 360),
    st.sampled_from(["RA---/DEC--", "GLON-/GLAT-", "ELON-/ELAT-"]),
)
def test_a_round_trip_changes_nothing(code, shape, crval, crpix, step, rotation, axes):
    lon, lat = axes.split("/")
    if code in {"CAR", "CEA", "AIT", "MER"}:
        crval = (crval[0], 0.0)
    text = f"NAXIS1={shape[1]}\nNAXIS2={shape[0]}\nCTYPE1='{lon}{code}'\nCTYPE2='{lat}{code}'\nCRVAL1={crval[0]!r}\nCRVAL2={crval[1]!r}\n"
    text += f"CRPIX1={crpix[0]!r}\nCRPIX2={crpix[1]!r}\nCDELT1={-step!r}\nCDELT2={step!r}\nCROTA2={rotation!r}\n"
    one = parse_template(text)
    written = format_template(one)
    two = parse_template(written)
    assert format_template(two) == written
    assert two.shape == one.shape
    x, y = crpix[0] + np.array([-3.0, 0.0, 4.0]), crpix[1] + np.array([2.0, 0.0, -5.0])
    ours, theirs = SkyPixels(one.wcs, one.shape).to_sky(x, y), SkyPixels(two.wcs, two.shape).to_sky(x, y)
    assert np.array_equal(np.stack(ours), np.stack(theirs), equal_nan=True)


@QUICK
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_table_text(text):
    table, message = outcome(parse_table, text, TableFormatError)
    if table is None:
        assert "\n" not in message
        return
    assert len(parse_table(format_table(table))) == len(table)


@QUICK
@given(st.lists(st.text(alphabet="|\\ 0123456789abc.-+eEnul\n\r\t", max_size=40), max_size=8))
def test_any_lines_of_a_table(lines):
    table, _ = outcome(parse_table, "\n".join(lines), TableFormatError)
    if table is None:
        return
    assert len(parse_table(format_table(table))) == len(table)


CELL = st.text(alphabet=" 0123456789a.-+eE|\t\x0b\x7f", max_size=5)


@QUICK
@given(st.lists(st.builds(" {:5} {:>5} {}".format, CELL, CELL, st.text(alphabet=" 12a|", max_size=9)), min_size=1, max_size=6))
def test_aligned_rows_are_cut_as_single_rows_are(lines):
    bars = [0, 6, 12, 10**9]
    quick = _aligned_cells(lines, bars)
    if quick is not None:
        assert [[cell.decode() for cell in column] for column in quick] == _cells(list(enumerate(lines)), bars, ["a", "b", "c"], "table")


NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=5, unique=True)


@QUICK
@given(NAMES, st.integers(0, 6), st.data())
def test_tables_come_back(names, n, data):
    columns = {}
    for name in names:
        kind = data.draw(st.sampled_from(["int", "float", "text"]))
        if kind == "int":
            columns[name] = np.array(data.draw(st.lists(st.integers(-(2**62), 2**62), min_size=n, max_size=n)), np.int64)
        elif kind == "float":
            columns[name] = np.array(
                data.draw(st.lists(st.floats(allow_infinity=False, allow_nan=True), min_size=n, max_size=n)), np.float64
            )
        else:
            words = st.from_regex(r"[A-Za-z_][A-Za-z_.]{0,10}", fullmatch=True).filter(lambda w: w.lower() != "null")
            columns[name] = pd.Series(data.draw(st.lists(words, min_size=n, max_size=n)), dtype=object)
    table = pd.DataFrame(columns)
    again = parse_table(format_table(table))
    assert list(again.columns) == names
    for name in names:
        if table[name].dtype == object:
            assert list(again[name]) == list(table[name])
        else:
            assert np.array_equal(again[name].to_numpy(), table[name].to_numpy(), equal_nan=True)


@QUICK
@given(st.one_of(st.text(max_size=40), st.text(alphabet="0123456789 :.,hdms+-'\"galeqj", max_size=40)))
def test_any_location(text):
    found, _ = outcome(parse_location, text)
    if found is None:
        return
    lon, lat, _, equinox = found
    assert 0.0 <= lon < 360.0 or lon == 0.0
    assert -90.0 <= lat <= 90.0
    assert equinox >= 0


@QUICK
@given(text=st.text(max_size=60))
def test_any_list_of_fields(tmp_path, text):
    path = tmp_path / "fields.txt"
    path.write_text(text, encoding="utf-8", newline="")
    fields, _ = outcome(read_fields, path)
    assert fields is None or all(field.key and field.width > 0 for field in fields)


TNX = GOOD.replace("TAN'", "TNX'") + "WAT1_001 = 'wtype=tnx axtype=ra lngcor = \"3. 2. 2. 0. -1. 1. -1. 1. 0. 0.1 0.\"'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TNX + "CRPIX3 = 1.0\n", ""),  # a stray third axis made the linear matrix 3 x 3
        (TNX + "CD3_3 = 1.0\n", ""),
        (TNX.replace("CDELT1", "CD1_1").replace("CDELT2", "CD1_2"), "singular"),
        (
            GOOD + "CRPIX1 = 1.0\nCRPIX2 = 1.0\nA_ORDER = 2\nB_ORDER = 2\nA_2_0 = 1e-5\n",
            "",
        ),  # astropy remarked on the missing -SIP on the terminal
    ],
)
def test_texts_that_fuzzing_found(text, message, caplog):
    grid, said = outcome(parse_template, text, HeaderTemplateError)
    assert (grid is not None) == (message == "")
    assert message in said
    assert not caplog.records
    if grid is not None:
        assert grid.shape == (20, 30)
        assert grid.wcs.naxis == 2
