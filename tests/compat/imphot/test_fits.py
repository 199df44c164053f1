"""Fits through imphot's own functions against the real imphot, and what is meant to differ (the table of the package)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nbmosaic.compat import imphot
from nbmosaic.errors import NbmosaicError, NbmosaicWarning

NAMES = ("scale", "bg", "dx", "dy", "fwhm", "beta")
CENTRE = (53.16, -27.78)


def exclude(golden, radius=3.0, numbers=(0, 1, 2)):
    return [f'-circle({golden.star(k)[0]:.6f}, {golden.star(k)[1]:.6f}, {radius}")' for k in numbers]


CASES = {
    "default": {},
    "beta2.5": {"fix_beta": 2.5},
    "exclude_stars": lambda golden: {"regions": ["# Region file format: DS9 version 4.1", "global color=green", "fk5", *exclude(golden)]},
    "exclude_stars_beta2.8": lambda golden: {"regions": golden.path("exclude_stars.reg"), "fix_beta": 2.8},
    "notstar0": lambda golden: {"star": golden.star(0), "regions": "notstar"},
}
FIRST_ONLY = {
    "segment": {"segment": True},
    "taper0": {"taper": 0},
    "taper15": {"taper": 15},
    "taper10": {"taper": 10},
    "margin5": {"margin": 5.0},
    "margin40": {"margin": 40.0},
    "extramask_file": lambda golden: {"extramask": golden.path("extramask")},
    "extramask_image": lambda golden: {"extramask": golden.image("extramask").data != 0},  # as the array that defect D3 forbids
    "include_box": {"regions": ["fk5", f'box({CENTRE[0]},{CENTRE[1]},30",20",25)']},
    "include_ellipse_ex_circle": lambda golden: {
        "regions": [f'fk5;ellipse({CENTRE[0]:f},{CENTRE[1]:f},20",12",40)', exclude(golden, 2.5, [2])[0][1:].replace("circle", "-circle")]
    },
    "physical": {"regions": ["physical", "-box(100,150,40,30,0)", "-circle(200,200,15)", "-ellipse(80,240,25,10,30)"]},
    "sexagesimal": {"regions": ["fk5", '-circle(3:32:38.4,-27:46:48.0,5")', "-circle(3:32:39.4,-27:46:40.0,0.1')"]},
    "fix_scale_bg": {"fix_scale": 1.0, "fix_bg": 0.0},
    "fix_dxdy": {"fix_dx": 0.1, "fix_dy": -0.05},
    "fix_fwhm": {"fix_fwhm": 0.7},
    "fix_all": {"fix_scale": 0.95, "fix_bg": 0.05, "fix_dx": 0.05, "fix_dy": -0.03, "fix_fwhm": 0.62, "fix_beta": 2.8},
    "init_dxdy": {"init_dx": 0.6, "init_dy": -0.4},
    "init_far": {"init_dx": 2.0, "init_dy": 2.0},
    "min_scale": {"min_scale": 1.2},
    "hst_psf": {"hst_fwhm": 0.105, "hst_beta": 2.0},
}
ALL = [("dev1", case) for case in {**CASES, **FIRST_ONLY}] + [("dev2", "default"), ("dev3", "exclude_stars"), ("dev4", "notstar0")]
# the rest of the records, for a longer run: the fits themselves are tested in the core against every one of them
ALL += [pytest.param(name, case, marks=pytest.mark.slow) for name in ("dev2", "dev3", "dev4") for case in CASES if (name, case) not in ALL]


def close(fit, theirs, limit=0.1):
    """Every parameter within `limit` of our standard error, and of five of imphot's."""
    for name in NAMES:
        value, record = getattr(fit, name), theirs["params"][name]
        assert value.fixed == record["fixed"]
        if value.fixed:
            assert (value.value, value.stdev) == (record["value"], 0.0)
        else:
            assert abs(value.value - record["value"]) < limit * min(value.stdev, 5 * record["stdev"]), name


