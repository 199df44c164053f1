"""Pixel maps made by hand, without any WCS."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.types.box import PixelBox


def affine_map(box: PixelBox, matrix, shift, *, offset=0.0, table=False, cuts=()) -> PixelMap:
    """Map ``(u, v) = matrix @ (x, y) + shift`` of lattice positions over `box`, as one cubic or as tables cut at the columns `cuts`."""
    matrix = np.asarray(matrix, float)
    y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax] + offset
    u = matrix[0, 0] * x + matrix[0, 1] * y + shift[0]
    v = matrix[1, 0] * x + matrix[1, 1] * y + shift[1]
    if table:
        edges = [box.xmin, *cuts, box.xmax]
        patches = []
        for x0, x1 in pairwise(edges):
            part = (slice(None), slice(x0 - box.xmin, x1 - box.xmin))
            patches.append(MapPatch(box=PixelBox(box.ymin, box.ymax, x0, x1), table_u=u[part].copy(), table_v=v[part].copy()))
        return PixelMap(box=box, offset=offset, patches=tuple(patches), error_pix=0.0)
    coefficients = []
    for values in (u, v):
        c = np.zeros((4, 4))
        c[0, 0] = values.mean()
        c[0, 1] = (values[0, -1] - values[0, 0]) / 2
        c[1, 0] = (values[-1, 0] - values[0, 0]) / 2
        coefficients.append(c)
    patch = MapPatch(box=box, cu=coefficients[0], cv=coefficients[1])
    return PixelMap(box=box, offset=offset, patches=(patch,), error_pix=0.0)


def rotation(degrees: float, scale: float = 1.0) -> np.ndarray:
    """Matrix that rotates by an angle and multiplies by a scale (input pixels per output pixel)."""
    angle = np.deg2rad(degrees)
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def corner_map(forward_matrix, forward_shift, in_shape) -> PixelMap:
    """Map of a frame's pixel corners to the grid: the inverse of an affine map of the grid to the frame."""
    inverse = np.linalg.inv(np.asarray(forward_matrix, float))
    corners = PixelBox(0, in_shape[0] + 1, 0, in_shape[1] + 1)
    return affine_map(corners, inverse, -inverse @ np.asarray(forward_shift, float), offset=-0.5)


def frame_maps(out_shape, in_shape, matrix, nudge=(0.0, 0.0)) -> tuple[PixelMap, PixelMap]:
    """Affine maps forward and of the corners backward, middle of the grid to middle of the frame plus `nudge`."""
    matrix = np.asarray(matrix, float)
    middle_out = np.array([(out_shape[1] - 1) / 2, (out_shape[0] - 1) / 2])
    shift = np.array([(in_shape[1] - 1) / 2, (in_shape[0] - 1) / 2]) + nudge - matrix @ middle_out
    return affine_map(PixelBox.of_shape(out_shape), matrix, shift), corner_map(matrix, shift, in_shape)


def positions(forward: PixelMap) -> tuple[np.ndarray, np.ndarray]:
    """Frame positions ``(u, v)`` of all pixels of a map's box."""
    y, x = np.mgrid[forward.box.ymin : forward.box.ymax, forward.box.xmin : forward.box.xmax]
    v, u = forward.evaluate(y, x)
    return u, v
