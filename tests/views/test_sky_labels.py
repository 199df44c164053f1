"""Positions as text, read back by astropy."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import Angle

from nbmosaic.views.sky_labels import angle_label, position_text


@pytest.mark.parametrize("hours", [True, False])
@pytest.mark.parametrize("step", [15.0, 1.0, 0.25, 1 / 60, 5 / 3600, 0.15 / 3600, 1e-6])
def test_labels_resolve_the_step(hours, step):
    rng = np.random.default_rng(2)
    for value in [0.0, 359.999999999, 59.99999999, *rng.uniform(0.0, 360.0, 20)]:
        text = angle_label(value, step, hours=hours)
        plain = text.replace("°", "d").replace("'", "m").replace('"', "s")
        back = Angle(plain).deg
        unit = 15.0 if hours else 1.0
        last = unit * (1 if step / unit >= 1 and step % unit == 0 else 1 / 60 if step * 60 / unit % 1 == 0 else 1 / 3600)
        assert abs((back - value + 180.0) % 360.0 - 180.0) <= max(0.5 * last, 0.5 * step) * (1 + 1e-6) + 1e-11, text


def test_signs_and_roundings():
    assert angle_label(-0.00001, 1 / 3600, signed=True) == "+0°00'00\""
    assert angle_label(-0.5, 0.5, signed=True) == "-0°30'"
    assert angle_label(10.5, 0.1 / 3600) == "10°30'00.0\""
    assert angle_label(359.99999, 0.25, hours=True) == "00h00m"
    assert angle_label(float("nan"), 1.0) == ""


def test_positions():
    assert position_text(15.1, -0.7, equatorial=False, resolution=36.0) == "15.100, -0.700"
    assert position_text(float("nan"), 1.0, equatorial=True, resolution=1.0) == "off the sky"
    assert position_text(83.8, -5.39, equatorial=True, resolution=0.5).startswith("05h35m12.00s -5°23'24.0\" (83.8")
