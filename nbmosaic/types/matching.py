"""Overlap planes and the background model, as structs of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import IntFlag
from typing import Any

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray

__all__ = ["BackgroundModel", "CoverageCells", "OverlapFlag", "OverlapPlanes"]


class OverlapFlag(IntFlag):
    """What is special about an overlap. Bits are added."""

    OK = 0
    FEW_PIXELS = 1
    """Fewer valid pixels than asked for: not fitted, not used."""
    EXCLUDED = 2
    """Excluded by the user."""
    NOT_CONVERGED = 4
    """Clipping still changed the pixels kept at the last iteration."""
    DEGENERATE = 8
    """The pixels kept do not constrain both slopes."""
    DOWNWEIGHTED = 16
    """Given less weight by the robust solution."""
    FROM_BOX = 32
    """Moments come from the bounding box of a Montage table, not from pixels."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OverlapPlanes:
    """Plane fits of the differences of overlapping frames, one row a pair; every array has n rows.

    The plane of row k is ``level + slope_x * (x - xmean) + slope_y * (y - ymean)`` in 0-based pixels of the mosaic grid, for frame `plus` minus frame `minus`.
    Moments are those of the pixels kept by the clipping, about their own mean; together with the plane they are sufficient statistics of
    every pixel of the overlap for any model that is a plane per frame (see `nbmosaic.core.matching.background`).

    Attributes
    ----------
    plus, minus : ndarray of int64, shape (n,)
        Indices of the frames.
    level, slope_x, slope_y : ndarray of float64, shape (n,)
        The fitted plane (unit of the frames; unit per pixel).
    n_pixels : ndarray of float64, shape (n,)
        Pixels kept (or the box area, for `OverlapFlag.FROM_BOX`).
    n_valid : ndarray of float64
        Pixels valid in both frames, before clipping.
    xmean, ymean, sxx, sxy, syy : ndarray of float64
        Mean position and centred second moments (sums, not means) of the pixels kept.
    rms : ndarray of float64
        Standard deviation of the residuals, corrected for the clipping (Gaussian noise of standard deviation s gives s).
    noise_power : ndarray of float64
        Power of the residuals at zero spatial frequency per pixel: ``noise_power / n_pixels`` is the variance of their mean. Larger than
        ``rms**2`` because resampling correlates neighbouring pixels.
    box : ndarray of int64, shape (n, 4)
        ``ymin, ymax, xmin, xmax`` (half-open, grid pixels) of the pixels kept.
    rectangle : ndarray of float64, shape (n, 5)
        Smallest rectangle around the valid pixels: centre x, centre y (grid pixels), width, height, angle (degrees), as Montage's box.
    flag : ndarray of int64
        `OverlapFlag` bits.
    """

    plus: IntArray
    minus: IntArray
    level: FloatArray
    slope_x: FloatArray
    slope_y: FloatArray
    n_pixels: FloatArray
    n_valid: FloatArray
    xmean: FloatArray
    ymean: FloatArray
    sxx: FloatArray
    sxy: FloatArray
    syy: FloatArray
    rms: FloatArray
    noise_power: FloatArray
    box: IntArray
    rectangle: FloatArray
    flag: IntArray

    def __len__(self) -> int:
        return len(self.plus)

    def take(self, rows: IntArray | BoolArray) -> OverlapPlanes:
        """The chosen rows (index array or mask)."""
        return OverlapPlanes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def replace(self, **changes: Any) -> OverlapPlanes:
        """A copy with some columns changed."""
        return replace(self, **changes)

    @classmethod
    def concatenate(cls, parts: list[OverlapPlanes]) -> OverlapPlanes:
        """Rows of all `parts`, in order."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CoverageCells:
    """Regions of the mosaic grid by the set of frames that cover them, where three or more do.

    Needed for honest errors: the differences of overlapping pairs share frames, so they are not independent.

    Attributes
    ----------
    members : tuple of tuple of int
        Frame indices of each region, ascending.
    moments : ndarray of float64, shape (m, 6)
        ``n, xmean, ymean, sxx, sxy, syy`` of the pixels of each region (sums centred on the mean).
    """

    members: tuple[tuple[int, ...], ...] = ()
    moments: FloatArray = field(default_factory=lambda: np.zeros((0, 6)))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BackgroundModel:
    """A background plane per frame: ``c + a * (x - x0) + b * (y - y0)`` in 0-based grid pixels; subtract it from the frame.

    Attributes
    ----------
    frames : ndarray of int64, shape (m,)
        Frame indices (rows of the frame table), ascending.
    planes : ndarray of float64, shape (m, 3)
        ``a, b, c`` with the origin below.
    origin : tuple of float
        ``(x0, y0)``: Montage's origin is CRPIX counted from 0, that is ``x - x0`` is 0-based pixel minus 1-based CRPIX.
    stderr : ndarray of float64, shape (m, 3), optional
        Standard errors of ``a, b, c``; None if they were not computed, infinite where the overlaps do not constrain the value.
    covariance : ndarray of float64, shape (m, 3, 3), optional
        Covariance of ``a, b, c`` of each frame.
    component : ndarray of int64, shape (m,)
        Number of the connected group, from 0, largest first; a frame without overlap is a group of its own.
    residual_level : ndarray of float64, shape (n,)
        For each row of the overlaps: difference left at the centre of the overlap after correction.
    residual_rms : ndarray of float64, shape (n,)
        Root mean square over the overlap's pixels of the plane left after correction.
    weight : ndarray of float64, shape (n,)
        Weight of each overlap in the solution (0: not used).
    gauge : str
        In words: which common plane was fixed, and how.
    slope : bool
        Whether slopes were fitted.
    level, level_stderr : ndarray of float64, shape (m,)
        Value of each plane at the centre of the frame's box, and its standard error: what a person wants to see, because `c` is the value
        at an origin that may be far away.
    misfit : float
        Factor by which the standard errors were enlarged because the differences left over the overlaps are larger than the noise: the
        backgrounds of the frames are not planes. 1 where noise explains all.
    """

    frames: IntArray
    planes: FloatArray
    origin: tuple[float, float]
    stderr: FloatArray | None
    covariance: FloatArray | None
    component: IntArray
    residual_level: FloatArray
    residual_rms: FloatArray
    weight: FloatArray
    gauge: str
    slope: bool
    level: FloatArray = field(default_factory=lambda: np.zeros(0))
    level_stderr: FloatArray | None = None
    misfit: float = 1.0

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def n_components(self) -> int:
        """Number of connected groups."""
        return int(self.component.max()) + 1 if len(self.component) else 0
