"""Frames of FITS files, image objects and arrays, listed without reading a pixel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import InputError, NbmosaicError, ShapeError
from nbmosaic.io.fits_read import FitsImage, fits_image, to_float32
from nbmosaic.io.fits_scan import os_error, scan_fits
from nbmosaic.io.hdu_choice import SkippedHdu, choose_hdus
from nbmosaic.io.objects import ImageObject, image_objects
from nbmosaic.io.paths import expand_inputs, split_hdu
from nbmosaic.io.planes import FrameFile, Plane, flag_bits, resolve_plane
from nbmosaic.io.wcs_read import read_wcs
from nbmosaic.types import FrameInfo, FramePixels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from nbmosaic._types import AnyArray, Float32Array
    from nbmosaic.io.cards import CardList

__all__ = ["ArraySource", "FitsSource", "SkippedHdu", "frame_infos"]

_EXPOSURE_KEYS = ("EXPTIME", "EXPOSURE", "EXP_TIME")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Planes:
    """Planes of one frame and the factor on its data."""

    weight: Plane | None = None
    variance: Plane | None = None
    mask: Plane | None = None
    mask_bits: int | None = None
    flux_scale: float = 1.0

    def pixels(self, data: Float32Array) -> FramePixels:
        """Read the planes that go with `data`.

        With data scaled by s, variances are scaled by s**2 and weights by s**-2 (weights are inverse variances up to a common factor).
        """
        square = self.flux_scale**2
        weight = None if self.weight is None else self.weight.read(scale=1.0 / square)
        if weight is not None:
            np.nan_to_num(weight, copy=False, nan=0.0)
        return FramePixels(
            data=data,
            mask=None if self.mask is None else self.mask.read_flags(self.mask_bits),
            weight=weight,
            variance=None if self.variance is None else self.variance.read(scale=square),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitsSource:
    """Pixels in a FITS file; small, frozen, can be pickled.

    Attributes
    ----------
    image : FitsImage
        The image HDU.
    planes : object
        Weight, variance, mask, and the flux scale.
    """

    image: FitsImage
    planes: _Planes

    def load(self, out: Float32Array | None = None) -> FramePixels:
        """Read the pixels; `out` (float32, C-contiguous, the frame's shape) is filled and becomes ``data`` where it is given.

        Raises
        ------
        FormatError
            The file is gone, cut, damaged, or was changed since it was listed.
        """
        return self.planes.pixels(self.image.read(out, scale=self.planes.flux_scale))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArraySource:
    """Pixels in memory; the array is never written to.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        Any real type and byte order.
    planes : object
        Weight, variance, mask, and the flux scale.
    """

    data: AnyArray
    planes: _Planes

    def load(self, out: Float32Array | None = None) -> FramePixels:
        """Copy the pixels as float32 (into `out`, if given), infinite ones as NaN."""
        if out is None:
            out = np.empty(self.data.shape, np.float32)
        elif out.shape != self.data.shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ShapeError(f"the buffer is {out.dtype} {out.shape}, expected C-contiguous float32 {self.data.shape}")
        rows = max(1, (1 << 17) // max(1, self.data.shape[1]))
        for first in range(0, self.data.shape[0], rows):
            part = slice(first, first + rows)
            to_float32(self.data[part], out[part], scale=self.planes.flux_scale)
        return self.planes.pixels(out)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Options:
    """What `frame_infos` was asked for."""

    hdu: Any
    weight: Any
    variance: Any
    mask: Any
    mask_bits: int | None
    flux_scale: Any


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Found:
    """An image before planes and flux scale are attached."""

    item: int
    file: FrameFile
    wcs: Any
    pixels: FitsImage | AnyArray
    cards: CardList | None
    primary: CardList | None
    meta: dict[str, Any]
    own: ImageObject | None = None


def frame_infos(
    inputs: Any,
    *,
    hdu: int | str | Sequence[int | str] | None = None,
    weight: Any = None,
    variance: Any = None,
    mask: Any = None,
    mask_bits: int | Sequence[int] | None = None,
    flux_scale: Any = None,
    on_error: Literal["raise", "skip"] = "raise",
) -> tuple[list[FrameInfo], list[SkippedHdu]]:
    """List frames, reading headers only.

    Parameters
    ----------
    inputs : str, path, image, or list of them
        File names, patterns and folders (see `nbmosaic.io.paths.expand_inputs`), or images in memory: ``astropy.io.fits`` HDUs and HDU
        lists, ``CCDData`` and ``NDData``, images of mpdaf, ``(array, wcs)`` and ``(array, header)``.
    hdu : int, str or sequence of them, optional
        HDUs to take from every file, by number or name. By default all images with a celestial WCS, but not companion planes (named
        ``STAT``, ``DQ``, ``ERR``, ``WHT``, ``MASK``, ..., also as an ending, ``S6_WHT``; or HDUCLAS2 ``ERROR`` or ``QUALITY``), unless
        the file holds nothing else: then the first.
    weight, variance, mask : optional
        Planes that go with the frames: an extension name or number, a file name (may hold ``{stem}``, ``{name}``, ``{extname}``,
        ``{hdu}``), a list with one entry per input or per frame, or arrays; see `nbmosaic.io.planes.resolve_plane`. Images in memory
        bring their own mask and uncertainty.
    mask_bits : int or sequence of int, optional
        Flag values (1, 2, 4, ... or sums) of the mask that are bad; by default every number but zero.
    flux_scale : float, str or sequence, optional
        Factor on the data: a number; a header keyword (``"FLXSCALE"``); a magnitude zero point keyword with the wanted zero point
        (``"MAGZP:25"``: factor ``10**(-0.4*(MAGZP - 25))``); or one number per input or frame.
    on_error : {"raise", "skip"}
        With ``"skip"``, a file that cannot be used is listed among the skipped.

    Returns
    -------
    frames : list of FrameInfo
        In the order of the inputs.
    skipped : list of SkippedHdu
        Images that were not taken, with the reason.

    Raises
    ------
    FormatError
        No such file, not FITS, truncated, no image in it.
    InputError
        No celestial WCS, a cube, no pixels, a plane of another shape, an unknown keyword.

    Examples
    --------
    >>> frames, skipped = frame_infos("night1/*.fits", weight="weights/{stem}_w.fits")  # doctest: +SKIP
    """
    if on_error not in {"raise", "skip"}:
        raise InputError(f"on_error {on_error!r}: expected 'raise' or 'skip'")
    items = expand_inputs(inputs)
    options = _Options(hdu=hdu, weight=weight, variance=variance, mask=mask, mask_bits=flag_bits(mask_bits), flux_scale=flux_scale)
    waiting: list[_Found] = []
    frames: list[FrameInfo] = []
    skipped: list[SkippedHdu] = []
    seen: set[tuple[str, int]] = set()
    # Headers of 10 000 frames take 300 MB, so they are dropped frame by frame, unless an option has an entry for each of the frames, whose number is
    # known only at the end.
    at_once = not any(_is_row(spec) for spec in (weight, variance, mask, flux_scale))

    def finish_waiting() -> None:
        done, failed = _finish_all(waiting, len(items), options, on_error)
        frames.extend(done)
        skipped.extend(failed)
        waiting.clear()

    for number, item in enumerate(items):
        try:
            new, left = _look(item, number, options)
        except NbmosaicError as err:
            if on_error == "raise":
                raise
            skipped.append(SkippedHdu(name=str(item), reason=str(err)))
            continue
        skipped.extend(left)
        for one in new:
            identity = _identity(one)
            if identity is not None and identity in seen:
                skipped.append(SkippedHdu(name=one.file.name, reason="listed twice"))
                continue
            if identity is not None:
                seen.add(identity)
            waiting.append(one)
        if at_once:
            finish_waiting()
    finish_waiting()
    if not frames and on_error == "skip":
        raise InputError(f"none of {len(items)} inputs can be used; the first: {skipped[0].reason}")
    return frames, skipped


def _identity(one: _Found) -> tuple[str, int] | None:
    """File and HDU, which must not be listed twice; None for an image in memory."""
    return None if one.file.hdu is None else (os.path.realpath(one.file.path), one.file.hdu.index)


def _finish_all(found: list[_Found], n_items: int, options: _Options, on_error: str) -> tuple[list[FrameInfo], list[SkippedHdu]]:
    """Turn what was found into frames, and list what cannot be used."""
    frames: list[FrameInfo] = []
    skipped: list[SkippedHdu] = []
    for number, one in enumerate(found):
        try:
            frames.append(_finish(one, (one.item, number, n_items, len(found)), options))
        except NbmosaicError as err:
            if on_error == "raise":
                raise
            skipped.append(SkippedHdu(name=one.file.name, reason=str(err)))
    return frames, skipped


def _look(item: Any, number: int, options: _Options) -> tuple[list[_Found], list[SkippedHdu]]:
    """Images of one input."""
    if not isinstance(item, str):
        return _look_at_object(item, number, options)
    path, inner = split_hdu(item)
    try:
        status = os.stat(path)  # noqa: PTH116 - thousands of files: a Path object costs as much as the call
    except OSError as err:
        raise os_error("read", path, err) from err
    wanted = options.hdu if inner is None else inner
    choices = None if wanted is None else list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    numbers = [c for c in choices or () if isinstance(c, int) and c >= 0]
    planes = any(spec is not None for spec in (options.weight, options.variance, options.mask))  # may be in any HDU of the file
    last = max(numbers) if choices and len(numbers) == len(choices) and not planes else None
    hdus = scan_fits(path, last=last)
    chosen, skipped = choose_hdus(path, hdus, choices)
    several = len([h for h in hdus if h.is_image]) > 1 or last is not None
    key = (status.st_size, status.st_mtime_ns)
    found = []
    for hdu in chosen:
        unique = bool(hdu.name) and [h.name for h in hdus].count(hdu.name) == 1
        name = f"{path}[{hdu.name if unique else hdu.index}]" if several or choices else path
        label = f"{path} HDU {hdu.index}" + (f" ({hdu.name})" if hdu.name else "") if several else path
        wcs, axes = read_wcs(hdu.cards, hdu.naxis, where=label, path=path)
        image = fits_image(path, hdu, label=label, axes=axes, key=key)
        frame_file = FrameFile(path=path, hdus=tuple(hdus), hdu=hdu, shape=image.shape, name=name, key=key)
        found.append(
            _Found(
                item=number,
                file=frame_file,
                wcs=wcs,
                pixels=image,
                cards=hdu.cards,
                primary=hdus[0].cards,
                meta=_file_meta(frame_file, status),
            )
        )
    return found, skipped


def _look_at_object(item: Any, number: int, options: _Options) -> tuple[list[_Found], list[SkippedHdu]]:
    """Images of an object in memory."""
    found, skipped = [], []
    for one in image_objects(item, number, options.hdu):
        if one.reason:
            skipped.append(SkippedHdu(name=one.name, reason=one.reason, expected=one.expected))
            continue
        shape = (one.data.shape[0], one.data.shape[1])
        frame_file = FrameFile(path=one.path, hdus=(), hdu=None, shape=shape, name=one.name, version=one.version, siblings=one.siblings)
        meta = {
            "file": one.path,
            "hdu": one.hdu,
            "size": one.data.nbytes,
            "naxis": 2,
            "extname": one.extname,
            "mtime_ns": 0,
            "in_memory": True,
        }
        found.append(_Found(item=number, file=frame_file, wcs=one.wcs, pixels=one.data, cards=one.cards, primary=None, meta=meta, own=one))
    return found, skipped


def _file_meta(file: FrameFile, status: os.stat_result) -> dict[str, Any]:
    hdu = file.hdu
    assert hdu is not None
    meta = {
        "file": file.path,
        "hdu": hdu.index,
        "extname": hdu.name,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "naxis": len(hdu.naxis),
    }
    for axis in range(3, min(len(hdu.naxis), 4) + 1):
        meta[f"naxis{axis}"] = hdu.naxis[axis - 1]
        for key in ("crval", "cdelt", "crpix"):
            meta[f"{key}{axis}"] = hdu.cards.number(f"{key.upper()}{axis}", float("nan"))
    return meta


def _finish(one: _Found, row: tuple[int, int, int, int], options: _Options) -> FrameInfo:
    """Attach planes, flux scale and header values; `row` as in `_of_frame`."""
    file = one.file
    scale = _flux_scale(_of_frame("flux_scale", options.flux_scale, row), one)
    own = one.own
    parts: dict[str, Plane | None] = {}
    for what in ("weight", "variance", "mask"):
        spec = _of_frame(what, getattr(options, what), row)
        parts[what] = resolve_plane(what, spec, file)
    if own is not None:
        parts["mask"] = parts["mask"] or (None if own.mask is None else Plane(source=own.mask))
        parts["variance"] = parts["variance"] or (None if own.uncertainty is None else Plane(source=own.uncertainty, meaning=own.meaning))
    planes = _Planes(weight=parts["weight"], variance=parts["variance"], mask=parts["mask"], mask_bits=options.mask_bits, flux_scale=scale)
    source: FitsSource | ArraySource
    source = (
        FitsSource(image=one.pixels, planes=planes) if isinstance(one.pixels, FitsImage) else ArraySource(data=one.pixels, planes=planes)
    )
    meta = dict(one.meta)
    meta["unit"] = own.unit if own is not None and own.unit else _first_text(one, ("BUNIT",))
    meta["exptime"] = _first_number(one, _EXPOSURE_KEYS)
    meta["equinox"] = one.wcs.wcs.equinox
    return FrameInfo(name=file.name, shape=file.shape, wcs=one.wcs, source=source, meta=meta, flux_scale=scale)


def _headers(one: _Found) -> list[CardList]:
    """Header of the image, then the primary header of its file (where multi-extension files keep exposure time and zero point)."""
    both = [one.cards] if one.primary is one.cards else [one.cards, one.primary]
    return [cards for cards in both if cards is not None]


def _first_text(one: _Found, keys: Sequence[str]) -> str:
    return next((cards.text(key) for cards in _headers(one) for key in keys if cards.text(key)), "")


def _first_number(one: _Found, keys: Sequence[str]) -> float:
    values = (cards.number(key, float("nan")) for cards in _headers(one) for key in keys)
    return next((value for value in values if np.isfinite(value)), float("nan"))


def _is_row(spec: Any) -> bool:
    """Whether an option has an entry for every input or frame."""
    return isinstance(spec, list | tuple) or (hasattr(spec, "dtype") and getattr(spec, "ndim", 2) == 1)


def _of_frame(what: str, spec: Any, row: tuple[int, int, int, int]) -> Any:
    """Entry of an option that belongs to one frame: `row` holds the numbers of its input and of itself, and how many there are of each."""
    if not _is_row(spec):
        return spec
    item, number, n_items, n_frames = row
    values = list(spec)
    if len(values) == n_frames:
        return values[number]
    if len(values) == n_items:
        return values[item]
    raise ShapeError(
        f"{what} has {len(values)} entries for {n_items} inputs with {n_frames} frames", hint="give one per input or per frame"
    )


def _flux_scale(spec: Any, one: _Found) -> float:
    """Factor on the data of one frame."""
    if spec is None:
        return 1.0
    try:
        value = float(spec)
    except (TypeError, ValueError):
        value = _scale_of_keyword(str(spec), one)
    if not np.isfinite(value) or value <= 0:
        raise InputError(f"flux_scale {spec!r} gives {value} for {one.file.name}, expected a positive number", frame=one.file.name)
    return value


def _scale_of_keyword(spec: str, one: _Found) -> float:
    keyword, colon, reference = (part.strip() for part in spec.partition(":"))
    value = _first_number(one, (keyword.upper(),))
    if not np.isfinite(value):
        raise InputError(f"flux_scale {spec!r}: {one.file.name} has no number {keyword.upper()} in its header", frame=one.file.name)
    if not colon:
        return value
    try:
        return float(10.0 ** (-0.4 * (value - float(reference))))
    except (ValueError, OverflowError):
        raise InputError(f"flux_scale {spec!r}: expected KEYWORD:zero point, as in MAGZP:25") from None
