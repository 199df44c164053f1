"""mViewer: pictures of FITS images."""

from __future__ import annotations

import os
from typing import Any

from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.compat.montage.viewer_words import Wanted, from_words, split_words
from nbmosaic.errors import InputError
from nbmosaic.types.picture import PictureSpec

__all__ = ["mViewer", "read_wanted", "view"]

_KINDS = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg"}
_COLOURS = ("red", "green", "blue")


@montage_call
def mViewer(cmdstr: Any, outFile: Any, mode: int = 0, outFmt: str = "png", fontFile: Any = "", debug: int = 0) -> Answer:
    """Make a PNG or JPEG picture of one FITS image (grey, colour table) or of three (red, green, blue), with overlays.

    Parameters
    ----------
    cmdstr : str, bytes or Path
        What to show: the name of a JSON file (mode 0), JSON (mode 1), or the words of the command (mode 2), for example
        ``-ct 1 -gray mosaic.fits -2s max gaussian-log``. Limits are numbers, percentiles (``99.5%``), sigmas about the median (``-2s``), ``min``,
        ``max``. Stretches are ``linear``, ``log``, ``loglog``, a number (how often the logarithm is taken), ``asinh [beta]``, ``gaussian``,
        ``gaussian-log``. Overlays, in the order given: ``-grid eq j2000``, ``-catalog``, ``-imginfo``, ``-mark``, ``-label`` with ``-color``,
        ``-symbol``, ``-linewidth``, ``-fontscale``, ``-alpha`` before them. JSON has ``gray_file`` (or ``red_file``, ``green_file``, ``blue_file``) with
        ``fits_file``, ``stretch_min``, ``stretch_max``, ``stretch_mode``, ``stretch_beta``, and ``overlays`` with a ``type`` each.
    outFile : str or Path
        The picture; replaced if it exists.
    mode : int
        0, 1 or 2, see `cmdstr`.
    outFmt : {"png", "jpeg"}
        Format; `-jpeg FILE` and `-out FILE` in the command come before it.
    fontFile : str or Path
        TrueType file for labels; default: matplotlib's own font.
    debug : int
        Accepted for compatibility; it changes nothing.

    Returns
    -------
    dict
        ``type`` (b'grayscale' or b'color'), ``nx``, ``ny``, for gray, blue, green and red ``minval``, ``minpercent``, ``minsigma``, ``maxval``,
        ``maxpercent``, ``maxsigma``, the extremes ``graydatamin`` ... ``rdatamax``, ``flipX``, ``flipY``, ``colortable``, ``bunit``.

    Notes
    -----
    Differs from Montage 2.3:

    * percentiles are exact (Montage's come from a histogram of 200 000 bins between the extremes);
    * asinh is ``asinh(beta x) / asinh(beta)``, which reaches white; Montage divides by beta, and takes its default ``2s`` for a beta in DN, so that
      the picture is nearly black. Here ``2s`` is the level at which the stretch turns logarithmic;
    * the rainbow colour tables (2 to 6, 11, 12) are replaced by maps whose lightness has no steps;
    * sizes with a unit work in JSON (``"sym_size": "3p"`` is an error in Montage), contrasts of single colours reach their colour, ``-tzero`` works;
    * colours of other names than Montage's ten are those of CSS instead of grey, and a name that is none is an error;
    * outlines and marks lie on the pixels that they mean (Montage's are up to a pixel off);
    * an image without coordinates (``-nowcs``) is not mirrored;
    * ``-histfile``, ``-draw`` and ``-fits`` are refused.

    Examples
    --------
    >>> mViewer("-gray nope.fits min max", "picture.png", mode=2)
    {'status': '1', 'msg': b'File nope.fits not found.'}
    """
    wanted = read_wanted(cmdstr, mode)
    if not wanted.output:
        wanted.output, wanted.kind = path_text(outFile, "outFile"), _kind(outFmt)
    return view(wanted, path_text(fontFile, "fontFile"))


def _kind(name: Any) -> str:
    text = path_text(name, "outFmt").lower()
    if text not in _KINDS:
        raise InputError(f"outFmt {text[:40]!r} is unknown: use png or jpeg")
    return _KINDS[text]


def read_wanted(command: Any, mode: int) -> Wanted:
    """Read the command in the form that `mode` says."""
    text = path_text(command, "cmdstr")
    if mode == 2:
        return from_words(split_words(text))
    if mode not in (0, 1):
        raise InputError(f"mode ({mode}) must be 0 (JSON file), 1 (JSON) or 2 (command)")
    from nbmosaic.compat.montage.viewer_json import from_json

    if mode == 0:
        try:
            with open(text, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 - Path would raise before open for a zero byte
                text = stream.read()
        except (OSError, ValueError) as err:
            raise InputError(f"Cannot open input JSON file. ({text[:200]}: {getattr(err, 'strerror', None) or err})") from None
    return from_json(text)


def view(wanted: Wanted, font_file: str = "") -> Answer:
    """Make the picture and write it.

    Parameters
    ----------
    wanted : Wanted
        What, and where to.
    font_file : str
        TrueType file for labels.

    Returns
    -------
    dict
        The keys of `mViewer` without ``status``.
    """
    from nbmosaic.io.output import check_output, replacing
    from nbmosaic.pipeline.picture import render_picture

    spec = wanted.spec()
    for channel in spec.channels:
        _check_there(channel.path)
    if not wanted.output:
        raise InputError("No output PNG or JPEG file name given")
    check_output(wanted.output, overwrite=True)
    drawn = render_picture(spec, kind="jpeg" if wanted.kind == "jpeg" else "png", font_file=font_file)
    with replacing(wanted.output, overwrite=True, needed=len(drawn.content)) as name:
        name.write_bytes(drawn.content)
    return _answer(spec, drawn)


def _check_there(name: str) -> None:
    from nbmosaic.io.paths import split_hdu

    path, _ = split_hdu(name)
    if "\0" in path or not os.path.exists(path):  # noqa: PTH110 - Path would raise for names that are too long
        raise InputError(f"File {path[:400]} not found.")


def _answer(spec: PictureSpec, drawn: Any) -> Answer:
    """The keys in MontagePy's order; channels that are not there are zero."""
    names = _COLOURS if len(spec.channels) == 3 else ("gray",)
    limits = dict(zip(names, drawn.limits, strict=True))
    answer: Answer = {"type": b"color" if len(names) == 3 else b"grayscale", "nx": drawn.width, "ny": drawn.height}
    for name in ("gray", "blue", "green", "red"):
        one = limits.get(name)
        for end, attribute in (("min", "low"), ("max", "high")):
            answer[f"{name}{end}val"] = getattr(one, attribute, 0.0)
            answer[f"{name}{end}percent"] = getattr(one, f"{attribute}_percent", 0.0)
            answer[f"{name}{end}sigma"] = getattr(one, f"{attribute}_sigma", 0.0)
    for name in ("gray", "blue", "green", "red"):
        short = name if name == "gray" else name[0]
        answer[f"{short}datamin"] = getattr(limits.get(name), "minimum", 0.0)
        answer[f"{short}datamax"] = getattr(limits.get(name), "maximum", 0.0)
    answer["flipX"], answer["flipY"] = int(drawn.flip_x), int(drawn.flip_y)
    answer["colortable"] = spec.colour_table if len(names) == 1 else 0
    answer["bunit"] = drawn.unit.encode()
    return answer