@pytest.mark.parametrize(("name", "case"), ALL)
def test_image_fits_are_those_of_imphot(golden, name, case):
    options = {**CASES, **FIRST_ONLY}[case]
    options = options(golden) if callable(options) else options
    fit = imphot.fit_image_photometry(golden.image("hst"), golden.image(name), **options)
    theirs = golden.results[f"{name}/image/{case}"]
    close(fit, theirs)
    assert fit.method == theirs["method"] == "image"
    assert fit.name == name
    assert fit.rms_error == pytest.approx(theirs["rms_error"], rel=1e-3)
    assert fit.rchi == pytest.approx(theirs["rchi"], rel=2e-3)


def imphot_circle(golden, number):
    """Pixels of a star's circle as imphot has them: six digits of its position (defect D6), and mpdaf's whole pixels."""
    ra, dec = (float(f"{value:g}") for value in golden.star(number)[:2])
    x, y = golden.image("hst").wcs.wcs_world2pix(ra, dec, 0)
    half = np.floor(2 * 3.0 / 0.2 + 0.5).astype(int)
    first = (np.floor([y, x]) - half // 2 + 1) if half % 2 == 0 else np.floor([y + 0.5, x + 0.5]) - (half - 1) // 2
    cy, cx = first + (half - 1) / 2
    yy, xx = np.indices((320, 320))
    return ((xx - cx) ** 2 + (yy - cy) ** 2) * 0.04 < 9.0


@pytest.mark.parametrize(("name", "number"), [(f"dev{i}", i % 3) for i in (1, 2, 3)])
def test_fits_of_a_star_alone(golden, name, number):
    """D6: on imphot's pixels the values are imphot's; on the pixels that were asked for they differ by what a few pixels more or less make."""
    theirs = golden.results[f"{name}/image/instar{number}"]
    hst = golden.image("hst")
    same = imphot.fit_image_photometry(hst.changed(mask=hst.mask | ~imphot_circle(golden, number)), golden.image(name), fix_beta=2.8)
    close(same, theirs)
    fit = imphot.fit_image_photometry(golden.image("hst"), golden.image(name), star=golden.star(number), regions="star", fix_beta=2.8)
    close(fit, theirs, limit=2.0)
    for one in ("dx", "dy", "fwhm"):
        assert abs(getattr(fit, one).value - theirs["params"][one]["value"]) < 0.5 * getattr(fit, one).stdev


RADII = ("free/r2", "free/r3", "free/r5", "beta2.8/r3", "fixboth/r3")
STARS = [
    pytest.param(f"dev{i}", k, case, marks=[] if i == 1 or (i, case) == (4, "free/r3") else [pytest.mark.slow])
    for i in (1, 2, 3, 4)
    for k in (0, 1, 2)
    for case in RADII
]
FIXED = {"free": {}, "beta2.8": {"fix_beta": 2.8}, "fixboth": {"fix_beta": 2.5, "fix_fwhm": 0.65}}


@pytest.mark.parametrize(("name", "number", "case"), STARS)
def test_star_fits_are_those_of_imphot(golden, name, number, case):
    kind, radius = case.split("/r")
    star = golden.truth()["stars"][number]
    # a star that moves was given to imphot where it is in the image
    place = star["radec_muse_epoch" if star.get("pmx") else "radec"]
    fit = imphot.fit_star_photometry(golden.image("hst"), golden.image(name), (*place, float(radius)), **FIXED[kind])
    theirs = golden.results[f"{name}/star{number}/{case}"]
    assert all(np.isfinite(getattr(fit, one).value) for one in NAMES)
    if "error" in theirs:  # imphot ends with NaN (S2)
        assert theirs["error"] == "ValueError"
        return
    if (name, number) == ("dev4", 1) or (name, number, radius) == ("dev4", 0, "5"):
        return  # masked pixels, which imphot fits as zeros: see the test of D10
    pairs = [(getattr(fit, one), theirs["params"][one]) for one in NAMES]
    # beta of the star in the reference runs off to a Gaussian in both
    pairs += [(getattr(fit, one), record) for one, record in theirs["star"].items() if one != "hst_beta"]
    for value, record in pairs:
        assert abs(value.value - record["value"]) <= 0.1 * value.stdev + 1e-9
    assert fit.method == "stars"
    assert (fit.ra, fit.dec) == (theirs["ra"], theirs["dec"])
    assert fit.rms_error == pytest.approx(theirs["rms_error"], rel=1e-3)
    assert 0.5 < fit.muse_rchi < 2 or number == 0  # by the noise; imphot's weight of 10 makes it 100 times the variance


def test_both_fits(golden):
    """The image fit of the pixels of the star fit; one value of beta for both."""
    theirs = golden.results["dev1/both1"]
    image, star = imphot.fit_image_and_star_photometry(golden.image("hst"), golden.image("dev1"), golden.star(1), fix_beta=2.8)
    alone = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), star=golden.star(1), regions="star", fix_beta=2.8)
    close(star, theirs[1])
    assert image.summary() == alone.summary()
    assert (image.method, star.method) == ("image", "stars")


