"""Resampling of one frame onto the grid of a mosaic.

How it works
------------
The pixel map says where the centre of each grid pixel lies on the frame. Six methods turn the frame's pixels around that position into a
value. With a frame pixel's value taken as the mean surface brightness over its square:

``nearest``
    The pixel that holds the position.
``bilinear``
    Interpolation between the 4 pixels around it. Fast; smooths, by an amount that depends on the sub-pixel phase.
``spline``
    Cubic B-spline through all pixels (see `nbmosaic.core.resampling.prefilter`): 4 x 4 coefficients. The default: on a sky of stars with
    3 pixels FWHM its rms error is half that of Lanczos, at half the cost.
``lanczos3``
    6 x 6 pixels with weights sinc(x) sinc(x / 3), normalised to sum 1.
``area``
    Mean over the output pixel of the frame taken as squares of constant brightness: each pixel weighted by its overlap with the output
    pixel. The output pixel is a parallelogram on the frame; its overlaps with the pixels around come from a table over sub-pixel phases.
    Conserves flux and propagates noise exactly, also where the grid is coarser than the frame; smooths like bilinear.
``exact``
    The same by the polygons themselves. Where the map is smooth (any two planes, common distortion) every output pixel is cut along the frame's
    pixels as the parallelogram that it is; elsewhere, and where it is larger than 2 pixels, the corners of every frame pixel are mapped onto the grid
    and cut along its pixels, which takes some five times longer.

Bad pixels (see `nbmosaic.core.resampling.fill`) enter no result. The area plane of the point-sampled methods (the first four) is the bilinear
weight of the good pixels (nearest: 0 or 1), and pixels below 0.5 are blank: NaN, area 0, weight 0, variance NaN. The area plane of ``area`` and
``exact`` is the fraction of the output pixel that good pixels cover, so it is fractional along the edges of the frame, too; all pixels
above 0.001 (``exact``: 1e-6) are kept, because the coadd weights by area and flux would be lost otherwise.

Point-sampled methods are valid between the centres of the outermost pixels (nearest: over the area of the pixels). What kernels read beyond
is the frame reflected through its outermost pixels, which continues slopes.

Weights are resampled bilinearly (``area``, ``exact``: by overlap), over the good pixels. Variances are propagated by the squares of the
weights that the samples really have; they are those of single output pixels, whose noise is correlated with that of their neighbours. That is
what the noise gain is for.

``conserve="flux"`` multiplies the surface brightness, in units per frame pixel, by the area of the output pixel in frame pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nbmosaic.core.resampling.areas import project_areas
from nbmosaic.core.resampling.exact import project_exact
from nbmosaic.core.resampling.noise import noise_gain
from nbmosaic.core.resampling.points import project_points
from nbmosaic.core.resampling.segments import map_segments, multiply_by_area
from nbmosaic.core.resampling.taps import POINT_METHODS
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.errors import ConfigError, InputError, ShapeError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels, ProjectedFrame

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["METHODS", "Workspace", "noise_gain", "resample_frame", "warmup"]

METHODS = (*POINT_METHODS, "area", "exact")
_CONSERVE = ("surface_brightness", "flux")


def resample_frame(
    pixels: FramePixels,
    forward: PixelMap,
    *,
    method: str = "spline",
    conserve: str = "surface_brightness",
    backward: PixelMap | None = None,
    workspace: Workspace | None = None,
) -> ProjectedFrame:
    """Resample a frame onto the pixels of its box on the grid.

    Parameters
    ----------
    pixels : FramePixels
        The frame, shape (ny, nx), in units of surface brightness per frame pixel. Not modified.
    forward : PixelMap
        Maps the pixel centres of the grid over the frame's box to the frame (offset 0).
    method : str
        ``"nearest"``, ``"bilinear"``, ``"spline"``, ``"lanczos3"``, ``"area"`` or ``"exact"``; see the module's text.
    conserve : str
        ``"surface_brightness"``, or ``"flux"`` to multiply by the area of the output pixel in frame pixels.
    backward : PixelMap, optional
        Maps the pixel corners of the frame, lattice ``(0..ny, 0..nx)`` with offset -0.5, to the grid. Needed by ``"exact"`` alone.
    workspace : Workspace, optional
        Buffers to use; the arrays of the result are then views that hold until the workspace is used again. Without it they are fresh.

    Returns
    -------
    ProjectedFrame
        float32 planes over ``forward.box``; all NaN if the frame has no good pixel. Without bad pixels the point-sampled methods give no area
        plane.

    Raises
    ------
    ConfigError
        If `method` or `conserve` is not one of the above.
    ShapeError
        If the planes of the frame differ in shape.
    InputError
        If ``"exact"`` gets no `backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
    >>> box = PixelBox(0, 2, 0, 3)
    >>> y, x = np.mgrid[0.0:2, 0.0:3]
    >>> half = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, table_u=x + 0.5, table_v=y),), error_pix=0.0)
    >>> ramp = FramePixels(data=np.tile(np.arange(4, dtype=np.float32), (2, 1)))
    >>> resample_frame(ramp, half, method="bilinear").data[0].tolist()
    [0.5, 1.5, 2.5]
    """
    _check(pixels, method, conserve, backward)
    workspace = Workspace() if workspace is None else workspace
    segments = map_segments(forward)
    flux = conserve == "flux"
    if method == "exact":
        assert backward is not None
        planes = project_exact(pixels, segments, backward, forward.box, flux=flux, workspace=workspace)
    elif method == "area":
        planes = project_areas(pixels, segments, forward.box.shape, workspace)
    else:
        planes = project_points(pixels, segments, forward.box.shape, method, workspace)
    if flux and method != "exact":
        multiply_by_area(planes, segments)
    return ProjectedFrame(
        box=forward.box,
        data=planes.data,
        area=planes.area,
        weight=planes.weight,
        variance=planes.variance,
        map_error_pix=forward.error_pix,
        noise_gain=noise_gain(method, forward, pixels.data.shape, segments=segments),
    )


def _check(pixels: FramePixels, method: str, conserve: str, backward: PixelMap | None) -> None:
    if method not in METHODS:
        raise ConfigError(f"unknown resampling method {method!r}", hint=f"use one of {', '.join(METHODS)}")
    if conserve not in _CONSERVE:
        raise ConfigError(f"conserve cannot be {conserve!r}", hint="use 'surface_brightness' or 'flux'")
    if method == "exact" and backward is None:
        raise InputError("the method 'exact' needs the map of the frame's pixel corners onto the grid", hint="pass backward=")
    if pixels.data.ndim != 2:
        raise ShapeError(f"a frame must have two axes, not {pixels.data.ndim}")
    for name in ("mask", "weight", "variance"):
        plane = getattr(pixels, name)
        if plane is not None and plane.shape != pixels.data.shape:
            raise ShapeError(f"the {name} plane has shape {plane.shape}, the data {pixels.data.shape}")


def warmup() -> None:
    """Compile every kernel, with the signatures that `resample_frame` uses, into numba's cache.

    Examples
    --------
    >>> warmup()
    """
    from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap

    box = PixelBox(0, 12, 0, 12)
    c = np.zeros((4, 4))
    c[0, 0], c[0, 1] = 5.0, 4.0
    polynomial = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, cu=c, cv=c.T.copy()),), error_pix=0.0)
    y, x = np.mgrid[0.0:13, 0.0:13]
    corners = PixelBox(0, 13, 0, 13)
    backward = PixelMap(box=corners, offset=-0.5, patches=(MapPatch(box=corners, table_u=x - 0.5, table_v=y - 0.5),), error_pix=0.0)
    inverse = PixelMap(
        box=corners, offset=-0.5, patches=(MapPatch(box=corners, cu=c, cv=c.T.copy()),), error_pix=0.0
    )  # its degree is what counts
    data = np.ones((12, 12), np.float32)
    for mask in (None, np.eye(12, dtype=bool)):
        pixels = FramePixels(data=data, mask=mask, weight=data, variance=data)
        for method in METHODS:
            resample_frame(pixels, polynomial, method=method, backward=backward)
        resample_frame(pixels, polynomial, method="exact", backward=inverse)
