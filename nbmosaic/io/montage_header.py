"""Header texts in the layout of Montage's own programs."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmosaic._types import FloatArray

__all__ = ["SYSTEM_AXES", "header_html", "simple_header", "tan_sip_header"]

SYSTEM_AXES = {"EQU": ("RA--", "DEC-"), "ECL": ("ELON", "ELAT"), "GAL": ("GLON", "GLAT"), "SGA": ("SLON", "SLAT")}
"""First halves of CTYPE by the beginning of Montage's name of a system."""

_WCS_WORDS = ("NAXIS", "CTYPE", "CRVAL", "CRPIX", "CDELT", "CROTA", "CD", "PC", "PV", "EQUINOX", "EPOCH", "RADE", "LONPOLE", "LATPOLE")


def simple_header(
    system: str,
    equinox: float,
    naxis: tuple[int, int],
    *,
    crval: tuple[float, float],
    crpix: tuple[float, float],
    step: float,
    rotation: float,
    projection: str = "TAN",
    extra: Sequence[str] = (),
    planes: Sequence[tuple[int, float, float, float]] = (),
) -> str:
    """Header template with CDELT and CROTA2, in the digits of mMakeHdr.

    `planes` are further axes: NAXIS, CRVAL, CRPIX and CDELT of each.

    Examples
    --------
    >>> simple_header("GAL", 2000.0, (3, 4), crval=(1.0, 2.0), crpix=(2.0, 2.5), step=0.1, rotation=0.0).splitlines()[5]
    "CTYPE1  = 'GLON-TAN'"
    """
    lon, lat = SYSTEM_AXES[system[:3]]
    lengths = [*naxis, *(plane[0] for plane in planes)]
    lines = ["SIMPLE  = T", "BITPIX  = -64", f"NAXIS   = {len(lengths)}", *(f"NAXIS{i}  = {n}" for i, n in enumerate(lengths, 1))]
    lines += [f"CTYPE1  = '{lon}-{projection}'", f"CTYPE2  = '{lat}-{projection}'"]
    if system[:3] in {"EQU", "ECL"}:
        lines.append(f"EQUINOX = {equinox:g}")
    lines += [f"CRVAL{i}  = {value:14.9f}" for i, value in enumerate([*crval, *(plane[1] for plane in planes)], 1)]
    lines += [f"CRPIX{i}  = {value:14.4f}" for i, value in enumerate(crpix, 1)]
    lines += [f"CRPIX{i}  = {plane[2]:14.9f}" for i, plane in enumerate(planes, 3)]
    lines += [f"CDELT{i}  = {value:14.9f}" for i, value in enumerate([-step, step, *(plane[3] for plane in planes)], 1)]
    lines += [f"CROTA2  = {rotation:14.9f}", *extra, "END", ""]
    return "\n".join(lines)


def tan_sip_header(
    ctype: tuple[str, str],
    shape: tuple[int, int],
    crval: tuple[float, float],
    crpix: tuple[float, float],
    cd: FloatArray,
    polynomials: dict[str, FloatArray],
    system: Sequence[str] = (),
) -> str:
    """Header template of a TAN-SIP WCS with every digit.

    Parameters
    ----------
    ctype : tuple of str
        First halves of CTYPE (``RA--``).
    shape : tuple of int
        ``(ny, nx)``.
    crval, crpix, cd
        As in the header.
    polynomials : dict
        Coefficients ``[p, q]`` by name: A, B, AP, BP.
    system : sequence of str
        Lines that name the celestial system.
    """
    lines = ["SIMPLE  = T", "BITPIX  = -64", "NAXIS   = 2", f"NAXIS1  = {shape[1]}", f"NAXIS2  = {shape[0]}"]
    lines += [f"CTYPE{i + 1}  = '{name}-TAN-SIP'" for i, name in enumerate(ctype)]
    lines += [*(f"CRVAL{i + 1}  = {crval[i]!r}" for i in range(2)), *(f"CRPIX{i + 1}  = {crpix[i]!r}" for i in range(2))]
    lines += [f"CD{i + 1}_{j + 1}   = {_digits(float(cd[i, j]))}" for i in range(2) for j in range(2)]
    lines += system
    for name, matrix in polynomials.items():
        degree = len(matrix) - 1
        lines.append(f"{name + '_ORDER':<8}= {degree}")
        terms = [(p, q) for p in range(degree + 1) for q in range(degree + 1 - p)]
        lines += [f"{f'{name}_{p}_{q}':<8}= {_digits(float(matrix[p, q]))}" for p, q in terms]
    return "\n".join([*lines, "END", ""])


def _digits(value: float) -> str:
    return repr(value).upper()


def header_html(lines: Sequence[str], title: str, *, fragment: bool = False) -> str:
    r"""Header cards as HTML, one ``pre`` a card with the class names of mGetHdr; a whole page, or only the cards.

    Examples
    --------
    >>> header_html(["NAXIS   = 2"], "a", fragment=True)
    '<pre class="fitsEvenWCS"> NAXIS   = 2 </pre>\n'
    """
    body = []
    for k, line in enumerate([line.rstrip() for line in lines]):
        kind = "COM" if line.startswith(("COMMENT", "HISTORY")) else "WCS" if line.startswith(_WCS_WORDS) else ""
        body.append(f'<pre class="fits{"Odd" if k % 2 else "Even"}{kind}"> {html.escape(line)} </pre>')
    if fragment:
        return "\n".join([*body, ""])
    rules = "pre { margin: 0; } [class^=fitsOdd] { background-color: #F0F8FF; } [class$=WCS] { color: #0000A0; } [class$=COM] { color: #A00000; }"
    style = f"<style>{rules}</style>"
    head = [
        "<!DOCTYPE html>",
        "<html>",
        f'<head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        style,
        "</head>",
        '<body class="fitsBody">',
    ]
    return "\n".join([*head, '<div class="fitsHdr">', *body, "</div>", "</body>", "</html>", ""])
