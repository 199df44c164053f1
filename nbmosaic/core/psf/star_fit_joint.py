"""Two fitted stars become one comparison: scale, background and offset with their covariance, free or fixed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.core.psf.covariance import coloured_middle
from nbmosaic.core.psf.star_fit_solver import StarSolution, StarSystem, evaluate_star

__all__ = ["JointSolution", "StarNoise", "joint_parameters", "safe_inverse", "solve_joint"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StarNoise:
    """Noise of the pixels of one star.

    Attributes
    ----------
    variance : ndarray of float, shape (n,)
        Variance of each pixel.
    power : ndarray of float, shape (m, m), optional
        Power spectrum (mean 1, full transform) of noise whose correlation from pixel to pixel is known. None: it is not.
    correlation : ndarray of float, shape (2 k + 1, 2 k + 1), optional
        Its correlation at lags up to k, where that was measured in the residuals. With neither, the noise is white.
    rows, columns : ndarray of int, shape (n,)
        Where the pixels are on a grid, from 0.
    """

    variance: FloatArray
    power: FloatArray | None
    rows: IntArray
    columns: IntArray
    correlation: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointSolution:
    """Both stars at the common minimum.

    Attributes
    ----------
    parameters : ndarray of float
        ``scale, bg, dx, dy, ln_fwhm, v[, g1, g2]``, then flux, bg, x0, y0 and the other shape parameters of the reference.
    covariance : ndarray of float
        Theirs; infinite on the diagonal where the data do not constrain a parameter, 0 where it is fixed.
    profile_covariance : ndarray of float
        Of the profile parameters ``(shape..., flux, bg)`` of the image, then of the reference.
    image, reference : StarSolution
        The two profiles.
    n_evaluations : int
        Evaluations beyond those of the two single fits.
    """

    parameters: FloatArray
    covariance: FloatArray
    profile_covariance: FloatArray
    image: StarSolution
    reference: StarSolution
    n_evaluations: int


def joint_parameters(image: FloatArray, reference: FloatArray, *, scaled_background: bool) -> FloatArray:
    """Comparison of two profiles ``(shape..., flux, bg)``, in the order of `JointSolution.parameters`."""
    scale = image[-2] / reference[-2] if reference[-2] != 0 else 0.0
    background = image[-1] - (scale if scaled_background else 1.0) * reference[-1]
    offset = image[:2] - reference[:2]
    return np.concatenate([[scale, background], offset, image[2:-2], reference[-2:], reference[:2], reference[2:-2]])


def _profiles(p: FloatArray, n_image: int, *, scaled_background: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Profile parameters of image and reference at `p`, and their derivatives with respect to `p`."""
    n_shape = n_image - 4  # beyond the position
    scale, background = p[0], p[1]
    flux, level, x0, y0 = p[4 + n_shape : 8 + n_shape]
    reference = np.concatenate([[x0, y0], p[8 + n_shape :], [flux, level]])
    factor = scale if scaled_background else 1.0
    image = np.concatenate([[x0 + p[2], y0 + p[3]], p[4 : 4 + n_shape], [scale * flux, background + factor * level]])
    slope = np.zeros((len(image) + len(reference), len(p)))
    at_flux, at_level, at_x, at_y = range(4 + n_shape, 8 + n_shape)
    slope[0, [2, at_x]] = 1.0
    slope[1, [3, at_y]] = 1.0
    slope[range(2, 2 + n_shape), range(4, 4 + n_shape)] = 1.0
    slope[n_image - 2, [0, at_flux]] = flux, scale
    slope[n_image - 1, [1, at_level]] = 1.0, factor
    if scaled_background:
        slope[n_image - 1, 0] = level
    n_extra = len(reference) - 4
    slope[n_image, at_x] = slope[n_image + 1, at_y] = 1.0
    slope[range(n_image + 2, n_image + 2 + n_extra), range(8 + n_shape, 8 + n_shape + n_extra)] = 1.0
    slope[len(slope) - 2, at_flux] = slope[len(slope) - 1, at_level] = 1.0
    return image, reference, slope


def _blocks(first: FloatArray, second: FloatArray) -> FloatArray:
    n = len(first)
    out = np.zeros((n + len(second), n + len(second)))
    out[:n, :n] = first
    out[n:, n:] = second
    return out


def solve_joint(
    image: tuple[StarSystem, StarSolution, StarNoise],
    reference: tuple[StarSystem, StarSolution, StarNoise],
    *,
    start: FloatArray,
    free: BoolArray,
    constrained: bool,
    scaled_background: bool,
    max_evaluations: int = 60,
) -> JointSolution:
    """Common minimum of both stars, and the covariance of their comparison.

    Parameters
    ----------
    image, reference : tuple
        System, solution of the single fit, and noise. The weights of the systems must be those of the noise (one over its variance, on average).
    start : ndarray of float
        Start values, those of the fixed parameters in place.
    free : ndarray of bool
        Which parameters are fitted.
    constrained : bool
        Whether something other than the shape of the image is fixed. If not, the two single fits are already the minimum.
    scaled_background : bool
        Whether ``bg`` is the background of the image less `scale` times that of the reference, or less that of the reference.

    Returns
    -------
    JointSolution

    Notes
    -----
    With A the Gram matrix of the weighted Jacobian J and V the covariance of the pixels, the covariance is ``A^-1 (J' W V W J) A^-1``; it is
    ``A^-1`` where the weights W are the inverse of V.
    """
    systems, noises = (image[0], reference[0]), (image[2], reference[2])
    n_image = len(image[1].theta)
    p, states, count = start, (image[1], reference[1]), 0
    if constrained:
        p, states, count = _descend(systems, start, free, n_image, scaled_background=scaled_background, max_evaluations=max_evaluations)
    slope = _profiles(p, n_image, scaled_background=scaled_background)[2]
    grams = [(s.jacobian * y.weight) @ s.jacobian.T for s, y in zip(states, systems, strict=True)]
    meats = [_score_covariance(y, s, e) for y, s, e in zip(systems, states, noises, strict=True)]
    used = slope[:, free]
    bread, unconstrained = safe_inverse(used.T @ _blocks(*grams) @ used)
    covariance = np.zeros((len(p), len(p)))
    covariance[np.ix_(free, free)] = bread @ (used.T @ _blocks(*meats) @ used) @ bread
    profile_covariance = slope @ covariance @ slope.T
    lost = np.flatnonzero(free)[unconstrained]
    covariance[lost, lost] = np.inf
    touched = (slope[:, lost] != 0).any(axis=1)
    profile_covariance[touched, touched] = np.inf
    return JointSolution(
        parameters=p,
        covariance=covariance,
        profile_covariance=profile_covariance,
        image=states[0],
        reference=states[1],
        n_evaluations=count,
    )


