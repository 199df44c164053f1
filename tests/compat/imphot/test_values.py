"""Values and results: attributes, documented constructors, the exact lines of the summary, angles on the sky."""

from __future__ import annotations

import inspect
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from nbmosaic.compat import imphot
from nbmosaic.errors import NbmosaicError

VALUES = ["scale", "bg", "dx", "dy", "dra", "ddec", "fwhm", "beta"]
DOCUMENTED = {
    "fit_image_photometry": "hst muse regions fix_scale fix_bg fix_dx fix_dy fix_fwhm fix_beta min_scale hst_fwhm hst_beta margin segment display "
    "nowait hardcopy title star save fig taper apply resample extramask init_dx init_dy",
    "fit_star_photometry": "hst muse star fix_fwhm fix_beta display nowait hardcopy title fig apply resample",
    "fit_image_and_star_photometry": "hst muse star regions fix_scale fix_bg fix_dx fix_dy fix_fwhm fix_beta hst_fwhm hst_beta margin segment "
    "display nowait hardcopy title save fig",
    "FittedValue": "param value stdev fixed",
    "FittedPhotometry": "method muse fit_report scale bg dx dy fwhm beta rms_error",
    "FittedImagePhotometry": "muse results rms_error",
    "FittedStarPhotometry": "muse muse_results hst_results rms_error ra dec",
    "FitImagePhotometryMP": "hst_filename muse_filenames kwargs nworker",
    "FitStarPhotometryMP": "hst_filename muse_filenames kwargs nworker",
    "FitImageAndStarPhotometryMP": "hst_filename muse_filenames kwargs nworker",
    "HstFilterInfo": "hst",
    "apply_corrections": "im imfit corrections resample inplace",
    "bandpass_image": "cube wavelengths sensitivities unit_wave interpolation truncation_warning nprocess",
    "regrid_hst_like_muse": "hst muse inplace",
    "rescale_hst_like_muse": "hst muse inplace",
    "image_grids_aligned": "im1 im2 tolerance",
    "extract_function_args": "options function",
    "UserError": "message",
    "WorkerError": "message traceback",
}
DEFAULTS = {
    "fit_image_photometry": {
        "min_scale": 0,
        "hst_fwhm": 0.085,
        "hst_beta": 1.6,
        "margin": 2.0,
        "segment": False,
        "taper": 9,
        "regions": None,
    },
    "fit_image_and_star_photometry": {"regions": "star", "hst_fwhm": 0.085, "hst_beta": 1.6, "margin": 2.0, "save": False},
    "apply_corrections": {"corrections": "xy,scale,zero", "resample": False, "inplace": False},
    "regrid_hst_like_muse": {"inplace": True},
    "rescale_hst_like_muse": {"inplace": True},
    "image_grids_aligned": {"tolerance": 0.01},
    "bandpass_image": {"interpolation": "linear", "truncation_warning": True, "nprocess": 0},
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_arguments_are_those_of_the_documentation(name):
    parameters = inspect.signature(getattr(imphot, name)).parameters
    positional = [one for one, each in parameters.items() if each.kind == each.POSITIONAL_OR_KEYWORD]
    assert positional[: len(DOCUMENTED[name].split())] == DOCUMENTED[name].split()
    for one, value in DEFAULTS.get(name, {}).items():
        assert parameters[one].default == value


def test_every_name_is_there_and_nothing_heavy_before_it_is_used():
    code = (
        "import sys; from nbmosaic.compat import imphot; "
        "print([m for m in ('numba', 'lmfit', 'scipy', 'astropy', 'matplotlib', 'mpdaf', 'pandas') if m in sys.modules]); "
        "assert set(dir(imphot)) == set(imphot.__all__); [getattr(imphot, name) for name in imphot.__all__]; print('mpdaf' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]
    assert imphot.FIT_IMAGE + imphot.FIT_STAR == imphot.FIT_IMAGE | imphot.FIT_STAR
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        imphot.nothing


def test_fitted_value():
    from lmfit import Parameter

    free = Parameter("fwhm", value=0.62)
    free.stderr = 0.01
    one = imphot.FittedValue(free)
    assert (one.value, one.stdev, one.stderr, one.fixed, one.flag) == (0.62, 0.01, 0.01, False, "")
    fixed = imphot.FittedValue(Parameter("beta", value=2.8, vary=False))
    assert (fixed.value, fixed.stdev, fixed.fixed) == (2.8, 0.0, True)
    assert imphot.FittedValue(value=1.5, stdev=0.2, fixed=False).value == 1.5
    unknown = imphot.FittedValue(Parameter("dx", value=1.0))  # imphot passes on lmfit's None, with which its star fits then fail
    assert math.isinf(unknown.stdev)
    assert repr(fixed) == "FittedValue(value=2.8, stdev=0.0, fixed=True)"


def test_errors_are_ours_too():
    user = imphot.UserError("a message")
    worker = imphot.WorkerError("it broke", ["Traceback:\n", "  line 1\n"])
    assert str(user) == "a message"
    assert str(worker) == "it broke\nTraceback:\n  line 1"
    for error in (user, worker, imphot.UserError("said", hint="do this"), imphot.WorkerError("no lines", [])):
        assert isinstance(error, NbmosaicError)
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert copy.hint == error.hint
    assert pickle.loads(pickle.dumps(worker)).traceback == worker.traceback
    assert isinstance(user, ValueError)


def test_results_have_every_documented_attribute(golden):
    image, star = imphot.fit_image_and_star_photometry(golden.image("hst"), golden.image("dev1"), golden.star(0), fix_beta=2.8)
    for fit, cls in ((image, imphot.FittedImagePhotometry), (star, imphot.FittedStarPhotometry)):
        assert isinstance(fit, cls)
        assert isinstance(fit, imphot.FittedPhotometry)
        for name in VALUES:
            value = getattr(fit, name)
            assert isinstance(value, imphot.FittedValue)
            assert math.isfinite(value.value)
            assert (value.stdev == 0) == value.fixed
            assert value.stdev >= 0
        assert fit.beta.fixed
        assert fit.name == "dev1"
        assert isinstance(fit.rms_error, float)
        assert str(fit) == f"Report of HST {fit.method} photometry fit of MUSE observation dev1\n{fit.fit_report}"
        assert "[[Variables]]" in fit.fit_report
        assert fit.product.table is not None
        assert "fwhm" in repr(fit)
    assert isinstance(image.rchi, float)
    for which in ("muse", "hst"):
        for name in ("fwhm", "beta", "dx", "dy", "bg", "flux"):
            assert isinstance(getattr(star, f"{which}_{name}"), imphot.FittedValue)
        assert isinstance(getattr(star, f"{which}_rchi"), float)
    assert star.fwhm.value == star.muse_fwhm.value
    assert star.scale.value == pytest.approx(star.muse_flux.value / star.hst_flux.value, rel=1e-9)
    assert star.scale.stdev == pytest.approx(
        star.scale.value * math.hypot(star.muse_flux.stdev / star.muse_flux.value, star.hst_flux.stdev / star.hst_flux.value), rel=1e-6
    )
    first, second = (
        text.index(f"The fit of the star in the {which} image:") for text, which in ((star.fit_report, "MUSE"), (star.fit_report, "HST"))
    )
    assert first == 0 < second


def numbers(line):
    return [float(word) for word in line.split()[2:]]


@pytest.mark.parametrize("key", ["dev1/image/default", "dev3/image/beta2.5", "dev2/star0/beta2.8/r3"])
def test_lines_of_the_summary(golden, key):
    """The headings are imphot's, the columns stand where its do; of the numbers, only ra-offset is another one (D7)."""
    theirs = golden.results[key]
    image = golden.image(key.split("/")[0])
    if "star0" in key:
        fit = imphot.fit_star_photometry(golden.image("hst"), image, golden.star(0), fix_beta=2.8)
    else:
        fit = imphot.fit_image_photometry(golden.image("hst"), image, fix_beta=2.5 if "2.5" in key else None)
    lines, wanted = fit.summary().split("\n"), theirs["summary"].split("\n")
    assert lines[:3] == wanted[:3]
    assert len(lines) == 4
    assert len(lines[3]) == len(wanted[3])
    assert fit.summary(header=False) == fit.summary(False) == lines[3]
    ours, record = numbers(lines[3]), numbers(wanted[3])
    record[6] *= math.cos(math.radians(image.wcs.wcs.crval[1]))
    assert ours == pytest.approx(record, abs=2e-4)
    assert lines[3].split()[:2] == wanted[3].split()[:2]


def test_summary_of_a_long_name(golden):
    one = imphot.FittedValue(value=1.0, stdev=0.1, fixed=False)
    image = golden.image("dev1").changed(name="a_name_of_twenty_chars")
    fit = imphot.FittedPhotometry("image", image, "a report", one, one, one, one, one, one, 0.5)
    lines = fit.summary().split("\n")
    assert lines[0].startswith("# MUSE ID              Method  Flux")
    assert [line.index(word) for line, word in zip(lines[:2], ("Flux", "scale"), strict=True)] == [lines[0].index("Flux")] * 2
    assert str(fit).endswith("\na report")


def test_offsets_on_the_sky_are_angles_with_positive_errors(golden):
    """D7: by hand from the WCS; imphot's dra is 1 / cos(dec) too large, and its stdev negative."""
    fit = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), fix_beta=2.8)
    theirs = golden.results["dev1/image/default"]["params"]["dra"]
    assert theirs["stdev"] < 0
    assert fit.dra.value == pytest.approx(-fit.dx.value, rel=1e-4)  # north up, east left
    assert fit.ddec.value == pytest.approx(fit.dy.value, rel=1e-4)
    assert fit.dra.stdev == pytest.approx(fit.dx.stdev, rel=1e-3)
    assert theirs["value"] * math.cos(math.radians(golden.image("dev1").wcs.wcs.crval[1])) == pytest.approx(
        fit.dra.value, abs=3 * fit.dra.stdev
    )


