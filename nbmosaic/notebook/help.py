"""Pages that magics return: help of a stage, the table of stages, a plan, code, facts of the installation. Each has a text form."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from nbmosaic.notebook.registry import Registry
from nbmosaic.pipeline.signatures import Parameter, StageSpec
from nbmosaic.views.html import details_html, facts_html, fragment, table_html
from nbmosaic.views.markup import Markup, escape, join
from nbmosaic.views.text import facts_text

__all__ = ["CodePage", "HelpPage", "InfoTable", "Page", "StageTable", "example_of", "wrapped"]


class Page:
    """Something to read: plain text and HTML, neither of which ever raises."""

    def text(self) -> str:
        """Plain text."""
        return type(self).__name__

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        return Markup(f"<pre>{escape(self.text())}</pre>")

    def __repr__(self) -> str:
        try:
            return self.text()
        except Exception as error:  # noqa: BLE001 - a repr must not raise: the cell would fail
            return f"<{type(self).__name__}: {type(error).__name__}: {error}>"

    def _repr_html_(self) -> str:
        try:
            return str(fragment(self.html(), fallback=self.text(), label=type(self).__name__))
        except Exception:  # noqa: BLE001 - a repr must not raise: the cell would fail
            return f"<pre>{escape(repr(self))}</pre>"


@dataclass(frozen=True, repr=False)
class HelpPage(Page):
    """Help of a stage, or of the first line of a cell.

    Attributes
    ----------
    spec : StageSpec
        The stage.
    cell : bool
        Whether it is the first line of a cell.
    """

    spec: StageSpec
    cell: bool = False

    @property
    def usage(self) -> str:
        """The line, in short."""
        if self.cell:
            return "%%mosaic [NAME] [options]"
        inputs = [f"[{{{p.name.upper()}}}]" for p in self.spec.inputs]
        words = [
            f"{p.name.upper()} ..." if p.role == "words" else p.name.upper() if p.required else f"[{p.name.upper()}]"
            for p in self.spec.words
        ]
        return " ".join([self.spec.name, *inputs, *words, *(["[options]"] if self.spec.options else []), "[as NAME]"])

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, values, default and help of every parameter."""
        return [(_shown_name(p), _values(p), _default(p), p.help) for p in self.spec.parameters]

    def examples(self) -> list[tuple[str, str]]:
        """The same thing in three spellings."""
        if self.cell:
            return [("cell", "%%mosaic m17 --jobs 2\nimages raw/*.fits\nheader\nproject\noverlaps\nbackground\ncorrect\ncoadd")]
        return example_of(self.spec)

    def text(self) -> str:
        """Plain text."""
        parts = [self.usage, "", self.spec.summary]
        if self.spec.description:
            parts += ["", self.spec.description]
        for name, values, default, help_ in self.rows():
            parts += ["", "  " + "  ".join(filter(None, [name, values, f"(default {default})" if default else ""]))]
            parts += [f"      {help_}"] if help_ else []
        if self.spec.returns:
            parts += ["", f"gives {self._gives()}"]
        parts.append("")
        for label, code in self.examples():
            parts += [f"{label + ':':<8}{line}" if number == 0 else " " * 8 + line for number, line in enumerate(code.splitlines())]
        return "\n".join(parts)

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        summary = Markup(f'<p class="nbm-title"><code>{escape(self.usage)}</code></p><p>{escape(self.spec.summary)}</p>')
        more = Markup("".join(f"<p>{escape(_joined(p))}</p>" for p in self.spec.description.split("\n\n") if p))
        rows = [
            (Markup(f"<code>{escape(name)}</code>"), wrapped(values), default, wrapped(help_))
            for name, values, default, help_ in self.rows()
        ]
        table = table_html(
            rows,
            ["name", "values", "default", "what it is"],
            caption="options of %%mosaic" if self.cell else f"words and options of {self.spec.name}",
            limit=None,
        )
        gives = Markup(f"<p>gives {escape(self._gives())}</p>") if self.spec.returns else ""
        code = [(label, Markup(f'<pre style="margin:0">{escape(text)}</pre>')) for label, text in self.examples()]
        examples = table_html(code, ["in a", "write"], caption="example", limit=None)
        return join(summary, more, table if rows else "", gives, examples)

    def _gives(self) -> str:
        return " or ".join(cls.__name__ for cls in self.spec.returns)


@dataclass(frozen=True, repr=False)
class StageTable(Page):
    """All stages with one line of help each.

    Attributes
    ----------
    registry : Registry
        The stages.
    """

    registry: Registry

    def groups(self) -> list[tuple[str, list[StageSpec]]]:
        """Stages on the way to a mosaic, those of photometry, and those that read, write and show."""
        makers = [spec for spec in self.registry.values() if len(spec.flows) == 1]
        taken = {cls for spec in makers for parameter in spec.inputs for cls in parameter.takes.classes}
        titles = {
            "to the mosaic": [spec for spec in makers if spec.flows[0] in taken],  # each makes what another one goes on with
            "photometry": [spec for spec in makers if spec.flows[0] not in taken],
            "files and pictures": [spec for spec in self.registry.values() if spec not in makers],
        }
        return [(title, specs) for title, specs in titles.items() if specs]

    def text(self) -> str:
        """Plain text."""
        name = max(len(spec.name) for spec in self.registry.values())
        takes = max(len(_needs(spec)) for spec in self.registry.values())
        parts = [
            "\n".join([title, *(f"  {spec.name:<{name}}  {_needs(spec):<{takes}}  {spec.summary}" for spec in specs)])
            for title, specs in self.groups()
        ]
        return "\n\n".join(
            [*parts, "%mosaic help STAGE shows the options of a stage; one stage a line in a cell that begins with %%mosaic NAME"]
        )

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        parts: list[Markup] = []
        for title, specs in self.groups():
            rows = [(Markup(f"<code>{escape(spec.name)}</code>"), _needs(spec), wrapped(spec.summary)) for spec in specs]
            parts.append(table_html(rows, ["stage", "takes", "does"], caption=title, limit=None))
        hint = "<p><code>%mosaic help STAGE</code> shows the options of a stage; one stage a line in a cell that begins with "
        return join(*parts, Markup(f"{hint}<code>%%mosaic NAME</code></p>"))


