"""Keys that tell whether a file has changed, and hashes of its content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nbmosaic.io.fits_scan import os_error

if TYPE_CHECKING:
    from nbmosaic._types import PathLike
    from nbmosaic.types import FrameInfo

__all__ = ["content_hash", "content_key", "sampled_hash"]

_CHUNK = 1 << 20
_SAMPLE = 1 << 14


def content_key(frame: FrameInfo | PathLike) -> tuple[str, int, int] | None:
    """Cheap key of a file's content: real path, size in bytes, time of last change in ns.

    Parameters
    ----------
    frame : FrameInfo or path
        A frame, or a file name.

    Returns
    -------
    tuple or None
        None for an image in memory (which may differ from the file that it was read from).

    Raises
    ------
    FormatError
        The file is gone.

    Examples
    --------
    >>> content_key("frame.fits")  # doctest: +SKIP
    ('/data/frame.fits', 16784640, 1718000000000000000)
    """
    if isinstance(frame, str | os.PathLike):
        path: PathLike = frame
    else:
        path = "" if frame.meta.get("in_memory") else frame.meta.get("file", "")
    name = os.fspath(path)
    if not name:
        return None
    try:
        status = os.stat(name)  # noqa: PTH116 - one call on a hot path, a Path object costs as much again
        return (os.path.realpath(name), status.st_size, status.st_mtime_ns)
    except OSError as err:
        raise os_error("read", name, err) from err


def sampled_hash(path: PathLike) -> str:
    """Hash of a file's size, beginning, end and 14 places between (16 kB each): a fingerprint for provenance at 0.3 ms a file.

    Parameters
    ----------
    path : path
        File name.

    Returns
    -------
    str
        BLAKE2b, 8 bytes, as 16 hexadecimal digits. A change that misses all samples and keeps the size is not seen; `content_hash` sees every one.

    Raises
    ------
    FormatError
        The file cannot be read.
    """
    try:
        with Path(path).open("rb", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            digest = hashlib.blake2b(str(size).encode(), digest_size=8)
            for start in sorted({max(0, (size - _SAMPLE) * k // 15) for k in range(16)}):
                stream.seek(start)
                digest.update(stream.read(_SAMPLE))
    except OSError as err:
        raise os_error("read", str(path), err) from err
    return digest.hexdigest()


def content_hash(path: PathLike) -> str:
    """Hash of all bytes of a file (BLAKE2b, 16 bytes, as 32 hexadecimal digits); about 1 ns per byte.

    Parameters
    ----------
    path : path
        File name.

    Raises
    ------
    FormatError
        The file cannot be read.

    Examples
    --------
    >>> content_hash("frame.fits")  # doctest: +SKIP
    '9f86d081884c7d659a2feaa0c55ad015'
    """
    digest = hashlib.blake2b(digest_size=16)
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    try:
        with Path(path).open("rb", buffering=0) as stream:
            while got := stream.readinto(buffer):
                digest.update(view[:got])
    except OSError as err:
        raise os_error("read", os.fspath(path), err) from err
    return digest.hexdigest()
