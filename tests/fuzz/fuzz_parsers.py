"""Header templates, IPAC tables and command lines under made-up bytes; see README.md beside this file."""

from __future__ import annotations

import contextlib
import random
import sys
import time
import warnings
from collections.abc import Callable

GUIDED = __name__ == "__main__" and "--random" not in sys.argv
if GUIDED:
    import atheris

with atheris.instrument_imports(include=["nbmosaic"]) if GUIDED else contextlib.nullcontext():
    from nbmosaic.compat.montage.command import parse_words
    from nbmosaic.compat.montage.command_table import COMMANDS
    from nbmosaic.compat.montage.viewer_json import from_json
    from nbmosaic.compat.montage.viewer_words import from_words, split_words
    from nbmosaic.errors import NbmosaicError
    from nbmosaic.io.tables import format_table, parse_table
    from nbmosaic.io.templates import format_template, parse_template

LONGEST = 2.0  # CPU seconds for one text
PROGRAMS = [name for name in COMMANDS if name not in {"mViewer", "mHistogram", "mBackground"}]
TEMPLATE = """SIMPLE  =                    T / made up
BITPIX  =                  -64
NAXIS   =                    2
NAXIS1  =                  300
NAXIS2  =                  200
CTYPE1  = 'RA---TAN'
CTYPE2  = 'DEC--TAN'
CRVAL1  =      275.19635310000
CRVAL2  =      -16.17150000000
CRPIX1  =       150.5000000000
CRPIX2  =       100.5000000000
CDELT1  =      -0.000277777780
CDELT2  =       0.000277777780
CROTA2  =      45.000000000000
EQUINOX =               2000.0
RADESYS = 'FK5     '
END
"""
TEMPLATES = [
    TEMPLATE,
    TEMPLATE.replace("TAN'", "TNX'").replace("END", "WAT1_001= 'wtype=tnx axtype=ra lngcor = \"3. 2. 2. 0. -1. 1. -1. 1. 0. 0. 0.\"'\nEND"),
    TEMPLATE.replace("TAN'", "ZPN'").replace("END", "PV2_1 = 1.0\nPV2_3 = 220.0\nPROJP1 = 1\nEND"),
    TEMPLATE.replace("CDELT1", "CD1_1").replace("CDELT2", "CD2_2").replace("CROTA2  =      45.", "A_ORDER = 2\nA_2_0 = 1e-5\nB_ORDER = 2\nLONPOLE=1."),
    TEMPLATE.replace("RA---TAN", "GLON-CAR").replace("DEC--TAN", "GLAT-CAR").lower().replace("\n", "\r\n"),
    "".join(f"{line:<80}" for line in TEMPLATE.splitlines()),
    TEMPLATE.replace("CROTA2", "PC1_1").replace("NAXIS   =                    2", "NAXIS = 3\nNAXIS3 = 1\nCTYPE3 = 'FREQ'"),
    ("AMDX1 = 67.2\nAMDY1 = 67.2\nPLTRAH = 5\nPLTRAM = 3\nPLTRAS = 1.5\nPLTDECSN='-'\nPLTDECD=3\nPLTDECM=1\nPLTDECS=1\nPPO3=177500\nPPO6=177500\n"
    "PLTSCALE=67.2\nXPIXELSZ=15.\nYPIXELSZ=15.\nCNPIX1=1\nCNPIX2=1\nNAXIS1=99\nNAXIS2=99\n"),
]  # fmt: skip
TABLES = [
    (
        "\\datatype = fitshdr\n| cntr |   ra    |  fname   |\n| int  | double  |  char    |\n|      | deg     |          |\n| null |  null   |  null    |\n"
        "      0   275.2     a.fits   \n      1   null      b.fits   \n"
    ),
    "|   plus  |  minus  |       a        |\n        0         1      1.23456e-05 \n        1         2     -1.23456e+99 \n",
    "| id |   a  |   b  |\n| i  | d    | c    |\n   1    0.5   x\n   2   NaN   \n",
]
WORDS = [
    "mBgModel -l -i 500 -a a.tbl b.tbl c.tbl", "mAdd -p dir -a median -e i.tbl t.hdr o.fits", "mProject -z 0.8 -x 2 -b 3 -h 1 -f a b c", "mShrink -f a b 2.5",
    "mMakeHdr -e 10% -p 1 -n i.tbl t.hdr EQUJ 2000", "mCoverageCheck a b -circle 1 2 3", "mExamine -p 1 2 3 a.fits", "mImgtbl -rc -f list raw i.tbl",
    "mFixNaN -v 0 a b min 0 5 max", "mSubimage -p a b 1 1 5 5", "mHdr -s x -p 1 '10 20' 1 o.hdr", "mDiff -n -z 1 a b c d",
    '{"gray_file": {"fits_file": "a", "stretch_min": "-2s"}, "overlays": [{"type": "grid", "coord_sys": "eq"}]}',
    "-ct 1 -gray a.fits -2s max gaussian-log -grid eq j2000 -color red -symbol 1.5p box -mark 10 20 -label 5 5 text -out o.png",
]  # fmt: skip


