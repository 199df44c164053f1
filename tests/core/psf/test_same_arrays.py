"""What is kept of a reference is found by its content: an array changed in place is another one."""

from __future__ import annotations

import numpy as np
import pytest

from nbmosaic.core.psf.image_fit_plane import ReferenceSpectrum, reference_spectrum
from nbmosaic.core.psf.same_arrays import SameArrays


def spectrum(data: np.ndarray, known: np.ndarray, **changed: object) -> ReferenceSpectrum:
    options = {"offset": (0, 0), "shape": (40, 48), "step_arcsec": (0.2, 0.2), "margin_arcsec": 2.0, "hst_fwhm": 0.085, "hst_beta": 1.6}
    return reference_spectrum(data, known, **(options | changed))


def test_a_key_is_the_content() -> None:
    rng = np.random.default_rng(1)
    data = rng.normal(size=(40, 48))
    data[3, 4] = np.nan
    key = SameArrays.of(data, data > 0)
    assert key == SameArrays.of(data.copy(), data > 0)
    assert hash(key) == hash(SameArrays.of(np.asfortranarray(data), data > 0))
    np.testing.assert_array_equal(key.arrays()[0], data)
    assert key != SameArrays.of(data.T, data > 0)
    assert key != SameArrays.of(data.astype(np.float32), data > 0)
    data[7, 7] = np.nextafter(data[7, 7], 9.0)
    assert key != SameArrays.of(data, data > 0)


def test_a_reference_changed_in_place_is_transformed_again() -> None:
    rng = np.random.default_rng(2)
    data, known = rng.normal(size=(40, 48)), np.ones((40, 48), bool)
    first = spectrum(data, known)
    assert spectrum(data.copy(), known.copy()) is first
    data[20, 20] += 1e-9
    second = spectrum(data, known)
    assert not np.array_equal(second.sharp, first.sharp)
    known[5, 5] = False
    third = spectrum(data, known)
    assert not np.array_equal(third.sharp, second.sharp)
    assert spectrum(data, known, hst_fwhm=0.1) is not third
    with pytest.raises(ValueError, match="read-only"):
        third.sharp[0, 0] = 1.0
