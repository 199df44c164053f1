"""Speed of regridding and band passes, CPU seconds of this process, best of three, against mpdaf in the same test."""

from __future__ import annotations

import time

import numpy as np
import pytest
from astropy.wcs import WCS

from nbmosaic.core.psf.bandpass import band_image, flat_band
from nbmosaic.core.psf.regridding import regrid
from nbmosaic.io.cube_planes import ArrayCube
from nbmosaic.types.sky_image import SkyCube

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


def cpu(call, repeat=3):
    best = np.inf
    for _ in range(repeat):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def grid(step, n):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [53.16, -27.78]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(n + 1) / 2, (n + 1) / 2], [-step / 3600, step / 3600]
    return wcs


def test_a_field_of_30_mas_onto_the_pixels_of_muse():
    """2260 x 2260 pixels onto 320 x 320: 0.42 s against 2.66 s of mpdaf's align_with_image (busy machine)."""
    obj = pytest.importorskip("mpdaf.obj")
    data = np.random.default_rng(0).normal(size=(2260, 2260))
    mask = np.zeros(data.shape, bool)
    ours = cpu(lambda: regrid(data, mask, grid(0.03, 2260), grid(0.2, 320), (320, 320)))
    centre = {"crval": (-27.78, 53.16), "deg": True}
    fine = obj.Image(data=data, wcs=obj.WCS(crpix=(1130.5, 1130.5), cdelt=(0.03 / 3600, -0.03 / 3600), shape=data.shape, **centre))
    coarse = obj.Image(
        data=np.zeros((320, 320)), wcs=obj.WCS(crpix=(160.5, 160.5), cdelt=(0.2 / 3600, -0.2 / 3600), shape=(320, 320), **centre)
    )
    theirs = cpu(lambda: fine.align_with_image(coarse, cutoff=0.0, flux=True))
    print(f"\nregrid {ours:.2f} s, mpdaf {theirs:.2f} s")
    assert theirs > 3 * ours


def test_planes_of_a_cube():
    """Mean of 200 planes of 320 x 320 with variance: 2 to 4 ns a voxel, so 0.8 to 1.5 s for the 3681 planes of a MUSE cube."""
    shape = (200, 320, 320)
    data = np.random.default_rng(0).normal(size=shape).astype(">f4")
    data[:, :6] = np.nan
    source = ArrayCube(data=data, variance=np.ones(shape, ">f4"))
    cube = SkyCube(shape=shape, source=source, wcs=None, edges=np.arange(201.0), wave_unit="nm", has_variance=True)
    per_voxel = cpu(lambda: band_image(cube, flat_band(0, 200))) / data.size
    print(f"\n{1e9 * per_voxel:.1f} ns a voxel")
    assert 3681 * 320 * 320 * per_voxel < 3.0
