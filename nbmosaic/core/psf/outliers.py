"""Sources that the reference does not predict: stars that moved, sources that vary, saturated cores; and the fit without them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.core.psf.moffat import moffat_core_radius, moffat_profile
from nbmosaic.errors import ConfigError
from nbmosaic.types.photometry import ImageFitResult, MisfitSource

__all__ = ["MisfitFit", "exclusion_mask", "find_misfits", "fit_without_misfits"]

_LONGEST = 5.0
"""Largest radius of exclusion, arcsec: beyond it the wings of any star that is worth keeping are noise."""


def find_misfits(result: ImageFitResult, *, threshold: float = 5.0, least_fraction: float = 0.03) -> tuple[MisfitSource, ...]:
    """Sources whose residual is significant and a noticeable part of the source.

    Parameters
    ----------
    result : ImageFitResult
        A fit. Its `sigma` is used where it has one, else the scatter of the residuals.
    threshold : float
        Least significance, in standard deviations, of a residual matched to the seeing.
    least_fraction : float
        Least residual as a part of what the model has above its background within one FWHM. The parameters of the fit have errors, which on bright
        sources make residuals of a percent or two that are significant and harmless. A shift of 0.03 times the FWHM makes 0.03.

    Returns
    -------
    tuple of MisfitSource
        The strongest first; positions in the frame that was given to the fit.

    Raises
    ------
    ConfigError
        A threshold that is not positive; a fit by imphot's method, whose tapered residual shows every source at a mask or an edge as a misfit.

    Notes
    -----
    The significance at a pixel is that of the best amplitude of a source of the fitted Moffat there, ``sum(w P r) / sqrt(sum(w P^2))`` with weights w
    the inverse variances; it is brought to unit scatter (1.4826 times the median absolute deviation) where it scatters more. Pixels beyond the
    threshold that are nearer than one FWHM are one source. Its model, less the surroundings, is then fitted to the image with a flux
    factor and a shift of its own, which say what kind of misfit it is: ``moved`` where the shift lowers chi squared more than the factor,
    ``saturated`` where pixels of the core are missing, equal, or fainter than the wings have it, otherwise ``brighter`` or ``fainter``.

    Examples
    --------
    >>> import numpy as np
    >>> from nbmosaic.core.psf.moffat import moffat_profile
    >>> from nbmosaic.types.photometry import Estimate, ImageFitResult
    >>> y, x = np.indices((50, 50)) * 0.2
    >>> star = 4 * moffat_profile((x - 5) ** 2 + (y - 4) ** 2, 0.6, 2.5)
    >>> noise = 0.1 * np.random.default_rng(0).normal(size=star.shape)
    >>> fixed = {"fwhm": 0.6, "beta": 2.5, "scale": 1.0, "bg": 0.0, "dx": 0.0, "dy": 0.0}
    >>> fit = ImageFitResult(
    ...     method="whitened", parameters={k: Estimate(value=v, stderr=0.0, fixed=True) for k, v in fixed.items()}, covariance=np.zeros((6, 6)),
    ...     chisqr=2500.0, redchi=1.0, n_data=2500, n_free=0, n_evaluations=1, noise_factor=1.0, rms_error=0.1, image=1.3 * star + noise,
    ...     model=star, residual=0.3 * star + noise, good=np.ones(star.shape, bool), sigma=np.full(star.shape, 0.1),
    ... )  # fmt: skip
    >>> [(s.kind, round(s.y), round(s.x), round(s.flux_ratio, 1)) for s in find_misfits(fit)]
    [('brighter', 20, 25, 1.3)]
    """
    from scipy import ndimage

    if not (threshold > 0 and least_fraction >= 0):
        raise ConfigError(f"threshold={threshold}, least_fraction={least_fraction}", hint="give positive numbers")
    if result.method == "imphot":
        raise ConfigError(
            'misfits cannot be judged by a fit with method="imphot": its residual is tapered at masks and edges',
            hint='find them with method="whitened" and mask them here',
        )
    if not result.good.any():
        return ()
    field = _Field.of(result)
    significance, amplitude, predicted = _matched(field)
    footprint = _disc(field, field.fwhm)
    nearby = ndimage.maximum_filter(predicted, footprint=footprint, mode="nearest")
    beyond = (np.abs(significance) > threshold) & (np.abs(amplitude) > least_fraction * nearby)
    if not beyond.any():
        return ()
    labels, count = ndimage.label(ndimage.binary_dilation(beyond, structure=_disc(field, 0.5 * field.fwhm)), structure=np.ones((3, 3)))
    sources = []
    for i in range(1, count + 1):
        rows, columns = np.nonzero(beyond & (labels == i))
        source, real = _measure(field, significance, rows, columns)
        if max(real) > threshold:
            sources.append(source)
    found = sorted(sources, key=lambda source: -abs(source.peak_sigma))
    oy, ox = result.origin
    return tuple(replace(source, y=source.y + oy, x=source.x + ox) for source in found)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Field:
    """What the search needs of a fit: values with 0 where there is none, and weights."""

    image: FloatArray
    model: FloatArray
    residual: FloatArray
    weight: FloatArray
    good: BoolArray
    level: float
    fwhm: float
    beta: float
    step: tuple[float, float]
    kernel: FloatArray
    errors: tuple[float, float, float]

    @property
    def area(self) -> float:
        """Area of a pixel, arcsec squared."""
        return self.step[0] * self.step[1]

    @classmethod
    def of(cls, result: ImageFitResult) -> _Field:
        """From a fit; the background of the model is the median of its good pixels."""
        good = result.good & np.isfinite(result.residual) & np.isfinite(result.model)
        residual = np.where(good, result.residual, 0.0)
        if result.sigma is None:
            spread = 1.4826 * float(np.median(np.abs(residual[good]))) if good.any() else 1.0
            weight = good / max(spread, 1e-300) ** 2
        else:
            usable = good & np.isfinite(result.sigma) & (result.sigma > 0)
            weight = np.where(usable, 1 / np.where(usable, result.sigma, 1.0) ** 2, 0.0)
        fwhm, beta = result["fwhm"].value, result["beta"].value
        step = result.step_arcsec
        half = [max(2, math.ceil(1.5 * fwhm / s)) for s in step]
        y, x = np.ogrid[-half[0] : half[0] + 1, -half[1] : half[1] + 1]
        kernel = moffat_profile((y * step[0]) ** 2 + (x * step[1]) ** 2, fwhm, beta) * step[0] * step[1]
        return cls(
            image=np.where(good, result.image, 0.0),
            model=np.where(np.isfinite(result.model), result.model, 0.0),
            residual=residual,
            weight=weight,
            good=good,
            level=float(np.median(result.model[good])),
            fwhm=fwhm,
            beta=beta,
            step=step,
            kernel=kernel,
            errors=(result["dy"].stderr, result["dx"].stderr, result["scale"].stderr / max(abs(result["scale"].value), 1e-300)),
        )


def _disc(field: _Field, radius: float) -> BoolArray:
    """Pixels within a radius (arcsec) of the middle one."""
    half = [max(1, round(radius / s)) for s in field.step]
    y, x = np.ogrid[-half[0] : half[0] + 1, -half[1] : half[1] + 1]
    out: BoolArray = (y / half[0]) ** 2 + (x / half[1]) ** 2 <= 1.01
    return out


def _matched(field: _Field) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Significance and amplitude (flux) of a point source at every pixel, and the flux that the model has there by the same measure."""
    from scipy.signal import fftconvolve

    kernel = field.kernel  # even in both axes: correlation is convolution
    power = np.maximum(fftconvolve(field.weight, kernel**2, mode="same"), 0.0)
    # where less than a tenth of the usual weight is left, nothing can be said
    usable = power > 0.1 * np.median(power[field.good])
    inverse = np.where(usable, 1 / np.where(usable, power, 1.0), 0.0)
    amplitude = fftconvolve(field.weight * field.residual, kernel, mode="same") * inverse
    predicted = fftconvolve(field.weight * np.maximum(field.model - field.level, 0.0), kernel, mode="same") * inverse
    significance = amplitude * np.sqrt(np.where(usable, power, 0.0))
    scatter = 1.4826 * float(np.median(np.abs(significance[field.good])))
    return significance / max(scatter, 1.0), amplitude, predicted


