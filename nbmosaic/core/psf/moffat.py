"""The Moffat profile and its transform, in closed form.

A Moffat of full width at half maximum `fwhm` and exponent `beta` is ``(1 + r^2 / a^2)^-beta`` with ``a = fwhm / (2 sqrt(2^(1/beta) - 1))``; of unit flux
it has the peak ``(beta - 1) / (pi a^2)``. Its two-dimensional Fourier transform at spatial frequency k (cycles per unit of fwhm) is
(Gradshteyn & Ryzhik 6.565.4; Trujillo et al. 2001, MNRAS 328, 977)

    M(k) = 2 t^nu K_nu(2 t) / Gamma(nu),    t = pi k a,    nu = beta - 1,

with K the modified Bessel function of the second kind, and ``dM / d ln t = -4 t^(nu + 1) K_(nu - 1)(2 t) / Gamma(nu)``.

For large beta the three factors overflow, though M is close to a Gaussian. From nu = 30 on, Debye's uniform expansion of K (Abramowitz & Stegun 9.7.8) and
Stirling's series of Gamma are combined before any of them is evaluated. With ``z = 2 t / nu`` and ``s = sqrt(1 + z^2)`` all large terms cancel and

    ln M = nu [(1 - s) + ln(1 + (s - 1) / 2)] - ln(s) / 2 + ln(1 - u1/nu + u2/nu^2 - u3/nu^3) - 1/(12 nu) + 1/(360 nu^3)

remains. Where the two formulas meet they agree to 2e-8 at small k and 5e-6 of M where M is 3e-5; at beta = 1e6 the Gaussian is met to 5e-7.

Derivatives with respect to beta are taken at fixed fwhm by central differences (a step of 1e-4 beta): no closed form of dK/dnu exists, and the difference
is good to 1e-7.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import InputError

__all__ = [
    "MIN_BETA",
    "MoffatTable",
    "TransferTable",
    "moffat_core_radius",
    "moffat_profile",
    "moffat_transfer",
    "moffat_transfer_derivatives",
]

MIN_BETA = 1.0
"""The flux of a Moffat is infinite at beta = 1 and below."""
_DEBYE = 30.0
"""Order from which the uniform expansion is used: its first term left out is 1e-8 there, and the direct formula is safe up to 150."""
_NODES, _DENSE = 128, 2048
"""Nodes and even steps of a `MoffatTable`."""
_STEP = 1e-4
"""Relative step of the difference quotient in beta: truncation 1e-8, rounding 1e-12."""


def moffat_core_radius(fwhm: float, beta: float) -> float:
    """Radius a of a Moffat profile ``(1 + r^2 / a^2)^-beta``.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum.
    beta : float
        Exponent.

    Returns
    -------
    float
        a, in the unit of `fwhm`.

    Examples
    --------
    >>> round(moffat_core_radius(0.6, 2.5), 6)
    0.530738
    """
    return 0.5 * fwhm / math.sqrt(math.expm1(math.log(2.0) / beta))


def moffat_profile(radius_squared: FloatArray, fwhm: float, beta: float) -> FloatArray:
    """Moffat profile of unit flux per unit area.

    Parameters
    ----------
    radius_squared : ndarray
        Squared distance from the centre.
    fwhm : float
        Full width at half maximum, in the unit of the radius.
    beta : float
        Exponent, greater than 1.

    Returns
    -------
    ndarray
        ``(beta - 1) / (pi a^2) (1 + r^2 / a^2)^-beta``.

    Examples
    --------
    >>> import numpy as np
    >>> moffat_profile(np.array([0.0, 0.09]), 0.6, 2.5).round(4)
    array([1.695 , 0.8475])
    """
    _check(fwhm, beta)
    a2 = moffat_core_radius(fwhm, beta) ** 2
    out: FloatArray = (beta - 1.0) / (math.pi * a2) * np.exp(-beta * np.log1p(np.asarray(radius_squared) / a2))
    return out


def moffat_transfer(k: FloatArray, *, fwhm: float, beta: float) -> FloatArray:
    """Fourier transform of a Moffat of unit flux.

    Parameters
    ----------
    k : ndarray
        Spatial frequency, cycles per unit of `fwhm`; not negative.
    fwhm : float
        Full width at half maximum.
    beta : float
        Exponent, greater than 1.

    Returns
    -------
    ndarray
        Real, 1 at ``k = 0``.

    Raises
    ------
    InputError
        fwhm not positive, or beta not greater than 1.

    Examples
    --------
    >>> import numpy as np
    >>> moffat_transfer(np.array([0.0, 1.0, 2.0]), fwhm=0.6, beta=2.5).round(5)
    array([1.     , 0.15442, 0.00973])
    """
    _check(fwhm, beta)
    t = np.pi * moffat_core_radius(fwhm, beta) * np.abs(np.asarray(k, np.float64))
    return _transform(t, beta - 1.0)


def moffat_transfer_derivatives(k: FloatArray, *, fwhm: float, beta: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Transform of a Moffat with its derivatives.

    Parameters
    ----------
    k, fwhm, beta
        As in `moffat_transfer`.

    Returns
    -------
    transform, by_fwhm, by_beta : ndarray
        M, dM/dfwhm at fixed beta, dM/dbeta at fixed fwhm.

    Examples
    --------
    >>> import numpy as np
    >>> m, by_fwhm, by_beta = moffat_transfer_derivatives(np.array([1.0]), fwhm=0.6, beta=2.5)
    >>> by_fwhm.round(4), by_beta.round(4)
    (array([-0.6603]), array([0.0428]))
    """
    _check(fwhm, beta)
    k = np.abs(np.asarray(k, np.float64))
    t = np.pi * moffat_core_radius(fwhm, beta) * k
    value = _transform(t, beta - 1.0)
    h = min(_STEP * beta, 0.5 * (beta - 1.0))
    by_beta = (moffat_transfer(k, fwhm=fwhm, beta=beta + h) - moffat_transfer(k, fwhm=fwhm, beta=beta - h)) / (2.0 * h)
    return value, _log_slope(t, beta - 1.0) / fwhm, by_beta


