"""The command ``nbmosaic``: mosaics, the demonstration, compiling the kernels ahead, and Montage's programs."""

from __future__ import annotations

import argparse
import inspect
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from nbmosaic.compat.montage.command_table import COMMANDS, GROUPS
from nbmosaic.errors import MosaicCancelled, NbmosaicError, NbmosaicWarning

if TYPE_CHECKING:
    from nbmosaic.pipeline.signatures import Parameter

__all__ = ["main"]

MONTAGE = frozenset(COMMANDS)
HIDDEN = {"paths", "output", "overwrite", "executor", "progress"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after ``nbmosaic`` (default: those of the process).

    Returns
    -------
    int
        Exit status: 0 done, 1 an error of the input, 2 wrong usage, 130 stopped by the user.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in MONTAGE:
        return _run_montage(words[0], words[1:])
    parser = _parser(command=next(iter(words), ""))
    chosen, unknown = parser.parse_known_args(words)
    if unknown:
        parser.error(_unknown(unknown[0], chosen))
    if not hasattr(chosen, "run"):
        parser.print_help()
        return 2
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", NbmosaicWarning)
            status: int = chosen.run(chosen)
    except (KeyboardInterrupt, MosaicCancelled):
        print("nbmosaic: stopped", file=sys.stderr)
        return 130
    except NbmosaicError as error:
        print("nbmosaic:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    return status


def _run_montage(name: str, words: list[str]) -> int:
    """Run a program of Montage; its answer is one line."""
    from nbmosaic.compat.montage.command import run_command

    try:
        status, text = run_command(name, words)
    except KeyboardInterrupt:
        print("nbmosaic: stopped", file=sys.stderr)
        return 130
    if text:
        print(text, flush=True)
    return status


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one line instead of repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _unknown(word: str, chosen: argparse.Namespace) -> str:
    """Message for a word that no option takes, with the nearest option."""
    import difflib

    flags = ["--output", "--overwrite", "--quiet", *(f"--{name.replace('_', '-')}" for name in getattr(chosen, "options", ()))]
    near = difflib.get_close_matches(word.partition("=")[0], flags, 1, 0.6)
    return (f"there is no option {word}" if word.startswith("-") else f"{word} was not expected") + (
        f", did you mean {near[0]}?" if near else ""
    )


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"nbmosaic: warning: {message}", file=sys.stderr)


def _parser(*, command: str) -> argparse.ArgumentParser:
    from nbmosaic import __version__

    parser = _Parser(
        prog="nbmosaic",
        description="Background-matched mosaics of the sky.",
        epilog=_montage_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nbmosaic {__version__}")
    commands = parser.add_subparsers(title="mosaics and tools", metavar="COMMAND")
    _add_mosaic(commands.add_parser("mosaic", help="frames to one background-matched mosaic", allow_abbrev=False), full=command == "mosaic")
    mscimage = commands.add_parser("mscimage", help="mosaic exposures to single images, as IRAF's task of that name", allow_abbrev=False)
    mscimage.set_defaults(run=_run_mscimage)
    if command == "mscimage":
        from nbmosaic.compat.mscred.command import add_arguments

        add_arguments(mscimage)
    demo = commands.add_parser("demo", help="simulate frames, make their mosaic, and a small report", allow_abbrev=False)
    demo.add_argument("--folder", default="nbmosaic-demo", help="where the files go (default: nbmosaic-demo)")
    demo.add_argument("--seed", type=int, default=1, help="seed of the simulated sky (default: 1)")
    demo.set_defaults(run=_run_demo)
    warm = commands.add_parser("warmup", help="compile the kernels now, so that the first run is quick", allow_abbrev=False)
    warm.set_defaults(run=_run_warmup)
    return parser


def _montage_help() -> str:
    """Montage's programs by purpose."""
    lines = []
    for group, names in GROUPS.items():
        lines += ["", f"{group}, as Montage's program of that name:"]
        lines += [f"  {name:<17} {COMMANDS[name].purpose}" for name in names]
    return "\n".join(lines).strip()


def _add_mosaic(parser: argparse.ArgumentParser, *, full: bool) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="FITS files, patterns or folders")
    parser.add_argument("--output", "-o", required=True, metavar="F", help="the mosaic (FITS)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--quiet", "-q", action="store_true", help="say nothing but warnings and errors")
    parser.set_defaults(run=_run_mosaic, options=())
    if not full:  # reading the signatures takes time that the other commands need not spend
        return
    from nbmosaic.pipeline.mosaic import mosaic_parameters

    options = [parameter for parameter in mosaic_parameters() if parameter.name not in HIDDEN]
    for parameter in options:
        _add_option(parser, parameter)
    parser.set_defaults(options=tuple(parameter.name for parameter in options))


def _add_option(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    text = parameter.help
    if parameter.takes.choices and not parameter.takes.is_flag:
        text += f" One of {', '.join(map(str, parameter.takes.choices))}."
    if parameter.default not in (None, (), inspect.Parameter.empty):
        text += f" Default: {_shown(parameter.default)}."
    text = text.replace("%", "%%")
    if parameter.takes.is_flag:
        parser.add_argument(parameter.flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        return

    def convert(word: str) -> Any:
        try:
            return parameter.takes.from_text(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"cannot be {word!r}: expects {parameter.takes.expects}") from None

    parser.add_argument(parameter.flag, type=convert, default=argparse.SUPPRESS, metavar=parameter.name.upper(), help=text)


def _shown(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _run_mosaic(chosen: argparse.Namespace) -> int:
    from nbmosaic.pipeline.mosaic import mosaic
    from nbmosaic.pipeline.progress import TextProgress

    options = {name: getattr(chosen, name) for name in chosen.options if hasattr(chosen, name)}
    progress = None if chosen.quiet else TextProgress()
    run = mosaic(chosen.files, output=chosen.output, overwrite=chosen.overwrite, progress=progress, **options)
    if not chosen.quiet:
        print(run)
        print(f"wrote {chosen.output}")
    return 0


def _run_mscimage(chosen: argparse.Namespace) -> int:
    from nbmosaic.compat.mscred.command import run_command

    return run_command(chosen)


def _run_demo(chosen: argparse.Namespace) -> int:
    from nbmosaic.pipeline.demo import make_demo
    from nbmosaic.pipeline.progress import TextProgress

    result = make_demo(chosen.folder, seed=chosen.seed, progress=TextProgress())
    print(result.run)
    print(f"frames:   {result.frames}")
    print(f"mosaic:   {result.mosaic}")
    print(f"pictures: {result.before}, {result.after}")
    print(f"report:   {result.report}")
    print(
        f"error of the mosaic against the noise-free sky: {result.error_before:.2f} DN rms without matching, {result.error_after:.2f} DN with it"
    )
    return 0


def _run_warmup(_: argparse.Namespace) -> int:
    from nbmosaic.pipeline.warm import warm_up

    print(f"kernels compiled and cached in {warm_up():.1f} s")
    return 0
