"""Image fits in imphot's form against the real imphot (musevlt/imphot 009225c): 50 of its recorded fits within 0.03 of the honest standard error."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy import ndimage
from support.shared import shared_path

from nbmosaic.core.psf.image_fit import fit_image
from nbmosaic.types.photometry import PARAMETER_NAMES, FitFrame, ImageFitResult, ParameterSpec

STEP = 0.2
SHAPE = (320, 320)


@lru_cache(maxsize=1)
def golden() -> dict:
    folder = shared_path("golden/imphot")
    with gzip.open(folder / "golden.json.gz", "rt") as f:
        out = json.load(f)["results"]
    with gzip.open(folder / "golden2.json.gz", "rt") as f:
        out |= {k: v for k, v in json.load(f).items() if "/image/" in k}
    return out


@lru_cache(maxsize=8)
def frame(name: str) -> tuple[FitFrame, WCS]:
    folder: Path = shared_path("golden/imphot")
    with fits.open(folder / "inputs" / f"{name}.fits.gz") as hdus:
        data = hdus["DATA"].data.astype(float)
        mask = (hdus["DQ"].data != 0) | ~np.isfinite(data)
        variance = hdus["STAT"].data.astype(float) if "STAT" in hdus and name != "hst" else None
        return FitFrame(data=data, mask=mask, variance=variance, name=name), WCS(hdus["DATA"].header)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """Ellipse as mpdaf draws it: its centre goes to the middle of a whole number of pixels."""
    a = np.deg2rad(angle)
    half = np.array([np.hypot(rx * np.sin(a), ry * np.cos(a)), np.hypot(rx * np.cos(a), ry * np.sin(a))])
    w = np.floor(2 * half / STEP + 0.5).astype(int)
    centre = np.array([y, x])
    c = np.where(w % 2 == 0, np.floor(centre), np.floor(centre + 0.5)).astype(int)
    first = np.where(w % 2 == 0, c - w // 2 + 1, c - (w - 1) // 2)
    cy, cx = first + (w - 1) / 2
    yy, xx = (np.indices(SHAPE) - np.array([cy, cx])[:, None, None]) * STEP
    return ((xx * np.cos(a) + yy * np.sin(a)) / rx) ** 2 + ((yy * np.cos(a) - xx * np.sin(a)) / ry) ** 2 < 1.0


def circle(ra: float, dec: float, radius: float) -> np.ndarray:
    x, y = frame("hst")[1].wcs_world2pix(ra, dec, 0)
    return ellipse(float(x), float(y), radius, radius)


def box(x: float, y: float, width: float, height: float, angle: float) -> np.ndarray:
    a = np.deg2rad(angle)
    yy, xx = (np.indices(SHAPE) - np.array([y, x])[:, None, None]) * STEP
    u, v = xx * np.cos(a) + yy * np.sin(a), yy * np.cos(a) - xx * np.sin(a)
    return (abs(u) <= width / 2) & (abs(v) <= height / 2)


def without_sources() -> np.ndarray:
    """imphot's segment option, defect included: structures with heights of 1 flux unit."""
    hst = frame("hst")[0]
    cross = ndimage.generate_binary_structure(2, 1)
    smooth = ndimage.grey_dilation(ndimage.grey_opening(np.where(hst.mask, 0, hst.data), structure=cross), structure=cross)
    return ndimage.binary_erosion(smooth < np.median(smooth), structure=cross)


def stars() -> list[list[float]]:
    return [s["radec"] for s in json.loads((shared_path("golden/imphot") / "truth.json").read_text())["stars"]]


def masks(case: str) -> np.ndarray | None:
    """What the regions of a case leave out, on the reference."""
    if case.startswith("exclude_stars"):
        return np.any([circle(round(ra, 6), round(dec, 6), 3.0) for ra, dec in stars()], axis=0)
    if case.startswith(("instar", "notstar")):
        ra, dec = stars()[int(case[-1])]
        inside = circle(float(f"{ra:g}"), float(f"{dec:g}"), 3.0)  # imphot passes its star on with six digits
        return ~inside if case.startswith("instar") else inside
    x, y = (float(v) for v in frame("hst")[1].wcs_world2pix(53.16, -27.78, 0))
    if case == "include_box":
        return ~box(x, y, 30.0, 20.0, 25.0)
    if case == "include_ellipse_ex_circle":
        ra, dec = stars()[-1]
        return ~ellipse(x, y, 20.0, 12.0, 40.0) | circle(round(ra, 6), round(dec, 6), 2.5)
    if case == "physical":
        return box(99.0, 149.0, 8.0, 6.0, 0.0) | ellipse(199.0, 199.0, 3.0, 3.0) | ellipse(79.0, 239.0, 5.0, 2.0, 30.0)
    if case == "sexagesimal":
        return circle(15 * (3 + 32 / 60 + 38.4 / 3600), -27.78, 5.0) | circle(
            15 * (3 + 32 / 60 + 39.4 / 3600), -(27 + 46 / 60 + 40 / 3600), 6.0
        )
    return without_sources() if case == "segment" else None


