"""Compiled kernels that use functions of another file are compiled anew when those change."""

from __future__ import annotations

import hashlib
import inspect

from nbmosaic.core.resampling import edge_sums, kernels, overlap_area, piece_kernels, piece_runs


def fingerprint(*functions) -> str:
    """Of the source of compiled functions."""
    return hashlib.sha1("".join(inspect.getsource(f.py_func) for f in functions).encode()).hexdigest()[:16]


def test_fingerprints_of_shared_functions() -> None:
    # numba keeps compiled kernels by the text of their own file: SHARED has to be set to the new value where one of these functions changes
    addresses = fingerprint(kernels._positions, kernels._addresses, kernels._blank_outside)
    assert addresses == piece_kernels.SHARED == piece_runs.SHARED
    overlaps = fingerprint(kernels._positions, overlap_area._overlap, overlap_area._under, overlap_area._integral)
    assert overlaps == edge_sums.SHARED