def _check(fwhm: float, beta: float) -> None:
    if not (fwhm > 0.0 and math.isfinite(fwhm)):
        raise InputError(f"a Moffat profile has fwhm = {fwhm:g}", hint="it must be positive")
    if not (beta > MIN_BETA and math.isfinite(beta)):
        raise InputError(f"a Moffat profile has beta = {beta:g}", hint="it must be greater than 1: below, the flux is infinite")


def _transform(t: FloatArray, nu: float) -> FloatArray:
    """``2 t^nu K_nu(2 t) / Gamma(nu)`` for any nu > 0."""
    from scipy import special

    if nu >= _DEBYE:
        return _uniform(t, nu)
    # K_nu(2t) overflows below t = 1e-300^(1/nu); 1 - M there is t^min(2, 2 nu), beyond double precision for the nu used here
    safe = np.maximum(t, 10.0 ** (-250.0 / max(nu, 16.0)))
    with np.errstate(under="ignore"):
        out: FloatArray = np.exp(math.log(2.0) - math.lgamma(nu) + nu * np.log(safe) - 2.0 * safe) * special.kve(nu, 2.0 * safe)
    return np.where(t > 0.0, out, 1.0)


def _log_slope(t: FloatArray, nu: float) -> FloatArray:
    """``dM / d ln t``, which is also ``dM / d ln fwhm`` at fixed beta."""
    from scipy import special

    if nu >= _DEBYE + 1.0:
        out: FloatArray = -2.0 * t * t / (nu - 1.0) * _uniform(t, nu - 1.0)
        return out
    safe = np.maximum(t, 10.0 ** (-250.0 / max(nu, 16.0)))
    with np.errstate(under="ignore"):
        out = -np.exp(math.log(4.0) - math.lgamma(nu) + (nu + 1.0) * np.log(safe) - 2.0 * safe) * special.kve(nu - 1.0, 2.0 * safe)
    return np.where(t > 0.0, out, 0.0)


