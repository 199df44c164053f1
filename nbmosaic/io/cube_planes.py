"""Spectral cubes, read a few planes at a time: files (plain, or DATA, STAT and DQ), mpdaf cubes, arrays with a WCS."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError, InputError, ShapeError, WcsError
from nbmosaic.io.cards import CardList
from nbmosaic.io.fits_scan import FitsHdu, open_fits, scan_fits
from nbmosaic.io.image_planes import choose_data_hdu, header_values
from nbmosaic.io.paths import file_stem, split_hdu
from nbmosaic.io.wcs_read import quiet_wcs, read_wcs
from nbmosaic.types.sky_image import CubePlanes, SkyCube

if TYPE_CHECKING:
    from nbmosaic._types import AnyArray, FloatArray

__all__ = ["ArrayCube", "CubeHdu", "FitsCube", "is_cube", "read_sky_cube"]

_AGAIN = "copy or download it again"
_VARIANCE_NAMES = ("STAT", "VAR", "VARIANCE")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CubeHdu:
    """Voxels of one HDU: mapped where the file is not packed, else held in memory in their stored type."""

    label: str
    stored: AnyArray
    bscale: float = 1.0
    bzero: float = 0.0
    blank: int | None = None

    def read(self, first: int, last: int) -> FloatArray:
        """Planes in double precision; blank voxels are NaN."""
        raw = self.stored[first:last]
        values = raw.astype(np.float64)
        if self.bscale != 1.0 or self.bzero != 0.0:
            values *= self.bscale
            values += self.bzero
        if self.blank is not None:
            values[raw == self.blank] = np.nan
        return values

    def read_flags(self, first: int, last: int) -> AnyArray:
        """Where the planes are not zero (NaN counts as not zero)."""
        return self.read(first, last) != 0 if self.bscale != 1.0 or self.bzero != 0.0 else np.asarray(self.stored[first:last] != 0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitsCube:
    """Planes of a file."""

    data: CubeHdu
    variance: CubeHdu | None = None
    flags: CubeHdu | None = None

    def read(self, first: int, last: int) -> CubePlanes:
        """Planes from `first` up to, not including, `last`."""
        data = self.data.read(first, last)
        mask = ~np.isfinite(data)
        if self.flags is not None:
            mask |= self.flags.read_flags(first, last)
        return CubePlanes(data=data, mask=mask, variance=None if self.variance is None else self.variance.read(first, last))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArrayCube:
    """Planes of arrays in memory, copied when they are asked for."""

    data: AnyArray
    mask: AnyArray | None = None
    variance: AnyArray | None = None

    def read(self, first: int, last: int) -> CubePlanes:
        """Planes from `first` up to, not including, `last`."""
        data = np.array(np.ma.getdata(self.data)[first:last], np.float64, order="C")
        mask = ~np.isfinite(data)
        if self.mask is not None:
            mask |= np.asarray(self.mask[first:last], bool)
        variance = None if self.variance is None else np.array(np.ma.getdata(self.variance)[first:last], np.float64, order="C")
        return CubePlanes(data=data, mask=mask, variance=variance)


def is_cube(item: Any) -> bool:
    """Whether something in memory has three axes longer than 1 (an mpdaf ``Cube``, an array with a WCS).

    Examples
    --------
    >>> is_cube((np.zeros((4, 3, 3)), None))
    True
    """
    if isinstance(item, SkyCube):
        return True
    shape = np.shape(item[0]) if isinstance(item, tuple) and len(item) == 2 else getattr(item, "shape", ())
    return isinstance(shape, tuple) and sum(n > 1 for n in shape) == 3


def read_sky_cube(item: Any, *, name: str = "") -> SkyCube:
    """Open a spectral cube; its planes are read when they are asked for.

    Parameters
    ----------
    item : str, path, or cube
        File name (the HDU is chosen as for `nbmosaic.io.image_planes.read_sky_image`; STAT, VAR or VARIANCE is the variance, DQ the mask);
        an ``mpdaf.obj.Cube``; ``(array, wcs)`` with a WCS of three axes; or a `SkyCube`, which is given back. Files that are not packed are
        mapped into memory, packed ones are held whole in their stored type.
    name : str
        Name of a cube in memory.

    Returns
    -------
    SkyCube
        Wavelengths come from the spectral axis in the unit of its header (CUNIT3).

    Raises
    ------
    FormatError
        The file cannot be read, or is shorter than its header says.
    ShapeError, WcsError
        Not a cube; no celestial axes, or they are not the first two of the header.

    Examples
    --------
    >>> read_sky_cube("DATACUBE_FINAL.fits").planes(0, 10).data.shape  # doctest: +SKIP
    (10, 320, 320)
    """
    if isinstance(item, SkyCube):
        return item
    if isinstance(item, str | os.PathLike):
        return _of_file(os.fspath(item))
    if hasattr(item, "wave") and hasattr(item, "wcs") and hasattr(item, "data"):
        return _of_mpdaf(item, name or file_stem(str(getattr(item, "filename", None) or "")) or "the cube")
    if isinstance(item, tuple) and len(item) == 2 and hasattr(item[0], "shape"):
        return _of_pair(item[0], item[1], name or "the cube")
    raise InputError(f"{name or 'the cube'} is {type(item).__name__}", hint="give a file name, an mpdaf Cube or (array, wcs)")


def _of_file(name: str) -> SkyCube:
    path, wanted = split_hdu(str(Path(name).expanduser()))
    hdus = scan_fits(path)
    hdu = choose_data_hdu(hdus, wanted, path, axes=3)
    label = f"{path}[{hdu.name or hdu.index}]" if len(hdus) > 1 else path
    naxis = hdu.naxis
    if len(naxis) < 3 or any(n > 1 for n in naxis[3:]):
        raise ShapeError(f"{label} has axes {'x'.join(map(str, naxis))}, expected a cube", path=path)
    shape = (naxis[2], naxis[1], naxis[0])
    by_name = {one.name.upper(): one for one in hdus if one.is_image and one is not hdu}
    variance = next((by_name[key] for key in _VARIANCE_NAMES if key in by_name), None)
    wcs = _celestial(hdu, shape, label, path)
    edges, unit = _edges_of_cards(hdu.cards, shape[0], label)
    source = FitsCube(
        data=_voxels(path, hdu, shape, label),
        variance=None if variance is None else _voxels(path, variance, shape, f"{path}[{variance.name}]"),
        flags=_voxels(path, by_name["DQ"], shape, f"{path}[DQ]") if "DQ" in by_name else None,
    )
    return SkyCube(
        shape=shape,
        source=source,
        wcs=wcs,
        edges=edges,
        wave_unit=unit,
        has_variance=variance is not None,
        unit=hdu.cards.text("BUNIT") or hdus[0].cards.text("BUNIT"),
        name=file_stem(path),
        filename=path,
        primary=header_values(hdus[0].cards),
        cards=header_values(hdu.cards),
    )


def _celestial(hdu: FitsHdu, shape: tuple[int, int, int], label: str, path: str) -> Any:
    wcs, axes = read_wcs(hdu.cards, hdu.naxis, where=label, path=path)
    if axes != (1, 2):
        raise WcsError(f"{label} has its celestial axes in {axes[0]} and {axes[1]}, expected 1 and 2", hint="reorder the cube")
    wcs.pixel_shape = (shape[2], shape[1])
    return wcs


def _voxels(path: str, hdu: FitsHdu, shape: tuple[int, int, int], label: str) -> CubeHdu:
    found = tuple(reversed(hdu.naxis[:3])) if len(hdu.naxis) >= 3 else tuple(reversed(hdu.naxis))
    if found != shape:
        raise ShapeError(f"{label} is {found}, its cube is {shape}", path=path)
    if hdu.kind == "compressed":
        return CubeHdu(label=label, stored=_unpacked(path, hdu, shape, label))
    blank = hdu.cards.get("BLANK")
    return CubeHdu(
        label=label,
        stored=_mapped(path, hdu, shape),
        bscale=hdu.cards.number("BSCALE", 1.0),
        bzero=hdu.cards.number("BZERO", 0.0),
        blank=blank if hdu.bitpix > 0 and isinstance(blank, int) and not isinstance(blank, bool) else None,
    )


def _mapped(path: str, hdu: FitsHdu, shape: tuple[int, int, int]) -> AnyArray:
    code = f">{'f' if hdu.bitpix < 0 else 'i' if hdu.bitpix > 8 else 'u'}{abs(hdu.bitpix) // 8}"
    size = int(np.prod(shape, dtype=np.int64)) * abs(hdu.bitpix) // 8
    with open_fits(path) as stream:
        if not isinstance(stream, gzip.GzipFile):
            return np.memmap(path, dtype=code, mode="r", offset=hdu.offset, shape=shape)
        stream.seek(hdu.offset)
        raw = stream.read(size)
    if len(raw) < size:
        raise FormatError(f"{path} is truncated: its voxels end early", hint=_AGAIN, path=path)
    return np.frombuffer(raw, code).reshape(shape)


def _unpacked(path: str, hdu: FitsHdu, shape: tuple[int, int, int], label: str) -> AnyArray:
    from astropy.io import fits

    try:
        with quiet_wcs(), fits.open(path, memmap=False) as hdus:
            return np.asarray(hdus[hdu.index].data).reshape(shape)
    except Exception as err:  # damaged tiles surface as errors of many kinds
        raise FormatError(f"cannot unpack {label}: {' '.join(str(err).split())}", hint=_AGAIN, path=path) from err


def _edges_of_cards(cards: CardList, nz: int, label: str) -> tuple[FloatArray, str]:
    """Edges of the planes from the third axis of a header, in the unit of its CUNIT3; plane numbers where it has no unit.

    mpdaf writes CTYPE3 = LINEAR, which astropy drops from the WCS of an image: so the axis gets a WCS of its own.
    """
    from astropy.wcs import WCS

    unit = cards.text("CUNIT3")
    wcs = WCS(naxis=1)
    wcs.wcs.ctype, wcs.wcs.cunit = [cards.text("CTYPE3")], [unit]
    wcs.wcs.crval, wcs.wcs.crpix = [cards.number("CRVAL3", 0.0)], [cards.number("CRPIX3", 0.0)]
    step = cards.number("CD3_3", 0.0) if "CD3_3" in cards else cards.number("CDELT3", 1.0) * cards.number("PC3_3", 1.0)
    wcs.wcs.cdelt = [step]
    try:
        wcs.wcs.set()
    except Exception as err:  # wcslib has an error class for each of its complaints
        reason = str(err).strip().splitlines()[-1]
        raise WcsError(f"{label} has a spectral axis that cannot be used: {reason}", hint="mend CTYPE3, CUNIT3 and CDELT3") from err
    return _edges(wcs, nz, unit, label)


def _edges(wcs: Any, nz: int, unit: str, label: str) -> tuple[FloatArray, str]:
    """Edges from a WCS of one axis, in `unit` (default: its own)."""
    from astropy import units

    pixels: FloatArray = np.arange(nz + 1, dtype=np.float64) - 0.5
    with quiet_wcs():
        own = str(wcs.wcs.cunit[0])
        if not own:
            return pixels, "pixel"
        try:
            native = units.Unit(own)
            factor = float(native.to(units.Unit(unit))) if unit else 1.0
        except (ValueError, TypeError, units.UnitsError) as err:
            raise WcsError(f"{label} has a spectral axis in {unit or own!r}, which is no unit of wavelength", hint="mend CUNIT3") from err
        edges: FloatArray = np.array(wcs.wcs_pix2world(pixels, 0)[0], np.float64) * factor
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise WcsError(f"{label} has wavelengths that do not increase from plane to plane", hint="turn the cube round, or mend CDELT3")
    return edges, unit or own


def _of_mpdaf(item: Any, name: str) -> SkyCube:
    data = item.data
    if data is None or np.ndim(data) != 3:
        raise ShapeError(f"{name} has an array of shape {np.shape(data)}, expected (nz, ny, nx)")
    nz = int(data.shape[0])
    wcs = getattr(item.wcs, "wcs", item.wcs)
    if wcs is None or not getattr(wcs, "has_celestial", False):
        raise WcsError(f"{name} has no celestial WCS")
    wave = item.wave
    pixels: FloatArray = np.arange(nz + 1, dtype=np.float64) - 0.5
    edges: FloatArray = pixels if wave is None else np.array(wave.coord(pixels), np.float64)
    unit = "pixel" if wave is None else str(wave.unit)
    mask, variance = np.ma.getmask(data), item.var
    return SkyCube(
        shape=(nz, int(data.shape[1]), int(data.shape[2])),
        source=ArrayCube(data=data, mask=None if mask is np.ma.nomask else mask, variance=variance),
        wcs=wcs,
        edges=edges,
        wave_unit=unit,
        has_variance=variance is not None,
        unit=str(getattr(item, "unit", "") or ""),
        name=name,
        filename=str(getattr(item, "filename", None) or ""),
        primary=_header(getattr(item, "primary_header", None)),
        cards=_header(getattr(item, "data_header", None)),
    )


def _header(header: Any) -> Mapping[str, Any]:
    if not hasattr(header, "tostring"):
        return header_values(None)
    return header_values(CardList(header.tostring(endcard=False, padding=False).encode("latin-1", "replace")))


def _of_pair(data: Any, wcs: Any, name: str) -> SkyCube:
    if np.ndim(data) != 3:
        raise ShapeError(f"{name} is an array of shape {np.shape(data)}, expected (nz, ny, nx)")
    if hasattr(wcs, "tostring") and hasattr(wcs, "cards"):
        from astropy.wcs import WCS

        with quiet_wcs():
            wcs = WCS(wcs)
    if not getattr(wcs, "has_celestial", False) or wcs.naxis != 3 or {wcs.wcs.lng, wcs.wcs.lat} != {0, 1}:
        raise WcsError(f"{name} has no WCS with two celestial axes and then a spectral one")
    nz, ny, nx = (int(n) for n in np.shape(data))
    edges, unit = _edges(wcs.sub([3]), nz, "", name)
    mask = np.ma.getmask(data)
    return SkyCube(
        shape=(nz, ny, nx),
        source=ArrayCube(data=data, mask=None if mask is np.ma.nomask else mask),
        wcs=wcs.celestial,
        edges=edges,
        wave_unit=unit,
        name=name,
    )
