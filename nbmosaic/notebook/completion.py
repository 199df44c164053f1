"""Tab in a cell or line of ours: stages, options, choices, files, and names of the notebook.

`complete` knows the grammar and nothing of IPython; `matcher` hands its answer to IPython's matcher API (version 2), which terminals and
JupyterLab use alike.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbmosaic.notebook.celloptions import CELL_SPEC, LINE_OPTIONS
from nbmosaic.pipeline.signatures import Parameter, StageSpec

__all__ = ["Completions", "complete", "matcher"]

_LINE = re.compile(r"(?:^|=)\s*%(mosaic|psf)(?=\s)")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z|\Z")
MOST = 500
"""Completions that are given at most: a folder may hold thousands of frames."""


@dataclass(frozen=True, slots=True)
class Completions:
    """What could stand in place of the `fragment` before the cursor."""

    texts: tuple[str, ...] = ()
    fragment: str = ""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What can be named."""

    registry: Mapping[str, StageSpec]
    names: Mapping[str, Any]
    bound: Sequence[str] = ()
    cell_stages: Sequence[str] = ()
    short_names: Mapping[str, str] | None = None


def complete(
    text: str, line: int, column: int, *, registry: Mapping[str, StageSpec], names: Mapping[str, Any], psf: Mapping[str, str]
) -> Completions | None:
    """Complete the word before the cursor.

    Parameters
    ----------
    text : str
        The whole cell.
    line, column : int
        The cursor, 0-based.
    registry : mapping
        The stages.
    names : mapping
        Names of the notebook.
    psf : mapping
        Short names of ``%psf``, and the stages that they stand for.

    Returns
    -------
    Completions or None
        None where the cursor is in no text of ours.
    """
    lines = text.split("\n")
    head = lines[line][:column]
    if re.match(r"%%mosaic(?=\s|\Z)", lines[0]):
        begin = line
        while begin > 0 and lines[begin - 1].rstrip().endswith("\\"):
            begin -= 1
        prefix = " ".join([*(one.rstrip()[:-1] for one in lines[begin:line]), head])
        stages = [words[0] for one in lines[1:] if (words := one.split())]
        bound = [match[1] for one in lines[1:begin] if (match := re.search(r"\sas\s+([A-Za-z_]\w*)\s*(?:#.*)?;?\s*$", one))]
        scope = _Scope(registry, names, bound, [stage for stage in stages if stage in registry])
        if begin == 0:
            return _first_line(prefix.removeprefix("%%mosaic"), scope)
        return _stage_line(prefix, scope)
    found = list(_LINE.finditer(head))
    if not found:
        return None
    match = found[-1]
    rest = head[match.end() :]
    if match[1] == "psf":
        return _stage_line(rest, _Scope(registry, names, short_names={k: v for k, v in psf.items() if v in registry}), magic=True)
    return _stage_line(rest, _Scope(registry, names), magic=True)


def matcher(magics: Any) -> Callable[[Any], Any]:
    """Give a matcher for IPython.

    Parameters
    ----------
    magics : MosaicMagics
        Knows the stages and the shell.
    """
    from IPython.core.completer import SimpleCompletion, context_matcher

    from nbmosaic.notebook.line_words import PSF_STAGES

    @context_matcher(identifier="nbmosaic", priority=100)
    def match(context: Any) -> Any:
        found = None
        if "%" in context.full_text:
            names = {name: value for name, value in magics.shell.user_ns.items() if name not in magics.shell.user_ns_hidden}
            registry = magics.backend.registry
            found = complete(
                context.full_text, context.cursor_line, context.cursor_position, registry=registry, names=names, psf=PSF_STAGES
            )
        if found is None or not found.texts:
            return {"completions": []}
        completions = [SimpleCompletion(text=text, type="nbmosaic") for text in found.texts[:MOST]]
        # the order is ours: the order of work, not of the alphabet
        return {"completions": completions, "matched_fragment": found.fragment, "suppress": True, "ordered": True}

    return match


def _first_line(prefix: str, scope: _Scope) -> Completions:
    """``%%mosaic NAME --options``."""
    words, last, inside = _words(prefix)
    if inside == "{":
        return _expression(last, scope)
    return _option(CELL_SPEC, words, last, scope) or Completions()


def _stage_line(prefix: str, scope: _Scope, *, magic: bool = False) -> Completions:
    """A stage, its words and options."""
    words, last, inside = _words(prefix)
    short = scope.short_names
    stages = list(scope.registry) if short is None else list(short)
    if not words:
        extra = [] if not magic else ["help"] if short is not None else ["help", "cache", "panel"]
        return _starting(last, [*stages, *extra])
    if magic and words[0] == "help":
        return _starting(last, stages) if len(words) == 1 else Completions()
    if magic and words[0] == "cache":
        return _starting(last.lstrip("-"), ["clear"]) if last.startswith("-") else _starting(last, scope.registry)
    if magic and words[0] == "panel":
        if len(words) == 2:
            return _starting(last, ["overlaps", "background", "frames", "viewer", "psf", "batch"])
        return _starting(last, [name for name, value in scope.names.items() if _is_product(value)])
    spec = scope.registry.get(words[0] if short is None else short.get(words[0], ""))
    if inside == "{":
        return _expression(last, scope)
    if spec is None or words[-1] == "as":
        return Completions()
    found = _option(spec, words[1:], last, scope, magic=magic)
    return found if found is not None else _word(spec, last, scope)


