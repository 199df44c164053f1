"""Functions on one image: cut, shrink, mend, examine, count."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.compat.montage.examine import mExamine, mHistogram
from nbmosaic.compat.montage.reading import image_wcs, open_image
from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import AlgorithmError, FormatError, InputError
from nbmosaic.io.image_hdu import ImageHdu, write_image_hdu
from nbmosaic.io.scaled_cards import scaled_cards

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic._types import AnyArray, PathLike
    from nbmosaic.core.geometry.montage_cuts import PixelRange

__all__ = ["mExamine", "mFixNaN", "mHistogram", "mShrink", "mSubimage"]


def _write(path: Any, image: ImageHdu, data: AnyArray, changes: dict[str, Any]) -> None:
    """Write, and say as Montage does that a file could not be made."""
    name = path_text(path, "the output")
    try:
        write_image_hdu(name, image, data, changes)
    except FormatError as error:
        raise FormatError(f"couldn't create the named file: {error.message}", path=name) from error


@montage_call
def mSubimage(
    infile: PathLike,
    outfile: PathLike,
    ra: float,
    dec: float,
    xsize: float,
    ysize: float,
    mode: int = 0,
    hdu: int = 0,
    nowcs: bool = False,
    debug: int = 0,
) -> Answer:
    """Cut a part out of an image.

    Parameters
    ----------
    infile, outfile : path
        FITS files.
    ra, dec : float
        Centre in J2000 degrees (mode 0), or first pixel (mode 1), counted from 1.
    xsize, ysize : float
        Sizes along the axes of the image, in degrees (mode 0) or pixels (mode 1).
    mode : int
        0 box on the sky, 1 box of pixels, 2 the whole HDU, 3 the smallest box that holds all pixels that are not blank.
    hdu : int
        HDU of `infile`, from 0.
    nowcs : bool
        The image has no WCS (modes 1 to 3).
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status`` and ``content``: ``b'normal'``, ``b'flat'`` (all pixels the same) or ``b'blank'``.

    Notes
    -----
    Differs from Montage: with mode 2 CRPIX stays right (Montage writes one that is off by the size); a box of pixels that lies off the image is an error and
    not its last pixel; flat images of every type are called flat (Montage calls all but double precision ones blank); galactic and B1950 images are 0.4
    arcsec away because Montage's change of systems is.
    """
    del debug
    if mode not in (0, 1, 2, 3):
        raise InputError(f"mode {mode!r}: expected 0 (sky), 1 (pixels), 2 (HDU) or 3 (shrink to content)")
    image = open_image(infile, hdu, "File {} not found.", "File ({}) is not a FITS image")
    wcs = None if nowcs and mode != 0 else image_wcs(image)
    box = _cut(image, wcs, mode, (ra, dec, xsize, ysize))
    part = image.stored[box.y0 - 1 : box.y1, box.x0 - 1 : box.x1]
    changes: dict[str, Any] = {}
    for axis, first in ((1, box.x0), (2, box.y0)):
        for key, sign in ((f"CRPIX{axis}", -1), (f"CNPIX{axis}", 1)):
            if key in image.cards or (key.startswith("CRPIX") and wcs is not None and "CNPIX1" not in image.cards):
                changes[key] = float(image.cards.number(key, 0.0) + sign * (first - 1))
    name = path_text(outfile, "outfile")
    try:
        write_image_hdu(name, image, part, changes)
    except FormatError as error:
        raise FormatError(f"Can't create output file: {name} ({error.message})", path=name) from error
    return {"content": _content(image, part)}


def _cut(image: ImageHdu, wcs: WCS | None, mode: int, region: tuple[float, float, float, float]) -> PixelRange:
    """The part of an image that is asked for."""
    from nbmosaic.core.geometry.j2000 import j2000_to_pixel
    from nbmosaic.core.geometry.montage_cuts import PixelRange, centred_range, content_range, listed_range
    from nbmosaic.io.frame_table import scale_and_rotation

    shape = (image.stored.shape[0], image.stored.shape[1])
    ra, dec, xsize, ysize = (float(v) for v in region)
    if mode == 2:
        return PixelRange(1, shape[1], 1, shape[0])
    if mode == 3:
        content = content_range(~np.isnan(image.values()))
        if content is None:
            raise AlgorithmError(f"No pixels match area. All pixels of {image.path} are blank")
        return content
    if not all(math.isfinite(v) for v in (ra, dec, xsize, ysize)):
        raise InputError(f"the region {ra:g} {dec:g} {xsize:g} {ysize:g} is not finite")
    if mode == 1:
        wanted = listed_range(ra, dec, xsize, ysize)
    else:
        assert wcs is not None
        x, y = (float(v[0]) + 1.0 for v in j2000_to_pixel(wcs, np.array([ra]), np.array([dec])))
        cdelt1, cdelt2, _ = scale_and_rotation(wcs)
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InputError(f"Region outside image. ({ra:g}, {dec:g}) is not on {image.path}")
        wanted = centred_range(x, y, abs(xsize / cdelt1), abs(ysize / cdelt2))
    part = wanted.within(shape)
    if part is None:
        raise InputError(
            f"Region outside image. Columns {wanted.x0} to {wanted.x1} and rows {wanted.y0} to {wanted.y1} are not on the "
            f"{shape[1]} x {shape[0]} pixels of {image.path}"
        )
    if part.x0 > part.x1 or part.y0 > part.y1 or (mode == 0 and (part.x0 == part.x1 or part.y0 == part.y1)):
        raise InputError(f"No pixels match area. {xsize:g} x {ysize:g} at ({ra:g}, {dec:g}) on {image.path}")
    return part


def _content(image: ImageHdu, part: AnyArray) -> bytes:
    blank = image.cards.get("BLANK")
    good = part[~np.isnan(part)] if part.dtype.kind == "f" else part[part != blank] if isinstance(blank, int) else part
    if not good.size:
        return b"blank"
    return b"flat" if bool((good == good.flat[0]).all()) else b"normal"


@montage_call
def mShrink(
    infile: PathLike,
    output_file: PathLike,
    shrinkFactor: float,
    cdelt: float = 0.0,
    hdu: int = 0,
    fixedSize: bool = False,
    debug: int = 0,
) -> Answer:
    """Average blocks of pixels.

    Parameters
    ----------
    infile, output_file : path
        FITS files.
    shrinkFactor : float
        Input pixels in the side of an output pixel, whole or not; below 1 the image is blown up. With `fixedSize`, the wanted length of the longer axis.
    cdelt : float
        Size of the new pixels in degrees, where it shall not be that of the old ones times the factor.
    hdu : int
        HDU of `infile`, from 0.
    fixedSize : bool
        See `shrinkFactor`.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status`` and ``time`` (seconds).

    Notes
    -----
    Every output pixel is the mean of the input pixels inside it, weighted by the part of each that lies inside; NaN do not count. CRPIX becomes
    ``(CRPIX - 0.5) / f + 0.5``, CDELT and CD are multiplied by f.

    Differs from Montage: the last row is right (Montage's lies one input row too low), fractional factors take the right rows (Montage's buffer is one row
    too short), blown-up rows are not shifted by half a pixel, SIP coefficients are scaled with the pixels, and integer images become floating point ones
    instead of being truncated.
    """
    del debug
    from nbmosaic.core.shrinking import shrink_factor, shrink_image

    start = time.perf_counter()
    shrink_factor((2**40, 2**40), shrinkFactor, fixed_size=fixedSize)
    missing = "Image file {} missing or invalid FITS"
    image = open_image(infile, hdu, missing, missing)
    factor = shrink_factor((image.stored.shape[0], image.stored.shape[1]), shrinkFactor, fixed_size=fixedSize)
    values = shrink_image(image.values(), factor)
    kind = np.float32 if image.stored.dtype.kind == "f" and image.stored.dtype.itemsize == 4 else np.float64
    _write(output_file, image, values.astype(kind), scaled_cards(image.cards, factor, cdelt=float(cdelt)))
    return {"time": float(round(time.perf_counter() - start))}


@montage_call
def mFixNaN(
    input_file: PathLike,
    output_file: PathLike,
    haveVal: bool,
    NaNvalue: float,
    nMinMax: int,
    minblank: Any,
    ismin: Any,
    maxblank: Any,
    ismax: Any,
    boundaries: bool = False,
    debug: int = 0,
) -> Answer:
    """Turn NaN into a value, or values of some ranges into NaN (or that value).

    Parameters
    ----------
    input_file, output_file : path
        FITS files; the output has double precision.
    haveVal : bool
        Whether NaN become `NaNvalue`.
    NaNvalue : float
        See `haveVal`.
    nMinMax : int
        Number of ranges.
    minblank, maxblank : sequence of float, length nMinMax
        Limits of the ranges.
    ismin, ismax : sequence of bool, length nMinMax
        ``ismin`` alone: all values from the lower limit up. ``ismax`` alone: all values up to the upper limit. Else from one to the other.
    boundaries : bool
        Pixels that are on no part of the sky (corners of an Aitoff map) become NaN first.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status``; ``rangeCount``, pixels in a range; ``nanCount``, pixels that were changed from or to NaN; ``boundaryCount``.

    Notes
    -----
    Differs from Montage: of a file whose primary HDU is empty, the first image is taken; too short lists of limits are an error instead of a read of foreign
    memory.
    """
    del debug
    from nbmosaic.core.geometry.j2000 import off_sky

    image = open_image(input_file, None, "File {} not found.", "File ({}) is not a FITS image")
    lower, upper, low_only, high_only = _limit_lists(int(nMinMax), minblank, maxblank, ismin, ismax)
    values = image.values()
    outside = off_sky(image_wcs(image), (values.shape[0], values.shape[1])) if boundaries else np.zeros(values.shape, bool)
    values[outside] = np.nan
    was_nan = np.isnan(values)
    hit = np.zeros(values.shape, bool)
    with np.errstate(invalid="ignore"):
        for low, high, from_low, to_high in zip(lower, upper, low_only, high_only, strict=True):
            if from_low and not to_high:
                hit |= values >= low
            elif to_high and not from_low:
                hit |= values <= high
            else:
                hit |= (values >= low) & (values <= high)
    values[hit] = np.nan
    count = int(hit.sum()) + (int(was_nan.sum()) if haveVal else 0)
    if haveVal:
        values[hit | was_nan] = float(NaNvalue)
    _write(output_file, image, values, {})
    return {"rangeCount": int(hit.sum()), "nanCount": count, "boundaryCount": int(outside.sum())}


def _limit_lists(n: int, minblank: Any, maxblank: Any, ismin: Any, ismax: Any) -> tuple[list[float], list[float], list[bool], list[bool]]:
    lists = {"minblank": minblank, "maxblank": maxblank, "ismin": ismin, "ismax": ismax}
    for name, values in lists.items():
        size = 0 if values is None else len(np.atleast_1d(values))
        if size < n:
            raise InputError(f"{name} has {size} entries for nMinMax = {n} ranges")
    floats = [[float(v) for v in np.atleast_1d(x)[:n]] if n > 0 else [] for x in (minblank, maxblank)]
    flags = [[bool(v) for v in np.atleast_1d(x)[:n]] if n > 0 else [] for x in (ismin, ismax)]
    return floats[0], floats[1], flags[0], flags[1]
