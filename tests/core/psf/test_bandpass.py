"""Band passes: exact weights, sums over chunks against one obvious sum, imphot's golden images, truncation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import interp1d
from support.shared import shared_path

from nbmosaic.core.psf import bandpass
from nbmosaic.core.psf.bandpass import BandWeights, band_image, band_weights, check_curve, flat_band
from nbmosaic.errors import ConfigError, InputError, NoOverlapError, ShapeError
from nbmosaic.io.cube_planes import ArrayCube, read_sky_cube
from nbmosaic.io.filter_curve import read_filter_curve, wavelengths_in
from nbmosaic.types.sky_image import SkyCube


@pytest.fixture
def rng():
    return np.random.default_rng(20240811)


EDGES = 4750.0 + 1.25 * np.arange(201)


def cube(rng, shape=(40, 7, 9), variance=True, masked=0.1):
    data = rng.normal(3, 1, shape)
    mask = rng.uniform(size=shape) < masked
    mask[:, 2, 3] = True
    data[rng.uniform(size=shape) < 0.02] = np.nan
    spread = rng.uniform(0.5, 2, shape) if variance else None
    source = ArrayCube(data=data, mask=mask, variance=spread)
    edges = 100.0 + np.arange(shape[0] + 1)
    return (
        SkyCube(shape=shape, source=source, wcs=None, edges=edges, wave_unit="nm", has_variance=variance, name="made"),
        data,
        mask,
        spread,
    )


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_weights_are_integrals_of_the_curve(interpolation, rng):
    w = np.sort(rng.uniform(4700, 4950, 23))
    s = rng.uniform(0.2, 1, 23)
    band = band_weights(EDGES, w, s, interpolation=interpolation)
    curve = interp1d(w, s, kind=interpolation)
    for k in rng.integers(band.first, band.last, 25):
        low, high = max(EDGES[k], w[0]), min(EDGES[k + 1], w[-1])
        inner = w[(w > low) & (w < high)]
        expected = quad(curve, low, high, points=inner if len(inner) else None, epsabs=1e-12)[0]
        assert band.weights[k - band.first] == pytest.approx(expected, rel=1e-9)
    total = quad(curve, w[0], w[-1], points=w[1:-1], limit=200)[0]
    assert band.lost == pytest.approx(1 - band.weights.sum() / total, abs=1e-9)


def test_only_planes_that_touch_the_curve():
    band = band_weights(EDGES, [4760.0, 4765.0, 4770.0], [1.0, 1.0, 1.0])
    assert (EDGES[band.first], EDGES[band.last]) == (4760.0, 4770.0)
    assert band.weights == pytest.approx(np.full(8, 1.25))
    assert (band.lost, band.warning) == (0.0, "")
    part = band_weights(EDGES, [4760.5, 4760.6], [2.0, 2.0])
    assert (part.first, part.weights.tolist()) == (8, pytest.approx([0.2]))


def test_truncation_in_imphots_words():
    half = band_weights(EDGES, [4500.0, 5000.0], [1.0, 1.0])
    assert half.lost == pytest.approx(0.5)
    assert half.warning == "50% of the integrated filter curve is beyond the edges of the cube."
    assert band_weights(EDGES, [4749.0, 5000.0], [1.0, 1.0]).lost == pytest.approx(1 / 251)
    assert band_weights(EDGES, [4749.0, 5000.0], [1.0, 1.0]).warning == ""


def test_curves_that_cannot_be_used():
    with pytest.raises(NoOverlapError, match=r"does not overlap the wavelength coverage of the cube\.; the curve reaches from 475 to 500"):
        band_weights(EDGES, [475.0, 500.0], [1.0, 1.0])
    with pytest.raises(NoOverlapError):
        band_weights(EDGES, [4000.0, 4750.0], [1.0, 1.0])
    with pytest.raises(InputError, match="1D arrays of equal length"):
        band_weights(EDGES, [4800.0, 4850.0], [1.0])
    with pytest.raises(InputError, match="1D arrays of equal length"):
        check_curve(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(InputError, match="too short for cubic"):
        band_weights(EDGES, [4800.0, 4850.0, 4860.0], [1.0, 1.0, 1.0], interpolation="cubic")
    with pytest.raises(ConfigError, match="'linear' or 'cubic'"):
        band_weights(EDGES, [4800.0, 4850.0], [1.0, 1.0], interpolation="nearest")
    for w, s, what in (
        ([1, 2], [0, np.nan], "not finite"),
        ([1, 1, 2], [1, 1, 1], "wavelength 1 twice"),
        ([1, 2], [0, 0], "not positive"),
        ([1], [1], "1 samples"),
        (["a", "b"], [1, 1], "not numbers"),
    ):
        with pytest.raises(InputError, match=what):
            check_curve(w, s)


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_means_over_good_voxels(chunk, rng, monkeypatch):
    if chunk:
        monkeypatch.setattr(bandpass, "_CHUNK_BYTES", chunk * 8 * 2 * 63)
    made, data, mask, spread = cube(rng)
    before = data.copy()
    weights = rng.uniform(0.1, 1, 30)
    found = band_image(made, BandWeights(first=6, weights=weights))
    bad = mask | ~np.isfinite(data)
    for y in range(7):
        for x in range(9):
            good = ~bad[6:36, y, x]
            if not good.any():
                assert found.mask[y, x]
                assert found.data[y, x] == found.variance[y, x] == 0
                continue
            w = weights[good]
            assert found.data[y, x] == pytest.approx((w * data[6:36, y, x][good]).sum() / w.sum(), rel=1e-12)
            assert found.variance[y, x] == pytest.approx((w**2 * spread[6:36, y, x][good]).sum() / w.sum() ** 2, rel=1e-12)
    assert found.mask.sum() == 1
    assert np.array_equal(data, before, equal_nan=True)


def test_without_variance_and_flat_bands(rng):
    made, data, _, _ = cube(rng, variance=False, masked=0.0)
    found = band_image(made, flat_band(3, 9))
    assert found.variance is None
    assert found.data[0, 0] == pytest.approx(np.nanmean(data[3:9, 0, 0]))
    with pytest.raises(ShapeError):
        band_image(made, flat_band(35, 41))
    with pytest.raises(InputError):
        flat_band(3, 3)
    with pytest.raises(ShapeError, match="has 40 planes"):
        made.planes(39, 42)


def test_the_pull_of_band_images_is_one(rng):
    shape = (25, 60, 60)
    spread = rng.uniform(0.5, 4, (25, 1, 1)) * np.ones(shape)
    source = ArrayCube(data=rng.normal(size=shape) * np.sqrt(spread), mask=rng.uniform(size=shape) < 0.2, variance=spread)
    made = SkyCube(shape=shape, source=source, wcs=None, edges=np.arange(26.0), wave_unit="nm", has_variance=True)
    found = band_image(made, band_weights(made.edges, [2.0, 9.5, 22.0], [0.1, 1.0, 0.3]))
    assert np.std(found.data / np.sqrt(found.variance)) == pytest.approx(1.0, abs=4 / np.sqrt(2 * 3600))


def test_planes_lie_one_behind_the_other_whatever_the_array_is_like(rng):
    """A copy in the order of the array's own strides scatters the pixels of a plane: adding planes up took three times as long."""
    plane = rng.normal(size=(4, 5))
    for stored in (np.broadcast_to(plane, (6, 4, 5)), np.asfortranarray(rng.normal(size=(6, 4, 5)))):
        read = ArrayCube(data=stored, variance=stored).read(1, 4)
        assert read.data.flags.c_contiguous
        assert read.variance.flags.c_contiguous
        assert np.array_equal(read.data, stored[1:4])


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("name", ["inside", "truncated"])
def test_golden(name, interpolation):
    """imphot 009225c, bandpass_image(cube, curve, interpolation): equal to 1e-10. Its loss of the truncated curve (26 %) leaves out the
    interval of the curve that straddles the edge of the cube; the integral says 28 %."""
    made = read_sky_cube(str(shared_path("golden/imphot/inputs/cube.fits.gz")))
    curve = read_filter_curve(shared_path(f"golden/imphot/inputs/filter_{name}.dat"))
    band = band_weights(
        made.edges, wavelengths_in(curve.wavelengths, "Angstrom", made.wave_unit), curve.sensitivities, interpolation=interpolation
    )
    found = band_image(made, band)
    with np.load(shared_path(f"golden/imphot/bandpass_{name}_{interpolation}.npz")) as golden:
        good = ~golden["mask"]
        assert np.array_equal(found.mask, golden["mask"])
        assert found.data[good] == pytest.approx(golden["data"][good], rel=1e-10, abs=1e-10)
        assert found.variance[good] == pytest.approx(golden["var"][good], rel=1e-10)
    assert band.warning == ("" if name == "inside" else "28% of the integrated filter curve is beyond the edges of the cube.")
