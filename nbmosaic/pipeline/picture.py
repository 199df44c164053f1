"""A picture of FITS images: read, stretched, coloured, drawn over, encoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbmosaic._types import AnyArray, FloatArray
from nbmosaic.core.stretch import Statistics, StretchRange, grey_levels, parse_limit, preserve_colour, stretch_range
from nbmosaic.errors import FormatError, InputError, WcsError
from nbmosaic.types.picture import Channel, PictureSpec

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.pipeline.products import Mosaic

__all__ = ["ChannelLimits", "RenderedPicture", "equalised", "render_picture"]

_BAND_PIXELS = 1 << 20
_SAME_DEG = 1e-8  # of CRVAL and CDELT of three colours


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Limits of a stretch in all three ways to say them, and the extremes of the data."""

    low: float
    low_percent: float
    low_sigma: float
    high: float
    high_percent: float
    high_sigma: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True, eq=False)
class RenderedPicture:
    """An encoded picture and what went into it.

    Attributes
    ----------
    content : bytes
        The PNG or JPEG file.
    width, height : int
        In pixels.
    limits : tuple of ChannelLimits
        One for each channel.
    flip_x, flip_y : bool
        Whether x runs to the left, and y upwards.
    unit : str
        BUNIT of the last channel.
    """

    content: bytes
    width: int
    height: int
    limits: tuple[ChannelLimits, ...]
    flip_x: bool
    flip_y: bool
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """One channel as read."""

    channel: Channel
    data: AnyArray
    wcs: WCS | None
    unit: str
    stretch: StretchRange
    limits: ChannelLimits


