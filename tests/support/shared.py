"""Where the reference folder is, if it is there at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_path(relative: str) -> Path:
    """Path below the reference folder (``NBMOSAIC_SHARED``, or ``../shared`` beside the project); skips the test where it is missing."""
    root = Path(os.environ.get("NBMOSAIC_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    path = root / relative
    if not path.exists():
        pytest.skip(f"reference data not here: {relative}")
    return path
