"""Words of a cell: quotes, comments, continued lines and expressions in braces, each with its place in the cell."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from nbmosaic.errors import CellError

__all__ = ["Expr", "Place", "Segment", "Source", "Word", "cut_words", "join_lines"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece of text stands in the cell.

    Attributes
    ----------
    line : int
        Number of the line; the line of the magic is 1.
    text : str
        That line.
    column : int
        0-based column in it.
    """

    line: int
    text: str
    column: int

    def error(self, message: str, *, hint: str | None = None) -> CellError:
        """Make an error that points here."""
        return CellError(message, hint=hint, line=self.line, text=self.text, column=self.column)


@dataclass(frozen=True, slots=True)
class Expr:
    """A Python expression in braces; `code` is its source."""

    code: str
    place: Place


@dataclass(frozen=True, slots=True)
class Word:
    """One word: text and expressions in order.

    Attributes
    ----------
    parts : tuple of str or Expr
        Pieces in order; quotes are gone, doubled braces are single.
    place : Place
        Where it begins.
    quoted : bool
        Whether it begins with a quote (so that ``as``, ``--`` and ``?`` mean nothing special in it).
    closed : bool
        Whether it ends with a quote (so that a ``;`` before it is part of the word).
    """

    parts: tuple[str | Expr, ...]
    place: Place
    quoted: bool = False
    closed: bool = False

    @property
    def expression(self) -> Expr | None:
        """The expression, if the word is one and nothing else."""
        first = self.parts[0] if len(self.parts) == 1 else None
        return first if isinstance(first, Expr) else None

    @property
    def literal(self) -> str | None:
        """The text, if no expression is in the word."""
        if all(isinstance(part, str) for part in self.parts):
            return "".join(part for part in self.parts if isinstance(part, str))
        return None

    @property
    def bare(self) -> str | None:
        """The text, if the word has neither quotes at its start nor expressions."""
        return None if self.quoted else self.literal

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else "{" + part.code + "}" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Segment:
    """A physical line inside a logical one; `shift` is the column of the first character in the line that is shown."""

    start: int
    line: int
    text: str
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    r"""A logical line (physical lines joined at their ``\\``) that knows where each character came from."""

    text: str
    segments: tuple[Segment, ...]
    dangling: bool = False

    def segment(self, position: int) -> int:
        """Index of the physical line that holds a character."""
        return max((k for k, segment in enumerate(self.segments) if segment.start <= position), default=0)

    def place(self, position: int) -> Place:
        """Line and column of a character."""
        segment = self.segments[self.segment(position)]
        return Place(segment.line, segment.text, min(position - segment.start + segment.shift, len(segment.text)))


def join_lines(physical: Sequence[str], index: int, shown: str, shift: int) -> Source:
    r"""Join the lines from `index` on as long as they end with ``\``."""
    text = ""
    segments: list[Segment] = []
    for number, raw in enumerate(physical[index:], index + 1):
        segments.append(Segment(len(text), number, shown, shift) if number == 1 else Segment(len(text), number, raw.rstrip("\r")))
        stripped = raw.rstrip()
        if not stripped.endswith("\\"):
            return Source(text + raw, tuple(segments))
        text += stripped[:-1] + " "
        if not any(line.strip() for line in physical[number:]):
            break
    return Source(text, tuple(segments), dangling=True)


class _Lexer:
    """Cuts one logical line into words."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.at = 0

    def word(self) -> Word:
        """Read the word that begins at the cursor."""
        start = self.at
        parts: list[str | Expr] = []
        letters = ""
        quote = ""
        opened = start
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote, opened = char, self.at
            elif not quote and char.isspace():
                break
            elif char == "{" and self.text[self.at : self.at + 2] != "{{":
                if letters:
                    parts.append(letters)
                parts.append(self.expression())
                letters = ""
                continue
            elif char in "{}":
                if self.text[self.at : self.at + 2] != char * 2:
                    raise self.source.place(self.at).error("a single }", hint="write }} for a brace that is meant literally")
                letters += char
                self.at += 1
            else:
                letters += char
            self.at += 1
        if quote:
            raise self.source.place(opened).error(
                f"the quote {quote} is not closed", hint="quotes group words; quote the other kind inside them"
            )
        if letters or not parts:
            parts.append(letters)
        return Word(tuple(parts), self.source.place(start), self.text[start] in "'\"", self.text[self.at - 1] in "'\"")

    def expression(self) -> Expr:
        """Read ``{...}``; the cursor is at its brace."""
        start = self.at
        place = self.source.place(start)
        self.at += 1
        depth = 1
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in "'\"":
                self.skip_string(place)
                continue
            depth += (char == "{") - (char == "}")
            self.at += 1
            if depth == 0:
                break
        if depth:
            raise place.error("the { is not closed", hint="{expression} is Python; write {{ for a brace that is meant literally")
        code = self.text[start + 1 : self.at - 1].strip()
        _check_expression(code, place)
        return Expr(code, place)

    def skip_string(self, place: Place) -> None:
        """Move behind the Python string at the cursor."""
        quote = self.text[self.at]
        if self.text[self.at : self.at + 3] == quote * 3:
            quote *= 3
        self.at += len(quote)
        while self.at < len(self.text):
            if self.text.startswith(quote, self.at):
                self.at += len(quote)
                return
            self.at += 2 if self.text[self.at] == "\\" else 1
        raise place.error(f"the quote {quote[0]} inside the braces is not closed", hint="{expression} is Python")


def cut_words(source: Source) -> tuple[list[Word], int]:
    """Words of a logical line, and how many of its physical lines they took: a comment ends with its own line."""
    lexer = _Lexer(source)
    words: list[Word] = []
    text = source.text
    while lexer.at < len(text):
        if text[lexer.at].isspace():
            lexer.at += 1
        elif text[lexer.at] == "#":
            return words, source.segment(lexer.at) + 1
        else:
            words.append(lexer.word())
    if source.dangling:
        place = source.place(len(text) - 1)
        raise place.error("the line ends with \\ but nothing follows", hint="remove the \\, or quote a path that ends with it")
    return words, len(source.segments)


def _check_expression(code: str, place: Place) -> None:
    """Find mistakes of syntax before anything runs."""
    if not code:
        raise place.error("the braces are empty", hint="write {name}, or {{}} for literal braces")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a SyntaxWarning about the user's own expression will come when it is evaluated
            compile(code, "<cell>", "eval")
    except SyntaxError as error:
        inside = (error.offset or 0) if error.lineno == 1 and place.text[place.column + 1 :].startswith(code) else 0
        place = Place(place.line, place.text, min(place.column + inside, len(place.text)))
        raise place.error(f"{{{code}}} is not a Python expression: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise place.error(f"this is not a Python expression: {error}") from error
