"""Checked input of an image fit, and its start: the same for every estimator."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nbmosaic._types import BoolArray, FloatArray
from nbmosaic.core.psf.image_fit_assemble import FitBounds, fit_bounds
from nbmosaic.core.psf.image_fit_plane import ReferenceSpectrum, reference_spectrum
from nbmosaic.core.psf.image_fit_start import FitStart, find_start
from nbmosaic.core.psf.same_arrays import SameArrays
from nbmosaic.errors import AlgorithmError, ConfigError, ShapeError
from nbmosaic.types.photometry import FitFrame, ParameterSpec

__all__ = ["FitSetting", "prepare_image_fit"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitSetting:
    """Everything that an estimator needs.

    Attributes
    ----------
    reference, image : FitFrame
        As given.
    offset : tuple of int
        Pixel of the reference on which pixel (0, 0) of the image lies.
    sky_mask : ndarray of bool, shape (ny, nx)
        Sky that is not compared, on the grid of the image and at the offset of the reference.
    parameters : dict of str to ParameterSpec
    bounds : FitBounds
    spectrum : ReferenceSpectrum
    start : FitStart
    variance : ndarray, shape (ny, nx)
        Of the image; 1 where none was given.
    usable : ndarray of bool, shape (ny, nx)
        Pixels of the image that are good.
    margin_arcsec, taper, hst_psf, noise, linear_map
        Options of `nbmosaic.core.psf.image_fit.fit_image`.
    notes : tuple of str
        What was found on the way.
    """

    reference: FitFrame
    image: FitFrame
    offset: tuple[int, int]
    sky_mask: BoolArray
    parameters: dict[str, ParameterSpec]
    bounds: FitBounds
    spectrum: ReferenceSpectrum
    start: FitStart
    variance: FloatArray
    usable: BoolArray
    margin_arcsec: float
    taper: int
    hst_psf: tuple[float, float]
    noise: str
    linear_map: bool = False
    notes: tuple[str, ...] = ()

    @property
    def step(self) -> tuple[float, float]:
        """``(dy, dx)`` arcsec."""
        return self.image.step_arcsec

    def reference_part(self, array: FloatArray | BoolArray, fill: float) -> FloatArray:
        """An array of the reference on the frame of the image; `fill` where it does not reach."""
        (oy, ox), (ny, nx) = self.offset, self.image.shape
        out = np.full((ny, nx), fill)
        y0, x0 = max(-oy, 0), max(-ox, 0)
        part = array[max(oy, 0) : oy + ny, max(ox, 0) : ox + nx]
        out[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
        return out


def prepare_image_fit(
    reference: FitFrame,
    image: FitFrame,
    *,
    parameters: dict[str, ParameterSpec],
    sky_mask: BoolArray | None,
    offset: tuple[int, int],
    margin_arcsec: float,
    taper: int,
    hst_psf: tuple[float, float],
    noise: str,
    linear_map: bool = False,
) -> FitSetting:
    """Check the input of an image fit and find its start.

    Raises
    ------
    ShapeError
        Shapes or pixel sizes do not agree.
    ConfigError
        An option out of range.
    AlgorithmError
        Nothing is left to compare, or one of the images is constant.
    """
    _check_frames(reference, image, sky_mask, offset)
    if not (margin_arcsec >= 0.0 and hst_psf[0] >= 0.0 and taper >= 0):
        raise ConfigError(f"margin {margin_arcsec:g}, taper {taper} or hst_fwhm {hst_psf[0]:g} is negative", hint="give 0 or more")
    variance, usable, notes = _usable(image)
    sky = np.zeros(image.shape, bool) if sky_mask is None else np.asarray(sky_mask, bool)
    _check_content(reference, image, usable & ~sky)
    spectrum = reference_spectrum(
        reference.data,
        reference.good,
        offset=offset,
        shape=image.shape,
        step_arcsec=image.step_arcsec,
        margin_arcsec=margin_arcsec,
        hst_fwhm=hst_psf[0],
        hst_beta=hst_psf[1],
    )
    start = _start(reference, image, usable & ~sky, spectrum, offset, parameters)
    return FitSetting(
        reference=reference,
        image=image,
        offset=offset,
        sky_mask=sky,
        parameters=parameters,
        bounds=fit_bounds(parameters, min(image.step_arcsec)),
        spectrum=spectrum,
        start=start,
        variance=variance,
        usable=usable,
        margin_arcsec=margin_arcsec,
        taper=taper,
        hst_psf=hst_psf,
        noise=noise,
        linear_map=linear_map,
        notes=notes,
    )


def _start(
    reference: FitFrame,
    image: FitFrame,
    compared: BoolArray,
    spectrum: ReferenceSpectrum,
    offset: tuple[int, int],
    parameters: dict[str, ParameterSpec],
) -> FitStart:
    """Start from both images cut by the same mask: what the mask does to their spectra is then alike."""
    (oy, ox), (ny, nx) = offset, image.shape
    part = (slice(oy, oy + ny), slice(ox, ox + nx))
    both = compared & reference.good[part]
    if not both.any():
        raise AlgorithmError("the good pixels of image and reference do not overlap", hint="check the masks")
    return find_start(
        _reference_cut(SameArrays.of(reference.data[part], both), spectrum.grid.shape),
        _transform_cut(image.data, both, spectrum.grid.shape) * spectrum.response.astype(np.float32),
        spectrum.grid,
        (float(image.step_arcsec[0]), float(image.step_arcsec[1])),
        parameters,
    )


def _transform_cut(data: FloatArray, compared: BoolArray, shape: tuple[int, int]) -> NDArray[np.complexfloating]:
    """Transform of an image that is 0 where nothing is compared, in a frame of another shape; in single precision."""
    from scipy import fft

    full = np.zeros(shape, np.float32)
    full[: data.shape[0], : data.shape[1]] = np.where(compared, data - np.median(data[compared][::7]), 0.0)
    out: NDArray[np.complexfloating] = fft.rfft2(full)
    return out


@functools.lru_cache(maxsize=1)
def _reference_cut(reference: SameArrays, shape: tuple[int, int]) -> NDArray[np.complexfloating]:
    """The transform of the reference, kept for the next image with the same mask."""
    data, compared = reference.arrays()
    out = _transform_cut(data, compared, shape)
    out.flags.writeable = False
    return out


def _check_frames(reference: FitFrame, image: FitFrame, sky_mask: BoolArray | None, offset: tuple[int, int]) -> None:
    for frame, what in ((reference, "reference"), (image, "image")):
        if frame.data.ndim != 2 or frame.mask.shape != frame.data.shape:
            raise ShapeError(f"the {what} has shape {frame.data.shape} and its mask {frame.mask.shape}", hint="both must be (ny, nx)")
        if frame.variance is not None and frame.variance.shape != frame.data.shape:
            raise ShapeError(f"the variance of the {what} has shape {frame.variance.shape}, its data {frame.data.shape}")
    if sky_mask is not None and sky_mask.shape != image.shape:
        raise ShapeError(f"the sky mask has shape {sky_mask.shape}, the image {image.shape}", hint="give a mask on the grid of the image")
    if not np.allclose(reference.step_arcsec, image.step_arcsec, rtol=1e-3):
        raise ShapeError(
            f"pixels of the reference are {reference.step_arcsec} arcsec, those of the image {image.step_arcsec}",
            hint="regrid the reference first",
        )
    inside = all(o >= 0 and o + n <= r for o, n, r in zip(offset, image.shape, reference.shape, strict=True))
    if not inside:
        raise ShapeError(
            f"the reference of shape {reference.shape} does not cover the image of shape {image.shape} at offset {tuple(offset)}",
            hint="regrid the reference like the image, or give its offset",
        )


def _usable(image: FitFrame) -> tuple[FloatArray, BoolArray, tuple[str, ...]]:
    """Variance plane, usable pixels, and notes."""
    good = image.good
    if image.variance is None:
        return np.ones(image.shape), good, ()
    valid = np.isfinite(image.variance) & (image.variance > 0.0)
    lost = int(np.count_nonzero(good & ~valid))
    notes = (f"{lost} pixels without a positive variance were left out",) if lost else ()
    return np.where(valid, image.variance, 1.0).astype(np.float64), good & valid, notes


def _check_content(reference: FitFrame, image: FitFrame, compared: BoolArray) -> None:
    name = f" {image.name}" if image.name else ""
    if not compared.any():
        raise AlgorithmError(f"every pixel of the image{name} is masked", hint="check the masks and regions")
    if not reference.good.any():
        raise AlgorithmError("every pixel of the reference is masked", hint="check the overlap of the two images")
    if np.ptp(image.data[compared]) == 0.0:
        raise AlgorithmError(f"the image{name} is constant", hint="there is nothing to fit")
    if np.ptp(reference.data[reference.good]) == 0.0:
        raise AlgorithmError("the reference is constant", hint="there is no source to compare")
