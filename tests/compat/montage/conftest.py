"""One run of the real Montage that several tests compare with."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from support.montage import MontageRun, run_montage
from support.shared import shared_path


@pytest.fixture(scope="session")
def montage_chain(tmp_path_factory: pytest.TempPathFactory) -> MontageRun:
    """MontagePy's answer to the golden frames, all files in double precision."""
    golden = shared_path("golden/montage")
    return run_montage(sorted((golden / "raw").glob("*.fits.gz")), golden / "mosaic.hdr", tmp_path_factory.mktemp("montage"))


@pytest.fixture(scope="session")
def golden_projected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Montage's own projected golden frames (float32 copies), unpacked."""
    folder = tmp_path_factory.mktemp("projected")
    for file in shared_path("golden/montage/proj_full").glob("*.fits.gz"):
        with gzip.open(file) as packed, (folder / file.name.removesuffix(".gz")).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    return folder
