"""Frames chosen by hand: which take part, where they lie, how deep the sky is covered.

Every change gives a new `FrameChoice`; the old one stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import BoolArray, IntArray
from nbmosaic.errors import InputError
from nbmosaic.pipeline.products import Frames

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.quicklook import Picture
    from nbmosaic.types import MosaicGrid

__all__ = ["FrameChoice", "choose_frames"]

COARSE = 160  # pixels of the coverage map along its longer side: 5 ms a frame


class _Depth:
    """Which frame covers what of a coarse grid, computed when first asked for and shared by all choices of the same frames."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._grid: MosaicGrid | None = None
        self._on: dict[int, BoolArray] = {}

    def grid(self) -> MosaicGrid:
        """Coarse grid round all frames."""
        if self._grid is None:
            from nbmosaic.pipeline.frame_stages import header

            self._grid = header(self._frames, max_size=COARSE).grid
        return self._grid

    def on(self, index: int) -> BoolArray:
        """What a frame covers."""
        if index not in self._on:
            from nbmosaic.core.geometry.sky_depth import frame_on_grid

            info = self._frames.infos[index]
            self._on[index] = frame_on_grid(self.grid(), info.wcs, info.shape)
        return self._on[index]


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameChoice:
    """Frames, and which of them are left out.

    Attributes
    ----------
    all_frames : Frames
        Every frame.
    left_out : frozenset of int
        Indices of those that are left out.
    """

    all_frames: Frames
    left_out: frozenset[int] = frozenset()
    _shared: _Depth = field(repr=False)

    @property
    def frames(self) -> Frames:
        """The frames that take part: what `header` and `project` take."""
        kept = tuple(info for index, info in enumerate(self.all_frames.infos) if index not in self.left_out)
        if not kept:
            raise InputError("no frame is chosen", hint="take at least one in again")
        out = tuple((self.all_frames.infos[index].name, "left out by choice") for index in sorted(self.left_out))
        return Frames(kept, (*self.all_frames.skipped, *out))

    @property
    def chosen(self) -> tuple[int, ...]:
        """Indices of the frames that take part."""
        return tuple(index for index in range(len(self.all_frames)) if index not in self.left_out)

    def leave_out(self, *indices: int) -> FrameChoice:
        """The choice without these frames."""
        return replace(self, left_out=self.left_out | {self._checked(index) for index in indices})

    def take_in(self, *indices: int) -> FrameChoice:
        """The choice with these frames again."""
        return replace(self, left_out=self.left_out - {self._checked(index) for index in indices})

    def only(self, *indices: int) -> FrameChoice:
        """These frames and no others."""
        kept = {self._checked(index) for index in indices}
        return replace(self, left_out=frozenset(range(len(self.all_frames))) - kept)

    def _checked(self, index: int) -> int:
        if not 0 <= int(index) < len(self.all_frames):
            raise InputError(f"there is no frame {index}", hint=f"frames are numbered 0 to {len(self.all_frames) - 1}")
        return int(index)

    def labels(self) -> tuple[tuple[str, int], ...]:
        """A label and the index of every frame, for lists."""
        from nbmosaic.views.labels import short_names

        return tuple((f"{index}: {name}", index) for index, name in enumerate(short_names(self.all_frames.names, 32)))

    @property
    def table(self) -> pd.DataFrame:
        """The image table with a column that says which frames take part."""
        table = self.all_frames.table.copy()
        table.insert(1, "chosen", [index not in self.left_out for index in range(len(self.all_frames))])
        return table

    @property
    def depth(self) -> IntArray:
        """Number of chosen frames on a coarse grid round all frames (its coordinates: `depth_grid`)."""
        depth = np.zeros(self._shared.grid().shape, np.int64)
        for index in self.chosen:
            depth += self._shared.on(index)
        return depth

    @property
    def depth_grid(self) -> MosaicGrid:
        """The coarse grid."""
        return self._shared.grid()

    def footprints(self, *, width: int = 7) -> Picture:
        """Outlines of all frames on the sky, those left out dashed."""
        from nbmosaic.core.geometry.sky import frame_footprint
        from nbmosaic.pipeline.quicklook import pictured
        from nbmosaic.views.alt_text import alt_text_footprints
        from nbmosaic.views.mosaic_figures import plot_footprints

        grid = self._shared.grid()
        outlines = [frame_footprint(info.wcs, info.shape) for info in self.all_frames.infos]
        axes = plot_footprints(outlines, names=self.all_frames.names, wcs=grid.wcs, dashed=sorted(self.left_out))
        words = str(alt_text_footprints(len(outlines)))
        return pictured((axes, f"{words}; {len(self.left_out)} left out (dashed)" if self.left_out else words), width)

    def coverage(self, *, width: int = 7) -> Picture:
        """Map of the number of chosen frames on the sky."""
        from nbmosaic.pipeline.quicklook import pictured
        from nbmosaic.views.alt_text import alt_text_coverage
        from nbmosaic.views.mosaic_figures import plot_coverage

        depth = self.depth
        axes = plot_coverage(depth, self._shared.grid().wcs, label="frames", unit="")
        return pictured((axes, str(alt_text_coverage(depth))), width)

    def code(self) -> str:
        """The chosen files as a line of a cell."""
        import shlex

        return "images " + " ".join(shlex.quote(str(self.all_frames.infos[index].name)) for index in self.chosen)


def choose_frames(frames: Frames) -> FrameChoice:
    """Begin a choice with all frames in.

    Parameters
    ----------
    frames : Frames
        Product of the stage `images`.
    """
    return FrameChoice(all_frames=frames, _shared=_Depth(frames))
