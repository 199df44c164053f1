"""Functions on headers and header templates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.compat.montage.template_tables import celestial_word, read_tables, shared_planes, smallest_step, table_points
from nbmosaic.errors import FormatError, InputError, NbmosaicError

if TYPE_CHECKING:
    from nbmosaic._types import PathLike

__all__ = ["mGetHdr", "mHdr", "mMakeHdr", "mTANHdr"]

_ARCSEC = 1.0 / 3600.0
_MAX_AXIS = 10_000_000
_BANDS = {"j": 20.9044, "h": 20.4871, "k": 19.9757}
"""Mean zero points of 2MASS images, in magnitudes, as Montage writes them."""


def _write(path: Any, text: str, what: str, complaint: str) -> None:
    from nbmosaic.io.output import replacing

    name = path_text(path, what)
    try:
        with replacing(name, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except FormatError as error:
        raise FormatError(f"{complaint} {error.message}", path=name) from error


@montage_call
def mGetHdr(infile: PathLike, hdrfile: PathLike, hdu: int = 0, htmlMode: int = 0, debug: int = 0) -> Answer:
    """Write the header of an HDU to a text file, one card a line.

    Parameters
    ----------
    infile : path
        FITS file.
    hdrfile : path
        Text file to write.
    hdu : int
        HDU, from 0.
    htmlMode : int
        0 text, 1 an HTML page, 2 a piece of HTML.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status`` and ``ncard`` (without END).

    Notes
    -----
    Differs from Montage: a file that cannot be written is named (Montage's message is empty).
    """
    del debug
    from nbmosaic.io.fits_scan import scan_fits
    from nbmosaic.io.montage_header import header_html

    name = path_text(infile, "infile")
    if htmlMode not in (0, 1, 2):
        raise InputError(f"htmlMode {htmlMode!r}: expected 0 (text), 1 (page) or 2 (piece)")
    if len(name) > 4000 or not Path(name).exists():
        raise FormatError(f"Image file ({name}) does not exist", path=name)
    try:
        hdus = scan_fits(name, last=hdu)
    except FormatError as error:
        if "is not a FITS file" in error.message or error.message.endswith(" is empty"):
            raise FormatError(f"1st key not SIMPLE or XTENSION: {error.message}", path=name) from error
        raise
    if not 0 <= hdu < len(hdus):
        raise FormatError(f"tried to move past end of file: {name} has no HDU {hdu}, it has {len(hdus)}", path=name)
    lines = [line.rstrip() for line in hdus[hdu].cards.lines()]
    text = "\n".join([*lines, "END", ""])
    if htmlMode:
        text = header_html([*lines, "END"], Path(name).name, fragment=htmlMode == 2)
    _write(hdrfile, text, "hdrfile", "Cannot open output header file:")
    return {"ncard": len(lines)}


@montage_call
def mHdr(
    locstr: str,
    width: float,
    height: float,
    outfile: PathLike,
    csys: str = "EquJ",
    equinox: float = 2000.0,
    resolution: float = 1.0,
    rotation: float = 0.0,
    band2MASS: str = "",
    debug: int = 0,
) -> Answer:
    """Write a header template about a position.

    Parameters
    ----------
    locstr : str
        Position: degrees, or hours and degrees with minutes and seconds; perhaps followed by a system (``gal``, ``eq b1950``), else J2000.
    width, height : float
        Degrees.
    outfile : path
        Header template to write.
    csys : str
        System of the template: EQUJ, EQUB, ECLJ, ECLB, GAL, SGAL.
    equinox : float
        Its equinox.
    resolution : float
        Pixel in arcsec.
    rotation : float
        CROTA2 in degrees.
    band2MASS : str
        J, H or K: adds the zero point MAGZP of 2MASS images.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status`` and ``count`` (lines of the file).

    Notes
    -----
    Differs from Montage: nothing is asked over a network, not even for coordinates; the name of an object is an error that says so. Sizes are rounded up to
    whole pixels on both axes alike.
    """
    del debug
    from nbmosaic.core.geometry.j2000 import system_change
    from nbmosaic.io.locations import parse_location
    from nbmosaic.io.montage_header import simple_header

    text = locstr.decode(errors="replace") if isinstance(locstr, bytes) else str(locstr)
    lon, lat, place, year = parse_location(text)
    word, epoch, target = celestial_word(csys, equinox)
    for name, value in (("width", width), ("height", height), ("resolution", resolution)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be positive, not {value}")
    if not math.isfinite(rotation):
        raise InputError(f"rotation {rotation} is not finite")
    change = system_change(celestial_word(place, year)[2], target)
    if change is not None:
        lon, lat = (float(v[0]) for v in change(np.array([lon]), np.array([lat])))
    step = float(resolution) * _ARCSEC
    naxis = (_pixels(width, step), _pixels(height, step))
    extra = []
    band = str(band2MASS).strip().lower()[:1]
    if band:
        if band not in _BANDS:
            raise InputError(f"band2MASS {band2MASS!r}: expected J, H or K")
        extra = [f"MAGZP   = {_BANDS[band]:11.6f}"]
    crpix = ((naxis[0] + 1) / 2.0, (naxis[1] + 1) / 2.0)
    header = simple_header(word, epoch, naxis, crval=(lon, lat), crpix=crpix, step=step, rotation=float(rotation), extra=extra)
    _write(outfile, header, "outfile", "Can't open output header file.")
    return {"count": header.count("\n")}


def _pixels(size: float, step: float) -> int:
    n = math.ceil(size / step - 1e-6)
    if n > _MAX_AXIS:
        raise InputError(f"{size:g} degrees of {step * 3600:g} arcsec are {n} pixels, more than {_MAX_AXIS}")
    return max(1, n)


@montage_call
def mTANHdr(
    template: PathLike,
    tanTemplate: PathLike,
    order: int = 5,
    maxiter: int = 50,
    tolerance: float = 0.01,
    useOffscl: bool = False,
    debug: int = 0,
) -> Answer:
    """Fit a TAN header with SIP distortions to any other header, over the area of its image.

    Parameters
    ----------
    template : path
        Header template (or FITS image) with any projection.
    tanTemplate : path
        Header template to write.
    order : int
        Degree of the polynomials (2 to 9); raised while the tolerance is not reached.
    maxiter : int
        How many degrees may be tried.
    tolerance : float
        Largest error in pixels.
    useOffscl : bool
        Fit a twentieth of the image's size beyond its edges as well.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status``; ``fwdxerr fwdyerr revxerr revyerr``, the largest errors in pixels on a lattice between the fitted points; ``fwditer reviter``, how many
        degrees were tried.

    Notes
    -----
    Differs from Montage: a linear least-squares fit takes the place of the iteration, which in 2.3.0 does not converge (it reports 90 pixels and success);
    where the tolerance cannot be reached, that is an error and no file is written.
    """
    del debug
    from nbmosaic.core.geometry.tan_sip import fit_tan_sip
    from nbmosaic.io.montage_header import tan_sip_header
    from nbmosaic.io.templates import read_template

    name = path_text(template, "template")
    try:
        grid = read_template(name)
    except NbmosaicError as error:
        raise FormatError(f"Bad template: {name} ({error})", path=name) from error
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise InputError(f"tolerance must be positive, not {tolerance}")
    if not 1 <= int(order) <= 9:
        raise InputError(f"order {order!r}: expected 1 to 9")
    tries = max(1, int(maxiter))
    fit = fit_tan_sip(grid.wcs, grid.shape, degree=int(order), tolerance=float(tolerance), tries=tries, margin=0.05 if useOffscl else 0.0)
    prm = grid.wcs.wcs
    ctype = (str(prm.ctype[0])[:4], str(prm.ctype[1])[:4])
    system = [f"EQUINOX = {float(prm.equinox)!r}"] if math.isfinite(prm.equinox) else []
    system += [f"RADESYS = '{prm.radesys}'"] if str(prm.radesys) else []
    polynomials = {"A": fit.forward[0], "B": fit.forward[1], "AP": fit.reverse[0], "BP": fit.reverse[1]}
    text = tan_sip_header(ctype, grid.shape, (fit.lon, fit.lat), fit.crpix, fit.cd, polynomials, system)
    _write(tanTemplate, text, "tanTemplate", f"Cannot open output template file {path_text(tanTemplate, 'tanTemplate')}:")
    answer: Answer = {"fwdxerr": fit.forward_error[0], "fwdyerr": fit.forward_error[1], "fwditer": fit.tries[0]}
    return answer | {"revxerr": fit.reverse_error[0], "revyerr": fit.reverse_error[1], "reviter": fit.tries[1]}


@montage_call
def mMakeHdr(
    tblfile: PathLike,
    template: PathLike,
    csys: str = "EQUJ",
    equinox: float = 2000.0,
    pixelScale: float = 0.0,
    northAligned: int = 0,
    pad: float = 0.0,
    isPercentage: bool = False,
    maxPixel: int = 0,
    debug: int = 0,
) -> Answer:
    """Write the header template that holds the images (or sources) of a table.

    Parameters
    ----------
    tblfile : path
        Image table (corners, or WCS columns), or any table with columns ra and dec (or lon and lat); or a table whose column ``table`` names such tables.
        Keywords at its head, such as ``csys = gal`` and ``equinox = B1950``, name the system of its positions, else they are J2000.
    template : path
        Header template to write.
    csys : str
        System of the template: EQUJ, EQUB, ECLJ, ECLB, GAL, SGAL.
    equinox : float
        Its equinox.
    pixelScale : float
        Pixel in DEGREES (mHdr takes arcsec); by default the smallest CDELT of the table, else 1 arcsec.
    northAligned : int
        1: north is up; 0: the box of least area.
    pad : float
        Pixels added on every side; with `isPercentage`, percents of the longer axis (on both).
    isPercentage : bool
        See `pad`.
    maxPixel : int
        Longest axis in pixels; the pixels follow from it.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status``, ``count`` (rows), ``ncube`` (rows with a third axis), ``naxis1 naxis2``, ``clon clat`` (centre), ``lonsize latsize`` (degrees),
        ``posang``, and the corners ``lon1 lat1`` to ``lon4 lat4``.

    Notes
    -----
    See `nbmosaic.core.geometry.montage_grid.montage_grid` for the rule; equatorial templates are those of Montage to the last digit. Cubes that share CRVAL
    and CDELT of their third (and fourth) axis give a template with that axis, others one of two axes. No RADESYS is written, as Montage writes none:
    EQUINOX alone means FK5, and the face takes ICRS images for FK5, so that nothing shifts; other programs may see 0.02 arcsec between the two.

    Differs from Montage: NAXIS2 is compared with the size in latitude (Montage takes that in longitude: tall fields come out up to a pixel too short, and
    padded wide ones two rows too high); positions without keywords are J2000 (Montage reads the system from memory that it has not set: often zeros, in a
    later call the keywords of an earlier table); B1950 is FK4 (in Montage only after ``csys``); the default equinox 2000 means 1950 for EQUB and ECLB;
    galactic and B1950 templates are up to 0.4 arcsec away, ecliptic ones 0.06, because Montage's change of systems is.
    """
    del debug
    from nbmosaic.core.geometry.montage_grid import grid_corners, montage_grid
    from nbmosaic.io.montage_header import simple_header

    name = path_text(tblfile, "tblfile")
    word, epoch, target = celestial_word(csys, equinox)
    for what, value in (("pixelScale", pixelScale), ("pad", pad)):
        if not math.isfinite(value) or value < 0:
            raise InputError(f"{what} must not be negative, not {value}")
    if int(maxPixel) < 0 or int(maxPixel) > _MAX_AXIS:
        raise InputError(f"maxPixel {maxPixel!r}: expected 0 to {_MAX_AXIS}")
    tables = read_tables(name)
    points = np.concatenate([table_points(table, where, target) for where, table in tables])
    step = float(pixelScale) or smallest_step([table for _, table in tables])
    grid = montage_grid(points, step, north_aligned=bool(northAligned), pad=float(pad), percent=bool(isPercentage), max_pixel=int(maxPixel))
    if max(grid.naxis) > _MAX_AXIS:
        raise InputError(f"a template of {grid.naxis[0]} x {grid.naxis[1]} pixels is too large", hint="pixelScale is in degrees")
    planes, cubes = shared_planes([table for _, table in tables])
    text = simple_header(
        word,
        epoch,
        grid.naxis,
        crval=(grid.lon, grid.lat),
        crpix=grid.crpix,
        step=grid.step,
        rotation=grid.rotation,
        projection=grid.projection,
        planes=planes,
    )
    _write(template, text, "template", "Can't open output header file.")
    answer: Answer = {
        "count": sum(len(table) for _, table in tables),
        "ncube": cubes,
        "naxis1": grid.naxis[0],
        "naxis2": grid.naxis[1],
        "clon": grid.lon,
        "clat": grid.lat,
    }
    answer |= {"lonsize": grid.naxis[0] * grid.step, "latsize": grid.naxis[1] * grid.step, "posang": grid.rotation}
    corners = grid_corners(grid) if grid.projection == "TAN" else np.zeros((4, 2))
    for i, (lon, lat) in enumerate(corners.tolist(), 1):
        answer |= {f"lon{i}": lon, f"lat{i}": lat}
    return answer
