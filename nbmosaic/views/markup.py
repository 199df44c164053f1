"""Text that is already HTML, kept apart from text that is not."""

from __future__ import annotations

import html

__all__ = ["Markup", "escape", "join"]


class Markup(str):
    """HTML that needs no more escaping.

    Every function of the views that makes HTML returns this type, and escapes every plain string that it is given. A header value or a
    file name can therefore reach a page only as text.

    Examples
    --------
    >>> escape("<b>")
    '&lt;b&gt;'
    >>> escape(Markup("<b>"))
    '<b>'
    """

    __slots__ = ()


def escape(value: object) -> Markup:
    """Escape `value` for HTML text and for quoted attributes, unless it is `Markup`.

    Parameters
    ----------
    value : object
        Anything with a `str`; control characters that no page may hold are replaced.

    Returns
    -------
    Markup
        The escaped text.

    Examples
    --------
    >>> escape('a & "b"')
    'a &amp; &quot;b&quot;'
    """
    if isinstance(value, Markup):
        return value
    text = "".join(c if c >= " " or c in "\t\n\r" else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return Markup(html.escape(text, quote=True))


def join(*parts: object, between: str = "") -> Markup:
    """Join parts into one piece of HTML; plain strings are escaped, None and empty parts left out.

    Examples
    --------
    >>> join(Markup("<p>"), "1 < 2", None, Markup("</p>"))
    '<p>1 &lt; 2</p>'
    """
    return Markup(between.join(escape(part) for part in parts if part is not None and part != ""))
