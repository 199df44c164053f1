"""Montage's command lines: words in, one line ``[struct stat="OK", ...]`` out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbmosaic.compat.montage.command_table import COMMANDS, Argument, Command, Option
from nbmosaic.errors import InputError
from nbmosaic.io.headers import plain_text

__all__ = ["parse_words", "run_command", "struct_line", "usage_line"]

_NUMBER = re.compile(r"-\.?\d[\d.eE+-]*")
_COMBINE = {"mean": 0, "median": 1, "count": 2, "sum": 3}
_REGIONS = {"points": 0, "box": 1, "circle": 2, "point": 3, "header": 4, "cutout": 5}
_COLOUR_LIMITS = " ".join(
    f"{k}{e}={n}{e}val {k}{e}percent={n}{e}percent:.2f {k}{e}sigma={n}{e}sigma:.2f"
    for k, n in (("b", "blue"), ("g", "green"), ("r", "red"))
    for e in ("min", "max")
)
_VIEWS = {
    b"grayscale": "type width=nx height=ny min=grayminval minpercent=grayminpercent:.2f minsigma=grayminsigma:.2f max=graymaxval maxpercent=graymaxpercent:.2f "
    "maxsigma=graymaxsigma:.2f datamin=graydatamin datamax=graydatamax xflip=flipX yflip=flipY bunit colortable",
    b"color": f"type width=nx height=ny {_COLOUR_LIMITS} rdatamin rdatamax gdatamin gdatamax bdatamin bdatamax xflip=flipX yflip=flipY bunit",
}


@dataclass(slots=True)
class Call:
    """What the words of a command line ask for.

    Attributes
    ----------
    arguments : dict
        Arguments of the function.
    status_file : str
        File for the answer; empty: standard output.
    words : list of str
        Words that are no options.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    status_file: str = ""
    words: list[str] = field(default_factory=list)


def run_command(name: str, words: Sequence[str]) -> tuple[int, str]:
    """Run one of Montage's programs.

    Parameters
    ----------
    name : str
        Its name.
    words : sequence of str
        What follows it.

    Returns
    -------
    tuple
        Exit status (0, or 1 for an error), and the line to print: empty where ``-s`` names a file for it.
    """
    if list(words) in (["--help"], ["-help"]):
        return 0, f"usage: nbmosaic {usage_line(name)}\n\n{COMMANDS[name].purpose}"
    call = Call()
    try:
        answer = _answer(name, words, call)
    except InputError as err:
        answer = {"status": "1", "msg": " ".join(str(err).split()).encode(errors="replace")}
    line = struct_line(name, answer)
    status = 0 if answer["status"] == "0" else 1
    if not call.status_file:
        return status, line
    try:
        Path(call.status_file).write_text(line + "\n", encoding="utf-8")
    except (OSError, ValueError) as err:
        return 1, struct_line(
            name, {"status": "1", "msg": f"Cannot open status file: {call.status_file[:200]} ({err})".encode(errors="replace")}
        )
    return status, ""


def usage_line(name: str) -> str:
    """Montage's usage of a program."""
    if name == "mViewer":
        from nbmosaic.compat.montage.viewer_words import USAGE

        return f"{name} {USAGE}"
    return f"{name} {COMMANDS[name].usage}"


def _answer(name: str, words: Sequence[str], call: Call) -> dict[str, Any]:
    if name == "mViewer":
        return _view(words)
    if name == "mHistogram":
        arguments = _histogram(words)
    else:
        parse_words(name, words, call)
        arguments = call.arguments
    from nbmosaic.compat import montage

    answer: dict[str, Any] = getattr(montage, name)(**arguments)
    if name == "mImgtbl" and answer["status"] == "0" and "nfile" not in answer:
        answer |= _scanned(arguments["tblname"], answer)
    return answer


