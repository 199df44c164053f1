"""The main functions of imphot's scripts."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from nbmosaic.compat.imphot.arguments import FIT_IMAGE, FIT_STAR, ImphotArgumentParser, extract_function_args
from nbmosaic.compat.imphot.errors import UserError, WorkerError, imphot_errors
from nbmosaic.errors import NbmosaicError, NbmosaicWarning

__all__ = ["fit_photometry_main", "make_wideband_image_main", "regrid_hst_to_muse_main"]


def fit_photometry_main(argv: Sequence[str] | None = None) -> None:
    """Run ``fit_photometry [options] hst muse [muse ...]``: a line a fit, under imphot's headings.

    Parameters
    ----------
    argv : sequence of str, optional
        Program name and arguments; default: those of the process.

    Raises
    ------
    SystemExit
        1 after an error, which is printed on standard output. Of several images the others are still fitted.
    """
    words = list(sys.argv if argv is None else argv)
    parser = ImphotArgumentParser(
        FIT_IMAGE + FIT_STAR,
        prog=Path(words[0]).name if words else "fit_photometry",
        description="Fit the PSF, flux scale, background and pointing offset of MUSE images against an HST image on their grid.",
    )
    parser.add_argument("hst_filename", metavar="hst", help="FITS file of the HST image, on the grid of the MUSE images")
    parser.add_argument("muse_filenames", metavar="muse", nargs="+", help="FITS files of the MUSE images")
    parser.add_argument("--nworker", type=int, default=0, metavar="N", help="worker processes for several images (default: all processors)")
    parser.add_argument("--verbose", action="store_true", help="print reports of the fits")
    options = parser.parse_args(words[1:])
    with _program():
        failed = _fit_all(options)
    if failed:
        raise SystemExit(1)


def _fit_all(options: argparse.Namespace) -> int:
    """Fit and print; returns the number of images that failed."""
    failed, header = 0, True
    for result in _results(options):
        error = getattr(result, "error", None)
        if error is not None:
            _print_error(error)
            failed += 1
            continue
        for fit in result if isinstance(result, tuple) else (result,):
            if options.verbose:
                _print(str(fit))
            _print(fit.summary(header))
            header = False
    return failed


def _results(options: argparse.Namespace) -> Iterator[Any]:
    """Fits of one image in this process, of several in workers."""
    from nbmosaic.compat.imphot import batch, fits

    pair = options.star is not None
    function: Callable[..., Any] = fits.fit_image_and_star_photometry if pair else fits.fit_image_photometry
    arguments = extract_function_args(options, function)
    if len(options.muse_filenames) == 1:
        yield function(options.hst_filename, options.muse_filenames[0], **arguments)
        return
    iterator = batch.FitImageAndStarPhotometryMP if pair else batch.FitImagePhotometryMP
    with iterator(options.hst_filename, options.muse_filenames, arguments, nworker=options.nworker, on_error="skip") as results:
        yield from results


def regrid_hst_to_muse_main(argv: Sequence[str] | None = None) -> None:
    """Run ``regrid_hst_to_muse [--quiet] [--field name] muse hst [hst ...]``.

    It writes ``hst_<FILTER>_for_<field>.fits`` in the working folder, in the flux unit of the MUSE image.

    Parameters
    ----------
    argv : sequence of str, optional
        Program name and arguments; default: those of the process.
    """
    words = list(sys.argv if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog=Path(words[0]).name if words else "regrid_hst_to_muse",
        description="Resample HST images onto the grid of a MUSE image or cube, and turn them into its flux unit.",
    )
    parser.add_argument("muse", help="FITS file of a MUSE image or cube")
    parser.add_argument("hst", nargs="+", help="FITS files of HST images")
    parser.add_argument("--field", default=None, metavar="NAME", help="name of the field in the output (default: that of the MUSE file)")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    options = parser.parse_args(words[1:])
    with _program():
        _regrid_all(options)


def _regrid_all(options: argparse.Namespace) -> None:
    from nbmosaic.compat.imphot.images import HstFilterInfo, regrid_hst_like_muse, rescale_hst_like_muse
    from nbmosaic.io.paths import file_stem
    from nbmosaic.pipeline.photometry.inputs import read_image
    from nbmosaic.pipeline.photometry.regridding import template_grid

    say = _silent if options.quiet else _print
    say(f"Reading MUSE image: {options.muse}")
    with imphot_errors("Error reading MUSE file ({})"):
        template_grid(options.muse)
    field = file_stem(options.muse) if options.field is None else options.field
    for name in options.hst:
        say(f"Reading HST image: {name}")
        with imphot_errors("Error reading HST file ({})"):
            image = read_image(name)
        band = HstFilterInfo(image).filter_name or file_stem(name)
        say("Resampling the HST image onto the MUSE pixel grid.")
        made = regrid_hst_like_muse(image, options.muse)
        say("Changing the flux units of the HST image to match the MUSE image")
        out = rescale_hst_like_muse(made, options.muse)
        output = f"hst_{band}_for_{field}.fits"
        say(f"Writing the output file: {output}")
        with imphot_errors():
            out.save(output, overwrite=True)


def make_wideband_image_main(argv: Sequence[str] | None = None) -> None:
    """Run ``make_wideband_image [--prefix P] [--quiet] [--wave_units U] [--nprocess N] curve cube [cube ...]``.

    It writes ``<prefix>_<name of the cube, image for cube>.fits`` in the working folder.

    Parameters
    ----------
    argv : sequence of str, optional
        Program name and arguments; default: those of the process.
    """
    words = list(sys.argv if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog=Path(words[0]).name if words else "make_wideband_image",
        description="Extract images from MUSE cubes that have the wavelength sensitivity of another camera.",
    )
    parser.add_argument("curve", help="text file of wavelengths and sensitivities")
    parser.add_argument("cube", nargs="+", help="FITS files of MUSE cubes")
    parser.add_argument("--prefix", default=None, metavar="P", help="begin of the output's name (default: that of the curve)")
    parser.add_argument("--wave_units", default="Angstrom", metavar="U", help="unit of the wavelengths of the curve (default: Angstrom)")
    parser.add_argument("--nprocess", type=int, default=0, metavar="N", help="as in imphot; one pass over the cube needs no more than one")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    options = parser.parse_args(words[1:])
    with _program():
        _bands(options)


def _bands(options: argparse.Namespace) -> None:
    from nbmosaic.compat.imphot.images import bandpass_image
    from nbmosaic.io.filter_curve import read_filter_curve

    say = _silent if options.quiet else _print
    say(f"Reading filter: {options.curve}")
    with imphot_errors():
        curve = read_filter_curve(options.curve)
    prefix = curve.name if options.prefix is None else options.prefix
    for name in options.cube:
        say(f"Reading cube: {name}")
        say("Computing the output image.")
        image = bandpass_image(name, curve.wavelengths, curve.sensitivities, unit_wave=options.wave_units, nprocess=options.nprocess)
        output = f"{prefix}_{_image_name(Path(name).name)}"
        say(f"Writing image to: {output}")
        with imphot_errors():
            image.save(output, overwrite=True)


def _image_name(cube: str) -> str:
    """Name of the image of a cube: its first ``datacube`` or ``cube`` becomes ``image``, in capitals where it was in capitals.

    Examples
    --------
    >>> _image_name("DATACUBE_udf-10.fits"), _image_name("mosaic_cube.fits")
    ('IMAGE_udf-10.fits', 'mosaic_image.fits')
    """
    for old, new in (("datacube", "image"), ("DATACUBE", "IMAGE"), ("cube", "image"), ("CUBE", "IMAGE")):
        if old in cube:
            return cube.replace(old, new, 1)
    return cube


@contextmanager
def _program() -> Iterator[None]:
    """Errors of the user on standard output and status 1, warnings on standard error, as imphot has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", NbmosaicWarning)
        warnings.showwarning = _show_warning
        try:
            yield
        except (UserError, WorkerError) as error:
            _print_error(error)
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    del category, filename, lineno, line
    (sys.stderr if file is None else file).write(f"[WARNING] {message}\n")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print_error(error: NbmosaicError) -> None:
    """The message on standard output, what to do about it on standard error."""
    _print(str(error))
    if error.hint:
        sys.stderr.write(f"{error.hint}\n")


def _silent(text: str) -> None:
    del text
