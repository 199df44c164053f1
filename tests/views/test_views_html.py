"""HTML fragments: well-formed, escaped, readable by assistive technology, small."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from nbmosaic.views.figures import figure_png
from nbmosaic.views.html import details_html, error_html, facts_html, fragment, frame_html, image_tag, run_html, table_html, warnings_html
from nbmosaic.views.markup import Markup, escape, join
from nbmosaic.views.report import Section, html_report
from nbmosaic.views.rows import STATES, StageRow

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&\x00\x1b[31m"
VOID = {"img", "br", "meta", "link"}


class Page(HTMLParser):
    """Checks nesting, and collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [k for k, _ in attrs]
        assert len(names) == len(set(names)), f"attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> is out of place"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def rows() -> list[StageRow]:
    return [
        StageRow(stage="images", state="cached", inputs="16 files", outputs="16 frames", key="unit DN", seconds=0.01),
        StageRow(stage="project", state="ran", inputs="16 frames", outputs="16 projected", key="map error 3e-5 px", seconds=1.2),
        StageRow(stage="overlaps", state="failed", inputs="16 projected", seconds=0.1, detail="no two frames overlap"),
        StageRow(stage="coadd"),
    ]


@pytest.fixture(scope="module")
def png() -> bytes:
    from matplotlib.figure import Figure

    return figure_png(Figure(figsize=(2, 1)), 200)


def evil_fragments(png: bytes) -> dict[str, str]:
    df = pd.DataFrame({EVIL: [EVIL, 1.0], "b": [EVIL, None]}, index=pd.Index([EVIL, "r"], name=EVIL))
    row = StageRow(stage=EVIL, state="failed", inputs=EVIL, outputs=EVIL, key=EVIL, detail=EVIL)
    return {
        "table": table_html([[EVIL, EVIL]], [EVIL, "b"], caption=EVIL, units={EVIL: EVIL}),
        "frame": frame_html(df, title=EVIL, units={EVIL: EVIL}),
        "facts": facts_html({EVIL: EVIL}),
        "image": image_tag(png, EVIL),
        "details": details_html(EVIL, EVIL),
        "error": error_html(EVIL),
        "warnings": warnings_html([EVIL, EVIL, UserWarning(EVIL)]),
        "fragment": fragment(EVIL, fallback=EVIL, label=EVIL),
        "run": run_html(EVIL, [row], picture_png=png, alt=EVIL, facts={EVIL: EVIL}, warnings=[EVIL], error=EVIL, fallback=EVIL),
        "report": html_report(EVIL, [Section(EVIL, EVIL, table_html([[EVIL]], [EVIL]))] * 3, intro=EVIL, footer=EVIL),
    }


def test_text_from_files_never_becomes_markup(png):
    for name, text in evil_fragments(png).items():
        page = Page(text)
        assert not page.all("script"), name
        for tag, attrs in page.tags:
            assert not [a for a in attrs if a.startswith("on")], f"event handler in {tag} of {name}"
        for attrs in page.all("img"):
            assert str(attrs["src"]).startswith("data:image/png;base64,"), name
        assert "\x00" not in text, name
        assert "\x1b" not in text, name
        shown = page.text + "".join(str(v) for _, attrs in page.tags for v in attrs.values())
        assert "<script>alert" in shown, f"{name} lost the text"


def test_markup_is_the_only_way_past_the_escaping():
    assert escape("<i>") == "&lt;i&gt;"
    assert escape(Markup("<i>")) == "<i>"
    assert isinstance(escape("x"), Markup)
    assert type(Markup("<i>") + "<b>") is str, "joining with a plain string must not stay trusted"
    assert escape(Markup("<i>") + "<b>") == "&lt;i&gt;&lt;b&gt;"
    assert join("a", None, "", "b", between=" < ") == "a < b"


def test_run_has_a_row_a_stage_and_a_picture_with_alt_text(png):
    html = run_html("m51", rows(), picture_png=png, alt="mosaic 812x640 px, 16 frames", facts={"unit": "DN"}, warnings=["w1", "w1", "w2"])
    page = Page(html)
    assert page.tags[0][0] == "div"
    assert page.tags[0][1]["class"] == "nbm"
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("<tr") == len(rows())
    for row in rows():
        line = next(part for part in body.split("<tr")[1:] if f">{row.stage}</th>" in part)
        assert f"</span> {row.state}<" in line
    assert all(th["scope"] in {"col", "row"} for th in page.all("th"))
    assert page.all("caption")
    (image,) = page.all("img")
    assert image["alt"] == "mosaic 812x640 px, 16 frames"
    assert (image["width"], image["height"]) == ("200", "100")
    assert base64.b64decode(str(image["src"]).split(",")[1]) == png
    assert "no two frames overlap" in page.text
    assert page.all("details")
    assert "3 warnings" in page.text
    assert "w1 (2 times)" in page.text
    assert "<script" not in html
    assert len(html) - len(png) * 4 / 3 < 8000, "the frame around a picture must stay small"


