"""Single panels of pictures of photometric fits: images, residuals, profiles, spectra, ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.types.fit_pictures import RadialProfile, ResidualSpectrum
from nbmosaic.types.photometry import ImageFitResult, MisfitSource, ProfileFit
from nbmosaic.views.axes import new_axes
from nbmosaic.views.look import (
    DIVERGING_MAP,
    IMAGE_MAP,
    SERIES,
    Stretch,
    add_colour_bar,
    blank_aware,
    house_style,
    robust_stretch,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_ellipse", "plot_fit_panel", "plot_source_profile", "plot_spectrum", "plot_star_profile", "plot_star_residual"]

SIGMA_RANGE = 5.0
"""Residuals are drawn from minus to plus so many standard deviations."""
TITLES = {"image": "image", "model": "model", "residual": "residual / sigma"}
ELLIPSES = ((1, 2.2957), (2, 6.1801))
"""Standard deviations of one parameter, and the chi squared of two that holds as much (68.3 and 95.4 %)."""


@house_style
def plot_fit_panel(
    result: ImageFitResult,
    kind: str = "residual",
    *,
    stretch: Stretch | None = None,
    sources: Sequence[MisfitSource] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw the image, the model, or the residual in units of its standard deviation.

    Parameters
    ----------
    result : ImageFitResult
        The fit. Pixels that took no part are blank.
    kind : {"image", "model", "residual"}
        What to draw.
    stretch : Stretch, optional
        Colours of image or model (default: from the image).
    sources : sequence of MisfitSource
        Circled, with their number.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    image = {"image": result.image, "model": result.model, "residual": result.residual}[kind]
    shown = np.where(result.good, image, np.nan)
    unit, in_sigma = result.unit, kind == "residual" and result.sigma is not None
    if in_sigma and result.sigma is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            shown, unit = shown / result.sigma, "sigma"
    if ax is None:
        ax = new_axes(shown.shape)
    style: dict[str, Any] = {"origin": "lower", "interpolation": "nearest", "aspect": "equal", "extent": _extent(result, shown)}
    if kind == "residual":
        limit = SIGMA_RANGE if in_sigma else _spread(shown) * SIGMA_RANGE
        drawn = ax.imshow(shown, cmap=blank_aware(DIVERGING_MAP), vmin=-limit, vmax=limit, **style)
        ticks: Any = None
    else:
        stretch = image_stretch(result) if stretch is None else stretch
        drawn = ax.imshow(shown, cmap=blank_aware(IMAGE_MAP), norm=stretch.norm(), **style)
        ticks = stretch.ticks
    add_colour_bar(drawn, ax, with_unit("", unit).strip(), ticks=ticks, beside=False)
    _circle(ax, sources, result)
    _show_used(ax, result)
    ax.set_title(TITLES[kind] if in_sigma or kind != "residual" else "residual")
    ax.set_xlabel("x [pix]")
    ax.set_ylabel("y [pix]")
    return ax


def image_stretch(result: ImageFitResult) -> Stretch:
    """Colours that image and model share."""
    return robust_stretch(np.where(result.good, result.image, np.nan), percentiles=(0.5, 99.7))


def _extent(result: ImageFitResult, shown: AnyArray) -> tuple[float, float, float, float]:
    oy, ox = result.origin
    return (ox - 0.5, ox + shown.shape[1] - 0.5, oy - 0.5, oy + shown.shape[0] - 0.5)


def _show_used(ax: Any, result: ImageFitResult) -> None:
    """Limit the axes to the pixels that took part, with a rim: a reference may cover a small part of the image."""
    oy, ox = result.origin
    for axis, first, setter in ((1, oy, ax.set_ylim), (0, ox, ax.set_xlim)):
        used = np.flatnonzero(result.good.any(axis=axis))
        if used.size:
            rim = max(3.0, 0.03 * (used[-1] - used[0]))
            low, high = max(used[0] - rim, 0) + first - 0.5, min(used[-1] + rim + 1, result.good.shape[1 - axis]) + first - 0.5
            setter(low, high)


def _spread(values: AnyArray) -> float:
    good = values[np.isfinite(values)]
    spread = 1.4826 * float(np.median(np.abs(good))) if good.size else 0.0
    return spread if spread > 0 else 1.0


def _circle(ax: Any, sources: Sequence[MisfitSource], result: ImageFitResult) -> None:
    from matplotlib.patches import Ellipse

    step_y, step_x = result.step_arcsec
    for number, source in enumerate(sources, 1):
        size = (2 * source.radius_arcsec / step_x, 2 * source.radius_arcsec / step_y)
        ax.add_patch(Ellipse((source.x, source.y), *size, fill=False, edgecolor=SERIES[2], linewidth=1.3))
        text = {"color": "black", "fontsize": 7, "ha": "left", "va": "bottom"}
        at = (source.x + size[0] / 2.8, source.y + size[1] / 2.8)
        ax.text(*at, f"{number} {source.kind}", bbox={"facecolor": "white", "alpha": 0.7, "pad": 1, "lw": 0}, clip_on=True, **text)


@house_style
def plot_source_profile(profile: RadialProfile, *, fwhm: float, unit: str = "", ax: Axes | None = None) -> Axes:
    """Draw the brightest source against radius: pixels of the image, the model, and the fitted PSF.

    Parameters
    ----------
    profile : RadialProfile
        Its pixels.
    fwhm : float
        FWHM of the PSF, arcsec: half of it is marked.
    unit : str
        Unit of the image.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    ax.plot(profile.radius, profile.image, ".", color=SERIES[0], markersize=3, alpha=0.6, label="image", rasterized=True)
    order = np.argsort(profile.radius)
    ax.plot(profile.radius[order], profile.model[order], ".", color=SERIES[1], markersize=2.5, label="model", rasterized=True)
    ax.plot(profile.curve_radius, profile.curve, color="#222222", linestyle="--", label="fitted PSF")
    ax.axvline(fwhm / 2, color="#888888", linewidth=0.8, linestyle=":")
    y, x = profile.centre
    ax.set_title(f"brightest source, at x {x:.0f}, y {y:.0f}")
    ax.set_xlabel("radius [arcsec]")
    ax.set_ylabel(with_unit("above background", unit))
    ax.set_xlim(0, None)
    ax.legend(loc="upper right", fontsize=7)
    return ax


