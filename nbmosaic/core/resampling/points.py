"""Resampling at points: nearest, bilinear, cubic spline, Lanczos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbmosaic._types import AnyArray, Float32Array, FloatArray
from nbmosaic.core.resampling.segments import Segment, covers, interpolation_window, nearest_window, read_only
from nbmosaic.core.resampling.taps import interpolation_taps, squared_taps
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.types.frame import FramePixels

__all__ = ["MINIMUM_COVERAGE", "Planes", "Source", "blank_planes", "project_points", "source_planes"]

MINIMUM_COVERAGE = 0.5
"""Pixels with a smaller bilinear weight of good pixels are blank: more than half of such a value would be filling."""

_PAD = 4  # the widest kernel reads 4 pixels beyond a position


@dataclass(slots=True, eq=False, kw_only=True)
class Planes:
    """Planes of a projected frame while they are being made."""

    data: Float32Array
    area: Float32Array | None = None
    weight: Float32Array | None = None
    variance: Float32Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Planes of a frame as the kernels take them: read-only; those that are missing have no elements."""

    data: Float32Array
    mask: AnyArray
    weight: Float32Array
    variance: Float32Array

    @property
    def tests(self) -> tuple[AnyArray, ...]:
        """What decides on bad pixels, as the kernels of `fill` take it."""
        return (self.data.view(np.uint32), self.mask, self.weight, self.variance)

    def copy_count(self, pad: int, out: Float32Array) -> int:
        """Copy the data into the padded `out` (none if that has no elements); count the bad pixels."""
        from nbmosaic.core.resampling import fill

        return int(fill.copy_count(*self.tests, pad, out.view(np.uint32)))


def source_planes(pixels: FramePixels) -> Source:
    """Planes of a frame as the kernels take them."""

    def plane(array: AnyArray | None, dtype: type[Any]) -> Any:
        return read_only(np.empty((0, 0), dtype) if array is None else array, dtype)

    return Source(
        plane(pixels.data, np.float32), plane(pixels.mask, np.bool_), plane(pixels.weight, np.float32), plane(pixels.variance, np.float32)
    )


def blank_planes(shape: tuple[int, int], source: Source, workspace: Workspace) -> Planes:
    """Planes with no valid pixel."""
    planes = Planes(data=workspace.array("data", shape, np.float32))
    planes.data.fill(np.nan)
    if source.weight.size:
        planes.weight = workspace.array("weight", shape, np.float32)
        planes.weight.fill(0)
    if source.variance.size:
        planes.variance = workspace.array("variance", shape, np.float32)
        planes.variance.fill(np.nan)
    return planes


class _Run:
    """One frame on its way through the kernels of one method."""

    def __init__(self, source: Source, segments: Sequence[Segment], shape: tuple[int, int], method: str, workspace: Workspace) -> None:
        self.source = source
        self.segments = segments
        self.shape = shape
        self.method = method
        self.workspace = workspace
        self.frame_shape = source.data.shape
        # bilinear reads a frame without bad pixels where it is
        self.direct = method == "bilinear" and min(self.frame_shape) > 1

    def padded(self, name: str, dtype: type[Any]) -> Any:
        """Buffer of the frame's shape with padding round it."""
        ny, nx = self.frame_shape
        return self.workspace.array(name, (ny + 2 * _PAD, nx + 2 * _PAD), dtype)

    def window(self, pad: int) -> FloatArray:
        make = nearest_window if self.method == "nearest" else interpolation_window
        return make((self.frame_shape[0], self.frame_shape[1]), pad)

    def gather(
        self, name: str, kernel: Callable[..., None], image: AnyArray, *tables: Any, pad: int = _PAD, blank: float = np.nan
    ) -> Float32Array:
        """Run a kernel over all segments into the output plane `name`."""
        out: Float32Array = self.workspace.array(name, self.shape, np.float32)
        if not covers(self.segments, self.shape):
            out.fill(blank)
        window = read_only(self.window(pad), np.float64)
        image = read_only(image, image.dtype.type)
        for segment in self.segments:
            kernel(image, *tables, *segment.arguments(window, out))
        return out

    def gather_data(self, image: Float32Array, pad: int = _PAD) -> Float32Array:
        from nbmosaic.core.resampling import kernels

        if self.method == "nearest":
            return self.gather("data", kernels.nearest, image)
        if self.method == "bilinear":
            return self.gather("data", kernels.linear, image, pad=pad)
        if self.method == "spline":
            return self.gather("data", kernels.taps4, image, interpolation_taps("spline"))
        return self.gather("data", kernels.taps8, image, interpolation_taps("lanczos3"), 6)

    def plane(self, values: Float32Array, good: AnyArray | None, *, filled: bool) -> Float32Array:
        """Padded copy of a weight or variance plane whose bad pixels are filled or set to 0 (nearest: NaN)."""
        from nbmosaic.core.resampling import fill

        image: Float32Array = self.padded("plane", np.float32)
        image[_PAD:-_PAD, _PAD:-_PAD] = values
        if good is not None:
            self.mend(image, good, filled=filled)
        fill.extend_edges(image, _PAD, 0)
        return image

    def mend(self, image: Float32Array, good: AnyArray, *, filled: bool) -> None:
        """Take what bad pixels hold out of a padded image."""
        from nbmosaic.core.resampling import fill

        if self.method == "nearest":
            np.copyto(image, np.nan, where=good == 0)
        elif filled:
            fill.fill_bad(image, good, _PAD, self.workspace.array("scratch", self.frame_shape, np.float32).reshape(-1))
        else:
            fill.zero_bad(image, good)


