"""What ``import nbmosaic`` and ``%load_ext nbmosaic`` cost: processor time of whole processes, over that of bare ones."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="resource usage of children is of POSIX")]

SHELL = """
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
"""


def seconds(code: str) -> float:
    """User and system time of a process that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60, env={**os.environ, "PYTHONWARNINGS": ""})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def cost(code: str, bare: str) -> float:
    """What `code` costs more than `bare`: the least of five runs of each, because other processes only ever add."""
    return min(seconds(code) for _ in range(5)) - min(seconds(bare) for _ in range(5))


def test_import() -> None:
    assert cost("import nbmosaic", "pass") < 0.15


def test_load_ext() -> None:
    loaded = cost(SHELL + "shell.run_line_magic('load_ext', 'nbmosaic')\nassert 'mosaic' in shell.magics_manager.magics['cell']", SHELL)
    assert loaded < 0.2
