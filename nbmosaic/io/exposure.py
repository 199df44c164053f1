"""Mosaic exposures: the pieces of a multi-extension file with their headers, coordinates, masks and noise planes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError, InputError, ShapeError
from nbmosaic.io.cards import CardList
from nbmosaic.io.fits_read import FitsImage
from nbmosaic.io.fits_scan import scan_fits
from nbmosaic.io.hdu_choice import choose_hdus
from nbmosaic.io.objects import image_objects
from nbmosaic.io.paths import split_hdu
from nbmosaic.io.planes import FrameFile, resolve_plane
from nbmosaic.io.sources import SkippedHdu, frame_infos
from nbmosaic.types import FrameInfo, FramePixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmosaic._types import Float32Array
    from nbmosaic.io.planes import Plane
    from nbmosaic.types import FrameSource

__all__ = ["Exposure", "Piece", "find_image", "find_mask", "open_exposure"]

_ENDINGS = ("", ".fits", ".fits.gz", ".fits.fz", ".fit", ".fts")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Piece:
    """One detector of an exposure.

    Attributes
    ----------
    info : FrameInfo
        Name, shape, coordinates, and where the pixels come from (with the mask).
    extname : str
        EXTNAME, or an empty text.
    hdu : int
        0-based number of its HDU.
    cards : CardList
        Its header.
    integer : bool
        Whether the stored pixels are integers.
    """

    info: FrameInfo
    extname: str
    hdu: int
    cards: CardList
    integer: bool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Exposure:
    """The pieces of one exposure.

    Attributes
    ----------
    name : str
        As it was given.
    pieces : tuple of Piece
        In file order.
    primary : CardList, optional
        Primary header of the file, where the pieces are extensions.
    mosaic : bool
        Whether it is a mosaic, and not a single image.
    skipped : tuple of SkippedHdu
        Image extensions that were left out, and why.
    """

    name: str
    pieces: tuple[Piece, ...]
    primary: CardList | None
    mosaic: bool
    skipped: tuple[SkippedHdu, ...] = ()

    @property
    def files(self) -> tuple[tuple[str, tuple[int, int]], ...]:
        """Files that pixels, masks, weights and variances come from, with the size and time of change that they had."""
        found: dict[str, tuple[int, int]] = {}
        for piece in self.pieces:
            source = piece.info.source
            planes = []
            if isinstance(source, _FlaggedSource):
                planes, source = [source.flags], source.source
            own = getattr(source, "planes", None)
            planes += [plane for name in ("weight", "variance", "mask") if (plane := getattr(own, name, None)) is not None]
            for image in (getattr(source, "image", None), *(plane.source for plane in planes)):
                if isinstance(image, FitsImage) and image.key != (-1, -1):
                    found[image.path] = image.key
        return tuple(found.items())


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _FlaggedSource:
    """Pixels of a frame with the flags of a mask file added; small, can be pickled."""

    source: FrameSource
    flags: Plane
    bits: int | None

    def load(self, out: Float32Array | None = None) -> FramePixels:
        """Read the pixels, into `out` if it is given."""
        pixels = self.source.load(out)
        bad = self.flags.read_flags(self.bits)
        return replace(pixels, mask=bad if pixels.mask is None else np.logical_or(pixels.mask, bad, out=bad))


def find_image(name: str) -> str:
    """File of an image that may be named without its ending, as IRAF does; an HDU in brackets is kept.

    Raises
    ------
    FormatError
        There is none.

    Examples
    --------
    >>> find_image("no such image")
    Traceback (most recent call last):
    ...
    nbmosaic.errors.FormatError: there is no image no such image
    """
    base, bracket, rest = name, "", ""
    if not _is_file(name) and name.endswith("]") and "[" in name:
        base, bracket, rest = name[: name.rindex("[")], "[", name[name.rindex("[") + 1 :]
    for ending in _ENDINGS:
        if _is_file(base + ending):
            return base + ending + bracket + rest
    raise FormatError(f"there is no image {name}", path=name)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def find_mask(name: str, folder: str, piece: str) -> str:
    """File that a BPM keyword names: as it stands, or beside the exposure, with or without ending.

    Parameters
    ----------
    name : str
        Value of the keyword; may choose an HDU in brackets.
    folder : str
        Folder of the exposure.
    piece : str
        Name of the piece, for messages.

    Returns
    -------
    str
        A FITS file. For an IRAF pixel list (``.pl``, which is not read) a FITS file of the same name stands in.

    Raises
    ------
    FormatError
        There is none, or only a pixel list.
    """
    base, bracket = (name[: name.rindex("[")], name[name.rindex("[") :]) if name.endswith("]") and "[" in name else (name, "")
    stem = base.removesuffix(".pl")
    for place in (stem, str(Path(folder, stem))):
        for ending in (*_ENDINGS, ".gz"):
            if _is_file(place + ending):
                return place + ending + bracket
    for place in (stem, str(Path(folder, stem))):
        if _is_file(place + ".pl"):
            raise FormatError(
                f"mask {place}.pl of piece {piece} is an IRAF pixel list, which is not read",
                hint=f"convert it once, in IRAF: imcopy {stem}.pl {stem}.fits",
                path=f"{place}.pl",
                frame=piece,
            )
    raise FormatError(
        f"mask {name} of piece {piece} does not exist (keyword BPM)", hint="mend the keyword, or do without masks", path=name, frame=piece
    )


def open_exposure(
    item: Any,
    *,
    hdu: int | str | Sequence[int | str] | None = None,
    weight: Any = None,
    variance: Any = None,
    mask: Any = None,
    mask_bits: int | Sequence[int] | None = None,
    bpm: bool = True,
) -> Exposure:
    """List the pieces of an exposure, reading headers only.

    Parameters
    ----------
    item : str, path or image
        A FITS file of one or many images, or an object in memory (``HDUList``, HDU, ``CCDData``, ``(array, wcs)``).
    hdu : int, str or sequence of them, optional
        The HDUs to take; default: all images with a celestial WCS that are no companion planes.
    weight, variance, mask : optional
        Planes of the pieces, see `nbmosaic.io.sources.frame_infos`.
    mask_bits : int or sequence of int, optional
        Bits of an integer mask that mean bad; default: all. They hold for BPM files, too.
    bpm : bool
        Add the masks that the BPM keywords of the pieces name.

    Returns
    -------
    Exposure

    Raises
    ------
    FormatError
        No such file, no image in it, or no such mask.
    WcsError
        No image with celestial coordinates.
    ShapeError
        A plane of another shape than its piece.
    """
    found = _described(item, hdu)
    infos, _ = frame_infos(
        [item], hdu=None if found.choices is None else list(found.choices), weight=weight, variance=variance, mask=mask, mask_bits=mask_bits
    )
    if len(infos) != len(found.cards):
        raise InputError(f"{found.name}: an image is listed twice", hint="name every HDU once")
    bits = None if mask_bits is None else _bits(mask_bits)
    pieces = []
    for info, cards in zip(infos, found.cards, strict=True):
        source = info.source
        if bpm and cards.text("BPM"):
            source = _FlaggedSource(source=source, flags=_flags(info, cards.text("BPM"), found.folder), bits=bits)
        pieces.append(
            Piece(
                info=replace(info, source=source),
                extname=str(info.meta.get("extname") or ""),
                hdu=int(info.meta.get("hdu") or 0),
                cards=cards,
                integer=cards.integer("BITPIX", -32) > 0,
            )
        )
    mosaic = len(pieces) > 1 or pieces[0].hdu > 0
    return Exposure(name=found.name, pieces=tuple(pieces), primary=found.primary if mosaic else None, mosaic=mosaic, skipped=found.skipped)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Described:
    """Headers of the pieces, before frames are made of them."""

    name: str
    folder: str
    cards: tuple[CardList, ...]
    primary: CardList | None
    choices: tuple[int | str, ...] | None
    skipped: tuple[SkippedHdu, ...]


def _described(item: Any, hdu: Any) -> _Described:
    choices = None if hdu is None else tuple(hdu) if isinstance(hdu, list | tuple) else (hdu,)
    if not isinstance(item, str | Path):
        objects = image_objects(item, 0, None if choices is None else list(choices))
        used = [one for one in objects if not one.reason]
        if not used:
            raise InputError(f"{objects[0].name if objects else 'the input'} holds no image with a celestial WCS")
        cards = tuple(CardList(b"") if one.cards is None else one.cards for one in used)
        skipped = tuple(SkippedHdu(name=one.name, reason=one.reason, expected=one.expected) for one in objects if one.reason)
        path = used[0].path
        return _Described(
            name=path or "input 0", folder=str(Path(path).parent), cards=cards, primary=None, choices=choices, skipped=skipped
        )
    path, inner = split_hdu(str(item))
    if inner is not None:
        choices = (inner,)
    hdus = scan_fits(path)
    chosen, left = choose_hdus(path, hdus, None if choices is None else list(choices))
    return _Described(
        name=str(item),
        folder=str(Path(path).parent),
        cards=tuple(one.cards for one in chosen),
        primary=hdus[0].cards,
        choices=tuple(one.index for one in chosen),
        skipped=tuple(left),
    )


def _bits(mask_bits: int | Sequence[int]) -> int | None:
    from nbmosaic.io.planes import flag_bits

    return flag_bits(mask_bits)


def _flags(info: FrameInfo, name: str, folder: str) -> Plane:
    """Mask plane that a BPM keyword names."""
    path = find_mask(name, folder, info.name)
    file = FrameFile(path="", hdus=(), hdu=None, shape=info.shape, name=info.name)
    plane = resolve_plane("mask", path, file)
    if plane is None:  # only for a missing specification
        raise ShapeError(f"mask {path} of {info.name} is empty")
    return plane
