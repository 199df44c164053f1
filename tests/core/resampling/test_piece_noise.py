"""Noise gain of the interpolants of pieces, against simulated white noise."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.core.resampling.piece_noise import kernel_transform, piece_noise_gain
from nbmosaic.core.resampling.pieces import resample_piece
from nbmosaic.types import FramePixels, PixelBox
from nbmosaic.types.camera import Interpolant


@pytest.mark.parametrize("name", ["linear", "poly3", "poly5", "spline3", "sinc11", "lsinc11"])
def test_against_simulation(name: str) -> None:
    rng = np.random.default_rng(8)
    n = 600
    box = PixelBox(0, n, 0, n)
    y, x = np.mgrid[0.0:n, 0.0:n]
    turned = PixelMap(
        box=box, offset=0.0, patches=(MapPatch(box=box, table_u=20 + x + 0.013 * y, table_v=20 + y - 0.013 * x),), error_pix=0.0
    )
    noise = FramePixels(data=rng.normal(0, 1, (n + 60, n + 60)).astype(np.float32))
    interpolant = Interpolant.parse(name)
    data = resample_piece(noise, turned, interpolant=interpolant).data.astype(float)
    block = 20
    means = data.reshape(n // block, block, n // block, block).mean(axis=(1, 3))
    gain = data.var() / (means.var() * block**2)
    assert piece_noise_gain(interpolant, turned) == pytest.approx(gain, rel=0.12)  # 900 blocks: 5 per cent; edges of blocks: a few more


def test_transforms() -> None:
    for name in ("poly3", "poly5", "sinc", "lsinc"):
        response = kernel_transform(Interpolant.parse(name), np.array([0.0, 0.5, 1.0, 2.0]))
        assert response[0] == pytest.approx(1.0, abs=1e-6)
        assert 0.3 < response[1] < 0.7  # half the response at the Nyquist frequency, more or less
        assert np.abs(response[2:]).max() < 0.02
