"""Results of the photometric fits as lmfit shows them: its Parameters, report, correlations and HTML table. The numbers stay ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import MissingDependencyError
from nbmosaic.types.photometry import PARAMETER_NAMES, Estimate, ImageFitResult, ParameterSpec, ProfileFit, StarFitResult, fit_correlation

if TYPE_CHECKING:
    from lmfit import Parameters
    from lmfit.minimizer import MinimizerResult

__all__ = ["lmfit_parameters", "lmfit_result"]

FitResult = ImageFitResult | StarFitResult | ProfileFit


def lmfit_parameters(result: FitResult, *, specs: Mapping[str, ParameterSpec] | None = None) -> Parameters:
    """Fitted parameters as `lmfit.Parameters`, with standard errors and correlations.

    Parameters
    ----------
    result : ImageFitResult, StarFitResult or ProfileFit
        A fit. For a star the six parameters of the comparison; those of each profile come from ``result.image`` and ``result.reference``.
    specs : mapping of str to ParameterSpec, optional
        What went into the fit: bounds and start values are copied from it.

    Returns
    -------
    lmfit.Parameters
        Fixed parameters have ``vary=False`` and ``stderr=0``; parameters that the data do not constrain have ``stderr=None``, which lmfit
        shows as unknown.

    Raises
    ------
    MissingDependencyError
        lmfit is not installed.

    Examples
    --------
    >>> from nbmosaic.types.photometry import Estimate, ProfileFit
    >>> import numpy as np
    >>> one = np.ones(3)
    >>> fit = ProfileFit(
    ...     parameters={"flux": Estimate(value=2.0, stderr=0.1)}, names=("flux",), covariance=np.array([[0.01]]), chisqr=2.0, redchi=1.0,
    ...     n_data=3, n_free=1, n_evaluations=4, noise_factor=1.0, rms_error=1.0, radius=one, pixels=one, model=one, sigma=one,
    ...     curve_radius=one, curve=one,
    ... )  # fmt: skip
    >>> lmfit_parameters(fit)["flux"].stderr
    0.1
    """
    try:
        from lmfit import Parameter, Parameters
    except ImportError as error:
        raise MissingDependencyError("lmfit is needed to show a fit as lmfit does", hint="pip install lmfit") from error
    names, estimates, covariance = _contents(result)
    specs = {} if specs is None else specs
    out = Parameters()
    correlation = fit_correlation(covariance)
    free = [i for i, name in enumerate(names) if not estimates[name].fixed]
    for i, name in enumerate(names):
        estimate, spec = estimates[name], specs.get(name, ParameterSpec())
        parameter = Parameter(name, value=estimate.value, vary=not estimate.fixed)
        if not (math.isinf(spec.min) and math.isinf(spec.max)):
            # a bound must not move the value: a fixed value may lie outside
            parameter.set(min=min(spec.min, estimate.value), max=max(spec.max, estimate.value))
        parameter.init_value = estimate.value if estimate.fixed else spec.value
        parameter.stderr = estimate.stderr if math.isfinite(estimate.stderr) else None
        if i in free:
            parameter.correl = {names[j]: float(correlation[i, j]) for j in free if j != i}
        out[name] = parameter
    return out


def lmfit_result(result: FitResult, *, specs: Mapping[str, ParameterSpec] | None = None) -> MinimizerResult:
    """A fit as `lmfit.minimizer.MinimizerResult`: ``lmfit.fit_report`` and its HTML table take it.

    Parameters
    ----------
    result : ImageFitResult, StarFitResult or ProfileFit
        A fit.
    specs : mapping of str to ParameterSpec, optional
        What went into the fit, for bounds and start values.

    Returns
    -------
    lmfit.minimizer.MinimizerResult
        With `params`, `var_names`, `covar` (of the free parameters, in that order), `chisqr`, `redchi`, `nfree`, `ndata`, `nvarys`, `nfev`,
        `aic`, `bic`, `residual` (in units of the noise), `success`, `message`, `method`, `errorbars`.

    Raises
    ------
    MissingDependencyError
        lmfit is not installed.

    Notes
    -----
    `redchi` is by the variance given; standard errors and covariance hold the noise level that the fit used, and are not those of lmfit's own
    rule (the inverse Hessian times `redchi`). `aic` and `bic` are lmfit's: ``n ln(chisqr / n) + 2 k`` and ``n ln(chisqr / n) + k ln n``.
    The free parameters of a star's comparison leave out those of the reference's profile; they count in `nfree` but not in `nvarys`.

    Examples
    --------
    >>> from lmfit import fit_report
    >>> from nbmosaic.types.photometry import Estimate, ProfileFit
    >>> one = np.ones(3)
    >>> fit = ProfileFit(
    ...     parameters={"flux": Estimate(value=2.0, stderr=0.1)}, names=("flux",), covariance=np.array([[0.01]]), chisqr=2.0, redchi=1.0,
    ...     n_data=3, n_free=1, n_evaluations=4, noise_factor=1.0, rms_error=1.0, radius=one, pixels=one, model=one, sigma=one,
    ...     curve_radius=one, curve=one,
    ... )  # fmt: skip
    >>> print(fit_report(lmfit_result(fit)).splitlines()[-1])
        flux:  2.00000000 +/- 0.10000000 (5.00%) (init = ?)
    """
    parameters = lmfit_parameters(result, specs=specs)
    from lmfit.minimizer import MinimizerResult

    names, estimates, covariance = _contents(result)
    free = [i for i, name in enumerate(names) if not estimates[name].fixed]
    variables = [names[i] for i in free]
    chisqr, n_data, n_free, residual = _statistics(result)
    n_varied = len(free)
    constrained = all(math.isfinite(estimates[name].stderr) for name in variables)
    level = n_data * math.log(max(chisqr, 1e-250 * n_data) / n_data)
    starts = {name: parameters[name].init_value for name in variables}
    return MinimizerResult(
        params=parameters,
        var_names=variables,
        covar=covariance[np.ix_(free, free)].copy(),
        init_values=starts,
        init_vals=list(starts.values()),
        chisqr=chisqr,
        redchi=chisqr / max(n_data - n_free, 1),
        ndata=n_data,
        nfree=n_data - n_free,
        nvarys=n_varied,
        nfev=result.n_evaluations,
        aic=level + 2 * n_varied,
        bic=level + math.log(n_data) * n_varied,
        residual=residual,
        success=getattr(result, "converged", True),
        aborted=False,
        errorbars=constrained,
        message=_message(result, estimates),
        method=f"nbmosaic {getattr(result, 'method', 'star profile')}",
    )


def _contents(result: FitResult) -> tuple[tuple[str, ...], Mapping[str, Estimate], FloatArray]:
    """Names in the order of the covariance, estimates, covariance."""
    names = result.names if isinstance(result, ProfileFit) else PARAMETER_NAMES
    return names, result.parameters, result.covariance


def _statistics(result: FitResult) -> tuple[float, int, int, FloatArray]:
    """Chi squared, numbers of data and of free parameters, and the residuals in units of the noise that was given."""
    if isinstance(result, StarFitResult):
        parts = [_statistics(part) for part in (result.image, result.reference)]
        fixed = sum(result.parameters[name].fixed for name in ("scale", "bg", "dx", "dy"))
        return (
            parts[0][0] + parts[1][0],
            parts[0][1] + parts[1][1],
            parts[0][2] + parts[1][2] - fixed,
            np.concatenate([parts[0][3], parts[1][3]]),
        )
    if isinstance(result, ProfileFit):
        residual = result.residual / result.sigma * result.noise_factor
    elif result.sigma is None:
        residual = result.residual[result.good] * math.sqrt(result.n_data / max(result.good.sum(), 1)) / max(result.rms_error, 1e-300)
    else:
        # a good pixel next to a mask can have all of its taper on bad ones: it has no residual, and no noise
        sigma = result.sigma[result.good]
        residual = np.divide(result.residual[result.good], sigma, out=np.zeros(sigma.shape), where=sigma > 0) * result.noise_factor
    return result.chisqr, result.n_data, result.n_free, np.asarray(residual, np.float64)


def _message(result: FitResult, estimates: Mapping[str, Estimate]) -> str:
    """How the fit ended, and what is special about parameters."""
    flagged = [f"{name} {estimate.flag}" for name, estimate in estimates.items() if estimate.flag]
    return "; ".join([part for part in (getattr(result, "message", ""), *flagged) if part])
