"""What Binder builds from ``binder/``: repo2docker reads these files and nothing else."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BINDER = ROOT / "binder"

if not BINDER.is_dir():
    pytest.skip("no binder folder beside the tests: an installed copy is tested", allow_module_level=True)


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_python_is_pinned_and_new_enough():
    # without a pin repo2docker takes 3.10
    found = re.fullmatch(r"python-(\d+\.\d+)", (BINDER / "runtime.txt").read_text(encoding="utf-8").strip())
    assert found
    least = re.fullmatch(r">=(\d+\.\d+)", project()["requires-python"])
    assert least
    assert version(found[1]) >= version(least[1])


def test_one_way_of_building():
    # environment.yml would switch to conda, and runtime.txt would be ignored
    assert not list(BINDER.glob("environment.y*ml"))


def test_the_project_itself_is_installed_with_the_lab():
    # with a binder folder the pyproject.toml of the root is not installed by itself
    lines = [line.split("#")[0].strip() for line in (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines()]
    assert ".[lab]" in lines
    extras = project()["optional-dependencies"]["lab"]
    for needed in ("jupyterlab", "voila"):
        assert any(item.startswith(needed) for item in extras)


def test_post_build_can_run_and_stops_at_an_error():
    script = BINDER / "postBuild"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert next(line for line in lines[1:] if line and not line.startswith("#")).startswith("set -e")
    assert "nbmosaic warmup" in lines
    assert "warmup" in (ROOT / "nbmosaic" / "cli.py").read_text(encoding="utf-8")
