"""What a parameter takes, read from its annotation, and how words of a cell become such values."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["NamedClass", "ProductClass", "ValueType", "annotations_of", "members_of", "value_type", "with_article"]

_SCALARS: tuple[type, ...] = (bool, int, float, str, Path)
_YES = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


@dataclass(frozen=True, slots=True)
class NamedClass:
    """A class known by its name only, because its module is imported for type checking alone (pandas, astropy)."""

    name: str

    @property
    def __name__(self) -> str:
        """Last part of the name."""
        return self.name.rpartition(".")[2]

    def holds(self, cls: type) -> bool:
        """Whether `cls` is this class or derives from it."""
        return any(base.__name__ == self.__name__ for base in cls.__mro__)


ProductClass = type | NamedClass


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueType:
    """The values that a parameter takes.

    Attributes
    ----------
    scalars : tuple of type
        Some of bool, int, float, str, Path, in the order in which a word is tried.
    choices : tuple
        Values of a `Literal`.
    items : tuple of ValueType
        Types of the items of a sequence; empty: no sequence.
    fixed : bool
        Whether the sequence has one item of each of `items` (else any number of the first).
    maker : type
        list or tuple.
    none : bool
        Whether None is a value.
    classes : tuple
        Classes that only an object in braces can be of.
    anything : bool
        Whether any object will do.
    """

    scalars: tuple[type, ...] = ()
    choices: tuple[Any, ...] = ()
    items: tuple[ValueType, ...] = ()
    fixed: bool = False
    maker: type = tuple
    none: bool = False
    classes: tuple[ProductClass, ...] = ()
    anything: bool = False

    @property
    def takes_text(self) -> bool:
        """Whether a plain word can be a value."""
        return bool(self.scalars or self.choices or self.items or (self.anything and not self.classes))

    @property
    def is_flag(self) -> bool:
        """Whether ``--name`` and ``--no-name`` say it all."""
        return self.scalars == (bool,) and not self.choices and not self.items and not self.classes and not self.anything

    @property
    def expects(self) -> str:
        """What is expected, in words."""
        words = {bool: "yes or no", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
        texts = [words[kind] for kind in self.scalars if not (kind is int and float in self.scalars)]
        if self.choices:
            texts.insert(0, "one of " + ", ".join(map(str, self.choices)))
        if self.items and self.fixed:
            texts.append(f"{len(self.items)} values separated by commas ({', '.join(item.expects for item in self.items)})")
        elif self.items:
            each = "" if self.items[0].anything else f" (each {self.items[0].expects})"
            texts.append(f"values separated by commas{each}")
        texts += [f"{with_article(cls.__name__)} as {{NAME}}" for cls in self.classes]
        if self.anything:
            texts.append("an object as {NAME}" if self.classes else "any value")
        if self.none:
            texts.append("none")
        return " or ".join(texts) or "nothing"

    @property
    def shown(self) -> str:
        """Short form for a page of help."""
        texts = [str(choice) for choice in self.choices]
        texts += ["yes/no" if kind is bool else "path" if kind is Path else kind.__name__ for kind in self.scalars]
        if self.items and self.fixed:
            texts.append(",".join(item.shown for item in self.items))
        elif self.items and texts and self.items[0].scalars == self.scalars:
            texts[-1] += ",…"
        elif self.items:
            texts.append(f"{self.items[0].shown},…")
        texts += ["{" + cls.__name__ + "}" for cls in self.classes]
        if self.anything:
            texts.append("{object}" if self.classes else "any")
        return " | ".join(texts) + (" | none" if self.none else "")

    def from_text(self, text: str, separators: str = ",:") -> Any:
        """Value of a word.

        Raises
        ------
        ValueError
            The word is no such value.
        """
        for choice in self.choices:
            if str(choice) == text:
                return choice
        if self.none and text.lower() == "none":
            return None
        if self.items and (separators[0] in text or not self.scalars) and not (self.scalars and text.strip(separators[0]) == ""):
            return self._sequence([piece.strip() for piece in text.split(separators[0])] if text else [], separators)
        for kind in self.scalars:
            try:
                return _YES[text.lower()] if kind is bool else kind(text)
            except (ValueError, KeyError):
                continue
        if self.anything and not self.classes:
            return text
        raise ValueError(text)

    def _sequence(self, pieces: list[Any], separators: str) -> Any:
        if self.fixed and len(pieces) != len(self.items):
            raise ValueError(pieces)
        types_ = self.items if self.fixed else self.items * len(pieces)
        inner = separators[1:] or separators
        convert = [t.from_text(p, inner) if isinstance(p, str) else t.from_object(p) for t, p in zip(types_, pieces, strict=True)]
        return self.maker(convert)

    def from_object(self, value: Any) -> Any:
        """Value of an object that came from braces.

        Raises
        ------
        ValueError
            The object is no such value.
        """
        if self.anything or (value is None and self.none) or self.is_instance(value):
            return value
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            value = value.item()  # a number of numpy
        if self.choices and isinstance(value, str | int) and value in self.choices:
            return value
        for kind in self.scalars:
            if kind is Path and isinstance(value, str | os.PathLike):
                return Path(value)
            if kind is str and isinstance(value, os.PathLike):
                return os.fspath(value)
            if isinstance(value, bool) and kind is not bool:
                continue
            if isinstance(value, (int, float) if kind is float else kind):
                return value
        if self.items:
            many = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
            return self._sequence(list(value) if many else [value], ",:")
        raise ValueError(value)

    def is_instance(self, value: Any) -> bool:
        """Whether an object is of one of `classes`."""
        return any(cls.holds(type(value)) if isinstance(cls, NamedClass) else _isinstance(value, cls) for cls in self.classes)

    def holds(self, classes: Iterable[ProductClass]) -> bool:
        """Whether an object of one of `classes` can be of one of ours."""
        return any(_subclass(cls, mine) for cls in classes for mine in self.classes)


def with_article(name: str) -> str:
    """Put an article before the name of a class; ``Frames`` and ``Projected`` stay as they are.

    Examples
    --------
    >>> with_article("int"), with_article("Grid"), with_article("Frames")
    ('an int', 'a Grid', 'Frames')
    """
    if name[:1].isupper() and name.endswith(("s", "ed")):
        return name
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def _isinstance(value: Any, cls: type) -> bool:
    try:
        return isinstance(value, cls)
    except TypeError:  # a protocol that cannot be checked: trust the user
        return True


def _subclass(cls: ProductClass, mine: ProductClass) -> bool:
    if isinstance(cls, NamedClass):
        return cls.__name__ == mine.__name__
    if isinstance(mine, NamedClass):
        return mine.holds(cls)
    try:
        return issubclass(cls, mine)
    except TypeError:  # a protocol that cannot be checked says nothing about what flows
        return False


def annotations_of(function: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Members of the annotation of every parameter (and ``"return"``); ``X | None`` gives ``(X, None)``.

    Names that only a type checker can see become a `NamedClass`, so that no module is imported for the sake of a signature.
    """
    function = inspect.unwrap(function)
    scope = getattr(function, "__globals__", {})
    return {name: tuple(members_of(annotation, scope)) for name, annotation in getattr(function, "__annotations__", {}).items()}


