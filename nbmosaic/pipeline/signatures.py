"""What a stage needs and takes, read from the signature and the docstring of its function; nothing is declared twice."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from nbmosaic.pipeline.values import NamedClass, ProductClass, ValueType, annotations_of, value_type

__all__ = ["Parameter", "StageSpec", "closest"]

Role = Literal["input", "word", "words", "option"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a stage.

    Attributes
    ----------
    name : str
        Name in Python.
    role : {"input", "word", "words", "option"}
        A product that flows from the stages before, a word of the line, all remaining words, or ``--name``.
    takes : ValueType
        Its values.
    default : object
        Default value; `inspect.Parameter.empty` if there is none.
    help : str
        What the docstring says of it.
    """

    name: str
    role: Role
    takes: ValueType
    default: Any = inspect.Parameter.empty
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is inspect.Parameter.empty and self.role != "words"

    @property
    def flag(self) -> str:
        """The name as it is typed."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One stage.

    Attributes
    ----------
    name : str
        Name of the stage and of the function.
    function : callable
        The function.
    parameters : tuple of Parameter
        In the order of the signature.
    returns : tuple of type
        Classes of the result, one of which it is.
    summary : str
        First line of the docstring.
    description : str
        The paragraphs between the summary and the first section.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    returns: tuple[ProductClass, ...]
    summary: str = ""
    description: str = ""

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> StageSpec:
        """Read a function's signature and numpydoc docstring.

        Positional parameters annotated with a class of their own (``Frames``, ``Overlaps | None``) are inputs, other positional ones are
        words, keyword-only ones are options.
        """
        scope = getattr(inspect.unwrap(function), "__globals__", {})
        annotations = annotations_of(function)
        summary, description, helps = _read_docstring(inspect.getdoc(function) or "")
        parameters = []
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            takes = value_type(annotations.get(name, (Any,)), scope)
            parameters.append(
                Parameter(name=name, role=_role(parameter, takes), takes=takes, default=parameter.default, help=helps.get(name, ""))
            )
        returns = tuple(member for member in annotations.get("return", ()) if isinstance(member, type | NamedClass))
        return cls(
            name=function.__name__,
            function=function,
            parameters=tuple(parameters),
            returns=returns,
            summary=summary,
            description=description,
        )

    def role(self, *roles: Role) -> tuple[Parameter, ...]:
        """Parameters of these roles."""
        return tuple(parameter for parameter in self.parameters if parameter.role in roles)

    @property
    def inputs(self) -> tuple[Parameter, ...]:
        """Products that flow in."""
        return self.role("input")

    @property
    def words(self) -> tuple[Parameter, ...]:
        """Words of the line."""
        return self.role("word", "words")

    @property
    def many(self) -> bool:
        """Whether it takes any number of words."""
        return bool(self.role("words"))

    @property
    def options(self) -> tuple[Parameter, ...]:
        """Options."""
        return self.role("option")

    @property
    def flows(self) -> tuple[ProductClass, ...]:
        """Classes that flow on to later stages.

        A stage that takes any product and gives any product (save, show) is no maker of products: `save` after `show` saves what was shown.
        """
        general = {cls for cls in self.returns if isinstance(cls, type) and cls.__subclasses__()}
        return () if any(general & set(parameter.takes.classes) for parameter in self.inputs) else self.returns

    def find(self, name: str) -> tuple[Parameter, bool] | None:
        """Find the parameter that ``--name`` means, and whether it is negated."""
        known = {parameter.name: parameter for parameter in self.parameters if parameter.role != "words"}
        if name in known:
            return known[name], False
        if name.startswith("no_") and name[3:] in known and bool in known[name[3:]].takes.scalars:
            return known[name[3:]], True
        return None


def closest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word nearest to `word`, if one is near."""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(lower), 1, 0.6)
    return lower[near[0]] if near else None


def _role(parameter: inspect.Parameter, takes: ValueType) -> Role:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return "words"
    if parameter.kind is parameter.KEYWORD_ONLY:
        return "option"
    return "input" if any(not _is_pathlike(cls) for cls in takes.classes) else "word"


def _is_pathlike(cls: ProductClass) -> bool:
    return cls.__name__ == "PathLike"


def _read_docstring(text: str) -> tuple[str, str, dict[str, str]]:
    """Summary, description, and help of each parameter."""
    head, _, rest = re.sub(r"\n([A-Z][A-Za-z ]+)\n-{3,}\n", "\n\0\\1\n", "\n" + text).partition("\0")
    summary, _, description = head.strip().partition("\n\n")
    sections = {section.partition("\n")[0]: section.partition("\n")[2] for section in rest.split("\0")}
    helps: dict[str, str] = {}
    current: list[str] = []
    for line in sections.get("Parameters", "").splitlines():
        if line[:1].strip():
            current = [name.strip().lstrip("*") for name in line.partition(" : ")[0].split(",")]
            helps |= dict.fromkeys(current, "")
        else:
            helps |= {name: f"{helps[name]} {line.strip()}".strip() for name in current}
    summary, description = (text.replace("`", "") for text in (summary, description))
    return " ".join(summary.split()), description.strip(), {name: text.replace("`", "") for name, text in helps.items()}
