"""Projected frames on disk that outlive a run, and a killed process: an interrupted `project` goes on where it was.

Every process has a folder of its own, whose lock it holds as long as it lives. A frame is one file, named by its key: its planes, then what
is known of it as JSON, then the length of that. It is written under another name and moved into place, so a file that exists is whole.
Folders whose process is gone are taken over by the next process that looks for frames; nothing in a folder of a living process is touched.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import stat
import threading
import time
import uuid
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError
from nbmosaic.types import PixelBox, ProjectedInfo

if TYPE_CHECKING:
    from nbmosaic.pipeline.store import FrameStore

__all__ = ["UnitFolder", "UnitUse", "info_of_unit", "unit_tail", "user_folder"]

SUFFIX = ".unit"
TAIL_DIGITS = 12
"""The last bytes of a file: the length of its description, in ASCII."""
HALF_SECONDS = 600.0
"""Age of a file under its temporary name that nobody can be writing any more."""
KEPT_DAYS = 7.0
"""A frame that nobody used for so long is removed."""


def unit_tail(info: ProjectedInfo) -> bytes:
    """What follows the planes in the file of a frame: everything known of it but its index and name."""
    coarse = np.packbits(info.coarse).tobytes().hex()
    facts = {
        "box": _corners(info.box),
        "planes": info.planes,
        "n_good": info.n_good,
        "map_error_pix": float(info.map_error_pix),
        "noise_gain": float(info.noise_gain),
        "noise": float(info.noise),
        "coarse_box": _corners(info.coarse_box),
        "coarse_shape": info.coarse.shape,
        "coarse": coarse,
    }
    text = json.dumps(facts).encode("ascii")
    return text + f"{len(text):{TAIL_DIGITS}d}".encode("ascii")


def info_of_unit(path: Path, *, index: int, name: str) -> ProjectedInfo | None:
    """Read what is known of a frame; None if the file is not there, or not whole."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(-TAIL_DIGITS, os.SEEK_END) + TAIL_DIGITS
            length = int(stream.read())
            stream.seek(size - TAIL_DIGITS - length)
            facts = json.loads(stream.read(length))
        box = PixelBox(*facts["box"])
        shape = tuple(facts["coarse_shape"])
        bits = np.frombuffer(bytes.fromhex(facts["coarse"]), np.uint8)
        info = ProjectedInfo(
            index=index,
            name=name,
            box=box,
            n_good=facts["n_good"],
            planes=tuple(facts["planes"]),
            map_error_pix=facts["map_error_pix"],
            noise_gain=facts["noise_gain"],
            noise=facts["noise"],
            coarse=np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool),
            coarse_box=PixelBox(*facts["coarse_box"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    planes = len(info.planes) if info.n_good else 0
    return info if size == planes * 4 * box.size + length + TAIL_DIGITS else None


def _corners(box: PixelBox) -> tuple[int, int, int, int]:
    return int(box.ymin), int(box.ymax), int(box.xmin), int(box.xmax)


@dataclass(kw_only=True)
class UnitUse:
    """What the project stage of one step does with the frames on disk.

    Attributes
    ----------
    units : UnitFolder
        The frames.
    fresh : bool
        Project all of them again.
    reused, total : int
        Frames that were there, of how many; filled by the stage.
    """

    units: UnitFolder
    fresh: bool = False
    reused: int = 0
    total: int = 0


@dataclass(eq=False)
class _Session:
    """The folder of this process, with its lock."""

    path: Path
    lock: IO[bytes]
    users: weakref.WeakSet[FrameStore] = field(default_factory=weakref.WeakSet)


class UnitFolder:
    """Frames on disk.

    Parameters
    ----------
    parent : path
        Folder that holds one folder for each process; made if it is missing, readable for its owner only.
    budget : int
        Bytes of frames that are kept though no product uses them; the least recently used go first.
    """

    def __init__(self, parent: Path, *, budget: int) -> None:
        self.parent = parent
        self.budget = budget
        self._session: _Session | None = None
        self._lock = threading.RLock()

    @property
    def folder(self) -> Path:
        """Folder of this process; made, and those of dead processes taken over, when it is first asked for.

        Raises
        ------
        FormatError
            It cannot be made, or belongs to another user.
        """
        with self._lock:
            if self._session is None or not self._session.path.is_dir():
                self._session = self._begin()
                self._take_over(self._session.path)
            return self._session.path

    def path(self, key: str) -> Path:
        """File of a frame."""
        return self.folder / f"{key}{SUFFIX}"

    def find(self, keys: Mapping[int, str], names: Mapping[int, str]) -> dict[int, ProjectedInfo]:
        """Frames that are there, by index; their time of use becomes now."""
        found = {}
        for index, key in keys.items():
            path = self.path(key)
            info = info_of_unit(path, index=index, name=names[index])
            if info is not None:
                found[index] = info
                with suppress(OSError):
                    os.utime(path)
        return found

    def use(self, store: FrameStore) -> None:
        """Keep the frames of a store as long as it lives."""
        self.folder  # noqa: B018 - makes it
        assert self._session is not None
        self._session.users.add(store)

    def leave(self, store: FrameStore) -> None:
        """A store needs its frames no more."""
        if self._session is not None:
            self._session.users.discard(store)

    def files(self) -> list[tuple[Path, int, float]]:
        """Path, size in bytes and time of use of all frames of this process, the least recently used first."""
        if self._session is None:
            return []
        found = []
        for path in self._session.path.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                status = path.stat()
                found.append((path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda item: item[2])

    def trim(self, budget: int | None = None) -> None:
        """Remove the least recently used frames until the rest fits the budget; frames of living products stay."""
        with self._lock:
            files = self.files()
            used = set() if self._session is None else {path for store in self._session.users for path in store.unit_files()}
            limit = self.budget if budget is None else budget
            total = sum(size for _, size, _ in files)
            oldest = time.time() - KEPT_DAYS * 86400
            self._remove_halves()
            for path, size, when in files:
                if path not in used and (total > limit or when < oldest):
                    path.unlink(missing_ok=True)
                    total -= size

    def leave_if_empty(self) -> None:
        """Remove the folder of this process if it holds no frame: a run that failed leaves nothing behind."""
        with self._lock:
            if self._session is None or self.files() or len(self._session.users):
                return
            self._session.lock.close()
            shutil.rmtree(self._session.path, ignore_errors=True)
            self._session = None
            with suppress(OSError):
                self.parent.rmdir()  # only if nothing else is in it

    def _remove_halves(self) -> None:
        """Remove what ended workers left half-written."""
        for part in () if self._session is None else self._session.path.glob("*.part"):
            with suppress(OSError):
                if part.stat().st_mtime < time.time() - HALF_SECONDS:
                    part.unlink()

    def _begin(self) -> _Session:
        _own_folder(self.parent)
        path = self.parent / f"session-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        path.mkdir(mode=0o700)
        lock = (path / "lock").open("wb")
        _try_lock(lock)
        with suppress(OSError):
            (path / "boot").write_text(_boot(), encoding="ascii")
        weakref.finalize(self, lock.close)
        return _Session(path, lock)

    def _take_over(self, own: Path) -> None:
        """Move the frames of dead processes into our folder."""
        for other in self.parent.glob("session-*"):
            if other == own:
                continue
            with suppress(OSError):
                with (other / "lock").open("ab") as lock:
                    if not _try_lock(lock):
                        continue
                    # what a process wrote before the machine went down may be there in name only
                    trusted = _read(other / "boot") == _boot()
                    for path in other.glob(f"*{SUFFIX}") if trusted else ():
                        path.replace(own / path.name)
                shutil.rmtree(other, ignore_errors=True)
        self.trim()


def _own_folder(path: Path) -> None:
    """Make a folder for us alone; refuse one that another user put there (the parent may be a shared temporary folder)."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        hint = "choose another folder: cache=, or %config MosaicMagics.cache_dir"
        raise FormatError(f"cannot make the cache folder {path}: {error.strerror}", hint=hint, path=str(path)) from error
    if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
        raise FormatError(f"the cache folder {path} belongs to another user", hint="choose another one", path=str(path))


def user_folder(parent: Path) -> Path:
    """The cache folder of this user in a folder that others may share."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = "user"
    return parent / f"nbmosaic-cache-{''.join(c for c in name if c.isalnum()) or 'user'}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return "none"


def _boot() -> str:
    """What differs after the machine was started again, where the system tells."""
    return _read(Path("/proc/sys/kernel/random/boot_id"))


def _try_lock(stream: IO[bytes]) -> bool:
    """Lock a file until it is closed or the process dies; False if another process holds it."""
    try:
        import fcntl
    except ImportError:
        import importlib

        msvcrt: Any = importlib.import_module("msvcrt")  # Windows
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
