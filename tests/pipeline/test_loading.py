"""Loading of kernels leaves the garbage collector as it was."""

from __future__ import annotations

import gc

import pytest

from nbmosaic.pipeline.loading import load_kernels


@pytest.mark.parametrize("collecting", [True, False])
def test_collector_is_as_before(collecting: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        load_kernels.cache_clear()
        load_kernels()
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if was else gc.disable)()
