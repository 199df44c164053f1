from __future__ import annotations

import concurrent.futures
import multiprocessing

import pytest

import nbmosaic
from nbmosaic.core.simulation import Detector
from nbmosaic.pipeline.simulation.frames import simulate_frames


@pytest.fixture(scope="session")
def field(tmp_path_factory):
    """Six frames of different projections with backgrounds, a bad column and cosmic rays in each.

    Together they and their mosaic are larger than 1 MB, the smallest memory budget.
    """
    return simulate_frames(tmp_path_factory.mktemp("field"), n_frames=6, size=(200, 240), seed=11, overlap=0.3)


@pytest.fixture(scope="session")
def clean_field(tmp_path_factory):
    """The same without defects."""
    detector = Detector(noise=1.0, cosmic_rays=0, bad_columns=0)
    return simulate_frames(tmp_path_factory.mktemp("clean"), n_frames=6, size=(60, 72), seed=11, overlap=0.3, detector=detector)


@pytest.fixture(scope="session")
def done(field):
    """One finished run, not to be changed."""
    return nbmosaic.mosaic(field.folder, jobs=1)


@pytest.fixture(scope="session")
def pool():
    """A process pool of two workers, kept for all tests because starting one takes seconds."""
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        yield pool