def parse_words(name: str, words: Sequence[str], call: Call | None = None) -> Call:
    """Turn the words of a command line into arguments of its function.

    Parameters
    ----------
    name : str
        The program.
    words : sequence of str
        Options and names, in any order; letters may stand together (``-rc``), a value behind its letter or apart.
    call : Call, optional
        Where to put them (so that ``-s`` is known even if a later word is wrong).

    Returns
    -------
    Call
        The arguments.

    Raises
    ------
    InputError
        With Montage's words: its usage, or the option or argument that cannot be read.

    Examples
    --------
    >>> parse_words("mBgModel", ["-l", "-i", "500", "a.tbl", "b.tbl", "c.tbl"]).arguments["niteration"]
    500
    """
    command = COMMANDS[name]
    call = Call() if call is None else call
    call.arguments.update(command.fixed)
    _sort_words(name, command, list(words), call)
    finish = _SPECIAL.get(name)
    if finish is not None:
        finish(name, command, call)
    else:
        _place(name, command.arguments, command.optional, call)
    return call


def _usage_error(name: str) -> InputError:
    return InputError(f"Usage: {usage_line(name)}")


def _sort_words(name: str, command: Command, words: list[str], call: Call) -> None:
    """Part options from names."""
    options = {"s": Option("", "text"), **command.options}
    while words:
        word = words.pop(0)
        if word == "--":
            call.words += words
            return
        if not word.startswith("-") or word == "-" or _NUMBER.fullmatch(word) or (name == "mCoverageCheck" and word[1:] in _REGIONS):
            call.words.append(word)
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            option = options.get(letter)
            if option is None:
                raise _usage_error(name)
            if option.kind == "fixed":
                call.arguments[option.name] = option.value
                continue
            if not letters and not words:
                raise _usage_error(name)
            value, letters = letters or words.pop(0), ""
            if letter == "s":
                call.status_file = value
            else:
                call.arguments[option.name] = _converted(value, option.kind, f"Argument to -{letter}")


def _converted(text: str, kind: str, label: str) -> Any:
    """Value of a word, or Montage's message."""
    if kind == "text":
        return text
    try:
        if kind == "int":
            return int(text)
        value = float(text)
    except ValueError:
        if kind == "number":
            raise InputError(f"{label} is not a number ({plain_text(text)[:60]})") from None
        raise InputError(
            f"{label} ({plain_text(text)[:60]}) cannot be interpreted as {'an integer' if kind == 'int' else 'a real number'}"
        ) from None
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124 - NaN is the only value unequal to itself
        raise InputError(f"{label} ({plain_text(text)[:60]}) cannot be interpreted as a real number")
    return value


def _place(name: str, arguments: Sequence[Argument], optional: Sequence[Argument], call: Call) -> None:
    """Give the words to the arguments by their places."""
    if not len(arguments) <= len(call.words) <= len(arguments) + len(optional):
        raise _usage_error(name)
    for argument, word in zip([*arguments, *optional], call.words, strict=False):
        call.arguments[argument.name] = _converted(word, argument.kind, argument.label or f"Argument {argument.name}")


def _make_header(name: str, command: Command, call: Call) -> None:
    pad = call.arguments.pop("pad", None)
    if pad is not None:
        call.arguments["isPercentage"] = pad.endswith("%")
        call.arguments["pad"] = _converted(pad.removesuffix("%"), "float", "Argument to -e")
    _place(name, command.arguments, command.optional, call)


def _header(name: str, command: Command, call: Call) -> None:
    _place(name, command.arguments, (), call)
    call.arguments.setdefault("height", call.arguments["width"])


def _coadd(name: str, command: Command, call: Call) -> None:
    kind = call.arguments.get("coadd", "mean")
    if kind not in _COMBINE:
        raise InputError(f"Invalid argument for -a flag ({plain_text(kind)[:60]}): use {', '.join(_COMBINE)}")
    call.arguments["coadd"] = _COMBINE[kind]
    _place(name, command.arguments, (), call)


def _cut(name: str, command: Command, call: Call) -> None:
    if call.arguments.get("mode", 0) >= 2:  # the whole image, whatever else is said
        _place(name, command.arguments[:2], (*command.arguments[2:], *command.optional), call)
        call.arguments |= {"ra": 0.0, "dec": 0.0, "xsize": 0.0, "ysize": 0.0}
        return
    _place(name, command.arguments, command.optional, call)
    call.arguments.setdefault("ysize", call.arguments["xsize"])