def test_options_of_the_image_fit_are_not_dropped_beside_a_star(golden):
    """D13."""
    both = {
        "regions": golden.path("exclude_stars.reg"),
        "taper": 15,
        "min_scale": 1.2,
        "init_dx": 0.4,
        "extramask": golden.path("extramask"),
    }
    image, star = imphot.fit_image_and_star_photometry(golden.image("hst"), golden.image("dev1"), golden.star(1), **both)
    alone = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), **both)
    assert image.summary() == alone.summary()
    assert image.scale.value == pytest.approx(1.2)
    assert star.scale.value != image.scale.value


def test_our_own_estimators(golden):
    image = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), method="whitened")
    same = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"))
    assert image.product.result.method == "whitened"
    assert image.fwhm.stdev < same.fwhm.stdev
    star = imphot.fit_star_photometry(golden.image("hst"), golden.image("dev1"), golden.star(0), method="window")
    theirs = golden.results["dev1/star0/free/r3"]["params"]["scale"]["value"]
    true = golden.truth()["config"]["images"][0]["scale"]
    assert abs(star.scale.value - true) < 2.5 * star.scale.stdev  # S1
    assert theirs > 1.04 * true
    pair = imphot.fit_image_and_star_photometry(golden.image("hst"), golden.image("dev1"), golden.star(0), method="whitened")
    assert pair[1].scale.value == star.scale.value
    with pytest.raises(imphot.UserError, match="method cannot be 'best'"):
        imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), method="best")


def test_a_star_goes_before_regions(golden):
    """Documented; imphot's function passes over a star without regions="star"."""
    images = golden.image("hst"), golden.image("dev1")
    wanted = imphot.fit_image_photometry(*images, star=golden.star(1), regions="star", fix_beta=2.8).summary()
    for none in (None, "", "none"):
        assert imphot.fit_image_photometry(*images, star=golden.star(1), regions=none, fix_beta=2.8).summary() == wanted
    with pytest.warns(NbmosaicWarning, match="the regions are not used"):
        assert imphot.fit_image_photometry(*images, star=golden.star(1), regions=exclude(golden), fix_beta=2.8).summary() == wanted
    everywhere = imphot.fit_image_photometry(*images, fix_beta=2.8).summary()
    assert imphot.fit_image_photometry(*images, regions="star", fix_beta=2.8).summary() == everywhere


