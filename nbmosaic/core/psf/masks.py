"""Which pixels a fit uses: regions, a circle round a star, areas without sources, masks that are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray
from nbmosaic.core.geometry.region_outlines import REGION_SYSTEMS
from nbmosaic.core.geometry.sky import SkyPixels, frame_change
from nbmosaic.core.geometry.systems import unit_vectors
from nbmosaic.errors import InputError, ShapeError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.regions import Region, RegionList

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["PhysicalPixels", "RegionMask", "extra_mask", "mask_without_sources", "region_mask", "region_pixels", "star_region"]

_DEG = math.pi / 180.0
_MARGIN = 1.25  # of the window about a region over its size at its centre: pixels of one field differ in size by far less
_CROSS = np.array([[False, True, False], [True, True, True], [False, True, False]])


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalPixels:
    """Physical coordinates of an image, which a cutout or a binned copy keeps from its parent (LTV and LTM).

    Attributes
    ----------
    ltv : tuple of float
        ``(LTV1, LTV2)``.
    ltm : tuple of float
        ``(LTM1_1, LTM2_2)``; 1-based image pixel = LTM * physical + LTV.
    """

    ltv: tuple[float, float] = (0.0, 0.0)
    ltm: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of_header(cls, values: Mapping[str, object]) -> PhysicalPixels:
        """Physical coordinates as header values say (LTV1, LTV2, LTM1_1, LTM2_2); those of the image where they do not.

        Raises
        ------
        InputError
            A value that is no number, or a factor of 0.

        Examples
        --------
        >>> PhysicalPixels.of_header({"LTV1": -30.0}).ltv
        (-30.0, 0.0)
        """
        found = {}
        for key, default in (("LTV1", 0.0), ("LTV2", 0.0), ("LTM1_1", 1.0), ("LTM2_2", 1.0)):
            value = values.get(key, default)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or (default and value == 0):
                raise InputError(f"{key} is {value!r}", hint="mend the header, or give regions in other than physical coordinates")
            found[key] = float(value)
        return cls(ltv=(found["LTV1"], found["LTV2"]), ltm=(found["LTM1_1"], found["LTM2_2"]))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RegionMask:
    """Pixels that regions leave out.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
        True for pixels inside of an excluding region, or outside of every including one (where there is an including one).
    n_excluded : int
        Pixels inside of excluding regions.
    n_included : int
        Pixels inside of including regions; 0 also where there are none.
    missed : tuple of Region
        Regions that hold no pixel of the image.
    """

    mask: BoolArray
    n_excluded: int
    n_included: int
    missed: tuple[Region, ...]


def region_mask(
    regions: RegionList, wcs: WCS, shape: tuple[int, int], *, physical: PhysicalPixels | None = None, name: str = "the image"
) -> RegionMask:
    """Pixels that regions leave out: inside of any excluding one, or outside of all including ones.

    A pixel belongs to a region where its centre does.

    Parameters
    ----------
    regions : RegionList
        Regions.
    wcs : astropy.wcs.WCS
        Celestial WCS of the image.
    shape : tuple of int
        ``(ny, nx)``.
    physical : PhysicalPixels, optional
        What physical coordinates mean; by default they are those of the image.
    name : str
        Name of the image, for messages.

    Raises
    ------
    InputError
        There are including regions, and none of them holds a pixel of the image. (imphot uses the whole image then, and says nothing.)

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.001, 0.001]
    >>> one = Region(kind="box", system="image", exclude=True, centre=(1.0, 0.0), sizes=(1.0, 1.0), angular=False)
    >>> region_mask(RegionList(regions=(one,)), wcs, (2, 3)).mask.astype(int)
    array([[0, 1, 0],
           [0, 0, 0]])
    """
    excluded, included = np.zeros(shape, bool), np.zeros(shape, bool)
    missed = []
    for region in regions:
        box, inside = region_pixels(region, wcs, shape, physical=physical)
        if not inside.any():
            missed.append(region)
            continue
        (excluded if region.exclude else included)[box.slices()] |= inside
    includes = [region for region in regions if not region.exclude]
    n_included = int(np.count_nonzero(included))
    if includes and not n_included:
        what = "the including region holds" if len(includes) == 1 else f"none of the {len(includes)} including regions holds"
        raise InputError(f"{what} no pixel of {name}", hint=f"the first is: {includes[0]}")
    mask = excluded | ~included if includes else excluded
    return RegionMask(mask=mask, n_excluded=int(np.count_nonzero(excluded)), n_included=n_included, missed=tuple(missed))


def region_pixels(
    region: Region, wcs: WCS, shape: tuple[int, int], *, physical: PhysicalPixels | None = None
) -> tuple[PixelBox, BoolArray]:
    """Window of an image about a region, and which of its pixels are inside.

    Parameters
    ----------
    region : Region
        The region.
    wcs, shape, physical
        See `region_mask`.

    Returns
    -------
    box : PixelBox
        The window, clipped to the image (may be empty).
    inside : ndarray of bool, shape of the window

    Notes
    -----
    Shapes on the sky are tested in the plane that touches the sphere at the centre of the region (at the mean vertex of a polygon, whose sides
    are great circles), by the exact WCS at every pixel of the window; circles by the angular distance itself.
    """
    if region.in_pixels:
        return _in_pixels(region, wcs, shape, PhysicalPixels() if physical is None else physical)
    sky = SkyPixels(wcs, shape)
    own = REGION_SYSTEMS[region.system]
    to_image, to_region = frame_change(own, sky.system), frame_change(sky.system, own)
    lon, lat = np.array([region.centre[0]]), np.array([region.centre[1]])
    if region.kind == "polygon":
        corners = np.asarray(region.vertices)
        vectors = unit_vectors(corners[:, 0], corners[:, 1])
        middle = vectors.sum(axis=1)
        lon, lat = (
            np.array([math.atan2(middle[1], middle[0]) / _DEG]),
            np.array([math.atan2(middle[2], math.hypot(middle[0], middle[1])) / _DEG]),
        )
        vertices = np.stack(_plane(lon, lat, corners[:, 0], corners[:, 1]), axis=1)
        if not np.isfinite(vertices).all():
            raise InputError("a polygon spans more than a hemisphere", hint=f"{region}")
    else:
        vertices = np.empty((0, 2))
    reach = _reach(region, vertices)
    box = _window(sky, to_image, (lon, lat), reach, shape)
    if box.empty:
        return box, np.zeros(box.shape, bool)
    x, y = np.meshgrid(np.arange(box.xmin, box.xmax, dtype=float), np.arange(box.ymin, box.ymax, dtype=float))
    a, d = sky.to_sky(x, y)
    if to_region is not None:
        a, d = to_region(a, d)
    if region.kind in {"circle", "annulus"}:
        return box, _in_rings(region.sizes, _distance(lon, lat, a, d))
    u, v = _plane(lon, lat, a, d)
    return box, _inside(region, u, v, vertices)


def _in_pixels(region: Region, wcs: WCS, shape: tuple[int, int], physical: PhysicalPixels) -> tuple[PixelBox, BoolArray]:
    """As `region_pixels`, for positions in pixels; sizes that are angles are pixels of the image's scale."""
    factor = 1.0
    if region.angular:
        from nbmosaic.core.geometry.sky import pixel_scale_arcsec

        factor = 3600.0 / pixel_scale_arcsec(wcs)
    elif region.system == "physical":
        factor = math.sqrt(abs(physical.ltm[0] * physical.ltm[1]))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        if region.system == "image":
            return point
        x, y = (m * (p + 1.0) + v - 1.0 for m, v, p in zip(physical.ltm, physical.ltv, point, strict=True))
        return x, y

    x0, y0 = place(region.centre)
    vertices = np.array([place(vertex) for vertex in region.vertices]).reshape(-1, 2) - (x0, y0)
    sizes = tuple(factor * size for size in region.sizes)
    reach = _reach_of(region.kind, sizes, vertices) + 1.0
    box = PixelBox(_floor(y0 - reach), _floor(y0 + reach) + 2, _floor(x0 - reach), _floor(x0 + reach) + 2)
    box = box.intersection(PixelBox.of_shape(shape))
    if box.empty:
        return box, np.zeros(box.shape, bool)
    x, y = np.meshgrid(np.arange(box.xmin, box.xmax, dtype=float) - x0, np.arange(box.ymin, box.ymax, dtype=float) - y0)
    return box, _inside_of(region.kind, sizes, region.angle, x, y, vertices)


