"""A small web page that holds everything it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbmosaic.views.markup import Markup, escape
from nbmosaic.views.style import FRAGMENT_CSS

__all__ = ["Section", "html_report"]

# A page of our own may ask the system for light or dark, unlike a fragment on somebody else's page.
PAGE_CSS = """\
:root{color-scheme:light dark;--paper:#fff;--ink:#1c1e21;--soft:#5c6470;--line:#d5dae0;--link:#0b5cad}
@media (prefers-color-scheme:dark){:root{--paper:#16181c;--ink:#e6e8eb;--soft:#a2abb8;--line:#3a4048;--link:#7db8ff}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;margin:0}
main,header,footer{max-width:58rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.5rem}
h1{font-size:1.6rem;margin:.2em 0}
h2{font-size:1.2rem;margin:1.6em 0 .4em;border-bottom:1px solid var(--line);padding-bottom:.2em}
p{margin:.5em 0;overflow-wrap:anywhere}
pre{overflow-x:auto;background:rgba(128,128,128,.12);padding:.6em .8em;border-radius:4px;font-size:.85em}
nav ul{padding:0;margin:.6em 0;list-style:none;display:flex;flex-wrap:wrap;gap:.2em 1.2em}
a{color:var(--link)}
footer{color:var(--soft);font-size:.85em;margin-top:2.5em;padding-bottom:2em}
@media print{body{background:#fff;color:#000}nav{display:none}h2{break-after:avoid}img{break-inside:avoid}}
"""


@dataclass(frozen=True, slots=True, init=False)
class Section:
    """One section of a report.

    Parameters
    ----------
    title : str
        Heading.
    *parts : Markup or str
        Contents: HTML made by `nbmosaic.views.html`, or plain text, which becomes paragraphs (split at empty lines).
    """

    title: str
    parts: tuple[Markup | str, ...]

    def __init__(self, title: str, *parts: Markup | str) -> None:
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "parts", parts)


def html_report(title: str, sections: Sequence[Section], *, intro: str = "", footer: str = "") -> str:
    """Make a page that needs no other file and no network, light or dark as the reader's system is.

    Parameters
    ----------
    title : str
        Title of the page.
    sections : sequence of Section
        Contents; more than two get a list of links at the top.
    intro : str, optional
        Text under the title.
    footer : str, optional
        Text at the end (versions, time).

    Returns
    -------
    str
        A complete HTML document.

    Examples
    --------
    >>> page = html_report("demo", [Section("Mosaic", "16 frames < 1 s")])
    >>> "16 frames &lt; 1 s" in page
    True
    """
    links = "".join(f'<li><a href="#section-{i}">{escape(s.title)}</a></li>' for i, s in enumerate(sections, 1))
    nav = f'<nav aria-label="contents"><ul>{links}</ul></nav>' if len(sections) > 2 else ""
    body = "".join(
        f'<section id="section-{i}"><h2>{escape(s.title)}</h2><div class="nbm">{"".join(map(_part, s.parts))}</div></section>'
        for i, s in enumerate(sections, 1)
    )
    foot = f"<footer>{_paragraphs(footer)}</footer>" if footer else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{PAGE_CSS}{FRAGMENT_CSS}</style></head><body>"
        f"<header><h1>{escape(title)}</h1>{_paragraphs(intro)}{nav}</header><main>{body}</main>{foot}</body></html>\n"
    )


def _part(part: Markup | str) -> str:
    """HTML as it is, text as paragraphs."""
    return part if isinstance(part, Markup) else _paragraphs(part)


def _paragraphs(text: str) -> str:
    """Text as paragraphs, split at empty lines."""
    return "".join(f"<p>{escape(block.strip())}</p>" for block in text.split("\n\n") if block.strip())
