"""The table of frames: Montage's image-table columns, then ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.wcs import WCS
    from pandas import DataFrame

    from nbmosaic._types import FloatArray
    from nbmosaic.types import FrameInfo

__all__ = ["frame_table", "scale_and_rotation", "sexagesimal"]


def sexagesimal(lon: float, lat: float) -> tuple[str, str]:
    """Right ascension and declination as Montage prints them.

    Examples
    --------
    >>> sexagesimal(275.1657051, -16.1146105)
    ('18h 20m 39.77s', '-16d 06m 52.6s')
    """
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return "", ""
    centiseconds = round((lon % 360.0) / 15.0 * 3600.0 * 100.0) % (24 * 3600 * 100)
    tenths = round(abs(lat) * 3600.0 * 10.0)
    hours, rest = divmod(centiseconds, 360000)
    minutes, rest = divmod(rest, 6000)
    degrees, left = divmod(tenths, 36000)
    arcmin, left = divmod(left, 600)
    sign = "-" if lat < 0 and tenths else " "
    return f"{hours:2d}h {minutes:02d}m {rest / 100:05.2f}s", f"{sign}{degrees:02d}d {arcmin:02d}m {left / 10:04.1f}s"


def scale_and_rotation(wcs: WCS) -> tuple[float, float, float]:
    """CDELT1, CDELT2 and CROTA2 (degrees, 0 to 360) of the linear part of a WCS, in Montage's choice of signs.

    With CD = [[c1 cos r, -c2 sin r], [c1 sin r, c2 cos r]]; where both scales are positive and r (0 to 360) is above 90, both are negated and r is
    turned by 180 degrees.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.cdelt = [-0.5, 0.5]
    >>> scale_and_rotation(wcs)
    (-0.5, 0.5, 0.0)
    """
    if not wcs.wcs.has_cd() and wcs.wcs.has_crota():
        cdelt1, cdelt2 = (float(c) for c in wcs.wcs.cdelt)
        angle = float(wcs.wcs.crota[1])
    else:
        matrix = wcs.wcs.cd if wcs.wcs.has_cd() else wcs.wcs.cdelt[:, np.newaxis] * wcs.wcs.get_pc()
        cdelt1 = math.hypot(matrix[0, 0], matrix[1, 0])
        cdelt2 = math.hypot(matrix[0, 1], matrix[1, 1])
        if matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0] < 0:
            cdelt1 = -cdelt1
        angle = math.degrees(math.atan2(-matrix[0, 1], matrix[1, 1]))
    angle %= 360.0
    if cdelt1 > 0 and cdelt2 > 0 and angle > 90.0:
        cdelt1, cdelt2, angle = -cdelt1, -cdelt2, (angle + 180.0) % 360.0
    return cdelt1, cdelt2, angle


def frame_table(infos: Sequence[FrameInfo], *, centres: FloatArray | None = None, corners: FloatArray | None = None) -> DataFrame:
    """Table of frames.

    Parameters
    ----------
    infos : sequence of FrameInfo
        The frames.
    centres : ndarray, shape (n, 2), optional
        ICRS right ascension and declination of the frame centres in degrees.
    corners : ndarray, shape (n, 4, 2), optional
        The same of the outer corners, in Montage's order: FITS pixels (0.5, 0.5), (0.5, ny+0.5), (nx+0.5, ny+0.5), (nx+0.5, 0.5).

    Returns
    -------
    DataFrame
        ``cntr ra dec cra cdec naxis1 naxis2 ctype1 ctype2 crpix1 crpix2 crval1 crval2 cdelt1 cdelt2 crota2 equinox naxis`` and those of axes 3
        and 4 (missing without such axes), ``ra1 dec1 ... ra4 dec4 size hdu fname``, then ``unit exptime flux_scale name``. CRPIX is 1-based as in FITS.

    Examples
    --------
    >>> from nbmosaic.io.sources import frame_infos  # doctest: +SKIP
    >>> frame_table(frame_infos("night1")[0]).fname  # doctest: +SKIP
    """
    import pandas as pd

    n = len(infos)
    centre = np.full((n, 2), np.nan) if centres is None else np.asarray(centres, np.float64)
    corner = np.full((n, 4, 2), np.nan) if corners is None else np.asarray(corners, np.float64)
    rows = [_row(i, info, centre[i], corner[i]) for i, info in enumerate(infos)]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    for key in ("naxis3", "naxis4"):
        table[key] = table[key].astype("Int64")
    return table


_CUBE = tuple(f"{key}{axis}" for axis in (3, 4) for key in ("naxis", "crval", "cdelt", "crpix"))
_COLUMNS = (
    *("cntr", "ra", "dec", "cra", "cdec", "naxis1", "naxis2", "ctype1", "ctype2", "crpix1", "crpix2", "crval1", "crval2"),
    *("cdelt1", "cdelt2", "crota2", "equinox", "naxis"),
    *_CUBE,
    *(f"{key}{i}" for i in range(1, 5) for key in ("ra", "dec")),
    *("size", "hdu", "fname", "unit", "exptime", "flux_scale", "name"),
)


def _row(number: int, info: FrameInfo, centre: FloatArray, corner: FloatArray) -> tuple[Any, ...]:
    """One row, in the order of the columns."""
    prm = info.wcs.wcs
    cdelt1, cdelt2, crota2 = scale_and_rotation(info.wcs)
    meta = info.meta
    equinox = float(prm.equinox)
    cube = tuple(meta.get(key) if key.startswith("naxis") else float(meta.get(key, math.nan)) for key in _CUBE)
    return (
        *(number, float(centre[0]), float(centre[1]), *sexagesimal(centre[0], centre[1])),
        *(info.shape[1], info.shape[0], str(prm.ctype[0])[:8], str(prm.ctype[1])[:8]),
        *(float(prm.crpix[0]), float(prm.crpix[1]), float(prm.crval[0]), float(prm.crval[1]), cdelt1, cdelt2, crota2),
        *(equinox if math.isfinite(equinox) else 2000.0, int(meta.get("naxis", 2))),
        *cube,
        *(float(v) for v in corner.reshape(8)),
        *(int(meta.get("size", 0)), int(meta.get("hdu", 0)), Path(str(meta.get("file", ""))).name or info.name),
        *(str(meta.get("unit", "")), float(meta.get("exptime", math.nan)), float(info.flux_scale), info.name),
    )
