"""The house: which layer may import which, what stays lazy, how large things may grow."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import nbmosaic

PACKAGE = Path(nbmosaic.__file__).parent
LEAVES = {"errors", "_types"}
ALLOWED = {
    "errors": set(),
    "_types": set(),
    "types": LEAVES,
    "core": {"types", *LEAVES},
    "io": {"types", *LEAVES},
    "views": {"types", *LEAVES},
    "pipeline": {"core", "io", "views", "types", *LEAVES},
    "compat": {"pipeline", "core", "io", "types", *LEAVES},
    "notebook": {"pipeline", "views", "types", *LEAVES},
    "cli": {"pipeline", "views", "compat", *LEAVES},
    "__main__": {"cli"},
}
BANNED = {
    "core": {
        "os",
        "pathlib",
        "logging",
        "matplotlib",
        "IPython",
        "ipywidgets",
        "traitlets",
        "dask",
        "distributed",
        "pandas",
        "astropy.io",
        "io",
    },
    "types": {"matplotlib", "IPython", "ipywidgets", "pandas", "numba", "scipy", "astropy.io"},
    "io": {"matplotlib", "IPython", "ipywidgets", "numba", "scipy"},
    "views": {"IPython", "ipywidgets", "traitlets", "numba", "matplotlib.pyplot"},
    "pipeline": {"IPython", "ipywidgets", "traitlets", "matplotlib.pyplot", "dask", "distributed"},
}
LAZY = ("IPython", "ipywidgets", "matplotlib", "lmfit", "numba", "dask", "pandas", "astropy", "scipy")

MODULES = sorted(PACKAGE.rglob("*.py"))
assert len(MODULES) > 100


def layer_of(path: Path) -> str:
    """First part of the module's name below the package (the root itself is '')."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


@cache
def parsed(path: Path) -> ast.Module:
    """Tree of a file, once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


def type_checking_only(tree: ast.Module) -> set[int]:
    """Ids of the nodes below ``if TYPE_CHECKING``."""
    hidden = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            hidden |= {id(child) for child in ast.walk(node)}
    return hidden


@cache
def imported(path: Path) -> list[tuple[str, int]]:
    """Absolute names of all modules that a file imports, wherever in the file."""
    tree = parsed(path)
    hidden = type_checking_only(tree)
    names = []
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append((node.module or "", node.lineno))
            names += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return names


def test_imports_point_one_way() -> None:
    wrong = []
    for path in MODULES:
        layer = layer_of(path)
        for name, line in imported(path):
            if name.startswith("nbmosaic."):
                other = name.split(".")[1]
                known = other in ALLOWED
                if layer and known and other != layer and other not in ALLOWED[layer]:
                    wrong.append(f"{path}:{line}: {layer} imports {other}")
            for banned in BANNED.get(layer, ()):
                if name == banned or name.startswith(banned + "."):
                    wrong.append(f"{path}:{line}: {layer} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_only_geometry_knows_world_coordinates() -> None:
    for path in (PACKAGE / "core").rglob("*.py"):
        if path.parent.name == "geometry":
            continue
        assert not [name for name, _ in imported(path) if name.startswith("astropy")], path


def test_sizes() -> None:
    wrong = []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > 450:
            wrong.append(f"{path} has {lines} lines")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None
                first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
                body = (node.end_lineno or 0) - first.lineno + 1
                if body > 80:
                    wrong.append(f"{path}: {node.name} has {body} lines")
    assert not wrong, "\n".join(wrong)


def test_docstring_and_all_are_there() -> None:
    # their order is held by the linter (RUF022)
    wrong = []
    for path in MODULES:
        tree = parsed(path)
        if not ast.get_docstring(tree) and path.name != "__init__.py":
            wrong.append(f"{path} has no docstring")
        exported = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        ]
        if path.name not in {"__init__.py", "__main__.py"} and not exported:
            wrong.append(f"{path} has no __all__")
    assert not wrong, "\n".join(wrong)


def test_public_names_exist_and_are_documented() -> None:
    for name in nbmosaic.__all__:
        thing = getattr(nbmosaic, name)
        assert (thing.__doc__ or "").strip(), name
    assert set(nbmosaic.__all__) <= set(dir(nbmosaic))


def loaded_after(code: str) -> set[str]:
    """Top-level modules loaded after `code` ran in a fresh interpreter."""
    script = f"{code}\nimport json, sys; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_light() -> None:
    assert not loaded_after("import nbmosaic") & {*LAZY, "numpy"}


def test_extension_is_light() -> None:
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'nbmosaic')"
    )
    assert not loaded_after(code) & {"matplotlib", "ipywidgets", "lmfit", "numba", "dask", "pandas", "astropy", "scipy"}
