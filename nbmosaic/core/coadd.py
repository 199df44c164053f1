"""Combine projected frames into a mosaic, one band of rows at a time.

Frames lie on the mosaic grid already, so a coadd is a statistic over the values of each pixel after the background planes are subtracted:

====================  ====================================================================================================================
``mean``              ``sum(w v) / sum(w)``
``sum``               ``sum(w v)``
``median``            middle value; for an even number the mean of the two middle ones
``clipped``           mean of the values within kappa standard deviations of the median, where there are at least 3
``min, max, first``   smallest, largest, first value in the order given
``count``             number of frames (count and area as always)
====================  ====================================================================================================================

Weights are 1, the area, the weight plane or the inverse variance. Coverage (`area`) is the sum of the areas of the values used, `count` their number.
Variances are propagated through mean, sum, first and clipped mean as ``sum(w^2 var) / sum(w)^2``, and through the median with the factor of
Gaussian samples of that size (`nbmosaic.core.median_noise`: 1.35 for 3 values, 1.19 for 4, pi/2 for many).

The standard deviation that clipping uses is the larger of the value's own noise (variance plane, or the frame's noise if the caller knows it) and
1.4826 times the median absolute deviation, corrected for small samples (Croux & Rousseeuw 1992, in Computational Statistics 1, 411). Without the
noise, three values are judged by their own scatter only, and a good value is lost in some of ten pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbmosaic._types import Float32Array, FloatArray
from nbmosaic.errors import ConfigError, InputError, ShapeError
from nbmosaic.types.box import PixelBox

__all__ = ["Band", "BandInput", "Coadder", "warmup"]

_COMBINE = ("mean", "median", "clipped", "sum", "min", "max", "first", "count")
"""Ways to combine the values of a pixel."""
_WEIGHTING = ("none", "area", "weight", "variance")
"""Ways to weigh them (mean, sum and clipped only)."""
_WEIGHTED = ("mean", "sum", "clipped")
_MAD = 1.482602218505602
_SMALL_SAMPLE = (1.0, 1.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
"""Factor that makes the MAD of n = 0..9 Gaussian values unbiased; ``n / (n - 0.8)`` beyond."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BandInput:
    """Rows of one frame that fall on a band.

    Attributes
    ----------
    box : PixelBox
        Pixels of the grid that the arrays cover (inside the band).
    data : ndarray of float32, shape (ny, nx)
        Values, NaN where there is none; a view with contiguous columns is used in place.
    area, weight, variance : ndarray of float32, shape (ny, nx), optional
        Planes of the frame; without an area it is 1 wherever the data are finite.
    plane : tuple of float
        ``a, b, c`` of the background to subtract, ``c + a x + b y`` in 0-based grid pixels.
    noise : float
        Standard deviation of the frame's noise, for clipping; 0 if not known.
    """

    box: PixelBox
    data: Float32Array
    area: Float32Array | None = None
    weight: Float32Array | None = None
    variance: Float32Array | None = None
    plane: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Band:
    """A finished band; arrays are views into the buffers of the `Coadder`, valid until its next band.

    Attributes
    ----------
    box : PixelBox
        Pixels of the grid.
    image, area : ndarray of float32, shape (ny, nx)
        Mosaic (NaN where no frame contributes, exactly where the area is 0) and coverage.
    count : ndarray of int32, shape (ny, nx)
        Number of values used.
    variance : ndarray of float32, optional
        Propagated variance.
    """

    box: PixelBox
    image: Float32Array
    area: Float32Array
    count: np.ndarray[tuple[int, int], np.dtype[np.int32]]
    variance: Float32Array | None = None


