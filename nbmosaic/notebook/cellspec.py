r"""Text of a ``%%mosaic`` cell -> frozen values.

This module knows the grammar and nothing else: no stage, no notebook, no file. Every mistake is a `CellError` with the line of the cell,
its text and the column of the mistake.

The rules, one stage a line:

* a ``\`` at the end of a line continues it, ``#`` at the start of a line or after a blank begins a comment, blank lines are free;
* single and double quotes group, a backslash is an ordinary character (paths of Windows);
* ``{expression}`` is Python: alone in a word it stands for the object, inside a longer word for its text;
  ``{{`` and ``}}`` are literal braces;
* ``--option value`` or ``--option=value``, ``--flag`` or ``--no-flag``; ``_`` and ``-`` are the same in a name;
* ``as NAME`` at the end of a line names the result; a quoted ``'as'`` is a word like others;
* ``;`` at the very end of the cell hushes the display; a line ``stage?`` asks for help.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbmosaic.notebook.cellwords import Expr, Place, Segment, Source, Word, cut_words, join_lines

__all__ = ["CellSpec", "Expr", "OptionWord", "Place", "StageLine", "Word", "check_name", "parse_cell", "parse_line"]

_OPTION = re.compile(r"--([A-Za-z][A-Za-z0-9_-]*)(=?)")
_HELP = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\?")


@dataclass(frozen=True, slots=True)
class OptionWord:
    """``--name`` or ``--name=value``; `name` has underscores."""

    name: str
    value: Word | None
    place: Place

    @property
    def flag(self) -> str:
        """The name as it is typed."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage.

    Attributes
    ----------
    stage : str
        First word of the line.
    tokens : tuple of Word or OptionWord
        The rest, in order.
    name : str, optional
        ``as NAME``.
    place : Place
        Where the stage's name stands.
    name_place : Place, optional
        Where NAME stands.
    """

    stage: str
    tokens: tuple[Word | OptionWord, ...]
    place: Place
    name: str | None = None
    name_place: Place | None = None


@dataclass(frozen=True, slots=True)
class CellSpec:
    """A parsed cell.

    Attributes
    ----------
    name : str, optional
        Name that receives the run.
    options : tuple of OptionWord or Word
        The rest of the first line.
    stages : tuple of StageLine
        The stages in order.
    quiet : bool
        The cell ends with ``;``.
    help : tuple of (str, Place)
        Stages whose help is asked for with ``stage?``.
    place : Place
        Where the first line's words begin.
    """

    name: str | None
    options: tuple[Word | OptionWord, ...]
    stages: tuple[StageLine, ...]
    quiet: bool
    help: tuple[tuple[str, Place], ...]
    place: Place


def check_name(name: str, place: Place) -> str:
    """`name`, if a variable may be called so.

    Raises
    ------
    CellError
        It is a keyword or not an identifier.
    """
    if keyword.iskeyword(name):
        raise place.error(f"{name!r} is a word of Python and cannot be a name", hint="choose another name")
    if not name.isidentifier():
        raise place.error(f"{name!r} cannot be a name", hint="a name has letters, digits and _, and does not begin with a digit")
    return name


def parse_line(text: str, *, line: int = 1, shift: int = 0, shown: str | None = None) -> tuple[StageLine, bool]:
    """Parse one stage, as after ``%mosaic``.

    Parameters
    ----------
    text : str
        The stage, its words and options.
    line : int
        Its number in the cell.
    shift : int
        Column of `text` in the line `shown`.
    shown : str, optional
        The line as errors show it; default: `text`.

    Returns
    -------
    stage : StageLine
    quiet : bool
        The line ends with ``;``.

    Raises
    ------
    CellError
        Any mistake.

    Examples
    --------
    >>> stage, quiet = parse_line("project --method spline as p")
    >>> stage.stage, stage.name, quiet
    ('project', 'p', False)
    """
    shown = text if shown is None else shown
    words, _ = cut_words(Source(text, (Segment(0, line, shown, shift),)))
    words, quiet = _take_semicolon(words)
    if not words:
        raise Place(line, shown, shift).error("no stage is given", hint="%mosaic lists the stages")
    return _stage_line(words), quiet


def parse_cell(line: str, body: str, *, magic: str = "%%mosaic") -> CellSpec:
    r"""Parse the first line and the body of a cell.

    Parameters
    ----------
    line : str
        What follows ``%%mosaic`` on the first line.
    body : str
        The rest of the cell.
    magic : str
        Name of the magic, for messages.

    Returns
    -------
    CellSpec

    Raises
    ------
    CellError
        Any mistake; its context holds line, text and column.

    Examples
    --------
    >>> cell = parse_cell("m17 --jobs 2", "images raw/*.fits\\nproject --method spline\\n")
    >>> cell.name, [stage.stage for stage in cell.stages]
    ('m17', ['images', 'project'])
    """
    shown = f"{magic} {line}"
    head, *logical = _logical_lines([line, *body.split("\n")], shown, len(magic) + 1)
    name, options = _take_name(tuple(_token(word) for word in head))
    logical = [words for words in logical if words]
    quiet = False
    if logical:
        logical[-1], quiet = _take_semicolon(logical[-1])
    stages: list[StageLine] = []
    questions: list[tuple[str, Place]] = []
    for words in filter(None, logical):
        if _ends_with_semicolon(words):
            message = "`;` hushes the display and belongs at the very end of the cell"
            raise words[-1].place.error(message, hint="one stage a line; quote a word that ends with ;")
        question = _HELP.fullmatch(words[0].bare or "") if len(words) == 1 else None
        if question:
            questions.append((question[1], words[0].place))
        else:
            stages.append(_stage_line(words))
    _check_names(name, stages)
    return CellSpec(name, options, tuple(stages), quiet, tuple(questions), Place(1, shown, min(len(magic) + 1, len(shown))))


def _take_name(tokens: tuple[Word | OptionWord, ...]) -> tuple[str | None, tuple[Word | OptionWord, ...]]:
    """NAME is the first word, before the options."""
    if not tokens or not isinstance(tokens[0], Word):
        return None, tokens
    word = tokens[0]
    if word.literal is None:
        raise word.place.error("the name of the run cannot be an expression", hint="write %%mosaic NAME")
    return check_name(word.literal, word.place), tokens[1:]


def _check_names(name: str | None, stages: Sequence[StageLine]) -> None:
    """No name may be bound twice in one cell: the first product would be lost in silence."""
    seen: dict[str, int] = {} if name is None else {name: 1}
    for stage in stages:
        if stage.name is None or stage.name_place is None:
            continue
        if stage.name in seen:
            raise stage.name_place.error(
                f"the name {stage.name} is used twice (first in line {seen[stage.name]})", hint="choose another name"
            )
        seen[stage.name] = stage.place.line


def _logical_lines(physical: Sequence[str], shown: str, shift: int) -> list[list[Word]]:
    """Words of every logical line; the first is the line of the magic, shown as `shown`."""
    lines: list[list[Word]] = []
    index = 0
    while index < len(physical):
        source = join_lines(physical, index, shown, shift)
        words, used = cut_words(source)
        lines.append(words)
        index += used
    return lines


def _ends_with_semicolon(words: Sequence[Word]) -> bool:
    tail = words[-1].parts[-1]
    return isinstance(tail, str) and tail.endswith(";") and not words[-1].closed


def _take_semicolon(words: list[Word]) -> tuple[list[Word], bool]:
    """Take a final ``;`` away."""
    if not words or not _ends_with_semicolon(words):
        return words, False
    last = words[-1]
    tail = last.parts[-1]
    assert isinstance(tail, str)
    parts = (*last.parts[:-1], tail.rstrip(";")) if tail.rstrip(";") else last.parts[:-1]
    return [*words[:-1], replace(last, parts=parts)] if parts else words[:-1], True


def _token(word: Word) -> Word | OptionWord:
    """Tell options from words."""
    head = word.parts[0]
    if word.quoted or not isinstance(head, str) or not head.startswith("--"):
        return word
    match = _OPTION.match(head)
    if match is None or (match.end() < len(head) and not match[2]) or (not match[2] and len(word.parts) > 1):
        raise word.place.error(f"{word} is not an option", hint="options are --name value; quote a word that begins with --")
    name = match[1].replace("-", "_")
    if not match[2]:
        return OptionWord(name, None, word.place)
    rest = head[match.end() :]
    parts = (rest, *word.parts[1:]) if rest or len(word.parts) == 1 else word.parts[1:]
    place = word.place
    return OptionWord(name, Word(parts, replace(place, column=place.column + match.end()), closed=word.closed), place)


def _stage_line(words: list[Word]) -> StageLine:
    """Tell the stage, its words and ``as NAME``."""
    first = words[0]
    stage = first.bare
    if stage is None:
        raise first.place.error(f"{first} is not a stage", hint="a line begins with the name of a stage; %mosaic lists them")
    if stage.startswith("-"):
        raise first.place.error(f"a line cannot begin with the option {stage}", hint="end the line before with \\ to continue it")
    name: str | None = None
    name_place: Place | None = None
    if len(words) > 1 and words[-1].bare == "as":
        raise words[-1].place.error("`as` needs a name after it", hint="quote 'as' if it is a file")
    if len(words) > 2 and words[-2].bare == "as":
        if words[-1].literal is None:
            raise words[-1].place.error("`as` needs a name, not an expression")
        name_place = words[-1].place
        name = check_name(words[-1].literal, name_place)
        words = words[:-2]
    return StageLine(stage, tuple(_token(word) for word in words[1:]), first.place, name, name_place)
