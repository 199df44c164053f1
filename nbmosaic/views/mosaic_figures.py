"""Pictures of mosaics: quicklook, coverage, footprints, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, FloatArray, IntArray
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import Footprint
from nbmosaic.views.axes import RIGHT, fit_aspect, label_graticule, new_axes, new_pair
from nbmosaic.views.figures import figure_png
from nbmosaic.views.labels import place_labels, short_names
from nbmosaic.views.look import IMAGE_MAP, SERIES, Stretch, add_colour_bar, blank_aware, house_style, robust_stretch, with_unit
from nbmosaic.views.preview import block_mean

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["image_png", "plot_before_after", "plot_coverage", "plot_footprints", "plot_image"]

PREVIEW_SIZE = 900


@house_style
def plot_image(
    data: AnyArray,
    wcs: WCS | None = None,
    *,
    ax: Axes | None = None,
    title: str = "",
    unit: str = "",
    label: str = "surface brightness",
    stretch: str | Stretch = "asinh",
    limits: tuple[float, float] | None = None,
    cmap: str = IMAGE_MAP,
    max_size: int = PREVIEW_SIZE,
    colour_bar: bool = True,
) -> Axes:
    """Draw a quicklook of an image with sky coordinates.

    The image is shrunk by block means before it is drawn, so the cost hardly grows with its size.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Image; pixels that are not finite get a colour of their own.
    wcs : astropy.wcs.WCS, optional
        Celestial coordinates of its pixels; without them the axes count pixels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure. Its data coordinates are pixels of `data`, whatever the shrinking.
    title : str
        Title.
    unit : str
        Unit of the values, shown on the colour bar.
    label : str
        What the values are.
    stretch : {"asinh", "linear", "zscale"} or Stretch
        How values become colours, see `robust_stretch`.
    limits : tuple of float, optional
        First and last value of the colours; default: robust percentiles.
    cmap : str
        matplotlib's name of a colour map.
    max_size : int
        Longest side of the picture drawn, in pixels.
    colour_bar : bool
        Whether to add a colour bar.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Examples
    --------
    >>> axes = plot_image(np.eye(4), unit="DN", stretch="linear")
    >>> axes.get_xlabel()
    'x [pix]'
    """
    small, factor = block_mean(data, max_size)
    chosen = stretch if isinstance(stretch, Stretch) else robust_stretch(small, kind=stretch, limits=limits)
    fresh = ax is None
    if ax is None:
        ax = new_axes(data.shape, wcs, right=RIGHT if colour_bar else 0.3)
    mappable = _draw(ax, small, factor, data.shape, norm=chosen.norm(), cmap=cmap)
    stretched = fit_aspect(ax, data.shape)
    if fresh and wcs is not None:
        label_graticule(ax, wcs, data.shape)
    if title or stretched:
        ax.set_title(with_unit(f"{title} (not to scale)".strip() if stretched else title, None))
    if not np.isfinite(small).any():
        ax.text(0.5, 0.5, "no valid pixel", transform=ax.transAxes, ha="center", va="center")
    elif colour_bar:
        add_colour_bar(mappable, ax, with_unit(label, unit), ticks=chosen.ticks, beside=fresh)
    return ax


def _draw(ax: Any, small: AnyArray, factor: int, shape: tuple[int, int], *, norm: Any, cmap: str) -> Any:
    """Draw a shrunken image so that data coordinates are pixels of the whole one."""
    ny, nx = small.shape
    extent = (-0.5, nx * factor - 0.5, -0.5, ny * factor - 0.5)
    mappable = ax.imshow(small, origin="lower", extent=extent, cmap=blank_aware(cmap), norm=norm, interpolation="nearest")
    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(-0.5, shape[0] - 0.5)
    return mappable


def image_png(data: AnyArray, wcs: WCS | None = None, *, width: int = 760, **options: Any) -> bytes:
    """PNG of a quicklook, for the HTML form of a result; `options` go to `plot_image`."""
    # 560 pixels fill the part of a 760 pixel picture that is not labels; more would only be shrunk again.
    return figure_png(plot_image(data, wcs, **{"max_size": width * 3 // 4, **options}), width)


@house_style
def plot_coverage(
    area: AnyArray, wcs: WCS | None = None, *, ax: Axes | None = None, title: str = "coverage", unit: str = "frames", label: str = "area"
) -> Axes:
    """Draw how often each pixel of a mosaic was seen.

    Parameters
    ----------
    area : ndarray, shape (ny, nx)
        Coverage or number of frames; pixels without any are drawn as blank.
    wcs : astropy.wcs.WCS, optional
        Celestial coordinates.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.
    title, unit, label : str
        Title; unit and name on the colour bar.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    small, factor = block_mean(area, PREVIEW_SIZE)
    seen = np.where(small > 0, small, np.nan)
    fresh = ax is None
    if ax is None:
        ax = new_axes(area.shape, wcs)
    top = float(np.nanmax(seen)) if np.isfinite(seen).any() else 1.0
    mappable = _draw(ax, seen, factor, area.shape, norm=Stretch("linear", 0.0, top).norm(), cmap="viridis")
    if fit_aspect(ax, area.shape):
        title = f"{title} (not to scale)"
    ax.set_title(with_unit(title, None))
    if np.isfinite(seen).any():
        whole = top >= 2 and bool(np.all(np.mod(seen[np.isfinite(seen)], 1) == 0))
        add_colour_bar(mappable, ax, with_unit(label, unit), beside=fresh, whole_numbers=whole)
    else:
        ax.text(0.5, 0.5, "no pixel is covered", transform=ax.transAxes, ha="center", va="center")
    return ax


