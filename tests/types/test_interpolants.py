"""Interpolants as text."""

from __future__ import annotations

import pytest

from nbmosaic.errors import ConfigError
from nbmosaic.types.camera import INTERPOLANTS, Interpolant


@pytest.mark.parametrize(
    ("text", "canonical", "taps"),
    [
        *((name, name, taps) for name, taps in zip(INTERPOLANTS, (1, 2, 4, 6, 4, 31, 31, 0), strict=True)),
        (" Sinc17 ", "sinc17", 17),
        ("sinc16", "sinc15", 15),
        ("lsinc15[20]", "lsinc15", 15),
        ("lsinc7[10]", "lsinc7[10]", 7),
        ("lsinc15[0.25]", "lsinc15[0.25]", 15),
        ("lsinc[-0.5]", "lsinc[-0.5]", 31),
        ("lsinc[0.5]", "lsinc[1]", 31),
        ("drizzle[0.3]", "drizzle[0.3]", 0),
        ("drizzle[0]", "drizzle[0.001]", 0),
        ("drizzle[1]", "drizzle", 0),
    ],
)
def test_text_and_back(text: str, canonical: str, taps: int) -> None:
    found = Interpolant.parse(text)
    assert str(found) == canonical
    assert found.taps == taps
    assert Interpolant.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("linera", "did you mean linear"),
        ("poly4", "did you mean poly"),
        ("", "known are nearest"),
        ("linear2", "unknown"),
        ("linear[2]", "no parameter"),
        ("sinc[3]", "no parameter"),
        ("sinc2", "2 taps"),
        ("sinc999", "999 taps"),
        ("lsinc[x]", "no number"),
        ("lsinc[-1]", "-1"),
        ("lsinc[nan]", "no number"),
        ("drizzle[1.5]", "pixel fraction"),
        ("drizzle[0.5", "unknown"),
    ],
)
def test_unknown_text_is_one_clear_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Interpolant.parse(text)
    assert "\n" not in str(caught.value)