@dataclass(frozen=True, repr=False)
class CodePage(Page):
    """Python code.

    Attributes
    ----------
    code : str
        The code.
    """

    code: str

    def text(self) -> str:
        """Plain text."""
        return self.code

    def __str__(self) -> str:
        return self.code

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        return Markup(f"<pre>{escape(self.code)}</pre>")


@dataclass(frozen=True, repr=False)
class InfoTable(Page):
    """Named facts in sections.

    Attributes
    ----------
    title : str
        What they are about.
    sections : tuple of (str, tuple of (str, str))
        Heading and facts.
    """

    title: str
    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

    def __getitem__(self, name: str) -> str:
        for _, facts in self.sections:
            for key, value in facts:
                if key == name:
                    return value
        raise KeyError(name)

    def text(self) -> str:
        """Plain text."""
        return "\n\n".join([self.title, *(f"{heading}\n{facts_text(facts)}" for heading, facts in self.sections)])

    def html(self) -> Markup:
        """HTML, without the surrounding fragment."""
        parts = [details_html(heading, facts_html(facts), open_=True) for heading, facts in self.sections]
        return join(Markup(f'<div class="nbm-title">{escape(self.title)}</div>'), *parts)


def example_of(spec: StageSpec) -> list[tuple[str, str]]:
    """One use of a stage as a line of a cell, as a line magic and in Python."""
    needed_options = {p.name: (p.flag, _needed_sample(p)) for p in spec.options if p.required}
    option = None if needed_options else next((p for p in spec.options if _sample(p) is not None), None)
    words = [_word_sample(p) for p in spec.words if p.role == "words" or p.required]
    cell, python_option = "", ""
    if option is not None:
        value = _sample(option)
        cell = (f"--no-{option.flag[2:]}" if value is False else option.flag) if isinstance(value, bool) else f"{option.flag} {value}"
        python_option = f"{option.name}={value!r}"
    if needed_options:
        cell = " ".join(f"{flag} {','.join(map(str, value))}" for flag, value in needed_options.values())
        python_option = ", ".join(f"{name}={value!r}" for name, (_, value) in needed_options.items())
    needed = [p.name for p in spec.inputs if p.required]
    typed = [str(word) for word in words]
    line = " ".join(filter(None, [spec.name, *typed, cell, "as new"]))
    magic = " ".join(filter(None, ["new = %mosaic", spec.name, *(f"{{{name}}}" for name in needed), *typed, cell]))
    python = f"new = nbmosaic.{spec.name}({', '.join(filter(None, [*needed, *map(repr, words), python_option]))})"
    return [("cell", line), ("line", magic), ("Python", python)]


def _sample(parameter: Parameter) -> Any:
    """A value other than the default, to show in an example; None if there is no telling one."""
    takes = parameter.takes
    if takes.choices:
        return next((choice for choice in takes.choices if choice != parameter.default), None)
    if takes.is_flag and isinstance(parameter.default, bool):
        return not parameter.default
    if takes.scalars[:1] in {(int,), (float,)} and isinstance(parameter.default, int | float) and parameter.default:
        return 2 * parameter.default
    return None


def _needed_sample(parameter: Parameter) -> tuple[float, ...]:
    """Numbers for an option that must be given: all that there are so far take a position on the sky and a radius."""
    return (53.1623, -27.7807, 2.0)[: len(parameter.takes.items) or None]


def _word_sample(parameter: Parameter) -> Any:
    if parameter.role == "words":
        return "raw/*.fits"
    scalars = parameter.takes.scalars
    return 60.0 if float in scalars else 2 if int in scalars else "m17.fits"


def _shown_name(parameter: Parameter) -> str:
    if parameter.role == "option":
        negated = bool in parameter.takes.scalars
        return f"{parameter.flag} / --no-{parameter.flag[2:]}" if negated else parameter.flag
    return {"input": f"{{{parameter.name.upper()}}}", "words": f"{parameter.name.upper()} ..."}.get(parameter.role, parameter.name.upper())


def _values(parameter: Parameter) -> str:
    if parameter.takes.is_flag:
        return ""
    return " or ".join(cls.__name__ for cls in parameter.takes.classes) if parameter.role == "input" else parameter.takes.shown


def _default(parameter: Parameter) -> str:
    if parameter.role == "input":
        return "the latest"
    if parameter.default is inspect.Parameter.empty:
        return ""
    if parameter.takes.is_flag and isinstance(parameter.default, bool):
        return "yes" if parameter.default else "no"
    return "none" if parameter.default in (None, (), []) else str(parameter.default)


def _needs(spec: StageSpec) -> str:
    texts = [(" or ".join(cls.__name__ for cls in parameter.takes.classes), parameter.required) for parameter in spec.inputs]
    return ", ".join(text if required else f"[{text}]" for text, required in texts)


def wrapped(text: str) -> Markup:
    """Long text of a table's cell that may break.

    Parameters
    ----------
    text : str
        The text; it is escaped.

    Returns
    -------
    Markup
        To be given to `table_html` as a cell.
    """
    return Markup(f'<span style="display:block;white-space:normal;max-width:42em;min-width:8em">{escape(text)}</span>')


def _joined(text: str) -> str:
    return " ".join(text.split())
