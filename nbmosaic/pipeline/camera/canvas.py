"""The image of an exposure as its pieces come: in memory, or in scratch files, a band of rows at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, Float32Array, IntArray
from nbmosaic.types import PixelBox, ProjectedFrame, ProjectedInfo

if TYPE_CHECKING:
    from nbmosaic.core.camera_canvas import CanvasRows

__all__ = ["Canvas", "FileRows", "MemoryRows", "PlanesDifferError", "can_merge"]

BAND_PIXELS = 1 << 18
"""Pixels of the rows that are worked on together: 1.3 MB stay near the processor."""
_OPTIONAL = ("weight", "variance")


class PlanesDifferError(Exception):
    """A piece has other planes than the first one."""


def can_merge(boxes: Sequence[PixelBox]) -> bool:
    """Whether pieces may be merged one by one: not more than 31 overlap."""
    from nbmosaic.core.camera_canvas import DEEPEST

    met = [0] * len(boxes)
    for (i, one), (j, two) in combinations(enumerate(boxes), 2):
        if not one.intersection(two).empty:
            met[i] += 1
            met[j] += 1
    return max(met, default=0) < DEEPEST


class MemoryRows:
    """Rows of an image in arrays, which are zero at first."""

    def __init__(self, planes: dict[str, Float32Array], mask: AnyArray) -> None:
        self._arrays = {**planes, "state": mask}

    @contextmanager
    def rows(self, first: int, last: int) -> Iterator[CanvasRows]:
        """Rows to change."""
        from nbmosaic.core.camera_canvas import CanvasRows

        yield CanvasRows(**{name: array[first:last] for name, array in self._arrays.items()})

    @contextmanager
    def part(self, first: int, last: int, left: int, width: int, *, fresh: bool) -> Iterator[tuple[CanvasRows, int]]:  # noqa: ARG002
        """Rows to change from a column on, and that column; `fresh` where nothing is there yet."""
        with self.rows(first, last) as rows:
            yield rows, left


class FileRows:
    """Rows of an image in a file of float32 planes, one after the other, and one of uint8, the mask; zero at first.

    Reads and writes, no maps of the files: for 8 pieces of 2048 x 4096 pixels maps took 180 000 page faults and 0.3 s more, and count as memory.

    Parameters
    ----------
    image, mask : Path
        Files to make.
    shape : tuple of int
        ``(ny, nx)``.
    planes : tuple of str
        Planes of `image`.
    failed : callable
        Makes the exception for a file that cannot be written.
    """

    def __init__(
        self, image: Path, mask: Path, shape: tuple[int, int], planes: tuple[str, ...], failed: Callable[[Path, OSError], Exception]
    ) -> None:
        self._shape, self._failed = shape, failed
        size = shape[0] * shape[1]
        self._places: dict[str, tuple[Path, int, np.dtype[Any]]] = {
            name: (image, number * size * 4, np.dtype(np.float32)) for number, name in enumerate(planes)
        }
        self._places["state"] = (mask, 0, np.dtype(np.uint8))
        self._buffers: dict[str, AnyArray] = {}
        self._streams = {}
        for path, n_bytes in ((image, 4 * len(planes)), (mask, 1)):
            try:
                self._streams[path] = path.open("w+b", buffering=0)
                self._streams[path].truncate(n_bytes * size)
            except OSError as error:
                raise failed(path, error) from error

    def _buffer(self, name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> AnyArray:
        size = shape[0] * shape[1]
        held = self._buffers.get(name)
        if held is None or held.size < size:
            held = self._buffers[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)

    @contextmanager
    def rows(self, first: int, last: int) -> Iterator[CanvasRows]:
        """Rows to change; written when the block ends."""
        from nbmosaic.core.camera_canvas import CanvasRows

        nx = self._shape[1]
        held = {}
        for name, (path, start, dtype) in self._places.items():
            held[name] = self._buffer(name, (last - first, nx), dtype)
            view, position = memoryview(held[name].reshape(-1).view(np.uint8).data), start + first * nx * dtype.itemsize
            while view and (done := os.preadv(self._streams[path].fileno(), [view], position)):
                view, position = view[done:], position + done
        yield CanvasRows(**held)
        for name, (path, start, dtype) in self._places.items():
            self._write(path, held[name].reshape(-1).view(np.uint8), start + first * nx * dtype.itemsize)

    @contextmanager
    def part(self, first: int, last: int, left: int, width: int, *, fresh: bool) -> Iterator[tuple[CanvasRows, int]]:
        """Rows to change from a column on, and that column; `fresh` where nothing is there yet, which need not be read."""
        from nbmosaic.core.camera_canvas import CanvasRows

        nx = self._shape[1]
        if not fresh or width == nx:
            with self.rows(first, last) as rows:
                yield rows, left
            return
        held = {name: self._buffer(name, (last - first, width), dtype) for name, (_, _, dtype) in self._places.items()}
        for array in held.values():
            array.fill(0)
        yield CanvasRows(**held), 0
        for name, (path, start, dtype) in self._places.items():
            position, length = start + (first * nx + left) * dtype.itemsize, width * dtype.itemsize
            self._write(path, held[name].reshape(-1).view(np.uint8), position, length=length, stride=nx * dtype.itemsize)

    def _write(self, path: Path, values: AnyArray, position: int, *, length: int = 0, stride: int = 0) -> None:
        """Write bytes: all of them, or parts of some length that lie a stride apart."""
        descriptor, view = self._streams[path].fileno(), memoryview(values.data)
        length = length or len(view)
        try:
            for start in range(0, len(view), length):
                done = os.pwrite(descriptor, view[start : start + length], position)
                while done < length:  # the disk is full, which the next call tells, or a signal came
                    done += os.pwrite(descriptor, view[start + done : start + length], position + done)
                position += stride
        except OSError as error:
            raise self._failed(path, error) from error

    def close(self) -> None:
        """Nothing more will be written."""
        for stream in self._streams.values():
            stream.close()


class Canvas:
    """Takes the pieces of one exposure as a `PieceStore` does, and merges them.

    Parameters
    ----------
    box : PixelBox
        Pixels of the exposure.
    start : callable
        Called with the planes of the first piece; gives the place for them.
    prefer_clean : bool
        See `nbmosaic.core.camera_canvas.merge_piece`.
    """

    def __init__(self, box: PixelBox, start: Callable[[tuple[str, ...]], MemoryRows | FileRows], *, prefer_clean: bool = True) -> None:
        self.box = box
        self.planes: tuple[str, ...] = ("data",)
        self.n_bad: dict[int, int] = {}
        self._start, self._prefer_clean = start, prefer_clean
        self._place: MemoryRows | FileRows | None = None
        self._merged: list[PixelBox] = []

    def keep_piece(self, info: ProjectedInfo, frame: ProjectedFrame, mask: AnyArray) -> None:
        """Merge a piece.

        Raises
        ------
        PlanesDifferError
            It has other planes than the first one.
        """
        from nbmosaic.core.camera_canvas import merge_piece

        if self._place is None:
            self.planes = ("data", *(name for name in _OPTIONAL if name in info.planes))
            self._place = self._start(self.planes)
        if set(info.planes) != set(self.planes):
            raise PlanesDifferError
        top, left = info.box.ymin - self.box.ymin, info.box.xmin - self.box.xmin
        self.n_bad[info.index] = 0
        for first, last in self._bands(*info.box.shape):
            here = PixelBox(info.box.ymin + first, info.box.ymin + last, info.box.xmin, info.box.xmax)
            fresh = all(box.intersection(here).empty for box in self._merged)
            with self._place.part(top + first, top + last, left, info.box.shape[1], fresh=fresh) as (rows, column):
                _, n_bad = merge_piece(
                    rows,
                    column,
                    frame.data[first:last],
                    mask[first:last],
                    variance=None if frame.variance is None else frame.variance[first:last],
                    weight=None if frame.weight is None else frame.weight[first:last],
                    prefer_clean=self._prefer_clean,
                )
            self.n_bad[info.index] += n_bad
        self._merged.append(info.box)

    def _bands(self, n_rows: int, n_columns: int) -> Iterator[tuple[int, int]]:
        """Rows to work on together."""
        step = max(1, BAND_PIXELS // max(1, n_columns))
        for first in range(0, n_rows, step):
            yield first, min(first + step, n_rows)

    def finish(self, limits: IntArray, *, blank: float = np.nan) -> Iterator[tuple[int, CanvasRows, int, dict[int, int]]]:
        """Finish the image in bands of rows: first row, rows (see `CanvasRows`), pixels with a value, and numbers of masks.

        Parameters
        ----------
        limits : ndarray of int64, shape (rows, 2)
            See `nbmosaic.core.camera_combine.hull_limits`.
        blank : float
            Value of pixels without one.
        """
        from nbmosaic.core.camera_canvas import finish_rows

        assert self._place is not None
        for first, last in self._bands(*self.box.shape):
            with self._place.rows(first, last) as rows:
                filled, counts = finish_rows(rows, limits[first:last], blank=blank)
                yield first, rows, filled, counts
        self.close()

    def close(self) -> None:
        """Close files."""
        if isinstance(self._place, FileRows):
            self._place.close()
