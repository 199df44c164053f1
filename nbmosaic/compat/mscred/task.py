"""``mscimage`` as IRAF's mscred has it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.mscred.lists import expand_list, image_target, mask_target
from nbmosaic.compat.mscred.parameters import Parameters
from nbmosaic.errors import FormatError, InputError, NbmosaicError, SkippedFrameWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmosaic._types import PathLike
    from nbmosaic.compat.mscred.reference import Template

__all__ = ["mscimage"]

Names = Any


def mscimage(
    input: Names,  # noqa: A002 - IRAF's name
    output: Names,
    reference: str = "",
    *,
    format: str = "image",  # noqa: A002 - IRAF's name
    pixmask: bool = True,
    verbose: bool = False,
    wcssource: str = "image",
    ra: float | None = None,
    dec: float | None = None,
    scale: float | None = None,
    rotation: float | None = None,
    blank: float = 0.0,
    interpolant: str = "linear",
    minterpolant: str = "linear",
    boundary: str | None = None,
    constant: float = 0.0,
    fluxconserve: bool = False,
    ntrim: int | None = None,
    trim: int | None = None,
    nxblock: int | None = None,
    nyblock: int | None = None,
    interactive: bool = False,
    nx: int = 10,
    ny: int = 20,
    fitgeometry: str = "general",
    function: str = "chebyshev",
    xxorder: int = 4,
    xyorder: int = 4,
    xxterms: str = "half",
    yxorder: int = 4,
    yyorder: int = 4,
    yxterms: str = "half",
    version: str = "5.05",
    overwrite: bool = False,
    scratch: PathLike | None = None,
) -> list[str]:
    """Reconstruct single images from mosaic exposures.

    Parameters
    ----------
    input, output : list of names
        Mosaic exposures (multi-extension FITS) or single images, and the images to make of them. See `nbmosaic.compat.mscred.lists.expand_list`; endings may be
        left out.
    reference : str
        Image that defines the coordinates of the output; "" takes the piece nearest to its tangent point of the first input.
    format : {"image", "mef"}
        What to make of an exposure: "image", one image, or "mef", a file with an extension for each piece.
    pixmask : bool
        Write a mask ``OUT_bpm.fits`` (``OUT_bpmEXTNAME.fits`` with `format` "mef"), named by the keyword BPM of the output. Masks of the input are those
        that the keyword BPM of each piece names.
    verbose : bool
        Print the lines that IRAF prints.
    wcssource : {"image", "parameters", "match"}
        Coordinates of the output: "image", those of the reference; "parameters", the same with `ra`, `dec`, `scale` and `rotation` changed as they are given;
        "match", the very grid and size of the reference.
    ra, dec : float, optional
        Centre for `wcssource` "parameters": right ascension in hours, declination in degrees.
    scale, rotation : float, optional
        Pixel scale in arcsec and rotation in degrees for `wcssource` "parameters". The rotation has IRAF's sense, that of CROTA2: columns run up to
        position angle (east of north) minus `rotation`.
    blank : float
        Value where there is no data.
    interpolant : str
        Kernel of the data: ``nearest``, ``linear``, ``poly3``, ``poly5``, ``spline3``, ``sinc``, ``lsinc``, ``drizzle``, with parameters as in ``sinc17``,
        ``lsinc15[20]``, ``drizzle[0.5]``.
    minterpolant : str
        Kernel of the mask, of the same names: it says how far bad pixels spread.
    boundary : {"nearest", "constant", "reflect", "wrap"}, optional
        What kernels read beyond the edge of a piece: "nearest", "constant", "reflect" or "wrap". Default: "constant", as 5.05 has it whatever is asked
        for; "reflect" in the older task.
    constant : float
        Value of the boundary "constant".
    fluxconserve : bool
        Multiply by the ratio of the pixel areas.
    ntrim, trim : int, optional
        Pixels cut from every side of a piece; kernels still read them. Two names of one parameter. Default: 8, in the older task 7.
    nxblock, nyblock : int, optional
        Working size in IRAF. Accepted, and without effect on the result.
    interactive : bool
        Has to be False.
    nx, ny : int
        Points in x and y of the mesh that the map of a piece is fitted to.
    fitgeometry : str
        Geometry of the fitted map: "general", or without distortion "shift", "xyscale", "rotate", "rscale", "rxyscale". See `nbmosaic.fit_map`.
    function : {"chebyshev", "legendre", "polynomial"}
        Function of the fitted map: "chebyshev", "legendre" or "polynomial".
    xxorder, xyorder : int
        Number of terms in x and y of the map of x (4: up to the third power).
    xxterms : {"none", "half", "full"}
        Cross terms of the map of x: "none", "half" or "full".
    yxorder, yyorder : int
        Number of terms in x and y of the map of y.
    yxterms : {"none", "half", "full"}
        Cross terms of the map of y: "none", "half" or "full".
    version : {"5.05", "old"}
        "old" is the task that IRAF's help page describes (mscimage up to 4.3, mscoimage): pieces are pasted one over the other, masks hold 0 to 10000.
    overwrite : bool
        Replace existing files; otherwise such an output is left out with a warning, as in IRAF.
    scratch : path, optional
        Folder for scratch files.

    Returns
    -------
    list of str
        The images that were written.

    Raises
    ------
    ConfigError
        A parameter that no input can be done with.
    InputError, FormatError, EmptyMosaicError
        No output could be made: the reason of the first. Where others could, each that could not is a warning of one line.

    Notes
    -----
    Numbers are IRAF's, including coordinates rounded to 0.0001 s and 0.001 arcsec on their way through text and, without masks, the mean of whole
    rectangles (values from beyond the edges of a piece count where rectangles overlap). Differs from IRAF, where that is wrong: integer images are not
    truncated after resampling; the header is a plain TAN (IRAF keeps TPV with the terms of the first piece); SIP counts; no step at right ascension 0;
    lists of mixed pixel types lose no pieces; `blank` and a given `boundary` are honoured; lists of different length, a missing mask and an exposure
    beside the reference are errors of one line.
    The stage `nbmosaic.mscimage` has neither rounding nor fit, and excludes bad pixels.

    Examples
    --------
    >>> mscimage("", "")
    []
    """
    parameters = Parameters.checked(locals())
    inputs = expand_list(input, "input", files=True)
    outputs = expand_list(output, "output", files=False)
    if len(inputs) != len(outputs):
        raise InputError(f"there are {len(inputs)} inputs and {len(outputs)} outputs", hint="name one output for each input")
    say: Callable[[str], None] = print if verbose else _silent
    written: list[str] = []
    failed: list[NbmosaicError] = []
    template: Template | None = None
    for name, target in zip(inputs, outputs, strict=True):
        try:
            template = _one(name, target, parameters, template, say)
        except NbmosaicError as error:
            failed.append(error)
            if len(inputs) > 1:
                warnings.warn(f"mscimage: {target} is not made: {error}", SkippedFrameWarning, stacklevel=2)
            continue
        written.append(image_target(target))
    if failed and not written:
        raise failed[0]
    return written


def _silent(_: str) -> None:
    """Print nothing."""


def _one(name: str, target: str, parameters: Parameters, template: Template | None, say: Callable[[str], None]) -> Template:
    """Make one output; returns the template for the next."""
    from nbmosaic.compat.mscred.reference import make_template
    from nbmosaic.io.exposure import find_image, open_exposure
    from nbmosaic.io.output import check_output
    from nbmosaic.pipeline.camera.image import write_exposure
    from nbmosaic.pipeline.loading import load_kernels

    image, mask = image_target(target), mask_target(target)
    check_output(image, overwrite=parameters.overwrite)
    source = find_image(name)
    load_kernels()
    exposure = open_exposure(source, bpm=parameters.pixmask)
    masks = [mask.format(piece.extname.upper()) for piece in exposure.pieces] if parameters.format == "mef" else [mask.format("")]
    for path in masks if parameters.pixmask else ():
        if path == image:
            raise FormatError(f"the mask {path} and the image are one file", hint="choose another output name", path=path)
        check_output(path, overwrite=parameters.overwrite)
    if template is None:
        template = make_template(name, exposure, parameters, say)
    options = parameters.image_options(exposure, BPM=Path(mask).name)
    if parameters.old:
        say(f"Creating empty output mosaic {target} ...")
    labels = {id(piece): _label(name, piece.extname, piece.hdu) if exposure.mosaic else name for piece in exposure.pieces}
    write_exposure(
        exposure,
        template.plane,
        image,
        mask,
        options=options,
        execution=parameters.execution,
        within=template.within,
        tell=lambda one: say(
            f"Mapping {labels[id(one.piece)]} to {target} ..." if parameters.old else f"Resampling {labels[id(one.piece)]} ..."
        ),
        created=None if parameters.old or parameters.format == "mef" else lambda: say(f"Creating image {target} ..."),
        overwrite=parameters.overwrite,
    )
    return template


def _label(name: str, extname: str, hdu: int) -> str:
    """Piece as IRAF names it."""
    return f"{name}[{extname.upper() or hdu}]"
