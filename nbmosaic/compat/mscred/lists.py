"""Lists of names as IRAF writes them, and the files that they mean."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbmosaic.errors import FormatError, InputError

__all__ = ["expand_list", "image_target", "mask_target"]

_IMAGE = re.compile(r"\.(?:fits|fit|fts|imh)(?:\.gz)?\Z", re.IGNORECASE)
_COMMA = re.compile(r",(?![^\[]*\])")
_DEPTH = 8


def expand_list(names: Any, what: str, *, files: bool) -> list[str]:
    """Names of a list.

    Parameters
    ----------
    names : str, path, or list of them
        Names separated by commas; ``@file`` for the names in a file, one a line; ``prefix//@file`` and ``@file//suffix`` for these names with a text
        before or behind; with `files` patterns such as ``obj*.fits``.
    what : str
        For messages.
    files : bool
        Whether the names are those of existing files.

    Raises
    ------
    FormatError
        A list file cannot be read, or nothing matches a pattern.
    InputError
        Not a list of names.

    Examples
    --------
    >>> expand_list("a.fits, b[im1,2]", "input", files=True)
    ['a.fits', 'b[im1,2]']
    """
    if isinstance(names, str | os.PathLike):
        texts: Iterable[Any] = _COMMA.split(os.fspath(names))
    elif isinstance(names, list | tuple):
        texts = names
    else:
        raise InputError(f"{what} is {type(names).__name__}, expected names separated by commas, or a list of names")
    found: list[str] = []
    for text in texts:
        if not isinstance(text, str | os.PathLike):
            raise InputError(f"{what} holds a {type(text).__name__}, expected a name")
        found += _expand(os.fspath(text).strip(), what, files=files)
    return found


def _expand(text: str, what: str, *, files: bool, depth: int = 0) -> list[str]:
    if not text:
        return []
    if "@" in text and "//" in text:
        before, _, behind = text.partition("//")
        if before.startswith("@"):
            return [_joined(name, "", behind) for name in _expand(before, what, files=False, depth=depth)]
        return [_joined(name, before, "") for name in _expand(behind, what, files=False, depth=depth)]
    if text.startswith("@"):
        if depth > _DEPTH:
            raise FormatError(f"{what} {text}: lists name each other", path=text[1:])
        return [name for line in _lines(text[1:], what) for name in _expand(line, what, files=files, depth=depth + 1)]
    if files and any(c in text for c in "*?") and not Path(text).exists():
        matches = sorted(glob.glob(text))  # noqa: PTH207 - Path.glob drops a leading "./"
        if not matches:
            raise FormatError(f"{what}: no file matches {text}", path=text)
        return matches
    return [text]


def _lines(path: str, what: str) -> list[str]:
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read the {what} list {path}: {getattr(error, 'strerror', None) or error}", path=path) from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _joined(name: str, before: str, behind: str) -> str:
    """Name with a text before its file name, or behind it and before its ending."""
    folder, base = os.path.split(name)
    ending = _IMAGE.search(base)
    stem = base[: ending.start()] if ending else base
    return str(Path(folder, f"{before}{stem}{behind}{ending[0] if ending else ''}"))


def image_target(name: str) -> str:
    """File of an output image: ``.fits`` is added where there is no ending.

    Examples
    --------
    >>> image_target("mos1"), image_target("mos1.fits.gz"), image_target("mos1.imh")
    ('mos1.fits', 'mos1.fits.gz', 'mos1.fits')
    """
    if name.lower().endswith(".imh"):
        return f"{name[:-4]}.fits"
    return name if _IMAGE.search(name) else f"{name}.fits"


def mask_target(name: str) -> str:
    """File of the mask of an output image, with ``{}`` for the name of a piece.

    Examples
    --------
    >>> mask_target("out/mos1.fits")
    'out/mos1_bpm{}.fits'
    """
    return f"{_IMAGE.sub('', name).replace('{', '{{').replace('}', '}}')}_bpm{{}}.fits"
