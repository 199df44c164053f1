"""Filter curves: text files of two columns, and the change of their unit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError, InputError
from nbmosaic.io.fits_scan import os_error

if TYPE_CHECKING:
    from nbmosaic._types import FloatArray, PathLike

__all__ = ["FilterCurve", "read_filter_curve", "wavelengths_in"]

_SPLIT = re.compile(r"[\s,;]+")
_COMMENTS = ("#", "!", "%", "//")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FilterCurve:
    """Sensitivity of a filter against wavelength.

    Attributes
    ----------
    wavelengths, sensitivities : ndarray of float64, shape (n,)
        The samples, in file order.
    name : str
        File name up to its first point.
    """

    wavelengths: FloatArray
    sensitivities: FloatArray
    name: str = ""


def read_filter_curve(source: PathLike) -> FilterCurve:
    """Read a filter curve from a text file.

    Parameters
    ----------
    source : str or path
        File with a wavelength and a sensitivity in the first two columns, separated by blanks, commas or semicolons. Empty lines and comments
        (``#``, ``!``, ``%``, ``//``) are passed over, as is one line of column names at the top.

    Returns
    -------
    FilterCurve

    Raises
    ------
    FormatError
        The file cannot be read, or a line does not begin with two finite numbers.

    Examples
    --------
    >>> read_filter_curve("f606w.dat").wavelengths[0]  # doctest: +SKIP
    4580.0
    """
    path = Path(os.fspath(source)).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as err:
        raise os_error("read filter curve", str(path), err) from err
    except ValueError as err:
        raise FormatError(f"cannot read filter curve {str(path)!r}: {err}", path=str(path)) from err
    rows: list[tuple[float, float]] = []
    named = False
    for number, line in enumerate(text.splitlines(), 1):
        body = line.strip()
        for comment in _COMMENTS:
            body = body.partition(comment)[0].strip()
        if not body:
            continue
        words = [word for word in _SPLIT.split(body) if word]
        try:
            pair = (float(words[0]), float(words[1]))
        except (ValueError, IndexError) as err:
            if not rows and not named and len(words) >= 2 and all(word[:1].isalpha() for word in words[:2]):
                named = True
                continue
            raise FormatError(
                f"{path}, line {number}: expected a wavelength and a sensitivity, found {body[:40]!r}", path=str(path), line=number
            ) from err
        if not np.isfinite(pair).all():
            raise FormatError(f"{path}, line {number}: {body[:40]!r} is not finite", path=str(path), line=number)
        rows.append(pair)
    if len(rows) < 2:
        raise FormatError(f"{path} holds {len(rows)} samples of a filter curve", hint="it needs two at least", path=str(path))
    table = np.array(rows)
    return FilterCurve(wavelengths=table[:, 0].copy(), sensitivities=table[:, 1].copy(), name=path.name.partition(".")[0])


def wavelengths_in(wavelengths: Any, unit: Any, cube_unit: str) -> FloatArray:
    """Wavelengths of a filter curve in the unit of a cube.

    Parameters
    ----------
    wavelengths : array_like
        Numbers, or an astropy ``Quantity`` (whose own unit then counts).
    unit : str, astropy.units.Unit or None
        Unit of the numbers (``"Angstrom"``, ``"nm"``, ``"um"``, ...). None: they are plane numbers already, 0-based.
    cube_unit : str
        Unit of the cube, ``"pixel"`` where its axis has none.

    Raises
    ------
    InputError
        A unit that is not known, or not one of length where the cube has one.

    Examples
    --------
    >>> wavelengths_in([606.0], "nm", "Angstrom")
    array([6060.])
    """
    from astropy import units

    values = np.array(getattr(wavelengths, "value", wavelengths), np.float64)
    unit = getattr(wavelengths, "unit", unit)
    if unit is None:
        return values
    if cube_unit == "pixel":
        raise InputError(f"the curve is in {unit}, the cube has no wavelengths", hint="give the curve in plane numbers (unit None)")
    try:
        return np.asarray(values * float(units.Unit(unit).to(units.Unit(cube_unit))), np.float64)
    except (ValueError, TypeError, units.UnitsError) as err:
        raise InputError(f"wavelengths in {str(unit)[:40]!r} cannot be turned into {cube_unit}", hint="use Angstrom, nm or um") from err
