"""What an image fit must show on simulated fields. Fields, seeds and limits were written down before any of these fields had been simulated.

**Fields.** Settings are those of published work, not chosen for a result: number counts, noise of image (0.15) and reference are those of the fields on which
the original program was recorded (the depth of the Hubble Ultra Deep Field, ten hours of MUSE; 3e-4 e/s per 30 mas pixel is the published depth of F775W);
flux scale, background, offset, FWHM and beta are the published fits of the MUSE fields UDF01, UDF04, UDF06 and UDF08 in F606W, and fluxes of stars are those
of point sources there. A field is MUSE's arc minute, 300 x 300 pixels, on the same grid as its reference. Rims and discs are masked.

* ``rich``: UDF01 with its bright point source;
* ``sparse``: a fifth of the galaxies and one star of magnitude 21.5, seen as UDF04;
* ``low signal``: a single exposure of 25 minutes (noise 0.7) of a field like UDF06, moved by a pixel, more of it masked;
* ``stars masked``: the field of ``rich``, its point source left out by a disc of 3 arcsec;
* ``galaxies``: UDF08, in which there is no star.

**Criteria**, for 200 realisations of the noise of image and reference in every field, all options at their defaults:

* the rms pull of every parameter is 0.9 to 1.1;
* the mean pull of every parameter is within 0.2 of 0;
* the scatter of fwhm is at most 0.65 of that of ``method="imphot"`` on the same images (the first three fields);
* galaxies only (the last two fields): fwhm is wrong by less than 0.002 arcsec on average.

**Chance.** The rms of 200 pulls of a perfect estimator scatters by 0.05, so one in 22 lies outside of 0.9 to 1.1: 1.4 of the 30 numbers here. The mean of 200
pulls scatters by 0.07, so one in 200 lies outside. A number outside its limits is therefore measured once more, with 200 realisations of other seeds, also
fixed here, and must be inside then: a perfect estimator misses twice in 0.2 % of such numbers, one with a true rms of 1.15 in 64 %, with 1.2 in 90 %. Limits
do not move.

**Outcome.** The first run found a fault: in ``rich`` fwhm was off by -0.07 and -0.24, beta by -0.07 and -0.29 standard errors (both seeds; -0.22 and -0.20
without noise), because a bright star has light beyond Nyquist's frequency. Fits now count that light (`nbmosaic.core.psf.image_fit_beyond`); the numbers below
are of the repaired estimator, on the same seeds. All 30 mean pulls are inside, and 28 of 30 rms pulls; the other two were inside on the other seeds: 0.88
(scale, rich; 1.00 then) and 0.89 (dx, sparse; 1.02 then).

============  =====================================  ========================================  ==================  ===================
field         rms pull: scale bg dx dy fwhm beta     mean pull                                 scatter by imphot's  fwhm, mean error
============  =====================================  ========================================  ==================  ===================
rich          0.88 1.08 0.98 1.08 1.03 0.93          -0.04 0.06 -0.05 0.06 0.15 0.13           0.61
rich, again   1.00 1.01 1.04 1.00 1.00 1.01          0.08 -0.04 0.10 -0.14 -0.01 -0.09         0.61
sparse        0.98 0.95 0.89 0.99 0.96 0.96          0.03 -0.03 0.04 0.07 -0.00 -0.03          0.67
sparse again  0.95 0.99 1.02 1.03 0.98 0.96          -0.03 0.01 0.07 0.02 0.07 0.03            0.66
low signal    0.94 0.99 0.96 0.97 0.92 0.95          0.06 -0.08 -0.05 -0.08 -0.09 -0.14        0.61
stars masked  0.95 1.09 1.02 1.02 0.92 0.92          -0.08 0.15 -0.07 -0.04 0.04 -0.01                              0.0002
galaxies      1.05 1.05 1.08 1.01 0.98 1.02          -0.03 0.02 0.11 -0.08 -0.02 -0.03                              -0.0000
============  =====================================  ========================================  ==================  ===================

**Not met**: in ``sparse`` the scatter of fwhm is 0.67 (0.66 again) of imphot's, not 0.65. It is the Cramer-Rao bound of these pixels: with the true sky, its
true derivatives and white noise no unbiased estimator scatters less, and the bound itself is 0.68 of the standard error of imphot's form.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from support.psf_sky import PsfField, Seeing, SkyImages

from nbmosaic.core.psf.image_fit import fit_image
from nbmosaic.types.photometry import PARAMETER_NAMES

COUNT = 200
RMS, MEAN, RATIO, FWHM_BIAS = (0.9, 1.1), 0.2, 0.65, 0.002
FWHM = PARAMETER_NAMES.index("fwhm")
STAR_RADIUS = 15.0
"""Pixels: 3 arcsec."""

RICH = PsfField(
    seed=2001,
    n=300,
    stars=((0.37, 0.71, 1230.0),),
    edge=4,
    holes=((0.8, 0.15, 10.0),),
    seeing=Seeing(scale=0.948, bg=0.057, dx=0.0135, dy=0.0062, fwhm=0.652, beta=2.8),
)
FIELDS = {
    "rich": RICH,
    "sparse": PsfField(
        seed=2004,
        n=300,
        density=0.02,
        stars=((0.62, 0.33, 462.0),),
        edge=4,
        holes=((0.2, 0.8, 14.0),),
        seeing=Seeing(scale=0.955, bg=0.054, dx=0.014, dy=-0.0227, fwhm=0.656, beta=2.8),
    ),
    "low signal": PsfField(
        seed=2006,
        n=300,
        sigma=0.7,
        stars=((0.45, 0.58, 1730.0),),
        edge=8,
        holes=((0.3, 0.6, 18.0), (0.7, 0.25, 9.0), (0.85, 0.8, 12.0)),
        seeing=Seeing(scale=0.934, bg=0.0616, dx=0.21, dy=-0.13, fwhm=0.668, beta=2.8),
    ),
    "stars masked": RICH,
    "galaxies": PsfField(seed=2008, n=300, edge=4, seeing=Seeing(scale=0.924, bg=0.06, dx=0.0185, dy=-0.0126, fwhm=0.672, beta=2.8)),
}
WITH_STAR = ("rich", "sparse", "low signal")
SEEDS = {name: (1_000_000 * number, 1_000_000 * number + 500_000) for number, name in enumerate(FIELDS, start=1)}
"""First seed of the first 200 realisations of a field, and of the 200 that decide about numbers outside of their limits."""


NOT_MET = {"sparse": {"scatter of fwhm by imphot's"}}
"""See above, and `test_no_unbiased_estimator_does_better_in_the_sparse_field`."""


@lru_cache(maxsize=2)
def sky(field: PsfField) -> tuple[SkyImages, np.ndarray]:
    images = SkyImages(field)
    return images, images.clean_image()


def simulate(name: str, first: int, count: int, methods: tuple[str, ...]) -> np.ndarray:
    """Values and standard errors, shape (methods, 2, count, 6); reference and image have new noise in every realisation."""
    images, clean = sky(FIELDS[name])
    masked = images.star_mask(STAR_RADIUS) if name == "stars masked" else None
    out = np.empty((len(methods), 2, count, len(PARAMETER_NAMES)))
    for i in range(count):
        reference, image = images.reference(first + i), images.image(first + 200_000 + i, clean=clean)
        for m, method in enumerate(methods):
            fit = fit_image(reference, image, method=method, sky_mask=masked)
            assert fit.converged
            out[m, :, i] = [fit[p].value for p in PARAMETER_NAMES], [fit[p].stderr for p in PARAMETER_NAMES]
    return out


def truth(name: str) -> np.ndarray:
    return np.array([getattr(FIELDS[name].seeing, p) for p in PARAMETER_NAMES])


def measures(name: str, first: int) -> dict[str, float]:
    """Every number of a field that a criterion is about."""
    methods = ("whitened", "imphot") if name in WITH_STAR else ("whitened",)
    fits = simulate(name, first, COUNT, methods)
    pulls = (fits[0, 0] - truth(name)) / fits[0, 1]
    out = {f"rms pull of {p}": float(v) for p, v in zip(PARAMETER_NAMES, np.sqrt((pulls**2).mean(axis=0)), strict=True)}
    out |= {f"mean pull of {p}": float(v) for p, v in zip(PARAMETER_NAMES, pulls.mean(axis=0), strict=True)}
    if name in WITH_STAR:
        out["scatter of fwhm by imphot's"] = float(fits[0, 0, :, FWHM].std() / fits[1, 0, :, FWHM].std())
    else:
        out["fwhm, mean error"] = float(fits[0, 0, :, FWHM].mean() - truth(name)[FWHM])
    return out


def outside(numbers: dict[str, float]) -> set[str]:
    """Names of the numbers that miss their criterion."""
    limits = {"rms": RMS, "mea": (-MEAN, MEAN), "sca": (0.0, RATIO), "fwh": (-FWHM_BIAS, FWHM_BIAS)}
    return {key for key, value in numbers.items() if not limits[key[:3]][0] <= value <= limits[key[:3]][1]}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_two_hundred_realisations(name: str) -> None:
    numbers = measures(name, SEEDS[name][0])
    missed = outside(numbers)
    again = measures(name, SEEDS[name][1]) if missed else {}
    print(name, numbers, again)
    assert missed & outside(again) == NOT_MET.get(name, set()), (numbers, again)


@pytest.mark.slow
def test_no_unbiased_estimator_does_better_in_the_sparse_field() -> None:
    """The bound from differences of the simulated images, which know the whole sky, not from the model of the fit."""
    field = FIELDS["sparse"]
    images, clean = sky(field)
    image = images.image(clean=clean)
    rows = [(clean - field.seeing.bg) / field.seeing.scale, np.ones_like(clean)]
    for name, h in (("dx", 1e-3), ("dy", 1e-3), ("fwhm", 1e-3), ("beta", 1e-2)):
        ends = [images.clean_image(replace(field.seeing, **{name: getattr(field.seeing, name) + side * h})) for side in (1, -1)]
        rows.append((ends[0] - ends[1]) / (2 * h))
    jacobian = np.array([row[image.good] for row in rows]) / field.sigma
    bound = float(np.sqrt(np.linalg.inv(jacobian @ jacobian.T)[FWHM, FWHM]))
    ours, theirs = (fit_image(images.reference(), image, method=m, noise="variance")["fwhm"].stderr for m in ("whitened", "imphot"))
    assert bound > RATIO * theirs
    assert ours < 1.01 * bound


@pytest.mark.parametrize("fwhm", [pytest.param(0.652, marks=pytest.mark.slow), pytest.param(0.52, marks=pytest.mark.slow), 0.45])
def test_a_bright_star_does_not_bias_the_seeing(fwhm: float) -> None:
    """Without noise: what is left is the bias. Without the light beyond Nyquist's frequency fwhm is off by 0.22, 3.6 and 14 standard errors."""
    seeing = replace(RICH.seeing, fwhm=fwhm)
    images, _ = sky(RICH)
    fit = fit_image(images.reference(), images.image(seeing=seeing), noise="variance")
    for p in PARAMETER_NAMES:
        assert abs(fit[p].value - getattr(seeing, p)) < 0.3 * fit[p].stderr, p
    assert abs(fit["fwhm"].value - fwhm) < 0.0002


@pytest.mark.parametrize("name", ["rich", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sparse", "low signal"))])
def test_a_few_realisations(name: str) -> None:
    """Limits that chance leaves to eight pulls: 0.002 of perfect estimators lie outside."""
    fits = simulate(name, SEEDS[name][0], 8, ("whitened",))[0]
    pulls = (fits[0] - truth(name)) / fits[1]
    spread = np.sqrt((pulls**2).mean(axis=0))
    assert np.all((spread > 0.35) & (spread < 1.75)), spread
    assert np.all(np.abs(pulls.mean(axis=0)) < 1.1), pulls.mean(axis=0)
