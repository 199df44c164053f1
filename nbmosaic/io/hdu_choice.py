"""Which HDUs of a file are frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.errors import FormatError
from nbmosaic.io.planes import is_plane_hdu
from nbmosaic.io.wcs_read import celestial_axes, has_plate_constants, read_wcs

if TYPE_CHECKING:
    from nbmosaic.io.fits_scan import FitsHdu

__all__ = ["SkippedHdu", "choose_hdus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedHdu:
    """An image that was not taken, and why.

    Attributes
    ----------
    name : str
        File, with the HDU where one is meant.
    reason : str
        One line.
    expected : bool
        Whether nothing is wrong with it (a companion plane of a frame).
    """

    name: str
    reason: str
    expected: bool = False


def choose_hdus(path: str, hdus: list[FitsHdu], choices: list[Any] | None) -> tuple[list[FitsHdu], list[SkippedHdu]]:
    """Choose the image HDUs to take from a file.

    Parameters
    ----------
    path : str
        File name.
    hdus : list of FitsHdu
        All its HDUs.
    choices : list of int or str, optional
        Numbers and names asked for; a name stands for all images of that name (``SCI,1``, ``SCI,2``, ...). By default all images with a
        celestial WCS that are no companion planes, or the first one.

    Returns
    -------
    chosen : list of FitsHdu
        In file order, or in that of `choices`.
    skipped : list of SkippedHdu
        Other images.

    Raises
    ------
    FormatError
        No image, or not the HDU asked for.
    WcsError
        No image with a celestial WCS.

    Examples
    --------
    >>> from nbmosaic.io.fits_scan import scan_fits  # doctest: +SKIP
    >>> choose_hdus("frame.fits", scan_fits("frame.fits"), ["SCI"])  # doctest: +SKIP
    """
    images = [h for h in hdus if h.is_image]
    if choices is not None:
        return [hdu for choice in choices for hdu in _pick(path, hdus, choice)], []
    if not images:
        raise FormatError(
            f"{path} holds no image",
            hint=f"its {len(hdus)} HDU(s) are {', '.join(h.kind if h.naxis else 'empty' for h in hdus)}",
            path=path,
        )
    celestial = [h for h in images if celestial_axes(h.cards) or has_plate_constants(h.cards)]
    if not celestial:
        where = path if len(hdus) == 1 else f"{path} HDU {images[0].index}"
        read_wcs(images[0].cards, images[0].naxis, where=where)  # raises, and says what CTYPE is
    main = [h for h in celestial if not is_plane_hdu(h)] or celestial[:1]
    skipped = []
    for hdu in images:
        if hdu not in main:
            reason = "a companion plane (weight, variance or mask)" if hdu in celestial else "no celestial WCS"
            skipped.append(SkippedHdu(name=f"{path}[{hdu.name or hdu.index}]", reason=reason, expected=True))
    return main, skipped


def _pick(path: str, hdus: list[FitsHdu], choice: Any) -> list[FitsHdu]:
    """HDUs of a number or name."""
    if isinstance(choice, int) and not isinstance(choice, bool):
        found = [h for h in hdus if h.index == (choice if choice >= 0 else len(hdus) + choice)]
    else:
        found = [h for h in hdus if h.name.upper() == str(choice).upper() and h.name] or [
            h for h in hdus[:1] if str(choice).upper() == "PRIMARY"
        ]
        if not found and str(choice).isdecimal():
            return _pick(path, hdus, int(choice))
    if not found:
        names = ", ".join(f"{h.index} {h.name}".rstrip() for h in hdus)
        raise FormatError(f"{path} has no HDU {choice!r}", hint=f"it has {names}", path=path)
    images = [h for h in found if h.is_image]
    if not images:
        raise FormatError(f"{path} HDU {found[0].index} holds no image", path=path, hdu=found[0].index)
    return images