def test_documented_constructors_take_results_of_lmfit(golden):
    """The same numbers from lmfit's results alone, with the errors of a turned image by quadrature with the covariance."""
    image, star = imphot.fit_image_and_star_photometry(golden.image("hst"), golden.image("dev1"), golden.star(0))
    again = imphot.FittedImagePhotometry(golden.path("dev1"), image.product.lmfit, image.rms_error)
    both = [star.product.lmfit_of(which) for which in ("image", "reference")]
    second = imphot.FittedStarPhotometry(golden.image("dev1"), *both, star.rms_error, star.ra, star.dec)
    for one, other, names in ((image, again, VALUES), (star, second, [*VALUES, "muse_flux", "hst_fwhm", "hst_dx"])):
        assert other.summary() == one.summary()
        assert (other.method, other.name) == (one.method, one.name)
        for name in names:
            if name != "bg" or other is again:
                assert getattr(other, name).value == pytest.approx(getattr(one, name).value, rel=1e-9)
                assert getattr(other, name).stdev == pytest.approx(getattr(one, name).stdev, rel=1e-3)
    assert (second.muse_rchi, second.hst_rchi, again.rchi) == (star.muse_rchi, star.hst_rchi, image.rchi)
    turned = golden.image("dev1")
    turned = turned.changed(wcs=turned.wcs.deepcopy())
    c, s = math.cos(0.5), math.sin(0.5)
    turned.wcs.wcs.pc = turned.wcs.wcs.pc @ np.array([[c, -s], [s, c]])
    dx, dy = imphot.FittedValue(value=0.3, stdev=0.02), imphot.FittedValue(value=0.1, stdev=0.05)
    rest = [imphot.FittedValue(value=1.0, stdev=0.1)] * 4
    fit = imphot.FittedPhotometry("image", turned, "", rest[0], rest[1], dx, dy, rest[2], rest[3], 0.1, correlation=0.5)
    covariance = np.array([[0.0004, 0.0005], [0.0005, 0.0025]])
    east, north = np.array([-c, s]), np.array([s, c])
    assert [fit.dra.value, fit.ddec.value] == pytest.approx([east @ [0.3, 0.1], north @ [0.3, 0.1]], rel=1e-4)
    assert [fit.dra.stdev, fit.ddec.stdev] == pytest.approx([math.sqrt(v @ covariance @ v) for v in (east, north)], rel=1e-3)


def test_errors_that_are_lost_are_said_to_be_lost(golden):
    """A flag stays with its value; imphot's claims 0.06 arcsec for a star that nobody can see."""
    fit = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev4"), star=golden.star(1), regions="star", fix_beta=2.8)
    assert fit.fwhm.flag == "not constrained"
    assert math.isinf(fit.fwhm.stdev)
    assert golden.results["dev4/image/instar1"]["params"]["fwhm"]["stdev"] < 0.1
    held = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), min_scale=1.2)
    assert "at bound" in held.scale.flag
