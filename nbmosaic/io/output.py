"""Output files: checked before any work, written beside their place and moved into it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nbmosaic.errors import FormatError
from nbmosaic.io.fits_scan import os_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmosaic._types import PathLike

__all__ = ["check_output", "format_bytes", "replacing", "write_error"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def format_bytes(size: float) -> str:
    """Size for people.

    Examples
    --------
    >>> format_bytes(258_566_400)
    '258.6 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError(size)


def check_output(path: PathLike, *, overwrite: bool = False, needed: int = 0) -> Path:
    """Check that a file can be written, before any work is done.

    Parameters
    ----------
    path : path
        File to be written (``~`` is the home folder).
    overwrite : bool
        Whether it may exist.
    needed : int
        Bytes that must be free on its disk.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    FormatError
        It exists, is a folder, its folder is missing or not writable, or the disk has too little room.

    Examples
    --------
    >>> check_output("no such folder/mosaic.fits")
    Traceback (most recent call last):
    ...
    nbmosaic.errors.FormatError: cannot write no such folder/mosaic.fits: there is no folder no such folder; make it first
    """
    target = Path(path).expanduser()
    try:
        problem, hint = _obstacle(target, overwrite=overwrite, needed=needed)
    except (OSError, ValueError) as err:  # a name too long, or with a zero byte in it
        problem, hint = f"cannot write {str(target)[:200]!r}: {getattr(err, 'strerror', None) or err}", None
    if problem:
        raise FormatError(problem, hint=hint, path=str(target))
    return target


def _obstacle(target: Path, *, overwrite: bool, needed: int) -> tuple[str, str | None]:
    """Why `target` cannot be written (empty: it can), and what to do about it."""
    folder = target.parent
    if "\0" in str(target):  # pathlib answers "no such file", and opening fails only after the work is done
        return f"cannot write {str(target)!r}: a file name cannot hold a zero byte", None
    if target.is_dir():
        return f"cannot write {target}: it is a folder", None
    if target.exists() and not target.is_file():
        return f"cannot write {target}: it is not a regular file", None
    if target.exists() and not overwrite:
        return f"{target} exists", "choose another name, or overwrite=True (--overwrite in a cell or the shell)"
    if not folder.is_dir():
        return f"cannot write {target}: there is no folder {folder}", "make it first"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"cannot write {target}: folder {folder} is not writable", None
    free = shutil.disk_usage(folder).free if needed else 0
    if needed > free:
        return f"cannot write {target}: it needs {format_bytes(needed)}, the disk has {format_bytes(free)} left", None
    return "", None


def write_error(path: PathLike, error: OSError, needed: int = 0) -> FormatError:
    """One-line error of a failed write; a full disk is named as such, with the size that was needed."""
    if error.errno in _FULL:
        size = f" ({format_bytes(needed)} needed)" if needed else ""
        limit = (
            "a file size limit" if error.errno == errno.EFBIG else "a quota" if error.errno == errno.EDQUOT else "no space left on the disk"
        )
        return FormatError(f"cannot write {path}: {limit}{size}", hint="free some space or choose another folder", path=str(path))
    return os_error("write", str(path), error)


@contextmanager
def replacing(path: PathLike, *, overwrite: bool = False, needed: int = 0) -> Iterator[Path]:
    """Give a new name beside `path` to write to; move it to `path` at the end, or remove it on any error.

    Parameters
    ----------
    path : path
        The file.
    overwrite : bool
        Whether it may exist.
    needed : int
        Its size in bytes, if known.

    Raises
    ------
    FormatError
        See `check_output`; also where writing fails.

    Examples
    --------
    >>> with replacing("table.tbl") as name:  # doctest: +SKIP
    ...     name.write_text("|a|")
    """
    target = check_output(path, overwrite=overwrite, needed=needed)
    temporary = target.with_name(f".{target.name[:80]}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as err:
        if isinstance(err, FormatError):
            raise
        raise write_error(target, err, needed) from err
    finally:
        temporary.unlink(missing_ok=True)
