from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.shared import shared_path

from nbmosaic.errors import FormatError, InputError, TableFormatError
from nbmosaic.io.tables import format_table, parse_table, read_table, write_table

FITS = """|   plus  |  minus  |         a      |        b       |
         0         1     -2.14959e-02      1.38942e-02
         0        10     -6.82415e-03      4.22641e-02
"""


def test_fits_table_without_types():
    table = parse_table(FITS)
    assert table.columns.tolist() == ["plus", "minus", "a", "b"]
    assert table.minus.tolist() == [1, 10]
    assert table.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "float64"]
    assert table.a[1] == -6.82415e-03


def test_keywords_types_units_and_nulls():
    lines = [
        *("\\datatype = fitshdr", "\\char who = 'me'", "\\ a remark"),
        *("|  n |  x   | s  |", "|int |double|char|", "|    | deg  |    |", "| -1 | null |    |"),
        *("  1    2.5  ab", " -1    null      "),
    ]
    text = "\n".join(lines)
    table = parse_table(text)
    assert table.attrs == {"datatype": "fitshdr", "who": "me"}
    assert table.n.isna().tolist() == [False, True]
    assert str(table.n.dtype) == "Int64"
    np.testing.assert_array_equal(table.x, [2.5, np.nan])
    assert table.s.tolist() == ["ab", ""]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends(end):
    pd.testing.assert_frame_equal(parse_table(FITS.replace("\n", end)), parse_table(FITS))


def test_texts_with_blanks_and_long_last_column():
    table = parse_table("|  t        | name |\n| char      | char |\n  18h 20m 1s  a_very_long_name.fits\n")
    assert table.t[0] == "18h 20m 1s"
    assert table.name[0] == "a_very_long_name.fits"


def test_numbers_that_outgrew_their_columns():
    table = parse_table("| a | b |\n 123456 7\n")
    assert table.to_numpy().tolist() == [[123456, 7]]


def test_empty_table():
    table = parse_table("| a | b |\n")
    assert table.shape == (0, 2)
    assert parse_table("| n   |\n| int |\n").n.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column names, *|no column names; expected an IPAC table"),
        ("1 2 3\n", "line 1: expected column names between bars"),
        ("| a | b |\n1 2 3 4 5\n", "line 2: 5 values for 2 columns"),
        ("| a | b |\n| int | double |\n  x    2.0\n", "line 3: column a holds 'x', expected a number"),
        ("| a | a |\n  1   2\n", "column 2 has the name 'a' of another"),
        ("| a |   |\n  1   2\n", "column 2 has no name"),
        ("| a | b |\n  1   2\n| c | d |\n", "line 3: a line of column names among the rows"),
    ],
)
def test_bad_tables_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "bad.tbl"
    path.write_text(text)
    with pytest.raises(TableFormatError, match=message) as caught:
        read_table(path)
    assert "bad.tbl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(TableFormatError, match="cannot open"):
        read_table(tmp_path / "none.tbl")


def test_full_layout_is_lossless(rng):
    table = pd.DataFrame(
        {
            "n": rng.integers(-5, 5, 20),
            "x": rng.normal(size=20) * 10.0 ** rng.integers(-300, 300, 20),
            "s": ["a b", "", "x|y"] + ["long " * 9] * 17,
            "m": pd.array([1, None] * 10, dtype="Int64"),
            "ok": [True, False] * 10,
        }
    )
    table.loc[3, "x"] = np.nan
    table.attrs["made"] = "here"
    again = parse_table(format_table(table))
    np.testing.assert_array_equal(again.x, table.x)
    np.testing.assert_array_equal(again.n, table.n)
    assert again.s.tolist() == [s.strip().replace("|", "/") for s in table.s]
    assert again.m.isna().tolist() == table.m.isna().tolist()
    assert again.ok.tolist() == table.ok.astype(int).tolist()
    assert again.attrs == {"made": "here"}


def test_no_column_no_row():
    assert parse_table(format_table(pd.DataFrame({"a": np.zeros(0)}))).shape == (0, 1)


def test_layouts_that_are_unknown():
    with pytest.raises(InputError, match="none of Montage's"):
        format_table(pd.DataFrame({"x": [1]}), layout="montage")
    with pytest.raises(InputError, match="layout 'mine'"):
        format_table(pd.DataFrame({"x": [1]}), layout="mine")


def test_extra_columns_are_left_out_of_montages_layout():
    table = parse_table("|   id   |      a       |      b       |      c       |\n        0    1.13495e-02    2.98616e-02   -9.27412e+01\n")
    text = format_table(table, layout="montage")
    assert format_table(table.assign(a_err=0.1, component=1), layout="montage") == text


def golden_tables():
    folder = shared_path("golden/montage/tables/montagepy_2.3.0")
    return sorted(folder.glob("*.tbl"))


def test_montage_tables_come_back_to_the_byte():
    names = set()
    for path in golden_tables():
        assert format_table(read_table(path), layout="montage") == path.read_text(), path.name
        names.add(path.name.partition("_")[0])
    assert {"rimages", "pimages", "cimages", "fits", "corr", "diffs"} <= {n.removesuffix(".tbl") for n in names}


def test_montage_tables_survive_the_full_layout():
    for path in golden_tables():
        table = read_table(path)
        pd.testing.assert_frame_equal(parse_table(format_table(table)), table)


def test_tables_of_the_other_version_are_read():
    folder = shared_path("golden/montage/tables/montage_6.0_debian")
    for path in sorted(folder.glob("*.tbl")):
        if path.name.startswith("stats"):
            continue
        table = read_table(path)
        assert len(table) > 5, path.name


@pytest.mark.parametrize("suffix", [".tbl", ".csv", ".ecsv"])
def test_files(tmp_path, suffix):
    table = pd.DataFrame({"n": [1, 2], "x": [0.1, 2.5e-300], "s": ["a", "b"]})
    path = tmp_path / f"t{suffix}"
    write_table(path, table)
    again = read_table(path)
    np.testing.assert_array_equal(again.x, table.x)
    assert [str(v) for v in again.s] == ["a", "b"]
    with pytest.raises(FormatError, match="exists"):
        write_table(path, table)
    write_table(path, table.iloc[:1], overwrite=True)
    assert len(read_table(path)) == 1


def test_bad_csv(tmp_path):
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "a.ecsv").write_text("nonsense")
    for name in ("a.csv", "a.ecsv"):
        with pytest.raises(TableFormatError, match=rf"{name}: .*expected a comma-separated table"):
            read_table(tmp_path / name)
    with pytest.raises(InputError, match="layout 'montage' is for IPAC tables"):
        write_table(tmp_path / "b.csv", pd.DataFrame({"x": [1]}), layout="montage")
