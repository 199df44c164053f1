"""Expressions of a cell: evaluated in the user's namespace, at once or, where they need a product of the same cell, later."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbmosaic.notebook.cellwords import Expr, Word
from nbmosaic.pipeline.signatures import closest
from nbmosaic.pipeline.values import ProductClass, ValueType, with_article

__all__ = ["Late", "convert", "evaluate", "names_in", "python_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A value that is known only when an earlier stage of the same cell has run.

    Attributes
    ----------
    word : Word
        What was typed.
    takes : ValueType
        What is expected.
    label : str
        What the value is for, in messages.
    namespace : mapping
        The user's names.
    classes : tuple
        What it will be, if that is known.
    """

    word: Word
    takes: ValueType
    label: str
    namespace: Mapping[str, Any] = field(repr=False)
    classes: tuple[ProductClass, ...] = ()

    def value(self, named: Mapping[str, Any]) -> Any:
        """Give the value, with the products that were named so far.

        Raises
        ------
        CellError
            The expression fails or is not what is expected.
        """
        names = {**self.namespace, **named}
        return convert(self.word, self.takes, lambda expr: evaluate(expr, names), label=self.label)


def names_in(word: Word) -> set[str]:
    """Names that the expressions of a word look up."""
    return {
        node.id
        for part in word.parts
        if isinstance(part, Expr)
        for node in ast.walk(ast.parse(part.code, mode="eval"))
        if isinstance(node, ast.Name)
    }


def evaluate(expr: Expr, namespace: Mapping[str, Any]) -> Any:
    """Evaluate an expression that the user wrote in his own cell.

    Raises
    ------
    CellError
        It fails; an unknown name comes with the nearest known one.
    """
    try:
        # one dictionary, not globals and locals: names inside comprehensions are looked up in the globals only
        return eval(compile(expr.code, "<cell>", "eval"), {"__builtins__": builtins, **namespace})  # noqa: S307 - the user's own cell
    except NameError as error:
        name = error.name or ""
        near = closest(name, [known for known in namespace if not known.startswith("_")])
        hint = f"did you mean {near}?" if near else "assign it in an earlier cell, or write {{ and }} for literal braces"
        raise expr.place.error(f"the name {name!r} is not defined", hint=hint) from error
    except Exception as error:
        text = " ".join(str(error).split())
        raise expr.place.error(f"{{{expr.code}}} failed: {type(error).__name__}: {text}") from error


def convert(word: Word, takes: ValueType, evaluated: Callable[[Expr], Any], *, label: str) -> Any:
    """Give the value of a word: an object if it is one expression, else its text.

    Parameters
    ----------
    word : Word
        The word.
    takes : ValueType
        What is expected.
    evaluated : callable
        Gives the value of an expression.
    label : str
        What the value is for, in messages.

    Raises
    ------
    CellError
        An expression fails, or the value is not what is expected.
    """
    whole = word.expression
    if whole is not None:
        value = evaluated(whole)
        try:
            return takes.from_object(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise word.place.error(
                f"{label} cannot be {{{whole.code}}}, {with_article(type(value).__name__)}: expects {takes.expects}"
            ) from error
    text = "".join(part if isinstance(part, str) else str(evaluated(part)) for part in word.parts)
    try:
        return takes.from_text(text)
    except (ValueError, TypeError, OverflowError) as error:
        near = closest(text, map(str, takes.choices))
        hint = f"did you mean {near}?" if near else None
        raise word.place.error(f"{label} cannot be {text!r}: expects {takes.expects}", hint=hint) from error


def python_source(word: Word, takes: ValueType) -> str | None:
    """Python code of a word with expressions; None for plain text, whose value says it all."""
    if word.expression is not None:
        return word.expression.code
    if word.literal is not None:
        return None
    pieces = [repr(part) if isinstance(part, str) else f"str({part.code})" for part in word.parts]
    simple = all(isinstance(part, str) or part.code.isidentifier() for part in word.parts)
    if simple:
        text = "".join(part.replace("{", "{{").replace("}", "}}") if isinstance(part, str) else "\0" for part in word.parts)
        source = "f" + repr(text)
        for part in word.parts:
            if not isinstance(part, str):
                source = source.replace(repr("\0")[1:-1], "{" + part.code + "}", 1)
    else:
        source = " + ".join(pieces)
    numbers = [kind.__name__ for kind in takes.scalars if kind in {int, float}]
    return f"{numbers[0]}({source})" if numbers and len(takes.scalars) == 1 else source
