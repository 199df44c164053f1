"""Small FITS files and headers for tests of reading."""

from __future__ import annotations

import numpy as np
from astropy.io import fits


def tan_header(shape=(12, 17), **cards) -> fits.Header:
    """Celestial header of an image of `shape`; `cards` are added or replace."""
    header = fits.Header()
    for key, value in {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 83.6331,
        "CRVAL2": -5.3911,
        "CRPIX1": shape[1] / 2,
        "CRPIX2": shape[0] / 2,
        "CDELT1": -1 / 3600,
        "CDELT2": 1 / 3600,
        "RADESYS": "ICRS",
        **cards,
    }.items():
        header[key] = value
    return header


def noise_image(rng, shape=(12, 17), dtype=np.float32) -> np.ndarray:
    """Random image with a bit of structure, of any type."""
    values = 100 + 10 * rng.standard_normal(shape) + np.arange(shape[1])
    return np.round(values).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)


def write_frame(path, data, header=None, **cards):
    """Write a primary image with a celestial header; return the path."""
    fits.PrimaryHDU(data, header if header is not None else tan_header(data.shape, **cards)).writeto(path, overwrite=True)
    return path