def _measure(field: _Field, significance: FloatArray, rows: IntArray, columns: IntArray) -> tuple[MisfitSource, tuple[float, float]]:
    """Kind and numbers of one misfit, from the pixels beyond the threshold; and the significance of its shift and of its change in flux."""
    strength = np.abs(significance[rows, columns])
    best = int(np.argmax(strength))
    y, x = float(rows @ strength / strength.sum()), float(columns @ strength / strength.sum())
    y, x = _model_peak(field, y, x)
    window, r, mine = _aperture(field, y, x, 2.0 * field.fwhm)
    source = np.where(r < 2.0 * field.fwhm, field.model[window] - _surroundings(field.model[window], r, field), 0.0)
    weight = field.weight[window] * mine
    noise = 1 / math.sqrt(float(np.median(field.weight[field.good])))
    point = field.kernel.max()
    known = float((source * mine).max(initial=0.0)) > 3 * noise * point
    if not known:  # nothing in the model here: a source of its own
        flux_ratio, shift, shift_sigma, flux_sigma = (
            math.inf if significance[rows[best], columns[best]] > 0 else 0.0,
            (0.0, 0.0),
            0.0,
            math.inf,
        )
    else:
        flux_ratio, shift, shift_sigma, flux_sigma = _move_and_scale(field, window, source, weight)
    kind: Literal["moved", "brighter", "fainter", "saturated"]
    if known and _core_is_lost(field, window, source, r, weight, shift):
        kind, flux_sigma = "saturated", math.inf
    elif shift_sigma > max(flux_sigma, 3.0):
        kind = "moved"
    else:
        kind = "brighter" if flux_ratio > 1 else "fainter"
    far = float(np.hypot((rows - y) * field.step[0], (columns - x) * field.step[1]).max())
    peak = float(np.abs(field.residual[rows, columns]).max())
    misfit = MisfitSource(
        y=y,
        x=x,
        kind=kind,
        peak_sigma=float(significance[rows[best], columns[best]]),
        flux_ratio=flux_ratio,
        shift_arcsec=shift,
        shift_sigma=shift_sigma,
        n_pixels=int(rows.size),
        radius_arcsec=min(max(far + field.fwhm, far + _wing(field, peak, noise)), max(_LONGEST, far + field.fwhm)),
    )
    return misfit, (shift_sigma, flux_sigma)