def test_every_state_has_words_and_a_symbol():
    page = Page(run_html("", [StageRow(stage=s, state=s) for s in STATES]))
    symbols = re.findall(r'nbm-mark" aria-hidden="true">([^<]+)<', run_html("", [StageRow(stage=s, state=s) for s in STATES]))
    assert len(set(symbols)) == len(STATES)
    assert all(s in page.text for s in STATES)


def test_run_without_stages_and_without_picture():
    page = Page(run_html("", []))
    assert "no stages" in page.text
    assert not page.all("img")
    assert not page.all("details")


def test_error_message_is_shown_once():
    html = run_html("m", rows(), error="no two frames overlap")
    assert html.count("no two frames overlap") == 1


def test_table_limits_rows_and_says_so():
    page = Page(table_html([[i] for i in range(25)], ["n"], limit=10))
    assert len(page.all("tr")) == 1 + 10 + 1
    assert "15 more rows" in page.text
    assert "more row" not in Page(table_html([[1]], ["n"])).text
    assert "1 more row" in Page(table_html([[1], [2]], ["n"], limit=1)).text
    assert "no rows" in Page(table_html([], ["a", "b"], caption="empty")).text
    assert len(Page(table_html([[i] for i in range(25)], ["n"], limit=None)).all("tr")) == 26
    Page(table_html([], []))


def test_numbers_stand_to_the_right_and_text_to_the_left():
    page = Page(table_html([["a", 1.5, "x"], ["b", None, "y"]], ["id", "rms", "note"], units={"rms": "DN"}))
    assert [th.get("class") for th in page.all("th") if th["scope"] == "col"] == [None, "nbm-num", None]
    assert [td.get("class") for td in page.all("td")] == ["nbm-num", None] * 2
    assert "DN" in page.text
    assert "–" in page.text


def test_rows_may_be_mappings_or_short():
    body = table_html([{"b": 2, "a": 1}, [3]], ["a", "b"]).split("<tbody>")[1]
    assert re.findall(r">([^<>]+)</t[hd]>", body) == ["1", "2", "3", "–"]


def test_long_names_keep_their_end_and_their_whole_in_the_tooltip():
    name = "/data/" + "x" * 100 + "/frame_0001.fits"
    page = Page(table_html([[name]], ["file"]))
    (cell,) = [th for th in page.all("th") if th["scope"] == "row"]
    assert cell["title"] == name
    assert page.text.endswith("frame_0001.fits")


def test_frame_table_reads_only_what_it_shows():
    df = pd.DataFrame({"ra": np.linspace(0, 1, 100_000), "name": "f"})
    page = Page(frame_html(df, limit=3, title="frames", columns=["name", "missing"]))
    assert "frames (100000 rows, 2 columns)" in page.text
    assert "99997 more rows" in page.text
    assert "ra" not in list(re.split(r"\W+", page.text))
    assert "no rows" in Page(frame_html(df.iloc[:0])).text
    assert "row" in Page(frame_html(pd.DataFrame())).text


def test_frame_with_pandas_missing_values():
    df = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", None]), "i": pd.array([1, None], dtype="Int64"), "b": [True, False]})
    assert Page(frame_html(df)).text.count("–") == 2


def test_picture_needs_words_and_a_png(png):
    with pytest.raises(ValueError, match="alt text"):
        image_tag(png, "  ")
    with pytest.raises(ValueError, match="not a PNG"):
        image_tag(b"GIF89a", "a mosaic")


def test_fallback_text_is_hidden_only_by_the_style_sheet():
    html = fragment(Markup("<p>rich</p>"), fallback="plain <text>")
    without_style = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    page = Page(without_style)
    assert "plain <text>" in page.text
    assert 'style="display:none"' in without_style, "the rich form is hidden where the style sheet is missing"
    assert ".nbm-body{display:block!important}" in html
    assert ".nbm-fallback{display:none}" in html
    assert "display:none" not in fragment("x").split("</style>")[1]


def test_style_is_scoped_and_takes_no_fixed_text_colour():
    css = re.search(r"<style>(.*?)</style>", fragment("x"), flags=re.DOTALL).group(1)
    for selector in re.findall(r"(?:^|})\s*([^{}]+){", css):
        assert selector.strip().startswith(".nbm"), selector
    for value in re.findall(r"[;{]color:([^;}]+)", css):
        assert "inherit" in value, f"fixed text colour {value} is unreadable on the other theme"


def test_report_is_one_file_with_links_that_lead_somewhere(png):
    sections = [
        Section("One", "first paragraph\n\nsecond"),
        Section("Two", image_tag(png, "a")),
        Section("Three"),
    ]
    html = html_report("demo", sections, intro="intro", footer="end")
    assert html.startswith("<!DOCTYPE html>")
    page = Page(html[len("<!DOCTYPE html>") :])
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert [f"#{i}" for i in ids] == [a["href"] for a in page.all("a")]
    assert not [a for tag in ("link", "script", "iframe") for a in page.all(tag)]
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", html)
    assert "url(" not in html
    assert "prefers-color-scheme:dark" in html
    assert page.all("html")[0]["lang"] == "en"
    assert html.count("<p>") == 4
    assert not Page(html_report("t", sections[:2])[15:]).all("nav")
