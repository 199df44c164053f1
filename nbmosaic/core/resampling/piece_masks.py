"""Masks of resampled pieces: IRAF's rule of 1/10000, and flags that tell bad pixels, edges and gaps apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, Float32Array
from nbmosaic.core.resampling.piece_maps import open_window
from nbmosaic.core.resampling.piece_sampler import PieceSampler, checked_section
from nbmosaic.core.resampling.piece_taps import tap_table
from nbmosaic.core.resampling.segments import covers, map_segments, read_only
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.errors import ConfigError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import Interpolant, PieceFlag

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["MASK_HIGH", "MASK_OUTSIDE", "TOUCHED_WEIGHT", "piece_flags", "resample_codes", "resample_mask", "touched_pixels"]

MASK_HIGH = 10000.0
MASK_OUTSIDE = 20000.0
_LARGEST_CODE = 65535
TOUCHED_WEIGHT = 0.01
"""Weight from which on a bad pixel counts as part of an output pixel that was made with it.

The weights of a spline stay below it from the fourth pixel beside the position on, those of a sinc of 31 taps from the tenth; what a bad pixel rings
beyond is less than 0.01 of its value.
"""


def resample_mask(
    bad: BoolArray,
    forward: PixelMap,
    *,
    interpolant: Interpolant,
    section: PixelBox | None = None,
    outside: float = MASK_OUTSIDE,
    within: PixelBox | None = None,
    workspace: Workspace | None = None,
) -> AnyArray:
    """Resample a mask as IRAF does: as an image of 0 and 10000, with a constant beyond the section.

    Parameters
    ----------
    bad : ndarray of bool, shape (ny, nx)
        True where a pixel of the whole piece is bad.
    forward : PixelMap
        As for `resample_piece`.
    interpolant : Interpolant
        The kernel; it decides how far a bad pixel spreads.
    section : PixelBox, optional
        The valid pixels of the piece (default: all). The mask ends there.
    outside : float
        Value beyond the section: 20000, or 10000 as the older task has it.
    within : PixelBox, optional
        Output pixels whose centre lies beyond these pixels of the piece are `outside` too.
    workspace : Workspace, optional
        Buffers to use; the result is then a view that holds until the workspace is used again.

    Returns
    -------
    ndarray of uint16, over ``forward.box``
        The absolute value, cut to a whole number: 0 where bad pixels and the outside have less than 1/10000 of the weight, 10000 for a bad pixel,
        `outside` beyond the section and where the map is undefined. mscimage's code is 0 where this is 0, else ``int(value / 10010 + 1)``: 1 touched
        by bad pixels, 2 mostly outside.

    Examples
    --------
    >>> from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map
    >>> corners = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])
    >>> fitted = fit_surface_map(corners, corners + 0.25, geometry="shift")
    >>> mask = np.zeros((10, 10), bool)
    >>> mask[:, 4] = True
    >>> resample_mask(mask, pixel_map(fitted, PixelBox(0, 2, 2, 6)), interpolant=Interpolant.parse("linear"))[0].tolist()
    [0, 2500, 7500, 0]
    """
    shape = (bad.shape[0], bad.shape[1])
    section = checked_section(section, shape)
    if not 0 <= outside <= _LARGEST_CODE:
        raise ConfigError(f"the value of a mask beyond the edges must be 0 to {_LARGEST_CODE}, not {outside:g}")
    workspace = Workspace() if workspace is None else workspace
    kernel = PieceSampler(interpolant, shape, "constant", workspace)
    out = workspace.array("codes", forward.box.shape, np.uint16)
    if interpolant.kind == "linear":
        _linear_mask(bad, forward, kernel, section, outside, out, within)
        return out
    image = kernel.empty("image")
    image.fill(outside)
    np.multiply(bad[section.slices()], np.float32(MASK_HIGH), out=kernel.inner(image)[section.slices()])
    values = workspace.array("data", forward.box.shape, np.float32)
    kernel.run(image, forward, values, within=within)
    np.abs(values, out=values)
    np.minimum(values, _LARGEST_CODE, out=values)
    values[np.isnan(values)] = outside
    out[...] = values
    return out


def resample_codes(
    bad: BoolArray,
    forward: PixelMap,
    data: Float32Array,
    *,
    interpolant: Interpolant,
    section: PixelBox | None = None,
    blank: float | None = None,
    workspace: Workspace | None = None,
) -> AnyArray:
    """IRAF's codes of a resampled mask, see `nbmosaic.core.camera_combine.mask_codes`; for ``linear`` in one pass.

    Parameters
    ----------
    bad, forward, interpolant, section, workspace
        As for `resample_mask`.
    data : ndarray of float32, over ``forward.box``
        The resampled piece; `blank` is written where the code is 2.
    blank : float, optional
        See `data`; None leaves the values.

    Returns
    -------
    ndarray of uint8, over ``forward.box``
        0 good, 1 touched by bad pixels, 2 mostly out of bounds.
    """
    from nbmosaic.core.camera_combine import mask_codes
    from nbmosaic.core.resampling.piece_kernels import codes_linear

    workspace = Workspace() if workspace is None else workspace
    segments = map_segments(forward)
    if interpolant.kind != "linear" or not covers(segments, forward.box.shape):
        return mask_codes(resample_mask(bad, forward, interpolant=interpolant, section=section, workspace=workspace), data, blank=blank)
    shape = (bad.shape[0], bad.shape[1])
    kernel = PieceSampler(interpolant, shape, "constant", workspace)
    codes = read_only(_section_codes(bad, kernel, checked_section(section, shape), 2), np.uint8)
    window = read_only(open_window(shape, kernel.pad, 0, 1, centred=False), np.float64)
    out = workspace.array("codes", forward.box.shape, np.uint8)
    for segment in segments:
        codes_linear(codes, data, int(blank is not None), 0.0 if blank is None else blank, *segment.arguments(window, out))
    return out


def touched_pixels(
    bad: BoolArray, forward: PixelMap, *, interpolant: Interpolant, within: PixelBox | None = None, workspace: Workspace | None = None
) -> BoolArray:
    """Output pixels in which bad pixels have a weight, where these were read as they are.

    Parameters
    ----------
    bad, forward, within, workspace
        As for `resample_mask`; bad pixels of the rim count, as kernels read them.
    interpolant : Interpolant
        The kernel of the data.

    Returns
    -------
    ndarray of bool, over ``forward.box``
        True where the root of the sum of the squared weights of bad pixels is `TOUCHED_WEIGHT` or more: wherever a single one has that weight, of either
        sign, and where several come together to it. Weights of opposite sign do not cancel.

    Examples
    --------
    >>> from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map
    >>> corners = np.array([[0.0, 0], [19, 0], [0, 19], [19, 19]])
    >>> shifted = fit_surface_map(corners, corners + 0.5, geometry="shift")
    >>> mask = np.zeros((20, 20), bool)
    >>> mask[:, 10] = True
    >>> np.flatnonzero(touched_pixels(mask, pixel_map(shifted, PixelBox(8, 9, 0, 19)), interpolant=Interpolant.parse("poly5"))[0]).tolist()
    [8, 9, 10, 11]
    """
    workspace = Workspace() if workspace is None else workspace
    kernel = PieceSampler(interpolant, (bad.shape[0], bad.shape[1]), "constant", workspace)
    image = kernel.empty("image")
    image.fill(0)
    kernel.inner(image)[...] = bad
    weights = workspace.array("data", forward.box.shape, np.float32)
    kernel.run(image, forward, weights, squared=True, within=within)
    return np.asarray(weights >= TOUCHED_WEIGHT**2)  # NaN, beyond the piece, is not


def _section_codes(bad: BoolArray, kernel: PieceSampler, section: PixelBox, beyond: int) -> AnyArray:
    """Padded plane: 1 at bad pixels, `beyond` outside of the section."""
    codes = kernel.empty("codes_in", np.uint8)
    codes.fill(beyond)
    kernel.inner(codes)[section.slices()] = bad[section.slices()]
    return codes


def _linear_mask(
    bad: BoolArray, forward: PixelMap, kernel: PieceSampler, section: PixelBox, outside: float, out: AnyArray, within: PixelBox | None
) -> None:
    from nbmosaic.core.resampling.piece_kernels import mask_linear

    codes = read_only(_section_codes(bad, kernel, section, 2), np.uint8)
    segments = map_segments(forward)
    if not covers(segments, forward.box.shape):
        out.fill(int(outside))
    window = read_only(open_window(kernel.shape, kernel.pad, 0, 1, centred=False, within=within), np.float64)
    for segment in segments:
        mask_linear(codes, MASK_HIGH, outside, *segment.arguments(window, out))


def piece_flags(bad: BoolArray, forward: PixelMap, *, interpolant: Interpolant, section: PixelBox | None = None) -> AnyArray:
    """Tell bad pixels, edges, the outside and the undefined apart.

    Parameters
    ----------
    bad, forward, section
        As for `resample_mask`.
    interpolant : Interpolant
        The kernel whose footprint counts: a flag is set if a pixel has any place in it, however small its weight.

    Returns
    -------
    ndarray of uint8, over ``forward.box``
        Sums of `nbmosaic.types.camera.PieceFlag`.
    """
    from nbmosaic.core.resampling.piece_kernels import gather_codes

    shape = (bad.shape[0], bad.shape[1])
    section = checked_section(section, shape)
    kernel = PieceSampler(interpolant, shape, "constant", Workspace())
    inside = np.zeros((shape[0] + 2 * kernel.pad, shape[1] + 2 * kernel.pad), bool)
    kernel.inner(inside)[section.slices()] = True
    marked = np.zeros(inside.shape, bool)
    kernel.inner(marked)[section.slices()] = bad[section.slices()]
    before, after, centred = kernel.arguments()[2] if interpolant.kind not in ("linear", "drizzle") else (0, 1, False)
    taps = tap_table(interpolant).rows if interpolant.kind not in ("nearest", "linear", "drizzle") else 0
    after = taps - 1 - before if taps else after
    codes = _spread(marked, before, after) * np.uint8(PieceFlag.BAD) + _spread(~inside, before, after) * np.uint8(PieceFlag.EDGE)
    segments = map_segments(forward)
    out = np.full(forward.box.shape, int(PieceFlag.NO_DATA), np.uint8)
    window = read_only(open_window(shape, kernel.pad, 0, 1, centred=centred), np.float64)
    near = np.full(forward.box.shape, int(PieceFlag.NO_DATA), np.uint8)
    nearest = read_only(open_window(shape, kernel.pad, 0, 1, centred=True), np.float64)
    beyond = read_only(~inside * np.uint8(PieceFlag.OUTSIDE), np.uint8)
    for segment in segments:
        gather_codes(read_only(codes, np.uint8), *segment.arguments(window, out))
        gather_codes(beyond, *segment.arguments(nearest, near))
    return out | near


def _spread(plane: BoolArray, before: int, after: int) -> BoolArray:
    """Where a footprint that begins `before` pixels before and ends `after` pixels after a pixel holds a marked one; the outermost count as they are."""
    for axis in (0, 1):
        wide = plane.copy()
        for step in range(-before, after + 1):
            source, target = [slice(None)] * 2, [slice(None)] * 2
            source[axis] = slice(max(0, step), plane.shape[axis] + min(0, step))
            target[axis] = slice(max(0, -step), plane.shape[axis] + min(0, -step))
            wide[tuple(target)] |= plane[tuple(source)]
        plane = wide
    return plane