class Coadder:
    """Combines bands of a mosaic, with buffers that are reused from band to band (one `Coadder` per thread).

    Parameters
    ----------
    max_rows, width : int
        Largest height and width of a band.
    combine : str
        ``"mean"``, ``"median"``, ``"clipped"``, ``"sum"``, ``"min"``, ``"max"``, ``"first"`` or ``"count"``.
    weighting : str, optional
        ``"none"``, ``"area"``, ``"weight"`` or ``"variance"``; None: ``"area"`` for the mean and the clipped mean, else ``"none"``.
    kappa : float
        Clipping limit of ``"clipped"`` in standard deviations.
    variance : bool
        Propagate variances: every input must carry its own. Not defined for ``min``, ``max`` and ``count``.

    Raises
    ------
    ConfigError
        If an option is unknown, or does not go with the way to combine.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.types.box import PixelBox
    >>> box = PixelBox(0, 2, 0, 3)
    >>> frames = [BandInput(box=box, data=np.full((2, 3), v, np.float32)) for v in (1, 2, 6)]
    >>> band = Coadder(2, 3, combine="median").combine_band(box, frames)
    >>> band.image[0].tolist(), band.count[0].tolist()
    ([2.0, 2.0, 2.0], [3, 3, 3])
    """

    def __init__(
        self, max_rows: int, width: int, *, combine: str = "mean", weighting: str | None = None, kappa: float = 3.0, variance: bool = False
    ) -> None:
        if combine not in _COMBINE:
            raise ConfigError(f"combine is {combine!r}, expected one of {', '.join(_COMBINE)}")
        if weighting is None:
            weighting = "area" if combine in ("mean", "clipped") else "none"
        if weighting not in _WEIGHTING:
            raise ConfigError(f"weighting is {weighting!r}, expected one of {', '.join(_WEIGHTING)}")
        if weighting != "none" and combine not in _WEIGHTED:
            raise ConfigError(f"combine={combine!r} takes no weights, but weighting is {weighting!r}", hint="weighting='none'")
        if not kappa > 0:
            raise ConfigError(f"kappa is {kappa}, expected a positive number of standard deviations")
        if variance and combine in ("min", "max", "count"):
            raise ConfigError(f"combine={combine!r} has no variance", hint="variance=False")
        self.combine = combine
        self.weighting = weighting
        self.kappa = float(kappa)
        n = max(1, max_rows) * max(1, width)
        self._image, self._area, self._count = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.int32)
        self._variance = np.empty(n if variance else 0, np.float32)
        self._stack = np.empty((0, 0), np.float32)
        self._with_variance = variance

    @property
    def nbytes(self) -> int:
        """Size of the buffers in bytes."""
        return self._image.nbytes + self._area.nbytes + self._count.nbytes + self._variance.nbytes + self._stack.nbytes

    def combine_band(self, box: PixelBox, inputs: Sequence[BandInput]) -> Band:
        """Combine the inputs that fall on one band.

        Parameters
        ----------
        box : PixelBox
            The band.
        inputs : sequence of BandInput
            Frames in their canonical order (``first``, and the last bit of float sums, depend on it).

        Returns
        -------
        Band
            Views into the buffers.

        Raises
        ------
        ShapeError
            If the band is larger than the buffers, or an input does not fit its box or leaves the band.
        InputError
            If an input lacks the plane that the weighting or the variance needs.
        """
        from nbmosaic.core import coadd_kernels as kernels

        ny, nx = box.shape
        if ny * nx > self._image.size:
            raise ShapeError(f"band of {ny} x {nx} pixels is larger than the buffers of the coadd ({self._image.size} pixels)")
        image, area = (b[: ny * nx].reshape(ny, nx) for b in (self._image, self._area))
        count = self._count[: ny * nx].reshape(ny, nx)
        variance = self._variance[: ny * nx].reshape(ny, nx) if self._with_variance else np.empty((0, 0), np.float32)
        keep: list[Float32Array] = []
        table, plane = np.zeros((len(inputs), kernels.N_COLUMNS), np.int64), np.zeros((len(inputs), 4))
        for k, frame in enumerate(inputs):
            self._enter(table[k], frame, box, keep)
            plane[k] = *frame.plane, frame.noise
        y0, x0 = box.ymin, box.xmin
        weight = {"none": -1, "area": kernels.AREA, "weight": kernels.WEIGHT, "variance": kernels.VARIANCE}[self.weighting]
        if self.combine in ("mean", "sum", "count"):
            want_area = int(bool(table[:, kernels.AREA].any()))
            if weight == kernels.AREA and not want_area:
                weight = -1
            kernels.mean_band(table, plane, y0, x0, weight, int(self.combine == "sum"), want_area, image, area, count, variance)
            if self.combine == "count":
                image[...] = count
        elif self.combine in ("median", "clipped"):
            if len(self._stack) < len(inputs):
                self._stack = np.empty((len(inputs), kernels.LANE), np.float32)
            way = kernels.MEDIAN if self.combine == "median" else kernels.CLIPPED
            kernels.order_band(
                table, plane, y0, x0, weight, way, self.kappa, _mad_factors(), image, area, count, variance, self._stack
            )  # fmt: skip
        else:
            way = {"first": kernels.FIRST, "min": kernels.MINIMUM, "max": kernels.MAXIMUM}[self.combine]
            kernels.pick_band(table, plane, y0, x0, way, image, area, count, variance)
        del keep  # the kernels read the arrays through their addresses: they had to live until here
        return Band(box=box, image=image, area=area, count=count, variance=variance if self._with_variance else None)

    def _enter(self, line: np.ndarray[tuple[int], np.dtype[np.int64]], frame: BandInput, band: PixelBox, keep: list[Float32Array]) -> None:
        """Write one row of the table of inputs."""
        from nbmosaic.core import coadd_kernels as kernels

        box = frame.box
        if box.intersection(band) != box:
            raise ShapeError(f"input {box} leaves the band {band}")
        wanted = {kernels.DATA: frame.data, kernels.AREA: frame.area}
        if self.weighting == "weight":
            if frame.weight is None:
                raise InputError("weighting='weight' needs a weight plane in every frame", hint="weighting='area'")
            wanted[kernels.WEIGHT] = frame.weight
        if frame.variance is not None:
            wanted[kernels.VARIANCE] = frame.variance
        elif self.weighting == "variance" or self._with_variance:
            raise InputError("a frame has no variance plane, which the weighting or the variance of the mosaic needs")
        for column, values in wanted.items():
            if values is None:
                continue
            if values.shape != box.shape:
                raise ShapeError(f"input has shape {values.shape}, its box {box.shape}")
            rows = values
            if rows.dtype != np.float32 or not rows.dtype.isnative or (rows.size and rows.strides[1] != 4):
                rows = np.ascontiguousarray(values, dtype=np.float32)
            keep.append(rows)
            line[column], line[column + 1] = rows.ctypes.data, rows.strides[0]
        line[kernels.ROW], line[kernels.HEIGHT] = box.ymin - band.ymin, box.shape[0]
        line[kernels.XMIN], line[kernels.WIDTH] = box.xmin - band.xmin, box.shape[1]


def _mad_factors() -> FloatArray:
    """Standard deviation over MAD for 0, 1, 2, ... values."""
    more = np.arange(len(_SMALL_SAMPLE), 64)
    return _MAD * np.concatenate([np.array(_SMALL_SAMPLE), more / (more - 0.8)])


def warmup() -> None:
    """Compile the kernels with the types that `Coadder.combine_band` really passes."""
    box = PixelBox(0, 1, 0, 1)
    frame = BandInput(box=box, data=np.zeros((1, 1), np.float32))
    for combine in ("mean", "median", "first"):
        Coadder(1, 1, combine=combine).combine_band(box, [frame])
