"""Images in memory: HDUs, ``CCDData``/``NDData``, mpdaf images and ``(array, wcs)`` pairs, all by duck typing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import InputError, ShapeError, WcsError
from nbmosaic.io.cards import CardList
from nbmosaic.io.wcs_read import quiet_wcs, read_wcs

if TYPE_CHECKING:
    from nbmosaic._types import AnyArray

__all__ = ["ImageObject", "image_objects"]

_MEANINGS = {"std": "sigma", "var": "value", "ivar": "inverse"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ImageObject:
    """An image in memory; `reason` says why it is left out, if it is, and `expected` that nothing is wrong with that."""

    name: str
    data: AnyArray
    wcs: Any = None
    mask: AnyArray | None = None
    uncertainty: AnyArray | None = None
    meaning: str = "value"
    unit: str = ""
    cards: CardList | None = None
    path: str = ""
    hdu: int = 0
    extname: str = ""
    reason: str = ""
    expected: bool = False
    version: int = 1
    siblings: Any = None


def image_objects(item: Any, number: int, hdu: Any = None) -> list[ImageObject]:
    """Images of one object.

    Parameters
    ----------
    item : object
        ``HDUList``, image HDU, ``CCDData``, ``NDData``, mpdaf ``Image``, ``(array, wcs)`` or ``(array, header)``.
    number : int
        Position among the inputs (0-based), for the names of images that have none.
    hdu : int, str or sequence of them, optional
        HDUs of an ``HDUList``.

    Raises
    ------
    InputError
        An object of another kind, no celestial WCS, not two-dimensional.

    Examples
    --------
    >>> image_objects((np.zeros((2, 2)), "no wcs"), 0)
    Traceback (most recent call last):
    ...
    nbmosaic.errors.InputError: input 1: the second of a pair is str, expected an astropy WCS or FITS header
    """
    where = f"input {number}"
    if hasattr(item, "writeto") and isinstance(item, list):
        return _of_hdu_list(item, where, hdu)
    if hasattr(item, "header") and hasattr(item, "fileinfo"):
        return [_of_hdu(item, where)]
    if isinstance(item, tuple) and len(item) == 2:
        return [_of_pair(item[0], item[1], where)]
    if hasattr(item, "data") and hasattr(item, "wcs"):
        return [_of_nddata(item, where)]
    raise InputError(f"{where} is {type(item).__name__}, expected a file name, HDU, CCDData, NDData or (array, wcs)")


def _of_hdu_list(hdus: Any, where: str, hdu: Any) -> list[ImageObject]:
    from nbmosaic.io.fits_scan import FitsHdu
    from nbmosaic.io.planes import is_plane_hdu
    from nbmosaic.io.wcs_read import celestial_axes

    if hdu is not None:
        wanted = hdu if isinstance(hdu, list | tuple) else [hdu]
        try:
            return [_of_hdu(hdus[one], where, hdus) for one in wanted]
        except (KeyError, IndexError) as err:
            raise InputError(f"{where} has no HDU {hdu!r}", hint=f"it has {', '.join(h.name or '?' for h in hdus)}") from err
    images = [h for h in hdus if getattr(h, "is_image", False) and len(h.shape) >= 2]
    described = []
    for index, one in enumerate(images):
        cards = _cards(one.header)
        described.append(FitsHdu(index=index, cards=cards, kind="image", naxis=tuple(one.shape), bitpix=-32, offset=0))
    celestial = [h for h in described if celestial_axes(h.cards)]
    if not celestial:
        raise WcsError(f"{where} holds no image with a celestial WCS")
    main = {h.index for h in ([h for h in celestial if not is_plane_hdu(h)] or celestial[:1])}
    found = []
    for described_hdu, one in zip(described, images, strict=True):
        if described_hdu.index in main:
            found.append(_of_hdu(one, where, hdus))
        else:
            reason = "a companion plane (weight, variance or mask)" if described_hdu in celestial else "no celestial WCS"
            found.append(
                ImageObject(name=f"{where}[{one.name or described_hdu.index}]", data=np.empty((0, 0)), reason=reason, expected=True)
            )
    return found


def _cards(header: Any) -> CardList:
    return CardList(header.tostring(endcard=False, padding=False).encode("latin-1", "replace"))


def _of_hdu(hdu: Any, where: str, siblings: Any = None) -> ImageObject:
    info = hdu.fileinfo() or {}
    path = str(info.get("filename") or "")
    extname = str(getattr(hdu, "name", "") or "")
    named = bool(extname) and extname != "PRIMARY" and [getattr(h, "name", "") for h in siblings or [hdu]].count(extname) == 1
    number = next((i for i, h in enumerate(siblings or ()) if h is hdu), 0)
    label = extname if named else str(number) if siblings and len(siblings) > 1 else ""
    name = f"{path or where}[{label}]" if label else path or where
    if hdu.data is None or not hasattr(hdu.data, "dtype"):
        raise InputError(f"{name} holds no image")
    wcs, data = _wcs_of_header(hdu.header, np.asarray(hdu.data), name)
    return ImageObject(
        name=name,
        data=data,
        wcs=wcs,
        cards=_cards(hdu.header),
        path=path,
        hdu=number,
        extname=extname,
        version=int(getattr(hdu, "ver", 1) or 1),
        siblings=siblings,
    )


def _wcs_of_header(header: Any, data: AnyArray, name: str) -> tuple[Any, AnyArray]:
    cards = _cards(header)
    naxis = data.shape[::-1]
    wcs, axes = read_wcs(cards, naxis, where=name)
    return wcs, _squeeze(data, axes, name)


def _squeeze(data: AnyArray, axes: tuple[int, int], name: str) -> AnyArray:
    """Image of the two header axes; all others must have length 1."""
    keep = [data.ndim - axis for axis in reversed(axes)]
    others = [n for i, n in enumerate(data.shape) if i not in keep and n > 1]
    if others or min(keep) < 0 or data.size == 0:
        raise ShapeError(f"{name} is an array of shape {data.shape}, expected an image with the axes (y, x)")
    if data.dtype.kind not in "fiub":
        raise InputError(f"{name} is an array of {data.dtype}, expected real numbers")
    return data.reshape([data.shape[i] for i in keep])


def _of_pair(data: Any, other: Any, where: str) -> ImageObject:
    masked = np.ma.getmask(data)
    array = np.asarray(np.ma.getdata(data))
    name = where
    if hasattr(other, "pixel_n_dim") and hasattr(other, "wcs"):
        wcs, array = _celestial(other, array, name)
        cards = None
    elif hasattr(other, "tostring") and hasattr(other, "cards"):
        wcs, array = _wcs_of_header(other, array, name)
        cards = _cards(other)
    else:
        raise InputError(f"{where}: the second of a pair is {type(other).__name__}, expected an astropy WCS or FITS header")
    mask = None if masked is np.ma.nomask else np.asarray(masked).reshape(array.shape)
    return ImageObject(name=name, data=array, wcs=wcs, mask=mask, cards=cards)


def _celestial(wcs: Any, data: AnyArray, name: str) -> tuple[Any, AnyArray]:
    """Two-axis celestial WCS of an astropy WCS, axes in header order, and the image."""
    if not hasattr(wcs, "wcs") or not hasattr(wcs, "has_celestial"):
        raise WcsError(f"{name} has a {type(wcs).__name__}, expected an astropy.wcs.WCS", hint="fit a FITS WCS to it")
    with quiet_wcs():
        celestial = wcs.has_celestial
    if not celestial:
        raise WcsError(f"{name} has no celestial WCS (CTYPE is {', '.join(map(repr, wcs.wcs.ctype)) or 'empty'})")
    wcs.wcs.set()
    axes = (min(wcs.wcs.lng, wcs.wcs.lat) + 1, max(wcs.wcs.lng, wcs.wcs.lat) + 1)
    image = _squeeze(data, axes, name)
    return (wcs if wcs.naxis == 2 else wcs.sub(list(axes))), image


def _of_nddata(item: Any, where: str) -> ImageObject:
    name = where
    raw = item.data
    if raw is None or item.wcs is None:
        raise WcsError(f"{name} ({type(item).__name__}) has no {'data' if raw is None else 'WCS'}")
    inner = item.wcs
    if not hasattr(inner, "has_celestial") and hasattr(getattr(inner, "wcs", None), "has_celestial"):
        inner = inner.wcs  # mpdaf wraps the WCS of astropy
    wcs, data = _celestial(inner, np.asarray(np.ma.getdata(raw)), name)
    mask = _mask_of(item, raw)
    uncertainty, meaning = _uncertainty_of(item, name)
    meta = getattr(item, "meta", None)
    header = meta if hasattr(meta, "tostring") and hasattr(meta, "cards") else getattr(item, "data_header", None)
    unit = getattr(item, "unit", None)
    return ImageObject(
        name=name,
        data=data,
        wcs=wcs,
        mask=None if mask is None else mask.reshape(data.shape),
        uncertainty=None if uncertainty is None else uncertainty.reshape(data.shape),
        meaning=meaning,
        unit="" if unit is None else str(unit),
        cards=_cards(header) if hasattr(header, "tostring") else None,
        path=str(getattr(item, "filename", None) or ""),
    )


def _mask_of(item: Any, raw: Any) -> AnyArray | None:
    mask = np.ma.getmask(raw)
    if mask is np.ma.nomask:
        mask = getattr(item, "mask", None)
    if mask is None or mask is np.ma.nomask or np.ndim(mask) == 0:
        return None
    return np.asarray(mask)


def _uncertainty_of(item: Any, name: str) -> tuple[AnyArray | None, str]:
    """Uncertainty of NDData (by its type) or variance of an mpdaf image."""
    uncertainty = getattr(item, "uncertainty", None)
    if uncertainty is not None and getattr(uncertainty, "array", None) is not None:
        kind = str(getattr(uncertainty, "uncertainty_type", "unknown"))
        if kind not in _MEANINGS:
            raise InputError(f"{name} has an uncertainty of type {kind!r}, expected 'std', 'var' or 'ivar'")
        return np.asarray(uncertainty.array), _MEANINGS[kind]
    variance = getattr(item, "var", None)
    if variance is not None and not callable(variance) and np.ndim(variance) >= 2:
        return np.asarray(np.ma.filled(variance, np.nan)), "value"
    return None, "value"
