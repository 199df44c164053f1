"""Weight, variance and mask planes that belong to frames: which HDU, file or array, and how to read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError, InputError, ShapeError
from nbmosaic.io.cards import CardList
from nbmosaic.io.fits_read import FitsImage, fits_image, to_float32
from nbmosaic.io.fits_scan import FitsHdu, scan_fits
from nbmosaic.io.paths import file_stem, is_fits_name, split_hdu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmosaic._types import AnyArray, BoolArray, Float32Array

__all__ = ["FrameFile", "Plane", "flag_bits", "is_plane_hdu", "resolve_plane"]

_SIGMA = {"ERR", "ERROR", "ERRORS", "SIGMA", "RMS", "STDDEV", "STD", "UNC", "UNCERT", "UNCERTAINTY", "NOISE"}
_INVERSE = {"IVAR", "INVVAR", "INVVARIANCE"}
_VARIANCE = {"STAT", "VAR", "VARIANCE"}
_OTHER = {
    "DQ",
    "DQA",
    "MASK",
    "BPM",
    "BADPIX",
    "FLAG",
    "FLAGS",
    "QUALITY",
    "WHT",
    "WEIGHT",
    "WEIGHTS",
    "WGT",
    "WT",
    "CTX",
    "CON",
    "CONTEXT",
}
_COVERAGE = {"AREA", "NFRAMES", "COV", "COVERAGE", "EXPMAP", "NUMBER", "TIME", "SAMP", "HITS"}
_PLANE_NAMES = frozenset(_SIGMA | _INVERSE | _VARIANCE | _OTHER | _COVERAGE)
_HDUCLAS3 = {"RMSE": "sigma", "MSE": "value", "INVMSE": "inverse", "INVRMSE": "inverse_sigma"}
_PREFIX = {"sigma": "sigma", "stddev": "sigma", "variance": "value", "ivar": "inverse", "weight": "value"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFile:
    """The file and HDU that a frame comes from (empty and None for a frame in memory, whose HDU list may be among `siblings`)."""

    path: str
    hdus: tuple[FitsHdu, ...]
    hdu: FitsHdu | None
    shape: tuple[int, int]
    name: str
    key: tuple[int, int] = (-1, -1)
    version: int = 1
    siblings: Any = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Plane:
    """One plane: an image in a file or an array, and what its numbers mean.

    Attributes
    ----------
    source : FitsImage or ndarray
        Where the numbers come from.
    meaning : str
        ``"value"`` (variance, weight or mask as they stand), ``"sigma"``, ``"inverse"`` or ``"inverse_sigma"``: turned into a variance.
    """

    source: FitsImage | AnyArray
    meaning: str = "value"

    def read(self, *, scale: float = 1.0) -> Float32Array:
        """Read float32 values times `scale`, after squaring or inverting where the meaning asks for it."""
        if isinstance(self.source, FitsImage):
            values = self.source.read()
        else:
            values = np.empty(self.source.shape, np.float32)
            to_float32(self.source, values)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if self.meaning in {"sigma", "inverse_sigma"}:
                values[values < 0] = np.nan
                np.multiply(values, values, out=values)
            if self.meaning in {"inverse", "inverse_sigma"}:
                values[values <= 0] = np.nan
                np.divide(np.float32(1.0), values, out=values)
            if scale != 1.0:
                values *= np.float32(scale)
        return values

    def read_flags(self, bits: int | None) -> BoolArray:
        """Read a mask: True is bad."""
        if isinstance(self.source, FitsImage):
            return self.source.read_flags(bits)
        values = self.source
        if bits is None or values.dtype.kind not in "iu":
            return np.not_equal(values, 0)
        return (values.astype(np.int64) & bits) != 0


def flag_bits(mask_bits: int | Sequence[int] | None) -> int | None:
    """Union of flag values.

    Parameters
    ----------
    mask_bits : int or sequence of int, optional
        Flag values 1, 2, 4, 8, ... as data-quality tables list them, or sums of them. None: any number but zero is bad.

    Raises
    ------
    InputError
        Not positive whole numbers.

    Examples
    --------
    >>> flag_bits([1, 4])
    5
    """
    if mask_bits is None:
        return None
    values = [mask_bits] if isinstance(mask_bits, int | np.integer) else list(mask_bits)
    total = 0
    for value in values:
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value <= 0:
            raise InputError(f"mask_bits {mask_bits!r}: expected flag values such as 1, 2, 4, 8 (or sums of them), not bit positions")
        total |= int(value)
    if total == 0:
        raise InputError("mask_bits is empty", hint="leave it out to mask every number but zero")
    return total


def is_plane_hdu(hdu: FitsHdu) -> bool:
    """Whether an image HDU says by its name or class that it is a companion plane (``STAT``, ``DQ``, ``S6_WHT``, HDUCLAS2 ``ERROR``)."""
    name = hdu.name.upper()
    last = re.split(r"[_.\-: ]", name.rstrip("0123456789"))[-1] if name else ""
    return last in _PLANE_NAMES or name in _PLANE_NAMES or hdu.cards.text("HDUCLAS2").upper() in {"ERROR", "QUALITY"}


def resolve_plane(what: str, spec: Any, frame: FrameFile) -> Plane | None:
    """Find the plane of a frame.

    Parameters
    ----------
    what : str
        ``"weight"``, ``"variance"`` or ``"mask"``.
    spec : None, str, path, int, callable or ndarray
        An HDU number or extension name of the frame's own file; a file name, in which ``{stem}`` (file name without ending), ``{name}``
        (file name), ``{extname}`` and ``{hdu}`` stand for those of the frame (looked for as it stands, then beside the frame);
        ``"ooi->oow"``, a part of the frame's file name and what replaces it; a function of the frame's path that gives a file name; or
        an array of the frame's shape. A variance is squared or inverted where it is named so (``ERR``, ``SIGMA``, ``RMS``, ``IVAR``,
        HDUCLAS3 ``RMSE``, or a prefix: ``"sigma:NAME"``, ``"ivar:NAME"``, ``"variance:NAME"``).
    frame : FrameFile
        The frame.

    Raises
    ------
    FormatError
        No such file or extension.
    ShapeError
        The plane has another shape than the frame.

    Examples
    --------
    >>> resolve_plane("mask", np.zeros((2, 2), int), FrameFile(path="", hdus=(), hdu=None, shape=(2, 2), name="a")).meaning
    'value'
    """
    if spec is None:
        return None
    if callable(spec):
        spec = spec(frame.path)
    if hasattr(spec, "dtype"):
        _check_shape(what, "array", tuple(spec.shape), frame)
        return Plane(source=np.asarray(spec))
    meaning = None
    if not isinstance(spec, int):
        spec = str(spec)
        prefix, colon, rest = spec.partition(":")
        if colon and prefix in _PREFIX:
            meaning, spec = _PREFIX[prefix], rest
    if frame.siblings is not None:
        found = _among_siblings(spec, frame)
        if found is not None:
            _check_shape(what, f"HDU {spec}", found[0].shape, frame)
            return Plane(source=found[0], meaning=meaning or (found[1] if what == "variance" else "value"))
    path, hdu, key = _find(what, spec, frame)
    label = f"{path}[{hdu.name or hdu.index}]"
    image = fits_image(path, hdu, label=label, key=key)
    _check_shape(what, label, image.shape, frame)
    if what != "variance":
        meaning = "value"
    return Plane(source=image, meaning=meaning or _meaning(hdu, spec))


def _check_shape(what: str, label: str, shape: tuple[int, ...], frame: FrameFile) -> None:
    if shape != frame.shape:
        raise ShapeError(f"{what} {label} is {shape}, its frame {frame.name} is {frame.shape}", frame=frame.name)


def _meaning(hdu: FitsHdu, spec: str | int) -> str:
    """Tell what the numbers of an uncertainty HDU mean, from HDUCLAS3 or its name."""
    declared = _HDUCLAS3.get(hdu.cards.text("HDUCLAS3").upper())
    if declared:
        return declared
    for name in (hdu.name.upper().rstrip("0123456789"), file_stem(str(spec)).upper()):
        words = set(re.split(r"[_.\-: {}]", name))
        if words & _SIGMA:
            return "sigma"
        if words & _INVERSE:
            return "inverse"
    return "value"


def _among_siblings(spec: str | int, frame: FrameFile) -> tuple[AnyArray, str] | None:
    """Image of an HDU list in memory by number or name, and what its numbers mean."""
    wanted = int(spec) if isinstance(spec, str) and spec.isdecimal() else spec
    keys = [wanted] if isinstance(wanted, int) else [(wanted, frame.version), wanted]
    hdu = next((frame.siblings[key] for key in keys if _has_key(frame.siblings, key)), None)
    if hdu is None:
        return None
    if hdu.data is None or not hasattr(hdu.data, "dtype"):
        raise InputError(f"HDU {spec} of {frame.name} holds no image", frame=frame.name)
    cards = CardList(hdu.header.tostring(endcard=False, padding=False).encode("latin-1", "replace"))
    described = FitsHdu(index=0, cards=cards, kind="image", naxis=(), bitpix=0, offset=0)
    return np.asarray(hdu.data), _meaning(described, spec)


def _has_key(hdus: Any, key: Any) -> bool:
    try:
        hdus[key]
    except (KeyError, IndexError):
        return False
    return True


def _find(what: str, spec: str | int, frame: FrameFile) -> tuple[str, FitsHdu, tuple[int, int]]:
    """File, HDU and key of a plane that is named by text or number."""
    if isinstance(spec, int) or spec.isdecimal():
        return frame.path, _by_number(what, int(spec), frame), frame.key
    own = _substitute(spec, frame)
    found = [h for h in frame.hdus if h.is_image and h.name.upper() == own.upper()]
    if found:
        same = [h for h in found if frame.hdu is not None and h.version == frame.hdu.version]
        return frame.path, (same or found)[0], frame.key
    if "->" in spec:
        old, _, new = spec.partition("->")
        base = Path(frame.path).name
        if not old or old not in base:
            raise InputError(f"{what} {spec!r}: {old!r} is not in the file name {base}", frame=frame.name)
        own = str(Path(frame.path).with_name(base.replace(old, new)))
    if not is_fits_name(split_hdu(own)[0]) and not Path(own).exists():
        names = ", ".join(h.name for h in frame.hdus if h.is_image and h.name) or "none with a name"
        raise FormatError(f"{what} {own!r}: {frame.path or frame.name} has no such extension (it has {names})", frame=frame.name)
    return _in_file(what, own, frame)


def _substitute(text: str, frame: FrameFile) -> str:
    extname, number = ("", 0) if frame.hdu is None else (frame.hdu.name, frame.hdu.index)
    values = {"{stem}": file_stem(frame.path), "{name}": Path(frame.path).name, "{extname}": extname, "{hdu}": str(number)}
    for field, value in values.items():
        text = text.replace(field, value)
    return text


def _by_number(what: str, number: int, frame: FrameFile) -> FitsHdu:
    if frame.hdu is None:
        raise InputError(f"{what} {number}: {frame.name} is no file with HDUs", hint="give an array", frame=frame.name)
    hdus = frame.hdus if number < len(frame.hdus) else tuple(scan_fits(frame.path))
    if not 0 <= number < len(hdus) or not hdus[number].is_image:
        raise FormatError(f"{what} HDU {number}: {frame.path} has no image there (HDUs 0 to {len(hdus) - 1})", frame=frame.name)
    return hdus[number]


def _in_file(what: str, name: str, frame: FrameFile) -> tuple[str, FitsHdu, tuple[int, int]]:
    """HDU of another file: the one asked for, of the frame's extension name, of its number, or the only image."""
    path, wanted = split_hdu(str(Path(name).expanduser()) if name.startswith("~") else name)
    if not Path(path).exists():
        beside = Path(frame.path).parent / path
        if not beside.exists():
            raise FormatError(f"{what} file {path} of frame {frame.name} does not exist", frame=frame.name, path=path)
        path = str(beside)
    status = Path(path).stat()
    hdus = scan_fits(path)
    images = [h for h in hdus if h.is_image]
    if isinstance(wanted, int):
        chosen = [h for h in images if h.index == wanted]
    elif wanted is not None:
        chosen = [h for h in images if h.name.upper() == wanted.upper()]
    else:
        own = frame.hdu
        named = [h for h in images if own is not None and own.name and h.name.upper() == own.name.upper()]
        numbered = [h for h in images if own is not None and h.index == own.index]
        chosen = images if len(images) == 1 else named or numbered
    if not chosen:
        raise FormatError(
            f"{what} file {path} has no image HDU for frame {frame.name}", hint="name one, as in file.fits[2]", frame=frame.name
        )
    return path, chosen[0], (status.st_size, status.st_mtime_ns)