def test_masked_pixels_are_left_out_of_star_fits(golden):
    """D10: a star with a masked side keeps its width, whatever the masked pixels hold; imphot fits zeros there."""
    image = golden.image("dev1")
    whole = imphot.fit_star_photometry(golden.image("hst"), image, golden.star(0), fix_beta=2.8)
    x, _ = image.wcs.wcs_world2pix(*golden.star(0)[:2], 0)
    side = np.zeros(image.shape, bool)
    side[:, : round(float(x)) - 2] = True
    masked = image.changed(mask=image.mask | side, data=np.where(side, 1e6, image.data))
    fit = imphot.fit_star_photometry(golden.image("hst"), masked, golden.star(0), fix_beta=2.8)
    for one in ("fwhm", "dx", "dy", "muse_flux"):
        assert abs(getattr(fit, one).value - getattr(whole, one).value) < 3 * getattr(fit, one).stdev
    assert any("masked" in note for note in fit.notes)
    lost = imphot.fit_star_photometry(golden.image("hst"), golden.image("dev4"), golden.star(1), fix_beta=2.8)
    assert any("no star found" in note for note in lost.notes)
    assert golden.results["dev4/star1/beta2.8/r3"]["params"]["fwhm"]["stdev"] < 0.1  # imphot says nothing of it


def test_unmasked_nans_do_no_harm(golden):
    """D9."""
    image = golden.image("dev1")
    broken = image.data.copy()
    broken[160, 150:153] = np.nan
    fit = imphot.fit_image_photometry(golden.image("hst"), (broken, image.wcs))
    assert abs(fit.fwhm.value - golden.results["dev1/image/default"]["params"]["fwhm"]["value"]) < fit.fwhm.stdev


ERRORS = {
    "err/radius": {"star": (1, 2, 0)},
    "err/startuple": {"star": 3.0},
    "err/init_big": {"init_dx": 100.0},
    "err/extramask_shape": {"extramask": np.zeros((3, 3), bool)},
    "err/missing_reg": {"regions": "nofile.reg"},
}


@pytest.mark.parametrize("key", ERRORS)
def test_messages_are_those_of_imphot(golden, key):
    theirs = golden.results[key]
    if key == "err/extramask_shape":  # D3: imphot does not get as far as its own message
        theirs = {"message": "The extra-mask has the wrong dimensions"}
    with pytest.raises(imphot.UserError) as caught:
        imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), **ERRORS[key])
    assert str(caught.value) == theirs["message"]
    assert isinstance(caught.value, NbmosaicError)


def test_messages_of_images(golden):
    hst, muse = golden.image("hst"), golden.image("dev1")
    moved = hst.changed(wcs=hst.wcs.deepcopy())
    moved.wcs.wcs.crpix[0] += 0.3
    with pytest.raises(imphot.UserError) as caught:
        imphot.fit_image_photometry(moved, muse)
    assert str(caught.value) == golden.results["err/unaligned"]["message"]
    with pytest.raises(imphot.UserError) as caught:
        imphot.fit_image_photometry(hst, muse, extramask=golden.image("extramask").changed(wcs=moved.wcs))
    assert str(caught.value) == golden.second["err/extramask_unaligned"][1]
    with pytest.raises(imphot.UserError) as caught:
        imphot.fit_star_photometry(hst, muse, (10.0, 10.0, 3.0))
    assert str(caught.value) == golden.results["err/star_outside"]["message"]
    assert "53" not in str(caught.value)
    assert caught.value.hint
    # imphot ends with errors of numpy and of Python 2 here (D4)
    for options, message in (
        ({"hst": "nofile.fits"}, r"Error reading HST file \(.*nofile.fits.*\)"),
        ({"muse": "nofile.fits"}, r"Error reading MUSE file \(.*nofile.fits.*\)"),
        ({"extramask": "nofile.fits"}, r"Error reading mask file \(.*nofile.fits.*\)"),
        ({"regions": ["fk5; circle(a,b,c)"]}, r"Region parsing error: .*line 1, column 13.*'a'"),
        ({"extramask": np.ones((320, 320), bool)}, "masked"),
        ({"hardcopy": "bmp"}, "cannot write 'bmp'"),
    ):
        with pytest.raises(imphot.UserError, match=message):
            imphot.fit_image_photometry(**{"hst": hst, "muse": muse, **options})


