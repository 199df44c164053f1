"""The product of `mscimage`: mosaic exposures on one tangent plane, one image and mask each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nbmosaic._types import AnyArray, Float32Array
from nbmosaic.errors import ShapeError
from nbmosaic.pipeline.camera.store import PieceStore
from nbmosaic.pipeline.products import Projected
from nbmosaic.types import FramePixels, PixelBox, ProjectedInfo

if TYPE_CHECKING:
    import pandas as pd
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    from nbmosaic.io.headers import Card

__all__ = ["ExposureRecord", "ExposureSource", "MosaicExposure", "PieceRecord"]

_UNITS = MappingProxyType({"map_error_pix": "pix", "map_rms_pix": "pix", "fit_rms_x": "pix", "fit_rms_y": "pix"})


@dataclass(frozen=True, kw_only=True)
class PieceRecord:
    """What became of one piece.

    Attributes
    ----------
    exposure : int
        Number of its exposure.
    name, extname : str
        Of the piece.
    box : PixelBox
        Pixels of the common grid that it was resampled on.
    n_good, n_bad : int
        Pixels with a value, and those among them that rest on bad pixels.
    map : str
        ``exact``, or geometry and function of the fitted map.
    map_error_pix, map_rms_pix : float
        Largest and rms difference between the map and the exact coordinates, in pixels of the piece.
    fit_rms_x, fit_rms_y : float
        Scatter of the mesh about a fitted map.
    n_points : int
        Points of the mesh.
    level, level_err, gain, gain_err : float
        What was subtracted, and what the values were divided by, with standard errors.
    noise : float
        Measured standard deviation of a resampled pixel.
    """

    exposure: int
    name: str
    extname: str
    box: PixelBox
    n_good: int
    n_bad: int
    map: str
    map_error_pix: float
    map_rms_pix: float
    fit_rms_x: float = np.nan
    fit_rms_y: float = np.nan
    n_points: int = 0
    level: float = 0.0
    level_err: float = np.nan
    gain: float = 1.0
    gain_err: float = np.nan
    noise: float = np.nan


@dataclass(frozen=True, eq=False, kw_only=True)
class ExposureRecord:
    """What is known of one exposure.

    Attributes
    ----------
    name : str
        As it was given.
    lines : tuple of str
        Cards of its headers that hold for the image, of 80 columns.
    cards : tuple
        Keywords made from all pieces (GAIN, RDNOISE, NCOMBINE).
    bits : mapping of int to int
        Number of pixels with each bit of the mask (see `MosaicExposure.mask`).
    skipped : tuple of (str, str)
        Pieces left out, and why.
    """

    name: str
    lines: tuple[str, ...]
    cards: tuple[Card, ...]
    bits: Mapping[int, int]
    skipped: tuple[tuple[str, str], ...] = ()


class ExposureSource:
    """Pixels of a resampled exposure as those of a frame; sent to another process through scratch files."""

    def __init__(self, store: PieceStore, info: ProjectedInfo) -> None:
        self._store, self._info = store, info

    def __getstate__(self) -> dict[str, Any]:
        self._store.share()
        return self.__dict__

    def load(self, out: Float32Array | None = None) -> FramePixels:
        """Copy the pixels, into `out` if it is given."""
        box = self._info.box
        if out is None:
            out = np.empty(box.shape, np.float32)
        elif out.shape != box.shape or out.dtype != np.float32:
            raise ShapeError(f"the buffer is {out.dtype} {out.shape}, expected float32 {box.shape}")
        out[...] = self._store.read(self._info.index, "data", box)
        weight, variance = (
            None if (plane := self._store.read(self._info.index, name, box)) is None else plane.copy() for name in ("weight", "variance")
        )
        return FramePixels(data=out, weight=weight, variance=variance)


@dataclass(frozen=True, eq=False, repr=False)
class MosaicExposure(Projected):
    """Mosaic exposures resampled on one tangent plane.

    It is what `overlaps`, `correct` and `coadd` take as projected frames (one frame an exposure), and what `images`, `header` and `project` take as
    frames. `data`, `mask`, `variance`, `weight` and `wcs` are those of the only exposure; `exposure(i)` gives one of several.

    Attributes
    ----------
    store : PieceStore
        Holds the planes and masks.
    records : tuple of ExposureRecord
        One an exposure.
    pieces : tuple of PieceRecord
        One a piece.
    blank : float
        Value of pixels without data where the image is written; NaN in memory.
    """

    row_column: ClassVar[str] = "name"
    shown_columns: ClassVar[tuple[str, ...]] = ("name", "xmin", "xmax", "ymin", "ymax", "nvalid", "nbad", "map", "map_error_pix", "noise")

    store: PieceStore
    records: tuple[ExposureRecord, ...] = ()
    pieces: tuple[PieceRecord, ...] = ()
    blank: float = np.nan

    def __len__(self) -> int:
        return len(self.infos)

    @property
    def title(self) -> str:
        """Numbers of exposures and pieces, kernel, map error."""
        n, m = len(self), len(self.pieces)
        worst = max((piece.map_error_pix for piece in self.pieces), default=0.0)
        return (
            f"{n} exposure{'s' * (n != 1)} of {m} piece{'s' * (m != 1)} on one tangent plane ({self.method}), "
            f"largest error of the pixel maps {worst:.1e} px"
        )

    @property
    def column_units(self) -> Mapping[str, str]:
        """Units of columns of the table."""
        return _UNITS

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a piece: place, pixels, map and its error against the exact coordinates, level and gain, noise."""
        import pandas as pd

        rows = [
            {
                "exposure": piece.exposure,
                "name": piece.name,
                "extname": piece.extname,
                "xmin": piece.box.xmin,
                "xmax": piece.box.xmax - 1,
                "ymin": piece.box.ymin,
                "ymax": piece.box.ymax - 1,
                "nvalid": piece.n_good,
                "nbad": piece.n_bad,
                "map": piece.map,
                "map_error_pix": piece.map_error_pix,
                "map_rms_pix": piece.map_rms_pix,
                "fit_rms_x": piece.fit_rms_x,
                "fit_rms_y": piece.fit_rms_y,
                "npoints": piece.n_points,
                "level": piece.level,
                "level_err": piece.level_err,
                "gain": piece.gain,
                "gain_err": piece.gain_err,
                "noise": piece.noise,
            }
            for piece in self.pieces
        ]
        return pd.DataFrame(rows)

    def exposure(self, index: int) -> MosaicExposure:
        """The exposure of this number alone, on its own part of the grid; the pixels are shared.

        Parameters
        ----------
        index : int
            Number of the exposure.

        Returns
        -------
        MosaicExposure
        """
        info = self.info(index)
        return replace(self, infos=(info,), pieces=tuple(piece for piece in self.pieces if piece.exposure == index))

    @property
    def _only(self) -> ProjectedInfo:
        if len(self.infos) != 1:
            raise AttributeError(f"there are {len(self)} exposures: choose one with .exposure(i)")
        return self.infos[0]

    @property
    def n_frames(self) -> int:
        """Number of pieces."""
        return len(self.pieces)

    @property
    def box(self) -> PixelBox:
        """Pixels of the only exposure on the grid."""
        return self._only.box

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the only exposure."""
        return self._only.box.shape

    @cached_property
    def wcs(self) -> WCS:
        """Plain tangent plane of the only exposure."""
        from nbmosaic.core.geometry.grid import crop_grid

        return crop_grid(self.grid, self._only.box).wcs

    @cached_property
    def data(self) -> Float32Array:
        """Image of the only exposure, NaN where there is no value; pixels that the mask marks as bad may have one."""
        found = self.store.read_all(self._only.index, "data", self._only.box)
        assert found is not None
        return found

    @cached_property
    def mask(self) -> AnyArray:
        """Mask of the only exposure: 1 bad, 2 edge, 4 gap, 8 outside, sums of these; 0 is good.

        bad
            The value rests on bad pixels (or there is none because all were bad).
        edge
            It rests on what was made up beyond the edge of a detector.
        gap, outside
            There is no value: between the pieces, and outside of the convex hull of them all.
        """
        return self.store.read_mask(self._only.index, self._only.box)

    @cached_property
    def variance(self) -> Float32Array | None:
        """Propagated variance of single pixels of the only exposure; None where the pieces have none."""
        return self.store.read_all(self._only.index, "variance", self._only.box)

    @cached_property
    def weight(self) -> Float32Array | None:
        """Resampled weights of the only exposure; None where the pieces have none."""
        return self.store.read_all(self._only.index, "weight", self._only.box)

    @cached_property
    def header(self) -> Header:
        """Header of the image as it is saved."""
        from astropy.io.fits import Header

        from nbmosaic.io.headers import header_lines, wcs_values

        record = self.records[self._only.index]
        return Header.fromstring("".join([*header_lines([*wcs_values(self.wcs), *record.cards]), *record.lines]))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Picture of the only exposure with sky coordinates; returns Axes."""
        from nbmosaic.views.mosaic_figures import plot_image

        return plot_image(self.data, self.wcs, unit=self.unit, ax=ax, **options)

    def plot_mask(self, ax: Any = None) -> Any:
        """Picture of the mask of the only exposure, a colour a bit; returns Axes."""
        from nbmosaic.views.exposure_figures import plot_mask_bits

        return plot_mask_bits(self.mask, ax=ax)

    def pictures(self) -> Mapping[str, Callable[[], tuple[Any, str]]]:
        """The image and the mask, of a single exposure."""
        from nbmosaic.pipeline.quicklook import mosaic_alt
        from nbmosaic.views.exposure_figures import alt_text_mask

        if len(self) != 1:
            return {}
        return {"image": lambda: (self.plot(), mosaic_alt(self)), "mask": lambda: (self.plot_mask(), alt_text_mask(self.mask))}

    def save(self, path: str, *, overwrite: bool = False) -> MosaicExposure:
        """Write exposures to FITS files: image, then MASK, VARIANCE and WEIGHT as extensions.

        Parameters
        ----------
        path : str
            The file; with several exposures a name with ``{stem}`` in it, which stands for the name of the exposure, or a folder.
        overwrite : bool
            Replace existing files.

        Returns
        -------
        MosaicExposure
            The same product.
        """
        from nbmosaic.pipeline.camera.files import save_exposures

        save_exposures(self, path, overwrite=overwrite)
        return self
