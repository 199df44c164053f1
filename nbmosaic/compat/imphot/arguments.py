"""imphot's parser of command lines."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nbmosaic.compat.imphot.errors import UserError

__all__ = ["FIT_IMAGE", "FIT_STAR", "ImphotArgumentParser", "extract_function_args"]

FIT_IMAGE = 1
FIT_STAR = 2


def _number_or_none(text: str) -> float | None:
    return None if text.strip().lower() == "none" else float(text)


_number_or_none.__name__ = "number or none"  # argparse names it in its messages


class ImphotArgumentParser(argparse.ArgumentParser):
    """Parser that knows the arguments of `fit_image_photometry` and `fit_star_photometry`.

    Parameters
    ----------
    functions : int
        ``FIT_IMAGE``, ``FIT_STAR`` or their sum.
    *args, **kwargs
        Passed on to `argparse.ArgumentParser`.

    Notes
    -----
    The defaults are those of imphot's script, not of its functions: ``--regions star`` and ``--fix_beta 2.5``. ``--min_scale``, ``--init_dx``,
    ``--init_dy`` and ``--method`` are arguments of the functions that imphot's script does not have.

    Examples
    --------
    >>> parser = ImphotArgumentParser(FIT_IMAGE + FIT_STAR, prog="fit")
    >>> options = parser.parse_args(["--fix_beta", "none", "--taper", "11"])
    >>> options.fix_beta, options.taper, options.margin
    (None, 11, 2.0)
    """

    def __init__(self, functions: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not functions & (FIT_IMAGE | FIT_STAR):
            raise UserError(f"functions cannot be {functions!r}", hint="give FIT_IMAGE, FIT_STAR or their sum")
        if functions & FIT_IMAGE:
            self._add_image_arguments()
        self._add_common_arguments()

    def _add_image_arguments(self) -> None:
        add = self.add_argument
        add(
            "--regions",
            default="star",
            metavar="F",
            help="ds9 region file of what is left out or alone fitted; star or notstar: inside or outside of --star; none (default: star)",
        )
        add("--segment", action="store_true", help="ignore areas without significant objects")
        for name, what in (
            ("scale", "calibration scale factor, MUSE/HST"),
            ("bg", "calibration zero offset, MUSE-HST"),
            ("dx", "x-axis pointing offset, MUSE-HST (arcsec)"),
            ("dy", "y-axis pointing offset, MUSE-HST (arcsec)"),
        ):
            add(f"--fix_{name}", type=_number_or_none, default=None, metavar="V", help=f"fix the {what}; none: fit it (default)")
        add("--min_scale", type=float, default=0.0, metavar="V", help="least calibration scale factor (default: 0)")
        for name in ("dx", "dy"):
            add(f"--init_{name}", type=_number_or_none, default=None, metavar="V", help=f"first guess of {name} (arcsec)")
        add("--hst_fwhm", type=float, default=0.085, metavar="V", help="FWHM of the HST PSF (arcsec; default: 0.085)")
        add("--hst_beta", type=float, default=1.6, metavar="V", help="beta of the HST PSF (default: 1.6)")
        add("--margin", type=float, default=2.0, metavar="V", help="margin of zeros around the images (arcsec; default: 2)")
        add("--taper", type=int, default=9, metavar="N", help="width over which the edges of masks are softened (pixels; default: 9)")
        add("--extramask", default=None, metavar="F", help="FITS file whose pixels are not 0 where the MUSE image is to be ignored")
        add("--save", action="store_true", help="write the images and Fourier transforms that were compared")

    def _add_common_arguments(self) -> None:
        add = self.add_argument
        add(
            "--star",
            nargs=3,
            type=float,
            default=None,
            metavar=("RA", "DEC", "RADIUS"),
            help="also fit a star: its position (degrees) and the radius of its pixels (arcsec)",
        )
        add("--fix_fwhm", type=_number_or_none, default=None, metavar="V", help="fix the FWHM of the PSF (arcsec); none: fit it (default)")
        add("--fix_beta", type=_number_or_none, default=2.5, metavar="V", help="fix the beta of the PSF; none: fit it (default: 2.5)")
        add("--method", choices=("imphot", "whitened"), default="imphot", help="imphot's estimator, or nbmosaic's own (default: imphot)")
        add("--display", action="store_true", help="show plots of the fits")
        add("--nowait", action="store_true", help="do not wait for the plots to be dismissed")
        add("--hardcopy", default=None, metavar="EXT", help="write plots to files of this kind (png, pdf, ...); none (default)")
        add("--title", default=None, metavar="T", help="title of the plots; none: the default")
        add("--apply", action="store_true", help="write a corrected image, <name>_aligned.fits")
        add("--resample", action="store_true", help="correct positions by resampling, not by the header")


def extract_function_args(options: argparse.Namespace | Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """Those of the options that are arguments of a function.

    Parameters
    ----------
    options : argparse.Namespace or dict
        What a parser returned.
    function : function
        The function.

    Returns
    -------
    dict

    Examples
    --------
    >>> extract_function_args({"a": 1, "b": 2}, lambda b: b)
    {'b': 2}
    """
    values = vars(options) if isinstance(options, argparse.Namespace) else dict(options)
    known = inspect.signature(function).parameters
    return {key: value for key, value in values.items() if key in known}
