"""The stage `mscimage`: one image and one mask from each mosaic exposure, on a common tangent plane."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

from nbmosaic.errors import ConfigError, InputError, NbmosaicError, SkippedFrameWarning
from nbmosaic.pipeline.camera.product import MosaicExposure
from nbmosaic.pipeline.execution import Progress, stage_execution
from nbmosaic.pipeline.recipe import choose

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.io.exposure import Exposure
    from nbmosaic.pipeline.camera.pieces import MapOptions
    from nbmosaic.types import MosaicGrid

__all__ = ["mscimage", "output_plane"]

Boundary = Literal["nearest", "constant", "reflect", "wrap"]
Bad = Literal["exclude", "interpolate", "flag"]
Geometry = Literal["exact", "general", "shift", "xyscale", "rotate", "rscale", "rxyscale"]
Function = Literal["chebyshev", "legendre", "polynomial"]
Terms = Literal["none", "half", "full"]
Matching = Literal["none", "level", "gain"]


def mscimage(
    *exposures: Any,
    reference: str | None = None,
    template: str | None = None,
    ra: float | None = None,
    dec: float | None = None,
    scale: float | None = None,
    rotation: float | None = None,
    interpolant: str = "spline3",
    mask_interpolant: str = "linear",
    boundary: Boundary = "reflect",
    constant: float = 0.0,
    trim: int = 8,
    fluxconserve: bool = False,
    bad: Bad = "exclude",
    match: Matching = "none",
    geometry: Geometry = "exact",
    function: Function = "chebyshev",
    xxorder: int = 4,
    xyorder: int = 4,
    xxterms: Terms = "half",
    yxorder: int = 4,
    yyorder: int = 4,
    yxterms: Terms = "half",
    nx: int = 10,
    ny: int = 20,
    hdu: int | str | list[int | str] | None = None,
    weights: Any = None,
    variance: Any = None,
    mask: Any = None,
    mask_bits: int | list[int] | None = None,
    bpm: bool = True,
    on_error: Literal["stop", "skip"] = "stop",
    max_memory: float | str | None = None,
    scratch: str | None = None,
    progress: Progress | None = None,
) -> MosaicExposure:
    """One image and one mask from each mosaic exposure.

    The pieces (detectors) of an exposure are resampled once, onto a plain tangent plane that all exposures share, so that they stack by whole pixels: the
    result is what overlaps, correct and coadd take. Without reference and template the plane is that of the piece of the first exposure that is
    nearest to its tangent point, without its distortion.

    Parameters
    ----------
    *exposures
        FITS files of one or many images, patterns, folders, HDU lists, CCDData or (array, wcs); each is one exposure.
    reference : str, optional
        Image whose tangent plane is used (its size is not): ``file.fits`` or ``file.fits[ext]``.
    template : str, optional
        Header template or FITS image whose grid is used as it is, with its size.
    ra, dec : float, optional
        Right ascension and declination of the tangent point, degrees.
    scale : float, optional
        Pixel scale in arcsec.
    rotation : float, optional
        Rotation of the plane in degrees, in the sense of CROTA2: the y axis lies at position angle (east of north) minus `rotation`.
    interpolant : str
        Kernel: ``nearest``, ``linear``, ``poly3``, ``poly5``, ``spline3``, ``sinc``, ``lsinc``, ``drizzle``, with parameters as in ``sinc17``,
        ``lsinc15[20]``, ``drizzle[0.5]``.
    mask_interpolant : str
        Kernel that says how far bad pixels spread in the mask.
    boundary : {"nearest", "constant", "reflect", "wrap"}
        What kernels read beyond the edges of a detector.
    constant : float
        Value of the boundary ``constant``.
    trim : int
        Rows and columns cut from every side of a piece; kernels still read them.
    fluxconserve : bool
        Keep the flux of a pixel instead of the surface brightness.
    bad : {"exclude", "interpolate", "flag"}
        Bad pixels enter no kernel; are interpolated over first; or enter as they are. Values that they had a part in by the mask's kernel are flagged
        (``flag``: and those in which a bad pixel has a weight of 0.01 or more by the kernel of the data: up to 3 pixels away for spline3, 9 for
        sinc; a bad pixel rings beyond that by less than a hundredth of its value), and with the last two hidden from the stages that follow.
    match : {"none", "level", "gain"}
        Match the sky levels, or the gains, of the pieces of dithered exposures where they overlap.
    geometry : {"exact", "general", "shift", "xyscale", "rotate", "rscale", "rxyscale"}
        Map of a piece: the exact coordinates, or a map of this geometry fitted to a mesh of points.
    function : {"chebyshev", "legendre", "polynomial"}
        Function of the fitted map.
    xxorder, xyorder : int
        Number of terms in x and y of the fitted map of x (4: up to the third power).
    xxterms : {"none", "half", "full"}
        Cross terms of the fitted map of x.
    yxorder, yyorder : int
        Number of terms in x and y of the fitted map of y.
    yxterms : {"none", "half", "full"}
        Cross terms of the fitted map of y.
    nx, ny : int
        Points in x and y of the mesh that a map is fitted to.
    hdu : int, str or list of these, optional
        Which HDUs of a file; default: all images with a celestial WCS that are not weight, variance or mask planes.
    weights : str or list, optional
        Weight planes: name or number of an extension, a file name with ``{stem}`` in it, or arrays.
    variance : str or list, optional
        Variance planes, given as `weights`.
    mask : str or list, optional
        Mask planes (non-zero is bad), given as `weights`.
    mask_bits : int or list of int, optional
        Bits of an integer mask that mean bad; default: all.
    bpm : bool
        Use the mask files that the keyword BPM of the pieces names.
    on_error : {"stop", "skip"}
        Whether an exposure that cannot be used stops the stage or is left out with a warning.
    max_memory : float or str, optional
        Pixel data held at once, bytes or a text such as 500MB.
    scratch : str, optional
        Folder for scratch files.
    progress : Progress, optional
        Told of every finished piece.

    Returns
    -------
    MosaicExposure
        Images, masks, variances and weights; `MosaicExposure.table` has a row a piece.

    Raises
    ------
    InputError
        A trim or order that a piece is too small for, unknown names, no celestial coordinates.
    FormatError
        A file or mask is missing.
    EmptyMosaicError
        Nothing falls on the reference.

    Examples
    --------
    >>> image = mscimage("obj001.fits", interpolant="sinc17")  # doctest: +SKIP
    >>> image.save("mos001.fits")  # doctest: +SKIP
    """
    from nbmosaic.pipeline.camera.pieces import MapOptions, PieceOptions
    from nbmosaic.pipeline.camera.run import project_exposures
    from nbmosaic.pipeline.loading import load_kernels
    from nbmosaic.types.camera import Interpolant

    planes = {"hdu": hdu, "weight": weights, "variance": variance, "mask": mask, "mask_bits": mask_bits, "bpm": bpm}
    mapping = MapOptions(
        geometry=choose(geometry, Geometry.__args__, option="geometry"),  # type: ignore[attr-defined]
        function=choose(function, Function.__args__, option="function"),  # type: ignore[attr-defined]
        xxorder=xxorder,
        xyorder=xyorder,
        xxterms=choose(xxterms, Terms.__args__, option="xxterms"),  # type: ignore[attr-defined]
        yxorder=yxorder,
        yyorder=yyorder,
        yxterms=choose(yxterms, Terms.__args__, option="yxterms"),  # type: ignore[attr-defined]
        nx=nx,
        ny=ny,
    )
    _check_idle(mapping, boundary, constant)
    options = PieceOptions(
        interpolant=Interpolant.parse(interpolant),
        mask_interpolant=Interpolant.parse(mask_interpolant),
        boundary=choose(boundary, Boundary.__args__, option="boundary"),  # type: ignore[attr-defined]
        constant=constant,
        trim=trim,
        fluxconserve=fluxconserve,
        bad=choose(bad, Bad.__args__, option="bad"),  # type: ignore[attr-defined]
        map=mapping,
    )
    load_kernels()
    found, left_out = _opened(exposures, planes, on_error)
    plane, within = output_plane(found[0], reference=reference, template=template, centre=(ra, dec), scale_arcsec=scale, rotation=rotation)
    return project_exposures(
        found,
        plane,
        options=options,
        matching=choose(match, Matching.__args__, option="match"),  # type: ignore[attr-defined]
        within=within,
        left_out=left_out,
        skip_failed=on_error == "skip",
        execution=stage_execution(1, None, max_memory, scratch, progress),
    )


def _check_idle(mapping: MapOptions, boundary: str, constant: float) -> None:
    """Refuse options that could have no effect."""
    from nbmosaic.pipeline.camera.pieces import MapOptions

    if constant != 0.0 and boundary != "constant":
        raise ConfigError(
            "constant cannot be used without boundary='constant'", hint="leave it out, or set the boundary", option="constant"
        )
    names: tuple[str, ...] = ("function", "xxorder", "xyorder", "xxterms", "yxorder", "yyorder", "yxterms")
    default = MapOptions()
    if mapping.geometry == "exact":
        names = (*names, "nx", "ny")
    elif mapping.geometry == "general":
        return
    idle = [name for name in names if getattr(mapping, name) != getattr(default, name)]
    if idle:
        raise ConfigError(
            f"{', '.join(idle)} cannot be used with geometry={mapping.geometry!r}", hint="it is for geometry='general'", option=idle[0]
        )


def _opened(exposures: tuple[Any, ...], planes: dict[str, Any], on_error: str) -> tuple[list[Exposure], list[tuple[str, str]]]:
    """Exposures by their headers, and those that cannot be used."""
    from nbmosaic.io.exposure import open_exposure
    from nbmosaic.io.paths import expand_inputs

    choose(on_error, ("stop", "skip"), option="on_error")
    found: list[Exposure] = []
    left_out: list[tuple[str, str]] = []
    for item in expand_inputs(exposures):
        try:
            exposure = open_exposure(item, **planes)
        except NbmosaicError as error:
            if on_error == "stop":
                raise
            left_out.append((str(item), str(error)))
            warnings.warn(f"mscimage left out {item}: {error}", SkippedFrameWarning, stacklevel=3)
            continue
        found.append(exposure)
        lost = [f"{one.name}: {one.reason}" for one in exposure.skipped if "companion" not in one.reason]
        if lost:
            warnings.warn(f"mscimage left out {'; '.join(lost)}", SkippedFrameWarning, stacklevel=3)
    if not found:
        raise InputError("no exposure is left to work on", hint="every input was left out: see the warnings")
    return found, left_out


def output_plane(
    exposure: Exposure,
    *,
    reference: str | None = None,
    template: str | None = None,
    centre: tuple[float | None, float | None] = (None, None),
    scale_arcsec: float | None = None,
    rotation: float | None = None,
) -> tuple[WCS, MosaicGrid | None]:
    """Tangent plane of the output, and its grid where that is given as a whole.

    Parameters
    ----------
    exposure : Exposure
        The first exposure.
    reference, template, centre, scale_arcsec, rotation
        See `mscimage`; the centre in degrees.

    Raises
    ------
    ConfigError
        Options that exclude each other.
    InputError
        The reference holds more than one image.
    """
    from nbmosaic.core.geometry.exposure_grid import reference_piece, set_grid, tangent_grid
    from nbmosaic.io.exposure import open_exposure

    changed = scale_arcsec is not None or rotation is not None or centre != (None, None)
    if template is not None:
        from nbmosaic.pipeline.grids import grid_of_template

        if changed or reference is not None:
            raise ConfigError(
                "reference, ra, dec, scale and rotation cannot be used with a template", hint="the template fixes the grid: leave them out"
            )
        grid = grid_of_template(template)
        return grid.wcs, grid
    if reference is not None:
        pieces = open_exposure(reference, bpm=False).pieces
        if len(pieces) != 1:
            raise InputError(
                f"reference {reference} holds {len(pieces)} images",
                hint=f"choose one, as in {reference}[{pieces[0].extname or pieces[0].hdu}]",
            )
        chosen = pieces[0].info
    else:
        infos = [piece.info for piece in exposure.pieces]
        chosen = infos[reference_piece([(info.wcs, info.shape) for info in infos])]
    plane = tangent_grid(chosen.wcs, chosen.shape)
    if changed:
        plane = set_grid(plane, centre=centre, scale_arcsec=scale_arcsec, rotation=rotation)
    return plane, None
