"""The options of the first line of a cell, as the signature of a function, so that they are bound and documented like those of a stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from nbmosaic.pipeline.signatures import StageSpec

__all__ = ["CELL_SPEC", "LINE_OPTIONS", "mosaic"]

LINE_OPTIONS = ("plan", "code", "detach", "fresh", "cache", "progress")
"""Options of the cell that a line magic takes, too, where its stage has none of that name."""


def mosaic(
    *,
    jobs: int | None = None,
    plan: bool = False,
    code: bool = False,
    detach: bool = False,
    fresh: bool | str = False,
    from_: str | None = None,
    cache: bool = True,
    show: Literal["summary", "stages", "none"] = "summary",
    progress: Literal["auto", "text", "off"] | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> dict[str, Any]:
    """Run the stages of a cell, one a line, from frames to a mosaic.

    Parameters
    ----------
    jobs : int, optional
        Threads; 0: as many as the work is worth, at most all processors; negative: all but that many. Default: that of ``%config MosaicMagics``.
    plan : bool
        Check the cell and list what it would do: stages, cached or not, sizes, memory; run nothing.
    code : bool
        Give the same as Python code, also as the next cell; run nothing.
    detach : bool
        Return at once and go on behind: NAME is a handle with ``cancel()``, ``done()``, ``result()``, and ``await NAME``.
    fresh : bool or str
        Run all stages though they are cached, or those named (``project,coadd``), and what comes of them.
    from_ : str, optional
        A stage of the cell: it and all after it run though they are cached. Or an earlier run: the cell goes on with its products.
    cache : bool
        Take from the cache what has not changed, and keep what is made.
    show : {"summary", "stages", "none"}
        What is shown after the run: its summary, also the product of every stage, or nothing.
    progress : {"auto", "text", "off"}, optional
        How progress is shown. Default: that of ``%config MosaicMagics``.
    on_error : {"stop", "skip"}
        Whether a frame that cannot be read stops the run, or is left out with a warning.
    """
    return {
        "jobs": jobs,
        "plan": plan,
        "code": code,
        "detach": detach,
        "fresh": fresh,
        "from": from_,
        "cache": cache,
        "show": show,
        "progress": progress,
        "on_error": on_error,
    }


def _cell_spec() -> StageSpec:
    spec = StageSpec.from_function(mosaic)
    # `from` is a word of Python: the function cannot have it as a name
    return replace(spec, parameters=tuple(replace(p, name=p.name.rstrip("_")) for p in spec.parameters))


CELL_SPEC = _cell_spec()
"""The options of ``%%mosaic``."""
