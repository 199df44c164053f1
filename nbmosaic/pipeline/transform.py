"""Fitting a map to points, and transforming an image by it: what IRAF's geomap and geotran do, with IRAF's interpolants."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import ConfigError, InputError, NbmosaicWarning, ShapeError, WcsError
from nbmosaic.pipeline.product import Product
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import FittedMap, Interpolant, PieceFlag
from nbmosaic.types.frame import FramePixels

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

    from nbmosaic._types import AnyArray, Float32Array, FloatArray, PathLike

__all__ = ["TransformedImage", "fit_map", "transform"]

_POINT_COLUMNS = 4
_LARGEST_OUTPUT = 2**31  # pixels: the kernels address them by 32 bits


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class TransformedImage(Product):
    """An image on the grid of a fitted map.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        Resampled values.
    mask : ndarray of uint8, shape (ny, nx)
        Sums of `nbmosaic.types.camera.PieceFlag`: 1 bad pixel in reach, 2 edge in reach, 4 beyond the image, 8 no data.
    area : ndarray of float32, shape (ny, nx)
        Bilinear weight of the good pixels.
    variance, weight : ndarray of float32, optional
        Propagated variance, resampled weight.
    wcs : astropy.wcs.WCS, optional
        Of the output, where it is known.
    limits : tuple of int
        ``xmin, xmax, ymin, ymax`` of the output pixels, counted as the map counts.
    fitted : FittedMap
        The map.
    interpolant : Interpolant
        The kernel.
    """

    data: Float32Array
    mask: AnyArray
    area: Float32Array
    variance: Float32Array | None
    weight: Float32Array | None
    wcs: WCS | None
    limits: tuple[int, int, int, int]
    fitted: FittedMap
    interpolant: Interpolant

    @property
    def title(self) -> str:
        """One line that says what the product is."""
        ny, nx = self.data.shape
        return f"Transformed image, {nx} x {ny}, {self.interpolant}"

    @property
    def table(self) -> pd.DataFrame:
        """One row: how the image was made and how much of it is good."""
        import pandas as pd

        ny, nx = self.data.shape
        bad, beyond = (float(np.count_nonzero(self.mask & int(flag))) / self.mask.size for flag in (PieceFlag.BAD, PieceFlag.OUTSIDE))
        row = {"nx": nx, "ny": ny, "interpolant": str(self.interpolant), "geometry": self.fitted.geometry, "rms_x": self.fitted.rms_x}
        return pd.DataFrame([{**row, "rms_y": self.fitted.rms_y, "bad": bad, "outside": beyond}])

    def save(self, path: PathLike, *, overwrite: bool = False) -> TransformedImage:
        """Write the image, with MASK, AREA, VARIANCE and WEIGHT as extensions.

        Parameters
        ----------
        path : path
            FITS file.
        overwrite : bool
            Whether it may exist.

        Returns
        -------
        TransformedImage
            The same product.
        """
        from nbmosaic.io.fits_write import write_image

        planes = {"MASK": self.mask, "AREA": self.area, "VARIANCE": self.variance, "WEIGHT": self.weight}
        extensions = {name: plane for name, plane in planes.items() if plane is not None}
        history = [f"nbmosaic transform: {self.interpolant}, {self.fitted.geometry} map"]
        write_image(path, self.data, self.wcs, history=history, extensions=extensions, overwrite=overwrite)
        return self


def fit_map(
    points: Any,
    *,
    limits: tuple[float, float, float, float] | None = None,
    geometry: str = "general",
    function: str = "chebyshev",
    xxorder: int = 4,
    xyorder: int = 4,
    xxterms: str = "half",
    yxorder: int = 4,
    yyorder: int = 4,
    yxterms: str = "half",
    reject: float | None = None,
    maxiter: int = 0,
    origin: int | None = None,
    output: PathLike | None = None,
    record: str = "nbmosaic",
    overwrite: bool = False,
) -> FittedMap:
    """Fit a map from output to input pixels to points, as IRAF's geomap does.

    Parameters
    ----------
    points : path, array of shape (n, 4), or pair of arrays of shape (n, 2)
        ``x, y`` on the output, then ``x, y`` on the input, in pixels. A path is a text file of four columns (further ones are not used).
    limits, geometry, function, xxorder, xyorder, xxterms, yxorder, yyorder, yxterms, reject, maxiter
        See `nbmosaic.core.geometry.fitted_map.fit_surface_map`. An order is a number of terms: 4 is cubic.
    origin : int, optional
        Coordinate of the centre of the first pixel (default: 0 for arrays, 1 for files).
    output : path, optional
        Also write the map as a record of a geomap database.
    record : str
        Name of the record.
    overwrite : bool
        Whether the database may exist.

    Returns
    -------
    FittedMap
        With its rms and how many points were rejected.

    Raises
    ------
    ConfigError, ShapeError, InputError, SingularFitError
        See `nbmosaic.core.geometry.fitted_map.fit_surface_map`.
    FormatError
        A file that cannot be read or written.

    Examples
    --------
    >>> out = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])
    >>> fit_map((out, out + 0.5), geometry="shift").linear[:, 0].tolist()
    [5.0, 5.0]
    """
    from nbmosaic.core.geometry.fitted_map import fit_surface_map
    from nbmosaic.io.geomap_database import write_geomap_database
    from nbmosaic.io.output import check_output

    if output is not None:
        check_output(output, overwrite=overwrite)
    out_xy, in_xy, from_file = _points(points)
    fitted = fit_surface_map(
        out_xy,
        in_xy,
        limits=limits,
        geometry=geometry,
        function=function,
        xxorder=xxorder,
        xyorder=xyorder,
        xxterms=xxterms,
        yxorder=yxorder,
        yyorder=yyorder,
        yxterms=yxterms,
        reject=reject,
        maxiter=maxiter,
        origin=int(from_file) if origin is None else origin,
    )
    if output is not None:
        write_geomap_database(output, {record: fitted}, overwrite=overwrite)
    return fitted


def _points(points: Any) -> tuple[FloatArray, FloatArray, bool]:
    """Points on the output and the input, and whether they came from a file."""
    if isinstance(points, (str, Path)):
        table = _point_file(Path(points))
        return table[:, :2], table[:, 2:], True
    if isinstance(points, tuple) and len(points) == 2:
        return np.asarray(points[0], float), np.asarray(points[1], float), False
    table = np.asarray(points, float)
    if table.ndim != 2 or table.shape[1] != _POINT_COLUMNS:
        raise ShapeError(f"points have the shape {table.shape}, expected (n, 4)", hint="give x, y on the output, then x, y on the input")
    return table[:, :2], table[:, 2:], False


def _point_file(path: Path) -> FloatArray:
    from nbmosaic.errors import TableFormatError
    from nbmosaic.io.fits_scan import os_error

    try:
        text = path.read_text(encoding="latin-1")
    except OSError as err:
        raise os_error("read", str(path), err) from err
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            rows.append([float(word) for word in words[:_POINT_COLUMNS]])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != _POINT_COLUMNS:
            raise TableFormatError(f"{path}, line {number}: expected four numbers", path=str(path), line=number)
    return np.array(rows, float).reshape(-1, _POINT_COLUMNS)


def transform(
    image: Any,
    fitted: FittedMap | PathLike,
    *,
    record: str | None = None,
    limits: tuple[int, int, int, int] | None = None,
    interpolant: str | Interpolant = "linear",
    boundary: str = "nearest",
    constant: float = 0.0,
    fluxconserve: bool = False,
    bad: str = "interpolate",
    mask: AnyArray | None = None,
    variance: AnyArray | None = None,
    sample: float = 1.0,
    wcs: WCS | None = None,
) -> TransformedImage:
    """Transform an image by a fitted map, as IRAF's geotran does.

    Parameters
    ----------
    image : ndarray, path, CCDData, NDData, HDU or (array, wcs)
        The input. A path may name the HDU: ``"f.fits[2]"``, ``"f.fits[im1]"``.
    fitted : FittedMap or path
        The map, or a geomap database.
    record : str, optional
        Record of the database (default: the last).
    limits : tuple of int, optional
        First and last column and row of the output, ``xmin, xmax, ymin, ymax``, counted as the map counts (default: the range of the map).
    interpolant : str
        ``nearest``, ``linear``, ``poly3``, ``poly5``, ``spline3``, ``sinc17``, ``lsinc15[20]``, ``drizzle[0.5]``, ...
    boundary : str
        What lies beyond the image: ``nearest``, ``constant``, ``reflect``, ``wrap``.
    constant : float
        The value there for ``constant``.
    fluxconserve : bool
        Multiply by the area of the output pixel in input pixels.
    bad : str
        Bad pixels are ``"interpolate"``: filled first; ``"exclude"``: left out; ``"flag"``: read as they are.
    mask, variance : ndarray, optional
        Planes of the image (for arrays and files): True or not 0 where bad; variances.
    sample : float
        geotran's ``xsample`` and ``ysample``, see `nbmosaic.core.geometry.fitted_map.pixel_map`: 10 repeats its numbers, 1 is exact.
    wcs : astropy.wcs.WCS, optional
        Of the output, whose pixel (0, 0) is the map's output pixel 0. Default: that of the image, where it is linear in the pixels and the map is
        linear too.

    Returns
    -------
    TransformedImage
        ``.data``, ``.mask``, ``.area``, ``.variance``, ``.wcs``, ``.save(path)``.

    Raises
    ------
    ConfigError
        An unknown interpolant, boundary or treatment of bad pixels.
    InputError, ShapeError
        An image that is none, planes of another shape, limits that hold no pixel.
    FormatError
        A file that cannot be read.

    Examples
    --------
    >>> shifted = fit_map(([[0, 0], [9, 0], [0, 9], [9, 9]], [[1, 0], [10, 0], [1, 9], [10, 9]]), geometry="shift")
    >>> image = np.tile(np.arange(11.0), (10, 1))
    >>> transform(image, shifted, interpolant="poly3").data[4, :3].tolist()
    [1.0, 2.0, 3.0]
    """
    from nbmosaic.core.geometry.fitted_map import pixel_map
    from nbmosaic.core.resampling.pieces import piece_flags, resample_piece

    kernel = interpolant if isinstance(interpolant, Interpolant) else Interpolant.parse(interpolant)
    known = fitted if isinstance(fitted, FittedMap) else _record(fitted, record)
    if isinstance(fitted, FittedMap) and record is not None:
        raise ConfigError("a record is chosen from a database, not from a map", hint="leave it out")
    if not sample >= 1:
        raise ConfigError(f"sample must be 1 or more, not {sample}")
    pixels, image_wcs = _pixels(image, mask, variance)
    limits = _whole_limits(known, limits)
    step = known.origin
    box = PixelBox(limits[2] - step, limits[3] + 1 - step, limits[0] - step, limits[1] + 1 - step)
    forward = pixel_map(known, box, sample=sample)
    piece = resample_piece(pixels, forward, interpolant=kernel, boundary=boundary, constant=constant, fluxconserve=fluxconserve, bad=bad)
    assert piece.area is not None
    out_wcs = _shifted(wcs, box) if wcs is not None else _linear_wcs(image_wcs, known, box)
    flags = piece_flags(_bad_pixels(pixels), forward, interpolant=kernel)
    flags[np.isnan(piece.data)] |= int(PieceFlag.NO_DATA)
    return TransformedImage(
        data=piece.data,
        mask=flags,
        area=piece.area,
        variance=piece.variance,
        weight=piece.weight,
        wcs=out_wcs,
        limits=limits,
        fitted=known,
        interpolant=kernel,
    )


def _record(path: PathLike, record: str | None) -> FittedMap:
    from nbmosaic.io.geomap_database import read_geomap_database

    maps = read_geomap_database(path)
    name = list(maps)[-1] if record is None else record
    if name not in maps:
        raise InputError(f"{path} has no record {name!r}", hint=f"it has {', '.join(maps)}")
    return maps[name]


def _whole_limits(fitted: FittedMap, limits: Sequence[int] | None) -> tuple[int, int, int, int]:
    """First and last column and row of the output."""
    if limits is None:
        x0, x1, y0, y1 = fitted.limits
        found = (math.ceil(x0 - 1e-6), math.floor(x1 + 1e-6), math.ceil(y0 - 1e-6), math.floor(y1 + 1e-6))
    else:
        if len(limits) != 4 or any(value != round(value) for value in limits):
            raise ConfigError(f"limits are {tuple(limits)}, expected whole xmin, xmax, ymin, ymax")
        found = (int(limits[0]), int(limits[1]), int(limits[2]), int(limits[3]))
    if found[1] < found[0] or found[3] < found[2]:
        raise InputError(f"the output x {found[0]} to {found[1]}, y {found[2]} to {found[3]} holds no pixel")
    if (found[1] - found[0] + 1) * (found[3] - found[2] + 1) >= _LARGEST_OUTPUT:
        raise InputError(f"the output x {found[0]} to {found[1]}, y {found[2]} to {found[3]} is too large")
    return found


def _bad_pixels(pixels: FramePixels) -> AnyArray:
    """Where a pixel is bad by any of its planes."""
    bad = np.zeros(pixels.data.shape, bool) if pixels.mask is None else pixels.mask.copy()
    bad |= ~np.isfinite(pixels.data)
    with np.errstate(invalid="ignore"):
        if pixels.weight is not None:
            bad |= ~((pixels.weight > 0) & np.isfinite(pixels.weight))
        if pixels.variance is not None:
            bad |= ~((pixels.variance >= 0) & np.isfinite(pixels.variance))
    return bad


def _pixels(image: Any, mask: AnyArray | None, variance: AnyArray | None) -> tuple[FramePixels, WCS | None]:
    """Planes of the image, and its WCS where it has a celestial one."""
    if isinstance(image, (str, Path)):
        data, wcs = _file_image(str(image))
    elif isinstance(image, np.ndarray):
        data, wcs = image, None
    elif hasattr(image, "data") and hasattr(image, "uncertainty") and getattr(image, "wcs", None) is None:
        if image.uncertainty is not None:
            raise InputError("the uncertainty of an image without a celestial WCS is not read", hint="pass variance=")
        data, wcs = np.asarray(image.data), None
        mask = image.mask if mask is None else mask
    else:
        from nbmosaic.io.sources import frame_infos

        infos, _ = frame_infos([image])
        if len(infos) != 1:
            raise InputError(f"the input holds {len(infos)} images, expected one", hint="give one HDU")
        if mask is not None or variance is not None:
            raise InputError("an image object brings its own mask and uncertainty", hint="pass its array to give others")
        return infos[0].source.load(), infos[0].wcs
    if not (np.issubdtype(data.dtype, np.floating) or np.issubdtype(data.dtype, np.integer)):
        raise InputError(f"an image of the type {data.dtype} cannot be transformed", hint="use integers or real numbers")
    bad = None if mask is None else np.ascontiguousarray(np.asarray(mask) != 0)
    spread = None if variance is None else np.ascontiguousarray(variance, np.float32)
    return FramePixels(data=data, mask=bad, variance=spread), wcs


def _file_image(name: str) -> tuple[AnyArray, WCS | None]:
    """Pixels and WCS of an image HDU, which need not have a WCS."""
    from nbmosaic.io.fits_read import fits_image
    from nbmosaic.io.fits_scan import scan_fits
    from nbmosaic.io.hdu_choice import choose_hdus
    from nbmosaic.io.paths import split_hdu
    from nbmosaic.io.wcs_read import celestial_axes, read_wcs

    path, choice = split_hdu(name)
    hdus = scan_fits(path)
    if choice is None:
        images = [hdu for hdu in hdus if hdu.is_image]
        if not images:
            raise InputError(f"{name} holds no image")
        chosen = images[0]
    else:
        chosen = choose_hdus(path, hdus, [choice])[0][0]
    data = fits_image(path, chosen, label=name).read()
    if celestial_axes(chosen.cards) is None:
        return data, None
    try:
        return data, read_wcs(chosen.cards, chosen.naxis, where=name, path=path)[0]
    except WcsError as err:
        warnings.warn(NbmosaicWarning(f"the WCS of {name} is not used: {err.message}"), stacklevel=4)
        return data, None


def _shifted(wcs: WCS, box: PixelBox) -> WCS:
    """WCS of an output whose first pixel is that of `box`."""
    out = wcs.deepcopy()
    out.wcs.crpix = np.asarray(out.wcs.crpix) - [box.xmin, box.ymin]
    return out


def _linear_wcs(wcs: WCS | None, fitted: FittedMap, box: PixelBox) -> WCS | None:
    """WCS of the output for an image whose WCS has no distortion and a map that is linear; else none is known."""
    from nbmosaic.core.geometry.fitted_map import derivatives, evaluate

    if wcs is None or wcs.has_distortion or fitted.distortion_x is not None or fitted.distortion_y is not None:
        return None
    jacobian = derivatives(fitted, np.zeros(()), np.zeros(())).reshape(2, 2)
    if not abs(np.linalg.det(jacobian)) > 0:
        return None
    v, u = evaluate(fitted, np.zeros(()), np.zeros(()))
    out = wcs.deepcopy()
    reference = np.linalg.solve(jacobian, np.asarray(wcs.wcs.crpix) - 1 - [float(u), float(v)])
    out.wcs.crpix = reference + 1 - [box.xmin, box.ymin]
    scale = wcs.pixel_scale_matrix @ jacobian
    if out.wcs.has_cd():
        out.wcs.cd = scale
    else:
        out.wcs.pc = np.linalg.inv(np.diag(out.wcs.cdelt)) @ scale
    return out