def _mend(name: str, command: Command, call: Call) -> None:
    limits = call.words[2:]
    call.words = call.words[:2]
    _place(name, command.arguments, (), call)
    if len(limits) % 2:
        raise InputError(f"Range limits come in pairs: {plain_text(' '.join(limits))[:60]} has no upper one")
    low, high = limits[0::2], limits[1::2]
    given = {"minblank": low, "maxblank": high}
    call.arguments["haveVal"] = "NaNvalue" in call.arguments
    call.arguments.setdefault("NaNvalue", 0.0)
    call.arguments["nMinMax"] = len(low)
    for side, texts in given.items():
        call.arguments[side] = [0.0 if t in {"min", "max"} else _converted(t, "float", "Range limit") for t in texts]
    # "0 max" is all values from 0 up, which the function calls ismin; "min 0" all up to 0.
    call.arguments["ismin"] = [h == "max" for h in high]
    call.arguments["ismax"] = [t == "min" for t in low]


def _examine(name: str, command: Command, call: Call) -> None:
    region, photometry = call.arguments.pop("region", False), call.arguments.pop("photometry", False)
    if not (region or photometry):
        _place(name, command.arguments, (), call)
        return
    wanted = ("ra", "dec", "radius") if region else ("ra", "dec")
    if len(call.words) != len(wanted) + 1:
        raise InputError("No ra, dec, radius location given or file name missing")
    call.arguments["areaMode"] = 1 if region else 2
    for key, word in zip(wanted, call.words, strict=False):
        call.arguments[key] = _converted(word, "float", f"Argument {key}")
    call.arguments["infile"] = call.words[-1]


def _coverage(name: str, command: Command, call: Call) -> None:
    place = next((i for i, word in enumerate(call.words) if word.startswith("-") and word[1:] in _REGIONS), None)
    if place != 2:
        raise _usage_error(name)
    region, values = call.words[2][1:], call.words[3:]
    call.words = call.words[:2]
    _place(name, command.arguments, (), call)
    call.arguments["mode"] = _REGIONS[region]
    if region == "header":
        if len(values) != 1:
            raise _usage_error(name)
        call.arguments["hdrfile"] = values[0]
        return
    numbers = [_converted(word, "float", f"Parameter of -{region}") for word in values]
    call.arguments |= {"narray": len(numbers), "array": numbers}


def _background(name: str, command: Command, call: Call) -> None:
    if not call.arguments.pop("table", False):
        _place(name, command.arguments, (), call)
        return
    _place(name, (*command.arguments[:2], Argument("images"), Argument("corrections")), (), call)
    planes = _plane_of(call.arguments["input_file"], call.arguments.pop("images"), call.arguments.pop("corrections"))
    call.arguments |= dict(zip("ABC", planes, strict=True))


def _plane_of(image: str, images: str, corrections: str) -> tuple[float, float, float]:
    """Plane of an image in a table of corrections; zero if it has none there."""
    from nbmosaic.compat.montage.files import need_columns, need_table

    table = need_table(images, f"Invalid image metadata file: {images}")
    need_columns(table, ("cntr", "fname"), "Need columns: cntr and fname in image list")
    rows = [i for i, name in enumerate(table["fname"]) if Path(str(name)).name == Path(image).name]
    if not rows:
        raise InputError(f"Hit end of image table without finding file name {plain_text(Path(image).name)}")
    planes = need_table(corrections, f"Invalid corrections file: {corrections}")
    need_columns(planes, ("id", "a", "b", "c"), "Need columns: id,a,b,c in corrections file")
    found = planes[planes["id"] == table["cntr"].iloc[rows[0]]]
    if not len(found):
        return 0.0, 0.0, 0.0
    a, b, c = (float(found[key].iloc[0]) for key in "abc")
    return a, b, c


_SPECIAL: dict[str, Callable[[str, Command, Call], None]] = {
    "mAdd": _coadd,
    "mBackground": _background,
    "mCoverageCheck": _coverage,
    "mExamine": _examine,
    "mFixNaN": _mend,
    "mHdr": _header,
    "mMakeHdr": _make_header,
    "mSubimage": _cut,
}


