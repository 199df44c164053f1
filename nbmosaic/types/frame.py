"""Frames before and after projection, and the grid that they are projected onto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from nbmosaic._types import BoolArray, Float32Array, FloatArray
from nbmosaic.types.box import PixelBox

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Footprint", "FrameInfo", "FramePixels", "FrameSource", "MosaicGrid", "ProjectedFrame", "ProjectedInfo"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FramePixels:
    """Pixels of one frame, native-endian and C-contiguous, on its own grid.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        Pixel values; NaN where there is none.
    mask : ndarray of bool, shape (ny, nx), optional
        True where a pixel must not be used (beyond the NaN of `data`).
    weight, variance : ndarray of float32, shape (ny, nx), optional
        Relative weight (0 or less: not used) and variance (unit squared; not finite or negative: not used).
    """

    data: Float32Array
    mask: BoolArray | None = None
    weight: Float32Array | None = None
    variance: Float32Array | None = None


@runtime_checkable
class FrameSource(Protocol):
    """Where the pixels of a frame come from. Sources can be pickled, so that another process may load them."""

    def load(self, out: Float32Array | None = None) -> FramePixels:
        """Read the pixels (with BSCALE, BZERO, BLANK and the frame's flux scale applied), into `out` if it is given."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FrameInfo:
    """What is known of one frame without reading its pixels.

    Attributes
    ----------
    name : str
        Name shown to users: the path as given, with ``[hdu]`` where a file holds several.
    shape : tuple of int
        ``(ny, nx)``.
    wcs : astropy.wcs.WCS
        Celestial, two axes (longitude and latitude in either order).
    source : FrameSource
        Loads the pixels.
    meta : mapping
        Header values that tables show (``unit``, ``exptime``, ``file``, ``hdu``, ``size``, ...).
    flux_scale : float
        Factor that `source` applies to the data.
    """

    name: str
    shape: tuple[int, int]
    wcs: WCS
    source: FrameSource
    meta: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    flux_scale: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class MosaicGrid:
    """The pixel grid of a mosaic: a celestial WCS and a shape (a header template).

    Attributes
    ----------
    wcs : astropy.wcs.WCS
        Two celestial axes, longitude first.
    shape : tuple of int
        ``(ny, nx)``.
    """

    wcs: WCS
    shape: tuple[int, int]

    @property
    def box(self) -> PixelBox:
        """All pixels of the grid."""
        return PixelBox.of_shape(self.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProjectedInfo:
    """What is known of a projected frame without its pixels.

    Attributes
    ----------
    index : int
        Row of the frame in the frame table.
    name : str
        Name of the frame.
    box : PixelBox
        Pixels covered, on the grid of the mosaic (may reach beyond the template).
    n_good : int
        Number of valid pixels.
    planes : tuple of str
        Which planes are stored: ``"data"`` always; ``"area"``, ``"weight"``, ``"variance"`` where they are not trivial.
        Without an ``"area"`` plane the area is 1 wherever the data are finite.
    map_error_pix : float
        Largest difference between the fitted and the exact pixel map at the check points, in input pixels.
    noise_gain : float
        ``C0 / S0`` of white input noise after resampling: variance of one output pixel over the noise power at zero frequency (per output pixel).
    noise : float
        Standard deviation of the noise of one pixel, measured on the projected frame; 0 if it could not be measured.
    coarse : ndarray of bool, shape (my, mx)
        Validity sampled at the pixels whose grid row and column are multiples of `coarse_step`, over `coarse_box` (in units of `coarse_step`).
    coarse_box : PixelBox
        Box of `coarse` in the coarse lattice: sample (0, 0) of `coarse` is grid pixel ``(ymin * step, xmin * step)``.
    """

    index: int
    name: str
    box: PixelBox
    n_good: int
    planes: tuple[str, ...] = ("data",)
    map_error_pix: float = 0.0
    noise_gain: float = 1.0
    noise: float = 0.0
    coarse: BoolArray = field(default_factory=lambda: np.zeros((0, 0), bool))
    coarse_box: PixelBox = field(default_factory=lambda: PixelBox(0, 0, 0, 0))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProjectedFrame:
    """Pixels of a projected frame.

    Attributes
    ----------
    box : PixelBox
        Pixels covered, on the grid of the mosaic.
    data : ndarray of float32
        Resampled values, NaN where there is none. ``area == 0`` where and only where `data` is NaN.
    area : ndarray of float32, optional
        Fraction of the output pixel covered by valid input, in [0, 1]; None: 1 wherever `data` is finite.
    weight, variance : ndarray of float32, optional
        Resampled weight and propagated variance.
    map_error_pix, noise_gain : float
        See `ProjectedInfo`.
    """

    box: PixelBox
    data: Float32Array
    area: Float32Array | None = None
    weight: Float32Array | None = None
    variance: Float32Array | None = None
    map_error_pix: float = 0.0
    noise_gain: float = 1.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Footprint:
    """Outline of a frame on the sky.

    Attributes
    ----------
    lon, lat : ndarray, shape (n,)
        Vertices in degrees (ICRS).
    """

    lon: FloatArray
    lat: FloatArray
