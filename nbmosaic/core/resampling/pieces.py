"""Resampling of one piece of a mosaic camera, with IRAF's interpolants and its rules at the edges.

A piece is a frame and its map a pixel map, as in `nbmosaic.core.resampling.resample`; the kernels are of the same family. What differs:

* The interpolants are those of `nbmosaic.types.camera.INTERPOLANTS`, with IRAF's weights (see `nbmosaic.core.resampling.piece_taps`).
* Every output pixel has a value. Beyond the image it is made of the boundary rule's pixels: a constant, the nearest pixel, the image reflected at the
  outermost centres or repeated. Which pixels are worth something is what the area plane, the mask and the flags say.
* Pixels outside of the valid section (the trimmed rim) feed the kernels but count for nothing.
* Bad pixels are read as they are (``"flag"``, as IRAF does), left out, with the weights of the others divided by their sum (``"exclude"``), or
  filled from the good pixels around first (``"interpolate"``). Values that are not finite are filled in any case.

``exclude`` resamples the image with bad pixels at 0, and the good pixels as an image of 1 and 0, and divides: for every kernel, with its
true weights, also those that the spline spreads over all pixels. Where less than half of the weight is left the result is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, Float32Array
from nbmosaic.core.resampling.piece_maps import BOUNDARIES, open_window
from nbmosaic.core.resampling.piece_masks import piece_flags, resample_codes, resample_mask, touched_pixels
from nbmosaic.core.resampling.piece_sampler import PieceSampler, checked_section
from nbmosaic.core.resampling.points import MINIMUM_COVERAGE, Planes, source_planes
from nbmosaic.core.resampling.segments import covers, map_segments, multiply_by_area, read_only
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.errors import ConfigError, InputError, ShapeError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.camera import Interpolant, ResampledPiece
from nbmosaic.types.frame import FramePixels

if TYPE_CHECKING:
    from nbmosaic.core.geometry.pixmap import PixelMap

__all__ = ["BAD_PIXELS", "piece_flags", "resample_codes", "resample_mask", "resample_piece", "touched_pixels", "warmup"]

BAD_PIXELS = ("flag", "exclude", "interpolate")
_SMALLEST_AREA = 1e-6  # less is the rounding of positions on the edge


def resample_piece(
    pixels: FramePixels,
    forward: PixelMap,
    *,
    interpolant: Interpolant,
    boundary: str = "nearest",
    constant: float = 0.0,
    section: PixelBox | None = None,
    fluxconserve: bool = False,
    bad: str = "flag",
    with_area: bool = True,
    cut: bool = False,
    workspace: Workspace | None = None,
) -> ResampledPiece:
    """Resample a piece onto the pixels of its box on the output grid.

    Parameters
    ----------
    pixels : FramePixels
        The whole piece, rim included, shape (ny, nx). The data may be of any real type and byte order: they are made float32 on the way in,
        and results are never cut to integers. Not modified.
    forward : PixelMap
        Maps the pixel centres of the output to pixels of the piece, counted from 0 on the whole piece (offset 0).
    interpolant : Interpolant
        The kernel.
    boundary : str
        ``"nearest"``, ``"constant"``, ``"reflect"`` or ``"wrap"``: what lies beyond the piece.
    constant : float
        Value there for ``"constant"``.
    section : PixelBox, optional
        The valid pixels of the piece (default: all); the others feed the kernel, and count for nothing in the area and the weight.
    fluxconserve : bool
        Multiply by the area of the output pixel in input pixels (the variance by its square).
    bad : str
        ``"flag"``, ``"exclude"`` or ``"interpolate"``: see the module's text.
    with_area : bool
        Whether the area plane is wanted.
    cut : bool
        Whether values whose centre lies beyond the pixels of the section are NaN.
    workspace : Workspace, optional
        Buffers to use; the arrays of the result are then views that hold until the workspace is used again.

    Returns
    -------
    ResampledPiece
        Over ``forward.box``.

    Raises
    ------
    ConfigError
        An unknown boundary or treatment of bad pixels, or a constant that is not finite.
    ShapeError
        Planes that differ in shape, or an empty piece.
    InputError
        A section that is not inside the piece, or a piece without a good pixel where bad ones are to be replaced.

    Examples
    --------
    >>> from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map
    >>> corners = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])
    >>> fitted = fit_surface_map(corners, corners + 0.5, geometry="shift")
    >>> ramp = FramePixels(data=np.tile(np.arange(10, dtype=np.float32), (10, 1)))
    >>> piece = resample_piece(ramp, pixel_map(fitted, PixelBox(2, 4, 2, 6)), interpolant=Interpolant.parse("poly5"))
    >>> piece.data[0].tolist()
    [2.5, 3.5, 4.5, 5.5]
    """
    shape = _check(pixels, boundary, constant, bad)
    section = checked_section(section, shape)
    workspace = Workspace() if workspace is None else workspace
    kernel = PieceSampler(interpolant, shape, boundary, workspace)
    piece = _Piece(pixels, kernel, forward, section, cut=cut)
    planes = piece.planes(bad, constant, with_area=with_area)
    if fluxconserve:
        multiply_by_area(planes, map_segments(forward))
    return ResampledPiece(box=forward.box, data=planes.data, area=planes.area, weight=planes.weight, variance=planes.variance)


def _check(pixels: FramePixels, boundary: str, constant: float, bad: str) -> tuple[int, int]:
    if boundary not in BOUNDARIES:
        raise ConfigError(f"unknown boundary {boundary!r}", hint=f"use one of {', '.join(BOUNDARIES)}")
    if bad not in BAD_PIXELS:
        raise ConfigError(f"bad pixels cannot be treated by {bad!r}", hint=f"use one of {', '.join(BAD_PIXELS)}")
    if not np.isfinite(constant):
        raise ConfigError(f"the constant beyond the edges must be finite, not {constant}", hint="the area plane tells what lies beyond")
    if pixels.data.ndim != 2 or pixels.data.size == 0:
        raise ShapeError(f"a piece must have two axes with pixels, not the shape {pixels.data.shape}")
    for name in ("mask", "weight", "variance"):
        plane = getattr(pixels, name)
        if plane is not None and plane.shape != pixels.data.shape:
            raise ShapeError(f"the {name} plane has shape {plane.shape}, the data {pixels.data.shape}")
    return (pixels.data.shape[0], pixels.data.shape[1])


class _Piece:
    """One piece on its way through the kernels."""

    def __init__(self, pixels: FramePixels, kernel: PieceSampler, forward: PixelMap, section: PixelBox, *, cut: bool) -> None:
        self.pixels, self.kernel, self.forward, self.section = pixels, kernel, forward, section
        self.within = section if cut else None
        self.workspace = kernel.workspace

    def planes(self, bad: str, constant: float, *, with_area: bool) -> Planes:
        """All planes of the result."""
        kernel = self.kernel
        image = kernel.empty("image")
        n_bad, good = self._copy(image)
        replaced = n_bad > 0 and bad != "flag"
        if replaced and n_bad == image[kernel.pad : -kernel.pad, kernel.pad : -kernel.pad].size:
            raise InputError("the piece has no good pixel", hint="check its mask")
        if n_bad:
            self._mend(image, good, bad)
        kernel.close(image, constant)
        planes = Planes(data=self._out("data"))
        excluded = replaced and bad == "exclude"
        share = None
        if excluded and kernel.has_good and self.pixels.variance is None:
            kernel.run_good(
                image, self._good_coefficients(good, n_bad), self.forward, planes.data, minimum=MINIMUM_COVERAGE, within=self.within
            )
        else:
            kernel.run(image, self.forward, planes.data, within=self.within)
            share = self._share(good) if excluded else None
        if self.pixels.variance is not None:
            planes.variance = self._variance(good if n_bad else None, exclude=share is not None)
        if share is not None:
            self._divide(planes, share)
        if with_area or self.pixels.weight is not None:
            planes.area = self._area(good if n_bad else None)
        if self.pixels.weight is not None:
            planes.weight = self._weight(planes.area, good if n_bad else None)
        return planes

    def _out(self, name: str) -> Float32Array:
        out: Float32Array = self.workspace.array(name, self.forward.box.shape, np.float32)
        return out

    def _copy(self, image: Float32Array) -> tuple[int, AnyArray]:
        """Copy the data into the padded image; the number of bad pixels, and the padded plane of good ones if there are any bad."""
        from nbmosaic.core.resampling import fill

        pixels, pad = self.pixels, self.kernel.pad
        floating = np.issubdtype(pixels.data.dtype, np.floating)
        if floating or pixels.weight is not None or pixels.variance is not None:
            source = source_planes(pixels)
            n_bad = source.copy_count(pad, image)
            good = self.kernel.empty("good", np.uint8) if n_bad else np.empty((0, 0), np.uint8)
            if n_bad:
                fill.mark_good(*source.tests, pad, good)
            return n_bad, good
        self.kernel.inner(image)[...] = pixels.data
        n_bad = 0 if pixels.mask is None else int(np.count_nonzero(pixels.mask))
        good = np.empty((0, 0), np.uint8)
        if n_bad and pixels.mask is not None:
            good = self.kernel.empty("good", np.uint8)
            good.fill(0)
            np.logical_not(pixels.mask, out=self.kernel.inner(good), casting="unsafe")
        return n_bad, good

    def _mend(self, image: Float32Array, good: AnyArray, bad: str) -> None:
        """Take out of the padded image what must not be read."""
        from nbmosaic.core.resampling import fill

        if bad == "exclude":
            fill.zero_bad(image, good)
            return
        state = good
        if bad == "flag":
            if np.issubdtype(self.pixels.data.dtype, np.integer):
                return
            finite = np.isfinite(self.kernel.inner(image))
            if finite.all():
                return
            if not finite.any():
                raise InputError("the piece has no finite pixel", hint="check its data")
            state = self.kernel.empty("finite", np.uint8)
            state.fill(0)
            self.kernel.inner(state)[...] = finite
        fill.fill_bad(image, state, self.kernel.pad, self.workspace.array("scratch", self.kernel.shape, np.float32).reshape(-1))

    def _good_plane(self, good: AnyArray) -> Float32Array:
        """Padded plane of 1 at good pixels and 0 at bad ones; what the constant gives counts as good."""
        image: Float32Array = self.kernel.empty("plane")
        image[...] = good
        self.kernel.close(image, 1.0)
        return image

    def _good_coefficients(self, good: AnyArray, n_bad: int) -> Float32Array:
        """The same as the kernel reads it: for a spline as coefficients."""
        from nbmosaic.core.resampling.prefilter import FEW, prefilter, prefilter_good

        kernel = self.kernel
        if kernel.interpolant.kind != "spline3":
            return self._good_plane(good)
        if n_bad > FEW * good.size:
            plane = self._good_plane(good)
            prefilter(plane, 0)
            return plane
        kernel.close(good, 1)  # only its padding changes, which nothing else reads
        plane = kernel.empty("plane")
        prefilter_good(good, plane)
        return plane

    def _share(self, good: AnyArray) -> Float32Array:
        """Weight that good pixels have in each output pixel."""
        share = self._out("share")
        self.kernel.run(self._good_plane(good), self.forward, share)
        return share

    def _variance(self, good: AnyArray | None, *, exclude: bool) -> Float32Array:
        """Sum of the squared weights times the variances."""
        from nbmosaic.core.resampling import fill

        kernel = self.kernel
        image = kernel.empty("plane")
        kernel.inner(image)[...] = self.pixels.variance
        if good is not None and exclude:
            fill.zero_bad(image, good)
        elif good is not None:
            fill.fill_bad(image, good, kernel.pad, self.workspace.array("scratch", kernel.shape, np.float32).reshape(-1))
        kernel.close(image, 0.0)
        out = self._out("variance")
        kernel.run(image, self.forward, out, squared=True, within=self.within)
        return out

    def _divide(self, planes: Planes, share: Float32Array) -> None:
        """Divide by the weight of the good pixels, NaN where it is too small."""
        with np.errstate(invalid="ignore"):
            share[~(share >= MINIMUM_COVERAGE)] = np.nan
        planes.data /= share
        if planes.variance is not None:
            planes.variance /= share * share

    def _counted(self, good: AnyArray | None) -> AnyArray:
        """Padded plane of the good pixels of the section."""
        counted = self.kernel.empty("counted", np.uint8)
        counted.fill(0)
        where = self.section.slices()
        self.kernel.inner(counted)[where] = 1 if good is None else self.kernel.inner(good)[where]
        return counted

    def _area(self, good: AnyArray | None) -> Float32Array:
        from nbmosaic.core.resampling import kernels

        out = self._out("area")
        plain = self.kernel.interpolant.kind == "nearest"
        image = self._counted(good).astype(np.float32) if plain else read_only(self._counted(good), np.uint8)
        self._sample(kernels.nearest if plain else kernels.coverage, image, out, centred=plain)
        np.nan_to_num(out, copy=False)
        return out

    def _weight(self, area: Float32Array | None, good: AnyArray | None) -> Float32Array:
        from nbmosaic.core.resampling import fill, kernels

        assert area is not None
        counted = self._counted(good)
        image = self.kernel.empty("plane")
        self.kernel.inner(image)[...] = self.pixels.weight
        image[: self.kernel.pad] = image[-self.kernel.pad :] = 0
        image[:, : self.kernel.pad] = image[:, -self.kernel.pad :] = 0
        fill.zero_bad(image, counted)
        out = self._out("weight")
        plain = self.kernel.interpolant.kind == "nearest"
        self._sample(kernels.nearest if plain else kernels.linear, image, out, centred=plain)
        seen = area > _SMALLEST_AREA
        np.divide(out, area, out=out, where=seen)
        out[~seen] = 0
        return out

    def _sample(self, kernel: Any, image: AnyArray, out: Float32Array, *, centred: bool) -> None:
        """Run a kernel of the plain family over a padded plane that is 0 beyond the piece."""
        segments = map_segments(self.forward)
        if not covers(segments, self.forward.box.shape):
            out.fill(0)
        window = read_only(open_window(self.kernel.shape, self.kernel.pad, 0, 1, centred=centred), np.float64)
        fixed = read_only(image, image.dtype.type)
        for segment in segments:
            kernel(fixed, *segment.arguments(window, out))


def warmup() -> None:
    """Compile the kernels of all interpolants, with the signatures that `resample_piece` uses, into numba's cache.

    Examples
    --------
    >>> warmup()
    """
    from nbmosaic.core.geometry.fitted_map import fit_surface_map, pixel_map

    corners = np.array([[0.0, 0], [20, 0], [0, 20], [20, 20]])
    forward = pixel_map(fit_surface_map(corners, corners + 0.25, geometry="shift"), PixelBox(0, 20, 0, 20))
    plane = np.ones((20, 20), np.float32)
    bad = np.eye(20, dtype=bool)
    for text in ("nearest", "linear", "poly3", "poly5", "spline3", "sinc7", "drizzle"):
        kernel = Interpolant.parse(text)
        for treatment in BAD_PIXELS:
            resample_piece(FramePixels(data=plane, mask=bad, weight=plane, variance=plane), forward, interpolant=kernel, bad=treatment)
        for few in (bad, bad & (np.arange(20) == 3)):
            resample_piece(FramePixels(data=plane, mask=few), forward, interpolant=kernel, bad="exclude", cut=True)
        resample_mask(bad, forward, interpolant=kernel)
        resample_codes(bad, forward, plane.copy(), interpolant=kernel)
        piece_flags(bad, forward, interpolant=kernel)
