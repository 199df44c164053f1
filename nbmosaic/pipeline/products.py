"""What the stages return: products that hold values, give tables, and draw themselves.

A product wraps frozen values of `nbmosaic.types`; its text, HTML and pictures come from `nbmosaic.views`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, Float32Array
from nbmosaic.types import (
    BackgroundModel,
    CoverageCells,
    FrameInfo,
    MosaicGrid,
    OverlapFlag,
    OverlapPlanes,
    PixelBox,
    ProjectedFrame,
    ProjectedInfo,
)

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

    from nbmosaic.pipeline.store import FrameStore

__all__ = ["Background", "Corrected", "Frames", "Grid", "Mosaic", "Overlaps", "Product", "Projected", "Table"]


class Product:
    """Base of what stages return: text, HTML and a picture, none of which ever raises."""

    @property
    def title(self) -> str:
        """One line that says what the product is."""
        return type(self).__name__

    @property
    def key_number(self) -> str:
        """The number that a line of a run shows."""
        return ""

    @property
    def table(self) -> pd.DataFrame:
        """The product as a DataFrame."""
        import pandas as pd

        return pd.DataFrame()

    def __repr__(self) -> str:
        from nbmosaic.pipeline.quicklook import product_text

        try:
            return product_text(self.title, self.table)
        except Exception as error:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            return f"<{type(self).__name__}: {type(error).__name__}: {error}>"

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.quicklook import product_html

        try:
            return product_html(self.title, self.table)
        except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            from nbmosaic.pipeline.quicklook import preformatted

            return preformatted(repr(self))


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
class Overlaps(Product):
    """Plane fits of the differences of overlapping frames.

    Attributes
    ----------
    planes : OverlapPlanes
        The fits, one row a pair.
    cells : CoverageCells
        Regions covered by three or more frames (for standard errors).
    names : mapping of int to str
        Names of the frames by index.
    boxes : mapping of int to PixelBox
        Boxes of the frames on the grid.
    origin : tuple of float
        ``(CRPIX1, CRPIX2)`` of the template: origin of the planes in tables.
    noise_gain : float
        Typical `ProjectedInfo.noise_gain`.
    """

    planes: OverlapPlanes
    cells: CoverageCells
    names: Mapping[int, str]
    boxes: Mapping[int, PixelBox]
    origin: tuple[float, float]

    def __len__(self) -> int:
        return len(self.planes)

    @property
    def used(self) -> BoolArray:
        """Rows that the background model uses."""
        return (self.planes.flag & int(OverlapFlag.FEW_PIXELS | OverlapFlag.EXCLUDED)) == 0

    @property
    def title(self) -> str:
        """Number of overlaps."""
        n = int(self.used.sum())
        rest = f", {len(self) - n} with too few pixels" if n != len(self) else ""
        return f"{n} overlap{'s' * (n != 1)} of {len(self.names)} frames{rest}"

    @property
    def key_number(self) -> str:
        """Median rms."""
        if not self.used.any():
            return "no overlap"
        return f"median rms {np.median(self.planes.rms[self.used]):.3g}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """Montage's fits table, then standard errors, clipped counts and flags."""
        from nbmosaic.pipeline.tables import overlap_table

        return overlap_table(self.planes, self.names, self.origin)


@dataclass(frozen=True, eq=False, repr=False)
class Background(Product):
    """The global background model.

    Attributes
    ----------
    model : BackgroundModel
        Planes, standard errors, components, residuals.
    overlaps : Overlaps
        What it was made from.
    """

    model: BackgroundModel
    overlaps: Overlaps

    def __len__(self) -> int:
        return len(self.model)

    @property
    def title(self) -> str:
        """Number of planes and groups, gauge."""
        groups = self.model.n_components
        apart = f" in {groups} groups that share no overlap" if groups > 1 else ""
        kind = "planes" if self.model.slope else "levels"
        return f"background {kind} of {len(self)} frame{'s' * (len(self) != 1)}{apart}; {self.model.gauge}"

    @property
    def key_number(self) -> str:
        """Residual over the overlaps."""
        used = self.model.weight > 0
        if not used.any():
            return "no overlap"
        return f"residual {np.median(np.abs(self.model.residual_level[used])):.2g} median, {np.abs(self.model.residual_level[used]).max():.2g} max"

    @cached_property
    def table(self) -> pd.DataFrame:
        """``id a b c`` as Montage's corrections table, then standard errors, component, name."""
        from nbmosaic.pipeline.tables import background_table

        return background_table(self.model, self.overlaps.names)

    @cached_property
    def residuals(self) -> pd.DataFrame:
        """One row an overlap: difference before and after correction."""
        from nbmosaic.pipeline.tables import residual_table

        return residual_table(self.model, self.overlaps.planes, self.overlaps.names)

    def plot(self, ax: Any = None) -> Any:
        """Map of the corrections; returns Axes."""
        from nbmosaic.pipeline.quicklook import frame_boxes
        from nbmosaic.views.background_figures import plot_planes

        boxes, _ = frame_boxes(self.overlaps)
        return plot_planes(self.model.planes, boxes, origin=self.model.origin, ax=ax)


@dataclass(frozen=True, eq=False, repr=False)
class Corrected(Product):
    """Projected frames with a background model to be subtracted when they are read.

    Attributes
    ----------
    projected : Projected
        The frames.
    background : Background
        The model.
    """

    projected: Projected
    background: Background

    def __len__(self) -> int:
        return len(self.projected)

    @property
    def title(self) -> str:
        """Number of frames corrected."""
        return f"{len(self)} frame{'s' * (len(self) != 1)}, background subtracted when read"

    @property
    def key_number(self) -> str:
        """Range of the levels subtracted."""
        levels = self.background.model.level if len(self.background) else np.zeros(1)
        return f"levels {float(np.min(levels)):.4g} to {float(np.max(levels)):.4g}"

    @property
    def table(self) -> pd.DataFrame:
        """The table of the projected frames with the planes subtracted."""
        planes = self.background.table[["id", "a", "b", "c", "level"]]
        merged: pd.DataFrame = self.projected.table.merge(planes, left_on="cntr", right_on="id", how="left").drop(columns="id")
        return merged

    def frame(self, index: int) -> ProjectedFrame:
        """Pixels of the frame with this index, background subtracted."""
        from dataclasses import replace

        from nbmosaic.core.matching.apply import subtract_plane

        frame = self.projected.frame(index)
        return replace(frame, data=subtract_plane(frame.data, frame.box, self.background.model, index))


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
    variance : ndarray of float32, optional
        Variance, where every frame brought one.
    unit : str
        Unit of the data.
    n_frames : int
        Frames that were added.
    provenance : mapping
        What made the mosaic.
    """

    data: Float32Array
    wcs: WCS
    area: AnyArray
    count: AnyArray
    variance: Float32Array | None = None
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
