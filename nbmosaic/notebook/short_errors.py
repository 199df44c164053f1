"""Errors in a notebook: what, where in the cell, what to do next, in at most four lines; ``%tb`` shows all."""

from __future__ import annotations

from typing import Any

from nbmosaic.errors import NbmosaicError

__all__ = ["short_lines", "shorten"]

WINDOW = 100
"""Characters of a long line that are shown around the mistake."""


def short_lines(error: NbmosaicError) -> list[str]:
    r"""Lines of an error: message, line of the cell, caret, hint; those that there are.

    Examples
    --------
    >>> from nbmosaic.errors import CellError
    >>> print("\n".join(short_lines(CellError("no stage 'x'", line=2, text="x 1", column=0, hint="did you mean y?"))))
    CellError: no stage 'x'
      line 2: x 1
              ^
      did you mean y?
    """
    lines = [f"{type(error).__name__}: {_one_line(error.message)}"]
    line, text, column = (error.context.get(key) for key in ("line", "text", "column"))
    if line is not None and text:
        head = f"  line {line}: "
        shown, at = _window(str(text).rstrip(), column)
        lines.append(head + shown)
        if at is not None:
            lines.append(" " * len(head) + "".join("\t" if char == "\t" else " " for char in shown[:at]) + "^")
    if error.hint:
        lines.append(f"  {_one_line(error.hint)}")
    return lines


def shorten(error: NbmosaicError) -> None:
    """Make IPython show an error by its short lines, once: when it is shown again (``%tb``), it is shown in full.

    IPython and ipykernel honour a method ``_render_traceback_`` of an exception; nothing of IPython is patched.
    """

    def render() -> list[str]:
        del error._render_traceback_  # type: ignore[attr-defined]
        return short_lines(error)

    error._render_traceback_ = render  # type: ignore[attr-defined]


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def _window(text: str, column: Any) -> tuple[str, int | None]:
    """Part of a long line around the column, and the column in it."""
    at = min(int(column), len(text)) if column is not None else None
    if len(text) <= WINDOW:
        return text, at
    start = max(0, min((at or 0) - WINDOW // 2, len(text) - WINDOW))
    before, after = "…" * (start > 0), "…" * (start + WINDOW < len(text))
    return before + text[start : start + WINDOW] + after, None if at is None else at - start + len(before)
