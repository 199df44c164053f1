"""Exact resampling where the map is smooth: output pixels as parallelograms on the frame, each cut by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.resampling.areas import AreaRun
from nbmosaic.core.resampling.points import Planes, Source
from nbmosaic.core.resampling.segments import Segment, covers, read_only
from nbmosaic.core.resampling.workspace import Workspace

__all__ = ["can_be_cut", "project_cut"]

_CURVATURE = 1e-5
"""Largest second derivative of the map, in frame pixels per output pixel squared.

The corners of an output pixel are then within 1e-5 pixel of those of the parallelogram, and values right to 1e-5 of the differences between pixels.
Maps between tangent planes have 1e-7, the distortion of wide-field cameras 1e-6 to 1e-5.
"""

_MESH = 9


def can_be_cut(segments: Sequence[Segment]) -> bool:
    """Whether every output pixel is nearly a parallelogram that reaches at most one pixel beyond the one that holds its centre."""
    return bool(segments) and all(_smooth(segment) for segment in segments)


def _smooth(segment: Segment) -> bool:
    ny, nx = segment.box.shape
    if segment.table or min(ny, nx) < 2:
        return False
    rows = np.unique(np.linspace(0, ny - 1, min(_MESH, ny)).astype(np.int64))
    columns = np.unique(np.linspace(0, nx - 1, min(_MESH, nx)).astype(np.int64))
    u_x, u_y, v_x, v_y = found = segment.derivatives(rows, columns)
    if not np.isfinite(found).all() or max((np.abs(u_x) + np.abs(u_y)).max(), (np.abs(v_x) + np.abs(v_y)).max()) > 2.0 - 1e-6:
        return False
    determinant = u_x * v_y - u_y * v_x
    bends = np.diff(found, axis=1) / np.diff(rows)[:, None], np.diff(found, axis=2) / np.diff(columns)
    curvature = max(float(np.abs(bend).max()) for bend in bends)
    size = np.abs(determinant)
    return bool((np.sign(determinant) == np.sign(determinant[0, 0])).all() and size.min() > 1e-6 and curvature <= _CURVATURE)


def _maps(segment: Segment) -> FloatArray:
    """Coefficients of positions and derivatives of each row, shape (rows, 6, degree + 1), as the kernel takes them."""
    rows, terms = segment.pu.shape
    maps = np.zeros((rows, 6, terms))
    powers = np.arange(1, terms) * segment.scale
    for k, c in enumerate((segment.pu, segment.pv)):
        maps[:, k] = c
        maps[:, 2 + k, :-1] = c[:, 1:] * powers
        maps[:, 4 + k] = np.gradient(c, axis=0, edge_order=2 if rows > 2 else 1)  # of polynomials this smooth: right to 1e-12
    found: FloatArray = read_only(maps, np.float64)
    return found


def project_cut(source: Source, segments: Sequence[Segment], shape: tuple[int, int], minimum: float, workspace: Workspace) -> Planes:
    """Resample a frame by the exact overlaps of its pixels with output pixels.

    Parameters
    ----------
    source : Source
        Planes of the frame.
    segments : sequence of Segment
        Its pixel map, for which `can_be_cut` holds, over an output image of `shape`.
    shape : tuple of int
        ``(ny, nx)`` of the output image.
    minimum : float
        Output pixels of which less is covered are blank.
    workspace : Workspace
        Where all buffers are taken from.

    Returns
    -------
    Planes
        Views into the workspace, with an area plane.
    """
    from nbmosaic.core.resampling.cut_kernels import cut_area

    run = AreaRun(source, shape, 1, workspace)
    if not covers(segments, shape):
        run.clear()
    good, solid = read_only(run.good, np.uint8), read_only(run.solid, np.uint8)
    for segment in segments:
        maps, box = _maps(segment), segment.box
        for image, out, squared in run.jobs:
            cut_area(image, good, solid, run.pad, squared, minimum, run.area, maps, segment.scale, box.shape[1], out, box.ymin, box.xmin)
    if run.planes.weight is not None:
        np.nan_to_num(run.planes.weight, copy=False)
    return run.planes
