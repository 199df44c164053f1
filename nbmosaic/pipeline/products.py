"""What the stages return: products that hold values, give tables, and draw themselves.

A product wraps frozen values of `nbmosaic.types`; its text, HTML and pictures come from `nbmosaic.views`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, Float32Array
from nbmosaic.pipeline.matched_products import Background, Corrected, Overlaps
from nbmosaic.pipeline.product import Product
from nbmosaic.types import FrameInfo, MosaicGrid, ProjectedFrame, ProjectedInfo

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

    from nbmosaic.pipeline.quicklook import Picture
    from nbmosaic.pipeline.store import FrameStore

__all__ = ["Background", "Corrected", "Frames", "Grid", "Mosaic", "Overlaps", "Product", "Projected", "Table"]


@dataclass(frozen=True, eq=False, repr=False)
class Frames(Product):
    """Frames known by their headers.

    Attributes
    ----------
    infos : tuple of FrameInfo
        The frames, in order; the index of a frame is its place here.
    skipped : tuple of (str, str)
        Names of inputs left out, and why.
    """

    row_column: ClassVar[str] = "cntr"
    shown_columns: ClassVar[tuple[str, ...]] = (
        "name",
        "naxis1",
        "naxis2",
        "ra",
        "dec",
        "ctype1",
        "crota2",
        "unit",
        "exptime",
        "flux_scale",
    )

    infos: tuple[FrameInfo, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.infos)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the frames."""
        return tuple(info.name for info in self.infos)

    @property
    def title(self) -> str:
        """``12 frames, ...``."""
        left_out = f", {len(self.skipped)} left out" if self.skipped else ""
        return f"{len(self)} frame{'s' * (len(self) != 1)}{left_out}"

    @property
    def key_number(self) -> str:
        """Total number of pixels."""
        return f"{sum(info.shape[0] * info.shape[1] for info in self.infos) / 1e6:.1f} Mpx"

    @cached_property
    def table(self) -> pd.DataFrame:
        """Image table with Montage's columns, then ours."""
        from nbmosaic.pipeline.tables import image_table

        return image_table(self.infos)

    @property
    def wcs(self) -> WCS:
        """WCS of the only frame."""
        return self._only.wcs

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the only frame."""
        return self._only.shape

    @cached_property
    def data(self) -> Float32Array:
        """Pixels of the only frame."""
        return self._only.source.load().data

    @property
    def _only(self) -> FrameInfo:
        if len(self.infos) != 1:
            raise AttributeError(f"there are {len(self)} frames: look at .infos[i]")
        return self.infos[0]

    def plot(self, ax: Any = None) -> Any:
        """Outlines of the frames on the sky; returns Axes."""
        from nbmosaic.core.geometry.sky import frame_footprint
        from nbmosaic.views.mosaic_figures import plot_footprints

        return plot_footprints([frame_footprint(info.wcs, info.shape) for info in self.infos], names=self.names, ax=ax)


@dataclass(frozen=True, eq=False, repr=False)
class Grid(Product):
    """The grid of the mosaic: a header template.

    Attributes
    ----------
    grid : MosaicGrid
        WCS and shape.
    """

    row_column: ClassVar[str] = "card"

    grid: MosaicGrid

    @property
    def wcs(self) -> WCS:
        """WCS of the mosaic (two celestial axes)."""
        return self.grid.wcs

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.grid.shape

    @property
    def text(self) -> str:
        """The template as Montage's header text."""
        from nbmosaic.io.templates import format_template

        return format_template(self.grid)

    @property
    def title(self) -> str:
        """Size and scale."""
        from nbmosaic.core.geometry.sky import pixel_scale_arcsec

        ny, nx = self.shape
        return f"grid of {nx} x {ny} pixels, {pixel_scale_arcsec(self.wcs):.4g} arcsec/pixel"

    @property
    def key_number(self) -> str:
        """Size in pixels."""
        return f"{self.shape[1]} x {self.shape[0]} px"

    @property
    def table(self) -> pd.DataFrame:
        """The cards, one a row."""
        import pandas as pd

        cards = [line.split("=", 1) for line in self.text.splitlines() if "=" in line]
        return pd.DataFrame({"card": [key.strip() for key, _ in cards], "value": [value.strip() for _, value in cards]})