def _model_peak(field: _Field, y: float, x: float) -> tuple[float, float]:
    """Centre of the model's source within one FWHM of a position; the position itself where the model has no peak."""
    window, r, _ = _aperture(field, y, x, field.fwhm)
    above = np.where(r < field.fwhm, np.maximum(field.model[window] - field.level, 0.0), 0.0) ** 2
    total = float(above.sum())
    if not total > 0:
        return y, x
    rows, columns = np.indices(above.shape)
    return window[0].start + float((rows * above).sum()) / total, window[1].start + float((columns * above).sum()) / total


def _aperture(field: _Field, y: float, x: float, radius: float) -> tuple[tuple[slice, slice], FloatArray, BoolArray]:
    """Window around a position, distances (arcsec) in it, and its good pixels within the radius; one FWHM more for the surroundings."""
    ny, nx = field.image.shape
    reach = [math.ceil((radius + field.fwhm) / s) for s in field.step]
    rows = slice(max(0, round(y) - reach[0]), min(ny, round(y) + reach[0] + 1))
    columns = slice(max(0, round(x) - reach[1]), min(nx, round(x) + reach[1] + 1))
    dy, dx = (np.arange(rows.start, rows.stop) - y) * field.step[0], (np.arange(columns.start, columns.stop) - x) * field.step[1]
    r: FloatArray = np.hypot(dy[:, None], dx)
    return (rows, columns), r, field.good[rows, columns] & (r < radius)


