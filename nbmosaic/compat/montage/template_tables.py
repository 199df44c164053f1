"""What a header template is made of: positions, scale and further axes of the rows of a table, or of a table of tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError, InputError, TableFormatError
from nbmosaic.io.locations import system_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

    from nbmosaic._types import FloatArray
    from nbmosaic.core.geometry.systems import CelestialSystem

__all__ = ["celestial_word", "read_tables", "shared_planes", "smallest_step", "table_points"]

_WCS_COLUMNS = ("ctype1", "ctype2", "crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2", "crota2", "naxis1", "naxis2")
_ARCSEC = 1.0 / 3600.0
_FRAMES = {"ICRS": "EQUJ", "FK5": "EQUJ", "FK4": "EQUB"}
"""Names of systems that Montage does not know (it takes all of them for J2000)."""


def celestial_word(csys: Any, equinox: float) -> tuple[str, float, CelestialSystem]:
    """Montage's name of a system, its equinox, and the system itself; the default of 2000 means 1950 for Besselian ones."""
    from nbmosaic.core.geometry.systems import CelestialSystem

    word = system_word(csys.decode() if isinstance(csys, bytes) else str(csys))
    year = float(equinox)
    if not 1800.0 <= year <= 2200.0:
        raise InputError(f"equinox {equinox!r}: expected a year from 1800 to 2200")
    if word.endswith("B") and year == 2000.0:
        year = 1950.0
    name = {"EQUJ": "fk5", "EQUB": "fk4", "ECLJ": "ecliptic", "ECLB": "ecliptic", "GAL": "galactic", "SGAL": "supergalactic"}[word]
    return word, year, CelestialSystem(name, 0.0 if word in {"GAL", "SGAL"} else year)


def read_tables(name: str) -> list[tuple[str, DataFrame]]:
    """A table with its name, or those that are named in its column ``table`` (as they stand, or beside it)."""
    from nbmosaic.io.tables import read_table

    def read(path: str, complaint: str) -> DataFrame:
        try:
            return read_table(path)
        except (TableFormatError, ValueError) as error:
            raise FormatError(f"{complaint}: {path} ({error})", path=path) from error

    table = read(name, "Invalid table file")
    if "table" not in table.columns:
        return [(name, table)]
    members = [str(member) for member in table["table"]]
    paths = [member if Path(member).exists() else str(Path(name).parent / member) for member in members]
    return [(path, read(path, "Invalid image metadata file")) for path in paths]


def shared_planes(tables: Sequence[DataFrame]) -> tuple[list[tuple[int, float, float, float]], int]:
    """Third and fourth axis that all rows share, and the number of rows with more than two axes."""
    from nbmosaic.core.geometry.montage_grid import common_axis

    def column(key: str) -> FloatArray:
        parts = [table[key].to_numpy(float) if key in table.columns else np.full(len(table), np.nan) for table in tables]
        return np.concatenate(parts)

    axes = column("naxis")
    found: list[tuple[int, float, float, float]] = []
    for k in (3, 4):
        plane = common_axis(*(column(f"{key}{k}") for key in ("naxis", "crval", "crpix", "cdelt"))) if (axes >= k).all() else None
        if plane is None:
            break
        found.append(plane)
    return found, int((axes > 2).sum())


def smallest_step(tables: Sequence[DataFrame]) -> float:
    """Smallest scale of some tables, as Montage takes it; an arcsecond where they have none."""
    steps = np.abs(
        np.concatenate([[], *(table[c].to_numpy(float) for table in tables for c in ("cdelt1", "cdelt2") if c in table.columns)])
    )
    steps = steps[np.isfinite(steps) & (steps > 0) & (steps < 360.0)]
    return float(steps.min()) if steps.size else _ARCSEC


def table_points(table: DataFrame, name: str, target: CelestialSystem) -> FloatArray:
    """Unit vectors, in the system of the template, of all corners or positions of a table."""
    from nbmosaic.core.geometry.j2000 import J2000, j2000_centre_and_corners, system_change
    from nbmosaic.core.geometry.sky_regions import sky_vectors
    from nbmosaic.io.image_table import row_wcs

    for new, old in (("naxis1", "ns"), ("naxis2", "nl")):
        if new not in table.columns and old in table.columns:
            table[new] = table[old]
    columns, source = _place_columns(table), _table_system(table, name)
    if columns:
        lon, lat = (table[list(names)].to_numpy(float).ravel() for names in columns)
    elif all(column in table.columns for column in _WCS_COLUMNS):
        rows, source = enumerate(table.to_dict("records"), 1), J2000
        corners = [
            j2000_centre_and_corners(row_wcs(row, f"{name}, row {k}"), (int(row["naxis2"]), int(row["naxis1"])))[1] for k, row in rows
        ]
        lon, lat = np.array(corners).reshape(-1, 2).T
    else:
        raise InputError(
            "Need columns: ctype1 ctype2 nl ns crval1 crval2 crpix1 crpix2 cdelt1 cdelt2 crota2 (equinox optional).  Four corners (equatorial) will be "
            f"used if they exist or even just a single set of coordinates ({name} has {', '.join(map(str, table.columns[:8]))})"
        )
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.any():
        raise InputError(f"{name} holds no positions")
    lon, lat = lon[known], lat[known]
    change = system_change(source, target)
    return sky_vectors(*((lon, lat) if change is None else change(lon, lat)))


def _place_columns(table: DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Columns of longitudes and of latitudes, four corners or one position a row; None where the rows are to be placed by their WCS, or not at all."""
    for lon, lat in (("ra", "dec"), ("lon", "lat")):
        corners = tuple(f"{lon}{i}" for i in range(1, 5)), tuple(f"{lat}{i}" for i in range(1, 5))
        if all(column in table.columns for column in corners[0] + corners[1]):
            return corners
    if all(column in table.columns for column in _WCS_COLUMNS):
        return None
    choices = [(lon, lat) for lon, lat in (("ra", "dec"), ("lon", "lat"), ("crval1", "crval2")) if {lon, lat} <= set(table.columns)]
    return ((choices[0][0],), (choices[0][1],)) if choices else None


def _table_system(table: DataFrame, name: str) -> CelestialSystem:
    """System of the positions of a table by its keywords ``csys`` and ``equinox`` (or Montage's other names of them); J2000 without."""

    def last(keys: Sequence[str]) -> str:
        found = [str(table.attrs[key]).strip() for key in keys if key in table.attrs]
        return found[-1] if found else ""

    upper = ("CSYS", "SYSTEM", "SYS", "COORD", "COORDSYS")
    system, year = last([*upper, *(key.lower() for key in upper)]), last(["EQUINOX", "EPOCH", "equinox", "epoch"])
    letter, number = (year[:1].upper(), year[1:]) if year[:1].upper() in {"J", "B"} else ("", year)
    try:
        equinox = float(number) if number else 2000.0
    except ValueError:
        raise InputError(f"{name}: the equinox is {year!r}, expected a year such as 2000, J2000 or B1950") from None
    try:
        word = _FRAMES.get(system.upper()) or system_word(system or "EQUJ")
    except InputError:
        raise InputError(f"{name}: the system is {system!r}, expected equ, equj, equb, ecl, gal, sgal, ICRS, FK5 or FK4") from None
    if letter == "B" and word in {"EQUJ", "ECLJ"} and not system.upper().endswith("J"):
        word = word[:-1] + "B"
    return celestial_word(word, equinox)[2]
