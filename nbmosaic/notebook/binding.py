"""Lines of a cell + signatures of the stages -> steps that can run; everything that can be checked before anything runs is checked here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from nbmosaic.notebook.cellspec import OptionWord, StageLine
from nbmosaic.notebook.cellwords import Expr, Place, Word
from nbmosaic.notebook.registry import Registry
from nbmosaic.notebook.scope import Late, convert, evaluate, names_in, python_source
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.pipeline.signatures import Parameter, StageSpec, closest
from nbmosaic.pipeline.values import ProductClass

if TYPE_CHECKING:
    from nbmosaic.notebook.how import CacheChoice, How
    from nbmosaic.pipeline.caching.cache import RunCache  # they import numpy, which %load_ext need not do
    from nbmosaic.pipeline.caching.plan import Plan

__all__ = ["Backend", "BoundStep", "bind_cell", "bind_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundStep(Step):
    """A step of a recipe that came from a line of a cell.

    Attributes
    ----------
    spec : StageSpec
        The stage.
    place : Place
        Where its name stands in the cell.
    """

    spec: StageSpec
    place: Place

    def resolve(self, named: Mapping[str, Any]) -> BoundStep:
        """Give the step with the values that had to wait for products of earlier lines.

        Parameters
        ----------
        named : mapping
            Products bound with ``as NAME`` so far.

        Raises
        ------
        CellError
            An expression fails, or its value is not what the stage takes.
        """

        def now(value: Any) -> Any:
            return value.value(named) if isinstance(value, Late) else value

        return replace(
            self,
            words=tuple(map(now, self.words)),
            options={name: now(value) for name, value in self.options.items()},
            inputs={name: now(value) for name, value in self.inputs.items()},
        )


class Backend(Protocol):
    """What a cell needs of the pipeline."""

    @property
    def registry(self) -> Registry:
        """The stages."""

    def run(self, recipe: Recipe, *, how: How) -> Any:
        """Carry out a recipe and return its run.

        Before each step it calls ``step.resolve(named)`` with the products bound so far. An `NbmosaicError` that leaves it holds the run
        as far as it came in ``context["run"]``, and ``context["line"]`` and ``context["text"]``; warnings are kept on the run.
        """

    def plan(self, recipe: Recipe, *, how: How) -> Plan:
        """Say what a recipe would do: what is cached, sizes and memory."""

    def cache(self, choice: CacheChoice) -> RunCache:
        """The cache that a configuration means."""


def bind_cell(
    lines: Sequence[StageLine],
    registry: Registry,
    namespace: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    magic: bool = False,
    made: Sequence[ProductClass] = (),
) -> tuple[BoundStep, ...]:
    """Bind the lines of a cell.

    Parameters
    ----------
    lines : sequence of StageLine
        The lines.
    registry : Registry
        The stages.
    namespace : mapping
        The user's names, for ``{expression}``.
    defaults : mapping
        Values of options that every stage gets which has such an option and is not given another value.
    magic : bool
        Whether this is a line magic: nothing flows, and messages say so.
    made : sequence of type
        Classes of products that an earlier run, which the cell goes on with, has made.

    Returns
    -------
    tuple of BoundStep

    Raises
    ------
    CellError
        Unknown stage, option, choice or name, a wrong value, or a stage without what it needs.
    """
    specs = [registry.find(line.stage, line.place) for line in lines]
    steps: list[BoundStep] = []
    named: dict[str, StageSpec] = {}
    for line, spec in zip(lines, specs, strict=True):
        binder = _Binder(spec, line.place, namespace, named)
        for token in binder.read(line.tokens):
            binder.word(token)
        for name, value in defaults.items():
            if any(option.name == name for option in spec.options):
                binder.options.setdefault(name, value)
        step = binder.step(line)
        _check_flow(step, steps, specs, registry, magic=magic, made=made)
        steps.append(step)
        if line.name is not None:
            named[line.name] = spec
    return tuple(steps)


def bind_options(tokens: Sequence[Word | OptionWord], spec: StageSpec, place: Place, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Bind the options of the first line of a cell.

    Raises
    ------
    CellError
        Any mistake.
    """
    binder = _Binder(spec, place, namespace, {}, title=f"%%{spec.name}")
    for token in binder.read(tokens):
        hint = "the first line is %%mosaic NAME --options; stages come on the lines below"
        raise token.place.error(f"%%{spec.name} takes one NAME, not also {str(token)!r}", hint=hint)
    return binder.options


