"""Images of a folder for Montage's image table: every HDU with a celestial WCS, and what cannot be listed."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import FormatError, InputError, NbmosaicError, WcsError
from nbmosaic.io.cards import card_text
from nbmosaic.io.fits_scan import FitsHdu, os_error, scan_fits
from nbmosaic.io.tables import read_table
from nbmosaic.io.wcs_read import read_wcs, wcs_from_cards
from nbmosaic.types import FrameInfo, FramePixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from astropy.wcs import WCS

    from nbmosaic._types import Float32Array, PathLike

__all__ = ["BadImage", "ImageField", "ImageList", "fits_names", "list_images", "listed_names", "read_fields", "row_wcs"]

_NAME = re.compile(r"\.fits?\Z")
_PACKED_NAME = re.compile(r"\.fits?\.gz\Z")
_AREA_NAME = re.compile(r"_area\.")
_TYPES = {"char", "int", "double"}
_DEFAULT_WIDTH = {"char": 20, "int": 10, "double": 20}


@dataclass(frozen=True, slots=True)
class ImageField:
    """A header keyword that the table shall show."""

    key: str
    kind: str
    width: int


@dataclass(frozen=True, slots=True)
class BadImage:
    """A file (`hdu` -1) or HDU that cannot be listed, and why."""

    name: str
    hdu: int
    size: int
    naxis: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class _HeaderOnly:
    """Source of a frame of which only the header was read."""

    path: str
    hdu: int

    def load(self, out: Float32Array | None = None) -> FramePixels:
        """Read the pixels."""
        from nbmosaic.io.sources import frame_infos

        return frame_infos(f"{self.path}[{self.hdu}]")[0][0].source.load(out)


@dataclass(slots=True)
class ImageList:
    """What was found.

    Attributes
    ----------
    infos : list of FrameInfo
        Images in the order of names and HDUs; their ``meta["file"]`` is the path below the folder.
    texts : list of dict
        For each, the texts of the fields.
    bad_files, bad_images : list of BadImage
        Files that are no FITS files, and HDUs without a celestial WCS.
    """

    infos: list[FrameInfo] = field(default_factory=list)
    texts: list[dict[str, str]] = field(default_factory=list)
    bad_files: list[BadImage] = field(default_factory=list)
    bad_images: list[BadImage] = field(default_factory=list)


def fits_names(folder: str, *, recursive: bool = False, area_files: bool = False, packed: bool = True) -> list[str]:
    """Names of the FITS files (``.fits``, ``.fit``, and with ``.gz``) of a folder, below it, sorted.

    Parameters
    ----------
    folder : str
        Its name.
    recursive : bool
        Folders in it as well.
    area_files : bool
        Also files with ``_area.`` in their names.
    packed : bool
        Also ``.gz`` files.

    Raises
    ------
    FormatError
        It cannot be read.

    Examples
    --------
    >>> fits_names("raw")  # doctest: +SKIP
    ['f_1.fits', 'f_2.fits']
    """
    try:
        return sorted(_names(Path(folder), Path(), recursive=recursive, area_files=area_files, packed=packed, seen=set()))
    except OSError as err:
        raise os_error("list", folder, err) from err


def _names(root: Path, below: Path, *, recursive: bool, area_files: bool, packed: bool, seen: set[str]) -> Iterator[str]:
    real = os.path.realpath(root / below)
    if real in seen:  # a link to a folder above
        return
    seen.add(real)
    for entry in os.scandir(root / below):
        name = str(below / entry.name)
        if entry.is_dir():
            if recursive:
                yield from _names(root, below / entry.name, recursive=True, area_files=area_files, packed=packed, seen=seen)
        elif (_NAME.search(name) or (packed and _PACKED_NAME.search(name))) and (area_files or not _AREA_NAME.search(entry.name)):
            yield name


def read_fields(path: PathLike) -> list[ImageField]:
    """Read a list of header keywords: one a line, with type (char, int, double) and width.

    Raises
    ------
    FormatError
        The file cannot be read.
    InputError
        A type or width that makes no sense.

    Examples
    --------
    >>> read_fields("fields.txt")  # doctest: +SKIP
    [ImageField(key='EXPTIME', kind='double', width=12)]
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as err:
        raise os_error("open", str(path), err) from err
    fields = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or line.lstrip()[0] in "|\\#":
            continue
        kind = words[1].lower() if len(words) > 1 else "char"
        if kind not in _TYPES:
            raise InputError(f"{path}, line {number}: type {words[1]!r}, expected char, int or double")
        width = words[2] if len(words) > 2 else str(_DEFAULT_WIDTH[kind])
        if not width.isdecimal() or not 0 < int(width) <= 1000:
            raise InputError(f"{path}, line {number}: width {width!r}, expected a whole number")
        fields.append(ImageField(words[0].upper(), kind, int(width)))
    return fields