def fixed(**values: float) -> dict[str, ParameterSpec]:
    return {name: ParameterSpec.at(value) for name, value in values.items()}


PARAMETERS = {
    "beta2.5": fixed(beta=2.5),
    "exclude_stars_beta2.8": fixed(beta=2.8),
    "fix_scale_bg": fixed(scale=1.0, bg=0.0),
    "fix_dxdy": fixed(dx=0.1, dy=-0.05),
    "fix_fwhm": fixed(fwhm=0.7),
    "fix_all": fixed(scale=0.95, bg=0.05, dx=0.05, dy=-0.03, fwhm=0.62, beta=2.8),
    "init_dxdy": {"dx": ParameterSpec(value=0.6), "dy": ParameterSpec(value=-0.4)},
    "init_far": {"dx": ParameterSpec(value=2.0), "dy": ParameterSpec(value=2.0)},
    "min_scale": {"scale": ParameterSpec(min=1.2)},
} | {f"instar{k}": fixed(beta=2.8) for k in range(3)}
OPTIONS = {
    "taper0": {"taper": 0},
    "taper10": {"taper": 10},
    "taper15": {"taper": 15},
    "margin5": {"margin_arcsec": 5.0},
    "margin40": {"margin_arcsec": 40.0},
    "hst_psf": {"hst_fwhm": 0.105, "hst_beta": 2.0},
}
COMMON = ["default", "beta2.5", "exclude_stars", "exclude_stars_beta2.8", "instar0", "instar1", "instar2", "notstar0"]
CASES = [f"dev1/{case}" for case in dict.fromkeys([*COMMON, *OPTIONS, *PARAMETERS])]
CASES += ["dev1/segment", "dev1/include_box", "dev1/include_ellipse_ex_circle", "dev1/physical", "dev1/sexagesimal", "dev1/extramask_file"]
CASES += [f"{image}/{case}" for image in ("dev2", "dev3", "dev4") for case in COMMON]
NOTHING_SEEN = "dev4/instar1"


def fit(key: str, method: str = "imphot", **more: object) -> ImageFitResult:
    name, case = key.split("/")
    image = frame(name)[0]
    if case == "extramask_file":
        extra = fits.getdata(shared_path("golden/imphot") / "inputs" / "extramask.fits.gz", 1) != 0
        image = FitFrame(data=image.data, mask=image.mask | extra, variance=image.variance)
    options = {"parameters": PARAMETERS.get(case), "sky_mask": masks(case), **OPTIONS.get(case, {}), **more}
    return fit_image(frame("hst")[0], image, method=method, **options)


@pytest.mark.parametrize("key", [key for key in CASES if key != NOTHING_SEEN])
def test_same_values_as_imphot(key: str) -> None:
    name, case = key.split("/")
    theirs = golden()[f"{name}/image/{case}"]
    ours = fit(key)
    assert ours.converged
    for parameter in PARAMETER_NAMES:
        estimate, value = ours[parameter], theirs["params"][parameter]
        assert estimate.fixed == value["fixed"]
        if estimate.fixed:
            assert estimate.value == value["value"]
            assert estimate.stderr == 0.0
        else:
            assert abs(estimate.value - value["value"]) < 0.03 * estimate.stderr, parameter
            assert estimate.stderr > 2.0 * value["stdev"]  # imphot's are 3 to 8 times too small
    assert ours.rms_error == pytest.approx(theirs["rms_error"], rel=1e-3 if case in {"default", "beta2.5"} else 0.03)
    assert ours.n_evaluations < 12
    assert ours.n_evaluations < min(theirs["nfev"]) or case == "fix_all"
    assert ("at bound" in ours["scale"].flag) == (case == "min_scale")


def test_a_star_lost_in_the_noise_is_not_constrained_in_any_parameter() -> None:
    """imphot ends at fwhm 0.14 +- 0.06 and an offset of 1 arcsec, and says nothing. In our form of its objective that is no minimum: chi square is five
    times that of ours there, and a fit started there comes to ours. Neither means anything, and ours says so."""
    theirs = golden()["dev4/image/instar1"]["params"]
    ours = fit(NOTHING_SEEN)
    assert {ours[name].flag for name in ("dx", "dy", "fwhm")} == {"not constrained"}
    assert theirs["fwhm"]["stdev"] < 0.06
    assert np.isinf(ours["fwhm"].stderr)
    held = {name: ParameterSpec.at(theirs[name]["value"]) for name in PARAMETER_NAMES}
    there = fit(NOTHING_SEEN, parameters=held)
    assert there.n_free == 0
    assert there.chisqr > 5.0 * ours.chisqr
    begun = {name: ParameterSpec(value=theirs[name]["value"]) for name in PARAMETER_NAMES} | fixed(beta=2.8)
    assert fit(NOTHING_SEEN, parameters=begun).chisqr == pytest.approx(ours.chisqr, rel=1e-3)