@house_style
def plot_spectrum(spectrum: ResidualSpectrum, *, ax: Axes | None = None) -> Axes:
    """Draw the power of image and residual against spatial frequency; 1 is white noise of the level that was used.

    Parameters
    ----------
    spectrum : ResidualSpectrum
        The two.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    tiny = 1e-6
    ax.axhline(1.0, color="#888888", linewidth=0.8, linestyle=":")
    ax.plot(spectrum.frequency, np.maximum(spectrum.image, tiny), color=SERIES[0], label="image")
    ax.plot(spectrum.frequency, np.maximum(spectrum.residual, tiny), color=SERIES[1], label="residual")
    ax.set_yscale("log")
    ax.set_title("residual spectrum")
    ax.set_xlabel("spatial frequency [1/arcsec]")
    ax.set_ylabel("power [noise = 1]")
    ax.legend(loc="upper right", fontsize=7)
    return ax


@house_style
def plot_ellipse(
    values: tuple[float, float],
    covariance: FloatArray,
    *,
    names: tuple[str, str],
    units: tuple[str, str] = ("", ""),
    ax: Axes | None = None,
) -> Axes:
    """Draw the joint errors of two parameters: the ellipses that hold 68.3 and 95.4 %.

    Parameters
    ----------
    values : tuple of float
        The two, x first.
    covariance : ndarray, shape (2, 2)
        Theirs.
    names, units : tuple of str
        For the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    size, vectors = np.linalg.eigh(covariance)
    turn = np.linspace(0.0, 2 * np.pi, 181)
    circle = vectors @ (np.sqrt(np.maximum(size, 0.0))[:, None] * np.stack([np.cos(turn), np.sin(turn)]))
    for (sigmas, level), colour in zip(ELLIPSES, (SERIES[0], SERIES[5]), strict=True):
        x, y = np.sqrt(level) * circle
        ax.plot(values[0] + x, values[1] + y, color=colour, label=f"{'68.3' if sigmas == 1 else '95.4'} %")
    ax.plot(*values, "+", color="#222222", markersize=7)
    ax.set_xlabel(with_unit(names[0], units[0]))
    ax.set_ylabel(with_unit(names[1], units[1]))
    ax.locator_params(nbins=4)
    ax.margins(0.12)
    ax.ticklabel_format(useOffset=False)
    return ax


@house_style
def plot_star_profile(profile: ProfileFit, *, title: str = "", unit: str = "", ax: Axes | None = None) -> Axes:
    """Draw the pixels of a star with their errors, and the fitted profile, against the distance from the fitted centre.

    Parameters
    ----------
    profile : ProfileFit
        The star in one of the two images.
    title, unit : str
        Name of the image, and its unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    style: dict[str, Any] = {"markersize": 3, "elinewidth": 0.6, "alpha": 0.7, "rasterized": True}
    ax.errorbar(profile.radius, profile.pixels, profile.sigma, fmt=".", color=SERIES[0], label="pixels", **style)
    ax.plot(profile.curve_radius, profile.curve, color=SERIES[1], label="fitted profile")
    fwhm, beta = profile["fwhm"], profile["beta"]
    lines = [f"flux {profile['flux'].value:.5g} {unit}".rstrip(), f"fwhm {fwhm.value:.4f} arcsec", f"beta {beta.value:.3f}"]
    if profile.saturated:
        lines.append("core looks saturated")
    ax.text(
        0.97, 0.72, with_unit("\n".join(lines), None) if "$" in unit else "\n".join(lines), transform=ax.transAxes, ha="right", va="top"
    )
    ax.set_title(title)
    ax.set_ylabel(with_unit("pixel value", unit))
    ax.set_xlim(0, None)
    ax.legend(loc="upper right", fontsize=7)
    return ax


@house_style
def plot_star_residual(profile: ProfileFit, *, ax: Axes | None = None) -> Axes:
    """Draw what is left of the pixels of a star, in units of their standard deviations, against radius.

    Parameters
    ----------
    profile : ProfileFit
        The star in one of the two images.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(profile.sigma > 0, profile.residual / profile.sigma, np.nan)
    ax.axhspan(-1, 1, color="#888888", alpha=0.18, linewidth=0)
    ax.axhline(0.0, color="#888888", linewidth=0.8)
    ax.plot(profile.radius, scaled, ".", color=SERIES[0], markersize=3, rasterized=True)
    ax.set_xlabel("radius [arcsec]")
    ax.set_ylabel("residual [sigma]")
    ax.set_xlim(0, None)
    return ax
