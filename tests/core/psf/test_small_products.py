"""Products of long rows: right, and the same whatever the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from nbmosaic.core.psf.small_products import dot, rows_by_rows, rows_by_vector

FIT = """
from nbmosaic.core.psf.image_fit import fit_image
from nbmosaic.core.psf.moffat import moffat_transfer
from nbmosaic.types.photometry import FitFrame
import numpy as np
rng = np.random.default_rng(1)
f = np.hypot(*np.meshgrid(np.fft.rfftfreq(200), np.fft.fftfreq(200)))
sky = np.zeros((200, 200))
sky.ravel()[rng.integers(0, sky.size, 60)] = rng.uniform(20, 200, 60)
spectrum = np.fft.rfft2(sky)
window = np.where(f < 0.5, 0.42 + 0.5 * np.cos(2 * np.pi * f) + 0.08 * np.cos(4 * np.pi * f), 0.0)
sharp = np.fft.irfft2(spectrum * window)
noisy = np.fft.irfft2(spectrum * moffat_transfer(f, fwhm=3.2, beta=2.5)) + rng.normal(0.0, 0.1, sky.shape)
mask, variance = np.zeros(sky.shape, bool), np.full(sky.shape, 0.01)
fit = fit_image(FitFrame(data=sharp, mask=mask), FitFrame(data=noisy, mask=mask, variance=variance), hst_fwhm=0.0)
print(fit.converged, *(value.hex() for name in ("scale", "bg", "dx", "dy", "fwhm", "beta") for value in (fit[name].value, fit[name].stderr)))
"""


@pytest.mark.parametrize("n", [0, 1, 8192, 8193, 30_001])
def test_dot(n: int) -> None:
    rng = np.random.default_rng(n)
    left, right = rng.normal(size=(2, n))
    assert dot(left, right) == pytest.approx(float(np.sum(left * right)), rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("rows", [0, 1, 6, 8, 300])
def test_rows(rows: int) -> None:
    rng = np.random.default_rng(rows)
    one, two = rng.normal(size=(2, rows, 20_011)).astype(np.float32)
    vector = rng.normal(size=20_011)
    exact, other = one.astype(np.float64), two.astype(np.float64)
    size = np.sqrt(20_011.0)
    np.testing.assert_allclose(rows_by_vector(one, vector), exact @ vector, atol=1e-5 * size)
    np.testing.assert_allclose(rows_by_rows(one), exact @ exact.T, rtol=1e-6, atol=1e-5 * size)
    np.testing.assert_allclose(rows_by_rows(one, two), exact @ other.T, atol=1e-5 * size)
    np.testing.assert_allclose(rows_by_rows(one, weight=vector**2), (exact * vector**2) @ exact.T, rtol=1e-6, atol=1e-4 * size)
    assert np.array_equal(rows_by_rows(one), rows_by_rows(one).T)


def test_a_fit_has_the_same_bits_whatever_the_number_of_threads() -> None:
    found = []
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", FIT], capture_output=True, text=True, check=True, env=os.environ | {"OPENBLAS_NUM_THREADS": threads}
        )
        found.append(done.stdout)
    assert found[0].startswith("True")
    assert found[0] == found[1]
