"""Numbers, durations, sizes and names as short text, the same in HTML and in plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

__all__ = ["column_texts", "count_text", "duration_text", "elide", "is_missing", "is_number", "number_text", "size_text"]

MISSING = "\N{EN DASH}"
SIGNIFICANT = 6


def is_number(value: object) -> bool:
    """Whether `value` is a real number (a truth value is not)."""
    return isinstance(value, Real) and not isinstance(value, bool) and type(value).__name__ not in {"bool_", "bool"}


def is_missing(value: object) -> bool:
    """Whether `value` is None, NaN, or pandas' NaT or NA."""
    if value is None or type(value).__name__ in {"NaTType", "NAType"}:
        return True
    return is_number(value) and not isinstance(value, Integral) and math.isnan(float(value))  # type: ignore[arg-type]


def number_text(value: Any, significant: int = SIGNIFICANT) -> str:
    """One value as text: numbers to so many significant digits, missing values as a dash.

    Examples
    --------
    >>> number_text(0.000123456789), number_text(12), number_text(float("inf"))
    ('0.000123457', '12', '∞')
    """
    if is_missing(value):
        return MISSING
    if not is_number(value) or isinstance(value, Integral):
        return str(value)
    number = float(value)
    if math.isinf(number):
        return "∞" if number > 0 else "\N{MINUS SIGN}∞"
    return f"{number:.{significant}g}"


def column_texts(values: Sequence[Any], significant: int = SIGNIFICANT) -> list[str]:
    """Values of one column as text, with the same number of decimals for all, so that the digits line up.

    Decimals follow from the largest value; columns that span more than the chosen digits can show are written value by value.

    Examples
    --------
    >>> column_texts([12.5, 0.25])
    ['12.5000', '0.2500']
    """
    plain = [v for v in values if not is_missing(v)]
    if not plain or not all(is_number(v) for v in plain) or all(isinstance(v, Integral) for v in plain):
        return [number_text(v, significant) for v in values]
    sizes = [abs(float(v)) for v in plain if math.isfinite(v) and v != 0]
    if not sizes:
        return ["0" if v == 0 else number_text(v, significant) for v in values]
    largest = max(sizes)
    if not 1e-3 <= largest < 1e7:
        return [_scientific(v, significant) for v in values]
    decimals = max(0, significant - 1 - math.floor(math.log10(largest)))
    return [f"{float(v):.{decimals}f}" if not is_missing(v) and math.isfinite(v) else number_text(v) for v in values]


def _scientific(value: Any, significant: int) -> str:
    """Value in powers of ten; zero stays short."""
    if is_missing(value) or not math.isfinite(value):
        return number_text(value)
    return "0" if value == 0 else f"{float(value):.{max(1, significant - 3)}e}"


def duration_text(seconds: float | None) -> str:
    """Duration with a unit that suits it; empty for None.

    Examples
    --------
    >>> duration_text(0.0042), duration_text(4.2), duration_text(192.0)
    ('4 ms', '4.20 s', '3 min 12 s')
    """
    if seconds is None or math.isnan(seconds):
        return ""
    if seconds < 0.0995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size_text(n_bytes: float) -> str:
    """Write a number of bytes with a decimal unit.

    Examples
    --------
    >>> size_text(16_781_760)
    '16.8 MB'
    """
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1e3
    return f"{value:.3g} TB"


def count_text(n: int, noun: str) -> str:
    """Write a number with its noun, plural where it should be.

    Examples
    --------
    >>> count_text(1, "frame"), count_text(12, "frame")
    ('1 frame', '12 frames')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def elide(text: str, width: int = 48) -> str:
    """Cut the middle out of a long text. The end is kept longer than the start: names of files differ at their end.

    Examples
    --------
    >>> elide("raw/2001/night-12/field-a/frame_0001.fits", 24)
    'raw/200…/frame_0001.fits'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