class _Binder:
    """Collects the values of one line."""

    def __init__(
        self, spec: StageSpec, place: Place, namespace: Mapping[str, Any], named: Mapping[str, StageSpec], *, title: str | None = None
    ) -> None:
        self.spec = spec
        self.place = place
        self.namespace = namespace
        self.named = named
        self.title = title or spec.name
        self.words: list[Any] = []
        self.options: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self.source: dict[str | int, str] = {}
        self.given: dict[str, Place] = {}
        self.values: dict[Place, Any] = {}

    def evaluated(self, expr: Expr) -> Any:
        """Evaluate an expression, once: it may have effects."""
        if expr.place not in self.values:
            self.values[expr.place] = evaluate(expr, self.namespace)
        return self.values[expr.place]

    def read(self, tokens: Sequence[Word | OptionWord]) -> list[Word]:
        """Take the options; return the words."""
        rest: list[Word] = []
        index = 0
        while index < len(tokens):
            token = tokens[index]
            index += 1
            if isinstance(token, Word):
                rest.append(token)
            else:
                following = tokens[index] if index < len(tokens) else None
                index += self.option(token, following if isinstance(following, Word) else None)
        return rest

    def option(self, token: OptionWord, following: Word | None) -> int:
        """Take one option; return how many of the following words it used."""
        found = self.spec.find(token.name)
        if found is None:
            raise self.unknown(token)
        parameter, negated = found
        if parameter.name in self.given:
            hint = f"first in column {self.given[parameter.name].column + 1}; keep one of them"
            raise token.place.error(f"{parameter.flag} is given twice", hint=hint)
        self.given[parameter.name] = token.place
        if negated:
            if token.value is not None:
                raise token.value.place.error(f"{token.flag} takes no value", hint=f"write {parameter.flag}={token.value} instead")
            self.put(parameter, value=False)
            return 0
        if token.value is not None:
            self.put(parameter, word=token.value)
            return 0
        if parameter.takes.is_flag:
            self.put(parameter, value=True)
            return 0
        if bool in parameter.takes.scalars and (following is None or not self.fits(parameter, following)):
            self.put(parameter, value=True)
            return 0
        if following is None:
            raise token.place.error(f"{token.flag} needs a value", hint=f"it expects {parameter.takes.expects}")
        self.put(parameter, word=following)
        return 1

    def fits(self, parameter: Parameter, word: Word) -> bool:
        """Whether a word can be the value of an option that may also stand alone."""
        if word.literal is None:
            return True
        try:
            parameter.takes.from_text(word.literal)
        except ValueError:
            return False
        return True

    def unknown(self, token: OptionWord) -> Exception:
        """Say that there is no such option."""
        known = [parameter.name for parameter in self.spec.parameters if parameter.role != "words"]
        known += [f"no_{parameter.name}" for parameter in self.spec.parameters if bool in parameter.takes.scalars]
        near = closest(token.name, known)
        help_ = f"%mosaic help {self.spec.name}" if not self.title.startswith("%") else "%%mosaic?"
        hint = f"did you mean --{near.replace('_', '-')}?  options: {help_}" if near else f"options: {help_}"
        return token.place.error(f"{self.title} has no option {token.flag}", hint=hint)

    def word(self, word: Word) -> None:
        """Take one word."""
        if re.match(r"-[A-Za-z]", word.bare or ""):
            raise word.place.error(f"options begin with two dashes: -{word}", hint="quote a word that begins with a dash")
        late = self.late_classes(word)
        parameter = self.input_for(word, late) or self.free_word()
        if parameter is None:
            raise self.unexpected(word)
        self.given[parameter.name] = word.place
        if parameter.role != "input":
            self.put(parameter, word=word)
        elif word.expression is None and not parameter.takes.takes_text:
            # the bare name of a product, as in `show planes`
            assert word.literal is not None
            self.put(parameter, word=replace(word, parts=(Expr(word.literal, word.place),)))
        else:
            self.put(parameter, word=word)

    def late_classes(self, word: Word) -> tuple[ProductClass, ...] | None:
        """Classes of an expression that is the name of a product of this cell; empty if it depends on one; None if it does not."""
        whole = word.expression
        if whole is not None and whole.code in self.named:
            return self.named[whole.code].returns
        return () if self.named.keys() & names_in(word) else None

    def input_for(self, word: Word, late: tuple[ProductClass, ...] | None) -> Parameter | None:
        """Find the input that an object goes into."""
        free = [parameter for parameter in self.spec.inputs if parameter.name not in self.given]
        text = word.bare
        if word.expression is None:
            for parameter in free:
                if not parameter.takes.takes_text and self.free_word() is None and self.names_product(text, parameter):
                    return parameter
                if parameter.takes.takes_text:
                    return parameter
            return None
        if late is not None:
            return next((p for p in free if not late or p.takes.anything or p.takes.holds(late)), None)
        if not free:
            return None
        value = self.evaluated(word.expression)
        exact = next((p for p in free if p.takes.is_instance(value)), None)
        return exact or next((p for p in free if p.takes.anything), None) or (free[0] if self.free_word() is None else None)

    def names_product(self, text: str | None, parameter: Parameter) -> bool:
        """Whether a bare word is the name of a product of this cell, or of the user, that the input takes."""
        if text is None:
            return False
        return text in self.named or parameter.takes.is_instance(self.namespace.get(text))

    def free_word(self) -> Parameter | None:
        """Find the word parameter that comes next."""
        return next((p for p in self.spec.words if p.role == "words" or p.name not in self.given), None)

    def unexpected(self, word: Word) -> Exception:
        """Say that a word has no place."""
        text = str(word)
        if (near := closest(text, [option.name for option in self.spec.options])) is not None:
            hint = f"did you mean --{near.replace('_', '-')}?"
        elif text in self.namespace or text in self.named:
            hint = f"an object of Python goes in braces: {{{text}}}"
        elif word.expression is not None and self.spec.inputs:
            hint = "it takes " + " and ".join(parameter.takes.expects for parameter in self.spec.inputs)
        else:
            words = " ".join(parameter.name.upper() for parameter in self.spec.words)
            hint = f"it takes {f'the words {words}' if words else 'options only'}: %mosaic help {self.spec.name}"
        return word.place.error(f"{self.title} has no place for the word {text!r}", hint=hint)

    def put(self, parameter: Parameter, *, word: Word | None = None, value: Any = None) -> None:
        """Keep a value where it belongs."""
        label = parameter.flag if parameter.role == "option" else f"{parameter.name} of {self.title}"
        if word is not None:
            late = self.late_classes(word)
            if late is not None:
                if late and not (parameter.takes.anything or parameter.takes.holds(late)) and parameter.takes.classes:
                    kind = " or ".join(cls.__name__ for cls in late)
                    raise word.place.error(f"{label} cannot be {word}, {kind}: expects {parameter.takes.expects}")
                value = Late(word=word, takes=parameter.takes, label=label, namespace=self.namespace, classes=late)
            else:
                value = convert(word, parameter.takes, self.evaluated, label=label)
        code = python_source(word, parameter.takes) if word is not None else None
        if code is not None:
            self.source[len(self.words) if parameter.role in {"word", "words"} else parameter.name] = code
        if parameter.role == "input":
            self.inputs[parameter.name] = value
        elif parameter.role == "option" or self.out_of_order(parameter):
            self.options[parameter.name] = value
            if parameter.role != "option" and len(self.words) in self.source:
                self.source[parameter.name] = self.source.pop(len(self.words))
        else:
            self.words.append(value)

    def out_of_order(self, parameter: Parameter) -> bool:
        """Whether a word was given by name before the words that come before it."""
        if parameter.role == "words":
            return False
        return self.spec.words.index(parameter) != len(self.words)

    def step(self, line: StageLine) -> BoundStep:
        """Make the step."""
        for parameter in self.spec.parameters:
            if parameter.required and parameter.role in {"word", "option"} and parameter.name not in self.given:
                what = parameter.flag if parameter.role == "option" else parameter.name.upper()
                hint = f"it expects {parameter.takes.expects}; see %mosaic help {self.spec.name}"
                raise line.place.error(f"{self.spec.name} needs {what}", hint=hint)
        return BoundStep(
            stage=line.stage,
            words=tuple(self.words),
            options=self.options,
            inputs=self.inputs,
            name=line.name,
            line=line.place.line,
            text=line.place.text,
            spec=self.spec,
            place=line.place,
            source=self.source,
        )


def _check_flow(
    step: BoundStep,
    before: Sequence[BoundStep],
    specs: Sequence[StageSpec],
    registry: Registry,
    *,
    magic: bool,
    made: Sequence[ProductClass],
) -> None:
    """Every input must be given or made before."""
    for parameter in step.spec.inputs:
        flows = [*(s.spec.flows for s in before), made]
        if parameter.name in step.inputs or not parameter.required or any(map(parameter.takes.holds, flows)):
            continue
        makers = registry.makers(parameter.takes)
        wanted = " or ".join(cls.__name__ for cls in makers) or f"a {parameter.name}"
        later = next((s.name for s in specs[len(before) + 1 :] if s.name in makers.values()), None)
        if magic:
            hint = f"give it in braces: %mosaic {step.stage} {{NAME}}"
        elif later is not None:
            hint = f"move the line `{later}` up, before it"
        elif makers:
            hint = f"add a line `{list(makers.values())[-1]}` before it"
        else:
            hint = f"add a line that makes one before it, or give one in braces: {step.stage} {{NAME}}"
        raise step.place.error(f"{step.stage} needs {wanted}", hint=hint)