@dataclass(frozen=True, eq=False, repr=False)
class Projected(Product):
    """Frames resampled onto the grid.

    Attributes
    ----------
    frames : Frames
        The frames that were projected (and those left out: see `infos`).
    grid : MosaicGrid
        The grid.
    infos : tuple of ProjectedInfo
        One per projected frame, ascending index.
    store : FrameStore
        Holds the pixels.
    method, conserve : str
        Kernel, and what was conserved.
    coarse_step : int
        Step of the lattice of `ProjectedInfo.coarse`.
    skipped : tuple of (str, str)
        Frames left out, and why.
    """

    row_column: ClassVar[str] = "cntr"
    shown_columns: ClassVar[tuple[str, ...]] = ("name", "xmin", "xmax", "ymin", "ymax", "nvalid", "map_error_pix", "noise_gain", "planes")

    frames: Frames
    grid: MosaicGrid
    infos: tuple[ProjectedInfo, ...]
    store: FrameStore
    method: str
    conserve: str
    coarse_step: int
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.infos)

    def info(self, index: int) -> ProjectedInfo:
        """What is known of the frame with this index."""
        for info in self.infos:
            if info.index == index:
                return info
        raise KeyError(index)

    def frame(self, index: int) -> ProjectedFrame:
        """Pixels of the frame with this index."""
        return self.store.frame(self.info(index))

    @property
    def unit(self) -> str:
        """Unit of the frames, if they agree."""
        units = {str(self.frames.infos[info.index].meta.get("unit") or "") for info in self.infos}
        return units.pop() if len(units) == 1 else ""

    def plot_overlap(self, overlaps: Overlaps, row: int, *, figure: Any = None) -> tuple[Any, ...]:
        """Draw an overlap: difference, fitted plane, what is left, histogram.

        Parameters
        ----------
        overlaps : Overlaps
            The overlaps of these frames.
        row : int
            Row of the overlaps' table.
        figure : matplotlib.figure.Figure, optional
            Where to draw; default: a new figure.

        Returns
        -------
        tuple of matplotlib.axes.Axes
            The four axes. `overlap_picture` gives the same as a picture that shows itself in a notebook.
        """
        from nbmosaic.pipeline.quicklook import draw_overlap

        axes, _ = draw_overlap(self, overlaps, row, figure=figure)
        return axes

    def overlap_picture(self, overlaps: Overlaps, row: int, *, width: int = 8) -> Picture:
        """Picture of an overlap: difference, fitted plane, what is left, histogram.

        Parameters
        ----------
        overlaps : Overlaps
            The overlaps of these frames.
        row : int
            Row of the overlaps' table.
        width : int
            Width in inches.

        Returns
        -------
        Picture
            Shows itself in a notebook.
        """
        from nbmosaic.pipeline.quicklook import overlap_picture

        return overlap_picture(self, overlaps, row, width=width)

    @property
    def title(self) -> str:
        """Number of frames, kernel, map error."""
        worst = max((info.map_error_pix for info in self.infos), default=0.0)
        return f"{len(self)} frame{'s' * (len(self) != 1)} projected ({self.method}), largest error of the pixel maps {worst:.1e} px"

    @property
    def key_number(self) -> str:
        """Kernel and map error."""
        worst = max((info.map_error_pix for info in self.infos), default=0.0)
        return f"{self.method}, map error {worst:.0e} px"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a frame: box on the grid, valid pixels, error of the pixel map."""
        import pandas as pd

        rows = [
            {
                "cntr": info.index,
                "xmin": info.box.xmin,
                "xmax": info.box.xmax - 1,
                "ymin": info.box.ymin,
                "ymax": info.box.ymax - 1,
                "nvalid": info.n_good,
                "map_error_pix": info.map_error_pix,
                "noise_gain": info.noise_gain,
                "planes": " ".join(info.planes),
                "name": info.name,
            }
            for info in self.infos
        ]
        return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False, repr=False)
class Mosaic(Product):
    """A mosaic.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        Surface brightness; NaN where there is no data.
    wcs : astropy.wcs.WCS
        WCS of the mosaic.
    area : ndarray, shape (ny, nx)
        Coverage: sum of the covered fractions of each pixel; 0 where there is no data.
    count : ndarray of int, shape (ny, nx)
        Number of frames on each pixel.
    variance_plane : ndarray of float32, optional
        Variance propagated from the frames' variance planes, if every frame has one. `variance` is never missing.
    estimate : callable, optional
        Makes a variance from the measured noise of the frames, when it is asked for.
    unit : str
        Unit of the data.
    n_frames : int
        Frames that were added.
    provenance : mapping
        What made the mosaic.
    """

    row_column: ClassVar[str] = "quantity"

    data: Float32Array
    wcs: WCS
    area: AnyArray
    count: AnyArray
    variance_plane: Float32Array | None = None
    estimate: Callable[[], Float32Array] | None = None
    unit: str = ""
    n_frames: int = 0
    combine: str = "mean"
    path: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    owner: Any = None  # keeps the scratch folder of file-backed arrays alive

    @property
    def mask(self) -> BoolArray:
        """True where there is no data."""
        return np.asarray(self.area == 0)

    @cached_property
    def variance(self) -> Float32Array:
        """Variance of every pixel, NaN where there is no data.

        Propagated from the frames' variance planes where all have one; else from the noise that was measured on each projected frame, which knows
        of the sky and the detector but not of the photons of a bright star. Not defined (NaN) for the combinations min, max and count.
        """
        if self.variance_plane is not None:
            return self.variance_plane
        if self.estimate is not None:
            return self.estimate()
        return np.full(self.shape, np.nan, np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ny, nx = self.data.shape
        return ny, nx

    @property
    def title(self) -> str:
        """Size and number of frames."""
        ny, nx = self.shape
        return f"mosaic of {nx} x {ny} pixels from {self.n_frames} frame{'s' * (self.n_frames != 1)} ({self.combine})"

    @property
    def key_number(self) -> str:
        """Size in pixels."""
        return f"{self.shape[1]} x {self.shape[0]} px"

    @cached_property
    def table(self) -> pd.DataFrame:
        """A few numbers of the mosaic, one a row."""
        from nbmosaic.pipeline.tables import mosaic_table

        return mosaic_table(self)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Quicklook with sky coordinates; returns Axes."""
        from nbmosaic.views.mosaic_figures import plot_image

        return plot_image(self.data, self.wcs, unit=self.unit, ax=ax, **options)

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.quicklook import mosaic_html

        return mosaic_html(self)


@dataclass(frozen=True, eq=False, repr=False)
class Table(Product):
    """A table read from a file.

    Attributes
    ----------
    frame : pandas.DataFrame
        The rows.
    path : str
        Where it came from.
    """

    frame: pd.DataFrame
    path: str

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def title(self) -> str:
        """Number of rows and file."""
        return f"{len(self.frame)} rows of {self.path}"

    @property
    def table(self) -> pd.DataFrame:
        """The rows."""
        return self.frame