def _floor(value: float) -> int:
    return math.floor(min(max(value, -1e9), 1e9))


def _reach(region: Region, vertices: FloatArray) -> float:
    """Largest distance of a point of the region from its centre, degrees."""
    plane = _reach_of(region.kind, tuple(size * _DEG for size in region.sizes), vertices)
    return (plane if region.kind in {"circle", "annulus"} else math.atan(plane)) / _DEG


def _reach_of(kind: str, sizes: tuple[float, ...], vertices: FloatArray) -> float:
    if kind == "polygon":
        return float(np.hypot(vertices[:, 0], vertices[:, 1]).max())
    return 0.5 * math.hypot(*sizes[-2:]) if kind.startswith("box") else max(sizes)


def _window(sky: SkyPixels, to_image: object, centre: tuple[FloatArray, FloatArray], reach: float, shape: tuple[int, int]) -> PixelBox:
    """Window that surely holds every pixel within `reach` degrees of a position; the whole image where that cannot be told."""
    whole = PixelBox.of_shape(shape)
    if reach > 20.0:
        return whole
    lon, lat = centre
    cos = max(math.cos(float(lat[0]) * _DEG), 1e-6)
    step = max(reach, 1e-7)
    along = np.linspace(0.0, 2.0 * math.pi, 16, endpoint=False)
    a = lon + np.concatenate([[0.0], step * np.cos(along) / cos])
    d = np.clip(lat + np.concatenate([[0.0], step * np.sin(along)]), -90.0, 90.0)
    if callable(to_image):
        a, d = to_image(a, d)
    x, y = sky.to_pixel(a, d)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or abs(float(lat[0])) + reach > 89.0:
        return whole
    half = _MARGIN * float(np.hypot(x[1:] - x[0], y[1:] - y[0]).max()) + 1.0
    box = PixelBox(_floor(y[0] - half), _floor(y[0] + half) + 2, _floor(x[0] - half), _floor(x[0] + half) + 2)
    return box.intersection(whole)


