"""The Python code of a cell makes the very calls that the cell makes."""

import ast
import types

import pytest
from support import toy_cell

from nbmosaic.notebook.binding import bind_cell
from nbmosaic.notebook.cellspec import parse_cell
from nbmosaic.notebook.how import How
from nbmosaic.pipeline.code import python_code
from nbmosaic.pipeline.execution import NoProgress
from nbmosaic.pipeline.recipe import Recipe

NAMESPACE = {"raw": "C:\\data", "n": 4, "keep": ["a", "b"], "frames": 7, "quote": "it's {x}", "fun": abs, "d": {"k": {"j": 2}}}


@pytest.fixture(autouse=True)
def _no_calls():
    toy_cell.CALLS.clear()
    yield
    toy_cell.CALLS.clear()


def to_python(steps, package="nbmosaic"):
    return python_code(Recipe(steps=steps), package=package, spec_of=lambda step: step.spec)


def calls_of_cell(body):
    backend = toy_cell.ToyBackend()
    steps = bind_cell(parse_cell("", body).stages, backend.registry, NAMESPACE)
    run = backend.run(Recipe(steps=steps), how=How(progress=NoProgress()))
    calls = list(toy_cell.CALLS)
    toy_cell.CALLS.clear()
    return steps, calls, run


def calls_of_code(code):
    package = types.ModuleType("toys")
    for function in toy_cell.STAGES:
        setattr(package, function.__name__, function)
    names = dict(NAMESPACE)
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.Import) and node.names[0].name == "toys")]
    exec(compile(tree, "<code>", "exec"), names | {"toys": package}, names)
    calls = list(toy_cell.CALLS)
    toy_cell.CALLS.clear()
    return calls, names


CELLS = [
    "images a.fits",
    "images 'a b.fits' {raw}\\*.fits {keep} --hdu SCI\nheader --scale 1.5 --no-north-up\nproject",
    "images a\nheader t.hdr --pad=-0.5\nproject --method nearest --order {n+1}\noverlaps\nbackground --no-slope\ncoadd",
    "images a as frames\nheader as g\nproject {g} {frames}\noverlaps as o\nbackground {o.table[1:]} as b\ncoadd --combine m{n}\nsave 'it''s' --overwrite",
    "images a\nheader\nproject --box 3,4 --pairs 0:3,4:5 --names a,b --folder x/y --callback {fun} --prior 0.5\nproject --box none --names a",
    "images a\nheader --scale nan\nproject\noverlaps\nshow --kind {quote}\nshow --kind 'x{n}{{y}}\"z'",
    "images a\nheader\nproject\noverlaps\nbackground\ncoadd\ncutout 1 2\ncutout --dec 3 --ra 2\nsave x",
    "images {d['k']['j']}_{n}.fits {keep[0]}x\nheader --scale {n}{n}\nheader --template x{n}",
    "images a\nheader\nproject\nproject --order {n} as second\noverlaps\nbackground\ncoadd {second}",
    "images a\nheader\nproject\noverlaps as frames_2\nbackground {frames_2}\nshow frames_2",
    "images a as f\nheader --scale {f.kwargs['hdu']}\nproject {f} --order {len(f.args)}{n}",
]


@pytest.mark.parametrize("body", CELLS)
def test_code_makes_the_same_calls(body):
    steps, expected, run = calls_of_cell(body)
    code = to_python(steps, package="toys")
    made, names = calls_of_code(code)
    assert repr(made) == repr(expected)  # nan is not equal to itself
    for name, product in run.named.items():
        assert names[name] == product


def test_code_is_what_one_would_write():
    steps, _, _ = calls_of_cell("images {raw}/*.fits --hdu 1\nheader\nproject --method nearest as p\nshow p")
    assert to_python(steps) == (
        "import nbmosaic\n\n"
        "frames = nbmosaic.images(f'{raw}/*.fits', hdu=1)\n"
        "grid = nbmosaic.header(frames)\n"
        "p = nbmosaic.project(frames, grid, method='nearest')\n"
        "nbmosaic.show(p)\n"
    )


def test_variables_of_the_user_that_the_code_needs_are_not_overwritten():
    steps, _, _ = calls_of_cell("images {frames}\nheader\nproject --order {frames}")
    assert "frames_2 = nbmosaic.images(frames)" in to_python(steps)
