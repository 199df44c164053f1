"""A match that can be steered: pairs excluded and included, levels or planes, and everything that follows from it, at once.

This is what the panels drive and what a program can drive in the same way: every change gives a new `Steering`, the old one stays as it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbmosaic._types import Float32Array
from nbmosaic.errors import ConfigError, DisconnectedMosaicWarning, InputError
from nbmosaic.pipeline.products import Background, Corrected, Overlaps, Projected

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

    from nbmosaic.core.preview_sums import PreviewSums
    from nbmosaic.pipeline.quicklook import Picture
    from nbmosaic.pipeline.run import Run
    from nbmosaic.views.look import Stretch

__all__ = ["SteeredFacts", "Steering", "steer"]

PREVIEW_SIZE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredFacts:
    """The match in a few numbers; sizes of the differences of the pairs used, before and after."""

    n_pairs: int
    n_used: int
    before_median: float
    before_max: float
    after_median: float
    after_max: float
    n_groups: int
    unit: str


class _Preview:
    """Sums of the frames for the preview, read when they are first asked for and shared by all that follow."""

    def __init__(self, projected: Projected) -> None:
        self._projected = projected
        self._sums: PreviewSums | None = None
        self.stretch: Stretch | None = None

    def sums(self) -> PreviewSums:
        """Sums over the grid of the mosaic."""
        if self._sums is None:
            from nbmosaic.core.preview_sums import preview_sums

            projected = self._projected
            self._sums = preview_sums(
                ((info.index, info.box, projected.frame(info.index).data) for info in projected.infos),
                projected.grid.box,
                max_size=PREVIEW_SIZE,
            )
        return self._sums


@dataclass(frozen=True, eq=False, kw_only=True)
class Steering:
    """Choices for the background match, and what they lead to.

    Attributes
    ----------
    projected : Projected
        The frames.
    overlaps : Overlaps
        Their overlaps.
    excluded : frozenset of int
        Rows of the overlaps that the model does not use.
    slope, weighting, reference, slope_prior, robust
        Options of the stage `background`.
    """

    projected: Projected
    overlaps: Overlaps
    excluded: frozenset[int] = frozenset()
    slope: bool = True
    weighting: Literal["pixels", "noise"] = "pixels"
    reference: tuple[int, ...] = ()
    slope_prior: float | None = None
    robust: bool = False
    _shared: _Preview = field(repr=False)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Frames of every overlap."""
        planes = self.overlaps.planes
        return tuple((int(i), int(j)) for i, j in zip(planes.plus, planes.minus, strict=True))

    def change(self, **options: Any) -> Steering:
        """The same match with other options (see the attributes).

        Raises
        ------
        ConfigError
            There is no such option.
        """
        known = {"excluded", "slope", "weighting", "reference", "slope_prior", "robust"}
        if unknown := sorted(set(options) - known):
            raise ConfigError(f"{unknown[0]} cannot be steered", hint=f"options are {', '.join(sorted(known))}")
        return replace(self, **options)

    def exclude(self, *rows: int) -> Steering:
        """The same match without these overlaps."""
        return replace(self, excluded=self.excluded | set(self._checked(rows)))

    def include(self, *rows: int) -> Steering:
        """The same match with these overlaps used again."""
        return replace(self, excluded=self.excluded - set(self._checked(rows)))

    def _checked(self, rows: Iterable[int]) -> list[int]:
        return [self.checked_row(row) for row in rows]

    def checked_row(self, row: int) -> int:
        """The row, if there is such an overlap.

        Raises
        ------
        InputError
            There is none.
        """
        if not 0 <= int(row) < len(self.overlaps):
            raise InputError(f"there is no overlap {row}", hint=f"overlaps are numbered 0 to {len(self.overlaps) - 1}")
        return int(row)

    @cached_property
    def quick(self) -> Background:
        """The background model without standard errors: milliseconds, while a person watches."""
        return self._solve(errors=False)

    @cached_property
    def background(self) -> Background:
        """The background model with standard errors, as the stage `background` gives it."""
        return self._solve(errors=None)

    def solved(self) -> Steering:
        """The same match, with its model worked out: options that allow none are told now, not when the model is looked at.

        Raises
        ------
        ConfigError, InputError
            An option cannot have its value.
        """
        _ = self.quick
        return self

    def _solve(self, *, errors: bool | None) -> Background:
        from nbmosaic.pipeline.match_stages import background

        pairs = self.pairs
        with warnings.catch_warnings():  # groups are shown by the model itself
            warnings.simplefilter("ignore", DisconnectedMosaicWarning)
            return background(
                self.overlaps,
                slope=self.slope,
                weighting=self.weighting,
                reference=self.reference,
                exclude=[pairs[row] for row in sorted(self.excluded)],
                slope_prior=self.slope_prior,
                robust=self.robust,
                errors=errors,
            )

    @property
    def corrected(self) -> Corrected:
        """The frames with the model subtracted: what `coadd` takes."""
        return Corrected(self.projected, self.background)

    @property
    def table(self) -> pd.DataFrame:
        """One row an overlap: difference before and after correction, and whether the model uses it."""
        return self.quick.residuals

    @property
    def facts(self) -> SteeredFacts:
        """The match in a few numbers."""
        model = self.quick.model
        used = model.weight > 0
        sizes = [np.abs(values[used]) for values in (self.overlaps.planes.level, model.residual_level)]
        middle, top = ([float(f(size)) if size.size else 0.0 for size in sizes] for f in (np.median, np.max))
        return SteeredFacts(
            n_pairs=len(used),
            n_used=int(used.sum()),
            before_median=middle[0],
            before_max=top[0],
            after_median=middle[1],
            after_max=top[1],
            n_groups=model.n_components,
            unit=self.overlaps.unit,
        )

    @property
    def worst_row(self) -> int:
        """The overlap in use with the largest difference left (0 if none is in use)."""
        model = self.quick.model
        return int(np.argmax(np.where(model.weight > 0, np.abs(model.residual_level), -1.0)))

    def is_fitted(self, row: int) -> bool:
        """Whether the overlap had enough pixels for a plane; there is no picture of one that had not."""
        return bool(self.overlaps.planes.n_pixels[self.checked_row(row)] > 0)

    def pair_labels(self) -> tuple[tuple[str, int], ...]:
        """A label (frames, level of the difference with its unit) and the row of every overlap, for lists."""
        used = self.overlaps.used
        level, unit = self.overlaps.planes.level, self.overlaps.unit
        marks = [
            "left out" if row in self.excluded else f"{level[row]:.4g} {unit}".rstrip() if used[row] else "few pixels"
            for row in range(len(used))
        ]
        return tuple((f"{i}-{j}: {mark}", row) for row, ((i, j), mark) in enumerate(zip(self.pairs, marks, strict=True)))

    def pair_picture(self, row: int, *, width: int = 8) -> Picture:
        """Difference, plane, residual and histogram of an overlap."""
        return self.projected.overlap_picture(self.overlaps, self.checked_row(row), width=width)

    def picture(self, *, kind: str = "network", width: int = 8) -> Picture:
        """A picture of the model: ``network``, ``planes``, ``errors`` or ``residuals``."""
        from nbmosaic.pipeline.quicklook import picture

        return picture(self.background if kind == "errors" else self.quick, kind=kind, width=width)

    def frame_labels(self) -> tuple[tuple[str, int], ...]:
        """A label and the index of every frame, for lists."""
        from nbmosaic.views.labels import short_names

        indices = sorted(self.overlaps.names)
        names = short_names([self.overlaps.names[index] for index in indices], 32)
        return tuple((f"{index}: {name}", index) for index, name in zip(indices, names, strict=True))

    @staticmethod
    def prior_of(text: str) -> float | None:
        """The prior that a person typed: empty for none.

        Raises
        ------
        ConfigError
            It is not a number.
        """
        if not text.strip():
            return None
        try:
            return float(text)
        except ValueError:
            raise ConfigError(f"slope prior cannot be {text!r}", hint="give a number (unit per pixel), or leave it empty") from None

    @property
    def uncorrected_preview(self) -> Float32Array:
        """Small mosaic of the frames as they are."""
        return self._previewed(np.zeros((0, 3)), np.zeros(0, np.int64), (0.0, 0.0))

    @cached_property
    def preview(self) -> Float32Array:
        """Small mosaic of the corrected frames: the mean of all pixels of each block, frames counted alike."""
        model = self.quick.model
        return self._previewed(model.planes, model.frames, model.origin)

    def _previewed(self, planes: Any, frames: Any, origin: tuple[float, float]) -> Float32Array:
        from nbmosaic.core.preview_sums import preview_mosaic

        return preview_mosaic(self._shared.sums(), planes, frames, origin)

    @property
    def preview_stretch(self) -> Stretch:
        """One stretch for all previews of this match, so that colours can be compared: that of the match with nothing left out."""
        from nbmosaic.views.look import robust_stretch

        if self._shared.stretch is None:
            self._shared.stretch = robust_stretch(self.preview)
        return self._shared.stretch

    @property
    def preview_words(self) -> str:
        """The preview in words."""
        facts = self.facts
        return (
            f"mosaic of {len(self.projected)} frames with {facts.n_used} of {facts.n_pairs} overlaps used; "
            f"remaining differences: median {facts.after_median:.3g}, largest {facts.after_max:.3g} {facts.unit}".rstrip()
        )

    @property
    def uncorrected_words(self) -> str:
        """The preview without correction in words."""
        facts = self.facts
        sizes = f"median {facts.before_median:.3g}, largest {facts.before_max:.3g} {facts.unit}".rstrip()
        return f"mosaic of {len(self.projected)} frames without correction; differences: {sizes}"

    @property
    def preview_wcs(self) -> WCS:
        """WCS of the preview."""
        step = self._shared.sums().step
        wcs: WCS = self.projected.grid.wcs[::step, ::step]
        return wcs

    def code(self) -> str:
        """The options as a line of a cell."""
        words = ["background"]
        if not self.slope:
            words.append("--no-slope")
        if self.weighting != "pixels":
            words.append(f"--weighting {self.weighting}")
        if self.reference:
            words.append("--reference " + ",".join(map(str, self.reference)))
        if self.slope_prior is not None:
            words.append(f"--slope-prior {self.slope_prior:g}")
        if self.robust:
            words.append("--robust")
        if self.excluded:
            pairs = self.pairs
            words.append("--exclude " + ",".join(f"{pairs[row][0]}-{pairs[row][1]}" for row in sorted(self.excluded)))
        return " ".join(words)


