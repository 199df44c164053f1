"""Functions that describe an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.compat.montage.reading import image_wcs, open_image
from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import FormatError, InputError
from nbmosaic.io.image_hdu import ImageHdu
from nbmosaic.io.paths import split_hdu

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic._types import FloatArray, PathLike

__all__ = ["mExamine", "mHistogram"]

_STRETCH_NAMES = {
    "linear": (0, 0),
    "power": (0, None),
    "log": (0, 1),
    "loglog": (0, 2),
    "log-log": (0, 2),
    "gaussian": (1, 0),
    "gaussian-log": (2, 0),
    "gaussianlog": (2, 0),
    "asinh": (3, 0),
    "sinh": (3, 0),
}


@montage_call
def mExamine(
    infile: PathLike,
    areaMode: int = 0,
    hdu: int = 0,
    plane3: int = 1,
    plane4: int = 1,
    ra: float = 0,
    dec: float = 0,
    radius: float = 1,
    locinpix: bool = False,
    radinpix: bool = False,
    debug: int = 0,
) -> Answer:
    """Describe an image and the pixels of a region.

    Parameters
    ----------
    infile : path
        FITS file.
    areaMode : int
        0 the whole image, 1 a region, 2 photometry of the brightest source of a region.
    hdu : int
        HDU, from 0.
    plane3, plane4 : int
        Plane of a cube, from 1.
    ra, dec : float
        Centre of the region in J2000 degrees, or with `locinpix` in pixels counted from 1.
    radius : float
        Degrees, or with `radinpix` pixels.
    locinpix, radinpix : bool
        See above.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status``; of the header ``proj csys equinox naxis naxis1..4 crval1 crval2 crpix1 crpix2 cdelt1 cdelt2 crota2``; the centre, ``lonc latc`` in the
        system of the image and ``rac decc`` in J2000; ``ximgsize yimgsize`` in degrees; ``rotequ``, angle to equatorial north; the corners ``ra1 .. dec4``;
        of the region ``radius radpix npixel nnull aveflux rmsflux``; its centre, faintest and brightest pixel (``fluxref sigmaref xref yref raref decref``,
        the same with ``min`` and ``max``); ``totalflux`` in mode 2.

    Notes
    -----
    npixel, nnull, mean and rms are, as in Montage, of the square round the region; the faintest and brightest pixel are of the circle.

    Differs from Montage: ``lonc latc`` are the centre (Montage gives the pixel above it), ``totalflux`` is computed (Montage returns 0), images higher
    than wide are read to their last row, and in a cube no pixels of the next plane are counted.
    """
    del debug
    if areaMode not in (0, 1, 2):
        raise InputError(f"areaMode {areaMode!r}: expected 0 (image), 1 (region) or 2 (aperture photometry)")
    text = "Cannot open FITS file {}"
    image = open_image(infile, hdu, text, text, (plane3, plane4))
    wcs = image_wcs(image)
    answer = _description(image, wcs)
    ny, nx = image.stored.shape
    if areaMode == 0:
        locinpix = radinpix = True
        ra, dec, radius = nx / 2.0, ny / 2.0, math.hypot(nx, ny) / 2.0
    return answer | _region(image, wcs, areaMode, (ra, dec, radius), (locinpix, radinpix), abs(answer["cdelt2"]))


def _description(image: ImageHdu, wcs: WCS) -> dict[str, Any]:
    """What the header says."""
    from nbmosaic.core.geometry.j2000 import north_angle, pixel_to_j2000
    from nbmosaic.core.geometry.sky import SkyPixels
    from nbmosaic.io.frame_table import scale_and_rotation

    ny, nx = image.stored.shape
    sky = SkyPixels(wcs, (ny, nx))
    prm = wcs.wcs
    cdelt1, cdelt2, crota2 = scale_and_rotation(wcs)
    name, equinox = sky.system.name, sky.system.equinox or 2000.0
    old = equinox < 1975.0
    csys = {"galactic": "GAL", "supergalactic": "SGAL", "ecliptic": "ECLB" if old else "ECLJ"}.get(name, "EQUB" if old else "EQUJ")
    xc, yc = (nx - 1) / 2.0, (ny - 1) / 2.0
    left, right, low, high = -0.5, nx - 0.5, -0.5, ny - 0.5
    order = [(left, low), (right, low), (right, high), (left, high)]
    if cdelt1 * cdelt2 > 0:
        order = [order[1], order[0], order[3], order[2]]
    points = np.array([(xc, yc), (xc, yc + 1.0), *order]).T
    a, d = pixel_to_j2000(wcs, points[0], points[1], (ny, nx))
    lonc, latc = (float(v[0]) for v in sky.to_sky(np.array([xc]), np.array([yc])))
    naxis = [*image.naxis, 0, 0][:4]
    answer: dict[str, Any] = {
        "proj": str(prm.ctype[0])[5:8].encode(),
        "csys": csys.encode(),
        "equinox": float(equinox),
        "naxis": len(image.naxis),
    }
    answer |= {f"naxis{i + 1}": naxis[i] for i in range(4)}
    answer |= {f"crval{i + 1}": float(prm.crval[i]) for i in range(2)} | {f"crpix{i + 1}": float(prm.crpix[i]) for i in range(2)}
    answer |= {"cdelt1": cdelt1, "cdelt2": cdelt2, "crota2": crota2, "lonc": lonc, "latc": latc}
    answer |= {"ximgsize": abs(nx * cdelt1), "yimgsize": abs(ny * cdelt2)}
    answer |= {
        "rotequ": north_angle(a[:2], d[:2]),
        "rac": float(a[0]),
        "decc": float(d[0]),
    }
    for i in range(4):
        answer |= {f"ra{i + 1}": float(a[i + 2]), f"dec{i + 1}": float(d[i + 2])}
    return answer


def _region(
    image: ImageHdu, wcs: WCS, mode: int, circle: tuple[float, float, float], in_pixels: tuple[bool, bool], step: float
) -> dict[str, Any]:
    """Statistics of a region."""
    from nbmosaic.core.geometry.j2000 import j2000_to_pixel, pixel_to_j2000
    from nbmosaic.core.region_stats import aperture_flux, region_stats

    ny, nx = image.stored.shape
    ra, dec, radius = (float(v) for v in circle)
    pixels = radius if in_pixels[1] else radius / step
    if in_pixels[0]:
        x, y = ra - 1.0, dec - 1.0
    else:
        x, y = (float(v[0]) for v in j2000_to_pixel(wcs, np.array([ra]), np.array([dec]), (ny, nx)))
    if not (-1.0 <= x <= nx and -1.0 <= y <= ny):
        raise InputError(f"Location off the image. ({ra:g}, {dec:g}) is not on {image.path}")
    if not (math.isfinite(pixels) and pixels > 0):
        raise InputError(f"the radius must be positive, not {radius:g}")
    values = image.values()
    stats = region_stats(values, x, y, pixels)
    answer: dict[str, Any] = {"radius": pixels * step, "radpix": pixels, "npixel": stats.n_pixels, "nnull": stats.n_null}
    answer |= {"aveflux": stats.mean, "rmsflux": stats.rms}
    for name, (flux, row, column) in (("ref", stats.reference), ("min", stats.smallest), ("max", stats.largest)):
        place = pixel_to_j2000(wcs, np.array([float(column)]), np.array([float(row)]), (ny, nx)) if row >= 0 else ([math.nan], [math.nan])
        sigma = (flux - stats.mean) / stats.rms if stats.rms > 0 else 0.0 if math.isfinite(flux) else math.nan
        answer |= {f"flux{name}": flux, f"sigma{name}": sigma, f"x{name}": float(column + 1), f"y{name}": float(row + 1)}
        answer |= {f"ra{name}": float(place[0][0]), f"dec{name}": float(place[1][0])}
    peak = stats.largest
    answer["totalflux"] = aperture_flux(values, peak[1], peak[2], pixels) if mode == 2 and peak[1] >= 0 else 0.0
    return answer


@montage_call
def mHistogram(
    imgFile: PathLike,
    histFile: PathLike,
    minString: str,
    maxString: str,
    stretchType: str,
    xMin: int = 0,
    xMax: int = 0,
    yMin: int = 0,
    yMax: int = 0,
    grayLogPower: int = 1,
    betaString: str = "",
    debug: int = 0,
) -> Answer:
    """Write the histogram of an image and the stretch that follows from it.

    Parameters
    ----------
    imgFile : path
        FITS file; ``name.fits[1]`` takes another HDU than the first.
    histFile : path
        Text file to write.
    minString, maxString : str
        Limits: a number, a percentile (``1%``), sigmas from the median (``-2s``), ``min``, ``max``, each perhaps with an offset (``99%+5``).
    stretchType : str
        ``linear``, ``power`` (of the logarithm), ``log``, ``loglog``, ``gaussian``, ``gaussian-log``, ``asinh``.
    xMin, xMax, yMin, yMax : int
        First and last column and row to be used, from 0; all zero or negative: the whole image.
    grayLogPower : int
        Power of ``power``.
    betaString : str
        Transition value of ``asinh``, given as the limits are.
    debug : int
        Accepted for compatibility; changes nothing.

    Returns
    -------
    dict
        ``status``, ``minval minpercent minsigma maxval maxpercent maxsigma datamin datamax``.

    Notes
    -----
    Differs from Montage: MontagePy 2.3.0's own function raises a TypeError whatever it is given and the program of version 6.0 crashes; here it works as
    its documentation says. The numbers are those of the algorithm (200 000 bins between the smallest and the largest pixel).
    """
    del debug
    from nbmosaic.core.histogram import image_histogram, stretch_lookup
    from nbmosaic.core.stretch import parse_limit
    from nbmosaic.io.histogram_text import histogram_text
    from nbmosaic.io.output import replacing

    kind, power = _stretch(stretchType, grayLogPower)
    low_limit, high_limit = parse_limit(str(minString), "display min"), parse_limit(str(maxString), "display max")
    if kind == 3:
        parse_limit(str(betaString), "beta value")
    path, inner = split_hdu(path_text(imgFile, "imgFile"))
    if isinstance(inner, str):
        raise InputError(f"HDU {inner!r} of {path}: expected a number")
    text = "Image file {} invalid FITS"
    image = open_image(path, inner, text, text)
    values = _window(image, xMin, xMax, yMin, yMax)
    histogram = image_histogram(values)
    low, high = histogram.resolve(low_limit), histogram.resolve(high_limit)
    if low == high:
        high = low + 1.0
    lookup = stretch_lookup(histogram, low, high, logarithmic=kind == 2) if kind in (1, 2) else np.zeros(256)
    scale = histogram.sigma or math.nan
    sigmas = ((low - histogram.median) / scale, (high - histogram.median) / scale)
    percents = (histogram.percentile_of(low), histogram.percentile_of(high))
    ranges = {"Value": (low, high), "Percentile": percents, "Sigma": sigmas}
    ranges |= {"Min/Max": (histogram.minimum, histogram.maximum), "Median/Sigma": (histogram.median, histogram.sigma)}
    label = f"{kind} {power} ({stretchType})" if kind == 0 else f"{kind} ({stretchType})"
    columns = [histogram.levels, histogram.counts.astype(np.int64), histogram.cumulative, histogram.gauss]
    out = path_text(histFile, "histFile")
    body = histogram_text(label, (str(minString), str(maxString)), ranges, columns, lookup)  # type: ignore[arg-type]  # counts are whole
    try:
        with replacing(out, overwrite=True) as temporary:
            temporary.write_text(body, encoding="ascii", errors="replace")
    except FormatError as error:
        raise FormatError(f"Cannot open output histogram file. {error.message}", path=out) from error
    values_of = {
        "minval": low,
        "minpercent": percents[0],
        "minsigma": sigmas[0],
        "maxval": high,
        "maxpercent": percents[1],
        "maxsigma": sigmas[1],
    }
    return values_of | {"datamin": histogram.minimum, "datamax": histogram.maximum}


def _stretch(name: Any, power: int) -> tuple[int, int]:
    """Montage's number of a stretch and the power of its logarithm."""
    word = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    if word.strip().isdecimal():
        return 0, int(word)
    found = _STRETCH_NAMES.get(word.strip().lower())
    if found is None:
        raise InputError(f"stretch {name!r}: expected one of {', '.join(_STRETCH_NAMES)}")
    return found[0], int(power) if found[1] is None else found[1]


def _window(image: ImageHdu, x0: int, x1: int, y0: int, y1: int) -> FloatArray:
    """Pixels of a window; negative limits (and four zeros) stand for the edges of the image."""
    ny, nx = image.stored.shape
    if not any((x0, x1, y0, y1)):
        return image.values()
    x0, y0 = max(x0, 0), max(y0, 0)
    x1, y1 = min(nx - 1 if x1 < 0 else x1, nx - 1), min(ny - 1 if y1 < 0 else y1, ny - 1)
    if x1 < x0 + 1 or y1 < y0 + 1:
        raise InputError(f"Invalid pixel range. Columns {x0} to {x1} and rows {y0} to {y1} of {image.path}, which has {nx} x {ny} pixels")
    return image.values()[y0 : y1 + 1, x0 : x1 + 1]
