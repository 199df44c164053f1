"""Signatures become stages, words become arguments, and mistakes are found before anything runs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_cell import STAGES, Frames, Grid, Pairs, Projected, background, images, project

from nbmosaic.errors import CellError
from nbmosaic.notebook.binding import bind_cell, bind_options
from nbmosaic.notebook.celloptions import CELL_SPEC
from nbmosaic.notebook.cellspec import parse_cell
from nbmosaic.notebook.registry import Registry
from nbmosaic.notebook.scope import Late
from nbmosaic.pipeline.signatures import StageSpec

REGISTRY = Registry(STAGES)
START = "images a.fits\nheader\n"


def bind(body, namespace=None, **options):
    return bind_cell(parse_cell("", body).stages, REGISTRY, namespace or {}, **options)


def options_of(line, namespace=None):
    return bind(START + line, namespace)[-1].options


def test_a_stage_is_read_from_its_function():
    spec = StageSpec.from_function(images)
    assert (spec.name, spec.summary) == ("images", "Find frames.")
    assert spec.description == "A second paragraph with <b>markup</b>."
    assert [(p.name, p.role) for p in spec.parameters] == [("paths", "words"), ("hdu", "option"), ("on_error", "option")]
    assert spec.parameters[0].help == "Files & <folders>."
    assert spec.parameters[1].takes.expects == "a whole number or a text or none"
    assert spec.parameters[2].takes.choices == ("stop", "skip")
    assert spec.returns == (Frames,)
    inputs = StageSpec.from_function(project).inputs
    assert [(p.name, p.takes.classes) for p in inputs] == [("frames", (Frames,)), ("grid", (Grid,))]


def test_classes_that_only_type_checkers_import_are_known_by_name():
    (pairs,) = StageSpec.from_function(background).inputs
    assert [cls.__name__ for cls in pairs.takes.classes] == ["Pairs", "DataFrame"]
    data_frame = type("DataFrame", (), {})
    assert pairs.takes.is_instance(data_frame())
    assert pairs.takes.is_instance(type("Sub", (data_frame,), {})())
    assert not pairs.takes.is_instance("text")


def test_general_products_do_not_flow():
    assert REGISTRY["show"].flows == ()
    assert REGISTRY["cutout"].flows == REGISTRY["cutout"].returns


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("project --method nearest", {"method": "nearest"}),
        ("project --order 5", {"order": 5}),
        ("project --order=-5", {"order": -5}),
        ("project --order -5", {"order": -5}),
        ("header --pad -0.5", {"pad": -0.5}),
        ("header --scale none", {"scale": None}),
        ("header --scale 1e-3", {"scale": 1e-3}),
        ("header --north-up", {"north_up": True}),
        ("header --no-north-up", {"north_up": False}),
        ("header --no_north_up", {"north_up": False}),
        ("header --north-up=no", {"north_up": False}),
        ("project --prior", {"prior": True}),
        ("project --no-prior", {"prior": False}),
        ("project --prior 0.5", {"prior": 0.5}),
        ("project --prior --order 2", {"prior": True, "order": 2}),
        ("project --box 3,4", {"box": (3, 4)}),
        ("project --pairs 0:3,4:5", {"pairs": [(0, 3), (4, 5)]}),
        ("project --names a,b", {"names": ("a", "b")}),
        ("project --names a", {"names": ("a",)}),
        ("project --folder x/y", {"folder": Path("x/y")}),
        ("images b --hdu SCI", {"hdu": "SCI"}),
        ("images b --hdu 2", {"hdu": 2}),
        ("images b --hdu=", {"hdu": ""}),
    ],
)
def test_words_become_values(line, expected):
    options = options_of(line)
    assert dict(options) == expected
    assert {name: type(value) for name, value in options.items()} == {name: type(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("line", "namespace", "expected"),
    [
        ("project --order {n}", {"n": 4}, {"order": 4}),
        ("project --order {n}", {"n": np.int16(4)}, {"order": 4}),
        ("project --order {n}{n}", {"n": 4}, {"order": 44}),
        ("header --scale {s}", {"s": 2}, {"scale": 2}),
        ("header --scale {s}", {"s": None}, {"scale": None}),
        ("header --north-up={flag}", {"flag": False}, {"north_up": False}),
        ("project --method {m}", {"m": "nearest"}, {"method": "nearest"}),
        ("project --box {b}", {"b": [1, 2]}, {"box": (1, 2)}),
        ("project --names {n}", {"n": ["a", "b"]}, {"names": ("a", "b")}),
        ("project --folder {f}/x", {"f": "y"}, {"folder": Path("y/x")}),
        ("project --callback {abs}", {}, {"callback": abs}),
        ("project --order {[k for k in keep if k in keep][0]}", {"keep": [7]}, {"order": 7}),
        ("project --order {{}", {}, None),
    ],
)
def test_expressions_become_objects(line, namespace, expected):
    if expected is None:
        with pytest.raises(CellError):
            options_of(line, namespace)
    else:
        assert dict(options_of(line, namespace)) == expected


def test_objects_go_where_their_class_fits():
    frames, grid, text = Frames(), Grid(), "b.fits"
    step = bind("project {g} {f}", {"g": grid, "f": frames})[0]
    assert step.inputs == {"frames": frames, "grid": grid}
    step = bind("header {f} {t}", {"f": frames, "t": text})[0]
    assert (step.inputs, step.words) == ({"frames": frames}, (text,))
    step = bind("images {t} {[t, t]} x{t}", {"t": text})[0]
    assert step.words == (text, [text, text], "xb.fits")


def test_expressions_are_evaluated_once():
    counter = iter(range(10))
    step = bind("background {next(counter)}", {"counter": counter})[0]
    assert step.inputs == {"pairs": 0}


def test_values_that_need_an_earlier_product_wait_for_it():
    old = Pairs()
    steps = bind(START + "project\noverlaps as found\nbackground {found.table[0]}\nproject --order {found.table[1]}", {"found": old})
    late = steps[-2].inputs["pairs"]
    assert isinstance(late, Late)
    assert steps[-2].resolve({"found": Pairs()}).inputs == {"pairs": 1}
    assert steps[-1].resolve({"found": Pairs()}).options == {"order": 2}
    with pytest.raises(CellError, match="failed: AttributeError") as caught:
        steps[-1].resolve({"found": 3})
    assert caught.value.context["line"] == 7


def test_a_late_value_is_checked_when_it_is_known():
    steps = bind("images a as f\nheader --scale {f.args[0]}")
    with pytest.raises(CellError, match="--scale cannot be"):
        steps[1].resolve({"f": Frames(("x",))})


def test_the_bare_name_of_a_product_of_the_cell_is_an_object():
    steps = bind("images a as f\nshow f --kind x")
    assert steps[1].resolve({"f": Frames()}).inputs == {"product": Frames()}
    with pytest.raises(CellError, match=r"product of show cannot be \{f\}, an int: expects a ToyProduct"):
        steps[1].resolve({"f": 5})
    assert bind("show f", {"f": Frames()})[0].inputs["product"] == Frames()
    with pytest.raises(CellError, match="no place for the word 'f'"):
        bind("images a\nshow f")


def test_a_word_may_be_given_by_name():
    step = bind("images a\nheader --template t.hdr")[1]
    assert step.words == ("t.hdr",)
    step = bind(START + "project\ncoadd\ncutout --dec 3 --ra=-4.5")[-1]
    assert step.options == {"dec": 3.0}
    assert step.words == (-4.5,)


def test_defaults_go_to_stages_that_have_the_option_and_no_value():
    steps = bind("images a\nimages b --on-error stop\nheader", defaults={"on_error": "skip", "width": 3})
    assert [dict(step.options) for step in steps] == [{"on_error": "skip"}, {"on_error": "stop"}, {}]


ERRORS = [
    # body, line, column, message, hint
    ("projct", 2, 0, "there is no stage 'projct'", "did you mean project?"),
    ("xyz", 2, 0, "there is no stage 'xyz'", "stages: images, header"),
    (START + "project --methd x", 4, 8, "project has no option --methd", "did you mean --method?"),
    (START + "project --meth x", 4, 8, "project has no option --meth", "did you mean --method?"),
    (START + "project --no-ordr", 4, 8, "project has no option --no-ordr", "options: %mosaic help project"),
    (START + "header --no-north_upp", 4, 7, "header has no option --no-north-upp", "did you mean --no-north-up?"),
    (
        START + "project --method splin",
        4,
        17,
        "--method cannot be 'splin': expects one of nearest, bilinear, spline",
        "did you mean spline?",
    ),
    (START + "project --method=splin", 4, 17, "--method cannot be 'splin'", "did you mean spline?"),
    (START + "project --order three", 4, 16, "--order cannot be 'three': expects a whole number", None),
    (START + "project --order 3.5", 4, 16, "--order cannot be '3.5': expects a whole number", None),
    (START + "project --order {x}", 4, 16, "--order cannot be {x}, a float: expects a whole number", None),
    (START + "project --order {yes}", 4, 16, "--order cannot be {yes}, a bool: expects a whole number", None),
    (START + "header --pad x", 4, 13, "--pad cannot be 'x': expects a number", None),
    (START + "header --north-up=maybe", 4, 18, "--north-up cannot be 'maybe': expects yes or no", None),
    (START + "header --no-north-up=yes", 4, 21, "--no-north-up takes no value", "--north-up=yes"),
    (START + "project --box 3", 4, 14, "--box cannot be '3': expects 2 values separated by commas", None),
    (START + "project --callback abs", 4, 19, "--callback cannot be 'abs': expects a Callable as {NAME}", None),
    (START + "project --order", 4, 8, "--order needs a value", "expects a whole number"),
    (START + "project --order --jobs 2", 4, 8, "--order needs a value", "expects a whole number"),
    (START + "header --pad 1 --pad=2", 4, 15, "--pad is given twice", "keep one"),
    (START + "header --north-up --no-north-up", 4, 18, "--north-up is given twice", "keep one"),
    (START + "project spline", 4, 8, "project has no place for the word 'spline'", "options only"),
    (START + "project method spline", 4, 8, "project has no place for the word 'method'", "did you mean --method?"),
    (START + "project x", 4, 8, "project has no place for the word 'x'", "{x}"),
    (START + "project -order 3", 4, 8, "options begin with two dashes: --order", "quote"),
    (START + "header a b", 4, 9, "header has no place for the word 'b'", "TEMPLATE"),
    (START + "project {x}", 4, 8, "frames of project cannot be {x}, a float: expects Frames as {NAME}", None),
    (START + "project --order {nope}", 4, 16, "the name 'nope' is not defined", "braces"),
    (START + "project --order {tabel}", 4, 16, "the name 'tabel' is not defined", "did you mean table?"),
    (START + "project --order {1/0}", 4, 16, "{1/0} failed: ZeroDivisionError: division by zero", None),
    (START + "project --order {table.x}", 4, 16, "{table.x} failed: AttributeError", None),
    (START + "project \\\n   --order \\\n  three", 6, 2, "--order cannot be 'three'", None),
    ("background", 2, 0, "background needs Pairs", "add a line `overlaps` before it"),
    ("images a\noverlaps", 3, 0, "overlaps needs Projected", "add a line `project` before it"),
    (START + "background\nproject\noverlaps", 4, 0, "background needs Pairs", "move the line `overlaps` up"),
    ("save x.fits", 2, 0, "save needs a product", "save {NAME}"),
    ("images a\nsave", 3, 0, "save needs PATH", "expects a text"),
    ("images a as f\nproject {f} {f}", 3, 12, "project has no place for the word '{f}'", "Grid"),
    ("cutout 3 x", 2, 9, "dec of cutout cannot be 'x': expects a number", None),
]


@pytest.mark.parametrize(("body", "line", "column", "message", "hint"), ERRORS)
def test_mistakes_are_one_line_with_a_place_and_a_way_out(body, line, column, message, hint):
    with pytest.raises(CellError) as caught:
        bind(body, {"x": 3.5, "yes": True, "table": [1]})
    error = caught.value
    assert message in error.message
    assert "\n" not in error.message
    assert (error.context["line"], error.context["column"]) == (line, column)
    assert error.context["text"] == ["%%mosaic", *body.split("\n")][line - 1]
    if hint is None:
        assert error.hint is None
    else:
        assert hint in error.hint


def test_nothing_flows_into_a_line_magic():
    with pytest.raises(CellError) as caught:
        bind("project", magic=True)
    assert "%mosaic project {NAME}" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ("m --jbos 2", "%%mosaic has no option --jbos", 11),
        ("m --jobs two", "--jobs cannot be 'two'", 18),
        ("m --show all", "--show cannot be 'all'", 18),
        ("m --detatch", "%%mosaic has no option --detatch", 11),
        ("m --detach=3", "--detach cannot be '3'", 20),
        ("m --from", "--from needs a value", 11),
        ("m n", "%%mosaic takes one NAME, not also 'n'", 11),
        ("--jobs 2 m", "%%mosaic takes one NAME, not also 'm'", 18),
    ],
)
def test_mistakes_of_the_first_line(line, message, column):
    cell = parse_cell(line, "images a")
    with pytest.raises(CellError) as caught:
        bind_options(cell.options, CELL_SPEC, cell.place, {})
    assert message in caught.value.message
    assert (caught.value.context["line"], caught.value.context["column"]) == (1, column)


def test_options_of_the_first_line():
    cell = parse_cell("m --jobs -1 --plan --show none --on-error=skip --progress {kind}", "images a")
    options = bind_options(cell.options, CELL_SPEC, cell.place, {"kind": "off"})
    assert options == {"jobs": -1, "plan": True, "show": "none", "on_error": "skip", "progress": "off"}


pieces = st.sampled_from(
    [
        "images",
        "header",
        "project",
        "overlaps",
        "show",
        "a",
        "--hdu",
        "--order",
        "--order=x",
        "--no-north-up",
        "--prior",
        "--box",
        "--names=",
        "3",
        "1,2",
        "{n}",
        "{keep}",
        "{frames}",
        "{missing}",
        "{1/0}",
        "x{n}y",
        "as f",
        "{f}",
        "f",
        "-x",
        "none",
        "''",
        "{next(it)}",
        "{f.args}",
        "--",
        ";",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(pieces, min_size=1, max_size=6).map(" ".join), max_size=5).map("\n".join))
def test_nothing_but_cell_errors_comes_out_of_binding(body):
    namespace = {"n": 3, "keep": [1, 2], "frames": Frames(), "it": iter(())}
    try:
        steps = bind(body, namespace)
    except CellError as caught:
        error = caught
    else:
        assert all(step.stage in REGISTRY for step in steps)
        return
    assert error.context["text"] == ["%%mosaic ", *body.split("\n")][error.context["line"] - 1]
    assert 0 <= error.context["column"] <= len(error.context["text"])


def test_types_that_flow_are_found_by_class():
    steps = bind(START + "project as p\noverlaps\nbackground\ncoadd {p}")
    assert steps[-1].inputs.keys() == {"projected"}
    assert steps[-1].resolve({"p": Projected()}).inputs == {"projected": Projected()}
