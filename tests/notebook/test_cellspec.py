"""The grammar of a cell: words, options, names, comments, and where mistakes are pointed at."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbmosaic.errors import CellError
from nbmosaic.notebook.cellspec import CellSpec, OptionWord, Word, parse_cell, parse_line


def tokens(text: str) -> list:
    """Words as text, options as (name, value)."""
    stage, _ = parse_line("stage " + text)
    return [str(t) if isinstance(t, Word) else (t.name, None if t.value is None else str(t.value)) for t in stage.tokens]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ("  a\t b  ", ["a", "b"]),
        ("'a b' c", ["a b", "c"]),
        ('"it\'s" x', ["it's", "x"]),
        ("x'a b'y", ["xa by"]),
        ("''", [""]),
        ("m#1.fits # comment", ["m#1.fits"]),
        ("# all comment", []),
        ("'a # b'", ["a # b"]),
        (r"C:\data\new", [r"C:\data\new"]),
        (r"'C:\my data\'", ["C:\\my data\\"]),
        ("--order 3", [("order", None), "3"]),
        ("--order=3", [("order", "3")]),
        ("--order=", [("order", "")]),
        ("--min-pixels=5", [("min_pixels", "5")]),
        ("--min_pixels=5", [("min_pixels", "5")]),
        ("--title='a b'", [("title", "a b")]),
        ("--pad=-0.5", [("pad", "-0.5")]),
        ("--pad -0.5", [("pad", None), "-0.5"]),
        ("'--order' 3", ["--order", "3"]),
        ("--x={y}", [("x", "{y}")]),
        ("{a}", ["{a}"]),
        ("{a}b", ["{a}b"]),
        ("{{a}}", ["{a}"]),
        ("x{{", ["x{"]),
        ("{ {1: 2}[1] }", ["{{1: 2}[1]}"]),
        ("{t[t.x < 3]}", ["{t[t.x < 3]}"]),
        ("""{d["a } b"]}""", ["""{d["a } b"]}"""]),
        ("""{f('''a'b}''')}""", ["""{f('''a'b}''')}"""]),
        (r"""{"a\"}"}""", [r"""{"a\"}"}"""]),
        ("-5", ["-5"]),
    ],
)
def test_words(text, expected):
    assert tokens(text) == expected


def test_a_word_that_is_one_expression_is_told_from_text_with_expressions():
    (whole,) = parse_line("s {a+1}")[0].tokens
    (part,) = parse_line("s x{a+1}.fits")[0].tokens
    (quoted,) = parse_line("s '{a+1}'")[0].tokens
    assert whole.expression.code == "a+1"
    assert part.expression is None
    assert [p if isinstance(p, str) else p.code for p in part.parts] == ["x", "a+1", ".fits"]
    assert quoted.expression.code == "a+1", "quotes group; they do not change what braces mean"


@pytest.mark.parametrize(
    ("text", "n_tokens", "name"),
    [
        ("stage as n", 0, "n"),
        ("stage a as n", 1, "n"),
        ("stage a 'as' n", 3, None),
        ("stage as b c", 3, None),
        ("stage as as n", 1, "n"),
        ("stage 'as'", 1, None),
    ],
)
def test_as_binds_at_the_second_last_word_unless_quoted(text, n_tokens, name):
    stage, _ = parse_line(text)
    assert (len(stage.tokens), stage.name) == (n_tokens, name)


@pytest.mark.parametrize(
    ("body", "quiet", "last"),
    [
        ("a x;", True, ["x"]),
        ("a x ;", True, ["x"]),
        ("a as n;", True, []),
        ("a {x};", True, ["{x}"]),
        ("a x; # comment", True, ["x"]),
        ("a x;\n\n# comment\n", True, ["x"]),
        ("a 'x;'", False, ["x;"]),
        ("a x", False, ["x"]),
        ("a;", True, []),
        ("a x\n;", True, ["x"]),
    ],
)
def test_a_final_semicolon_hushes(body, quiet, last):
    cell = parse_cell("", body)
    assert cell.quiet is quiet
    assert [str(token) for token in cell.stages[-1].tokens] == last


def test_lines_comments_and_continuation():
    cell = parse_cell(
        "m17 --jobs 2  # comment",
        "# M17\n\nimages a.fits \\\n   b.fits\\\n c.fits\n   header --pad 1  # ends here \\\nproject\n",
    )
    assert cell.name == "m17"
    assert [token.name if isinstance(token, OptionWord) else str(token) for token in cell.options] == ["jobs", "2"]
    assert [(stage.stage, stage.place.line) for stage in cell.stages] == [("images", 4), ("header", 7), ("project", 8)]
    assert [str(word) for word in cell.stages[0].tokens] == ["a.fits", "b.fits", "c.fits"]
    assert [(word.place.line, word.place.column) for word in cell.stages[0].tokens] == [(4, 7), (5, 3), (6, 1)]


def test_the_first_line_may_be_continued():
    cell = parse_cell("m \\", "  --jobs 2\nimages a")
    assert cell.name == "m"
    assert [(s.stage, s.place.line) for s in cell.stages] == [("images", 3)]


def test_windows_line_ends_are_no_words():
    cell = parse_cell("m", "images a\r\nheader\r\n")
    assert [str(token) for token in cell.stages[0].tokens] == ["a"]
    assert cell.stages[1].place.text == "header"


def test_question_marks_ask_for_help():
    cell = parse_cell("", "images a\nproject?\n")
    assert [name for name, _ in cell.help] == ["project"]
    assert parse_cell("", "images raw?").help == ()


ERRORS = [
    # first line, body, line, column, words of the message
    ("", "a 'x", 2, 2, "not closed"),
    ("", "a x'y z", 2, 3, "not closed"),
    ("", "a {x", 2, 2, "not closed"),
    ("", "a {'x}", 2, 2, "not closed"),
    ("", "a b}", 2, 3, "single }"),
    ("", "a {}", 2, 2, "empty"),
    ("", "a { }", 2, 2, "empty"),
    ("", "a \\\n  'x", 3, 2, "not closed"),
    ("", "a \\", 2, 2, "nothing follows"),
    ("", "a \\\n\n", 2, 2, "nothing follows"),
    ("", "a C:\\d\\", 2, 6, "nothing follows"),
    ("", "a;\nb", 2, 0, "very end"),
    ("", "a x;\nb", 2, 2, "very end"),
    ("", "--x 3", 2, 0, "cannot begin with the option --x"),
    ("", "  {x} 3", 2, 2, "is not a stage"),
    ("", "'a' 3", 2, 0, "is not a stage"),
    ("", "a as", 2, 2, "needs a name"),
    ("", "a b as 2x", 2, 7, "cannot be a name"),
    ("", "a b as class", 2, 7, "word of Python"),
    ("", "a b as {x}", 2, 7, "not an expression"),
    ("", "a as x\nb as x", 3, 5, "used twice (first in line 2)"),
    ("x", "b as x", 2, 5, "used twice (first in line 1)"),
    ("", "a --", 2, 2, "not an option"),
    ("", "a --3", 2, 2, "not an option"),
    ("", "a --x!", 2, 2, "not an option"),
    ("", "a --{x}", 2, 2, "not an option"),
    ("", "a --x{y}", 2, 2, "not an option"),
    ("2m", "a", 1, 9, "cannot be a name"),
    ("m-1", "a", 1, 9, "cannot be a name"),
    ("class", "a", 1, 9, "word of Python"),
    ("{x}", "a", 1, 9, "cannot be an expression"),
    ("m 'x", "a", 1, 11, "not closed"),
    ("  2m", "a", 1, 11, "cannot be a name"),
]


@pytest.mark.parametrize(("line", "body", "number", "column", "message"), ERRORS)
def test_errors_point_at_the_mistake(line, body, number, column, message):
    with pytest.raises(CellError) as caught:
        parse_cell(line, body)
    context = caught.value.context
    assert message in caught.value.message
    assert (context["line"], context["column"]) == (number, column)
    physical = [f"%%mosaic {line}", *body.split("\n")]
    assert context["text"] == physical[number - 1]


@pytest.mark.parametrize(
    "body", ["a {x y}", "a x{1+}", "a {x = 1}", "a {import os}", "a {await x}", "a {yield}", "a {)}", "a {" + "(" * 300 + "}"]
)
def test_broken_expressions_are_found_before_anything_runs(body):
    with pytest.raises(CellError, match="Python expression") as caught:
        parse_cell("", body)
    assert caught.value.context["line"] == 2
    assert body.index("{") <= caught.value.context["column"] <= body.index("}")  # where exactly depends on the version of Python


def test_a_trailing_backslash_of_a_line_magic_is_a_path():
    stage, _ = parse_line("images C:\\data\\", shift=8, shown="%mosaic images C:\\data\\")
    assert str(stage.tokens[0]) == "C:\\data\\"
    assert stage.tokens[0].place.column == 15


def check(line, body):
    """The cell is parsed, or refused with a place inside it."""
    try:
        cell = parse_cell(line, body)
    except CellError as caught:
        error = caught
    else:
        assert isinstance(cell, CellSpec)
        return
    assert 1 <= error.context["line"] <= body.count("\n") + 2
    assert 0 <= error.context["column"] <= len(error.context["text"])
    assert "\n" not in error.message


pieces = st.sampled_from(
    [
        *"ab '\"{}\\#;=-?\n\t",
        "as ",
        "--x",
        "{x}",
        "{{",
        "}}",
        "\\\n",
        "'''",
        "\r\n",
        "é",
        "\0",
        "\u2028",
        "lambda: ",
        "{d['a']}",
        "--no-x=",
        "a ",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=4).map("".join), st.lists(pieces, max_size=25).map("".join))
def test_nothing_but_cell_errors_comes_out(line, body):
    check(line, body)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=200))
def test_any_text_is_parsed_or_refused(line, body):
    check(line, body)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="'{}\\"), min_size=1, max_size=8), max_size=6
    )
)
def test_quoted_words_come_back_as_they_were(words):
    line = "stage " + " ".join(f"'{word}'" for word in words)
    stage, quiet = parse_line(line)
    assert [token.literal for token in stage.tokens] == words
    assert not quiet