def project_points(pixels: FramePixels, segments: Sequence[Segment], shape: tuple[int, int], method: str, workspace: Workspace) -> Planes:
    """Resample a frame by a point-sampled kernel.

    Parameters
    ----------
    pixels : FramePixels
        The frame.
    segments : sequence of Segment
        Its pixel map, over an output image of `shape`.
    shape : tuple of int
        ``(ny, nx)`` of the output image.
    method : str
        One of `nbmosaic.core.resampling.taps.POINT_METHODS`.
    workspace : Workspace
        Where all buffers are taken from.

    Returns
    -------
    Planes
        Views into the workspace.
    """
    from nbmosaic.core.resampling import fill

    source = source_planes(pixels)
    run = _Run(source, segments, shape, method, workspace)
    image = np.empty((0, 0), np.float32) if run.direct else run.padded("image", np.float32)
    n_bad = source.copy_count(_PAD, image)
    if n_bad == source.data.size:
        return blank_planes(shape, source, workspace)
    if n_bad == 0 and run.direct:
        planes = Planes(data=run.gather_data(source.data, pad=0))
        return _add_planes(run, planes, None)
    good: AnyArray | None = None
    if n_bad:
        if run.direct:
            image = run.padded("image", np.float32)
            source.copy_count(_PAD, image)
        good = run.padded("good", np.uint8)
        fill.mark_good(*source.tests, _PAD, good)
        run.mend(image, good, filled=method != "bilinear")
    if method == "spline":
        from nbmosaic.core.resampling.prefilter import prefilter

        prefilter(image, _PAD)
    fill.extend_edges(image, _PAD, 1)
    return _add_planes(run, Planes(data=run.gather_data(image)), good)


def _add_planes(run: _Run, planes: Planes, good: AnyArray | None) -> Planes:
    """Add area, weight and variance to the data, and blank what has too little good input."""
    from nbmosaic.core.resampling import fill, kernels

    method, source = run.method, run.source
    if source.weight.size:
        image = run.plane(source.weight, good, filled=False)
        planes.weight = run.gather("weight", kernels.nearest if method == "nearest" else kernels.linear, image)
    if source.variance.size:
        image = run.plane(source.variance, good, filled=method != "bilinear")
        if method == "nearest":
            planes.variance = run.gather("variance", kernels.nearest, image)
        else:
            planes.variance = run.gather("variance", kernels.taps8, image, *squared_taps(method))
    if good is None:
        if planes.weight is not None:
            np.nan_to_num(planes.weight, copy=False)
        return planes
    if method == "nearest":
        planes.area = run.workspace.array("area", run.shape, np.float32)
        np.isfinite(planes.data, out=planes.area, casting="unsafe")
    else:
        planes.area = run.gather("area", kernels.coverage, good, blank=0.0)
    empty = np.empty((0, 0), np.float32)
    weight = empty if planes.weight is None else planes.weight
    variance = empty if planes.variance is None else planes.variance
    fill.blank(planes.data, planes.area, weight, variance, MINIMUM_COVERAGE, int(method == "bilinear"))
    return planes