def _surroundings(model: FloatArray, r: FloatArray, field: _Field) -> float:
    """Level of the model around a source."""
    ring = r > 2.0 * field.fwhm
    return float(np.median(model[ring])) if ring.any() else field.level


def _move_and_scale(
    field: _Field, window: tuple[slice, slice], source: FloatArray, weight: FloatArray
) -> tuple[float, tuple[float, float], float, float]:
    """Flux ratio, shift (arcsec), and the significance of the shift and of the change in flux, by Gauss-Newton on ``factor * source(x - d)``.

    The errors of the fit's own offset and scale count: a bright source must not be blamed for them.
    """
    from scipy import ndimage

    image, model, step = field.image[window], field.model[window], field.step

    factor, shift = 1.0, np.zeros(2)
    still = model - source
    covariance = np.full((4, 4), np.inf)
    for _ in range(8):
        moved = ndimage.shift(source, shift, order=3, mode="nearest")
        slopes = np.gradient(moved)
        design = np.stack([moved, -factor * slopes[0], -factor * slopes[1], np.ones_like(moved)]).reshape(4, -1)
        left = (image - still - factor * moved).ravel()
        normal = (design * weight.ravel()) @ design.T
        normal[np.diag_indices(4)] *= 1 + 1e-9
        change = np.linalg.lstsq(normal, (design * weight.ravel()) @ left, rcond=None)[0]
        covariance = np.linalg.pinv(normal)
        longest = 2.0 / max(2.0, float(np.abs(change[1:3]).max()))
        factor = max(factor + change[0], 0.05)
        shift += longest * change[1:3]
        if np.abs(change[1:3]).max() < 1e-3:
            break
    sigma = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    finite = [error if math.isfinite(error) else 0.0 for error in field.errors]
    along = [shift[i] / math.hypot(sigma[i + 1], finite[i] / step[i]) for i in (0, 1)]
    flux_sigma = abs(factor - 1) / math.hypot(sigma[0], finite[2])
    return float(factor), (float(shift[0] * step[0]), float(shift[1] * step[1])), float(math.hypot(*along)), float(flux_sigma)


def _core_is_lost(
    field: _Field, window: tuple[slice, slice], source: FloatArray, r: FloatArray, weight: FloatArray, shift: tuple[float, float]
) -> bool:
    """Whether the core is masked, flat, or much fainter than the wings say, with the source moved to where it is."""
    from scipy import ndimage

    core = r < 0.5 * field.fwhm
    # missing pixels that are a hole around the core; a mask or an edge that cuts the source goes on to the border of the window
    holes, _ = ndimage.label(~field.good[window], structure=np.ones((3, 3)))
    border = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    if (core & (holes > 0) & ~np.isin(holes, border)).any():
        return True
    seen = field.image[window][core & field.good[window]]
    if seen.size and np.count_nonzero(seen == seen.max()) >= 3:
        return True
    wings = (r > 0.8 * field.fwhm) & (r < 2.0 * field.fwhm)
    left = field.residual[window] + source
    moved = ndimage.shift(source, np.array(shift) / field.step, order=3, mode="nearest")
    ratios, sigmas = [], []
    for part in (core, wings):
        w = weight * part
        power = float((w * moved**2).sum())
        if not power > 0:
            return False
        ratios.append(float((w * moved * left).sum()) / power)
        sigmas.append(1 / math.sqrt(power))
    lost = ratios[1] - ratios[0]
    return lost > max(0.15, 5 * math.hypot(*sigmas)) and ratios[1] > 0.9


def _wing(field: _Field, peak: float, noise: float) -> float:
    """Radius where the profile of a misfit of this peak falls below 0.3 of the noise of a pixel."""
    ratio = peak / (0.3 * noise)
    if ratio <= 1:
        return field.fwhm
    return moffat_core_radius(field.fwhm, field.beta) * math.sqrt(math.expm1(math.log(ratio) / field.beta))