def list_images(folder: str, names: Sequence[str], fields: Sequence[ImageField] = ()) -> ImageList:
    """List the images of files.

    Parameters
    ----------
    folder : str
        Where the files are.
    names : sequence of str
        Their names below the folder.
    fields : sequence of ImageField
        Header keywords to read.

    Examples
    --------
    >>> list_images("raw", fits_names("raw")).infos[0].shape  # doctest: +SKIP
    (2048, 2048)
    """
    found = ImageList()
    for name in names:
        path = str(Path(folder) / name)
        try:
            size = _size(path)
            hdus = scan_fits(path)
        except (FormatError, OSError) as err:
            found.bad_files.append(BadImage(name, -1, 0, (), err.message if isinstance(err, FormatError) else str(err)))
            continue
        for hdu in hdus:
            try:
                info = _info(path, name, hdu, size)
            except NbmosaicError as err:
                found.bad_images.append(BadImage(name, hdu.index, size, hdu.naxis, err.message))
                continue
            found.infos.append(info)
            found.texts.append({one.key: hdu.cards.text(one.key) for one in fields})
    return found


def _size(path: str) -> int:
    """Bytes of a file; of a packed one, those of what is inside, as mImgtbl lists them."""
    with Path(path).open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
        size = stream.seek(0, os.SEEK_END)
        if packed and size > 4:
            stream.seek(-4, os.SEEK_END)
            return int(struct.unpack("<I", stream.read(4))[0])
    return size


def _info(path: str, name: str, hdu: FitsHdu, size: int) -> FrameInfo:
    if not hdu.is_image or 0 in hdu.naxis:
        raise WcsError(f"HDU {hdu.index} holds no image")
    wcs, axes = read_wcs(hdu.cards, hdu.naxis, where=f"{name}[{hdu.index}]", path=path)
    if axes[1] > len(hdu.naxis):
        raise WcsError(f"{name}[{hdu.index}] has no axis {axes[1]}")
    meta: dict[str, Any] = {"file": name, "hdu": hdu.index, "size": size, "naxis": len(hdu.naxis)}
    for axis in range(3, min(len(hdu.naxis), 4) + 1):
        meta[f"naxis{axis}"] = hdu.naxis[axis - 1]
        for key in ("crval", "cdelt", "crpix"):
            meta[f"{key}{axis}"] = hdu.cards.number(f"{key.upper()}{axis}", float("nan"))
    shape = (hdu.naxis[axes[1] - 1], hdu.naxis[axes[0] - 1])
    return FrameInfo(name=name, shape=shape, wcs=wcs, source=_HeaderOnly(path, hdu.index), meta=MappingProxyType(meta))


def row_wcs(row: Mapping[Any, Any], where: str) -> WCS:
    """WCS of a row of an image table (ctype, crval, crpix, cdelt, crota2, equinox; no distortions, which the table does not hold).

    Raises
    ------
    WcsError
        It is not celestial.

    Examples
    --------
    >>> row = {"ctype1": "RA---TAN", "ctype2": "DEC--TAN", "crval1": 1.0, "crval2": 2.0, "crpix1": 1, "crpix2": 1, "cdelt1": -0.1, "cdelt2": 0.1, "crota2": 0}
    >>> row_wcs(row, "row 0").wcs.crval.tolist()
    [1.0, 2.0]
    """
    texts = []
    for key in ("crval", "crpix", "cdelt"):
        texts += [card_text(f"{key.upper()}{i}", float(row[f"{key}{i}"])) for i in (1, 2)]
    texts += [card_text(f"CTYPE{i}", str(row[f"ctype{i}"])) for i in (1, 2)]
    texts.append(card_text("CROTA2", float(row["crota2"])))
    equinox = row.get("equinox")
    if equinox is not None and float(equinox) > 0 and str(row["ctype1"]).startswith(("RA", "DEC", "ELON")):
        texts.append(card_text("EQUINOX", float(equinox)))
        texts.append(card_text("RADESYS", "FK4" if float(equinox) < 1975.0 else "FK5"))
    wcs = wcs_from_cards("".join(texts), where=where)
    if not wcs.has_celestial:
        raise WcsError(f"{where} has no celestial WCS: ctype is {row['ctype1']}, {row['ctype2']}")
    return wcs


def listed_names(path: PathLike) -> list[str]:
    """File names of a table with a column ``fname`` or ``file``.

    Raises
    ------
    TableFormatError
        It cannot be read.
    InputError
        It has no such column.
    """
    table = read_table(path)
    column = next((c for c in ("fname", "file") if c in table.columns), None)
    if column is None:
        raise InputError(f"{path} has no column fname")
    return [str(name) for name in table[column]]
