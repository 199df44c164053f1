"""imphot's scripts: arguments, lines on standard output, exit codes, files; records of the real scripts where they ran."""

from __future__ import annotations

import gzip
import importlib
import math
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from nbmosaic.compat import imphot
from nbmosaic.io.image_planes import read_sky_image


@pytest.fixture
def work(golden, tmp_path, monkeypatch):
    """A folder with the inputs, as the records have them."""
    (tmp_path / "inputs").mkdir()
    for path in (golden.folder / "inputs").iterdir():
        if path.suffix == ".gz":
            with gzip.open(path) as source, (tmp_path / "inputs" / path.name[:-3]).open("wb") as target:
                shutil.copyfileobj(source, target)
        else:
            shutil.copy(path, tmp_path / "inputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(function, *words):
    """Exit code of a script."""
    try:
        function([function.__name__.removesuffix("_main"), *words])
    except SystemExit as end:
        return end.code or 0
    return 0


def same_lines(text, record, dec=-27.78, limit=2e-4):
    """Lines of words alike, lines of numbers within `limit`; ra-offset times cos dec (D7)."""
    ours, theirs = text.rstrip("\n").split("\n"), record.rstrip("\n").split("\n")
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        found = re.fullmatch(r"(\S+ +(?:image|stars)) (.*)", other)
        if found is None:
            assert one == other
            continue
        assert one.startswith(found.group(1))
        assert len(one) == len(other)
        numbers = [[float(word) for word in line.split()[2:]] for line in (one, other)]
        numbers[1][6] *= math.cos(math.radians(dec))
        assert numbers[0] == pytest.approx(numbers[1], abs=limit)


def test_scripts_are_installed():
    root = Path(__file__).resolve().parents[3]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    for name in ("fit_photometry", "regrid_hst_to_muse", "make_wideband_image"):
        module, _, function = scripts[name].partition(":")
        assert getattr(importlib.import_module(module), function) is getattr(imphot, f"{name}_main")


@pytest.mark.parametrize("case", ["one", "regions"])
def test_one_image(golden, work, capsys, case):
    record = golden.second[f"cli/{case}"]
    assert run(imphot.fit_photometry_main, *record["args"]) == record["rc"] == 0
    same_lines(capsys.readouterr().out, record["stdout"])


def test_reports(golden, work, capsys):
    """The report goes before; its variables are imphot's, with honest errors."""
    record = golden.second["cli/one_beta_none"]
    assert run(imphot.fit_photometry_main, *record["args"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Report of HST image photometry fit of MUSE observation dev1\n[[")
    same_lines("\n".join(out.rstrip("\n").split("\n")[-4:]), "\n".join(record["stdout"].rstrip("\n").split("\n")[-4:]))
    for name in ("dx", "dy", "bg", "scale", "fwhm", "beta"):
        ours, theirs = (float(re.search(rf" {name}: +(\S+)", text).group(1)) for text in (out, record["stdout"]))
        assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("case", ["multi", "multi_star", "star"])
def test_several_images_and_stars(golden, work, capsys, case):
    """One heading; with --star two lines an image. In the image fits of a star alone the pixels differ by D6."""
    record = golden.second[f"cli/{case}"]
    assert run(imphot.fit_photometry_main, *record["args"], "--nworker", "1") == record["rc"] == 0
    out = capsys.readouterr().out
    if case == "multi":
        same_lines(out, record["stdout"])
        return
    ours, theirs = (text.rstrip("\n").split("\n") for text in (out, record["stdout"]))
    same_lines("\n".join([*ours[:3], *ours[4::2]]), "\n".join([*theirs[:3], *theirs[4::2]]))
    same_lines("\n".join(ours[3::2]), "\n".join(theirs[3::2]), limit=0.02)


def test_star_drops_none_of_the_other_options(work, capsys):
    """D13: they count beside --star as without it."""
    words = [
        "inputs/hst.fits",
        "inputs/dev1.fits",
        "--regions",
        "inputs/exclude_stars.reg",
        "--taper",
        "15",
        "--extramask",
        "inputs/extramask.fits",
    ]
    words += ["--margin", "5", "--hst_fwhm", "0.1", "--fix_dx", "0.05"]
    assert run(imphot.fit_photometry_main, *words) == 0
    alone = capsys.readouterr().out.rstrip("\n").split("\n")[-1]
    star = ["--star", "53.15462675967347", "-27.774829062798265", "3.0", "--apply", "--resample", "--save"]
    shutil.copy("inputs/dev1.fits", "dev1.fits")
    words[1] = "dev1.fits"
    assert run(imphot.fit_photometry_main, *words, *star) == 0
    assert capsys.readouterr().out.rstrip("\n").split("\n")[-2] == alone
    assert {one.name for one in work.iterdir()} >= {"dev1_aligned.fits", "dev1_image.fits", "dev1_residual_fft.fits"}
    assert list(read_sky_image("dev1_aligned.fits").wcs.wcs.crpix) == pytest.approx([160.5, 160.5])


def test_apply_and_plots(golden, work, capsys, monkeypatch):
    from nbmosaic.compat.imphot import outputs

    monkeypatch.setattr(outputs, "_DPI", 30)
    record = golden.second["cli/apply"]
    shutil.copy("inputs/dev1.fits", "dev1.fits")
    assert run(imphot.fit_photometry_main, *record["args"]) == record["rc"] == 0
    same_lines(capsys.readouterr().out, record["stdout"])
    assert (work / "dev1_image_fit.png").read_bytes().startswith(b"\x89PNG")
    ours, theirs = read_sky_image("dev1_aligned.fits"), read_sky_image(str(golden.folder / "cli_dev1_aligned_resample.fits.gz"))
    both = ~ours.mask & ~theirs.mask
    assert np.corrcoef(ours.data[both], theirs.data[both])[0, 1] > 0.97  # imphot's is smoothed (D15)


def test_mistakes_are_told_on_standard_output(work, capsys):
    """Exit 1; imphot ends with an AttributeError (D4). Other images of the same command are fitted."""
    for words, message in (
        (["nofile.fits"], r"Error reading MUSE file \(.*nofile.fits.*\)\n"),
        (["inputs/dev1.fits", "--regions", "no.reg"], r"Region file error, \[Errno 2\] No such file or directory: 'no.reg'\n"),
        (["inputs/dev1.fits", "--star", "10", "10", "3", "--regions", "none"], r"The specified star position is not within the image.\n"),
    ):
        assert run(imphot.fit_photometry_main, "inputs/hst.fits", *words) == 1
        assert re.fullmatch(message, capsys.readouterr().out)
    words = ["inputs/hst.fits", "nofile.fits", "inputs/dev1.fits", "--nworker", "1"]
    assert run(imphot.fit_photometry_main, *words) == 1
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert lines[0] == "Error reading MUSE file: nofile.fits"
    assert lines[1].startswith("# MUSE ID")
    assert lines[4].startswith("dev1  image  0.9632")
    assert run(imphot.fit_photometry_main, "inputs/hst.fits") == 2  # usage
    assert "usage: fit_photometry" in capsys.readouterr().err


@pytest.mark.parametrize("case", ["wide", "wide_trunc"])
def test_wideband_images(golden, work, capsys, case):
    record = golden.second[f"cli/{case}"]
    assert run(imphot.make_wideband_image_main, *record["args"]) == record["rc"] == 0
    told = capsys.readouterr()
    assert told.out == record["stdout"]
    name, curve = ("filter_inside_image", "inside") if case == "wide" else ("foo_image", "truncated")
    ours, theirs = read_sky_image(f"{name}.fits"), read_sky_image(str(golden.folder / f"{name}.fits.gz"))
    # the script's own file was made of another cube than the one that is kept: same form, other pixels; those of the function are of this one
    with np.load(golden.folder / f"bandpass_{curve}_linear.npz") as record:
        assert np.array_equal(ours.mask, theirs.mask)
        assert np.array_equal(ours.mask, record["mask"])
        assert np.allclose(ours.data[~ours.mask], record["data"][~ours.mask], rtol=0, atol=2e-5)
        assert np.allclose(ours.variance[~ours.mask], record["var"][~ours.mask], rtol=2e-4)
    assert ours.wcs.wcs.compare(theirs.wcs.wcs, tolerance=1e-9)
    assert ours.unit == theirs.unit
    if case == "wide":
        assert told.err == ""
    else:  # imphot counts the samples beyond the cube only, 26%
        assert re.fullmatch(r"\[WARNING\] .*28% of the integrated filter curve is beyond the edges of the cube.\n", told.err)


def test_wideband_images_in_silence_and_their_names(work, capsys):
    """D4: imphot's --quiet ends with an error."""
    shutil.copy("inputs/cube.fits", "DATACUBE_udf-10.fits")
    assert run(imphot.make_wideband_image_main, "--quiet", "inputs/filter_inside.dat", "inputs/cube.fits", "DATACUBE_udf-10.fits") == 0
    assert capsys.readouterr().out == ""
    assert {one.name for one in work.iterdir()} >= {"filter_inside_image.fits", "filter_inside_IMAGE_udf-10.fits"}
    assert run(imphot.make_wideband_image_main, "no.dat", "inputs/cube.fits") == 1
    assert "no.dat" in capsys.readouterr().out
    assert run(imphot.make_wideband_image_main, "inputs/filter_inside.dat", "inputs/cube.fits", "--wave_units", "um") == 1
    assert "The filter curve does not overlap the wavelength coverage of the cube.\n" in capsys.readouterr().out


def test_regridding(golden, work, capsys):
    record = golden.second["cli/regrid"]
    assert run(imphot.regrid_hst_to_muse_main, *record["args"]) == record["rc"] == 0
    assert capsys.readouterr().out == record["stdout"]
    ours, theirs = read_sky_image("hst_F775W_for_XX.fits"), read_sky_image(str(golden.folder / "hst_F775W_for_XX.fits.gz"))
    assert ours.unit == theirs.unit
    assert ours.shape == theirs.shape
    # the script's own file was made for another, rotated grid; that of the function is on this one
    y0, y1, x0, x1 = golden.results["regrid"]["target_slice"]
    with np.load(golden.folder / "regrid_cutout.npz") as record:
        inner = (slice(8, -8), slice(8, -8))
        difference = (ours.data[y0:y1, x0:x1] - record["data"] * golden.results["rescale"]["ratio"])[inner]
        assert not ours.mask[y0:y1, x0:x1].any()
        assert np.abs(difference).max() < 6e-3
    assert run(imphot.regrid_hst_to_muse_main, "--quiet", "inputs/cube.fits", "inputs/hst30_cutout.fits") == 0
    assert capsys.readouterr().out == ""
    assert read_sky_image("hst_F775W_for_cube.fits").shape == (60, 60)
    assert run(imphot.regrid_hst_to_muse_main, "no.fits", "inputs/hst30_cutout.fits") == 1
    assert re.fullmatch(r"Reading MUSE image: no.fits\nError reading MUSE file \(.*no.fits.*\)\n", capsys.readouterr().out)


def test_parser():
    parser = imphot.ImphotArgumentParser(imphot.FIT_IMAGE + imphot.FIT_STAR, prog="p")
    options = parser.parse_args([])
    image = imphot.extract_function_args(options, imphot.fit_image_photometry)
    star = imphot.extract_function_args(options, imphot.fit_star_photometry)
    assert image["fix_beta"] == star["fix_beta"] == 2.5
    assert (image["regions"], image["taper"], image["margin"], image["hst_fwhm"], image["hst_beta"]) == ("star", 9, 2.0, 0.085, 1.6)
    assert set(star) == {"star", "fix_fwhm", "fix_beta", "display", "nowait", "hardcopy", "title", "apply", "resample", "method"}
    assert set(image) - set(star) == {
        "regions", "segment", "fix_scale", "fix_bg", "fix_dx", "fix_dy", "min_scale", "init_dx", "init_dy", "hst_fwhm", "hst_beta", "margin",
        "taper", "extramask", "save",
    }  # fmt: skip
    both = set(imphot.extract_function_args(options, imphot.fit_image_and_star_photometry))
    assert both == set(image) | set(star)
    words = ["--fix_beta", "None", "--fix_scale=1.5", "--star", "53.1", "-27.8", "3", "--segment", "--hardcopy", "pdf"]
    options = parser.parse_args(words)
    assert (options.fix_beta, options.fix_scale, options.star, options.segment, options.hardcopy) == (
        None,
        1.5,
        [53.1, -27.8, 3.0],
        True,
        "pdf",
    )
    assert imphot.extract_function_args({"star": 1, "nothing": 2}, imphot.fit_star_photometry) == {"star": 1}
    only_star = vars(imphot.ImphotArgumentParser(imphot.FIT_STAR).parse_args([]))
    assert "regions" not in only_star
    with pytest.raises(imphot.UserError, match="functions cannot be 0"):
        imphot.ImphotArgumentParser(0)


@pytest.mark.parametrize("name", ["fit_photometry", "regrid_hst_to_muse", "make_wideband_image"])
def test_help(name, capsys):
    assert run(getattr(imphot, f"{name}_main"), "-h") == 0
    assert capsys.readouterr().out.startswith(f"usage: {name} [-h]")
