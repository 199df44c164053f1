"""One image in double precision from whatever holds it: a file (plain, or DATA, STAT and DQ), ``CCDData``, ``(array, wcs)``, an mpdaf image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError, InputError, ShapeError
from nbmosaic.io.cards import CARD, CardList, read_value
from nbmosaic.io.fits_read import FitsImage
from nbmosaic.io.fits_scan import FitsHdu, scan_fits
from nbmosaic.io.fits_write import write_image
from nbmosaic.io.float64 import open_image64
from nbmosaic.io.headers import Card
from nbmosaic.io.objects import ImageObject, image_objects
from nbmosaic.io.paths import file_stem, split_hdu
from nbmosaic.io.planes import FrameFile, Plane, flag_bits, is_plane_hdu, resolve_plane
from nbmosaic.io.wcs_read import celestial_axes, read_wcs
from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    from nbmosaic._types import AnyArray, BoolArray, FloatArray, PathLike

__all__ = ["choose_data_hdu", "header_values", "read_sky_image", "variance64", "write_sky_image"]

_DATA_NAMES = ("DATA", "SCI")
_VARIANCE_NAMES = ("STAT", "VAR", "VARIANCE")
_MASK_NAMES = ("DQ",)
_STRUCTURE = frozenset(
    {"SIMPLE", "XTENSION", "BITPIX", "EXTEND", "PCOUNT", "GCOUNT", "END", "BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM"}
    | {"EXTNAME", "EXTVER", "EXTLEVEL", "BUNIT", "WCSAXES", "LONPOLE", "LATPOLE", "RADESYS", "RADECSYS", "EQUINOX", "EPOCH"}
    | {"MJDREF", "SPECSYS", "COMMENT", "HISTORY", "CONTINUE", "INHERIT"}
)
_WCS_PREFIXES = (
    "NAXIS",
    "CTYPE",
    "CUNIT",
    "CRPIX",
    "CRVAL",
    "CDELT",
    "CROTA",
    "CD1_",
    "CD2_",
    "CD3_",
    "PC1_",
    "PC2_",
    "PC3_",
    "PV1_",
    "PV2_",
)


def header_values(cards: CardList | None) -> Mapping[str, Any]:
    """Values of a header by keyword, the first where one stands twice; without structure, WCS and comments.

    Examples
    --------
    >>> dict(header_values(CardList("FILTER  = 'F606W'".ljust(80).encode() + "NAXIS   = 2".ljust(80).encode())))
    {'FILTER': 'F606W'}
    """
    values: dict[str, Any] = {}
    for line in [] if cards is None else cards.lines():
        key = line[:8].rstrip()
        if not key or key in values or key in _STRUCTURE or key.startswith(_WCS_PREFIXES):
            continue
        value = read_value(line[:CARD])
        if value is not None:
            values[key] = value
    return MappingProxyType(values)


def read_sky_image(
    item: Any,
    *,
    variance: Any = "auto",
    mask: Any = "auto",
    mask_bits: int | Sequence[int] | None = None,
    name: str = "",
) -> SkyImage:
    """Read one image.

    Parameters
    ----------
    item : str, path, or image
        File name (``file.fits[2]`` and ``file.fits[SCI]`` choose an HDU; else the HDU named DATA or SCI, or the first image with a celestial
        WCS that is no companion plane); ``CCDData`` and ``NDData``, ``(array, wcs)``, ``(array, header)``, an image HDU or HDU list, an
        ``mpdaf.obj.Image``; or a `SkyImage`, which is given back.
    variance : optional
        ``"auto"``: HDU STAT, VAR or VARIANCE of the file, or what the object holds. None: none. Anything else names an extension or a file, or
        is an array: see `nbmosaic.io.planes.resolve_plane` (``"sigma:ERR"``, ``"ivar:IVAR"``, ...).
    mask : optional
        The same for the mask: HDU DQ; True, or not zero, is bad.
    mask_bits : int or sequence of int, optional
        Only these flags of the mask are bad.
    name : str
        Name for messages and tables of an image in memory (default: ``"input 1"``).

    Returns
    -------
    SkyImage
        Copies: what was given is never written to. Pixels that are not finite are masked, also where there is a mask (mpdaf adds them to a mask
        only where there is none, and one NaN then spoils a Fourier transform).

    Raises
    ------
    FormatError
        The file cannot be read, or has no such plane.
    InputError
        An object of another kind, or several images and nothing that chooses one.
    ShapeError, WcsError
        Not an image, planes of different shapes, no celestial WCS.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    >>> read_sky_image((np.array([[1.0, np.nan]]), wcs)).mask
    array([[False,  True]])
    """
    if isinstance(item, SkyImage):
        return item
    bits = flag_bits(mask_bits)
    if isinstance(item, str | os.PathLike):
        return _of_file(os.fspath(item), variance, mask, bits)
    return _of_object(item, variance, mask, bits, name)


def choose_data_hdu(hdus: Sequence[FitsHdu], wanted: str | int | None, path: str, *, axes: int = 2) -> FitsHdu:
    """HDU that holds the data: the one asked for, DATA or SCI, or the first celestial image that is no companion plane.

    Parameters
    ----------
    hdus : sequence of FitsHdu
        The file.
    wanted : str, int or None
        EXTNAME or number.
    path : str
        For messages.
    axes : int
        Number of axes longer than 1 that are preferred where nothing else decides (3 for a cube).

    Raises
    ------
    FormatError
        There is none.
    """
    images = [hdu for hdu in hdus if hdu.is_image and 0 not in hdu.naxis]
    if wanted is not None:
        found = [hdu for hdu in images if (hdu.index == wanted if isinstance(wanted, int) else hdu.name.upper() == wanted.upper())]
        if not found:
            held = ", ".join(hdu.name or str(hdu.index) for hdu in images) or "none"
            raise FormatError(f"{path} has no image {wanted!r}", hint=f"its images are {held}", path=path)
        return found[0]
    for name in _DATA_NAMES:
        for hdu in images:
            if hdu.name.upper() == name:
                return hdu
    main = [hdu for hdu in images if celestial_axes(hdu.cards) and not is_plane_hdu(hdu)] or images
    if not main:
        raise FormatError(f"{path} holds no image", path=path)
    fitting = [hdu for hdu in main if sum(n > 1 for n in hdu.naxis) == axes]
    return (fitting or main)[0]


def _of_file(name: str, variance: Any, mask: Any, bits: int | None) -> SkyImage:
    path, wanted = split_hdu(str(Path(name).expanduser()))
    hdus = scan_fits(path)
    hdu = choose_data_hdu(hdus, wanted, path)
    label = f"{path}[{hdu.name or hdu.index}]" if len(hdus) > 1 else path
    if sum(n > 1 for n in hdu.naxis) > 2:
        raise ShapeError(f"{label} has axes {'x'.join(map(str, hdu.naxis))}, expected an image", hint="read it as a cube", path=path)
    wcs, _ = read_wcs(hdu.cards, hdu.naxis, where=label, path=path)
    data = open_image64(path, hdu.index).pixels()
    frame = FrameFile(path=path, hdus=tuple(hdus), hdu=hdu, shape=(data.shape[0], data.shape[1]), name=label)
    flags = _plane("mask", _found(mask, _MASK_NAMES, hdus, hdu), frame)
    return SkyImage(
        data=data,
        mask=_bad(data, None if flags is None else flags.read_flags(bits)),
        wcs=wcs,
        variance=variance64(_plane("variance", _found(variance, _VARIANCE_NAMES, hdus, hdu), frame)),
        unit=hdu.cards.text("BUNIT") or hdus[0].cards.text("BUNIT"),
        name=file_stem(path),
        filename=path,
        primary=header_values(hdus[0].cards),
        cards=header_values(hdu.cards),
    )


def _found(spec: Any, names: Iterable[str], hdus: Sequence[FitsHdu], hdu: FitsHdu) -> Any:
    """Extension for a companion plane: what was asked for, or the first of the usual names that the file has."""
    if not (isinstance(spec, str) and spec == "auto"):
        return spec
    present = {one.name.upper() for one in hdus if one.is_image and one is not hdu}
    return next((name for name in names if name in present), None)


def _plane(what: str, spec: Any, frame: FrameFile) -> Plane | None:
    if isinstance(spec, np.ndarray) and spec.shape != frame.shape:
        raise ShapeError(f"the {what} of {frame.name} is {spec.shape}, its image is {frame.shape}")
    return resolve_plane(what, spec, frame)


def variance64(plane: Plane | None) -> FloatArray | None:
    """Variance in double precision (the squares of fluxes in erg/s/cm2/Angstrom are below what float32 holds); NaN where it is not known."""
    if plane is None:
        return None
    if isinstance(plane.source, FitsImage):
        values = open_image64(plane.source.path, plane.source.hdu).pixels().reshape(plane.source.shape)
    else:
        values = np.array(np.ma.filled(plane.source, np.nan) if isinstance(plane.source, np.ma.MaskedArray) else plane.source, np.float64)
    with np.errstate(all="ignore"):
        if plane.meaning in {"sigma", "inverse_sigma"}:
            values = np.where(values >= 0, values**2, np.nan)
        if plane.meaning in {"inverse", "inverse_sigma"}:
            values = np.where(values > 0, 1.0 / values, np.nan)
        return np.where(np.isfinite(values) & (values >= 0), values, np.nan)


def _bad(data: FloatArray, mask: AnyArray | None) -> BoolArray:
    bad = ~np.isfinite(data)
    return bad if mask is None else bad | np.asarray(mask, bool)


def _of_object(item: Any, variance: Any, mask: Any, bits: int | None, name: str) -> SkyImage:
    found = [one for one in image_objects(item, 0) if not one.reason]
    if len(found) != 1:
        raise InputError(f"{name or 'the input'} holds {len(found)} images", hint="choose one of them")
    one = found[0]
    shown = name or (file_stem(one.path) if one.path else one.name)
    data = np.array(one.data, np.float64)
    shape = (data.shape[0], data.shape[1])
    frame = FrameFile(path=one.path, hdus=(), hdu=None, shape=shape, name=shown, version=one.version, siblings=one.siblings)
    return SkyImage(
        data=data,
        mask=_bad(data, _object_mask(one, mask, frame, bits)),
        wcs=one.wcs,
        variance=_object_variance(one, variance, frame),
        unit=one.unit or ("" if one.cards is None else one.cards.text("BUNIT")),
        name=shown,
        filename=one.path,
        primary=header_values(_primary_cards(item, one)),
        cards=header_values(one.cards),
    )


def _object_mask(one: ImageObject, spec: Any, frame: FrameFile, bits: int | None) -> AnyArray | None:
    own: AnyArray | None = None
    if one.mask is not None:
        own = Plane(source=np.asarray(one.mask)).read_flags(bits)
    if isinstance(spec, str) and spec == "auto":
        spec = _sibling(one, _MASK_NAMES)
    plane = _plane("mask", spec, frame)
    if plane is None:
        return own
    flags = plane.read_flags(bits)
    return flags if own is None else own | flags


def _object_variance(one: ImageObject, spec: Any, frame: FrameFile) -> FloatArray | None:
    if isinstance(spec, str) and spec == "auto":
        if one.uncertainty is not None:
            return variance64(Plane(source=np.asarray(one.uncertainty), meaning=one.meaning))
        spec = _sibling(one, _VARIANCE_NAMES)
    return variance64(_plane("variance", spec, frame))


def _sibling(one: ImageObject, names: Iterable[str]) -> str | None:
    present = {str(getattr(hdu, "name", "")).upper() for hdu in one.siblings or ()}
    return next((name for name in names if name in present), None)


def _primary_cards(item: Any, one: ImageObject) -> CardList | None:
    header = getattr(item, "primary_header", None)
    if header is None and one.siblings is not None:
        header = getattr(one.siblings[0], "header", None)
    if header is None:
        return None
    return CardList(header.tostring(endcard=False, padding=False).encode("latin-1", "replace"))


def write_sky_image(
    path: PathLike,
    image: SkyImage,
    *,
    mask: str = "dq",
    dtype: str = "f4",
    cards: Iterable[Card] = (),
    history: Iterable[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write an image as mpdaf and the MUSE pipeline do: an empty primary HDU, then DATA, STAT (where there is a variance) and DQ.

    Parameters
    ----------
    path : path
        File (``.fits`` or ``.fits.gz``); written under another name and moved into place.
    image : SkyImage
        The image; its `primary` and `cards` become keywords of the two headers.
    mask : str
        ``"dq"``: the mask as DQ (0 good, 1 bad) and the values under it as they are; ``"nan"``: NaN in the masked pixels of DATA and STAT;
        ``"none"``: no mask.
    dtype : str
        ``"f4"`` or ``"f8"``; planes whose values ``"f4"`` cannot hold are stored as ``"f8"``.
    cards, history : optional
        More keywords and HISTORY lines of the primary header.
    overwrite : bool
        Whether the file may exist.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FormatError
        See `nbmosaic.io.output.check_output`.
    InputError
        An unknown `mask` or `dtype`.

    Examples
    --------
    >>> write_sky_image("aligned.fits", image)  # doctest: +SKIP
    PosixPath('aligned.fits')
    """
    if mask not in {"dq", "nan", "none"}:
        raise InputError(f"mask={mask!r} is unknown", hint="it is 'dq', 'nan' or 'none'")
    if dtype not in {"f4", "f8"}:
        raise InputError(f"dtype={dtype!r} is unknown", hint="it is 'f4' or 'f8'")
    planes: dict[str, AnyArray] = {"DATA": image.filled() if mask == "nan" else image.data}
    if image.variance is not None:
        planes["STAT"] = np.where(image.mask, np.nan, image.variance) if mask == "nan" else image.variance
    extensions = {name: _stored(plane, dtype) for name, plane in planes.items()}
    if mask == "dq":
        extensions["DQ"] = image.mask.astype(np.uint8)
    own: list[Card] = list(image.cards.items())
    keys: dict[str, list[Card]] = {"DATA": [*_unit(image.unit), *own]}
    if "STAT" in extensions:
        keys["STAT"] = _unit(f"({image.unit})**2") if image.unit else []
    return write_image(
        path,
        None,
        image.wcs,
        cards=[*image.primary.items(), *cards],
        history=history,
        extensions=extensions,
        extension_cards=keys,
        overwrite=overwrite,
    )


def _stored(plane: FloatArray, dtype: str) -> AnyArray:
    """Plane as it is written: in double precision where single precision does not reach (the squares of fluxes in erg/s/cm2/Angstrom)."""
    size = np.abs(plane[np.isfinite(plane) & (plane != 0)])
    limits = np.finfo(np.float32)
    beyond = dtype == "f4" and size.size > 0 and (size.max() > limits.max or np.median(size) < limits.tiny)
    return np.asarray(plane, "f8" if beyond else dtype)


def _unit(unit: str) -> list[Card]:
    return [("BUNIT", unit)] if unit else []
