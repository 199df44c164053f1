"""Checks of the files that a run will write, before any work is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbmosaic.errors import FormatError, NbmosaicError
from nbmosaic.pipeline.products import Frames
from nbmosaic.pipeline.recipe import Recipe, Step

__all__ = ["check_not_input", "check_outputs", "check_sources_kept", "targets"]


def targets(recipe: Recipe) -> Iterator[tuple[Step, Any]]:
    """Steps that write a file, and the file, where it is known before the run."""
    for step in recipe.steps:
        target = step.options.get("output")
        if step.stage == "save":
            target = step.options.get("path", next(iter(step.words), None))
        if isinstance(target, str | os.PathLike):
            yield step, target


def check_outputs(recipe: Recipe) -> None:
    """Check, before anything runs, that the files to be written can be.

    Raises
    ------
    FormatError
        A file exists without ``overwrite``, is written twice, or its folder is missing or not writable; with the line of the cell.
    """
    from nbmosaic.io.output import check_output

    seen: set[str] = set()
    for step, target in targets(recipe):
        try:
            path = str(check_output(target, overwrite=bool(step.options.get("overwrite", False))))
            if path in seen and not step.options.get("overwrite", False):
                raise FormatError(
                    f"{path} is written twice",
                    hint="choose another name, or overwrite=True (--overwrite in a cell or the shell)",
                    path=path,
                )
            seen.add(path)
        except NbmosaicError as error:
            error.context.update(line=step.line, text=step.text, stage=step.stage)
            raise


def check_not_input(target: Any, frames: Frames) -> None:
    """Check that a file to be written is not one of the frames.

    Raises
    ------
    FormatError
        It is: a pattern such as ``*.fits`` also matches the mosaic of an earlier run.
    """
    wanted = os.path.realpath(Path(target).expanduser())
    for info in frames.infos:
        file = info.meta.get("file")
        if file and not info.meta.get("in_memory") and os.path.realpath(str(file)) == wanted:
            raise FormatError(
                f"{target} is the output and also one of the frames",
                hint="name the frames so that the mosaic of an earlier run is not among them, or write it to another folder",
                path=str(target),
            )


def check_sources_kept(recipe: Recipe, frames: Frames) -> None:
    """Check that no step of a recipe writes over one of the frames.

    Raises
    ------
    FormatError
        One does; with the line of the cell.
    """
    for step, target in targets(recipe):
        try:
            check_not_input(target, frames)
        except NbmosaicError as error:
            error.context.update(line=step.line, text=step.text, stage=step.stage)
            raise