def exclusion_mask(sources: Sequence[MisfitSource], shape: tuple[int, int], *, step_arcsec: tuple[float, float]) -> BoolArray:
    """Pixels around sources that do not fit.

    Parameters
    ----------
    sources : sequence of MisfitSource
        What to leave out.
    shape : tuple of int
        ``(ny, nx)`` of the frame.
    step_arcsec : tuple of float
        ``(dy, dx)``.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        True within `radius_arcsec` of a source.
    """
    mask = np.zeros(shape, bool)
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])
    for source in sources:
        mask |= ((y - source.y) * step_arcsec[0]) ** 2 + ((x - source.x) * step_arcsec[1]) ** 2 < source.radius_arcsec**2
    return mask


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MisfitFit:
    """A fit without the sources that do not fit.

    Attributes
    ----------
    result : ImageFitResult
        The last fit.
    first : ImageFitResult
        The fit of everything.
    sources : tuple of MisfitSource
        What was left out, measured against the last fit where its model covers them, else as each was found.
    mask : ndarray of bool
        Pixels left out.
    settled : bool
        Whether the last fit shows no further misfit.
    """

    result: ImageFitResult
    first: ImageFitResult
    sources: tuple[MisfitSource, ...]
    mask: BoolArray
    settled: bool


def fit_without_misfits(
    fit: Callable[[BoolArray], ImageFitResult],
    shape: tuple[int, int],
    *,
    threshold: float = 5.0,
    least_fraction: float = 0.03,
    max_rounds: int = 8,
) -> MisfitFit:
    """Fit, leave out what does not fit, and fit again until nothing is left to leave out.

    Parameters
    ----------
    fit : callable
        Takes a mask (True: leave out), shape `shape`, and returns the fit without those pixels.
    shape : tuple of int
        ``(ny, nx)`` of the frame.
    threshold, least_fraction : float
        As in `find_misfits`.
    max_rounds : int
        Largest number of fits after the first.

    Returns
    -------
    MisfitFit

    Notes
    -----
    One bright star that moved drags the offset of the whole fit, which then misfits every other source. So each round leaves out only the misfits
    at least half as significant as the worst; the others are judged again after the next fit. Innocent sources may be left out on the way. So at the
    end every source is judged by the model of the clean fit, the innocent come back, and flux ratios and shifts are those of that comparison.
    """
    mask = np.zeros(shape, bool)
    first = result = fit(mask)
    options = {"threshold": threshold, "least_fraction": least_fraction}
    sources: tuple[MisfitSource, ...] = ()
    for _ in range(max_rounds):
        found = find_misfits(result, **options)
        if not found:
            break
        worst = abs(found[0].peak_sigma)
        chosen = tuple(source for source in found if abs(source.peak_sigma) >= 0.5 * worst)
        more = exclusion_mask(chosen, shape, step_arcsec=result.step_arcsec) & ~mask
        if not more.any():
            return MisfitFit(result=result, first=first, sources=sources, mask=mask, settled=False)
        sources, mask = (*sources, *chosen), mask | more
        result = fit(mask)
    else:
        return MisfitFit(result=result, first=first, sources=sources, mask=mask, settled=not find_misfits(result, **options))
    if sources:
        judged = _judged(result, first, options)
        narrower = exclusion_mask(judged, shape, step_arcsec=result.step_arcsec)
        if judged and not (narrower & mask == mask).all():
            again = fit(narrower)
            if not find_misfits(again, **options):
                result, mask = again, narrower
        sources = judged or sources
    return MisfitFit(result=result, first=first, sources=sources, mask=mask, settled=True)


def _judged(result: ImageFitResult, first: ImageFitResult, options: dict[str, float]) -> tuple[MisfitSource, ...]:
    """The misfits of the whole image by the model of the clean fit; none where that model does not reach the pixels left out."""
    if result.model.shape != first.image.shape or result.origin != first.origin:  # a fit that cuts away masked borders
        return ()
    good = first.good & np.isfinite(result.model)
    if not good[first.good].all():
        return ()
    return find_misfits(replace(result, image=first.image, residual=first.image - result.model, good=good, sigma=first.sigma), **options)
