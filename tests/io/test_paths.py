from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nbmosaic.errors import FormatError, InputError
from nbmosaic.io.paths import expand_inputs, file_stem, is_fits_name, natural_key, split_hdu


@pytest.fixture
def folder(tmp_path):
    for name in ("f_10.fits", "f_2.fits", "f_1.fit.gz", "g.fts", "h.fits.fz", "f_1_area.fits", "notes.txt", ".hidden.fits"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(found):
    return [Path(f).name for f in found]


def test_folder_takes_fits_files_in_natural_order(folder):
    assert names(expand_inputs(folder)) == ["f_1.fit.gz", "f_2.fits", "f_10.fits", "g.fts", "h.fits.fz"]


def test_pattern_is_sorted_and_list_keeps_its_order(folder):
    assert names(expand_inputs(str(folder / "f_*.fits"))) == ["f_1_area.fits", "f_2.fits", "f_10.fits"]
    assert names(expand_inputs([folder / "g.fts", str(folder / "f_[0-9].fits")])) == ["g.fts", "f_2.fits"]
    assert names(expand_inputs(name for name in [folder / "g.fts"])) == ["g.fts"]


def test_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert expand_inputs("~/g.fts") == [str(folder / "g.fts")]


def test_hdu_suffix_is_no_pattern(folder):
    assert names(expand_inputs(str(folder / "f_2.fits[1]"))) == ["f_2.fits[1]"]
    assert split_hdu("a.fits[3]") == ("a.fits", 3)
    assert split_hdu("a.fits[SCI]") == ("a.fits", "SCI")
    assert split_hdu("a[12].dat") == ("a[12].dat", None)


def test_brackets_in_a_real_name(folder):
    (folder / "m[1].fits").write_bytes(b"x")
    assert names(expand_inputs(str(folder / "m[1].fits"))) == ["m[1].fits"]
    assert split_hdu(str(folder / "m[1].fits"))[1] is None


def test_images_in_memory_pass_through():
    pair = (np.zeros((2, 2)), object())
    assert expand_inputs(pair)[0] is pair
    assert expand_inputs([pair, pair]) == [pair, pair]


def test_nothing_found_names_the_pattern_and_the_nearest_file(folder):
    with pytest.raises(FormatError, match=r"no file matches .*z\*\.fits.*FITS files? in .*, such as f_1\.fit\.gz"):
        expand_inputs(str(folder / "z*.fits"))
    with pytest.raises(FormatError, match=r"no such file: .*f_3\.fits; did you mean .*f_\d+\.fits\?"):
        expand_inputs(str(folder / "f_3.fits"))
    with pytest.raises(FormatError, match="there is no folder"):
        expand_inputs(str(folder / "night7" / "*.fits"))
    with pytest.raises(InputError, match="the list is empty"):
        expand_inputs([])


def test_folder_without_frames(tmp_path):
    with pytest.raises(FormatError, match="the folder is empty"):
        expand_inputs(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FormatError, match=r"it holds notes\.txt"):
        expand_inputs(tmp_path)


def test_small_helpers():
    assert sorted(["b10", "b9", "a"], key=natural_key) == ["a", "b9", "b10"]
    assert [is_fits_name(n) for n in ("a.FITS", "a.fit.gz", "a.fits.bz2", "fits")] == [True, True, False, False]
    assert [file_stem(n) for n in ("x/a.b.fits.fz", "c.fit", "d.dat")] == ["a.b", "c", "d.dat"]
