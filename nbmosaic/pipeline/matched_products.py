"""Products of background matching: overlaps, the background model, frames with a model to be subtracted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nbmosaic._types import BoolArray
from nbmosaic.pipeline.product import Product
from nbmosaic.types import BackgroundModel, CoverageCells, OverlapFlag, OverlapPlanes, PixelBox, ProjectedFrame

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.products import Projected

__all__ = ["Background", "Corrected", "Overlaps"]


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
    unit : str
        Unit of the frames, if they agree.
    """

    shown_columns: ClassVar[tuple[str, ...]] = (
        "plus",
        "minus",
        "level",
        "level_err",
        "rms",
        "npixel",
        "nclipped",
        "flag",
        "a",
        "b",
        "a_err",
        "b_err",
        "plus_name",
        "minus_name",
    )

    planes: OverlapPlanes
    cells: CoverageCells
    names: Mapping[int, str]
    boxes: Mapping[int, PixelBox]
    origin: tuple[float, float]
    unit: str = ""

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

    @property
    def column_units(self) -> Mapping[str, str]:
        """Units of the columns that are shown."""
        return plane_units(self.unit)


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

    row_column: ClassVar[str] = "id"
    shown_columns: ClassVar[tuple[str, ...]] = ("name", "level", "level_err", "a", "a_err", "b", "b_err", "component")

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
        return f"background {kind} of {len(self)} frame{'s' * (len(self) != 1)}{apart}; {self.model.gauge}{self._misfit}"

    @property
    def _misfit(self) -> str:
        if self.model.misfit == 1.0:
            return ""
        return f"; differences left are larger than the noise, standard errors enlarged {self.model.misfit:.1f} times"

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

    @property
    def unit(self) -> str:
        """Unit of the frames, if they agree."""
        return self.overlaps.unit

    @property
    def column_units(self) -> Mapping[str, str]:
        """Units of the columns that are shown."""
        return plane_units(self.unit)

    @cached_property
    def residuals(self) -> pd.DataFrame:
        """One row an overlap: difference before and after correction."""
        from nbmosaic.pipeline.tables import residual_table

        return residual_table(self.model, self.overlaps.planes, self.overlaps.names)

    def plot(self, ax: Any = None) -> Any:
        """Map of the corrections; returns Axes."""
        from nbmosaic.pipeline.quicklook import frame_boxes, frame_numbers
        from nbmosaic.views.background_figures import plot_planes

        boxes, _ = frame_boxes(self.overlaps)
        return plot_planes(self.model.planes, boxes, origin=self.model.origin, names=frame_numbers(self.overlaps), unit=self.unit, ax=ax)


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

    row_column: ClassVar[str] = "cntr"
    shown_columns: ClassVar[tuple[str, ...]] = ("name", "level", "a", "b", "xmin", "xmax", "ymin", "ymax", "nvalid", "map_error_pix")

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

    @property
    def column_units(self) -> Mapping[str, str]:
        """Units of the columns that are shown."""
        return plane_units(self.background.unit)

    def frame(self, index: int) -> ProjectedFrame:
        """Pixels of the frame with this index, background subtracted."""
        from dataclasses import replace

        from nbmosaic.core.matching.apply import subtract_plane

        frame = self.projected.frame(index)
        return replace(frame, data=subtract_plane(frame.data, frame.box, self.background.model, index))


def plane_units(unit: str) -> Mapping[str, str]:
    """Units of the columns of a table of planes."""
    if not unit:
        return MappingProxyType({})
    levels = dict.fromkeys(("level", "level_err", "rms"), unit)
    return MappingProxyType(levels | dict.fromkeys(("a", "a_err", "b", "b_err"), f"{unit}/pix"))
