"""The image that a filter makes of a spectral cube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray
from nbmosaic.errors import ConfigError, InputError, NoOverlapError, ShapeError
from nbmosaic.types.sky_image import CubePlanes, SkyCube

__all__ = ["BandImage", "BandWeights", "band_image", "band_weights", "check_curve", "flat_band"]

TRUNCATION_LIMIT = 0.005
"""Part of the curve beyond the cube that is worth a warning."""

_CHUNK_BYTES = 8 << 20  # planes that are worked on at once: 2 ns a voxel; 6 with 48 MB, whose memory is fresh every time


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BandWeights:
    """Weights of consecutive planes.

    Attributes
    ----------
    first : int
        First plane.
    weights : ndarray of float64, shape (n,)
        Weight of each plane from there.
    lost : float
        Part of the integral of the curve that lies beyond the cube.
    """

    first: int
    weights: FloatArray
    lost: float = 0.0

    @property
    def last(self) -> int:
        """Number of the plane after the last one."""
        return self.first + len(self.weights)

    @property
    def warning(self) -> str:
        """What is to be said where the curve is cut off by the edges of the cube by more than half a per cent; else empty."""
        if self.lost <= TRUNCATION_LIMIT:
            return ""
        return f"{100.0 * self.lost:.2g}% of the integrated filter curve is beyond the edges of the cube."


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BandImage:
    """A weighted mean of planes.

    Attributes
    ----------
    data : ndarray of float64, shape (ny, nx)
        Mean; 0 where it is masked.
    mask : ndarray of bool, shape (ny, nx)
        True where no plane of the band has a good voxel.
    variance : ndarray of float64, shape (ny, nx), optional
        Variance of the mean, the planes taken as independent; 0 where it is masked.
    """

    data: FloatArray
    mask: BoolArray
    variance: FloatArray | None = None


def check_curve(wavelengths: AnyArray, sensitivities: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Filter curve as two arrays in order of wavelength.

    Raises
    ------
    InputError
        Not two arrays of one axis and of equal length, fewer than two samples, values that are not finite, a wavelength that stands twice, or no
        positive integral.

    Examples
    --------
    >>> check_curve([2.0, 1.0], [0.5, 1.0])
    (array([1., 2.]), array([1. , 0.5]))
    """
    try:
        w, s = np.asarray(wavelengths, np.float64), np.asarray(sensitivities, np.float64)
    except (TypeError, ValueError) as err:
        raise InputError("the wavelengths and sensitivities of a filter curve are not numbers") from err
    if w.ndim != 1 or s.shape != w.shape:
        raise InputError(
            f"The wavelengths and sensitivities arguments should be 1D arrays of equal length, they are {w.shape} and {s.shape}"
        )
    if len(w) < 2:
        raise InputError(f"a filter curve has {len(w)} samples", hint="it needs two at least")
    if not (np.isfinite(w).all() and np.isfinite(s).all()):
        raise InputError("a filter curve holds values that are not finite")
    order = np.argsort(w, kind="stable")
    w, s = w[order], s[order]
    if (np.diff(w) == 0).any():
        raise InputError(f"a filter curve holds the wavelength {w[1:][np.diff(w) == 0][0]:g} twice")
    if not np.trapezoid(s, w) > 0:
        raise InputError("the integral of a filter curve is not positive")
    return w, s


def band_weights(edges: FloatArray, wavelengths: AnyArray, sensitivities: AnyArray, *, interpolation: str = "linear") -> BandWeights:
    """Weights of the planes of a cube: the integral of the filter curve over each plane.

    Parameters
    ----------
    edges : ndarray, shape (nz + 1,)
        Edges of the planes, rising, in the unit of `wavelengths`.
    wavelengths, sensitivities : array_like, shape (n,)
        The curve; it is 0 outside of its samples.
    interpolation : str
        ``"linear"`` between the samples, or ``"cubic"`` (the not-a-knot spline through them, for coarse curves).

    Returns
    -------
    BandWeights
        Of the planes that touch the curve.

    Raises
    ------
    InputError
        See `check_curve`; a cubic curve needs four samples.
    NoOverlapError
        The curve and the cube have no wavelength in common.

    Notes
    -----
    Both interpolations are piecewise polynomials, so every weight is a difference of their antiderivative: exact, where imphot integrates
    numerically plane by plane. `BandWeights.lost` is exact as well (imphot counts the trapezoids of the samples strictly beyond the cube only).

    Examples
    --------
    >>> band = band_weights(np.array([0.0, 1.0, 2.0, 3.0]), [1.5, 2.5], [1.0, 1.0])
    >>> band.first, band.weights
    (1, array([0.5, 0.5]))
    """
    if interpolation not in {"linear", "cubic"}:
        raise ConfigError(f"interpolation={interpolation!r} is unknown", hint="it is 'linear' or 'cubic'")
    w, s = check_curve(wavelengths, sensitivities)
    low, high = max(edges[0], w[0]), min(edges[-1], w[-1])
    if not low < high:
        raise NoOverlapError(
            "The filter curve does not overlap the wavelength coverage of the cube.",
            hint=f"the curve reaches from {w[0]:g} to {w[-1]:g}, the cube from {edges[0]:g} to {edges[-1]:g}: are their units the same?",
        )
    first = int(np.searchsorted(edges, w[0], side="right")) - 1 if w[0] > edges[0] else 0
    last = int(np.searchsorted(edges, w[-1], side="left")) if w[-1] < edges[-1] else len(edges) - 1
    integral = _antiderivative(w, s, interpolation, np.clip(edges[first : last + 1], w[0], w[-1]))
    whole = _antiderivative(w, s, interpolation, w[[0, -1]])
    inside, total = integral[-1] - integral[0], whole[1] - whole[0]
    return BandWeights(first=first, weights=np.diff(integral), lost=float(max(0.0, 1.0 - inside / total)) if total > 0 else 0.0)


