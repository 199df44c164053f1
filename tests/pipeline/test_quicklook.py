"""How products and runs draw themselves."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import nbmosaic
from nbmosaic.core.matching.apply import frame_depth, overlap_images
from nbmosaic.core.matching.planes import fit_overlap, stack_fits
from nbmosaic.core.simulation import Detector
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.demo import _log_table
from nbmosaic.pipeline.products import Frames, Overlaps, Table
from nbmosaic.pipeline.quicklook import Picture, overlap_picture, picture
from nbmosaic.pipeline.simulation.frames import simulate_frames
from nbmosaic.types import PixelBox

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("some") / "long" / "folder"
    simulate_frames(folder, n_frames=4, size=96, seed=2)
    return nbmosaic.mosaic(str(folder), method="bilinear")


KINDS = [
    ("images", None, "outlines of 4 frames"),
    ("project", "footprints", "outlines of 4 frames"),
    ("project", "coverage", r"coverage map .* up to 4, median"),
    ("overlaps", None, r"network of 4 frames and 6 overlaps; differences: median [\d.]+ DN"),
    ("background", None, r"background planes of 4 frames, from -?[\d.]+ to [\d.]+ DN"),
    ("background", "network", r"network of 4 frames and 6 overlaps; remaining differences: median [\d.]+ DN"),
    ("background", "errors", r"background levels of 4 frames, .* standard errors [\d.]+ to [\d.]+ DN"),
    ("background", "residuals", r"differences over 6 overlaps: median [\d.]+ DN before, [\d.]+ DN after"),
    ("background", "planes3d", "drawn in space"),
    ("coadd", None, r"mosaic \d+ x \d+ px, 4 frames, \d+ % blank, centre 83.8\d+, -5.\d+ deg"),
    ("coadd", "coverage", r"coverage map \d+ x \d+ px, up to 4"),
]


@pytest.mark.parametrize(("stage", "kind", "words"), KINDS)
def test_pictures_say_what_they_show(run, stage, kind, words):
    drawn = nbmosaic.show(run[stage], kind=kind)
    assert drawn.png.startswith(PNG)
    assert re.search(words, drawn.alt), drawn.alt


def test_every_kind_is_named_by_an_unknown_one(run):
    with pytest.raises(ConfigError, match="planes3d"):
        picture(run["background"], kind="nothing", width=8)
    with pytest.raises(ConfigError, match="no picture of Grid"):
        picture(run["header"], kind=None, width=8)


def test_a_picture_is_one_picture_in_all_its_forms(run):
    drawn = picture(run["overlaps"], kind=None, width=6)
    assert picture(drawn, kind=None, width=3) is drawn
    data, metadata = drawn._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", "image/png"}
    assert metadata == {"image/png": {"alt": drawn.alt}}
    assert data["text/html"].count("<img") == 1
    assert f'alt="{drawn.alt}"' in data["text/html"]
    assert data["text/plain"] == repr(drawn)
    assert drawn._repr_mimebundle_(include={"text/plain"}) == ({"text/plain": repr(drawn)}, {})
    assert "image/png" not in drawn._repr_mimebundle_(exclude={"image/png"})[0]


def test_a_picture_in_a_shell_is_displayed_once(run):
    from IPython.core.interactiveshell import InteractiveShell

    drawn = picture(run["overlaps"], kind=None, width=6)
    data, metadata = InteractiveShell.instance().display_formatter.format(drawn)
    assert metadata["image/png"]["alt"] == drawn.alt
    assert data["image/png"]
    assert data["text/html"].count("<img") == 1


def test_units_go_from_the_frames_to_the_tables(run):
    assert run["overlaps"].unit == run["background"].unit == run["project"].unit == "DN"
    assert "DN/pix" in run["overlaps"]._repr_html_()


def test_folders_that_all_names_share_are_left_out(run):
    for stage in ("images", "project", "background", "overlaps", "correct"):
        assert "long/folder" not in run[stage]._repr_html_()
        assert "frame_001" in run[stage]._repr_html_()
        assert "long/folder" in "".join(map(str, run[stage].table.iloc[0])), "the table itself keeps the whole name"


def test_tables_show_useful_columns_first_and_count_the_rest(run):
    html = run["overlaps"]._repr_html_()
    heads = re.findall(r'<th scope="col"[^>]*>(\w+)', html)
    assert heads[:5] == ["row", "plus", "minus", "level", "level_err"]
    assert "flag" not in heads, "an empty column tells nothing"
    total = len(run["overlaps"].table.columns)
    assert f"{total - len(heads) + 1} more columns in .table" in html
    assert heads[5:7] == ["rms", "npixel"]
    assert not re.search(r">\d{4,}\.0+<", html), "counts are whole numbers"


def test_a_long_table_is_not_formatted_whole():
    table = Table(pd.DataFrame({"name": [f"a/{i}" for i in range(200_000)], "n": np.arange(200_000.0)}), "t.csv")
    assert "… 199990 more rows" in table._repr_html_()
    assert "199992 more rows" in repr(table)


def test_an_empty_product_has_all_its_forms():
    assert "0 frames" in repr(Frames(()))
    assert "0 frames" in Frames(())._repr_html_()


def test_a_failed_stage_says_why(run):
    with pytest.raises(InputError) as caught:
        nbmosaic.mosaic([info.name for info in run["images"].infos], method="bilinear", reference=["nothing"])
    failed = caught.value.context["run"]
    assert failed.log[4].error == str(caught.value)
    assert str(caught.value) in repr(failed)
    assert "no frame named" in failed._repr_html_()


def test_the_log_counts_in_whole_numbers(run):
    table = _log_table(run)
    assert str(table["out"].dtype) == "Int64"
    assert table.loc["project", "out"] == 4


def test_the_picture_of_an_overlap_shows_the_pixels_that_were_kept(run):
    pairs, projected = run["overlaps"], run["project"]
    drawn = overlap_picture(projected, pairs, 1)
    assert f"{int(pairs.planes.n_pixels[1])} pixels kept" in drawn.alt
    assert drawn.alt == projected.overlap_picture(pairs, 1).alt
    axes = projected.plot_overlap(pairs, 1)
    texts = [text.get_text() for text in axes[3].get_legend().get_texts()]
    assert f"kept: {int(pairs.planes.n_pixels[1])}" in texts
    clipped = int(pairs.planes.n_valid[1] - pairs.planes.n_pixels[1])
    assert any(text.startswith(f"clipped: {clipped}") for text in texts) or not clipped


def test_overlaps_that_cannot_be_drawn_say_so(run):
    pairs, projected = run["overlaps"], run["project"]
    with pytest.raises(InputError, match="no overlap 99"):
        overlap_picture(projected, pairs, 99)
    few = Overlaps(
        planes=pairs.planes.replace(n_pixels=0 * pairs.planes.n_pixels),
        cells=pairs.cells,
        names=pairs.names,
        boxes=pairs.boxes,
        origin=(0, 0),
    )
    with pytest.raises(InputError, match="too few pixels"):
        overlap_picture(projected, few, 0)


def test_pixels_kept_are_those_within_the_limit():
    rng = np.random.default_rng(5)
    plus = (rng.normal(size=(60, 80)) + 0.01 * np.arange(80)).astype(np.float32)
    minus = rng.normal(size=(60, 80)).astype(np.float32)
    plus[10:12, 20:25] += 50
    plus[:3] = np.nan
    area = np.ones_like(plus)
    area[-2:] = 0.5
    box = PixelBox(5, 65, 7, 87)
    fit = fit_overlap(plus, minus, box, plus_area=area)
    shown = overlap_images(plus, minus, box, stack_fits([fit]), 0, plus_area=area)
    residual = np.abs(shown.difference - shown.plane)
    assert shown.kept.sum() == fit.n_pixels
    assert np.isfinite(shown.difference).sum() == fit.n_valid
    assert not shown.kept[10:12, 20:25].any()
    # converged: the limit is three standard deviations of the pixels kept
    np.testing.assert_array_equal(shown.kept, np.isfinite(residual) & (residual <= 3 * fit.rms))


def test_depth_counts_the_frames_of_each_sample():
    rng = np.random.default_rng(6)
    boxes = [PixelBox(0, 5, 0, 5), PixelBox(-2, 3, 3, 9), PixelBox(20, 22, 20, 22)]
    masks = [rng.random(box.shape) < 0.7 for box in boxes]
    got = frame_depth(masks, boxes, PixelBox(0, 6, 0, 8))
    for y in range(6):
        for x in range(8):
            n = sum(m[y - b.ymin, x - b.xmin] for m, b in zip(masks, boxes, strict=True) if b.ymin <= y < b.ymax and b.xmin <= x < b.xmax)
            assert got[y, x] == n


def test_noise_free_frames_have_pictures_too(tmp_path):
    simulate_frames(tmp_path, n_frames=2, size=64, seed=4, detector=Detector(noise=0.0, cosmic_rays=0, bad_columns=0))
    made = nbmosaic.mosaic(str(tmp_path), method="bilinear")
    assert isinstance(overlap_picture(made["project"], made["overlaps"], 0), Picture)