def render_picture(spec: PictureSpec, *, kind: Literal["png", "jpeg"] = "png", font_file: str = "") -> RenderedPicture:
    """Make a picture, one picture pixel for each image pixel.

    Parameters
    ----------
    spec : PictureSpec
        What it shows.
    kind : {"png", "jpeg"}
        Format.
    font_file : str
        TrueType file for text; default: the font of all figures.

    Returns
    -------
    RenderedPicture
        The encoded picture.

    Raises
    ------
    InputError
        A limit, colour or column cannot be used; three colours are not on one grid; positions on the sky without coordinates.
    FormatError
        A file cannot be read.

    Examples
    --------
    >>> from nbmosaic.types.picture import Channel
    >>> spec = PictureSpec(channels=(Channel(path="mosaic.fits", low="-2s", high="max", kind="gaussian-log"),))
    >>> render_picture(spec).width  # doctest: +SKIP
    921
    """
    from nbmosaic.views.sky_picture import draw_over, picture_bytes

    if font_file and not Path(font_file).is_file():
        raise InputError(f"Font file {font_file} not found.")
    layers = [_layer(channel, use_wcs=spec.use_wcs) for channel in spec.channels]
    shape, offsets, wcs = _common_grid(layers, strict=spec.use_wcs)
    flip_x, flip_y = _flips(wcs) if spec.flip else (False, False)
    picture = _coloured(spec, layers, shape, offsets)
    picture = picture[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    if spec.overlays:
        from nbmosaic.pipeline.picture_marks import picture_marks

        marks = picture_marks(spec.overlays, shape, wcs)
        picture = draw_over(np.ascontiguousarray(picture), marks, wcs=wcs, flip_x=flip_x, flip_y=flip_y, font_file=font_file)
    limits = tuple(layer.limits for layer in layers)
    return RenderedPicture(picture_bytes(picture, kind), shape[1], shape[0], limits, flip_x, flip_y, layers[-1].unit)


def _layer(channel: Channel, *, use_wcs: bool) -> _Layer:
    low, high = parse_limit(channel.low, "display min"), parse_limit(channel.high, "display max")
    beta = parse_limit(channel.beta, "beta value") if channel.kind == "asinh" else None
    data, wcs, unit = _read(channel.path, use_wcs=use_wcs)
    statistics = Statistics.of(data)
    stretch = stretch_range(statistics, low, high, channel.kind, power=channel.power, beta=beta)
    limits = ChannelLimits(
        low=stretch.low,
        low_percent=statistics.percent_of(stretch.low),
        low_sigma=statistics.sigmas_of(stretch.low),
        high=stretch.high,
        high_percent=statistics.percent_of(stretch.high),
        high_sigma=statistics.sigmas_of(stretch.high),
        minimum=statistics.minimum,
        maximum=statistics.maximum,
    )
    return _Layer(channel, data, wcs, unit, stretch, limits)


def _read(name: str, *, use_wcs: bool) -> tuple[AnyArray, WCS | None, str]:
    """Pixels, coordinates (None: not there and not needed) and unit of an image."""
    from nbmosaic.io.fits_read import fits_image
    from nbmosaic.io.fits_scan import scan_fits
    from nbmosaic.io.paths import split_hdu
    from nbmosaic.io.wcs_read import read_wcs

    path, chosen = split_hdu(name)
    hdus = scan_fits(path)
    if chosen is None:
        hdu = hdus[0]
    else:
        found = [h for h in hdus if chosen in (h.index, h.name)]
        if not found:
            raise FormatError(f"Can't find HDU {chosen} of {path}: it has {len(hdus)}", path=path)
        hdu = found[0]
    label = name if chosen is not None else path
    axes = (1, 2)
    wcs = None
    if hdu.is_image:
        try:
            wcs, axes = read_wcs(hdu.cards, hdu.naxis, where=label, path=path)
        except WcsError:
            if use_wcs:
                raise
    elif not hdu.naxis or not hdu.is_image:
        raise FormatError(f"{label} has no image in HDU {hdu.index}", hint="choose one as file.fits[1]", path=path)
    return fits_image(path, hdu, label=label, axes=axes).read(), wcs, hdu.cards.text("BUNIT")


def _flips(wcs: WCS | None) -> tuple[bool, bool]:
    """Whether x and y have to be turned over for east to the left and north up."""
    if wcs is None:
        return False, True
    matrix = wcs.pixel_scale_matrix
    lon, lat = wcs.wcs.lng, wcs.wcs.lat
    return bool(matrix[lon, 0] > 0), bool(matrix[lat, 1] > 0)


def _common_grid(layers: list[_Layer], *, strict: bool) -> tuple[tuple[int, int], list[tuple[int, int]], WCS | None]:
    """Shape that holds all layers, their whole-pixel offsets (y, x) in it, and its coordinates."""
    first = layers[0].wcs
    corners: list[tuple[int, int]] = []
    for layer, colour in zip(layers, ("red", "green", "blue"), strict=False):
        wcs = layer.wcs
        if first is None or wcs is None:
            corners.append((0, 0))
            continue
        if strict and not _same_projection(first, wcs):
            raise InputError(
                f"Red and {colour} FITS images don't have matching projections (use -nowcs flag if you still want to proceed)."
            )
        corners.append((round(float(first.wcs.crpix[1] - wcs.wcs.crpix[1])), round(float(first.wcs.crpix[0] - wcs.wcs.crpix[0]))))
    low = tuple(min(c[k] for c in corners) for k in (0, 1))
    high = tuple(max(c[k] + layer.data.shape[k] for c, layer in zip(corners, layers, strict=True)) for k in (0, 1))
    shape = (high[0] - low[0], high[1] - low[1])
    if shape[0] * shape[1] > 4 * sum(layer.data.size for layer in layers):
        raise InputError("the three images lie too far apart for one picture")
    offsets = [(c[0] - low[0], c[1] - low[1]) for c in corners]
    if first is None or low == (0, 0):
        return shape, offsets, first
    moved = first.deepcopy()
    moved.wcs.crpix = [first.wcs.crpix[0] - low[1], first.wcs.crpix[1] - low[0]]
    return shape, offsets, moved


def _same_projection(a: WCS, b: WCS) -> bool:
    return (
        list(a.wcs.ctype) == list(b.wcs.ctype)
        and np.allclose(a.wcs.crval, b.wcs.crval, rtol=0.0, atol=_SAME_DEG)
        and np.allclose(a.pixel_scale_matrix, b.pixel_scale_matrix, rtol=1e-9, atol=1e-14)
    )


def _coloured(spec: PictureSpec, layers: list[_Layer], shape: tuple[int, int], offsets: list[tuple[int, int]]) -> AnyArray:
    """RGBA picture, first row of the image first; worked out in bands of rows."""
    from nbmosaic.views.sky_picture import colour_table

    ny, nx = shape
    picture = np.empty((ny, nx, 4), np.uint8)
    opaque = round(255 * spec.alpha)
    step = max(1, _BAND_PIXELS // max(nx, 1))
    for y0 in range(0, ny, step):
        band = slice(y0, min(y0 + step, ny))
        levels = np.stack([_levels(layer, band, nx, offset) for layer, offset in zip(layers, offsets, strict=True)], axis=-1)
        blank = np.isnan(levels)
        levels[blank] = spec.blank_level
        if len(layers) == 1:
            index = np.floor(np.minimum(levels[..., 0], 255.0) + 0.5).astype(np.uint8)
            colours = colour_table(spec.colour_table)[index].astype(np.float64)
            colours[blank[..., 0]] = spec.blank_level
            zero = (index == 0) | blank[..., 0]
        else:
            colours = np.floor(preserve_colour(levels, spec.true_color))
            zero = (colours == 0.0).all(axis=-1)
        for k in range(3):
            channel = layers[min(k, len(layers) - 1)].channel
            picture[band, :, k] = _adjusted(colours[..., k], channel)
        picture[band, :, 3] = np.where(zero, 0, opaque) if spec.transparent_blank else opaque
    return picture


def _levels(layer: _Layer, band: slice, nx: int, offset: tuple[int, int]) -> FloatArray:
    """Grey levels of a band of rows of the common grid; NaN outside the layer."""
    ny, width = layer.data.shape
    rows = slice(max(band.start - offset[0], 0), min(band.stop - offset[0], ny))
    if rows.start == band.start and rows.stop == band.stop and width == nx:
        return grey_levels(layer.data[rows], layer.stretch)
    levels = np.full((band.stop - band.start, nx), np.nan)
    if rows.stop > rows.start:
        top = rows.start + offset[0] - band.start
        levels[top : top + rows.stop - rows.start, offset[1] : offset[1] + width] = grey_levels(layer.data[rows], layer.stretch)
    return levels


def _adjusted(values: FloatArray, channel: Channel) -> AnyArray:
    """Brightness added, then contrast about level 128 with the factor 259 (c + 255) / (255 (259 - c))."""
    if channel.brightness or channel.contrast:
        factor = 259.0 * (channel.contrast + 255.0) / (255.0 * (259.0 - channel.contrast))
        values = factor * (values + channel.brightness - 128.0) + 128.0
    result: Any = np.clip(values, 0.0, 255.0).astype(np.uint8)
    return result


def equalised(mosaic: Mosaic) -> tuple[Any, str]:
    """Quicklook in mViewer's gaussian-log stretch, which shows the faintest and the brightest parts at once.

    Parameters
    ----------
    mosaic : Mosaic
        What to draw.

    Returns
    -------
    tuple
        Axes, and what they show in words.
    """
    from nbmosaic.pipeline.quicklook import mosaic_alt
    from nbmosaic.views.look import Stretch

    if not np.isfinite(mosaic.data).any():
        return mosaic.plot(), mosaic_alt(mosaic)
    stretch = stretch_range(Statistics.of(mosaic.data), parse_limit("-2s"), parse_limit("max"), "gaussian-log")
    assert stretch.table is not None
    # Equal values of a mosaic with few levels would make the table flat, and a colour bar needs one value for each colour.
    rising = np.maximum.accumulate(stretch.table) + np.arange(256.0) * max(abs(stretch.high - stretch.low), 1e-30) * 1e-9
    drawn = mosaic.plot(stretch=Stretch("table", float(rising[0]), float(rising[-1]), table=rising))
    return drawn, f"{mosaic_alt(mosaic)}, histogram equalised"