def _antiderivative(w: FloatArray, s: FloatArray, interpolation: str, at: FloatArray) -> FloatArray:
    """Integral of the curve from its first sample."""
    if interpolation == "cubic":
        if len(w) < 4:
            raise InputError(f"a filter curve of {len(w)} samples is too short for cubic interpolation", hint="use linear interpolation")
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(w, s).antiderivative()(at), np.float64)
    steps = np.diff(w)
    before = np.concatenate([[0.0], np.cumsum(0.5 * (s[1:] + s[:-1]) * steps)])
    i = np.clip(np.searchsorted(w, at, side="right") - 1, 0, len(steps) - 1)
    t = at - w[i]
    return np.asarray(before[i] + t * (s[i] + 0.5 * t * (s[i + 1] - s[i]) / steps[i]), np.float64)


def flat_band(first: int, last: int) -> BandWeights:
    """Equal weights of the planes from `first` up to, not including, `last`.

    Examples
    --------
    >>> flat_band(3, 5).weights
    array([1., 1.])
    """
    if last <= first:
        raise InputError(f"a band from plane {first} to {last} holds no plane")
    return BandWeights(first=first, weights=np.ones(last - first))


def band_image(cube: SkyCube, band: BandWeights) -> BandImage:
    """Weighted mean of planes.

    Parameters
    ----------
    cube : SkyCube
        The cube; some planes are read at a time, so that memory stays bounded whatever its size.
    band : BandWeights
        Weights of the planes.

    Returns
    -------
    BandImage

    Raises
    ------
    ShapeError
        The band reaches beyond the cube.

    Notes
    -----
    ``image = sum(w d) / sum(w)`` and ``variance = sum(w**2 v) / sum(w)**2`` over the good voxels of each pixel. A voxel whose variance is not
    known counts in the image, and makes the variance of its pixel unknown (NaN).
    """
    nz, ny, nx = cube.shape
    if band.first < 0 or band.last > nz:
        raise ShapeError(f"a band of the planes {band.first} to {band.last} of a cube of {nz} planes")
    total, norm = np.zeros((ny, nx)), np.zeros((ny, nx))
    spread = np.zeros((ny, nx)) if cube.has_variance else None
    any_good = np.zeros((ny, nx), bool)
    step = max(1, _CHUNK_BYTES // (8 * ny * nx * (2 if cube.has_variance else 1)))
    for first in range(band.first, band.last, step):
        last = min(first + step, band.last)
        _add(cube.planes(first, last), band.weights[first - band.first : last - band.first], total, norm, spread, any_good)
    mask = ~any_good | ~(norm > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        data = np.where(mask, 0.0, total / norm)
        variance = None if spread is None else np.where(mask, 0.0, spread / norm**2)
    return BandImage(data=data, mask=mask, variance=variance)


def _add(
    planes: CubePlanes, weights: FloatArray, total: FloatArray, norm: FloatArray, spread: FloatArray | None, any_good: BoolArray
) -> None:
    """Add some planes to the sums; the planes are arrays of their own and may be written to."""
    n = len(weights)
    shape = total.shape
    bad = planes.mask
    planes.data[bad] = 0.0
    total += np.einsum("i,ij->j", weights, planes.data.reshape(n, -1)).reshape(shape)  # a matrix product would start threads
    norm += weights.sum()
    if bad.any():
        for weight, plane in zip(weights, bad, strict=True):
            norm[plane] -= weight
        any_good |= ~bad.all(axis=0)
    else:
        any_good[:] = True
    if spread is not None and planes.variance is not None:
        planes.variance[bad] = 0.0
        spread += np.einsum("i,ij->j", weights**2, planes.variance.reshape(n, -1)).reshape(shape)
