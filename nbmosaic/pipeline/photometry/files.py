"""Files of photometric fits: corrected images, and what was compared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbmosaic.errors import ConfigError
from nbmosaic.pipeline.recipe import choose

if TYPE_CHECKING:
    from nbmosaic._types import BoolArray, FloatArray, PathLike
    from nbmosaic.io.headers import Card
    from nbmosaic.pipeline.photometry.products import ImagePhotometry, Photometry
    from nbmosaic.pipeline.photometry.regridding import ReducedImage

__all__ = ["corrected_image", "file_prefix", "save_fit"]

_COPIED = ("ORIGIN", "TELESCOP", "MJD-OBS", "DATE-OBS", "OBSERVER", "OBJECT", "DATE", "FILTER")


def file_prefix(fit: Photometry) -> str:
    """Begin of the names of files about an image: its own name without ending; ``muse`` for an image in memory."""
    from nbmosaic.io.paths import file_stem, split_hdu

    if not fit.image.filename:
        return "muse"
    path = Path(split_hdu(fit.image.filename)[0])
    return str(path.with_name(file_stem(path.name)))


def corrected_image(
    fit: Photometry, path: PathLike | None, *, corrections: str | None, resample: bool, method: str, overwrite: bool
) -> ReducedImage:
    """Correct an image for a fit; see `nbmosaic.pipeline.photometry.products.Photometry.apply`."""
    from nbmosaic.core.psf.alignment import apply_corrections, correction_words
    from nbmosaic.io.output import check_output
    from nbmosaic.pipeline.photometry.regridding import ReducedImage

    words = correction_words(corrections)
    choose(method, ("spline", "lanczos3", "bilinear", "nearest"), option="method")
    if resample and "xy" not in words:
        raise ConfigError("resample moves the image, and xy is not among the corrections", hint="add xy, or leave out resample")
    if path is not None:
        check_output(path, overwrite=overwrite)
    image = apply_corrections(
        fit.image,
        dx=fit.dx.value,
        dy=fit.dy.value,
        scale=fit.scale.value,
        bg=fit.bg.value,
        corrections=corrections,
        resample=resample,
        method=method,
    )
    said = {
        "xy": f"moved by {-fit.dx.value:.5f}, {-fit.dy.value:.5f} arcsec ({method if resample else 'CRPIX'})",
        "zero": f"{fit.bg.value:.6g} subtracted",
        "scale": f"divided by {fit.scale.value:.6g}",
    }
    done = ", ".join(said[word] for word in ("xy", "zero", "scale") if word in words) or "no correction"
    flagged = tuple(f"{name} is {flag}" for name, flag in fit.flags.items() if name in {"dx", "dy", "scale", "bg"})
    out = ReducedImage(image, f"{fit.name or 'image'}: {done}", flagged)
    return out if path is None else out.save(path, overwrite=overwrite)


def save_fit(fit: ImagePhotometry, prefix: PathLike | None, *, overwrite: bool) -> tuple[str, ...]:
    """Write the compared images and their spectra; see `nbmosaic.pipeline.photometry.products.ImagePhotometry.save`."""
    from nbmosaic.core.psf.fit_pictures import plane_spectrum
    from nbmosaic.io.fits_write import write_image
    from nbmosaic.io.output import check_output

    full = fit.complete()
    result, image = full.result, full.image
    begin = file_prefix(fit) if prefix is None else str(prefix)
    parts = {"image": result.image, "hst_model": result.model, "residual": result.residual}
    names = [f"{begin}_{name}.fits" for name in parts]
    spectra = [f"{begin}_fft.fits", f"{begin}_hst_model_fft.fits", f"{begin}_residual_fft.fits"]
    for name in (*names, *spectra):
        check_output(name, overwrite=overwrite)
    (oy, ox), (ny, nx) = result.origin, result.image.shape
    wcs = image.wcs[oy : oy + ny, ox : ox + nx]
    cards: list[Card] = [(key, image.value(key)) for key in _COPIED if image.value(key) is not None]
    padded, spacing = _padded(full)
    middle: list[Card] = [("CRPIX1", padded[1] // 2 + 1), ("CRPIX2", padded[0] // 2 + 1), ("CRVAL1", 0.0), ("CRVAL2", 0.0)]
    middle += [("CD1_1", spacing[1], "cycles/degree"), ("CD1_2", 0.0), ("CD2_1", 0.0), ("CD2_2", spacing[0], "cycles/degree")]
    for (key, part), name, spectrum in zip(parts.items(), names, spectra, strict=True):
        write_image(name, _filled(part, result.good), wcs, unit=image.unit, cards=cards, overwrite=overwrite)
        level = 0.0 if key == "residual" or result.method == "imphot" else result["bg"].value
        plane = plane_spectrum(part, result.good, padded, level=level)
        write_image(spectrum, plane, None, unit=image.unit, cards=[*cards, *middle], overwrite=overwrite)
    return (*names, *spectra)


def _filled(part: FloatArray, good: BoolArray) -> FloatArray:
    return np.where(good, part, np.nan)


def _padded(fit: ImagePhotometry) -> tuple[tuple[int, int], tuple[float, float]]:
    """Shape of the transform (the next powers of two beyond image and margin, as in imphot), and its frequency step in cycles per degree."""
    margin = float(fit.request.options.get("margin", 2.0))
    step = fit.result.step_arcsec
    ny, nx = (2 ** math.ceil(math.log2(n + math.ceil(margin / s))) for n, s in zip(fit.result.image.shape, step, strict=True))
    return (ny, nx), (3600.0 / (step[0] * ny), 3600.0 / (step[1] * nx))