def _histogram(words: Sequence[str]) -> dict[str, Any]:
    """Arguments of mHistogram, whose words are directives."""
    rest = [word for word in words if word != "-d"]
    arguments: dict[str, Any] = {"stretchType": "linear"}
    while rest:
        word = rest.pop(0)
        if word == "-out" and rest:
            arguments["histFile"] = rest.pop(0)
        elif word == "-file" and len(rest) >= 3:
            arguments |= dict(zip(("imgFile", "minString", "maxString"), rest[:3], strict=True))
            del rest[:3]
            if rest and not rest[0].startswith("-"):
                kind = rest.pop(0)
                power = {"stretchType": "power", "grayLogPower": int(kind)} if re.fullmatch(r"\d{1,2}", kind) else {"stretchType": kind}
                arguments |= power
                if kind.startswith("a"):
                    arguments["betaString"] = rest.pop(0) if rest and rest[0] != "-out" else "2s"
        else:
            raise _usage_error("mHistogram")
    if not {"histFile", "imgFile"} <= set(arguments):
        raise _usage_error("mHistogram")
    return arguments


def _view(words: Sequence[str]) -> dict[str, Any]:
    """Run mViewer: its words are directives, or JSON."""
    from nbmosaic.compat.montage.status import montage_call
    from nbmosaic.compat.montage.viewer import read_wanted, view
    from nbmosaic.compat.montage.viewer_words import from_words

    rest = list(words)
    special: dict[str, str] = {}
    for key in ("-json", "-jfile", "-fontfile"):
        if key in rest:
            place = rest.index(key)
            if place + 1 >= len(rest):
                raise InputError(f"No argument following {key}")
            special[key] = rest[place + 1]
            del rest[place : place + 2]

    def run() -> dict[str, Any]:
        wanted = from_words(rest) if not special.keys() & {"-json", "-jfile"} else None
        if wanted is None:
            wanted = read_wanted(special["-json"], 1) if "-json" in special else read_wanted(special["-jfile"], 0)
            files = dict(zip(rest[0::2], rest[1::2], strict=False))
            wanted.output, wanted.kind = next(((files[k], k.removeprefix("-")) for k in ("-out", "-png", "-jpeg") if k in files), ("", ""))
        return view(wanted, special.get("-fontfile", ""))

    return montage_call(run)()


def _scanned(table_name: str, answer: Mapping[str, Any]) -> dict[str, int]:
    """Files and HDUs that a scan has looked at: those in the table and the bad ones."""
    from nbmosaic.io.tables import read_table

    table = read_table(table_name)
    n_files = int(table["fname"].nunique()) if "fname" in table.columns else 0
    return {"nfile": n_files + int(answer["badfits"]), "nhdu": len(table) + int(answer["badwcs"])}


def struct_line(name: str, answer: Mapping[str, Any]) -> str:
    """Write an answer in Montage's one line.

    Parameters
    ----------
    name : str
        The program.
    answer : mapping
        Answer of the function.

    Returns
    -------
    str
        ``[struct stat="OK", module="mAdd", time=0]`` or ``[struct stat="ERROR", msg="..."]``; the latter with the counts of a batch that was done in part.

    Examples
    --------
    >>> struct_line("mOverlaps", {"status": "0", "count": 42})
    '[struct stat="OK", module="mOverlaps", count=42]'
    """
    if answer["status"] != "0":  # a batch with failed members has counts
        keys, parts = COMMANDS[name].answer, ['stat="ERROR"', f'msg="{_text(answer.get("msg", b""))}"']
    else:
        keys = _VIEWS[answer["type"]] if name == "mViewer" else COMMANDS[name].answer
        parts = ['stat="OK"', f'module="{name}"']
        parts += [f'msg="{_text(answer["msg"])}"'] if answer.get("msg") else []
    for word in keys.split():
        key, _, pattern = word.partition(":")
        shown, _, source = key.partition("=")
        if (source or shown) in answer:
            parts.append(f"{shown}={_shown(answer[source or shown], pattern)}")
    return f"[struct {', '.join(parts)}]"


def _shown(value: Any, pattern: str) -> str:
    if isinstance(value, str | bytes):
        return f'"{_text(value)}"'
    if isinstance(value, bool | int) and not pattern:
        return str(int(value))
    text: str = f"%{pattern or '-g'}" % value
    return text


def _text(value: Any) -> str:
    """Text without what would end the line or the quotes."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return "".join("'" if c == '"' else c if c.isprintable() else " " for c in text)
