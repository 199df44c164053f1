"""Montage's ways to add images of one grid, in double precision, a band of rows at a time.

====================  ===============================================================================================================
``mean``              ``sum(v a) / sum(a)``, area ``sum(a)``
``median``            of the values whose area is more than half of a pixel; area is the sum of their areas
``count``             number of values, area 1
``sum``               ``sum(v)``, area ``sum(a)``
====================  ===============================================================================================================

The native stage (`nbmosaic.core.coadd`) works in float32 with areas relative to a pixel; these functions keep the steradians and the digits of Montage's files.
An even number of values gives the mean of the two middle ones; Montage takes the lower of two. Every finite value counts; Montage counts those above 0 only.
"""

from __future__ import annotations

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.errors import ConfigError, ShapeError
from nbmosaic.types.box import PixelBox

__all__ = ["METHODS", "BandAdder"]

METHODS = ("mean", "median", "count", "sum")
"""Ways to add, in the order of Montage's numbers."""


class BandAdder:
    """Adds the parts of images that fall on one band of rows.

    Parameters
    ----------
    box : PixelBox
        The band.
    method : str
        One of `METHODS`.
    nominal : float
        Area of a whole pixel in the unit of the areas (steradians, or 1 without areas).
    workspace : Workspace, optional
        Where the band is kept; the results are then valid until the next band is made from it.

    Raises
    ------
    ConfigError
        If `method` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> band = BandAdder(PixelBox(0, 1, 0, 2), "mean")
    >>> band.add(PixelBox(0, 1, 0, 2), np.array([[1.0, 5.0]]))
    >>> band.add(PixelBox(0, 1, 1, 2), np.array([[8.0]]), np.array([[0.5]]))
    >>> image, area = band.finish()
    >>> image.tolist(), area.tolist()
    ([[1.0, 6.0]], [[1.0, 1.5]])
    """

    def __init__(self, box: PixelBox, method: str = "mean", nominal: float = 1.0, workspace: Workspace | None = None) -> None:
        if method not in METHODS:
            raise ConfigError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
        self.box, self.method, self.nominal = box, method, float(nominal)
        self._values: list[FloatArray] = []
        self._areas: list[FloatArray] = []
        shape = box.shape if method != "median" else (0, 0)
        room = workspace or Workspace()
        self._total, self._covered = room.array("total", shape, "f8"), room.array("covered", shape, "f8")
        self._total.fill(0.0)
        self._covered.fill(0.0)

    def add(self, box: PixelBox, values: FloatArray, areas: FloatArray | None = None) -> None:
        """Add one image.

        Parameters
        ----------
        box : PixelBox
            Its pixels, inside the band.
        values : ndarray of float64, shape (ny, nx)
            Values; NaN does not count.
        areas : ndarray of float64, shape (ny, nx), optional
            Areas; values without positive area do not count. Default: 1.

        Raises
        ------
        ShapeError
            The box leaves the band, or an array does not fit it.
        """
        from nbmosaic.core import montage_coadd_kernels as kernels

        if box.intersection(self.box) != box or values.shape != box.shape or (areas is not None and areas.shape != box.shape):
            raise ShapeError(f"{values.shape} values for {box} on the band {self.box}")
        where = box.slices(self.box)
        if self.method == "median":
            good = np.isfinite(values) if areas is None else np.isfinite(values) & (areas > 0.5 * self.nominal)
            layer, cover = np.full(self.box.shape, np.nan), np.zeros(self.box.shape)
            layer[where] = np.where(good, values, np.nan)
            cover[where] = np.where(good, 1.0 if areas is None else areas, 0.0)
            self._values.append(layer)
            self._areas.append(cover)
            return
        y, x = where[0].start, where[1].start
        weight = np.ones((1, 1)) if areas is None else np.ascontiguousarray(areas)
        mode = METHODS.index(self.method)
        kernels.add_rows(np.ascontiguousarray(values), weight, int(areas is not None), mode, y, x, self._total, self._covered)

    def finish(self) -> tuple[FloatArray, FloatArray]:
        """Image and area of the band: NaN and 0 where nothing was added.

        Returns
        -------
        tuple of ndarray of float64, shape (ny, nx)
            Image, area.
        """
        from nbmosaic.core import montage_coadd_kernels as kernels

        if self.method == "median":
            image, area = np.full(self.box.shape, np.nan), np.zeros(self.box.shape)
            if self._values:
                kernels.median_rows(np.stack(self._values), np.stack(self._areas), image, area)
            return image, area
        image = self._total
        if self.method == "mean":
            with np.errstate(invalid="ignore"):
                return np.divide(image, self._covered, out=image), self._covered  # 0 / 0 where nothing was added
        empty = ~(self._covered > 0)
        image[empty] = np.nan
        return image, np.where(empty, 0.0, 1.0) if self.method == "count" else self._covered
