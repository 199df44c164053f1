"""What Binder builds from ``binder/``: repo2docker reads these files and nothing else."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

import nbmosaic.cli

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
    assert "export NUMBA_CPU_NAME=generic" in lines
    assert "warmup" in Path(nbmosaic.cli.__file__).read_text(encoding="utf-8")


def test_the_server_finds_the_kernels_that_were_compiled():
    # kernels are kept by processor: those of the machine that built the image are found only if both are compiled for any
    script = BINDER / "start"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "export NUMBA_CPU_NAME=generic" in lines
    assert lines[-1] == 'exec "$@"', "repo2docker hands the server's command to this script"


def test_repo2docker_builds_it_with_python():
    """What repo2docker itself makes of the folder, where it is installed."""
    packs = pytest.importorskip("repo2docker.buildpacks", reason="repo2docker is not installed")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        chosen = packs.PythonBuildPack(base_image="buildpack-deps:noble")
        chosen.platform = "linux/amd64"
        assert chosen.detect()
        assert not packs.CondaBuildPack(base_image="buildpack-deps:noble").detect()
        assert chosen.python_version == (BINDER / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
        text = chosen.render({"NB_UID": "1000"})
    finally:
        os.chdir(before)
    assert '-r "binder/requirements.txt"' in text
    assert text.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/") < text.index("pip install --no-cache-dir -r"), (
        "the project is there first"
    )
    assert "RUN ./binder/postBuild" in text
    assert 'R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in text


def test_links_of_the_readme_lead_to_notebooks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\((notebooks/[\w.-]+\.ipynb)\)", text))
    assert linked == {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
