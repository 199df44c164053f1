"""What `%mosaic` understands beside the stages: `cache`, `panel`, and the short names of `%psf`."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.notebook.cellspec import OptionWord, StageLine
from nbmosaic.notebook.cellwords import Expr, Place, Word
from nbmosaic.notebook.help import Page
from nbmosaic.notebook.scope import evaluate
from nbmosaic.pipeline.signatures import closest
from nbmosaic.views.html import table_html
from nbmosaic.views.markup import Markup, escape, join

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.notebook.registry import Registry
    from nbmosaic.pipeline.caching.cache import RunCache

__all__ = ["PSF_STAGES", "CachePage", "PsfTable", "cache_page", "full_psf_name", "open_panel"]

PSF_STAGES: Mapping[str, str] = {
    "image": "fit_image_photometry",
    "star": "fit_star_photometry",
    "both": "fit_image_and_star_photometry",
    "batch": "fit_photometry_batch",
    "regrid": "regrid",
    "bandpass": "bandpass",
}
"""Short forms of `%psf`, and the stages that they stand for; what a stage takes is read from its function, as for every stage."""


@dataclass(frozen=True, repr=False)
class CachePage(Page):
    """What the cache holds.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a product, the last used first, and one of the frames on disk.
    summary : str
        How full it is.
    """

    table: pd.DataFrame
    summary: str

    def rows(self) -> list[list[str]]:
        """The table as texts; what does not apply is empty."""
        formats = {"hits": ".0f", "took_s": ".2f", "idle_min": ".0f", "memory_mb": ".1f", "disk_mb": ".1f"}
        names = list(map(str, self.table.columns))
        rows: list[list[Any]] = self.table.to_numpy(dtype=object).tolist()
        return [[_shown(value, formats.get(name)) for name, value in zip(names, row, strict=True)] for row in rows]

    def text(self) -> str:
        """Plain text."""
        from nbmosaic.views.text import table_text

        return f"{table_text(self.rows(), list(self.table.columns), title='Cache', limit=None, max_width=140)}\n{self.summary}"

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        table = table_html(self.rows(), list(self.table.columns), caption="Cache", limit=None)
        return join(table, Markup(f"<div>{escape(self.summary)}</div>"))


def _shown(value: Any, kind: str | None) -> str:
    if kind is None:
        return str(value)
    return "" if math.isnan(value) else format(value, kind)


def cache_page(cache: RunCache, line: StageLine) -> CachePage:
    """Show the cache, or clear it first (`--clear`, also of one stage).

    Raises
    ------
    CellError
        Words that it does not take.
    """
    clear = False
    stage: str | None = None
    for token in line.tokens:
        if isinstance(token, OptionWord) and token.name == "clear":
            clear = True
            stage = token.value.literal if token.value is not None else stage
        elif isinstance(token, Word) and clear and stage is None:
            stage = token.literal
        else:
            shown = token.flag if isinstance(token, OptionWord) else str(token)
            raise token.place.error(f"cache has no place for {shown}", hint="%mosaic cache shows it, %mosaic cache --clear empties it")
    gone = cache.clear(stage) if clear else 0
    said = [f"{gone} product{'s' * (gone != 1)} forgotten"] if clear else []
    said.append(f"{cache.size / 1e6:.0f} of {cache.memory / 1e6:.0f} MB of memory")
    said.append(f"at most {cache.units.budget / 1e6:.0f} MB of frames that nothing uses on disk, in {cache.units.parent}")
    return CachePage(cache.table, "; ".join(said))


def open_panel(line: StageLine, namespace: Mapping[str, Any], shown: Place, former: MutableMapping[str, Any]) -> Any:
    """Open the panel of a run or product of the user; a second word says which of its panels.

    Parameters
    ----------
    line : StageLine
        What was typed.
    namespace : mapping
        Names of the notebook.
    shown : Place
        Where errors point.
    former : mutable mapping
        Panels opened before: the one of the same words is closed, so that a cell run again leaves one panel.

    Raises
    ------
    CellError
        No name, a name that is not known, or more than two words.
    MissingDependencyError
        ipywidgets is not installed.
    """
    import nbmosaic

    if not 1 <= len(line.tokens) <= 2 or not all(isinstance(token, Word) for token in line.tokens):
        raise shown.error("%mosaic panel takes a name and a kind", hint="%mosaic panel NAME, or %mosaic panel NAME overlaps")
    words = [token for token in line.tokens if isinstance(token, Word)]
    product = _product_of(words[0], namespace)
    key = " ".join(map(str, words))
    panel = nbmosaic.panel(product, kind=str(words[1]) if len(words) > 1 else None)
    if key in former:
        former[key].close()
    former[key] = panel
    return panel


def _product_of(word: Word, namespace: Mapping[str, Any]) -> Any:
    """What a word of the line names."""
    if word.literal is None:
        return evaluate(word.expression or Expr(str(word), word.place), namespace)
    if word.literal not in namespace:
        raise word.place.error(f"there is no {word.literal!r} in this notebook", hint="give the name of a run or product")
    return namespace[word.literal]


@dataclass(frozen=True, repr=False)
class PsfTable(Page):
    """The fits that `%psf` knows.

    Attributes
    ----------
    registry : Registry
        The stages.
    """

    registry: Registry

    def rows(self) -> list[tuple[str, str, str]]:
        """Short name, stage, what it does."""
        return [(short, name, self.registry[name].summary) for short, name in PSF_STAGES.items() if name in self.registry]

    def text(self) -> str:
        """Plain text."""
        rows = self.rows()
        if not rows:
            return "this installation of nbmosaic has no PSF fits"
        width = max(len(short) for short, _, _ in rows)
        lines = [f"  %psf {short:<{width}}  {summary}" for short, _, summary in rows]
        return "\n".join(["PSF photometry", *lines, "%psf help NAME shows the options"])


def full_psf_name(short: str, registry: Registry, place: Place) -> str:
    """Stage that a short name of `%psf` stands for.

    Raises
    ------
    CellError
        There is none; with the nearest name.
    """
    names: Sequence[str] = [name for name, stage in PSF_STAGES.items() if stage in registry]
    name = PSF_STAGES.get(short, short)
    if name in registry and name in PSF_STAGES.values():
        return name
    if not names:
        raise place.error("this installation of nbmosaic has no PSF fits", hint="%mosaic lists the stages that it has")
    near = closest(short, names)
    hint = f"did you mean {near}?  %psf lists the fits" if near else f"fits: {', '.join(names)}"
    raise place.error(f"%psf has no fit {short!r}", hint=hint)
