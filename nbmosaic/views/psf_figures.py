"""Pictures of photometric fits: image fits, star fits, errors, batches, the PSF against wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.types.fit_pictures import RadialProfile, ResidualSpectrum
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ImageFitResult, MisfitSource, StarFitResult
from nbmosaic.types.wavelength_psf import WavelengthPsf
from nbmosaic.views.axes import new_axes, new_figure
from nbmosaic.views.labels import plain_label, short_names
from nbmosaic.views.look import CLIPPED_COLOUR, SERIES, house_style, legend_above, with_unit
from nbmosaic.views.psf_alt_text import estimate_text
from nbmosaic.views.psf_panels import (
    image_stretch,
    plot_ellipse,
    plot_fit_panel,
    plot_source_profile,
    plot_spectrum,
    plot_star_profile,
    plot_star_residual,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_covariance", "plot_fwhm_by_file", "plot_image_fit", "plot_star_fit", "plot_wavelength_psf"]

_UNITS = {"dx": "arcsec", "dy": "arcsec", "fwhm": "arcsec"}
MAX_FILE_LABELS = 40


@house_style
def plot_image_fit(
    result: ImageFitResult,
    profile: RadialProfile,
    spectrum: ResidualSpectrum,
    *,
    sources: Sequence[MisfitSource] = (),
    figure: Figure | None = None,
) -> tuple[Axes, ...]:
    """Draw a whole image fit: image, model, residual in sigma; profile of the brightest source with the PSF, residual spectrum, joint errors.

    Parameters
    ----------
    result : ImageFitResult
        The fit.
    profile : RadialProfile
        Its brightest source.
    spectrum : ResidualSpectrum
        Power of image and residual.
    sources : sequence of MisfitSource
        Sources that were left out, circled.
    figure : matplotlib.figure.Figure, optional
        Where to draw; default: a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        Six.
    """
    aspect = min(max(result.image.shape[0] / max(result.image.shape[1], 1), 0.3), 2.0)
    figure = new_figure(11.0, 3.1 * aspect + 3.9) if figure is None else figure
    panels = tuple(figure.subplots(2, 3, height_ratios=[max(aspect, 0.5), 0.85]).ravel())
    stretch = image_stretch(result)
    for panel, kind in zip(panels, ("image", "model", "residual"), strict=False):
        plot_fit_panel(result, kind, stretch=stretch, sources=sources if kind != "model" else (), ax=panel)
    plot_source_profile(profile, fwhm=result["fwhm"].value, unit=result.unit, ax=panels[3])
    plot_spectrum(spectrum, ax=panels[4])
    _two_errors(result, panels[5])
    against = f" against {result.reference_name}" if result.reference_name else ""
    figure.suptitle(f"{plain_label((result.name or 'image') + against, 70)}: {_numbers(result, ('fwhm', 'beta', 'scale'))}", fontsize=10)
    return panels


def _two_errors(result: ImageFitResult | StarFitResult, ax: Any) -> None:
    """Errors of FWHM and beta, or of the first two parameters that are constrained."""
    free = [name for name in result.free_names if 0 < result[name].stderr < np.inf]
    pair = (
        ("fwhm", "beta")
        if {"fwhm", "beta"} <= set(free)
        else tuple(sorted(free, key=("dx", "dy", "fwhm", "scale", "bg", "beta").index)[:2])
    )
    if len(pair) < 2:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "fewer than two\nparameters were fitted", ha="center", va="center", transform=ax.transAxes)
        return
    rows = [PARAMETER_NAMES.index(name) for name in pair]
    covariance = result.covariance[np.ix_(rows, rows)]
    values = (result[pair[0]].value, result[pair[1]].value)
    plot_ellipse(values, covariance, names=(pair[0], pair[1]), units=(_unit(pair[0], result), _unit(pair[1], result)), ax=ax)
    ax.set_title(f"errors, correlation {covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]):+.2f}")
    ax.legend(loc="best", fontsize=7)


def _numbers(result: ImageFitResult | StarFitResult, names: Sequence[str]) -> str:
    """Some parameters with errors and units."""
    return ", ".join(f"{name} {estimate_text(result[name])} {_UNITS.get(name, '')}".rstrip() for name in names)


def _unit(name: str, result: ImageFitResult | StarFitResult) -> str:
    return result.unit if name == "bg" else _UNITS.get(name, "")


@house_style
def plot_star_fit(result: StarFitResult, *, figure: Figure | None = None) -> tuple[Axes, ...]:
    """Draw a star fit: pixels and profile against radius in image and reference, and below what is left in units of sigma.

    Parameters
    ----------
    result : StarFitResult
        The fit.
    figure : matplotlib.figure.Figure, optional
        Where to draw; default: a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        Profile in the image, profile in the reference, residual in the image, residual in the reference.
    """
    figure = new_figure(9.0, 5.4) if figure is None else figure
    panels = tuple(figure.subplots(2, 2, height_ratios=[2.2, 1], sharex="col").ravel())
    names = (result.name or "image", result.reference_name or "reference")
    for column, (profile, name) in enumerate(zip((result.image, result.reference), names, strict=True)):
        plot_star_profile(profile, title=plain_label(name, 40), unit=result.unit, ax=panels[column])
        plot_star_residual(profile, ax=panels[2 + column])
    figure.suptitle(f"star: {_numbers(result, ('fwhm', 'beta', 'scale'))}\n{_numbers(result, ('dx', 'dy'))}", fontsize=10)
    return panels


@house_style
def plot_covariance(
    values: Sequence[float],
    covariance: FloatArray,
    *,
    names: Sequence[str],
    units: Sequence[str] = (),
    figure: Figure | None = None,
) -> tuple[Axes, ...]:
    """Draw the joint errors of every two parameters as ellipses of 68.3 and 95.4 %.

    Parameters
    ----------
    values : sequence of float
        Fitted values.
    covariance : ndarray, shape (n, n)
        Their covariance.
    names, units : sequence of str
        For the labels.
    figure : matplotlib.figure.Figure, optional
        Where to draw; default: a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        Row by row below the diagonal.
    """
    n = len(names)
    units = units or [""] * n
    if n < 2:
        figure = new_figure(4.0, 2.0) if figure is None else figure
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.text(0.5, 0.5, "fewer than two parameters were fitted", ha="center", va="center", transform=axes.transAxes)
        return (axes,)
    figure = new_figure(min(2.0 * (n - 1) + 1.2, 11.0), min(1.7 * (n - 1) + 0.9, 9.5)) if figure is None else figure
    grid = figure.subplots(n - 1, n - 1, squeeze=False, sharex="col")
    panels = []
    for row in range(1, n):
        for column in range(n - 1):
            axes = grid[row - 1, column]
            if column >= row:
                axes.set_axis_off()
                continue
            pick = np.ix_([column, row], [column, row])
            pair, labels = (values[column], values[row]), (names[column], names[row])
            plot_ellipse(pair, covariance[pick], names=labels, units=(units[column], units[row]), ax=axes)
            axes.tick_params(labelsize=7)
            axes.set_xlabel(axes.get_xlabel().replace(" [", "\n["), fontsize=7)
            axes.set_ylabel(axes.get_ylabel().replace(" [", "\n["), fontsize=7)
            axes.tick_params(axis="x", rotation=30)
            if row < n - 1:
                axes.set_xlabel("")
            if column:
                axes.set_ylabel("")
                axes.tick_params(labelleft=False)
            panels.append(axes)
    panels[0].legend(loc="lower left", bbox_to_anchor=(1.02, 0.0), fontsize=7)
    return tuple(panels)


@house_style
def plot_fwhm_by_file(
    names: Sequence[str],
    series: Sequence[tuple[str, Sequence[Estimate]]],
    *,
    failed: Sequence[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw FWHM with standard errors against file.

    Parameters
    ----------
    names : sequence of str
        Names of the files.
    series : sequence of (str, sequence of Estimate)
        Kind of fit, and one FWHM a file. Values with a flag are drawn hollow.
    failed : sequence of str
        Files without a result: crosses at the bottom.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    labels = short_names([*names, *failed])
    ax = new_axes() if ax is None else ax
    for number, (kind, values) in enumerate(series):
        shift = 0.12 * (number - (len(series) - 1) / 2)
        x = np.arange(len(values)) + shift
        value = np.array([one.value for one in values])
        error = np.array([one.stderr if np.isfinite(one.stderr) else 0.0 for one in values])
        flagged = np.array([bool(one.flag) for one in values], bool)
        colour = SERIES[number]
        for part, face in ((~flagged, colour), (flagged, "white")):
            if part.any():
                label = f"{kind.removesuffix('s')} fit" + ("" if face == colour else ", flagged")
                ax.errorbar(x[part], value[part], error[part], fmt="o", color=colour, mfc=face, markersize=4, label=label)
    if failed:
        at = np.arange(len(names), len(names) + len(failed))
        ax.plot(at, np.full(len(failed), 0.03), "x", color=CLIPPED_COLOUR, transform=ax.get_xaxis_transform(), label="failed")
    step = max(1, -(-len(labels) // MAX_FILE_LABELS))
    ax.set_xticks(range(0, len(labels), step), [plain_label(text) for text in labels[::step]], rotation=60 if len(labels) > 8 else 0)
    ax.set_xlim(-0.5, max(len(labels), 1) - 0.5)
    ax.set_xlabel("file")
    ax.set_ylabel(with_unit("fwhm", "arcsec"))
    legend_above(ax)
    return ax


@house_style
def plot_wavelength_psf(psf: WavelengthPsf, *, figure: Figure | None = None) -> tuple[Axes, Axes]:
    """Draw FWHM and beta of the bands with standard errors, and the fitted polynomials with theirs, against wavelength.

    Parameters
    ----------
    psf : WavelengthPsf
        Bands and polynomials.
    figure : matplotlib.figure.Figure, optional
        Where to draw; default: a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        FWHM, beta.
    """
    figure = new_figure(7.5, 5.0) if figure is None else figure
    top, bottom = figure.subplots(2, 1, sharex=True)
    used = psf.used
    good = np.isfinite(psf.wavelength)
    x = np.linspace(psf.wavelength[good].min(), psf.wavelength[good].max(), 200) if good.any() else np.array(psf.reference_range)
    parts: tuple[tuple[Any, ...], ...] = (
        (top, psf.fwhm, psf.fwhm_stderr, psf.fwhm_at(x), psf.fwhm_stderr_at(x), with_unit("fwhm", "arcsec")),
        (bottom, psf.beta, psf.beta_stderr, psf.beta_at(x), psf.beta_stderr_at(x), "beta"),
    )
    for axes, value, error, curve, band, label in parts:
        shown = np.isfinite(value)
        for part, face, name in ((used & shown, SERIES[0], "bands"), (~used & shown, "white", "bands left out")):
            if part.any():
                style = {"color": SERIES[0], "mfc": face, "markersize": 3, "elinewidth": 0.7, "label": name}
                axes.errorbar(psf.wavelength[part], value[part], np.where(np.isfinite(error[part]), error[part], 0.0), fmt="o", **style)
        axes.fill_between(x, curve - band, curve + band, color=SERIES[1], alpha=0.25, linewidth=0)
        axes.plot(x, curve, color=SERIES[1], label="polynomial")
        axes.set_ylabel(label)
    bottom.set_xlabel(with_unit("wavelength", "angstrom"))
    legend_above(top)
    return top, bottom