def check_template(text: str) -> None:
    """A template, or an error of one line; what was read comes back."""
    grid = parse_template(text)
    if parse_template(format_template(grid)).shape != grid.shape:
        raise AssertionError("the shape does not come back")


def check_table(text: str) -> None:
    """A table, or an error of one line; its rows come back."""
    table = parse_table(text)
    if len(parse_table(format_table(table))) != len(table):
        raise AssertionError("rows do not come back")


def check_command(text: str) -> None:
    """A call of a program, a picture command or JSON."""
    first, *words = text.split() or [""]
    if text.startswith("{"):
        from_json(text).spec()
    elif first in PROGRAMS:
        parse_words(first, words)
    else:
        from_words(split_words(text)).spec()


CHECKS: dict[str, tuple[Callable[[str], None], list[str]]] = {
    "template": (check_template, TEMPLATES),
    "table": (check_table, TABLES),
    "command": (check_command, WORDS),
}


def one(check: Callable[[str], None], text: str) -> None:
    """Run one text; anything but our own errors, or a long wait, goes out as an exception."""
    began = time.process_time()
    try:
        check(text)
    except NbmosaicError as error:
        if "\n" in error.message:
            raise AssertionError(f"a message of several lines: {error.message!r}") from error
    spent = time.process_time() - began
    if spent > LONGEST:
        raise AssertionError(f"{spent:.1f} s for {text!r}")


def mutate(text: str, rng: random.Random) -> str:
    """Change a text: characters, pieces, lines, numbers."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(text) + 1)
        lines = text.split("\n")
        match rng.randrange(8):
            case 0:
                text = text[:at] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) + text[at + 1 :]
            case 1:
                text = text[:at] + text[at + rng.randrange(1, 9) :]
            case 2:
                text = (
                    text[:at]
                    + rng.choice(("'", '"', "=", "/", "|", "\\", "\r", "\t", "1e999", "-", "nan", "0", "9" * 30, " ", "END", "\x00"))
                    + text[at:]
                )
            case 3:
                rng.shuffle(lines)
                text = "\n".join(lines)
            case 4:
                text = "\n".join([*lines, rng.choice(lines)])
            case 5:
                del lines[rng.randrange(len(lines))]
                text = "\n".join(lines)
            case 6:
                digits = [i for i, c in enumerate(text) if c.isdigit()]
                if digits:
                    i = rng.choice(digits)
                    text = text[:i] + rng.choice("0123456789.eE-+") + text[i + 1 :]
            case _:
                other = rng.choice(lines)
                text = text[:at] + other[: rng.randrange(len(other) + 1)] + text[at:]
    return text


def run_random(kind: str, runs: int, seed: int) -> None:
    """Mutants of good texts."""
    check, seeds = CHECKS[kind]
    rng, slowest, good = random.Random(seed), 0.0, 0
    for k in range(runs):
        text = mutate(rng.choice(seeds), rng)
        began = time.process_time()
        try:
            one(check, text)
        except Exception:
            print(f"input {k}: {text!r}", flush=True)
            raise
        slowest = max(slowest, time.process_time() - began)
        good += 1
    print(f"{kind}: {good} inputs, slowest {slowest:.3f} s")


def main(arguments: list[str]) -> None:
    """Run one of the checks."""
    kind = arguments[1]
    warnings.simplefilter("ignore")
    for seed in CHECKS[kind][1]:  # loads what is loaded late, outside the measured time
        with contextlib.suppress(NbmosaicError):
            CHECKS[kind][0](seed)
    if "--random" in arguments:
        at = arguments.index("--random")
        run_random(kind, int(arguments[at + 1]), int(arguments[at + 2]) if len(arguments) > at + 2 else 1)
        return
    check, seeds = CHECKS[kind]
    corpus = [seed.encode() for seed in seeds]

    def test(data: bytes) -> None:
        # the first byte chooses between the bytes as they are and the bytes laid into a good text: few made-up texts get past the first line
        if not data:
            return
        text = data[1:].decode("latin-1")
        if data[0] % 2:
            seed = corpus[data[0] // 2 % len(corpus)].decode()
            at = data[1] * len(seed) // 256 if len(data) > 1 else 0
            text = seed[:at] + text[1:] + seed[at + len(text) // 2 :]
        one(check, text)

    atheris.Setup([arguments[0], *arguments[2:]], test)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
