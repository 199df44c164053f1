"""The coordinates that all outputs of one call share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbmosaic.errors import FormatError, InputError

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.compat.mscred.parameters import Parameters
    from nbmosaic.io.exposure import Exposure
    from nbmosaic.types import FrameInfo, PixelBox

__all__ = ["Template", "make_template"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Template:
    """Tangent plane of the outputs, and their pixels where the size is that of the reference."""

    plane: WCS
    within: PixelBox | None


def make_template(name: str, exposure: Exposure, parameters: Parameters, say: Callable[[str], None]) -> Template:
    """Coordinates of the outputs, from the reference or the first exposure.

    Raises
    ------
    FormatError
        There is no such reference.
    InputError
        The reference holds more than one image.
    """
    from nbmosaic.core.geometry.exposure_grid import reference_piece, set_grid, tangent_grid
    from nbmosaic.types import PixelBox

    values = parameters.values
    reference = values["reference"]
    if reference:
        label, chosen = reference, _only_image(reference, exposure)
    else:
        infos = [piece.info for piece in exposure.pieces]
        number = reference_piece([(info.wcs, info.shape) for info in infos])
        piece = exposure.pieces[number]
        label = f"{name}[{piece.extname.upper() or piece.hdu}]" if exposure.mosaic else name
        chosen = piece.info
    plane = tangent_grid(chosen.wcs, chosen.shape)
    if values["wcssource"] == "match":
        return Template(plane=plane, within=PixelBox.of_shape(chosen.shape))
    say(f"Using `{label}' for the WCS reference" if parameters.old else f"WCS reference image is {label}")
    if values["wcssource"] == "parameters":
        centre = (None if values["ra"] is None else 15.0 * values["ra"], values["dec"])
        plane = set_grid(plane, centre=centre, scale_arcsec=values["scale"], rotation=values["rotation"])
        say("Output WCS parameters:")
        say(_description(plane))
    return Template(plane=plane, within=None)


def _only_image(reference: str, exposure: Exposure) -> FrameInfo:
    """The image of a reference. Without a word on its system (as IRAF's own outputs are) it is in that of the exposure."""
    from nbmosaic.io.exposure import find_image, open_exposure

    try:
        path = find_image(reference)
    except FormatError as error:
        raise FormatError(f"there is no reference image {reference}", path=reference) from error
    pieces = open_exposure(path, bpm=False).pieces
    if len(pieces) != 1:
        raise InputError(
            f"reference {reference} holds {len(pieces)} images", hint=f"choose one, as in {reference}[{pieces[0].extname or pieces[0].hdu}]"
        )
    info, cards = pieces[0].info, pieces[0].cards
    if any(key in cards for key in ("RADESYS", "RADECSYS", "EQUINOX", "EPOCH")):
        return info
    own, wcs = exposure.pieces[0].info.wcs.wcs, info.wcs.deepcopy()
    wcs.wcs.radesys, wcs.wcs.equinox = own.radesys, own.equinox
    wcs.wcs.set()
    return replace(info, wcs=wcs)


def _description(plane: WCS) -> str:
    """Centre, scale and rotation in one line, as IRAF prints them."""
    import math

    cd = plane.wcs.cd
    scale = 3600.0 * math.sqrt(abs(cd[0, 1] * cd[1, 0]) + abs(cd[0, 0] * cd[1, 1]))
    rotation = math.degrees(math.atan2(-cd[0, 1], cd[1, 1]))
    lon, lat = (float(value) for value in plane.wcs.crval)
    ra, dec = _sexagesimal(lon / 15.0, 2), _sexagesimal(lat, 1)
    return f"    RA={ra}, DEC={dec}, SCALE={scale:.3g} arcsec/pixel, ROTATION={rotation:.4g} degrees"


def _sexagesimal(value: float, digits: int) -> str:
    """``12:34:56.78`` of hours or degrees."""
    units = round(abs(value) * 3600 * 10**digits)
    seconds, parts = divmod(units, 10**digits)
    minutes, second = divmod(seconds, 60)
    whole, minute = divmod(minutes, 60)
    return f"{'-' if value < 0 else ''}{whole}:{minute:02d}:{second:02d}.{parts:0{digits}d}"