@house_style
def plot_before_after(
    before: AnyArray,
    after: AnyArray,
    wcs: WCS | None = None,
    *,
    figure: Figure | None = None,
    unit: str = "",
    titles: tuple[str, str] = ("before", "after background matching"),
    stretch: str | Stretch = "asinh",
    limits: tuple[float, float] | None = None,
) -> tuple[Axes, Axes]:
    """Draw two images side by side (or one above the other, if they are wide) with the same colours.

    Parameters
    ----------
    before, after : ndarray, shape (ny, nx)
        The images.
    wcs : astropy.wcs.WCS, optional
        Celestial coordinates of both.
    figure : matplotlib.figure.Figure, optional
        Where to draw; default: a new figure.
    unit : str
        Unit of the values.
    titles : tuple of str
        Titles of the two.
    stretch, limits
        As for `plot_image`; the percentiles are those of both images together.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        The two axes.
    """
    small = [block_mean(image, PREVIEW_SIZE // 2)[0] for image in (before, after)]
    chosen = stretch if isinstance(stretch, Stretch) else robust_stretch(*small, kind=stretch, limits=limits)
    panels = new_pair(before.shape, wcs, figure=figure)
    for axes, image, title in zip(panels, (before, after), titles, strict=True):
        plot_image(image, ax=axes, title=title, stretch=chosen, max_size=PREVIEW_SIZE // 2, colour_bar=False)
    if any(np.isfinite(image).any() for image in small):
        for axes in panels if panels[0].get_position().x0 == panels[1].get_position().x0 else panels[1:]:
            add_colour_bar(axes.images[0], axes, with_unit("surface brightness", unit), ticks=chosen.ticks)
    return panels


Outline = Footprint | PixelBox


@house_style
def plot_footprints(
    outlines: Sequence[Outline] | IntArray,
    names: Sequence[str] | None = None,
    wcs: WCS | None = None,
    *,
    ax: Axes | None = None,
    shape: tuple[int, int] | None = None,
    title: str = "",
    max_labels: int = 60,
    dashed: Sequence[int] = (),
) -> Axes:
    """Draw the outlines of frames.

    Parameters
    ----------
    outlines : sequence of Footprint or PixelBox, or ndarray of shape (m, 4)
        Outlines on the sky, or boxes ``ymin, ymax, xmin, xmax`` on the mosaic grid (half-open).
    names : sequence of str, optional
        Labels; default: the numbers of the frames.
    wcs : astropy.wcs.WCS, optional
        Grid of the mosaic. Without it, footprints are drawn as offsets on the sky about their middle, boxes in pixels.
    ax : matplotlib.axes.Axes, optional
        Where to draw (its data coordinates must be grid pixels if `wcs` is given); default: a new figure.
    shape : tuple of int, optional
        ``(ny, nx)`` of the mosaic, drawn as a dashed frame.
    title : str
        Title.
    max_labels : int
        No labels are drawn for more frames than this.
    dashed : sequence of int
        Frames that are drawn dashed and grey: those that do not take part.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    polygons, offsets = _polygons(outlines, wcs)
    points = np.concatenate(polygons) if polygons else np.zeros((0, 2))
    points = points[np.isfinite(points).all(axis=1)]
    if shape is not None and not offsets:
        points = np.concatenate([points, [(-0.5, -0.5), (shape[1] - 0.5, shape[0] - 0.5)]])
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (np.zeros(2), np.ones(2))
    fresh = ax is None
    if ax is None:
        ax = new_axes((int(1e4 * max(high[1] - low[1], 1e-9) / max(high[0] - low[0], 1e-9)), 10_000), wcs, right=0.3)
        if hasattr(ax, "coords"):
            ax.coords.grid(color="#888888", alpha=0.35, linewidth=0.5)
    for i, polygon in enumerate(polygons):
        closed = np.concatenate([polygon, polygon[:1]])
        out = i in dashed
        colour = "#777777" if out else SERIES[i % len(SERIES)]
        ax.plot(closed[:, 0], closed[:, 1], color=colour, linestyle="--" if out else "-", linewidth=1.0, alpha=0.9)
    if shape is not None and not offsets:
        x, y = shape[1] - 0.5, shape[0] - 0.5
        ax.plot([-0.5, x, x, -0.5, -0.5], [-0.5, -0.5, y, y, -0.5], color="#444444", linestyle="--", linewidth=1.0)
    if fresh:
        _frame_view(ax, low, high, offsets=offsets, wcs=wcs)
    centres = np.array([_centre(p) for p in polygons]).reshape(-1, 2)
    if len(polygons) <= max_labels:
        texts = short_names(names) if names is not None else [str(i) for i in range(len(polygons))]
        place_labels(ax, centres, texts, [SERIES[i % len(SERIES)] for i in range(len(polygons))])
    ax.set_title(with_unit(title or f"{len(polygons)} frame{'' if len(polygons) == 1 else 's'}", None))
    return ax


def _centre(polygon: FloatArray) -> FloatArray:
    """Mean of the vertices that are defined; NaN if none is."""
    good = polygon[np.isfinite(polygon).all(axis=1)]
    middle: FloatArray = good.mean(axis=0) if len(good) else np.full(2, np.nan)
    return middle


def _frame_view(ax: Axes, low: FloatArray, high: FloatArray, *, offsets: bool, wcs: WCS | None) -> None:
    """Limits, aspect and labels around all outlines."""
    pad = 0.04 * max(float((high - low).max()), 1e-9)
    ax.set_aspect("equal")
    ax.set_xlim(low[0] - pad, high[0] + pad)
    ax.set_ylim(low[1] - pad, high[1] + pad)
    if offsets:
        ax.invert_xaxis()
        ax.set_xlabel("offset to the east [deg]")
        ax.set_ylabel("offset to the north [deg]")
    elif wcs is None:
        ax.set_xlabel("x [pix]")
        ax.set_ylabel("y [pix]")


def _polygons(outlines: Sequence[Outline] | IntArray, wcs: WCS | None) -> tuple[list[FloatArray], bool]:
    """Vertices (x, y) of every outline, and whether they are offsets on the sky instead of pixels."""
    if isinstance(outlines, np.ndarray):
        outlines = [PixelBox(*map(int, row)) for row in outlines]
    sky = [o for o in outlines if isinstance(o, Footprint)]
    if sky and wcs is None:
        return _offsets(sky), True
    polygons = []
    for outline in outlines:
        if isinstance(outline, Footprint):
            from astropy.coordinates import SkyCoord

            x, y = SkyCoord(outline.lon, outline.lat, unit="deg").to_pixel(wcs)
            polygons.append(np.column_stack([x, y]).astype(np.float64))
        else:
            x0, x1, y0, y1 = outline.xmin - 0.5, outline.xmax - 0.5, outline.ymin - 0.5, outline.ymax - 0.5
            polygons.append(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]))
    return polygons, False


def _offsets(footprints: Sequence[Footprint]) -> list[FloatArray]:
    """Offsets in degrees about the mean direction of all vertices, east and north."""
    lon, lat = (np.radians(np.concatenate([getattr(f, k) for f in footprints])) for k in ("lon", "lat"))
    mean = np.nansum([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    lon0, lat0 = np.arctan2(mean[1], mean[0]), np.arctan2(mean[2], np.hypot(mean[0], mean[1]))
    out = []
    for f in footprints:
        dl, b = np.radians(f.lon) - lon0, np.radians(f.lat)
        # Zenithal equal-area: unlike the gnomonic projection it takes frames anywhere on the sky.
        cosine = np.sin(lat0) * np.sin(b) + np.cos(lat0) * np.cos(b) * np.cos(dl)
        k = np.degrees(np.sqrt(2.0 / np.maximum(1.0 + cosine, 1e-12)))
        east = k * np.cos(b) * np.sin(dl)
        north = k * (np.cos(lat0) * np.sin(b) - np.sin(lat0) * np.cos(b) * np.cos(dl))
        out.append(np.column_stack([east, north]))
    return out