def members_of(annotation: Any, scope: Mapping[str, Any]) -> list[Any]:
    """Members of a union, in their order."""
    if isinstance(annotation, str):
        return _members_of_source(ast.parse(annotation.strip(), mode="eval").body, scope)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return [member for part in typing.get_args(annotation) for member in members_of(part, scope)]
    if typing.get_origin(annotation) is typing.Annotated:
        return members_of(typing.get_args(annotation)[0], scope)
    return [None if annotation is type(None) else annotation]


def _members_of_source(node: ast.expr, scope: Mapping[str, Any]) -> list[Any]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _members_of_source(node.left, scope) + _members_of_source(node.right, scope)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return members_of(node.value, scope)
    try:
        value = eval(compile(ast.Expression(node), "<annotation>", "eval"), dict(scope))  # noqa: S307 - our own source code
    except (NameError, AttributeError):
        return [NamedClass(ast.unparse(node))]
    return members_of(value, scope) if not isinstance(value, str) else [NamedClass(value)]


def value_type(members: Iterable[Any], scope: Mapping[str, Any] | None = None) -> ValueType:
    """Make a `ValueType` of the members of an annotation.

    Examples
    --------
    >>> value_type([int, None]).expects
    'a whole number or none'
    """
    scope = scope or {}
    scalars: set[type] = set()
    choices: list[Any] = []
    classes: list[ProductClass] = []
    items: tuple[ValueType, ...] = ()
    fixed, none, anything = False, False, False
    maker: type = tuple
    for member in members:
        origin = typing.get_origin(member)
        if member is None:
            none = True
        elif member is Any or member is object or member is inspect.Parameter.empty or isinstance(member, typing.TypeVar):
            anything = True
        elif origin is Literal:
            none = none or None in typing.get_args(member)
            choices += [choice for choice in typing.get_args(member) if choice is not None]
        elif member in _SCALARS:
            scalars.add(member)
        elif member is os.PathLike or origin is os.PathLike:
            scalars.add(str)
            classes.append(os.PathLike)
        elif member in _SEQUENCES or origin in _SEQUENCES:
            args = typing.get_args(member)
            maker = list if list in {origin, member} else tuple
            fixed = (origin is tuple or member is tuple) and bool(args) and args[-1] is not Ellipsis
            inner = [arg for arg in args if arg is not Ellipsis] or [Any]
            items = tuple(value_type(members_of(arg, scope), scope) for arg in inner)
        elif isinstance(origin, type):
            classes.append(origin)  # Callable[...], Mapping[...]
        elif isinstance(member, type | NamedClass):
            classes.append(member)
        else:
            anything = True
    if os.PathLike in classes and not {str, Path} - scalars:
        classes.remove(os.PathLike)
    ordered = tuple(kind for kind in _SCALARS if kind in scalars)
    return ValueType(
        scalars=ordered, choices=tuple(choices), items=items, fixed=fixed, maker=maker, none=none, classes=tuple(classes), anything=anything
    )