def _option(spec: StageSpec, words: Sequence[str], last: str, scope: _Scope, *, magic: bool = False) -> Completions | None:
    """An option or its value; None where a word stands."""
    options = list(spec.parameters if spec is CELL_SPEC else spec.options)
    if magic:
        options += [p for p in CELL_SPEC.parameters if p.name in LINE_OPTIONS and spec.find(p.name) is None]
    known = {option.name: option for option in options}
    name, equals, value = last.partition("=")
    if last.startswith("-") and equals:
        parameter = known.get(name.lstrip("-").replace("-", "_"))
        return None if parameter is None else _value(parameter, value, scope)
    if last.startswith("-"):
        given = {word.partition("=")[0].lstrip("-").replace("-", "_").removeprefix("no_") for word in words if word.startswith("--")}
        free = [option for option in options if option.name not in given]
        flags = [option.flag[2:] for option in free] + [f"no-{option.flag[2:]}" for option in free if bool in option.takes.scalars]
        # bare words without the dashes: front ends sort and mix what begins with a dash with the words of the cell
        return _starting(last.lstrip("-"), flags)
    if words and words[-1].startswith("--") and "=" not in words[-1]:
        parameter = known.get(words[-1][2:].replace("-", "_"))
        if parameter is not None and not parameter.takes.is_flag:
            found = _value(parameter, last, scope)
            if found.texts or bool not in parameter.takes.scalars:
                return found
    return None


def _value(parameter: Parameter, last: str, scope: _Scope) -> Completions:
    """A value of an option."""
    takes = parameter.takes
    if parameter.name in {"from", "fresh"}:
        runs = [name for name, value in scope.names.items() if hasattr(type(value), "to_python")] if parameter.name == "from" else []
        return _starting(last.rpartition(",")[2], [*dict.fromkeys(scope.cell_stages), *runs])
    texts = [str(choice) for choice in takes.choices] + (["none"] if takes.none and takes.choices else [])
    if bool in takes.scalars:
        texts += ["yes", "no"]
    if texts:
        return _starting(last, texts)
    return _files(last) if takes.takes_text and not set(takes.scalars) & {int, float} else Completions()


def _word(spec: StageSpec, last: str, scope: _Scope) -> Completions:
    """A word of a stage: files, and products in braces."""
    products = [*scope.bound, *(name for name, value in scope.names.items() if any(p.takes.is_instance(value) for p in spec.inputs))]
    in_braces = [f"{{{name}}}" for name in dict.fromkeys(products)] if spec.inputs else []
    bare = [] if spec.words and any(p.role == "words" for p in spec.words) else list(dict.fromkeys(products)) if spec.inputs else []
    found = _starting(last, [*bare, *in_braces]) if last or spec.inputs else Completions()
    texts = any(p.takes.takes_text and not set(p.takes.scalars) & {int, float} for p in spec.words)
    if not texts:
        return found
    files = _files(last)
    return Completions((*found.texts, *files.texts), last) if last else Completions((*files.texts, *found.texts), last)


def _expression(last: str, scope: _Scope) -> Completions:
    """A name, or an attribute of one, inside braces; nothing is evaluated but attributes of objects that are there."""
    match = _IDENTIFIER.search(last)
    word = match[0] if match else ""
    owner, dot, start = word.rpartition(".")
    if not dot:
        return _starting(word, [*scope.bound, *(name for name in scope.names if not name.startswith("_"))])
    first, *rest = owner.split(".")
    value = scope.names.get(first)
    if value is None or rest:
        return Completions()
    return _starting(start, [name for name in dir(value) if not name.startswith("_")])


def _files(last: str) -> Completions:
    """Files and folders whose names begin so."""
    quote = last[:1] if last[:1] in {"'", '"'} else ""
    start = last[len(quote) :]
    if set(start) & set("*?{"):
        return Completions()
    begin = os.path.expanduser(start) if start.startswith("~") else start  # noqa: PTH111 - the text is completed, not a path
    found = []
    for path in sorted(glob.glob(glob.escape(begin) + "*"))[:MOST]:  # noqa: PTH207 - texts in, texts out
        shown = start + path[len(begin) :]
        if os.path.isdir(path):  # noqa: PTH112 - many files: a Path object costs as much as the call
            shown += os.sep
        if quote:
            found.append(quote + shown)
        else:
            found.append(f'"{shown}"' if set(shown) & set(" '#;") else shown)
    return Completions(tuple(found), last)


def _starting(start: str, texts: Iterable[str]) -> Completions:
    low = start.lower().replace("_", "-")
    found = (text for text in texts if text.lower().replace("_", "-").startswith(low))
    return Completions(tuple(dict.fromkeys(found)), start)


def _words(prefix: str) -> tuple[list[str], str, str]:
    """Words before the one at the cursor, that one, and the quote or brace that is open in it."""
    words: list[str] = []
    current, quote, depth = "", "", 0
    for char in prefix:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "{}":
            depth = max(0, depth + (1 if char == "{" else -1))
        elif char.isspace() and not depth:
            if current:
                words.append(current)
            current = ""
            continue
        current += char
    return words, current, quote or ("{" if depth else "")


def _is_product(value: Any) -> bool:
    return any(cls.__module__.startswith("nbmosaic.pipeline.") for cls in type(value).__mro__)