def _descend(
    systems: tuple[StarSystem, StarSystem],
    start: FloatArray,
    free: BoolArray,
    n_image: int,
    *,
    scaled_background: bool,
    max_evaluations: int,
) -> tuple[FloatArray, tuple[StarSolution, StarSolution], int]:
    """Levenberg-Marquardt on both stars at once, in the parameters of the comparison."""
    lower, upper = _bounds(systems, len(start), n_image)

    def at(p: FloatArray) -> tuple[StarSolution, StarSolution, FloatArray]:
        first, second, slope = _profiles(p, n_image, scaled_background=scaled_background)
        return (
            evaluate_star(systems[0], first, eliminate=False, n_evaluations=1),
            evaluate_star(systems[1], second, eliminate=False, n_evaluations=1),
            slope,
        )

    p = np.where(free, np.clip(start, lower, upper), start)
    state, count, damping, ended = at(p), 1, 1e-3, False
    n_data = sum(len(system.values) for system in systems)
    while count < max_evaluations and not ended:
        slope = state[2]
        grams, gradients = [], []
        for system, solution in zip(systems, state[:2], strict=True):
            weighted = solution.jacobian * system.weight
            grams.append(weighted @ solution.jacobian.T)
            gradients.append(weighted @ solution.residual)
        gradient = slope.T @ np.concatenate(gradients)
        held = ((p <= lower) & (gradient < 0)) | ((p >= upper) & (gradient > 0))
        used = np.flatnonzero(free & ~held)
        gram = (slope.T @ _blocks(*grams) @ slope)[np.ix_(used, used)]
        chisqr = state[0].chisqr + state[1].chisqr
        while count < max_evaluations:
            step = safe_inverse(gram + damping * np.diag(np.diag(gram)))[0] @ gradient[used]
            proposal = p.copy()
            proposal[used] = np.clip(p[used] + step, lower[used], upper[used])
            new = at(proposal)
            count += 1
            better = new[0].chisqr + new[1].chisqr <= chisqr
            small = float(step @ gradient[used]) < 1e-7 * chisqr / n_data
            ended = (small and damping < 1) or damping > 1e10
            if better:
                p, state, damping = proposal, new, max(damping / 10, 1e-9)
            if better or ended:
                break
            damping *= 10
    converged = tuple(replace(solution, converged=ended, n_evaluations=0) for solution in state[:2])
    return p, (converged[0], converged[1]), count


def _bounds(systems: tuple[StarSystem, StarSystem], n: int, n_image: int) -> tuple[FloatArray, FloatArray]:
    """Bounds of the joint parameters: those of the shapes, position apart."""
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    lower[4:n_image], upper[4:n_image] = systems[0].lower[2:], systems[0].upper[2:]
    lower[n_image + 4 :], upper[n_image + 4 :] = systems[1].lower[2:], systems[1].upper[2:]
    return lower, upper


def _score_covariance(system: StarSystem, solution: StarSolution, noise: StarNoise) -> FloatArray:
    """Covariance ``J' W V W J`` of the gradient of chi squared over 2."""
    score = solution.jacobian * (system.weight * np.sqrt(noise.variance))
    if noise.correlation is not None:
        window = np.zeros((len(score), int(noise.rows.max()) + 1, int(noise.columns.max()) + 1))
        window[:, noise.rows, noise.columns] = score
        return coloured_middle(window, noise.correlation)
    if noise.power is None:
        return score @ score.T
    n = noise.power.shape[0]
    grid = np.zeros((len(score), n, n))
    grid[:, noise.rows, noise.columns] = score
    spectrum = np.fft.fft2(grid).reshape(len(score), -1)
    out: FloatArray = ((spectrum * noise.power.ravel()) @ spectrum.conj().T).real / n**2
    return out


def safe_inverse(gram: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Pseudo-inverse of a Gram matrix, and which parameters it does not constrain.

    Eigenvalues of the matrix with unit diagonal below 1e-13 are taken as 0: rounding makes them.
    """
    diagonal = np.diag(gram)
    empty = ~(diagonal > 0)
    scale = np.where(empty, 0.0, 1 / np.sqrt(np.where(empty, 1.0, diagonal)))
    values, vectors = np.linalg.eigh(gram * scale * scale[:, None])
    usable = values > 1e-13
    part = vectors[:, usable]
    inverse = (part / values[usable]) @ part.T * scale * scale[:, None]
    lost = (vectors[:, ~usable] ** 2).sum(axis=1) > 1e-6
    return inverse, lost | empty