def _distance(lon: FloatArray, lat: FloatArray, a: FloatArray, d: FloatArray) -> FloatArray:
    """Angular distance in degrees, exact for small angles too (by half the chord)."""
    one, other = unit_vectors(lon, lat), unit_vectors(a.ravel(), d.ravel())
    chord = np.sqrt(((one - other) ** 2).sum(axis=0))
    return np.asarray(2.0 * np.arcsin(np.minimum(0.5 * chord, 1.0)) / _DEG).reshape(a.shape)


def _plane(lon: FloatArray, lat: FloatArray, a: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coordinates towards west and north in the plane that touches the sphere at one position (radians); NaN a hemisphere away."""
    delta, d, d0 = (a - lon) * _DEG, d * _DEG, float(lat[0]) * _DEG
    cos_d = np.cos(d)
    depth = np.sin(d) * math.sin(d0) + cos_d * math.cos(d0) * np.cos(delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        west = np.where(depth > 1e-6, -cos_d * np.sin(delta) / depth, np.nan)
        north = np.where(depth > 1e-6, (np.sin(d) * math.cos(d0) - cos_d * math.sin(d0) * np.cos(delta)) / depth, np.nan)
    return west, north


def _inside(region: Region, u: FloatArray, v: FloatArray, vertices: FloatArray) -> BoolArray:
    return _inside_of(region.kind, tuple(size * _DEG for size in region.sizes), region.angle, u, v, vertices)


def _inside_of(kind: str, sizes: tuple[float, ...], angle: float, u: FloatArray, v: FloatArray, vertices: FloatArray) -> BoolArray:
    """Whether points of a plane, relative to the centre, are inside a shape."""
    if kind in {"circle", "annulus"}:
        return _in_rings(sizes, np.hypot(u, v))
    if kind == "polygon":
        return _in_polygon(vertices, u, v)
    cos, sin = math.cos(angle * _DEG), math.sin(angle * _DEG)
    with np.errstate(invalid="ignore"):
        p, q = np.abs(u * cos + v * sin), np.abs(v * cos - u * sin)
        test = _in_ellipse if kind.startswith("ellipse") else _in_box
        outer = test(p, q, sizes[-2], sizes[-1])
        return outer & ~test(p, q, sizes[0], sizes[1]) if len(sizes) == 4 else outer


def _in_ellipse(p: FloatArray, q: FloatArray, a: float, b: float) -> BoolArray:
    if a <= 0 or b <= 0:
        return np.zeros(p.shape, bool)
    return np.asarray((p / a) ** 2 + (q / b) ** 2 < 1.0)


def _in_box(p: FloatArray, q: FloatArray, width: float, height: float) -> BoolArray:
    return np.asarray((p < 0.5 * width) & (q < 0.5 * height))


def _in_rings(sizes: tuple[float, ...], distance: FloatArray) -> BoolArray:
    with np.errstate(invalid="ignore"):
        inside = distance < sizes[-1]
        return np.asarray(inside & (distance >= sizes[0])) if len(sizes) == 2 else np.asarray(inside)


def _in_polygon(vertices: FloatArray, u: FloatArray, v: FloatArray) -> BoolArray:
    """Even-odd rule: the number of sides that a ray towards +u crosses."""
    inside = np.zeros(u.shape, bool)
    for (u0, v0), (u1, v1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if v0 == v1:
            continue
        with np.errstate(invalid="ignore"):
            crosses = ((v0 <= v) != (v1 <= v)) & (u < u0 + (v - v0) * ((u1 - u0) / (v1 - v0)))
        inside ^= crosses
    return inside & np.isfinite(u)


def star_region(star: tuple[float, float, float], *, exclude: bool = False) -> Region:
    """Circle about a star.

    Parameters
    ----------
    star : tuple of float
        Right ascension and declination in degrees (ICRS), radius in arcsec.
    exclude : bool
        Leave out the circle and not its outside.

    Raises
    ------
    InputError
        Not three finite numbers, or a radius that is not positive.

    Notes
    -----
    imphot passes the circle on as text with six digits, up to 0.18 arcsec off; here it keeps all of them.

    Examples
    --------
    >>> star_region((53.157969, -27.769193, 3.0)).centre
    (53.157969, -27.769193)
    """
    try:
        ra, dec, radius = (float(value) for value in star)
    except (TypeError, ValueError) as err:
        raise InputError("the star is not three numbers", hint="give (right ascension, declination, radius in arcsec)") from err
    if not (math.isfinite(ra) and -90.0 <= dec <= 90.0 and math.isfinite(radius)):
        raise InputError(f"the star is at {ra}, {dec} with radius {radius}", hint="give degrees, and the radius in arcsec")
    if radius <= 0:
        raise InputError(f"the radius of the star is {radius:g} arcsec", hint="it must be greater than 0")
    return Region(kind="circle", system="icrs", exclude=exclude, centre=(ra, dec), sizes=(radius / 3600.0,))


def mask_without_sources(data: AnyArray, mask: BoolArray) -> BoolArray:
    """Mask of the areas that hold no significant source, from the reference image.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Reference image.
    mask : ndarray of bool, shape (ny, nx)
        True where it is bad.

    Returns
    -------
    ndarray of bool
        True where the opened image is below its median, after an erosion by one pixel.

    Notes
    -----
    Grey opening, then grey dilation, by the flat plus of 3 x 3 pixels; low pixels are those under the median of the good ones; the mask is their
    binary erosion by the same plus. imphot means the same, but passes the plus as *heights*, so that its element is the full square with 1 added
    to five of its pixels: its answer changes when the image is multiplied by a number. It also counts bad pixels as zeros.
    """
    from scipy import ndimage

    if mask.shape != data.shape:
        raise ShapeError(f"the mask is {mask.shape}, its image is {data.shape}")
    good = ~mask & np.isfinite(data)
    if not good.any():
        return np.zeros(data.shape, bool)
    filled = np.where(good, data, np.median(data[good]))
    opened = ndimage.grey_dilation(ndimage.grey_opening(filled, footprint=_CROSS), footprint=_CROSS)
    low = opened < np.median(opened[good])
    return np.asarray(ndimage.binary_erosion(low, _CROSS), bool)


def extra_mask(mask: AnyArray, shape: tuple[int, int], *, name: str = "the extra mask") -> BoolArray:
    """Mask from an array that was given: True where it is not zero (NaN too).

    Raises
    ------
    ShapeError
        It has another shape than the image.
    InputError
        It does not hold numbers.

    Examples
    --------
    >>> extra_mask(np.array([[0, 2]]), (1, 2))
    array([[False,  True]])
    """
    array = np.asarray(np.ma.filled(mask, 1)) if isinstance(mask, np.ma.MaskedArray) else np.asarray(mask)
    if array.shape != shape:
        raise ShapeError(f"{name} has the wrong dimensions: it is {array.shape}, the image is {shape}")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} is an array of {array.dtype}, expected numbers or bool")
    return np.asarray(array != 0)