def test_images_of_another_unit_are_an_error(golden):
    hst = golden.image("hst")
    with pytest.raises(imphot.UserError, match="electrons/s"):
        imphot.fit_image_photometry(hst.changed(unit="electrons/s"), golden.image("dev1"))


def test_files_of_a_fit(golden, tmp_path):
    """save=True and apply=True with imphot's names, over files that exist; pixels near those that imphot wrote (which smooths by resampling)."""
    path = golden.plain("dev1", tmp_path)
    for _ in range(2):
        imphot.fit_image_photometry(golden.path("hst"), path, fix_beta=2.8, save=True, apply=True)
    names = {one.name for one in tmp_path.iterdir()}
    assert names == {"dev1.fits", "dev1_aligned.fits"} | {
        f"dev1_{part}{spectrum}.fits" for part in ("image", "hst_model", "residual") for spectrum in ("",)
    } | {"dev1_fft.fits", "dev1_hst_model_fft.fits", "dev1_residual_fft.fits"}
    for part in ("image", "hst_model", "aligned"):
        with fits.open(golden.folder / f"save_dev1_{part}.fits.gz") as theirs, fits.open(tmp_path / f"dev1_{part}.fits") as ours:
            header = next(hdu.header for hdu in ours if hdu.header["NAXIS"] == 2)
            one, other = (next(hdu.data for hdu in hdus if hdu.header["NAXIS"] == 2) for hdus in (theirs, ours))
            rows, columns = (min(a, b) for a, b in zip(one.shape, other.shape, strict=True))
            both = np.isfinite(one[:rows, :columns]) & np.isfinite(other[:rows, :columns])
            assert both.mean() > 0.85
            difference = (one[:rows, :columns] - other[:rows, :columns])[both]
            assert np.abs(difference).max() < 2e-3 * np.abs(one[:rows, :columns][both]).max()
            if part == "aligned":
                record = next(hdu.header for hdu in theirs if hdu.header["NAXIS"] == 2)
                assert header["CRPIX1"] == pytest.approx(record["CRPIX1"], abs=1e-3)
                assert header["BUNIT"] == record["BUNIT"]


def test_images_in_memory_have_files_that_begin_with_muse(golden, tmp_path, monkeypatch):
    """D8."""
    monkeypatch.chdir(tmp_path)
    image = golden.image("dev1")
    fit = imphot.fit_image_photometry(golden.image("hst"), (image.data, image.wcs), fix_beta=2.8, apply=True)
    assert fit.name == "muse"
    assert [one.name for one in tmp_path.iterdir()] == ["muse_aligned.fits"]


def test_plots(golden, tmp_path, monkeypatch):
    """D2: star fits are drawn, too. The figure that is given is drawn in; titles by default, by hand, and none."""
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    from nbmosaic.compat.imphot import outputs

    monkeypatch.setattr(outputs, "_DPI", 40)
    shown = []
    monkeypatch.setattr(plt, "show", lambda *, block: shown.append(block))
    path = golden.plain("dev1", tmp_path)
    mine = Figure(figsize=(8, 5))
    options = {"fix_beta": 2.8, "hardcopy": "png"}
    imphot.fit_image_and_star_photometry(golden.path("hst"), path, golden.star(0), **options)
    assert {one.name for one in tmp_path.iterdir()} == {"dev1.fits", "dev1_image_fit.png", "dev1_star_fit.png"}
    assert all(Path(tmp_path / f"dev1_{kind}_fit.png").read_bytes().startswith(b"\x89PNG") for kind in ("image", "star"))
    imphot.fit_star_photometry(golden.image("hst"), path, golden.star(0), display=True, fig=mine, title="a title", nowait=True)
    assert mine.axes
    assert mine.get_suptitle() == "a title"
    imphot.fit_star_photometry(golden.image("hst"), path, golden.star(0), display=True, title="", hardcopy="none")
    assert plt.figure(plt.get_fignums()[-1]).get_suptitle() == ""
    imphot.fit_star_photometry(golden.image("hst"), path, golden.star(0), display=True, title="none")
    assert plt.figure(plt.get_fignums()[-1]).get_suptitle().startswith("MUSE image: dev1\n")
    assert shown == [False, True, True]
    plt.close("all")


