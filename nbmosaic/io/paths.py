"""Names of input files: patterns, folders, lists."""

from __future__ import annotations

import difflib
import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import FormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["expand_inputs", "file_stem", "is_fits_name", "natural_key", "split_hdu"]

_FITS_NAME = re.compile(r"\.(?:fits|fit|fts)(?:\.gz|\.fz)?\Z", re.IGNORECASE)
_AREA_NAME = re.compile(r"_area\.(?:fits|fit|fts)(?:\.gz|\.fz)?\Z", re.IGNORECASE)
_DIGITS = re.compile(r"(\d+)")
_HDU_SUFFIX = re.compile(r"(?P<path>.+)\[(?P<hdu>[^\[\]]+)\]\Z")
_MAGIC = re.compile(r"[*?\[]")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``f_2`` before ``f_10``.

    Examples
    --------
    >>> sorted(["f_10", "f_2"], key=natural_key)
    ['f_2', 'f_10']
    """
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(name)]


def is_fits_name(name: str) -> bool:
    """Whether a file name ends like a FITS file (``.fits``, ``.fit``, ``.fts``, then perhaps ``.gz`` or ``.fz``)."""
    return _FITS_NAME.search(name) is not None


def file_stem(name: str) -> str:
    """File name without folder and without its FITS endings.

    Examples
    --------
    >>> file_stem("night1/n_01.fits.gz")
    'n_01'
    """
    base = Path(name).name
    return _FITS_NAME.sub("", base) or base


def split_hdu(name: str) -> tuple[str, str | int | None]:
    """Split ``file.fits[2]`` or ``file.fits[SCI]`` into file and HDU; the HDU is None where there is none.

    A file that really has such a name comes first.
    """
    match = _HDU_SUFFIX.match(name)
    if match is None or Path(name).exists() or not is_fits_name(match["path"]):
        return name, None
    hdu = match["hdu"].strip()
    return match["path"], int(hdu) if hdu.isdecimal() else hdu


def expand_inputs(items: Any) -> list[Any]:
    """Turn paths, patterns, folders, and lists of them into one flat list.

    Parameters
    ----------
    items : str, path, object, or list of them
        A file name (``~`` is the home folder; ``name.fits[2]`` and ``name.fits[SCI]`` choose an HDU), a pattern, or a folder (all its
        ``.fits``, ``.fit`` and ``.fts`` files, also ``.gz`` and ``.fz``, but not ``*_area.fits`` nor hidden files). Anything else is an
        image of its own and is passed on. What a pattern or folder gives is sorted in natural order; a list keeps its order.

    Returns
    -------
    list
        Text paths and image objects.

    Raises
    ------
    FormatError
        A file, folder or pattern that matches nothing.
    InputError
        An empty list.

    Examples
    --------
    >>> expand_inputs(["night1/*.fits", "extra.fits"])  # doctest: +SKIP
    ['night1/f_1.fits', 'night1/f_2.fits', 'extra.fits']
    """
    if isinstance(items, str | os.PathLike):
        return list(_expand_name(os.fspath(items)))
    if _is_sequence_of_inputs(items):
        found: list[Any] = []
        for item in items:
            found.extend(expand_inputs(item))
        if not found:
            raise InputError("no input frames: the list is empty", hint="give file names, a pattern, a folder or images")
        return found
    return [items]


def _is_sequence_of_inputs(items: Any) -> bool:
    """Whether `items` is a collection of inputs and not one image (an ``(array, wcs)`` pair, a list of HDUs)."""
    if isinstance(items, tuple):
        # two images with a WCS each (CCDData have a dtype, too) are two inputs
        return not (len(items) == 2 and hasattr(items[0], "dtype") and not hasattr(items[0], "wcs"))
    if isinstance(items, list):  # astropy's HDUList is a list, and stands for one file
        return not hasattr(items, "writeto")
    if isinstance(items, str | bytes) or hasattr(items, "dtype") or hasattr(items, "data"):
        return False
    return hasattr(items, "__iter__")


def _expand_name(name: str) -> Iterable[str]:
    if name.startswith("~"):
        name = str(Path(name).expanduser())
    if Path(name).is_dir():
        return _folder(name)
    if Path(name).exists() or split_hdu(name)[1] is not None:
        return [name]
    if _MAGIC.search(name):
        matches = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob wants a root and drops a leading "./"
        files = sorted((m for m in matches if Path(m).is_file()), key=natural_key)
        if files:
            return files
    what = f"no file matches {name}" if _MAGIC.search(name) else f"no such file: {name}"
    raise FormatError(what, hint=_nearest(name), path=name)


def _folder(name: str) -> list[str]:
    try:
        names = [entry.name for entry in Path(name).iterdir()]
    except OSError as err:
        raise FormatError(f"cannot list {name}: {err.strerror}", path=name) from err
    frames = sorted((n for n in names if is_fits_name(n) and not _AREA_NAME.search(n) and not n.startswith(".")), key=natural_key)
    if not frames:
        raise FormatError(f"no FITS file in folder {name}", hint=_content(names), path=name)
    return [str(Path(name, n)) for n in frames]


def _content(names: list[str]) -> str:
    shown = sorted((n for n in names if not n.startswith(".")), key=natural_key)
    if not shown:
        return "the folder is empty"
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return f"it holds {', '.join(shown[:3])}{more}"


def _nearest(name: str) -> str:
    """Say what the folder of a name that matches nothing holds, and the most similar name."""
    folder = Path(name).parent
    while _MAGIC.search(str(folder)):
        folder = folder.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    frames = [n for n in names if is_fits_name(n)]
    close = [] if _MAGIC.search(name) else difflib.get_close_matches(Path(name).name, frames or names, n=1, cutoff=0.5)
    count = f"{len(frames)} FITS file{'' if len(frames) == 1 else 's'} in {folder}"
    if close:
        return f"did you mean {folder / close[0]}? ({count})"
    return f"{count}, such as {min(frames, key=natural_key)}" if frames else f"no FITS file in {folder}; {_content(names)}"
