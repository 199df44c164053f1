"""Where the pieces of exposures live: planes and masks, in memory while they fit the budget, else in scratch files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nbmosaic._types import AnyArray, Float32Array
from nbmosaic.errors import FormatError
from nbmosaic.pipeline.camera.canvas import Canvas, FileRows, MemoryRows
from nbmosaic.pipeline.store import FrameStore, frame_path
from nbmosaic.types import PixelBox, ProjectedFrame, ProjectedInfo

__all__ = ["PieceStore", "RowWriter"]


class PieceStore(FrameStore):
    """Planes of resampled pieces or exposures, as a `FrameStore`, and a mask for each.

    Parameters
    ----------
    parent : path
        Folder in which a scratch folder is made when one is needed.
    budget : int
        Bytes that may stay in memory.
    hidden : int
        Bits of masks whose pixels `read` gives as NaN, so that no stage that follows uses them; `read_all` gives their values.
    """

    def __init__(self, parent: Path, *, budget: int, hidden: int = 0) -> None:
        super().__init__(parent, budget=budget)
        self._hidden = hidden
        self._sources: tuple[tuple[str, tuple[int, int]], ...] = ()
        self._masks: dict[int, tuple[PixelBox, AnyArray | np.dtype[Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Another process sees the files alone."""
        return {
            **super().__getstate__(),
            "_hidden": self._hidden,
            "_masks": {k: v for k, v in self._masks.items() if isinstance(v[1], np.dtype)},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._hidden, self._masks = state["_hidden"], state["_masks"]

    def read(self, index: int, plane: str, box: PixelBox) -> Float32Array | None:
        """Pixels of one plane, without those whose mask is hidden; do not write into it."""
        found = super().read(index, plane, box)
        if not self._hidden or plane != "data" or found is None:
            return found
        flagged = (self.read_mask(index, box) & self._hidden) != 0
        return np.where(flagged, np.float32(np.nan), found) if flagged.any() else found

    def read_all(self, index: int, plane: str, box: PixelBox) -> Float32Array | None:
        """Pixels of one plane, whatever their mask; do not write into it."""
        return super().read(index, plane, box)

    def share(self) -> None:
        """Write what is in memory to the folder, for other processes."""
        super().share()
        for index, (box, mask) in list(self._masks.items()):
            if not isinstance(mask, np.dtype):
                self._write_mask(index, mask)
                self._masks[index] = (box, mask.dtype)

    def room(self, size: int) -> bool:
        """Take `size` bytes of the budget, if they are left."""
        with self._lock:
            if self._kept + size > self._budget:
                return False
            self._kept += size
            return True

    def keep_piece(self, info: ProjectedInfo, frame: ProjectedFrame, mask: AnyArray) -> None:
        """Take the planes and the mask of a piece."""
        self.keep(info, frame)
        if self.room(mask.nbytes):
            self._masks[info.index] = (info.box, mask.copy())
            return
        self._write_mask(info.index, mask)
        self._masks[info.index] = (info.box, mask.dtype)

    def _write_mask(self, index: int, mask: AnyArray) -> None:
        path = _mask_path(self.folder, index)
        try:
            path.write_bytes(np.ascontiguousarray(mask).data)
        except OSError as error:
            raise _full(path, error) from error

    def read_mask(self, index: int, box: PixelBox) -> AnyArray:
        """Mask of some pixels of a piece; do not write into it."""
        own, kept = self._masks[index]
        if not isinstance(kept, np.dtype):
            return kept[box.slices(own)]
        nx = own.shape[1]
        path = _mask_path(self.folder, index)
        first = (box.ymin - own.ymin) * nx * kept.itemsize
        rows = np.fromfile(path, kept, box.shape[0] * nx, offset=first)
        if rows.size != box.shape[0] * nx:
            raise FormatError(f"scratch file {path} is too short", hint="run the stage again", path=str(path))
        return rows.reshape(box.shape[0], nx)[:, box.xmin - own.xmin : box.xmax - own.xmin]

    def row_writer(self, index: int, box: PixelBox, planes: tuple[str, ...], mask_dtype: np.dtype[Any]) -> RowWriter:
        """Open the planes of an exposure for writing, rows by rows; `know` it when it is done."""
        size = box.size * (4 * len(planes) + mask_dtype.itemsize)
        if self.room(size):
            arrays = {name: np.empty(box.shape, np.float32) for name in planes}
            mask = np.empty(box.shape, mask_dtype)
            for name, array in arrays.items():
                self._memory[index, name] = array
            self._masks[index] = (box, mask)
            return RowWriter(arrays=arrays, mask=mask)
        self._masks[index] = (box, mask_dtype)
        return RowWriter(files=(frame_path(self.folder, index), _mask_path(self.folder, index)), shape=box.shape, planes=planes)

    def canvas(self, index: int, box: PixelBox, *, prefer_clean: bool = True) -> Canvas:
        """Begin an exposure that pieces are merged into; `know` it when it is done."""

        def start(planes: tuple[str, ...]) -> MemoryRows | FileRows:
            if self.room(box.size * (4 * len(planes) + 1)):
                arrays = {name: np.zeros(box.shape, np.float32) for name in planes}
                mask = np.zeros(box.shape, np.uint8)
                self._memory.update({(index, name): array for name, array in arrays.items()})
                self._masks[index] = (box, mask)
                return MemoryRows(arrays, mask)
            self._masks[index] = (box, np.dtype(np.uint8))
            return FileRows(frame_path(self.folder, index), _mask_path(self.folder, index), box.shape, planes, _full)

        return Canvas(box, start, prefer_clean=prefer_clean)

    def rests_on(self, files: Iterable[tuple[str, tuple[int, int]]]) -> None:
        """Note files that the pixels were made of, with their size and time of change."""
        self._sources = tuple(dict.fromkeys(files))

    def complete(self) -> bool:
        """Whether all files that are needed are still there, and those that the pixels were made of are unchanged."""
        return super().complete() and all(_key(path) == key for path, key in self._sources)

    def discard(self) -> None:
        """Forget everything and remove the files."""
        super().discard()
        self._masks.clear()


class RowWriter:
    """Takes the rows of an exposure in memory or in scratch files."""

    def __init__(
        self,
        *,
        arrays: dict[str, Float32Array] | None = None,
        mask: AnyArray | None = None,
        files: tuple[Path, Path] | None = None,
        shape: tuple[int, int] = (0, 0),
        planes: tuple[str, ...] = (),
    ) -> None:
        self._arrays, self._mask, self._files, self._shape, self._planes = arrays, mask, files, shape, planes
        self._streams = [] if files is None else [path.open("wb", buffering=0) for path in files]

    def write(self, row: int, mask: AnyArray, **planes: Float32Array) -> None:
        """Write rows from `row` on."""
        if self._arrays is not None and self._mask is not None:
            part = slice(row, row + len(mask))
            self._mask[part] = mask
            for name, array in self._arrays.items():
                array[part] = planes[name]
            return
        ny, nx = self._shape
        for number, name in enumerate(self._planes):
            self._put(0, (number * ny + row) * nx * 4, planes[name])
        self._put(1, row * nx * mask.itemsize, mask)

    def _put(self, stream: int, position: int, rows: AnyArray) -> None:
        assert self._files is not None
        view = memoryview(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        try:
            while view:
                done = os.pwrite(self._streams[stream].fileno(), view, position)
                view, position = view[done:], position + done
        except OSError as error:
            raise _full(self._files[stream], error) from error

    def close(self) -> None:
        """Nothing more will be written."""
        for stream in self._streams:
            stream.close()


def _key(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _mask_path(folder: Path, index: int) -> Path:
    return folder / f"mask-{index:06d}.raw"


def _full(path: Path, error: OSError) -> FormatError:
    reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
    return FormatError(
        f"cannot write scratch file {path}: {reason}", hint="free some space or choose another folder with scratch=", path=str(path)
    )
