"""Pieces of mosaic exposures on the output grid: where they lie, by which map, and their resampling."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray
from nbmosaic.errors import ConfigError, NbmosaicError, WcsError
from nbmosaic.types import PixelBox, ProjectedFrame
from nbmosaic.types.camera import FittedMap, Interpolant

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.core.geometry.pixmap import PixelMap
    from nbmosaic.io.exposure import Piece

__all__ = [
    "BAD_CHOICES",
    "BOUNDARIES",
    "MapOptions",
    "PieceBuffers",
    "PieceOptions",
    "PlacedPiece",
    "Resampled",
    "place_piece",
    "resample_one",
]

BOUNDARIES = ("nearest", "constant", "reflect", "wrap")
BAD_CHOICES = ("exclude", "interpolate", "flag")
RESIDUAL_MESH = 25
"""Points a side at which a fitted map is compared with the exact one."""
FORMS = ("bits", "blanked", "codes", "values")
_REACH = {"nearest": 0, "linear": 1, "poly3": 2, "poly5": 3, "spline3": 4, "drizzle": 1}
"""How far a kernel reads; a spline's weights fall by 0.27 a pixel, so that beyond 4 less than 1/100 is left."""


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """How the map of a piece is made.

    Attributes
    ----------
    geometry : str
        ``exact``: the exact coordinates, as polynomials that are checked against them; else a geometry of `FittedMap`, fitted to a mesh of points.
    function, xxorder, xyorder, xxterms, yxorder, yyorder, yxterms
        See `nbmosaic.core.geometry.fitted_map.fit_surface_map`.
    nx, ny : int
        Points of the mesh.
    digits : tuple of int, optional
        See `nbmosaic.core.geometry.exposure_grid.sky_points`.
    whole_grid : bool
        Spread the mesh over the output instead of the piece, and map all of the output.
    sampling : int
        Evaluate a fitted map at every so many pixels only, and interpolate between; 0: at every pixel.
    """

    geometry: str = "exact"
    function: str = "chebyshev"
    xxorder: int = 4
    xyorder: int = 4
    xxterms: str = "half"
    yxorder: int = 4
    yyorder: int = 4
    yxterms: str = "half"
    nx: int = 10
    ny: int = 20
    digits: tuple[int, int] | None = None
    whole_grid: bool = False
    sampling: int = 0

    def __post_init__(self) -> None:
        across, along = max(self.xxorder, self.yxorder), max(self.xyorder, self.yyorder)
        if self.geometry == "general" and (self.nx < across or self.ny < along):
            raise ConfigError(
                f"a mesh of {self.nx} by {self.ny} points is too small for orders of {across} in x and {along} in y",
                hint="set nx and ny higher",
            )
        if self.nx < 2 or self.ny < 2:
            raise ConfigError(f"a mesh of {self.nx} by {self.ny} points cannot be fitted", hint="use 2 points or more in each direction")


@dataclass(frozen=True, kw_only=True)
class PieceOptions:
    """How pieces are resampled.

    Attributes
    ----------
    interpolant, mask_interpolant : Interpolant
        Kernels of the data and of the mask.
    boundary : str
        One of `BOUNDARIES`: what kernels read beyond the edge of a detector.
    constant : float
        Value of the boundary ``constant``.
    trim : int
        Rows and columns cut from every side; kernels read them all the same.
    fluxconserve : bool
        Multiply by the area of the output pixel in input pixels.
    bad : str
        One of `BAD_CHOICES`.
    form : str
        One of `FORMS`, what the mask of a piece holds: bits of `nbmosaic.core.camera_combine.MASK_BITS`, with NaN beyond its edges; IRAF's codes (0
        good, 1 bad, 2 out of bounds), with NaN where they are 2 (``blanked``) or a value everywhere (``codes``); or the interpolated mask of
        10000 where pixels are bad and beyond the edges (``values``).
    map : MapOptions
        The map.
    """

    interpolant: Interpolant
    mask_interpolant: Interpolant
    boundary: str = "reflect"
    constant: float = 0.0
    trim: int = 0
    fluxconserve: bool = False
    bad: str = "exclude"
    form: str = "bits"
    map: MapOptions = field(default_factory=MapOptions)


@dataclass(frozen=True, eq=False, kw_only=True)
class PlacedPiece:
    """A piece, its pixels on the grid, and its map.

    Attributes
    ----------
    piece : Piece
        The piece.
    section : PixelBox
        Its pixels that are left by the trim.
    box : PixelBox
        Pixels of the grid.
    forward : PixelMap
        From pixels of the grid to pixels of the piece.
    sampled : PixelMap, optional
        The map as it is read, where sampling changes it.
    fitted : FittedMap, optional
        The fitted map, where it is one.
    error_pix, rms_pix : float
        Largest and rms difference between the map and the exact coordinates, in pixels of the piece.
    outline : tuple of ndarray
        x and y of the edge of the section on the grid.
    """

    piece: Piece
    section: PixelBox
    box: PixelBox
    forward: PixelMap
    fitted: FittedMap | None
    error_pix: float
    rms_pix: float
    outline: tuple[FloatArray, FloatArray]
    sampled: PixelMap | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Resampled:
    """A resampled piece: planes over its box, its mask, and the number of pixels with a value."""

    frame: ProjectedFrame
    mask: AnyArray
    n_good: int


