"""mViewer against the real one, its words and JSON, its overlays, and what it says to nonsense."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.shared import shared_path

from nbmosaic.compat.montage.viewer import mViewer
from nbmosaic.compat.montage.viewer_json import from_json
from nbmosaic.compat.montage.viewer_words import from_words, split_words
from nbmosaic.errors import NbmosaicError

PEER = """
import json, sys
from MontagePy.main import mViewer
answers = []
for command, out in json.loads(sys.stdin.read()):
    answers.append({k: v.decode() if isinstance(v, bytes) else v for k, v in mViewer(command, out, mode=2).items()})
print("ANSWERS" + json.dumps(answers))
"""
STRETCHES = ["linear", "log", "2", "gaussian", "gaussian-log"]
DIRECTIVES = [
    "-gray",
    "-red",
    "-ct",
    "-grid",
    "-symbol",
    "-mark",
    "-label",
    "-catalog",
    "-imginfo",
    "-scalecol",
    "-color",
    "-csys",
    "-alpha",
    "-t",
    "-d",
]
VALUES = [
    "a.fits",
    "-2s",
    "max",
    "1%",
    "gaussian-log",
    "asinh",
    "10",
    "eq",
    "j2000",
    "box",
    "starred",
    "5",
    "none",
    "3p",
    "",
    "nan",
    "1e999",
    "-",
    '"',
]

KEYS = ["type", "lon", "lat", "text", "fits_file", "data_file", "symbol", "sym_size"]


def header(**more: object) -> fits.Header:
    h = fits.Header()
    wcs = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 10.0,
        "CRVAL2": 20.0,
        "CRPIX1": 32.0,
        "CRPIX2": 16.0,
        "CDELT1": -0.001,
        "CDELT2": 0.001,
    }
    h.update({**wcs, "BUNIT": "DN", **more})
    return h


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """48 x 64 pixels with a level that rises along x, one blank pixel, and a bright one at y 40, x 50."""
    data = np.tile(np.arange(64, dtype=np.float32), (48, 1))
    data[0, 0] = np.nan
    data[40, 50] = 500.0
    path = tmp_path / "frame.fits"
    fits.writeto(path, data, header())
    return path


def levels(path: Path, mode: str = "L") -> np.ndarray:
    return np.asarray(Image.open(path).convert(mode)).astype(int)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "mosaic.fits"
    path.write_bytes(gzip.decompress(shared_path("golden/montage/mosaic/mpy_full_mean.fits.gz").read_bytes()))
    return path


@pytest.mark.peer
def test_the_same_grey_levels_as_montage(mosaic: Path) -> None:
    pytest.importorskip("MontagePy", reason="MontagePy is not installed")
    pytest.importorskip("importlib_resources", reason="MontagePy's viewer needs importlib_resources")
    folder = mosaic.parent
    limits = ["1% 99.5%", "min 99%", "260 400", "-2s 5s", "-2s max"]
    commands = [(f"-gray {mosaic} {limits[i]} {stretch}", f"{folder}/peer_{i}.png") for i, stretch in enumerate(STRETCHES)]
    commands.append((f"-brightness 30 -contrast 40 -ct 1 -gray {mosaic} 1% 99% linear", f"{folder}/peer_5.png"))
    done = subprocess.run([sys.executable, "-c", PEER], input=json.dumps(commands), capture_output=True, text=True, timeout=120, check=True)
    answers = json.loads(done.stdout.split("ANSWERS")[1])
    for i, ((command, out), theirs) in enumerate(zip(commands, answers, strict=True)):
        ours = mViewer(command, folder / f"ours_{i}.png", mode=2)
        assert list(ours) == list(theirs)
        assert {k: type(v) for k, v in ours.items() if not isinstance(v, bytes)} == {
            k: type(v) for k, v in theirs.items() if not isinstance(ours[k], bytes)
        }
        for key, value in ours.items():
            text = value.decode() if isinstance(value, bytes) else value
            # a bin of Montage's histogram is 0.032 DN wide, 0.0026 of its sigma
            assert text == (pytest.approx(theirs[key], abs=0.035) if isinstance(text, float) else theirs[key]), (command, key)
        a, b = levels(folder / f"ours_{i}.png"), levels(Path(out))
        assert a.shape == b.shape
        assert np.abs(a - b).mean() < 0.5, command
        # the Gaussian's tail below two sigmas has few pixels: one more or less is some levels
        assert np.abs(a - b).max() <= (6 if "gaussian" in command else 2), command  # contrast doubles a level


def test_the_stored_picture_of_montage_6(mosaic: Path, tmp_path: Path) -> None:
    stored = levels(shared_path("golden/montage/mosaic/v60_pp_mean_ct1_gausslog.png"))
    assert mViewer(f"-ct 1 -saturate 255 -gray {mosaic} -2s max gaussian-log", tmp_path / "ours.png", mode=2)["status"] == "0"
    ours = levels(tmp_path / "ours.png")
    # Montage 6.0 cut its mosaic to the covered 919 x 716 pixels and made it with the other projection: the pictures agree as a whole.
    best = min(np.median(np.abs(ours[y : y + 716, x : x + 919] - stored)) for y in (0, 1) for x in (0, 1, 2))
    assert best <= 3


def test_one_picture_pixel_for_each_image_pixel(frame: Path, tmp_path: Path) -> None:
    answer = mViewer(f"-gray {frame} 0 255 linear", tmp_path / "p.png", mode=2)
    assert (answer["status"], answer["nx"], answer["ny"], answer["flipX"], answer["flipY"]) == ("0", 64, 48, 0, 1)
    assert (answer["type"], answer["bunit"], answer["graydatamax"]) == (b"grayscale", b"DN", 500.0)
    picture = levels(tmp_path / "p.png")
    assert picture[10, 5] == 5  # any row
    assert picture[47 - 40, 50] == 255  # north is up: row 40 of 48
    assert picture[47, 0] == 0  # the blank pixel


def test_north_up_and_east_left(frame: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    mViewer(f"-gray {frame} 0 255 linear", plain, mode=2)
    data = fits.getdata(frame)
    for name, turned, more in (
        ("mirrored", data[:, ::-1], {"CDELT1": 0.001}),
        ("south", data[::-1], {"CDELT2": -0.001}),
        ("half", data[::-1, ::-1], {"CROTA2": 180.0}),
    ):
        fits.writeto(tmp_path / f"{name}.fits", turned, header(**more))
        mViewer(f"-gray {tmp_path}/{name}.fits 0 255 linear", tmp_path / f"{name}.png", mode=2)
        assert np.array_equal(levels(tmp_path / f"{name}.png"), levels(plain)), name
    mViewer(f"-noflip -gray {frame} 0 255 linear", tmp_path / "noflip.png", mode=2)
    assert np.array_equal(levels(tmp_path / "noflip.png"), levels(plain)[::-1])


def test_three_colours_on_one_grid(frame: Path, tmp_path: Path) -> None:
    shifted = tmp_path / "shifted.fits"
    fits.writeto(shifted, np.full((20, 30), 100.0, np.float32), header(CRPIX1=32.0 - 10, CRPIX2=16.0 - 5))
    answer = mViewer(f"-red {frame} 0 255 -green {frame} 0 510 -blue {shifted} 0 255", tmp_path / "c.png", mode=2)
    assert (answer["status"], answer["type"], answer["nx"], answer["ny"]) == ("0", b"color", 64, 48)
    assert answer["greenmaxval"] == 510.0
    picture = levels(tmp_path / "c.png", "RGB")[::-1]
    assert picture[20, 12].tolist() == [12, 6, 100]
    assert picture[4, 12].tolist() == [12, 6, 0]
    fits.writeto(tmp_path / "other.fits", np.ones((4, 4), np.float32), header(CDELT1=-0.002))
    answer = mViewer(f"-red {frame} 0 1 -green {tmp_path}/other.fits 0 1 -blue {frame} 0 1", tmp_path / "no.png", mode=2)
    assert answer["msg"].startswith(b"Red and green FITS images don't have matching projections")


def test_json_and_words_say_the_same(frame: Path, tmp_path: Path) -> None:
    tree = {
        "gray_file": {
            "fits_file": str(frame),
            "stretch_min": 0,
            "stretch_max": "max",
            "stretch_mode": "asinh",
            "stretch_beta": "10",
            "color_table": 3,
        },
        "overlays": [
            {"type": "mark", "lon": "20p", "lat": "30p", "symbol": "box", "sym_size": "5p", "color": "red"},
            {"type": "grid", "visible": False},
        ],
    }
    (tmp_path / "p.json").write_text(json.dumps(tree))
    words = f"-ct 3 -gray {frame} 0 max asinh 10 -color red -symbol 5p box -mark 20p 30p"
    answers = [mViewer(c, tmp_path / f"{m}.png", mode=m) for m, c in ((0, tmp_path / "p.json"), (1, json.dumps(tree)), (2, words))]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["status"] == "0"
    assert len({(tmp_path / f"{m}.png").read_bytes() for m in (0, 1, 2)}) == 1


def test_overlays_lie_where_they_mean(frame: Path, tmp_path: Path) -> None:
    table = tmp_path / "stars.tbl"
    # pixel (x 50, y 40), 0-based, is 18 pixels west... of the reference pixel at x 31, y 15
    ra = 10.0 - 0.019 / np.cos(np.radians(20.025))
    table.write_text(f"|    ra     |    dec    | name      | colour |\n {ra:11.6f}  20.025000  $x^2_bad$   lime   \n")
    plain, drawn = tmp_path / "plain.png", tmp_path / "drawn.png"
    mViewer(f"-gray {frame} 0 1e9", plain, mode=2)
    answer = mViewer(f"-color red -symbol 4p square -colorcol colour -catalog {table} -gray {frame} 0 1e9", drawn, mode=2)
    assert answer["status"] == "0", answer
    before, after = levels(plain, "RGB"), levels(drawn, "RGB")
    changed = np.argwhere((before != after).any(axis=-1))
    y, x = changed.mean(axis=0)
    assert (47 - y, x) == (pytest.approx(40, abs=0.3), pytest.approx(50, abs=0.3))
    assert after[..., 1].max() > 200  # lime, from the table
    assert after[..., 0].max() < 100
    # corners at 4 pixels along the diagonals: 2.8 to each side
    assert np.ptp(changed, axis=0).tolist() == [pytest.approx(6, abs=1)] * 2


@pytest.mark.parametrize("text", ["$\\frac{", "<b>&amp;</b>", "%s{0}", "\\alpha", "Grüße\u202e", "$" * 300])
def test_labels_are_drawn_as_they_stand(frame: Path, tmp_path: Path, text: str) -> None:
    label = {"type": "label", "lon": "30p", "lat": "20p", "text": text, "color": "white"}
    tree = {"gray_file": {"fits_file": str(frame), "stretch_min": 0, "stretch_max": "max"}, "overlays": [label]}
    answer = mViewer(json.dumps(tree), tmp_path / "l.png", mode=1)
    assert answer["status"] == "0", answer
    assert levels(tmp_path / "l.png").max() > 200


def test_outlines_grid_and_jpeg(mosaic: Path, tmp_path: Path) -> None:
    table = shared_path("golden/montage/tables/montagepy_2.3.0/rimages.tbl")
    command = f"-gray {mosaic} -2s max gaussian-log -color yellow -grid eq -grid ga -color red -imginfo {table} -symbol 2m compass -mark 275.2 -16.2"
    assert mViewer(command, tmp_path / "o.jpg", mode=2, outFmt="jpeg")["status"] == "0"
    with Image.open(tmp_path / "o.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (921, 717))
    assert mViewer(command + f" -out {tmp_path}/o.png", "unused", mode=2)["status"] == "0"
    pixels = levels(tmp_path / "o.png", "RGB")
    red = pixels[..., 0] - pixels[..., 1] > 80
    # 12 outlines of about 1000 pixels, one to two pixels wide
    assert 5000 < red.sum() < 25000
    assert (pixels[..., 1] - pixels[..., 2] > 80).sum() > 2000


def test_blank_and_alpha(frame: Path, tmp_path: Path) -> None:
    assert mViewer(f"-tzero 1 -imgalpha 0.5 -saturate 0 -gray {frame} 0 255", tmp_path / "a.png", mode=2)["status"] == "0"
    alpha = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))[..., 3]
    assert alpha[47, 0] == 0
    assert alpha[20, 30] == 128


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("-gray nope.fits 0 1 linear", "File nope.fits not found."),
        ("", "Parameters: [-d]"),
        ("-gray FRAME 0", "Too few arguments following -gray flag"),
        ("-gray FRAME 0 foo", "'foo' is not a valid display max"),
        ("-ct 14 -gray FRAME 0 1", "Color table index must be a number between 0 and 12"),
        ("-bogus -gray FRAME 0 1", "Invalid directive: -bogus"),
        ("-gray FRAME 0 1 -symbol 2x", "Invalid symbol size '2x'"),
        ("-gray FRAME 0 1 -color mauvish -mark 1 1", "Invalid color specification 'mauvish'"),
        ("-gray FRAME 0 1 -catalog nope.tbl", "Invalid table file [nope.tbl]"),
        ("-red FRAME 0 1", "Color mode but no green image given"),
        ("-brightness 300 -gray FRAME 0 1", "Brightness parameter (300) must be a number between -255 and 255"),
        ("-gray FRAME[3] 0 1", "Can't find HDU 3"),
        ("-gray GARBAGE 0 1", "is not a FITS file"),
        ("-gray BLANK 0 1", "Image contains no non-blank pixels."),
        ("-gray NOWCS 0 1", "no celestial WCS"),
        ("-nowcs -grid eq -gray NOWCS 0 1", "needs an image with coordinates"),
        ("-histfile a b", "Invalid directive: -histfile"),
    ],
)
def test_nonsense_is_named(frame: Path, tmp_path: Path, command: str, message: str) -> None:
    (tmp_path / "garbage.fits").write_text("garbage")
    fits.writeto(tmp_path / "blank.fits", np.full((4, 4), np.nan, np.float32), header())
    fits.writeto(tmp_path / "nowcs.fits", np.ones((4, 4), np.float32))
    for name in ("garbage", "blank", "nowcs"):
        command = command.replace(name.upper(), str(tmp_path / f"{name}.fits"))
    answer = mViewer(command.replace("FRAME", str(frame)), tmp_path / "x.png", mode=2)
    assert answer["status"] == "1"
    assert message in answer["msg"].decode()
    assert not (tmp_path / "x.png").exists()


def test_bad_files_and_modes(frame: Path, tmp_path: Path) -> None:
    assert b"Cannot open input JSON file." in mViewer("nope.json", "x.png")["msg"]
    assert b"Invalid JSON structure." in mViewer("{", "x.png", mode=1)["msg"]
    assert b"Invalid JSON structure." in mViewer("[" * 100_000, "x.png", mode=1)["msg"]
    assert mViewer("{}", "x.png", mode=1)["msg"] == b"Grayscale/pseudocolor mode but no gray image given"
    assert b"mode (7)" in mViewer("{}", "x.png", mode=7)["msg"]
    assert b"no folder" in mViewer(f"-gray {frame} 0 1", "/no/such/x.png", mode=2)["msg"]
    assert b"outFmt" in mViewer(f"-gray {frame} 0 1", tmp_path / "x.gif", mode=2, outFmt="gif")["msg"]
    assert b"Font file" in mViewer(f"-gray {frame} 0 1", tmp_path / "x.png", mode=2, fontFile="nope.ttf")["msg"]
    assert mViewer(None, "x.png")["status"] == "1"
    assert mViewer("-nowcs -gray " + str(frame) + " 0 max", (tmp_path / "b.png").as_posix().encode(), mode=2)["status"] == "0"


def test_a_png_of_one_colour_is_small(frame: Path, tmp_path: Path) -> None:
    mViewer(f"-gray {frame} 0 255", tmp_path / "g.png", mode=2)
    assert Image.open(io.BytesIO((tmp_path / "g.png").read_bytes())).mode == "L"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(DIRECTIVES), st.sampled_from(VALUES), st.text(max_size=8)), max_size=12))
def test_any_words_are_a_picture_or_our_error(words: list[str]) -> None:
    with contextlib.suppress(NbmosaicError):
        from_words(words).spec()


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.builds(
            json.dumps,
            st.dictionaries(
                st.sampled_from(["gray_file", "overlays", "color", "alpha", "symbol", "coord_sys", "true_color", "color_table", "no_wcs"]),
                st.recursive(
                    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=8)),
                    lambda inner: st.one_of(
                        st.lists(inner, max_size=3),
                        st.dictionaries(
                            st.sampled_from(KEYS),
                            inner,
                            max_size=5,
                        ),
                    ),
                    max_leaves=8,
                ),
                max_size=5,
            ),
        ),
    )
)
def test_any_json_is_a_picture_or_our_error(text: str) -> None:
    with contextlib.suppress(NbmosaicError):
        from_json(text).spec()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_splitting_never_fails(text: str) -> None:
    assert all(split_words(text))
