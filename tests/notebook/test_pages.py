"""Pages: complete, escaped, and never raising."""

import re
from html.parser import HTMLParser

import pytest
from support.toy_cell import STAGES, Frames, ToyBackend

from nbmosaic.notebook.binding import bind_cell
from nbmosaic.notebook.celloptions import CELL_SPEC
from nbmosaic.notebook.cellspec import parse_cell, parse_line
from nbmosaic.notebook.environment import info_table
from nbmosaic.notebook.help import CodePage, HelpPage, InfoTable, StageTable, example_of
from nbmosaic.notebook.plan_page import PlanPage
from nbmosaic.notebook.registry import Registry
from nbmosaic.pipeline.caching.plan import Plan, PlannedStage
from nbmosaic.pipeline.stages import STAGES as REAL

REAL_REGISTRY = Registry(REAL)
TOY = Registry(STAGES)


class Balance(HTMLParser):
    """Every tag that is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in {"br", "img", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def plan_of(steps, *notes):
    stages = tuple(PlannedStage(step=step, state="to run") for step in steps)
    return PlanPage(steps, Plan(stages=stages, notes=notes))


def check_html(html):
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return html


@pytest.mark.parametrize("spec", [*REAL_REGISTRY.values(), CELL_SPEC], ids=lambda spec: spec.name)
def test_every_stage_has_complete_help(spec):
    page = HelpPage(spec, cell=spec is CELL_SPEC)
    html = check_html(page._repr_html_())
    assert spec.summary
    for parameter in spec.parameters:
        assert parameter.help, f"{spec.name}: {parameter.name} has no help"
        assert parameter.name.upper() in repr(page) or parameter.flag in repr(page)
    assert 'scope="col"' in html
    assert "<caption>" in html


@pytest.mark.parametrize("spec", REAL_REGISTRY.values(), ids=lambda spec: spec.name)
def test_every_example_is_right(spec):
    spellings = dict(example_of(spec))
    line, _ = parse_line(spellings["cell"])
    inputs = {parameter.name: object.__new__(parameter.takes.classes[0]) for parameter in spec.inputs}
    step_of_line = bind_cell([line], REAL_REGISTRY, inputs, magic=True) if not any(p.required for p in spec.inputs) else None
    magic, _ = parse_line(spellings["line"].partition("%mosaic ")[2])
    (step,) = bind_cell([magic], REAL_REGISTRY, inputs, magic=True)
    if step_of_line is not None:
        assert (step_of_line[0].words, step_of_line[0].options) == (step.words, step.options)
    seen = []
    namespace = {"nbmosaic": type("N", (), {spec.name: staticmethod(lambda *args, **kwargs: seen.append((args, kwargs)))}), **inputs}
    exec(spellings["Python"], namespace)
    args, kwargs = seen[0]
    assert list(args) == [*step.inputs.values(), *step.words]
    assert kwargs == dict(step.options)


def test_text_from_outside_is_escaped():
    page = HelpPage(TOY["images"])
    html = check_html(page._repr_html_())
    assert "<b>markup</b>" not in html
    assert "&lt;b&gt;markup&lt;/b&gt;" in html
    assert "Files &amp; &lt;folders&gt;." in html
    code = CodePage("x = '<script>alert(1)</script>'")
    assert "<script" not in check_html(code._repr_html_())
    info = InfoTable("<b>", (("<i>", (("<u>", "<s>"),)),))
    assert not re.search(r"<(b|i|u|s)>", check_html(info._repr_html_()))
    steps = bind_cell(parse_cell("", "images '<b>' {'<i>'}").stages, TOY, {})
    plan = plan_of(steps, "<u>")
    assert not re.search(r"<(b|i|u)>", check_html(plan._repr_html_()))


def test_the_table_of_stages_has_all_stages_once():
    table = StageTable(REAL_REGISTRY)
    html = check_html(table._repr_html_())
    for spec in REAL_REGISTRY.values():
        assert html.count(f"<code>{spec.name}</code>") == 1
        assert len(re.findall(rf"^  {spec.name} ", repr(table), re.MULTILINE)) == 1
        assert spec.summary in repr(table)
    groups = {title: [spec.name for spec in specs] for title, specs in table.groups()}
    assert list(groups) == ["to the mosaic", "photometry", "files and pictures"]
    assert groups["to the mosaic"][-3:] == ["coadd", "cutout", "shrink"]
    assert "fit_image_photometry" in groups["photometry"]
    assert groups["files and pictures"] == ["read", "save", "show"]


def test_a_plan_says_where_inputs_come_from():
    body = "images a as f\nheader\nproject {f}\nproject --order {n}\noverlaps as o\nbackground {o.table}\nshow o"
    plan = plan_of(bind_cell(parse_cell("", body).stages, ToyBackend().registry, {"n": 4}))
    rows = {row[0]: row for row in plan.rows()}
    assert rows["4"][3] == "{f}, grid of line 3"
    assert rows["5"][3] == "frames of line 2, grid of line 3"
    assert rows["5"][4] == "order=n"
    assert rows["7"][3] == "{o.table}"
    assert rows["6"][-1] == "o"
    assert all(row[2] == "to run" for row in plan.rows())


def test_pages_never_raise():
    class Broken(CodePage):
        def text(self):
            raise ValueError("<b>")

        html = text

    page = Broken("x")
    assert repr(page) == "<Broken: ValueError: <b>>"
    assert "<b>" not in page._repr_html_()


def test_info_names_packages_and_limits():
    table = info_table((("jobs", "0"),))
    assert table["jobs"] == "0"
    for package in ("numpy", "astropy", "numba", "pandas"):
        assert re.match(r"\d+\.", table[package])
    assert "processors" in repr(table)
    check_html(table._repr_html_())


def test_frames_are_a_product_of_the_toys():
    assert TOY["images"].returns == (Frames,)
