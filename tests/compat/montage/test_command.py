"""Montage's command lines: the same line as Montage's own programs print, and nothing but that line for nonsense."""

from __future__ import annotations

import contextlib
import gzip
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shared import shared_path

import nbmosaic.compat.montage as face
from nbmosaic.cli import main
from nbmosaic.compat.montage.command import parse_words, run_command, struct_line, usage_line
from nbmosaic.compat.montage.command_table import COMMANDS, GROUPS
from nbmosaic.errors import InputError

PAIR = re.compile(r'(\w+)=("[^"]*"|[^,\]]*)')
FRAME = "proj/hdu0_raw_000_crota.fits"
OTHER = "proj/hdu0_raw_001_cd.fits"


def pairs(line: str) -> dict[str, str]:
    """Keys and values of a struct line, in order."""
    assert line.startswith("[struct ")
    assert line.endswith("]")
    assert "\n" not in line
    return dict(PAIR.findall(line))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four projected frames of the golden set with their areas, their template, tables of them and a difference."""
    home = tmp_path_factory.mktemp("command")
    (home / "proj").mkdir()
    for path in shared_path("golden/montage/proj_pp").glob("*.fits.gz"):
        (home / "proj" / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    shutil.copy(shared_path("golden/montage/mosaic.hdr"), home / "mosaic.hdr")
    with contextlib.chdir(home):
        for line in ("mImgtbl -c proj images.tbl", "mOverlaps images.tbl diffs.tbl", f"mDiff {FRAME} {OTHER} d.fits mosaic.hdr"):
            status, text = run_command(line.split()[0], line.split()[1:])
            assert status == 0, text
        line = "mDiffFitExec -p proj diffs.tbl mosaic.hdr . fits.tbl"
        assert run_command("mDiffFitExec", line.split()[1:])[0] == 0
        assert run_command("mBgModel", ["images.tbl", "fits.tbl", "corr.tbl"])[0] == 0
    return home


def test_every_function_has_its_command() -> None:
    assert set(COMMANDS) == set(face.__all__)
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)


# With the relative tolerance; None: the keys only. mFitplane of 6.0 clips one round less than 2.3; its mDiff takes the extremes over other pixels; its
# mExamine leaves out the last rows of images that are higher than wide.
LINES = [
    ("mImgtbl -c proj OUT.tbl", 0),
    ("mOverlaps images.tbl OUT.tbl", 0),
    (f"mDiff {FRAME} {OTHER} OUT.fits mosaic.hdr", 1e-5),
    (f"mDiff -n {FRAME} {OTHER} OUT.fits mosaic.hdr", None),
    ("mFitplane d.fits", 0.02),
    ("mFitplane -l -b 3 d.fits", 0.02),
    ("mBgModel images.tbl fits.tbl OUT.tbl", 0),
    (f"mBackground -n {FRAME} OUT.fits 0.001 -0.002 5", 0),
    (f"mShrink {FRAME} OUT.fits 3", 0),
    (f"mShrink -f {FRAME} OUT.fits 100", 0),
    (f"mFixNaN -v 0 {FRAME} OUT.fits", 0),
    (f"mFixNaN {FRAME} OUT.fits 0 max", 0),
    (f"mSubimage -p {FRAME} OUT.fits 10 10 50 40", 0),
    (f"mSubimage {FRAME} OUT.fits 275.2872 -16.2292 0.02", 0),
    (f"mViewer -ct 1 -gray {FRAME} 10 400 log -out OUT.png", 0.02),
    (f"mViewer -red {FRAME} 10 400 -green {FRAME} 1% 99% -blue {FRAME} min max 2 -out OUT.png", 0.02),
    (f"mExamine {FRAME}", None),
    (f"mGetHdr {FRAME} OUT.hdr", 0),
    ("mMakeHdr -n images.tbl OUT.hdr", 1e-4),
    ("mAdd -n -e -p proj images.tbl mosaic.hdr OUT.fits", 0),
    ("mProjectPP proj/hdu0_raw_009_sin-cd.fits OUT.fits mosaic.hdr", 0),
]


@pytest.mark.peer
@pytest.mark.parametrize(("line", "tolerance"), LINES, ids=[line.split()[0] + str(i) for i, (line, _) in enumerate(LINES)])
def test_the_line_of_the_program(folder: Path, line: str, tolerance: float | None) -> None:
    name = line.split(maxsplit=1)[0]
    program = shutil.which(name)
    if program is None:
        pytest.skip("Montage's programs are not installed")
    done = subprocess.run(
        [program, *shlex.split(line.replace("OUT", "theirs"))[1:]],
        executable=program,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    with contextlib.chdir(folder):
        status, text = run_command(name, shlex.split(line.replace("OUT", "ours"))[1:])
    ours, theirs = pairs(text), pairs(done.stdout.strip().splitlines()[-1])
    assert status == 0, text
    assert theirs.pop("msg", "") in {"", '"Cube columns exist but are either blank or inconsistent. Outputting 2D only."'}
    ours.pop("msg", None)
    assert list(ours) == list(theirs)
    for key, value in theirs.items() if tolerance is not None else ():
        if key in {"time", "rms"} or "sigma" in key or "percent" in key:
            continue
        if tolerance and re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", value):
            assert float(ours[key]) == pytest.approx(float(value), rel=tolerance, abs=2.5 if name in {"mFitplane", "mExamine"} else 1e-3), (
                key
            )
        else:
            assert ours[key] == value, key


def test_results_go_to_the_status_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(folder):
        assert main(["mOverlaps", "-s", "status.txt", "images.tbl", "o.tbl"]) == 0
        assert main(["mOverlaps", "nope.tbl", "o.tbl", "-sbad.txt"]) == 1
    assert (folder / "status.txt").read_text().startswith('[struct stat="OK", module="mOverlaps", count=')
    assert (folder / "bad.txt").read_text().startswith('[struct stat="ERROR", msg="Invalid image metadata file: nope.tbl')
    assert capsys.readouterr().out == ""
    assert main(["mOverlaps", "-s", "/no/such/file", "nope.tbl", "o.tbl"]) == 1
    assert "Cannot open status file" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "mViewer"])
def test_no_words_are_answered_with_the_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 1
    assert capsys.readouterr().out == f'[struct stat="ERROR", msg="Usage: {usage_line(name)}"]\n'


@pytest.mark.peer
@pytest.mark.parametrize("name", [*COMMANDS])
def test_the_usage_is_the_programs_own(name: str) -> None:
    program = shutil.which(name)
    if program is None:
        pytest.skip("Montage's programs are not installed")
    theirs = subprocess.run([name], executable=program, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    assert run_command(name, [])[1] == theirs


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mBgModel -i x a b c", "Argument to -i (x) cannot be interpreted as an integer"),
        ("mBgModel -Q a b c", "Usage: mBgModel"),
        ("mBgModel a b c d", "Usage: mBgModel"),
        ("mFitplane -b x d.fits", "Argument to -b (x) cannot be interpreted as an integer"),
        ("mShrink a.fits b.fits abc", "Shrink factor (abc) cannot be interpreted as a real number"),
        ("mBackground a.fits b.fits x 2 3", "A coefficient string is not a number"),
        ("mAdd -a foo a b c", "Invalid argument for -a flag (foo)"),
        ("mProject -z nan a b c", "Argument to -z (nan) cannot be interpreted as a real number"),
        ("mExamine -p 1 a.fits", "No ra, dec, radius location given or file name missing"),
        ("mFixNaN a.fits b.fits 1", "Range limits come in pairs"),
        ("mCoverageCheck a b -foo 1", "Usage: mCoverageCheck"),
        ("mHistogram -file a.fits 1", "Usage: mHistogram"),
        ("mViewer", "Parameters: [-d]"),
        ("mViewer -gray a.fits min max", "File a.fits not found."),
        ("mMakeHdr -e x% a b", "Argument to -e (x) cannot be interpreted as a real number"),
    ],
)
def test_wrong_words(line: str, message: str, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        status, text = run_command(line.split(maxsplit=1)[0], line.split()[1:])
    assert status == 1
    assert text.startswith(f'[struct stat="ERROR", msg="{message}')
    assert "\n" not in text


def test_letters_and_places() -> None:
    call = parse_words("mImgtbl", ["-rcs", "status.txt", "raw", "-flist.txt", "images.tbl"])
    assert call.status_file == "status.txt"
    assert call.arguments == {
        "recursiveMode": True,
        "showCorners": True,
        "fieldListFile": "list.txt",
        "pathname": "raw",
        "tblname": "images.tbl",
    }
    call = parse_words("mBackground", ["a.fits", "b.fits", "-1e-3", "-.5", "3"])
    assert [call.arguments[k] for k in "ABC"] == [-1e-3, -0.5, 3.0]
    call = parse_words("mAdd", ["-a", "median", "-e", "i.tbl", "t.hdr", "o.fits"])
    assert (call.arguments["coadd"], call.arguments["shrink"], call.arguments["haveAreas"]) == (1, False, True)
    call = parse_words("mSubimage", ["a", "b", "275", "-16", "0.1"])
    assert (call.arguments["xsize"], call.arguments["ysize"]) == (0.1, 0.1)
    call = parse_words("mFixNaN", ["a", "-", "min", "0", "5", "max"])
    assert (call.arguments["minblank"], call.arguments["maxblank"]) == ([0.0, 5.0], [0.0, 0.0])
    assert (call.arguments["ismin"], call.arguments["ismax"]) == ([False, True], [True, False])
    call = parse_words("mCoverageCheck", ["-p", "raw", "a", "b", "-circle", "275", "-16", "0.1"])
    assert call.arguments["array"] == [275.0, -16.0, 0.1]
    call = parse_words("mMakeHdr", ["-e", "10%", "-n", "a", "b", "GAL"])
    assert (call.arguments["pad"], call.arguments["isPercentage"], call.arguments["northAligned"], call.arguments["csys"]) == (
        10.0,
        True,
        1,
        "GAL",
    )


def test_background_from_tables(folder: Path) -> None:
    with contextlib.chdir(folder):
        assert run_command("mBackground", ["-t", FRAME, "t.fits", "images.tbl", "corr.tbl"])[0] == 0
        call = parse_words("mBackground", ["-t", FRAME, "t.fits", "images.tbl", "corr.tbl"])
        assert call.arguments["C"] != 0.0
        status, text = run_command("mBackground", ["-t", "other.fits", "t.fits", "images.tbl", "corr.tbl"])
    assert (status, "Hit end of image table without finding file name" in text) == (1, True)


def test_a_batch_with_failures_is_an_error_with_counts(folder: Path) -> None:
    with contextlib.chdir(folder):
        Path("gone.tbl").write_text(Path("images.tbl").read_text().replace("hdu0_raw_000", "hdu0_raw_999"))
        status, text = run_command("mBgExec", ["-p", "proj", "gone.tbl", "corr.tbl", "."])
    assert status == 1
    found = pairs(text)
    assert (found["stat"], found["count"], found["failed"]) == ('"ERROR"', "4", "1")
    assert "hdu0_raw_999_crota.fits" in found["msg"]


def test_answers_stay_on_one_line() -> None:
    line = struct_line("mAdd", {"status": "1", "msg": b'no "such"\nfile\x1b[31m'})
    assert line == '[struct stat="ERROR", msg="no \'such\' file [31m"]'


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert main(["mBgModel", "--help"]) == 0
    assert "usage: nbmosaic mBgModel [-i niter]" in capsys.readouterr().out


WORD = st.one_of(
    st.sampled_from(["-s", "-d", "-n", "-p", "-e", "-a", "1", "-1", "x.tbl", "-", "--", "nan", "1e999", "-circle", "min"]),
    st.text(max_size=6),
)
WORDS = st.lists(WORD, max_size=9)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([name for name in COMMANDS if name not in {"mViewer", "mHistogram", "mBackground"}]), WORDS)
def test_any_words_are_a_call_or_our_error(name: str, words: list[str]) -> None:
    with contextlib.suppress(InputError):
        parse_words(name, words)