def test_rows_and_columns_that_are_fitted(golden):
    """D5: imphot drops the last two of each, and so does its estimator here; ours has them all."""
    left_out = np.ones((320, 320), bool)
    left_out[60:200, 70:230] = False
    for method, shape in (("imphot", (138, 158)), ("whitened", (140, 160))):
        fit = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), extramask=left_out, fix_beta=2.8, method=method)
        good = fit.product.result.good
        rows, columns = (np.ptp(np.nonzero(good.any(axis=axis))) + 1 for axis in (1, 0))
        assert (rows, columns) == shape


def test_a_star_of_an_image_that_is_no_square(golden):
    """D11: imphot compares x with the number of rows, and finds the star outside."""
    place = golden.star(0)
    hst, muse = golden.image("hst"), golden.image("dev1")
    x, y = (float(one) for one in muse.wcs.wcs_world2pix(*place[:2], 0))
    rows = slice(round(y) - 20, round(y) + 21)
    assert x > 41
    parts = [
        one.changed(
            data=one.data[rows],
            mask=one.mask[rows],
            variance=None if one.variance is None else one.variance[rows],
            wcs=one.wcs.slice((rows, slice(None))),
        )
        for one in (hst, muse)
    ]
    fit = imphot.fit_star_photometry(*parts, place, fix_beta=2.8)
    whole = imphot.fit_star_photometry(hst, muse, place, fix_beta=2.8)
    assert fit.fwhm.value == pytest.approx(whole.fwhm.value, rel=1e-6)
    assert fit.dx.value == pytest.approx(whole.dx.value, abs=1e-6)


def test_areas_without_sources_do_not_depend_on_the_unit(golden):
    """D12: imphot adds 1 of whatever unit to some of the pixels."""
    images = [golden.image("hst"), golden.image("dev1")]
    fit = imphot.fit_image_photometry(*images, segment=True, fix_beta=2.8)
    brighter = [one.changed(data=one.data * 4096.0, variance=None if one.variance is None else one.variance * 4096.0**2) for one in images]
    same = imphot.fit_image_photometry(*brighter, segment=True, fix_beta=2.8)
    assert np.array_equal(fit.product.result.good, same.product.result.good)
    assert same.fwhm.value == pytest.approx(fit.fwhm.value, rel=1e-6)
    assert fit.product.result.good.mean() < 0.9


def test_errors_hold_against_simulation(golden):
    """E1: 30 noise realisations of dev1 by imphot: their scatter is that of our standard errors, and 3 to 8 times what imphot says."""
    import gzip
    import json

    with gzip.open(golden.folder / "pulls_dev1_30.json.gz", "rt") as file:
        runs = json.load(file)["res"]
    values, stdevs = (np.array([run[i] for run in next(iter(runs.values()))]) for i in (0, 1))
    assert values.shape == (30, 6)
    fit = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"))
    for i, name in enumerate(("dx", "dy", "fwhm", "beta", "scale", "bg")):
        scatter = values[:, i].std(ddof=1)
        assert 0.6 < scatter / getattr(fit, name).stdev < 1.6  # 30 of them: 13 % each
        assert scatter > 2.5 * np.median(stdevs[:, i])


def test_results_can_be_sent_and_shown(golden):
    import pickle

    pair = imphot.fit_image_and_star_photometry(golden.path("hst"), golden.path("dev1"), golden.star(0), fix_beta=2.8)
    for fit in pair:
        copy = pickle.loads(pickle.dumps(fit))
        assert copy.summary() == fit.summary()
        assert str(copy) == str(fit)
        assert "<img" in fit._repr_html_()
