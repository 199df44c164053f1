"""Where projected frames live between the stages: in memory while they fit the budget, else in scratch files.

A scratch file holds the planes of one frame, one after the other, as native float32 in C order. It is written under a temporary name and
moved into place, so a file that exists is whole.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, Float32Array
from nbmosaic.errors import FormatError, NbmosaicWarning
from nbmosaic.types import PixelBox, ProjectedFrame, ProjectedInfo

if TYPE_CHECKING:
    from nbmosaic.pipeline.caching.units import UnitFolder

__all__ = ["FrameStore", "ScratchFolder", "frame_path", "write_frame", "write_unit"]

PLANES = ("data", "area", "weight", "variance")


def frame_path(folder: Path, index: int) -> Path:
    """Scratch file of a frame."""
    return folder / f"frame-{index:06d}.f32"


def write_frame(folder: Path, index: int, frame: ProjectedFrame) -> tuple[str, ...]:
    """Write the planes of a frame into `folder`; returns their names in file order.

    Raises
    ------
    FormatError
        The disk is full or the folder cannot be written.
    """
    return _write(frame_path(folder, index), frame)


def write_unit(target: Path, info: ProjectedInfo, frame: ProjectedFrame) -> None:
    """Write a frame for later runs: its planes, and behind them what is known of it. A frame without a valid pixel has no planes.

    Raises
    ------
    FormatError
        The disk is full or the folder cannot be written.
    """
    from nbmosaic.pipeline.caching.units import unit_tail

    _write(target, frame if info.n_good else None, unit_tail(info))


def _write(target: Path, frame: ProjectedFrame | None, tail: bytes = b"") -> tuple[str, ...]:
    names = tuple(name for name in PLANES if getattr(frame, name, None) is not None)
    # a detached run and a cell may write the same frame at the same time: each has a file of its own until it is whole
    part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb", buffering=0) as stream:
            for name in names:
                _write_all(stream.fileno(), np.ascontiguousarray(getattr(frame, name), np.float32))
            _write_all(stream.fileno(), np.frombuffer(tail, np.uint8))
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise FormatError(
            f"cannot write scratch file {target}: {reason}", hint="free some space or choose another folder with scratch=", path=str(target)
        ) from error
    return names


def _write_all(descriptor: int, array: AnyArray) -> None:
    view = memoryview(array.reshape(-1).view(np.uint8).data)
    while view:
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

    def remove(self) -> None:
        """Remove the folder now."""
        self._finalizer()


@dataclass(frozen=True)
class _Stored:
    box: PixelBox
    planes: tuple[str, ...]


class FrameStore:
    """Planes of projected frames, by index of the frame.

    Parameters
    ----------
    parent : path
        Folder in which a scratch folder is made when one is needed.
    budget : int
        Bytes of planes that may stay in memory; what comes later goes to files.
    units : UnitFolder, optional
        Where all frames go that were given a file with `assign`, so that a later run finds them; no scratch folder is made then.
    """

    def __init__(self, parent: Path, *, budget: int, units: UnitFolder | None = None) -> None:
        self._parent = parent
        self._units = units
        self._files: dict[int, Path] = {}
        self._sources: tuple[tuple[str, tuple[int, int]], ...] = ()
        self._budget = budget
        self._scratch: ScratchFolder | None = None
        self._folder: Path | None = None
        self._known: dict[int, _Stored] = {}
        self._memory: dict[tuple[int, str], Float32Array] = {}
        self._kept = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Another process sees the files, not the memory, and does not own the folder."""
        return {"_folder": self._folder, "_known": self._known, "_files": self._files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(Path(), budget=0)  # type: ignore[misc]
        self._folder, self._known, self._files = state["_folder"], state["_known"], state["_files"]

    @property
    def folder(self) -> Path:
        """Folder of the files, made when it is first asked for."""
        with self._lock:
            if self._folder is None:
                self._scratch = ScratchFolder(self._parent)
                self._folder = self._scratch.path
            return self._folder

    def assign(self, files: Mapping[int, Path]) -> None:
        """Give the frames files that later runs find; they stay as long as the store lives."""
        self._files.update(files)
        if self._units is not None:
            self._units.use(self)

    def unit_files(self) -> list[Path]:
        """Files of the frames that later runs find."""
        return list(self._files.values())

    def complete(self) -> bool:
        """Whether all files that are needed are still there."""
        elsewhere = [index for index in self._known if (index, "data") not in self._memory]
        if any(index not in self._files for index in elsewhere) and (self._folder is None or not self._folder.is_dir()):
            return False
        return all(self._files[index].exists() for index in elsewhere if index in self._files)

    @property
    def sources(self) -> tuple[tuple[str, tuple[int, int]], ...]:
        """Files that the pixels were made of beyond those that were asked for (masks that headers name), with size and time of change."""
        return self._sources

    @property
    def n_bytes(self) -> int:
        """Bytes of planes in memory."""
        return self._kept

    def keep(self, info: ProjectedInfo, frame: ProjectedFrame) -> None:
        """Take the planes of a frame: a copy in memory while the budget lasts, else a file; one with a file of its own goes there, too."""
        planes = {name: getattr(frame, name) for name in info.planes}
        size = sum(plane.nbytes for plane in planes.values())
        with self._lock:
            room = self._kept + size <= self._budget
            self._kept += size if room else 0
        if room:
            for name, plane in planes.items():
                self._memory[info.index, name] = plane.copy()
        if info.index in self._files:
            self._keep_for_later(info, frame, needed=not room)
        elif not room:
            write_frame(self.folder, info.index, frame)
        self.know(info)

    def _keep_for_later(self, info: ProjectedInfo, frame: ProjectedFrame, *, needed: bool) -> None:
        """Write the file of a frame that a later run finds; if it cannot be written the run goes on as long as the frame is in memory."""
        try:
            write_unit(self._files[info.index], info, frame)
        except FormatError as error:
            if needed:
                raise
            del self._files[info.index]
            warnings.warn(f"{info.name} is not kept for later runs: {error.message}", NbmosaicWarning, stacklevel=2)

    def know(self, info: ProjectedInfo) -> None:
        """Take a frame whose planes are already in the folder."""
        self._known[info.index] = _Stored(info.box, info.planes)

    def share(self) -> None:
        """Write the frames that are in memory to the folder, for other processes."""
        for index, stored in self._known.items():
            planes = {name: self._memory.pop((index, name)) for name in stored.planes if (index, name) in self._memory}
            if planes and index not in self._files:
                write_frame(self.folder, index, ProjectedFrame(box=stored.box, **planes))  # type: ignore[arg-type]
        self._kept = 0

    def discard(self) -> None:
        """Forget all frames and remove their files."""
        with self._lock:
            self._known.clear()
            self._memory.clear()
            if self._units is not None:  # a thread that is still at a frame may finish the file of it
                self._units.leave(self)
            self._kept, self._folder = 0, None
            if self._scratch is not None:
                self._scratch.remove()
                self._scratch = None

    def read(self, index: int, plane: str, box: PixelBox) -> Float32Array | None:
        """Pixels of `box` (inside the frame's own box) of one plane; None if the frame has no such plane. Do not write into it."""
        stored = self._known[index]
        if plane not in stored.planes:
            return None
        whole = self._memory.get((index, plane))
        if whole is not None:
            return whole[box.slices(stored.box)]
        return self._read_file(index, plane, box)

    def _read_file(self, index: int, plane: str, box: PixelBox) -> Float32Array:
        stored = self._known[index]
        ny, nx = stored.box.shape
        row, column = box.ymin - stored.box.ymin, box.xmin - stored.box.xmin
        first = stored.planes.index(plane) * ny + row
        path = self._files.get(index)
        if path is None:
            assert self._folder is not None
            path = frame_path(self._folder, index)
        try:
            if 2 * box.shape[1] > nx:  # most of every row: plain reads of whole rows
                rows = np.fromfile(path, np.float32, box.shape[0] * nx, offset=first * nx * 4).reshape(box.shape[0], nx)
                return rows[:, column : column + box.shape[1]]
            # a narrow window: copied out of a map that is closed at once (a map that stays would count as memory of the process)
            window: Float32Array = np.array(
                np.memmap(path, np.float32, "r", first * nx * 4, (box.shape[0], nx))[:, column : column + box.shape[1]]
            )
        except (OSError, ValueError) as error:
            raise FormatError(
                f"scratch file {path} is gone or too short: {error}", hint="run the project stage again", path=str(path)
            ) from error
        return window

    def frame(self, info: ProjectedInfo) -> ProjectedFrame:
        """All planes of a frame."""
        data, area, weight, variance = (self.read(info.index, name, info.box) for name in PLANES)
        assert data is not None
        return ProjectedFrame(
            box=info.box,
            data=data,
            area=area,
            weight=weight,
            variance=variance,
            map_error_pix=info.map_error_pix,
            noise_gain=info.noise_gain,
        )

    def indices(self) -> Sequence[int]:
        """Indices of the frames held."""
        return sorted(self._known)