def _uniform(t: FloatArray, nu: float) -> FloatArray:
    """Debye's expansion with Stirling's series: no large terms are left."""
    z2 = (2.0 * t / nu) ** 2
    s = np.sqrt(1.0 + z2)
    excess = z2 / (1.0 + s)  # s - 1 without cancellation
    p = 1.0 / s
    p2 = p * p
    u1 = p * (3.0 - 5.0 * p2) / 24.0
    u2 = p2 * (81.0 + p2 * (-462.0 + p2 * 385.0)) / 1152.0
    u3 = p * p2 * (30375.0 + p2 * (-369603.0 + p2 * (765765.0 - p2 * 425425.0))) / 414720.0
    series = np.log1p((-u1 + (u2 - u3 / nu) / nu) / nu)
    with np.errstate(under="ignore"):
        out: FloatArray = np.exp(
            nu * (np.log1p(0.5 * excess) - excess) - 0.5 * np.log(s) + series - 1.0 / (12.0 * nu) + 1.0 / (360.0 * nu**3)
        )
    return out


class TransferTable(NamedTuple):
    """A Moffat transform and its derivatives on the dense grid of a `MoffatTable`."""

    transform: FloatArray
    by_fwhm: FloatArray
    by_beta: FloatArray


class MoffatTable:
    """Fast evaluation of one Moffat transform after another at the same many frequencies.

    The transform depends on ``|k|`` alone, and a Bessel function costs a microsecond. So it is evaluated at 128 nodes that lie densest near k = 0 (where
    ``1 - M`` goes as ``k^(2 beta - 2)``, a cusp for small beta), brought to 2048 even steps by a cubic spline in ``sqrt(k)``, and looked up linearly.
    For beta from 1.5 on, fwhm up to 4 / kmax and k = 0 or from kmax / 500 on the error is below 6e-5 (1e-5 for beta above 2.5). Below beta = 1.5 the cusp
    is too sharp for the first steps; from kmax / 200 on the error is below 6e-5 there too.

    Parameters
    ----------
    k : ndarray
        Frequencies, any shape; kept as positions in the table.

    Examples
    --------
    >>> import numpy as np
    >>> table = MoffatTable(np.linspace(0.0, 2.5, 50))
    >>> found = table.at(0.6, 2.5)
    >>> bool(abs(table.look_up(found.transform) - moffat_transfer(np.linspace(0.0, 2.5, 50), fwhm=0.6, beta=2.5)).max() < 1e-5)
    True
    """

    def __init__(self, k: FloatArray) -> None:
        top = float(np.max(k)) * (1.0 + 1e-9) or 1.0
        self.nodes: FloatArray = top * np.linspace(0.0, 1.0, _NODES) ** 2
        position = np.asarray(k, np.float64) * ((_DENSE - 1) / top)
        self._index = np.minimum(position.astype(np.intp), _DENSE - 2)
        self._fraction = position - self._index

    def transform_at(self, fwhm: float, beta: float) -> FloatArray:
        """Transform on the dense grid."""
        return _on_dense_grid(moffat_transfer(self.nodes, fwhm=fwhm, beta=beta))

    def at(self, fwhm: float, beta: float) -> TransferTable:
        """Transform and derivatives on the dense grid."""
        return TransferTable(*(_on_dense_grid(values) for values in moffat_transfer_derivatives(self.nodes, fwhm=fwhm, beta=beta)))

    def look_up(self, dense: FloatArray) -> FloatArray:
        """Values of a dense grid at the frequencies of this table."""
        # every index is inside: "clip" only leaves out the check, which takes longer than the look-up
        out: FloatArray = np.diff(dense).take(self._index, mode="clip")
        out *= self._fraction
        out += dense.take(self._index, mode="clip")
        return out


def _on_dense_grid(values: FloatArray) -> FloatArray:
    """Values at the nodes, brought to the dense grid; row by row, as a product with the matrix would start threads (see `small_products`)."""
    out: FloatArray = np.vecdot(_spline_operator(), values)
    return out


@functools.lru_cache(maxsize=1)
def _spline_operator() -> FloatArray:
    """Matrix from values at the nodes to values on the dense grid: a cubic spline in sqrt(k), linear in its values, the same for every scale of k."""
    from scipy.interpolate import make_interp_spline

    out: FloatArray = make_interp_spline(np.linspace(0.0, 1.0, _NODES), np.eye(_NODES), k=3)(np.sqrt(np.linspace(0.0, 1.0, _DENSE)))
    out.flags.writeable = False
    return out
