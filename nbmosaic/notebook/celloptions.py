"""The options of the first line of a cell, as the signature of a function, so that they are bound and documented like those of a stage."""

from __future__ import annotations

from typing import Any, Literal

from nbmosaic.pipeline.signatures import StageSpec

__all__ = ["CELL_SPEC", "mosaic"]


def mosaic(
    *,
    jobs: int | None = None,
    plan: bool = False,
    code: bool = False,
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
        Check the cell and list what it would do; run nothing.
    code : bool
        Give the same as Python code, also as the next cell; run nothing.
    show : {"summary", "stages", "none"}
        What is shown after the run: its summary, also the product of every stage, or nothing.
    progress : {"auto", "text", "off"}, optional
        How progress is shown. Default: that of ``%config MosaicMagics``.
    on_error : {"stop", "skip"}
        Whether a frame that cannot be read stops the run, or is left out with a warning.
    """
    return {"jobs": jobs, "plan": plan, "code": code, "show": show, "progress": progress, "on_error": on_error}


CELL_SPEC = StageSpec.from_function(mosaic)
"""The options of ``%%mosaic``."""
