"""Single calls of the real MontagePy, all in one process of their own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["call_montage"]

DRIVER = """
import base64, json, sys
import numpy as np
from MontagePy import main
for name, args, kwargs in json.load(open(sys.argv[1])):
    kwargs = {k: np.array(v, float) if k == "array" else v for k, v in kwargs.items()}
    answer = getattr(main, name)(*args, **kwargs)
    answer = {k: {"bytes": v.decode(errors="replace")} if isinstance(v, bytes) else v for k, v in answer.items()}
    print("ANSWER " + json.dumps(answer), flush=True)
"""


def call_montage(folder: Path, calls: Sequence[tuple[Any, ...]], timeout: float = 120) -> list[dict[str, Any]]:
    """Answers of MontagePy to ``(name, args, kwargs)``, run in `folder`; skips the test where it is not installed."""
    if importlib.util.find_spec("MontagePy") is None:
        pytest.skip("MontagePy is not installed")
    plan = folder / "montage_calls.json"
    plan.write_text(json.dumps([list(call) for call in calls], default=str))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, plan.name], cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    plan.unlink()
    answers = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    if len(answers) != len(calls):
        raise RuntimeError(f"MontagePy stopped with code {done.returncode} after {len(answers)} calls: {done.stderr[-300:]}")
    return [{k: v["bytes"].encode() if isinstance(v, dict) else v for k, v in answer.items()} for answer in answers]