def place_piece(piece: Piece, grid: WCS, options: PieceOptions, *, within: PixelBox | None = None) -> PlacedPiece | None:
    """Find where a piece lies on a grid, and make its map.

    Parameters
    ----------
    piece : Piece
        The piece.
    grid : astropy.wcs.WCS
        Coordinates of the output.
    options : PieceOptions
        How.
    within : PixelBox, optional
        Pixels of the output, where they are given.

    Returns
    -------
    PlacedPiece or None
        None where the piece has no pixel in `within`.

    Raises
    ------
    InputError
        Too large a trim; an order that the mesh is too small for.
    WcsError
        The grid does not see the piece.
    """
    from nbmosaic.core.geometry.exposure_grid import section_box, sky_points

    info = piece.info
    try:
        section = section_box(info.shape, options.trim)
        x, y = _perimeter(section)
        outline = sky_points(info.wcs, grid, x, y, shape=info.shape)
        if options.map.geometry == "exact":
            return _exactly(piece, section, outline, grid, within)
        return _fitted(piece, section, outline, grid, options.map, within)
    except NbmosaicError as error:
        error.message = f"{info.name}: {error.message}" if info.name not in error.message else error.message
        raise


def _exactly(
    piece: Piece, section: PixelBox, outline: tuple[FloatArray, FloatArray], grid: WCS, within: PixelBox | None
) -> PlacedPiece | None:
    from nbmosaic.core.geometry.pixmap import fit_pixel_map

    info = piece.info
    box = _outline_box(outline)
    if within is not None:
        box = box.intersection(within)
    if box.empty:
        return None
    forward = fit_pixel_map(grid, info.wcs, box, info.shape)
    return PlacedPiece(
        piece=piece,
        section=section,
        box=box,
        forward=forward,
        fitted=None,
        error_pix=forward.error_pix,
        rms_pix=forward.error_pix,
        outline=outline,
    )


def _fitted(
    piece: Piece, section: PixelBox, outline: tuple[FloatArray, FloatArray], grid: WCS, options: MapOptions, within: PixelBox | None
) -> PlacedPiece | None:
    from nbmosaic.core.geometry.exposure_grid import grid_points, points_box, sky_points
    from nbmosaic.core.geometry.fitted_map import evaluate, fit_surface_map, pixel_map
    from nbmosaic.core.geometry.sampled_map import sampled_map

    info = piece.info
    if options.whole_grid and within is not None:
        u, v = grid_points(within, options.nx, options.ny)
        x, y = sky_points(grid, info.wcs, u, v, digits=options.digits)
        box = within
    else:
        x, y = grid_points(section, options.nx, options.ny)
        u, v = sky_points(info.wcs, grid, x, y, shape=info.shape, digits=options.digits)
        box = points_box(u, v)
        box = box if within is None else box.intersection(within)
        if box.empty:
            return None
    keep = np.isfinite(x) & np.isfinite(u)
    fitted = fit_surface_map(
        np.stack([u, v], axis=1)[keep],
        np.stack([x, y], axis=1)[keep],
        limits=(box.xmin, box.xmax - 1, box.ymin, box.ymax - 1),
        geometry=options.geometry,
        function=options.function,
        xxorder=options.xxorder,
        xyorder=options.xyorder,
        xxterms=options.xxterms,
        yxorder=options.yxorder,
        yyorder=options.yyorder,
        yxterms=options.yxterms,
    )
    x, y = grid_points(section, RESIDUAL_MESH, RESIDUAL_MESH)
    u, v = sky_points(info.wcs, grid, x, y, shape=info.shape)
    found_y, found_x = evaluate(fitted, v, u)
    off = np.hypot(found_x - x, found_y - y)
    return PlacedPiece(
        piece=piece,
        section=section,
        box=box,
        forward=pixel_map(fitted, box),
        fitted=fitted,
        error_pix=float(np.nanmax(off)),
        rms_pix=float(np.sqrt(np.nanmean(off**2))),
        outline=outline,
        sampled=sampled_map(fitted, box, options.sampling) if options.sampling else None,
    )


def _perimeter(section: PixelBox, per_side: int = 33) -> tuple[FloatArray, FloatArray]:
    """Points along the outer edge of the pixels of a section."""
    t = np.linspace(0.0, 1.0, per_side)
    ny, nx = section.shape
    x = section.xmin - 0.5 + nx * np.concatenate([t, np.ones_like(t), 1.0 - t, np.zeros_like(t)])
    y = section.ymin - 0.5 + ny * np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1.0 - t])
    return x, y


