"""Plain-text forms of tables and runs, for terminals, logs and screen readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbmosaic.views.numbers import column_texts, count_text, duration_text, elide, is_missing, is_number, number_text
from nbmosaic.views.rows import StageRow, grouped_warnings

__all__ = ["facts_text", "run_headline", "run_text", "table_text"]

MAX_WARNINGS = 3


def table_text(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    *,
    title: str = "",
    limit: int | None = 10,
    total: int | None = None,
    max_width: int = 100,
) -> str:
    """Lay out a table in columns of characters.

    Parameters
    ----------
    rows : sequence of sequence
        Values, one for each column.
    columns : sequence of str
        Headings.
    title : str, optional
        Line above the table.
    limit : int, optional
        Rows shown at most; the rest is counted in the last line. None shows all.
    total : int, optional
        Number of rows there are, where `rows` is only their beginning.
    max_width : int
        Characters of a line at most; columns that do not fit are left out and counted in the last line.

    Returns
    -------
    str
        Lines without a line break at the end.

    Examples
    --------
    >>> print(table_text([["a", 1], ["b", 12]], ["id", "n"]))
    id   n
    a    1
    b   12
    """
    n_rows = len(rows) if total is None else max(total, len(rows))
    shown = [list(row) for row in (rows if limit is None else rows[: max(limit, 0)])]
    laid: list[list[str]] = []
    used = 0
    for i, name in enumerate(columns):
        values = [row[i] for row in shown]
        texts = [_one_line(t) for t in [name, *column_texts(values)]]
        width = max(map(len, texts))
        if laid and used + 2 + width > max_width:
            break
        used += width + (2 if laid else 0)
        present = [v for v in values if not is_missing(v)]
        number = bool(present) and all(is_number(v) for v in present)
        laid.append([t.rjust(width) if number else t.ljust(width) for t in texts])
    lines = [title] if title else []
    lines += ["  ".join(cells).rstrip() for cells in zip(*laid, strict=True)]
    left = []
    if n_rows > len(shown):
        left.append(count_text(n_rows - len(shown), "more row"))
    if len(columns) > len(laid):
        left.append(count_text(len(columns) - len(laid), "more column"))
    if left:
        lines.append(f"... {', '.join(left)}")
    if not n_rows:
        lines.append("(no rows)")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Text without line breaks and control characters, cut to a sensible width."""
    return elide("".join(c if c.isprintable() else " " for c in text))


def facts_text(facts: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """Lay out named values, one a line; those that are None or empty are left out.

    Examples
    --------
    >>> print(facts_text({"shape": "812 x 640", "unit": "", "frames": 16}))
    shape:  812 x 640
    frames: 16
    """
    pairs = [(k, v) for k, v in (facts.items() if isinstance(facts, Mapping) else facts) if v is not None and v != ""]
    width = max((len(k) for k, _ in pairs), default=0) + 1
    return "\n".join(f"{k + ':':<{width}} {number_text(v)}" for k, v in pairs)


def run_headline(name: str, rows: Sequence[StageRow]) -> str:
    """One line that says what became of a run.

    Examples
    --------
    >>> run_headline("m51", [StageRow(stage="images", state="ran", seconds=0.5)])
    'Run m51: 1 stage in 0.50 s'
    """
    start = f"Run {name}" if name else "Run"
    seconds = sum(row.seconds or 0.0 for row in rows)
    stopped = next((row.stage for row in rows if row.state == "failed"), None)
    if stopped is not None:
        return f"{start}: stopped at {stopped} after {duration_text(seconds)}"
    done = sum(row.state in {"ran", "cached"} for row in rows)
    if done < len(rows):
        return f"{start}: {done} of {count_text(len(rows), 'stage')} done in {duration_text(seconds)}"
    return f"{start}: {count_text(len(rows), 'stage')} in {duration_text(seconds)}"


def run_text(
    name: str,
    rows: Sequence[StageRow],
    *,
    facts: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
    warnings: Iterable[object] = (),
    error: str = "",
    max_width: int = 110,
) -> str:
    """Lay out a run: a line a stage with ``ran``, ``cached``, ``failed`` or ``not run``, then facts, errors and warnings.

    Parameters
    ----------
    name : str
        Name that the user gave the run; may be empty.
    rows : sequence of StageRow
        The stages in their order.
    facts : mapping or iterable of pairs, optional
        Named values.
    warnings : iterable
        Messages; the first three different ones are shown, all are counted.
    error : str
        Message of the error that ended the run.
    max_width : int
        Characters of a line at most (the result of a stage is cut).

    Returns
    -------
    str
        Lines without a line break at the end.

    Examples
    --------
    >>> print(run_text("m51", [StageRow(stage="images", state="ran", inputs="16 files", outputs="16 frames", seconds=0.12)]))
    Run m51: 1 stage in 0.12 s
      images  ran      16 files -> 16 frames  0.12 s
    """
    flows = [" -> ".join(_one_line(p) for p in (row.inputs, row.outputs) if p) for row in rows]
    times = [duration_text(row.seconds) for row in rows]
    stage_w, flow_w, time_w = (max(map(len, texts), default=0) for texts in ([r.stage for r in rows], flows, times))
    lines = [run_headline(name, rows)]
    for row, flow, time in zip(rows, flows, times, strict=True):
        line = f"  {row.stage:<{stage_w}}  {row.state:<7}  {flow:<{flow_w}}  {time:>{time_w}}"
        room = max_width - len(line) - 2
        lines.append((f"{line}  {elide(_one_line(row.key), max(room, 12))}" if row.key else line).rstrip())
        if row.state == "failed" and row.detail and row.detail != error:
            lines.append(f"    {row.detail}")
    lines += [f"  {line}" for line in facts_text(facts).splitlines()]
    if error:
        lines.append(f"  error: {error}")
    groups = grouped_warnings(warnings)
    if groups:
        lines.append(f"  {count_text(sum(n for _, n in groups), 'warning')}:")
        lines += [f"    {elide(text, max_width)}{f' ({n} times)' if n > 1 else ''}" for text, n in groups[:MAX_WARNINGS]]
        if len(groups) > MAX_WARNINGS:
            lines.append(f"    ... {len(groups) - MAX_WARNINGS} more")
    return "\n".join(lines)
