"""HTML fragments for notebooks: tables, the table of a run, pictures, facts.

Each fragment is one ``<div class="nbm">`` with its own scoped style and no script, so it keeps its look when several stand on a page and
works in a notebook that is not trusted.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbmosaic.views.markup import Markup, escape, join
from nbmosaic.views.numbers import column_texts, count_text, duration_text, elide, is_missing, is_number, number_text
from nbmosaic.views.rows import StageRow, grouped_warnings
from nbmosaic.views.style import FRAGMENT_CSS
from nbmosaic.views.text import run_headline

__all__ = [
    "details_html",
    "error_html",
    "facts_html",
    "fragment",
    "frame_html",
    "image_tag",
    "note_html",
    "run_html",
    "table_html",
    "title_html",
    "warnings_html",
]

# Symbols as well as words, so that no state is told by its colour alone; U+FE0E keeps fonts from making emoji of them.
MARKS = {"ran": "✓\ufe0e", "cached": "≡", "failed": "✕\ufe0e", "not run": "·"}
MAX_WARNINGS = 50


def fragment(*parts: object, fallback: str = "", label: str = "") -> Markup:
    """Wrap parts into one fragment with its style.

    Parameters
    ----------
    *parts : Markup or str
        Contents; plain strings are escaped, None left out.
    fallback : str, optional
        The same in plain text, shown only where a front end strips the style (untrusted notebooks, some viewers).
    label : str, optional
        Name of the fragment for screen readers.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> str(fragment("a < b")).endswith('<div class="nbm-body">a &lt; b</div></div>')
    True
    """
    aria = f' role="group" aria-label="{escape(label)}"' if label else ""
    plain = hide = ""
    if fallback:
        # The pair is xarray's device: the inline style hides the body, and only the style sheet brings it back (and hides the text).
        plain, hide = f'<pre class="nbm-fallback">{escape(fallback)}</pre>', ' style="display:none"'
    return Markup(f'<div class="nbm"{aria}><style>{FRAGMENT_CSS}</style>{plain}<div class="nbm-body"{hide}>{join(*parts)}</div></div>')


def table_html(
    rows: Sequence[Sequence[Any] | Mapping[str, Any]],
    columns: Sequence[str],
    *,
    caption: str = "",
    units: Mapping[str, str] | None = None,
    limit: int | None = 10,
    total: int | None = None,
    row_header: bool = True,
    width: int = 48,
) -> Markup:
    """Make a table, without the surrounding fragment.

    Parameters
    ----------
    rows : sequence of sequence or of mapping
        Values, in the order of `columns` or by their names. `Markup` cells are taken as they are, all others escaped.
    columns : sequence of str
        Headings.
    caption : str, optional
        Caption; always give one where the table stands alone.
    units : mapping, optional
        Unit of a column, shown under its heading.
    limit : int, optional
        Rows shown at most; the rest is counted in the last line. None shows all.
    total : int, optional
        Number of rows there are, where `rows` is only their beginning.
    row_header : bool
        Whether the first column names the row.
    width : int
        Characters of a cell; longer text loses its middle and keeps the whole in its tooltip.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> "… 2 more rows" in table_html([[1], [2], [3]], ["n"], limit=1)
    True
    """
    n_rows = len(rows) if total is None else max(total, len(rows))
    shown = [_cells(row, columns) for row in (rows if limit is None else rows[: max(limit, 0)])]
    numeric = [_is_numeric([row[i] for row in shown]) for i in range(len(columns))]
    texts = [column_texts([row[i] for row in shown]) for i in range(len(columns))]
    out = ['<div class="nbm-scroll"><table class="nbm-table">']
    if caption:
        out.append(f"<caption>{escape(caption)}</caption>")
    out.append("<thead><tr>")
    out.extend(_heading(name, (units or {}).get(name, ""), number) for name, number in zip(columns, numeric, strict=True))
    out.append("</tr></thead><tbody>")
    for i, row in enumerate(shown):
        cells = [_cell(value, texts[j][i], number=numeric[j], header=row_header and j == 0, width=width) for j, value in enumerate(row)]
        out.append(f"<tr>{''.join(cells)}</tr>")
    out.append("</tbody>")
    rest = n_rows - len(shown)
    if rest or not n_rows:
        note = f"… {count_text(rest, 'more row')}" if rest else "no rows"
        out.append(f'<tfoot><tr><td colspan="{max(len(columns), 1)}">{note}</td></tr></tfoot>')
    out.append("</table></div>")
    return Markup("".join(out))


def _cells(row: Sequence[Any] | Mapping[str, Any], columns: Sequence[str]) -> list[Any]:
    """Values of a row in the order of the columns, padded or cut to their number."""
    values = [row.get(name) for name in columns] if isinstance(row, Mapping) else list(row)
    return (values + [None] * len(columns))[: len(columns)]


def _is_numeric(values: Sequence[Any]) -> bool:
    """Whether a column holds numbers and nothing else (missing values aside)."""
    present = [v for v in values if not is_missing(v)]
    return bool(present) and all(is_number(v) for v in present)


def _heading(name: str, unit: str, number: bool) -> str:  # noqa: FBT001 - private, one caller
    """One heading cell."""
    css = ' class="nbm-num"' if number else ""
    below = f'<br><span class="nbm-sub">{escape(unit)}</span>' if unit else ""
    return f'<th scope="col"{css}>{escape(name)}{below}</th>'


def _cell(value: Any, text: str, *, number: bool, header: bool, width: int) -> str:
    """One cell of the body."""
    if isinstance(value, Markup):
        inner, title = value, ""
    else:
        short = elide(text, width)
        inner, title = escape(short), f' title="{escape(text)}"' if short != text else ""
    css = ' class="nbm-num"' if number else ""
    return f'<th scope="row"{css}{title}>{inner}</th>' if header else f"<td{css}{title}>{inner}</td>"


def frame_html(
    df: Any,
    *,
    limit: int | None = 10,
    title: str = "",
    columns: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
) -> Markup:
    """Make a table of a pandas DataFrame, without the surrounding fragment.

    Parameters
    ----------
    df : pandas.DataFrame
        The table. Its index is shown as the first column.
    limit : int, optional
        Rows shown at most. Only these are read, so a table of any length is quick.
    title : str
        Caption; the number of rows and columns is added.
    columns : sequence of str, optional
        Columns shown, those that exist (default: all).
    units : mapping, optional
        Unit of a column.

    Returns
    -------
    Markup
        HTML.
    """
    names = [c for c in (df.columns if columns is None else columns) if c in df.columns]
    head = df[names] if limit is None else df[names].iloc[: max(limit, 0)]
    size = f"{count_text(len(df), 'row')}, {count_text(len(df.columns), 'column')}"
    caption = f"{title} ({size})" if title else size
    rows = [[index, *values] for index, values in zip(head.index, head.itertuples(index=False, name=None), strict=True)]
    heading = str(df.index.name) if df.index.name is not None else "row"
    return table_html(rows, [heading, *map(str, names)], caption=caption, units=units, limit=None, total=len(df))


def facts_html(facts: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Markup:
    """Make a list of named values; those that are None or empty are left out.

    Examples
    --------
    >>> facts_html({"shape": "812 x 640 px"})
    '<dl class="nbm-facts"><dt>shape</dt><dd>812 x 640 px</dd></dl>'
    """
    pairs = facts.items() if isinstance(facts, Mapping) else facts
    rows = [f"<dt>{escape(k)}</dt><dd>{escape(_fact(v))}</dd>" for k, v in pairs if v is not None and v != ""]
    return Markup(f'<dl class="nbm-facts">{"".join(rows)}</dl>' if rows else "")


def _fact(value: Any) -> Any:
    """Value of a fact as it is shown."""
    return number_text(value) if is_number(value) else value


def image_tag(png: bytes, alt: str) -> Markup:
    """Embed a PNG picture.

    Parameters
    ----------
    png : bytes
        The file's bytes; its size in pixels is read from them, so that the page does not jump while it loads.
    alt : str
        What the picture shows, in words. Never empty: a picture without words is lost to those who cannot see it.

    Returns
    -------
    Markup
        HTML.

    Raises
    ------
    ValueError
        If `alt` is empty or `png` is no PNG.
    """
    if not alt.strip():
        raise ValueError("picture without alt text: say in words what it shows")
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise ValueError("picture is not a PNG: make it with figure_png")
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    data = base64.b64encode(png).decode("ascii")
    return Markup(f'<img class="nbm-picture" width="{width}" height="{height}" alt="{escape(alt)}" src="data:image/png;base64,{data}">')


def details_html(summary: str, *parts: object, open_: bool = False) -> Markup:
    """Fold parts behind a line that opens them (no script needed)."""
    state = " open" if open_ else ""
    return Markup(f'<details class="nbm-more"{state}><summary>{escape(summary)}</summary>{join(*parts)}</details>')


def title_html(text: str) -> Markup:
    """Line above a table that may be wider than it (a caption is as wide as its table)."""
    return Markup(f'<div class="nbm-title">{escape(text)}</div>' if text else "")


def note_html(text: str) -> Markup:
    """One line in a quieter tone, below a table."""
    return Markup(f'<div class="nbm-sub">{escape(text)}</div>' if text else "")


def error_html(message: str) -> Markup:
    """One error message, set off from the rest."""
    return Markup(f'<div class="nbm-error" role="alert">{escape(message)}</div>' if message else "")


def warnings_html(warnings: Iterable[object]) -> Markup:
    """Fold warnings behind their count; equal ones are shown once with their number. Empty if there are none."""
    groups = grouped_warnings(warnings)
    if not groups:
        return Markup("")
    items = [f"<li>{escape(text)}{f' ({n} times)' if n > 1 else ''}</li>" for text, n in groups[:MAX_WARNINGS]]
    if len(groups) > MAX_WARNINGS:
        items.append(f"<li>… {len(groups) - MAX_WARNINGS} more</li>")
    return details_html(count_text(sum(n for _, n in groups), "warning"), Markup(f"<ul>{''.join(items)}</ul>"))


def run_html(
    name: str,
    rows: Sequence[StageRow],
    *,
    picture_png: bytes | None = None,
    alt: str = "",
    facts: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
    warnings: Iterable[object] = (),
    error: str = "",
    fallback: str = "",
) -> Markup:
    """Make the fragment of a run: one row a stage, the quicklook, the warnings.

    Parameters
    ----------
    name : str
        Name that the user gave the run; may be empty.
    rows : sequence of StageRow
        The stages in their order.
    picture_png : bytes, optional
        Quicklook of the mosaic.
    alt : str
        Alt text of the quicklook.
    facts : mapping or iterable of pairs, optional
        Named values shown above the picture.
    warnings : iterable
        Messages of all stages.
    error : str
        Message of the error that ended the run; messages of failed rows are shown in any case.
    fallback : str
        The text form of the run.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> "not run" in run_html("m51", [StageRow(stage="coadd")])
    True
    """
    warned = list(warnings)
    body = "".join(_stage_row(row) for row in rows) or '<tr><td colspan="5">no stages</td></tr>'
    head = "".join(f'<th scope="col"{css}>{t}</th>' for t, css in _STAGE_HEADINGS)
    table = Markup(
        f'<div class="nbm-scroll"><table class="nbm-table"><caption>{escape(run_headline(name, rows))}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    messages = [f"{row.stage}: {row.detail}" for row in rows if row.state == "failed" and row.detail and row.detail != error]
    errors = join(*(error_html(m) for m in [*messages, error] if m))
    picture = image_tag(picture_png, alt or "quicklook of the mosaic") if picture_png else None
    return fragment(table, errors, facts_html(facts), picture, warnings_html(warned), fallback=fallback, label=f"run {name}".strip())


_STAGE_HEADINGS = (("stage", ""), ("state", ""), ("in → out", ""), ("result", ""), ("time", ' class="nbm-num"'))


def _stage_row(row: StageRow) -> str:
    """One stage as a table row."""
    flow = join(*(part for part in (row.inputs, row.outputs) if part), between=" → ")
    mark = f'<span class="nbm-mark" aria-hidden="true">{MARKS.get(row.state, "?")}</span> {escape(row.state)}'
    css = {"failed": ' class="nbm-failed"', "not run": ' class="nbm-idle"'}.get(row.state, "")
    return (
        f'<tr{css}><th scope="row">{escape(row.stage)}</th><td>{mark}</td><td>{flow}</td>'
        f'<td class="nbm-wrap">{escape(row.key)}</td><td class="nbm-num">{escape(duration_text(row.seconds))}</td></tr>'
    )
