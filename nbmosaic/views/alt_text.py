"""Pictures in words, built from the data that they show."""

from __future__ import annotations

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.types.matching import BackgroundModel
from nbmosaic.views.numbers import count_text, number_text

__all__ = [
    "alt_text_background",
    "alt_text_coverage",
    "alt_text_footprints",
    "alt_text_levels",
    "alt_text_mosaic",
    "alt_text_network",
    "alt_text_overlap",
    "alt_text_residuals",
]


def _percent(fraction: float) -> str:
    """Fraction in percent; small ones do not become 0."""
    if 0 < fraction < 0.005:
        return "less than 1 %"
    return "more than 99 %" if 0.995 < fraction < 1 else f"{100 * fraction:.0f} %"


def _value(value: float, unit: str) -> str:
    """Write a number with its unit."""
    return f"{number_text(float(value), 3)} {unit}".rstrip()


def alt_text_mosaic(
    shape: tuple[int, int],
    n_frames: int | None = None,
    blank_fraction: float | None = None,
    *,
    centre: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
    unit: str = "",
    what: str = "mosaic",
) -> str:
    """Describe a picture of an image.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    n_frames : int, optional
        Frames in it.
    blank_fraction : float, optional
        Share of the pixels without data, 0 to 1.
    centre : tuple of float, optional
        Longitude and latitude of its centre in degrees.
    limits : tuple of float, optional
        Values of the first and last colour.
    unit : str
        Their unit.
    what : str
        First word.

    Returns
    -------
    str
        One line.

    Examples
    --------
    >>> alt_text_mosaic((640, 812), 16, 0.03)
    'mosaic 812 x 640 px, 16 frames, 3 % blank'
    """
    parts = [f"{what} {shape[1]} x {shape[0]} px"]
    if n_frames is not None:
        parts.append(count_text(n_frames, "frame"))
    if blank_fraction is not None:
        parts.append(f"{_percent(blank_fraction)} blank")
    if centre is not None:
        parts.append(f"centre {centre[0]:.4f}, {centre[1]:+.4f} deg")
    if limits is not None:
        parts.append(f"colours from {number_text(limits[0], 3)} to {_value(limits[1], unit)}")
    return ", ".join(parts)


def alt_text_coverage(area: AnyArray) -> str:
    """Describe a coverage map: largest and median coverage of the pixels seen, share of blank ones.

    Examples
    --------
    >>> alt_text_coverage(np.array([[0.0, 1.0], [1.0, 2.0]]))
    'coverage map 2 x 2 px, up to 2, median 1 where covered, 25 % blank'
    """
    values = np.asarray(area)
    seen = values[np.isfinite(values) & (values > 0)]
    head = f"coverage map {values.shape[1]} x {values.shape[0]} px"
    if not seen.size:
        return f"{head}, no pixel covered"
    blank = 1 - seen.size / values.size
    most, middle = number_text(float(seen.max()), 3), number_text(float(np.median(seen)), 3)
    return f"{head}, up to {most}, median {middle} where covered, {_percent(blank)} blank"


def alt_text_footprints(n_frames: int, shape: tuple[int, int] | None = None) -> str:
    """Describe a picture of outlines.

    Examples
    --------
    >>> alt_text_footprints(16, (640, 812))
    'outlines of 16 frames on a grid of 812 x 640 px'
    """
    where = "" if shape is None else f" on a grid of {shape[1]} x {shape[0]} px"
    return f"outlines of {count_text(n_frames, 'frame')}{where}"


def alt_text_network(n_frames: int, residuals: AnyArray, *, n_excluded: int = 0, unit: str = "", what: str = "differences left") -> str:
    """Describe a network of overlaps; `what` names the numbers.

    Examples
    --------
    >>> alt_text_network(3, np.array([0.5, -1.0]), unit="DN")
    'network of 3 frames and 2 overlaps; differences left: median 0.75 DN, largest 1 DN'
    """
    sizes = np.abs(np.asarray(residuals, np.float64))
    head = f"network of {count_text(n_frames, 'frame')} and {count_text(len(sizes), 'overlap')}"
    if n_excluded:
        head += f", {n_excluded} of them excluded"
    sizes = sizes[np.isfinite(sizes)]
    if not sizes.size:
        return head
    return f"{head}; {what}: median {_value(np.median(sizes), unit)}, largest {_value(sizes.max(), unit)}"


def alt_text_background(model: BackgroundModel, *, unit: str = "") -> str:
    """Describe a background model: frames, range of the levels at its origin, kind, groups."""
    levels = model.planes[:, 2]
    kind = "planes" if model.slope else "levels"
    head = f"background {kind} of {count_text(len(model), 'frame')}"
    if len(levels):
        head += f", from {number_text(float(levels.min()), 3)} to {_value(levels.max(), unit)} at the origin"
    return head + (f", {model.n_components} groups without overlap between them" if model.n_components > 1 else "")


def alt_text_levels(levels: FloatArray, errors: FloatArray | None = None, *, unit: str = "") -> str:
    """Describe the levels of the frames with their standard errors.

    Examples
    --------
    >>> alt_text_levels(np.array([-3.0, 4.0]), np.array([0.1, 0.3]), unit="DN")
    'background levels of 2 frames, from -3 to 4 DN; standard errors 0.1 to 0.3 DN'
    """
    head = f"background levels of {count_text(len(levels), 'frame')}"
    if len(levels):
        head += f", from {number_text(float(np.min(levels)), 3)} to {_value(np.max(levels), unit)}"
    known = np.zeros(0) if errors is None else errors[np.isfinite(errors)]
    if not known.size:
        return f"{head}; standard errors not computed" if errors is None else f"{head}; not constrained by overlaps"
    return f"{head}; standard errors {number_text(float(known.min()), 3)} to {_value(known.max(), unit)}"


def alt_text_overlap(names: tuple[str, str], n_kept: int, n_clipped: int, *, level: float, rms: float, unit: str = "") -> str:
    """Describe the four panels of an overlap.

    Examples
    --------
    >>> alt_text_overlap(("a", "b"), 900, 10, level=1.5, rms=0.2, unit="DN")
    'difference of a and b: 900 pixels kept, 10 clipped; plane with level 1.5 DN, residual rms 0.2 DN'
    """
    first, second = names
    return (
        f"difference of {first} and {second}: {n_kept} pixels kept, {n_clipped} clipped; "
        f"plane with level {_value(level, unit)}, residual rms {_value(rms, unit)}"
    )


def alt_text_residuals(before: AnyArray, after: AnyArray, *, unit: str = "") -> str:
    """Describe the differences over the overlaps before and after correction.

    Examples
    --------
    >>> alt_text_residuals(np.array([4.0, -6.0]), np.array([0.1, 0.3]), unit="DN")
    'differences over 2 overlaps: median 5 DN before, 0.2 DN after correction; largest 6 DN before, 0.3 DN after'
    """
    b, a = (np.abs(np.asarray(v, np.float64)) for v in (before, after))
    good = np.isfinite(b) & np.isfinite(a)
    head = f"differences over {count_text(int(good.sum()), 'overlap')}"
    if not good.any():
        return head
    return (
        f"{head}: median {_value(np.median(b[good]), unit)} before, {_value(np.median(a[good]), unit)} after correction; "
        f"largest {_value(b[good].max(), unit)} before, {_value(a[good].max(), unit)} after"
    )