def _outline_box(outline: tuple[FloatArray, FloatArray]) -> PixelBox:
    """Pixels that an outline touches; its points are so near that edges bulge by far less than a pixel between them."""
    x, y = outline
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise WcsError("the output grid does not see all of a piece", hint="choose a reference nearer to the exposure")
    return PixelBox(int(np.floor(y.min())), int(np.ceil(y.max())) + 1, int(np.floor(x.min())), int(np.ceil(x.max())) + 1)


class PieceBuffers:
    """Buffers of pieces, used again and again; what is made in one of them holds while the others are used."""

    def __init__(self) -> None:
        from nbmosaic.core.resampling.workspace import Workspace

        self.mask, self.zones, self.data = Workspace(), Workspace(), Workspace()


def resample_one(
    placed: PlacedPiece, options: PieceOptions, buffers: PieceBuffers, *, measure: bool = True, blank: float = np.nan
) -> Resampled:
    """Resample a piece; the arrays hold until the buffers are used again.

    With `measure` its noise gain and valid pixels are found. `blank` is what the form ``blanked`` writes beyond the piece.
    """
    from nbmosaic.core.camera_combine import n_values
    from nbmosaic.core.geometry.sampled_map import sampled_area
    from nbmosaic.core.resampling.piece_noise import piece_noise_gain
    from nbmosaic.core.resampling.pieces import resample_codes, resample_mask, resample_piece

    info, forward = placed.piece.info, placed.sampled or placed.forward
    # read to where the result goes: the kernels read a padded copy, which is made before anything is written there (34 MB less for 2048 x 4096)
    pixels = info.source.load(buffers.data.array("data", info.shape, "f4"))
    bad = np.zeros(info.shape, bool) if pixels.mask is None else pixels.mask
    if options.bad == "flag":  # the kernels read bad pixels as they are
        pixels = replace(pixels, mask=None)
    done = resample_piece(
        pixels,
        forward,
        interpolant=options.interpolant,
        boundary=options.boundary,
        constant=options.constant,
        section=placed.section,
        fluxconserve=options.fluxconserve and placed.sampled is None,
        bad=options.bad,
        with_area=False,
        cut=options.form == "bits",
        workspace=buffers.data,
    )
    if options.fluxconserve and placed.sampled is not None and placed.fitted is not None:
        # derivatives have samples of their own: a map that is interpolated linearly has steps in them
        area = sampled_area(placed.fitted, placed.box, options.map.sampling)
        assert area is not None
        done.data[...] *= area
        if done.variance is not None:
            done.variance[...] *= area * area
    if options.form == "bits":
        mask = _bits(bad, placed, options, buffers)
    elif options.form == "values":
        interpolant, section = options.mask_interpolant, placed.section
        mask = resample_mask(bad, forward, interpolant=interpolant, section=section, outside=10000.0, workspace=buffers.mask)
    else:
        mask = resample_codes(
            bad,
            forward,
            done.data,
            interpolant=options.mask_interpolant,
            section=placed.section,
            blank=blank if options.form == "blanked" else None,
            workspace=buffers.mask,
        )
    frame = ProjectedFrame(
        box=done.box,
        data=done.data,
        weight=done.weight,
        variance=done.variance,
        map_error_pix=placed.error_pix,
        noise_gain=piece_noise_gain(options.interpolant, placed.forward) if measure else 1.0,
    )
    return Resampled(frame=frame, mask=mask, n_good=n_values(done.data) if measure else 0)


def _bits(bad: BoolArray, placed: PlacedPiece, options: PieceOptions, buffers: PieceBuffers) -> AnyArray:
    """Bits of the mask of a piece; 0 beyond its section."""
    from nbmosaic.core.camera_combine import mask_bits
    from nbmosaic.core.resampling.pieces import resample_mask, touched_pixels

    spread, zones, section = None, None, placed.section
    if bad.any():
        spread = resample_mask(
            bad, placed.forward, interpolant=options.mask_interpolant, outside=0.0, within=section, workspace=buffers.mask
        )
    interpolant = options.interpolant
    reach = _REACH.get(interpolant.kind, interpolant.taps // 2)
    if options.trim < reach:
        rim = np.ones(bad.shape, bool)
        rim[reach : bad.shape[0] - reach, reach : bad.shape[1] - reach] = False
        nearest = Interpolant.parse("nearest")
        zones = resample_mask(rim, placed.forward, interpolant=nearest, outside=0.0, within=section, workspace=buffers.zones)
    bits = mask_bits(zones, spread, placed.box.shape, buffers.data.array("bits", placed.box.shape, np.uint8))
    if options.bad == "flag" and spread is not None:  # bad pixels are in the values, as far as the kernel of the data reaches
        bits |= touched_pixels(bad, placed.forward, interpolant=interpolant, within=section, workspace=buffers.mask)
    return bits
