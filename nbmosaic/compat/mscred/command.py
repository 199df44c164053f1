"""``nbmosaic mscimage``: the parameters of the task as options of a command."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from nbmosaic.compat.mscred.task import mscimage

__all__ = ["add_arguments", "run_command"]

_HIDDEN = {"input", "output", "interactive"}


def _helps() -> dict[str, str]:
    """First sentence of what the docstring says of each parameter."""
    text = inspect.getdoc(mscimage) or ""
    section = text.partition("Parameters\n----------\n")[2].partition("\nReturns\n")[0]
    helps: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line[:1].strip():
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
            helps |= dict.fromkeys(names, "")
        else:
            helps |= {name: f"{helps[name]} {line.strip()}".strip() for name in names}
    return {name: help_text.replace("`", "") for name, help_text in helps.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the input, the output and an option for every parameter; their values are checked by the task."""
    helps = _helps()
    parser.description = "Reconstruct single images from mosaic exposures, with the parameters of IRAF's mscred.mscimage."
    parser.add_argument("input", help="exposures: names separated by commas, patterns, @file")
    parser.add_argument("output", help="images to make: as many names; masks are OUT_bpm.fits")
    parameters = inspect.signature(mscimage).parameters
    for name, parameter in parameters.items():
        if name in _HIDDEN:
            continue
        default = parameter.default
        shown = "" if default in (None, "") else f" Default: {'yes' if default is True else 'no' if default is False else default}."
        text = (helps.get(name, "") + shown).replace("%", "%%")
        flag = f"--{name}"
        if isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        else:
            kind = type(default) if isinstance(default, int | float) else _kind(str(parameter.annotation))
            parser.add_argument(flag, type=kind, default=argparse.SUPPRESS, metavar=name.upper(), help=text)
    parser.set_defaults(options=tuple(name for name in parameters if name not in _HIDDEN), quiet=False)


def _kind(annotation: str) -> Any:
    """What turns the text of an option into a value."""
    return int if annotation.startswith("int") else float if annotation.startswith("float") else str


def run_command(chosen: argparse.Namespace) -> int:
    """Run the task; what was written is printed, one name a line, unless the task tells of its progress."""
    options = {name: getattr(chosen, name) for name in chosen.options if hasattr(chosen, name)}
    written = mscimage(chosen.input, chosen.output, **options)
    if not options.get("verbose", False):
        for name in written:
            print(f"wrote {name}")  # noqa: T201 - the answer of the command
    return 0
