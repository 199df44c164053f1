"""Where projected frames live between the stages: in memory while they fit the budget, else in scratch files.

A scratch file holds the planes of one frame, one after the other, as native float32 in C order. It is written under a temporary name and
moved into place, so a file that exists is whole. Files are read with plain reads, not mapped: mapped pages would count as memory of the process.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbmosaic._types import Float32Array
from nbmosaic.errors import FormatError
from nbmosaic.types import PixelBox, ProjectedFrame, ProjectedInfo

__all__ = ["FrameStore", "ScratchFolder", "write_frame"]

PLANES = ("data", "area", "weight", "variance")


def _frame_path(folder: Path, index: int) -> Path:
    return folder / f"frame-{index:06d}.f32"


def write_frame(folder: Path, index: int, frame: ProjectedFrame) -> tuple[str, ...]:
    """Write the planes of a frame into `folder`; returns their names in file order.

    Raises
    ------
    FormatError
        The disk is full or the folder cannot be written.
    """
    names = tuple(name for name in PLANES if getattr(frame, name) is not None)
    target = _frame_path(folder, index)
    part = target.with_suffix(".part")
    try:
        with part.open("wb", buffering=0) as stream:
            for name in names:
                _write_all(stream.fileno(), np.ascontiguousarray(getattr(frame, name), np.float32))
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise FormatError(
            f"cannot write scratch file {target}: {reason}", hint="free some space or choose another folder with scratch=", path=str(target)
        ) from error
    return names


def _write_all(descriptor: int, array: Float32Array) -> None:
    view = memoryview(array).cast("B") if array.size else memoryview(b"")
    while len(view):
        view = view[os.write(descriptor, view) :]


class ScratchFolder:
    """A temporary folder that is removed with its owner, at the latest when Python ends."""

    def __init__(self, parent: Path) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix="nbmosaic-", dir=parent))
        except OSError as error:
            raise FormatError(
                f"cannot make a scratch folder in {parent}: {error.strerror}", hint="choose another folder with scratch=", path=str(parent)
            ) from error
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class _Stored:
    box: PixelBox
    planes: tuple[str, ...]


class FrameStore:
    """Planes of projected frames, by index of the frame.

    Parameters
    ----------
    scratch : ScratchFolder, optional
        Folder for files; None keeps everything in memory.
    budget : int
        Bytes of planes read from files that are kept for the next reader.
    """

    def __init__(self, *, scratch: ScratchFolder | None, budget: int) -> None:
        self._scratch = scratch
        self._budget = budget
        self._known: dict[int, _Stored] = {}
        self._memory: dict[tuple[int, str], Float32Array] = {}
        self._cache: OrderedDict[tuple[int, str], Float32Array] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        """Another process sees the files, not the memory."""
        return {"folder": self.folder, "budget": self._budget, "known": self._known}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(scratch=None, budget=state["budget"])  # type: ignore[misc, arg-type]
        self._known = state["known"]  # type: ignore[assignment]
        self._folder = state["folder"]

    @property
    def folder(self) -> Path | None:
        """Folder of the files; None if everything is in memory."""
        if self._scratch is None:
            return getattr(self, "_folder", None)  # type: ignore[no-any-return]
        return self._scratch.path

    def add(self, info: ProjectedInfo, frame: ProjectedFrame | None) -> None:
        """Take a frame: its arrays are kept (memory), or are already in the scratch folder (`frame` is None)."""
        self._known[info.index] = _Stored(info.box, info.planes)
        if frame is not None:
            for name in info.planes:
                self._memory[info.index, name] = getattr(frame, name)

    def read(self, index: int, plane: str, box: PixelBox) -> Float32Array | None:
        """Pixels of `box` (inside the frame's own box) of one plane; None if the frame has no such plane. Do not write into it."""
        stored = self._known[index]
        if plane not in stored.planes:
            return None
        key = (index, plane)
        whole = self._memory.get(key)
        if whole is None:
            with self._lock:
                whole = self._cache.get(key)
                if whole is not None:
                    self._cache.move_to_end(key)
        if whole is None and self._rows_are_enough(stored, box):
            rows = self._read_rows(index, plane, box.ymin, box.ymax)
            return rows[:, box.xmin - stored.box.xmin : box.xmax - stored.box.xmin]
        if whole is None:
            whole = self._read_rows(index, plane, stored.box.ymin, stored.box.ymax)
            self._keep(key, whole)
        return whole[box.slices(stored.box)]

    def _rows_are_enough(self, stored: _Stored, box: PixelBox) -> bool:
        # below a quarter of the frame the whole frame is not worth keeping
        return box.shape[0] * 4 < stored.box.shape[0] or stored.box.size * 4 > self._budget

    def _read_rows(self, index: int, plane: str, ymin: int, ymax: int) -> Float32Array:
        stored = self._known[index]
        ny, nx = stored.box.shape
        first = stored.planes.index(plane) * ny + (ymin - stored.box.ymin)
        folder = self.folder
        assert folder is not None
        path = _frame_path(folder, index)
        try:
            rows = np.fromfile(path, np.float32, (ymax - ymin) * nx, offset=first * nx * 4)
        except OSError as error:
            raise FormatError(
                f"scratch file {path} is gone: {error.strerror}", hint="run the project stage again", path=str(path)
            ) from error
        if rows.size != (ymax - ymin) * nx:
            raise FormatError(f"scratch file {path} is too short", hint="run the project stage again", path=str(path))
        return rows.reshape(ymax - ymin, nx)

    def _keep(self, key: tuple[int, str], array: Float32Array) -> None:
        with self._lock:
            self._cache[key] = array
            while sum(kept.nbytes for kept in self._cache.values()) > self._budget and len(self._cache) > 1:
                self._cache.popitem(last=False)

    def release(self) -> None:
        """Forget planes that were read from files."""
        with self._lock:
            self._cache.clear()

    def frame(self, info: ProjectedInfo) -> ProjectedFrame:
        """All planes of a frame."""
        planes = {name: self.read(info.index, name, info.box) for name in info.planes}
        data = planes.pop("data")
        assert data is not None
        return ProjectedFrame(box=info.box, data=data, map_error_pix=info.map_error_pix, noise_gain=info.noise_gain, **planes)

    def indices(self) -> Sequence[int]:
        """Indices of the frames held."""
        return sorted(self._known)