def steer(
    run: Run | None = None, *, projected: Projected | None = None, overlaps: Overlaps | None = None, exclude: Sequence[int] = ()
) -> Steering:
    """Take the match of a run, or of products, into the hand.

    Parameters
    ----------
    run : Run, optional
        A run with the stages `project` and `overlaps`.
    projected, overlaps : optional
        The products, in place of a run or of its own.
    exclude : sequence of int
        Rows of the overlaps to leave out at the start.

    Returns
    -------
    Steering
        Change it with `exclude`, `include` and `change`; look at `quick`, `background`, `preview`.

    Raises
    ------
    ConfigError
        A product is missing.
    """
    if run is not None:
        projected = projected or _of(run, Projected) or getattr(_of(run, Corrected), "projected", None)
        overlaps = overlaps or _of(run, Overlaps)
    if projected is None or overlaps is None:
        missing = "project" if projected is None else "overlaps"
        raise ConfigError(f"nothing to steer: there is no product of the stage {missing}", hint=f"add a line `{missing}` to the cell")
    steering = Steering(projected=projected, overlaps=overlaps, _shared=_Preview(projected))
    if run is not None:
        steering = steering.change(**_options_of(run, overlaps))
    return steering.exclude(*exclude)


def _options_of(run: Run, overlaps: Overlaps) -> dict[str, Any]:
    """Options with which a run made its background model; of a model that it was given, what the model tells."""
    from nbmosaic.pipeline.matching import excluded_rows, frame_indices

    steps = [step for step in run.recipe.steps if step.stage == "background"]
    model = getattr(_of(run, Background), "model", None)
    if steps:
        given = dict(steps[-1].resolve(run.named).options)
        options: dict[str, Any] = {name: given[name] for name in ("slope", "weighting", "slope_prior", "robust") if name in given}
        references, pairs = given.get("reference", ()), given.get("exclude", ())
        references = [references] if isinstance(references, int | str) else list(references)
        options["reference"] = tuple(frame_indices(references, overlaps.names, option="reference"))
        rows = excluded_rows([pairs] if isinstance(pairs, str) else list(pairs), overlaps)
    elif model is not None and len(model.weight) == len(overlaps):
        options, rows = {"slope": model.slope}, (model.weight == 0) & overlaps.used
    else:
        return {}
    return options | {"excluded": frozenset(np.flatnonzero(rows).tolist())}


def _of(run: Run, kind: type) -> Any:
    return run.latest((kind,))
