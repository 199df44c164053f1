"""Tables and lines of text of photometric fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.types.photometry import Estimate, MisfitSource
from nbmosaic.types.sky_image import SkyImage

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.photometry.products import ImagePhotometry, Photometry, StarPhotometry

__all__ = [
    "batch_row",
    "comparison_table",
    "misfit_table",
    "profile_table",
    "shown_comparison",
    "shown_parameters",
    "summary_text",
]

_HEADINGS = (
    (" MUSE ID", " ", " Method  Flux    FWHM    beta     Flux    x-offset  y-offset  ra-offset dec-offset  RMS"),
    ("", " ", "         scale  arcsec           offset    arcsec    arcsec    arcsec    arcsec    error"),
    ("", "-", " ------ ------- ------- ------- --------- --------- --------- --------- --------- -------"),
)


def summary_text(fit: Photometry, *, header: bool) -> str:
    """Results of a fit in one line, with imphot's three lines of headings before it if they are wanted."""
    name = fit.name
    lines = ["#" + text.ljust(len(name) - 1, fill) + rest for text, fill, rest in _HEADINGS] if header else []
    values = [one.value for one in (fit.scale, fit.fwhm, fit.beta, fit.bg, fit.dx, fit.dy, fit.dra, fit.ddec)]
    values_text = "".join(f" {value: {width}f}" for value, width in zip(values, ("7.4",) * 3 + ("9.5",) * 5, strict=True))
    return "\n".join([*lines, f"{name} {fit.word:>6s}{values_text} {fit.rms_error:7.4f}"])


def profile_table(fit: StarPhotometry) -> pd.DataFrame:
    """One row a parameter of each of the two profiles."""
    import pandas as pd

    unit = fit.result.unit
    units = {"flux": unit, "bg": unit, "angle": "deg"} | dict.fromkeys(("dx", "dy", "fwhm"), "arcsec")
    rows = []
    for which, profile in (("image", fit.result.image), ("reference", fit.result.reference)):
        for name, one in profile.parameters.items():
            row = {"profile": which, "parameter": name, "value": one.value, "stderr": one.stderr, "unit": units.get(name, "")}
            rows.append({**row, "fixed": one.fixed, "flag": one.flag})
    return pd.DataFrame(rows)


def shown_parameters(fit: Photometry) -> pd.DataFrame:
    """One row a parameter as it is shown: texts with as many digits as the standard errors allow."""
    import pandas as pd

    from nbmosaic.views.psf_alt_text import estimate_parts

    rows = []
    for name, one in fit.estimates.items():
        value, error = estimate_parts(one)
        row = {"parameter": name, "value": value, "error": error, "unit": fit.units.get(name, "")}
        rows.append({**row, "flag": ", ".join(filter(None, ["fixed" if one.fixed else "", one.flag]))})
    return pd.DataFrame(rows)


def shown_comparison(image: ImagePhotometry, star: StarPhotometry) -> pd.DataFrame:
    """As `comparison_table`, as it is shown."""
    import pandas as pd

    from nbmosaic.views.psf_alt_text import estimate_text

    rows = []
    for name, one in image.estimates.items():
        apart = _apart(one, star.estimates[name])
        texts = {"image": estimate_text(one), "star": estimate_text(star.estimates[name]), "unit": image.units.get(name, "")}
        rows.append({"parameter": name, **texts, "difference [sigma]": "" if math.isnan(apart) else f"{apart:+.2f}"})
    return pd.DataFrame(rows)


def _apart(one: Estimate, other: Estimate) -> float:
    """Difference in units of its standard error, the two taken as independent; NaN where there is none."""
    error = math.hypot(one.stderr, other.stderr)
    return (one.value - other.value) / error if error > 0 and math.isfinite(error) else math.nan


def comparison_table(image: ImagePhotometry, star: StarPhotometry) -> pd.DataFrame:
    """One row a parameter: both fits, and their difference in units of its standard error."""
    import pandas as pd

    rows = []
    for name, one in image.estimates.items():
        other = star.estimates[name]
        flags = dict.fromkeys(flag for flag in (one.flag, other.flag) if flag)
        rows.append(
            {
                "parameter": name,
                "image": one.value,
                "image_err": one.stderr,
                "star": other.value,
                "star_err": other.stderr,
                "difference_sigma": _apart(one, other),
                "unit": image.units.get(name, ""),
                "flag": ", ".join(flags),
            }
        )
    return pd.DataFrame(rows)


def misfit_table(sources: Sequence[MisfitSource], image: SkyImage) -> pd.DataFrame:
    """One row a source that does not fit: where it is, and what is wrong with it."""
    import pandas as pd

    from nbmosaic.core.geometry.sky import pixel_to_icrs

    ra, dec = pixel_to_icrs(image.wcs, np.array([s.x for s in sources]), np.array([s.y for s in sources]))
    columns = ["kind", "ra", "dec", "x", "y", "peak_sigma", "flux_ratio", "shift_x", "shift_y", "shift_sigma", "n_pixels", "radius"]
    rows = [
        (s.kind, a, d, s.x, s.y, s.peak_sigma, s.flux_ratio, *s.shift_arcsec[::-1], s.shift_sigma, s.n_pixels, s.radius_arcsec)
        for s, a, d in zip(sources, ra, dec, strict=True)
    ]
    return pd.DataFrame(rows, columns=columns)


def batch_row(fit: Photometry) -> Mapping[str, Any]:
    """A fit as one row: values, standard errors, flags and notes."""
    row: dict[str, Any] = {"name": fit.name, "method": fit.word}
    for name, one in fit.estimates.items():
        row |= {name: one.value, f"{name}_err": one.stderr}
    flags = [f"{name} {flag}" for name, flag in fit.flags.items()] + ([] if fit.converged else ["not converged"])
    fixed = [name for name, one in fit.estimates.items() if one.fixed and name not in {"dra", "ddec"}]
    level = getattr(fit.result, "noise_factor", None)
    row |= {
        "rms": fit.rms_error,
        "noise_factor": fit.result.image.noise_factor if level is None else level,  # type: ignore[union-attr]
        "fixed": ", ".join(fixed),
        "flags": ", ".join(flags),
        "notes": "; ".join(fit.notes),
    }
    return row
