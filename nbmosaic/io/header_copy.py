"""A FITS file copied with more keywords in its primary header; every other byte stays as it is."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import FormatError
from nbmosaic.io.fits_scan import open_fits, scan_fits
from nbmosaic.io.headers import header_bytes, header_lines
from nbmosaic.io.output import check_output, replacing

if TYPE_CHECKING:
    from nbmosaic._types import PathLike

__all__ = ["copy_with_cards", "write_card_file"]


def copy_with_cards(source: PathLike, target: PathLike, cards: Mapping[str, tuple[Any, str]], *, overwrite: bool = False) -> Path:
    """Copy a FITS file, with keywords put into its primary header.

    Parameters
    ----------
    source : path
        The file; not changed.
    target : path
        The copy, packed where its name ends in ``.gz``.
    cards : mapping of str to (value, comment)
        Keywords; those that the header has already are replaced.
    overwrite : bool
        Whether the copy may exist.

    Returns
    -------
    pathlib.Path
        The copy.

    Raises
    ------
    FormatError
        The source cannot be read, is the target, or the copy cannot be written.
    """
    name = str(Path(source).expanduser())
    check_output(target, overwrite=overwrite)
    if os.path.realpath(name) == os.path.realpath(Path(target).expanduser()):
        raise FormatError(f"{target} is the file that is read", hint="choose another name", path=str(target))
    first = scan_fits(name)[0]
    kept = [line for line in first.cards.lines() if line[:8].rstrip() not in cards]
    while kept and not kept[-1].strip():
        kept.pop()
    header = header_bytes([*kept, *header_lines([(key, value, comment) for key, (value, comment) in cards.items()])])
    with replacing(target, overwrite=overwrite, needed=Path(name).stat().st_size) as temporary, open_fits(name) as stream:
        stream.seek(first.offset)
        with gzip.open(temporary, "wb") if str(target).endswith(".gz") else temporary.open("wb") as out:
            out.write(header)
            shutil.copyfileobj(stream, out, 1 << 22)
    return Path(target).expanduser()


def write_card_file(target: PathLike, cards: Mapping[str, tuple[Any, str]], *, overwrite: bool = False) -> Path:
    """Write keywords as text, one card a line.

    Parameters
    ----------
    target : path
        Text file.
    cards : mapping of str to (value, comment)
        Keywords.
    overwrite : bool
        Whether the file may exist.

    Returns
    -------
    pathlib.Path
        The file.
    """
    lines = header_lines([(key, value, comment) for key, (value, comment) in cards.items()])
    with replacing(target, overwrite=overwrite) as temporary:
        temporary.write_text("".join(f"{line.rstrip()}\n" for line in [*lines, "END"]), encoding="ascii")
    return Path(target).expanduser()
